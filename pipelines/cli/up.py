"""`lakepulse up`: bring up the local stack."""

from __future__ import annotations

import argparse

HELP = "start the local stack: Kafka, MLflow, streams, scoring service, review page; what runs already stays"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which domain, and which parts."""
    parser.add_argument(
        "--domain",
        help="name of a domain in conf/domains, or path of a domain file (default: the running one or shop)",
    )
    parser.add_argument(
        "--only",
        metavar="PARTS",
        help="names with commas, for example kafka,mlflow; what they need comes up too (default: all)",
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0 when every chosen part answers; an interrupt stops what was started."""
    import signal
    from pathlib import Path

    from pipelines import settings as settings_module
    from pipelines.domain import load_domain
    from pipelines.stack import local, report

    settings = settings_module.load()
    domain = args.domain or local.running_domain(settings) or "shop"
    load_domain(domain, settings)
    if Path(domain).is_file():
        domain = str(Path(domain).resolve())  # the streams run in another folder
    only = [name.strip() for name in args.only.split(",")] if args.only else None

    def interrupt(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, interrupt)
    local.up(settings, domain, only, report.Progress())
    print(
        f"logs in {settings.state / 'logs'}; `lakepulse status` shows the parts, `lakepulse down` stops them"
    )
    return 0

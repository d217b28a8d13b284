"""Make a model's version its champion if the gate has accepted it; exit code 99 when it has not."""

import argparse
import datetime
import getpass

from pipelines.io import verdicts
from pipelines.launch import light_job
from pipelines.models.promotion import FORCED, decision_of, name_a_model, promotion, subject
from pipelines.models.registry import Registry
from pipelines.session import Lender
from pipelines.settings import Settings


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Move the alias `champion`; every process that scores takes the version at its next batch."""
    registry, (domain, kind) = Registry(settings.tracking_uri), subject(args.model, settings)
    name = f"{domain.name}-{kind}"
    version = registry.version(name, args.version) if args.version else registry.latest(name)
    judged, before = verdicts.newest(settings, name, version.version), registry.current(name)
    code, told = promotion(registry, version, judged, args.force)
    if args.force:
        who, now = getpass.getuser(), datetime.datetime.now(datetime.UTC)
        record = decision_of(who, "the job promote --force", FORCED, version, before, now)
        verdicts.keep(record, settings, spark)
    print(told)
    return code


def arguments(parser: argparse.ArgumentParser) -> None:
    """The model is required; the version is the newest one unless given."""
    name_a_model(parser)
    parser.add_argument("--version", help="a version (default: the newest)")
    parser.add_argument("--force", action="store_true", help="promote without the gate's consent")


if __name__ == "__main__":
    raise SystemExit(light_job("promote", __doc__, run, arguments))

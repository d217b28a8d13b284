"""`lakepulse dag`: run Airflow's DAGs from the project's own Airflow."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "run an Airflow DAG here and now, list them, or start Airflow's scheduler and page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions `test`, `list` and `standalone`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser(
        "test", help="run DAGs once, side by side, to their ends, with `airflow dags test`"
    )
    test.add_argument("dags", nargs="+", metavar="DAG", help="id of a DAG, see `lakepulse dag list`")
    test.add_argument(
        "--domain",
        default="shop",
        help="name of a domain in conf/domains, or a path to a domain file (default: shop)",
    )
    actions.add_parser("list", help="the DAGs and what they do")
    actions.add_parser("standalone", help="start Airflow's scheduler and page on this machine, until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the run succeeded (a refused challenger is a success), 1 when a task failed."""
    from pipelines import settings as settings_module
    from pipelines.domain import load_domain
    from pipelines.stack import airflow

    settings = settings_module.load()
    if args.action == "list":
        for name, title in airflow.dag_titles(settings).items():
            print(f"{name:<16} {title}")
        return 0
    if args.action == "standalone":
        return airflow.standalone(settings)
    load_domain(args.domain, settings)
    # The jobs run in the project's folder, so a path that was given from here must hold there too.
    domain = str(Path(args.domain).resolve()) if Path(args.domain).is_file() else args.domain
    runs = airflow.dags_test(list(dict.fromkeys(args.dags)), {"domain": domain}, settings)
    for dag_run in runs:
        if dag_run.succeeded:
            print(f"{dag_run.dag}: done")
            continue
        print(f"{dag_run.dag}: failed; the last lines of its jobs:")
        for line in airflow.last_words(dag_run):
            print(f"  {line}")
    return 0 if all(dag_run.succeeded for dag_run in runs) else 1

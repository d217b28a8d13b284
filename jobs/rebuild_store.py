"""Build the online store anew from bronze, without what is held out of learning, and put it in place of the
one in use; services read on meanwhile."""

import argparse
import logging

from pipelines.features.definitions import compile_definitions
from pipelines.features.online import Updater
from pipelines.io.folding import build_anew
from pipelines.io.held import HeldOut
from pipelines.io.online_store import store_beside
from pipelines.launch import light_job
from pipelines.session import Lender
from pipelines.settings import Settings

log = logging.getLogger("lakepulse")


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--purge` does nothing while nobody else is held out than at the last build."""
    parser.add_argument("--purge", action="store_true", help="only if others are held out than last time")


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Fold all that has arrived; the exit code."""
    held = HeldOut(settings, spark)
    if args.purge and held.is_purged():
        log.info("nothing to do: the online store was built without these %d spans", len(held.spans))
        return 0
    definitions = compile_definitions(args.domain)
    updater = Updater(args.domain, definitions, settings.silver, settings.store, held.without)
    with store_beside(settings, definitions) as store:
        build_anew(spark(), settings, updater, store)
    held.note_purged()
    log.info("%d spans of entities are held out", len(held.spans))
    return 0


if __name__ == "__main__":
    raise SystemExit(light_job("rebuild_store", __doc__, run, arguments))

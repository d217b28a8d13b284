"""The edges of a job: arguments in, exit code out, streams stopped cleanly on SIGTERM and Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from pyspark.sql import SparkSession
from pyspark.sql.streaming import StreamingQuery

from pipelines import settings as settings_module
from pipelines.domain import load_domain
from pipelines.errors import LakePulseError
from pipelines.late import LateQuery
from pipelines.ready import tell_ready
from pipelines.session import LazySession, Lender
from pipelines.settings import Settings

log = logging.getLogger("lakepulse")
INTERRUPTED = 130

Batch = Callable[[Settings, SparkSession, argparse.Namespace], int | None]
Light = Callable[[Settings, Lender, argparse.Namespace], int | None]
Query = StreamingQuery | LateQuery
Stream = Callable[[Settings, SparkSession, argparse.Namespace], Sequence[Query]]
Service = Callable[[Settings, argparse.Namespace], int]
Arguments = Callable[[argparse.ArgumentParser], None]


def batch_job(name: str, description: str | None, run: Batch, arguments: Arguments | None = None) -> int:
    """Run a job that ends by itself; its exit code is what `run` returns, 1 for an error of ours."""
    return light_job(name, description, lambda s, spark, args: run(s, spark(), args), arguments)


def light_job(name: str, description: str | None, run: Light, arguments: Arguments | None = None) -> int:
    """As `batch_job`, for work that often needs no Spark: `run` gets a way to ask for the session."""
    return _job(name, description, run, arguments, streaming=False)


def stream_job(name: str, description: str | None, run: Stream, arguments: Arguments | None = None) -> int:
    """Run streams until SIGTERM, Ctrl-C or, with --once, until what was there at the start is done. Exit code
    1 when one failed."""
    return _job(
        name, description, lambda s, spark, args: _await(run(s, spark(), args)), arguments, streaming=True
    )


def service_job(name: str, description: str | None, run: Service, arguments: Arguments | None = None) -> int:
    """Run a service without Spark until it ends; its exit code is what `run` returns, 1 for an error of
    ours."""
    parser = _parser(name, description, arguments)
    return _guarded(name, parser, run)


def _job(name: str, description: str | None, run: Light, arguments: Arguments | None, streaming: bool) -> int:
    parser = _parser(name, description, arguments)
    if streaming:
        parser.add_argument("--once", action="store_true", help="process what is there now, then end")

    def with_spark(settings: Settings, args: argparse.Namespace) -> int:
        spark = LazySession(settings, name)
        try:
            return run(settings, spark, args) or 0
        finally:
            spark.stop()

    return _guarded(name, parser, with_spark)


def _parser(name: str, description: str | None, arguments: Arguments | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument(
        "--domain",
        default="shop",
        help="name of a domain in conf/domains, or a path to a domain file (default: shop)",
    )
    parser.add_argument(
        "--profile", default="local", help="settings profile, conf/<profile>.yml (default: local)"
    )
    if arguments:
        arguments(parser)
    return parser


def _guarded(name: str, parser: argparse.ArgumentParser, run: Service) -> int:
    """Read the arguments and the settings, run, and turn an error of ours into an exit code."""
    args = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for noisy in ("py4j", "mlflow", "alembic", "great_expectations"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # spark-submit.sh starts a job with Ctrl-C ignored, so that it ends this process and not the JVM below it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        settings = settings_module.load(args.profile)
        args.domain = load_domain(args.domain, settings)
        settings = args.domain.over(settings)
        return run(settings, args)
    except LakePulseError as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _await(queries: Sequence[Query]) -> int:
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    log.info("running: %s", ", ".join(str(q.name) for q in queries))
    tell_ready()
    while not stop.wait(0.2):
        if not all(q.isActive for q in queries):
            failed = [q for q in queries if q.exception()]
            if failed or not any(q.isActive for q in queries):
                break
    failed = [q for q in queries if not q.isActive and q.exception()]
    for query in failed:
        log.error("%s failed: %s", query.name, query.exception())
    for query in queries:
        if query.isActive:
            query.stop()
    return 1 if failed else 0

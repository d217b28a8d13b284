"""Rank items and take events over HTTP: features from the online store, scores from the champion."""

import argparse
import asyncio

from pipelines.io.for_serving import outside
from pipelines.launch import service_job
from pipelines.models.champions import Champions
from pipelines.models.promotion import model_cache
from pipelines.models.registry import Registry, fail_fast
from pipelines.ready import tell_ready
from pipelines.serving.keeper import Keeper
from pipelines.serving.server import serve
from pipelines.serving.service import Service
from pipelines.settings import Settings
from pipelines.stack import ports, workers


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    parser.add_argument("--port", type=int, help="port (default: serving.port, 0 = a free one)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--insecure", action="store_true", help="let all ask without a token")


def run(settings: Settings, args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    port = args.port or ports.port_for(settings, "service", settings.serving.port, "serving.port")
    if settings.serving.workers > 1 and args.worker is None:
        return workers.supervise(settings.serving.workers, port, settings.serving.drain_s + 5)
    fail_fast()
    worker, registry = args.worker or 0, Registry(settings.tracking_uri)
    service = Service(args.domain, settings, outside(settings, args.domain, worker), worker)
    about = (args.domain.name, service.definitions.hash, ("ranker",), True)
    keeper = Keeper(service, Champions(registry, model_cache(settings), *about), registry)
    return asyncio.run(serve(keeper, settings.serving.host, port, args.insecure, tell_ready))


if __name__ == "__main__":
    raise SystemExit(service_job("serve_scores", __doc__, run, arguments))

"""Serve the page where people review alerts, and the same over HTTP: gold.alerts in, gold.reviews out."""

import argparse
import asyncio
from functools import partial

from pipelines.clock import now_ms
from pipelines.io.review_lake import ReviewLake
from pipelines.io.review_page import page
from pipelines.io.tokens import known_tokens
from pipelines.launch import service_job
from pipelines.serving.access import Access
from pipelines.serving.review_server import serve_reviews
from pipelines.serving.reviewing import ReviewApp
from pipelines.settings import Settings
from pipelines.stack import ports


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    parser.add_argument("--port", type=int, help="port (default: alerts.port, 0 = a free one)")
    parser.add_argument("--insecure", action="store_true", help="let all review without a token")


def run(settings: Settings, args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    port = args.port or ports.port_for(settings, "reviews", settings.alerts.port, "alerts.port")
    tokens = partial(known_tokens, settings)
    access, host = Access(tokens()), settings.alerts.host
    app = ReviewApp(ReviewLake(settings, now_ms), page(), access, settings.serving, host)
    return asyncio.run(serve_reviews(app, tokens, settings, port, args.insecure))


if __name__ == "__main__":
    raise SystemExit(service_job("serve_reviews", __doc__, run, arguments))

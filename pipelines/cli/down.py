"""`lakepulse down`: stop the local stack."""

from __future__ import annotations

import argparse

HELP = "stop the local stack: the streams, then MLflow, then Kafka; what they stored stays"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: all parts are stopped."""


def run(args: argparse.Namespace) -> int:
    """Returns 0 when nothing of the stack runs any more."""
    from pipelines import settings as settings_module
    from pipelines.stack import local, report

    settings = settings_module.load()
    if not local.down(settings, report.Progress()):
        print(f"nothing to stop: no part of {settings.state} runs")
    return 0

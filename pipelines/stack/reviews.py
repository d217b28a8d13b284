"""The review page of a local installation."""

from __future__ import annotations

import os
import sys

from pipelines.settings import Settings, variables
from pipelines.stack import ports
from pipelines.stack.part import Launch, Part
from pipelines.stack.service import EVERY_ADDRESS, answers

NAME = "reviews"


def prepare(settings: Settings, domain: str) -> Launch:
    """The job `serve_reviews` on its port, with exactly these settings. Raises StackError when a configured
    port is in use."""
    alerts = settings.alerts
    port = ports.port_for(settings, NAME, alerts.port, "alerts.port")
    path = os.pathsep.join(filter(None, [str(settings.root), os.environ.get("PYTHONPATH")]))
    environ = {**os.environ, **variables(settings), "PYTHONPATH": path}
    command = [sys.executable, "-m", "jobs.serve_reviews", "--domain", domain, "--port", str(port)]
    host = ports.HOST if alerts.host in EVERY_ADDRESS else alerts.host
    scheme = "https" if settings.serving.tls_certificate else "http"
    return Launch(command, environ, f"{scheme}://{host}:{port}")


REVIEWS = Part(
    name=NAME,
    prepare=prepare,
    answers=answers,
    patience_s=60,
    grace_s=lambda settings: settings.serving.drain_s + 1,
)

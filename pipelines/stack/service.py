"""The scoring service of a local installation."""

from __future__ import annotations

import http.client
import os
import ssl
import sys

from pipelines.settings import Settings, variables
from pipelines.stack import ports
from pipelines.stack.part import Launch, Part
from pipelines.stack.processes import Running

NAME = "service"
DOMAIN = "domain"
EVERY_ADDRESS = ("0.0.0.0", "::")


def prepare(settings: Settings, domain: str) -> Launch:
    """The job `serve_scores` of that domain on its port, with exactly these settings.

    Raises StackError when a configured port is in use.
    """
    serving = settings.serving
    port = ports.port_for(settings, NAME, serving.port, "serving.port")
    path = os.pathsep.join(filter(None, [str(settings.root), os.environ.get("PYTHONPATH")]))
    environ = {**os.environ, **variables(settings), "PYTHONPATH": path}
    command = [sys.executable, "-m", "jobs.serve_scores", "--domain", domain, "--port", str(port)]
    host = ports.HOST if serving.host in EVERY_ADDRESS else serving.host
    return Launch(command, environ, f"{'https' if serving.tls_certificate else 'http'}://{host}:{port}")


def given(settings: Settings, domain: str) -> dict[str, str]:
    """The domain, and where Kafka and MLflow are; the service keeps these for its life."""
    return {DOMAIN: domain, "kafka": settings.bootstrap, "mlflow": settings.tracking_uri}


def answers(settings: Settings, running: Running, timeout_s: float) -> bool:
    """Whether the service says within that time how it is; it may still wait for a model."""
    scheme, _, where = running.address.partition("://")
    connection: http.client.HTTPConnection
    if scheme == "https":
        trusted = ssl.create_default_context(cafile=settings.serving.tls_certificate)
        trusted.check_hostname = False  # it is our own certificate, whatever name it is for
        connection = http.client.HTTPSConnection(where, timeout=timeout_s, context=trusted)
    else:
        connection = http.client.HTTPConnection(where, timeout=timeout_s)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


SERVICE = Part(
    name=NAME,
    prepare=prepare,
    answers=answers,
    given=given,
    needs=("kafka", "mlflow"),
    patience_s=120,
    grace_s=lambda settings: settings.serving.drain_s + 1,
)

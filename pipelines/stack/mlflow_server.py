"""The local MLflow: tracking, registry and artifacts in one process, on sqlite, for this machine only."""

from __future__ import annotations

import http.client
import os
import sys

from pipelines.settings import Settings
from pipelines.stack import ports
from pipelines.stack.part import Launch, Part
from pipelines.stack.processes import Running

NAME = "mlflow"
QUESTION = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"


def prepare(settings: Settings, _domain: str = "") -> Launch:
    """The server on its port, with database and artifacts in the state folder.

    Raises StackError when a configured port is in use.
    """
    port = ports.port_for(settings, NAME, settings.mlflow.port, "mlflow.port")
    home = settings.state / "mlflow"
    home.mkdir(parents=True, exist_ok=True)
    return Launch(_command(port), _environ(str(home)), f"http://{ports.HOST}:{port}")


def answers(_settings: Settings, running: Running, timeout_s: float) -> bool:
    """Whether the server answers a question to its database within that time; the first one creates it."""
    connection = http.client.HTTPConnection(running.address.removeprefix("http://"), timeout=timeout_s)
    try:
        connection.request("GET", QUESTION)
        return connection.getresponse().status < http.client.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _command(port: int) -> list[str]:
    # `mlflow server` would start this same command, and keep a second interpreter as large to wait for it.
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app"]
    command += ["--host", ports.HOST, "--port", str(port)]
    return [*command, "--no-access-log", "--timeout-graceful-shutdown", "1"]


def _environ(home: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_", "UVICORN_"))}
    return kept | {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{home}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"{home}/artifacts",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        # Its job runner takes 1.8 GB and serves features that nothing here uses.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


MLFLOW = Part(
    name=NAME,
    prepare=prepare,
    answers=answers,
    configured=lambda settings: settings.mlflow.tracking_uri,
    patience_s=180,
    grace_s=lambda settings: 2,
)

"""The local MLflow: runs, artifacts and aliases go there and come back."""

import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient, artifacts

from pipelines.errors import StackError
from pipelines.settings import load
from pipelines.stack import processes
from tests.fixtures_stack import MlflowServer


def test_a_run_is_kept_with_its_figures_and_its_files(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    client = MlflowClient(mlflow_server.uri)
    run = client.create_run(client.create_experiment("kept"))
    client.log_metric(run.info.run_id, "ndcg", 0.61)
    (tmp_path / "ranker.txt").write_text("trees")
    client.log_artifact(run.info.run_id, str(tmp_path / "ranker.txt"))

    assert client.get_run(run.info.run_id).data.metrics == {"ndcg": 0.61}
    source = f"{run.info.artifact_uri}/ranker.txt"
    back = artifacts.download_artifacts(
        source, dst_path=str(tmp_path / "back"), tracking_uri=mlflow_server.uri
    )
    assert Path(back).read_text() == "trees"
    stored = list((mlflow_server.settings.state / "mlflow" / "artifacts").rglob("ranker.txt"))
    assert [path.read_text() for path in stored] == ["trees"]


def test_an_alias_points_to_a_version(mlflow_server: MlflowServer) -> None:
    client = MlflowClient(mlflow_server.uri)
    client.create_registered_model("stack-test")
    run = client.create_run(client.create_experiment("versions")).info
    version = client.create_model_version("stack-test", f"{run.artifact_uri}/model", run.run_id)
    client.set_registered_model_alias("stack-test", "champion", version.version)
    assert client.get_model_version_by_alias("stack-test", "champion").version == version.version


def test_the_server_is_one_process(mlflow_server: MlflowServer) -> None:
    running = processes.recorded(mlflow_server.settings, "mlflow")
    assert running is not None
    assert processes.members(running) == [running.pid]
    assert processes.memory_mb(running) < 500


def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        overrides = {"paths": {"state": str(tmp_path)}, "mlflow": {"port": port}}
        with pytest.raises(StackError, match=rf"port {port} of mlflow .*LAKEPULSE__MLFLOW__PORT=0"):
            MlflowServer(load(environ={}, overrides=overrides)).start()

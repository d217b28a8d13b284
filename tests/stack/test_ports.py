"""Ports: free ones stay, configured ones are never taken from anybody."""

import socket

import pytest

from pipelines.errors import StackError
from pipelines.settings import Settings
from pipelines.stack import ports


def test_a_free_port_stays_with_its_part(settings: Settings) -> None:
    first = ports.port_for(settings, "kafka", 0, "kafka.port")
    other = ports.port_for(settings, "mlflow", 0, "mlflow.port")
    assert first != other
    assert {first, other} <= set(ports.CHOICE)
    assert ports.port_for(settings, "kafka", 0, "kafka.port") == first


def test_a_remembered_port_that_somebody_took_is_given_up(settings: Settings) -> None:
    first = ports.port_for(settings, "kafka", 0, "kafka.port")
    with socket.create_server(("127.0.0.1", first)):
        second = ports.port_for(settings, "kafka", 0, "kafka.port")
        assert second != first
    assert ports.port_for(settings, "kafka", 0, "kafka.port") == second


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_configured_port_in_use_is_refused(settings: Settings, host: str) -> None:
    with socket.create_server((host, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} of mlflow is in use by .*\(pid \d+\)"):
            ports.port_for(settings, "mlflow", port, "mlflow.port")
    assert ports.port_for(settings, "mlflow", port, "mlflow.port") == port

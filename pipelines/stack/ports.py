"""Ports of the local stack: a configured one must be free, a chosen one stays from one start to the next."""

from __future__ import annotations

import random
import socket

import psutil

from pipelines.errors import StackError
from pipelines.settings import Settings
from pipelines.stack import records

HOST = "127.0.0.1"
# Below the range from which Linux takes ports for outgoing connections: a client that keeps dialling a dead
# server of this machine can otherwise be given the server's own port, and so take its place.
CHOICE = range(20000, 32000)
TRIES = 200
_by_chance = random.SystemRandom()  # two stacks that start at once must not try the same ports


def port_for(settings: Settings, name: str, configured: int, setting: str) -> int:
    """The port for a part: the configured one; for 0 the one it had last, else a free one, remembered.

    Raises StackError that names the port, who has it and the setting, when the configured one is in use.
    """
    if configured:
        if not is_free(configured):
            variable = f"LAKEPULSE__{setting.upper().replace('.', '__')}"
            raise StackError(
                f"port {configured} of {name} is in use by {listener(configured)}: stop that process, or set "
                f"{setting} to another port (0 = a free one), for example {variable}=0"
            )
        return configured
    path = records.run_folder(settings) / "ports.json"
    remembered = records.read(path)
    port = int(remembered.get(name, 0))
    if not port or not is_free(port):
        port = free_port(taken=set(remembered.values()))
        records.write(path, remembered | {name: port})
    return port


def free_port(taken: set[int] | None = None) -> int:
    """A port of this machine on which nothing listens, not one of `taken`; StackError when none is found."""
    for port in _by_chance.sample(CHOICE, TRIES):
        if port not in (taken or ()) and is_free(port):
            return port
    raise StackError(f"no free port between {CHOICE.start} and {CHOICE.stop - 1}: set the ports in conf/")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the machine now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listener(port: int) -> str:
    """Who listens on a port, as `java (pid 12)`; `another process` when the system does not tell."""
    try:
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
                return f"{psutil.Process(found.pid).name()} (pid {found.pid})"
    except psutil.Error:
        return "another process"
    return "another process"


def accepts(port: int) -> bool:
    """Whether something accepts connections on this port of the machine."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True

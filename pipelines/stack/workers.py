"""Several processes of one service: started alike, started again when one dies, ended together."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time

log = logging.getLogger("lakepulse")
LOOK_S = 0.2
AGAIN_S = 2.0


def supervise(count: int, port: int, grace_s: float) -> int:
    """Run this program `count` times on that port, each with its `--worker`, until SIGTERM or Ctrl-C.

    One that dies is started again. The exit code is 0 when all ended when asked.
    """
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    running = {number: _start(number, port) for number in range(count)}
    while not stop.wait(LOOK_S):
        for number, process in running.items():
            if process.poll() is not None:
                log.error("worker %d ended with code %d: starting it again", number, process.returncode)
                stop.wait(AGAIN_S)
                running[number] = _start(number, port)
    for process in running.values():
        process.terminate()
    until = time.monotonic() + grace_s
    codes = [_ended(process, until) for process in running.values()]
    return 0 if not any(codes) else 1


def _start(number: int, port: int) -> subprocess.Popen[bytes]:
    own = ["--worker", str(number), "--port", str(port)]
    return subprocess.Popen([sys.executable, *sys.orig_argv[1:], *own])


def _ended(process: subprocess.Popen[bytes], until: float) -> int:
    try:
        return process.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()

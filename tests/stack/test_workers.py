"""Several processes of one service: started again when one dies, ended together."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from pipelines.stack import processes

WORKER = """
import os, signal, sys, time
from pathlib import Path
from pipelines.stack.workers import supervise
if "--worker" not in sys.argv:
    sys.exit(supervise(2, 4711, 5.0))
number, port = (sys.argv[sys.argv.index(name) + 1] for name in ("--worker", "--port"))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
file = Path(sys.argv[1]) / f"{number}-{port}"
file.with_suffix(".new").write_text(str(os.getpid()))
file.with_suffix(".new").rename(file)
time.sleep(120)
"""


def test_workers_share_a_port_come_back_and_end_together(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}-4711" for number in range(2)]
    root = Path(__file__).resolve().parents[2]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    parent = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], env=environ)
    try:
        assert processes.wait_until(lambda: all(file.is_file() for file in files), 60)
        first, second = (int(file.read_text()) for file in files)
        files[0].unlink()
        os.kill(first, signal.SIGKILL)
        assert processes.wait_until(files[0].is_file, 60)
        assert int(files[0].read_text()) != first
        assert int(files[1].read_text()) == second
    finally:
        parent.terminate()
        code = parent.wait(30)
    assert code == 0
    for file in files:
        assert not Path(f"/proc/{file.read_text()}").exists()

"""The caches of compiled kernels."""

import re

import pytest

from pipelines.anomalies import machine
from pipelines.features import compiled


@pytest.mark.parametrize("room", [compiled, machine], ids=["features", "anomalies"])
def test_every_module_with_kernels_is_watched(room):
    holds = re.compile(r"^@compiled$", re.MULTILINE)
    files = {str(f.relative_to(room.ROOM).with_suffix("")): f for f in room.ROOM.rglob("*.py")}
    assert {name for name, f in files.items() if holds.search(f.read_text())} <= set(room.SOURCES)


def test_what_is_compiled_into_kernels_is_watched():
    assert {"program", "compiled"} <= set(compiled.SOURCES), "numbers of the program are compiled in"
    assert {"cells", "lent"} <= set(compiled.SOURCES), "so are intrinsics"
    assert "machine" in machine.SOURCES

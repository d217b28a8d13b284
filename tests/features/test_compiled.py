"""The cache of compiled kernels."""

import re

from pipelines.features import compiled


def test_every_module_with_kernels_is_watched():
    holds = re.compile(r"^@compiled$", re.MULTILINE)
    files = sorted(compiled.ROOM.glob("*.py"))
    assert {f.stem for f in files if holds.search(f.read_text())} <= set(compiled.SOURCES)
    assert {"program", "compiled"} <= set(compiled.SOURCES), "numbers of the program are compiled in"

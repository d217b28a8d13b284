"""The cache of compiled kernels."""

import re

from pipelines.features import compiled


def test_every_module_with_kernels_is_watched():
    holds = re.compile(r"^@compiled$", re.MULTILINE)
    files = {str(f.relative_to(compiled.ROOM).with_suffix("")): f for f in compiled.ROOM.rglob("*.py")}
    assert {name for name, f in files.items() if holds.search(f.read_text())} <= set(compiled.SOURCES)
    assert {"program", "compiled"} <= set(compiled.SOURCES), "numbers of the program are compiled in"

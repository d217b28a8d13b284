"""How far a store has been written to, in a few bytes that all its processes share: whoever keeps records
sees without a system call that nothing is new."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_BOTH = struct.Struct("<qq")  # the generation that is being written, and the last one that was
_REPLACED = -2


class Moment:
    """The two numbers in a file. One process at a time writes to a store; what it leaves half done when it is
    killed counts as unknown until the next write."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if need be; where this process may not write it, nothing is ever known."""
        self._map: mmap.mmap | None = None
        try:
            with path.open("a+b") as file:
                if file.seek(0, 2) < _BOTH.size:
                    file.truncate(_BOTH.size)
                self._map = mmap.mmap(file.fileno(), _BOTH.size)
        except PermissionError:
            return

    def is_at(self, number: int) -> bool:
        """Whether that generation is the last one, and no other is on its way."""
        return self._map is not None and _BOTH.unpack_from(self._map) == (number, number)

    def begin(self, number: int) -> None:
        """That generation is about to be there."""
        if self._map is not None:
            struct.pack_into("<q", self._map, 0, number)

    def end(self, number: int) -> None:
        """It is there."""
        if self._map is not None:
            struct.pack_into("<q", self._map, 8, number)

    def close(self) -> None:
        """Let go of the file; nothing is known from now on."""
        if self._map is not None:
            self._map.close()
            self._map = None


def replaced(folder: Path) -> None:
    """The store of this folder is not the one in use any longer: who keeps its records has to look."""
    moment = Moment(folder / "moment")
    moment.begin(_REPLACED)
    moment.close()

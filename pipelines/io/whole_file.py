"""A file that is read and replaced as a whole, on a disk of this machine or in an object store."""

from __future__ import annotations

import os

from pyarrow import fs

from pipelines.io.checkpoints import is_local, local_path


def read(where: str) -> bytes:
    """Its content; empty where there is none."""
    if is_local(where):
        path = local_path(where)
        return path.read_bytes() if path.is_file() else b""
    system, name = fs.FileSystem.from_uri(where)
    if system.get_file_info(name).type != fs.FileType.File:
        return b""
    return bytes(system.open_input_stream(name).read())


def replace(where: str, content: bytes) -> None:
    """Put `content` in its place, whole or not at all. (An object store replaces an object as a whole.)"""
    if not is_local(where):
        system, name = fs.FileSystem.from_uri(where)
        with system.open_output_stream(name) as stream:
            stream.write(content)
        return
    path = local_path(where)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)

"""The command `lakepulse`: each module of this package is one of its verbs.

A verb has `HELP`, one line; `add_arguments(parser)`; and `run(args)`, which gives the exit code. It imports
what is heavy inside `run`, so that help answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Protocol, cast

import pipelines
from pipelines.errors import LakePulseError, nearest

INTERRUPTED = 130


class Verb(Protocol):
    """What a module of this package offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what the verb takes."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code comes back."""


def verbs() -> list[str]:
    """Names of all verbs, in alphabetical order."""
    return sorted(
        m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb. Exit code: the verb's own, 1 for an error of ours, 2 for a wrong call, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    known = verbs()
    named = next((word for word in arguments if not word.startswith("-")), None)
    if named and named not in known:
        print(
            f"lakepulse: no verb {named!r}{nearest(named, known)}; `lakepulse --help` lists them",
            file=sys.stderr,
        )
        return 2
    args = _parser([named] if named else known).parse_args(arguments)
    try:
        return cast(int, args.run(args))
    except LakePulseError as problem:
        print(f"lakepulse {named}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough of it; nothing is left to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lakepulse", description=pipelines.__doc__)
    parser.add_argument("--version", action="version", version=f"lakepulse {pipelines.__version__}")
    choice = parser.add_subparsers(required=True, metavar="VERB", title="verbs")
    for name in names:
        verb = cast(Verb, importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))
        own = choice.add_parser(name, help=verb.HELP, description=verb.__doc__)
        verb.add_arguments(own)
        own.set_defaults(run=verb.run)
    return parser

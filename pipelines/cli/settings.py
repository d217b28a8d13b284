"""`lakepulse settings`: every setting, its value here and now, and what it means."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HELP = "list every setting with its value, unit and meaning"
SECTION = re.compile(r"^(\w+):\s*$")
LINE = re.compile(r"^  (\w+):\s*(.*?)(?:\s+# (.*))?$")


class Setting(NamedTuple):
    """A key of conf/base.yml: its section, name, default as text, and meaning."""

    section: str
    key: str
    default: str
    meaning: str


def known(base: Path) -> Iterator[Setting]:
    """The settings of a base file, in its order."""
    section = ""
    for line in base.read_text(encoding="utf-8").splitlines():
        if found := SECTION.match(line):
            section = found.group(1)
        elif found := LINE.match(line):
            yield Setting(section, found.group(1), found.group(2).strip('"'), found.group(3) or "")


def markdown(settings: list[Setting]) -> str:
    """The reference page docs/reference/settings.md."""
    lines = [
        "# Settings",
        "",
        "Defaults of `conf/base.yml`. A profile (`conf/<profile>.yml`) overrides single keys, an environment",
        "variable `LAKEPULSE__SECTION__KEY` overrides both: `LAKEPULSE__KAFKA__PORT=9092`. Unknown keys are",
        "errors. This page is what `lakepulse settings --markdown` prints.",
    ]
    section = ""
    for setting in settings:
        if setting.section != section:
            section = setting.section
            lines += ["", f"## {section}", "", "| key | default | meaning |", "|---|---|---|"]
        default = f"`{setting.default}`" if setting.default else "empty"
        lines.append(f"| `{setting.key}` | {default} | {setting.meaning} |")
    return "\n".join(lines) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The profile, and the form."""
    parser.add_argument("--profile", default="local", help="settings profile (default: local)")
    parser.add_argument("--markdown", action="store_true", help="print the reference page instead")


def run(args: argparse.Namespace) -> int:
    """Print them; exit code 0."""
    from rich.console import Console
    from rich.table import Table

    from pipelines import settings as settings_module

    settings = settings_module.load(args.profile)
    every = list(known(settings.root / "conf" / "base.yml"))
    if args.markdown:
        print(markdown(every), end="")
        return 0
    sheet = Table("setting", "value", "meaning")
    for setting in every:
        value = getattr(getattr(settings, setting.section), setting.key)
        shown = f"[bold]{value}[/bold]" if str(value) != setting.default else str(value)
        sheet.add_row(f"{setting.section}.{setting.key}", shown, setting.meaning)
    Console().print(sheet)
    return 0

"""What the documents say is what the project does."""

import json
import re
import shlex
from pathlib import Path

import pytest

from benchmarks import harness
from pipelines import cli
from pipelines.cli import settings as settings_verb
from pipelines.contracts import TABLES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = re.compile(r"^```[a-z]*\n(.*?)^```", re.S | re.M)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")


def commands(page: Path) -> list[list[str]]:
    """Words of every command that a page shows in a code block, with or without a prompt."""
    found = []
    for block in BLOCKS.findall(page.read_text()):
        for line in block.splitlines():
            line = re.sub(r"\s+#.*", "", line.removeprefix("$ ")).strip()
            if re.match(r"(make|lakepulse|\.venv/bin/lakepulse|\./spark-submit\.sh) ", line + " "):
                found.append(shlex.split(line))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_it_shows_exists(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    jobs = [p.stem for p in (ROOT / "jobs").glob("*.py")]
    for words in commands(page):
        name, rest = words[0], [w for w in words[1:] if not w.startswith("-") and "=" not in w]
        if name == "make":
            assert set(rest) <= set(targets), f"{page.name}: {words}"
        elif name.endswith("lakepulse"):
            assert not rest or rest[0] in [*cli.verbs(), "VERB"], f"{page.name}: {words}"
        else:
            assert not rest or rest[0] in [*jobs, "JOB"], f"{page.name}: {words}"


def test_the_readme_shows_the_two_commands():
    shown = commands(ROOT / "README.md")
    assert shown[:2] == [["make", "demo"], ["make", "test"]]


def test_the_settings_page_is_what_the_settings_are():
    current = settings_verb.markdown(list(settings_verb.known(ROOT / "conf" / "base.yml")))
    page = ROOT / "docs" / "reference" / "settings.md"
    assert page.read_text() == current, f"run: lakepulse settings --markdown > {page.relative_to(ROOT)}"


def test_every_setting_says_what_it_means():
    silent = [
        f"{s.section}.{s.key}" for s in settings_verb.known(ROOT / "conf" / "base.yml") if not s.meaning
    ]
    assert not silent


def test_the_tables_page_knows_every_table():
    page = (ROOT / "docs" / "reference" / "tables.md").read_text()
    missing = [name for name in TABLES if f"`{name}`" not in page and name not in page]
    assert not missing


def test_the_page_of_benchmarks_is_what_they_have_measured():
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(harness.RESULTS.glob("*.json"))}
    assert kept
    assert harness.PAGE.read_text() == harness.page(kept), "run a benchmark: it writes the page anew"
    for name in kept:
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), f"{name} is no benchmark: delete its figures"

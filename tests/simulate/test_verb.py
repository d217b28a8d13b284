"""`lakepulse simulate`: knobs are options, files hold what was asked for, wrong calls hear what is wrong."""

import argparse
import dataclasses
import gzip
import json
import signal
import subprocess
import sys
import time

import pytest

from pipelines import cli
from pipelines.cli import simulate
from pipelines.simulate.config import Drop, ShopConfig, Spike, TasteChange
from tests.simulate.played import play

SMALL = ("--users", "50", "--items", "60", "--events", "400")


def config_of(*options):
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return simulate.config_of(parser.parse_args(["--out", "-", *options]))


def test_without_options_the_shop_is_the_default_one():
    assert config_of() == ShopConfig()


@pytest.mark.parametrize(
    "knob", [f for f in dataclasses.fields(ShopConfig) if isinstance(f.default, int | float)]
)
def test_every_knob_is_an_option(knob):
    value = type(knob.default)(knob.default * 0.5 if knob.default else 0.25)
    assert getattr(config_of(f"--{knob.name.replace('_', '-')}", str(value)), knob.name) == value


def test_incidents_are_given_by_their_parts():
    options = ("--spikes", "1,2,3", "--spikes", "9,1,2", "--drops", "5,1", "--taste-changes", "3,0.5")
    config = config_of(*options, "--drops", "6,2,cart,0.3,web")
    assert config.spikes == (Spike(1, 2, 3), Spike(9, 1, 2))
    assert config.drops == (Drop(5, 1), Drop(6, 2, "cart", 0.3, "web"))
    assert config.taste_changes == (TasteChange(3, 0.5),)


@pytest.mark.parametrize("when", ["1767571200000", "2026-01-05", "2026-01-05T01:00:00+01:00"])
def test_the_start_is_a_time_or_a_date(when):
    assert config_of("--start-ms", when).start_ms == 1_767_571_200_000


def test_days_spread_the_events():
    assert config_of("--events", "86400", "--days", "2").rate == 0.5


def test_a_file_holds_the_shops_lines_and_another_their_labels(tmp_path, capsys):
    out, labels = tmp_path / "shop.jsonl.gz", tmp_path / "labels.jsonl"
    assert (
        cli.main(["simulate", "--out", str(out), "--labels", str(labels), "--late-share", "0.2", *SMALL]) == 0
    )
    played = play(400, ShopConfig(users=50, items=60, late_share=0.2))
    assert gzip.decompress(out.read_bytes()).splitlines() == played.lines
    assert [json.loads(line) for line in labels.read_text().splitlines()] == played.labels != []
    assert f"wrote {len(played.lines)} lines" in capsys.readouterr().out


def test_a_packed_file_is_the_same_bytes_every_time(tmp_path):
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        assert cli.main(["simulate", "--out", str(tmp_path / name), *SMALL]) == 0
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "shop.txt"), "give a file .jsonl or .jsonl.gz"),
        (("--out", "nowhere/shop.jsonl"), "there is no folder nowhere"),
        (("--out", "-", "--users", "0"), "users must be above 0"),
        (("--out", "-", "--drops", "1,1,wishes"), "of one of click, cart, purchase"),
        (("--out", "-", "--days", "3", "--events", "0"), "rate must be above 0"),
    ],
)
def test_what_cannot_be_is_refused_in_words(options, words, capsys):
    assert cli.main(["simulate", *options]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [("--drops", "1,x"), ("--spikes", "1,2,3,4"), ("--start-ms", "soon"), ("--rate", "-1")]
)
def test_a_wrong_option_is_a_wrong_call(options, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["simulate", "--out", "-", *options])
    assert stop.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_ctrl_c_ends_an_endless_shop_with_whole_lines(tmp_path):
    out = tmp_path / "shop.jsonl"
    command = ["simulate", "--out", str(out), "--events", "0", "--rate", "50", "--season-strength", "0"]
    code = f"import sys; from pipelines.cli import main; sys.exit(main({command!r}))"
    shop = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    shop.send_signal(signal.SIGINT)
    said, _ = shop.communicate(timeout=30)
    lines = out.read_bytes().splitlines(keepends=True)
    assert shop.returncode == 130
    assert f"wrote {len(lines):,} lines" in said
    assert all(line.endswith(b"\n") for line in lines)

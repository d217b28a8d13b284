"""`lakepulse features describe`: what it says of a domain, with and without rows."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from pipelines import cli
from pipelines import settings as settings_module
from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.domain import load_domain
from pipelines.features.definitions import compile_definitions
from pipelines.io import delta
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records

LAKE = settings_module.load(environ={})
DEFINITIONS = compile_definitions(load_domain("shop", LAKE))


def describe(capsys, *words):
    assert cli.main(["features", "describe", *words]) == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _empty_lake(tmp_path, monkeypatch):
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(tmp_path / "state"))


def fill(hashes):
    """Training rows of the lake, one per hash; the first feature is missing in every second one."""
    settings = settings_module.load()
    features = np.zeros((len(hashes), len(DEFINITIONS.names)), np.float32)
    features[::2, 0] = np.nan
    rows = {"domain": ["shop"] * len(hashes), "features": list(features), "definitions_hash": hashes}
    table = pa.table(rows)
    where = delta.path(settings, TRAINING_ROWS)
    write_deltalake(str(where).removeprefix("file://"), table, partition_by=["domain"])


def test_it_names_features_bytes_and_versions(capsys):
    found = json.loads(describe(capsys, "--domain", "shop", "--json"))
    assert [feature["name"] for feature in found["features"]] == DEFINITIONS.names
    assert found["definitions_hash"] == DEFINITIONS.hash
    assert found["layouts_hash"] == DEFINITIONS.layouts.hash
    assert found["bytes"]["user"] == 8 + DEFINITIONS.layouts.user.itemsize
    about = {"name": "shown_1h", "kind": "count", "measure": "", "window": "1h", "by": "item"}
    assert about | {"missing": None} in found["features"]
    assert found["rows"] == 0


def test_it_says_what_is_measured(capsys):
    lines = describe(capsys, "--domain", "ranklens_basic").splitlines()
    told = dict(line.split(maxsplit=1) for line in lines[4:-2])
    assert told["title_length"].split() == ["attribute", "words"]
    assert told["genre"].split() == ["attribute", "index"]
    assert told["divers_tags"].split() == ["context", "share"]
    assert told["divers_year"].split() == ["context", "median_difference"]


def test_it_says_how_often_each_is_missing_in_the_lake(capsys):
    fill([DEFINITIONS.hash, DEFINITIONS.hash, "another", DEFINITIONS.hash])
    found = json.loads(describe(capsys, "--json"))
    assert found["rows"] == 3
    assert [feature["missing"] for feature in found["features"]][:2] == [pytest.approx(1 / 3, abs=1e-6), 0]
    assert "missing in 3 shown items" in describe(capsys)


def test_it_counts_in_a_file(tmp_path):
    file = tmp_path / "events.jsonl"
    lines = [line for chunk in records(ShopConfig(malformed_share=0.0), 3_000) for line in chunk.lines]
    file.write_bytes(b"\n".join(lines))
    code = "from pipelines.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "features", "describe", "--file", str(file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=LAKE.root, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    missing = {feature["name"]: feature["missing"] for feature in found["features"]}
    assert found["rows"] > 1_000
    assert missing["shown_1h"] == 0
    assert 0 < missing["since_click"] < 1


def test_rows_of_other_definitions_are_not_counted(capsys):
    fill(["another"])
    assert describe(capsys).endswith("no rows of these definitions yet\n")


def test_a_wrong_call_is_answered(capsys):
    assert cli.main(["features", "describe", "--domain", "shp"]) == 1
    assert "did you mean 'shop'" in capsys.readouterr().err


def test_a_lake_without_rows_says_so(capsys):
    text = describe(capsys)
    assert "shown_1h" in text
    assert text.endswith("no rows of these definitions yet\n")

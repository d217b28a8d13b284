"""Settings: layers in order, frozen, and every mistake told with the nearest key."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines import settings as settings_module
from pipelines.errors import SettingsError
from pipelines.settings import SECTIONS, load, variables

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project(tmp_path):
    """A copy of the settings' files that a test may change."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    return tmp_path


def test_later_layers_win(project):
    (project / "conf" / "local.yml").write_text("kafka: {partitions: 5, heap_mb: 300}\n")
    environ = {"LAKEPULSE__KAFKA__HEAP_MB": "301", "LAKEPULSE__SILVER__WATERMARK_MINUTES": "7", "HOME": "/x"}
    loaded = load(environ=environ, overrides={"silver": {"watermark_minutes": 8}}, root=project)
    base = load("cluster", environ={}, root=project)
    assert (loaded.kafka.partitions, loaded.kafka.heap_mb, loaded.silver.watermark_minutes) == (5, 301, 8)
    assert base.kafka.partitions == 4


def test_settings_are_frozen():
    loaded = load(environ={})
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.kafka.partitions = 9


def test_every_key_of_the_files_has_a_meaning():
    assert set(settings_module._read(ROOT / "conf" / "base.yml")) == set(SECTIONS)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"LAKEPULSE__KAFKA__PARTITION": "4"},
            r"unknown setting kafka.partition in environment; did you mean",
        ),
        ({"LAKEPULSE__KAFAK__PORT": "4"}, r"unknown section 'kafak' in environment; did you mean 'kafka'\?"),
        ({"LAKEPULSE__KAFKA__PARTITIONS": "many"}, r"kafka.partitions must be int, not 'many'"),
        ({"LAKEPULSE__KAFKA__PARTITIONS": "true"}, r"kafka.partitions must be int, not True"),
        ({"LAKEPULSE__KAFKA__PARTITIONS": "[1"}, r"kafka.partitions is not YAML"),
        ({"LAKEPULSE__SPARK__UI": "perhaps"}, r"spark.ui must be bool, not 'perhaps'"),
        ({"LAKEPULSE__GOLD__ROLLING_DAYS": "[7, x]"}, r"gold.rolling_days must be int, not 'x'"),
    ],
)
def test_a_wrong_variable_is_told(environ, message):
    with pytest.raises(SettingsError, match=message):
        load(environ=environ)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("local.yml", "silver: {watermark: 5}", r"unknown setting silver.watermark in conf/local.yml"),
        ("local.yml", "silver: 5", r"section silver in conf/local.yml must hold keys and values, not 5"),
        ("local.yml", "[", r"local.yml is not YAML"),
        ("local.yml", "text", r"local.yml must hold sections of settings, not 'text'"),
        ("base.yml", "silver: {}", r"conf/base.yml lacks paths.state: every setting needs its default there"),
    ],
)
def test_a_wrong_file_is_told(project, file, text, message):
    (project / "conf" / file).write_text(text)
    with pytest.raises(SettingsError, match=message):
        load(environ={}, root=project)


def test_an_unknown_profile_is_told_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"no settings file .*moon.yml; profiles: \['cluster', 'local'"):
        load("moon", environ={})


def test_numbers_and_texts_of_variables_are_read_as_their_type():
    environ = {
        "LAKEPULSE__GATE__MIN_GAIN": "1",
        "LAKEPULSE__GOLD__ROLLING_DAYS": "[1, 2]",
        "LAKEPULSE__PATHS__STATE": "12",
        "LAKEPULSE__SPARK__UI": "true",
    }
    loaded = load(environ=environ)
    assert (loaded.gate.min_gain, loaded.gold.rolling_days, loaded.paths.state) == (1.0, (1, 2), "12")
    assert loaded.spark.ui is True


@hypothesis_settings(deadline=None)  # each example reads the settings several times
@given(st.integers(0, 2**40), st.text("ab: [{#'\"é", max_size=8), st.booleans())
def test_another_process_gets_the_same_settings(number, text, flag):
    changed = {"silver": {"watermark_minutes": number}, "paths": {"state": text}, "spark": {"ui": flag}}
    loaded = load(environ={}, overrides=changed)
    there = load(environ={k: v for k, v in variables(loaded).items() if k.startswith("LAKEPULSE__")})
    assert there == loaded


def test_an_address_that_is_not_known_names_the_remedy(tmp_path):
    loaded = load(environ={}, overrides={"paths": {"state": str(tmp_path)}})
    with pytest.raises(SettingsError, match=r"kafka.bootstrap is not set .* run `lakepulse up`, or set"):
        _ = loaded.bootstrap

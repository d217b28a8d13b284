"""Fixtures that the whole suite shares: one Spark session, settings in a temporary folder, the real data
where it is present."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import settings as settings_module
from pipelines.session import spark_session
from pipelines.settings import Settings

pytest_plugins = ["tests.fixtures_stack", "tests.fixtures_walk"]

ROOT = Path(__file__).resolve().parent.parent

# A process of pytest-xdist has no main file, which pyspark takes for a run of its own doctests, and ends it.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = str(Path(pytest.__file__).with_name("__main__.py"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The suite's one Spark session, with the settings that jobs use."""
    state = str(tmp_path_factory.mktemp("spark"))
    session = spark_session(
        settings_module.load(overrides={"paths": {"state": state}, "spark": {"driver_memory": "2g"}}), "tests"
    )
    yield session
    session.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an installation of its own, in a temporary folder."""
    return settings_module.load(environ={}, overrides={"paths": {"state": str(tmp_path)}})


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("LAKEPULSE_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(
            f"no real data at {folder}: set LAKEPULSE_SHARED_DATA to the folder that holds ranklens/ and nab/"
        )
    return folder


@pytest.fixture(scope="session")
def airflow_installed() -> Path:
    """The environment of Airflow; tests that need it are skipped where it could not be built."""
    folder = ROOT / ".venv-airflow"
    if not (folder / "bin" / "airflow").is_file():
        pytest.skip(f"no Airflow in {folder}: `make airflow` builds it")
    return folder

"""A part of a table comes as Arrow from a local lake, as Spark's rows where it is large, and is the same."""

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame

from pipelines import settings as settings_module
from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.domain import load_domain
from pipelines.features.definitions import compile_definitions
from pipelines.io import delta
from pipelines.io.parts import read_part
from pipelines.models.training import train_ranker
from pipelines.models.training_set import RANKING_COLUMNS, rankings
from tests.models.builders import some_training, training_rows

DEFINITIONS = compile_definitions(load_domain("shop", settings_module.load(environ={})))


@pytest.fixture(scope="module")
def lake(spark, tmp_path_factory):
    """Two domains, in a first version of 60 and 60 decisions, in a second of 80 and 60."""
    state = tmp_path_factory.mktemp("parts")
    settings = settings_module.load(environ={}, overrides={"paths": {"state": str(state)}})
    delta.append(training_rows(spark, DEFINITIONS, "other", 60, seed=1), TRAINING_ROWS, settings)
    for decisions in (60, 80):
        rows = training_rows(spark, DEFINITIONS, "shop", decisions)
        delta.replace(rows, TRAINING_ROWS, settings, "domain = 'shop'")
    return settings


def of_shop(spark, settings, **changes):
    return read_part(
        settings, TRAINING_ROWS, ("domain", "shop"), RANKING_COLUMNS, lambda: spark, **{"most": 800} | changes
    )


def test_a_local_part_is_read_without_spark(spark, lake):
    found = of_shop(spark, lake)
    assert isinstance(found, pa.Table)
    assert (found.num_rows, tuple(found.column_names)) == (800, RANKING_COLUMNS)


def test_a_larger_part_is_left_to_spark(spark, lake):
    found = of_shop(spark, lake, most=799)
    assert isinstance(found, DataFrame)
    assert (found.count(), tuple(found.columns)) == (800, RANKING_COLUMNS)


def test_an_earlier_version_can_be_read(spark, lake):
    newest = delta.version(spark, lake, TRAINING_ROWS)
    assert of_shop(spark, lake, at=newest).num_rows == 800
    assert of_shop(spark, lake, at=newest - 1).num_rows == 600
    assert of_shop(spark, lake, at=newest - 1, most=0).count() == 600


def test_a_table_without_rows_gives_none(spark, settings):
    assert of_shop(spark, settings).num_rows == 0


def test_the_same_rows_give_the_same_model_however_they_are_read(spark, lake):
    shuffled = of_shop(spark, lake, most=0).repartition(5, "position")
    ways = [of_shop(spark, lake), of_shop(spark, lake, most=0), shuffled, shuffled.coalesce(1)]
    training = some_training(rounds=5)
    models = [
        bytes(train_ranker(rows, DEFINITIONS, training).trained.booster.save_raw("ubj")) for rows in ways
    ]
    assert len(set(models)) == 1
    orders = [way.toArrow()["position"].to_pylist() for way in (shuffled, ways[1])]
    assert orders[0] != orders[1], "the rows came in another order"


def test_a_cut_of_neighbours_is_a_view_and_equals_a_cut_of_any(spark, lake):
    found = rankings(of_shop(spark, lake), DEFINITIONS)
    early = found.decided_at < found.decided_at[30]
    some = early.copy()
    some[5] = False
    assert found.where(early).features.base is not None
    for chosen in (early, some):
        cut = found.where(chosen)
        rows = chosen.repeat(found.sizes)
        assert (cut.positions == found.positions[rows]).all()
        assert cut.starts.tolist() == [0, *found.sizes[chosen].cumsum()]
        assert (cut.decided_at == found.decided_at[chosen]).all()

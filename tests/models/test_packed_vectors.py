"""A model carries the vectors of its features from the lake to whoever scores, and no others."""

import dataclasses
import datetime
import json

import msgspec
import numpy as np
import pytest

from pipelines.contracts.gold import TRAINING_ROWS, VECTORS
from pipelines.domain import parse_domain
from pipelines.errors import FeatureError, ModelError, TrainingError
from pipelines.features.definitions import compile_definitions
from pipelines.features.vectors import no_vectors
from pipelines.models import package, ranker, sealed
from pipelines.models.training_set import training_rows
from pipelines.models.vector_store import of_rows, stored_row, usable
from tests import builders_features as b
from tests.models.builders import some_examples, some_training
from tests.models.test_package import reseal

FEATURES = (
    "  - {name: like, kind: vector_similarity, space: text, of: click}\n"
    "  - {name: clicks, kind: count, of: click, by: item}\n"
)
DOMAIN = b.a_domain(FEATURES)
DEFINITIONS = compile_definitions(DOMAIN)
EXAMPLES = some_examples(60, width=2)
BOOSTER = ranker.train(
    EXAMPLES, some_examples(30, seed=2, width=2), DEFINITIONS.names, some_training(rounds=3)
).booster
OURS, OTHERS = b.some_vectors(), b.some_vectors(("i1", "i2", "i3"))


def save(folder, definitions=DEFINITIONS, vectors=OURS):
    package.save_ranker(folder, BOOSTER, definitions.to_json(), definitions.hash, EXAMPLES.features, vectors)
    return folder


def test_a_package_gives_back_the_vectors_it_was_given(tmp_path):
    loaded = package.load_ranker(save(tmp_path / "m"), DEFINITIONS.hash)
    assert loaded.vectors is not None
    assert loaded.vectors.version == OURS.version
    assert loaded.vectors.to_bytes() == OURS.to_bytes()
    assert sealed.fingerprint(save(tmp_path / "again")) == sealed.fingerprint(tmp_path / "m")


def test_a_package_without_its_vectors_is_neither_written_nor_loaded(tmp_path):
    with pytest.raises(ModelError, match="cannot be computed without them"):
        save(tmp_path / "m", vectors=None)
    (save(tmp_path / "m") / "vectors.npz").unlink()
    with pytest.raises(ModelError, match=r"vectors.npz is missing for this ranker's features"):
        package.load_ranker(tmp_path / "m")


def test_vectors_that_no_feature_needs_are_refused(tmp_path):
    plain = b.definitions_of("  - {name: clicks, kind: count, of: click, by: item}\n")
    with pytest.raises(ModelError, match="the features need no vectors"):
        save(tmp_path / "m", definitions=plain)


def test_foreign_vectors_are_refused_even_with_a_manifest_that_agrees(tmp_path):
    reseal(save(tmp_path / "m"), "vectors.npz", OTHERS.to_bytes())
    with pytest.raises(ModelError, match=f"holds the vectors {OTHERS.version}, the ranker was trained with"):
        package.load_ranker(tmp_path / "m")


def test_damaged_vectors_are_refused(tmp_path):
    reseal(save(tmp_path / "m"), "vectors.npz", OURS.to_bytes()[:-30])
    with pytest.raises(ModelError, match=r"vectors.npz: these are no vectors, or they are damaged"):
        package.load_ranker(tmp_path / "m")


def test_the_same_features_with_other_vectors_are_other_rows():
    rows = [
        b.an_event(item_id="i1", event_time=b.NOW - 1),
        b.a_decision(decision_id="d1", items=["i1", "i2", "i3"]),
    ]
    events, decisions = b.silver(rows)
    outcomes = b.outcomes_of(rows[1:], {})

    def made(vectors):
        items = b.table(b.ITEMS, [])
        return training_rows("shop", DEFINITIONS, events, decisions, items, outcomes, vectors)

    ours, others = made(OURS), made(OTHERS)
    assert ours.column_names == TRAINING_ROWS.schema.fieldNames()
    assert set(ours["vectors_version"].to_pylist()) == {OURS.version}
    assert ours["features"].to_pylist() != others["features"].to_pylist()
    likeness = np.array(ours["features"].to_pylist())[:, 0]
    assert likeness[0] == pytest.approx(1), "the candidate is what the user clicked"
    with pytest.raises(FeatureError, match="and none are given"):
        made(None)


# The lake.

AT = datetime.datetime(2026, 1, 10, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def told(until):
    """Vectors that say they were built for the shop of what was known until then."""
    spaces = msgspec.to_builtins(DOMAIN.vectors)
    about = {"domain": DOMAIN.name, "spaces": spaces, "until_ms": int(until.timestamp() * 1000)}
    return dataclasses.replace(no_vectors(), about=json.dumps(about))


def rows_made_with(spark, *versions):
    return spark.createDataFrame([(version,) for version in versions], "vectors_version string")


def test_the_newest_usable_vectors_are_taken(spark):
    versions = {days: told(AT - days * DAY) for days in (1, 3, 30)}
    rows = [stored_row(versions[days], AT + n * DAY) for n, days in enumerate((1, 3, 30))]
    stored = spark.createDataFrame(rows, VECTORS.schema)
    until = int(AT.timestamp() * 1000)
    found = usable(stored, DOMAIN, until, refresh_days=7)
    assert found is not None
    assert found.version == versions[3].version, "built last of those that are fresh enough"
    assert usable(stored, DOMAIN, until - 2 * 86_400_000, 7).version == versions[3].version
    assert usable(stored, DOMAIN, until, refresh_days=0.5) is None
    assert usable(stored, DOMAIN, until - 40 * 86_400_000, 7) is None, "they know of what will judge"
    other = parse_domain(b.SHOP.replace("keep: 3", "keep: 4") + FEATURES, "shop.yml")
    assert usable(stored, other, until, 7) is None, "of another section"


def test_rows_lead_to_the_vectors_they_were_made_with(spark):
    ours, others = told(AT), told(AT + DAY)
    rows = spark.createDataFrame([stored_row(v, AT) for v in (ours, others)], VECTORS.schema)

    def stored(version):
        return rows.where(rows.version == version).toArrow()

    found = of_rows(rows_made_with(spark, ours.version, ours.version), stored, DEFINITIONS)
    assert found is not None
    assert found.version == ours.version
    plain = b.definitions_of("  - {name: clicks, kind: count, of: click, by: item}\n")
    assert of_rows(rows_made_with(spark, None), stored, plain) is None
    for versions, problem in (
        ((ours.version, others.version), "a model carries one version"),
        ((None,), "was made with the vectors None"),
        (("ffff",), "ffff, which gold.vectors does not hold"),
    ):
        with pytest.raises(TrainingError, match=f"{problem}.*run build_training_set again"):
            of_rows(rows_made_with(spark, *versions), stored, DEFINITIONS)


def test_other_content_under_a_version_is_refused(spark):
    row = list(stored_row(told(AT), AT))
    row[-1] = told(AT + DAY).to_bytes()
    stored = spark.createDataFrame([tuple(row)], VECTORS.schema)
    with pytest.raises(FeatureError, match="holds other content under"):
        usable(stored, DOMAIN, int(AT.timestamp() * 1000), 7)

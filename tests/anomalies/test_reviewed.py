"""Reviews teach an order of alerts, where the later ones show that it helps."""

import dataclasses
import datetime
import doctest

import numpy as np
import pyarrow as pa
import pytest

from pipelines.anomalies import reviewed
from pipelines.anomalies.alert_rows import utc
from pipelines.anomalies.calibrating import ReviewedPast
from pipelines.anomalies.ordering import learnt_by, order_rows
from pipelines.anomalies.reviewed import Order, Reviewed, learn, order_of, reviewed_vectors, taught, told_of
from pipelines.anomalies.vectors import OutlierModel
from pipelines.errors import ModelError
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.outliers import OutlierConfig
from pipelines.models.scoring import Champion
from tests.builders_watch import MINUTE, NOON_MS

NAMES = ("clicks", "carts", "failures", "spent", "devices")
CHANCE = np.random.default_rng(5)
MODEL = OutlierModel.fit(
    CHANCE.gamma(2.0, size=(1500, 5)), seed=1, names=NAMES, config=OutlierConfig(reference=200)
)
OUTLIERS = Outliers({"user/5": MODEL})


def unusual(n: int, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(vectors that are unusual by clicks or by failures, which of them by failures)."""
    vectors, by_failures = chance.gamma(2.0, size=(n, 5)), chance.random(n) < 0.4
    vectors[np.arange(n), np.where(by_failures, 2, 0)] = chance.uniform(15, 60, n)
    return vectors, by_failures


def some_reviews(n: int, seed: int, told: bool) -> tuple[np.ndarray, Reviewed]:
    """Alerts, with their vectors. When `told`, those by failures are the confirmed ones; else verdicts are
    drawn by chance."""
    chance = np.random.default_rng(seed)
    vectors, by_failures = unusual(n, chance)
    confirmed = by_failures ^ (chance.random(n) < 0.1) if told else chance.random(n) < 0.4
    scores = MODEL.score(vectors)
    return vectors, Reviewed(
        *(told_of(MODEL, vectors, scores), np.arange(n), scores, confirmed, np.arange(n) * 60_000)
    )


def test_the_example_runs():
    assert doctest.testmod(reviewed).failed == 0


def test_an_order_that_beats_the_one_without_on_later_reviews_is_used():
    order, evidence = learn(NAMES, some_reviews(150, 1, told=True)[1])
    assert evidence.low > 0
    assert evidence.judged == 60
    assert evidence.told.endswith(": used")
    vectors, new = some_reviews(400, 2, told=True)
    places = np.argsort(-order.scores(MODEL, vectors, MODEL.score(vectors)))[:100]
    by_score = np.argsort(-new.without)[:100]
    assert new.confirmed[places].mean() > new.confirmed[by_score].mean() + 0.2


@pytest.mark.parametrize("seed", range(3))
def test_an_order_learnt_from_chance_is_not_used(seed):
    order, evidence = learn(NAMES, some_reviews(150, seed, told=False)[1])
    assert order is None
    assert evidence.low <= 0
    assert evidence.told.endswith("not used")


def test_what_only_earlier_reviews_say_is_not_used():
    reviews = some_reviews(150, 3, told=True)[1]
    turned = np.where(np.arange(150) < 90, reviews.confirmed, ~reviews.confirmed)
    assert learn(NAMES, dataclasses.replace(reviews, confirmed=turned))[0] is None


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
def test_few_reviews_teach_nothing(count):
    some = some_reviews(20, 1, told=True)[1]
    order, evidence = learn(NAMES, some.part(np.arange(20) < count))
    assert (order, evidence.low, evidence.is_better) == (None, None, False)
    assert "too few" in evidence.told


def test_an_incident_of_many_entities_is_one_review():
    reviews = some_reviews(150, 1, told=True)[1]
    again = reviews.part(np.r_[np.repeat(0, 300), np.arange(150)])
    once, heaped = learn(NAMES, reviews)[1], learn(NAMES, again)[1]
    assert (heaped.reviews, heaped.judged) == (once.reviews, once.judged)
    assert heaped.ours == pytest.approx(once.ours, abs=0.05)
    assert heaped.without == once.without


def test_a_learnt_order_survives_freezing_and_judges_each_vector_alone():
    order, _ = learn(NAMES, some_reviews(150, 1, told=True)[1])
    again = Order.from_frozen(order.frozen())
    vectors, new = some_reviews(60, 9, told=True)
    whole = order.scores(MODEL, vectors, new.without)
    np.testing.assert_array_equal(again.scores(MODEL, vectors, new.without), whole)
    alone = [order.scores(MODEL, vectors[n : n + 1], new.without[n : n + 1])[0] for n in range(60)]
    np.testing.assert_array_equal(alone, whole)
    other = OutlierModel.fit(vectors, seed=1, names=tuple("abcde"))
    with pytest.raises(ModelError, match="of other features"):
        order.scores(other, vectors, new.without)


def test_a_damaged_order_is_refused():
    frozen = learn(NAMES, some_reviews(150, 1, told=True)[1])[0].frozen()
    for broken, why in (
        (frozen | {"spread": "x"}, "damaged"),
        (frozen | {"format": 0}, "of format 0"),
        (frozen | {"weights": [1.0]}, "does not fit"),
    ):
        with pytest.raises(ModelError, match=why):
            Order.from_frozen(broken)


def a_review(incident: str, verdict: str, reviewer: str = "ann", minute: int = 30, user: str = "u1", **more):
    start = NOON_MS + (more.pop("first", 0)) * MINUTE
    return {
        "review_id": f"{incident}{reviewer}{minute}",
        "reviewed_at": utc(start + minute * MINUTE),
        "action": "verdict",
        "incident_id": incident,
        "kind": "outlier",
        "reviewer": reviewer,
        "verdict": verdict,
        "p": 1e-3,
        "exposure": 10.0,
        "entities": [{"entity": "user", "entity_id": user}],
        "window_start": utc(start),
        "window_end": utc(start + 10 * MINUTE),
    } | more


def some_windows(*rows: tuple[str, int, np.ndarray]) -> pa.Table:
    """Rows of gold.behaviour_vectors: user, minute after noon, vector."""
    return pa.table(
        {
            "entity": ["user"] * len(rows),
            "entity_id": [user for user, *_ in rows],
            "window_minutes": pa.array([5] * len(rows), pa.int32()),
            "window_start": pa.array(
                [utc(NOON_MS + m * MINUTE) for _, m, _ in rows], pa.timestamp("us", "UTC")
            ),
            "vector": [list(vector) for *_, vector in rows],
        }
    )


def test_reviews_mark_the_unusual_vectors_of_their_incidents():
    odd, usual = np.array([60.0, 1, 1, 1, 1]), np.full(5, 2.0)
    windows = some_windows(
        *((user, minute, odd + minute) for user in ("u1", "u2", "u3", "u4") for minute in (0, 5, 10)),
        ("u1", 6, usual),
    )
    reviews = [
        a_review("i1", "false_alarm", minute=30),
        a_review("i1", "confirmed", minute=31),  # the same reviewer thought again
        a_review("i1", "false_alarm", "bob", minute=32),
        a_review("i2", "false_alarm", user="u2", p=1e-2),
        a_review("i3", "expected", user="u3"),
        a_review("i4", "confirmed", user="u4", kind="sample"),
    ]
    found = reviewed_vectors(OUTLIERS, ReviewedPast(windows, reviews), 100.0)
    vectors = np.array([odd, odd + 5, odd, odd + 5])
    order = np.lexsort((found.told[:, 1], found.incident))
    np.testing.assert_array_equal(found.told[order], told_of(MODEL, vectors, MODEL.score(vectors)))
    assert found.incident[order].tolist() == [0, 0, 1, 1]
    assert found.confirmed[order].tolist() == [True, True, False, False]
    assert found.without[order][0] > found.without[order][-1] > 0
    assert found.counts == (1, 1)
    assert reviewed_vectors(OUTLIERS, ReviewedPast(windows, []), 100.0).told.shape == (0, 6)


def test_models_carry_the_order_with_its_evidence_and_put_alerts_in_it():
    vectors, by_failures = unusual(150, np.random.default_rng(1))
    windows = some_windows(*((f"u{n}", 60 * n, vector) for n, vector in enumerate(vectors)))
    verdicts = np.where(by_failures, "confirmed", "false_alarm")
    reviews = [a_review(f"i{n}", str(v), user=f"u{n}", first=60 * n) for n, v in enumerate(verdicts)]
    known = taught(OUTLIERS, ReviewedPast(windows, reviews), 100.0)
    again = Outliers.from_frozen(*known.frozen())
    assert order_of(again).frozen() == order_of(known).frozen()
    [row] = order_rows(again, Champion("shop-outliers", "2", "", None), datetime.datetime.now()).to_pylist()
    assert (row["is_used"], row["reviews"], row["judged"], row["low"] > 0) == (True, 150, 60, True)
    rows = windows.append_column("score", pa.array(MODEL.score(vectors)))
    rows = rows.append_column("p_value", pa.array(np.where(np.arange(150) % 2, 1e-4, 0.5)))
    learnt = learnt_by(rows, again)
    assert np.isnan(learnt[::2]).all(), "what is usual has no place in the order"
    assert learnt[1::2][by_failures[1::2]].min() > learnt[1::2][~by_failures[1::2]].max()
    assert np.isnan(learnt_by(rows, OUTLIERS)).all()
    assert order_rows(OUTLIERS, Champion("shop-outliers", "1", "", None), None).num_rows == 0
    few = taught(OUTLIERS, ReviewedPast(windows, reviews[:9]), 100.0)
    assert order_of(few) is None
    [row] = order_rows(few, Champion("shop-outliers", "1", "", None), datetime.datetime.now()).to_pylist()
    assert (row["is_used"], row["ours"]) == (False, None)

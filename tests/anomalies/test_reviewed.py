"""Reviews teach an order of alerts, where the later ones show that it helps."""

import datetime
import doctest
import json

import numpy as np
import pytest

from pipelines.anomalies import reviewed
from pipelines.anomalies.reviewed import Order, Reviewed, learn, reviewed_vectors
from pipelines.anomalies.vectors import OutlierModel
from pipelines.errors import ModelError
from pipelines.models.outliers import OutlierConfig

NAMES = ("clicks", "carts", "failures", "spent", "devices")
CHANCE = np.random.default_rng(5)
MODEL = OutlierModel.fit(
    CHANCE.gamma(2.0, size=(1500, 5)), seed=1, names=NAMES, config=OutlierConfig(reference=200)
)


def some_reviews(n: int, seed: int, told: bool) -> Reviewed:
    """Alerts that are unusual by clicks or by failures. When `told`, those by failures are the confirmed
    ones; else verdicts are drawn by chance."""
    chance = np.random.default_rng(seed)
    vectors = chance.gamma(2.0, size=(n, 5))
    by_failures = chance.random(n) < 0.4
    vectors[np.arange(n), np.where(by_failures, 2, 0)] = chance.uniform(15, 60, n)
    confirmed = by_failures ^ (chance.random(n) < 0.1) if told else chance.random(n) < 0.4
    return Reviewed(vectors, np.arange(n), confirmed, np.arange(n) * 60_000)


def test_the_example_runs():
    assert doctest.testmod(reviewed).failed == 0


def test_an_order_that_beats_the_unsupervised_one_on_later_reviews_is_used():
    order, evidence = learn(MODEL, some_reviews(150, 1, told=True))
    assert evidence.low > 0
    assert evidence.judged == 60
    assert "used" in evidence.told
    new = some_reviews(400, 2, told=True)
    places = np.argsort(-order.scores(MODEL, new.vectors))[:100]
    by_score = np.argsort(-MODEL.score(new.vectors))[:100]
    assert new.confirmed[places].mean() > new.confirmed[by_score].mean() + 0.2


@pytest.mark.parametrize("seed", range(3))
def test_an_order_learnt_from_chance_is_not_used(seed):
    order, evidence = learn(MODEL, some_reviews(150, seed, told=False))
    assert order is None
    assert evidence.low <= 0
    assert evidence.told.endswith("not used")


def test_what_only_earlier_reviews_say_is_not_used():
    reviews = some_reviews(150, 3, told=True)
    turned = np.where(np.arange(150) < 90, reviews.confirmed, ~reviews.confirmed)
    assert learn(MODEL, Reviewed(reviews.vectors, reviews.incident, turned, reviews.at_ms))[0] is None


def test_few_reviews_teach_nothing():
    order, evidence = learn(MODEL, some_reviews(20, 1, told=True))
    assert order is None
    assert "too few" in evidence.told
    assert learn(MODEL, reviewed_vectors([], []))[0] is None


def test_an_incident_of_many_entities_is_one_review():
    reviews = some_reviews(150, 1, told=True)
    many = np.r_[np.repeat(0, 300), np.arange(150)]
    again = Reviewed(
        reviews.vectors[many], reviews.incident[many], reviews.confirmed[many], reviews.at_ms[many]
    )
    once, heaped = learn(MODEL, reviews)[1], learn(MODEL, again)[1]
    assert (heaped.reviews, heaped.judged) == (once.reviews, once.judged)
    assert heaped.ours == pytest.approx(once.ours, abs=0.05)
    assert heaped.without == once.without


def test_a_learnt_order_survives_text_and_judges_each_vector_alone():
    order, _ = learn(MODEL, some_reviews(150, 1, told=True))
    again = Order.from_json(order.to_json())
    vectors = some_reviews(60, 9, told=True).vectors
    whole = order.scores(MODEL, vectors)
    np.testing.assert_array_equal(again.scores(MODEL, vectors), whole)
    np.testing.assert_array_equal([order.scores(MODEL, row[None])[0] for row in vectors], whole)
    other = OutlierModel.fit(vectors, seed=1, names=tuple("abcde"))
    with pytest.raises(ModelError, match="another outlier model"):
        order.scores(other, vectors)


def test_a_damaged_order_is_refused():
    order, _ = learn(MODEL, some_reviews(150, 1, told=True))
    about = json.loads(order.to_json())
    for broken, why in (
        ("{", "damaged"),
        (json.dumps(about | {"format": 0}), "of format 0"),
        (json.dumps(about | {"weights": [1.0]}), "does not fit"),
    ):
        with pytest.raises(ModelError, match=why):
            Order.from_json(broken)


def at(minute: int) -> datetime.datetime:
    return datetime.datetime(2026, 3, 1, 12, minute, tzinfo=datetime.UTC)


def a_review(incident: str, verdict: str, reviewer: str = "ann", minute: int = 30, user: str = "u1") -> dict:
    return {
        "review_id": f"{incident}{reviewer}{minute}",
        "reviewed_at": at(minute),
        "action": "verdict",
        "incident_id": incident,
        "reviewer": reviewer,
        "verdict": verdict,
        "entities": [{"entity": "user", "entity_id": user}],
        "window_start": at(0),
        "window_end": at(10),
    }


def test_reviews_mark_the_vectors_of_their_incidents():
    windows = [
        {"entity": "user", "entity_id": user, "window_start": at(minute), "vector": [float(minute), 1.0]}
        for user in ("u1", "u2", "u3")
        for minute in (0, 5, 10)
    ]
    reviews = [
        a_review("i1", "false_alarm", minute=30),
        a_review("i1", "confirmed", minute=31),  # the same reviewer thought again
        a_review("i1", "false_alarm", "bob", minute=32),
        a_review("i2", "false_alarm", user="u2"),
        a_review("i3", "expected", user="u3"),
    ]
    found = reviewed_vectors(reviews, windows)
    np.testing.assert_array_equal(found.vectors, [[0, 1], [5, 1], [0, 1], [5, 1]])
    assert found.confirmed.tolist() == [True, True, False, False]
    assert (np.diff(found.at_ms[:2]) == 0).all()
    assert found.incident.tolist() == [0, 0, 1, 1]
    assert found.counts == (1, 1)
    assert reviewed_vectors([], windows).vectors.shape == (0, 0)

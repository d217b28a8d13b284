"""What waits for the store: bounded, in order, let go of when it is folded."""

from functools import partial

from pipelines.features.program import RECENT_IDS
from pipelines.serving.accepted import Accepted, Taken
from pipelines.serving.intake import decided


def taken(number, offset=-1):
    made = partial(decided, "u", f"d{number}", ["a", "b"], "red shoes", number)
    return Taken(made, "interactions", 0, offset)


def test_what_is_folded_is_let_go_and_the_rest_stays_in_its_order():
    kept = Accepted(10)
    for number in range(4):
        kept.take("u", taken(number, offset=number))
    assert kept.of("u").times.tolist() == [0, 1, 2, 3]
    kept.pass_fences("u", {("interactions", 0): 2, ("interactions", 1): 9})
    assert kept.of("u").times.tolist() == [2, 3]
    assert kept.of("u").lists_from.tolist() == [0, 2]
    kept.pass_fences("u", {("interactions", 0): 4})
    assert kept.of("u") is None
    assert len(kept) == 0


def test_what_kafka_has_not_acknowledged_counts_as_not_folded():
    kept = Accepted(10)
    kept.take("u", taken(1))
    kept.pass_fences("u", {("interactions", 0): 100})
    assert len(kept.of("u")) == 1


def test_no_more_is_kept_than_a_record_knows_ids_of_and_the_oldest_users_go_first():
    kept = Accepted(2)
    for number in range(RECENT_IDS + 3):
        kept.take("u", taken(number))
    assert len(kept.of("u")) == RECENT_IDS
    for user in ("v", "w"):
        kept.take(user, taken(0))
    assert not kept.may_have("u")
    assert (len(kept), kept.forgotten) == (2, 3 + RECENT_IDS)

"""Which findings have one cause."""

from pipelines.anomalies.grouping import grouped
from tests.builders_watch import MINUTE, an_outlier

LINKS = {"device": "d1", "address": "a1"}
CROWDED = {"device=d1": 230, "address=a1": 230}


def sizes(findings, carriers):
    return sorted(len(group.findings) for group in grouped(findings, [], carriers, 0.3, 60 * MINUTE))


def test_a_link_that_many_usual_ones_share_joins_nobody():
    assert sizes([an_outlier("ann", links=LINKS), an_outlier("bob", links=LINKS)], CROWDED) == [1, 1]
    assert sizes([an_outlier("ann", links=LINKS), an_outlier("bob", links=LINKS)], {"device=d1": 4}) == [2]


def test_a_device_that_is_unusual_itself_joins_what_is_unusual_with_it():
    device = an_outlier("d1", entity="device", links=LINKS)
    address = an_outlier("a1", entity="address", links=LINKS)
    session = an_outlier("s1", entity="session", links=LINKS)
    other = an_outlier("cas", links={"device": "d2", "address": "a2"})
    found = [device, address, session, an_outlier("ann", links=LINKS), other]
    assert sizes(found, CROWDED) == [1, 4]
    assert sizes([session, other], CROWDED) == [1, 1]

"""The quick route takes only what the judge finds good, and makes the same of it."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import settings as settings_module
from pipelines.contracts.silver import QUARANTINE
from pipelines.domain import load_domain, parse_domain
from pipelines.silver import sheets
from pipelines.silver.judge import Judge
from pipelines.silver.quick import quick_route
from pipelines.silver.sheets import Clerk
from tests.builders import NOW, NOW_MS, a_decision, a_purchase, an_event, an_item, as_bytes, landed_rows

SETTINGS = settings_module.load(environ={})
SHOP = load_domain("shop", SETTINGS)

TEXTS = st.text('ab1é"\\ \n', max_size=4)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.sampled_from([0, 1, NOW_MS, NOW_MS + 300_000, NOW_MS + 300_001, 2**31, 2**63, str(NOW_MS), "12", ""]),
    st.floats(),
    TEXTS,
    st.sampled_from(["click", "decision", "item", "purchase", "x" * 513]),
    st.lists(st.one_of(TEXTS, st.integers(), st.none()), max_size=3),
    st.dictionaries(TEXTS, st.integers(), max_size=2),
)
NAMES = st.sampled_from(
    [*a_purchase(), *a_decision(), "query", "as_of", "record", "schema_version", "extra", "properties"]
)
RECORDS = st.builds(
    lambda record, changes: record | changes,
    st.sampled_from([an_event(), a_purchase(), a_decision(), an_item()]),
    st.dictionaries(NAMES, VALUES, max_size=3),
)
MESSAGES = st.one_of(RECORDS.map(as_bytes), st.binary(max_size=40), st.none())


def landed_values(values):
    rows = landed_rows(*values)
    return rows.rename_columns(["arrived_at" if n == "timestamp" else n for n in rows.column_names])


def outcome(clerk, values):
    """Position → (table, fields) of each message."""
    found = {}
    for sheet in clerk.sheets(landed_values(values)):
        for position, row in zip(sheet.positions.tolist(), sheet.columns.to_pylist(), strict=True):
            assert position not in found, "a row is on two sheets"
            found[position] = (sheet.table.name, row)
    return found


def slow_clerk(domain):
    """A clerk that asks the judge for each message."""
    clerk = Clerk(domain, SETTINGS.silver)
    clerk._quick = []
    return clerk


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGES, max_size=6))
def test_both_routes_judge_alike(values):
    quick = Clerk(SHOP, SETTINGS.silver)
    expected = outcome(slow_clerk(SHOP), values)
    assert outcome(quick, values) == expected
    assert outcome(quick, values) == expected, "what was learnt from the first pass changes nothing"
    assert len(expected) == len(values)


def test_the_simulated_shop_takes_the_quick_route():
    clerk = Clerk(SHOP, SETTINGS.silver)
    taken, left = clerk._decode(
        [as_bytes(r) for r in (an_event(), a_purchase(), a_decision(), an_item())], {}
    )
    assert sorted((route.kind, positions) for route, (_, positions) in taken.items()) == [
        ("decision", [2]),
        ("interaction", [0, 1]),
    ]
    assert left == [3]


def test_fields_that_no_mapping_reads_are_learnt():
    clerk = Clerk(SHOP, SETTINGS.silver)
    value = as_bytes(an_event(campaign="x"))
    assert clerk._decode([value], {})[1] == [0]
    first = outcome(clerk, [value])
    assert clerk._decode([value], {})[1] == []
    assert outcome(clerk, [value]) == first
    assert first[0][1]["properties"] == [("campaign", '"x"')]


def test_a_field_that_decides_the_kind_is_never_learnt():
    clerk = Clerk(SHOP, SETTINGS.silver)
    outcome(clerk, [as_bytes(an_event(record="other"))])
    assert outcome(clerk, [as_bytes(an_event(record="item"))])[0][0] == QUARANTINE.name


NUMBERED = """
name: numbered
time_unit: UNIT
records:
  - kind: interaction
    fields: {event_id: id, event_time: at, event_type: what, user_id: who, session_id: who}
    constants: {source: web}
attributes: {}
event_types: {view: {}}
outcomes: {window_minutes: 5, gains: {view: 1}}
features: []
"""


@pytest.mark.parametrize(
    ("unit", "at"),
    [("s", NOW_MS // 1000), ("s", str(NOW_MS // 1000)), ("s", NOW_MS / 1000), ("iso8601", NOW.isoformat())],
)
def test_every_unit_of_time_and_numbered_users(unit, at):
    domain = parse_domain(NUMBERED.replace("UNIT", unit), "numbered.yml")
    values = [as_bytes({"id": n, "at": at, "what": "view", "who": n if n else "u"}) for n in range(3)]
    values.append(as_bytes({"id": 9, "at": "soon", "what": "view", "who": 1}))
    found = outcome(Clerk(domain, SETTINGS.silver), values)
    assert found == outcome(slow_clerk(domain), values)
    assert [found[n][1]["user_id"] for n in range(3)] == ["u", "1", "2"]
    assert {found[n][1]["event_time"] for n in range(3)} == {NOW}
    assert found[3][0] == QUARANTINE.name


def test_a_nested_mapping_has_no_quick_route():
    limits = Judge(SHOP, SETTINGS.silver).limits
    domain = load_domain("ranklens", SETTINGS)
    assert [quick_route(domain, i, limits) is not None for i in range(3)] == [False, False, True]


def test_a_file_that_could_not_be_read_is_quarantined_with_the_reason_of_its_header():
    rows = landed_rows(an_event(), headers=[{"key": "unreadable", "value": b"a.csv cannot be read"}])
    rows = rows.rename_columns(["arrived_at" if n == "timestamp" else n for n in rows.column_names])
    (sheet,) = Clerk(SHOP, SETTINGS.silver).sheets(rows)
    assert (sheet.table, sheet.columns.to_pylist()) == (QUARANTINE, [{"reasons": ["a.csv cannot be read"]}])


def test_columns_have_the_types_of_their_table():
    (sheet,) = Clerk(SHOP, SETTINGS.silver).sheets(landed_values([as_bytes(an_event())]))
    assert sheet.columns.schema.field("event_time").type == pa.timestamp("us", tz="UTC")
    assert set(sheet.columns.column_names) <= set(sheets.TABLE_OF["interaction"].schema.names)

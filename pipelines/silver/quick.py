"""The quick route: records of one flat mapping, decoded straight into typed rows. What it takes, the judge
finds good too.

It gives no reasons: a message that it does not take goes to the judge, which says why or takes it after all.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.records import RECORDS, Field
from pipelines.domain import Domain, Record
from pipelines.mapping import event_time_ms
from pipelines.silver.convert import FIRST_MS, LAST_MS
from pipelines.silver.judge import constants_of, paths_of, root
from pipelines.silver.parse import properties
from pipelines.silver.rules import LONGEST_ID, MOST_SHOWN, Limits

MISFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What `Quick.decode` raises for a message that it does not take."""

_MOST_LEARNT = 50  # fields that no mapping reads; with more of them, a message goes the long way
_MS = {"ms": 1, "s": 1000, "iso8601": 1}

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

Rows = list[Any]
Mask = npt.NDArray[np.bool_]
Types = dict[str, tuple[Any, bool]]
"""Source field → its type, and whether it must be there."""


def quick_route(domain: Domain, index: int, limits: Limits) -> Quick | None:
    """The quick route for a record of the domain; None where the mapping is nested, or where another record
    could match too."""
    record = domain.records[index]
    is_flat = all(root(path) == path for path in paths_of(record)) and record.attributes is None
    if not is_flat or record.kind == "item":
        return None
    types = _types(domain, record)
    if types is None or not all(_is_ruled_out(earlier, types) for earlier in domain.records[:index]):
        return None
    return Quick(domain, index, types, limits)


def _types(domain: Domain, record: Record) -> Types | None:
    """Source field → its type and whether it must be there; None when two of our fields want different types
    of one."""
    types: Types = {path: (Literal[wanted], True) for path, wanted in record.when.items()}
    for name, path in record.fields.items():
        declared = RECORDS[record.kind][name]
        wanted = _type(domain, name, declared)
        found, is_required = types.get(path, (wanted, False))
        if found != wanted and not (path in record.when and _takes(wanted, record.when[path])):
            return None
        types[path] = (found, is_required or declared.required)
    return types


def _type(domain: Domain, name: str, declared: Field) -> Any:
    match declared.kind:
        case "text" if name == "event_type":
            return Literal[tuple(domain.event_types)]
        case "text":
            return (_Id if name.endswith("_id") else _Text) | int
        case "integer":
            least = 1 if name == "schema_version" else -(1 << (declared.bits - 1))
            return Annotated[int, msgspec.Meta(ge=least, le=(1 << (declared.bits - 1)) - 1)]
        case "time":
            unit = _MS[domain.time_unit]
            number = Annotated[int, msgspec.Meta(ge=-(-FIRST_MS // unit), le=LAST_MS // unit)]
            return str if domain.time_unit == "iso8601" else number | str
        case "flag":
            return bool
        case "texts":
            return Annotated[list[_Id], msgspec.Meta(min_length=1, max_length=MOST_SHOWN)]
        case _:
            return list[_Share]


def _takes(wanted: Any, text: str) -> bool:
    try:
        return bool(msgspec.convert(text, wanted) == text)
    except msgspec.ValidationError:
        return False


def _is_ruled_out(record: Record, types: Types) -> bool:
    """Whether a message of these types, and without other fields, can never be the record: one condition
    cannot hold."""
    for path, wanted in record.when.items():
        if root(path) not in types:
            return True
        choices = getattr(types[root(path)][0], "__args__", ()) if root(path) == path else ()
        if choices and all(isinstance(c, str) for c in choices) and wanted not in choices:
            return True
    return False


class Quick:
    """Decodes messages that are exactly one record of the domain, and makes columns of them.

    Fields that no mapping reads are learnt from messages that the judge took (`learn`), and are then taken
    here too.
    """

    def __init__(self, domain: Domain, index: int, types: Types, limits: Limits) -> None:
        self.kind, self.index = domain.records[index].kind, index
        self._domain, self._limits, self._types = domain, limits, types
        self._fields = domain.records[index].fields
        self._constants = constants_of(domain, index)
        self._deciding = {root(path) for record in domain.records for path in record.when}
        self._learnt: list[str] = []
        self._compile()

    def _compile(self) -> None:
        names = [*self._types, *self._learnt]
        self._slot = {name: f"f{number}" for number, name in enumerate(names)}
        needed = [(self._slot[n], kind) for n, (kind, is_needed) in self._types.items() if is_needed]
        optional = [
            (self._slot[n], kind | None, None)
            for n, (kind, is_needed) in self._types.items()
            if not is_needed
        ]
        learnt = [(self._slot[n], msgspec.Raw, None) for n in self._learnt]
        row = msgspec.defstruct(
            "Row",
            [*needed, *optional, *learnt],
            rename={slot: name for name, slot in self._slot.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        self.decode = msgspec.json.Decoder(row).decode

    def learn(self, others: tuple[str, ...]) -> None:
        """Take messages with these fields from now on, unless another record is recognised by one of them."""
        new = [name for name in others if name not in self._slot and name not in self._deciding]
        if new and len(self._learnt) + len(new) <= _MOST_LEARNT:
            self._learnt += new
            self._compile()

    def columns(self, rows: Rows, arrived_ms: npt.NDArray[np.int64]) -> tuple[dict[str, pa.Array], Mask]:
        """Our fields of decoded messages that arrived then, as columns; and which rows are fit: the others go
        to the judge."""
        fit = np.ones(len(rows), dtype=bool)
        columns: dict[str, pa.Array] = {}
        for name, declared in RECORDS[self.kind].items():
            default = self._constants.get(name)
            if name not in self._fields:
                columns[name] = _constant(default, declared, len(rows))
                continue
            slot = self._slot[self._fields[name]]
            values = list(map(attrgetter(slot), rows))
            if declared.kind == "time":
                columns[name] = self._times(values, fit)
            else:
                column = _array(values, declared)
                columns[name] = column if default is None else pc.fill_null(column, default)
        columns["properties"] = self._properties(rows, fit)
        self._judge_times(columns["event_time"], arrived_ms, fit)
        if self.kind == "interaction":
            self._judge_needs(columns, fit)
        else:
            _judge_propensity(columns, fit)
        return columns, fit

    def _times(self, values: list[Any], fit: Mask) -> pa.Array:
        unit, factor = self._domain.time_unit, _MS[self._domain.time_unit]
        moments = [v * factor if type(v) is int else _moment(v, unit) for v in values]
        wrong = [at for at, moment in enumerate(moments) if moment is None and values[at] is not None]
        fit[wrong] = False
        return pa.array(moments, pa.int64())

    def _properties(self, rows: Rows, fit: Mask) -> pa.Array:
        text = pa.map_(pa.string(), pa.string())
        if not self._learnt:
            return pa.nulls(len(rows), text)
        slots = [(name, self._slot[name]) for name in self._learnt]
        kept: list[Any] = []
        for at, row in enumerate(rows):
            others = {name: bytes(raw) for name, slot in slots if (raw := getattr(row, slot)) is not None}
            try:
                found = properties(others)
            except MISFIT:
                found, fit[at] = None, False
            kept.append(None if found is None else list(found.items()))
        return pa.array(kept, text)

    def _judge_times(self, happened: pa.Array, arrived_ms: npt.NDArray[np.int64], fit: Mask) -> None:
        moments = happened.fill_null(self._limits.oldest_ms).to_numpy(zero_copy_only=False)
        fit &= (moments >= self._limits.oldest_ms) & (moments - arrived_ms <= self._limits.ahead_ms)

    def _judge_needs(self, columns: dict[str, pa.Array], fit: Mask) -> None:
        types = columns["event_type"]
        missing = {
            name: np.asarray(columns[name].is_null())
            for declared in self._domain.event_types.values()
            for name in declared.requires
            if columns[name].null_count
        }
        for event_type, declared in self._domain.event_types.items():
            for name in declared.requires:
                if name in missing:
                    fit &= ~(missing[name] & np.asarray(pc.equal(types, event_type)))


def _moment(text: str | None, unit: str) -> int | None:
    found = event_time_ms(text, unit)
    return found if found is not None and FIRST_MS <= found <= LAST_MS else None


def _arrow_type(declared: Field) -> pa.DataType:
    match declared.kind:
        case "integer":
            return pa.int32() if declared.bits == 32 else pa.int64()
        case "time":
            return pa.int64()
        case "flag":
            return pa.bool_()
        case "texts":
            return pa.list_(pa.string())
        case "numbers":
            return pa.list_(pa.float64())
        case _:
            return pa.string()


def _constant(value: Any, declared: Field, length: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, _arrow_type(declared)), length)


def _array(values: list[Any], declared: Field) -> pa.Array:
    try:
        return pa.array(values, _arrow_type(declared))
    except pa.ArrowTypeError:  # ids as numbers, among or instead of texts
        return pa.array([str(v) if type(v) is int else v for v in values], pa.string())


def _judge_propensity(columns: dict[str, pa.Array], fit: Mask) -> None:
    given = columns["propensity"]
    if given.null_count < len(given):
        lengths = pc.list_value_length(given), pc.list_value_length(columns["items"])
        fit &= np.asarray(pc.fill_null(pc.equal(*lengths), True))

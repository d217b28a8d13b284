"""Short names for Spark types, so that a contract reads as a list of columns."""

import json

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

TEXT, LONG, INT, DOUBLE, FLOAT = StringType(), LongType(), IntegerType(), DoubleType(), FloatType()
BYTES, FLAG, DAY, TIME = BinaryType(), BooleanType(), DateType(), TimestampType()


def many(item: DataType) -> ArrayType:
    """An array of `item`."""
    return ArrayType(item, containsNull=True)


def by_name(value: DataType) -> MapType:
    """A map from a name to `value`."""
    return MapType(TEXT, value, valueContainsNull=True)


def columns(**types: DataType) -> StructType:
    """A schema with these columns in this order, all nullable: Delta is told what must be there by rules, not
    by nullability."""
    return StructType([StructField(name, kind, True) for name, kind in types.items()])


def named_types(schema: StructType | str) -> dict[str, str]:
    """Column → name of its type, of a schema or of the JSON that Delta keeps of it."""
    known = StructType.fromJson(json.loads(schema)) if isinstance(schema, str) else schema
    return {field.name: type(field.dataType).__name__ for field in known.fields}


def arrow_schema(schema: StructType) -> pa.Schema:
    """The schema as Arrow has it: what Spark, Delta and the functions on Arrow columns exchange."""
    return to_arrow_schema(schema, timezone="UTC", error_on_duplicated_field_names_in_struct=True)

"""The catalog as a process without Spark reads it."""

from deltalake import write_deltalake

from pipelines import settings as settings_module
from pipelines.contracts.silver import ITEMS
from pipelines.features.catalog import ITEM_COLUMNS, item_columns
from pipelines.io import items, lake
from tests.builders_features import an_item, definitions_of, table

WORDS = "  - {name: words, kind: attribute, of: title, measure: words}\n"
PLAIN = "  - {name: price, kind: attribute, of: price}\n"


def test_texts_are_read_where_a_feature_is_read_off_them(tmp_path):
    settings = settings_module.load(environ={}, overrides={"paths": {"state": str(tmp_path)}})
    rows = table(ITEMS, [an_item("i1", title="Elkhart copper boots", price=3.0)])
    write_deltalake(lake.location(settings, ITEMS), rows)
    plain, with_texts = (items.items(settings, item_columns(definitions_of(f))) for f in (PLAIN, WORDS))
    assert tuple(plain.rows.column_names) == ITEM_COLUMNS
    assert with_texts.rows["texts"].to_pylist() == [[("title", "Elkhart copper boots")]]
    assert (plain.version, with_texts.version) == (0, 0)


def test_before_the_first_item_there_are_columns_and_no_rows(tmp_path):
    settings = settings_module.load(environ={}, overrides={"paths": {"state": str(tmp_path)}})
    found = items.items(settings, item_columns(definitions_of(WORDS)))
    assert found.version is None
    assert found.rows.column_names == [*ITEM_COLUMNS, "texts"]
    assert found.rows.num_rows == 0

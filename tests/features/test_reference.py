"""The reference of features: its examples are real, and it leaves nothing out."""

import re
from pathlib import Path

import msgspec
import pytest

from pipelines.domain import parse_domain
from pipelines.features.kinds import KINDS
from pipelines.features.parsing import CHOICES
from pipelines.vector_spaces import PARTS
from tests.builders_features import SHOP, definitions_of

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "features.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.S | re.M))


def test_every_kind_has_its_section():
    assert set(SECTIONS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_its_example_compiles_and_is_of_its_kind(kind):
    (example,) = re.findall(r"^```yaml\n(.*?)^```", SECTIONS[kind], re.S | re.M)
    assert f"kind: {kind}" in example
    assert definitions_of("".join(f"  {line}\n" for line in example.splitlines())).names


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_told(kind):
    common = ("name", "aggregate", "slots", "window")
    keys = [field.name for field in msgspec.structs.fields(KINDS[kind]) if field.name not in common]
    told = re.findall(r"`(\w+)`|(\w+):", SECTIONS[kind])
    assert set(keys) <= {word for pair in told for word in pair}
    assert all(f"`{key}`" in PAGE for key in (*common, *CHOICES))


def test_the_example_of_vectors_fits_the_shop():
    (example,) = re.findall(r"^```yaml\n(vectors:\n.*?)^```", PAGE, re.S | re.M)
    shop = (
        SHOP[: SHOP.index("vectors:")]
        .replace("length: 3", "length: 16")
        .replace("  title:", "  description: {kind: text}\n  title:")
    )
    domain = parse_domain(f"{shop}{example}features: []\n", "shop.yml")
    assert domain.vectors is not None
    assert domain.vectors.names == list(PARTS)

"""What the catalog says about an item: its title, description and tags, and its JSON record."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from pipelines.simulate import words
from pipelines.simulate.rows import Numbers


class ItemText(NamedTuple):
    """The words of one item."""

    title: str
    description: str
    tags: list[str]


def describe(
    rng: np.random.Generator, category: str, noun: str, brand: str, styles: tuple[str, str]
) -> ItemText:
    """Words that tell the category, the brand and the two strongest styles, the first one in the title."""
    material, colour, opening, middle, closing = rng.integers(0, 2**31, 5).tolist()
    named = {
        "category": category,
        "noun": noun,
        "brand": brand,
        "first": styles[0],
        "second": styles[1],
        "material": words.MATERIALS[material % len(words.MATERIALS)],
        "colour": words.COLOURS[colour % len(words.COLOURS)],
    }
    sentences = (
        words.OPENINGS[opening % len(words.OPENINGS)],
        words.MIDDLES[middle % len(words.MIDDLES)],
        words.CLOSINGS[closing % len(words.CLOSINGS)],
    )
    filled = [sentence.format(**named) for sentence in sentences]
    return ItemText(
        title="{brand} {first} {material} {noun}".format(**named),
        description=" ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in filled),
        tags=[*styles, named["material"], named["colour"], noun],
    )


def item_record(
    number: int, valid_from: int, text: ItemText, category: str, brand: str, price: int, image: Numbers
) -> bytes:
    """One catalog record, as JSON. The price is in minor units."""
    return msgspec.json.encode(
        {
            "record": "item",
            "item_id": f"i{number}",
            "valid_from": valid_from,
            "attributes": {
                "title": text.title,
                "description": text.description,
                "tags": text.tags,
                "category": category,
                "brand": brand,
                "price": price,
                "image": image.tolist(),
            },
            "schema_version": 1,
        }
    )

"""The vocabulary of the simulated catalog: what things are called follows from what they are."""

from __future__ import annotations

# Category -> its four kinds of things and a typical price of each, in minor units.
CATEGORIES: dict[str, dict[str, int]] = {
    "shoes": {"sneakers": 8900, "boots": 12900, "sandals": 4900, "loafers": 9900},
    "clothing": {"jacket": 9900, "shirt": 3900, "jeans": 6900, "dress": 7900},
    "kitchen": {"kettle": 4500, "knife": 5900, "pan": 4900, "blender": 8900},
    "garden": {"trowel": 1900, "planter": 3500, "hammock": 7900, "lantern": 2900},
    "sport": {"dumbbell": 3900, "racket": 8500, "tent": 15900, "mat": 2900},
    "audio": {"headphones": 12900, "speaker": 9900, "turntable": 24900, "microphone": 10900},
    "computing": {"keyboard": 7900, "monitor": 27900, "mouse": 3900, "webcam": 6900},
    "toys": {"puzzle": 1900, "robot": 4900, "kite": 2500, "dollhouse": 8900},
    "books": {"novel": 1400, "atlas": 3900, "cookbook": 2900, "comic": 1200},
    "beauty": {"perfume": 6900, "cream": 2900, "brush": 1500, "soap": 900},
    "furniture": {"chair": 14900, "desk": 29900, "shelf": 11900, "lamp": 5900},
    "pets": {"leash": 1900, "aquarium": 13900, "basket": 4900, "scratcher": 6900},
}

# One pair of opposite styles for each latent dimension of taste: who likes one dislikes the other.
STYLES: tuple[tuple[str, str], ...] = (
    ("minimalist", "ornate"),
    ("classic", "modern"),
    ("rugged", "delicate"),
    ("bright", "dark"),
    ("compact", "roomy"),
    ("handmade", "engineered"),
    ("natural", "synthetic"),
    ("playful", "serious"),
)

MATERIALS = (
    "oak",
    "steel",
    "linen",
    "leather",
    "bamboo",
    "wool",
    "glass",
    "rubber",
    "cotton",
    "copper",
    "felt",
    "cork",
)

COLOURS = ("red", "blue", "green", "black", "white", "grey", "yellow", "brown")

BRANDS = (
    "Alderby", "Brisk", "Cavela", "Dunmore", "Elkhart", "Fennimore", "Gildo", "Harrow", "Ivaro", "Juniper",
    "Kessler", "Lumo", "Marlow", "Norrby", "Oakfield", "Pello", "Quill", "Rivington", "Solano", "Tamber",
    "Umbra", "Vasco", "Wexford", "Yarrow",
)  # fmt: skip

OPENINGS = (
    "For people who like things {first} and {second}",
    "A {first} companion with a {second} side",
    "Made to be {first}, and {second} where it counts",
    "Our most {first} design so far, pleasantly {second}",
)

MIDDLES = (
    "The {noun} is built from {colour} {material} and lasts for years",
    "{material} in {colour} gives this {noun} its character",
    "A {noun} of {material}, finished in {colour} by hand",
)

CLOSINGS = (
    "Part of the {category} range by {brand}",
    "{brand} has made {category} like this since 1962",
    "Chosen by our {category} team from the {brand} workshop",
)

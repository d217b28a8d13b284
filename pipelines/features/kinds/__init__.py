"""The kinds of features, by family: each module holds its kinds' declarations, what they compile to, and the
kernels that keep and read their numbers."""

from pipelines.features.declarations import Declaration
from pipelines.features.kinds.amounts import Distinct, Mean, Sum
from pipelines.features.kinds.context import Age, Attribute, Context, Position, Time
from pipelines.features.kinds.counters import ColdStart, Count, Rate, Recency, Trend
from pipelines.features.kinds.preferences import Learned, Preference, Taste
from pipelines.features.kinds.rings import Relative, Similarity
from pipelines.features.kinds.session import Session
from pipelines.features.kinds.vectors import Covisited, HasVector, QueryMatch, VectorSimilarity

FAMILIES: tuple[tuple[type[Declaration], ...], ...] = (
    (Attribute, Age),
    (Count, Rate, Trend, Recency, ColdStart),
    (Sum, Mean, Distinct),
    (Preference, Learned, Taste),
    (Similarity, Relative),
    (Session,),
    (Position, Time, Context),
    (VectorSimilarity, Covisited, QueryMatch, HasVector),
)
KINDS = {str(kind.__struct_config__.tag): kind for family in FAMILIES for kind in family}
"""Word of `kind:` -> its declaration."""

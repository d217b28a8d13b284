"""Outlier models of several kinds of vectors, which belong together: one package, one version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ModelError
from pipelines.models.outliers import OutlierModel

Numbers = NDArray[np.float64]
Frozen = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]
"""Something as number arrays and JSON values."""
OF_CALIBRATION = "calibration:"
ORDER = "order"
"""Beside the calibrations, whose names have a stroke."""


@dataclass(frozen=True)
class Outliers:
    """A model for each kind of vectors (`<entity>/<minutes>`), the kind with the most vectors first, what
    each kind's calibration is frozen into, and what reviews have taught of the order of alerts, with the
    evidence for it, as JSON values. All kinds have vectors of the same `names`."""

    models: Mapping[str, OutlierModel]
    calibrations: Mapping[str, Frozen] = field(default_factory=dict)
    order: Mapping[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> OutlierModel:
        """The model of the first kind."""
        return next(iter(self.models.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """What each place of a vector holds."""
        return self.main.names

    def frozen(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any], dict[str, Any]]:
        """All of it as number arrays, the models' JSON values and the calibrations', for `from_frozen`."""
        arrays: dict[str, NDArray[Any]] = {}
        about: dict[str, Any] = {}
        for kind, model in self.models.items():
            own, about[kind] = model.frozen()
            arrays |= {f"{kind}:{name}": array for name, array in own.items()}
        for kind, (numbers, _) in self.calibrations.items():
            arrays |= {f"{OF_CALIBRATION}{kind}:{name}": array for name, array in numbers.items()}
        calibrated = {kind: dict(told) for kind, (_, told) in self.calibrations.items()}
        calibrated |= {ORDER: dict(self.order)} if self.order else {}
        return arrays, {"kinds": list(self.models), "models": about}, calibrated

    @classmethod
    def from_frozen(
        cls, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any], calibrated: Mapping[str, Any]
    ) -> Outliers:
        """The models of `frozen`. Raises ModelError when their parts do not fit together."""
        kinds = about.get("kinds")
        if not kinds or not isinstance(about.get("models"), dict) or set(kinds) != set(about["models"]):
            raise ModelError(
                "the outlier models name no kinds of vectors: an older version made them, train again"
            )
        models = {
            kind: OutlierModel.from_frozen(_of(arrays, f"{kind}:"), about["models"][kind]) for kind in kinds
        }
        if len({model.names for model in models.values()}) > 1:
            raise ModelError("the outlier models of one package have different features: it is damaged")
        frozen = {
            kind: (_of(arrays, f"{OF_CALIBRATION}{kind}:"), own)
            for kind, own in calibrated.items()
            if kind != ORDER
        }
        return cls(models, frozen, calibrated.get(ORDER, {}))


def _of(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

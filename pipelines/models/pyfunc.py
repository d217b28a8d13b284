"""The code that MLflow stores with a model and runs to load it: `mlflow.pyfunc.load_model`, `mlflow models
serve`, `spark_udf`."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from pipelines.models import package, sealed


class PackagedModel(PythonModel):
    """A package as an MLflow model: a ranker gives a `score` for each row, outlier models a `score` and a
    `rank`, by the model of the kind of vectors that the package names first."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load and verify the package. Raises ModelError like `package.load_ranker`."""
        folder = Path(context.artifacts["package"])
        self.is_ranker = sealed.kind_of(folder) == "ranker"
        self.model: Any = (
            package.load_ranker(folder) if self.is_ranker else package.load_outliers(folder).main
        )

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row for each row of `model_input`, whose columns are the model's features. Null and NaN mean
        unknown."""
        if self.is_ranker:
            rows = model_input[list(self.model.names)].to_numpy(np.float32)
            return pd.DataFrame({"score": self.model.score(rows)}, index=model_input.index)
        vectors = model_input[list(self.model.names)].to_numpy(np.float64)
        scores = self.model.score(vectors)
        return pd.DataFrame({"score": scores, "rank": self.model.rank(scores)}, index=model_input.index)


set_model(PackagedModel())

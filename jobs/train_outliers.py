"""Train the domain's outlier model on gold.behaviour_vectors and register it as a challenger."""

import argparse
import tempfile
from pathlib import Path

from pipelines.anomalies.behaviour import NAMES
from pipelines.clock import now_ms
from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.io import parts
from pipelines.launch import light_job
from pipelines.models.outlier_training import WINDOW_COLUMNS, pack_outliers, train_outliers
from pipelines.models.registry import Registry
from pipelines.models.revision import git_revision
from pipelines.models.training import Origin
from pipelines.session import Lender
from pipelines.settings import Settings


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Print the model's name and version on the last line."""
    version = parts.version(settings, BEHAVIOUR_VECTORS, spark)
    windows = parts.valid_rows(settings, BEHAVIOUR_VECTORS, WINDOW_COLUMNS, spark, at=version)
    found = train_outliers(windows, NAMES, settings.training)
    origin = Origin({BEHAVIOUR_VECTORS.name: version}, git_revision(settings.root), now_ms())
    with tempfile.TemporaryDirectory() as folder:
        sealed = Path(folder) / "package"
        training = pack_outliers(found, args.domain, settings.training, sealed, origin)
        print(training.name, Registry(settings.tracking_uri).register(training))
    return 0


if __name__ == "__main__":
    raise SystemExit(light_job("train_outliers", __doc__, run))

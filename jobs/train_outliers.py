"""Train the domain's outlier model on gold.behaviour_vectors and register it as a challenger."""

import argparse
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.anomalies.behaviour import NAMES
from pipelines.clock import now_ms
from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.io import delta
from pipelines.launch import batch_job
from pipelines.models.outlier_training import pack_outliers, train_outliers
from pipelines.models.registry import Registry
from pipelines.models.revision import git_revision
from pipelines.models.training import Origin
from pipelines.settings import Settings


def run(settings: Settings, spark: SparkSession, args: argparse.Namespace) -> int:
    """Print the model's name and version on the last line."""
    version = delta.version(spark, settings, BEHAVIOUR_VECTORS)
    windows = BEHAVIOUR_VECTORS.latest(delta.read(spark, settings, BEHAVIOUR_VECTORS, version)).toArrow()
    found = train_outliers(windows, NAMES, settings.training)
    origin = Origin({BEHAVIOUR_VECTORS.name: version}, git_revision(settings.root), now_ms())
    with tempfile.TemporaryDirectory() as folder:
        sealed = Path(folder) / "package"
        training = pack_outliers(found, args.domain, settings.training, sealed, origin)
        print(training.name, Registry(settings.tracking_uri).register(training))
    return 0


if __name__ == "__main__":
    raise SystemExit(batch_job("train_outliers", __doc__, run))

"""Train the domain's outlier models on behaviour vectors, calibrate them, register them as a challenger."""

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from pipelines.anomalies.behaviour import NAMES
from pipelines.anomalies.calibrating import calibrated, rule_of
from pipelines.anomalies.reviewed import taught
from pipelines.clock import now_ms
from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.io import outlying, parts
from pipelines.launch import light_job
from pipelines.models.outlier_training import pack_outliers, train_outliers
from pipelines.models.registry import Registry
from pipelines.models.revision import git_revision
from pipelines.models.training import Origin
from pipelines.session import Lender
from pipelines.settings import Settings


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Print the model's name and version on the last line."""
    version, training = parts.version(settings, BEHAVIOUR_VECTORS, spark), settings.training
    past, rule = outlying.reviewed_past(settings, spark, version), rule_of(settings)
    found = train_outliers(past.learnable, NAMES, training, settings.outliers.fewest_vectors)
    fresh = calibrated(found.models, found.newest, rule)
    outliers = taught(fresh, past, settings.alerts.exposure_unit)
    origin = Origin({BEHAVIOUR_VECTORS.name: version}, git_revision(settings.root), now_ms())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "package"
        made = pack_outliers(found, outliers, args.domain, training, place, origin, asdict(rule))
        print(made.name, Registry(settings.tracking_uri).register(made))
    return 0


if __name__ == "__main__":
    raise SystemExit(light_job("train_outliers", __doc__, run))

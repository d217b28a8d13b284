"""Train the domain's ranker on gold.training_rows and register it as a challenger."""

import argparse
import tempfile
from pathlib import Path

from pipelines.clock import now_ms
from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.features.definitions import compile_definitions
from pipelines.io import parts
from pipelines.io.training_rows import known_rows
from pipelines.launch import light_job
from pipelines.models.registry import Registry
from pipelines.models.revision import git_revision
from pipelines.models.training import Origin, pack_ranker, train_ranker
from pipelines.session import Lender
from pipelines.settings import Settings


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Print the model's name and version on the last line."""
    definitions = compile_definitions(args.domain)
    version = parts.version(settings, TRAINING_ROWS, spark)
    rows, vectors = known_rows(settings, spark, args.domain.name, definitions, version)
    found = train_ranker(rows, definitions, settings.training)
    origin = Origin({TRAINING_ROWS.name: version}, git_revision(settings.root), now_ms())
    with tempfile.TemporaryDirectory() as folder:
        sealed = Path(folder) / "package"
        training = pack_ranker(found, args.domain, definitions, settings.training, sealed, origin, vectors)
        print(training.name, Registry(settings.tracking_uri).register(training))
    return 0


if __name__ == "__main__":
    raise SystemExit(light_job("train_ranker", __doc__, run))

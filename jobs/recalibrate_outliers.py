"""Look whether the champion's p-values still hold; give its models a new calibration when they do not."""

import argparse
import tempfile
from pathlib import Path

from pipelines.anomalies import recalibration
from pipelines.clock import now_ms
from pipelines.io import outlying, verdicts
from pipelines.launch import light_job
from pipelines.models.registry import Registry
from pipelines.session import Lender
from pipelines.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--force` calibrates without asking; `--look` only asks."""
    parser.add_argument("--force", action="store_true", help="calibrate anew, also where nothing has changed")
    parser.add_argument("--look", action="store_true", help="only tell; exit code 99 when it would calibrate")


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Print how newer vectors compare with the calibration, and what was done, on the last line."""
    registry, name = Registry(settings.tracking_uri), f"{args.domain.name}-outliers"
    seen = recalibration.look(registry, name, outlying.reviewed_past(settings, spark), settings)
    print(*seen.drifts, seen.told, sep="\n")
    if args.look or not (args.force or seen.is_broken):
        return recalibration.BROKEN if args.look and seen.is_broken else 0
    with tempfile.TemporaryDirectory() as folder:
        version = recalibration.renew(registry, seen, Path(folder) / "package", settings, now_ms())
    verdicts.keep(recalibration.record(seen, version, now_ms()), settings, spark)
    print(name, version)
    return 0


if __name__ == "__main__":
    raise SystemExit(light_job("recalibrate_outliers", __doc__, run, arguments))

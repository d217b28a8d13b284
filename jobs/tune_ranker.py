"""Search better settings for the domain's ranker, train it with them, and register it as a challenger.

The same command goes on with a study where it was, after Ctrl-C or a crash too.
"""

import argparse
from functools import partial

from pipelines.clock import now_ms
from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.io import parts
from pipelines.io.training_rows import known_rows
from pipelines.launch import light_job
from pipelines.models import tuning
from pipelines.models.registry import Registry
from pipelines.models.revision import git_revision
from pipelines.models.study_runs import StudyRuns
from pipelines.models.training import Origin
from pipelines.session import Lender
from pipelines.settings import Settings


def run(settings: Settings, spark: Lender, args: argparse.Namespace) -> int:
    """Print a line for each trial, and the model's name and version on the last one."""
    newest, name = parts.version(settings, TRAINING_ROWS, spark), args.domain.name
    with tuning.asked(settings, args, newest) as (study, about):
        rows, vectors = known_rows(settings, spark, name, about.definitions, about.version)
        runs = StudyRuns(settings.tracking_uri, name, study.study_name)
        winner = tuning.tune(study, about, rows, runs, now_ms, partial(print, flush=True))
        tuning.finish(winner, study, runs)
    origin = Origin({TRAINING_ROWS.name: about.version}, git_revision(settings.root), now_ms())
    registered = tuning.register(winner, about, Registry(settings.tracking_uri), origin, vectors)
    print(f"{name}-ranker", registered)
    return 0


if __name__ == "__main__":
    raise SystemExit(light_job("tune_ranker", __doc__, run, tuning.add_arguments))

"""A program that goes on with a study: for tests that stop it as a terminal does."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import pyarrow.feather

from pipelines import settings as settings_module
from pipelines.clock import now_ms
from pipelines.domain import load_domain
from pipelines.models import tuning
from pipelines.models.study_runs import StudyRuns

if __name__ == "__main__":
    rows, overrides, trials = sys.argv[1:]
    settings = settings_module.load(environ={}, overrides=json.loads(overrides))
    given = argparse.Namespace(
        domain=load_domain("shop", settings), study="stopped", trials=int(trials), minutes=None
    )
    with tuning.asked(settings, given, newest=3) as (study, about):
        runs = StudyRuns(settings.tracking_uri, "stopped", "stopped")
        table = pyarrow.feather.read_table(Path(rows))
        try:
            winner = tuning.tune(study, about, table, runs, now_ms, partial(print, flush=True))
        except KeyboardInterrupt:
            sys.exit(130)
        tuning.finish(winner, study, runs)

"""The watch of a number of any kind (pipelines/anomalies/novelty.py) on a folder of the Numenta Anomaly
Benchmark: one configuration for all series, each row judged before the next is read.

`optimised` is NAB's own way: the one threshold that is best for all series together, for each profile.
`fixed` is the configuration's threshold. `threshold of the others` judges each category by the threshold that
is best for all other categories; `questions of the others` lets these choose among all subsets of the five
questions as well. Peers: two are run here on the same series, those of `--results` (the folder of that name
in numenta/NAB) are scored from their published anomaly scores, all with the same optimisation.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from benchmarks import harness
from benchmarks.nab_peers import (
    FOLDERS,
    PUBLISHED,
    SOURCE,
    chance,
    knn_cad,
    published_scores,
    windowed_gaussian,
)
from benchmarks.nab_scoring import PROFILES, Floats, Series, normalised, read_folder, sweep
from pipelines.anomalies.novelty import QUESTIONS, WEIGHTS, NoveltyConfig, NoveltyWatch, is_higher

STANDARD = PROFILES[0]
SEEDS = 10
OURS = "LakePulse"


def answers(series: Series) -> Floats:
    """The answers to the questions of each row [rows, questions]; zeros before they are known."""
    watch, found = NoveltyWatch(), np.zeros((len(series.values), len(QUESTIONS)))
    for row, (time, value) in enumerate(zip(series.times, series.values, strict=True)):
        found[row] = watch.update(time, float(value)).answers or 0.0
    return found


@njit(cache=True)
def news(sums: Floats, rest: int) -> Floats:
    """The sums that are higher than those before them, 0 elsewhere: what NoveltyWatch tells as its score."""
    scores = np.zeros(len(sums))
    for row in range(len(sums)):
        if is_higher(sums[:row], sums[row], rest):
            scores[row] = sums[row]
    return scores


def scored(found: Sequence[Floats], questions: Sequence[int]) -> list[Floats]:
    """Scores by some of the questions."""
    rest, chosen = NoveltyConfig().rest, np.isin(np.arange(len(QUESTIONS)), questions)
    sums = [(np.maximum(own - 1.0, 0.0) * WEIGHTS * chosen).sum(axis=1) for own in found]
    return [news(own, rest) for own in sums]


def part(corpus: Sequence[Series], scores: Sequence[Floats], category: str, inside: bool) -> tuple[Any, Any]:
    """The series in a category, or all but those, and their scores."""
    kept = [i for i, series in enumerate(corpus) if (series.category == category) == inside]
    return [corpus[i] for i in kept], [scores[i] for i in kept]


def row_of(
    name: str, corpus: Sequence[Series], scores: Sequence[Floats], threshold: float | None = None
) -> list[Any]:
    """A line of the table: the three profiles, then each category at the standard profile's threshold."""
    sweeps = [sweep(corpus, scores, profile) for profile in PROFILES]
    cells: list[Any] = [name]
    for own, profile in zip(sweeps, PROFILES, strict=True):
        raw = own.best()[1] if threshold is None else own.at(threshold)
        cells.append(round(normalised(raw, corpus, profile), 1))
    at = sweeps[0].best()[0] if threshold is None else threshold
    for category in categories(corpus):
        some, own_scores = part(corpus, scores, category, inside=True)
        cells.append(round(normalised(sweep(some, own_scores, STANDARD).at(at), some, STANDARD), 1))
    return cells


def categories(corpus: Sequence[Series]) -> list[str]:
    """Categories that have a labelled window."""
    return sorted({series.category for series in corpus if series.windows})


def left_out(corpus: Sequence[Series], candidates: Sequence[Sequence[Floats]], name: str) -> list[Any]:
    """A line of the table: in each category what the best of the candidates in all others, at its best
    threshold there, reaches. Series without windows are among the others."""
    totals, cells = np.zeros(len(PROFILES)), []
    for category in categories(corpus):
        best = max(
            (sweep(*part(corpus, scores, category, inside=False), STANDARD).best()[::-1], number)
            for number, scores in enumerate(candidates)
        )
        threshold, chosen = best[0][1], candidates[best[1]]
        some, own = part(corpus, chosen, category, inside=True)
        raws = [sweep(some, own, profile).at(threshold) for profile in PROFILES]
        totals += raws
        cells.append(round(normalised(raws[0], some, STANDARD), 1))
    whole = [round(normalised(raw, corpus, p), 1) for raw, p in zip(totals, PROFILES, strict=True)]
    return [name, *whole, *cells]


def lines(corpus: Sequence[Series], results: Path | None) -> list[list[Any]]:
    """All lines of the table: ours, peers run here, peers by their published anomaly scores."""
    found, everything = [answers(series) for series in corpus], range(len(QUESTIONS))
    ours = scored(found, everything)
    fixed = NoveltyConfig().threshold
    rows = [
        row_of(f"{OURS}, optimised", corpus, ours),
        row_of(f"{OURS}, fixed {fixed:g}", corpus, ours, fixed),
    ]
    if len(categories(corpus)) > 1:
        sizes = range(1, len(QUESTIONS) + 1)
        subsets = [scored(found, s) for n in sizes for s in itertools.combinations(everything, n)]
        rows.append(left_out(corpus, [ours], f"{OURS}, threshold of the others"))
        rows.append(left_out(corpus, subsets, f"{OURS}, questions of the others"))
    for question in everything:
        others = [q for q in everything if q != question]
        rows.append(row_of(f"{OURS} without {QUESTIONS[question]}", corpus, scored(found, others)))
    rows.append(row_of("KNN-CAD, run here", corpus, [knn_cad(series) for series in corpus]))
    rows.append(row_of("windowed Gaussian, run here", corpus, [windowed_gaussian(s) for s in corpus]))
    seeds = [row_of("", corpus, [chance(s, seed) for s in corpus])[1:] for seed in range(SEEDS)]
    rows.append([f"random, mean of {SEEDS}", *np.round(np.mean(seeds, axis=0), 1).tolist()])
    for peer in FOLDERS if results else ():
        published = published_scores(results, peer, corpus) if results else None
        if published is not None:
            rows.append(row_of(f"{peer}, from its scores", corpus, published))
    return rows


def main() -> None:
    """Score the folder; `--publish` keeps the table in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of <category>/<file>.csv")
    parser.add_argument("--labels", type=Path, required=True, help="combined_windows.json")
    parser.add_argument("--results", type=Path, help="folder results/ of numenta/NAB, for peers' scores")
    parser.add_argument("--publish", action="store_true", help="keep the table in docs/benchmarks.md")
    args = parser.parse_args()
    corpus = read_folder(args.data, args.labels)
    windows = sum(len(series.windows) for series in corpus)
    if not windows:
        raise SystemExit(f"no labelled series of {args.labels} below {args.data}")
    columns = ["detector", *(profile.name for profile in PROFILES), *categories(corpus)]
    title = f"NAB: {len(corpus)} series, {windows} windows; 100 is perfect, 0 silence"
    rows = lines(corpus, args.results)
    empty = [None] * len(categories(corpus))
    rows += [[f"{peer}, published, 58 series", *figures, *empty] for peer, figures in PUBLISHED.items()]
    for line in rows[:2]:
        harness.console.print(
            f"{line[0]}: " + ", ".join(f"{p.name} {x}" for p, x in zip(PROFILES, line[1:4], strict=True))
        )
    if args.publish:
        given = " --data DIR --labels DIR/combined_windows.json" + (" --results DIR" if args.results else "")
        harness.publish("nab", title, columns, rows, arguments=given, source=SOURCE)
    else:
        harness.show(title, columns, rows)
    harness.console.print(f"published: {SOURCE}")


if __name__ == "__main__":
    main()

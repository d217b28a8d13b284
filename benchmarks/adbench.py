"""Quality of the outlier model on a folder of ADBench's files (`.npz` with X [n, d] and y, 1 = anomaly),
beside PyOD's isolation forest with its own defaults: AUROC and average precision of each set, and the means.

The protocol is ADBench's (Han et al.: ADBench, NeurIPS 2022): sets below 1,000 rows are drawn up to 1,000
with replacement, sets above 10,000 down to 10,000 without; a stratified split, 70 % to learn from without
their labels, 30 % to judge; every feature scaled to 0 .. 1 by the training part; seeds 1, 2, 3. One
configuration for all sets, that of `OutlierConfig()`.

    python -m benchmarks.adbench --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyod.models.iforest import IForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler

from pipelines.anomalies.vectors import OutlierModel

FEWEST, MOST, TEST_SHARE = 1_000, 10_000, 0.3
FIGURES = ("auroc", "aucpr", "fit_s", "score_s")
OURS, PEER = "ours", "IForest"
Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]
Scorer = Callable[[Numbers], Numbers]


@dataclass(frozen=True)
class Part:
    """One split of a set: vectors to learn from, and vectors with labels to judge by."""

    train: Numbers
    test: Numbers
    labels: Labels


def split(X: Numbers, y: Labels, seed: int) -> Part:
    """The set as ADBench draws, splits and scales it with this seed."""
    chance = np.random.RandomState(seed)  # theirs: the same rows for the same seed
    if len(y) < FEWEST:
        drawn = chance.choice(np.arange(len(y)), FEWEST, replace=True)
        X, y = X[drawn], y[drawn]
    elif len(y) > MOST:
        drawn = chance.choice(np.arange(len(y)), MOST, replace=False)
        X, y = X[drawn], y[drawn]
    train, test, _, labels = train_test_split(X, y, test_size=TEST_SHARE, stratify=y, random_state=chance)
    scaler = MinMaxScaler().fit(train)
    return Part(scaler.transform(train), scaler.transform(test), labels)


def ours(train: Numbers, seed: int) -> Scorer:
    """Our model with its default configuration."""
    return OutlierModel.fit(train, seed=seed).score


def peer(train: Numbers, seed: int) -> Scorer:
    """PyOD's isolation forest with its defaults."""
    found: Scorer = IForest(random_state=seed).fit(train).decision_function
    return found


CONTENDERS = {OURS: ours, PEER: peer}


def judged(part: Part, seed: int, contender: Callable[[Numbers, int], Scorer]) -> tuple[float, ...]:
    """FIGURES of one contender on one split."""
    started = time.process_time()
    score = contender(part.train, seed)
    fitted = time.process_time()
    scores = score(part.test)
    done = time.process_time()
    auroc, precision = roc_auc_score(part.labels, scores), average_precision_score(part.labels, scores)
    return float(auroc), float(precision), fitted - started, done - fitted


def read(path: Path) -> tuple[Numbers, Labels]:
    """X and y of a file."""
    with np.load(path, allow_pickle=False) as found:
        return np.asarray(found["X"], np.float64), np.asarray(found["y"]).ravel().astype(np.int64)


def interval(gains: Numbers) -> tuple[float, float]:
    """The middle 95 % of the mean gain when the sets are drawn anew."""
    chance = np.random.default_rng(0)
    means = gains[chance.integers(0, len(gains), (10_000, len(gains)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def told(found: dict[str, dict[str, Any]]) -> list[str]:
    """The lines that say how the contenders compare over all sets."""
    table = {name: np.array([of_set[name] for of_set in found.values()]) for name in CONTENDERS}
    lines = []
    for number, figure in enumerate(FIGURES[:2]):
        mine, theirs = (100 * table[name][:, number] for name in (OURS, PEER))
        low, high = interval(mine - theirs)
        lines.append(
            f"mean {figure} of {len(found)} sets: ours {mine.mean():.2f}, IForest {theirs.mean():.2f}, gain "
            f"{(mine - theirs).mean():+.2f} [{low:+.2f}, {high:+.2f}] (95 %, sets drawn anew); "
            f"better on {int((mine > theirs).sum())}, worse on {int((mine < theirs).sum())}"
        )
    for name, figures in table.items():
        lines.append(
            f"{name}: {figures[:, 2].mean():.2f} CPU s to fit, {figures[:, 3].mean():.3f} to score, a set"
        )
    return lines


def main() -> int:
    """Exit code 0 when all files were judged."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="with ADBench's .npz files"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write all figures there as JSON")
    args = parser.parse_args()
    paths = sorted(args.data.glob("*.npz"))
    if not paths:
        print(f"{args.data} holds no .npz file", file=sys.stderr)
        return 2
    for contender in CONTENDERS.values():  # what a first use compiles is no one's time
        contender(np.random.default_rng(0).normal(size=(300, 4)), 0)(np.zeros((300, 4)))
    head = [f"{name} {figure}" for figure in FIGURES for name in CONTENDERS]
    print(f"{'set':<24}{'rows':>8}{'d':>6}" + "".join(f"{name:>16}" for name in head))
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        X, y = read(path)
        parts = [split(X, y, seed) for seed in args.seeds]
        found[path.stem] = {
            name: np.mean([judged(p, s, c) for p, s in zip(parts, args.seeds, strict=True)], axis=0).tolist()
            for name, c in CONTENDERS.items()
        }
        cells = [found[path.stem][name][number] for number in range(len(FIGURES)) for name in CONTENDERS]
        print(
            f"{path.stem:<24}{len(y):>8}{X.shape[1]:>6}" + "".join(f"{c:>16.4f}" for c in cells), flush=True
        )
    print(*told(found), sep="\n")
    if args.keep:
        args.keep.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

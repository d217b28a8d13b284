"""Whether new rows still are like the calibration rows: a bet against it that wins only when they are not.

The Simple Jumper of Vovk, Petej, Nouretdinov, Ahlberg, Carlsson, Gammerman: Retrain or not retrain: conformal
test martingales for change-point detection (COPA 2021), made safe for a calibration set that stays the same:
each bet pays the distance by which the mean of its p-values may be off one half (Dvoretzky, Kiefer, Wolfowitz
1956; Massart 1990), so that the capital is a supermartingale given the set, with a chance of 1 - delta.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
BETS = (-1.0, 0.0, 1.0)
"""Slopes of the bets: on low p-values, on nothing, on high ones."""
JUMPS = 0.01
"""Share of the capital that changes between the bets before each p-value."""


def mean_error(calibration_rows: int, delta: float) -> float:
    """How far the mean p-value of rows like the calibration's may be off one half, but for a chance of
    delta; 0.5 at most, from where no bet can win."""
    off = math.sqrt(math.log(2 / delta) / (2 * calibration_rows)) + 1 / (calibration_rows + 1)
    return min(off, 0.5)


def capital(p: Numbers, calibration_rows: int, delta: float = 0.01) -> Numbers:
    """The logarithm (base 10) of the capital after each p-value, from 0. While rows are exchangeable with the
    calibration's it never exceeds c but for a chance of 10^-c + delta.

    `p` are smoothed p-values in an order that says nothing: rows of one day are to be shuffled, since hours
    differ. Without p-values it is empty.
    """
    if not len(p):
        return np.zeros(0)
    price = mean_error(calibration_rows, delta)
    shares = [1 / len(BETS)] * len(BETS)
    log, out = 0.0, np.empty(len(p))
    for number, value in enumerate(p.tolist()):
        total = sum(shares)
        shares = [(1 - JUMPS) * share + JUMPS * total / len(BETS) for share in shares]
        shares = [
            share * max(1.0 + bet * (value - 0.5) - abs(bet) * price, 0.0)
            for share, bet in zip(shares, BETS, strict=True)
        ]
        total = sum(shares)
        log += math.log10(total)
        shares = [share / total for share in shares]
        out[number] = log
    return out


def shuffled_within(days: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The order of rows by day, at random within each day: hours of a day differ from each other, days are
    alike."""
    chance = np.random.default_rng(seed).random(len(days))
    return np.lexsort((chance, days))

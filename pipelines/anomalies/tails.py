"""Tail probabilities that the watch's kernel needs: normal, incomplete beta. Compiled, so that one series and
ten thousand get the same bits."""

from __future__ import annotations

import math

from pipelines.anomalies.machine import compiled

MOST_TERMS = 3_000
TINY = 1e-300
MANY = 200.0
"""Numbers above which half of a number's own chance is well enough told by the number less a half."""


@compiled
def normal_below(z):  # type: ignore[no-untyped-def]
    """Chance of a standard normal number below z; exact far into the tail."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@compiled
def normal_quantile(p):  # type: ignore[no-untyped-def]
    """The z below which a standard normal number is with chance p, for p in (1e-300, 1 - 1e-16).

    Abramowitz & Stegun 26.2.23 as a start, then Halley's steps on the exact tail.
    """
    if p > 0.5:
        return -normal_quantile_low(1.0 - p)
    return normal_quantile_low(p)


@compiled
def normal_quantile_low(p):  # type: ignore[no-untyped-def]
    """As `normal_quantile`, for p up to one half."""
    p = max(p, TINY)
    t = math.sqrt(-2.0 * math.log(p))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    z = top / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t
    for _ in range(3):
        density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        if density <= TINY:
            break
        step = (normal_below(z) - p) / density
        z -= step / (1.0 + 0.5 * z * step)
    return z


@compiled
def beta_below(x, a, b):  # type: ignore[no-untyped-def]
    """Regularised incomplete beta function I_x(a, b): continued fraction (DLMF 8.17.22), by Lentz's method.

    Accurate to about 1e-12 of the smaller of the two tails; a and b are positive.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(front) * _fraction(x, a, b) / a
    return 1.0 - math.exp(front) * _fraction(1.0 - x, b, a) / b


@compiled
def _fraction(x, a, b):  # type: ignore[no-untyped-def]
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > TINY else TINY)
    whole = d
    for m in range(1, MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 + even * d
        c = 1.0 + even / c
        d = 1.0 / (d if abs(d) > TINY else TINY)
        c = c if abs(c) > TINY else TINY
        whole *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 + odd * d
        c = 1.0 + odd / c
        d = 1.0 / (d if abs(d) > TINY else TINY)
        c = c if abs(c) > TINY else TINY
        whole *= d * c
        if abs(d * c - 1.0) < 1e-13:
            break
    return whole


@compiled
def counts_below(x, mean, variance):  # type: ignore[no-untyped-def]
    """Chance of a negative binomial number of that mean and variance (above the mean) below x, half of x's
    own chance included; x need not be whole."""
    size = mean * mean / (variance - mean)
    p = size / (size + mean)
    if min(x, mean) > MANY:
        return beta_below(p, size, x + 0.5)
    below = beta_below(p, size, x) if x > 0.0 else 0.0
    return 0.5 * (below + beta_below(p, size, x + 1.0))


@compiled
def counts_above(x, mean, variance):  # type: ignore[no-untyped-def]
    """As `counts_below`, above x."""
    size = mean * mean / (variance - mean)
    p = mean / (size + mean)
    if min(x, mean) > MANY:
        return beta_below(p, x + 0.5, size)
    at_least = beta_below(p, x, size) if x > 0.0 else 1.0
    return 0.5 * (at_least + beta_below(p, x + 1.0, size))


@compiled
def share_below(k, n, chance):  # type: ignore[no-untyped-def]
    """Chance of fewer than k of n, half of k's own chance included; k and n need not be whole."""
    below = beta_below(1.0 - chance, n - k + 1.0, k) if k > 0.0 else 0.0
    up_to = beta_below(1.0 - chance, n - k, k + 1.0) if k < n else 1.0
    return 0.5 * (below + up_to)


@compiled
def share_above(k, n, chance):  # type: ignore[no-untyped-def]
    """As `share_below`, more than k of n."""
    return share_below(n - k, n, 1.0 - chance)

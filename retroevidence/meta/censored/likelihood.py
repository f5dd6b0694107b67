"""The likelihood of effects that are known exactly or only to lie between two limits.

Row i has an effect ``Y_i ~ N(mu, s_i)`` with ``s_i = vi + tau²``. An exact row contributes the
density at its value, a bounded row the probability of its interval. In units of ``z = (Y - mu) /
sqrt(s)`` both have the same scores, once an exact value is read as an interval of no width::

    d log L_i / d mu   = E[z | interval] / sqrt(s)
    d log L_i / d tau² = (E[z² | interval] - 1) / (2 s)
    -d² log L_i / d mu² = (1 - Var[z | interval]) / s

so the moments of a truncated normal variable are all that any fit needs. ``1 - Var[z | interval]``
is the share of a fully reported row's information that the interval holds: 1 when exact, 0 when
it says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, log_ndtr

Floats = NDArray[np.float64]

LOG_ROOT_2PI = math.log(2 * math.pi) / 2
ROOT_2 = math.sqrt(2)
# The normal density over the tail beyond x is this over erfcx(x / sqrt(2)).
DENSITY = math.sqrt(2 / math.pi)
# Below this width in z, differences of probabilities lose digits and the series around the middle
# has an error of 5e-3 to the fourth over 1920, below 1e-12.
NARROW = 5e-3


@dataclass(frozen=True)
class Rows:
    """Effects as intervals; an exact one has two equal limits.

    Examples
    --------
    >>> rows = Rows(np.array([0.3, 0.5]), np.array([0.3, np.inf]), np.array([0.1, 0.1]))
    >>> rows.exact.tolist(), rows.sized, len(rows)
    ([True, False], 1, 2)
    """

    low: Floats
    high: Floats
    v: Floats

    def __len__(self) -> int:
        return len(self.v)

    @cached_property
    def exact(self) -> NDArray[np.bool_]:
        """Which rows are exact."""
        return np.asarray(self.low == self.high)

    @cached_property
    def bounded(self) -> NDArray[np.intp]:
        """Positions of the rows that are not."""
        return np.flatnonzero(~self.exact)

    @cached_property
    def sized(self) -> int:
        """Number of rows that are exact or have two finite limits."""
        return int(np.sum(np.isfinite(self.low) & np.isfinite(self.high)))

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest finite number in the rows."""
        points = np.concatenate([self.low, self.high])
        points = points[np.isfinite(points)]
        return float(points.min()), float(points.max())

    @property
    def open_side(self) -> int:
        """1 if every row is open upward, -1 if downward: then no mean is too far out; else 0."""
        if np.isposinf(self.high).all():
            return 1
        return -1 if np.isneginf(self.low).all() else 0


@dataclass(frozen=True)
class Terms:
    """The log likelihood of each row and its moments, at one or many pairs of mu and tau².

    Attributes
    ----------
    log_l, first, second, spread, s : numpy.ndarray, shape (..., k)
        Log likelihood; E[z], E[z²] and Var[z] within the interval; total variance.
    """

    log_l: Floats
    first: Floats
    second: Floats
    spread: Floats
    s: Floats

    @property
    def loglik(self) -> Floats:
        """Log likelihood, summed over rows."""
        return np.asarray(self.log_l.sum(axis=-1))

    @property
    def slope(self) -> Floats:
        """Derivative of the log likelihood with respect to mu."""
        return np.asarray((self.first / np.sqrt(self.s)).sum(axis=-1))

    @property
    def information(self) -> Floats:
        """Observed information on mu, tau² held; never negative."""
        return np.asarray(((1 - self.spread) / self.s).sum(axis=-1))

    @property
    def slope_tau2(self) -> Floats:
        """Derivative of the log likelihood with respect to tau²."""
        return np.asarray(((self.second - 1) / (2 * self.s)).sum(axis=-1))


def terms(rows: Rows, mu: ArrayLike, tau2: ArrayLike) -> Terms:
    """Evaluate every row at `mu` and `tau2`, arrays of one shape or scalars.

    Parameters
    ----------
    rows : Rows
        Effects.
    mu, tau2 : array_like, shape (...)
        Mean and variance between studies, ``tau2 >= 0``; one broadcasts to the other.

    Returns
    -------
    Terms
        Arrays of shape (..., k).

    Examples
    --------
    >>> rows = Rows(np.array([-np.inf]), np.array([0.0]), np.array([1.0]))
    >>> float(np.exp(terms(rows, 0.0, 0.0).loglik))
    0.5
    """
    s = rows.v + np.asarray(tau2, dtype=float)[..., None]
    sigma = np.sqrt(s)
    centre = np.asarray(mu, dtype=float)[..., None]
    # First as if all rows were exact, then the bounded ones in their place.
    first = (rows.low - centre) / sigma
    second = first**2
    log_l = -second / 2 - LOG_ROOT_2PI - np.log(s) / 2
    spread = np.zeros_like(first)
    b = rows.bounded
    if len(b):
        scale = sigma[..., b]
        high = (rows.high[b] - centre) / scale
        # The width is exact; the difference of the two ends would not be, far out.
        width = (rows.high[b] - rows.low[b]) / scale
        moments = truncated(first[..., b], high, width)
        log_l[..., b], first[..., b], second[..., b], spread[..., b] = moments
    return Terms(log_l, first, second, spread, s)


def truncated(low: Floats, high: Floats, width: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return log P(low < z < high), E[z], E[z²] and Var[z] within, for a standard normal z.

    Parameters
    ----------
    low, high, width : numpy.ndarray
        Ends, which may be infinite, and ``high - low > 0``.

    Returns
    -------
    log_p, first, second, spread : numpy.ndarray
        Accurate however far out or narrow the interval is: the scaled complementary error function
        stands for the ratio of density to tail, and a series for narrow intervals.

    Examples
    --------
    >>> one = np.ones(1)
    >>> log_p, first, *_ = truncated(40 * one, np.inf * one, np.inf * one)
    >>> round(float(log_p[0]), 3), round(float(first[0]), 5)
    (-804.608, 40.02497)
    """
    # Mirrored so that most of the interval is to the right of 0: there the tails are accurate.
    turned = low + high < 0
    a, b = np.where(turned, -high, low), np.where(turned, -low, high)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scaled_a, scaled_b = erfcx(a / ROOT_2), erfcx(b / ROOT_2)
        log_tail = log_ndtr(-a)
        # log of the tail beyond b over the tail beyond a; it is -inf for b = inf.
        drop = np.where(
            a > 0,
            np.log(scaled_b / scaled_a) - (b - a) * (b + a) / 2,
            log_ndtr(-b) - log_tail,
        )
        share = -np.expm1(drop)
        log_p = log_tail + np.log(share)
        # Densities at the ends over the probability, and their moments; a is always finite.
        at_a = DENSITY / scaled_a / share
        at_b = np.where(drop == -np.inf, 0.0, DENSITY / scaled_b * np.exp(drop) / share)
        first = at_a - at_b
        second = 1 + a * at_a - np.where(at_b == 0, 0.0, b * at_b)
        # Far out the two parts cancel; a truncated normal never has a variance outside 0 to 1.
        spread = np.clip(second - first**2, 0.0, 1.0)

        middle = a + width / 2
        narrow = width * (1 + np.abs(middle)) < NARROW
    if narrow.any():
        w2 = np.where(narrow, width, 0.0) ** 2
        middle = np.where(narrow, middle, 0.0)
        log_w = np.log(np.where(narrow, width, 1.0))
        series = -(middle**2) / 2 - LOG_ROOT_2PI + log_w + (middle**2 - 1) * w2 / 24
        log_p = np.where(narrow, series, log_p)
        first = np.where(narrow, middle * (1 - w2 / 12), first)
        spread = np.where(narrow, w2 / 12, spread)
        second = np.where(narrow, first**2 + spread, second)
    return log_p, np.where(turned, -first, first), second, spread

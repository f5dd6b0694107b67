"""Likelihoods of one study's counts as functions of its own effect, with their derivatives.

Each is log-concave in the effect (and in the study's base level where it has one), which is what
makes the fit in `glmm_fit` safe.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, xlogy

from retroevidence.meta.counts.mantel_haenszel import expected_events
from retroevidence.meta.counts.tables import Counts

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Possible numbers of events up to which tables are computed together, all terms of the sum.
FEW = 60


class Terms(NamedTuple):
    """A log-likelihood and its derivatives by the effect and by the base level, shape (k, m).

    Examples
    --------
    >>> Terms(*np.zeros((6, 1, 1))).value.shape
    (1, 1)
    """

    value: Floats
    effect: Floats
    effect2: Floats
    base: Floats
    base2: Floats
    mixed: Floats


class Kernel(Protocol):
    """What `glmm_fit` asks of the likelihood of k studies."""

    k: int
    #: Whether each study has a base level of its own to estimate.
    has_base: bool
    #: Rounding error of a log-likelihood: with millions of people more than the last gains of a
    #: climb.
    rounding: float

    def terms(self, effect: Floats, base: Floats) -> Terms:
        """Return the terms at effects, shape (k, m), and base levels, shape (k, 1)."""
        ...

    def start(self) -> Floats:
        """Return base levels to start from, shape (k,)."""
        ...

    def saturated(self) -> float:
        """Return the log-likelihood when every study has its own effect."""
        ...

    def edges(self) -> tuple[Bools, Bools]:
        """Return which studies are most likely at an effect of minus and of plus infinity."""
        ...


class Binomial:
    """x of n with a logit of ``offset + effect``.

    Examples
    --------
    >>> one = Binomial(np.array([1.0]), np.array([2.0]), np.zeros(1))
    >>> round(one.terms(*np.zeros((2, 1, 1))).value.item(), 4)
    -0.6931
    """

    has_base = False

    def __init__(self, x: Floats, n: Floats, offset: Floats) -> None:
        self.k = len(x)
        self.x, self.n, self.offset = x[:, None], n[:, None], offset[:, None]
        self.constant, self.rounding = log_choose(n, x), _rounding(n)

    def terms(self, effect: Floats, base: Floats) -> Terms:
        """Return the terms at effects and base levels."""
        logit = self.offset + effect
        p = expit(logit)
        value = self.constant[:, None] + self.x * logit - self.n * np.logaddexp(0.0, logit)
        none = np.zeros_like(logit)
        return Terms(value, self.x - self.n * p, -self.n * p * expit(-logit), none, none, none)

    def start(self) -> Floats:
        """Return base levels to start from."""
        return np.zeros(self.k)

    def saturated(self) -> float:
        """Return the log-likelihood when every study has its own effect."""
        x, n = self.x[:, 0], self.n[:, 0]
        return float((self.constant + _binomial_peak(x, n)).sum())

    def edges(self) -> tuple[Bools, Bools]:
        """Return which studies are most likely at an infinite effect, below and above."""
        return np.asarray(self.x[:, 0] == 0), np.asarray(self.x[:, 0] == self.n[:, 0])


class Hypergeometric:
    """Events of group 1 given all margins, with a log odds ratio of ``effect``.

    The non-central hypergeometric distribution of Fisher: no base level is left in it.

    Examples
    --------
    >>> counts = Counts(*np.array([[1.0], [2], [1], [2]]), None)
    >>> round(Hypergeometric(counts).terms(*np.zeros((2, 1, 1))).value.item(), 4)
    -0.4055
    """

    has_base = False

    def __init__(self, counts: Counts) -> None:
        self.counts, self.k = counts, len(counts.x1)
        self.rounding = _rounding(counts.n1 + counts.n2)
        # Distances from what happened and weights relative to it, so that sums of large counts
        # keep their digits.
        self.support: list[Floats] = []
        self.log_weight: list[Floats] = []
        for x1, n1, x2, n2 in zip(counts.x1, counts.n1, counts.x2, counts.n2, strict=True):
            events = x1 + x2
            values = np.arange(max(0.0, events - n2), min(n1, events) + 1)
            weight = log_choose(n1, values) + log_choose(n2, events - values)
            self.support.append(values - x1)
            self.log_weight.append(weight - log_choose(n1, x1) - log_choose(n2, x2))
        sizes = np.array([len(values) for values in self.support])
        #: Small tables go through one array together, filled up with impossible values.
        self.few, self.many = np.flatnonzero(sizes <= FEW), np.flatnonzero(sizes > FEW)
        shape = (len(self.few), 1, int(sizes[self.few].max(initial=0)))
        self.distances, self.weights = np.zeros(shape), np.full(shape, -np.inf)
        for row, i in enumerate(self.few):
            self.distances[row, 0, : sizes[i]] = self.support[i]
            self.weights[row, 0, : sizes[i]] = self.log_weight[i]

    def terms(self, effect: Floats, base: Floats) -> Terms:
        """Return the terms at effects; there are no base levels."""
        value, slope, bend = np.empty((3, *effect.shape))
        if len(self.few):
            value[self.few], slope[self.few], bend[self.few] = _exponential_family(
                effect[self.few], self.distances, self.weights
            )
        for i in self.many:
            part = self._window(int(i), float(effect[i].min()), float(effect[i].max()))
            value[i], slope[i], bend[i] = _exponential_family(
                effect[i], self.support[i][part], self.log_weight[i][part]
            )
        none = np.zeros_like(value)
        return Terms(value, slope, bend, none, none, none)

    def _window(self, i: int, low: float, high: float) -> slice:
        """Return the part of a study's support that has any mass at effects in this range.

        The distribution moves up with the effect, so the left tail at the lowest effect and the
        right tail at the highest one bound all others; beyond 12 standard deviations and 20 events
        a log-concave distribution has nothing left to the last digit.
        """
        size, c = len(self.support[i]), self.counts
        n1, n2, events = c.n1[i], c.n2[i], c.x1[i] + c.x2[i]
        middle = expected_events(np.exp(np.clip([low, high], -300, 300)), n1, events, n2)
        cells = np.array([middle, n1 - middle, events - middle, n2 - events + middle])
        reach = 12 / np.sqrt((1 / np.fmax(cells, 0.5)).sum(axis=0)) + 20
        place = middle - c.x1[i] - self.support[i][0]
        first, last = math.floor(place[0] - reach[0]), math.ceil(place[1] + reach[1])
        return slice(max(0, min(first, size - 1)), min(size, max(last + 1, 1)))

    def start(self) -> Floats:
        """Return base levels to start from."""
        return np.zeros(self.k)

    def saturated(self) -> float:
        """Return the sum of each study's highest conditional likelihood, 0 at the edges."""
        low, high = self.edges()
        effect = np.zeros((self.k, 1))
        left, right = np.full((self.k, 1), -60.0), np.full((self.k, 1), 60.0)
        inside = ~(low | high)
        for _ in range(200):
            found = self.terms(effect, effect)
            left = np.where(found.effect > 0, effect, left)
            right = np.where(found.effect > 0, right, effect)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = effect - found.effect / found.effect2
            step = np.where((step > left) & (step < right), step, (left + right) / 2)
            done = np.abs(step - effect)[inside].max(initial=0.0) < 1e-9
            effect = step
            if done:
                break
        return float(self.terms(effect, effect).value[inside].sum())

    def edges(self) -> tuple[Bools, Bools]:
        """Return which studies are most likely at an infinite effect, below and above."""
        return _table_edges(self.counts)


class TwoBinomials:
    """Both groups, with logits of ``base ± effect / 2``.

    Examples
    --------
    >>> counts = Counts(*np.array([[1.0], [2], [1], [2]]), None)
    >>> round(TwoBinomials(counts).terms(*np.zeros((2, 1, 1))).value.item(), 4)
    -1.3863
    """

    has_base = True

    def __init__(self, counts: Counts) -> None:
        self.counts, self.k = counts, len(counts.x1)
        self.constant = log_choose(counts.n1, counts.x1) + log_choose(counts.n2, counts.x2)
        self.rounding = _rounding(counts.n1 + counts.n2)

    def terms(self, effect: Floats, base: Floats) -> Terms:
        """Return the terms at effects and base levels."""
        c = self.counts
        one = _logit_terms(c.x1[:, None], c.n1[:, None], base + effect / 2)
        two = _logit_terms(c.x2[:, None], c.n2[:, None], base - effect / 2)
        return _two_groups(self.constant, one, two)

    def start(self) -> Floats:
        """Return base levels to start from."""
        c = self.counts
        logit_1 = np.log((c.x1 + 0.5) / (c.n1 - c.x1 + 0.5))
        return np.asarray((logit_1 + np.log((c.x2 + 0.5) / (c.n2 - c.x2 + 0.5))) / 2)

    def saturated(self) -> float:
        """Return the log-likelihood when every study has its own effect."""
        c = self.counts
        peaks = _binomial_peak(c.x1, c.n1) + _binomial_peak(c.x2, c.n2)
        return float((self.constant + peaks).sum())

    def edges(self) -> tuple[Bools, Bools]:
        """Return which studies are most likely at an infinite effect, below and above."""
        return _table_edges(self.counts)


class TwoPoissons:
    """Events over time in both groups, with log rates of ``base ± effect / 2``.

    Examples
    --------
    >>> counts = Counts(*np.array([[1.0], [2], [1], [2]]), None)
    >>> round(TwoPoissons(counts).terms(*np.zeros((2, 1, 1))).value.item(), 4)
    -2.6137
    """

    has_base = True

    def __init__(self, counts: Counts) -> None:
        self.counts, self.k = counts, len(counts.x1)
        c = counts
        self.constant = xlogy(c.x1, c.n1) + xlogy(c.x2, c.n2) - gammaln(c.x1 + 1)
        self.constant = self.constant - gammaln(c.x2 + 1)
        self.rounding = _rounding(c.x1 + c.x2 + np.abs(self.constant))

    def terms(self, effect: Floats, base: Floats) -> Terms:
        """Return the terms at effects and base levels."""
        c = self.counts
        one = _rate_terms(c.x1[:, None], c.n1[:, None], base + effect / 2)
        two = _rate_terms(c.x2[:, None], c.n2[:, None], base - effect / 2)
        return _two_groups(self.constant, one, two)

    def start(self) -> Floats:
        """Return base levels to start from."""
        c = self.counts
        return np.asarray((np.log((c.x1 + 0.5) / c.n1) + np.log((c.x2 + 0.5) / c.n2)) / 2)

    def saturated(self) -> float:
        """Return the log-likelihood when every study has its own effect."""
        c = self.counts
        peaks = xlogy(c.x1, c.x1 / c.n1) - c.x1 + xlogy(c.x2, c.x2 / c.n2) - c.x2
        return float((self.constant + peaks).sum())

    def edges(self) -> tuple[Bools, Bools]:
        """Return which studies are most likely at an infinite effect, below and above."""
        return np.asarray(self.counts.x1 == 0), np.asarray(self.counts.x2 == 0)


def log_choose(n: Floats, x: Floats) -> Floats:
    """Return the logarithm of the number of ways to choose x of n.

    Examples
    --------
    >>> round(float(np.exp(log_choose(np.array(5.0), np.array(2.0)))), 9)
    10.0
    """
    return np.asarray(gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1))


def _exponential_family(
    effect: Floats, distance: Floats, weight: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return log-probability, slope and bend of what happened, at distance 0."""
    exponent = weight + effect[..., None] * distance
    top = exponent.max(axis=-1, keepdims=True)
    mass = np.exp(exponent - top)
    total = mass.sum(axis=-1, keepdims=True)
    mass /= total
    mean = (mass * distance).sum(axis=-1, keepdims=True)
    bend = -(mass * (distance - mean) ** 2).sum(axis=-1)
    return -top[..., 0] - np.log(total[..., 0]), -mean[..., 0], bend


def _rounding(n: Floats) -> float:
    return 2 * float(np.finfo(float).eps * gammaln(n + 1).sum())


def _binomial_peak(x: Floats, n: Floats) -> Floats:
    return np.asarray(xlogy(x, x / n) + xlogy(n - x, 1 - x / n))


def _table_edges(c: Counts) -> tuple[Bools, Bools]:
    low = (c.x1 == 0) | (c.x2 == c.n2)
    return np.asarray(low), np.asarray((c.x2 == 0) | (c.x1 == c.n1))


def _logit_terms(x: Floats, n: Floats, logit: Floats) -> tuple[Floats, Floats, Floats]:
    p = expit(logit)
    return x * logit - n * np.logaddexp(0.0, logit), x - n * p, -n * p * expit(-logit)


def _rate_terms(x: Floats, time: Floats, log_rate: Floats) -> tuple[Floats, Floats, Floats]:
    # Steps that go too far are turned back; e^300 is far enough for that, and does not overflow.
    expected = np.exp(np.fmin(np.log(time) + log_rate, 300.0))
    return x * log_rate - expected, x - expected, -expected


def _two_groups(
    constant: Floats, one: tuple[Floats, Floats, Floats], two: tuple[Floats, Floats, Floats]
) -> Terms:
    """Join two groups whose predictors are base + effect/2 and base - effect/2."""
    return Terms(
        constant[:, None] + one[0] + two[0],
        (one[1] - two[1]) / 2,
        (one[2] + two[2]) / 4,
        one[1] + two[1],
        one[2] + two[2],
        (one[2] - two[2]) / 2,
    )

"""Distributions fitted to a few quantiles of one study, after McGrath et al. (2020).

doi 10.1177/0962280219889080. Every fit is a search over one shape within brackets, the scale being
a least-squares solution in closed form; only the beta family, which has no scale, needs two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import betaincinv, expit, gammaincinv, gammaln, ndtri

from retroevidence.effects.conversions.five_numbers import expected_spans, luo_mean
from retroevidence.effects.formulas.checks import Floats
from retroevidence.errors import EffectError

Pair = tuple[float, float] | None


class Family(NamedTuple):
    """One family of distributions fitted to the quantiles of one study.

    Attributes
    ----------
    name : str
        normal, log-normal, gamma, Weibull or beta.
    mean, sd : float
        Of the fitted distribution.
    loss : float
        Sum of squared differences between reported and fitted quantiles.

    Examples
    --------
    >>> fit_families(100, 4, (2, 9), None)[0].name
    'log-normal'
    """

    name: str
    mean: float
    sd: float
    loss: float


def fit_families(n: float, median: float, ends: Pair, quartiles: Pair) -> list[Family]:
    """Fit families of distributions to the quantiles of one study by least squares.

    The minimum and maximum of n people are taken as the quantiles at 1/n and 1 - 1/n. With a
    negative quantile only the normal family is fitted; the beta family only within 0 and 1.

    Parameters
    ----------
    n, median : float
        People and median.
    ends, quartiles : tuple of float or None
        Minimum and maximum; first and third quartile.

    Returns
    -------
    list of Family
        The best fit first.

    Examples
    --------
    >>> [family.name for family in fit_families(100, 4, (2, 9), None)]
    ['log-normal', 'gamma', 'Weibull', 'normal']
    """
    points = [(0.5, median)]
    points += [(1 / n, ends[0]), (1 - 1 / n, ends[1])] if ends else []
    points += [(0.25, quartiles[0]), (0.75, quartiles[1])] if quartiles else []
    p, q = np.array(sorted(points)).T
    # Fitted in units of the largest quantile, so that every unit gives the same answer.
    unit = float(np.abs(q).max())
    q = q / unit
    found = [_normal(p, q)]
    if q.min() >= 0:
        found += [_scale_family(name, p, q) for name in _SHAPES]
        if q.max() * unit <= 1:
            found.append(_beta(p, q * unit, unit))
    found = [f._replace(mean=f.mean * unit, sd=f.sd * unit, loss=f.loss * unit**2) for f in found]
    return sorted(found, key=lambda family: family.loss)


def _normal(p: Floats, q: Floats) -> Family:
    z = ndtri(p)
    centred = z - z.mean()
    sd = float(centred @ q / (centred @ centred))
    mean = float(q.mean() - sd * z.mean())
    return Family("normal", mean, sd, float(((mean + sd * z - q) ** 2).sum()))


def _log_normal(p: Floats, shape: float) -> tuple[Floats, float, float]:
    """Return quantiles, mean and SD of scale 1."""
    mean = math.exp(shape**2 / 2)
    return np.exp(shape * ndtri(p)), mean, mean * math.sqrt(math.expm1(shape**2))


def _gamma(p: Floats, shape: float) -> tuple[Floats, float, float]:
    # In units of the mean, so that large shapes stay of order one.
    return np.asarray(gammaincinv(shape, p) / shape, float), 1.0, 1 / math.sqrt(shape)


def _weibull(p: Floats, shape: float) -> tuple[Floats, float, float]:
    one, two = (math.exp(gammaln(1 + power / shape)) for power in (1, 2))
    return (-np.log1p(-p)) ** (1 / shape), one, math.sqrt(max(two - one**2, 0.0))


#: Families with a scale: quantiles and moments for a shape, and the logarithms of shapes to search.
_SHAPES: dict[str, tuple[Callable[[Floats, float], tuple[Floats, float, float]], float, float]] = {
    "log-normal": (_log_normal, math.log(1e-3), math.log(6.0)),
    "gamma": (_gamma, math.log(0.05), math.log(1e6)),
    "Weibull": (_weibull, math.log(0.1), math.log(1e3)),
}


def _scale_family(name: str, p: Floats, q: Floats) -> Family:
    """Search the shape on a grid, then by golden section around its best point."""
    family, first, last = _SHAPES[name]

    def at(log_shape: float) -> Family:
        u, mean, sd = family(p, math.exp(log_shape))
        scale = float(u @ q / (u @ u))
        return Family(name, scale * mean, scale * sd, float(((scale * u - q) ** 2).sum()))

    grid = np.linspace(first, last, 80)
    best = int(np.argmin([at(x).loss for x in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(
        lambda x: at(x).loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    )
    return min(at(float(found.x)), at(float(grid[best])), key=lambda fit: fit.loss)


def _beta(p: Floats, q: Floats, unit: float) -> Family:
    """Fit mean and precision of a beta distribution; `unit` turns the result back."""
    rough = _normal(p, q)
    mean = min(max(rough.mean, 0.01), 0.99)
    precision = max(mean * (1 - mean) / max(rough.sd, 1e-6) ** 2 - 1, 0.1)

    def at(x: Floats) -> Family:
        mu, size = float(expit(x[0])), math.exp(min(float(x[1]), 25.0))
        fitted = betaincinv(mu * size, (1 - mu) * size, p)
        sd = math.sqrt(mu * (1 - mu) / (size + 1))
        loss = float(((fitted - q) ** 2).sum())
        return Family("beta", mu / unit, sd / unit, loss / unit**2)

    def loss(x: Floats) -> float:
        return at(x).loss

    # Nelder-Mead stays at finite values and ends within its bound of steps.
    found = minimize(
        loss,
        np.array([math.log(mean / (1 - mean)), math.log(precision)]),
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-16, "maxiter": 2000},
    )
    return at(found.x)


def box_cox(n: float, median: float, ends: Pair, quartiles: Pair) -> tuple[float, float]:
    """Mean and SD of one study by the Box-Cox method of McGrath et al. (2020).

    A power transformation makes the quantiles symmetric about the median; mean and SD of the
    transformed outcome, taken as normal, come from Luo et al. (2018) and Wan et al. (2014). Then n
    people at the normal scores of their ranks are turned back, within the reported range, and
    their mean and SD taken. The paper draws at random or integrates here, which differs between
    runs or grows without bound when the power is negative. With range and quartiles the power is
    the least-squares compromise of the two, in units of the median so that every unit gives the
    same answer. From quartiles alone the tail of a very skewed outcome is pure extrapolation:
    where the highest of the n people would outweigh all others together, there is no estimate.

    Parameters
    ----------
    n, median : float
        People and median, above 0.
    ends, quartiles : tuple of float or None
        Minimum and maximum; first and third quartile, above 0.

    Returns
    -------
    mean, sd : float
        In the unit of the outcome; NaN where the tail is pure extrapolation.

    Raises
    ------
    EffectError
        If a quantile is not above 0, or an outer one equals the median.

    Examples
    --------
    >>> mean, sd = box_cox(100, 4, (2, 9), None)
    >>> round(mean, 3), round(sd, 3)
    (4.223, 1.317)
    """
    pairs = [pair for pair in (ends, quartiles) if pair is not None]
    if min(low for low, _ in pairs) <= 0:
        raise EffectError("the Box-Cox method needs quantiles above 0; use the method 'quantile'.")
    if any(low == median or high == median for low, high in pairs):
        raise EffectError(
            "a quantile equals the median, which no power makes symmetric; use the method "
            "'quantile'."
        )
    logs = [(math.log(low / median), math.log(high / median)) for low, high in pairs]
    powers = [_power(low, high) for low, high in logs]
    power = powers[0]
    if len(powers) == 2 and powers[0] != powers[1]:
        found = minimize_scalar(
            lambda x: sum((_bent(low, x) + _bent(high, x)) ** 2 for low, high in logs),
            bounds=(min(powers), max(powers)),
            method="bounded",
            options={"xatol": 1e-12},
        )
        power = float(found.x)
    spans = [(_bent(low, power), _bent(high, power)) for low, high in logs]
    centre = float(luo_mean(n, 0.0, spans[0] if ends else (), spans[-1] if quartiles else ()))
    # Wan et al. (2014) average the SDs of range and quartiles.
    usual = [
        span for span, given in zip(expected_spans(n), (ends, quartiles), strict=True) if given
    ]
    sds = [(high - low) / float(span) for (low, high), span in zip(spans, usual, strict=True)]
    return _turned_back(power, centre, sum(sds) / len(sds), median, ends, n)


def _bent(log_x: float, power: float) -> float:
    """Return (x^power - 1)/power, the logarithm at power 0."""
    return math.expm1(power * log_x) / power if power else log_x


def _power(low: float, high: float) -> float:
    """Return the power that makes two logs about 0 symmetric; there is exactly one."""
    if math.isclose(-low, high, rel_tol=1e-12):
        return 0.0
    # exp(high x) + exp(low x) - 2 is convex with a root at 0 and one other, on the side on which
    # the function falls from 0; it is positive beyond ln 2 over the larger log on that side.
    side = -1.0 if low + high > 0 else 1.0
    far = math.log(2) / (high if side > 0 else -low)

    def lopsided(x: float) -> float:
        return math.expm1(high * x) + math.expm1(low * x)

    # Where the function is lowest, between both roots.
    lowest = math.log(-low / high) / (high - low)
    return float(brentq(lopsided, lowest, side * far, xtol=1e-14, rtol=1e-14))


def _turned_back(
    power: float, centre: float, sd: float, median: float, ends: Pair, n: float
) -> tuple[float, float]:
    # A million people stand for more, whose scores would fill the memory.
    people = min(max(round(n), 2), 1_000_000)
    # Blom's normal scores, brought to an SD of 1: a normal outcome keeps its SD exactly.
    z = ndtri((np.arange(1, people + 1) - 0.375) / (people + 0.25))
    z = z / z.std(ddof=1)
    y = centre + sd * z
    if power:
        # Whoever lies beyond the end of the transformation stands at it: at 0, or at infinity.
        with np.errstate(divide="ignore", over="ignore"):
            x = median * np.exp(np.log(np.maximum(1 + power * y, 0)) / power)
    else:
        x = median * np.exp(y)
    if ends:
        x = np.clip(x, *ends)
    elif not x[-1] < x[:-1].sum():
        return math.nan, math.nan
    return float(x.mean()), float(x.std(ddof=1))

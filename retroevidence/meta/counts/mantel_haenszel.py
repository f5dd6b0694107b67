"""Mantel and Haenszel's estimates of one ratio or difference from many tables of counts.

Weights come from the sizes of the groups, not from the variance of each study's own result, so
studies without events in one group need no correction.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from retroevidence.meta.interval import NAN

Floats = NDArray[np.float64]


class Sums(NamedTuple):
    """An estimate with its variance and the weight of every study.

    Examples
    --------
    >>> Sums(0.0, 1.0, np.ones(2)).variance
    1.0
    """

    estimate: float
    variance: float
    weights: Floats


def mantel_haenszel(measure: str, x1: Floats, n1: Floats, x2: Floats, n2: Floats) -> Sums:
    """Return the Mantel-Haenszel estimate of `measure` with its variance.

    Parameters
    ----------
    measure : str
        OR, RR, RD for events among people; IRR, IRD for events over time.
    x1, n1, x2, n2 : numpy.ndarray, shape (k,)
        Events and people (or time) in group 1 and in group 2.

    Returns
    -------
    Sums
        Estimate (log for ratios; group 1 minus group 2), variance, weights. The estimate is not
        finite, or the variance 0, where the counts do not determine them.

    Notes
    -----
    With ``N = n1 + n2`` per study, ``R`` and ``S`` as below and sums over studies:

    - OR: ``R = a d / N``, ``S = b c / N``; ``log(ΣR / ΣS)``; variance of Robins, Breslow &
      Greenland (1986, doi 10.2307/2531052):
      ``ΣPR / 2(ΣR)² + Σ(PS + QR) / (2 ΣR ΣS) + ΣQS / 2(ΣS)²``, ``P = (a+d)/N``, ``Q = (b+c)/N``.
    - RR: ``R = a n2 / N``, ``S = c n1 / N``; variance of Greenland & Robins (1985, doi
      10.2307/2530643): ``Σ(n1 n2 (a+c) - a c N)/N² / (ΣR ΣS)``.
    - IRR: the same with time for people, and variance ``Σ(n1 n2 (a+c))/N² / (ΣR ΣS)``.
    - RD, IRD: weights ``w = n1 n2 / N``; ``Σw(p1 - p2) / Σw``. Variance for RD: Sato, Greenland &
      Robins (1989, https://www.jstor.org/stable/2531784), ``(D ΣP + ΣQ) / (Σw)²``, D the estimate,
      ``P = (n1² c - n2² a + n1 n2 (n2 - n1)/2) / N²`` and ``Q = (a (n2 - c) + c (n1 - a)) / 2N``,
      which also holds for many small studies. For IRD: ``Σw² (a/n1² + c/n2²) / (Σw)²``
      (Greenland & Robins 1985).

    Examples
    --------
    >>> one = mantel_haenszel("OR", *np.array([[4.0, 6], [123, 306], [11, 29], [139, 303]]))
    >>> round(one.estimate, 4), round(one.variance, 4)
    (-1.4215, 0.1293)
    """
    total = n1 + n2
    b, d = n1 - x1, n2 - x2
    shared = n1 * n2 / total
    if measure in ("RD", "IRD"):
        weight = float(shared.sum())
        estimate = float((shared * (x1 / n1 - x2 / n2)).sum()) / weight
        if measure == "IRD":
            spread = float((shared**2 * (x1 / n1**2 + x2 / n2**2)).sum())
        else:
            p = (n1**2 * x2 - n2**2 * x1 + n1 * n2 * (n2 - n1) / 2) / total**2
            q = (x1 * d + x2 * b) / (2 * total)
            scale = float(q.sum())
            spread = estimate * float(p.sum()) + scale
            # Where everybody in one group and nobody in the other has the event, two equal terms
            # cancel but for rounding.
            spread = 0.0 if spread < 1e-12 * scale else spread
        return Sums(estimate, spread / weight**2, shared)
    if measure == "OR":
        r, s = x1 * d / total, b * x2 / total
    else:
        r, s = x1 * n2 / total, x2 * n1 / total
    up, down = float(r.sum()), float(s.sum())
    if up == 0 or down == 0:
        return Sums(NAN, NAN, s)
    if measure == "OR":
        p, q = (x1 + d) / total, (b + x2) / total
        variance = (p * r).sum() / (2 * up**2) + (q * s).sum() / (2 * down**2)
        variance += (p * s + q * r).sum() / (2 * up * down)
    else:
        both = n1 * n2 * (x1 + x2) - (x1 * x2 * total if measure == "RR" else 0.0)
        variance = (both / total**2).sum() / (up * down)
    return Sums(math.log(up / down), float(variance), s)


def association_test(
    x1: Floats, n1: Floats, x2: Floats, n2: Floats, *, rates: bool
) -> tuple[float, float]:
    """Return the Cochran-Mantel-Haenszel chi-squared (1 df) of no effect, and its p-value.

    Parameters
    ----------
    x1, n1, x2, n2 : numpy.ndarray, shape (k,)
        Events and people (or time) in group 1 and in group 2.
    rates : bool
        Whether `n1` and `n2` are times.

    Returns
    -------
    tuple of float
        Statistic and p-value, without a continuity correction; NaN if no study has events and
        people without one.

    Notes
    -----
    ``(Σ(a - E))² / ΣV`` with ``E = n1 m / N``, m all events, and ``V = n1 n2 m (N - m) / N²(N-1)``
    (Mantel & Haenszel 1959, doi 10.1093/jnci/22.4.719); for rates ``V = n1 n2 m / N²``.

    Examples
    --------
    >>> tables = np.array([[4.0, 6], [123, 306], [11, 29], [139, 303]])
    >>> [round(value, 4) for value in association_test(*tables, rates=False)]
    [18.1402, 0.0]
    """
    total, events = n1 + n2, x1 + x2
    excess = float((x1 - n1 * events / total).sum())
    if rates:
        variance = float((n1 * n2 * events / total**2).sum())
    else:
        variance = float(hypergeometric_variance(x1, n1, x2, n2).sum())
    if variance == 0:
        return NAN, NAN
    statistic = excess**2 / variance
    return statistic, float(chdtrc(1, statistic))


def hypergeometric_variance(x1: Floats, n1: Floats, x2: Floats, n2: Floats) -> Floats:
    """Return the variance of the events in group 1, given all margins and no effect.

    Parameters
    ----------
    x1, n1, x2, n2 : numpy.ndarray, shape (k,)
        Events and people in group 1 and in group 2.

    Returns
    -------
    numpy.ndarray, shape (k,)
        ``n1 n2 m (N - m) / (N² (N - 1))``; 0 where all or none had the event.

    Examples
    --------
    >>> hypergeometric_variance(*np.array([[1.0], [2], [1], [2]])).round(4).tolist()
    [0.3333]
    """
    total, events = n1 + n2, x1 + x2
    # Each group has one person at least, so N - 1 is above 0.
    variance: Floats = n1 * n2 * events * (total - events) / (total**2 * (total - 1))
    return variance


def tarone(
    odds_ratio: float, x1: Floats, n1: Floats, x2: Floats, n2: Floats
) -> tuple[float, float]:
    """Return Breslow and Day's test of one odds ratio in all studies, and as Tarone mended it.

    Parameters
    ----------
    odds_ratio : float
        The Mantel-Haenszel odds ratio.
    x1, n1, x2, n2 : numpy.ndarray, shape (k,)
        Events and people in group 1 and in group 2; each study has events and people without one.

    Returns
    -------
    tuple of float
        Breslow & Day's chi-squared (IARC Scientific Publications 32, 1980, section 4.4) and
        Tarone's (1985, doi 10.1093/biomet/72.1.91), each with k - 1 degrees of freedom.

    Notes
    -----
    With A the events of group 1 that the margins and the odds ratio make expected (the root of a
    quadratic), and ``V = 1 / (1/A + 1/B + 1/C + 1/D)``: ``Σ(a - A)²/V`` and, less,
    ``(Σa - ΣA)² / ΣV``.

    Examples
    --------
    >>> tables = np.array([[4.0, 6], [123, 306], [11, 29], [139, 303]])
    >>> round(tarone(0.2412, *tables)[1], 4)
    0.9533
    """
    expected = expected_events(odds_ratio, n1, x1 + x2, n2)
    b, c = n1 - expected, x1 + x2 - expected
    variance = 1 / (1 / expected + 1 / b + 1 / c + 1 / (n2 - c))
    breslow_day = float(((x1 - expected) ** 2 / variance).sum())
    return breslow_day, breslow_day - float((x1 - expected).sum()) ** 2 / float(variance.sum())


def expected_events(odds_ratio: float | Floats, n1: Floats, events: Floats, n2: Floats) -> Floats:
    """Return the events of group 1 that give a table with these margins this odds ratio.

    Parameters
    ----------
    odds_ratio : float or numpy.ndarray
        Above 0.
    n1, events, n2 : numpy.ndarray, shape (k,)
        People in group 1, events in both groups together, people in group 2.

    Returns
    -------
    numpy.ndarray
        The root A of ``A (n2 - m + A) = ψ (n1 - A)(m - A)`` between the bounds of the margins.

    Examples
    --------
    >>> float(expected_events(1.0, np.array(20.0), np.array(15.0), np.array(40.0)))
    5.0
    """
    psi = np.asarray(odds_ratio, dtype=float)
    least, most = np.fmax(0.0, events - n2), np.fmin(n1, events)
    # With u A² + v A + w = 0: this form of the root keeps its digits when ψ is near 1, where the
    # quadratic becomes a line, and the other form where v is below 0.
    u = 1 - psi
    v = n2 - events + psi * (n1 + events)
    w = -psi * n1 * events
    root = np.sqrt(np.fmax(0.0, v**2 - 4 * u * w))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(v >= 0, -2 * w / (v + root), (root - v) / (2 * u))
    return np.asarray(np.clip(found, least, most))

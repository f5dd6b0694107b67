"""Mean and SD from a median with quartiles, with the range, or with both.

:func:`mean_sd_from_quantiles` takes the outcome as normal; :func:`skewness` tells whether that is
plausible; :func:`mean_sd_from_skewed_quantiles` serves where it is not.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retroevidence.effects.conversions.five_numbers import expected_spans, luo_mean
from retroevidence.effects.conversions.quantile_fit import box_cox, fit_families
from retroevidence.effects.formulas.checks import Floats, at_least, numbers, shapes_fit
from retroevidence.errors import EffectError, check_name

METHODS = ("quantile", "box-cox")


class Skewness(NamedTuple):
    """What the quantiles say of normality.

    Attributes
    ----------
    statistic, critical : numpy.ndarray
        The test statistic and the value it exceeds in 5% of normal samples.
    skewed : numpy.ndarray of bool
        True where a normal outcome is implausible.

    Examples
    --------
    >>> bool(skewness(50, 5, q1=4, q3=15).skewed)
    True
    """

    statistic: Floats
    critical: Floats
    skewed: NDArray[np.bool_]


@shapes_fit
def mean_sd_from_quantiles(
    n: Any,
    median: Any,
    *,
    low: Any = None,
    q1: Any = None,
    q3: Any = None,
    high: Any = None,
) -> tuple[Floats, Floats]:
    """Mean and SD estimated from a median with quartiles, with the range, or with both.

    An approximation that assumes a normal outcome: do not use it where :func:`skewness` says
    otherwise. Means: Luo et al. (2018), doi 10.1177/0962280216669183. SDs with one pair: Wan et al.
    (2014), doi 10.1186/1471-2288-14-135; with both: Shi et al. (2020), doi 10.1002/jrsm.1429.

    Parameters
    ----------
    n : array_like
        People, at least 2.
    median : array_like
        Median, in the unit of the outcome.
    low, high : array_like, optional
        Minimum and maximum; both or neither.
    q1, q3 : array_like, optional
        Quartiles; both or neither.

    Returns
    -------
    mean, sd : numpy.ndarray or numpy.float64
        In the unit of the outcome.

    Raises
    ------
    EffectError
        If a pair is incomplete, both are missing, or the numbers are out of order.

    Examples
    --------
    >>> mean, sd = mean_sd_from_quantiles(50, 9, q1=4, q3=15)
    >>> round(float(mean), 4), round(float(sd), 4)
    (9.3539, 8.3964)
    """
    n, m, ends, quartiles = _read(n, median, low, q1, q3, high)
    mean, (full, half) = luo_mean(n, m, ends, quartiles), expected_spans(n)
    if ends and quartiles:
        share = 0.07 * n**0.6
        sd = (ends[1] - ends[0]) / ((1 + share) * full)
        sd = sd + (quartiles[1] - quartiles[0]) / ((1 + 1 / share) * half)
    else:
        span = quartiles or ends
        sd = (span[1] - span[0]) / (half if quartiles else full)
    # One median for many spreads, or the reverse: both answers have the shape of all numbers.
    mean, sd = np.broadcast_arrays(mean, np.where(np.isnan(mean), np.nan, sd))
    return mean[()], sd[()]


@shapes_fit
def mean_sd_from_skewed_quantiles(
    n: Any,
    median: Any,
    *,
    low: Any = None,
    q1: Any = None,
    q3: Any = None,
    high: Any = None,
    method: str = "quantile",
) -> tuple[Floats, Floats]:
    """Mean and SD from quantiles of an outcome that need not be normal.

    McGrath et al. (2020), doi 10.1177/0962280219889080. "quantile" fits normal, log-normal, gamma,
    Weibull and (within 0 and 1) beta distributions to the quantiles by least squares and takes the
    moments of the best, unless no sample within the reported range has such a mean or SD, as
    happens with few people and a long tail; "box-cox" makes the quantiles symmetric by a power
    transformation:
    :func:`retroevidence.effects.conversions.quantile_fit.fit_families` and
    :func:`retroevidence.effects.conversions.quantile_fit.box_cox`, study by study. The SD of a
    skewed outcome is poorly known from three quantiles, whatever the method.

    Parameters
    ----------
    n, median, low, q1, q3, high : array_like
        As for :func:`mean_sd_from_quantiles`.
    method : {"quantile", "box-cox"}
        The estimator.

    Returns
    -------
    mean, sd : numpy.ndarray or numpy.float64
        In the unit of the outcome; NaN where a number is NaN, where the fit of "quantile" is
        impossible within the reported range, or where "box-cox" would extrapolate without bound.

    Raises
    ------
    UnknownNameError
        If `method` is none of these.
    EffectError
        If a pair is incomplete, both are missing, or the numbers are out of order; for "box-cox"
        also if a quantile is not above 0 or equals the median.

    Examples
    --------
    >>> mean, sd = mean_sd_from_skewed_quantiles(100, 4, low=2, high=9)
    >>> round(float(mean), 3), round(float(sd), 3)
    (4.347, 1.502)
    >>> mean, sd = mean_sd_from_skewed_quantiles(100, 4, low=2, high=9, method="box-cox")
    >>> round(float(mean), 3), round(float(sd), 3)
    (4.223, 1.317)
    """
    check_name("method", method, METHODS)
    n, m, ends, quartiles = _read(n, median, low, q1, q3, high)
    inputs = np.broadcast_arrays(n, m, *ends, *quartiles)
    mean, sd = np.full(inputs[0].shape, np.nan), np.full(inputs[0].shape, np.nan)
    for place in np.ndindex(mean.shape):
        people, middle, *pairs = (float(array[place]) for array in inputs)
        if not np.isfinite([people, middle, *pairs]).all():
            continue
        span = (pairs[0], pairs[1]) if ends else None
        box = (pairs[-2], pairs[-1]) if quartiles else None
        if method == "quantile":
            # The least and the largest of two people both count as medians, which fits nothing.
            if people <= 2 and box is None:
                continue
            best = fit_families(people, middle, span, box)[0]
            if _possible(best.mean, best.sd, people, span):
                mean[place], sd[place] = best.mean, best.sd
        else:
            mean[place], sd[place] = box_cox(people, middle, span, box)
    return mean[()], sd[()]


@shapes_fit
def skewness(
    n: Any,
    median: Any,
    *,
    low: Any = None,
    q1: Any = None,
    q3: Any = None,
    high: Any = None,
) -> Skewness:
    """Test whether quantiles are too lopsided for a normal outcome, at the 5% level.

    With the range ``|low + high - 2 median|/(high - low)`` against
    ``1.01/ln(n + 9) + 2.43/(n + 1)``; with quartiles ``|q1 + q3 - 2 median|/(q3 - q1)`` against
    ``2.66/sqrt(n) - 5.92/n²``; with both the larger of ``2.65 ln(0.6 n)/sqrt(n)`` times the first
    and the second against ``2.97/sqrt(n) - 39.1/n³``. Shi et al. (2023),
    doi 10.1177/09622802231172043. A small study is seldom found skewed whatever its outcome.

    Parameters
    ----------
    n, median, low, q1, q3, high : array_like
        As for :func:`mean_sd_from_quantiles`; n at least 5.

    Returns
    -------
    Skewness
        With `statistic`, `critical` and `skewed`.

    Raises
    ------
    EffectError
        If a pair is incomplete, both are missing, or the numbers are out of order.

    Examples
    --------
    >>> found = skewness(50, 9, q1=4, q3=15)
    >>> round(float(found.statistic), 4), round(float(found.critical), 4), bool(found.skewed)
    (0.0909, 0.3738, False)
    """
    # The critical values were fitted for five people and more, and lose their sense below.
    n, m, ends, quartiles = _read(at_least("n", n, 5), median, low, q1, q3, high)
    if ends and quartiles:
        weight = 2.65 * np.log(0.6 * n) / np.sqrt(n)
        statistic = np.maximum(weight * _lopsided(m, *ends), _lopsided(m, *quartiles))
        critical = 2.97 / np.sqrt(n) - 39.1 / n**3
    elif quartiles:
        statistic, critical = _lopsided(m, *quartiles), 2.66 / np.sqrt(n) - 5.92 / n**2
    else:
        statistic, critical = _lopsided(m, *ends), 1.01 / np.log(n + 9) + 2.43 / (n + 1)
    return Skewness(statistic, critical, statistic > critical)


def skewness_note(n: float, median: float, **quantiles: float | None) -> str:
    """Return a warning in words where the quantiles of one study are skewed, else nothing.

    Parameters
    ----------
    n, median : float
        People and median.
    **quantiles : float, optional
        `low`, `q1`, `q3`, `high` as for :func:`skewness`.

    Returns
    -------
    str
        One phrase, or an empty string; also where n is below 5 and nothing can be said.

    Raises
    ------
    EffectError
        If a pair is incomplete, both are missing, or the numbers are out of order.

    Examples
    --------
    >>> print(skewness_note(50, 5, q1=4, q3=15))
    quantiles are skewed (0.82, above 0.37): a normal outcome is implausible [shi2023]
    >>> skewness_note(50, 9, q1=4, q3=15)
    ''
    """
    if n < 5:
        return ""
    statistic, critical, skewed = skewness(n, median, **quantiles)
    if not skewed:
        return ""
    return (
        f"quantiles are skewed ({float(statistic):.2f}, above {float(critical):.2f}): "
        "a normal outcome is implausible [shi2023]"
    )


def _possible(mean: float, sd: float, n: float, ends: tuple[float, float] | None) -> bool:
    """Tell whether a sample of n people within the reported range can have this mean and SD."""
    if ends is None:
        return True
    # The SD is largest when half of the people stand at each end.
    widest = (ends[1] - ends[0]) / 2 * np.sqrt(n / (n - 1))
    return bool(ends[0] <= mean <= ends[1] and sd <= widest)


def _read(
    n: Any, median: Any, low: Any, q1: Any, q3: Any, high: Any
) -> tuple[Floats, Floats, tuple[Floats, ...], tuple[Floats, ...]]:
    """Return people, median, range and quartiles as arrays, checked."""
    ends, quartiles = _pair("low", low, "high", high), _pair("q1", q1, "q3", q3)
    if not (ends or quartiles):
        raise EffectError("a median alone gives no SD; add q1 and q3, or low and high.")
    n, m = at_least("n", n, 2), numbers("median", median)
    _in_order(m, ends, quartiles)
    return n, m, ends, quartiles


def _lopsided(m: Floats, low: Floats, high: Floats) -> Floats:
    # Quartiles that coincide with the median, as on short scales, lean to neither side.
    span = np.where(high > low, high - low, 1.0)
    return np.abs(low + high - 2 * m) / span


def _pair(one: str, low: Any, two: str, high: Any) -> tuple[Floats, ...]:
    """Return both ends as arrays, or nothing when neither is given."""
    if low is None and high is None:
        return ()
    if low is None or high is None:
        raise EffectError(f"{one} and {two} belong together; give both or neither.")
    return numbers(one, low), numbers(two, high)


def _in_order(median: Floats, ends: tuple[Floats, ...], quartiles: tuple[Floats, ...]) -> None:
    row = [*ends[:1], *quartiles[:1], median, *quartiles[1:], *ends[1:]]
    if any(np.any(a > b) for a, b in pairwise(row)) or np.any(row[0] == row[-1]):
        raise EffectError(
            "the quantiles are not in the order low, q1, median, q3, high (with some spread); "
            "check which is which."
        )

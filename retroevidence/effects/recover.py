"""Numbers that a report implies without printing them, one step per function.

Nothing is guessed here: a function either follows from the definition of the reported statistic
or names the approximation it makes. All of them are elementwise and broadcast. This is the table
of contents; the functions live in `reported` (standard errors and t), `spreads` (SDs), `change`
(the same people twice), `crossover`, `arms` (several arms of one study) and `quantiles` (medians),
those for standardised differences here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retroevidence.effects.conversions.arms import (
    combine_all_arms,
    combine_arms,
    combine_counts,
    split_control,
    split_control_counts,
)
from retroevidence.effects.conversions.change import (
    correlation_from_sd_change,
    paired_variance_from_t,
    sd_change,
    sd_change_from_t,
)
from retroevidence.effects.conversions.crossover import smd_crossover
from retroevidence.effects.conversions.quantiles import (
    mean_sd_from_quantiles,
    mean_sd_from_skewed_quantiles,
    skewness,
)
from retroevidence.effects.conversions.reported import se_from_ci, t_from_f, t_from_p
from retroevidence.effects.conversions.spreads import (
    sd_from_ci,
    sd_from_f,
    sd_from_p,
    sd_from_se,
    sd_from_se_of_difference,
    sd_from_t,
)
from retroevidence.effects.formulas.checks import (
    Effect,
    above,
    as_floats,
    at_least,
    first,
    numbers,
    shapes_fit,
)
from retroevidence.effects.formulas.means import smd_of_d, smd_of_t
from retroevidence.errors import EffectError

__all__ = [
    "combine_all_arms",
    "combine_arms",
    "combine_counts",
    "correlation_from_sd_change",
    "log_ratio_from_percent",
    "mean_sd_from_quantiles",
    "mean_sd_from_skewed_quantiles",
    "paired_variance_from_t",
    "sd_change",
    "sd_change_from_t",
    "sd_from_ci",
    "sd_from_f",
    "sd_from_p",
    "sd_from_se",
    "sd_from_se_of_difference",
    "sd_from_t",
    "se_from_ci",
    "skewness",
    "smd_crossover",
    "smd_from_d",
    "smd_from_p",
    "smd_from_t",
    "split_control",
    "split_control_counts",
    "t_from_f",
    "t_from_p",
]


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


@shapes_fit
def smd_from_d(d: Any, n1: Any, n2: Any) -> Effect:
    """Hedges' g and its variance from a reported Cohen's d.

    ``g = J(n1+n2-2) d`` and ``vi = 1/n1 + 1/n2 + g²/(2(n1+n2))`` (Hedges 1981,
    doi 10.3102/10769986006002107). A reported g is already multiplied by J: divide it first.

    Parameters
    ----------
    d : array_like
        Difference of means over the pooled SD, positive when group 1 is higher.
    n1, n2 : array_like
        Group sizes, at least 2.

    Returns
    -------
    yi, vi : numpy.ndarray or numpy.float64
        Standardised mean difference and variance.

    Raises
    ------
    EffectError
        If a group has fewer than 2 people.

    Examples
    --------
    >>> yi, vi = smd_from_d(0.5, 20, 20)
    >>> round(float(yi), 4), round(float(vi), 4)
    (0.4901, 0.103)
    """
    return smd_of_d(numbers("d", d), at_least("n1", n1, 2), at_least("n2", n2, 2))


@shapes_fit
def smd_from_t(t: Any, n1: Any, n2: Any) -> Effect:
    """Hedges' g and its variance from the t of two independent groups (equal variances).

    ``d = t sqrt(1/n1 + 1/n2)``, ``g = J(n1+n2-2) d``, ``vi = 1/n1 + 1/n2 + g²/(2(n1+n2))``:
    exactly what the SMD from means and SDs gives.

    Parameters
    ----------
    t : array_like
        Student's t, positive when group 1 is higher; infinite as the bound behind "p = 0.00".
    n1, n2 : array_like
        Group sizes, at least 2.

    Returns
    -------
    yi, vi : numpy.ndarray or numpy.float64
        Standardised mean difference and variance.

    Raises
    ------
    EffectError
        If a group has fewer than 2 people.

    Examples
    --------
    >>> yi, vi = smd_from_t(2.5, 16, 16)
    >>> round(float(yi), 4), round(float(vi), 4)
    (0.8616, 0.1366)
    """
    return smd_of_t(as_floats("t", t), at_least("n1", n1, 2), at_least("n2", n2, 2))


@shapes_fit
def smd_from_p(p: Any, n1: Any, n2: Any, *, sign: Any) -> Effect:
    """Hedges' g and its variance from the exact two-sided p of a t test on independent groups.

    Parameters
    ----------
    p : array_like
        Exact two-sided p-value.
    n1, n2 : array_like
        Group sizes, at least 2.
    sign : {1, -1}
        1 when group 1 is higher: a p-value alone does not know.

    Returns
    -------
    yi, vi : numpy.ndarray or numpy.float64
        Standardised mean difference and variance.

    Raises
    ------
    EffectError
        If p is not in (0, 1], a group has fewer than 2 people, or sign is not 1 or -1.

    Examples
    --------
    >>> yi, vi = smd_from_p(0.03, 15, 15, sign=-1)
    >>> round(float(yi), 4)
    -0.8123
    """
    sign = numbers("sign", sign)
    if np.any(np.abs(sign) != 1):
        raise EffectError(f"sign is {first(sign, np.abs(sign) != 1)}; give 1 or -1.")
    n1, n2 = at_least("n1", n1, 2), at_least("n2", n2, 2)
    return smd_from_t(sign * t_from_p(p, n1 + n2 - 2), n1, n2)


@shapes_fit
def log_ratio_from_percent(percent: Any) -> Any:
    """Log ratio from a percentage difference: ``ln(1 + percent/100)``.

    Parameters
    ----------
    percent : array_like
        Difference in percent of the comparator, above -100.

    Returns
    -------
    numpy.ndarray or numpy.float64
        Natural log of the ratio.

    Raises
    ------
    EffectError
        If the percentage is -100 or less.

    Examples
    --------
    >>> round(float(log_ratio_from_percent(28)), 4)
    0.2469
    """
    return np.log1p(above("percent", percent, -100) / 100)

"""Baseline balance: are the groups of a randomised trial as alike as chance makes them.

Randomisation makes the p-values of baseline differences uniform; together too small or too large
they are not what chance gives (Carlisle 2017, doi 10.1111/anae.13938).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from retroevidence.effects.possible.printed import printed
from retroevidence.errors import EffectError


@dataclass(frozen=True)
class Balance:
    """Baseline p-values of one trial, combined.

    Attributes
    ----------
    k : int
        Variables.
    z : float
        ``sum(z_i) / sqrt(k)``, positive when the groups are more alike than chance makes them.
    p : float
        Combined p-value: near 0 when they differ too much, near 1 when they are too alike.
    """

    k: int
    z: float
    p: float


def baseline_p(
    mean1: str, sd1: str, n1: int, mean2: str, sd2: str, n2: int,
    *, draws: int = 20_000, seed: int = 1,
) -> float:  # fmt: skip
    """P-value of a baseline difference, allowing for the rounding of the means.

    Groups are drawn from one normal population; their means are rounded as printed, and the
    p-value is the share of draws that lie further apart than printed, plus half of the ties
    (mid-p), which keeps it uniform when rounding makes ties frequent. The population's SD is drawn
    from its sampling distribution given the pooled SD, so that with many decimals the result is
    Student's t test.

    Parameters
    ----------
    mean1, sd1, mean2, sd2 : str
        As printed; both means with the same decimals, or the fewer of them are used.
    n1, n2 : int
        People per group, at least 2.
    draws, seed : int
        Size and seed of the simulation; the same seed gives the same p-value.

    Returns
    -------
    float

    Raises
    ------
    EffectError
        If a group has fewer than 2 people, both SDs are 0, or a number cannot be read.

    Examples
    --------
    >>> round(baseline_p("6.1", "1.2", 20, "6.5", "1.4", 20), 1)
    0.3
    """
    if min(n1, n2) < 2:
        raise EffectError(f"a group has {min(n1, n2)} people; this takes at least 2.")
    one, two = printed(mean1), printed(mean2)
    s1, s2 = float(printed(sd1).value), float(printed(sd2).value)
    df = n1 + n2 - 2
    pooled = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    if pooled == 0:
        raise EffectError("both SDs are 0, so chance makes no difference; leave the row out.")
    decimals = min(one.decimals, two.decimals)
    rng = np.random.default_rng(seed)
    sigma = pooled * np.sqrt(df / rng.chisquare(df, draws))
    middle = float(n1 * one.value + n2 * two.value) / (n1 + n2)
    first = np.round(middle + sigma / math.sqrt(n1) * rng.standard_normal(draws), decimals)
    second = np.round(middle + sigma / math.sqrt(n2) * rng.standard_normal(draws), decimals)
    # In units of the last digit differences are whole, so that ties are exact.
    drawn = np.rint(np.abs(first - second) * 10**decimals)
    seen = round(abs(float(one.value - two.value)) * 10**decimals)
    return float(np.mean(drawn > seen) + np.mean(drawn == seen) / 2)


def combine_balance(p_values: Sequence[float]) -> Balance:
    """Combine the baseline p-values of one trial (Stouffer).

    Variables are taken as independent; correlated ones make extremes more frequent, so the result
    is a prompt to look, never a proof.

    Parameters
    ----------
    p_values : sequence of float
        Two-sided p-values of baseline differences; 0 and 1 are moved in by one in a million.

    Returns
    -------
    Balance

    Raises
    ------
    EffectError
        If there is none, or one is not between 0 and 1.

    Examples
    --------
    >>> round(combine_balance([0.18, 0.115]).p, 3)
    0.067
    """
    if not len(p_values) or any(not 0 <= p <= 1 for p in p_values):
        raise EffectError("baseline p-values lie between 0 and 1, and there is at least one.")
    inside = np.clip(np.asarray(p_values, dtype=float), 1e-6, 1 - 1e-6)
    z = float(ndtri(inside).sum() / math.sqrt(len(inside)))
    return Balance(len(inside), z, float(ndtr(z)))

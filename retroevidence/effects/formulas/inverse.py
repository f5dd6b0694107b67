"""Inverse functions of the scales on which effects are analysed."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from retroevidence.effects.formulas.checks import above
from retroevidence.errors import EffectError


def ratio(yi: Any) -> Any:
    """Return the ratio behind a log ratio, or the value behind a log: ``exp(yi)``.

    Parameters
    ----------
    yi : array_like
        Natural logarithms.

    Returns
    -------
    numpy.ndarray or numpy.float64

    Examples
    --------
    >>> round(float(ratio(-0.7145)), 4)
    0.4894
    """
    with np.errstate(over="ignore"):
        return np.exp(np.asarray(yi, dtype=float))


def percent_change(yi: Any) -> Any:
    """Return the change in percent behind a log ratio: ``100 (exp(yi) - 1)``.

    Parameters
    ----------
    yi : array_like
        Log ratios.

    Returns
    -------
    numpy.ndarray or numpy.float64
        Percent of the comparator; 0 is no difference.

    Examples
    --------
    >>> round(float(percent_change(0.2469)), 1)
    28.0
    """
    with np.errstate(over="ignore"):
        return 100 * np.expm1(np.asarray(yi, dtype=float))


def correlation_from_z(z: Any) -> Any:
    """Return the correlation behind Fisher's z: ``tanh(z)``.

    Parameters
    ----------
    z : array_like
        Fisher's z.

    Returns
    -------
    numpy.ndarray or numpy.float64

    Examples
    --------
    >>> round(float(correlation_from_z(0.4236)), 4)
    0.4
    """
    return np.tanh(np.asarray(z, dtype=float))


def proportion_from_logit(logit: Any) -> Any:
    """Return the proportion behind a logit: ``1/(1 + exp(-logit))``.

    Parameters
    ----------
    logit : array_like
        Log odds.

    Returns
    -------
    numpy.ndarray or numpy.float64

    Examples
    --------
    >>> round(float(proportion_from_logit(-0.8473)), 4)
    0.3
    """
    return expit(np.asarray(logit, dtype=float))


def proportion_from_arcsine(angle: Any) -> Any:
    """Return the proportion behind an arcsine square root: ``sin²``, cut at angles 0 and π/2.

    Parameters
    ----------
    angle : array_like
        ``arcsin sqrt(p)``, in radians.

    Returns
    -------
    numpy.ndarray or numpy.float64

    Examples
    --------
    >>> round(float(proportion_from_arcsine(0.5796)), 4), float(proportion_from_arcsine(-0.1))
    (0.3, 0.0)
    """
    return np.sin(np.clip(np.asarray(angle, dtype=float), 0, np.pi / 2)) ** 2


def proportion_from_freeman_tukey(yi: Any, n: Any) -> Any:
    """Return the proportion behind a Freeman-Tukey double arcsine and a number of people.

    With y twice the effect, ``(1 - sign(cos y) sqrt(1 - (sin y + (sin y - 1/sin y)/n)²))/2``
    (Miller 1978, doi 10.1080/00031305.1978.10479283). Exact for one study with its own n; for a
    pooled effect there is no n, and the harmonic mean that is used instead can mislead
    (Schwarzer et al. 2019, doi 10.1002/jrsm.1348; Röver & Friede 2022, arXiv 2203.04773).

    Parameters
    ----------
    yi : array_like
        The measure PFT; beyond the values of 0 and of n events, 0 and 1 are returned.
    n : array_like
        People, above 0.

    Returns
    -------
    numpy.ndarray or numpy.float64

    Raises
    ------
    EffectError
        If n is not above 0.

    Examples
    --------
    >>> from retroevidence.effects.measures import effect_size
    >>> round(float(proportion_from_freeman_tukey(effect_size("PFT", x=3, n=11)[0], 11)), 6)
    0.272727
    """
    n = above("n", n, 0)
    yi = np.asarray(yi, dtype=float)
    least = np.arcsin(np.sqrt(1 / (n + 1))) / 2
    most = np.pi / 2 - least
    inside = np.where((yi > least) & (yi < most), yi, np.nan)
    sine = np.sin(2 * inside)
    root = np.sqrt(np.maximum(0, 1 - (sine + (sine - 1 / sine) / n) ** 2))
    p = (1 - np.sign(np.cos(2 * inside)) * root) / 2
    p = np.where(yi <= least, 0.0, np.where(yi >= most, 1.0, p))
    return np.where(np.isnan(yi), np.nan, p)[()]


def harmonic_mean(n: Any) -> float:
    """Return the harmonic mean of group sizes: ``k / sum(1/n)``.

    Parameters
    ----------
    n : array_like
        Sizes, above 0.

    Returns
    -------
    float

    Raises
    ------
    EffectError
        If a size is not above 0, or none is given.

    Examples
    --------
    >>> round(harmonic_mean([11, 17, 21, 6]), 4)
    10.9885
    """
    sizes = above("n", n, 0)
    if not sizes.size:
        raise EffectError("n is empty; give the sizes of the studies.")
    return float(1 / np.mean(1 / sizes))

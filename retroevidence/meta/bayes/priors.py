"""Priors: what is assumed about the spread between studies before the studies are seen.

A prior is an assumption, so :func:`retroevidence.meta.bayes.pool.pool_bayes` has none by default.
All densities are of tau, the standard deviation between studies, on the scale of the effects.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.bayes.published import RHODES2015, TURNER2012, TURNER2015, Pair, Table

__all__ = [
    "MuPrior",
    "TauPrior",
    "half_cauchy",
    "half_normal",
    "log_normal",
    "log_t",
    "normal",
    "rhodes2015",
    "turner2012",
    "turner2015",
    "uniform",
]

Floats = NDArray[np.float64]


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)


@dataclass(frozen=True, eq=False)
class TauPrior:
    """A prior density of tau; the functions of this module make the usual ones.

    Attributes
    ----------
    name : str
        What the result calls it.
    log_density : callable
        Log density at an array of tau >= 0, up to a constant when `proper` is False.
    proper : bool
        Whether the density integrates to 1.
    tail : float
        The power with which the density falls for large tau (2 for ``1/tau²``), infinity when it
        falls faster than any power. It decides whether a posterior, and its mean, exist.
    upper : float
        Where the density ends.

    Examples
    --------
    Any other density can be written down, here the exponential with mean 0.3:

    >>> TauPrior("exponential(0.3)", lambda tau: -tau / 0.3 - np.log(0.3), True, math.inf)
    exponential(0.3)
    """

    name: str
    log_density: Callable[[Floats], Floats]
    proper: bool
    tail: float
    upper: float = math.inf

    def __repr__(self) -> str:
        """Return the name."""
        return self.name


@dataclass(frozen=True)
class MuPrior:
    """A normal prior of the mean effect, made by :func:`normal`.

    Attributes
    ----------
    mean, sd : float
        On the scale of the effects.

    Examples
    --------
    >>> MuPrior(0.0, 1.0)
    normal(0, 1)
    """

    mean: float
    sd: float

    def __repr__(self) -> str:
        """Return the name."""
        return f"normal({self.mean:g}, {self.sd:g})"


def normal(mean: float, sd: float) -> MuPrior:
    """Return a normal prior of the mean effect.

    Parameters
    ----------
    mean, sd : float
        On the scale of the effects (log for ratios); sd above 0.

    Returns
    -------
    MuPrior
        For ``mu_prior=``.

    Raises
    ------
    PoolError
        If a number is not finite, or sd not above 0.

    Examples
    --------
    >>> normal(0, 2)
    normal(0, 2)
    """
    return MuPrior(_finite(mean, "mean"), _positive(sd, "sd"))


def half_normal(scale: float) -> TauPrior:
    """Half-normal prior: the size of a normal variable with mean 0 and this standard deviation.

    Half of its mass lies below ``0.674 scale``, 95 % below ``1.96 scale``. For log odds ratios 0.5
    and 1 are usual (Röver 2020, doi 10.18637/jss.v093.i06).

    Parameters
    ----------
    scale : float
        Above 0, on the scale of the effects.

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    PoolError
        If the scale is not above 0.

    Examples
    --------
    >>> half_normal(0.5)
    half-normal(0.5)
    """
    scale = _positive(scale, "scale")
    constant = 0.5 * math.log(2 / math.pi) - math.log(scale)

    def log_density(tau: Floats) -> Floats:
        with np.errstate(over="ignore"):
            return np.asarray(constant - (tau / scale) ** 2 / 2)

    return TauPrior(f"half-normal({scale:g})", log_density, True, math.inf)


def half_cauchy(scale: float) -> TauPrior:
    """Half-Cauchy prior, which leaves room for a very large spread.

    Half of its mass lies below the scale, 95 % below 12.7 times the scale
    (Gelman 2006, doi 10.1214/06-BA117A).

    Parameters
    ----------
    scale : float
        Above 0, on the scale of the effects.

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    PoolError
        If the scale is not above 0.

    Examples
    --------
    >>> half_cauchy(25)
    half-Cauchy(25)
    """
    scale = _positive(scale, "scale")
    constant = math.log(2 / (math.pi * scale))

    def log_density(tau: Floats) -> Floats:
        # hypot keeps the square of a huge ratio from overflowing.
        return np.asarray(constant - 2 * np.log(np.hypot(1.0, tau / scale)))

    return TauPrior(f"half-Cauchy({scale:g})", log_density, True, 2.0)


def uniform(upper: float = math.inf) -> TauPrior:
    """Uniform prior: every tau up to a limit is as likely as any other.

    Without a limit the prior is improper: the posterior exists from three studies on (from two
    with a normal prior of the mean), and there is no marginal likelihood.

    Parameters
    ----------
    upper : float
        Above 0; infinity for the improper prior.

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    PoolError
        If the limit is not above 0.

    Examples
    --------
    >>> uniform(2), uniform()
    (uniform(0, 2), uniform(0, ∞), improper)
    """
    if upper == math.inf:
        return TauPrior("uniform(0, ∞), improper", np.zeros_like, False, 0.0)
    upper = _positive(upper, "upper")
    height = -math.log(upper)

    def log_density(tau: Floats) -> Floats:
        return np.where(np.asarray(tau) <= upper, height, -np.inf)

    return TauPrior(f"uniform(0, {upper:g})", log_density, True, math.inf, upper)


def log_normal(mean: float, sd: float) -> TauPrior:
    """Log-normal prior, stated for tau² as the published empirical ones are.

    ``log(tau²)`` is normal with this mean and standard deviation.

    Parameters
    ----------
    mean, sd : float
        Of log(tau²); sd above 0.

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    PoolError
        If a number is not finite, or sd not above 0.

    Examples
    --------
    The general setting of Turner et al. (2015, doi 10.1002/sim.6381) for log odds ratios:

    >>> log_normal(-2.56, 1.74)
    log-normal of tau² (-2.56, 1.74)
    """
    # On the scale of log(tau) both are halved.
    centre, spread = _finite(mean, "mean") / 2, _positive(sd, "sd") / 2
    constant = -math.log(spread) - 0.5 * math.log(2 * math.pi)

    def log_density(tau: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.log(tau)
            value = constant - u - ((u - centre) / spread) ** 2 / 2
        return np.where(np.asarray(tau) > 0, value, -np.inf)

    return TauPrior(f"log-normal of tau² ({mean:g}, {sd:g})", log_density, True, math.inf)


def log_t(location: float, scale: float, df: float = 5.0) -> TauPrior:
    """Log-Student-t prior, stated for tau² as Rhodes et al. (2015) have it.

    ``(log(tau²) - location) / scale`` has a t distribution with `df` degrees of freedom.

    Parameters
    ----------
    location, scale, df : float
        Of log(tau²); scale and df above 0. The published priors have five degrees of freedom
        (doi 10.1016/j.jclinepi.2014.08.012).

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    PoolError
        If the location is not finite, or scale or df not above 0.

    Examples
    --------
    >>> log_t(-3.44, 2.59)
    log-t5 of tau² (-3.44, 2.59)
    """
    centre, spread = _finite(location, "location") / 2, _positive(scale, "scale") / 2
    df = _positive(df, "df")
    constant = float(gammaln((df + 1) / 2) - gammaln(df / 2)) - 0.5 * math.log(df * math.pi)
    constant -= math.log(spread)

    def log_density(tau: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.log(tau)
            value = constant - u - (df + 1) / 2 * np.log1p(((u - centre) / spread) ** 2 / df)
        return np.where(np.asarray(tau) > 0, value, -np.inf)

    name = f"log-t{df:g} of tau² ({location:g}, {scale:g})"
    return TauPrior(name, log_density, True, 1.0)


def turner2012(setting: str = "general", comparison: str | None = None) -> TauPrior:
    """Empirical prior of tau for log odds ratios (Turner et al. 2012, doi 10.1093/ije/dys041).

    Log-normal distributions of the tau² to expect in a new meta-analysis, from 14,886 Cochrane
    meta-analyses of binary outcomes. :func:`turner2015` tells more outcomes apart.

    Parameters
    ----------
    setting : str
        "general", "all-cause mortality", "semi-objective" (such as cause-specific mortality, major
        morbidity, drop-outs) or "subjective" (such as pain, mental health, dichotomised markers).
    comparison : str, optional
        "drug vs control" (placebo or control; this is taken when none is given), "drug vs drug" or
        "non-drug vs any". The general setting is of any comparison.

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    UnknownNameError
        If the setting or the comparison is none of these.

    Examples
    --------
    >>> turner2012("subjective", "drug vs drug")
    log-normal of tau² (-2.34, 1.62)
    """
    return log_normal(*_pair("Turner et al. 2012", TURNER2012, setting, comparison))


def turner2015(setting: str = "general", comparison: str | None = None) -> TauPrior:
    """Empirical prior of tau for log odds ratios (Turner et al. 2015, doi 10.1002/sim.6381).

    Log-normal distributions of the tau² to expect in a new meta-analysis, from 14,886 Cochrane
    meta-analyses of binary outcomes: all 80 of their Table IV, and the general one.

    Parameters
    ----------
    setting : str
        "general", "all-cause mortality", "obstetric", "major morbidity" (cause-specific mortality,
        a major morbidity event, or a composite), "resource use" (with hospital stay and process),
        "surgical success" (or failure, also of devices), "withdrawals", "structure" (internal or
        external), "physical health", "adverse events", "infection" (or onset of new disease),
        "symptoms" (signs or symptoms of the continuation or end of a condition), "pain", "quality
        of life" (and functioning), "mental health", "biological markers" or "subjective" (various).
    comparison : str, optional
        "drug vs control" (placebo or control; this is taken when none is given), "drug vs drug",
        "non-drug vs control", "non-drug vs drug" or "non-drug vs non-drug". The general setting is
        of any comparison.

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    UnknownNameError
        If the setting or the comparison is none of these.

    Examples
    --------
    >>> turner2015("all-cause mortality")
    log-normal of tau² (-3.95, 1.34)
    >>> turner2015("pain", "non-drug vs control")
    log-normal of tau² (-2.05, 1.71)
    """
    return log_normal(*_pair("Turner et al. 2015", TURNER2015, setting, comparison))


def rhodes2015(setting: str = "general", comparison: str | None = None) -> TauPrior:
    """Empirical prior of tau for standardised mean differences (Rhodes et al. 2015).

    Log-t distributions of the tau² to expect in a new meta-analysis, from 6,492 Cochrane
    meta-analyses of continuous outcomes (doi 10.1016/j.jclinepi.2014.08.012).

    Parameters
    ----------
    setting : str
        "general", or "obstetric", "resource use", "structure", "physical health", "adverse events",
        "pain", "quality of life", "symptoms", "infection", "mental health", "biological markers" or
        "subjective" (see :func:`turner2015`), with "in cancer" or "in respiratory disease" behind
        it for these two areas of medicine.
    comparison : str, optional
        "drug vs control" (placebo or control; this is taken when none is given), "drug vs drug" or
        "non-drug vs any". The general setting is of any comparison.

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    UnknownNameError
        If the setting or the comparison is none of these.

    Notes
    -----
    The second number is taken as the scale of the t distribution, as models in JAGS take it. The
    95 % ranges listed beside the numbers are narrower: in the general setting tau² ends at 5.16,
    but at 25 for the scale 2.59. As a standard deviation the number fits the ranges better; that
    prior is ``log_t(-3.44, 2.59 * 0.6**0.5)``.

    Physical health, adverse events, pain and quality of life share one distribution, and so do
    symptoms and infection. Three numbers do not fit the pattern of the others and may be misprints
    of the paper: the location -3.85 of mental health, non-drug vs any (-2.85 would fit), the
    location -0.13 of structure in cancer, drug vs control (0.13), and the scale 2.21 of obstetric
    in respiratory disease, non-drug vs any (2.11).

    Examples
    --------
    >>> rhodes2015()
    log-t5 of tau² (-3.44, 2.59)
    >>> rhodes2015("pain in cancer", "drug vs drug")
    log-t5 of tau² (-0.88, 2.55)
    """
    return log_t(*_pair("Rhodes et al. 2015", RHODES2015, setting, comparison))


def _pair(paper: str, table: Table, setting: str, comparison: str | None) -> Pair:
    if not (isinstance(setting, str) and setting in table):
        raise unknown_name(f"setting of {paper}", setting, table)
    row = table[setting]
    if comparison is None:
        comparison = next(iter(row))
    if not (isinstance(comparison, str) and comparison in row):
        raise unknown_name(f"comparison of {paper} for {setting!r}", comparison, row)
    return row[comparison]


def _positive(value: float, name: str) -> float:
    if not (isinstance(value, Real) and math.isfinite(value) and value > 0):
        raise PoolError(f"{name}={value!r} of the prior is not a number above 0; give one.")
    return float(value)


def _finite(value: float, name: str) -> float:
    if not (isinstance(value, Real) and math.isfinite(value)):
        raise PoolError(f"{name}={value!r} of the prior is not a finite number; give one.")
    return float(value)

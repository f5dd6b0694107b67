"""What is assumed about the spread between studies before the studies are seen.

A prior is an assumption, so :func:`retroevidence.meta.bayes.pool.pool_bayes` has none by default.
All densities are of tau, the standard deviation between studies, on the scale of the effects.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from retroevidence.errors import PoolError, unknown_name

Floats = NDArray[np.float64]


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
    if not math.isfinite(mean):
        raise PoolError(f"mean={mean} of the prior is not a finite number.")
    return MuPrior(float(mean), _positive(sd, "sd"))


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
    """Every tau up to a limit is as likely as any other.

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
    if not math.isfinite(mean):
        raise PoolError(f"mean={mean} of the prior is not a finite number.")
    # On the scale of log(tau) both are halved.
    centre, spread = mean / 2, _positive(sd, "sd") / 2
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
    if not math.isfinite(location):
        raise PoolError(f"location={location} of the prior is not a finite number.")
    centre, spread, df = location / 2, _positive(scale, "scale") / 2, _positive(df, "df")
    constant = float(gammaln((df + 1) / 2) - gammaln(df / 2)) - 0.5 * math.log(df * math.pi)
    constant -= math.log(spread)

    def log_density(tau: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.log(tau)
            value = constant - u - (df + 1) / 2 * np.log1p(((u - centre) / spread) ** 2 / df)
        return np.where(np.asarray(tau) > 0, value, -np.inf)

    name = f"log-t{df:g} of tau² ({location:g}, {scale:g})"
    return TauPrior(name, log_density, True, 1.0)


#: Mean and SD of log(tau²), for log odds ratios. Of the 80 settings in Table IV of Turner et al.
#: 2015 only those are here whose numbers an open page quotes from it:
#: general, pain: https://loukiaspin.github.io/rnmamod/reference/heter_density_plot.html, Examples;
#: all-cause mortality, adverse events: https://github.com/arthur-albuquerque/tpa_bivariate,
#: analysis.md, printed for tau (half of both numbers);
#: symptoms: https://github.com/LoukiaSpin/Quantifying-Robustness-in-Meta-analysis,
#: R/Figures_Reproducible.R, last comment.
TURNER2015 = {
    "general": (-2.56, 1.74),
    "all-cause mortality": (-3.95, 1.34),
    "adverse events": (-1.87, 1.52),
    "symptoms": (-2.06, 1.51),
    "pain": (-1.83, 1.52),
}
#: Location and scale of log(tau²), t with five degrees of freedom, for standardised mean
#: differences (Rhodes et al. 2015), as quoted on the same rnmamod page.
RHODES2015 = {
    "general": (-3.44, 2.59),
    "pain in cancer": (-0.60, 2.61),
}


def turner2015(setting: str = "general") -> TauPrior:
    """Empirical prior of tau for log odds ratios (Turner et al. 2015, doi 10.1002/sim.6381).

    Log-normal distributions fitted to the tau² of 14,886 Cochrane meta-analyses of binary
    outcomes. Apart from "general" each setting is a drug against placebo or control. The paper
    has 80 settings; give any other as ``log_normal(mean, sd)`` from its Table IV.

    Parameters
    ----------
    setting : str
        "general", "all-cause mortality", "adverse events", "symptoms" (signs or symptoms of the
        continuation or end of a condition) or "pain".

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    UnknownNameError
        If the setting is none of these.

    Examples
    --------
    >>> turner2015("all-cause mortality")
    log-normal of tau² (-3.95, 1.34)
    """
    if setting not in TURNER2015:
        raise unknown_name("setting of Turner et al. 2015", setting, TURNER2015)
    return log_normal(*TURNER2015[setting])


def rhodes2015(setting: str = "general") -> TauPrior:
    """Empirical prior of tau for standardised mean differences (Rhodes et al. 2015).

    Log-t distributions fitted to the tau² of 6,492 Cochrane meta-analyses of continuous outcomes
    (doi 10.1016/j.jclinepi.2014.08.012). Give any other setting of the paper as
    ``log_t(location, scale)``.

    Parameters
    ----------
    setting : str
        "general" or "pain in cancer" (a drug against placebo or control; the setting also covers
        general physical health, adverse events and quality of life).

    Returns
    -------
    TauPrior
        For ``tau_prior=``.

    Raises
    ------
    UnknownNameError
        If the setting is none of these.

    Examples
    --------
    >>> rhodes2015()
    log-t5 of tau² (-3.44, 2.59)
    """
    if setting not in RHODES2015:
        raise unknown_name("setting of Rhodes et al. 2015", setting, RHODES2015)
    return log_t(*RHODES2015[setting])


def _positive(value: float, name: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise PoolError(f"{name}={value} of the prior is not a number above 0.")
    return float(value)

"""Where a new study may lie: prediction intervals by name, and the chance of passing a mark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from retroevidence._show import Card, Carded, confidence, percent
from retroevidence.errors import PoolError, check_name
from retroevidence.meta.draws import check_count, check_seed
from retroevidence.meta.estimates import Estimates
from retroevidence.meta.interval import Interval, check_level, critical_value
from retroevidence.meta.quadratic import quadratic_tails
from retroevidence.meta.tau2 import weighted_q
from retroevidence.meta.tau2_intervals import heterogeneity_weights
from retroevidence.meta.wording import or_none

Floats = NDArray[np.float64]

#: Name of the interval: (what it is, degrees of freedom taken off k, standard error of the mean).
KINDS: dict[str, tuple[str, float, str]] = {
    "z": ("normal, usual standard error", -math.inf, "usual"),
    "t": ("t(k-1), usual standard error", 1, "usual"),
    "hk": ("t(k-1), Knapp-Hartung standard error", 1, "knha"),
    "hts": ("t(k-2), usual standard error (Higgins-Thompson-Spiegelhalter)", 2, "usual"),
    "hk-pr": ("t(k-2), Knapp-Hartung standard error (Partlett-Riley)", 2, "knha"),
    "bootstrap": ("parametric bootstrap (Nagashima-Noma-Furukawa)", 0, ""),
}
#: Points of tau² at which its distribution is computed, to be interpolated between.
GRID = 300


def prediction_interval(
    pooled: Estimates,
    kind: str,
    *,
    level: float | None = None,
    seed: int = 0,
    draws: int = 25_000,
) -> Interval:
    """Return a prediction interval for the true effect of a new study, by name.

    Parameters
    ----------
    pooled : Pooled
        A random-effects mean of at least two studies.
    kind : str
        ``estimate ± c * sqrt(tau² + SE²)``, where c and SE are: "z" normal, usual SE; "t" t with
        k - 1 degrees of freedom, usual SE; "hk" the same with the Knapp-Hartung SE; "hts" t(k - 2),
        usual SE (Higgins, Thompson & Spiegelhalter 2009, doi 10.1111/j.1467-985X.2008.00552.x);
        "hk-pr" t(k - 2), Knapp-Hartung SE (Partlett & Riley 2017, doi 10.1002/sim.7140). Or
        "bootstrap" (Nagashima, Noma & Furukawa 2019, doi 10.1177/0962280218773520), which takes
        tau² as uncertain and does not use the estimate of the fit.
    level : float, optional
        Confidence; that of the fit when not given.
    seed, draws : int
        For "bootstrap": start of the random numbers and how many to draw.

    Returns
    -------
    Interval
        On the scale of the effects.

    Raises
    ------
    PoolError
        If there are moderators, tau² is not estimated, there are too few studies for the kind, or
        the kind uses the Knapp-Hartung standard error and the studies agree exactly.
    UnknownNameError
        If `kind` is unknown.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> low, high = prediction_interval(pooled, "hts")
    >>> round(low, 3), round(high, 3)
    (-0.724, 1.332)
    """
    check_name("prediction interval", kind, KINDS)
    level = pooled.level if level is None else level
    check_level(level)
    _needs_plain_mean(pooled)
    _, lost, error = KINDS[kind]
    if pooled.k <= lost:
        raise PoolError(
            f"the {kind} prediction interval needs {int(lost) + 1} studies and there are "
            f"{pooled.k}; use kind='t'."
        )
    if error != "usual" and _inflation(pooled) < 1e-6:
        raise PoolError(
            f"the studies agree exactly, so the {kind} prediction interval has no width; "
            "use kind='t'."
        )
    if kind == "bootstrap":
        return _bootstrap(pooled, level, seed, draws)
    se = _usual_error(pooled) * (1.0 if error == "usual" else _inflation(pooled))
    df = math.inf if kind == "z" else pooled.k - lost
    reach = critical_value(level, df) * math.sqrt(pooled.tau2 + se**2)
    return Interval(pooled.estimate - reach, pooled.estimate + reach)


def _needs_plain_mean(pooled: Estimates) -> None:
    if pooled.fit.design.moderators:
        raise PoolError("with moderators a new study needs their values; use predict(newdata).")
    if pooled.method == "CE" or math.isnan(pooled.tau2):
        what = "one study" if pooled.k == 1 else "a common-effect fit"
        raise PoolError(f"tau² is not estimated from {what}; a new study cannot be predicted.")


def _usual_error(pooled: Estimates) -> float:
    return 1 / math.sqrt(float(np.sum(1 / (pooled.fit.vi + pooled.tau2))))


def _inflation(pooled: Estimates) -> float:
    """Return the Knapp-Hartung factor of the standard error."""
    weights = 1 / (pooled.fit.vi + pooled.tau2)
    return math.sqrt(weighted_q(pooled.fit.yi, weights, pooled.fit.x) / (pooled.k - 1))


# Parametric bootstrap ---------------------------------------------------------------------------


def _bootstrap(pooled: Estimates, level: float, seed: int, draws: int) -> Interval:
    """Draw tau² from its confidence distribution, then the mean given it, then a new study."""
    check_count(draws, "draws", 1, "write draws=25000")
    check_seed(seed)
    if draws < 1000:
        raise PoolError(f"draws={draws} leaves the limits to chance; take at least 1000.")
    y, v, k = pooled.fit.yi, pooled.fit.vi, pooled.k
    random = np.random.default_rng(seed)
    tau2 = tau2_draws(y, v, pooled.fit.x, random.random(draws))
    new = np.empty(draws)
    z, t = random.standard_normal(draws), random.standard_t(k - 1, draws)
    # Blocks keep the array of draws by studies small.
    block = max(1, 2_000_000 // k)
    for start in range(0, draws, block):
        part = slice(start, start + block)
        weights = 1 / (v + tau2[part, None])
        total = weights.sum(axis=1)
        mean = weights @ y / total
        spread = (weights * (y - mean[:, None]) ** 2).sum(axis=1)
        error = np.sqrt(spread / total / (k - 1))
        new[part] = mean + z[part] * np.sqrt(tau2[part]) - t[part] * error
    tail = (1 - level) / 2
    low, high = np.quantile(new, [tail, 1 - tail])
    return Interval(float(low), float(high))


def tau2_draws(yi: Floats, vi: Floats, x: Floats, uniform: Floats) -> Floats:
    """Turn uniform numbers into draws from the confidence distribution of tau².

    Parameters
    ----------
    yi, vi, x : numpy.ndarray
        Effects (k,), variances (k,), design (k, p).
    uniform : numpy.ndarray
        Numbers in (0, 1).

    Returns
    -------
    numpy.ndarray
        As many values of tau², 0 where the distribution has its point mass.

    Notes
    -----
    The distribution function at t is ``1 - P(Q <= q; tau² = t)``, with Cochran's Q observed as q
    and its exact distribution (Nagashima et al. 2019, doi 10.1177/0962280218773520). It is computed
    at points of log t and inverted by monotone interpolation.

    Examples
    --------
    >>> y, v = np.array([0.0, 2.0]), np.ones(2)
    >>> tau2_draws(y, v, np.ones((2, 1)), np.array([0.9, 0.5])).round(2).tolist()
    [0.0, 3.4]
    """
    from scipy.interpolate import PchipInterpolator

    q = weighted_q(yi, 1 / vi, x)
    weights = heterogeneity_weights(vi, x)

    def below(tau2: float) -> float:
        return quadratic_tails(q, weights(tau2))[0]

    at_zero = below(0.0)
    found = np.zeros(len(uniform))
    positive = uniform < at_zero
    if not positive.any():
        return found
    least = float(uniform[positive].min())
    start = end = float(1 / np.mean(1 / vi))
    for _ in range(2000):
        if below(start) > 0.9999 * at_zero:
            break
        start /= 2
    for _ in range(2000):
        # Where tau² outweighs the variances the distribution begins far above them.
        if below(2 * start) <= 0.9999 * at_zero:
            break
        start *= 2
    end = max(end, start)
    for _ in range(2000):
        if below(end) < least:
            break
        end *= 2
    points = np.concatenate([[0.0], np.geomspace(start, end, GRID)])
    chance = np.array([below(float(t)) for t in points])
    # Only where it falls has the distribution an inverse.
    chance = np.maximum.accumulate(chance[::-1])[::-1]
    falling = np.append(np.diff(chance) < 0, True)
    points, chance = points[falling], chance[falling]
    # Below the first point the distribution is a straight line in t, above it a curve in log t.
    rest = np.log(uniform[positive])
    curve = PchipInterpolator(np.log(chance[:0:-1]), np.log(points[:0:-1]))
    share = (at_zero - uniform[positive]) / (at_zero - chance[1])
    found[positive] = np.where(
        uniform[positive] > chance[1],
        points[0] + (points[1] - points[0]) * share,
        np.exp(curve(np.minimum(rest, math.log(chance[1])))),
    )
    return found


# Passing a mark ---------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Passing(Carded):
    """How likely a new study's true effect lies beyond a mark.

    Made by :meth:`retroevidence.meta.result.Pooled.probability`.

    Attributes
    ----------
    side, threshold, level : str and float
        "above" or "below" which mark; confidence of `share_ci`.
    probability : float
        Chance for one new study, with the uncertainty of the mean and the t or z of the fit: it is
        2.5% at the limits of the 95% prediction interval.
    share : float
        Share of all true effects beyond the mark if mean and tau² were exactly as estimated.
    share_ci : Interval
        Its delta-method limits, cut at 0 and 1; NaN when tau² is 0.
    notes : tuple of str
        What a reader must know.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> pooled.probability(above=0.2)
    A true effect above 0.2
      in a new study  65%
      of all effects  70%  95% CI [17%, 100%]
      - With 4 studies these are rough: tau² is barely known.
    """

    side: str
    threshold: float
    level: float
    probability: float
    share: float
    share_ci: Interval
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number."""
        row = self.to_dict()
        row["notes"] = " ".join(self.notes)
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values."""
        return {
            "side": self.side,
            "threshold": self.threshold,
            "level": self.level,
            "probability": or_none(self.probability),
            "share": or_none(self.share),
            "share_ci_low": or_none(self.share_ci.low),
            "share_ci_high": or_none(self.share_ci.high),
            "notes": list(self.notes),
        }

    def _card(self) -> Card:
        limits = ""
        if not math.isnan(self.share_ci.low):
            low, high = (percent(limit) for limit in self.share_ci)
            limits = f"  {confidence(self.level)} CI [{low}, {high}]"
        pairs = [
            ("in a new study", percent(self.probability)),
            ("of all effects", f"{percent(self.share)}{limits}"),
        ]
        return Card(f"A true effect {self.side} {self.threshold:g}", pairs, notes=self.notes)


def probability(
    pooled: Estimates, *, above: float | None = None, below: float | None = None
) -> Passing:
    """Return how likely the true effect of a new study lies above or below a mark.

    Parameters
    ----------
    pooled : Pooled
        A random-effects mean of at least two studies.
    above, below : float
        The mark, on the scale of the effects (log for ratios); give one of the two.

    Returns
    -------
    Passing
        The chance for one new study, and the share of all true effects with its interval.

    Raises
    ------
    PoolError
        If both or no mark is given, or one that is no finite number, there are moderators, or tau²
        is not estimated.

    Notes
    -----
    `probability` is ``T((estimate - mark) / sqrt(tau² + SE²))``, with the standard error and the
    degrees of freedom of the fit, so that it agrees with its prediction interval. `share` is
    ``Phi((estimate - mark) / tau)`` with the delta-method standard error
    ``phi(z) sqrt(SE²/tau² + SE(tau²)² (mark - estimate)² / (4 tau⁶))`` (Mathur & VanderWeele 2019,
    doi 10.1002/sim.8057).

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> round(probability(pooled, below=pooled.prediction.low).probability, 12)
    0.025
    """
    if (above is None) == (below is None):
        raise PoolError("give one mark: above= or below=.")
    _needs_plain_mean(pooled)
    mark = above if above is not None else below
    if not (isinstance(mark, Real) and math.isfinite(mark)):
        raise PoolError(f"{mark!r} is no mark; give a finite number on the scale of the effects.")
    sign = 1.0 if above is not None else -1.0
    ahead = sign * (pooled.estimate - mark)
    z = ahead / math.sqrt(pooled.tau2 + pooled.se**2)
    chance = float(ndtr(z) if math.isinf(pooled.df) else stdtr(pooled.df, z))
    notes: list[str] = []
    if pooled.tau2 > 0:
        tau = pooled.tau
        z = ahead / tau
        share = float(ndtr(z))
        density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        error = density * math.hypot(pooled.se / tau, pooled.tau2_se * z / (2 * pooled.tau2))
        reach = critical_value(pooled.level, math.inf) * error
        limits = Interval(max(0.0, share - reach), min(1.0, share + reach))
        if not 0.15 <= share <= 0.85:
            notes.append(
                "The share is near 0 or 1, where its interval is rough (Mathur & VanderWeele 2019)."
            )
    else:
        share = 1.0 if ahead > 0 else 0.0 if ahead < 0 else 0.5
        limits = Interval(math.nan, math.nan)
        notes.append("tau² is estimated as 0: all true effects are taken as equal.")
    if pooled.k < 10:
        notes.append(f"With {pooled.k} studies these are rough: tau² is barely known.")
    return Passing(
        side="above" if above is not None else "below",
        threshold=float(mark),
        level=pooled.level,
        probability=chance,
        share=share,
        share_ci=limits,
        notes=tuple(notes),
    )

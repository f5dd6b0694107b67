"""Selection models: the mean that remains if studies were published by their p-values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri

from retroevidence.errors import PoolError, check_name
from retroevidence.meta.bias.result import Effects, enough_studies, few, pooled_from
from retroevidence.meta.bias.selection_fit import Model, Peak
from retroevidence.meta.bias.selection_likelihood import FAMILIES, Smooth, Steps, Weight
from retroevidence.meta.bias.selection_result import KINDS, Selection
from retroevidence.meta.interval import NAN, NO_INTERVAL, Interval, critical_value, two_sided
from retroevidence.meta.tau2 import estimate_tau2

Floats = NDArray[np.float64]

ALTERNATIVES = ("greater", "less", "two-sided")
SEVERITIES = ("moderate", "severe")

#: Vevea & Woods (2005, doi 10.1037/1082-989X.10.4.428), the table of a priori weights: upper ends
#: of the intervals of one-sided p, and weights by severity and number of tails. Programs agree on
#: them but for an example of metafor's help, which lacks the 0.9 of moderate selection in one tail
#: and ends with a 0.5 more.
WOODS_STEPS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.35, 0.5, 0.65, 0.75, 0.9, 0.95, 0.99, 0.995)
WOODS = {
    ("moderate", 1): (1, 0.99, 0.95, 0.9, 0.8, 0.75, 0.65, 0.6, 0.55, 0.5, 0.5, 0.5, 0.5, 0.5),
    ("severe", 1): (1, 0.99, 0.9, 0.75, 0.6, 0.5, 0.4, 0.35, 0.3, 0.25, 0.1, 0.1, 0.1, 0.1),
    ("moderate", 2): (1, 0.99, 0.95, 0.9, 0.8, 0.75, 0.6, 0.6, 0.75, 0.8, 0.9, 0.95, 0.99, 1),
    ("severe", 2): (1, 0.99, 0.9, 0.75, 0.6, 0.5, 0.25, 0.25, 0.5, 0.6, 0.75, 0.9, 0.99, 1),
}


def selection_model(
    effects: Effects,
    kind: str = "step",
    *,
    steps: tuple[float, ...] = (0.025,),
    alternative: str = "greater",
    severity: str = "moderate",
    tails: int = 1,
) -> Selection:
    """Estimate mean and selection together, by maximum likelihood.

    An effect is taken to be seen with probability proportional to ``w(p)`` of its p-value; its
    density is ``w(p) N(y; mu, v + tau²)`` divided by the integral of that over all outcomes.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled result; its moderators, level and (for "CE") tau² = 0 are kept. The likelihood
        takes the place of its estimator of tau².
    kind : str
        - "step": constant between `steps`, 1 in the first interval (Hedges 1992).
        - "beta": ``p^(d1 - 1) (1 - p)^(d2 - 1)`` (Citkowicz & Vevea 2017), p moved into
          [1e-5, 1 - 1e-5]; otherwise a single extreme p would decide.
        - "half-normal": ``exp(-d p²)``, "negexp": ``exp(-d p)``;
          d >= 0, and 0 is no selection.
        - "vevea-woods": weights fixed by `severity` and `tails`.
    steps : tuple of float
        Cut points of p for "step", between 0 and 1 and rising. A p equal to a step belongs to the
        interval below it. An interval without a study has no estimate of its own and is joined with
        its neighbour above (the last one with the one below); a note names it.
    alternative : str
        Which results are favoured: "greater" (p for an effect above 0), "less", or, for "step",
        "two-sided".
    severity, tails : str and int
        "moderate" or "severe" selection in 1 or 2 tails, for "vevea-woods".

    Returns
    -------
    Selection
        Mean, tau², weights and a test of selection.

    Raises
    ------
    PoolError
        If there are fewer studies than parameters plus one, all p-values lie in one interval, or
        `steps` are not rising between 0 and 1.
    UnknownNameError
        If `kind`, `alternative` or `severity` is unknown.

    Notes
    -----
    For "step" the integral is a sum of normal probabilities; otherwise it is computed to machine
    precision by Gauss-Legendre quadrature. Damped Newton steps start from seven points, and from
    the most promising of up to 512 more that are spread over the whole space; the highest maximum
    wins, and a note says when the seven disagree. A profile is followed along its ridge; at each
    limit the whole space is looked over again, and a higher ridge is followed further out. Such a
    search can still miss a narrow peak, most likely of a beta model; beyond 333 studies
    there is no second look. The likelihood-ratio test compares with chi-squared, which is
    conservative where d is bounded by 0.

    References
    ----------
    Hedges (1992), doi 10.1214/ss/1177011364; Vevea & Hedges (1995), doi 10.1007/BF02294384;
    Vevea & Woods (2005), doi 10.1037/1082-989X.10.4.428; Citkowicz & Vevea (2017),
    doi 10.1037/met0000119.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> y = [0.9, 0.7, 0.3, 0.5, 0.1, -0.3, 0.2, 0.2, 0.0, 0.4]
    >>> v = [0.1, 0.06, 0.03, 0.05, 0.04, 0.07, 0.01, 0.09, 0.02, 0.03]
    >>> selection_model(pool(yi=y, vi=v))
    Selection model (step function, larger effects favoured), k = 10
      estimate      0.0804  95% CI [-0.0847, 0.2460], p = 0.289
      no selection  0.2599
      tau²          0.00000
      selection     LRT(1) = 6.135, p = 0.013
    <BLANKLINE>
               p k delta         95% CI
      0 to 0.025 5 1.000
      0.025 to 1 5 0.065 [0.008, 0.520]
    <BLANKLINE>
      - tau² is estimated as 0 in this model.
    """
    _check(kind, alternative, severity, tails)
    pooled = pooled_from(effects)
    fit = pooled.fit
    enough_studies(pooled, "selection_model", fit.x.shape[1] + 2)
    sign = -1.0 if alternative == "less" else 1.0
    # Variances of about 1 and columns of about 1: limits and steps then mean the same everywhere.
    unit = math.exp(float(np.mean(np.log(fit.vi))) / 2)
    stretch = np.abs(fit.x).max(axis=0)
    y, v, x = sign * fit.yi / unit, fit.vi / unit**2, fit.x / stretch
    notes = list(few(pooled.k))
    weight, rows = _weight(kind, y, v, steps, alternative, severity, tails, notes)
    fixed_weights = kind == "vevea-woods"
    free = 0 if fixed_weights else weight.size
    enough_studies(
        pooled, "selection_model", x.shape[1] + free + (2 if pooled.method != "CE" else 1)
    )
    model = Model(y, v, x, weight, logs=kind in ("step", "beta", "vevea-woods"))
    p = model.p
    if pooled.method == "CE":
        model.fixed[p] = 0.0
    if fixed_weights:
        for j, w in enumerate(WOODS[severity, tails][1:], start=p + 1):
            model.fixed[j] = math.log(w)
    plain, plain_loglik = _unselected(model, pooled.method == "CE")
    starts = _starts(model, plain)
    best, heights = _best(model, starts)
    drop = float(chdtri(1, 1 - pooled.level)) / 2
    limits, best, at_zero = _profiles(model, best, drop, starts, notes)
    notes.extend(_about_the_search(model, best, heights))
    natural = model.natural(best.at)
    tau2 = float(natural[p])
    if 0 < tau2 < 1e-10:
        tau2 = 0.0
    se = _standard_errors(model, natural, tau2 == 0.0)
    back = np.concatenate([sign * unit / stretch, [unit**2], np.ones(weight.size)])
    estimates, errors = natural * back, se * np.abs(back)
    ci = _scaled(limits[0], float(back[0]))
    against = float(chdtrc(1, max(0.0, 2 * (best.loglik - at_zero.loglik))))
    lrt = NAN if fixed_weights else max(0.0, 2 * (best.loglik - plain_loglik))
    if tau2 == 0 and pooled.method != "CE":
        notes.append("tau² is estimated as 0 in this model.")
    reach = critical_value(pooled.level, math.inf)
    coefficients = pd.DataFrame(
        {
            "term": list(fit.design.names),
            "estimate": estimates[:p],
            "se": errors[:p],
            "statistic": estimates[:p] / errors[:p],
            "p_value": [two_sided(float(z), math.inf) for z in estimates[:p] / errors[:p]],
            "ci_low": estimates[:p] - reach * errors[:p],
            "ci_high": estimates[:p] + reach * errors[:p],
        }
    )
    return Selection(
        kind=kind,
        alternative=alternative,
        estimate=float(estimates[0]),
        se=float(errors[0]),
        p_value=against,
        ci=ci,
        wald_ci=Interval(float(coefficients["ci_low"][0]), float(coefficients["ci_high"][0])),
        tau2=tau2 * unit**2,
        tau2_se=float(errors[p]),
        lrt=lrt,
        lrt_df=free,
        lrt_p_value=NAN if fixed_weights else float(chdtrc(free, lrt)),
        # The density of y is that of y/unit divided by the unit.
        loglik=best.loglik - pooled.k * math.log(unit),
        unadjusted=float(plain[0] * back[0]),
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=tuple(notes),
        delta=_delta_table(kind, rows, natural[p + 1 :], se[p + 1 :], limits[1:]),
        coefficients=coefficients,
    )


# What is asked ----------------------------------------------------------------------------------


def _check(kind: str, alternative: str, severity: str, tails: int) -> None:
    check_name("kind", kind, KINDS)
    check_name("alternative", alternative, ALTERNATIVES)
    check_name("severity", severity, SEVERITIES)
    if tails not in (1, 2):
        raise PoolError(f"tails={tails} must be 1 or 2.")
    if alternative == "two-sided" and kind != "step":
        raise PoolError(
            f"kind={kind!r} is a function of the one-sided p; use alternative='greater' or 'less'"
            f"{', and tails=2 for both sides' if kind == 'vevea-woods' else ''}."
        )


def _weight(
    kind: str,
    y: Floats,
    v: Floats,
    steps: tuple[float, ...],
    alternative: str,
    severity: str,
    tails: int,
    notes: list[str],
) -> tuple[Weight, list[tuple[str, float]]]:
    """Return the weight function, and the name and number of studies of each interval."""
    if kind in FAMILIES:
        return Smooth(y, v, kind), []
    if kind == "vevea-woods":
        fixed = Steps(y, v, WOODS_STEPS, False)
        return fixed, _named(WOODS_STEPS, fixed.interval)
    try:
        cuts = tuple(float(step) for step in np.atleast_1d(steps) if step != 1)
    except (TypeError, ValueError):
        cuts = ()
    if not cuts or not all(0 < a < b for a, b in itertools.pairwise((*cuts, 1.0))):
        raise PoolError(f"steps={steps!r} must rise between 0 and 1; write (0.025, 0.5).")
    two = alternative == "two-sided"
    counts = np.bincount(Steps(y, v, cuts, two).interval, minlength=len(cuts) + 1)
    kept = _joined(cuts, counts)
    if not kept:
        raise PoolError(
            "all p-values lie in one interval, so selection cannot be estimated; move the steps, "
            "or assume weights with kind='vevea-woods'."
        )
    if len(kept) < len(cuts):
        empty = [name for name, count in _named(cuts, np.repeat(np.arange(len(counts)), counts))
                 if count == 0]  # fmt: skip
        notes.append(f"No study has p in {', '.join(empty)}: joined with the interval next to it.")
    weight = Steps(y, v, kept, two)
    return weight, _named(kept, weight.interval)


def _joined(cuts: tuple[float, ...], counts: NDArray[np.intp]) -> tuple[float, ...]:
    """Drop the cut points that bound an interval without a study."""
    kept, seen = [], 0
    for cut, count in zip(cuts, counts[:-1], strict=True):
        seen += int(count)
        if seen:
            kept.append(cut)
            seen = 0
    # What is left above the last cut, with the empty interval below it, may hold nothing.
    if kept and not seen + int(counts[-1]):
        kept.pop()
    return tuple(kept)


def _named(cuts: tuple[float, ...], interval_of: NDArray[np.intp]) -> list[tuple[str, float]]:
    ends = (0.0, *cuts, 1.0)
    counts = np.bincount(interval_of, minlength=len(cuts) + 1)
    return [
        (f"{low:g} to {high:g}", float(count))
        for (low, high), count in zip(itertools.pairwise(ends), counts, strict=True)
    ]


# Fitting ----------------------------------------------------------------------------------------


def _unselected(model: Model, common: bool) -> tuple[Floats, float]:
    """Return coefficients and tau² by maximum likelihood without selection, and its height."""
    tau2 = 0.0 if common else estimate_tau2(model.y, model.v, model.x, "ML")
    s = model.v + tau2
    beta = np.linalg.solve(model.x.T @ (model.x / s[:, None]), model.x.T @ (model.y / s))
    r = model.y - model.x @ beta
    loglik = -0.5 * float(np.sum(np.log(2 * np.pi * s) + r**2 / s))
    return np.append(beta, tau2), loglik


def _starts(model: Model, plain: Floats) -> list[Floats]:
    """Return where to search from: less and more selection, means nearer to 0 and farther off."""
    p, size = model.p, model.weight.size
    beta, tau2 = plain[:p], float(plain[p])
    spread = max(tau2, 0.1)
    starts = []
    for weight, shrink, wide in (
        (1.0, 1.0, 1.0), (0.5, 0.7, 1.0), (0.2, 0.3, 1.0),
        (2.0, 1.0, 1.0), (1.3, 1.5, 3.0), (1.0, 0.0, 3.0),
    ):  # fmt: skip
        natural = np.concatenate([shrink * beta, [spread * wide], np.full(size, weight)])
        starts.append(model.coordinates(natural))
    # Strong selection from effects that mostly lie far on the other side: at times a second peak.
    natural = np.concatenate([beta, [spread + 4.0], np.full(size, 8.0)])
    natural[0] -= 3.0
    starts.append(model.coordinates(natural))
    return starts


def _best(model: Model, starts: list[Floats]) -> tuple[Peak, list[float]]:
    """Return the highest maximum from several starts, and how high each of them leads."""
    peaks = [model.climb(start) for start in starts]
    best = max(peaks, key=lambda peak: peak.loglik)
    if not math.isfinite(best.loglik):
        raise PoolError("the likelihood of this selection model is not finite; use kind='step'.")
    return _held(model, model.highest(best, [], {})), [peak.loglik for peak in peaks]


def _held(model: Model, best: Peak) -> Peak:
    """Hold weights at the end of the range, where a search that runs against it cannot settle."""
    ends = model.at_end(best.at)
    if not ends:
        return best
    held = model.climb(best.at, ends)
    return held if held.loglik >= best.loglik - 1e-4 else best


def _about_the_search(model: Model, best: Peak, heights: list[float]) -> list[str]:
    notes = []
    if model.at_end(best.at):
        notes.append(
            "A weight parameter lies at the end of the range that is searched: these data do not "
            "determine the selection."
        )
    reached = sum(height >= best.loglik - 1e-6 for height in heights)
    if reached < len(heights):
        leads = "leads" if reached == 1 else "lead"
        notes.append(
            f"{reached} of {len(heights)} starting points {leads} to this maximum; "
            "the rest end lower."
        )
    if not best.settled:
        notes.append(
            "The likelihood is nearly flat at its maximum: the numbers depend on where the search "
            "stopped, so read the profile intervals."
        )
    return notes


def _profiles(
    model: Model, best: Peak, drop: float, starts: list[Floats], notes: list[str]
) -> tuple[list[Interval], Peak, Peak]:
    """Return profile limits of the first coefficient and of each weight, in natural parameters.

    With them the maximum, which is a higher one if a profile comes across it, and the maximum where
    the first coefficient is 0.
    """
    p = model.p
    which = [i for i in (0, *range(p + 1, model.size)) if i not in model.fixed]
    others: list[Floats] = []
    for _ in range(3):
        hessian = model.loss(best.at)[2]
        free = [i for i in range(model.size) if i not in model.fixed]
        with np.errstate(all="ignore"):
            spread = np.sqrt(np.diag(np.linalg.pinv(hessian[np.ix_(free, free)])))
        steps = dict(zip(free, np.clip(np.nan_to_num(spread, nan=1.0), 1e-3, 3.0), strict=True))
        at_zero = _at_zero(model, best)
        limits, top = {}, max(best, at_zero, key=lambda peak: peak.loglik)
        for i in which:
            guess = math.sqrt(2 * drop) * float(steps[i])
            limits[i], met = model.profile(best, i, drop, guess, others)
            top = max(top, met, key=lambda peak: peak.loglik)
        if top.loglik <= best.loglik + 1e-7:
            break
        # A search came across a higher maximum: start again from there.
        best = _held(model, model.climb(top.at))
    out = [limits[0]]
    for i in range(p + 1, model.size):
        if i not in limits:
            out.append(NO_INTERVAL)
            continue
        low, high = limits[i]
        if model.logs:
            out.append(Interval(math.exp(low), math.exp(high)))
        else:
            out.append(Interval(max(0.0, low) ** 2, high**2))
    if any(math.isinf(end) for end in limits[0]):
        notes.append("The likelihood does not bound the mean on one side.")
    if any(math.isinf(high) for _, high in out[1:]):
        notes.append("The likelihood does not bound a weight from above.")
    return out, best, at_zero


def _standard_errors(model: Model, natural: Floats, at_zero: bool) -> Floats:
    """Return Wald standard errors in natural parameters; NaN for what is held or on its bound."""
    at = natural.copy()
    p = model.p
    free = [i for i in range(model.size) if i not in model.fixed and not (i == p and at_zero)]
    ends = model.at_end(model.coordinates(natural))
    free = [i for i in free if i not in ends and (model.logs or i <= p or at[i] > 1e-10)]
    out = np.full(model.size, np.nan)
    information = -model.parts(at)[2][np.ix_(free, free)]
    try:
        covariance = np.linalg.inv(information)
    except np.linalg.LinAlgError:
        return out
    variances = np.diag(covariance)
    out[free] = np.sqrt(np.where(variances > 0, variances, np.nan))
    return out


def _at_zero(model: Model, best: Peak) -> Peak:
    """Return the maximum where the first coefficient is 0."""
    return model.highest(best, [], {0: 0.0})


# Tables -----------------------------------------------------------------------------------------


def _delta_table(
    kind: str, rows: list[tuple[str, float]], delta: Floats, se: Floats, limits: list[Interval]
) -> pd.DataFrame:
    values, errors = [float(d) for d in delta], [float(s) for s in se]
    if kind in FAMILIES:
        names: list[tuple[str, float]] = [(f"delta {j}", NAN) for j in range(1, len(values) + 1)]
    else:
        names = rows
        values, errors, limits = [1.0, *values], [NAN, *errors], [NO_INTERVAL, *limits]
    return pd.DataFrame(
        {
            "parameter": [name for name, _ in names],
            "k": [count for _, count in names],
            "delta": values,
            "se": errors,
            "ci_low": [low for low, _ in limits],
            "ci_high": [high for _, high in limits],
        }
    )


def _scaled(limits: Interval, factor: float) -> Interval:
    ends = sorted((limits.low * factor, limits.high * factor))
    return Interval(*ends)

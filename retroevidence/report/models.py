"""What stands below a forest plot: how much results differ, and by which model they were pooled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from retroevidence._show import number, p_text, percent

if TYPE_CHECKING:
    from retroevidence.meta.result import Pooled

_TESTS = {
    "knha": "Knapp–Hartung interval",
    "z": "normal interval",
    "t": "t interval",
    "adhoc": "modified Knapp–Hartung interval",
}
_COUNTS = {"MH": "Mantel–Haenszel", "PETO": "Peto"}


def model_notes(pooled: Pooled, *, moderated: bool = False, null: bool = True) -> list[str]:
    """Write what differs between results, and the model with its test, in two lines.

    Parameters
    ----------
    pooled : Pooled, PooledBayes, PooledMultilevel or PooledCounts
        Two results or more.
    moderated : bool
        Whether it is a meta-regression, which has no single pooled effect.
    null : bool
        Whether the measure has a value that means no effect, so that a test of it says something.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> for note in model_notes(pool(yi=[0.1, 0.3, 0.8], vi=[0.02, 0.03, 0.05])):
    ...     print(note)
    Heterogeneity: τ² = 0.086, I² = 74%, Q(2) = 7.00, p = 0.030.
    Random-effects model, REML, Knapp–Hartung interval; test of no effect: p = 0.209.
    """
    what = "Residual heterogeneity" if moderated else "Heterogeneity"
    notes = [f"{what}: {', '.join(_spread(pooled)) or 'not estimated'}."]
    if moderated:
        qm_p = getattr(pooled, "qm_p_value", math.nan)
        test = f"moderators: {p_text(qm_p)}; " if math.isfinite(qm_p) else "moderators: "
        return [*notes, f"{_model(pooled)}; {test}they have no single pooled effect."]
    p_value = getattr(pooled, "p_value", math.nan)
    test = f"; test of no effect: {p_text(p_value)}" if null and math.isfinite(p_value) else ""
    return [*notes, f"{_model(pooled)}{test}."]


def _spread(pooled: Any) -> list[str]:
    found = []
    sigma2 = getattr(pooled, "sigma2", None)
    if sigma2 is not None:
        between, within = map(_variance, sigma2)
        found.append(f"σ² = {between} between and {within} within clusters")
    tau2, i2 = getattr(pooled, "tau2", math.nan), getattr(pooled, "i2", math.nan)
    if math.isfinite(tau2):
        found.append(f"τ² = {_variance(tau2)}")
    if isinstance(i2, float) and math.isfinite(i2):
        found.append(f"I² = {percent(i2 / 100)}")
    if math.isfinite(getattr(pooled, "q", math.nan)):
        q_p = p_text(pooled.q_p_value)
        found.append(f"Q({pooled.q_df:g}) = {number(pooled.q, 2)}, {q_p}")
    return found


def _variance(value: float) -> str:
    """Write a variance with three decimals, or those that a very small or large one asks for."""
    if 0 < value < 0.0005:
        return number(value, min(12, 1 - math.floor(math.log10(value))))
    return number(value, 0 if value >= 1000 else 3)


def _model(pooled: Any) -> str:
    if hasattr(pooled, "tau_prior"):
        mean = pooled.mu_prior or "flat"
        return (
            f"Bayesian random-effects model, prior of τ: {pooled.tau_prior}, of the mean: {mean}; "
            "median with credible interval"
        )
    if hasattr(pooled, "cmh"):
        return f"Common-effect model, {_COUNTS.get(pooled.method, pooled.method)}, normal interval"
    way = _TESTS.get(pooled.test, f"{pooled.test} interval")
    if hasattr(pooled, "sigma2"):
        return f"Three-level model, {pooled.method}, {way}"
    model = "Common-effect" if pooled.method == "CE" else "Random-effects"
    return f"{model} model, {pooled.method}, {way}"

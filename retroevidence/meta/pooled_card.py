"""How a pooled result shows itself: the lines and the table of its card."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from retroevidence._show import Card, confidence, interval, number, p_text, percent
from retroevidence.meta.estimates import Estimates
from retroevidence.meta.interval import TESTS, critical_value
from retroevidence.meta.wording import (
    IN_PERCENT,
    RATIOS,
    decimals,
    exp_of,
    rounded_coefficients,
    studies_in,
    study_names,
)


def card(pooled: Estimates, *, with_studies: bool = False) -> Card:
    """Return the card of a pooled result.

    Parameters
    ----------
    pooled : Estimates
        A mean or a meta-regression.
    with_studies : bool
        Whether a mean lists its studies.

    Returns
    -------
    Card
        Text and HTML.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> card(pool(yi=[0.1, 0.4], vi=[0.1, 0.1])).title
    'Pooled effect, k = 2 studies (REML, Knapp-Hartung)'
    """
    level = confidence(pooled.level)
    digits = decimals(pooled.se)
    pairs: list[tuple[str, str]] = []
    table: pd.DataFrame | None
    if pooled.fit.design.moderators:
        pairs += _moderator_lines(pooled)
        table = rounded_coefficients(pooled.coefficients, digits)
    else:
        pairs += _mean_lines(pooled, level, digits)
        table = _study_table(pooled, digits) if with_studies else None
    pairs += _heterogeneity_lines(pooled, level)
    if not pooled.fit.design.moderators and pooled.test in ("knha", "t", "adhoc"):
        pairs.append(
            (
                "beside it",
                f"z {interval(*pooled.z_ci, digits)}, "
                f"modified Knapp-Hartung {interval(*pooled.modified_ci, digits)}",
            )
        )
    what = f"Pooled {pooled.measure}" if pooled.measure else "Pooled effect"
    if pooled.fit.design.moderators:
        what = f"Meta-regression of {pooled.measure or 'effects'}"
    title = f"{what}, {_count(pooled)} ({pooled.method}, {TESTS[pooled.test]})"
    return Card(title, pairs, table, pooled.notes)


def _count(pooled: Estimates) -> str:
    studies = studies_in(pooled.fit.frame)
    if studies == pooled.k:
        return f"k = {pooled.k} {'study' if pooled.k == 1 else 'studies'}"
    return f"k = {pooled.k} effects from {studies} {'study' if studies == 1 else 'studies'}"


def _mean_lines(pooled: Estimates, level: str, digits: int) -> list[tuple[str, str]]:
    ratio = RATIOS.get(pooled.measure)
    lines = [
        (
            f"log {ratio}" if ratio else "estimate",
            f"{number(pooled.estimate, digits)}  {level} CI {interval(*pooled.ci, digits)}, "
            f"{p_text(pooled.p_value)}",
        )
    ]
    if ratio:
        lines.append((ratio, _ratio(pooled, level)))
    if pooled.measure in IN_PERCENT:
        lines.append(("in percent", _percent_change(pooled, level)))
    lines.append(("a new study", f"{level} PI {interval(*pooled.prediction, digits)}"))
    return lines


def _ratio(pooled: Estimates, level: str) -> str:
    low, high = (exp_of(limit) for limit in pooled.ci)
    return f"{number(exp_of(pooled.estimate))}  {level} CI {interval(low, high)}"


def _percent_change(pooled: Estimates, level: str) -> str:
    middle, low, high = (100 * (exp_of(v) - 1) for v in (pooled.estimate, *pooled.ci))
    return f"{number(middle, 1)}%  {level} CI {interval(low, high, 1)}"


def _moderator_lines(pooled: Estimates) -> list[tuple[str, str]]:
    if pooled.test == "z":
        joint = f"QM({pooled.qm_df}) = {number(pooled.qm)}"
    else:
        joint = f"F({pooled.qm_df}, {pooled.q_df}) = {number(pooled.qm)}"
    explained = "" if math.isnan(pooled.r2) else f", R² = {percent(pooled.r2 / 100)}"
    return [("moderators", f"{joint}, {p_text(pooled.qm_p_value)}{explained}")]


def _heterogeneity_lines(pooled: Estimates, level: str) -> list[tuple[str, str]]:
    if math.isnan(pooled.tau2):
        return [("between studies", "not estimable from one study")]
    kind = "residual " if pooled.fit.design.moderators else ""
    lines = []
    if pooled.method != "CE":
        # An estimate of 0 has no size of its own: show it as finely as the mean allows.
        digits = decimals(pooled.tau2 if pooled.tau2 > 0 else pooled.se**2)
        tau = number(pooled.tau, decimals(pooled.tau or pooled.se))
        limits = interval(*pooled.tau2_ci, digits)
        lines.append(
            (
                f"{kind}tau²",
                f"{number(pooled.tau2, digits)}  {level} CI {limits}, tau = {tau}",
            )
        )
    shares = f"{percent(pooled.i2 / 100)}"
    if not math.isnan(pooled.i2_ci.low):
        shares += f"  {level} CI [{percent(pooled.i2_ci.low / 100)}, "
        shares += f"{percent(pooled.i2_ci.high / 100)}]"
    lines.append((f"{kind}I²", shares))
    lines.append(("Q", f"Q({pooled.q_df}) = {number(pooled.q, 2)}, {p_text(pooled.q_p_value)}"))
    return lines


def _study_table(pooled: Estimates, digits: int) -> pd.DataFrame:
    fit = pooled.fit
    reach = critical_value(pooled.level, math.inf) * np.sqrt(fit.vi)
    names = study_names(fit.frame)
    return pd.DataFrame(
        {
            "study": names,
            "effect": [number(float(y), digits) for y in fit.yi],
            f"{confidence(pooled.level)} CI": [
                interval(float(y - r), float(y + r), digits)
                for y, r in zip(fit.yi, reach, strict=True)
            ],
            "weight": [f"{w:.1f}%" for w in fit.weights],
        }
    )

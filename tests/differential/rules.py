"""What counts as a disagreement with metafor, and the rules that explain one.

A rule always shows that our number is the right one, by `judge.py`, or says what both sides lose.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
from generate import Set
from judge import DIGITS, Exact, numbers, verdict
from scipy.special import chdtri

#: As in the golden grid: relative, for both sides iterate to 1e-13 of the scale of the data.
TOLERANCE = 1e-8
#: tau² far below the sampling variances is known no better than rounding of v + tau² allows.
FLOOR = 1e-12
#: A residual mean square below this is rounding; our Knapp-Hartung then falls back to the modified.
AGREES_EXACTLY = 1e-12


def allowed(name: str, value: float, se: float, typical: float, z: float, q: float) -> float:
    """Return how far apart two numbers may be that are the same but for rounding."""
    if name in ("tau2", "tau2_se", "qp_lb", "qp_ub"):
        return TOLERANCE * abs(value) + FLOOR * typical
    if name == "i2":
        # In percent: the floor of tau² over the typical variance.
        return TOLERANCE * abs(value) + 100 * FLOOR
    if name[0] == "p" and name[1:].isdigit():
        # The relative error of a tail probability is that of z times z².
        return TOLERANCE * max(1.0, z**2) * abs(value)
    if name in ("q_p", "qm_p"):
        return TOLERANCE * max(1.0, q) * abs(value)
    if name in ("b0", "b1", "b2") or name[:2] in ("lb", "ub", "pi"):
        return TOLERANCE * max(abs(value), se)
    if name in ("q", "h2", "qm"):
        # Sums of squares over their degrees of freedom are of size 1; 1e-12 of that is nothing.
        return TOLERANCE * abs(value) + FLOOR
    return TOLERANCE * abs(value)


def disagreements(
    one: Set, ours: dict[str, float], theirs: dict[str, float]
) -> tuple[list[str], int, list[int]]:
    """Return the names of the numbers that differ, how many were compared, and their decades."""
    typical = 1 / float(np.mean(1 / one.vi))
    apart, count, decades = [], 0, []
    if theirs["failed"]:
        return apart, count, decades
    for name, value in ours.items():
        other = theirs[name]
        if math.isnan(value) and math.isnan(other):
            continue
        count += 1
        j = name[-1] if name[-1].isdigit() else "0"
        se = ours.get(f"se{j}", 0.0)
        z = ours[f"b{j}"] / se if se else 0.0
        level = ours["q"] if name == "q_p" else ours["qm"]
        limit = allowed(name, other, se, typical, z, level)
        # An infinite number, or one that only one side has, is never within the limit.
        gap = abs(value - other) if value != other else 0.0
        if not gap <= limit:
            apart.append(name)
        # Relative to what is allowed, so that one picture holds all quantities.
        decades.append(decade(TOLERANCE * gap / limit) if limit and gap else decade(gap))
    return apart, count, decades


def decade(size: float) -> int:
    """Return the power of ten at or below a relative difference, from -17 to 0."""
    if not math.isfinite(size):
        return 0
    return int(np.clip(math.floor(math.log10(max(size, 1e-17))), -17, 0))


def explain(
    one: Set,
    method: str,
    test: str,
    ours: dict[str, float],
    theirs: dict[str, float],
    apart: list[str],
    reasons: set[str],
) -> list[str]:
    """Add the classes of a disagreement to `reasons`; return what no class explains."""
    wrong = judged(one, method, test, ours, apart)
    names = set(apart)
    if "tau2" in names:
        reason = verdict(one, method, ours["tau2"], theirs["tau2"])
        if reason:
            reasons.add(f"tau²: {reason}")
        else:
            wrong.append(f"tau2 {ours['tau2']!r}, metafor {theirs['tau2']!r}")
        # What stands on tau² has been judged at our tau² above.
        return wrong
    for name in names & {"qp_lb", "qp_ub"}:
        if interval_end(one, name, ours[name], theirs[name]):
            reasons.add("Q-profile: root not reached")
        else:
            wrong.append(f"{name} {ours[name]!r}, metafor {theirs[name]!r}")
    names -= {"qp_lb", "qp_ub"}
    at_theirs = numbers(one, method, test, theirs["tau2"])
    if test == "knha" and at_theirs["mean_square"] < AGREES_EXACTLY:
        reasons.add("Knapp-Hartung of studies that agree exactly")
        return wrong
    # tau² agrees within the tolerance: metafor has rounded, or what remains is magnified.
    rounded = {name for name in names if not agree(one, name, theirs, at_theirs)}
    if rounded:
        reasons.add("rounding")
    if names - rounded:
        reasons.add("tau² within the tolerance, magnified")
    return wrong


def interval_end(one: Set, name: str, ours: float, theirs: float) -> bool:
    """Tell whether our limit solves Q = quantile better than theirs."""
    df = one.x.shape[0] - one.x.shape[1]
    target = Decimal(float(chdtri(df, 0.025 if name == "qp_lb" else 0.975)))
    with localcontext() as context:
        context.prec = DIGITS
        exact = Exact(one)
        off = abs(exact.q(Decimal(ours)) - target)
        if ours == 0:
            return exact.q(Decimal(0)) <= target
        return not math.isfinite(theirs) or off < abs(exact.q(Decimal(theirs)) - target)


def judged(
    one: Set,
    method: str,
    test: str,
    ours: dict[str, float],
    names: list[str],
) -> list[str]:
    """Return which of our numbers are not what the definitions give at our tau²."""
    exact = numbers(one, method, test, ours["tau2"])
    if test == "knha" and exact["mean_square"] < AGREES_EXACTLY:
        exact = numbers(one, method, "adhoc", ours["tau2"])
    wrong = [name for name in names if name in exact and not agree(one, name, ours, exact)]
    return [f"{name} {ours[name]!r}, exactly {exact[name]!r}" for name in wrong]


def agree(one: Set, name: str, given: dict[str, float], exact: dict[str, float]) -> bool:
    """Tell whether a number is what it must be."""
    typical = 1 / float(np.mean(1 / one.vi))
    j = name[-1] if name[-1].isdigit() else "0"
    se = exact.get(f"se{j}", 0.0)
    z = exact[f"b{j}"] / se if se else 0.0
    level = exact["q"] if name == "q_p" else exact.get("qm", 0.0)
    limit = allowed(name, exact[name], se, typical, z, level)
    return abs(given[name] - exact[name]) <= limit

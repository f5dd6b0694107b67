"""Trim and fill: how many studies a lopsided funnel lacks, and the mean with mirror images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, confidence, interval, number, p_text
from retroevidence.errors import PoolError, check_name, unknown_name
from retroevidence.meta.bias.asymmetry import egger
from retroevidence.meta.bias.result import BiasResult, Effects, few, plain_mean, same_size
from retroevidence.meta.influence import check_refittable
from retroevidence.meta.interval import Interval
from retroevidence.meta.pool import pool
from retroevidence.meta.result import Pooled
from retroevidence.meta.wording import decimals, study_names

Floats = NDArray[np.float64]

SIDES = ("left", "right")
#: Rounds of trimming after which no new count is expected; cycles are found before.
_ROUNDS = 100
_UNDEFINED = "Q0 is not defined for so lopsided a funnel; as many as possible are cut."


@dataclass(frozen=True, eq=False, repr=False)
class TrimFill(BiasResult):
    """The mean after trim and fill, made by `trim_fill`.

    Attributes
    ----------
    k0, side, estimator : int and str
        Studies added, on which side of the funnel, and by which count.
    estimate, se, p_value, ci, tau2 : float and Interval
        The mean of the studies and their mirror images, by the same method and test.
    original, original_ci, k : float, Interval and int
        The mean before, and its number of studies.
    pooled : Pooled
        The filled analysis; `pooled.studies` has a column `filled`, and figures draw it.
    filled : pandas.DataFrame
        The added studies: study_id, yi, vi, mirrors.
    measure, level, notes : str, float and tuple of str
        What a reader must know.

    Examples
    --------
    >>> pooled = pool(yi=[0.1, 0.2, 0.1, 0.9, 0.8], vi=[0.01, 0.02, 0.03, 0.2, 0.3], test="z")
    >>> trim_fill(pooled).side
    'left'
    """

    _apart = ("pooled", "filled")

    estimator: str
    side: str
    k0: int
    estimate: float
    se: float
    p_value: float
    ci: Interval
    tau2: float
    original: float
    original_ci: Interval
    k: int
    level: float
    measure: str
    notes: tuple[str, ...]
    pooled: Pooled
    filled: pd.DataFrame

    def _card(self) -> Card:
        share, digits = confidence(self.level), decimals(self.se)
        pairs = [
            ("added", f"{self.k0} on the {self.side} ({self.estimator})"),
            (
                "filled",
                f"{number(self.estimate, digits)}  {share} CI {interval(*self.ci, digits)}, "
                f"{p_text(self.p_value)}",
            ),
            (
                "as published",
                f"{number(self.original, digits)}  {share} CI "
                f"{interval(*self.original_ci, digits)}",
            ),
        ]
        return Card(f"Trim and fill, k = {self.k}", pairs, notes=self.notes)


def trim_fill(effects: Effects, estimator: str = "L0", side: str | None = None) -> TrimFill:
    """Estimate how many studies are missing on one side of the funnel, and fill them in.

    Studies farthest out on the crowded side are trimmed until the rest is symmetric about its
    mean; their mirror images about that mean are added, and everything is pooled again with the
    method and test of the result.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean.
    estimator : str
        "L0", "R0" or "Q0". With ranks of the absolute distances from the mean, T the sum of those
        on the crowded side and g the length of the unbroken run of that side among the highest
        ranks: ``L0 = (4 T - k (k + 1)) / (2 k - 1)``, ``R0 = g - 1``,
        ``Q0 = k - 1/2 - sqrt(2 k² - 4 T + 1/4)``, rounded, and kept between 0 and k - 1, so that
        a study is left to mirror about. Q0 of a negative square counts as k - 1.
    side : str, optional
        Where studies are missing, "left" or "right"; by default the side away from the small
        studies, by the slope of Egger's regression (mixed model).

    Returns
    -------
    TrimFill
        The filled analysis with the number of studies added.

    Raises
    ------
    PoolError
        If there are fewer than 3 studies, moderators, a tau² shared with other subgroups, or no
        side can be told.
    UnknownNameError
        If `estimator` or `side` is unknown.

    Notes
    -----
    A way to see how a mean depends on asymmetry, not a correction: the filled studies are mirror
    images, whatever made the funnel lopsided.

    References
    ----------
    Duval & Tweedie (2000a), doi 10.1111/j.0006-341X.2000.00455.x; (2000b),
    doi 10.1080/01621459.2000.10473905.

    Examples
    --------
    >>> y, v = [0.1, 0.2, 0.15, 0.3, 0.5, 0.9, 0.8], [0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3]
    >>> trim_fill(pool(yi=y, vi=v))
    Trim and fill, k = 7
      added         3 on the left (L0)
      filled        0.1500  95% CI [-0.0172, 0.3172], p = 0.073
      as published  0.1931  95% CI [0.0305, 0.3558]
      ...
    """
    check_name("estimator", estimator, _COUNTS)
    if side is not None and side not in SIDES:
        raise unknown_name("side", side, SIDES)
    pooled = plain_mean(effects, "trim_fill")
    check_refittable(pooled)
    notes = list(few(pooled.k))
    if side is None:
        if same_size(pooled.fit.vi):
            raise PoolError(
                "all studies have the same precision, so the side cannot be told; "
                "give side='left' or side='right'."
            )
        slope = egger(pooled).estimate
        side = "left" if slope >= 0 else "right"
        notes.append(
            f"Side by Egger's slope ({number(slope, decimals(abs(slope)))}): small studies lie "
            f"{'higher' if side == 'left' else 'lower'}, so the {side} is filled."
        )
    # The crowded side is made the upper one; a mean and its tau² do not mind the sign.
    sign = 1.0 if side == "left" else -1.0
    y, v = sign * pooled.fit.yi, pooled.fit.vi
    order = np.argsort(y, kind="stable")
    k0, centre = _trim(y[order], v[order], pooled, estimator, notes)
    mirrored = order[len(y) - k0 :][::-1]
    frame = _with_filled(pooled, mirrored, sign * centre)
    refilled = pool(frame, method=pooled.method, test=pooled.test, level=pooled.level)
    added = frame.loc[frame["filled"], ["study_id", "yi", "vi"]].assign(
        mirrors=[study_names(pooled.fit.frame)[i] for i in mirrored]
    )
    return TrimFill(
        estimator=estimator,
        side=side,
        k0=k0,
        estimate=refilled.estimate,
        se=refilled.se,
        p_value=refilled.p_value,
        ci=refilled.ci,
        tau2=refilled.tau2,
        original=pooled.estimate,
        original_ci=pooled.ci,
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=(*notes, "Filled studies are mirror images, not data: read it as a what-if."),
        pooled=refilled,
        filled=added,
    )


def _trim(
    y: Floats, v: Floats, pooled: Pooled, estimator: str, notes: list[str]
) -> tuple[int, float]:
    """Return how many of the sorted effects to mirror, and about which mean."""
    k = len(y)
    seen: list[int] = []
    k0 = 0
    for _ in range(_ROUNDS):
        centre = pool(yi=y[: k - k0], vi=v[: k - k0], method=pooled.method, test="z").estimate
        distance = y - centre
        ranks = np.empty(k)
        ranks[np.argsort(np.abs(distance), kind="stable")] = np.arange(1, k + 1)
        signed = np.sign(distance) * ranks
        count = _COUNTS[estimator](signed, k)
        if math.isnan(count):
            if _UNDEFINED not in notes:
                notes.append(_UNDEFINED)
            count = k
        # At least one study must be left to mirror about.
        new = min(k - 1, max(0, round(count)))
        if new == k0:
            return k0, centre
        if new in seen:
            notes.append(
                f"The count goes back and forth between {min(seen[seen.index(new) :])} and "
                f"{max(seen[seen.index(new) :])}; the larger one is used."
            )
            k0 = max(seen[seen.index(new) :])
            break
        seen.append(new)
        k0 = new
    return k0, pool(yi=y[: k - k0], vi=v[: k - k0], method=pooled.method, test="z").estimate


def _l0(signed: Floats, k: int) -> float:
    return (4 * float(signed[signed > 0].sum()) - k * (k + 1)) / (2 * k - 1)


def _r0(signed: Floats, k: int) -> float:
    return k - float(np.max(-signed, initial=0.0)) - 1


def _q0(signed: Floats, k: int) -> float:
    inside = 2 * k**2 - 4 * float(signed[signed > 0].sum()) + 0.25
    return k - 0.5 - math.sqrt(inside) if inside >= 0 else math.nan


_COUNTS: dict[str, Callable[[Floats, int], float]] = {"L0": _l0, "R0": _r0, "Q0": _q0}


def _with_filled(pooled: Pooled, mirrored: NDArray[np.intp], centre: float) -> pd.DataFrame:
    """Return the studies and their mirror images, with what figures need of them."""
    fit = pooled.fit
    names = study_names(fit.frame)
    ids = [str(name) for name in fit.frame.get("study_id", pd.Series(names, fit.frame.index))]
    new = [f"filled {i}" for i in range(1, len(mirrored) + 1)]
    return pd.DataFrame(
        {
            "study_id": [*ids, *new],
            "label": [*names, *(f"mirror of {names[i]}" for i in mirrored)],
            "measure": pooled.measure,
            "yi": np.concatenate([fit.yi, 2 * centre - fit.yi[mirrored]]),
            "vi": np.concatenate([fit.vi, fit.vi[mirrored]]),
            "filled": np.arange(pooled.k + len(new)) >= pooled.k,
        },
        index=[*fit.frame.index, *new],
    )

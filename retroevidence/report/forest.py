"""The forest plot: every study, its weight, and what they say together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from retroevidence._show import confidence
from retroevidence.errors import PoolError
from retroevidence.meta.interval import Interval
from retroevidence.meta.wording import IN_PERCENT, RATIOS
from retroevidence.report.censored import forest_censored
from retroevidence.report.layout import LABEL_WIDTH, Layout, Line, Sheet, spread
from retroevidence.report.marks import (
    AXIS,
    PLOT,
    Mark,
    draw_diamond,
    draw_interval,
    limits_of,
    under_axis,
)
from retroevidence.report.models import model_notes
from retroevidence.report.names import axis_label, experimental_of, row_labels, short_of, sides
from retroevidence.report.scales import Scale, scale_of
from retroevidence.report.style import ACCENT, GREY, INK, LINE, PALE, fold, settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from retroevidence.claims.check import Checked
    from retroevidence.meta.result import Pooled

SAME_PEOPLE = {"ROMC", "MC", "SMCC", "SMCR", "SMCRH", "SMCRP", "SMCRPH"}


@dataclass(frozen=True)
class _Plan:
    """Everything that is decided before drawing."""

    layout: Layout
    marks: tuple[Mark, ...]
    scale: Scale
    limits: tuple[float, float]
    axis: str
    sides: tuple[str, str] | None
    claimed: tuple[float, ...]


def forest(
    result: Pooled | Checked,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    experimental: str | None = None,
) -> Axes:
    """Draw a forest plot.

    Parameters
    ----------
    result : Pooled, PooledBayes, PooledMultilevel, PooledCounts, PooledCensored or Checked
        A pooled result, or a claim whose verdict rests on one. What holds bounds is drawn by
        `forest_censored`.
    ax : matplotlib Axes, optional
        Where to draw; its rectangle is used for the whole figure, text columns included. By
        default a new figure of the right size.
    title : str, optional
        By default the claim's statement, or nothing for a pooled result.
    experimental : str
        What the experimental arm does, for the words on both sides of the null line; by default
        what the claim's review says.

    Returns
    -------
    matplotlib Axes
        The Axes of the plot itself; x is the effect on the scale it was pooled on, while ticks
        and numbers are on the scale people read (percent, ratio).

    Raises
    ------
    PoolError
        If there is no pooled result, or the studies of this one have no effects of their own.

    Notes
    -----
    Squares have an area proportional to the weight. An arrow marks an interval that runs beyond
    the axis. A result known only to lie between two bounds is a pale line without a square. The
    diamond is the pooled estimate with its interval; the bar below it is the prediction
    interval: where the true effect of a new study would lie. Lewis & Clarke 2001 tell why.

    Examples
    --------
    >>> import retroevidence as rv
    >>> from matplotlib.figure import Figure
    >>> pooled = rv.pool(None, yi=[-0.9, -0.3, -0.6], vi=[0.04, 0.02, 0.03])
    >>> ax = forest(pooled, ax=Figure().add_axes((0, 0, 1, 1)))
    >>> low, high = map(float, ax.get_xlim())
    >>> low < -0.9 < 0.0 <= high
    True
    """
    if getattr(result, "rung", "") == "effects and bounds" or hasattr(result, "without_bounded"):
        return forest_censored(
            cast("Checked", result), ax=ax, title=title, experimental=experimental
        )
    plan = _plan(result, title, experimental)
    with settings():
        sheet = spread(plan.layout, ax)
        _draw(sheet, plan)
    return sheet.ax


def forest_size(
    result: Pooled | Checked, *, title: str | None = None, experimental: str | None = None
) -> tuple[float, float]:
    """Return the width and the height, in points, that a forest plot needs.

    Examples
    --------
    >>> import retroevidence as rv
    >>> width, height = forest_size(rv.pool(None, yi=[1.0, 2.0], vi=[1.0, 1.0]))
    >>> width > height
    True
    """
    return _plan(result, title, experimental).layout.size


def pooled_of(result: Pooled | Checked) -> Pooled | None:
    """Return the pooled result itself, also when it comes inside a checked claim.

    Raises
    ------
    PoolError
        If it is something else, or its studies have no effects of their own.
    """
    pooled: Pooled | None = getattr(result, "pooled", result)  # type: ignore[arg-type]
    if pooled is None:
        return None
    name = type(pooled).__name__
    if hasattr(pooled, "groups"):
        raise PoolError(f"a {name} has several means; draw its overall, or one of its groups.")
    if not hasattr(pooled, "studies") or not hasattr(pooled, "ci"):
        raise PoolError(f"a {name} is no pooled mean; draw what rv.pool or rv.check gives.")
    if "yi" not in pooled.studies.columns:
        raise PoolError(
            f"the studies of a {name} have no effects of their own; draw those of rv.effect_sizes "
            "after rv.pool."
        )
    return pooled


def has_moderators(pooled: Pooled) -> bool:
    """Tell whether a result is a meta-regression, which has no single pooled effect."""
    qm = getattr(pooled, "qm", math.nan)
    return math.isfinite(qm) or len(getattr(pooled, "coefficients", ())) > 1


def _plan(result: Pooled | Checked, title: str | None, experimental: str | None) -> _Plan:
    claim: dict[str, Any] = getattr(result, "claim", {})
    experimental = experimental or experimental_of(claim)
    pooled = pooled_of(result)
    if pooled is None or not len(pooled.studies):
        raise PoolError(
            "there is no pooled result to draw; retroevidence.report.figures.draw shows what the "
            "claim has instead."
        )
    errors = np.sqrt(column_of(pooled.studies, "vi"))
    errors = errors[np.isfinite(errors)]
    usual = float(np.median(errors)) if errors.size else math.nan
    scale = scale_of(pooled.measure).fitted(usual)
    lines, marks, people = _studies(pooled, scale, experimental)
    for line, mark in _summary(pooled, scale, len(people), len(marks)):
        lines.append(line)
        marks.append(mark)
    effect = "Difference" if scale.name == "percent" else "Effect"
    words, below = None, 0.0
    if not math.isnan(scale.null):
        direction = str(claim.get("claimed_direction") or "")
        words, below = under_axis(*sides(direction, experimental))
    layout = Layout(
        lines=tuple(lines),
        left=("Study", *people),
        right=(f"{effect} [{confidence(pooled.level)} CI]", "Weight"),
        plot=PLOT,
        foot=AXIS + below,
        title=str(claim.get("statement") or "") if title is None else title,
        notes=(*_notes(pooled, marks, scale), *_claimed_note(claim)),
    )
    axis = axis_label(pooled.measure, pooled.studies)
    return _Plan(
        layout, tuple(marks), scale, limits_of(marks, scale), axis, words, _claimed(claim, scale)
    )


def _claimed(claim: dict[str, Any], scale: Scale) -> tuple[float, ...]:
    """Return the claimed range, or the smallest difference that matters, on the pooled scale."""
    if claim.get("kind") == "range":
        return tuple(scale.pooled(float(claim[end])) for end in ("claimed_low", "claimed_high"))
    smallest = claim.get("smallest")
    if smallest is None or float(smallest) == 0:
        return ()
    side = -1.0 if claim.get("claimed_direction") == "lower" else 1.0
    if claim.get("measure") in RATIOS and claim.get("measure") not in IN_PERCENT:
        # A ratio and its inverse are the same difference.
        return (side * abs(math.log(float(smallest))),)
    return (scale.pooled(side * abs(float(smallest))),)


def _claimed_note(claim: dict[str, Any]) -> list[str]:
    unit = str(claim.get("unit") or "")
    unit = unit if unit == "%" else f" {unit}".rstrip()
    if claim.get("kind") == "range":
        low, high = (f"{float(claim[end]):g}" for end in ("claimed_low", "claimed_high"))
        return [f"Band: the claimed range, {low} to {high}{unit}."]
    smallest = claim.get("smallest")
    if smallest is None or float(smallest) == 0:
        return []
    return [f"Dotted: the smallest difference that matters, {float(smallest):g}{unit}."]


def _studies(
    pooled: Pooled, scale: Scale, experimental: str
) -> tuple[list[Line], list[Mark], tuple[str, ...]]:
    """Return the rows of the studies and the headers of the columns with numbers of people."""
    from scipy.stats import norm

    frame = pooled.studies
    z = float(norm.ppf(0.5 + pooled.level / 2))
    n1, n2 = column_of(frame, "n_experimental"), column_of(frame, "n_comparator")
    if np.isnan(n1).all() and np.isnan(n2).all():
        people: tuple[str, ...] = ()
    elif np.isnan(n2).all() or pooled.measure in SAME_PEOPLE:
        people = ("n",)
    else:
        people = (f"n\n{short_of(experimental)}", "n\ncomparator")
    lines, marks = [], []
    columns = [column_of(frame, name) for name in ("yi", "vi", "lower", "upper", "weight")]
    for i, label in enumerate(row_labels(frame)):
        yi, vi, lower, upper, weight = (float(column[i]) for column in columns)
        if math.isnan(yi):
            # A missing bound is no bound.
            low = -math.inf if math.isnan(lower) else lower
            high = math.inf if math.isnan(upper) else upper
            mark = Mark("bounded", yi, low, high)
            words = scale.bound_text(low, high)
        else:
            mark = Mark("study", yi, yi - z * math.sqrt(vi), yi + z * math.sqrt(vi), weight)
            words = f"{scale.text(yi)} {scale.interval_text(mark.low, mark.high)}"
        counts = [f"{n:g}" if math.isfinite(n) else "–" for n in (n1[i], n2[i])][: len(people)]
        share = f"{weight:.1f}%" if math.isfinite(weight) and mark.kind == "study" else "–"
        lines.append(Line((fold(label, LABEL_WIDTH), *counts), (words, share)))
        marks.append(mark)
    return lines, marks, people


def _summary(pooled: Pooled, scale: Scale, columns: int, k: int) -> list[tuple[Line, Mark]]:
    """Return the pooled row and the prediction interval; one study pools nothing."""
    if k < 2 or math.isnan(pooled.estimate) or has_moderators(pooled):
        return []
    blank = ("",) * columns
    ci, new = pooled.ci, getattr(pooled, "prediction", Interval(math.nan, math.nan))
    words = f"{scale.text(pooled.estimate)} {scale.interval_text(ci.low, ci.high)}"
    rows = [
        (
            Line((f"Pooled, {k} results", *blank), (words, ""), bold=True, ruled=True),
            Mark("pooled", pooled.estimate, ci.low, ci.high),
        )
    ]
    if math.isfinite(new.low) and math.isfinite(new.high):
        label = f"{confidence(pooled.level)} prediction interval"
        rows.append(
            (
                Line((label, *blank), (scale.interval_text(new.low, new.high), "")),
                Mark("prediction", math.nan, new.low, new.high),
            )
        )
    return rows


def _notes(pooled: Pooled, marks: list[Mark], scale: Scale) -> list[str]:
    """Write the lines below the axis: heterogeneity, method, and what a reader must know."""
    if sum(mark.kind in {"study", "bounded"} for mark in marks) < 2:
        notes = ["One result: nothing is pooled and heterogeneity cannot be estimated."]
    else:
        moderated = has_moderators(pooled)
        notes = model_notes(pooled, moderated=moderated, null=not math.isnan(scale.null))
        new = getattr(pooled, "prediction", None)
        if new is not None and not moderated and not math.isfinite(new.low):
            notes.append("No prediction interval: too few results to say how much effects vary.")
    if any(mark.kind == "bounded" for mark in marks):
        notes.append("Pale lines: results known only to lie in that range; no exact size reported.")
    return notes


def column_of(frame: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a column as floats, missing throughout when the frame does not have it."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    return np.asarray(frame[name].astype("float64"), dtype=np.float64)


def _draw(sheet: Sheet, plan: _Plan) -> None:
    ax, layout = sheet.ax, plan.layout
    ax.set_xlim(*plan.limits)
    sheet.axis(plan.scale.ticks(*plan.limits), plan.axis)
    if not math.isnan(plan.scale.null):
        ax.plot([plan.scale.null] * 2, [0.0, sum(layout.heights)], color=LINE, lw=0.8, zorder=1)
    if len(plan.claimed) == 2:
        ax.axvspan(*plan.claimed, color=PALE, alpha=0.45, lw=0, zorder=0)
    for edge in plan.claimed[: len(plan.claimed) % 2]:
        ax.plot([edge] * 2, [0.0, sum(layout.heights)], color=GREY, lw=0.8, ls=":", zorder=1)
    heaviest = max((m.weight for m in plan.marks if math.isfinite(m.weight)), default=1.0) or 1.0
    for mark, y in zip(plan.marks, layout.centres, strict=True):
        if mark.kind == "pooled":
            ax.plot([mark.estimate] * 2, [0.0, y], color=ACCENT, lw=0.7, ls=(0, (3, 3)), zorder=1)
            draw_diamond(sheet, mark, y)
        else:
            draw_interval(sheet, mark, y)
            if mark.kind == "study":
                share = mark.weight / heaviest if math.isfinite(mark.weight) else 0.3
                side = (2.5 + 6.0 * math.sqrt(max(share, 0.0))) * sheet.shrink
                ax.plot([mark.estimate], [y], marker="s", ms=side, mfc=GREY, mec=INK, mew=0.5,
                        ls="none", zorder=3)  # fmt: skip
    sheet.texts()
    if plan.sides:
        sheet.text(plan.sides[0], 0.0, -AXIS + 4.0, colour=GREY)
        sheet.text(plan.sides[1], 0.0, -AXIS + 4.0, corner=(1.0, 0.0), ha="right", colour=GREY)

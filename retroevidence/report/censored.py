"""The forest plot of exact and bounded results: squares, bars, the mean with and without bars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retroevidence._show import confidence, number, p_text, percent
from retroevidence.errors import PoolError
from retroevidence.meta.censored.result import MODELS, TESTS, PooledCensored
from retroevidence.meta.interval import critical_value
from retroevidence.report.layout import LABEL_WIDTH, Layout, Line, Sheet, spread
from retroevidence.report.marks import (
    AXIS,
    CI_WIDTH,
    PLOT,
    Mark,
    draw_arrows,
    draw_diamond,
    draw_interval,
    limits_of,
    under_axis,
)
from retroevidence.report.names import axis_label, experimental_of, row_labels, sides
from retroevidence.report.scales import Scale, scale_of
from retroevidence.report.style import ACCENT, GREY, INK, LINE, PALE, fold, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from retroevidence.claims.check import Checked

BAR = 3.6


@dataclass(frozen=True)
class _Plan:
    """Everything that is decided before drawing."""

    layout: Layout
    marks: tuple[Mark, ...]
    scale: Scale
    limits: tuple[float, float]
    axis: str
    sides: tuple[str, str] | None


def forest_censored(
    result: PooledCensored | Checked,
    *,
    ax: Axes | None = None,
    title: str | None = None,
    experimental: str | None = None,
) -> Axes:
    """Draw a forest plot in which bounded results are bars beside the squares of exact ones.

    Parameters
    ----------
    result : PooledCensored or Checked
        A result of `pool_censored`, or a claim whose verdict rests on one: then the title is the
        claim and the sides of the null line speak its language.
    ax : matplotlib Axes, optional
        Where to draw; its rectangle is used for the whole figure, text columns included. By
        default a new figure of the right size.
    title : str, optional
        By default the claim's statement, or nothing for a pooled result.
    experimental : str, optional
        What the experimental arm does, for the words on both sides of the null line; by default
        what the claim's review says.

    Returns
    -------
    matplotlib Axes
        The Axes of the plot itself; x is the effect on the scale it was pooled on, while ticks
        and numbers are on the scale people read (percent, ratio).

    Notes
    -----
    A square has an area in proportion to its weight. A bar covers every value a bounded result
    may have, an arrow marks an end that is open or beyond the axis. The filled diamond is the mean
    of all results with its interval, the open one that of the exact results alone. Without an
    estimate a line with an arrow shows the limit that there is.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from retroevidence.meta.censored.pool import pool_censored
    >>> nan = math.nan
    >>> pooled = pool_censored(
    ...     {"yi": [0.4, 0.7, nan], "vi": [0.1] * 3, "lower": [nan, nan, 0.0], "upper": [nan] * 3}
    ... )
    >>> ax = forest_censored(pooled, ax=Figure().add_axes((0, 0, 1, 1)))
    >>> low, high = map(float, ax.get_xlim())
    >>> low < 0.0 < 0.7 < high
    True
    """
    plan = _plan(result, title, experimental)
    with settings():
        sheet = spread(plan.layout, ax)
        _draw(sheet, plan)
    return sheet.ax


def forest_censored_size(result: PooledCensored | Checked) -> tuple[float, float]:
    """Return the width and the height, in points, that the plot needs.

    Examples
    --------
    >>> from retroevidence.meta.censored.pool import pool_censored
    >>> width, height = forest_censored_size(pool_censored({"yi": [1.0, 2.0], "vi": [1.0, 1.0]}))
    >>> width > height
    True
    """
    return _plan(result).layout.size


def _plan(
    result: PooledCensored | Checked, title: str | None = None, experimental: str | None = None
) -> _Plan:
    claim: dict[str, Any] = getattr(result, "claim", {})
    pooled = result if isinstance(result, PooledCensored) else result.censored
    if pooled is None:
        raise PoolError(
            "this claim has no result that is known only between limits; draw it with forest(...)."
        )
    scale = scale_of(pooled.measure)
    lines, marks = _results(pooled, scale)
    means: list[tuple[str, PooledCensored]] = [(f"All {pooled.k} results", pooled)]
    alone = pooled.without_bounded
    if alone is not None:
        what = "exact result" if alone.k == 1 else f"{alone.k} exact results"
        means.append((f"The {what} only", alone))
    if pooled.k > 1:
        for i, (label, mean) in enumerate(means):
            line, mark = _mean(label, mean, scale, first=i == 0)
            lines.append(line)
            marks.append(mark)
    words, below = None, 0.0
    if not math.isnan(scale.null):
        direction = str(claim.get("claimed_direction") or "")
        words, below = under_axis(*sides(direction, experimental or experimental_of(claim)))
    effect = "Difference" if scale.name == "percent" else "Effect"
    layout = Layout(
        lines=tuple(lines),
        left=("Study",),
        right=(f"{effect} [{confidence(pooled.level)} CI]\nor limits", "Weight"),
        plot=PLOT,
        foot=AXIS + below,
        title=str(claim.get("statement") or "") if title is None else title,
        notes=_notes(pooled),
    )
    axis = axis_label(pooled.measure, pooled.studies)
    return _Plan(layout, tuple(marks), scale, limits_of(marks, scale), axis, words)


def _results(pooled: PooledCensored, scale: Scale) -> tuple[list[Line], list[Mark]]:
    """Return one row per result that entered."""
    rows, reach = pooled.rows, critical_value(pooled.level, math.inf)
    lines, marks = [], []
    for i, (label, weight) in enumerate(
        zip(row_labels(pooled.frame), pooled.studies["weight"], strict=True)
    ):
        low, high = float(rows.low[i]), float(rows.high[i])
        if low == high:
            half = reach * math.sqrt(rows.v[i])
            mark = Mark("study", low, low - half, low + half, float(weight))
            words = f"{scale.text(low)} {scale.interval_text(mark.low, mark.high)}"
        else:
            mark = Mark("bounded", math.nan, low, high, float(weight))
            words = scale.bound_text(low, high)
        share = f"{weight:.1f}%" if math.isfinite(weight) else "–"
        lines.append(Line((fold(label, LABEL_WIDTH),), (words, share)))
        marks.append(mark)
    return lines, marks


def _mean(label: str, mean: PooledCensored, scale: Scale, *, first: bool) -> tuple[Line, Mark]:
    """Return the row of a mean: a diamond, or a line where there is no estimate."""
    ci = mean.ci
    if math.isnan(mean.estimate):
        words, kind = scale.bound_text(*ci), "limit"
    else:
        words = f"{scale.text(mean.estimate)} {scale.interval_text(*ci)}"
        kind = "pooled" if first else "without"
    line = Line((label,), (words, ""), bold=first, ruled=first)
    return line, Mark(kind, mean.estimate, ci.low, ci.high)


def _notes(pooled: PooledCensored) -> tuple[str, ...]:
    notes = []
    if pooled.k > 1 and math.isfinite(pooled.p_value):
        model = MODELS[pooled.model].capitalize()
        model += "" if pooled.model == "fixed" else f", {pooled.method}"
        effect = p_text(pooled.p_value)
        notes.append(f"{model}, {TESTS[pooled.test]}; test of no effect: {effect}.")
        if pooled.model == "random" and math.isfinite(pooled.tau2):
            between = f"τ² = {number(pooled.tau2)}, I² = {percent(pooled.i2 / 100)}"
            notes.append(f"Heterogeneity: {between}.")
    if pooled.k_bounded:
        bars = "Bars: results known only to lie in that range"
        if math.isfinite(pooled.worth) and pooled.k_exact:
            held = number(pooled.worth - pooled.k_exact, 1)
            bars += f"; together they tell as much as {held} exact ones"
        notes.append(f"{bars}.")
    told = ("Left out", "Every result", "No result", "One result", "The restricted")
    return (*notes, *(note for note in pooled.notes if note.startswith(told)))


def _draw(sheet: Sheet, plan: _Plan) -> None:
    ax, layout = sheet.ax, plan.layout
    ax.set_xlim(*plan.limits)
    sheet.axis(plan.scale.ticks(*plan.limits), plan.axis)
    if not math.isnan(plan.scale.null):
        ax.plot([plan.scale.null] * 2, [0.0, sum(layout.heights)], color=LINE, lw=0.8, zorder=1)
    heaviest = max((m.weight for m in plan.marks if math.isfinite(m.weight)), default=1.0) or 1.0
    for mark, y in zip(plan.marks, layout.centres, strict=True):
        if mark.kind == "bounded":
            _bar(sheet, mark, y)
        elif mark.kind == "pooled":
            ax.plot([mark.estimate] * 2, [0.0, y], color=ACCENT, lw=0.7, ls=(0, (3, 3)), zorder=1.5)
            draw_diamond(sheet, mark, y)
        elif mark.kind == "without":
            _open_diamond(sheet, mark, y)
        elif mark.kind == "limit":
            _limit(sheet, mark, y)
        else:
            draw_interval(sheet, mark, y)
            share = mark.weight / heaviest if math.isfinite(mark.weight) else 0.3
            side = (2.5 + 6.0 * math.sqrt(max(share, 0.0))) * sheet.shrink
            ax.plot([mark.estimate], [y], marker="s", ms=side, mfc=GREY, mec=INK, mew=0.5,
                    ls="none", zorder=3)  # fmt: skip
    sheet.texts()
    if plan.sides:
        sheet.text(plan.sides[0], 0.0, -AXIS + 4.0, colour=GREY)
        sheet.text(plan.sides[1], 0.0, -AXIS + 4.0, corner=(1.0, 0.0), ha="right", colour=GREY)


def _ends(sheet: Sheet, mark: Mark) -> tuple[float, float]:
    low, high = sheet.ax.get_xlim()
    return max(mark.low, low), min(mark.high, high)


def _bar(sheet: Sheet, mark: Mark, y: float) -> None:
    """Draw every value a bounded result may have, with a line at each end that is not open."""
    a, b = _ends(sheet, mark)
    sheet.ax.fill([a, b, b, a], [y - BAR, y - BAR, y + BAR, y + BAR], color=PALE, lw=0, zorder=1.2)
    for end, whole in ((a, mark.low), (b, mark.high)):
        if end == whole:
            sheet.ax.plot([end, end], [y - BAR, y + BAR], color=GREY, lw=CI_WIDTH * sheet.shrink,
                          zorder=2)  # fmt: skip
    draw_arrows(sheet, mark.low, mark.high, y, GREY)


def _open_diamond(sheet: Sheet, mark: Mark, y: float) -> None:
    a, b = _ends(sheet, mark)
    sheet.ax.fill([a, mark.estimate, b, mark.estimate], [y, y - 4.5, y, y + 4.5], facecolor="white",
                  edgecolor=ACCENT, lw=0.9 * sheet.shrink, zorder=3)  # fmt: skip
    draw_arrows(sheet, mark.low, mark.high, y, ACCENT)


def _limit(sheet: Sheet, mark: Mark, y: float) -> None:
    a, b = _ends(sheet, mark)
    sheet.ax.plot([a, b], [y, y], color=ACCENT, lw=2.2 * sheet.shrink, zorder=2)
    for end, whole in ((a, mark.low), (b, mark.high)):
        if end == whole:
            sheet.ax.plot([end, end], [y - 4.0, y + 4.0], color=ACCENT, lw=2.2 * sheet.shrink,
                          zorder=2)  # fmt: skip
    draw_arrows(sheet, mark.low, mark.high, y, ACCENT)

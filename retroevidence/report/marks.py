"""The marks of a forest plot: intervals, diamonds, arrows beyond the axis, and its reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from retroevidence.report.layout import Sheet, text_height
from retroevidence.report.scales import Scale
from retroevidence.report.style import ACCENT, GREY, INK, PALE, SMALL, fold, text_width

#: Width of the plot, height of the axis, and room around the words below it, in points.
PLOT = 190.0
AXIS, ROOM = 31.0, 5.0
#: Widths of lines, in points.
CI_WIDTH, PI_WIDTH, BOUND_WIDTH = 1.0, 2.2, 4.0


@dataclass(frozen=True)
class Mark:
    """What one row draws: a study, a bounded result, the pooled one or the prediction interval."""

    kind: str
    estimate: float
    low: float
    high: float
    weight: float = math.nan


def limits_of(marks: list[Mark], scale: Scale) -> tuple[float, float]:
    """Choose the axis: every estimate and the null are on it, a huge interval is not."""
    points = [mark.estimate for mark in marks] + [scale.null]
    points += [end for mark in marks if mark.kind == "bounded" for end in (mark.low, mark.high)]
    inside = [point for point in points if math.isfinite(point)] or [0.0]
    low, high = min(inside), max(inside)
    halves = [(mark.high - mark.low) / 2 for mark in marks if mark.kind == "study"]
    usual = float(np.median(halves)) if halves else 0.0
    allowed = max(0.6 * (high - low), 1.5 * usual) or 1.0
    ends = [end for mark in marks for end in (mark.low, mark.high) if math.isfinite(end)]
    bottom = max(min([low, *ends]), low - allowed)
    top = min(max([high, *ends]), high + allowed)
    pad = 0.06 * (top - bottom) or 0.5
    return bottom - pad, top + pad


def two_lines(words: str) -> str:
    """Break a phrase at the word that makes the two lines most alike.

    Examples
    --------
    >>> two_lines("lower with backward walking").split(chr(10))
    ['lower with', 'backward walking']
    """
    parts = words.split()
    if len(parts) < 2:
        return words
    cuts = [(" ".join(parts[:i]), " ".join(parts[i:])) for i in range(1, len(parts))]
    return "\n".join(min(cuts, key=lambda cut: max(map(len, cut))))


def under_axis(left: str, right: str) -> tuple[tuple[str, str], float]:
    """Break the words on both sides of the null line so that they stay apart.

    Parameters
    ----------
    left, right : str
        What the sides mean; each has half of the plot.

    Returns
    -------
    words : tuple of str
        With arrows and line breaks.
    height : float
        What both need, in points.

    Examples
    --------
    >>> words, height = under_axis("lower with backward walking", "higher with backward walking")
    >>> words[0].split(chr(10)), height
    (['← lower with', 'backward walking'], 22.5)
    """
    half = PLOT / 2 - ROOM
    words = (f"← {two_lines(left)}", f"{two_lines(right)} →")
    if max(text_width(side, SMALL) for side in words) > half:
        words = (fold(f"← {left}", half, SMALL), fold(f"{right} →", half, SMALL))
    return words, max(text_height(side, SMALL) for side in words) + ROOM


def draw_diamond(sheet: Sheet, mark: Mark, y: float) -> None:
    """Draw a pooled result."""
    low, high = (mark.low, mark.high) if math.isfinite(mark.low) else (mark.estimate,) * 2
    sheet.ax.fill(
        [low, mark.estimate, high, mark.estimate],
        [y, y - 5.0, y, y + 5.0],
        facecolor=ACCENT,
        edgecolor=ACCENT,
        lw=0.5,
        zorder=3,
    )
    draw_arrows(sheet, low, high, y, ACCENT)


def draw_interval(sheet: Sheet, mark: Mark, y: float) -> None:
    """Draw the interval of a study, of a bounded result or of a new study."""
    colour, width = {
        "prediction": (ACCENT, PI_WIDTH),
        "bounded": (PALE, BOUND_WIDTH),
        "study": (INK, CI_WIDTH),
    }[mark.kind]
    low, high = sheet.ax.get_xlim()
    a, b = max(mark.low, low), min(mark.high, high)
    sheet.ax.plot(
        [a, b], [y, y], color=colour, lw=width * sheet.shrink, solid_capstyle="butt", zorder=2
    )
    for end, whole in ((a, mark.low), (b, mark.high)):
        if end == whole:
            sheet.ax.plot([end, end], [y - 2.2, y + 2.2], color=GREY if colour == PALE else colour,
                          lw=CI_WIDTH * sheet.shrink, zorder=2)  # fmt: skip
    draw_arrows(sheet, mark.low, mark.high, y, GREY if colour == PALE else colour)


def draw_arrows(sheet: Sheet, a: float, b: float, y: float, colour: str) -> None:
    """Mark an interval that runs beyond the axis."""
    low, high = sheet.ax.get_xlim()
    for beyond, place, marker in ((a < low, low, "<"), (b > high, high, ">")):
        if beyond:
            sheet.ax.plot([place], [y], marker=marker, ms=5 * sheet.shrink, mfc=colour, mec=colour,
                          ls="none", clip_on=False, zorder=4)  # fmt: skip

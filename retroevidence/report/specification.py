"""The specification curve: every analysis of a claim in order of its answer, and its choices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retroevidence._show import percent
from retroevidence.errors import RetroEvidenceError
from retroevidence.report.names import axis_label, study_label
from retroevidence.report.scales import scale_of
from retroevidence.report.style import (
    ACCENT,
    BODY,
    GREY,
    INK,
    LINE,
    PALE,
    SMALL,
    blank,
    fold,
    font,
    settings,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from retroevidence.claims.multiverse import Multiverse

Floats = NDArray[np.float64]

#: Most columns drawn; with more analyses each column stands for several neighbours.
COLUMNS = 320
#: Sizes in points: width, height of the curve, height of a line of the matrix, of a gap.
WIDTH, CURVE, ROW, GAP = 468.0, 190.0, 10.0, 4.0
TOP, BOTTOM, BETWEEN = 34.0, 10.0, 12.0

#: Choices in words, in the order of the matrix.
WORDS = {
    "measure": "Measure",
    "method": "tau²",
    "test": "Interval",
    "rows": "Rows used, up to",
    "doubtful": "Doubtful rows",
    "indirect": "Indirect rows",
    "comparator": "Comparison",
    "r": "Assumed r",
    "left_out": "Left out",
}
LEVEL_WORDS = {"adhoc": "modified KH", "knha": "Knapp-Hartung", "vs_forward": "vs forward"}


def specification_curve(multiverse: Multiverse, *, ax: Axes | None = None) -> Axes:
    """Draw all analyses of a multiverse, sorted by estimate, above the choices each one makes.

    Parameters
    ----------
    multiverse : Multiverse
        From :func:`retroevidence.claims.multiverse.multiverse`.
    ax : matplotlib Axes, optional
        Where to draw: its area is divided between the curve and the choices. By default a new
        figure that is as tall as the choices need.

    Returns
    -------
    matplotlib Axes
        The curve: x is the rank of the analysis, y its estimate on the scale it was pooled on. The
        choices are other Axes of the same figure.

    Raises
    ------
    RetroEvidenceError
        If the multiverse holds no analysis.

    Notes
    -----
    Simonsohn, Simmons & Nelson (2020, doi 10.1038/s41562-020-0912-z). Dots are estimates, vertical
    lines 95% intervals, darker where the interval does not hold "no effect"; the large dot and the
    dashed line are the headline. A mark below says that the analysis can be had with that level.
    Beyond 320 analyses a column stands for neighbours: dot and line are those of the middle one,
    and the mark is the darker, the more of them use the level.

    Examples
    --------
    >>> import retroevidence as rv
    >>> from retroevidence.claims.multiverse import multiverse
    >>> found = multiverse("knee_pain", method="REML", result="counted")
    >>> ax = specification_curve(found)
    >>> len(ax.get_figure().axes)
    2
    """
    if not multiverse.distinct:
        raise RetroEvidenceError(
            f"the multiverse of {multiverse.claim_id} holds no analysis, so there is nothing to "
            "draw; ask for a claim with at least two sized rows."
        )
    order = np.argsort(multiverse.table["estimate"].to_numpy(float), kind="stable")
    columns = np.array_split(order, min(COLUMNS, len(order)))
    lines = _lines(multiverse)
    with settings():
        matrix_height = sum(ROW if line.level is not None else GAP for line in lines)
        if ax is None:
            height = TOP + CURVE + BETWEEN + matrix_height + BOTTOM
            ax = blank((WIDTH, height))
            ax.set_position((0.0, BOTTOM / height, 1 - 12 / WIDTH, 1 - (BOTTOM + TOP) / height))
        figure = ax.get_figure(root=True)
        assert figure is not None
        x, y, wide, high = ax.get_position().bounds
        margin = _margin(lines) / (72.0 * float(figure.get_size_inches()[0]))
        x, wide = x + margin, wide - margin
        share = CURVE / (CURVE + BETWEEN + matrix_height)
        ax.set_position((x, y + high * (1 - share), wide, high * share))
        matrix = figure.add_axes(
            (x, y, wide, high * matrix_height / (CURVE + BETWEEN + matrix_height))
        )
        _curve(ax, multiverse, columns, -margin / wide)
        _matrix(matrix, multiverse, columns, lines, -margin / wide)
    return ax


class _Line:
    """One line of the matrix: a level, or the gap before the next choice."""

    def __init__(self, choice: str, level: Any, first: bool) -> None:
        self.choice, self.level, self.first = choice, level, first

    @property
    def text(self) -> str:
        if self.choice == "left_out" and self.level != "none":
            return study_label(str(self.level))
        return LEVEL_WORDS.get(str(self.level), str(self.level))

    @property
    def heading(self) -> str:
        if self.choice.startswith("result "):
            return f"Result of {study_label(self.choice.removeprefix('result '))}"
        return WORDS[self.choice]


def _lines(multiverse: Multiverse) -> list[_Line]:
    """Return the lines of the matrix from top to bottom: choices that vary, gaps between them."""
    results = [name for name in multiverse.choices if name.startswith("result ")]
    named = list(WORDS)
    names = [*named[:-1], *results, named[-1]]
    lines: list[_Line] = []
    for name in names:
        levels = multiverse.choices[name]
        if len(levels) < 2:
            continue
        if lines:
            lines.append(_Line(name, None, False))
        lines += [_Line(name, level, i == 0) for i, level in enumerate(levels)]
    return lines


def _margin(lines: list[_Line]) -> float:
    """Return the width in points that the labels left of the matrix need."""
    widest = 0.0
    for line in lines:
        if line.level is not None:
            needs = text_width(line.text, SMALL)
            if line.first:
                needs += 14.0 + text_width(line.heading, SMALL, bold=True)
            widest = max(widest, needs)
    # At least what the tick labels and the name of the y axis need.
    return max(64.0, widest + 14.0)


def _curve(ax: Axes, multiverse: Multiverse, columns: list[NDArray[np.intp]], left: float) -> None:
    """Draw estimates with intervals; `left` is where the figure starts, in widths of the curve."""
    from matplotlib.collections import LineCollection

    scale = scale_of(str(multiverse.claim["measure"]))
    table = multiverse.table
    middle = np.array([column[len(column) // 2] for column in columns])
    estimate, low, high = (
        table[name].to_numpy(float)[middle] for name in ("estimate", "ci_low", "ci_high")
    )
    bottom, top = _view(table["estimate"].to_numpy(float), low, high, multiverse, scale.null)
    x = np.arange(len(columns), dtype=float)
    clear = low * high > 0
    ax.set_xlim(-0.5 - len(x) * 0.01, len(x) - 0.5 + len(x) * 0.01)
    ax.set_ylim(bottom, top)
    width = min(3.0, max(0.5, 250.0 / len(x)))
    for which, colour in ((~clear, PALE), (clear, LINE)):
        segments = [
            [(i, a), (i, b)] for i, a, b in zip(x[which], low[which], high[which], strict=True)
        ]
        ax.add_collection(LineCollection(segments, colors=colour, linewidths=width, zorder=1))
    if multiverse.limits is not None:
        ax.axhspan(*multiverse.limits, facecolor=ACCENT, alpha=0.10, edgecolor="none", zorder=0)
    if not math.isnan(scale.null):
        ax.axhline(scale.null, color=INK, lw=0.8, zorder=2)
    size = min(4.0, max(1.2, 500.0 / len(x)))
    ax.plot(x, estimate, marker="o", ms=size, mfc=INK, mec="none", ls="none", zorder=3)
    if multiverse.headline is not None:
        at = next(i for i, column in enumerate(columns) if multiverse.headline in column)
        row = table.iloc[multiverse.headline]
        value, reach = float(row["estimate"]), [float(row["ci_low"]), float(row["ci_high"])]
        ax.axhline(value, color=ACCENT, lw=0.8, ls=(0, (4, 3)), zorder=2)
        ax.plot([at, at], reach, color=ACCENT, lw=1.8, zorder=4, solid_capstyle="butt")
        ax.plot([at], [value], marker="o", ms=6, mfc=ACCENT, mec="white", mew=0.8, zorder=5)
    for side in ("right", "top", "bottom"):
        ax.spines[side].set_visible(False)
    ax.spines["left"].set_color(LINE)
    marks = scale.ticks(bottom, top)
    ax.set_yticks([place for place, _ in marks], [text for _, text in marks])
    ax.set_xticks([])
    ax.tick_params(axis="y", color=LINE, length=3)
    for text in ax.get_yticklabels():
        text.set(**font(SMALL), color=INK)
    figure = ax.get_figure(root=True)
    assert figure is not None
    tall = 72.0 * float(figure.get_size_inches()[1]) * ax.get_position().height
    name = axis_label(str(multiverse.claim["measure"]), multiverse.table)
    ax.set_ylabel(fold(name, tall), color=INK, **font(BODY))
    head, detail = _title(multiverse, columns)
    # Two lines that start where the labels of the matrix do.
    for said, rise, colour, bold in ((head, 17.0, INK, True), (detail, 6.0, GREY, False)):
        ax.annotate(said, (left, 1.0), (6.0, rise), xycoords="axes fraction",
                    textcoords="offset points", annotation_clip=False, color=colour,
                    **font(SMALL, bold=bold))  # fmt: skip


def _view(
    estimates: Floats, low: Floats, high: Floats, multiverse: Multiverse, null: float
) -> tuple[float, float]:
    """Return limits of the y axis: all estimates, and intervals as far as they help.

    An interval from two studies can be a hundred times as long as the others, and would leave a
    flat line of the rest; what is longer than the view runs out of it.
    """
    must = [float(estimates.min()), float(estimates.max())]
    if not math.isnan(null):
        must.append(null)
    if multiverse.limits is not None:
        must += multiverse.limits
    bottom = min(*must, float(np.quantile(low, 0.10)))
    top = max(*must, float(np.quantile(high, 0.90)))
    if multiverse.headline is not None:
        row = multiverse.table.iloc[multiverse.headline]
        bottom, top = min(bottom, float(row["ci_low"])), max(top, float(row["ci_high"]))
    most = 2.5 * (max(must) - min(must))
    bottom, top = max(bottom, min(must) - most), min(top, max(must) + most)
    pad = 0.04 * (top - bottom)
    return bottom - pad, top + pad


def _title(multiverse: Multiverse, columns: list[NDArray[np.intp]]) -> tuple[str, str]:
    shares = multiverse.share_by_side
    of = "the claim" if multiverse.limits is None else "the claimed range"
    sides = ", ".join(
        f"{percent(share)} {side}"
        for side, share in zip(shares["side"], shares["share"], strict=True)
    )
    head = f"{multiverse.distinct} distinct analyses: {sides} {of}"
    detail = f"from {multiverse.combinations} combinations of choices, sorted by estimate"
    if len(columns) < multiverse.distinct:
        detail += f"; a column holds up to {max(map(len, columns))} neighbours"
    return head, detail


def _matrix(
    ax: Axes,
    multiverse: Multiverse,
    columns: list[NDArray[np.intp]],
    lines: list[_Line],
    left: float,
) -> None:
    """Draw which levels each column uses, and their names from `left` on."""
    from matplotlib.collections import PolyCollection

    heights = np.array([ROW if line.level is not None else GAP for line in lines])
    ends = np.cumsum(heights)
    total = float(ends[-1]) if len(ends) else 1.0
    n = len(columns)
    ax.set_xlim(-0.5 - n * 0.01, n - 0.5 + n * 0.01)
    ax.set_ylim(total, 0.0)
    ax.set_axis_off()
    used: dict[str, Any] = {line.choice: multiverse.uses(line.choice) for line in lines}
    boxes, colours = [], []
    for line, end in zip(lines, ends, strict=True):
        if line.level is None:
            continue
        marks = used[line.choice][line.level].to_numpy(float)
        share = np.array([marks[column].mean() for column in columns])
        middle = float(end) - ROW / 2
        ax.plot([-0.5, n - 0.5], [middle, middle], color=PALE, lw=0.4, zorder=0)
        for start, stop, value in _runs(np.round(share, 1)):
            if value > 0:
                boxes.append(
                    [
                        (start - 0.5, end - 8.2), (stop - 0.5, end - 8.2),
                        (stop - 0.5, end - 1.8), (start - 0.5, end - 1.8),
                    ]
                )  # fmt: skip
                colours.append(_shade(value))
        across = ax.get_yaxis_transform()
        ax.text(-0.008, middle, line.text, transform=across, ha="right",
                va="center", color=INK, **font(SMALL))  # fmt: skip
        if line.first:
            ax.annotate(line.heading, (left, middle), (6.0, 0.0), xycoords=across,
                        textcoords="offset points", annotation_clip=False, ha="left",
                        va="center", color=INK, **font(SMALL, bold=True))  # fmt: skip
    ax.add_collection(PolyCollection(boxes, facecolors=colours, edgecolors="none", zorder=1))


def _runs(values: Floats) -> list[tuple[int, int, float]]:
    """Return start, end and value of each stretch of equal values."""
    edges = np.flatnonzero(np.diff(values)) + 1
    starts, stops = np.concatenate([[0], edges]), np.concatenate([edges, [len(values)]])
    return [(int(a), int(b), float(values[a])) for a, b in zip(starts, stops, strict=True)]


def _shade(share: float) -> str:
    """Return a grey that is the darker, the larger the share."""
    # From a grey that is still seen on white to the grey of text.
    level = round(225 - share * (225 - 70))
    return f"#{level:02x}{level:02x}{level:02x}"

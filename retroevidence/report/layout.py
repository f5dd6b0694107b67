"""A figure that is a table with a plot in it: text columns left and right of one set of Axes.

Each text hangs on the Axes at a distance in points, and its width is measured before anything is
drawn, so nothing overlaps and nothing is cut off, whatever the labels are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from retroevidence.report.prose import typeset
from retroevidence.report.style import (
    BODY,
    GREY,
    HEAD,
    INK,
    LINE,
    POINTS,
    SMALL,
    fold,
    font,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 12.0
MARGIN = 8.0
LEADING = 1.25
LABEL_WIDTH = 210.0
# Room between the rule above a summary row and its text.
RULED = 5.0
# Headers end this far above the first row's rule.
HEADER_GAP = 4.0
# Screens round the width of letters to whole pixels; a line keeps this share of its room free.
SPARE = 0.06


@dataclass(frozen=True)
class Line:
    """One row: the texts of the columns left and right of the plot."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    bold: bool = False
    ruled: bool = False

    @property
    def lines(self) -> int:
        """Number of text lines of the tallest cell."""
        return max((text.count("\n") + 1 for text in (*self.left, *self.right)), default=1)


@dataclass(frozen=True)
class Layout:
    """Texts and sizes of a figure, in points, before a figure exists.

    Attributes
    ----------
    lines : tuple of Line
        Rows from top to bottom.
    left, right : tuple of str
        Headers of the columns on each side of the plot. The first left column is aligned to the
        left, all others to the right.
    plot : float
        Width of the plot.
    foot : float
        Height below the rows that the axis and its labels need.
    title, notes
        Text above and lines of text below; folded to the width of the figure.
    """

    lines: tuple[Line, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]
    plot: float
    foot: float
    title: str = ""
    notes: tuple[str, ...] = ()

    def widths(self, side: str) -> tuple[float, ...]:
        """Return the width of each column of one side."""
        headers = self.left if side == "left" else self.right
        return tuple(
            max(
                text_width(header, SMALL, bold=True),
                *(text_width(getattr(line, side)[i], bold=line.bold) for line in self.lines),
            )
            for i, header in enumerate(headers)
        )

    @property
    def left_width(self) -> float:
        """Width of everything left of the plot."""
        return MARGIN + sum(width + GAP for width in self.widths("left"))

    @property
    def right_width(self) -> float:
        """Width of everything right of the plot."""
        return MARGIN + sum(width + GAP for width in self.widths("right"))

    @property
    def heights(self) -> tuple[float, ...]:
        """Height of each row; many rows stand closer."""
        step = 15.0 if len(self.lines) <= 25 else 13.0
        return tuple(
            step + (line.lines - 1) * BODY * LEADING + (RULED if line.ruled else 0.0)
            for line in self.lines
        )

    @property
    def centres(self) -> tuple[float, ...]:
        """Middle of each row's text, measured downward from the top of the first row."""
        return tuple(
            float(end) - (height - (RULED if line.ruled else 0.0)) / 2
            for end, height, line in zip(
                np.cumsum(self.heights), self.heights, self.lines, strict=True
            )
        )

    @property
    def width(self) -> float:
        """Width of the figure."""
        return self.left_width + self.plot + self.right_width

    @property
    def header(self) -> float:
        """Height of the column headers."""
        return max(text_height(header, SMALL) for header in (*self.left, *self.right))

    @property
    def folded_title(self) -> str:
        """The title in lines that fit."""
        return self._fold(self.title, HEAD, bold=True)

    @property
    def folded_notes(self) -> tuple[str, ...]:
        """The notes in lines that fit."""
        return tuple(self._fold(note, SMALL) for note in self.notes)

    @property
    def top(self) -> float:
        """Height of everything above the first row."""
        title = text_height(self.folded_title, HEAD) + 8.0 if self.title else 0.0
        return MARGIN + title + self.header + HEADER_GAP

    @property
    def bottom(self) -> float:
        """Height of everything below the last row."""
        notes = sum(text_height(note, SMALL) + 2.0 for note in self.folded_notes)
        return self.foot + notes + MARGIN

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        return self.width, self.top + sum(self.heights) + self.bottom

    def _fold(self, text: str, size: float, *, bold: bool = False) -> str:
        text = typeset(text)
        return fold(text, (1.0 - SPARE) * (self.width - 2 * MARGIN), size, bold=bold)


@dataclass(frozen=True)
class Sheet:
    """A layout put on Axes: y runs downward in points of the layout, x is the caller's."""

    ax: Axes
    layout: Layout
    shrink: float
    width: float

    def text(
        self,
        words: str,
        x: float,
        y: float,
        *,
        corner: tuple[float, float] = (0.0, 0.0),
        ha: str = "left",
        va: str = "top",
        size: float = SMALL,
        bold: bool = False,
        colour: str = INK,
    ) -> None:
        """Write words at a distance in points from a corner of the plot."""
        self._write(words, corner, "axes fraction", (x, y), ha, va, size, bold, colour)

    def cell(self, words: str, x: float, y: float, ha: str, *, left: bool, bold: bool) -> None:
        """Write words beside the plot at the height `y` of a row."""
        across = ("axes fraction", "data")
        self._write(
            words, (0.0 if left else 1.0, y), across, (x, 0.0), ha, "center_baseline", BODY, bold
        )

    def _write(
        self,
        words: str,
        xy: tuple[float, float],
        coords: str | tuple[str, str],
        offset: tuple[float, float],
        ha: str,
        va: str,
        size: float,
        bold: bool,
        colour: str = INK,
    ) -> None:
        if words:
            self.ax.annotate(
                words,
                xy=xy,
                xycoords=coords,
                xytext=(offset[0] * self.shrink, offset[1] * self.shrink),
                textcoords="offset points",
                ha=ha,
                va=va,
                color=colour,
                annotation_clip=False,
                linespacing=LEADING,
                **font(size * self.shrink, bold=bold),
            )

    def rule(self, y: float, colour: str) -> None:
        """Draw a line over the whole width of the figure at the height `y`."""
        ends = (
            (MARGIN - self.layout.left_width) * self.shrink / self.width,
            1.0 + (self.layout.right_width - MARGIN) * self.shrink / self.width,
        )
        self.ax.plot(
            ends,
            [y, y],
            color=colour,
            lw=0.7,
            clip_on=False,
            transform=self.ax.get_yaxis_transform(),
        )

    def axis(self, marks: list[tuple[float, str]], label: str) -> None:
        """Draw the x axis with its ticks and its name, and no other side of the frame."""
        ax = self.ax
        for side in ("left", "right", "top"):
            ax.spines[side].set_visible(False)
        ax.spines["bottom"].set_color(INK)
        ax.spines["bottom"].set_linewidth(0.8)
        ax.set_xticks([place for place, _ in marks], [text for _, text in marks])
        ax.set_yticks([])
        ax.tick_params(axis="x", length=3 * self.shrink, width=0.8, color=INK, pad=2 * self.shrink)
        for text in ax.get_xticklabels():
            text.set(**font(SMALL * self.shrink), color=INK)
        ax.set_xlabel(label, labelpad=2 * self.shrink, color=INK, **font(SMALL * self.shrink))

    def texts(self) -> None:
        """Write title, headers, all cells and the notes, and draw the rules."""
        layout = self.layout
        start = MARGIN - layout.left_width
        for side, headers in (("left", layout.left), ("right", layout.right)):
            is_left, corner = side == "left", (0.0 if side == "left" else 1.0, 1.0)
            x = start if is_left else GAP
            for i, (header, width) in enumerate(zip(headers, layout.widths(side), strict=True)):
                first = is_left and i == 0
                at, ha = (x, "left") if first else (x + width, "right")
                self.text(header, at, HEADER_GAP, corner=corner, ha=ha, va="bottom", bold=True)
                for line, y in zip(layout.lines, layout.centres, strict=True):
                    self.cell(getattr(line, side)[i], at, y, ha, left=is_left, bold=line.bold)
                x += width + GAP
        self.rule(0.0, INK)
        for line, y, height in zip(layout.lines, layout.centres, layout.heights, strict=True):
            if line.ruled:
                self.rule(y - (height + RULED) / 2 + 3.0, LINE)
        above = HEADER_GAP + layout.header + 6.0
        self.text(layout.folded_title, start, above, corner=(0.0, 1.0), va="bottom", size=HEAD,
                  bold=True)  # fmt: skip
        y = -layout.foot
        for note in layout.folded_notes:
            self.text(note, start, y, colour=GREY)
            y -= text_height(note, SMALL) + 2.0


def text_height(text: str, size: float) -> float:
    """Return the height of a text in points, 0 when it is empty.

    Examples
    --------
    >>> text_height("one line", 8.0), text_height("", 8.0)
    (10.0, 0.0)
    """
    return (text.count("\n") + 1) * size * LEADING if text else 0.0


def spread(layout: Layout, ax: Axes | None) -> Sheet:
    """Put a layout on Axes, or on a new figure of its size.

    Given Axes lend their whole rectangle to the figure, text columns included; where that is too
    small, text and marks shrink in proportion. A new figure is made through pyplot, so that a
    notebook shows it.
    """
    width, height = layout.size
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(width / POINTS, height / POINTS), facecolor="white")
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    root = ax.get_figure(root=True)
    if root is None:
        raise ValueError("these Axes belong to no figure; give Axes of a figure, or none.")
    paper = [POINTS * float(side) for side in root.get_size_inches()]
    box = ax.get_position()
    room = (box.width * paper[0], box.height * paper[1])
    shrink = min(1.0, room[0] / width, room[1] / height)
    plot = room[0] - shrink * (layout.left_width + layout.right_width)
    rows = room[1] - shrink * (layout.top + layout.bottom)
    ax.set_position(
        (
            box.x0 + shrink * layout.left_width / paper[0],
            box.y0 + shrink * layout.bottom / paper[1],
            plot / paper[0],
            rows / paper[1],
        )
    )
    ax.set_facecolor("none")
    ax.set_ylim(sum(layout.heights), 0.0)
    ax.set_autoscale_on(False)
    return Sheet(ax, layout, shrink, plot)

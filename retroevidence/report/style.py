"""How every figure looks: one font, one accent, greys, and bytes that do not change.

Nothing here touches matplotlib's global settings, and importing this module does not import
matplotlib. Fonts, sizes and colours are given to each artist, so a reader's own style sheet
cannot change a figure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# DejaVu Sans ships with matplotlib, so text has the same width on every machine.
FONT = "DejaVu Sans"
INK = "#1a1a1a"
GREY = "#595959"
LINE = "#8c8c8c"
PALE = "#d9d9d9"
# One accent. It keeps a contrast above 6:1 on white and is told from the greys by every common
# form of colour blindness and, being darker, in a grey print too.
ACCENT = "#0b5394"

BODY, SMALL, HEAD = 8.0, 7.0, 9.0
POINTS = 72.0

_SETTINGS: Any = {
    "font.family": [FONT],
    "axes.unicode_minus": True,
    # Text stays text: it can be searched, read aloud and edited. DejaVu is wider than what a
    # reader's machine may put in its place, so nothing runs over when it does.
    "svg.fonttype": "none",
    "svg.hashsalt": "retroevidence",
    "path.simplify": False,
    "text.hinting": "no_hinting",
    "savefig.facecolor": "white",
    "savefig.edgecolor": "white",
    "savefig.transparent": False,
    "savefig.bbox": None,
}


@contextmanager
def settings() -> Iterator[None]:
    """Make a context in which matplotlib has this library's settings, and no longer after.

    A notebook's backend turns interactive drawing on when the first figure is made, which may be
    in here: that stays.
    """
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        yield
        interactive = mpl.rcParams["interactive"]
    mpl.rcParams["interactive"] = interactive


def font(size: float = BODY, *, bold: bool = False) -> dict[str, Any]:
    """Return the text properties every label uses."""
    return {"family": FONT, "size": size, "weight": "bold" if bold else "normal"}


def text_width(text: str, size: float = BODY, *, bold: bool = False) -> float:
    """Return the width of the widest line of a text, in points.

    Examples
    --------
    >>> text_width("") == 0.0, text_width("wide text") > text_width("text")
    (True, True)
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    properties = FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
    return max(
        (
            float(text_to_path.get_text_width_height_descent(line, properties, ismath=False)[0])
            for line in text.split("\n")
            if line
        ),
        default=0.0,
    )


def fold(text: str, width: float, size: float = BODY, *, bold: bool = False) -> str:
    """Break a text into lines that are at most `width` points wide.

    Examples
    --------
    >>> fold("one two three", 30.0).count(chr(10)) >= 1
    True
    """
    measured = text_width(text, size, bold=bold)
    if measured <= width or not text.strip():
        return text
    characters = max(1, int(len(text) * width / measured))
    while characters > 1:
        lines = "\n".join(wrap(text, characters, break_on_hyphens=False))
        if text_width(lines, size, bold=bold) <= width:
            return lines
        characters -= 1
    return "\n".join(wrap(text, 1))


def minus(text: str) -> str:
    """Write hyphens before numbers as the minus sign they stand for.

    Examples
    --------
    >>> minus("-0.71 [-1.11, -0.32]")
    '−0.71 [−1.11, −0.32]'
    """
    return text.replace("-", "−")


def blank(size: tuple[float, float]) -> Axes:
    """Return Axes that fill a new figure of `size` points and belong to no window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] / POINTS, size[1] / POINTS), facecolor="white")
    return figure.add_axes((0.0, 0.0, 1.0, 1.0))


def save(drawn: Axes | Figure, path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write a figure as ``path.svg`` and ``path.png``; the same figure gives the same bytes.

    Parameters
    ----------
    drawn : matplotlib Axes or Figure
        What to write. For Axes, their whole figure.
    path : path
        File name without suffix, in a directory that exists.

    Returns
    -------
    tuple of Path
        The SVG and the PNG file. No date and no program name is stored in either.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> ax = blank((72.0, 72.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     svg, png = save(ax, pathlib.Path(folder) / "empty")
    ...     print(svg.name, png.name)
    empty.svg empty.png
    """
    root = drawn.get_figure(root=True)
    if root is None:
        raise ValueError("these Axes belong to no figure; draw them on a figure first.")
    stem = Path(path)
    svg = stem.with_name(stem.name + ".svg")
    png = stem.with_name(stem.name + ".png")
    with settings():
        root.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        root.savefig(png, format="png", dpi=200, metadata={"Software": None})
    return svg, png

"""Numbers to text, and one card as text and as HTML: how every result shows itself.

Formatting never touches stored values: it reads plain numbers and returns strings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

MISSING = "not available"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with `digits` significant decimals, never as ``-0.000``.

    Examples
    --------
    >>> number(-0.71453), number(float("nan")), number(-0.0001), number(152.233)
    ('-0.715', 'not available', '0.000', '152.233')
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def percent(value: float | None, digits: int = 0) -> str:
    """Write a share in [0, 1] as a percentage.

    Examples
    --------
    >>> percent(0.9222)
    '92%'
    """
    return MISSING if value is None or math.isnan(value) else f"{100 * value:.{digits}f}%"


def confidence(level: float) -> str:
    """Write a level of confidence; a half percent is not rounded away.

    Examples
    --------
    >>> confidence(0.95), confidence(0.975)
    ('95%', '97.5%')
    """
    return f"{100 * level:g}%"


def p_text(p: float | None) -> str:
    """Write a p-value as journals do: three decimals, and ``< 0.001`` below that.

    Examples
    --------
    >>> p_text(0.0123), p_text(2e-7)
    ('p = 0.012', 'p < 0.001')
    """
    if p is None or math.isnan(p):
        return f"p {MISSING}"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def interval(low: float, high: float, digits: int = 3) -> str:
    """Write an interval with its limits.

    Examples
    --------
    >>> interval(-1.1084, -0.3206)
    '[-1.108, -0.321]'
    """
    if math.isnan(low) or math.isnan(high):
        return MISSING
    return f"[{number(low, digits)}, {number(high, digits)}]"


@dataclass(frozen=True)
class Card:
    """A title, pairs of label and value, an optional table and notes, shown as text or HTML.

    Examples
    --------
    >>> print(Card("Pooled MD, k = 2", [("estimate", "1.0"), ("I²", "0%")]).text())
    Pooled MD, k = 2
      estimate  1.0
      I²        0%
    """

    title: str
    pairs: Sequence[tuple[str, str]]
    table: pd.DataFrame | None = None
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return the card as plain text."""
        width = max((len(label) for label, _ in self.pairs), default=0)
        lines = [self.title]
        lines += [f"  {label.ljust(width)}  {value}".rstrip() for label, value in self.pairs]
        if self.table is not None:
            rows = self.table.to_string(index=False, na_rep="").splitlines()
            lines += ["", *(f"  {row}".rstrip() for row in rows), ""]
        lines += [f"  - {note}" for note in self.notes]
        return "\n".join(lines)

    def html(self) -> str:
        """Return the card as a self-contained HTML fragment that keeps the reader's colours."""
        look = "text-align:left;padding:0 1em 0 0;vertical-align:top"
        head, cell = f'style="{look};white-space:nowrap"', f'style="{look}"'
        rows = "".join(
            f"<tr><th {head}>{escape(label)}</th><td {cell}>{escape(value)}</td></tr>"
            for label, value in self.pairs
        )
        table = ""
        if self.table is not None:
            # pandas would otherwise cut long cells for readers who have not set this.
            with pd.option_context("display.max_colwidth", None):
                table = self.table.to_html(index=False, border=0, na_rep="", justify="left")
        items = "".join(f"<li><small>{escape(note)}</small></li>" for note in self.notes)
        notes = f"<ul>{items}</ul>" if items else ""
        return (
            f"<div><strong>{escape(self.title)}</strong><table>{rows}</table>{table}{notes}</div>"
        )


class Carded:
    """What shows itself by its card, in a terminal and in a notebook.

    A dataclass that inherits from this says ``repr=False``, or it would write a repr of its own.

    Examples
    --------
    >>> class Sum(Carded):
    ...     def _card(self) -> Card:
    ...         return Card("Sum", [("of two", "3")])
    >>> Sum()
    Sum
      of two  3
    """

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return the card as text."""
        return self._card().text()

    def _repr_html_(self) -> str:
        """Return the card as HTML."""
        return self._card().html()

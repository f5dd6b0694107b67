"""A table with its caption: exact numbers as CSV, and readable text as Markdown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from retroevidence.report.cells import words


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Attributes
    ----------
    name : str
        File name without suffix.
    caption : str
        One sentence: what a row is, and what the numbers are.
    frame : DataFrame
        The numbers as they were computed.
    readable : DataFrame
        The same rows as text, with fewer columns, for Markdown and the page.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    readable: pd.DataFrame

    def csv(self) -> str:
        """Return the table as CSV; each number has the digits that give it back exactly.

        Examples
        --------
        >>> frame = pd.DataFrame({"x": [0.1 + 0.2, float("nan")]})
        >>> print(Table("t", "c", frame, frame).csv().replace(chr(10), "|"))
        x|0.30000000000000004|""|
        """
        return self.frame.to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        r"""Return the caption and the readable table as GitHub Markdown.

        Examples
        --------
        >>> frame = pd.DataFrame({"a": ["x|y"]})
        >>> print(Table("t", "What it is.", frame, frame).markdown())
        What it is.
        <BLANKLINE>
        | a    |
        |:-----|
        | x\|y |
        """
        from tabulate import tabulate

        cells = [[_plain(cell) for cell in row] for row in self.readable.itertuples(index=False)]
        body = tabulate(
            cells,
            headers=[str(column) for column in self.readable.columns],
            tablefmt="pipe",
            disable_numparse=True,
            colalign=["left"] * len(self.readable.columns) if cells else None,
        )
        return f"{self.caption}\n\n{body}\n"

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write ``name.csv`` and ``name.md`` into an existing directory."""
        for suffix, text in ((".csv", self.csv()), (".md", self.markdown())):
            (Path(folder) / f"{self.name}{suffix}").write_bytes(text.encode("utf-8"))


def plain_table(name: str, caption: str, frame: pd.DataFrame) -> Table:
    """Return a table whose readable form has the same columns.

    Examples
    --------
    >>> plain_table("x", "c", pd.DataFrame({"a": [1.5]})).readable.loc[0, "a"]
    '1.5'
    """
    readable = pd.DataFrame({str(c): [words(v) for v in frame[c]] for c in frame.columns})
    return Table(name, caption, frame, readable)


def columns(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return these columns in this order; one that is not there is empty.

    Examples
    --------
    >>> columns(pd.DataFrame({"b": [1], "c": [2]}), ["a", "b"]).columns.tolist()
    ['a', 'b']
    """
    return frame.reindex(columns=list(names))


def _plain(cell: object) -> str:
    """Return a cell's text on one line, with what Markdown would read as a column escaped."""
    return " ".join(words(cell).split()).replace("|", "\\|")

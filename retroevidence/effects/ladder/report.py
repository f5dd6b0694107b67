"""What the rows of one comparison print: its arms, its direction, its p-value, its people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.effects.ladder.statement import NAN

#: A row of a table by column.
Row = dict[str, Any]

#: Words of `direction` and their sign; a null result has the sign 0 and no side.
SIGNS = {"higher": 1, "lower": -1, "none": 0}

#: Words of `favours` and the sign of the benefit.
BENEFITS = {"experimental": 1, "comparator": -1, "neither": 0}


@dataclass(frozen=True)
class Report:
    """What is printed about one comparison.

    Attributes
    ----------
    arms : tuple of two rows, or None
        The experimental arm and the comparator, where both are printed.
    contrasts : sequence of rows
        The rows that compare the two.
    sign : int or None
        1, -1, or 0 for no difference; None where nothing tells.
    p_value, p_op : float and str
        The p-value, missing where none is printed, and how it is printed.
    n1, n2 : float
        People on the experimental side and on the other, missing where they are not printed.
    """

    arms: tuple[Row, Row] | None
    contrasts: Sequence[Row]
    sign: int | None
    p_value: float
    p_op: str
    n1: float
    n2: float

    @property
    def people(self) -> float:
        """The people measured under both conditions, whose number may stand on either side."""
        return self.n2 if math.isnan(self.n1) else self.n1


def read_report(
    experimental: Sequence[Row],
    comparator: Sequence[Row],
    contrasts: Sequence[Row],
    *,
    lower_is_better: bool,
    toward_benefit: bool,
) -> Report:
    """Read what the rows of one comparison print.

    Parameters
    ----------
    experimental, comparator, contrasts : sequence of rows
        The rows that the comparison names; any may be empty.
    lower_is_better : bool
        The sense of the scale.
    toward_benefit : bool
        Where no direction of the numbers is printed, take it from the side the report favours.
    """
    arms = (experimental[0], comparator[0]) if experimental and comparator else None
    sign, p_value, p_op = _direction_and_p(contrasts)
    if sign is None and arms and all_known(arms, "mean"):
        sign = int(np.sign(float(arms[0]["mean"]) - float(arms[1]["mean"])))
    if sign is None and arms and counted(arms):
        shares = [float(arm["events"]) / float(arm["n"]) for arm in arms]
        sign = int(np.sign(shares[0] - shares[1]))
    if sign is None and toward_benefit:
        # Where benefit is asked, the side a report favours gives the sign that benefit has here.
        favoured = _agreed(contrasts, "favours", BENEFITS)
        sign = -favoured if favoured is not None and lower_is_better else favoured
    if arms and all_known(arms, "n"):
        n1, n2 = float(arms[0]["n"]), float(arms[1]["n"])
    else:
        n1, n2 = (first_number(contrasts, f"n_{side}") for side in ("experimental", "comparator"))
    return Report(arms, contrasts, sign, p_value, p_op, n1, n2)


def _direction_and_p(contrasts: Sequence[Row]) -> tuple[int | None, float, str]:
    """Return the sign, the p-value and its operator that the contrast rows report."""
    sign = _agreed(contrasts, "direction", SIGNS)
    p_value = first_number(contrasts, "p_value")
    p_op = first_text(contrasts, "p_op") if not math.isnan(p_value) else ""
    if p_value == 0:
        # Software prints 0.000 for anything below its third decimal: the bound is all it says.
        return sign, 0.001, "<"
    return sign, p_value, p_op


def _agreed(rows: Sequence[Row], column: str, meaning: dict[str, int]) -> int | None:
    """Return what the words of a column mean, if all that mean anything agree."""
    found = {meaning[row[column]] for row in rows if row[column] in meaning}
    return found.pop() if len(found) == 1 else None


def known(value: Any) -> bool:
    """Tell whether a cell holds anything.

    Examples
    --------
    >>> known(0.0), known(""), known(None), known(math.nan)
    (True, False, False, False)
    """
    return value is not None and not pd.isna(value) and value != ""


def all_known(rows: Sequence[Row], *columns: str) -> bool:
    """Tell whether these columns hold something in all rows."""
    return all(known(row[column]) for row in rows for column in columns)


def first_text(rows: Sequence[Row], column: str) -> str:
    """Return the first text in a column; empty if there is none."""
    return next((str(r[column]) for r in rows if known(r.get(column))), "")


def first_number(rows: Sequence[Row], column: str) -> float:
    """Return the first number in a column; NaN if there is none."""
    return next((float(r[column]) for r in rows if known(r.get(column))), NAN)


def counted(arms: Sequence[Row]) -> bool:
    """Tell whether all arms print their events; the column may lack in a table without counts."""
    return all(known(arm.get("events")) and known(arm["n"]) for arm in arms)

"""What is added to counts where a cell is zero, and which studies that leaves out.

The rules of `to`: "only0" adds to the studies that have a zero cell, except that a study without
any event (or with events only) says nothing about a ratio and is left out; "any0" adds to those
too; "all" adds to every study; "none" to no study. Nothing is ever added to a study that has no
zero cell unless "all" asks for it (Sweeting, Sutton & Lambert 2004, doi 10.1002/sim.1761, on what
additions do).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retroevidence.effects.formulas.checks import Floats
from retroevidence.errors import EffectError

Flags = NDArray[np.bool_]

ZERO_CELL_RULES = ("only0", "any0", "all", "none")


def for_ratio(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added to each cell of the 2x2 table; NaN where a double zero is left out.

    >>> for_ratio(np.array([0, 0, 4]), 20, np.array([0, 7, 7]), 20).tolist()
    [nan, 0.5, 0.0]
    """
    plus = amount(has_zero(a, n1, c, n2), add, to)
    return left_out(plus, has_double_zero(a, n1, c, n2), to)


def for_difference(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added to each cell; a risk difference of 0 - 0 stays defined.

    >>> for_difference(np.array([0, 4]), 20, np.array([0, 7]), 20).tolist()
    [0.5, 0.0]
    """
    return amount(has_zero(a, n1, c, n2), add, to)


def for_peto(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added for Peto's method, which needs nothing for a single zero.

    >>> for_peto(np.array([0, 0]), 20, np.array([0, 7]), 20).tolist()
    [nan, 0.0]
    """
    plus = amount(has_zero(a, n1, c, n2), add, "none" if to == "only0" else to)
    return left_out(plus, has_double_zero(a, n1, c, n2), to)


def for_defined(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added where the measure needs nothing: 0, except when "all" or "any0" asks.

    >>> for_defined(np.array([0, 4]), 20, np.array([0, 7]), 20).tolist()
    [0.0, 0.0]
    """
    return amount(has_zero(a, n1, c, n2), add, "none" if to == "only0" else to)


def for_proportion(x: Floats, n: Floats, add: float = 0.5, to: str = "only0") -> Floats:
    """Return what is added to events and to non-events of one group.

    >>> for_proportion(np.array([0, 3, 10]), 10).tolist()
    [0.5, 0.0, 0.5]
    """
    return amount((x == 0) | (x == n), add, to)


def for_rate_ratio(
    x1: Floats, t1: Floats, x2: Floats, t2: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added to both counts; NaN where neither group has an event.

    >>> for_rate_ratio(np.array([0, 3]), 9, np.array([0, 0]), 9).tolist()
    [nan, 0.5]
    """
    plus = amount((x1 == 0) | (x2 == 0), add, to)
    return left_out(plus, (x1 == 0) & (x2 == 0), to)


def for_rate_difference(
    x1: Floats, t1: Floats, x2: Floats, t2: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added to both counts; two rates of 0 have a difference.

    >>> for_rate_difference(np.array([0, 3]), 9, np.array([0, 2]), 9).tolist()
    [0.5, 0.0]
    """
    return amount((x1 == 0) | (x2 == 0), add, to)


def for_pairs_difference(
    a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added to each kind of matched pairs; no event at all gives a difference of 0.

    >>> for_pairs_difference(np.array([0, 0, 3]), np.array([2, 0, 0]), 1, 9).tolist()
    [0.0, 0.5, 0.0]
    """
    return amount(has_zero_margin(a, b, c, d), add, to)


def for_pairs_ratio(
    a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added to each kind of matched pairs; NaN where nobody has the event, or all.

    >>> for_pairs_ratio(np.array([0, 0, 3]), np.array([2, 0, 0]), np.array([0, 0, 1]), 9).tolist()
    [0.5, nan, 0.0]
    """
    plus = amount(has_zero_margin(a, b, c, d), add, to)
    return left_out(plus, ((a + b == 0) & (a + c == 0)) | ((c + d == 0) & (b + d == 0)), to)


def for_discordant_ratio(
    a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added to the pairs that differ; NaN where none does.

    >>> for_discordant_ratio(0, np.array([2, 0, 3]), np.array([0, 0, 1]), 9).tolist()
    [0.5, nan, 0.0]
    """
    return left_out(amount((b == 0) | (c == 0), add, to), (b == 0) & (c == 0), to)


def for_discordant_peto(
    a: Floats, b: Floats, c: Floats, d: Floats, add: float = 0.5, to: str = "only0"
) -> Floats:
    """Return what is added to the pairs that differ for Peto's method: nothing but by request.

    >>> for_discordant_peto(0, np.array([2, 0, 3]), np.array([0, 0, 1]), 9).tolist()
    [0.0, nan, 0.0]
    """
    plus = amount((b == 0) | (c == 0), add, "none" if to == "only0" else to)
    return left_out(plus, (b == 0) & (c == 0), to)


def has_zero_margin(a: Floats, b: Floats, c: Floats, d: Floats) -> Flags:
    """Tell where a condition has no event or only events, or where no matched pair differs.

    Margins, not the four kinds of pairs, enter the marginal measures: that no pair has the event
    twice is usual for rare events, and needs no correction.

    >>> has_zero_margin(np.array([0, 0, 5]), np.array([2, 0, 0]), np.array([1, 1, 0]), 9).tolist()
    [False, True, True]
    """
    margins = (a + b == 0) | (a + c == 0) | (c + d == 0) | (b + d == 0)
    return np.asarray(margins | (b + c == 0))


def has_zero(a: Floats, n1: Floats, c: Floats, n2: Floats) -> Flags:
    """Tell which 2x2 tables have a zero cell.

    >>> has_zero(np.array([0, 4]), 20, 7, 20).tolist()
    [True, False]
    """
    return np.asarray((a == 0) | (a == n1) | (c == 0) | (c == n2))


def has_double_zero(a: Floats, n1: Floats, c: Floats, n2: Floats) -> Flags:
    """Tell which 2x2 tables have no event at all, or events only.

    >>> has_double_zero(np.array([0, 20, 0]), 20, np.array([0, 20, 7]), 20).tolist()
    [True, True, False]
    """
    return np.asarray(((a == 0) & (c == 0)) | ((a == n1) & (c == n2)))


def amount(zero: Flags, add: float, to: str) -> Floats:
    """Return `add` for the studies that the rule `to` names, and 0 for the others.

    >>> amount(np.array([True, False]), 0.5, "all").tolist()
    [0.5, 0.5]
    """
    if to not in ZERO_CELL_RULES:
        raise EffectError(
            f"to={to!r} is not a rule for zero cells; choose one of: {', '.join(ZERO_CELL_RULES)}."
        )
    everywhere = np.full(np.shape(zero), float(add))
    if to == "none":
        return 0 * everywhere
    return everywhere if to == "all" else np.where(zero, everywhere, 0.0)


def left_out(plus: Floats, double: Flags, to: str) -> Floats:
    """Return `plus`, NaN for double zeros unless the rule `to` includes them.

    >>> left_out(np.array([0.5, 0.5]), np.array([True, False]), "only0").tolist()
    [nan, 0.5]
    """
    return np.where(double, np.nan, plus) if to == "only0" else plus

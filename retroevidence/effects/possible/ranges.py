"""The range a result can have when each printed number may be anything that rounds to it.

A printed result agrees with a calculation when it meets that range. A result outside it says that
the numbers do not come from this calculation, not why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from retroevidence.effects.possible.printed import printed
from retroevidence.errors import EffectError


@dataclass(frozen=True)
class Range:
    """The values a result can have, given the rounding of what it is computed from."""

    low: float
    high: float

    def meets(self, other: Range) -> bool:
        """Tell whether the two ranges share a value; a hair of floating point is forgiven."""
        hair = 1e-9 * max(1.0, abs(self.low), abs(self.high))
        return self.low <= other.high + hair and other.low <= self.high + hair


def rounding(text: str) -> Range:
    """Return the values that round to a printed number.

    Parameters
    ----------
    text : str
        The number as printed.

    Returns
    -------
    Range

    Raises
    ------
    EffectError
        If the text is no number.

    Examples
    --------
    >>> rounding("0.10")
    Range(low=0.095, high=0.105)
    """
    given = printed(text)
    return Range(float(given.low), float(given.high))


def hull(values: Iterable[float]) -> Range:
    """Return the range from the least to the largest of some values.

    Examples
    --------
    >>> hull([0.2, 0.1, 0.4])
    Range(low=0.1, high=0.4)
    """
    found = list(values)
    return Range(min(found), max(found))


def size_of(value: Range) -> Range:
    """Return the range of the absolute value.

    Examples
    --------
    >>> size_of(Range(-0.2, 0.1)), size_of(Range(-0.4, -0.3))
    (Range(low=0.0, high=0.2), Range(low=0.3, high=0.4))
    """
    ends = sorted((abs(value.low), abs(value.high)))
    return Range(0.0 if value.low <= 0 <= value.high else ends[0], ends[1])


def sd_ends(sd: str) -> tuple[float, float]:
    """Return the ends between which a printed SD lies, none below 0.

    Raises
    ------
    EffectError
        If the SD is negative or no number.

    Examples
    --------
    >>> sd_ends("0.0"), sd_ends("1.2")
    ((0.0, 0.05), (1.15, 1.25))
    """
    given = printed(sd)
    if given.value < 0:
        raise EffectError(f"the SD is {sd}; it cannot be negative.")
    return max(0.0, float(given.low)), float(given.high)


def ratio(size: float, spread: float) -> float:
    """Divide what is not negative; nothing over nothing is 0, something over nothing infinite.

    Examples
    --------
    >>> ratio(3.0, 2.0), ratio(3.0, 0.0), ratio(0.0, 0.0)
    (1.5, inf, 0.0)
    """
    if spread > 0:
        return size / spread
    return math.inf if size > 0 else 0.0


def check_people(*sizes: int) -> None:
    """Raise if a group has fewer than the 2 people that a spread takes.

    Examples
    --------
    >>> check_people(13, 1)
    Traceback (most recent call last):
    ...
    retroevidence.errors.EffectError: a group has 1 people; this calculation takes at least 2.
    """
    if min(sizes) < 2:
        raise EffectError(f"a group has {min(sizes)} people; this calculation takes at least 2.")

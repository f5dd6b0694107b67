"""Printed numbers: what a rounded number can stand for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from retroevidence.errors import EffectError


@dataclass(frozen=True)
class Printed:
    """A number as printed, and the values that round to it.

    The trailing zeros of the text count: "3.50" says more than "3.5". Both ends belong to the
    interval, because a value that ends in 5 is rounded up by one rule and to even by another.

    Attributes
    ----------
    text : str
        The number as printed.
    value : Fraction
        Its exact value.
    decimals : int
        Digits after the point; 0 for a whole number.
    low, high : Fraction
        Half a unit of the last digit to either side.

    Examples
    --------
    >>> mean = printed("3.50")
    >>> mean.decimals, float(mean.low), float(mean.high)
    (2, 3.495, 3.505)
    """

    text: str
    value: Fraction
    decimals: int
    low: Fraction
    high: Fraction


def printed(text: str) -> Printed:
    """Read a printed number with the precision its digits show.

    Parameters
    ----------
    text : str
        A decimal number; ``1.9e-06`` is read as 0.0000019.

    Returns
    -------
    Printed

    Raises
    ------
    EffectError
        If the text is no finite number.

    Examples
    --------
    >>> float(printed("48").low), float(printed("-0.41").high)
    (47.5, -0.405)
    """
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise EffectError(f"{text!r} is no number; give it as printed, for example '3.50'.")
    exponent = int(number.as_tuple().exponent)
    half = Fraction(10) ** min(exponent, 0) / 2
    value = Fraction(number)
    return Printed(text.strip(), value, max(0, -exponent), value - half, value + half)

"""Statements about an effect: a size with its variance, limits, or the reason there is neither."""

from __future__ import annotations

import math
from dataclasses import dataclass

NAN = float("nan")


@dataclass(frozen=True)
class Statement:
    """What one report says about one effect.

    Attributes
    ----------
    yi, vi : float
        Effect and sampling variance, in units of the measure.
    lower, upper : float
        Limits of the effect where no size can be had.
    basis : {"reported", "derived", "bounded", "unusable"}
        The rung of the ladder.
    how : str
        What it was had from, with the formula's source; the reason where nothing was.
    """

    yi: float = NAN
    vi: float = NAN
    lower: float = NAN
    upper: float = NAN
    basis: str = "unusable"
    how: str = ""

    def turned(self, why: str) -> Statement:
        """Return the same statement about the effect in the other direction.

        Examples
        --------
        >>> said = Statement(lower=0.2, upper=0.9, how="p < 0.05").turned("sign turned")
        >>> said.lower, said.upper, said.how
        (-0.9, -0.2, 'p < 0.05; sign turned')
        """
        return Statement(
            -self.yi, self.vi, -self.upper, -self.lower, self.basis, f"{self.how}; {why}"
        )


def with_sign(sign: int, size: float, vi: float, how: str) -> Statement:
    """Give a size its direction; a null result keeps both signs open.

    Examples
    --------
    >>> with_sign(-1, 0.4, 0.1, "reported t").yi
    -0.4
    >>> found = with_sign(0, 0.4, 0.1, "reported t")
    >>> found.lower, found.upper, found.basis
    (-0.4, 0.4, 'bounded')
    """
    if sign == 0:
        how += "; reported as no difference, so the sign is open"
        return Statement(vi=vi, lower=-size, upper=size, basis="bounded", how=how)
    return Statement(sign * size, vi, basis="derived", how=how)


def within_limit(sign: int | None, p_op: str, limit: float, vi: float, how: str) -> Statement:
    """Say between which values an effect must lie for its p to be as bounded.

    Parameters
    ----------
    sign : int or None
        The direction that the report gives, if any.
    p_op : {"<", ">"}
        Whether p is below or above its bound.
    limit, vi : float
        Size of an effect whose p is the bound itself, and its variance.
    how : str
        What the limit was had from.

    Examples
    --------
    >>> within_limit(1, "<", 0.6, 0.1, "p < 0.05").lower
    0.6
    >>> within_limit(None, ">", 0.6, 0.1, "p > 0.05").lower
    -0.6
    """
    if p_op == ">":
        low, high = (0.0 if sign == 1 else -limit), (0.0 if sign == -1 else limit)
        return Statement(vi=vi, lower=low, upper=high, basis="bounded", how=how)
    if sign == 1:
        return Statement(vi=vi, lower=limit, upper=math.inf, basis="bounded", how=how)
    if sign == -1:
        return Statement(vi=vi, lower=-math.inf, upper=-limit, basis="bounded", how=how)
    return Statement(how=f"{how}, but the direction is not reported")


def without_size(sign: int | None, p_value: float, p_op: str, lacking: str) -> Statement:
    """Say what is left when no size can be had: a p-value, a direction, or nothing.

    Parameters
    ----------
    sign : int or None
        The direction that the report gives, if any; 0 for no difference.
    p_value, p_op : float and str
        The p-value, missing where none is printed, and how it is printed.
    lacking : str
        What a size would take, for ``how``.

    Examples
    --------
    >>> without_size(-1, 0.03, "=", "; n is not printed").how
    'p = 0.03; n is not printed [bushman1996]'
    >>> without_size(None, math.nan, "", "").how
    'neither a size nor a direction is reported'
    """
    known_p = not math.isnan(p_value)
    what = f"p {p_op} {p_value:g}" if known_p else "a direction without a p-value"
    if sign is None and not (known_p and p_op == ">"):
        if known_p:
            return Statement(how=f"{what}, but the direction is not reported")
        return Statement(how="neither a size nor a direction is reported")
    if sign == 0 and not known_p:
        what = "reported as no difference, without a p-value"
    side = {1: (0.0, math.inf), -1: (-math.inf, 0.0)}.get(sign or 0, (-math.inf, math.inf))
    how = f"{what}{lacking} [bushman1996]"
    return Statement(lower=side[0], upper=side[1], basis="bounded", how=how)

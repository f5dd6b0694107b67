"""Can a mean, an SD or a percentage come from whole numbers? GRIM and GRIMMER.

Means of whole numbers are fractions with the number of people below the line, so only some
decimals can occur; sums of squares of whole numbers are whole and share the parity of the sum, so
only some SDs can occur. Everything is exact arithmetic on the interval of values that round to
what is printed.

References
----------
.. [1] Brown NJL, Heathers JAJ (2017). The GRIM test. Social Psychological and Personality Science
   8, 363-369. doi 10.1177/1948550616673876
.. [2] Anaya J (2016). The GRIMMER test. PeerJ Preprints 4, e2400v1.
.. [3] Allard A (2018). Analytic-GRIMMER. aurelienallard.netlify.app
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from retroevidence.effects.possible.printed import Printed, printed
from retroevidence.errors import EffectError


@dataclass(frozen=True)
class Grim:
    """What the GRIM test finds.

    Attributes
    ----------
    possible : bool
        Whether some whole-number sum gives the printed mean.
    testable : bool
        Whether any mean with so many decimals could fail: not when people times items reach
        10 to the power of the decimals.
    sums : range
        The whole-number sums that give the printed mean; empty if none does.
    below, above : float
        The nearest means that can occur.
    """

    possible: bool
    testable: bool
    sums: range
    below: float
    above: float


@dataclass(frozen=True)
class Grimmer:
    """What the GRIMMER test finds.

    Attributes
    ----------
    possible : bool
        Whether mean, SD and n can belong together as far as the conditions tell.
    testable : bool
        Whether some SD with so many decimals could fail.
    reason : {"", "mean", "no sum of squares", "parity", "spread"}
        The first condition that fails for every sum: no whole-number sum; no whole-number sum of
        squares in reach; none of the parity of the sum; a spread that whole numbers (within the
        scale) cannot have.
    below, above : float
        The nearest SDs that can occur with the sums of the printed mean; missing without a sum.
    """

    possible: bool
    testable: bool
    reason: str
    below: float
    above: float


def grim(mean: str, n: int, items: int = 1) -> Grim:
    """Tell whether a printed mean can be the mean of whole numbers.

    The sum of n people's whole-number scores is a whole number S, so the mean is S / n; a score
    that is itself the average of L whole-number items makes it S / (n L).

    Parameters
    ----------
    mean : str
        Mean as printed, with its trailing zeros.
    n : int
        People, at least 1.
    items : int
        Whole-number items averaged into a score; 1 for a single item and for a sum score.

    Returns
    -------
    Grim

    Raises
    ------
    EffectError
        If n or items is below 1, or the mean is no number.

    Notes
    -----
    Formula: Brown and Heathers (2017). A value that ends in 5 may be rounded either way.

    Examples
    --------
    Twenty rolls of a die cannot average 3.48.

    >>> found = grim("3.48", 20)
    >>> found.possible, found.below, found.above
    (False, 3.45, 3.5)
    """
    size = _size(n, items)
    given = printed(mean)
    sums = _whole(given.low * size, given.high * size)
    exact = given.value * size
    return Grim(
        possible=len(sums) > 0,
        testable=size < 10**given.decimals,
        sums=sums,
        below=float(Fraction(floor(exact), size)),
        above=float(Fraction(ceil(exact), size)),
    )


def grimmer(
    mean: str,
    sd: str,
    n: int,
    items: int = 1,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Grimmer:
    """Tell whether a printed SD can belong to n whole numbers with the printed mean.

    With sum S and sum of squares Q of the whole numbers, ``(n - 1) SD² = Q - S² / n``. For every S
    that gives the mean, some whole Q must give the SD, be even when S is even and odd when S is
    odd (x and x² share their parity), and lie between the smallest spread that S allows (values
    one apart) and, within a scale, the largest (values at its ends).

    Parameters
    ----------
    mean, sd : str
        As printed; the SD with n - 1 below the line.
    n : int
        People, at least 2.
    items : int
        Whole-number items averaged into a score.
    low, high : float, optional
        Ends of the scale, both or neither.

    Returns
    -------
    Grimmer

    Raises
    ------
    EffectError
        If n is below 2, items below 1, only one end is given, or a number cannot be read.

    Notes
    -----
    Anaya (2016) found the pattern by simulation, Allard (2018) the parity condition. Here all
    sums that round to the mean are tried, not the nearest alone, and the SD is an interval. The
    conditions are necessary: what fails cannot occur, what passes nearly always can.

    Examples
    --------
    >>> grimmer("5.23", "2.55", 35).reason
    'parity'
    >>> grimmer("2.68", "2.59", 34).possible
    True
    """
    if n < 2:
        raise EffectError(f"n is {n}; an SD takes at least 2 people.")
    if (low is None) != (high is None):
        raise EffectError("low and high belong together; give both ends of the scale or neither.")
    found = grim(mean, n, items)
    spread = printed(sd)
    if spread.value < 0:
        raise EffectError(f"the SD is {sd}; it cannot be negative.")
    least = max(spread.low, Fraction(0)) ** 2 * (n - 1) * items**2
    most = spread.high**2 * (n - 1) * items**2
    testable = found.testable or most - least < 2
    if not found.possible:
        return Grimmer(False, testable, "mean", float("nan"), float("nan"))

    reasons = []
    for total in found.sums:
        mean_square = Fraction(total**2, n)
        squares = _whole(least + mean_square, most + mean_square)
        fitting = [q for q in squares if (q - total) % 2 == 0]
        smallest, largest = _spread_limits(total, n, items, low, high)
        if not squares:
            reasons.append("no sum of squares")
        elif not fitting:
            reasons.append("parity")
        elif not any(_between(smallest, q - mean_square, largest) for q in fitting):
            reasons.append("spread")
        else:
            return Grimmer(True, testable, "", *_nearest(spread, found.sums, n, items))
    # The condition that came furthest says most about what is amiss.
    order = ["no sum of squares", "parity", "spread"]
    reason = max(reasons, key=order.index)
    return Grimmer(False, testable, reason, *_nearest(spread, found.sums, n, items))


def percentage(percent: str, n: int) -> Grim:
    """Tell whether a printed percentage can be a share of n people.

    GRIM for counts: ``100 x / n`` with x from 0 to n must round to what is printed.

    Parameters
    ----------
    percent : str
        Percentage as printed.
    n : int
        People, at least 1.

    Returns
    -------
    Grim
        ``sums`` holds the counts that give the percentage; ``below`` and ``above`` are the nearest
        percentages that can occur.

    Raises
    ------
    EffectError
        If n is below 1 or the percentage is no number.

    Examples
    --------
    >>> list(percentage("28.6", 7).sums), percentage("30", 7).possible
    ([2], False)
    """
    size = _size(n, 1)
    given = printed(percent)
    counts = _whole(given.low * size / 100, given.high * size / 100)
    inside = range(max(counts.start, 0), min(counts.stop, n + 1))
    exact = min(max(given.value * size / 100, Fraction(0)), Fraction(n))
    return Grim(
        possible=len(inside) > 0,
        testable=size < 100 * 10**given.decimals or not 0 <= given.value <= 100,
        sums=inside,
        below=float(Fraction(100 * floor(exact), size)),
        above=float(Fraction(100 * ceil(exact), size)),
    )


def _size(n: int, items: int) -> int:
    if n < 1 or items < 1:
        raise EffectError(f"n is {n} and items is {items}; both must be at least 1.")
    return n * items


def _whole(low: Fraction, high: Fraction) -> range:
    """Return the whole numbers from low to high, both included."""
    return range(ceil(low), floor(high) + 1)


def _spread_limits(
    total: int, n: int, items: int, low: float | None, high: float | None
) -> tuple[Fraction, Fraction | None]:
    """Return the least and largest sum of squares about the mean of n whole numbers with this sum.

    Least when all values are next to the mean; largest, on a scale, when all but one are at its
    ends; without a scale there is no largest.
    """
    level, rest = divmod(total, n)
    mean_square = Fraction(total**2, n)
    least = (n - rest) * level**2 + rest * (level + 1) ** 2 - mean_square
    if low is None or high is None:
        return least, None
    start, width = round(low * items), round((high - low) * items)
    shifted = total - n * start
    if not 0 <= shifted <= n * width:
        return Fraction(1), Fraction(0)
    full, one = divmod(shifted, width)
    return least, full * width**2 + one**2 - Fraction(shifted**2, n)


def _between(low: Fraction, value: Fraction, high: Fraction | None) -> bool:
    return low <= value and (high is None or value <= high)


def _nearest(spread: Printed, sums: range, n: int, items: int) -> tuple[float, float]:
    """Return the SDs next to the printed one that a sum of squares of the right parity gives."""
    below, above = float("nan"), float("nan")
    target = spread.value**2 * (n - 1) * items**2
    for total in sums:
        mean_square = Fraction(total**2, n)
        q = floor(target + mean_square)
        q -= (q - total) % 2
        for candidate in (q, q + 2):
            about_mean = candidate - mean_square
            if about_mean < 0:
                continue
            sd = float(about_mean / (n - 1)) ** 0.5 / items
            if about_mean <= target and not sd <= below:
                below = sd
            if about_mean >= target and not sd >= above:
                above = sd
    return below, above

"""Tails of t and chi-squared for whole degrees of freedom, compiled."""

from __future__ import annotations

import math

from retroevidence.meta.kernel_compile import compiled

#: Below this probability one minus a sum has lost four of its sixteen digits.
SMALL = 1e-4
#: Up to here the first Poisson probability, exp(-y), is a number to start from.
FAR = 600.0


@compiled
def two_sided_normal(z: float) -> float:
    """Return the two-sided p-value of a z statistic.

    Parameters
    ----------
    z : float
        Estimate over its standard error.

    Returns
    -------
    float
        A probability, to full relative precision.

    Examples
    --------
    >>> round(two_sided_normal(1.959964), 6)
    0.05
    """
    return math.erfc(abs(z) * math.sqrt(0.5))


@compiled
def two_sided_t(t: float, df: int) -> float:
    """Return the two-sided p-value of a t statistic.

    Parameters
    ----------
    t : float
        Estimate over its standard error.
    df : int
        Degrees of freedom, from 1.

    Returns
    -------
    float
        A probability, to about 12 digits however small it is.

    Notes
    -----
    The finite sums for whole degrees of freedom (Abramowitz & Stegun 1964, 26.7.3-4); for small
    probabilities the continued fraction of the incomplete beta function (26.5.8).

    Examples
    --------
    >>> round(two_sided_t(2.178813, 12), 6)
    0.05
    """
    if math.isnan(t):
        return math.nan
    square = t * t
    if math.isinf(square):
        return 0.0
    x = df / (df + square)
    sine, turn = math.sqrt(square / (df + square)), x
    if df % 2 == 0:
        term = total = 1.0
        for j in range(1, df // 2):
            term *= turn * (2 * j - 1) / (2 * j)
            total += term
        p = 1 - sine * total
    else:
        term = math.sqrt(x)
        total = term if df > 1 else 0.0
        for j in range(1, (df - 1) // 2):
            term *= turn * (2 * j) / (2 * j + 1)
            total += term
        p = 1 - (math.atan(abs(t) / math.sqrt(df)) + sine * total) * 2 / math.pi
    if p > SMALL:
        return p
    a = df / 2
    # Gamma(a + 1/2) / (Gamma(a) Gamma(1/2)), by its expansion where logarithms would lose digits.
    if a < 50:
        constant = math.lgamma(a + 0.5) - math.lgamma(a)
    else:
        constant = 0.5 * math.log(a) - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5)
    front = math.exp(constant - a * math.log1p(square / df)) * sine / math.sqrt(math.pi) / a
    return front * _fraction(a, x)


@compiled
def _fraction(a: float, x: float) -> float:
    """Continued fraction of the incomplete beta function with second argument 1/2, by Lentz."""
    b, tiny = 0.5, 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 10_000):
        for even in range(2):
            if even == 0:
                part = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
            else:
                part = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
            d = 1 + part * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + part / c
            c = c if abs(c) > tiny else tiny
            change = c * d
            value *= change
        if abs(change - 1) < 2e-16:
            break
    return value


@compiled
def upper_chi_squared(q: float, df: int) -> float:
    """Return the probability that chi-squared exceeds `q`.

    Parameters
    ----------
    q : float
        A sum of squares, from 0.
    df : int
        Degrees of freedom, from 1.

    Returns
    -------
    float
        A probability, to about 12 digits however small it is: all terms are positive.

    Notes
    -----
    A sum of Poisson probabilities (Abramowitz & Stegun 1964, 26.4.4-5), from the largest one down
    where the first would underflow.

    Examples
    --------
    >>> round(upper_chi_squared(7.814728, 3), 6)
    0.05
    """
    if math.isnan(q):
        return math.nan
    if math.isinf(q):
        return 0.0
    y = q / 2
    odd = df % 2
    count = df // 2
    shift = 0.5 * odd
    total = math.erfc(math.sqrt(y)) if odd else 0.0
    if y < FAR:
        term = math.exp(-y)
        if odd:
            term *= 2 * math.sqrt(y / math.pi)
        for j in range(count):
            total += term
            term *= y / (j + 1 + shift)
        return min(total, 1.0)
    if count == 0:
        return total
    top = min(count - 1, int(y))
    first = _poisson(top + shift, y)
    term = first
    for j in range(top, -1, -1):
        total += term
        term *= (j + shift) / y
        if term < 1e-18 * total:
            break
    term = first
    for j in range(top + 1, count):
        term *= y / (j + shift)
        total += term
        if term < 1e-18 * total:
            break
    return min(total, 1.0)


@compiled
def median_of_chi_squared(df: int) -> float:
    """Return the value that chi-squared exceeds with probability one half.

    Parameters
    ----------
    df : int
        Degrees of freedom, from 1.

    Returns
    -------
    float
        To about 12 digits, by Newton's steps from the approximation of Wilson and Hilferty
        (Abramowitz & Stegun 1964, 26.4.17).

    Examples
    --------
    >>> round(median_of_chi_squared(2), 9) == round(2 * math.log(2), 9)
    True
    """
    half = df / 2
    x = df * (1 - 2 / (9 * df)) ** 3
    for _ in range(20):
        density = math.exp((half - 1) * math.log(x / 2) - x / 2 - math.lgamma(half)) / 2
        step = (upper_chi_squared(x, df) - 0.5) / density
        x += step
        if abs(step) < 1e-9 * x:
            # What is left is of the order of the square of this step.
            break
    return x


@compiled
def _poisson(j: float, y: float) -> float:
    """Return ``exp(-y) y^j / Gamma(j + 1)`` for large y, by its distance from the peak."""
    if j < 10:
        return math.exp(j * math.log(y) - y - math.lgamma(j + 1))
    away = (y - j) / j
    stirling = 1 / (12 * j) - 1 / (360 * j**3) + 1 / (1260 * j**5) - 1 / (1680 * j**7)
    return math.exp(-stirling - j * (away - math.log1p(away))) / math.sqrt(2 * math.pi * j)

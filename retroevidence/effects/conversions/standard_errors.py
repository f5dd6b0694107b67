"""Does a reported SD look like a standard error? A commonplace error, told by three signs.

None of the signs proves anything: each says in words what to look up in the report. Mistaking the
two is among the most frequent errors of data extraction (Gøtzsche et al. 2007,
doi 10.1001/jama.298.4.430).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retroevidence.effects.formulas.checks import Floats, above, at_least, shapes_fit
from retroevidence.effects.possible.spreads import compare_spread

#: Differences of more SDs than this are rare, and far rarer than the mistake.
RARE_SMD = 3.0

#: An SD is out of line with the other studies when it is smaller by this factor and lies beyond
#: this many robust SDs of the logarithms.
FACTOR, ROBUST_SDS = 2.0, 3.0

#: The logarithms of SDs of like studies vary by this much at least.
LEAST_SPREAD = 0.15


@shapes_fit
def looks_like_se(sd: Any, n: Any, *, mean: Any = None) -> NDArray[np.object_]:
    """Tell for each study whether its SD looks like a standard error beside the others.

    An SD is suspected when it is less than half the median SD of the other studies and beyond
    three robust SDs (1.4826 times the median absolute deviation, of logarithms), while
    ``sd sqrt(n)`` lies nearer to that median than the SD itself does. It takes four studies of one
    outcome in one unit, or of one kind of outcome when `mean` turns SDs into coefficients of
    variation.

    Parameters
    ----------
    sd : array_like
        Reported SDs, above 0, one per study.
    n : array_like
        People behind each.
    mean : array_like, optional
        Means, all above 0: SDs are then compared relative to them.

    Returns
    -------
    numpy.ndarray of str
        The reason in words, or an empty string.

    Raises
    ------
    EffectError
        If an SD is not above 0, n is below 1 or a mean is not above 0.

    Examples
    --------
    >>> looks_like_se([9.1, 10.4, 1.9, 8.7, 11.0], n=[20, 25, 30, 22, 18])[2]
    'its SD 1.9 looks like a standard error: the other studies have 9.73, and 1.9 sqrt(30) is 10.4'
    """
    sd, n = np.broadcast_arrays(np.atleast_1d(above("sd", sd, 0)), at_least("n", n, 1))
    unit = np.ones(sd.shape) if mean is None else np.broadcast_to(above("mean", mean, 0), sd.shape)
    reasons = np.full(sd.shape, "", dtype=object)
    logs = np.log(sd / unit)
    known = np.isfinite(logs) & np.isfinite(n)
    for i in np.flatnonzero(known):
        others = logs[known & (np.arange(len(logs)) != i)]
        if len(others) < 3:
            continue
        middle = float(np.median(others))
        spread = max(1.4826 * float(np.median(np.abs(others - middle))), LEAST_SPREAD)
        below = middle - logs[i]
        as_se = abs(logs[i] + np.log(n[i]) / 2 - middle)
        if below > max(np.log(FACTOR), ROBUST_SDS * spread) and as_se < below / 2:
            reasons[i] = (
                f"its SD {sd[i]:.3g} looks like a standard error: the other studies have "
                f"{np.exp(middle) * unit[i]:.3g}, and {sd[i]:.3g} sqrt({n[i]:g}) is "
                f"{sd[i] * np.sqrt(n[i]):.3g}"
            )
    return reasons


def rare_difference(m1: float, sd1: float, n1: float, m2: float, sd2: float, n2: float) -> str:
    """Tell whether a difference is so many SDs that the SDs may be standard errors.

    Parameters
    ----------
    m1, sd1, n1, m2, sd2, n2 : float
        Means, SDs and sizes of the two groups.

    Returns
    -------
    str
        The reason in words, or an empty string; empty too where a number is missing.

    Examples
    --------
    >>> rare_difference(12.0, 0.5, 25, 9.0, 0.6, 25)
    'a difference of 5.4 SDs is rare: if the SDs are standard errors, it is 1.1'
    """
    d = abs(m1 - m2) / np.sqrt((sd1**2 + sd2**2) / 2)
    if not d > RARE_SMD:
        return ""
    as_se = abs(m1 - m2) / np.sqrt((sd1**2 * n1 + sd2**2 * n2) / 2)
    return f"a difference of {d:.1f} SDs is rare: if the SDs are standard errors, it is {as_se:.1f}"


def unlike_arms(m1: float, sd1: float, n1: float, m2: float, sd2: float, n2: float) -> str:
    """Tell whether one of the SDs of two independent arms looks like a standard error.

    The rule is that of :func:`retroevidence.effects.possible.spreads.compare_spread`.

    Parameters
    ----------
    m1, sd1, n1, m2, sd2, n2 : float
        Means, SDs and sizes of the two groups.

    Returns
    -------
    str
        The reason in words, or an empty string; empty too where a number is missing.

    Examples
    --------
    >>> unlike_arms(50.2, 2.0, 25, 51.0, 9.6, 25)
    'sd1 2 looks like a standard error beside sd2 9.6: times sqrt(25) it is 10'
    """
    values = (m1, sd1, n1, m2, sd2, n2)
    if not np.isfinite(values).all() or min(n1, n2) < 2:
        return ""
    found = compare_spread(
        repr(float(m1)), repr(float(sd1)), int(n1), repr(float(m2)), repr(float(sd2)), int(n2)
    )
    if not found.suspect:
        return ""
    mine, other = ((sd1, n1), sd2) if found.suspect == 1 else ((sd2, n2), sd1)
    return (
        f"sd{found.suspect} {mine[0]:.3g} looks like a standard error beside "
        f"sd{3 - found.suspect} {other:.3g}: times sqrt({mine[1]:g}) it is "
        f"{mine[0] * np.sqrt(mine[1]):.3g}"
    )


def suspicions(given: dict[str, Floats], scale: str) -> list[str]:
    """Return one phrase per study of a two-group table, empty where nothing is suspected.

    Studies are compared with each other where the measure says that they can be: by their SDs for
    differences in one unit, by SD over mean for ratios of means. For standardised differences,
    whose studies differ in unit, only the signs within each study count.

    Parameters
    ----------
    given : dict
        Arrays ``m1 sd1 n1 m2 sd2 n2``, one value per study.
    scale : str
        The scale of the measure.

    Returns
    -------
    list of str
        One phrase per study.

    Examples
    --------
    >>> import numpy as np
    >>> table = {"m1": 12, "sd1": 0.5, "n1": 25, "m2": 9, "sd2": 0.6, "n2": 25}
    >>> suspicions({name: np.array([float(x)]) for name, x in table.items()}, "SD units")
    ['a difference of 5.4 SDs is rare: if the SDs are standard errors, it is 1.1']
    """
    order = ("m1", "sd1", "n1", "m2", "sd2", "n2")
    columns = [given[name] for name in order]
    between: dict[str, NDArray[np.object_]] = {}
    for arm in ("1", "2"):
        mean, sd, n = (given[name + arm] for name in ("m", "sd", "n"))
        if scale == "difference":
            between[arm] = looks_like_se(sd, n)
        elif scale == "log ratio" and not np.any(mean <= 0):
            between[arm] = looks_like_se(sd, n, mean=mean)
    phrases = []
    for i, row in enumerate(zip(*(np.asarray(c, dtype=float) for c in columns), strict=True)):
        found = [f"group {arm}: {text[i]}" for arm, text in between.items() if text[i]]
        found += [unlike_arms(*row)] if not found else []
        found += [rare_difference(*row)]
        phrases.append("; ".join(text for text in found if text))
    return phrases

"""Tests of asymmetry made for measures whose standard error depends on the effect itself.

With counts or standardised mean differences, effect and standard error are tied together even when
nothing is missing; these tests use sizes of studies in place of the standard error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.bias.asymmetry import Asymmetry, column_of, line_test
from retroevidence.meta.bias.result import Effects, few, plain_mean, same_size
from retroevidence.meta.result import Pooled
from retroevidence.meta.wording import listed, study_names

Floats = NDArray[np.float64]


def harbord(
    effects: Effects, *, a: Any = "a", n1: Any = "n1", c: Any = "c", n2: Any = "n2"
) -> Asymmetry:
    """Test 2x2 tables for asymmetry through the score of the log odds ratio.

    With N people, e = a + c events: ``Z = a - n1 e / N``, ``V = n1 n2 e (N - e) / (N² (N - 1))``.
    The line is ``Z/V`` on ``1/√V`` with weights V, which is ``Z/√V`` on ``√V``; the test is that of
    ``1/√V``, with k - 2 degrees of freedom.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean; only its studies are used.
    a, n1, c, n2 : str or array_like, shape (k,)
        Events and people in the experimental and in the comparator arm, or their columns.

    Returns
    -------
    Asymmetry
        `limit` is the log odds ratio of a study without error.

    Raises
    ------
    PoolError
        If counts are missing or impossible, or too few studies have both events and non-events.

    References
    ----------
    Harbord et al. (2006), doi 10.1002/sim.2380.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> p = pool(yi=[0.4, 0.8, 0.1, 1.0], vi=[0.1, 0.2, 0.05, 0.5])
    >>> a, n1, c, n2 = [12, 9, 40, 6], [40, 25, 150, 12], [9, 5, 38, 3], [41, 26, 149, 13]
    >>> out = harbord(p, a=a, n1=n1, c=c, n2=n2)
    >>> round(out.estimate, 3), round(out.p_value, 3)
    (1.912, 0.012)
    """
    pooled = plain_mean(effects, "harbord")
    events, first, other, second = _table(pooled, a, n1, c, n2)
    total, happened = first + second, events + other
    score = events - first * happened / total
    information = first * second * happened * (total - happened) / (total**2 * (total - 1))
    keep, notes = _informative(pooled, information > 0, "harbord")
    z, v = score[keep], information[keep]
    _varied(v, "harbord")
    x = np.column_stack([np.ones(len(v)), 1 / np.sqrt(v)])
    return line_test(
        pooled, z / v, x, v, "Harbord's test", "1/√information", notes, limit=True
    )  # fmt: skip


def peters(
    effects: Effects, *, a: Any = "a", n1: Any = "n1", c: Any = "c", n2: Any = "n2"
) -> Asymmetry:
    """Regress effects of 2x2 tables on one over the size of the study.

    Weights are ``1 / (1/e + 1/(N - e))`` for e events among N people, the variance estimated from
    the residuals, k - 2 degrees of freedom.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean of log odds ratios (or log risk ratios).
    a, n1, c, n2 : str or array_like, shape (k,)
        Events and people in the experimental and in the comparator arm, or their columns.

    Returns
    -------
    Asymmetry
        `limit` is the effect expected in a study of infinite size.

    Raises
    ------
    PoolError
        If counts are missing or impossible, or too few studies have both events and non-events.

    References
    ----------
    Peters et al. (2006), doi 10.1001/jama.295.6.676.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> p = pool(yi=[0.4, 0.8, 0.1, 1.0], vi=[0.1, 0.2, 0.05, 0.5])
    >>> a, n1, c, n2 = [12, 9, 40, 6], [40, 25, 150, 12], [9, 5, 38, 3], [41, 26, 149, 13]
    >>> out = peters(p, a=a, n1=n1, c=c, n2=n2)
    >>> round(out.estimate, 2), round(out.p_value, 3)
    (28.68, 0.043)
    """
    return _by_size(effects, "peters", "Peters' test", "1/sample size", a, n1, c, n2)


def macaskill(
    effects: Effects, *, a: Any = "a", n1: Any = "n1", c: Any = "c", n2: Any = "n2"
) -> Asymmetry:
    """Regress effects of 2x2 tables on the size of the study.

    Weights and degrees of freedom as in `peters`; the predictor is N itself. Asymmetry of the usual
    kind, small studies above large ones, is a slope below 0.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean of log odds ratios (or log risk ratios).
    a, n1, c, n2 : str or array_like, shape (k,)
        Events and people in the experimental and in the comparator arm, or their columns.

    Returns
    -------
    Asymmetry
        The slope and its test.

    Raises
    ------
    PoolError
        If counts are missing or impossible, or too few studies have both events and non-events.

    References
    ----------
    Macaskill, Walter & Irwig (2001), doi 10.1002/sim.698 (the version with pooled event rates).

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> p = pool(yi=[0.4, 0.8, 0.1, 1.0], vi=[0.1, 0.2, 0.05, 0.5])
    >>> a, n1, c, n2 = [12, 9, 40, 6], [40, 25, 150, 12], [9, 5, 38, 3], [41, 26, 149, 13]
    >>> out = macaskill(p, a=a, n1=n1, c=c, n2=n2)
    >>> round(out.estimate, 5), round(out.p_value, 3)
    (-0.00238, 0.081)
    """
    return _by_size(effects, "macaskill", "Macaskill's test", "sample size", a, n1, c, n2)


def pustejovsky_rodgers(effects: Effects, *, n1: Any = "n1", n2: Any = "n2") -> Asymmetry:
    """Run Egger's regression on standardised mean differences with the sizes of the arms.

    ``sqrt(1/n1 + 1/n2)`` takes the place of the standard error, as predictor and in the weights: it
    is the part of the standard error that does not contain the effect.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean of standardised mean differences.
    n1, n2 : str or array_like, shape (k,)
        People in the two arms, or their columns.

    Returns
    -------
    Asymmetry
        With k - 2 degrees of freedom; `limit` is the effect in a study of infinite size.

    Raises
    ------
    PoolError
        If sizes are missing or equal.

    References
    ----------
    Pustejovsky & Rodgers (2019), doi 10.1002/jrsm.1332.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> p = pool(yi=[0.2, 0.3, 0.5, 0.9], vi=[0.04, 0.06, 0.1, 0.2])
    >>> out = pustejovsky_rodgers(p, n1=[50, 34, 20, 10], n2=[50, 34, 20, 11])
    >>> round(out.estimate, 3), round(out.p_value, 4)
    (2.88, 0.0032)
    """
    pooled = plain_mean(effects, "pustejovsky_rodgers")
    first, second = column_of(pooled, n1, "n1"), column_of(pooled, n2, "n2")
    if (first <= 0).any() or (second <= 0).any():
        raise PoolError("n1 and n2 must be above 0; check the sample sizes.")
    v = 1 / first + 1 / second
    _varied(v, "pustejovsky_rodgers")
    return line_test(
        pooled, pooled.fit.yi, np.column_stack([np.ones(pooled.k), np.sqrt(v)]), 1 / v,
        "Egger's test after Pustejovsky and Rodgers", "√(1/n1 + 1/n2)", list(few(pooled.k)),
        limit=True,
    )  # fmt: skip


def _by_size(
    effects: Effects, what: str, title: str, predictor: str, a: Any, n1: Any, c: Any, n2: Any
) -> Asymmetry:
    pooled = plain_mean(effects, what)
    events, first, other, second = _table(pooled, a, n1, c, n2)
    total, happened = first + second, events + other
    weights = happened * (total - happened) / total
    keep, notes = _informative(pooled, weights > 0, what)
    size = total[keep]
    _varied(size, what)
    z = 1 / size if what == "peters" else size
    return line_test(
        pooled, pooled.fit.yi[keep], np.column_stack([np.ones(len(z)), z]), weights[keep],
        title, predictor, notes, limit=what == "peters",
    )  # fmt: skip


def _table(pooled: Pooled, a: Any, n1: Any, c: Any, n2: Any) -> tuple[Floats, ...]:
    given = {"a": a, "n1": n1, "c": c, "n2": n2}
    table = tuple(column_of(pooled, value, name) for name, value in given.items())
    events, first, other, second = table
    broken = (events < 0) | (other < 0) | (events > first) | (other > second)
    broken |= (first <= 0) | (second <= 0)
    if broken.any():
        names = np.array(study_names(pooled.fit.frame), dtype=object)[broken]
        raise PoolError(f"{listed(names)}: events must be between 0 and the people of the arm.")
    return table


def _informative(
    pooled: Pooled, keep: NDArray[np.bool_], what: str
) -> tuple[NDArray[np.bool_], list[str]]:
    left = int(keep.sum())
    if left < 3:
        raise PoolError(
            f"{what} needs at least 3 studies with both events and non-events and there are {left}."
        )
    notes = list(few(left))
    if left < pooled.k:
        names = np.array(study_names(pooled.fit.frame), dtype=object)[~keep]
        notes.append(f"Left out, no event or nothing but events: {listed(names)}.")
    return keep, notes


def _varied(size: Floats, what: str) -> None:
    if same_size(size):
        raise PoolError(
            f"all studies have the same size, so {what} cannot see asymmetry; "
            "report the studies without this test."
        )

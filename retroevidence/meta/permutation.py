"""Permutation tests of a pooled mean and of moderators: no normal distribution needed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, Carded, interval, number, p_text
from retroevidence.errors import PoolError
from retroevidence.meta.combine import proportion
from retroevidence.meta.draws import check_count, check_seed
from retroevidence.meta.influence import check_refittable
from retroevidence.meta.interval import NO_INTERVAL, Interval
from retroevidence.meta.regression import INTERCEPT
from retroevidence.meta.result import Pooled
from retroevidence.meta.sets import pool_signed
from retroevidence.meta.tau2 import estimate_tau2
from retroevidence.meta.wording import or_none

Floats = NDArray[np.float64]

#: Up to this many arrangements all are used: sign flips cost microseconds, regressions a
#: thousand times as much.
ALL_FLIPS, ALL_ORDERS = 2**20, 10_000
#: How many are drawn beyond that unless told otherwise.
DRAWN = 5_000
#: Statistics of mirrored arrangements are equal but for rounding, and must count as equal.
TIE = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class Permutation(Carded):
    """A permutation test: the p-value and where the observed statistic lies.

    Attributes
    ----------
    p_value : float
        Two-sided test of the mean; with moderators, the joint test of all of them.
    ci : Interval
        95% limits of the p-value that all arrangements would give, from the number drawn; NaN when
        all were used.
    statistic : float
        The observed one: estimate over standard error, or the joint statistic of the moderators.
    exact : bool
        Whether all arrangements were used.
    iterations : int
        Arrangements used, the observed one included.
    distribution : numpy.ndarray, shape (iterations,)
        The statistic of every arrangement.
    coefficients : pandas.DataFrame
        One row per tested coefficient: term, estimate, statistic, p_value. The intercept of a
        regression is not tested: shuffling moderators says nothing on it.
    what : str
        What was tested, in words.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> found = permutation_test(pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01]))
    >>> found.p_value, found.exact, found.iterations
    (0.125, True, 16)
    """

    p_value: float
    ci: Interval
    statistic: float
    exact: bool
    iterations: int
    distribution: Floats
    coefficients: pd.DataFrame
    what: str

    def to_dict(self) -> dict[str, Any]:
        """Return every number as plain JSON-ready values, without the distribution."""
        return {
            "p_value": self.p_value,
            "ci_low": or_none(self.ci.low),
            "ci_high": or_none(self.ci.high),
            "statistic": self.statistic,
            "exact": self.exact,
            "iterations": self.iterations,
            "coefficients": self.coefficients.to_dict("records"),
        }

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number."""
        row = self.to_dict()
        del row["coefficients"]
        return pd.DataFrame([row])

    def _card(self) -> Card:
        limits = "" if self.exact else f"  95% CI {interval(*self.ci, 4)}"
        kind = "all" if self.exact else "a random sample of"
        pairs = [
            ("statistic", number(self.statistic)),
            ("two-sided", f"{p_text(self.p_value)}{limits}"),
            ("arrangements", f"{kind} {self.iterations}"),
        ]
        table = None
        if len(self.coefficients) > 1:
            shown = {"term": self.coefficients["term"]}
            shown["estimate"] = self.coefficients["estimate"].map(number)
            shown["p"] = self.coefficients["p_value"].map(lambda p: f"{p:.4f}")
            table = pd.DataFrame(shown)
        return Card(f"Permutation test of {self.what}", pairs, table)


def permutation_test(
    pooled: Pooled, *, iterations: int | None = None, seed: int | None = None
) -> Permutation:
    """Test a pooled mean by flipping signs, or moderators by shuffling them over the studies.

    Every arrangement is fitted again with the method and test of the result; the p-value is the
    share whose statistic is at least as far from 0 as the observed one.

    Parameters
    ----------
    pooled : Pooled
        A pooled mean, or a meta-regression.
    iterations : int, optional
        How many arrangements to draw. By default all of them are used, up to 2^20 sign flips or
        10 000 distinct orders of the moderators, and 5 000 are drawn beyond.
    seed : int, optional
        Seed of the draw; required when arrangements are drawn.

    Returns
    -------
    Permutation
        p-value, its limits when arrangements are drawn, and the whole distribution.

    Raises
    ------
    PoolError
        If arrangements must be drawn and no seed is given, if `iterations` is below 1, or if the
        result has only one study.

    Notes
    -----
    Mean (Follmann & Proschan 1999, doi 10.1111/j.0006-341x.1999.00732.x): if the true mean is 0
    and effects are symmetric around it, each sign is as likely as its opposite. With k studies the
    smallest p-value is ``2 / 2^k``: below 6 studies it cannot fall under 0.05.

    Moderators (Higgins & Thompson 2004, doi 10.1002/sim.1752): if they do not matter, the rows of
    the design can be handed to the studies in any order; equal rows make fewer distinct orders.
    Effects stay with their variances.

    Drawn arrangements: the observed one counts as one of them, so p is never 0 (Phipson & Smyth
    2010, doi 10.2202/1544-6115.1585).

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> permutation_test(pool(yi=[0.1, 0.3, 0.8, 0.2, 0.4, 0.2], vi=[0.02] * 6))
    Permutation test of the mean, k = 6 studies
      statistic     3.262
      two-sided     p = 0.031
      arrangements  all 64
    """
    check_refittable(pooled)
    if pooled.k < 2:
        raise PoolError("one study has nothing to permute; give a result of at least two studies.")
    if iterations is not None:
        check_count(iterations, "iterations", 1, "write iterations=5000")
    names = pooled.fit.design.names
    if names == (INTERCEPT,):
        return _mean(pooled, iterations, seed)
    if not pooled.fit.design.moderators:
        raise PoolError("this result has no moderator to shuffle; pool without mods= for the mean.")
    return _moderators(pooled, iterations, seed)


# The mean ---------------------------------------------------------------------------------------


def _mean(pooled: Pooled, iterations: int | None, seed: int | None) -> Permutation:
    k = pooled.k
    exact = iterations is None and 2**k <= ALL_FLIPS
    if exact:
        # All signs turned give the statistic with its sign turned: half of them are enough.
        codes = np.arange(2 ** (k - 1), dtype="<u8")[:, None].view(np.uint8)
        signs = 1 - 2 * np.unpackbits(codes, axis=1, count=k, bitorder="little").view(np.int8)
    else:
        random = _random(seed, f"2^{k} sign flips", ALL_FLIPS)
        signs = random.choice([-1.0, 1.0], size=(iterations or DRAWN, k))
        signs = np.vstack([np.ones(k), signs]).astype(np.int8)
    statistics = _mean_statistics(pooled, signs)
    # The observed arrangement is the first one, fitted like all others.
    observed = float(statistics[0])
    distribution = np.concatenate([statistics, -statistics]) if exact else statistics
    p_value, ci = _share(np.abs(distribution), abs(observed), exact=exact)
    coefficients = pd.DataFrame(
        {
            "term": [INTERCEPT],
            "estimate": [pooled.estimate],
            "statistic": [observed],
            "p_value": [p_value],
        }
    )
    what = f"the mean, k = {k} studies"
    return Permutation(
        p_value, ci, observed, exact, len(distribution), distribution, coefficients, what
    )


def _mean_statistics(pooled: Pooled, signs: NDArray[np.int8]) -> Floats:
    fit = pooled.fit
    fits = pool_signed(fit.yi, fit.vi, signs, method=pooled.method, test=pooled.test)
    return np.asarray(fits["estimate"] / fits["se"], dtype=float)


# Moderators -------------------------------------------------------------------------------------


def _moderators(pooled: Pooled, iterations: int | None, seed: int | None) -> Permutation:
    design = pooled.fit.design
    kinds = [tuple(row) for row in pooled.fit.x]
    number_of_orders = _orders(kinds)
    exact = iterations is None and number_of_orders <= ALL_ORDERS
    arrangements: Iterator[Floats]
    if exact:
        arrangements = _distinct(pooled.fit.x)
    else:
        random = _random(seed, f"{number_of_orders:.3g} orders of the moderators", ALL_ORDERS)
        shuffled = (random.permutation(pooled.fit.x) for _ in range(iterations or DRAWN))
        arrangements = (x for source in ([pooled.fit.x], shuffled) for x in source)
    which = design.moderators
    fits = np.array([_regression_statistics(pooled, x, which) for x in arrangements])
    observed = _regression_statistics(pooled, pooled.fit.x, which)
    p_value, ci = _share(fits[:, -1], observed[-1], exact=exact)
    coefficients = pd.DataFrame(
        {
            "term": [design.names[i] for i in which],
            "estimate": pooled.fit.beta[which],
            "statistic": observed[:-1],
            "p_value": [
                _share(np.abs(fits[:, j]), abs(observed[j]), exact=exact)[0]
                for j in range(len(which))
            ],
        }
    )
    terms = ", ".join(coefficients["term"])
    return Permutation(
        p_value,
        ci,
        float(observed[-1]),
        exact,
        len(fits),
        fits[:, -1],
        coefficients,
        f"{terms}, k = {pooled.k} studies",
    )


def _regression_statistics(pooled: Pooled, x: Floats, which: list[int]) -> Floats:
    """Return the statistic of each moderator and their joint one, for one order of the rows."""
    y, v = pooled.fit.yi, pooled.fit.vi
    tau2 = estimate_tau2(y, v, x, pooled.method)
    root = np.sqrt(1 / (v + tau2))
    orthogonal, upper = np.linalg.qr(root[:, None] * x)
    beta = np.linalg.solve(upper, orthogonal.T @ (root * y))
    inverse = np.linalg.inv(upper)
    covariance = inverse @ inverse.T
    if pooled.test in ("knha", "adhoc"):
        residual = root * (y - x @ beta)
        factor = float(residual @ residual) / (len(y) - x.shape[1])
        covariance = covariance * (factor if pooled.test == "knha" else max(1.0, factor))
    part = beta[which]
    joint = float(part @ np.linalg.solve(covariance[np.ix_(which, which)], part))
    if pooled.test != "z":
        joint /= len(which)
    return np.append(part / np.sqrt(np.diag(covariance)[which]), joint)


def _orders(kinds: list[tuple[float, ...]]) -> int:
    """Count the distinct orders of rows: k! over the factorials of the numbers of equal rows."""
    orders = math.factorial(len(kinds))
    for equal in Counter(kinds).values():
        orders //= math.factorial(equal)
    return orders


def _distinct(x: Floats) -> Iterator[Floats]:
    """Yield every distinct order of the rows once."""
    kinds, first = np.unique(x, axis=0, return_inverse=True)
    left = np.bincount(first.ravel()).tolist()
    order: list[int] = []

    def grow() -> Iterator[Floats]:
        if len(order) == len(x):
            yield kinds[order]
            return
        for kind, still in enumerate(left):
            if still:
                left[kind] -= 1
                order.append(kind)
                yield from grow()
                order.pop()
                left[kind] += 1

    return islice(grow(), ALL_ORDERS)


# Shares -----------------------------------------------------------------------------------------


def _random(seed: int | None, what: str, most: int) -> np.random.Generator:
    if seed is None:
        raise PoolError(
            f"{what} are too many to use all (at most {most}), or a number was asked for: "
            "give seed= to draw some of them."
        )
    check_seed(seed)
    return np.random.default_rng(seed)


def _share(sizes: Floats, observed: float, *, exact: bool) -> tuple[float, Interval]:
    """Return the share of statistics as large as the observed one, and the limits of that share.

    A drawn sample holds the observed arrangement as its first element.
    """
    as_large = int(np.count_nonzero(sizes >= observed * (1 - TIE)))
    if exact:
        return as_large / len(sizes), NO_INTERVAL
    drawn = proportion(as_large - 1, len(sizes) - 1)
    return as_large / len(sizes), drawn.ci

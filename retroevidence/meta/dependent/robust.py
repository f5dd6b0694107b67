"""Cluster-robust standard errors for every model here, right for few clusters too.

With few clusters the plain sandwich is too small and its test rejects too often; CR2 with
Satterthwaite degrees of freedom corrects both (Tipton 2015, doi 10.1037/met0000011; Pustejovsky &
Tipton 2018, doi 10.1080/07350015.2016.1247004). The algebra is in
:mod:`retroevidence.meta.dependent.sandwich`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import fdtrc

from retroevidence._show import Card, Carded, confidence, interval, number, p_text
from retroevidence.errors import PoolError, check_name, unknown_name
from retroevidence.meta.dependent.columns import groups
from retroevidence.meta.dependent.sandwich import LinearFit, Parts, sandwich
from retroevidence.meta.interval import NAN, Interval, critical_value, two_sided
from retroevidence.meta.regression import INTERCEPT
from retroevidence.meta.wording import decimals, or_none

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

KINDS = {
    "CR0": "no correction",
    "CR1": "times J/(J - 1)",
    "CR1p": "times J/(J - p)",
    "CR2": "bias-reduced, Satterthwaite degrees of freedom",
}


class Joint(NamedTuple):
    """A joint test of several coefficients: F and its degrees of freedom.

    Examples
    --------
    >>> Joint(4.0, 1, 10.0, 0.07).df1
    1
    """

    f: float
    df1: int
    df2: float
    p_value: float


@dataclass(frozen=True, eq=False, repr=False)
class Robust(Carded):
    """Cluster-robust tests of a fitted model, made by :func:`robust`.

    Attributes
    ----------
    estimate, se, statistic, df, p_value, ci : float and Interval
        The first coefficient (the mean) and its test.
    kind, clusters, level : str, int and float
        What was asked, and on how many clusters it rests.
    names, beta, dfs : tuple of str and numpy.ndarray, shape (p,)
        Names of the coefficients, the coefficients, and the degrees of freedom of their tests.
    covariance : numpy.ndarray, shape (p, p)
        Robust covariance of the coefficients.
    parts : Parts
        Sums over clusters from which degrees of freedom of joint tests follow.
    notes : tuple of str
        What a reader must know before quoting the numbers.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> fit = pool(yi=[0.1, 0.2, 0.4, 0.3, 0.9], vi=[0.1] * 5)
    >>> robust(fit, cluster=["a", "a", "b", "c", "d"], kind="CR2")
    Cluster-robust tests on 4 clusters (CR2: bias-reduced, Satterthwaite degrees of freedom)
      mean  0.380  SE 0.167, 95% CI [-0.192, 0.952], p = 0.119, 2.7 df
      - With fewer than 4 degrees of freedom p-values are too small more often than they say.
    """

    kind: str
    clusters: int
    level: float
    names: tuple[str, ...]
    beta: Floats
    covariance: Floats
    dfs: Floats
    parts: Parts
    notes: tuple[str, ...]

    @cached_property
    def coefficients(self) -> pd.DataFrame:
        """One row per coefficient: term, estimate, se, statistic, df, p_value, ci_low, ci_high."""
        se = np.sqrt(np.diag(self.covariance))
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = self.beta / se
        reach = np.array([_reach(self.level, float(df)) for df in self.dfs]) * se
        return pd.DataFrame(
            {
                "term": list(self.names),
                "estimate": self.beta,
                "se": se,
                "statistic": statistic,
                "df": self.dfs,
                "p_value": [
                    two_sided(float(t), float(df)) if df > 0 else NAN
                    for t, df in zip(statistic, self.dfs, strict=True)
                ],
                "ci_low": self.beta - reach,
                "ci_high": self.beta + reach,
            }
        )

    def _first(self, column: str) -> float:
        return float(self.coefficients[column].iloc[0])

    @property
    def estimate(self) -> float:
        """The first coefficient."""
        return self._first("estimate")

    @property
    def se(self) -> float:
        """Its robust standard error."""
        return self._first("se")

    @property
    def statistic(self) -> float:
        """Estimate over standard error."""
        return self._first("statistic")

    @property
    def df(self) -> float:
        """Its degrees of freedom."""
        return self._first("df")

    @property
    def p_value(self) -> float:
        """Its two-sided p-value."""
        return self._first("p_value")

    @property
    def ci(self) -> Interval:
        """Its confidence interval."""
        return Interval(self._first("ci_low"), self._first("ci_high"))

    def joint(self, terms: str | list[str] | None = None) -> Joint:
        """Test several coefficients together.

        Parameters
        ----------
        terms : str or list of str, optional
            Names of coefficients; all but the intercept by default.

        Returns
        -------
        Joint
            With CR2 the approximate Hotelling test: the robust covariance is taken as Wishart with
            degrees of freedom eta that match its variance, and
            ``F = (eta - q + 1)/(eta q) * Wald`` on q and eta - q + 1 (Tipton & Pustejovsky 2015,
            doi 10.3102/1076998615606099). Otherwise ``Wald/q`` on q and J - p.

        Raises
        ------
        PoolError
            If there is nothing to test.
        UnknownNameError
            If a term does not exist.

        Examples
        --------
        >>> from retroevidence.meta.pool import pool
        >>> fit = pool(yi=[0.1, 0.2, 0.4, 0.3, 0.9], vi=[0.1] * 5, mods=[[1], [2], [3], [4], [6]])
        >>> test = robust(fit, cluster=["a", "a", "b", "c", "d"], kind="CR2").joint()
        >>> test.df1, round(test.f, 2)
        (1, 12.95)
        """
        if terms is None:
            terms = [name for name in self.names if name != INTERCEPT]
        chosen = list(dict.fromkeys([terms] if isinstance(terms, str) else terms))
        for term in chosen:
            if term not in self.names:
                raise unknown_name("coefficient", term, self.names)
        if not chosen:
            raise PoolError("joint: there is no moderator to test; name the terms.")
        at = [self.names.index(term) for term in chosen]
        q, beta = len(at), self.beta[at]
        wald = float(beta @ np.linalg.pinv(self.covariance[np.ix_(at, at)]) @ beta)
        if self.kind != "CR2":
            df = float(self.dfs[0])
            return Joint(wald / q, q, df, float(fdtrc(q, df, wald / q)))
        eta = self.parts.hotelling_df(at)
        rest = eta - q + 1
        if not rest > 0:
            return Joint(NAN, q, rest, NAN)
        f = rest / (eta * q) * wald
        return Joint(f, q, rest, float(fdtrc(q, rest, f)))

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number."""
        return pd.DataFrame([self.to_dict() | {"notes": " ".join(self.notes)}])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        numbers = {
            name: or_none(getattr(self, name))
            for name in ("estimate", "se", "statistic", "df", "p_value")
        }
        return {
            "kind": self.kind,
            "clusters": self.clusters,
            "level": self.level,
            **numbers,
            "ci_low": or_none(self.ci.low),
            "ci_high": or_none(self.ci.high),
            "notes": list(self.notes),
        }

    def _card(self) -> Card:
        level = confidence(self.level)
        pairs = []
        for row in self.coefficients.to_dict("records"):
            name = "mean" if self.names == ("intercept",) else str(row["term"])
            digits = decimals(float(row["se"]))
            reach = interval(row["ci_low"], row["ci_high"], digits)
            shown = f"{number(row['estimate'], digits)}  SE {number(row['se'], digits)}"
            tested = f"{p_text(row['p_value'])}, {number(row['df'], 1)} df"
            pairs.append((name, f"{shown}, {level} CI {reach}, {tested}"))
        title = f"Cluster-robust tests on {self.clusters} clusters"
        return Card(f"{title} ({self.kind}: {KINDS[self.kind]})", pairs, notes=self.notes)


def _reach(level: float, df: float) -> float:
    return critical_value(level, df) if df > 0 else NAN


def robust(fit: Any, *, cluster: Any = None, kind: str = "CR2") -> Robust:
    """Test the coefficients of a fitted model, allowing effects of one cluster to be alike.

    Parameters
    ----------
    fit : Pooled or PooledMultilevel or PooledMultivariate
        What pool, pool_multilevel or pool_multivariate returned.
    cluster : str or array_like, optional
        Column of the effects, or one value per row that entered (a Series is matched by its index,
        unless the effects have another).
        A multilevel or multivariate fit knows its own clusters; wider ones may be given.
    kind : str
        "CR2" (bias-reduced, Satterthwaite degrees of freedom), "CR0" (no correction), "CR1"
        (times ``J/(J - 1)``) or "CR1p" (times ``J/(J - p)``); these use t with J - p degrees of
        freedom, J being the number of clusters.

    Returns
    -------
    Robust
        Coefficient tests; `joint` tests several together.

    Raises
    ------
    PoolError
        If there are fewer than two clusters, or no more than coefficients, the clusters cut those
        of the model, or `fit` is another result (of counts, of subgroups, of a prior).
    UnknownNameError
        If `kind` or the column does not exist.

    Notes
    -----
    Time is linear in the effects: a small cluster's matrices are written out, several clusters of
    one size at once; a large one is never written out
    (:mod:`retroevidence.meta.dependent.large_clusters`).

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> fit = pool(yi=[0.1, 0.2, 0.4, 0.3, 0.9], vi=[0.1] * 5)
    >>> round(robust(fit, cluster=["a", "a", "b", "c", "d"], kind="CR1").se, 4)
    0.1615
    """
    check_name("kind of robust variance", kind, KINDS)
    linear = LinearFit.of(fit)
    codes = _codes_of(linear, cluster)
    count = int(codes.max()) + 1
    p = len(linear.names)
    if count < 2:
        raise PoolError("robust: all effects are in one cluster; it needs at least two.")
    if count <= p:
        raise PoolError(
            f"robust: {count} clusters cannot carry {p} coefficients; use fewer moderators."
        )
    sums, parts = sandwich(linear, codes, count, corrected=kind == "CR2")
    factor = {"CR1": count / (count - 1), "CR1p": count / (count - p)}.get(kind, 1.0)
    covariance = factor * sums
    notes: list[str] = []
    if kind == "CR2":
        dfs = parts.satterthwaite()
        if (dfs < 4).any():
            notes.append(
                "With fewer than 4 degrees of freedom p-values are too small more often than they "
                "say."
            )
    else:
        dfs = np.full(p, float(count - p))
        if count < 40:
            notes.append(f"{kind} is too small for few clusters; quote CR2.")
    scale = np.diag(linear.covariance)
    if (np.diag(covariance) <= 1e-20 * scale).any():
        notes.append(
            "No residual speaks of a coefficient (effects agree exactly, or one cluster decides it "
            "alone): its robust standard error says nothing."
        )
    return Robust(
        kind, count, linear.level, linear.names, linear.beta, covariance, dfs, parts, tuple(notes)
    )


def _codes_of(linear: LinearFit, cluster: Any) -> Ints:
    """Return the cluster of each sorted row, and check that they do not cut those of the model."""
    n = len(linear.y)
    if cluster is None:
        codes = linear.blocks.layout.member
        if len(linear.blocks.layout.starts) == n and len(linear.blocks.scales) == 0:
            raise PoolError("robust: name the clusters with cluster=, a column of the effects.")
        return codes
    values = _values_of(linear.frame, cluster)
    if len(values) != n:
        raise PoolError(
            f"robust: cluster has {len(values)} values for the {n} effects that entered; give one "
            "each, or the name of a column."
        )
    if values.isna().any():
        raise PoolError("robust: an effect has no cluster; fill it in.")
    codes = groups(values)[0][linear.order]
    first = codes[linear.blocks.layout.starts]
    if (codes != first[linear.blocks.layout.member]).any():
        raise PoolError(
            "robust: the clusters cut those of the model, whose effects are correlated; use the "
            "model's own or wider ones."
        )
    return codes


def _values_of(frame: pd.DataFrame, cluster: Any) -> pd.Series[Any]:
    """Return the clusters as given, in the order of the rows of the frame if they have an index."""
    if isinstance(cluster, (pd.DataFrame, Mapping, Set)):
        raise PoolError(
            f"robust: cluster is a {type(cluster).__name__}; give the name of a column, or one "
            "value per effect."
        )
    if np.ndim(cluster) == 0 and isinstance(cluster, Hashable):
        if cluster not in frame.columns:
            raise unknown_name("column of the effects", cluster, map(str, frame.columns))
        found = frame[cluster]
        if isinstance(found, pd.DataFrame):
            raise PoolError(f"robust: effects has two columns {cluster}; drop or rename one.")
        return found
    if not isinstance(cluster, pd.Series):
        return pd.Series(list(cluster), name="cluster")
    known = frame.index.isin(cluster.index)
    if cluster.index.equals(frame.index) or not known.any():
        return cluster
    if not (known.all() and cluster.index.is_unique):
        raise PoolError(
            "robust: the index of cluster does not name each effect once; give the name of a "
            "column, or the values without an index."
        )
    return cluster.loc[frame.index]

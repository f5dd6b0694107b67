"""Several outcomes of each study pooled together: one mean each, and how they vary together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtrc

from retroevidence._show import Card, Carded, confidence, interval, number, p_text
from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.dependent.climb import Peak
from retroevidence.meta.dependent.clustered import Clustered, Turned, read_clustered, turn
from retroevidence.meta.dependent.columns import groups
from retroevidence.meta.dependent.mixed import Likelihood
from retroevidence.meta.dependent.multilevel import LIKELIHOODS, TESTS
from retroevidence.meta.dependent.multivariate_fit import STRUCTURES, between, directions
from retroevidence.meta.dependent.robust import Robust, robust
from retroevidence.meta.dependent.sandwich import LinearFit
from retroevidence.meta.interval import NAN, Interval, check_level, critical_value, two_sided
from retroevidence.meta.regression import Design
from retroevidence.meta.wording import decimals, listed, or_none

Floats = NDArray[np.float64]


def pool_multivariate(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    outcome: str,
    cluster: str,
    yi: str = "yi",
    vi: str = "vi",
    V: Any = None,
    rho: float | None = None,
    struct: str = "UN",
    method: str = "REML",
    test: str = "t",
    level: float = 0.95,
) -> PooledMultivariate:
    """Pool several outcomes of the same studies together.

    ``y_j = Z_j (mu + u_j) + e_j`` with ``u_j ~ N(0, G)``: one mean per outcome, and a covariance G
    of the true effects between studies (Berkey et al. 1998,
    doi 10.1002/(SICI)1097-0258(19981130)17:22<2537::AID-SIM953>3.0.CO;2-C). An outcome that a study
    does not report is filled by what its other outcomes say.

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per study and outcome.
    outcome, cluster : str
        Columns of the outcome and of the study.
    yi, vi : str
        Columns of effects and sampling variances.
    V : SamplingCovariance or list of array_like or array_like, optional
        Covariance of the sampling errors, as in
        :func:`retroevidence.meta.dependent.multilevel.pool_multilevel`.
    rho : float, optional
        Or their assumed correlation within a study; 0 for independent errors.
    struct : str
        "UN" (all variances and correlations free), "DIAG" (no correlation between studies) or "CS"
        (one variance, one correlation, which among r outcomes is not below -1/(r - 1), so that G
        stays a covariance; metafor lets it go lower).
    method : str
        "REML" or "ML".
    test : str
        "t" with studies minus outcomes degrees of freedom, or "z".
    level : float
        Confidence of all intervals.

    Returns
    -------
    PooledMultivariate
        Means, G as `tau2` and `correlation`, and robust tests; it shows itself.

    Raises
    ------
    PoolError
        If neither or both of `V` and `rho` are given, an outcome occurs twice in a study, only one
        study has it (for UN and DIAG), or two outcomes never occur together (for UN).
    UnknownNameError
        If `struct`, `method` or `test` is unknown.

    Examples
    --------
    >>> frame = pd.DataFrame({
    ...     "trial": [1, 1, 2, 2, 3, 3, 4, 4],
    ...     "what": ["pain", "speed"] * 4,
    ...     "yi": [0.5, 0.2, 0.3, 0.1, 0.9, 0.5, 0.1, 0.2],
    ...     "vi": [0.02, 0.03, 0.02, 0.02, 0.05, 0.04, 0.03, 0.02],
    ... })
    >>> pool_multivariate(frame, outcome="what", cluster="trial", rho=0.5, struct="DIAG")
    Pooled outcomes, k = 8 effects of 2 outcomes in 4 clusters (REML, DIAG)
      Q  Q(6) = 10.42, p = 0.108
    <BLANKLINE>
      outcome estimate            95% CI     p        robust CI    tau²
         pain    0.415   [-0.124, 0.954] 0.080  [-0.033, 0.863]  0.0350
        speed   0.2189 [-0.1226, 0.5604] 0.110 [0.0005, 0.4374] 0.00000
    <BLANKLINE>
      - The variance of speed between studies is estimated as 0, and correlations with it ...
    """
    for kind, chosen, known in (
        ("method", method, LIKELIHOODS),
        ("test", test, TESTS),
        ("structure", struct, STRUCTURES),
    ):
        if chosen not in known:
            raise unknown_name(kind, chosen, known)
    check_level(level)
    if (V is None) == (rho is None):
        raise PoolError(
            "give the covariance of the sampling errors as V=, or their correlation within a "
            "study as rho= (0 for independent errors)."
        )
    data = read_clustered(effects, cluster=cluster, yi=yi, vi=vi, V=V, also=(outcome,))
    if len(data.labels) < 2:
        raise PoolError("all effects come from one cluster; pool each outcome by itself.")
    codes, names = _outcomes(data, outcome, struct)
    z = (np.arange(len(names)) == codes[:, None]).astype(float)
    data = replace(data, design=Design(z, tuple(names), adds_intercept=False))
    turned = turn(data, rho)
    likelihood = Likelihood(
        turned.base,
        np.concatenate([turned.x / np.sqrt(z.sum(axis=0))[:, None], turned.y[None, :]]),
        turned.x,
        directions(struct, len(names)),
        method == "REML",
    )
    notes = list(data.notes)
    g, peak = between(likelihood, struct, names, notes)
    return _result(data, turned, peak, g, likelihood, (method, test, struct, level), cluster, notes)


def _outcomes(data: Clustered, outcome: str, struct: str) -> tuple[NDArray[np.intp], list[str]]:
    """Return the outcomes, and check that the model can tell what it is asked for."""
    codes, labels = groups(data.frame[outcome])
    names = [str(label) for label in labels]
    pairs = pd.DataFrame({"cluster": data.codes, "outcome": codes})
    if pairs.duplicated().any():
        first = pairs[pairs.duplicated()].iloc[0]
        raise PoolError(
            f"{names[first['outcome']]} occurs twice in cluster {data.labels[first['cluster']]}; "
            "aggregate first, or use pool_multilevel."
        )
    once = np.bincount(codes) < 2
    if struct != "CS" and once.any():
        raise PoolError(
            f"{listed(np.array(names, dtype=object)[once])}: only one study has it, so its "
            'variance between studies cannot be estimated; leave it out, or use struct="CS".'
        )
    if struct == "UN":
        seen = (pd.crosstab(pairs["cluster"], pairs["outcome"]) > 0).to_numpy(float)
        together = seen.T @ seen
        apart = [
            f"{names[a]} and {names[b]}"
            for a, b in combinations(range(len(names)), 2)
            if together[a, b] == 0
        ]
        if apart:
            raise PoolError(
                f"{listed(np.array(apart, dtype=object))} never occur in one cluster, so their "
                'correlation cannot be estimated; use struct="DIAG" or "CS".'
            )
    return codes, names


def _result(
    data: Clustered,
    turned: Turned,
    peak: Peak,
    g: Floats,
    likelihood: Likelihood,
    choices: tuple[str, str, str, float],
    cluster: str,
    notes: list[str],
) -> PooledMultivariate:
    method, test, struct, level = choices
    k, count, names = len(data.y), len(data.labels), data.design.names
    point = peak.point
    df = math.inf if test == "z" else float(count - len(names))
    if df < 1:
        df = 1.0
        notes.append(
            f"{count} clusters for {len(names)} means: t with 1 degree of freedom is used."
        )
    root = np.sqrt(data.design.matrix.sum(axis=0))
    errors = np.sqrt(np.diag(g))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = g / np.outer(errors, errors)
    np.fill_diagonal(correlation, 1.0)
    q = likelihood(np.zeros(len(likelihood.directions))).rss
    return PooledMultivariate(
        measure=data.measure,
        method=method,
        test=test,
        struct=struct,
        level=level,
        k=k,
        clusters=count,
        outcomes=names,
        df=df,
        tau2=pd.Series(np.diag(g), index=list(names), name="tau2"),
        correlation=pd.DataFrame(correlation, index=list(names), columns=list(names)),
        loglik=point.log_likelihood,
        q=q,
        q_df=k - len(names),
        q_p_value=float(chdtrc(k - len(names), q)) if k > len(names) else NAN,
        notes=tuple(notes),
        cluster=cluster,
        linear=LinearFit(
            y=turned.y,
            x=turned.x,
            blocks=point.blocks,
            beta=point.beta / root,
            covariance=np.linalg.inv(point.information) / np.outer(root, root),
            names=names,
            frame=data.frame,
            order=turned.order,
            level=level,
        ),
    )


@dataclass(frozen=True, eq=False, repr=False)
class PooledMultivariate(Carded):
    """Means of several outcomes, made by :func:`pool_multivariate`.

    Attributes
    ----------
    coefficients : pandas.DataFrame
        One row per outcome: term, estimate, se, statistic, p_value, ci_low, ci_high, pi_low,
        pi_high (where the true effect of a new study is expected).
    robust : Robust
        CR2 tests by cluster.
    tau2, correlation : pandas.Series and pandas.DataFrame
        Variances of the true effects between clusters, and their correlations.
    loglik, q, q_df, q_p_value : float
        (Restricted) log likelihood with its constants, and Cochran's Q.
    k, clusters, outcomes, df, measure, method, test, struct, level, cluster
        Counts, names, and what was asked.
    notes : tuple of str
        What a reader must know before quoting the numbers.
    linear : LinearFit
        The linear model at the estimated variances, for a robust covariance.

    Examples
    --------
    >>> frame = {"yi": [0.1, 0.3, 0.2, 0.9], "vi": [0.1] * 4, "t": [1, 1, 2, 2], "o": [*"abab"]}
    >>> pool_multivariate(frame, outcome="o", cluster="t", rho=0.5, struct="CS").outcomes
    ('a', 'b')
    """

    measure: str
    method: str
    test: str
    struct: str
    level: float
    k: int
    clusters: int
    outcomes: tuple[str, ...]
    df: float
    tau2: pd.Series[float]
    correlation: pd.DataFrame
    loglik: float
    q: float
    q_df: int
    q_p_value: float
    notes: tuple[str, ...]
    cluster: str
    linear: LinearFit = field(repr=False)

    @cached_property
    def robust(self) -> Robust:
        """CR2 tests by cluster."""
        return robust(self)

    @cached_property
    def coefficients(self) -> pd.DataFrame:
        """One row per outcome: its mean with test, confidence and prediction interval."""
        beta = self.linear.beta
        variance = np.diag(self.linear.covariance)
        se = np.sqrt(variance)
        critical = critical_value(self.level, self.df)
        spread = critical * np.sqrt(variance + self.tau2.to_numpy())
        return pd.DataFrame(
            {
                "term": list(self.outcomes),
                "estimate": beta,
                "se": se,
                "statistic": beta / se,
                "p_value": [two_sided(float(t), self.df) for t in beta / se],
                "ci_low": beta - critical * se,
                "ci_high": beta + critical * se,
                "pi_low": beta - spread,
                "pi_high": beta + spread,
            }
        )

    def ci(self, outcome: str) -> Interval:
        """Return the confidence interval of one outcome's mean.

        Parameters
        ----------
        outcome : str
            One of `outcomes`.

        Returns
        -------
        Interval
            Limits at `level`, on the scale of the effects.

        Raises
        ------
        UnknownNameError
            If there is no such outcome.
        """
        if outcome not in self.outcomes:
            raise unknown_name("outcome", outcome, self.outcomes)
        row = self.coefficients.iloc[self.outcomes.index(outcome)]
        return Interval(float(row["ci_low"]), float(row["ci_high"]))

    @property
    def studies(self) -> pd.DataFrame:
        """The rows that entered, as given and with their index."""
        return self.linear.frame

    @property
    def summary(self) -> pd.DataFrame:
        """One row per outcome with every number."""
        common = {
            name: getattr(self, name)
            for name in (
                "method",
                "test",
                "struct",
                "level",
                "k",
                "clusters",
                "loglik",
                "q",
                "q_df",
            )
        }
        table = self.coefficients.assign(tau2=self.tau2.to_numpy(), **common)
        return table.assign(notes=" ".join(self.notes))

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        return {
            "measure": self.measure,
            "method": self.method,
            "test": self.test,
            "struct": self.struct,
            "level": self.level,
            "k": self.k,
            "clusters": self.clusters,
            "coefficients": self.coefficients.to_dict("records"),
            "tau2": {name: float(value) for name, value in self.tau2.items()},
            "correlation": {
                str(a): {str(b): or_none(float(value)) for b, value in row.items()}
                for a, row in self.correlation.iterrows()
            },
            "loglik": self.loglik,
            "q": self.q,
            "q_df": self.q_df,
            "q_p_value": or_none(self.q_p_value),
            "notes": list(self.notes),
        }

    def _card(self) -> Card:
        rows = []
        sandwich = self.robust.coefficients if self.clusters > len(self.outcomes) else None
        for i, row in self.coefficients.iterrows():
            digits = decimals(float(row["se"]))
            tau2 = float(self.tau2.iloc[int(str(i))])
            shown = {
                "outcome": row["term"],
                "estimate": number(row["estimate"], digits),
                f"{confidence(self.level)} CI": interval(row["ci_low"], row["ci_high"], digits),
                "p": p_text(row["p_value"]).removeprefix("p ").strip("= "),
            }
            if sandwich is not None:
                tested = sandwich.iloc[int(str(i))]
                shown["robust CI"] = interval(tested["ci_low"], tested["ci_high"], digits)
            shown["tau²"] = number(tau2, decimals(tau2 or float(row["se"]) ** 2))
            rows.append(shown)
        pairs = [("Q", f"Q({self.q_df}) = {number(self.q, 2)}, {p_text(self.q_p_value)}")]
        if self.struct != "DIAG":
            pairs += [
                (
                    f"correlation of {a} and {b}",
                    number(float(str(self.correlation.loc[a, b])), 2),
                )
                for a, b in combinations(self.outcomes, 2)
            ]
        title = (
            f"Pooled {'outcomes' if not self.measure else self.measure}, k = {self.k} effects of "
            f"{len(self.outcomes)} outcomes in {self.clusters} clusters "
            f"({self.method}, {self.struct})"
        )
        return Card(title, pairs, pd.DataFrame(rows), self.notes)

"""The answer of a pooled analysis: plain numbers that show themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, interval, number, p_text, percent
from retroevidence.meta.heterogeneity import i2_h2, q_profile, q_test
from retroevidence.meta.interval import (
    NAN,
    NO_INTERVAL,
    TESTS,
    Interval,
    critical_value,
    two_sided,
)
from retroevidence.meta.regression import Design
from retroevidence.meta.tau2 import tau2_standard_error
from retroevidence.meta.wording import (
    IN_PERCENT,
    RATIOS,
    decimals,
    exp_of,
    flattened,
    or_none,
    rounded_coefficients,
    study_names,
)

if TYPE_CHECKING:
    from retroevidence.meta.prediction import Passing
    from retroevidence.meta.tau2_intervals import Tau2Interval

Floats = NDArray[np.float64]
#: The numbers of a result, in the order of its table.
NUMBERS = (
    *("measure", "method", "test", "level", "k", "estimate", "se", "statistic", "df", "p_value"),
    *("ci", "z_ci", "modified_ci", "prediction", "tau2", "tau2_se", "i2", "i2_q", "h2"),
    *("q", "q_df", "q_p_value", "r2", "qm", "qm_df", "qm_p_value", "notes"),
)


@dataclass(frozen=True)
class Fit:
    """The arrays behind a pooled result, for whoever refits or predicts.

    Examples
    --------
    >>> import retroevidence.meta.pool as p
    >>> p.pool(yi=[0.1, 0.4], vi=[0.1, 0.1]).fit.yi.tolist()
    [0.1, 0.4]
    """

    yi: Floats
    vi: Floats
    design: Design
    tau2: float
    beta: Floats
    covariance: Floats
    rows: pd.DataFrame | None = None
    shared: Fit | None = None

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows that enter, as given; made on demand when only numbers were given."""
        return pd.DataFrame({"yi": self.yi, "vi": self.vi}) if self.rows is None else self.rows

    @property
    def variance_fit(self) -> Fit:
        """The fit whose studies gave tau²: this one, or the one of all subgroups that share it."""
        return self.shared or self

    @property
    def x(self) -> Floats:
        """Design matrix of the studies that enter."""
        return self.design.matrix

    @property
    def weights(self) -> Floats:
        """Weights 1/(vi + tau²), in percent."""
        weights = 1 / (self.vi + self.tau2)
        share: Floats = 100 * weights / weights.sum()
        return share


@dataclass(frozen=True, eq=False, repr=False)
class Pooled:
    """A pooled mean or a meta-regression, made by :func:`retroevidence.meta.pool.pool`.

    All numbers are plain floats on the scale of the effects (log for ratios). I², R² and weights
    are in percent. Undefined is NaN, and `notes` says why.

    Attributes
    ----------
    estimate, se, statistic, df, p_value, ci : float and Interval
        The mean and its test (with moderators: the first coefficient, the intercept when there is
        one). `df` is infinite for a z test.
    z_ci, modified_ci : Interval
        The same mean with a z interval, and with the Knapp-Hartung interval whose standard error
        never falls below the one of z (Röver et al. 2015, doi 10.1186/s12874-015-0091-1).
    prediction : Interval
        Where the true effect of a new study is expected (with moderators: see `predict`).
    tau2, tau2_se, tau2_ci, i2, i2_ci, i2_q, h2, h2_ci : float and Interval
        Variance between studies; Q-profile limits; share of the variance that is between studies,
        from tau² (`i2`) and from Q (`i2_q`).
    q, q_df, q_p_value : float
        Cochran's Q (residual Q with moderators).
    r2, qm, qm_df, qm_p_value : float
        Share of tau² that the moderators explain, and their joint test (chi-squared for a z test,
        F otherwise); NaN without moderators.
    k, measure, method, test, level : int, str and float
        Number of effects, and what was asked; `test` is the one used, which a note explains when
        it is not the one asked for.
    notes : tuple of str
        What a reader must know before quoting the numbers.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> round(pooled.ci.low, 3), round(pooled.ci.high, 3)
    (-0.142, 0.75)
    """

    measure: str
    method: str
    test: str
    level: float
    k: int
    estimate: float
    se: float
    statistic: float
    df: float
    p_value: float
    ci: Interval
    z_ci: Interval
    modified_ci: Interval
    prediction: Interval
    tau2: float
    r2: float
    qm: float
    qm_df: int
    qm_p_value: float
    notes: tuple[str, ...]
    fit: Fit

    def __eq__(self, other: object) -> bool:
        """Compare every number and note, not the frames."""
        return isinstance(other, Pooled) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash what equality compares."""
        return hash(self._key())

    def _key(self) -> tuple[str, ...]:
        # repr of a float is exact and treats NaN as equal to itself.
        return tuple(repr(value) for value in self._plain().values())

    def _plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in NUMBERS}

    # Heterogeneity, computed when it is asked for --------------------------------------------

    @cached_property
    def tau2_se(self) -> float:
        """Standard error of tau²; NaN for a common effect and for one study."""
        fit = self.fit.variance_fit
        if len(fit.yi) == fit.x.shape[1]:
            return NAN
        return tau2_standard_error(fit.yi, fit.vi, fit.x, self.method, fit.tau2)

    @property
    def q(self) -> float:
        """Cochran's Q (residual Q with moderators)."""
        return self._q_test[0]

    @property
    def q_df(self) -> int:
        """Degrees of freedom of `q`."""
        return len(self.fit.yi) - len(self.fit.beta)

    @property
    def q_p_value(self) -> float:
        """Upper tail of chi-squared beyond `q`."""
        return self._q_test[1]

    @property
    def i2(self) -> float:
        """Share of the variance that is between studies, in percent."""
        return self._shares[0]

    @property
    def h2(self) -> float:
        """Total variance of a typical study over its sampling variance."""
        return self._shares[1]

    @property
    def i2_q(self) -> float:
        """I² from Q, in percent: ``max(0, (Q - df)/Q)``."""
        if math.isnan(self.q):
            return NAN
        return max(0.0, 100 * (self.q - self.q_df) / self.q) if self.q > 0 else 0.0

    @cached_property
    def _q_test(self) -> tuple[float, float]:
        if not self.q_df:
            return NAN, NAN
        q, _, p_value = q_test(self.fit.yi, self.fit.vi, self.fit.x)
        return q, p_value

    @cached_property
    def _shares(self) -> tuple[float, float]:
        if not self.q_df:
            return NAN, NAN
        if self.method == "CE":
            return self.i2_q, self.q / self.q_df
        return i2_h2(self.tau2, self.fit.vi, self.fit.x)

    @cached_property
    def coefficients(self) -> pd.DataFrame:
        """One row per coefficient: term, estimate, se, statistic, p_value, ci_low, ci_high."""
        fit = self.fit
        se = np.sqrt(np.diag(fit.covariance))
        statistic = fit.beta / se
        reach = critical_value(self.level, self.df) * se
        return pd.DataFrame(
            {
                "term": list(fit.design.names),
                "estimate": fit.beta,
                "se": se,
                "statistic": statistic,
                "p_value": [two_sided(float(value), self.df) for value in statistic],
                "ci_low": fit.beta - reach,
                "ci_high": fit.beta + reach,
            }
        )

    @cached_property
    def vif(self) -> pd.DataFrame:
        """How much each moderator's variance grows because the moderators resemble each other.

        One row per term of the model (the columns of a factor together): `columns`, `vif` and
        `per_column`. The generalised variance inflation factor is ``det(R11) det(R22) / det(R)``
        for the correlations R of the coefficients without the intercept, and `per_column` is
        ``vif**(1 / (2 columns))``, which compares across terms (Fox & Monette 1992,
        doi 10.1080/01621459.1992.10475190). 1 is no inflation. Empty without moderators.

        >>> from retroevidence.meta.pool import pool
        >>> x = [[1, 2], [2, 1], [3, 5], [4, 3], [5, 7]]
        >>> pool(yi=[0.1, 0.3, 0.8, 0.9, 0.7], vi=[0.02] * 5, mods=x).vif["vif"].round(3).tolist()
        [2.636, 2.636]
        """
        which = self.fit.design.moderators
        covariance = self.fit.covariance[np.ix_(which, which)]
        scale = np.sqrt(np.diag(covariance))
        correlation = covariance / np.outer(scale, scale)
        rows = []
        for term, columns in self.fit.design.terms.items():
            own = [which.index(i) for i in columns]
            rest = [i for i in range(len(which)) if i not in own]
            # Logarithms, as determinants of many columns underflow.
            own_part, rest_part, whole = (
                np.linalg.slogdet(correlation[np.ix_(part, part)])[1]
                for part in (own, rest, own + rest)
            )
            size = float(own_part + rest_part - whole)
            vif, per_column = math.exp(size), math.exp(size / (2 * len(own)))
            rows.append((term, len(own), vif, per_column))
        return pd.DataFrame(rows, columns=["term", "columns", "vif", "per_column"])

    @cached_property
    def tau2_ci(self) -> Interval:
        """Q-profile confidence limits for tau²."""
        fit = self.fit.variance_fit
        if self.method == "CE" or len(fit.yi) == fit.x.shape[1]:
            return NO_INTERVAL
        return Interval(*q_profile(fit.yi, fit.vi, fit.x, self.level))

    def tau2_interval(
        self, kind: str = "q-profile", *, level: float | None = None, a: float = 0.0
    ) -> Tau2Interval:
        """Return limits for tau², tau, I² and H² by a named method.

        Parameters
        ----------
        kind, level, a
            As in :func:`retroevidence.meta.tau2_intervals.tau2_interval`: "q-profile", "profile",
            "generalised-q" (with weights ``1/(vi + a)``) or "higgins-thompson".

        Returns
        -------
        Tau2Interval
            Limits that show themselves.

        Examples
        --------
        >>> from retroevidence.meta.pool import pool
        >>> pooled = pool(yi=[0.0, 1.0, 3.0, 2.0], vi=[0.1, 0.2, 0.3, 0.1])
        >>> round(pooled.tau2_interval("profile").tau2.low, 3)
        0.286
        """
        from retroevidence.meta.tau2_intervals import tau2_interval

        return tau2_interval(self, kind, level=level, a=a)

    @cached_property
    def i2_ci(self) -> Interval:
        """Limits for I² in percent, from those of tau²."""
        return self._from_tau2_ci(0)

    @cached_property
    def h2_ci(self) -> Interval:
        """Limits for H², from those of tau²."""
        return self._from_tau2_ci(1)

    def _from_tau2_ci(self, which: int) -> Interval:
        if math.isnan(self.tau2_ci.low):
            return NO_INTERVAL
        fit = self.fit.variance_fit
        low, high = (i2_h2(limit, fit.vi, fit.x)[which] for limit in self.tau2_ci)
        return Interval(low, high)

    @property
    def tau(self) -> float:
        """Standard deviation between studies, on the scale of the effects."""
        return math.sqrt(self.tau2)

    @cached_property
    def studies(self) -> pd.DataFrame:
        """The rows that entered, as given and with their index, plus `weight` in percent."""
        return self.fit.frame.assign(weight=self.fit.weights)

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number; several of them concatenate to a summary table."""
        row = self.to_dict()
        row["notes"] = " ".join(self.notes)
        row.pop("coefficients", None)
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        plain = self._plain()
        plain |= {name: getattr(self, name) for name in ("tau2_ci", "i2_ci", "h2_ci")}
        flat = flattened(plain)
        if self._has_moderators:
            flat["coefficients"] = [
                {key: or_none(v) if isinstance(v, float) else v for key, v in row.items()}
                for row in self.coefficients.to_dict("records")
            ]
        return flat

    def predict(self, newdata: Any = None) -> pd.DataFrame:
        """Return expected effects of new studies, with confidence and prediction intervals.

        Parameters
        ----------
        newdata : pandas.DataFrame or dict or array_like, optional
            Moderators of the new studies: columns named as in the formula, or the columns of the
            array given as `mods` in their order. Without moderators it is not needed; the studies
            themselves are the default.

        Returns
        -------
        pandas.DataFrame
            One row per new study, with its index: estimate, se, ci_low, ci_high, pi_low, pi_high.

        Raises
        ------
        PoolError
            If a column of the formula is missing.

        Examples
        --------
        >>> from retroevidence.meta.pool import pool
        >>> fit = pool(yi=[0.1, 0.3, 0.8, 0.9], vi=[0.02] * 4, mods=[[1], [2], [3], [4]])
        >>> fit.predict([[5]]).round(3).iloc[0, :4].tolist()
        [1.25, 0.142, 0.638, 1.862]
        """
        fit = self.fit
        if newdata is not None and self._has_moderators:
            rows, index = fit.design.rows(newdata)
        elif self._has_moderators:
            rows, index = fit.x, fit.frame.index
        else:
            rows, index = np.ones((1, 1)), pd.RangeIndex(1)
        estimate = rows @ fit.beta
        se = np.sqrt(np.sum((rows @ fit.covariance) * rows, axis=1))
        reach = critical_value(self.level, self.df)
        spread = np.sqrt(self.tau2 + se**2) if self._can_predict else np.full_like(se, NAN)
        return pd.DataFrame(
            {
                "estimate": estimate,
                "se": se,
                "ci_low": estimate - reach * se,
                "ci_high": estimate + reach * se,
                "pi_low": estimate - reach * spread,
                "pi_high": estimate + reach * spread,
            },
            index=index,
        )

    def prediction_interval(
        self,
        kind: str,
        *,
        level: float | None = None,
        seed: int = 0,
        draws: int = 25_000,
    ) -> Interval:
        """Return a prediction interval for a new study's true effect by a named method.

        Parameters
        ----------
        kind, level, seed, draws
            As in :func:`retroevidence.meta.prediction.prediction_interval`: "z", "t", "hk", "hts",
            "hk-pr" or "bootstrap".

        Returns
        -------
        Interval
            On the scale of the effects.

        Examples
        --------
        >>> from retroevidence.meta.pool import pool
        >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
        >>> low, high = pooled.prediction_interval("hk")
        >>> abs(low - pooled.prediction.low) < 1e-12 and abs(high - pooled.prediction.high) < 1e-12
        True
        """
        from retroevidence.meta.prediction import prediction_interval

        return prediction_interval(self, kind, level=level, seed=seed, draws=draws)

    def probability(self, *, above: float | None = None, below: float | None = None) -> Passing:
        """Return how likely the true effect of a new study lies beyond a mark.

        Parameters
        ----------
        above, below : float
            The mark, as in :func:`retroevidence.meta.prediction.probability`; give one of the two.

        Returns
        -------
        Passing
            The chance for one new study, and the share of all true effects with its interval.

        Examples
        --------
        >>> from retroevidence.meta.pool import pool
        >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
        >>> round(pooled.probability(above=0).probability, 2)
        0.85
        """
        from retroevidence.meta.prediction import probability

        return probability(self, above=above, below=below)

    @property
    def _has_moderators(self) -> bool:
        return bool(self.fit.design.moderators)

    @property
    def _can_predict(self) -> bool:
        return self.method != "CE" and not math.isnan(self.tau2)

    # Display --------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """Return the card as text."""
        return self._card().text()

    def _repr_html_(self) -> str:
        """Return the card as HTML, with the studies."""
        return self._card(with_studies=True).html()

    def _card(self, *, with_studies: bool = False) -> Card:
        level = percent(self.level, 0 if round(self.level * 100, 6).is_integer() else 1)
        digits = decimals(self.se)
        pairs: list[tuple[str, str]] = []
        table: pd.DataFrame | None
        if self._has_moderators:
            pairs += self._moderator_lines()
            table = rounded_coefficients(self.coefficients, digits)
        else:
            pairs += self._mean_lines(level, digits)
            table = self._study_table(digits) if with_studies else None
        pairs += self._heterogeneity_lines(level)
        if not self._has_moderators and self.test in ("knha", "t", "adhoc"):
            pairs.append(
                (
                    "beside it",
                    f"z {interval(*self.z_ci, digits)}, "
                    f"modified Knapp-Hartung {interval(*self.modified_ci, digits)}",
                )
            )
        what = f"Pooled {self.measure}" if self.measure else "Pooled effect"
        if self._has_moderators:
            what = f"Meta-regression of {self.measure or 'effects'}"
        title = f"{what}, {self._count()} ({self.method}, {TESTS[self.test]})"
        return Card(title, pairs, table, self.notes)

    def _count(self) -> str:
        ids = self.fit.frame.get("study_id")
        studies = self.k if ids is None else int(ids.nunique())
        if studies == self.k:
            return f"k = {self.k} {'study' if self.k == 1 else 'studies'}"
        return f"k = {self.k} effects from {studies} {'study' if studies == 1 else 'studies'}"

    def _mean_lines(self, level: str, digits: int) -> list[tuple[str, str]]:
        ratio = RATIOS.get(self.measure)
        lines = [
            (
                f"log {ratio}" if ratio else "estimate",
                f"{number(self.estimate, digits)}  {level} CI {interval(*self.ci, digits)}, "
                f"{p_text(self.p_value)}",
            )
        ]
        if ratio:
            lines.append((ratio, self._ratio(level)))
        if self.measure in IN_PERCENT:
            lines.append(("in percent", self._percent_change(level)))
        lines.append(("a new study", f"{level} PI {interval(*self.prediction, digits)}"))
        return lines

    def _ratio(self, level: str) -> str:
        low, high = (exp_of(limit) for limit in self.ci)
        return f"{number(exp_of(self.estimate))}  {level} CI {interval(low, high)}"

    def _percent_change(self, level: str) -> str:
        middle, low, high = (100 * (exp_of(v) - 1) for v in (self.estimate, *self.ci))
        return f"{number(middle, 1)}%  {level} CI {interval(low, high, 1)}"

    def _moderator_lines(self) -> list[tuple[str, str]]:
        if self.test == "z":
            joint = f"QM({self.qm_df}) = {number(self.qm)}"
        else:
            joint = f"F({self.qm_df}, {self.q_df}) = {number(self.qm)}"
        explained = "" if math.isnan(self.r2) else f", R² = {percent(self.r2 / 100)}"
        return [("moderators", f"{joint}, {p_text(self.qm_p_value)}{explained}")]

    def _heterogeneity_lines(self, level: str) -> list[tuple[str, str]]:
        if math.isnan(self.tau2):
            return [("between studies", "not estimable from one study")]
        kind = "residual " if self._has_moderators else ""
        lines = []
        if self.method != "CE":
            # An estimate of 0 has no size of its own: show it as finely as the mean allows.
            digits = decimals(self.tau2 if self.tau2 > 0 else self.se**2)
            tau = number(self.tau, decimals(self.tau or self.se))
            limits = interval(*self.tau2_ci, digits)
            lines.append(
                (
                    f"{kind}tau²",
                    f"{number(self.tau2, digits)}  {level} CI {limits}, tau = {tau}",
                )
            )
        shares = f"{percent(self.i2 / 100)}"
        if not math.isnan(self.i2_ci.low):
            shares += f"  {level} CI [{percent(self.i2_ci.low / 100)}, "
            shares += f"{percent(self.i2_ci.high / 100)}]"
        lines.append((f"{kind}I²", shares))
        lines.append(("Q", f"Q({self.q_df}) = {number(self.q, 2)}, {p_text(self.q_p_value)}"))
        return lines

    def _study_table(self, digits: int) -> pd.DataFrame:
        fit = self.fit
        reach = critical_value(self.level, math.inf) * np.sqrt(fit.vi)
        names = study_names(fit.frame)
        return pd.DataFrame(
            {
                "study": names,
                "effect": [number(float(y), digits) for y in fit.yi],
                f"{percent(self.level)} CI": [
                    interval(float(y - r), float(y + r), digits)
                    for y, r in zip(fit.yi, reach, strict=True)
                ],
                "weight": [f"{w:.1f}%" for w in fit.weights],
            }
        )

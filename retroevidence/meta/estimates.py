"""The numbers of a pooled analysis: those of the fit, and those computed when asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.meta.fit import Fit
from retroevidence.meta.heterogeneity import i2_h2, q_profile, q_test
from retroevidence.meta.interval import NAN, NO_INTERVAL, Interval, critical_value, two_sided
from retroevidence.meta.tau2 import tau2_standard_error
from retroevidence.meta.wording import flattened, or_none

#: The numbers of a result, in the order of its table.
NUMBERS = (
    *("measure", "method", "test", "level", "k", "estimate", "se", "statistic", "df", "p_value"),
    *("ci", "z_ci", "modified_ci", "prediction", "tau2", "tau2_se", "i2", "i2_q", "h2"),
    *("q", "q_df", "q_p_value", "r2", "qm", "qm_df", "qm_p_value", "notes"),
)


@dataclass(frozen=True, eq=False, repr=False)
class Estimates:
    """The numbers of a mean or a meta-regression, all that :class:`Pooled` has but its methods.

    :class:`retroevidence.meta.result.Pooled` explains them. What needs no more than the numbers,
    such as a prediction interval, takes this class, and `Pooled` offers it as a method.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> isinstance(pool(yi=[0.1, 0.4], vi=[0.1, 0.1]), Estimates)
    True
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
        return isinstance(other, Estimates) and self._key() == other._key()

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
        if self.fit.design.moderators:
            flat["coefficients"] = [
                {key: or_none(v) if isinstance(v, float) else v for key, v in row.items()}
                for row in self.coefficients.to_dict("records")
            ]
        return flat

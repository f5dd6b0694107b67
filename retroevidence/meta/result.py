"""The answer of a pooled analysis: plain numbers that show themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.meta.estimates import Estimates
from retroevidence.meta.interval import NAN, Interval, critical_value
from retroevidence.meta.pooled_card import card
from retroevidence.meta.prediction import Passing, prediction_interval, probability
from retroevidence.meta.tau2_intervals import Tau2Interval, tau2_interval


@dataclass(frozen=True, eq=False, repr=False)
class Pooled(Estimates):
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
        Share of tau² that the moderators explain (NaN without an intercept), and their joint test
        (chi-squared for a z test, F otherwise); NaN without moderators.
    k, measure, method, test, level : int, str and float
        Number of effects, and what was asked; `test` is the one used, which a note explains when
        it is not the one asked for.
    notes : tuple of str
        What a reader must know before quoting the numbers.
    fit : Fit
        The arrays behind the numbers, for functions that go on from the result.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> pooled = pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])
    >>> round(pooled.ci.low, 3), round(pooled.ci.high, 3)
    (-0.142, 0.75)
    """

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
        return tau2_interval(self, kind, level=level, a=a)

    def predict(self, newdata: Any = None) -> pd.DataFrame:
        """Return expected effects of new studies, with confidence and prediction intervals.

        Parameters
        ----------
        newdata : pandas.DataFrame or dict or array_like, optional
            Moderators of the new studies: columns named as in the formula, or the columns of the
            array given as `mods` in their order. The studies themselves when not given; one row
            for a plain mean, whose new studies need no columns.

        Returns
        -------
        pandas.DataFrame
            One row per new study, with its index: estimate, se, ci_low, ci_high, pi_low, pi_high.
            NaN where a moderator is missing or infinite.

        Raises
        ------
        PoolError
            If a column is missing or twice there, or holds what the studies do not have: words for
            numbers, or another level of a factor.

        Examples
        --------
        >>> from retroevidence.meta.pool import pool
        >>> fit = pool(yi=[0.1, 0.3, 0.8, 0.9], vi=[0.02] * 4, mods=[[1], [2], [3], [4]])
        >>> fit.predict([[5]]).round(3).iloc[0, :4].tolist()
        [1.25, 0.142, 0.638, 1.862]
        """
        fit = self.fit
        if newdata is not None:
            rows, index = fit.design.rows(newdata)
        elif self.fit.design.moderators:
            rows, index = fit.x, fit.frame.index
        else:
            rows, index = np.ones((1, 1)), pd.RangeIndex(1)
        estimate = rows @ fit.beta
        # Where weights differ by many powers of ten, rounding can leave a variance below 0.
        se = np.sqrt(np.maximum(np.sum((rows @ fit.covariance) * rows, axis=1), 0.0))
        reach = critical_value(self.level, self.df)
        spread = np.sqrt(self.tau2 + se**2) if self.method != "CE" else np.full_like(se, NAN)
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
        return probability(self, above=above, below=below)

    def __repr__(self) -> str:
        """Return the card as text."""
        return card(self).text()

    def _repr_html_(self) -> str:
        """Return the card as HTML, with the studies."""
        return card(self, with_studies=True).html()

"""What pooling exact and bounded effects gives, and how it shows itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from retroevidence._show import Card, Carded, confidence, interval, number, p_text, percent
from retroevidence.meta.censored.cases import fit_rows, tau2_limits
from retroevidence.meta.censored.inputs import read_effects
from retroevidence.meta.censored.likelihood import Rows, terms
from retroevidence.meta.censored.notes import remarks
from retroevidence.meta.interval import NAN, NO_INTERVAL, Interval, critical_value
from retroevidence.meta.wording import (
    IN_PERCENT,
    RATIOS,
    decimals,
    exp_of,
    flattened,
    study_names,
)

METHODS = {
    "REML": "restricted maximum likelihood",
    "ML": "maximum likelihood",
}
MODELS = {"random": "random effects", "fixed": "fixed effect"}
#: How the interval of the mean is made, by the name in `PooledCensored.test`.
TESTS = {
    "adhoc": "modified Knapp-Hartung",
    "profile": "profile likelihood",
    "likelihood": "likelihood ratio",
    "extreme": "one-sided limit",
    "none": "no interval",
}


@dataclass(frozen=True, eq=False, repr=False)
class PooledCensored(Carded):
    """A pooled mean of exact and bounded effects, made by :func:`pool_censored`.

    Attributes
    ----------
    estimate, se, statistic, df, p_value, ci : float and Interval
        The mean and its test. `se` comes from the curvature of the likelihood at the estimate;
        the interval follows the likelihood itself and need not be symmetric.
    prediction : Interval
        Where the true effect of a new study is expected; NaN for the fixed model.
    tau2, tau2_ci, i2 : float and Interval
        Variance between studies with its profile-likelihood limits, and its share in percent.
    k, k_exact, k_bounded : int
        Rows that entered.
    worth : float
        How many exact rows hold the same information as all rows together.
    loglik : float
        Log likelihood at the estimate, for REML with mu integrated out. It mixes densities and
        probabilities: compare it between models of the same rows only.
    measure, method, model, test, level : str and float
        What was asked; `method` and `test` are the ones used, which a note explains when they are
        not the ones asked for.
    notes : tuple of str
        What a reader must know before quoting the numbers.
    rows, frame : Rows and pandas.DataFrame
        The rows that entered: as intervals, and as given.

    Examples
    --------
    >>> from retroevidence.meta.censored.pool import pool_censored
    >>> pooled = pool_censored({"yi": [0.4, 0.1, 0.7], "vi": [0.05, 0.04, 0.06]})
    >>> pooled.k_bounded, round(pooled.estimate, 3)
    (0, 0.378)
    """

    measure: str
    method: str
    model: str
    test: str
    level: float
    k: int
    k_exact: int
    k_bounded: int
    worth: float
    estimate: float
    se: float
    statistic: float
    df: float
    p_value: float
    ci: Interval
    prediction: Interval
    tau2: float
    i2: float
    loglik: float
    notes: tuple[str, ...]
    rows: Rows
    frame: pd.DataFrame

    @classmethod
    def fitted(
        cls, effects: pd.DataFrame | Mapping[str, Any], *, method: str, model: str, level: float
    ) -> PooledCensored:
        """Fit effects whose options are checked already; `pool_censored` is the way in.

        Parameters
        ----------
        effects, method, model, level
            As in :func:`retroevidence.meta.censored.pool.pool_censored`.

        Returns
        -------
        PooledCensored
            The fitted result.
        """
        frame, rows, measure, left_out = read_effects(effects)
        numbers, notes = fit_rows(rows, method=method, model=model, level=level)
        return cls(
            measure=measure,
            model=model,
            level=level,
            k=len(rows),
            k_exact=int(rows.exact.sum()),
            k_bounded=int((~rows.exact).sum()),
            rows=rows,
            frame=frame,
            **numbers,
            notes=(*left_out, *notes, *remarks(frame, rows, model, numbers)),
        )

    def __eq__(self, other: object) -> bool:
        """Compare every number and note, not the frames."""
        return isinstance(other, PooledCensored) and self._key() == other._key()

    def __hash__(self) -> int:
        """Hash what equality compares."""
        return hash(self._key())

    def _key(self) -> tuple[str, ...]:
        # repr of a float is exact and treats NaN as equal to itself.
        return tuple(repr(value) for value in self._plain().values())

    def _plain(self) -> dict[str, Any]:
        names = [name for name in self.__dataclass_fields__ if name not in ("rows", "frame")]
        return {name: getattr(self, name) for name in names}

    @cached_property
    def tau2_ci(self) -> Interval:
        """Profile-likelihood limits for tau², from the restricted likelihood for REML."""
        if self.model == "fixed" or math.isnan(self.tau2):
            return NO_INTERVAL
        return tau2_limits(self.rows, self.tau2, method=self.method, level=self.level)

    @property
    def tau(self) -> float:
        """Standard deviation between studies, on the scale of the effects."""
        return math.sqrt(self.tau2)

    @cached_property
    def studies(self) -> pd.DataFrame:
        """The rows that entered, as given and with their index, plus three columns.

        ``form`` is "exact" or "bounded"; ``information`` is the share of a fully reported row's
        information, from 0 to 1; ``weight`` is the row's share in that of the mean, in percent.
        """
        form = np.where(self.rows.exact, "exact", "bounded")
        if math.isnan(self.estimate):
            missing = np.full(self.k, NAN)
            return self.frame.assign(form=form, information=missing, weight=missing)
        tau2 = 0.0 if math.isnan(self.tau2) else self.tau2
        information = 1 - terms(self.rows, self.estimate, tau2).spread
        weight = information / (self.rows.v + tau2)
        return self.frame.assign(
            form=form, information=information, weight=100 * weight / weight.sum()
        )

    @cached_property
    def without_bounded(self) -> PooledCensored | None:
        """The same analysis of the exact rows alone; None without an exact or a bounded row."""
        if not (self.k_exact and self.k_bounded):
            return None
        method = "ML" if self.method == "ML" else "REML"
        exact = self.frame[self.rows.exact]
        return self.fitted(exact, method=method, model=self.model, level=self.level)

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number; several of them concatenate to a summary table."""
        row = self.to_dict()
        row["notes"] = " ".join(self.notes)
        return pd.DataFrame([row])

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        return flattened(self._plain() | {"tau2_ci": self.tau2_ci})

    # Display --------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        """Return the card as HTML, with the studies."""
        return self._card(with_studies=True).html()

    def _card(self, *, with_studies: bool = False) -> Card:
        level = confidence(self.level)
        digits = decimals(self.se)
        what = f"Pooled {self.measure}" if self.measure else "Pooled effect"
        counts = f"{self.k_exact} exact and {self.k_bounded} bounded results"
        pairs = self._mean_lines(level, digits)
        if self.model == "random" and not math.isnan(self.tau2):
            digits2 = decimals(self.tau2 if self.tau2 > 0 else self.se**2)
            limits = interval(*self.tau2_ci, digits2)
            tau = number(self.tau, decimals(self.tau or self.se))
            text = f"{number(self.tau2, digits2)}  {level} CI {limits}, tau = {tau}"
            pairs += [("tau²", text), ("I²", percent(self.i2 / 100))]
        if self.k_bounded and not math.isnan(self.worth):
            pairs.append(("information", f"that of {number(self.worth, 1)} exact results"))
        title = f"{what}, {counts} ({self.method}, {TESTS[self.test]})"
        return Card(title, pairs, self._study_table(digits) if with_studies else None, self.notes)

    def _mean_lines(self, level: str, digits: int) -> list[tuple[str, str]]:
        ratio = RATIOS.get(self.measure)
        text = f"{number(self.estimate, digits)}  {level} CI {interval(*self.ci, digits)}"
        lines = [(f"log {ratio}" if ratio else "estimate", f"{text}, {p_text(self.p_value)}")]
        if ratio:
            middle, low, high = (exp_of(value) for value in (self.estimate, *self.ci))
            lines.append((ratio, f"{number(middle)}  {level} CI {interval(low, high)}"))
        if self.measure in IN_PERCENT:
            middle, low, high = (100 * (exp_of(v) - 1) for v in (self.estimate, *self.ci))
            text = f"{number(middle, 1)}%  {level} CI {interval(low, high, 1)}"
            lines.append(("in percent", text))
        if not math.isnan(self.prediction.low):
            text = f"{level} PI {interval(*self.prediction, digits)}"
            lines.append(("a new study", text))
        return lines

    def _study_table(self, digits: int) -> pd.DataFrame:
        reach = critical_value(self.level, math.inf) * np.sqrt(self.rows.v)
        effects, ranges = [], []
        for low, high, r in zip(self.rows.low, self.rows.high, reach, strict=True):
            exact = low == high
            effects.append(number(float(low), digits) if exact else "")
            ends = (low - r, high + r) if exact else (low, high)
            text = interval(float(ends[0]), float(ends[1]), digits)
            ranges.append(text if exact else f"{text} bounded")
        weights = [f"{w:.1f}%" if math.isfinite(w) else "" for w in self.studies["weight"]]
        return pd.DataFrame(
            {
                "study": study_names(self.frame),
                "effect": effects,
                f"{confidence(self.level)} CI, or limits": ranges,
                "weight": weights,
            }
        )

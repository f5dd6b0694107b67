"""Pooling effects of which some are only known to lie between two limits.

Trials print "p < .05", "no significant difference" or a direction where a number should be. Such
a row says between which limits its effect lies. Leaving it out biases the mean toward whatever was
printed in full; here it enters with what it says, and with nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtri

from retroevidence._show import Card, interval, number, p_text, percent
from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.censored_fit import best_mu, best_tau2, limit, profile, restricted, root
from retroevidence.meta.censored_likelihood import Rows, Terms, terms
from retroevidence.meta.heterogeneity import i2_h2
from retroevidence.meta.interval import (
    NAN,
    NO_INTERVAL,
    Interval,
    check_level,
    critical_value,
    two_sided,
)
from retroevidence.meta.wording import (
    IN_PERCENT,
    RATIOS,
    decimals,
    exp_of,
    flattened,
    listed,
    study_names,
)

Floats = NDArray[np.float64]

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
class PooledCensored:
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

    Examples
    --------
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
        fall = float(chdtri(1, 1 - self.level)) / 2
        rows, reml = self.rows, self.method == "REML"

        def log_l(t: float) -> tuple[float, float]:
            if reml:
                value, slope = restricted(rows, t)
            else:
                here = _at(rows, t)
                value, slope = here.loglik, here.slope_tau2
            return float(value), float(slope)

        top = log_l(self.tau2)[0]
        low = 0.0
        if self.tau2 > 0 and top - log_l(0.0)[0] > fall:
            low = root(lambda t: top - log_l(t)[0] - fall, 0.0, self.tau2)
        step = max(self.tau2, float(rows.v.min()))
        return Interval(low, limit(log_l, top, self.tau2, step, fall))

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
        return pool_censored(
            self.frame[self.rows.exact],
            method="ML" if self.method == "ML" else "REML",
            model=self.model,
            level=self.level,
        )

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

    def __repr__(self) -> str:
        """Return the card as text."""
        return self._card().text()

    def _repr_html_(self) -> str:
        """Return the card as HTML, with the studies."""
        return self._card(with_studies=True).html()

    def _card(self, *, with_studies: bool = False) -> Card:
        level = percent(self.level, 0 if round(self.level * 100, 6).is_integer() else 1)
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
                f"{percent(self.level)} CI, or limits": ranges,
                "weight": weights,
            }
        )


def pool_censored(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    method: str = "REML",
    model: str = "random",
    level: float = 0.95,
) -> PooledCensored:
    """Pool exact effects and effects of which only limits are known.

    Parameters
    ----------
    effects : pandas.DataFrame or mapping
        One row per effect with `yi` and `vi`, and `lower` and `upper` where `yi` is missing:
        limits on the scale of the effect, either of them infinite or missing when there is none.
        `study_id`, `label` and `measure` are used for names when present.
    method : {"REML", "ML"}
        REML: tau² from the likelihood with mu integrated out, and a small-sample interval for the
        mean. ML: maximum likelihood for both, and a profile-likelihood interval.
    model : {"random", "fixed"}
        "fixed" takes tau² as 0 and makes a likelihood-ratio interval, whatever the method.
    level : float
        Confidence of all intervals.

    Returns
    -------
    PooledCensored
        The mean with its interval, a prediction interval and tau². It shows itself. What the rows
        cannot tell is NaN, a limit they do not give is infinite, and a note says so.

    Raises
    ------
    PoolError
        If nothing can enter, a variance is not above 0, a lower limit exceeds the upper one, or
        measures are mixed.
    UnknownNameError
        If `method` or `model` is unknown.

    Notes
    -----
    Likelihood: with ``s_i = vi + tau²`` an exact row gives the normal density of `yi` with mean mu
    and variance ``s_i``, a bounded row ``Phi((upper - mu) / sqrt(s_i)) - Phi((lower - mu) /
    sqrt(s_i))``. Whether a row is printed in full may depend on what its limits tell, such as
    significance, but not on more. `vi` of a bounded row has to be worked out from its n at the
    limit, since its estimate is not known; it is taken as given.

    Without bounded rows ML equals ``pool(method="ML")`` and REML equals ``pool(method="REML",
    test="adhoc")``. In general, with ``e_i`` and ``V_i`` the mean and variance of ``z = (Y_i - mu)
    / sqrt(s_i)`` within the limits, the rows are worth ``m = sum(1 - V_i)`` exact ones (an exact
    row counts 1), the mean square of the residuals is ``q = sum(e_i²) / (m - 1)``, and the REML
    interval holds every mu with ``2 (log L(estimate) - log L(mu)) <= max(1, q) t²``, t the
    quantile with ``k - 1`` degrees of freedom, tau² held. That is the modified Knapp-Hartung
    interval carried over to a likelihood that need not be symmetric. In the simulation of
    ``benchmarks/censored_simulation.py`` it keeps its level where the interval of ML does not.

    Bushman & Wang (1996, doi 10.1037/1082-989X.1.1.66) combine effects and vote counts for one
    common effect. MetaNSUE (Radua et al. 2015, doi 10.1001/jamapsychiatry.2015.2196;
    Albajes-Eizagirre et al. 2019, doi 10.1177/0962280218811349) takes non-significant effects as
    lying between two limits, and imputes them many times.

    Examples
    --------
    >>> from math import inf, nan
    >>> pool_censored(
    ...     {
    ...         "yi": [0.42, 0.75, nan, nan],
    ...         "vi": [0.06, 0.08, 0.10, 0.09],
    ...         "lower": [nan, nan, -0.62, 0.59],
    ...         "upper": [nan, nan, 0.62, inf],
    ...     }
    ... )
    Pooled effect, 2 exact and 2 bounded results (REML, modified Knapp-Hartung)
      ...
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if model not in MODELS:
        raise unknown_name("model", model, MODELS)
    check_level(level)
    frame, rows, measure, notes = _read(effects)
    if rows.open_side and not rows.sized:
        numbers = _extreme(rows, model, level, notes)
    elif model == "fixed" or len(rows) == 1:
        numbers = _common(rows, model, level, notes)
    elif not rows.sized:
        numbers = _no_spread(notes)
    else:
        numbers = _random(rows, method, level, notes)
    return PooledCensored(
        measure=measure,
        model=model,
        level=level,
        k=len(rows),
        k_exact=int(rows.exact.sum()),
        k_bounded=int((~rows.exact).sum()),
        rows=rows,
        frame=frame,
        **({"method": method, "test": "profile"} | numbers),
        notes=tuple(notes + _remarks(frame, rows, model, numbers)),
    )


# The four cases ---------------------------------------------------------------------------------


def _random(rows: Rows, method: str, level: float, notes: list[str]) -> dict[str, Any]:
    """Fit the random-effects model; at least one row is exact or has two limits."""
    tau2 = best_tau2(rows, reml=method == "REML")
    if math.isinf(tau2):
        method = "ML"
        tau2 = best_tau2(rows, reml=False)
        notes.append(
            "The restricted likelihood has no maximum: only one result has a size or two limits. "
            "Maximum likelihood is used, whose tau² is too small with few results."
        )
    here = _at(rows, tau2)
    mu, top = float(best_mu(rows, tau2)), float(here.loglik)
    worth, se = float((1 - here.spread).sum()), _se(here)
    if method == "ML":
        df, inflation, test = math.inf, 1.0, "profile"

        def log_l(x: float) -> tuple[float, float]:
            return profile(rows, x)
    else:
        df, test = float(len(rows) - 1), "adhoc"
        # What the rows are worth beyond the mean; less than one row cannot be told from one.
        inflation = max(1.0, float((here.first**2).sum()) / max(1.0, worth - 1))

        def log_l(x: float) -> tuple[float, float]:
            return _held(rows, x, tau2)

    reach = critical_value(level, df)
    se *= math.sqrt(inflation)
    fall = reach**2 * inflation / 2
    step = min(reach * se, _size(rows, tau2))
    ci = Interval(*(limit(log_l, top, mu, side * step, fall) for side in (-1, 1)))
    statistic = math.copysign(math.sqrt(max(0.0, 2 * (top - log_l(0.0)[0]) / inflation)), mu)
    # The reach of the interval and that of the spread between studies add up in squares.
    new = [math.copysign(math.hypot(end - mu, reach * math.sqrt(tau2)), end - mu) for end in ci]
    return {
        "method": method,
        "test": test,
        "worth": worth,
        "estimate": mu,
        "se": se,
        "statistic": statistic,
        "df": df,
        "p_value": two_sided(statistic, df),
        "ci": ci,
        "prediction": Interval(mu + new[0], mu + new[1]),
        "tau2": tau2,
        "i2": i2_h2(tau2, rows.v, np.ones((len(rows), 1)))[0],
        "loglik": float(restricted(rows, tau2)[0]) if method == "REML" else top,
    }


def _common(rows: Rows, model: str, level: float, notes: list[str]) -> dict[str, Any]:
    """Take tau² as 0; one result alone is such a case, too."""
    if model == "random":
        notes.append(
            "One result: its own estimate with a normal interval; "
            "variation between studies and a new study's effect cannot be estimated."
        )
    here = _at(rows, 0.0)
    mu, top = float(best_mu(rows, 0.0)), float(here.loglik)
    se, reach = _se(here), critical_value(level, math.inf)

    def log_l(x: float) -> tuple[float, float]:
        return _held(rows, x, 0.0)

    step = min(reach * se, _size(rows, 0.0))
    low, high = (limit(log_l, top, mu, side * step, reach**2 / 2) for side in (-1, 1))
    statistic = math.copysign(math.sqrt(max(0.0, 2 * (top - log_l(0.0)[0]))), mu)
    return {
        "test": "likelihood",
        "worth": float((1 - here.spread).sum()),
        "estimate": mu,
        "se": se,
        "statistic": statistic,
        "df": math.inf,
        "p_value": two_sided(statistic, math.inf),
        "ci": Interval(low, high),
        "prediction": NO_INTERVAL,
        "tau2": 0.0 if model == "fixed" else NAN,
        "i2": NAN,
        "loglik": top,
    }


def _extreme(rows: Rows, model: str, level: float, notes: list[str]) -> dict[str, Any]:
    """Bound the mean on one side, when every row is open on the other.

    The likelihood then grows without end, so there is no estimate. But the chance that all rows
    fall where they did, at the tau² that favours it most, is an exact one-sided test of each mu:
    for directions it is the sign test.
    """
    side, rough = rows.open_side, model == "random" and len(rows) > 1

    def log_p(mu: float) -> float:
        return profile(rows, mu)[0] if rough else float(terms(rows, mu, 0.0).loglik)

    tail = math.log((1 - level) / 2)
    near, far = rows.ends[::side]
    step = side * (abs(far - near) + math.sqrt(rows.v.max()))
    for _ in range(100):
        if log_p(far) > tail:
            break
        far += step
    # However far off the mean is, a large tau² makes every row as likely as the toss of a coin.
    blind = rough and -len(rows) * math.log(2) > tail
    for _ in range(0 if rough else 100):
        if log_p(near) < tail:
            break
        near -= step
    bound = -side * math.inf if blind else root(lambda x: log_p(x) - tail, near, far)
    where = ("above", "upper") if side > 0 else ("below", "lower")
    notes.append(
        f"Every result says only that its effect is {where[0]} some value, so the mean has no "
        f"estimate and no {where[1]} limit. The other limit is exact: beyond it, all results "
        "falling where they did would be rarer than the level allows."
    )
    return {
        "test": "extreme",
        "worth": NAN,
        "estimate": NAN,
        "se": NAN,
        "statistic": NAN,
        "df": math.inf,
        "p_value": min(1.0, 2 * math.exp(log_p(0.0))),
        "ci": Interval(bound, math.inf) if side > 0 else Interval(-math.inf, bound),
        "prediction": NO_INTERVAL,
        "tau2": 0.0 if model == "fixed" else NAN,
        "i2": NAN,
        "loglik": NAN,
    }


def _no_spread(notes: list[str]) -> dict[str, Any]:
    """Give up the mean, when no row limits the variance between studies."""
    notes.append(
        "No result has a size or two limits: such rows cannot tell a large mean with a large tau² "
        'from a small mean with a small one. model="fixed" takes tau² as 0.'
    )
    names = "worth estimate se statistic p_value tau2 i2 loglik".split()
    return dict.fromkeys(names, NAN) | {
        "test": "none",
        "df": math.inf,
        "ci": Interval(-math.inf, math.inf),
        "prediction": NO_INTERVAL,
    }


def _held(rows: Rows, mu: float, tau2: float) -> tuple[float, float]:
    """Return the log likelihood and its slope in mu, tau² held."""
    here = terms(rows, mu, tau2)
    return float(here.loglik), float(here.slope)


def _se(here: Terms) -> float:
    """Return the standard error from the curvature; infinite where the likelihood is flat."""
    information = float(here.information)
    return 1 / math.sqrt(information) if information > 0 else math.inf


def _size(rows: Rows, tau2: float) -> float:
    """Return a distance at which any mean is far from all rows."""
    first, last = rows.ends
    return last - first + 4 * math.sqrt(float(rows.v.max()) + tau2)


def _at(rows: Rows, tau2: float) -> Terms:
    return terms(rows, best_mu(rows, tau2), tau2)


# Reading the input ------------------------------------------------------------------------------


def _read(
    effects: pd.DataFrame | Mapping[str, Any],
) -> tuple[pd.DataFrame, Rows, str, list[str]]:
    """Return the rows that can enter, as given and as intervals, their measure, and notes."""
    if not isinstance(effects, (pd.DataFrame, Mapping)):
        raise PoolError(
            f"effects is a {type(effects).__name__}; give a DataFrame with columns yi and vi, and "
            "lower and upper where yi is missing."
        )
    frame = pd.DataFrame(effects)
    absent = [name for name in ("yi", "vi") if name not in frame.columns]
    if absent:
        raise PoolError(
            f"effects has no column {', '.join(absent)}; "
            "make them with effect_size, or rename yours."
        )
    y, v = _column(frame, "yi"), _column(frame, "vi")
    lower, upper = _column(frame, "lower"), _column(frame, "upper")
    names = np.array(study_names(frame), dtype=object)

    told = ~np.isnan(y)
    # A missing limit is no limit.
    low = np.where(told, y, np.where(np.isnan(lower), -np.inf, lower))
    high = np.where(told, y, np.where(np.isnan(upper), np.inf, upper))
    for broken, rule in (
        (np.isinf(y), "yi is infinite; correct it or leave the row out"),
        (v <= 0, "vi must be above 0; check that it is a variance and not missing"),
        (low > high, "lower is above upper; exchange or correct them"),
        ((low == high) & np.isinf(low), "both limits are the same infinity; correct one"),
    ):
        if broken.any():
            raise PoolError(f"{listed(names[broken])}: {rule}.")
    silent = np.isinf(low) & np.isinf(high)
    unsized = ~silent & ~np.isfinite(v)
    notes = []
    if unsized.any():
        notes.append(f"Left out, no variance: {listed(names[unsized])}.")
    if silent.any():
        notes.append(f"Left out, neither a size nor a limit: {listed(names[silent])}.")
    keep = ~(silent | unsized)
    if not keep.any():
        raise PoolError(
            f"no effect to pool: none of the {len(frame)} rows has a variance and a size or a "
            "limit; check the filter."
        )
    frame = frame.loc[keep]
    return frame, Rows(low[keep], high[keep], v[keep]), _one_measure(frame), notes


def _column(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame.columns:
        return np.full(len(frame), NAN)
    try:
        return frame[name].to_numpy(dtype=float, na_value=NAN)
    except (TypeError, ValueError) as err:
        raise PoolError(f"{name} must be numbers ({err}); convert them first.") from err


def _one_measure(frame: pd.DataFrame) -> str:
    if "measure" not in frame.columns:
        return ""
    found = sorted({str(name) for name in frame["measure"].dropna()} - {""})
    if len(found) > 1:
        raise PoolError(
            f"the effects mix the measures {', '.join(found)}; pool one measure at a time."
        )
    return found[0] if found else ""


def _remarks(frame: pd.DataFrame, rows: Rows, model: str, numbers: dict[str, Any]) -> list[str]:
    """Say in words what the numbers alone would hide."""
    notes = []
    bounded = ~rows.exact
    names = np.array(study_names(frame), dtype=object)
    if bounded.any():
        notes.append(
            f"Known only between limits: {listed(names[bounded])}. "
            "Their variance is the one given, worked out from n at the limit."
        )
    if model == "fixed":
        notes.append("Fixed effect: tau² is assumed 0, so there is no prediction interval.")
    elif numbers["tau2"] == 0:
        notes.append("tau² is estimated as 0: the mean is the fixed-effect mean.")
    if numbers["worth"] < 0.01:
        notes.append(
            "The limits are so wide that many means fit them equally well: "
            "the estimate is only one of those."
        )
    elif not math.isnan(numbers["tau2"]) and model == "random" and numbers["worth"] < 5:
        notes.append(
            f"The results are worth {number(numbers['worth'], 1)} exact ones: tau² is barely "
            "estimable, and the prediction interval rough."
        )
    ids = frame.get("study_id")
    if ids is not None and ids.duplicated().any():
        notes.append(
            "Some studies give several effects, taken here as independent: "
            "the interval is too narrow if they are alike."
        )
    return notes

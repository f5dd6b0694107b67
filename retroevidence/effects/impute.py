"""Assumptions that fill gaps in a report: a borrowed SD, an assumed correlation, drawn values.

Nothing here is ever part of a headline. Every assumption is a keyword without a default, every row
it touches has the basis ``imputed``, and ``how`` says what was assumed and from whom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp, stdtr, stdtrit

from retroevidence._show import Card, interval, number, p_text, percent
from retroevidence.effects.measures import MEASURES, effect_size
from retroevidence.errors import EffectError, unknown_name

Floats = NDArray[np.float64]

#: How the coefficients of variation of the donors become one.
STATISTICS: Mapping[str, Callable[[Floats], float]] = {
    "median": lambda cv: float(np.median(cv)),
    "mean": lambda cv: float(np.mean(cv)),
    "largest": lambda cv: float(np.max(cv)),
}

#: Steps of the chain before the first draw, and between draws.
BURN_IN, THIN = 50, 10


def borrow_sd(
    rows: pd.DataFrame,
    *,
    donors: pd.DataFrame,
    by: Sequence[str] = ("outcome", "unit"),
    statistic: str = "median",
) -> pd.DataFrame:
    """Give rows without an SD the coefficient of variation of like studies.

    ``sd = mean * CV``, with CV the median (or mean, or largest) of ``sd / mean`` over the donors
    that agree in all columns of `by`. Only for scales with a true zero, on which spread grows with
    the mean: oxygen uptake, force, speed; not for changes or for scores that can be near 0.

    Parameters
    ----------
    rows : pandas.DataFrame
        Arms with ``mean`` and ``sd`` (missing where it is to be borrowed) and the columns of `by`.
    donors : pandas.DataFrame
        Arms with ``study_id``, ``mean``, ``sd`` and the columns of `by`; those with a mean and an
        SD above 0 serve.
    by : sequence of str
        Columns in which donors must agree. A missing value agrees with nothing.
    statistic : {"median", "mean", "largest"}
        How the donors' coefficients become one.

    Returns
    -------
    pandas.DataFrame
        The rows with ``sd`` filled where it could be, ``basis`` ("imputed" there, else missing),
        ``how``, and ``log_sd_se``: the standard error of the log of a borrowed SD, from the spread
        of the donors (missing with one donor), for `multiple_imputation`.

    Raises
    ------
    EffectError
        If a column is missing.
    UnknownNameError
        If `statistic` is unknown.

    Examples
    --------
    >>> arms = pd.DataFrame({"study_id": ["heath2001", "ordway2016", "kim2001"], "outcome": "vo2",
    ...                      "unit": "ml/kg/min", "mean": [20.0, 40.0, 30.0], "sd": [4, 4, None]})
    >>> filled = borrow_sd(arms, donors=arms)
    >>> filled["sd"].round(3).tolist(), filled["basis"].tolist()[-1]
    ([4.0, 4.0, 4.5], 'imputed')
    >>> print(filled["how"].iloc[-1])
    SD borrowed: the mean times 0.150, the median coefficient of variation of 2 arms of heath2001,
    ordway2016 (same outcome, unit)
    """
    if statistic not in STATISTICS:
        raise unknown_name("statistic", statistic, STATISTICS)
    for name, frame, columns in (
        ("rows", rows, ("mean", "sd", *by)),
        ("donors", donors, ("study_id", "mean", "sd", *by)),
    ):
        _need(frame, columns, name)
    giving = donors[(donors["mean"] > 0) & (donors["sd"] > 0)]
    sd = rows["sd"].to_numpy(float, na_value=np.nan).copy()
    basis: list[Any] = [None] * len(rows)
    how, log_sd_se = [""] * len(rows), np.full(len(rows), np.nan)
    for i, row in enumerate(rows.to_dict("records")):
        if not (math.isnan(_float(row["sd"])) and _float(row["mean"]) > 0):
            continue
        like = giving
        for column in by:
            like = like[(like[column] == row[column]).fillna(False).to_numpy(bool)]
        same = ", ".join(by)
        if not len(like):
            how[i] = f"no study with the same {same} prints an SD to borrow"
            continue
        cv = (like["sd"] / like["mean"]).to_numpy(float)
        chosen = STATISTICS[statistic](cv)
        sd[i] = chosen * _float(row["mean"])
        basis[i] = "imputed"
        names = ", ".join(dict.fromkeys(map(str, like["study_id"])))
        how[i] = (
            f"SD borrowed: the mean times {chosen:.3f}, the {statistic} coefficient of variation "
            f"of {len(cv)} {'arm' if len(cv) == 1 else 'arms'} of {names} (same {same})"
        )
        if len(cv) > 1:
            log_sd_se[i] = np.std(np.log(cv), ddof=1) * math.sqrt(1 + 1 / len(cv))
    return rows.assign(sd=sd, basis=basis, how=how, log_sd_se=log_sd_se)


def assume_r(pairs: pd.DataFrame, *, r: float, measure: str = "ROMC") -> pd.DataFrame:
    """Make effects of paired results whose correlation was not reported, at a stated one.

    Parameters
    ----------
    pairs : pandas.DataFrame
        One row per result of the same people under two conditions: m1, sd1, m2, sd2, n (1 is the
        experimental condition).
    r : float
        The assumed correlation between the conditions, between -1 and 1.
    measure : str
        A paired measure of `effect_size`: MC, ROMC, SMCC, SMCR and their kin.

    Returns
    -------
    pandas.DataFrame
        The rows with ``measure yi vi lower upper basis how``; ``yi`` is experimental minus
        comparator (log scale for ROMC).

    Raises
    ------
    EffectError
        If `r` is no correlation, a column is missing, or `measure` takes no correlation.
    UnknownNameError
        If `measure` is unknown.

    Examples
    --------
    >>> pair = pd.DataFrame({"m1": [23.6], "sd1": [4.7], "m2": [15.9], "sd2": [3.2], "n": [20]})
    >>> made = assume_r(pair, r=0.7)
    >>> made["yi"].round(4).tolist(), made["how"].tolist()
    ([0.3949], ['both means and SDs, at an assumed correlation of 0.7'])
    """
    if measure not in MEASURES:
        raise unknown_name("measure", measure, MEASURES)
    wanted = [name for name in MEASURES[measure].arguments if name != "r"]
    if "r" not in MEASURES[measure].arguments or "m1" not in wanted:
        raise EffectError(f"{measure} takes no correlation; give a paired measure such as ROMC.")
    if not -1 < r < 1:
        raise EffectError(f"r is {r:g}; a correlation to assume lies between -1 and 1.")
    _need(pairs, wanted, "pairs")
    yi, vi = effect_size(measure, **{name: pairs[name].to_numpy(float) for name in wanted}, r=r)
    how = f"both means and SDs, at an assumed correlation of {r:g}"
    nothing = np.full(len(pairs), np.nan)
    return pairs.assign(
        measure=measure, yi=yi, vi=vi, lower=nothing, upper=nothing, basis="imputed", how=how
    )


# Multiple imputation ----------------------------------------------------------------------------


class Analysed(Protocol):
    """What an analysis of one completed set of effects must say."""

    @property
    def estimate(self) -> float:
        """The mean effect."""
        ...

    @property
    def se(self) -> float:
        """Its standard error."""
        ...

    @property
    def df(self) -> float:
        """Degrees of freedom of its test, infinite for z."""
        ...


@dataclass(frozen=True)
class Imputed:
    """Analyses of many completed sets of effects, combined.

    Attributes
    ----------
    estimate, se, df, p_value, ci_low, ci_high : float
        The combined mean and its t interval.
    within, between : float
        Mean squared standard error of the analyses, and variance of their estimates.
    missing_information : float
        Share of the information about the mean that is missing (Rubin 1987).
    level : float
        Confidence of the interval.
    draws : pandas.DataFrame
        One row per completed set: estimate, se, df.
    notes : tuple of str
        What was drawn, and what could not enter.
    """

    estimate: float
    se: float
    df: float
    p_value: float
    ci_low: float
    ci_high: float
    within: float
    between: float
    missing_information: float
    level: float = 0.95
    draws: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    notes: tuple[str, ...] = ()

    def _card(self) -> Card:
        reach = interval(self.ci_low, self.ci_high)
        pairs = [
            (
                "estimate",
                f"{number(self.estimate)}  {percent(self.level)} CI {reach}, "
                f"{p_text(self.p_value)}",
            ),
            ("variance", f"within {number(self.within, 4)}, between {number(self.between, 4)}"),
            ("missing", f"{percent(self.missing_information)} of the information"),
            ("df", number(self.df, 1)),
        ]
        title = f"Multiple imputation, {len(self.draws)} completed sets"
        return Card(title, pairs, None, self.notes)

    def __repr__(self) -> str:
        """Show the combined mean with what it rests on."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()


def multiple_imputation(
    effects: pd.DataFrame,
    *,
    draws: int,
    seed: int,
    analyse: Callable[[pd.DataFrame], Analysed],
    level: float = 0.95,
) -> Imputed:
    """Draw the values that reports leave open, analyse each completed set, combine by Rubin.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effect rows. With ``yi`` and ``vi``: exact; where ``log_sd_se`` is given as well (see
        `borrow_sd`), the SD behind the row is drawn. With ``vi`` and an interval (``lower``,
        ``upper``) instead of ``yi``: the value is drawn. Anything else is left out, with a note.
    draws : int
        Completed sets, at least 2.
    seed : int
        Seed of the draws; the same seed gives the same result.
    analyse : callable
        From a completed frame to a result with ``estimate``, ``se`` and ``df``, such as
        ``retroevidence.pool``.
    level : float
        Confidence of the interval.

    Returns
    -------
    Imputed

    Raises
    ------
    EffectError
        If there is nothing to draw, fewer than two exact rows, or fewer than two draws.

    Notes
    -----
    Values within an interval come from a normal distribution with the random-effects mean and
    variance ``tau² + vi``, cut at the interval. Mean and tau are drawn too, from their posterior
    given the current values (flat priors on the mean and on tau), so the draws are proper: a chain
    that alternates both (Tanner & Wong 1987), with 50 steps before the first draw and 10 between
    draws. An uncertain SD is drawn from a log-normal distribution.

    Combination (Rubin 1987): ``T = W + (1 + 1/m) B``; degrees of freedom of Barnard & Rubin (1999,
    doi 10.1093/biomet/86.4.948), which never exceed those of the analyses.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> rows = pd.DataFrame({"yi": [0.8, 1.1, 0.6, None], "vi": [0.12, 0.14, 0.13, 0.14],
    ...                      "lower": [None, None, None, -0.7], "upper": [None] * 3 + [0.7]})
    >>> out = multiple_imputation(rows, draws=50, seed=1, analyse=pool)
    >>> 0.5 < out.estimate < 0.9 and out.se > 0.1
    True
    """
    if draws < 2:
        raise EffectError(f"draws={draws} is below 2; their spread needs at least two.")
    exact, open_, unsure, notes = _sorted_rows(effects)
    if exact.sum() < 2:
        raise EffectError(
            f"{int(exact.sum())} exact rows are too few to draw the others from; at least two."
        )
    if not (open_.any() or unsure.any()):
        raise EffectError("there is nothing to draw: every row is exact; pool the rows instead.")
    frame = effects[exact | open_]
    open_, unsure = open_[exact | open_], unsure[exact | open_]
    random = np.random.default_rng(seed)
    completed = _chain(frame, open_, unsure, draws, random)
    analysed = []
    drawn = open_ | unsure
    for y, v in completed:
        given = frame.assign(yi=y, vi=v, lower=np.nan, upper=np.nan)
        if "basis" in frame.columns:
            given["basis"] = frame["basis"].mask(drawn, "imputed")
        result = analyse(given)
        analysed.append({"estimate": result.estimate, "se": result.se, "df": result.df})
    table = pd.DataFrame(analysed)
    df = float(table["df"].min())
    return combine_draws(table["estimate"], table["se"], df, level=level, notes=tuple(notes))


def combine_draws(
    estimates: Any, ses: Any, df: float, *, level: float = 0.95, notes: tuple[str, ...] = ()
) -> Imputed:
    """Combine the analyses of completed sets by Rubin's rules.

    Parameters
    ----------
    estimates, ses : array_like, shape (m,)
        Estimate and standard error of each analysis.
    df : float
        Degrees of freedom that the analysis would have without missing values.
    level : float
        Confidence of the interval.
    notes : tuple of str
        Notes to carry along.

    Returns
    -------
    Imputed

    Examples
    --------
    >>> out = combine_draws([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 20.0)
    >>> round(out.se**2, 4), round(out.df, 3)
    (2.3333, 3.436)
    """
    estimates, ses = np.asarray(estimates, dtype=float), np.asarray(ses, dtype=float)
    m = len(estimates)
    estimate, within = float(estimates.mean()), float(np.mean(ses**2))
    between = float(estimates.var(ddof=1))
    extra = (1 + 1 / m) * between
    total = within + extra
    share = extra / total
    observed = df if math.isinf(df) else (df + 1) / (df + 3) * df
    observed *= 1 - share
    combined = observed
    if share > 0:
        combined = 1 / (share**2 / (m - 1) + (0.0 if math.isinf(observed) else 1 / observed))
    se = math.sqrt(total)
    finite = math.isfinite(combined)
    tail = (1 - level) / 2
    reach = -se * float(stdtrit(combined, tail) if finite else ndtri(tail))
    z = -abs(estimate) / se
    ratio = extra / within
    return Imputed(
        estimate=estimate,
        se=se,
        df=combined,
        p_value=2 * float(stdtr(combined, z) if finite else ndtr(z)),
        ci_low=estimate - reach,
        ci_high=estimate + reach,
        within=within,
        between=between,
        missing_information=(ratio + 2 / (combined + 3)) / (1 + ratio) if share > 0 else 0.0,
        level=level,
        draws=pd.DataFrame({"estimate": estimates, "se": ses}),
        notes=notes,
    )


def _sorted_rows(
    effects: pd.DataFrame,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], list[str]]:
    """Tell exact rows, rows with an open value and rows with an unsure SD, and say what is left."""
    _need(effects, ("yi", "vi"), "effects")

    def column(name: str) -> Floats:
        empty = np.full(len(effects), np.nan)
        return effects[name].to_numpy(float, na_value=np.nan) if name in effects else empty

    yi, vi, lower, upper = (column(name) for name in ("yi", "vi", "lower", "upper"))
    sized = np.isfinite(vi) & (vi > 0)
    exact = np.isfinite(yi) & sized
    bounded = (np.isfinite(lower) | np.isfinite(upper)) & (lower < upper)
    open_ = np.isnan(yi) & sized & bounded
    unsure = exact & (column("log_sd_se") > 0)
    notes = []
    for count, text in (
        (int(open_.sum()), "{} drawn within the interval that the report allows."),
        (int(unsure.sum()), "{} drawn with the spread of the borrowed SD."),
        (int((~(exact | open_)).sum()), "{} left out: no size, or no variance."),
    ):
        if count:
            notes.append(text.format("1 row" if count == 1 else f"{count} rows"))
    return exact, open_, unsure, notes


def _chain(
    frame: pd.DataFrame,
    open_: NDArray[np.bool_],
    unsure: NDArray[np.bool_],
    draws: int,
    random: np.random.Generator,
) -> list[tuple[Floats, Floats]]:
    """Alternate between the model's mean and tau and the open values; return completed sets."""
    y0, v0 = frame["yi"].to_numpy(float, na_value=np.nan), frame["vi"].to_numpy(float)
    exact = y0[~open_]
    y, v = y0.copy(), v0.copy()
    if open_.any():
        low, high = frame["lower"].to_numpy(float)[open_], frame["upper"].to_numpy(float)[open_]
        y[open_] = np.clip(exact.mean(), low, high)
    sd_se = frame["log_sd_se"].to_numpy(float) if unsure.any() else np.zeros(len(y))
    # Wide enough that its end has no weight, on the scale of the data.
    widest = 5 * (float(np.ptp(exact)) + float(np.sqrt(v0.max())))
    taus = np.linspace(0.0, widest, 101)
    completed = []
    for step in range(BURN_IN + THIN * draws):
        if unsure.any():
            factor = np.exp(sd_se[unsure] * random.standard_normal(int(unsure.sum())))
            y[unsure], v[unsure] = _rescaled(frame[unsure], y0[unsure], v0[unsure], factor)
        mean, tau = _drawn_model(y, v, taus, random)
        if open_.any():
            spread = np.sqrt(tau**2 + v[open_])
            y[open_] = mean + spread * _cut_normal(
                (low - mean) / spread, (high - mean) / spread, random
            )
        if step >= BURN_IN and (step - BURN_IN) % THIN == THIN - 1:
            completed.append((y.copy(), v.copy()))
    return completed


def _drawn_model(
    y: Floats, v: Floats, taus: Floats, random: np.random.Generator
) -> tuple[float, float]:
    """Draw the mean and tau from their posterior under flat priors, tau on a grid."""
    weights = 1 / (v + taus[:, None] ** 2)
    total = weights.sum(axis=1)
    means = weights @ y / total
    spread = (weights * (y - means[:, None]) ** 2).sum(axis=1)
    log_posterior = (np.log(weights).sum(axis=1) - np.log(total) - spread) / 2
    chance = np.exp(log_posterior - log_posterior.max())
    cumulative = np.cumsum(chance)
    at = int(np.searchsorted(cumulative, random.random() * cumulative[-1]))
    return float(means[at] + random.standard_normal() / math.sqrt(total[at])), float(taus[at])


def _cut_normal(low: Floats, high: Floats, random: np.random.Generator) -> Floats:
    """Draw standard normals between two limits, accurately however far out these are."""
    # On the log scale of the lower tail nothing underflows; the upper tail is its mirror image.
    turned = low > 0
    a, b = np.where(turned, -high, low), np.where(turned, -low, high)
    log_a, log_b = log_ndtr(a), log_ndtr(b)
    u = random.random(len(a))
    drawn = ndtri_exp(log_b + np.log(u + (1 - u) * np.exp(log_a - log_b)))
    return np.asarray(np.clip(np.where(turned, -drawn, drawn), low, high))


def _rescaled(rows: pd.DataFrame, yi: Floats, vi: Floats, factor: Floats) -> tuple[Floats, Floats]:
    """Return what the effects would be with SDs `factor` times as large."""
    measure = rows["measure"].astype(str) if "measure" in rows else pd.Series("", rows.index)
    standardised = measure.str.startswith("SM").to_numpy(bool)
    plain = measure.isin(["MD", "MC", "ROM", "ROMC"]).to_numpy(bool)
    if not (standardised | plain).all():
        odd = ", ".join(sorted(set(measure[~(standardised | plain)])))
        raise EffectError(f"it is not known how an SD enters the measure {odd!r}; use SMD or MD.")
    if not standardised.any():
        return yi, vi * factor**2
    n = (rows["n_experimental"] + rows["n_comparator"]).to_numpy(float)
    moved = yi / factor
    # The variance of an SMD is a part that only n decides, plus g²/(2n).
    return (
        np.where(standardised, moved, yi),
        np.where(standardised, vi + (moved**2 - yi**2) / (2 * n), vi * factor**2),
    )


def _need(frame: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise EffectError(f"{name} has no column {', '.join(absent)}; add it.")


def _float(value: Any) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)

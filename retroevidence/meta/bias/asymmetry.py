"""Whether small studies say something else than large ones: Egger's and Begg's tests.

Asymmetry has many causes, unpublished results being one of them: the tests do not name the cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, confidence, interval, number, p_text
from retroevidence.errors import PoolError, check_name
from retroevidence.meta.bias.result import (
    BiasResult,
    Effects,
    enough_studies,
    few,
    plain_mean,
    pooled_from,
    same_size,
)
from retroevidence.meta.bias.weighted_line import weighted_line
from retroevidence.meta.interval import NAN, NO_INTERVAL, Interval
from retroevidence.meta.pool import pool
from retroevidence.meta.projection import sum_of_others
from retroevidence.meta.result import Pooled
from retroevidence.meta.wording import decimals

Floats = NDArray[np.float64]

#: What effects are regressed on.
PREDICTORS = {
    "sei": "standard error",
    "vi": "sampling variance",
    "ni": "sample size",
    "ninv": "1/sample size",
    "sqrtni": "√sample size",
    "sqrtninv": "1/√sample size",
}
MODELS = {"mixed": "mixed-effects model", "ols": "weighted least squares"}
#: Where the sizes of the studies are found when they are not given.
_SIZES = (("n",), ("ni",), ("n_experimental", "n_comparator"), ("n1", "n2"))
#: Measures whose standard error depends on the effect itself, and the test made for them.
_BETTER = {
    "SMD": "pustejovsky_rodgers",
    "SMDH": "pustejovsky_rodgers",
    "OR": "harbord or peters",
    "PETO": "harbord or peters",
    "RR": "peters",
}
#: What is said where a mixed model has no residual for Knapp-Hartung to work with.
EXACT_LINE = (
    "The points lie on the line exactly, so Knapp-Hartung is not defined; "
    "its modified form is used."
)
#: Up to here the exact distribution of Kendall's tau is computed.
_EXACT = 170


@dataclass(frozen=True, eq=False, repr=False)
class Asymmetry(BiasResult):
    """A test of asymmetry, made by `egger`, `begg` and their relatives.

    Attributes
    ----------
    test, predictor : str
        What was computed, and what the effects were regressed on.
    estimate, se, statistic, df, p_value, ci : float and Interval
        The slope on the predictor (for Harbord the intercept of its regression, for Begg Kendall's
        tau); `df` is infinite for a z test. Above 0: the larger the predictor, the higher the
        effects. NaN where the test has no such number.
    limit, limit_ci : float and Interval
        The effect at a predictor of 0, where that is a study without error; else NaN.
    k, level, measure : int, float, str
        Studies, confidence and measure.
    notes : tuple of str
        What a reader must know before quoting the numbers.

    Examples
    --------
    >>> egger(pool(yi=[0.1, 0.2, 0.3, 0.9], vi=[0.01, 0.02, 0.03, 0.09])).k
    4
    """

    test: str
    predictor: str
    estimate: float
    se: float
    statistic: float
    df: float
    p_value: float
    ci: Interval
    limit: float
    limit_ci: Interval
    k: int
    level: float
    measure: str
    notes: tuple[str, ...]

    def _card(self) -> Card:
        share = confidence(self.level)
        name = "tau" if self.predictor == "rank" else "slope"
        digits = decimals(self.se) if self.se > 0 else 3
        line = f"{number(self.estimate, digits)}"
        if not np.isnan(self.ci.low):
            line += f"  {share} CI {interval(*self.ci, digits)}"
        pairs = [(name, f"{line}, {p_text(self.p_value)}")]
        if not np.isnan(self.limit):
            text = number(self.limit, decimals(self.limit_ci.high - self.limit_ci.low))
            if not np.isnan(self.limit_ci.low):
                reach = decimals(self.limit_ci.high - self.limit_ci.low)
                text += f"  {share} CI {interval(*self.limit_ci, reach)}"
            pairs.append(("without error", text))
        return Card(f"{self.test}, k = {self.k}", pairs, notes=self.notes)


def egger(
    effects: Effects, model: str = "mixed", predictor: str = "sei", *, n: Any = None
) -> Asymmetry:
    """Regress effects on their standard errors, or on another measure of precision.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled result; with moderators the predictor joins them.
    model : str
        "mixed": a mixed-effects meta-regression with the estimator of tau² and the test of the
        pooled result (of Thompson and Sharp, with ``method="DL"``). "ols": Egger's own regression,
        weights 1/vi and a variance estimated from the residuals, t with k - 2 degrees of freedom.
    predictor : str
        "sei", "vi", "ni", "ninv" (1/n), "sqrtni" or "sqrtninv" (1/√n).
    n : str or array_like, shape (k,), optional
        Sample sizes, or their column in the studies, for the predictors that need them; found in
        `n`, `ni`, `n1` and `n2`, or `n_experimental` and `n_comparator` when not given.

    Returns
    -------
    Asymmetry
        The slope and its test; `limit` is the effect expected in a study without error.

    Raises
    ------
    PoolError
        If there are too few studies, they all have the same precision, or sizes are missing.
    UnknownNameError
        If `model` or `predictor` is unknown.

    References
    ----------
    Egger et al. (1997), doi 10.1136/bmj.315.7109.629.

    Examples
    --------
    >>> pooled = pool(yi=[0.1, 0.2, 0.1, 0.9, 0.8], vi=[0.01, 0.02, 0.03, 0.2, 0.3])
    >>> egger(pooled, model="ols")
    Egger's test (weighted least squares, standard error), k = 5
      slope          1.785  95% CI [0.331, 3.240], p = 0.030
      without error  -0.091  95% CI [-0.326, 0.143]
      - 5 studies, fewer than 10: ...
    """
    pooled = pooled_from(effects)
    check_name("model", model, MODELS)
    check_name("predictor", predictor, PREDICTORS)
    enough_studies(pooled, "egger", pooled.fit.x.shape[1] + 2)
    names = pooled.fit.design.names
    if "intercept" not in names:
        raise PoolError("egger needs a model with an intercept; pool with one.")
    z = _predictor(pooled, predictor, n)
    if same_size(z):
        raise PoolError(
            f"all studies have the same {PREDICTORS[predictor]}, so asymmetry cannot be seen; "
            "report the studies without this test."
        )
    notes = [*few(pooled.k), *_unsuited(pooled.measure, predictor)]
    clean = names == ("intercept",) and predictor in ("sei", "vi", "ninv", "sqrtninv")
    title = f"Egger's test ({MODELS[model]}, {PREDICTORS[predictor]})"
    if model == "mixed":
        return _mixed(pooled, z, predictor, title, clean, notes)
    return line_test(
        pooled, pooled.fit.yi, np.column_stack([pooled.fit.x, z]), 1 / pooled.fit.vi,
        title, predictor, notes, limit=clean,
    )  # fmt: skip


def _mixed(
    pooled: Pooled, z: Floats, predictor: str, title: str, clean: bool, notes: list[str]
) -> Asymmetry:
    fit = pooled.fit
    columns = pd.DataFrame(fit.x, columns=list(fit.design.names)).assign(**{"precision ": z})
    line = pool(
        yi=fit.yi, vi=fit.vi, mods=columns,
        method=pooled.method, test=pooled.test, level=pooled.level,
    )  # fmt: skip
    if line.test != pooled.test:
        notes = [*notes, EXACT_LINE]
    table = line.coefficients
    slope, start = table.iloc[-1], table.iloc[0]
    return Asymmetry(
        test=title,
        predictor=predictor,
        estimate=float(slope["estimate"]),
        se=float(slope["se"]),
        statistic=float(slope["statistic"]),
        df=line.df,
        p_value=float(slope["p_value"]),
        ci=Interval(float(slope["ci_low"]), float(slope["ci_high"])),
        limit=float(start["estimate"]) if clean else NAN,
        limit_ci=Interval(float(start["ci_low"]), float(start["ci_high"]))
        if clean
        else NO_INTERVAL,
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=tuple(notes),
    )


def line_test(
    pooled: Pooled,
    y: Floats,
    x: Floats,
    weights: Floats,
    title: str,
    predictor: str,
    notes: list[str],
    *,
    limit: bool,
) -> Asymmetry:
    """Test the last column of a weighted regression.

    Parameters
    ----------
    pooled : Pooled
        Whose level and measure the result names.
    y, x, weights : numpy.ndarray
        Responses (k,), columns (k, p) with the intercept first, weights (k,).
    title, predictor : str
        Words for the result.
    notes : list of str
        What is known so far.
    limit : bool
        Whether the intercept is the effect of a study without error.

    Returns
    -------
    Asymmetry
        With k - p degrees of freedom.

    Examples
    --------
    >>> p = pool(yi=[0.1, 0.2, 0.9], vi=[0.01, 0.02, 0.09])
    >>> x = np.column_stack([np.ones(3), [1.0, 2.0, 3.0]])
    >>> line_test(p, p.fit.yi, x, np.ones(3), "a line", "x", [], limit=False).df
    1.0
    """
    line, _ = weighted_line(y, x, weights)
    start, slope = line[0], line[-1]
    if slope.se == 0:
        notes = [*notes, "The points lie on the line exactly, so there is nothing to test it with."]
    return Asymmetry(
        test=title,
        predictor=predictor,
        estimate=slope.estimate,
        se=slope.se,
        statistic=slope.statistic,
        df=slope.df,
        p_value=slope.p_value,
        ci=slope.ci(pooled.level),
        limit=start.estimate if limit else NAN,
        limit_ci=start.ci(pooled.level) if limit else NO_INTERVAL,
        k=len(y),
        level=pooled.level,
        measure=pooled.measure,
        notes=tuple(notes),
    )


def begg(effects: Effects) -> Asymmetry:
    """Correlate effects with their variances by rank (Kendall's tau).

    Effects are centred at the common-effect mean and divided by the standard error of that
    difference, ``(y - m) / sqrt(v - 1 / Σ(1/v))``, and ranked against `vi`.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A pooled mean.

    Returns
    -------
    Asymmetry
        `estimate` is tau-b. The p-value is exact without ties up to 170 studies; with ties it is
        the normal approximation with the tie-corrected variance, and a note says so.

    Raises
    ------
    PoolError
        If there are moderators, fewer than 3 studies, or no differences in precision.

    References
    ----------
    Begg & Mazumdar (1994), doi 10.2307/2533446.

    Examples
    --------
    >>> out = begg(pool(yi=[0.1, 0.2, 0.3, 0.9], vi=[0.01, 0.02, 0.03, 0.09]))
    >>> round(out.estimate, 3), round(out.p_value, 3)
    (1.0, 0.083)
    """
    # scipy.stats is slow to import, and pooling needs none of it.
    from scipy.stats import kendalltau

    pooled = plain_mean(effects, "begg")
    y, v = pooled.fit.yi, pooled.fit.vi
    if same_size(v):
        raise PoolError(
            "all studies have the same variance, so asymmetry cannot be seen; "
            "report the studies without this test."
        )
    weights = 1 / v
    total = float(weights.sum())
    # v - 1/total without the cancellation when one study holds nearly all the weight.
    spread = v * sum_of_others(weights) / total
    adjusted = (y - float(weights @ y) / total) / np.sqrt(spread)
    tied = len(np.unique(adjusted)) < len(y) or len(np.unique(v)) < len(v)
    exact = not tied and pooled.k <= _EXACT
    notes = list(few(pooled.k))
    if len(np.unique(adjusted)) == 1:
        tau, p_value = NAN, NAN
        notes.append("All studies agree exactly, so there is no rank to correlate.")
    else:
        answer = kendalltau(adjusted, v, method="exact" if exact else "asymptotic")
        tau, p_value = float(answer.statistic), float(answer.pvalue)
    if tied and not np.isnan(tau):
        notes.append("Some ranks are tied: p is a normal approximation, corrected for ties.")
    elif not exact and not np.isnan(tau):
        notes.append(f"More than {_EXACT} studies: p is a normal approximation.")
    return Asymmetry(
        test="Begg's rank test",
        predictor="rank",
        estimate=tau,
        se=NAN,
        statistic=NAN,
        df=NAN,
        p_value=p_value,
        ci=NO_INTERVAL,
        limit=NAN,
        limit_ci=NO_INTERVAL,
        k=pooled.k,
        level=pooled.level,
        measure=pooled.measure,
        notes=tuple(notes),
    )


# Reading the studies ----------------------------------------------------------------------------


def column_of(pooled: Pooled, value: Any, name: str) -> Floats:
    """Return numbers given as an array, or as the name of a column of the studies.

    Parameters
    ----------
    pooled : Pooled
        The studies that entered.
    value : str or array_like, shape (k,)
        The numbers or their column.
    name : str
        The argument, for the message.

    Returns
    -------
    numpy.ndarray, shape (k,)
        Finite numbers.

    Raises
    ------
    PoolError
        If there is no such column, a wrong number of values, or a missing one.

    Examples
    --------
    >>> column_of(pool(yi=[0.1, 0.3], vi=[0.02, 0.03]), [40, 30], "n").tolist()
    [40.0, 30.0]
    """
    frame = pooled.fit.frame
    if isinstance(value, str):
        if value not in frame.columns:
            raise PoolError(f"the studies have no column {value!r}; give {name}= as numbers.")
        value = frame[value]
    try:
        numbers = np.asarray(value, dtype=float).ravel()
    except (TypeError, ValueError) as err:
        raise PoolError(f"{name} must be numbers ({err}); convert them first.") from err
    if len(numbers) != pooled.k:
        raise PoolError(
            f"{name} has {len(numbers)} values for the {pooled.k} studies that entered; "
            "give one per study."
        )
    if not np.isfinite(numbers).all():
        raise PoolError(f"{name} is missing for some studies; fill it in or leave them out.")
    return numbers


def _predictor(pooled: Pooled, predictor: str, n: Any) -> Floats:
    if predictor == "sei":
        return np.sqrt(pooled.fit.vi)
    if predictor == "vi":
        return pooled.fit.vi
    if n is not None:
        size = column_of(pooled, n, "n")
    else:
        columns = pooled.fit.frame.columns
        found = next((names for names in _SIZES if set(names) <= set(columns)), None)
        if found is None:
            raise PoolError(f"predictor={predictor!r} needs sample sizes; give n=.")
        size = np.sum([column_of(pooled, name, name) for name in found], axis=0)
    if (size <= 0).any():
        raise PoolError("n must be above 0; check the sample sizes.")
    return {
        "ni": size, "ninv": 1 / size, "sqrtni": np.sqrt(size), "sqrtninv": 1 / np.sqrt(size)
    }[predictor]  # fmt: skip


def _unsuited(measure: str, predictor: str) -> tuple[str, ...]:
    if predictor not in ("sei", "vi") or measure not in _BETTER:
        return ()
    return (
        f"The standard error of this measure ({measure}) depends on the effect itself, which makes "
        f"the test too often positive; see {_BETTER[measure]}.",
    )

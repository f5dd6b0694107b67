"""The mean, its interval and tau²: how they are had, by what the rows can tell.

Four cases. Rows that limit the variance between studies get a random-effects model. One row alone,
or the fixed model, takes tau² as 0. When every row is open on the same side, the mean has one
limit and no estimate. Rows without a size that are open on different sides leave it undetermined.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import chdtri

from retroevidence.meta.censored.fit import best_mu, best_tau2, limit, profile, restricted, root
from retroevidence.meta.censored.likelihood import Rows, Terms, terms
from retroevidence.meta.heterogeneity import i2_h2
from retroevidence.meta.interval import NAN, NO_INTERVAL, Interval, critical_value, two_sided


def fit_rows(
    rows: Rows, *, method: str, model: str, level: float
) -> tuple[dict[str, Any], list[str]]:
    """Fit what was asked, as far as the rows allow.

    Parameters
    ----------
    rows : Rows
        Effects.
    method, model, level : str and float
        As in :func:`retroevidence.meta.censored.pool.pool_censored`.

    Returns
    -------
    dict, list of str
        The numbers of the result by name, with the ``method`` and the ``test`` used, and notes
        on what could not be done as asked.

    Examples
    --------
    >>> rows = Rows(np.array([0.0]), np.array([np.inf]), np.array([0.1]))
    >>> fit_rows(rows, method="REML", model="random", level=0.95)[0]["test"]
    'extreme'
    """
    notes: list[str] = []
    if rows.open_side and not rows.sized:
        numbers = _extreme(rows, model, level, notes)
    elif model == "fixed" or len(rows) == 1:
        numbers = _common(rows, model, level, notes)
    elif not rows.sized:
        numbers = _no_spread(notes)
    else:
        numbers = _random(rows, method, level, notes)
    return {"method": method} | numbers, notes


def tau2_limits(rows: Rows, tau2: float, *, method: str, level: float) -> Interval:
    """Return profile-likelihood limits for tau², from the restricted likelihood for REML.

    Parameters
    ----------
    rows : Rows
        Effects, at least one of them exact or with two finite limits.
    tau2 : float
        The estimate.
    method : {"REML", "ML"}
        How it was had.
    level : float
        Confidence.

    Examples
    --------
    >>> y, v = np.array([0.0, 2.0]), np.ones(2)
    >>> round(tau2_limits(Rows(y, y, v), 1.0, method="REML", level=0.95).low, 3)
    0.0
    """
    fall = float(chdtri(1, 1 - level)) / 2
    reml = method == "REML"

    def log_l(t: float) -> tuple[float, float]:
        if reml:
            value, slope = restricted(rows, t)
        else:
            here = _at(rows, t)
            value, slope = here.loglik, here.slope_tau2
        return float(value), float(slope)

    top = log_l(tau2)[0]
    low = 0.0
    if tau2 > 0 and top - log_l(0.0)[0] > fall:
        low = root(lambda t: top - log_l(t)[0] - fall, 0.0, tau2)
    step = max(tau2, float(rows.v.min()))
    return Interval(low, limit(log_l, top, tau2, step, fall))


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

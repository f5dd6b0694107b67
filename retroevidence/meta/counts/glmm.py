"""Random-effects models on the counts themselves: no corrected zeros, no approximate variances."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.special import chdtrc

from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.counts.glmm_fit import MOST, Search, climb, search, standard_errors
from retroevidence.meta.counts.glmm_kernels import (
    Binomial,
    Hypergeometric,
    Kernel,
    TwoBinomials,
    TwoPoissons,
)
from retroevidence.meta.counts.glmm_levels import RandomLevels
from retroevidence.meta.counts.glmm_result import PooledGLMM
from retroevidence.meta.counts.tables import RATES, SINGLE, TABLES, Counts, informative, read_counts
from retroevidence.meta.interval import (
    NAN,
    NO_INTERVAL,
    Interval,
    check_level,
    critical_value,
    two_sided,
)

#: Measures, the columns they need, and their models, the default one first.
MEASURES = {
    "OR": (TABLES, ("CM.EL", "CM.AL", "UM.FS", "UM.RS")),
    "IRR": (RATES, ("CM.EL", "UM.FS", "UM.RS")),
    "PLO": (SINGLE, ("BN",)),
}


def pool_glmm(
    table: Any = None,
    *,
    measure: str = "OR",
    model: str | None = None,
    a: Any = None,
    n1: Any = None,
    c: Any = None,
    n2: Any = None,
    x1: Any = None,
    t1: Any = None,
    x2: Any = None,
    t2: Any = None,
    x: Any = None,
    n: Any = None,
    level: float = 0.95,
) -> PooledGLMM:
    """Pool counts by a generalised linear mixed model: binomial or Poisson, normal effects.

    Parameters
    ----------
    table : pandas.DataFrame, optional
        One row per study with the columns below; `study_id` and `label` are used for names.
    measure : str
        OR (`a`, `n1`, `c`, `n2`), IRR (`x1`, `t1`, `x2`, `t2`) or PLO, one group's proportion
        (`x`, `n`).
    model : str, optional
        - "CM.EL": given all events of a study, those of group 1 follow the non-central
          hypergeometric distribution (IRR: the binomial). Default: no base levels to estimate.
        - "CM.AL": the same with a binomial in place of the hypergeometric, for rare events.
        - "UM.FS": both groups are binomial (IRR: Poisson) with one base level per study and
          ``± effect / 2`` around it. Tau² tends to be too small, as ML spends a parameter on each
          base level.
        - "UM.RS": the same with base levels from one normal population (mean and variance
          `sigma2`), independent of the effects: fewer parameters, one more assumption.
        - "BN": binomial with normally distributed logits, the one model of PLO.
    a, n1, c, n2 : array_like, shape (k,), or str
        Events and people in group 1, events and people in group 2; or names of columns.
    x1, t1, x2, t2 : array_like, shape (k,), or str
        Events and time in group 1, events and time in group 2, all times in one unit.
    x, n : array_like, shape (k,), or str
        Events and people of one group.
    level : float
        Confidence of all intervals.

    Returns
    -------
    PooledGLMM
        Mean effect, variance between studies and their tests. It shows itself.

    Raises
    ------
    PoolError
        If a column is missing, counts are impossible, or the likelihood has no maximum because no
        study has an event in one of the groups.
    UnknownNameError
        If `measure` or `model` is unknown.

    Notes
    -----
    Models: Stijnen, Hamza & Özdemir (2010, doi 10.1002/sim.4040), compared by Jackson et al.
    (2018, doi 10.1002/sim.7588). Maximum likelihood throughout; the integrals over the effects
    (and, in UM.RS, the base levels) are exact to about 1e-12 of a log-likelihood, see `glmm_grid`.
    Standard errors come from the observed information of all parameters, tau and sigma included
    (where they are 0: without them).

    Studies with zero cells enter as they are. Those without an event in either group, or with
    nothing but events in both, say nothing on a ratio and are left out; in UM.RS too, where they
    would say something on the base levels.

    Both unconditional models code the groups ±1/2, so that swapping them turns the sign and nothing
    else. That holds for `q` of UM.RS as well, where metafor's saturated model takes the base
    level of group 2 as the random one and its test depends on which group that is. lme4, and so
    metafor, fit UM.RS by Laplace's approximation, which differs in the third digit in sparse data.

    Examples
    --------
    >>> pool_glmm(a=[4, 6, 9], n1=[123, 306, 90], c=[11, 29, 12], n2=[139, 303, 88])
    Pooled OR, k = 3 studies (model on counts: conditional, exact likelihood)
      log odds ratio  -1.035  95% CI [-1.721, -0.349], p = 0.003
      ...
    """
    columns, model = _choices(measure, model, level)
    given = {"a": a, "n1": n1, "c": c, "n2": n2, "x1": x1, "t1": t1, "x2": x2, "t2": t2}
    counts, notes = read_counts(table, columns, given | {"x": x, "n": n})
    if measure != "PLO":
        counts, said = informative(counts, measure)
        notes += said
    kernel = kernel_of(counts, measure, model)
    _check_edges(kernel, measure)
    k = kernel.k
    found = _search(kernel, level)
    best, common = found.best, found.common
    se, tau2_se = standard_errors(found)
    tau2 = best.tau**2 if k > 1 else NAN
    reach = critical_value(level, math.inf)
    spread = math.sqrt(best.tau**2 + se**2)
    lrt = max(0.0, 2 * (best.value - common.value)) if k > 1 else NAN
    q = max(0.0, 2 * (kernel.saturated() - common.value)) if k > 1 else NAN
    sigma = float(best.base[1]) if isinstance(kernel, RandomLevels) and k > 1 else NAN
    where, deviation = best.posterior
    return PooledGLMM(
        measure=measure,
        model=model,
        level=level,
        k=k,
        estimate=best.effect,
        se=se,
        statistic=best.effect / se,
        p_value=two_sided(best.effect / se, math.inf),
        ci=_around(best.effect, reach * se),
        prediction=_around(best.effect, reach * spread) if k > 1 else NO_INTERVAL,
        tau2=tau2,
        tau2_se=tau2_se,
        tau2_ci=Interval(*(limit**2 for limit in found.tau_ci)),
        sigma2=sigma**2,
        lrt=lrt,
        lrt_p_value=(float(chdtrc(1, lrt)) / 2 if lrt > 0 else 1.0) if k > 1 else NAN,
        q=q,
        q_df=k - 1,
        q_p_value=float(chdtrc(k - 1, q)) if k > 1 else NAN,
        loglik=best.value,
        notes=(*notes, *_remarks(found, sigma, k, counts)),
        studies=counts.frame.assign(
            shrunken=best.effect + best.tau * where, shrunken_sd=best.tau * deviation
        ),
    )


def kernel_of(counts: Counts, measure: str, model: str) -> Kernel | RandomLevels:
    """Return the likelihood of the counts under one of the models.

    Parameters
    ----------
    counts : Counts
        Studies that say something on the effect.
    measure, model : str
        As in `pool_glmm`.

    Returns
    -------
    Kernel or RandomLevels
        Likelihood of each study, as `glmm_fit` or `glmm_levels` takes it.

    Examples
    --------
    >>> counts, _ = read_counts(None, SINGLE, {"x": [1, 2], "n": [5, 6]})
    >>> kernel_of(counts, "PLO", "BN").k
    2
    """
    if measure == "PLO":
        return Binomial(counts.x1, counts.n1, np.zeros(len(counts.x1)))
    if model in ("UM.FS", "UM.RS"):
        two = TwoBinomials(counts) if measure == "OR" else TwoPoissons(counts)
        return two if model == "UM.FS" else RandomLevels(two)
    if measure == "OR" and model == "CM.EL":
        return Hypergeometric(counts)
    # Given the events of both groups, those of group 1 are binomial: exactly for rates, nearly
    # for people when events are rare.
    return Binomial(counts.x1, counts.x1 + counts.x2, np.log(counts.n1 / counts.n2))


def _choices(measure: str, model: str | None, level: float) -> tuple[tuple[str, ...], str]:
    if measure not in list(MEASURES):
        raise unknown_name("measure of counts", measure, MEASURES)
    columns, models = MEASURES[measure]
    if model is not None and model not in models:
        raise unknown_name(f"model for {measure}", model, models)
    check_level(level)
    return columns, models[0] if model is None else model


def _check_edges(kernel: Kernel | RandomLevels, measure: str) -> None:
    """Refuse data whose likelihood rises towards an infinite effect."""
    for every, where in zip(kernel.edges(), ("lowest", "highest"), strict=True):
        if not every.all():
            continue
        if measure == "PLO":
            what = "an event" if where == "lowest" else "a person without an event"
            raise PoolError(
                f"no study has {what}, so the likelihood has no maximum; "
                "use proportion for an exact bound."
            )
        raise PoolError(
            f"every study's counts are the {where} that its margins allow (a group without an "
            "event or with nothing else), so the likelihood has no maximum; use pool_counts, which "
            "says what it adds."
        )


def _search(kernel: Kernel | RandomLevels, level: float) -> Search:
    if kernel.k == 1:
        # One study: its own maximum, with its own base level, and nothing on other studies.
        alone = kernel.kernel if isinstance(kernel, RandomLevels) else kernel
        only = climb(alone, 0.0, 0.0, alone.start())
        return Search(only, only, None, NO_INTERVAL, rising=False)
    climber = kernel.climb if isinstance(kernel, RandomLevels) else partial(climb, kernel)
    return search(climber, kernel.start(), level)


def _remarks(found: Search, sigma: float, k: int, counts: Counts) -> list[str]:
    notes = []
    if k == 1:
        notes.append(
            "One study: its own result; variation between studies and a new study's effect cannot "
            "be estimated."
        )
    elif k < 5:
        notes.append(
            f"With {k} studies tau² is barely estimable, and the interval likely too narrow."
        )
    if k > 1 and found.best.tau == 0:
        notes.append(
            "tau² is estimated as 0: the mean is the common effect, and its standard error leaves "
            "tau² out."
        )
    if k > 1 and sigma == 0:
        notes.append("sigma² is estimated as 0: all studies are taken to have one base level.")
    if found.second is not None:
        other, lower = found.second, found.best.value - found.second.value
        notes.append(
            f"The log-likelihood has a second peak, lower by {lower:.2g}: "
            f"tau² = {other.tau**2:.3g} with an estimate of {other.effect:.3g}."
        )
    if found.rising:
        notes.append(
            f"The likelihood still rises at tau = {MOST:g}, where the search ends: "
            "these studies have no common population to estimate."
        )
    ids = counts.frame.get("study_id")
    if ids is not None and ids.duplicated().any():
        notes.append(
            "Some studies give several rows, taken here as independent: "
            "the interval is too narrow if they share people."
        )
    return notes


def _around(middle: float, reach: float) -> Interval:
    return Interval(middle - reach, middle + reach)

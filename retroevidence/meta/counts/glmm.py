"""Random-effects models on the counts themselves: no corrected zeros, no approximate variances."""

from __future__ import annotations

import math
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
    "OR": (TABLES, ("CM.EL", "CM.AL", "UM.FS")),
    "IRR": (RATES, ("CM.EL", "UM.FS")),
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
    are exact to rounding, see `glmm_fit`. Standard errors come from the observed information of
    all parameters, tau included (with tau² = 0: without it).

    Studies with zero cells enter as they are. Those without an event in either group, or with
    nothing but events in both, say nothing on a ratio and are left out.

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
    found = search(kernel, level) if k > 1 else _alone(kernel)
    best, common = found.best, found.common
    se, tau2_se = standard_errors(found)
    tau2 = best.tau**2 if k > 1 else NAN
    reach = critical_value(level, math.inf)
    spread = math.sqrt(best.tau**2 + se**2)
    lrt = max(0.0, 2 * (best.value - common.value)) if k > 1 else NAN
    q = max(0.0, 2 * (kernel.saturated() - common.value)) if k > 1 else NAN
    where, deviation = best.moments.posterior
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
        lrt=lrt,
        lrt_p_value=(float(chdtrc(1, lrt)) / 2 if lrt > 0 else 1.0) if k > 1 else NAN,
        q=q,
        q_df=k - 1,
        q_p_value=float(chdtrc(k - 1, q)) if k > 1 else NAN,
        loglik=best.value,
        notes=(*notes, *_remarks(found, k, counts)),
        studies=counts.frame.assign(
            shrunken=best.effect + best.tau * where, shrunken_sd=best.tau * deviation
        ),
    )


def kernel_of(counts: Counts, measure: str, model: str) -> Kernel:
    """Return the likelihood of the counts under one of the models.

    Parameters
    ----------
    counts : Counts
        Studies that say something on the effect.
    measure, model : str
        As in `pool_glmm`.

    Returns
    -------
    Kernel
        Likelihood of each study, as `glmm_fit` takes it.

    Examples
    --------
    >>> counts, _ = read_counts(None, SINGLE, {"x": [1, 2], "n": [5, 6]})
    >>> kernel_of(counts, "PLO", "BN").k
    2
    """
    if measure == "PLO":
        return Binomial(counts.x1, counts.n1, np.zeros(len(counts.x1)))
    if model == "UM.FS":
        return TwoBinomials(counts) if measure == "OR" else TwoPoissons(counts)
    if measure == "OR" and model == "CM.EL":
        return Hypergeometric(counts)
    # Given the events of both groups, those of group 1 are binomial: exactly for rates, nearly
    # for people when events are rare.
    return Binomial(counts.x1, counts.x1 + counts.x2, np.log(counts.n1 / counts.n2))


def _choices(measure: str, model: str | None, level: float) -> tuple[tuple[str, ...], str]:
    if measure not in MEASURES:
        raise unknown_name("measure of counts", measure, MEASURES)
    columns, models = MEASURES[measure]
    if model is not None and model not in models:
        raise unknown_name(f"model for {measure}", model, models)
    check_level(level)
    return columns, models[0] if model is None else model


def _check_edges(kernel: Kernel, measure: str) -> None:
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
            f"every study's counts are the {where} that its margins allow (a group without "
            "events), so the likelihood has no maximum; use pool_counts, which says what it adds."
        )


def _alone(kernel: Kernel) -> Search:
    """One study: its own maximum, and nothing on other studies."""
    only = climb(kernel, 0.0, 0.0, kernel.start())
    return Search(only, only, NO_INTERVAL, rising=False)


def _remarks(found: Search, k: int, counts: Counts) -> list[str]:
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

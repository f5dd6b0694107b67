"""The model with random base levels against lme4 by metafor, brute-force integration and limits."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from retroevidence.errors import PoolError
from retroevidence.meta.counts.glmm import pool_glmm
from retroevidence.meta.counts.glmm_kernels import TwoBinomials, TwoPoissons
from retroevidence.meta.counts.glmm_levels import RandomLevels, integrate_levels
from retroevidence.meta.counts.tables import RATES, TABLES, informative, read_counts

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "counts_levels.json").read_text(encoding="utf-8"))
NAMES = sorted(CASES["tables"])
#: Whole fits take half a second each: events rare and plentiful, rates, tau² = 0, sigma² = 0.
FITTED = ["nielweise2007", "bcg", "hine1989", "hahn2001", "nielweise2008", "hart1999"]
RARE = {"a": [0, 3, 1, 9, 20], "n1": [20, 30, 9, 60, 50], "c": [2, 0, 4, 12, 21]}
RARE |= {"n2": [21, 28, 9, 70, 48]}
TIMES = {"x1": [0, 4, 11, 2], "t1": [90.0, 400, 500, 30], "x2": [3, 9, 0, 2]}
TIMES |= {"t2": [100.0, 300, 60, 25]}


def measure_of(name):
    return "IRR" if "x1" in CASES["tables"][name] else "OR"


def fit(name, **given):
    return pool_glmm(CASES["tables"][name], measure=measure_of(name), model="UM.RS", **given)


def kernel(table):
    rates = "x1" in table
    counts, _ = read_counts(table, RATES if rates else TABLES, {})
    counts, _ = informative(counts, "IRR" if rates else "OR")
    return TwoPoissons(counts) if rates else TwoBinomials(counts)


def laplace(counts, theta, tau, alpha, sigma):
    """Laplace's approximation of the log-likelihood, as lme4 has it for two random effects."""
    at = np.zeros((2, counts.k))
    for _ in range(100):
        t = counts.terms(theta + tau * at[0][:, None], alpha + sigma * at[1][:, None])
        slope = np.stack([tau * t.effect[:, 0], sigma * t.base[:, 0]]) - at
        bend = np.array(
            [
                [tau**2 * t.effect2[:, 0] - 1, tau * sigma * t.mixed[:, 0]],
                [tau * sigma * t.mixed[:, 0], sigma**2 * t.base2[:, 0] - 1],
            ]
        ).transpose(2, 0, 1)
        step = -np.linalg.solve(bend, slope.T[:, :, None])[:, :, 0].T
        at = at + step / max(1, np.abs(step).max() / 2)
    return float((t.value[:, 0] - (at**2).sum(0) / 2 - np.log(np.linalg.det(-bend)) / 2).sum())


@pytest.mark.parametrize("name", FITTED)
def test_fits_are_near_those_of_lme4(name):
    """lme4 approximates the integral by Laplace, which costs a fraction of a standard error."""
    found, wanted = fit(name), CASES["random"][name]
    # Three digits in sparse data, more elsewhere.
    assert found.estimate == pytest.approx(wanted["beta"], abs=0.01 * found.se)
    assert found.se == pytest.approx(wanted["se"], rel=0.02)
    assert found.tau2 == pytest.approx(wanted["tau2"], rel=0.03, abs=1e-6)
    assert found.sigma2 == pytest.approx(wanted["sigma2"], rel=0.03)
    assert found.k == wanted["k"]


@pytest.mark.parametrize("name", NAMES)
def test_the_likelihood_is_that_of_lme4(name):
    """At lme4's numbers, in its approximation, at the best mean level (it returns none)."""
    wanted = CASES["random"][name]
    counts, tau, sigma = kernel(CASES["tables"][name]), *np.sqrt([wanted["tau2"], wanted["sigma2"]])
    start = counts.start().mean()
    best = optimize.minimize_scalar(
        lambda alpha: -laplace(counts, wanted["beta"], tau, alpha, sigma), (start - 1, start)
    )
    # Its own mean level stops up to 4e-4 below that.
    assert -1e-6 < -best.fun - wanted["loglik"] < 5e-4


@pytest.mark.parametrize("name", NAMES)
def test_one_random_effect_is_exact_in_lme4_too(name):
    """With 50 points per integral only lme4's stopping rule is left, on an absolute scale."""
    counts, wanted = kernel(CASES["tables"][name]), CASES["common"][name]
    levels = RandomLevels(counts)
    found = levels.climb(0.0, 0.0, levels.start())
    se = 1 / math.sqrt(found.information[0, 0])
    assert found.effect == pytest.approx(wanted["beta"], abs=3e-4 * se)
    assert se == pytest.approx(wanted["se"], rel=1e-4)
    assert found.base[1] ** 2 == pytest.approx(wanted["sigma2"], rel=3e-4, abs=1e-9)


def by_brute_force(counts, theta, tau, alpha, sigma):
    """Both integrals on one fine grid that knows nothing of peaks."""
    z = np.linspace(-9, 9, 601)
    width = z[1] - z[0]
    values = []
    for i in range(counts.k):
        c = counts.counts
        x1, n1, x2, n2 = (float(part[i]) for part in (c.x1, c.n1, c.x2, c.n2))
        base = alpha + sigma * z[:, None]
        one, two = (base + side * (theta + tau * z) / 2 for side in (1, -1))
        if isinstance(counts, TwoBinomials):
            terms = [stats.binom.logpmf(x1, n1, 1 / (1 + np.exp(-one)))]
            terms.append(stats.binom.logpmf(x2, n2, 1 / (1 + np.exp(-two))))
        else:
            terms = [stats.poisson.logpmf(x1, n1 * np.exp(one))]
            terms.append(stats.poisson.logpmf(x2, n2 * np.exp(two)))
        weight = np.exp(sum(terms) - z**2 / 2 - z[:, None] ** 2 / 2)
        values.append(math.log(weight.sum() * width**2 / (2 * math.pi)))
    return np.array(values)


@pytest.mark.parametrize("table", [RARE, TIMES])
@pytest.mark.parametrize(("tau", "sigma"), [(0.3, 0.5), (2.0, 0.05), (0.02, 2.5), (3.0, 2.0)])
def test_integrals_and_derivatives(table, tau, sigma):
    counts = kernel(table)
    at = np.array([0.4, tau, float(counts.start().mean()), sigma])

    def moments(p):
        return integrate_levels(counts, p[:1], p[1], p[2:])

    found = moments(at)
    # The grid of the comparison ends at 9 standard deviations and has steps of 0.03.
    np.testing.assert_allclose(found.value, by_brute_force(counts, *at), rtol=0, atol=1e-11)
    # Differences of a step h leave h²/6 of a third derivative, and rounding over h.
    h = 1e-4
    for j, step in enumerate(h * np.eye(4)):
        up, down = moments(at + step), moments(at - step)
        slope, bend = ((up[m] - down[m]) / (2 * h) for m in (0, 1))
        np.testing.assert_allclose(found.gradient[j], slope, atol=1e-6, rtol=1e-6)
        np.testing.assert_allclose(found.hessian[j], bend, atol=1e-5, rtol=1e-5)


def test_a_step_too_far_is_a_low_likelihood_and_no_warning():
    """Warnings are errors here: a climb turns such a step back, whatever the numbers are."""
    for at in ([900.0, 2.0, 30.0, 1.0], [-40.0, 0.0, 700.0, 0.0], [5.0, 3.0, -300.0, 2.0]):
        for table in (RARE, TIMES):
            values = integrate_levels(
                kernel(table), np.array(at[:1]), at[1], np.array(at[2:])
            ).value
            assert not (values.sum() > -20)


@pytest.mark.parametrize("table", [RARE, TIMES, CASES["tables"]["nielweise2008"]])
def test_the_fit_is_a_maximum_in_all_parameters(table):
    counts = kernel(table)
    measure = "IRR" if "x1" in table else "OR"
    found = pool_glmm(table, measure=measure, model="UM.RS")

    def minus(p):
        moments = integrate_levels(counts, p[:1], p[1], p[2:])
        return -float(moments.value.sum()), -moments.gradient.sum(axis=1)

    best = math.inf
    for tau, sigma in ((found.tau + 0.01, math.sqrt(found.sigma2) + 0.01), (1.5, 0.1), (0.1, 1.5)):
        start = np.array([found.estimate, tau, counts.start().mean(), sigma])
        best = min(best, optimize.minimize(minus, start, jac=True, method="BFGS").fun)
    assert -best - found.loglik < 1e-8


def test_no_variance_at_all_is_the_table_of_all_people():
    """With tau² = sigma² = 0 the groups are two samples, whatever study their people are in."""
    found = fit("hine1989")
    assert found.tau2 == found.sigma2 == 0
    a, n1, c, n2 = (sum(CASES["tables"]["hine1989"][name]) for name in ("a", "n1", "c", "n2"))
    cells = np.array([a, n1 - a, c, n2 - c], dtype=float)
    assert found.estimate == pytest.approx(float(np.log(cells) @ [1, -1, -1, 1]), rel=1e-9)
    assert found.se == pytest.approx(math.sqrt((1 / cells).sum()), rel=1e-8)
    assert any("sigma² is estimated as 0" in note for note in found.notes)
    assert any("tau² is estimated as 0" in note for note in found.notes)


@pytest.mark.parametrize("table", [RARE, TIMES])
def test_swapping_groups_order_and_unit_of_time(table):
    measure, columns = ("IRR", RATES) if "x1" in table else ("OR", TABLES)
    frame = pd.DataFrame(table)[list(columns)]
    found = pool_glmm(frame, measure=measure, model="UM.RS")
    swapped = frame.set_axis([columns[i] for i in (2, 3, 0, 1)], axis=1)
    others = [(swapped, -1), (frame[::-1], 1)]
    if measure == "IRR":
        others.append((frame.assign(t1=frame["t1"] * 1e6, t2=frame["t2"] * 1e6), 1))
    for other, sign in others:
        again = pool_glmm(other, measure=measure, model="UM.RS")
        assert again.estimate == pytest.approx(sign * found.estimate, rel=1e-7)
        for name in ("se", "tau2", "sigma2", "q", "lrt"):
            assert getattr(again, name) == pytest.approx(getattr(found, name), rel=1e-6, abs=1e-9)


def test_q_is_the_likelihood_ratio_of_effects_of_their_own():
    """The largest of all likelihoods with one effect per study, by an optimiser of its own."""
    table = CASES["tables"]["nielweise2008"]
    counts = kernel(table)

    def minus(p):
        moments = integrate_levels(counts, p[2:], 0.0, p[:2])
        slopes = np.concatenate([moments.gradient[2:].sum(axis=1), moments.gradient[0]])
        return -float(moments.value.sum()), -slopes

    start = np.concatenate([[counts.start().mean(), 0.6], np.zeros(counts.k)])
    own = -optimize.minimize(minus, start, jac=True, method="BFGS").fun
    found = fit("nielweise2008")
    common = found.loglik - found.lrt / 2
    assert found.q == pytest.approx(2 * (own - common), abs=1e-6)


def test_one_study_is_its_own_result():
    one = pool_glmm(a=4, n1=123, c=11, n2=139, model="UM.RS")
    fixed = pool_glmm(a=4, n1=123, c=11, n2=139, model="UM.FS")
    assert (one.estimate, one.se) == (fixed.estimate, fixed.se)
    assert math.isnan(one.sigma2)
    assert "base levels    " not in repr(one)
    two = pool_glmm(a=[4, 30], n1=[123, 130], c=[11, 20], n2=[139, 120], model="UM.RS")
    assert two.sigma2 > 0
    assert "sigma² =" in repr(two)


def test_groups_without_events_are_refused_and_single_zeros_are_not():
    with pytest.raises(PoolError, match="the highest that its margins"):
        pool_glmm(a=[3, 1], n1=[9, 9], c=[0, 0], n2=[9, 9], model="UM.RS")
    with pytest.raises(PoolError, match="the lowest that its margins"):
        pool_glmm(a=[3, 1], n1=[9, 9], c=[9, 9], n2=[9, 9], model="UM.RS")
    # With a base level for each study this pair has no maximum; a common one holds it.
    given = {"a": [0, 4], "n1": [9, 9], "c": [5, 9], "n2": [9, 9]}
    with pytest.raises(PoolError, match="the lowest"):
        pool_glmm(**given, model="UM.FS")
    found = pool_glmm(**given, model="UM.RS")
    assert -10 < found.estimate < 0


def test_millions_of_people():
    """Where the log-likelihood is rounded to 1e-6 the climb still ends, at the normal model."""
    random = np.random.default_rng(7)
    n = np.full(8, 9_000_000)
    base, effect = random.normal(-2, 0.8, 8), random.normal(0.3, 0.4, 8)
    a, c = (
        random.binomial(n, 1 / (1 + np.exp(-v))) for v in (base + effect / 2, base - effect / 2)
    )
    found = pool_glmm(a=a, n1=n, c=c, n2=n, model="UM.RS")
    own = np.log(a / (n - a)) - np.log(c / (n - c))
    middle = (np.log(a / (n - a)) + np.log(c / (n - c))) / 2
    # Nothing but the variance between studies is left.
    assert found.estimate == pytest.approx(own.mean(), abs=1e-4)
    assert found.tau2 == pytest.approx(own.var(), rel=1e-3)
    assert found.sigma2 == pytest.approx(middle.var(), rel=1e-3)
    assert found.se == pytest.approx(math.sqrt(own.var() / 8), rel=1e-3)


@pytest.mark.parametrize("table", [RARE, TIMES])
def test_the_slope_without_variance_is_the_limit_of_the_slopes_beside_it(table):
    """It tells whether the likelihood rises from 0: by it a peak close to 0 is found."""
    climber = RandomLevels(kernel(table))
    here = climber.climb(0.0, 0.0, climber.start())
    near = climber.climb(1e-4, here.effect, here.base)
    # The slopes change with τ², by up to 2e-5 of them here.
    assert here.slope == pytest.approx(near.slope, rel=1e-4)

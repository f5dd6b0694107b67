"""Models on counts against lme4 by metafor, brute-force integration, and their own limits."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate as quadrature
from scipy import optimize, stats

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.counts import glmm_grid, glmm_kernels
from retroevidence.meta.counts.glmm import pool_glmm
from retroevidence.meta.counts.glmm_fit import climb, integrate
from retroevidence.meta.counts.glmm_kernels import (
    Binomial,
    Hypergeometric,
    TwoBinomials,
    TwoPoissons,
)
from retroevidence.meta.counts.pool import pool_counts
from retroevidence.meta.counts.tables import TABLES, own_effects, read_counts
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "counts.json").read_text(encoding="utf-8"))

# lme4 stops when its steps are small on an absolute scale: 1e-4 to 1e-5 of the numbers in our
# cases, and it says itself that the one of UM.FS on nielweise2007 has not converged.
LME4 = 1e-4
NOT_CONVERGED = 5e-4
# optim() with reltol 1e-14 on a log-likelihood near 50 leaves 1e-6 in its arguments.
OPTIM = 1e-5


def table(name):
    return pd.DataFrame(CASES["tables"][name])


def counts(name):
    read, _ = read_counts(table(name), TABLES, {})
    return read.keep(~(read.no_event | read.all_event))


def fits():
    rates, both = pd.DataFrame(CASES["rates"]), table("nielweise2007")
    for name in ("bcg", "nielweise2007"):
        for model in ("UM.FS", "CM.AL"):
            yield (
                f"{name} {model}",
                {"table": table(name), "model": model},
                CASES["glmm"][name][model],
            )
    for model in ("UM.FS", "CM.EL"):
        given = {"table": rates, "measure": "IRR", "model": model}
        yield f"nielweise2008 {model}", given, CASES["glmm"]["nielweise2008"][model]
    for group, x, n in (("treated", "a", "n1"), ("control", "c", "n2")):
        given = {"table": both, "measure": "PLO", "x": x, "n": n}
        yield group, given, CASES["glmm"]["one_group"][group]


@pytest.mark.parametrize(("name", "given", "wanted"), list(fits()), ids=lambda v: str(v)[:22])
def test_fits_match_lme4(name, given, wanted):
    found = pool_glmm(**given)
    close = NOT_CONVERGED if name == "nielweise2007 UM.FS" else LME4
    assert found.estimate == pytest.approx(wanted["beta"], rel=close)
    assert found.se == pytest.approx(wanted["se"], rel=close)
    assert found.tau2 == pytest.approx(wanted["tau2"], rel=3 * close)
    # Two maxima of plain logistic models: exact in both programs.
    assert found.q == pytest.approx(wanted["LRT"], rel=1e-8)
    assert found.q_p_value == pytest.approx(wanted["LRTp"], rel=1e-6)
    assert found.k == wanted["k"]


@pytest.mark.parametrize("name", ["bcg", "nielweise2007"])
def test_the_exact_conditional_model_matches_brute_force(name):
    found, wanted = pool_glmm(table(name), model="CM.EL"), CASES["exact"][name]
    assert found.estimate == pytest.approx(wanted["beta"], rel=OPTIM)
    assert found.tau2 == pytest.approx(wanted["tau2"], rel=OPTIM)
    # optim() differentiates twice by differences of 1e-3.
    assert found.se == pytest.approx(wanted["se"], rel=1e-4)
    assert found.loglik == pytest.approx(wanted["loglik"], rel=1e-10)


def likelihoods():
    """Every kernel beside the probabilities SciPy gives for the same counts."""
    few = counts("nielweise2007")
    total = few.x1 + few.x2
    odds = few.n1 / few.n2

    def hypergeometric(i, effect, base):
        law = stats.nchypergeom_fisher(
            int(few.n1[i] + few.n2[i]), int(few.n1[i]), int(total[i]), math.exp(effect)
        )
        return law.pmf(int(few.x1[i]))

    def given_all(i, effect, base):
        share = odds[i] * math.exp(effect) / (1 + odds[i] * math.exp(effect))
        return stats.binom.pmf(few.x1[i], total[i], share)

    def two_binomials(i, effect, base):
        one, two = (1 / (1 + math.exp(-(base + half))) for half in (effect / 2, -effect / 2))
        return stats.binom.pmf(few.x1[i], few.n1[i], one) * stats.binom.pmf(
            few.x2[i], few.n2[i], two
        )

    def two_poissons(i, effect, base):
        one = stats.poisson.pmf(few.x1[i], few.n1[i] * math.exp(base + effect / 2))
        return one * stats.poisson.pmf(few.x2[i], few.n2[i] * math.exp(base - effect / 2))

    yield Hypergeometric(few), hypergeometric
    yield Binomial(few.x1, total, np.log(odds)), given_all
    yield TwoBinomials(few), two_binomials
    yield TwoPoissons(few), two_poissons


@pytest.mark.parametrize(("kernel", "probability"), list(likelihoods()))
@pytest.mark.parametrize("tau", [0.0, 0.05, 0.8, 4.0])
def test_integrals_and_derivatives(kernel, probability, tau):
    effect = -1.1
    base = kernel.start()
    found = integrate(kernel, effect, tau, base)
    for i in (0, 16):
        if tau == 0:
            wanted = probability(i, effect, base[i])
        else:
            wanted = quadrature.quad(
                lambda z, i=i: probability(i, effect + tau * z, base[i]) * stats.norm.pdf(z),
                -9,
                9,
                epsabs=0,
                epsrel=1e-10,
                limit=400,
            )[0]
        # SciPy's non-central hypergeometric keeps ten digits.
        assert found.value[i] == pytest.approx(math.log(wanted), abs=1e-8)
    # Differences of a step h leave h²/6 of a third derivative, and rounding over h.
    h = 1e-4
    up, down = (integrate(kernel, effect + s * h, tau, base) for s in (1, -1))
    slope = (up.value - down.value) / (2 * h)
    np.testing.assert_allclose(found.gradient[0], slope, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(
        found.hessian[0], (up.gradient - down.gradient) / (2 * h), atol=1e-5, rtol=1e-5
    )
    if tau > 0:
        up, down = (integrate(kernel, effect, tau + s * h, base) for s in (1, -1))
        slope = (up.value - down.value) / (2 * h)
        np.testing.assert_allclose(found.gradient[1], slope, atol=1e-5, rtol=1e-5)
        bend = (up.gradient - down.gradient) / (2 * h)
        np.testing.assert_allclose(found.hessian[1], bend, atol=1e-5, rtol=1e-5)
    if kernel.has_base:
        up, down = (integrate(kernel, effect, tau, base + s * h) for s in (1, -1))
        bend = (up.gradient - down.gradient) / (2 * h)
        np.testing.assert_allclose(found.hessian[2], bend, atol=1e-4, rtol=1e-5)


def test_more_points_change_nothing(monkeypatch):
    """Large counts, no events, wide and narrow effects: the points are enough for all of them."""
    x, n = np.array([0.0, 0, 1, 900, 5000]), np.array([5.0, 4000, 30, 1000, 5000])
    kernel = Binomial(x, n, np.zeros(5))
    for tau in (0.01, 0.4, 2.0, 10.0):
        for effect in (-6.0, 0.0, 3.0):
            few = integrate(kernel, effect, tau, np.zeros(5))
            with monkeypatch.context() as patch:
                patch.setattr(glmm_grid, "STEP", 0.01)
                patch.setattr(glmm_grid, "STEP_SD", 0.01)
                many = integrate(kernel, effect, tau, np.zeros(5))
            np.testing.assert_allclose(few.value, many.value, rtol=1e-12, atol=1e-11)
            np.testing.assert_allclose(few.gradient, many.gradient, rtol=1e-8, atol=1e-8)


def test_the_window_of_large_tables_loses_nothing(monkeypatch):
    large = counts("bcg")
    effects = np.linspace(-3, 2, 9) * np.ones((13, 1))
    with monkeypatch.context() as patch:
        patch.setattr(glmm_kernels, "FEW", 10**9)
        whole = Hypergeometric(large).terms(effects, effects)
    monkeypatch.setattr(glmm_kernels, "FEW", 1)
    for columns in (slice(0, 9), slice(0, 1), slice(8, 9)):
        part = Hypergeometric(large).terms(effects[:, columns], effects[:, columns])
        for found, wanted in zip(part[:3], whole[:3], strict=True):
            np.testing.assert_allclose(found, wanted[:, columns], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["bcg", "nielweise2007"])
def test_the_fit_is_a_maximum_in_all_parameters(name):
    kernel = TwoBinomials(counts(name))
    fit = pool_glmm(table(name), model="UM.FS")
    best = climb(kernel, fit.tau, fit.estimate, kernel.start())
    assert best.value == pytest.approx(fit.loglik, abs=1e-9)

    def minus(p):
        return -float(integrate(kernel, p[0], abs(p[1]), p[2:]).value.sum())

    start = np.concatenate([[fit.estimate, fit.tau], best.base])
    free = optimize.minimize(minus, start, method="BFGS")
    assert -free.fun - fit.loglik < 1e-8


def test_no_variance_between_studies_is_a_common_effect():
    d = pd.DataFrame({"a": [10, 20, 30], "n1": [100] * 3, "c": [12, 24, 33], "n2": [100] * 3})
    for model in ("CM.EL", "CM.AL", "UM.FS"):
        found = pool_glmm(d, model=model)
        assert found.tau2 == 0
        assert found.tau2_ci.low == 0 < found.tau2_ci.high
        assert (found.lrt, found.lrt_p_value) == (0.0, 1.0)
        assert math.isnan(found.tau2_se)
        assert found.prediction == found.ci
        assert any("tau² is estimated as 0" in note for note in found.notes)
    # The conditional maximum and Mantel-Haenszel agree to first order in such data.
    exact = pool_glmm(d)
    assert exact.estimate == pytest.approx(pool_counts(d).estimate, abs=0.003)
    import statsmodels.api as sm

    x = np.array([[*row, arm] for row in np.eye(3) for arm in (0.5, -0.5)])
    events = np.array([[a, 100 - a] for pair in zip(d["a"], d["c"], strict=True) for a in pair])
    theirs = sm.GLM(events, x, family=sm.families.Binomial()).fit(tol=1e-14)
    ours = pool_glmm(d, model="UM.FS")
    # The same logistic regression, iterated to the last digits on both sides.
    assert ours.estimate == pytest.approx(theirs.params[-1], rel=1e-9)
    assert ours.se == pytest.approx(theirs.bse[-1], rel=1e-8)


def test_large_counts_give_the_normal_model():
    """With thousands of events per study the log odds ratio is as good as normal."""
    random = np.random.default_rng(5)
    n = np.full(9, 8_000)
    logit = random.normal(-1, 0.5, 9)
    effect = random.normal(0.3, 0.4, 9)
    a, c = (random.binomial(n, 1 / (1 + np.exp(-v))) for v in (logit + effect, logit))
    d = pd.DataFrame({"a": a, "n1": n, "c": c, "n2": n})
    yi, vi = own_effects(read_counts(d, TABLES, {})[0], "OR")
    normal = pool(yi=yi, vi=vi, method="ML", test="z")
    for model in ("CM.EL", "UM.FS"):
        found = pool_glmm(d, model=model)
        # Skewness of order 1/sqrt(events) is what is left.
        assert found.estimate == pytest.approx(normal.estimate, abs=3e-4)
        assert found.tau2 == pytest.approx(normal.tau2, rel=1e-3)
        assert found.se == pytest.approx(normal.se, rel=0.01)


@pytest.mark.parametrize("model", ["CM.EL", "CM.AL", "UM.FS"])
def test_swapping_groups_and_order_and_adding_nothing(model):
    d = table("nielweise2007")
    found = pool_glmm(d, model=model)
    swapped = pool_glmm(d.set_axis(["c", "n2", "a", "n1"], axis=1), model=model)
    turned = pool_glmm(d[::-1], model=model)
    assert swapped.estimate == pytest.approx(-found.estimate, rel=1e-9)
    assert swapped.tau2 == pytest.approx(found.tau2, rel=1e-8)
    assert turned.estimate == pytest.approx(found.estimate, rel=1e-9)
    assert "no event in either group: 14;" in found.notes[0]
    assert found.k == 17


def test_the_unit_of_time_does_not_matter():
    days = pd.DataFrame(CASES["rates"])
    for factor in (1e-6, 1e6):
        scaled = days.assign(t1=days["t1"] * factor, t2=days["t2"] * factor)
        for model in ("CM.EL", "UM.FS"):
            one = pool_glmm(days, measure="IRR", model=model)
            other = pool_glmm(scaled, measure="IRR", model=model)
            assert other.estimate == pytest.approx(one.estimate, rel=1e-9)
            assert other.tau2 == pytest.approx(one.tau2, rel=1e-7)


def test_given_the_events_rates_are_binomial_in_both_models():
    """A Poisson pair factorises: with tau² = 0 both models of rates give one answer."""
    d = pd.DataFrame({"x1": [5, 9, 14], "t1": [100.0, 90, 120], "x2": [7, 12, 20], "t2": [100] * 3})
    exact, unconditional = (pool_glmm(d, measure="IRR", model=m) for m in ("CM.EL", "UM.FS"))
    assert exact.tau2 == unconditional.tau2 == 0
    assert exact.estimate == pytest.approx(unconditional.estimate, rel=1e-9)
    assert exact.se == pytest.approx(unconditional.se, rel=1e-8)
    assert exact.q == pytest.approx(unconditional.q, rel=1e-8)


def test_profile_limits_are_where_the_likelihood_has_fallen():
    found = pool_glmm(table("bcg"), model="CM.AL")
    bcg = counts("bcg")
    kernel = Binomial(bcg.x1, bcg.x1 + bcg.x2, np.log(bcg.n1 / bcg.n2))
    for limit in found.tau2_ci:
        fallen = found.loglik - climb(kernel, math.sqrt(limit), -0.7, np.zeros(13)).value
        assert fallen == pytest.approx(stats.chi2.ppf(0.95, 1) / 2, abs=1e-8)
    wider = pool_glmm(table("bcg"), model="CM.AL", level=0.99)
    assert wider.tau2_ci.low < found.tau2_ci.low < found.tau2_ci.high < wider.tau2_ci.high


def test_shrunken_effects_lie_between_the_study_and_the_mean():
    found = pool_glmm(table("bcg"))
    own, _ = own_effects(counts("bcg"), "OR")
    between = (found.studies["shrunken"] - own) * (found.studies["shrunken"] - found.estimate)
    # Binomial skewness moves studies that lie at the mean already; these two lie closer than that.
    assert (between < 0.02).all()
    assert (found.studies["shrunken_sd"] < found.tau).all()


def test_one_two_and_contradicting_studies():
    one = pool_glmm(a=4, n1=123, c=11, n2=139, model="UM.FS")
    a, b, c, d = 4, 119, 11, 128
    assert one.estimate == pytest.approx(math.log(a * d / (b * c)), rel=1e-9)
    assert one.se == pytest.approx(math.sqrt(1 / a + 1 / b + 1 / c + 1 / d), rel=1e-9)
    assert math.isnan(one.tau2)
    assert "One study" in one.notes[-1]
    assert "not estimable from one study" in repr(one)
    two = pool_glmm(a=[4, 30], n1=[123, 130], c=[11, 20], n2=[139, 120])
    assert any("barely estimable" in note for note in two.notes)
    apart = pool_glmm(a=[0, 9], n1=[10, 10], c=[9, 0], n2=[10, 10])
    assert any("still rises at tau = 10" in note for note in apart.notes)
    assert apart.tau2_ci.high == math.inf


def test_one_study_with_nearly_all_the_people():
    found = pool_glmm(a=[1, 2, 50_000], n1=[30, 40, 10**6], c=[2, 2, 49_000], n2=[30, 40, 10**6])
    alone = pool_glmm(a=50_000, n1=10**6, c=49_000, n2=10**6)
    assert found.tau2 == 0
    assert found.estimate == pytest.approx(alone.estimate, abs=found.se)


@pytest.mark.parametrize("model", ["CM.AL", "UM.FS"])
def test_millions_of_people(model):
    """The log-likelihood is rounded to 1e-6 there, and the climb must not wait for less."""
    random = np.random.default_rng(11)
    n = np.array([9_600_000, 4_100_000, 21_000, 88_000, 7_700_000, 36_000_000])
    base, effect = random.normal(-2.2, 0.7, 6), random.normal(0.3, 0.5, 6)
    a, c = (
        random.binomial(n, 1 / (1 + np.exp(-v))) for v in (base + effect / 2, base - effect / 2)
    )
    found = pool_glmm(a=a, n1=n, c=c, n2=n, model=model)
    own = np.log(a / c) if model == "CM.AL" else np.log(a * (n - c) / (c * (n - a)))
    # Nothing but the variance between studies is left; the smallest study has an SE of 0.04.
    assert found.estimate == pytest.approx(own.mean(), abs=0.002)
    assert found.tau2 == pytest.approx(own.var(), rel=0.01)
    assert found.se == pytest.approx(math.sqrt(own.var() / 6), rel=0.01)


def test_two_peaks_are_told():
    """Random rates on which lme4 ends at the lower of two peaks, tau² = 0.114."""
    d = {"x1": [10, 2, 20, 20, 25], "t1": [16760, 20661, 19455, 33130, 14439]}
    d |= {"x2": [3, 3, 5, 4, 26], "t2": [23410, 11835, 2418, 5825, 21396]}
    found = pool_glmm(d, measure="IRR", model="UM.FS")
    assert found.tau2 == 0
    (note,) = (note for note in found.notes if "second peak" in note)
    assert "lower by 0.0056: tau² = 0.114 with an estimate of 0.165" in note
    read, _ = read_counts(d, ("x1", "t1", "x2", "t2"), {})
    kernel = TwoPoissons(read)
    grid = [climb(kernel, tau, 0.2, kernel.start()).value for tau in np.linspace(0, 1, 41)]
    assert max(grid) == grid[0] == pytest.approx(found.loglik, abs=1e-9)
    assert min(grid[:14]) < max(grid[8:20]) - 1e-3
    assert not any("second peak" in note for note in pool_glmm(table("bcg")).notes)


def test_unlike_groups_and_everybody_with_an_event():
    """Tables whose integrals reach effects of ±60 on the log scale."""
    d = pd.DataFrame(
        {
            "a": [6, 39, 6, 17, 10, 53, 150, 29, 64, 6],
            "n1": [9, 39, 427, 19, 11, 94, 171, 35, 64, 75],
            "c": [161, 575, 39, 210, 34, 100, 13, 78, 15, 104],
            "n2": [206, 661, 45, 239, 34, 103, 21, 83, 18, 146],
        }
    )
    for model in ("CM.EL", "UM.FS"):
        found = pool_glmm(d, model=model)
        assert 2 < found.tau < 4
        assert found.tau2_ci.low < found.tau2 < found.tau2_ci.high
        assert found.lrt_p_value < 1e-10


def test_tau_grows_with_the_differences():
    found = []
    for shift in (0, 4, 8, 12):
        d = {"a": [20 - shift, 20 + shift, 20], "n1": [60] * 3, "c": [20] * 3, "n2": [60] * 3}
        found.append(pool_glmm(d, model="UM.FS").tau2)
    assert found[0] == 0
    assert all(one <= other for one, other in pairwise(found))
    assert found[-1] > 0.4


def test_it_shows_itself_and_exports():
    found = pool_glmm(table("bcg").assign(label=[f"trial {i}" for i in range(13)]), model="CM.AL")
    assert "odds ratio      0.486" in repr(found)
    assert "trial 12" in found._repr_html_()
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["tau2_ci_high"] == pytest.approx(found.tau2_ci.high)
    assert len(found.summary) == 1
    share = pool_glmm(table("nielweise2007"), measure="PLO", x="c", n="n2")
    assert "typical share  2.9%" in repr(share)
    apart = pool_glmm(measure="PLO", x=[0, 10], n=[10, 10])
    assert json.loads(json.dumps(apart.to_dict()))["tau2_ci_high"] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": [0, 0], "n1": [9, 9], "c": [1, 2], "n2": [9, 9]}, "the lowest that its margins"),
        ({"a": [3, 1], "n1": [9, 9], "c": [0, 0], "n2": [9, 9]}, "the highest that its margins"),
        ({"a": [0, 9], "n1": [9, 9], "c": [0, 9], "n2": [9, 9]}, "no study says anything"),
        ({"measure": "PLO", "x": [0, 0], "n": [9, 9]}, "no study has an event"),
        ({"measure": "PLO", "x": [9, 9], "n": [9, 9]}, "a person without an event"),
        ({"a": [1], "n1": [9], "c": [1], "n2": [9], "level": 95}, "write 0.95"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(PoolError, match=message):
        pool_glmm(**given)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="measure of counts"):
        pool_glmm(measure="RR")
    with pytest.raises(UnknownNameError, match="measure of counts"):
        pool_glmm(measure=["OR"])
    with pytest.raises(UnknownNameError, match="model for IRR"):
        pool_glmm(measure="IRR", model="CM.AL")

"""Prediction intervals by name, and the chance that a new effect passes a mark."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm, t

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.pool import pool
from retroevidence.meta.prediction import KINDS, tau2_draws
from retroevidence.meta.quadratic import quadratic_tails
from retroevidence.meta.tau2_intervals import heterogeneity_weights

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))

# metafor 5.1-12, predict(rma(yi, vi, test = "z" | "knha"), predtype = "Riley" or default), root
# tolerance 1e-14: acceptance.json, case bcg.
REFERENCE = {
    "z": CASES["bcg"]["REML_z"]["pi"],
    "hk": CASES["bcg"]["REML_knha"]["pi"],
    "hts": CASES["bcg"]["REML_z"]["pi_riley"],
    "hk-pr": CASES["bcg"]["REML_knha"]["pi_riley"],
}


@pytest.fixture(scope="module")
def bcg():
    given = pd.DataFrame(CASES["bcg_inputs"])
    n1, n2 = given["tpos"] + given["tneg"], given["cpos"] + given["cneg"]
    yi, vi = effect_size("RR", a=given["tpos"], n1=n1, c=given["cpos"], n2=n2)
    return given.assign(yi=yi, vi=vi)


@pytest.mark.parametrize("kind", list(REFERENCE))
@pytest.mark.parametrize("test", ["z", "knha", "adhoc"])
def test_named_intervals_do_not_depend_on_the_test_of_the_fit(kind, test, bcg):
    found = pool(bcg, test=test).prediction_interval(kind)
    # Both sides iterate tau² to 1e-13.
    np.testing.assert_allclose(found, REFERENCE[kind], rtol=1e-10)


def test_the_interval_of_the_result_is_one_of_them(bcg):
    assert pool(bcg).prediction == pytest.approx(pool(bcg).prediction_interval("hk"), rel=1e-13)
    found = pool(bcg, test="z")
    assert found.prediction == pytest.approx(found.prediction_interval("z"), rel=1e-13)
    found = pool(bcg, test="t")
    assert found.prediction == pytest.approx(found.prediction_interval("t"), rel=1e-13)


def test_t_uses_the_usual_standard_error(bcg):
    pooled = pool(bcg, test="z")
    reach = t.ppf(0.95, 12) * math.sqrt(pooled.tau2 + pooled.se**2)
    wanted = (pooled.estimate - reach, pooled.estimate + reach)
    assert pooled.prediction_interval("t", level=0.9) == pytest.approx(wanted, rel=1e-12)


# Bootstrap ----------------------------------------------------------------------------------------


def exact_chance(pooled, value):
    """P(new <= value) of the distribution that the bootstrap draws from, by quadrature."""
    y, v, k = pooled.fit.yi, pooled.fit.vi, pooled.k
    weights = heterogeneity_weights(v, pooled.fit.x)
    q = np.sum((y - np.average(y, weights=1 / v)) ** 2 / v)
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 1e4, 400)])
    below = np.array([quadratic_tails(q, weights(one))[0] for one in grid])
    # Quantiles of t; their mean approximates the integral over t.
    nodes = t.ppf((np.arange(400) + 0.5) / 400, k - 1)
    chance = []
    for tau2 in grid:
        w = 1 / (v + tau2)
        mean = w @ y / w.sum()
        error = math.sqrt(w @ (y - mean) ** 2 / w.sum() / (k - 1))
        ahead = value - mean + nodes * error
        chance.append(np.mean(norm.cdf(ahead / math.sqrt(tau2)) if tau2 > 0 else ahead >= 0))
    chance = np.array(chance)
    steps = below[:-1] - below[1:]
    return (1 - below[0]) * chance[0] + steps @ (chance[:-1] + chance[1:]) / 2


def test_bootstrap_has_the_distribution_of_its_definition(bcg):
    pooled = pool(bcg, method="DL")
    low, high = pooled.prediction_interval("bootstrap", draws=100_000)
    # 100,000 draws leave a standard error of 0.0005 on a tail of 0.025, quadrature less.
    assert exact_chance(pooled, low) == pytest.approx(0.025, abs=0.002)
    assert exact_chance(pooled, high) == pytest.approx(0.975, abs=0.002)


def test_bootstrap_of_three_studies_that_differ_less_than_by_chance():
    # Every draw of tau² is 0 then, and what is left is the mean with the Knapp-Hartung t(k - 1).
    pooled = pool(yi=[0.1, 0.101, 0.099], vi=[1.0, 2.0, 3.0])
    known = pool(yi=pooled.fit.yi, vi=pooled.fit.vi, method="CE")
    assert pooled.tau2 == 0
    low, high = pooled.prediction_interval("bootstrap", draws=100_000)
    spread = np.sum((pooled.fit.yi - known.estimate) ** 2 / pooled.fit.vi) / 2
    error = math.sqrt(spread / np.sum(1 / pooled.fit.vi))
    # A quantile of 100,000 draws of t(2) at 0.975 is known to 1.2 %; k for k - 1 makes 18 %.
    assert (high - low) / (2 * error) == pytest.approx(t.ppf(0.975, 2), rel=0.04)
    assert (high + low) / 2 == pytest.approx(known.estimate, abs=0.2 * error)


# Trials of cisapride (Hartung & Knapp 2001), events and people of both groups, as printed in the
# documentation of the R package of the method's authors, pimeta 1.1.4 (pages "pimeta" and
# "convert_bin").
CISAPRIDE = {
    "a": [15, 12, 29, 42, 14, 44, 14, 29, 10, 17, 38, 19, 21],
    "n1": [16, 16, 34, 56, 22, 54, 17, 58, 14, 26, 44, 29, 38],
    "c": [9, 1, 18, 31, 6, 17, 7, 23, 3, 6, 12, 22, 19],
    "n2": [16, 16, 34, 56, 22, 55, 15, 58, 15, 27, 45, 30, 38],
}


def test_bootstrap_agrees_with_the_example_of_its_authors():
    yi, vi = effect_size("OR", **CISAPRIDE, add=0.5, to="all")
    pooled = pool(yi=yi, vi=vi, method="DL")
    # Printed on the same page, to three decimals: the mean odds ratio and tau².
    assert math.exp(pooled.estimate) == pytest.approx(4.141, abs=5e-4)
    assert pooled.tau2 == pytest.approx(0.718, abs=5e-4)
    printed = math.log(0.533), math.log(33.692)
    low, high = pooled.prediction_interval("bootstrap", draws=400_000)
    # Theirs is one run of 25,000 draws: over 30 seeds the logarithms of such limits have standard
    # deviations of 0.017 and 0.020. Three of them are allowed.
    assert (low, high) == (pytest.approx(printed[0], abs=0.05), pytest.approx(printed[1], abs=0.06))
    # No other kind is that near to both, so agreement is not by chance.
    for kind in {*KINDS} - {"bootstrap"}:
        other = pooled.prediction_interval(kind)
        assert abs(other.low - printed[0]) > 0.05 or abs(other.high - printed[1]) > 0.06, kind


def test_bootstrap_is_reproducible_and_ignores_the_estimator(bcg):
    one = pool(bcg).prediction_interval("bootstrap", draws=2000)
    assert pool(bcg, method="PM", test="z").prediction_interval("bootstrap", draws=2000) == one
    assert pool(bcg).prediction_interval("bootstrap", draws=2000, seed=1) != one


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_bootstrap_has_no_scale(factor, bcg):
    one = pool(bcg).prediction_interval("bootstrap", draws=2000)
    yi, vi = factor * bcg["yi"].to_numpy(), factor**2 * bcg["vi"].to_numpy()
    two = pool(yi=yi, vi=vi).prediction_interval("bootstrap", draws=2000)
    # The points between which tau² is interpolated scale along; rounding remains.
    np.testing.assert_allclose(np.array(two) / factor, one, rtol=1e-8)


def test_draws_of_tau2_follow_the_exact_distribution(bcg):
    y, v = bcg["yi"].to_numpy(), bcg["vi"].to_numpy()
    uniform = np.linspace(0.001, 0.999, 40)
    x = np.ones((len(y), 1))
    drawn = tau2_draws(y, v, x, uniform)
    weights = heterogeneity_weights(v, x)
    q = np.sum((y - np.average(y, weights=1 / v)) ** 2 / v)
    below = np.array([quadratic_tails(q, weights(one))[0] for one in drawn])
    # Interpolation between 300 points.
    np.testing.assert_allclose(below, uniform, atol=2e-5)


def test_studies_that_agree_better_than_chance_draw_zeros():
    y, v = np.full(5, 0.3), np.full(5, 0.1)
    assert not tau2_draws(y, v, np.ones((5, 1)), np.array([0.2, 0.9])).any()


@pytest.mark.parametrize("kind", ["hk", "hk-pr", "bootstrap"])
def test_studies_that_agree_exactly_give_no_interval_without_width(kind):
    with pytest.raises(PoolError, match=f"agree exactly, so the {kind} .* use kind='t'"):
        pool(yi=[0.3] * 5, vi=[0.1] * 5).prediction_interval(kind)


# Passing a mark -----------------------------------------------------------------------------------


@pytest.mark.parametrize("test", ["z", "t", "knha", "adhoc"])
def test_probability_agrees_with_the_prediction_interval(test, bcg):
    pooled = pool(bcg, test=test)
    assert pooled.probability(below=pooled.prediction.low).probability == pytest.approx(0.025)
    assert pooled.probability(above=pooled.prediction.high).probability == pytest.approx(0.025)
    one, two = pooled.probability(above=-0.5), pooled.probability(below=-0.5)
    assert one.probability + two.probability == pytest.approx(1, rel=1e-12)
    assert one.share + two.share == pytest.approx(1, rel=1e-12)
    assert one.share_ci.low == pytest.approx(1 - two.share_ci.high, rel=1e-12)


def test_share_of_effects_and_its_standard_error(bcg):
    pooled = pool(bcg, test="z", level=0.9)
    found = pooled.probability(below=-0.5)
    tau = pooled.tau
    assert found.share == pytest.approx(norm.cdf((-0.5 - pooled.estimate) / tau), rel=1e-12)

    # The delta method by numeric differentiation.
    def share(mean, tau2):
        return norm.cdf((-0.5 - mean) / math.sqrt(tau2))

    h = 1e-5
    by_mean = share(pooled.estimate + h, tau**2) - share(pooled.estimate - h, tau**2)
    by_tau2 = share(pooled.estimate, tau**2 + h) - share(pooled.estimate, tau**2 - h)
    error = math.hypot(by_mean * pooled.se, by_tau2 * pooled.tau2_se) / (2 * h)
    width = found.share_ci.high - found.share_ci.low
    # Central differences of step 1e-5.
    assert width == pytest.approx(2 * norm.ppf(0.95) * error, rel=1e-7)


def test_shares_near_an_end_are_cut_and_marked(bcg):
    found = pool(bcg).probability(above=0.5)
    assert found.share_ci.low == 0
    assert any("near 0 or 1" in note for note in found.notes)
    other = pool(bcg).probability(below=0.5)
    assert other.share_ci.high == 1
    assert any("near 0 or 1" in note for note in other.notes)
    middle = pool(bcg).probability(below=-0.5)
    assert not any("near 0 or 1" in note for note in middle.notes)


def test_without_heterogeneity_all_effects_are_equal():
    pooled = pool(yi=[0.1, 0.12, 0.08, 0.15], vi=[0.04, 0.05, 0.03, 0.06])
    assert pooled.tau2 == 0
    assert pooled.probability(above=0.0).share == 1
    assert pooled.probability(above=0.5).share == 0
    assert pooled.probability(above=pooled.estimate).share == 0.5
    found = pooled.probability(above=0.0)
    assert math.isnan(found.share_ci.low)
    assert any("taken as equal" in note for note in found.notes)


def test_it_shows_itself(bcg):
    found = pool(bcg).probability(below=0)
    assert "in a new study" in repr(found)
    assert "<table>" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["side"] == "below"
    assert found.summary["share"].iloc[0] == found.share


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_refusals(kind, bcg):
    with pytest.raises(PoolError, match=r"use predict\(newdata\)"):
        pool(bcg, mods="~ ablat").prediction_interval(kind)
    with pytest.raises(PoolError, match="common-effect fit"):
        pool(bcg, method="CE").prediction_interval(kind)
    with pytest.raises(PoolError, match="from one study"):
        pool(bcg.iloc[:1]).prediction_interval(kind)
    if kind in ("hts", "hk-pr"):
        with pytest.raises(PoolError, match=f"{kind} prediction interval needs 3 studies"):
            pool(bcg.iloc[:2]).prediction_interval(kind)
    else:
        low, high = pool(bcg.iloc[:2]).prediction_interval(kind)
        assert -math.inf < low < high < math.inf


def test_other_refusals(bcg):
    pooled = pool(bcg)
    with pytest.raises(UnknownNameError, match="no prediction interval is called 'riley'"):
        pooled.prediction_interval("riley")
    with pytest.raises(PoolError, match="take at least 1000"):
        pooled.prediction_interval("bootstrap", draws=10)
    with pytest.raises(PoolError, match=r"write 0\.95"):
        pooled.prediction_interval("z", level=95)
    with pytest.raises(PoolError, match="give one mark"):
        pooled.probability()
    with pytest.raises(PoolError, match="give one mark"):
        pooled.probability(above=1, below=2)


@pytest.mark.parametrize("mark", [math.nan, math.inf, "0.2", np.array([0.1, 0.2])])
def test_a_mark_is_one_finite_number(mark, bcg):
    with pytest.raises(PoolError, match="is no mark; give a finite number"):
        pool(bcg).probability(above=mark)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"seed": "a"}, {"draws": 2000.5}, {"draws": 10}, {"level": "0.9"}]
)
def test_draws_and_levels_that_are_none(wrong, bcg):
    with pytest.raises(PoolError):
        pool(bcg).prediction_interval("bootstrap", **wrong)


@pytest.mark.parametrize("variance", [1e-3, 1e-8, 1e-17, 1e-40])
def test_draws_of_tau2_however_far_the_studies_are_apart(variance):
    # With equal variances Q is a sum of squares over (variance + tau²), so the distribution has
    # a closed inverse; 1e-5 is what interpolating between 300 points leaves.
    y, u = np.array([0.1, 0.2, 0.4, 0.9]), np.linspace(0.001, 0.999, 199)
    squares = float(np.sum((y - y.mean()) ** 2))
    wanted = squares / chi2.ppf(u, 3) - variance
    drawn = tau2_draws(y, np.full(4, variance), np.ones((4, 1)), u)
    assert drawn == pytest.approx(wanted, rel=1e-5)
    assert np.isfinite(
        pool(yi=y, vi=[variance] * 4).prediction_interval("bootstrap", draws=1000)
    ).all()

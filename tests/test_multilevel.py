"""Three-level and correlated-and-hierarchical models, and bias tests on top of them."""

import json
import math
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import chdtri

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.dependent import climb
from retroevidence.meta.dependent.covariance import from_correlation, from_times
from retroevidence.meta.dependent.egger import dependent_egger
from retroevidence.meta.dependent.multilevel import pool_multilevel
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
# metafor 5.1-12, clubSandwich 0.5.8, tight control settings (golden/README.md).
CASES = json.loads((GOLDEN / "dependent_acceptance.json").read_text(encoding="utf-8"))
# metafor 3.8-1, clubSandwich 0.5.8, written by golden/dependent.R.
MORE = json.loads((GOLDEN / "dependent.json").read_text(encoding="utf-8"))

# Closed forms, and roots that are well conditioned on both sides.
EXACT = 1e-10
# metafor's optimisers stop when the log likelihood stands still in its 16 digits. Near the top it
# falls with the square of the distance, so their variances hold to about 1e-8 standard errors at
# best (several 1e-8 were seen). Ours come from the root of the slope; the tests also ask that our
# log likelihood is never below theirs.
OPTIMISED = 2e-7
# Both sides round the log likelihood itself at about 1e-13.
NOISE = 1e-11


@pytest.fixture(scope="module")
def schools():
    frame = pd.read_csv(GOLDEN / "dependent_konstantopoulos2011.csv")
    return frame.assign(late=frame["year"] - 1990)


@pytest.fixture(scope="module")
def crime():
    return pd.read_csv(GOLDEN / "dependent_assink2016.csv")


def assert_fit(fit, golden):
    np.testing.assert_allclose(fit.coefficients["estimate"], golden["beta"], rtol=OPTIMISED)
    np.testing.assert_allclose(fit.coefficients["se"], golden["se"], rtol=OPTIMISED)
    np.testing.assert_allclose(fit.sigma2, golden["sigma2"], rtol=OPTIMISED)
    assert fit.loglik == pytest.approx(golden["logLik"], abs=1e-9)
    assert fit.loglik >= golden["logLik"] - NOISE
    assert fit.q == pytest.approx(golden["Q"], rel=EXACT)
    assert fit.q_p_value == pytest.approx(golden["Qp"], rel=1e-8)  # p near 1e-88
    tested = golden["robust"]["CR2"]
    np.testing.assert_allclose(fit.robust.coefficients["se"], tested["se"], rtol=OPTIMISED)
    np.testing.assert_allclose(fit.robust.coefficients["df"], tested["df"], rtol=OPTIMISED)
    # A p-value moves more than its statistic does.
    np.testing.assert_allclose(fit.robust.coefficients["p_value"], tested["p"], rtol=1e-6)


def test_schools_in_districts_match_metafor(schools):
    golden = CASES["konstantopoulos2011"]
    fit = pool_multilevel(schools, cluster="district")
    assert fit.estimate == pytest.approx(golden["beta"], rel=OPTIMISED)
    assert fit.se == pytest.approx(golden["se"], rel=OPTIMISED)
    np.testing.assert_allclose(fit.sigma2, golden["sigma2"], rtol=OPTIMISED)
    assert fit.loglik == pytest.approx(golden["logLik"], abs=1e-10)
    assert fit.loglik >= golden["logLik"] - NOISE
    assert fit.q == pytest.approx(golden["Q"], rel=EXACT)
    assert fit.robust.se == pytest.approx(golden["CR2"]["se"], rel=OPTIMISED)
    assert fit.robust.df == pytest.approx(golden["CR2"]["df"], rel=OPTIMISED)
    assert fit.robust.p_value == pytest.approx(golden["CR2"]["p"], rel=OPTIMISED)
    assert (fit.k, fit.clusters) == (56, 11)


def test_correlated_and_hierarchical_effects_match_metafor(crime):
    golden = CASES["assink2016_CHE"]
    fit = pool_multilevel(crime, cluster="study", rho=0.6)
    assert fit.estimate == pytest.approx(golden["beta"], rel=OPTIMISED)
    assert fit.se == pytest.approx(golden["se"], rel=OPTIMISED)
    np.testing.assert_allclose(fit.sigma2, golden["sigma2"], rtol=OPTIMISED)
    assert fit.robust.se == pytest.approx(golden["CR2"]["se"], rel=OPTIMISED)
    assert fit.robust.df == pytest.approx(golden["CR2"]["df"], rel=OPTIMISED)
    assert fit.robust.p_value == pytest.approx(golden["CR2"]["p"], rel=OPTIMISED)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_both_likelihoods_and_moderators(schools, crime, method):
    golden = MORE["konstantopoulos2011"][method]
    fit = pool_multilevel(schools, cluster="district", method=method)
    assert_fit(fit, golden)
    np.testing.assert_allclose(fit.i2[:2], golden["I2"], rtol=OPTIMISED)
    assert fit.i2.total == pytest.approx(sum(fit.i2[:2]))
    assert_fit(
        pool_multilevel(schools, cluster="district", method=method, mods="~ late"), golden["line"]
    )
    golden = MORE["assink2016"][method]
    fit = pool_multilevel(crime, cluster="study", rho=0.6, method=method)
    assert_fit(fit, golden)
    np.testing.assert_allclose(fit.i2[:2], golden["I2"], rtol=OPTIMISED)
    words = pool_multilevel(
        crime, cluster="study", rho=0.6, method=method, mods="~ year + C(deltype)"
    )
    assert_fit(words, golden["words"])


def test_test_interval_and_prediction_match_metafor(schools):
    golden = MORE["konstantopoulos2011"]
    fit = pool_multilevel(schools, cluster="district")
    assert fit.df == golden["contain"]["ddf"]
    assert fit.p_value == pytest.approx(golden["contain"]["p"], rel=1e-6)
    np.testing.assert_allclose(fit.ci.high, golden["contain"]["ub"], rtol=OPTIMISED)
    np.testing.assert_allclose(fit.prediction, golden["predict"], rtol=OPTIMISED)
    normal = pool_multilevel(schools, cluster="district", test="z", level=0.9)
    assert math.isinf(normal.df)
    assert normal.ci.high - normal.estimate == pytest.approx(1.6448536269514722 * normal.se)


def test_general_blocks_match_metafor(crime):
    golden = MORE["assink2016"]["falling"]
    falling = from_times(crime, cluster="study", time="esid", phi=0.8)
    fit = pool_multilevel(crime, cluster="study", V=falling)
    np.testing.assert_allclose(fit.sigma2, golden["sigma2"], rtol=OPTIMISED)
    assert fit.loglik >= golden["logLik"] - NOISE
    assert fit.q == pytest.approx(golden["Q"], rel=EXACT)
    np.testing.assert_allclose(fit.i2[:2], golden["I2"], rtol=OPTIMISED)
    assert fit.robust.se == pytest.approx(golden["robust"]["CR2"]["se"], rel=OPTIMISED)
    assert fit.robust.df == pytest.approx(golden["robust"]["CR2"]["df"], rel=OPTIMISED)


def test_profile_intervals_match_metafor_and_their_definition(schools):
    fit = pool_multilevel(schools, cluster="district")
    golden = MORE["konstantopoulos2011"]["ci"]
    for name in ("between", "within"):
        # metafor's profile refits with a loose optimiser at every step: 1e-8 was seen.
        np.testing.assert_allclose(getattr(fit.sigma2_ci, name), golden[name][1:], rtol=1e-6)
    # metafor 5.1-12 with default control settings, whose limits are off by up to 4e-4 and 5e-4.
    schools_golden = CASES["konstantopoulos2011"]
    low, high = schools_golden["ci_sigma2_1"][1:]
    np.testing.assert_allclose(fit.sigma2_ci.between, [low, high], rtol=5e-4)
    # There is no upper limit within schools in that file.
    assert fit.sigma2_ci.within.low == pytest.approx(schools_golden["ci_sigma2_2"][1], rel=1e-3)
    middles = [schools_golden[f"ci_sigma2_{i}"][0] for i in (1, 2)]
    np.testing.assert_allclose(fit.sigma2, middles, rtol=OPTIMISED)
    allowed = float(chdtri(1, 0.05)) / 2
    for limit in fit.sigma2_ci.between:
        best = minimize_scalar(
            lambda w, limit=limit: -dense_log_likelihood(schools, "district", (limit, w)),
            bounds=(0.01, 0.1),
            method="bounded",
            options={"xatol": 1e-8},
        )
        assert fit.loglik + best.fun == pytest.approx(allowed, abs=1e-9)


def dense_log_likelihood(frame, cluster, sigma2, rho=0.0, restricted=True):
    """Write every matrix out, straight from the definition."""
    same = frame[cluster].to_numpy()[:, None] == frame[cluster].to_numpy()
    errors = np.sqrt(frame["vi"].to_numpy())
    m = np.where(same, rho * np.outer(errors, errors) + sigma2[0], 0.0)
    m[np.diag_indices(len(m))] = errors**2 + sum(sigma2)
    x = np.ones((len(m), 1))
    weight = np.linalg.inv(m)
    information = x.T @ weight @ x
    residual = frame["yi"] - (x.T @ weight @ frame["yi"] / information[0, 0])[0]
    value = np.linalg.slogdet(m)[1] + residual @ weight @ residual
    value += (len(m) - restricted) * math.log(2 * math.pi)
    if restricted:
        value += math.log(information[0, 0]) - math.log(len(m))
    return -value / 2


@pytest.mark.parametrize("rho", [None, 0.7, -0.05])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_likelihood_slope_and_curvature_against_dense_matrices(rho, method):
    rng = np.random.default_rng(5)
    cluster = rng.integers(0, 9, 40)
    frame = pd.DataFrame({
        "yi": rng.normal(size=9)[cluster] + rng.normal(size=40), "vi": rng.uniform(0.1, 2, 40),
        "lab": cluster,
    })  # fmt: skip
    fit = pool_multilevel(frame, cluster="lab", rho=rho, method=method)

    def dense(theta):
        return dense_log_likelihood(frame, "lab", theta, rho or 0.0, method == "REML")

    assert fit.loglik == pytest.approx(dense(fit.sigma2), rel=1e-12)
    at, step = np.array([0.3, 0.4]), 1e-4
    point = fit.fit.likelihood(at)
    assert point.log_likelihood == pytest.approx(dense(at), rel=1e-12)
    slope = [(dense(at + e) - dense(at - e)) / (2 * step) for e in step * np.eye(2)]
    # Central differences err by about step² and by rounding/step.
    np.testing.assert_allclose(point.slope, slope, rtol=1e-6)
    curve = [
        (fit.fit.likelihood(at + e).slope - fit.fit.likelihood(at - e).slope) / (2 * step)
        for e in step * np.eye(2)
    ]
    np.testing.assert_allclose(point.curvature, curve, rtol=1e-5)
    for nudge in ((1e-3, 0), (0, 1e-3), (-1e-3, 0), (0, -1e-3)):
        beside = np.array(fit.sigma2) + nudge
        if (beside >= 0).all():
            assert dense(beside) < fit.loglik


@pytest.mark.parametrize("scale", [1e-3, 1e6, 1e-20])
def test_the_unit_changes_nothing(crime, scale):
    plain = pool_multilevel(crime, cluster="study", rho=0.6)
    scaled = crime.assign(yi=crime["yi"] * scale, vi=crime["vi"] * scale**2)
    fit = pool_multilevel(scaled, cluster="study", rho=0.6)
    # Rounding of the scaled inputs, times the digits lost in the sums.
    assert fit.estimate == pytest.approx(plain.estimate * scale, rel=1e-12)
    np.testing.assert_allclose(np.array(fit.sigma2) / scale**2, plain.sigma2, rtol=1e-11)
    np.testing.assert_allclose(np.array(fit.sigma2_ci) / scale**2, plain.sigma2_ci, rtol=1e-9)
    assert fit.robust.df == pytest.approx(plain.robust.df, rel=1e-11)
    assert fit.notes == plain.notes


def test_order_index_and_shift_change_nothing(crime):
    plain = pool_multilevel(crime, cluster="study", rho=0.6)
    mixed = crime.sample(frac=1, random_state=3)  # clusters no longer stand together
    mixed.index = [f"row {i}" for i in mixed["id"]]
    fit = pool_multilevel(mixed, cluster="study", rho=0.6)
    assert fit.estimate == pytest.approx(plain.estimate, rel=1e-12)
    np.testing.assert_allclose(fit.sigma2, plain.sigma2, rtol=1e-11)
    assert fit.robust.se == pytest.approx(plain.robust.se, rel=1e-12)
    assert list(fit.studies.index) == list(mixed.index)
    weights = fit.studies["weight"].to_numpy()[np.argsort(mixed["id"].to_numpy())]
    np.testing.assert_allclose(weights, plain.studies["weight"], rtol=1e-9)
    assert weights.sum() == pytest.approx(100)
    assert (fit.studies["weight"] * fit.studies["yi"]).sum() / 100 == pytest.approx(fit.estimate)
    moved = pool_multilevel(crime.assign(yi=crime["yi"] + 1000), cluster="study", rho=0.6)
    # Seven digits of the effects are spent on the thousand.
    assert moved.estimate - 1000 == pytest.approx(plain.estimate, rel=1e-9)
    np.testing.assert_allclose(moved.sigma2, plain.sigma2, rtol=1e-8)


@pytest.mark.parametrize("form", ["object", "blocks", "matrix"])
def test_given_covariance_in_every_form_equals_rho(crime, form):
    V = from_correlation(crime, cluster="study", rho=0.6)
    V = {"object": V, "blocks": V.blocks, "matrix": V.matrix()}[form]
    plain = pool_multilevel(crime, cluster="study", rho=0.6)
    fit = pool_multilevel(crime.drop(columns="vi"), cluster="study", V=V)
    assert fit.loglik == pytest.approx(plain.loglik, rel=1e-12)
    np.testing.assert_allclose(fit.sigma2, plain.sigma2, rtol=1e-10)
    assert fit.robust.se == pytest.approx(plain.robust.se, rel=1e-11)
    np.testing.assert_allclose(fit.i2, plain.i2, rtol=1e-10)
    np.testing.assert_allclose(fit.studies["weight"], plain.studies["weight"], rtol=1e-9)


def test_incomplete_rows_are_left_out_and_named(crime):
    holes = crime.assign(study=crime["study"].astype(float))
    holes.loc[[3, 7], "yi"] = np.nan
    holes.loc[9, "study"] = np.nan
    V = from_correlation(holes, cluster="study", rho=0.6)
    fit = pool_multilevel(holes, cluster="study", V=V)
    full = holes.drop(index=[3, 7, 9])
    assert fit.k == 97
    assert fit.notes == ("Left out, no effect or variance: 3, 7.", "Left out, no study: 9.")
    assert fit.loglik == pytest.approx(
        pool_multilevel(full, cluster="study", rho=0.6).loglik, rel=1e-12
    )


def test_clusters_of_one_effect_are_the_usual_model(schools):
    alone = schools.assign(row=range(len(schools)))
    fit, usual = pool_multilevel(alone, cluster="row"), pool(schools, test="z")
    assert fit.sigma2.between == pytest.approx(usual.tau2, rel=EXACT)
    assert fit.sigma2.within == 0
    assert fit.se == pytest.approx(usual.se, rel=EXACT)
    assert math.isnan(fit.sigma2_ci.within.low)
    assert any("one effect" in note for note in fit.notes)
    golden = CASES["konstantopoulos2011"]["uni_REML"]
    assert fit.estimate == pytest.approx(golden["beta"], rel=1e-8)


def small(yi, vi, lab):
    return pd.DataFrame({"yi": yi, "vi": vi, "lab": list(lab)})


def test_effects_that_agree_exactly():
    fit = pool_multilevel(small([0.3] * 6, [0.1, 0.2, 0.1, 0.3, 0.1, 0.1], "aabbcd"), cluster="lab")
    assert fit.sigma2 == (0, 0)
    assert fit.estimate == pytest.approx(0.3)
    assert any("no more than by chance" in note for note in fit.notes)
    assert any("says nothing" in note for note in fit.robust.notes)


@pytest.mark.parametrize(("k", "lab"), [(2, "ab"), (3, "aab"), (3, "abc"), (4, "aabb")])
def test_few_effects(k, lab):
    fit = pool_multilevel(
        small([0.3, 0.5, 0.9, 0.1][:k], [0.1, 0.2, 0.1, 0.3][:k], lab), cluster="lab"
    )
    assert math.isfinite(fit.estimate)
    assert math.isfinite(fit.se)
    assert fit.ci.low < fit.estimate < fit.ci.high
    assert any("barely estimable" in note for note in fit.notes)
    assert "Pooled effect" in repr(fit)
    assert "<table>" in fit._repr_html_()


@pytest.mark.parametrize("rho", [None, 0.6])
def test_variances_far_apart(rho):
    rng = np.random.default_rng(0)
    lab = rng.integers(0, 8, 40)
    frame = pd.DataFrame({
        "yi": 0.3 * rng.normal(size=8)[lab] + 0.2 * rng.normal(size=40),
        "vi": 10.0 ** rng.uniform(-10, 2, 40),
        "lab": lab,
    })  # fmt: skip
    fit = pool_multilevel(frame, cluster="lab", rho=rho)
    top = np.array(fit.sigma2)
    dense = [
        dense_log_likelihood(frame, "lab", theta, rho or 0.0)
        for theta in (top, top * [1.01, 1], top * [1, 0.99])
    ]
    # Dense matrices of this condition lose some digits themselves.
    assert fit.loglik == pytest.approx(dense[0], abs=1e-7)
    assert dense[0] == max(dense)
    assert fit.robust.se > 0


def test_the_highest_top_where_an_optimiser_stops_lower():
    frame = small(
        [1.478, -0.739, -0.038, 0.805, -0.352, -1.387, 0.738, 0.744, -0.379, 1.275],
        [0.0062, 0.0291, 0.2355, 0.2509, 0.0118, 0.1085, 0.0047, 0.0028, 0.0013, 0.1965],
        "abbccdeefg",
    )
    fit = pool_multilevel(frame, cluster="lab")
    # metafor 3.8-1, rma.mv(yi, vi, random = ~ 1 | lab/obs): -11.6593681 at (0.8367, 0.1379) from
    # its own start, -11.130145978 at (1.048167, 0) from control = list(sigma2.init = c(.25, .01)).
    assert fit.loglik == pytest.approx(-11.130145978, abs=1e-8)
    assert fit.sigma2.between == pytest.approx(1.048167, abs=1e-6)
    assert fit.sigma2.within == 0
    grid = np.concatenate([[0], np.geomspace(1e-4, 10, 30)])
    assert fit.loglik >= max(dense_log_likelihood(frame, "lab", (b, w)) for b in grid for w in grid)


def test_one_effect_with_nearly_all_the_weight():
    rng = np.random.default_rng(1)
    frame = small(0.01 * rng.normal(size=12), [1e-7] + [0.1] * 11, "aaabbbcccddd")
    fit = pool_multilevel(frame, cluster="lab")
    assert fit.sigma2 == (0, 0)
    assert fit.studies["weight"].iloc[0] > 99
    assert fit.estimate == pytest.approx(frame["yi"][0], abs=1e-4)


def test_moderators_that_tell_clusters_apart():
    rng = np.random.default_rng(2)
    frame = small(rng.normal(size=12), [0.1] * 12, "aaabbbcccddd")
    fit = pool_multilevel(frame, cluster="lab", mods="~ C(lab)")
    assert fit.sigma2.between == 0
    assert fit.sigma2.within > 0
    assert any("tell all clusters apart" in note for note in fit.notes)
    assert "C(lab)" in repr(fit)  # although 4 clusters carry no robust test of 4 coefficients


def test_the_bracketed_search_finds_the_same_maximum(crime, monkeypatch):
    plain = pool_multilevel(crime, cluster="study", rho=0.6)
    monkeypatch.setattr(climb, "NEWTON_STEPS", 0)
    fit = pool_multilevel(crime, cluster="study", rho=0.6)
    assert any("bracketing" in note for note in fit.notes)
    # A search by value sees the top only to the square root of rounding.
    np.testing.assert_allclose(fit.sigma2, plain.sigma2, rtol=1e-5)
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-9)


def test_results_travel(crime):
    fit = pool_multilevel(crime, cluster="study", rho=0.6)
    again = pickle.loads(pickle.dumps(fit))
    assert again.sigma2_ci == fit.sigma2_ci
    flat = json.loads(json.dumps(fit.to_dict()))
    assert flat["robust_df"] == pytest.approx(fit.robust.df)
    assert flat["sigma2_between_high"] == pytest.approx(fit.sigma2_ci.between.high)
    assert fit.summary.shape[0] == 1
    line = pool_multilevel(crime, cluster="study", rho=0.6, mods="~ year")
    assert len(json.loads(json.dumps(line.to_dict()))["coefficients"]) == 2
    assert math.isnan(line.prediction.low)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cluster": "nobody"}, "no column nobody"),
        ({"rho": 1}, "no correlation that"),
        ({"rho": -1}, "no correlation that"),
        ({"level": 95}, "not between 0 and 1"),
        ({"rho": 0.5, "V": np.eye(4)}, "either rho= or V="),
        ({"V": np.eye(3)}, "shape"),
        ({"V": np.ones((4, 4))}, "different clusters"),
        ({"V": [np.ones((2, 2)), np.eye(2)]}, "not positive definite"),
        ({"V": [np.eye(1), np.eye(3)]}, "cluster a is 1 by 1"),
    ],
)
def test_errors_say_what_to_do(change, says):
    frame = small([0.1, 0.2, 0.4, 0.3], [0.1] * 4, "aabb")
    with pytest.raises(PoolError, match=says):
        pool_multilevel(frame, **{"cluster": "lab", **change})


def test_more_errors():
    frame = small([0.1, 0.2, 0.4, 0.3], [0.1] * 4, "aabb")
    with pytest.raises(UnknownNameError, match="REML"):
        pool_multilevel(frame, cluster="lab", method="DL")
    with pytest.raises(UnknownNameError, match="test"):
        pool_multilevel(frame, cluster="lab", test="knha")
    with pytest.raises(PoolError, match="one cluster"):
        pool_multilevel(frame.assign(lab="a"), cluster="lab")
    with pytest.raises(PoolError, match="above 0"):
        pool_multilevel(frame.assign(vi=0.0), cluster="lab")
    with pytest.raises(PoolError, match="mix the measures"):
        pool_multilevel(frame.assign(measure=["MD", "SMD"] * 2), cluster="lab")
    with pytest.raises(PoolError, match="no effect to pool"):
        pool_multilevel(frame.assign(yi=np.nan), cluster="lab")


@pytest.mark.parametrize(("predictor", "case"), [("se", "egger"), ("vi", "peese")])
def test_bias_tests_that_respect_dependence_match_metafor(crime, predictor, case):
    golden = MORE["assink2016"][case]
    found = dependent_egger(crime, cluster="study", rho=0.6, predictor=predictor)
    assert found.estimate == pytest.approx(golden["beta"][1], rel=OPTIMISED)
    assert found.corrected == pytest.approx(golden["beta"][0], rel=OPTIMISED)
    assert found.se == pytest.approx(golden["robust"]["se"][1], rel=OPTIMISED)
    assert found.df == pytest.approx(golden["robust"]["df"][1], rel=OPTIMISED)
    assert found.p_value == pytest.approx(golden["robust"]["p"][1], rel=1e-6)
    assert found.ci.low < found.estimate < found.ci.high
    assert "Small-study effects" in repr(found)
    shown = dependent_egger(crime, cluster="study", rho=0.6, predictor=predictor, level=0.975)
    assert "97.5% CI" in repr(shown)
    assert json.loads(json.dumps(found.to_dict()))["corrected_se"] == found.corrected_se


def test_bias_test_on_group_sizes(crime):
    rng = np.random.default_rng(4)
    sized = crime.assign(n1=rng.integers(10, 90, 100), n2=rng.integers(10, 90, 100))
    found = dependent_egger(sized, cluster="study", rho=0.6, predictor="size")
    line = pool_multilevel(
        sized.assign(w=np.sqrt(1 / sized["n1"] + 1 / sized["n2"])),
        cluster="study", rho=0.6, mods="~ w",
    )  # fmt: skip
    assert found.estimate == pytest.approx(line.coefficients["estimate"][1], rel=1e-9)
    with pytest.raises(PoolError, match="n1, n2"):
        dependent_egger(crime, cluster="study", predictor="size")
    with pytest.raises(PoolError, match="same in all rows"):
        dependent_egger(crime.assign(vi=0.1), cluster="study")
    with pytest.raises(UnknownNameError, match="predictor"):
        dependent_egger(crime, cluster="study", predictor="n")


def test_levels_and_centres_come_from_the_rows_that_enter():
    rng = np.random.default_rng(3)
    frame = small(rng.normal(size=14), [0.1] * 14, "aabbccddeeffgg").assign(
        kind=["u", "w"] * 7, x=rng.normal(size=14)
    )
    holes = frame.assign(yi=frame["yi"].where(frame.index != 3))
    holes.loc[3, "kind"] = "rare"  # a level that no row with an effect has
    for mods in ("~ C(kind)", "~ center(x)", "~ poly(x, 2)"):
        fit = pool_multilevel(holes, cluster="lab", mods=mods)
        want = pool_multilevel(holes.drop(index=3), cluster="lab", mods=mods)
        np.testing.assert_allclose(
            fit.coefficients["estimate"], want.coefficients["estimate"], rtol=1e-12
        )
        assert fit.notes[0] == "Left out, no effect or variance: 3."


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"V": "V"}, "V is no covariance"),
        ({"V": {"a": 1}}, "V is no covariance"),
        ({"V": [[[0.1], [0.1, 0.2]], np.eye(2)]}, "V is no covariance"),
        ({"V": [np.diag([-1.0, 1.0]), np.eye(2)]}, "a sampling variance of cluster a"),
        ({"V": [np.array([[1, np.nan], [np.nan, 1]]), np.eye(2)]}, "cluster a lacks numbers"),
        ({"V": np.full((4, 4), np.nan)}, "lacks numbers between"),
        ({"rho": "0.5"}, "rho='0.5' is not a number"),
        ({"rho": [0.5]}, "is not a number"),
        ({"cluster": ["a", "a", "b", "b"]}, "a list stands where the name"),
        ({"yi": "when"}, "when must be numbers"),
        ({"yi": "phase"}, "phase must be numbers"),
        ({"cluster": "lists"}, "the column lists cannot name groups"),
        ({"vi": "huge"}, "another unit"),
    ],
)
def test_errors_in_our_own_words(change, says):
    frame = small([0.1, 0.2, 0.4, 0.3], [0.1] * 4, "aabb").assign(
        when=pd.Timestamp("2020-01-01"), phase=1j, lists=[[1], [1], [2], [2]], huge=1e200
    )
    with pytest.raises(PoolError, match=says):
        pool_multilevel(frame, **{"cluster": "lab", **change})


def test_frames_that_are_no_table():
    frame = small([0.1, 0.2, 0.4, 0.3], [0.1] * 4, "aabb")
    with pytest.raises(PoolError, match="two columns yi"):
        pool_multilevel(pd.concat([frame, frame[["yi"]]], axis=1), cluster="lab")
    with pytest.raises(PoolError, match="one length"):
        pool_multilevel({"yi": [0.1, 0.2], "vi": [0.1], "lab": ["a", "b"]}, cluster="lab")


def test_blocks_of_one_size_may_come_as_one_array(crime):
    even = crime.groupby("study").head(1).head(8)
    V = np.stack([np.diag([v]) for v in even["vi"]])
    fit = pool_multilevel(even, cluster="study", V=V)
    assert fit.loglik == pytest.approx(pool_multilevel(even, cluster="study").loglik, rel=1e-12)


def test_an_infinite_variance_in_a_given_covariance_is_left_out():
    frame = small([0.1, 0.2, 0.4, 0.3, 0.5], [0.1] * 5, "aabbc")
    V = [np.diag([np.inf, 0.1]), 0.1 * np.eye(2), [[0.1]]]
    fit = pool_multilevel(frame, cluster="lab", V=V)
    assert fit.k == 4
    assert fit.notes[0] == "Left out, no effect or variance: 0."


def test_bias_test_reads_the_given_covariance_and_says_what_is_wrong(crime):
    V = from_correlation(crime, cluster="study", rho=0.6)
    plain = dependent_egger(crime, cluster="study", rho=0.6)
    found = dependent_egger(crime.drop(columns="vi"), cluster="study", V=V)
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-9)
    assert found.se == pytest.approx(plain.se, rel=1e-9)
    with pytest.raises(PoolError, match="vi must be numbers"):
        dependent_egger(crime.assign(vi="low"), cluster="study")
    with pytest.raises(PoolError, match="it takes three"):
        dependent_egger(crime[crime["study"] < 3], cluster="study")
    with pytest.raises(PoolError, match="no effect to pool"):
        dependent_egger(crime.iloc[:0], cluster="study")
    with pytest.raises(PoolError, match="above 0"):
        dependent_egger(crime.assign(n1=0, n2=9), cluster="study", predictor="size")


def test_a_top_at_the_edge_that_the_grid_does_not_show():
    frame = small(
        [1.5357, 0.9119, -0.8969, 1.6192, 1.3541, 1.0654, 0.9577, -0.0346, 0.4756],
        [0.1604, 0.1773, 0.0514, 0.2074, 0.0416, 0.1803, 0.2402, 0.2106, 0.2029],
        "abcdeeefg",
    ).assign(x=[-1.2303, 0.3984, 0.7151, 0.1182, -1.2555, 0.737, -1.3498, 0.0618, 0.0104])
    V = np.diag(frame["vi"])
    V[4, 5] = V[5, 4] = 0.0693
    V[4, 6] = V[6, 4] = 0.0640
    V[5, 6] = V[6, 5] = 0.1665
    fit = pool_multilevel(frame, cluster="lab", mods="~ x", V=V)
    # The other top, 0.002 lower, lies near (0.61, 0.06).
    assert fit.sigma2.between == 0
    assert fit.sigma2.within == pytest.approx(0.5, abs=0.01)
    likelihood, levels = fit.fit.likelihood, np.linspace(0, 1, 41)
    assert fit.loglik >= max(
        likelihood(np.array([b, w])).log_likelihood for b in levels for w in levels
    )


def test_the_highest_peak_need_not_be_the_highest_point_of_the_grid():
    """The grid shows 2.4 of a narrow peak of height 5, and all of a wide one of height 3."""
    peaks = ((5.0, 0.08, 0.02), (3.0, 1.0, 0.3))

    def likelihood(theta):
        x = theta[0]
        value = slope = bend = 0.0
        for height, at, wide in peaks:
            z = (x - at) / wide
            part = height * math.exp(-(z**2))
            value, slope = value + part, slope - 2 * z / wide * part
            bend += (4 * z**2 - 2) / wide**2 * part
        return SimpleNamespace(
            log_likelihood=value,
            slope=np.array([slope]),
            curvature=np.array([[bend]]),
            expected=np.array([[abs(bend)]]),
        )

    best, found = climb.maximise(likelihood, 1.0, np.array([True]))
    assert best.theta[0] == pytest.approx(0.08, abs=1e-6)
    assert found == 2

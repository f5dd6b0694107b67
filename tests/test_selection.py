"""Selection models: likelihood, maxima, intervals and edges, against metafor and brute force."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_ndtr, ndtr, ndtri

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError, RetroEvidenceError
from retroevidence.meta.bias import selection_model
from retroevidence.meta.bias.selection import WOODS, WOODS_STEPS
from retroevidence.meta.bias.selection_likelihood import Smooth, Steps, density
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
BIAS = json.loads((GOLDEN / "bias.json").read_text(encoding="utf-8"))["selection"]
HACK = json.loads((GOLDEN / "bias_acceptance.json").read_text(encoding="utf-8"))["hackshaw1998"]
BCG = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))["bcg_inputs"]

HACKSHAW = pool(pd.read_csv(GOLDEN / "bias_hackshaw1998.csv"))
BANGERT = pool(pd.read_csv(GOLDEN / "bias_bangertdrowns2004.csv"))


def bcg(**options):
    a, c = np.array(BCG["tpos"]), np.array(BCG["cpos"])
    yi, vi = effect_size("RR", a=a, n1=a + BCG["tneg"], c=c, n2=c + BCG["cneg"])
    return pool(yi=yi, vi=vi, **options)


STEPS4 = (0.05, 0.1, 0.5)
# name in bias.json -> the same model here.
MODELS = {
    "hackshaw_step": (HACKSHAW, {}),
    "hackshaw_step4": (HACKSHAW, {"steps": STEPS4}),
    "hackshaw_halfnorm": (HACKSHAW, {"kind": "half-normal"}),
    "hackshaw_negexp": (HACKSHAW, {"kind": "negexp"}),
    "hackshaw_beta": (HACKSHAW, {"kind": "beta"}),
    "bangertdrowns_step": (BANGERT, {"steps": (0.025, 0.5)}),
    "bangertdrowns_negexp": (BANGERT, {"kind": "negexp"}),
    "bangertdrowns_two_sided": (BANGERT, {"steps": (0.05, 0.5), "alternative": "two-sided"}),
    "bcg_less": (bcg(), {"alternative": "less"}),
    "bcg_latitude": (bcg(mods=BCG["ablat"]), {"alternative": "less"}),
}


@cache
def fitted(name):
    pooled, options = MODELS[name]
    return selection_model(pooled, **options)


def rows(found):
    """Return the weights as metafor lists them, the reference included."""
    return found.delta["delta"].to_numpy()


@pytest.mark.parametrize("name", MODELS)
def test_maximum_is_at_least_metafors_and_near_it(name):
    found, wanted = fitted(name), BIAS[name]
    # Never lower than metafor's, but for the integration error of its likelihood: about 1e-9 for
    # half-normal and negexp; its steps have a closed form.
    assert found.loglik >= wanted["loglik"] - 1e-8
    # Its optimiser stops where the likelihood changes by 1e-10 relative, which leaves parameters
    # good to about the square root of that, in standard errors: 2e-4 is ten times as much. Its
    # Hessian of a beta model is numeric, over a numeric integral.
    np.testing.assert_allclose(
        found.coefficients["estimate"], wanted["beta"], atol=2e-4 * found.se, rtol=0
    )
    assert found.tau2 == pytest.approx(wanted["tau2"], rel=1e-4)
    np.testing.assert_allclose(rows(found), wanted["delta"], rtol=2e-4)
    assert found.lrt == pytest.approx(wanted["lrt"], abs=6e-4)


@pytest.mark.parametrize("name", ["hackshaw_step", "hackshaw_step4", "bcg_less", "bcg_latitude"])
def test_standard_errors_of_steps(name):
    # Both have exact probabilities; metafor's Hessian is numeric.
    np.testing.assert_allclose(fitted(name).coefficients["se"], BIAS[name]["se"], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "model", "rel"),
    [
        # Its optimiser's default stop; see above.
        ("sel_step025", "hackshaw_step", 1e-5),
        ("sel_step4", "hackshaw_step4", 5e-5),
        # metafor integrates beta weights to about 3e-4 in the log likelihood.
        ("sel_beta", "hackshaw_beta", 2e-4),
    ],
)
def test_acceptance_of_hackshaw1998(name, model, rel):
    found, wanted = fitted(model), HACK[name]
    assert found.loglik >= wanted["logLik"]
    assert found.estimate == pytest.approx(wanted["beta"], rel=rel)
    assert found.tau2 == pytest.approx(wanted["tau2"], rel=rel)
    np.testing.assert_allclose(rows(found), wanted["delta"], rtol=rel)
    assert found.lrt == pytest.approx(wanted["LRT"], abs=6e-4 if name == "sel_beta" else 1e-7)
    assert found.lrt_p_value == pytest.approx(wanted["LRTp"], rel=5e-4)


@pytest.mark.parametrize("severity", ["moderate", "severe"])
@pytest.mark.parametrize(("tails", "word"), [(1, "one"), (2, "two")])
def test_vevea_woods_weights(severity, tails, word):
    found = selection_model(BANGERT, "vevea-woods", severity=severity, tails=tails)
    wanted = BIAS["woods"][f"{severity}_{word}"]
    np.testing.assert_array_equal(rows(found).round(12), wanted["delta"])
    assert found.loglik >= wanted["loglik"] - 1e-10
    assert found.estimate == pytest.approx(wanted["beta"], abs=1e-6)
    assert found.se == pytest.approx(wanted["se"], rel=1e-5)
    assert math.isnan(found.lrt)


# Published data: practice facilitation, standardised mean differences with standard errors and a
# moderator (Baskerville et al. 2012).
BASKERVILLE = np.array([
    (1.01, 0.52, 1), (0.82, 0.46, 0), (0.59, 0.23, 0), (0.44, 0.18, 0), (0.84, 0.29, 1),
    (0.73, 0.29, 0), (1.12, 0.36, 1), (0.04, 0.37, 1), (0.24, 0.15, 0), (0.32, 0.40, 0),
    (1.04, 0.32, 0), (1.31, 0.57, 1), (0.59, 0.29, 1), (0.66, 0.19, 0), (0.62, 0.31, 1),
    (0.47, 0.27, 1), (1.08, 0.32, 0), (0.98, 0.32, 1), (0.26, 0.18, 1), (0.39, 0.18, 1),
    (0.60, 0.31, 1), (0.94, 0.53, 1), (0.11, 0.27, 1),
])  # fmt: skip
# Ratings of teachers and achievement, correlations and sample sizes (Cohen 1981).
COHEN = np.array([
    (0.68, 10), (0.56, 20), (0.23, 13), (0.64, 22), (0.49, 28), (-0.04, 12), (0.49, 12),
    (0.33, 36), (0.58, 19), (0.18, 12), (-0.11, 36), (0.27, 75), (0.26, 33), (0.40, 121),
    (0.49, 37), (0.51, 14), (0.40, 40), (0.34, 16), (0.42, 14), (0.16, 20),
])  # fmt: skip


def test_beta_with_a_moderator_of_baskerville2012():
    y, se, x = BASKERVILLE.T
    found = selection_model(pool(yi=y, vi=se**2, mods=x), "beta")
    # metafor 3.8-1: selmodel(rma(yi, sei^2, mods = ~ xi, method = "ML"), type = "beta"), whose
    # integral is good to about 1e-4 in the log likelihood.
    np.testing.assert_allclose(found.delta["delta"], [0.4200973366, 5.095970623], rtol=1e-4)
    np.testing.assert_allclose(
        found.coefficients["estimate"], [0.1343001585, -0.1363558874], rtol=5e-4
    )
    np.testing.assert_allclose(found.coefficients["se"], [0.1707417572, 0.1244394194], rtol=5e-4)
    assert found.lrt == pytest.approx(9.044252067, abs=6e-4)
    assert found.loglik >= -2.159058888 - 2e-4


@pytest.mark.parametrize(
    ("kind", "delta", "se", "mean", "loglik"),
    [
        ("half-normal", 3.1629482810, 2.9889219313, -0.3377103405, -6.0740375209),
        ("negexp", 2.6567142285, 2.3474683444, -0.2779819458, -6.0898739474),
    ],
)
def test_common_effect_selection_of_preston2004(kind, delta, se, mean, loglik):
    # Log odds ratios and variances of Preston et al. (2004), double zeros left out, and metafor
    # 3.8-1: selmodel(rma(yi, vi, method = "FE"), type, alternative = "less"). Its optimiser stops
    # at 1e-10 of the likelihood; its Hessian is numeric.
    y = [-0.29213642, -0.46353599, -1.01526974, 0.18232156, -2.13470422, -0.18232156, -1.29098418,
         -0.86903785, -0.33634854]  # fmt: skip
    v = [0.588095238, 0.056190220, 0.239850067, 0.417948718, 1.147116325, 0.201515152, 0.668344156,
         2.782464847, 0.064592279]  # fmt: skip
    found = selection_model(pool(yi=y, vi=v, method="CE"), kind, alternative="less")
    assert found.delta["delta"][0] == pytest.approx(delta, rel=1e-5)
    assert found.delta["se"][0] == pytest.approx(se, rel=1e-4)
    assert found.estimate == pytest.approx(mean, rel=1e-5)
    assert found.loglik == pytest.approx(loglik, abs=1e-7)


@pytest.mark.parametrize(
    ("severity", "tails", "mean", "tau2"),
    [
        ("moderate", 1, 0.357678424895, 0.004239382642),
        ("severe", 1, 0.321517553571, 0.009543811193),
        ("moderate", 2, 0.362018697157, 0.002774040453),
        ("severe", 2, 0.332180082898, 0.005651615435),
    ],
)
def test_a_priori_weights_of_cohen1981(severity, tails, mean, tau2):
    # The data of Vevea & Woods (2005); metafor 3.8-1: selmodel(rma(yi, vi, method = "ML"),
    # type = "stepfun", steps, delta), stopped at 1e-10 of the likelihood.
    r, n = COHEN.T
    found = selection_model(
        pool(yi=np.arctanh(r), vi=1 / (n - 3)), "vevea-woods", severity=severity, tails=tails
    )
    assert found.estimate == pytest.approx(mean, rel=1e-6)
    assert found.tau2 == pytest.approx(tau2, rel=1e-5)


# The likelihood itself --------------------------------------------------------------------------


def brute(y, v, mean, tau2, log_weight):
    """Return the log likelihood with A by a fine Riemann sum over outcomes."""
    total = 0.0
    for yi, vi in zip(y, v, strict=True):
        s = vi + tau2
        x = np.linspace(mean - 14 * math.sqrt(s), mean + 14 * math.sqrt(s), 400_001)
        height = np.exp(log_weight(x / math.sqrt(vi)) - (x - mean) ** 2 / (2 * s))
        area = float(height.sum() * (x[1] - x[0]))
        total += float(log_weight(yi / math.sqrt(vi))) - (yi - mean) ** 2 / (2 * s) - math.log(area)
    return total


def clipped(z):
    edge = -ndtri(1e-5)
    return np.clip(z, -edge, edge)


LOG_WEIGHTS = {
    "beta": lambda z: 0.6 * log_ndtr(-clipped(z)) - 0.4 * log_ndtr(clipped(z)),
    "half-normal": lambda z: -2.0 * ndtr(-z) ** 2,
    "negexp": lambda z: -2.5 * ndtr(-z),
}
DELTAS = {"beta": [1.6, 0.6], "half-normal": [2.0], "negexp": [2.5]}


@pytest.mark.parametrize("kind", LOG_WEIGHTS)
def test_smooth_likelihood_by_brute_force(kind):
    y, v = HACKSHAW.fit.yi[:8], HACKSHAW.fit.vi[:8]
    mean, tau2 = 0.4, 0.08
    parts = Smooth(y, v, kind)(np.full(8, mean), tau2, np.array(DELTAS[kind]))
    plain = density(y, v, np.full(8, mean), tau2, 1)
    # The Riemann sum is good to about 1e-7 at the two kinks of clipped weights.
    assert float((parts.value + plain.value).sum()) == pytest.approx(
        brute(y, v, mean, tau2, LOG_WEIGHTS[kind]), abs=1e-6
    )


WEIGHTS = {
    "one step": lambda y, v: (Steps(y, v, (0.025,), False), [0.4]),
    "steps": lambda y, v: (Steps(y, v, (0.025, 0.3, 0.6), False), [0.4, 2.0, 0.1]),
    "two-sided": lambda y, v: (Steps(y, v, (0.05, 0.3, 0.6), True), [0.4, 2.0, 0.1]),
    **{kind: (lambda y, v, kind=kind: (Smooth(y, v, kind), DELTAS[kind])) for kind in DELTAS},
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_derivatives(name):
    y, v = HACKSHAW.fit.yi[:9], HACKSHAW.fit.vi[:9]
    weight, delta = WEIGHTS[name](y, v)
    at = np.array([0.3, 0.05, *delta])

    def parts(point):
        mean = np.full(9, point[0])
        tilt, plain = weight(mean, point[1], point[2:]), density(y, v, mean, point[1], weight.size)
        return (
            tilt.value + plain.value,
            tilt.gradient + plain.gradient,
            tilt.hessian + plain.hessian,
        )

    _, gradient, hessian = parts(at)
    for j in range(len(at)):
        step = np.zeros(len(at))
        step[j] = 1e-5
        up, down = parts(at + step), parts(at - step)
        # Central differences of 1e-5 are good to 1e-9 relative, times a third derivative of 1e3.
        np.testing.assert_allclose((up[0] - down[0]) / 2e-5, gradient[:, j], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, hessian[:, :, j], rtol=1e-4, atol=1e-4)


def test_extreme_studies_keep_the_integral_finite():
    y, v = np.array([50.0, -20.0, 3.0]), np.array([0.01, 0.04, 2.0])
    for kind, delta in DELTAS.items():
        for tau2 in (0.0, 1.0, 1e4):
            parts = Smooth(y, v, kind)(y, tau2, np.array(delta))
            assert np.isfinite(parts.value).all()
            assert np.isfinite(parts.hessian).all()


# Intervals and tests ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hackshaw_step", "hackshaw_negexp"])
def test_profile_interval_and_p_value_are_the_same_test(name):
    found, options = fitted(name), MODELS[name][1]
    assert (found.p_value < 0.05) == (not found.ci.low <= 0 <= found.ci.high)
    # At the confidence at which the interval just touches 0, the p-value is what is left.
    level = 1 - found.p_value
    touching = selection_model(pool(HACKSHAW.fit.frame, level=level), **options)
    assert min(map(abs, touching.ci)) < 1e-6 * found.se


def test_profile_limits_lie_where_chi_squared_says():
    found = fitted("hackshaw_step4")
    low, high = found.delta[["ci_low", "ci_high"]].to_numpy()[1]
    assert low < found.delta["delta"][1] < high
    # The same fit with one weight held at the limit.
    from retroevidence.meta.bias.selection_fit import Model, Peak

    y, v = HACKSHAW.fit.yi, HACKSHAW.fit.vi
    model = Model(y, v, np.ones((len(y), 1)), Steps(y, v, STEPS4, False), True)
    start = model.coordinates(np.array([found.estimate, found.tau2, *rows(found)[1:]]))
    for end in (low, high):
        peak = model.climb(start, {2: math.log(end)})
        assert isinstance(peak, Peak)
        # chi-squared with one degree of freedom has its 95 % point at 3.841459.
        assert 2 * (found.loglik - peak.loglik) == pytest.approx(3.841459, abs=1e-5)


def test_simulated_selection_is_found_and_undone():
    rng = np.random.default_rng(11)
    v = rng.uniform(0.01, 0.2, 4000)
    y = rng.normal(0.2, np.sqrt(v + 0.02))
    seen = (ndtr(-y / np.sqrt(v)) < 0.025) | (rng.random(4000) < 0.3)
    found = selection_model(pool(yi=y[seen], vi=v[seen]))
    # Four standard errors: a right model misses by more once in 16,000.
    assert abs(found.estimate - 0.2) < 4 * found.se
    assert abs(found.delta["delta"][1] - 0.3) < 4 * found.delta["se"][1]
    assert found.unadjusted - 0.2 > 10 * found.se
    assert found.lrt_p_value < 1e-6


def test_no_selection_within_a_step_model_is_maximum_likelihood():
    held = pool(HACKSHAW.fit.frame, method="ML", test="z")
    found = fitted("hackshaw_step")
    assert found.unadjusted == pytest.approx(held.estimate, rel=1e-9)
    free = -0.5 * np.sum(
        np.log(2 * np.pi * (HACKSHAW.fit.vi + held.tau2))
        + (HACKSHAW.fit.yi - held.estimate) ** 2 / (HACKSHAW.fit.vi + held.tau2)
    )
    assert found.loglik - found.lrt / 2 == pytest.approx(free, abs=1e-9)


# Same answer, however asked ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hackshaw_step4", "hackshaw_beta", "hackshaw_negexp"])
@pytest.mark.parametrize("unit", [1e-3, 1e6])
def test_unit_of_the_outcome_changes_nothing(name, unit):
    one = fitted(name)
    scaled = pool(yi=HACKSHAW.fit.yi * unit, vi=HACKSHAW.fit.vi * unit**2)
    two = selection_model(scaled, **MODELS[name][1])
    # The fit runs in the units of the data; what differs is rounding of the input, which a flat
    # profile magnifies.
    assert two.estimate == pytest.approx(one.estimate * unit, rel=1e-7)
    assert two.ci == pytest.approx((one.ci.low * unit, one.ci.high * unit), rel=1e-6)
    assert two.lrt == pytest.approx(one.lrt, rel=1e-8)
    assert two.notes == one.notes


def test_sides_mirror_each_other():
    one = fitted("bangertdrowns_step")
    frame = BANGERT.fit.frame.assign(yi=-BANGERT.fit.yi)
    two = selection_model(frame, steps=(0.025, 0.5), alternative="less")
    assert two.estimate == pytest.approx(-one.estimate, rel=1e-9)
    assert two.ci == pytest.approx((-one.ci.high, -one.ci.low), rel=1e-9)


def test_rows_without_numbers_and_order_change_nothing():
    frame = BANGERT.fit.frame[["yi", "vi"]]
    mixed = pd.concat([frame.iloc[::-1], pd.DataFrame({"yi": [math.nan], "vi": [0.1]})])
    assert selection_model(mixed).estimate == pytest.approx(
        selection_model(frame).estimate, rel=1e-9
    )


# Edges ------------------------------------------------------------------------------------------


def test_profile_limits_hold_where_tau2_is_0_at_the_maximum_but_not_at_the_limit():
    # At tau = 0 the slope in tau is 0: a search that starts there can stay on the lower ridge.
    y, v = [0.66, 0.24, 4.3, -0.76, 0.17, -25.0], [0.037, 0.0012, 13.0, 2.4, 0.0085, 250.0]
    found = selection_model(pool(yi=y, vi=v), "vevea-woods", tails=2)
    weight = Steps(np.array(y), np.array(v), WOODS_STEPS, False)
    fixed = np.array(WOODS["moderate", 2][1:])

    def loglik(mean, tau2):
        parts = density(np.array(y), np.array(v), np.full(6, mean), tau2, 0).value
        return float((parts + weight(np.full(6, mean), tau2, fixed).value).sum())

    assert found.tau2 == 0
    for limit in found.ci:
        coarse = max(np.linspace(0, 3, 301), key=lambda tau: loglik(limit, tau**2))
        fine = np.linspace(max(0, coarse - 0.01), coarse + 0.01, 101)
        highest = max(loglik(limit, tau**2) for tau in fine)
        # Half of chi-squared(1) at 95 %; the fine grid misses its top by less than 1e-6.
        assert highest - found.loglik == pytest.approx(-1.920729410, abs=1e-6)


@pytest.mark.parametrize("kind", ["step", "beta", "half-normal", "negexp", "vevea-woods"])
def test_a_study_with_all_the_weight_is_searched_to_the_end(kind):
    # Curvatures differ by 10^12 here.
    y, v = [0.1, 0.5, 0.9, 0.3, -0.2, 0.4], [1e-12, 0.2, 0.3, 0.4, 0.1, 0.3]
    found = selection_model(pool(yi=y, vi=v), kind)
    assert found.tau2 == pytest.approx(0, abs=1e-9)
    assert found.estimate == pytest.approx(0.1, abs=1e-5)
    assert found.ci.low < 0.1 < found.ci.high


def test_a_second_peak_far_away_is_found_and_told():
    # One peak near the data (no selection to speak of), a higher one far on the other side with
    # strong selection; most starts lead to the first.
    y, v = [0.033, -0.053, 0.17, 0.252, 0.152], [0.092, 0.274, 0.029, 0.015, 0.141]
    found = selection_model(pool(yi=y, vi=v), "half-normal")
    near = brute(np.array(y), np.array(v), 0.2, 0.0, lambda z: -0.3 * ndtr(-z) ** 2)
    here = brute(
        np.array(y), np.array(v), found.estimate, found.tau2,
        lambda z: -found.delta["delta"][0] * ndtr(-z) ** 2,
    )  # fmt: skip
    assert found.loglik == pytest.approx(here, abs=1e-6)
    assert found.loglik > near
    assert found.estimate < -1
    assert any("starting points leads to this maximum" in note for note in found.notes)


def test_an_empty_interval_is_joined_and_named():
    # No study has p between 0.001 and 0.0011.
    joined = selection_model(HACKSHAW, steps=(0.001, 0.0011, 0.025, 0.05, 0.5))
    assert any("joined" in note for note in joined.notes)
    assert (joined.delta["k"] > 0).all()
    assert joined.delta["k"].sum() == HACKSHAW.k


@pytest.mark.parametrize(("y", "name"), [(0.0, "0 to 0.025"), (9.0, "0.025 to 1")])
def test_all_in_one_interval_is_refused(y, name):
    pooled = pool(yi=[y, y + 0.1, y + 0.05, y - 0.1, y], vi=[0.1] * 5)
    with pytest.raises(PoolError, match="all p-values lie in one interval"):
        selection_model(pooled)


def test_common_effect_keeps_tau2_at_0():
    found = selection_model(pool(HACKSHAW.fit.frame, method="CE"))
    assert found.tau2 == 0
    assert math.isnan(found.tau2_se)
    assert found.loglik <= fitted("hackshaw_step").loglik


def test_equal_precision_and_identical_studies():
    rng = np.random.default_rng(2)
    y = np.append(rng.normal(0.3, 0.3, 14), 0.9)
    found = selection_model(pool(yi=y, vi=[0.04] * 15))
    assert np.isfinite(found.estimate)
    same = selection_model(pool(yi=[0.3] * 8, vi=[0.01, 0.02, 0.02, 0.02, 0.2, 0.2, 0.3, 0.4]))
    assert np.isfinite(same.loglik)
    assert same.tau2 == 0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_too_few_studies_are_refused_in_words(k):
    pooled = pool(yi=[0.1, 0.9, 0.5][:k], vi=[0.1, 0.1, 0.2][:k])
    with pytest.raises(PoolError, match="needs at least"):
        selection_model(pooled)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "steps"}, "did you mean 'step'"),
        ({"alternative": "two.sided"}, "did you mean 'two-sided'"),
        ({"kind": "beta", "alternative": "two-sided"}, "one-sided p"),
        ({"kind": "vevea-woods", "severity": "mild"}, "no severity"),
        ({"kind": "vevea-woods", "tails": 3}, "tails=3"),
        ({"steps": (0.5, 0.025)}, "must rise"),
        ({"steps": ()}, "must rise"),
        ({"steps": ("a",)}, "must rise"),
        ({"steps": None}, "must rise"),
        ({"steps": (math.nan,)}, "must rise"),
    ],
)
def test_errors_say_what_to_do(arguments, words):
    with pytest.raises(RetroEvidenceError, match=words):
        selection_model(HACKSHAW, **arguments)


def test_it_shows_itself():
    for found in (fitted("bcg_less"), fitted("hackshaw_negexp")):
        assert "Selection model" in repr(found)
        assert found._repr_html_().startswith("<div>")
        json.dumps(found.to_dict(), allow_nan=False)
        assert len(found.summary) == 1

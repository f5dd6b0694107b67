"""Location-scale models: the mean and the variance between studies on moderators."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.location_scale import location_scale
from retroevidence.meta.pool import pool
from retroevidence.meta.subgroups import subgroups

# Bangert-Drowns, Hurley & Wilkinson (2004), 48 studies of writing-to-learn: number of pupils,
# standardised mean difference, variance. Values of R package metadat 1.2-0, dat.bangertdrowns2004.
ROWS = """
60,0.65,0.07 34,-0.75,0.126 95,-0.21,0.042 209,-0.04,0.019 182,0.23,0.022 462,0.03,0.009
38,0.26,0.106 542,0.06,0.007 99,0.06,0.04 77,0.12,0.052 40,0.77,0.107 190,0,0.021 113,0.52,0.037
50,0.54,0.083 47,0.2,0.086 44,0.2,0.091 24,-0.16,0.167 78,0.42,0.052 46,0.6,0.091 64,0.51,0.065
57,0.58,0.073 68,0.54,0.061 40,0.09,0.1 68,0.37,0.06 48,-0.01,0.083 107,-0.13,0.037
58,0.18,0.069 225,0.27,0.018 446,-0.02,0.009 77,0.33,0.053 243,0.59,0.017 39,0.84,0.112
67,-0.32,0.06 91,0.12,0.044 36,1.12,0.129 177,-0.12,0.023 20,-0.44,0.205 120,-0.07,0.033
16,0.7,0.265 105,0.49,0.039 195,0.2,0.021 62,0.58,0.067 289,0.15,0.014 25,0.63,0.168
250,0.04,0.016 51,1.46,0.099 46,0.04,0.087 56,0.25,0.072
"""
# metafor 3.8-1, R 4.2.2: rma(yi, vi, mods = ~ ni100, scale = ~ ni100, method =, test =), with
# ni100 = ni / 100, and without mods for "scale only".
REFERENCE = {
    "REML, z": {
        "beta": [0.30168136270892, -0.0552663301807941],
        "se": [0.0661161560860716, 0.0197546220144706],
        "alpha": [-1.9208785460142, -0.917428772805709],
        "alpha_se": [0.668982418819232, 0.514064773296917],
        "log_likelihood": -14.6505619967171,
        "qm": 7.82679224570789,
        "qm_p_value": 0.00514773764857126,
        "qs": 3.18499697412929,
        "qs_p_value": 0.0743171349220349,
    },
    "ML, z": {
        "beta": [0.300318551413384, -0.054994780623442],
        "se": [0.0650682097390395, 0.0194007517724904],
        "alpha": [-1.90495551795433, -0.992853904428749],
        "alpha_se": [0.661420024889432, 0.508875856366388],
        "log_likelihood": -13.2375438105271,
        "qm": 8.03536908658035,
        "qm_p_value": 0.00458726621116457,
        "qs": 3.80668555012648,
        "qs_p_value": 0.0510483717117303,
    },
    "REML, knha": {
        "beta": [0.30168136270892, -0.0552663301807941],
        "se": [0.066718159320496, 0.0199344925189213],
        "alpha": [-1.9208785460142, -0.917428772805709],
        "alpha_se": [0.668982418819232, 0.514064773296917],
        "log_likelihood": -14.6505619967171,
        "qm": 7.68618593914827,
        "qm_p_value": 0.0080073913822242,
        "qs": 3.18499697412929,
        "qs_p_value": 0.0809128310485873,
    },
}
SCALE_ONLY = {"alpha": [-1.96123653032138, -0.693653414050239], "log_likelihood": -17.4824856083592}


@pytest.fixture(scope="module")
def writing():
    numbers = [list(map(float, row.split(","))) for row in ROWS.split()]
    return pd.DataFrame(numbers, columns=["ni", "yi", "vi"]).assign(
        ni100=lambda t: t["ni"] / 100, small=lambda t: np.where(t["ni"] < 60, "small", "large")
    )


def logl(fit, y, v, x, z, alpha):
    """The log likelihood written out from its definition, by the full covariance."""
    w = 1 / (v + np.exp(z @ alpha))
    information = x.T @ (w[:, None] * x)
    residual = y - x @ np.linalg.solve(information, x.T @ (w * y))
    value = np.sum(np.log(w)) - np.sum(w * residual**2) - len(y) * math.log(2 * math.pi)
    if fit.method == "REML":
        value += x.shape[1] * math.log(2 * math.pi) + np.linalg.slogdet(x.T @ x)[1]
        value -= np.linalg.slogdet(information)[1]
    return value / 2


@pytest.mark.parametrize("case", list(REFERENCE))
def test_against_metafor(case, writing):
    method, test = case.split(", ")
    fit = location_scale(writing, mods="~ ni100", scale="~ ni100", method=method, test=test)
    golden = REFERENCE[case]
    assert fit.k == 48
    # Its optimiser stops at about 1e-8 and its curvature is numeric; ours are exact.
    np.testing.assert_allclose(fit.beta, golden["beta"], rtol=1e-7)
    np.testing.assert_allclose(fit.coefficients["se"], golden["se"], rtol=1e-7)
    np.testing.assert_allclose(fit.alpha, golden["alpha"], rtol=1e-6)
    np.testing.assert_allclose(fit.scale_coefficients["se"], golden["alpha_se"], rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(golden["log_likelihood"], rel=1e-12)
    for name in ("qm", "qm_p_value", "qs", "qs_p_value"):
        assert getattr(fit, name) == pytest.approx(golden[name], rel=1e-6)


def test_scale_only_against_metafor(writing):
    fit = location_scale(writing, scale="~ ni100", test="z")
    np.testing.assert_allclose(fit.alpha, SCALE_ONLY["alpha"], rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(SCALE_ONLY["log_likelihood"], rel=1e-12)
    assert fit.qm_df == 0
    assert math.isnan(fit.qm)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_slope_and_curvature_by_differences(method, writing):
    fit = location_scale(writing, mods="~ ni100", scale="~ ni100", method=method)
    x = np.column_stack([np.ones(48), writing["ni100"]])
    y, v = writing["yi"].to_numpy(), writing["vi"].to_numpy()

    def f(alpha):
        return logl(fit, y, v, x, x, np.asarray(alpha))

    assert f(fit.alpha) == pytest.approx(fit.log_likelihood, rel=1e-12)
    h = 1e-4
    steps = h * np.eye(2)
    slope = [(f(fit.alpha + s) - f(fit.alpha - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    curvature = [
        [
            (
                f(fit.alpha + a + b) - f(fit.alpha + a - b)
                - f(fit.alpha - a + b) + f(fit.alpha - a - b)
            ) / (4 * h**2)
            for b in steps
        ]
        for a in steps
    ]  # fmt: skip
    # Second differences of step 1e-4 keep about six digits.
    np.testing.assert_allclose(np.linalg.inv(-np.array(curvature)), fit.alpha_covariance, rtol=1e-4)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_a_constant_scale_is_the_usual_model(method, writing):
    fit = location_scale(writing, mods="~ ni100", scale="~ 1", method=method)
    usual = pool(writing, mods="~ ni100", method=method)
    np.testing.assert_allclose(fit.tau2, usual.tau2, rtol=1e-9)
    np.testing.assert_allclose(fit.beta, usual.coefficients["estimate"], rtol=1e-9)
    np.testing.assert_allclose(
        fit.coefficients["p_value"], usual.coefficients["p_value"], rtol=1e-8
    )
    assert fit.qs_df == 0


def test_a_factor_in_both_parts_fits_each_group_by_itself(writing):
    fit = location_scale(writing, mods="~ small", scale="~ small", method="ML")
    apart = subgroups(writing, by="small", common_tau2=False, method="ML").groups
    for name, one in apart.items():
        tau2 = fit.tau2[(writing["small"] == name).to_numpy()]
        # The two optimisers stop at 1e-9 of the slope.
        np.testing.assert_allclose(tau2, one.tau2, rtol=1e-6)
    assert fit.beta[0] == pytest.approx(apart["large"].estimate, rel=1e-7)


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e6])
def test_scale_of_the_outcome_does_not_matter(factor, writing):
    one = location_scale(writing, mods="~ ni100", scale="~ ni100")
    scaled = writing.assign(yi=writing["yi"] * factor, vi=writing["vi"] * factor**2)
    two = location_scale(scaled, mods="~ ni100", scale="~ ni100")
    np.testing.assert_allclose(two.beta / factor, one.beta, rtol=1e-9)
    np.testing.assert_allclose(two.alpha - [2 * math.log(factor), 0], one.alpha, rtol=1e-9)
    assert two.qs_p_value == pytest.approx(one.qs_p_value, rel=1e-8)


def test_unit_of_the_scale_moderator_does_not_matter(writing):
    one = location_scale(writing, scale="~ ni")
    two = location_scale(writing, scale="~ ni100")
    assert one.alpha[1] * 100 == pytest.approx(two.alpha[1], rel=1e-8)
    assert one.lr == pytest.approx(two.lr, rel=1e-9)


def test_likelihood_ratio_against_one_tau2(writing):
    fit = location_scale(writing, mods="~ ni100", scale="~ ni100", method="ML")
    constant = location_scale(writing, mods="~ ni100", scale="~ 1", method="ML")
    assert fit.lr == pytest.approx(2 * (fit.log_likelihood - constant.log_likelihood), rel=1e-9)


def test_a_group_without_heterogeneity_is_said():
    yi = [0.3, 0.31, 0.29, 0.3, 0.32, -1.0, 2.0, 0.5, -0.7, 1.9]
    fit = location_scale(yi=yi, vi=[0.05] * 10, scale=[[0]] * 5 + [[1]] * 5)
    assert fit.tau2[0] < 1e-6
    assert fit.tau2[-1] == pytest.approx(1.6, abs=0.2)
    assert any("run off to infinity" in note for note in fit.notes)
    # What does not depend on where the coefficients stop.
    alone = pool(yi=yi, vi=[0.05] * 10, method="CE")
    assert abs(fit.beta[0] - 0.3) < abs(alone.estimate - 0.3)
    assert math.isfinite(fit.lr_p_value)
    json.dumps(fit.to_dict(), allow_nan=False)


def test_rows_with_gaps_are_named(writing):
    frame = writing.assign(study_id=[f"s{i}" for i in range(48)])
    frame.loc[3, "ni100"] = np.nan
    frame.loc[5, "yi"] = np.nan
    fit = location_scale(frame, scale="~ ni100")
    assert fit.k == 46
    assert fit.notes[:2] == (
        "Left out, a scale moderator is missing or infinite: s3.",
        "Left out, no effect or variance: s5.",
    )
    wanted = location_scale(frame.drop([3, 5]), scale="~ ni100")
    np.testing.assert_allclose(fit.alpha, wanted.alpha, rtol=1e-10)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"scale": "~ dose"}, "uses dose"),
        ({"scale": "~ ni + ni100"}, "ni100 adds nothing to ni"),
        ({"scale": "~ ni", "mods": "~ ni + I(2 * ni)"}, "adds nothing to ni"),
    ],
)
def test_refusals(keywords, message, writing):
    with pytest.raises(PoolError, match=message):
        location_scale(writing, **keywords)


def test_other_refusals(writing):
    with pytest.raises(PoolError, match="cannot carry 1 location and 2 scale"):
        location_scale(writing.iloc[:3], scale="~ ni")
    with pytest.raises(PoolError, match="1 study cannot carry 1 location and 1 scale"):
        location_scale(writing.iloc[:1], scale="~ 1")
    with pytest.raises(UnknownNameError, match="no method is called 'DL'"):
        location_scale(writing, scale="~ ni", method="DL")


def test_it_shows_itself(writing):
    fit = location_scale(writing, mods="~ ni100", scale="~ ni100", test="z")
    text = repr(fit)
    assert text.startswith("Location-scale model of effects, k = 48 (REML, z)")
    for piece in ("chi²(1) = 3.18", "log tau²: ni100", "-0.917", "likelihood ratio"):
        assert piece in text
        assert piece in fit._repr_html_()
    assert fit.summary["qs"].iloc[0] == fit.qs


def test_without_an_intercept_there_is_no_likelihood_ratio(writing):
    fit = location_scale(writing, scale="~ ni100 - 1")
    assert math.isnan(fit.lr)
    assert any("no likelihood-ratio test" in note for note in fit.notes)
    assert "likelihood ratio" not in repr(fit)


def test_studies_that_agree_exactly_have_an_interval():
    fit = location_scale(yi=[0.1] * 8, vi=[0.1] * 8, scale=list(range(8)))
    assert fit.test == "adhoc"
    assert any("agree exactly" in note for note in fit.notes)
    assert (fit.coefficients["se"] > 0).all()


def test_refusals_name_the_scale(writing):
    with pytest.raises(PoolError, match="scale='~ nothing' uses nothing"):
        location_scale(writing, scale="~ nothing")
    with pytest.raises(PoolError, match="scale='~ 0' has no term"):
        location_scale(writing, scale="~ 0")
    with pytest.raises(PoolError, match="scale has 2 rows for 48 effects"):
        location_scale(writing, scale=[1, 2])

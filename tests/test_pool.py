"""The pooled result as a user meets it: edges, notes, refusals, display, prediction."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest

from retroevidence.errors import PoolError, RetroEvidenceError, UnknownNameError
from retroevidence.meta.interval import Interval
from retroevidence.meta.many import pool_many
from retroevidence.meta.pool import pool
from retroevidence.meta.regression import Design
from retroevidence.meta.result import Pooled
from retroevidence.meta.tau2 import METHODS as NAMES

METHODS = list(NAMES)

FRAME = pd.DataFrame(
    {
        "study_id": ["hao2011", "kim2019", "lee2020", "ito2021", "roy2022"],
        "yi": [0.10, 0.35, 0.80, 0.20, 0.55],
        "vi": [0.02, 0.03, 0.05, 0.01, 0.04],
        "measure": "SMD",
        "weeks": [4.0, 6.0, 12.0, 4.0, 8.0],
        "design": ["rct", "rct", "cct", "cct", "rct"],
    },
    index=[11, 12, 15, 17, 20],
)


def test_against_statsmodels_where_it_is_right():
    from statsmodels.stats.meta_analysis import combine_effects

    theirs = combine_effects(FRAME["yi"].to_numpy(), FRAME["vi"].to_numpy(), method_re="dl")
    ours = pool(FRAME, method="DL", test="z")
    # Closed forms on both sides.
    assert ours.tau2 > 0
    assert ours.tau2 == pytest.approx(theirs.tau2, rel=1e-12)
    assert ours.estimate == pytest.approx(theirs.mean_effect_re, rel=1e-12)
    assert ours.se == pytest.approx(theirs.sd_eff_w_re, rel=1e-12)
    assert ours.q == pytest.approx(theirs.q, rel=1e-12)
    knapp_hartung = pool(FRAME, method="DL")
    assert knapp_hartung.se == pytest.approx(theirs.sd_eff_w_re_hksj, rel=1e-12)


def test_regression_against_weighted_least_squares():
    from statsmodels.api import WLS, add_constant

    ours = pool(FRAME, method="CE", test="t", mods="~ weeks")
    theirs = WLS(FRAME["yi"], add_constant(FRAME["weeks"]), weights=1 / FRAME["vi"]).fit()
    np.testing.assert_allclose(ours.coefficients["estimate"], theirs.params, rtol=1e-10)
    knapp_hartung = pool(FRAME, method="CE", mods="~ weeks")
    np.testing.assert_allclose(knapp_hartung.coefficients["se"], theirs.bse, rtol=1e-10)
    np.testing.assert_allclose(knapp_hartung.coefficients["p_value"], theirs.pvalues, rtol=1e-9)


# One, two, and agreeing studies ------------------------------------------------------------------


def test_one_study_is_itself():
    pooled = pool(FRAME.iloc[:1])
    assert pooled.estimate == 0.10
    assert pooled.se == pytest.approx(math.sqrt(0.02), rel=1e-15)
    assert pooled.test == "z"
    assert pooled.ci.high == pytest.approx(0.10 + 1.959963984540054 * math.sqrt(0.02), rel=1e-12)
    for value in (pooled.tau2, pooled.i2, pooled.q_p_value, *pooled.prediction, *pooled.tau2_ci):
        assert math.isnan(value)
    assert "One study" in pooled.notes[0]
    assert pooled.studies["weight"].tolist() == [100]
    assert "not estimable from one study" in repr(pooled)


def test_two_studies_are_pooled_with_a_warning_in_words():
    pooled = pool(FRAME.iloc[:2])
    assert pooled.df == 1
    assert math.isfinite(pooled.prediction.low)
    assert any("barely estimable" in note for note in pooled.notes)


@pytest.mark.parametrize("method", METHODS)
def test_studies_that_agree_exactly(method):
    pooled = pool(yi=[0.3] * 4, vi=[0.1, 0.2, 0.3, 0.4], method=method)
    assert pooled.estimate == pytest.approx(0.3, rel=1e-14)
    assert pooled.test == "adhoc"
    assert pooled.ci.low < 0.3 < pooled.ci.high
    assert "agree exactly" in pooled.notes[0]
    assert pooled.i2 == pytest.approx(0, abs=1e-12)


def test_tau2_of_zero_gives_the_common_effect():
    yi, vi = [0.1, 0.12, 0.08, 0.15, 0.05], [0.04, 0.05, 0.03, 0.06, 0.04]
    random, common = pool(yi=yi, vi=vi, test="z"), pool(yi=yi, vi=vi, method="CE", test="z")
    assert random.tau2 == 0
    assert random.ci == common.ci
    assert random.prediction == random.ci
    assert any("common-effect mean" in note for note in random.notes)
    assert math.isnan(common.prediction.low)
    assert math.isnan(common.tau2_ci.low)
    narrow = pool(yi=yi, vi=vi)
    assert narrow.modified_ci.high > narrow.ci.high
    assert any("narrower than the z interval" in note for note in narrow.notes)


EDGES = {
    "two": ([0.1, 0.9], [0.05, 0.08]),
    "three": ([-0.3, 0.4, 1.2], [0.02, 0.3, 0.1]),
    "alike": ([0.10, 0.12, 0.08, 0.15], [0.04, 0.05, 0.03, 0.06]),
    "identical": ([0.3] * 4, [0.1, 0.2, 0.3, 0.4]),
    "identical twice": ([0.3, 0.3], [0.1, 0.1]),
    "tiny variance": ([0.0, 1.0, 3.0, 2.0], [1e-12, 1.0, 1.0, 1.0]),
    "huge variance": ([0.0, 1.0, 3.0, 2.0], [1e12, 1.0, 1.0, 1.0]),
    "99 % of the weight": ([0.1, 0.8, -0.4, 0.5], [1e-4, 0.03, 0.04, 0.05]),
    "tiny scale": ([1e-7, 3e-7, 8e-7], [2e-14, 3e-14, 5e-14]),
    "huge scale": ([1e7, 3e7, 8e7], [2e14, 3e14, 5e14]),
}


@pytest.mark.parametrize("case", list(EDGES))
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("test", ["z", "t", "knha", "adhoc"])
def test_edges_with_every_method_and_test(case, method, test):
    yi, vi = EDGES[case]
    pooled = pool(yi=yi, vi=vi, method=method, test=test)
    assert min(yi) - 1e-9 <= pooled.estimate <= max(yi) * (1 + 1e-9)
    assert 0 < pooled.se < math.inf
    assert pooled.ci.low < pooled.estimate < pooled.ci.high
    assert pooled.tau2 >= 0
    assert 0 <= pooled.i2 < 100
    assert pooled.h2 >= (0 if method == "CE" else 1)
    assert 0 <= pooled.p_value <= 1
    if method == "CE":
        assert any("Common effect" in note for note in pooled.notes)
    else:
        assert math.isfinite(pooled.tau2_se)
        # Where tau² is 0 the two intervals are the same to rounding.
        assert pooled.prediction.low <= pooled.ci.low + 1e-12 * abs(pooled.ci.low)
        assert 0 <= pooled.tau2_ci.low <= pooled.tau2_ci.high < math.inf
        assert any("barely estimable" in note for note in pooled.notes)
    if pooled.tau2 == 0 and method != "CE":
        assert any("estimated as 0" in note for note in pooled.notes)
    if "identical" in case and test == "knha":
        assert "agree exactly" in pooled.notes[0]
    json.dumps(pooled.to_dict(), allow_nan=False)
    assert repr(pooled)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("test", ["z", "t", "knha", "adhoc"])
def test_one_study_with_every_method_and_test(method, test):
    pooled = pool(yi=[0.4], vi=[0.04], method=method, test=test)
    assert (pooled.estimate, pooled.test) == (0.4, "z")
    assert pooled.ci.high - pooled.ci.low == pytest.approx(2 * 1.959963984540054 * 0.2, rel=1e-12)
    assert "One study" in pooled.notes[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("test", ["z", "t", "knha", "adhoc"])
def test_numbers_and_frames_take_different_ways_to_the_same_result(method, test):
    for yi, vi in EDGES.values():
        fast = pool(yi=yi, vi=vi, method=method, test=test)
        assert fast == pool(pd.DataFrame({"yi": yi, "vi": vi}), method=method, test=test)
        assert fast == pool(yi=pd.Series(yi), vi=pd.Series(vi), method=method, test=test)


def test_infinities_are_refused_without_a_warning():
    with pytest.raises(PoolError, match="0, 1: yi is infinite"):
        pool(yi=[np.inf, -np.inf, 1.0], vi=[1.0, 1.0, 1.0])
    assert pool(yi=[0.1, 0.2, 0.3], vi=[1.0, np.inf, 1.0]).k == 2


# What enters --------------------------------------------------------------------------------------


def test_rows_that_cannot_enter_are_named_and_the_index_is_kept():
    frame = FRAME.copy()
    frame.loc[12, "yi"] = np.nan
    frame.loc[15, "vi"] = np.nan
    pooled = pool(frame)
    assert pooled.k == 3
    assert pooled.notes[0] == "Left out, no effect or variance: kim2019, lee2020."
    assert pooled.studies.index.tolist() == [11, 17, 20]
    assert pooled.studies["weight"].sum() == pytest.approx(100, rel=1e-12)
    assert pooled.ci == pool(FRAME.drop([12, 15])).ci
    frame = FRAME.assign(weeks=FRAME["weeks"].where(FRAME["study_id"] != "lee2020"))
    regression = pool(frame, mods="~ weeks")
    assert regression.k == 4
    assert regression.notes[0] == "Left out, a moderator is missing or infinite: lee2020."


def test_a_row_that_does_not_enter_may_have_any_variance():
    pooled = pool(yi=[0.1, np.nan, 0.3], vi=[0.1, 0.0, 0.2])
    assert pooled.k == 2
    assert pooled.notes[0] == "Left out, no effect or variance: 1."


def test_rows_without_a_name_are_studies_of_their_own():
    unnamed = FRAME.assign(study_id=[None, np.nan, "", "a", "b"])
    assert "k = 5 studies" in repr(pool(unnamed))
    assert not any("independent" in note for note in pool(unnamed).notes)
    twice = FRAME.assign(study_id=["a", "a", None, None, None])
    assert "k = 5 effects from 4 studies" in repr(pool(twice))


def test_sizes_at_the_edge_of_what_is_allowed():
    # Warnings are errors here, so nothing overflows on the way to any number.
    for yi, vi in (
        ([1e40, -1e40, 0.0], [1.0, 1.0, 2.0]),
        ([1e40, -1e40, 0.0], [1e-60, 1e60, 1.0]),
        ([0.1, 0.2, 0.4], [1e-60, 1e-60, 2e-60]),
        ([0.1, 0.2, 0.4], [1e60, 1e60, 5e59]),
        ([1e-30, 3e-30, 1e-29], [1e-60, 1e-60, 2e-60]),
        ([1e30, 3e30, 1e31], [1e60, 1e60, 5e59]),
    ):
        for method in METHODS:
            numbers = pool(yi=yi, vi=vi, method=method).to_dict()
            for name in ("estimate", "se", "q", "i2", "h2") + ("tau2_se",) * (method != "CE"):
                assert numbers[name] is not None, (method, name)


def test_the_input_is_not_changed():
    before = FRAME.copy(deep=True)
    pool(FRAME, mods="~ weeks").predict(FRAME)
    pd.testing.assert_frame_equal(FRAME, before)


def test_a_study_may_give_several_effects_but_a_comparison_enters_once():
    twice = FRAME.assign(study_id=["hao2011", "hao2011", "lee2020", "ito2021", "roy2022"])
    pooled = pool(twice)
    assert any("independent" in note for note in pooled.notes)
    assert "k = 5 effects from 4 studies" in repr(pooled)
    fine = twice.assign(comparison=["a", "b", "a", "", None])
    assert pool(fine).k == 5
    with pytest.raises(PoolError, match="same comparison enters twice: hao2011 / a;"):
        pool(twice.assign(comparison=["a", "a", "a", "b", "c"]))


def test_input_as_arrays_series_dict_and_frame_agree():
    wanted = pool(FRAME.drop(columns="measure"))
    assert pool(yi=FRAME["yi"].tolist(), vi=FRAME["vi"].tolist()).ci == wanted.ci
    assert pool(yi=FRAME["yi"], vi=FRAME["vi"]).studies.index.tolist() == FRAME.index.tolist()
    assert pool({"yi": FRAME["yi"].tolist(), "vi": FRAME["vi"].tolist()}).ci == wanted.ci
    assert pool(yi=FRAME["yi"], vi=FRAME["vi"], data=FRAME, mods="weeks").k == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give effects"),
        ({"yi": [1, 2]}, "give effects"),
        ({"effects": FRAME, "yi": [1]}, "not both"),
        ({"effects": [1, 2]}, "effects is a list"),
        ({"effects": FRAME.drop(columns="vi")}, "no column vi"),
        ({"yi": [1, 2], "vi": [1, 2, 3]}, "vi has 3 rows for 2 effects"),
        ({"yi": ["a", "b"], "vi": [1, 2]}, "must be numbers"),
        ({"yi": [1, 2], "vi": [1, 0]}, "1: vi must be above 0"),
        ({"yi": [1, np.inf], "vi": [1, 1]}, "1: yi is infinite"),
        ({"yi": [1, 2], "vi": [1e-150, 1]}, "0: yi beyond .* state the effects in another unit"),
        ({"yi": [1, 2], "vi": [1, 1e100]}, "1: yi beyond .* state the effects in another unit"),
        ({"yi": [1, 1e150], "vi": [1, 1]}, "1: yi beyond .* state the effects in another unit"),
        ({"yi": [[1, 2]], "vi": [[1, 1]]}, "must have one dimension each"),
        ({"yi": "yi", "vi": "vi", "data": FRAME}, "not names of columns; pass the frame"),
        ({"effects": {"yi": [1, 2], "vi": [1]}}, "effects is no table"),
        ({"effects": {"yi": 1, "vi": 2}}, "effects is no table"),
        ({"effects": pd.concat([FRAME, FRAME[["vi"]]], axis=1)}, "several columns called vi"),
        ({"yi": [1, 2], "vi": [1, 1], "data": [1, 2]}, "data is a list; give a DataFrame"),
        ({"yi": FRAME["yi"], "vi": FRAME["vi"][::-1]}, "vi has the labels of yi in another order"),
        ({"effects": FRAME, "mods": FRAME["weeks"][::-1]}, "mods has the labels of the effects in"),
        ({"effects": FRAME, "level": "0.95"}, "level='0.95' is not between 0 and 1"),
        ({"effects": FRAME, "level": np.array([0.95])}, "is not between 0 and 1"),
        ({"yi": [np.nan], "vi": [1]}, "no effect to pool"),
        ({"yi": [], "vi": []}, "no effect to pool"),
        ({"effects": FRAME, "level": 95}, "write 0.95 for 95%"),
        ({"effects": FRAME.assign(measure=["SMD", "MD"] + ["SMD"] * 3)}, "measures MD, SMD"),
        ({"effects": FRAME, "mods": "~ dose"}, "uses dose, which the data do not have"),
        ({"effects": FRAME, "mods": "yi ~ weeks"}, "has a left side"),
        ({"effects": FRAME, "mods": "~ weeks +"}, "is not a formula"),
        ({"effects": FRAME, "mods": [[1, 2]]}, "mods has 1 rows for 5 effects"),
        ({"effects": FRAME, "mods": FRAME[["design"]]}, "moderators must be numbers"),
        ({"effects": FRAME.iloc[:2], "mods": "~ weeks"}, "2 studies cannot carry 2 coefficients"),
        ({"effects": FRAME, "mods": FRAME[["weeks", "weeks"]]}, "weeks adds nothing"),
        ({"effects": FRAME, "data": FRAME.iloc[:2]}, "data has 2 rows for 5 effects"),
    ],
)
def test_refusals_say_what_and_how_to_mend(arguments, message):
    with pytest.raises(RetroEvidenceError, match=message):
        pool(**arguments)


def test_unknown_method_and_test():
    with pytest.raises(UnknownNameError, match="no method is called 'FE'"):
        pool(FRAME, method="FE")
    with pytest.raises(UnknownNameError, match="no test is called 'hk'"):
        pool(FRAME, test="hk")


# Regression and prediction ------------------------------------------------------------------------


def test_prediction_for_new_studies_keeps_their_index():
    fit = pool(FRAME, mods="~ weeks + design")
    new = pd.DataFrame({"weeks": [5.0, 10.0], "design": ["rct", "cct"]}, index=["a", "b"])
    predicted = fit.predict(new)
    assert predicted.index.tolist() == ["a", "b"]
    beta = fit.coefficients.set_index("term")["estimate"]
    assert predicted.loc["a", "estimate"] == pytest.approx(
        beta["intercept"] + 5 * beta["weeks"] + beta["design[T.rct]"], rel=1e-12
    )
    assert fit.predict().index.tolist() == FRAME.index.tolist()
    one = fit.predict({"weeks": 5.0, "design": "rct"})
    assert one["pi_high"].iloc[0] == pytest.approx(predicted.loc["a", "pi_high"], rel=1e-12)
    with pytest.raises(PoolError, match="newdata has no column design"):
        fit.predict({"weeks": 5.0})
    with pytest.raises(PoolError, match="must be a DataFrame or a dict"):
        fit.predict([[5.0]])


def test_prediction_from_array_moderators():
    fit = pool(FRAME, mods=FRAME[["weeks"]].to_numpy())
    formula = pool(FRAME, mods="~ weeks")
    pd.testing.assert_frame_equal(
        fit.predict([5.0, 10.0]), formula.predict({"weeks": [5.0, 10.0]}), rtol=1e-12
    )
    with pytest.raises(PoolError, match="newdata has 2 columns and mods had 1"):
        fit.predict([[5.0, 1.0]])


def test_prediction_of_a_mean_is_the_result_itself():
    pooled = pool(FRAME)
    row = pooled.predict().iloc[0]
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(pooled.ci), rel=1e-12)
    assert (row["pi_low"], row["pi_high"]) == pytest.approx(tuple(pooled.prediction), rel=1e-12)


def test_groups_without_intercept_are_the_means_of_the_groups():
    fit = pool(FRAME, method="CE", mods="~ 0 + design")
    for i, design in enumerate(["cct", "rct"]):
        alone = pool(FRAME[FRAME["design"] == design], method="CE")
        assert fit.coefficients["estimate"].iloc[i] == pytest.approx(alone.estimate, rel=1e-12)
    assert fit.qm_df == 2
    assert math.isnan(fit.r2)


def test_a_constant_column_in_an_array_is_the_intercept():
    x = np.column_stack([np.ones(5), FRAME["weeks"]])
    with_ones = pool(FRAME, mods=x)
    assert with_ones.coefficients["term"].tolist() == ["intercept", "x2"]
    np.testing.assert_allclose(
        with_ones.coefficients["estimate"],
        pool(FRAME, mods="~ weeks").coefficients["estimate"],
        rtol=1e-12,
    )
    assert with_ones.predict([[1.0, 5.0]]).shape == (1, 6)


# The object ---------------------------------------------------------------------------------------


def test_every_number_is_plain_and_the_object_is_frozen():
    pooled = pool(FRAME)
    for name in Pooled.__dataclass_fields__:
        value = getattr(pooled, name)
        assert type(value) in (float, int, str, tuple, Interval) or name == "fit", name
    for value in (*pooled.ci, *pooled.prediction, *pooled.z_ci, *pooled.tau2_ci, *pooled.i2_ci):
        assert type(value) is float
    with pytest.raises(AttributeError):
        pooled.estimate = 1.0


def test_equality_hash_and_pickle():
    assert pool(FRAME) == pool(FRAME)
    assert hash(pool(FRAME.iloc[:1])) == hash(pool(FRAME.iloc[:1]))
    assert pool(FRAME.iloc[:1]) == pool(FRAME.iloc[:1])
    assert pool(FRAME) != pool(FRAME, level=0.9)
    assert pool(FRAME) != "something else"
    assert pickle.loads(pickle.dumps(pool(FRAME, mods="~ weeks"))) == pool(FRAME, mods="~ weeks")


def test_summary_rows_concatenate_and_dict_is_json():
    table = pd.concat([pool(FRAME).summary, pool(FRAME, method="DL").summary])
    assert table.shape[0] == 2
    assert table["k"].tolist() == [5, 5]
    given = json.loads(json.dumps(pool(FRAME, mods="~ weeks").to_dict(), allow_nan=False))
    assert [row["term"] for row in given["coefficients"]] == ["intercept", "weeks"]
    alone = json.loads(json.dumps(pool(FRAME.iloc[:1]).to_dict(), allow_nan=False))
    assert alone["tau2"] is None


def test_the_card_says_the_same_in_text_and_html():
    pooled = pool(FRAME)
    text, html = repr(pooled), pooled._repr_html_()
    assert text.startswith("Pooled SMD, k = 5 studies (REML, Knapp-Hartung)")
    for piece in ("a new study", "95% PI", "Q(4) =", "beside it", "modified Knapp-Hartung"):
        assert piece in text
        assert piece in html
    assert "roy2022" in html
    assert "roy2022" not in text
    assert "90% CI" in repr(pool(FRAME, level=0.9))
    assert "97.5% CI" in repr(pool(FRAME, level=0.975))


def test_ratios_are_shown_on_both_scales():
    frame = FRAME.assign(measure="ROM")
    text = repr(pool(frame))
    pooled = pool(frame)
    assert "log ratio of means" in text
    assert f"{math.exp(pooled.estimate):.3f}" in text
    assert f"{100 * math.expm1(pooled.ci.low):.1f}" in text
    assert "odds ratio" in repr(pool(FRAME.assign(measure="OR")))


def test_regression_card_has_the_coefficients():
    text = repr(pool(FRAME, mods="~ weeks"))
    assert text.startswith("Meta-regression of SMD")
    assert "F(1, 3) =" in text
    assert "residual tau²" in text
    assert "weeks" in text
    assert "QM(1) =" in repr(pool(FRAME, mods="~ weeks", test="z"))


def test_plain_design_has_one_column():
    assert Design.plain(3).matrix.tolist() == [[1.0], [1.0], [1.0]]


# What is no number --------------------------------------------------------------------------------


def test_complex_numbers_are_none():
    y, v = FRAME["yi"].to_numpy(), FRAME["vi"].to_numpy()
    for yi, vi in ((y + 1j, v), (y, v + 0j), ((y + 1j).tolist(), v), (list(y + 1j), v)):
        with pytest.raises(PoolError, match=r"must be numbers \(some are complex\)"):
            pool(yi=yi, vi=vi)
    with pytest.raises(PoolError, match="some are complex"):
        pool(FRAME.assign(yi=FRAME["yi"] + 1j))


@pytest.mark.parametrize("level", ["0.95", None, [0.95], 95, 0, 1, math.nan])
def test_a_level_that_is_none(level):
    with pytest.raises(PoolError, match="is not between 0 and 1"):
        pool(FRAME, level=level)


@pytest.mark.parametrize("name", [["REML"], None, 3, {"REML": 1}])
def test_a_name_that_is_no_text(name):
    with pytest.raises(UnknownNameError, match="no method is called"):
        pool(FRAME, method=name)
    with pytest.raises(UnknownNameError, match="no test is called"):
        pool(FRAME, test=name)


def test_missing_values_of_every_kind_are_missing():
    wanted = pool(yi=FRAME["yi"].iloc[1:].tolist(), vi=FRAME["vi"].iloc[1:].tolist())
    for dtype in ("Float64", "double[pyarrow]", object):
        yi = FRAME["yi"].astype(dtype)
        yi.iloc[0] = pd.NA
        for found in (
            pool(FRAME.assign(yi=yi)),
            pool(yi=yi, vi=FRAME["vi"]),
            pool(yi=yi.tolist(), vi=FRAME["vi"].tolist()),
        ):
            assert found.estimate == pytest.approx(wanted.estimate, rel=1e-14)


def test_dates_are_no_effects():
    dates = pd.to_datetime(["2020-01-01"] * len(FRAME))
    with pytest.raises(PoolError, match="some are dates or times"):
        pool(FRAME.assign(yi=dates))
    with pytest.raises(PoolError, match="some are dates or times"):
        pool_many(FRAME.assign(id=1, vi=dates))

"""Meta-regression: designs from formulas and arrays, collinearity, new studies."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError
from retroevidence.meta.dependent.multilevel import pool_multilevel
from retroevidence.meta.many import pool_many
from retroevidence.meta.pool import pool
from retroevidence.meta.tau2 import METHODS, estimate_tau2

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))

# metafor 3.8-1, R 4.2.2, BCG trials (log risk ratios), control = list(threshold = 1e-13,
# maxiter = 10000, tol = 1e-14).
# vif(rma(yi, vi, mods = ~ ablat + year + alloc)) and vif(..., btt = 4:5) for the factor.
VIF = {"ablat": 1.7697315994, "year": 1.9148206581, "alloc": 1.233922981405}
PER_COLUMN = 1.053954865863
# rma(yi, vi, mods = ~ ablat, method = ): tau² and its standard error.
RESIDUAL_TAU2 = {
    "DL": (0.0633005024264152, 0.0548251478566262),
    "HE": (0.209048026358876, 0.170711964616081),
    "HS": (0.0290849078998511, 0.0162884567731663),
    "HSk": (0.0382497885310598, 0.0228937088024365),
    "SJ": (0.231843716118979, 0.119533780646106),
    "ML": (0.0343514424813262, 0.0280141801206836),
    "REML": (0.0763479639552553, 0.0590472289044703),
    "EB": (0.142131941472779, 0.0974985635157248),
    "PM": (0.142131941472754, 0.0974985635157125),
}

FRAME = pd.DataFrame(
    {
        "study_id": list("abcdefgh"),
        "yi": [0.1, 0.35, 0.8, 0.2, 0.55, 0.4, 0.9, 0.3],
        "vi": [0.02, 0.03, 0.05, 0.01, 0.04, 0.03, 0.02, 0.05],
        "weeks": [4.0, 6, 12, 4, 8, 5, 7, 9],
        "design": ["rct", "rct", "cct", "cct", "rct", "cohort", "cohort", "cohort"],
    }
)


@pytest.fixture(scope="module")
def bcg():
    given = pd.DataFrame(CASES["bcg_inputs"])
    n1, n2 = given["tpos"] + given["tneg"], given["cpos"] + given["cneg"]
    yi, vi = effect_size("RR", a=given["tpos"], n1=n1, c=given["cpos"], n2=n2)
    return given.assign(yi=yi, vi=vi)


@pytest.mark.parametrize("method", list(RESIDUAL_TAU2))
def test_residual_tau2_and_its_standard_error(method, bcg):
    fit = pool(bcg, mods="~ ablat", method=method)
    # metafor's EB differs from its PM, the same root, by 2e-13.
    assert (fit.tau2, fit.tau2_se) == pytest.approx(RESIDUAL_TAU2[method], rel=1e-11)


# Variance inflation -------------------------------------------------------------------------------


@pytest.mark.parametrize("test", ["z", "knha"])
def test_vif_against_metafor(test, bcg):
    vif = pool(bcg, mods="~ ablat + year + alloc", test=test).vif.set_index("term")
    for term, wanted in VIF.items():
        # Printed to 11 digits.
        assert vif.loc[term, "vif"] == pytest.approx(wanted, rel=1e-10)
    assert vif.loc["alloc", "columns"] == 2
    assert vif.loc["alloc", "per_column"] == pytest.approx(PER_COLUMN, rel=1e-10)
    assert vif.loc["ablat", "per_column"] == pytest.approx(math.sqrt(VIF["ablat"]), rel=1e-10)


def test_vif_without_and_with_one_moderator(bcg):
    assert pool(bcg).vif.empty
    alone = pool(bcg, mods="~ ablat").vif
    assert alone["vif"].tolist() == pytest.approx([1.0], rel=1e-12)
    array = pool(bcg, mods=bcg[["ablat", "year"]]).vif
    assert array["term"].tolist() == ["ablat", "year"]
    assert array["vif"][0] == pytest.approx(array["vif"][1], rel=1e-10)


# Columns that cannot be told apart ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mods", "message"),
    [
        ("~ weeks + I(2 * weeks)", r"I\(2 \* weeks\) adds nothing to weeks; leave it out"),
        ("~ weeks + I(2 * weeks + 1)", "adds nothing to intercept, weeks; leave"),
        ("~ design + kind", r"kind\[T.B\] adds nothing to .*; kind\[T.C\] adds nothing to design"),
        ("~ weeks + nothing", "nothing is 0 throughout"),
    ],
)
def test_collinear_columns_are_named_with_what_they_repeat(mods, message):
    kind = FRAME["design"].map({"rct": "A", "cct": "B", "cohort": "C"})
    with pytest.raises(PoolError, match=message):
        pool(FRAME.assign(kind=kind, nothing=0.0), mods=mods)


def test_levels_without_an_effect_do_not_matter():
    frame = FRAME.assign(yi=FRAME["yi"].where(FRAME["design"] != "cohort"))
    fit = pool(frame, mods="~ design")
    assert fit.coefficients["term"].tolist() == ["intercept", "design[T.rct]"]
    assert fit.k == 5
    assert fit.notes[0] == "Left out, no effect or variance: f, g, h."
    assert fit.ci == pool(frame.iloc[:5], mods="~ design").ci
    declared = pd.Categorical(FRAME["design"], categories=["rct", "cct", "cohort", "other"])
    terms = pool(FRAME.assign(design=declared), mods="~ design").coefficients["term"].tolist()
    assert terms == ["intercept", "design[T.cct]", "design[T.cohort]"]


def test_a_centre_comes_from_the_studies_that_enter():
    frame = FRAME.assign(yi=FRAME["yi"].where(FRAME["weeks"] < 12))
    fit = pool(frame, mods="~ center(weeks)")
    wanted = pool(frame.drop(2), mods="~ center(weeks)")
    np.testing.assert_allclose(
        fit.coefficients["estimate"], wanted.coefficients["estimate"], rtol=1e-12
    )


# New studies --------------------------------------------------------------------------------------


def test_interactions_and_polynomials_predict_by_their_definition():
    fit = pool(FRAME, mods="~ weeks * design", method="CE")
    beta = fit.coefficients.set_index("term")["estimate"]
    found = fit.predict({"weeks": [5.0, 7.0], "design": ["rct", "cohort"]})["estimate"]
    wanted = [
        beta["intercept"]
        + weeks * beta["weeks"]
        + beta[f"design[T.{design}]"]
        + weeks * beta[f"weeks:design[T.{design}]"]
        for weeks, design in ((5, "rct"), (7, "cohort"))
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    curve, powers = pool(FRAME, mods="~ poly(weeks, 2)"), pool(FRAME, mods="~ weeks + I(weeks**2)")
    new = {"weeks": [5.0, 20.0]}
    # Raw powers of weeks are nearly collinear: condition number about 1e4.
    np.testing.assert_allclose(curve.predict(new), powers.predict(new), rtol=1e-9)


def test_a_level_nobody_has_is_named():
    fit = pool(FRAME, mods="~ weeks + C(design)")
    message = "newdata has survey in design, which no study of the fit has; it knows cct, cohort"
    with pytest.raises(PoolError, match=message):
        fit.predict({"weeks": [5.0, 6.0], "design": ["survey", "rct"]})


def test_missing_moderators_give_missing_predictions():
    fit = pool(FRAME, mods="~ weeks + design")
    found = fit.predict({"weeks": [5.0, np.nan, 6.0], "design": ["rct", "rct", None]})
    assert found["estimate"].notna().tolist() == [True, False, False]
    assert fit.predict({"weeks": np.nan, "design": "rct"})["pi_low"].isna().all()


def test_one_value_serves_all_new_studies():
    fit = pool(FRAME, mods="~ weeks + design")
    found = fit.predict({"weeks": 5.0, "design": ["rct", "cct"]})
    assert found["estimate"].tolist() == pytest.approx(
        fit.predict({"weeks": [5.0, 5.0], "design": ["rct", "cct"]})["estimate"].tolist(), rel=1e-14
    )
    with pytest.raises(PoolError, match="weeks has 2 values and another column 3"):
        fit.predict({"weeks": [1.0, 2.0], "design": ["rct", "cct", "rct"]})


def test_words_where_the_studies_have_numbers():
    with pytest.raises(PoolError, match="weeks is no number in newdata"):
        pool(FRAME, mods="~ weeks").predict({"weeks": ["many"]})
    with pytest.raises(PoolError, match="newdata has no column weeks"):
        pool(FRAME, mods="~ poly(weeks, 2)").predict({"dose": [1.0]})


def test_columns_of_an_array_are_found_by_name():
    fit = pool(FRAME, mods=FRAME[["weeks"]].assign(dose=[1.0, 2, 2, 3, 1, 2, 3, 1]))
    one = fit.predict(pd.DataFrame({"weeks": [5.0], "dose": [2.0]}, index=["new"]))
    two = fit.predict(pd.DataFrame({"dose": [2.0], "weeks": [5.0]}, index=["new"]))
    pd.testing.assert_frame_equal(one, two)
    assert fit.predict({"dose": 2.0, "weeks": 5.0})["estimate"].iloc[0] == one["estimate"].iloc[0]
    np.testing.assert_allclose(fit.predict([[5.0, 2.0]]), one, rtol=1e-14)


def test_prediction_covers_the_mean_and_a_new_study(bcg):
    fit = pool(bcg, mods="~ ablat")
    row = fit.predict({"ablat": [33.0]}).iloc[0]
    x = np.array([1.0, 33.0])
    se = math.sqrt(x @ fit.fit.covariance @ x)
    assert row["se"] == pytest.approx(se, rel=1e-12)
    ratio = (row["pi_high"] - row["estimate"]) / (row["ci_high"] - row["estimate"])
    assert ratio == pytest.approx(math.sqrt(1 + fit.tau2 / se**2), rel=1e-12)


# Edges --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("test", ["z", "t", "knha", "adhoc"])
@pytest.mark.parametrize("factor", [1e-9, 1e-3, 1e6])
def test_scale_of_the_outcome_does_not_matter(method, test, factor, bcg):
    one = pool(bcg, mods="~ ablat", method=method, test=test)
    scaled = bcg.assign(yi=bcg["yi"] * factor, vi=bcg["vi"] * factor**2)
    two = pool(scaled, mods="~ ablat", method=method, test=test)
    # Rounding of the scaled input.
    assert two.tau2 / factor**2 == pytest.approx(one.tau2, rel=1e-11)
    assert two.tau2_se / factor**2 == pytest.approx(one.tau2_se, rel=1e-11, nan_ok=True)
    np.testing.assert_allclose(
        two.coefficients["ci_low"] / factor, one.coefficients["ci_low"], rtol=1e-10
    )
    assert two.qm_p_value == pytest.approx(one.qm_p_value, rel=1e-9)
    assert two.r2 == pytest.approx(one.r2, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "CE"])
def test_a_perfect_line_has_no_residual_variance(method):
    x = np.arange(6.0)
    tau2 = estimate_tau2(2 * x, np.full(6, 0.5), np.column_stack([np.ones(6), x]), method)
    assert tau2 == pytest.approx(0, abs=1e-25)
    fit = pool(yi=2 * x, vi=np.full(6, 0.5), mods=x, method=method)
    assert math.isfinite(fit.tau2_se)
    assert fit.coefficients["estimate"].tolist() == pytest.approx([0, 2], abs=1e-12)
    assert any("agree exactly" in note for note in fit.notes)


# Moderators that are no plain numbers -------------------------------------------------------------

MORE = FRAME.assign(dose=[1.0, 2.0, 2.5, 3.0, 1.5, 2.0, 3.5, 1.0])


@pytest.mark.parametrize(
    ("mods", "message"),
    [
        ("~ 0", "has no term; write '~ 1'"),
        ("~ -1", "has no term; write '~ 1'"),
        ("~ dose | design", "has several parts; write one"),
        ("~ when", "does not fit the data"),
        ("~ intercept", "called intercept would be taken for the constant; rename it"),
        ("~ Intercept - 1", "called Intercept would be taken for the constant; rename it"),
    ],
)
def test_formulas_that_cannot_be_used(mods, message):
    when = pd.date_range("2001-01-01", periods=8)
    frame = MORE.assign(when=when, intercept=MORE["dose"], Intercept=MORE["dose"])
    with pytest.raises(PoolError, match=message):
        pool(frame, mods=mods)


def test_other_peoples_errors_come_in_one_plain_line():
    with pytest.raises(PoolError) as caught:
        pool(MORE, mods="~ dose +")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_column_that_is_there_twice():
    with pytest.raises(PoolError, match="several columns are called dose; keep one"):
        pool(pd.concat([MORE, MORE[["dose"]]], axis=1), mods="~ dose")
    with pytest.raises(PoolError, match="newdata: several columns are called dose"):
        pool(MORE, mods="~ dose").predict(pd.DataFrame([[1, 2]], columns=["dose", "dose"]))


def test_a_moderator_named_intercept_in_an_array():
    with pytest.raises(PoolError, match="rename it"):
        pool(MORE, mods=MORE[["dose"]].rename(columns={"dose": "intercept"}))
    ones = MORE[["dose"]].assign(intercept=1.0)
    assert pool(MORE, mods=ones).qm == pytest.approx(pool(MORE, mods="~ dose").qm, rel=1e-12)


@pytest.mark.parametrize("value", [5.0, 0.0, -1.0])
def test_only_a_column_of_ones_is_an_intercept(value):
    # Taken for the constant, a dose of 5 in every study would divide the mean by 5.
    with pytest.raises(PoolError, match=r"x1 (adds nothing to intercept|is 0 throughout)"):
        pool(MORE, mods=np.full(8, value))


@pytest.mark.parametrize("mods", ["~ dose", "~ np.log(other)", "~ I(1 / other)", None])
def test_infinite_moderators_are_left_out_and_named(mods):
    frame = MORE.assign(other=MORE["dose"])
    frame.loc[2, "dose"] = np.inf
    frame.loc[2, "other"] = 0.0
    given = frame[["dose"]] if mods is None else mods
    fit = pool(frame, mods=given)
    assert fit.k == 7
    assert fit.notes[0] == "Left out, a moderator is missing or infinite: c."
    left = frame.drop(index=2)
    assert fit.qm == pytest.approx(pool(left, mods=left[["dose"]] if mods is None else mods).qm)


def test_an_infinite_value_does_not_reach_what_is_computed_from_the_column():
    frame = MORE.assign(dose=MORE["dose"].where(MORE["study_id"] != "c", np.inf))
    centred, plain = pool(frame, mods="~ center(dose)"), pool(frame, mods="~ dose")
    assert centred.k == 7
    assert centred.qm == pytest.approx(plain.qm, rel=1e-10)


def test_words_and_numbers_of_every_type_of_column():
    arrow = pytest.importorskip("pyarrow")
    wanted = pool(MORE, mods="~ design + dose")
    words = [
        pd.array(MORE["design"], dtype="string"),
        pd.Series(MORE["design"].tolist(), dtype=object, index=MORE.index),
        pd.Categorical(MORE["design"]),
        pd.Series(MORE["design"].tolist(), dtype=pd.ArrowDtype(arrow.string()), index=MORE.index),
    ]
    numbers = [
        pd.array(MORE["dose"], dtype="Float64"),
        # Numbers among objects are numbers, not categories.
        pd.Series(MORE["dose"].tolist(), dtype=object, index=MORE.index),
        pd.Series(MORE["dose"].tolist(), dtype=pd.ArrowDtype(arrow.float64()), index=MORE.index),
    ]
    for word in words:
        for amount in numbers:
            frame = MORE.assign(design=word, dose=amount)
            fit = pool(frame, mods="~ design + dose")
            assert fit.coefficients["estimate"].tolist() == pytest.approx(
                wanted.coefficients["estimate"].tolist(), rel=1e-10
            )
            assert fit.predict(frame)["pi_low"].tolist() == pytest.approx(
                wanted.predict()["pi_low"].tolist(), rel=1e-10
            )


def test_why_there_is_no_r2():
    for mods, method, reason in (
        ("~ dose", "CE", "a common-effect model has no tau"),
        ("~ design - 1", "REML", "the model has no intercept"),
    ):
        fit = pool(MORE, mods=mods, method=method)
        assert math.isnan(fit.r2)
        assert any(reason in note for note in fit.notes)
    calm = pool(MORE.assign(vi=10.0), mods="~ dose")
    assert math.isnan(calm.r2)
    assert any("tau² is 0 without the moderators too" in note for note in calm.notes)


def test_through_the_origin_effects_are_not_centred():
    # By hand: metafor 3.8-1 takes tau² and Q of such a model from effects less their mean.
    y, v, x = (MORE[name].to_numpy() for name in ("yi", "vi", "dose"))
    slope = np.sum(x * y / v) / np.sum(x**2 / v)
    fit = pool(MORE, mods="~ 0 + dose", method="CE", test="z")
    assert fit.estimate == pytest.approx(slope, rel=1e-12)
    assert fit.q == pytest.approx(np.sum((y - slope * x) ** 2 / v), rel=1e-12)


# New studies that are not like the old ones -------------------------------------------------------


def test_numbers_where_the_studies_have_words():
    fit = pool(MORE, mods="~ design")
    with pytest.raises(PoolError, match="newdata has 1 in design, which no study of the fit has"):
        fit.predict({"design": [1]})


def test_what_fails_leaves_no_trace_in_the_fit():
    fit = pool(MORE, mods="~ dose + design")
    wanted = fit.predict({"dose": 2.0, "design": "rct"})
    for wrong in ({"dose": "a", "design": "rct"}, {"dose": 1.0, "design": 3}):
        with pytest.raises(PoolError):
            fit.predict(wrong)
    pd.testing.assert_frame_equal(fit.predict({"dose": 2.0, "design": "rct"}), wanted)
    with pytest.raises(PoolError, match="dose is no number in newdata"):
        fit.predict({"dose": "1", "design": "rct"})


def test_values_that_are_not_finite_give_no_prediction():
    for fit in (pool(MORE, mods="~ dose"), pool(MORE, mods=MORE[["dose"]])):
        rows = fit.predict(pd.DataFrame({"dose": [2.0, np.inf, np.nan]}))
        assert rows["estimate"].isna().tolist() == [False, True, True]
        assert rows["pi_high"].isna().tolist() == [False, True, True]
    logs = pool(MORE, mods="~ np.log(dose)").predict({"dose": [0.0, -1.0, 1.0]})
    assert logs.isna().all(axis=1).tolist() == [True, True, False]


def test_a_name_that_is_not_there_is_not_found_by_position():
    fit = pool(MORE, mods=MORE[["dose"]])
    with pytest.raises(PoolError, match="no column dose"):
        fit.predict(pd.DataFrame({"weeks": [5.0]}))
    with pytest.raises(PoolError, match="need a formula or a DataFrame"):
        pool(MORE, mods=MORE[["dose"]].to_numpy()).predict({"dose": [5.0]})


def test_a_spline_does_not_reach_beyond_the_studies():
    with pytest.raises(PoolError, match="within the range, that the studies have"):
        pool(MORE, mods="~ bs(dose, df=3)").predict({"dose": [50.0]})


def test_a_plain_mean_predicts_one_row_per_new_study():
    for fit in (pool(MORE), pool(MORE, mods="~ 1")):
        rows = fit.predict(pd.DataFrame({"anything": [1, 2]}, index=["x", "y"]))
        assert rows.index.tolist() == ["x", "y"]
        assert rows["estimate"].tolist() == [fit.estimate] * 2
        assert fit.predict({"anything": [1, 2, 3]}).shape == (3, 6)
        assert len(fit.predict()) == 1


def test_weights_over_many_powers_of_ten_leave_every_standard_error_a_number():
    fit = pool(
        yi=[0.1, 0.4, 0.2, 0.9], vi=[1e-50, 1e50, 1.0, 1.0], mods=[1.0, 2.0, 3.5, 9.0], method="CE"
    )
    assert (fit.predict()["se"] >= 0).all()


# What is no moderator -----------------------------------------------------------------------------


def test_complex_moderators_are_none():
    turned = MORE.assign(dose=MORE["dose"] + 1j)
    for mods in (turned["dose"], turned["dose"].to_numpy(), turned[["dose"]], "~ dose"):
        with pytest.raises(PoolError, match="some are complex"):
            pool(turned, mods=mods)
    for mods in ("~ dose", MORE["dose"].to_numpy()):
        newdata = {"dose": [1j]} if isinstance(mods, str) else np.array([1j])
        with pytest.raises(PoolError, match="some are complex"):
            pool(MORE, mods=mods).predict(newdata)


def test_an_infinite_moderator_is_left_out_in_the_same_words_with_clusters():
    frame = MORE.assign(lab=list("aabb" * len(MORE))[: len(MORE)])
    frame["dose"] = [np.inf, *frame["dose"].iloc[1:]]
    for fit in (pool(frame, mods="~ dose"), pool_multilevel(frame, cluster="lab", mods="~ dose")):
        assert fit.notes[0].startswith("Left out, a moderator is missing or infinite: ")


def test_what_another_library_says_is_cut_to_a_sentence():
    with pytest.raises(PoolError, match="is not a formula") as refused:
        pool(MORE, mods="~ .")
    assert len(str(refused.value)) < 150


def test_one_study_through_the_origin_gives_its_slope():
    frame = pd.DataFrame({"yi": [1.0], "vi": [0.1], "dose": [-2.0]})
    fit = pool(frame, mods="~ 0 + dose")
    # By hand: y/x, and the standard error over |x|.
    assert fit.estimate == -0.5
    assert fit.se == pytest.approx(math.sqrt(0.1) / 2, rel=1e-15)
    assert fit.coefficients["estimate"].tolist() == [-0.5]
    assert fit.predict({"dose": [-2.0]})["estimate"].tolist() == [1.0]
    with pytest.raises(PoolError, match="dose is 0 throughout"):
        pool(frame.assign(dose=0.0), mods="~ 0 + dose")
    frame = pd.concat([frame, frame.assign(dose=0.0)]).assign(id=["a", "b"])
    rows = pool_many(frame, mods="~ 0 + dose").set_index("id")
    names = ["df", "estimate_dose", "se_dose", "p_value_dose", "ci_low_dose", "ci_high_dose"]
    alone = [math.inf, fit.estimate, fit.se, fit.p_value, *fit.ci]
    assert rows.loc["a", names].tolist() == pytest.approx(alone, rel=1e-14)
    assert rows["reason"].tolist() == ["", "moderators that add nothing to each other"]


def test_a_table_without_rows_has_no_design():
    with pytest.raises(PoolError, match="'~ 1': the data have no row"):
        pool(MORE.iloc[:0], mods="~ 1")

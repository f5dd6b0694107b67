"""Leave-one-out, cumulative, influence, all subsets, and the batch fits they stand on."""

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.batch import pool_batch
from retroevidence.meta.pool import pool
from retroevidence.meta.sensitivity import (
    bootstrap,
    cumulative,
    gosh,
    influence,
    leave_one_out,
    permutation_test,
)
from retroevidence.meta.subgroups import subgroups
from retroevidence.meta.tau2 import METHODS

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "influence.json").read_text(encoding="utf-8"))
COUNTS = json.loads((GOLDEN / "counts.json").read_text(encoding="utf-8"))
INPUTS = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))["bcg_inputs"]

# Both sides iterate to about 1e-13 (golden/README.md); differences of near values lose some of it.
RTOL = 1e-8


@pytest.fixture(scope="module")
def bcg():
    given = pd.DataFrame(INPUTS, index=[f"trial {i}" for i in INPUTS["trial"]])
    yi, vi = effect_size(
        "RR",
        a=given["tpos"],
        n1=given["tpos"] + given["tneg"],
        c=given["cpos"],
        n2=given["cpos"] + given["cneg"],
    )
    return given.assign(yi=yi, vi=vi)


@pytest.mark.parametrize("test", ["z", "knha"])
def test_influence_matches_metafor_whatever_the_test(bcg, test):
    found = influence(pool(bcg, test=test))
    ours = {
        "rstudent": "rstudent",
        "dffits": "dffits",
        "cook.d": "cook_d",
        "cov.r": "cov_r",
        "tau2.del": "tau2_deleted",
        "QE.del": "q_deleted",
        "hat": "hat",
        "weight": "weight",
    }
    for theirs, name in ours.items():
        np.testing.assert_allclose(
            found[name], CASES["bcg_influence"][theirs], rtol=RTOL, atol=0, err_msg=name
        )
    assert list(found.index) == list(bcg.index)
    assert not found["influential"].any()  # metafor flags no trial of this set either


def test_leave_one_out_matches_metafor(bcg):
    found = leave_one_out(pool(bcg, test="z"))
    for theirs, name in {"est": "estimate", "se": "se", "tau2": "tau2", "I2": "i2"}.items():
        np.testing.assert_allclose(
            found[name], CASES["bcg_loo"][theirs], rtol=RTOL, atol=0, err_msg=name
        )


def test_cumulative_by_year_matches_metafor(bcg):
    found = cumulative(pool(bcg, test="z"), "year")
    np.testing.assert_allclose(found["estimate"], CASES["bcg_cumul"]["est"], rtol=RTOL, atol=0)
    np.testing.assert_allclose(found["tau2"][1:], CASES["bcg_cumul"]["tau2"][1:], rtol=RTOL, atol=0)
    # metafor writes 0 for one study, which has no variance between studies.
    assert CASES["bcg_cumul"]["tau2"][0] == 0
    assert math.isnan(found["tau2"].iloc[0])
    assert found.index[0] == "trial 1"
    pd.testing.assert_frame_equal(found, cumulative(pool(bcg, test="z"), bcg["year"].tolist()))


def test_dfbetas_follow_their_definition(bcg):
    """The golden file holds none: compare with fits by hand."""
    whole = pool(bcg, test="z")
    found = influence(whole)["dfbetas"].to_numpy()
    for i in range(len(bcg)):
        without = pool(bcg.drop(index=bcg.index[i]), test="z")
        spread = math.sqrt(1 / np.sum(1 / (bcg["vi"] + without.tau2)))
        assert found[i] == pytest.approx((whole.estimate - without.estimate) / spread, rel=1e-9)


def test_influence_with_moderators_is_the_refit_without_each_trial(bcg):
    whole = pool(bcg, mods="~ ablat", test="z")
    found = influence(whole)
    without = pool(bcg.iloc[1:], mods="~ ablat", test="z")
    assert found["tau2_deleted"].iloc[0] == pytest.approx(without.tau2, rel=1e-9)
    moved = whole.fit.beta - without.fit.beta
    precision = np.linalg.inv(whole.fit.covariance)
    assert found["cook_d"].iloc[0] == pytest.approx(moved @ precision @ moved, rel=1e-8)
    assert found["hat"].sum() == pytest.approx(2.0, rel=1e-12)  # leverages add up to p
    assert {"dfbetas_intercept", "dfbetas_ablat"} <= set(found.columns)


def test_a_planted_outlier_is_flagged():
    found = influence(pool(yi=[0.1, 0.2, 0.15, 0.18, 2.5], vi=[0.01] * 5))
    assert found["influential"].tolist() == [False] * 4 + [True]


def test_a_moderator_that_rests_on_one_study_is_named():
    only = pool(yi=[0.1, 0.2, 0.3, 0.4, 0.5], vi=[0.01] * 5, mods=[[0], [0], [0], [0], [1]])
    with pytest.raises(PoolError, match="without 4 the model has no answer"):
        influence(only)


@pytest.mark.parametrize("test", ["z", "t", "knha", "adhoc"])
@pytest.mark.parametrize("method", list(METHODS))
def test_batch_is_pool_for_every_method_and_test(method, test):
    random = np.random.default_rng(20)
    k = 9
    for scale in (1e-4, 1.0, 1e5):
        v = random.lognormal(0, 1.5, (4, k)) * scale**2
        y = random.normal(0, 1.5 * scale, (4, k))
        v[1, 4:], v[2, :7] = np.inf, np.inf
        found = pool_batch(y, v, method=method, test=test)
        for i in range(4):
            inside = np.isfinite(v[i])
            one = pool(yi=y[i][inside], vi=v[i][inside], method=method, test=test)
            # Order of sums and of root steps differs, so the last few digits may.
            assert found["estimate"][i] == pytest.approx(one.estimate, abs=1e-11 * one.se)
            assert found["ci_low"][i] == pytest.approx(one.ci.low, abs=1e-10 * one.se)
            assert found["tau2"][i] == pytest.approx(one.tau2, rel=1e-10, abs=1e-14 * scale**2)
            for name in ("se", "i2", "h2", "q", "q_p_value", "p_value"):
                assert found[name][i] == pytest.approx(getattr(one, name), rel=1e-9, abs=1e-12)


def test_batch_finds_the_higher_of_two_maxima():
    """Two precise studies apart from imprecise ones give a likelihood with two peaks."""
    random = np.random.default_rng(3)
    several = 0
    for _ in range(300):
        v = np.exp(random.normal(0, 4, 5))
        y = random.normal(0, np.sqrt(v))
        one = pool(yi=y, vi=v, test="z")
        several += one.tau2 > 0
        found = pool_batch(y, v, test="z")
        assert found["tau2"][0] == pytest.approx(one.tau2, rel=1e-9, abs=1e-14 * v.min())
    assert several > 50


def test_batch_takes_one_study_with_all_the_weight_and_identical_studies():
    v = np.array([[1e-12, 1.0, 2.0], [1.0, 1.0, 1.0]])
    y = np.array([[0.0, 1.0, -1.0], [0.3, 0.3, 0.3]])
    found = pool_batch(y, v, method="REML", test="knha")
    assert found["estimate"].tolist() == pytest.approx([0.0, 0.3], abs=1e-9)
    assert found["tau2"][1] == 0
    assert found["se"][1] == pytest.approx(math.sqrt(1 / 3))  # falls back to the modified form


def test_batch_refuses_empty_sets_and_bad_names():
    with pytest.raises(PoolError, match="holds no study"):
        pool_batch(np.zeros(2), np.full((1, 2), np.inf))
    with pytest.raises(PoolError, match="above 0"):
        pool_batch(np.zeros(2), np.array([1.0, 0.0]))
    with pytest.raises(UnknownNameError, match="method"):
        pool_batch(np.zeros(2), np.ones(2), method="XX")
    with pytest.raises(UnknownNameError, match="test"):
        pool_batch(np.zeros(2), np.ones(2), test="XX")


def test_leaving_out_by_study_takes_all_its_effects():
    frame = pd.DataFrame(
        {
            "study_id": ["a", "a", "b", "c"],
            "yi": [0.1, 0.2, 0.5, 0.9],
            "vi": [0.1, 0.1, 0.2, 0.1],
        }
    )
    found = leave_one_out(pool(frame), by="study_id")
    assert found["left_out"].tolist() == ["a", "b", "c"]
    assert found["k"].tolist() == [2, 3, 3]
    assert found["estimate"][0] == pytest.approx(pool(frame.iloc[2:]).estimate)
    with pytest.raises(UnknownNameError, match="column"):
        leave_one_out(pool(frame), by="cluster")


@pytest.fixture(scope="module")
def expectancy():
    given = COUNTS["raudenbush"]
    return pd.DataFrame({name: given[name] for name in ("cluster", "yi", "vi", "weeks")})


@pytest.mark.parametrize(("case", "mods"), [("mean", None), ("weeks_model", "~ weeks")])
def test_influence_of_clusters_matches_metafor(expectancy, case, mods):
    """One random effect per row makes rma.mv the same model; its optimiser stops near 1e-6."""
    found = influence(pool(expectancy, mods=mods, test="z"), by="cluster")
    wanted = COUNTS["raudenbush"][case]
    close = {"rtol": 1e-5, "atol": 0}
    np.testing.assert_allclose(found["x2"], wanted["x2"], **close)
    np.testing.assert_allclose(found["cook_d"], wanted["cook.d"], **close)
    assert found["effects"].tolist() == wanted["rows"]
    for theirs, shifts in wanted["dfbs"].items():
        ours = "dfbetas" if mods is None else f"dfbetas_{theirs.replace('intrcpt', 'intercept')}"
        # The shift of one cluster is the small difference of two fits.
        np.testing.assert_allclose(found[ours], shifts, rtol=1e-4, atol=0)
    assert found["weight"].sum() == pytest.approx(100)


def test_influence_of_clusters_of_one_is_that_of_studies(bcg):
    pooled = pool(bcg, mods="~ ablat")
    single, cluster = influence(pooled), influence(pooled, by="trial")
    np.testing.assert_allclose(cluster["x2"], single["rstudent"] ** 2, rtol=1e-10)
    for name in ("cook_d", "cov_r", "tau2_deleted", "q_deleted", "hat", "dfbetas_ablat", "weight"):
        np.testing.assert_allclose(cluster[name], single[name], rtol=1e-12, err_msg=name)
    assert "rstudent" not in cluster.columns


@pytest.mark.parametrize(
    ("case", "mods"), [("influence_bcg", None), ("influence_ablat", "~ ablat")]
)
def test_every_measure_of_influence_matches_metafor(bcg, case, mods):
    found = influence(pool(bcg, mods=mods, test="z"))
    wanted = COUNTS[case]
    ours = {"cook.d": "cook_d", "cov.r": "cov_r", "tau2.del": "tau2_deleted", "QE.del": "q_deleted"}
    for theirs in ("rstudent", "dffits", "hat", "weight", *ours):
        np.testing.assert_allclose(
            found[ours.get(theirs, theirs)], wanted[theirs], rtol=RTOL, atol=0, err_msg=theirs
        )
    for theirs, shifts in wanted["dfbs"].items():
        name = "dfbetas" if mods is None else f"dfbetas_{theirs.replace('intrcpt', 'intercept')}"
        # metafor 3.8-1 refits inside dfbetas with default tolerances: tau² to five digits.
        np.testing.assert_allclose(found[name], shifts, rtol=1e-6, atol=0)


def test_cumulating_by_study_adds_all_its_effects():
    frame = pd.DataFrame(
        {
            "study_id": ["a", "b", "a", "c"],
            "year": [2003, 2001, 2000, 1999],
            "yi": [0.1, 0.2, 0.5, 0.9],
            "vi": [0.1, 0.1, 0.2, 0.1],
        }
    )
    found = cumulative(pool(frame), "year", by="study_id")
    assert found["added"].tolist() == ["c", "a", "b"]
    assert found["k"].tolist() == [1, 3, 4]
    assert found["estimate"].iloc[1] == pytest.approx(pool(frame.iloc[[0, 2, 3]]).estimate)
    assert cumulative(pool(frame), by="study_id")["added"].tolist() == ["a", "b", "c"]
    with pytest.raises(UnknownNameError, match="column"):
        cumulative(pool(frame), by="cluster")


def test_a_cluster_that_leaves_too_few_is_named():
    frame = {"yi": [0.1, 0.2, 0.5, 0.4], "vi": [0.1] * 4, "study_id": ["a", "a", "a", "b"]}
    with pytest.raises(PoolError, match="without a only 1 of 4 effects are left"):
        influence(pool(frame), by="study_id")
    with pytest.raises(UnknownNameError, match="column"):
        influence(pool(frame), by="trial")


def test_leave_one_out_keeps_index_method_test_and_level(bcg):
    pooled = pool(bcg, method="PM", test="adhoc", level=0.9)
    found = leave_one_out(pooled)
    one = pool(bcg.iloc[1:], method="PM", test="adhoc", level=0.9)
    assert list(found.index) == list(bcg.index)
    assert found["ci_low"].iloc[0] == pytest.approx(one.ci.low, rel=1e-10)


def test_what_needs_a_plain_mean_says_so(bcg):
    regression = pool(bcg, mods="~ ablat")
    for call in (leave_one_out, cumulative, gosh):
        with pytest.raises(PoolError, match="moderators"):
            call(regression)
    with pytest.raises(PoolError, match="leaves nothing"):
        leave_one_out(pool(yi=[0.1], vi=[0.1]))
    with pytest.raises(PoolError, match="at least 3"):
        influence(pool(yi=[0.1, 0.2], vi=[0.1, 0.1]))
    with pytest.raises(PoolError, match="one value per study"):
        cumulative(pool(bcg), [1, 2])
    with pytest.raises(PoolError, match="missing"):
        cumulative(pool(bcg), [np.nan] * 13)
    with pytest.raises(PoolError, match="one value per study in one list"):
        cumulative(pool(bcg), np.ones((13, 2)))
    with pytest.raises(PoolError, match="values of one kind"):
        cumulative(pool(bcg.assign(when=[1990, "1991"] + [1992] * 11)), "when")
    with pytest.raises(UnknownNameError, match="column"):
        influence(pool(bcg), by=["alloc"])


@pytest.mark.parametrize("given", [None, "bcg", [0.1, 0.2], "frame"])
def test_what_is_no_result_of_pool_is_refused_in_words(bcg, given):
    given = bcg if given == "frame" else given
    calls = (
        leave_one_out,
        influence,
        cumulative,
        gosh,
        permutation_test,
        partial(bootstrap, kind="case", seed=1),
    )
    for call in calls:
        with pytest.raises(PoolError, match="needs a result of pool and got a"):
            call(given)


def test_a_subgroup_with_a_shared_variance_is_not_fitted_alone(bcg):
    groups = subgroups(bcg, by="alloc", common_tau2=True).groups
    for call in (leave_one_out, cumulative, gosh, influence, permutation_test):
        with pytest.raises(PoolError, match="shares its tau²"):
            call(groups["random"])
    alone = subgroups(bcg, by="alloc", common_tau2=False).groups["random"]
    assert len(leave_one_out(alone)) == alone.k == 7


def test_gosh_holds_every_subset_once(bcg):
    pooled = pool(bcg, method="DL", test="z")
    found = gosh(pooled)
    assert len(found) == 2**13 - 1
    members = found.filter(like="with ")
    assert not members.duplicated().any()
    assert (members.sum(axis=1) == found["k"]).all()
    whole = found[found["k"] == 13].iloc[0]
    assert whole["estimate"] == pytest.approx(pooled.estimate, rel=1e-12)
    row = found[found["k"] == 6].iloc[100]
    inside = members.loc[row.name].to_numpy(bool)
    one = pool(bcg[inside], method="DL", test="z")
    assert row["tau2"] == pytest.approx(one.tau2, rel=1e-10)


def test_gosh_draws_different_subsets_from_a_seed(bcg):
    pooled = pool(bcg, method="DL")
    with pytest.raises(PoolError, match="give seed="):
        gosh(pooled, max_subsets=500)
    one, again = gosh(pooled, max_subsets=500, seed=7), gosh(pooled, max_subsets=500, seed=7)
    pd.testing.assert_frame_equal(one, again)
    assert len(one) == 500
    assert not one.filter(like="with ").duplicated().any()
    # Each study is in half of the subsets: 250, with a standard deviation of 11.
    assert one.filter(like="with ").sum().between(200, 300).all()
    assert len(gosh(pooled, max_subsets=8000, seed=1)) == 8000
    for most in (0, 2.5, "9", None):
        with pytest.raises(PoolError, match=f"max_subsets={most!r} must be a whole number from 1"):
            gosh(pooled, max_subsets=most)
    with pytest.raises(PoolError, match="seed=-1"):
        gosh(pooled, max_subsets=500, seed=-1)


def test_gosh_names_rows_of_one_study_apart():
    frame = pd.DataFrame({"study_id": ["a", "a"], "yi": [0.1, 0.4], "vi": [0.1, 0.1]})
    assert {"with a (row 1)", "with a (row 2)"} <= set(gosh(pool(frame)).columns)


def test_results_that_agree_exactly_have_no_spread_by_sidik_and_jonkman():
    found = pool_batch(np.array([0.3, 0.3]), np.array([0.1, 0.2]), method="SJ")
    assert found["tau2"].tolist() == [0.0]


def test_influence_of_a_calendar_year_loses_no_digits():
    # The measures are those of the model, and a year counted from 2000 makes the same model. With
    # the columns as they are, eight of sixteen digits went, and a variance came out negative.
    rng = np.random.default_rng(4081)
    vi = 10 ** rng.uniform(-6, 4, 9)
    yi, year = rng.normal(0, np.sqrt(vi + 1)), rng.integers(0, 4, 9).astype(float)
    one = influence(pool(yi=yi, vi=vi, mods=year, method="DL"))
    two = influence(pool(yi=yi, vi=vi, mods=year + 2000, method="DL"))
    columns = ["rstudent", "dffits", "cook_d", "cov_r", "hat", "dfbetas_x1"]
    # Sixteen digits less four for the years and six for the roots of the weights.
    np.testing.assert_allclose(two[columns], one[columns], rtol=1e-6)

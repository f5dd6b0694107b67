"""What must not matter to a pooled result, and what must."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retroevidence.effects.measures import effect_size
from retroevidence.meta.pool import pool
from retroevidence.meta.tau2 import METHODS

# Few, fixed examples: the tests are the same on every run.
few = settings(max_examples=25, derandomize=True, deadline=None, database=None)

methods = st.sampled_from(list(METHODS))
tests = st.sampled_from(["z", "t", "knha", "adhoc"])
sets = (
    st.integers(3, 12)
    .flatmap(
        lambda k: st.tuples(
            st.lists(st.floats(-3, 3), min_size=k, max_size=k),
            st.lists(st.floats(0.01, 2), min_size=k, max_size=k),
        )
    )
    .filter(lambda pair: np.ptp(pair[0]) > 0.01)
)

# Different rounding of the input moves a root by its condition number times 1e-16; near
# tau² = 0 an absolute slack on the scale of the variances (0.01 to 2) is what remains.
SLACK = {"rel": 1e-7, "abs": 1e-9}


def numbers(pooled):
    return [pooled.se, *np.diff(pooled.ci), pooled.tau2, pooled.q, pooled.p_value]


@few
@given(sets, methods, tests, st.randoms(use_true_random=False))
def test_order_of_the_rows(pair, method, test, random):
    yi, vi = map(np.array, pair)
    order = list(range(len(yi)))
    random.shuffle(order)
    one = pool(yi=yi, vi=vi, method=method, test=test)
    two = pool(yi=yi[order], vi=vi[order], method=method, test=test)
    assert two.estimate == pytest.approx(one.estimate, **SLACK)
    assert numbers(two) == pytest.approx(numbers(one), **SLACK)


@few
@given(sets, methods, st.sampled_from([-7.0, 0.5, 100.0]))
def test_shift_moves_the_mean_and_nothing_else(pair, method, shift):
    yi, vi = map(np.array, pair)
    one, two = pool(yi=yi, vi=vi, method=method), pool(yi=yi + shift, vi=vi, method=method)
    assert two.estimate == pytest.approx(one.estimate + shift, rel=1e-9)
    assert numbers(two)[:-1] == pytest.approx(numbers(one)[:-1], **SLACK)


@few
@given(sets, methods, tests, st.sampled_from([1e-9, 1e-6, 1e-3, 1e6, 1e9]))
def test_unit_of_the_outcome(pair, method, test, factor):
    yi, vi = map(np.array, pair)
    one = pool(yi=yi, vi=vi, method=method, test=test)
    two = pool(yi=factor * yi, vi=factor**2 * vi, method=method, test=test)
    assert two.estimate / factor == pytest.approx(one.estimate, **SLACK)
    assert two.se / factor == pytest.approx(one.se, **SLACK)
    assert two.tau2 / factor**2 == pytest.approx(one.tau2, **SLACK)
    assert np.array(two.prediction) / factor == pytest.approx(
        np.array(one.prediction), nan_ok=True, **SLACK
    )
    for name in ("i2", "q", "p_value"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), **SLACK)


@few
@given(sets, methods, tests)
def test_swapping_the_arms_flips_the_sign(pair, method, test):
    yi, vi = map(np.array, pair)
    one = pool(yi=yi, vi=vi, method=method, test=test)
    two = pool(yi=-yi, vi=vi, method=method, test=test)
    assert two.estimate == pytest.approx(-one.estimate, **SLACK)
    assert two.ci.low == pytest.approx(-one.ci.high, **SLACK)
    assert numbers(two) == pytest.approx(numbers(one), **SLACK)


@few
@given(sets, st.sampled_from(["CE", "ML", "REML"]))
def test_a_study_without_information_changes_nothing(pair, method):
    # Only the likelihood methods have this property: moment estimators count the study in k, and
    # Knapp-Hartung counts it in its degrees of freedom.
    yi, vi = map(np.array, pair)
    one = pool(yi=yi, vi=vi, method=method, test="z")
    two = pool(yi=np.append(yi, 1.0), vi=np.append(vi, 1e12), method=method, test="z")
    # The added study has 1e-12 to 1e-10 of the weight; tau² answers with the square root of that
    # where the likelihood is flat.
    assert two.estimate == pytest.approx(one.estimate, rel=1e-5, abs=1e-5)
    assert two.se == pytest.approx(one.se, rel=1e-5)


@few
@given(sets, st.sampled_from(["CE", "HS", "ML"]))
def test_every_study_twice_halves_the_variance_and_nothing_else(pair, method):
    # What counts in k alone keeps its tau²; estimators that count in k - 1 rightly do not.
    yi, vi = map(np.array, pair)
    one = pool(yi=yi, vi=vi, method=method, test="z")
    two = pool(yi=np.tile(yi, 2), vi=np.tile(vi, 2), method=method, test="z")
    assert two.tau2 == pytest.approx(one.tau2, **SLACK)
    assert two.estimate == pytest.approx(one.estimate, **SLACK)
    assert two.se * np.sqrt(2) == pytest.approx(one.se, **SLACK)
    assert two.q == pytest.approx(2 * one.q, **SLACK)


@few
@given(sets, st.integers(0, 2))
def test_a_study_in_two_halves_is_the_same_study(pair, which):
    # Two results with the same value and twice the variance carry what the one carried.
    yi, vi = map(np.array, pair)
    halves = vi.copy()
    halves[which] *= 2
    one = pool(yi=yi, vi=vi, method="CE", test="z")
    two = pool(
        yi=np.append(yi, yi[which]), vi=np.append(halves, halves[which]), method="CE", test="z"
    )
    assert two.estimate == pytest.approx(one.estimate, rel=1e-10, abs=1e-12)
    assert two.se == pytest.approx(one.se, rel=1e-12)
    assert two.q == pytest.approx(one.q, rel=1e-9)


@few
@given(sets, methods, tests)
def test_as_the_studies_agree_tau2_goes_to_zero_and_the_mean_to_the_common_one(pair, method, test):
    yi, vi = map(np.array, pair)
    near = 0.5 + 1e-4 * (yi - 0.5)
    one = pool(yi=near, vi=vi, method=method, test=test)
    common = pool(yi=near, vi=vi, method="CE", test=test)
    # Sidik and Jonkman's estimator is never 0; it has shrunk with the square of the differences.
    assert one.tau2 <= (1e-6 if method == "SJ" else 0)
    assert one.estimate == pytest.approx(common.estimate, rel=1e-6)
    assert one.se == pytest.approx(common.se, rel=1e-4)


@few
@given(sets, st.sampled_from(["q-profile", "profile", "generalised-q"]), st.sampled_from([-7.0, 3]))
def test_intervals_of_tau2_ignore_order_shift_and_sign(pair, kind, shift):
    yi, vi = map(np.array, pair)
    wanted = pool(yi=yi, vi=vi).tau2_interval(kind).tau2
    for other in ((yi[::-1], vi[::-1]), (yi + shift, vi), (-yi, vi)):
        found = pool(yi=other[0], vi=other[1]).tau2_interval(kind).tau2
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-8)


@few
@given(sets, st.sampled_from(["z", "t", "hk", "hts", "hk-pr"]))
def test_prediction_intervals_move_with_the_effects(pair, kind):
    yi, vi = map(np.array, pair)
    low, high = pool(yi=yi, vi=vi).prediction_interval(kind)
    flipped = pool(yi=3 - 2 * yi, vi=4 * vi).prediction_interval(kind)
    assert flipped == pytest.approx((3 - 2 * high, 3 - 2 * low), rel=1e-6, abs=1e-7)


@few
@given(sets, methods)
def test_modified_interval_is_never_narrower_than_either(pair, method):
    yi, vi = map(np.array, pair)
    pooled = pool(yi=yi, vi=vi, method=method)
    width = np.diff(pooled.modified_ci)[0]
    # Equal widths differ by rounding.
    assert width >= np.diff(pooled.z_ci)[0] * (1 - 1e-12)
    assert width >= np.diff(pooled.ci)[0] * (1 - 1e-12)


@few
@given(sets, methods, st.sampled_from([0.5, 0.9, 0.99]))
def test_wider_level_wider_interval_same_estimate(pair, method, level):
    yi, vi = map(np.array, pair)
    one, two = pool(yi=yi, vi=vi, method=method), pool(yi=yi, vi=vi, method=method, level=level)
    assert one.estimate == two.estimate
    wider, narrower = (one, two) if level < 0.95 else (two, one)
    assert wider.ci.low <= narrower.ci.low
    assert wider.ci.high >= narrower.ci.high


@few
@given(sets, methods)
def test_index_and_extra_columns_do_not_matter(pair, method):
    import pandas as pd

    yi, vi = map(np.array, pair)
    names = [f"s{i}" for i in range(len(yi))]
    frame = pd.DataFrame({"vi": vi, "other": names, "yi": yi}, index=names)
    one, two = pool(yi=yi, vi=vi, method=method), pool(frame, method=method)
    assert one.ci == two.ci
    assert two.studies.index.tolist() == names


def test_unit_of_a_moderator():
    yi, vi = np.array([0.1, 0.4, 0.8, 0.2, 0.6]), np.array([0.02, 0.03, 0.05, 0.01, 0.04])
    year = np.array([1991.0, 2003, 2019, 1999, 2011])
    one, two = pool(yi=yi, vi=vi, mods=year), pool(yi=yi, vi=vi, mods=(year - 2000) / 10)
    # A calendar year is nearly collinear with the intercept: condition number about 1e5.
    assert one.tau2 == pytest.approx(two.tau2, rel=1e-9, abs=1e-15)
    assert one.coefficients["estimate"][1] * 10 == pytest.approx(
        two.coefficients["estimate"][1], rel=1e-9
    )
    assert one.qm == pytest.approx(two.qm, rel=1e-9)


def test_measures_flip_and_pool_flips_with_them():
    one = {"m1": [12.0, 9, 14], "sd1": 3.0, "n1": 14, "m2": [9.0, 9.5, 10], "sd2": 2.0, "n2": 11}
    two = {"m2": one["m1"], "sd2": 3.0, "n2": 14, "m1": one["m2"], "sd1": 2.0, "n1": 11}
    for measure in ("MD", "SMD", "ROM"):
        a = pool(**dict(zip(("yi", "vi"), effect_size(measure, **one), strict=True)))
        b = pool(**dict(zip(("yi", "vi"), effect_size(measure, **two), strict=True)))
        assert a.estimate == pytest.approx(-b.estimate, rel=1e-12)

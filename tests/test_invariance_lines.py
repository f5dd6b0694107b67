"""What must not matter to a meta-regression, and what must."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retroevidence.meta.pool import pool
from retroevidence.meta.tau2 import METHODS

# Few, fixed examples: the tests are the same on every run.
few = settings(max_examples=25, derandomize=True, deadline=None, database=None)

methods = st.sampled_from(list(METHODS))
tests = st.sampled_from(["z", "t", "knha", "adhoc"])
# As in test_invariance.py: rounding of the input times the condition number; near tau² = 0 a slack
# on the scale of the variances (0.01 to 2). Coefficients add the condition of the moderator.
SLACK = {"rel": 1e-7, "abs": 1e-9}

lines = (
    st.integers(5, 12)
    .flatmap(
        lambda k: st.tuples(
            st.lists(st.floats(-3, 3), min_size=k, max_size=k),
            st.lists(st.floats(0.01, 2), min_size=k, max_size=k),
            st.lists(st.integers(-5, 5), min_size=k, max_size=k),
        )
    )
    .filter(lambda three: np.ptp(three[0]) > 0.01 and len(set(three[2])) > 2)
)


def line(three, *, y=(0.0, 1.0), x=(0.0, 1.0), rows=slice(None), **options):
    """Fit a line to effects and a moderator, each moved and stretched by two numbers."""
    yi, vi, at = (np.array(values, dtype=float)[rows] for values in three)
    found = pool(yi=y[0] + y[1] * yi, vi=y[1] ** 2 * vi, mods=x[0] + x[1] * at, **options)
    return found, found.coefficients["estimate"].to_numpy(), found.coefficients["se"].to_numpy()


@few
@given(lines, methods, tests, st.randoms(use_true_random=False))
def test_order_of_the_rows_of_a_line(three, method, test, random):
    order = list(range(len(three[0])))
    random.shuffle(order)
    one, b, se = line(three, method=method, test=test)
    two, b2, se2 = line(three, rows=order, method=method, test=test)
    np.testing.assert_allclose(b2, b, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(se2, se, rtol=1e-7)
    assert (two.tau2, two.q) == pytest.approx((one.tau2, one.q), **SLACK)


@few
@given(lines, methods, tests, st.sampled_from([(-7.0, 1.0), (0.0, -1.0), (2.0, 1e-3), (0.5, 1e6)]))
def test_shift_sign_and_unit_of_the_outcome_of_a_line(three, method, test, to):
    shift, unit = to
    one, b, se = line(three, method=method, test=test)
    two, b2, se2 = line(three, y=(shift * abs(unit), unit), method=method, test=test)
    np.testing.assert_allclose((b2 - [shift * abs(unit), 0]) / unit, b, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(se2 / abs(unit), se, rtol=1e-7)
    assert two.tau2 / unit**2 == pytest.approx(one.tau2, **SLACK)
    assert (two.q, two.qm) == pytest.approx((one.q, one.qm), **SLACK)


@few
@given(lines, methods, tests, st.sampled_from([(40.0, 1.0), (0.0, -1.0), (-3.0, 1e-3)]))
def test_shift_sign_and_unit_of_the_moderator(three, method, test, to):
    shift, unit = to
    one, b, se = line(three, method=method, test=test)
    two, b2, se2 = line(three, x=(shift, unit), method=method, test=test)
    slope = b2[1] * unit
    # The line is the same: only where its intercept is read has moved.
    np.testing.assert_allclose([b2[0] + shift * b2[1], slope], b, rtol=1e-7, atol=1e-7)
    assert se2[1] * abs(unit) == pytest.approx(se[1], rel=1e-7)
    assert two.tau2 == pytest.approx(one.tau2, **SLACK)
    assert (two.q, two.qm) == pytest.approx((one.q, one.qm), **SLACK)


@few
@given(lines, st.sampled_from(["CE", "HS", "ML"]))
def test_every_study_of_a_line_twice(three, method):
    one, b, se = line(three, method=method, test="z")
    two, b2, se2 = line([[*values, *values] for values in three], method=method, test="z")
    assert two.q == pytest.approx(2 * one.q, **SLACK)
    assert two.tau2 == pytest.approx(one.tau2, **SLACK)
    np.testing.assert_allclose(b2, b, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(se2 * np.sqrt(2), se, rtol=1e-6)


@few
@given(lines, st.sampled_from(["CE", "ML", "REML"]))
def test_a_study_without_information_leaves_the_line(three, method):
    _, b, se = line(three, method=method, test="z")
    more = [[*values, extra] for values, extra in zip(three, (1.0, 1e12, 2), strict=True)]
    _, b2, se2 = line(more, method=method, test="z")
    # As with a mean: tau² answers with the root of a weight of 1e-10 where the likelihood is flat.
    np.testing.assert_allclose(b2, b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(se2, se, rtol=1e-4)


@few
@given(lines, methods, tests)
def test_studies_near_a_line_have_the_common_line(three, method, test):
    yi, vi, at = (np.array(values, dtype=float) for values in three)
    near = [0.2 + 0.3 * at + 1e-4 * yi, vi, at]
    one, b, se = line(near, method=method, test=test)
    _, common, common_se = line(near, method="CE", test=test)
    # Sidik and Jonkman's estimator is never 0; it has shrunk with the square of the differences.
    assert one.tau2 <= (1e-6 if method == "SJ" else 0)
    np.testing.assert_allclose(b, common, atol=1e-6)
    np.testing.assert_allclose(se, common_se, rtol=1e-4)

"""Combined p-values, the sign test and exact proportions against SciPy."""

import numpy as np
import pytest
from scipy import stats

from retroevidence.errors import PoolError
from retroevidence.meta.combine import fisher, proportion, sign_test, stouffer

P = [0.02, 0.10, 0.30, 0.8, 1e-7]

# Both sides are closed forms of the same special functions.
RTOL = 1e-10


def test_fisher_and_stouffer_against_scipy():
    theirs = stats.combine_pvalues(P, "fisher")
    assert fisher(P).statistic == pytest.approx(theirs.statistic, rel=RTOL)
    assert fisher(P).p_value == pytest.approx(theirs.pvalue, rel=RTOL)
    theirs = stats.combine_pvalues(P, "stouffer")
    assert stouffer(P).statistic == pytest.approx(theirs.statistic, rel=RTOL)
    weights = [4, 3, 2, 6, 1]
    theirs = stats.combine_pvalues(P, "stouffer", weights=weights)
    assert stouffer(P, weights).p_value == pytest.approx(theirs.pvalue, rel=RTOL)
    assert stouffer(P).k == 5


def test_stouffer_is_symmetric_and_stays_finite_at_rounded_ends():
    p = np.array([0.02, 0.3, 0.6])
    assert stouffer(p).p_value == pytest.approx(1 - stouffer(1 - p).p_value, rel=1e-12)
    assert np.isfinite(stouffer([0.0, 1.0]).statistic)
    assert np.isfinite(fisher([0.0, 1.0]).statistic)


@pytest.mark.parametrize(("x", "n"), [(0, 5), (3, 4), (9, 10), (5, 10), (10, 10), (1, 1)])
def test_sign_test_against_scipy(x, n):
    found = sign_test(x, n)
    assert found.p_value == pytest.approx(stats.binomtest(x, n).pvalue, rel=RTOL)
    theirs = stats.binomtest(x, n).proportion_ci(method="exact")
    assert tuple(found.ci) == pytest.approx((theirs.low, theirs.high), rel=RTOL)
    assert (found.estimate, found.k) == (x / n, n)


@pytest.mark.parametrize(("x", "n"), [(0, 37), (2, 37), (36, 37), (37, 37)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_proportion_against_scipy(x, n, level):
    found = proportion(x, n, level)
    theirs = stats.binomtest(x, n).proportion_ci(level, method="exact")
    assert tuple(found.ci) == pytest.approx((theirs.low, theirs.high), rel=RTOL)
    one_sided = stats.binomtest(x, n, alternative="less").proportion_ci(level, method="exact")
    assert found.upper_bound == pytest.approx(one_sided.high, rel=RTOL)


def test_zero_events_have_the_closed_form():
    found = proportion(0, 50)
    assert found.ci.high == pytest.approx(1 - 0.025 ** (1 / 50), rel=1e-12)
    assert found.upper_bound == pytest.approx(1 - 0.05 ** (1 / 50), rel=1e-12)
    assert found.ci.low == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fisher([]), "no p-value to combine"),
        (lambda: stouffer([0.1, 1.2]), "p-value 1.2 at position 1"),
        (lambda: stouffer([0.1, np.nan]), "p-value nan at position 1"),
        (lambda: stouffer([0.1, 0.2], [1, 0]), "weights must be 2 finite numbers above 0"),
        (lambda: stouffer([0.1, 0.2], [1]), "weights must be 2 finite numbers above 0"),
        (lambda: sign_test(4, 3), "4 of 3 is not a proportion"),
        (lambda: sign_test(0, 0), "0 of 0 is not a proportion"),
        (lambda: proportion(1.5, 3), "1.5 of 3 is not a proportion"),
        (lambda: proportion(1, 3, 95), "write 0.95 for 95%"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(PoolError, match=message):
        call()


def test_they_show_themselves():
    assert "p = 0.013" in repr(stouffer(P[:3]))
    assert "chi²(6)" in fisher(P[:3])._repr_html_()
    assert "9 of 10 studies" in sign_test(9, 10)._repr_html_()
    assert "0 of 50" in proportion(0, 50)._repr_html_()

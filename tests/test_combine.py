"""Combined p-values against SciPy, integrals and simulation; exact tests against SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retroevidence.errors import PoolError
from retroevidence.meta.combine import brown, fisher, kost, proportion, sign_test, stouffer

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


def exact_covariance(r):
    """Cov(-2 ln P, -2 ln P') of two one-sided tests whose normal statistics correlate by r."""
    x, w = np.polynomial.hermite_e.hermegauss(120)
    w = w / w.sum()
    first, second = x[:, None], r * x[:, None] + np.sqrt(1 - r**2) * x[None, :]
    both = 4 * stats.norm.logsf(first) * stats.norm.logsf(second)
    return float(w @ both @ w) - 4


@pytest.mark.parametrize("r", [-0.9, -0.5, -0.2, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_covariances_are_those_of_normal_statistics(r):
    """The variance that both methods give to the sum, beside its numerical integral."""
    for method, close in ((kost, 0.006), (brown, 0.03)):
        if method is brown and r < -0.5:
            continue  # beyond what Brown fitted
        # df = 8 k² / (4 k + 2 cov) for k = 2.
        covariance = (32 / method([0.1, 0.2], correlation=r).df - 8) / 2
        # Kost and McDermott fitted a cubic and Brown two parabolas, printed with few digits.
        assert covariance == pytest.approx(exact_covariance(r), abs=close)


def test_at_the_ends_the_covariances_have_closed_forms():
    """The same test twice: cov = 4, so one chi-squared with two degrees of freedom."""
    for method in (brown, kost):
        twice = method([0.03, 0.03], correlation=1.0)
        assert twice.df == pytest.approx(2, rel=1e-12)
        assert twice.p_value == pytest.approx(0.03, rel=1e-9)
    # A test and its mirror image: cov = 4 (1 - π²/6).
    mirrored = (32 / kost([0.1, 0.9], correlation=-1.0).df - 8) / 2
    assert mirrored == pytest.approx(4 * (1 - np.pi**2 / 6), abs=0.001)


def test_independent_tests_give_fisher():
    for method in (brown, kost):
        found = method(P, correlation=np.eye(5))
        assert found.p_value == pytest.approx(fisher(P).p_value, rel=RTOL)
        assert found.df == fisher(P).df == 10


@pytest.mark.parametrize("r", [0.3, 0.7])
def test_dependent_tests_keep_their_level_where_fisher_does_not(r):
    """Simulated sums of six dependent chi-squared statistics, 100 000 draws."""
    random = np.random.default_rng(8)
    k, draws = 6, 100_000
    shared = random.normal(size=(draws, 1))
    z = np.sqrt(r) * shared + np.sqrt(1 - r) * random.normal(size=(draws, k))
    total = -2 * stats.norm.logsf(z).sum(axis=1)
    for method in (brown, kost):
        one = method(np.full(k, 0.5), correlation=r)
        scale = -2 * k * np.log(0.5) / one.statistic
        p = stats.chi2.sf(total / scale, one.df)
        # Five standard errors are 0.0035; the sum is only nearly a scaled chi-squared.
        assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.008)
    assert np.mean(stats.chi2.sf(total, 2 * k) < 0.05) > 0.08


def test_a_matrix_is_read_pair_by_pair():
    r = np.array([[1, 0.5, 0.0], [0.5, 1, -0.2], [0.0, -0.2, 1]])
    found = brown([0.1, 0.2, 0.3], correlation=r)
    pairs = 0.5 * (3.25 + 0.75 * 0.5) + -0.2 * (3.27 + 0.71 * -0.2)
    assert found.df == pytest.approx(8 * 9 / (12 + 2 * pairs), rel=1e-12)
    turned = brown([0.3, 0.2, 0.1], correlation=r[::-1, ::-1])
    assert turned.p_value == pytest.approx(found.p_value, rel=1e-12)
    one = kost([0.04], correlation=0.5)
    assert one.p_value == pytest.approx(0.04, rel=1e-12)


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
        (lambda: brown([0.1, 0.2], correlation=np.eye(3)), "give a 2 x 2 matrix"),
        (lambda: kost([0.1, 0.2], correlation=2.0), "is no correlation matrix"),
        (lambda: kost([0.1, 0.2, 0.3], correlation=-0.9), "no negative eigenvalue"),
        (lambda: brown([0.1, 0.2], correlation=[[1, 0.5], [0.4, 1]]), "symmetric"),
        (lambda: brown([0.1, 0.2], correlation=[[4, 1], [1, 4]]), "ones on the diagonal"),
        (lambda: brown([0.1, 0.2], correlation=[[1, np.nan], [np.nan, 1]]), "no correlation"),
        (lambda: fisher(["small"]), "p must be numbers"),
        (lambda: fisher({"p": 0.1}), "p must be numbers"),
        (lambda: stouffer([0.1, 0.2], ["a", "b"]), "weights must be numbers"),
        (lambda: brown([0.1, 0.2], correlation="half"), "correlation must be numbers"),
        (lambda: kost([0.1, 0.2], correlation=[[1], [0.5, 1]]), "correlation must be numbers"),
        (lambda: sign_test("six", 7), "six of 7 is not a proportion"),
        (lambda: sign_test(None, 7), "None of 7 is not a proportion"),
        (lambda: proportion(pd.NA, 7), "<NA> of 7 is not a proportion"),
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
    assert "Brown" in repr(brown(P[:3], correlation=0.5))
    assert "9 of 10 studies" in sign_test(9, 10)._repr_html_()
    assert "0 of 50" in proportion(0, 50)._repr_html_()

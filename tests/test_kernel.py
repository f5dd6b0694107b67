"""The compiled kernel gives what `pool` gives, the hard cases included, whatever the threads."""

from __future__ import annotations

import builtins
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta import kernel
from retroevidence.meta.batch import pool_batch
from retroevidence.meta.interval import TESTS
from retroevidence.meta.kernel import NUMBERS, fit_groups, fit_sets
from retroevidence.meta.kernel_peak import peak
from retroevidence.meta.kernel_sums import sums
from retroevidence.meta.kernel_tails import two_sided_normal, two_sided_t, upper_chi_squared
from retroevidence.meta.likelihood import log_likelihood, maximum_likelihood
from retroevidence.meta.pool import pool
from retroevidence.meta.tau2 import METHODS, typical_variance

# The sets of test_invariance: few, fixed examples.
few = settings(max_examples=40, derandomize=True, deadline=None, database=None)
sets = st.integers(1, 14).flatmap(
    lambda k: st.tuples(
        st.lists(st.floats(-3, 3), min_size=k, max_size=k),
        st.lists(st.floats(0.01, 2), min_size=k, max_size=k),
    )
)
units = st.sampled_from([1e-9, 1e-3, 1.0, 1e6, 1e9])


def agree(yi, vi, method, test):
    """Compare every number of one group with `pool`, to 1e-10 of what it is measured in."""
    yi, vi = np.asarray(yi, float), np.asarray(vi, float)
    found = dict(
        zip(NUMBERS, fit_groups(yi, vi, [0, len(yi)], method=method, test=test)[0], strict=True)
    )
    alone = pool(yi=yi, vi=vi, method=method, test=test)
    for ours, theirs in (
        ("estimate", alone.estimate),
        ("se", alone.se),
        ("ci_low", alone.ci.low),
        ("ci_high", alone.ci.high),
        ("pi_low", alone.prediction.low),
        ("pi_high", alone.prediction.high),
    ):
        close = pytest.approx(theirs, rel=1e-10, abs=1e-10 * alone.se, nan_ok=True)
        assert found[ours] == close, ours
    assert found["df"] == alone.df
    # A p-value answers to the statistic with the square of it: 1e-10 of the statistic here.
    slack = 1e-10 * max(1.0, alone.statistic**2 if np.isinf(alone.df) else alone.df)
    assert found["p_value"] == pytest.approx(alone.p_value, rel=slack, abs=1e-300)
    for name in ("h2", "q"):
        assert found[name] == pytest.approx(getattr(alone, name), rel=1e-10, abs=1e-13, nan_ok=True)
    assert found["q_p_value"] == pytest.approx(
        alone.q_p_value, rel=1e-10 * max(1.0, np.nan_to_num(alone.q)), abs=1e-300, nan_ok=True
    )
    if alone.k > 1:
        # tau² is known on the scale of what it is added to.
        typical = typical_variance(vi, np.ones((len(vi), 1)))
        assert found["tau2"] == pytest.approx(alone.tau2, rel=1e-10, abs=1e-10 * typical)
        assert found["i2"] == pytest.approx(alone.i2, rel=1e-10, abs=1e-8)
    else:
        assert np.isnan(found["tau2"])
        assert np.isnan(found["i2"])


@few
@given(sets, st.sampled_from(list(METHODS)), st.sampled_from(list(TESTS)), units)
def test_any_group_is_pooled_as_by_pool(pair, method, test, unit):
    yi, vi = map(np.array, pair)
    agree(yi * unit, vi * unit**2, method, test)


RNG = np.random.default_rng(3)
HARD = {
    "one study": ([0.4], [0.1]),
    "two studies": ([0.4, -0.1], [0.1, 0.02]),
    "no difference": ([0.3] * 6, [0.1, 0.2, 0.3, 0.1, 0.01, 1.0]),
    "homogeneous": ([0.30, 0.31, 0.29, 0.30], [0.1, 0.1, 0.2, 0.3]),
    "99 % of the weight": ([0.1, 0.5, -0.4, 0.9], [1e-4, 0.1, 0.2, 0.3]),
    "all of the weight": ([0.1, 0.5, -0.4, 0.9, 2.0], [1e-12, 0.1, 0.2, 0.3, 1.0]),
    "two rule": ([0.1, 0.1000005, -0.4, 0.9, 2.0], [1e-12, 1e-12, 0.2, 0.3, 1.0]),
    "a study without information": ([0.1, 0.5, -0.4, 3.0], [0.1, 0.1, 0.2, 1e12]),
    "every scale": (RNG.normal(0, 1, 12) * 10.0 ** np.arange(-6, 6), 10.0 ** np.arange(-12, 12, 2)),
    "far from zero": (1e6 + RNG.normal(0, 1, 9), RNG.uniform(0.1, 1, 9)),
    "huge spread": (RNG.normal(0, 1e5, 8), RNG.uniform(0.01, 0.02, 8)),
    "powers out of range": ([1e39, 0.1, 0.5, -0.4, 0.9], [0.4, 0.01, 0.2, 0.3, 0.1]),
    "thousands": (RNG.normal(0, 1, 3000), RNG.uniform(0.01, 2, 3000)),
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("method", METHODS)
def test_hard_groups_are_pooled_as_by_pool(case, method):
    for test in TESTS:
        agree(*HARD[case], method, test)


def several_peaks():
    """Return groups whose likelihood has more than one peak, found by drawing from a seed."""
    random = np.random.default_rng(12)
    found = []
    while len(found) < 8:
        v = 10.0 ** random.uniform(-4, 4, 5)
        y = random.normal(0, np.sqrt(v + 0.1))
        grid = np.append(0, 10.0 ** np.linspace(-6, 8, 300))
        values = [log_likelihood(y, v, np.ones((5, 1)), t, False) for t in grid]
        ups = np.diff(values) > 0
        if np.sum(ups[:-1] & ~ups[1:]) + (not ups[0]) > 1:
            found.append((y, v))
    return found


def test_of_several_peaks_the_highest_is_found():
    for y, v in several_peaks():
        for restricted, method in ((False, "ML"), (True, "REML")):
            agree(y, v, method, "z")
            best = fit_groups(y, v, [0, 5], method=method)[0, NUMBERS.index("tau2")]
            grid = np.append(0, 10.0 ** np.linspace(-8, 8, 2000))
            x = np.ones((5, 1))
            highest = max(log_likelihood(y, v, x, t, restricted) for t in grid)
            assert log_likelihood(y, v, x, best, restricted) >= highest - 1e-9


@pytest.mark.parametrize("restricted", [True, False])
def test_a_proof_of_one_peak_is_never_wrong(restricted):
    random = np.random.default_rng(5)
    proofs = 0
    for _ in range(300):
        k = int(random.integers(2, 12))
        v = 10.0 ** random.uniform(-3, 3, k)
        y = random.normal(0, np.sqrt(v + random.choice([0, 1])))
        order = np.argsort(v)
        y, v = (y[order] - y[order[0]]) / np.sqrt(v[order[0]]), v[order] / v[order[0]]
        zero = sums(y, v, 0.0, restricted)
        found, proved = peak(y, v, restricted, zero)
        proofs += proved
        wanted = maximum_likelihood(y, v, np.ones((k, 1)), restricted=restricted)
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    # The search on a grid is the exception.
    assert proofs > 240


def test_threads_and_neighbours_change_no_bit():
    random = np.random.default_rng(1)
    sizes = random.integers(0, 30, 30_000)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    v = random.uniform(0.01, 1, offsets[-1])
    y = random.normal(0, np.sqrt(v))
    one, two = (fit_groups(y, v, offsets, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    some = [0, 5, 17, 29_999]
    for group in some:
        part = slice(offsets[group], offsets[group + 1])
        np.testing.assert_array_equal(
            fit_groups(y[part], v[part], [0, sizes[group]])[0], one[group]
        )
    assert np.isnan(one[sizes == 0]).all()


@pytest.mark.parametrize("method", ["REML", "DL", "HE"])
def test_sets_are_groups_of_the_same_effects(method):
    y, v = np.array([0.1, 0.5, -0.4, 0.9]), np.array([0.1, 0.2, 0.3, 0.05])
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [0, 1, 0, 1], [0, 0, 1, 0], [0] * 4], np.int8)
    found = fit_sets(y, v, signs, method=method)
    for row, sign in zip(found[:4], signs[:4], strict=True):
        inside = sign != 0
        wanted = pool_batch((sign * y)[inside], v[inside], method=method).iloc[0]
        for name in ("estimate", "se", "p_value", "ci_low", "tau2", "i2", "q"):
            assert row[NUMBERS.index(name)] == pytest.approx(wanted[name], rel=1e-10, nan_ok=True)
    assert np.isnan(found[4]).all()


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 19, 40, 101, 999, 5000])
def test_tails_are_those_of_scipy(df):
    for t in (0.0, 0.1, 1.0, 2.5, 5.0, 30.0, 1e4):
        assert two_sided_t(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-11, abs=1e-300)
    for q in (0.0, 0.1, df * 0.5, df * 1.0, df + 10 * np.sqrt(2 * df), df * 3.0, 1250.0):
        # The same at large numbers: both work with logarithms of size 1e3.
        wanted = stats.chi2.sf(q, df)
        assert upper_chi_squared(float(q), df) == pytest.approx(wanted, rel=1e-11, abs=1e-300)
    assert two_sided_normal(-3.0) == pytest.approx(2 * stats.norm.sf(3), rel=1e-14)
    assert np.isnan(two_sided_t(np.nan, df))
    assert np.isnan(upper_chi_squared(np.nan, df))
    assert two_sided_t(np.inf, df) == upper_chi_squared(np.inf, df) == 0


@pytest.mark.parametrize("method", METHODS)
def test_numbers_out_of_range_have_no_answer(method):
    """They would overflow on the way, and come out as a wrong number."""
    for y, v in ((1e41, 0.1), (0.1, 1e-61), (0.1, 1e61), (np.nan, 0.1), (0.1, np.inf)):
        for k in (1, 2, 5):
            yi, vi = np.append(y, np.full(k - 1, 0.3)), np.append(v, np.full(k - 1, 0.2))
            assert np.isnan(fit_groups(yi, vi, [0, k], method=method)).all()
            assert np.isnan(fit_sets(yi, vi, np.ones((1, k), np.int8), method=method)).all()


def test_wrong_questions():
    with pytest.raises(UnknownNameError, match="REMLL"):
        fit_groups([0.1], [0.1], [0, 1], method="REMLL")
    with pytest.raises(UnknownNameError, match="kh"):
        fit_sets([0.1], [0.1], np.ones((1, 1), np.int8), test="kh")
    with pytest.raises(PoolError, match="level=95"):
        fit_groups([0.1], [0.1], [0, 1], level=95)


def test_without_numba_a_sentence_says_what_to_do(monkeypatch):
    plain = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("retroevidence.meta") and "kernel_groups" in (rest[2] or ()):
            raise ImportError("no numba here")
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(PoolError, match="pip install numba"):
        kernel.fit_groups(np.array([0.1]), np.array([0.1]), np.array([0, 1]))


def test_importing_the_library_does_not_load_numba():
    code = "import sys, retroevidence as rv; rv.pool_many; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_change_in_one_file_of_the_kernel_recompiles_all_of_it():
    """numba looks at the file of a function only, and keeps the code of what it calls."""
    from retroevidence.meta import kernel_compile, kernel_groups, kernel_rows, kernel_tails

    for function in (kernel_groups.fit_one, kernel_rows.survey, kernel_tails.two_sided_t):
        stamp = function._cache._cache_file._source_stamp
        assert stamp[-1] == kernel_compile.sources()
    assert {name for name, _, _ in kernel_compile.sources()} >= {"kernel_sums.py", "kernel_peak.py"}

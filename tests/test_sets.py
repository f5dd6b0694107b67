"""Few sets go through arrays, many through the kernel, and nobody can tell from the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from retroevidence.errors import PoolError
from retroevidence.meta import sets
from retroevidence.meta.batch import pool_batch
from retroevidence.meta.interval import TESTS
from retroevidence.meta.pool import pool
from retroevidence.meta.sensitivity import influence
from retroevidence.meta.sets import WORTH, pool_sets, pool_signed
from retroevidence.meta.tau2 import METHODS

RANDOM = np.random.default_rng(5)
V = RANDOM.chisquare(3, 9) / 20
Y = RANDOM.normal(0.3, np.sqrt(V + 0.1))
SIGNS = RANDOM.integers(-1, 2, (WORTH, 9)).astype(np.int8)
SIGNS[:, 0] = 1


def agree(found, wanted):
    assert list(found.columns) == list(wanted.columns)
    width = (wanted["ci_high"] - wanted["ci_low"]).to_numpy(float)
    # What can be 0 is measured by what it is a part of.
    scale = {"estimate": width, "ci_low": width, "ci_high": width, "tau2": width**2, "i2": 100.0}
    for name in found.columns:
        ours, theirs = found[name].to_numpy(float), wanted[name].to_numpy(float)
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        size = np.abs(theirs) + scale.get(name, 0.0)
        gap = np.abs(np.subtract(ours, theirs, where=~same, out=np.zeros(len(ours))))
        # Both solve to machine precision; ten digits are left where an equation is flat.
        assert np.all(same | (gap < 1e-10 * size)), name


@pytest.mark.parametrize("method", METHODS)
def test_both_ways_give_the_same_sets(method):
    variances = np.where(SIGNS == 0, np.inf, V)
    few = pool_batch(SIGNS * Y, variances, method=method)
    agree(pool_sets(SIGNS * Y, variances, method=method), few)
    agree(pool_signed(Y, V, SIGNS, method=method), few)


@pytest.mark.parametrize("test", TESTS)
def test_the_test_and_the_level_arrive(test):
    few = pool_signed(Y, V, SIGNS[: WORTH - 1], test=test, level=0.9)
    agree(pool_signed(Y, V, SIGNS, test=test, level=0.9).iloc[:-1], few)


def test_the_kernel_is_asked_from_so_many_sets_on(monkeypatch):
    asked = []

    def watched(*arguments, **choice):
        asked.append(len(arguments[2]))
        return np.zeros((len(arguments[2]), 13))

    monkeypatch.setattr(sets, "fit_sets", watched)
    pool_signed(Y, V, SIGNS[: WORTH - 1])
    assert asked == []
    pool_signed(Y, V, SIGNS)
    assert asked == [WORTH]


def test_an_empty_set_is_refused_either_way():
    empty = np.full((WORTH, 9), np.inf)
    for rows in (empty, empty[:2]):
        with pytest.raises(PoolError, match="holds no study"):
            pool_sets(Y, rows)


@pytest.mark.parametrize("size", [2, WORTH])
def test_sizes_that_pool_refuses_are_refused_either_way(size):
    for y, v in ((1e41, 0.1), (0.1, 1e-61), (0.1, 1e61), (np.nan, 0.1)):
        effects, variances = np.append(Y, y), np.append(V, v)
        rows = np.broadcast_to(variances, (size, 10))
        with pytest.raises(PoolError, match="state the effects in another unit"):
            pool_sets(effects, rows)
        with pytest.raises(PoolError, match="state the effects in another unit"):
            pool_signed(effects, variances, np.ones((size, 10), np.int8))


@pytest.mark.parametrize("method", METHODS)
def test_influence_of_a_mean_is_that_of_fits_one_by_one(method):
    plain = influence(pool(yi=Y, vi=V, method=method))
    from_fits = [pool(yi=np.delete(Y, i), vi=np.delete(V, i), method=method) for i in range(9)]
    assert plain["tau2_deleted"].tolist() == pytest.approx([f.tau2 for f in from_fits], rel=1e-10)
    assert plain["q_deleted"].tolist() == pytest.approx([f.q for f in from_fits], rel=1e-12)
    whole = pool(yi=Y, vi=V, method=method)
    moved = [(whole.estimate - f.estimate) ** 2 for f in from_fits]
    usual = (whole.z_ci.high - whole.z_ci.low) / 2 / 1.959963984540054
    assert plain["cook_d"].tolist() == pytest.approx([m / usual**2 for m in moved], rel=1e-9)

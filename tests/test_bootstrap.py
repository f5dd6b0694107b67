"""The bootstrap repeats itself, and in its limits gives what theory gives."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.bootstrap import bootstrap
from retroevidence.meta.pool import pool

Y, V = [0.1, 0.3, 0.8, 0.2, 0.6, -0.1], [0.02, 0.03, 0.05, 0.01, 0.04, 0.02]


@pytest.mark.parametrize("kind", ["parametric", "case"])
def test_more_draws_add_to_the_same_first_ones(kind):
    pooled = pool(yi=Y, vi=V)
    short = bootstrap(pooled, kind=kind, seed=3, repetitions=1500)
    long = bootstrap(pooled, kind=kind, seed=3, repetitions=3000)
    pd.testing.assert_frame_equal(short.draws, long.draws[:1500])
    other = bootstrap(pooled, kind=kind, seed=4, repetitions=1500)
    assert not short.draws["estimate"].equals(other.draws["estimate"])


@pytest.mark.parametrize("kind", ["parametric", "case"])
def test_many_draws_by_the_kernel_are_those_of_the_batch(kind):
    pooled = pool(yi=Y, vi=V)
    kernel = bootstrap(pooled, kind=kind, seed=3, repetitions=5000).draws
    batch = bootstrap(pooled, kind=kind, seed=3, repetitions=2000).draws
    # Both refine tau² to the last digits; the order of sums differs.
    pd.testing.assert_frame_equal(kernel[:2000], batch, rtol=1e-9, atol=1e-11)


def test_with_tau2_known_to_be_0_draws_are_normal():
    pooled = pool(yi=Y, vi=V, method="CE", test="z")
    found = bootstrap(pooled, kind="parametric", seed=1)
    z = (found.draws["estimate"] - pooled.estimate) / pooled.se
    assert stats.kstest(z, "norm").pvalue > 0.001
    # Quantiles of 10 000 normal draws lie within 0.1 standard errors of the true ones.
    assert found.ci == pytest.approx(pooled.ci, abs=0.1 * pooled.se)
    assert found.ci_studentised == pytest.approx(pooled.ci, abs=0.1 * pooled.se)
    assert found.se == pytest.approx(pooled.se, rel=0.03)
    assert abs(found.bias) < 4 * pooled.se / 100


def test_cases_of_equal_weight_are_the_bootstrap_of_a_mean():
    pooled = pool(yi=Y, vi=[0.02] * 6, method="CE", test="z")
    found = bootstrap(pooled, kind="case", seed=1)
    # The variance of a mean of draws is the plain variance of the values over their number.
    assert found.se == pytest.approx(np.std(Y) / np.sqrt(6), rel=0.03)


def test_it_shows_itself_and_exports():
    found = bootstrap(pool(yi=Y, vi=V), kind="case", seed=1, repetitions=500)
    assert "studies drawn with replacement" in repr(found)
    assert "k = 6 studies" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["repetitions"] == 500
    assert found.summary["ci_low"].tolist() == [found.ci.low]
    assert found.tau2_ci.low >= 0


def test_wrong_questions():
    pooled = pool(yi=Y, vi=V)
    with pytest.raises(UnknownNameError, match="wild"):
        bootstrap(pooled, kind="wild", seed=1)
    with pytest.raises(PoolError, match="repetitions=1 must be a whole number from 2"):
        bootstrap(pooled, kind="case", seed=1, repetitions=1)
    with pytest.raises(PoolError, match="one study"):
        bootstrap(pool(yi=[1], vi=[1]), kind="case", seed=1)
    with pytest.raises(PoolError, match="moderators"):
        bootstrap(pool(yi=Y, vi=V, mods=np.arange(6)[:, None]), kind="case", seed=1)
    for options, words in (
        ({"seed": None}, "seed=None must be a whole number from 0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1, "repetitions": 20.5}, "repetitions=20.5 must be a whole number"),
        ({"seed": 1, "repetitions": "20"}, "repetitions='20'"),
    ):
        with pytest.raises(PoolError, match=words):
            bootstrap(pooled, kind="case", **options)
    assert (
        bootstrap(pooled, kind="case", seed=np.int64(1), repetitions=np.int32(20)).repetitions == 20
    )

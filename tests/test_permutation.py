"""Permutation tests against metafor, by hand, and in their limits."""

import json
import math
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError
from retroevidence.meta.permutation import permutation_test
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "counts.json").read_text(encoding="utf-8"))["permutation"]
ACCEPTED = json.loads((GOLDEN / "counts_acceptance.json").read_text(encoding="utf-8"))
INPUTS = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))["bcg_inputs"]


@pytest.fixture(scope="module")
def bcg():
    given = pd.DataFrame(INPUTS)
    counts = {"a": given["tpos"], "n1": given["tpos"] + given["tneg"]}
    counts |= {"c": given["cpos"], "n2": given["cpos"] + given["cneg"]}
    yi, vi = effect_size("RR", **counts)
    return given.assign(yi=yi, vi=vi)


@pytest.mark.parametrize("test", ["z", "knha"])
def test_acceptance_of_the_first_eight_trials(bcg, test):
    """Counts over counts: exact in every digit."""
    found = permutation_test(pool(bcg[:8], test=test))
    assert found.p_value == ACCEPTED["bcg_perm8"] == CASES["first8"][test]["pval"]
    assert (found.exact, found.iterations) == (True, 256)
    assert math.isnan(found.ci.low)


@pytest.mark.parametrize("test", ["z", "knha"])
def test_shuffled_latitudes_match_metafor(bcg, test):
    pooled = pool(bcg[:6], test=test, mods="~ ablat")
    found = permutation_test(pooled)
    assert found.iterations == math.factorial(6) // 2  # two trials share a latitude
    assert found.p_value == pytest.approx(CASES["ablat6"][test]["QMp"], abs=1e-12)
    assert found.coefficients["p_value"][0] == pytest.approx(
        CASES["ablat6"][test]["pval"][1], abs=1e-12
    )
    assert found.statistic == pytest.approx(pooled.qm, rel=1e-9)
    assert found.coefficients["term"].tolist() == ["ablat"]


def test_equal_rows_make_fewer_orders(bcg):
    randomised = (bcg["alloc"] == "random").to_numpy(float)
    found = permutation_test(pool(bcg, test="z", mods=randomised[:, None]))
    assert found.iterations == math.comb(13, 7)
    assert found.p_value == pytest.approx(CASES["random13"]["QMp"], abs=1e-12)


def test_flips_are_those_of_every_sign_by_hand():
    y, v = np.array([0.3, -0.1, 0.6, 0.4]), np.array([0.02, 0.05, 0.04, 0.01])
    found = permutation_test(pool(yi=y, vi=v, method="DL", test="z"))
    by_hand = [
        pool(yi=y * np.array(s), vi=v, method="DL", test="z").statistic
        for s in product([1, -1], repeat=4)
    ]
    assert sorted(found.distribution) == pytest.approx(sorted(by_hand), abs=1e-9)
    share = np.mean(np.abs(by_hand) >= abs(by_hand[0]) - 1e-9)
    assert found.p_value == share


def test_orders_are_those_of_every_permutation_by_hand():
    y, v = np.array([0.3, -0.1, 0.6, 0.4]), np.array([0.02, 0.05, 0.04, 0.01])
    x = np.array([1.0, 2.0, 2.0, 5.0])
    found = permutation_test(pool(yi=y, vi=v, mods=x[:, None], test="t"))
    by_hand = {
        order: pool(yi=y, vi=v, mods=np.array(order)[:, None], test="t").qm
        for order in permutations(x)
    }
    assert len(by_hand) == found.iterations == 12
    assert sorted(found.distribution) == pytest.approx(sorted(by_hand.values()), rel=1e-8)


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_the_scale_does_not_matter(bcg, scale):
    one = permutation_test(pool(bcg[:8]))
    other = permutation_test(pool(yi=bcg["yi"][:8] * scale, vi=bcg["vi"][:8] * scale**2))
    assert other.p_value == one.p_value
    assert other.statistic == pytest.approx(one.statistic, rel=1e-8)


def test_drawn_arrangements_repeat_and_cover_the_exact_answer(bcg):
    pooled = pool(bcg, test="z")
    exact = permutation_test(pooled)
    assert exact.iterations == 2**13
    drawn, again = (permutation_test(pooled, iterations=999, seed=4) for _ in range(2))
    assert drawn.p_value == again.p_value
    np.testing.assert_array_equal(drawn.distribution, again.distribution)
    assert not drawn.exact
    assert drawn.iterations == 1000
    assert drawn.ci.low <= exact.p_value <= drawn.ci.high
    assert drawn.p_value >= 1 / 1000
    shuffled = permutation_test(pool(bcg, mods="~ ablat"), iterations=200, seed=4)
    assert shuffled.iterations == 201
    assert shuffled.p_value < 0.05


def test_a_seed_is_required_where_something_is_drawn(bcg):
    with pytest.raises(PoolError, match="give seed="):
        permutation_test(pool(bcg), iterations=100)
    with pytest.raises(PoolError, match="orders of the moderators are too many"):
        permutation_test(pool(bcg, mods="~ ablat"))
    with pytest.raises(PoolError, match="sign flips are too many"):
        permutation_test(pool(yi=np.linspace(0, 1, 25), vi=[0.1] * 25))
    with pytest.raises(PoolError, match="iterations=0 must be a whole number from 1"):
        permutation_test(pool(bcg), iterations=0, seed=1)
    with pytest.raises(PoolError, match="nothing to permute"):
        permutation_test(pool(yi=[0.1], vi=[0.1]))


def test_few_or_identical_studies():
    two = permutation_test(pool(yi=[0.4, 0.5], vi=[0.01, 0.02]))
    assert two.p_value == 0.5  # both signs alike: two of four
    same = permutation_test(pool(yi=[0.3] * 5, vi=[0.01] * 5))
    assert same.p_value == 2 / 32
    nothing = permutation_test(pool(yi=[0.0] * 4, vi=[0.01] * 4))
    assert nothing.p_value == 1


def test_p_values_are_uniform_where_there_is_nothing():
    """Symmetric effects without a mean: the share below 0.05 is at most 0.05 for any k."""
    random = np.random.default_rng(2)
    p = []
    for _ in range(200):
        v = random.lognormal(-3, 1, 7)
        y = random.standard_t(3, 7) * np.sqrt(v + 0.1)
        p.append(permutation_test(pool(yi=y, vi=v, method="DL", test="z")).p_value)
    # p is a multiple of 2/128, so it is 6/128 at most three times in 64 under 0.05.
    assert stats.binomtest(int(np.sum(np.array(p) < 0.05)), 200, 3 / 64).pvalue > 0.001
    assert min(p) >= 2 / 128


def test_it_shows_itself_and_exports(bcg):
    found = permutation_test(pool(bcg[:8]))
    assert "all 256" in repr(found)
    assert "the mean, k = 8 studies" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["ci_low"] is None
    assert found.summary["p_value"].tolist() == [0.015625]
    several = permutation_test(pool(bcg, mods="~ ablat + year"), iterations=50, seed=1)
    assert "95% CI" in repr(several)
    assert several.coefficients["term"].tolist() == ["ablat", "year"]
    assert "year" in several._repr_html_()

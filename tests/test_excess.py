"""The test of excess significance against metafor and by enumeration."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.effects.measures import effect_size
from retroevidence.errors import RetroEvidenceError
from retroevidence.meta.bias import excess_significance
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
BIAS = json.loads((GOLDEN / "bias.json").read_text(encoding="utf-8"))["excess"]
DORN = pd.read_csv(GOLDEN / "bias_dorn2007.csv")
# Closed forms.
RTOL = 1e-10


def dorn(**options):
    yi, vi = effect_size("RR", a=DORN["x.a"], n1=DORN["n.a"], c=DORN["x.p"], n2=DORN["n.p"])
    return pool(yi=yi, vi=vi, **options)


@pytest.mark.parametrize("name", ["dorn2007", "hackshaw1998"])
def test_equals_metafor(name):
    pooled = (
        dorn(method="CE")
        if name == "dorn2007"
        else pool(pd.read_csv(GOLDEN / "bias_hackshaw1998.csv"), method="CE")
    )
    found, wanted = excess_significance(pooled), BIAS[name]
    assert found.observed == wanted["O"]
    assert found.expected == pytest.approx(wanted["E"], rel=RTOL)
    assert found.theta == pytest.approx(wanted["theta"], rel=RTOL)
    assert found.p_chi2 == pytest.approx(wanted["p_chi2"], rel=RTOL)
    assert found.p_binomial == pytest.approx(wanted["p_binom"], rel=RTOL)
    np.testing.assert_allclose(found.power["power"], wanted["power"], rtol=RTOL)
    if name == "dorn2007":
        # metafor lists subsets, which it does for 19 studies but hardly for 37.
        assert found.p_value == pytest.approx(wanted["p_exact"], rel=RTOL)


def test_exact_p_value_by_enumeration():
    y, v = [0.5, 0.9, 0.2, 1.1, 0.1, 0.6], [0.04, 0.1, 0.02, 0.2, 0.01, 0.09]
    found = excess_significance(pool(yi=y, vi=v))
    power = found.power["power"].to_numpy()
    total = 0.0
    for which in product([0, 1], repeat=6):
        if sum(which) >= found.observed:
            total += np.prod(np.where(which, power, 1 - power))
    assert found.p_value == pytest.approx(total, rel=1e-12)


def test_power_is_what_simulation_gives():
    pooled = pool(yi=[0.2, 0.9, 0.1, 1.1], vi=[0.04, 0.1, 0.02, 0.2])
    found = excess_significance(pooled)
    rng = np.random.default_rng(3)
    v = pooled.fit.vi
    drawn = rng.normal(pooled.estimate, np.sqrt(v + pooled.tau2), (40_000, 4))
    share = (np.abs(drawn / np.sqrt(v)) >= 1.959964).mean(axis=0)
    # 40,000 draws: four standard errors of a share are 0.01.
    np.testing.assert_allclose(found.power["power"], share, atol=0.01)


def test_sides_add_up():
    pooled = dorn(method="CE")
    both = excess_significance(pooled).expected
    up = excess_significance(pooled, alpha=0.025, alternative="greater").expected
    down = excess_significance(pooled, alpha=0.025, alternative="less").expected
    assert both == pytest.approx(up + down, rel=1e-12)


@pytest.mark.parametrize("unit", [1e-3, 1e6])
def test_unit_of_the_outcome_changes_nothing(unit):
    one = dorn()
    two = pool(yi=one.fit.yi * unit, vi=one.fit.vi * unit**2)
    assert excess_significance(two).p_value == pytest.approx(
        excess_significance(one).p_value, rel=1e-9
    )


def test_one_study_and_no_significant_study():
    assert excess_significance(pool(yi=[0.9], vi=[0.01])).observed == 1
    none = excess_significance(pool(yi=[0.01, 0.0], vi=[0.1, 0.1]))
    assert (none.observed, none.p_value, none.p_binomial) == (0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"alternative": "two"}, "no alternative is called"),
        ({"alpha": 0}, "alpha=0"),
        ({"alpha": "5%"}, "alpha='5%'"),
    ],
)
def test_errors_say_what_to_do(arguments, words):
    with pytest.raises(RetroEvidenceError, match=words):
        excess_significance(dorn(), **arguments)


def test_it_shows_itself():
    found = excess_significance(dorn(method="CE"))
    assert "10, expected 4.92" in repr(found)
    json.dumps(found.to_dict(), allow_nan=False)

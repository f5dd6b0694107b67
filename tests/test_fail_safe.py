"""Fail-safe numbers against metafor, and their defining property."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.errors import RetroEvidenceError
from retroevidence.meta.bias import fail_safe_n
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
BIAS = json.loads((GOLDEN / "bias.json").read_text(encoding="utf-8"))["fail_safe"]
HACK = json.loads((GOLDEN / "bias_acceptance.json").read_text(encoding="utf-8"))["hackshaw1998"]
KINDS = ["rosenthal", "orwin", "rosenberg", "general"]
HACKSHAW = pd.read_csv(GOLDEN / "bias_hackshaw1998.csv")


@pytest.mark.parametrize("kind", KINDS)
def test_acceptance_of_hackshaw1998(kind):
    assert fail_safe_n(pool(HACKSHAW), kind).estimate == HACK["fsn"][kind.title()]


@pytest.mark.parametrize("name", BIAS)
def test_other_data(name):
    path = "raudenbush1985" if name == "raudenbush1985" else f"bias_{name}"
    pooled = pool(pd.read_csv(GOLDEN / f"{path}.csv"))
    assert fail_safe_n(pooled, "rosenthal").estimate == BIAS[name]["Rosenthal"]
    assert fail_safe_n(pooled, "rosenberg").estimate == BIAS[name]["Rosenberg"]
    found = fail_safe_n(pooled, "orwin", target=0.1)
    # metafor gives Orwin's number for a mean below the target as well; here it is 0.
    assert found.estimate == max(0, BIAS[name]["Orwin"])


def test_rosenberg_studies_bring_p_to_alpha():
    pooled = pool(HACKSHAW, method="CE", test="z")
    found = fail_safe_n(pooled, "rosenberg")
    typical = len(HACKSHAW) / (1 / pooled.fit.vi).sum()
    # A share of a study: one more study of effect 0 with the weight of all that are missing.
    both = pool(
        yi=[*pooled.fit.yi, 0.0], vi=[*pooled.fit.vi, typical / found.exact], method="CE", test="z"
    )
    assert both.p_value == pytest.approx(0.05, rel=1e-9)


def test_general_without_heterogeneity_between_the_sets_is_between_its_neighbours():
    fixed = pool(HACKSHAW, method="CE", test="z")
    # Missing studies of effect 0 differ from the observed mean, which adds variance: fewer are
    # needed than by Rosenberg, whose model knows none.
    assert fail_safe_n(fixed, "general").exact < fail_safe_n(fixed, "rosenberg").exact


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [1e-3, 1e6, -1.0])
def test_unit_and_sign_change_nothing(kind, unit):
    scaled = HACKSHAW.assign(yi=HACKSHAW["yi"] * unit, vi=HACKSHAW["vi"] * unit**2)
    one, two = fail_safe_n(pool(HACKSHAW), kind), fail_safe_n(pool(scaled), kind)
    assert two.estimate == one.estimate
    assert two.exact == pytest.approx(one.exact, rel=1e-9)


@pytest.mark.parametrize("kind", ["rosenthal", "rosenberg", "general"])
def test_a_result_that_does_not_stand_needs_none(kind):
    found = fail_safe_n(pool(yi=[0.1, -0.1, 0.05], vi=[0.1, 0.1, 0.2]), kind)
    assert found.estimate == 0
    assert "does not stand" in found.notes[0]


@pytest.mark.parametrize("kind", KINDS)
def test_one_study(kind):
    found = fail_safe_n(pool(yi=[0.9], vi=[0.01]), kind)
    assert np.isfinite(found.exact)
    assert found.k == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "rosental"}, "did you mean 'rosenthal'"),
        ({"alpha": 5}, "alpha=5"),
        ({"kind": "orwin", "target": -0.1}, "same side of 0"),
        ({"kind": "orwin", "target": 0}, "same side of 0"),
        ({"kind": "orwin", "target": math.nan}, "same side of 0"),
        ({"kind": "orwin", "target": math.inf}, "same side of 0"),
        ({"kind": "orwin", "target": "half"}, "same side of 0"),
        ({"target": 0.1}, "belongs to kind='orwin'"),
        ({"alpha": "5%"}, "alpha='5%'"),
        ({"alpha": None}, "alpha=None"),
        # One-sided p-values of studies without an effect average one half.
        ({"alpha": 0.5}, "alpha=0.5 cannot be reached"),
        ({"alpha": 0.9}, "alpha=0.9 cannot be reached"),
    ],
)
def test_errors_say_what_to_do(arguments, words):
    with pytest.raises(RetroEvidenceError, match=words):
        fail_safe_n(pool(HACKSHAW), **arguments)


def test_it_shows_itself():
    found = fail_safe_n(pool(HACKSHAW))
    assert "393 to bring p to 0.050" in repr(found)
    json.dumps(found.to_dict(), allow_nan=False)

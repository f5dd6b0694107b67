"""Trim and fill against metafor, and at its edges."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError, RetroEvidenceError
from retroevidence.meta.bias import trim_fill
from retroevidence.meta.pool import pool
from retroevidence.meta.subgroups import subgroups

GOLDEN = Path(__file__).parent / "golden"
BIAS = json.loads((GOLDEN / "bias.json").read_text(encoding="utf-8"))["trim_fill"]
HACK = json.loads((GOLDEN / "bias_acceptance.json").read_text(encoding="utf-8"))["hackshaw1998"]
BCG = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))["bcg_inputs"]

# bias.json was made with tight fits throughout.
RTOL = 1e-8
# The acceptance numbers were made by trimfill's own defaults, whose absolute convergence limit
# leaves the mean and its error good to about 1e-6, and tau² to 1e-5.
LOOSE, LOOSE_TAU2 = 2e-6, 2e-5
ESTIMATORS = ["L0", "R0", "Q0"]


def bcg():
    a, c = np.array(BCG["tpos"]), np.array(BCG["cpos"])
    yi, vi = effect_size("RR", a=a, n1=a + BCG["tneg"], c=c, n2=c + BCG["cneg"])
    return pool(yi=yi, vi=vi, test="z")


def data(name):
    path = "raudenbush1985" if name == "raudenbush1985" else f"bias_{name}"
    return pd.read_csv(GOLDEN / f"{path}.csv")


CASES = {
    "hackshaw1998_equal": lambda: pool(data("hackshaw1998"), method="CE", test="z"),
    "raudenbush1985": lambda: pool(data("raudenbush1985"), test="z"),
    "bangertdrowns2004": lambda: pool(data("bangertdrowns2004"), test="z"),
    "bcg": bcg,
}
# (L0, R0, Q0) as Duval and Tweedie's formulas give them; the side is that of Egger's slope.
COUNTS = {
    "hackshaw1998_equal": (7, 7, 10),
    "raudenbush1985": (3, 2, 6),
    "bangertdrowns2004": (7, 0, 7),
    "bcg": (1, 0, 1),
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", CASES)
def test_counts_sides_and_means(name, estimator):
    found, wanted = trim_fill(CASES[name](), estimator), BIAS[name][estimator]
    assert found.k0 == wanted["k0"] == COUNTS[name][ESTIMATORS.index(estimator)]
    assert found.side == wanted["side"]
    assert found.estimate == pytest.approx(wanted["beta"], rel=RTOL)
    assert found.se == pytest.approx(wanted["se"], rel=RTOL)
    assert found.ci == pytest.approx((wanted["lb"], wanted["ub"]), rel=RTOL)
    assert found.tau2 == pytest.approx(wanted["tau2"], rel=RTOL)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_acceptance_of_hackshaw1998(estimator):
    found, wanted = trim_fill(pool(data("hackshaw1998"), test="z"), estimator), HACK["trimfill"]
    assert (found.k0, found.side) == (7, "left")
    assert (found.k0, found.side) == (wanted[estimator]["k0"], wanted[estimator]["side"])
    assert found.estimate == pytest.approx(wanted[estimator]["beta"], rel=LOOSE)
    assert found.se == pytest.approx(wanted[estimator]["se"], rel=LOOSE)
    assert found.tau2 == pytest.approx(wanted[estimator]["tau2"], rel=LOOSE_TAU2)


def test_filled_studies_are_mirror_images_and_pooled_alike():
    pooled = pool(data("hackshaw1998"), method="DL", test="knha", level=0.9)
    found = trim_fill(pooled)
    again = pool(
        yi=np.concatenate([pooled.fit.yi, found.filled["yi"]]),
        vi=np.concatenate([pooled.fit.vi, found.filled["vi"]]),
        method="DL", test="knha", level=0.9,
    )  # fmt: skip
    assert found.estimate == pytest.approx(again.estimate, rel=1e-12)
    assert found.ci == pytest.approx(again.ci, rel=1e-12)
    assert found.pooled.studies["filled"].sum() == found.k0
    # All are mirrored about one point: pairs of twins have the same middle.
    twins = pooled.fit.frame.set_axis([str(i) for i in pooled.fit.frame.index]).loc[
        found.filled["mirrors"].astype(str)
    ]
    middles = (twins["yi"].to_numpy() + found.filled["yi"].to_numpy()) / 2
    np.testing.assert_allclose(middles, middles[0], rtol=1e-12)


def test_sides_mirror_each_other():
    frame = data("bangertdrowns2004")
    left = trim_fill(pool(frame, test="z"))
    right = trim_fill(pool(frame.assign(yi=-frame["yi"]), test="z"))
    assert (left.side, right.side, left.k0) == ("left", "right", right.k0)
    assert right.estimate == pytest.approx(-left.estimate, rel=1e-12)


def test_a_side_that_lacks_nothing_changes_nothing():
    pooled = pool(data("hackshaw1998"), test="z")
    found = trim_fill(pooled, side="right")
    assert found.k0 == BIAS["hackshaw_right"]["k0"] == 0
    assert found.estimate == pytest.approx(pooled.estimate, rel=1e-12)
    assert found.filled.empty


@pytest.mark.parametrize("unit", [1e-3, 1e6])
def test_unit_of_the_outcome_changes_nothing(unit):
    frame = data("bangertdrowns2004")
    scaled = frame.assign(yi=frame["yi"] * unit, vi=frame["vi"] * unit**2)
    one, two = trim_fill(pool(frame)), trim_fill(pool(scaled))
    assert two.k0 == one.k0
    assert two.estimate == pytest.approx(one.estimate * unit, rel=1e-10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("yi", "vi"),
    [
        ([0.3, 0.3, 0.3, 0.3], [0.1, 0.2, 0.3, 0.4]),
        ([0.0, 0.0, 0.0, 9.0], [0.1, 0.1, 0.1, 0.5]),
        ([0.0, 5.0, 6.0, 7.0, 8.0], [1e-9, 1.0, 1.0, 1.0, 1.0]),
        ([0.1, 0.4, 0.2], [0.1, 0.2, 0.3]),
    ],
)
def test_edges_end_with_a_finite_mean(yi, vi, estimator):
    found = trim_fill(pool(yi=yi, vi=vi), estimator, "left")
    assert np.isfinite(found.estimate)
    assert 0 <= found.k0 <= len(yi) - 1
    assert len(set(found.notes)) == len(found.notes)


def test_one_study_may_be_left():
    # metafor 3.8-1: rma(c(.1, .4, .2), c(.1, .2, .3), method = "DL") and
    # rma(c(0, .5, 1.2, 2), c(1e-4, .1, .2, .3), method = "FE"), trimfill(, side = "left"): closed
    # forms, given to 15 digits.
    three = trim_fill(
        pool(yi=[0.1, 0.4, 0.2], vi=[0.1, 0.2, 0.3], method="DL", test="z"), "L0", "left"
    )
    assert three.k0 == 2
    assert three.estimate == pytest.approx(0.1, rel=1e-12)
    assert three.se == pytest.approx(0.193649167310371, rel=1e-12)
    y, v = [0, 0.5, 1.2, 2], [1e-4, 0.1, 0.2, 0.3]
    four = trim_fill(pool(yi=y, vi=v, method="CE", test="z"), "R0", "left")
    assert four.k0 == 2
    assert four.estimate == pytest.approx(0.000499500499500499, rel=1e-12)
    # Here the square under Q0's root is negative, and metafor has no answer.
    lopsided = trim_fill(pool(yi=y, vi=v, method="CE", test="z"), "Q0", "left")
    assert lopsided.k0 == 3
    assert sum("not defined" in note for note in lopsided.notes) == 1


def test_the_side_must_be_given_where_precision_cannot_tell_it():
    alike = pool(yi=[0.1, 0.4, 0.2, 0.9], vi=[0.1] * 4)
    with pytest.raises(PoolError, match="give side='left'"):
        trim_fill(alike)
    assert trim_fill(alike, side="left").k0 >= 0


def test_a_subgroup_with_a_shared_tau2_is_refused():
    frame = pd.DataFrame(
        {
            "yi": [0.1, 0.4, 0.2, 0.9, 0.3, 0.5],
            "vi": [0.01, 0.02, 0.03, 0.04, 0.05, 0.06],
            "g": list("aaabbb"),
        }
    )
    group = subgroups(frame, by="g", common_tau2=True).groups["a"]
    with pytest.raises(PoolError, match="shares its tau²"):
        trim_fill(group, side="left")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: trim_fill(pool(yi=[0.1, 0.2], vi=[0.1, 0.2])), "at least 3"),
        (lambda: trim_fill(bcg(), "L1"), "no estimator is called"),
        (lambda: trim_fill(bcg(), side="top"), "no side is called"),
        (lambda: trim_fill(pool(yi=[0.1, 0.2, 0.5, 0.4], vi=[0.1] * 4)), "give side="),
    ],
)
def test_errors_say_what_to_do(call, words):
    with pytest.raises(RetroEvidenceError, match=words):
        call()


def test_moderators_are_refused():
    pooled = pool(data("raudenbush1985"), mods="~ weeks")
    with pytest.raises(PoolError, match="not defined with moderators"):
        trim_fill(pooled)


def test_it_shows_itself():
    found = trim_fill(bcg())
    assert "1 on the right (L0)" in repr(found)
    assert found.summary["k0"].tolist() == [1]
    json.dumps(found.to_dict(), allow_nan=False)

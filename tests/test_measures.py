"""Effect sizes against golden numbers, and their refusals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import gamma

from retroevidence.effects.measures import MEASURES, effect_size, hedges_j
from retroevidence.errors import EffectError, UnknownNameError

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))
CLOSED = json.loads((GOLDEN / "closed_forms.json").read_text(encoding="utf-8"))["measures"]

# Closed forms: both sides carry 15 printed digits, and the logarithm of a ratio near one loses two.
RTOL = 1e-12

TABLES = {"a": [0, 5, 20, 3], "n1": 20, "c": [3, 0, 19, 7], "n2": 20}
ONE_GROUP = {"x": [0, 3, 10], "n": 10}
RATES = {"x1": [3, 0], "t1": 100, "x2": [4, 5], "t2": 80}
MEANS = {"m": [10, 2], "sd": [3, 1], "n": [8, 20]}
CORRELATIONS = {"r": [0.4, -0.7], "n": [18, 40]}
CLOSED_INPUTS = {
    "SMD1": {"m1": [10, 12], "m2": [9, 9], "sd2": [2, 3], "n1": [10, 12], "n2": [10, 14]},
    **dict.fromkeys(("OR", "RR", "RD", "AS", "PETO"), TABLES),
    **dict.fromkeys(("PR", "PLN", "PLO", "PAS", "PFT"), ONE_GROUP),
    **dict.fromkeys(("IRR", "IRD"), RATES),
    **dict.fromkeys(("MN", "MNLN"), MEANS),
    **dict.fromkeys(("COR", "ZCOR"), CORRELATIONS),
}


@pytest.mark.parametrize("measure", list(CLOSED))
def test_closed_forms(measure):
    yi, vi = effect_size(measure, **CLOSED_INPUTS[measure])
    # A difference of equal terms is 0 but for rounding: 1e-15 absolute.
    np.testing.assert_allclose(yi, CLOSED[measure]["yi"], rtol=RTOL, atol=1e-15)
    np.testing.assert_allclose(vi, CLOSED[measure]["vi"], rtol=RTOL)


@pytest.mark.parametrize("measure", ["SMD", "MD", "SMDH", "ROM", "VR", "CVR"])
def test_two_groups_normand1999(measure):
    data = pd.read_csv(GOLDEN / "normand1999.csv")
    numbers = {name.removesuffix("i"): data[name] for name in data if name[-1] == "i"}
    case = CASES["normand1999"]
    golden = case[measure] if measure != "SMD" else {"yi": case["SMD_yi"], "vi": case["SMD_vi"]}
    yi, vi = effect_size(measure, **numbers)
    np.testing.assert_allclose(yi, golden["yi"], rtol=RTOL)
    np.testing.assert_allclose(vi, golden["vi"], rtol=RTOL)


@pytest.mark.parametrize("measure", list(CASES["morris2008"]["measures"]))
def test_same_people_twice_morris2008(measure):
    given = {name: np.array(value) for name, value in CASES["morris2008"]["inputs"].items()}
    yi, vi = effect_size(
        measure,
        m1=given["m_post"],
        m2=given["m_pre"],
        sd1=given["sd_pre"],
        sd2=given["sd_post"],
        n=given["n"],
        r=given["r"],
    )
    golden = CASES["morris2008"]["measures"][measure]
    np.testing.assert_allclose(yi, golden["yi"], rtol=RTOL)
    np.testing.assert_allclose(vi, golden["vi"], rtol=RTOL)


def test_freeman_tukey_miller1978():
    case = CASES["miller1978_PFT"]
    yi, vi = effect_size("PFT", **case["inputs"])
    np.testing.assert_allclose(yi, case["yi"], rtol=RTOL)
    np.testing.assert_allclose(vi, case["vi"], rtol=RTOL)


def test_every_measure_is_compared_with_a_golden_number():
    compared = {*CLOSED, *CASES["morris2008"]["measures"], "PFT"}
    compared |= {"SMD", "MD", "SMDH", "ROM", "VR", "CVR"}
    assert compared == set(MEASURES)


def test_hedges_j_is_the_ratio_of_gamma_functions():
    m = np.array([2.0, 5.0, 30.0])
    np.testing.assert_allclose(
        hedges_j(m), gamma(m / 2) / (np.sqrt(m / 2) * gamma((m - 1) / 2)), rtol=RTOL
    )
    assert np.isnan(hedges_j(1))


def test_scalars_in_scalars_out_and_broadcasting():
    yi, vi = effect_size("MD", m1=5, sd1=2, n1=10, m2=3, sd2=1, n2=20)
    assert (float(yi), float(vi)) == (2.0, pytest.approx(0.45, rel=RTOL))
    assert np.ndim(yi) == 0
    yi, vi = effect_size("MD", m1=[5, 6], sd1=2, n1=10, m2=[[3], [4]], sd2=1, n2=20)
    assert yi.tolist() == [[2, 3], [1, 2]]
    assert vi.shape == (2, 2)


def test_swapping_arms_flips_the_sign_and_keeps_the_variance():
    one = {"m1": 12.0, "sd1": 3.0, "n1": 14, "m2": 9.0, "sd2": 2.0, "n2": 11}
    two = {"m1": 9.0, "sd1": 2.0, "n1": 11, "m2": 12.0, "sd2": 3.0, "n2": 14}
    for measure in ("MD", "SMD", "SMDH", "ROM", "VR", "CVR"):
        a, b = effect_size(measure, **one), effect_size(measure, **two)
        assert a[0] == pytest.approx(-b[0], rel=RTOL)
        assert a[1] == pytest.approx(b[1], rel=RTOL)


def test_missing_numbers_stay_missing_in_their_row_only():
    yi, vi = effect_size("MD", m1=[1, np.nan], sd1=1, n1=9, m2=0, sd2=1, n2=9)
    assert np.isfinite([yi[0], vi[0]]).all()
    assert np.isnan([yi[1], vi[1]]).all()


def test_zero_cells_touch_only_the_tables_that_have_one():
    zero_free = effect_size("OR", a=4, n1=20, c=7, n2=20)[0]
    both = effect_size("OR", a=[4, 0], n1=20, c=[7, 7], n2=20)[0]
    assert both[0] == zero_free
    for measure in ("OR", "RR", "PETO"):
        yi, vi = effect_size(measure, a=[0, 20], n1=20, c=[0, 20], n2=20)
        assert np.isnan([yi, vi]).all()
    assert np.isfinite(effect_size("RD", a=0, n1=20, c=0, n2=20)).all()
    assert np.isnan(effect_size("IRR", x1=0, t1=9, x2=0, t2=9)).all()
    assert np.isnan(effect_size("OR", a=0, n1=20, c=3, n2=20, to="none")).all()


def test_log_ratio_is_missing_for_means_of_opposite_sign():
    yi, _ = effect_size("ROM", m1=[-1, 0, 2], sd1=1, n1=9, m2=[2, 2, 1], sd2=1, n2=9)
    assert np.isnan(yi).tolist() == [True, True, False]


GOOD = {"m1": 1, "sd1": 1, "n1": 9, "m2": 0, "sd2": 1, "n2": 9}
PAIRED = {"m1": 1, "m2": 0, "sd1": 1, "sd2": 1, "n": 9, "r": 0.5}


@pytest.mark.parametrize(
    ("measure", "numbers", "message"),
    [
        ("SMD", {**GOOD, "sd1": 0}, "sd1 is 0; a standard deviation must be above 0"),
        ("SMD", {**GOOD, "sd2": [1, -2]}, "sd2 is -2 at position 1"),
        ("MD", {**GOOD, "n2": 1}, "n2 is 1; MD needs at least 2 people"),
        ("MD", {**GOOD, "m1": np.inf}, "m1 is inf; a number must be finite"),
        ("MD", {**GOOD, "m1": ["a", 1]}, "m1 holds something that is not a number"),
        ("MD", {**GOOD, "m1": [1, 2], "m2": [1, 2, 3]}, "shapes do not fit together"),
        ("MC", {**PAIRED, "r": 1.2}, "r is 1.2; a correlation lies between -1 and 1"),
        ("OR", {"a": 21, "n1": 20, "c": 3, "n2": 20}, "a is 21; it cannot exceed n1"),
        ("PR", {"x": -1, "n": 20}, "x is -1; a count cannot be negative"),
        ("IRR", {"x1": 1, "t1": 0, "x2": 2, "t2": 5}, "t1 is 0; a time at risk"),
        ("OR", {"a": 1, "n1": 20, "c": 3, "n2": 20, "to": "some"}, "choose one of: only0, all"),
        ("SMD", {"m1": 1, "m2": 2}, "sd1 n1 sd2 n2 missing; SMD needs m1 sd1 n1 m2 sd2 n2"),
        ("COR", {"r": 0.1, "n": 9, "z": 3}, "z not understood; COR needs r n"),
        ("MD", {**GOOD, "correct": False}, "correct not understood"),
    ],
)
def test_impossible_numbers_are_refused_by_name(measure, numbers, message):
    with pytest.raises(EffectError, match=message.replace("(", r"\(")):
        effect_size(measure, **numbers)


def test_unknown_measure_names_its_neighbours():
    with pytest.raises(UnknownNameError, match="did you mean"):
        effect_size("SMDD")

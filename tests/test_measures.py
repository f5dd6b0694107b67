"""Effect sizes against golden numbers, and their refusals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma
from scipy.stats import norm

from retroevidence.effects.from_table import effect_sizes
from retroevidence.effects.measures import MEASURES, effect_size, hedges_j, measures
from retroevidence.errors import EffectError, UnknownNameError
from retroevidence.meta.wording import RATIOS

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))
# metafor 3.8-1 on 25 made-up, nasty studies per family: tests/golden/measures.R says how.
GRID = json.loads((GOLDEN / "measures.json").read_text(encoding="utf-8"))
# metafor 3.8-1 on matched pairs: tests/golden/matched.R says how.
MATCHED = json.loads((GOLDEN / "matched.json").read_text(encoding="utf-8"))
PAIRS_MEASURES = ("MPRD", "MPRR", "MPOR", "MPORC", "MPPETO")
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


FAMILIES = "two pair cells cells_all rate one corr part alpha mean1".split()
IN_GRID = [(family, measure) for family in FAMILIES for measure in GRID[family]]


@pytest.mark.parametrize(("family", "measure"), IN_GRID)
def test_grid_of_metafor(family, measure):
    golden = GRID[family][measure]
    limit = golden.get("limit", "")
    options = {"to": "all"} if family == "cells_all" else {}
    if limit == "uncorrected":
        options["correct"] = False
    yi, vi = effect_size(measure, **_columns(family), **options)
    # Both sides round differently in the gamma functions of J, which lose digits as groups grow:
    # 2e-12 at 5000 people. A difference of equal terms is 0 but for rounding.
    wanted, spread = np.array(golden["yi"], float), np.array(golden["vi"], float)
    # Without a variance ours gives no estimate either: metafor's phi of -1 or 1.
    wanted = np.where(np.isnan(spread), np.nan, wanted)
    np.testing.assert_allclose(yi, wanted, rtol=5e-12, atol=1e-15)
    if limit != "estimate only":
        np.testing.assert_allclose(vi, spread, rtol=5e-12)


def _columns(family):
    return {name: np.array(x, float) for name, x in GRID["inputs"][family.split("_")[0]].items()}


@pytest.mark.parametrize(("family", "measure"), [("two", "SMD1H"), ("two", "SMDH")])
def test_variance_for_unequal_sds_differs_from_old_metafor_by_its_degrees_of_freedom(
    family, measure
):
    # metafor 4.6 took n - 1 where 3.8-1 took n. With one more person in each group, but the
    # estimate as it was, the two agree: the variance is the same function of g, the SDs and n - 1.
    x = _columns(family)
    old = GRID[family][measure]
    more = {**x, "n1": x["n1"] + 1, "n2": x["n2"] + 1}
    if measure == "SMD1H":
        factor = hedges_j(x["n2"] - 1) / hedges_j(more["n2"] - 1)
        ours = effect_size("SMD1H", **{**more, "m1": (x["m1"] - x["m2"]) * factor, "m2": 0})
    else:
        factor = hedges_j(x["n1"] + x["n2"] - 2) / hedges_j(more["n1"] + more["n2"] - 2)
        ours = effect_size("SMDH", **{**more, "m1": (x["m1"] - x["m2"]) * factor, "m2": 0})
    np.testing.assert_allclose(ours[0], old["yi"], rtol=5e-12, atol=1e-15)
    if measure == "SMD1H":
        np.testing.assert_allclose(ours[1], old["vi"], rtol=5e-12)


def test_partial_correlation_from_r_equals_that_from_t():
    part = _columns("part")
    r = GRID["part"]["PCOR"]["yi"]
    got = effect_size("PCOR", r=r, n=part["n"], m=part["m"])
    np.testing.assert_allclose(got[1], GRID["part"]["PCOR"]["vi"], rtol=RTOL)


def test_common_language_effect_size():
    # McGraw & Wong (1992): men of 69.7 (SD 2.6) and women of 64.3 (SD 2.8) inches, .92.
    two = {"m1": 69.7, "sd1": 2.6, "n1": 988, "m2": 64.3, "sd2": 2.8, "n2": 1066}
    assert effect_size("CLES", **two)[0] == pytest.approx(0.92, abs=0.005)
    # The variance against the delta method with derivatives by central differences: the rounding
    # of a difference of 1e-5 leaves about 1e-6.
    small = {"m1": 12.0, "sd1": 3.0, "n1": 14, "m2": 9.0, "sd2": 2.0, "n2": 11}

    def at(m1, v1, m2, v2):
        return norm.cdf((m1 - m2) / np.sqrt(v1 + v2))

    x = np.array([12.0, 9.0, 9.0, 4.0])
    step = 1e-5 * np.eye(4)
    slope = [(at(*(x + e)) - at(*(x - e))) / 2e-5 for e in step]
    spread = [9 / 14, 2 * 81 / 13, 4 / 11, 2 * 16 / 10]
    wanted = np.square(slope) @ spread
    assert effect_size("CLES", **small)[1] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("measure", PAIRS_MEASURES)
@pytest.mark.parametrize("family", ["plain", "none", "all"])
def test_matched_pairs_of_metafor(family, measure):
    inputs = MATCHED["inputs"]["plain" if family == "plain" else "pairs"]
    options = {} if family == "plain" else {"to": family}
    yi, vi = effect_size(measure, **inputs, **options)
    golden = MATCHED[family][measure]
    wanted, spread = np.array(golden["yi"], float), np.array(golden["vi"], float)
    # Ours gives no effect of variance 0.
    none = ~(spread > 0)
    wanted[none], spread[none] = np.nan, np.nan
    np.testing.assert_allclose(yi, wanted, rtol=RTOL, atol=1e-15)
    # With a million of pairs that agree the variance of MPOR is a small difference of large terms:
    # each side keeps ten digits of it.
    np.testing.assert_allclose(vi, spread, rtol=1e-9 if measure == "MPOR" else RTOL)


@pytest.mark.parametrize("measure", ["MPRD", "MPRR", "MPOR"])
def test_margins_with_their_correlation_are_the_pairs(measure):
    margins, pairs = MATCHED["inputs"]["margins"], MATCHED["inputs"]["plain"]
    got = effect_size(measure, **margins)
    np.testing.assert_allclose(got, effect_size(measure, **pairs), rtol=1e-9)
    if measure == "MPOR":
        golden = MATCHED["margins"]["MPOR"]
        np.testing.assert_allclose(got, [golden["yi"], golden["vi"]], rtol=1e-9)
    # Without correlation the arms might as well be different people.
    apart = {"MPRD": "RD", "MPRR": "RR", "MPOR": "OR"}[measure]
    x1, x2, n = (np.array(margins[name]) for name in ("x1", "x2", "n"))
    np.testing.assert_allclose(
        effect_size(measure, x1=x1, x2=x2, n=n, r=0),
        effect_size(apart, a=x1, n1=n, c=x2, n2=n),
        rtol=1e-9,
    )


def test_pairs_are_corrected_only_where_the_measure_needs_it():
    rare = {"a": 0, "b": 3, "c": 1, "d": 36}
    for measure in PAIRS_MEASURES:
        np.testing.assert_allclose(
            effect_size(measure, **rare), effect_size(measure, **rare, to="none"), rtol=RTOL
        )
    one_way = {"a": 4, "b": 3, "c": 0, "d": 9}
    assert effect_size("MPORC", **one_way)[0] == pytest.approx(np.log(7), rel=RTOL)
    assert effect_size("MPPETO", **one_way)[0] == 2
    assert effect_size("MPRR", **one_way)[0] == pytest.approx(np.log(7 / 4), rel=RTOL)
    agree = {"a": [9, 0], "b": 0, "c": 0, "d": [11, 12]}
    assert np.isnan([effect_size(m, **agree)[0] for m in ("MPORC", "MPPETO")]).all()
    assert effect_size("MPRD", **agree)[0].tolist() == [0, 0]
    assert np.isnan(effect_size("MPOR", **agree)[0]).tolist() == [False, True]
    assert np.isnan(effect_size("MPOR", **agree, to="none")[0]).all()


def test_pairs_in_a_table():
    table = pd.DataFrame(
        {
            "a": [4, 9, 0, np.nan, 4],
            "b": [7, 0, 0, np.nan, 3],
            "c": [3, 0, 0, np.nan, 0],
            "d": [20, 11, 12, np.nan, 9],
            "events1": [np.nan, np.nan, np.nan, 11, np.nan],
            "events2": 7,
            "people": 34,
        },
        index=list("vwxyz"),
    )
    margins = {"x1": "events1", "x2": "events2", "n": "people", "r": 0.2}
    found = effect_sizes("MPOR", table, **margins)
    assert found["note"].tolist() == [
        "",
        "0.5 added to each kind of pairs: a condition has no event or only events, or no pair "
        "differs",
        "no event under either condition says nothing about a ratio",
        "from x1 x2 n r",
        "",
    ]
    assert found.loc["y", "yi"] == effect_size("MPOR", x1=11, x2=7, n=34, r=0.2)[0]
    conditional = effect_sizes("MPORC", table)["note"]
    assert "no pair differs" in conditional["w"]
    assert conditional["z"] == "0.5 added to each kind of pairs: pairs differ one way only"
    none = effect_sizes("MPOR", table.assign(events1=0), **margins)
    assert none.loc["y", "note"] == "from x1 x2 n r; 0.5 added to each cell: one is zero"
    both = effect_sizes("MPOR", table.assign(events1=0, events2=0), **margins)
    assert both.loc["y", "note"].endswith(
        "no event under either condition says nothing about a ratio"
    )


def test_an_effect_of_variance_0_is_none_and_says_so():
    # One of them would make the pool refuse all studies, or take all the weight.
    table = pd.DataFrame({"r": [1.0, 0.4], "n": [9, 20]})
    found = effect_sizes("COR", table)
    assert found["note"].tolist() == [
        "not defined: its variance would be 0, and take all the weight",
        "",
    ]
    assert np.isnan(found["yi"]).tolist() == [True, False]
    for measure, numbers in {
        "MC": {"m1": 2, "m2": 1, "sd1": 3, "sd2": 3, "n": 9, "r": 1},
        "RD": {"a": 0, "n1": 9, "c": 0, "n2": 9, "to": "none"},
        "PR": {"x": 0, "n": 9, "to": "none"},
        "ARAW": {"alpha": 1, "m": 4, "n": 9},
    }.items():
        assert np.isnan(effect_size(measure, **numbers)).all(), measure


@pytest.mark.parametrize("n", [1e5, 1e8, 1e12])
def test_the_factor_of_huge_groups_keeps_its_digits(n):
    # Series of the ratio of gamma functions (Abramowitz & Stegun 6.1.47); the next term is below
    # 1e-20.
    wanted = 1 - 3 / (4 * n) - 7 / (32 * n**2) - 9 / (128 * n**3)
    assert hedges_j(n) == pytest.approx(wanted, rel=1e-15)
    # Both formulas meet where one takes over; the difference of logarithms is good to 1e-11 there.
    assert hedges_j(25_001) == pytest.approx(1 - 3 / 1e5 - 7 / (32 * 25_001**2), rel=1e-8)


def test_gen_passes_through_and_refuses_an_impossible_variance():
    yi, vi = effect_size("GEN", yi=[0.1, np.nan], vi=[0.2, 0.1])
    assert yi[0] == 0.1
    assert vi[0] == 0.2
    assert np.isnan([yi[1], vi[1]]).all()
    with pytest.raises(EffectError, match="vi is 0; a variance must be above 0"):
        effect_size("GEN", yi=1, vi=0)


def test_every_measure_is_compared_with_a_number_from_outside():
    compared = {*CLOSED, *CASES["morris2008"]["measures"], "PFT"}
    compared |= {"SMD", "MD", "SMDH", "ROM", "VR", "CVR"}
    compared |= {measure for _, measure in IN_GRID} | set(MATCHED["plain"])
    # metafor 3.8-1 lacks CLES, and GEN is no computation; both have tests of their own.
    assert compared | {"CLES", "GEN"} == set(MEASURES)


def test_every_measure_names_its_formula_its_source_and_an_example():
    table = measures().set_index("measure")
    assert list(table.index) == list(MEASURES)
    for code, spec in MEASURES.items():
        assert "; variance" in spec.formula, code
        assert spec.source, code
        for compute in spec.ways.values():
            assert ">>> " in compute.__doc__, code
            assert "Source: " in compute.__doc__, code
    assert (table[["name", "scale", "arguments", "formula", "source"]] != "").all(axis=None)


def test_other_ways_to_the_same_effect():
    means = {"m1": 12.0, "sd1": 3.0, "n1": 14, "m2": 9.0, "sd2": 2.5, "n2": 11}
    wanted = effect_size("SMD", **means)
    pooled = np.sqrt((13 * 9 + 10 * 6.25) / 23)
    d = 3 / pooled
    sizes = {"n1": 14, "n2": 11}
    np.testing.assert_allclose(effect_size("SMD", d=d, **sizes), wanted, rtol=RTOL)
    t = d / np.sqrt(1 / 14 + 1 / 11)
    np.testing.assert_allclose(effect_size("SMD", t=t, **sizes), wanted, rtol=RTOL)
    plain = d, 1 / 14 + 1 / 11 + d**2 / 50
    for code in ("D2OR", "D2ORL", "D2ORN"):
        np.testing.assert_allclose(
            effect_size(code, d=plain[0], vi=plain[1]), effect_size(code, **means), rtol=RTOL
        )
    pair = {"m1": 26.0, "m2": 21.0, "sd1": 5.0, "sd2": 6.0, "n": 20, "r": 0.6}
    t = 5 / (5 / np.sqrt(20))
    np.testing.assert_allclose(
        effect_size("SMCC", t=t, n=20), effect_size("SMCC", **pair), rtol=RTOL
    )


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


# Numbers of a size that leaves 12 digits after sums and quotients of four of them.
sizes = st.integers(3, 500)
positive = st.floats(0.1, 1000)
two_groups = st.fixed_dictionaries(
    {"m1": positive, "sd1": positive, "n1": sizes, "m2": positive, "sd2": positive, "n2": sizes}
)
one_arm = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
tables = st.tuples(one_arm, one_arm).map(
    lambda arms: dict(zip(("a", "n1", "c", "n2"), (*arms[0], *arms[1]), strict=True))
)
# Differences of nearly equal numbers lose digits relative to themselves, not to their parts.
near = {"rel": 1e-9, "abs": 1e-11}
quick = settings(max_examples=60, deadline=None)


@quick
@given(two_groups)
def test_swapping_arms_of_means(one):
    two = {f"{name[:-1]}{3 - int(name[-1])}": value for name, value in one.items()}
    for measure in ("MD", "SMD", "SMDH", "ROM", "VR", "CVR", "D2OR", "D2ORN", "CLES"):
        a, b = effect_size(measure, **one), effect_size(measure, **two)
        mirrored = 1 - b[0] if measure == "CLES" else -b[0]
        # Groups 28 SDs apart and more leave CLES no variance in floating point.
        assert a[0] == pytest.approx(mirrored, **near, nan_ok=measure == "CLES")
        assert a[1] == pytest.approx(b[1], **near, nan_ok=measure == "CLES")


@quick
@given(two_groups, st.floats(1e-6, 1e6))
def test_the_unit_of_the_outcome(one, unit):
    other = {k: v * unit if k[0] in "ms" else v for k, v in one.items()}
    for measure in MEASURES:
        if MEASURES[measure].arguments[:1] != ("m1",) or "r" in MEASURES[measure].arguments:
            continue
        power = 1 if measure == "MD" else 0
        for form in ({}, {"correct": False}):
            if form and "correct" not in MEASURES[measure].options:
                continue
            before = effect_size(measure, **one, **form)
            after = effect_size(measure, **other, **form)
            size = unit**power
            gone = {"nan_ok": measure == "CLES"}
            assert after[0] / size == pytest.approx(before[0], **near, **gone)
            assert after[1] / size**2 == pytest.approx(before[1], **near, **gone)


@quick
@given(tables)
def test_swapping_arms_and_events_of_counts(one):
    arms = {"a": one["c"], "n1": one["n2"], "c": one["a"], "n2": one["n1"]}
    other = {**one, "a": one["n1"] - one["a"], "c": one["n2"] - one["c"]}
    for measure in ("OR", "RR", "RD", "PETO", "AS", "PHI", "OR2D", "OR2DN"):
        yi, vi = effect_size(measure, **one)
        for swapped in (arms, other) if measure != "RR" else (arms,):
            back = effect_size(measure, **swapped)
            assert back[0] == pytest.approx(-yi, **near, nan_ok=True)
            assert back[1] == pytest.approx(vi, **near, nan_ok=True)


few = st.integers(0, 30)


@quick
@given(st.fixed_dictionaries({"a": few, "b": few, "c": few, "d": few}))
def test_swapping_conditions_and_events_of_pairs(one):
    conditions = {**one, "b": one["c"], "c": one["b"]}
    events = {"a": one["d"], "b": one["c"], "c": one["b"], "d": one["a"]}
    if sum(one.values()) == 0:
        return
    for measure in PAIRS_MEASURES:
        yi, vi = effect_size(measure, **one)
        assert np.isnan(yi) or vi > 0
        for swapped in (conditions, events) if measure != "MPRR" else (conditions,):
            back = effect_size(measure, **swapped)
            assert back[0] == pytest.approx(-yi, **near, nan_ok=True)
            assert back[1] == pytest.approx(vi, **near, nan_ok=True)


@quick
@given(two_groups, st.floats(-0.95, 0.95))
def test_swapping_the_times_of_paired_measures(two, r):
    one = {name: two[name] for name in ("m1", "m2", "sd1", "sd2")} | {"n": two["n1"], "r": r}
    back = one | {"m1": one["m2"], "m2": one["m1"], "sd1": one["sd2"], "sd2": one["sd1"]}
    for measure in ("MC", "SMCC", "SMCRP", "SMCRPH", "ROMC"):
        a, b = effect_size(measure, **one), effect_size(measure, **back)
        assert a[0] == pytest.approx(-b[0], **near)
        assert a[1] == pytest.approx(b[1], **near)


@quick
@given(st.integers(1, 99), st.integers(1, 99), positive, positive, st.floats(1e-3, 1e3))
def test_rates_in_another_unit_of_time(x1, x2, t1, t2, unit):
    one, two = {"x1": x1, "t1": t1, "x2": x2, "t2": t2}, {"x1": x2, "t1": t2, "x2": x1, "t2": t1}
    other = {**one, "t1": t1 * unit, "t2": t2 * unit}
    for measure, power in (("IRR", 0), ("IRD", -1), ("IRSD", -0.5)):
        yi, vi = effect_size(measure, **one)
        assert effect_size(measure, **two)[0] == pytest.approx(-yi, **near)
        scaled = effect_size(measure, **other)
        assert scaled[0] / unit**power == pytest.approx(yi, **near)
        assert scaled[1] / unit ** (2 * power) == pytest.approx(vi, **near)


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


@pytest.mark.parametrize("measure", ["OR", "RR", "IRR"])
def test_an_explicit_choice_includes_double_zeros(measure):
    counts = {
        "OR": {"a": 0, "n1": 22, "c": 0, "n2": 23},
        "RR": {"a": [0, 9], "n1": [22, 9], "c": [0, 7], "n2": [23, 7]},
        "IRR": {"x1": 0, "t1": 22, "x2": 0, "t2": 30},
    }[measure]
    golden = GRID["double_zero"][measure]
    got = effect_size(measure, **counts, to="any0")
    np.testing.assert_allclose(got[0], golden["yi"], rtol=RTOL)
    np.testing.assert_allclose(got[1], golden["vi"], rtol=RTOL)
    assert np.isnan(effect_size(measure, **counts)[0]).all()


def test_log_ratio_is_missing_for_means_of_opposite_sign():
    yi, _ = effect_size("ROM", m1=[-1, 0, 2], sd1=1, n1=9, m2=[2, 2, 1], sd2=1, n2=9)
    assert np.isnan(yi).tolist() == [True, True, False]


GOOD = {"m1": 1, "sd1": 1, "n1": 9, "m2": 0, "sd2": 1, "n2": 9}
ZERO = {"a": 0, "n1": 9, "c": 3, "n2": 9}
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
        (
            "OR",
            {"a": 1, "n1": 20, "c": 3, "n2": 20, "to": "some"},
            "choose one of: only0, any0, all, none",
        ),
        ("SMD", {"m1": 1, "m2": 2}, "sd1 n1 sd2 n2 missing; SMD needs m1 sd1 n1 m2 sd2 n2"),
        ("COR", {"r": 0.1, "n": 9, "z": 3}, "z not understood; COR needs r n"),
        ("MD", {**GOOD, "correct": False}, "correct not understood"),
        ("SMD", {"t": 2, "n1": 9}, "n2 missing; SMD needs m1 sd1 n1 m2 sd2 n2, or d n1 n2, or t"),
        ("SMD", {"t": 2, "n1": 9, "n2": 1}, "n2 is 1; SMD needs at least 2 people"),
        ("SMD", {"p": 0, "sign": 1, "n1": 9, "n2": 9}, "p is 0; an exact p lies above 0"),
        ("SMD", {"p": 0.1, "sign": 2, "n1": 9, "n2": 9}, "sign is 2; it is 1 or -1"),
        ("ARAW", {"alpha": 1.2, "m": 5, "n": 9}, "alpha is 1.2; alpha is at most 1"),
        ("ARAW", {"alpha": 0.2, "m": 1, "n": 9}, "m is 1; ARAW needs at least 2 items"),
        ("PCOR", {"t": 1, "m": 0, "n": 9}, "m is 0; PCOR needs at least 1 predictors"),
        ("MPOR", {"a": 1, "b": -1, "c": 2, "d": 9}, "b is -1; a count cannot be negative"),
        ("MPOR", {"a": 1, "b": 1, "c": 2, "d": -9}, "d is -9; a count cannot be negative"),
        ("MPRD", {"a": 0, "b": 0, "c": [1, 0], "d": 0}, "d is 0 at position 1; there are no pairs"),
        ("MPOR", {"x1": 9, "x2": 2, "n": 8, "r": 0.1}, "x1 is 9; it cannot exceed n"),
        (
            "MPRR",
            {"x1": [3, 2], "x2": [3, 20], "n": 40, "r": 0.9},
            "r is 0.9 at position 1; 2 and 20 events of the same 40 people allow -0.23 to 0.23",
        ),
        ("MPOR", {"a": 1, "n1": 9, "c": 2, "n2": 9}, "b d missing, n1 n2 not understood"),
        ("OR", {**ZERO, "add": "x"}, "add='x' is not a number"),
        ("OR", {**ZERO, "add": -1}, "add=-1 is not a number above"),
        ("OR", {**ZERO, "to": ["all"]}, "is not a rule for zero cells"),
        ("ROM", {**GOOD, "correct": "no"}, "correct='no' is neither True nor False"),
        ("MD", {**GOOD, "m1": np.array("2020-01-01", dtype="M8[D]")}, "m1 holds something that"),
    ],
)
def test_impossible_numbers_are_refused_by_name(measure, numbers, message):
    with pytest.raises(EffectError, match=message.replace("(", r"\(")):
        effect_size(measure, **numbers)


def test_masked_numbers_are_missing():
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    assert np.isnan(effect_size("MD", **GOOD | {"m1": masked})[0]).tolist() == [False, True]


def test_unknown_measure_names_its_neighbours():
    with pytest.raises(UnknownNameError, match="no measure is called"):
        effect_size(["MD"], m1=1)
    with pytest.raises(UnknownNameError, match="did you mean"):
        effect_size("SMDD")


TRIALS = pd.DataFrame(
    {
        "mean_e": [12.0, np.nan, 11.0],
        "sd_e": [3.0, 2.5, 2.8],
        "mean_c": [9.0, 8.0, 9.5],
        "sd_c": [2.0, 2.5, 3.1],
        "t": [np.nan, 2.5, np.nan],
        "n1": [14, 16, 20],
        "n2": [11, 16, 22],
    },
    index=["Ada", "Bo", "Cy"],
)
COLUMNS = {"m1": "mean_e", "sd1": "sd_e", "m2": "mean_c", "sd2": "sd_c"}


def test_a_table_keeps_its_rows_and_its_index():
    before = TRIALS.copy(deep=True)
    found = effect_sizes("SMD", TRIALS, **COLUMNS)
    assert list(found.index) == ["Ada", "Bo", "Cy"]
    assert list(found.columns) == [*TRIALS.columns, "yi", "vi", "measure", "note"]
    assert found.loc["Bo", "note"] == "missing: m1"
    assert np.isnan(found.loc["Bo", "yi"])
    assert found["yi"].drop("Bo").tolist() == [
        effect_size("SMD", m1=12, sd1=3, n1=14, m2=9, sd2=2, n2=11)[0],
        effect_size("SMD", m1=11, sd1=2.8, n1=20, m2=9.5, sd2=3.1, n2=22)[0],
    ]
    pd.testing.assert_frame_equal(TRIALS, before)


def test_rows_that_lack_means_go_another_named_way():
    found = effect_sizes("SMD", TRIALS, **COLUMNS, t="t")
    assert found.loc["Bo", "note"] == "from t n1 n2"
    assert found.loc["Bo", "yi"] == effect_size("SMD", t=2.5, n1=16, n2=16)[0]
    assert found.loc["Ada", "note"] == ""
    # Without its name the column t could hold anything.
    assert np.isnan(effect_sizes("SMD", TRIALS, **COLUMNS).loc["Bo", "yi"])


def test_notes_say_why_and_what():
    trials = pd.DataFrame({"a": [4, 0, 0, 20, np.nan], "n1": 20, "c": [7, 3, 0, 20, 1]})
    found = effect_sizes("RR", trials, n2=20)
    assert found["note"].tolist() == [
        "",
        "0.5 added to each cell: one is zero",
        "no event in either group says nothing about a ratio",
        "nothing but events in either group says nothing about a ratio",
        "missing: a",
    ]
    assert effect_sizes("RR", trials, n2=20, to="any0")["yi"].notna().sum() == 4
    assert effect_sizes("RD", trials, n2=20)["yi"].notna().sum() == 4
    none = effect_sizes("OR", trials, n2=20, to="none")
    assert none["note"][1] == "not defined: a zero cell has no ratio, and nothing was added"
    rates = pd.DataFrame({"x1": [0, 2], "t1": 9.0, "x2": [3, 0], "t2": 9.0})
    assert (
        effect_sizes("IRR", rates, add=0.1)["note"].tolist()
        == ["0.1 added to each count: one is zero"] * 2
    )
    signs = pd.DataFrame({"m1": [-1.0], "sd1": 1, "n1": 9, "m2": 2, "sd2": 1, "n2": 9})
    assert "same side of 0" in effect_sizes("ROM", signs)["note"][0]


def test_a_second_call_replaces_the_first():
    first = effect_sizes("SMD", TRIALS, **COLUMNS)
    second = effect_sizes("ROM", first, **COLUMNS)
    assert list(second.columns) == list(first.columns)
    assert set(second["measure"]) == {"ROM"}
    again = effect_sizes("GEN", first)
    pd.testing.assert_series_equal(again["yi"], first["yi"])
    assert again.loc["Bo", "note"] == "missing: yi vi"


def test_a_standard_error_typed_as_sd_is_noted():
    trials = pd.DataFrame(
        {
            "m1": [52, 48, 55, 50, 51],
            "sd1": [9.0, 10.1, 1.8, 8.7, 11.0],
            "n1": [25, 30, 27, 22, 40],
            "m2": [50, 49, 51, 48, 47],
            "sd2": [9.4, 9.9, 1.9, 9.1, 10.2],
            "n2": [25, 30, 27, 22, 40],
        }
    )
    notes = effect_sizes("MD", trials)["note"]
    assert "group 1: its SD 1.8 looks like a standard error" in notes[2]
    assert "group 2: its SD 1.9 looks like a standard error" in notes[2]
    assert (notes.drop(2) == "").all()
    # Standardised differences may stem from several units, so only the study itself speaks.
    assert "a difference of 2" not in effect_sizes("SMD", trials)["note"][2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: effect_sizes("SMD", TRIALS), "no column for m1 sd1 m2 sd2; SMD needs"),
        (lambda: effect_sizes("SMD", TRIALS, m1="nope"), "no column is called 'nope'"),
        (lambda: effect_sizes("MD", TRIALS, **COLUMNS, zz=3), "zz not understood"),
        (
            lambda: effect_sizes("MD", TRIALS.assign(sd_c=[1, 0, -1]), **COLUMNS),
            "row 'Cy': sd2 is -1; a standard deviation must be above 0",
        ),
        (lambda: effect_sizes("MD", TRIALS.assign(note="x"), **COLUMNS), "a column 'note' already"),
        (lambda: effect_sizes("MD", TRIALS, **COLUMNS | {"sd1": [1, 2]}), "2 values for 3 rows"),
        (lambda: effect_sizes("MD", TRIALS.assign(sd_c="x"), **COLUMNS), "not a number"),
        (lambda: effect_sizes("MD", TRIALS, **COLUMNS | {"sd1": list("abc")}), "not a number"),
        (
            lambda: effect_sizes("MD", TRIALS, **COLUMNS | {"sd1": pd.Series([1, 2, 3])}),
            "sd1 is a Series whose index is not that of the table",
        ),
        (
            lambda: effect_sizes("MD", pd.concat([TRIALS, TRIALS[["t"]]], axis=1), m1="t"),
            "several columns are called 't'",
        ),
        (lambda: effect_sizes("MD", TRIALS.to_dict("list"), **COLUMNS), "takes a DataFrame"),
        (
            lambda: effect_sizes("MD", TRIALS.assign(sd_c=pd.Timestamp("2020-01-01")), **COLUMNS),
            "not a number",
        ),
    ],
)
def test_tables_are_refused_in_words(call, message):
    with pytest.raises((EffectError, UnknownNameError), match=message):
        call()


def test_results_on_the_log_scale_know_their_ratio():
    table = measures()
    logs = set(table.loc[table["scale"] == "log ratio", "measure"])
    assert set(RATIOS) == logs


@pytest.mark.parametrize("measure", ["MPRD", "MPRR", "MPOR"])
def test_pairs_that_agree_but_for_rounding_have_no_variance(measure):
    # A correlation computed from counts can miss 1 by a rounding; the same margins then leave a
    # variance of 1e-17, and the study would have all the weight.
    for r in (1.0, 1 - 2e-16):
        yi, vi = effect_size(measure, x1=5, x2=5, n=20, r=r)
        assert np.isnan(yi)
        assert np.isnan(vi)

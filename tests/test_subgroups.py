"""Subgroups: each one pooled, the test between them, and groups too small for either."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError
from retroevidence.meta.pool import pool
from retroevidence.meta.result import Pooled
from retroevidence.meta.subgroups import subgroups
from retroevidence.meta.tau2 import METHODS

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))
TESTS = ["z", "t", "knha", "adhoc"]

# metafor 3.8-1, R 4.2.2, on the BCG trials (log risk ratios) by `alloc` (alternate, random,
# systematic), control = list(threshold = 1e-13, maxiter = 10000, tol = 1e-14).
# apart: rma(yi, vi, test = ) on each group, then rma(estimates, sei = ses, mods = ~ group,
# method = "FE") for Q between; together: rma(yi, vi, mods = ~ alloc [- 1], test = ).
APART = {
    "estimate": [-0.540792961849346, -0.970964704263104, -0.424207391510876],
    "tau2": [0.132577039878093, 0.392528006900871, 0.400345880175083],
    "z": {
        "se": [0.281601613103888, 0.275956102972796, 0.359745232433111],
        "ci_low": [-1.09272198152135, -1.51182872740381, -1.12929509068976],
        "q": 1.86144494615457,
        "p": 0.394268758885599,
    },
    "knha": {
        "se": [0.281601613103888, 0.253127526069536, 0.364218462098616],
        "ci_low": [-4.11888071198441, -1.59034544765366, -1.58331309053273],
        "q": 2.03834716617401,
    },
}
TOGETHER = {
    "estimate": [-0.517955777155295, -0.965774178545846, -0.428917560923577],
    "tau2": 0.361503664324018,
    "tau2_se": 0.211120828986652,
    "z": {
        "se": [0.441194460386851, 0.267244094065263, 0.344945367625299],
        "ci_low": [-1.38268102969211, -1.4895629779948, -1.10499805810309],
        "p_value": [0.240400944355615, 0.00030170930077644, 0.213707133493433],
        "statistic": 1.76751140193171,
        "p": 0.413228032757365,
    },
    "knha": {
        "se": [0.421947058594148, 0.25558539270557, 0.32989689652393],
        "ci_low": [-1.45811241189024, -1.5352539220333, -1.16397365321824],
        "p_value": [0.247732561391885, 0.00360979348861856, 0.222714257274432],
        "statistic": 0.96622084481343,
        "p": 0.413383745721621,
    },
}
# Both sides iterate tau² to 1e-13.
RTOL = 1e-10


@pytest.fixture(scope="module")
def bcg():
    given = pd.DataFrame(CASES["bcg_inputs"])
    n1, n2 = given["tpos"] + given["tneg"], given["cpos"] + given["cneg"]
    yi, vi = effect_size("RR", a=given["tpos"], n1=n1, c=given["cpos"], n2=n2)
    return given.assign(yi=yi, vi=vi, study_id=[f"s{i}" for i in range(13)])


@pytest.mark.parametrize("test", ["z", "knha"])
def test_groups_of_their_own_against_metafor(test, bcg):
    found = subgroups(bcg, by="alloc", common_tau2=False, test=test)
    assert list(found.groups) == ["alternate", "random", "systematic"]
    for name in ("estimate", "tau2"):
        np.testing.assert_allclose(found.table[name], APART[name], rtol=RTOL)
    np.testing.assert_allclose(found.table["se"], APART[test]["se"], rtol=RTOL)
    # The oldest scipy has the quantile of t with one degree of freedom to 4e-10.
    np.testing.assert_allclose(found.table["ci_low"], APART[test]["ci_low"], rtol=1e-9)
    assert found.q_between == pytest.approx(APART[test]["q"], rel=RTOL)
    if test == "z":
        assert found.p_value == pytest.approx(APART["z"]["p"], rel=RTOL)
        assert math.isinf(found.df2)


@pytest.mark.parametrize("test", ["z", "knha"])
def test_one_tau2_against_metafor(test, bcg):
    found = subgroups(bcg, by="alloc", common_tau2=True, test=test)
    golden = TOGETHER[test]
    np.testing.assert_allclose(found.table["estimate"], TOGETHER["estimate"], rtol=RTOL)
    for name in ("se", "ci_low", "p_value"):
        np.testing.assert_allclose(found.table[name], golden[name], rtol=RTOL)
    assert found.statistic == pytest.approx(golden["statistic"], rel=RTOL)
    assert found.p_value == pytest.approx(golden["p"], rel=RTOL)
    for one in found.groups.values():
        assert one.tau2 == pytest.approx(TOGETHER["tau2"], rel=RTOL)
        assert one.tau2_se == pytest.approx(TOGETHER["tau2_se"], rel=RTOL)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("test", TESTS)
def test_one_tau2_is_the_regression_on_the_groups(method, test, bcg):
    found = subgroups(bcg, by="alloc", common_tau2=True, method=method, test=test)
    line = pool(bcg, mods="~ alloc", method=method, test=test)
    # The regression solves with other columns of the same space.
    assert found.statistic == pytest.approx(line.qm, rel=1e-9)
    assert found.p_value == pytest.approx(line.qm_p_value, rel=1e-9)
    flat = pool(bcg, mods="~ 0 + alloc", method=method, test=test).coefficients
    np.testing.assert_allclose(found.table["estimate"], flat["estimate"], rtol=1e-10)
    np.testing.assert_allclose(found.table["se"], flat["se"], rtol=1e-9)
    np.testing.assert_allclose(found.table["ci_high"], flat["ci_high"], rtol=1e-9)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("test", TESTS)
def test_groups_of_their_own_are_pooled_alone(method, test, bcg):
    found = subgroups(bcg, by="alloc", common_tau2=False, method=method, test=test)
    for name, one in found.groups.items():
        assert one == pool(bcg[bcg["alloc"] == name], method=method, test=test)
        assert isinstance(one, Pooled)
    assert 0 < found.p_value < 1


def test_shared_tau2_has_the_interval_of_all_groups(bcg):
    groups = subgroups(bcg, by="alloc", common_tau2=True).groups
    line = pool(bcg, mods="~ alloc")
    for one in groups.values():
        assert one.tau2_ci == pytest.approx(line.tau2_ci, rel=1e-10)
        assert one.tau2_interval("profile").tau2 == pytest.approx(
            line.tau2_interval("profile").tau2, rel=1e-9
        )
        assert one.df == 10
        assert one.modified_ci.high - one.ci.high > -1e-12
        assert one.prediction.low < one.ci.low


def test_welch_is_the_classical_test_where_tau2_is_large():
    # Equal tiny variances: each group's Knapp-Hartung standard error is that of its mean, so the
    # test is Welch's of the raw values. Welch's statistic written out from its definition.
    rng = np.random.default_rng(3)
    sets = [rng.normal(m, s, n) for m, s, n in ((0, 1, 6), (1, 2, 9), (0.5, 0.5, 5))]
    yi, by = np.concatenate(sets), np.repeat(["a", "b", "c"], [6, 9, 5])
    found = subgroups(yi=yi, vi=np.full(20, 1e-9), by=by, common_tau2=False)
    w = np.array([len(s) / s.var(ddof=1) for s in sets])
    means = np.array([s.mean() for s in sets])
    n = np.array([6, 9, 5])
    lack = np.sum((1 - w / w.sum()) ** 2 / (n - 1))
    f = np.sum(w * (means - w @ means / w.sum()) ** 2) / 2 / (1 + 2 / 8 * lack)
    # The sampling variance of 1e-9 is what differs.
    assert found.statistic == pytest.approx(f, rel=1e-7)
    assert found.df2 == pytest.approx(8 / (3 * lack), rel=1e-7)


def test_welch_from_statsmodels():
    from statsmodels.stats.oneway import anova_oneway

    rng = np.random.default_rng(8)
    sets = [rng.normal(m, s, n) for m, s, n in ((0, 1, 6), (1, 2, 9), (0.5, 0.5, 5))]
    theirs = anova_oneway(sets, use_var="unequal")
    found = subgroups(
        yi=np.concatenate(sets), vi=np.full(20, 1e-9), by=np.repeat([1, 2, 3], [6, 9, 5]),
        common_tau2=False,
    )  # fmt: skip
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-6)


# Small groups and gaps ----------------------------------------------------------------------------


@pytest.mark.parametrize("common", [True, False])
@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("method", list(METHODS))
def test_a_group_of_one_study_does_not_fail(common, test, method, bcg):
    found = subgroups(bcg, by=["one"] + ["many"] * 12, common_tau2=common, test=test, method=method)
    alone = found.groups["one"]
    assert alone.k == 1
    assert alone.estimate == pytest.approx(bcg["yi"].iloc[0], rel=1e-12)
    assert 0 < found.p_value < 1
    for text in (repr(found), found._repr_html_(), repr(alone)):
        assert text
    json.dumps(found.to_dict(), allow_nan=False)
    if not common:
        assert any("One study each" in note for note in found.notes)
        assert alone.se == pytest.approx(math.sqrt(bcg["vi"].iloc[0]), rel=1e-12)


def test_every_group_of_one_study(bcg):
    for common in (True, False):
        found = subgroups(bcg, by="study_id", common_tau2=common)
        assert not found.common_tau2
        # Q between single studies is Cochran's Q.
        assert found.q_between == pytest.approx(found.overall.q, rel=1e-12)
        assert found.p_value == pytest.approx(chi2.sf(found.overall.q, 12), rel=1e-10)


def test_one_group_only(bcg):
    for common in (True, False):
        found = subgroups(bcg, by=["all"] * 13, common_tau2=common)
        assert found.groups["all"].ci == pytest.approx(found.overall.ci, rel=1e-12)
        assert math.isnan(found.p_value)
        assert any("nothing to compare" in note for note in found.notes)


def test_studies_without_group_or_effect_are_named(bcg):
    frame = bcg.assign(alloc=bcg["alloc"].where(bcg["study_id"] != "s4"))
    frame.loc[0, "yi"] = np.nan
    found = subgroups(frame, by="alloc", common_tau2=True)
    assert found.overall.k == 11
    assert found.notes[0] == "Left out, no group in alloc: s4."
    assert found.overall.notes[0] == "Left out, no effect or variance: s0."
    assert sum(one.k for one in found.groups.values()) == 11
    assert found.groups["random"].studies["study_id"].iloc[0] == "s1"


def test_groups_keep_the_order_of_numbers():
    found = subgroups(yi=[1.0, 2, 3, 4], vi=[1.0] * 4, by=[10, 2, 10, 2], common_tau2=False)
    assert list(found.groups) == ["2", "10"]


def test_identical_studies():
    for common in (True, False):
        found = subgroups(
            yi=[0.3] * 3 + [0.5] * 3, vi=[0.1] * 6, by=list("aaabbb"), common_tau2=common
        )
        assert found.groups["a"].estimate == pytest.approx(0.3, rel=1e-12)
        assert 0 < found.p_value <= 1


def test_scale_of_the_outcome_does_not_matter(bcg):
    for factor in (1e-6, 1e6):
        scaled = bcg.assign(yi=bcg["yi"] * factor, vi=bcg["vi"] * factor**2)
        for common in (True, False):
            one = subgroups(bcg, by="alloc", common_tau2=common)
            two = subgroups(scaled, by="alloc", common_tau2=common)
            assert two.p_value == pytest.approx(one.p_value, rel=1e-9)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"by": "arm"}, "by='arm' is no column"),
        ({"by": ["a", "b"]}, "by has 2 values for 13 effects"),
        ({"by": [None] * 13}, "no study has both an effect and a group"),
    ],
)
def test_refusals(keywords, message, bcg):
    with pytest.raises(PoolError, match=message):
        subgroups(bcg, common_tau2=True, **keywords)


def test_it_shows_itself(bcg):
    text = repr(subgroups(bcg.assign(measure="RR"), by="alloc", common_tau2=True))
    assert text.startswith("RR by alloc, 3 groups with one tau² (REML, Knapp-Hartung)")
    assert "F(2, 10) = 0.97, p = 0.413" in text
    found = subgroups(bcg, by="alloc", common_tau2=False, test="z")
    assert "Q(2) = 1.86, p = 0.394" in found._repr_html_()
    assert found.summary["p_value"].iloc[0] == found.p_value


# Labels -------------------------------------------------------------------------------------------

FOUR = {"yi": [0.1, 0.3, 0.8, 0.9], "vi": [0.02, 0.03, 0.05, 0.01]}


@pytest.mark.parametrize("common_tau2", [True, False])
def test_labels_that_read_alike_are_one_group(common_tau2):
    found = subgroups(**FOUR, by=[1, "1", 2, 2], common_tau2=common_tau2)
    assert list(found.groups) == ["1", "2"]
    assert [one.k for one in found.groups.values()] == [2, 2]
    wanted = subgroups(**FOUR, by=[1, 1, 2, 2], common_tau2=common_tau2)
    assert found.statistic == wanted.statistic


@pytest.mark.parametrize(
    "by",
    [
        list(pd.to_datetime(["2001-02-03", "2001-02-03", "2005-06-07", "2005-06-07"])),
        pd.Categorical(list("aabb"), categories=list("zba")),
        [True, True, False, False],
        [1.0, 1.0, 2.5, 2.5],
        pd.array([1, 1, 2, 2], dtype="Int64"),
        (one for one in "aabb"),
    ],
)
def test_labels_of_any_type(by):
    found = subgroups(**FOUR, by=by, common_tau2=True, test="z")
    assert [one.k for one in found.groups.values()] == [2, 2]
    assert found.statistic == pytest.approx(
        subgroups(**FOUR, by=list("aabb"), common_tau2=True, test="z").statistic, rel=1e-12
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": None}, "by is a NoneType; give the name of a column"),
        ({"by": 3}, "by is a int; give the name"),
        ({"by": pd.DataFrame({"g": list("aabb")})}, "by is a DataFrame; give the name"),
        ({"by": list("aabb"), "common_tau2": None}, "common_tau2=None is neither True nor False"),
        ({"by": list("aabb"), "common_tau2": "yes"}, "common_tau2='yes' is neither"),
    ],
)
def test_groups_that_are_none(wrong, message):
    with pytest.raises(PoolError, match=message):
        subgroups(**FOUR, **{"common_tau2": True, **wrong})


def test_labels_in_another_order_or_twice():
    frame = pd.DataFrame({**FOUR, "g": list("aabb")}, index=list("wxyz"))
    with pytest.raises(PoolError, match="by has the labels of the effects in another order"):
        subgroups(frame, by=frame["g"][::-1], common_tau2=True)
    with pytest.raises(PoolError, match="several columns called g"):
        subgroups(pd.concat([frame, frame[["g"]]], axis=1), by="g", common_tau2=True)


def test_groups_that_agree_exactly_within_are_said():
    found = subgroups(
        yi=[0.1, 0.1, 0.1, 0.5, 0.5, 0.5], vi=[0.1] * 6, by=list("aaabbb"), common_tau2=True
    )
    assert any("modified Knapp-Hartung intervals are used" in note for note in found.notes)

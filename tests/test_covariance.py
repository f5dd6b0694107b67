"""Covariances of sampling errors: their formulas, forms and checks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.dependent.covariance import (
    from_correlation,
    from_shared_control,
    from_times,
)

GOLDEN = Path(__file__).parent / "golden"
# metafor 3.8-1: vcalc, written by golden/dependent.R.
ROWS = json.loads((GOLDEN / "dependent.json").read_text(encoding="utf-8"))["assink2016"]["rows"]


@pytest.fixture(scope="module")
def crime():
    return pd.read_csv(GOLDEN / "dependent_assink2016.csv")


def test_one_correlation_matches_metafor(crime):
    found = from_correlation(crime, cluster="study", rho=0.6)
    np.testing.assert_allclose(found.matrix()[:3, :3], ROWS["rho"], rtol=1e-13)
    assert found.blocks[0].shape == (6, 6)
    assert "17 clusters" in repr(found)
    assert "0.600 to 0.600" in found._repr_html_()


def test_times_match_metafor(crime):
    found = from_times(crime, cluster="study", time="esid", phi=0.8)
    np.testing.assert_allclose(found.matrix()[:3, :3], ROWS["falling"], rtol=1e-13)
    lags = {float(d): 0.8**d for d in range(1, 30)}
    same = from_times(crime, cluster="study", time="esid", lags=lags)
    np.testing.assert_allclose(same.matrix(), found.matrix(), rtol=1e-13)


def test_a_table_of_outcomes():
    table = pd.DataFrame([[1, 0.7], [0.7, 1]], index=["pain", "speed"], columns=["pain", "speed"])
    frame = pd.DataFrame({
        "vi": [1.0, 4.0, 9.0, 1.0], "s": [1, 1, 2, 2], "what": ["pain", "speed", "speed", "pain"],
    })  # fmt: skip
    found = from_correlation(frame, cluster="s", rho=table, outcome="what").matrix()
    assert found[0, 1] == pytest.approx(0.7 * 2)
    assert found[2, 3] == pytest.approx(0.7 * 3)
    assert found[0, 2] == 0
    with pytest.raises(PoolError, match="no correlations of gait"):
        from_correlation(frame.assign(what="gait"), cluster="s", rho=table, outcome="what")
    with pytest.raises(PoolError, match="outcome="):
        from_correlation(frame, cluster="s", rho=table)


def simulated(measure, names, runs=40_000):
    """Sampling covariance of two treatments against one control group, by simulation."""
    rng = np.random.default_rng(8)
    n = {"a": 160, "b": 240, "c": 200}
    if measure in ("RR", "OR", "RD"):
        share = {"a": 0.5, "b": 0.4, "c": 0.3}
        x = {g: rng.binomial(n[g], share[g], runs) for g in n}
        first, second = (
            effect_size(measure, a=x[g], n1=n[g], c=x["c"], n2=n["c"])[0] for g in "ab"
        )
        at = {"c": 0.3 * 200, "n2": 200}
    else:
        mean = {"a": 6.0, "b": 5.6, "c": 5.0}
        m = {g: rng.normal(mean[g], 1 / np.sqrt(n[g]), runs) for g in n}
        sd = {g: np.sqrt(rng.chisquare(n[g] - 1, runs) / (n[g] - 1)) for g in n}
        if names == "all":
            pooled = np.sqrt(sum((n[g] - 1) * sd[g] ** 2 for g in n) / (sum(n.values()) - 3))
            first, second = ((m[g] - m["c"]) / pooled for g in "ab")
        else:
            first, second = (
                effect_size(
                    measure, m1=m[g], sd1=sd[g], n1=n[g], m2=m["c"], sd2=sd["c"], n2=n["c"]
                )[0]
                for g in "ab"
            )
        at = {"m2": 5.0, "sd2": 1.0, "n2": 200, "n1": [160, 240]}
    frame = pd.DataFrame({
        "yi": [first.mean(), second.mean()], "vi": [first.var(), second.var()], "arm": "c", **at,
    })  # fmt: skip
    return frame, np.cov(first, second)[0, 1]


@pytest.mark.parametrize(
    ("measure", "sd"),
    [("MD", None), ("ROM", None), ("RR", None), ("OR", None), ("RD", None),
     ("SMD", "pair"), ("SMD", "all")],
)  # fmt: skip
def test_shared_control_against_simulation(measure, sd):
    frame, covariance = simulated(measure, sd)
    found = from_shared_control(frame, control="arm", measure=measure, sd=sd).matrix()[0, 1]
    # 40,000 runs leave about 1 % (standard error); the delta method errs by some 1 % at n = 200.
    assert found == pytest.approx(covariance, rel=0.05)


def test_shared_control_formulas():
    frame = pd.DataFrame({
        "yi": [0.5, 0.8], "vi": [0.2, 0.2], "n1": [20, 30], "n2": 25, "arm": "c",
    })  # fmt: skip
    both = from_shared_control(frame, control="arm", measure="SMD", sd="all").matrix()
    # Gleser & Olkin 2009: 1/n_c + d_1 d_2/(2 N).
    assert both[0, 1] == pytest.approx(1 / 25 + 0.4 / (2 * 75), rel=1e-12)
    pair = from_shared_control(frame, control="arm", measure="SMD", sd="pair").matrix()
    assert pair[0, 1] == pytest.approx(1 / 25 + 25 * 0.4 / (2 * 45 * 55), rel=1e-12)
    with pytest.raises(UnknownNameError, match="sd="):
        from_shared_control(frame, control="arm", measure="SMD")
    with pytest.raises(UnknownNameError, match="shared control"):
        from_shared_control(frame, control="arm", measure="COR")
    with pytest.raises(PoolError, match="differ in n2"):
        from_shared_control(frame.assign(n2=[25, 26]), control="arm", measure="SMD", sd="all")


def test_what_is_no_covariance_is_refused():
    frame = pd.DataFrame({"vi": [1.0, 1.0, 1.0], "s": "a", "t": [0, 1, 2]})
    with pytest.raises(PoolError, match="cluster a is not positive definite"):
        from_correlation(frame, cluster="s", rho=-0.6)
    with pytest.raises(PoolError, match="not positive definite"):
        from_correlation(frame, cluster="s", rho=1.0)
    with pytest.raises(PoolError, match="not positive definite"):
        from_times(frame.assign(t=[0, 0, 1]), cluster="s", time="t", phi=0.5)
    with pytest.raises(PoolError, match="2 apart"):
        from_times(frame, cluster="s", time="t", lags={1: 0.5})
    with pytest.raises(PoolError, match="either phi="):
        from_times(frame, cluster="s", time="t")
    with pytest.raises(PoolError, match="from 0 to below 1"):
        from_times(frame, cluster="s", time="t", phi=1.2)
    with pytest.raises(PoolError, match="must be a number"):
        from_times(frame.assign(t=[0, None, 2]), cluster="s", time="t", phi=0.5)
    with pytest.raises(PoolError, match="no column nobody"):
        from_correlation(frame, cluster="nobody", rho=0.5)
    with pytest.raises(PoolError, match="above 0"):
        from_correlation(frame.assign(vi=0.0), cluster="s", rho=0.5)


def test_rows_without_variance_or_cluster_wait_for_the_model():
    frame = pd.DataFrame({"vi": [1.0, np.nan, 4.0, 2.0], "s": ["a", "a", "a", None]})
    found = from_correlation(frame, cluster="s", rho=0.5)
    assert np.isnan(found.variances[1])
    kept = found.take(np.array([0, 2])).matrix()
    np.testing.assert_allclose(kept, [[1.0, 1.0], [1.0, 4.0]])


def test_large_sets_stay_blocks():
    frame = pd.DataFrame({"vi": np.ones(20_000), "s": np.arange(20_000) // 5})
    found = from_correlation(frame, cluster="s", rho=0.3)
    assert len(found.values) == 20_000 * 5


def small(**columns):
    return pd.DataFrame({"vi": [1.0, 2.0, 1.5], "s": ["a", "a", "b"]} | columns)


@pytest.mark.parametrize(
    ("rho", "says"),
    [
        ([[1, 0.5], [0.3, 1]], "not symmetric"),
        ([[1, np.nan], [0.5, 1]], "lacks the correlation"),
        ([[1, "a"], ["a", 1]], "must be numbers"),
    ],
)
def test_a_table_that_is_no_correlation_is_refused(rho, says):
    table = pd.DataFrame(rho, index=["p", "q"], columns=["p", "q"])
    with pytest.raises(PoolError, match=says):
        from_correlation(small(o=["p", "q", "p"]), cluster="s", rho=table, outcome="o")


def test_an_effect_without_an_outcome_has_no_correlation():
    table = pd.DataFrame([[1, 0.5], [0.5, 1]], index=["p", "q"], columns=["p", "q"])
    with pytest.raises(PoolError, match="o must be known"):
        from_correlation(small(o=["p", None, "q"]), cluster="s", rho=table, outcome="o")
    kept = from_correlation(
        small(o=["p", None, "q"], vi=[1.0, np.nan, 2.0]), cluster="s", rho=table, outcome="o"
    )
    assert kept.variances[[0, 2]].tolist() == [1.0, 2.0]


def test_two_effects_of_one_outcome_take_the_diagonal_of_the_table():
    table = pd.DataFrame([[0.8]], index=["p"], columns=["p"])
    found = from_correlation(small(o="p"), cluster="s", rho=table, outcome="o").matrix()
    assert found[0, 1] == pytest.approx(0.8 * np.sqrt(2))


def test_options_that_would_say_nothing_are_refused():
    with pytest.raises(PoolError, match="outcome= says nothing"):
        from_correlation(small(o="p"), cluster="s", rho=0.5, outcome="o")
    with pytest.raises(PoolError, match="sd= speaks of an SMD"):
        from_shared_control(small(sd2=1.0, n2=20), control="s", measure="MD", sd="all")


def test_only_an_smd_needs_the_effects_themselves():
    found = from_shared_control(small(sd2=2.0, n2=20), control="s", measure="MD").matrix()
    assert found[0, 1] == pytest.approx(4 / 20)


@pytest.mark.parametrize(
    ("measure", "change", "says"),
    [
        ("OR", {"c": 0}, "a, b: an empty cell"),
        ("OR", {"c": 20}, "an empty cell"),
        ("RR", {"c": 0}, "an empty cell"),
        ("RD", {"c": 30}, "c must lie from 0 to n2"),
        ("RD", {"c": 3, "n2": 0}, "n2 must be above 0"),
        ("MD", {"n2": np.nan}, "n2 must be above 0"),
        ("MD", {"sd2": -1.0}, "sd2 must not be below 0"),
        ("ROM", {"m2": 0.0}, "m2 must not be 0"),
        ("MD", {"sd2": "wide"}, "sd2 must be numbers"),
    ],
)
def test_impossible_control_groups(measure, change, says):
    frame = small(**({"c": 4, "n2": 20, "sd2": 1.0, "m2": 3.0} | change))
    with pytest.raises(PoolError, match=says):
        from_shared_control(frame, control="s", measure=measure)


def test_an_smd_that_is_missing_does_not_reach_its_neighbours():
    frame = small(yi=[0.5, np.nan, 0.2], n1=[20, 30, 20], n2=25)
    found = from_shared_control(frame, control="s", measure="SMD", sd="all")
    assert found.variances[0] == 1.0
    assert np.isnan(found.variances[1])
    with pytest.raises(PoolError, match="n1 must be known"):
        from_shared_control(frame.assign(n1=[20, np.nan, 20]), control="s", measure="SMD", sd="all")


@pytest.mark.parametrize("make", [from_correlation, from_times])
def test_bad_frames_are_told_in_words(make):
    how = {"rho": 0.5} if make is from_correlation else {"time": "t", "phi": 0.5}
    frame = small(t=[0, 1, 0])
    with pytest.raises(PoolError, match="no rows"):
        make(frame.iloc[:0], cluster="s", **how)
    with pytest.raises(PoolError, match="vi must be numbers"):
        make(frame.assign(vi="low"), cluster="s", **how)
    with pytest.raises(PoolError, match="two columns s"):
        make(pd.concat([frame, frame[["s"]]], axis=1), cluster="s", **how)
    with pytest.raises(PoolError, match="cannot name groups"):
        make(frame.assign(s=[["a"], ["a"], ["b"]]), cluster="s", **how)
    with pytest.raises(PoolError, match="a list"):
        make([1, 2], cluster="s", **how)
    with pytest.raises(PoolError, match="a Series stands where the name"):
        make(frame, cluster=frame["s"], **how)
    assert "1 to 2" in repr(make(frame.assign(vi=[1.0, np.inf, 2.0]), cluster="s", **how))


def test_times_that_are_no_numbers():
    with pytest.raises(PoolError, match="when must be numbers"):
        from_times(
            small(when=pd.to_datetime(["2020-01-01", "2020-02-01", "2020-01-01"])),
            cluster="s", time="when", phi=0.5,
        )  # fmt: skip
    with pytest.raises(PoolError, match="no mapping"):
        from_times(small(t=[0, 1, 0]), cluster="s", time="t", lags=0.5)
    with pytest.raises(PoolError, match="phi='high' is not a number"):
        from_times(small(t=[0, 1, 0]), cluster="s", time="t", phi="high")
    with pytest.raises(PoolError, match=r"rho=1\.5 is no correlation"):
        from_correlation(small(), cluster="s", rho=1.5)


def test_gleser_and_olkin_2009():
    # Three trials of three treatments against a shared control (Table 19.1); control minus treated.
    frame = pd.DataFrame({
        "study": [1, 1, 2, 3, 3, 3], "treatment": [1, 2, 1, 1, 2, 3],
        "c": [40, 40, 10, 150, 150, 150], "n2": [1000, 1000, 200, 2000, 2000, 2000],
        "a": [100, 150, 15, 40, 80, 50], "n1": [4000, 4000, 400, 1000, 1000, 1000],
    })  # fmt: skip
    yi, vi = effect_size("RD", a=frame["a"], n1=frame["n1"], c=frame["c"], n2=frame["n2"])
    V = from_shared_control(frame.assign(vi=vi), control="study", measure="RD").matrix()
    x = (frame["treatment"].to_numpy()[:, None] == [1, 2, 3]).astype(float)
    covariance = np.linalg.inv(x.T @ np.linalg.inv(V) @ x)
    # Equations 19.6 and 19.7 of the chapter, as printed.
    means = covariance @ x.T @ np.linalg.inv(V) @ -np.asarray(yi)
    np.testing.assert_allclose(means, [0.0200, 0.0043, 0.0211], atol=5e-5)
    printed = [[24.612, 19.954, 13.323], [19.954, 28.538, 13.255], [13.323, 13.255, 69.806]]
    np.testing.assert_allclose(1e6 * covariance, printed, atol=5e-4)

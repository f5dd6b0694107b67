"""Cluster-robust tests against metafor and clubSandwich, and against their definition."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.counts.pool import pool_counts
from retroevidence.meta.dependent import sandwich
from retroevidence.meta.dependent.large_clusters import _nodes
from retroevidence.meta.dependent.multilevel import pool_multilevel
from retroevidence.meta.dependent.robust import robust
from retroevidence.meta.pool import pool
from retroevidence.meta.subgroups import subgroups

GOLDEN = Path(__file__).parent / "golden"
# metafor 5.1-12, clubSandwich 0.5.8, tight control settings (golden/README.md).
CASES = json.loads((GOLDEN / "dependent_acceptance.json").read_text(encoding="utf-8"))
# metafor 3.8-1, clubSandwich 0.5.8, written by golden/dependent.R.
MORE = json.loads((GOLDEN / "dependent.json").read_text(encoding="utf-8"))

# tau² iterates to 1e-13 on both sides; the inverse of an ill-conditioned design loses some digits.
CLOSE = 1e-9
# Multilevel variances of metafor hold to some 1e-8 (test_multilevel.py).
OPTIMISED = 2e-7


@pytest.fixture(scope="module")
def drinking():
    return pd.read_csv(GOLDEN / "dependent_tannersmith2016.csv")


@pytest.fixture(scope="module")
def crime():
    return pd.read_csv(GOLDEN / "dependent_assink2016.csv")


def test_trials_of_their_own_cluster_match_metafor():
    inputs = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))["bcg_inputs"]
    given = pd.DataFrame(inputs)
    yi, vi = effect_size(
        "RR",
        a=given["tpos"],
        n1=given["tpos"] + given["tneg"],
        c=given["cpos"],
        n2=given["cpos"] + given["cneg"],
    )
    fit = pool(given.assign(yi=yi, vi=vi), test="z")
    golden = CASES["bcg_robust"]
    plain = robust(fit, cluster="trial", kind="CR1")
    assert plain.se == pytest.approx(golden["CR1"]["se"], rel=CLOSE)
    assert plain.df == golden["CR1"]["df"]
    best = robust(fit, cluster="trial")
    assert best.se == pytest.approx(golden["CR2"]["se"], rel=CLOSE)
    assert best.df == pytest.approx(golden["CR2"]["df"], rel=CLOSE)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1p", "CR2"])
@pytest.mark.parametrize(
    ("case", "mods", "method"),
    [
        ("plain", None, "REML"),
        ("line", "~ aget1 + propmale + sexmix", "REML"),
        ("common", "~ aget1", "CE"),
    ],
)
def test_every_kind_on_pooled_fits(drinking, case, mods, method, kind):
    golden = MORE["tannersmith2016"][case]["robust"][kind]
    found = robust(pool(drinking, mods=mods, method=method), cluster="studyid", kind=kind)
    np.testing.assert_allclose(found.coefficients["se"], golden["se"], rtol=CLOSE)
    # clubSandwich uses Satterthwaite's degrees of freedom for every kind, we for CR2 alone.
    np.testing.assert_allclose(found.parts.satterthwaite(), golden["df"], rtol=CLOSE)
    if kind == "CR2":
        np.testing.assert_allclose(found.coefficients["p_value"], golden["p"], rtol=1e-8)
    else:
        assert set(found.dfs) == {found.clusters - len(found.names)}


def test_the_joint_test_matches(drinking, crime):
    fit = pool(drinking, mods="~ aget1 + propmale + sexmix")
    golden = MORE["tannersmith2016"]["line"]["htz"]
    test = robust(fit, cluster="studyid").joint()
    np.testing.assert_allclose(test, [golden[n] for n in ("F", "df1", "df2", "p")], rtol=1e-7)
    # Here the design fits some clusters exactly, and CR2 drops those directions.
    fit = pool_multilevel(crime, cluster="study", rho=0.6, mods="~ year + C(deltype)")
    golden = MORE["assink2016"]["REML"]["words"]["htz"]
    test = fit.robust.joint()
    np.testing.assert_allclose(test, [golden[n] for n in ("F", "df1", "df2", "p")], rtol=1e-6)
    one = fit.robust.joint(["year"])
    row = fit.robust.coefficients.set_index("term").loc["year"]
    assert one.p_value == pytest.approx(row["p_value"], rel=1e-9)
    assert one.df2 == pytest.approx(row["df"], rel=1e-9)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1p", "CR2"])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_every_kind_on_multilevel_fits(crime, method, kind):
    golden = MORE["assink2016"][method]["robust"][kind]
    found = robust(pool_multilevel(crime, cluster="study", rho=0.6, method=method), kind=kind)
    assert found.se == pytest.approx(golden["se"], rel=OPTIMISED)
    assert found.parts.satterthwaite()[0] == pytest.approx(golden["df"], rel=OPTIMISED)


def test_schools_cr1_as_metafor():
    golden = CASES["konstantopoulos2011"]["CR1"]
    frame = pd.read_csv(GOLDEN / "dependent_konstantopoulos2011.csv")
    found = robust(pool_multilevel(frame, cluster="district"), kind="CR1")
    assert found.se == pytest.approx(golden["se"], rel=OPTIMISED)
    assert found.df == golden["df"]


def clustered(n, clusters, seed=1):
    rng = np.random.default_rng(seed)
    lab = rng.integers(0, clusters, n)
    v = rng.uniform(0.01, 0.2, n)
    yi = 0.3 * rng.normal(size=clusters)[lab] + np.sqrt(v + 0.04) * rng.normal(size=n)
    return pd.DataFrame({"yi": yi, "vi": v, "lab": lab, "x": rng.normal(size=n)})


def reference(linear, codes):
    """CR2 as it is defined, with whole matrices and the symmetric root of each cluster."""
    n = len(linear.y)
    phi = linear.blocks.dense(np.arange(n)[None, :])[0]
    x, b = linear.x.T, linear.covariance
    total = np.zeros_like(b)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        mine = phi[np.ix_(rows, rows)]
        values, vectors = np.linalg.eigh(mine)
        root = vectors * np.sqrt(values) @ vectors.T
        inner = root @ (mine - x[rows] @ b @ x[rows].T) @ root
        values, vectors = np.linalg.eigh(inner)
        adjust = root @ (vectors / np.sqrt(values) @ vectors.T) @ root
        weighted = np.linalg.solve(mine, x[rows]) if len(rows) else x[rows]
        g = b @ weighted.T @ adjust
        share = g @ (linear.y[rows] - x[rows] @ linear.beta)
        total += np.outer(share, share)
    return total


@pytest.mark.parametrize("rho", [None, 0.6])
@pytest.mark.parametrize("clusters", [4, 12])
def test_cr2_is_what_it_is_defined_to_be(rho, clusters):
    """Small clusters go by matrix, those of more than 24 effects by the integral."""
    frame = clustered(120, clusters)
    fit = pool_multilevel(frame, cluster="lab", rho=rho, mods="~ x")
    want = reference(fit.linear, fit.linear.blocks.layout.member)
    np.testing.assert_allclose(fit.robust.covariance, want, rtol=1e-9)


def test_cr2_is_unbiased_under_the_working_model():
    fit = pool(clustered(60, 7), mods="~ x")
    found = robust(fit, cluster="lab")
    own, held, b = found.parts.own, found.parts.held, found.parts.covariance
    expected = (own - np.einsum("jas,ab,jbt->jst", held, b, held)).sum(axis=0)
    np.testing.assert_allclose(expected, b, rtol=1e-10)


@pytest.mark.parametrize("rho", [None, 0.6])
def test_large_clusters_by_either_way(monkeypatch, rho):
    frame = clustered(600, 5)
    fit = pool_multilevel(frame, cluster="lab", rho=rho, mods="~ x")
    quick = robust(fit)
    monkeypatch.setattr(sandwich, "LARGE", 10**9)
    slow = robust(fit)
    np.testing.assert_allclose(quick.covariance, slow.covariance, rtol=1e-9)
    np.testing.assert_allclose(quick.dfs, slow.dfs, rtol=1e-9)


def test_large_clusters_fall_back_when_variances_lie_far_apart(monkeypatch):
    frame = clustered(200, 4)
    frame.loc[::40, "vi"] = 1e-8
    fit = pool(frame, mods="~ x", method="CE")
    quick = robust(fit, cluster="lab")
    monkeypatch.setattr(sandwich, "LARGE", 10**9)
    slow = robust(fit, cluster="lab")
    # Both go by singular values here; ratios of 2e7 leave nine digits.
    np.testing.assert_allclose(quick.covariance, slow.covariance, rtol=1e-8)


@pytest.mark.parametrize("ratio", [1.0, 1e-2, 1e-5, 1e-8, 1e-11])
def test_the_integral_of_the_inverse_root(ratio):
    low, high = np.array([3.0]), np.array([3.0 / ratio])
    t, weight = _nodes(low, high)
    x = np.geomspace(low[0], high[0], 50)
    root = (weight[:, 0] / (t[:, 0] ** 2 + x[:, None])).sum(axis=1)
    np.testing.assert_allclose(root, 1 / np.sqrt(x), rtol=1e-11)


def test_wider_clusters_than_those_of_the_model():
    frame = clustered(90, 12).assign(site=lambda d: d["lab"] // 3)
    fit = pool_multilevel(frame, cluster="lab", rho=0.5, mods="~ x")
    wide = robust(fit, cluster="site")
    assert wide.clusters == 4
    codes = pd.factorize(frame["site"])[0][fit.linear.order]
    np.testing.assert_allclose(wide.covariance, reference(fit.linear, codes), rtol=1e-9)
    with pytest.raises(PoolError, match="cut those of the model"):
        robust(fit, cluster=np.arange(90) % 7)


def test_clusters_by_column_list_and_series(drinking):
    fit = pool(drinking)
    one = robust(fit, cluster="studyid")
    assert robust(fit, cluster=list(drinking["studyid"])).se == one.se
    shuffled = drinking["studyid"].sample(frac=1, random_state=1)
    assert robust(fit, cluster=shuffled).se == one.se  # matched by index


def test_it_shows_itself(drinking):
    found = robust(pool(drinking), cluster="studyid")
    assert "CR2" in repr(found)
    assert "<table>" in found._repr_html_()
    flat = json.loads(json.dumps(found.to_dict()))
    assert flat["df"] == found.df
    assert found.summary.loc[0, "ci_high"] == found.ci.high
    assert found.statistic == pytest.approx(found.estimate / found.se)
    plain = robust(pool(drinking), cluster="studyid", kind="CR0")
    assert any("quote CR2" in note for note in plain.notes)


def test_errors(drinking):
    fit = pool(drinking)
    with pytest.raises(PoolError, match="name the clusters"):
        robust(fit)
    with pytest.raises(UnknownNameError, match="column"):
        robust(fit, cluster="study")
    with pytest.raises(UnknownNameError, match="kind"):
        robust(fit, cluster="studyid", kind="CR3")
    with pytest.raises(PoolError, match="at least two"):
        robust(fit, cluster=np.ones(len(drinking)))
    with pytest.raises(PoolError, match="has 3 values"):
        robust(fit, cluster=[1, 2, 3])
    with pytest.raises(PoolError, match="fill it in"):
        robust(fit, cluster=drinking["studyid"].where(drinking["studyid"] > 5))
    line = pool(drinking, mods="~ aget1 + propmale")
    with pytest.raises(PoolError, match="cannot carry"):
        robust(line, cluster=np.arange(len(drinking)) % 3)
    with pytest.raises(PoolError, match="give one of these"):
        robust("a fit")
    with pytest.raises(PoolError, match="no moderator"):
        robust(fit, cluster="studyid").joint()
    with pytest.raises(UnknownNameError, match="coefficient"):
        robust(fit, cluster="studyid").joint(["dose"])


@pytest.mark.parametrize("spread", [1.0, 1e4, 1e8])
def test_the_cr2_adjustment_solves_its_equation_whatever_the_variances(spread):
    # A (Phi - X B X') A = Phi defines it (Bell & McCaffrey 2002); the two ways to solve it meet
    # where the variances of one cluster lie a thousandfold apart.
    phi = np.diag([1.0, 3.0, spread, 2 * spread])[None]
    x = np.ones((1, 4, 1))
    b = np.array([[[0.7 / np.sum(1 / np.diag(phi[0]))]]])
    adjust = sandwich._by_matrix(phi, x, b, np.eye(4)[None])[0]
    left = phi[0] - (x @ b @ np.swapaxes(x, -1, -2))[0]
    size = np.sqrt(np.outer(np.diag(phi[0]), np.diag(phi[0])))
    # Rounding of the largest entries, which is of the order of the spread, reaches the small ones.
    limit = 1e-12 + np.finfo(float).eps * spread
    assert (np.abs(adjust @ left @ adjust - phi[0]) / size).max() < limit


def test_other_results_are_told_what_to_do(drinking):
    counts = pool_counts(a=[4, 6], n1=[123, 306], c=[11, 29], n2=[139, 303])
    with pytest.raises(PoolError, match="a PooledCounts is not what pool"):
        robust(counts, cluster=["a", "b"])
    groups = subgroups(drinking, by="sexmix", common_tau2=True)
    with pytest.raises(PoolError, match="one of its groups"):
        robust(groups, cluster="studyid")
    assert robust(groups.groups["male"], cluster="studyid").clusters > 2


def test_a_series_of_clusters_is_never_paired_wrongly(drinking):
    # Two files joined: labels of rows come twice.
    half = len(drinking) // 2
    joined = pd.concat([drinking.iloc[:half], drinking.iloc[half:].reset_index(drop=True)])
    fit = pool(joined)
    want = robust(fit, cluster="studyid").se
    assert robust(fit, cluster=joined["studyid"]).se == want
    assert robust(fit, cluster=joined["studyid"].set_axis(range(1000, 1113))).se == want
    with pytest.raises(PoolError, match="does not name each effect once"):
        robust(fit, cluster=joined["studyid"].iloc[::-1])
    with pytest.raises(PoolError, match="cluster is a dict"):
        robust(fit, cluster=joined["studyid"].to_dict())
    with pytest.raises(UnknownNameError, match="called 5"):
        robust(fit, cluster=5)
    with pytest.raises(PoolError, match="cannot name groups"):
        robust(fit, cluster=[["a"]] * len(joined))


def test_a_joint_test_of_one_name_or_the_same_twice(drinking):
    found = robust(pool(drinking, mods="~ aget1 + propmale"), cluster="studyid")
    assert found.joint("aget1") == found.joint(["aget1", "aget1"]) == found.joint(["aget1"])

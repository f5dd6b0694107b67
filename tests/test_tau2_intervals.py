"""Intervals for tau² by name, and the distribution of quadratic forms behind one of them."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, gamma

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.pool import pool
from retroevidence.meta.quadratic import quadratic_tails
from retroevidence.meta.tau2_intervals import KINDS, heterogeneity_weights

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))

# metafor 5.1-12, confint(rma(yi, vi), type = "PL" | "HT") with root tolerance 1e-14: the cases
# bcg_ci and collins1985b. Both sides solve to machine precision.
REFERENCE = {
    ("bcg", "profile"): {
        "tau2": (0.313243258136481, 0.115266105748054, 0.964695326514215),
        "i2": (92.221384521269, 81.3524628010954, 97.3341992618969),
        "h2": (12.8557582353092, 5.36263845103761, 37.5121810759035),
    },
    ("bcg", "higgins-thompson"): {
        "tau2": (0.313243258136481, 0.202742109084821, 0.477027388857396),
        "i2": (92.221384521269, 88.470583470579, 94.7519582962805),
        "h2": (12.8557582353092, 8.67346580330562, 19.0547266286254),
    },
    ("collins", "profile"): {
        "tau2": (0.300794192958171, 0.042712457039064, 1.47466249947429),
        "i2": (75.923673482922, 30.9290964508543, 93.9246748884071),
        "h2": (4.15345754382701, 1.44778763359954, 16.4600244699959),
    },
}

# Jackson, Turner, Rhodes & Viechtbauer (2014), first example: sixteen effects, one moderator;
# interval with inverse-variance weights, printed to four decimals.
JACKSON = {
    "yi": np.array(
        "0.0267 0.8242 0.3930 2.4405 2.1401 1.2528 2.4849 0.3087 1.4246 0.1823 1.1378 1.2321 "
        "2.0695 4.0237 1.4383 1.6021".split(),
        dtype=float,
    ),
    "vi": np.array(
        "0.1285 0.0315 0.0931 2.0967 1.0539 0.1602 1.0235 0.0218 0.5277 0.0556 0.3304 0.1721 "
        "0.4901 2.0200 0.3399 0.1830".split(),
        dtype=float,
    ),
}


@pytest.fixture(scope="module")
def bcg():
    given = pd.DataFrame(CASES["bcg_inputs"])
    n1, n2 = given["tpos"] + given["tneg"], given["cpos"] + given["cneg"]
    yi, vi = effect_size("RR", a=given["tpos"], n1=n1, c=given["cpos"], n2=n2)
    return given.assign(yi=yi, vi=vi)


@pytest.fixture(scope="module")
def collins():
    data = pd.read_csv(GOLDEN / "collins1985b.csv")
    arms = {
        "a": data["pre.xti"],
        "n1": data["pre.nti"],
        "c": data["pre.xci"],
        "n2": data["pre.nci"],
    }
    return dict(zip(("yi", "vi"), effect_size("OR", **arms), strict=True))


@pytest.mark.parametrize(("data", "kind"), list(REFERENCE))
def test_against_metafor(data, kind, bcg, collins):
    pooled = pool(bcg) if data == "bcg" else pool(**collins)
    table = pooled.tau2_interval(kind).table
    for name, wanted in REFERENCE[data, kind].items():
        np.testing.assert_allclose(table.loc[name], wanted, rtol=1e-10)


@pytest.mark.parametrize("case", ["bcg", "collins"])
def test_q_profile_is_the_one_of_the_result(case, bcg, collins):
    pooled = pool(bcg) if case == "bcg" else pool(**collins)
    found = pooled.tau2_interval()
    assert found.kind == "q-profile"
    assert (found.tau2, found.i2, found.h2) == (pooled.tau2_ci, pooled.i2_ci, pooled.h2_ci)
    golden = CASES["bcg_ci" if case == "bcg" else "collins1985b"]["QP"]
    # metafor's own root is good to 1e-12.
    np.testing.assert_allclose(found.table.loc["tau2"], golden["tau2"], rtol=1e-10)


def test_profile_limits_lie_where_the_likelihood_has_dropped(bcg):
    for method in ("ML", "REML"):
        pooled = pool(bcg, method=method, mods="~ ablat")
        y, v, x = pooled.fit.yi, pooled.fit.vi, pooled.fit.x

        def twice(t, y=y, v=v, x=x, method=method):
            w = 1 / (v + t)
            information = x.T @ (w[:, None] * x)
            residual = y - x @ np.linalg.solve(information, x.T @ (w * y))
            value = np.sum(np.log(w)) - np.sum(w * residual**2)
            return value - (method == "REML") * np.linalg.slogdet(information)[1]

        limits = pooled.tau2_interval("profile", level=0.8).tau2
        drop = twice(pooled.tau2) - np.array([twice(t) for t in limits])
        np.testing.assert_allclose(drop, chi2.ppf(0.8, 1), rtol=1e-9)


def test_profile_interval_of_a_likelihood_with_two_peaks():
    yi = np.concatenate([[0.0, 0.001], np.linspace(-8, 8, 9)])
    vi = np.concatenate([[1e-6, 1e-6], np.full(9, 4.0)])
    found = pool(yi=yi, vi=vi).tau2_interval("profile", level=0.999)
    assert found.tau2.low <= found.estimate <= found.tau2.high


# Generalised Q ------------------------------------------------------------------------------------


def test_generalised_q_of_a_published_example():
    pooled = pool(**JACKSON, mods=[0] * 10 + [1] * 6)
    found = pooled.tau2_interval("generalised-q").tau2
    # Printed to four decimals.
    assert found.low == pytest.approx(0.0029, abs=5e-5)
    assert found.high == pytest.approx(0.6907, abs=5e-5)


@pytest.mark.parametrize("a", [0.0, 0.1, 5.0])
def test_generalised_q_limits_solve_their_equations(a, bcg):
    # The weights of the chi-squared variables by another way: eigenvalues of the whole matrix.
    pooled = pool(bcg, mods="~ ablat")
    y, v, x = pooled.fit.yi, pooled.fit.vi, pooled.fit.x
    w = np.diag(1 / (v + a))
    b = w - w @ x @ np.linalg.solve(x.T @ w @ x, x.T @ w)
    low, high = pooled.tau2_interval("generalised-q", level=0.9, a=a).tau2
    for tau2, side in ((low, 1), (high, 0)):
        root = np.diag(np.sqrt(v + tau2))
        weights = np.linalg.eigvalsh(root @ b @ root)[x.shape[1] :]
        # The full matrix loses some digits to its p zero eigenvalues.
        assert quadratic_tails(y @ b @ y, weights)[side] == pytest.approx(0.05, rel=1e-8)


def test_equal_variances_make_generalised_q_and_q_profile_the_same():
    yi, vi = [0.1, 0.9, -0.4, 1.8, 0.6], [0.1] * 5
    pooled = pool(yi=yi, vi=vi)
    wanted = pooled.tau2_ci
    for a in (0.0, 0.05, 3.0):
        found = pooled.tau2_interval("generalised-q", a=a).tau2
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("a", [1e-9, 0.2, 1e9])
def test_weights_are_those_of_the_definition(a):
    v, x = np.array([0.1, 0.5, 2.0, 0.3]), np.column_stack([np.ones(4), [1.0, 2, 3, 5]])
    w = np.diag(1 / (v + a))
    b = w - w @ x @ np.linalg.solve(x.T @ w @ x, x.T @ w)
    for tau2 in (0.0, 0.7):
        root = np.diag(np.sqrt(v + tau2))
        wanted = np.linalg.eigvalsh(root @ b @ root)[2:]
        # The definition subtracts two matrices that nearly agree.
        found = np.sort(heterogeneity_weights(v, x, a)(tau2))
        np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_coverage_is_nominal():
    rng = np.random.default_rng(5)
    v = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
    truth, runs, level = 0.3, 300, 0.8
    caught = {"generalised-q": 0, "q-profile": 0}
    for _ in range(runs):
        pooled = pool(yi=rng.normal(0, np.sqrt(v + truth)), vi=v, method="DL")
        for kind in caught:
            low, high = pooled.tau2_interval(kind, level=level).tau2
            caught[kind] += low <= truth <= high
    # Both are exact; four binomial standard errors.
    for count in caught.values():
        assert count / runs == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / runs))


# The distribution ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("p", [1e-200, 1e-20, 0.001, 0.3, 0.5, 0.9, 1 - 1e-9])
def test_equal_weights_are_chi_squared(n, p):
    q = chi2.ppf(p, n)
    below, above = quadratic_tails(7.0 * q, np.full(n, 7.0))
    # scipy's own tails are good to about 1e-13 at n = 1000.
    if p < 0.5:
        assert below == pytest.approx(chi2.cdf(q, n), rel=1e-12)
    assert above == pytest.approx(chi2.sf(q, n), rel=1e-12)


@pytest.mark.parametrize("q", [1e-3, 0.1, 1.0, 5.0, 30.0, 200.0])
def test_pairs_of_weights_have_a_closed_form(q):
    # Each weight twice: a sum of exponentials with mean 2 * weight.
    weights = np.array([1.0, 0.1, 0.003, 1e-7])
    share = [np.prod([a / (a - b) for b in weights if b != a]) for a in weights]
    wanted = sum(s * math.exp(-q / (2 * a)) for s, a in zip(share, weights, strict=True))
    assert quadratic_tails(q, np.repeat(weights, 2))[1] == pytest.approx(wanted, rel=1e-12)


def test_against_the_series_of_ruben():
    # Ruben (1962), doi 10.1214/aoms/1177704580: a mixture of chi-squared distributions.
    weights = np.array([3.0, 2.5, 1.7, 1.0, 0.9])
    q, beta, terms = 9.0, weights.min(), 4000
    ratio = 1 - beta / weights
    g = np.array([np.sum(ratio**j) / 2 for j in range(1, terms)])
    c = np.zeros(terms)
    c[0] = np.sqrt(np.prod(beta / weights))
    for j in range(1, terms):
        c[j] = g[:j][::-1] @ c[:j] / j
    wanted = c @ gamma.cdf(q / (2 * beta), len(weights) / 2 + np.arange(terms))
    assert quadratic_tails(q, weights)[0] == pytest.approx(wanted, rel=1e-12)


def test_a_weight_that_vanishes_changes_nothing():
    alone = quadratic_tails(1.0, np.array([1.0]))
    # The second variable adds 1e-15 at most.
    assert quadratic_tails(1.0, np.array([1.0, 1e-16])) == pytest.approx(alone, rel=1e-13)
    assert quadratic_tails(0.0, np.array([1.0])) == (0.0, 1.0)
    with pytest.raises(PoolError, match="needs weights above 0"):
        quadratic_tails(1.0, np.array([1.0, 0.0]))


# Edges --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e6])
def test_scale_does_not_matter(kind, factor, bcg):
    one = pool(bcg).tau2_interval(kind, a=0.1 * (kind == "generalised-q"))
    yi, vi = factor * bcg["yi"].to_numpy(), factor**2 * bcg["vi"].to_numpy()
    a = 0.1 * factor**2 * (kind == "generalised-q")
    two = pool(yi=yi, vi=vi).tau2_interval(kind, a=a)
    # The likelihood is a sum of logarithms of the variances, which grow with the factor.
    np.testing.assert_allclose(np.array(two.tau2) / factor**2, one.tau2, rtol=1e-10)
    np.testing.assert_allclose(two.i2, one.i2, rtol=1e-10)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    "data",
    [
        {"yi": [0.1, 0.4, 0.9], "vi": [0.1, 0.1, 0.2]},
        {"yi": [0.3] * 4, "vi": [0.1, 0.2, 0.3, 0.4]},
        {"yi": [0.1, 0.12, 0.08, 0.15], "vi": [0.04, 0.05, 0.03, 0.06]},
        {"yi": [0.0, 1, 3, 2], "vi": [1e-12, 1, 1, 1]},
        {"yi": [0.0, 1, 3, 2], "vi": [1e12, 1, 1, 1]},
        {"yi": [0.0, 1, 3, 2], "vi": [1e-12, 1e12, 1, 1]},
    ],
)
def test_limits_are_ordered_and_finite_at_the_edges(kind, data):
    found = pool(**data, test="z").tau2_interval(kind)
    assert 0 <= found.tau2.low <= found.tau2.high < math.inf
    assert 0 <= found.i2.low <= found.i2.high <= 100
    if found.tau2.high == 0:
        assert "better than chance" in found.notes[0]


def test_two_studies():
    pooled = pool(yi=[0.1, 1.9], vi=[0.1, 0.1])
    for kind in ("q-profile", "profile", "generalised-q"):
        low, high = pooled.tau2_interval(kind).tau2
        assert low <= pooled.tau2 <= high
    with pytest.raises(PoolError, match="needs 3 studies"):
        pooled.tau2_interval("higgins-thompson")


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ({"method": "CE"}, {}, "not estimated from a common-effect fit"),
        ({}, {"level": 95}, "write 0.95 for 95%"),
        ({}, {"kind": "generalised-q", "a": -1}, "give a number from 0"),
    ],
)
def test_refusals(arguments, keywords, message, bcg):
    with pytest.raises(PoolError, match=message):
        pool(bcg, **arguments).tau2_interval(**keywords)


def test_unknown_kind_and_one_study(bcg):
    with pytest.raises(UnknownNameError, match="no tau² interval is called 'wald'"):
        pool(bcg).tau2_interval("wald")
    with pytest.raises(PoolError, match="not estimated from one study"):
        pool(bcg.iloc[:1]).tau2_interval()


def test_it_shows_itself(bcg):
    found = pool(bcg).tau2_interval("profile")
    assert repr(found).startswith("Profile likelihood 95% interval")
    assert "[0.115, 0.965]" in repr(found)
    assert "<table>" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["i2_low"] == found.i2.low
    assert found.summary.shape[0] == 1


@pytest.mark.parametrize("variance", [1e-17, 1e-20, 1e-50])
def test_variances_so_small_that_no_tail_is_left(variance):
    # Q is beyond 1e15, where its upper tail at tau² = 0 is 0 in any number. tau² outweighs all
    # variances, so Q with equal weights is a sample variance, and its limits those of chi-squared.
    y = np.array([0.1, 0.2, 0.4, 0.9])
    pooled = pool(yi=y, vi=[variance] * 4)
    limits = pooled.tau2_interval("generalised-q").tau2
    squares = float(np.sum((y - y.mean()) ** 2))
    assert limits.low == pytest.approx(squares / chi2.ppf(0.975, 3), rel=1e-9)
    assert limits.high == pytest.approx(squares / chi2.ppf(0.025, 3), rel=1e-9)
    assert np.isfinite(pooled.prediction_interval("bootstrap", draws=1000)).all()


@pytest.mark.parametrize("q", [1e5, 1e17, 1e300])
def test_far_beyond_every_tail(q):
    assert quadratic_tails(q, np.array([1.0, 0.5])) == (1.0, 0.0)
    assert quadratic_tails(5e-324, np.array([1e10, 1.0])) == (0.0, 1.0)


@pytest.mark.parametrize("method", ["REML", "ML", "DL", "PM"])
def test_equal_effects_have_no_spread_however_small_the_variances(method):
    # Their mean may be off in the last digit, which 1e30 times its square would show.
    y, v = [3e5 + 0.1] * 8, [1e-30, 1e-20, 1e-10, 1e-5, 1.0, 1e5, 1e-28, 1e-25]
    pooled = pool(yi=y, vi=v, method=method)
    assert (pooled.tau2, pooled.q, pooled.i2) == (0.0, 0.0, 0.0)
    assert pooled.tau2_interval("profile").tau2.low == 0
    assert tuple(pooled.tau2_interval("q-profile").tau2) == (0.0, 0.0)


def test_profile_of_a_moderator_far_from_zero():
    # Calendar years span nearly the same space as the intercept; counted from their middle the
    # columns span the same one, so the limits are the same to rounding.
    rng = np.random.default_rng(5)
    year = np.arange(1990.0, 2005.0)
    y, v = rng.normal(0.02 * (year - 1997), 0.4), rng.uniform(0.01, 0.1, 15)
    for kind in ("profile", "generalised-q"):
        far = pool(yi=y, vi=v, mods=1e6 * year).tau2_interval(kind).tau2
        near = pool(yi=y, vi=v, mods=year - 1997).tau2_interval(kind).tau2
        assert tuple(far) == pytest.approx(tuple(near), rel=1e-9)

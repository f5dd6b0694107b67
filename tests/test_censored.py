"""Pooling with bounded rows: equal to what it generalises, and to brute force where it does not."""

import importlib.util
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, special, stats

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.censored.likelihood import Rows, terms, truncated
from retroevidence.meta.censored.pool import pool_censored
from retroevidence.meta.combine import sign_test
from retroevidence.meta.pool import pool

INF, NAN = math.inf, math.nan
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "censored_simulation.py"

MIXED = pd.DataFrame(
    {
        "study_id": ["hao2011", "kim2019", "lee2020", "ito2021", "roy2022", "xu2023", "oda2018"],
        "yi": [0.10, 0.95, -0.30, NAN, NAN, NAN, NAN],
        "vi": [0.06, 0.08, 0.05, 0.10, 0.09, 0.20, 0.15],
        "lower": [NAN, NAN, NAN, -0.62, 0.59, 0.0, -INF],
        "upper": [NAN, NAN, NAN, 0.62, INF, INF, -0.1],
        "measure": "SMD",
    },
    index=[3, 5, 8, 9, 12, 13, 20],
)
ONLY_RANGES = MIXED.assign(
    yi=NAN,
    lower=[0.0, 0.5, -0.9, -0.6, 0.6, 0.1, -0.5],
    upper=[0.4, 1.5, 0.1, 0.6, INF, INF, 0.9],
)
ONE_SIZE = MIXED.iloc[[0, 4, 5, 6]]
FRAMES = {"mixed": MIXED, "ranges": ONLY_RANGES, "one size": ONE_SIZE}
EACH = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)


def numbers(result):
    values = [result.estimate, result.se, *result.ci, result.p_value, *result.prediction]
    return [*values, result.tau2, *result.tau2_ci, result.worth]


def effects(seed, k, tau2=0.1):
    rng = np.random.default_rng(seed)
    vi = rng.uniform(0.02, 0.3, k)
    return {"yi": rng.normal(0.3, np.sqrt(vi + tau2)), "vi": vi}


# Without bounded rows it is pool() --------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 6, 15, 40])
@pytest.mark.parametrize("seed", range(6))
def test_without_bounded_rows_it_is_the_usual_analysis(seed, k):
    frame = effects(seed, k, tau2=0.1 * (seed % 3))
    ours, theirs = pool_censored(frame), pool(**frame, test="adhoc")
    # Two different root finders and, here, an integral over mu: what both leave of 16 digits.
    close = {"rel": 1e-8, "abs": 1e-10}
    for name in ("estimate", "se", "p_value", "tau2", "i2", "df"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), **close), name
    assert ours.ci == pytest.approx(theirs.ci, **close)
    assert ours.prediction == pytest.approx(theirs.prediction, **close)
    assert ours.studies["weight"].to_numpy() == pytest.approx(theirs.studies["weight"].to_numpy())
    assert ours.worth == k

    ours, theirs = pool_censored(frame, method="ML"), pool(**frame, method="ML", test="z")
    for name in ("estimate", "se", "tau2", "i2"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), **close), name

    ours, theirs = pool_censored(frame, model="fixed"), pool(**frame, method="CE", test="z")
    for name in ("estimate", "se", "p_value"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), **close), name
    assert ours.ci == pytest.approx(theirs.ci, **close)


@EACH
@pytest.mark.parametrize("method", ["ML", "REML"])
def test_a_row_without_limits_changes_nothing(frame, method):
    silent = pd.DataFrame({"study_id": ["sun2020"], "vi": [0.001], "lower": [-INF], "upper": [INF]})
    more = pool_censored(pd.concat([frame, silent]), method=method)
    assert numbers(more) == numbers(pool_censored(frame, method=method))
    assert "Left out, neither a size nor a limit: sun2020." in more.notes


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_a_far_limit_tends_to_no_limit(method):
    rows = effects(3, 6)
    with_far = {
        "yi": [*rows["yi"], NAN], "vi": [*rows["vi"], 0.1], "lower": [NAN] * 6 + [-12.0]
    }  # fmt: skip
    near = pool_censored(with_far, method=method)
    alone = pool_censored(rows, method=method)
    # The limit is 15 standard errors below: it holds with probability 1 to the last digit.
    assert near.estimate == pytest.approx(alone.estimate, rel=1e-12)
    assert near.tau2 == pytest.approx(alone.tau2, rel=1e-10)
    # Only the degrees of freedom count the row.
    assert near.worth == pytest.approx(alone.worth, rel=1e-12)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("width", [1e-3, 1e-5, 1e-8, 1e-12])
def test_a_narrow_interval_tends_to_an_exact_row(method, width):
    at = 0.45
    exact = pool_censored(MIXED.assign(yi=MIXED["yi"].fillna(pd.Series({9: at}))), method=method)
    lower, upper = MIXED["lower"].copy(), MIXED["upper"].copy()
    lower[9], upper[9] = at - width / 2, at + width / 2
    narrow = pool_censored(MIXED.assign(lower=lower, upper=upper), method=method)
    # The second moment of a narrow interval differs by width²/12 from its middle's, and the ends
    # are rounded to 1e-16.
    slack = width**2 + 1e-9
    assert numbers(narrow) == pytest.approx(numbers(exact), rel=1e-7, abs=10 * slack)


def test_an_interval_of_no_width_is_an_exact_row():
    point = MIXED.assign(
        yi=NAN, lower=MIXED["yi"].fillna(MIXED["lower"]), upper=MIXED["yi"].fillna(MIXED["upper"])
    )
    assert numbers(pool_censored(point)) == numbers(pool_censored(MIXED))


# What must not matter ---------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("model", ["random", "fixed"])
def test_turning_the_sign_turns_the_answer(frame, method, model):
    turned = frame.assign(yi=-frame["yi"], lower=-frame["upper"], upper=-frame["lower"])
    one = pool_censored(frame, method=method, model=model)
    two = pool_censored(turned, method=method, model=model)
    assert two.estimate == pytest.approx(-one.estimate, rel=1e-9)
    assert two.ci == pytest.approx((-one.ci.high, -one.ci.low), rel=1e-8)
    assert two.tau2 == pytest.approx(one.tau2, rel=1e-8)


@EACH
@pytest.mark.parametrize("method", ["ML", "REML"])
def test_order_of_the_rows(frame, method):
    shuffled = frame.sample(frac=1, random_state=4)
    one, two = pool_censored(frame, method=method), pool_censored(shuffled, method=method)
    # Sums in another order differ in their last digits; a root of them by some more.
    assert numbers(two) == pytest.approx(numbers(one), rel=1e-7, abs=1e-9)
    weights = one.studies["weight"].loc[shuffled.index]
    assert two.studies["weight"].to_numpy() == pytest.approx(weights.to_numpy(), rel=1e-7)


@EACH
@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("factor", [1e-3, 1e6])
def test_unit_of_the_outcome(frame, method, factor):
    scaled = frame.assign(
        **{name: factor * frame[name] for name in ("yi", "lower", "upper")},
        vi=factor**2 * frame["vi"],
    )
    one, two = pool_censored(frame, method=method), pool_censored(scaled, method=method)
    power = np.array([1, 1, 1, 1, 0, 1, 1, 2, 2, 2, 0])
    back = np.array(numbers(two)) / factor**power
    # Rounding of the input, through a root.
    assert list(back) == pytest.approx(numbers(one), rel=1e-7, abs=1e-9)


def test_shift_moves_the_mean_and_nothing_else():
    moved = MIXED.assign(**{name: MIXED[name] + 5 for name in ("yi", "lower", "upper")})
    one, two = pool_censored(MIXED), pool_censored(moved)
    assert two.estimate == pytest.approx(one.estimate + 5, rel=1e-9)
    assert two.tau2 == pytest.approx(one.tau2, rel=1e-7)


# Against brute force ----------------------------------------------------------------------------


def brute(frame, mu, tau2):
    """Return the log likelihood, written as in the textbook and without any care for tails."""
    yi, vi, lower, upper = (frame[name].to_numpy() for name in ("yi", "vi", "lower", "upper"))
    s = np.sqrt(vi + tau2)
    chance = special.ndtr((upper - mu) / s) - special.ndtr((lower - mu) / s)
    density = np.exp(-(((yi - mu) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
    with np.errstate(divide="ignore"):
        return float(np.log(np.where(np.isnan(yi), chance, density)).sum())


def brute_profile(frame, mu):
    found = optimize.minimize_scalar(
        lambda log_t: -brute(frame, mu, math.exp(log_t)), bounds=(-12, 12), method="bounded",
        options={"xatol": 1e-8},
    )  # fmt: skip
    return max(-found.fun, brute(frame, mu, 0.0))


@EACH
def test_ml_is_the_highest_point_of_a_grid(frame):
    ours = pool_censored(frame, method="ML")
    top = brute(frame, ours.estimate, ours.tau2)
    assert ours.loglik == pytest.approx(top, rel=1e-12)
    grid = [
        brute(frame, mu, tau2)
        for mu in np.linspace(-2, 2, 41)
        for tau2 in np.concatenate([[0], np.geomspace(1e-4, 50, 60)])
    ]
    assert max(grid) <= top + 1e-12
    # And no step of a thousandth in any direction is higher.
    for step in (-1e-3, 1e-3):
        assert brute(frame, ours.estimate + step, ours.tau2) < top
        if ours.tau2 + step >= 0:
            assert brute(frame, ours.estimate, ours.tau2 + step) < top


@EACH
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_ml_interval_is_where_the_profile_has_fallen_by_chi_square(frame, level):
    ours = pool_censored(frame, method="ML", level=level)
    top = brute(frame, ours.estimate, ours.tau2)
    for end in ours.ci:
        fall = 2 * (top - brute_profile(frame, end))
        # scipy's bounded search stops 1e-8 from the maximum over log tau², which is flat there.
        assert fall == pytest.approx(stats.chi2.ppf(level, 1), rel=1e-7)
    statistic = 2 * (top - brute_profile(frame, 0.0))
    assert ours.p_value == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-6)


def restricted(frame, tau2):
    def likelihood(mu):
        return math.exp(brute(frame, mu, tau2))

    return integrate.quad(likelihood, -15, 15, points=[-1, 0, 1], epsrel=1e-11, limit=400)[0]


@pytest.mark.parametrize("frame", [MIXED, ONLY_RANGES], ids=["mixed", "ranges"])
def test_reml_is_the_likelihood_with_mu_integrated_out(frame):
    ours = pool_censored(frame)
    assert math.exp(ours.loglik) == pytest.approx(restricted(frame, ours.tau2), rel=1e-9)
    grid = [restricted(frame, t) for t in [0.0, *np.geomspace(1e-3, 20, 40)]]
    assert math.log(max(grid)) <= ours.loglik + 1e-9
    if ours.tau2 > 0:
        assert restricted(frame, ours.tau2 * 1.02) < restricted(frame, ours.tau2)
        assert restricted(frame, ours.tau2 * 0.98) < restricted(frame, ours.tau2)
    # Given tau² the estimate is the highest point of the likelihood.
    found = optimize.minimize_scalar(lambda mu: -brute(frame, mu, ours.tau2), (-1, 1))
    assert ours.estimate == pytest.approx(found.x, abs=1e-6)


@pytest.mark.parametrize("frame", [MIXED, ONLY_RANGES], ids=["mixed", "ranges"])
def test_reml_interval_is_where_the_likelihood_has_fallen_by_its_t(frame):
    ours = pool_censored(frame, level=0.9)
    first, left = [], 0.0
    for row in frame.to_dict("records"):
        s = math.sqrt(row["vi"] + ours.tau2)
        if math.isnan(row["yi"]):
            z = stats.truncnorm(
                (row["lower"] - ours.estimate) / s, (row["upper"] - ours.estimate) / s
            )
            first.append(z.mean())
            left += 1 - z.var()
        else:
            first.append((row["yi"] - ours.estimate) / s)
            left += 1
    # scipy's moments of a truncated normal hold about ten digits.
    assert ours.worth == pytest.approx(left, rel=1e-8)
    q = max(1.0, sum(e**2 for e in first) / (left - 1))
    top = brute(frame, ours.estimate, ours.tau2)
    t = stats.t.ppf(0.95, len(frame) - 1)
    for end in ours.ci:
        assert 2 * (top - brute(frame, end, ours.tau2)) == pytest.approx(q * t**2, rel=1e-7)


@EACH
@pytest.mark.parametrize("method", ["ML", "REML"])
def test_limits_of_tau2_are_where_its_likelihood_has_fallen_by_chi_square(frame, method):
    ours = pool_censored(frame, method=method)
    if ours.method == "ML":

        def log_l(t):
            return -optimize.minimize_scalar(lambda mu: -brute(frame, mu, t), (-1, 1)).fun
    else:

        def log_l(t):
            return math.log(restricted(frame, t))

    for end in ours.tau2_ci:
        fall = 2 * (log_l(ours.tau2) - log_l(end))
        if end > 0:
            # quad and Brent's search leave six good digits of a fall of 3.84.
            assert fall == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-5)
        else:
            assert fall <= stats.chi2.ppf(0.95, 1)


# Far tails --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high"),
    [(-1.0, 2.0), (0.5, INF), (-INF, -3.0), (2.0, 2.01), (6.0, 7.0), (-3.0, -2.999), (-8.0, 8.0)],
)
def test_moments_of_a_truncated_normal(low, high):
    ends = (max(low, -12), min(high, 12))
    mass = integrate.quad(stats.norm.pdf, *ends, epsabs=0, epsrel=1e-12)[0]
    first = integrate.quad(lambda z: z * stats.norm.pdf(z) / mass, *ends, epsabs=1e-14)[0]
    second = integrate.quad(lambda z: z**2 * stats.norm.pdf(z) / mass, *ends, epsabs=1e-14)[0]
    width = np.array([high - low])
    log_p, e, q, spread = truncated(np.array([low]), np.array([high]), width)
    # quad is asked for twelve digits; the variance loses some to its difference.
    assert log_p[0] == pytest.approx(math.log(mass), rel=1e-10)
    assert e[0] == pytest.approx(first, rel=1e-9, abs=1e-12)
    assert q[0] == pytest.approx(second, rel=1e-9)
    assert spread[0] == pytest.approx(second - first**2, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("far", [10.0, 40.0, 1e3, 1e6])
def test_far_out_the_tail_follows_mills_ratio(far):
    one = np.array([far])
    log_p, first, _, spread = truncated(one, np.array([INF]), np.array([INF]))
    # The asymptotic series of Mills' ratio: its next term is 15/x^6, below 2e-5 at x = 10.
    series = 1 - 1 / far**2 + 3 / far**4
    expected = -(far**2) / 2 - math.log(far * math.sqrt(2 * math.pi)) + math.log(series)
    assert log_p[0] == pytest.approx(expected, abs=2e-5, rel=1e-14)
    assert first[0] == pytest.approx(far / series, rel=2e-5)
    assert 0 <= spread[0] <= 1.01 / far**2 or far > 1e3
    mirrored = truncated(np.array([-INF]), -one, np.array([INF]))
    assert mirrored[0] == log_p
    assert mirrored[1] == -first


def test_a_bound_that_contradicts_the_rest_by_a_thousand_standard_errors():
    frame = {"yi": [0.1, 0.2, NAN], "vi": [0.01] * 3, "lower": [NAN, NAN, 100.0]}
    fixed = pool_censored(frame, model="fixed")
    # So far out the bounded row acts as an exact one at its limit.
    assert fixed.estimate == pytest.approx(100.3 / 3, rel=1e-3)
    for method in ("ML", "REML"):
        result = pool_censored(frame, method=method)
        assert 0.1 < result.estimate < 100
        assert result.tau2 > 100
        assert result.ci.low < result.estimate < result.ci.high


# Recovering a truth -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_a_simulated_truth_is_recovered(method):
    rng = np.random.default_rng(11)
    k, mu, tau2 = 600, 0.3, 0.15
    vi = rng.uniform(0.03, 0.3, k)
    full = rng.normal(mu, np.sqrt(vi + tau2))
    limit = 1.96 * np.sqrt(vi)
    null = np.abs(full) < limit
    # Results that are not significant are printed less often: dropping them must be biased.
    half = rng.random(k) < np.where(null, 0.8, 0.4)
    side = np.sign(full)
    lower = np.where(null, -limit, np.where(side > 0, limit, -INF))
    upper = np.where(null, limit, np.where(side > 0, INF, -limit))
    frame = {"yi": np.where(half, NAN, full), "vi": vi, "lower": lower, "upper": upper}
    ours = pool_censored(frame, method=method)
    # Four standard errors: a right method misses once in 16 000 seeds.
    assert abs(ours.estimate - mu) < 4 * ours.se
    assert ours.se < 0.05
    low, high = ours.tau2_ci
    assert low < tau2 < high
    dropped = ours.without_bounded
    assert dropped.k == (~half).sum()
    assert dropped.estimate - mu > 4 * ours.se


def test_simulation_on_file_is_what_the_program_writes_and_what_is_claimed_of_it():
    spec = importlib.util.spec_from_file_location("censored_simulation", BENCHMARK)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    table = pd.read_csv(BENCHMARK.with_suffix(".csv"))
    assert list(table.columns) == program.FIELDS
    assert len(table) == 3 * 3 * 2 * 2 * len(program.METHODS)
    assert (table["replicates"] >= 1000).all()
    answers = np.empty((3, len(program.METHODS), 3))
    again = np.empty_like(answers)
    for target in (answers, again):
        assert list(program.simulate(target, 5, 0.5, 0.1, 0.4)) == [3]
    assert np.array_equal(answers, again, equal_nan=True)
    ours = table[table["method"] == "REML"]
    # Four Monte-Carlo errors below the level, for 36 looks at it.
    assert (ours["coverage"] > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 1000)).all()
    bias = table.assign(size=table["bias"].abs()).groupby("method")["size"].mean()
    assert bias["REML"] < min(bias["drop"], bias["zero"], bias["middle"])


# Edges, in words --------------------------------------------------------------------------------


def directions(k, **columns):
    return pd.DataFrame({"yi": [NAN] * k, "vi": [0.1] * k, "lower": [0.0] * k} | columns)


@pytest.mark.parametrize("k", [2, 4, 6, 9, 20])
def test_directions_on_one_side_give_no_estimate_and_the_sign_test(k):
    result = pool_censored(directions(k))
    assert math.isnan(result.estimate)
    assert math.isnan(result.tau2)
    assert result.ci.high == INF
    # One product of halves against the binomial distribution.
    assert result.p_value == pytest.approx(sign_test(k, k).p_value, rel=1e-12)
    assert (result.ci.low > 0) == (result.p_value < 0.05)
    assert math.isinf(result.ci.low) == (k < 6)
    assert "has no estimate and no upper limit" in result.notes[0]
    assert "not available" in repr(result)
    other = pool_censored(directions(k, lower=[NAN] * k, upper=[0.0] * k))
    assert other.ci == pytest.approx((-INF, -result.ci.low), rel=1e-9)


def test_one_sided_limit_is_exact_under_the_fixed_model():
    frame = directions(3, lower=[0.5, 0.2, 0.8])
    low = pool_censored(frame, model="fixed").ci.low
    chance = np.prod(stats.norm.sf((frame["lower"] - low) / np.sqrt(0.1)))
    assert chance == pytest.approx(0.025, rel=1e-9)


def test_directions_on_both_sides_cannot_tell_the_spread():
    frame = directions(4, lower=[0, 0, 0, -INF], upper=[INF, INF, INF, 0])
    result = pool_censored(frame)
    assert math.isnan(result.estimate)
    assert result.ci == (-INF, INF)
    assert 'model="fixed"' in result.notes[0]
    fixed = pool_censored(frame, model="fixed")
    # Three of four above 0: the mean that makes it so.
    assert fixed.estimate == pytest.approx(stats.norm.ppf(0.75) * math.sqrt(0.1), rel=1e-9)


def test_one_size_and_a_contradicting_limit_leave_reml_without_a_maximum():
    frame = {"yi": [0.0, NAN], "vi": [0.1, 0.1], "lower": [NAN, 2.0]}
    result = pool_censored(frame)
    assert result.method == "ML"
    assert "restricted likelihood has no maximum" in result.notes[0]
    assert 0 < result.estimate < 3
    agreeing = pool_censored(frame | {"lower": [NAN, -0.5]})
    assert (agreeing.method, agreeing.tau2) == ("REML", 0.0)


def test_one_result_is_itself():
    exact = pool_censored({"yi": [0.3], "vi": [0.04]})
    assert exact.ci == pytest.approx(pool(yi=[0.3], vi=[0.04]).ci, rel=1e-9)
    assert exact.notes[0].startswith("One result")
    within = pool_censored({"yi": [NAN], "vi": [0.04], "lower": [-0.2], "upper": [0.6]})
    assert within.estimate == pytest.approx(0.2, abs=1e-12)
    assert within.ci.low + within.ci.high == pytest.approx(0.4, rel=1e-9)
    above = pool_censored({"yi": [NAN], "vi": [0.04], "lower": [0.5]})
    assert above.ci == pytest.approx((0.5 - 1.959964 * 0.2, INF), rel=1e-6)


def test_ranges_far_wider_than_the_errors_are_flat_and_still_fit():
    frame = {"yi": [NAN] * 3, "vi": [1e-4] * 3, "lower": [-1.0, -1.2, -0.9], "upper": [1, 1.1, 1.3]}
    for method in ("ML", "REML"):
        result = pool_censored(frame, method=method)
        assert -0.9 < result.estimate < 1
        assert result.tau2 == 0
        assert result.ci.low < -0.85
        assert result.ci.high > 0.95


def test_agreeing_results_have_no_spread():
    result = pool_censored({"yi": [0.2, 0.2, NAN], "vi": [0.1] * 3, "lower": [NAN, NAN, 0.0]})
    assert result.tau2 == 0.0
    assert result.tau2_ci.low == 0.0
    assert any("tau² is estimated as 0" in note for note in result.notes)


def test_rows_that_cannot_enter_are_named():
    frame = MIXED.assign(vi=MIXED["vi"].mask(MIXED["study_id"].isin(["roy2022", "xu2023"])))
    result = pool_censored(frame)
    assert "Left out, no variance: roy2022, xu2023." in result.notes
    assert (result.k, result.k_exact, result.k_bounded) == (5, 3, 2)
    assert any("ito2021, oda2018" in note and "n at the limit" in note for note in result.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vi": 0.0}, "vi must be above 0"),
        ({"yi": INF}, "yi is infinite"),
        ({"yi": NAN, "lower": 1.0, "upper": 0.0}, "lower is above upper"),
        ({"yi": NAN, "lower": INF, "upper": INF}, "same infinity"),
        ({"vi": NAN}, "none of the 7 rows"),
        ({"measure": list("abcdefg")}, "mix the measures"),
        ({"vi": "small"}, "must be numbers"),
    ],
)
def test_bad_rows_are_refused_by_name(change, message):
    with pytest.raises(PoolError, match=message):
        pool_censored(MIXED.assign(**change))


def test_bad_calls_are_refused():
    with pytest.raises(PoolError, match="no column vi"):
        pool_censored({"yi": [1.0]})
    with pytest.raises(PoolError, match="is a list"):
        pool_censored([1.0, 2.0])
    with pytest.raises(PoolError, match=r"write 0\.95"):
        pool_censored(MIXED, level=95)
    with pytest.raises(UnknownNameError, match="REML"):
        pool_censored(MIXED, method="DL")
    with pytest.raises(UnknownNameError, match="fixed"):
        pool_censored(MIXED, model="common")


# The result -------------------------------------------------------------------------------------


def test_the_result_shows_itself_and_is_plain():
    result = pool_censored(MIXED)
    text = repr(result)
    title = "Pooled SMD, 3 exact and 4 bounded results (REML, modified Knapp-Hartung)"
    assert text.startswith(title)
    html = result._repr_html_()
    assert "bounded" in html
    assert "<table" in html
    plain = result.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["ci_low"] == result.ci.low
    assert len(result.summary) == 1
    assert pickle.loads(pickle.dumps(result)) == result
    assert result == pool_censored(MIXED)
    assert hash(result) == hash(pool_censored(MIXED))
    assert result != pool_censored(MIXED, method="ML")
    with pytest.raises(AttributeError):
        result.estimate = 0.0


def test_studies_keep_their_rows_and_say_what_they_are_worth():
    result = pool_censored(MIXED)
    studies = result.studies
    assert list(studies.index) == list(MIXED.index)
    assert list(studies["form"]) == ["exact"] * 3 + ["bounded"] * 4
    assert (studies["information"].iloc[:3] == 1).all()
    assert studies["information"].iloc[3:].between(0, 1, inclusive="neither").all()
    assert studies["weight"].sum() == pytest.approx(100)
    assert studies["information"].sum() == pytest.approx(result.worth)
    assert result.k == result.k_exact + result.k_bounded == 7


def test_ratios_are_shown_as_ratios():
    text = repr(pool_censored(MIXED.assign(measure="ROMC")))
    assert "ratio of means" in text
    assert "in percent" in text
    assert "∞" in repr(pool_censored(directions(8, measure="RR")))


def test_scores_are_derivatives_of_the_likelihood():
    rows = Rows(np.array([0.1, -0.5, 0.3, -INF]), np.array([0.1, 0.4, INF, 0.2]), np.full(4, 0.1))
    here, step = terms(rows, 0.15, 0.05), 1e-5
    up, down = terms(rows, 0.15 + step, 0.05), terms(rows, 0.15 - step, 0.05)
    # Central differences of step 1e-5 hold nine digits, second ones five.
    assert here.slope == pytest.approx((up.loglik - down.loglik) / (2 * step), rel=1e-7)
    assert here.information == pytest.approx(-(up.slope - down.slope) / (2 * step), rel=1e-7)
    up, down = terms(rows, 0.15, 0.05 + step), terms(rows, 0.15, 0.05 - step)
    assert here.slope_tau2 == pytest.approx((up.loglik - down.loglik) / (2 * step), rel=1e-6)

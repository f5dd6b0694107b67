"""Conversions: quantiles, several arms, paired designs, correlations, SDs that are no SDs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from retroevidence.effects import recover
from retroevidence.effects.conversions import arms, quantiles
from retroevidence.effects.conversions.change import estimate_r
from retroevidence.effects.conversions.crossover import paired_difference, smd_crossover
from retroevidence.effects.conversions.quantile_fit import fit_families
from retroevidence.effects.conversions.quantiles import (
    mean_sd_from_quantiles,
    mean_sd_from_skewed_quantiles,
    skewness,
    skewness_note,
)
from retroevidence.effects.conversions.standard_errors import (
    looks_like_se,
    rare_difference,
    unlike_arms,
)
from retroevidence.effects.measures import effect_size
from retroevidence.errors import EffectError, UnknownNameError

# Algebra in double precision.
RTOL = 1e-12

# SD from t, p, F -----------------------------------------------------------------------------


def test_sd_from_f_is_the_sd_within_groups():
    rng = np.random.default_rng(5)
    groups = [rng.normal(mean, 2, size) for mean, size in ((3, 12), (4, 15), (6, 11))]
    f = stats.f_oneway(*groups).statistic
    within = sum((len(g) - 1) * g.var(ddof=1) for g in groups) / (38 - 3)
    got = recover.sd_from_f(f, [g.mean() for g in groups], [len(g) for g in groups])
    # scipy's F passes through sums of squares of the raw data.
    assert got == pytest.approx(np.sqrt(within), rel=1e-10)


def test_two_groups_give_one_sd_by_every_road():
    test = stats.ttest_ind_from_stats(12.0, 3.0, 14, 10.0, 3.0, 11)
    assert recover.sd_from_t(2.0, test.statistic, 14, 11) == pytest.approx(3.0, rel=RTOL)
    assert recover.sd_from_f(test.statistic**2, [12, 10], [14, 11]) == pytest.approx(3, rel=RTOL)
    # The p-value passes through a tail and back, which costs some digits.
    assert recover.sd_from_p(2.0, test.pvalue, 14, 11) == pytest.approx(3.0, rel=1e-9)
    se = 3 * np.sqrt(1 / 14 + 1 / 11)
    assert recover.sd_from_se_of_difference(se, 14, 11) == pytest.approx(3.0, rel=RTOL)
    # Rows at once, groups along the last axis.
    rows = recover.sd_from_f([test.statistic**2] * 2, [[12, 10], [12, 10]], [14, 11])
    np.testing.assert_allclose(rows, 3.0, rtol=RTOL)


def test_smd_from_d_is_the_smd_from_means():
    wanted = effect_size("SMD", m1=12, sd1=3, n1=14, m2=10, sd2=3, n2=11)
    np.testing.assert_allclose(recover.smd_from_d(2 / 3, 14, 11), wanted, rtol=RTOL)


# Quantiles -----------------------------------------------------------------------------------

FAMILIES = {
    "normal": stats.norm(50, 8),
    "log-normal": stats.lognorm(0.6, scale=20),
    "gamma": stats.gamma(2.5, scale=4),
    "Weibull": stats.weibull_min(1.7, scale=30),
    "beta": stats.beta(2.0, 5.0),
}


@pytest.mark.parametrize("name", list(FAMILIES))
@pytest.mark.parametrize("given", [("low", "high"), ("q1", "q3"), ("low", "q1", "q3", "high")])
def test_exact_quantiles_bring_back_their_distribution(name, given):
    n, truth = 200, FAMILIES[name]
    at = {"low": 1 / n, "q1": 0.25, "q3": 0.75, "high": 1 - 1 / n}
    numbers = {key: float(truth.ppf(at[key])) for key in given}
    ends = (numbers["low"], numbers["high"]) if "low" in numbers else None
    box = (numbers["q1"], numbers["q3"]) if "q1" in numbers else None
    fits = {family.name: family for family in fit_families(n, float(truth.ppf(0.5)), ends, box)}
    fit = fits[name]
    # The loss is quadratic at its minimum, so a search to 1e-16 of it fixes parameters to 1e-8;
    # moments of skewed families magnify that.
    assert fit.mean == pytest.approx(truth.mean(), rel=2e-6)
    assert fit.sd == pytest.approx(truth.std(), rel=2e-6)
    assert fit.loss < 1e-9 * truth.var()
    mean, sd = mean_sd_from_skewed_quantiles(n, float(truth.ppf(0.5)), **numbers)
    assert min(fits.values(), key=lambda f: f.loss).mean == mean
    assert sd > 0


def test_quantile_estimation_is_the_published_example():
    # estmeansd 1.0.1, README: qe.mean.sd(min.val = 2, med.val = 4, max.val = 9, n = 100) gives
    # 4.347284 and 1.502171, from an optimiser that stops at a relative change of 1e-8 of the loss:
    # the minimum itself lies 4e-6 away.
    mean, sd = mean_sd_from_skewed_quantiles(100, 4, low=2, high=9)
    assert mean == pytest.approx(4.347284, rel=1e-5)
    assert sd == pytest.approx(1.502171, rel=1e-5)


def test_box_cox_is_the_published_example():
    # Same README: bc.mean.sd gives 4.210971 and 1.337348 with one seed. It draws at random where
    # ours takes the normal scores of n people; with 10,000 draws the Monte Carlo error of the mean
    # is 1.34/100, and three of them are allowed; that of the SD is about as large.
    mean, sd = mean_sd_from_skewed_quantiles(100, 4, low=2, high=9, method="box-cox")
    assert mean == pytest.approx(4.210971, abs=3 * 0.0134)
    assert sd == pytest.approx(1.337348, abs=3 * 0.0177)


def test_box_cox_of_a_log_normal_takes_logs():
    # Quantiles symmetric in logs ask for power 0, and log-normal moments follow.
    n = 50_000
    mean, sd = mean_sd_from_skewed_quantiles(n, 10, q1=5, q3=20, method="box-cox")
    half = 2 * stats.norm.ppf((0.75 * n - 0.125) / (n + 0.25))
    wanted = stats.lognorm(np.log(4) / half, scale=10)
    # 50,000 people still leave out the outermost 1e-5 of both tails, which hold some spread.
    assert mean == pytest.approx(wanted.mean(), rel=1e-3)
    assert sd == pytest.approx(wanted.std(), rel=1e-2)


def test_symmetric_quantiles_need_no_power():
    # Power 1 leaves the outcome as it is: the closed forms for a normal outcome return.
    for numbers in ({"q1": 90, "q3": 110}, {"low": 60, "high": 140}):
        bent = mean_sd_from_skewed_quantiles(60, 100, **numbers, method="box-cox")
        plain = mean_sd_from_quantiles(60, 100, **numbers)
        assert bent[0] == pytest.approx(plain[0], rel=1e-10)
        # The outermost of 60 people lie a little beyond the range, and are brought back to it.
        assert bent[1] == pytest.approx(plain[1], rel=1e-10 if "q1" in numbers else 0.01)


@pytest.mark.parametrize("truth", [stats.lognorm(0.6, scale=20), stats.expon(scale=10)])
def test_box_cox_finds_skewed_samples_from_their_five_numbers(truth):
    rng = np.random.default_rng(4)
    errors = []
    for _ in range(80):
        x = truth.rvs(200, random_state=rng)
        low, q1, m, q3, high = np.quantile(x, [0, 0.25, 0.5, 0.75, 1])
        found = mean_sd_from_skewed_quantiles(
            200, m, low=low, q1=q1, q3=q3, high=high, method="box-cox"
        )
        errors.append(np.divide(found, [x.mean(), x.std(ddof=1)]) - 1)
    # McGrath et al. (2020) find a relative error of the mean of a few percent; the closed forms
    # for a normal outcome are 7% to 15% too low here.
    assert np.abs(np.mean(errors, axis=0)).max() < 0.03


def test_box_cox_gives_no_estimate_that_is_pure_extrapolation():
    assert np.isnan(mean_sd_from_skewed_quantiles(25, 10, q1=9, q3=40, method="box-cox")).all()
    # With the range known the mean stays within it.
    mean, sd = mean_sd_from_skewed_quantiles(
        10, 7.5, low=2.5, q1=4.5, q3=30.5, high=62.5, method="box-cox"
    )
    assert 7.5 < mean < 30
    assert sd < 30


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.1, 50), min_size=5, max_size=5, unique=True),
    st.integers(10, 400),
    st.sampled_from([1e-3, 1e3]),
    st.sampled_from(quantiles.METHODS),
)
def test_the_unit_does_not_matter(values, n, unit, method):
    low, q1, m, q3, high = np.cumsum(np.sort(values)) + 1.5
    numbers = {"low": low, "q1": q1, "q3": q3, "high": high}
    one = mean_sd_from_skewed_quantiles(n, m, **numbers, method=method)
    scaled = {name: value * unit for name, value in numbers.items()}
    two = mean_sd_from_skewed_quantiles(n, m * unit, **scaled, method=method)
    # The beta family serves outcomes between 0 and 1 only, so quantiles below 1 gain a candidate.
    if method == "box-cox" or high * unit > 1:
        np.testing.assert_allclose(np.divide(two, unit), one, rtol=1e-6)
    assert low < one[0] < high or method == "quantile"


def test_studies_one_by_one_and_missing_ones():
    mean, sd = mean_sd_from_skewed_quantiles([50, 50], [9, np.nan], q1=[4, 4], q3=[15, 15])
    assert np.isfinite([mean[0], sd[0]]).all()
    assert np.isnan([mean[1], sd[1]]).all()
    # A negative quantile leaves the normal family only.
    assert [f.name for f in fit_families(50, 1.0, (-3.0, 6.0), None)] == ["normal"]


@pytest.mark.parametrize(("n", "low", "high"), [(3, 2, 9), (2, 2, 9), (10, 0.1, 40)])
def test_a_fit_that_the_reported_range_forbids_is_no_estimate(n, low, high):
    # The log-normal through 2, 4 and 9 as quantiles of three people has a mean of 21.
    assert np.isnan(mean_sd_from_skewed_quantiles(n, 4, low=low, high=high)).all()
    bent = mean_sd_from_skewed_quantiles(n, 4, low=low, high=high, method="box-cox")
    assert low < bent[0] < high
    assert bent[1] <= (high - low) / 2 * np.sqrt(n / (n - 1))


def test_both_answers_have_the_shape_of_all_numbers():
    mean, sd = mean_sd_from_quantiles(50, [9, 10, np.nan], q1=4, q3=15)
    assert mean.shape == sd.shape == (3,)
    assert sd[0] == sd[1]
    assert np.isnan([mean[2], sd[2]]).all()


def test_a_register_of_a_whole_country_does_not_fill_the_memory():
    mean, sd = mean_sd_from_skewed_quantiles(2e9, 100, q1=90, q3=110, method="box-cox")
    # Power 1: the closed form for a normal outcome.
    assert mean == pytest.approx(100, rel=1e-9)
    assert sd == pytest.approx(20 / (2 * stats.norm.ppf(0.75)), rel=1e-6)


@pytest.mark.parametrize("n", [20, 101, 400])
def test_skewness_test_keeps_its_level(n):
    rng = np.random.default_rng(n)
    runs = 6000
    x = np.sort(rng.normal(size=(runs, n)), axis=1)
    q1, m, q3 = np.quantile(x, [0.25, 0.5, 0.75], axis=1)
    ends, box = {"low": x[:, 0], "high": x[:, -1]}, {"q1": q1, "q3": q3}
    for numbers in (ends, box, {**ends, **box}):
        share = skewness(n, m, **numbers).skewed.mean()
        # 5% nominally; Shi et al. (2023) report 3.5% to 5.5%. Monte Carlo error 0.3 points.
        assert 0.025 < share < 0.065
    skewed = np.sort(rng.exponential(size=(200, 400)), axis=1)
    q1, m, q3 = np.quantile(skewed, [0.25, 0.5, 0.75], axis=1)
    found = skewness(400, m, q1=q1, q3=q3, low=skewed[:, 0], high=skewed[:, -1])
    assert found.skewed.mean() > 0.95


def test_skewness_in_words():
    assert "a normal outcome is implausible" in skewness_note(50, 5, q1=4, q3=15)
    assert skewness_note(50, 9, q1=4, q3=15) == ""
    assert skewness_note(4, 5, q1=4, q3=15) == ""
    # Half of the people gave the same answer: no sign of skewness from the quartiles.
    assert skewness_note(50, 3, q1=3, q3=3, low=1, high=5) == ""


# Arms ----------------------------------------------------------------------------------------


def test_all_arms_together_equal_the_people_never_split():
    rng = np.random.default_rng(3)
    groups = [rng.normal(mean, 2, size) for mean, size in ((5, 10), (8, 21), (6, 14))]
    n, m, sd = arms.combine_all_arms(
        [len(g) for g in groups], [g.mean() for g in groups], [g.std(ddof=1) for g in groups]
    )
    together = np.concatenate(groups)
    assert n == 45
    assert m == pytest.approx(together.mean(), rel=RTOL)
    assert sd == pytest.approx(together.std(ddof=1), rel=RTOL)
    pairwise = arms.combine_arms(10, 5.0, 2.0, 20, 8.0, 3.0)
    np.testing.assert_allclose(arms.combine_all_arms([10, 20], [5, 8], [2, 3]), pairwise, rtol=RTOL)


def test_counts_are_summed_and_split():
    assert [float(x) for x in arms.combine_counts([3, 0, 5], [20, 18, 22])] == [8, 60]
    events, n = arms.split_control_counts(5, 40, arms=2)
    assert events / n == 5 / 40
    # Two comparisons with half the comparator each weigh less than with all of it.
    full = effect_size("MD", m1=5, sd1=2, n1=20, m2=3, sd2=2, n2=40)[1]
    half = effect_size("MD", m1=5, sd1=2, n1=20, m2=3, sd2=2, n2=arms.split_control(40, arms=2))[1]
    assert half - full == pytest.approx(4 / 20 - 4 / 40, rel=RTOL)


# Paired designs ------------------------------------------------------------------------------


def test_every_road_leads_to_the_paired_standard_error():
    rng = np.random.default_rng(8)
    one = rng.normal(10, 3, 18)
    two = one + rng.normal(1, 1.5, 18)
    change = two - one
    test = stats.ttest_rel(two, one)
    interval = test.confidence_interval()
    se = change.std(ddof=1) / np.sqrt(18)
    sds = {"sd1": two.std(ddof=1), "sd2": one.std(ddof=1)}
    r = np.corrcoef(one, two)[0, 1]
    roads = [
        {"se": se},
        {"sd_change": change.std(ddof=1)},
        {"low": interval.low, "high": interval.high},
        {"t": test.statistic},
        {"p": test.pvalue},
        {**sds, "r": r},
    ]
    for road in roads:
        found = paired_difference(18, m1=two.mean(), m2=one.mean(), **{**sds, **road})
        assert found.estimate == pytest.approx(change.mean(), rel=1e-10)
        # Tails of t and back: nine digits.
        assert found.se == pytest.approx(se, rel=1e-9)
        assert found.r == pytest.approx(r, rel=1e-8)
    assert found.vi == found.se**2
    assert found.summary.loc[0, "how"].startswith("SDs of both conditions with r")
    assert "SE" in repr(found)
    assert "<table>" in found._repr_html_()


def test_smd_of_a_crossover_agrees_with_its_measure():
    yi, vi = smd_crossover(2.0, 3.5, 3.1, 400, r=0.57)
    near = effect_size("SMCRP", m1=2, m2=0, sd1=3.5, sd2=3.1, n=400, r=0.57)
    # SMCRP shrinks by J, 1 - 0.75/600 here, and drops (1 - r²) terms that a large n makes small.
    assert yi == pytest.approx(near[0], rel=2e-3)
    assert vi == pytest.approx(2 * 0.43 * (1 / 400 + yi**2 / 800), rel=RTOL)


def test_numbers_that_are_missing_in_a_table_count_as_not_given():
    row = {"difference": 2.0, "m1": np.nan, "m2": np.nan, "se": np.nan, "t": 2.5, "p": np.nan}
    assert paired_difference(16, **row).how == "paired t"
    assert paired_difference(16, **row).se == 0.8
    # Sums of large means are rounded: in units of a millionth the same difference is the same.
    million = paired_difference(16, difference=0.1, m1=1e6 + 0.1, m2=1e6, se=1.0)
    assert million.estimate == 0.1


# The correlation between two times -----------------------------------------------------------


def test_r_is_the_mean_of_fishers_z():
    table = pd.DataFrame(
        {
            "before": [10.0, 8.0, 12.0, 5.0],
            "after": [9.0, 8.5, 11.0, 5.0],
            "change": [6.0, 7.0, np.nan, 40.0],
            "people": [30, 20, 25, 12],
        },
        index=list("abcd"),
    )
    found = estimate_r(table, sd1="before", sd2="after", sd_change="change", n="people")
    r = [(100 + 81 - 36) / 180, (64 + 72.25 - 49) / 136]
    wanted = np.tanh(np.average(np.arctanh(r), weights=[27, 17]))
    assert found.r == pytest.approx(wanted, rel=RTOL)
    assert (found.low, found.high) == pytest.approx((min(r), max(r)), rel=RTOL)
    assert found.k == 2
    assert found.studies.index.tolist() == list("abcd")
    assert found.studies["note"].tolist() == [
        "",
        "",
        "a number is missing",
        "the three SDs cannot belong together",
    ]
    assert "2 of 4 rows gave no correlation" in repr(found)
    assert "<table>" in found._repr_html_()
    assert found.summary.loc[0, "k"] == 2


def test_r_from_published_studies():
    # dat.lehmann2018 of metadat 1.2-0, rows 3, 7 and 8 of the studies within people: SDs of red,
    # control and difference, n (the last left out here), and the correlation the table has.
    table = pd.DataFrame(
        {
            "sd1": [1.18, 0.9008, 0.7486],
            "sd2": [1.13, 0.8494, 0.73018],
            "sd_change": [0.63, 0.3614, 0.60574],
            "n": pd.array([39, 25, None], dtype="Int64"),
            "reported": [0.856, 0.920, 0.660],
        }
    )
    found = estimate_r(table)
    # Two or four digits of the SDs give two of r.
    np.testing.assert_allclose(found.studies["r"], table["reported"], atol=0.01)
    assert found.k == 2
    assert found.studies["note"].tolist() == ["", "", "a number is missing"]
    perfect = pd.DataFrame({"sd1": [2.0, 8], "sd2": [1.0, 8.5], "sd_change": [1.0, 7], "n": 20})
    assert estimate_r(perfect).studies["note"][0] == "a perfect correlation has no Fisher's z"


# SDs that look like standard errors ----------------------------------------------------------


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e5])
def test_one_standard_error_among_sds_is_found_in_any_unit(unit):
    rng = np.random.default_rng(0)
    n = np.array([20, 25, 30, 22, 18, 40])
    sd = rng.uniform(8, 12, 6)
    clean = looks_like_se(sd * unit, n)
    assert (clean == "").all()
    sd[3] /= np.sqrt(n[3])
    found = looks_like_se(sd * unit, n)
    assert found[3].startswith("its SD")
    assert (np.delete(found, 3) == "").all()


def test_means_of_different_size_need_coefficients_of_variation():
    n, mean = [30] * 5, np.array([10.0, 1000.0, 100.0, 50.0, 500.0])
    sd = 0.2 * mean
    assert (looks_like_se(sd, n, mean=mean) == "").all()
    sd[1] /= np.sqrt(30)
    assert looks_like_se(sd, n, mean=mean)[1]


def test_within_a_study():
    assert unlike_arms(50.2, 2.0, 25, 51.0, 9.6, 25).startswith("sd1 2 looks like a standard error")
    assert unlike_arms(50.2, 9.0, 25, 51.0, 9.6, 25) == ""
    assert unlike_arms(np.nan, 2.0, 25, 51.0, 9.6, 25) == ""
    assert "5.4 SDs is rare" in rare_difference(12.0, 0.5, 25, 9.0, 0.6, 25)
    assert rare_difference(12.0, 5, 25, 9.0, 6, 25) == ""
    assert rare_difference(np.nan, 5, 25, 9.0, 6, 25) == ""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recover.sd_from_f(0, [1, 2], [9, 9]), "f is 0; it must be above 0"),
        (lambda: recover.sd_from_f(2, [1], [9]), "compares two or more groups"),
        (lambda: recover.sd_from_f(2, [1, 1], [9, 9]), "all means are equal"),
        (lambda: recover.sd_from_p(2, 1, 9, 9), "leaves the spread unknown"),
        (lambda: recover.sd_from_se_of_difference(0, 9, 9), "se is 0"),
        (lambda: mean_sd_from_skewed_quantiles(9, 3, q1=1, q3=4, method="x"), "no method is"),
        (
            lambda: mean_sd_from_skewed_quantiles(9, 3, q1=0, q3=4, method="box-cox"),
            "needs quantiles above 0",
        ),
        (
            lambda: mean_sd_from_skewed_quantiles(9, 3, q1=3, q3=4, method="box-cox"),
            "a quantile equals the median",
        ),
        (lambda: mean_sd_from_quantiles(9, 3, q1=3, q3=3), "not in the order"),
        (lambda: skewness(3, 3, q1=1, q3=4), "n is 3; it must be at least 5"),
        (lambda: arms.split_control(3, arms=2), "merge the arms instead"),
        (lambda: arms.split_control(30, arms=1), "shared by 2 arms at least"),
        (lambda: arms.combine_counts([5, 1], [4, 9]), "5 events cannot exceed 4"),
        (lambda: paired_difference(16, t=2.0), "the mean difference is missing"),
        (lambda: paired_difference(16, difference=1, m1=3, m2=1, t=2), "give one of them"),
        (lambda: paired_difference(16, difference=1), "nothing tells the spread"),
        (lambda: paired_difference(16, difference=1, t=0), "leaves the spread unknown"),
        (lambda: paired_difference(None, difference=1, t=2), "n is missing"),
        (lambda: paired_difference(16, difference=[1, 2], t=2), "difference holds 2 values"),
        (lambda: paired_difference(16, difference="x", t=2), "difference holds something that"),
        (lambda: paired_difference(16, difference=1, low=-3, high=-1), "lies outside its interval"),
        (lambda: smd_crossover(1, [1, 2], [1, 2, 3], 9, r=0.5), "do not fit together"),
        (lambda: estimate_r(None), "estimate_r takes a DataFrame"),
        (lambda: estimate_r(pd.DataFrame({"sd1": ["a"]})), "column 'sd1' holds something that"),
        (lambda: looks_like_se([1, 2, 3], [9, 9]), "do not fit together"),
        (lambda: skewness(20, np.inf, q1=1, q3=4), "median is inf; a number must be finite"),
        (lambda: arms.split_control(30, arms="2"), "shared by 2 arms at least"),
        (lambda: arms.combine_all_arms([9, 9], [1, 2, 3], 1), "do not fit together"),
        (lambda: paired_difference(16, difference=1, sd1=2, sd2=2, r=1), "leave no spread"),
        (lambda: estimate_r(pd.DataFrame({"sd1": [1]})), "no column is called 'sd2'"),
        (
            lambda: estimate_r(pd.DataFrame({"sd1": [1.0], "sd2": 1, "sd_change": 9, "n": 9})),
            "r can only be assumed",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises((EffectError, UnknownNameError), match=message):
        call()


def test_a_difference_that_is_not_that_of_the_means_is_refused_in_any_unit():
    means = {"m1": 3e-10, "m2": 2e-10, "se": 1e-11}
    assert paired_difference(10, difference=1e-10, **means).estimate == 1e-10
    with pytest.raises(EffectError, match="give one of them"):
        paired_difference(10, difference=2e-10, **means)

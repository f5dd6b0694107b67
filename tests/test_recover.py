"""Recovered numbers against the definitions they invert and the Handbook's worked examples."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from retroevidence.effects import recover
from retroevidence.effects.measures import effect_size
from retroevidence.errors import EffectError

GOLDEN = Path(__file__).parent / "golden" / "acceptance.json"

# Algebra in double precision.
RTOL = 1e-12


def test_sd_from_ci_is_the_handbook_example():
    # Cochrane Handbook 6.5.2.2: 30.0 to 34.2 with n = 25 gives 5.09, printed to two decimals.
    assert recover.sd_from_ci(30.0, 34.2, 25) == pytest.approx(5.09, abs=0.005)


def test_sd_from_t_is_the_handbook_example():
    # Cochrane Handbook 6.5.2.3: difference 3.8, p = 0.008, n = 25 and 22 give t = 2.78 and SD 4.69;
    # the Handbook rounds in between, hence two units of its last digit.
    t = recover.t_from_p(0.008, 45)
    assert t == pytest.approx(2.78, abs=0.005)
    assert recover.sd_from_t(3.8, t, 25, 22) == pytest.approx(4.69, abs=0.02)


def test_se_and_ci_invert_each_other():
    low, high = 5 - stats.t.ppf(0.95, 11) * 0.7, 5 + stats.t.ppf(0.95, 11) * 0.7
    assert recover.se_from_ci(low, high, 0.90, df=11) == pytest.approx(0.7, rel=RTOL)
    low, high = 5 - stats.norm.ppf(0.975) * 0.7, 5 + stats.norm.ppf(0.975) * 0.7
    assert recover.se_from_ci(low, high) == pytest.approx(0.7, rel=RTOL)
    assert recover.sd_from_se(0.7, 12) == pytest.approx(0.7 * np.sqrt(12), rel=RTOL)


@pytest.mark.parametrize("p", [0.9, 0.03, 1e-6, 1e-30])
def test_t_from_p_inverts_the_t_test(p):
    # The quantile function of t is good to about 1e-10 far in the tail.
    assert 2 * stats.t.sf(recover.t_from_p(p, 28), 28) == pytest.approx(p, rel=1e-9)


def test_t_from_f_of_two_groups():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 12), rng.normal(1, 1, 15)
    f = stats.f_oneway(a, b).statistic
    assert recover.t_from_f(f, 25) == pytest.approx(abs(stats.ttest_ind(a, b).statistic), rel=1e-10)


def test_smd_from_t_and_p_equal_the_smd_from_means():
    means = {"m1": 12.0, "sd1": 3.0, "n1": 14, "m2": 14.0, "sd2": 2.0, "n2": 11}
    test = stats.ttest_ind_from_stats(12.0, 3.0, 14, 14.0, 2.0, 11)
    wanted = effect_size("SMD", **means)
    np.testing.assert_allclose(recover.smd_from_t(test.statistic, 14, 11), wanted, rtol=RTOL)
    # The p-value passes through a tail and back, which costs some digits.
    np.testing.assert_allclose(recover.smd_from_p(test.pvalue, 14, 11, sign=-1), wanted, rtol=1e-9)


@pytest.mark.parametrize("r", [0.3, 0.8])
@pytest.mark.parametrize(("power", "side"), [(1, 1), (0, -1)])
def test_paired_log_ratio_errs_by_the_stated_second_order_term(r, power, side):
    n, yi = 20, 0.1
    m1, m2 = 10 * np.exp(yi), 10.0
    sd1, sd2 = 2.0 * (m1 / m2) ** power, 2.0
    exact = effect_size("ROMC", m1=m1, m2=m2, sd1=sd1, sd2=sd2, n=n, r=r, correct=False)[1]
    t = (m1 - m2) / recover.sd_change(sd1, sd2, r) * np.sqrt(n)
    approximate = recover.paired_variance_from_t(yi, t)
    stated = side * yi**2 / (2 * (1 - r))
    # The stated term leaves out yi²/12 and the fourth order.
    assert approximate / exact - 1 == pytest.approx(stated, abs=yi**2 / 12 + 2 * stated**2)


def test_percent_becomes_a_log_ratio():
    np.testing.assert_allclose(
        recover.log_ratio_from_percent([28, -20]), np.log([1.28, 0.8]), rtol=RTOL
    )


def test_change_sd_and_correlation_invert_each_other():
    spread = recover.sd_change(15.0, 11.6, 0.47)
    assert recover.correlation_from_sd_change(15.0, 11.6, spread) == pytest.approx(0.47, rel=RTOL)
    assert recover.correlation_from_sd_change(2.0, 1.0, 1.0) == 1
    paired = np.random.default_rng(2).normal(size=(2, 16))
    change = paired[0] - paired[1]
    t = stats.ttest_rel(*paired).statistic
    assert recover.sd_change_from_t(change.mean(), t, 16) == pytest.approx(
        change.std(ddof=1), rel=1e-10
    )


def test_combined_arms_equal_the_arms_never_split():
    rng = np.random.default_rng(3)
    a, b = rng.normal(5, 2, 10), rng.normal(8, 3, 21)
    n, m, sd = recover.combine_arms(10, a.mean(), a.std(ddof=1), 21, b.mean(), b.std(ddof=1))
    together = np.concatenate([a, b])
    assert n == 31
    assert m == pytest.approx(together.mean(), rel=RTOL)
    assert sd == pytest.approx(together.std(ddof=1), rel=RTOL)


FIVE = json.loads(GOLDEN.read_text(encoding="utf-8"))["fivenum_luo_wan_shi"]


@pytest.mark.parametrize(("given", "golden"), list(zip(FIVE["input"], FIVE["out"], strict=True)))
def test_mean_and_sd_from_quantiles(given, golden):
    mean, sd = recover.mean_sd_from_quantiles(
        given["n"],
        given["med"],
        low=given["min"],
        q1=given["q1"],
        q3=given["q3"],
        high=given["max"],
    )
    # Closed forms on both sides, printed with 15 digits.
    assert mean == pytest.approx(golden["mean"], rel=RTOL)
    assert sd == pytest.approx(golden["sd"], rel=RTOL)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recover.t_from_p(0, 10), "p is 0, and an exact p-value lies above 0"),
        (lambda: recover.t_from_p([0.1, 1.5], 10), "p is 1.5"),
        (lambda: recover.t_from_p(0.1, 0), "df is 0; it must be above 0"),
        (lambda: recover.t_from_f(-1, 10), "f is -1; it must be at least 0"),
        (lambda: recover.se_from_ci(2, 1), "empty or reversed"),
        (lambda: recover.se_from_ci(1, 2, level=95), "write 0.95 for 95%"),
        (lambda: recover.smd_from_p(0.1, 9, 9, sign=0), "sign is 0; give 1 or -1"),
        (lambda: recover.smd_from_t(2, 1, 9), "n1 is 1; it must be at least 2"),
        (lambda: recover.log_ratio_from_percent(-100), "percent is -100; it must be above -100"),
        (lambda: recover.paired_variance_from_t(0.1, 0), "leaves the spread unknown"),
        (lambda: recover.sd_change(1, 1, -1.1), "r is -1.1"),
        (lambda: recover.correlation_from_sd_change(1, 1, 9), "that the three SDs imply"),
        (lambda: recover.sd_from_t(3, 0, 9, 9), "leaves the spread unknown"),
        (lambda: recover.sd_change_from_t(3, 0, 9), "leaves the spread unknown"),
        (lambda: recover.sd_change_from_t(0, 3, 9), "a change of 0 leaves the spread unknown"),
        (lambda: recover.sd_from_t(0, 3, 9, 9), "a difference of 0 leaves the spread unknown"),
        (lambda: recover.sd_from_p(0, 0.2, 9, 9), "a difference of 0 leaves the spread unknown"),
        (lambda: recover.sd_from_se("x", 9), "se holds something that is not a number"),
        (lambda: recover.sd_from_se(np.inf, 9), "se is inf; a number must be finite"),
        (lambda: recover.sd_from_se([1, 2], [9, 9, 9]), "sd_from_se: the shapes of the numbers"),
        (lambda: recover.sd_from_f(2, [1, 2, 3], [9, 9]), "sd_from_f: the shapes of the numbers"),
        (lambda: recover.se_from_ci(1, 2, level="95%"), "write 0.95 for 95%"),
        (lambda: recover.mean_sd_from_quantiles(9, 3), "a median alone gives no SD"),
        (lambda: recover.mean_sd_from_quantiles(9, 3, q1=1), "q1 and q3 belong together"),
        (lambda: recover.mean_sd_from_quantiles(9, 3, q1=4, q3=5), "not in the order"),
    ],
)
def test_refusals_name_the_number(call, message):
    with pytest.raises(EffectError, match=message):
        call()

"""The estimators of tau² at their edges: boundary, scale, standard errors, global maximum."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.special import chdtri

from retroevidence.errors import UnknownNameError
from retroevidence.meta.heterogeneity import q_profile
from retroevidence.meta.tau2 import (
    BY_Q,
    METHODS,
    estimate_tau2,
    generalised_q,
    solve_q,
    tau2_standard_error,
)

GOLDEN = Path(__file__).parent / "golden"
CLOSED = json.loads((GOLDEN / "closed_forms.json").read_text(encoding="utf-8"))
ESTIMATED = [method for method in METHODS if method != "CE"]

# metafor iterates to 1e-13 and we to machine precision; the gap grows where tau² is flat.
RTOL = 1e-8


def with_error(yi, vi, x, method):
    tau2 = estimate_tau2(yi, vi, x, method)
    return tau2, tau2_standard_error(yi, vi, x, method, tau2)


def data(name):
    yi, vi = (np.array(CLOSED["data"][name][part]) for part in ("yi", "vi"))
    return yi, vi, np.ones((len(yi), 1))


@pytest.mark.parametrize("case", list(CLOSED["fits"]))
@pytest.mark.parametrize("method", ESTIMATED)
def test_two_and_three_studies_and_homogeneous_ones(case, method):
    golden = CLOSED["fits"][case][method]
    tau2, se = with_error(*data(case), method)
    assert tau2 == pytest.approx(golden["tau2"], rel=RTOL, abs=0)
    assert se == pytest.approx(golden["se_tau2"], rel=RTOL, abs=0)


def test_common_effect_has_no_tau2():
    tau2, se = with_error(*data("three"), "CE")
    assert tau2 == 0
    assert np.isnan(se)


@pytest.mark.parametrize("method", ESTIMATED)
@pytest.mark.parametrize("factor", [1e-9, 1e-3, 1e6])
def test_scale_of_the_outcome_does_not_matter(method, factor):
    yi, vi, x = data("three")
    tau2, se = with_error(yi, vi, x, method)
    scaled = with_error(factor * yi, factor**2 * vi, x, method)
    # Rounding of the scaled input moves a root by a few units in the last places.
    assert scaled[0] / factor**2 == pytest.approx(tau2, rel=1e-12)
    assert scaled[1] / factor**2 == pytest.approx(se, rel=1e-12)


@pytest.mark.parametrize("method", ESTIMATED)
def test_equal_variances_agree_with_the_analysis_of_variance(method):
    # With equal vi every estimator but HS and ML (divisor k), SJ and PMM is s² - v.
    yi = np.array([0.2, 1.4, -0.6, 0.9, 2.2])
    v = 0.3
    tau2 = estimate_tau2(yi, np.full(5, v), np.ones((5, 1)), method)
    wanted = {"HS": yi.var() - v, "ML": yi.var() - v}.get(method, yi.var(ddof=1) - v)
    if method == "SJ":
        start = yi.var()
        wanted = start * (yi.var(ddof=1) / (start + v))
    if method == "PMM":
        wanted = yi.var() * 5 / chdtri(4, 0.5) - v
    assert tau2 == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_the_highest_of_several_maxima_wins(method):
    # Two precise studies far apart from a cloud of imprecise ones: more than one local maximum.
    yi = np.concatenate([[0.0, 0.001], np.linspace(-8, 8, 9)])
    vi = np.concatenate([[1e-6, 1e-6], np.full(9, 4.0)])
    x = np.ones((len(yi), 1))
    tau2 = estimate_tau2(yi, vi, x, method)
    grid = np.concatenate([[0.0], np.geomspace(1e-9, 1e3, 4000)])
    found = [likelihood(yi, vi, t, method) for t in grid]
    assert likelihood(yi, vi, tau2, method) >= max(found) - 1e-9


def likelihood(yi, vi, tau2, method):
    """Twice the log likelihood of a single mean, written out from its definition."""
    w = 1 / (vi + tau2)
    mean = np.sum(w * yi) / w.sum()
    value = np.sum(np.log(w)) - np.sum(w * (yi - mean) ** 2)
    return value - np.log(w.sum()) * (method == "REML")


def test_paule_mandel_solves_its_equation():
    yi, vi, x = data("three")
    tau2 = estimate_tau2(yi, vi, x, "PM")
    assert generalised_q(yi, vi, x, tau2) == pytest.approx(2, rel=1e-12)
    assert solve_q(yi, vi, x, 1e9) == 0


def test_the_median_unbiased_estimate_is_too_low_as_often_as_too_high():
    # Q at the true tau² is chi-squared, so the estimate lies below it with probability one half,
    # whatever the variances. 4000 sets: a standard error of 0.0079; four of them are allowed.
    rng = np.random.default_rng(8)
    vi = 10 ** rng.uniform(-2, 0, 6)
    x = np.ones((6, 1))
    below = [
        estimate_tau2(rng.normal(0, np.sqrt(vi + 0.4)), vi, x, "PMM") < 0.4 for _ in range(4000)
    ]
    assert np.mean(below) == pytest.approx(0.5, abs=0.032)


def test_extreme_variances_and_identical_effects():
    x = np.ones((4, 1))
    same = np.full(4, 0.3)
    for method in ESTIMATED:
        assert estimate_tau2(same, np.full(4, 0.1), x, method) == pytest.approx(0, abs=1e-30)
        for vi in ([1e-12, 1, 1, 1], [1e12, 1, 1, 1], [1e-12, 1e12, 1, 1]):
            tau2, se = with_error(np.array([0.0, 1, 3, 2]), np.array(vi), x, method)
            assert tau2 >= 0
            assert np.isfinite([tau2, se]).all()


def test_q_profile_limits_solve_their_equations():
    from scipy.stats import chi2

    yi, vi, x = data("pairs")
    low, high = q_profile(yi, vi, x, 0.90)
    assert generalised_q(yi, vi, x, high) == pytest.approx(chi2.ppf(0.05, 1), rel=1e-10)
    assert low > 0
    assert generalised_q(yi, vi, x, low) == pytest.approx(chi2.ppf(0.95, 1), rel=1e-10)
    assert q_profile(*data("alike"))[0] == 0
    assert np.isnan(q_profile(yi[:1], vi[:1], x[:1])).all()


def test_reml_recovers_a_known_truth():
    rng = np.random.default_rng(20)
    truth, k, runs = 0.09, 30, 300
    found = []
    for _ in range(runs):
        vi = rng.uniform(0.02, 0.1, k)
        yi = rng.normal(0.5, np.sqrt(truth + vi))
        found.append(estimate_tau2(yi, vi, np.ones((k, 1))))
    # REML is nearly unbiased here; four Monte Carlo standard errors.
    assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / np.sqrt(runs))


# Exact arithmetic ---------------------------------------------------------------------------------


class Exact:
    """P = W - WX(X'WX)^-1 X'W and what the estimators need of it, in rational numbers."""

    def __init__(self, yi, vi, x):
        self.y, self.v = [Fraction(float(a)) for a in yi], [Fraction(float(a)) for a in vi]
        self.x = [[Fraction(float(a)) for a in row] for row in x]
        self.k, self.p = len(yi), len(x[0])

    def projection(self, w):
        pairs = [(a, b) for a in range(self.p) for b in range(self.p)]
        made = [[sum(wi * r[a] * r[b] for wi, r in zip(w, self.x, strict=True))
                 for b in range(self.p)] for a in range(self.p)]  # fmt: skip
        if self.p == 1:
            inverse = [[1 / made[0][0]]]
        else:
            (a, b), (c, d) = made
            inverse = [[d / (a * d - b * c), -b / (a * d - b * c)],
                       [-c / (a * d - b * c), a / (a * d - b * c)]]  # fmt: skip
        return [
            [
                (w[i] if i == j else 0)
                - w[i] * w[j] * sum(self.x[i][a] * inverse[a][b] * self.x[j][b] for a, b in pairs)
                for j in range(self.k)
            ]
            for i in range(self.k)
        ]

    def moment(self, method):
        k, df = self.k, self.k - self.p
        w = [Fraction(1)] * k if method == "HE" else [1 / v for v in self.v]
        p = self.projection(w)
        q = sum(a * row[j] * b for a, row in zip(self.y, p, strict=True)
                for j, b in enumerate(self.y))  # fmt: skip
        if method == "HE":
            return (q - sum(v * p[i][i] for i, v in enumerate(self.v))) / df
        if method == "DL":
            return (q - df) / sum(p[i][i] for i in range(k))
        return (q * (Fraction(k, df) if method == "HSk" else 1) - k) / sum(w)

    def score(self, method, tau2):
        w = [1 / (v + tau2) for v in self.v]
        p = self.projection(w)
        py = [sum(a * b for a, b in zip(row, self.y, strict=True)) for row in p]
        if method in BY_Q:
            df = self.k - self.p
            target = Fraction(float(chdtri(df, 0.5))) if method == "PMM" else df
            return sum(a * b for a, b in zip(self.y, py, strict=True)) - target
        lost = sum(w) if method == "ML" else sum(p[i][i] for i in range(self.k))
        return sum(a * a for a in py) - lost


EXTREME = {
    "one tiny": [1e-12, 1, 1, 1, 1, 1],
    "one huge": [1e12, 1, 1, 1, 1, 1],
    "both": [1e-12, 1e12, 1, 1, 1, 1],
    "two tiny": [1e-12, 1e-12, 1, 1, 1, 1],
    "99 % of the weight": [1e-3, 0.5, 0.4, 0.6, 0.3, 0.7],
    "all scales": [1e-16, 1e-10, 1e-4, 1, 1e4, 1e8],
}


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("case", list(EXTREME))
@pytest.mark.parametrize("method", [m for m in ESTIMATED if m != "SJ"])
def test_weights_that_differ_a_trillionfold_against_exact_arithmetic(columns, case, method):
    yi, vi = np.array([0.0, 1, 3, 2, -1, 0.7]), np.array(EXTREME[case], dtype=float)
    x = np.column_stack([np.ones(6), [1.0, 2, 5, 3, 4, 7]])[:, :columns]
    tau2, se = with_error(yi, vi, x, method)
    assert np.isfinite(se)
    exact = Exact(yi, vi, x)
    # Digits that the data themselves lose: 16 minus those of the ratio of the weights' roots.
    if method in ("DL", "HE", "HS", "HSk"):
        assert tau2 == pytest.approx(max(0.0, float(exact.moment(method))), rel=1e-9, abs=0)
    elif tau2 == 0:
        assert exact.score(method, Fraction(0)) <= 0
    else:
        hair = Fraction(1, 10**9)
        assert exact.score(method, Fraction(tau2) * (1 - hair)) > 0
        assert exact.score(method, Fraction(tau2) * (1 + hair)) < 0


@pytest.mark.parametrize("method", ["DL", "HE", "REML", "EB", "PM", "PMM"])
@pytest.mark.parametrize("own", [1e-12, 0.1, 1e12])
def test_a_study_with_a_coefficient_of_its_own_tells_nothing_about_tau2(method, own):
    yi, vi = np.array([9.0, 1, 3, 2, -1, 0.7]), np.array([own, 0.5, 0.4, 0.6, 0.3, 0.7])
    x = np.column_stack([np.ones(6), np.arange(6) == 0]).astype(float)
    found = with_error(yi, vi, x, method)
    wanted = with_error(yi[1:], vi[1:], x[1:, :1], method)
    if method in BY_Q:
        # Their standard error has the mean weight of all studies in it.
        found, wanted = found[:1], wanted[:1]
    assert found == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_newton_and_bisection_find_the_same_root(method):
    # The plain mean goes by Newton's steps; a column that is not constant by bracketing alone.
    rng = np.random.default_rng(4)
    for _ in range(200):
        k = int(rng.integers(2, 40))
        vi = 10 ** rng.uniform(-3, 1, k)
        yi = rng.normal(0, np.sqrt(vi + rng.choice([0, 0.01, 1.0])))
        plain = estimate_tau2(yi, vi, np.ones((k, 1)), method)
        signs = np.where(np.arange(k) % 2, -1.0, 1.0)
        bracketed = estimate_tau2(yi * signs, vi, signs[:, None], method)
        assert plain == pytest.approx(bracketed, rel=1e-11, abs=0)


def test_unknown_method():
    with pytest.raises(UnknownNameError, match="no method is called 'reml'"):
        estimate_tau2(*data("three"), "reml")


def test_a_study_with_nearly_all_the_weight_takes_no_digits_off_the_score():
    # The spread of three studies is chosen so that the REML score is 0 at tau² = 1e-8, where the
    # first study has 1e8 times their weight: taking its weight off the total leaves one digit.
    tau2, vi, x = 1e-8, np.array([1e-12, 1.0, 1.0, 1.0]), np.ones((4, 1))
    weights = [1 / (Fraction(v) + Fraction(tau2)) for v in vi.tolist()]
    total, squares = sum(weights), sum(w * w for w in weights)
    shape = [Fraction(0), Fraction(-1), Fraction(2), Fraction(3)]
    mean = sum(w * y for w, y in zip(weights, shape, strict=True)) / total
    gained = sum((w * (y - mean)) ** 2 for w, y in zip(weights, shape, strict=True))
    size = math.sqrt((total - squares / total) / gained)
    found = estimate_tau2(size * np.array([float(y) for y in shape]), vi, x)
    # The score hardly depends on tau² here: rounding of the effects alone moves its root by 1e-8.
    assert found == pytest.approx(tau2, rel=1e-6)

"""Bayesian pooling: bayesmeta's printed numbers, brute-force integrals, and the edges."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate as quadrature
from scipy import stats

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.bayes.grid import integrate
from retroevidence.meta.bayes.pool import pool_bayes
from retroevidence.meta.bayes.posterior import Mixture
from retroevidence.meta.bayes.priors import (
    TauPrior,
    half_cauchy,
    half_normal,
    log_normal,
    log_t,
    normal,
    rhodes2015,
    turner2015,
    uniform,
)
from retroevidence.meta.pool import pool

GOLDEN = json.loads((Path(__file__).parent / "golden" / "bayes.json").read_text(encoding="utf-8"))
Z = stats.norm.ppf(0.975)

YI, VI = np.array([0.42, 0.10, 0.31, -0.15]), np.array([0.04, 0.01, 0.09, 0.02])
PRIORS = [half_normal(0.5), half_cauchy(0.3), uniform(1.5), turner2015(), rhodes2015()]


def bayes(prior=PRIORS[0], mu_prior=None, yi=YI, vi=VI, **options):
    return pool_bayes(yi=yi, vi=vi, tau_prior=prior, mu_prior=mu_prior, **options)


# bayesmeta --------------------------------------------------------------------------------------


def jeffreys(vi):
    """Return Jeffreys' prior of tau, which bayesmeta's manual defines by the information of tau."""

    def log_density(tau):
        ratio = tau[:, None] / (vi + tau[:, None] ** 2)
        with np.errstate(divide="ignore"):
            return np.log((ratio**2).sum(axis=1)) / 2

    return TauPrior("Jeffreys", log_density, proper=False, tail=1.0)


def described(posterior):
    low, high = posterior.interval(0.95, "shortest")
    found = {name: getattr(posterior, name) for name in ("mode", "median", "mean", "sd")}
    return found | {"low": low, "high": high}


def test_bayesmeta_on_three_studies_with_jeffreys_prior():
    golden = GOLDEN["okumura"]
    vi = np.square(golden["sei"])
    ours = bayes(jeffreys(vi), yi=golden["yi"], vi=vi)
    tau, mu = described(ours.tau_posterior), described(ours.mu_posterior)
    # Theirs are printed to 8 decimals; the mode and the limits come from their optimisers, whose
    # own tolerance is about 1e-4 of the spread.
    for name in ("median", "mean"):
        assert tau[name] == pytest.approx(golden["tau"][name], abs=2e-8)
    for name in ("mode", "low", "high"):
        assert tau[name] == pytest.approx(golden["tau"][name], abs=2e-5)
    assert ours.map_tau == pytest.approx(golden["tau"]["map"], abs=2e-5)
    # Theirs mix over bins of tau (delta = 0.01, epsilon = 1e-4): good to 1e-3 of the spread of 4.
    for name in ("mode", "median", "mean", "low", "high"):
        assert mu[name] == pytest.approx(golden["mu"][name], abs=2e-3)
    assert ours.map_mu == pytest.approx(golden["mu"]["map"], abs=1e-4)
    for row, theirs in enumerate(golden["theta"]):
        shrunk = described(ours.study_posterior(row))
        for name, value in theirs.items():
            assert shrunk[name] == pytest.approx(value, abs=1e-3), (row, name)


def test_heavy_tails_have_no_standard_deviation():
    """The posterior of tau falls with tau**-3 here, so neither tau nor mu has a variance.

    bayesmeta prints NA for tau, but 3.947 for mu, which is where its bins of tau end.
    """
    golden = GOLDEN["okumura"]
    vi = np.square(golden["sei"])
    ours = bayes(jeffreys(vi), yi=golden["yi"], vi=vi)
    assert ours.model.tail == 3
    assert ours.tau_se == math.inf
    assert ours.se == math.inf
    assert any("no standard deviation" in note for note in ours.notes)
    assert ours.to_dict()["se"] is None


def test_bayesmeta_on_six_trials_with_proper_priors():
    golden = GOLDEN["mdma"]
    effect, low, high = np.array(golden["limits"]).T
    ours = bayes(half_normal(0.5), normal(0, 1), yi=effect, vi=((high - low) / (2 * Z)) ** 2)
    tau, mu = described(ours.tau_posterior), described(ours.mu_posterior)
    # Four decimals of the effects, and bayesmeta's bins of tau for mu.
    for name, value in tau.items():
        assert value == pytest.approx(golden["tau"][name], abs=1e-5), name
    for name, value in mu.items():
        assert value == pytest.approx(golden["mu"][name], abs=2e-4), name
    assert ours.map_tau == 0
    assert ours.map_mu == pytest.approx(golden["mu"]["map"], abs=2e-5)


# Brute force ------------------------------------------------------------------------------------


def surface(prior, mu_prior):
    """Weights of a plain two-dimensional grid: trapezes in mu, Simpson in log(tau)."""
    mu, u = np.linspace(-6, 6, 2001), np.linspace(-30, math.log(60), 1001)
    values = [
        stats.norm.logpdf(YI[:, None], mu, np.sqrt(VI + math.exp(2 * point))[:, None]).sum(axis=0)
        for point in u
    ]
    values += (prior.log_density(np.exp(u)) + u)[:, None]
    values += stats.norm.logpdf(mu, mu_prior.mean, mu_prior.sd)
    return mu, np.exp(u), u, np.exp(values)


@pytest.mark.parametrize("prior", [half_normal(0.5), turner2015()], ids=repr)
def test_against_a_plain_grid_in_both_parameters(prior):
    mu_prior = normal(0.1, 0.8)
    mu, tau, u, weights = surface(prior, mu_prior)
    over_tau = quadrature.simpson(weights, x=u, axis=0)
    over_mu = quadrature.trapezoid(weights, x=mu, axis=1)
    total = quadrature.trapezoid(over_tau, x=mu)

    def over_both(values):
        return quadrature.simpson(quadrature.trapezoid(values * weights, x=mu, axis=1), x=u) / total

    ours = bayes(prior, mu_prior)
    # The plain grid is good to 1e-8: Simpson's rule with steps of 0.034 in log(tau).
    assert ours.log_marginal == pytest.approx(math.log(total), abs=1e-7)
    assert ours.mean == pytest.approx(over_both(mu), abs=1e-7)
    assert ours.se**2 == pytest.approx(over_both((mu - ours.mean) ** 2), abs=1e-7)
    assert ours.tau_mean == pytest.approx(over_both(tau[:, None]), abs=1e-7)
    assert ours.tau_se**2 == pytest.approx(over_both((tau[:, None] - ours.tau_mean) ** 2), abs=1e-7)
    new = stats.norm.sf((0.2 - mu) / tau[:, None])
    # For tau near 0 the integrand jumps at 0.2, which trapezes of 0.006 see less well.
    assert ours.probability(above=0.2, new_study=True) == pytest.approx(over_both(new), abs=1e-5)
    kept = tau[:, None] ** 2 / (tau[:, None] ** 2 + VI[3])
    first = kept * YI[3] + (1 - kept) * mu
    assert ours.study_posterior(3).mean == pytest.approx(over_both(first), abs=1e-7)
    second = over_both(first**2 + kept * VI[3])
    own = ours.study_posterior(3)
    assert own.sd**2 + own.mean**2 == pytest.approx(second, abs=1e-7)
    assert float(ours.mu_posterior.density(0.3)) == pytest.approx(
        float(np.interp(0.3, mu, over_tau)) / total, abs=1e-5
    )
    at = 150
    assert float(ours.tau_posterior.density(tau[at])) == pytest.approx(
        over_mu[at] / total / tau[at], rel=1e-6
    )
    best = np.unravel_index(np.argmax(weights / tau[:, None]), weights.shape)
    assert ours.map_mu == pytest.approx(mu[best[1]], abs=0.01)
    assert ours.map_tau == pytest.approx(tau[best[0]], rel=0.11, abs=1e-9)


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
@pytest.mark.parametrize("mu_prior", [None, normal(0.1, 0.8)], ids=repr)
def test_tau_against_adaptive_quadrature(prior, mu_prior):
    """SciPy's quad, with the likelihood written out as a multivariate normal.

    With a flat prior of the mean it is the likelihood of the differences from the last study.
    """
    flat = mu_prior is None
    contrasts = np.eye(4)[:3] - np.eye(4)[3] if flat else np.eye(4)
    centre, shared = (0.0, 0.0) if flat else (mu_prior.mean, mu_prior.sd**2)
    y = contrasts @ (YI - centre)

    def likelihood(tau):
        covariance = contrasts @ (np.diag(VI + tau**2) + shared) @ contrasts.T
        return stats.multivariate_normal.logpdf(y, np.zeros(len(y)), covariance, True)

    def mass(log_likelihood, upper):
        def integrand(u):
            tau = math.exp(u)
            log_prior = float(prior.log_density(np.array([tau]))[0])
            return math.exp(log_likelihood(tau) + log_prior + u)

        ends = [u for u in (-150, -60, -20, -4, -2, -1, 0, 2, 20) if u < upper] + [upper]
        pieces = itertools.pairwise(ends)
        return sum(quadrature.quad(integrand, *piece, epsrel=1e-11)[0] for piece in pieces)

    ours, last = bayes(prior, mu_prior), min(60.0, math.log(prior.upper))
    total = mass(likelihood, last)
    for threshold in (0.05, 0.3, 1.0):
        expected = mass(likelihood, math.log(threshold)) / total
        # quad is asked for 1e-11 of each piece; log-t priors keep 1e-8 below e**-150.
        assert float(ours.tau_posterior.cdf(threshold)) == pytest.approx(expected, abs=2e-8)
    assert ours.bf_tau0 == pytest.approx(math.exp(likelihood(0.0)) / total, rel=2e-8)
    if not flat:
        assert ours.log_marginal == pytest.approx(math.log(total), abs=2e-8)
        null = mass(lambda tau: stats.norm.logpdf(YI, 0, np.sqrt(VI + tau**2)).sum(), last)
        assert ours.bf_mu0 == pytest.approx(null / total, rel=2e-8)


def test_bayes_factor_is_the_ratio_of_densities_at_zero():
    """Dickey's identity: the priors of mu and tau are independent."""
    ours = bayes(half_cauchy(0.3), normal(0.1, 0.8))
    ratio = float(ours.mu_posterior.density(0.0)) / stats.norm.pdf(0, 0.1, 0.8)
    # Two different integrals over tau, each to 1e-12.
    assert ours.bf_mu0 == pytest.approx(ratio, rel=1e-11)


def test_credible_statements_are_right_on_average():
    """Truth drawn from the priors: the posterior probability below it must be uniform."""
    rng = np.random.default_rng(20)
    ranks = []
    for _ in range(1000):
        vi = rng.uniform(0.01, 0.3, 5)
        tau, mu = abs(rng.normal(0, 0.5)), rng.normal(0, 1)
        theta = rng.normal(mu, tau, 5)
        ours = bayes(half_normal(0.5), normal(0, 1), yi=rng.normal(theta, np.sqrt(vi)), vi=vi)
        ranks.append(
            [
                float(ours.mu_posterior.cdf(mu)),
                float(ours.tau_posterior.cdf(tau)),
                float(ours.new_posterior.cdf(rng.normal(mu, tau))),
                float(ours.study_posterior(2).cdf(theta[2])),
            ]
        )
    for column in np.transpose(ranks):
        # One in a thousand for each of four looks; the seed is fixed.
        assert stats.kstest(column, "uniform").pvalue > 1e-3


# The grid ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 10, 1e3, 1e6])
def test_grid_finds_a_peak_however_narrow(k):
    """A gamma density of shape k in tau²: its peak in log(tau) is 1/(2 sqrt(k)) wide."""
    log_norm = math.lgamma(k) - k * math.log(k)

    def log_function(tau):
        return 2 * k * np.log(tau) - k * tau**2 - log_norm + math.log(2) - np.log(tau)

    grid = integrate(log_function, 3.0)
    # Logs of the size of k leave that much rounding.
    assert abs(grid.log_total) < 1e-13 * max(100, k)
    assert grid.error < 1e-13 * max(10, k)
    for share in (0.025, 0.5, 0.975):
        expected = math.sqrt(stats.gamma.ppf(share, k, scale=1 / k))
        assert grid.quantile(share) == pytest.approx(expected, rel=1e-9)
        assert grid.cdf(expected) == pytest.approx(share, rel=1e-7)


def test_grid_ends_where_the_prior_ends():
    grid = integrate(lambda tau: np.zeros_like(tau), 5.0, upper=2.0)
    assert grid.log_total == pytest.approx(math.log(2), abs=1e-13)
    assert grid.quantile(1.0) <= 2.0 + 1e-12
    assert grid.cdf(0.0) == 0
    assert grid.cdf(9.0) == 1
    assert grid.quantile(0.0) == 0


def test_halving_is_bounded():
    grid = integrate(lambda tau: -tau, 0.0, restless=lambda tau: np.ones(len(tau), dtype=bool))
    assert len(grid.edges) < 100_000
    assert abs(grid.log_total) < 1e-12
    assert grid.quantile(0.5) == pytest.approx(math.log(2), rel=1e-12)


@pytest.mark.parametrize(
    "prior",
    [half_normal(3), half_cauchy(1e-5), uniform(7), log_normal(-2, 3), log_t(-1, 2, df=3), *PRIORS],
    ids=repr,
)
def test_proper_priors_integrate_to_one(prior):
    grid = integrate(prior.log_density, 0.0, upper=prior.upper)
    # A log-t tail beyond a factor of e**340 in tau is left out: below 1e-8 for three degrees.
    assert abs(grid.log_total) < (1e-6 if "log-t3" in repr(prior) else 1e-9)


# Limits and symmetries --------------------------------------------------------------------------


def test_no_spread_is_the_common_effect():
    ours = bayes(half_normal(1e-9))
    common = pool(yi=YI, vi=VI, method="CE", test="z")
    assert ours.estimate == pytest.approx(common.estimate, rel=1e-12)
    assert ours.se == pytest.approx(common.se, rel=1e-12)
    assert ours.ci == pytest.approx(tuple(common.ci), rel=1e-9)
    assert ours.prediction == pytest.approx(tuple(common.ci), rel=1e-7)


def test_many_studies_leave_no_room_for_the_prior():
    rng = np.random.default_rng(3)
    vi = rng.uniform(0.01, 0.1, 2000)
    yi = rng.normal(0.3, np.sqrt(vi + 0.04))
    narrow, wide = (bayes(prior, yi=yi, vi=vi) for prior in (half_normal(0.5), half_cauchy(5)))
    usual = pool(yi=yi, vi=vi, test="z")
    assert narrow.estimate == pytest.approx(wide.estimate, abs=1e-4)
    assert narrow.ci == pytest.approx(tuple(usual.ci), abs=2e-4)
    assert narrow.tau == pytest.approx(usual.tau, abs=2e-3)


@pytest.mark.parametrize("factor", [1e-3, 1e6, 1e60])
def test_scale_of_effects_and_priors_together(factor):
    one = bayes(half_cauchy(0.5), normal(0.1, 1))
    other = bayes(
        half_cauchy(0.5 * factor), normal(0.1 * factor, factor), yi=YI * factor, vi=VI * factor**2
    )
    for name in ("estimate", "mean", "se", "tau", "tau_mean", "mode"):
        # Modes come from a search that stops at 1e-9 of its bracket.
        tolerance = 1e-6 if name == "mode" else 1e-9
        assert getattr(other, name) == pytest.approx(
            getattr(one, name) * factor, rel=tolerance, abs=0
        )
    for name in ("ci", "prediction", "tau_ci"):
        expected = tuple(factor * limit for limit in getattr(one, name))
        assert tuple(getattr(other, name)) == pytest.approx(expected, rel=1e-9, abs=0)
    assert other.bf_mu0 == pytest.approx(one.bf_mu0, rel=1e-8)
    assert other.bf_tau0 == pytest.approx(one.bf_tau0, rel=1e-8)


def test_shift_order_and_sign():
    one = bayes()
    moved = bayes(yi=YI + 1000)
    assert moved.estimate - 1000 == pytest.approx(one.estimate, abs=1e-10)
    assert moved.tau == pytest.approx(one.tau, rel=1e-9)
    turned = bayes(yi=YI[::-1], vi=VI[::-1])
    assert turned.estimate == pytest.approx(one.estimate, rel=1e-12)
    assert turned.studies["shrunk"].to_list()[::-1] == pytest.approx(list(one.studies["shrunk"]))
    other = bayes(yi=-YI)
    assert other.ci == pytest.approx((-one.ci.high, -one.ci.low), rel=1e-10)


# Number of studies ------------------------------------------------------------------------------


def test_one_study_leaves_the_prior_of_tau_as_it_is():
    ours = bayes(half_normal(0.5), yi=[0.4], vi=[0.04])
    assert ours.tau == pytest.approx(stats.halfnorm.median(scale=0.5), rel=1e-12)
    assert ours.tau_ci == pytest.approx(stats.halfnorm.interval(0.95, scale=0.5), rel=1e-10)
    assert ours.estimate == pytest.approx(0.4, rel=1e-12)
    assert ours.se == pytest.approx(math.sqrt(0.04 + 0.25), rel=1e-12)
    assert ours.bf_tau0 == pytest.approx(1, rel=1e-12)
    assert math.isnan(ours.i2)
    assert any("One study" in note for note in ours.notes)
    own = ours.study_posterior(0)
    assert (own.mean, own.sd) == pytest.approx((0.4, 0.2), rel=1e-12)


def test_improper_priors_need_enough_studies():
    for k in (1, 2):
        with pytest.raises(PoolError, match=r"improper.*too few.*half_normal"):
            bayes(uniform(), yi=YI[:k], vi=VI[:k])
    assert math.isnan(bayes(uniform(), yi=YI[:3], vi=VI[:3]).log_marginal)
    with pytest.raises(PoolError, match="1 study is too few"):
        bayes(uniform(), normal(0, 1), yi=YI[:1], vi=VI[:1])
    two = bayes(uniform(), normal(0, 1), yi=YI[:2], vi=VI[:2])
    assert math.isfinite(two.se)
    assert math.isnan(two.bf_tau0)
    assert any("improper" in note for note in two.notes)


def test_moments_exist_where_the_tail_says():
    """Half-Cauchy falls with tau**-2 and k studies with tau**-(k - 1), or -k with a proper mu."""
    expected = {1: (True, True), 2: (False, True), 3: (False, False)}
    for k, (no_mean, no_sd) in expected.items():
        ours = bayes(half_cauchy(0.5), yi=YI[:k], vi=VI[:k])
        assert math.isinf(ours.tau_mean) == no_mean
        assert math.isinf(ours.tau_se) == no_sd
        assert math.isinf(ours.se) == no_sd
        assert all(map(math.isfinite, (*ours.ci, *ours.prediction, *ours.tau_ci)))
    assert math.isfinite(bayes(half_cauchy(0.5), normal(0, 1), yi=YI[:1], vi=VI[:1]).se)


def test_one_dominating_study_and_identical_ones():
    ours = bayes(yi=[0.4, 0.1, 0.3, -0.2], vi=[1e-12, 0.1, 0.1, 0.1])
    own = ours.study_posterior(0)
    assert own.mean == pytest.approx(0.4, abs=1e-9)
    assert own.sd == pytest.approx(1e-6, rel=1e-3)
    assert ours.ci.low < ours.estimate < ours.ci.high
    same = bayes(uniform(2), yi=[0.4] * 5, vi=[0.04] * 5)
    assert same.estimate == pytest.approx(0.4, rel=1e-12)
    assert same.tau_mode == 0
    assert same.tau_ci.low > 0


def test_studies_far_apart():
    ours = bayes(half_cauchy(0.5), yi=[1000.0, 0.0, 0.0, 0.0], vi=[1.0, 1.0, 1.0, 1e-6])
    assert ours.grid.error < 1e-12
    assert ours.estimate == pytest.approx(250, abs=0.1)
    assert 100 < ours.tau < 1000


# Posteriors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["mu_posterior", "tau_posterior", "new_posterior"])
def test_quantiles_densities_and_intervals_belong_together(which):
    posterior = getattr(bayes(turner2015()), which)
    for share in (1e-6, 0.025, 0.5, 0.9, 0.999):
        assert float(posterior.cdf(posterior.quantile(share))) == pytest.approx(share, rel=1e-8)
    x, step = posterior.quantile(0.7), 1e-5
    slope = (posterior.cdf(x + step) - posterior.cdf(x - step)) / (2 * step)
    assert float(posterior.density(x)) == pytest.approx(float(slope), rel=1e-7)
    central, shortest = (posterior.interval(0.8, kind) for kind in ("central", "shortest"))
    for low, high in (central, shortest):
        assert float(posterior.cdf(high) - posterior.cdf(low)) == pytest.approx(0.8, abs=1e-10)
    assert shortest.high - shortest.low < central.high - central.low
    low, high = posterior.density(list(shortest))
    assert float(low) == pytest.approx(float(high), rel=1e-6)
    near = posterior.density(posterior.mode + np.array([-1e-3, 0, 1e-3]))
    assert near[1] == near.max()


def test_shortest_interval_of_tau_starts_at_zero_where_its_density_falls():
    ours = bayes(half_normal(0.5), yi=[0.2, 0.21, 0.19], vi=[0.04] * 3)
    interval = ours.tau_posterior.interval(0.95, "shortest")
    assert interval.low == 0
    assert interval.high == pytest.approx(ours.tau_posterior.quantile(0.95), rel=1e-12)
    assert ours.tau_mode == 0


def test_mixture_of_two_separate_peaks():
    """The shortest interval lies on the higher peak, wherever a search starts."""
    two = Mixture(np.array([0.3, 0.7]), np.array([-5.0, 5.0]), np.array([1.0, 1.0]))
    low, high = two.interval(0.5, "shortest")
    assert low > 2
    assert two.mode == pytest.approx(5, abs=1e-6)
    assert (low + high) / 2 == pytest.approx(5, abs=1e-6)
    assert two.quantile(0.0) == -math.inf
    assert two.quantile(1.0) == math.inf


def test_a_half_open_shortest_interval_at_the_upper_end():
    """A density that rises to the end of the prior has its shortest interval there."""
    ours = bayes(uniform(0.1), yi=[-9.0, 0.0, 9.0], vi=[0.01] * 3)
    low, high = ours.tau_posterior.interval(0.9, "shortest")
    assert high == pytest.approx(0.1, rel=1e-9)
    assert float(ours.tau_posterior.cdf(low)) == pytest.approx(0.1, abs=1e-9)


# What it says -----------------------------------------------------------------------------------


def test_shows_itself_and_becomes_plain_values():
    ours = pool_bayes(
        {
            "yi": YI,
            "vi": VI,
            "measure": "ROM",
            "study_id": ["a2011", "b2019", "c2020", "c2020"],
        },
        tau_prior=half_normal(0.5),
        mu_prior=normal(0, 1),
        level=0.9,
    )
    text, html = repr(ours), ours._repr_html_()
    assert text.startswith(
        "Pooled ROM, k = 4 effects from 3 studies (Bayesian, tau ~ half-normal(0.5), "
        "mu ~ normal(0, 1))"
    )
    for part in ("90% CrI", "in percent", "P(> 0)", "mu = 0: ", "tau = 0: ", "as independent"):
        assert part in text
    assert "a2011" in html
    plain = ours.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["tau_prior"] == "half-normal(0.5)"
    assert ours.summary.shape[0] == 1
    assert ours.summary.loc[0, "ci_low"] == ours.ci.low
    assert ours == pool_bayes(
        {"yi": YI, "vi": VI, "measure": "ROM", "study_id": ["a2011", "b2019", "c2020", "c2020"]},
        tau_prior=half_normal(0.5),
        mu_prior=normal(0, 1),
        level=0.9,
    )
    assert hash(ours) == hash(ours)
    assert ours != bayes()
    shrunk = ours.studies
    assert ((shrunk["shrunk"] - ours.mean).abs() < (shrunk["yi"] - ours.mean).abs()).all()
    # The prior of the mean takes the rest of the weight.
    assert 90 < shrunk["weight"].sum() < 100
    assert bayes().studies["weight"].sum() == pytest.approx(100, rel=1e-12)


def test_mean_is_the_weighted_mean_of_the_effects_and_the_prior():
    ours = bayes(half_normal(0.5), normal(2.0, 1.0))
    share = ours.studies["weight"] / 100
    # The weights are posterior means of shares, and the share of the prior is what is left.
    expected = float(share @ ours.studies["yi"]) + (1 - share.sum()) * 2.0
    assert ours.mean == pytest.approx(expected, rel=1e-12)


def test_rows_without_numbers_are_named():
    ours = pool_bayes({"yi": [0.1, None, 0.3], "vi": [0.1, 0.1, 0.1]}, tau_prior=half_normal(1))
    assert ours.k == 2
    assert ours.notes[0] == "Left out, no effect or variance: 1."


def test_errors_say_what_and_how():
    with pytest.raises(TypeError, match="tau_prior"):
        pool_bayes(yi=YI, vi=VI)
    with pytest.raises(PoolError, match=r"tau_prior is a float; give a prior such as half_normal"):
        bayes(0.5)
    with pytest.raises(PoolError, match=r"mu_prior is a tuple; give normal\(mean, sd\)"):
        bayes(mu_prior=(0, 1))
    with pytest.raises(PoolError, match="level=95"):
        bayes(level=95)
    for wrong in (half_normal, half_cauchy, uniform):
        with pytest.raises(PoolError, match="is not a number above 0"):
            wrong(-1)
    with pytest.raises(PoolError, match="sd=0"):
        normal(0, 0)
    for wrong in (normal, log_normal, log_t):
        with pytest.raises(PoolError, match="not a finite number"):
            wrong(math.nan, 1)
    posterior = bayes().mu_posterior
    with pytest.raises(UnknownNameError, match="shortest"):
        posterior.interval(0.9, "short")
    with pytest.raises(PoolError, match="level=2"):
        posterior.interval(2)


def test_small_probabilities_keep_their_digits():
    # Without spread the mean is normal, whose tail scipy knows.
    pooled = pool_bayes(yi=[0.0, 0.0], vi=[2.0, 2.0], tau_prior=half_normal(1e-9))
    for above in (8.0, 20.0, 35.0):
        assert pooled.probability(above=above) == pytest.approx(stats.norm.sf(above), rel=1e-10)
    assert pooled.probability(above=-np.inf) == pytest.approx(1, rel=1e-12)
    assert pooled.probability(above=np.inf) == 0


def test_what_is_no_number_is_refused():
    pooled = pool_bayes(yi=[0.1, 0.5], vi=[0.1, 0.1], tau_prior=half_normal(0.5))
    for above in (math.nan, "0.2"):
        with pytest.raises(PoolError, match="is no threshold; give a number"):
            pooled.probability(above=above)
    for row in (2, -1, "a"):
        with pytest.raises(PoolError, match="is none of the 2 studies; count from 0"):
            pooled.study_posterior(row)
    for wrong in ("a", None, math.nan, 0, -1.0):
        with pytest.raises(PoolError, match="of the prior is not a number above 0"):
            half_normal(wrong)
    with pytest.raises(PoolError, match="of the prior is not a finite number"):
        normal("0", 1)


@pytest.mark.parametrize("log_density", [lambda t: t * np.nan, lambda t: 0 * t - np.inf])
def test_a_prior_without_a_density(log_density):
    with pytest.raises(PoolError, match="cannot be integrated; give a prior"):
        pool_bayes(yi=[0.1, 0.5], vi=[0.1, 0.1], tau_prior=TauPrior("odd", log_density, True, 2.0))

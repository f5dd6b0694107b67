"""Posteriors that others have printed from bayesmeta (R), with the data printed beside them."""

import numpy as np
import pytest
from scipy import stats

from retroevidence.meta.bayes.pool import pool_bayes
from retroevidence.meta.bayes.priors import half_normal, normal, uniform

ROWS = ("mode", "median", "mean", "sd", "low", "high")

# PennLINC/sypres-docs on GitHub, docs/datasets/_posts/2025-06-26-psilodep-meta-analysis.md, version
# with the title "Reproducibility Guide" and 12 studies: Hedges' g with 95% limits in section
# Primary Meta-Analysis; section Bayesian implementation prints bayesmeta(g, se,
# mu.prior = c(mean=0, sd=1), tau.prior = dhalfnormal(t, scale = 0.5)) with shortest intervals.
PSILOCYBIN = [
    (-1.4215, -2.2271, -0.6160),
    (-2.4807, -3.5637, -1.3976),
    (-0.7092, -1.0308, -0.3876),
    (-1.2731, -1.8827, -0.6635),
    (-1.7297, -2.7230, -0.7365),
    (-0.3347, -1.0987, 0.4294),
    (-0.8700, -1.2941, -0.4459),
    (-0.3806, -1.0314, 0.2701),
    (-0.1417, -0.8599, 0.5765),
    (-0.7940, -1.5967, 0.0086),
    (-0.8275, -1.5562, -0.0988),
    (-0.9384, -1.5120, -0.3648),
]
PSILOCYBIN_TAU = (0.2898848, 0.2990692, 0.3127251, 0.1835568, 0.0, 0.6373571)
PSILOCYBIN_MU = (-0.8625754, -0.8714675, -0.8763131, 0.1426918, -1.1694173, -0.5981181)
PSILOCYBIN_JOINT = (0.2268222, -0.8693622)

# gwern.net/catnip, sections Data (rows of domestic cats: responders, cats) and Meta-Analysis:
# bayesmeta(escalc(xi=Responders, ni=N, measure="PR"), mu.prior.mean=0.5, mu.prior.sd=0.1), whose
# prior of tau is the improper uniform one; shortest intervals; theta is a new group of cats.
CATS = """
    8/10 6/16 32/43 26/41 5/8 15/26 8/17 1/2 1/2 2/2 14/17 4/4 3/3 2/2 16/16 6/10 12/24
    695/842 615/783 463/625 228/320 216/380 174/313 108/200 403/759 94/180 22/34 38/55 7/10
"""
CATS_TAU = (
    0.12487373717, 0.13029833512, 0.13317030042, 0.02521684197, 0.08801259311, 0.18372308609,
)  # fmt: skip
CATS_MU = (0.6583157958, 0.6573472098, 0.6568159715, 0.0295391439, 0.5980530543, 0.7145549723)
CATS_THETA = (0.6588646213, 0.6575484257, 0.6568159715, 0.1389217521, 0.3796963066, 0.9312941009)
CATS_I2 = 0.9288449557


def described(posterior):
    values = [getattr(posterior, name) for name in ROWS[:4]]
    return dict(zip(ROWS, [*values, *posterior.interval(0.95, "shortest")], strict=True))


def close(posterior, printed, tolerance):
    ours = described(posterior)
    for name, value in zip(ROWS, printed, strict=True):
        assert ours[name] == pytest.approx(value, abs=tolerance), name


def test_twelve_trials_with_proper_priors():
    effect, low, high = np.array(PSILOCYBIN).T
    sei = (high - low) / (2 * stats.norm.ppf(0.975))
    ours = pool_bayes(yi=effect, vi=sei**2, tau_prior=half_normal(0.5), mu_prior=normal(0, 1))
    # Effects and limits are printed to four decimals.
    close(ours.tau_posterior, PSILOCYBIN_TAU, 2e-5)
    # bayesmeta mixes normals over bins of tau, good to about 1e-3 of the spread of 0.14.
    close(ours.mu_posterior, PSILOCYBIN_MU, 2e-4)
    assert (ours.map_tau, ours.map_mu) == pytest.approx(PSILOCYBIN_JOINT, abs=1e-4)


def test_groups_of_cats_with_the_improper_uniform_prior():
    x, n = np.array([group.split("/") for group in CATS.split()], float).T
    # The total the page prints: sum(Responders) / sum(N).
    assert x.sum() / n.sum() == pytest.approx(0.6795952782, abs=1e-10)
    # Where every cat responds, half a cat is added to both outcomes.
    edge = (x == n).astype(float)
    share = (x + edge / 2) / (n + edge)
    ours = pool_bayes(
        yi=share,
        vi=share * (1 - share) / (n + edge),
        tau_prior=uniform(),
        mu_prior=normal(0.5, 0.1),
    )
    # Moments of tau are plain integrals, printed to eleven decimals.
    assert ours.tau_posterior.mean == pytest.approx(CATS_TAU[2], abs=1e-9)
    assert ours.tau_posterior.sd == pytest.approx(CATS_TAU[3], abs=1e-9)
    # Modes, medians and limits come from optimisers and root finders with R's tolerance of 1e-4 of
    # the range; mu and theta from bins of tau, good to a few 1e-3 of the spreads of 0.03 and 0.14.
    close(ours.tau_posterior, CATS_TAU, 3e-5)
    close(ours.mu_posterior, CATS_MU, 2e-4)
    close(ours.new_posterior, CATS_THETA, 1.5e-3)
    assert ours.i2 / 100 == pytest.approx(CATS_I2, abs=2e-5)

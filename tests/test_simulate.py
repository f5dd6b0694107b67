"""Simulation studies repeat themselves and give what theory gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import gammaln

from retroevidence.errors import PoolError, UnknownNameError
from retroevidence.meta.pool import pool
from retroevidence.meta.simulate import simulate

GRID = {"k": [4, 10], "mu": [0.0, 0.4], "tau2": 0.1, "vi": 0.2}


def far(row, name, wanted):
    """Return how many Monte Carlo errors a measure is from the true value."""
    return abs(row[name] - wanted) / row[f"{name}_mcse"]


def test_equal_variances_give_the_numbers_of_the_t_test():
    """With equal variances the Knapp-Hartung interval is that of the mean of normal values."""
    found = simulate(GRID, seed=1, repetitions=20_000)
    assert len(found) == 4
    for _, row in found.iterrows():
        k, spread = row["k"], np.sqrt(0.3 / row["k"])
        # Five errors: one false alarm in a million numbers.
        assert far(row, "bias", 0) < 5
        assert far(row, "rmse", spread) < 5
        assert far(row, "coverage", 0.95) < 5
        # The mean of a standard deviation of k normal values.
        c4 = np.sqrt(2 / (k - 1)) * np.exp(gammaln(k / 2) - gammaln((k - 1) / 2))
        assert far(row, "width", 2 * stats.t.ppf(0.975, k - 1) * c4 * spread) < 5
        if row["mu"] == 0:
            assert far(row, "error", 0.05) < 5
            assert np.isnan(row["power"])
        else:
            shift = row["mu"] / spread
            reach = stats.t.ppf(0.975, k - 1)
            with np.errstate(divide="ignore"):  # scipy 1.12 divides by zero far in the tail
                inside = stats.nct.cdf([-reach, reach], k - 1, shift)
            power = 1 - (inside[1] - inside[0])
            assert far(row, "power", power) < 5
            assert np.isnan(row["error"])


def test_known_variances_give_the_z_test():
    grid = {"k": 6, "mu": 0.0, "tau2": 0.0, "vi": (0.1, 0.2, 0.3, 0.1, 0.5, 1.0)}
    row = simulate(grid, seed=1, repetitions=20_000, methods=["CE"], tests=["z"]).iloc[0]
    se = 1 / np.sqrt(np.sum(1 / np.array(grid["vi"])))
    assert row["width"] == pytest.approx(2 * stats.norm.ppf(0.975) * se, rel=1e-12)
    assert row["width_mcse"] == pytest.approx(0, abs=1e-9)
    assert far(row, "coverage", 0.95) < 5
    assert row["coverage_mcse"] == pytest.approx(np.sqrt(0.95 * 0.05 / 20_000), rel=0.05)
    assert np.isnan(row["pi_coverage"])


def test_measures_are_those_of_pooling_one_by_one():
    """The same draws, by hand."""

    def drawn(random, shape):
        return random.uniform(0.05, 0.5, shape)

    row = simulate(
        {"k": 7, "mu": 0.3, "tau2": 0.2, "vi": drawn}, seed=9, repetitions=40, methods=["DL"]
    ).iloc[0]
    random = np.random.default_rng(np.random.SeedSequence(9, spawn_key=(0, 0)))
    noise, v = random.standard_normal((10_000, 7)), random.uniform(0.05, 0.5, (10_000, 7))
    fits = [pool(yi=0.3 + np.sqrt(v[i] + 0.2) * noise[i], vi=v[i], method="DL") for i in range(40)]
    estimates = np.array([fit.estimate for fit in fits])
    assert row["bias"] == pytest.approx(np.mean(estimates) - 0.3, rel=1e-9)
    assert row["bias_mcse"] == pytest.approx(np.std(estimates, ddof=1) / np.sqrt(40), rel=1e-9)
    assert row["coverage"] == np.mean([fit.ci.low <= 0.3 <= fit.ci.high for fit in fits])
    assert row["power"] == np.mean([fit.p_value < 0.05 for fit in fits])
    assert row["tau2_bias"] == pytest.approx(np.mean([fit.tau2 for fit in fits]) - 0.2, rel=1e-9)
    tau = np.sqrt(0.2)
    new = [
        stats.norm.cdf(fit.prediction.high, 0.3, tau) - stats.norm.cdf(fit.prediction.low, 0.3, tau)
        for fit in fits
    ]
    assert row["pi_coverage"] == pytest.approx(np.mean(new), rel=1e-9)
    assert row["vi"] == "drawn"


def test_streams_do_not_depend_on_what_else_is_asked():
    one = simulate(GRID, seed=1, repetitions=300)
    more = simulate({**GRID, "k": [4, 10, 20]}, seed=1, repetitions=300, methods=["DL", "REML"])
    same = more[(more["method"] == "REML") & (more["k"] != 20)].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, same)
    table = pd.DataFrame({"k": [4, 4], "mu": [0.0, 0.4], "tau2": 0.1, "vi": 0.2})
    pd.testing.assert_frame_equal(simulate(table, seed=1, repetitions=300), one[:2])


def test_wrong_questions():
    for change, message in (
        ({"k": 1}, "k=1"),
        ({"tau2": -1}, "tau2=-1"),
        ({"vi": 0}, "above 0"),
        ({"vi": (0.1, 0.2, 0.3)}, "3 values"),
        ({"mu": []}, "no design"),
    ):
        with pytest.raises(PoolError, match=message):
            simulate({**GRID, **change}, seed=1)
    with pytest.raises(PoolError, match="no vi"):
        simulate({"k": 3, "mu": 0, "tau2": 0}, seed=1)
    with pytest.raises(UnknownNameError, match="tau"):
        simulate({**GRID, "tau": 1}, seed=1)
    with pytest.raises(UnknownNameError, match="REMLL"):
        simulate(GRID, seed=1, methods=["REMLL"])
    with pytest.raises(PoolError, match="below 2"):
        simulate(GRID, seed=1, repetitions=1)
    with pytest.raises(PoolError, match="mend it"):
        simulate({**GRID, "vi": _zeros}, seed=1)


def test_numbers_that_are_none():
    for change, message in (
        ({"mu": 1e41}, "state the effects in another unit"),
        ({"vi": 1e-61}, "state the effects in another unit"),
        ({"vi": 1e61}, "state the effects in another unit"),
        ({"tau2": 1e61}, "tau2=1e[+]61 is no variance"),
        ({"tau2": np.inf}, "tau2=inf is no variance"),
        ({"tau2": "a"}, "tau2=a is no variance"),
        ({"mu": np.nan}, "mu=nan is no true mean"),
        ({"mu": None}, "mu=None is no true mean"),
        ({"k": "5"}, "k=5 is no number of studies"),
        ({"k": np.inf}, "k=inf is no number of studies"),
        ({"vi": "a"}, "vi=a must be numbers"),
        ({"vi": lambda random, shape: np.ones(3)}, "no array of 10000 x 4 numbers"),
        ({"vi": lambda random, shape: "a"}, "no array of 10000 x 4 numbers"),
        ({"vi": lambda random, shape: np.full(shape, 1j)}, "some are complex"),
    ):
        with pytest.raises(PoolError, match=message):
            simulate({**GRID, **change}, seed=1, repetitions=10)
    for choice, message in (
        ({"seed": None}, "seed=None"),
        ({"seed": -1}, "seed=-1"),
        ({"repetitions": "10"}, "repetitions='10'"),
        ({"repetitions": 10.5}, "not whole"),
        ({"methods": "REML"}, "methods='REML' is no list of names; give one"),
        ({"methods": []}, "methods=\\[\\] is no list"),
        ({"tests": None}, "tests=None is no list"),
        ({"level": 95}, "level=95"),
    ):
        with pytest.raises(PoolError, match=message):
            simulate(GRID, **{"seed": 1, **choice})
    for grid in (None, [4, 10]):
        with pytest.raises(PoolError, match="the grid is a"):
            simulate(grid, seed=1)
    with pytest.raises(UnknownNameError, match="no test is called"):
        simulate(GRID, seed=1, tests=[["z"]])


def _zeros(random, shape):
    return np.zeros(shape)

"""Simulation studies: a grid of designs times methods, with Monte Carlo errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from retroevidence.errors import PoolError, unknown_name
from retroevidence.meta.inputs import check_choices
from retroevidence.meta.kernel import NUMBERS, fit_groups
from retroevidence.meta.kernel_range import LARGEST_VARIANCE, check_range
from retroevidence.meta.moderators import real_numbers

Floats = NDArray[np.float64]
#: Draws sampling variances: a stream of random numbers and a shape give an array of that shape.
Variances = Callable[[np.random.Generator, tuple[int, int]], Floats]

#: Repetitions that share one stream of random numbers and one task.
BLOCK = 10_000
_DESIGN = ("k", "mu", "tau2", "vi")
#: Of each repetition, what is added up; and after it, squares and one product.
_PARTS = ("bias", "width", "coverage", "rejection", "pi_coverage", "tau2_bias")


def simulate(
    grid: Mapping[str, Any] | pd.DataFrame,
    *,
    seed: int,
    repetitions: int = 10_000,
    methods: Sequence[str] = ("REML",),
    tests: Sequence[str] = ("knha",),
    level: float = 0.95,
    client: Any = None,
) -> pd.DataFrame:
    """Draw data sets of known truth and see how each method does.

    Parameters
    ----------
    grid : mapping or pandas.DataFrame
        The designs: `k` (studies), `mu` (true mean), `tau2` (true variance between studies) and
        `vi` (sampling variances). A mapping gives one value or a list for each, and every
        combination is a design; a table gives one design per row. `vi` is a number, one number per
        study as a tuple, or a function of a random generator and a shape.
    seed : int
        Seed. Each design and each 10 000 repetitions have a stream of their own: designs added at
        the end, more repetitions, other methods or a cluster change nothing of what was there.
    repetitions : int
        Data sets per design. All methods see the same ones.
    methods, tests : sequence of str
        As in :func:`retroevidence.meta.pool.pool`; every combination is tried.
    level : float
        Confidence of the intervals.
    client : distributed.Client, optional
        A Dask cluster to run on; the numbers are the same to the last bit.

    Returns
    -------
    pandas.DataFrame
        One row per design, method and test: `bias` and `rmse` of the mean; `coverage` and `width`
        of its interval; `error`, the share of tests that reject where mu is 0, or `power` where it
        is not; `pi_coverage`, the chance that a new study's true effect lies in the prediction
        interval; `tau2_bias`. Beside each stands its Monte Carlo standard error, ``<name>_mcse``.

    Raises
    ------
    PoolError
        If the grid lacks a part or holds an impossible one, the seed or the repetitions are no
        whole numbers, or numbers are too large or small to compute with, as in
        :func:`retroevidence.meta.pool.pool`.
    UnknownNameError
        If a method or test is unknown.

    Notes
    -----
    True effects and sampling errors are normal: ``yi ~ N(mu, tau2 + vi)``. Measures and Monte
    Carlo errors: Morris, White & Crowther (2019, doi 10.1002/sim.8086), table 6.

    Examples
    --------
    >>> found = simulate({"k": [5, 20], "mu": 0, "tau2": 0.1, "vi": 0.1}, seed=1, repetitions=2000)
    >>> found[["k", "method", "coverage", "coverage_mcse"]].round(3)
        k method  coverage  coverage_mcse
    0   5   REML     0.952          0.005
    1  20   REML     0.952          0.005
    """
    designs = _designs(grid)
    for name, given, known in (("methods", methods, "'REML'"), ("tests", tests, "'knha'")):
        if isinstance(given, str) or not isinstance(given, Iterable) or not list(given):
            raise PoolError(f"{name}={given!r} is no list of names; give one, such as [{known}].")
    choices = [(method, test) for method in methods for test in tests]
    for method, test in choices:
        check_choices(method, test, level)
    if not isinstance(seed, Integral) or seed < 0:
        raise PoolError(f"seed={seed!r} is no whole number from 0; give one, such as 1.")
    if not isinstance(repetitions, Integral) or repetitions < 2:
        raise PoolError(
            f"repetitions={repetitions!r} is below 2 or not whole; ask for some thousands."
        )
    tasks = [
        (designs[i], np.random.SeedSequence(seed, spawn_key=(i, block)), size, choices, level)
        for i in range(len(designs))
        for block, size in enumerate(_blocks(repetitions))
    ]
    if client is None:
        parts = [_block(*task) for task in tasks]
    else:
        # The order of the tasks, not of their completion: sums are taken in the same order.
        parts = client.gather(client.map(_task, tasks, pure=False))
    rows = []
    each = len(tasks) // len(designs)
    for i, design in enumerate(designs):
        total = np.sum(parts[i * each : (i + 1) * each], axis=0)
        shown = {name: _shown(design[name]) for name in _DESIGN}
        for (method, test), sums in zip(choices, total, strict=True):
            row = {"method": method, "test": test, "repetitions": repetitions}
            rows.append(shown | row | _measures(sums, repetitions, design["mu"] == 0))
    return pd.DataFrame(rows)


def _designs(grid: Mapping[str, Any] | pd.DataFrame) -> list[dict[str, Any]]:
    if not isinstance(grid, (Mapping, pd.DataFrame)):
        raise PoolError(f"the grid is a {type(grid).__name__}; give a mapping or a DataFrame.")
    names = [str(name) for name in grid]
    absent = [name for name in _DESIGN if name not in names]
    unknown = [name for name in names if name not in _DESIGN]
    if unknown:
        raise unknown_name("part of a design", unknown[0], _DESIGN)
    if absent:
        raise PoolError(f"the grid has no {', '.join(absent)}; a design is {', '.join(_DESIGN)}.")
    if isinstance(grid, pd.DataFrame):
        designs = [dict(zip(names, row, strict=True)) for row in grid.itertuples(index=False)]
    else:
        lists = [
            list(v) if isinstance(v, (list, np.ndarray, range)) else [v] for v in grid.values()
        ]
        designs = [dict(zip(names, row, strict=True)) for row in product(*lists)]
    if not designs:
        raise PoolError("the grid holds no design; give at least one value of each part.")
    for design in designs:
        k, mu, tau2, vi = (design[name] for name in _DESIGN)
        if not _is_number(k) or not 2 <= k < np.inf or k % 1 != 0:
            raise PoolError(f"k={k} is no number of studies from 2; mend the grid.")
        if not _is_number(mu) or not np.isfinite(mu):
            raise PoolError(f"mu={mu} is no true mean; give a number.")
        if not _is_number(tau2) or not 0 <= tau2 <= LARGEST_VARIANCE:
            raise PoolError(f"tau2={tau2} is no variance; give 0 or more, to {LARGEST_VARIANCE:g}.")
        if not callable(vi):
            _check_variances(vi, int(k))
        design["k"], design["mu"] = int(k), float(mu)
    return designs


def _is_number(value: Any) -> bool:
    return isinstance(value, Real)


def _check_variances(vi: Any, k: int) -> None:
    try:
        with real_numbers():
            given = np.asarray(vi, dtype=float)
    except (TypeError, ValueError) as err:
        raise PoolError(f"vi={vi} must be numbers ({err}); give sampling variances.") from err
    if given.size not in (1, k):
        raise PoolError(f"vi has {given.size} values for k={k}; give one, or one per study.")
    if not np.all(given > 0):
        raise PoolError(f"vi={vi} must be above 0; give sampling variances.")


def _shown(value: Any) -> Any:
    return getattr(value, "__name__", repr(value)) if callable(value) else value


def _blocks(repetitions: int) -> list[int]:
    whole, rest = divmod(repetitions, BLOCK)
    return [BLOCK] * whole + [rest] * (rest > 0)


def _task(task: tuple[Any, ...]) -> Floats:
    """Run one task of a cluster: on one thread, since workers share the processors."""
    design, stream, size, choices, level = task
    return _block(design, stream, size, choices, level, threads=1)


def _block(
    design: dict[str, Any],
    stream: np.random.SeedSequence,
    size: int,
    choices: list[tuple[str, str]],
    level: float,
    threads: int | None = None,
) -> Floats:
    """Return sums over some repetitions, shape (choices, sums)."""
    k, mu, tau2, vi = (design[name] for name in _DESIGN)
    random = np.random.default_rng(stream)
    # Drawn whole, so that a shorter block is the beginning of a longer one.
    noise = random.standard_normal((BLOCK, k))
    drawn = vi(random, (BLOCK, k)) if callable(vi) else vi
    try:
        with real_numbers():
            v = np.broadcast_to(np.asarray(drawn, dtype=float), (BLOCK, k))[:size]
    except (TypeError, ValueError) as err:
        raise PoolError(
            f"the function of vi gives no array of {BLOCK} x {k} numbers ({err}); mend it."
        ) from err
    if not (np.isfinite(v).all() and (v > 0).all()):
        raise PoolError("the function of vi gives variances that are not above 0; mend it.")
    y = mu + np.sqrt(v + tau2) * noise[:size]
    check_range(y, v)
    offsets = np.arange(size + 1) * k
    return np.array(
        [
            _sums(
                fit_groups(
                    y.ravel(),
                    v.ravel(),
                    offsets,
                    method=method,
                    test=test,
                    level=level,
                    threads=threads,
                ),
                mu,
                tau2,
                level,
            )
            for method, test in choices
        ]
    )


def _sums(found: Floats, mu: float, tau2: float, level: float) -> Floats:
    """Return the sums of the parts, of their squares, and of 4th powers of the error."""
    column = dict(zip(NUMBERS, found.T, strict=True))
    error = column["estimate"] - mu
    inside = (column["ci_low"] <= mu) & (mu <= column["ci_high"])
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = np.sqrt(tau2)
        if tau > 0:
            new = ndtr((column["pi_high"] - mu) / tau) - ndtr((column["pi_low"] - mu) / tau)
        else:
            new = ((column["pi_low"] <= mu) & (mu <= column["pi_high"])).astype(float)
    new = np.where(np.isnan(column["pi_low"]), np.nan, new)
    parts = np.array(
        [
            error,
            column["ci_high"] - column["ci_low"],
            inside,
            column["p_value"] < 1 - level,
            new,
            column["tau2"] - tau2,
        ]
    )
    return np.concatenate([parts.sum(axis=1), (parts**2).sum(axis=1), [np.sum(error**4)]])


def _measures(sums: Floats, n: int, null: bool) -> dict[str, float]:
    """Turn sums into means with their Monte Carlo standard errors."""
    count = len(_PARTS)
    means, squares = sums[:count] / n, sums[count : 2 * count] / n
    mean = dict(zip(_PARTS, means.tolist(), strict=True))
    spread = np.sqrt(np.fmax(squares - means**2, 0.0) / (n - 1))
    mcse = dict(zip(_PARTS, np.where(np.isnan(means), np.nan, spread).tolist(), strict=True))
    mse = float(squares[0])
    mse_error = float(np.sqrt(max(0.0, float(sums[-1]) / n - mse**2) / (n - 1)))
    rmse = float(np.sqrt(mse))
    out = {"bias": mean["bias"], "bias_mcse": mcse["bias"], "rmse": rmse}
    # The delta method from the mean square to its root.
    out["rmse_mcse"] = mse_error / (2 * rmse) if rmse > 0 else 0.0
    for name in ("coverage", "width"):
        out[name], out[f"{name}_mcse"] = mean[name], mcse[name]
    for name, applies in (("error", null), ("power", not null)):
        out[name] = mean["rejection"] if applies else float("nan")
        out[f"{name}_mcse"] = mcse["rejection"] if applies else float("nan")
    for name in ("pi_coverage", "tau2_bias"):
        out[name], out[f"{name}_mcse"] = mean[name], mcse[name]
    return out

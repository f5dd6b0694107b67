"""Random data sets for the differential check, ordinary and nasty ones, from one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Floats = np.ndarray
Random = np.random.Generator


@dataclass(frozen=True)
class Set:
    """Effects, variances and a design matrix (a column of ones, and up to two moderators)."""

    kind: str
    yi: Floats
    vi: Floats
    x: Floats


def sets(n: int, seed: int) -> list[Set]:
    """Return `n` data sets, every kind in turn."""
    rng = np.random.default_rng(seed)
    names = list(KINDS)
    return [_scaled(names[i % len(names)], rng) for i in range(n)]


def _scaled(kind: str, rng: Random) -> Set:
    yi, vi, columns = KINDS[kind](rng)
    # A third of the sets in another unit: effects times 1e-6 to 1e6.
    unit = 10.0 ** rng.integers(-6, 7) if rng.random() < 1 / 3 else 1.0
    x = np.column_stack([np.ones(len(yi)), *columns])
    return Set(kind, yi * unit, vi * unit**2, x)


def _k(rng: Random, low: int = 2) -> int:
    # Small numbers of studies are the common and the hard case.
    return int(min(60, low + rng.geometric(0.08) - 1))


def _variances(rng: Random, k: int, spread: float = 0.8) -> Floats:
    return 0.05 * np.exp(rng.normal(0, spread, k))


def _effects(rng: Random, vi: Floats, tau2: float) -> Floats:
    return rng.normal(rng.normal(0, 0.5), np.sqrt(vi + tau2))


def plain(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """Moderate variances and tau² from none to large."""
    vi = _variances(rng, _k(rng))
    return _effects(rng, vi, rng.choice([0.0, 0.01, 0.1, 1.0])), vi, []


def homogeneous(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """tau² of 0, effects closer together than chance has it."""
    vi = _variances(rng, _k(rng))
    return rng.normal(0.3, 0.5 * np.sqrt(vi)), vi, []


def wide(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """Huge beside tiny variances: eight powers of ten."""
    vi = 10.0 ** rng.uniform(-5, 3, _k(rng))
    return _effects(rng, vi, rng.choice([0.0, 0.1, 10.0])), vi, []


def dominant(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """One study with 99 % of the weight."""
    vi = _variances(rng, _k(rng, 3))
    others = np.sum(1 / vi[1:])
    vi[0] = 1 / (99 * others)
    return _effects(rng, vi, rng.choice([0.0, 0.05])), vi, []


def ties(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """Effects and variances to one digit, so that many are equal."""
    vi = np.round(rng.uniform(0.05, 0.45, _k(rng)), 1) + 0.1
    return np.round(_effects(rng, vi, 0.1), 1), vi, []


def identical(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """All effects the same; half of the time all variances, too."""
    k = _k(rng)
    vi = np.full(k, 0.1) if rng.random() < 0.5 else _variances(rng, k)
    return np.full(k, 0.25), vi, []


def equal_variances(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """All variances the same, where several estimators coincide."""
    vi = np.full(_k(rng), rng.choice([0.01, 0.1, 1.0]))
    return _effects(rng, vi, rng.choice([0.0, 0.1])), vi, []


def outlier(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """One effect far away; a precise one half of the time."""
    vi = _variances(rng, _k(rng, 3))
    yi = _effects(rng, vi, 0.01)
    yi[0] += rng.choice([-10, 10, 100])
    if rng.random() < 0.5:
        vi[0] /= 1000
    return yi, vi, []


def two_peaks(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """Two precise studies that agree and a vague rest that does not: the likelihood may have two
    local maxima, one of them at 0."""
    k = _k(rng, 4)
    vi = np.concatenate([np.full(2, 1e-4), _variances(rng, k - 2, 0.3)])
    yi = np.concatenate([rng.normal(0, 0.01, 2), rng.normal(0, 1.0, k - 2)])
    return yi, vi, []


def pairs(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """Two or three studies."""
    vi = _variances(rng, int(rng.integers(2, 4)))
    return _effects(rng, vi, rng.choice([0.0, 0.3])), vi, []


def line(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """A continuous moderator."""
    vi = _variances(rng, _k(rng, 4))
    x = rng.normal(0, 1, len(vi))
    return _effects(rng, vi, rng.choice([0.0, 0.1])) + 0.3 * x, vi, [x]


def groups(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """Two groups, one of them with a single study at times."""
    vi = _variances(rng, _k(rng, 4))
    x = (rng.random(len(vi)) < rng.choice([0.1, 0.5])).astype(float)
    x[:2] = 0.0, 1.0
    return _effects(rng, vi, rng.choice([0.0, 0.1])), vi, [x]


def years(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """A calendar year, far from 0."""
    vi = _variances(rng, _k(rng, 4))
    x = rng.integers(1980, 2025, len(vi)).astype(float)
    x[:2] = 1979, 2025
    return _effects(rng, vi, rng.choice([0.0, 0.1])), vi, [x]


def collinear(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """Two moderators that differ by one part in a hundred to one in ten thousand."""
    vi = _variances(rng, _k(rng, 5))
    x = rng.normal(0, 1, len(vi))
    twin = x + 10.0 ** rng.uniform(-4, -2) * rng.normal(0, 1, len(vi))
    return _effects(rng, vi, rng.choice([0.0, 0.1])), vi, [x, twin]


def wide_line(rng: Random) -> tuple[Floats, Floats, list[Floats]]:
    """A moderator, and variances over eight powers of ten."""
    vi = 10.0 ** rng.uniform(-5, 3, _k(rng, 4))
    x = rng.normal(0, 1, len(vi))
    return _effects(rng, vi, rng.choice([0.0, 0.1, 10.0])), vi, [x]


KINDS: dict[str, Callable[[Random], tuple[Floats, Floats, list[Floats]]]] = {
    "plain": plain,
    "homogeneous": homogeneous,
    "wide": wide,
    "dominant": dominant,
    "ties": ties,
    "identical": identical,
    "equal variances": equal_variances,
    "outlier": outlier,
    "two peaks": two_peaks,
    "pairs": pairs,
    "line": line,
    "groups": groups,
    "years": years,
    "collinear": collinear,
    "wide line": wide_line,
}

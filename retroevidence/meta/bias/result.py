"""What the answers about publication bias share: how they show themselves, and what they need."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import pandas as pd

from retroevidence._show import Carded
from retroevidence.errors import PoolError
from retroevidence.meta.interval import Interval
from retroevidence.meta.pool import pool
from retroevidence.meta.result import Pooled
from retroevidence.meta.wording import or_none

#: Below this, chance alone makes a funnel lopsided (Sterne et al. 2011, doi 10.1136/bmj.d4002).
ENOUGH = 10

Effects = Pooled | pd.DataFrame


class BiasResult(Carded):
    """A frozen dataclass of plain numbers that shows itself as text, HTML, a row and a dict.

    Examples
    --------
    >>> from retroevidence.meta.bias.asymmetry import begg
    >>> begg(pool(yi=[0.1, 0.3, 0.8, 0.2], vi=[0.02, 0.03, 0.05, 0.01])).summary["k"].tolist()
    [4]
    """

    #: Fields that hold frames or fits, which have no place in a row.
    _apart: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return every number and note as plain JSON-ready values, None where undefined."""
        flat: dict[str, Any] = {}
        for name in self.__dataclass_fields__:  # type: ignore[attr-defined]
            if name not in self._apart:
                flat |= _plain(name, getattr(self, name))
        return flat

    @property
    def summary(self) -> pd.DataFrame:
        """One row with every number; several of them concatenate to a table."""
        row = self.to_dict()
        row["notes"] = " ".join(row["notes"])
        return pd.DataFrame([row])


def _plain(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Interval):
        return {f"{name}_low": or_none(value.low), f"{name}_high": or_none(value.high)}
    if isinstance(value, float):
        return {name: or_none(value)}
    if isinstance(value, BiasResult):
        return {f"{name}_{key}": entry for key, entry in value.to_dict().items() if key != "notes"}
    if isinstance(value, tuple) and value and isinstance(value[0], (float, Interval)):
        parts: dict[str, Any] = {}
        for i, entry in enumerate(value, start=1):
            parts |= _plain(f"{name}_{i}", entry)
        return parts
    return {name: list(value) if isinstance(value, tuple) else value}


def pooled_from(effects: Effects) -> Pooled:
    """Return a pooled result as it is, and pool a frame of effects with the defaults.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A result, or one row per effect with `yi` and `vi`.

    Returns
    -------
    Pooled
        The result.

    Raises
    ------
    PoolError
        If a frame cannot be pooled.

    Examples
    --------
    >>> pooled_from(pd.DataFrame({"yi": [0.1, 0.3], "vi": [0.02, 0.03]})).k
    2
    """
    return effects if isinstance(effects, Pooled) else pool(effects)


def plain_mean(effects: Effects, what: str, least: int = 3) -> Pooled:
    """Return a pooled mean, or say why `what` cannot be had from it.

    Parameters
    ----------
    effects : Pooled or pandas.DataFrame
        A result without moderators, or a frame of effects.
    what : str
        Who asks, for the message.
    least : int
        Studies needed.

    Returns
    -------
    Pooled
        The mean.

    Raises
    ------
    PoolError
        If it is a meta-regression, or has fewer than `least` studies.

    Examples
    --------
    >>> plain_mean(pool(yi=[0.1, 0.3], vi=[0.02, 0.03]), "begg")
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: begg needs at least 3 studies and there are 2; ...
    """
    pooled = pooled_from(effects)
    if pooled.fit.design.names != ("intercept",):
        raise PoolError(f"{what} is not defined with moderators; pool without mods=.")
    enough_studies(pooled, what, least)
    return pooled


def enough_studies(pooled: Pooled, what: str, least: int) -> None:
    """Raise if there are fewer than `least` studies.

    Parameters
    ----------
    pooled : Pooled
        The studies.
    what : str
        Who asks, for the message.
    least : int
        Studies needed.

    Raises
    ------
    PoolError
        If there are too few.

    Examples
    --------
    >>> enough_studies(pool(yi=[0.1, 0.3], vi=[0.02, 0.03]), "begg", 2)
    """
    if pooled.k < least:
        raise PoolError(
            f"{what} needs at least {least} studies and there {'is' if pooled.k == 1 else 'are'} "
            f"{pooled.k}; report the studies without it."
        )


def few(k: int) -> tuple[str, ...]:
    """Say in words that a small number of studies cannot show bias.

    Parameters
    ----------
    k : int
        Number of studies.

    Returns
    -------
    tuple of str
        One note below ten studies, none from ten on.

    Examples
    --------
    >>> few(12), len(few(9))
    ((), 1)
    """
    if k >= ENOUGH:
        return ()
    return (
        f"{k} studies, fewer than {ENOUGH}: this method has little power here, and a large "
        "p-value or a small correction is no sign that nothing is missing.",
    )


def check_alpha(alpha: Any) -> None:
    """Raise if a significance level is none.

    Parameters
    ----------
    alpha : object
        What was given.

    Raises
    ------
    PoolError
        If it is not a number between 0 and 1.

    Examples
    --------
    >>> check_alpha(5)
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: alpha=5 is not between 0 and 1; write alpha=0.05.
    """
    if not isinstance(alpha, Real) or not 0 < float(alpha) < 1:
        raise PoolError(f"alpha={alpha!r} is not between 0 and 1; write alpha=0.05.")


def same_size(values: Any) -> bool:
    """Tell whether numbers are equal up to rounding.

    Parameters
    ----------
    values : array_like
        Positive numbers.

    Returns
    -------
    bool
        True if the largest exceeds the smallest by less than one part in 10^9.

    Examples
    --------
    >>> same_size([0.2, 0.2]), same_size([0.2, 0.21])
    (True, False)
    """
    low, high = float(min(values)), float(max(values))
    return math.isclose(low, high, rel_tol=1e-9)

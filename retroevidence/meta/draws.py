"""What a random draw is asked for: how many, and from which seed, checked in one place."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from retroevidence.errors import PoolError


def check_count(value: Any, name: str, least: int, advice: str) -> None:
    """Raise if a number of draws is no whole number, or too small.

    Parameters
    ----------
    value : object
        What was given.
    name : str
        The argument, for the message.
    least : int
        The smallest that makes sense.
    advice : str
        What to write instead.

    Raises
    ------
    PoolError
        If it is not a whole number from `least` on.

    Examples
    --------
    >>> check_count(2.5, "iterations", 1, "write iterations=5000")
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: iterations=2.5 must be a whole number from 1; write ...
    """
    if not isinstance(value, Integral) or value < least:
        raise PoolError(f"{name}={value!r} must be a whole number from {least}; {advice}.")


def check_seed(seed: Any) -> None:
    """Raise if a seed would not give the same draws again.

    Parameters
    ----------
    seed : object
        What was given.

    Raises
    ------
    PoolError
        If it is not a whole number from 0.

    Examples
    --------
    >>> check_seed(-1)
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: seed=-1 must be a whole number from 0; write seed=1.
    """
    check_count(seed, "seed", 0, "write seed=1")

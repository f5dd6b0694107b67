"""How the kernel is compiled: to machine code, when it is first called, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function of numbers and arrays; it runs without Python's lock.

    Parameters
    ----------
    function : callable
        Code in numba's part of Python. Compilation waits for the first call.

    Returns
    -------
    callable
        The same function, compiled; kept on disk where a directory for it can be written.

    Examples
    --------
    >>> compiled(lambda x: x + 1)(2)
    3
    """
    return _made(function)


def summing(function: Function) -> Function:
    """Compile as `compiled` does, letting sums be taken in the order the processor likes best.

    The order is fixed for a given number of terms, so equal input still gives equal bits.

    Parameters
    ----------
    function : callable
        Code whose loops add up.

    Returns
    -------
    callable
        The same function, compiled.

    Examples
    --------
    >>> summing(lambda x, y: x + y)(2.0, 3.0)
    5.0
    """
    return _made(function, fastmath={"reassoc", "contract", "nsz"})


def _made(function: Function, **options: Any) -> Function:
    try:
        made: Function = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(
            function
        )
    except RuntimeError:
        # No directory can be written: compile anew in each process.
        made = numba.njit(nogil=True, error_model="numpy", **options)(function)
    return made

"""How the kernel is compiled: to machine code, when it is first called, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
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


@cache
def sources() -> tuple[tuple[str, int, int], ...]:
    """Return name, time and size of every file of the kernel.

    Returns
    -------
    tuple of (str, int, int)
        What makes kept code out of date when it changes.

    Examples
    --------
    >>> sources()[0][0]
    'kernel_compile.py'
    """
    files = sorted(Path(__file__).parent.glob("kernel_*.py"))
    stats = [(file.name, file.stat()) for file in files]
    return tuple((name, found.st_mtime_ns, found.st_size) for name, found in stats)


def _made(function: Function, **options: Any) -> Function:
    try:
        made: Any = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    except RuntimeError:
        # No directory can be written: compile anew in each process.
        made = numba.njit(nogil=True, error_model="numpy", **options)(function)
    kept: Any = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if kept is not None and hasattr(kept, "_source_stamp"):
        # numba looks at the file of a function only, and not at those of what it calls, whose code
        # it holds too: a mended callee would go on giving the old numbers.
        kept._source_stamp = (kept._source_stamp, sources())
    compiled_function: Function = made
    return compiled_function

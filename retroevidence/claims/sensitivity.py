"""What moves a result: each study, each subset of studies, each defensible way to analyse.

A door: the functions live in `retroevidence.meta.sensitivity` and in
`retroevidence.claims.multiverse`.
"""

from __future__ import annotations

from retroevidence.claims.multiverse import Multiverse, multiverse
from retroevidence.meta.sensitivity import (
    bootstrap,
    cumulative,
    gosh,
    influence,
    leave_one_out,
    permutation_test,
)

__all__ = [
    "Multiverse",
    "bootstrap",
    "cumulative",
    "gosh",
    "influence",
    "leave_one_out",
    "multiverse",
    "permutation_test",
]


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)

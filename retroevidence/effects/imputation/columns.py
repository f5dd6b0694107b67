"""The columns that a table must have."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from retroevidence.errors import EffectError


def need(frame: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """Raise if a table lacks one of these columns.

    Examples
    --------
    >>> need(pd.DataFrame({"yi": [0.1]}), ("yi", "vi"), "effects")
    Traceback (most recent call last):
    ...
    retroevidence.errors.EffectError: effects has no column vi; add it.
    """
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise EffectError(f"{name} has no column {', '.join(absent)}; add it.")

"""Multiple imputation: many completed sets of effects, each analysed, and combined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.effects.imputation.chain import completed_sets
from retroevidence.effects.imputation.columns import need
from retroevidence.effects.imputation.rubin import Imputed, combine_draws
from retroevidence.errors import EffectError

Floats = NDArray[np.float64]


class Analysed(Protocol):
    """What an analysis of one completed set of effects must say."""

    @property
    def estimate(self) -> float:
        """The mean effect."""
        ...

    @property
    def se(self) -> float:
        """Its standard error."""
        ...

    @property
    def df(self) -> float:
        """Degrees of freedom of its test, infinite for z."""
        ...


def multiple_imputation(
    effects: pd.DataFrame,
    *,
    draws: int,
    seed: int,
    analyse: Callable[[pd.DataFrame], Analysed],
    level: float = 0.95,
) -> Imputed:
    """Draw the values that reports leave open, analyse each completed set, combine by Rubin.

    Parameters
    ----------
    effects : pandas.DataFrame
        Effect rows. With ``yi`` and ``vi``: exact; where ``log_sd_se`` is given as well (see
        `borrow_sd`), the SD behind the row is drawn. With ``vi`` and an interval (``lower``,
        ``upper``) instead of ``yi``: the value is drawn. Anything else is left out, with a note.
    draws : int
        Completed sets, at least 2.
    seed : int
        Seed of the draws; the same seed gives the same result.
    analyse : callable
        From a completed frame to a result with ``estimate``, ``se`` and ``df``, such as
        ``retroevidence.pool``.
    level : float
        Confidence of the interval.

    Returns
    -------
    Imputed

    Raises
    ------
    EffectError
        If there is nothing to draw, fewer than two exact rows, or fewer than two draws.

    Notes
    -----
    Values within an interval come from a normal distribution with the random-effects mean and
    variance ``tau² + vi``, cut at the interval. Mean and tau are drawn too, from their posterior
    given the current values (flat priors on the mean and on tau), so the draws are proper: a chain
    that alternates both (Tanner & Wong 1987), with 50 steps before the first draw and 10 between
    draws. An uncertain SD is drawn from a log-normal distribution.

    Combination (Rubin 1987): ``T = W + (1 + 1/m) B``; degrees of freedom of Barnard & Rubin (1999,
    doi 10.1093/biomet/86.4.948), which never exceed those of the analyses.

    Examples
    --------
    >>> from retroevidence.meta.pool import pool
    >>> rows = pd.DataFrame({"yi": [0.8, 1.1, 0.6, None], "vi": [0.12, 0.14, 0.13, 0.14],
    ...                      "lower": [None, None, None, -0.7], "upper": [None] * 3 + [0.7]})
    >>> out = multiple_imputation(rows, draws=50, seed=1, analyse=pool)
    >>> 0.5 < out.estimate < 0.9 and out.se > 0.1
    True
    """
    if draws < 2:
        raise EffectError(f"draws={draws} is below 2; their spread needs at least two.")
    exact, open_, unsure, notes = _sorted_rows(effects)
    if exact.sum() < 2:
        raise EffectError(
            f"{int(exact.sum())} exact rows are too few to draw the others from; at least two."
        )
    if not (open_.any() or unsure.any()):
        raise EffectError("there is nothing to draw: every row is exact; pool the rows instead.")
    frame = effects[exact | open_]
    open_, unsure = open_[exact | open_], unsure[exact | open_]
    random = np.random.default_rng(seed)
    completed = completed_sets(frame, open_, unsure, draws, random)
    analysed = []
    drawn = open_ | unsure
    for y, v in completed:
        given = frame.assign(yi=y, vi=v, lower=np.nan, upper=np.nan)
        if "basis" in frame.columns:
            given["basis"] = frame["basis"].mask(drawn, "imputed")
        result = analyse(given)
        analysed.append({"estimate": result.estimate, "se": result.se, "df": result.df})
    table = pd.DataFrame(analysed)
    df = float(table["df"].min())
    return combine_draws(table["estimate"], table["se"], df, level=level, notes=tuple(notes))


def _sorted_rows(
    effects: pd.DataFrame,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], list[str]]:
    """Tell exact rows, rows with an open value and rows with an unsure SD, and say what is left."""
    need(effects, ("yi", "vi"), "effects")

    def column(name: str) -> Floats:
        empty = np.full(len(effects), np.nan)
        return effects[name].to_numpy(float, na_value=np.nan) if name in effects else empty

    yi, vi, lower, upper = (column(name) for name in ("yi", "vi", "lower", "upper"))
    sized = np.isfinite(vi) & (vi > 0)
    exact = np.isfinite(yi) & sized
    bounded = (np.isfinite(lower) | np.isfinite(upper)) & (lower < upper)
    open_ = np.isnan(yi) & sized & bounded
    unsure = exact & (column("log_sd_se") > 0)
    notes = []
    for count, text in (
        (int(open_.sum()), "{} drawn within the interval that the report allows."),
        (int(unsure.sum()), "{} drawn with the spread of the borrowed SD."),
        (int((~(exact | open_)).sum()), "{} left out: no size, or no variance."),
    ):
        if count:
            notes.append(text.format("1 row" if count == 1 else f"{count} rows"))
    return exact, open_, unsure, notes

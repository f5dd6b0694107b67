"""Every defensible analysis of a claim at once: how much of the answer is a choice of the analyst.

A multiverse (Steegen et al. 2016, doi 10.1177/1745691616658637) runs all combinations of choices
that a competent analyst could defend and shows the whole distribution of answers, not one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, Carded, interval, number, percent
from retroevidence.claims.candidates import NO_R, candidates
from retroevidence.claims.check import SIDES
from retroevidence.claims.evidence import Data, claim_row
from retroevidence.claims.rowsets import LEVELS, OF_ROWS, RowSets, levels_of
from retroevidence.errors import RetroEvidenceError, unknown_name
from retroevidence.meta.sets import pool_sets
from retroevidence.meta.wording import IN_PERCENT, RATIOS

Floats = NDArray[np.float64]

NUMBERS = ["k", "estimate", "se", "ci_low", "ci_high", "p_value", "tau2", "i2"]


@dataclass(frozen=True, eq=False, repr=False)
class Multiverse(Carded):
    """All defensible analyses of a claim, made by :func:`multiverse`.

    Attributes
    ----------
    claim : dict
        The row of the claims table.
    table : DataFrame
        One row per distinct analysis: the choices that give it first, the headline's before all
        others; k, estimate, se, ci_low, ci_high, p_value, tau2, i2 in units of the claim's measure;
        and how many ``combinations`` of choices give it. Two combinations are one analysis when
        they pool the same rows to the same numbers.
    choices : dict of str to tuple
        Each choice with the levels that occur.
    grid : DataFrame
        One row per combination of choices, with its ``analysis``, a label of `table`.
    headline : int or None
        The label in `table` of the main analysis of results with a size (`Checked.pooled`); None
        where fewer than two have one.
    notes : tuple of str
        What could not be varied, and why.

    Examples
    --------
    >>> found = multiverse("knee_pain", method=["REML", "DL"], test="knha")
    >>> found.choices["method"]
    ('REML', 'DL')
    """

    claim: dict[str, Any]
    table: pd.DataFrame = field(compare=False)
    choices: dict[str, tuple[Any, ...]]
    grid: pd.DataFrame = field(compare=False)
    headline: int | None
    notes: tuple[str, ...] = ()

    @property
    def claim_id(self) -> str:
        """The claim's id."""
        return str(self.claim["claim_id"])

    @property
    def combinations(self) -> int:
        """Number of combinations of choices that can be run."""
        return len(self.grid)

    @property
    def distinct(self) -> int:
        """Number of distinct analyses among them."""
        return len(self.table)

    @cached_property
    def limits(self) -> tuple[float, float] | None:
        """The claimed range on the scale of the measure; None for a claimed direction."""
        if self.claim["kind"] != "range":
            return None
        low, high = (float(self.claim[name]) for name in ("claimed_low", "claimed_high"))
        if self.claim["measure"] in IN_PERCENT:
            return math.log1p(low / 100), math.log1p(high / 100)
        if self.claim["measure"] in RATIOS:
            return math.log(low), math.log(high)
        return low, high

    @cached_property
    def share_by_side(self) -> pd.DataFrame:
        """Share of distinct analyses on each side.

        One row per side ("for", "against"; for a claimed range "below", "within", "above"):
        ``share`` counts by the estimate, ``clear`` those whose whole interval is there.
        """
        estimate, low, high = (
            self.table[name].to_numpy(float) for name in ("estimate", "ci_low", "ci_high")
        )
        if self.limits is not None:
            bottom, top = self.limits
            sides = {
                "below": (estimate < bottom, high < bottom),
                "within": (
                    (estimate >= bottom) & (estimate <= top),
                    (low >= bottom) & (high <= top),
                ),
                "above": (estimate > top, low > top),
            }
        else:
            sign = SIDES[self.claim["claimed_direction"]]
            inner, outer = (low, high) if sign > 0 else (-high, -low)
            sides = {
                "for": (sign * estimate > 0, inner > 0),
                "against": (sign * estimate < 0, outer < 0),
            }
        rows = [
            {"side": side, "share": _mean(there), "clear": _mean(clear)}
            for side, (there, clear) in sides.items()
        ]
        return pd.DataFrame(rows)

    @cached_property
    def matters(self) -> pd.DataFrame:
        """Which choices move the answer, the strongest first.

        One row per choice with at least two levels: ``levels``; ``range`` of the mean estimate
        across its levels, with the ``lowest`` and the ``highest`` of them; ``eta2``, its share of
        the variance of the estimates; ``clear_range``, the range across its levels of the share of
        analyses whose whole interval is on one side of no effect. Over all combinations, and other
        choices held fixed (additive model), since not every combination can be run.
        """
        varied = [name for name, levels in self.choices.items() if len(levels) > 1]
        columns = ["choice", "levels", "range", "eta2", "clear_range", "lowest", "highest"]
        if not varied:
            return pd.DataFrame(columns=columns)
        at = self.grid["analysis"].to_numpy(int)
        clear = (self.table["ci_low"] * self.table["ci_high"] > 0).to_numpy(float)[at]
        estimate = self.table["estimate"].to_numpy(float)[at]
        codes = {name: self._codes(name) for name in varied}
        counts = {name: len(self.choices[name]) for name in varied}
        moves, shares = _level_means(estimate, codes, counts)
        clear_moves = _level_means(clear, codes, counts)[0]
        rows = [
            {
                "choice": name,
                "levels": counts[name],
                "range": float(np.ptp(moves[name])),
                "eta2": shares[name],
                "clear_range": float(np.ptp(clear_moves[name])),
                "lowest": str(self.choices[name][int(np.argmin(moves[name]))]),
                "highest": str(self.choices[name][int(np.argmax(moves[name]))]),
            }
            for name in varied
        ]
        table = pd.DataFrame(rows, columns=columns)
        return table.sort_values("eta2", ascending=False, kind="stable", ignore_index=True)

    def _codes(self, choice: str) -> NDArray[np.intp]:
        """Return, per combination, the position of its level in `choices`."""
        position = {level: i for i, level in enumerate(self.choices[choice])}
        return np.asarray([position[level] for level in self.grid[choice]], dtype=np.intp)

    def uses(self, choice: str) -> pd.DataFrame:
        """Return which levels of a choice each distinct analysis uses.

        Parameters
        ----------
        choice : str
            A key of `choices`.

        Returns
        -------
        DataFrame of bool
            One row per row of `table`, one column per level: True where a combination with this
            level gives the analysis. More than one may, as different levels can give one analysis.

        Raises
        ------
        UnknownNameError
            If there is no such choice.
        """
        if choice not in self.choices:
            raise unknown_name("choice", choice, self.choices)
        levels = self.choices[choice]
        used = np.zeros((self.distinct, len(levels)), dtype=bool)
        used[self.grid["analysis"].to_numpy(int), self._codes(choice)] = True
        return pd.DataFrame(used, columns=list(levels))

    def _card(self) -> Card:
        title = f"Multiverse of {self.claim_id}: {self.claim['statement']}"
        if not self.distinct:
            return Card(title, [("analyses", "none")], None, self.notes)
        estimate = self.table["estimate"]
        pairs = [
            ("analyses", f"{self.distinct} distinct, from {self.combinations} combinations"),
            (
                f"estimates ({self.claim['measure']})",
                f"{number(float(estimate.median()), 2)}, from {number(float(estimate.min()), 2)} "
                f"to {number(float(estimate.max()), 2)}",
            ),
        ]
        if self.headline is not None:
            ends = self.table.loc[[self.headline], ["estimate", "ci_low", "ci_high"]]
            middle, low, high = ends.to_numpy(float)[0]
            pairs.append(("headline", f"{number(middle, 2)} {interval(low, high, 2)}"))
        of = "the claim" if self.limits is None else "the range"
        for side, share, clear in self.share_by_side.itertuples(index=False):
            text = f"{percent(share)}, {percent(clear)} with all of the CI"
            pairs.append((f"{side} {of}", text))
        shown = self.matters.assign(
            range=self.matters["range"].map(lambda v: number(v, 2)),
            eta2=self.matters["eta2"].map(percent),
            clear_range=self.matters["clear_range"].map(percent),
        )
        names = {"range": "moves by", "eta2": "of variance", "clear_range": "clear moves by"}
        return Card(title, pairs, shown.rename(columns=names), self.notes)


def multiverse(claim_id: str, data: Data = None, **choices: Any) -> Multiverse:
    """Run every defensible analysis of a claim.

    Parameters
    ----------
    claim_id : str
        A claim of an effect or a range.
    data : path, optional
        Directory of tables; the library's own by default.
    **choices
        Levels of a choice in place of the default ones: one level or a sequence.

        - ``measure``: SMD, SMDH (variances not assumed equal), SMD1 (SD of the comparator), where
          both arms print means and SDs. Other measures have one form only.
        - ``method``, ``test``: as in `pool`.
        - ``rows``: "reported" rows only; also "derived"; also "bounded" with the largest variance
          that their report allows (the headline's); also "interval ends", rows known only between
          limits, taken at the end nearest to no effect; also "borrowed SDs".
        - ``doubtful``: lines that enter only the sensitivity run, "in" or "out".
        - ``indirect``: rows about another population or setting, "in" or "out".
        - ``comparator``: analyses of the selection that take the place of the main one.
        - ``r``: correlations assumed where a paired report prints none, or "none": the largest
          variance.
        - ``result``: "counted" rows, or "twins" in their place where the selection shows another
          result of the same people and outcome; each has a column of its own, ``result <study>``.
        - ``left_out``: "none" and the studies to leave out one at a time; all by default.

    Returns
    -------
    Multiverse
        Empty, with a note, where fewer than two rows have a size.

    Raises
    ------
    UnknownNameError
        If the claim, a choice or a level is unknown.
    RetroEvidenceError
        If the claim is not about a pooled effect.

    Examples
    --------
    >>> import retroevidence as rv
    >>> found = multiverse("knee_pain", method=["REML", "DL"])
    >>> round(float(found.table.loc[found.headline, "estimate"]), 6)
    -1.210205
    >>> found.share_by_side["side"].tolist()
    ['for', 'against']
    """
    claim = claim_row(claim_id, data)
    if claim["kind"] not in ("effect", "range") or claim["claimed_direction"] not in SIDES:
        raise RetroEvidenceError(
            f"claim {claim_id} is of the kind {claim['kind']}, and a multiverse needs pooled "
            "effects; ask for a claim of the kind effect or range."
        )
    levels = levels_of(choices, claim, data)
    r_values = [r for r in levels["r"] if r != NO_R]
    rows = candidates(claim, levels["comparator"], r_values, data)
    sets = RowSets(rows, levels)
    return _run(claim, sets, levels)


def _level_means(
    values: Floats, codes: Mapping[str, NDArray[np.intp]], counts: Mapping[str, int]
) -> tuple[dict[str, Floats], dict[str, float]]:
    """Return how each level moves the values, and the share of variance that is its choice's own.

    Least squares on one indicator per level. In a complete grid these are the means of the levels
    and the classical eta squared.
    """
    names = list(codes)
    starts = np.cumsum([0, *(counts[name] for name in names)])
    indicators = np.zeros((len(values), int(starts[-1])))
    for start, name in zip(starts, names, strict=False):
        indicators[np.arange(len(values)), start + codes[name]] = 1.0
    centred = values - values.mean()
    # Counts are exact, and sums in numpy's own order do not depend on the number of threads.
    gram = indicators.T @ indicators
    moment = (indicators * centred[:, None]).sum(axis=0)
    total = float((centred**2).sum())

    def fitted(columns: NDArray[np.intp]) -> tuple[Floats, float]:
        part = gram[np.ix_(columns, columns)]
        beta = np.linalg.lstsq(part, moment[columns], rcond=1e-10)[0]
        return beta, float(beta @ moment[columns])

    every = np.arange(int(starts[-1]))
    beta, explained = fitted(every)
    moves, shares = {}, {}
    for start, name in zip(starts, names, strict=False):
        own = np.arange(start, start + counts[name])
        moves[name] = beta[own]
        others = np.setdiff1d(every, own)
        without = fitted(others)[1] if len(others) else 0.0
        shares[name] = max(0.0, explained - without) / total if total > 0 else 0.0
    return moves, shares


def _run(claim: dict[str, Any], sets: RowSets, levels: dict[str, tuple[Any, ...]]) -> Multiverse:
    """Pool every set by every method and test, and find out which analyses are the same."""
    names = [*sets.names, "method", "test"]
    if not sets.sizes:
        why = "Fewer than two rows have a size, so there is nothing to pool."
        empty = pd.DataFrame(columns=[*names, *NUMBERS, "combinations"])
        grid = pd.DataFrame(columns=[*names, "analysis"])
        return Multiverse(claim, empty, {name: () for name in names}, grid, None, (why,))
    y, v = sets.matrices()
    ways = list(product(levels["method"], levels["test"]))
    fits = [pool_sets(y, v, method=m, test=t)[NUMBERS].assign(method=m, test=t) for m, t in ways]
    whole = pd.concat(fits, ignore_index=True)
    # Same rows and, to nine digits of the interval's width, same numbers: one analysis.
    step = (whole["ci_high"] - whole["ci_low"]).to_numpy(float) * 1e-9
    unit = 2.0 ** np.ceil(np.log2(step))
    key = pd.DataFrame(
        {name: np.round(whole[name].to_numpy(float) / unit) for name in ("estimate", "ci_low")}
    ).assign(set=np.tile(np.arange(len(y)), len(ways)), unit=unit)
    same = key.groupby(list(key.columns), sort=False).ngroup().to_numpy().reshape(len(ways), -1)

    combos = pd.DataFrame(sets.combos, columns=sets.names)
    members = np.asarray(sets.members)
    grid = combos.iloc[np.repeat(np.arange(len(combos)), len(ways))].reset_index(drop=True)
    for column, place in (("method", 0), ("test", 1)):
        grid[column] = np.tile([way[place] for way in ways], len(combos))
    codes, first = pd.factorize(same[:, members].T.ravel())
    grid["analysis"] = codes
    which = np.unique(codes, return_index=True)[1]
    fit_of = np.unique(same.ravel(), return_index=True)[1]
    numbers = whole[NUMBERS].iloc[fit_of[first]].reset_index(drop=True)
    table = pd.concat([grid[names].iloc[which].reset_index(drop=True), numbers], axis=1)
    table["combinations"] = np.bincount(codes)
    occurring = {name: tuple(dict.fromkeys(grid[name])) for name in names}
    notes = list(sets.notes)
    lacking = [
        f"{name} {', '.join(map(str, gone))}"
        for name, tried in zip(OF_ROWS, sets.dimensions, strict=True)
        if (gone := [level for level in tried if level not in occurring[name]])
    ]
    if lacking:
        notes.append(f"Fewer than two rows with a size, so not run: {'; '.join(lacking)}.")
    return Multiverse(claim, table, occurring, grid, _headline(table, claim), tuple(notes))


def _headline(table: pd.DataFrame, claim: dict[str, Any]) -> int | None:
    """Return the label of the analysis in which every choice is the headline's."""
    first = table.iloc[0]
    default = all(
        first[name] == (LEVELS[name][0] if name != "measure" else claim["measure"])
        for name in LEVELS
        if name in table.columns
    )
    twins = [name for name in table.columns if name.startswith("result ")]
    counted = all(first[name] == table[name].iloc[0] for name in twins)
    return 0 if default and counted else None


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else math.nan

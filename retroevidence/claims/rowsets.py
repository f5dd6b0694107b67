"""Choices to effect rows: which sets of rows the combinations of choices lead to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retroevidence.claims.candidates import NO_R, ROWS, STANDARDISERS, Candidate
from retroevidence.claims.check import MAIN, REVIEWS
from retroevidence.claims.evidence import Data, selected
from retroevidence.errors import check_name, unknown_name
from retroevidence.meta.interval import TESTS
from retroevidence.meta.tau2 import METHODS

Floats = NDArray[np.float64]

#: What a slot puts into a set: the study, the ids of the source rows, yi and vi.
Entry = tuple[str, str, tuple[float, float]]

#: The choices and their levels, the headline's first.
LEVELS: Mapping[str, tuple[Any, ...]] = {
    "measure": STANDARDISERS,
    "method": ("REML", "DL", "PM", "ML", "SJ", "EB"),
    "test": ("adhoc", "knha", "z"),
    "rows": ("bounded", "reported", "derived", "interval ends", "borrowed SDs"),
    "doubtful": ("out", "in"),
    "indirect": ("in", "out"),
    "comparator": (MAIN, "vs_forward"),
    "r": (NO_R, 0.3, 0.5, 0.7, 0.9),
    "result": ("counted", "twins"),
    "left_out": ("none",),
}

#: Choices that decide which effect rows enter, and with which size.
OF_ROWS = ("comparator", "rows", "doubtful", "indirect", "measure", "r")

#: Label of a counted row that has no size, where a twin of it has one.
NO_SIZE = "no size"

#: Up to this many combinations of twins all are run; above, one twin at a time.
MOST_TWIN_SETS = 64


def levels_of(
    choices: Mapping[str, Any], claim: dict[str, Any], data: Data
) -> dict[str, tuple[Any, ...]]:
    """Return the levels of every choice, those of the caller checked."""
    names = selected(str(claim["claim_id"]), data)["analysis"].unique()
    analyses = [str(name) for name in names if name != REVIEWS]
    known: dict[str, Sequence[Any]] = {
        **LEVELS,
        "method": list(METHODS),
        "test": list(TESTS),
        "comparator": analyses,
        "measure": STANDARDISERS if claim["measure"] == "SMD" else (str(claim["measure"]),),
    }
    levels = dict(LEVELS)
    levels["measure"] = tuple(known["measure"])
    levels["comparator"] = tuple(c for c in LEVELS["comparator"] if c in analyses)
    levels["left_out"] = ()
    for name, given in choices.items():
        check_name("choice", name, LEVELS)
        single = isinstance(given, str) or not isinstance(given, Sequence)
        wanted = (given,) if single else tuple(given)
        for level in wanted:
            free = name == "left_out" or (name == "r" and isinstance(level, (int, float)))
            if not free and level not in known[name]:
                raise unknown_name(f"level of {name}", level, map(str, known[name]))
        levels[name] = tuple(dict.fromkeys(wanted))
    return levels


class RowSets:
    """The different sets of effect rows that the choices lead to, and which choice leads where."""

    def __init__(self, rows: Sequence[Candidate], levels: dict[str, tuple[Any, ...]]) -> None:
        self.notes: list[str] = []
        self.combos: list[tuple[Any, ...]] = []
        self.members: list[int] = []
        self.sizes: list[tuple[tuple[float, float], ...]] = []
        self._known: dict[tuple[Any, ...], int] = {}
        by_slot: dict[int, list[Candidate]] = {}
        if "twins" not in levels["result"]:
            rows = [row for row in rows if not row.twin]
        for row in rows:
            by_slot.setdefault(row.slot, []).append(row)
        self.slots = list(by_slot.values())
        twins = {i: slot for i, slot in enumerate(self.slots) if any(row.twin for row in slot)}
        self.twin_names = self._twin_names(twins)
        self.names = [*OF_ROWS, *self.twin_names, "left_out"]
        self.dimensions = [_that_matter(name, levels[name], rows) for name in OF_ROWS]
        studies = list(dict.fromkeys(slot[0].study for slot in self.slots))
        left_out = levels["left_out"] or ("none", *studies)
        for study in left_out:
            if study not in ("none", *studies):
                raise unknown_name("study to leave out", study, ("none", *studies))
        for picks in self._twin_sets(twins, levels["result"]):
            for combo in product(*self.dimensions):
                chosen = self._enter(dict(zip(OF_ROWS, combo, strict=True)), picks)
                labels = tuple(row.rows if row else NO_SIZE for row in self._picked(twins, picks))
                for study in left_out:
                    if study == "none" or any(s == study for s, _, _ in chosen):
                        self._add((*combo, *labels, study), chosen, study)

    def _twin_names(self, twins: dict[int, list[Candidate]]) -> list[str]:
        names: list[str] = []
        for slot in twins.values():
            name = f"result {slot[0].study}"
            names.append(name if name not in names else f"{name} ({slot[0].analysis})")
        return names

    def _twin_sets(
        self, twins: dict[int, list[Candidate]], results: Sequence[Any]
    ) -> list[dict[int, Candidate | None]]:
        """Return, per combination of twins, what each slot with twins is filled with."""
        options: list[list[Candidate | None]] = []
        for slot in twins.values():
            counted: list[Candidate | None] = [row for row in slot if not row.twin]
            if "counted" not in results:
                counted = []
            elif not counted:
                counted = [None]
            options.append([*counted, *(row for row in slot if row.twin)])
        if math.prod(map(len, options)) <= MOST_TWIN_SETS:
            return [dict(zip(twins, picks, strict=True)) for picks in product(*options)]
        self.notes.append(
            "There are too many combinations of twin results: each replaces its row alone."
        )
        first = {i: option[0] for i, option in zip(twins, options, strict=True)}
        sets = [first]
        for i, option in zip(twins, options, strict=True):
            sets += [first | {i: row} for row in option[1:]]
        return sets

    def _picked(
        self, twins: dict[int, list[Candidate]], picks: dict[int, Candidate | None]
    ) -> list[Candidate | None]:
        return [picks[i] for i in twins]

    def _enter(self, choice: dict[str, Any], picks: dict[int, Candidate | None]) -> list[Entry]:
        """Return study, row ids and size of each slot that the choices let in."""
        rung = ROWS.index(choice["rows"])
        chosen = []
        for i, slot in enumerate(self.slots):
            row = picks[i] if i in picks else slot[0]
            if row is not None and row.rung > rung:
                # A twin that is not on this rung yet leaves its place to the counted row.
                row = slot[0] if not slot[0].twin else None
            if (
                row is None
                or row.rung > rung
                or row.analysis != choice["comparator"]
                or (row.doubtful and choice["doubtful"] == "out")
                or (row.indirect and choice["indirect"] == "out")
            ):
                continue
            chosen.append((slot[0].study, row.rows, row.size(choice["measure"], choice["r"])))
        return chosen

    def _add(
        self,
        combo: tuple[Any, ...],
        chosen: list[Entry],
        study: str,
    ) -> None:
        kept = [entry for entry in chosen if entry[0] != study]
        if len(kept) < 2:
            return
        key = tuple(entry[1:] for entry in kept)
        at = self._known.setdefault(key, len(self.sizes))
        if at == len(self.sizes):
            self.sizes.append(tuple(size for _, _, size in kept))
        self.combos.append(combo)
        self.members.append(at)

    def matrices(self) -> tuple[Floats, Floats]:
        """Return the effects and variances of all sets, infinite variance where there is none."""
        width = max(map(len, self.sizes))
        y, v = np.zeros((len(self.sizes), width)), np.full((len(self.sizes), width), np.inf)
        for i, sizes in enumerate(self.sizes):
            y[i, : len(sizes)], v[i, : len(sizes)] = np.transpose(sizes)
        return y, v


def _that_matter(name: str, levels: tuple[Any, ...], rows: Sequence[Candidate]) -> tuple[Any, ...]:
    """Return the levels of a choice that differ for some row; of equal ones the first."""
    if name == "comparator":
        return levels
    kept: dict[tuple[object, ...], Any] = {}
    for level in levels:
        kept.setdefault(tuple(_sight(name, level, row) for row in rows), level)
    return tuple(kept.values())


def _sight(name: str, level: Any, row: Candidate) -> object:
    """Return what a level makes of a row: whether it enters, or with which size."""
    if name == "rows":
        return row.rung <= ROWS.index(level)
    if name == "doubtful":
        return level == "out" and row.doubtful
    if name == "indirect":
        return level == "out" and row.indirect
    return row.size(level, NO_R) if name == "measure" else row.size("", level)

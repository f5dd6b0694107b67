"""Every effect row that some defensible analysis of a claim may use, made once.

A *slot* is one independent comparison of one analysis. It is filled by the row that the selection
counts, or by a *twin*: a row the selection shows beside it, of the same people (the same study, or
a study of the same overlap group) and the same outcome, with a size of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from retroevidence.claims.evidence import Data, selected
from retroevidence.effects.assemble import assemble
from retroevidence.effects.imputation.assumed import assume_r, borrow_sd
from retroevidence.effects.measures import effect_size
from retroevidence.errors import EffectError
from retroevidence.loaders.tables import load

#: Rungs of the ladder, each with all before it. "interval ends" and "borrowed SDs" are assumptions.
ROWS = ("reported", "derived", "bounded", "interval ends", "borrowed SDs")

#: How a difference of means is standardised: by the pooled SD, by both SDs apart (no equal
#: variances assumed), by the comparator's SD (Glass's delta). All are in units of an SD.
STANDARDISERS = ("SMD", "SMDH", "SMD1")

#: No assumed correlation: the largest variance for any that is not negative.
NO_R = "none"

#: A row this near to another, in standard errors, is the same result printed again.
SAME_RESULT = 0.1

#: A contrast of these kinds is an effect of the experimental condition.
EFFECT_KINDS = ("between_groups", "within_person")


@dataclass(frozen=True)
class Candidate:
    """One effect row: where it fits, what it needs, and its size under each assumption."""

    slot: int
    analysis: str
    study: str
    rows: str
    twin: bool
    doubtful: bool
    indirect: bool
    #: Position in `ROWS` of the first rung it enters on.
    rung: int
    #: (measure, r) -> (yi, vi). No row has several measures and several correlations at once;
    #: ``("", NO_R)`` serves whatever is not listed.
    sizes: dict[tuple[str, object], tuple[float, float]]

    def size(self, measure: str, r: object) -> tuple[float, float]:
        """Return yi and vi for one standardiser and one assumed correlation."""
        for key in (("", r), (measure, NO_R)):
            if key in self.sizes and key != ("", NO_R):
                return self.sizes[key]
        return self.sizes[("", NO_R)]


def candidates(
    claim: dict[str, Any], analyses: Sequence[str], r_values: Sequence[float], data: Data = None
) -> list[Candidate]:
    """List the rows with a size that the named analyses of a claim can use.

    Parameters
    ----------
    claim : dict
        Row of the claims table.
    analyses : sequence of str
        Names of analyses in the selection.
    r_values : sequence of float
        Correlations to assume where a paired result needs one.
    data : path, optional
        Directory of tables; the library's own by default.

    Returns
    -------
    list of Candidate
        Counted rows first, slot by slot in the order of the selection.
    """
    lines = selected(str(claim["claim_id"]), data)
    lines = lines[lines["analysis"].isin(list(analyses))]
    named = lines[["experimental", "contrast"]].notna().any(axis=1)
    lines = lines[named].reset_index(drop=True)
    maker = _Maker(claim, r_values, data)
    counted = lines[lines["enters"] != "shown"]
    frame, shown = maker.rows(counted), maker.rows(lines[lines["enters"] == "shown"])
    found: list[Candidate] = []
    slots = []
    for slot, (line, row) in enumerate(zip(_records(counted), frame, strict=True)):
        slots.append((line, row))
        made = maker.candidate(slot, line, row, twin=False)
        if made is not None:
            found.append(made)
    shown_lines = _records(lines[lines["enters"] == "shown"])
    for line, row in zip(shown_lines, shown, strict=True):
        twin_of = maker.slot_of(line, row, slots)
        if twin_of is None:
            continue
        made = maker.candidate(twin_of, slots[twin_of][0] | _rows_of(line), row, twin=True)
        if made is not None and not any(_same(made, other) for other in found):
            found.append(made)
    return found


class _Maker:
    """Turns selection lines into candidates, with the tables read once."""

    def __init__(self, claim: dict[str, Any], r_values: Sequence[float], data: Data) -> None:
        self.measure = str(claim["measure"])
        self.r_values = tuple(r_values)
        self.toward_benefit = claim["claimed_direction"] == "better"
        self.arms, self.contrasts = load("arms", data), load("contrasts", data)
        self.arm = {str(a["arm_id"]): a for a in _records(self.arms)}
        self.kind = dict(zip(self.contrasts["contrast_id"], self.contrasts["kind"], strict=True))
        groups = load("studies", data).set_index("study_id")["overlap_group"].dropna()
        self.sample = {str(k): str(v) for k, v in groups.items()}
        usable = self.arms[(self.arms["exclude"] == "no") & (self.arms["timepoint"] != "change")]
        self.donors = usable

    def rows(self, lines: pd.DataFrame) -> list[dict[str, Any]]:
        """Return the effect rows of selection lines."""
        made = assemble(
            lines, self.arms, self.contrasts,
            measure=self.measure, toward_benefit=self.toward_benefit,
        )  # fmt: skip
        return _records(made)

    def slot_of(
        self, line: dict[str, Any], row: dict[str, Any], slots: list[tuple[Any, Any]]
    ) -> int | None:
        """Return the slot of which a shown row is a twin, None if it is none or not clear."""
        cell = line["contrast"]
        kinds = {self.kind.get(c) for c in str(cell).split(";")} if _known(cell) else set()
        if not kinds <= set(EFFECT_KINDS):
            return None
        sample = self.sample.get(line["study_id"], line["study_id"])
        alike = [
            i
            for i, (counted, its_row) in enumerate(slots)
            if counted["analysis"] == line["analysis"]
            and self.sample.get(counted["study_id"], counted["study_id"]) == sample
            and its_row["outcome"] == row["outcome"]
        ]
        exact = [i for i in alike if slots[i][0]["comparison"] == line["comparison"]]
        alike = exact or alike
        return alike[0] if len(alike) == 1 else None

    def candidate(
        self, slot: int, line: dict[str, Any], row: dict[str, Any], *, twin: bool
    ) -> Candidate | None:
        """Return a row with every size it can have, None if it has no size at all."""
        sized = self._sized(line, row)
        if sized is None:
            return None
        rung, sizes = sized
        return Candidate(
            slot=slot,
            analysis=str(line["analysis"]),
            study=str(line["study_id"]),
            rows=str(row["rows"]),
            twin=twin,
            doubtful=line["enters"] == "sensitivity",
            indirect=_known(line["indirect"]),
            rung=rung,
            sizes=sizes,
        )

    def _sized(
        self, line: dict[str, Any], row: dict[str, Any]
    ) -> tuple[int, dict[tuple[str, object], tuple[float, float]]] | None:
        yi, vi = float(row["yi"]), float(row["vi"])
        pair = self._pair(line)
        if not (math.isnan(yi) or math.isnan(vi)):
            sizes: dict[tuple[str, object], tuple[float, float]] = {("", NO_R): (yi, vi)}
            if pair is not None:
                sizes |= self._standardised(pair, row) | self._at_r(pair, vi)
            return ROWS.index(row["basis"]), sizes
        low, high = float(row["lower"]), float(row["upper"])
        if not math.isnan(vi) and (math.isfinite(low) or math.isfinite(high)):
            nearest = 0.0 if low <= 0 <= high else low if low > 0 else high
            return ROWS.index("interval ends"), {("", NO_R): (nearest, vi)}
        return self._borrowed(line)

    def _pair(self, line: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return both arms when their means, SDs and sizes are known."""
        if not (_known(line["experimental"]) and _known(line["comparator"])):
            return None
        one, two = self.arm[line["experimental"]], self.arm[line["comparator"]]
        both = all(_known(a[c]) for a in (one, two) for c in ("mean", "sd", "n"))
        return (one, two) if both else None

    def _standardised(
        self, pair: tuple[dict[str, Any], dict[str, Any]], row: dict[str, Any]
    ) -> dict[tuple[str, object], tuple[float, float]]:
        if self.measure != "SMD" or row["basis"] != "reported":
            return {}
        one, two = pair
        numbers = {
            "m1": one["mean"], "sd1": one["sd"], "n1": one["n"],
            "m2": two["mean"], "sd2": two["sd"], "n2": two["n"],
        }  # fmt: skip
        # The assembled row may have been turned so that more is better.
        turned = -1.0 if float(row["yi"]) * (one["mean"] - two["mean"]) < 0 else 1.0
        made = {}
        for measure in STANDARDISERS[1:]:
            known = {k: v for k, v in numbers.items() if measure != "SMD1" or k != "sd1"}
            yi, vi = effect_size(measure, **known)
            made[(measure, NO_R)] = (turned * float(yi), float(vi))
        return {(m, r): size for (m, r), size in made.items()}

    def _at_r(
        self, pair: tuple[dict[str, Any], dict[str, Any]], vi: float
    ) -> dict[tuple[str, object], tuple[float, float]]:
        """Return the sizes at each assumed r, if the row stands on the variance at r = 0."""
        if self.measure != "ROMC":
            return {}
        made = _paired(pair, (0.0, *self.r_values))
        if not math.isclose(made[0.0][1], vi, rel_tol=1e-9):
            return {}
        return {("", r): made[r] for r in self.r_values}

    def _borrowed(
        self, line: dict[str, Any]
    ) -> tuple[int, dict[tuple[str, object], tuple[float, float]]] | None:
        if not (_known(line["experimental"]) and _known(line["comparator"])):
            return None
        arms = pd.DataFrame([self.arm[line["experimental"]], self.arm[line["comparator"]]])
        # Ratios are only asked of scales with a true zero; there a coefficient of variation has no
        # unit. Scores serve each other only within one unit.
        by = ("outcome",) if self.measure == "ROMC" else ("outcome", "unit")
        filled = borrow_sd(arms, donors=self.donors, by=by)
        if filled[["mean", "sd", "n"]].isna().any(axis=None):
            return None
        one, two = _records(filled)
        if self.measure == "ROMC":
            made = _paired((one, two), (0.0, *self.r_values))
            sizes: dict[tuple[str, object], tuple[float, float]] = {
                ("", r): size for r, size in made.items() if r
            }
            return ROWS.index("borrowed SDs"), sizes | {("", NO_R): made[0.0]}
        try:
            yi, vi = effect_size(
                self.measure,
                m1=one["mean"], sd1=one["sd"], n1=one["n"],
                m2=two["mean"], sd2=two["sd"], n2=two["n"],
            )  # fmt: skip
        except EffectError:
            return None
        turned = -1.0 if self.toward_benefit and one["higher_is"] == "worse" else 1.0
        return ROWS.index("borrowed SDs"), {("", NO_R): (turned * float(yi), float(vi))}


def _paired(
    pair: tuple[dict[str, Any], dict[str, Any]], r_values: Sequence[float]
) -> dict[float, tuple[float, float]]:
    """Return yi and vi of the log ratio of a pair of conditions at each correlation."""
    one, two = pair
    numbers = pd.DataFrame(
        {
            "m1": [float(one["mean"])], "sd1": [float(one["sd"])],
            "m2": [float(two["mean"])], "sd2": [float(two["sd"])], "n": [float(one["n"])],
        }
    )  # fmt: skip
    made = {}
    for r in r_values:
        row = assume_r(numbers, r=r).iloc[0]
        made[r] = (float(row["yi"]), float(row["vi"]))
    return made


def _same(one: Candidate, other: Candidate) -> bool:
    """Tell whether two rows of a slot are one result, printed twice."""
    if one.slot != other.slot:
        return False
    (y1, v1), (y2, v2) = one.sizes[("", NO_R)], other.sizes[("", NO_R)]
    close = abs(y1 - y2) < SAME_RESULT * math.sqrt(min(v1, v2))
    return close and abs(math.log(v1 / v2)) < SAME_RESULT


def _rows_of(line: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of a shown line that say which rows it is; the slot keeps the rest."""
    return {name: line[name] for name in ("experimental", "comparator", "contrast")}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value) and value != ""

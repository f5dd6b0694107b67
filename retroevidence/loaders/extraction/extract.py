"""Candidate results from an abstract, for a person to accept: numbers, links, and their doubts.

Nothing here is evidence yet. A candidate says what was matched, where, and why it may be wrong;
:mod:`retroevidence.loaders.extraction.accept` takes only what a person has marked and signed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.extraction.arm_names import Arm, ArmPlace, arms_of, places
from retroevidence.loaders.extraction.arm_rows import arm_rows
from retroevidence.loaders.extraction.candidates import table_of_rows
from retroevidence.loaders.extraction.contrast_rows import contrast_rows
from retroevidence.loaders.extraction.link import Scene
from retroevidence.loaders.extraction.numbers import declared_form, mentions
from retroevidence.loaders.extraction.row import Row
from retroevidence.loaders.extraction.sentences import plain, sentences
from retroevidence.loaders.extraction.sizes import fill_sizes, sizes_of
from retroevidence.loaders.extraction.vocabulary import Named, vocabulary
from retroevidence.loaders.extraction.words import cues, same_people


def extract(
    source: str | Mapping[str, Any],
    study_id: str | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Propose results that an abstract prints, as rows for ``arms`` and ``contrasts``.

    Parameters
    ----------
    source : str or mapping
        The abstract, or a record with ``abstract`` and, if known, ``pmid``, ``doi``, ``url``.
    study_id : str, optional
        Key of the study the rows will belong to; blank cells otherwise.
    data : path, optional
        Directory of tables whose outcomes and instruments are to be known; the library's own by
        default.

    Returns
    -------
    DataFrame
        One row per candidate, in the order of the text. ``accept`` and ``initials`` are blank,
        for a person. ``table`` is arms or contrasts, or blank for the number of people of an arm,
        which fills the other rows. ``result`` is the kind: n, mean_sd, mean_se, mean_ci, mean,
        median, change, events, percent, difference, ratio, test, p or direction. ``text`` is
        ``abstract[start:end]``; ``spans`` says where each cell was read ("mean 24-33; arm 41-52").
        ``confidence`` is high with no reason for doubt, medium with one, low with more; ``why``
        lists them. The other columns are those of the two tables, in their units and sign:
        experimental minus comparator, later minus earlier.

    Raises
    ------
    RetroEvidenceError
        If the record has no abstract.

    Examples
    --------
    >>> text = "Pain (VAS) was 2.3 ± 0.9 in the retro group and 3.8 ± 1.1 in controls (P = .02)."
    >>> found = extract(text, study_id="kale2020")
    >>> found[["table", "instrument", "arm", "mean", "sd"]].head(2).values.tolist()
    [['arms', 'VAS', 'retro', 2.3, 0.9], ['arms', 'VAS', 'controls', 3.8, 1.1]]
    """
    record = {"abstract": source} if isinstance(source, str) else dict(source)
    abstract = record.get("abstract")
    if not isinstance(abstract, str) or not abstract.strip():
        raise RetroEvidenceError(
            "the record has no abstract; give its text, or a record with a column abstract."
        )
    rows = _rows(abstract, data)
    return table_of_rows(rows, abstract, study_id or "", record, vocabulary(data).outcomes)


def _rows(abstract: str, data: str | os.PathLike[str] | None) -> list[Row]:
    flat = plain(abstract)
    words = vocabulary(data)
    named = words.find(abstract)
    arms = arms_of(abstract, {flat[one.start : one.end] for one in named})
    declared = declared_form(abstract)
    within = same_people(flat) or _only_conditions(arms, flat)
    default = _instruments(named)
    sizes: list[Row] = []
    rows: list[Row] = []
    before: Named | None = None
    order: list[ArmPlace] = []
    divided = sentences(abstract)
    labelled = any(one.part == "results" for one in divided)
    for sentence in divided:
        low, high = sentence.start, sentence.end
        numbers = mentions(abstract, low, high, declared)
        here = places(abstract, arms, low, high)
        outcomes = [
            o for o in words.find(abstract, low, high)
            if not any(m.start < o.end and o.start < m.end for m in numbers)
            and not _is_short_ratio(flat, o)
        ]  # fmt: skip
        scene = Scene(flat, sentence, numbers, outcomes, here, [], arms, before, order)
        sizes += sizes_of(scene)
        if sentence.part in ("aim", "conclusion") or (labelled and sentence.part == "methods"):
            continue
        scene.cues = [
            cue for cue in cues(flat, low, high)
            if not any(m.start < cue.end and cue.start < m.end for m in numbers)
        ]  # fmt: skip
        if _only_plans(scene):
            continue
        rows += arm_rows(scene, within) + contrast_rows(scene, within)
        before = outcomes[-1] if outcomes and numbers else before
        order = here if len({p.arm.name for p in here}) > 1 else order
    for row in rows:
        fill_sizes(row, sizes)
        _fill_instrument(row, default)
    return sorted([*sizes, *rows], key=lambda row: (row.start, row.table))


def _only_conditions(arms: list[Arm], text: str) -> bool:
    """Whether the arms are conditions that the same people went through."""
    allocated = re.search(
        r"\b(?:allocat|assigned|randomi[sz]ed (?:to|into|1:1)|divided into)", text
    )
    return bool(arms) and all(arm.condition for arm in arms) and not allocated


def _is_short_ratio(text: str, named: Named) -> bool:
    """Whether "HR" is a hazard ratio and no heart rate."""
    after = text[named.end : named.end + 12]
    return text[named.start : named.end] == "HR" and bool(
        re.match(r"[ :=,]*\d?\.\d|.{0,6}CI", after)
    )


_PLAN = re.compile(
    r"\b(?:will be|were (?:measured|assessed|evaluated|recorded|rated)|was (?:measured|assessed|"
    r"evaluated|rated|recorded|set)|sample size|planned|baseline characteristics|"
    r"primary outcome)\b",
    re.I,
)


def _only_plans(scene: Scene) -> bool:
    """Whether a sentence tells what was measured or planned, and prints no result."""
    text = scene.text[scene.sentence.start : scene.sentence.end]
    return bool(_PLAN.search(text)) and all(m.kind == "n" for m in scene.numbers)


def _instruments(found: list[Named]) -> dict[str, Named]:
    """Return, per outcome, the one instrument that the whole abstract names for it."""
    by_outcome: dict[str, dict[str, Named]] = {}
    for named in found:
        if named.term.instrument and named.term.outcome != "other":
            by_outcome.setdefault(named.term.outcome, {})[named.term.instrument] = named
    return {o: next(iter(i.values())) for o, i in by_outcome.items() if len(i) == 1}


def _fill_instrument(row: Row, default: dict[str, Named]) -> None:
    """Fill in the instrument of an outcome, if the abstract names only one for it."""
    outcome = str(row.cells.get("outcome", ""))
    if row.table and "instrument" not in row.cells and outcome in default:
        named = default[outcome]
        row.fill("instrument", named.term.instrument, named.start, named.end)
        row.fill("higher_is", named.term.higher_is, named.start, named.end)

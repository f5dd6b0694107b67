"""Candidate rows of the table of contrasts, from one sentence."""

from __future__ import annotations

import re

from retroevidence.loaders.extraction.kinds import (
    FALLING,
    PERCENT_AFTER,
    RATIO,
    interval_kind,
    is_percent_change,
)
from retroevidence.loaders.extraction.link import Link, Scene
from retroevidence.loaders.extraction.numbers import Mention
from retroevidence.loaders.extraction.row import Row, fill_outcome
from retroevidence.loaders.extraction.sides import compare
from retroevidence.loaders.extraction.words import Cue

_STANDARDISED = re.compile(
    r"\b(?:SMD|standardi[sz]ed|Cohen|Hedges|effect size)\b[^.;]{0,40}$", re.I
)


def contrast_rows(scene: Scene, same_people: bool) -> list[Row]:
    """Return the candidates for the table of contrasts, one per outcome and comparison.

    What a clause prints of one outcome (words of direction, p, a test, an estimate) makes one
    row; a second p of the same outcome begins the next.
    """
    rows: list[Row] = []
    atoms: list[Mention | Cue] = sorted(
        [*scene.cues, *(m for m in scene.numbers if _is_contrast(scene, m))],
        key=lambda one: one.start,
    )
    for atom in atoms:
        if isinstance(atom, Cue):
            links = scene.outcomes_of_cue(atom)
            if not links or _is_only_a_number(scene, atom):
                continue
        else:
            links = _contrast_outcomes(scene, atom, rows)
        clause = scene.clause(atom.start)
        for link in links or [Link(None, atom.start, atom.start)]:
            new = _atom_row(scene, atom, link)
            old = _open_row(rows, new, clause)
            if old is None:
                rows.append(new)
            else:
                _merge(old, new)
    for row in rows:
        compare(row, scene, same_people)
    return rows


def _is_only_a_number(scene: Scene, cue: Cue) -> bool:
    """Whether the words belong to a statement of another kind ("higher risk of", "interaction")."""
    after = scene.text[cue.end : cue.end + 30]
    other = "risk|odds|likelihood|chance|probability|rate of|dose|intensity|order|power"
    return bool(re.match(rf" (?:{other})\b|[^.;]* interaction", after))


def _is_contrast(scene: Scene, mention: Mention) -> bool:
    if mention.kind in ("p", "test", "size"):
        return True
    if mention.kind == "interval":
        return interval_kind(scene, mention) in ("difference", "ratio")
    return mention.kind == "percent" and is_percent_change(scene, mention)


def _contrast_outcomes(scene: Scene, mention: Mention, rows: list[Row]) -> list[Link]:
    """Say which outcomes a p, a test or an estimate belongs to.

    Straight after an outcome it belongs to that one; after words of direction to theirs.
    """
    low, _ = scene.clause(mention.start)
    before = [o for o in scene.outcomes if low <= o.start and o.end <= mention.start]
    cue = max(
        (c for c in scene.cues if low <= c.start < mention.start), key=lambda c: c.end, default=None
    )
    shared = mention.kind in ("p", "test")
    if shared and re.search(r"\b(?:both|all)(?: at)?:? ?$", scene.text[low : mention.start]):
        last = [p for p in scene.numbers if p.kind == "p" and low <= p.start < mention.start]
        first = last[-1].end if last else low
        return [Link(o.term, o.start, o.end) for o in before if o.start >= first]
    if cue is not None and (not before or before[-1].end <= cue.end):
        links = scene.outcomes_of_cue(cue)
        run = [m for m in scene.run(mention) if m.start > cue.end]
        if len(run) > 1 and len(run) == len(links):
            return [links[run.index(mention)]]
        if links and (shared or len(links) == 1):
            return [link for link in links if link.end <= mention.start] or links
    return scene.outcomes_of(mention, shared)


def _atom_row(scene: Scene, atom: Mention | Cue, link: Link) -> Row:
    kind = "direction" if isinstance(atom, Cue) else atom.kind
    row = Row("contrasts", kind, atom.start, atom.end)
    fill_outcome(row, link)
    at = (atom.start, atom.end)
    if isinstance(atom, Cue):
        _direction(row, scene, atom)
        return row
    row.doubt(*atom.why)
    values = atom.said
    if atom.kind == "p":
        row.fill("p_op", values["op"], *at)
        row.fill("p_value", values["v"], *at)
    elif atom.kind == "test":
        row.fill("t_value", values.get("t"), *at)
        row.fill("f_value", values.get("f"), *at)
        for name in ("chi2", "z"):
            row.fill(name, values.get(name), *at)
        row.fill("df", values.get("df"), *at)
    elif atom.kind == "size":
        row.kind = "difference"
        row.cells["estimate_type"] = "SMD"
        row.fill("estimate", values["m"], *at)
    elif atom.kind == "percent":
        before = scene.text[max(scene.sentence.start, atom.start - 40) : atom.start]
        after = PERCENT_AFTER.match(scene.text[atom.end : atom.end + 40])
        falling = FALLING.search(after["word"] if after else before)
        row.cells["estimate_type"] = "percent_change"
        row.fill("estimate", float(values["v"]) * (-1 if falling else 1), *at)
        row.fill("unit", "%", *at)
    else:
        _estimate(row, scene, atom)
    return row


def _estimate(row: Row, scene: Scene, mention: Mention) -> None:
    at = (mention.start, mention.end)
    before = scene.text[scene.sentence.start : mention.start]
    row.kind = interval_kind(scene, mention)
    ratio = RATIO.search(before)
    if row.kind == "ratio":
        row.cells["estimate_type"] = "other"
        row.cells["ratio"] = (ratio["name"] or ratio["short"]) if ratio else "ratio"
    else:
        row.cells["estimate_type"] = "SMD" if _STANDARDISED.search(before) else "MD"
    sign = 1.0
    after = scene.text[mention.end : mention.end + 14]
    if float(mention.said["m"]) > 0 and re.match(r"\)? ?(?:lower|less|shorter|fewer)\b", after):
        sign = -1.0
        row.doubt("the sign is that of the word after it")
    row.fill("estimate", sign * float(mention.said["m"]), *at)
    if mention.said.get("level", 95.0) == 95.0:
        ends = sorted((sign * float(mention.said["lo"]), sign * float(mention.said["hi"])))
        row.fill("ci_low", ends[0], *at)
        row.fill("ci_high", ends[1], *at)
    row.fill("unit", mention.unit, *at)


def _direction(row: Row, scene: Scene, cue: Cue) -> None:
    row.cells["way"] = cue.way
    row.spans["direction"] = (cue.start, cue.end)
    row.cells["form"] = "comparative" if cue.comparative else cue.form


def _open_row(rows: list[Row], new: Row, clause: tuple[int, int]) -> Row | None:
    """Find the last row of the same outcome and clause that has nothing of the new one yet."""
    for row in reversed(rows):
        if not (clause[0] <= row.start < clause[1]) or row.term != new.term:
            continue
        taken = {"p_value", "estimate", "t_value", "f_value", "chi2", "z", "way"} & set(row.cells)
        clash = taken & set(new.cells)
        if clash == {"way"} and row.cells["way"] == new.cells["way"]:
            return row
        return None if clash else row
    return None


def _merge(old: Row, new: Row) -> None:
    order = ("difference", "ratio", "percent", "test", "p", "direction")
    old.kind = min(old.kind, new.kind, key=lambda kind: order.index(kind))
    if old.cells.get("estimate_type") and "estimate_type" in new.cells:
        new.cells.pop("estimate_type")
    old.cells = new.cells | old.cells
    old.spans = new.spans | old.spans
    old.start, old.end = min(old.start, new.start), max(old.end, new.end)
    old.doubt(*new.why)

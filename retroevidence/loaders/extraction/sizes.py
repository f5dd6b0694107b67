"""How many people: the numbers of the arms, and the rows they fill in."""

from __future__ import annotations

import re

from retroevidence.loaders.extraction.arm_names import ArmPlace
from retroevidence.loaders.extraction.link import Scene
from retroevidence.loaders.extraction.numbers import Mention
from retroevidence.loaders.extraction.row import Row


def sizes_of(scene: Scene) -> list[Row]:
    """Return the numbers of people, each with its arm."""
    rows = []
    for mention in scene.numbers:
        if mention.kind != "n":
            continue
        row = Row("", "n", mention.start, mention.end, why=list(mention.why))
        row.fill("n", mention.said["n"], mention.start, mention.end)
        place = _sized_arm(scene, mention)
        if place is not None:
            row.fill("arm", place.arm.name, place.start, place.end)
            row.fill("role", place.arm.role, place.start, place.end)
        elif "each" not in mention.said:
            row.doubt("the arm is not named")
        rows.append(row)
    return rows


def _sized_arm(scene: Scene, mention: Mention) -> ArmPlace | None:
    """Return the arm straight before "(n = 15)", or after "15 were assigned to"."""
    if "each" in mention.said:
        return None
    before = [p for p in scene.places if p.end <= mention.start]
    gap = scene.text[before[-1].end : mention.start] if before else ""
    counted = bool(mention.why)
    if (
        before
        and not counted
        and re.fullmatch(r"[ \w-]{0,32}[(\[,;: ]*(?:[A-Z]\w{0,9}[,;:]? ?)?", gap)
    ):
        return before[-1]
    after = [p for p in scene.places if p.start >= mention.end]
    gap = scene.text[mention.end : after[0].start] if after else ""
    if after and re.fullmatch(r"(?: \w+){0,4} (?:to|in|received)? ?(?:the |an? )?", gap):
        return after[0]
    return None


def fill_sizes(row: Row, sizes: list[Row]) -> None:
    """Fill in the number of people of the arm, or of both sides of a comparison."""
    known: dict[str, Row] = {}
    for size in sizes:
        # "two groups of 15" speaks of every arm; a number whose arm is in doubt of none.
        if "arm" in size.cells or not size.why:
            known.setdefault(str(size.cells.get("arm", "")), size)
    if row.table == "arms" and "arm" in row.cells and "n" not in row.cells:
        _fill(row, "n", known.get(str(row.cells["arm"])) or known.get(""))
    if row.table == "contrasts" and row.cells.get("kind") == "between_groups":
        for side, one in zip(("n_experimental", "n_comparator"), _pair(row, known), strict=True):
            _fill(row, side, one)


def _fill(row: Row, name: str, size: Row | None) -> None:
    if size is not None:
        row.fill(name, size.cells["n"], size.start, size.end)


def _pair(row: Row, known: dict[str, Row]) -> tuple[Row | None, Row | None]:
    names = str(row.cells.get("contrast", "")).split(" vs ")
    if len(names) != 2:
        return None, None
    return known.get(names[0]) or known.get(""), known.get(names[1]) or known.get("")

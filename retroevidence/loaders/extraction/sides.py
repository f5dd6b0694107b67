"""What is compared with what, and which side did better: from words to the cells of a contrast."""

from __future__ import annotations

import re

from retroevidence.loaders.extraction.arm_names import Arm, ArmPlace
from retroevidence.loaders.extraction.kinds import is_change
from retroevidence.loaders.extraction.link import Scene
from retroevidence.loaders.extraction.row import Row, fill_weeks
from retroevidence.loaders.extraction.words import compares, within_groups


def compare(row: Row, scene: Scene, same_people: bool) -> None:
    """Say what is compared with what, and turn words into direction and side."""
    low, high = scene.clause(row.start)
    clause = scene.text[low:high]
    sentence = scene.text[scene.sentence.start : scene.sentence.end]
    form = row.cells.pop("form", "")
    here = [p for p in scene.places if low <= p.start < high]
    spans = [m for m in scene.numbers if low <= m.start < row.start and scene.is_span(scene.run(m))]
    later = within_groups(clause) or bool(spans) or _follows_change(scene, row)
    grows = row.kind == "percent" and re.search(r"\bby ?$", scene.text[low : row.start])
    single = len(scene.arms) < 2 or len({p.arm.name for p in here}) == 1
    between = compares(clause) or form == "comparative" or row.kind in ("difference", "ratio")
    if not between and form in ("none", "") and not later:
        between = compares(sentence) or not single
    if between and not (later and not compares(clause)):
        kind = "within_person" if same_people else "between_groups"
    elif later or grows or single or form in ("verb", "noun"):
        kind = "within_group_change"
    else:
        kind = "within_person" if same_people else "between_groups"
    difference = row.kind in ("difference", "ratio")
    if (
        form == "none"
        and not difference
        and re.search(r"\bin (?:either|both) (?:group|arm)|unchanged", clause)
    ):
        kind = "within_group_change"
    if form in ("verb", "noun") and not compares(sentence) and not same_people and not difference:
        kind = "within_group_change"
    if len(scene.arms) < 2 and not compares(clause) and not same_people and not difference:
        kind = "within_group_change"
    row.cells["kind"] = kind
    sides = _sides(scene)
    if kind == "within_group_change":
        names = list(dict.fromkeys(p.arm.name for p in here))
        row.cells["contrast"] = "post vs pre" + (f", {names[0]}" if len(names) == 1 else "")
        row.cells["paired"] = "yes"
    else:
        row.cells["contrast"] = " vs ".join(arm.name for arm in sides)
        row.cells["paired"] = "yes" if kind == "within_person" else "no"
        if len(sides) < 2:
            row.doubt("what is compared is not clear")
    row.cells.setdefault("estimate_type", "none")
    time = "acute" if kind == "within_person" else "post"
    row.cells["timepoint"] = "followup" if "follow-up" in clause else time
    fill_weeks(row, scene)
    _side(row, scene, here)


def _follows_change(scene: Scene, row: Row) -> bool:
    """Whether the number right before is a change of one arm."""
    before = [m for m in scene.numbers if m.end <= row.start]
    return bool(before) and before[-1].kind.startswith("mean") and is_change(scene, before[-1])


def _sides(scene: Scene) -> list[Arm]:
    """Return experimental and comparator, experimental first; all arms where there are more."""
    named = list({p.arm.name: p.arm for p in scene.places}.values())
    arms = named if len(named) >= 2 else scene.arms
    return sorted(arms, key=lambda arm: ("experimental", "", "comparator").index(arm.role))


def _side(row: Row, scene: Scene, here: list[ArmPlace]) -> None:
    """Turn "improved" into higher or lower by the scale, and say which side did better."""
    way = str(row.cells.pop("way", ""))
    if not way:
        return
    at = row.spans.get("direction", (row.start, row.end))
    scale = row.term.higher_is if row.term else ""
    between = row.cells["kind"] != "within_group_change"
    if way in ("better", "worse"):
        turned = {"better": "lower", "worse": "higher"}
        direction = (
            {"better": "higher", "worse": "lower"}[way] if scale == "better"
            else turned[way] if scale == "worse" else ""
        )  # fmt: skip
        good = way == "better"
        known = True
        if not direction:
            row.doubt("which way the scale runs is not known")
    else:
        direction, known = way, scale in ("better", "worse")
        good = (way == "higher") == (scale == "better")
    if way == "none":
        row.fill("direction", "none", *at)
        row.fill("favours", "neither" if between else None, *at)
        return
    if between and _about_comparator(scene, at, here):
        direction = {"higher": "lower", "lower": "higher"}.get(direction, direction)
        good = not good
        row.doubt("the sentence is about the comparator: direction turned round")
    row.fill("direction", direction, *at)
    if known:
        row.fill("favours", "experimental" if good else "comparator", *at)


def _about_comparator(scene: Scene, at: tuple[int, int], here: list[ArmPlace]) -> bool:
    """Whether the higher or lower side that the words name is the comparator."""
    than = re.compile(
        r"\b(?:than|compared (?:with|to)|versus|vs\.?|relative to)(?: \w+){0,3} ?$", re.I
    )
    free = [
        p for p in here
        if not than.search(scene.text[max(scene.sentence.start, p.start - 40) : p.start])
    ]  # fmt: skip
    after = [p for p in free if p.start >= at[1] and p.start - at[1] < 60]
    opened = scene.text[: at[0]]
    before = [
        p for p in free
        if p.end <= at[0] and opened.count("(", p.end) >= opened.count(")", p.end)
    ]  # fmt: skip
    gap = scene.text[at[1] : after[0].start] if after else "no"
    named = re.fullmatch(r" ?(?:in|for|with|during|among|after|on|by)? ?(?:the )?", gap)
    subject = after[0] if after and (named or not before) else before[-1] if before else None
    if subject is None or subject.arm.role != "comparator":
        return False
    return any(p.arm.role == "experimental" for p in here)

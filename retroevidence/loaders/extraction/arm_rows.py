"""Candidate rows of the table of arms, from one sentence."""

from __future__ import annotations

from retroevidence.loaders.extraction.arm_names import Arm
from retroevidence.loaders.extraction.kinds import falls, interval_kind, is_change, is_share
from retroevidence.loaders.extraction.link import Link, Scene
from retroevidence.loaders.extraction.numbers import Mention
from retroevidence.loaders.extraction.row import Row, fill_outcome, fill_weeks


def arm_rows(scene: Scene, same_people: bool) -> list[Row]:
    """Return the candidates for the table of arms: means, medians, changes, counts, shares."""
    rows = []
    for mention in scene.numbers:
        kind = _arm_kind(scene, mention)
        if not kind:
            continue
        outcomes = scene.outcomes_of(mention) or [Link(None, mention.start, mention.start)]
        for link in outcomes:
            row = Row("arms", kind, mention.start, mention.end, why=list(mention.why))
            fill_outcome(row, link)
            _arm_cells(row, scene, mention, kind, same_people)
            rows.append(row)
    return rows


def _arm_kind(scene: Scene, mention: Mention) -> str:
    kind = mention.kind
    if kind in ("mean_sd", "mean_se", "mean"):
        return "change" if is_change(scene, mention) else kind
    if kind in ("median", "events"):
        return kind
    if kind == "interval":
        what = interval_kind(scene, mention)
        return what if what in ("change", "mean_ci") else ""
    if kind == "percent" and is_share(scene, mention):
        return "percent"
    return ""


def _arm_cells(row: Row, scene: Scene, mention: Mention, kind: str, same_people: bool) -> None:
    at = (mention.start, mention.end)
    values = mention.said
    sign = 1.0
    if kind == "change" and float(values["m"]) > 0 and falls(scene, mention):
        sign = -1.0
        row.doubt("the sign is that of the word before it")
    if kind == "median":
        row.fill("median", values["m"], *at)
        for name, cell in (("lo", "iqr_low"), ("hi", "iqr_high"), ("min", "min"), ("max", "max")):
            row.fill(cell, values.get(name), *at)
    elif kind == "events":
        row.fill("events", values["x"], *at)
        row.fill("n", values.get("n"), *at)
    elif kind == "percent":
        row.fill("mean", values["v"], *at)
        row.cells["unit"] = "% of people"
        row.doubt("a share of people, not a mean: give events and n if they are printed")
    else:
        row.fill("mean", sign * float(values["m"]), *at)
        row.fill("sd", values.get("sd"), *at)
        row.fill("se", values.get("se"), *at)
        if "lo" in values and values.get("level", 95.0) == 95.0:
            ends = sorted((sign * float(values["lo"]), sign * float(values["hi"])))
            row.fill("ci_low", ends[0], *at)
            row.fill("ci_high", ends[1], *at)
    run = scene.run(mention)
    unit = mention.unit or (run[-1].unit if len(run) > 1 else "")
    if kind not in ("events", "percent"):
        row.fill("unit", unit, *at)
    arm = scene.arm_of(mention)
    if arm is None:
        row.doubt("the arm is not named")
    else:
        assert isinstance(arm.target, Arm)
        row.fill("arm", arm.target.name, arm.start, arm.end)
        row.fill("role", arm.target.role, arm.start, arm.end)
        row.doubt(*arm.why)
    time, why = ("change", ()) if kind == "change" else scene.time_of(mention)
    if kind in ("events", "percent") or (same_people and not time):
        why = ()
    row.cells["timepoint"] = time or ("acute" if same_people else "post")
    row.doubt(*why)
    fill_weeks(row, scene)

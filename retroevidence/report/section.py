"""One claim on the page: verdict, reasons, figure, ladder, trace, and what was not counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from retroevidence._show import p_text, percent
from retroevidence.report.cells import (
    SHARES,
    effect_texts,
    estimate_text,
    review_texts,
    rung_estimate,
    weight_text,
    words,
)
from retroevidence.report.markup import Markup, Piece, el, inline_svg, join, links, table
from retroevidence.report.names import study_label
from retroevidence.report.possible import claim_flags
from retroevidence.report.prose import typeset
from retroevidence.report.robustness import robustness
from retroevidence.report.summary_tables import weights

if TYPE_CHECKING:
    from retroevidence.claims.check import Checked
    from retroevidence.report.findings import Findings

TOWARD = {"supported", "leans supported", "verified"}
AGAINST = {"contradicted", "leans against", "mis-cited"}

CAPTIONS = {
    "forest": "Forest plot. Squares: studies, area by weight. Diamond: pooled estimate. "
    "Bar: prediction interval, where the true effect of a new study would lie.",
    "bounds": "Forest plot. Squares: results with a size, area by weight. Bars: results known "
    "only between limits, arrows where an end is open. Diamonds: all results, and those with a "
    "size alone.",
    "directions": "Every comparison with a direction, also those whose size was not reported.",
    "funnel": "Funnel plot: effects against standard errors; dashed: 95% limits of one effect.",
    "harms": "People with an adverse event per arm, exact 95% intervals.",
    "doses": "Length of a session in each programme; band: the claimed range.",
}

CURVE = (
    "Specification curve. Above: each analysis with its 95% interval, sorted; large dot and dashed "
    "line: the main analysis of results with a size; dark: the interval leaves out no effect. "
    "Below: the choices behind it."
)


def anchor(claim_id: str) -> str:
    """Return the anchor of a claim's section.

    Examples
    --------
    >>> anchor("knee_pain")
    'claim-knee_pain'
    """
    return f"claim-{claim_id}"


def verdict_mark(verdict: str) -> Markup:
    """Return a verdict in a frame whose line and ground, not only its colour, tell its side."""
    side = "toward" if verdict in TOWARD else "against" if verdict in AGAINST else "open"
    return el("span", verdict, class_=f"verdict {side}")


def facts(pairs: Sequence[tuple[str, Piece]]) -> Markup:
    """Return labels and what they stand for, side by side where there is room.

    Examples
    --------
    >>> facts([("k", "3")])
    '<dl class="facts"><dt>k</dt><dd>3</dd></dl>'
    """
    return el(
        "dl", *(join((el("dt", label), el("dd", text))) for label, text in pairs), class_="facts"
    )


def headline(checked: Checked) -> str:
    """Write the estimate a verdict rests on; empty where its rung has no size."""
    kind = "share" if checked.rung in SHARES else checked.claim.get("measure")
    return estimate_text(kind, checked.estimate, checked.ci_low, checked.ci_high)


def section(checked: Checked, figures: Mapping[str, str], findings: Findings) -> Markup:
    """Return the section of one claim.

    Parameters
    ----------
    checked : Checked
        The claim with its verdict.
    figures : mapping of str to str
        SVG of each figure by name, as `figures.draw` names them.
    findings : Findings
        The run, for what each effect row was read from, other analyses, and flagged numbers.
    """
    claim_id = str(checked.claim["claim_id"])
    statement = words(checked.claim.get("statement"))
    parts: list[Piece] = [
        el("p", words(checked.claim.get("section")), class_="eyebrow"),
        el("h3", statement),
        _facts(checked),
    ]
    bounded = checked.rung == "effects and bounds"
    captions = CAPTIONS | ({"forest": CAPTIONS["bounds"]} if bounded else {})
    main = {name: svg for name, svg in figures.items() if name in captions}
    parts += [
        _figure(claim_id, name, svg, f"{captions[name].split('.')[0]} for the claim: {statement}. "
                f"{checked.reason}.", captions[name])
        for name, svg in main.items()
    ]  # fmt: skip
    beside = [
        _figure(claim_id, name, svg, f"Forest plot, {name}, for the claim: {statement}.",
                CAPTIONS["forest"])
        for name, svg in figures.items() if name.startswith("forest-")
    ]  # fmt: skip
    if beside:
        many = "plots of {} analyses" if len(beside) > 1 else "plot of {} analysis"
        told = f"Forest {many.format(len(beside))} beside the main one"
        summary = el("summary", told)
        parts.append(el("details", summary, *beside))
    curve = None
    if "specification" in figures:
        label = f"{CURVE.split('.')[0]} for the claim: {statement}."
        curve = _figure(claim_id, "specification", figures["specification"], label, CURVE)
    parts += [
        _rungs(checked),
        _analyses(checked),
        robustness(
            checked, curve, findings.multiverses.get(claim_id), findings.left_out.get(claim_id)
        ),
        claim_flags(checked.claim, findings.integrity, findings.without_flagged, findings.sources),
    ]
    if "rows" in checked.effects.columns and len(checked.effects):
        parts.append(_trace(checked, findings.traces.get(claim_id)))
    elif "enters" in checked.effects.columns and len(checked.effects):
        parts.append(_counts(checked))
    if "enters" not in checked.effects.columns:
        # A table of counts already lists what is not counted.
        parts.append(_shown(checked))
    parts.append(_reviews(checked))
    body = join(parts, "\n")
    return el("section", body, id=anchor(claim_id), class_="claim")


def _figure(claim_id: str, name: str, svg: str, label: str, caption: str) -> Markup:
    plot = inline_svg(svg, f"{claim_id}-{name}", label)
    box = el("div", plot, class_="scroll", tabindex="0", role="region",
             aria_label=f"Figure: {name}, {claim_id}")  # fmt: skip
    return el("figure", box, el("figcaption", caption))


def _facts(checked: Checked) -> Markup:
    claim = checked.claim
    pairs: list[tuple[str, Piece]] = [
        ("Verdict", verdict_mark(checked.verdict)),
        ("Why", typeset(_sentence(checked.reason))),
        ("Certainty", checked.certainty),
        ("Because", el("ul", *(el("li", typeset(reason)) for reason in checked.certainty_reasons))),
        ("Rests on", f"{checked.rung}, k = {checked.k}"),
    ]
    shown = typeset(headline(checked))
    if shown:
        pairs.append(("Estimate [95% CI]", shown))
    ranges = {"p_mean_in_range": "the mean", "p_new_in_range": "a new study"}
    chances = [
        f"{who} {percent(checked.extra[key])}"
        for key, who in ranges.items()
        if key in checked.extra
    ]
    if chances:
        pairs.append(("Chance to lie in the claimed range", ", ".join(chances)))
    if "upper_bound_one_sided" in checked.extra:
        bound = percent(checked.extra["upper_bound_one_sided"], 1)
        pairs.append(("One-sided 95% upper bound", bound))
    for key, label in (
        ("population", "People"),
        ("comparison", "Compared"),
        ("smallest", "Smallest difference that matters"),
        ("smallest_source", "Its source"),
        ("preference", "Which result of a study counts"),
    ):
        value = words(claim.get(key))
        if value:
            unit = words(claim.get("unit")) if key == "smallest" else ""
            pairs.append((label, f"{value} {unit}".strip()))
    return facts(pairs)


def _rungs(checked: Checked) -> Markup:
    if not len(checked.rungs):
        return Markup("")
    rows: list[list[Piece]] = [
        [
            words(row["rung"]),
            words(row["k"]),
            typeset(rung_estimate(row, checked.claim.get("measure"))),
            typeset(p_text(row["p_value"])) if words(row["p_value"]) else "",
            typeset(words(row["reading"])),
        ]
        for row in checked.rungs.to_dict("records")
    ]
    made = table(
        ["Rung", "k", "Estimate [95% CI]", "p", "Reading"],
        rows,
        caption="What each rung of the ladder says; the highest with enough results decides. "
        "Directions: share on the claim's side. Combined p-values: one-sided for the claim.",
    )
    return join((el("h4", "The ladder"), made))


def _analyses(checked: Checked) -> Markup:
    frame = checked.analyses_table
    if not len(frame):
        return Markup("")
    rows: list[list[Piece]] = [
        [
            words(row["analysis"]),
            words(row["rung"]),
            words(row["k"]),
            typeset(rung_estimate(row, checked.claim.get("measure"))),
            words(row["verdict"]),
            typeset(words(row["reason"])),
        ]
        for row in frame.to_dict("records")
    ]
    made = table(
        ["Analysis", "Rung", "k", "Estimate [95% CI]", "Verdict it alone would give", "Why"],
        rows,
        caption="Analyses that do not decide the verdict.",
    )
    return join((el("h4", "Beside the main analysis"), made))


def _trace(checked: Checked, trace: pd.DataFrame | None) -> Markup:
    frame = checked.effects.reset_index(drop=True)
    printed: dict[Any, Any] = {}
    if trace is not None and "printed" in trace.columns:
        printed = dict(zip(trace["comparison"], trace["printed"], strict=True))
    shares = [weight_text(value) for value in weights(checked)]
    rows: list[list[Piece]] = [
        [
            study_label(str(row["study_id"])),
            words(row.get("instrument")) or words(row.get("outcome")),
            typeset(effect),
            words(row["rung"]),
            share,
            join((words(row["basis"]), ": ", words(row["how"]))),
            words(printed.get(row["comparison"])),
            join(
                (
                    links(words(row["source_url"])),
                    f", {words(row['locator'])} (rows {words(row['rows']).replace(';', ', ')})",
                )
            ),
        ]
        for row, effect, share in zip(
            frame.to_dict("records"), effect_texts(frame), shares, strict=True
        )
    ]
    headers = ["Study", "Measured with", "Effect [95% CI]", "Rung", "Weight", "How it was had",
               "As printed", "Read at"]  # fmt: skip
    made = table(
        headers, rows, name="trace", caption="Every comparison that entered, back to its page."
    )
    return join((el("h4", "Where each number comes from"), made))


def _counts(checked: Checked) -> Markup:
    safety = "adverse_events" in checked.effects.columns
    rows: list[list[Piece]] = []
    for row in checked.effects.to_dict("records"):
        if safety:
            middle = [words(row["arm"]), words(row["n"]), words(row["adverse_events"])]
        else:
            middle = [words(row["condition"]), words(row["minutes"]), words(row["weeks"])]
        read: Piece = join((links(words(row["source_url"])), ", ", words(row["locator"])))
        rows.append(
            [study_label(str(row["study_id"])), *middle, words(row["enters"]),
             words(row["reason"]), read]
        )  # fmt: skip
    middle = ["Arm", "People", "Adverse events"] if safety else ["Condition", "Minutes", "Weeks"]
    made = table(
        ["Study", *middle, "Counted in", "Note", "Read at"],
        rows,
        name="trace",
        caption="Every row located; a blank is not reported, never zero.",
    )
    return join((el("h4", "Where each number comes from"), made))


def _shown(checked: Checked) -> Markup:
    frame = checked.shown
    if not len(frame):
        return Markup("")
    rows: list[list[Piece]] = [
        [study_label(str(row["study_id"])), words(row["analysis"]), words(row["reason"])]
        for row in frame.to_dict("records")
    ]
    made = table(["Study", "Analysis", "Why"], rows, caption="Located but not counted.")
    return el("details", el("summary", f"Not counted, and why ({len(frame)})"), made)


def _reviews(checked: Checked) -> Markup:
    frame = checked.reviews
    if not len(frame):
        return Markup("")
    ours = typeset(headline(checked)) or "no pooled size"
    rows: list[list[Piece]] = [
        [
            study_label(str(row["study_id"])),
            words(row["outcome"]),
            words(row["contrast"]),
            typeset(text),
            ours,
            words(row["why_it_differs"]),
            join((links(words(row["source_url"])), ", ", words(row["locator"]))),
        ]
        for row, text in zip(frame.to_dict("records"), review_texts(frame), strict=True)
    ]
    made = table(
        ["Review", "Outcome", "Comparison", "Its estimate [95% CI]", "Ours", "Why they differ",
         "Read at"],
        rows,
        caption="Pooled results printed by systematic reviews, in the measure they chose.",
    )  # fmt: skip
    return join((el("h4", "Published reviews beside ours"), made))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")

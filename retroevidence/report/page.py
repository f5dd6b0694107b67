"""The page: everything one run found, in one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retroevidence.claims import certainty, rules
from retroevidence.report.cells import words
from retroevidence.report.cited import reference_list
from retroevidence.report.css import CSS
from retroevidence.report.findings import Findings
from retroevidence.report.half_reported import half_reported
from retroevidence.report.markup import Markup, Piece, el, join, link, table
from retroevidence.report.possible import possible
from retroevidence.report.prose import prose, typeset
from retroevidence.report.redone import redone
from retroevidence.report.section import anchor, facts, headline, section, verdict_mark

if TYPE_CHECKING:
    import pandas as pd

CONTENTS = (
    ("verdicts", "Verdicts"),
    ("rules", "How a verdict is reached"),
    ("claims", "Claims"),
    ("half-reported", "How much was half reported"),
    ("possible", "Are the printed numbers possible"),
    ("reviews-redone", "Published reviews redone"),
    ("citations", "Citation audit"),
    ("references", "References"),
    ("agreement", "Read twice"),
    ("data", "Data and versions"),
    ("limits", "Limits"),
)


def page(findings: Findings, figures: Mapping[str, Mapping[str, str]]) -> str:
    """Return the report as one self-contained HTML page.

    Parameters
    ----------
    findings : Findings
        What one run found.
    figures : mapping of str to mapping of str to str
        Per claim id, the SVG of each of its figures by name.

    Returns
    -------
    str
        HTML with inline style and figures; no script, and no address but those of sources.

    Examples
    --------
    >>> from retroevidence.report.findings import find
    >>> page(find(), {}).startswith("<!doctype html>")
    True
    """
    title = f"{findings.title}: claims and the evidence"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        el("title", title),
        el("style", Markup(CSS)),
    )
    body = el(
        "body",
        el("a", "Skip to the verdicts", href="#verdicts", class_="skip"),
        _header(findings, title),
        el(
            "main",
            join(
                (
                    _verdicts(findings),
                    _rules(),
                    _claims(findings, figures),
                    _section("half-reported", half_reported(findings.ladder_counts)),
                    _section(
                        "possible",
                        possible(findings.integrity, findings.without_flagged, findings.sources),
                    ),
                    _section(
                        "reviews-redone",
                        redone(findings.reviews_redone, findings.cochrane_redone, findings.sources),
                    ),
                    _citations(findings.citations),
                    _references(findings.references),
                    _agreement(findings.agreement),
                    _data(findings),
                    _limits(findings),
                ),
                "\n",
            ),
        ),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _header(findings: Findings, title: str) -> Markup:
    k = len(findings.checks)
    studies = findings.rows.get("studies", 0)
    found = {word: sum(c.verdict == word for c in findings.checks) for word in rules.VERDICTS}
    tally = ", ".join(f"{n} {word}" for word, n in found.items() if n)
    claims = "1 claim" if k == 1 else f"{k} claims"
    lead = (
        f"{claims}, judged by {studies} located studies and records: {tally}. Every verdict "
        "follows from a written rule, and every number below leads back to the page it was read on."
    )
    read = "from public pages, mostly abstracts" if _abstracts(findings) else "where each row says"
    how = (
        f"Results were read {read}. Each report enters as the "
        "strongest statement it supports: an effect with its variance, a p-value, a direction, or "
        "nothing. "
        f"Effects are {findings.experimental} minus comparator."
    )
    entries = [el("li", el("a", text, href=f"#{name}")) for name, text in CONTENTS]
    contents = el("nav", el("ul", *entries), aria_label="Contents")
    return el("header", el("h1", title), el("p", lead, class_="lead"), el("p", how), contents)


def _section(name: str, *children: Piece) -> Markup:
    return el("section", el("h2", dict(CONTENTS)[name]), *children, id=name)


def _verdicts(findings: Findings) -> Markup:
    rows: list[list[Piece]] = [
        [
            el("a", words(checked.claim.get("statement")),
               href=f"#{anchor(str(checked.claim['claim_id']))}"),
            verdict_mark(checked.verdict),
            checked.certainty,
            typeset(headline(checked)) or "–",
            str(checked.k),
            checked.rung,
        ]
        for checked in findings.checks
    ]  # fmt: skip
    made = table(
        ["Claim", "Verdict", "Certainty", "Estimate [95% CI]", "k", "Rests on"],
        rows,
        caption="k: independent comparisons. Percent differences are ratios of means; other "
        "effects are standardised mean differences unless the claim names a unit.",
    )
    return _section("verdicts", el("div", made, class_="verdicts"))


def _rules() -> Markup:
    """Show the rule as the modules that apply it state it."""
    return _section(
        "rules",
        prose(rules.__doc__ or ""),
        el("h3", "Certainty"),
        prose(certainty.__doc__ or ""),
    )


def _claims(findings: Findings, figures: Mapping[str, Mapping[str, str]]) -> Markup:
    sections = [
        section(checked, figures.get(str(checked.claim["claim_id"]), {}), findings)
        for checked in findings.checks
    ]
    return _section("claims", join(sections, "\n"))


def _citations(frame: pd.DataFrame) -> Markup:
    if not len(frame):
        return _section("citations", el("p", "The data cite no references."))
    intro = (
        "Each cited reference compared field by field with the nearest record located. Not "
        "located is not the same as non-existent."
    )
    return _section("citations", el("p", intro), *(_reference(r) for r in frame.to_dict("records")))


def _reference(row: Mapping[Any, Any]) -> Markup:
    looked = (
        f"{words(row['where_looked'])} ({words(row['n_queries'])} queries, "
        f"{words(row['looked_on'])})"
    )
    pairs: list[tuple[str, Piece]] = [
        ("Verdict", verdict_mark(words(row["verdict"]))),
        ("Why", typeset(words(row["reason"]))),
        ("Nearest record", _record(words(row["best_candidate"]), words(row["url"]))),
        ("Agrees", words(row["matched"]) or "nothing"),
        ("Differs", words(row["differing"]) or "nothing"),
        ("Not shown", words(row["not_shown"]) or "nothing"),
    ]
    if words(row["where_looked"]) not in words(row["reason"]):
        pairs.append(("Looked in", looked))
    return join((el("h3", f"{words(row['cited_no'])}. {words(row['cited'])}"), facts(pairs)))


def _record(line: str, url: str) -> Piece:
    return link(url, line) if line else "none"


def _references(lines: Sequence[str]) -> Markup:
    intro = f"The {len(lines)} studies with a result that bears on a claim."
    return _section("references", el("p", intro), reference_list(lines))


def _agreement(frame: pd.DataFrame) -> Markup:
    if not len(frame):
        return _section("agreement", el("p", "No result was read twice."))
    found = frame["status"].value_counts()
    tally = ", ".join(f"{n} {status}" for status, n in sorted(found.items(), key=lambda x: -x[1]))
    columns = [c for c in ("study_id", "outcome", "instrument", "field", "first", "second",
                           "status", "settled") if c in frame.columns]  # fmt: skip
    odd = frame[frame["status"] != "exact"]
    rows: list[list[Piece]] = [
        [words(row[column]) for column in columns] for row in odd.to_dict("records")
    ]
    heads = [column.replace("_", " ").capitalize() for column in columns]
    made = table(heads, rows, caption="Readings that do not agree exactly, and how it was settled.")
    return _section(
        "agreement",
        el("p", f"{len(frame)} fields were read by two readers: {tally}."),
        el("details", el("summary", f"Where the readings differ ({len(odd)})"), made),
    )


def _data(findings: Findings) -> Markup:
    counted: list[list[Piece]] = [[name, str(n)] for name, n in findings.rows.items()]
    hashed: list[list[Piece]] = [
        [name, el("code", digest)] for name, digest in sorted(findings.hashes.items())
    ]
    used: list[list[Piece]] = [[name, text] for name, text in findings.versions.items()]
    return _section(
        "data",
        table(["Table", "Rows"], counted, caption="Rows of each table."),
        table(["File", "SHA-256"], hashed, caption="The files these results were made from."),
        table(["Software", "Version"], used, caption="Software the numbers passed through."),
        el("p", "The same files and versions give the same bytes."),
    )


def _abstracts(findings: Findings) -> bool:
    """Tell whether most results were read in abstracts."""
    places = [place.lower() for _, place in findings.sources.values()]
    return 2 * sum("abstract" in place for place in places) > len(places)


def _limits(findings: Findings) -> Markup:
    points = [
        "Most results were read from abstracts: what a full text would add is not here, and risk "
        "of bias is not judged."
        if _abstracts(findings)
        else "Risk of bias is not judged; it counts against every claim.",
        "The search was not exhaustive; a claim without usable evidence here may have some "
        "elsewhere.",
        "Results reported only as p < 0.05 or as a direction carry no size. They are shown and "
        "combined on lower rungs, never turned into sizes.",
        "With few studies the variance between them is barely known; read the prediction interval.",
        "Nothing on this page is medical advice.",
    ]
    small = sum(0 < c.k < 5 for c in findings.checks)
    if small:
        points.insert(
            3, f"{small} of {len(findings.checks)} claims rest on fewer than five results."
        )
    return _section("limits", el("ul", *(el("li", point) for point in points)))

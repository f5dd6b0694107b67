"""The page and the whole run: sound HTML, sources only, same input same bytes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

import retroevidence as rv
from retroevidence.claims.rules import VERDICTS
from retroevidence.report.cited import cited_studies
from retroevidence.report.figures import draw, save
from retroevidence.report.findings import find
from retroevidence.report.markup import inline_svg, link, links
from retroevidence.report.page import page
from retroevidence.report.prose import typeset
from retroevidence.report.reproduce import reproduce
from retroevidence.report.robustness import choices_text

VOID = {"meta", "br", "hr"}


class Reader(HTMLParser):
    """Read HTML strictly: every element that opens is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def findings():
    return find()


@pytest.fixture(scope="module")
def figures(findings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    # One claim per kind of figure is enough for the page; the whole run draws all of them.
    chosen = {"knee_pain", "emg_tibialis", "safety", "dose_session"}
    found = {}
    for checked in findings.checks:
        if checked.claim_id in chosen:
            found[checked.claim_id] = {
                name: save(ax, folder / f"{checked.claim_id}-{name}")[0].read_text("utf-8")
                for name, ax in draw(checked, findings.multiverses.get(checked.claim_id)).items()
            }
    return found


@pytest.fixture(scope="module")
def html(findings, figures):
    return page(findings, figures)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return reproduce(out=tmp_path_factory.mktemp("run") / "results")


def test_html_is_sound_and_says_its_language(html):
    reader = read(html)
    assert html.startswith("<!doctype html>")
    assert reader.of("html") == [{"lang": "en"}]
    assert len(reader.of("h1")) == len(reader.of("title")) == len(reader.of("main")) == 1


def test_headings_never_skip_a_level(html):
    levels = [int(tag[1]) for tag, _ in read(html).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_anchors_resolve_and_ids_are_unique(html):
    reader = read(html)
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [
        str(attributes[key])[1:]
        for _, attributes in reader.elements
        for key in ("href", "xlink:href")
        if str(attributes.get(key, "")).startswith("#")
    ]
    targets += re.findall(r"url\(#([^)]+)\)", html)
    assert len(targets) > 29
    assert set(targets) <= set(ids)


def test_every_claim_has_a_section_and_a_row(html, findings):
    ids = {attributes.get("id") for attributes in read(html).of("section")}
    for checked in findings.checks:
        assert f"claim-{checked.claim_id}" in ids
        assert part(html, "verdicts").count(f'href="#claim-{checked.claim_id}"') == 1


def test_nothing_is_fetched_and_only_sources_are_linked(html, findings):
    reader = read(html)
    assert not reader.of("script", "link", "img", "iframe", "object", "embed")
    assert not any("src" in attributes or "onclick" in attributes for _, attributes in
                   reader.elements)  # fmt: skip
    assert "@import" not in html
    known = set()
    for table in ("studies", "arms", "contrasts", "reviews", "safety"):
        for cell in rv.load(table)["source_url"].dropna():
            known |= set(cell.split())
    known |= set(findings.citations["url"].dropna())
    entries = rv.bibliography()
    known |= set(entries["url"].dropna()) | {
        f"https://doi.org/{doi}" for doi in entries["doi"].dropna()
    }
    outward = {a["href"] for a in reader.of("a") if not str(a["href"]).startswith("#")}
    assert outward
    assert outward <= known


def test_every_study_that_bears_on_a_claim_is_in_the_references(html, findings):
    start = html.index('<section id="references">')
    listed = html[start : html.index("</section>", start)]
    studies = cited_studies(findings.checks)
    assert listed.count("<li>") == len(studies) > 50
    assert "<i>BMC Musculoskeletal Disorders</i>" in listed


def test_tables_have_captions_and_scopes(html):
    reader = read(html)
    assert all(cell.get("scope") in {"col", "row"} for cell in reader.of("th"))
    labelled = [box for box in reader.of("div") if box.get("role") == "region"]
    assert all(box.get("aria-label") for box in labelled)


def test_figures_are_inline_and_named(html, figures):
    plots = [svg for svg in read(html).of("svg")]
    assert len(plots) == sum(len(found) for found in figures.values())
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in plots)
    assert "<metadata" not in html
    assert "<?xml" not in html


def test_text_from_the_tables_is_escaped(findings):
    bad = '<script>alert("x")</script> & more'
    first = findings.checks[0]
    hostile = replace(
        first,
        claim=first.claim | {"statement": bad, "population": bad},
        reason=bad,
        effects=first.effects.assign(how=bad, source_url="javascript:alert(1)", locator=bad),
        shown=pd.DataFrame({"study_id": ["a<b2020"], "analysis": [bad], "reason": [bad]}),
    )
    written = page(replace(findings, title=bad, checks=(hostile,)), {})
    reader = read(written)
    assert not reader.of("script")
    assert bad in reader.words
    assert not any(str(a.get("href", "")).startswith("javascript") for a in reader.of("a"))


def test_rules_are_the_ones_that_are_applied(html):
    text = " ".join(read(html).words)
    for verdict in VERDICTS[:5]:
        assert verdict in text
    assert "Nothing else decides a verdict." in text


def test_page_of_other_data_works_without_citations_and_double_reading(findings):
    bare = replace(
        findings, checks=findings.checks[:2], citations=pd.DataFrame(), agreement=pd.DataFrame()
    )
    text = " ".join(read(page(bare, {})).words)
    assert "The data cite no references." in text
    assert "No result was read twice." in text


def test_page_says_where_results_were_read_only_if_they_were(findings):
    words = ("mostly abstracts", "Most results were read from abstracts", "claims, judged by")
    own = page(findings, {})
    elsewhere = {row: (address, "table 2") for row, (address, _) in findings.sources.items()}
    one = page(replace(findings, checks=findings.checks[:1], sources=elsewhere), {})
    assert [word in own for word in words] == [True, True, True]
    assert [word in one for word in words] == [False, False, False]
    assert "1 claim, judged by" in one


def part(html, name):
    """Return the section of the page with this id."""
    start = html.index(f'<section id="{name}"')
    return html[start : html.index("\n<section id=", start + 1)]


def test_half_reported_section_says_what_the_library_counts(html, findings):
    total = findings.ladder_counts.query("outcome == 'all'").to_dict("records")[0]
    text = " ".join(read(part(html, "half-reported")).words)
    assert f"{total['in_results']} rows in use report {total['results']} distinct" in text
    assert f"would drop {total['rescued']} (" in text
    for outcome in findings.ladder_counts["outcome"]:
        assert outcome.replace("_", " ") in text


def test_every_flag_is_listed_with_its_arithmetic_and_its_page(html, findings):
    found = findings.integrity[findings.integrity["status"] == "flag"]
    section = part(html, "possible")
    assert len(read(section).of("li")) == len(found)
    text = " ".join(read(section).words)
    assert f"Every flag with its arithmetic ({len(found)})" in text
    assert "never people" in text
    for row in found.to_dict("records"):
        # The page writes a minus before numbers; the rest stands as it was computed.
        assert typeset(row["arithmetic"]) in text
        for one in row["rows"].split(";"):
            url = findings.sources[one][0].split()[0]
            assert f'href="{escape(url)}" rel="noreferrer">{one}</a>' in section


def test_flags_stand_with_the_claims_that_select_their_rows(html, findings):
    table = findings.without_flagged.set_index("claim_id")
    for checked in findings.checks:
        start = html.index(f'<section id="claim-{checked.claim_id}"')
        own = html[start : html.index("</section>", start)]
        touched = table.loc[checked.claim_id, "rows_left_out"] != ""
        assert ("Numbers that do not agree" in own) == touched
        if touched:
            assert table.loc[checked.claim_id, "verdict_without"] in own


def test_every_published_value_is_beside_ours(html, findings):
    section = part(html, "reviews-redone")
    for review in findings.reviews_redone["review_id"]:
        assert f">{review}</a>" in section or f">{review} (" in section
    agree = int((findings.cochrane_redone["agrees"] == "yes").sum())
    assert f"{agree} come out to the last digit" in section


def test_choices_and_single_studies_stand_with_their_claim(html, findings):
    start = html.index('<section id="claim-knee_pain"')
    own = html[start : html.index("</section>", start)]
    assert typeset(choices_text(findings.multiverses["knee_pain"])) in own
    assert "Specification curve" in own
    assert own.count('<th scope="row">') > len(findings.left_out["knee_pain"])
    assert "Without any one study" in own


def test_leaving_one_out_refits_what_the_headline_rests_on(findings):
    headline = next(c for c in findings.checks if c.claim_id == "knee_pain")
    assert headline.rung == "effects and bounds"
    found = findings.left_out["knee_pain"]
    assert list(found["left_out"]) == list(headline.censored.studies["study_id"])
    assert set(found["k"]) == {headline.k - 1}
    # Without its only bounded result the headline is the pool of exact ones.
    bounded = headline.censored.studies.query("form == 'bounded'")["study_id"].item()
    row = found.set_index("left_out").loc[bounded]
    # 1e-6: both maximise the restricted likelihood, by different searches.
    assert row["estimate"] == pytest.approx(headline.pooled.estimate, abs=1e-6)


def test_every_traced_row_leads_to_its_page(html, findings):
    for claim_id in findings.traces:
        start = html.index(f'<section id="claim-{claim_id}"')
        own = html[start : html.index("</section>", start)]
        start = own.index('<table class="trace">')
        table = own[start : own.index("</table>", start)]
        cells = re.findall(r'<td data-label="Read at">(.*?)</td>', table)
        effects = next(c for c in findings.checks if c.claim_id == claim_id).effects
        assert len(cells) == len(effects)
        for cell, ids in zip(cells, effects["rows"], strict=True):
            assert "<a href=" in cell
            assert all(one in cell for one in ids.split(";"))


def test_flags_are_escaped(findings):
    bad = "<b>p</b> & <script>"
    hostile = findings.integrity.assign(printed=bad, arithmetic=bad, note=bad)
    sources = {key: ("javascript:x", bad) for key in findings.sources}
    written = page(replace(findings, integrity=hostile, sources=sources), {})
    reader = read(written)
    assert not reader.of("script")
    assert not any(str(a["href"]).startswith("javascript") for a in reader.of("a"))


def test_new_directory_gives_results(tmp_path):
    from retroevidence.loaders.scaffold import new

    data = tmp_path / "mine"
    new(data)
    results = reproduce(data, tmp_path / "results")
    text = " ".join(read((results / "report.html").read_text("utf-8")).words)
    assert "The data hold no pooled value of a published review." in text
    assert (results / "figures" / "example_claim-specification.svg").is_file()
    assert not pd.read_csv(results / "tables" / "multiverse.csv").empty


def test_json_holds_the_new_tables(results, findings):
    tables = json.loads((results / "results.json").read_text("utf-8"))["tables"]
    assert len(tables["ladder"]) == len(findings.ladder)
    assert len(tables["integrity"]) == int((findings.integrity["status"] == "flag").sum())
    assert [row["claim_id"] for row in tables["multiverse"]] == list(findings.multiverses)
    for name in ("ladder_counts", "integrity_counts", "verdicts_without_flagged",
                 "reviews_redone", "cochrane_redone", "leave_one_out"):  # fmt: skip
        assert tables[name]
        assert (results / "tables" / f"{name}.csv").is_file()
        assert (results / "tables" / f"{name}.md").is_file()
    for claim_id, found in findings.multiverses.items():
        drawn = (results / "figures" / f"{claim_id}-specification.svg").is_file()
        assert drawn == (found.distinct > 0)


def test_links_are_web_addresses_only():
    assert link("ftp://a.org", "a") == "a"
    assert links("no address: a thesis").count("<a") == 0


def test_inline_svg_keeps_figures_apart():
    svg = '<svg width="1pt"><defs><path id="m"/></defs><use href="#m" clip-path="url(#m)"/></svg>'
    assert inline_svg(svg, "one", "x").count("one-m") == 3


def test_run_writes_everything(results, findings):
    names = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    assert {"report.html", "results.json", "tables/claims.csv", "tables/claims.md"} <= names
    svg = {name[:-4] for name in names if name.endswith(".svg")}
    assert svg == {name[:-4] for name in names if name.endswith(".png")}
    drawn = {name.removeprefix("figures/").rpartition("-")[0] for name in svg}
    with_evidence = {
        c.claim_id
        for c in findings.checks
        if c.rung in {"effects", "p-values", "directions", "exact", "distribution"}
    }
    assert with_evidence <= drawn
    claims = pd.read_csv(results / "tables" / "claims.csv")
    assert list(claims["claim_id"]) == [c.claim_id for c in findings.checks]
    assert list(claims["verdict"]) == [c.verdict for c in findings.checks]


def test_json_holds_numbers_versions_and_hashes_but_no_place_or_time(results):
    text = (results / "results.json").read_text("utf-8")
    found = json.loads(text)
    pain = found["claims"]["knee_pain"]
    assert pain["pooled"]["main"]["estimate"] == rv.check("knee_pain").pooled.estimate
    assert found["versions"]["retroevidence"] == rv.__version__
    from retroevidence._paths import data_dir

    expected = hashlib.sha256((data_dir() / "claims.csv").read_bytes()).hexdigest()
    assert found["hashes"]["claims.csv"] == expected
    assert "NaN" not in text
    assert str(data_dir()) not in text
    assert str(results) not in text
    assert str(data_dir()) not in (results / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_same_tables_same_bytes(results, tmp_path):
    again = reproduce(out=tmp_path / "elsewhere")
    first = {p.relative_to(results): p.read_bytes() for p in results.rglob("*") if p.is_file()}
    second = {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}
    assert first == second
    # Nothing half-made stays beside the results.
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_failed_run_leaves_the_earlier_results(results, tmp_path, monkeypatch):
    target = tmp_path / "results"
    target.mkdir()
    (target / "results.json").write_text("{}")

    def fail(*_):
        raise RuntimeError("disk is full")

    monkeypatch.setattr("retroevidence.report.reproduce.page", fail)
    monkeypatch.setattr("retroevidence.report.reproduce.draw", lambda *_: {})
    with pytest.raises(RuntimeError, match="disk is full"):
        reproduce(out=target)
    assert (target / "results.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_foreign_directory_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(rv.RetroEvidenceError, match=r"holds thesis\.txt"):
        reproduce(out=tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_progress_rises_to_its_total(monkeypatch, tmp_path):
    monkeypatch.setattr("retroevidence.report.reproduce.draw", lambda *_: {})
    seen = []
    reproduce(out=tmp_path / "r", progress=lambda done, total, what: seen.append((done, total)))
    done = [step for step, _ in seen]
    assert done == sorted(done)
    assert {total for _, total in seen} == {seen[-1][0]}

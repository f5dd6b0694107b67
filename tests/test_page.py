"""The page and the whole run: sound HTML, sources only, same input same bytes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

import retroevidence as rv
from retroevidence.claims.rules import VERDICTS
from retroevidence.report.figures import draw, save
from retroevidence.report.findings import find
from retroevidence.report.markup import inline_svg, link, links
from retroevidence.report.page import page
from retroevidence.report.reproduce import reproduce

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
                for name, ax in draw(checked).items()
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
        assert html.count(f'href="#claim-{checked.claim_id}"') == 1


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
    outward = {a["href"] for a in reader.of("a") if not str(a["href"]).startswith("#")}
    assert outward
    assert outward <= known


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
    monkeypatch.setattr("retroevidence.report.reproduce.draw", lambda _: {})
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
    monkeypatch.setattr("retroevidence.report.reproduce.draw", lambda _: {})
    seen = []
    reproduce(out=tmp_path / "r", progress=lambda done, total, what: seen.append((done, total)))
    done = [step for step, _ in seen]
    assert done == sorted(done)
    assert {total for _, total in seen} == {seen[-1][0]}

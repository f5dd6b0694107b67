"""Commands that ask PubMed, over loopback: what they print, keep and refuse."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import retroevidence.loaders.pubmed.client as module
from retroevidence.cli import app

_spec = importlib.util.spec_from_file_location(
    "eutils_server", Path(__file__).with_name("eutils_server.py")
)
eutils = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(eutils)
clock, server, article = eutils.clock, eutils.server, eutils.article


@pytest.fixture
def run(server, monkeypatch):
    monkeypatch.setattr(module, "_NCBI", server.url)

    def call(*words: object):
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


def test_search_prints_counts_and_records_and_writes_a_table(server, run, tmp_path):
    server.add(article(7, "Needles in gait."), article(8, "Hay in gait."))
    done = run("pubmed", "search", "gait", "--email", "me@example.org", "--max", 1)
    assert done.exit_code == 0, done.output
    assert "2 records match, 1 fetched" in done.output
    out = tmp_path / "found.csv"
    done = run("pubmed", "search", "gait", "--email", "me@example.org", "--max", 0, "--out", out)
    assert done.exit_code == 0, done.output
    assert pd.read_csv(out)["pmid"].tolist() == [8, 7]


def test_a_store_answers_offline_and_an_empty_one_says_so(server, run, tmp_path):
    server.add(article(7, "Needles in gait."))
    store = tmp_path / "answers.sqlite"
    run("pubmed", "search", "gait", "--email", "me@example.org", "--store", store)
    asked = len(server.asked)
    done = run("pubmed", "search", "gait", "--offline", "--store", store)
    assert "Needles in gait." in done.output
    assert len(server.asked) == asked
    done = run("pubmed", "search", "other", "--offline", "--store", store)
    assert done.exit_code != 0
    done = run("pubmed", "repair", store)
    assert done.exit_code == 0, done.output


def test_an_address_is_asked_for(run):
    for words in (["pubmed", "search", "gait"], ["audit", "--online"]):
        done = run(*words)
        assert done.exit_code != 0
        assert "--email you@example.org" in str(done.exception)


def test_a_list_is_audited_against_pubmed(server, run, tmp_path):
    server.add(article(7, "Needles in hay and their gait."))
    references = tmp_path / "list.txt"
    references.write_text(
        "Doe A. Needles in hay and their gait. Journal of Invented Gait. 2001;1(2):3-4.\n"
        "Doe A. Needles in hay and their gait. Journal of Invented Gait. 1999;1(2):3-4.\n",
        encoding="utf-8",
    )
    done = run("audit", references, "--online", "--email", "me@example.org")
    assert done.exit_code == 0, done.output
    assert "year: cited 1999, record 2001" in done.output
    assert "1 verified, 1 mis-cited" in done.output or "1 mis-cited, 1 verified" in done.output


def test_results_of_a_record_are_proposed_from_pubmed(server, run, tmp_path):
    text = (
        "Twenty-four adults were assigned to backward walking (n = 12) or usual care (n = 12). "
        "Pain was lower in the backward walking group (2.1 ± 0.8) than in the usual care group "
        "(3.0 ± 0.9; p = 0.02)."
    )
    server.add(article(7, "Invented walking.", inside=eutils.paragraphs(text)))
    out = tmp_path / "candidates.csv"
    done = run("extract", 7, "--out", out, "--email", "me@example.org")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out, dtype=str)
    assert {"2.1", "3.0"} <= set(table["mean"].dropna())
    assert table["source_url"].dropna().str.contains("pubmed").all()
    # Nothing is accepted by itself.
    assert table["accept"].isna().all()

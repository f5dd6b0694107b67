"""How the client asks: requests, batches, pace, searches beyond the window, progress."""

from __future__ import annotations

import importlib.util
import io
import sys
import threading
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path

import pytest

import retroevidence.loaders.pubmed.client as module
import retroevidence.loaders.pubmed.http as http
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.pubmed.client import PubMed
from retroevidence.loaders.pubmed.found import Found

_spec = importlib.util.spec_from_file_location(
    "eutils_server", Path(__file__).with_name("eutils_server.py")
)
eutils = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(eutils)
clock, server, client, article = eutils.clock, eutils.server, eutils.client, eutils.article

DAY = date(2020, 1, 1)


def test_many_ids_go_in_batches_by_post(server):
    server.add_many(401, DAY, 1000)
    table = client(server).fetch(range(1, 402))
    assert table["title"].tolist() == [f"Invented study {n}." for n in range(1, 402)]
    assert [asked["id"].count(",") + 1 for asked in server.queries] == [200, 200, 1]
    # A short request is an address; ids of eight figures in one would be cut.
    assert [method for _, method, *_ in server.asked] == ["GET", "GET", "GET"]
    server.asked.clear()
    client(server).fetch(range(30_000_000, 30_000_200))
    assert [method for _, method, *_ in server.asked] == ["POST"]
    assert server.queries[0]["email"] == "me@example.org"


def test_a_long_query_goes_by_post(server):
    server.add(article(7, "needle"))
    query = " AND ".join(["needle"] * 1000)
    assert client(server).find(query).ids == ("7",)
    assert server.asked[0][1] == "POST"


def test_a_query_arrives_as_it_was_typed(server):
    query = 'ümlaut & "a+b" #1 [Title/Abstract] 100%'
    client(server).find(query)
    assert server.queries[0]["term"] == query


def test_requests_of_one_call_share_a_connection(server):
    server.add_many(401, DAY, 1000)
    client(server).fetch(range(1, 402))
    assert len({connection for *_, connection in server.asked}) == 1


@pytest.mark.parametrize("key", [None, "abc123"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_pace_is_that_of_ncbi(server, clock, key, threads):
    server.add(article(7))

    def ask() -> None:
        # A new client for each request, as programs do.
        for _ in range(30 // threads):
            client(server, api_key=key).fetch(7)

    running = [threading.Thread(target=ask) for _ in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join(timeout=10)
    moments = [moment for moment, *_ in server.asked]
    assert len(moments) == 30
    limit = 3 if key is None else 10
    # As the server counts them: in no second more than allowed.
    assert max(sum(start <= one <= start + 1 for one in moments) for start in moments) <= limit
    # No slower than need be. Two threads share one made-up clock, which then runs fast.
    assert threads > 1 or clock.now - 1_000 < 30 / limit
    assert {asked.get("api_key") for asked in server.queries} == {key}


def test_the_server_that_counts_has_no_reason_to_refuse(server, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 5)
    server.allowed = 3
    server.add_many(101, DAY, 3000)
    assert (client(server, retries=0).fetch(range(1, 102))["state"] == "given").all()


def test_without_a_pace_it_would_refuse(server, monkeypatch):
    # The test above can fail: the server does count.
    monkeypatch.setattr(http.Pace, "turn", lambda pace: nullcontext())
    monkeypatch.setattr(module, "_BATCH", 5)
    server.allowed = 3
    server.add_many(101, DAY, 3000)
    with pytest.raises(RetroEvidenceError, match="answered with status 429"):
        client(server, retries=0).fetch(range(1, 102))


def test_the_key_is_never_shown(server):
    server.faults = [eutils.Fault(400, '{"error":"API key invalid","api-key":"secret99"}')]
    asking = client(server, api_key="secret99")
    assert "secret99" not in repr(asking)
    with pytest.raises(RetroEvidenceError, match="API key invalid") as caught:
        asking.fetch(7)
    assert "secret99" not in str(caught.value)


def test_no_address_is_made_up_for_a_user_who_gives_none(server):
    client(server, email=None).fetch(7)
    assert set(server.queries[0]) == {"tool", "db", "id", "retmode"}


@pytest.mark.parametrize("end", ["", "/", "/entrez/eutils", "/entrez/eutils/"])
def test_a_base_url_with_and_without_the_path_of_the_tools(server, end):
    server.add(article(7))
    told = PubMed(base_url=server.url + end).fetch("7")
    assert told["state"].tolist() == ["given"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"timeout": 0}, "give a timeout above 0"),
        ({"timeout": float("nan")}, "give a timeout above 0"),
        ({"timeout": float("inf")}, "give a timeout above 0"),
        ({"retries": -1}, "0 to 20 retries"),
        ({"base_url": "eutils.example.org"}, "begins with https://"),
        ({"api_key": ""}, "api_key is empty"),
        ({"api_key": "a b"}, "holds blanks"),
        ({"offline": True}, "give store"),
        ({"max_age_days": -1}, "0 or more days"),
        ({"max_age_days": float("nan")}, "0 or more days"),
    ],
)
def test_settings_that_cannot_work(settings, says):
    with pytest.raises(RetroEvidenceError, match=says):
        PubMed(**settings)


@pytest.mark.parametrize("number", [0, -1])
def test_max_results_below_one(number):
    with pytest.raises(RetroEvidenceError, match="ask for 1 or more records"):
        PubMed().search("stairs", max_results=number)


@pytest.mark.parametrize("query", ["", "  \n"])
def test_an_empty_query(query):
    with pytest.raises(RetroEvidenceError, match="say what to search for"):
        PubMed().find(query)


def test_search_holds_what_the_search_said(server):
    server.add(article(7), article(8))
    server.extra = {"errorlist": {"phrasesnotfound": ["xyzzy"], "fieldsnotfound": []}}
    table = client(server).search("invented", max_results=1)
    assert table["pmid"].tolist() == ["8"]
    told = {name: table.attrs[name] for name in ("query", "count", "notes")}
    assert told == {
        "query": "invented",
        "count": 2,
        "notes": ["not found and left out of the query: xyzzy"],
    }


def test_only_records_entered_since_a_day(server):
    server.add(article(7), day=date(2020, 5, 1))
    server.add(article(8), day=date(2020, 5, 2))
    for since in ("2020-05-02", date(2020, 5, 2)):
        found = client(server).find("invented OR other AND invented"[:8], since=since)
        assert (found.ids, found.since) == (("8",), "2020-05-02")
    with pytest.raises(RetroEvidenceError, match="write the day as 2026-01-31"):
        client(server).find("invented", since="May 2020")


def test_a_search_within_the_window_is_one_request(server):
    server.add_many(9_999, DAY, 500)
    found = client(server).find("all[sb]")
    assert (found.count, len(found.ids), found.complete) == (9_999, 9_999, True)
    assert len(server.asked) == 1


def test_a_search_beyond_the_window_is_split_by_day_of_entry(server):
    server.add_many(25_000, DAY, 700)
    found = client(server).find("all[sb]")
    assert found.complete
    # Newest first, each id once.
    assert found.ids == tuple(str(n) for n in range(25_000, 0, -1))
    assert found.notes == ()
    # Bisecting three centuries costs few requests; it would be thousands day by day.
    assert len(server.asked) < 40


def test_a_search_beyond_the_window_stops_where_enough_is_found(server):
    server.add_many(40_000, DAY, 700)
    found = client(server).find("all[sb]", max_results=12_000)
    assert found.ids == tuple(str(n) for n in range(40_000, 28_000, -1))
    assert (found.count, found.complete) == (40_000, False)


def test_what_no_day_can_reach_is_said(server):
    server.add_many(12_000, DAY, 11_000)
    found = client(server).find("all[sb]")
    assert (found.count, len(found.ids), found.complete) == (12_000, 10_999, False)
    assert found.notes == ("not reachable, being too many of one day: 1001 of 11000 of 2020-01-01",)


def test_a_server_that_does_not_heed_days_is_left_soon(server):
    server.add_many(12_000, DAY, 700)
    server.heeds_dates = False
    with pytest.raises(RetroEvidenceError, match="does not heed the days"):
        client(server).find("all[sb]")
    assert len(server.asked) < 30


def test_a_server_with_smaller_pages(server):
    server.add_many(250, DAY, 1000)
    server.most_per_page = 100
    found = client(server).find("all[sb]")
    assert found.ids == tuple(str(n) for n in range(250, 0, -1))
    assert [asked.get("retstart") for asked in server.queries] == [None, "100", "200"]


def test_ids_that_the_server_counts_but_does_not_give(server):
    server.add_many(30, DAY, 1000)
    server.extra = {"count": "50"}
    found = client(server).find("all[sb]")
    assert (len(found.ids), found.complete) == (30, False)
    assert found.notes == ("PubMed counts 50 records but gave only 30 ids",)


def test_records_that_do_not_come_are_named(server):
    server.add(article(7), article(9))
    server.deleted, server.merged = {"3"}, {"5": "9"}
    table = client(server).fetch([7, 3, 4, 5])
    assert dict(zip(table["pmid"], table["state"], strict=True)) == {
        **{"7": "given", "3": "deleted", "4": "not given", "5": "given as 9"}
    }
    lost = table[table["state"] != "given"]
    assert lost.drop(columns=["pmid", "state", "fetched"]).isna().all(axis=None)
    # One id alone says the same with one request.
    server.asked.clear()
    assert client(server).fetch(5)["state"].tolist() == ["given as 9"]
    assert len(server.asked) == 1


def test_ids_of_which_none_is_right(server):
    server.faults = [
        eutils.Fault(
            400,
            "<eFetchResult><ERROR>ID list is empty! Possibly it has "
            "no correct IDs.</ERROR></eFetchResult>",
        )
    ]
    assert client(server).fetch([1, 2])["state"].tolist() == ["not given", "not given"]


def test_history_and_xml_of_the_server(server):
    # The client needs neither, since the history has the same window; the server speaks both.
    import requests

    server.add_many(3, DAY, 10)
    tool = f"{server.url}/entrez/eutils/esearch.fcgi"
    told = requests.get(tool, {"term": "all[sb]", "usehistory": "y"}, timeout=5).text
    assert "<Count>3</Count>" in told
    kept = {"WebEnv": "MCID_invented0", "query_key": "1", "retmax": "2"}
    fetched = requests.post(tool.replace("esearch", "efetch"), kept, timeout=5).text
    assert fetched.count("<PubmedArticle>") == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("shown", "stream"), [(True, Terminal), (False, Terminal), (True, io.StringIO)]
)
def test_progress_is_shown_on_a_terminal_only_if_asked_for(server, monkeypatch, shown, stream):
    output = stream()
    monkeypatch.setattr(sys, "stderr", output)
    monkeypatch.setenv("TERM", "xterm")
    server.add_many(401, DAY, 1000)
    client(server, progress=shown).fetch(range(1, 402))
    said = output.getvalue()
    if shown and stream is Terminal:
        assert "records" in said
        assert "401/401" in said
    else:
        assert said == ""


OLD = Found("q", None, "2026-01-01T00:00:00Z", 3, ("1", "2", "3"), "", (), "here")
NEW = Found("q", None, "2026-02-01T00:00:00Z", 3, ("4", "3", "1"), "", (), "here")


def test_two_searches_compared():
    told = NEW.compare(OLD)
    assert (told.new, told.gone, told.same) == (("4",), ("2",), ("3", "1"))
    assert told.notes == ()
    assert told.summary.loc[0, ["new", "gone", "same"]].tolist() == [1, 1, 2]
    assert told.to_dict()["gone"] == ["2"]
    assert "gone  1: 2" in repr(told)
    assert "<th" in told._repr_html_()


def test_a_comparison_says_what_it_cannot_tell():
    from dataclasses import replace

    notes = NEW.compare(replace(OLD, count=10)).notes
    assert notes == (
        "the older search holds 3 of 10 ids, so that a record called new may only lie beyond them",
    )
    assert "called gone may" in replace(NEW, count=9).compare(OLD).notes[0]
    assert "different questions" in NEW.compare(replace(OLD, since="2020-01-01")).notes[0]
    assert "later one" in OLD.compare(NEW).notes[0]


def test_a_search_shows_itself():
    found = Found("q", "2020-01-01", "2026-01-01T00:00:00Z", 2, ("1",), "q[All]", ("note",), "x")
    assert repr(found).splitlines()[0] == "Search 'q'"
    assert "since       2020-01-01" in repr(found)
    assert "- note" in repr(found)
    assert found.summary.loc[0, "n_ids"] == 1
    with pytest.raises(AttributeError):
        found.count = 3


def test_a_day_is_a_day(server, clock):
    # Days of entry reach to a year after today, whatever today is.
    server.add_many(10_000, module._now().date() - timedelta(days=1), 5_000)
    assert client(server).find("all[sb]").complete

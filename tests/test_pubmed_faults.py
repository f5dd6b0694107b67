"""What goes wrong on the way: each failure ends in a repeat or in one clear sentence."""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import json
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retroevidence.loaders.pubmed.http as http
from retroevidence.errors import NetworkError
from retroevidence.loaders.pubmed.client import PubMed
from retroevidence.loaders.pubmed.record import record_row
from retroevidence.loaders.pubmed.search import read_page
from retroevidence.loaders.pubmed.xml import read_records

_spec = importlib.util.spec_from_file_location(
    "eutils_server", Path(__file__).with_name("eutils_server.py")
)
eutils = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(eutils)
clock, server, client, article = eutils.clock, eutils.server, eutils.client, eutils.article
Fault = eutils.Fault

PAGE = "<html><head><title>Maintenance</title></head><body>Back soon<br></body></html>"
LIMIT = '{"error":"API rate limit exceeded","api-key":"127.0.0.1","count":"4","limit":"3"}'

PASSING = {
    "429": Fault(429, LIMIT, {"Retry-After": "2"}),
    "500": Fault(500, PAGE),
    "502": Fault(502),
    "503": Fault(503, "busy"),
    "504": Fault(504),
    "dropped before the answer": eutils.HANG_UP,
    "dropped in mid-body": eutils.CUT,
    "dropped, length untold": eutils.CUT_UNTOLD,
    "dropped between chunks": eutils.CUT_CHUNKS,
    "silent": eutils.SILENT,
    "stalls in mid-body": eutils.STALL,
    "page at status 200": Fault(200, PAGE),
    "refusal at status 200": Fault(200, LIMIT),
    "empty": Fault(200, ""),
    "broken compression": Fault(200, b"no gzip", {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("tool", ["fetch", "find"])
def test_a_passing_failure_is_asked_again(server, name, tool):
    server.add(article(7))
    slow = name in {"silent", "stalls in mid-body"}
    server.faults = [PASSING[name]] * (1 if slow else 2)
    # A time-out costs its time for real. On a loaded machine a sound answer may miss it too.
    asking = client(server, timeout=0.2, retries=9) if slow else client(server)
    if tool == "fetch":
        assert asking.fetch(7)["title"].tolist() == ["Invented study 7."]
    else:
        assert asking.find("invented").ids == ("7",)
    assert len(server.asked) == 3 or (slow and len(server.asked) >= 2)


def test_waits_double_and_the_server_is_not_undercut(server, clock):
    server.faults = [Fault(503)] * 2 + [Fault(429, LIMIT, {"Retry-After": "7"})] + [Fault(503)] * 2
    server.add(article(7))
    client(server, retries=5).fetch(7)
    moments = [moment for moment, *_ in server.asked]
    waits = [b - a for a, b in itertools.pairwise(moments)]
    assert waits == pytest.approx([0.5, 1.0, 7.0, 4.0, 8.0])


def test_waits_are_bounded_and_shortened_at_random(server, clock, monkeypatch):
    server.faults = [Fault(503)] * 12
    with pytest.raises(NetworkError, match="status 503, asked 12 times"):
        client(server, retries=11).fetch(7)
    assert max(clock.slept) == http._LONGEST_WAIT_S
    clock.slept.clear()
    monkeypatch.setattr(http, "random", SimpleNamespace(random=iter([0.0, 0.5]).__next__))
    server.faults = [Fault(503)] * 3
    with pytest.raises(NetworkError):
        client(server, retries=2).fetch(7)
    # Half of 0.5 s, three quarters of 1 s; the pace may add a wait of its own.
    assert [wait for wait in clock.slept if wait in {0.25, 0.75}] == [0.25, 0.75]


def test_a_date_to_come_back_at(server, clock):
    server.add(article(7))
    server.faults = [Fault(503, headers={"Retry-After": formatdate(clock.time() + 5)})]
    client(server).fetch(7)
    first, second = (moment for moment, *_ in server.asked)
    assert second - first == pytest.approx(5)


@pytest.mark.parametrize("told", ["soon", "-3", "", "Mon, 99 Foo", "nan", "1e99"])
def test_a_time_that_is_none_is_passed_over(server, clock, told):
    server.add(article(7))
    server.faults = [Fault(429, headers={"Retry-After": told})]
    assert client(server).fetch(7)["state"].tolist() == ["given"]
    assert clock.now - 1_000 < 1


def test_a_server_that_wants_an_hour_is_left(server, clock):
    server.faults = [Fault(429, headers={"Retry-After": "3600"})]
    with pytest.raises(NetworkError, match="wants no request for 3600 s; try again then"):
        client(server).fetch(7)
    assert len(server.asked) == 1


def test_repeats_are_bounded(server):
    server.faults = [Fault(503)] * 9
    with pytest.raises(NetworkError, match="status 503, asked 3 times; try again later"):
        client(server, retries=2).fetch(7)
    assert len(server.asked) == 3
    with pytest.raises(NetworkError, match="status 503, asked once"):
        client(server, retries=0).fetch(7)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 414])
def test_a_lasting_failure_is_not_asked_again(server, status):
    server.faults = [Fault(status, "no \x1b[31m such\nthing")]
    with pytest.raises(
        NetworkError, match=f"status {status} .*begins: 'no .*such thing'"
    ) as caught:
        client(server).fetch(7)
    assert len(server.asked) == 1
    # A terminal obeys escape codes.
    assert "\x1b" not in str(caught.value)


def test_a_redirection_is_not_followed(server):
    server.faults = [Fault(302, headers={"Location": "http://127.0.0.1:9/elsewhere"})]
    with pytest.raises(NetworkError, match="a redirection, which is not followed"):
        client(server, api_key="k").fetch(7)
    assert len(server.asked) == 1


def test_nobody_there():
    with eutils.serving(float) as gone:
        address = gone.url
    with pytest.raises(
        NetworkError, match="cannot be reached, or dropped the connection, asked once"
    ):
        PubMed(base_url=address, retries=0).fetch(7)


def test_an_address_that_is_none():
    with pytest.raises(NetworkError, match="cannot be asked"):
        PubMed(base_url="http://[::1", retries=0).fetch(7)


def test_no_answer_in_time(server):
    server.faults = [eutils.SILENT]
    with pytest.raises(NetworkError, match=r"gave no answer in 0.05 s, asked once"):
        client(server, timeout=0.05, retries=0).fetch(7)


def test_an_answer_that_trickles_is_left(server, clock, monkeypatch):
    # Each piece comes in time, the whole does not: the clock runs on while it is read.
    server.add(*(article(n, inside=eutils.paragraphs("walk " * 2000)) for n in range(1, 40)))
    real = clock.monotonic

    def later() -> float:
        clock.now += 1
        return real()

    monkeypatch.setattr(clock, "monotonic", later)
    with pytest.raises(NetworkError, match="was still sending its answer after 2 s"):
        client(server, timeout=0.2, retries=0).fetch(range(1, 40))


GOOD = eutils.record_set(article(7))
BOMB = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><PubmedArticleSet>&i;</PubmedArticleSet>"
)
OUTSIDE = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><PubmedArticleSet>&x;</PubmedArticleSet>'
)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "gave an answer that is empty"),
        (" \n", "gave an answer that is empty"),
        (PAGE, "gave an answer that is an HTML page"),
        ("<!DOCTYPE html><html></html>", "gave an answer that is an HTML page"),
        ("<a><br></a>", r"gave an answer that is not XML \(line 1, column 9\)"),
        ("Service unavailable", r"gave an answer that is not XML \(line 1"),
        (LIMIT, "reports an error: API rate limit exceeded"),
        ('{"esearchresult": {}}', "gave an answer that is JSON, not XML"),
        ("[1, 2]", "gave an answer that is JSON, not XML"),
        ("{oh", "gave an answer that is not XML"),
        ("<eFetchResult><ERROR>bad</ERROR></eFetchResult>", "reports an error: bad"),
        ("<eSearchResult/>", "gave an answer that holds no records"),
        (GOOD[: len(GOOD) // 2], "gave an answer that breaks off"),
        (GOOD[:-3], "gave an answer that breaks off"),
        (
            GOOD.replace("Invented", "Rückwärts").encode("latin-1").replace(b"?>", b"?>", 1),
            r"gave an answer that is not in the encoding it claims \(utf-8; byte \d+\)",
        ),
        (
            GOOD.replace('version="1.0"', 'version="1.0" encoding="x-made-up"'),
            "gave an answer that declares an encoding that is not known",
        ),
        (GOOD.replace("Invented study", "\x02"), "gave an answer that is not XML"),
        (GOOD.replace(">7<", ">seven<"), "gave an answer that holds a record without a PubMed id"),
        (
            GOOD.replace('<PMID Version="1">7</PMID>', ""),
            "gave an answer that holds a record without a PubMed id",
        ),
        (gzip.compress(GOOD.encode()), "gave an answer that is not XML"),
    ],
)
def test_a_fetch_answer_of_another_kind(server, body, says):
    server.faults = [Fault(200, body)] * 2
    with pytest.raises(NetworkError, match=f"efetch.fcgi {says}.* asked 2 times;"):
        client(server, retries=1).fetch(7)


@pytest.mark.parametrize("body", [BOMB, OUTSIDE])
def test_entities_are_refused_at_once(server, body):
    server.faults = [Fault(200, body)]
    with pytest.raises(NetworkError, match="declares XML entities, which is refused as unsafe"):
        client(server).fetch(7)
    assert len(server.asked) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_that_are_declared_are_read(server, encoding):
    name = encoding.removesuffix("-sig")
    text = GOOD.replace("Invented study", "Rückwärts").replace("?>", f'encoding="{name}"?>', 1)
    server.faults = [Fault(200, text.encode(encoding))]
    assert client(server).fetch(7)["title"].tolist() == ["Rückwärts 7."]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (PAGE, "gave an answer that is not JSON, or breaks off"),
        ("", "gave an answer that is not JSON, or breaks off"),
        ('{"esearchresult": {"count": "1", "idl', "gave an answer that is not JSON, or breaks off"),
        (b"\xff\xfe", "gave an answer that is not JSON, or breaks off"),
        ("[" * 100_000, "gave an answer that is not JSON, or breaks off"),
        (LIMIT, "reports an error: API rate limit exceeded"),
        ("[]", "gave an answer that holds no search"),
        ('{"esearchresult": []}', "gave an answer that holds no search"),
        (
            '{"esearchresult": {"ERROR": "Search Backend\n failed"}}',
            "reports an error: Search Backend failed, asked",
        ),
        ('{"esearchresult": {"count": "3"}}', "gave an answer that holds no list of ids"),
        (
            '{"esearchresult": {"count": "many", "idlist": []}}',
            "gave an answer that holds no list of ids",
        ),
        (
            '{"esearchresult": {"count": "-1", "idlist": []}}',
            "gave an answer that holds no list of ids",
        ),
        (
            '{"esearchresult": {"count": "1", "idlist": ["1&x"]}}',
            "gave an answer that holds no list of ids",
        ),
        (
            '{"esearchresult": {"count": "1", "idlist": null}}',
            "gave an answer that holds no list of ids",
        ),
    ],
)
def test_a_search_answer_of_another_kind(server, body, says):
    server.faults = [Fault(200, body)]
    with pytest.raises(NetworkError, match=f"esearch.fcgi {says}"):
        client(server, retries=0).find("stairs")


def test_an_answer_that_is_too_large_is_halved(server, monkeypatch):
    server.add(*(article(n, inside=eutils.paragraphs("walk " * 200)) for n in range(1, 9)))
    # Room for two or three of the eight records.
    monkeypatch.setattr(http, "_LARGEST_BYTES", 4_500)
    assert (client(server).fetch(range(1, 9))["state"] == "given").all()
    assert [asked["id"] for asked in server.queries][:3] == ["1,2,3,4,5,6,7,8", "1,2,3,4", "1,2"]
    monkeypatch.setattr(http, "_LARGEST_BYTES", 1_000)
    with pytest.raises(NetworkError, match=r"record 1 is not read: .*more than 0.001 MB"):
        client(server).fetch(1)


def test_a_small_answer_that_unpacks_to_a_large_one(server, monkeypatch):
    monkeypatch.setattr(http, "_LARGEST_BYTES", 100_000)
    bomb = gzip.compress(b"<PubmedArticleSet>" + b" " * 5_000_000)
    assert len(bomb) < 10_000
    server.faults = [Fault(200, bomb, {"Content-Encoding": "gzip"})]
    with pytest.raises(NetworkError, match="the most that is read"):
        client(server).fetch(1)


def test_compressed_answers_are_read(server):
    server.zipped = True
    server.add(article(7))
    assert client(server).search("invented")["pmid"].tolist() == ["7"]


def test_a_record_nested_without_end(server):
    deep = "<i>" * 50_000 + "x" + "</i>" * 50_000
    server.add(article(7, deep))
    with pytest.raises(NetworkError, match="is nested more than 100 levels deep"):
        client(server, retries=0).fetch(7)


def test_an_interrupted_fetch_says_how_far_it_came(server):
    server.add_many(401, eutils.date(2020, 1, 1), 1000)
    server.faults = [None, Fault(500)]
    with pytest.raises(NetworkError, match=r"base_url; 200 of 401 records had come; with a store"):
        client(server, retries=0).fetch(range(1, 402))


def test_other_threads_hold_every_turn(monkeypatch):
    monkeypatch.setattr(http, "_PATIENCE_S", 0.01)
    one = http.Pace(1)
    with one.turn(), pytest.raises(http.Failure, match="too many threads"), one.turn():
        pass


WHOLE = eutils.record_set(
    article(7, "Old <i>and</i> new.", eutils.paragraphs("A & B")), article(8)
).encode()


@given(cut=st.integers(0, len(WHOLE)), changes=st.lists(st.tuples(st.floats(0, 1), st.binary())))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_bytes_are_records_or_a_failure(cut, changes):
    # Whatever is cut off or put in, nothing else than a failure comes of it.
    body = WHOLE[:cut]
    for place, piece in changes:
        at = int(place * len(body))
        body = body[:at] + piece + body[at + len(piece) // 2 :]
    try:
        records = read_records(body).records
    except http.Failure:
        return
    for pmid, record in records.items():
        assert record_row(record)["pmid"] == pmid


def test_no_part_of_an_answer_passes_for_the_whole():
    for cut in range(1, len(WHOLE), 7):
        with pytest.raises(http.Failure, match=r"breaks off|is empty|is not XML"):
            read_records(WHOLE[:-cut])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: st.lists(part, max_size=3),
    max_leaves=4,
)


@given(JSON, JSON)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_json_is_a_page_or_a_failure(count, ids):
    body = json.dumps({"esearchresult": {"count": count, "idlist": ids}}).encode()
    try:
        page = read_page(body)
    except http.Failure:
        return
    assert page.count >= 0
    assert all(one.isdecimal() for one in page.ids)

"""The store: what is kept, what is found again, and what a damaged one is good for."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

import retroevidence.loaders.pubmed.client as module
import retroevidence.loaders.pubmed.fetch as fetch
from retroevidence.errors import NetworkError, RetroEvidenceError, UnknownNameError
from retroevidence.loaders.pubmed.found import Found
from retroevidence.loaders.pubmed.repair import repair
from retroevidence.loaders.pubmed.store import Kept, Store

_spec = importlib.util.spec_from_file_location(
    "eutils_server", Path(__file__).with_name("eutils_server.py")
)
eutils = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(eutils)
clock, server, client, article = eutils.clock, eutils.server, eutils.client, eutils.article

DAY = eutils.date(2020, 1, 1)
HERE = "http://127.0.0.1:1/entrez/eutils"


@pytest.fixture
def calendar(monkeypatch):
    """Return a function that sets the day."""

    def on(day: int) -> None:
        moment = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day - 1)
        monkeypatch.setattr(module, "_now", lambda: moment)

    on(1)
    return on


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.sqlite"


def found(ids: str, date: str = "2026-01-01T00:00:00Z", query: str = "q") -> Found:
    return Found(query, None, date, len(ids.split()), tuple(ids.split()), "", (), HERE)


def kept(pmid: str, xml: bytes = b"<x/>", fetched: str = "2026-01-01T00:00:00Z") -> Kept:
    return Kept(pmid, "given", fetched, xml, {"pmid": pmid, "title": "Ü"}, 1)


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def test_a_search_is_rerun_offline_and_compared(server, path, calendar):
    server.add(article(7), article(8))
    asking = client(server, store=path)
    online = asking.search("invented", max_results=None)
    calendar(31)
    server.add(article(9))
    server.remove("7")
    asking.find("invented")
    server.asked.clear()

    offline = client(server, store=path, offline=True)
    older, newer = offline.kept("invented")
    assert (older.date, older.ids) == ("2026-01-01T12:00:00Z", ("8", "7"))
    told = newer.compare(older)
    assert (told.new, told.gone, told.same) == (("9",), ("7",), ("8",))
    # The newest answer is the one that is given again, with the date it was given at.
    assert offline.find("invented") == newer
    assert newer.date == "2026-01-31T12:00:00Z"
    again = offline.fetch(older.ids)
    pd.testing.assert_frame_equal(again, online)
    assert again["fetched"].unique().tolist() == ["2026-01-01T12:00:00Z"]
    # What was found later and never fetched is named.
    assert offline.search("invented")["state"].tolist() == ["not in the store", "given"]
    assert not server.asked


def test_a_search_that_was_never_kept(server, path):
    client(server, store=path).find("invented")
    offline = client(server, store=path, offline=True)
    with pytest.raises(UnknownNameError, match="did you mean 'invented'"):
        offline.find("invnted")
    with pytest.raises(UnknownNameError, match="search since 2020-01-01 in the store"):
        offline.find("invented", since="2020-01-01")
    # Another server's answers are not this one's.
    with pytest.raises(UnknownNameError):
        client(server, base_url="http://127.0.0.1:9", store=path, offline=True).find("invented")
    with pytest.raises(RetroEvidenceError, match="give PubMed a store"):
        client(server).kept()


def test_offline_takes_the_newest_search_with_enough_ids(server, path, calendar):
    server.add_many(30, DAY, 100)
    asking, offline = client(server, store=path), client(server, store=path, offline=True)
    asking.find("all[sb]", 10)
    assert offline.find("all[sb]", 5).ids == ("30", "29", "28", "27", "26")
    assert offline.find("all[sb]").notes == ("kept with 10 of 30 ids",)
    calendar(2)
    asking.find("all[sb]")
    calendar(3)
    asking.find("all[sb]", 20)
    assert offline.find("all[sb]").date == "2026-01-02T12:00:00Z"
    assert offline.find("all[sb]", 15).date == "2026-01-03T12:00:00Z"


def test_an_interrupted_fetch_goes_on_where_it_stopped(server, path, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 20)
    server.add_many(90, DAY, 1000)
    server.faults = [None, None, eutils.Fault(500)]
    asking = client(server, store=path, retries=0)
    with pytest.raises(NetworkError, match=r"40 of 90 records are kept in .* goes on from there"):
        asking.fetch(range(1, 91))
    server.asked.clear()
    table = client(server, store=path).fetch(range(1, 91))
    assert table["pmid"].tolist() == [str(n) for n in range(1, 91)]
    assert (table["state"] == "given").all()
    asked = [int(one) for query in server.queries for one in query["id"].split(",")]
    assert asked == list(range(41, 91))


def test_a_fetch_stopped_by_the_user_goes_on_too(server, path, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 20)
    server.add_many(60, DAY, 1000)
    real, calls = module.fetched, []

    def stopped(line, pmids, moment):
        calls.append(pmids)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(line, pmids, moment)

    monkeypatch.setattr(module, "fetched", stopped)
    with pytest.raises(KeyboardInterrupt):
        client(server, store=path).fetch(range(1, 61))
    client(server, store=path).fetch(range(1, 61))
    assert [len(query["id"].split(",")) for query in server.queries] == [20, 20, 20]


def test_what_is_kept_is_not_asked_again_until_it_is_old(server, path, calendar):
    server.add(article(7))
    asking = client(server, store=path)
    asking.fetch([7, 8])
    calendar(7)
    assert asking.fetch([7, 8])["state"].tolist() == ["given", "not given"]
    assert len(server.asked) == 1
    # A retraction shows at the latest when the record is too old.
    server.add(article(7, "Retracted: invented study."))
    calendar(9)
    assert asking.fetch(7)["title"].tolist() == ["Retracted: invented study."]
    assert client(server, store=path, max_age_days=0).fetch(7)["state"].tolist() == ["given"]
    assert len(server.asked) == 3
    # Offline nothing is too old.
    calendar(4000)
    offline = client(server, store=path, offline=True)
    assert offline.fetch([7, 8])["state"].tolist() == ["given", "not given"]


def test_every_answer_is_kept_with_its_date_and_each_text_once(server, path, calendar):
    server.add(article(7))
    for day in (1, 2, 3):
        calendar(day)
        client(server, store=path, max_age_days=0).fetch(7)
    with closing(sqlite3.connect(path)) as connection:
        dates = [date for (date,) in connection.execute("SELECT fetched FROM records")]
        assert dates == [f"2026-01-0{day}T12:00:00Z" for day in (1, 2, 3)]
        assert connection.execute("SELECT COUNT(*) FROM bodies").fetchone() == (1,)


def test_kept_xml_is_what_came_and_is_read_again_by_a_newer_reader(server, path, monkeypatch):
    server.add(article(7, "Old <i>and</i> new."))
    client(server, store=path).fetch(7)
    one = Store(path).records(f"{server.url}/entrez/eutils", ["7"], strict=True)["7"]
    assert b"<ArticleTitle>Old <i>and</i> new.</ArticleTitle>" in one.xml
    assert one.row["title"] == "Old and new."
    monkeypatch.setattr(fetch, "READER", one.reader + 1)
    monkeypatch.setattr(fetch, "record_row", lambda record: {"title": "Read anew"})
    offline = client(server, store=path, offline=True)
    assert offline.fetch(7)["title"].tolist() == ["Read anew"]


def test_a_store_at_rest_is_one_file(server, path):
    server.add(article(7))
    client(server, store=path).search("invented")
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_store_of_many_ids(path):
    store = Store(path)
    store.keep_records(HERE, [kept(str(n), b"<x>%d</x>" % n) for n in range(1, 1201)])
    wanted = [str(n) for n in range(1, 1300)]
    assert len(store.records(HERE, wanted, strict=True)) == 1200


# Damage.


def filled(path: Path) -> Store:
    store = Store(path)
    store.keep_search(found("7 8"))
    store.keep_search(found("7 8 9", "2026-02-01T00:00:00Z"))
    store.keep_records(HERE, [kept(str(n), os.urandom(3000)) for n in range(1, 40)])
    return store


def test_a_changed_record_is_fetched_again_and_offline_refused(server, path):
    server.add(article(7))
    client(server, store=path).fetch(7)
    change(path, "UPDATE bodies SET row = replace(row, 'Invented', 'Proven')")
    offline = client(server, store=path, offline=True)
    with pytest.raises(RetroEvidenceError, match=r"damaged .the record of 7 is not as it was"):
        offline.fetch(7)
    assert client(server, store=path).fetch(7)["title"].tolist() == ["Invented study 7."]
    # Fetching it again has mended the store.
    assert offline.fetch(7)["title"].tolist() == ["Invented study 7."]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET state = 'deleted'",
        "UPDATE records SET fetched = '2030-01-01T00:00:00Z'",
        "UPDATE records SET digest = NULL",
        "UPDATE bodies SET xml = x'00'",
        "DELETE FROM bodies",
    ],
)
def test_no_changed_record_is_trusted(path, statement):
    Store(path).keep_records(HERE, [kept("7")])
    change(path, statement)
    assert Store(path).records(HERE, ["7"], strict=False) == {}
    with pytest.raises(RetroEvidenceError, match="is damaged"):
        Store(path).records(HERE, ["7"], strict=True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE searches SET ids = '1'",
        "UPDATE searches SET count = 9",
        "UPDATE searches SET more = ''",
    ],
)
def test_no_changed_search_is_trusted(path, statement):
    Store(path).keep_search(found("7 8"))
    change(path, statement)
    with pytest.raises(RetroEvidenceError, match="search 1 is not as it was written"):
        Store(path).searches(HERE)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_store_is_refused_and_rebuilt(path, share):
    filled(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(
        RetroEvidenceError, match=r"is damaged \(.*pubmed\.repair\.repair\('"
    ) as caught:
        Store(path).searches(HERE)
    assert str(caught.value).count("\n") == 0
    told = repair(path)
    assert told.searches == 2
    assert told.records < 39
    assert [one.ids for one in Store(path).searches(HERE)] == [("7", "8"), ("7", "8", "9")]
    # The damaged file is still there, as it was.
    assert Path(told.damaged).read_bytes() == whole[: int(len(whole) * share)]
    assert "searches saved  2" in repr(told)
    assert "<th" in told._repr_html_()


def test_pages_of_garbage_are_refused_and_the_rest_is_saved(path):
    filled(path)
    whole = bytearray(path.read_bytes())
    for page in range(12, len(whole) // 4096, 7):
        whole[page * 4096 : page * 4096 + 200] = b"\xaa" * 200
    path.write_bytes(whole)
    # No garbage lies where the searches are; the file is no less damaged.
    with pytest.raises(RetroEvidenceError, match="is damaged"):
        Store(path).searches(HERE)
    told = repair(path)
    assert told.searches == 2
    assert told.records > 1
    # What was saved is as it was written.
    have = Store(path).records(HERE, [str(n) for n in range(1, 40)], strict=False)
    assert all(one.row == {"pmid": pmid, "title": "Ü"} for pmid, one in have.items())


def test_what_lies_behind_a_page_of_garbage_keeps_its_order(path):
    store = Store(path)
    for n in range(60):
        store.keep_search(found("7", f"2026-01-01T00:00:{n:02}Z", query=f"q{n}{'x' * 500}"))
    whole = bytearray(path.read_bytes())
    page = whole.index(b"q30x") // 4096
    whole[page * 4096 : page * 4096 + 100] = b"\xaa" * 100
    path.write_bytes(whole)
    told = repair(path)
    saved = [one.date[-3:-1] for one in Store(path).searches(HERE)]
    assert 40 < told.searches == len(saved) < 60
    assert (saved[0], saved[-1]) == ("00", "59")
    # Oldest first, as they were kept: the newest must stay the newest.
    assert saved == sorted(saved)


def test_repair_leaves_out_what_is_not_as_it_was_written(path):
    filled(path)
    change(path, "UPDATE searches SET ids = '1' WHERE number = 1")
    told = repair(path)
    assert (told.searches, told.records, told.refused) == (1, 39, 1)
    newest = Store(path).searches(HERE)
    assert [one.ids for one in newest] == [("7", "8", "9")]


@pytest.mark.parametrize("content", [b"", b"pmid,title\n7,x\n", b"SQLite format 3\0" + b"\0" * 200])
def test_repair_refuses_what_it_cannot_rebuild(path, content):
    path.write_bytes(content)
    with pytest.raises(RetroEvidenceError, match="can rebuild; move it away"):
        repair(path)
    assert path.read_bytes() == content


def test_repair_of_a_store_of_which_nothing_is_left(path):
    filled(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RetroEvidenceError, match=r"nothing of the store .* can be read"):
        repair(path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"pmid,title\n7,x\n", "is no store of this library .not an SQLite file"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "is damaged"),
        (b"SQLite format 3\0", "is damaged"),
    ],
)
def test_a_file_of_another_kind_is_refused_and_left_alone(path, content, says):
    path.write_bytes(content)
    with pytest.raises(RetroEvidenceError, match=says):
        Store(path).keep_search(found("7"))
    assert path.read_bytes() == content


def test_an_empty_file_is_a_new_store(path):
    path.touch()
    Store(path).keep_search(found("7"))
    assert len(Store(path).searches(HERE)) == 1


def test_the_database_of_another_program_is_left_alone(path):
    change(path, "CREATE TABLE searches (id)")
    before = path.read_bytes()
    with pytest.raises(RetroEvidenceError, match="is the database of another program"):
        Store(path).keep_search(found("7"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("form", [0, 2, 99])
def test_a_store_of_another_form_is_refused(path, form):
    filled(path)
    change(path, f"PRAGMA user_version = {form}")
    with pytest.raises(
        RetroEvidenceError, match=f"has form {form}, but this version .* reads form 1"
    ):
        Store(path).searches(HERE)


def test_a_store_that_lost_a_table_is_refused(path):
    filled(path)
    change(path, "DROP TABLE bodies")
    with pytest.raises(RetroEvidenceError, match=r"damaged .a table is missing"):
        Store(path).searches(HERE)


def test_places_where_no_store_can_be(tmp_path, path):
    with pytest.raises(RetroEvidenceError, match="is no file; name a file for the store"):
        Store(tmp_path).searches(HERE)
    with pytest.raises(RetroEvidenceError, match="check that its directory exists"):
        Store(tmp_path / "no" / "such" / "file").searches(HERE)


def test_a_locked_store_says_so(path, monkeypatch):
    import retroevidence.loaders.pubmed.store as store_module

    store = filled(path)
    monkeypatch.setattr(store_module, "_PATIENCE_S", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RetroEvidenceError, match="database is locked"):
            store.keep_search(found("7"))
        # Who reads need not wait for who writes.
        assert len(store.searches(HERE)) == 2
        other.execute("ROLLBACK")


def test_a_store_is_opened_before_anything_is_asked(server, path):
    path.write_text("not a store")
    for ask in (lambda one: one.find("q"), lambda one: one.fetch(7)):
        with pytest.raises(RetroEvidenceError, match="is no store"):
            ask(client(server, store=path))
    assert not server.asked


def test_what_fails_half_way_leaves_no_trace(path):
    store = filled(path)

    def broken():
        yield kept("100")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.keep_records(HERE, broken())
    assert store.records(HERE, ["100"], strict=True) == {}


# Several processes.

HEAD = """
import os, sys
from retroevidence.loaders.pubmed.found import Found
from retroevidence.loaders.pubmed.store import Kept, Store

path, first = sys.argv[1], int(sys.argv[2])
HERE, DATE = "http://127.0.0.1:1/entrez/eutils", "2026-01-01T00:00:00Z"

def kept(n):
    return Kept(str(n), "given", DATE, b"<x>%d</x>" % n, {"pmid": str(n)}, 1)

# All begin together, once their imports are done.
print("ready", flush=True)
sys.stdin.readline()
"""

WRITES = """
for n in range(first, first + 8):
    Store(path).keep_records(HERE, [kept(n)])
    Store(path).keep_search(Found("q", None, DATE, 1, (str(n),), "", (), HERE))
"""

DIES = """
def deadly():
    yield kept(100)
    os._exit(9)

Store(path).keep_records(HERE, deadly())
"""


def run(path: Path, programs: list[tuple[str, int]]) -> list[int]:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", HEAD + program, str(path), str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for program, first in programs
    ]
    for one in running:
        assert one.stdout.readline() == "ready\n"
    for one in running:
        one.stdin.write("\n")
        one.stdin.flush()
    for one in running:
        one.communicate(timeout=30)
    return [one.returncode for one in running]


def test_two_processes_that_make_and_fill_a_store_at_once(path):
    assert run(path, [(WRITES, 1), (WRITES, 101)]) == [0, 0]
    have = Store(path).records(HERE, [str(n) for n in range(1, 300)], strict=True)
    assert len(have) == 16
    assert len(Store(path).searches(HERE)) == 16


def test_a_process_that_dies_while_it_writes(path):
    filled(path)
    assert run(path, [(DIES, 0)]) == [9]
    assert Store(path).records(HERE, ["100"], strict=True) == {}
    assert len(Store(path).searches(HERE)) == 2

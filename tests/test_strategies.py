"""Saved searches: every run logged, every record kept once, nothing decided on ever moves."""

from __future__ import annotations

import importlib.util
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retroevidence.errors import NetworkError, RetroEvidenceError, TableError, UnknownNameError
from retroevidence.loaders import strategies as module
from retroevidence.loaders.logs import read_log, replace_log
from retroevidence.loaders.references import table_of, write_references
from retroevidence.loaders.strategies import dated, read_abstracts, search

_spec = importlib.util.spec_from_file_location(
    "eutils_server", Path(__file__).with_name("eutils_server.py")
)
assert _spec is not None
assert _spec.loader is not None
eutils = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(eutils)
clock, server, client, article = eutils.clock, eutils.server, eutils.client, eutils.article

DAY, LATER = date(2026, 1, 31), date(2026, 7, 31)
GAIT = {"title": "Gait in very old age", "authors": "Kale A", "year": 2001, "doi": "10.1/a"}
STAIRS = {"title": "Stairs and knees of young people", "authors": "Lind B", "year": 2002}
RAMPS = {"title": "Ramps for wheels and for feet", "authors": "Moe C", "year": 2003}


def strategy(name: str, **cells: str) -> dict[str, str]:
    return {"strategy_id": name, "kind": "database", "database": "Index"} | cells


def review(folder: Path, *rows: dict[str, str], **exports: list[dict[str, Any]]) -> Path:
    """Make a review with strategies, and one exported file per keyword."""
    for name, records in exports.items():
        write_references(pd.DataFrame(records), folder / f"{name}.ris")
    replace_log("strategies", rows, folder)
    return folder


def one(folder: Path, *records: dict[str, Any]) -> Path:
    return review(folder, strategy("s1", file="one.ris"), one=list(records))


class Asked:
    """A client that remembers what it was asked and gives what it was told."""

    def __init__(self, *records: dict[str, Any], count: int | None = None) -> None:
        self.records, self.count, self.queries = records, count, list[str]()

    def search(self, query: str, max_results: int | None = 20) -> pd.DataFrame:
        assert max_results is None
        self.queries.append(query)
        table = table_of(self.records, "PubMed").drop(columns="source")
        if self.count is not None:
            table.attrs["count"] = self.count
        return table


def test_a_run_is_logged_with_its_date_and_counts(tmp_path: Path) -> None:
    folder = review(
        tmp_path,
        strategy("s1", file="one.ris", query="gait"),
        strategy("s2", file="two.ris", kind="register"),
        one=[GAIT, STAIRS],
        two=[{**GAIT, "doi": "10.1/A", "title": "Gait, other words"}, RAMPS],
    )
    found = search(folder, today=DAY)
    columns = ["run_date", "strategy_id", "kind", "found", "read", "new", "duplicates", "records"]
    assert found.log[columns].to_numpy().tolist() == [
        ["2026-01-31", "s1", "database", 2, 2, 2, 0, 2],
        ["2026-01-31", "s2", "register", 2, 2, 2, 1, 3],
    ]
    assert found.log.loc[0, "query"] == "gait"
    assert found.records["record_id"].tolist() == ["r0001", "r0002", "r0003"]
    assert len(found.added) == 3
    merge = found.merges.iloc[0]
    assert merge[["strategy_id", "record_id", "rule"]].tolist() == ["s2", "r0001", "doi"]
    assert "title: Gait in very old age / Gait, other words" in merge["differing"]


def test_a_second_run_adds_what_is_new_and_moves_nothing(tmp_path: Path) -> None:
    folder = one(tmp_path, GAIT, STAIRS)
    search(folder, today=DAY)
    before = read_log("records", folder)
    assert len(search(folder, today=LATER).added) == 0
    one(tmp_path, RAMPS, STAIRS, GAIT)
    found = search(folder, today=LATER)
    assert found.log.loc[0, ["found", "new", "records"]].tolist() == [3, 1, 3]
    assert found.records.iloc[:2].equals(before)
    assert found.added["title"].tolist() == [RAMPS["title"]]
    log = read_log("search_log", folder)
    assert log["run_date"].tolist() == ["2026-01-31", "2026-07-31", "2026-07-31"]
    assert log["new"].sum() == len(read_log("hits", folder)) == 3


def test_gaps_of_a_record_are_filled_and_what_it_has_stays(tmp_path: Path) -> None:
    folder = one(tmp_path, GAIT)
    search(folder, today=DAY)
    one(tmp_path, GAIT | {"title": "GAIT in very old age", "pmid": "7", "volume": "3"})
    record = search(folder, today=LATER).records.iloc[0]
    assert record[["title", "pmid", "volume"]].tolist() == [GAIT["title"], "7", "3"]


def test_one_source_may_give_a_record_twice(tmp_path: Path) -> None:
    found = search(one(tmp_path, GAIT | {"key": "a"}, GAIT | {"key": "b"}), today=DAY)
    assert found.log.loc[0, ["found", "new", "duplicates", "records"]].tolist() == [2, 2, 1, 1]
    assert read_log("hits", tmp_path)["source_id"].tolist() == ["doi:10.1/a", "doi:10.1/a#2"]
    assert len(search(tmp_path, today=LATER).merges) == 0


def test_two_records_that_a_third_would_join_stay_two(tmp_path: Path) -> None:
    """Decisions were taken on each, so neither may vanish."""
    folder = one(tmp_path, GAIT, {"title": "Quite another name for it", "pmid": "7"})
    search(folder, today=DAY)
    both = {"title": "A third name of the same work", "pmid": "7", "doi": "10.1/a"}
    review(tmp_path, strategy("s2", file="two.ris"), two=[both])
    found = search(folder, today=LATER)
    assert len(found.records) == 2
    assert len(found.merges) == 1


def test_near_pairs_are_shown_by_record(tmp_path: Path) -> None:
    part = "Gait in very old age, part"
    found = search(one(tmp_path, {"title": f"{part} 1"}, {"title": f"{part} 2"}), today=DAY)
    near = found.near.iloc[0]
    assert near[["first", "second"]].tolist() == ["r0001", "r0002"]
    assert "1 pairs stay apart" in repr(found)
    assert "<table" in found._repr_html_()


def test_abstracts_stay_on_the_machine(tmp_path: Path) -> None:
    folder = one(tmp_path, GAIT | {"abstract": "Nobody may copy this."}, STAIRS)
    search(folder, today=DAY)
    assert read_abstracts(folder) == {"r0001": "Nobody may copy this."}
    assert (folder / "local" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    for path in folder.glob("*.csv"):
        assert "Nobody may copy" not in path.read_text(encoding="utf-8")


def test_an_interrupted_run_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = one(tmp_path, GAIT, STAIRS)
    real = module.replace_log

    def full(name: str, rows: Any, data: Any) -> None:
        if name == "hits":
            raise RetroEvidenceError("the disk is full.")
        real(name, rows, data)

    monkeypatch.setattr(module, "replace_log", full)
    with pytest.raises(RetroEvidenceError, match="full"):
        search(folder, today=DAY)
    monkeypatch.undo()
    found = search(folder, today=DAY)
    assert len(found.records) == 2
    assert read_log("hits", folder)["rule"].tolist() == ["first", "first"]


def test_nothing_is_written_when_a_source_fails(tmp_path: Path) -> None:
    folder = review(
        tmp_path,
        strategy("s1", file="one.ris"),
        strategy("s2", file="missing.ris"),
        one=[GAIT],
    )
    with pytest.raises(TableError, match=r"missing\.ris"):
        search(folder, today=DAY)
    assert not (folder / "records.csv").exists()


def test_pubmed_is_asked_with_the_dates_and_its_count_is_logged(tmp_path: Path) -> None:
    rows = strategy("p", database="PubMed", query="gait[ti]", from_date="2000-01-01")
    folder = review(tmp_path, rows)
    with pytest.raises(RetroEvidenceError, match="strategy p asks PubMed, which needs your addre"):
        search(folder)
    asked = Asked(GAIT | {"pmid": "7"}, count=12)
    found = search(folder, pubmed=asked, today=DAY)
    assert asked.queries == [dated("gait[ti]", "2000-01-01", "")]
    assert '"2000/01/01"[Date - Publication] : "3000"' in asked.queries[0]
    assert found.log.loc[0, ["found", "read"]].tolist() == [12, 1]


def test_the_real_client_is_asked_and_a_dead_service_changes_nothing(server, tmp_path) -> None:
    server.add(article(7, "A needle in gait"), article(8, "A needle in stairs"))
    folder = review(tmp_path, strategy("p", database="PubMed", query="needle"))
    found = search(folder, pubmed=client(server), today=DAY)
    assert found.records["pmid"].tolist() == ["8", "7"]  # newest first
    before = (folder / "records.csv").read_bytes()
    server.shutdown()
    server.server_close()
    with pytest.raises(NetworkError):
        search(folder, pubmed=client(server, retries=0), today=LATER)
    assert (folder / "records.csv").read_bytes() == before
    assert len(read_log("search_log", folder)) == 1


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        TableError, match=r"strategies.csv: has no strategy \(looked in .*\); write"
    ):
        search(tmp_path)
    folder = review(tmp_path, strategy("s1", file=""))
    with pytest.raises(RetroEvidenceError, match="strategy s1 has no file; export what Index"):
        search(folder)
    with pytest.raises(UnknownNameError, match="no strategy is called 's2'"):
        search(folder, strategies=["s2"])
    review(tmp_path, strategy("S 1", file="one.ris"))
    with pytest.raises(TableError, match=r"strategies.csv, line 2, column strategy_id: 'S 1'"):
        search(folder)

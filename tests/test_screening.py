"""Two screeners, two stages, conflicts settled by name, nothing lost, agreement as published."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from retroevidence.cli import review as commands
from retroevidence.errors import RetroEvidenceError, TableError, UnknownNameError
from retroevidence.loaders.logs import append_log, read_log, replace_log
from retroevidence.loaders.scaffold import new
from retroevidence.loaders.screening import Screening, decide, screening

DAY = date(2026, 1, 31)


def review(folder: Path, records: int = 4) -> Path:
    rows = [{"record_id": f"r{n:04d}", "title": f"Work number {n}"} for n in range(1, records + 1)]
    replace_log("records", rows, folder)
    return folder


def say(folder: Path, *said: str, **cells: str) -> int:
    """Add decisions written as "r1 ann include"; the rest of the row by keyword."""
    rows = []
    for one in said:
        record, screener, decision = one.split()
        rows.append(
            {"record_id": f"r{int(record[1:]):04d}", "screener": screener, "decision": decision}
            | cells
        )
    return decide(rows, folder, today=DAY)


def state(folder: Path, record: int, stage: str = "title_abstract") -> str:
    table = screening(folder).table.set_index(["record_id", "stage"])
    return str(table.loc[(f"r{record:04d}", stage), "state"])


def test_two_who_agree_settle_a_record_and_one_alone_does_not(tmp_path: Path) -> None:
    folder = review(tmp_path)
    say(folder, "r1 ann include")
    assert state(folder, 1) == "waiting"
    say(folder, "r1 ben include", "r2 ann exclude", "r2 ben exclude")
    assert [state(folder, n) for n in (1, 2, 3)] == ["include", "exclude", "waiting"]
    assert state(folder, 1, "full_text") == "waiting"
    assert state(folder, 2, "full_text") == "not reached"
    table = screening(folder).table
    assert table.loc[0, "settled"] == "ann and ben"


def test_a_conflict_is_listed_and_settled_by_a_third_by_name(tmp_path: Path) -> None:
    folder = review(tmp_path)
    say(folder, "r1 ann include")
    say(folder, "r1 ben exclude", reason="no trial")
    assert state(folder, 1) == "conflict"
    conflict = screening(folder).conflicts.iloc[0]
    assert conflict["said"] == "ann: include; ben: exclude (no trial)"
    with pytest.raises(TableError, match="screened r0001 already; have a third person"):
        say(folder, "r1 ann include", role="arbiter")
    say(folder, "r1 cara include", role="arbiter")
    assert state(folder, 1) == "include"
    assert screening(folder).conflicts.empty
    assert screening(folder).table.loc[0, "settled"] == "cara"


def test_full_texts_need_one_reason(tmp_path: Path) -> None:
    folder = review(tmp_path, 2)
    say(folder, "r1 ann include", "r1 ben include")
    with pytest.raises(TableError, match="without a reason; say why"):
        say(folder, "r1 ann exclude", stage="full_text")
    say(folder, "r1 ann exclude", stage="full_text", reason="no controls")
    say(folder, "r1 ben exclude", stage="full_text", reason="wrong outcome")
    assert state(folder, 1, "full_text") == "conflict"
    say(folder, "r1 cara exclude", stage="full_text", reason="no controls", role="arbiter")
    row = screening(folder).table.loc[1]
    assert row[["state", "reason", "settled"]].tolist() == ["exclude", "no controls", "cara"]


def test_a_later_decision_takes_the_place_of_an_earlier_one_and_both_are_kept(
    tmp_path: Path,
) -> None:
    folder = review(tmp_path)
    say(folder, "r1 ann include", "r1 ben exclude")
    say(folder, "r1 ann exclude")
    assert state(folder, 1) == "exclude"
    assert len(read_log("screening", folder)) == 3
    assert len(screening(folder).decisions) == 2


@pytest.mark.parametrize(
    ("said", "cells", "message"),
    [
        ("r9 ann include", {}, "'r0009' is no record of this review; look it up in records.csv"),
        ("r3 ann include", {"stage": "full_text"}, "has not passed title and abstract (waiting)"),
        ("r1 cara include", {}, "is a third screener of r0001, after ann and ben"),
        ("r1 cara include", {"role": "arbiter"}, "settles r0001, which is no conflict"),
        ("r1 ann not_retrieved", {}, "is a decision on full texts; write include or exclude"),
    ],
)
def test_a_wrong_decision_is_named_and_nothing_is_added(
    tmp_path: Path, said: str, cells: dict[str, str], message: str
) -> None:
    folder = review(tmp_path)
    say(folder, "r1 ann include", "r1 ben include")
    before = (folder / "screening.csv").read_bytes()
    record, screener, decision = said.split()
    wrong = {"record_id": f"r{int(record[1:]):04d}", "screener": screener, "decision": decision}
    with pytest.raises(TableError, match=re.escape(message)):
        decide(
            [{"record_id": "r0002", "screener": "ann", "decision": "include"}, wrong | cells],
            folder,
        )
    assert (folder / "screening.csv").read_bytes() == before


def test_unknown_words_are_named(tmp_path: Path) -> None:
    folder = review(tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'include'"):
        say(folder, "r1 ann includ")
    with pytest.raises(UnknownNameError, match="column of decision 1"):
        decide([{"record_id": "r0001", "screner": "ann", "decision": "include"}], folder)
    with pytest.raises(RetroEvidenceError, match="has no screener"):
        decide([{"record_id": "r0001", "decision": "include"}], folder)


def test_a_broken_line_of_the_file_is_named_with_its_line(tmp_path: Path) -> None:
    folder = review(tmp_path)
    say(folder, "r1 ann include", "r1 ben include")
    row = {"record_id": "r0001", "stage": "title_abstract", "screener": "cara"}
    append_log(
        "screening",
        [row | {"role": "screener", "decision": "include", "date": "2026-01-31"}],
        folder,
    )
    with pytest.raises(TableError, match=r"screening.csv, line 4, column screener: 'cara'"):
        screening(folder)


def test_decisions_come_in_twice_without_harm(tmp_path: Path) -> None:
    folder = review(tmp_path)
    rows = pd.DataFrame(
        {"record_id": ["r0001", "r0002"], "screener": "ann", "decision": ["include", "exclude"]}
    )
    assert decide(rows, folder, today=DAY) == 2
    assert decide(rows, folder, today=DAY) == 0
    assert len(read_log("screening", folder)) == 2


def test_waiting_is_blind_and_goes_on_where_one_stopped(tmp_path: Path) -> None:
    folder = review(tmp_path, 3)
    say(folder, "r1 ann include", "r1 ben include", "r2 ann include")
    state = screening(folder)
    assert state.waiting("ann")[["record_id", "stage"]].to_numpy().tolist() == [
        ["r0003", "title_abstract"],
        ["r0001", "full_text"],
    ]
    assert state.waiting("ben", "title_abstract")["record_id"].tolist() == ["r0002", "r0003"]
    assert not {"said", "decision"} & set(state.waiting("ben").columns)
    with pytest.raises(UnknownNameError):
        state.waiting("ben", "abstract")


def test_a_file_without_a_last_line_end_is_not_glued_to(tmp_path: Path) -> None:
    folder = review(tmp_path)
    say(folder, "r1 ann include")
    path = folder / "screening.csv"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    say(folder, "r1 ben include")
    assert state(folder, 1) == "include"


def test_a_killed_process_loses_no_answer(tmp_path: Path) -> None:
    """The process dies at once after its third answer, without any clean-up."""
    folder = review(tmp_path, 5)
    script = (
        "import os, sys\n"
        "from retroevidence.loaders.screening import decide\n"
        "for n in (1, 2, 3):\n"
        "    decide([{'record_id': f'r000{n}', 'screener': 'ann', 'decision': 'include'}],"
        " sys.argv[1])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], timeout=60, check=False, env=os.environ
    )
    assert done.returncode == -9
    assert screening(folder).waiting("ann")["record_id"].tolist() == ["r0004", "r0005"]


def pairs(both: int, first: int, second: int, none: int) -> Screening:
    """Make decisions: included by both, by the first alone, by the second alone, by none."""
    cells = [("include", "include")] * both + [("include", "exclude")] * first
    cells += [("exclude", "include")] * second + [("exclude", "exclude")] * none
    ids = [f"r{n:04d}" for n in range(1, len(cells) + 1)]
    rows = [
        {"record_id": i, "stage": "title_abstract", "screener": who, "role": "screener"}
        | {"decision": word, "reason": None, "study_id": None, "date": "2026-01-31"}
        for i, cell in zip(ids, cells, strict=True)
        for who, word in zip(("ann", "ben"), cell, strict=True)
    ]
    return Screening(pd.DataFrame({"record_id": ids, "title": "t"}), pd.DataFrame(rows))


def test_kappa_is_cohens() -> None:
    # By hand: of 50 records 20 included by both, 5 and 10 by one, 15 by none; observed 35/50,
    # by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5, so kappa = (0.7 - 0.5) / 0.5.
    row = pairs(20, 5, 10, 15).agreement.iloc[0]
    assert row["n"] == 50
    assert row["observed"] == pytest.approx(0.7, rel=1e-12)  # exact fractions
    assert row["kappa"] == pytest.approx(0.4, rel=1e-12)
    # Fleiss, Cohen & Everitt 1969, equation 13, worked with fractions:
    # [p00(1-(a+b)(1-k))²+... + (1-k)² Σ p_ij (b_i+a_j)² - (k - pe(1-k))²] / (n (1-pe)²)
    k, pe, n = 0.4, 0.5, 50
    p = [[20 / 50, 5 / 50], [10 / 50, 15 / 50]]
    rows, cols = (0.5, 0.5), (0.6, 0.4)
    a = sum(p[i][i] * (1 - (rows[i] + cols[i]) * (1 - k)) ** 2 for i in range(2))
    b = (1 - k) ** 2 * sum(
        p[i][j] * (cols[i] + rows[j]) ** 2 for i in range(2) for j in range(2) if i != j
    )
    se = ((a + b - (k - pe * (1 - k)) ** 2) / n) ** 0.5 / (1 - pe)
    assert row["ci_low"] == pytest.approx(0.4 - 1.959963984540054 * se, rel=1e-9)
    assert row["ci_high"] == pytest.approx(0.4 + 1.959963984540054 * se, rel=1e-9)


def test_full_agreement_and_one_word_throughout() -> None:
    full = pairs(5, 0, 0, 5).agreement.iloc[0]
    assert full[["observed", "kappa"]].tolist() == [1, 1]
    assert full[["ci_low", "ci_high"]].isna().all()
    none = pairs(0, 4, 0, 0).agreement.iloc[0]
    assert none[["observed", "kappa"]].tolist() == [0, 0]
    one = pairs(5, 0, 0, 0)
    assert one.agreement.loc[0, "observed"] == 1
    assert one.agreement[["kappa", "ci_low", "ci_high"]].isna().all(axis=None)
    assert "kappa not available" in repr(one)


def test_each_pair_of_screeners_has_its_own_agreement(tmp_path: Path) -> None:
    folder = review(tmp_path, 2)
    say(folder, "r1 ann include", "r1 ben include", "r2 ben exclude", "r2 cara include")
    table = screening(folder).agreement
    assert table[["one", "two", "n"]].to_numpy().tolist() == [["ann", "ben", 1], ["ben", "cara", 1]]


def test_an_empty_review_says_so(tmp_path: Path) -> None:
    state = screening(tmp_path)
    assert state.table.empty
    assert state.agreement.empty
    assert "no record" in repr(state)
    assert "<table" in state._repr_html_()


# The commands ------------------------------------------------------------------------------------


def run(*words: str, answers: str = "") -> str:
    app = typer.Typer()
    for command in (commands.search, commands.screen, commands.update, commands.prisma):
        app.command()(command)
    done = CliRunner().invoke(app, list(words), input=answers, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_review_goes_from_search_to_flow_by_commands_alone(tmp_path: Path) -> None:
    folder = str(new(tmp_path / "review"))
    assert "Searched: 4 records, 4 of them new" in run("search", "--data", folder)
    # ann: include, skip, exclude with a new reason, then stop.
    out = run("screen", "--data", folder, "--screener", "ann", answers="i\ns\ne\nno trial\nq\n")
    assert "2 decided; every answer is kept" in out
    assert "1 of 4, title abstract: r0001" in out
    assert "Stairs in a made-up trial" in out
    # She goes on where she stopped; what she skipped comes back, and her reason has a number.
    out = run("screen", "--data", folder, "--screener", "ann", answers="x\ne\n1\ni\n")
    assert "1 of 2, title abstract: r0002" in out
    ben = tmp_path / "ben.csv"
    rows = ["record_id,decision,reason", "r0001,include,", "r0002,include,"]
    rows += ["r0003,exclude,no trial", "r0004,include,"]
    ben.write_text("\n".join(rows), encoding="utf-8")
    for added in ("4", "0"):
        out = run("screen", "--data", folder, "--screener", "ben", "--from", str(ben))
        assert f"{added} decisions added from ben.csv" in out
    out = run("screen", "--data", folder, "--arbiter", "cara", answers="i\n")
    assert "ann: exclude (no trial); ben: include" in out
    assert [state(Path(folder), n) for n in (1, 2, 3, 4)] == [
        "include",
        "include",
        "exclude",
        "include",
    ]
    both = "i\nexample2001\nn\ne\nwrong outcome\n"
    for who in ("ann", "ben"):
        run("screen", "--data", folder, "--screener", who, "--stage", "full_text", answers=both)
    assert "kappa 1.00" in run("screen", "--data", folder, "--status")
    out = run("prisma", "--data", folder, "--out", str(tmp_path / "drawn" / "flow"))
    assert "PRISMA 2020 flow: 1 studies from 5 records" in out
    assert (tmp_path / "drawn" / "flow.svg").stat().st_size > 1000
    assert (tmp_path / "drawn" / "flow.png").stat().st_size > 1000
    assert "First run: 1 claim" in run("update", "--data", folder, "--dry-run")
    assert "First run: 1 claim" in run("update", "--data", folder)
    assert "Nothing changed in 1 claim" in run("update", "--data", folder)


def test_an_abstract_is_shown_where_it_is_at_hand_and_input_may_end(tmp_path: Path) -> None:
    folder = review(tmp_path, 2)
    (folder / "local").mkdir()
    (folder / "local" / "abstracts.csv").write_text("record_id,abstract\nr0001,What we saw.\n")
    out = run("screen", "--data", str(folder), "--screener", "ann", answers="i\n")
    assert "What we saw." in out
    assert "(no abstract at hand)" in out
    assert "1 decided" in out


def test_who_decides_must_be_said(tmp_path: Path) -> None:
    folder = str(review(tmp_path))
    with pytest.raises(RetroEvidenceError, match="who decides"):
        run("screen", "--data", folder)
    with pytest.raises(RetroEvidenceError, match="one person, one part"):
        run("screen", "--data", folder, "--screener", "ann", "--arbiter", "ben")
    short = tmp_path / "short.csv"
    short.write_text("record_id,decision\nr0001\n", encoding="utf-8")
    with pytest.raises(RetroEvidenceError, match=r"short.csv, line 2: has 1 cells where"):
        run("screen", "--data", folder, "--screener", "ann", "--from", str(short))

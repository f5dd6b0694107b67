"""The flow of records: counted from the logs, adding up at every moment, drawn as counted."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.logs import read_log, replace_log
from retroevidence.loaders.references import write_references
from retroevidence.loaders.screening import decide, screening
from retroevidence.loaders.strategies import search
from retroevidence.report.prisma import Prisma, flow_diagram, prisma
from retroevidence.report.style import save

SECOND = Path(__file__).resolve().parents[1] / "notebooks" / "second-review"
DAY = date(2026, 1, 31)


def review(folder: Path, works: int, twice: int) -> Path:
    """Make a review of two sources: all works in the first, some again in the second."""
    rows = [{"title": f"Work about topic {n:03d}", "doi": f"10.1/{n}"} for n in range(works)]
    write_references(pd.DataFrame(rows), folder / "one.ris")
    write_references(pd.DataFrame(rows[:twice]), folder / "two.ris")
    sources = (("s1", "database", "Index", "one"), ("s2", "register", "Register", "two"))
    replace_log(
        "strategies",
        [
            {"strategy_id": s, "kind": kind, "database": name, "file": f"{file}.ris"}
            for s, kind, name, file in sources
        ],
        folder,
    )
    search(folder, today=DAY)
    return folder


def texts(flow: Prisma) -> str:
    return "\n".join(text.get_text() for text in flow_diagram(flow).texts)


def test_the_second_review_is_counted_from_its_logs() -> None:
    flow = prisma(SECOND)
    assert flow.sources == {
        "database": {"Index A": 17, "Index B": 10},
        "other": {"Reference lists": 3},
    }
    assert (flow.identified, flow.duplicates, flow.screened, flow.waiting) == (30, 9, 21, 0)
    assert (flow.excluded, flow.sought, flow.not_retrieved) == (4, 17, 1)
    assert (flow.assessed, flow.reports, flow.studies) == (16, 14, 13)
    assert flow.reasons == {"earlier counts of a trial that is in": 2}
    assert flow.last_search == "2026-01-31"


def test_the_studies_included_are_those_of_the_tables() -> None:
    kept = screening(SECOND).table
    kept = kept[(kept["stage"] == "full_text") & (kept["state"] == "include")]
    studies = pd.read_csv(SECOND / "studies.csv")["study_id"]
    assert set(kept["study_id"]) == set(studies)


def test_counts_add_up_at_every_moment_of_a_screening(tmp_path: Path) -> None:
    """Decisions come in any order; after each one every box is what the boxes around it leave."""
    folder = review(tmp_path, 7, 3)
    draw = random.Random(7)
    seen = set()
    for _ in range(36):
        state = screening(folder)
        who = draw.choice(["ann", "ben"])
        waiting = state.waiting(who)
        if len(waiting):
            row = waiting.iloc[draw.randrange(len(waiting))]
            word = draw.choice(["include", "include", "exclude"])
            if row["stage"] == "full_text":
                word = draw.choice(["include", "exclude", "not_retrieved"])
            said = {"record_id": row["record_id"], "stage": row["stage"], "screener": who}
            reason = draw.choice(["no trial", "wrong outcome"])
            decide([said | {"decision": word, "reason": reason}], folder, today=DAY)
        elif len(state.conflicts):
            row = state.conflicts.iloc[0]
            said = {"record_id": row["record_id"], "stage": row["stage"], "screener": "cara"}
            told = {"decision": "exclude", "reason": "settled", "role": "arbiter"}
            decide([said | told], folder, today=DAY)
        flow = prisma(folder)
        assert flow.identified == 10 == sum(map(sum, (v.values() for v in flow.sources.values())))
        assert flow.identified - flow.duplicates == flow.screened + flow.waiting == 7
        assert flow.screened == flow.excluded + flow.sought
        assert flow.sought == flow.not_retrieved + flow.waiting_full_text + flow.assessed
        assert flow.assessed == sum(flow.reasons.values()) + flow.reports
        assert flow.studies <= flow.reports
        seen.add((flow.waiting, flow.waiting_full_text))
    assert len(seen) > 10


def test_counts_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    flow = prisma(review(tmp_path, 4, 2))
    for name in ("identified", "duplicates", "screened", "excluded", "assessed", "reports"):
        with pytest.raises(RetroEvidenceError, match="does not add up"):
            replace(flow, **{name: getattr(flow, name) + 1})


def test_a_log_changed_by_hand_is_refused(tmp_path: Path) -> None:
    folder = review(tmp_path, 4, 2)
    hits = read_log("hits", folder)
    replace_log("hits", hits.iloc[1:].to_dict("records"), folder)
    with pytest.raises(RetroEvidenceError, match="does not add up"):
        prisma(folder)
    replace_log("hits", hits.to_dict("records"), folder)
    replace_log("search_log", [], folder)
    with pytest.raises(RetroEvidenceError, match=r"search_log.csv has no run; run the search"):
        prisma(folder)


def test_reports_of_one_study_are_one_study(tmp_path: Path) -> None:
    folder = review(tmp_path, 3, 1)
    for stage in ("title_abstract", "full_text"):
        study = {"study_id": "kale2001"} if stage == "full_text" else {}
        for who in ("ann", "ben"):
            for n in (1, 2, 3):
                said = {"record_id": f"r000{n}", "stage": stage, "screener": who}
                own = study if n < 3 else {}
                decide([said | {"decision": "include"} | own], folder, today=DAY)
    flow = prisma(folder)
    assert (flow.reports, flow.studies) == (3, 2)


def test_every_count_is_drawn_and_no_text_leaves_its_box(tmp_path: Path) -> None:
    flow = prisma(SECOND)
    drawn = texts(flow)
    for box in (
        "Records identified (n = 30)",
        "Index A (n = 17)",
        "Duplicate records removed (n = 9)",
        "Records screened (n = 21)",
        "Reports not retrieved (n = 1)",
        "Studies included in review (n = 13)",
        "Reports of included studies (n = 14)",
    ):
        assert box in drawn
    assert "Waiting" not in drawn
    assert "Waiting for a decision (n = 4)" in texts(prisma(review(tmp_path, 4, 2)))
    assert_inside(flow)


def test_few_boxes_hold_the_names_of_their_phases(tmp_path: Path) -> None:
    replace_log("strategies", [], tmp_path)
    assert_inside(prisma(tmp_path))
    assert_inside(prisma(review(tmp_path, 4, 2)))


def assert_inside(flow: Prisma) -> None:
    ax = flow_diagram(flow)
    ax.figure.draw_without_rendering()
    boxes = [patch.get_window_extent() for patch in ax.patches if hasattr(patch, "get_boxstyle")]
    for text in ax.texts:
        if text.get_text():
            inner = text.get_window_extent()
            assert any(
                box.x0 <= inner.x0
                and inner.x1 <= box.x1
                and box.y0 <= inner.y0
                and inner.y1 <= box.y1
                for box in boxes
            ), text.get_text()


def test_the_same_flow_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        svg, png = save(flow_diagram(prisma(SECOND)), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == svg.read_bytes()
    assert (tmp_path / "a.png").read_bytes() == png.read_bytes()
    assert "Records identified (n = 30)" in svg.read_text(encoding="utf-8")


def test_it_shows_itself_and_gives_plain_values() -> None:
    flow = prisma(SECOND)
    assert repr(flow).startswith("PRISMA 2020 flow: 13 studies from 30 records")
    assert "<table" in flow._repr_html_()
    assert flow.to_dict()["sources"]["database"]["Index A"] == 17
    assert flow.counts.set_index("box").loc["records screened", "n"] == 21

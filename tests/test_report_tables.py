"""Summary tables: fixed columns, exact CSV, readable Markdown."""

from __future__ import annotations

import io
import math

import pandas as pd
import pytest

from retroevidence.claims.check import Checked, check
from retroevidence.loaders.tables import load
from retroevidence.meta.pool import pool
from retroevidence.report.cells import estimate_text, rung_estimate
from retroevidence.report.findings import find
from retroevidence.report.reproduce import all_tables
from retroevidence.report.summary_tables import (
    ANALYSES,
    CLAIMS,
    EFFECTS,
    POOLED,
    REVIEWS,
    RUNGS,
    summary_tables,
    weights,
)
from retroevidence.report.table import Table, plain_table

NAN = math.nan


def hand_made():
    """Return one claim with every part filled in, its texts as awkward as texts get."""
    frame = pd.DataFrame(
        {
            "study_id": ["chen2021", "joshi2019", "kajale_nd"],
            "comparison": ["chen2021", "joshi2019", "kajale_nd"],
            "outcome": "pain",
            "instrument": ["NRS", None, "VAS | 0-10"],
            "measure": "SMD",
            "yi": [-0.8878741, -2.1 / 3, NAN],
            "vi": [0.1372, 0.2, NAN],
            "lower": [NAN, NAN, -math.inf],
            "upper": [NAN, NAN, 0.0],
            "basis": ["reported", "derived", "bounded"],
            "how": ["means", "t", "line\nbreak"],
            "rung": ["effects", "effects", "directions"],
            "rows": ["a001;a002", "c001", "c002"],
            "locator": "abstract",
            "source_url": "https://example.org/a",
        }
    )
    result = pool(frame[frame["rung"] == "effects"])
    rungs = pd.DataFrame(
        {
            "rung": ["effects", "directions"],
            "k": [2, 3],
            "estimate": [result.estimate, 1.0],
            "ci_low": [result.ci.low, 0.29],
            "ci_high": [result.ci.high, 1.0],
            "p_value": [result.p_value, 0.25],
            "reading": ["a", "b"],
        }
    )
    analyses = pd.DataFrame(
        [["vs_forward", "none", 0, NAN, NAN, NAN, "no usable evidence", "nothing"]],
        columns=ANALYSES[1:],
    )
    shown = pd.DataFrame({"analysis": ["main"], "study_id": ["kajale_nd"], "reason": ["no values"]})
    reviews = pd.DataFrame(
        {
            "review_id": ["r01"], "study_id": ["lin2025"], "outcome": ["pain"],
            "contrast": ["backward vs control"], "measure": ["SMD"], "estimate": [-0.997],
            "ci_low": [-1.373], "ci_high": [-0.62], "why_it_differs": ["13 trials"],
            "source_url": ["https://example.org/r"], "locator": ["abstract"],
        }
    )  # fmt: skip
    return Checked(
        claim={"claim_id": "pain", "section": "Knee", "statement": "Less pain", "measure": "SMD"},
        verdict="inconclusive",
        reason="estimate -0.81",
        certainty="low",
        certainty_reasons=("starts high",),
        rung="effects",
        estimate=result.estimate,
        ci_low=result.ci.low,
        ci_high=result.ci.high,
        k=2,
        pooled=result,
        effects=frame,
        rungs=rungs,
        analyses={"vs_forward": None},
        analyses_table=analyses,
        shown=shown,
        reviews=reviews,
    )


@pytest.fixture(scope="module")
def made():
    return {table.name: table for table in summary_tables([hand_made()])}


def test_columns_stand_in_their_order(made):
    assert list(made["claims"].frame.columns) == CLAIMS
    assert list(made["effects"].frame.columns) == EFFECTS
    assert list(made["rungs"].frame.columns) == RUNGS
    assert list(made["pooled"].frame.columns) == POOLED
    assert list(made["reviews"].frame.columns) == REVIEWS


def test_columns_stay_when_nothing_is_there():
    for table in summary_tables([]):
        assert len(table.frame.columns) > 2
        assert table.csv().count("\n") == 1
        assert table.markdown().startswith(table.caption)


def test_csv_gives_every_number_back_exactly(made):
    frame = made["effects"].frame
    back = pd.read_csv(io.StringIO(made["effects"].csv()))
    for column in ("yi", "vi", "weight", "lower", "upper"):
        assert back[column].equals(frame[column].astype("float64"))


def test_weights_are_those_of_the_pooled_result(made):
    weights = made["effects"].frame["weight"]
    assert weights.sum() == pytest.approx(100.0, abs=1e-9)  # sum of two rounded shares
    assert math.isnan(weights.iloc[2])


def test_markdown_rounds_and_keeps_its_columns(made):
    text = made["effects"].markdown()
    lines = text.splitlines()
    body = lines[2:]
    # Every line of the table has the same number of unescaped bars.
    assert {line.replace("\\|", "").count("|") for line in body} == {10}
    assert "−0.89 [−1.61, −0.16]" in text
    assert "below 0.00" in text
    assert "line break" in text


def test_review_stands_beside_ours(made):
    row = made["reviews"].readable.iloc[0]
    assert row["review's estimate [95% CI]"] == "SMD -1.00 [-1.37, -0.62]"
    assert row["ours [95% CI]"] == estimate_text(
        "SMD", *made["claims"].frame.loc[0, ["estimate", "ci_low", "ci_high"]]
    )


def test_counted_claims_are_shares_whatever_they_measure():
    row = {"rung": "distribution", "estimate": 0.25, "ci_low": 0.1, "ci_high": 0.4}
    assert rung_estimate(row, "min") == "25.0% [10.0%, 40.0%]"


def test_written_files_are_utf8_with_plain_line_ends(tmp_path, made):
    made["claims"].write(tmp_path)
    for name in ("claims.csv", "claims.md"):
        data = (tmp_path / name).read_bytes()
        assert b"\r" not in data
        assert data.decode("utf-8").endswith("\n")


def test_not_counted_rows_are_kept_with_their_reason(made):
    assert made["not_counted"].readable.iloc[0].to_list() == [
        "pain", "kajale_nd", "main", "no values",
    ]  # fmt: skip


def test_readable_tables_show_no_nan(made):
    for table in made.values():
        assert "nan" not in table.markdown().lower().replace("finance", "")


def test_plain_table_keeps_missing_cells_empty():
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [None, "x"]})
    made = plain_table("x", "c", frame)
    assert isinstance(made, Table)
    assert made.readable.to_numpy().tolist() == [["1", ""], ["", "x"]]


@pytest.fixture(scope="module")
def library():
    return {table.name: table for table in all_tables(find())}


def test_ladder_has_every_row_and_its_counts_add_up(library):
    ladder, counts = library["ladder"].frame, library["ladder_counts"].frame
    assert set(ladder["row_id"]) == {*load("arms")["arm_id"], *load("contrasts")["contrast_id"]}
    assert ladder["row_id"].is_unique
    assert ladder["rung"].notna().all()
    assert ladder["how"].str.len().gt(0).all()
    counts = counts.set_index("outcome")
    total, parts = counts.loc["all"], counts.drop("all")
    assert total["rows"] == len(ladder)
    for column in ("rows", "excluded", "not_an_effect", "in_results"):
        assert parts[column].sum() == total[column]
    rungs = ["reported", "derived", "bounded", "imputed", "unusable"]
    assert (counts[rungs].sum(axis=1) == counts["results"]).all()


def test_flags_and_their_counts_agree(library):
    flags, counts = library["integrity"].frame, library["integrity_counts"].frame
    counts = counts.set_index("check")
    assert counts.loc["all", "flag"] == len(flags)
    assert flags["check"].value_counts().to_dict() == {
        check: n for check, n in counts.drop("all")["flag"].items() if n
    }
    assert (counts[["consistent", "flag", "not assessable"]].sum(axis=1) == counts["checks"]).all()
    assert flags["arithmetic"].str.len().gt(0).all()


def test_shares_of_the_multiverse_are_shares_of_all_analyses(library):
    frame = library["multiverse"].frame.query("distinct > 0")
    assert len(frame)
    sides = ["for", "against", "below", "within", "above"]
    # An estimate of exactly 0 is on no side, so a sum may fall short of 1, by little.
    sums = frame[[f"share_{side}" for side in sides]].sum(axis=1)
    assert sums.between(0.99, 1.0 + 1e-12).all()
    assert (frame["combinations"] >= frame["distinct"]).all()
    assert (frame["lowest"] <= frame["median"]).all()
    assert (frame["median"] <= frame["highest"]).all()
    assert frame["matters_most"].notna().all()


def test_leave_one_out_is_there_for_three_or_more(library):
    frame = library["leave_one_out"].frame
    assert len(frame)
    assert (frame["k"] >= 2).all()
    assert (frame["ci_low"] <= frame["estimate"]).all()
    assert (frame["estimate"] <= frame["ci_high"]).all()


def test_library_tables_read_without_nan(library):
    for name in ("ladder_counts", "integrity", "integrity_counts", "verdicts_without_flagged",
                 "reviews_redone", "cochrane_redone", "multiverse", "leave_one_out"):  # fmt: skip
        text = library[name].markdown()
        assert text.startswith(library[name].caption)
        assert " nan " not in text.lower()
        assert "<NA>" not in text


def test_weights_are_those_of_the_headline():
    checked = check("knee_pain")
    assert checked.rung == "effects and bounds"
    # The weights of exact and bounded rows together are the whole.
    assert weights(checked).sum() == pytest.approx(100.0, abs=1e-9)
    assert weights(checked).notna().sum() == checked.k

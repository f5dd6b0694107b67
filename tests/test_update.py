"""What changed since last time, and why; and a second review, of another topic, from end to end."""

from __future__ import annotations

import json
import math
import re
import shutil
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

import retroevidence as rv
from retroevidence.claims.trace import trace
from retroevidence.claims.update import Update, compare, state, update
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.refresh import refresh
from retroevidence.loaders.rules import validate
from retroevidence.loaders.scaffold import new
from retroevidence.loaders.strategies import search

SECOND = Path(__file__).resolve().parents[1] / "notebooks" / "second-review"
GOLDEN = json.loads((Path(__file__).parent / "golden" / "acceptance.json").read_text("utf-8"))
DAY = date(2026, 1, 31)


@pytest.fixture
def review(tmp_path: Path) -> Path:
    return new(tmp_path / "review")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SECOND, tmp_path / "second"))


def edit(folder: Path, table: str, key: str, row: str, **cells: object) -> None:
    """Change cells of one row, as a person with an editor would."""
    path = folder / f"{table}.csv"
    frame = pd.read_csv(path, dtype="string")
    for name, value in cells.items():
        frame.loc[frame[key] == row, name] = str(value)
    frame.to_csv(path, index=False)
    refresh(folder)


def drop(folder: Path, table: str, key: str, row: str) -> None:
    path = folder / f"{table}.csv"
    frame = pd.read_csv(path, dtype="string")
    frame[frame[key] != row].to_csv(path, index=False)
    refresh(folder)


def only(found: Update) -> pd.Series:
    assert len(found.changed) == 1
    return found.changed.iloc[0]


def test_the_first_run_says_so_and_the_second_that_nothing_changed(review: Path) -> None:
    first = update(review, today=DAY)
    assert first.first
    assert repr(first).startswith("First run: 1 claim, nothing to compare with")
    again = update(review)
    assert not again.first
    assert again.before == "snapshot.json of 2026-01-31"
    assert repr(again) == "Nothing changed in 1 claim\n  since  snapshot.json of 2026-01-31"
    assert again.results.empty
    assert again.table.loc[0, "change"] == "none"


def test_a_result_that_entered_is_named_with_old_and_new_numbers(review: Path) -> None:
    whole = rv.check("example_claim", review)
    lines = (review / "selection.csv").read_text(encoding="utf-8")
    drop(review, "selection", "study_id", "example2003")
    fewer = rv.check("example_claim", review)
    update(review, today=DAY)
    (review / "selection.csv").write_text(lines, encoding="utf-8")
    found = update(review, keep=False)
    row = only(found)
    assert (row["estimate_before"], row["estimate"]) == (fewer.estimate, whole.estimate)
    assert (row["ci_low_before"], row["ci_high"]) == (fewer.ci_low, whole.ci_high)
    assert (row["k_before"], row["k"], row["why"]) == (2, 3, "entered: example2003")
    assert "example_claim: " in repr(found)
    assert "k 2 → 3" in repr(found)
    assert "example2003" in found._repr_html_()
    # Nothing was kept, so the next run says the same.
    assert only(update(review, keep=False))["why"] == "entered: example2003"


def test_a_verdict_that_turns_is_told_with_the_row_that_changed(review: Path) -> None:
    update(review, today=DAY)
    edit(review, "arms", "arm_id", "a001", mean=9.0)
    row = only(update(review))
    assert row["change"] == "verdict"
    assert row["verdict"] != row["verdict_before"]
    assert row["why"].startswith("changed: example2001 (")
    assert "yi " in row["why"]


def test_a_result_that_left_and_a_claim_that_was_reworded(review: Path) -> None:
    update(review, today=DAY)
    drop(review, "selection", "study_id", "example2001")
    edit(review, "claims", "claim_id", "example_claim", smallest=0.5)
    row = only(update(review))
    assert row["why"] == "left: example2001; the claim itself: smallest 0.2 → 0.5"


def test_claims_that_are_new_or_gone(review: Path) -> None:
    before = state(review, today=DAY)
    after = {**before, "claims": {}}
    assert compare(before, after).table.loc[0, "change"] == "gone"
    assert compare(after, before).table.loc[0, ["change", "why"]].tolist() == [
        "new",
        "the claim is new",
    ]


def test_other_numbers_from_the_same_results_point_to_the_release(review: Path) -> None:
    now = state(review, today=DAY)
    before = json.loads(json.dumps(now))
    before["claims"]["example_claim"]["estimate"] += 0.01
    before["version"] = "0.0.1"
    why = only(compare(before, now))["why"]
    assert why == f"same results; the library changed from 0.0.1 to {now['version']}"
    before["version"] = now["version"]
    assert "same results and the same release" in only(compare(before, now))["why"]


def test_last_digits_of_another_machine_are_no_change(review: Path) -> None:
    now = state(review, today=DAY)
    before = json.loads(json.dumps(now))
    before["claims"]["example_claim"]["estimate"] *= 1 + 1e-12
    assert compare(before, now).changed.empty


def test_it_compares_with_the_numbers_of_a_reproduction_too(review: Path) -> None:
    shown = state(review)["claims"]
    rows = [
        {"claim_id": "example_claim", "comparison": key, **result}
        for key, result in shown["example_claim"]["results"].items()
    ]
    numbers = {
        "claims": {key: {k: v for k, v in c.items() if k != "results"} for key, c in shown.items()},
        "tables": {"effects": rows},
        "versions": {"retroevidence": state(review)["version"]},
    }
    path = review.parent / "results.json"
    path.write_text(json.dumps(numbers), encoding="utf-8")
    assert update(review, against=path, keep=False).changed.empty
    drop(review, "selection", "study_id", "example2003")
    found = update(review, against=path, keep=False)
    assert found.before == "results.json"
    assert only(found)["why"] == "left: example2003"
    assert not (review / "snapshot.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("{}", "holds no verdicts"), ("[1]", "holds no verdicts")],
)
def test_a_broken_snapshot_is_refused_and_stays(review: Path, text: str, message: str) -> None:
    path = review / "snapshot.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RetroEvidenceError, match=message):
        update(review)
    assert path.read_text(encoding="utf-8") == text
    with pytest.raises(RetroEvidenceError, match="cannot be read"):
        update(review, against=review / "none.json")


def test_claims_that_count_are_compared_by_what_they_count() -> None:
    harms = state()["claims"]["safety"]["results"]
    assert len(harms) == len(rv.check("safety").effects)
    assert {"n", "adverse_events"} <= set(next(iter(harms.values())))


# The second review ------------------------------------------------------------------------------


def test_the_second_review_is_valid_and_its_counts_are_the_published_ones() -> None:
    assert validate(SECOND).empty
    arms, inputs = rv.load("arms", SECOND), GOLDEN["bcg_inputs"]
    for role, events, others in (("experimental", "tpos", "tneg"), ("comparator", "cpos", "cneg")):
        own = arms[arms["role"] == role]
        assert own["events"].tolist() == inputs[events]
        assert (own["n"] - own["events"]).tolist() == inputs[others]
    studies = rv.load("studies", SECOND)
    assert studies["latitude"].tolist() == inputs["ablat"]
    assert (arms["source_url"].str.startswith("https://")).all()


def test_its_verdicts_rest_on_the_published_pooled_result() -> None:
    checked = rv.check("bcg_protects", SECOND)
    golden = GOLDEN["bcg"]["REML_adhoc"]
    # metafor 5.1-12, rma(measure="RR", test="adhoc"); a root found to 1e-8 on both sides.
    for name, value in (("estimate", "beta"), ("ci_low", "lb"), ("ci_high", "ub")):
        assert getattr(checked, name) == pytest.approx(golden[value], rel=1e-7)
    verdicts = rv.check_all(SECOND).set_index("claim_id")["verdict"]
    assert verdicts.to_dict() == {
        "bcg_protects": "leans supported",
        "bcg_far": "supported",
        "bcg_near": "leans supported",
        "bcg_harmless": "no usable evidence",
    }


def test_its_slope_over_latitude_is_the_published_one() -> None:
    effects = rv.effects("tuberculosis", measure="RR", data=SECOND)
    effects = effects.merge(rv.load("studies", SECOND)[["study_id", "latitude"]], on="study_id")
    slope = rv.pool(effects, mods="~ latitude").coefficients.iloc[1]
    golden = GOLDEN["bcg_reg"]["ablat_knha"]
    # metafor 5.1-12, rma(yi, vi, mods = ~ ablat, test = "knha").
    assert slope["estimate"] == pytest.approx(golden["beta"][1], rel=1e-7)
    assert slope["p_value"] == pytest.approx(golden["p"][1], rel=1e-6)


def test_every_number_of_it_is_traced_and_its_references_audited() -> None:
    rows = trace(rv.check("bcg_protects", SECOND), SECOND)
    assert len(rows) == 13
    assert rows.loc[0, "how"].startswith("4 of 123 against 11 of 139")
    assert rows["locator"].tolist() == [f"dat.bcg, trial {n}" for n in range(1, 14)]
    assert math.isclose(rows["weight"].sum(), 100)
    verdicts = rv.audit(SECOND / "references.txt", data=SECOND)["verdict"].tolist()
    assert verdicts == ["verified", "verified", "mis-cited", "not located"]


def test_nothing_changed_in_it_since_its_snapshot_and_no_search_finds_more(second: Path) -> None:
    assert update(second, keep=False).changed.empty
    found = search(second, strategies=["index_a", "index_b", "lists"], today=DAY)
    assert found.added.empty
    assert found.log["new"].sum() == 0


def test_a_trial_that_is_taken_out_of_it_is_told(second: Path) -> None:
    drop(second, "selection", "study_id", "hart1977")
    found = update(second, keep=False)
    assert set(found.changed["claim_id"]) == {"bcg_protects", "bcg_far"}
    assert (found.changed["why"] == "left: hart1977").all()


@pytest.mark.slow
def test_it_reproduces(second: Path, tmp_path: Path) -> None:
    results = rv.reproduce(second, out=tmp_path / "results")
    found = json.loads((results / "results.json").read_text(encoding="utf-8"))
    assert list(found["claims"]) == ["bcg_far", "bcg_harmless", "bcg_near", "bcg_protects"]
    assert "BCG vaccination" in (results / "report.html").read_text(encoding="utf-8")
    assert (results / "figures" / "bcg_protects-forest.svg").exists()
    assert update(second, against=results / "results.json", keep=False).changed.empty


@pytest.mark.parametrize(("low", "high", "inside"), [(0.4, 0.6, True), (0.05, 0.3, False)])
def test_a_claimed_range_of_a_risk_ratio_is_compared_on_the_log_scale(tmp_path, low, high, inside):
    review = Path(shutil.copytree(SECOND, tmp_path / "review"))
    table = pd.read_csv(review / "claims.csv", dtype="string")
    at = table["claim_id"] == "bcg_protects"
    table.loc[at, ["kind", "claimed_low", "claimed_high"]] = ["range", str(low), str(high)]
    table.to_csv(review / "claims.csv", index=False)
    refresh(review)
    checked = rv.check("bcg_protects", review)
    # The pooled risk ratio is 0.49 (acceptance case A1: log ratio -0.7145).
    share = float(re.search(r"probability of (\d+)%", checked.reason)[1])
    assert (share > 50) is inside, checked.reason


def test_a_ratio_of_zero_is_refused(tmp_path):
    review = Path(shutil.copytree(SECOND, tmp_path / "review"))
    table = pd.read_csv(review / "claims.csv", dtype="string")
    table.loc[table["claim_id"] == "bcg_protects", "smallest"] = "0"
    table.to_csv(review / "claims.csv", index=False)
    refresh(review)
    with pytest.raises(RetroEvidenceError, match="write a ratio above 0"):
        rv.check("bcg_protects", review)

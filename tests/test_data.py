"""Do the shipped tables keep their record, and can the rows be true?"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter, defaultdict
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from retroevidence.loaders.tables import load

DATA = Path(__file__).parents[1] / "data"
RECORD: dict[str, Any] = json.loads((DATA / "datapackage.json").read_text(encoding="utf-8"))
RESOURCES = {resource["name"]: resource for resource in RECORD["resources"]}
EVIDENCE = ("studies", "arms", "contrasts", "reviews", "safety")
KEYS = {
    "studies": "study_id",
    "arms": "arm_id",
    "contrasts": "contrast_id",
    "reviews": "review_id",
    "safety": "safety_id",
    "agreement": "agreement_id",
}

Row = dict[str, str]


def read(name: str) -> list[Row]:
    """Read a table as text, exactly as it stands."""
    with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


TABLES = {name: read(name) for name in KEYS}
BY_ID = {name: {row[key]: row for row in TABLES[name]} for name, key in KEYS.items()}


# --- the record ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RESOURCES)
def test_bytes_hash_rows_and_columns_are_those_of_the_record(name: str) -> None:
    entry = RESOURCES[name]
    raw = (DATA / entry["path"]).read_bytes()
    assert entry["bytes"] == len(raw)
    assert entry["hash"] == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    rows = list(csv.reader(raw.decode("utf-8").splitlines(keepends=True), strict=True))
    assert entry["rows"] == len(rows) - 1
    assert rows[0] == [field["name"] for field in entry["schema"]["fields"]]


@pytest.mark.parametrize("name", RESOURCES)
def test_files_are_plain_utf8_with_unix_line_ends(name: str) -> None:
    raw = (DATA / f"{name}.csv").read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    cells = [cell for row in read(name) for cell in row.values()]
    assert not [cell for cell in cells if cell != cell.strip() or "\n" in cell]


@pytest.mark.parametrize("name", RESOURCES)
def test_a_table_keeps_every_rule_of_its_record(name: str) -> None:
    # load() checks types, enums, ranges, patterns, unique and foreign keys, and raises.
    assert len(load(name)) == RESOURCES[name]["rows"]


def test_every_table_in_the_directory_is_in_the_record_and_fully_described() -> None:
    assert {path.name for path in DATA.glob("*.csv")} == {r["path"] for r in RESOURCES.values()}
    for entry in RESOURCES.values():
        assert entry["title"]
        assert entry["description"]
        assert entry["schema"]["missingValues"] == [""]
        for field in entry["schema"]["fields"]:
            assert field["description"], (entry["name"], field["name"])
    assert RECORD["licenses"][0]["name"] == "CC-BY-4.0"
    assert RECORD["sources"]


def test_evidence_tables_point_to_studies() -> None:
    for name in (*EVIDENCE[1:], "agreement", "selection"):
        keys = RESOURCES[name]["schema"]["foreignKeys"]
        assert {"resource": "studies", "fields": "study_id"} in [key["reference"] for key in keys]


# --- nothing is lost -------------------------------------------------------------------------


def test_the_collection_has_the_promised_size() -> None:
    assert len(TABLES["studies"]) >= 200
    assert len(TABLES["arms"]) >= 200
    assert len(TABLES["contrasts"]) >= 550
    assert len(TABLES["reviews"]) >= 40
    assert len(TABLES["safety"]) >= 18


@pytest.mark.parametrize("name", [name for name in KEYS if name != "studies"])
def test_ids_are_numbered_without_gap(name: str) -> None:
    letter, width = RESOURCES[name]["schema"]["fields"][0]["constraints"]["pattern"].split("\\d")
    wanted = [f"{letter}{n:0{int(width[1])}d}" for n in range(1, len(TABLES[name]) + 1)]
    assert [row[KEYS[name]] for row in TABLES[name]] == wanted


@pytest.mark.parametrize("name", EVIDENCE)
def test_excluded_rows_have_a_reason_and_the_others_none(name: str) -> None:
    for row in TABLES[name]:
        assert row["exclude"] in ("yes", "no")
        assert bool(row["exclude_reason"]) == (row["exclude"] == "yes"), row[KEYS[name]]


@pytest.mark.parametrize("name", EVIDENCE[1:])
def test_no_row_of_an_excluded_study_is_in_use(name: str) -> None:
    studies = BY_ID["studies"]
    used = [row for row in TABLES[name] if row["exclude"] == "no"]
    assert not [r for r in used if studies[r["study_id"]]["exclude"] == "yes"]


def test_a_row_left_out_as_a_double_names_a_row_of_the_same_table() -> None:
    for name in EVIDENCE[1:]:
        for row in TABLES[name]:
            if row["exclude_reason"].startswith("same result as"):
                kept = re.findall(r"[acr]\d{2,3}", row["exclude_reason"])
                assert kept
                assert set(kept) <= set(BY_ID[name])


@pytest.mark.parametrize("name", EVIDENCE)
def test_every_row_says_where_it_was_read(name: str) -> None:
    for row in TABLES[name]:
        assert re.match(r"https?://|no address: ", row["source_url"]), row[KEYS[name]]
        assert row["locator"], row[KEYS[name]]


# Values as printed on the page named by the row: a rewrite that reformats numbers would fail here.
PRINTED = {
    ("arms", "a031", "mean"): "3.026",  # thesis record, change in kg (decimal comma on the page)
    ("arms", "a114", "mean"): "3.0",  # flynn1995, body weights
    ("arms", "a129", "sd"): "13.29",  # Cochrane CD004376.pub4 analysis 1.2
    ("arms", "a130", "mean"): "3.53",  # Cochrane CD004376.pub4 analysis 1.1
    ("arms", "a152", "mean"): "23.6",  # kim2001, ml/kg/min backward
    ("arms", "a154", "mean"): "15.9",  # kim2001, ml/kg/min forward
    ("contrasts", "c193", "estimate"): "-0.892258",  # Cochrane CD004376.pub4 analysis 1.1
    ("contrasts", "c325", "p_value"): "1e-05",  # hooper2004, p < .00001
    ("contrasts", "c383", "t_value"): "15.365",  # kale2014
    ("contrasts", "c404", "f_value"): "-12.09",  # kim2017, with the printed minus sign
    ("contrasts", "c504", "estimate"): "41",  # node08826885, upper end of the range
    ("reviews", "r29", "ci_low"): "-1.373",  # lin2025
    ("safety", "s05", "adverse_events"): "3",  # Cochrane CD004376.pub4 analysis 1.6
}


@pytest.mark.parametrize(("table", "row", "column"), PRINTED)
def test_numbers_stand_as_printed(table: str, row: str, column: str) -> None:
    assert BY_ID[table][row][column] == PRINTED[table, row, column]


# --- can the numbers be true? ----------------------------------------------------------------

# Two of the sound p-values are printed as 0.000.
PRINTED_AS_ZERO = {"c406", "c557"}


def test_p_values_lie_between_0_and_1_and_say_how_they_are_printed() -> None:
    for name in ("contrasts", "reviews"):
        for row in TABLES[name]:
            assert bool(row["p_value"]) == bool(row["p_op"]), row[KEYS[name]]
            if row["p_value"]:
                least = 0.0 if row[KEYS[name]] in PRINTED_AS_ZERO else 1e-300
                assert least <= float(row["p_value"]) <= 1.0, row[KEYS[name]]


#: Limits that do not surround their estimate evenly: sign slips of the print, so not in use.
UNEVEN = {
    "r15": "chen2020a: upper limit printed as -0.08, the p of 0.10 asks for a limit above zero",
    "r16": "chen2020a: upper limit printed as 0.16, the p of 0.001 asks for a limit below zero",
}


def half_unit(cell: str) -> float:
    """Return half a unit of the last printed digit."""
    return 0.5 * 10.0 ** -len(cell.partition(".")[2])


def uneven(row: Row) -> bool:
    """Tell whether an estimate is off the middle of its limits by more than rounding allows."""
    low, estimate, high = (float(row[c]) for c in ("ci_low", "estimate", "ci_high"))
    rounding = half_unit(row["estimate"]) + max(half_unit(row["ci_low"]), half_unit(row["ci_high"]))
    # 2 % of the width: t-based limits of a Hedges g are not quite symmetric.
    return abs(estimate - (low + high) / 2) > rounding + 0.02 * (high - low)


def test_confidence_limits_surround_their_estimate() -> None:
    found = set()
    for name in ("contrasts", "reviews"):
        for row in TABLES[name]:
            assert bool(row["ci_low"]) == bool(row["ci_high"])
            if not row["ci_low"]:
                continue
            assert float(row["ci_low"]) < float(row["ci_high"]), row[KEYS[name]]
            if row["estimate"]:
                assert float(row["ci_low"]) <= float(row["estimate"]) <= float(row["ci_high"])
                if uneven(row):
                    found.add(row[KEYS[name]])
    assert found == set(UNEVEN)
    assert all(BY_ID["reviews"][review]["exclude"] == "yes" for review in UNEVEN)


#: Pairs of arms with one SD more than three times the other: an SE taken for an SD looks so.
#: Each was read again; a new pair has to be looked at and named here.
ODD_SPREAD = {
    ("a033", "a036"): "anonmsse2012: young against older adults, older ones spread more",
    ("a112", "a113"): "flynn1995: 192 N does not fit 0.6 body weights; excluded",
    ("a172", "a173"): "masumoto2005: current in the water, read twice",
    ("a172", "a174"): "masumoto2005: current in the water, read twice",
    ("a237", "a238"): "yang2005: symmetry index, change scores",
}


def test_spreads_that_look_like_standard_errors_are_known() -> None:
    like = defaultdict(list)
    doubles = {row["dropped_row"] for row in TABLES["agreement"]}
    for row in TABLES["arms"]:
        if row["sd"] and row["arm_id"] not in doubles:
            same = ("study_id", "outcome", "instrument", "unit", "timepoint", "timepoint_weeks")
            like[tuple(row[column] for column in same)].append(row)
    flagged = set()
    for rows in like.values():
        for one, other in combinations(rows, 2):
            small, large = sorted((float(one["sd"]), float(other["sd"])))
            if large > 3 * small:
                flagged.add((one["arm_id"], other["arm_id"]))
    assert flagged == set(ODD_SPREAD)


def test_group_sizes_fit_the_study() -> None:
    for row in TABLES["contrasts"]:
        total = BY_ID["studies"][row["study_id"]]["n_total"]
        if total and row["n_experimental"]:
            sizes = int(row["n_experimental"])
            if row["kind"] == "between_groups":
                sizes += int(row["n_comparator"] or 0)
            assert sizes <= int(total), row["contrast_id"]


# --- do the codes agree with each other? -----------------------------------------------------


def test_who_did_better_agrees_with_the_direction() -> None:
    better = {"better": "higher", "worse": "lower"}
    other = {"higher": "lower", "lower": "higher"}
    for row in TABLES["contrasts"]:
        if row["favours"] in ("experimental", "comparator") and row["higher_is"] in better:
            wanted = better[row["higher_is"]]
            if row["favours"] == "comparator":
                wanted = other[wanted]
            assert row["direction"] == wanted, row["contrast_id"]
        if row["direction"] == "none":
            assert row["favours"] == "neither", row["contrast_id"]
        if row["favours"] == "neither":
            # A size that is called not significant keeps the sign of its estimate.
            assert row["direction"] == "none" or row["estimate"], row["contrast_id"]


def test_the_direction_has_the_sign_of_the_estimate_and_of_t() -> None:
    signs = {"higher": 1, "lower": -1}
    for row in TABLES["contrasts"]:
        for column in ("estimate", "t_value"):
            if row[column] and row["direction"] in signs:
                assert float(row[column]) * signs[row["direction"]] > 0, row["contrast_id"]


def test_kind_fits_the_pairing() -> None:
    paired = {"within_person": "yes", "within_group_change": "yes", "between_groups": "no"}
    for row in TABLES["contrasts"]:
        assert row["paired"] == paired.get(row["kind"], row["paired"]), row["contrast_id"]
        if row["paired"] == "yes" and row["n_experimental"] and row["n_comparator"]:
            assert row["n_experimental"] == row["n_comparator"], row["contrast_id"]


def test_changes_within_a_group_are_not_called_comparisons_of_groups() -> None:
    for row in TABLES["contrasts"]:
        if row["contrast"].startswith("post vs pre"):
            assert row["kind"] == "within_group_change", row["contrast_id"]
        if row["kind"] == "within_person":
            assert "vs" in row["contrast"], row["contrast_id"]
            assert row["timepoint"] == "acute", row["contrast_id"]


def test_the_better_end_of_an_instrument_is_the_same_in_both_tables() -> None:
    ends: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for name in ("arms", "contrasts"):
        for row in TABLES[name]:
            # A size of a reduction (alghadir2019) is better the larger, unlike its scale.
            if row["higher_is"] in ("better", "worse") and "reduction" not in row["unit"]:
                ends[row["study_id"], row["outcome"], row["instrument"]].add(row["higher_is"])
    assert not [key for key, values in ends.items() if len(values) > 1]


# --- what was read twice ---------------------------------------------------------------------


def results(rows: list[Row]) -> int:
    """Count the results behind rows of the agreement table."""
    return len({(row["kind"], row["kept_row"], row["dropped_row"]) for row in rows})


def test_the_blind_second_reading_is_there() -> None:
    rows = [row for row in TABLES["agreement"] if row["reading"] == "blind second reading"]
    values = [row for row in rows if row["field"] != "direction"]
    # 42 results of 40 studies drawn at random, 81 fields, 3 of them with the sign turned.
    assert (results(rows), len({row["study_id"] for row in rows}), len(values)) == (42, 40, 81)
    assert Counter(row["status"] for row in values) == {
        "exact": 73,
        "sign convention": 3,
        "one reader only": 5,
    }


def same_reading(first: str, second: str) -> bool:
    """Tell whether two cells say the same: equal words, or an equal sign and number."""
    one, two = (cell.rpartition(" ") for cell in (first, second))
    try:
        return one[0] == two[0] and float(one[2]) == float(two[2])
    except ValueError:
        return first == second


def test_status_is_what_the_two_readings_show() -> None:
    for row in TABLES["agreement"]:
        first, second = row["first"], row["second"]
        match row["status"]:
            case "exact":
                assert same_reading(first, second), row["agreement_id"]
            case "one reader only":
                assert bool(first) != bool(second), row["agreement_id"]
            case "sign convention":
                assert {abs(float(first)), abs(float(second))} <= {0.99, 0.37, 1.61}
            case _:
                assert first
                assert second
                assert first != second, row["agreement_id"]


def test_of_two_readings_one_row_stands() -> None:
    tables = {"arm": "arms", "contrast": "contrasts", "review": "reviews"}
    for row in TABLES["agreement"]:
        rows = BY_ID[tables[row["kind"]]]
        assert row["kept_row"] in rows
        if row["dropped_row"]:
            dropped = rows[row["dropped_row"]]
            assert dropped["exclude"] == "yes"
            assert row["kept_row"] in dropped["exclude_reason"], row["agreement_id"]


def test_the_counts_in_the_readme_are_those_of_the_tables() -> None:
    text = (DATA / "README.md").read_text(encoding="utf-8")
    for name in EVIDENCE:
        out = sum(row["exclude"] == "yes" for row in TABLES[name])
        assert re.search(rf"^\| {name} \|.*\| {len(TABLES[name])} \| {out} \|$", text, re.M), name
    for reading in ("two extractors", "blind second reading"):
        rows = [row for row in TABLES["agreement"] if row["reading"] == reading]
        status = Counter(row["status"] for row in rows)
        counts = [len({row["study_id"] for row in rows}), results(rows), len(rows)]
        counts += [status[s] for s in ("exact", "sign convention", "different", "one reader only")]
        assert f"| {reading} | {' | '.join(map(str, counts))} |" in text


# --- what enters an analysis -----------------------------------------------------------------


def test_the_selection_names_rows_of_its_study_and_counts_no_excluded_one() -> None:
    letters = {"a": "arms", "c": "contrasts", "r": "reviews", "s": "safety"}
    for row in read("selection"):
        named = [*row["experimental"].split(";"), *row["comparator"].split(";")]
        for key in filter(None, [*named, *row["contrast"].split(";")]):
            found = BY_ID[letters[key[0]]][key]
            assert found["study_id"] == row["study_id"], (row["claim_id"], key)
            if row["enters"] != "shown":
                assert found["exclude"] == "no", (row["claim_id"], row["analysis"], key)
        if row["enters"] != "shown":
            study = BY_ID["studies"][row["study_id"]]
            assert study["exclude"] == "no", (row["claim_id"], row["study_id"])


# --- words -----------------------------------------------------------------------------------

MACHINE = re.compile(r"(^|[\s\"'(])/(work|root|tmp|home|Users)/|[A-Z]:\\")
CHATTER = re.compile(r"\b(I|me|my|we|excerpt|first reading|second reading:|extractor's)\b")


def test_no_machine_path_in_any_file() -> None:
    for path in DATA.iterdir():
        assert not MACHINE.search(path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("name", EVIDENCE)
def test_notes_are_in_plain_words(name: str) -> None:
    for row in TABLES[name]:
        for column in ("note", "exclude_reason"):
            assert not CHATTER.search(row[column]), (row[KEYS[name]], row[column])
            assert "  " not in row[column]


def test_columns_shared_by_tables_are_declared_alike() -> None:
    # One word, one meaning: the allowed values of a shared column are the same everywhere.
    shared = defaultdict(list)
    for name in EVIDENCE:
        for field in RESOURCES[name]["schema"]["fields"]:
            if enum := field.get("constraints", {}).get("enum"):
                shared[field["name"]].append(enum)
    for column in ("task", "extractor", "outcome", "timepoint", "higher_is", "p_op", "exclude"):
        assert len(shared[column]) > 1
        assert all(one == two for one, two in pairwise(shared[column])), column

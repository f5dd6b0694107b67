"""The ladder over the whole library: on which rung every located number stands, and why."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.claims.evidence import Data
from retroevidence.effects.assemble import COLUMNS as EFFECT_COLUMNS
from retroevidence.effects.assemble import assemble
from retroevidence.effects.comparisons import MATCHED_ON
from retroevidence.effects.measures import effect_size
from retroevidence.loaders.tables import load

REPORTED, DERIVED, BOUNDED, IMPUTED, UNUSABLE = RUNGS = (
    "reported", "derived", "bounded", "imputed", "unusable",
)  # fmt: skip

#: Kinds of contrast that are an effect of the experimental condition.
EFFECT_KINDS = ("between_groups", "within_person")

#: Designs whose arms are the same people under two conditions.
SAME_PEOPLE = ("within_subject", "crossover")

#: Two SMD nearer than this are one result printed twice.
SAME_SMD = 0.01

COLUMNS = (
    "table row_id study_id outcome task kind effect_of_condition measure partners rung how source "
    "yi vi lower upper result excluded exclude_reason"
).split()

COUNT_COLUMNS = (
    "outcome rows excluded not_an_effect in_results results reported derived bounded imputed "
    "unusable sign_only rescued rescued_share"
).split()


def ladder(data: Data = None) -> pd.DataFrame:
    """Say how far each row of arms and contrasts leads to an effect size: its rung, and why.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.

    Returns
    -------
    DataFrame
        One row per row of arms and of contrasts, excluded ones too.

        - ``table row_id study_id outcome task``: which row.
        - ``kind``: of a contrast as in the tables; of an arm ``pair`` (both conditions are there),
          ``before_after`` (one group twice) or ``single``.
        - ``effect_of_condition``: yes or no; a change within one group, a difference between
          populations or a single arm is no effect of backward walking, whatever its rung.
        - ``measure``: the scale on which the row says most: SMD or MD for two groups, ROMC or SMCC
          for the same people twice.
        - ``partners``: the other rows of the same result, joined by ``;``.
        - ``rung``: reported, derived, bounded or unusable; never imputed, because an assumption
          has to be asked for by name.
        - ``how``, ``source``: the step in words, and the keys of its formulas in
          ``references.bib``, joined by ``;``.
        - ``yi vi lower upper``: what the rung gives, experimental minus comparator.
        - ``result``: rows that say the same result share it.
        - ``excluded exclude_reason``: as in the tables.

    Notes
    -----
    Each row is read alone and together with the rows that belong to it: the other arm, the contrast
    of both arms (same instrument, or named together in ``selection.csv``), the other end of a
    printed range. It stands on the highest rung any of these readings reaches.

    Examples
    --------
    >>> import retroevidence as rv
    >>> from retroevidence.claims.ladder import ladder
    >>> table = ladder().set_index("row_id")
    >>> len(table) == len(rv.load("arms")) + len(rv.load("contrasts"))
    True
    >>> table.loc["c355", ["rung", "partners"]].tolist()
    ['reported', 'a140;a141']
    """
    arms, contrasts = load("arms", data), _readable(load("contrasts", data))
    designs = load("studies", data).set_index("study_id")["design"]
    readings = _read_all(_comparisons(arms, contrasts, designs, load("selection", data)),
                         arms, contrasts)  # fmt: skip
    best: dict[str, dict[str, Any]] = {}
    result_of: dict[str, str] = {}
    for reading in _records(readings):
        ids = reading["rows"].split(";")
        shared = next((result_of[i] for i in ids if i in result_of), reading["rows"])
        for row_id in ids:
            if row_id not in best:
                best[row_id], result_of[row_id] = reading, shared
    rows = [
        *(_arm_row(row, best, result_of, arms) for row in _records(arms)),
        *(_contrast_row(row, best, result_of) for row in _records(contrasts)),
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    members = table.groupby("result")["row_id"].agg(list)
    table["partners"] = [
        ";".join(other for other in members[result] if other != row_id)
        for row_id, result in zip(table["row_id"], table["result"], strict=True)
    ]
    return table


def ladder_counts(data: Data = None) -> pd.DataFrame:
    """Count, per outcome, the results found in the tables and the rungs they stand on.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.

    Returns
    -------
    DataFrame
        One row per outcome, and ``all`` at the end.

        - ``rows = excluded + not_an_effect + in_results``: rows of arms and contrasts.
        - ``results``: distinct results that the rows in use report about the condition (two arms
          and their contrast are one result), ``= reported + derived + bounded + imputed +
          unusable``. ``imputed`` stays 0: nothing is assumed here.
        - ``sign_only``: those of the bounded whose limits say no more than the sign, or no more
          than "no difference".
        - ``rescued = derived + bounded``: results that an analysis of printed means and SDs, or of
          estimates with intervals, drops. ``rescued_share``: of all results.

    Examples
    --------
    >>> from retroevidence.claims.ladder import ladder_counts
    >>> counts = ladder_counts().set_index("outcome")
    >>> int(counts.loc["all", "rows"])
    934
    """
    table = ladder(data)
    used = table["excluded"] == "no"
    effect = table["effect_of_condition"] == "yes"
    table["place"] = np.select([~used, ~effect], ["excluded", "not_an_effect"], "in_results")
    # Of the rows of one result the strongest speaks for it.
    table["height"] = table["rung"].map({rung: i for i, rung in enumerate(RUNGS)})
    table["sign_only"] = (table["rung"] == BOUNDED) & table["yi"].isna() & ~_has_limit(table)
    results = (
        table[used & effect]
        .sort_values(["height", "sign_only"], kind="stable")
        .drop_duplicates("result")
    )
    outcomes = [*sorted(table["outcome"].unique()), "all"]
    counted = []
    for outcome in outcomes:
        rows = table if outcome == "all" else table[table["outcome"] == outcome]
        own = results if outcome == "all" else results[results["outcome"] == outcome]
        places, rungs = rows["place"].value_counts(), own["rung"].value_counts()
        line: dict[str, Any] = {"outcome": outcome, "rows": len(rows), "results": len(own)}
        for place in ("excluded", "not_an_effect", "in_results"):
            line[place] = int(places.get(place, 0))
        for rung in RUNGS:
            line[rung] = int(rungs.get(rung, 0))
        line["sign_only"] = int(own["sign_only"].sum())
        line["rescued"] = line[DERIVED] + line[BOUNDED]
        line["rescued_share"] = line["rescued"] / len(own) if len(own) else math.nan
        counted.append(line)
    return pd.DataFrame(counted, columns=COUNT_COLUMNS)


# Readings: which rows can be read together -------------------------------------------------------


def _readable(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Blank the tests that are not of two conditions, so that none is read as one."""
    contrasts = contrasts.copy()
    several = contrasts["contrast"].str.contains("three-group", na=False)
    contrasts.loc[several, ["p_value", "t_value", "f_value"]] = np.nan
    return contrasts


def _comparisons(
    arms: pd.DataFrame, contrasts: pd.DataFrame, designs: pd.Series, selection: pd.DataFrame
) -> pd.DataFrame:
    """List every set of rows that can be read as one result."""
    found: list[dict[str, Any]] = []
    by_id = contrasts.set_index("contrast_id", drop=False)

    def add(study: str, one: str, two: str, contrast: str, paired: bool) -> None:
        rows = ";".join(filter(None, (one, two, contrast)))
        found.append(
            {"study_id": study, "comparison": rows, "experimental": one, "comparator": two,
             "contrast": contrast, "paired": paired}
        )  # fmt: skip

    arm_pairs = _pairs(arms)
    for one, two in arm_pairs:
        study = str(one["study_id"])
        paired = bool(one["arm"] == two["arm"]) or designs.get(study) in SAME_PEOPLE
        ids = str(one["arm_id"]), str(two["arm_id"])
        add(study, *ids, "", paired)
        if one["arm"] != two["arm"]:
            for match in _records(_fitting(one, two, contrasts)):
                add(study, *ids, str(match["contrast_id"]), match["paired"] == "yes")

    # A pair is read with a contrast only when both are used, or neither is.
    state = {(str(one["arm_id"]), str(two["arm_id"])): one["exclude"] for one, two in arm_pairs}
    columns = ["study_id", "experimental", "comparator", "contrast"]
    chosen = selection.loc[selection["analysis"] != "reviews", columns].fillna("")
    for line in _records(chosen.drop_duplicates()):
        cells = [str(line[c]) for c in columns]
        study, one_id, two_id, contrast = cells
        known = [key for key in contrast.split(";") if key in by_id.index]
        states = set(by_id.loc[known, "exclude"])
        of_pair = states == {state.get((one_id, two_id))}
        if of_pair or (not one_id and len(known) > 1 and len(states) == 1):
            add(study, one_id, two_id, contrast, str(by_id.loc[known[0], "paired"]) == "yes")

    for row in _records(contrasts):
        add(str(row["study_id"]), "", "", str(row["contrast_id"]), row["paired"] == "yes")
    return pd.DataFrame(found).drop_duplicates("comparison").reset_index(drop=True)


def _pairs(arms: pd.DataFrame) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Match arms: both conditions, else later and earlier value of one group.

    Excluded arms are matched among themselves, so that no used arm stands on an excluded one.
    """
    filled = arms.fillna({c: "" for c in [*MATCHED_ON, "role", "arm"]})
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    matched: set[str] = set()

    def match(one: pd.DataFrame, two: pd.DataFrame) -> None:
        if len(one) == len(two) == 1:
            pair = _records(one)[0], _records(two)[0]
            found[f"{pair[0]['arm_id']};{pair[1]['arm_id']}"] = pair
            matched.update((pair[0]["arm_id"], pair[1]["arm_id"]))

    for _, group in filled.groupby(MATCHED_ON, sort=False):
        one, two = (group[group["role"] == role] for role in ("experimental", "comparator"))
        for state in ("no", "yes"):
            match(one[one["exclude"] == state], two[two["exclude"] == state])

    alone = filled[~filled["arm_id"].isin(matched)]
    same = ["study_id", "outcome", "instrument", "muscle", "unit", "arm", "exclude"]
    for _, group in alone.groupby(same, sort=False):
        before = group[group["timepoint"] == "baseline"]
        for arm_id in group.loc[group["timepoint"].isin(["post", "acute"]), "arm_id"]:
            match(group[group["arm_id"] == arm_id], before)
    return list(found.values())


def _fitting(one: dict[str, Any], two: dict[str, Any], contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return the contrast rows that compare two arms, as far as the tables alone can tell.

    The only one with the same instrument and condition at that time, and any that prints the very
    difference the arms give.
    """
    same = contrasts["kind"].isin(EFFECT_KINDS) & (contrasts["exclude"] == one["exclude"])
    for column in ("study_id", "outcome"):
        same &= contrasts[column] == one[column]
    own = contrasts[same]
    # A change from baseline is also a value after treatment.
    after = {"post", "change"} if one["timepoint"] in ("post", "change") else {one["timepoint"]}
    alike = own["timepoint"].isin(after)
    for column in ("instrument", "muscle", "condition_detail"):
        alike &= own[column].fillna("") == one[column]
    smd = _smd(one, two)
    # A review may round, or approximate J; the difference stays in the third decimal.
    agrees = (own["estimate_type"] == "SMD") & ((own["estimate"] - smd).abs() < SAME_SMD)
    fitting: pd.DataFrame = own[agrees | (alike & (alike.sum() == 1))]
    return fitting


def _smd(one: dict[str, Any], two: dict[str, Any]) -> float:
    numbers = [arm[column] for arm in (one, two) for column in ("mean", "sd", "n")]
    if any(pd.isna(value) for value in numbers):
        return math.nan
    names = ("m1", "sd1", "n1", "m2", "sd2", "n2")
    given = {name: float(value) for name, value in zip(names, numbers, strict=True)}
    return float(effect_size("SMD", **given)[0])


def _read_all(
    comparisons: pd.DataFrame, arms: pd.DataFrame, contrasts: pd.DataFrame
) -> pd.DataFrame:
    """Return one reading per comparison on the measure that says most, the strongest first."""
    readings: list[dict[str, Any]] = []
    for paired, measures in ((False, ("SMD", "MD", "RR")), (True, ("ROMC", "SMCC"))):
        part = comparisons[comparisons["paired"] == paired]
        for measure in measures:
            frame = assemble(part, arms, contrasts, measure=measure)
            readings += _records(frame.assign(n_rows=frame["rows"].str.count(";")))
    frame = pd.DataFrame(readings, columns=[*EFFECT_COLUMNS, "n_rows"])
    # Within bounded: an exact size, then a limit other than 0, then a sign.
    fine = np.select([frame["yi"].notna(), _has_limit(frame)], [0, 1], 2)
    frame["height"] = frame["basis"].map({rung: i for i, rung in enumerate(RUNGS)})
    frame["fine"] = fine
    frame = frame.sort_values(["height", "fine", "n_rows"], ascending=[True, True, False],
                              kind="stable")  # fmt: skip
    return frame.drop_duplicates("comparison")


def _has_limit(frame: pd.DataFrame) -> pd.Series:
    """Tell where a limit says more than the sign."""
    limits = frame[["lower", "upper"]].to_numpy(float)
    says_more = np.isfinite(limits) & (limits != 0)
    return pd.Series(says_more.any(axis=1), index=frame.index)


# Rows of the table -------------------------------------------------------------------------------


def _arm_row(
    row: dict[str, Any], best: dict[str, Any], result_of: dict[str, str], arms: pd.DataFrame
) -> dict[str, Any]:
    reading = best.get(row["arm_id"])
    if reading is None:
        line = _alone(row, arms)
        return _line("arms", row, "arm_id", line, row["arm_id"]) | {"kind": "single"}
    ids = [i for i in reading["rows"].split(";") if i.startswith("a")]
    named = arms.set_index("arm_id").loc[ids, "role"].fillna("")
    both = set(named) == {"experimental", "comparator"}
    line = _from_reading(reading)
    if not both:
        line["how"] = f"before and after in one group: {line['how']}"
    line["kind"] = "pair" if both else "before_after"
    is_effect = both and row["timepoint"] != "baseline"
    line["effect_of_condition"] = "yes" if is_effect else "no"
    return _line("arms", row, "arm_id", line, result_of[row["arm_id"]])


def _alone(row: dict[str, Any], arms: pd.DataFrame) -> dict[str, Any]:
    """Say why an arm without a partner is no effect."""
    same = (arms[MATCHED_ON].fillna("") == pd.Series(row)[MATCHED_ON].fillna("")).all(axis=1)
    gone = arms[same & (arms["exclude"] == "yes") & (arms["role"].fillna("") != row["role"])]
    if pd.isna(row["role"]):
        how = "the arm is neither backward walking nor its comparator"
    elif len(gone) == 1 and row["exclude"] == "no":
        partner = gone.iloc[0]
        how = f"its only partner {partner['arm_id']} is excluded: {partner['exclude_reason']}"
    elif row["timepoint"] == "baseline":
        how = "a value before training, without a later one: no effect"
    elif row["timepoint"] == "change":
        how = "a change within one group; no other arm under the same condition is printed"
    else:
        how = (
            "no other arm with the same instrument, unit, condition and time is printed: "
            "the value of one arm is no comparison"
        )
    return {"rung": UNUSABLE, "how": how, "effect_of_condition": "no"}


def _contrast_row(
    row: dict[str, Any], best: dict[str, Any], result_of: dict[str, str]
) -> dict[str, Any]:
    key = str(row["contrast_id"])
    line = _from_reading(best[key])
    text = str(row["contrast"])
    if "three-group" in text:
        line["how"] = f"a test of three groups is not one of two: {line['how']}"
    if "correlation" in text:
        nothing = {"yi": math.nan, "vi": math.nan, "lower": math.nan, "upper": math.nan}
        how = "a correlation between people, no comparison of two conditions"
        line |= nothing | {"rung": UNUSABLE, "how": how, "measure": "", "source": ""}
    line["kind"] = row["kind"]
    line["effect_of_condition"] = "yes" if row["kind"] in EFFECT_KINDS else "no"
    return _line("contrasts", row, "contrast_id", line, result_of[key])


def _from_reading(reading: dict[str, Any]) -> dict[str, Any]:
    line = {c: reading[c] for c in ("measure", "how", "yi", "vi", "lower", "upper")}
    return line | {
        "rung": reading["basis"],
        "source": ";".join(_keys(reading["how"])),
    }


def _keys(how: str) -> Iterable[str]:
    """Return the bibliography keys that a text names in square brackets, each once."""
    return dict.fromkeys(re.findall(r"\[([a-z][a-z0-9_]*)\]", how))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _line(
    table: str, row: dict[str, Any], key: str, line: dict[str, Any], result: str
) -> dict[str, Any]:
    texts = {"measure": "", "source": ""}
    missing = dict.fromkeys(("yi", "vi", "lower", "upper"), math.nan)
    reason = "" if pd.isna(row["exclude_reason"]) else str(row["exclude_reason"])
    return texts | missing | line | {
        "table": table,
        "row_id": str(row[key]),
        **{c: str(row[c]) for c in ("study_id", "outcome", "task")},
        "result": result,
        "excluded": str(row["exclude"]),
        "exclude_reason": reason,
    }  # fmt: skip

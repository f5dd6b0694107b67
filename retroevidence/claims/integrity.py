"""Integrity of printed numbers: every check that the tables allow, row by row.

A flag says that numbers printed together do not agree, with the arithmetic. It says nothing about
why, and nothing about anybody: misprints, rounding on the way, drop-outs, an unnamed test and a
slip in copying all look the same from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

import pandas as pd

from retroevidence.claims.evidence import Data
from retroevidence.claims.integrity_arms import check_arms, share_of_people
from retroevidence.claims.integrity_contrasts import check_contrasts, check_reviews
from retroevidence.claims.integrity_rows import (
    CONSISTENT,
    FLAG,
    NOT_ASSESSABLE,
    Finding,
    Row,
    ids,
    p_printed,
    read_rows,
    read_scales,
    row_id,
    used,
)
from retroevidence.effects.possible.balance import baseline_p, combine_balance

COLUMNS = [field.name for field in fields(Finding)]

#: A trial's combined baseline p outside these is flagged, on either side.
BALANCE_LIMITS = (0.001, 0.999)

#: Designs whose groups are made by allocation, so that their baseline can be judged.
ALLOCATED = ("parallel_rct", "quasi_experimental")

COMPLETED = re.compile(r"(\d+(?:\.\d+)?)\s*% completed", re.IGNORECASE)


def integrity(data: Data = None) -> pd.DataFrame:
    """Check every printed number of the tables that can be checked against another.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default. Scales are read from its
        ``instruments.csv``; without that file no score can be assessed.

    Returns
    -------
    DataFrame
        One row per check on a row of arms, contrasts, reviews or safety, in that order:
        ``study_id rows check status printed recomputed arithmetic note used``. ``status`` is
        consistent, flag or not assessable; ``used`` is "no" where a row is excluded already.

    Notes
    -----
    Means and SDs of whole numbers: GRIM, GRIMMER. Scores: against the ends of the scale. SDs:
    against the other arm, and against the same quantity in another unit. P-values: from means and
    SDs, from t and F, from the interval. Estimates: from means, and in the middle of the interval.
    Directions: against the numbers. Percentages: against people. Changes: against baseline.
    Effects: beyond a g of 3. Baselines: combined over variables. Formulas and sources stand with
    the functions of `retroevidence.effects.possible.grim`, `plausible` and `balance`.

    Raises
    ------
    TableError
        If the tables break their record.

    Examples
    --------
    >>> import retroevidence as rv
    >>> from retroevidence.claims.integrity import integrity
    >>> found = integrity()
    >>> one = (found["rows"] == "r15") & (found["check"] == "interval around estimate")
    >>> found.loc[one, "note"].item()
    'symmetric if the limit -0.08 were 0.08'
    """
    return pd.DataFrame([asdict(f) for f in _findings(data)], columns=COLUMNS)


def flagged_rows(data: Data = None) -> frozenset[str]:
    """Return the ids of all rows that a flag of :func:`integrity` names.

    A flag names every row of a comparison that does not fit, whichever of them is amiss.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.

    Returns
    -------
    frozenset of str

    Examples
    --------
    >>> from retroevidence.claims.integrity import flagged_rows
    >>> "a140" in flagged_rows()
    True
    """
    flagged = (f.rows for f in _findings(data) if f.status == FLAG)
    return frozenset(one for rows in flagged for one in rows.split(";"))


def _findings(data: Data) -> Iterator[Finding]:
    arms, contrasts = read_rows("arms", data), read_rows("contrasts", data)
    yield from check_arms(arms, read_scales(data))
    yield from check_contrasts(contrasts, arms)
    yield from check_reviews(read_rows("reviews", data))
    yield from _safety(read_rows("safety", data))
    designs = {row["study_id"]: row["design"] for row in read_rows("studies", data)}
    yield from _baselines(arms, contrasts, designs)


def _safety(rows: Sequence[Row]) -> Iterator[Finding]:
    """Compare counts of people with their number."""
    for row in rows:
        counts = {c: row[c] for c in ("adverse_events", "serious_adverse_events", "withdrawals")}
        printed = {c: v for c, v in counts.items() if v}
        if printed:
            shown = ", ".join(f"{c.replace('_', ' ')} {v}" for c, v in printed.items())
            if not row["n"]:
                yield _of(row, "counts within n", NOT_ASSESSABLE, shown, "", "n is not printed")
            else:
                most = max(printed.values(), key=int)
                status = CONSISTENT if int(most) <= int(row["n"]) else FLAG
                yield _of(
                    row, "counts within n", status, f"{shown} of {row['n']}",
                    f"largest count {most}, people {row['n']}", "",
                )  # fmt: skip
        for percent in COMPLETED.findall(f"{row['adverse_events_text']} {row['note']}"):
            yield share_of_people(row, percent, row["n"])


def _of(row: Row, check: str, status: str, printed: str, arithmetic: str, note: str) -> Finding:
    return Finding(
        row["study_id"], row_id(row), check, status, printed, "", arithmetic, note, used(row)
    )


def _baselines(
    arms: Sequence[Row], contrasts: Sequence[Row], designs: dict[str, str]
) -> Iterator[Finding]:
    """Judge the baseline of each trial with results of two groups."""
    for study, design in designs.items():
        own = [a for a in arms if a["study_id"] == study]
        told = [
            c for c in contrasts
            if c["study_id"] == study and c["kind"] == "between_groups"
        ]  # fmt: skip
        both = {"experimental", "comparator"} <= {a["role"] for a in own}
        if design not in ALLOCATED or not (both or told):
            continue
        rows: list[Row] = []
        p_values: list[float] = []
        said: list[str] = []
        for one, two in _pairs([a for a in own if a["timepoint"] == "baseline"]):
            p = baseline_p(
                one["mean"], one["sd"], int(one["n"]), two["mean"], two["sd"], int(two["n"])
            )
            rows += [one, two]
            p_values.append(p)
            said.append(f"{one['mean']} and {two['mean']}: p {p:.2g}")
        for row in told:
            exact = row["p_value"] and row["p_op"] in ("=", "")
            if row["timepoint"] == "baseline" and exact:
                rows.append(row)
                p_values.append(float(row["p_value"]))
                said.append(p_printed(row))
        if not p_values:
            yield Finding(
                study, "", "baseline balance", NOT_ASSESSABLE,
                note="no baseline values of both groups in the tables",
            )  # fmt: skip
            continue
        found = combine_balance(p_values)
        inside = BALANCE_LIMITS[0] <= found.p <= BALANCE_LIMITS[1]
        yield Finding(
            study, ids(*rows), "baseline balance", CONSISTENT if inside else FLAG,
            printed="; ".join(said), recomputed=f"p {found.p:.3g}",
            arithmetic=f"Stouffer z over {found.k} variables = {found.z:.3g}, p = {found.p:.3g}",
            note="variables are taken as independent", used=used(*rows),
        )  # fmt: skip


def _pairs(arms: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield experimental and comparator arms of the same result with mean, SD and n."""
    whole = [a for a in arms if a["mean"] and a["sd"] and a["n"] and int(a["n"]) >= 2]
    keys = ("outcome", "instrument", "muscle", "unit", "condition_detail")
    for one in whole:
        if one["role"] != "experimental":
            continue
        others = [
            a for a in whole
            if a["role"] == "comparator" and all(a[k] == one[k] for k in keys)
        ]  # fmt: skip
        if len(others) == 1 and max(float(one["sd"]), float(others[0]["sd"])) > 0:
            yield one, others[0]

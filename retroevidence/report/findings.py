"""Everything one run finds, gathered once: what tables, page and results.json are made from."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pandas as pd

import retroevidence
from retroevidence._paths import bibliography_path
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.record import EXPERIMENTAL, read_record
from retroevidence.loaders.tables import load, tables

if TYPE_CHECKING:
    from retroevidence.claims.check import Checked
    from retroevidence.claims.multiverse import Multiverse

Data = str | os.PathLike[str] | None
#: Called with steps done, steps in all, and what is being done.
Progress = Callable[[int, int, str], None]

#: What is done once over all tables, after the claims; the steps of the progress.
WHOLE = (
    "finding the rung of every row",
    "checking printed numbers",
    "judging without flagged rows",
    "redoing published reviews",
)

#: Fewest pooled results for which leaving one out says more than the results alone.
ENOUGH_TO_LEAVE_OUT = 3

PACKAGES = ("numpy", "scipy", "pandas", "statsmodels", "matplotlib", "bibtexparser", "tabulate")


@dataclass(frozen=True)
class Findings:
    """One run over one directory of tables.

    Attributes
    ----------
    title : str
        Title of the data.
    checks : tuple of Checked
        Every claim, in the order of the claims table.
    traces : mapping of str to DataFrame
        Per claim that rests on effects: each effect row back to its page.
    citations : DataFrame
        The citation audit; empty when the data cite nothing.
    agreement : DataFrame
        Results read twice; empty when the data have none.
    rows : mapping of str to int
        Rows of each table.
    hashes : mapping of str to str
        SHA-256 of each file of the data.
    versions : mapping of str to str
        Python and every package that numbers pass through.
    multiverses : mapping of str to Multiverse
        Per claim that rests on effects, or could: every defensible analysis.
    left_out : mapping of str to DataFrame
        Per claim that pools three or more results: the estimate without each study.
    ladder, ladder_counts : DataFrame
        The rung of every row, and the counts per outcome.
    integrity : DataFrame
        Every check of printed numbers against each other.
    without_flagged : DataFrame
        Per claim the verdict with and without the rows that a flag names.
    reviews_redone, cochrane_redone : DataFrame
        Published pooled values beside ours, and what can be recomputed of them.
    sources : mapping of str to (str, str)
        Address and place of each row of arms, contrasts, reviews and safety, by its id.
    references : tuple of str
        The references of the studies that bear on a claim, as lines of HTML.
    experimental : str
        What the experimental arms do.
    """

    title: str
    checks: tuple[Checked, ...]
    traces: Mapping[str, pd.DataFrame]
    citations: pd.DataFrame
    agreement: pd.DataFrame
    rows: Mapping[str, int]
    hashes: Mapping[str, str]
    versions: Mapping[str, str]
    multiverses: Mapping[str, Multiverse] = field(default_factory=dict)
    left_out: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    ladder: pd.DataFrame = field(default_factory=pd.DataFrame)
    ladder_counts: pd.DataFrame = field(default_factory=pd.DataFrame)
    integrity: pd.DataFrame = field(default_factory=pd.DataFrame)
    without_flagged: pd.DataFrame = field(default_factory=pd.DataFrame)
    reviews_redone: pd.DataFrame = field(default_factory=pd.DataFrame)
    cochrane_redone: pd.DataFrame = field(default_factory=pd.DataFrame)
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    experimental: str = EXPERIMENTAL


def find(data: Data = None, progress: Progress | None = None, steps: int = 0) -> Findings:
    """Check every claim of a directory of tables and gather what was found.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.
    progress : callable, optional
        Called as ``progress(done, total, what)`` before each claim and each step of `WHOLE`.
    steps : int
        Further steps the caller will report itself, part of the total.

    Returns
    -------
    Findings

    Raises
    ------
    RetroEvidenceError
        If the tables break their record.

    Examples
    --------
    >>> findings = find()
    >>> len(findings.checks)
    29
    """
    from retroevidence.claims.check import check
    from retroevidence.claims.integrity import integrity
    from retroevidence.claims.ladder import ladder, ladder_counts
    from retroevidence.claims.reviews import redo_cochrane, redo_reviews
    from retroevidence.claims.trace import trace
    from retroevidence.claims.without_flagged import compare_verdicts
    from retroevidence.report.cited import references

    names = tables(data)
    ids = [str(claim_id) for claim_id in load("claims", data)["claim_id"]]
    checks, traces, multiverses, left_out = [], {}, {}, {}
    total = len(ids) + len(WHOLE) + steps

    def tell(step: int, what: str) -> None:
        if progress is not None:
            progress(step, total, what)

    for i, claim_id in enumerate(ids):
        tell(i, f"checking {claim_id}")
        checked = check(claim_id, data)
        checks.append(checked)
        if len(checked.effects) and "rows" in checked.effects.columns:
            traces[claim_id] = trace(checked, data)
        every = _multiverse(checked, data)
        if every is not None:
            multiverses[claim_id] = every
        without_one = _left_out(checked)
        if without_one is not None:
            left_out[claim_id] = without_one
    tell(len(ids), WHOLE[0])
    rungs, counts = ladder(data), ladder_counts(data)
    tell(len(ids) + 1, WHOLE[1])
    printed = integrity(data)
    tell(len(ids) + 2, WHOLE[2])
    without_flagged = compare_verdicts(data)
    tell(len(ids) + 3, WHOLE[3])
    reviews, cochrane = redo_reviews(data), redo_cochrane(data)
    return Findings(
        title=read_record(data).title,
        checks=tuple(checks),
        traces=traces,
        citations=_citations(data) if "citations" in names else pd.DataFrame(),
        agreement=load("agreement", data) if "agreement" in names else pd.DataFrame(),
        rows={name: len(load(name, data)) for name in names},
        hashes=hashes(data),
        versions=versions(),
        multiverses=multiverses,
        left_out=left_out,
        ladder=rungs,
        ladder_counts=counts,
        integrity=printed,
        without_flagged=without_flagged,
        reviews_redone=reviews,
        cochrane_redone=cochrane,
        sources=_sources(data),
        references=references(checks, data),
        experimental=read_record(data).experimental,
    )


def _multiverse(checked: Checked, data: Data) -> Multiverse | None:
    """Return all analyses of a claim; None where it asks for none and rests on no pooled effect."""
    from retroevidence.claims.check import SIDES
    from retroevidence.claims.multiverse import multiverse

    claim = checked.claim
    if claim["kind"] not in ("effect", "range") or claim["claimed_direction"] not in SIDES:
        return None
    found = multiverse(checked.claim_id, data)
    return found if found.distinct or checked.rung == "effects" else None


def _left_out(checked: Checked) -> pd.DataFrame | None:
    """Return the headline's estimate without each study; None where too few are pooled.

    Where the headline holds bounds it is refitted with them, else its exact results are.
    """
    from retroevidence.claims.synthesis import WITH_BOUNDS
    from retroevidence.meta.censored.pool import pool_censored
    from retroevidence.meta.sensitivity import leave_one_out

    bounded = checked.rung == WITH_BOUNDS
    result = checked.censored if bounded else checked.pooled
    if result is None or result.k < ENOUGH_TO_LEAVE_OUT:
        return None
    # All results of a study go together: they share its people.
    keys = list(dict.fromkeys(result.studies["study_id"]))
    if len(keys) < 2:
        return None
    if checked.pooled is not None and not bounded:
        return leave_one_out(checked.pooled, by="study_id")
    frame = checked.effects[checked.effects["comparison"].isin(result.studies["comparison"])]
    rows = []
    for key in keys:
        without = pool_censored(frame[frame["study_id"] != key])
        numbers = {name: getattr(without, name) for name in ("k", "estimate", "se", "p_value")}
        rows.append(
            {"left_out": key, **numbers, "ci_low": without.ci.low, "ci_high": without.ci.high,
             "tau2": without.tau2, "i2": without.i2}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _sources(data: Data) -> dict[str, tuple[str, str]]:
    """Return address and place of each row that holds numbers, by its id."""
    keys = {"arms": "arm_id", "contrasts": "contrast_id", "reviews": "review_id",
            "safety": "safety_id"}  # fmt: skip
    found: dict[str, tuple[str, str]] = {}
    for name, key in keys.items():
        rows = load(name, data)[[key, "source_url", "locator"]].fillna("")
        found |= {str(i): (str(url), str(place)) for i, url, place in rows.itertuples(index=False)}
    return found


def _citations(data: Data) -> pd.DataFrame:
    from retroevidence.claims.citations import audit_citations

    return audit_citations(data)


def hashes(data: Data = None) -> dict[str, str]:
    """Return the SHA-256 of each file of the data, by file name.

    Examples
    --------
    >>> {len(value) for value in hashes().values()}
    {64}
    """
    record = read_record(data)
    files = [record.path(resource) for resource in record.resources]
    files += [record.folder / "datapackage.json", bibliography_path(data)]
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, of this library and of what numbers pass through.

    Examples
    --------
    >>> versions()["retroevidence"] == retroevidence.__version__
    True
    """
    found = {"python": platform.python_version(), "retroevidence": retroevidence.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError as error:
            raise RetroEvidenceError(
                f"the package {name} is not installed; mend it with: pip install retroevidence"
            ) from error
    return found


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: missing is null, an infinite number is text.

    Examples
    --------
    >>> plain({"a": float("nan"), "b": (1.5, float("inf")), "c": pd.NA})
    {'a': None, 'b': [1.5, 'inf'], 'c': None}
    """
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | str):
        return value
    # numpy scalars know how to become plain ones.
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float) and not math.isfinite(number):
        return None if math.isnan(number) else ("inf" if number > 0 else "-inf")
    return number if isinstance(number, int | float | str) else str(number)

"""Everything one run finds, gathered once: what tables, page and results.json are made from."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pandas as pd

import retroevidence
from retroevidence._paths import bibliography_path
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.record import read_record
from retroevidence.loaders.tables import load, tables

if TYPE_CHECKING:
    from retroevidence.claims.check import Checked

Data = str | os.PathLike[str] | None
#: Called with steps done, steps in all, and what is being done.
Progress = Callable[[int, int, str], None]

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
    """

    title: str
    checks: tuple[Checked, ...]
    traces: Mapping[str, pd.DataFrame]
    citations: pd.DataFrame
    agreement: pd.DataFrame
    rows: Mapping[str, int]
    hashes: Mapping[str, str]
    versions: Mapping[str, str]


def find(data: Data = None, progress: Progress | None = None, steps: int = 0) -> Findings:
    """Check every claim of a directory of tables and gather what was found.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.
    progress : callable, optional
        Called as ``progress(done, total, what)`` before each claim.
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
    from retroevidence.claims.trace import trace

    names = tables(data)
    ids = [str(claim_id) for claim_id in load("claims", data)["claim_id"]]
    checks, traces = [], {}
    for i, claim_id in enumerate(ids):
        if progress is not None:
            progress(i, len(ids) + steps, f"checking {claim_id}")
        checked = check(claim_id, data)
        checks.append(checked)
        if len(checked.effects) and "rows" in checked.effects.columns:
            traces[claim_id] = trace(checked, data)
    return Findings(
        title=read_record(data).title,
        checks=tuple(checks),
        traces=traces,
        citations=_citations(data) if "citations" in names else pd.DataFrame(),
        agreement=load("agreement", data) if "agreement" in names else pd.DataFrame(),
        rows={name: len(load(name, data)) for name in names},
        hashes=hashes(data),
        versions=versions(),
    )


def _citations(data: Data) -> pd.DataFrame:
    from retroevidence.claims.citations import audit

    return audit(data)


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

"""Everything from the tables in one call: tables, figures, the page, and every number as JSON."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from retroevidence.errors import RetroEvidenceError
from retroevidence.report.figures import draw, save
from retroevidence.report.findings import WHOLE, Data, Findings, Progress, find, plain
from retroevidence.report.half_reported import ladder_tables
from retroevidence.report.page import page
from retroevidence.report.possible import integrity_tables
from retroevidence.report.redone import redone_tables
from retroevidence.report.robustness import leave_one_out_table, multiverse_table
from retroevidence.report.summary_tables import WITH_BOUNDS, summary_tables
from retroevidence.report.table import Table, plain_table

PAGE, NUMBERS = "report.html", "results.json"


def reproduce(
    data: Data = None,
    out: str | os.PathLike[str] = "results",
    progress: Progress | None = None,
) -> Path:
    """Check every claim, and write tables, figures, the report page and all numbers.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default. Nothing in it is changed.
    out : path
        Directory to write: new, empty, or the results of an earlier run, which are replaced
        only when all is ready.
    progress : callable, optional
        Called as ``progress(done, total, what)``.

    Returns
    -------
    Path
        `out`, which then holds ``tables/*.csv`` and ``.md``, ``figures/*.svg`` and ``.png``,
        ``report.html`` and ``results.json``. The same tables and versions give the same bytes.

    Raises
    ------
    RetroEvidenceError
        If the tables break their record, or `out` holds something else than results.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = reproduce(out=pathlib.Path(folder) / "results")
    ...     sorted(path.name for path in results.iterdir())
    ['figures', 'report.html', 'results.json', 'tables']
    """
    target = Path(out)
    _refuse_foreign(target)
    findings = find(data, progress, steps=_claims_again(data) + 1)
    done = len(findings.checks) + len(WHOLE)
    total = done + len(findings.checks) + 1
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename on one file system.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=parent) as scratch:
        made = Path(scratch) / "new"
        for name in ("tables", "figures"):
            (made / name).mkdir(parents=True)
        figures: dict[str, dict[str, str]] = {}
        for i, checked in enumerate(findings.checks):
            claim_id = str(checked.claim["claim_id"])
            if progress is not None:
                progress(done + i, total, f"drawing {claim_id}")
            figures[claim_id] = {}
            for name, ax in draw(checked, findings.multiverses.get(claim_id)).items():
                stem = made / "figures" / f"{claim_id}-{name}"
                figures[claim_id][name] = save(ax, stem)[0].read_text("utf-8")
        if progress is not None:
            progress(total - 1, total, "writing")
        written = all_tables(findings)
        for one in written:
            one.write(made / "tables")
        _write(made / PAGE, page(findings, figures))
        _write(made / NUMBERS, json_text(numbers(findings, written)))
        _replace(made, target, Path(scratch) / "old")
    if progress is not None:
        progress(total, total, "done")
    return target


def all_tables(findings: Findings) -> list[Table]:
    """Return every table that is written: of the claims, of choices, and of the whole library."""
    made = summary_tables(findings.checks)
    made.append(multiverse_table(findings.multiverses))
    made.append(leave_one_out_table(findings.left_out, findings.checks))
    made += ladder_tables(findings.ladder, findings.ladder_counts)
    made += integrity_tables(findings.integrity, findings.without_flagged)
    made += redone_tables(findings.reviews_redone, findings.cochrane_redone)
    if len(findings.citations):
        caption = "Each cited reference, compared field by field with the nearest record located."
        made.append(plain_table("citations", caption, findings.citations))
    if len(findings.agreement):
        caption = "Fields read by two readers, and how differences were settled."
        made.append(plain_table("agreement", caption, findings.agreement))
    return made


def numbers(findings: Findings, written: list[Table]) -> dict[str, Any]:
    """Return every number of a run as plain values, ready for JSON."""
    claims = {}
    for checked in findings.checks:
        pooled = {"main": checked.pooled, WITH_BOUNDS: checked.censored, **checked.analyses}
        claims[str(checked.claim["claim_id"])] = {
            "claim": checked.claim,
            "verdict": checked.verdict,
            "reason": checked.reason,
            "certainty": checked.certainty,
            "certainty_reasons": checked.certainty_reasons,
            "rung": checked.rung,
            "k": checked.k,
            "estimate": checked.estimate,
            "ci_low": checked.ci_low,
            "ci_high": checked.ci_high,
            "pi_low": checked.pi_low,
            "pi_high": checked.pi_high,
            "rungs": checked.rungs,
            "extra": checked.extra,
            "pooled": {n: None if p is None else p.to_dict() for n, p in pooled.items()},
        }
    found: dict[str, Any] = plain(
        {
            "claims": claims,
            "tables": {one.name: one.frame for one in written},
            "rows": findings.rows,
            "hashes": findings.hashes,
            "versions": findings.versions,
            "title": findings.title,
        }
    )
    return found


def json_text(found: dict[str, Any]) -> str:
    """Return plain values as JSON with sorted keys.

    Examples
    --------
    >>> json_text({"b": 1, "a": [0.1]}).split()
    ['{', '"a":', '[', '0.1', '],', '"b":', '1', '}']
    """
    return json.dumps(found, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _claims_again(data: Data) -> int:
    """Return the number of claims: drawing takes as many steps as checking."""
    from retroevidence.loaders.tables import load

    return len(load("claims", data))


def _refuse_foreign(target: Path) -> None:
    """Refuse to replace a directory that no earlier run wrote."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise RetroEvidenceError(
            f"{target.name} is no directory; give a new or empty directory, or earlier results."
        )
    known = {"tables", "figures", PAGE, NUMBERS}
    if target.is_dir():
        names = {path.name for path in target.iterdir()}
        if names and not (NUMBERS in names and names <= known):
            foreign = sorted(names - known) or sorted(names)
            raise RetroEvidenceError(
                f"{target.name}/ holds {foreign[0]}, which no earlier run wrote; give a new or "
                "empty directory, or earlier results."
            )


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))


def _replace(made: Path, target: Path, old: Path) -> None:
    """Put `made` where `target` is; what was there goes only after the new stands."""
    if target.exists():
        target.rename(old)
    try:
        made.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)

"""What has changed in each verdict since last time, and because of which results."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from retroevidence._paths import data_dir, write_beside
from retroevidence._show import Card, Carded, interval, number
from retroevidence.claims.check import Checked, check
from retroevidence.claims.evidence import Data
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.tables import load

#: Where a review keeps the state that the next update is compared with.
SNAPSHOT = "snapshot.json"

#: What is compared of a claim, and of each result that bears on it.
OF_CLAIM = ("verdict", "certainty", "rung", "k", "estimate", "ci_low", "ci_high")
OF_RESULT = ("study_id", "rows", "basis", "yi", "vi", "lower", "upper")

#: Two numbers nearer than this, relative to their size, are the same: another machine or another
#: release of a numerical library may move the last digits, and never an answer.
SAME = 1e-7

_COLUMNS = [
    "claim_id", "change", "verdict_before", "verdict", "estimate_before", "estimate",
    "ci_low_before", "ci_low", "ci_high_before", "ci_high", "k_before", "k",
    "certainty_before", "certainty", "why",
]  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Update(Carded):
    """The state of a review beside an earlier one.

    Attributes
    ----------
    before : str
        What it is compared with, and its date; empty at the first run.
    table : DataFrame
        One row per claim: claim_id; change (``new``, ``gone``, ``verdict``, ``estimate``,
        ``results`` if only what stands behind the same answer changed, or ``none``); verdict,
        estimate, ci_low, ci_high, k and certainty, each also ``_before``; and why. Estimates are
        in units of the measure.
    results : DataFrame
        One row per result that entered, left or changed: claim_id, change, study_id, comparison,
        and what changed.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> found = update(new(tempfile.mkdtemp() + "/stairs"), keep=False)
    >>> found.first, found.table["verdict"].tolist()
    (True, ['leans supported'])
    """

    before: str
    table: pd.DataFrame
    results: pd.DataFrame

    @property
    def first(self) -> bool:
        """Whether there was nothing to compare with."""
        return not self.before

    @property
    def changed(self) -> pd.DataFrame:
        """The claims that changed."""
        return self.table[self.table["change"] != "none"].reset_index(drop=True)

    def _card(self) -> Card:
        n = len(self.table)
        if self.first:
            return Card(
                f"First run: {_claims(n)}, nothing to compare with",
                [(row["claim_id"], row["verdict"]) for row in self.table.to_dict("records")],
            )
        changed = self.changed
        if not len(changed):
            return Card(f"Nothing changed in {_claims(n)}", [("since", self.before)])
        notes = []
        for row in changed.to_dict("records"):
            notes.append(f"{row['claim_id']}: {_told(row)}; {row['why']}")
        title = f"{len(changed)} of {_claims(n)} changed"
        return Card(title, [("since", self.before)], None, notes)


def update(
    data: Data = None,
    *,
    against: str | os.PathLike[str] | None = None,
    keep: bool = True,
    today: date | None = None,
) -> Update:
    """Check every claim and compare the answers with those of last time.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.
    against : path, optional
        An earlier state: a ``snapshot.json``, or the ``results.json`` of a reproduction. By
        default the ``snapshot.json`` in the directory; without one this is the first run.
    keep : bool
        Store the present state as the ``snapshot.json`` of the directory, for next time.
    today : date, optional
        Date of the stored state; today by default.

    Returns
    -------
    Update

    Raises
    ------
    RetroEvidenceError
        If the tables break their record, or the earlier state cannot be read or the new one
        written.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> review = new(tempfile.mkdtemp() + "/stairs")
    >>> update(review, today=date(2026, 1, 31))
    First run: 1 claim, nothing to compare with
      example_claim  leans supported
    >>> update(review)
    Nothing changed in 1 claim
      since  snapshot.json of 2026-01-31
    """
    folder = data_dir(data)
    own = folder / SNAPSHOT
    earlier = Path(against) if against is not None else own
    before = None if against is None and not earlier.exists() else _read(earlier)
    now = state(data, today=today)
    if keep:
        try:
            write_beside(own, json.dumps(now, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            raise RetroEvidenceError(
                f"{own} cannot be written ({error.strerror}); give a review of your own with "
                "--data, or compare without keeping (--dry-run)."
            ) from None
    return compare(before, now, earlier.name)


def state(data: Data = None, *, today: date | None = None) -> dict[str, Any]:
    """Return every verdict with the results behind it, as plain values.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.scaffold import new
    >>> claim = state(new(tempfile.mkdtemp() + "/stairs"))["claims"]["example_claim"]
    >>> claim["k"], list(claim["results"])[0]
    (3, 'example2001:pain')
    """
    claims = {}
    for claim_id in load("claims", data)["claim_id"]:
        checked = check(str(claim_id), data)
        claims[str(claim_id)] = {
            "claim": {k: _plain(v) for k, v in checked.claim.items()},
            **{name: _plain(getattr(checked, name)) for name in OF_CLAIM},
            "results": _results(checked),
        }
    made = (today or date.today()).isoformat()
    return {"made": made, "version": _release(), "claims": claims}


def compare(before: Mapping[str, Any] | None, now: Mapping[str, Any], name: str = "") -> Update:
    """Compare two states, as `state` returns them; the first may be missing.

    Examples
    --------
    >>> compare(None, {"claims": {}}).first
    True
    """
    old = before["claims"] if before else {}
    rows, results = [], []
    for claim_id in dict.fromkeys([*now["claims"], *old]):
        one, two = old.get(claim_id), now["claims"].get(claim_id)
        moved = _moved(claim_id, one, two)
        rows.append(_row(claim_id, one, two, moved, before, now))
        results += moved if before else []
    stamp = ""
    if before:
        when = before.get("made")
        stamp = f"{name} of {when}" if when else name
    table = pd.DataFrame(rows, columns=_COLUMNS)
    columns = ["claim_id", "change", "study_id", "comparison", "what"]
    return Update(stamp, table, pd.DataFrame(results, columns=columns))


def _release() -> str:
    """Return the release of this library, as it is installed."""
    try:
        return version("retroevidence")
    except PackageNotFoundError:
        return "not installed"


def _results(checked: Checked) -> dict[str, dict[str, Any]]:
    """Return what bears on a claim, by comparison."""
    frame = checked.effects
    if "comparison" not in frame.columns:
        return {}
    found = {}
    for row in frame.to_dict("records"):
        # One comparison may be named twice where single arms are counted.
        key = f"{row['comparison']}" if row["comparison"] not in found else str(row["contrast"])
        found[key] = {name: _plain(row.get(name)) for name in OF_RESULT}
        for name in ("n", "adverse_events", "minutes"):
            # What a claim that counts rests on.
            if name in row:
                found[key][name] = _plain(row[name])
    return found


def _read(path: Path) -> dict[str, Any]:
    """Read a snapshot, or the numbers of a reproduction in the same form."""
    fix = "give a snapshot.json of `update` or a results.json of `reproduce`"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RetroEvidenceError(f"{path} cannot be read ({error.strerror}); {fix}.") from None
    except ValueError:
        raise RetroEvidenceError(f"{path} is not JSON; {fix}.") from None
    try:
        claims = {
            claim_id: {"claim": claim.get("claim", {})}
            | {name: claim[name] for name in OF_CLAIM}
            | {"results": claim.get("results", {})}
            for claim_id, claim in found["claims"].items()
        }
        if "made" in found:
            return {**found, "claims": claims}
        for row in found["tables"]["effects"]:
            kept = {name: row.get(name) for name in OF_RESULT}
            claims[row["claim_id"]]["results"][row["comparison"]] = kept
        return {"version": found["versions"]["retroevidence"], "claims": claims}
    except (KeyError, TypeError, AttributeError):
        raise RetroEvidenceError(f"{path} holds no verdicts; {fix}.") from None


def _moved(
    claim_id: str, one: Mapping[str, Any] | None, two: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """List the results that entered, left or changed between two states of a claim."""
    before, after = (one or {}).get("results", {}), (two or {}).get("results", {})
    found = []
    for key in dict.fromkeys([*after, *before]):
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            change, what = ("entered", "") if old is None else ("left", "")
        else:
            parts = [
                f"{name} {_text(old.get(name))} → {_text(new[name])}"
                for name in new
                if name in old and not _same(old.get(name), new[name])
            ]
            if not parts:
                continue
            change, what = "changed", ", ".join(parts)
        study = str((new or old or {}).get("study_id") or key)
        found.append(
            {"claim_id": claim_id, "change": change, "study_id": study, "comparison": key,
             "what": what}
        )  # fmt: skip
    return found


def _row(
    claim_id: str,
    one: Mapping[str, Any] | None,
    two: Mapping[str, Any] | None,
    moved: list[dict[str, Any]],
    before: Mapping[str, Any] | None,
    now: Mapping[str, Any],
) -> dict[str, Any]:
    row: dict[str, Any] = {"claim_id": claim_id}
    for name in ("verdict", "estimate", "ci_low", "ci_high", "k", "certainty"):
        row[f"{name}_before"] = (one or {}).get(name)
        row[name] = (two or {}).get(name)
    if not before:
        return row | {"change": "new", "why": "first run"}
    if one is None:
        return row | {"change": "new", "why": "the claim is new"}
    if two is None:
        return row | {"change": "gone", "why": "the claim is no longer in the claims table"}
    differing = [name for name in OF_CLAIM if not _same(one[name], two[name])]
    if "verdict" in differing:
        change = "verdict"
    elif {"estimate", "ci_low", "ci_high"} & set(differing):
        change = "estimate"
    else:
        change = "results" if differing or moved else "none"
    return row | {"change": change, "why": _why(one, two, moved, before, now, bool(differing))}


def _why(
    one: Mapping[str, Any],
    two: Mapping[str, Any],
    moved: list[dict[str, Any]],
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    differs: bool,
) -> str:
    """Say because of what a claim's answer is another."""
    parts = []
    for change in ("entered", "left", "changed"):
        own = [
            f"{row['study_id']} ({row['what']})" if row["what"] else row["study_id"]
            for row in moved
            if row["change"] == change
        ]
        if own:
            parts.append(f"{change}: {', '.join(own)}")
    old, new = one["claim"], two["claim"]
    asked = [
        f"{name} {_text(old.get(name))} → {_text(value)}"
        for name, value in new.items()
        if name in old and not _same(old.get(name), value)
    ]
    if asked:
        parts.append(f"the claim itself: {', '.join(asked)}")
    if parts:
        return "; ".join(parts)
    if not differs:
        return ""
    versions = before.get("version"), now.get("version")
    if versions[0] != versions[1]:
        return f"same results; the library changed from {versions[0]} to {versions[1]}"
    return "same results and the same release; look at the packages below it or its rules"


def _claims(n: int) -> str:
    return f"{n} claim" if n == 1 else f"{n} claims"


def _told(row: Mapping[Any, Any]) -> str:
    """Say in one line what a claim's answer was and is."""
    if row["change"] in ("new", "gone"):
        word = row["verdict"] if row["change"] == "new" else row["verdict_before"]
        return f"{row['change']} ({word})"
    told = str(row["verdict"])
    if row["verdict"] != row["verdict_before"]:
        told = f"{row['verdict_before']} → {told}"
    for name in ("certainty", "k"):
        if row[name] != row[f"{name}_before"]:
            told += f", {name} {row[f'{name}_before']} → {row[name]}"
    if row["change"] in ("verdict", "estimate"):
        told += f", {_size(row, '_before')} → {_size(row, '')}"
    return told


def _size(row: Mapping[Any, Any], when: str) -> str:
    size, low, high = (_float(row[f"{name}{when}"]) for name in ("estimate", "ci_low", "ci_high"))
    return "no size" if math.isnan(size) else f"{number(size)} {interval(low, high)}"


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it: missing is null, an infinite limit is text."""
    if value is None or value is pd.NA or value != value:
        return None
    item = value.item() if hasattr(value, "item") else value
    return str(item) if isinstance(item, float) and math.isinf(item) else item


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, int | float) and isinstance(two, int | float):
        return math.isclose(one, two, rel_tol=SAME, abs_tol=SAME * 1e-3)
    return bool(one == two or (not one and not two and one != 0 and two != 0))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "nothing" if value is None else str(value)

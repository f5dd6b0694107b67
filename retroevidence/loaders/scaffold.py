"""An empty review of the library's own form, with one made-up example that runs end to end."""

from __future__ import annotations

import csv
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retroevidence._paths import data_dir
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.logs import LOGS, empty_log
from retroevidence.loaders.record import EXPERIMENTAL
from retroevidence.loaders.refresh import record_text, refresh
from retroevidence.loaders.sheet import RECORD, read_json

_MARK = "fictitious example, delete"

# Three made-up trials of the same comparison: (study, n, mean and SD of each arm). Round numbers
# that nobody could take for a result.
_TRIALS: Sequence[tuple[str, int, tuple[float, float], tuple[float, float]]] = (
    ("example2001", 20, (3.0, 1.0), (4.0, 1.0)),
    ("example2002", 30, (2.5, 1.5), (3.5, 1.5)),
    ("example2003", 25, (3.0, 2.0), (4.5, 2.0)),
)
_PAGE = "https://example.org/"

# Readers, topics and tasks are those of the review at hand: their columns take any word.
_OPEN = ("extractor", "condition", "outcome", "task")

# The library's own record speaks of backward walking; another review compares something else.
_GENERAL = {
    "what the backward arm or condition did": "what the experimental arm or condition got",
    "what was done backward": "what was done",
    "experimental is backward; blank if the arm is neither side of a backward comparison": (
        "experimental or comparator; blank if the arm is neither"
    ),
    "backward arm against another arm": "experimental arm against another arm",
    "backward against forward in the same people": "both conditions in the same people",
    "not an effect of backward walking": "not an effect of the experimental condition",
    "so never an effect of backward walking": "so never an effect of the experimental condition",
    "merged: backward walkers counted together with others": (
        "merged: people of the experimental arm counted together with others"
    ),
    "arm rows of the backward side": "arm rows of the experimental side",
}

# What a made-up index exports: the trials, one of them twice, and a paper that is no trial.
_EXPORT = (
    ("Stairs in a made-up trial", "2001", "10.5555/example2001"),
    ("Stairs in a made-up trial.", "2001", "10.5555/EXAMPLE2001"),
    ("A second made-up trial: ramps", "2002", "10.5555/example2002"),
    ("Lifts, made up for a third trial", "2003", "10.5555/example2003"),
    ("An opinion that nobody holds", "2004", "10.5555/example2004"),
)


def _example() -> dict[str, list[dict[str, object]]]:
    """Return the rows of the worked example, by table; every other cell is blank."""
    studies: list[dict[str, object]] = []
    arms: list[dict[str, object]] = []
    selection: list[dict[str, object]] = []
    for n, (key, size, experimental, comparator) in enumerate(_TRIALS):
        place = {"source_url": f"{_PAGE}{key}", "locator": "table 2", "note": _MARK}
        studies.append(
            {
                "study_id": key,
                "design": "parallel_rct",
                "population": "made-up people with knee osteoarthritis",
                "condition": "knee_oa",
                "n_total": 2 * size,
                "intervention": "backward walking and usual care",
                "comparator": "usual care",
                "session_min": 20,
                "sessions_per_week": 3,
                "weeks": 6,
                "task": "walking",
                "exclude": "no",
                **place,
            }
        )
        names = []
        for role, (mean, sd) in (("experimental", experimental), ("comparator", comparator)):
            names.append(f"a{len(arms) + 1:03d}")
            arms.append(
                {
                    "arm_id": names[-1],
                    "study_id": key,
                    "task": "walking",
                    "extractor": "example",
                    "outcome": "pain",
                    "instrument": "visual analogue scale",
                    "unit": "0-10",
                    "timepoint": "post",
                    "timepoint_weeks": 6,
                    "arm": "backward + usual care" if role == "experimental" else "usual care",
                    "role": role,
                    "n": size,
                    "mean": mean,
                    "sd": sd,
                    "higher_is": "worse",
                    "exclude": "no",
                    **place,
                }
            )
        selection.append(
            {
                "claim_id": "example_claim",
                "analysis": "main",
                "comparison": f"{key}:pain",
                "study_id": key,
                "experimental": names[0],
                "comparator": names[1],
                "enters": "main",
                "reason": f"trial {n + 1}: {_MARK}",
            }
        )
    claim: dict[str, object] = {
        "claim_id": "example_claim",
        "section": "Example",
        "statement": f"Backward walking lowers pain more than usual care ({_MARK})",
        "population": "knee osteoarthritis",
        "comparison": "backward walking and usual care vs usual care",
        "outcomes": "pain",
        "measure": "SMD",
        "estimand": "standardised mean difference after treatment",
        "claimed_direction": "lower",
        "unit": "SMD",
        "kind": "effect",
        "smallest": 0.2,
        "smallest_source": f"a made-up threshold; {_MARK}",
        "note": _MARK,
    }
    return {"studies": studies, "arms": arms, "claims": [claim], "selection": selection}


def new(directory: str | os.PathLike[str], title: str = "A new review") -> Path:
    """Make a directory of tables to fill in, of the same form as the library's own.

    It holds a record (``datapackage.json``) with the library's columns and rules, every table
    with its header, ``references.bib``, saved searches (``strategies.csv``, ``exports/``), empty
    logs of searches and decisions, a ``README.md`` with the steps, and one made-up example (a
    search, three studies, one claim) that runs as it is and is to be deleted.

    Parameters
    ----------
    directory : path
        Where to make it: an empty directory, or one that does not exist yet.
    title : str
        Title of the review, for its record and its README.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    RetroEvidenceError
        If `directory` is a file, holds anything, or cannot be written. Nothing is then changed.

    Examples
    --------
    >>> import tempfile
    >>> from retroevidence.loaders.tables import load
    >>> with tempfile.TemporaryDirectory() as place:
    ...     review = new(f"{place}/stairs", title="Stairs and knees")
    ...     load("studies", data=review)["study_id"].tolist()
    ['example2001', 'example2002', 'example2003']
    """
    target = Path(directory)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            kind = "holds files already" if target.is_dir() else "is a file"
            raise RetroEvidenceError(
                f"{target} {kind}, and nothing is ever overwritten; give a new or empty directory."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and then moved, the record last: a directory with a record is complete.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".retroevidence-") as beside:
            draft = Path(beside)
            _write(draft, title, target.resolve().name)
            target.mkdir(exist_ok=True)
            for path in sorted(draft.iterdir(), key=lambda path: path.name == RECORD):
                shutil.move(path, target / path.name)
    except OSError as error:
        raise RetroEvidenceError(
            f"{target} cannot be written ({error.strerror}); give a directory that can."
        ) from None
    return target


def _write(folder: Path, title: str, name: str) -> None:
    example = _example()
    source = read_json(data_dir() / RECORD)
    entries = []
    for entry in source["resources"]:
        fields = entry["schema"]["fields"]
        columns = [field["name"] for field in fields]
        for field in fields:
            if field["name"] in _OPEN:
                field.get("constraints", {}).pop("enum", None)
            for words, general in _GENERAL.items():
                field["description"] = field["description"].replace(words, general)
        rows = example.get(entry["name"], [])
        with (folder / entry["path"]).open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        entries.append(
            {key: entry[key] for key in ("name", "path", "title", "description") if key in entry}
            | {"bytes": 0, "hash": "", "rows": 0, "schema": entry["schema"]}
        )
    record = {
        "name": re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "review",
        "title": title,
        "experimental": EXPERIMENTAL,
        "resources": entries,
    }
    (folder / RECORD).write_text(record_text(record), encoding="utf-8", newline="\n")
    refresh(folder)
    (folder / "references.bib").write_text(_bibliography(), encoding="utf-8", newline="\n")
    (folder / "README.md").write_text(_readme(title, entries), encoding="utf-8", newline="\n")
    (folder / ".gitignore").write_text("local/\nresults/\n", encoding="utf-8", newline="\n")
    for log in LOGS:
        text = empty_log(log) + (_STRATEGY if log == "strategies" else "")
        (folder / f"{log}.csv").write_text(text, encoding="utf-8", newline="\n")
    (folder / "exports").mkdir()
    export = folder / "exports" / "example.ris"
    export.write_text(_export(), encoding="utf-8", newline="\n")


_STRATEGY = f'example,database,Example index,made-up,exports/example.ris,,,"{_MARK}"\n'


def _export() -> str:
    entries = [
        f"TY  - JOUR\nAU  - Example, Ann\nPY  - {year}\nTI  - {title}\n"
        f"JO  - Journal of Made-up Results\nDO  - {doi}\nER  - \n"
        for title, year, doi in _EXPORT
    ]
    return "\n".join(entries)


def _bibliography() -> str:
    entries = [
        f"@article{{{key},\n"
        f"  author = {{Example, Ann}},\n"
        f"  title = {{Made-up trial {n}}},\n"
        f"  journal = {{Journal of Made-up Results}},\n"
        f"  year = {{{key[-4:]}}},\n"
        f"  note = {{{_MARK}}},\n"
        f"}}\n"
        for n, (key, *_) in enumerate(_TRIALS, 1)
    ]
    return "\n".join(entries)


def _readme(title: str, entries: Sequence[dict[str, Any]]) -> str:
    tables = "\n".join(f"| `{entry['path']}` | {entry.get('title', '')} |" for entry in entries)
    return f"""# {title}

Tables for the Python library retroevidence. The rows called `example…` are made
up ("{_MARK}"); they show that everything runs:

    retroevidence validate .
    retroevidence check example_claim --data .
    retroevidence reproduce --data . --out results
    retroevidence search --data .

## Search and screen

1. Write one line per search into `strategies.csv`: what is asked (`query`), of which `database`
   (`kind` database, register or other), and the exported `file` (.ris, .nbib, .bib). PubMed is
   asked directly and needs no file. Then run `retroevidence search --data .`; once more at any
   later time adds what is new. `search_log.csv` keeps every run, `hits.csv` every record with why
   it is a duplicate, `records.csv` the works. Abstracts stay in `local/`, which git passes over.
2. Two people decide on each record, apart: `retroevidence screen --data . --screener NAME`, first
   on titles and abstracts, then on full texts. Stop at any time; every answer is kept at once.
   Decisions taken elsewhere come in by `--from FILE.csv`. `--status` lists conflicts and the
   agreement; a third person settles them with `--arbiter NAME`.
3. `retroevidence prisma --data .` counts and draws the flow diagram from these logs.
4. `retroevidence update --data .` says what has changed in each verdict since it last ran, and
   because of which results.

## Add a study

5. Give it one key (first author and year, such as `example2001`) and add a BibTeX entry with that
   key to `references.bib`.
6. Add one row to `studies.csv`.
7. Copy what it reports, as printed, to `arms.csv` (one row per arm: mean, SD, n, or events and n)
   or to `contrasts.csv` (a difference, a test, a p-value, or only a direction). Fill in `locator`
   and `source_url` on each row. Leave blank what is not reported; never write 0 for it.
8. Run `retroevidence validate .`: it names file, line, column and value of everything that breaks
   a rule. When the tables are as you mean them, `retroevidence validate . --refresh` writes their
   new size and hash into `{RECORD}`.

## Add a claim

9. Add one row to `claims.csv`: what is claimed, in whom, against what, on which outcomes, on which
   side, and the smallest difference that matters with its source.
10. Add one row to `selection.csv` for each result that bears on it: the two `arm_id`s or the
   `contrast_id`, and whether it enters. A result you leave out gets a row too, with the reason.
11. Run `retroevidence check YOUR_CLAIM --data .`.

## Make it yours

12. Delete the example: its rows in `selection.csv`, `claims.csv`, `arms.csv`, `studies.csv`,
   `strategies.csv`, its entries in `references.bib`, `exports/example.ris`, and what a search made
   of it (`records.csv`, `hits.csv`, `search_log.csv` below the header). A row of yours that you
   doubt is not deleted: write `yes` in `exclude`, say why in `exclude_reason`, and write `shown` in
   `enters` where `selection.csv` names it.
13. The rules are in `{RECORD}`. Columns such as `outcome`, `condition` and `task` take any
   word; list the allowed ones there (`enum`) and a misspelt word is an error. A column of your own
   is declared there, too. State your own title, licence and sources.

## Tables

| file | what it holds |
|---|---|
{tables}
"""

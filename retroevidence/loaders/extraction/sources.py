"""Where abstracts come from: a PubMed id, a text file, or a file of references."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.extraction.candidates import CANDIDATE_COLUMNS, empty_candidates
from retroevidence.loaders.extraction.extract import extract

if TYPE_CHECKING:
    from retroevidence.loaders.pubmed.client import PubMed

_REFERENCES = (".bib", ".bibtex", ".ris", ".nbib")
_COLUMNS = ("source", "study_id", "pmid", "doi", "url", "abstract")


def records_of(
    sources: Iterable[str],
    *,
    pubmed: PubMed | None = None,
    data: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Read the abstracts of some sources.

    Parameters
    ----------
    sources : iterable of str
        PubMed ids; files of plain text, one abstract each; or files of references (``.nbib``,
        ``.ris``, ``.bib``) with abstracts.
    pubmed : PubMed, optional
        A client, needed for PubMed ids.
    data : path, optional
        Directory of tables, whose ``references.bib`` gives a known pmid or doi its key.

    Returns
    -------
    DataFrame
        Columns source, study_id, pmid, doi, url, abstract (``<NA>`` if a record has none). The
        study is blank for a work that the bibliography of `data` does not have.

    Raises
    ------
    RetroEvidenceError
        If a source is no file and no id, or an id is given without a client.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "one.txt"
    >>> _ = file.write_text("Pain fell (p < .05).")
    >>> records_of([str(file)])[["source", "abstract"]].values.tolist()
    [['one.txt', 'Pain fell (p < .05).']]
    """
    parts: list[pd.DataFrame] = []
    ids: list[str] = []
    for source in sources:
        path = Path(source)
        if path.is_file():
            parts.append(_of_file(path))
        elif re.fullmatch(r"\d{1,9}", source):
            ids.append(source)
        else:
            raise RetroEvidenceError(f"{source} is no file and no PubMed id; check the name.")
    if ids:
        if pubmed is None:
            raise RetroEvidenceError(
                f"{ids[0]} is a PubMed id, and PubMed asks for your address; "
                "add: --email you@example.org"
            )
        found = pubmed.fetch(ids)
        parts.append(found.assign(source="PubMed " + found["pmid"]))
    if not parts:
        raise RetroEvidenceError("nothing is given to read; give a PubMed id or a file.")
    table = pd.concat([_form(part) for part in parts], ignore_index=True)
    table["study_id"] = _keys(table, data)
    return table


def _of_file(path: Path) -> pd.DataFrame:
    if path.suffix.casefold() in _REFERENCES:
        from retroevidence.loaders.references import read_references

        return read_references(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RetroEvidenceError(
            f"{path.name} cannot be read ({reason}); save it as plain text in UTF-8."
        ) from None
    url = f"no address: text file {path.name}"
    return pd.DataFrame([{"source": path.name, "abstract": text.strip() or None, "url": url}])


def _form(part: pd.DataFrame) -> pd.DataFrame:
    return part.reindex(columns=list(_COLUMNS)).astype("string")


def _keys(table: pd.DataFrame, data: str | os.PathLike[str] | None) -> pd.Series:
    """Look works up in the bibliography by PubMed id, else by doi."""
    from retroevidence.loaders.bibliography import bibliography

    known = bibliography(data)
    keys = pd.Series(pd.NA, index=table.index, dtype="string")
    for name in ("pmid", "doi"):
        have = known[known[name].notna()]
        by_id = dict(zip(have[name].str.casefold(), have["key"], strict=True))
        keys = keys.fillna(table[name].str.casefold().map(by_id).astype("string"))
    return keys


def extract_all(
    records: pd.DataFrame,
    study_id: str | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Propose results of several records, one after the other.

    Parameters
    ----------
    records : DataFrame
        As :func:`records_of` gives them; a record without an abstract gives no row.
    study_id : str, optional
        Key of the study, for a single record.
    data : path, optional
        Directory of tables.

    Returns
    -------
    DataFrame
        As :func:`~retroevidence.loaders.extraction.extract.extract`.

    Raises
    ------
    RetroEvidenceError
        If one study is named for several records.

    Examples
    --------
    >>> records = pd.DataFrame({"abstract": ["Pain (VAS) fell (p < .05).", None]})
    >>> extract_all(records)["text"].tolist()
    ['fell (p < .05']
    """
    if study_id is not None and len(records) > 1:
        raise RetroEvidenceError(
            f"{study_id} is named for {len(records)} records; give one record with --study."
        )
    parts = []
    for record in records.to_dict("records"):
        cells = {str(name): cell for name, cell in record.items() if not pd.isna(cell)}
        if "abstract" in cells:
            key = study_id or cells.get("study_id")
            parts.append(extract(cells, study_id=key, data=data))
    filled = [part for part in parts if len(part)]
    if not filled:
        return empty_candidates()
    return pd.concat(filled, ignore_index=True)[list(CANDIDATE_COLUMNS)]

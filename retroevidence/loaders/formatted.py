"""Citations and lists of references in the styles of journals (CSL, by citeproc-py)."""

from __future__ import annotations

import html
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from retroevidence.errors import RetroEvidenceError, check_name, unknown_name
from retroevidence.loaders.bibliography import bibliography

#: The styles that travel with the library, one CSL file each.
STYLES = ("apa", "vancouver")

_FOLDER = Path(__file__).with_name("styles")

# What CSL calls the kinds of BibTeX; `misc` (a registry, a page) has no journal to stand in.
_KINDS = {
    "article": "article-journal",
    "book": "book",
    "incollection": "chapter",
    "inproceedings": "paper-conference",
    "phdthesis": "thesis",
    "mastersthesis": "thesis",
    "techreport": "report",
}

_MENDED = (
    *((" .", "."), ("..", "."), ("?.", "?"), ("!.", "!")),
    *(
        (f"{comma} {sign} et al.", f"{comma} et al.")
        for comma in (",", "")
        for sign in ("&", "&amp;")
    ),
)


@dataclass(frozen=True, repr=False)
class Formatted:
    """References in one style, in its order, and how the text cites each.

    Attributes
    ----------
    style : str
        The style asked for.
    lines : tuple of str
        The list of references as plain text: by author (APA), or numbered (Vancouver).
    html_lines : tuple of str
        The same with italics, as HTML.
    citations : dict
        How the text cites each key.

    Examples
    --------
    >>> refs = format_references(["roos2012", "knapp2003"], style="vancouver")
    >>> refs.cite("knapp2003")
    '(2)'
    """

    style: str
    lines: tuple[str, ...]
    html_lines: tuple[str, ...]
    citations: Mapping[str, str]

    def cite(self, key: str) -> str:
        """Return how the text cites `key`.

        Parameters
        ----------
        key : str
            One of the keys the list was made from.

        Returns
        -------
        str
            ``"(Knapp & Hartung, 2003)"`` or ``"(2)"``.

        Raises
        ------
        UnknownNameError
            If the list was made without it.

        Examples
        --------
        >>> format_references(["knapp2003"]).cite("knapp2003")
        '(Knapp & Hartung, 2003)'
        """
        if key not in self.citations:
            raise unknown_name("reference of this list", key, self.citations)
        return self.citations[key]

    def __repr__(self) -> str:
        """Show the list, one reference a line."""
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        items = "".join(
            f'<p style="margin:0 0 .4em 1.5em;text-indent:-1.5em">{line}</p>'
            for line in self.html_lines
        )
        return f"<div>{items}</div>"


def cite(*keys: str, style: str = "apa", data: str | os.PathLike[str] | None = None) -> str:
    """Return how a text cites one reference or several.

    Parameters
    ----------
    *keys : str
        Keys of ``references.bib``.
    style : str
        ``"apa"``, ``"vancouver"``, or the path of a CSL file. A style with numbers counts from 1
        in the order of `keys`; for a whole text use :func:`format_references`.
    data : path, optional
        As in :func:`retroevidence.loaders.bibliography.bibliography`.

    Returns
    -------
    str
        The citation in its brackets.

    Raises
    ------
    UnknownNameError
        If there is no such key or style.

    Examples
    --------
    >>> cite("knapp2003", "roos2012")
    '(Knapp & Hartung, 2003; Roos et al., 2012)'
    """
    engine, rows = _engine(keys, style, data, "plain")
    return _cited(engine, [str(row["id"]) for row in rows])


def format_references(
    keys: Iterable[str] | None = None,
    style: str = "apa",
    data: str | os.PathLike[str] | None = None,
) -> Formatted:
    """Return a list of references as journals print it.

    Parameters
    ----------
    keys : iterable of str, optional
        Keys of ``references.bib``, in the order of citation; by default all.
    style : str
        ``"apa"``, ``"vancouver"``, or the path of a CSL file.
    data : path, optional
        As in :func:`retroevidence.loaders.bibliography.bibliography`.

    Returns
    -------
    Formatted
        The list, which shows itself, and the citation of each key.

    Raises
    ------
    UnknownNameError
        If there is no such key or style.
    RetroEvidenceError
        If a CSL file cannot be read.

    Examples
    --------
    >>> print(format_references(["knapp2003"]))
    Knapp, G., & Hartung, J. (2003). Improved tests for a random effects meta-regression with a
    single covariate. Statistics in Medicine, 22(17), 2693–2710. https://doi.org/10.1002/sim.1482
    """
    chosen = None if keys is None else list(dict.fromkeys(keys))
    made = []
    for output in ("plain", "html"):
        engine, rows = _engine(chosen, style, data, output)
        engine.sort()
        made.append(tuple(_tidy(str(line)) for line in engine.bibliography()))
    plain, _ = _engine(chosen, style, data, "plain")
    plain.sort()
    marks = {str(row["id"]): _cited(plain, [str(row["id"])]) for row in rows}
    return Formatted(style, made[0], made[1], marks)


def _engine(
    keys: Iterable[str] | None,
    style: str,
    data: str | os.PathLike[str] | None,
    output: str,
) -> tuple[Any, list[dict[str, Any]]]:
    """Hand the references to citeproc, all of them cited once in the order of `keys`."""
    # Imported here: citeproc and its XML parser take longer than the rest of the package.
    from citeproc import CitationStylesBibliography, CitationStylesStyle, formatter
    from citeproc.source.json import CiteProcJSON

    table = bibliography(data)
    entries = {str(row["key"]): row for row in table.to_dict("records")}
    wanted = list(entries) if keys is None else list(keys)
    for key in wanted:
        check_name("reference", key, entries)
    rows = [_csl(key, entries[key], escape=output == "html") for key in wanted]
    path = _FOLDER / f"{style}.csl" if style in STYLES else Path(style)
    if style not in STYLES and path.suffix != ".csl":
        raise unknown_name("style", style, STYLES)
    if not path.is_file():
        raise RetroEvidenceError(f"{path} cannot be read as a style (there is no such file).")
    try:
        with warnings.catch_warnings():
            # It warns of fields that the style does not use, once per reference.
            warnings.simplefilter("ignore", UserWarning)
            chosen = CitationStylesStyle(str(path), validate=False)
            engine = CitationStylesBibliography(
                chosen, CiteProcJSON(rows), getattr(formatter, output)
            )
            engine.register(_citation(wanted))
    except (OSError, SyntaxError, ValueError) as error:
        reason = str(error).partition(". ")[0]
        raise RetroEvidenceError(
            f"{path} cannot be read as a style ({reason}); give a CSL file, or one of: "
            f"{', '.join(STYLES)}."
        ) from None
    return engine, rows


def _citation(keys: Iterable[str]) -> Any:
    from citeproc import Citation, CitationItem

    return Citation([CitationItem(key.lower()) for key in keys])


def _cited(engine: Any, keys: list[str]) -> str:
    citation = _citation(keys)
    engine.register(citation)
    return _tidy(str(engine.cite(citation, lambda item: None)))


def _csl(key: str, row: Mapping[Any, Any], *, escape: bool) -> dict[str, Any]:
    """Write one row as CSL's JSON has it."""
    from retroevidence.loaders.people import full_name

    text = {
        str(name): ""
        if pd.isna(value)
        else html.escape(str(value), quote=False)
        if escape
        else str(value)
        for name, value in row.items()
    }
    kind = _KINDS.get(text["type"], "webpage")
    people = [full_name(name) for name in text["authors"].split("; ") if name]
    container = (
        "container-title"
        if kind in ("article-journal", "chapter", "paper-conference")
        else "publisher"
    )
    entry: dict[str, Any] = {
        "id": key,
        "type": kind,
        "title": text["title"].rstrip(".") or "[title not shown]",
        "author": [_person(name) for name in people],
        container: text["journal"],
        "volume": text["volume"],
        "issue": text["number"],
        "page": text["pages"],
        "DOI": text["doi"],
        "URL": "" if text["doi"] else text["url"],
    }
    if text["year"]:
        entry["issued"] = {"date-parts": [[int(text["year"])]]}
    return {name: value for name, value in entry.items() if value}


def _person(name: str) -> dict[str, str]:
    if name == "et al.":
        # CSL has no word for an open list of authors.
        return {"literal": "et al."}
    if name.startswith("{"):
        return {"literal": name[1:-1]}
    family, *rest = name.split(", ")
    person = {"family": family}
    if rest:
        person["given"] = rest[-1]
    if len(rest) > 1:
        person["suffix"] = rest[0]
    return person


def _tidy(line: str) -> str:
    """Drop the second point where a title or a name brings its own, and "and" before "et al."."""
    for made, wanted in _MENDED:
        line = line.replace(made, wanted)
    return line.strip()

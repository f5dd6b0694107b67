"""BibTeX: text to rows and rows to text, with every broken entry named by its line."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from retroevidence.errors import TableError
from retroevidence.loaders.people import initials_of

# A column and the BibTeX (or BibLaTeX) fields it is read from; the first one that is there wins.
_FIELDS = {
    "title": ("title",),
    "journal": (
        "journal",
        "journaltitle",
        "booktitle",
        "howpublished",
        "publisher",
        "school",
        "institution",
    ),
    "volume": ("volume",),
    "number": ("number", "issue"),
    "pages": ("pages", "eid"),
    "doi": ("doi",),
    "pmid": ("pmid",),
    "pmcid": ("pmcid",),
    "url": ("url",),
    "abstract": ("abstract",),
    "note": ("note",),
}

# In an address `%` and `_` are themselves, not LaTeX.
_VERBATIM = {"doi", "pmid", "pmcid", "url"}

_ESCAPE = re.compile(r"\\([&%#$_{}])")
_MISSING_AT = re.compile(r"^[ \t]*(article|misc|book|in\w+|\w*thesis|techreport)\s*\{", re.I | re.M)

# What BibTeX would read as a command or a comment.
_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%#$_{}"} | {"~": r"\textasciitilde{}", "\\": r"\textbackslash{}"}
)

# Where BibTeX keeps the name of what a work stands in.
_CONTAINER = {
    "article": "journal",
    "incollection": "booktitle",
    "inproceedings": "booktitle",
    "book": "publisher",
    "phdthesis": "school",
    "mastersthesis": "school",
    "techreport": "institution",
}


def rows_of_bibtex(text: str, file: str) -> list[dict[str, Any]]:
    r"""Read BibTeX.

    Parameters
    ----------
    text : str
        The content of a file.
    file : str
        Its name, for messages.

    Returns
    -------
    list of dict
        One per entry, as in :func:`retroevidence.loaders.references.read_references`; LaTeX
        commands are letters, and grouping braces are gone.

    Raises
    ------
    TableError
        If entries cannot be read, share a key or repeat a field, or a year is none; the message
        names every such line.

    Examples
    --------
    >>> row = rows_of_bibtex(r'@book{a1, author={M{\"u}ller, Eva}, title={A {B}}}', "a.bib")[0]
    >>> row["key"], row["authors"], row["names"], row["title"]
    ('a1', 'Müller E', 'Müller, Eva', 'A B')
    """
    from bibtexparser import middlewares
    from bibtexparser.entrypoint import parse_string

    with _quiet():
        library = parse_string(
            text,
            append_middleware=[
                middlewares.NormalizeFieldKeys(),
                middlewares.SeparateCoAuthors(),
                middlewares.SplitNameParts(),
                middlewares.MergeNameParts("last"),
            ],
        )
    _refuse_broken(file, library)
    entries = [(entry, {f.key: f.value for f in entry.fields}) for entry in library.entries]
    plain = _plain(
        part
        for _, fields in entries
        for name, value in fields.items()
        if name not in _VERBATIM
        for part in (value if isinstance(value, list) else [value])
    )
    rows = []
    for entry, fields in entries:
        row: dict[str, Any] = {"key": entry.key, "type": entry.entry_type}
        people = fields.get("author") or fields.get("editor") or []
        names = [_full(plain[name], name) for name in people]
        row["authors"] = "; ".join(map(initials_of, names))
        row["names"] = "; ".join(names)
        row["year"] = _year(file, entry, plain, fields)
        for column, sources in _FIELDS.items():
            value = next((fields[name] for name in sources if fields.get(name)), "")
            row[column] = value if column in _VERBATIM else plain.get(value, "")
        row["pages"] = row["pages"].replace("–", "-").replace("--", "-")
        row["line"] = (entry.start_line or 0) + 1
        rows.append(row)
    return rows


def bibtex_of_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    r"""Write BibTeX in UTF-8; the letters stay letters, only what BibTeX would act on is escaped.

    Parameters
    ----------
    rows : iterable of dict
        Rows as :func:`rows_of_bibtex` gives them.

    Returns
    -------
    str
        One entry per row, in their order.

    Examples
    --------
    >>> print(bibtex_of_rows([{"key": "a1", "type": "article", "names": "Müller, Eva; {WHO}",
    ...                        "title": "Gait & time", "journal": "Gait", "year": 2020}]))
    @article{a1,
      author = {Müller, Eva and {WHO}},
      year = {2020},
      title = {Gait \& time},
      journal = {Gait}
    }
    """
    from bibtexparser.entrypoint import write_string
    from bibtexparser.library import Library
    from bibtexparser.model import Block, Entry, Field
    from bibtexparser.writer import BibtexFormat

    entries: list[Block] = []
    for row in rows:
        names = [n for n in str(row.get("names") or "").split("; ") if n]
        values = {"author": " and ".join(map(_written, names))}
        values["year"] = str(row.get("year") or "")
        for column in _FIELDS:
            text = str(row.get(column) or "")
            verbatim = column in _VERBATIM
            target = _CONTAINER.get(str(row["type"]), "howpublished")
            name = target if column == "journal" else column
            values[name] = text if verbatim else text.translate(_SPECIAL)
        if values.get("pages"):
            values["pages"] = values["pages"].replace("-", "--")
        fields = [Field(name, f"{{{value}}}") for name, value in values.items() if value]
        entries.append(Entry(str(row["type"]), str(row["key"]), fields))
    layout = BibtexFormat()  # type: ignore[no-untyped-call]
    layout.indent = "  "
    layout.block_separator = "\n\n"
    return write_string(Library(entries), unparse_stack=[], bibtex_format=layout)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the parser's own log: what it says there is raised as an error, with the line."""
    log = logging.getLogger("bibtexparser")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


def _refuse_broken(file: str, library: Any) -> None:
    """Raise one error that names every entry the parser could not take."""
    from bibtexparser.model import DuplicateBlockKeyBlock, DuplicateFieldKeyBlock

    broken = []
    for block in library.failed_blocks:
        line = block.start_line + 1
        if isinstance(block, DuplicateBlockKeyBlock):
            first = (block.previous_block.start_line or 0) + 1
            broken.append((line, f"the key {block.key!r} is already used on line {first}"))
        elif isinstance(block, DuplicateFieldKeyBlock):
            names = ", ".join(sorted(block.duplicate_keys))
            broken.append((line, f"the entry gives {names} twice"))
        else:
            reason = getattr(block.error, "abort_reason", None) or str(block.error)
            broken.append((line, "the entry cannot be read: " + " ".join(reason.split())))
    for comment in library.comments:
        # BibTeX takes any text between entries for a comment, so a lost @ would lose an entry.
        for hit in _MISSING_AT.finditer(comment.comment):
            before = comment.comment[: hit.start()].count("\n")
            line = (comment.start_line or 0) + 1 + before
            broken.append((line, "this looks like an entry without its @"))
    if not broken:
        return
    broken.sort()
    (line, rule), *others = broken
    rest = "".join(f"; line {n}: {text}" for n, text in others)
    entry = "this entry" if not others else "these entries"
    raise TableError(file, rule + rest, f"mend or remove {entry}", row=line)


def _plain(texts: Iterable[str]) -> dict[str, str]:
    """Turn BibTeX text into plain text: grouping braces go, LaTeX commands become letters."""
    plain = {}
    commands = []
    for text in dict.fromkeys(texts):
        simple = _ESCAPE.sub(r"\1", re.sub(r"(?<!\\)[{}]", "", text).replace("~", " "))
        if "\\" in _ESCAPE.sub("", text) or "$" in simple.replace(r"\$", ""):
            commands.append(text)
        plain[text] = " ".join(simple.split())
    if commands:
        # The decoder is slow to build and to run, and most entries need none.
        from bibtexparser.library import Library
        from bibtexparser.middlewares import LatexDecodingMiddleware
        from bibtexparser.model import Entry, Field

        # Braces that are letters pass the decoder as letters of no alphabet.
        hidden = [text.replace(r"\{", "\ue000").replace(r"\}", "\ue001") for text in commands]
        library = Library([Entry("misc", str(n), [Field("x", t)]) for n, t in enumerate(hidden)])
        decoded = LatexDecodingMiddleware(keep_math_mode=False).transform(library)
        for text, entry in zip(commands, decoded.entries, strict=True):
            bare = re.sub(r"[{}]", "", entry["x"]).replace("\ue000", "{").replace("\ue001", "}")
            plain[text] = " ".join(bare.split())
    return plain


def _full(name: str, raw: str) -> str:
    """Write a person as "Family, Given"; a braced name keeps its braces, for it has no parts."""
    if name == "others":
        return "et al."
    if raw.startswith("{") and raw.endswith("}"):
        return f"{{{name}}}"
    return name


def _written(name: str) -> str:
    if name == "et al.":
        return "others"
    escaped = re.sub(r"([&%#$_])", r"\\\1", name)
    return f"{{{escaped}}}" if " and " in name and not name.startswith("{") else escaped


def _year(file: str, entry: Any, plain: dict[str, str], fields: dict[str, Any]) -> int | None:
    text = plain.get(fields.get("year") or fields.get("date") or "", "")
    if not text:
        return None
    found = re.match(r"(\d{4})(?!\d)", text)
    if found is None:
        raise TableError(
            file,
            "is not a year",
            "write four digits, or leave the field out and say why in note",
            row=entry.start_line + 1,
            column=f"year of {entry.key}",
            value=text,
        )
    return int(found[1])

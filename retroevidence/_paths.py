"""Where the tables and the bibliography are, in a checkout and in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from retroevidence.errors import RetroEvidenceError

_PACKAGE = Path(__file__).resolve().parent
_BIB = "references.bib"


def data_dir(data: str | os.PathLike[str] | None = None) -> Path:
    """Return the directory of the tables.

    Parameters
    ----------
    data : path, optional
        A directory of the same form as the library's own ``data/``. By default the tables that
        travel with the library.

    Raises
    ------
    RetroEvidenceError
        If `data` is no directory.
    """
    if data is not None:
        chosen = Path(data)
        if not chosen.is_dir():
            raise RetroEvidenceError(
                f"{chosen} is no directory; give the directory that holds the tables, "
                "or make one with: retroevidence new DIR"
            )
        return chosen
    inside = _PACKAGE / "_data"
    return inside if inside.is_dir() else _PACKAGE.parent / "data"


def bibliography_path(data: str | os.PathLike[str] | None = None) -> Path:
    """Return the BibTeX file that belongs to a directory of tables.

    It lies inside the directory (the wheel, a user's review) or beside it (a checkout).
    """
    folder = data_dir(data)
    inside = folder / _BIB
    return inside if inside.is_file() else folder.parent / _BIB


def write_beside(path: Path, content: str | bytes) -> None:
    """Write a file as a whole or not at all: beside it first, then under its name.

    Parameters
    ----------
    path : Path
        The file; what it held is replaced.
    content : str or bytes
        What it shall hold; a text is written as UTF-8 with Unix line ends.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

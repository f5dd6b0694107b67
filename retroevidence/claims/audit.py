"""The citation audit: of the references that a claim's article cites, or of any list."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd

from retroevidence.claims.citations import audit_citations
from retroevidence.claims.reference_list import audit_references


def audit(
    references: str | os.PathLike[str] | pd.DataFrame | None = None,
    *,
    library: str | os.PathLike[str] | pd.DataFrame | None = None,
    pubmed: Any = None,
    data: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Judge whether references exist as cited.

    Parameters
    ----------
    references : path or DataFrame, optional
        A list of references (text, BibTeX, RIS, nbib, or a table). By default the references of
        the article, from the table ``citations`` of `data`, with the candidates found for them.
    library, pubmed : optional
        Where to look for the references of a list: see
        :func:`retroevidence.claims.reference_list.audit_references`.
    data : path, optional
        A directory of tables. By default the library's own.

    Returns
    -------
    DataFrame
        One row per reference: cited_no, cited, verdict (verified, mis-cited, not located or not
        assessed), what agrees and differs, where one looked, when, and the reason.

    Examples
    --------
    >>> audit()["verdict"].value_counts().to_dict()
    {'not located': 5, 'mis-cited': 1}
    """
    if references is None:
        return audit_citations(data)
    return audit_references(references, library=library, pubmed=pubmed, data=data)

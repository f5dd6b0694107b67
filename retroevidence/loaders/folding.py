"""Texts without case, accents and punctuation, to compare what sources spell in many ways."""

from __future__ import annotations

import re
import unicodedata


def folded(text: str) -> str:
    """Drop case and accents.

    Examples
    --------
    >>> folded("Gáit: in OLD age.")
    'gait: in old age.'
    """
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c))


def folded_words(text: str) -> list[str]:
    """Return the words of a text, folded.

    Examples
    --------
    >>> folded_words("Gáit: in OLD age.")
    ['gait', 'in', 'old', 'age']
    """
    return re.findall(r"\w+", folded(text))

"""Names of authors: with initials as tables show them, in full as files keep them."""

from __future__ import annotations

import re

_INITIALS = re.compile(r"[A-ZÀ-ÖØ-Þ][A-ZÀ-ÖØ-Þ-]{0,4}")
_SUFFIX = re.compile(r"(Jr|Sr|[IV]{2,3}|\d(st|nd|rd|th))\.?")


def initials_of(name: str) -> str:
    """Shorten ``"Family, Given"`` to ``"Family G"``, the form of PubMed.

    Parameters
    ----------
    name : str
        ``"Family, Given"``, ``"Family, Suffix, Given"``, or a body in braces.

    Returns
    -------
    str
        The family name and the initials of the given names, without points.

    Examples
    --------
    >>> initials_of("van Deursen, Robert W. M."), initials_of("King, Jr, Martin")
    ('van Deursen RWM', 'King M Jr')
    >>> initials_of("{World Health Organization}")
    'World Health Organization'
    """
    if name.startswith("{") and name.endswith("}"):
        return name[1:-1]
    family, *rest = [part.strip() for part in name.split(",")]
    given = rest[-1] if rest else ""
    initials = "".join(part[0].upper() for part in re.split(r"[\s.\-‐]+", given) if part)
    suffix = f" {rest[0]}" if len(rest) > 1 else ""
    return f"{family} {initials}{suffix}".strip()


def full_name(short: str) -> str:
    """Turn ``"Family GM"`` back into ``"Family, G. M."``; what has no initials is a body.

    Parameters
    ----------
    short : str
        A name as :func:`initials_of` gives it.

    Returns
    -------
    str
        ``"Family, G. M."``, or the name in braces.

    Examples
    --------
    >>> full_name("van Deursen RWM"), full_name("King M Jr"), full_name("Cochrane Group")
    ('van Deursen, R. W. M.', 'King, Jr, M.', '{Cochrane Group}')
    """
    if short == "et al.":
        return short
    words = short.split()
    suffix = words.pop() if len(words) > 2 and _SUFFIX.fullmatch(words[-1]) else ""
    if len(words) < 2 or not _INITIALS.fullmatch(words[-1]):
        return f"{{{short}}}"
    given = " ".join(f"{letter}." for letter in words[-1].replace("-", ""))
    family = " ".join(words[:-1])
    return ", ".join(part for part in (family, suffix.rstrip("."), given) if part)

"""An abstract as sentences with positions: which part of it each belongs to, and where.

Every step keeps one character for one character, so a position in the cleaned text is the same
position in the text as printed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Signs that stand for another: minus signs, hyphens, spaces, full-width and look-alike marks.
_SIGNS = str.maketrans(
    dict.fromkeys("−–‐‑‒﹣－", "-")
    | dict.fromkeys("\u00a0\u2002\u2003\u2005\u2007\u2008\u2009\u200a\u202f\n\r\t", " ")
    | {"＜": "<", "＞": ">", "＝": "=", "⩽": "≤", "⩾": "≥", "﹤": "<", "﹥": ">", "’": "'"}
)
_DOT = re.compile(r"(?<=\d)[·∙⋅•](?=\d)")

_LABELS = {
    "aim": "background|introduction|objectives?|aims?|purpose|context|rationale|hypothesis|"
    "importance|question",
    "methods": "methods?|materials and methods|patients and methods|subjects and methods|"
    "methods and materials|design|setting|participants|subjects|patients|interventions?|"
    "main outcome measures?|outcome measures?|measurements|study design|procedures?|"
    "design, setting, and participants|main outcomes and measures|trial registration",
    "results": "results?|findings|main results|outcomes|results and discussion",
    "conclusion": "conclusions?|interpretation|discussion|implications|significance|"
    "conclusions and relevance|clinical relevance|practical applications|funding|"
    "clinical implications|conclusion and relevance",
}
_LABEL = re.compile(
    r"(?:^|(?<=[.!?\])] )|(?<=\n))\s*(?P<label>"
    + "|".join(f"(?P<{kind}>{words})" for kind, words in _LABELS.items())
    + r")\s*(?::|\.(?=\s+[A-Z0-9]))",
    re.I,
)
_CONCLUDING = re.compile(
    r"\s*(?:in (?:conclusion|summary)|to conclude|we (?:conclude|suggest|recommend)|overall,|"
    r"(?:these|our|the present|the) (?:results|findings|data|study) (?:suggest|indicate|show that|"
    r"demonstrate|support)|this (?:review|protocol))",
    re.I,
)
_AIMING = re.compile(
    r"\s*(?:(?:the )?(?:aim|purpose|objective)s? (?:of|was|is)|this (?:study|trial) (?:aimed|"
    r"examined|investigated|compared|describes|evaluated)|we (?:aimed|sought|hypothesi[sz]ed)|to "
    r"(?:compare|test|determine|investigate|evaluate|examine|assess))\b",
    re.I,
)
_NO_END = re.compile(
    r"(?:\b(?:vs|i\.e|e\.g|al|approx|Fig|No|St|Dr|ca|resp|cf|incl|Jan|Feb|Aug|Sept?|Oct|Nov|Dec|"
    r"[Pp]|[A-Z])\.)$"
)
_END = re.compile(r"[.!?][\"')\]]?(?=\s+[\"'(\[]?[A-Z0-9]|\s*$)")


@dataclass(frozen=True)
class Sentence:
    """A sentence: its place in the text, and the part of the abstract it stands in.

    Attributes
    ----------
    start, end : int
        Positions in the text.
    part : str
        ``aim``, ``methods``, ``results``, ``conclusion``, or ``""`` where no label says it.
    """

    start: int
    end: int
    part: str


def plain(text: str) -> str:
    """Write look-alike signs as their plain form, one character for one.

    Examples
    --------
    >>> plain("P=0·03, −2.1 (–4 to –0.2)")
    'P=0.03, -2.1 (-4 to -0.2)'
    """
    return _DOT.sub(".", text.translate(_SIGNS))


def sentences(text: str) -> list[Sentence]:
    """Divide an abstract into sentences; labels such as ``RESULTS:`` say the part.

    Parameters
    ----------
    text : str
        The abstract as printed.

    Returns
    -------
    list of Sentence
        In the order of the text; labels belong to no sentence.

    Examples
    --------
    >>> text = "METHODS: We asked ten. RESULTS: Pain fell (p < .05). It lasted."
    >>> [(text[s.start:s.end], s.part) for s in sentences(text)][1:]
    [('Pain fell (p < .05).', 'results'), ('It lasted.', 'results')]
    """
    labels = list(_LABEL.finditer(text))
    bounds = [(0, "")] + [(m.end(), _part(m)) for m in labels]
    ends = [m.start("label") for m in labels] + [len(text)]
    flat = plain(text)
    found: list[Sentence] = []
    for (start, part), end in zip(bounds, ends, strict=True):
        for low, high in _divide(flat, start, end):
            own = part
            if part in ("", "results") and _CONCLUDING.match(flat, low):
                own = "conclusion"
            elif part == "" and _AIMING.match(flat, low):
                own = "aim"
            found.append(Sentence(low, high, own))
    return found


def _part(label: re.Match[str]) -> str:
    return next(kind for kind in _LABELS if label[kind])


def _divide(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Find sentences between two positions; a point inside brackets ends none."""
    pieces, low = [], start
    for mark in _END.finditer(text, start, end):
        before = text[low : mark.end()]
        if _NO_END.search(before) and mark.end() < end:
            continue
        if before.count("(") + before.count("[") > before.count(")") + before.count("]"):
            continue
        pieces.append((low, mark.end()))
        low = mark.end()
    pieces.append((low, end))
    trimmed = []
    for low, high in pieces:
        inside = text[low:high]
        left = len(inside) - len(inside.lstrip())
        if inside.strip():
            trimmed.append((low + left, low + len(inside.rstrip())))
    return trimmed

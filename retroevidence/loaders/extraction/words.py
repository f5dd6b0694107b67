"""Words of results: which way, between whom, and when."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADVERB = (
    r"(?:(?:statistically|clinically|significantly|slightly|markedly|substantially|also|still|"
    r"much|consistently|generally|marginally|even) )*"
)
_UP = (
    r"higher|greater|larger|longer|more|bigger|elevated|increas\w+|rose|risen|gain(?:s|ed)?|raised|"
    r"prolonged"
)
_DOWN = (
    r"lower(?:ed)?|less|smaller|shorter|fewer|reduc\w+|decreas\w+|declin\w+|fell|fallen|dropped|"
    r"diminish\w+|shortened"
)
_GOOD = r"improv\w+|better|superior|faster|ameliorat\w+|enhanced?"
_BAD = r"wors\w+|deteriorat\w+|inferior|poorer|slower|impaired"
_WORDS = {"higher": _UP, "lower": _DOWN, "better": _GOOD, "worse": _BAD}
_ANY = "|".join(_WORDS.values())
_CHANGE = (
    r"increas\w+|rose|risen|gain(?:s|ed)?|reduc\w+|decreas\w+|declin\w+|fell|fallen|dropped|"
    r"improv\w+|diminish\w+|deteriorat\w+|wors\w+|ameliorat\w+|enhanced?|lowered"
)

_NONE = re.compile(
    r"\b(?:"
    r"(?:no|without(?: any)?) (?:(?:statistically|clinically|significant|relevant|between-group|"
    r"group|intergroup|further|other|such|within-group|meaningful|important|main) )*"
    r"(?:differences?|changes?|effects?|improvements?|increases?|decreases?|reductions?|benefits?)"
    r"|(?:did|do|does|was|were|is|are|had|has|have) not (?:been )?"
    + _ADVERB
    + r"(?:differ(?:ent)?|change[ds]?|improve[ds]?|increase[ds]?|decrease[ds]?|reduced?|"
    r"significant|affect(?:ed)?|altered|alter)\b(?: different)?"
    r"|not (?:statistically )?significant(?:ly)?(?: different)?"
    r"|(?:was|were|remained|are|is) " + _ADVERB + r"(?:similar|comparable|unchanged|equivalent|"
    r"unaltered|stable|the same)"
    r"|(?:differed|improved) non-?significantly"
    r")\b",
    re.I,
)
_NOUN = re.compile(
    r"\b(?:(?P<more>greater|larger|more|bigger|better|superior|faster|additional|smaller|less) )?"
    r"(?:(?:statistically|clinically|significantly|significant|marked|substantial) )*"
    r"(?P<word>improvements?|reductions?|decreases?|declines?|increases?|gains?|deteriorations?)"
    r"(?= (?:in|of|for|from|was|were|on|at|after|than)\b)",
    re.I,
)
_VERB = re.compile(
    rf"\b{_ADVERB}(?P<word>{_CHANGE})\b(?! (?:risk|in (?:both|the)\b.{{0,3}}$))"
    r"(?: significantly)?(?P<more> more\b| to a greater extent)?(?: by(?= ?[-+\d.{]))?",
    re.I,
)
_ADJECTIVE = re.compile(
    rf"\b(?P<verb>(?:was|were|is|are|had|showed|demonstrated|exhibited|produced|have|has) )?"
    rf"{_ADVERB}(?P<word>{_ANY}|in favou?r of|favou?red)\b"
    r"(?! (?:than (?:half|\d)|or (?:equal|more)))(?!-)",
    re.I,
)
_SKIP = re.compile(
    r"(?:\bor|at least|no|once|the|\d) (?:more|less|higher|fewer)$|\b(?:to|which) \w+$", re.I
)
_COMPARING = re.compile(
    r"\bthan\b|\bcompared (?:with|to)\b|\bversus\b|\bvs\b|\bbetween[- ](?:the )?(?:two )?groups?\b|"
    r"\brelative to\b|\bcompared the\b|\bbetween the\b|\bin favou?r of\b|\bbetween-group\b",
    re.I,
)
_FROM_BEFORE = re.compile(
    r"\b(?:from|with|to|over|than|versus) (?:the )?(?:baseline|pre-?\w*|before)\b|"
    r"\bwithin[- ](?:the )?(?:\w+ )?groups?\b|\b(?:in )?(?:both|either|all|each)(?: \w+){0,2} "
    r"(?:groups|group|arms|arm)\b|\bover time\b|\btime effect\b",
    re.I,
)
_SAME_PEOPLE = re.compile(
    r"\bcross-?over\b|\brandom(?:i[sz]ed)? order\b|\bcounter-?balanced\b|\bwithin-subjects?\b|"
    r"\bsame (?:subjects|participants|people)\b|\brepeated conditions\b|"
    r"\b(?:walked|ran|walking|running|cycled|pedal+ed) (?:both )?(?:forwards?|backwards?) and "
    r"(?:forwards?|backwards?)\b",
    re.I,
)
_TIMES = {
    "baseline": r"\bat baseline\b|\bbaseline\b|\bbefore (?:treatment|training|the|intervention)\b|"
    r"\bpre-?(?:test|treatment|training|intervention)?\b(?!-)|\binitially\b",
    "followup": r"\bat (?:the )?\d+[- ](?:weeks?|months?)(?:'| of)? follow-?up\b|\bfollow-?up\b|"
    r"\bfollowing up\b",
    "post": r"\bafter\b|\bpost-?(?:test|treatment|training|intervention)\b|\bpost\b|"
    r"\bat (?:the )?end\b|\bat (?:week |month )?\d+[- ]?(?:weeks?|months?)?\b|\bat discharge\b|"
    r"\bafterwards?\b|\bat (?:two|three|four|six|eight|ten|twelve) (?:weeks|months)\b",
}
_TIME = re.compile("|".join(f"(?P<{kind}>{words})" for kind, words in _TIMES.items()), re.I)
_WEEKS = re.compile(
    r"\b(?:at|after) (?:(?P<a>\d+)[ -]?(?P<unit>weeks?|months?|days?|years?)"
    r"|(?P<unit2>week|month|day) (?P<b>\d+)"
    r"|(?P<word>two|three|four|five|six|eight|ten|twelve) (?P<unit3>weeks|months))",
    re.I,
)
_IN_WORDS = dict(zip("two three four five six eight ten twelve".split(),
                     (2, 3, 4, 5, 6, 8, 10, 12), strict=True))  # fmt: skip


@dataclass(frozen=True)
class Cue:
    """Words that say which way a result went.

    Attributes
    ----------
    start, end : int
        Positions in the text.
    way : {"higher", "lower", "better", "worse", "none"}
        What they say.
    form : {"noun", "verb", "adjective", "none"}
        A verb or noun of change speaks of time unless something else is compared.
    comparative : bool
        Whether the words themselves compare ("improved more", "greater reduction").
    verbal : bool
        Whether the words are or hold a verb: the outcome then stands before them.
    """

    start: int
    end: int
    way: str
    form: str
    comparative: bool
    verbal: bool


def cues(text: str, start: int, end: int) -> list[Cue]:
    """Find the words of direction between two positions.

    Examples
    --------
    >>> text = "Pain improved more after retro walking; speed did not differ."
    >>> [(text[c.start:c.end], c.way) for c in cues(text, 0, len(text))]
    [('improved more', 'better'), ('did not differ', 'none')]
    """
    found: list[Cue] = []
    for match in _NONE.finditer(text, start, end):
        verbal = not re.match("no|without", match[0], re.I) or match[0].startswith("not")
        found.append(Cue(match.start(), match.end(), "none", "none", False, verbal))
    for form, pattern in (("noun", _NOUN), ("verb", _VERB), ("adjective", _ADJECTIVE)):
        for match in pattern.finditer(text, start, end):
            if any(match.start() < cue.end and cue.start < match.end() for cue in found):
                continue
            if _SKIP.search(text[max(start, match.start() - 9) : match.end()]):
                continue
            groups = match.groupdict()
            low = match.start("word") if form == "adjective" else match.start()
            verbal = form == "verb" or bool(groups.get("verb"))
            comparative = bool(groups.get("more")) or form == "adjective"
            # A gain is a change for the better, whichever way the scale runs.
            way = "better" if form == "noun" and "gain" in match["word"] else _way(match["word"])
            if form == "noun" and (groups.get("more") or "").casefold() in ("smaller", "less"):
                way = {"higher": "lower", "lower": "higher", "better": "worse"}.get(way, way)
            found.append(Cue(low, match.end(), way, form, comparative, verbal))
    return sorted(found, key=lambda cue: cue.start)


def _way(word: str) -> str:
    ways = (way for way, words in _WORDS.items() if re.fullmatch(words, word, re.I))
    return next(ways, "better")


def same_people(text: str) -> bool:
    """Whether the abstract says that the same people were in every condition."""
    return bool(_SAME_PEOPLE.search(text))


def compares(text: str) -> bool:
    """Whether a clause compares groups or conditions."""
    return bool(_COMPARING.search(_FROM_BEFORE.sub(" ", text)))


def within_groups(text: str) -> bool:
    """Whether a clause compares later with earlier."""
    return bool(_FROM_BEFORE.search(text))


def timepoints(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """Find words of time between two positions: where, and which time they name.

    Examples
    --------
    >>> timepoints("48 at baseline, 33 after treatment", 0, 34)
    [(3, 14, 'baseline'), (19, 24, 'post')]
    """
    return [
        (match.start(), match.end(), next(kind for kind in _TIMES if match[kind]))
        for match in _TIME.finditer(text, start, end)
    ]


def weeks(text: str) -> float | None:
    """Read the time since the start of the programme, if one is named ("after 6 weeks").

    Examples
    --------
    >>> weeks("At 12 weeks there was no difference"), weeks("at month 6"), weeks("at night")
    (12.0, 26.0, None)
    """
    match = _WEEKS.search(text)
    if not match:
        return None
    count = float(match["a"] or match["b"] or _IN_WORDS[match["word"].casefold()])
    unit = (match["unit"] or match["unit2"] or match["unit3"]).casefold().rstrip("s")
    per = {"day": 1 / 7, "week": 1.0, "month": 52 / 12, "year": 52.0}[unit]
    return round(count * per, 1)

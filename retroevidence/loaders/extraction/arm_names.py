"""The arms of a trial as its abstract names them: groups, or conditions of the same people."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from retroevidence.loaders.extraction.sentences import plain

# Words that cannot be part of the name of an arm: the name ends where one of them stands.
_STOPS = (
    "a an the to in with and or than versus vs between by for of from both either each that this "
    "these into as on at after during was were is had has have showed received did while whereas "
    "but compared among within all not no other same whole study two three four first second "
    "randomly randomised randomized assigned allocated divided which it its their per improved "
    "under using when participants patients subjects people children women men adults those "
    "more less patient participant improvements performed completed only favour favor favoring "
    "statistical there across any"
).split()
_NAME = r"[A-Za-z][\w+/'-]*(?: (?:[A-Za-z+&][\w+/'-]*|[12IVX]+)){0,4}"
_GROUP = re.compile(rf"\b(?P<name>{_NAME}) (?:groups?|arms?|condition)\b(?! of \d)", re.I)
_LETTER = re.compile(r"\b[Gg]roup (?P<name>[A-D]|[1-4]|I{1,3}|IV)\b")
_LISTED = re.compile(
    rf"\b(?P<name>(?:{_NAME}, )+{_NAME},? and {_NAME}) (?:groups|arms|conditions)\b", re.I
)
_ALLOCATED = re.compile(
    r"\b(?:assigned|allocated|randomi[sz]ed)(?: \d:\d)? (?:in)?to (?:receive )?"
    r"(?:either )?(?:the )?"
    rf"(?P<name>{_NAME}?) (?:or|versus|vs\.?|and \d+ (?:\w+ )?to) (?P<other>{_NAME}?)"
    r"(?= (?:for|in|at|on|over|group|arm)\b|[.,;(]| \(|$)"
)
_SIZED = re.compile(
    rf"\b(?P<name>{_NAME})(?: (?:groups?|arms?))?(?: \d+(?:\.\d+)? ?m?g(?: [a-z]+){{0,3}})?"
    r" ?[(\[] ?(?:(?P<short>[A-Za-z][\w-]{0,10})[,;:]? ?)?(?:group[,;] ?)?[nN] ?= ?\d+ ?[)\]]"
)
_SHORT = re.compile(
    rf"\b(?P<name>{_NAME}) (?:groups?|arms?) ?[(\[](?P<short>[A-Z][\w-]{{0,9}})[),;\]]"
)
_CONDITION = re.compile(
    r"\b(?P<name>(?:backwards?|retro|reverse|forwards?|normal|uphill|downhill|level)"
    r"(?:[ -](?:treadmill|downhill|uphill))?(?:[ -](?:walking|running|pedal+ing|cycling|locomotion|"
    r"gait|training))?)\b(?! (?:walk test|head))",
    re.I,
)
_KNOWN = re.compile(
    r"\b(?P<name>placebo|sham(?: [a-z]+)?|usual care|standard care|wait(?:ing)?[- ]?list|"
    r"no treatment|controls?)\b(?! (?:and|of) (?:the )?(?:balance|posture))",
    re.I,
)
_AGAINST = re.compile(
    r"\b(?P<name>[a-z][a-z-]{3,})(?: ?\([^()]*\))?,? (?:or|and|versus|vs\.?|than with|than|with|"
    r"compared (?:with|to)|than (?:with|after|during)) (?:an? |the )?"
    r"(?:placebo|sham|usual care|no treatment)\b",
)
_SHORTS = re.compile(
    r"\b(?P<name>[A-Z]{2,6}) (?:or|vs\.?|versus|than|compared (?:with|to))(?: for| in| with| the)*"
    r" (?P<other>[A-Z]{2,6})\b"
)
_COMPARATOR = re.compile(
    r"\b(?:control|controls|placebo|sham|usual|standard|conventional|traditional|wait|waiting|"
    r"waitlist|no treatment|comparison|comparator|forward|forwards|normal|saline|education|routine|"
    r"level)\b",
    re.I,
)
_BACKWARD = re.compile(r"\b(?:backwards?|retro|reverse)\b", re.I)
_PLUS = re.compile(r"\b(?:plus|combined with|\+|and)\b|\+", re.I)
_PLAIN_WORDS = set(
    "group groups arm arms training exercise exercises therapy programme program treatment walking "
    "running care test active once daily mg drug session sessions intervention".split()
)


@dataclass(frozen=True)
class Arm:
    """An arm or condition.

    Attributes
    ----------
    name : str
        As the abstract names it.
    role : {"experimental", "comparator", ""}
        By its name: backward, or else what is no control, is experimental.
    words : tuple of str
        What names it in the text, longest first.
    condition : bool
        Whether it was only named as a condition, not as a group.
    """

    name: str
    role: str
    words: tuple[str, ...]
    condition: bool = False


@dataclass(frozen=True)
class ArmPlace:
    """A place where an arm is named."""

    start: int
    end: int
    arm: Arm


def arms_of(text: str, other_words: Collection[str] = ()) -> list[Arm]:
    """Find the arms of a trial.

    Parameters
    ----------
    text : str
        The abstract as printed.
    other_words : collection of str
        Short forms that name no arm, such as those of outcomes.

    Returns
    -------
    list of Arm
        In the order they are first named.

    Examples
    --------
    >>> arms = arms_of("They joined a retro walking group (n = 20) or a control group (n = 20).")
    >>> [(arm.name, arm.role) for arm in arms]
    [('retro walking', 'experimental'), ('control', 'comparator')]
    """
    flat = plain(text)
    names: dict[str, tuple[str, set[str], bool]] = {}
    for pattern in (_SIZED, _SHORT, _GROUP):
        for match in pattern.finditer(flat):
            groups = match.groupdict()
            for name in _split(groups["name"]):
                _add(names, name, groups.get("short"), False)
    for match in _LISTED.finditer(flat):
        for part in re.split(r", | and ", match["name"]):
            for name in _split(part.removeprefix("and ")):
                _add(names, name, None, False)
    if len(names) < 2:
        for match in _SHORTS.finditer(flat):
            if not {match["name"], match["other"]} & set(other_words):
                for short in (match["name"], match["other"]):
                    _add(names, _long_form(flat, short), short, False)
    if len(names) < 2:
        for match in _ALLOCATED.finditer(flat):
            for name in (match["name"], match["other"]):
                _add(names, (_split(name) or [""])[-1], None, False)
    for match in _LETTER.finditer(flat):
        _add(names, f"group {match['name']}", None, False)
    for match in _KNOWN.finditer(flat):
        _add(names, match["name"], None, False)
    if len(names) == 1:
        for match in _AGAINST.finditer(flat):
            if match["name"] not in _STOPS:
                _add(names, match["name"], None, False)
    if sum(not condition for _, _, condition in names.values()) < 2:
        for match in _CONDITION.finditer(flat):
            short = re.match(r" ?\(([A-Z]{2,5})\)", flat[match.end() :])
            _add(names, match["name"], short[1] if short else None, True)
    return _with_roles(_merged(names), flat)


def _long_form(text: str, short: str) -> str:
    """Return what a short form stands for, "BWT" for "backward walking training (BWT)"."""
    match = re.search(rf"\b({_NAME}) ?\({re.escape(short)}\)", text)
    parts = _split(match[1]) if match else []
    words = parts[-1].split() if parts else []
    # As many words as the short form has letters, if their first letters are its own.
    words = words[-len(short) :]
    initials = "".join(word[0] for word in words).casefold()
    return " ".join(words) if initials == short.casefold() else short


def _split(name: str) -> list[str]:
    """Cut a run of words down to the name at its end; "ketamine and saline" are two names."""
    words = name.split()
    parts: list[list[str]] = [[]]
    for word in words:
        if word.casefold() in ("and", "or", "vs", "versus"):
            parts.append([])
        elif word.casefold() in _STOPS or word.isdigit():
            parts = [[]]
        else:
            parts[-1].append(word)
    joined = [" ".join(part) for part in parts]
    # "A and B groups" names two; "A plus B group" one, and a stop word before "and" none.
    return [name for name in joined if name] if joined[-1] else []


_NOT_ARMS = re.compile(
    r"^(?:age|muscle|significant|time|similar|different|placebo-controlled|parallel|"
    r"control(?:led)? (?:trial|study)|matched|equal|larger|smaller|respective|medical|health|"
    r"chronic|testing|either|experimental condition|groups?|baseline|"
    r"training groups?|treatment groups?|sub|outcome|significantly|data|motor)$",
    re.I,
)


def _add(
    names: dict[str, tuple[str, set[str], bool]], name: str, short: str | None, condition: bool
) -> None:
    name = re.sub(r" (?:groups?|arms?)$", "", name.strip())
    key = re.sub(r"\W+", " ", name.casefold()).strip()
    key = {"controls": "control", "wait list": "waitlist", "backwards": "backward"}.get(key, key)
    if not key or _NOT_ARMS.match(name) or (len(key) < 3 and not key.isupper()):
        return
    known = names.get(key)
    words = known[1] if known else set()
    words |= {name} | ({short} if short else set())
    names[key] = (known[0] if known else name, words, condition and (not known or known[2]))


def _merged(
    names: dict[str, tuple[str, set[str], bool]],
) -> list[tuple[str, set[str], bool]]:
    """Join names of one arm: "backward walking training" and "backward"."""
    kept: list[tuple[str, set[str], bool]] = []
    for name, words, condition in names.values():
        own = _telling(name)
        if any(name in w for n, w, _ in kept if n != name):
            continue
        twin = next(
            (
                n
                for n, (other, _, _) in enumerate(kept)
                if own
                and _telling(other)
                and (own <= _telling(other) or _telling(other) <= own)
                and not (_PLUS.search(name) or _PLUS.search(other))
            ),
            None,
        )
        if twin is None:
            kept.append((name, set(words), condition))
        else:
            kept[twin] = (kept[twin][0], kept[twin][1] | words, kept[twin][2] and condition)
    return kept


def _telling(name: str) -> frozenset[str]:
    """Return the words that tell an arm from another: "backward walking training" → backward."""
    words = {re.sub(r"s$", "", w) for w in re.split(r"[\s-]+", name.casefold())}
    alike = {"retro": "backward", "reverse": "backward"}
    words = {alike.get(word, word) for word in words if word}
    return frozenset(words - {re.sub(r"s$", "", w) for w in _PLAIN_WORDS}) or frozenset(words)


def _with_roles(found: list[tuple[str, set[str], bool]], text: str) -> list[Arm]:
    """Say which arm is experimental; "experimental group" beside an arm so named is that arm."""
    generic = ("experimental", "intervention", "treatment", "study", "training")
    named = [one for one in found if one[0].casefold().removesuffix(" training") not in generic]
    spare = [one for one in found if one not in named]
    if spare and sum(not _is_comparator(name) for name, _, _ in named) == 1:
        first = next(n for n, one in enumerate(named) if not _is_comparator(one[0]))
        for _, words, _ in spare:
            named[first] = (named[first][0], named[first][1] | words, named[first][2])
        found = named
    backward = any(_BACKWARD.search(name) for name, _, _ in found)
    arms = []
    for name, words, condition in found:
        is_comparator = _is_comparator(name)
        if backward and _BACKWARD.search(name):
            role = "experimental"
        elif is_comparator:
            role = "comparator"
        elif backward and len(found) > 2:
            role = ""
        else:
            role = "comparator" if backward else "experimental"
        arms.append(Arm(name, role, tuple(sorted(words, key=len, reverse=True)), condition))
    if len(arms) == 2 and len({arm.role for arm in arms}) == 1:
        # Two arms and no control by name: the one named first is the one on trial.
        roles = ("experimental", "comparator")
        arms = [Arm(a.name, r, a.words, a.condition) for a, r in zip(arms, roles, strict=True)]
    return arms


def _is_comparator(name: str) -> bool:
    return bool(_COMPARATOR.search(name)) and not _BACKWARD.search(name)


def places(text: str, arms: list[Arm], start: int, end: int) -> list[ArmPlace]:
    """Find where the arms are named between two positions, in the order of the text.

    A word that tells one arm from all others names it; so do its short form and its whole name.

    Examples
    --------
    >>> text = "The backward walking group (n=9) gained more than the control group (n=8)."
    >>> [text[p.start:p.end] for p in places(text, arms_of(text), 0, len(text))]
    ['backward walking group', 'control group']
    """
    flat = plain(text)
    found: list[ArmPlace] = []
    for arm, pattern in zip(arms, _patterns(tuple(arms)), strict=True):
        for match in pattern.finditer(flat, start, end):
            found.append(ArmPlace(match.start(), match.end(), arm))
    found.sort(key=lambda place: (place.start, -place.end))
    kept: list[ArmPlace] = []
    for place in found:
        if not kept or place.start >= kept[-1].end:
            kept.append(place)
    return kept


@lru_cache(maxsize=32)
def _patterns(arms: tuple[Arm, ...]) -> tuple[re.Pattern[str], ...]:
    tellings = [frozenset().union(*(_telling(word) for word in arm.words)) for arm in arms]
    patterns = []
    for n, arm in enumerate(arms):
        others = frozenset().union(*(t for m, t in enumerate(tellings) if m != n))
        words = {word for word in arm.words if len(word) > 1}
        words |= {
            word
            for word in tellings[n] - others
            if len(word) > 3 and word not in _PLAIN_WORDS and not _too_common(word)
        }
        if arm.role == "experimental" and _BACKWARD.search(" ".join(arm.words)):
            words |= {"backward", "backwards", "retro"} - set(others)
        if arm.name.casefold() == "control":
            words |= {"controls"}
        inner = "|".join(
            re.escape(word).replace(r"\ ", "[ -]") for word in sorted(words, key=len, reverse=True)
        )
        tail = r"(?:[ -](?:walking|running|training|treadmill|pedaling|exercise))*"
        tail += r"(?: (?:groups?|arms?))?"
        patterns.append(re.compile(rf"(?<![\w-])(?:{inner})s?{tail}(?![\w])", re.I))
    return tuple(patterns)


def _too_common(word: str) -> bool:
    return word in {"walking", "running", "group", "study", "early", "video", "standard"}

"""Printed numbers of a sentence: which kind of result each is, and what it says.

The kinds are tried in order, and what one has taken no other can take: a confidence interval is
not read again as a range, nor its 95 % as a percentage. What looks like a result and is none
(ages, doses, dates, levels of significance) is taken first and dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from retroevidence.loaders.extraction.forms import (
    ASSIGNED,
    BARE_INTERVAL,
    COUNTED,
    EVENTS,
    GROUPS_OF,
    IN_BRACKETS,
    INTERVAL,
    LEVEL,
    LEVEL_FIRST,
    MEAN,
    NAMED_SPREAD,
    PAIR,
    PERCENT,
    PLUS_MINUS,
    QUARTILES,
    RANGE,
    SIZE,
    TEST,
    TRAPS,
    N,
    P,
)
from retroevidence.loaders.extraction.sentences import plain


@dataclass(frozen=True)
class Mention:
    """A printed result: its kind, its place in the text, what it says, and why it was taken so.

    Attributes
    ----------
    kind : str
        n, mean_sd, mean_se, mean_ci, mean, median, interval, bare_interval, size, percent,
        events, p or test.
    start, end : int
        Positions in the text.
    said : dict
        Numbers (and ``op`` of p, ``df`` of a test) by name.
    unit : str
        Unit as printed, or blank.
    why : tuple of str
        What is doubtful about it; empty if nothing is.
    """

    kind: str
    start: int
    end: int
    said: dict[str, float | str] = field(default_factory=dict)
    unit: str = ""
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """What an abstract says of its numbers.

    Attributes
    ----------
    spread : {"", "sd", "se"}
        What follows ±, or stands in brackets after a mean.
    quartiles : bool
        Whether ranges in brackets are quartiles.
    interval : bool
        Whether a confidence interval is named anywhere.
    """

    spread: str = ""
    quartiles: bool = False
    interval: bool = False


NOTHING_SAID = Declared()


def declared_form(text: str) -> Declared:
    """Read what the abstract declares its numbers to be.

    Examples
    --------
    >>> declared_form("Values are mean ± SEM.")
    Declared(spread='se', quartiles=False, interval=False)
    """
    flat = plain(text)
    se = re.search(r"(?:±|[(\[]|\+/-|as|and) ?(?:SEM?\b|S\.E\.|standard errors?)", flat)
    sd = re.search(r"(?:±|[(\[]|\+/-|as|and) ?(?:SDs?\b|S\.D\.|standard deviations?)", flat)
    iqr = re.search(r"(?:[(\[]|median,? (?:and )?)(?:IQR|interquartile|quartiles)", flat)
    spread = "" if sd and se else "sd" if sd else "se" if se else ""
    return Declared(spread, iqr is not None, re.search(LEVEL, flat) is not None)


def value(text: str) -> float:
    """Read a printed number: thousands separators, a space after the sign, a leading point.

    Examples
    --------
    >>> value("1,850"), value("- .5"), value("+3")
    (1850.0, -0.5, 3.0)
    """
    return float(text.replace(",", "").replace(" ", ""))


def mentions(text: str, start: int, end: int, declared: Declared = NOTHING_SAID) -> list[Mention]:
    """Return the printed results between two positions, in the order of the text.

    Parameters
    ----------
    text : str
        The abstract as printed.
    start, end : int
        Where the sentence begins and ends.
    declared : Declared
        What the abstract says of its numbers, from :func:`declared_form`.

    Returns
    -------
    list of Mention

    Examples
    --------
    >>> text = "Pain was 2.3 ± 0.9 (P = 0·03)."
    >>> [(m.kind, text[m.start:m.end]) for m in mentions(text, 0, len(text))]
    [('mean_sd', '2.3 ± 0.9'), ('p', 'P = 0·03')]
    """
    flat = plain(text)
    taken = [False] * len(flat)
    found: list[Mention] = []
    for trap in TRAPS.finditer(flat, start, end):
        taken[trap.start() : trap.end()] = [True] * (trap.end() - trap.start())
    for pattern, read in _READERS:
        for match in pattern.finditer(flat, start, end):
            low, high = _trimmed(flat, match)
            if any(taken[low:high]):
                continue
            mention = read(match, flat[start:end], declared)
            if mention is None:
                continue
            kind, values, unit, why = mention
            taken[low:high] = [True] * (high - low)
            found.append(Mention(kind, low, high, values, unit, why))
    return sorted(found, key=lambda one: one.start)


_Read = tuple[str, dict[str, float | str], str, tuple[str, ...]] | None


def _trimmed(text: str, match: re.Match[str]) -> tuple[int, int]:
    """Leave out blanks, words before the number of a mean, and a bracket that opens before it."""
    low, high = match.start(), match.end()
    if match.re in (MEAN, LEVEL_FIRST):
        low = match.start("m" if match["m"] else "m2")
    while text[high - 1] == " ":
        high -= 1
    inside = text[low:high]
    if inside.endswith((")", "]")) and inside.count("(") + inside.count("[") < inside.count(
        ")"
    ) + inside.count("]"):
        high -= 1
    return low, high


def _numbers(match: re.Match[str], *names: str) -> dict[str, float | str]:
    return {name: value(match[name]) for name in names}


def _unit(match: re.Match[str]) -> str:
    groups = match.groupdict()
    return (groups.get("u") or groups.get("u2") or groups.get("u3") or "").strip()


def _read_p(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    signs = {"less than": "<", "greater than": ">", "≤": "<", "≥": ">", "<=": "<", ">=": ">"}
    op = signs.get(match["op"], match["op"].strip()[:1])
    op = op if op in "<>" else "="
    number = match["v"].replace(" ", "")
    if "10" in number and ("x" in number or "×" in number):
        base, _, power = re.sub("[x×]", "x", number).partition("x")
        p = float(base) * 10 ** float(power.removeprefix("10").removeprefix("^"))
    else:
        p = float(number.replace(",", "."))
    if p > 1:
        return None
    why = ("p printed as ≤ or ≥, taken as < or >",) if match["op"][:1] in "≤≥" else ()
    return "p", {"op": op, "v": p}, "", why


def _read_interval(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    values = _numbers(match, "m", "lo", "hi")
    # "0.40-0.93" and "-5.0, -1.8" are both read as they stand; a limit before its twin is wrong.
    why: tuple[str, ...] = ()
    level = match.groupdict().get("level")
    if level is None:
        why += ("the level of the interval is not printed",)
    elif float(level) != 95:
        why += (f"the interval is of level {level} %, not 95 %",)
        values["level"] = float(level)
    if not float(values["lo"]) <= float(values["m"]) <= float(values["hi"]):
        why += ("the estimate lies outside its interval",)
    return "interval", values, _unit(match), why


def _read_bare_interval(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    values = _numbers(match, "m", "lo", "hi")
    low, mid, high = (float(values[name]) for name in ("lo", "m", "hi"))
    if not low < mid < high or not declared.interval or "median" in sentence.casefold():
        return None
    return "interval", values, _unit(match), ("the interval is taken as 95 % like those before",)


def _spread(match: re.Match[str], form: str, why: tuple[str, ...] = ()) -> _Read:
    values = _numbers(match, "m") | {("se" if form == "se" else "sd"): value(match["s"])}
    return ("mean_se" if form == "se" else "mean_sd"), values, _unit(match), why


def _read_plus_minus(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    if declared.spread:
        return _spread(match, declared.spread)
    return _spread(match, "sd", ("± is taken as a standard deviation, which is not said",))


def _read_named_spread(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    form = match["form"].casefold()
    return _spread(match, "se" if form.startswith(("se", "s.e", "standard e")) else "sd")


def _read_quartiles(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    return "median", _numbers(match, "m", "lo", "hi"), _unit(match), ()


def _read_range(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    values = _numbers(match, "m", "lo", "hi")
    low, mid, high = (float(values[name]) for name in ("lo", "m", "hi"))
    if not low <= mid <= high:
        return None
    if "median" in sentence.casefold() or declared.quartiles:
        if re.search(r"\brange\b", sentence) and not re.search("interquartile|IQR", sentence):
            return "median", {"m": mid, "min": low, "max": high}, _unit(match), ()
        said = re.search("interquartile|IQR|quartile", sentence) or declared.quartiles
        why = () if said else ("the range in brackets is taken as quartiles",)
        return "median", values, _unit(match), why
    return None


def _read_in_brackets(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    return _spread(match, declared.spread) if declared.spread else None


def _read_events(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    x, n = int(match["x"]), int(match["n"])
    if x > n or n < 2 or (n <= 10 and " of " in match[0]):
        return None
    return "events", {"x": float(x), "n": float(n)}, "", ()


def _read_counted(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    return "events", _numbers(match, "x", "share", *(("n",) if match["n"] else ())), "", ()


def _read_test(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    sign = match["kind"]
    name = {"F": "f", "t": "t", "Z": "z", "z": "z"}.get(sign, "chi2")
    values: dict[str, float | str] = {name: value(match["v"])}
    if match["df"]:
        values["df"] = match["df"]
    return "test", values, "", ()


def _read_size(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    return "size", {"m": value(match["m"]), "name": match["name"]}, "", ()


def _read_n(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    after = match.string[match.end() : match.end() + 16]
    if re.match(r" (?:participants|patients|studies|trials|people)", after):
        return None
    return ("n", {"n": float(match["n"])}, "", ()) if int(match["n"]) else None


def _read_groups_of(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    if re.search(r"planned|power|required|sample size", sentence):
        return None
    return "n", {"n": float(match["n"] or match["m"]), "each": 1.0}, "", ()


def _read_assigned(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    return "n", {"n": float(match["n"])}, "", ("people counted in words, not as n =",)


def _read_percent(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    return "percent", {"v": value(match["m"])}, "%", ()


def _read_mean(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    if not match["m"] and not re.search(r"\b(?:was|were) [-+\d]", sentence):
        return None
    if _unit(match) == "%":
        return None  # a share or a change, read as a percentage
    return "mean", {"m": value(match["m"] or match["m2"])}, _unit(match), ("no spread printed",)


def _read_pair(match: re.Match[str], sentence: str, declared: Declared) -> _Read:
    number = match["m"] or match["m2"] or match["m3"]
    if _unit(match) == "%":
        return None
    return "mean", {"m": value(number)}, _unit(match), ("no spread printed",)


_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str, Declared], _Read]], ...] = (
    (P, _read_p),
    (TEST, _read_test),
    (LEVEL_FIRST, _read_interval),
    (INTERVAL, _read_interval),
    (QUARTILES, _read_quartiles),
    (NAMED_SPREAD, _read_named_spread),
    (PLUS_MINUS, _read_plus_minus),
    (GROUPS_OF, _read_groups_of),
    (N, _read_n),
    (EVENTS, _read_events),
    (COUNTED, _read_counted),
    (RANGE, _read_range),
    (BARE_INTERVAL, _read_bare_interval),
    (IN_BRACKETS, _read_in_brackets),
    (SIZE, _read_size),
    (PAIR, _read_pair),
    (ASSIGNED, _read_assigned),
    (MEAN, _read_mean),
    (PERCENT, _read_percent),
)

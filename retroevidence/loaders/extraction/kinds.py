"""What a printed number is, by the words around it: a change, a difference, a ratio, a share."""

from __future__ import annotations

import re

from retroevidence.loaders.extraction.link import Scene
from retroevidence.loaders.extraction.numbers import Mention
from retroevidence.loaders.extraction.vocabulary import Term
from retroevidence.loaders.extraction.words import compares

RATIO = re.compile(
    r"\b(?:(?P<name>odds ratio|hazard ratio|relative risk|risk ratio|rate ratio|incidence rate "
    r"ratio|prevalence ratio)s?|(?P<short>[ae]?OR|[a]?HR|a?RR|IRR))\b[^.;]{0,40}$",
    re.I,
)
FALLING = re.compile(
    r"\b(?:decreas\w+|reduc\w+|declin\w+|fell|drop\w+|lost|lower\w*|shorten\w+|loss|less|smaller|"
    r"shorter|fewer|diminish\w+|slower)\b",
    re.I,
)
PERCENT_AFTER = re.compile(
    r"^ ?(?:\([^()]*\) )?(?:significantly |relative |greater )*(?P<word>higher|lower|greater|less|"
    r"more|longer|shorter|larger|smaller|faster|slower|fewer|increase|decrease|reduction|"
    r"improvement|decline|gain|drop|rise|loss)\b",
    re.I,
)
_PERCENT_BEFORE = re.compile(
    r"\b(?:by|increas\w+|decreas\w+|reduc\w+|improv\w+|declin\w+|fell|rose|dropp\w+|gain\w*|loss)"
    r"(?: (?:by|of|was|to|an?|average|mean|approximately|about|up|some))* ?$",
    re.I,
)
PERCENT_AFTER = re.compile(
    r"^ ?(?:\([^()]*\) )?(?:significantly |relative |greater )*(?P<word>higher|lower|greater|less|"
    r"more|longer|shorter|larger|smaller|faster|slower|fewer|increase|decrease|reduction|"
    r"improvement|decline|gain|drop|rise|loss)\b",
    re.I,
)
_PERCENT_BEFORE = re.compile(
    r"\b(?:by|increas\w+|decreas\w+|reduc\w+|improv\w+|declin\w+|fell|rose|dropp\w+|gain\w*|loss)"
    r"(?: (?:by|of|was|to|an?|average|mean|approximately|about|up|some))* ?$",
    re.I,
)
_DIFFERENCE = re.compile(
    r"\b(?:differen\w+|MD|WMD|SMD|effect size|treatment effect|d|g|standardi[sz]ed|coefficient|"
    r"β|b)\b[^.;]{0,60}$",
    re.I,
)
_CHANGED = re.compile(
    r"\b(?:chang\w+|increas\w+|decreas\w+|reduc\w+|improv\w+|declin\w+|fell|rose|drop\w+|gain\w*|"
    r"lost|went (?:up|down))(?: (?!from)\w+){0,3}? (?:by|of|was|were)(?: an? average of)? ?$",
    re.I,
)
_CHANGE_NOUN = re.compile(
    r"\b(?:change|reduction|decrease|increase|improvement|gain)s?(?: from baseline)?"
    r"(?: (?:in|of|at|from) [^.;]{0,60}?)? ?(?:was|were|of|averaged|[(:=]) ?$",
    re.I,
)
_CHANGE_NOUN = re.compile(
    r"\b(?:change|reduction|decrease|increase|improvement|gain)s?(?: from baseline)?"
    r"(?: (?:in|of|at|from) [^.;]{0,60}?)? ?(?:was|were|of|averaged|[(:=]) ?$",
    re.I,
)
#: "mean changes, 3.1 versus 1.2", "speed change (BWT: 0.6 m/s; SBT: ": what follows are changes.
_CHANGES = re.compile(
    r"\b(?:change|gain)s?(?: scores?)?,? ?(?:\((?:[^():]{1,30}: ?[^()]*)?)?$", re.I
)
_PERCENT_BEFORE = re.compile(
    r"\b(?:by|increas\w+|decreas\w+|reduc\w+|improv\w+|declin\w+|fell|rose|dropp\w+|gain\w*|loss)"
    r"(?: (?:by|of|was|to|an?|average|mean|approximately|about|up|some))* ?$",
    re.I,
)
_PEOPLE = re.compile(
    r"^[ )]*(?:of (?:the )?(?:\w+ )?(?:patients|participants|people|women|men|children|subjects|"
    r"those)|(?:patients|participants))\b",
    re.I,
)
#: So many estimates of a list are followed back to the word that says what they are.
_MOST_ARMS = 6
_COUNTED_OUTCOMES = {
    *("infection", "mortality", "overall survival", "disease-free survival", "recurrence"),
    *("complications", "adverse events", "hospital admission", "response", "remission", "falls"),
    *("nausea",),
}
#: So many estimates of a list are followed back to the word that says what they are.
_MOST_ARMS = 6
_COUNTED_OUTCOMES = {
    *("infection", "mortality", "overall survival", "disease-free survival", "recurrence"),
    *("complications", "adverse events", "hospital admission", "response", "remission", "falls"),
    *("nausea",),
}


def interval_kind(scene: Scene, mention: Mention, step: int = 0) -> str:
    """Say what an estimate with its interval is: difference, ratio, change, or a mean.

    The words before it in the sentence decide; without any, two arms and no arm at its side
    make it a difference. `step` counts the estimates gone back in a list of them.
    """
    low = scene.sentence.start
    last = [m.end for m in scene.numbers if m.end <= mention.start and m.kind == "interval"]
    before = scene.text[max(last[-1] if last else low, low) : mention.start]
    if RATIO.search(before):
        return "ratio"
    if _DIFFERENCE.search(before):
        return "difference"
    if _CHANGED.search(before) or _CHANGE_NOUN.search(before):
        clause = scene.text[slice(*scene.clause(mention.start))]
        return "difference" if re.search(r"\bmore\b.*\bthan\b|\bvs\b|versus", clause) else "change"
    if step < _MOST_ARMS and last and re.search(r"\b(?:and|vs\.?|versus)(?: by)? ?$", before):
        previous = next(m for m in scene.numbers if m.end == last[-1])
        return interval_kind(scene, previous, step + 1)
    whole = scene.text[low : scene.sentence.end]
    if compares(whole) or any(low <= c.start < mention.start for c in scene.cues):
        return "difference"
    arm = scene.arm_of(mention)
    return "mean_ci" if arm is not None and not arm.why else "difference"


def is_change(scene: Scene, mention: Mention) -> bool:
    """Whether a number is the change of one arm: "fell by 2.1", "mean change was -2.1"."""
    if scene.is_span(scene.run(mention)):
        return False
    means = [m for m in scene.numbers if m.kind == mention.kind]
    if scene.cues and any(float(m.said["m"]) < 0 for m in means):
        # Scores and times are not negative; what is negative beside words of change is a change.
        return True
    low, _ = scene.clause(mention.start)
    place = means.index(mention)
    # "rose by 2.1 in one group and by 0.3 in the other": the word before the first is for all.
    for one in reversed(means[max(0, place - _MOST_ARMS) : place + 1]):
        before = scene.text[low : scene.run(one)[0].start]
        if one.start < low:
            return False
        if _CHANGED.search(before) or _CHANGE_NOUN.search(before) or _CHANGES.search(before):
            return True
        if not re.search(r"\band (?:by )?$", before):
            return False
    return False


def falls(scene: Scene, mention: Mention) -> bool:
    """Whether the words before a number in its clause speak of a decrease."""
    low, _ = scene.clause(mention.start)
    return bool(FALLING.search(scene.text[low : mention.start]))


def is_percent_change(scene: Scene, mention: Mention) -> bool:
    """Whether a percentage is a change or a difference: "by 12 %", "12 % higher"."""
    low, _ = scene.clause(mention.start)
    before, after = scene.text[low : mention.start], scene.text[mention.end : mention.end + 40]
    if _PEOPLE.match(after):
        return False
    if PERCENT_AFTER.match(after) or _PERCENT_BEFORE.search(before[-50:]):
        return True
    # "VO2 was 31% and heart rate 16% higher": the word stands after the last of them.
    rest = [m for m in scene.numbers if m.kind == "percent" and m.start >= mention.end]
    gap = scene.text[mention.end : rest[0].start] if rest else ""
    joined = re.fullmatch(r"(?:,| and|, and) (?:[\w-]+ ){1,4}", gap)
    return bool(joined) and bool(PERCENT_AFTER.match(scene.text[rest[0].end : rest[0].end + 40]))


def is_share(scene: Scene, mention: Mention) -> bool:
    """Whether a percentage is a share of the people of an arm."""
    if is_percent_change(scene, mention):
        return False
    links = scene.outcomes_of(mention)
    term = links[0].target if links else None
    counted = isinstance(term, Term) and term.instrument in _COUNTED_OUTCOMES
    people = _PEOPLE.match(scene.text[mention.end : mention.end + 40])
    return bool((counted or people) and scene.arm_of(mention) is not None and links)

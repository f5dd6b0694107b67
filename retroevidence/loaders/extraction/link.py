"""To which outcome, arm and time a printed number belongs: rules of place, each with its doubt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from retroevidence.loaders.extraction.arm_names import Arm, ArmPlace
from retroevidence.loaders.extraction.numbers import Mention
from retroevidence.loaders.extraction.sentences import Sentence
from retroevidence.loaders.extraction.vocabulary import Named, Term
from retroevidence.loaders.extraction.words import Cue, timepoints

_BREAK = re.compile(
    r";|,? (?:whereas|while|but|however|although|whilst)\b(?! not significant)"
    r"|(?<=\)), (?:and|with)(?= )",
    re.I,
)
_LIST = re.compile(
    r"(?: ?\([^()]*\))? ?(?:,|/|;)? ?(?:(?:and|or|nor|as well as|&) )?(?:also )?(?:in )?(?:the )?"
    r"(?:of |for |total |mean |peak |left |right |scores? |levels? )*",
    re.I,
)
_RUN = re.compile(
    r"[ ,°%]*(?:(?:and|vs\.?|versus|or|to|against|compared (?:with|to))(?=[ ,])(?: to| by)?)?[ ,]*",
    re.I,
)
_FOLLOWS = re.compile(
    r"[ ,)\]°]*(?:(?:patients|participants|people|points|subjects|women|men|children|steps|those|"
    r"of|had|events?|score|scores) )*"
    r"(?:in|for|with|during|among|by|when|after|on|under)? ?(?:the |patients |those |of )*"
)
_SUBJECT = re.compile(
    r"(?:^|[;,.:(]|\b(?:and|while|whereas|but|by|was|between|in|[Mm]edian|[Mm]ean|[Tt]he|[Tt]otal|"
    r"proportion of|rate of|with|had))\s*\b"
    r"(?P<name>[A-Za-z][A-Za-z-]+(?: (?!was|were|occurred|did|in |at |by )[a-z-]+){0,3}?)"
    r"(?: scores?| levels?| values?)?(?: at [^,;.()]{1,20}?)? "
    r"(?:was|were|occurred|did|increased|decreased|improved|rose|fell|declined|went|changed)\b"
)
_NO_SUBJECT = re.compile(
    r"^(?:it|they|this|that|there|which|these|who|both|no|we|adverse|group|groups|differences?|"
    r"patients?|participants|changes?|values?|data|results?|all|none|difference|reported)\b"
    r"|\b(?:group|arm|controls|participants|patients|difference|interaction|effect)s?$",
    re.I,
)


@dataclass(frozen=True)
class Link:
    """What a number was linked to, and what is doubtful about that."""

    target: object
    start: int
    end: int
    why: tuple[str, ...] = ()


@dataclass
class Scene:
    """One sentence with everything found in it, and what the sentences before leave behind."""

    text: str
    sentence: Sentence
    numbers: list[Mention]
    outcomes: list[Named]
    places: list[ArmPlace]
    cues: list[Cue]
    arms: list[Arm]
    before: Named | None = None
    order: list[ArmPlace] = field(default_factory=list)

    @cached_property
    def _breaks(self) -> list[tuple[int, int]]:
        """Return the breaks between clauses, those in brackets left out."""
        found, depth, at = [], 0, self.sentence.start
        for mark in _BREAK.finditer(self.text, at, self.sentence.end):
            piece = self.text[at : mark.start()]
            depth += piece.count("(") + piece.count("[") - piece.count(")") - piece.count("]")
            at = mark.start()
            if depth <= 0:
                found.append(mark.span())
        return found

    def clause(self, position: int) -> tuple[int, int]:
        """Return the part of the sentence, between breaks outside brackets, around a position."""
        low, high = self.sentence.start, self.sentence.end
        for start, end in self._breaks:
            if end <= position:
                low = max(low, end)
            elif start >= position:
                return low, start
        return low, high

    @cached_property
    def _runs(self) -> dict[int, list[Mention]]:
        """Return, by its start, the run that each number belongs to."""
        runs: dict[int, list[Mention]] = {}
        last: dict[str, Mention] = {}
        for mention in self.numbers:
            before = last.get(mention.kind)
            follows = before and _RUN.fullmatch(self.text, before.end, mention.start)
            runs[mention.start] = runs[before.start] if before and follows else []
            runs[mention.start].append(mention)
            last[mention.kind] = mention
        return runs

    def run(self, mention: Mention) -> list[Mention]:
        """Return the mentions of one kind that follow each other: "a and b", "a vs b", "a to b"."""
        return self._runs[mention.start]

    def is_span(self, run: Sequence[Mention]) -> bool:
        """Whether a run of two is "from a to b": earlier and later of the same people."""
        if len(run) != 2:
            return False
        between = self.text[run[0].end : run[1].start]
        return bool(re.fullmatch(r"[ ,°%]*(?:points|units|scores?)? ?to ", between))

    # --- outcomes -------------------------------------------------------------------------------

    def outcome_list(self, named: Named) -> list[Named]:
        """Return the outcomes that are listed together with one: "speed, step length and pain"."""
        place = self.outcomes.index(named)
        listed = [named]
        for other in self.outcomes[place + 1 :]:
            if not self._same_list(listed[-1], other):
                break
            listed.append(other)
        for other in reversed(self.outcomes[:place]):
            if not self._same_list(other, listed[0]):
                break
            listed.insert(0, other)
        return listed

    def _same_list(self, one: Named, other: Named) -> bool:
        gap = self.text[one.end : other.start]
        return gap.strip() not in ("", "(") and bool(_LIST.fullmatch(gap))

    def outcomes_of(self, mention: Mention, shared: bool = False) -> list[Link]:
        """Say which outcome a number belongs to; several if `shared` and they stand in a list."""
        low, high = self.clause(mention.start)
        here = [o for o in self.outcomes if low <= o.start < high]
        before = [o for o in here if o.end <= mention.start]
        after = [o for o in here if o.start >= mention.end]
        if before:
            nearest = before[-1]
            listed = [o for o in self.outcome_list(nearest) if o.end <= mention.start]
            gap = self.text[nearest.end : mention.start]
            if re.match(r" ?[(\[]", gap) and any(
                m.kind == mention.kind for o in listed[:-1]
                for m in self.numbers if o.end <= m.start < listed[-1].start
            ):  # fmt: skip
                # Every outcome of the list has brackets of its own.
                return [_link(nearest)]
            run = self.run(mention)
            if len(run) > 1 and len(run) == len(listed):
                return [_link(listed[run.index(mention)], self._doubt_of_zip(run))]
            if shared and len(listed) > 1:
                return [_link(one) for one in listed]
            if len(listed) > 1:
                return [_link(nearest, ("the last of several outcomes before it",))]
            return [_link(nearest)]
        if after:
            listed = self.outcome_list(after[0])
            run = self.run(mention)
            if len(run) > 1 and len(run) == len(listed):
                return [_link(listed[run.index(mention)], self._doubt_of_zip(run))]
            return [_link(one) for one in (listed if shared else listed[:1])]
        if named := self.subject(low, mention.start):
            return [_link(named, ("the outcome is not in the vocabulary",))]
        earlier = [o for o in self.outcomes if o.end <= low]
        later = [o for o in self.outcomes if o.start >= high]
        if earlier or later:
            return [_link((earlier or later)[-1 if earlier else 0], ("outcome of another clause",))]
        if named := self.subject(self.sentence.start, mention.start):
            return [_link(named, ("the outcome is not in the vocabulary",))]
        if self.before is not None:
            return [_link(self.before, ("outcome of the sentence before",))]
        return []

    def _doubt_of_zip(self, run: Sequence[Mention]) -> tuple[str, ...]:
        after = self.text[run[-1].end : self.sentence.end]
        return () if "respectively" in after else ("matched by order, without 'respectively'",)

    def subject(self, low: int, high: int) -> Named | None:
        """Return the noun before the verb of a clause, for an outcome the vocabulary lacks."""
        found = None
        for match in _SUBJECT.finditer(self.text[low : min(self.sentence.end, high + 40)]):
            if low + match.start("name") < high and not _NO_SUBJECT.search(match["name"]):
                found = match
        if found is None:
            return None
        start, end = (low + place for place in found.span("name"))
        if any(p.start < end and start < p.end for p in self.places):
            return None
        return Named(start, end, Term("", found["name"], ""))

    def outcomes_of_cue(self, cue: Cue) -> list[Link]:
        """Say which outcomes words of direction are about."""
        low, high = self.clause(cue.start)
        here = [o for o in self.outcomes if low <= o.start < high]
        before = [o for o in here if o.end <= cue.start]
        after = [o for o in here if o.start >= cue.end]
        near = [o for o in after if o.start - cue.end <= 60]
        other = [c for c in self.cues if low <= c.start < high and c is not cue]
        taken = [o for o in before if any(o.end <= c.start < cue.start for c in other)]
        before = [o for o in before if o not in taken] or ([] if near else before)
        direct = near and not re.search(r"\w{4}", self.text[cue.end : near[0].start])
        if near and (not cue.verbal or not before) and (direct or not before or cue.form != "verb"):
            attributive = cue.form in ("noun", "none") or direct or not before
            if attributive and not (cue.form == "adjective" and before and not direct):
                return [_link(one) for one in self._loose(near[0], forward=True)]
        if before:
            listed = self._loose(before[-1], forward=False)
            return [_link(one) for one in (*listed, *self._without_verb(cue, after))]
        if named := self.subject(low, cue.start):
            return [_link(named, ("the outcome is not in the vocabulary",))]
        return [_link(one) for one in self._loose(after[0], forward=True)] if after else []

    def _without_verb(self, cue: Cue, after: list[Named]) -> list[Named]:
        """Return outcomes that share a verb with one before: "fell … and fat from 30 to 28"."""
        return [
            o for o in after
            if cue.form == "verb"
            and re.search(r"(?:\band|,) (?:\w+ )?$", self.text[cue.end : o.start])
            and re.match(r" (?:from|by) [-+]?\d", self.text[o.end : o.end + 9])
        ]  # fmt: skip

    def _loose(self, named: Named, forward: bool) -> list[Named]:
        """Return a list of outcomes, passing over what stands in brackets after each."""
        place = self.outcomes.index(named)
        listed = [named]
        rest = self.outcomes[place + 1 :] if forward else self.outcomes[:place][::-1]
        for other in rest:
            one, two = (listed[-1], other) if forward else (other, listed[-1])
            gap = re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)", "", self.text[one.end : two.start])
            if not _LIST.fullmatch(gap) or self.clause(one.start) != self.clause(two.start):
                break
            listed.append(other)
        return listed if forward else listed[::-1]

    # --- arms -----------------------------------------------------------------------------------

    def arm_of(self, mention: Mention) -> Link | None:
        """Say which arm a number belongs to."""
        run = self.run(mention)
        low, high = self.clause(mention.start)
        if len(run) > 1 and self.is_span(run):
            mention = run[-1]
            run = [mention]
        here = [p for p in self.places if low <= p.start < high]
        if len(run) > 1:
            lists = [places for places in self._arm_lists() if len(places) == len(run)]
            if lists:
                near = min(lists, key=lambda places: abs(places[0].start - mention.start))
                return _arm_link(near[run.index(mention)])
            distinct = _distinct(here) or _distinct(self.places)
            if len(distinct) < len(run):
                distinct = _distinct(self.order)
            if len(distinct) == len(run):
                why = ("arms matched by their order",)
                return _arm_link(distinct[run.index(mention)], why)
        follows = self._following(mention, here)
        if follows is not None:
            return _arm_link(follows)
        before = [p for p in here if p.end <= mention.start]
        if before:
            return _arm_link(before[-1], self._doubt_before(before[-1], mention))
        distinct = _distinct(self.places)
        if len(distinct) == 1:
            return _arm_link(distinct[0])
        earlier = [p for p in self.places if p.end <= mention.start]
        if earlier:
            return _arm_link(earlier[-1], ("arm of another clause",))
        if len(self.arms) == 1:
            return Link(self.arms[0], mention.start, mention.start, ("the only arm named",))
        return None

    def _doubt_before(self, place: ArmPlace, mention: Mention) -> tuple[str, ...]:
        between = [m for m in self.numbers if place.end <= m.start and m.end <= mention.start]
        same = [m for m in between if m.kind == mention.kind]
        return ("another number stands between it and the arm",) if same else ()

    def _following(self, mention: Mention, here: list[ArmPlace]) -> ArmPlace | None:
        after = [p for p in here if p.start >= mention.end]
        if not after:
            return None
        gap = self.text[mention.end : after[0].start]
        gap = re.sub(r"^ ?\([^()]*\)", "", gap)
        opened = gap.count("(") > gap.count(")")
        return after[0] if not opened and _FOLLOWS.fullmatch(gap) and gap.strip(" )]") else None

    def _arm_lists(self) -> list[list[ArmPlace]]:
        """Return runs of different arms: "the ketamine and saline groups"."""
        lists: list[list[ArmPlace]] = []
        for place in self.places:
            last = lists[-1][-1] if lists else None
            gap = self.text[last.end : place.start] if last else ""
            joint = r"[ ,/]*(?:(?:and|or|vs\.?|versus) )?(?:to |in )?(?:the )?"
            if last and last.arm != place.arm and gap and re.fullmatch(joint, gap):
                lists[-1].append(place)
            else:
                lists.append([place])
        return [places for places in lists if len(places) > 1]

    # --- times ----------------------------------------------------------------------------------

    def time_of(self, mention: Mention) -> tuple[str, tuple[str, ...]]:
        """Say when a number was measured: by "from … to", else by the nearest word of time."""
        run = self.run(mention)
        if self.is_span(run):
            return ("baseline" if mention is run[0] else "post"), ()
        low, high = self.clause(mention.start)
        words = timepoints(self.text, low, high)
        tight = [
            kind for start, _, kind in words
            if 0 <= start - mention.end <= 14
            and not re.search(r"\d", self.text[mention.end : start])
        ]  # fmt: skip
        if tight:
            return tight[0], ()
        before = [kind for _, end, kind in words if end <= mention.start]
        if before:
            return before[-1], ()
        words = timepoints(self.text, self.sentence.start, self.sentence.end)
        kinds = {kind for _, _, kind in words}
        if len(kinds) == 1:
            return kinds.pop(), ()
        return "", ("the time is not said",)


def _link(named: Named, why: tuple[str, ...] = ()) -> Link:
    return Link(named.term, named.start, named.end, why)


def _arm_link(place: ArmPlace, why: tuple[str, ...] = ()) -> Link:
    return Link(place.arm, place.start, place.end, why)


def _distinct(places: Sequence[ArmPlace]) -> list[ArmPlace]:
    first: dict[str, ArmPlace] = {}
    for place in places:
        first.setdefault(place.arm.name, place)
    return list(first.values())

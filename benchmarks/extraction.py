"""How well candidate results are found in abstracts, per kind of result.

The abstracts of ``tests/golden/abstracts`` were invented; a third of them is held out, and no rule
was changed for these (its README says what was written when). A result counts as found if
kind and numbers are those of the annotation and the places overlap. Links (which outcome, arm,
time, comparison) are counted on the results found. The notes of curated contrasts that quote a p
are read too and compared with the p of their row; no text of a publisher is used.

    python benchmarks/extraction.py        # writes extraction.csv beside itself
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from retroevidence.loaders.extraction.extract import extract
from retroevidence.loaders.tables import load

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "abstracts"
SETS = ("tuned", "heldout")
KINDS = (
    *("n", "mean_sd", "mean_se", "mean", "median", "change", "difference", "ratio", "percent"),
    *("events", "p", "test", "direction"),
)
LINKS = ("outcome", "arm", "time", "comparison")

_COMPARISONS = {
    "between_groups": "bg",
    "within_person": "wp",
    "within_group_change": "wc",
    "between_populations": "bp",
}


@dataclass
class Fact:
    """A printed result: annotated, or found."""

    kind: str
    start: int
    end: int
    numbers: dict[str, object]
    outcomes: list[str] = field(default_factory=list)
    arm: str = ""
    time: str = ""
    comparison: str = ""


def abstracts(which: str) -> list[tuple[str, str, list[Fact]]]:
    """Return (id, text, annotations) of every abstract of one set."""
    made = []
    blocks = re.split(r"\n(?=# )", (FOLDER / f"{which}.txt").read_text(encoding="utf-8"))
    for block in blocks:
        head, _, body = block.strip().partition("\n")
        text, at, gold = "", 0, []
        for mark in re.finditer(r"\{([^{}|]*)\|([^{}]*)\}", body):
            text += body[at : mark.start()]
            start = len(text)
            text += mark[1]
            gold += [_annotated(one, start, len(text)) for one in mark[2].split("||")]
            at = mark.end()
        made.append((head.split()[1], text + body[at:], _grouped(gold)))
    return made


def _annotated(text: str, start: int, end: int) -> Fact:
    kind, *parts = text.split()
    fact = Fact(kind, start, end, {})
    for part in parts:
        if part[0] == "@":
            fact.outcomes.append(part[1:])
        elif part[0] == "#":
            fact.arm = part[1:]
        elif part[0] == "!":
            fact.time = part[1:]
        elif part.startswith("k="):
            fact.comparison = part[2:]
        else:
            name, _, value = part.partition("=")
            fact.numbers[name] = value if name in ("op", "d") else float(value)
    return fact


def _grouped(facts: list[Fact]) -> list[Fact]:
    """Make one fact of those that differ only in their outcome."""
    kept: dict[tuple, Fact] = {}
    for fact in facts:
        key = (fact.kind, fact.start, fact.end, tuple(sorted(fact.numbers.items())))
        if key in kept:
            kept[key].outcomes += [o for o in fact.outcomes if o not in kept[key].outcomes]
        else:
            kept[key] = fact
    return list(kept.values())


_ARM_VALUES = {
    "mean": "m", "median": "m", "sd": "sd", "se": "se", "ci_low": "lo", "ci_high": "hi",
    "iqr_low": "lo", "iqr_high": "hi",
}  # fmt: skip


def facts(text: str) -> list[Fact]:
    """Return what is found in a text, as facts."""
    found = []
    for row in extract(text).to_dict("records"):
        row = {name: cell for name, cell in row.items() if pd.notna(cell)}
        spans = {}
        for part in row.get("spans", "").split("; "):
            name, _, place = part.rpartition(" ")
            spans[name] = tuple(int(n) for n in place.split("-"))
        kind = row["result"]
        if row.get("table") != "contrasts":
            if kind == "n":
                values = {"n": float(row["n"])}
            elif kind == "events":
                values = {"x": float(row["events"])}
                values |= {"n": float(row["n"])} if spans.get("n") == spans["events"] else {}
            elif kind == "percent":
                values = {"v": row["mean"]}
            else:
                values = {_ARM_VALUES[name]: row[name] for name in _ARM_VALUES if name in row}
            made = [Fact(kind, row["start"], row["end"], values)]
        else:
            made = list(_contrast_facts(row, spans))
        for fact in made:
            fact.outcomes = [_named(row, text, spans)] if "outcome" in spans else []
            fact.arm, fact.time = row.get("arm", ""), row.get("timepoint", "")
            fact.comparison = _COMPARISONS.get(row.get("kind"), "")
        found += made
    return _grouped(found)


def _named(row: dict, text: str, spans: dict) -> str:
    low, high = spans["outcome"]
    return f"{row.get('outcome', '')} {row.get('instrument', '')} {text[low:high]}"


def _contrast_facts(row: dict, spans: dict):
    if "estimate" in row:
        kind = row["result"] if row["result"] in ("ratio", "percent") else "difference"
        values = {"v" if kind == "percent" else "m": row["estimate"]}
        if "ci_low" in row:
            values |= {"lo": row["ci_low"], "hi": row["ci_high"]}
        yield Fact(kind, *spans["estimate"], values)
    if "p_value" in row:
        yield Fact("p", *spans["p_value"], {"op": row["p_op"], "v": row["p_value"]})
    for name, short in (("t_value", "t"), ("f_value", "f")):
        if name in row:
            yield Fact("test", *spans[name], {short: row[name]})
    for name in ("chi2", "z"):
        if name in spans:
            value = re.search(rf"{name} = (\S+?)(?:;|$)", row["note"])
            yield Fact("test", *spans[name], {name: float(value[1])})
    if "direction" in spans:
        way = row.get("direction") or (
            {"experimental": "better", "comparator": "worse"}.get(row.get("favours"), "")
        )
        yield Fact("direction", *spans["direction"], {"d": way})


def matched(gold: list[Fact], found: list[Fact]) -> list[tuple[Fact, Fact]]:
    """Pair annotations and facts, each at most once."""
    pairs, free = [], list(found)
    for one in gold:
        for other in free:
            same = one.kind == other.kind and one.start < other.end and other.start < one.end
            if same and one.numbers == other.numbers:
                pairs.append((one, other))
                free.remove(other)
                break
    return pairs


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def _is(wanted: str, found: str) -> bool:
    return any(_plain(one) in _plain(found) for one in wanted.split("/"))


def links(gold: Fact, found: Fact) -> dict[str, tuple[int, int, int]]:
    """Return, per link, how many are annotated, found and right."""
    counts = {}
    if gold.outcomes:
        right = sum(any(_is(o, f) for f in found.outcomes) for o in gold.outcomes)
        counts["outcome"] = (len(gold.outcomes), len(found.outcomes), right)
    if gold.arm:
        counts["arm"] = (1, int(bool(found.arm)), int(bool(found.arm) and _is(gold.arm, found.arm)))
    if gold.time:
        counts["time"] = (1, int(bool(found.time)), int(gold.time == found.time))
    if gold.comparison:
        counts["comparison"] = (1, 1, int(gold.comparison == found.comparison))
    return counts


def scores(which: str) -> pd.DataFrame:
    """Return, per kind and link of one set: annotated, found, right, precision and recall."""
    counts = {name: [0, 0, 0] for name in (*KINDS, "all results", *(f"{x} link" for x in LINKS))}
    for _, text, gold in abstracts(which):
        found = facts(text)
        pairs = matched(gold, found)
        for column, some in enumerate((gold, found, [one for one, _ in pairs])):
            for fact in some:
                counts.setdefault(fact.kind, [0, 0, 0])[column] += 1
                counts["all results"][column] += 1
        for one, other in pairs:
            for link, numbers in links(one, other).items():
                for column, number in enumerate(numbers):
                    counts[f"{link} link"][column] += number
    rows = [(which, name, *numbers) for name, numbers in counts.items()]
    return _rated(rows)


def curated() -> pd.DataFrame:
    """Compare what is read in curated notes with the numbers of their rows.

    No text of a publisher is kept, so notes are the only printed words beside curated numbers. Most
    quote other numbers than those of their row (that is why they were written); only a p or an
    interval that the row holds too, up to the sign, can be compared.
    """
    numbers = {"p": [0, 0, 0], "estimate": [0, 0, 0]}
    kinds = {"p": ("p",), "estimate": ("difference", "change")}
    for name in ("contrasts", "reviews"):
        for row in load(name).dropna(subset="note").to_dict("records"):
            quotes = _quoted(row)
            read = facts(row["note"]) if quotes else []
            for kind, quoted in quotes.items():
                same = [one for one in read if one.kind in kinds[kind]]
                numbers[kind][0] += 1
                numbers[kind][1] += bool(same)
                numbers[kind][2] += any(_magnitudes(one) == quoted for one in same)
    return _rated([("curated notes", kind, *counts) for kind, counts in numbers.items()])


def _quoted(row: dict) -> dict[str, list]:
    """Return the numbers of a row that its own note quotes, by plain comparison of text."""
    note = row["note"].replace(" ", "")
    found: dict[str, list] = {}
    p = re.search(r"p([=<>])(0?\.\d+)", note)
    if p and p[1] == row["p_op"] and float(p[2]) == row["p_value"]:
        found["p"] = [row["p_op"], row["p_value"]]
    limits = sorted(abs(row[name]) for name in ("ci_low", "ci_high"))
    if f"{abs(row['estimate']):g}(95%CI{limits[0]:g},{limits[1]:g})" in note:
        found["estimate"] = [abs(row["estimate"]), *limits]
    return found


def _magnitudes(fact: Fact) -> list:
    if fact.kind == "p":
        return [fact.numbers["op"], fact.numbers["v"]]
    limits = sorted(abs(fact.numbers.get(name, float("nan"))) for name in ("lo", "hi"))
    return [abs(fact.numbers["m"]), *limits]


def _rated(rows: list[tuple]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["set", "what", "annotated", "found", "right"])
    table["precision"] = (table["right"] / table["found"].where(table["found"] > 0)).round(3)
    table["recall"] = (table["right"] / table["annotated"].where(table["annotated"] > 0)).round(3)
    return table[(table["annotated"] > 0) | (table["found"] > 0)]


def result() -> pd.DataFrame:
    """Return the whole table."""
    return pd.concat([*(scores(which) for which in SETS), curated()], ignore_index=True)


if __name__ == "__main__":
    table = result()
    table.to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(table.to_string(index=False))

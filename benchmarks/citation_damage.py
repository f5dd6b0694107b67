"""How well the audit of references tells what is wrong with them.

Real records (every entry of ``references.bib`` with authors, title, journal and year) are damaged
in known ways, printed as text in two styles by turns, parsed again and audited against the whole
bibliography. One row per kind of damage: how many were judged verified, mis-cited, not located or
not assessed, and in how many the damaged field was named.

    python benchmarks/citation_damage.py        # writes citation_damage.csv beside itself

Everything is drawn with a fixed seed from the entries named in ``citation_damage_keys.txt``, so
that the table does not change with every new entry of the bibliography.
"""

from __future__ import annotations

import random
import re
import tempfile
from pathlib import Path

import pandas as pd

from retroevidence import write_references
from retroevidence._paths import bibliography_path
from retroevidence.claims.reference_list import Records, audit_list
from retroevidence.loaders.formatted import STYLES, format_references
from retroevidence.loaders.reference_text import references_of_text
from retroevidence.loaders.references import read_references

SEED = 20261122
VERDICTS = ("verified", "mis-cited", "not located", "not assessed")

#: Kind of damage: the verdict a careful reader would give, and the field that should be named.
KINDS = {
    "none": ("verified", ""),
    "spelling of the title": ("verified", ""),
    "only three authors": ("verified", ""),
    "year off by one": ("mis-cited", "year"),
    "year off by more": ("mis-cited", "year"),
    "journal of another record": ("mis-cited", "journal"),
    "first author of another record": ("mis-cited", "authors"),
    "one author left out": ("mis-cited", "authors"),
    "one word of the title": ("mis-cited", "title"),
    "a third of the title": ("mis-cited", "title"),
    "pages": ("mis-cited", "pages"),
    "doi of another record": ("mis-cited", "doi"),
    "blend: title of one, rest of another": ("mis-cited", "the other record"),
    "record not in the library": ("not located", ""),
    "invented: halves of two titles, authors of a third": ("not located", ""),
}


def library() -> pd.DataFrame:
    """Return the records to look in."""
    keys = Path(__file__).with_name("citation_damage_keys.txt").read_text(encoding="utf-8").split()
    table = read_references(bibliography_path())
    return table[table["key"].isin(keys)].reset_index(drop=True)


def records() -> pd.DataFrame:
    """Return the entries to damage: those that show authors, title, journal and year."""
    table = library()
    shown = table[["authors", "title", "journal", "year"]].notna().all(axis=1)
    return table[shown].reset_index(drop=True)


def damaged(table: pd.DataFrame, kind: str, rng: random.Random) -> pd.DataFrame:
    """Return the records with one kind of damage; rows that cannot have it are left out."""
    rows = table.astype(object).where(table.notna(), "").to_dict("records")
    made = []
    for row in rows:
        other = rng.choice([r for r in rows if _family(r) != _family(row)])
        third = rng.choice([r for r in rows if r is not row and r is not other])
        if new := _damage(dict(row), other, third, kind, rng):
            made.append(new)
    return pd.DataFrame(made, columns=table.columns)


def _damage(row: dict, other: dict, third: dict, kind: str, rng: random.Random) -> dict | None:
    people = row["names"].split("; ")
    words = row["title"].split()
    if kind == "spelling of the title":
        title = row["title"].title() if rng.random() < 0.5 else row["title"].casefold()
        row["title"] = re.sub(r"(\w{4})iz(e|ing|ed|ation)\b", r"\1is\2", title)
    elif kind == "only three authors":
        if len(people) <= 3:
            return None
        row["names"] = "; ".join([*people[:3], "et al."])
    elif kind == "year off by one":
        row["year"] += rng.choice([-1, 1])
    elif kind == "year off by more":
        row["year"] += rng.choice([-1, 1]) * rng.randint(2, 15)
    elif kind == "journal of another record":
        if other["journal"] == row["journal"] or other["type"] != row["type"]:
            return None
        row["journal"] = other["journal"]
    elif kind == "first author of another record":
        row["names"] = "; ".join([other["names"].split("; ")[0], *people[1:]])
    elif kind == "one author left out":
        if len(people) < 3 or people[-1] == "et al.":
            return None
        row["names"] = "; ".join([*people[:1], *people[2:]])
    elif kind == "one word of the title":
        row["title"] = " ".join(_replace(words, 1, other["title"].split(), rng))
    elif kind == "a third of the title":
        row["title"] = " ".join(_replace(words, len(words) // 3, other["title"].split(), rng))
    elif kind == "pages":
        first = re.match(r"[A-Za-z]?(\d+)", row["pages"])
        if not first:
            return None
        page = int(first[1]) + rng.randint(3, 400)
        row["pages"] = f"{page}-{page + 7}"
    elif kind == "doi of another record":
        if not (row["doi"] and other["doi"]):
            return None
        row["doi"] = other["doi"]
    elif kind == "blend: title of one, rest of another":
        row = other | {"title": row["title"], "key": row["key"], "doi": ""}
    elif kind.startswith("invented"):
        half = row["title"].split()[: len(words) // 2], other["title"].split()
        row["title"] = " ".join([*half[0], *half[1][len(half[1]) // 2 :]])
        row |= {"names": third["names"], "year": third["year"], "journal": other["journal"]}
        # A place that belongs to no record: volumes and pages nobody has.
        row |= {"volume": str(rng.randint(200, 400)), "number": "", "pages": "9001-9009"}
    row["authors"] = ""
    if kind != "doi of another record":
        # Without identifiers, as most lists are; with one the record is found at once.
        row |= {"doi": "", "pmid": "", "url": ""}
    return row


def _replace(words: list[str], count: int, others: list[str], rng: random.Random) -> list[str]:
    """Replace words of four letters and more by other such words."""
    long = [n for n, word in enumerate(words) if len(word) > 3]
    fresh = [w for w in others if len(w) > 3 and w.casefold() not in {x.casefold() for x in words}]
    made = list(words)
    for place in rng.sample(long, min(count, len(long))):
        made[place] = rng.choice(fresh) if fresh else "rotation"
    return made


def _family(row: dict) -> str:
    return row["names"].partition(",")[0]


def printed(table: pd.DataFrame) -> str:
    """Print references as text, the two styles by turns, one reference a line."""
    with tempfile.TemporaryDirectory() as folder:
        table = table.assign(key=[f"r{n}" for n in range(len(table))])
        write_references(table, Path(folder) / "references.bib")
        lines = [
            format_references([key], STYLES[n % 2], folder).lines[0]
            for n, key in enumerate(table["key"])
        ]
    return "\n".join(re.sub(r"^1\. ", "", line) for line in lines)


def judge(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Damage, print, parse and audit; one row per reference, with the verdict."""
    made = damaged(table, kind, random.Random(f"{SEED} {kind}"))
    known = library()
    if kind == "record not in the library":
        # Each reference is looked up in a library without its own record.
        rows = references_of_text(printed(made))
        parts = [
            audit_list([row], [Records(known[known["key"] != key], "bibliography")], "")
            for row, key in zip(rows, made["key"], strict=True)
        ]
        found = pd.concat(parts, ignore_index=True)
    else:
        rows = references_of_text(printed(made))
        found = audit_list(rows, [Records(known, "bibliography")], "")
    return found.assign(key=made["key"].tolist())


def confusion(kinds: list[str] | None = None) -> pd.DataFrame:
    """Return the table: one row per kind of damage."""
    table = records()
    rows = []
    for kind in kinds or list(KINDS):
        wanted, field = KINDS[kind]
        found = judge(table, kind)
        counts = {verdict: int((found["verdict"] == verdict).sum()) for verdict in VERDICTS}
        named = found["differing"].fillna("").str.contains(rf"(?:^|; ){field}: ") if field else None
        if kind.startswith("blend"):
            named = found["reason"].str.contains("of another record")
        right = found["candidate_id"] == found["key"]
        rows.append(
            {
                "damage": kind,
                "references": len(found),
                **counts,
                "expected": wanted,
                "as_expected": counts[wanted],
                "field_named": int(named.sum()) if named is not None else "",
                "nearest_is_the_record": int(right.sum()),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    result = confusion()
    result.to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(result.to_string(index=False))

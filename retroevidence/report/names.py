"""Keys and codes in words: study labels, measures, directions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from retroevidence.loaders.record import EXPERIMENTAL

_KEY = re.compile(r"^(?P<name>[a-z]+?)(?P<year>(?:19|20)\d\d)(?P<rest>[a-z].*)?$")
_IS_KEY = re.compile(r"^[a-z0-9_]+$")
_REGISTERS = ("nct", "ctri", "irct", "isrctn", "actrn")

MEASURES = {
    "MD": "mean difference",
    "SMD": "standardised mean difference (Hedges g)",
    "SMDH": "standardised mean difference (unequal variances)",
    "SMD1": "standardised mean difference (comparator's SD)",
    "SMD1H": "standardised mean difference (comparator's SD)",
    "OR2D": "standardised mean difference (from an odds ratio)",
    "OR2DL": "standardised mean difference (from an odds ratio)",
    "OR2DN": "standardised mean difference (from an odds ratio)",
    "CLES": "probability of a higher value (common-language effect size)",
    "ROM": "difference in percent",
    "ROMC": "difference in percent",
    "VR": "variability ratio",
    "CVR": "ratio of coefficients of variation",
    "MC": "mean change",
    "SMCC": "standardised mean change",
    "SMCR": "standardised mean change",
    "SMCRH": "standardised mean change",
    "SMCRP": "standardised mean change",
    "SMCRPH": "standardised mean change",
    "OR": "odds ratio",
    "RR": "risk ratio",
    "RD": "risk difference",
    "PETO": "odds ratio (Peto)",
    "D2OR": "odds ratio (from a standardised difference)",
    "D2ORL": "odds ratio (from a standardised difference)",
    "D2ORN": "odds ratio (from a standardised difference)",
    "MPRD": "risk difference (matched pairs)",
    "MPRR": "risk ratio (matched pairs)",
    "MPOR": "odds ratio (matched pairs)",
    "MPORC": "odds ratio (matched pairs)",
    "MPPETO": "odds ratio (matched pairs, Peto)",
    "AS": "arcsine difference",
    "PHI": "phi coefficient",
    "COR": "correlation",
    "ZCOR": "correlation",
    "PCOR": "partial correlation",
    "PR": "proportion",
    "PLN": "proportion",
    "PLO": "proportion",
    "PAS": "proportion",
    "PFT": "double-arcsine proportion",
    "IRR": "rate ratio",
    "IRD": "rate difference",
    "IRSD": "difference of square roots of rates",
    "MN": "mean",
    "MNLN": "mean",
    "ARAW": "Cronbach's alpha",
    "GEN": "effect",
}


def study_label(key: str) -> str:
    """Return the label of a study as a figure prints it, made from its key.

    Parameters
    ----------
    key : str
        The study's key: first author and year in small letters. A key that ends in ``_nd`` has
        no year on the page it was read from; one that starts with ``anon`` has no authors. A name
        that is no key, as it has capitals or spaces, stays as it is.

    Examples
    --------
    >>> [study_label(key) for key in ("alghadir2019", "abdelraouf2019b", "kajale_nd")]
    ['Alghadir 2019', 'Abdelraouf 2019b', 'Kajale (year not shown)']
    >>> study_label("anon_cairo45_nd"), study_label("nct02688777"), study_label("kim2016cp")
    ('Anon. cairo45 (year not shown)', 'NCT02688777', 'Kim 2016 (cp)')
    >>> study_label("de Vries, 2010")
    'de Vries, 2010'
    """
    if not _IS_KEY.match(key):
        return key
    name = key.removesuffix("_nd")
    undated = " (year not shown)" if name != key else ""
    if name.startswith(_REGISTERS) and any(sign.isdigit() for sign in name):
        return name.upper() + undated
    match = _KEY.match(name)
    if match:
        rest = match["rest"] or ""
        letter = rest if len(rest) == 1 else ""
        extra = f" ({rest})" if len(rest) > 1 else ""
        author = "Anon." if match["name"] == "anon" else match["name"].capitalize()
        return f"{author} {match['year']}{letter}{extra}"
    if name.startswith("anon_"):
        return f"Anon. {name.removeprefix('anon_').replace('_', ' ')}{undated}"
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:] + undated


def measure_name(measure: str) -> str:
    """Return a measure's code in words; an unknown code stays as it is.

    Examples
    --------
    >>> measure_name("RR"), measure_name("ROMC"), measure_name("mine")
    ('risk ratio', 'difference in percent', 'mine')
    """
    return MEASURES.get(measure, measure)


def axis_label(measure: str, studies: pd.DataFrame) -> str:
    """Name a measure for an axis, with the unit where all studies share one.

    Examples
    --------
    >>> axis_label("MD", pd.DataFrame({"unit": ["kg", "kg"]})), axis_label("RR", pd.DataFrame())
    ('Mean difference (kg)', 'Risk ratio')
    """
    name = measure_name(measure) or "effect"
    units = set(studies["unit"].dropna()) - {""} if "unit" in studies.columns else set()
    if measure in {"MD", "MC", "MN"} and len(units) == 1:
        name += f" ({units.pop()})"
    return name[:1].upper() + name[1:]


def experimental_of(claim: Mapping[str, Any]) -> str:
    """Return what the experimental arms of a claim's review do.

    Examples
    --------
    >>> experimental_of({"experimental": "backward walking"}), experimental_of({})
    ('backward walking', 'the experimental arm')
    """
    return str(claim.get("experimental") or EXPERIMENTAL)


def short_of(experimental: str) -> str:
    """Return the telling word of what the experimental arms do, for the head of a column.

    Examples
    --------
    >>> short_of("backward walking"), short_of("the experimental arm")
    ('backward', 'experimental')
    """
    return experimental.removeprefix("the ").split()[0]


def sides(direction: str, experimental: str) -> tuple[str, str]:
    """Return what the left and the right side of the null line mean.

    Parameters
    ----------
    direction : str
        The claimed direction. ``better`` and ``worse`` speak of benefit: there a positive
        effect favours the experimental arm. Any other word speaks of the value itself.
    experimental : str
        What the experimental arm does.

    Examples
    --------
    >>> sides("lower", "backward walking")
    ('lower with backward walking', 'higher with backward walking')
    >>> sides("better", "backward walking")
    ('favours comparator', 'favours backward walking')
    """
    if direction in {"better", "worse"}:
        return "favours comparator", f"favours {experimental}"
    return f"lower with {experimental}", f"higher with {experimental}"


def row_labels(studies: pd.DataFrame) -> list[str]:
    """Return one label per row; a study with several rows also names what differs between them.

    A row is called by its `label` where it has one, else by its study.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {
    ...         "study_id": ["kim2001", "lee2013", "lee2013"],
    ...         "instrument": ["", "timed walk", "step test"],
    ...     }
    ... )
    >>> row_labels(frame)
    ['Kim 2001', 'Lee 2013, timed walk', 'Lee 2013, step test']
    """
    own = [study_label(label) if _told(label) else "" for label in studies.get("label", ())]
    for column in ("study_id", "comparison"):
        if column in studies.columns:
            labels = [study_label(str(key)) for key in studies[column]]
            break
    else:
        if not own:
            return [f"Result {i}" for i in range(1, len(studies) + 1)]
        labels = [f"Result {i}" for i in range(1, len(studies) + 1)]
    labels = [name or label for name, label in zip(own, labels, strict=True)] if own else labels
    for column in ("instrument", "muscle", "outcome", "comparison", "arm", "contrast", "rows"):
        if column not in studies.columns:
            continue
        values = [str(value) if _told(value) else "" for value in studies[column]]
        if column == "comparison" and "study_id" in studies.columns:
            # A comparison is named by its study and what sets it apart.
            values = [
                value.removeprefix(str(key)).strip(":_- ").replace("_", " ")
                for value, key in zip(values, studies["study_id"], strict=True)
            ]
        meant: dict[str, set[str]] = {}
        for label, value in zip(labels, values, strict=True):
            meant.setdefault(label, set()).add(value)
        labels = [
            f"{label}, {value}" if value and len(meant[label]) > 1 else label
            for label, value in zip(labels, values, strict=True)
        ]
    return labels


def _told(value: object) -> bool:
    return isinstance(value, str) and bool(value)

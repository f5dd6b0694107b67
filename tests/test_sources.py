"""Every paper that a docstring names by doi stands in references.bib."""

import re
from pathlib import Path

import retroevidence as rv

PACKAGE = Path(rv.__file__).parent
DOI = re.compile(r"\b10\.\d{4,9}/[^\s`\"',}]+")
#: Prefixes kept for examples: no paper has such a doi.
MADE_UP = ("10.5555/", "10.1000/")


def known_dois() -> set[str]:
    """Return the dois of references.bib, in lower case."""
    return set(rv.bibliography()["doi"].dropna().str.lower())


def named_dois(text: str, known: set[str]) -> set[str]:
    """Return the dois that a source file names, without what follows them in a sentence."""
    found = set()
    for match in DOI.findall(text):
        doi = match.lower()
        while doi not in known and doi and not doi[-1].isalnum():
            doi = doi[:-1]
        found.add(doi)
    return found


def test_every_doi_of_the_code_is_in_the_bibliography():
    known = known_dois()
    strange = {
        f"{path.relative_to(PACKAGE)}: {doi}"
        for path in PACKAGE.rglob("*.py")
        for doi in named_dois(path.read_text(encoding="utf-8"), known) - known
        if not doi.startswith(MADE_UP)
    }
    assert not strange


def test_a_doi_is_found_with_what_follows_it():
    known = {"10.1/a(2)b", "10.1000/x"}
    assert named_dois("(Sidik, doi 10.1000/X), and (10.1000/y).", known) == {
        "10.1000/x",
        "10.1000/y",
    }

"""The list of references of the report: every study whose results bear on a claim."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retroevidence.report.markup import Markup, el, link

if TYPE_CHECKING:
    from retroevidence.claims.check import Checked

_ADDRESS = re.compile(r"(https?://\S+)$")


def cited_studies(checks: Sequence[Checked]) -> tuple[str, ...]:
    """Return the studies with a result in the evidence of a claim, in alphabetical order.

    Examples
    --------
    >>> from retroevidence.claims.check import check
    >>> cited_studies([check("knee_pain")])[:2]
    ('alghadir2019', 'anon_cairo45_nd')
    """
    found = {
        str(study)
        for checked in checks
        if "study_id" in checked.effects
        for study in checked.effects["study_id"].dropna()
    }
    return tuple(sorted(found))


def reference_list(lines: Sequence[str]) -> Markup:
    """Return references as a list, the address at the end of each as a link.

    Parameters
    ----------
    lines : sequence of str
        Lines of HTML, as :func:`retroevidence.loaders.formatted.format_references` gives them.

    Examples
    --------
    >>> reference_list(["Kale, A. (2020). <i>Gait</i>. https://doi.org/10.1000/a"])
    '<ul class="references"><li>Kale, A. (2020). <i>Gait</i>. <a href="https://doi.org/10.1000/a"
    rel="noreferrer">https://doi.org/10.1000/a</a></li></ul>'
    """
    items = []
    for line in lines:
        text, address, _ = [*_ADDRESS.split(line), "", ""][:3]
        url = address.replace("&amp;", "&")
        items.append(el("li", Markup(text), *([link(url, url)] if url else [])))
    return el("ul", *items, class_="references")


def references(checks: Sequence[Checked], data: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Return the references of the studies as lines of HTML, by author and year (APA).

    A study without an entry in the bibliography is left out here; `validate` reports it.

    Examples
    --------
    >>> from retroevidence.claims.check import check
    >>> references([check("knee_pain")], None)[0].partition(" (")[0][:26]
    'Alghadir, A. H., Anwer, S.'
    """
    from retroevidence.loaders.bibliography import bibliography
    from retroevidence.loaders.formatted import format_references

    known = set(bibliography(data)["key"])
    keys = [key for key in cited_studies(checks) if key in known]
    return format_references(keys, data=data).html_lines if keys else ()

"""A module's own words on the page, so that a rule is written in one place only.

Reads the little markup these texts use: paragraphs, lists of ``-`` items, ``*emphasis*``, code in
double backquotes, and two-column tables ruled with ``=``.
"""

from __future__ import annotations

import re

from retroevidence.report.markup import Markup, Piece, el, join

_RULE = re.compile(r"^=+( +=+)+$")
_SPANS = re.compile(r"\*([^*]+)\*|``([^`]+)``")


def prose(text: str) -> Markup:
    r"""Return a docstring as HTML.

    Examples
    --------
    >>> prose("One *two*.\n\n- a\n  b\n- c")
    '<p>One <em>two</em>.</p><ul><li>a b</li><li>c</li></ul>'
    >>> prose("==== ====\nhead word\n==== ====\na    b\n==== ====").count("<td")
    1
    """
    return join(_block(block) for block in re.split(r"\n\s*\n", text.strip()))


def _block(block: str) -> Markup:
    lines = block.split("\n")
    if _RULE.match(lines[0]):
        return _table(lines)
    if lines[0].startswith("- "):
        items = [" ".join(part.split()) for part in re.split(r"^- ", block, flags=re.MULTILINE)]
        return el("ul", *(el("li", _spans(item)) for item in items if item))
    return el("p", _spans(" ".join(block.split())))


def _spans(text: str) -> Markup:
    pieces: list[Piece] = []
    end = 0
    for found in _SPANS.finditer(text):
        pieces += [text[end : found.start()]]
        pieces += [el("em", found[1]) if found[1] else el("code", found[2])]
        end = found.end()
    return join([*pieces, text[end:]])


def _table(lines: list[str]) -> Markup:
    """Return a table; a line that is blank on the left continues the row above it."""
    cut = lines[0].index(" ")
    rows: list[list[str]] = []
    for line in (line for line in lines if not _RULE.match(line)):
        left, right = line[:cut].strip(), line[cut:].strip()
        if left or not rows:
            rows.append([left, right])
        else:
            rows[-1][1] += f" {right}"
    head = el("tr", *(el("th", cell.capitalize(), scope="col") for cell in rows[0]))
    body = [
        el("tr", el("th", left, scope="row"), el("td", _spans(right), data_label=rows[0][1]))
        for left, right in rows[1:]
    ]
    return el("table", el("thead", head), el("tbody", *body))


def typeset(text: str) -> str:
    """Write minus signs before numbers, and keep numbers together with their signs.

    Examples
    --------
    >>> typeset("-0.5 [-1, 2-3]").replace(chr(160), "_")
    '−0.5 [−1,_2-3]'
    >>> typeset("p = 0.03 and p < 0.001").replace(chr(160), "_")
    'p_=_0.03 and p_<_0.001'
    """
    text = re.sub(r"(?<![\w.)])-(?=[\d∞])", "−", text)
    text = re.sub(r"\b([pkn]) ([=<>]) (?=[\d.])", "\\1\u00a0\\2\u00a0", text)
    return re.sub(r"(\[[^\][\s]+,) (?=[^\][\s]+\])", "\\1\u00a0", text)

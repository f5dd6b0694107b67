"""HTML from values: text is escaped unless it was built here, so nothing can slip through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

_VOID = {"meta", "br", "hr"}


class Markup(str):
    """HTML that was built by this module and is not escaped again."""

    __slots__ = ()


Piece = str | Markup


def el(name: str, *children: Piece, **attributes: str | None) -> Markup:
    """Return one element; plain text among `children` and all attributes are escaped.

    A trailing underscore keeps an attribute off Python's keywords (``class_``), other underscores
    become hyphens, and an attribute that is None is left out.

    Examples
    --------
    >>> el("p", "1 < 2", el("b", "!"), class_="x")
    '<p class="x">1 &lt; 2<b>!</b></p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(pieces: Iterable[Piece], between: str = "") -> Markup:
    """Return pieces one after the other, plain text escaped.

    Examples
    --------
    >>> join(["a & b", Markup("<br>")])
    'a &amp; b<br>'
    """
    return Markup(between.join(p if isinstance(p, Markup) else escape(p) for p in pieces))


def link(url: str, text: str) -> Piece:
    """Return a link when `url` is a web address, else the text alone.

    Examples
    --------
    >>> link("https://a.org/?x=1&y=2", "a")
    '<a href="https://a.org/?x=1&amp;y=2" rel="noreferrer">a</a>'
    >>> link("javascript:alert(1)", "a")
    'a'
    """
    if not re.match(r"https?://[^\s]+$", url):
        return text
    return el("a", text, href=url, rel="noreferrer")


def links(sources: str) -> Markup:
    """Return a text with each web address in it as a link named by its host.

    Examples
    --------
    >>> links("https://www.a.org/x https://b.org:80/y")
    '<a href="https://www.a.org/x" rel="noreferrer">a.org</a>, <a href="https://b.org:80/y"
    rel="noreferrer">b.org</a>'
    >>> links("a thesis & its annex")
    'a thesis &amp; its annex'
    """
    found: list[Piece] = []
    for word in sources.split():
        host = re.match(r"https?://(?:www\.)?([^/:]+)", word)
        if host:
            found.append(link(word, host[1]))
        elif found and not isinstance(found[-1], Markup):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return join(found, ", ")


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Piece]],
    *,
    caption: str,
    name: str = "",
) -> Markup:
    """Return a table in a box that scrolls sideways on its own, the first column as row headers.

    Examples
    --------
    >>> table(["a"], [["x"]], caption="c").count('scope="row"')
    1
    """
    head = el("tr", *(el("th", header, scope="col") for header in headers))
    body = [
        el(
            "tr",
            *(
                el("th", cell, scope="row") if i == 0 else el("td", cell, data_label=header)
                for i, (header, cell) in enumerate(zip(headers, row, strict=True))
            ),
        )
        for row in rows
    ]
    made = el(
        "table",
        el("caption", caption),
        el("thead", head),
        el("tbody", *body),
        class_=name or None,
    )
    return el("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)


def inline_svg(svg: str, name: str, label: str) -> Markup:
    """Return a figure's SVG file as an element of a page.

    The prolog, metadata and name spaces go, ids get the prefix `name` so that figures on one page
    do not share them, and `label` is what a screen reader says.

    Examples
    --------
    >>> svg = '<?xml version="1.0"?><svg xmlns="u" width="9pt" height="5pt" viewBox="0 0 9 5">'
    >>> inline_svg(svg + '<path id="a"/><use xlink:href="#a"/></svg>', "f", "A plot")
    '<svg viewBox="0 0 9 5" class="plot" style="width:9pt" role="img" aria-label="A plot"><path
    id="f-a"/><use xlink:href="#f-a"/></svg>'
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    opening, rest = body.split(">", 1)
    opening = re.sub(r'\s+(xmlns(:\w+)?|version)="[^"]*"', "", opening)
    width = re.search(r'\swidth="([^"]*)"', opening)
    opening = re.sub(r'\s(width|height)="[^"]*"', "", opening)
    rest = re.sub(r'(\sid=")', rf"\g<1>{name}-", rest)
    rest = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{name}-", rest)
    size = f' style="width:{width[1]}"' if width else ""
    return Markup(
        f'{opening} class="plot"{size} role="img" aria-label="{escape(label)}">{rest.strip()}'
    )

"""Every figure of a claim, by what its verdict rests on.

Public names: `forest`, `funnel`, `directions`, `harms`, `doses`, `specification_curve`, and `draw`,
which chooses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from retroevidence.report.censored import forest_censored, forest_censored_size
from retroevidence.report.counted import doses, doses_size, harms, harms_size
from retroevidence.report.directions import directions, directions_size
from retroevidence.report.forest import forest, forest_size
from retroevidence.report.funnel import ENOUGH, funnel, funnel_blank
from retroevidence.report.specification import specification_curve
from retroevidence.report.style import blank, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from retroevidence.claims.check import Checked
    from retroevidence.claims.multiverse import Multiverse

__all__ = [
    "directions", "doses", "draw", "forest", "funnel", "harms", "save", "specification_curve",
]  # fmt: skip


def draw(checked: Checked, multiverse: Multiverse | None = None) -> dict[str, Axes]:
    """Draw every figure a claim supports.

    Parameters
    ----------
    checked : Checked
        A claim with its verdict.
    multiverse : Multiverse, optional
        All its analyses; drawn when there are any.

    Returns
    -------
    dict of str to matplotlib Axes
        By name, the one the verdict rests on first: ``forest`` (pooled effects, with bounds where
        the headline holds them), ``directions``
        (comparisons without a usable size), ``funnel`` (ten or more pooled results), ``harms``
        (adverse events), ``doses`` (session lengths), ``specification`` (all analyses, from
        `multiverse`); then ``forest-NAME`` for each analysis beside the main one that pools two or
        more. Empty when there is no evidence to draw.
        The figures belong to no window.

    Examples
    --------
    >>> import retroevidence as rv
    >>> list(draw(rv.check("safety")))
    ['harms']
    """
    if checked.rung == "exact":
        return {"harms": harms(checked, ax=blank(harms_size(checked)))}
    if checked.rung == "distribution":
        return {"doses": doses(checked, ax=blank(doses_size(checked)))}
    drawn: dict[str, Axes] = {}
    pooled, frame = checked.pooled, checked.effects
    # As synthesis names it; importing it here would load all that pooling needs.
    bounded = checked.censored if checked.rung == "effects and bounds" else None
    if bounded is not None:
        drawn["forest"] = forest_censored(checked, ax=blank(forest_censored_size(checked)))
    elif pooled is not None and (checked.rung == "effects" or pooled.k == len(frame)):
        drawn["forest"] = forest(checked, ax=blank(forest_size(checked)))
    if "direction" in frame.columns:
        told = int(frame["direction"].notna().sum())
        entered = bounded or pooled
        if told and ("forest" not in drawn or (entered is not None and len(frame) > entered.k)):
            drawn["directions"] = directions(checked, ax=blank(directions_size(checked)))
    if "forest" in drawn and pooled is not None and pooled.k >= ENOUGH:
        drawn["funnel"] = funnel(checked, ax=funnel_blank())
    if multiverse is not None and multiverse.distinct:
        drawn["specification"] = specification_curve(multiverse)
    for name, other in checked.analyses.items():
        if other is not None and other.k >= 2:
            beside = replace(checked, pooled=other, rung="effects")
            title = f"{checked.claim['statement']}. Analysis: {name.replace('_', ' ')}"
            size = forest_size(beside, title=title)
            slug = name.replace(" + ", "-and-")
            drawn[f"forest-{slug}"] = forest(beside, ax=blank(size), title=title)
    return drawn

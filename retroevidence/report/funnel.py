"""The funnel plot: whether small studies say something else than large ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from retroevidence.errors import PoolError
from retroevidence.report.forest import column_of, has_moderators, pooled_of
from retroevidence.report.names import axis_label
from retroevidence.report.scales import scale_of
from retroevidence.report.style import (
    ACCENT,
    BODY,
    GREY,
    INK,
    LINE,
    SMALL,
    blank,
    font,
    settings,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from retroevidence.claims.check import Checked
    from retroevidence.meta.bias.trim_fill import TrimFill
    from retroevidence.meta.result import Pooled

SIZE = (330.0, 270.0)
# Below this, chance alone makes a funnel lopsided (Sterne et al. 2011, BMJ 343:d4002).
ENOUGH = 10


def funnel(result: Pooled | Checked | TrimFill, *, ax: Axes | None = None) -> Axes:
    """Draw a funnel plot: effects against their standard errors.

    Parameters
    ----------
    result : Pooled, Checked or TrimFill
        A pooled result, or what has one: a claim, or a trim and fill, whose added studies are
        drawn hollow about its own mean.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib Axes
        x is the effect on the scale it was pooled on, y its standard error, 0 at the top.

    Raises
    ------
    PoolError
        If there is no pooled result, or it has moderators.

    Notes
    -----
    The dashed lines hold 95 % of the studies if all estimate one common effect and nothing was
    selected (Sterne & Egger 2001). With fewer than ten studies the figure says so: it cannot be
    judged.

    Examples
    --------
    >>> import retroevidence as rv
    >>> from matplotlib.figure import Figure
    >>> pooled = rv.pool(None, yi=[-0.9, -0.3, -0.6], vi=[0.04, 0.02, 0.03])
    >>> float(funnel(pooled, ax=Figure().add_subplot()).get_ylim()[1])
    0.0
    """
    pooled = pooled_of(result)  # type: ignore[arg-type]
    if pooled is None or not len(pooled.studies):
        raise PoolError("there is no pooled result, so there is no funnel to draw.")
    if has_moderators(pooled):
        raise PoolError(
            "a meta-regression has no single centre for a funnel; pool without moderators."
        )
    scale = scale_of(pooled.measure)
    yi, se = column_of(pooled.studies, "yi"), np.sqrt(column_of(pooled.studies, "vi"))
    sized = np.isfinite(yi) & np.isfinite(se)
    yi, se = yi[sized], se[sized]
    added = np.zeros(len(yi), dtype=bool)
    if "filled" in pooled.studies:
        added = pooled.studies["filled"].to_numpy(dtype=bool)[sized]
    deepest = 1.08 * float(se.max(initial=0.0)) or 1.0
    reach = 1.959963984540054 * deepest
    centre = pooled.estimate
    low = min(centre - reach, float(yi.min(initial=centre)))
    high = max(centre + reach, float(yi.max(initial=centre)))
    pad = 0.04 * (high - low)
    with settings():
        if ax is None:
            import matplotlib.pyplot as plt

            size = (SIZE[0] / 72.0, SIZE[1] / 72.0)
            ax = plt.figure(figsize=size, facecolor="white", layout="constrained").add_subplot()
        ax.set_xlim(low - pad, high + pad)
        ax.set_ylim(deepest, 0.0)
        ax.fill([centre - reach, centre, centre + reach], [deepest, 0.0, deepest],
                facecolor="#f2f2f2", edgecolor="none", zorder=0)  # fmt: skip
        for side in (-1.0, 1.0):
            ax.plot([centre, centre + side * reach], [0.0, deepest], color=LINE, lw=0.8,
                    ls=(0, (4, 3)), zorder=1)  # fmt: skip
        if not math.isnan(scale.null):
            ax.axvline(scale.null, color=LINE, lw=0.8, zorder=1)
        ax.axvline(centre, color=ACCENT, lw=1.0, zorder=2)
        for which, face in ((~added, GREY), (added, "white")):
            ax.plot(yi[which], se[which], marker="o", ms=5, mfc=face, mec=INK, mew=0.5, ls="none",
                    zorder=3)  # fmt: skip
        for name in ("right", "top"):
            ax.spines[name].set_visible(False)
        marks = scale.ticks(low - pad, high + pad)
        ax.set_xticks([place for place, _ in marks], [text for _, text in marks])
        depth = [tick for tick in scale_of("MD").ticks(0.0, deepest) if tick[0] <= deepest]
        ax.set_yticks([place for place, _ in depth], [text for _, text in depth])
        for text in (*ax.get_xticklabels(), *ax.get_yticklabels()):
            text.set(**font(SMALL), color=INK)
        ax.set_xlabel(axis_label(pooled.measure, pooled.studies), color=INK, **font(BODY))
        ax.set_ylabel("Standard error", color=INK, **font(BODY))
        k = int((~added).sum())
        if k < ENOUGH:
            ax.set_title(
                f"{k} studies: too few to judge asymmetry (at least {ENOUGH} needed)",
                loc="left", color=GREY, **font(SMALL),
            )  # fmt: skip
    return ax


def funnel_blank() -> Axes:
    """Return Axes of a new figure of a funnel's size that belongs to no window.

    Examples
    --------
    >>> len(funnel_blank().get_figure().axes)
    1
    """
    ax = blank(SIZE)
    ax.set_position((0.14, 0.15, 0.82, 0.75))
    return ax

"""Results without a size: which side each comparison is on, and how sure it says it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from retroevidence._show import p_text
from retroevidence.errors import PoolError
from retroevidence.report.layout import LABEL_WIDTH, Layout, Line, spread
from retroevidence.report.names import experimental_of, row_labels, short_of
from retroevidence.report.style import ACCENT, GREY, LINE, PALE, fold, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from retroevidence.claims.check import Checked

PLOT = 170.0
AXIS = 18.0
LEVEL = 0.05


def directions(checked: Checked, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw one mark per comparison: lower, no difference or higher, with its p-value.

    Parameters
    ----------
    checked : Checked
        A claim; every row of its ``effects`` that has a direction is drawn.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure of the right size.
    title : str, optional
        By default the claim's statement.

    Returns
    -------
    matplotlib Axes
        x is -1 (lower, or in favour of the comparator), 0 (reported as no difference) or 1.

    Raises
    ------
    PoolError
        If no row of the claim has a direction.

    Notes
    -----
    A filled mark has a p-value below .05; an open one has a larger p-value or none. The pale band
    is the claimed side.

    Examples
    --------
    >>> import retroevidence as rv
    >>> from matplotlib.figure import Figure
    >>> ax = directions(rv.check("emg_tibialis"), ax=Figure().add_axes((0, 0, 1, 1)))
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['lower', 'no difference', 'higher']
    """
    layout, rows, words, claimed = _plan(checked, title)
    with settings():
        sheet = spread(layout, ax)
        axes = sheet.ax
        axes.set_xlim(-1.5, 1.5)
        if claimed:
            axes.axvspan(claimed - 0.5, claimed + 0.5, color=PALE, alpha=0.45, lw=0, zorder=0)
        for edge in (-0.5, 0.5):
            axes.axvline(edge, color=LINE, lw=0.6, zorder=1)
        sheet.axis(list(zip((-1.0, 0.0, 1.0), words, strict=True)), "")
        for row, y in zip(rows, layout.centres, strict=True):
            marker = {-1: "<", 0: "o", 1: ">"}[int(row["direction"])]
            colour = ACCENT if row["direction"] == claimed else GREY
            axes.plot([row["direction"]], [y], marker=marker, ms=6 * sheet.shrink, mec=colour,
                      mfc=colour if _significant(row) else "white", mew=1.0, ls="none",
                      zorder=3)  # fmt: skip
        sheet.texts()
    return axes


def directions_size(checked: Checked, *, title: str | None = None) -> tuple[float, float]:
    """Return the width and the height, in points, that the plot of directions needs.

    Examples
    --------
    >>> import retroevidence as rv
    >>> min(directions_size(rv.check("emg_tibialis"))) > 0
    True
    """
    return _plan(checked, title)[0].size


def _plan(
    checked: Checked, title: str | None
) -> tuple[Layout, list[dict[str, Any]], tuple[str, str, str], int]:
    frame = checked.effects
    known = frame[frame["direction"].notna()] if "direction" in frame.columns else frame.iloc[:0]
    if not len(known):
        raise PoolError(
            f"claim {checked.claim['claim_id']} has no row with a direction to draw; "
            "retroevidence.report.figures.draw shows what it has instead."
        )
    known = known.assign(label_shown=row_labels(known), order=_order(known)).sort_values(
        ["direction", "order", "label_shown"], ascending=[False, True, True], kind="stable"
    )
    rows = [{str(k): v for k, v in row.items()} for row in known.to_dict("records")]
    lines = [
        Line((fold(row["label_shown"], LABEL_WIDTH), _people(row)), (p_words(row),)) for row in rows
    ]
    side = str(checked.claim.get("claimed_direction") or "")
    better = side == "better"
    words = ("lower", "no difference", "higher")
    if better:
        words = ("comparator", "no difference", short_of(experimental_of(checked.claim)))
    claimed = {"lower": -1, "higher": 1, "better": 1}.get(side, 0)
    lower = checked.rungs.loc[checked.rungs["rung"].isin(["p-values", "directions"]), "reading"]
    notes = [f"{str(reading)[:1].upper()}{str(reading)[1:]}." for reading in lower[:1]]
    unknown = len(frame) - len(known)
    if unknown:
        notes.append(f"{unknown} more without a direction, not drawn.")
    if better:
        notes.append("Sides: the arm a result favours, on scales turned so that more is better.")
    notes.append("Filled: p < 0.05. Open: larger p, or none reported. Band: the claimed side.")
    layout = Layout(
        lines=tuple(lines),
        left=("Study", "n"),
        right=("Reported",),
        plot=PLOT,
        foot=AXIS + 6.0,
        title=str(checked.claim.get("statement") or "") if title is None else title,
        notes=tuple(notes),
    )
    return layout, rows, words, claimed


def _order(frame: pd.DataFrame) -> list[float]:
    """Put p-values first, small before large."""
    known = (_two_sided({str(k): v for k, v in row.items()})[0] for row in frame.to_dict("records"))
    return [2.0 if p is None else p for p in known]


def _people(row: dict[str, Any]) -> str:
    """Write the numbers of people: one for the same people twice, two for two groups.

    Examples
    --------
    >>> _people({"measure": "SMD", "n_experimental": 15.0, "n_comparator": 16.0})
    '15 + 16'
    """
    sizes = [row.get("n_experimental"), row.get("n_comparator")]
    if row.get("measure") == "ROMC":
        sizes = sizes[:1]
    known = [f"{n:g}" for n in sizes if n is not None and not pd.isna(n)]
    return " + ".join(known) or "–"


def p_words(row: dict[str, Any]) -> str:
    """Write the p-value of an effect row as it was reported, else as its size gives it.

    Examples
    --------
    >>> p_words({"p_value": 0.05, "p_op": "<"}), p_words({"p_value": float("nan"), "p_op": ""})
    ('p < 0.05', 'no p-value')
    >>> p_words({"rung": "effects", "p_claim": 0.1})
    'p = 0.200, computed'
    """
    p, operator, known = _two_sided(row)
    if p is None:
        return "no p-value"
    if operator in ("<", ">"):
        return f"p {operator} {f'{p:.9f}'.rstrip('0').rstrip('.')}"
    return p_text(p) + ("" if known else ", computed")


def _significant(row: dict[str, Any]) -> bool:
    p, operator, _ = _two_sided(row)
    if p is None or operator == ">":
        return False
    return p <= LEVEL if operator == "<" else p < LEVEL


def _two_sided(row: dict[str, Any]) -> tuple[float | None, str, bool]:
    """Return a row's two-sided p, its operator, and whether it was reported."""
    p = row.get("p_value")
    if p is not None and not pd.isna(p):
        return float(p), str(row.get("p_op") or "="), True
    claimed = row.get("p_claim")
    if row.get("rung") == "effects" and claimed is not None and not pd.isna(claimed):
        return 2 * min(float(claimed), 1 - float(claimed)), "=", False
    return None, "", False

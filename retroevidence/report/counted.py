"""Claims that are counts: people with an adverse event, and lengths of sessions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from retroevidence._show import percent
from retroevidence.errors import PoolError
from retroevidence.meta.combine import proportion
from retroevidence.report.layout import LABEL_WIDTH, Layout, Line, spread
from retroevidence.report.names import row_labels
from retroevidence.report.scales import scale_of
from retroevidence.report.style import ACCENT, GREY, INK, LINE, PALE, fold, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from retroevidence.claims.check import Checked

PLOT = 190.0
AXIS = 31.0


def harms(checked: Checked, *, ax: Axes | None = None) -> Axes:
    """Draw the share of people with an adverse event in each arm, with exact intervals.

    Parameters
    ----------
    checked : Checked
        A claim about safety.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure of the right size.

    Returns
    -------
    matplotlib Axes
        x is a share from 0 to 1.

    Raises
    ------
    PoolError
        If no arm reports adverse events in numbers.

    Examples
    --------
    >>> import retroevidence as rv
    >>> from matplotlib.figure import Figure
    >>> ax = harms(rv.check("safety"), ax=Figure().add_axes((0, 0, 1, 1)))
    >>> float(ax.get_xlim()[0])
    0.0
    """
    layout, marks = _harm_plan(checked)
    with settings():
        sheet = spread(layout, ax)
        axes = sheet.ax
        top = min(1.0, 1.1 * max(high for _, _, high, _ in marks))
        axes.set_xlim(0.0, top)
        smallest = checked.claim.get("smallest")
        if smallest is not None and not pd.isna(smallest):
            edge = float(smallest) / 100
            axes.plot([edge] * 2, [0.0, sum(layout.heights)], color=LINE, lw=0.8, ls=(0, (3, 3)))
        sheet.axis(scale_of("PR").ticks(0.0, top), "People with an adverse event")
        for (share, low, high, kind), y in zip(marks, layout.centres, strict=True):
            colour = {"main": INK, "sensitivity": LINE, "sum": ACCENT}[kind]
            axes.plot([low, high], [y, y], color=colour, lw=1.0 if kind != "sum" else 2.2,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot([high] * 2, [y - 2.2, y + 2.2], color=colour, lw=1.0)
            axes.plot([share], [y], marker="D" if kind == "sum" else "s", ms=5 * sheet.shrink,
                      mfc=colour, mec=colour, ls="none", clip_on=False, zorder=3)  # fmt: skip
        sheet.texts()
    return axes


def harms_size(checked: Checked) -> tuple[float, float]:
    """Return the width and the height, in points, that the plot of harms needs.

    Examples
    --------
    >>> import retroevidence as rv
    >>> min(harms_size(rv.check("safety"))) > 0
    True
    """
    return _harm_plan(checked)[0].size


def _harm_plan(checked: Checked) -> tuple[Layout, list[tuple[float, float, float, str]]]:
    frame = checked.effects
    numeric = frame[
        frame["enters"].isin(["main", "sensitivity"])
        & frame["adverse_events"].notna()
        & frame["n"].notna()
    ]
    if not len(numeric):
        raise PoolError(
            f"claim {checked.claim['claim_id']} has no arm that reports adverse events in numbers."
        )
    lines, marks = [], []
    for label, row in zip(row_labels(numeric), numeric.to_dict("records"), strict=True):
        events, n = int(row["adverse_events"]), int(row["n"])
        found = proportion(events, n)
        low, high = float(found.ci.low), float(found.ci.high)
        doubtful = row["enters"] == "sensitivity"
        name = f"{label}, {row['arm']}" + (" (not in the sum)" if doubtful else "")
        lines.append(
            Line(
                (fold(name, LABEL_WIDTH), f"{events}/{n}"),
                (f"{percent(events / n, 1)} [{percent(low, 1)}, {percent(high, 1)}]",),
            )
        )
        marks.append((events / n, low, high, str(row["enters"])))
    extra = checked.extra
    if "people" in extra and math.isfinite(checked.estimate):
        words = (
            f"{percent(checked.estimate, 1)} [{percent(checked.ci_low, 1)}, "
            f"{percent(checked.ci_high, 1)}]"
        )
        count = f"{extra['events']}/{extra['people']}"
        lines.append(Line(("All counted arms", count), (words,), bold=True, ruled=True))
        marks.append((checked.estimate, checked.ci_low, checked.ci_high, "sum"))
    silent = int((frame["adverse_events"].isna() | frame["n"].isna()).sum())
    notes = ["Exact (Clopper–Pearson) 95% intervals. Arms that report nothing are not zeros."]
    if silent:
        arms = "arm reports" if silent == 1 else "arms report"
        notes.append(f"{silent} located {arms} no count, not drawn.")
    smallest = checked.claim.get("smallest")
    if smallest is not None and not pd.isna(smallest):
        notes.append(f"Dashed line: {float(smallest):g}% of people, the share that would matter.")
    layout = Layout(
        lines=tuple(lines),
        left=("Study and arm", "Events/people"),
        right=("Share [95% CI]",),
        plot=PLOT,
        foot=AXIS,
        title=str(checked.claim.get("statement") or ""),
        notes=tuple(notes),
    )
    return layout, marks


def doses(checked: Checked, *, ax: Axes | None = None) -> Axes:
    """Draw how many minutes a session lasts in each programme, with the claimed range.

    Parameters
    ----------
    checked : Checked
        A claim about the length of a session.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure of the right size.

    Returns
    -------
    matplotlib Axes
        x is the length of a session [min].

    Raises
    ------
    PoolError
        If no programme states the length of a session.

    Examples
    --------
    >>> import retroevidence as rv
    >>> from matplotlib.figure import Figure
    >>> ax = doses(rv.check("dose_session"), ax=Figure().add_axes((0, 0, 1, 1)))
    >>> ax.get_xlabel()
    'Minutes per session'
    """
    layout, minutes = _dose_plan(checked)
    with settings():
        sheet = spread(layout, ax)
        axes = sheet.ax
        low, high = (checked.claim.get(f"claimed_{end}") for end in ("low", "high"))
        top = 1.06 * max(minutes)
        axes.set_xlim(0.0, top)
        if not (_absent(low) and _absent(high)):
            a = 0.0 if _absent(low) else float(low)  # type: ignore[arg-type]
            b = top if _absent(high) else float(high)  # type: ignore[arg-type]
            axes.axvspan(a, min(b, top), color=PALE, alpha=0.45, lw=0, zorder=0)
        sheet.axis(scale_of("MD").ticks(0.0, top, most=8), "Minutes per session")
        for value, y in zip(minutes, layout.centres, strict=True):
            inside = (_absent(low) or value >= float(low)) and (  # type: ignore[arg-type]
                _absent(high) or value <= float(high)  # type: ignore[arg-type]
            )
            axes.plot([0.0, value], [y, y], color=PALE, lw=0.8, zorder=1)
            axes.plot([value], [y], marker="o", ms=5.5 * sheet.shrink, mew=1.0, ls="none",
                      mec=ACCENT if inside else GREY, mfc=ACCENT if inside else "white",
                      clip_on=False, zorder=3)  # fmt: skip
        sheet.texts()
    return axes


def doses_size(checked: Checked) -> tuple[float, float]:
    """Return the width and the height, in points, that the plot of session lengths needs.

    Examples
    --------
    >>> import retroevidence as rv
    >>> min(doses_size(rv.check("dose_session"))) > 0
    True
    """
    return _dose_plan(checked)[0].size


def _dose_plan(checked: Checked) -> tuple[Layout, list[float]]:
    frame = checked.effects
    stated = frame[(frame["enters"] == "main") & frame["minutes"].notna()]
    if not len(stated):
        raise PoolError(
            f"claim {checked.claim['claim_id']} has no programme that states a session's length."
        )
    stated = stated.assign(label_shown=row_labels(stated)).sort_values(
        ["minutes", "label_shown"], kind="stable"
    )
    minutes = [float(value) for value in stated["minutes"]]
    lines = [
        Line((fold(label, LABEL_WIDTH),), (f"{value:g} min",))
        for label, value in zip(stated["label_shown"], minutes, strict=True)
    ]
    layout = Layout(
        lines=tuple(lines),
        left=("Programme",),
        right=("Session",),
        plot=PLOT,
        foot=AXIS,
        title=str(checked.claim.get("statement") or ""),
        notes=(
            f"{checked.reason[:1].upper()}{checked.reason[1:]}.",
            "Filled: inside the claimed range (band). Open: outside.",
        ),
    )
    return layout, minutes


def _absent(value: object) -> bool:
    return value is None or bool(pd.isna(value))  # type: ignore[call-overload]

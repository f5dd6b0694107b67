"""From comparisons in the tables to effect rows: the strongest statement each report supports.

A *comparison* names the rows of one result: a pair of arms (experimental, comparator), one or more
contrast rows, or both. `assemble` climbs down the ladder for each of them:

=========== ============================================ =========================================
basis       from                                         result
=========== ============================================ =========================================
reported    means, SDs and n of both arms; events and n   exact ``yi``, ``vi``
            of both; an estimate with its standard
            error or interval
derived     t, F(1, df) or an exact p with n; SE or      exact algebra, or for medians the named
            interval of a mean; medians with quartiles   approximation; ``how`` names it
bounded     a size with only a p bound; "p < .05" or     the largest ``vi`` the bound allows, or
            "p > .05"; a direction                       ``yi`` within (``lower``, ``upper``)
unusable    nothing of the above                         the reason in ``how``
=========== ============================================ =========================================

Signs are experimental (backward) minus comparator. Only where `toward_benefit` is asked, as when
scales that run in opposite senses meet in one analysis, is the sign of a scale on which lower is
better turned, and ``how`` says so. A word in square brackets in ``how``, as [hedges1981], is the
key of the formula's source in ``references.bib``.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.effects.ladder import counts, groups, same_people
from retroevidence.effects.ladder.report import Report, Row, first_text, read_report
from retroevidence.effects.ladder.statement import NAN, Statement
from retroevidence.errors import EffectError, check_name

#: Measures that `assemble` can make, by the design of the comparison.
MEASURES = (*groups.MEASURES, *same_people.MEASURES, *counts.MEASURES)

#: Columns of the frame that `assemble` returns, in order.
COLUMNS = (
    "study_id comparison outcome instrument measure yi vi lower upper basis how n_experimental "
    "n_comparator unit direction p_value p_op p_one_sided rows locator source_url label"
).split()


def assemble(
    comparisons: pd.DataFrame,
    arms: pd.DataFrame,
    contrasts: pd.DataFrame,
    *,
    measure: str,
    toward_benefit: bool = False,
) -> pd.DataFrame:
    """Make one effect row per comparison, each at the strongest rung its report supports.

    Parameters
    ----------
    comparisons : DataFrame
        One row per comparison with ``study_id comparison experimental comparator contrast``; the
        last three hold row ids, blank where there is none, several contrast ids joined by ``;``.
    arms, contrasts : DataFrame
        Tables as `load` returns them.
    measure : {"SMD", "MD", "ROMC", "SMCC", "RR", "OR"}
        Standardised mean difference (exact J) or mean difference of two groups; log ratio of means
        or mean difference in SDs of the differences of the same people under both conditions; log
        risk ratio or log odds ratio from the ``events`` among the n of two groups.
    toward_benefit : bool
        Turn the sign where lower is better, so that positive means better everywhere.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`. ``yi`` in units of the measure, ``vi`` its sampling variance.
        ``direction`` is 1, -1, 0 (reported as no difference) or missing; ``p_one_sided`` is the
        one-sided p for a positive effect.

    Raises
    ------
    UnknownNameError
        If `measure` is not one of these.
    EffectError
        If a row id does not exist or is of another study.

    Notes
    -----
    One-sided p: ``p / 2`` in the reported direction, from 1 down in the other. A bound such as
    "p < .05" is read as its weakest value, .05. A result reported as null with no exact p and no
    direction stands in the middle, at one half: it pulls a combination to no effect, it is never
    dropped.
    """
    check_name("measure", measure, MEASURES)
    arm_rows = arms.set_index("arm_id", drop=False)
    contrast_rows = contrasts.set_index("contrast_id", drop=False)
    made = [
        _one({str(k): v for k, v in line.items()}, arm_rows, contrast_rows, measure, toward_benefit)
        for line in comparisons.to_dict("records")
    ]
    return pd.DataFrame(made, columns=list(COLUMNS))


def _one(
    line: dict[str, Any],
    arm_rows: pd.DataFrame,
    contrast_rows: pd.DataFrame,
    measure: str,
    toward_benefit: bool,
) -> dict[str, Any]:
    experimental = _find(arm_rows, line, "experimental")
    comparator = _find(arm_rows, line, "comparator")
    contrasts = _find(contrast_rows, line, "contrast")
    sources = experimental + comparator + contrasts
    if not sources:
        raise EffectError(f"comparison {line['comparison']!r} names no arm and no contrast.")
    first = sources[0]
    lower_is_better = first_text(sources, "higher_is") == "worse"
    report = read_report(
        experimental, comparator, contrasts,
        lower_is_better=lower_is_better, toward_benefit=toward_benefit,
    )  # fmt: skip
    said, sign = _strongest(report, measure), report.sign
    if said.basis in ("reported", "derived") and not math.isnan(said.yi):
        sign = int(np.sign(said.yi))
    if toward_benefit and lower_is_better:
        said = said.turned("sign turned: lower is better on this scale")
        sign = None if sign is None else -sign
    ids = [str(s["arm_id"] if "arm_id" in s else s["contrast_id"]) for s in sources]
    return {
        "study_id": line["study_id"],
        "comparison": line["comparison"],
        "outcome": first["outcome"],
        "instrument": first["instrument"],
        "measure": measure,
        **asdict(said),
        "n_experimental": report.n1,
        "n_comparator": report.n2,
        "unit": first_text(sources, "unit"),
        "direction": NAN if sign is None else float(sign),
        "p_value": report.p_value,
        "p_op": report.p_op,
        "p_one_sided": _one_sided(report.p_value, report.p_op, sign),
        "rows": ";".join(ids),
        "locator": "; ".join(dict.fromkeys(str(s["locator"]) for s in sources)),
        "source_url": " ".join(dict.fromkeys(str(s["source_url"]) for s in sources)),
        "label": line["study_id"],
    }


def _strongest(report: Report, measure: str) -> Statement:
    """Return the strongest statement that a report supports, on the ladder of the measure."""
    if measure == "ROMC":
        return same_people.ratio_of_means(report)
    if measure == "SMCC":
        return same_people.standardised_difference(report)
    if measure in counts.MEASURES:
        return counts.ratio_of_counts(report, measure)
    return groups.difference(report, measure)


def _find(table: pd.DataFrame, line: dict[str, Any], column: str) -> list[Row]:
    """Return the rows that one cell of a comparison names."""
    cell = line.get(column)
    if cell is None or pd.isna(cell) or not str(cell).strip():
        return []
    rows = []
    for key in str(cell).split(";"):
        if key not in table.index:
            raise EffectError(
                f"comparison {line['comparison']!r}, column {column}: there is no row {key!r}; "
                "use an id of the table it is drawn from."
            )
        row = table.loc[key]
        if row["study_id"] != line["study_id"]:
            raise EffectError(
                f"comparison {line['comparison']!r}, column {column}: row {key!r} belongs to "
                f"{row['study_id']}, not to {line['study_id']}."
            )
        rows.append({str(k): v for k, v in row.to_dict().items()})
    return rows


def _one_sided(p: float, p_op: str, sign: int | None) -> float:
    """Return the one-sided p for a positive effect that a report supports at the least."""
    if p_op == ">" or (sign == 0 and (math.isnan(p) or p > 0.05)):
        return 0.5
    if math.isnan(p) or not sign:
        return NAN
    half = p / 2
    return half if sign > 0 else 1 - half

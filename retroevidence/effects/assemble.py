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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.effects import recover
from retroevidence.effects.measures import effect_size, hedges_j
from retroevidence.errors import EffectError, unknown_name

NAN = float("nan")

#: Measures that `assemble` can make, by the design of the comparison.
BETWEEN_GROUPS = ("SMD", "MD")
WITHIN_PERSON = ("ROMC", "SMCC")
OF_COUNTS = ("RR", "OR")
MEASURES = (*BETWEEN_GROUPS, *WITHIN_PERSON, *OF_COUNTS)

#: Columns in which the two arms of one comparison agree.
MATCHED_ON = "study_id outcome instrument muscle unit condition_detail timepoint".split()

#: Words of `direction` and their sign; a null result has the sign 0 and no side.
SIGNS = {"higher": 1, "lower": -1, "none": 0}

#: Words of `favours` and the sign of the benefit.
BENEFITS = {"experimental": 1, "comparator": -1, "neither": 0}

#: Columns of the frame that `assemble` returns, in order.
COLUMNS = (
    "study_id comparison outcome instrument measure yi vi lower upper basis how n_experimental "
    "n_comparator unit direction p_value p_op p_one_sided rows locator source_url label"
).split()


@dataclass(frozen=True)
class _Row:
    """One effect row while it is being made."""

    yi: float = NAN
    vi: float = NAN
    lower: float = NAN
    upper: float = NAN
    basis: str = "unusable"
    how: str = ""


def pair(
    arms: pd.DataFrame, contrasts: pd.DataFrame, *, outcome: str | None = None, **filters: Any
) -> pd.DataFrame:
    """List the comparisons that the tables contain: matched arms, and contrast rows.

    Arms match when study, outcome, instrument, muscle, unit, condition and timepoint are equal and
    exactly one arm of each role is there. Contrast rows within one group (before against after)
    and between populations are left out: they are no effect of the experimental condition.

    Parameters
    ----------
    arms, contrasts : DataFrame
        Tables as `load` returns them; excluded rows are left out here.
    outcome : str, optional
        Keep this outcome only.
    **filters
        Column = value (or a list of values), applied to both tables.

    Returns
    -------
    DataFrame
        One row per comparison: ``study_id comparison experimental comparator contrast``.

    Raises
    ------
    UnknownNameError
        If a filter names no column, or `outcome` is not in the tables.
    """
    if outcome is not None:
        known = {*arms["outcome"].dropna(), *contrasts["outcome"].dropna()}
        if outcome not in known:
            raise unknown_name("outcome", outcome, known)
        filters = {"outcome": outcome, **filters}
    kept = []
    for table in (arms, contrasts):
        keep = table["exclude"] == "no"
        for column, wanted in filters.items():
            if column not in arms.columns and column not in contrasts.columns:
                raise unknown_name("column", column, {*arms.columns, *contrasts.columns})
            if column in table.columns:
                values = [wanted] if isinstance(wanted, str) else list(wanted)
                keep &= table[column].isin(values)
        kept.append(table[keep])
    arms, contrasts = kept

    found: list[dict[str, str]] = []
    for _, group in arms.fillna({k: "" for k in MATCHED_ON}).groupby(MATCHED_ON, sort=False):
        one = group[group["role"] == "experimental"].to_dict("records")
        two = group[group["role"] == "comparator"].to_dict("records")
        if len(one) == len(two) == 1:
            found.append(
                {
                    "study_id": str(one[0]["study_id"]),
                    "comparison": f"{one[0]['study_id']}:{one[0]['arm_id']}",
                    "experimental": str(one[0]["arm_id"]),
                    "comparator": str(two[0]["arm_id"]),
                    "contrast": "",
                }
            )
    effects_of_condition = contrasts["kind"].isin(["between_groups", "within_person"])
    for row in contrasts[effects_of_condition].to_dict("records"):
        found.append(
            {
                "study_id": str(row["study_id"]),
                "comparison": f"{row['study_id']}:{row['contrast_id']}",
                "experimental": "",
                "comparator": "",
                "contrast": str(row["contrast_id"]),
            }
        )
    columns = ["study_id", "comparison", "experimental", "comparator", "contrast"]
    return pd.DataFrame(found, columns=columns)


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
    EffectError
        If `measure` is not one of these, or a row id does not exist or is of another study.

    Notes
    -----
    One-sided p: ``p / 2`` in the reported direction, from 1 down in the other. A bound such as
    "p < .05" is read as its weakest value, .05. A result reported as null with no exact p and no
    direction stands in the middle, at one half: it pulls a combination to no effect, it is never
    dropped.
    """
    if measure not in MEASURES:
        raise EffectError(f"measure {measure!r} is not one of: {', '.join(MEASURES)}.")
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
    stated = _find(contrast_rows, line, "contrast")
    sources = experimental + comparator + stated
    if not sources:
        raise EffectError(f"comparison {line['comparison']!r} names no arm and no contrast.")
    pair_of_arms = (experimental[0], comparator[0]) if experimental and comparator else None
    first = sources[0]

    sign, p_value, p_op = _read(stated)
    if sign is None and pair_of_arms and _all_known(pair_of_arms, "mean"):
        sign = int(np.sign(float(pair_of_arms[0]["mean"]) - float(pair_of_arms[1]["mean"])))
    if sign is None and pair_of_arms and _counted(pair_of_arms):
        shares = [float(arm["events"]) / float(arm["n"]) for arm in pair_of_arms]
        sign = int(np.sign(shares[0] - shares[1]))
    lower_is_better = _first(sources, "higher_is") == "worse"
    favoured = _favoured(stated) if toward_benefit and sign is None else None
    if favoured is not None:
        # Where benefit is asked, the side a report favours gives the sign that benefit has here.
        sign = -favoured if lower_is_better else favoured
    n1, n2 = _sizes(pair_of_arms, stated)

    # A change within one group may print its n on either side; both conditions share their people.
    people = n2 if math.isnan(n1) else n1
    if measure == "ROMC":
        row = _ratio(pair_of_arms, stated, sign, p_value, p_op, people)
    elif measure == "SMCC":
        row = _paired_difference(stated, sign, p_value, p_op, people)
    elif measure in OF_COUNTS:
        row = _of_counts(pair_of_arms, sign, p_value, p_op, measure)
    else:
        row = _difference(pair_of_arms, stated, sign, p_value, p_op, n1, n2, measure)
    if row.basis in ("reported", "derived") and not math.isnan(row.yi):
        sign = int(np.sign(row.yi))

    if toward_benefit and lower_is_better:
        row = _Row(
            -row.yi, row.vi, -row.upper, -row.lower, row.basis, f"{row.how}; sign turned: "
            "lower is better on this scale",
        )  # fmt: skip
        sign = None if sign is None else -sign
    ids = [str(s["arm_id"] if "arm_id" in s else s["contrast_id"]) for s in sources]
    return {
        "study_id": line["study_id"],
        "comparison": line["comparison"],
        "outcome": first["outcome"],
        "instrument": first["instrument"],
        "measure": measure,
        **asdict(row),
        "n_experimental": n1,
        "n_comparator": n2,
        "unit": _first(sources, "unit"),
        "direction": NAN if sign is None else float(sign),
        "p_value": p_value,
        "p_op": p_op,
        "p_one_sided": _one_sided(p_value, p_op, sign),
        "rows": ";".join(ids),
        "locator": "; ".join(dict.fromkeys(str(s["locator"]) for s in sources)),
        "source_url": " ".join(dict.fromkeys(str(s["source_url"]) for s in sources)),
        "label": line["study_id"],
    }


def _find(table: pd.DataFrame, line: dict[str, Any], column: str) -> list[dict[str, Any]]:
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


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value) and value != ""


def _all_known(rows: Sequence[dict[str, Any]], *columns: str) -> bool:
    return all(_known(row[column]) for row in rows for column in columns)


def _first(rows: Sequence[dict[str, Any]], column: str) -> str:
    return next((str(r[column]) for r in rows if _known(r.get(column))), "")


def _number(rows: Sequence[dict[str, Any]], column: str) -> float:
    return next((float(r[column]) for r in rows if _known(r.get(column))), NAN)


def _read(stated: Sequence[dict[str, Any]]) -> tuple[int | None, float, str]:
    """Return the sign, the p-value and its operator that the contrast rows report."""
    signs = {SIGNS[r["direction"]] for r in stated if r["direction"] in SIGNS}
    sign = signs.pop() if len(signs) == 1 else None
    p_value = _number(stated, "p_value")
    p_op = _first(stated, "p_op") if not math.isnan(p_value) else ""
    if p_value == 0:
        # Software prints 0.000 for anything below its third decimal: the bound is all it says.
        return sign, 0.001, "<"
    return sign, p_value, p_op


def _favoured(stated: Sequence[dict[str, Any]]) -> int | None:
    """Return which side a report favours where the direction of the numbers is not printed."""
    signs = {BENEFITS[r["favours"]] for r in stated if r["favours"] in BENEFITS}
    return signs.pop() if len(signs) == 1 else None


def _sizes(
    arms: tuple[dict[str, Any], dict[str, Any]] | None, stated: Sequence[dict[str, Any]]
) -> tuple[float, float]:
    if arms and _all_known(arms, "n"):
        return float(arms[0]["n"]), float(arms[1]["n"])
    return _number(stated, "n_experimental"), _number(stated, "n_comparator")


def _one_sided(p: float, p_op: str, sign: int | None) -> float:
    """Return the one-sided p for a positive effect that a report supports at the least."""
    if p_op == ">" or (sign == 0 and (math.isnan(p) or p > 0.05)):
        return 0.5
    if math.isnan(p) or not sign:
        return NAN
    half = p / 2
    return half if sign > 0 else 1 - half


def _difference(
    arms: tuple[dict[str, Any], dict[str, Any]] | None,
    stated: Sequence[dict[str, Any]],
    sign: int | None,
    p_value: float,
    p_op: str,
    n1: float,
    n2: float,
    measure: str,
) -> _Row:
    """Climb the ladder for two independent groups."""
    known = [_moments(arm) for arm in arms] if arms else [None]
    one, two = known[0], known[-1]
    if arms and one is not None and two is not None:
        yi, vi = effect_size(
            measure,
            m1=one.mean, sd1=one.sd, n1=one.n, m2=two.mean, sd2=two.sd, n2=two.n,
        )  # fmt: skip
        basis = "reported" if one.said == two.said == PRINTED else "derived"
        how = " and ".join(dict.fromkeys((one.said, two.said)))
        if measure == "SMD":
            how += "; standardised by the pooled SD, exact small-sample factor J [hedges1981]"
        else:
            how += "; variance of a difference of means [borenstein2009]"
        return _Row(float(yi), float(vi), basis=basis, how=how)

    df = n1 + n2 - 2
    row = _estimate([s for s in stated if s["estimate_type"] == measure], measure, df)
    if not math.isnan(row.vi):
        return row

    sized = not (math.isnan(n1) or math.isnan(n2)) and n1 >= 2 and n2 >= 2
    if measure == "SMD" and sized:
        crude = _estimate([s for s in stated if s["estimate_type"] == "MD"], "MD", df)
        if not math.isnan(crude.vi):
            g = recover.smd_from_t(crude.yi / math.sqrt(crude.vi), n1, n2)
            how = f"{crude.how}; t = difference / SE; d from t [borenstein2009]"
            return _Row(float(g[0]), float(g[1]), basis="derived", how=how)
        t, said = _t_statistic(stated, p_value, p_op, df)
        if not math.isnan(t) and sign is not None:
            g = recover.smd_from_t(t, n1, n2)
            how = f"{said} and n of both groups; d from t [borenstein2009], exact J [hedges1981]"
            return _signed(sign, float(g[0]), float(g[1]), how)
        if p_op in ("<", ">") and not math.isnan(p_value):
            g = recover.smd_from_t(float(recover.t_from_p(p_value, df)), n1, n2)
            how = f"p {p_op} {p_value:g} and n of both groups, two-sided t test [bushman1996]"
            return _within_limit(sign, p_op, float(g[0]), float(g[1]), how)
    lacking = "" if sized else "; n per group is not printed, and halves of a total are not assumed"
    row = _no_size(sign, p_value, p_op, lacking)
    if measure == "SMD" and sized and sign in (1, -1) and row.basis == "bounded":
        # Where a direction is all there is, its limit is zero, and so is d in its variance.
        how = f"{row.how}; variance at d = 0 [borenstein2009]"
        return replace(row, vi=1 / n1 + 1 / n2, how=how)
    return row


@dataclass(frozen=True)
class _Moments:
    """Mean, SD and n of one arm, and from what they were had."""

    mean: float
    sd: float
    n: float
    said: str


PRINTED = "means, SDs and n of both arms"


def _moments(arm: dict[str, Any]) -> _Moments | None:
    """Return the mean and SD that an arm prints or implies, if any."""

    def value(column: str) -> float:
        return float(arm[column]) if _known(arm.get(column)) else NAN

    n, mean, sd, se = value("n"), value("mean"), value("sd"), value("se")
    low, high = value("ci_low"), value("ci_high")
    if math.isnan(n):
        return None
    if not math.isnan(mean + sd):
        return _Moments(mean, sd, n, PRINTED)
    if not math.isnan(mean + se):
        said = "means and n, SD = SE √n [cochranehandbook06]"
        return _Moments(mean, float(recover.sd_from_se(se, n)), n, said)
    if not math.isnan(mean + low + high):
        said = "means and n, SD from the 95% interval of the mean [cochranehandbook06]"
        return _Moments(mean, float(recover.sd_from_ci(low, high, n)), n, said)
    median, q1, q3 = value("median"), value("iqr_low"), value("iqr_high")
    least, most = value("min"), value("max")
    quartiles = {} if math.isnan(q1 + q3) else {"q1": q1, "q3": q3}
    ends = {} if math.isnan(least + most) else {"low": least, "high": most}
    if math.isnan(median) or not (quartiles or ends):
        return None
    mean, sd = (float(v) for v in recover.mean_sd_from_quantiles(n, median, **quartiles, **ends))
    words = " and ".join(["quartiles"] * bool(quartiles) + ["ranges"] * bool(ends))
    key = "shi2020" if quartiles and ends else "wan2014"
    said = f"medians with {words} and n, read as normal: means [luo2018], SDs [{key}]"
    return _Moments(mean, sd, n, said)


def _estimate(rows: Sequence[dict[str, Any]], measure: str, df: float) -> _Row:
    """Return an estimate that contrast rows print with its standard error or interval."""
    estimate, se = _number(rows, "estimate"), _number(rows, "se")
    low, high = _number(rows, "ci_low"), _number(rows, "ci_high")
    if not math.isnan(estimate + se):
        how = "estimate and its standard error [cochranehandbook06]"
        return _Row(estimate, se**2, basis="reported", how=how)
    if math.isnan(low + high):
        return _Row()
    # Intervals of mean differences of small trials are made with t; those of an SMD with z.
    by_t = measure == "MD" and df > 0
    se = float(recover.se_from_ci(low, high, df=df if by_t else None))
    quantile = f", t on {df:g} degrees of freedom" if by_t else ""
    if math.isnan(estimate):
        how = f"middle and width of the 95% interval{quantile} [cochranehandbook06]"
        return _Row((low + high) / 2, se**2, basis="derived", how=how)
    how = f"estimate and its 95% interval{quantile} [cochranehandbook06]"
    return _Row(estimate, se**2, basis="reported", how=how)


def _t_statistic(
    stated: Sequence[dict[str, Any]], p_value: float, p_op: str, df: float
) -> tuple[float, str]:
    """Return |t| and how it was had: printed, from F(1, df), or from an exact two-sided p."""
    t, f = _number(stated, "t_value"), _number(stated, "f_value")
    if not math.isnan(t):
        return abs(t), "reported t"
    if not math.isnan(f) and f > 0:
        return math.sqrt(f), "reported F read as F(1, df), t = sqrt(F) [cochranehandbook06]"
    if p_op == "=" and 0 < p_value < 1:
        return float(recover.t_from_p(p_value, df)), (
            f"p = {p_value:g} read as the two-sided p of a t test on {df:g} degrees of freedom "
            "[cochranehandbook06]"
        )
    return NAN, ""


def _signed(sign: int, size: float, vi: float, how: str) -> _Row:
    """Give a size its direction; a null result keeps both signs open."""
    if sign == 0:
        how += "; reported as no difference, so the sign is open"
        return _Row(vi=vi, lower=-size, upper=size, basis="bounded", how=how)
    return _Row(sign * size, vi, basis="derived", how=how)


def _within_limit(sign: int | None, p_op: str, limit: float, vi: float, how: str) -> _Row:
    """Say between which values an effect must lie for its p to be as bounded."""
    if p_op == ">":
        low, high = (0.0 if sign == 1 else -limit), (0.0 if sign == -1 else limit)
        return _Row(vi=vi, lower=low, upper=high, basis="bounded", how=how)
    if sign == 1:
        return _Row(vi=vi, lower=limit, upper=math.inf, basis="bounded", how=how)
    if sign == -1:
        return _Row(vi=vi, lower=-math.inf, upper=-limit, basis="bounded", how=how)
    return _Row(how=f"{how}, but the direction is not reported")


def _no_size(sign: int | None, p_value: float, p_op: str, lacking: str) -> _Row:
    """Say what is left when no size can be had: a p-value, a direction, or nothing."""
    known_p = not math.isnan(p_value)
    what = f"p {p_op} {p_value:g}" if known_p else "a direction without a p-value"
    if sign is None and not (known_p and p_op == ">"):
        if known_p:
            return _Row(how=f"{what}, but the direction is not reported")
        return _Row(how="neither a size nor a direction is reported")
    if sign == 0 and not known_p:
        what = "reported as no difference, without a p-value"
    side = {1: (0.0, math.inf), -1: (-math.inf, 0.0)}.get(sign or 0, (-math.inf, math.inf))
    how = f"{what}{lacking} [bushman1996]"
    return _Row(lower=side[0], upper=side[1], basis="bounded", how=how)


def _counted(arms: Sequence[dict[str, Any]]) -> bool:
    """Tell whether all arms print their events; the column may lack in a table without counts."""
    return all(_known(arm.get("events")) and _known(arm["n"]) for arm in arms)


def _of_counts(
    arms: tuple[dict[str, Any], dict[str, Any]] | None,
    sign: int | None,
    p_value: float,
    p_op: str,
    measure: str,
) -> _Row:
    """Climb the ladder for events in two independent groups."""
    if arms is None or not _counted(arms):
        return _no_size(sign, p_value, p_op, "; events and n of both arms are not printed")
    (a, n1), (c, n2) = ((float(arm["events"]), float(arm["n"])) for arm in arms)
    name, key = ("risk", "katz1978") if measure == "RR" else ("odds", "woolf1955")
    printed = f"{a:g} of {n1:g} against {c:g} of {n2:g}"
    yi, vi = effect_size(measure, a=a, n1=n1, c=c, n2=n2)
    if math.isnan(float(yi)):
        alike = "nobody had" if a == 0 else "everybody had"
        return _Row(how=f"{printed}: {alike} the event, which says nothing about a ratio")
    how = f"{printed}; log {name} ratio [{key}]"
    if 0 in (a, c, n1 - a, n2 - c):
        how += ", half a person added to each cell because one is empty"
    return _Row(float(yi), float(vi), basis="reported", how=how)


def _paired_difference(
    stated: Sequence[dict[str, Any]], sign: int | None, p_value: float, p_op: str, n: float
) -> _Row:
    """Climb the ladder for the mean difference of the same people in SDs of the differences."""
    # Means and SDs of both conditions do not give the SD of the differences without their
    # correlation, so only a test of the differences speaks on this scale.
    if n >= 3:
        t, said = _t_statistic(stated, p_value, p_op, n - 1)
        if not math.isnan(t) and sign is not None:
            g, vi = _smcc_from_t(t, n)
            how = f"{said}, n = {n:g}; t / √n [gibbons1993], exact J [hedges1981]"
            return _signed(sign, g, vi, how)
        if p_op in ("<", ">") and not math.isnan(p_value):
            g, vi = _smcc_from_t(float(recover.t_from_p(p_value, n - 1)), n)
            how = f"p {p_op} {p_value:g}, n = {n:g}, two-sided paired t test"
            how += "; t / √n [gibbons1993] as a limit [bushman1996]"
            return _within_limit(sign, p_op, g, vi, how)
    return _no_size(sign, p_value, p_op, "" if n >= 3 else "; n is not printed")


def _smcc_from_t(t: float, n: float) -> tuple[float, float]:
    """Return g = J(n-1) t/√n and its variance 1/n + g²/(2n), as `effect_size` has them."""
    g = float(hedges_j(n - 1)) * t / math.sqrt(n)
    return g, 1 / n + g**2 / (2 * n)


def _ratio(
    arms: tuple[dict[str, Any], dict[str, Any]] | None,
    stated: Sequence[dict[str, Any]],
    sign: int | None,
    p_value: float,
    p_op: str,
    n: float,
) -> _Row:
    """Climb the ladder for the log ratio of means of the same people."""
    yi, size = _log_ratio(arms, stated)
    if math.isnan(yi):
        lacking = "; n is not printed" if math.isnan(n) else ""
        return _no_size(sign, p_value, p_op, lacking)
    if yi == 0:
        return _Row(how=f"{size}: no difference, so no test of it can be turned into a variance")
    se = _number([s for s in stated if s["estimate_type"] == "percent_change"], "se")
    if not math.isnan(se):
        vi = (se / 100 / math.exp(yi)) ** 2
        how = f"{size}; delta method from its standard error [friedrich2008]"
        return _Row(yi, vi, basis="derived", how=how)
    t, said = _t_statistic(stated, p_value, p_op, n - 1)
    if not math.isnan(t) and t > 0:
        how = f"{size}; {said}; variance (yi / t)², delta method [friedrich2008]"
        return _Row(yi, float(recover.paired_variance_from_t(yi, t)), basis="derived", how=how)
    if p_op == "<" and 0 < p_value < 1 and n >= 2:
        t = float(recover.t_from_p(p_value, n - 1))
        how = f"{size}; p < {p_value:g} with n = {n:g}: the largest variance it allows, (yi / t)², "
        how += "delta method [friedrich2008]"
        return _Row(yi, float(recover.paired_variance_from_t(yi, t)), basis="bounded", how=how)
    if arms and _all_known(arms, "mean", "sd", "n"):
        one, two = arms
        at_zero = effect_size(
            "ROMC",
            m1=float(one["mean"]), sd1=float(one["sd"]),
            m2=float(two["mean"]), sd2=float(two["sd"]), n=float(one["n"]), r=0.0,
        )  # fmt: skip
        how = f"{size} and SDs; their correlation is not reported: the variance at r = 0, the "
        how += "largest for any r of 0 or more [lajeunesse2011]"
        return _Row(yi, float(at_zero[1]), basis="bounded", how=how)
    return _Row(
        lower=0.0 if yi > 0 else -math.inf,
        upper=math.inf if yi > 0 else 0.0,
        basis="bounded",
        how=f"{size} ({100 * math.expm1(yi):+.1f} %), but nothing from which to get a variance "
        "[bushman1996]",
    )


def _log_ratio(
    arms: tuple[dict[str, Any], dict[str, Any]] | None, stated: Sequence[dict[str, Any]]
) -> tuple[float, str]:
    if arms and _all_known(arms, "mean") and min(float(a["mean"]) for a in arms) > 0:
        return (
            math.log(float(arms[0]["mean"]) / float(arms[1]["mean"])),
            f"means {arms[0]['mean']:g} and {arms[1]['mean']:g}",
        )
    printed = [float(s["estimate"]) for s in stated if _is_percent(s)]
    if not printed:
        return NAN, ""
    logs = [math.log1p(value / 100) for value in printed]
    if len(printed) == 1:
        return logs[0], f"{printed[0]:g} % as printed"
    ends = " to ".join(f"{value:g}" for value in sorted(printed))
    return float(np.mean(logs)), f"{ends} % as printed, middle on the log scale"


def _is_percent(row: dict[str, Any]) -> bool:
    """Tell whether a contrast row prints a percentage by which one condition exceeds the other."""
    return (
        _known(row["estimate"])
        and row["unit"] == "%"
        and row["estimate_type"] in ("percent_change", "other")
        and float(row["estimate"]) > -100
    )

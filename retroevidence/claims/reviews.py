"""Published reviews beside our own pooled values, and the difference put into words."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from retroevidence.claims.evidence import Data
from retroevidence.effects.assemble import assemble
from retroevidence.effects.measures import effect_size
from retroevidence.loaders.tables import load
from retroevidence.meta.pool import pool

#: Conditions of our studies that a review's population covers; a review of one condition covers it.
POPULATIONS = {
    "stroke and other neurological": ("stroke", "parkinson", "ms", "cerebral_palsy"),
    "adults (men only in the included trials)": ("healthy_adults", "other"),
}
ALL_CONDITIONS = "mixed"

#: Scales with one scoring, on which differences of different trials are in the same points.
POINT_SCALES = ("pediatric balance", "berg balance")

COLUMNS = (
    "review_id study_id outcome instrument contrast condition comparator measure estimate ci_low "
    "ci_high k our_measure our_estimate our_ci_low our_ci_high our_k our_comparisons our_studies "
    "difference recomputed excluded why"
).split()

STUDY_COLUMNS = (
    "contrast_id study_id outcome locator rows excluded estimate ci_low ci_high redone redone_low "
    "redone_high exact agrees"
).split()

#: Normal quantile of a 95% interval.
Z = 1.959964

#: Cochrane data print six decimals: half of the last, and as much for the rounding of `Z`.
PRINTED_TO = 1e-6


def redo_reviews(data: Data = None) -> pd.DataFrame:
    """Put our pooled value beside every pooled value that a review prints.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.

    Returns
    -------
    DataFrame
        One row per row of reviews, excluded ones too.

        - ``review_id study_id outcome instrument contrast condition measure estimate ci_low
          ci_high k``: what the review prints, experimental minus comparator.
        - ``comparator``: forward, usual, any, or combined when backward and forward walking
          together are the experimental arm.
        - ``our_measure our_estimate our_ci_low our_ci_high our_k``: comparisons that a claim
          counts for this outcome, population and comparator, pooled (random effects, REML,
          modified Knapp-Hartung interval); ``our_comparisons`` counts also those that give no size.
        - ``our_studies``: studies whose sizes are pooled, joined by ``;``.
        - ``difference``: ours minus the review's, where both are on the same scale.
        - ``recomputed``: no in every row: abstracts do not list the trials of a pooled value, so
          ours is another sample of trials, not a check of the arithmetic. `redo_cochrane` holds
          what can be recomputed.
        - ``why``: why the two are apart, or cannot be compared, by rule.

    Notes
    -----
    Differences in points (MD, WMD) are compared only on a scale that is scored in one way; other
    values of ours are standardised, and no difference is given.

    Examples
    --------
    >>> from retroevidence.claims.reviews import redo_reviews
    >>> table = redo_reviews().set_index("review_id")
    >>> float(table.loc["r29", "estimate"]), int(table.loc["r29", "our_k"])
    (-0.997, 4)
    """
    arms, contrasts = load("arms", data), load("contrasts", data)
    ours = _our_comparisons(arms, contrasts, data)
    rows = []
    for review in load("reviews", data).to_dict("records"):
        row: dict[str, Any] = {str(k): v for k, v in review.items()}
        row["comparator"] = _comparator(str(row["contrast"]))
        row["excluded"] = row["exclude"]
        fitting = _fitting(row, ours)
        row |= _pooled(row, fitting, arms, contrasts)
        row["recomputed"] = "no"
        row["why"] = "; ".join(_reasons(row))
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def redo_cochrane(data: Data = None) -> pd.DataFrame:
    r"""Recompute each SMD that a Cochrane review prints for one study, from its arm rows.

    The rows are those whose ``locator`` names a study data row of a Cochrane review. Cochrane's
    software approximates the small-sample factor, :math:`J = 1 - 3/(4N - 9)`, and takes
    :math:`SE^2 = N/(n_1 n_2) + g^2 / (2(N - 3.94))` with N people in all (Statistical algorithms
    in Review Manager 5, Deeks and Higgins 2010); we use the exact J (Hedges 1981).

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.

    Returns
    -------
    DataFrame
        One row per study-level SMD: ``contrast_id study_id outcome locator rows excluded``, what is
        printed (``estimate ci_low ci_high``), the same by Cochrane's formulas (``redone redone_low
        redone_high``), ``exact`` (ours) and ``agrees`` (yes when all three printed numbers come out
        to their last digit, else no, or "no arm rows").

    Examples
    --------
    >>> from retroevidence.claims.reviews import redo_cochrane
    >>> table = redo_cochrane()
    >>> len(table), set(table["agrees"])
    (10, {'yes'})
    """
    arms, contrasts = load("arms", data), load("contrasts", data)
    printed = contrasts[
        (contrasts["estimate_type"] == "SMD")
        & contrasts["locator"].str.contains("Cochrane.*study data row", na=False)
    ]
    rows = []
    for record in printed.to_dict("records"):
        row = {str(k): v for k, v in record.items()}
        one, two = _arms_of(row, arms)
        told = [float(row[c]) for c in ("estimate", "ci_low", "ci_high")]
        redone, exact, agrees = [math.nan] * 3, math.nan, "no arm rows"
        if one is not None and two is not None:
            numbers = [float(arm[c]) for arm in (one, two) for c in ("mean", "sd", "n")]
            redone = list(_as_cochrane(*numbers))
            names = ("m1", "sd1", "n1", "m2", "sd2", "n2")
            exact = float(effect_size("SMD", **dict(zip(names, numbers, strict=True)))[0])
            near = (abs(a - b) <= PRINTED_TO for a, b in zip(redone, told, strict=True))
            agrees = "yes" if all(near) else "no"
        rows.append(
            {
                **{c: row[c] for c in ("contrast_id", "study_id", "outcome", "locator")},
                "rows": ";".join(str(arm["arm_id"]) for arm in (one, two) if arm is not None),
                "excluded": row["exclude"],
                **dict(zip(("estimate", "ci_low", "ci_high"), told, strict=True)),
                **dict(zip(("redone", "redone_low", "redone_high"), redone, strict=True)),
                "exact": exact,
                "agrees": agrees,
            }
        )
    return pd.DataFrame(rows, columns=STUDY_COLUMNS)


def _arms_of(row: dict[str, Any], arms: pd.DataFrame) -> tuple[Any, Any]:
    """Return the experimental and the comparator arm of a study data row, or nothing."""
    same = arms[(arms["study_id"] == row["study_id"]) & (arms["outcome"] == row["outcome"])]
    placed = same[same["locator"] == row["locator"]]
    # The abstract may have printed the same means first; then its rows stand for both readings.
    pair = placed if len(placed) else same[same["instrument"] == row["instrument"]]
    pair = pair[pair[["mean", "sd", "n"]].notna().all(axis=1)]
    # An arm that merges two conditions has no role.
    comparator = pair["role"].fillna("") == "comparator"
    if len(pair) != 2 or comparator.sum() != 1:
        return None, None
    return pair[~comparator].iloc[0], pair[comparator].iloc[0]


def _as_cochrane(
    m1: float, sd1: float, n1: float, m2: float, sd2: float, n2: float
) -> tuple[float, float, float]:
    """Return SMD and 95% limits as Review Manager computes them."""
    total = n1 + n2
    spread = math.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / (total - 2))
    g = (m1 - m2) / spread * (1 - 3 / (4 * total - 9))
    se = math.sqrt(total / (n1 * n2) + g**2 / (2 * (total - 3.94)))
    return g, g - Z * se, g + Z * se


def _comparator(contrast: str) -> str:
    """Read from a review's words what its backward-walking arm is compared with."""
    experimental, _, other = contrast.partition(" vs ")
    if "forward +" in experimental or "+ forward" in experimental:
        return "combined"
    if "forward" in other:
        return "any" if " or " in other else "forward"
    return "any" if other == "comparator" and "conventional" not in experimental else "usual"


def _our_comparisons(arms: pd.DataFrame, contrasts: pd.DataFrame, data: Data) -> pd.DataFrame:
    """List the comparisons that claims count, with what they are about."""
    claims = load("claims", data).set_index("claim_id")
    lines = load("selection", data)
    measure = lines["claim_id"].map(claims["measure"])
    lines = lines[(lines["enters"] == "main") & (measure == "SMD")].copy()
    first = lines["contrast"].fillna("").str.split(";").str[0]
    by_id, by_arm = contrasts.set_index("contrast_id"), arms.set_index("arm_id")
    found = {"outcome": [], "instrument": [], "higher_is": []}  # type: dict[str, list[str]]
    against = []
    for key, arm, analysis in zip(first, lines["experimental"], lines["analysis"], strict=True):
        source = by_arm.loc[arm] if not pd.isna(arm) else by_id.loc[key]
        for column, values in found.items():
            values.append(str(source[column]))
        said = str(by_id.loc[key, "contrast"]) if key else str(analysis)
        forward = "forward" in said.partition("vs")[2]
        other = str(analysis).startswith("vs_other")
        against.append("forward" if forward else "other" if other else "usual")
    conditions = load("studies", data).set_index("study_id")["condition"]
    table = lines.assign(**found, against=against, condition=lines["study_id"].map(conditions))
    # The analyses of one claim share trials; each trial counts once per outcome and comparator.
    return table.drop_duplicates(["study_id", "outcome", "against"]).reset_index(drop=True)


def _fitting(review: dict[str, Any], ours: pd.DataFrame) -> pd.DataFrame:
    """Return our comparisons of the same outcome, population and comparator."""
    keep = ours["outcome"] == review["outcome"]
    condition = str(review["condition"])
    if condition != ALL_CONDITIONS:
        keep &= ours["condition"].isin(POPULATIONS.get(condition, (condition,)))
    if review["comparator"] != "any":
        keep &= ours["against"] == review["comparator"]
    if (scale := _scale(review)) is not None:
        keep &= ours["instrument"].str.lower().str.startswith(scale)
        keep &= ~ours["instrument"].str.contains("percent", case=False)
    fitting: pd.DataFrame = ours[keep].reset_index(drop=True)
    return fitting


def _scale(review: dict[str, Any]) -> str | None:
    """Return the scale in whose points a review gives its difference, if it is one of a kind."""
    if review["measure"] not in ("MD", "WMD"):
        return None
    instrument = str(review["instrument"]).lower().replace("berg balance score", "berg balance")
    return next((s for s in POINT_SCALES if instrument.startswith(s)), None)


def _pooled(
    review: dict[str, Any], fitting: pd.DataFrame, arms: pd.DataFrame, contrasts: pd.DataFrame
) -> dict[str, Any]:
    """Return our pooled value for the comparisons that fit a review."""
    measure = "SMD" if _scale(review) is None else "MD"
    nothing = dict.fromkeys(("our_estimate", "our_ci_low", "our_ci_high", "difference"), math.nan)
    row: dict[str, Any] = {
        "our_measure": measure, "our_k": 0, "our_comparisons": len(fitting), "our_studies": "",
        "turned": False, **nothing,
    }  # fmt: skip
    if fitting.empty:
        return row
    frame = assemble(fitting, arms, contrasts, measure=measure)
    sized = frame["yi"].notna() & frame["vi"].notna()
    if not sized.any():
        return row
    row["turned"] = len(set(fitting.loc[sized, "higher_is"])) > 1
    if row["turned"]:
        frame = assemble(fitting, arms, contrasts, measure=measure, toward_benefit=True)
    pooled = pool(frame[sized], test="adhoc")
    row |= {
        "our_estimate": pooled.estimate,
        "our_ci_low": pooled.ci.low,
        "our_ci_high": pooled.ci.high,
        "our_k": pooled.k,
        "our_studies": ";".join(dict.fromkeys(frame.loc[sized, "study_id"])),
    }
    theirs = "MD" if review["measure"] == "WMD" else review["measure"]
    if theirs == measure and not row["turned"] and not pd.isna(review["estimate"]):
        row["difference"] = pooled.estimate - float(review["estimate"])
    return row


def _reasons(row: dict[str, Any]) -> list[str]:
    """Say by rule why a review's value and ours are apart or cannot be compared."""
    return [
        *([f"not used: {row['exclude_reason']}"] if row["excluded"] == "yes" else []),
        *_about_print(row),
        *_about_scale(row),
        *_about_ours(row),
        *_verdict(row),
        "the trials behind this value are not listed in the text that was read",
    ]


def _about_print(row: dict[str, Any]) -> list[str]:
    if pd.isna(row["estimate"]):
        return ["the review prints no value"]
    low, high = row["ci_low"], row["ci_high"]
    if pd.isna(low) or pd.isna(high):
        return ["the review prints no interval"]
    said = []
    p = row["p_value"]
    if not pd.isna(p) and row["p_op"] in ("=", "<"):
        excludes_zero = (low > 0) == (high > 0)
        if (p < 0.05) != excludes_zero and (row["p_op"] == "=" or p <= 0.05):
            said.append(f"its interval and its p ({row['p_op']} {p:g}) contradict each other")
            # A symmetric interval has the estimate in its middle.
            slack = 0.02 * (high - low)
            if abs((low - high) / 2 - row["estimate"]) <= slack:
                said.append(
                    f"with the sign of {high:g} turned the estimate would be its middle: "
                    "a slip of sign in print is suspected"
                )
    return said


def _about_scale(row: dict[str, Any]) -> list[str]:
    said = []
    if row["measure"] == "unclear":
        said.append("not the same measure: its scale is not clear from what is printed")
    elif row["measure"] in ("MD", "WMD") and row["our_measure"] == "SMD" and row["our_k"]:
        said.append("not the same measure: it is in units of a scale, ours is standardised")
    if row["comparator"] == "combined":
        said.append("its arm walks forward and backward; no claim asks for that")
    elif row["comparator"] == "any":
        said.append("it mixes comparators")
    return said


def _about_ours(row: dict[str, Any]) -> list[str]:
    k, located = row["our_k"], row["our_comparisons"]
    if located == 0:
        return ["no comparison of ours has this outcome, population and comparator"]
    said = []
    if k == 0:
        several = f"none of our {located} comparisons gives a size"
        return [several if located > 1 else "our one comparison gives no size"]
    if k < located:
        said.append(f"{located - k} of our {located} comparisons give no size")
    if k == 1:
        said.append("ours is one trial, nothing is pooled")
    if row["turned"]:
        said.append("ours is turned so that positive is better, as scales of both senses meet")
    return said


def _verdict(row: dict[str, Any]) -> list[str]:
    if math.isnan(row["difference"]):
        return []
    if pd.isna(row["ci_low"]) or pd.isna(row["ci_high"]):
        inside = row["our_ci_low"] <= row["estimate"] <= row["our_ci_high"]
        return [f"its value lies {'inside' if inside else 'outside'} our interval"]
    overlap = row["ci_low"] <= row["our_ci_high"] and row["our_ci_low"] <= row["ci_high"]
    return [f"the two intervals {'overlap' if overlap else 'do not overlap'}"]

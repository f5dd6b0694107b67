"""A claim in, a verdict out: `check` and `check_all`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from retroevidence._show import Card, Carded, interval, number, p_text, percent
from retroevidence.claims import certainty, counts, rules
from retroevidence.claims.citations import audit_citations
from retroevidence.claims.evidence import Data, claim_effects, claim_row, selected
from retroevidence.claims.synthesis import (
    EFFECTS,
    P_VALUES,
    WITH_BOUNDS,
    Synthesis,
    classify,
    synthesise,
)
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.tables import load
from retroevidence.meta.censored.result import PooledCensored
from retroevidence.meta.result import Pooled
from retroevidence.meta.wording import IN_PERCENT, RATIOS

NAN = float("nan")

#: The claimed side as a sign; "better" is read after scales are turned so that more is better.
SIDES = {"higher": 1, "better": 1, "lower": -1}

#: Analyses with a meaning of their own in the selection table.
MAIN, REVIEWS = "main", "reviews"


@dataclass(frozen=True, repr=False)
class Checked(Carded):
    """A claim with its verdict, how sure it is, and everything it rests on.

    Attributes
    ----------
    claim : dict
        The row of the claims table.
    verdict, reason : str
        One of `rules.VERDICTS`, and the sentence that says why.
    certainty, certainty_reasons : str, tuple of str
        GRADE-like level, and each step that led to it.
    rung : str
        What the headline rests on: effects and bounds, effects, p-values, directions, exact,
        distribution, audit, none.
    estimate, ci_low, ci_high, pi_low, pi_high : float
        The headline in units of the measure (log ratios stay on the log scale); missing where the
        rung has no size.
    k : int
        Independent comparisons on that rung.
    pooled : Pooled or None
        The pooled effects of the main analysis, exact results only.
    censored : PooledCensored or None
        The same with the results that are only known to lie between two limits.
    effects : DataFrame
        Every row that entered the main analysis, on whatever rung.
    rungs : DataFrame
        What each rung says.
    analyses : dict of str to Pooled or None
        The analyses beside the main one, and the main one with doubtful rows added.
    analyses_table : DataFrame
        The same, one row each, with the verdict each alone would give.
    shown : DataFrame
        Located rows that were not counted, each with its reason.
    reviews : DataFrame
        What published reviews pooled for the same question, and why it differs.
    extra : dict
        Further numbers of this kind of claim.

    Examples
    --------
    >>> import retroevidence as rv
    >>> checked = rv.check("pf_load")
    >>> checked.verdict, checked.rung, checked.k
    ('no usable evidence', 'none', 0)
    """

    claim: dict[str, Any]
    verdict: str
    reason: str
    certainty: str
    certainty_reasons: tuple[str, ...]
    rung: str
    estimate: float = NAN
    ci_low: float = NAN
    ci_high: float = NAN
    pi_low: float = NAN
    pi_high: float = NAN
    k: int = 0
    pooled: Pooled | None = None
    censored: PooledCensored | None = None
    effects: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    rungs: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    analyses: dict[str, Pooled | None] = field(default_factory=dict, compare=False, repr=False)
    analyses_table: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    shown: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    reviews: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def claim_id(self) -> str:
        """The claim's id."""
        return str(self.claim["claim_id"])

    @property
    def summary(self) -> pd.DataFrame:
        """One row, the same columns for every claim."""
        row = {
            "claim_id": self.claim_id,
            "section": self.claim["section"],
            "statement": self.claim["statement"],
            "verdict": self.verdict,
            "certainty": self.certainty,
            "measure": self.claim["measure"],
            "estimate": self.estimate,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "pi_low": self.pi_low,
            "pi_high": self.pi_high,
            "k": self.k,
            "rung": self.rung,
            "reason": self.reason,
        }
        return pd.DataFrame([row])

    def _card(self) -> Card:
        pairs = [
            ("verdict", self.verdict),
            ("why", self.reason),
            ("certainty", self.certainty),
            ("rests on", f"{self.rung}, k = {self.k}"),
        ]
        if not math.isnan(self.estimate):
            pairs.append((f"estimate ({self.claim['measure']})", self._estimate()))
        pairs += [(label.replace("_", " "), _plain(value)) for label, value in self.extra.items()]
        table = self._rung_table() if len(self.rungs) else None
        title = f"{self.claim_id}: {self.claim['statement']}"
        return Card(title, pairs, table, self.certainty_reasons)

    def _estimate(self) -> str:
        """Return the headline with its interval; log ratios as percent too."""
        ends = (self.estimate, self.ci_low, self.ci_high)
        if self.rung in ("exact", "distribution"):
            shares = [percent(v, 1) for v in ends]
            return f"{shares[0]} [{shares[1]}, {shares[2]}]"
        shown = f"{number(self.estimate)} {interval(self.ci_low, self.ci_high)}"
        if self.claim["measure"] == "ROMC":
            shares = [percent(math.expm1(v)) for v in ends]
            shown += f" = {shares[0]} [{shares[1]}, {shares[2]}]"
        return shown

    def _rung_table(self) -> pd.DataFrame:
        """Return the rungs as a reader wants them: what each says, in a few characters."""
        said = []
        for row in self.rungs.to_dict("records"):
            estimate, p = float(row["estimate"]), float(row["p_value"])
            if row["rung"] in (WITH_BOUNDS, EFFECTS):
                low, high = float(row["ci_low"]), float(row["ci_high"])
                said.append(f"{number(estimate)} {interval(low, high)}")
            elif row["rung"] == P_VALUES:
                said.append(f"combined, one-sided {p_text(p)}")
            else:
                said.append(f"{percent(estimate)} on the claim's side, {p_text(p)}")
        return pd.DataFrame({"rung": self.rungs["rung"], "k": self.rungs["k"], "says": said})


def check(claim_id: str, data: Data = None, *, without: frozenset[str] = frozenset()) -> Checked:
    """Judge one claim by the evidence in the tables.

    Parameters
    ----------
    claim_id : str
        Id in the claims table.
    data : path, optional
        Directory of tables; the library's own by default.
    without : frozenset of str
        Row ids; a comparison that uses one of them is left out, to see what depends on it.

    Returns
    -------
    Checked

    Raises
    ------
    UnknownNameError
        If there is no such claim.
    RetroEvidenceError
        If the tables break their record, or the selection does not fit them.

    Examples
    --------
    >>> import retroevidence as rv
    >>> rv.check("pf_load").verdict
    'no usable evidence'
    """
    claim = claim_row(claim_id, data)
    lines = selected(claim_id, data)
    if without:
        ids = lines[["experimental", "comparator", "contrast"]].fillna("").agg(";".join, axis=1)
        lines = lines[[without.isdisjoint(cell.split(";")) for cell in ids]]
    main = lines[lines["analysis"] == MAIN]
    kind = claim["kind"]
    if kind in ("effect", "range"):
        return _effect_claim(claim, lines, data)
    if kind == "safety":
        counted = counts.harms(
            main,
            load("safety", data),
            load("studies", data),
            float(claim["smallest"] or 0) / 100,
        )
        return _counted(claim, lines, counted)
    if kind == "description":
        counted = counts.doses(
            main, load("studies", data), claim["claimed_low"], claim["claimed_high"]
        )
        return _counted(claim, lines, counted)
    if kind == "citation":
        return _citations(claim, data)
    raise RetroEvidenceError(
        f"claims.csv, claim {claim_id}, column kind: {kind!r} is unknown; write effect, range, "
        "safety, description or citation."
    )


def check_all(data: Data = None) -> pd.DataFrame:
    """Judge every claim; one row each, in the order of the claims table.

    Parameters
    ----------
    data : path, optional
        Directory of tables; the library's own by default.

    Returns
    -------
    DataFrame
        ``claim_id section statement verdict certainty measure estimate ci_low ci_high pi_low
        pi_high k rung reason``.

    Examples
    --------
    >>> import retroevidence as rv
    >>> len(rv.check_all())
    29
    """
    ids = load("claims", data)["claim_id"]
    return pd.concat([check(claim_id, data).summary for claim_id in ids], ignore_index=True)


def _effect_claim(claim: dict[str, Any], lines: pd.DataFrame, data: Data) -> Checked:
    side = claim["claimed_direction"]
    if side not in SIDES:
        raise RetroEvidenceError(
            f"claims.csv, claim {claim['claim_id']}, column claimed_direction: {side!r} is "
            f"unknown; write one of: {', '.join(SIDES)}."
        )
    sign = SIDES[side]
    smallest = _on_scale(claim, claim["smallest"]) if claim["smallest"] is not None else 0.0
    limits = None
    if claim["kind"] == "range":
        limits = (_on_scale(claim, claim["claimed_low"]), _on_scale(claim, claim["claimed_high"]))

    def run(chosen: pd.DataFrame) -> tuple[pd.DataFrame, Synthesis]:
        frame = classify(claim_effects(chosen.reset_index(drop=True), claim, data), sign)
        return frame, synthesise(frame, sign, smallest=abs(smallest), limits=limits)

    counted = lines[lines["analysis"] != REVIEWS]
    main_lines = counted[(counted["analysis"] == MAIN) & (counted["enters"] == "main")]
    frame, result = run(main_lines)

    others: dict[str, Synthesis] = {}
    for name, part in counted[counted["enters"] != "shown"].groupby("analysis", sort=False):
        if name != MAIN:
            others[str(name)] = run(part[part["enters"] == "main"])[1]
        if (part["enters"] == "sensitivity").any():
            others[f"{name} + doubtful"] = run(part)[1]

    designs = load("studies", data).set_index("study_id")["design"]
    rated = certainty.rate(result, frame, frame["study_id"].map(designs))
    verdict = result.verdict
    if verdict.word == rules.NO_EVIDENCE and others:
        verdict = rules.none(
            f"{verdict.reason}; indirect evidence is shown apart: {', '.join(others)}"
        )
    headline = result.headline
    extra: dict[str, Any] = {}
    sized = headline or result.pooled
    if limits is not None and sized is not None:
        mean, new = rules.probability_between(sized, *limits)
        extra = {"p_mean_in_range": mean, "p_new_in_range": new}
    shown = counted[counted["enters"] == "shown"]
    return Checked(
        claim=claim,
        verdict=verdict.word,
        reason=verdict.reason,
        certainty=rated.level,
        certainty_reasons=rated.reasons,
        rung=result.rung,
        estimate=headline.estimate if headline else NAN,
        ci_low=headline.ci.low if headline else NAN,
        ci_high=headline.ci.high if headline else NAN,
        pi_low=headline.prediction.low if headline else NAN,
        pi_high=headline.prediction.high if headline else NAN,
        k=_headline_k(result),
        pooled=result.pooled,
        censored=result.censored,
        effects=frame,
        rungs=result.rungs,
        analyses={name: other.pooled for name, other in others.items()},
        analyses_table=_table(others),
        shown=shown.drop(columns=["claim_id", "enters"]).reset_index(drop=True),
        reviews=_reviews(lines, data),
        extra=extra,
    )


def _plain(value: Any) -> str:
    """Write a further number of a claim: whole numbers as they are, others with two decimals."""
    return number(value, 2) if isinstance(value, float) else str(value)


def _on_scale(claim: dict[str, Any], value: float) -> float:
    """Put a number of the claims table on the scale of the measure: percent and ratios in logs."""
    if claim["measure"] in IN_PERCENT:
        return math.log1p(value / 100)
    if claim["measure"] not in RATIOS:
        return float(value)
    if value <= 0:
        raise RetroEvidenceError(
            f"claim {claim['claim_id']}: {value:g} is no {claim['measure']}; write a ratio "
            "above 0, such as 0.8, in claimed_low, claimed_high and smallest."
        )
    return math.log(value)


def _headline_k(result: Synthesis) -> int:
    found = result.rungs.loc[result.rungs["rung"] == result.rung, "k"]
    return int(found.iloc[0]) if len(found) else 0


def _table(others: dict[str, Synthesis]) -> pd.DataFrame:
    columns = ["analysis", "rung", "k", "estimate", "ci_low", "ci_high", "verdict", "reason"]
    rows = []
    for name, other in others.items():
        pooled = other.headline
        rows.append(
            [
                name,
                other.rung,
                _headline_k(other),
                pooled.estimate if pooled else NAN,
                pooled.ci.low if pooled else NAN,
                pooled.ci.high if pooled else NAN,
                other.verdict.word,
                other.verdict.reason,
            ]
        )
    return pd.DataFrame(rows, columns=columns)


def _reviews(lines: pd.DataFrame, data: Data) -> pd.DataFrame:
    chosen = lines[lines["analysis"] == REVIEWS][["contrast", "reason"]]
    columns = ["review_id", "study_id", "outcome", "instrument", "contrast", "condition", "measure",
               "estimate", "ci_low", "ci_high", "p_value", "i2", "certainty", "locator",
               "source_url"]  # fmt: skip
    reviews = load("reviews", data)[columns]
    joined = chosen.rename(columns={"contrast": "review_id", "reason": "why_it_differs"}).merge(
        reviews, on="review_id", how="left"
    )
    return joined[[*columns, "why_it_differs"]]


def _counted(claim: dict[str, Any], lines: pd.DataFrame, counted: counts.Counted) -> Checked:
    shown = lines[lines["enters"] == "shown"].drop(columns=["claim_id", "enters"])
    return Checked(
        claim=claim,
        verdict=counted.verdict.word,
        reason=counted.verdict.reason,
        certainty=counted.certainty.level,
        certainty_reasons=counted.certainty.reasons,
        rung=counted.rung,
        estimate=counted.estimate,
        ci_low=counted.ci_low,
        ci_high=counted.ci_high,
        k=counted.k,
        effects=counted.rows,
        shown=shown.reset_index(drop=True),
        extra=counted.extra,
    )


def _citations(claim: dict[str, Any], data: Data) -> Checked:
    table = audit_citations(data)
    found = {word: int((table["verdict"] == word).sum()) for word in table["verdict"].unique()}
    verdict = rules.from_audit(
        found.get("verified", 0), found.get("mis-cited", 0), found.get("not located", 0)
    )
    return Checked(
        claim=claim,
        verdict=verdict.word,
        reason=verdict.reason,
        certainty=certainty.NOT_ASSESSED,
        certainty_reasons=("records compared field by field; no rating of certainty applies",),
        rung="audit",
        k=len(table),
        effects=table,
        extra=found,
    )

"""The written rule that turns a synthesis into a verdict. Nothing else decides a verdict.

Estimates arrive turned so that positive agrees with the claim.

Pooled effects, with the smallest difference that matters (0 where none is stated):

- *supported*: the 95 % interval is above 0, the estimate is at least the smallest difference that
  matters, the prediction interval is above 0 too, and there are five results or more (bounded ones
  count by their information): with fewer the spread between studies is barely known.
- *leans supported*: the interval is above 0 but one of the other conditions fails; or the
  interval includes 0, the estimate matters, and the chance that the mean effect is positive is at
  least 90 %.
- *contradicted*: the interval and the prediction interval are below 0, by five results or more.
- *leans against*: the interval is below 0; or the interval includes 0 but everything in it is
  smaller than what matters; or the chance that the mean effect is positive is at most 10 %.
- *inconclusive*: everything else.

Intervals are the modified Knapp-Hartung ones, which are never narrower than the normal ones.

Combined p-values: *supported* needs the combination (Stouffer, two-sided p < .05) and the sign test
(p < .05) on the claim's side; the combination *leans* when at least two thirds of all comparisons,
those with only a direction and null reports included, are on its side. Directions alone carry no
size and never do more than *lean*: sign test p < .05, and the same two thirds.

A claimed range: *supported* when the mean lies in it with a probability of at least 95 % and a new
study with at least 50 %; *leans supported* when the mean does with at least 50 %; *contradicted*
when the 95 % interval lies outside it; *leans against* when the probability is at most 10 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from retroevidence._show import interval, number, p_text, percent
from retroevidence.meta.censored.result import PooledCensored
from retroevidence.meta.result import Pooled

AnyPooled = Pooled | PooledCensored

SUPPORTED = "supported"
LEANS_SUPPORTED = "leans supported"
INCONCLUSIVE = "inconclusive"
LEANS_AGAINST = "leans against"
CONTRADICTED = "contradicted"
NO_EVIDENCE = "no usable evidence"

#: All verdicts, from most to least in favour; the last says nothing either way.
VERDICTS = (
    SUPPORTED,
    LEANS_SUPPORTED,
    INCONCLUSIVE,
    LEANS_AGAINST,
    CONTRADICTED,
    NO_EVIDENCE,
)

#: A verdict leans when the claim's side has at least this probability.
LEANING = 0.90
#: Share of all comparisons that must be on a side before p-values or directions lean to it.
MAJORITY = 2 / 3
#: Results below which the spread between studies, and so the prediction interval, is barely known.
FEW = 5
#: Two-sided level of every interval and test of the rule.
ALPHA = 0.05
#: A range counts as met when the mean lies in it with this probability, and a new study with half.
IN_RANGE = 0.95


@dataclass(frozen=True)
class Verdict:
    """A verdict and the sentence that says why."""

    word: str
    reason: str


def none(why: str) -> Verdict:
    """Return the verdict for a claim that no located result bears on."""
    return Verdict(NO_EVIDENCE, why)


def from_effects(pooled: AnyPooled, sign: int, smallest: float) -> Verdict:
    """Judge a claimed direction by pooled effects.

    Parameters
    ----------
    pooled : Pooled
        Result of at least two comparisons, signs as in the tables.
    sign : {1, -1}
        The claimed side: 1 when the claim says higher or better, -1 when it says lower.
    smallest : float
        Smallest difference that matters, in units of the measure; 0 when none is stated.
    """
    estimate = sign * pooled.estimate
    low, high = sorted((sign * pooled.ci.low, sign * pooled.ci.high))
    p_low, p_high = sorted((sign * pooled.prediction.low, sign * pooled.prediction.high))
    on_side = probability_above(pooled, 0.0, sign)
    shown = f"estimate {number(pooled.estimate, 2)}, 95% CI {_ci(pooled)}"
    few = _few(pooled)
    matters = f"the smallest difference that matters ({number(smallest, 2)})"

    if low > 0:
        if estimate < smallest:
            return Verdict(LEANS_SUPPORTED, f"{shown}: on the claim's side but below {matters}")
        if not p_low > 0:
            return Verdict(
                LEANS_SUPPORTED,
                f"{shown}: on the claim's side, but a new study may well find none or the "
                f"opposite ({_pi(pooled)})",
            )
        if few:
            return Verdict(LEANS_SUPPORTED, f"{shown}: on the claim's side, but {few}")
        return Verdict(SUPPORTED, f"{shown}: on the claim's side, and so is the {_pi(pooled)}")
    if high < 0:
        if p_high < 0 and few:
            return Verdict(LEANS_AGAINST, f"{shown}: on the other side, but {few}")
        if p_high < 0:
            return Verdict(CONTRADICTED, f"{shown}: on the other side, and so is the {_pi(pooled)}")
        return Verdict(LEANS_AGAINST, f"{shown}: on the other side")
    if smallest > 0 and high < smallest and low > -smallest:
        return Verdict(LEANS_AGAINST, f"{shown}: everything in it is smaller than {matters}")
    if estimate >= smallest and on_side >= LEANING:
        return Verdict(
            LEANS_SUPPORTED,
            f"{shown} includes zero, but the claim's side has {percent(on_side)} of the chance",
        )
    if on_side <= 1 - LEANING:
        return Verdict(
            LEANS_AGAINST,
            f"{shown} includes zero, and the claim's side has only {percent(on_side)} of the "
            "chance",
        )
    return Verdict(INCONCLUSIVE, f"{shown}: compatible with no effect and with one that matters")


def from_range(pooled: AnyPooled, low: float, high: float) -> Verdict:
    """Judge a claimed range, given on the scale of the measure."""
    mean, new = probability_between(pooled, low, high)
    shown = (
        f"the mean lies in the claimed range with a probability of {percent(mean)}, a new study "
        f"with {percent(new)}"
    )
    if pooled.ci.low > high or pooled.ci.high < low:
        return Verdict(CONTRADICTED, f"the 95% CI lies outside the claimed range; {shown}")
    if mean >= IN_RANGE and new >= 0.5:
        return Verdict(SUPPORTED, shown)
    if mean >= 0.5:
        return Verdict(LEANS_SUPPORTED, shown)
    if mean <= 1 - LEANING:
        return Verdict(LEANS_AGAINST, shown)
    return Verdict(INCONCLUSIVE, shown)


def from_p_values(
    p_claim: float, k: int, n_for: int, n_against: int, n_null: int, sign_p: float
) -> Verdict:
    """Judge a claimed direction by combined p-values.

    Parameters
    ----------
    p_claim : float
        One-sided combined p for the claim's side.
    k : int
        Number of p-values.
    n_for, n_against, n_null : int
        Comparisons on the claim's side, on the other, and reported as no difference.
    sign_p : float
        Two-sided exact p of the sign test on the directions.
    """
    two_sided = 2 * min(p_claim, 1 - p_claim)
    shown = (
        f"{k} p-values combined: {p_text(two_sided)}; of {n_for + n_against + n_null} comparisons "
        f"{n_for} on the claim's side, {n_against} on the other, {n_null} null "
        f"(sign test {p_text(sign_p)})"
    )
    toward = p_claim < 0.5
    on_side = n_for if toward else n_against
    if two_sided >= ALPHA or on_side < MAJORITY * (n_for + n_against + n_null):
        return Verdict(INCONCLUSIVE, shown)
    agrees = sign_p < ALPHA and (n_for > n_against) == toward
    if toward:
        return Verdict(SUPPORTED if agrees else LEANS_SUPPORTED, shown)
    return Verdict(CONTRADICTED if agrees else LEANS_AGAINST, shown)


def from_directions(n_for: int, n_against: int, n_null: int, sign_p: float) -> Verdict:
    """Judge a claimed direction by directions alone."""
    enough = MAJORITY * (n_for + n_against + n_null)
    shown = (
        f"directions only: {n_for} on the claim's side, {n_against} on the other, {n_null} "
        f"reported as no difference (sign test {p_text(sign_p)})"
    )
    if sign_p < ALPHA and n_for >= enough:
        return Verdict(LEANS_SUPPORTED, shown)
    if sign_p < ALPHA and n_against >= enough:
        return Verdict(LEANS_AGAINST, shown)
    return Verdict(INCONCLUSIVE, shown)


def from_harms(
    events: int, n: int, upper: float, threshold: float, with_doubtful: float
) -> Verdict:
    """Judge a claim that no harm occurs.

    Parameters
    ----------
    events, n : int
        People with an adverse event, and people in arms that report events.
    upper : float
        Upper limit of the exact 95 % interval, a share.
    threshold : float
        Share of people that would matter.
    with_doubtful : float
        Share when arms that mix conditions are counted too.
    """
    shown = (
        f"{events} of {n} people in reporting arms had an adverse event; up to {percent(upper, 1)} "
        "is compatible with that"
    )
    share = events / n
    if upper <= threshold:
        return Verdict(SUPPORTED, shown)
    if share > threshold:
        return Verdict(LEANS_AGAINST, shown)
    if with_doubtful <= threshold:
        return Verdict(
            LEANS_SUPPORTED, f"{shown}, more than the {percent(threshold)} that would matter"
        )
    return Verdict(
        INCONCLUSIVE, f"{shown}; with arms of mixed treatment the share is {percent(with_doubtful)}"
    )


def from_share(inside: int, total: int, low: float, high: float) -> Verdict:
    """Judge a claim that most programmes lie in a range, by an exact interval of their share."""
    shown = (
        f"{inside} of {total} programmes lie in the claimed range "
        f"({percent(inside / total)}, exact 95% CI {percent(low)} to {percent(high)})"
    )
    if low > 0.5:
        return Verdict(SUPPORTED, shown)
    if high < 0.5:
        return Verdict(CONTRADICTED, shown)
    if inside / total > 0.5:
        return Verdict(LEANS_SUPPORTED, shown)
    return Verdict(LEANS_AGAINST if inside / total < 0.5 else INCONCLUSIVE, shown)


def from_audit(verified: int, mis_cited: int, not_located: int) -> Verdict:
    """Judge a reference list: a reference that is not located is not thereby shown to be absent."""
    total = verified + mis_cited + not_located
    shown = (
        f"{verified} of {total} references verified, {mis_cited} mis-cited, {not_located} not "
        "located where we looked"
    )
    if verified == total:
        return Verdict(SUPPORTED, shown)
    if verified * 2 > total:
        return Verdict(INCONCLUSIVE, shown)
    return Verdict(LEANS_AGAINST, shown)


def probability_above(pooled: AnyPooled, value: float, sign: int = 1, new: bool = False) -> float:
    """Return the probability that the mean effect (or a new study's) exceeds `value`.

    The reference distribution is the one of the interval: t with the test's degrees of freedom, or
    normal. `sign` = -1 asks for the turned effect.
    """
    from scipy.special import ndtr, stdtr

    spread = math.hypot(pooled.se, math.sqrt(pooled.tau2)) if new else pooled.se
    if not spread > 0:
        return float("nan")
    z = (sign * pooled.estimate - value) / spread
    finite = math.isfinite(pooled.df)
    return float(stdtr(pooled.df, z) if finite else ndtr(z))


def probability_between(pooled: AnyPooled, low: float, high: float) -> tuple[float, float]:
    """Return the probabilities that the mean, and a new study's effect, lie in a range."""
    return (
        probability_above(pooled, low) - probability_above(pooled, high),
        probability_above(pooled, low, new=True) - probability_above(pooled, high, new=True),
    )


def _few(pooled: AnyPooled) -> str:
    """Say that there are too few results to know the spread between studies, or nothing."""
    worth = pooled.worth if isinstance(pooled, PooledCensored) else float(pooled.k)
    if worth >= FEW:
        return ""
    return f"{number(worth, 0 if worth == pooled.k else 1)} results say little about a new study"


def _ci(pooled: AnyPooled) -> str:
    return interval(pooled.ci.low, pooled.ci.high, 2)


def _pi(pooled: AnyPooled) -> str:
    return f"95% prediction interval {interval(pooled.prediction.low, pooled.prediction.high, 2)}"

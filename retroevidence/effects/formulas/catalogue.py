"""The catalogue of measures: what each needs, what it ignores, and where its formula lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retroevidence.effects.formulas import correlations as corr
from retroevidence.effects.formulas import (
    counts,
    matched,
    means,
    paired,
    rates,
    single,
    zero_cells,
)
from retroevidence.effects.formulas.checks import Effect, Floats
from retroevidence.effects.formulas.entry import Measure

_TWO_MEANS = ("m1", "sd1", "n1", "m2", "sd2", "n2")
_PAIRED = ("m1", "m2", "sd1", "sd2", "n", "r")
_TABLE = ("a", "n1", "c", "n2")
_RATES = ("x1", "t1", "x2", "t2")
_PAIRS = ("a", "b", "c", "d")
_MARGINS = ("x1", "x2", "n", "r")
_ZERO = ("add", "to")
_SIDES = "both means must lie on the same side of 0"
_RATIO_ZERO = "a zero cell has no ratio, and nothing was added"
_J = "the small-sample factor needs more than 1 degree of freedom"
_NO_MARGIN = "a row or a column of the table is empty"
_NO_PHI = f"{_NO_MARGIN}, or the association is perfect"
_NO_PAIR = "no pair differs"
_SPREAD = f"the SD of the changes is 0, or {_J}"


def _ratio(name: str, scale: str, compute: Callable[..., Effect]) -> Measure:
    return Measure(
        name,
        scale,
        _TABLE,
        compute,
        _ZERO,
        added=zero_cells.for_ratio,
        undefined=_RATIO_ZERO,
    )


def _same_people(added: Callable[..., Floats]) -> Callable[..., Floats]:
    """Read events under two conditions, of the same n people, as a 2x2 table."""

    def of_margins(x1: Floats, x2: Floats, n: Floats, r: Floats, **options: Any) -> Floats:
        return added(x1, n, x2, n, **options)

    return of_margins


def _marginal(
    name: str, compute: Callable[..., Effect], of_margins: Callable[..., Effect]
) -> Measure:
    return Measure(
        name,
        "log ratio",
        _PAIRS,
        compute,
        _ZERO,
        other={_MARGINS: of_margins},
        added=zero_cells.for_pairs_ratio,
        added_otherwise=_same_people(zero_cells.for_ratio),
        undefined=_RATIO_ZERO,
    )


def _in_sds(name: str, compute: Callable[..., Effect], **more: Any) -> Measure:
    return Measure(name, "SD units", _TWO_MEANS, compute, undefined=_J, **more)


MEASURES: dict[str, Measure] = {
    "MD": Measure("mean difference", "difference", _TWO_MEANS, means.md),
    "SMD": _in_sds(
        "standardised mean difference (Hedges' g)",
        means.smd,
        other={
            ("d", "n1", "n2"): means.smd_of_d,
            ("t", "n1", "n2"): means.smd_of_t,
            ("p", "sign", "n1", "n2"): means.smd_of_p,
        },
    ),
    "SMDH": _in_sds("standardised mean difference, unequal variances", means.smdh),
    "SMD1": Measure(
        "mean difference in SDs of group 2 (Glass' delta)",
        "SD units",
        ("m1", "n1", "m2", "sd2", "n2"),
        means.smd1,
        ignores=("sd1",),
        undefined=_J,
    ),
    "SMD1H": _in_sds(
        "mean difference in SDs of group 2 (Glass' delta), unequal variances", means.smd1h
    ),
    "ROM": Measure(
        "log ratio of means", "log ratio", _TWO_MEANS, means.rom, ("correct",), undefined=_SIDES
    ),
    "VR": Measure(
        "log ratio of standard deviations",
        "log ratio",
        ("sd1", "n1", "sd2", "n2"),
        means.vr,
        ignores=("m1", "m2"),
    ),
    "CVR": Measure(
        "log ratio of coefficients of variation",
        "log ratio",
        _TWO_MEANS,
        means.cvr,
        ("correct",),
        undefined=_SIDES,
    ),
    "CLES": Measure("common-language effect size", "probability", _TWO_MEANS, means.cles),
    "D2OR": Measure(
        "log odds ratio from a standardised difference, logistic",
        "log ratio",
        _TWO_MEANS,
        means.d2or,
        other={("d", "vi"): means.d2or_of_d},
    ),
    "D2ORL": Measure(
        "log odds ratio from a standardised difference, logistic (same as D2OR)",
        "log ratio",
        _TWO_MEANS,
        means.d2or,
        other={("d", "vi"): means.d2or_of_d},
    ),
    "D2ORN": Measure(
        "log odds ratio from a standardised difference, normal",
        "log ratio",
        _TWO_MEANS,
        means.d2orn,
        other={("d", "vi"): means.d2orn_of_d},
    ),
    "MC": Measure("mean change", "difference", _PAIRED, paired.mc),
    "SMCC": Measure(
        "mean change in SDs of the changes",
        "SD units",
        _PAIRED,
        paired.smcc,
        other={("t", "n"): paired.smcc_of_t},
        undefined=_SPREAD,
    ),
    "SMCR": Measure(
        "mean change in units of sd1",
        "SD units",
        ("m1", "m2", "sd1", "n", "r"),
        paired.smcr,
        ignores=("sd2",),
        undefined=_J,
    ),
    "SMCRH": Measure(
        "mean change in units of sd1, unequal variances",
        "SD units",
        _PAIRED,
        paired.smcrh,
        undefined=_J,
    ),
    "SMCRP": Measure(
        "mean change in units of the average SD", "SD units", _PAIRED, paired.smcrp, undefined=_J
    ),
    "SMCRPH": Measure(
        "mean change in units of the average SD, unequal variances",
        "SD units",
        _PAIRED,
        paired.smcrph,
        undefined=_J,
    ),
    "ROMC": Measure(
        "log ratio of dependent means",
        "log ratio",
        _PAIRED,
        paired.romc,
        ("correct",),
        undefined=_SIDES,
    ),
    "OR": _ratio("log odds ratio", "log ratio", counts.log_or),
    "RR": _ratio("log risk ratio", "log ratio", counts.log_rr),
    "RD": Measure(
        "risk difference",
        "difference",
        _TABLE,
        counts.rd,
        _ZERO,
        added=zero_cells.for_difference,
    ),
    "PETO": Measure(
        "log odds ratio by Peto's method",
        "log ratio",
        _TABLE,
        counts.peto,
        _ZERO,
        added=zero_cells.for_peto,
        undefined=_NO_MARGIN,
    ),
    "AS": Measure(
        "difference of arcsine square-root risks",
        "arcsine",
        _TABLE,
        counts.arcsine_difference,
        _ZERO,
        added=zero_cells.for_defined,
    ),
    "PHI": Measure(
        "phi coefficient of a 2x2 table",
        "correlation",
        _TABLE,
        counts.phi,
        _ZERO,
        added=zero_cells.for_defined,
        undefined=_NO_PHI,
    ),
    "OR2D": _ratio("standardised difference from an odds ratio, logistic", "SD units", counts.or2d),
    "OR2DL": _ratio(
        "standardised difference from an odds ratio, logistic (same as OR2D)",
        "SD units",
        counts.or2d,
    ),
    "OR2DN": _ratio("standardised difference from an odds ratio, normal", "SD units", counts.or2dn),
    "MPRD": Measure(
        "risk difference of matched pairs",
        "difference",
        _PAIRS,
        matched.mprd,
        _ZERO,
        other={_MARGINS: matched.mprd_of_margins},
        added=zero_cells.for_pairs_difference,
        added_otherwise=_same_people(zero_cells.for_difference),
    ),
    "MPRR": _marginal("log risk ratio of matched pairs", matched.mprr, matched.mprr_of_margins),
    "MPOR": _marginal("log odds ratio of matched pairs", matched.mpor, matched.mpor_of_margins),
    "MPORC": Measure(
        "conditional log odds ratio of matched pairs",
        "log ratio",
        _PAIRS,
        matched.mporc,
        _ZERO,
        added=zero_cells.for_discordant_ratio,
        undefined=_RATIO_ZERO,
    ),
    "MPPETO": Measure(
        "conditional log odds ratio of matched pairs by Peto's method",
        "log ratio",
        _PAIRS,
        matched.mppeto,
        _ZERO,
        added=zero_cells.for_discordant_peto,
        undefined=_NO_PAIR,
    ),
    "COR": Measure("correlation", "correlation", ("r", "n"), corr.cor),
    "ZCOR": Measure(
        "correlation, Fisher's z",
        "Fisher's z",
        ("r", "n"),
        corr.zcor,
        undefined="Fisher's z needs more than 3 people and a correlation inside -1 and 1",
    ),
    "PCOR": Measure(
        "partial correlation, m predictors",
        "correlation",
        ("r", "n", "m"),
        corr.pcor,
        other={("t", "n", "m"): corr.pcor_of_t},
        undefined="n must exceed the m predictors by 2 at least",
    ),
    "PR": Measure(
        "proportion", "proportion", ("x", "n"), single.pr, _ZERO, added=zero_cells.for_proportion
    ),
    "PLN": Measure(
        "log proportion",
        "log",
        ("x", "n"),
        single.pln,
        _ZERO,
        added=zero_cells.for_proportion,
        undefined=_RATIO_ZERO,
    ),
    "PLO": Measure(
        "logit of a proportion",
        "logit",
        ("x", "n"),
        single.plo,
        _ZERO,
        added=zero_cells.for_proportion,
        undefined=_RATIO_ZERO,
    ),
    "PAS": Measure("arcsine square root of a proportion", "arcsine", ("x", "n"), single.pas),
    "PFT": Measure(
        "Freeman-Tukey double arcsine of a proportion", "arcsine", ("x", "n"), single.pft
    ),
    "IRR": Measure(
        "log ratio of incidence rates",
        "log ratio",
        _RATES,
        rates.irr,
        _ZERO,
        added=zero_cells.for_rate_ratio,
        undefined=_RATIO_ZERO,
    ),
    "IRD": Measure(
        "difference of incidence rates",
        "difference",
        _RATES,
        rates.ird,
        _ZERO,
        added=zero_cells.for_rate_difference,
    ),
    "IRSD": Measure(
        "difference of square-root incidence rates", "square root of a rate", _RATES, rates.irsd
    ),
    "MN": Measure("mean", "mean", ("m", "sd", "n"), single.mn),
    "MNLN": Measure(
        "log mean", "log", ("m", "sd", "n"), single.mnln, undefined="the mean must be above 0"
    ),
    "ARAW": Measure(
        "Cronbach's alpha, m items",
        "reliability",
        ("alpha", "m", "n"),
        single.araw,
        undefined="n must be above 2",
    ),
    "GEN": Measure("effect as given", "as given", ("yi", "vi"), single.gen),
}

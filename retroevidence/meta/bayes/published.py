"""Published distributions of tau² in Cochrane meta-analyses, by outcome and comparison.

Turner et al. 2012 (doi 10.1093/ije/dys041) and 2015 (doi 10.1002/sim.6381, Table IV) give mean and
SD of log(tau²) for log odds ratios, Rhodes et al. 2015 (doi 10.1016/j.jclinepi.2014.08.012)
location and scale of log(tau²) for standardised mean differences. Each number stands in two
transcriptions of the papers, read and compared one by one:

- Bayesian Priors WebTech.csv in https://github.com/mcguinlu/hetpriorapp (Bristol, with help of the
  papers' authors), all three papers;
- for both papers of 2015, R/table.tau2.empirical.prior_function.R in
  https://github.com/LoukiaSpin/rnmamod; for 2012, R/mtc.hy.prior.R of gemtc,
  https://rdrr.io/cran/gemtc/src/R/mtc.hy.prior.R.

The models behind the tables add an effect of the outcome, the comparison and the medical area, so
the difference between two columns is the same in every row. Where the transcriptions disagree, the
number that fits this is taken: 2015 obstetric, drug vs control -3.52 (not -3.25); withdrawals, drug
vs drug -3.23 (not -3.32); Rhodes general -3.44 (not -3.34), physical health, drug vs drug -3.44
(not -3.34), mental health in respiratory disease, drug vs control, scale 2.17 (not 2.50), resource
use in cancer, drug vs control 0.01 (not -0.01), and two signs. Where both agree, their number
stands, even if it does not fit; there are three of these, marked below.
"""

from __future__ import annotations

Pair = tuple[float, float]
Table = dict[str, dict[str, Pair]]

THREE = ("drug vs control", "drug vs drug", "non-drug vs any")
FIVE = (*THREE[:2], "non-drug vs control", "non-drug vs drug", "non-drug vs non-drug")


def _table(general: Pair, comparisons: tuple[str, ...], rows: dict[str, tuple[Pair, ...]]) -> Table:
    """Name the columns; the general setting has one, for any comparison."""
    named = {name: dict(zip(comparisons, row, strict=True)) for name, row in rows.items()}
    return {"general": {"any": general}} | named


#: Log odds ratios, Turner et al. 2012: mean and SD of log(tau²).
TURNER2012 = _table((-2.56, 1.74), THREE, {
    "all-cause mortality": ((-4.06, 1.45), (-4.27, 1.48), (-3.93, 1.51)),
    "semi-objective": ((-3.02, 1.85), (-3.23, 1.88), (-2.89, 1.91)),
    "subjective": ((-2.13, 1.58), (-2.34, 1.62), (-2.01, 1.64)),
})  # fmt: skip

#: Log odds ratios, Turner et al. 2015: mean and SD of log(tau²).
TURNER2015 = _table((-2.56, 1.74), FIVE, {
    "all-cause mortality":
        ((-3.95, 1.34), (-4.18, 1.41), (-4.17, 1.55), (-2.92, 1.02), (-3.50, 1.26)),
    "obstetric":
        ((-3.52, 1.74), (-3.75, 1.79), (-3.74, 1.91), (-2.49, 1.50), (-3.08, 1.68)),
    "major morbidity":
        ((-3.71, 1.74), (-3.95, 1.79), (-3.93, 1.91), (-2.68, 1.51), (-3.27, 1.68)),
    "resource use":
        ((-2.34, 1.74), (-2.58, 1.79), (-2.56, 1.91), (-1.31, 1.50), (-1.90, 1.68)),
    "surgical success":
        ((-2.14, 1.74), (-2.37, 1.79), (-2.36, 1.91), (-1.11, 1.50), (-1.69, 1.68)),
    "withdrawals":
        ((-2.99, 1.74), (-3.23, 1.79), (-3.21, 1.91), (-1.96, 1.51), (-2.55, 1.68)),
    "structure":
        ((-2.71, 1.74), (-2.94, 1.79), (-2.93, 1.92), (-1.67, 1.51), (-2.26, 1.68)),
    "physical health":
        ((-2.29, 1.53), (-2.53, 1.58), (-2.51, 1.72), (-1.26, 1.25), (-1.85, 1.46)),
    "adverse events":
        ((-1.87, 1.52), (-2.10, 1.58), (-2.10, 1.71), (-0.84, 1.24), (-1.43, 1.45)),
    "infection":
        ((-2.49, 1.52), (-2.73, 1.58), (-2.71, 1.71), (-1.46, 1.24), (-2.05, 1.45)),
    "symptoms":
        ((-2.06, 1.51), (-2.29, 1.58), (-2.28, 1.71), (-1.03, 1.24), (-1.61, 1.45)),
    "pain":
        ((-1.83, 1.52), (-2.06, 1.58), (-2.05, 1.71), (-0.80, 1.25), (-1.38, 1.45)),
    "quality of life":
        ((-2.54, 1.54), (-2.78, 1.60), (-2.77, 1.73), (-1.51, 1.27), (-2.10, 1.47)),
    "mental health":
        ((-2.12, 1.53), (-2.35, 1.60), (-2.34, 1.72), (-1.09, 1.27), (-1.67, 1.47)),
    "biological markers":
        ((-1.77, 1.52), (-2.00, 1.58), (-1.99, 1.71), (-0.74, 1.24), (-1.33, 1.45)),
    "subjective":
        ((-2.70, 1.52), (-2.93, 1.58), (-2.92, 1.71), (-1.67, 1.25), (-2.26, 1.45)),
})  # fmt: skip

#: Standardised mean differences, Rhodes et al. 2015: location and scale of log(tau²), t with five
#: degrees of freedom.
RHODES2015 = _table((-3.44, 2.59), THREE, {
    "obstetric": ((-4.13, 2.34), (-4.40, 2.31), (-3.99, 2.11)),
    "resource use": ((-2.55, 2.73), (-2.83, 2.70), (-2.41, 2.57)),
    "structure": ((-2.43, 2.50), (-2.70, 2.46), (-2.29, 2.32)),
    "physical health": ((-3.16, 2.50), (-3.44, 2.44), (-3.02, 2.27)),
    "symptoms": ((-3.00, 2.50), (-3.27, 2.47), (-2.86, 2.33)),
    "mental health": ((-2.99, 2.16), (-3.27, 2.14), (-3.85, 1.93)),  # -2.85 would fit
    "biological markers": ((-3.41, 2.83), (-3.68, 2.78), (-3.27, 2.66)),
    "subjective": ((-2.76, 2.58), (-3.03, 2.59), (-2.62, 2.41)),
    "obstetric in cancer": ((-1.57, 2.45), (-1.85, 2.41), (-1.43, 2.24)),
    "resource use in cancer": ((0.01, 2.83), (-0.27, 2.79), (0.15, 2.68)),
    "structure in cancer": ((-0.13, 2.61), (-0.14, 2.56), (0.27, 2.45)),  # +0.13 would fit
    "physical health in cancer": ((-0.60, 2.61), (-0.88, 2.55), (-0.46, 2.40)),
    "symptoms in cancer": ((-0.44, 2.60), (-0.71, 2.57), (-0.30, 2.46)),
    "mental health in cancer": ((-0.43, 2.28), (-0.71, 2.25), (-0.29, 2.08)),
    "biological markers in cancer": ((-0.85, 2.93), (-1.13, 2.87), (-0.71, 2.78)),
    "subjective in cancer": ((-0.20, 2.68), (-0.48, 2.68), (-0.06, 2.53)),
    "obstetric in respiratory disease":
        ((-6.03, 2.36), (-6.31, 2.31), (-5.89, 2.21)),  # 2.11 would fit
    "resource use in respiratory disease": ((-4.46, 2.74), (-4.73, 2.70), (-4.32, 2.57)),
    "structure in respiratory disease": ((-4.33, 2.51), (-4.61, 2.46), (-4.19, 2.33)),
    "physical health in respiratory disease": ((-5.07, 2.51), (-5.34, 2.45), (-4.93, 2.28)),
    "symptoms in respiratory disease": ((-4.90, 2.50), (-5.18, 2.47), (-4.76, 2.33)),
    "mental health in respiratory disease": ((-4.90, 2.17), (-5.17, 2.14), (-4.76, 1.94)),
    "biological markers in respiratory disease": ((-5.31, 2.83), (-5.59, 2.78), (-5.17, 2.66)),
    "subjective in respiratory disease": ((-4.66, 2.59), (-4.94, 2.59), (-4.52, 2.41)),
})  # fmt: skip

# Outcomes for which Rhodes et al. have one distribution together.
_TOGETHER = {
    "physical health": ("adverse events", "pain", "quality of life"),
    "symptoms": ("infection",),
}
for _area in ("", " in cancer", " in respiratory disease"):
    for _first, _others in _TOGETHER.items():
        RHODES2015 |= {other + _area: RHODES2015[_first + _area] for other in _others}

"""Effect sizes and their sampling variances from the numbers a study reports.

Sign rule: group 1 is the experimental arm (or the later time point), group 2 the comparator; a
difference is 1 minus 2 and a ratio is 1 over 2. Every function is elementwise and broadcasts, so
one call serves one study or a whole table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from retroevidence.errors import EffectError, unknown_name

Floats = NDArray[np.float64]
Effect = tuple[Floats, Floats]

ZERO_CELL_RULES = ("only0", "all", "none")


@dataclass(frozen=True)
class Measure:
    """What a measure is: its name in words, its scale, the numbers it needs.

    `ignores` lists numbers of its family that it takes without using them, so that one call can
    serve several measures.

    Examples
    --------
    >>> MEASURES["ROM"].name, MEASURES["ROM"].scale
    ('log ratio of means', 'log ratio')
    """

    name: str
    scale: str
    arguments: tuple[str, ...]
    compute: Callable[..., Effect]
    options: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()


def hedges_j(df: Any) -> Any:
    r"""Small-sample factor that makes a standardised mean difference unbiased, exactly.

    :math:`J(m) = \Gamma(m/2) / (\sqrt{m/2}\,\Gamma((m-1)/2))` (Hedges 1981,
    doi 10.3102/10769986006002107). The usual :math:`1 - 3/(4m-1)` approximates it.

    Parameters
    ----------
    df : array_like
        Degrees of freedom of the standard deviation; NaN for one or fewer, where the mean of the
        standardised difference does not exist.

    Returns
    -------
    numpy.ndarray or numpy.float64
        The factor, below 1.

    Examples
    --------
    >>> round(float(hedges_j(10)), 6)
    0.922746
    """
    m = np.asarray(df, dtype=float)
    m = np.where(m > 1, m, np.nan)
    return np.exp(gammaln(m / 2) - gammaln((m - 1) / 2) - np.log(m / 2) / 2)


# Two independent groups: means and standard deviations ------------------------------------------


def _md(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Difference of means; variance sd1²/n1 + sd2²/n2, which allows unequal variances."""
    return m1 - m2, sd1**2 / n1 + sd2**2 / n2


def _smd(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Hedges' g: J(n1+n2-2) (m1-m2)/pooled SD; variance 1/n1 + 1/n2 + g²/(2(n1+n2)).

    Hedges (1981), doi 10.3102/10769986006002107; large-sample variance as in Hedges & Olkin (1985).
    """
    df = n1 + n2 - 2
    pooled = np.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / df)
    g = hedges_j(df) * (m1 - m2) / pooled
    return g, 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2))


def _smdh(m1: Floats, sd1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Difference in units of sqrt((sd1²+sd2²)/2), for unequal variances.

    Bonett (2008), doi 10.1037/1082-989X.13.2.99, with J(n1+n2-2).
    """
    var1, var2 = sd1**2, sd2**2
    average = (var1 + var2) / 2
    g = hedges_j(n1 + n2 - 2) * (m1 - m2) / np.sqrt(average)
    spread = var1**2 / (n1 - 1) + var2**2 / (n2 - 1)
    vi = g**2 * spread / (8 * average**2) + (var1 / (n1 - 1) + var2 / (n2 - 1)) / average
    return g, vi


def _smd1(m1: Floats, n1: Floats, m2: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Glass's delta: J(n2-1) (m1-m2)/sd2; variance 1/n1 + 1/n2 + g²/(2 n2).

    Glass (1976), doi 10.3102/0013189X005010003; Hedges (1981).
    """
    g = hedges_j(n2 - 1) * (m1 - m2) / sd2
    return g, 1 / n1 + 1 / n2 + g**2 / (2 * n2)


def _rom(
    m1: Floats,
    sd1: Floats,
    n1: Floats,
    m2: Floats,
    sd2: Floats,
    n2: Floats,
    correct: bool = True,
) -> Effect:
    """Log ratio of means: ln(m1/m2); variance c1 + c2 with c = sd²/(n m²).

    Hedges, Gurevitch & Curtis (1999), doi 10.2307/177062; bias term (c1 - c2)/2 from
    Lajeunesse (2015), doi 10.1890/14-2402.1.
    """
    c1, c2 = sd1**2 / (n1 * m1**2), sd2**2 / (n2 * m2**2)
    return _log_ratio(m1, m2) + (c1 - c2) / 2 * correct, c1 + c2


def _vr(sd1: Floats, n1: Floats, sd2: Floats, n2: Floats) -> Effect:
    """Log ratio of SDs: ln(sd1/sd2) + 1/(2(n1-1)) - 1/(2(n2-1)).

    Nakagawa et al. (2015), doi 10.1111/2041-210X.12309.
    """
    u1, u2 = 1 / (2 * (n1 - 1)), 1 / (2 * (n2 - 1))
    return np.log(sd1 / sd2) + u1 - u2, u1 + u2


def _cvr(
    m1: Floats,
    sd1: Floats,
    n1: Floats,
    m2: Floats,
    sd2: Floats,
    n2: Floats,
    correct: bool = True,
) -> Effect:
    """Log ratio of coefficients of variation, means and SDs taken as independent.

    Nakagawa et al. (2015), doi 10.1111/2041-210X.12309; the bias term of the means from
    Senior et al. (2020), doi 10.1002/jrsm.1423.
    """
    log_sd, var_sd = _vr(sd1, n1, sd2, n2)
    log_mean, var_mean = _rom(m1, sd1, n1, m2, sd2, n2, correct)
    return log_sd - log_mean, var_sd + var_mean


# The same people twice --------------------------------------------------------------------------


def _mc(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Mean change m1 - m2; variance (sd1² + sd2² - 2 r sd1 sd2)/n."""
    return m1 - m2, _change_variance(sd1, sd2, r) / n


def _smcc(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Change in units of the SD of the changes: J(n-1) (m1-m2)/SDd; variance 1/n + g²/(2n).

    Gibbons, Hedeker & Davis (1993), doi 10.3102/10769986018003271; NaN where r makes SDd zero.
    """
    spread = _change_variance(sd1, sd2, r)
    g = hedges_j(n - 1) * (m1 - m2) / np.sqrt(np.where(spread > 0, spread, np.nan))
    return g, 1 / n + g**2 / (2 * n)


def _smcr(m1: Floats, m2: Floats, sd1: Floats, n: Floats, r: Floats) -> Effect:
    """Change in units of sd1: J(n-1) (m1-m2)/sd1; variance 2(1-r)/n + g²/(2n).

    Becker (1988), doi 10.1111/j.2044-8317.1988.tb00901.x.
    """
    g = hedges_j(n - 1) * (m1 - m2) / sd1
    return g, 2 * (1 - r) / n + g**2 / (2 * n)


def _smcrh(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Change in units of sd1, unequal variances: variance SDd²/(sd1²(n-1)) + g²/(2(n-1)).

    Bonett (2008), doi 10.1037/1082-989X.13.2.99.
    """
    g = hedges_j(n - 1) * (m1 - m2) / sd1
    vi = _change_variance(sd1, sd2, r) / (sd1**2 * (n - 1)) + g**2 / (2 * (n - 1))
    return g, vi


def _smcrp(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """Change in units of sqrt((sd1²+sd2²)/2), with 2(n-1)/(1+r²) degrees of freedom.

    Variance 2(1-r)/n + g²(1+r²)/(4n). Cousineau (2020), doi 10.20982/tqmp.16.4.p418.
    """
    g = _smcrp_estimate(m1, m2, sd1, sd2, n, r)
    return g, 2 * (1 - r) / n + g**2 * (1 + r**2) / (4 * n)


def _smcrph(m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats) -> Effect:
    """As SMCRP, with a variance that allows unequal variances.

    Bonett (2008), doi 10.1037/1082-989X.13.2.99, two dependent means.
    """
    g = _smcrp_estimate(m1, m2, sd1, sd2, n, r)
    average = (sd1**2 + sd2**2) / 2
    fourth = sd1**4 + sd2**4 + 2 * r**2 * sd1**2 * sd2**2
    vi = _change_variance(sd1, sd2, r) / (average * (n - 1)) + g**2 * fourth / (
        8 * average**2 * (n - 1)
    )
    return g, vi


def _romc(
    m1: Floats,
    m2: Floats,
    sd1: Floats,
    sd2: Floats,
    n: Floats,
    r: Floats,
    correct: bool = True,
) -> Effect:
    """Log ratio of two dependent means: ln(m1/m2); the covariance -2 r c1 c2 joins the variance.

    Lajeunesse (2011), doi 10.1890/11-0423.1; bias term as for ROM. Here sd1 belongs to m1.
    """
    c1, c2 = sd1 / m1, sd2 / m2
    yi = _log_ratio(m1, m2) + (c1**2 - c2**2) / (2 * n) * correct
    return yi, (c1**2 + c2**2 - 2 * r * c1 * c2) / n


# Counts of events -------------------------------------------------------------------------------


def _or(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log odds ratio ln(ad/(bc)); variance 1/a + 1/b + 1/c + 1/d (Woolf 1955)."""
    a, b, c, d = _corrected(a, n1 - a, c, n2 - c, add, to, drop_double=True)
    return np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d


def _rr(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log risk ratio ln((a/n1)/(c/n2)); variance 1/a - 1/n1 + 1/c - 1/n2 (Katz et al. 1978)."""
    a, b, c, d = _corrected(a, n1 - a, c, n2 - c, add, to, drop_double=True)
    n1, n2 = a + b, c + d
    return np.log((a / n1) / (c / n2)), 1 / a - 1 / n1 + 1 / c - 1 / n2


def _rd(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Risk difference a/n1 - c/n2; variance p1 q1/n1 + p2 q2/n2. Double zeros carry information."""
    a, b, c, d = _corrected(a, n1 - a, c, n2 - c, add, to, drop_double=False)
    n1, n2 = a + b, c + d
    return a / n1 - c / n2, a * b / n1**3 + c * d / n2**3


def _peto(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Peto's log odds ratio (O - E)/V, V hypergeometric; variance 1/V (Yusuf et al. 1985).

    It needs no correction for a single zero, so "only0" adds nothing here.
    """
    rule = "none" if to == "only0" else to
    a, b, c, d = _corrected(a, n1 - a, c, n2 - c, add, rule, drop_double=True)
    n1, n2 = a + b, c + d
    total, events = n1 + n2, a + c
    v = n1 * n2 * events * (total - events) / (total**2 * (total - 1))
    return (a - n1 * events / total) / v, 1 / v


def _as(
    a: Floats, n1: Floats, c: Floats, n2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Difference of arcsine-transformed risks; variance 1/(4 n1) + 1/(4 n2).

    Rücker et al. (2009), doi 10.1002/sim.3511. Defined for every table, so "only0" adds nothing.
    """
    rule = "none" if to == "only0" else to
    a, b, c, d = _corrected(a, n1 - a, c, n2 - c, add, rule, drop_double=False)
    n1, n2 = a + b, c + d
    yi = np.arcsin(np.sqrt(a / n1)) - np.arcsin(np.sqrt(c / n2))
    return yi, 1 / (4 * n1) + 1 / (4 * n2)


# Correlations -----------------------------------------------------------------------------------


def _cor(r: Floats, n: Floats) -> Effect:
    """Correlation as it is; variance (1-r²)²/(n-1)."""
    return r, (1 - r**2) ** 2 / (n - 1)


def _zcor(r: Floats, n: Floats) -> Effect:
    """Fisher's z: artanh(r); variance 1/(n-3) (Fisher 1921). NaN for n up to 3 or |r| = 1."""
    inside = np.where(np.abs(r) < 1, r, np.nan)
    return np.arctanh(inside), 1 / np.where(n > 3, n - 3, np.nan)


# One group --------------------------------------------------------------------------------------


def _pr(x: Floats, n: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Proportion x/n; variance p(1-p)/n."""
    x, n = _corrected_single(x, n, add, to)
    p = x / n
    return p, p * (1 - p) / n


def _pln(x: Floats, n: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Log proportion; variance 1/x - 1/n."""
    x, n = _corrected_single(x, n, add, to)
    return np.log(x / n), 1 / x - 1 / n


def _plo(x: Floats, n: Floats, add: float = 0.5, to: str = "only0") -> Effect:
    """Logit of a proportion; variance 1/x + 1/(n-x)."""
    x, n = _corrected_single(x, n, add, to)
    return np.log(x / (n - x)), 1 / x + 1 / (n - x)


def _pas(x: Floats, n: Floats) -> Effect:
    """Arcsine square root of a proportion; variance 1/(4n)."""
    return np.arcsin(np.sqrt(x / n)), 1 / (4 * n)


def _pft(x: Floats, n: Floats) -> Effect:
    """Freeman-Tukey double arcsine, halved; variance 1/(4n+2).

    Freeman & Tukey (1950), doi 10.1214/aoms/1177729756. The back-transformation depends on n, and
    pooled values can mislead (Schwarzer et al. 2019, doi 10.1002/jrsm.1348).
    """
    yi = (np.arcsin(np.sqrt(x / (n + 1))) + np.arcsin(np.sqrt((x + 1) / (n + 1)))) / 2
    return yi, 1 / (4 * n + 2)


def _mn(m: Floats, sd: Floats, n: Floats) -> Effect:
    """Mean; variance sd²/n."""
    return m, sd**2 / n


def _mnln(m: Floats, sd: Floats, n: Floats) -> Effect:
    """Log mean; variance sd²/(n m²) by the delta method. NaN for means not above 0."""
    positive = np.where(m > 0, m, np.nan)
    return np.log(positive), sd**2 / (n * positive**2)


# Events over time at risk -----------------------------------------------------------------------


def _irr(
    x1: Floats, t1: Floats, x2: Floats, t2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Log ratio of incidence rates; variance 1/x1 + 1/x2."""
    x1, x2 = _corrected_rates(x1, x2, add, to, drop_double=True)
    return np.log((x1 / t1) / (x2 / t2)), 1 / x1 + 1 / x2


def _ird(
    x1: Floats, t1: Floats, x2: Floats, t2: Floats, add: float = 0.5, to: str = "only0"
) -> Effect:
    """Difference of incidence rates; variance x1/t1² + x2/t2²."""
    x1, x2 = _corrected_rates(x1, x2, add, to, drop_double=False)
    return x1 / t1 - x2 / t2, x1 / t1**2 + x2 / t2**2


# Shared parts -----------------------------------------------------------------------------------


def _log_ratio(m1: Floats, m2: Floats) -> Floats:
    """ln(m1/m2), NaN where the means are not on one side of zero."""
    ratio = m1 / np.where(m2 == 0, np.nan, m2)
    return np.log(np.where(ratio > 0, ratio, np.nan))


def _change_variance(sd1: Floats, sd2: Floats, r: Floats) -> Floats:
    return sd1**2 + sd2**2 - 2 * r * sd1 * sd2


def _smcrp_estimate(
    m1: Floats, m2: Floats, sd1: Floats, sd2: Floats, n: Floats, r: Floats
) -> Floats:
    factor = hedges_j(2 * (n - 1) / (1 + r**2))
    estimate: Floats = factor * (m1 - m2) / np.sqrt((sd1**2 + sd2**2) / 2)
    return estimate


def _corrected(
    a: Floats, b: Floats, c: Floats, d: Floats, add: float, to: str, *, drop_double: bool
) -> tuple[Floats, Floats, Floats, Floats]:
    """Add `add` to the cells of the tables that need it; a double zero says nothing on a ratio."""
    zero = (a == 0) | (b == 0) | (c == 0) | (d == 0)
    plus = _amount(zero, add, to)
    double = ((a == 0) & (c == 0)) | ((b == 0) & (d == 0))
    if drop_double and to == "only0":
        plus = np.where(double, np.nan, plus)
    return a + plus, b + plus, c + plus, d + plus


def _corrected_single(x: Floats, n: Floats, add: float, to: str) -> tuple[Floats, Floats]:
    plus = _amount((x == 0) | (x == n), add, to)
    return x + plus, n + 2 * plus


def _corrected_rates(
    x1: Floats, x2: Floats, add: float, to: str, *, drop_double: bool
) -> tuple[Floats, Floats]:
    plus = _amount((x1 == 0) | (x2 == 0), add, to)
    if drop_double and to == "only0":
        plus = np.where((x1 == 0) & (x2 == 0), np.nan, plus)
    return x1 + plus, x2 + plus


def _amount(zero: NDArray[np.bool_], add: float, to: str) -> Floats:
    if to not in ZERO_CELL_RULES:
        raise EffectError(
            f"to={to!r} is not a rule for zero cells; choose one of: {', '.join(ZERO_CELL_RULES)}."
        )
    everywhere = np.full(zero.shape, float(add))
    if to == "none":
        return 0 * everywhere
    return everywhere if to == "all" else np.where(zero, everywhere, 0.0)


_TWO_MEANS = ("m1", "sd1", "n1", "m2", "sd2", "n2")
_PAIRED = ("m1", "m2", "sd1", "sd2", "n", "r")
_TABLE = ("a", "n1", "c", "n2")
_RATES = ("x1", "t1", "x2", "t2")
_ZERO = ("add", "to")

MEASURES: dict[str, Measure] = {
    "MD": Measure("mean difference", "difference", _TWO_MEANS, _md),
    "SMD": Measure("standardised mean difference (Hedges' g)", "SD units", _TWO_MEANS, _smd),
    "SMDH": Measure(
        "standardised mean difference, unequal variances", "SD units", _TWO_MEANS, _smdh
    ),
    "SMD1": Measure(
        "mean difference in SDs of group 2 (Glass' delta)",
        "SD units",
        ("m1", "n1", "m2", "sd2", "n2"),
        _smd1,
        ignores=("sd1",),
    ),
    "ROM": Measure("log ratio of means", "log ratio", _TWO_MEANS, _rom, ("correct",)),
    "VR": Measure(
        "log ratio of standard deviations",
        "log ratio",
        ("sd1", "n1", "sd2", "n2"),
        _vr,
        ignores=("m1", "m2"),
    ),
    "CVR": Measure(
        "log ratio of coefficients of variation", "log ratio", _TWO_MEANS, _cvr, ("correct",)
    ),
    "MC": Measure("mean change", "difference", _PAIRED, _mc),
    "SMCC": Measure("mean change in SDs of the changes", "SD units", _PAIRED, _smcc),
    "SMCR": Measure(
        "mean change in units of sd1",
        "SD units",
        ("m1", "m2", "sd1", "n", "r"),
        _smcr,
        ignores=("sd2",),
    ),
    "SMCRH": Measure("mean change in units of sd1, unequal variances", "SD units", _PAIRED, _smcrh),
    "SMCRP": Measure("mean change in units of the average SD", "SD units", _PAIRED, _smcrp),
    "SMCRPH": Measure(
        "mean change in units of the average SD, unequal variances", "SD units", _PAIRED, _smcrph
    ),
    "ROMC": Measure("log ratio of dependent means", "log ratio", _PAIRED, _romc, ("correct",)),
    "OR": Measure("log odds ratio", "log ratio", _TABLE, _or, _ZERO),
    "RR": Measure("log risk ratio", "log ratio", _TABLE, _rr, _ZERO),
    "RD": Measure("risk difference", "difference", _TABLE, _rd, _ZERO),
    "PETO": Measure("log odds ratio by Peto's method", "log ratio", _TABLE, _peto, _ZERO),
    "AS": Measure("difference of arcsine square-root risks", "arcsine", _TABLE, _as, _ZERO),
    "COR": Measure("correlation", "correlation", ("r", "n"), _cor),
    "ZCOR": Measure("correlation, Fisher's z", "Fisher's z", ("r", "n"), _zcor),
    "PR": Measure("proportion", "proportion", ("x", "n"), _pr, _ZERO),
    "PLN": Measure("log proportion", "log", ("x", "n"), _pln, _ZERO),
    "PLO": Measure("logit of a proportion", "logit", ("x", "n"), _plo, _ZERO),
    "PAS": Measure("arcsine square root of a proportion", "arcsine", ("x", "n"), _pas),
    "PFT": Measure("Freeman-Tukey double arcsine of a proportion", "arcsine", ("x", "n"), _pft),
    "IRR": Measure("log ratio of incidence rates", "log ratio", _RATES, _irr, _ZERO),
    "IRD": Measure("difference of incidence rates", "difference", _RATES, _ird, _ZERO),
    "MN": Measure("mean", "mean", ("m", "sd", "n"), _mn),
    "MNLN": Measure("log mean", "log", ("m", "sd", "n"), _mnln),
}


def effect_size(measure: str, **numbers: Any) -> Effect:
    """Effect sizes `yi` and sampling variances `vi` from what studies report.

    Parameters
    ----------
    measure : str
        A key of ``MEASURES``: MD SMD SMDH SMD1 ROM VR CVR, MC SMCC SMCR SMCRH SMCRP SMCRPH ROMC,
        OR RR RD PETO AS, COR ZCOR, PR PLN PLO PAS PFT, IRR IRD, MN MNLN.
        ``MEASURES[measure].arguments`` lists what each one needs.
    **numbers : array_like
        Two groups: means `m1` `m2`, standard deviations `sd1` `sd2`, group sizes `n1` `n2`. The
        same `n` people twice: `m1` (later), `m2`, `sd1`, `sd2` and their correlation `r`; SMCR and
        SMCRH divide by `sd1`, so give there the SD to standardise by, usually the SD before.
        Events `a` of `n1` and `c` of `n2`, or `x` of `n`; events `x1` `x2` in times at risk `t1`
        `t2`. Options: `correct` (True) for the bias correction of ROM, ROMC and CVR; `add` (0.5)
        and `to` ("only0", "all", "none") for zero cells.

    Returns
    -------
    yi, vi : numpy.ndarray
        Same shape as the broadcast input; numpy scalars for scalar input. Experimental minus
        comparator (1 minus 2); ratios and proportions on the log or transformed scale. NaN where
        an input is NaN, where both arms have no events (or only events) and the measure is a
        ratio (except with ``to="all"``), and where the measure is undefined (the log ratio of means
        of opposite sign).

    Raises
    ------
    UnknownNameError
        If `measure` is unknown.
    EffectError
        If a number is missing, unknown or impossible: an SD not above 0, fewer than two people
        behind an SD, a correlation outside [-1, 1], more events than people.

    Notes
    -----
    Zero cells: `add` goes only to the tables that have one. RD and AS stay defined for double
    zeros; PETO and AS need no correction. SMD uses the exact factor J of :func:`hedges_j`.

    Examples
    --------
    >>> yi, vi = effect_size("SMD", m1=[10, 12], sd1=2, n1=10, m2=[9, 9], sd2=2, n2=10)
    >>> yi.round(4).tolist(), vi.round(4).tolist()
    ([0.4788, 1.4365], [0.2057, 0.2516])
    >>> effect_size("OR", a=[0, 0], n1=20, c=[3, 0], n2=20)[0].round(4).tolist()
    [-2.1041, nan]
    """
    if measure not in MEASURES:
        raise unknown_name("measure", measure, MEASURES)
    spec = MEASURES[measure]
    options = {name: numbers.pop(name) for name in spec.options if name in numbers}
    values = {name: number for name, number in numbers.items() if name not in spec.ignores}
    missing = [name for name in spec.arguments if name not in values]
    unknown = [name for name in values if name not in spec.arguments]
    if missing or unknown:
        wrong = [f"{' '.join(missing)} missing"] if missing else []
        wrong += [f"{' '.join(unknown)} not understood"] if unknown else []
        extra = f", and takes {' '.join(spec.options)}" if spec.options else ""
        raise EffectError(
            f"effect_size({measure!r}): {', '.join(wrong)}; "
            f"{measure} needs {' '.join(spec.arguments)}{extra}."
        )
    arrays = [_as_floats(measure, name, values[name]) for name in spec.arguments]
    try:
        arrays = list(np.broadcast_arrays(*arrays))
    except ValueError as err:
        shapes = ", ".join(
            f"{name} {array.shape}" for name, array in zip(spec.arguments, arrays, strict=True)
        )
        raise EffectError(
            f"effect_size({measure!r}): the shapes do not fit together ({shapes}); "
            "give one value per study, or one for all."
        ) from err
    given = dict(zip(spec.arguments, arrays, strict=True))
    _check(measure, given)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        yi, vi = spec.compute(*arrays, **options)
    usable = np.isfinite(yi) & np.isfinite(vi)
    return np.where(usable, yi, np.nan)[()], np.where(usable, vi, np.nan)[()]


def _as_floats(measure: str, name: str, value: Any) -> Floats:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as err:
        raise EffectError(
            f"effect_size({measure!r}): {name} holds something that is not a number "
            f"({err}); convert it first, with NaN where it is missing."
        ) from err


def _check(measure: str, given: dict[str, Floats]) -> None:
    """Raise on the first impossible number, naming it and its position."""
    needs_sd = "sd" in given or "sd1" in given or "sd2" in given
    rules: list[tuple[str, NDArray[np.bool_], str]] = []
    for name, value in given.items():
        if name in ("sd", "sd1", "sd2"):
            rules.append((name, value <= 0, "a standard deviation must be above 0"))
        elif name in ("n", "n1", "n2"):
            least = 2 if needs_sd or "r" in given else 1
            rules.append((name, value < least, f"{measure} needs at least {least} people"))
        elif name == "r":
            rules.append((name, np.abs(value) > 1, "a correlation lies between -1 and 1"))
        elif name in ("t1", "t2"):
            rules.append((name, value <= 0, "a time at risk must be above 0"))
        elif name in ("a", "c", "x", "x1", "x2"):
            rules.append((name, value < 0, "a count cannot be negative"))
        rules.append((name, np.isinf(value), "a number must be finite"))
    for events, people in (("a", "n1"), ("c", "n2"), ("x", "n")):
        if events in given and people in given:
            rules.append(
                (events, given[events] > given[people], f"it cannot exceed {people}, the people")
            )
    for name, broken, rule in rules:
        if np.any(broken):
            where = int(np.argmax(np.ravel(broken)))
            value = np.ravel(given[name])[where]
            place = f" at position {where}" if np.size(broken) > 1 else ""
            raise EffectError(f"effect_size({measure!r}): {name} is {value:g}{place}; {rule}.")

"""The published priors of tau: printed medians and ranges, the pattern of the tables, names."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from retroevidence.errors import UnknownNameError
from retroevidence.meta.bayes.grid import integrate
from retroevidence.meta.bayes.priors import log_t, rhodes2015, turner2012, turner2015
from retroevidence.meta.bayes.published import FIVE, RHODES2015, THREE, TURNER2012, TURNER2015

# Columns Median, 2.5% Quantile and 97.5% Quantile (of tau²) of Bayesian Priors WebTech.csv in
# github.com/mcguinlu/hetpriorapp, commit 00bf48e6.
PRINTED_2012 = [
    ("general", "any", 0.08, 0.003, 2.34),
    ("all-cause mortality", "drug vs control", 0.017, 0.001, 0.30),
    ("semi-objective", "drug vs control", 0.049, 0.001, 1.83),
    ("subjective", "drug vs control", 0.12, 0.005, 2.63),
    ("all-cause mortality", "drug vs drug", 0.014, 0.0008, 0.25),
    ("semi-objective", "drug vs drug", 0.04, 0.001, 1.58),
    ("subjective", "drug vs drug", 0.096, 0.004, 2.31),
    ("all-cause mortality", "non-drug vs any", 0.02, 0.001, 0.38),
    ("semi-objective", "non-drug vs any", 0.056, 0.001, 2.35),
    ("subjective", "non-drug vs any", 0.13, 0.005, 3.33),
]
# The same columns, drug vs control, areas other than cancer and respiratory disease.
PRINTED_RHODES = {
    "general": (0.03, 0.0002, 5.16),
    "obstetric": (0.016, 0.0002, 1.86),
    "resource use": (0.078, 0.0004, 21.3),
    "structure": (0.086, 0.0007, 12.9),
    "physical health": (0.04, 0.0003, 7.02),
    "symptoms": (0.048, 0.0004, 7.56),
    "mental health": (0.049, 0.0007, 4.70),
    "biological markers": (0.033, 0.0001, 10.2),
    "subjective": (0.063, 0.0003, 12.0),
}
# Uses of single entries by others, read where they are named.
USED = [
    # github.com/arthur-albuquerque/tpa_bivariate, analysis.md: mean and SD of log(tau), doubled.
    (turner2015("all-cause mortality"), "log-normal of tau² (-3.95, 1.34)"),
    (turner2015("adverse events"), "log-normal of tau² (-1.87, 1.52)"),
    # github.com/LoukiaSpin/Quantifying-Robustness-in-Meta-analysis, R/Figures_Reproducible.R
    (turner2015("symptoms"), "log-normal of tau² (-2.06, 1.51)"),
    # loukiaspin.github.io/rnmamod/reference/heter_density_plot.html
    (turner2015("pain"), "log-normal of tau² (-1.83, 1.52)"),
    (turner2015(), "log-normal of tau² (-2.56, 1.74)"),
    (rhodes2015(), "log-t5 of tau² (-3.44, 2.59)"),
    (rhodes2015("pain in cancer"), "log-t5 of tau² (-0.6, 2.61)"),
    # Vignette of multinma, informative heterogeneity prior: log_normal(-3.93, 1.51)
    (turner2012("all-cause mortality", "non-drug vs any"), "log-normal of tau² (-3.93, 1.51)"),
    # A JAGS model of a network meta-analysis: dt(-4.52, 1/(2.41*2.41), 5) for log(tau²)
    (
        rhodes2015("subjective in respiratory disease", "non-drug vs any"),
        "log-t5 of tau² (-4.52, 2.41)",
    ),
]


def quantile(prior, share):
    return integrate(prior.log_density, 0.0).quantile(share) ** 2


def agrees(value, printed):
    """Within the rounding of mean and SD to 2 decimals (1.5 % at 1.96 SD) and of what is printed.

    Printed numbers have one to three digits: half a unit of the last one.
    """
    digits = len(f"{printed:.10f}".rstrip("0").split(".")[1])
    return abs(value - printed) <= 0.015 * printed + 0.5001 * 10.0**-digits


@pytest.mark.parametrize(("setting", "comparison", "median", "low", "high"), PRINTED_2012)
def test_turner_2012_has_the_printed_medians_and_ranges(setting, comparison, median, low, high):
    prior = turner2012(setting, comparison)
    assert agrees(quantile(prior, 0.5), median)
    assert agrees(quantile(prior, 0.025), low)
    assert agrees(quantile(prior, 0.975), high)


@pytest.mark.parametrize("setting", PRINTED_RHODES)
def test_rhodes_2015_has_the_printed_medians_and_wider_ranges(setting):
    """Printed ranges fit the second number as an SD, within what a fitted curve misses.

    As the scale, which is how it is used, it doubles the upper limit at least.
    """
    median, low, high = PRINTED_RHODES[setting]
    prior = rhodes2015(setting)
    # Medians and limits are of samples, to which the curve was fitted.
    assert quantile(prior, 0.5) == pytest.approx(median, rel=0.07)
    assert quantile(prior, 0.975) > 2 * high
    assert quantile(prior, 0.025) < low / 2
    location, scale = RHODES2015[setting]["any" if setting == "general" else "drug vs control"]
    as_sd = log_t(location, scale * math.sqrt(3 / 5))
    assert quantile(as_sd, 0.975) == pytest.approx(high, rel=0.25)


def test_medians_and_tails_are_those_of_the_numbers():
    for name, row in TURNER2015.items():
        for comparison, (mean, sd) in row.items():
            prior = turner2015(name, comparison)
            expected = math.exp(mean + sd * stats.norm.ppf(0.9))
            assert quantile(prior, 0.9) == pytest.approx(expected, rel=1e-8)
    for name, row in RHODES2015.items():
        for comparison, (location, scale) in row.items():
            prior = rhodes2015(name, comparison)
            expected = math.exp(location + scale * stats.t.ppf(0.9, 5))
            assert quantile(prior, 0.9) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("prior", "shown"), USED, ids=[shown for _, shown in USED])
def test_entries_others_have_used(prior, shown):
    assert repr(prior) == shown


def columns(table):
    """Return means and SDs, one row per outcome, one column per comparison."""
    rows = [list(row.values()) for name, row in table.items() if name != "general"]
    return np.moveaxis(np.array(rows), 2, 0)


@pytest.mark.parametrize("table", [TURNER2012, TURNER2015], ids=["2012", "2015"])
def test_columns_of_turner_differ_by_a_constant(table):
    """Their model adds an effect of the comparison, so a slip of the pen would stand out."""
    means, sds = columns(table)
    for one, other in itertools.combinations(range(means.shape[1]), 2):
        # Two numbers rounded to 0.01 on both sides of the difference.
        assert np.ptp(means[:, one] - means[:, other]) <= 0.02 + 1e-12
        # Variances nearly add up too, mortality apart: rounding leaves up to 4 * 1.8 * 0.01, and an
        # SD wrong by 0.05 would move its variance by 0.15.
        assert np.ptp(sds[1:, one] ** 2 - sds[1:, other] ** 2) <= 0.1


def test_columns_and_areas_of_rhodes_differ_by_a_constant_but_for_three_numbers():
    def parts(suffix):
        return np.array(
            [
                list(row.values())
                for name, row in RHODES2015.items()
                if name != "general" and (name.endswith(suffix) if suffix else " in " not in name)
            ]
        )

    other, cancer, lungs = (parts(end) for end in ("", " in cancer", " in respiratory disease"))
    odd = set()
    for which, block in (("other", other), ("cancer", cancer), ("respiratory disease", lungs)):
        locations = block[:, :, 0]
        fitted = np.median(locations - locations[:, [1]], axis=0) + locations[:, [1]]
        odd |= {(which, *map(int, place)) for place in np.argwhere(abs(locations - fitted) > 0.03)}
    # Rows in the order of the table: mental health is the sixth, structure the third.
    assert odd == {("other", 5, 2), ("cancer", 2, 0)}
    spreads = abs(lungs[:, :, 1] - other[:, :, 1])
    assert np.argwhere(spreads > 0.05).tolist() == [[0, 2]]


def test_every_setting_of_the_papers_is_there():
    assert len(TURNER2012) == 1 + 3
    assert len(TURNER2015) == 1 + 16
    # Twelve outcomes in eight groups, in three areas.
    assert len(RHODES2015) == 1 + 3 * 12
    for table, comparisons in ((TURNER2012, THREE), (TURNER2015, FIVE), (RHODES2015, THREE)):
        assert table["general"].keys() == {"any"}
        assert all(tuple(row) == comparisons for name, row in table.items() if name != "general")
    assert repr(rhodes2015("infection", "drug vs drug")) == repr(
        rhodes2015("symptoms", "drug vs drug")
    )


def test_a_drug_against_control_is_taken_when_nothing_is_said():
    for prior, name in ((turner2012, "subjective"), (turner2015, "pain"), (rhodes2015, "pain")):
        assert repr(prior(name)) == repr(prior(name, "drug vs control"))
        assert repr(prior()) == repr(prior("general", "any"))


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"2015 is called 'pains'; did you mean 'pain'.*wit"):
        turner2015("pains")
    with pytest.raises(UnknownNameError, match=r"Rhodes.*Known: adverse events,.*in cancer"):
        rhodes2015("knees")
    with pytest.raises(UnknownNameError, match="semi-objective"):
        turner2012("objective")
    with pytest.raises(UnknownNameError, match=r"comparison of Turner.*'pain'.*non-drug vs drug"):
        turner2015("pain", "drug vs non-drug")
    with pytest.raises(UnknownNameError, match=r"'general' is called 'drug vs drug'.*Known: any"):
        rhodes2015("general", "drug vs drug")

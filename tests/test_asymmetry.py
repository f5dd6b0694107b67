"""Tests of asymmetry and regressions to a study without error, against metafor and base R."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

from retroevidence.effects.measures import effect_size
from retroevidence.errors import PoolError, RetroEvidenceError
from retroevidence.meta import bias
from retroevidence.meta.bias.asymmetry import EXACT_LINE
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
BIAS = json.loads((GOLDEN / "bias.json").read_text(encoding="utf-8"))
ACCEPTANCE = json.loads((GOLDEN / "bias_acceptance.json").read_text(encoding="utf-8"))
HACK = ACCEPTANCE["hackshaw1998"]

# Closed forms and roots that both sides refine to about 1e-13; p-values lose a little more.
RTOL = 1e-8


def read(name):
    return pd.read_csv(GOLDEN / f"bias_{name}.csv")


def close(value, wanted, rel=RTOL):
    assert value == pytest.approx(wanted, rel=rel, abs=0)


HACKSHAW = pool(read("hackshaw1998"), test="z")
BANGERT = pool(read("bangertdrowns2004"), test="z")
LEE = read("lee2004")
LEE_OR = pool(
    **dict(zip(("yi", "vi"), effect_size("OR", a=LEE.ai, n1=LEE.n1i, c=LEE.ci, n2=LEE.n2i),
               strict=True))
)  # fmt: skip


def lopsided(k=12, seed=1, unit=1.0):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.3, k)
    y = 0.2 + 0.8 * np.sqrt(v) + rng.normal(0, np.sqrt(v))
    return y * unit, v * unit**2


def test_acceptance_of_hackshaw1998():
    mixed, line = bias.egger(HACKSHAW), bias.egger(HACKSHAW, "ols")
    close(mixed.statistic, HACK["egger_rma"]["z"])
    close(mixed.p_value, HACK["egger_rma"]["p"])
    close(mixed.limit, HACK["egger_rma"]["limit"])
    close(line.statistic, HACK["egger_lm"]["t"])
    close(line.p_value, HACK["egger_lm"]["p"])
    close(line.limit, HACK["egger_lm"]["limit"])
    assert line.df == HACK["egger_lm"]["df"]
    rank = bias.begg(HACKSHAW)
    close(rank.estimate, HACK["begg"]["tau"])
    close(rank.p_value, HACK["begg"]["p"])
    both = bias.pet_peese(HACKSHAW)
    close(both.pet.estimate, HACK["egger_lm"]["limit"])
    close(both.peese.estimate, HACK["peese_lm"]["limit"])
    close(both.peese.slope_p_value, HACK["peese_lm"]["p"])
    close(stdtrit(line.df, 1 - both.peese.slope_p_value / 2), HACK["peese_lm"]["t"])
    # PET's intercept is nearly 0, so PET is the conditional estimate.
    assert both.chosen == "PET"
    assert both.estimate == both.pet.estimate


@pytest.mark.parametrize("model", ["mixed", "ols"])
@pytest.mark.parametrize("predictor", ["sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv"])
def test_egger_with_every_predictor(model, predictor):
    wanted = BIAS["egger"][model][predictor]
    found = bias.egger(BANGERT, model, predictor)
    close(found.statistic, wanted["statistic"])
    close(found.p_value, wanted["p"])
    if wanted["limit"]:
        close(found.limit, wanted["limit"])
        close(found.limit_ci.low, wanted["limit_ci"][0])
        close(found.limit_ci.high, wanted["limit_ci"][1])
    else:
        assert math.isnan(found.limit)


def test_egger_keeps_the_test_and_the_moderators_of_the_result():
    knapp_hartung = bias.egger(pool(read("hackshaw1998")))
    close(knapp_hartung.statistic, BIAS["egger"]["hackshaw_knha"]["statistic"])
    close(knapp_hartung.p_value, BIAS["egger"]["hackshaw_knha"]["p"])
    data = pd.read_csv(GOLDEN / "raudenbush1985.csv")
    found = bias.egger(pool(data, mods="~ weeks", test="z"))
    close(found.statistic, BIAS["egger"]["raudenbush_weeks"]["statistic"])
    close(found.p_value, BIAS["egger"]["raudenbush_weeks"]["p"])
    assert math.isnan(found.limit)


@pytest.mark.parametrize("name", ["harbord", "peters", "macaskill", "pustejovsky_rodgers"])
def test_count_tests_equal_lm_of_base_r(name):
    data = read("egger2001").rename(columns={"ai": "a", "n1i": "n1", "ci": "c", "n2i": "n2"})
    data["yi"], data["vi"] = effect_size(
        "OR", **{c: data[c].to_numpy() for c in ("a", "n1", "c", "n2")}
    )
    found = getattr(bias, name)(pool(data))
    wanted = BIAS["tables"][name]
    close(found.estimate, wanted["slope"])
    close(found.se, wanted["se"])
    close(found.p_value, wanted["p"])
    if name != "macaskill":
        close(found.limit, wanted["limit"])


def test_begg_with_ties_says_so_and_agrees():
    # metafor falls back to the same tie-corrected normal approximation.
    tied = bias.begg(BANGERT)
    close(tied.estimate, BIAS["begg"]["bangertdrowns2004"]["tau"])
    close(tied.p_value, BIAS["begg"]["bangertdrowns2004"]["p"])
    assert any("tied" in note for note in tied.notes)
    assert not any("tied" in note for note in bias.begg(HACKSHAW).notes)


def test_begg_is_exact_by_enumeration():
    from itertools import permutations

    y, v = lopsided(6)
    found = bias.begg(pool(yi=y, vi=v))
    pairs = 15
    taus = []
    for order in permutations(range(6)):
        less = sum(order[i] < order[j] for i in range(6) for j in range(i + 1, 6))
        taus.append((2 * less - pairs) / pairs)
    share = np.mean(np.abs(taus) >= abs(found.estimate) - 1e-12)
    close(found.p_value, share)


def test_pet_peese_random_is_the_mixed_model():
    both = bias.pet_peese(HACKSHAW, "random")
    close(both.pet.estimate, HACK["egger_rma"]["limit"])
    assert both.pet.slope == pytest.approx(bias.egger(HACKSHAW).estimate, rel=1e-12)


def test_pet_peese_chooses_peese_when_there_is_an_effect():
    v = np.linspace(0.01, 0.2, 12)
    y = 1.0 + 0.05 * np.tile([1, -1], 6) * np.sqrt(v)
    both = bias.pet_peese(pool(yi=y, vi=v))
    assert both.chosen == "PEESE"
    assert both.ci == both.peese.ci


def test_henmi_copas_of_lee2004_and_bcg():
    found, wanted = bias.henmi_copas(LEE_OR), BIAS["henmi_copas"]["lee2004"]
    close(found.estimate, wanted["beta"])
    close(found.se, wanted["se"])
    close(found.tau2, wanted["tau2"])
    # metafor integrates to about 1e-9 with a tight root.
    assert found.ci == pytest.approx((wanted["lb"], wanted["ub"]), rel=1e-7)
    # The acceptance numbers were made with the default root, good to 1e-6.
    loose = ACCEPTANCE["lee2004_henmi_copas"]
    assert found.ci == pytest.approx((loose["lb"], loose["ub"]), abs=1e-6)
    close(found.tau2, loose["tau2"])
    # Mean and standard error are closed forms; no root enters them.
    close(found.estimate, loose["beta"])
    close(found.se, loose["se"])


def test_henmi_copas_interval_and_p_value_are_the_same_test():
    found = bias.henmi_copas(LEE_OR)
    shifted = bias.henmi_copas(pool(yi=LEE_OR.fit.yi - found.ci.high, vi=LEE_OR.fit.vi))
    close(shifted.p_value, 0.05)


def test_henmi_copas_without_heterogeneity_keeps_its_level():
    # With tau² = 0 the mean is N(0, 1/W1): simulate the coverage of the pivot.
    rng = np.random.default_rng(5)
    v = np.array([0.02, 0.05, 0.05, 0.1, 0.2, 0.3])
    inside = 0
    for _ in range(100):
        ci = bias.henmi_copas(pool(yi=rng.normal(0, np.sqrt(v)), vi=v, method="DL")).ci
        inside += ci.low <= 0 <= ci.high
    # Allowing for tau² makes it cover more than 95 %; 3 standard errors of 100 draws are 7 %.
    assert inside / 100 >= 0.88


# 18 trials of mindfulness ("third wave") therapies: SMD and standard errors.
THIRD_WAVE = [
    (0.7091362, 0.2608202), (0.3548641, 0.1963624), (1.7911700, 0.3455692),
    (0.1824552, 0.1177874), (0.4218509, 0.1448128), (0.6300000, 0.1960000),
    (0.7248838, 0.2246641), (0.5286638, 0.2104609), (0.2840000, 0.1680000),
    (1.2750682, 0.3371997), (0.1036082, 0.1947275), (0.3883906, 0.2307689),
    (0.5407398, 0.2443133), (0.4261593, 0.2579379), (0.5153969, 0.3512737),
    (1.4797260, 0.3152817), (0.6125782, 0.2266834), (0.6000000, 0.2490000),
]  # fmt: skip


def test_limit_meta_analysis_by_its_identities():
    y, se = np.array(THIRD_WAVE).T
    pooled = pool(yi=y, vi=se**2)
    found = bias.limit_meta_analysis(pooled)
    # The adjusted mean is the generalised radial line read off at a standard error of tau...
    x = 1 / np.sqrt(se**2 + pooled.tau2)
    slope, intercept = np.polyfit(x, y * x, 1)
    close(found.estimate, slope + np.sqrt(pooled.tau2) * intercept)
    # ...and the slope of the ordinary radial plot of the studies' limits, which is what its
    # standard error belongs to.
    limit = found.limits["limit"].to_numpy()
    line = np.polyfit(1 / se, limit / se, 1)
    design = np.column_stack([np.ones_like(se), 1 / se])
    close(found.se, np.sqrt(np.linalg.inv(design.T @ design)[1, 1]))
    assert line[0] == pytest.approx(found.estimate, abs=3 * found.se)


def test_limit_meta_analysis_as_printed():
    # Harrer et al. (2021), Doing Meta-Analysis with R (doi 10.1201/9781003107347), print what
    # metasens answers for these trials, to four digits.
    y, se = np.array(THIRD_WAVE).T
    found = bias.limit_meta_analysis(pool(yi=y, vi=se**2))
    printed = (found.estimate, *found.ci, found.p_value, found.original, *found.original_ci)
    np.testing.assert_allclose(
        printed, [-0.0345, -0.3630, 0.2940, 0.8367, 0.5771, 0.3782, 0.7760], rtol=0, atol=5e-5
    )


def test_limit_meta_analysis_with_no_tau2_is_the_egger_limit():
    y, v = lopsided()
    pooled = pool(yi=y, vi=v, method="CE")
    # Without tau² both regress y/s on 1/s.
    close(bias.limit_meta_analysis(pooled).estimate, bias.egger(pooled, "ols").limit)


ALL = {
    "egger": bias.egger,
    "egger ols": lambda p: bias.egger(p, "ols"),
    "begg": bias.begg,
    "pet": bias.pet_peese,
    "pet random": lambda p: bias.pet_peese(p, "random"),
    "henmi": bias.henmi_copas,
    "limit": bias.limit_meta_analysis,
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("unit", [1e-3, 1e6])
def test_unit_of_the_outcome_changes_nothing(name, unit):
    one = ALL[name](pool(**dict(zip(("yi", "vi"), lopsided(), strict=True))))
    two = ALL[name](pool(**dict(zip(("yi", "vi"), lopsided(unit=unit), strict=True))))
    # Roots are refined to 1e-15 relative; the sums behind them round to about 1e-13.
    assert two.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert two.notes == one.notes


@pytest.mark.parametrize("name", ALL)
def test_order_and_index_and_missing_rows_change_nothing(name):
    y, v = lopsided()
    frame = pd.DataFrame({"yi": y, "vi": v}, index=[f"s{i}" for i in range(len(y))])
    mixed = frame.iloc[::-1].copy()
    mixed.loc["gone"] = [math.nan, 0.1]
    assert ALL[name](mixed).p_value == pytest.approx(ALL[name](frame).p_value, rel=1e-9)


@pytest.mark.parametrize("name", ["egger", "egger ols", "begg", "pet", "limit"])
def test_equal_precision_is_refused_in_words(name):
    with pytest.raises(PoolError, match="all studies have the same"):
        ALL[name](pool(yi=[0.1, 0.4, 0.3, 0.9], vi=[0.1] * 4))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("k", [1, 2])
def test_too_few_studies_are_refused_in_words(name, k):
    pooled = pool(yi=[0.1, 0.4][:k], vi=[0.1, 0.2][:k])
    if name == "henmi" and k == 2:
        assert ALL[name](pooled).ci.low < 0.2
        return
    with pytest.raises(PoolError, match="needs at least"):
        ALL[name](pooled)


@pytest.mark.parametrize("name", ["begg", "pet", "henmi", "limit"])
def test_moderators_are_refused_in_words(name):
    y, v = lopsided()
    with pytest.raises(PoolError, match="not defined with moderators"):
        ALL[name](pool(yi=y, vi=v, mods=np.arange(len(y))))


def test_identical_studies_have_no_test_and_say_so():
    pooled = pool(yi=[0.3] * 5, vi=[0.1, 0.2, 0.3, 0.4, 0.5])
    found = bias.egger(pooled, "ols")
    assert math.isnan(found.p_value)
    assert any("line exactly" in note for note in found.notes)
    assert math.isnan(bias.begg(pooled).p_value)


def test_a_study_with_nearly_all_the_weight():
    y, v = lopsided()
    v[0] = 1e-10
    found = bias.begg(pool(yi=y, vi=v, method="CE"))
    assert np.isfinite(found.p_value)
    assert np.isfinite(bias.henmi_copas(pool(yi=y, vi=v)).ci).all()


def test_small_numbers_and_unsuited_measures_are_named():
    y, v = lopsided(9)
    frame = pd.DataFrame({"yi": y, "vi": v, "measure": "SMD"})
    notes = bias.egger(frame).notes
    assert any("fewer than 10" in note for note in notes)
    assert any("pustejovsky_rodgers" in note for note in notes)
    assert not any(
        "pustejovsky" in n for n in bias.egger(frame.assign(n=50 - y), "ols", "ni").notes
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: bias.egger(p, "lm"), "no model is called 'lm'"),
        (lambda p: bias.egger(p, predictor="se"), "did you mean 'sei'"),
        (lambda p: bias.egger(p, predictor="ni"), "needs sample sizes"),
        (lambda p: bias.egger(p, predictor="ni", n=[1, 2]), "n has 2 values"),
        (lambda p: bias.harbord(p), "no column 'a'"),
        (
            lambda p: bias.harbord(p, a=[9] * 12, n1=[5] * 12, c=[1] * 12, n2=[5] * 12),
            "events must",
        ),
        (lambda p: bias.pet_peese(p, "ols"), "no model is called 'ols'"),
        (lambda p: bias.pet_peese(p, alpha=2), "alpha=2"),
        (lambda p: bias.pet_peese(p, alpha="2"), "alpha='2'"),
        (lambda p: bias.begg(3.0), "give a DataFrame"),
    ],
)
def test_errors_say_what_to_do(call, words):
    y, v = lopsided()
    with pytest.raises(RetroEvidenceError, match=words):
        call(pool(yi=y, vi=v))


@pytest.mark.parametrize("method", ["REML", "DL", "CE"])
def test_points_on_a_line_have_no_knapp_hartung_and_say_so(method):
    v = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3])
    y = 0.1 + 2 * np.sqrt(v)
    line = pool(yi=y, vi=v, method=method)
    assert EXACT_LINE in bias.egger(line).notes
    # z needs no residuals, and a line that misses a point has some.
    assert EXACT_LINE not in bias.egger(pool(yi=y, vi=v, method=method, test="z")).notes
    assert EXACT_LINE not in bias.egger(line, predictor="vi").notes
    assert EXACT_LINE in bias.pet_peese(line, "random").notes
    curve = pool(yi=0.1 + 2 * v, vi=v, method=method)
    assert EXACT_LINE in bias.pet_peese(curve, "random").notes
    exact = bias.pet_peese(curve)
    assert math.isnan(exact.peese.p_value)
    assert any("PEESE's points lie on the line" in note for note in exact.notes)


def test_results_show_themselves():
    for make in ALL.values():
        found = make(HACKSHAW)
        assert f"k = {found.k}" in repr(found)
        assert found._repr_html_().startswith("<div>")
        assert len(found.summary) == 1
        json.dumps(found.to_dict(), allow_nan=False)

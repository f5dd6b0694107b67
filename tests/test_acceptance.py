"""Published analyses against metafor 5.1-12 with tight tolerances (golden/README.md).

`WHERE` says which test answers which of the 27 acceptance cases, here and in the other files.
"""

import ast
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.effects.measures import effect_size
from retroevidence.meta.bias import selection_model
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))

# Both sides iterate to about 1e-13; 1e-8 leaves room for p-values as small as 1e-88, whose
# relative error grows with the exponent.
RTOL = 1e-8

FIELDS = {
    "beta": "estimate",
    "se": "se",
    "stat": "statistic",
    "p": "p_value",
    "lb": ("ci", "low"),
    "ub": ("ci", "high"),
    "tau2": "tau2",
    "se_tau2": "tau2_se",
    "I2": "i2",
    "H2": "h2",
    "Q": "q",
    "Qp": "q_p_value",
}


def assert_matches(pooled, golden):
    for theirs, ours in FIELDS.items():
        value = getattr(*[getattr(pooled, ours[0]), ours[1]]) if isinstance(ours, tuple) else None
        value = getattr(pooled, ours) if value is None else value
        wanted = golden[theirs]
        if wanted is None:
            assert np.isnan(value), theirs
        else:
            assert value == pytest.approx(wanted, rel=RTOL, abs=0), theirs
    assert pooled.k == golden["k"]
    # Of a mean without moderators metafor's QM is the test of the mean itself: z² or t².
    assert pooled.statistic**2 == pytest.approx(golden["QM"], rel=RTOL, abs=0)
    assert pooled.p_value == pytest.approx(golden["QMp"], rel=RTOL, abs=0)
    assert_predicts(pooled, golden)


def assert_predicts(pooled, golden):
    if not golden["pi"]:
        assert golden["pi_riley"] == []
        assert np.isnan(pooled.prediction.low)
        return
    np.testing.assert_allclose(pooled.prediction, golden["pi"], rtol=RTOL, atol=0)
    kinds = {"z": ["hts"], "t": ["hts"], "knha": ["hk-pr"], "adhoc": ["hts", "hk-pr"]}
    found = [pooled.prediction_interval(kind) for kind in kinds[pooled.test]]
    # The modified standard error is the larger of the usual and that of Knapp and Hartung.
    widest = max(found, key=lambda limits: limits.high - limits.low)
    np.testing.assert_allclose(widest, golden["pi_riley"], rtol=RTOL, atol=0)


def assert_regression(pooled, golden, *, skip=()):
    columns = {
        "beta": "estimate",
        "se": "se",
        "stat": "statistic",
        "p": "p_value",
        "lb": "ci_low",
        "ub": "ci_high",
    }
    for theirs, ours in columns.items():
        np.testing.assert_allclose(pooled.coefficients[ours], golden[theirs], rtol=RTOL, atol=0)
    whole = {"tau2": "tau2", "se_tau2": "tau2_se", "I2": "i2", "H2": "h2", "Q": "q"}
    whole |= {"Qp": "q_p_value", "QM": "qm", "QMp": "qm_p_value", "R2": "r2"}
    for theirs, ours in whole.items():
        if theirs not in skip:
            assert getattr(pooled, ours) == pytest.approx(golden[theirs], rel=RTOL, abs=0), theirs
    assert pooled.k == golden["k"]


@pytest.fixture(scope="module")
def bcg():
    given = pd.DataFrame(CASES["bcg_inputs"])
    yi, vi = effect_size(
        "RR",
        a=given["tpos"],
        n1=given["tpos"] + given["tneg"],
        c=given["cpos"],
        n2=given["cpos"] + given["cneg"],
    )
    return given.assign(yi=yi, vi=vi)


@pytest.mark.parametrize("case", list(CASES["bcg"]))
def test_bcg_every_estimator_and_test(bcg, case):
    golden = CASES["bcg"][case]
    method, test = case.split("_")
    pooled = pool(bcg, method="CE" if method == "EE" else method, test=test)
    assert_matches(pooled, golden)


def test_bcg_q_profile_intervals(bcg):
    golden = CASES["bcg_ci"]["QP"]
    pooled = pool(bcg)
    np.testing.assert_allclose((pooled.tau2, *pooled.tau2_ci), golden["tau2"], rtol=RTOL)
    np.testing.assert_allclose((pooled.i2, *pooled.i2_ci), golden["I2"], rtol=RTOL)
    np.testing.assert_allclose((pooled.h2, *pooled.h2_ci), golden["H2"], rtol=RTOL)


def test_bcg_intervals_beside_each_other(bcg):
    pooled = pool(bcg, method="HE")
    z, adhoc = CASES["bcg"]["HE_z"], CASES["bcg"]["HE_adhoc"]
    np.testing.assert_allclose(pooled.z_ci, (z["lb"], z["ub"]), rtol=RTOL)
    np.testing.assert_allclose(pooled.modified_ci, (adhoc["lb"], adhoc["ub"]), rtol=RTOL)


@pytest.mark.parametrize(
    ("case", "formula"),
    [
        ("ablat_z", "~ ablat"),
        ("ablat_knha", "~ ablat"),
        ("alloc_knha", "~ alloc"),
        ("ablat_year_knha", "~ ablat + year"),
    ],
)
def test_bcg_meta_regression(bcg, case, formula):
    golden = CASES["bcg_reg"][case]
    assert_regression(pool(bcg, mods=formula, test=case.split("_")[-1]), golden)


def test_array_and_formula_give_the_same_regression(bcg):
    golden = CASES["bcg_reg"]["ablat_year_knha"]
    assert_regression(pool(yi=bcg["yi"], vi=bcg["vi"], mods=bcg[["ablat", "year"]]), golden)
    assert_regression(
        pool(yi=bcg["yi"], vi=bcg["vi"], mods=bcg[["ablat", "year"]].to_numpy()), golden
    )


@pytest.mark.parametrize("method", list(CASES["viechtbauer2005_ex1"]["fits"]))
def test_viechtbauer2005(method):
    case = CASES["viechtbauer2005_ex1"]
    pooled = pool(pd.DataFrame(case["inputs"]), method=method, test="z")
    assert_matches(pooled, case["fits"][method])


def test_collins1985b_with_q_profile():
    data = pd.read_csv(GOLDEN / "collins1985b.csv")
    yi, vi = effect_size(
        "OR", a=data["pre.xti"], n1=data["pre.nti"], c=data["pre.xci"], n2=data["pre.nci"]
    )
    case = CASES["collins1985b"]
    for method in ("DL", "REML"):
        assert_matches(pool(yi=yi, vi=vi, method=method, test="z"), case[method])
    pooled = pool(yi=yi, vi=vi)
    np.testing.assert_allclose((pooled.tau2, *pooled.tau2_ci), case["QP"]["tau2"], rtol=RTOL)
    np.testing.assert_allclose((pooled.i2, *pooled.i2_ci), case["QP"]["I2"], rtol=RTOL)
    np.testing.assert_allclose((pooled.h2, *pooled.h2_ci), case["QP"]["H2"], rtol=RTOL)


def test_linde2005_with_its_double_zero_added_by_hand():
    data = pd.read_csv(GOLDEN / "linde2005.csv")
    counts = {"a": data["ai"], "n1": data["n1i"], "c": data["ci"], "n2": data["n2i"]}
    yi, vi = effect_size("RR", **counts)
    double = ((data["ai"] == 0) & (data["ci"] == 0)).to_numpy()
    assert np.isnan(yi[double]).all()
    everywhere = effect_size("RR", **counts, to="all")
    yi, vi = np.where(double, everywhere[0], yi), np.where(double, everywhere[1], vi)
    assert_matches(pool(yi=yi, vi=vi, test="z"), CASES["linde2005_RR"])


def test_normand1999_smd():
    data = pd.read_csv(GOLDEN / "normand1999.csv")
    case = CASES["normand1999"]
    yi, vi = effect_size("SMD", **two_means(data))
    assert_matches(pool(yi=yi, vi=vi, test="z"), case["REML"])
    assert_matches(pool(yi=yi, vi=vi), case["REML_knha"])


def test_raudenbush1985():
    data = pd.read_csv(GOLDEN / "raudenbush1985.csv")
    case = CASES["raudenbush1985"]
    assert_matches(pool(data, test="z"), case["REML"])
    assert_matches(pool(data), case["knha"])


def test_raudenbush1985_weeks_reaches_the_boundary():
    data = pd.read_csv(GOLDEN / "raudenbush1985.csv")
    # Weeks of contact beyond three count as three, as in the published analysis.
    data["weeks"] = data["weeks"].clip(upper=3)
    pooled = pool(data, mods="~ weeks", test="z")
    case = CASES["raudenbush1985"]["weeks"]
    assert_regression(pooled, case, skip=("tau2", "I2", "R2"))
    # The likelihood is highest at tau² = 0; metafor stops at 2e-15, where its steps end, which is
    # 1e-13 of the tau² without the moderator.
    assert pooled.tau2 == 0
    assert 0 <= case["tau2"] < 1e-14
    assert pooled.i2 == 0 == pytest.approx(case["I2"], abs=1e-10)
    assert pooled.r2 == 100 == pytest.approx(case["R2"], rel=1e-12)


@pytest.mark.parametrize("correct", [True, False])
def test_curtis1998_log_ratio_of_means(correct):
    data = pd.read_csv(GOLDEN / "curtis1998.csv")
    case = CASES["curtis1998_ROM"][f"correct_{str(correct).upper()}"]
    yi, vi = effect_size("ROM", **two_means(data), correct=correct)
    np.testing.assert_allclose(yi[:5], case["yi5"], rtol=RTOL)
    np.testing.assert_allclose(vi[:5], case["vi5"], rtol=RTOL)
    assert_matches(pool(yi=yi, vi=vi, test="z"), case)


def test_mcdaniel1994_correlations():
    data = pd.read_csv(GOLDEN / "mcdaniel1994.csv")
    yi, vi = effect_size("ZCOR", r=data["ri"], n=data["ni"])
    assert_matches(pool(yi=yi, vi=vi, test="z"), CASES["mcdaniel1994_ZCOR"])


def test_konstantopoulos2011_as_if_schools_were_independent():
    schools = pd.read_csv(GOLDEN / "dependent_konstantopoulos2011.csv")
    cases = json.loads((GOLDEN / "dependent_acceptance.json").read_text(encoding="utf-8"))
    pooled = pool(yi=schools["yi"], vi=schools["vi"], test="z")
    assert_matches(pooled, cases["konstantopoulos2011"]["uni_REML"])


@pytest.mark.parametrize(
    ("case", "options", "se", "loglik"),
    [
        # metafor's Hessian is numeric, where its optimiser stopped: 5e-7 and 5e-6 are seen. The
        # likelihood of steps is a closed form, and flat at its top.
        ("sel_step025", {}, 1e-5, 1e-9),
        ("sel_step4", {"steps": (0.05, 0.1, 0.5)}, 2e-5, 1e-8),
        # It integrates beta weights to about 3e-4 in the log likelihood, so its numeric Hessian is
        # good to a per cent.
        ("sel_beta", {"kind": "beta"}, 1e-2, 6e-4),
    ],
)
def test_hackshaw1998_errors_and_likelihoods_of_selection_models(case, options, se, loglik):
    cases = json.loads((GOLDEN / "bias_acceptance.json").read_text(encoding="utf-8"))
    golden = cases["hackshaw1998"][case]
    found = selection_model(pool(pd.read_csv(GOLDEN / "bias_hackshaw1998.csv")), **options)
    assert found.se == pytest.approx(golden["se"], rel=se)
    assert found.loglik == pytest.approx(golden["logLik"], abs=loglik)


def two_means(data):
    return {name.removesuffix("i"): data[name] for name in data if name[-1] == "i"}


# The 27 cases -----------------------------------------------------------------------------------

WHERE = {
    "A1 BCG, REML": "acceptance bcg_every_estimator_and_test",
    "A2 BCG, all estimators": "acceptance bcg_every_estimator_and_test",
    "A3 BCG, intervals for tau²": "tau2_intervals against_metafor",
    "A4 BCG, prediction intervals": (
        "prediction named_intervals_do_not_depend_on_the_test_of_the_fit"
    ),
    "A5 BCG, regression on latitude": "acceptance bcg_meta_regression",
    "A6 BCG, Mantel-Haenszel": "mantel_haenszel acceptance_of_bcg",
    "A6 BCG, Peto": "peto acceptance",
    "A7 BCG, influence": "sensitivity influence_matches_metafor_whatever_the_test",
    "A7 BCG, leave-one-out": "sensitivity leave_one_out_matches_metafor",
    "A7 BCG, cumulative": "sensitivity cumulative_by_year_matches_metafor",
    "A8 first eight of BCG, exact permutation": "permutation acceptance_of_the_first_eight_trials",
    "A9 BCG, every trial a cluster": "robust trials_of_their_own_cluster_match_metafor",
    "A10 Viechtbauer 2005, example 1": "acceptance viechtbauer2005",
    "A11 collins1985b, fits and Q-profile": "acceptance collins1985b_with_q_profile",
    "A11 collins1985b, profile likelihood": "tau2_intervals against_metafor",
    "A12 linde2005": "acceptance linde2005_with_its_double_zero_added_by_hand",
    "A13 normand1999, fits": "acceptance normand1999_smd",
    "A13 normand1999, measures": "measures two_groups_normand1999",
    "A14 raudenbush1985": "acceptance raudenbush1985",
    "A14 raudenbush1985, weeks": "acceptance raudenbush1985_weeks_reaches_the_boundary",
    "A15 morris2008": "measures same_people_twice_morris2008",
    "A16 curtis1998": "acceptance curtis1998_log_ratio_of_means",
    "A17 konstantopoulos2011": "multilevel schools_in_districts_match_metafor",
    "A17 konstantopoulos2011, CR1": "robust schools_cr1_as_metafor",
    "A17 konstantopoulos2011, independent": (
        "acceptance konstantopoulos2011_as_if_schools_were_independent"
    ),
    "A18 berkey1998": "multivariate two_outcomes_match_metafor",
    "A19 assink2016": "multilevel correlated_and_hierarchical_effects_match_metafor",
    "A20 hackshaw1998, asymmetry": "asymmetry acceptance_of_hackshaw1998",
    "A20 hackshaw1998, trim and fill": "trim_fill acceptance_of_hackshaw1998",
    "A20 hackshaw1998, fail-safe N": "fail_safe acceptance_of_hackshaw1998",
    "A21 hackshaw1998, selection": "selection acceptance_of_hackshaw1998",
    "A21 hackshaw1998, selection, errors": (
        "acceptance hackshaw1998_errors_and_likelihoods_of_selection_models"
    ),
    "A22 trim and fill, estimators apart": "trim_fill counts_sides_and_means",
    "A23 lee2004, Henmi-Copas": "asymmetry henmi_copas_of_lee2004_and_bcg",
    "A24 miller1978": "back freeman_tukey_against_miller_and_metafor",
    "A25 mcdaniel1994": "acceptance mcdaniel1994_correlations",
    "A26 quantiles": "recover mean_and_sd_from_quantiles",
    "A27 yusuf1985": "peto acceptance",
}


@pytest.mark.parametrize("case", list(WHERE))
def test_the_case_has_its_test(case):
    file, name = WHERE[case].split()
    source = (Path(__file__).parent / f"test_{file}.py").read_text(encoding="utf-8")
    functions = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert f"test_{name}" in functions, f"{case}: test_{file}.py has no test_{name}"


def test_all_27_cases_are_there():
    assert {case.split()[0] for case in WHERE} == {f"A{i}" for i in range(1, 28)}

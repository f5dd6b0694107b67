"""Back-transforms: inverses of the measures, pooled results, and Freeman-Tukey's warning."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retroevidence.effects.back import BackTransformed, back_transform
from retroevidence.effects.formulas import inverse as back
from retroevidence.effects.measures import MEASURES, effect_size
from retroevidence.errors import EffectError, UnknownNameError
from retroevidence.meta.pool import pool

GOLDEN = Path(__file__).parent / "golden"
# metafor 3.8-1 (measures.R) and 5.1-12 (acceptance.json).
TRANSF = json.loads((GOLDEN / "measures.json").read_text(encoding="utf-8"))["back"]
MILLER = json.loads((GOLDEN / "acceptance.json").read_text(encoding="utf-8"))["miller1978_PFT"]

# Closed forms on both sides, printed with 15 digits.
RTOL = 1e-12

POOLED = SimpleNamespace(
    estimate=-0.7145, ci=(-1.0669, -0.3622), prediction=(-1.8667, 0.4376), level=0.95, measure="RR"
)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("tanh", back.correlation_from_z),
        ("logit", back.proportion_from_logit),
        ("arcsine", back.proportion_from_arcsine),
    ],
)
def test_against_metafor(name, function):
    np.testing.assert_allclose(
        function(TRANSF[name]["yi"]), TRANSF[name]["value"], rtol=RTOL, atol=1e-16
    )


def test_freeman_tukey_against_miller_and_metafor():
    x, n = (np.array(MILLER["inputs"][name]) for name in ("x", "n"))
    np.testing.assert_allclose(
        back.proportion_from_freeman_tukey(MILLER["yi"], n), x / n, rtol=1e-10
    )
    one = json.loads((GOLDEN / "measures.json").read_text(encoding="utf-8"))["inputs"]["one"]
    # Near 0 and 1 the square root of a difference of nearly equal numbers halves the digits.
    np.testing.assert_allclose(
        back.proportion_from_freeman_tukey(TRANSF["PFT"]["yi"], one["n"]),
        TRANSF["PFT"]["p"],
        atol=1e-7,
    )
    harmonic = TRANSF["PFT_harmonic"]
    mean = back.harmonic_mean(harmonic["n"])
    np.testing.assert_allclose(
        back.proportion_from_freeman_tukey(harmonic["yi"], mean), harmonic["p"], rtol=1e-10
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportions_come_back(counts):
    x, n = counts
    numbers = {"x": x, "n": n}
    p = x / n
    assert back_transform(effect_size("PAS", **numbers)[0], measure="PAS") == pytest.approx(p)
    # The inverse of Freeman-Tukey loses half the digits near 0 and 1.
    assert back_transform(effect_size("PFT", **numbers)[0], measure="PFT", n=n) == pytest.approx(
        p, abs=1e-6
    )
    if 0 < x < n:
        assert back_transform(effect_size("PLN", **numbers)[0], measure="PLN") == pytest.approx(p)
        assert back_transform(effect_size("PLO", **numbers)[0], measure="PLO") == pytest.approx(p)


def test_ratios_and_percent():
    assert back_transform(np.log(1.28), measure="ROM") == pytest.approx(1.28, rel=RTOL)
    assert back_transform(np.log(1.28), measure="ROM", percent=True) == pytest.approx(28, rel=RTOL)
    assert back_transform([1e6], measure="OR")[0] == np.inf


def test_a_real_pooled_result():
    yi, vi = effect_size("OR", a=[4, 9, 12], n1=[20, 30, 41], c=[7, 14, 13], n2=[20, 31, 40])
    pooled = pool(pd.DataFrame({"yi": yi, "vi": vi, "measure": "OR"}))
    turned = back_transform(pooled, measure="OR")
    assert turned.estimate == pytest.approx(np.exp(pooled.estimate), rel=RTOL)
    assert turned.ci == pytest.approx(tuple(np.exp(pooled.ci)), rel=RTOL)
    assert turned.prediction == pytest.approx(tuple(np.exp(pooled.prediction)), rel=RTOL)
    assert turned.name == "odds ratio"
    assert not turned.notes


def test_a_result_shows_itself():
    turned = back_transform(POOLED)
    assert isinstance(turned, BackTransformed)
    assert "risk ratio   0.489  95% CI [0.344, 0.696]" in repr(turned)
    assert "<table>" in turned._repr_html_()
    assert turned.summary.loc[0, "prediction_high"] == pytest.approx(np.exp(0.4376), rel=RTOL)
    percent = back_transform(POOLED, percent=True)
    assert percent.estimate == pytest.approx(100 * np.expm1(-0.7145), rel=RTOL)
    assert percent.name == "risk ratio, change in percent"


def test_a_result_without_prediction():
    plain = SimpleNamespace(estimate=0.1, ci=(0.0, 0.2), measure="ZCOR")
    turned = back_transform(plain)
    assert np.isnan(turned.prediction.low)
    assert "new study" not in repr(turned)


def test_pooled_freeman_tukey_carries_its_warning():
    pooled = SimpleNamespace(estimate=0.6, ci=(0.5, 0.7), measure="PFT", level=0.95)
    turned = back_transform(pooled, n=[10, 17, 21, 6])
    assert "harmonic mean" in turned.notes[0]
    assert "Schwarzer" in repr(turned)
    wanted = back.proportion_from_freeman_tukey(0.6, back.harmonic_mean([10, 17, 21, 6]))
    assert turned.estimate == wanted
    with pytest.raises(EffectError, match="PFT needs n"):
        back_transform(pooled)


def test_tables_keep_their_index_and_mix_measures():
    table = pd.DataFrame(
        {"yi": [0.5, 0.5, np.nan], "vi": [0.04, 0.04, 1.0], "measure": ["OR", "MD", "ZCOR"]},
        index=["Ada", "Bo", "Cy"],
    )
    turned = back_transform(table)
    assert list(turned.index) == ["Ada", "Bo", "Cy"]
    # 1.959964 is the quantile of z.
    assert turned.loc["Ada"].tolist() == pytest.approx(
        np.exp([0.5, 0.5 - 0.2 * 1.959963984540054, 0.5 + 0.2 * 1.959963984540054]), rel=1e-12
    )
    assert turned.loc["Bo", "estimate"] == 0.5
    assert turned.loc["Cy"].isna().all()
    narrow = back_transform(table, level=0.5)
    assert narrow.loc["Bo", "ci_high"] < turned.loc["Bo", "ci_high"]


def test_a_series_keeps_its_index():
    turned = back_transform(pd.Series([0.0, np.nan], index=["Ada", "Bo"]), measure="OR")
    assert turned.index.tolist() == ["Ada", "Bo"]
    assert turned["Ada"] == 1
    nullable = back_transform(pd.Series([0, None], dtype="Int64"), measure="OR")
    assert np.isnan(nullable[1])


def test_summaries_turn_every_limit():
    table = pd.DataFrame(
        {"estimate": [0.0], "ci_low": [-1.0], "ci_high": [1.0], "pi_low": [-2.0], "pi_high": [2.0]}
    )
    turned = back_transform(table, measure="PLO")
    assert list(turned) == ["estimate", "ci_low", "ci_high", "prediction_low", "prediction_high"]
    assert turned.loc[0, "prediction_low"] == pytest.approx(1 / (1 + np.exp(2)), rel=RTOL)


def test_every_measure_has_a_way_or_says_why_not():
    for measure in MEASURES:
        if measure in ("AS", "IRSD"):
            with pytest.raises(EffectError, match="without the r"):
                back_transform(0.1, measure=measure)
        else:
            n = 20 if measure == "PFT" else None
            assert np.isfinite(back_transform(0.1, measure=measure, n=n))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: back_transform(0.1), "give measure"),
        (lambda: back_transform(0.1, measure="XX"), "no measure is called 'XX'"),
        (lambda: back_transform(0.1, measure="MD", percent=True), "MD is no ratio"),
        (lambda: back_transform(pd.DataFrame({"x": [1]}), measure="MD"), "the table needs columns"),
        (lambda: back_transform(0.1, measure="PFT"), "PFT needs n"),
        (lambda: back_transform(0.1, measure="OR", level=95), "write 0.95"),
        (lambda: back.harmonic_mean([3, 0]), "n is 0"),
        (lambda: back.harmonic_mean([]), "n is empty"),
        (lambda: back_transform(["a"], measure="OR"), "what holds something that is not a number"),
        (lambda: back_transform({"yi": [1]}, measure="OR"), "what holds something that is not"),
        (
            lambda: back_transform(pd.DataFrame({"yi": ["a"], "vi": [1]}), measure="OR"),
            "column 'yi' holds something that is not a number",
        ),
        (
            lambda: back_transform(pd.DataFrame({"yi": [1.0], "vi": [-1.0]}), measure="OR"),
            "vi is -1; it must be at least 0",
        ),
        (lambda: back_transform([0.1, 0.2], measure="PFT", n=[9, 9, 9]), "do not fit together"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((EffectError, UnknownNameError), match=message):
        call()

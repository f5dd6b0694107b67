"""Figures: nothing overlaps, nothing is cut off, and the same figure gives the same bytes."""

from __future__ import annotations

import math
import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from retroevidence.claims.check import Checked, check
from retroevidence.claims.multiverse import multiverse
from retroevidence.effects.measures import MEASURES
from retroevidence.errors import RetroEvidenceError
from retroevidence.meta.bayes.pool import pool_bayes
from retroevidence.meta.bayes.priors import half_normal
from retroevidence.meta.bias.trim_fill import trim_fill
from retroevidence.meta.censored.pool import pool_censored
from retroevidence.meta.counts.pool import pool_counts
from retroevidence.meta.dependent.multilevel import pool_multilevel
from retroevidence.meta.pool import pool
from retroevidence.meta.subgroups import subgroups
from retroevidence.report import names
from retroevidence.report.figures import directions, draw, forest, funnel, save
from retroevidence.report.forest import forest_size
from retroevidence.report.funnel import funnel_blank
from retroevidence.report.models import model_notes
from retroevidence.report.names import row_labels, study_label
from retroevidence.report.scales import scale_of
from retroevidence.report.style import blank, text_width

NAN = math.nan
KEYS = ["alghadir2019", "chen2021", "kajale_nd", "joshi2019", "anon_cairo45_nd", "kim2016cp"]


def pooled(yi, vi, *, measure="SMD", keys=None, **columns):
    """Pool effects that carry study keys, as the claims do."""
    k = len(yi)
    frame = pd.DataFrame({"study_id": keys or [f"author{2000 + i}" for i in range(k)]})
    frame["yi"], frame["vi"], frame["measure"] = yi, vi, measure
    frame["n_experimental"], frame["n_comparator"] = 15.0, 16.0
    return pool(frame.assign(**columns))


def claim(**changes):
    """Return a claims row with the fields a figure reads."""
    row = {
        "claim_id": "pain",
        "section": "Knee",
        "statement": "People who add backward walking to usual care end with less pain",
        "measure": "SMD",
        "claimed_direction": "lower",
        "claimed_low": None,
        "claimed_high": None,
        "unit": "SMD",
        "kind": "effect",
        "smallest": 0.37,
    }
    return row | changes


def checked(result=None, **changes):
    """Return a checked claim around a pooled result."""
    fields = {
        "claim": claim(),
        "verdict": "leans supported",
        "reason": "estimate below zero",
        "certainty": "low",
        "certainty_reasons": ("starts high",),
        "rung": "effects",
        "pooled": result,
        "effects": pd.DataFrame() if result is None else result.studies,
    }
    return Checked(**(fields | changes))


def signs(**changes):
    """Return a claim with nothing but directions and p-values."""
    frame = pd.DataFrame(
        {
            "study_id": ["grasso1998", "winter1989", "kim2001", "kim2001", "xuyue_nd", "lee2013"],
            "comparison": ["g", "w", "kim2001:fast", "kim2001:slow", "x", "l"],
            "measure": "ROMC",
            "n_experimental": [6, 10, 20, 20, NAN, 9],
            "n_comparator": [6, 10, 20, 20, NAN, 9],
            "direction": [1, 1, -1, 0, 1, NAN],
            "p_value": [0.01, 0.05, 0.05, NAN, NAN, NAN],
            "p_op": ["=", "<", ">", "", "", ""],
            "rung": ["p-values"] * 3 + ["directions"] * 2 + ["none"],
        }
    )
    rungs = pd.DataFrame({"rung": ["directions"], "reading": ["3 on the claim's side"]})
    return checked(
        rung="directions",
        effects=frame,
        rungs=rungs,
        claim=claim(claimed_direction="higher", measure="ROMC"),
        **changes,
    )


RNG = np.random.default_rng(7)
FORTY = pooled(RNG.normal(0.3, 0.4, 40), RNG.uniform(0.01, 0.4, 40))
LONG = "portable gas analyser on a treadmill at a self-selected speed with a slope of 5 per cent"
CASES = {
    "six": checked(pooled([-0.9, -0.3, -0.6, -5.0, 0.1, -0.4], [0.1, 0.08, 0.12, 0.3, 0.05, 0.2],
                          keys=KEYS)),
    "one": checked(pooled([-0.9], [0.1], keys=KEYS[:1])),
    "two": checked(pooled([-0.9, 0.7], [0.1, 0.05], keys=KEYS[:2])),
    "forty": FORTY,
    "ratio": pooled([-1.0, 0.4, -0.2], [2.0, 0.01, 0.3], measure="RR"),
    "huge": pooled([0.1, 0.2, -50.0], [0.01, 0.01, 900.0], measure="MD", unit="kg"),
    "long": checked(
        pooled([0.27, 0.31, 0.4], [0.001, 0.004, 0.02], measure="ROMC",
               keys=["hooper2004", "lee2013", "lee2013"], instrument=["", LONG, "METs"]),
        claim=claim(kind="range", claimed_low=20.0, claimed_high=40.0, unit="%", measure="ROMC",
                    claimed_direction="higher", smallest=None),
    ),
    "better": checked(pooled([0.9, 0.3], [0.1, 0.08]), claim=claim(claimed_direction="better")),
}  # fmt: skip


def texts(figure, dpi=100):
    """Draw a figure and return each text with the box it takes, in pixels."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip()
    ]


ROWS = pooled([-0.9, -0.3, -0.6, 0.2], [0.1, 0.08, 0.12, 0.1]).studies
COUNTS = pd.DataFrame({"a": [1, 2, 4], "n1": [20, 30, 25], "c": [3, 5, 6], "n2": [20, 30, 26]})
OTHERS = {
    "bayes": pool_bayes(ROWS, tau_prior=half_normal(0.5)),
    "multilevel": pool_multilevel(
        pd.concat([ROWS, ROWS.assign(yi=ROWS["yi"] + 0.1)], ignore_index=True), cluster="study_id"
    ),
    "counts": pool_counts(COUNTS, measure="OR", method="MH"),
    "tiny": pooled([0.0011, 0.0019, -0.0004], [1e-8, 4e-8, 2e-8], measure="MD"),
}
LENGTHY = "supervised walking backward on an inclined treadmill at a self-selected speed"


def words(figure):
    return {text for text, _ in texts(figure)}


def make(case):
    return forest(case, ax=blank(forest_size(case)))


FIGURES = [
    *(pytest.param(lambda case=c: make(case), id=f"forest-{name}") for name, c in CASES.items()),
    pytest.param(
        lambda: forest(
            CASES["one"],
            experimental=LENGTHY,
            ax=blank(forest_size(CASES["one"], experimental=LENGTHY)),
        ),
        id="forest-lengthy",
    ),
    *(pytest.param(lambda case=c: make(case), id=f"forest-{name}") for name, c in OTHERS.items()),
    pytest.param(lambda: draw(signs())["directions"], id="directions"),
    pytest.param(lambda: funnel(FORTY, ax=funnel_blank()), id="funnel"),
]


@pytest.mark.parametrize("dpi", [72, 100, 200])
@pytest.mark.parametrize("figure", FIGURES)
def test_texts_stay_on_the_page_and_apart(figure, dpi):
    root = figure().get_figure(root=True)
    found = texts(root, dpi)
    for i, (text, box) in enumerate(found):
        # Letters are rounded to whole pixels, so one pixel over the edge is no text cut off.
        assert box.x0 > -1, text
        assert box.y0 > -1, text
        assert box.x1 < root.bbox.x1 + 1, text
        assert box.y1 < root.bbox.y1 + 1, text
        for other, beside in found[:i]:
            # Boxes hold room for accents: neighbours in a column may touch by two pixels.
            apart = (
                box.x1 <= beside.x0 + 1
                or beside.x1 <= box.x0 + 1
                or box.y1 <= beside.y0 + 2
                or beside.y1 <= box.y0 + 2
            )
            assert apart, f"{text!r} over {other!r}"


@pytest.mark.parametrize("figure", FIGURES)
def test_same_figure_same_bytes(figure, tmp_path):
    first = [path.read_bytes() for path in save(figure(), tmp_path / "a")]
    second = [path.read_bytes() for path in save(figure(), tmp_path / "b")]
    assert first == second


def test_every_study_is_named_in_the_svg(tmp_path):
    svg, _ = save(make(CASES["six"]), tmp_path / "six")
    text = svg.read_text("utf-8")
    for label in ("Alghadir 2019", "Kajale (year not shown)", "Anon. cairo45 (year not shown)"):
        assert f">{label}<" in text
    assert "Date" not in text
    assert "95% prediction interval" in text


def test_numbers_of_the_figure_are_those_of_the_result():
    case = CASES["six"]
    result = case.pooled
    scale = scale_of("SMD")
    seen = words(make(case).get_figure(root=True))
    assert f"{scale.text(result.estimate)} {scale.interval_text(*result.ci)}" in seen
    assert {f"{weight:.1f}%" for weight in result.studies["weight"]} <= seen
    assert any(text.startswith(f"Heterogeneity: τ² = {result.tau2:.3f}") for text in seen)


def test_squares_have_areas_in_proportion_above_their_smallest_side():
    ax = make(CASES["six"])
    squares = [line for line in ax.lines if line.get_marker() == "s"]
    sides = np.array([line.get_markersize() for line in squares])
    weights = CASES["six"].pooled.studies["weight"].to_numpy()
    np.testing.assert_allclose(sides, 2.5 + 6.0 * np.sqrt(weights / weights.max()), rtol=1e-12)


def test_huge_interval_is_clipped_with_an_arrow_and_the_rest_stays_readable():
    ax = make(CASES["huge"])
    low, _ = ax.get_xlim()
    result = CASES["huge"].studies
    assert low > result["yi"].min() - 1.96 * math.sqrt(900)
    assert low < result["yi"].min()
    arrows = [line for line in ax.lines if line.get_marker() == "<"]
    assert any(line.get_xdata()[0] == low for line in arrows)


def test_one_study_pools_nothing():
    ax = make(CASES["one"])
    seen = words(ax.get_figure(root=True))
    assert not any(text.startswith("Pooled") for text in seen)
    assert "One result: nothing is pooled and heterogeneity cannot be estimated." in seen
    assert not ax.patches


def test_bounded_result_is_a_line_without_a_square():
    studies = pd.DataFrame(
        {
            "study_id": ["alghadir2019", "chen2021", "kajale_nd"],
            "yi": [-0.9, -0.3, NAN],
            "vi": [0.1, 0.1, NAN],
            "lower": [NAN, NAN, -0.6],
            "upper": [NAN, NAN, NAN],
            "weight": [50.0, 50.0, NAN],
        }
    )
    base = pooled([-0.9, -0.3], [0.1, 0.1])
    names = "estimate ci prediction level measure method test tau2 i2 q q_df q_p_value p_value qm"
    result = SimpleNamespace(studies=studies, **{n: getattr(base, n) for n in names.split()})
    ax = make(result)
    assert len([line for line in ax.lines if line.get_marker() == "s"]) == 2
    assert "above −0.60" in words(ax.get_figure(root=True))


def test_meta_regression_has_no_diamond_and_no_funnel():
    result = pool(yi=[0.1, 0.4, 0.9, 1.2], vi=[0.02] * 4, mods=[[1.0], [2.0], [3.0], [4.0]])
    ax = make(result)
    assert not ax.patches
    seen = words(ax.get_figure(root=True))
    assert not any(text.startswith("Pooled") for text in seen)
    assert any(text.startswith("Residual heterogeneity") for text in seen)
    with pytest.raises(RetroEvidenceError, match="pool without moderators"):
        funnel(result, ax=funnel_blank())


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("bayes", "Bayesian random-effects model, prior of τ: half-normal(0.5), of the mean: flat"),
        ("multilevel", "Three-level model, REML"),
        ("counts", "Common-effect model, Mantel–Haenszel"),
    ],
)
def test_other_pooled_means_have_their_own_model_below(name, note):
    result = OTHERS[name]
    ax = make(result)
    seen = words(ax.get_figure(root=True))
    mean = scale_of(result.measure)
    assert f"{mean.text(result.estimate)} {mean.interval_text(*result.ci)}" in seen
    assert any(note in text.replace("\n", " ") for text in seen)
    assert funnel(result, ax=funnel_blank()).get_ylim()[1] == 0.0


def test_a_censored_mean_is_drawn_with_its_bounds_and_words():
    rows = pool_censored(ROWS)
    seen = words(forest(rows, title="Pain", experimental="stairs").get_figure(root=True))
    assert {"Pain", "← lower with\nstairs"} <= seen


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (ROWS, "a DataFrame is no pooled mean; draw what rv.pool or rv.check gives"),
        ("knee_pain", "a str is no pooled mean"),
        (subgroups(ROWS.assign(g=["a", "a", "b", "b"]), by="g", common_tau2=True),
         "draw its overall, or one of its groups"),
        (SimpleNamespace(studies=ROWS.drop(columns="yi"), ci=(0, 1)), "no effects of their own"),
    ],
)  # fmt: skip
def test_what_is_no_pooled_mean_is_refused(thing, message):
    for plot in (forest, funnel):
        with pytest.raises(RetroEvidenceError, match=message):
            plot(thing)


def test_small_numbers_keep_their_digits():
    seen = words(make(OTHERS["tiny"]).get_figure(root=True))
    assert "0.0011 [0.0009, 0.0013]" in seen
    assert not any("τ² = 0.000," in text for text in seen)
    # A ratio is never 0.
    ratio = scale_of("OR")
    assert [ratio.text(math.log(x)) for x in (0.3, 0.004, 1e-7)] == ["0.30", "0.004", "<0.0001"]


def test_a_proportion_has_no_value_that_means_no_effect():
    seen = words(make(pooled([-2.0, -1.5, -1.0], [0.1] * 3, measure="PLO")).get_figure(root=True))
    assert not any("test of no effect" in text for text in seen)
    assert any("Random-effects model, REML, Knapp–Hartung interval." in text for text in seen)


def test_every_measure_has_a_name_for_the_axis_and_logs_are_turned_back():
    assert set(MEASURES) <= set(names.MEASURES)
    for code, measure in MEASURES.items():
        turned = scale_of(code).name in {"ratio", "percent"}
        assert turned == (measure.scale == "log ratio"), code


def test_sides_speak_of_value_or_of_benefit():
    lower = words(make(CASES["six"]).get_figure(root=True))
    assert "← lower with the\nexperimental arm" in lower
    # A claim knows what the arms of its review do.
    assert check("heart_rate_higher").claim["experimental"] == "backward walking"
    named = forest(check("heart_rate_higher"))
    assert "← lower with\nbackward walking" in words(named.get_figure(root=True))
    better = words(make(CASES["better"]).get_figure(root=True))
    assert "← favours\ncomparator" in better


def test_percent_axis_and_claimed_band():
    ax = make(CASES["long"])
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    # 1e-9: the pixel transform there and back loses some of the 16 digits.
    assert band.x0 == pytest.approx(math.log(1.2), rel=1e-9)
    assert band.x1 == pytest.approx(math.log(1.4), rel=1e-9)
    assert {"0%", "+20%"} <= {text.get_text() for text in ax.get_xticklabels()}


def test_given_axes_lend_their_place():
    figure = Figure(figsize=(12, 5))
    left, right = figure.subplots(1, 2)
    room = left.get_position()
    assert forest(CASES["six"], ax=left) is left
    box = left.get_position()
    assert room.x0 < box.x0 < box.x1 < room.x1
    assert right.get_position().x0 > room.x1


def test_directions_stand_on_their_side_and_fill_when_significant():
    ax = directions(signs(), ax=blank((400, 300)))
    marks = [line for line in ax.lines if line.get_marker() in {"<", "o", ">"}]
    assert [line.get_xdata()[0] for line in marks] == [1, 1, 1, 0, -1]
    filled = [line.get_markerfacecolor() != "white" for line in marks]
    # p = 0.01 and p < 0.05 are below the level; no p, a null, and p > 0.05 are not.
    assert filled == [True, True, False, False, False]
    seen = words(ax.get_figure(root=True))
    assert "1 more without a direction, not drawn." in seen
    assert {"Kim 2001, fast", "Kim 2001, slow"} <= seen


def test_draw_chooses_by_what_the_verdict_rests_on():
    assert list(draw(signs())) == ["directions"]
    assert list(draw(checked(FORTY))) == ["forest", "funnel"]
    assert draw(checked(None, rung="none")) == {}


def test_draw_shows_bounds_and_choices_where_the_claim_has_them():
    assert next(iter(draw(check("knee_pain")))) == "forest"
    found = draw(check("back_pain"), multiverse("back_pain", method="REML"))
    assert "specification" in found
    empty = multiverse("pf_load")
    assert not empty.distinct
    assert "specification" not in draw(check("pf_load"), empty)


def test_without_evidence_the_error_says_what_to_do():
    with pytest.raises(RetroEvidenceError, match=r"figures\.draw"):
        forest(checked(None, rung="none"))
    with pytest.raises(RetroEvidenceError, match="no row with a direction"):
        directions(checked(None, rung="none"))


def test_funnel_turns_the_axis_and_says_when_there_are_too_few():
    ax = funnel(CASES["six"], ax=funnel_blank())
    bottom, top = ax.get_ylim()
    assert bottom > top == 0.0
    assert ax.get_title(loc="left").startswith("6 studies: too few")
    assert not funnel(FORTY, ax=funnel_blank()).get_title(loc="left")


def test_funnel_of_a_trim_and_fill_draws_the_added_studies_hollow():
    yi = [0.1, 0.2, 0.15, 0.3, 0.5, 0.9, 0.8, 0.2, 0.1, 0.1]
    filled = trim_fill(pooled(yi, [0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3, 0.04, 0.02, 0.01]))
    ax = funnel(filled, ax=funnel_blank())
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert filled.k0 > 0
    assert [len(line.get_xdata()) for line in hollow] == [filled.k0]
    np.testing.assert_array_equal(hollow[0].get_xdata(), filled.filled["yi"])
    # Ten real studies are enough to judge; the added ones do not count.
    assert not ax.get_title(loc="left")


def test_settings_and_style_stay_as_they_were():
    before = dict(mpl.rcParams)
    with mpl.rc_context({"axes.facecolor": "black", "font.family": ["serif"], "lines.marker": "x"}):
        styled = make(CASES["two"])
        assert all(text.get_fontfamily() == ["DejaVu Sans"] for text in styled.texts)
    assert dict(mpl.rcParams) == before


def test_a_new_figure_goes_through_pyplot_so_that_notebooks_show_it():
    import matplotlib.pyplot as plt

    mpl.use("agg")
    ax = forest(CASES["two"])
    try:
        assert ax.get_figure(root=True).number in plt.get_fignums()
    finally:
        plt.close("all")


def test_importing_does_not_import_matplotlib():
    code = "import sys, retroevidence.report.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("measure", ["SMD", "MD", "RR", "ROMC", "PLO", "PAS", "ZCOR", "PR"])
@pytest.mark.parametrize(("low", "high"), [(0.01, 0.02), (0.1, 0.6), (0.0, 1.4)])
def test_ticks_are_inside_few_and_rising(measure, low, high):
    marks = scale_of(measure).ticks(low, high)
    places = [place for place, _ in marks]
    assert 1 <= len(marks) <= 8
    assert places == sorted(places)
    assert all(low <= place <= high for place in places)


@pytest.mark.parametrize("value", [-0.7, 0.0, 0.3])
@pytest.mark.parametrize("measure", ["SMD", "RR", "ROMC", "PLO", "ZCOR"])
def test_scales_go_there_and_back(measure, value):
    scale = scale_of(measure)
    # 1e-12: exp, log, tanh and their inverses are exact to a few units in the last place.
    assert scale.pooled(scale.shown(value)) == pytest.approx(value, abs=1e-12)


def test_labels_come_from_keys():
    assert study_label("backdownhill30016189") == "Backdownhill30016189"
    assert study_label("ctri202308056593") == "CTRI202308056593"
    assert row_labels(pd.DataFrame({"yi": [1.0, 2.0]})) == ["Result 1", "Result 2"]
    # What is no key is somebody's own name of the study.
    assert study_label("van der Berg, 2014") == "van der Berg, 2014"
    named = pd.DataFrame({"study_id": ["kim2001", "lee2013"], "label": ["Kim & Lee", NAN]})
    assert row_labels(named) == ["Kim & Lee", "Lee 2013"]
    assert row_labels(named[["label"]]) == ["Kim & Lee", "Result 2"]


def test_text_widths_are_those_of_the_font():
    # DejaVu Sans gives the digit 0 an advance of 1303 of 2048 units: 6.36 points at 10 points.
    assert text_width("00000", 10.0) == pytest.approx(5 * 6.36, rel=0.02)


def test_the_notes_name_the_model_and_its_levels():
    yi, vi = [0.1, 0.5, 0.9, 1.4], [0.02, 0.03, 0.02, 0.04]
    common, random = (model_notes(pool(yi=yi, vi=vi, method=m))[1] for m in ("CE", "DL"))
    assert common.startswith("Common-effect model, CE, ")
    assert random.startswith("Random-effects model, DL, ")
    table = {"yi": yi, "vi": vi, "study": ["a", "a", "b", "b"]}
    fit = pool_multilevel(table, cluster="study")
    between, within = (f"{value:.3f}" for value in fit.sigma2)
    assert between != within
    note = model_notes(fit)[0]
    assert f"σ² = {between} between and {within} within clusters" in note


def test_scales_at_their_ends():
    # The value that means no effect: an even chance, and nothing for a raw mean.
    assert scale_of("CLES").null == 0.5
    assert math.isnan(scale_of("MN").null)
    percent, ratio = scale_of("ROM"), scale_of("RR")
    assert percent.text(math.log(0.0001)) == "−99.9%"
    assert percent.text(-math.inf) == "−100%"
    assert [ratio.text(math.log(x)) for x in (0.00011, 0.00009)] == ["0.0001", "<0.0001"]
    # Standard errors of 10 and of 100 leave one decimal and none.
    assert [scale_of("MD").fitted(error).text(88.44) for error in (9, 10, 100)] == [
        "88.44",
        "88.4",
        "88",
    ]

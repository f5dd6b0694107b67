"""The plot of bounded results: bars beside squares, two diamonds, nothing cut off."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from retroevidence.meta.censored.pool import pool_censored
from retroevidence.report.censored import forest_censored, forest_censored_size
from retroevidence.report.style import ACCENT, PALE, blank, save

INF, NAN = math.inf, math.nan
FRAME = pd.DataFrame(
    {
        "study_id": ["hao2011", "chen2021", "joshi2019", "kajale_nd", "kim2016cp", "noone2020"],
        "yi": [0.42, 0.75, NAN, NAN, NAN, NAN],
        "vi": [0.06, 0.08, 0.10, 0.09, 0.20, NAN],
        "lower": [NAN, NAN, -0.62, 0.59, -INF, 0.0],
        "upper": [NAN, NAN, 0.62, INF, -0.1, INF],
        "measure": "SMD",
    }
)
SIDED = pd.DataFrame(
    {
        "study_id": [f"author{year}" for year in range(2001, 2008)],
        "yi": NAN,
        "vi": 0.1,
        "lower": [0.0, 0.2, 0.6, 0.0, 0.0, 0.0, 0.3],
    }
)
CASES = {
    "mixed": pool_censored(FRAME),
    "ml": pool_censored(FRAME, method="ML"),
    "fixed": pool_censored(FRAME, model="fixed"),
    "exact": pool_censored(FRAME.iloc[:2]),
    "one exact": pool_censored(FRAME.iloc[1:5]),
    "one": pool_censored(FRAME.iloc[2:3]),
    "one side": pool_censored(SIDED.assign(measure="ROMC")),
    "two sides": pool_censored(pd.concat([SIDED, FRAME.iloc[4:5]], ignore_index=True)),
}
EACH = pytest.mark.parametrize("pooled", CASES.values(), ids=CASES)


def make(pooled):
    return forest_censored(pooled, ax=blank(forest_censored_size(pooled)))


def texts(ax):
    figure = ax.get_figure(root=True)
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    return {
        text.get_text(): text.get_window_extent(renderer)
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip()
    }


def filled(ax, colour):
    return [patch for patch in ax.patches if to_hex(patch.get_facecolor()) == colour]


@EACH
def test_texts_stay_on_the_page_and_apart(pooled):
    ax = make(pooled)
    page = ax.get_figure(root=True).bbox
    found = list(texts(ax).items())
    for i, (text, box) in enumerate(found):
        # Letters are rounded to whole pixels, so one pixel over the edge is no text cut off.
        assert box.x0 > -1, text
        assert box.y0 > -1, text
        assert box.x1 < page.x1 + 1, text
        assert box.y1 < page.y1 + 1, text
        for other, beside in found[:i]:
            # Boxes hold room for accents: neighbours in a column may touch by two pixels.
            apart = (
                box.x1 <= beside.x0 + 1
                or beside.x1 <= box.x0 + 1
                or box.y1 <= beside.y0 + 2
                or beside.y1 <= box.y0 + 2
            )
            assert apart, f"{text!r} over {other!r}"


@EACH
def test_same_figure_same_bytes(pooled, tmp_path):
    first = [path.read_bytes() for path in save(make(pooled), tmp_path / "a")]
    second = [path.read_bytes() for path in save(make(pooled), tmp_path / "b")]
    assert first == second


def test_exact_results_are_squares_and_bounded_ones_bars_over_their_range():
    ax = make(CASES["mixed"])
    squares = [line for line in ax.lines if line.get_marker() == "s"]
    assert [line.get_xdata()[0] for line in squares] == [0.42, 0.75]
    left, right = ax.get_xlim()
    ranges = [(bar.get_xy()[:, 0].min(), bar.get_xy()[:, 0].max()) for bar in filled(ax, PALE)]
    # Two limits; open to the right; open to the left.
    np.testing.assert_allclose(ranges, [(-0.62, 0.62), (0.59, right), (left, -0.1)])
    arrows = [(line.get_marker(), line.get_xdata()[0]) for line in ax.lines]
    assert (">", right) in arrows
    assert ("<", left) in arrows


def test_two_diamonds_with_and_without_the_bars():
    pooled = CASES["mixed"]
    ax = make(pooled)
    (whole,) = filled(ax, ACCENT)
    assert whole.get_xy()[:, 0].min() == pytest.approx(max(pooled.ci.low, ax.get_xlim()[0]))
    assert whole.get_xy()[:, 0].max() == pytest.approx(min(pooled.ci.high, ax.get_xlim()[1]))
    (alone,) = filled(ax, "#ffffff")
    assert pooled.without_bounded.estimate in alone.get_xy()[:, 0]
    seen = texts(ax)
    assert {"All 5 results", "The 2 exact results only"} <= set(seen)
    assert f"{pooled.studies['weight'].iloc[2]:.1f}%" in seen
    assert "above 0.59" in seen
    assert any(text.startswith("Left out, no variance: noone2020") for text in seen)


def test_without_bounded_rows_there_is_one_diamond():
    ax = make(CASES["exact"])
    assert len(ax.patches) == 1
    assert not any(text.startswith("Bars") for text in texts(ax))


def test_without_an_estimate_a_line_shows_the_limit_there_is():
    pooled = CASES["one side"]
    ax = make(pooled)
    assert not filled(ax, ACCENT)
    (line,) = [item for item in ax.lines if item.get_linewidth() > 2 and len(item.get_xdata()) == 2
               and item.get_xdata()[0] != item.get_xdata()[1]]  # fmt: skip
    assert line.get_xdata()[0] == pooled.ci.low
    assert any("no estimate" in text for text in texts(ax))


def test_given_axes_lend_their_place():
    figure = Figure(figsize=(12, 5))
    left, right = figure.subplots(1, 2)
    assert forest_censored(CASES["mixed"], ax=left) is left
    assert right.get_position().x0 > left.get_position().x1

"""The specification curve shows what the multiverse holds, and draws the same bytes twice."""

import matplotlib

matplotlib.use("agg")

import numpy as np
import pytest
from matplotlib.figure import Figure

from retroevidence.claims.multiverse import multiverse
from retroevidence.errors import RetroEvidenceError
from retroevidence.report.specification import COLUMNS, specification_curve
from retroevidence.report.style import save


@pytest.fixture(scope="module")
def cost():
    return multiverse("energy_cost")


def dots(ax):
    """Return the y values of the curve: the longest line of dots."""
    lines = [line for line in ax.get_lines() if line.get_marker() == "o"]
    return np.asarray(max(lines, key=lambda line: len(line.get_ydata())).get_ydata())


def test_every_analysis_is_a_dot_in_order(cost):
    ax = specification_curve(cost)
    assert cost.distinct <= COLUMNS
    np.testing.assert_allclose(dots(ax), np.sort(cost.table["estimate"]))


def test_the_headline_is_marked_where_it_stands(cost):
    ax = specification_curve(cost)
    (mark,) = [
        line for line in ax.get_lines() if line.get_marker() == "o" and len(line.get_xdata()) == 1
    ]
    headline = cost.table.loc[cost.headline, "estimate"]
    assert mark.get_ydata()[0] == pytest.approx(headline)
    assert dots(ax)[int(mark.get_xdata()[0])] == pytest.approx(headline, rel=1e-6)


def test_many_analyses_share_columns():
    found = multiverse("knee_function")
    assert found.distinct > COLUMNS
    ax = specification_curve(found)
    assert len(dots(ax)) == COLUMNS
    said = " ".join(text.get_text() for text in ax.texts)
    assert f"{found.distinct} distinct analyses" in said
    assert "a column holds up to" in said


def test_the_matrix_names_every_choice_that_varies(cost):
    ax = specification_curve(cost)
    matrix = next(other for other in ax.get_figure().axes if other is not ax)
    said = {text.get_text() for text in matrix.texts}
    assert {"tau²", "Interval", "Assumed r", "Left out", "Hooper 2004", "borrowed SDs"} <= said
    assert "Comparison" not in said  # there is one only


def test_nothing_is_cut_off_and_no_labels_overlap(cost):
    for found in (cost, multiverse("knee_pain")):
        ax = specification_curve(found)
        figure = ax.get_figure()
        figure.canvas.draw()
        edge = figure.bbox
        for axes in figure.axes:
            boxes = [text.get_window_extent() for text in axes.texts]
            for box in boxes:
                assert box.x0 >= edge.x0
                assert box.x1 <= edge.x1
                assert box.y1 <= edge.y1
            for i, one in enumerate(boxes):
                assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_given_axes_are_used_and_share_their_area(cost):
    ax = Figure(figsize=(7, 7)).add_subplot()
    before = ax.get_position().bounds
    assert specification_curve(cost, ax=ax) is ax
    matrix = next(other for other in ax.get_figure().axes if other is not ax)
    assert ax.get_position().y1 == pytest.approx(before[1] + before[3])
    assert matrix.get_position().y0 == pytest.approx(before[1])
    assert matrix.get_position().y1 < ax.get_position().y0


def test_same_multiverse_same_bytes(cost, tmp_path):
    one = save(specification_curve(cost), tmp_path / "one")
    two = save(specification_curve(cost), tmp_path / "two")
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_an_empty_multiverse_cannot_be_drawn():
    with pytest.raises(RetroEvidenceError, match="holds no analysis"):
        specification_curve(multiverse("pf_load"))


def test_a_single_analysis_can_be_drawn():
    found = multiverse(
        "knee_pain", method="REML", test="z", measure="SMD", rows="bounded", doubtful="out",
        result="counted", left_out="none", comparator="main",
    )  # fmt: skip
    assert found.distinct == 1
    assert len(dots(specification_curve(found))) == 1

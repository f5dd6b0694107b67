"""One effect per cluster, against metafor."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroevidence.errors import PoolError
from retroevidence.meta.dependent.aggregate import aggregate
from retroevidence.meta.dependent.covariance import from_correlation

GOLDEN = Path(__file__).parent / "golden"
# metafor 3.8-1: aggregate(struct = "CS", rho = 0.6), written by golden/dependent.R.
CASE = json.loads((GOLDEN / "dependent.json").read_text(encoding="utf-8"))["assink2016"][
    "aggregate"
]


@pytest.fixture(scope="module")
def crime():
    return pd.read_csv(GOLDEN / "dependent_assink2016.csv")


@pytest.mark.parametrize(("weighted", "prefix"), [(True, ""), (False, "mean_")])
def test_matches_metafor(crime, weighted, prefix):
    found = aggregate(crime, cluster="study", rho=0.6, weighted=weighted)
    assert list(found["study"]) == CASE["study"]
    np.testing.assert_allclose(found["yi"], CASE[f"{prefix}yi"], rtol=1e-12)
    np.testing.assert_allclose(found["vi"], CASE[f"{prefix}vi"], rtol=1e-12)
    V = from_correlation(crime, cluster="study", rho=0.6)
    same = aggregate(crime, cluster="study", V=V, weighted=weighted)
    np.testing.assert_allclose(same["vi"], found["vi"], rtol=1e-11)


def test_keeps_what_is_constant_and_says_what_was_left_out(crime):
    holes = crime.assign(yi=crime["yi"].where(crime.index != 4), lab="x")
    found = aggregate(holes, cluster="study", rho=0.6)
    assert found["effects"].sum() == 99
    assert list(found.columns) == ["study", "yi", "vi", "effects", "pubstatus", "lab"]
    assert found.attrs["notes"] == ("Left out, no effect or variance: 4.",)


def test_fully_correlated_effects(crime):
    found = aggregate(crime, cluster="study", rho=1, weighted=False)
    # The variance of a mean of copies is the squared mean of their standard errors.
    want = crime.groupby("study")["vi"].apply(lambda v: np.sqrt(v).mean() ** 2)
    np.testing.assert_allclose(found["vi"], want, rtol=1e-12)


def test_independent_effects_and_single_ones():
    frame = pd.DataFrame({"lab": ["b", "a", "b"], "yi": [1.0, 5.0, 2.0], "vi": [1.0, 7.0, 3.0]})
    found = aggregate(frame, cluster="lab", rho=0)
    assert list(found["lab"]) == ["b", "a"]
    assert found["yi"].tolist() == pytest.approx([1.25, 5.0])
    assert found["vi"].tolist() == pytest.approx([0.75, 7.0])


def test_errors(crime):
    with pytest.raises(PoolError, match="as rho="):
        aggregate(crime, cluster="study")
    with pytest.raises(PoolError, match="no correlation"):
        aggregate(crime, cluster="study", rho=1.5, weighted=False)
    with pytest.raises(PoolError, match="choose one"):
        aggregate(crime, cluster="study", rho=1)
    with pytest.raises(PoolError, match="without variance"):
        aggregate(crime, cluster="study", rho=-1, weighted=False)


def test_columns_of_the_answer_do_not_hide_those_of_the_user():
    frame = pd.DataFrame({"effects": ["x", "x", "y"], "yi": [0.1, 0.2, 0.3], "vi": 0.1})
    with pytest.raises(PoolError, match="rename yours"):
        aggregate(frame, cluster="effects", rho=0.5)
    lists = frame.rename(columns={"effects": "lab"}).assign(rows=[[1], [2], [3]])
    assert "rows" not in aggregate(lists, cluster="lab", rho=0.5)
    with pytest.raises(PoolError, match="rho='a' is not a number"):
        aggregate(lists, cluster="lab", rho="a", weighted=False)

"""Peto's odds ratio against metafor and its published use."""

import json
from pathlib import Path

import pandas as pd
import pytest

from retroevidence.meta.counts.pool import pool_counts

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "counts.json").read_text(encoding="utf-8"))
ACCEPTED = json.loads((GOLDEN / "counts_acceptance.json").read_text(encoding="utf-8"))

# Closed forms on both sides; p-values down to 1e-31 lose digits with their exponent.
RTOL = 1e-8


def peto(name):
    return pool_counts(pd.DataFrame(CASES["tables"][name]), method="Peto")


@pytest.mark.parametrize(("case", "name"), [("bcg_peto", "bcg"), ("yusuf1985_t6", "yusuf1985_t6")])
def test_acceptance(case, name):
    found, wanted = peto(name), ACCEPTED[case]
    assert found.estimate == pytest.approx(wanted["beta"], rel=RTOL)
    assert found.se == pytest.approx(wanted["se"], rel=RTOL)
    assert found.q == pytest.approx(wanted["Q"], rel=RTOL)


@pytest.mark.parametrize("name", ["bcg", "yusuf1985_t6", "nielweise2007", "zeros"])
def test_tables_match_metafor(name):
    found, wanted = peto(name), CASES["peto"][name]
    fields = {"beta": "estimate", "se": "se", "p": "p_value", "Q": "q", "Qp": "q_p_value"}
    for theirs, ours in fields.items():
        assert getattr(found, ours) == pytest.approx(wanted[theirs], rel=RTOL), theirs


def test_trials_without_deaths_are_named():
    """Table 6 of Yusuf et al. (1985) has three trials without a death in either group."""
    found = peto("yusuf1985_t6")
    assert found.k == 18
    assert "no event in either group: 10, 13, 17;" in found.notes[0]
    assert "weights V" in found.notes[-1]


def test_the_test_of_the_estimate_is_the_test_of_association():
    """Both are the observed minus the expected events over the same variance."""
    found = peto("bcg")
    assert found.statistic**2 == pytest.approx(found.cmh, rel=1e-12)
    assert "Peto" in repr(found)
    assert "Tarone" not in repr(found)


def test_an_odds_ratio_that_no_number_holds_is_shown():
    """Groups of very unlike size carry Peto's log odds ratio past the largest exponent."""
    found = pool_counts(a=10**6, n1=10**6, c=53, n2=1000, method="Peto")
    assert found.estimate == pytest.approx(1001.946895814535, rel=1e-9)
    assert "odds ratio" in repr(found)

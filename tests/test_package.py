"""The package as users hold it: every public name is there, and it travels to other processes."""

from __future__ import annotations

import pickle

import cloudpickle
import pytest

import retroevidence as rv


@pytest.mark.parametrize("name", rv.__all__)
def test_every_public_name_can_be_used(name):
    assert getattr(rv, name) is not None
    assert name in dir(rv)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'pooool'"):
        _ = rv.pooool


def test_effects_stays_the_question_after_the_subpackage_is_imported():
    import retroevidence.effects.measures

    assert retroevidence.effects is rv.effects
    assert callable(rv.effects)


def test_functions_that_use_the_package_travel():
    def mean(yi, vi):
        return rv.pool(yi=yi, vi=vi, method="DL").estimate

    # As Dask sends what a notebook defines: by value, with the package it names.
    mean.__module__ = "__main__"
    sent = pickle.loads(cloudpickle.dumps(mean))
    assert sent([0.1, 0.5], [0.1, 0.1]) == pytest.approx(0.3)
    assert pickle.loads(pickle.dumps(rv)) is rv

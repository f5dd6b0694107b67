"""The package as users hold it: every public name is there, and it travels to other processes."""

from __future__ import annotations

import pickle
import pkgutil
from importlib import import_module

import cloudpickle
import pytest

import retroevidence as rv
from retroevidence._show import Carded


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


def test_no_dataclass_writes_over_its_card():
    # A dataclass without repr=False writes a __repr__ of its own, and the card is gone.
    for info in pkgutil.walk_packages(rv.__path__, "retroevidence."):
        if not info.name.endswith("__main__"):
            import_module(info.name)
    waiting = Carded.__subclasses__()
    assert len(waiting) > 20
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if one.__module__.startswith("retroevidence."):
            assert one.__repr__ is Carded.__repr__, one

"""A Dask table gives the numbers of a table in memory, and a lost worker loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from retroevidence.errors import PoolError
from retroevidence.meta import distributed
from retroevidence.meta.distributed import PLACE, _placed
from retroevidence.meta.many import pool_many


def library(rows: int = 3000) -> pd.DataFrame:
    random = np.random.default_rng(1)
    vi = random.uniform(0.01, 1, rows)
    vi[random.integers(0, rows, 20)] = np.nan
    vi[7] = 0.0
    table = pd.DataFrame({"id": random.integers(0, 200, rows), "yi": random.normal(size=rows)})
    return table.assign(vi=vi, review=table["id"] % 7, note="not needed")


@pytest.mark.parametrize("by", ["id", ["review", "id"]])
def test_a_dask_table_is_pooled_to_the_same_bits(by):
    table = library()
    parts = pool_many(dd.from_pandas(table, npartitions=7, sort=False), by=by, test="adhoc")
    found = parts.compute(scheduler="sync").sort_values("id").reset_index(drop=True)
    wanted = pool_many(table, by=by, test="adhoc").sort_values("id").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    assert (found["reason"] == "vi must be above 0").sum() == 1


def test_the_index_starts_again_in_each_partition():
    """As after Dask's own reset_index; the groups are columns."""
    found = pool_many(dd.from_pandas(library(), npartitions=3)).compute(scheduler="sync")
    assert found.index.duplicated().any()
    assert not found["id"].duplicated().any()


def test_columns_are_looked_at_when_the_call_is_made():
    parts = dd.from_pandas(library().assign(k=1), npartitions=3)
    for by, message in (("k", "its own column k; rename"), ([], "one column"), (3, "no column 3")):
        with pytest.raises(PoolError, match=message):
            pool_many(parts, by=by)


def test_parquet_files_whose_groups_lie_across_files(tmp_path):
    table = library()
    for number, part in enumerate(np.array_split(np.arange(len(table)), 5)):
        table.iloc[part].to_parquet(tmp_path / f"part.{number}.parquet")
    found = pool_many(dd.read_parquet(tmp_path)).compute(scheduler="sync").sort_values("id")
    wanted = pool_many(table).sort_values("id")
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), wanted.reset_index(drop=True), check_exact=True
    )


# Dask's own call, which the newest pandas deprecates.
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_what_is_pooled_can_be_written_to_parquet(tmp_path):
    table = library()
    pool_many(dd.from_pandas(table, npartitions=3)).to_parquet(tmp_path, compute=False).compute(
        scheduler="sync"
    )
    found = pd.read_parquet(tmp_path).sort_values("id").reset_index(drop=True)
    wanted = pool_many(table).sort_values("id").reset_index(drop=True)
    # Parquet may bring the strings back as another kind of string.
    found["reason"] = found["reason"].astype(wanted["reason"].dtype)
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def moderated() -> pd.DataFrame:
    """A library with gaps in its moderators, and levels that only rows without an effect have."""
    table, random = library(), np.random.default_rng(2)
    rows = len(table)
    table = table.assign(
        dose=random.uniform(0, 3, rows),
        year=random.integers(1980, 2025, rows),
        arm=random.choice(["c", "a", "b"], rows),
        kind=pd.Categorical(random.choice(["x", "y", "z"], rows), categories=list("zyxw")),
    )
    table.loc[random.integers(0, rows, 30), "dose"] = np.nan
    table.loc[random.integers(0, rows, 40), "yi"] = np.nan
    table.loc[random.integers(0, rows, 5), "id"] = np.nan
    # A level that does not enter, a centre that must not know of a row, and no level at all.
    table.loc[[5, 6], ["yi", "arm", "dose"]] = [np.nan, "never", 1e6]
    table.loc[11, "arm"] = None
    return table


MODS = [
    "~ dose",
    "~ center(dose) + arm",
    "~ poly(dose, 2) + C(arm)",
    "~ scale(year) + kind",
    "~ 0 + C(arm, contr.sum) + log(dose)",
    "~ np.sqrt(vi)",
    "~ 1",
    "dose",
    ["dose", "year"],
    ["dose"],
]


@pytest.mark.parametrize("mods", MODS, ids=str)
@pytest.mark.parametrize("by", ["id", ["review", "id"]], ids=str)
def test_a_dask_table_is_regressed_to_the_same_bits(mods, by):
    table = moderated()
    with dask.config.set(scheduler="sync"):
        parts = dd.from_pandas(table, npartitions=7, sort=False)
        found = pool_many(parts, by=by, mods=mods).compute().sort_values("id")
    wanted = pool_many(table, by=by, mods=mods).sort_values("id")
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), wanted.reset_index(drop=True), check_exact=True
    )
    # Some groups lack a level; most do not.
    assert (wanted["reason"] == "").sum() > 190
    assert wanted["left_out"].sum() >= 40


def test_moderators_in_parquet_files_are_those_of_all_files(tmp_path):
    table = moderated()
    # The levels of one file are not those of the next.
    table = table.sort_values(["kind", "arm"], ignore_index=True)
    for number, part in enumerate(np.array_split(np.arange(len(table)), 5)):
        table.iloc[part].to_parquet(tmp_path / f"part.{number}.parquet")
    for mods in ("~ center(dose) + arm", "~ kind"):
        with dask.config.set(scheduler="sync"):
            found = pool_many(dd.read_parquet(tmp_path), mods=mods).compute().sort_values("id")
        wanted = pool_many(table, mods=mods).sort_values("id")
        pd.testing.assert_frame_equal(
            found.reset_index(drop=True), wanted.reset_index(drop=True), check_exact=True
        )


def test_only_the_columns_of_the_formula_are_brought_here(monkeypatch):
    seen = []
    plain = distributed.design_of

    def watched(mods, frame, flags):
        seen.append(list(frame.columns))
        return plain(mods, frame, flags)

    monkeypatch.setattr(distributed, "design_of", watched)
    with dask.config.set(scheduler="sync"):
        pool_many(dd.from_pandas(moderated(), npartitions=3), mods="~ poly(dose, 2) + arm")
    assert seen == [["arm", "dose"]]


def test_rows_keep_their_places():
    parts = dd.from_pandas(library(100), npartitions=4, sort=False)
    meta = parts._meta.assign(**{PLACE: np.int64(0)})
    places = parts.map_partitions(_placed, meta=meta).compute(scheduler="sync")[PLACE]
    assert places.is_monotonic_increasing
    assert places.is_unique


def test_wrong_questions():
    parts = dd.from_pandas(library(50), npartitions=2)
    with pytest.raises(PoolError, match="no column group"):
        pool_many(parts, by="group")
    with pytest.raises(PoolError, match="cannot be matched to partitions"):
        pool_many(parts, mods=np.ones((50, 1)))
    with pytest.raises(PoolError, match="uses weight"):
        pool_many(parts, mods="~ weight")
    with pytest.raises(PoolError, match="no column weight"):
        pool_many(parts, mods=["review", "weight"])
    with pytest.raises(PoolError, match="use a formula"):
        pool_many(parts, mods=["note"])
    with pytest.raises(PoolError, match="effects is a list"):
        pool_many([1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["tasks", "p2p"])
def test_a_killed_worker_loses_nothing_and_doubles_nothing(method):
    script = Path(__file__).with_name("cluster.py")
    # Dask gives its workers one thread of linear algebra; more would add in another order.
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    run = subprocess.run(
        [sys.executable, str(script), method],
        env=os.environ | one,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["running"], "the worker was killed after the end"
    assert found["new_workers"] >= 1
    assert found["groups"] == 150
    assert found["effects"] == 16 * 400
    assert found["differences"] == 0
    assert found["regressed"] == 0
    assert found["terms"] == 4
    assert found["simulated"] == 0

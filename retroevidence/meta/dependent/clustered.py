"""Reading clustered effects: which rows enter, which cluster each belongs to, and their covariance.

The rows are brought into the order of their clusters, and a covariance of sampling errors into the
form :class:`retroevidence.meta.dependent.blocks.Blocks` works on: a diagonal plus a few vectors.
A general block becomes diagonal by turning the rows of its cluster to the block's own axes, which
changes no likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError
from retroevidence.meta.dependent.blocks import Blocks, Layout, by_size
from retroevidence.meta.dependent.columns import frame_with, groups, numbers, one_number
from retroevidence.meta.dependent.sampling import SamplingCovariance, block_list
from retroevidence.meta.inputs import check_sizes
from retroevidence.meta.regression import Design, check_rank, design_of
from retroevidence.meta.wording import listed, study_names

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Clustered:
    """Effects that enter a model of clusters, in the user's order, and how to sort them.

    Examples
    --------
    >>> frame = pd.DataFrame({"yi": [1.0, 2.0, 3.0], "vi": 1.0, "lab": ["b", "a", "b"]})
    >>> read_clustered(frame, cluster="lab").order.tolist()
    [0, 2, 1]
    """

    frame: pd.DataFrame
    y: Floats
    v: Floats
    design: Design
    codes: Ints
    labels: pd.Index
    kept: Ints
    measure: str
    notes: tuple[str, ...]
    given: SamplingCovariance | None = field(default=None)

    @property
    def order(self) -> Ints:
        """Positions of the rows, cluster by cluster, and within a cluster as given."""
        return np.argsort(self.codes, kind="stable")

    @property
    def starts(self) -> Ints:
        """Where each cluster starts in that order."""
        return np.searchsorted(self.codes[self.order], np.arange(len(self.labels)))


def read_clustered(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    cluster: str,
    yi: str = "yi",
    vi: str = "vi",
    mods: Any = None,
    V: Any = None,
    also: tuple[str, ...] = (),
) -> Clustered:
    """Read effects that come in clusters, leave out incomplete rows, and say which.

    Parameters
    ----------
    effects : pandas.DataFrame or mapping of columns
        One row per effect, in any order and with any index.
    cluster : str
        Column that names the cluster (the study, the laboratory).
    yi, vi : str
        Columns of effects and sampling variances.
    mods : str or array_like, optional
        Moderators, as in :func:`retroevidence.meta.pool.pool`.
    V : SamplingCovariance or list of array_like or array_like, optional
        Covariance of the sampling errors of all rows: one block per cluster (clusters in order of
        first appearance, rows in the order of the frame), or the whole matrix. Its diagonal takes
        the place of `vi`.
    also : tuple of str
        Further columns a row must have.

    Returns
    -------
    Clustered
        The rows that enter.

    Raises
    ------
    PoolError
        If a column is missing or not a number, a variance is not above 0, measures are mixed, or
        nothing is left.

    Examples
    --------
    >>> frame = pd.DataFrame({"yi": [1.0, None], "vi": 1.0, "study_id": ["a", "b"], "lab": "x"})
    >>> read_clustered(frame, cluster="lab").notes
    ('Left out, no effect or variance: b.',)
    """
    frame = frame_with(effects, yi, *([vi] if V is None else []), cluster, *also)
    given = None if V is None else block_list(V, frame[cluster])
    y = numbers(frame, yi)
    v = numbers(frame, vi) if given is None else given.variances
    notes: list[str] = []

    def named(which: NDArray[np.bool_]) -> str:
        return listed(np.array(study_names(frame.loc[which]), dtype=object))

    for broken, rule in (
        (np.isinf(y), f"{yi} is infinite; correct it or leave the row out"),
        (v <= 0, f"{vi} must be above 0; check that it is a variance and not missing"),
    ):
        if broken.any():
            raise PoolError(f"{named(broken)}: {rule}.")
    keep = np.ones(len(frame), dtype=bool)

    def leave_out(missing: NDArray[np.bool_], what: str) -> None:
        out = keep & missing
        if out.any():
            notes.append(f"Left out, {what}: {named(out)}.")
        np.logical_and(keep, ~missing, out=keep)

    leave_out(np.asarray(np.isnan(y) | ~np.isfinite(v)), "no effect or variance")
    grouping = (cluster, *also)
    leave_out(
        frame[list(grouping)].isna().any(axis=1).to_numpy(dtype=bool),
        f"no {' or '.join(map(str, grouping))}",
    )
    if not keep.any():
        raise PoolError(
            f"no effect to pool: none of the {len(frame)} rows has {yi}, {vi} and {cluster}; "
            "check the filter."
        )
    # Levels of a factor and the centre of a variable come from the rows that enter.
    design = design_of(mods, frame, keep.copy())
    leave_out(np.asarray(np.isnan(design.matrix).any(axis=1)), "a moderator is missing or infinite")
    if not keep.any():
        raise PoolError("no effect to pool: every row lacks a moderator; fill them in.")
    kept = np.flatnonzero(keep)
    frame = frame.iloc[kept]
    check_sizes(frame.assign(yi=y[kept], vi=v[kept]))
    design = replace(design, matrix=design.matrix[kept])
    check_rank(design.matrix, design.names)
    codes, labels = groups(frame[cluster])
    return Clustered(
        frame=frame,
        y=y[kept],
        v=v[kept],
        design=design,
        codes=codes,
        labels=labels,
        kept=kept,
        measure=_one_measure(frame),
        notes=tuple(notes),
        given=None if given is None else given.take(kept),
    )


def _one_measure(frame: pd.DataFrame) -> str:
    if "measure" not in frame.columns:
        return ""
    found = sorted({str(name) for name in frame["measure"].dropna().unique()} - {""})
    if len(found) > 1:
        raise PoolError(
            f"the effects mix the measures {', '.join(found)}; pool one measure at a time."
        )
    return found[0] if found else ""


@dataclass(frozen=True, eq=False)
class Turned:
    """Effects sorted by cluster and turned so that each cluster's errors are diagonal plus vectors.

    Parameters
    ----------
    order, starts : numpy.ndarray of int
        The sorting, and where clusters start in it.
    y, x : numpy.ndarray, shapes (n,) and (p, n)
        Effects and design in that order, turned.
    base : Blocks
        Covariance of the sampling errors.
    turns : list of (rows, axes)
        For clusters of one size, rows (b, m) in sorted order and their axes (b, m, m).

    Examples
    --------
    >>> frame = pd.DataFrame({"yi": [1.0, 2.0], "vi": [1.0, 4.0], "lab": "a"})
    >>> turn(read_clustered(frame, cluster="lab"), rho=0.5).base.diagonal.tolist()
    [0.5, 2.0]
    """

    order: Ints
    starts: Ints
    y: Floats
    x: Floats
    base: Blocks
    turns: list[tuple[Ints, Floats]]

    def turn(self, values: Floats) -> Floats:
        """Turn vectors (..., n) in sorted order to the axes of the clusters."""
        return _apply(self.turns, values, inverse=False)

    def turn_back(self, values: Floats) -> Floats:
        """Turn vectors (..., n) back to effects, in sorted order."""
        return _apply(self.turns, values, inverse=True)


def turn(data: Clustered, rho: float | None) -> Turned:
    """Bring sampling errors to a diagonal plus vectors: no correlation, `rho`, or given blocks.

    Parameters
    ----------
    data : Clustered
        The rows that enter.
    rho : float, optional
        Correlation of the sampling errors within a cluster. Then a block is
        ``(1 - rho) diag(v) + rho s s'`` with s the standard errors.

    Returns
    -------
    Turned
        Sorted and turned effects.

    Raises
    ------
    PoolError
        If `rho` or a block allows no covariance.

    Examples
    --------
    >>> frame = pd.DataFrame({"yi": [1.0, 2.0], "vi": [1.0, 4.0], "lab": "a"})
    >>> turn(read_clustered(frame, cluster="lab"), rho=None).base.diagonal.tolist()
    [1.0, 4.0]
    """
    order, starts = data.order, data.starts
    y, v, x = data.y[order], data.v[order], data.design.matrix[order].T
    if data.given is not None:
        turns, diagonal = _axes(data.given, order, starts)
        y, x = _apply(turns, y, inverse=False), _apply(turns, x, inverse=False)
        return Turned(order, starts, y, x, _diagonal(starts, diagonal), turns)
    if rho is None:
        return Turned(order, starts, y, x, _diagonal(starts, v), [])
    rho = one_number(rho, "rho")
    sizes = np.diff(starts, append=len(y))
    lowest = -1 / (sizes.max() - 1) if sizes.max() > 1 else -1.0
    if not lowest < rho < 1:
        raise PoolError(
            f"rho={rho} is no correlation that {sizes.max()} effects of one cluster can share; "
            f"choose one above {lowest:.3g} and below 1."
        )
    base = Blocks(Layout(starts, len(y)), (1 - rho) * v, np.sqrt(v)[None, :], np.array([rho]))
    return Turned(order, starts, y, x, base, [])


def _diagonal(starts: Ints, diagonal: Floats) -> Blocks:
    return Blocks(
        Layout(starts, len(diagonal)), diagonal, np.zeros((0, len(diagonal))), np.zeros(0)
    )


def _axes(
    given: SamplingCovariance, order: Ints, starts: Ints
) -> tuple[list[tuple[Ints, Floats]], Floats]:
    """Return the axes of each cluster's block, and the variances along them."""
    turns: list[tuple[Ints, Floats]] = []
    diagonal = np.empty(len(order))
    for _, rows in by_size(starts, len(order)):
        lengths, axes = np.linalg.eigh(given.among(order[rows]))
        turns.append((rows, axes))
        diagonal[rows] = lengths
    return turns, diagonal


def _apply(turns: list[tuple[Ints, Floats]], values: Floats, *, inverse: bool) -> Floats:
    if not turns:
        return values
    turned = np.empty_like(values)
    for rows, axes in turns:
        way = axes if inverse else np.swapaxes(axes, -1, -2)
        turned[..., rows] = np.einsum("bij,...bj->...bi", way, values[..., rows])
    return turned

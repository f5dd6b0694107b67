"""Covariance of sampling errors as one block per cluster: how it is kept, read and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence._show import Card, Carded, number
from retroevidence.errors import PoolError
from retroevidence.meta.dependent.blocks import by_size
from retroevidence.meta.dependent.columns import groups
from retroevidence.meta.wording import listed

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False, repr=False)
class SamplingCovariance(Carded):
    """Covariance of sampling errors, one block per cluster; it shows itself.

    Attributes
    ----------
    labels : pandas.Index
        The clusters, in order of first appearance.
    block, place : numpy.ndarray of int, shape (n,)
        For each effect its cluster, and its place in the block.
    sizes : numpy.ndarray of int
        Effects of each cluster.
    values : numpy.ndarray
        The blocks, one after the other, each row by row.
    how : str
        Where the correlations come from, in words.

    Examples
    --------
    >>> from retroevidence.meta.dependent.covariance import from_correlation
    >>> frame = pd.DataFrame({"vi": [1.0, 4.0, 2.0], "study_id": ["a", "a", "b"]})
    >>> from_correlation(frame, cluster="study_id", rho=0.5)
    Sampling covariance of 3 effects in 2 clusters (correlation 0.5 within a cluster)
      effects per cluster  1 to 2
      correlations         0.500 to 0.500
    """

    labels: pd.Index
    block: Ints
    place: Ints
    sizes: Ints
    values: Floats
    how: str

    @property
    def _offsets(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.sizes**2)])

    @property
    def variances(self) -> Floats:
        """The diagonal: one sampling variance per effect, in the order of the effects."""
        at = self._offsets[self.block] + self.place * (self.sizes[self.block] + 1)
        return np.asarray(self.values[at])

    @property
    def blocks(self) -> list[Floats]:
        """The blocks, one matrix per cluster."""
        ends = self._offsets
        return [self.values[ends[i] : ends[i + 1]].reshape(m, m) for i, m in enumerate(self.sizes)]

    def among(self, rows: Ints) -> Floats:
        """Return the covariance of each of several sets of effects.

        Parameters
        ----------
        rows : numpy.ndarray of int, shape (b, m)
            Positions of the effects, one set per row.

        Returns
        -------
        numpy.ndarray, shape (b, m, m)
            One matrix per set; effects of different clusters have covariance 0.
        """
        block, place = self.block[rows], self.place[rows]
        start = self._offsets[block] + place * self.sizes[block]
        same = block[:, :, None] == block[:, None, :]
        at = np.where(same, start[:, :, None] + place[:, None, :], 0)
        return np.where(same, self.values[at], 0.0)

    def take(self, rows: Ints) -> SamplingCovariance:
        """Return the covariance of some effects.

        Parameters
        ----------
        rows : numpy.ndarray of int
            Positions of the effects, in the order they shall have.

        Returns
        -------
        SamplingCovariance
            That of these effects.
        """
        return replace(self, block=self.block[rows], place=self.place[rows])

    def matrix(self) -> Floats:
        """Return the whole matrix, n by n: for a look at small sets."""
        return np.asarray(self.among(np.arange(len(self.block))[None, :])[0])

    def _card(self) -> Card:
        sizes = np.bincount(self.block, minlength=len(self.sizes))
        sizes = sizes[sizes > 0]
        lows, highs = [], []
        order = np.argsort(self.block, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        for _, rows in by_size(starts, len(order)):
            if rows.shape[1] == 1:
                continue
            stack = self.among(order[rows])
            errors = np.sqrt(np.einsum("bii->bi", stack))
            apart = ~np.eye(rows.shape[1], dtype=bool)
            found = (stack / errors[:, :, None] / errors[:, None, :])[:, apart]
            found = found[np.isfinite(found)]
            if len(found):
                lows.append(found.min())
                highs.append(found.max())
        reach = f"{number(min(lows))} to {number(max(highs))}" if lows else "none: no two effects"
        title = f"Sampling covariance of {len(order)} effects in {len(sizes)} clusters ({self.how})"
        pairs = [
            ("effects per cluster", f"{sizes.min()} to {sizes.max()}"),
            ("correlations", reach),
        ]
        return Card(title, pairs)


def block_list(V: Any, cluster: pd.Series[Any]) -> SamplingCovariance:
    """Read a covariance given as blocks or as a whole matrix, and check it.

    Parameters
    ----------
    V : SamplingCovariance or list of array_like or array_like
        One block per cluster, in order of first appearance, or the n by n matrix.
    cluster : pandas.Series
        The cluster of each effect.

    Returns
    -------
    SamplingCovariance
        The same as blocks.

    Raises
    ------
    PoolError
        If the shapes do not fit, clusters are correlated, or a block is not positive definite.

    Examples
    --------
    >>> block_list([[[1.0]], [[2.0]]], pd.Series(["a", "b"])).variances.tolist()
    [1.0, 2.0]
    """
    codes, labels = cluster_codes(cluster)
    n = len(codes)
    if isinstance(V, SamplingCovariance):
        if len(V.block) != n:
            raise PoolError(f"V speaks of {len(V.block)} effects and there are {n}; make it anew.")
        known = cluster.notna().to_numpy()
        pairs = pd.DataFrame({"block": V.block[known], "cluster": codes[known]})
        if pairs.drop_duplicates()["block"].duplicated().any():
            raise PoolError("V correlates effects of different clusters; use the same cluster=.")
        return V
    sizes = np.bincount(codes, minlength=len(labels))
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    if _as_blocks(V, len(labels), n):
        blocks = [np.atleast_2d(_matrix(block)) for block in V]
        for label, block, size in zip(labels, blocks, sizes, strict=True):
            if block.shape != (size, size):
                raise PoolError(
                    f"V: the block of cluster {label} is {block.shape[0]} by {block.shape[-1]} "
                    f"and the cluster has {size} effects; give one {size} by {size}."
                )
    else:
        whole = _matrix(V)
        if whole.shape != (n, n):
            raise PoolError(
                f"V has the shape {whole.shape}; give {len(labels)} blocks, one per cluster, or "
                f"a matrix of {n} by {n}."
            )
        beyond = whole[codes[:, None] != codes[None, :]]
        if np.isnan(beyond).any():
            raise PoolError("V lacks numbers between different clusters; write 0 there.")
        if np.any(beyond != 0):
            raise PoolError("V correlates effects of different clusters; use a wider cluster=.")
        blocks = [
            whole[np.ix_(order[a : a + m], order[a : a + m])]
            for a, m in zip(starts, sizes, strict=True)
        ]
    for label, block in zip(labels, blocks, strict=True):
        if not np.allclose(block, block.T, rtol=1e-10, atol=0, equal_nan=True):
            raise PoolError(f"V: the block of cluster {label} is not symmetric; check it.")
    values = np.concatenate([block.ravel() for block in blocks])
    return checked(codes, labels, sizes, order, starts, values, "as given")


def _as_blocks(V: Any, clusters: int, n: int) -> bool:
    """Tell a sequence of blocks from a whole matrix."""
    if isinstance(V, np.ndarray):
        return V.ndim == 3 and len(V) == clusters
    if not isinstance(V, (list, tuple)) or len(V) != clusters:
        return False
    return len(V) != n or _matrix(V[0]).ndim == 2


def _matrix(values: Any) -> Floats:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as err:
        raise PoolError(
            f"V is no covariance ({err}); give one matrix of numbers per cluster, or one of all "
            "effects."
        ) from err


def cluster_codes(cluster: pd.Series[Any]) -> tuple[Ints, pd.Index]:
    """Return the cluster of each row, by first appearance; a row without one is its own."""
    codes, labels = groups(cluster)
    lost = np.flatnonzero(codes < 0)
    codes[lost] = len(labels) + np.arange(len(lost))
    if len(lost):
        labels = labels.append(pd.Index([None] * len(lost), dtype=object))
    return codes, labels


def checked(
    codes: Ints,
    labels: pd.Index,
    sizes: Ints,
    order: Ints,
    starts: Ints,
    values: Floats,
    how: str,
) -> SamplingCovariance:
    """Raise if a block is no covariance; effects without a finite variance are not looked at."""
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    made = SamplingCovariance(labels, codes, place, sizes, values, how)
    for which, rows in by_size(starts, len(order)):
        stack = made.among(order[rows])
        unknown = ~np.isfinite(np.einsum("bii->bi", stack))
        stack[unknown[:, :, None] | unknown[:, None, :]] = 0.0
        at = np.arange(stack.shape[1])
        stack[:, at, at] = np.where(unknown, 1.0, stack[:, at, at])
        lacking = ~np.isfinite(stack).all(axis=(1, 2))
        if lacking.any():
            found = labels[which[lacking]].to_numpy(object)
            raise PoolError(
                f"the sampling covariance of cluster {listed(found)} lacks numbers ({how}); fill "
                "them in."
            )
        negative = ~(stack[:, at, at] > 0).all(axis=1)
        if negative.any():
            found = labels[which[negative]].to_numpy(object)
            raise PoolError(
                f"a sampling variance of cluster {listed(found)} is not above 0 ({how}); correct "
                "it."
            )
        errors = np.sqrt(stack[:, at, at])
        lowest = np.linalg.eigvalsh(stack / errors[:, :, None] / errors[:, None, :])[:, 0]
        # Eigenvalues of a correlation matrix are exact to about the machine's precision times m.
        bad = ~(lowest > 1e-14 * stack.shape[1])
        if bad.any():
            found = labels[which[bad]].to_numpy(object)
            raise PoolError(
                f"the sampling covariance of cluster {listed(found)} is not positive definite "
                f"(smallest eigenvalue of its correlations {lowest[bad][0]:.2g}, {how}); choose "
                "weaker correlations or drop effects that repeat others."
            )
    return made

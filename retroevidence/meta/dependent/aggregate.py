"""One effect per cluster, from several that are correlated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from retroevidence.errors import PoolError
from retroevidence.meta.dependent.clustered import Clustered, read_clustered, turn
from retroevidence.meta.dependent.columns import one_number


def aggregate(
    effects: pd.DataFrame | Mapping[str, Any],
    *,
    cluster: str,
    rho: float | None = None,
    V: Any = None,
    weighted: bool = True,
    yi: str = "yi",
    vi: str = "vi",
) -> pd.DataFrame:
    """Combine the effects of each cluster into one.

    Parameters
    ----------
    effects : pandas.DataFrame
        One row per effect.
    cluster : str
        Column of the cluster, usually the study.
    rho : float, optional
        Assumed correlation of the sampling errors within a cluster (0 for independent errors).
    V : SamplingCovariance or list of array_like or array_like, optional
        Or their covariance, as in :func:`retroevidence.meta.dependent.multilevel.pool_multilevel`.
    weighted : bool
        True: the best mean under that covariance, ``1'V⁻¹y / 1'V⁻¹1`` with variance
        ``1 / 1'V⁻¹1``. False: the plain mean, with variance ``1'V1 / m²`` (Borenstein et al. 2009,
        chapter 24), which allows ``rho=1`` and gives no effect a negative weight.
    yi, vi : str
        Columns of effects and sampling variances.

    Returns
    -------
    pandas.DataFrame
        One row per cluster, in order of first appearance: `cluster`, yi, vi, `effects` (how many
        were combined), and every column that is the same throughout each cluster. What was left
        out is in ``attrs["notes"]``.

    Raises
    ------
    PoolError
        If neither or both of `rho` and `V` are given, they are no covariance, or a column that is
        used is called `effects`.

    Examples
    --------
    >>> frame = pd.DataFrame({"lab": ["a", "a", "b"], "yi": [0.2, 0.6, 0.1], "vi": [0.1, 0.1, 0.2]})
    >>> aggregate(frame, cluster="lab", rho=0.5).round(3)
      lab   yi     vi  effects
    0   a  0.4  0.075        2
    1   b  0.1  0.200        1
    """
    if (V is None) == (rho is None):
        raise PoolError(
            "give the correlation of the sampling errors within a cluster as rho= (0 for "
            "independent errors), or their covariance as V=."
        )
    if "effects" in (cluster, yi, vi):
        raise PoolError("the answer counts in a column called effects; rename yours.")
    data = read_clustered(effects, cluster=cluster, yi=yi, vi=vi, V=V)
    y, v = _weighted(data, rho) if weighted else _plain(data, rho)
    table = pd.DataFrame({cluster: data.labels, yi: y, vi: v})
    table["effects"] = np.bincount(data.codes, minlength=len(data.labels))
    others = [name for name in data.frame.columns if name not in (cluster, yi, vi, "effects")]
    if others:
        grouped = data.frame[others].groupby(data.codes)
        keep = [name for name in others if _constant(grouped[name])]
        table = table.join(grouped.nth(0)[keep].set_axis(range(len(table)))) if keep else table
    table.attrs["notes"] = data.notes
    return table


def _constant(column: Any) -> bool:
    try:
        return bool(column.nunique(dropna=False).le(1).all())
    except TypeError:  # lists and the like cannot be compared
        return False


def _weighted(data: Clustered, rho: float | None) -> tuple[Any, Any]:
    turned = turn(data, rho)
    ones = turned.turn(np.ones(len(data.y)))
    solved = turned.base.solve(ones)
    precision = turned.base.layout.sums(ones * solved)
    return turned.base.layout.sums(turned.y * solved) / precision, 1 / precision


def _plain(data: Clustered, rho: float | None) -> tuple[Any, Any]:
    count = len(data.labels)
    sizes = np.bincount(data.codes, minlength=count)
    mean = np.bincount(data.codes, weights=data.y, minlength=count) / sizes
    if data.given is not None:
        turned = turn(data, None)
        ones = turned.turn(np.ones(len(data.y)))
        total = turned.base.layout.sums(ones * turned.base.multiply(ones))
    else:
        rho = one_number(rho, "rho")
        if not -1 <= rho <= 1:
            raise PoolError(f"rho={rho} is no correlation; give one from -1 to 1.")
        errors = np.bincount(data.codes, weights=np.sqrt(data.v), minlength=count)
        alone = np.bincount(data.codes, weights=data.v, minlength=count)
        total = (1 - rho) * alone + rho * errors**2
        if (total <= 0).any():
            raise PoolError(f"rho={rho} leaves a cluster without variance; choose one nearer to 0.")
    return mean, total / sizes**2

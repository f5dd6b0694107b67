"""A stack of weighted regressions, by orthogonal columns: what is left, and what is explained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def weighted_fits(
    y: Floats, v: Floats, x: Floats, tau2: Floats, moderators: list[int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Fit a stack of weighted regressions of the same size.

    Parameters
    ----------
    y, v : numpy.ndarray, shape (fits, k)
        Effects and positive variances.
    x : numpy.ndarray, shape (fits, k, p)
        Designs of full rank, p below k.
    tau2 : numpy.ndarray, shape (fits,)
        Variances between studies; the weights are ``1/(v + tau2)``.
    moderators : list of int
        The columns that are tested together, all but the intercept.

    Returns
    -------
    beta, covariance, mean_square, explained : numpy.ndarray
        Coefficients (fits, p), their usual covariance (fits, p, p), the weighted residual mean
        square and the weighted sum of squares that the moderators explain beyond the rest.

    Notes
    -----
    Rows come with the largest weights first, which keeps the digits of all. Residuals and the part
    of the moderators, whose columns come last, are lengths in the orthonormal basis of the QR
    decomposition: no coefficient enters them and no covariance is inverted, so columns that are
    almost the same cost them nothing.

    Examples
    --------
    >>> y, v, x = np.array([[1.0, 2.0, 3.0]]), np.ones((1, 3)), np.array([[[1, 0], [1, 1], [1, 2]]])
    >>> weighted_fits(y, v, x, np.zeros(1), [1])[0].round(12).tolist()
    [[1.0, 1.0]]
    """
    others = [j for j in range(x.shape[2]) if j not in moderators]
    columns = [*others, *moderators]
    order = np.argsort(v, axis=1, kind="stable")
    y, v = np.take_along_axis(y, order, 1), np.take_along_axis(v, order, 1)
    x = np.take_along_axis(x, order[..., None], 1)[..., columns]
    level = x[:, :1, 0]
    shift = np.zeros_like(y[:, :1])
    if others and (x[..., 0] == level).all():
        # Effects far from 0 lose their last digits in sums; differences of them do not.
        shift = y[:, :1]
    root = 1 / np.sqrt(v + tau2[:, None])
    basis, upper = np.linalg.qr(root[..., None] * x)
    loaded = root * (y - shift)
    part = np.swapaxes(basis, 1, 2) @ loaded[..., None]
    left = loaded - (basis @ part)[..., 0]
    beta = np.linalg.solve(upper, part)[..., 0]
    beta[:, :1] += shift / np.where(shift == 0, 1, level)
    back = np.argsort(columns)
    inverse = np.linalg.inv(upper)[:, back]
    mean_square = np.sum(left * left, axis=1) / (x.shape[1] - x.shape[2])
    explained = np.sum(part[:, len(others) :, 0] ** 2, axis=1)
    return beta[:, back], inverse @ np.swapaxes(inverse, 1, 2), mean_square, explained

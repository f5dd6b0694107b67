"""The CR2 adjustment of large clusters, in time linear in their effects.

The adjustment matrix is the geometric mean ``A = Phi (K Phi)^(-1/2)`` of Phi and the inverse of
``K = Phi - X B X'`` (Bhatia 2007, Positive Definite Matrices, chapter 4). The inverse root is the
integral ``(2/pi) int_0^inf (t² + K Phi)^(-1) dt``; after the substitution of Hale, Higham &
Trefethen (2008, doi 10.1137/070700607) a few dozen values of t give it to rounding. For each of
them K Phi is a diagonal plus a few vectors, so that nothing of size m by m appears.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ellipj, ellipkm1

Floats = NDArray[np.float64]


def adjust_large(
    diagonal: Floats, vectors: Floats, scales: Floats, x: Floats, b: Floats, g: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return ``A g`` with the symmetric A of ``A (Phi - X B X') A = Phi``, cluster by cluster.

    Parameters
    ----------
    diagonal, vectors, scales : numpy.ndarray, shapes (c, m), (c, m, r) and (r,)
        ``Phi = diag(d) + U diag(s) U'`` of c clusters of m effects.
    x, b, g : numpy.ndarray, shapes (c, m, p), (p, p) and (c, m, p)
        Design of the clusters, ``(X'Phi⁻¹X)⁻¹`` of all of them, and what A is applied to.

    Returns
    -------
    adjusted : numpy.ndarray, shape (c, m, p)
        ``A g``.
    reliable : numpy.ndarray of bool, shape (c,)
        False for a cluster that decides a coefficient (nearly) alone, or whose variances lie so
        far apart that the integral would lose digits.

    Examples
    --------
    >>> none, one = np.zeros((1, 2, 0)), np.ones((1, 2, 1))
    >>> found, _ = adjust_large(one[..., 0], none, np.zeros(0), one, np.array([[0.25]]), one)
    >>> found.round(9).ravel().tolist()  # 1/sqrt(1 - 2 * 0.25)
    [1.414213562, 1.414213562]
    """
    r = len(scales)
    d = diagonal[..., None]
    turned = np.swapaxes(vectors, -1, -2)
    phi_x = d * x + vectors @ (scales[:, None] * _inner(vectors, x))
    over = vectors / d
    inside = np.linalg.solve(
        np.eye(r) + scales[:, None] * _inner(vectors, over), scales[:, None] * _inner(over, x)
    )
    taken = np.linalg.eigvals(b @ _inner(x, x / d - over @ inside)).real.max(axis=-1)
    top = diagonal.max(axis=-1) + np.einsum("cmr,r->c", vectors**2, np.abs(scales))
    low, high = (1 - taken) * diagonal.min(axis=-1) ** 2, top**2
    reliable = (1 - taken > 1e-6) & (high <= 1e11 * low) & bool((scales >= 0).all())
    low = np.where(reliable, low, high)
    # Phi² in the same form as Phi, and K Phi = Phi² - X B (Phi X)'.
    left = np.concatenate([vectors, d * vectors, x], axis=-1)
    right = np.concatenate([vectors, d * vectors, phi_x], axis=-1)
    size = left.shape[-1]
    middle = np.zeros((len(diagonal), size, size))
    middle[:, :r, :r] = scales[:, None] * _inner(vectors, vectors) * scales
    middle[:, :r, r : 2 * r] = middle[:, r : 2 * r, :r] = np.diag(scales)
    middle[:, 2 * r :, 2 * r :] = -b
    square, unit = d**2, np.eye(size)
    root = np.zeros_like(g)
    for t, weight in zip(*_nodes(low, high), strict=True):
        shift = 1 / (square + t[:, None, None] ** 2)
        kernel = unit + middle @ _inner(right, shift * left)
        part = shift * g
        held = np.linalg.solve(kernel, middle @ _inner(right, part))
        root += weight[:, None, None] * (part - shift * (left @ held))
    return d * root + vectors @ (scales[:, None] * (turned @ root)), reliable


def _inner(one: Floats, other: Floats) -> Floats:
    return np.asarray(np.einsum("cma,cmb->cab", one, other))


def _nodes(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return values of t and weights for spectra within [low, high], shape (nodes, c) each.

    With the elliptic functions of modulus ``1 - low/high``, ``t = sqrt(low) sn(u)/cn(u)`` at the
    midpoints of equal steps of u. Nodes beyond the middle mirror those before it,
    ``sc(K - u) = 1/(k' sc(u))``, which keeps their digits when low/high is tiny.
    """
    ratio = low / high
    quarter = ellipkm1(ratio)
    half = 4 + int(np.ceil(0.9 * (np.log(1 / ratio.min()) + 3)))
    u = (np.arange(half)[:, None] + 0.5) * quarter / (2 * half)
    sn, cn, dn, _ = ellipj(u, 1 - ratio)
    ahead, slope, mirror = sn / cn, dn / cn**2, 1 / np.sqrt(ratio)
    t = np.concatenate([ahead, mirror / ahead])
    weights = np.concatenate([slope, mirror * slope / ahead**2])
    root = np.sqrt(low)
    return root * t, root * weights * quarter / (np.pi * half)

"""What the numbers of a fit must be, in arithmetic with 80 digits, given tau².

Where metafor and the library differ, this says who is right: it follows the definitions once more,
by plain sums and inverses, which lose digits; 80 are enough for that to be harmless.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

from generate import Set
from scipy.special import chdtrc, chdtri, fdtrc, ndtr, ndtri, stdtr, stdtrit

DIGITS = 80
#: Estimators that are a root of Q(tau²) minus its mean or its median.
BY_Q = ("EB", "PM", "PMM")
Numbers = list[Decimal]


class Exact:
    """One data set in exact decimals."""

    def __init__(self, data: Set) -> None:
        self.y = [Decimal(float(value)) for value in data.yi]
        self.v = [Decimal(float(value)) for value in data.vi]
        self.x = [[Decimal(float(value)) for value in row] for row in data.x]
        self.k, self.p = data.x.shape

    def weighted(self, w: Numbers) -> tuple[list[Numbers], Numbers, Decimal]:
        """Return (X'WX)^-1, the coefficients and the weighted residual sum of squares."""
        p = range(self.p)
        rows = list(zip(w, self.x, self.y, strict=True))
        inverse = _inverse([[sum(a * x[i] * x[j] for a, x, _ in rows) for j in p] for i in p])
        right = [sum(a * x[i] * y for a, x, y in rows) for i in p]
        beta = [sum(inverse[i][j] * right[j] for j in p) for i in p]
        return inverse, beta, sum(a * r**2 for a, r in zip(w, self.residuals(beta), strict=True))

    def residuals(self, beta: Numbers) -> Numbers:
        """Return what a line leaves of the effects."""
        fitted = (sum(b * c for b, c in zip(beta, x, strict=True)) for x in self.x)
        return [y - f for y, f in zip(self.y, fitted, strict=True)]

    def projection(self, w: Numbers) -> list[Numbers]:
        """Return P = W - W X (X'WX)^-1 X'W."""
        inverse = self.weighted(w)[0]
        p = range(self.p)
        half = [[sum(x[i] * inverse[i][j] for i in p) for j in p] for x in self.x]
        out = []
        for i, a in enumerate(w):
            row = [
                -a * b * sum(half[i][m] * x[m] for m in p) for b, x in zip(w, self.x, strict=True)
            ]
            row[i] += a
            out.append(row)
        return out

    def weights(self, tau2: Decimal) -> Numbers:
        """Return 1/(v + tau²)."""
        return [1 / (v + tau2) for v in self.v]

    def q(self, tau2: Decimal) -> Decimal:
        """Return the generalised Q."""
        return self.weighted(self.weights(tau2))[2]

    def typical(self) -> Decimal:
        """Return the typical sampling variance behind I²."""
        projection = self.projection(self.weights(Decimal(0)))
        return (self.k - self.p) / sum(projection[i][i] for i in range(self.k))

    def moment(self, method: str) -> tuple[Numbers, Decimal, Decimal]:
        """Return weights, scale and offset of an estimator ``scale * y'Py - offset``."""
        df = Decimal(self.k - self.p)
        common = self.weights(Decimal(0))
        if method == "DL":
            projection = self.projection(common)
            trace = sum(projection[i][i] for i in range(self.k))
            return common, 1 / trace, df / trace
        if method == "HE":
            ones = [Decimal(1)] * self.k
            projection = self.projection(ones)
            return ones, 1 / df, sum(projection[i][i] * v for i, v in enumerate(self.v)) / df
        if method in ("HS", "HSk"):
            total, factor = sum(common), self.k / df if method == "HSk" else Decimal(1)
            return common, factor / total, self.k / total
        mean = sum(self.y) / self.k
        start = sum((y - mean) ** 2 for y in self.y) / self.k
        return [start / (v + start) for v in self.v], 1 / df, Decimal(0)

    def closed_form(self, method: str) -> Decimal:
        """Return tau² by DL, HE, HS, HSk or SJ."""
        if method == "SJ" and len(set(self.y)) == 1:
            return Decimal(0)
        w, scale, offset = self.moment(method)
        return max(Decimal(0), scale * self.weighted(w)[2] - offset)

    def score(self, tau2: Decimal, restricted: bool) -> Decimal:
        """Return the slope of twice the (restricted) log likelihood."""
        w = self.weights(tau2)
        residuals = self.residuals(self.weighted(w)[1])
        if restricted:
            projection = self.projection(w)
            lost = sum(projection[i][i] for i in range(self.k))
        else:
            lost = sum(w)
        return sum((a * r) ** 2 for a, r in zip(w, residuals, strict=True)) - lost

    def likelihood(self, tau2: Decimal, restricted: bool) -> Decimal:
        """Return twice the (restricted) log likelihood, without its constant."""
        w = self.weights(tau2)
        inverse, _, squares = self.weighted(w)
        value = sum(a.ln() for a in w) - squares
        return value + _determinant(inverse).ln() if restricted else value

    def tau2_se(self, method: str, tau2: Decimal) -> Decimal:
        """Return the standard error of tau² that each estimator defines."""
        s = [v + tau2 for v in self.v]
        if method == "ML":
            return (2 / sum(1 / a**2 for a in s)).sqrt()
        if method in BY_Q:
            df = Decimal(self.k - self.p)
            return (2 * self.k**2 / df).sqrt() / sum(1 / a for a in s)
        if method == "REML":
            projection = self.projection(self.weights(tau2))
            return (2 / sum(a**2 for row in projection for a in row)).sqrt()
        if method == "SJ" and len(set(self.y)) == 1:
            return Decimal(0)
        w, scale, _ = self.moment(method)
        projection = self.projection(w)
        square = sum(
            projection[i][j] ** 2 * s[i] * s[j] for i in range(self.k) for j in range(self.k)
        )
        return scale * (2 * square).sqrt()


def numbers(data: Set, method: str, test: str, tau2: float) -> dict[str, float]:
    """Return every number of a fit at a given tau², rounded only at the end."""
    with localcontext() as context:
        context.prec = DIGITS
        return _numbers(Exact(data), method, test, Decimal(tau2))


def _numbers(exact: Exact, method: str, test: str, tau2: Decimal) -> dict[str, float]:
    df = exact.k - exact.p
    inverse, beta, squares = exact.weighted(exact.weights(tau2))
    mean_square = squares / df
    factor = Decimal(1)
    if test == "knha":
        factor = mean_square
    elif test == "adhoc":
        factor = max(Decimal(1), mean_square)
    q, typical = exact.q(Decimal(0)), exact.typical()
    out: dict[str, Any] = {"mean_square": float(mean_square), "q": q}
    reach = -(float(ndtri(0.025)) if test == "z" else float(stdtrit(df, 0.025)))
    for j in range(exact.p):
        se = (inverse[j][j] * factor).sqrt()
        out[f"b{j}"], out[f"se{j}"] = beta[j], se
        out[f"lb{j}"], out[f"ub{j}"] = beta[j] - Decimal(reach) * se, beta[j] + Decimal(reach) * se
        if se:
            size = -abs(float(beta[j] / se))
            out[f"p{j}"] = 2 * float(ndtr(size) if test == "z" else stdtr(df, size))
    out["q_p"] = float(chdtrc(df, float(q)))
    if method == "CE":
        out["i2"], out["h2"] = max(Decimal(0), 100 * (q - df) / q) if q else Decimal(0), q / df
    else:
        out["i2"], out["h2"] = 100 * tau2 / (tau2 + typical), (tau2 + typical) / typical
        out["tau2_se"] = exact.tau2_se(method, tau2)
        if exact.p == 1:
            spread = Decimal(reach) * (tau2 + out["se0"] ** 2).sqrt()
            out["pi_lb"], out["pi_ub"] = beta[0] - spread, beta[0] + spread
    if exact.p > 1 and factor:
        block = [[factor * inverse[i][j] for j in range(1, exact.p)] for i in range(1, exact.p)]
        turned, m = _inverse(block), exact.p - 1
        wald = sum(beta[i + 1] * turned[i][j] * beta[j + 1] for i in range(m) for j in range(m))
        out["qm"] = wald if test == "z" else wald / m
        value = float(out["qm"])
        out["qm_p"] = float(chdtrc(m, value) if test == "z" else fdtrc(m, df, value))
    return {name: float(value) for name, value in out.items()}


def verdict(data: Set, method: str, ours: float, theirs: float) -> str:
    """Say why two estimates of tau² differ, if ours is the right one; "" if it is not."""
    with localcontext() as context:
        context.prec = DIGITS
        return _verdict(Exact(data), method, Decimal(ours), Decimal(theirs))


def _verdict(exact: Exact, method: str, ours: Decimal, theirs: Decimal) -> str:
    df = exact.k - exact.p
    if method in BY_Q:
        target = Decimal(float(chdtri(df, 0.5))) if method == "PMM" else df
        off_ours, off_theirs = exact.q(ours) - target, exact.q(theirs) - target
        if ours == 0:
            return "above the boundary" if off_ours <= 0 else ""
        return "root not reached" if abs(off_ours) < abs(off_theirs) else ""
    if method in ("ML", "REML"):
        return _maximum(exact, ours, theirs, restricted=method == "REML")
    right = exact.closed_form(method)
    return "rounding" if abs(ours - right) < abs(theirs - right) else ""


def _maximum(exact: Exact, ours: Decimal, theirs: Decimal, *, restricted: bool) -> str:
    gain = exact.likelihood(ours, restricted) - exact.likelihood(theirs, restricted)
    if gain <= 0:
        return ""
    near = Decimal("1e-6")
    below, above = (exact.score(theirs * (1 + d), restricted) for d in (-near, near))
    if above <= 0 and (below >= 0 or theirs == 0):
        # So flat that the likelihoods are equal to nine digits: the slope tells.
        if gain < Decimal("1e-9"):
            slopes = [abs(exact.score(t, restricted)) for t in (ours, theirs)]
            return "maximum not reached" if slopes[0] < slopes[1] else ""
        return "lower maximum"
    if ours == 0:
        return "above the boundary"
    return "stopped at the boundary" if theirs == 0 else "maximum not reached"


def _inverse(matrix: list[Numbers]) -> list[Numbers]:
    size = len(matrix)
    rows = [row + [Decimal(i == j) for j in range(size)] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = rows[i][i]
        rows[i] = [value / pivot for value in rows[i]]
        for j in range(size):
            if j != i:
                factor = rows[j][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[size:] for row in rows]


def _determinant(matrix: list[Numbers]) -> Decimal:
    if len(matrix) == 1:
        return matrix[0][0]
    first = matrix[0]
    return sum(
        (-1) ** j * first[j] * _determinant([row[:j] + row[j + 1 :] for row in matrix[1:]])
        for j in range(len(first))
    )

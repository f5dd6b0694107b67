"""From the scale effects are pooled on to the scale people read: percent, ratio, proportion."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from retroevidence._show import number
from retroevidence.report.style import minus


@dataclass(frozen=True)
class Scale:
    """How effects of one measure are written and where their axis has ticks.

    Attributes
    ----------
    name : str
        ``plain``, ``percent``, ``ratio``, ``proportion`` or ``correlation``.
    shown : callable
        From the pooled scale to the number a reader sees.
    pooled : callable
        Back again.
    null : float
        Where "no difference" is on the pooled scale; nan when the measure has no null.
    unit : str
        Sign written behind each number.
    digits : int, optional
        Decimals of plain numbers; by default by the size of each.
    """

    name: str
    shown: Callable[[float], float]
    pooled: Callable[[float], float]
    null: float
    unit: str = ""
    digits: int | None = None

    def fitted(self, error: float) -> Scale:
        """Return the scale with the decimals that standard errors of a usual size ask for.

        Only plain numbers with errors far from 1 need others: two decimals would make them 0.00, or
        tell more than is known.

        Examples
        --------
        >>> scale_of("MD").fitted(0.0002).interval_text(0.0011, 0.0019)
        '[0.0011, 0.0019]'
        >>> scale_of("MD").fitted(120.0).text(88.4), scale_of("MD").fitted(0.2).text(88.4)
        ('88', '88.40')
        """
        if self.name != "plain" or self.pooled is not _same or not 0 < error < math.inf:
            return self
        if error < 0.005:
            return replace(self, digits=min(12, -math.floor(math.log10(error))))
        return replace(self, digits=0 if error >= 100 else 1) if error >= 10 else self

    def text(self, value: float) -> str:
        """Write one pooled-scale value for the reader.

        Examples
        --------
        >>> scale_of("ROMC").text(0.27), scale_of("SMD").text(-0.714), scale_of("RR").text(0.0)
        ('+31%', '−0.71', '1.00')
        >>> scale_of("OR").text(-6.2)
        '0.002'
        """
        if math.isnan(value):
            return "not available"
        seen = self.shown(value)
        if math.isinf(seen):
            return minus("∞" if seen > 0 else "-∞")
        if self.name == "percent":
            digits = 0 if abs(seen) >= 0.95 or seen == 0 else 1
            body = number(seen, digits)
            # "-100%" would say that nothing is left; the value itself never gets there.
            if seen > -100 and body == "-100":
                body = "-99.9"
            return minus(f"+{body}%" if seen > 0 and float(body) != 0 else f"{body}%")
        if self.name == "proportion":
            return f"{number(100 * seen, 1)}%"
        if self.name == "ratio" and seen < 0.005:
            # A ratio is never 0.
            if seen < 0.0001:
                return "<0.0001"
            return number(seen, -math.floor(math.log10(seen)))
        digits = 0 if abs(seen) >= 1000 else 1 if abs(seen) >= 100 else 2
        return minus(number(seen, digits if self.digits is None else self.digits))

    def interval_text(self, low: float, high: float) -> str:
        """Write an interval of the pooled scale for the reader.

        Examples
        --------
        >>> scale_of("MD").interval_text(-1.5, 0.25)
        '[−1.50, 0.25]'
        """
        if math.isnan(low) or math.isnan(high):
            return ""
        return f"[{self.text(low)}, {self.text(high)}]"

    def bound_text(self, low: float, high: float) -> str:
        """Say between which values of the pooled scale a result lies.

        Examples
        --------
        >>> smd = scale_of("SMD")
        >>> smd.bound_text(0.0, math.inf), smd.bound_text(-0.5, 0.5)
        ('above 0.00', 'within −0.50 to 0.50')
        """
        if math.isinf(low) and math.isinf(high):
            return "size not known"
        if math.isinf(high):
            return f"above {self.text(low)}"
        if math.isinf(low):
            return f"below {self.text(high)}"
        return f"within {self.text(low)} to {self.text(high)}"

    def ticks(self, low: float, high: float, most: int = 6) -> list[tuple[float, str]]:
        """Return tick places on the pooled scale between two limits, each with its text.

        Examples
        --------
        >>> [text for _, text in scale_of("RR").ticks(-1.5, 1.5)]
        ['0.5', '1', '2']
        >>> [text for _, text in scale_of("ROMC").ticks(-0.3, 0.5)]
        ['−20%', '0%', '+20%', '+40%', '+60%']
        """
        marks: list[tuple[float, str]] = []
        if self.name == "ratio":
            marks = self._thin([(math.log(v), f"{v:g}") for v in _RATIOS], low, high, most)
        elif self.name == "proportion" and self.pooled is not _same:
            shares = [(self.pooled(v), f"{100 * v:g}%") for v in _SHARES]
            marks = self._thin(shares, low, high, most)
        elif self.name == "percent":
            marks = self._percents(low, high, most)
        return marks if len(marks) > 1 else self._even(low, high, most)

    def _percents(self, low: float, high: float, most: int) -> list[tuple[float, str]]:
        """Return ticks at round percentages, the finest step that leaves room between them."""
        marks: list[tuple[float, str]] = []
        for step in (5, 10, 20, 25, 50, 100, 200, 500, 1000, 5000, 20000):
            top = min(self.shown(high), 1e6)
            values = range(-(95 // step) * step, int(top) + step, step)
            marks = [(self.pooled(float(v)), minus(f"{v:+d}%" if v else "0%")) for v in values]
            inside = [mark for mark in marks if low <= mark[0] <= high]
            if len(inside) <= most and self._apart(inside, low, high):
                return inside
        return self._thin(marks, low, high, most)

    def _even(self, low: float, high: float, most: int) -> list[tuple[float, str]]:
        """Return ticks at even steps of the scale people read."""
        factor = 100.0 if self.name == "proportion" else 1.0
        bottom, top = factor * self.shown(low), factor * self.shown(high)
        span = top - bottom
        step = 10.0 ** math.floor(math.log10(span / most))
        step *= next(f for f in (1, 2, 2.5, 5, 10, 20) if span / (f * step) <= most)
        start, stop = math.ceil(bottom / step - 1e-9), math.floor(top / step + 1e-9)
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        # A step of 0.25 or 2.5 needs one more place than its size says.
        if round(step * 10**places, 6) % 1:
            places += 1
        marks = []
        for value in (n * step for n in range(start, stop + 1)):
            plus = "+" if self.name == "percent" and value > 0 else ""
            text = minus(f"{plus}{number(value, places)}{self.unit}")
            marks.append((self.pooled(value / factor), text))
        return [mark for mark in marks if low <= mark[0] <= high]

    def _thin(
        self, marks: list[tuple[float, str]], low: float, high: float, most: int
    ) -> list[tuple[float, str]]:
        """Keep the null and, going outward, each mark with enough room."""
        room = (high - low) / most
        inside = sorted(mark for mark in marks if low <= mark[0] <= high)
        middle = (low + high) / 2 if math.isnan(self.null) else self.null
        centre = min(inside, key=lambda mark: abs(mark[0] - middle), default=None)
        if centre is None:
            return []
        kept = [centre]
        for mark in inside:
            if mark[0] > centre[0] and mark[0] - kept[-1][0] >= room:
                kept.append(mark)
        left = [centre]
        for mark in reversed(inside):
            if mark[0] < centre[0] and left[-1][0] - mark[0] >= room:
                left.append(mark)
        return sorted(left[1:] + kept)

    def _apart(self, marks: list[tuple[float, str]], low: float, high: float) -> bool:
        room = (high - low) / 8
        return all(b[0] - a[0] >= room for a, b in pairwise(marks))


_RATIOS = sorted(
    [float(f"{digit}e{power}") for power in range(-5, 5) for digit in (1, 2, 5)] + [0.8, 1.25, 1.5]
)
_SHARES = tuple(
    share / 1000
    for share in (1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 700, 800, 900, 950, 980, 990)
)


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def _logit(p: float) -> float:
    return -math.inf if p <= 0 else math.inf if p >= 1 else math.log(p / (1.0 - p))


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _same(x: float) -> float:
    return x


_PLAIN = Scale("plain", _same, _same, 0.0)
_RATIO = Scale("ratio", _exp, _log, 0.0)
_PERCENT = Scale(
    "percent", lambda x: 100.0 * (_exp(x) - 1.0), lambda v: _log(1.0 + v / 100.0), 0.0, "%"
)
_NO_NULL = math.nan
_SCALES = {
    **dict.fromkeys(("ROM", "ROMC"), _PERCENT),
    **dict.fromkeys(("OR", "RR", "PETO", "IRR", "VR", "CVR"), _RATIO),
    **dict.fromkeys(("D2OR", "D2ORL", "D2ORN", "MPRR", "MPOR", "MPORC", "MPPETO"), _RATIO),
    **dict.fromkeys(("MN", "PFT", "ARAW"), Scale("plain", _same, _same, _NO_NULL)),
    # The chance that the first of two people has the higher value; even chances are no effect.
    "CLES": Scale("plain", _same, _same, 0.5),
    "MNLN": Scale("plain", _exp, _log, _NO_NULL),
    "PR": Scale("proportion", _same, _same, _NO_NULL, "%"),
    "PLN": Scale("proportion", _exp, _log, _NO_NULL, "%"),
    "PLO": Scale("proportion", _expit, _logit, _NO_NULL, "%"),
    "PAS": Scale(
        "proportion",
        lambda x: math.sin(min(max(x, 0.0), math.pi / 2)) ** 2,
        lambda p: math.asin(math.sqrt(min(max(p, 0.0), 1.0))),
        _NO_NULL,
        "%",
    ),
    "ZCOR": Scale("correlation", math.tanh, lambda r: math.atanh(r) if abs(r) < 1 else math.inf, 0),
}


def scale_of(measure: str) -> Scale:
    """Return how effects of a measure are shown; a measure without a rule is shown as it is.

    Log ratios of means become percent differences, other log ratios become ratios, transformed
    proportions become percent.

    Examples
    --------
    >>> scale_of("OR").name, scale_of("ROM").name, scale_of("PLO").text(0.0), scale_of("x").name
    ('ratio', 'percent', '50.0%', 'plain')
    """
    return _SCALES.get(measure, _PLAIN)

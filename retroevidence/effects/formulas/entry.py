"""One entry of the catalogue of measures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

from retroevidence.effects.formulas.checks import Effect, Floats

Arguments = tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """What a measure is: its name in words, its scale, the numbers it needs.

    Attributes
    ----------
    name, scale : str
        In words.
    arguments : tuple of str
        The numbers it is computed from.
    compute : callable
        Its formula.
    options : tuple of str
        Keywords that change the formula.
    ignores : tuple of str
        Numbers of its family that it takes without using them, so that one call can serve several
        measures.
    other : dict
        Other sets of numbers it can be computed from, with their formulas.
    added : callable, optional
        What is added to counts with a zero cell; NaN where the study is left out.
    added_otherwise : callable, optional
        The same for the other set of numbers.
    undefined : str
        When the measure does not exist though all numbers are there.

    Examples
    --------
    >>> from retroevidence.effects.formulas.catalogue import MEASURES
    >>> MEASURES["ROM"].name, MEASURES["ROM"].scale
    ('log ratio of means', 'log ratio')
    >>> print(MEASURES["ROM"].formula)
    with c = sd²/(n m²), ln(m1/m2) + (c1-c2)/2; variance c1 + c2
    """

    name: str
    scale: str
    arguments: Arguments
    compute: Callable[..., Effect]
    options: Arguments = ()
    ignores: Arguments = ()
    other: dict[Arguments, Callable[..., Effect]] = field(default_factory=dict)
    added: Callable[..., Floats] | None = None
    added_otherwise: Callable[..., Floats] | None = None
    undefined: str = ""

    @property
    def formula(self) -> str:
        """Estimate and variance, as the documentation of the formula says."""
        return self._paragraph("Formula: ")

    @property
    def source(self) -> str:
        """Where the formula comes from."""
        return self._paragraph("Source: ").removesuffix(".")

    @property
    def ways(self) -> dict[Arguments, Callable[..., Effect]]:
        """Every set of numbers the measure can be computed from, the usual one first."""
        return {self.arguments: self.compute, **self.other}

    def _paragraph(self, start: str) -> str:
        paragraphs = (inspect.getdoc(self.compute) or "").split("\n\n")
        found = (" ".join(p.split()) for p in paragraphs if p.startswith(start))
        return next(found, "").removeprefix(start)

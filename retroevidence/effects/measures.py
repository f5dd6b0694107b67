"""Effect sizes and their sampling variances from the numbers a study reports.

Sign rule: group 1 is the experimental arm (or the later time point), group 2 the comparator; a
difference is 1 minus 2 and a ratio is 1 over 2. Every measure is elementwise and broadcasts, so
one call serves one study or a whole table. The formulas live beside each other by what they need:
`means`, `paired`, `counts`, `rates`, `correlations`, `single`; `catalogue` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.effects.formulas.catalogue import MEASURES
from retroevidence.effects.formulas.checks import Effect, Floats, as_floats
from retroevidence.effects.formulas.entry import Arguments, Measure
from retroevidence.effects.formulas.hedges import hedges_j
from retroevidence.effects.formulas.matched import possible_r
from retroevidence.effects.formulas.zero_cells import ZERO_CELL_RULES, amount
from retroevidence.errors import EffectError, check_name

__all__ = [
    "MEASURES",
    "ZERO_CELL_RULES",
    "Effect",
    "Floats",
    "Measure",
    "effect_size",
    "hedges_j",
    "measures",
]


def measures() -> pd.DataFrame:
    """Return a table of all measures: code, name, scale, arguments, options, formula, source.

    Returns
    -------
    DataFrame
        One row per measure, index 0, 1, …; `arguments` lists every set of numbers the measure can
        be computed from, separated by "or".

    Examples
    --------
    >>> table = measures().set_index("measure")
    >>> print(table.loc["OR", "formula"])
    with b = n1-a and d = n2-c, ln(ad/(bc)); variance 1/a + 1/b + 1/c + 1/d
    >>> table.loc["SMCC", "arguments"]
    'm1 m2 sd1 sd2 n r or t n'
    """
    rows = [
        {
            "measure": code,
            "name": spec.name,
            "scale": spec.scale,
            "arguments": " or ".join(" ".join(names) for names in spec.ways),
            "options": " ".join(spec.options),
            "formula": spec.formula,
            "source": spec.source,
        }
        for code, spec in MEASURES.items()
    ]
    return pd.DataFrame(rows)


def effect_size(measure: str, **numbers: Any) -> Effect:
    """Compute effect sizes `yi` and sampling variances `vi` from what studies report.

    Parameters
    ----------
    measure : str
        A key of ``MEASURES``: MD SMD SMDH SMD1 SMD1H ROM VR CVR CLES D2OR D2ORN D2ORL, MC SMCC
        SMCR SMCRH SMCRP SMCRPH ROMC, OR RR RD PETO AS PHI OR2D OR2DN OR2DL, MPRD MPRR MPOR MPORC
        MPPETO, COR ZCOR PCOR, PR PLN PLO PAS PFT, IRR IRD IRSD, MN MNLN ARAW GEN.
        :func:`measures` lists what each one needs.
    **numbers : array_like
        Two groups: means `m1` `m2`, standard deviations `sd1` `sd2`, group sizes `n1` `n2`; for
        SMD also Cohen's `d`, Student's `t`, or the exact two-sided `p` with its `sign`, each with
        `n1` and `n2`; for D2OR also `d` and `vi`. The same `n` people twice: `m1` (later), `m2`,
        `sd1`, `sd2` and their correlation `r`; SMCR and SMCRH divide by `sd1`, so give there the
        SD to standardise by, usually the SD before; SMCC also takes the paired `t` and `n`.
        Events `a` of `n1` and `c` of `n2`, or `x` of `n`; events `x1` `x2` in times at risk `t1`
        `t2`. Matched pairs with the event under both conditions `a`, the first only `b`, the
        second only `c` and neither `d`; MPRD, MPRR and MPOR also from the events `x1` and `x2` of
        `n` people and the correlation `r` of the two outcomes (phi), reported or, in a
        sensitivity analysis, assumed. Correlations `r` of `n`; PCOR also `t`, with `m`
        predictors; ARAW `alpha` of `m` items. Options: `correct` (True) for the bias
        correction of ROM, ROMC and CVR; `add` (0.5) and `to` ("only0", "any0", "all", "none")
        for zero cells.

    Returns
    -------
    yi, vi : numpy.ndarray
        Same shape as the broadcast input; numpy scalars for scalar input. Experimental minus
        comparator (1 minus 2); ratios and proportions on the log or transformed scale. NaN where
        an input is NaN, where both arms have no events (or only events) and the measure is a
        ratio (except with ``to="any0"`` or ``to="all"``), where the measure is undefined (the log
        ratio of means of opposite sign), and where the variance would be 0 (a correlation of 1),
        which would take all the weight.

    Raises
    ------
    UnknownNameError
        If `measure` is unknown.
    EffectError
        If a number is missing, unknown or impossible: an SD not above 0, fewer than two people
        behind an SD, a correlation outside [-1, 1] or beyond what two numbers of events allow,
        more events than people.

    See Also
    --------
    retroevidence.effects.from_table.effect_sizes : the same for the columns of a table, with the
        reason beside each missing effect.

    Notes
    -----
    Zero cells: `add` goes only to the tables that have one. RD, AS and PHI stay defined for double
    zeros or need no correction; PETO needs none for a single zero. The marginal measures of pairs
    (MPRD, MPRR, MPOR) need one where a condition has no event or only events, or no pair differs,
    the conditional ones where `b` or `c` is 0, MPPETO none; metafor adds wherever one of the four
    is 0. ``to="any0"`` gives double
    zeros an effect too, which for ratios means one of about 0 made of nothing but `add`. SMD uses
    the exact factor J of :func:`hedges_j`.

    Examples
    --------
    >>> yi, vi = effect_size("SMD", m1=[10, 12], sd1=2, n1=10, m2=[9, 9], sd2=2, n2=10)
    >>> yi.round(4).tolist(), vi.round(4).tolist()
    ([0.4788, 1.4365], [0.2057, 0.2516])
    >>> effect_size("OR", a=[0, 0], n1=20, c=[3, 0], n2=20)[0].round(4).tolist()
    [-2.1041, nan]
    >>> round(float(effect_size("SMD", t=2.5, n1=16, n2=16)[0]), 4)
    0.8616
    """
    yi, vi = raw_effect(measure, **numbers)
    usable = np.isfinite(yi) & np.isfinite(vi) & (vi > 0)
    return np.where(usable, yi, np.nan)[()], np.where(usable, vi, np.nan)[()]


def raw_effect(measure: str, **numbers: Any) -> Effect:
    """Effect sizes as :func:`effect_size`, before those without a usable variance become NaN.

    Parameters
    ----------
    measure, **numbers
        As for :func:`effect_size`.

    Returns
    -------
    yi, vi : numpy.ndarray
        What the formula gives, which may be infinite, NaN, or a variance of 0.

    Raises
    ------
    UnknownNameError, EffectError
        As :func:`effect_size`.

    Examples
    --------
    >>> raw_effect("COR", r=1, n=9)[1]
    array(0.)
    """
    spec = known(measure)
    options = {name: numbers.pop(name) for name in spec.options if name in numbers}
    check_options(measure, options)
    values = {name: number for name, number in numbers.items() if name not in spec.ignores}
    names, compute = _way(measure, spec, values)
    arrays = [_as_floats(measure, name, values[name]) for name in names]
    try:
        arrays = list(np.broadcast_arrays(*arrays))
    except ValueError as err:
        shapes = ", ".join(
            f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True)
        )
        raise EffectError(
            f"effect_size({measure!r}): the shapes do not fit together ({shapes}); "
            "give one value per study, or one for all."
        ) from err
    found = impossible(measure, dict(zip(names, arrays, strict=True)))
    if found is not None:
        name, where, rule = found
        value = np.ravel(arrays[names.index(name)])[where]
        place = f" at position {where}" if arrays[0].size > 1 else ""
        raise EffectError(f"effect_size({measure!r}): {name} is {value:g}{place}; {rule}.")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        yi, vi = compute(*arrays, **options)
    return np.asarray(yi, dtype=float), np.asarray(vi, dtype=float)


def known(measure: str) -> Measure:
    """Return the entry of a measure, or raise where there is none of that name.

    Examples
    --------
    >>> known("OR").name
    'log odds ratio'
    """
    check_name("measure", measure, MEASURES)
    return MEASURES[measure]


def check_options(measure: str, options: dict[str, Any]) -> None:
    """Raise where an option is not of its kind.

    Examples
    --------
    >>> check_options("OR", {"add": 0.5, "to": "all"})
    """
    where = f"effect_size({measure!r})"
    add = options.get("add", 0.5)
    if not (isinstance(add, (int, float, np.number)) and 0 <= add < np.inf):
        raise EffectError(f"{where}: add={add!r} is not a number above 0 or 0; write add=0.5.")
    correct = options.get("correct", True)
    if not isinstance(correct, (bool, np.bool_)):
        raise EffectError(f"{where}: correct={correct!r} is neither True nor False.")
    if "to" in options:
        amount(np.zeros(0, dtype=bool), 0.5, options["to"])


def _way(
    measure: str, spec: Measure, values: dict[str, Any]
) -> tuple[Arguments, Callable[..., Effect]]:
    """Return the formula whose numbers are exactly those given."""
    for names, compute in spec.ways.items():
        if set(names) == set(values):
            return names, compute
    # The set of numbers that shares most names with those given is the one that was meant.
    meant = max(spec.ways, key=lambda names: len(set(names) & set(values)))
    missing = [name for name in meant if name not in values]
    unknown = [name for name in values if name not in meant]
    wrong = [f"{' '.join(missing)} missing"] if missing else []
    wrong += [f"{' '.join(unknown)} not understood"] if unknown else []
    needs = ", or ".join(" ".join(names) for names in spec.ways)
    extra = f", and takes {' '.join(spec.options)}" if spec.options else ""
    raise EffectError(
        f"effect_size({measure!r}): {', '.join(wrong)}; {measure} needs {needs}{extra}."
    )


def _as_floats(measure: str, name: str, value: Any) -> Floats:
    try:
        return as_floats(name, value)
    except EffectError as err:
        raise EffectError(f"effect_size({measure!r}): {err}") from err


_SPREADS = ("sd", "sd1", "sd2")
_EVENTS = (("a", "n1"), ("c", "n2"), ("x", "n"), ("x1", "n"), ("x2", "n"))


def impossible(measure: str, given: dict[str, Floats]) -> tuple[str, int, str] | None:
    """Return the first impossible number: its name, its position, and the rule it breaks.

    Parameters
    ----------
    measure : str
        A key of ``MEASURES``.
    given : dict
        Arrays of one shape by the name of the argument.

    Returns
    -------
    tuple or None
        None when every number is possible; NaN is.

    Examples
    --------
    >>> import numpy as np
    >>> impossible("COR", {"r": np.array([0.1, 1.2]), "n": np.array([9.0, 9.0])})
    ('r', 1, 'a correlation lies between -1 and 1')
    """
    # Behind a spread, a correlation or a t stand two people at least.
    least = 2 if {*_SPREADS, "r", "t", "d", "p", "alpha"} & set(given) else 1
    rules: list[tuple[str, NDArray[np.bool_], str]] = []
    for name, value in given.items():
        if name in _SPREADS:
            rules.append((name, value <= 0, "a standard deviation must be above 0"))
        elif name in ("n", "n1", "n2"):
            rules.append((name, value < least, f"{measure} needs at least {least} people"))
        elif name == "r":
            rules.append((name, np.abs(value) > 1, "a correlation lies between -1 and 1"))
        elif name in ("t1", "t2"):
            rules.append((name, value <= 0, "a time at risk must be above 0"))
        elif name in ("a", "b", "c", "x", "x1", "x2") or (name == "d" and "b" in given):
            rules.append((name, value < 0, "a count cannot be negative"))
        elif name == "p":
            rules.append((name, (value <= 0) | (value > 1), "an exact p lies above 0 and up to 1"))
        elif name == "sign":
            rules.append((name, np.abs(value) != 1, "it is 1 or -1"))
        elif name == "alpha":
            rules.append((name, value > 1, "alpha is at most 1"))
        elif name == "vi":
            rules.append((name, value <= 0, "a variance must be above 0"))
        elif name == "m" and measure in ("ARAW", "PCOR"):
            of, fewest = ("items", 2) if measure == "ARAW" else ("predictors", 1)
            rules.append((name, value < fewest, f"{measure} needs at least {fewest} {of}"))
        rules.append((name, np.isinf(value), "a number must be finite"))
    rules += [
        (events, given[events] > given[people], f"it cannot exceed {people}, the people")
        for events, people in _EVENTS
        if events in given and people in given
    ]
    if {"a", "b", "c", "d"} <= set(given):
        none = given["a"] + given["b"] + given["c"] + given["d"] == 0
        rules.append(("d", none, "there are no pairs at all"))
    if {"x1", "x2", "n", "r"} <= set(given):
        rules += _possible_r(*(given[name] for name in ("x1", "x2", "n", "r")))
    for name, broken, rule in rules:
        if np.any(broken & ~np.isnan(given[name])):
            return name, int(np.argmax(np.ravel(broken & ~np.isnan(given[name])))), rule
    return None


def _possible_r(
    x1: Floats, x2: Floats, n: Floats, r: Floats
) -> list[tuple[str, NDArray[np.bool_], str]]:
    """Return the rule for the correlation of two yes-or-no outcomes of the same people."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = possible_r(x1, x2, n)
        # A printed correlation is rounded to two digits.
        broken = (r < low - 0.005) | (r > high + 0.005)
    if not np.any(broken):
        return []
    i = int(np.argmax(np.ravel(broken)))
    one, two, people, least, most = (np.ravel(x)[i] for x in (x1, x2, n, low, high))
    rule = (
        f"{one:g} and {two:g} events of the same {people:g} people allow {least:.2f} to {most:.2f}"
    )
    return [("r", broken, rule)]

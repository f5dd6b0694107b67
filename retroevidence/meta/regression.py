"""Design matrices for meta-regression, from a formula or from an array."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retroevidence.errors import PoolError

Floats = NDArray[np.float64]
INTERCEPT = "intercept"


@dataclass(frozen=True)
class Design:
    """The columns a model is fitted on, and how to build them again for new studies.

    `matrix` has one row per row of the input; a row that is not to enter, or lacks a moderator, is
    NaN throughout. `spec` is formulaic's description of a formula, None for arrays; `columns` are
    the columns of the data behind a formula, or those of an array that had names.

    Examples
    --------
    >>> Design.plain(2).names
    ('intercept',)
    """

    matrix: Floats
    names: tuple[str, ...]
    spec: Any = None
    adds_intercept: bool = True
    columns: tuple[str, ...] = ()

    @classmethod
    def plain(cls, k: int) -> Design:
        """Return the design of a single mean for `k` studies."""
        return cls(np.ones((k, 1)), (INTERCEPT,))

    @cached_property
    def moderators(self) -> list[int]:
        """Positions of the columns that are not the intercept."""
        return [i for i, name in enumerate(self.names) if name != INTERCEPT]

    @property
    def terms(self) -> dict[str, list[int]]:
        """Positions of the columns of each term of the model that is not the intercept."""
        if self.spec is None:
            return {self.names[i]: [i] for i in self.moderators}
        slices = {
            str(term): range(len(self.names))[at] for term, at in self.spec.term_slices.items()
        }
        kept = {term: [i for i in at if i in self.moderators] for term, at in slices.items()}
        return {term: at for term, at in kept.items() if at}

    def rows(self, newdata: Any) -> tuple[Floats, pd.Index]:
        """Return design rows for `newdata`, NaN where a moderator is missing, with its index."""
        if self.spec is not None:
            frame = _frame(newdata)
            absent = sorted(set(self.columns) - set(frame.columns))
            if absent:
                raise PoolError(
                    f"predict: newdata has no column {', '.join(absent)}, which the formula uses; "
                    "add it."
                )
            return self._formula_rows(frame), frame.index
        if self.columns and isinstance(newdata, (pd.DataFrame, Mapping)):
            named = _frame(newdata)
            if set(self.columns) <= set(named.columns):
                # By name, so that the order of the columns cannot matter.
                newdata = named[list(self.columns)]
        wanted = len(self.names) - self.adds_intercept
        values = _two_dimensional(newdata, wanted)
        index = newdata.index if isinstance(newdata, pd.DataFrame) else pd.RangeIndex(len(values))
        if values.shape[1] != wanted:
            raise PoolError(
                f"predict: newdata has {values.shape[1]} columns and mods had {wanted}; "
                "give the same columns in the same order."
            )
        if not self.adds_intercept:
            return values, index
        return np.column_stack([np.ones(len(values)), values]), index

    def _formula_rows(self, frame: pd.DataFrame) -> Floats:
        from formulaic.errors import DataMismatchWarning, FormulaicError

        complete = frame[list(self.columns)].notna().all(axis=1).to_numpy()
        matrix = np.full((len(frame), len(self.names)), np.nan)
        if complete.any():
            frame = _plain_factors(frame.loc[complete], self.columns)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", DataMismatchWarning)
                    made = self.spec.get_model_matrix(frame, na_action="ignore")
            except DataMismatchWarning as err:
                raise PoolError(f"predict: {self._strangers(frame)}") from err
            except FormulaicError as err:
                raise PoolError(
                    f"predict: newdata does not fit the formula ({err}); "
                    "give numbers where the studies have numbers."
                ) from err
            matrix[complete] = np.asarray(made, dtype=float)
        return matrix

    def _strangers(self, frame: pd.DataFrame) -> str:
        """Name the levels of `frame` that no study of the fit has."""
        found = []
        for factor, variables in self.spec.factor_variables.items():
            known = self.spec.encoder_state.get(str(factor), (None, {}))[1].get("categories")
            for column in sorted(set(map(str, variables)) & set(frame.columns)):
                new = [] if known is None else sorted(set(frame[column]) - set(known), key=str)
                if new:
                    found.append(
                        f"newdata has {', '.join(map(str, new))} in {column}, which no study of "
                        f"the fit has; it knows {', '.join(map(str, known))}."
                    )
        return " ".join(found) or "newdata has levels which no study of the fit has."


def design_of(mods: Any, frame: pd.DataFrame, entering: NDArray[np.bool_] | None = None) -> Design:
    """Build the design matrix of `mods` for the rows of `frame`.

    Parameters
    ----------
    mods : str or array_like or None
        A one-sided formula ("~ dose + C(design)"), a 2-d array or DataFrame with one column per
        moderator, a single column, or None for the plain mean. Arrays get an intercept unless one
        of their columns is constant.
    frame : pandas.DataFrame
        The studies, in the order of the effects.
    entering : numpy.ndarray of bool, optional
        Which rows have an effect; the levels of a factor and the centre of a variable come from
        these alone. All when not given.

    Returns
    -------
    Design
        One row per row of `frame`, NaN where it is not to enter or a moderator is missing.

    Raises
    ------
    PoolError
        If a column of the formula is missing or the array has the wrong number of rows.

    Examples
    --------
    >>> design_of("~ dose", pd.DataFrame({"dose": [1.0, 2.0, None]})).matrix.tolist()
    [[1.0, 1.0], [1.0, 2.0], [nan, nan]]
    """
    if mods is None:
        return Design.plain(len(frame))
    if isinstance(mods, str):
        return _from_formula(mods, frame, entering)
    values = _two_dimensional(mods, None)
    if len(values) != len(frame):
        raise PoolError(
            f"mods has {len(values)} rows for {len(frame)} effects; give one row per effect."
        )
    if isinstance(mods, pd.Series) and mods.name is not None:
        mods = mods.to_frame()
    columns = tuple(map(str, mods.columns)) if isinstance(mods, pd.DataFrame) else ()
    names = list(columns) or [f"x{i + 1}" for i in range(values.shape[1])]
    values = np.where(np.isfinite(values).all(axis=1, keepdims=True), values, np.nan)
    seen = values[~np.isnan(values).any(axis=1)]
    constant = [i for i in range(seen.shape[1]) if len(seen) and np.ptp(seen[:, i]) == 0]
    if constant:
        names[constant[0]] = INTERCEPT
        return Design(values, tuple(names), adds_intercept=False, columns=columns)
    ones = np.where(np.isnan(values).any(axis=1), np.nan, 1.0)
    return Design(np.column_stack([ones, values]), (INTERCEPT, *names), columns=columns)


def check_rank(matrix: Floats, names: tuple[str, ...]) -> None:
    """Raise if the columns of a design cannot be told apart, or outnumber the studies.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (k, p)
        Design of the studies that enter.
    names : tuple of str
        Column names, for the message.

    Raises
    ------
    PoolError
        If ``k <= p`` for a regression, or if the rank is below p; it names the surplus columns.

    Examples
    --------
    >>> check_rank(np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]), ("intercept", "dose"))
    Traceback (most recent call last):
        ...
    retroevidence.errors.PoolError: in the studies that enter, dose adds nothing to intercept; ...
    """
    if names == (INTERCEPT,):
        return
    k, p = matrix.shape
    if p > 1 and k <= p:
        raise PoolError(
            f"{k} studies cannot carry {p} coefficients ({', '.join(names)}); "
            "use fewer moderators or more studies."
        )
    scaled = matrix / np.maximum(np.abs(matrix).max(axis=0), np.finfo(float).tiny)
    kept: list[int] = []
    surplus = []
    for i in range(p):
        if np.linalg.matrix_rank(scaled[:, [*kept, i]]) > len(kept):
            kept.append(i)
            continue
        made_of = np.linalg.lstsq(scaled[:, kept], scaled[:, i], rcond=None)[0]
        parts = [names[j] for j, part in zip(kept, made_of, strict=True) if abs(part) > 1e-8]
        surplus.append(f"{names[i]} adds nothing to {', '.join(parts) or 'a column of zeros'}")
    if surplus:
        raise PoolError(f"in the studies that enter, {'; '.join(surplus)}; leave it out.")


def parsed_formula(formula: str, columns: Any) -> tuple[Any, list[str]]:
    """Read a formula, and find the columns it uses.

    Parameters
    ----------
    formula : str
        One-sided, such as "~ dose + C(design)".
    columns : iterable
        The columns that there are.

    Returns
    -------
    formulaic.Formula, list of str
        The formula, and its columns in order of their names.

    Raises
    ------
    PoolError
        If it is no one-sided formula, or uses a column that there is not.

    Examples
    --------
    >>> parsed_formula("~ poly(dose, 2) + arm", ["arm", "dose", "year"])[1]
    ['arm', 'dose']
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        parsed = Formula(formula)
    except FormulaicError as err:
        raise PoolError(f"mods={formula!r} is not a formula ({err}); write '~ dose'.") from err
    if hasattr(parsed, "lhs"):
        raise PoolError(f"mods={formula!r} has a left side; write only '~ ...'.")
    # Functions such as poly() hide their variables from formulaic's own list.
    words = set(re.findall(r"[^\W\d]\w*", formula)) & set(map(str, columns))
    needed = sorted({*map(str, parsed.required_variables), *words})
    absent = [name for name in needed if name not in columns]
    if absent:
        raise PoolError(
            f"mods={formula!r} uses {', '.join(absent)}, which the data do not have; "
            "pass the frame that has it as data=."
        )
    return parsed, needed


def _from_formula(formula: str, frame: pd.DataFrame, entering: NDArray[np.bool_] | None) -> Design:
    from formulaic.errors import FormulaicError

    parsed, needed = parsed_formula(formula, frame.columns)
    complete = frame[needed].notna().all(axis=1).to_numpy()
    if not complete.any():
        raise PoolError(f"mods={formula!r}: no row has all of {', '.join(needed)}; fill them in.")
    if entering is not None and (complete & entering).any():
        complete = complete & entering
    rows = _plain_factors(frame.loc[complete], needed)
    try:
        made = parsed.get_model_matrix(rows, na_action="ignore")
    except FormulaicError as err:
        raise PoolError(f"mods={formula!r} does not fit the data ({err}); check it.") from err
    matrix = np.full((len(frame), made.shape[1]), np.nan)
    matrix[complete] = np.asarray(made, dtype=float)
    names = tuple(INTERCEPT if name == "Intercept" else str(name) for name in made.columns)
    return Design(matrix, names, made.model_spec, columns=tuple(needed))


def _plain_factors(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows with factors as formulaic knows them.

    A declared category that no row has would be a column of zeros, and strings of Arrow numbers.
    """
    new = {}
    for name in columns:
        if isinstance(rows[name].dtype, pd.CategoricalDtype):
            new[name] = rows[name].cat.remove_unused_categories()
        elif isinstance(rows[name].dtype, pd.StringDtype):
            new[name] = rows[name].astype(object)
    return rows.assign(**new)


def _frame(newdata: Any) -> pd.DataFrame:
    if isinstance(newdata, pd.DataFrame):
        return newdata
    if isinstance(newdata, Mapping):
        columns = {str(name): np.atleast_1d(np.asarray(v)) for name, v in newdata.items()}
        length = max((len(values) for values in columns.values()), default=0)
        for name, values in columns.items():
            if len(values) not in (1, length):
                raise PoolError(
                    f"predict: {name} has {len(values)} values and another column {length}; "
                    "give one value, or one per new study."
                )
        return pd.DataFrame({name: np.resize(v, length) for name, v in columns.items()})
    raise PoolError("predict: newdata must be a DataFrame or a dict of columns for a formula.")


def _two_dimensional(values: Any, columns: int | None) -> Floats:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as err:
        raise PoolError(
            f"moderators must be numbers ({err}); use a formula, such as '~ C(design)', for words."
        ) from err
    if array.ndim == 2:
        return array
    if array.ndim == 1 and columns not in (None, 1):
        return array[None, :]
    return array.reshape(-1, 1)

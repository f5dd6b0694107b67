"""Design matrices for meta-regression, from a formula or from an array."""

from __future__ import annotations

import copy
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
from retroevidence.meta.moderators import (
    check_order,
    complete_rows,
    finite_rows,
    first_sentence,
    frame_of,
    once,
    plain_factors,
    real_numbers,
    two_dimensional,
)

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
        """Return design rows for `newdata`, with its index.

        A row whose moderators are missing or infinite is NaN. A plain mean has no moderators, so
        any table with one row per new study will do.
        """
        if not self.moderators:
            table = frame_of(newdata) if isinstance(newdata, Mapping) else newdata
            size = len(table) if hasattr(table, "__len__") else 1
            index = table.index if isinstance(table, pd.DataFrame) else pd.RangeIndex(size)
            return np.ones((size, 1)), index
        if self.spec is not None:
            frame = self._named(frame_of(newdata))
            return self._formula_rows(frame), frame.index
        if self.columns and isinstance(newdata, (pd.DataFrame, Mapping)):
            # By name, so that the order of the columns cannot matter.
            newdata = self._named(frame_of(newdata))
        wanted = len(self.names) - self.adds_intercept
        values = finite_rows(two_dimensional(newdata, wanted))
        index = newdata.index if isinstance(newdata, pd.DataFrame) else pd.RangeIndex(len(values))
        if values.shape[1] != wanted:
            raise PoolError(
                f"predict: newdata has {values.shape[1]} columns and mods had {wanted}; "
                "give the same columns in the same order."
            )
        if not self.adds_intercept:
            return values, index
        return np.column_stack([np.ones(len(values)), values]), index

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that the moderators need, once each."""
        frame = frame.rename(columns=str)
        absent = sorted(set(self.columns) - set(frame.columns))
        if absent:
            raise PoolError(
                f"predict: newdata has no column {', '.join(absent)}, which the moderators need; "
                "add it."
            )
        return once(frame, self.columns, "newdata")[list(self.columns)]

    def _formula_rows(self, frame: pd.DataFrame) -> Floats:
        from formulaic.errors import DataMismatchWarning

        frame = plain_factors(frame, self.columns)
        complete = complete_rows(frame, self.columns)
        matrix = np.full((len(frame), len(self.names)), np.nan)
        if complete.any():
            frame = plain_factors(frame.loc[complete], self.columns)
            self._check_kinds(frame)
            try:
                with real_numbers(), warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("error", DataMismatchWarning)
                    # Making rows can leave traces in the specification, so it works on a copy.
                    spec = copy.deepcopy(self.spec)
                    made = np.asarray(spec.get_model_matrix(frame, na_action="ignore"), dtype=float)
            except DataMismatchWarning as err:
                raise PoolError(f"predict: {self._strangers(frame)}") from err
            except Exception as err:
                # Whatever the functions of a formula raise when they meet other data.
                raise PoolError(
                    f"predict: newdata does not fit the formula ({first_sentence(err)}); "
                    "give values of the kind, and within the range, that the studies have."
                ) from err
            matrix[complete] = finite_rows(made)
        return matrix

    def _check_kinds(self, frame: pd.DataFrame) -> None:
        """Raise where a column is numbers in the fit and words here, or has other levels.

        The formula itself would take it for another kind of variable, without a word.
        """
        for name, (kind, state) in self.spec.encoder_state.items():
            if name not in frame.columns:
                continue
            is_number = pd.api.types.is_numeric_dtype(frame[name])
            if kind.value == "numerical" and not is_number:
                raise PoolError(
                    f"predict: {name} is no number in newdata, and is one in the fit; give numbers."
                )
            known = state.get("categories") if kind.value == "categorical" else None
            if known is not None and set(frame[name]) - set(known):
                raise PoolError(f"predict: {self._strangers(frame)}")

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


def design_of(
    mods: Any,
    frame: pd.DataFrame,
    entering: NDArray[np.bool_] | None = None,
    *,
    argument: str = "mods",
) -> Design:
    """Build the design matrix of `mods` for the rows of `frame`.

    Parameters
    ----------
    mods : str or array_like or None
        A one-sided formula ("~ dose + C(design)"), a 2-d array or DataFrame with one column per
        moderator, a single column, or None for the plain mean. Arrays get an intercept unless one
        of their columns is 1 throughout.
    frame : pandas.DataFrame
        The studies, in the order of the effects.
    entering : numpy.ndarray of bool, optional
        Which rows have an effect; the levels of a factor and the centre of a variable come from
        these alone. All when not given.
    argument : str
        What the caller names `mods`, for messages.

    Returns
    -------
    Design
        One row per row of `frame`, NaN where it is not to enter or a moderator is missing or
        infinite.

    Raises
    ------
    PoolError
        If the formula cannot be read or evaluated, a column of it is missing, it has no term, a
        moderator is called "intercept", or an array has the wrong number of rows.

    Examples
    --------
    >>> design_of("~ dose", pd.DataFrame({"dose": [1.0, 2.0, None]})).matrix.tolist()
    [[1.0, 1.0], [1.0, 2.0], [nan, nan]]
    """
    if mods is None:
        return Design.plain(len(frame))
    if isinstance(mods, str):
        return _from_formula(mods, frame, entering, argument)
    values = finite_rows(two_dimensional(mods, None))
    if len(values) != len(frame):
        raise PoolError(
            f"{argument} has {len(values)} rows for {len(frame)} effects; give one row per effect."
        )
    check_order(frame, mods, argument, "the effects")
    if isinstance(mods, pd.Series) and mods.name is not None:
        mods = mods.to_frame()
    columns = tuple(map(str, mods.columns)) if isinstance(mods, pd.DataFrame) else ()
    names = list(columns) or [f"x{i + 1}" for i in range(values.shape[1])]
    seen = values[~np.isnan(values).any(axis=1)]
    ones_at = [i for i in range(seen.shape[1]) if len(seen) and (seen[:, i] == 1).all()]
    _check_names([name for i, name in enumerate(names) if i not in ones_at[:1]], argument)
    if ones_at:
        names[ones_at[0]] = INTERCEPT
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
        studies = "study" if k == 1 else "studies"
        raise PoolError(
            f"{k} {studies} cannot carry {p} coefficients ({', '.join(names)}); "
            "use fewer moderators or more studies."
        )
    scaled = matrix / np.maximum(np.abs(matrix).max(axis=0), np.finfo(float).tiny)
    kept: list[int] = []
    surplus = []
    for i in range(p):
        if np.linalg.matrix_rank(scaled[:, [*kept, i]]) > len(kept):
            kept.append(i)
            continue
        if not scaled[:, i].any():
            surplus.append(f"{names[i]} is 0 throughout")
            continue
        made_of = np.linalg.lstsq(scaled[:, kept], scaled[:, i], rcond=None)[0]
        parts = [names[j] for j, part in zip(kept, made_of, strict=True) if abs(part) > 1e-8]
        surplus.append(f"{names[i]} adds nothing to {', '.join(parts)}")
    if surplus:
        raise PoolError(f"in the studies that enter, {'; '.join(surplus)}; leave it out.")


def parsed_formula(formula: str, columns: Any, argument: str = "mods") -> tuple[Any, list[str]]:
    """Read a formula, and find the columns it uses.

    Parameters
    ----------
    formula : str
        One-sided, such as "~ dose + C(design)".
    columns : iterable
        The columns that there are.
    argument : str
        What the caller names the formula, for messages.

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
        raise PoolError(
            f"{argument}={formula!r} is not a formula ({first_sentence(err)}); write '~ dose'."
        ) from err
    if hasattr(parsed, "lhs"):
        raise PoolError(f"{argument}={formula!r} has a left side; write only '~ ...'.")
    # Functions such as poly() hide their variables from formulaic's own list.
    words = set(re.findall(r"[^\W\d]\w*", formula)) & set(map(str, columns))
    needed = sorted({*map(str, parsed.required_variables), *words})
    absent = [name for name in needed if name not in columns]
    if absent:
        raise PoolError(
            f"{argument}={formula!r} uses {', '.join(absent)}, which the data do not have; "
            "pass the frame that has it as data=."
        )
    return parsed, needed


def _from_formula(
    formula: str, frame: pd.DataFrame, entering: NDArray[np.bool_] | None, argument: str
) -> Design:
    parsed, needed = parsed_formula(formula, frame.columns, argument)
    asked = f"{argument}={formula!r}"
    _check_names(needed, argument)
    frame = plain_factors(once(frame, needed, "the data"), needed)
    complete = complete_rows(frame, needed)
    if not complete.any():
        if not len(frame):
            raise PoolError(f"{asked}: the data have no row; check the filter.")
        raise PoolError(f"{asked}: no row has all of {', '.join(needed)}; fill them in.")
    if entering is not None and (complete & entering).any():
        complete = complete & entering
    rows = plain_factors(frame.loc[complete], needed)
    try:
        with real_numbers(), np.errstate(all="ignore"):
            made = parsed.get_model_matrix(rows, na_action="ignore")
            values = np.asarray(made, dtype=float) if hasattr(made, "columns") else None
    except Exception as err:
        # Whatever the functions of a formula raise when the data are not for them.
        raise PoolError(
            f"{asked} does not fit the data ({first_sentence(err)}); check it."
        ) from err
    if values is None:
        raise PoolError(f"{asked} has several parts; write one, such as '~ dose + C(design)'.")
    if not values.shape[1]:
        raise PoolError(f"{asked} has no term; write '~ 1' for the intercept alone.")
    matrix = np.full((len(frame), values.shape[1]), np.nan)
    matrix[complete] = finite_rows(values)
    names = tuple(INTERCEPT if name == "Intercept" else str(name) for name in made.columns)
    return Design(matrix, names, made.model_spec, columns=tuple(needed))


def _check_names(names: Sequence[str], argument: str) -> None:
    taken = [name for name in names if name.lower() == INTERCEPT]
    if taken:
        raise PoolError(
            f"{argument}: a moderator called {taken[0]} would be taken for the constant; rename it."
        )

"""Design matrices for meta-regression, from a formula or from an array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

    `matrix` has one row per row of the input; a row with a missing moderator is NaN throughout.
    `spec` is formulaic's description of a formula, None for arrays.

    Examples
    --------
    >>> Design.plain(2).names
    ('intercept',)
    """

    matrix: Floats
    names: tuple[str, ...]
    spec: Any = None
    adds_intercept: bool = True

    @classmethod
    def plain(cls, k: int) -> Design:
        """Return the design of a single mean for `k` studies."""
        return cls(np.ones((k, 1)), (INTERCEPT,))

    @property
    def moderators(self) -> list[int]:
        """Positions of the columns that are not the intercept."""
        return [i for i, name in enumerate(self.names) if name != INTERCEPT]

    def rows(self, newdata: Any) -> tuple[Floats, pd.Index]:
        """Return design rows for `newdata`, with its index."""
        if self.spec is not None:
            frame = _frame(newdata)
            absent = sorted(set(map(str, self.spec.required_variables)) - set(frame.columns))
            if absent:
                raise PoolError(
                    f"predict: newdata has no column {', '.join(absent)}, which the formula uses; "
                    "add it."
                )
            made = self.spec.get_model_matrix(frame, na_action="ignore")
            return np.asarray(made, dtype=float), frame.index
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


def design_of(mods: Any, frame: pd.DataFrame) -> Design:
    """Build the design matrix of `mods` for the rows of `frame`.

    Parameters
    ----------
    mods : str or array_like or None
        A one-sided formula ("~ dose + C(design)"), a 2-d array or DataFrame with one column per
        moderator, a single column, or None for the plain mean. Arrays get an intercept unless one
        of their columns is constant.
    frame : pandas.DataFrame
        The studies, in the order of the effects.

    Returns
    -------
    Design
        One row per row of `frame`, NaN where a moderator is missing.

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
        return _from_formula(mods, frame)
    values = _two_dimensional(mods, None)
    if len(values) != len(frame):
        raise PoolError(
            f"mods has {len(values)} rows for {len(frame)} effects; give one row per effect."
        )
    names = (
        [str(name) for name in mods.columns]
        if isinstance(mods, pd.DataFrame)
        else [f"x{i + 1}" for i in range(values.shape[1])]
    )
    values = np.where(np.isfinite(values).all(axis=1, keepdims=True), values, np.nan)
    seen = values[~np.isnan(values).any(axis=1)]
    constant = [i for i in range(seen.shape[1]) if len(seen) and np.ptp(seen[:, i]) == 0]
    if constant:
        names[constant[0]] = INTERCEPT
        return Design(values, tuple(names), adds_intercept=False)
    ones = np.where(np.isnan(values).any(axis=1), np.nan, 1.0)
    return Design(np.column_stack([ones, values]), (INTERCEPT, *names))


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
    retroevidence.errors.PoolError: dose adds nothing to the columns before it ...
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
    ranks = [0, *(int(np.linalg.matrix_rank(scaled[:, : i + 1])) for i in range(p))]
    surplus = [names[i] for i in range(p) if ranks[i + 1] <= ranks[i]]
    if surplus:
        raise PoolError(
            f"{', '.join(surplus)} adds nothing to the columns before it "
            f"({', '.join(names)}) in the studies that enter; leave it out."
        )


def _from_formula(formula: str, frame: pd.DataFrame) -> Design:
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        parsed = Formula(formula)
    except FormulaicError as err:
        raise PoolError(f"mods={formula!r} is not a formula ({err}); write '~ dose'.") from err
    if hasattr(parsed, "lhs"):
        raise PoolError(f"mods={formula!r} has a left side; write only '~ ...'.")
    needed = sorted(map(str, parsed.required_variables))
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise PoolError(
            f"mods={formula!r} uses {', '.join(absent)}, which the data do not have; "
            "pass the frame that has it as data=."
        )
    complete = frame[needed].notna().all(axis=1).to_numpy()
    if not complete.any():
        raise PoolError(f"mods={formula!r}: no row has all of {', '.join(needed)}; fill them in.")
    made = parsed.get_model_matrix(frame.loc[complete], na_action="ignore")
    matrix = np.full((len(frame), made.shape[1]), np.nan)
    matrix[complete] = np.asarray(made, dtype=float)
    names = tuple(INTERCEPT if name == "Intercept" else str(name) for name in made.columns)
    return Design(matrix, names, made.model_spec)


def _frame(newdata: Any) -> pd.DataFrame:
    if isinstance(newdata, pd.DataFrame):
        return newdata
    if isinstance(newdata, Mapping):
        return pd.DataFrame(
            {name: np.atleast_1d(np.asarray(value)) for name, value in newdata.items()}
        )
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

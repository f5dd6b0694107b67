"""The errors a user can meet: one clear sentence each, with what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


class RetroEvidenceError(ValueError):
    """Base of every error this library raises on purpose; also a ``ValueError``."""


class EffectError(RetroEvidenceError):
    """Numbers from which an effect size cannot be computed."""


class PoolError(RetroEvidenceError):
    """Effects that cannot be pooled as asked."""


class UnknownNameError(RetroEvidenceError):
    """A table, column, study, claim or method that does not exist."""


class NetworkError(RetroEvidenceError):
    """A service on the network that gives no usable answer."""


class TableError(RetroEvidenceError):
    """A cell, column or file that breaks the record of its table.

    Parameters
    ----------
    file : str
        File name, without the directory.
    rule : str
        The rule that is broken, as a phrase ("is not one of: yes, no").
    fix : str
        How to mend it, as an imperative ("write yes or no").
    row : int, optional
        Line of the file as an editor counts it (the header is line 1).
    column : str, optional
        Column name.
    value : object, optional
        The value found.

    Examples
    --------
    >>> print(TableError("arms.csv", "is not a number", "write 3.5", row=7, column="sd", value="x"))
    arms.csv, line 7, column sd: 'x' is not a number; write 3.5.
    """

    def __init__(
        self,
        file: str,
        rule: str,
        fix: str,
        *,
        row: int | None = None,
        column: str | None = None,
        value: object = None,
    ) -> None:
        self.file, self.rule, self.fix = file, rule, fix
        self.row, self.column, self.value = row, column, value
        where = ", ".join(
            [file]
            + ([f"line {row}"] if row is not None else [])
            + ([f"column {column}"] if column is not None else [])
        )
        what = f"{value!r} {rule}" if value is not None else rule
        super().__init__(f"{where}: {what}; {fix}.")


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Say that `name` is no `kind`, with the nearest names and, when short, all of them.

    Examples
    --------
    >>> print(unknown_name("table", "arm", ["arms", "claims"]))
    no table is called 'arm'; did you mean 'arms'? Known: arms, claims.
    >>> print(unknown_name("measure", "smd", ["MD", "SMD"]))
    no measure is called 'smd'; did you mean 'SMD'? Known: MD, SMD.
    """
    names = sorted(known)
    # Most misspelt names differ in case only: "smd" means "SMD".
    same = [one for one in names if one.casefold() == str(name).casefold()]
    near = same or get_close_matches(str(name), names, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    listed = f" Known: {', '.join(names)}." if len(names) <= 40 else f" There are {len(names)}."
    return UnknownNameError(f"no {kind} is called {name!r}{hint}{listed}")


def check_name(kind: str, name: object, known: Collection[str]) -> None:
    """Raise if a choice is none of those there are; a list of names is none either.

    Parameters
    ----------
    kind : str
        What is chosen, for the message.
    name : object
        The choice.
    known : collection of str
        The names there are.

    Raises
    ------
    UnknownNameError
        If it is not one of them.

    Examples
    --------
    >>> check_name("test", ["z"], ("t", "z"))
    Traceback (most recent call last):
        ...
    retroevidence.errors.UnknownNameError: no test is called ['z']. Known: t, z.
    """
    # What is no text may have no hash, and so cannot be looked up.
    if not (isinstance(name, str) and name in known):
        raise unknown_name(kind, name, known)

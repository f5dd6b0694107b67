"""The docstrings of every public name say what the code does.

The rules, for all that `rv` and its doors (`rv.bias`, `rv.priors` ...) offer, and for every result
that shows itself by a card:

- One line of summary, which ends with a full stop.
- A function or method has Parameters that name all its arguments and nothing else, ``*args`` with
  their stars; their order is free, since arguments of one kind are explained together.
- It has Returns (or Yields) unless it gives None. A method without arguments may instead begin its
  summary with the word Return, as ``to_dict`` does; a property needs neither.
- Raises names every error of the library that its own lines raise, and nothing that is no error.
- A class that callers make themselves has Parameters, a result has Attributes. They name every
  public field, and Attributes nothing that the class does not have.
- Functions and classes have Examples with a line that runs (pytest runs them). Methods may leave
  them to their class; errors and names that stand for a module need none.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import retroevidence as rv
from retroevidence import errors
from retroevidence._show import Carded
from retroevidence.errors import PoolError, RetroEvidenceError, UnknownNameError, unknown_name

DOORS = [name for name in rv.__all__ if isinstance(getattr(rv, name), ModuleType)]


def sections(doc: str | None) -> dict[str, list[str]]:
    """Split a numpydoc docstring into its sections; the text before the first is named ''."""
    lines = inspect.cleandoc(doc or "").splitlines()
    found: dict[str, list[str]] = {"": []}
    here, skip = "", False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if skip:
            skip = False
        elif re.fullmatch(r"[A-Z][A-Za-z ]+", line) and following == "-" * len(line):
            here, skip = line, True
            found[here] = []
        else:
            found[here].append(line)
    return found


def entries(lines: list[str]) -> list[str]:
    """Return the names a section explains: its lines that are not indented, split at commas."""
    heads = [line.split(" : ")[0] for line in lines if line.strip() and not line[0].isspace()]
    return [name.strip() for head in heads for name in head.split(",")]


def arguments(function: Callable[..., Any]) -> list[str]:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(function).parameters.values()
    return [stars.get(one.kind, "") + one.name for one in parameters]


def raised(function: Callable[..., Any]) -> set[str]:
    """Return the names of the library's errors that the function's own lines raise."""
    inner = inspect.unwrap(function)
    names = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(inner)))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            called = node.exc.func
            error = inner.__globals__.get(called.id) if isinstance(called, ast.Name) else None
            if error is unknown_name:
                error = UnknownNameError
            if inspect.isclass(error) and issubclass(error, RetroEvidenceError):
                names.add(error.__name__)
    return names


def is_error(name: str) -> bool:
    known = getattr(errors, name, getattr(builtins, name, None))
    return inspect.isclass(known) and issubclass(known, Exception)


def name_faults(what: str, told: list[str], asked: list[str]) -> Iterator[str]:
    if missing := [name for name in asked if name not in told]:
        yield f"{what} do not name {missing}"
    if unknown := [name for name in told if name not in asked]:
        yield f"{what} name {unknown}, which it does not have"
    if len(set(told)) < len(told):
        yield f"{what} name something twice: {told}"


def summary_faults(parts: dict[str, list[str]]) -> Iterator[str]:
    first, *rest = parts[""] or [""]
    if not first.endswith("."):
        yield f"its summary is not one line that ends with a full stop: {first!r}"
    if rest and rest[0].strip():
        yield "no blank line follows its summary"


def example_faults(parts: dict[str, list[str]]) -> Iterator[str]:
    if not any(line.startswith(">>> ") for line in parts.get("Examples", [])):
        yield "no example runs"


def call_faults(function: Callable[..., Any], asked: list[str], *, method: bool) -> Iterator[str]:
    parts = sections(function.__doc__)
    yield from summary_faults(parts)
    yield from name_faults("its Parameters", entries(parts.get("Parameters", [])), asked)
    gives = function.__annotations__.get("return") not in (None, "None")
    explained = bool({"Returns", "Yields"} & parts.keys())
    by_summary = method and not asked and "".join(parts[""][:1]).startswith("Return ")
    if gives and not (explained or by_summary):
        yield "what it returns has no section"
    if explained and not gives:
        yield "it returns nothing, and has a section for that"
    told = entries(parts.get("Raises", []))
    if missing := raised(function) - set(told):
        yield f"it raises {sorted(missing)}, which its Raises do not name"
    yield from (f"its Raises name {one!r}, which is no error" for one in told if not is_error(one))
    if not method:
        yield from example_faults(parts)


def member_faults(owner: type, name: str, value: Any) -> Iterator[str]:
    if isinstance(value, (property, cached_property)):
        yield from summary_faults(sections(value.__doc__))
    elif isinstance(value, (classmethod, staticmethod)):
        yield from call_faults(value.__func__, arguments(getattr(owner, name)), method=True)
    elif inspect.isfunction(value):
        yield from call_faults(value, arguments(value)[1:], method=True)


def class_faults(owner: type) -> Iterator[str]:
    parts = sections(owner.__doc__)
    yield from summary_faults(parts)
    if issubclass(owner, Exception):
        return
    yield from example_faults(parts)
    fields = [one.name for one in dataclasses.fields(owner) if not one.name.startswith("_")]
    if "Parameters" in parts:
        yield from name_faults("its Parameters", entries(parts["Parameters"]), fields)
    else:
        told = entries(parts.get("Attributes", []))
        also = [name for name in told if hasattr(owner, name) and name not in fields]
        yield from name_faults("its Attributes", told, fields + also)
    members: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        if base.__module__.startswith(("retroevidence.", __name__)):
            members |= vars(base)
    for name, value in members.items():
        if not name.startswith("_"):
            yield from (f".{name}: {fault}" for fault in member_faults(owner, name, value))


def faults(value: Any) -> list[str]:
    if isinstance(value, ModuleType):
        return list(summary_faults(sections(value.__doc__)))
    if inspect.isclass(value):
        return list(class_faults(value))
    return list(call_faults(value, arguments(value), method=False))


def results() -> Iterator[type]:
    """Give every result of the library that shows itself by a card."""
    for info in pkgutil.walk_packages(rv.__path__, "retroevidence."):
        if not info.name.endswith("__main__"):
            import_module(info.name)
    waiting = Carded.__subclasses__()
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if one.__module__.startswith("retroevidence.") and dataclasses.is_dataclass(one):
            yield one


def public() -> dict[str, Any]:
    """Return all that a reader can hold: the names of `rv`, those inside its doors, results."""
    named = {one.__name__: one for one in results()}
    named |= {name: getattr(rv, name) for name in rv.__all__ if name != "__version__"}
    for door in DOORS:
        inside = getattr(rv, door)
        named |= {f"{door}.{name}": getattr(inside, name) for name in inside.__all__}
    return named


PUBLIC = public()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_docstring_says_what_the_code_does(name):
    assert faults(PUBLIC[name]) == []


def test_all_doors_are_looked_into():
    assert DOORS == ["bias", "combine", "covariance", "priors", "recover", "sensitivity"]
    assert len(PUBLIC) > 150


@pytest.mark.parametrize("door", DOORS)
def test_a_door_offers_its_public_names_and_no_others(door):
    inside = getattr(rv, door)
    assert dir(inside) == sorted(inside.__all__)
    assert len(set(inside.__all__)) == len(inside.__all__)
    functions = [one for name, one in vars(inside).items() if name[0] != "_"]
    own = {
        one.__name__
        for one in functions
        if (inspect.isfunction(one) or inspect.isclass(one)) and one.__module__ == inside.__name__
    }
    assert own <= set(inside.__all__)


# What the rules refuse --------------------------------------------------------------------------


def right(x: float, *more: float, **named: float) -> float:
    """Add numbers.

    Parameters
    ----------
    x, *more, **named : float
        Numbers.

    Returns
    -------
    float
        Their sum.

    Raises
    ------
    PoolError
        If `x` is below 0.
    UnknownNameError
        If there are names.

    Examples
    --------
    >>> right(1.0)
    1.0
    """
    if x < 0:
        raise PoolError("x is below 0.")
    if named:
        raise unknown_name("number", "x", named)
    return x + sum(more)


@dataclasses.dataclass(frozen=True)
class Right:
    """A result.

    Attributes
    ----------
    x, twice : float
        A number, and twice the number.

    Examples
    --------
    >>> Right(1.0).twice
    2.0
    """

    x: float

    @property
    def twice(self) -> float:
        """Twice the number."""
        return 2 * self.x

    def to_dict(self) -> dict[str, float]:
        """Return the number."""
        return {"x": self.x}

    def over(self, y: float) -> float:
        """Divide.

        Parameters
        ----------
        y : float
            By what.

        Returns
        -------
        float
            The share.
        """
        return self.x / y


def test_what_keeps_the_rules_has_no_faults():
    assert faults(right) == []
    assert faults(Right) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Add numbers.", "Add numbers", "full stop"),
        ("Add numbers.\n", "Add numbers.\nSome more.", "no blank line"),
        ("x, *more", "*more", r"do not name \['x'\]"),
        ("*more,", "more,", r"do not name \['\*more'\]"),
        ("x, *more", "x, y, *more", r"name \['y'\], which"),
        ("x, *more", "x, x, *more", "twice"),
        ("Returns\n    -------", "Gives", "no section"),
        ("    PoolError\n        If `x` is below 0.\n", "", r"raises \['PoolError'\]"),
        ("    UnknownNameError\n        If there are names.\n", "", r"\['UnknownNameError'\]"),
        ("UnknownNameError", "UnknownNameErr", "which is no error"),
        (">>> right(1.0)", "right(1.0)", "no example runs"),
        ("Examples\n    --------", "Examples\n    -----", "no example runs"),
    ],
)
def test_a_fault_in_a_function_is_found(monkeypatch, old, new, fault):
    broken = right.__doc__.replace(old, new)
    assert broken != right.__doc__
    monkeypatch.setattr(right, "__doc__", broken)
    assert re.search(fault, " | ".join(faults(right)))


def test_a_section_for_what_is_never_returned_is_found(monkeypatch):
    monkeypatch.setitem(right.__annotations__, "return", "None")
    assert faults(right) == ["it returns nothing, and has a section for that"]


@pytest.mark.parametrize(
    ("of", "old", "new", "fault"),
    [
        (Right, "x, twice", "twice", r"Attributes do not name \['x'\]"),
        (Right, "x, twice", "x, thrice", r"Attributes name \['thrice'\], which"),
        (Right, "Attributes\n    ----------", "Parameters\n    ----------", r"name \['twice'\]"),
        (Right, ">>> Right", "Right", "no example runs"),
        (Right.over, "y : float", "z : float", r"\.over: its Parameters do not name \['y'\]"),
        (Right.over, "Returns\n        -------", "Gives", r"\.over: what it returns"),
        (Right.to_dict, "Return the", "The", r"\.to_dict: what it returns"),
        (Right.twice, "Twice the number.", "Twice", r"\.twice: its summary"),
    ],
)
def test_a_fault_in_a_class_is_found(monkeypatch, of, old, new, fault):
    broken = of.__doc__.replace(old, new)
    assert broken != of.__doc__
    if isinstance(of, property):
        monkeypatch.setattr(Right, "twice", property(of.fget, doc=broken))
    else:
        monkeypatch.setattr(of, "__doc__", broken)
    assert re.search(fault, " | ".join(faults(Right)))

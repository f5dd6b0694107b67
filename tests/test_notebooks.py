"""Do the notebooks run, say what the library answers, and stand in the repository as they run?"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [
    "00-tour",
    "01-knee-pain-and-strength",
    "02-joint-load",
    "03-energy-cost",
    "04-muscle-activity",
    "05-balance-and-gait",
    "06-cognition-and-spine",
    "07-safety-and-dose",
    "08-citations",
    "09-half-reported-results",
    "10-statistics-check",
    "11-intervals-simulated",
    "12-a-second-review",
    "13-a-library-of-reviews",
]
# Folders of one machine; a trailing slash keeps words such as "home" apart.
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|Users|private|var|mnt)/")
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")

each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
# One notebook takes some seconds, most of them to start a kernel.
slow = pytest.mark.slow


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def cells(path: Path, kind: str) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == kind]


def outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


@cache
def fresh(path: Path) -> Any:
    """Run a copy once, in a folder that holds nothing but the notebooks."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "notebooks"
        shutil.copytree(FOLDER, place, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        notebook = read(place / path.name)
        NotebookClient(
            notebook, timeout=300, resources={"metadata": {"path": str(place)}}
        ).execute()
    return notebook


def texts(notebook: Any) -> list[list[str]]:
    """Return what each code cell shows as text: results and printed lines, without images."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            found = [o.get("text") or o.get("data", {}).get("text/plain") for o in cell.outputs]
            shown.append([text for text in found if text])
    return shown


def test_the_notebooks_are_there() -> None:
    assert [path.stem for path in PATHS] == NAMES


@each
def test_it_is_short_and_only_reads(path: Path) -> None:
    assert len(read(path).cells) <= 26
    for source in cells(path, "code"):
        assert not re.search(r"^\s*(def|class|import warnings|from warnings|[%!])", source, re.M)
        assert "lambda" not in source
        assert not re.search(r"\bretroevidence\.", source)


@each
def test_imports_come_first_and_assertions_last(path: Path) -> None:
    first, *between, last = cells(path, "code")
    assert "import retroevidence as rv" in first
    assert "DATA = None" in first
    assert not any(re.search(r"^(import|from) ", source, re.M) for source in (*between, last))
    assert last.count("assert ") >= 5
    assert not any("assert " in source for source in between)
    assert read(path).cells[-1].source == last


@each
def test_every_number_of_the_text_is_asserted(path: Path) -> None:
    last = cells(path, "code")[-1]
    asserted = {float(number) for number in NUMBER.findall(last)}
    for source in cells(path, "markdown"):
        stated = NUMBER.findall(re.sub(r"`[^`]*`", "", source))
        missing = [number for number in stated if float(number) not in asserted]
        assert not missing, f"stated and not asserted: {missing} in {source!r}"


@each
def test_its_outputs_are_stored_clean(path: Path) -> None:
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds: set[str] = set()
    for output in outputs(notebook):
        assert output.output_type in ("execute_result", "display_data")
        for kind, content in output.data.items():
            kinds.add(kind)
            if kind.startswith("text/"):
                assert not MACHINE.search(content), MACHINE.search(content)
                assert not re.search(r"<[\w.]+ (object )?at 0x", content)
    assert "text/plain" in kinds


@each
def test_every_plot_is_stored_as_a_picture(path: Path) -> None:
    notebook = read(path)
    for cell in notebook.cells:
        pictures = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        draws = "rv.forest(" in cell.source or ".plot" in cell.source or "plt.sub" in cell.source
        assert len(pictures) == draws, cell.source
    plots = any("plt.show()" in source for source in cells(path, "code"))
    assert plots == (path.stem not in ("06-cognition-and-spine", "08-citations"))


@slow
@each
def test_it_runs(path: Path) -> None:
    """A failing assertion of its last cell raises here, with the line that failed."""
    assert fresh(path).cells[-1].execution_count


@slow
@pytest.mark.skipif(
    int(pd.__version__.split(".")[0]) < 3,
    reason="the stored outputs were shown by pandas 3; older ones write missing text otherwise",
)
@each
def test_stored_outputs_are_those_of_a_fresh_run(path: Path) -> None:
    assert texts(read(path)) == texts(fresh(path))

"""Fixtures several test files share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "Two tables",
    "licenses": [{"name": "CC-BY-4.0", "title": "Attribution 4.0"}],
    "resources": [
        {
            "name": "studies",
            "path": "studies.csv",
            "title": "one row per study",
            "schema": {
                "fields": [
                    {
                        "name": "study_id",
                        "type": "string",
                        "description": "first author and year",
                        "constraints": {"required": True, "pattern": "[a-z]+[0-9]{4}"},
                    },
                    {
                        "name": "task",
                        "type": "string",
                        "constraints": {"enum": ["walking", "running"]},
                    },
                    {
                        "name": "n_total",
                        "type": "integer",
                        "unit": "people",
                        "constraints": {"minimum": 1, "maximum": 500},
                    },
                    {"name": "source_url", "type": "string", "constraints": {"unique": True}},
                ],
                "primaryKey": "study_id",
                "foreignKeys": [],
            },
        },
        {
            "name": "arms",
            "path": "arms.csv",
            "schema": {
                "fields": [
                    {"name": "arm_id", "type": "string"},
                    {"name": "study_id", "type": "string", "constraints": {"required": True}},
                    {"name": "mean", "type": "number"},
                    {"name": "blinded", "type": "boolean"},
                    {"name": "read_on", "type": "date"},
                    {"name": "pairs_with", "type": "list", "delimiter": ";"},
                ],
                "primaryKey": ["arm_id"],
                "foreignKeys": [
                    {
                        "fields": "study_id",
                        "reference": {"resource": "studies", "fields": "study_id"},
                    },
                    {
                        "fields": ["pairs_with"],
                        "reference": {"resource": "", "fields": ["arm_id"]},
                    },
                ],
            },
        },
    ],
}
STUDIES = """\
study_id,task,n_total,source_url
chen2021,walking,32,https://example.org/1
roos2012,running,20,https://example.org/2
"""
ARMS = """\
arm_id,study_id,mean,blinded,read_on,pairs_with
a001,chen2021,1.5,true,2026-01-31,a002;a003
a002,chen2021,-2e-1,false,,a001
a003,roos2012,,,,
"""


REFERENCES = """\
@article{chen2021, author = {Chen, Z}, title = {On walking}, journal = {A}, year = {2021}}

@article{roos2012, author = {Roos, PE}, title = {On running}, journal = {B}, year = {2012}}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return a directory with two small tables that keep their record."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "datapackage.json").write_text(json.dumps(TINY), encoding="utf-8")
    (folder / "studies.csv").write_text(STUDIES, encoding="utf-8")
    (folder / "arms.csv").write_text(ARMS, encoding="utf-8")
    (folder / "references.bib").write_text(REFERENCES, encoding="utf-8")
    return folder


@pytest.fixture
def edit(tiny: Path) -> Callable[[str, str, str], None]:
    """Return a function that replaces one piece of text in one file of `tiny`."""

    def replace(file: str, old: str, new: str) -> None:
        path = tiny / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    return replace

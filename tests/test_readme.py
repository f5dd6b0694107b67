"""README shows what the library says now."""

import importlib.util
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_readme_is_current():
    spec = importlib.util.spec_from_file_location("readme", HERE / "readme.py")
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    text = readme.README.read_text(encoding="utf-8")
    assert readme.render(text) == text, "run: make tables"


def test_links_of_the_readme_lead_somewhere():
    import re

    text = (HERE.parent / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (HERE.parent / target).exists(), target

"""The documentation points at what exists: links, decision records, commands."""

import re
from pathlib import Path

import pytest

from meshctl.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    records = {path.name for path in folder.glob("[0-9]*.md")}
    assert {name for name in records if f"({name})" not in index} == set()


def test_every_command_is_described():
    page = (ROOT / "docs" / "meshctl.md").read_text()
    assert {name for name in main.commands if f"`{name}" not in page} == set()

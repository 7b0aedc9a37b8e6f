"""The README and the cards of the models agree, and what they point to is there."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "data/checkpoints").glob("*/README.md"))]


def measured_rows(page: Path) -> list[str]:
    """The rows of tables that have a share or a word error in a column."""
    return [row for row in page.read_text(encoding="utf-8").splitlines() if re.search(r"\| \d+\.\d %", row)]


def test_what_was_measured_of_moshi_tiny_is_the_same_in_its_card_and_in_the_readme():
    card, readme = measured_rows(ROOT / "data/checkpoints/moshi-tiny/README.md"), measured_rows(ROOT / "README.md")
    assert len(card) > 20 and [row for row in card if row not in readme] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_modules_that_it_runs_are_there():
    modules = set(re.findall(r"python -m (moshi_ref[\w.]*)", PAGES[0].read_text(encoding="utf-8")))
    assert len(modules) > 5 and [name for name in modules if find_spec(name) is None] == []

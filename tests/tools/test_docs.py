"""The made parts of the documents are fresh, what they link to is there, and what they show is what happens."""

import re

import pytest
from support import ROOT

from halfbert.cli import command
from halfbert.cli.command import VERBS
from halfbert.options import declared
from tools import docs

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*docs.PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "results/README.md"))]


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", docs.PAGES, ids=lambda page: page.name)
def test_made_parts_are_fresh(page):
    text = page.read_text(encoding="utf-8")
    assert docs.fresh(text, page) == text, "stale: run `make docs`"


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_documents_and_files_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in docs.PAGES:
        assert page.parent == ROOT or page.name == "README.md" or f"({page.name})" in index


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_every_option_of_every_command_is_in_a_table():
    tables = docs.option_tables().split("\n## ")
    assert len(tables) == len(VERBS) + 1
    for table, (name, verb) in zip(tables[1:], VERBS.items(), strict=True):
        assert table.startswith(name)
        for option in declared(verb.options):
            cell = docs.usage(option).replace("|", "\\|")
            assert f"| `{cell}` |" in table


def test_a_stale_part_is_reported_and_rewritten(tmp_path, monkeypatch, capsys):
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("<!-- made: verdict -->\nold\n<!-- end -->\n", encoding="utf-8")
    monkeypatch.setattr(docs, "PAGES", (page,))
    monkeypatch.setattr(docs, "PROJECT", tmp_path)
    assert docs.main([]) == 1 and "docs/page.md is stale" in capsys.readouterr().out
    assert docs.main(["--write"]) == 0 and docs.main([]) == 0
    assert "old" not in page.read_text(encoding="utf-8")


def test_the_mistake_that_the_readme_shows_is_answered_as_it_says(tmp_path, monkeypatch, capfd):
    from openpyxl import Workbook

    workbook = Workbook()
    workbook.active.append(["Reviews", "Sentiment"])
    workbook.save(tmp_path / "reviews.xlsx")
    monkeypatch.chdir(tmp_path)
    arguments, answer = re.search(r"\$ python train_multiclass\.py (.*)\n(error: .*)\n", README).groups()
    assert command.main(["train-multiclass", *arguments.split()], prog="train_multiclass.py") == 2
    assert capfd.readouterr().err.strip() == answer

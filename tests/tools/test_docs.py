"""The README's made parts are fresh, what it links to is there, and what it shows is what happens."""

import re

from support import ROOT

from halfbert import options
from halfbert.system import console
from tools import docs as readme

TEXT = readme.README.read_text(encoding="utf-8")


def test_made_parts_are_fresh():
    assert readme.fresh(TEXT) == TEXT, "stale: run `make docs`"


def test_every_option_of_the_training_scripts_stands_in_the_table():
    table = readme.option_table()
    for kind in (options.MulticlassOptions, options.MultilabelOptions):
        for option in options.declared(kind):
            assert f"| `{option.flag}" in table


def test_an_option_of_one_script_says_whose_it_is():
    for line in readme.option_table().splitlines():
        one_only = re.match(r"\| `--(class-weights|balance|threshold|label-\w+|drop-constant-labels)[ `]", line)
        assert bool(one_only) == bool(re.search(r"\| (multiclass|multilabel): ", line)), line


def test_every_option_of_the_other_scripts_stands_in_a_table():
    tables = readme.option_table() + readme.tool_option_table()
    for kind in readme.TOOLS.values():
        for option in options.declared(kind):
            assert f"| `{readme._usage(option)}` |" in tables


def test_files_that_it_names_are_there():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (ROOT / target).is_file(), target


def test_the_mistake_that_it_shows_is_answered_as_it_says(tmp_path, monkeypatch, capfd):
    from openpyxl import Workbook

    import train_multiclass

    workbook = Workbook()
    workbook.active.append(["Reviews", "Sentiment"])
    workbook.save(tmp_path / "reviews.xlsx")
    monkeypatch.chdir(tmp_path)
    command, answer = re.search(r"\$ python train_multiclass\.py (.*)\n(error: .*)\n", TEXT).groups()
    assert console.run(train_multiclass.main, command.split()) == 2
    assert capfd.readouterr().err.strip() == answer

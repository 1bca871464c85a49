"""The shape of the code: imports point one way, and nothing grows past what a reader can hold."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

PACKAGE = ROOT / "halfbert"
# From the top down: a folder imports from itself and from those after it.
LAYERS = (
    "cli",
    "runs",
    "serving",
    "tuning",
    "comparison",
    "benchmark",
    "distillation",
    "training",
    "conversion",
    "export",
    "prediction",
    "options",
    "output",
    "predictor",
    "models",
    "scoring",
    "data",
    "system",
)
MODULES = sorted(PACKAGE.rglob("*.py"))
LARGEST = {ast.FunctionDef: 60, ast.AsyncFunctionDef: 60, ast.ClassDef: 200}
LONGEST_MODULE = 400


def imported(module: Path) -> Iterator[str]:
    """Dotted names of the project's modules and folders that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("module", [m for m in MODULES if m.parent != PACKAGE], ids=lambda m: m.relative_to(PACKAGE).as_posix())
def test_imports_point_down_the_list_of_layers(module):
    layer = LAYERS.index(module.relative_to(PACKAGE).parts[0])
    used = {name.split(".")[1] for name in imported(module) if name.startswith("halfbert.")} & set(LAYERS)
    assert not [name for name in used if LAYERS.index(name) < layer]


def test_no_module_imports_itself_by_way_of_others():
    names = {".".join(module.relative_to(ROOT).with_suffix("").parts): module for module in MODULES}
    uses = {name: {found for found in imported(module) if found in names} for name, module in names.items()}
    finished: set[str] = set()

    def follow(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        if name not in finished:
            for used in uses[name]:
                follow(used, (*path, name))
            finished.add(name)

    for name in names:
        follow(name, ())


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(PACKAGE).as_posix())
def test_nothing_is_longer_than_a_reader_can_hold(module):
    source = module.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(source)):
        most = LARGEST.get(type(node))
        assert most is None or node.end_lineno - node.lineno < most, f"{node.name}: more than {most} lines"


COUNTABLE = "row|text|label|epoch|step|trial|seed|window|file|line|cell|thread|prediction|repeat|group|layer"


def test_a_count_is_printed_with_the_plural_it_needs():
    """`counted` knows that there is 1 row; "{number:,} rows" does not, unless it is a share of rows: "3 of 1,000 rows"."""
    count = rf"len\([^{{}}]*\)|[^{{}}\"]*:,|[\w.]*({COUNTABLE})s"
    printed = re.compile(rf"(\w* ?\w* )?\{{({count})\}} ([a-z-]+ )?({COUNTABLE})s\b(?!/)")
    wrong = [
        f"{module.relative_to(ROOT)}: {found[0]}"
        for module in MODULES
        for found in printed.finditer(module.read_text(encoding="utf-8"))
        if not re.search(r"\b(of|than)( the)? $", found[1] or "") and "LAST_ROW" not in found[0]
    ]
    assert not wrong

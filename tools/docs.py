"""The parts of README.md and docs/ that are made from option declarations and records: `python -m tools.docs --write`.

A part stands between `<!-- made: NAME -->` and `<!-- end -->`. Without --write the exit code tells whether one is stale.
"""

import argparse
import itertools
import re
import sys
from pathlib import Path

from halfbert.cli.command import VERBS
from halfbert.options import Option, declared
from halfbert.output.sheets import markdown_table
from halfbert.system import storage
from halfbert.system.machine import PROJECT
from tools import cascade, device_tables, drift_tables, explain_tables, gpu_tables, scale_tables, serving_tables, tables

PAGES = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
PART = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(argv: list[str]) -> int:
    """Rewrite the made parts (--write), or name the pages that are stale; 0 if all are fresh, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs")
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args(argv).write
    pages = {page: page.read_text(encoding="utf-8") for page in PAGES}
    stale = {page: text for page, before in pages.items() if (text := fresh(before, page)) != before}
    for page, text in stale.items():
        if write:
            storage.write_text(text, page)
        else:
            print(f"{page.relative_to(PROJECT)} is stale: run make docs")
    return 0 if write or not stale else 1


def fresh(text: str, page: Path) -> str:
    """A page with each made part as it should be now; links lead from the page's folder."""
    up = "../" * (len(page.relative_to(PROJECT).parts) - 1)

    def made(match: re.Match[str]) -> str:
        return f"{match[1]}{MAKERS[match[2]]().replace('](results/', f']({up}results/')}\n{match[3]}"

    return PART.sub(made, text)


def option_tables() -> str:
    """Every option of every command with its help, by group."""
    parts: list[str] = []
    for name, verb in VERBS.items():
        rows = []
        for group, options in itertools.groupby(declared(verb.options), lambda option: option.group):
            rows += [[f"**{group}**", ""], *([f"`{usage(option)}`", option.help_text] for option in options)]
        parts.append(f"\n## {name}\n\n{verb.description}\n\n{markdown_table(['option', ''], rows)}")
    return "\n".join(parts)


def usage(option: Option) -> str:
    """An option and what stands for its value."""
    if option.positional:
        return f"{option.metavar} …" if option.many else str(option.metavar)
    return option.flag if option.is_switch else f"{option.flag} {option.metavar or '|'.join(option.choices)}"


MAKERS = {
    "options": option_tables,
    "summary": tables.summary_table,
    "quality": tables.quality_table,
    "multilabel": tables.multilabel_table,
    "long": tables.long_table,
    "speed": tables.speed_table,
    "ceiling": tables.ceiling_table,
    "predicting": tables.predicting_table,
    "benchmark": tables.benchmark_table,
    "verdict": tables.verdict,
    "compare": tables.compare_table,
    "tune": tables.tune_table,
    "distill": tables.distill_table,
    "streaming": tables.streaming,
    "guarantees": tables.guarantees_table,
    "labelling": tables.labelling_table,
    "cascade": cascade.cascade_table,
    "scale": scale_tables.scale_table,
    "serving": serving_tables.serving_table,
    "gpu": gpu_tables.gpu_table,
    "explain": explain_tables.explain_table,
    "smaller": device_tables.smaller_table,
    "device_study": device_tables.study_table,
    "litert_forms": device_tables.litert_table,
    "cost": scale_tables.cost,
    "billion": scale_tables.billion,
    "drift_false_alarms": drift_tables.false_alarms,
    "drift_power": drift_tables.power,
    "drift_sketches": drift_tables.sketches,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

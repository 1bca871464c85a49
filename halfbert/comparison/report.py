"""Report of a comparison, made from its record alone: verdict.md, report.html, tables and pictures.

What both pages say stands in templates/sections.jinja.
"""

import base64
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halfbert.benchmark.figures import CHIEF_BATCH
from halfbert.comparison import plots
from halfbert.comparison import record as records
from halfbert.comparison.record import Record
from halfbert.comparison.wording import render, rule, verdict_line
from halfbert.output.sheets import write_csv, write_workbook
from halfbert.system import storage

WORST_LABELS = 15


def markdown(record: Record) -> str:
    """verdict.md: the verdict first, then everything else."""
    return re.sub(r"\n{3,}", "\n\n", _page("verdict.md", record)).strip() + "\n"


def html(record: Record, folder: Path) -> str:
    """report.html: the same on one page that stands alone, with the pictures of `folder` in it."""
    return _page("report.html", record, base64=lambda file: base64.b64encode((folder / file).read_bytes()).decode())


def _page(template: str, record: Record, **more: Any) -> str:
    small, large = record.verdict.small, record.verdict.reference
    rows = sorted(record.per_label, key=lambda row: row.f1[small] - row.f1[large])
    return render(
        template,
        record,
        heading=f"Which model to ship: {record.data.files[0].name}",
        plots=plots,
        batch=CHIEF_BATCH,
        worst=rows[:WORST_LABELS],
        losses=[row.f1[small] - row.f1[large] for row in rows],
        **more,
    )


def write(record: Record, private: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    """Write everything into a results folder; rows with texts go into the csv files of their names and nowhere else."""
    plots.draw(record, folder)
    storage.write_text(markdown(record), folder / "verdict.md")
    storage.write_text(html(record, folder), folder / "report.html")
    for name, rows in private.items():
        if rows:
            write_csv(folder / f"{name}.csv", list(rows[0]), rows)
    write_workbook(folder / "comparison.xlsx", _sheets(record))
    records.write(record, folder)


def _sheets(record: Record) -> dict[str, list[dict[str, Any]]]:
    found = asdict(record)
    return {
        "verdict": [{"what": "verdict", "words": verdict_line(record)}, {"what": "rule", "words": rule(record)}],
        "contestants": [{k: v for k, v in c.items() if k not in ("speeds", "parts")} for c in found["contestants"]],
        "against the largest": found["comparisons"],
        "speed": [{"contestant": c["name"], **speed} for c in found["contestants"] for speed in c["speeds"]],
        "labels": found["per_label"],
        "lengths": found["lengths"],
        "learning curve": found["learning_curve"],
    }


def closing(record: Record, output: Path) -> str:
    """The last lines of a comparison."""
    return f"\n{verdict_line(record)}\n\nreport: {output / 'report.html'}   tables and record beside it"

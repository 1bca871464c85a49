"""Report of a comparison, made from its record alone: verdict.md, report.html, tables and pictures.

Its words stand in templates: the verdict in verdict.jinja, what both pages say below it in sections.jinja.
"""

import base64
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halfbert.benchmark.figures import CHIEF_BATCH
from halfbert.comparison import plots
from halfbert.comparison import record as records
from halfbert.comparison.record import Change, Record, ratio
from halfbert.output.sheets import markdown_table, write_csv, write_workbook
from halfbert.output.words import model_name, significant
from halfbert.scoring.intervals import Difference
from halfbert.system import storage


def write(record: Record, private: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    """Write everything into a results folder; rows with texts go into the csv files of their names and nowhere else."""
    plots.draw(record, folder)
    storage.write_text(markdown(record), folder / "verdict.md")
    # Stands alone: the pictures are in the page.
    page = _page("report.html", record, base64=lambda file: base64.b64encode((folder / file).read_bytes()).decode())
    storage.write_text(page, folder / "report.html")
    for name, rows in private.items():
        if rows:
            write_csv(folder / f"{name}.csv", list(rows[0]), rows)
    write_workbook(folder / "comparison.xlsx", _sheets(record))
    records.write(record, folder)


def markdown(record: Record) -> str:
    """verdict.md: the verdict first, then everything else."""
    return re.sub(r"\n{3,}", "\n\n", _page("verdict.md", record)).strip() + "\n"


def verdict_line(record: Record) -> str:
    """The verdict in one paragraph."""
    return one_line(_environment(False).get_template("verdict.jinja").module.verdict(record))


def rule(record: Record) -> str:
    """How the verdict was reached."""
    return one_line(_environment(False).get_template("verdict.jinja").module.rule(record))


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


def _page(template: str, record: Record, **more: Any) -> str:
    """A page of the report; in a template whose name ends with .html all values are escaped."""
    return (
        _environment(escape=template.endswith(".html"))
        .get_template(template)
        .render(
            record=record,
            verdict=verdict_line(record),
            rule=rule(record),
            heading=f"Which model to ship: {record.data.files[0].name}",
            plots=plots,
            batch=CHIEF_BATCH,
            **more,
        )
    )


def _environment(escape: bool) -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("halfbert.comparison"),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.do"],
    )
    environment.globals |= {"interval": interval, "span": span, "markdown_table": markdown_table}
    environment.filters |= {
        "name": model_name,
        "sentence": lambda words: words[0].upper() + words[1:],
        "signed": signed,
        "significant": significant,
        "million": lambda number: None if number is None else number / 1e6,
        "share": share,
        "times": lambda part, whole: f"{significant(ratio(part, whole), 2)}×",
        "count": "{:,}".format,
        "rough": lambda number: f"{float(f'{number:.2g}'):,.0f}",
        "one_line": one_line,
    }
    return environment


def share(part: float | None, whole: float | None) -> str:
    """`part` in per cent of `whole`; "–" where there is no whole."""
    value = ratio(part, whole)
    return "–" if value is None else f"{value:.1%}"


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, a minus being one."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def interval(change: Change | Difference) -> str:
    """The ends of a difference's interval."""
    return f"{signed(change.low)} to {signed(change.high)}"


def span(change: Change | Difference) -> str:
    """A difference and its interval."""
    return f"{signed(change.difference)}, 95 % interval {interval(change)}"


def one_line(text: str) -> str:
    """The text with single spaces for line breaks and indents; what was escaped stays so."""
    return type(text)(" ").join(text.split())

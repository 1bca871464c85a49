"""Report of a comparison, made from its record alone: report.html, verdict.md, tables and pictures."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from halfbert.comparison import plots, rule
from halfbert.comparison import record as records
from halfbert.comparison.record import Record
from halfbert.comparison.sections import private_sections, sections
from halfbert.comparison.wording import headline, reasons, verdict_line
from halfbert.comparison.wording import rule as rule_in_words
from halfbert.output import markdown as as_markdown
from halfbert.output import page
from halfbert.output.page import Card, Page, Section, Words
from halfbert.output.sheets import write_csv, write_workbook
from halfbert.output.words import model_name, significant
from halfbert.system import storage

PAGE = "report.html"


def write(record: Record, private: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    """Write everything into a results folder; rows with texts go into the page and the csv files of their names only."""
    plots.draw(record, folder)
    storage.write_text(markdown(record), folder / "verdict.md")
    page.write(described(record, private), folder / PAGE)
    for name, rows in private.items():
        if rows:
            write_csv(folder / f"{name}.csv", list(rows[0]), rows)
    write_workbook(folder / "comparison.xlsx", _sheets(record))
    records.write(record, folder, rule.verdict(record))


def described(record: Record, private: dict[str, list[dict[str, Any]]]) -> Page:
    """The page: headline and cards, the reasons folded, then everything else."""
    why = Section("Why", [Words(reasons(record)), *([Words(rule_in_words(record))] if record.comparisons else [])], folded=True)
    found = [section for section, _ in sections(record, on_page=True)]
    below = [why, *found[:-1], *private_sections(record, private), found[-1]]
    return Page(_heading(record), headline(record), cards(record), below, record)


def cards(record: Record) -> list[Card]:
    """Score, speed and size of the shipped model, beside its chief rival's."""
    found = rule.verdict(record)
    ship = record.contestant(found.ship) if found else record.contestants[0]
    rival = record.contestant(found.rival) if found else None
    chief, speed = ship.scores[next(iter(record.score_names))], ship.best_speed

    def beside(value: str | None) -> str:
        return f"; {model_name(rival.name, short=True)}: {value}" if rival and value else ""

    other = rival.best_speed if rival else None
    rate, rivals_rate = (significant(each.texts_per_second) if each else None for each in (speed, other))
    size, rivals_size = (significant(each.disk_bytes / 1e6) if each else None for each in (ship, rival))
    engine = speed.engine if speed else "the folder"
    rivals_score = f"{record.score(rival):.3f}" if rival else None
    return [
        Card(
            f"{record.score_name}, {model_name(ship.name, short=True)}",
            f"{chief.score:.3f}",
            f"95 % interval {chief.low:.3f} to {chief.high:.3f}{beside(rivals_score)}",
        ),
        Card("texts a second", rate or "–", f"{engine}{beside(rivals_rate)}" if speed else "not timed"),
        Card("megabytes", size or "–", f"of {engine}{beside(rivals_size)}"),
    ]


def markdown(record: Record) -> str:
    """verdict.md: the verdict first, then everything else."""
    lines = [f"# {_heading(record)}", f"**{verdict_line(record)}**"]
    lines += [rule_in_words(record)] if record.comparisons else []
    for section, picture in sections(record, on_page=False):
        lines += as_markdown.blocks([section], right=True)
        lines += [f"![{section.title}]({picture})"] if picture else []
    return "\n\n".join(lines) + "\n"


def _heading(record: Record) -> str:
    return f"Which model to ship: {record.data.files[0].name}"


def _named(value: Any, names: dict[str, str]) -> Any:
    """The same value of dicts and lists with models' names as people know them, also where they are keys; labels stay."""
    if isinstance(value, dict):
        return {names.get(key, key): item if key == "label" else _named(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def _sheets(record: Record) -> dict[str, list[dict[str, Any]]]:
    found = _named(asdict(record), {one.name: model_name(one.name, short=True) for one in record.contestants})
    return {
        "verdict": [{"what": "verdict", "words": verdict_line(record)}, {"what": "rule", "words": rule_in_words(record)}],
        "contestants": [{k: v for k, v in c.items() if k not in ("speeds", "parts")} for c in found["contestants"]],
        "differences": found["comparisons"],
        "speed": [{"contestant": c["name"], **speed} for c in found["contestants"] for speed in c["speeds"]],
        "labels": found["per_label"],
        "lengths": found["lengths"],
        "learning curve": [{"name": point["name"], **point} for point in found["learning_curve"]],
    }

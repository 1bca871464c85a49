"""Report of a comparison, made from its record alone: verdict.md, report.html, tables and pictures.

The words stand in the folder templates: `sections.jinja` for both pages.
"""

import base64
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halfbert.benchmark.figures import CHIEF_BATCH
from halfbert.comparison import plots
from halfbert.comparison import record as records
from halfbert.comparison.record import Contestant, Record, Speed
from halfbert.comparison.wording import NAMES, interval, render, rule, share, signed, significant, verdict_line
from halfbert.output.sheets import write_csv, write_workbook
from halfbert.system import storage

PLAIN = "ktrain"  # the engine of those who do nothing about speed
WORST_LABELS = 15

Table = list[list[str]]  # heads first


@dataclass(frozen=True)
class PrivateRows:
    """Rows with texts, which stand in the csv files of these names and nowhere else."""

    disagreements: list[dict[str, Any]]
    label_errors: list[dict[str, Any]]


# ---------------------------------------------------------------------------------------------------------------------------
# Tables


def tables(record: Record) -> dict[str, Table]:
    """The tables of the report; the speeds' is empty where none was measured."""
    made = {"quality": _quality, "differences": _differences, "speed": _speed, "labels": _labels, "lengths": _lengths}
    return {name: make(record) for name, make in {**made, "curve": _curve}.items()}


def _quality(record: Record) -> Table:
    heads = ["model", *(f"{name} (95 % interval)" for name in record.score_names.values())]
    heads += ["seeds", "training rows", "fit, s", "weights from"]
    rows = [
        [
            NAMES[contestant.name],
            *(f"{score.score:.3f} ({score.low:.3f}–{score.high:.3f})" for score in contestant.scores.values()),
            str(len(contestant.fit_seconds)),
            f"{contestant.rows:,}",
            significant(contestant.mean_fit_seconds),
            contestant.checkpoint or "–",
        ]
        for contestant in record.contestants
    ]
    return [heads, *rows]


def _differences(record: Record) -> Table:
    heads = ["model", f"{record.score_name}, difference (95 % interval)"]
    heads += [f"{name}, retained (points)" for name in record.score_names.values()]
    heads += ["only it is right", "only the largest is right", "McNemar p", "same answers"]
    rows = [
        [
            NAMES[pairing.small],
            f"{signed(pairing.difference.difference)} ({interval(pairing.difference)})",
            *(f"{share(kept.ratio, 1)} ({signed(kept.points, 1)})" for kept in pairing.retained.values()),
            f"{pairing.mcnemar.only_first:,}",
            f"{pairing.mcnemar.only_second:,}",
            "<0.001" if pairing.mcnemar.p_value < 0.001 else f"{pairing.mcnemar.p_value:.3f}",
            f"{pairing.agreement:.1%}",
        ]
        for pairing in record.comparisons
    ]
    return [heads, *rows]


def _speed(record: Record) -> Table:
    price = record.options.get("price_per_hour")
    rows = [
        _speed_row(contestant, speed, price)
        for contestant in record.contestants
        for speed in sorted(contestant.speeds, key=lambda speed: -speed.texts_per_second)
        if speed.engine in (contestant.best_engine, PLAIN)
    ]
    if not rows:
        return []
    heads = ["model", "engine", f"texts per second, batches of {CHIEF_BATCH}", "one text, ms", "first answer, s"]
    heads += ["memory above imports, MB", "weights, MB", "folder, MB", "parameters, M"]
    heads += [f"cost of a million texts at {significant(price, 9)} per hour"] if price else []
    return [heads, *rows]


def _speed_row(contestant: Contestant, speed: Speed, price: float | None) -> list[str]:
    return [
        NAMES[contestant.name],
        speed.engine,
        significant(speed.texts_per_second),
        significant(1000 * speed.single_seconds),
        significant(speed.first_answer_seconds),
        significant(speed.peak_above_import and speed.peak_above_import / 1e6),
        significant(speed.weight_bytes / 1e6),
        significant(contestant.folder_bytes / 1e6),
        significant(contestant.parameters / 1e6),
        *([significant(speed.cost_per_million(price))] if price else []),
    ]


def _labels(record: Record) -> Table:
    small, large = record.verdict.small, record.verdict.reference
    rows = sorted(record.per_label, key=lambda row: row.f1[small] - row.f1[large])
    heads = ["label", "test rows", *(f"{NAMES[name]}, F1" for name in (small, large)), "difference"]
    table = [
        [
            row.label,
            f"{row.rows:,}",
            *(f"{row.f1[name]:.3f}" for name in (small, large)),
            signed(row.f1[small] - row.f1[large]),
        ]
        for row in rows[:WORST_LABELS]
    ]
    return [heads, *table]


def _lengths(record: Record) -> Table:
    small, large = record.verdict.small, record.verdict.reference
    names = [contestant.name for contestant in record.contestants]
    heads = ["words per text", "test rows", *(f"{NAMES[name]}, right" for name in names), "points"]
    table = [
        [
            "–".join(str(words) for words in dict.fromkeys(row.words)),
            f"{row.rows:,}",
            *(f"{row.right[name]:.1%}" for name in names),
            signed(100 * (row.right[small] - row.right[large]), 1),
        ]
        for row in record.lengths
    ]
    return [heads, *table]


def _curve(record: Record) -> Table:
    sizes = sorted({point.rows for point in record.learning_curve})
    score = {(point.name, point.rows): f"{point.score:.3f}" for point in record.learning_curve}
    table = [[NAMES[one.name], *(score.get((one.name, size), "–") for size in sizes)] for one in record.contestants]
    return [[f"{record.score_name} after training on", *(f"{size:,} rows" for size in sizes)], *table]


# ---------------------------------------------------------------------------------------------------------------------------
# Files


def markdown(record: Record) -> str:
    """verdict.md: the verdict first, then everything else."""
    return re.sub(r"\n{3,}", "\n\n", _page("verdict.md", record)).strip() + "\n"


def html(record: Record, folder: Path) -> str:
    """report.html: the same on one page that stands alone, with the pictures of `folder` in it."""
    return _page("report.html", record, base64=lambda file: base64.b64encode((folder / file).read_bytes()).decode())


def _page(template: str, record: Record, **more: Any) -> str:
    small, large = record.verdict.small, record.verdict.reference
    return render(
        template,
        record,
        heading=f"Which model to ship: {record.data.files[0].name}",
        tables=tables(record),
        labels_lost=sum(row.f1[small] < row.f1[large] for row in record.per_label),
        **more,
    )


def write(record: Record, private: PrivateRows, folder: Path) -> None:
    """Write everything into a results folder."""
    plots.draw(record, folder)
    storage.write_text(markdown(record), folder / "verdict.md")
    storage.write_text(html(record, folder), folder / "report.html")
    for name, rows in vars(private).items():
        if rows:
            write_csv(folder / f"{name}.csv", list(rows[0]), rows)
    write_workbook(folder / "comparison.xlsx", _sheets(record))
    records.write(record, folder)


def _sheets(record: Record) -> dict[str, list[dict[str, Any]]]:
    found = asdict(record)
    verdict = {"verdict": verdict_line(record), "rule": rule(record)}
    return {
        "verdict": [{"what": what, "words": words} for what, words in verdict.items()],
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

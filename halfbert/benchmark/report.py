"""Tables of a benchmark, made from its record alone: Markdown for people, a workbook for spreadsheets.

Wherever two times are compared, the seconds, their ratio and the share of time saved stand side by side, each under its name:
"faster by x %" would leave open which of them is meant.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from halfbert.benchmark import statistics
from halfbert.benchmark.figures import cell_figures, chief_batch, measured, score_of, too_good
from halfbert.benchmark.record import Block, Figure, PairBlock, Published, Record
from halfbert.data.phrases import counted
from halfbert.output import sheets
from halfbert.output.sheets import markdown_table
from halfbert.output.words import model_name, significant
from halfbert.predictor.engines import INSTALL_TRAIN
from halfbert.system import storage
from halfbert.system.errors import InputError, ResourceError

SANH = "Sanh et al. 2019, arXiv:1910.01108"
PUBLISHED = [
    Published("parameters", 110e6, 66e6, "parameters", f"{SANH}, table 3"),
    Published("one pass over STS-B's development texts, one at a time, on a CPU", 668.0, 410.0, "s", f"{SANH}, table 3"),
    Published("one pass over the test texts of the news aggregator", 124.7, 63.6, "s", "Bueno 2022, results"),
    Published("score (GLUE)", 79.5, 77.0, "points", f"{SANH}, table 1"),
]
MARKDOWN = "report.md"


def markdown(record: Record, pictures: Sequence[str] = ()) -> str:
    """The whole report: what was measured and how, every table, the published figures, and how to read them."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("halfbert.benchmark"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.globals |= {
        "markdown_table": markdown_table,
        "score_of": score_of,
        "doubts": _doubts(record),
        "versus": _versus,
        "by_setting": _by_setting,
    }
    environment.globals |= {"figures_of": cell_figures, "median": np.median, "describe": statistics.describe}
    environment.filters |= {
        "counted": counted,
        "significant": significant,
        "about": _about,
        "million": lambda number: f"{number / 1e6:.1f}",
        "share": _share,
    }
    values = {"record": record, "pictures": pictures, "again": _again(record)}
    return environment.get_template("report.md.jinja").render(values) + "\n"


def _doubts(record: Record) -> list[str]:
    """Why accuracies on the texts used say little: of predictors that have one and learned from the texts."""
    scored = {contestant.predictor for contestant in record.ran if contestant.accuracy is not None}
    return [why for each in record.predictors if each.name in scored and (why := too_good(each, record.texts.used))]


def _again(record: Record) -> str:
    blocks: list[Block | PairBlock] = [block for _, case in measured(record) for block in case.blocks]
    blocks += [block for pair in record.pairs for block in pair.blocks]
    if all(block.foreign_share is None for block in blocks):
        return "unknown on this system"
    again, disturbed = sum(len(block.set_aside) for block in blocks), sum(block.disturbed for block in blocks)
    return f"{again} of {len(blocks)}; still disturbed in the end: {disturbed}"


def _by_setting(record: Record, scenario: str) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a table with the settings, and in each the batches, side by side."""
    figures = [figure for figure in record.figures if figure.scenario == scenario]
    settings, batches = dict.fromkeys(figure.setting for figure in figures), sorted({figure.batch for figure in figures})
    columns = [(setting, batch) for setting in settings for batch in batches]
    lines: dict[tuple[str, ...], dict[tuple[str, int], str]] = {}
    for figure in figures:
        lengths = f"{record.protocol.fixed_tokens} tokens" if figure.lengths == "fixed" else figure.lengths
        line = lines.setdefault((figure.predictor, figure.engine, lengths, figure.part), {})
        line[figure.setting, figure.batch] = _percentiles(figure) if scenario == "single" else _about(figure.texts_per_second)
    heads = [setting if scenario == "single" else f"{setting}, batch {batch}" for setting, batch in columns]
    rows = [[*key, *(line.get(column, "–") for column in columns)] for key, line in lines.items()]
    return ["predictor", "engine", "lengths", "measured", *heads], rows


def _percentiles(figure: Figure) -> str:
    known = (getattr(figure.seconds_per_call, f"p{percent}") for percent in statistics.PERCENTILES)
    return " / ".join(significant(value and 1000 * value) for value in known)


def _about(spread: statistics.Spread) -> str:
    return f"{significant(spread.median)} ± {significant(spread.mad)}"


def _versus(what: str, bert: float, distilbert: float, unit: str, source: str) -> list[str]:
    shown = [f"{value / 1e6:.1f} M" if unit == "parameters" else f"{value:.4g} {unit}" for value in (bert, distilbert)]
    ratio = f"{bert / distilbert:.2f}" if distilbert else "–"
    shares = [_share(1 - distilbert / bert), _share(distilbert / bert)] if bert else ["–", "–"]  # a score may be 0
    return [what, *shown, ratio, *shares, source]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def write_workbook(record: Record, path: Path) -> None:
    """Write the figures, contestants, predictors, cold starts and pairs as sheets."""
    plain = msgspec.to_builtins(record)
    contestants = [{k: v for k, v in c.items() if k not in ("cold", "cases")} for c in plain["contestants"]]
    starts = [{**vars(c.who), **vars(start)} for c in record.contestants for start in c.cold]
    compared = [pair for pair in plain["pairs"] if pair["comparison"]]
    sides = [{f"{side}_{name}": value for side in "ab" for name, value in pair[side].items()} for pair in compared]
    pairs = [{**who, **pair["case"], **pair["comparison"]} for who, pair in zip(sides, compared, strict=True)]
    predictors = [{**predictor, "model": model_name(predictor["model"])} for predictor in plain["predictors"]]
    lists = {"figures": plain["figures"], "contestants": contestants, "predictors": predictors}
    sheets.write_workbook(path, {**lists, "cold": starts, "pairs": pairs})


def record_file(output: Path) -> Path:
    """Where the record of a benchmark is: beside the folder of its tables and plots."""
    return output.with_name(f"{output.name}.json")


def check_output(output: Path, overwrite: bool) -> None:
    """Raise InputError if record or folder exist already or cannot be written, ResourceError if a needed package is missing."""
    missing = [package for package in ("matplotlib", "jinja2") if importlib.util.find_spec(package) is None]
    if missing:
        raise ResourceError(f"the report of a benchmark needs {' and '.join(missing)}: {INSTALL_TRAIN}")
    storage.check_output(output, "--output", overwrite, marker=MARKDOWN)
    if record_file(output).exists() and not overwrite:
        raise InputError(f"--output {output}: {record_file(output)} already exists; --overwrite replaces it")


def closing(record: Record, output: Path) -> str:
    """The last lines of a benchmark: the chief figures of each contestant, and where everything is."""
    offline = cell_figures(record, "offline")
    batch = chief_batch({figure.batch for figure in offline})
    one = {figure.who: figure.seconds_per_call.p50 for figure in cell_figures(record, "single")}
    many = {figure.who: figure.texts_per_second.median for figure in offline if figure.batch == batch}
    ran = [contestant.who for contestant in record.ran]
    width = max(len(str(who)) for who in ran) if ran else 0
    lines = ["", f"{'':{width}}{'one text, p50':>15}{f'batch {batch}' if batch else 'many texts':>16}"]
    for who in ran:
        p50, rate = one.get(who), many.get(who)
        cells = "–" if p50 is None else f"{significant(1000 * p50)} ms", "–" if rate is None else f"{significant(rate)} texts/s"
        lines.append(f"{who!s:{width}}{cells[0]:>15}{cells[1]:>16}")
    lines += [f"{predictor.name}: {predictor.choice}" for predictor in record.predictors if predictor.choice]
    lines += [f"warning: {doubt}" for doubt in _doubts(record)]
    if record.quick:
        lines.append("a quick look: too little to quote figures from")
    return "\n".join([*lines, f"record: {record_file(output)}   tables and plots: {output}"])

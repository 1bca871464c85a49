"""Tables of a benchmark, made from its record alone: Markdown for people, a workbook for spreadsheets."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import msgspec

from halfbert.benchmark.figures import cell_figures, chief_batch
from halfbert.benchmark.record import Published, Record
from halfbert.benchmark.sections import doubts, of_the_run, sections
from halfbert.output import markdown as as_markdown
from halfbert.output import sheets
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
    lines = [f"# Benchmark: {', '.join(predictor.name for predictor in record.predictors)}"]
    lines += ["**A quick look: too few repeats and too short blocks to quote figures from.**"] if record.quick else []
    lines += [f"**Stopped by {record.stopped} before all was measured.**"] if record.stopped else []
    *tables, how_to_read = sections(record)
    lines += [as_markdown.items(of_the_run(record)), *as_markdown.blocks(tables)]
    lines += [f"![{name}]({name})" for name in pictures]
    return "\n\n".join([*lines, *as_markdown.blocks([how_to_read])]) + "\n"


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
    """Raise InputError if record or folder exist already or cannot be written, ResourceError without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ResourceError(f"the report of a benchmark needs matplotlib: {INSTALL_TRAIN}")
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
    lines += [f"warning: {doubt}" for doubt in doubts(record)]
    if record.quick:
        lines.append("a quick look: too little to quote figures from")
    return "\n".join([*lines, f"record: {record_file(output)}   tables and plots: {output}"])

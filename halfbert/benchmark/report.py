"""Tables of a benchmark, made from its record alone: Markdown for people, a workbook for spreadsheets.

Wherever two times are compared, the seconds, their ratio and the share of time saved stand side by side, each under its name:
"faster by x %" would leave open which of them is meant.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from halfbert.benchmark import statistics
from halfbert.benchmark.figures import cell_figures, chief_batch, measured, score_of
from halfbert.benchmark.record import Block, Contestant, Figure, PairBlock, Published, Record, Start, Who, Work
from halfbert.output import sheets
from halfbert.output.sheets import markdown_table
from halfbert.predictor.engines import INSTALL_TRAIN
from halfbert.predictor.manifest import Agreement
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
WHO = ["predictor", "engine", "setting"]

Table = tuple[list[str], list[list[Any]]]  # columns and rows


def markdown(record: Record, pictures: Sequence[str] = ()) -> str:
    """The whole report: what was measured and how, every table, the published figures, and how to read them."""
    import jinja2

    tables = {
        "not_run": _not_run(record),
        "sizes": _sizes(record),
        "single": _by_setting(record, "single", {"": lambda figure: _milliseconds(figure.seconds_per_call)}),
        "offline": _offline(record),
        "cold": _cold(record),
        "paper": _paper(record),
        "pairs": _pairs(record),
        "published": _published(record),
    }
    loader, strict = jinja2.PackageLoader("halfbert.benchmark"), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=loader, undefined=strict, trim_blocks=True, lstrip_blocks=True)
    template = environment.get_template("report.md.jinja", globals={"markdown_table": markdown_table})
    return template.render(record=record, pictures=pictures, tables=tables, again=_again(record)) + "\n"


def _again(record: Record) -> str:
    blocks: list[Block | PairBlock] = [block for _, case in measured(record) for block in case.blocks]
    blocks += [block for pair in record.pairs for block in pair.blocks]
    if all(block.foreign_share is None for block in blocks):
        return "unknown on this system"
    again, disturbed = sum(len(block.set_aside) for block in blocks), sum(block.disturbed for block in blocks)
    return f"{again} of {len(blocks)}; still disturbed in the end: {disturbed}"


def _not_run(record: Record) -> Table:
    rows = [[*_who(contestant), contestant.not_run] for contestant in record.contestants if contestant.not_run]
    return [*WHO, "why"], rows


def _sizes(record: Record) -> Table:
    all_lengths = list(dict.fromkeys(figure.lengths for figure in record.figures if figure.scenario == "offline"))
    rows = []
    for contestant in record.ran:
        predictor, score = record.predictor(contestant.predictor), score_of(record, contestant)
        row = [*_who(contestant), f"{predictor.parameters / 1e6:.1f} M"]
        row += [f"{size / 1e6:.1f}" for size in (contestant.weight_bytes or 0, predictor.folder_bytes)]
        row += ["–" if score is None else f"{score[1]:.4f} ({score[0]})", _share(contestant.equal_answers)]
        rows.append([*row, *(_ceiling_share(record, contestant, lengths) for lengths in all_lengths)])
    heads = [*WHO, "parameters", "weights, MB", "folder, MB", "score", "answers equal to keras"]
    heads += [f"share of ceiling, {_lengths(record, lengths)}" for lengths in all_lengths]
    return heads, rows


def _ceiling_share(record: Record, contestant: Contestant, lengths: str) -> str:
    """The best share over the batches, of the model alone."""
    of_model = [figure for figure in cell_figures(record, "offline", lengths, "model") if figure.who == contestant.who]
    return _share(max((f.share_of_ceiling for f in of_model if f.share_of_ceiling is not None), default=None))


def _milliseconds(seconds: statistics.Latency) -> str:
    known = (getattr(seconds, f"p{percent}") for percent in statistics.PERCENTILES)
    return " / ".join("–" if value is None else short(1000 * value) for value in known)


def _offline(record: Record) -> Table:
    def cell(batch: int) -> Callable[[Figure], str | None]:
        return lambda figure: _about(figure.texts_per_second) if figure.batch == batch else None

    batches = sorted({figure.batch for figure in record.figures if figure.scenario == "offline"})
    return _by_setting(record, "offline", {f", batch {batch}": cell(batch) for batch in batches})


def _by_setting(record: Record, scenario: str, cells: Mapping[str, Callable[[Figure], str | None]]) -> Table:
    """A table with the settings side by side: in each a column for every cell, by the end of the column's name."""
    figures = [figure for figure in record.figures if figure.scenario == scenario]
    settings = list(dict.fromkeys(figure.setting for figure in figures))
    lines: dict[tuple, list[Figure]] = {}
    for figure in figures:
        key = (figure.predictor, figure.engine, _lengths(record, figure.lengths), figure.part)
        lines.setdefault(key, []).append(figure)
    rows = []
    for key, line in lines.items():
        columns = [(setting, cell) for setting in settings for cell in cells.values()]
        shown = [[cell(figure) for figure in line if figure.setting == setting] for setting, cell in columns]
        rows.append([*key, *(next(filter(None, values), "–") for values in shown)])
    heads = ["predictor", "engine", "lengths", "measured", *(f"{setting}{end}" for setting in settings for end in cells)]
    return heads, rows


def _cold(record: Record) -> Table:
    rows = []
    for contestant in (contestant for contestant in record.ran if contestant.cold):
        row = [*_who(contestant)]
        for name in ("first_answer_seconds", "import_seconds", "load_seconds"):
            seconds = statistics.describe([getattr(start, name) for start in contestant.cold])
            row.append(f"{_about(seconds)} ({short(seconds.min)}–{short(seconds.max)})")
        memory = ("resident_after_import", "peak_above_import", "gpu_peak")
        rows.append([*row, *(_megabytes(contestant.cold, name) for name in memory)])
    heads = [*WHO, "first answer, s", "of it imports", "of it loading"]
    heads += ["memory after imports, MB", "peak above that, MB", "GPU peak, MB"]
    return heads, rows


def _megabytes(starts: Sequence[Start], name: str) -> str:
    values = [value for value in (getattr(start, name) for start in starts) if value is not None]
    return short(float(np.median(values)) / 1e6) if values else "–"


def _paper(record: Record) -> Table:
    rows = []
    for figure in (figure for figure in record.figures if figure.scenario == "paper"):
        seconds = figure.seconds_per_pass
        spread = (short(value) for value in (seconds.median, seconds.mad, seconds.min, seconds.max))
        rows.append([*_who(figure), f"{figure.texts:,}", *spread])
    return [*WHO, "texts", "seconds, median", "MAD", "min", "max"], rows


def _pairs(record: Record) -> Table:
    rows = []
    for pair in record.pairs:
        compared = pair.comparison
        if compared is None:
            continue
        low, high = compared.interval
        rows.append(
            [
                *(f"{side.predictor}, {side.engine}" for side in (pair.a, pair.b)),
                pair.a.setting,
                _case(pair.case),
                *(short(1000 * seconds) for seconds in (compared.a_seconds_per_text, compared.b_seconds_per_text)),
                f"{compared.ratio:.2f}",
                f"{low:.2f}–{high:.2f}",
                f"×/÷ {compared.itself_spread:.2f}",
                _share(compared.time_saved) if compared.verdict != "inconclusive" else "–",
                compared.verdict,
            ]
        )
    heads = ["A", "B", "setting", "case", "A, ms a text", "B, ms a text", "ratio of seconds A/B", "95 % interval"]
    heads += ["A against itself", "share of A's time saved by B", "verdict"]
    return heads, rows


def _published(record: Record) -> Table:
    """Published figures, and beside them those of the first BERT and the first DistilBERT that were measured here."""
    bert, distilbert = (next((p for p in record.predictors if p.model == kind), None) for kind in ("bert", "distilbert"))
    if bert is None or distilbert is None:
        return [], []
    here = f"{bert.name} and {distilbert.name}, this run"
    rows = [_versus(each.what, each.bert, each.distilbert, each.unit, each.source) for each in record.published]
    rows.append(_versus("parameters", bert.parameters, distilbert.parameters, "parameters", here))
    passes: dict[str, dict[str, float]] = {}
    for figure in (figure for figure in record.figures if figure.scenario == "paper"):
        passes.setdefault(f"{figure.engine}, {figure.setting}", {})[figure.predictor] = figure.seconds_per_pass.median
    for where, seconds in passes.items():
        if {bert.name, distilbert.name} <= set(seconds):
            what = f"one pass over the texts, one at a time: {where}"
            rows.append(_versus(what, seconds[bert.name], seconds[distilbert.name], "s", here))
    if bert.score and distilbert.score and bert.score.name == distilbert.score.name:
        what = f"score ({bert.score.name} on the runs' test rows)"
        rows.append(_versus(what, 100 * bert.score.value, 100 * distilbert.score.value, "points", here))
    return ["what", "BERT", "DistilBERT", "ratio BERT/DistilBERT", "share saved", "share kept", "source"], rows


def _versus(what: str, bert: float, distilbert: float, unit: str, source: str) -> list[str]:
    shown = [f"{value / 1e6:.1f} M" if unit == "parameters" else f"{value:.4g} {unit}" for value in (bert, distilbert)]
    ratio = f"{bert / distilbert:.2f}" if distilbert else "–"
    shares = [_share(1 - distilbert / bert), _share(distilbert / bert)] if bert else ["–", "–"]  # a score may be 0
    return [what, *shown, ratio, *shares, source]


def _who(row: Who) -> tuple[str, str, str]:
    return row.predictor, row.engine, row.setting


def _lengths(record: Record, lengths: str) -> str:
    return f"{record.protocol.fixed_tokens} tokens" if lengths == "fixed" else lengths


def _case(case: Work) -> str:
    return "one text" if case.batch == 1 else f"batch {case.batch}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _about(spread: statistics.Spread) -> str:
    return f"{short(spread.median)} ± {short(spread.mad)}"


def short(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text


def write_workbook(record: Record, path: Path) -> None:
    """Write the figures, contestants, predictors, cold starts and pairs as sheets."""
    plain = msgspec.to_builtins(record)
    contestants = [{k: v for k, v in c.items() if k not in ("cold", "cases")} for c in plain["contestants"]]
    starts = [{**vars(c.who), **vars(start)} for c in record.contestants for start in c.cold]
    compared = [pair for pair in plain["pairs"] if pair["comparison"]]
    sides = [{f"{side}_{name}": value for side in "ab" for name, value in pair[side].items()} for pair in compared]
    pairs = [{**who, **pair["case"], **pair["comparison"]} for who, pair in zip(sides, compared, strict=True)]
    lists = {"figures": plain["figures"], "contestants": contestants, "predictors": plain["predictors"]}
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


def agreement_line(engine: str, figures: Agreement) -> str:
    """How alike an engine answers, in a line for the console."""
    return (
        f"{engine}: {figures.equal_decisions:.2%} of {figures.rows:,} decisions equal to keras, largest difference "
        f"of a probability {figures.largest_difference:.1e}"
    )


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
        cells = "–" if p50 is None else f"{short(1000 * p50)} ms", "–" if rate is None else f"{short(rate)} texts/s"
        lines.append(f"{who!s:{width}}{cells[0]:>15}{cells[1]:>16}")
    if record.quick:
        lines.append("a quick look: too little to quote figures from")
    return "\n".join([*lines, f"record: {record_file(output)}   tables and plots: {output}"])

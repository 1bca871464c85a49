"""Tables of a benchmark, made from its record alone: Markdown for people, a workbook for spreadsheets.

Wherever two times are compared, the seconds, their ratio and the share of time saved stand side by side, each under its name:
"faster by x %" would leave open which of them is meant.
"""

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
from halfbert.predictor.manifest import Agreement
from halfbert.system import storage
from halfbert.system.errors import InputError

SANH = "Sanh et al. 2019, arXiv:1910.01108"
PUBLISHED = [
    Published("parameters", 110e6, 66e6, "parameters", f"{SANH}, table 3"),
    Published("one pass over STS-B's development texts, one at a time, on a CPU", 668.0, 410.0, "s", f"{SANH}, table 3"),
    Published("one pass over the test texts of the news aggregator", 124.7, 63.6, "s", "Bueno 2022, results"),
    Published("score (GLUE)", 79.5, 77.0, "points", f"{SANH}, table 1"),
]
MARKDOWN = "report.md"
WHO = ["predictor", "engine", "setting"]


# ---------------------------------------------------------------------------------------------------------------------------
# Markdown


def markdown(record: Record, pictures: Sequence[str] = ()) -> str:
    """The whole report: what was measured and how, every table, the published figures, and how to read them."""
    sections = (_heading, _not_run, _sizes, _single, _offline, _cold, _paper, _pairs, _published)
    parts = [*(section(record) for section in sections), "\n".join(f"![{name}]({name})" for name in pictures), _reading(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(heading: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "") -> str:
    """A table under its heading; nothing where there are no rows."""
    return "\n\n".join(part for part in (f"## {heading}", note, markdown_table(heads, rows)) if part) if rows else ""


def _heading(record: Record) -> str:
    texts, machine, protocol = record.texts, record.environment, record.protocol
    hardware, load = machine.hardware, machine.load_average
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    lengths = "; ".join(
        f"{name}: {tokens.min:g} to {tokens.max:g}, median {tokens.median:g}" for name, tokens in texts.tokens.items()
    )
    notes = []
    if record.quick:
        notes.append("**A quick look: too few repeats and too short blocks to quote figures from.**")
    if record.stopped:
        notes.append(f"**Stopped by {record.stopped} before all was measured.**")
    lines = [
        f"- Texts: {texts.used:,} of the {texts.rows:,} of {texts.name}; tokens a text ({lengths}).",
        f"- Machine: {hardware['cpu']} ({', '.join(hardware['vector_extensions']) or 'vector extensions unknown'}), "
        f"{hardware['cpus']} processors, governor {machine.governor or 'unknown'}, load average {load['before']} before "
        f"and {load['after']} after.",
        f"- Versions: {versions}.",
        f"- {protocol.repeats} repeats of {protocol.seconds:g} s a case, each in a fresh process. Blocks run again, because "
        f"others used more than {protocol.foreign_limit:.0%} of the processors: {_again(record)}.",
    ]
    title = f"# Benchmark: {', '.join(predictor.name for predictor in record.predictors)}"
    return "\n\n".join([title, *notes, "\n".join(lines)])


def _again(record: Record) -> str:
    blocks: list[Block | PairBlock] = [block for _, case in measured(record) for block in case.blocks]
    blocks += [block for pair in record.pairs for block in pair.blocks]
    if all(block.foreign_share is None for block in blocks):
        return "unknown on this system"
    again, disturbed = sum(len(block.set_aside) for block in blocks), sum(block.disturbed for block in blocks)
    return f"{again} of {len(blocks)}; still disturbed in the end: {disturbed}"


def _not_run(record: Record) -> str:
    rows = [[*_who(contestant), contestant.not_run] for contestant in record.contestants if contestant.not_run]
    return _section("Not measured", [*WHO, "why"], rows)


def _sizes(record: Record) -> str:
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
    ceilings = ", ".join(f"{rate:.0f} GFLOP/s with {threads} thread(s)" for threads, rate in record.ceilings.items())
    return f"## Sizes and scores\n\n{markdown_table(heads, rows)}\n\nCeiling: {ceilings or 'not measured'}."


def _ceiling_share(record: Record, contestant: Contestant, lengths: str) -> str:
    """The best share over the batches, of the model alone."""
    of_model = [figure for figure in cell_figures(record, "offline", lengths, "model") if figure.who == contestant.who]
    return _share(max((f.share_of_ceiling for f in of_model if f.share_of_ceiling is not None), default=None))


def _single(record: Record) -> str:
    note = "Milliseconds: p50 / p90 / p95 / p99 over all samples; – where there are too few samples for it."
    return _by_setting(
        record, "single", "One text at a time", note, {"": lambda figure: _milliseconds(figure.seconds_per_call)}
    )


def _milliseconds(seconds: statistics.Latency) -> str:
    known = (getattr(seconds, f"p{percent}") for percent in statistics.PERCENTILES)
    return " / ".join("–" if value is None else short(1000 * value) for value in known)


def _offline(record: Record) -> str:
    def cell(batch: int) -> Callable[[Figure], str | None]:
        return lambda figure: _about(figure.texts_per_second) if figure.batch == batch else None

    batches = sorted({figure.batch for figure in record.figures if figure.scenario == "offline"})
    note = "Texts a second: median over the repeats ± median absolute deviation; least and greatest are in the workbook."
    return _by_setting(record, "offline", "Many texts", note, {f", batch {batch}": cell(batch) for batch in batches})


def _by_setting(
    record: Record, scenario: str, heading: str, note: str, cells: Mapping[str, Callable[[Figure], str | None]]
) -> str:
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
    return _section(heading, heads, rows, note)


def _cold(record: Record) -> str:
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
    note = "Median ± median absolute deviation (least–greatest) from the start of a process, files in the system's cache."
    return _section("Cold start and memory", heads, rows, note)


def _megabytes(starts: Sequence[Start], name: str) -> str:
    values = [value for value in (getattr(start, name) for start in starts) if value is not None]
    return short(float(np.median(values)) / 1e6) if values else "–"


def _paper(record: Record) -> str:
    rows = []
    for figure in (figure for figure in record.figures if figure.scenario == "paper"):
        seconds = figure.seconds_per_pass
        spread = (short(value) for value in (seconds.median, seconds.mad, seconds.min, seconds.max))
        rows.append([*_who(figure), f"{figure.texts:,}", *spread])
    heads = [*WHO, "texts", "seconds, median", "MAD", "min", "max"]
    return _section("One pass over the texts, one at a time, on the CPU", heads, rows)


def _pairs(record: Record) -> str:
    rows = []
    for pair in record.pairs:
        found = pair.comparison
        if found is None:
            continue
        low, high = found.interval
        rows.append(
            [
                *(f"{side.predictor}, {side.engine}" for side in (pair.a, pair.b)),
                pair.a.setting,
                _case(pair.case),
                *(short(1000 * seconds) for seconds in (found.a_seconds_per_text, found.b_seconds_per_text)),
                f"{found.ratio:.2f}",
                f"{low:.2f}–{high:.2f}",
                f"×/÷ {found.itself_spread:.2f}",
                _share(found.time_saved) if found.verdict != "inconclusive" else "–",
                found.verdict,
            ]
        )
    heads = ["A", "B", "setting", "case", "A, ms a text", "B, ms a text", "ratio of seconds A/B", "95 % interval"]
    heads += ["A against itself", "share of A's time saved by B", "verdict"]
    note = (
        "Blocks A B B A in turn, both processes alive, a fresh pair for each repeat; geometric mean of the blocks' ratios and "
        "its bootstrap interval. A ratio within the spread of A against itself is inconclusive."
    )
    return _section("Pairs", heads, rows, note)


def _published(record: Record) -> str:
    """Published figures, and beside them those of the first BERT and the first DistilBERT that were measured here."""
    bert, distilbert = (next((p for p in record.predictors if p.model == kind), None) for kind in ("bert", "distilbert"))
    if bert is None or distilbert is None:
        return ""
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
    heads = ["what", "BERT", "DistilBERT", "ratio BERT/DistilBERT", "share saved", "share kept", "source"]
    return _section("Published, and measured here", heads, rows)


def _versus(what: str, bert: float, distilbert: float, unit: str, source: str) -> list[str]:
    shown = [f"{value / 1e6:.1f} M" if unit == "parameters" else f"{value:.4g} {unit}" for value in (bert, distilbert)]
    ratio = f"{bert / distilbert:.2f}" if distilbert else "–"
    shares = [_share(1 - distilbert / bert), _share(distilbert / bert)] if bert else ["–", "–"]  # a score may be 0
    return [what, *shown, ratio, *shares, source]


def _reading(record: Record) -> str:
    protocol = record.protocol
    lines = [
        "## How to read this\n",
        "- *End to end* is what a user calls: texts in, labels out, tokenising included. *Model* is the network alone, on "
        "the same batches, tokenised and padded before. A call ends when its answer is in main memory; a device has finished "
        "by then.",
        f"- *Natural* lengths are those of the texts; *{protocol.fixed_tokens} tokens* are texts joined until they are "
        "longer, and truncated there.",
        "- Every shape was called once before it was timed; those calls are reported separately (workbook, `warm_up_seconds`).",
        f"- A percentile is reported where at least {protocol.samples_beyond_percentile} samples lie beyond it. All samples "
        f"are in the record, those of disturbed blocks included; such a block is measured up to {protocol.most_attempts} times "
        "and the least disturbed attempt counts.",
        "- *Peak above imports* is the greatest resident memory less that after the runtime's imports.",
        "- *Share of ceiling*: operations of the encoder's matrix products for the texts' own tokens (padding is not counted "
        "as work, and what an engine skips is not subtracted), divided by the seconds of the model alone, over the rate of one "
        "2048 × 2048 float32 product with as many threads in the same run, numpy's or ONNX Runtime's, whichever is faster; the "
        "best batch. int8 engines are measured against the same float32 ceiling, so they may exceed it.",
        "- An engine that takes texts alone, as ktrain's does, shows no model alone, and nothing at fixed lengths beyond its "
        "maxlen.",
    ]
    return "\n".join(lines)


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


# ---------------------------------------------------------------------------------------------------------------------------
# Files and lines


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
    """Raise InputError if the record or the folder exists already, or cannot be written."""
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
    lines = ["", f"{'':52}{'one text, p50':>15}{f'batch {batch}' if batch else 'many texts':>16}"]
    for who in (contestant.who for contestant in record.ran):
        p50, rate = one.get(who), many.get(who)
        cells = "–" if p50 is None else f"{short(1000 * p50)} ms", "–" if rate is None else f"{short(rate)} texts/s"
        lines.append(f"{who!s:52}{cells[0]:>15}{cells[1]:>16}")
    if record.quick:
        lines.append("a quick look: too little to quote figures from")
    return "\n".join([*lines, f"record: {record_file(output)}   tables and plots: {output}"])

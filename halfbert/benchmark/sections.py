"""What a benchmark measured, in report.md and on its page alike, as plain values of the page kit.

Wherever two times are compared, the seconds, their ratio and the share of time saved stand side by side, each under its name:
"faster by x %" would leave open which of them is meant. A cell that is a pair is [value to sort by, text to show].
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from halfbert.benchmark import statistics
from halfbert.benchmark.figures import cell_figures, measured, score_of, too_good
from halfbert.benchmark.record import Block, Contestant, Figure, PairBlock, Predictor, Record
from halfbert.data.phrases import counted
from halfbert.output.page import Column, Items, Part, Section, Table, Words
from halfbert.output.words import significant

WHO = [Column(name, "label") for name in ("predictor", "engine", "setting")]
SINGLE = "Milliseconds: p50 / p90 / p95 / p99 over all samples; – where there are too few samples for it."
OFFLINE = "Texts a second: median over the repeats ± median absolute deviation; least and greatest are in the workbook."
COLD = "Median ± median absolute deviation (least–greatest) from the start of a process, files in the system's cache."
PAIRS = (
    "Blocks A B B A in turn, both processes alive, a fresh pair for each repeat; geometric mean of the blocks' ratios and its "
    "bootstrap interval (95 %). A ratio within the spread of A against itself is inconclusive."
)
HOW_TO_READ = "How to read this"
Cell = Any


def sections(record: Record) -> list[Section]:
    """The tables that have rows, each with what has to be known of it, and at the end how to read them."""
    found = [
        Section("Not measured", _table([*WHO, Column("why")], _not_measured(record))),
        Section("Sizes and scores", _sizes(record)),
        Section("One text at a time", _by_setting(record, "single", SINGLE)),
        Section("Many texts", _by_setting(record, "offline", OFFLINE)),
        Section("Cold start and memory", _cold(record)),
        Section("One pass over the texts, one at a time, on the CPU", _passes(record)),
        Section("Pairs", _pairs(record)),
        Section("Published, and measured here", _published(record)),
        Section(HOW_TO_READ, [Items(_how_to_read(record))]),
    ]
    return [section for section in found if section.parts]


def of_the_run(record: Record) -> list[str]:
    """Texts, machine, versions, which engines are chosen, and how often blocks were run again, a sentence each."""
    texts, machine, protocol = record.texts, record.environment, record.protocol
    tokens = "; ".join(f"{name}: {of.min:g} to {of.max:g}, median {of.median:g}" for name, of in texts.tokens.items())
    extensions = ", ".join(machine.hardware.get("vector_extensions") or []) or "vector extensions unknown"
    load = f"load average {machine.load_average['before']} before and {machine.load_average['after']} after"
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return [
        f"Texts: {texts.used:,} of the {texts.rows:,} of {texts.name}; tokens a text ({tokens}).",
        f"Machine: {machine.hardware.get('cpu')} ({extensions}), {counted(machine.hardware.get('cpus') or 0, 'processor')}, "
        f"governor {machine.governor or 'unknown'}, {load}.",
        f"Versions: {versions}.",
        *(f"{predictor.name}: {predictor.choice}." for predictor in record.predictors if predictor.choice),
        f"{counted(protocol.repeats, 'repeat')} of {protocol.seconds:g} s a case, each in a fresh process. Blocks run again, "
        f"because others used more than {protocol.foreign_limit:.0%} of the processors: {_again(record)}.",
    ]


def doubts(record: Record) -> list[str]:
    """Why accuracies on the texts used say little: of predictors that have one and learned from the texts."""
    scored = {contestant.predictor for contestant in record.ran if contestant.accuracy is not None}
    return [why for each in record.predictors if each.name in scored and (why := too_good(each, record.texts.used))]


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *words: str) -> list[Part]:
    """The table after the words; nothing where it has no rows."""
    return [*map(Words, words), Table(columns, rows, "")] if rows else []


def _columns(*titles: str) -> list[Column]:
    return [Column(title, "number") for title in titles]


def _again(record: Record) -> str:
    blocks: list[Block | PairBlock] = [block for _, case in measured(record) for block in case.blocks]
    blocks += [block for pair in record.pairs for block in pair.blocks]
    if all(block.foreign_share is None for block in blocks):
        return "unknown on this system"
    again, disturbed = sum(len(block.set_aside) for block in blocks), sum(block.disturbed for block in blocks)
    return f"{again} of {len(blocks)}; still disturbed in the end: {disturbed}"


def _not_measured(record: Record) -> list[list[Cell]]:
    return [[one.predictor, one.engine, one.setting, one.not_run] for one in record.contestants if one.not_run]


def _sizes(record: Record) -> list[Part]:
    timed = list(dict.fromkeys(figure.lengths for figure in record.figures if figure.scenario == "offline"))
    columns = [*WHO, *_columns("parameters", "weights, MB", "folder, MB", "score", "answers equal to keras")]
    columns += _columns(*(f"share of ceiling, {_lengths(record, lengths)}" for lengths in timed))
    rows = [_sized(record, one) + [_ceiling(record, one, lengths) for lengths in timed] for one in record.ran]
    rates = (f"{rate:.0f} GFLOP/s with {counted(int(threads), 'thread')}" for threads, rate in record.ceilings.items())
    warnings = [Words(f"Warning: {doubt}.") for doubt in doubts(record)]
    return [*_table(columns, rows), *warnings, Words(f"Ceiling: {', '.join(rates) or 'not measured'}.")]


def _sized(record: Record, one: Contestant) -> list[Cell]:
    predictor, score = record.predictor(one.predictor), score_of(record, one)
    differ = "" if one.largest_difference is None else f", probabilities to {one.largest_difference:.0e}"
    return [
        *(one.predictor, one.engine, one.setting),
        [predictor.parameters, f"{predictor.parameters / 1e6:.1f} M"],
        *([size, f"{size / 1e6:.1f}"] for size in (one.weight_bytes or 0, predictor.folder_bytes)),
        score and [score[1], f"{score[1]:.4f} ({score[0]})"],
        [one.equal_answers, _share(one.equal_answers) + differ],
    ]


def _ceiling(record: Record, one: Contestant, lengths: str) -> Cell:
    """The best batch's."""
    of_model = (figure for figure in cell_figures(record, "offline", lengths, "model") if figure.who == one.who)
    best = max((figure.share_of_ceiling for figure in of_model if figure.share_of_ceiling is not None), default=None)
    return [best, _share(best)]


def _lengths(record: Record, lengths: str) -> str:
    return f"{record.protocol.fixed_tokens} tokens" if lengths == "fixed" else lengths


def _by_setting(record: Record, scenario: str, note: str) -> list[Part]:
    """A table with the settings, and in each the batches, side by side."""
    figures = [figure for figure in record.figures if figure.scenario == scenario]
    settings, batches = dict.fromkeys(figure.setting for figure in figures), sorted({figure.batch for figure in figures})
    cases = [(setting, batch) for setting in settings for batch in batches]
    lines: dict[tuple[str, ...], dict[tuple[str, int], Cell]] = {}
    for figure in figures:
        line = lines.setdefault((figure.predictor, figure.engine, _lengths(record, figure.lengths), figure.part), {})
        line[figure.setting, figure.batch] = _percentiles(figure) if scenario == "single" else _about(figure.texts_per_second)
    heads = [setting if scenario == "single" else f"{setting}, batch {batch}" for setting, batch in cases]
    columns = [*WHO[:2], Column("lengths", "label"), Column("measured", "label"), *_columns(*heads)]
    return _table(columns, [[*key, *map(line.get, cases)] for key, line in lines.items()], note)


def _percentiles(figure: Figure) -> Cell:
    known = [getattr(figure.seconds_per_call, f"p{percent}") for percent in statistics.PERCENTILES]
    return [known[0], " / ".join(significant(value and 1000 * value) for value in known)]


def _about(spread: statistics.Spread) -> Cell:
    return [spread.median, f"{significant(spread.median)} ± {significant(spread.mad)}"]


def _cold(record: Record) -> list[Part]:
    columns = [*WHO, *_columns("first answer, s", "of it imports", "of it loading")]
    columns += _columns("memory after imports, MB", "peak above that, MB", "GPU peak, MB")
    return _table(columns, [_started(one) for one in record.ran if one.cold], COLD)


def _started(one: Contestant) -> list[Cell]:
    cells: list[Cell] = [one.predictor, one.engine, one.setting]
    for name in ("first_answer_seconds", "import_seconds", "load_seconds"):
        seconds = statistics.describe([getattr(start, name) for start in one.cold])
        median, about = _about(seconds)
        cells.append([median, f"{about} ({significant(seconds.min)}–{significant(seconds.max)})"])
    for name in ("resident_after_import", "peak_above_import", "gpu_peak"):
        found = [size for start in one.cold if (size := getattr(start, name)) is not None]
        cells.append(_significant(float(np.median(found)) / 1e6) if found else None)
    return cells


def _passes(record: Record) -> list[Part]:
    columns = [*WHO, *_columns("texts", "seconds, median", "MAD", "min", "max")]
    rows: list[list[Cell]] = []
    for one in record.figures:
        if one.scenario == "paper":
            seconds = one.seconds_per_pass
            figures = map(_significant, (seconds.median, seconds.mad, seconds.min, seconds.max))
            rows.append([one.predictor, one.engine, one.setting, [one.texts, f"{one.texts:,}"], *figures])
    return _table(columns, rows)


def _pairs(record: Record) -> list[Part]:
    columns = [Column(title, "label") for title in ("A", "B", "setting", "case")]
    columns += _columns("A, ms a text", "B, ms a text", "ratio of seconds A/B", "95 % interval", "A against itself")
    columns += [*_columns("share of A's time saved by B"), Column("verdict", "label")]
    rows = [
        [
            *(f"{side.predictor}, {side.engine}" for side in (pair.a, pair.b)),
            pair.a.setting,
            [pair.case.batch, "one text" if pair.case.batch == 1 else f"batch {pair.case.batch}"],
            *(_significant(1000 * seconds) for seconds in (found.a_seconds_per_text, found.b_seconds_per_text)),
            [found.ratio, f"{found.ratio:.2f}"],
            [found.interval[0], f"{found.interval[0]:.2f}–{found.interval[1]:.2f}"],
            [found.itself_spread, f"×/÷ {found.itself_spread:.2f}"],
            None if found.verdict == "inconclusive" else [found.time_saved, _share(found.time_saved)],
            found.verdict,
        ]
        for pair in record.pairs
        if (found := pair.comparison)
    ]
    return _table(columns, rows, PAIRS)


def _published(record: Record) -> list[Part]:
    """Beside the published figures those of the first BERT and the first DistilBERT that were measured here."""
    bert, distilbert = (
        next((each for each in record.predictors if each.model == kind), None) for kind in ("bert", "distilbert")
    )
    if not bert or not distilbert:
        return []
    rows = [_versus(each.what, each.bert, each.distilbert, each.unit, each.source) for each in record.published]
    titles = ("BERT", "DistilBERT", "ratio BERT/DistilBERT", "share saved", "share kept")
    columns = [Column("what", "label"), *_columns(*titles), Column("source", "label")]
    return _table(columns, rows + _measured_here(record, bert, distilbert))


def _measured_here(record: Record, bert: Predictor, distilbert: Predictor) -> list[list[Cell]]:
    here = f"{bert.name} and {distilbert.name}, this run"
    rows = [_versus("parameters", bert.parameters, distilbert.parameters, "parameters", here)]
    passes = {(each.predictor, each.engine, each.setting): each for each in record.figures if each.scenario == "paper"}
    for (predictor, engine, setting), one in passes.items():
        other = passes.get((distilbert.name, engine, setting))
        if predictor == bert.name and other:
            what = f"one pass over the texts, one at a time: {engine}, {setting}"
            rows.append(_versus(what, one.seconds_per_pass.median, other.seconds_per_pass.median, "s", here))
    if bert.score and distilbert.score and bert.score.name == distilbert.score.name:
        what = f"score ({bert.score.name} on the runs' test rows)"
        rows.append(_versus(what, 100 * bert.score.value, 100 * distilbert.score.value, "points", here))
    return rows


def _versus(what: str, bert: float, distilbert: float, unit: str, source: str) -> list[Cell]:
    shown = [f"{value / 1e6:.1f} M" if unit == "parameters" else f"{value:.4g} {unit}" for value in (bert, distilbert)]
    ratio = [bert / distilbert, f"{bert / distilbert:.2f}"] if distilbert else None
    shares = [[value, _share(value)] for value in (1 - distilbert / bert, distilbert / bert)] if bert else [None, None]
    return [what, [bert, shown[0]], [distilbert, shown[1]], ratio, *shares, source]  # a score may be 0


def _how_to_read(record: Record) -> list[str]:
    protocol = record.protocol
    return [
        "End to end is what a user calls: texts in, labels out, tokenising included. Model is the network alone, on the same "
        "batches, tokenised and padded before. A call ends when its answer is in main memory; a device has finished by then.",
        f"Natural lengths are those of the texts; {protocol.fixed_tokens} tokens are texts joined until they are longer, and "
        "truncated there.",
        "Every shape was called once before it was timed; those calls are reported separately (workbook, warm_up_seconds).",
        f"A percentile is reported where at least {protocol.samples_beyond_percentile} samples lie beyond it. All samples are "
        f"in the record, those of disturbed blocks included; such a block is measured up to {protocol.most_attempts} times, "
        "and the least disturbed attempt counts.",
        "Peak above imports is the greatest resident memory less that after the runtime's imports.",
        "Share of ceiling: operations of the encoder's matrix products for the texts' own tokens (padding is not counted as "
        "work, and what an engine skips is not subtracted), divided by the seconds of the model alone, over the rate of one "
        "2048 × 2048 float32 product with as many threads in the same run, numpy's or ONNX Runtime's, whichever is faster; the "
        "best batch. int8 engines are measured against the same float32 ceiling, so they may exceed it.",
        "An engine that takes texts alone, as ktrain's does, shows no model alone, and nothing at fixed lengths beyond its "
        "maxlen.",
    ]


def _significant(value: float) -> Cell:
    return [value, significant(value)]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"

"""The page of a benchmark, made from its record and its pictures alone."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from halfbert.benchmark import statistics
from halfbert.benchmark.figures import cell_figures, chief_batch, score_of, too_good
from halfbert.benchmark.record import Contestant, Record, Who
from halfbert.benchmark.sections import WHO, of_the_run, sections
from halfbert.data.phrases import counted
from halfbert.output.page import Card, Column, Command, Items, Page, Part, Picture, Section, Table
from halfbert.output.words import significant

PAGE = "report.html"
ALT = {
    "latency.png": "Seconds for one text, as boxes, of each contestant",
    "throughput.png": "Texts a second against the number of texts a call, of each contestant",
    "speed_size_accuracy.png": "Texts a second against the score of each contestant; the area is the size of its weights",
}


def _name(record: Record, who: Who) -> str:
    """A contestant without its setting, where all have the same."""
    several = len({contestant.setting for contestant in record.contestants}) > 1
    return str(who) if several else f"{who.predictor}, {who.engine}"


def page_of(record: Record, pictures: Sequence[str], folder: Path, name: str) -> Page:
    """The page of the benchmark `name`, with the pictures in `folder`: who is fastest, contestants, pairs, figures."""
    many = _rates(record)
    *tables, how_to_read = sections(record)
    found = [
        Section("Contestants", _contestants(record, many)),
        Section("Pictures", [Picture(folder / name, ALT.get(name, name)) for name in pictures]),
        *tables,
        Section("Every figure", _figures(record), folded=True),
        Section("How it was measured", _how(record), folded=True),
        replace(how_to_read, folded=True),
    ]
    return Page(
        title=f"Benchmark: {', '.join(predictor.name for predictor in record.predictors)}",
        headline=_headline(record, many),
        cards=_cards(record, many),
        sections=[section for section in found if section.parts],
        record=_without_samples(record),
        note=f"Samples are left out of the data of this page; {name}.json beside its folder has them.",
    )


def _rates(record: Record) -> dict[str, float]:
    """Texts a second in the chief batch, by contestant, the fastest first."""
    offline = cell_figures(record, "offline")
    batch = chief_batch({figure.batch for figure in offline})
    rates = {_name(record, figure): figure.texts_per_second.median for figure in offline if figure.batch == batch}
    return dict(sorted(rates.items(), key=lambda rate: -rate[1]))


def _single(record: Record) -> dict[str, float]:
    """Milliseconds of one text, the median, by contestant, the fastest first."""
    single = {_name(record, figure): figure.seconds_per_call.p50 for figure in cell_figures(record, "single")}
    return dict(sorted(((who, 1000 * p50) for who, p50 in single.items() if p50), key=lambda one: one[1]))


def _headline(record: Record, many: dict[str, float]) -> str:
    doubt = "A quick look, too short to quote figures from. " if record.quick else ""
    stopped = f"Stopped by {record.stopped} before all was measured. " if record.stopped else ""
    if not many:
        return f"{doubt}{stopped}{counted(len(record.ran), 'contestant')} measured."
    fastest, slowest = next(iter(many.items())), list(many.items())[-1]
    ratio = f", {significant(fastest[1] / slowest[1], 2)} times as fast as {slowest[0]}" if len(many) > 1 else ""
    return f"{doubt}{stopped}The fastest in batches is {fastest[0]}: {significant(fastest[1])} texts a second{ratio}."


def _cards(record: Record, many: dict[str, float]) -> list[Card]:
    cards = []
    if many:
        who, rate = next(iter(many.items()))
        cards.append(Card("most texts a second", significant(rate), who))
    if single := _single(record):
        who, milliseconds = next(iter(single.items()))
        cards.append(Card("one text, least p50", f"{significant(milliseconds)} ms", who))
    if sized := [contestant for contestant in record.ran if contestant.weight_bytes]:
        least = min(sized, key=lambda contestant: contestant.weight_bytes or 0)
        cards.append(Card("least weights", f"{significant((least.weight_bytes or 0) / 1e6)} MB", _name(record, least)))
    scored = [(score, contestant) for contestant in record.ran if (score := score_of(record, contestant))]
    if scored:
        (name, value), best = max(scored, key=lambda each: each[0][1])
        known = best.accuracy is not None and too_good(record.predictor(best.predictor), record.texts.used)
        cards.append(Card("highest score", f"{value:.4f}", f"{name}, {_name(record, best)}", "warn" if known else ""))
    return cards


def _contestants(record: Record, many: dict[str, float]) -> list[Part]:
    single = _single(record)
    rows = [_contestant(record, one, many.get(_name(record, one)), single.get(_name(record, one))) for one in record.ran]
    batch = chief_batch({figure.batch for figure in cell_figures(record, "offline")})
    columns = [
        *WHO,
        Column("score", "number", 4),
        Column("texts/s", "number", 0, f"in batches of {batch}, median over the repeats"),
        Column("one text, ms", "number", 2, "median"),
        Column("start, s", "number", 2, "from the start of a process to its first answer"),
        Column("memory, MB", "number", 0, "greatest resident memory above that after the imports"),
        Column("weights, MB", "number", 1),
        Column("as keras", "share", note="answers equal to those of keras"),
    ]
    kinds = dict.fromkeys(score[0] for one in record.ran if (score := score_of(record, one)))
    caption = f"Score: {', '.join(kinds)}. " if kinds else ""
    caption += f"Texts: {record.texts.used:,} of the {record.texts.rows:,} of {record.texts.name}."
    table = Table(columns, rows, caption, search=len(rows) > 12, filters=[0, 1, 2] if len(rows) > 3 else [])
    return [table] if rows else []


def _contestant(record: Record, one: Contestant, rate: float | None, milliseconds: float | None) -> list[Any]:
    first = statistics.describe([start.first_answer_seconds for start in one.cold]).median if one.cold else None
    peaks = [start.peak_above_import for start in one.cold if start.peak_above_import is not None]
    peak = statistics.describe([float(each) for each in peaks]).median / 1e6 if peaks else None
    weights, score = one.weight_bytes and one.weight_bytes / 1e6, score_of(record, one)
    figures = [score and score[1], rate, milliseconds, first, peak, weights, one.equal_answers]
    return [one.predictor, one.engine, one.setting, *figures]


def _figures(record: Record) -> list[Part]:
    rows = [
        [each.predictor, each.engine, each.setting, each.scenario, each.lengths, each.part, each.batch, *_numbers(each)]
        for each in record.figures
    ]
    columns = [*WHO, *(Column(name, "label") for name in ("scenario", "lengths", "measured")), Column("batch", "number")]
    columns += [Column("texts/s, median", "number", 1), Column("± deviation", "number", 1)]
    columns += [Column(f"p{percent}, ms", "number", 2) for percent in statistics.PERCENTILES]
    caption = "Median over the repeats ± median absolute deviation; percentiles of a call, where there are enough samples."
    return [Table(columns, rows, caption, search=True, filters=[0, 1, 3])] if rows else []


def _numbers(figure: Any) -> list[float | None]:
    percentiles = [getattr(figure.seconds_per_call, f"p{percent}") for percent in statistics.PERCENTILES]
    return [figure.texts_per_second.median, figure.texts_per_second.mad, *(each and 1000 * each for each in percentiles)]


def _how(record: Record) -> list[Part]:
    command = record.environment.command
    items = [
        *of_the_run(record),
        *(f"{predictor.name}: weights SHA-256 {predictor.weights_sha256[:12]}…" for predictor in record.predictors),
        f"{record.texts.name}: SHA-256 {record.texts.sha256[:12]}…",
    ]
    return [Items(items), *([Command(shlex.join(command), "To measure it again:")] if command else [])]


def _without_samples(record: Record) -> Any:
    plain = msgspec.to_builtins(record)
    for contestant in plain["contestants"]:
        del contestant["cases"]
    for pair in plain["pairs"]:
        del pair["blocks"]
    return plain

"""What stands below the verdict, on the page and in verdict.md alike, as plain values of the page kit.

A cell that is a pair is [value to sort by, text to show].
"""

from collections.abc import Sequence
from typing import Any

from halfbert.benchmark.figures import CHIEF_BATCH
from halfbert.comparison import plots, rule
from halfbert.comparison.record import Contestant, Pairing, Record, Speed, ratio
from halfbert.comparison.wording import interval, sentence, signed
from halfbert.data.phrases import counted
from halfbert.output.page import Bars, Column, Lines, Part, Section, Series, Table, Words
from halfbert.output.words import model_name, significant

MOST_LABELS = 15  # in verdict.md
FEW_ROWS = 10
Cell = Any


def sections(record: Record, on_page: bool) -> list[tuple[Section, str | None]]:
    """All sections but those that hold texts, each with its picture's file; a page shows all labels, verdict.md the worst."""
    pair = rule.chief_pair(record)
    found = [
        (_quality(record), plots.QUALITY if record.comparisons else None),
        (_differences(record), None),
        (_teaching(record), None),
        (_speed(record), plots.SPEED if any(each.speeds for each in record.contestants) else None),
        (_labels(record, pair, on_page), plots.LABELS if pair else None),
        (_lengths(record, pair), plots.LENGTHS),
        (_curve(record, pair), plots.CURVE),
        (_label_errors(record), None),
        (_method(record), None),
    ]
    return [(section, picture) for section, picture in found if section.parts]


def private_sections(record: Record, private: dict[str, list[dict[str, Any]]]) -> list[Section]:
    """The rows with texts, for the page; the csv files of the same names hold them too."""
    found = []
    different, suspects = private.get("disagreements", []), private.get("label_errors", [])
    pair = rule.chief_pair(record)
    if different and pair:
        columns = [
            Column("text"),
            Column("label", "label"),
            *(Column(_short(name), "label") for name in pair),
            Column("right", "label"),
        ]
        rows = [[row["text"], row["truth"], *(row[_short(name)] for name in pair), row["right"]] for row in different]
        caption = f"Test rows that {model_name(pair[0])} and {model_name(pair[1])} answer differently."
        found.append(_rows("Disagreements", columns, rows, caption, "disagreements.csv", [1, 4]))
    if suspects:
        columns = [Column("text"), Column("part", "label"), Column("given", "label"), Column("suggested", "label")]
        rows = [[row[name] for name in ("text", "part", "given", "suggested")] for row in suspects]
        caption = "Rows whose label is likely wrong, the likeliest first."
        found.append(_rows("Rows with likely label errors", columns, rows, caption, "label_errors.csv", [1, 2]))
    return found


def _rows(title: str, columns: list[Column], rows: list[list[Cell]], caption: str, source: str, filters: list[int]) -> Section:
    return Section(title, [Table(columns, rows, caption, search=True, filters=filters, source=source)])


def _quality(record: Record) -> Section:
    chief = next(iter(record.score_names))
    scores = [each.scores[chief] for each in record.contestants]
    bars = Bars(
        record.score_name,
        [_short(each.name) for each in record.contestants],
        [score.score for score in scores],
        [score.low for score in scores],
        [score.high for score in scores],
        "With 95 % intervals over the test rows. Those of two models may overlap though their difference is certain.",
    )
    columns = [Column("model", "label"), *(Column(f"{name} (95 % interval)", "number") for name in record.score_names.values())]
    columns += [Column(name, "number") for name in ("seeds", "training rows", "fit, s")] + [Column("weights from", "label")]
    rows = [
        [
            _short(each.name),
            *([score.score, f"{score.score:.3f} ({score.low:.3f}–{score.high:.3f})"] for score in each.scores.values()),
            len(each.fit_seconds),
            _count(each.rows),
            _significant(each.mean_fit_seconds),
            each.checkpoint or "–",
        ]
        for each in record.contestants
    ]
    words = "Scores and seconds are means over the seeds; logistic regression gives the same result with every seed."
    return Section("Quality", [Words(words), bars, Table(columns, rows, "")])


def _differences(record: Record) -> Section:
    if not record.comparisons:
        return Section("Differences", [])
    words = (
        "Each model less a slower one. McNemar's exact test and the numbers of test rows that are right or answered alike are "
        "of the first seed; a row is right if every label of it is."
    )
    columns = [
        Column("model", "label"),
        Column("less", "label"),
        Column(f"{record.score_name}, difference (95 % interval)", "number"),
    ]
    columns += [Column(f"{name}, retained (points)", "number") for name in record.score_names.values()]
    columns += [
        Column(name, "number") for name in ("only the first is right", "only the second is right", "McNemar p", "same answers")
    ]
    return Section("Differences", [Words(words), Table(columns, [_pair(pair) for pair in record.comparisons], "")])


def _pair(pair: Pairing) -> list[Cell]:
    test, found = pair.mcnemar, pair.difference
    return [
        _short(pair.small),
        _short(pair.large),
        [found.difference, f"{signed(found.difference)} ({interval(found)})"],
        *([kept.ratio, f"{share(kept.ratio, 1)} ({signed(kept.points, 1)})"] for kept in pair.retained.values()),
        _count(test.only_first),
        _count(test.only_second),
        [test.p_value, "<0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}"],
        _share(pair.agreement),
    ]


def _teaching(record: Record) -> Section:
    title = "What distillation gained"
    if not record.teaching:
        return Section(title, [])
    changes = ", ".join(
        f"{signed(change.difference)} in {record.score_names[key]} (95 % interval {interval(change)})"
        for key, change in record.teaching.differences.items()
    )
    shown = record.teaching.difference.low > 0
    words = (
        "The student compared with DistilBERT, which had the same initial weights, rows, epochs and seeds, but no teacher: "
        f"{changes}. {'Distillation helped.' if shown else 'These test rows do not show that distillation helped.'}"
    )
    return Section(title, [Words(words)])


def _speed(record: Record) -> Section:
    title, price = "Speed, memory, size", record.options.get("price_per_hour")
    rows = [
        _timed(each, speed, price)
        for each in record.contestants
        for speed in sorted(each.speeds, key=lambda speed: -speed.texts_per_second)
        if speed.engine in (each.best_engine, "ktrain")
    ]
    if not rows:
        why = " (--timing none)" if record.timing == "none" else ""
        return Section(title, [Words(f"Speed was not measured{why}."), _sizes(record)])
    names = [f"texts per second, batches of {CHIEF_BATCH}", "one text, ms", "first answer, s", "memory above imports, MB"]
    names += ["weights, MB", "folder, MB", "parameters, M"]
    names += [f"cost of a million texts at {significant(price, 9)} per hour"] if price else []
    columns = [Column("model", "label"), Column("engine", "label"), *(Column(name, "number") for name in names)]
    which, best = "the engine that halfbert.load takes for it", "these engines"
    if record.timing == "full":
        which, best = "its fastest engine and with plain ktrain", "the fastest engines"
    words = (
        f"Each model with {which}, on texts of the test file, tokenising included. These are "
        "the benchmark's quick measurements, too short to quote; benchmark.py measures thoroughly. The verdict compares "
        f"{best}."
    )
    if any(each.passed_on is not None and each.speeds for each in record.contestants):
        words += " The cascade's figures are computed from those of its two models and the share of the test rows passed on."
    return Section(title, [Words(words), Table(columns, rows, "")])


def _sizes(record: Record) -> Table:
    columns = [Column("model", "label"), Column("folder, MB", "number"), Column("parameters, M", "number")]
    rows = [
        [_short(each.name), _significant(each.folder_bytes / 1e6), _significant(each.parameters / 1e6)]
        for each in record.contestants
    ]
    return Table(columns, rows, "")


def _timed(contestant: Contestant, speed: Speed, price: float | None) -> list[Cell]:
    memory = speed.peak_above_import / 1e6 if speed.peak_above_import else None
    figures = [speed.texts_per_second, 1000 * speed.single_seconds, speed.first_answer_seconds, memory]
    figures += [speed.weight_bytes / 1e6, contestant.folder_bytes / 1e6, contestant.parameters / 1e6]
    figures += [speed.cost_per_million(price)] if price else []
    return [_short(contestant.name), speed.engine, *map(_significant, figures)]


def _labels(record: Record, pair: tuple[str, str] | None, on_page: bool) -> Section:
    columns = [Column("label", "label"), Column("test rows", "number")]
    columns += [Column(f"{_short(each.name)}, F1", "number") for each in record.contestants]
    parts: list[Part] = []
    losses = [(row, None) for row in record.per_label] if pair is None else record.losses(*pair)
    if pair:
        small, large = map(model_name, pair)
        columns.append(Column(f"{small} less {large}", "number"))
        worse = sum(loss < 0 for _, loss in record.losses(*pair))
        parts.append(Words(f"{sentence(small)} scores lower than {large} on {worse} of {len(record.per_label)} labels."))
    shown = losses if on_page else losses[:MOST_LABELS]
    if len(shown) < len(losses):
        parts.append(Words(f"The table shows the {len(shown)} largest losses; comparison.xlsx has all."))
    rows = [
        [row.label, _count(row.rows), *(_decimals(row.f1[each.name]) for each in record.contestants)]
        + ([] if loss is None else [[loss, signed(loss)]])
        for row, loss in shown
    ]
    few = [number for number, (row, _) in enumerate(shown) if row.rows < FEW_ROWS]
    pale = f"Pale: fewer than {FEW_ROWS} test rows." if few and on_page else ""
    return Section("Labels", [*parts, Table(columns, rows, pale, search=len(rows) > 25, marked=few)])


def _lengths(record: Record, pair: tuple[str, str] | None) -> Section:
    columns = [Column("words per text", "number"), Column("test rows", "number")]
    columns += [Column(f"{_short(each.name)}, right", "number") for each in record.contestants]
    columns += [Column("points", "number")] if pair else []
    rows = []
    for row in record.lengths:
        span = [row.words[0], "–".join(map(str, dict.fromkeys(row.words)))]
        cells = [span, _count(row.rows), *(_share(row.right[each.name]) for each in record.contestants)]
        points = 100 * (row.right[pair[0]] - row.right[pair[1]]) if pair else 0.0
        rows.append(cells + ([[points, signed(points, 1)]] if pair else []))
    parts: list[Part] = [Table(columns, rows, "")]
    if pair:
        small, large = map(model_name, pair)
        words = (
            f"Points are percentage points of {small} less those of {large}. disagreements.csv lists the "
            f"{counted(record.disagreements, 'test row')} that the two answer differently, with their texts."
        )
        parts.insert(0, Words(words))
    return Section("Text lengths", parts)


def _curve(record: Record, pair: tuple[str, str] | None) -> Section:
    title, points = "Would more rows help?", record.learning_curve
    if not points:
        return Section(title, [])
    by_name = {
        each.name: sorted((point.rows, point.score) for point in points if point.name == each.name)
        for each in record.contestants
    }
    sizes = sorted({point.rows for point in points})
    columns = [
        Column(f"{record.score_name} after training on", "label"),
        *(Column(counted(size, "row"), "number") for size in sizes),
    ]
    rows = [
        [
            _short(name),
            *(_decimals(score) if (score := dict(found).get(size)) is not None else None for size in sizes),
        ]
        for name, found in by_name.items()
    ]
    drawn = Lines(
        f"{record.score_name} by training rows",
        "training rows",
        record.score_name,
        [Series(_short(name), [size for size, _ in found], [score for _, score in found]) for name, found in by_name.items()],
        caption="Fits with the first seed only: a hint.",
    )
    words = [Words(_what_helped(by_name, pair))] if pair and len(by_name[pair[0]]) > 1 and by_name[pair[1]] else []
    return Section(title, [*words, drawn, Table(columns, rows, "")])


def _what_helped(by_name: dict[str, list[tuple[int, float]]], pair: tuple[str, str]) -> str:
    (half, before), (whole, score) = by_name[pair[0]][-2:]
    by_rows, by_size = score - before, by_name[pair[1]][-1][1] - score
    small, large = map(model_name, pair)
    return (
        f"From {half:,} to {counted(whole, 'training row')} {small} gained {signed(by_rows)}; {large} on all rows gains "
        f"another {signed(by_size)}. So far {'the rows' if by_rows > by_size else 'the larger model'} made more of a "
        f"difference. These are fits with the first seed only: three points are a hint."
    )


def _label_errors(record: Record) -> Section:
    title, found = "Likely label errors", record.label_errors
    if not found:
        return Section(title, [])
    words = (
        f"{found.suspected:,} of {found.rows:,} rows ({share(found.suspected, found.rows)}) probably have a wrong label, "
        f"{found.suspected_test:,} of them test rows. If all of these labels are wrong, no model can be right on more than "
        f"{share(found.test_rows - found.suspected_test, found.test_rows)} of the test rows. They were found by cleanlab from "
        f"out-of-fold predictions of TF-IDF with logistic regression, which makes mistakes too; label_errors.csv lists them, "
        f"worst first."
    )
    return Section(title, [Words(words)])


def _method(record: Record) -> Section:
    data, machine = record.data, record.environment
    files = ", ".join(f"{file.name} (SHA-256 {file.sha256[:12]}…)" for file in data.files)
    of_processes = "Each fit ran in a process of its own." if record.folds is None else "Folds were fitted side by side."
    split = "one split" if record.folds is None else f"the same {record.folds} folds"
    rows = (
        f"Data: {files}. {counted(data.rows.train, 'row')} for training, {data.rows.val:,} for validation (they choose the "
        f"epoch), {data.rows.test:,} for the test (held out, never used for tuning); all models share {split} (seed "
        f"{data.split_seed}). {of_processes}"
    )
    extensions = ", ".join(machine.hardware.get("vector_extensions", [])) or "no vector extensions reported"
    versions = ", ".join(f"{package} {version}" for package, version in machine.versions.items())
    hardware = f"Machine: {machine.hardware.get('cpu')} ({extensions}), {counted(machine.threads, 'thread')}. {versions}."
    lines = [*record.notes, rows, hardware, "All figures: comparison.json and comparison.xlsx."]
    return Section("Method", [Words(line) for line in lines], folded=True)


def share(part: float | None, whole: float | None) -> str:
    """`part` in per cent of `whole`; "–" where there is no whole."""
    value = ratio(part, whole)
    return "–" if value is None else f"{value:.1%}"


def _short(name: str) -> str:
    return model_name(name, short=True)


def _count(number: int) -> Sequence[Cell]:
    return [number, f"{number:,}"]


def _significant(value: float | None) -> Sequence[Cell]:
    return [value, significant(value)]


def _decimals(value: float) -> Sequence[Cell]:
    return [value, f"{value:.3f}"]


def _share(value: float) -> Sequence[Cell]:
    return [value, share(value, 1)]

"""Parts of a run's page that show how it learned: losses and scores of the epochs, calibration, lengths of the texts."""

from halfbert.models.long_texts import CUT, HEAD_TAIL, WINDOWS
from halfbert.output import guarantees
from halfbert.output.page import Bars, Column, Items, Lines, Part, Section, Series, Table, Words
from halfbert.output.record import CalibrationReport, Record
from halfbert.output.words import counted, percent, readable, significant
from halfbert.scoring.intervals import Interval, standard_error, wilson
from halfbert.scoring.reliability import Bin

FEW_ROWS = 10  # below which a share says next to nothing
NARROWEST = 0.3  # range of an axis of scores: a narrower one makes noise look like progress
WAYS = {
    CUT: "their end is cut off",
    HEAD_TAIL: "only their head and tail are read",
    WINDOWS: "they are read in several windows, whose answers are pooled",
}


def learning(record: Record) -> Section | None:
    """Losses and validation scores by epoch, with the interval of the kept epoch's; None where no epoch was complete."""
    if not record.epochs:
        return None
    known = dict.fromkeys(name for epoch in record.epochs for name in epoch if name.startswith("val_") and name != "val_loss")
    losses = [_series(record, "train_loss", "training"), _series(record, "val_loss", "validation")]
    scores = [_series(record, name, readable(name.removeprefix("val_"))) for name in known]
    parts: list[Part] = [
        Words(_kept(record)),
        Lines("Loss", "epoch", "mean loss (nats per text)", losses, y_range=(0.0, 0.0)),
        Lines("Validation scores", "epoch", "score (0 to 1)", scores, y_range=_range(scores)),
    ]
    return Section("Learning curves", parts)


def _series(record: Record, name: str, title: str) -> Series:
    interval = record.validation_intervals.get(name)
    numbers = [int(epoch["epoch"] or 0) for epoch in record.epochs]
    low, high = (
        [end if number == record.best_epoch else None for number in numbers]
        for end in ((interval.low, interval.high) if interval else (None, None))
    )
    return Series(title, numbers, [epoch.get(name) for epoch in record.epochs], low, high)


def _kept(record: Record) -> str:
    rows = record.data.rows.val
    line = f"Epoch {record.best_epoch} of {len(record.epochs)} was kept."
    if record.validation_intervals:
        return (
            f"{line} The upright strokes at it are 95 % intervals over the {counted(rows, 'validation row')}: "
            "a smaller difference between epochs means little."
        )
    reach = 1.96 * standard_error(0.8, rows)
    return f"{line} On {counted(rows, 'validation row')} a score of 0.8 is certain to about ±{reach:.2f}."


def _range(series: list[Series]) -> tuple[float, float]:
    """Of an axis that is not so narrow that noise fills it."""
    values = [value for each in series for value in (*each.y, *each.low, *each.high) if value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    wider = max(0.0, NARROWEST - (high - low)) / 2
    low, high = low - wider, high + wider
    return (max(0.0, min(low, 1 - NARROWEST)), min(1.0, max(high, NARROWEST)))


def calibration(record: Record) -> Section | None:
    """Reliability before and after, and what guarantees cost; None where nothing was calibrated or tested."""
    report = record.calibration
    if report is None:
        return None
    names = {"expected_calibration_error": 3, "log_loss": 3, "brier": 3}
    quality = [[guarantees.QUALITY_NAMES[name], getattr(report.raw, name), getattr(report.calibrated, name)] for name in names]
    parts: list[Part] = [
        Words(
            f"Calibration was fitted on {counted(report.rows, 'validation row')} and is judged here on the test rows. "
            "The confidence that predictions come with is the calibrated one."
        )
    ]
    if report.bins:
        parts.append(_reliability(record.task, report))
    columns = [Column("0 is perfect", "label"), Column("network", "number"), Column("calibrated", "number")]
    parts.append(Table(columns, quality, "Probabilities on the test rows, before and after."))
    if report.promises:
        parts.append(_guarantees(report))
    return Section("Calibration", parts)


def _reliability(task: str, report: CalibrationReport) -> Lines:
    few = sum(each.rows < FEW_ROWS for bins in report.bins.values() for each in bins)
    what = "probability of a label" if task == "multilabel" else "confidence of the answer"
    left_out = f" {counted(few, 'bin')} with fewer than {FEW_ROWS} rows left out." if few else ""
    return Lines(
        "Reliability",
        what,
        "share that is right",
        [_bins(name, bins, banded=name == "calibrated") for name, bins in report.bins.items()],
        y_range=(0.0, 1.0),
        diagonal=True,
        caption="On the dashed line, what is said with 80 % confidence is right 8 times in 10. "
        f"The band is the calibrated one's 95 % interval.{left_out}",
    )


def _bins(name: str, bins: list[Bin], banded: bool) -> Series:
    shown = [each for each in bins if each.rows >= FEW_ROWS]
    ends = [wilson(round(each.accuracy * each.rows), each.rows) for each in shown] if banded else []
    low, high = [end[0] for end in ends], [end[1] for end in ends]
    return Series(name, [each.confidence for each in shown], [each.accuracy for each in shown], low, high)


def _guarantees(report: CalibrationReport) -> Table:
    rows = [
        [
            guarantees.RISK_NAMES[each.risk],
            f"at most {100 * each.max_error:g}%",
            each.answered,
            each.error,
            each.impossible or "",
        ]
        for each in report.promises
    ]
    columns = [
        Column("what is guaranteed", "label"),
        Column("guarantee"),
        Column("rows answered", "share"),
        Column("error on the test", "share"),
        Column("why it cannot be given"),
    ]
    caption = "If only the most confident rows are answered and a person sees the others (predict.py --max-error)."
    return Table(columns, rows, caption)


def lengths(record: Record) -> Section | None:
    """How long the training texts are, and what becomes of those that are longer than the network reads."""
    found = record.text_lengths
    if found is None:
        return None
    way = WAYS[record.options.get("long") or CUT]
    share = percent(found.longer / found.texts)
    lines = [
        f"{found.longer:,} of {counted(found.texts, 'training text')} ({share}) have more than {found.maxlen:,} tokens: {way}.",
        f"Half of the texts have at most {significant(found.median)} tokens; the longest has {found.longest:,}.",
    ]
    names = [f"{low + 1:,} to {high:,}" for low, high in zip(found.edges, found.edges[1:], strict=False)]
    bars = Bars("Training texts by their number of tokens", names, [float(count) for count in found.counts])
    return Section("Text lengths", [Items(lines), bars])


def interval(found: Interval | None) -> str:
    """An interval in words; empty where there is none."""
    return f"95 % interval {found.low:.3f} to {found.high:.3f}" if found else ""

"""What a run reports of its calibration, in words: how good its probabilities are, and what guarantees of few errors cost."""

from halfbert.data.phrases import counted
from halfbert.output.record import CalibrationReport, Guarantee
from halfbert.output.words import percent

RISK_NAMES = {
    "error": "wrong answers",
    "false-discovery": "wrong labels of an answer (false discovery)",
    "false-negative": "missing labels of a row (false negatives)",
}
QUALITY_NAMES = {
    "expected_calibration_error": "expected calibration error",
    "log_loss": "log loss (nats)",
    "brier": "Brier score",
}
SHOWN_GUARANTEE = 0.05  # on the console


def lines(report: CalibrationReport | None) -> list[str]:
    """The part of report.txt: scores of the probabilities before and after, and guaranteed against achieved error."""
    if report is None:
        return []
    raw, calibrated = report.raw, report.calibrated
    fitted = f"temperature {report.temperature:.3f}, " if report.temperature is not None else ""
    probabilities = f"probabilities ({fitted}of {counted(report.rows, 'validation row')})"
    table = [
        f"{probabilities:52}{'network':>10}{'calibrated':>12}",
        *(f"{name:52}{getattr(raw, key):>10.4f}{getattr(calibrated, key):>12.4f}" for key, name in QUALITY_NAMES.items()),
        "",
    ]
    for risk in dict.fromkeys(guarantee.risk for guarantee in report.promises):
        table.append(f"{f'{RISK_NAMES[risk]}, guaranteed with 95% certainty':68}{'on the test':>12}{'answered':>10}")
        table += [_line(guarantee) for guarantee in report.promises if guarantee.risk == risk]
        table.append("")
    return table


def _line(guarantee: Guarantee) -> str:
    if guarantee.answered is None:
        return f"{_guaranteed(guarantee)}: {guarantee.impossible}"
    return f"{_guaranteed(guarantee):68}{_error(guarantee):>12}{percent(guarantee.answered):>10}"


def _guaranteed(guarantee: Guarantee) -> str:
    return f"at most {100 * guarantee.max_error:g}%"


def _error(guarantee: Guarantee) -> str:
    return "–" if guarantee.error is None else percent(guarantee.error)


def console_line(report: CalibrationReport | None) -> str | None:
    """The guarantee that is shown on the console: what it would have given on the test rows, or why it cannot be given."""
    shown = [guarantee for guarantee in report.promises if guarantee.max_error == SHOWN_GUARANTEE] if report else []
    if not shown:
        return None
    guarantee = shown[0]
    name = f"{RISK_NAMES[guarantee.risk].split(' (')[0]}, {_guaranteed(guarantee)}"
    if guarantee.answered is None:
        return f"{name}: {guarantee.impossible}"
    answered = f"{percent(guarantee.answered)} of the test rows would be answered, with an error of {_error(guarantee)}"
    return f"{name} (95% certain): {answered}; the others are for a person"

"""What a run reports of its calibration, in words: how good its probabilities are, and what promises of few errors cost."""

from halfbert.output.record import CalibrationReport, Promise
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
SHOWN_PROMISE = 0.05  # on the console


def lines(report: CalibrationReport | None) -> list[str]:
    """The part of report.txt: scores of the probabilities before and after, and promised against achieved error."""
    if report is None:
        return []
    raw, calibrated = report.raw, report.calibrated
    fitted = f"temperature {report.temperature:.3f}, " if report.temperature is not None else ""
    table = [
        f"{f'probabilities ({fitted}of {report.rows:,} validation rows)':52}{'network':>10}{'calibrated':>12}",
        *(f"{name:52}{getattr(raw, key):>10.4f}{getattr(calibrated, key):>12.4f}" for key, name in QUALITY_NAMES.items()),
        "",
    ]
    for risk in dict.fromkeys(promise.risk for promise in report.promises):
        table.append(f"{f'{RISK_NAMES[risk]}, promised with 95% certainty':68}{'on the test':>12}{'answered':>10}")
        table += [_line(promise) for promise in report.promises if promise.risk == risk]
        table.append("")
    return table


def _line(promise: Promise) -> str:
    if promise.answered is None:
        return f"{_promised(promise)}: {promise.impossible}"
    return f"{_promised(promise):68}{_error(promise):>12}{percent(promise.answered):>10}"


def _promised(promise: Promise) -> str:
    return f"at most {100 * promise.max_error:g}%"


def _error(promise: Promise) -> str:
    return "–" if promise.error is None else percent(promise.error)


def console_line(report: CalibrationReport | None) -> str | None:
    """The promise that is shown on the console: what it would have given on the test rows, or why it cannot be made."""
    shown = [promise for promise in report.promises if promise.max_error == SHOWN_PROMISE] if report else []
    if not shown:
        return None
    promise = shown[0]
    name = f"{RISK_NAMES[promise.risk].split(' (')[0]}, {_promised(promise)}"
    if promise.answered is None:
        return f"{name}: {promise.impossible}"
    answered = f"{percent(promise.answered)} of the test rows would be answered, with an error of {_error(promise)}"
    return f"{name} (95% certain): {answered}; the others are for a person"

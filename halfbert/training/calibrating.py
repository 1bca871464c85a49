"""The calibration of a trained predictor, fitted on validation rows, and what it is worth on test rows.

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from halfbert.output.record import CalibrationReport, Guarantee
from halfbert.predictor.validated import Validated
from halfbert.scoring import review
from halfbert.scoring.calibration import Calibration, HeldOut, fit_platt, fit_temperature
from halfbert.scoring.probabilities import probabilities_of
from halfbert.scoring.reliability import Quality, reliability
from halfbert.training import tasks

FOLDS = 5
GUARANTEES = (0.01, 0.02, 0.05, 0.1)  # that a run tries on its test rows


def fit(task: str, truth: np.ndarray, logits: np.ndarray, rule: str) -> Calibration | None:
    """Fit on the (R, L) `logits` of validation rows; None if some are not finite. `rule` is that of the thresholds."""
    if not np.isfinite(logits).all():
        return None
    held_out = _held_out(task, truth, logits, rule)
    if task == "multiclass":
        return Calibration(len(truth), temperature=fit_temperature(truth, logits), held_out=held_out)
    probabilities = probabilities_of(logits, task)
    lines = [fit_platt(*label) for label in zip(truth.T, probabilities.T, strict=True)]
    return Calibration(len(truth), platt=lines, held_out=held_out)


def validated(
    task: str, truth: np.ndarray, logits: np.ndarray, rule: str, calibration: Calibration, texts: Sequence[str]
) -> Validated:
    """What a predictor keeps of the answers to its validation `texts`; the rest is as for `fit`, which made the calibration."""
    probabilities, answered = probabilities_of(logits, task).astype(np.float32), np.zeros(truth.shape, bool)
    for rows, thresholds in _folds(task, truth, logits, rule):
        answered[rows] = review.answered_labels(probabilities[rows], thresholds)
    return Validated.of(texts, truth > 0, answered, review.row_confidence(calibration.apply(probabilities), answered))


def _folds(task: str, truth: np.ndarray, logits: np.ndarray, rule: str) -> Iterator[tuple[np.ndarray, list[float] | None]]:
    """(R,) bool of the rows of each fold, and thresholds chosen on the others: on the same rows they would flatter them."""
    fold_of_row = np.random.default_rng(0).permutation(len(truth)) % (FOLDS if task == "multilabel" else 1)
    for fold in np.unique(fold_of_row):
        rows = fold_of_row == fold
        others = ~rows if not rows.all() else rows
        yield rows, tasks.thresholds(task, truth[others], logits[others], rule)


def _held_out(task: str, truth: np.ndarray, logits: np.ndarray, rule: str) -> dict[str, HeldOut]:
    """Scores and losses by risk."""
    # In float32, as a classifier has them.
    probabilities = probabilities_of(logits, task).astype(np.float32)
    scores = {risk: np.empty(len(truth)) for risk in review.RISKS[task]}
    losses = {risk: np.empty(len(truth)) for risk in review.RISKS[task]}
    for rows, thresholds in _folds(task, truth, logits, rule):
        answered = review.answered_labels(probabilities[rows], thresholds)
        for risk in review.RISKS[task]:
            scores[risk][rows] = review.row_scores(probabilities[rows], thresholds, risk)
            losses[risk][rows] = review.row_losses(truth[rows] > 0, answered, risk)
    return {risk: HeldOut.of(scores[risk], losses[risk]) for risk in review.RISKS[task]}


def report(
    task: str, truth: np.ndarray, probabilities: np.ndarray, thresholds: Sequence[float] | None, calibration: Calibration
) -> CalibrationReport:
    """How good probabilities are on test rows, before and after, and what each guarantee would have given there."""
    kinds = {"network": probabilities, "calibrated": calibration.apply(probabilities)}
    return CalibrationReport(
        calibration.rows,
        calibration.temperature,
        Quality.of(truth, kinds["network"], task),
        Quality.of(truth, kinds["calibrated"], task),
        try_guarantees(truth, probabilities, thresholds, calibration, GUARANTEES),
        {name: reliability(truth, each, task) for name, each in kinds.items()},
    )


def try_guarantees(
    truth: np.ndarray,
    probabilities: np.ndarray,
    thresholds: Sequence[float] | None,
    calibration: Calibration,
    errors: Sequence[float],
) -> list[Guarantee]:
    """What guarantees of at most so many `errors`, by each risk, come to on rows that did not choose the cuts."""
    guarantees = []
    for risk, held_out in calibration.held_out.items():
        ranked = held_out.read()
        scores, losses = scores_and_losses(truth, probabilities, thresholds, risk)
        for max_error in errors:
            cut = review.guaranteed_cut(*ranked, max_error)
            if cut is None:
                guarantees.append(Guarantee(risk, max_error, None, None, review.why_no_guarantee(*ranked, max_error)))
            else:
                answered = scores > cut.score
                guarantees.append(Guarantee(risk, max_error, float(answered.mean()), mean_loss(losses[answered])))
    return guarantees


def scores_and_losses(
    truth: np.ndarray, probabilities: np.ndarray, thresholds: Sequence[float] | None, risk: str
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) scores of rows and losses of their answers."""
    probabilities = probabilities.astype(np.float32)
    answered = review.answered_labels(probabilities, thresholds)
    return review.row_scores(probabilities, thresholds, risk), review.row_losses(truth > 0, answered, risk)


def mean_loss(losses: np.ndarray) -> float | None:
    """The mean of those that are defined; None if none is."""
    defined = losses[~np.isnan(losses)]
    return float(defined.mean()) if len(defined) else None


def risk_coverage(scores: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rising shares of the rows, the most confident first, and their mean defined loss; both (N,), equal scores together."""
    falling = np.argsort(-scores, kind="stable")
    ranked, of_row = scores[falling], losses[falling]
    defined = np.cumsum(~np.isnan(of_row))
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True) & (defined > 0))
    return (ends + 1) / len(scores), np.nancumsum(of_row)[ends] / defined[ends]

"""What a run measures, beside its scores, for its suggestions.

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.models.long_texts import WINDOWS
from halfbert.output import record as records
from halfbert.output.advice import Evidence, OtherRule, OtherRun, Truncation
from halfbert.output.record import Record
from halfbert.predictor.manifest import MANIFEST
from halfbert.scoring import THRESHOLD_RULES, intervals
from halfbert.scoring import multilabel as multilabel_metrics
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system.errors import ArtefactError
from halfbert.training import tasks, tfidf
from halfbert.training.values import Fitted, Prepared, Tested

FEWEST_TRUNCATED = 10  # test rows, to be compared with the others
FOLDS = 5


def gather(prepared: Prepared, fitted: Fitted, tested: Tested) -> Evidence:
    """All that can be measured of a tested run."""
    answers = tasks.answers(prepared.task, tested.probabilities, fitted.thresholds)
    return Evidence(
        growth=tfidf.growth(prepared, tested.tfidf) if tested.tfidf else None,
        truncation=truncation(prepared, fitted, tested, answers),
        threshold=other_rule(prepared, fitted),
        others=list(_other_runs(prepared, answers)),
    )


def truncation(prepared: Prepared, fitted: Fitted, tested: Tested, answers: np.ndarray) -> Truncation | None:
    """How often truncated test rows are wrong, beside the others; None where too few are."""
    cut = np.asarray(tested.lengths) > fitted.transformer.maxlen
    if prepared.options.long == WINDOWS or not FEWEST_TRUNCATED <= cut.sum() < len(cut):
        return None
    from scipy.stats import fisher_exact  # takes most of a second to import

    wrong = (answers != (prepared.truth["test"] > 0)).any(axis=1)
    counts = [[int((wrong & rows).sum()), int((~wrong & rows).sum())] for rows in (cut, ~cut)]
    p_value = float(fisher_exact(counts, alternative="greater").pvalue)
    tokens = int(np.quantile(np.asarray(tested.lengths)[cut], 0.99))
    return Truncation(sum(counts[0]), counts[0][0], sum(counts[1]), counts[1][0], p_value, tokens)


def other_rule(prepared: Prepared, fitted: Fitted) -> OtherRule | None:
    """The rule for thresholds with the highest macro F1 on validation rows, held against the run's own.

    Each fold of these rows is answered at thresholds that were chosen on the other folds. None where a text has one label, a
    teacher has chosen the rule, or none scores higher.
    """
    truth, own = prepared.truth["val"], getattr(prepared.options, "threshold", None)
    if prepared.task != "multilabel" or not hasattr(prepared.options, "balance") or len(truth) < FOLDS or not truth.any():
        return None
    probabilities = probabilities_of(fitted.val_logits, prepared.task)
    fold_of_row = np.random.default_rng(0).permutation(len(truth)) % FOLDS
    score, once = intervals.COMPARED[prepared.task]["macro_f1"], np.ones((1, len(truth)))
    answers = {rule: np.zeros(truth.shape, bool) for rule in THRESHOLD_RULES}
    for fold in range(FOLDS):
        rows = fold_of_row == fold
        for rule in THRESHOLD_RULES:
            thresholds = multilabel_metrics.choose_thresholds(truth[~rows], probabilities[~rows], rule)
            answers[rule][rows] = probabilities[rows] >= thresholds
    best = max(THRESHOLD_RULES, key=lambda rule: (float(score(truth > 0, answers[rule], once)[0]), rule == own))
    if best == own:
        return None
    return OtherRule(best, intervals.paired_bootstrap(score, truth > 0, [answers[best]], [answers[str(own)]]))


def _other_runs(prepared: Prepared, answers: np.ndarray) -> Iterator[OtherRun]:
    """The runs beside this one's results with the other model and the same rows, whose predictors are beside its own."""
    own, results = prepared.checkpoint.model, prepared.options.results.resolve()
    truth = prepared.truth["test"] > 0
    if not truth.any():
        return
    for file in sorted(results.parent.glob(f"*/{records.RECORD}")):
        try:
            record = records.read(file.parent)
            if file.parent == results or record.model == own or record.distillation or not _same_rows(prepared, record):
                continue
            probabilities, numbers = records.read_answers(file.parent)
        except ArtefactError:
            continue
        predictor = prepared.options.output.parent / Path(str(record.options.get("output", ""))).name
        if numbers.tolist() != prepared.data.test.numbers or not (predictor / MANIFEST).is_file():
            continue
        of_other = tasks.answers(prepared.task, probabilities, thresholds_of(record))
        pair = (answers, of_other) if own == "bert" else (of_other, answers)
        gain = intervals.paired_bootstraps(prepared.task, truth, *pair)["macro_f1"]
        yield OtherRun(predictor.as_posix(), record.model, gain)


def _same_rows(prepared: Prepared, record: Record) -> bool:
    """Whether a record is of the same task, labels and rows of the same files."""
    data, options = prepared.data, prepared.options
    files = {(file["role"], file["sha256"]) for file in data.files}
    counts = {part: len(rows) for part, rows in data.parts()}
    return (
        (record.task, record.data.labels) == (prepared.task, data.labels)
        and {(file.role, file.sha256) for file in record.data.files} == files
        and vars(record.data.rows) == counts
        and record.split is not None
        and record.split.seed == (options.split_seed or 0)
        and record.test is not None
    )


def thresholds_of(record: Record) -> list[float] | None:
    """The thresholds that a run's answers were given at; None where a text has one label."""
    of_labels: list[dict[str, Any]] = (record.test or {}).get("per_label", [])
    return [float(label["threshold"]) for label in of_labels] if record.task == "multilabel" else None

"""What the record says of a distillation: teacher, loss, control, and what the teacher was worth."""

from dataclasses import asdict

import numpy as np

from halfbert.distillation.teacher import Teacher
from halfbert.models.ktrain_data import TransformerDataset
from halfbert.options import DistillOptions
from halfbert.output import text as report
from halfbert.scoring import intervals as statistics
from halfbert.scoring.probabilities import probabilities_of
from halfbert.training import fit as training
from halfbert.training import tasks


def account(teacher: Teacher, options: DistillOptions, weights: dict[str, float], engine: str, unlabelled) -> dict:
    """What the record says of a distillation; tests of teacher and control are added when they are made."""
    predictor = teacher.predictor
    known = {"name": teacher.name, "checkpoint": teacher.checkpoint, "weights_sha256": predictor.weights_sha256}
    return {
        "teacher": {**known, "engine": engine, "test": None},
        "weights": weights,
        "temperature": options.temperature,
        "unlabelled": unlabelled and asdict(unlabelled),
        "layers": options.layers,
        "control": None,
        "worth": None,
    }


def test_teacher(run, teacher: Teacher, truth: dict[str, np.ndarray], logits: np.ndarray) -> None:
    """Score the teacher's answers to the test rows, for the record."""
    probabilities = probabilities_of(logits, run.task)
    scores = tasks.scores(run.task, truth, probabilities, teacher.predictor.manifest.thresholds, run.data.labels)
    run.distillation["teacher"]["test"] = report.card_scores(scores)


def test_control(run, model, best: training.BestEpoch, truth: dict[str, np.ndarray], test: TransformerDataset) -> None:
    """Test the control's best epoch, and compare the student with it, for the record."""
    model.set_weights(best.best_weights)
    probabilities = probabilities_of(training.predict_logits(model, test, "testing the control"), run.task)
    thresholds = tasks.thresholds(run.task, truth["val"], best.best_logits, run.options.threshold)
    scores = tasks.scores(run.task, truth, probabilities, thresholds, run.data.labels)
    student = tasks.answers(run.task, run.probabilities, run.thresholds)
    control = tasks.answers(run.task, probabilities, thresholds)
    run.distillation["worth"] = worth(run.task, truth["test"], student, control)
    run.distillation["control"] = {"epochs": best.rows, "best_epoch": best.best_epoch, "test": report.card_scores(scores)}


def worth(task: str, truth: np.ndarray, student: np.ndarray, control: np.ndarray) -> dict[str, dict]:
    """By how much the student's scores exceed its control's: `statistics.paired_bootstrap` by score.

    Truth and both answers: bool, (test rows, L).
    """
    truth = truth.astype(bool)
    return {
        name: asdict(statistics.paired_bootstrap(score, truth, [student], [control]))
        for name, score in statistics.COMPARED[task].items()
    }

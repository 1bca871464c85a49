"""The course of a distillation: a trained predictor and a table in, a smaller predictor out that has learnt from it.

It is made of the steps of a training run; the teacher predicts before the fit, and a control is fitted after it.
"""

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.equality import digests, merged
from halfbert.distillation import pretraining, rows, sentences, teacher
from halfbert.distillation.teacher import Predictions
from halfbert.options import DistillOptions
from halfbert.output.record import Control, Distillation
from halfbert.output.text import card_scores
from halfbert.predictor import engines, gate
from halfbert.predictor.manifest import TeacherTested
from halfbert.scoring import intervals
from halfbert.scoring.intervals import Difference
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import storage
from halfbert.system.console import StopRequest, say
from halfbert.training import course, steps, tasks
from halfbert.training.values import Fitted, Prepared, Taught, Tested


def distill(options: DistillOptions, stop: StopRequest) -> course.Trained | pretraining.Pretrained:
    """Teach a student, compare it with the same student fitted without the teacher, and save it.

    If a signal or a diverging loss ended the fit early, the best epoch so far is saved, and what ended it is raised.
    """
    if options.objective == "mlm":
        return pretraining.pretrain(options, stop)
    if options.objective == "embedding":
        return sentences.teach(options, stop)
    started = time.perf_counter()
    taught_by = teacher.read(Path(options.teacher))
    predictor, known = taught_by.predictor, taught_by.predictor.manifest
    options.complete_with_teacher(known.task, known.labels, known.maxlen, taught_by.split_seed, known.threshold_rule)
    with steps.locked_outputs(options) as (output, results), tempfile.TemporaryDirectory(prefix="halfbert-") as scratch:
        data = steps.read(known.task, options)
        rows.check(taught_by, data, options)
        more_texts, unlabelled = rows.read_unlabelled(options, data)
        student = partial(teacher.student, taught_by, options, Path(scratch))
        prepared = steps.prepare(known.task, options, data, stop, started, student)
        teacher.check_tokenizers(prepared.checkpoint, predictor.folder, taught_by.name)

        begun = time.perf_counter()
        automatic = gate.automatic(predictor, prepared.device, options.threads)
        engine = next(name for name in automatic if engines.find(name).load_states)
        texts = data.train.texts + more_texts + data.test.texts
        predicted = teacher.predict(predictor, texts, engine, prepared.device)
        teacher_seconds = time.perf_counter() - begun
        to_learn, of_test = predicted.split(len(data.train) + len(more_texts))

        lesson, weights = _lesson(options, prepared, more_texts, to_learn)
        tested_teacher = TeacherTested(taught_by.name, taught_by.checkpoint, predictor.weights_sha256, engine)
        control: Control | None = None
        worth: dict[str, Difference] | None = None
        with storage.atomic_folder(output) as folder, storage.atomic_folder(results) as results_folder:
            fitted = course.fit(prepared, keep_in=folder, lesson=lesson)
            tested = steps.test(prepared, fitted)
            if tested.failure is None:
                probabilities = probabilities_of(of_test.logits, known.task)
                scores = tasks.scores(known.task, prepared.truth, probabilities, known.thresholds, data.labels)
                tested_teacher = replace(tested_teacher, test={**card_scores(scores)})
                if not options.no_control:
                    with steps.aside(prepared, "the control"):
                        control, worth = _control(prepared, fitted, tested)
            distillation = Distillation(
                tested_teacher, weights, options.temperature, unlabelled, options.layers, control, worth
            )
            train_texts = merged(digests(more_texts), taught_by.train_texts or "")
            taught = Taught(distillation, teacher_seconds, train_texts, taught_by.val_texts)
            record = course.save(prepared, fitted, tested, folder, results_folder, taught)
        steps.finish(prepared, fitted, tested, record)
    return course.Trained(options.output, options.results, record)


def _lesson(
    options: DistillOptions, prepared: Prepared, more_texts: list[str], predicted: Predictions
) -> tuple[course.Lesson, dict[str, float]]:
    """What the teacher adds to the fit, and the weights of the loss; `predicted` are labelled rows, then `more_texts`."""
    from halfbert.distillation import losses
    from halfbert.models import batching

    weights = losses.applicable_weights(options, prepared.checkpoint, predicted)
    objective = losses.objective(prepared.task, prepared.device, len(prepared.data.labels), weights, options.temperature)

    def training_set(transformer: Any, labelled: Any) -> Any:
        encoded, _ = batching.encode(transformer.get_tokenizer(), more_texts, options.maxlen)
        return losses.training_set(labelled, encoded, predicted)

    return course.Lesson(training_set, objective), weights


def _control(prepared: Prepared, fitted: Fitted, tested: Tested) -> tuple[Control, dict[str, Difference]]:
    """The same student fitted without the teacher, and by how much the student's scores exceed that one's, if measurable."""
    say("fitting the control: the same student, without the teacher")
    control = course.fit(prepared, control_of=fitted)
    tested_control = steps.score_test(prepared, control)
    student, baseline = _answers(prepared.task, fitted, tested), _answers(prepared.task, control, tested_control)
    worth = intervals.paired_bootstraps(prepared.task, prepared.truth["test"] > 0, student, baseline)
    history, scores = control.history, card_scores(tested_control.scores or {})
    return Control(history.epochs, history.best_epoch, {**scores}), worth


def _answers(task: str, fitted: Fitted, tested: Tested) -> np.ndarray:
    assert tested.probabilities is not None
    return tasks.answers(task, tested.probabilities, fitted.thresholds)

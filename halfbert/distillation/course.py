"""The course of a distillation: a trained predictor and a table in, a smaller predictor out that has learnt from it.

It is made of the steps of a training run; the teacher predicts before the fit, and a control is fitted after it.
"""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from halfbert import distillation
from halfbert.data.equality import digests, merged
from halfbert.distillation import pretraining, rows, sentences, teacher
from halfbert.distillation.teacher import Predictions
from halfbert.models import memory
from halfbert.options import DistillOptions
from halfbert.output.record import Control, Distillation, Unlabelled
from halfbert.output.text import card_scores
from halfbert.predictor import engines, gate
from halfbert.predictor.manifest import TeacherTested
from halfbert.scoring import intervals
from halfbert.scoring.intervals import Difference
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import cluster, storage, temporary
from halfbert.system.console import StopRequest, say
from halfbert.training import course, identity, steps, tasks
from halfbert.training.resuming import States
from halfbert.training.values import Fitted, Prepared, Taught, Tested


@dataclass(frozen=True)
class _Ready:
    """What a distillation has before its fit: the teacher has predicted the texts to learn from, and those of the test rows."""

    prepared: Prepared
    lesson: course.Lesson
    weights: dict[str, float]
    more_texts: list[str]
    unlabelled: Unlabelled | None
    of_test: Predictions
    engine: str
    teacher_seconds: float
    states: States | None  # of the chief


@memory.releasing()
def distill(options: DistillOptions, stop: StopRequest) -> course.Trained | pretraining.Pretrained | None:
    """Teach a student, compare it with the same student fitted without the teacher, and save it.

    If a signal or a diverging loss ended the fit early, the best epoch so far is saved, and what ended it is raised. None from
    a worker that is not the chief.
    """
    if options.objective == "mlm":
        return pretraining.pretrain(options, stop)
    if options.objective == "embedding":
        return sentences.teach(options, stop)
    started = time.perf_counter()
    taught_by = teacher.read(Path(options.teacher))
    known = taught_by.predictor.manifest
    lengths = known.maxlen, known.long
    options.complete_with_teacher(known.task, known.labels, *lengths, taught_by.split_seed, known.threshold_rule)
    with temporary.folder() as scratch:
        if not cluster.here().is_chief:
            _help(options, _ready(taught_by, options, stop, started, scratch))
            return None
        with steps.locked_outputs(options) as (output, results):
            ready = _ready(taught_by, options, stop, started, scratch, output)
            assert ready.states is not None
            with storage.atomic_folder(output) as folder, storage.atomic_folder(results) as results_folder:
                fitted = course.fit(ready.prepared, ready.states.fit("fit"), ready.lesson)
                tested = steps.test(ready.prepared, fitted)
                taught, fitted, tested = _taught(taught_by, ready, fitted, tested)
                record = course.save(ready.prepared, fitted, tested, folder, results_folder, ready.states, taught)
            steps.finish(ready.prepared, fitted, tested, record, ready.states)
    return course.Trained(options.output, options.results, record)


def _ready(
    taught_by: teacher.Teacher,
    options: DistillOptions,
    stop: StopRequest,
    started: float,
    scratch: Path,
    output: Path | None = None,
) -> _Ready:
    """Read the rows, prepare the student, which is made in the folder `scratch`, and have the teacher predict.

    The fits are saved beside `output`.
    """
    predictor, known = taught_by.predictor, taught_by.predictor.manifest
    data = steps.read(known.task, options)
    rows.check(taught_by, data, options)
    more_texts, unlabelled = rows.read_unlabelled(options, data)
    prepared = steps.prepare(known.task, options, data, stop, started, partial(teacher.student, taught_by, options, scratch))
    teacher.check_tokenizers(prepared.checkpoint, predictor.folder, taught_by.name)
    depends_on = {"recipe of distillation": distillation.RECIPE_VERSION, "unlabelled rows": identity.hashed(more_texts)}
    depends_on["teacher"] = identity.HASH + predictor.weights_sha256
    states = steps.states(prepared, output, depends_on) if output else None
    begun = time.perf_counter()
    automatic = gate.automatic(predictor, prepared.device, options.threads)
    engine = next(name for name in automatic if engines.find(name).load_states)
    predicted = teacher.predict(predictor, data.train.texts + more_texts + data.test.texts, engine, prepared.device)
    seconds = time.perf_counter() - begun
    to_learn, of_test = predicted.split(len(data.train) + len(more_texts))
    lesson, weights = _lesson(options, prepared, more_texts, to_learn, known.long)
    return _Ready(prepared, lesson, weights, more_texts, unlabelled, of_test, engine, seconds, states)


def _help(options: DistillOptions, ready: _Ready) -> None:
    """The fits of a worker that is not the chief."""
    fits = [course.fit(ready.prepared, lesson=ready.lesson)]
    if fits[0].failure is None and not options.no_control:
        fits.append(course.fit(ready.prepared, control_of=fits[0]))
    steps.leave_to_chief(*fits)


def _taught(taught_by: teacher.Teacher, ready: _Ready, fitted: Fitted, tested: Tested) -> tuple[Taught, Fitted, Tested]:
    """What the teacher adds to the record, with the fit that is kept and its test.

    The control is fitted where the student was tested.
    """
    prepared, known, options = ready.prepared, taught_by.predictor.manifest, ready.prepared.options
    assert isinstance(options, DistillOptions)
    weights_sha256 = taught_by.predictor.weights_sha256
    tested_teacher = TeacherTested(taught_by.name, taught_by.checkpoint, weights_sha256, ready.engine, own_test=known.test)
    of_control: _Control | None = None
    if tested.failure is None:
        probabilities = probabilities_of(ready.of_test.logits, known.task)
        scores = tasks.scores(known.task, prepared.truth, probabilities, known.thresholds, prepared.data.labels)
        tested_teacher = replace(tested_teacher, test={**card_scores(scores)})
        if not options.no_control:
            with steps.aside(prepared, "the control"):
                of_control = _control(ready, fitted, tested)
    of_record = Distillation(tested_teacher, ready.weights, options.temperature, ready.unlabelled, options.layers)
    if of_control:
        of_record = _compared(of_record, options.save, prepared.task, (fitted, tested), of_control)
        if of_record.kept == "control":
            fitted, tested = of_control.fitted, steps.compared(prepared, of_control.fitted, of_control.tested)
    train_texts = merged(digests(ready.more_texts), taught_by.train_texts or "")
    return Taught(of_record, ready.teacher_seconds, train_texts, taught_by.val_texts), fitted, tested


def _compared(record: Distillation, save: str, task: str, student: tuple[Fitted, Tested], control: "_Control") -> Distillation:
    """The record with the control, and which of the two is kept: by validation rows alone, and the student where they tie."""
    chosen_by, of_student, of_control = _validation(task, student[0], control.fitted)
    keeps_control = save == "control" or (save == "better" and of_control > of_student)
    return replace(
        record,
        control=_as_recorded(control.fitted, control.tested),
        worth=control.worth,
        kept="control" if keeps_control else "student",
        student=_as_recorded(*student) if keeps_control else None,
        chosen_by=chosen_by,
        validation={"student": of_student, "control": of_control},
    )


def _validation(task: str, *fits: Fitted) -> tuple[str, float, float]:
    """The score that chose the epochs, and its values of both fits; the larger is better.

    Where it could not be measured it is the loss, with its sign changed.
    """
    name = tasks.CHOSEN_BY[task]
    best = [fitted.history.epochs[fitted.history.best_epoch - 1] for fitted in fits]
    student, control = (epoch[name] for epoch in best)
    if student is not None and control is not None:
        return name.removeprefix("val_"), student, control
    losses = [-(epoch["val_loss"] or 0.0) for epoch in best]
    return "negative loss", losses[0], losses[1]


def _as_recorded(fitted: Fitted, tested: Tested) -> Control:
    return Control(fitted.history.epochs, fitted.history.best_epoch, {**card_scores(tested.scores or {})})


def _lesson(
    options: DistillOptions, prepared: Prepared, more_texts: list[str], predicted: Predictions, teacher_long: str
) -> tuple[course.Lesson, dict[str, float]]:
    """What the teacher adds to the fit, and the weights of the loss; `predicted` are labelled rows, then `more_texts`."""
    from halfbert.distillation import losses
    from halfbert.models import batching

    weights = losses.applicable_weights(options, prepared.checkpoint, predicted, teacher_long)
    objective = losses.objective(prepared.task, prepared.device, len(prepared.data.labels), weights, options.temperature)

    def training_set(transformer: Any, labelled: Any) -> Any:
        encoded, _ = batching.encode(transformer.get_tokenizer(), more_texts, options.maxlen, transformer.way)
        return losses.training_set(labelled, encoded, predicted)

    return course.Lesson(training_set, objective), weights


@dataclass(frozen=True)
class _Control:
    """The same student fitted without the teacher, its test, and by how much the student's scores exceed its, if measurable."""

    fitted: Fitted
    tested: Tested
    worth: dict[str, Difference]


def _control(ready: _Ready, fitted: Fitted, tested: Tested) -> _Control:
    """Fit and test the control of a student."""
    say("fitting the control: the same student, without the teacher")
    prepared = ready.prepared
    control = course.fit(prepared, ready.states.fit("control") if ready.states else None, control_of=fitted)
    tested_control = steps.score_test(prepared, control)
    student, baseline = _answers(prepared.task, fitted, tested), _answers(prepared.task, control, tested_control)
    worth = intervals.paired_bootstraps(prepared.task, prepared.truth["test"] > 0, student, baseline)
    return _Control(control, tested_control, worth)


def _answers(task: str, fitted: Fitted, tested: Tested) -> np.ndarray:
    assert tested.probabilities is not None
    return tasks.answers(task, tested.probabilities, fitted.thresholds)

"""The trial of every contestant: who can run, whether it answers like the others, and the files that engines make once."""

import contextlib
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from halfbert.benchmark.plan import FIXED_TOKENS, Plan, Subject, Texts
from halfbert.benchmark.process import Worker
from halfbert.benchmark.record import Contestant, Who
from halfbert.data.cells import as_known
from halfbert.predictor import answers as kept_answers
from halfbert.predictor import engines, manifest
from halfbert.predictor.proving import REFERENCE, Proof, compare
from halfbert.system.console import progress, say
from halfbert.system.errors import HalfbertError


@dataclass(frozen=True)
class Answers:
    """A contestant's answers to the natural texts, and their (texts, labels) probabilities."""

    answers: list
    probabilities: np.ndarray


def job_of(contestant: Contestant, plan: Plan) -> dict[str, Any]:
    """What a process is to load, and to answer first."""
    subject = plan.subject(contestant)
    return {
        "folder": str(subject.folder),
        "engine": contestant.engine,
        "device": contestant.device,
        "threads": contestant.threads,
        "allow_disagreement": plan.options.allow_disagreement or subject.described.random_weights,
        "first_text": plan.texts.by_lengths["natural"][0],
    }


@contextlib.contextmanager
def started(contestant: Contestant, plan: Plan) -> Iterator[Worker]:
    """A fresh process that has loaded the contestant, has answered the first text, and has all of them."""
    subject, texts = plan.subject(contestant), plan.texts.by_lengths
    worker = Worker(job_of(contestant, plan), contestant.threads)
    try:
        subject.token_lengths = worker.ask({"do": "texts", **texts, "fixed_tokens": FIXED_TOKENS})
        yield worker
    finally:
        worker.close()


def prove(subject: Subject, texts: Texts, engine_names: Sequence[str], threads: int) -> None:
    """Have engines make their files, compare them with keras on the whole table, and time them; all goes into the manifest."""
    say(f"comparing {', '.join(engine_names)} with keras: {subject.described.name}")
    job = {"folder": str(subject.folder), "texts": texts.whole_table, "texts_name": texts.used.name, "threads": threads}
    worker = Worker({"prove": {**job, "engine_names": list(engine_names)}}, threads)
    worker.close()
    proof = msgspec.convert(worker.ready, Proof)
    for engine, figures in proof.agreement.items():
        equal = f"{figures.equal_decisions:.2%} of {figures.rows:,} decisions equal to keras"
        say(f"  {engine}: {equal}, largest difference of a probability {figures.largest_difference:.1e}")
    say(f"  {proof.choice}")
    subject.described.agreement |= proof.agreement
    subject.described.choice = proof.choice


def prove_missing(plan: Plan) -> None:
    """Compare with keras what was never compared, so that it is either trusted or refused."""
    for subject in plan.subjects:
        missing = [name for name in engines.provable(plan.options.engines) if name not in subject.described.agreement]
        if missing and not subject.described.random_weights and not plan.options.allow_disagreement:
            prove(subject, plan.texts, missing, max(plan.options.threads))


def try_all(plan: Plan) -> None:
    """Start each contestant once: failures are noted with the reason, the others' answers are compared.

    This makes the engines' files, so that no cold start has to. If none of the contestants of a requested device runs, raises
    what the first of them failed with.
    """
    answers: dict[Who, Answers] = {}
    failures: dict[str, HalfbertError] = {}
    for contestant in progress(plan.contestants, len(plan.contestants), "trying the engines"):
        try:
            with started(contestant, plan) as worker:
                replied = worker.ask({"do": "answers"})
                answers[contestant.who] = Answers(replied["answers"], np.array(replied["probabilities"]))
                contestant.weight_bytes, contestant.model_alone = worker.ready["weight_bytes"], worker.ready["model_alone"]
        except HalfbertError as error:
            failures.setdefault(contestant.device, error)
            leave_out(contestant, error)
    for device in plan.options.devices:
        if all(contestant.not_run for contestant in plan.contestants if contestant.device == device):
            instead = "; without one: --devices cpu" if device == "gpu" else ""
            raise type(failures[device])(f"no engine runs on the {device}: {failures[device]}{instead}")
    _compare_answers(plan, answers)


def _compare_answers(plan: Plan, answers: dict[Who, Answers]) -> None:
    labels = plan.texts.labels
    references = {who.predictor: each for who, each in reversed(answers.items()) if who.engine == REFERENCE}
    for contestant in plan.running:
        mine, predictor = answers[contestant.who], plan.subject(contestant).described
        if contestant.predictor in references:
            reference = references[contestant.predictor]
            contestant.equal_answers = float(np.mean(list(map(operator.eq, mine.answers, reference.answers))))
            contestant.largest_difference = float(np.abs(mine.probabilities - reference.probabilities).max())
        elif (kept := _kept_reference(plan, plan.subject(contestant))) is not None:
            probabilities, thresholds = kept
            figures = compare(probabilities, mine.probabilities, thresholds)
            contestant.equal_answers, contestant.largest_difference = figures
        if labels is not None and predictor.task == "multiclass" and not predictor.random_weights:
            true = as_known(map(str, labels), predictor.labels)
            if set(true) <= set(predictor.labels):
                contestant.accuracy = float(np.mean(list(map(operator.eq, mine.answers, true))))


def _kept_reference(plan: Plan, subject: Subject) -> tuple[np.ndarray, list[float] | None] | None:
    """keras' probabilities of the natural texts that came with the predictor's folder, and the thresholds; None without."""
    if subject.described.random_weights or not (subject.folder / kept_answers.FILE).is_file():
        return None
    predictor, table = manifest.check(subject.folder), plan.texts.whole_table
    kept = kept_answers.read(predictor, table)
    if kept is None:
        return None
    row = {text: number for number, text in enumerate(table)}
    return kept[[row[text] for text in plan.texts.by_lengths["natural"]]], predictor.manifest.thresholds


def leave_out(contestant: Contestant, error: HalfbertError) -> None:
    """Measure a contestant no more; what it did before stays in the record."""
    contestant.not_run = str(error)
    say(f"not measured: {contestant}: {error}")

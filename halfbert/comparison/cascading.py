"""The cascade as a contestant: DistilBERT or the student answers first, and BERT the rows that it is not sure of.

Nothing is fitted or answered for it: each seed's cut, or each fold's, is chosen by the answers to validation rows that both
fits left, and applied to those to the test rows. Its speed is computed from theirs and the share of test rows passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.comparison import rule
from halfbert.comparison.fitting import Fits
from halfbert.comparison.jobs import CONTROL, STUDENT, Experiment
from halfbert.comparison.record import SCORES, Contestant, Score, Speed
from halfbert.output import record as records
from halfbert.output.words import model_name, percent
from halfbert.predictor import validated
from halfbert.scoring import cascades, intervals
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError

NAME, LARGE = rule.CASCADE, "bert"


@dataclass(frozen=True)
class Cascaded:
    """Its (test rows, labels) answers, an array a seed, and the share of the test rows passed on, the mean over seeds."""

    small: str
    answers: list[np.ndarray]
    passed_on: float


def find(experiment: Experiment, fits: Fits) -> Cascaded | None:
    """The cascade of the finished fits; None, with a note, where it comes to one of the two alone.

    Raises ArtefactError where fits of an earlier version left no answers to validation rows, InputError where they are few.
    """
    small = STUDENT if experiment.options.distill else CONTROL
    answers, passed_on = [], []
    for one, other in zip(fits.full[small], fits.full[LARGE], strict=True):
        by_large = np.zeros(len(experiment.truth), bool)
        for fold, labels in enumerate(zip(one.parts, other.parts, strict=True)):
            of_fold = experiment.dealt.fold_of == fold if experiment.dealt else np.ones(len(by_large), bool)
            by_large[of_fold] = _passed_on([experiment.work.folder / "results" / label for label in labels], (small, LARGE))
        answers.append(np.where(by_large[:, None], other.answers, one.answers))
        passed_on.append(float(by_large.mean()))
    share = float(np.mean(passed_on))
    if share in (0.0, 1.0):
        only = model_name(LARGE if share else small)
        experiment.note(f"{model_name(NAME)}: on the validation rows {only} alone is what it comes to, so it is no contestant")
        return None
    key, words = next(iter(SCORES[experiment.options.task].items()))
    found = intervals.bootstrap(getattr(intervals, key), experiment.truth, answers)
    line = f"{model_name(NAME)}: {words} {found.score:.3f} ({found.low:.3f} to {found.high:.3f})"
    say(f"{line}, {percent(share)} of the test rows passed on to {model_name(LARGE)}")
    return Cascaded(small, answers, share)


def _passed_on(results: Sequence[Path], names: tuple[str, str]) -> np.ndarray:
    """(test rows,) bool: which rows of a fit pass on to the larger one, whose results are the second folder."""
    kept = [validated.read(folder) for folder in results]
    paired = validated.paired(kept[0], kept[1], range(kept[0].truth.shape[1]), names)
    confidence = records.read_confidence(results[0])
    if confidence is None:
        raise ArtefactError(f"{results[0]}: the answers to its test rows have no confidence")
    return cascades.choose(paired, cascades.MARGIN).passes(confidence)


def contestant(
    cascaded: Cascaded, scores: dict[str, Score], small: Contestant, large: Contestant, price: float | None
) -> Contestant:
    """What the record says of it: its size and its fits are those of the two together."""
    speeds = _speed(small.best_speed, large.best_speed, cascaded.passed_on)
    return Contestant(
        name=NAME,
        checkpoint=None,
        rows=small.rows,
        scores=scores,
        parameters=small.parameters + large.parameters,
        folder_bytes=small.folder_bytes + large.folder_bytes,
        fit_seconds=[sum(pair) for pair in zip(small.fit_seconds, large.fit_seconds, strict=True)],
        speeds=speeds,
        best_engine=speeds[0].engine if speeds else None,
        cost_per_million=speeds[0].cost_per_million(price) if speeds else None,
        parts=[],
        passed_on=cascaded.passed_on,
    )


def _speed(small: Speed | None, large: Speed | None, passed_on: float) -> list[Speed]:
    """That of the two predictors in turn, behind their fastest engines; none where one was not timed."""
    if small is None or large is None:
        return []
    peaks = [each.peak_above_import for each in (small, large) if each.peak_above_import is not None]
    return [
        Speed(
            engine=f"{small.engine}, then {large.engine}",
            texts_per_second=cascades.rate(small.texts_per_second, large.texts_per_second, passed_on),
            single_seconds=small.single_seconds + passed_on * large.single_seconds,
            first_answer_seconds=small.first_answer_seconds + large.first_answer_seconds,
            peak_above_import=sum(peaks) if len(peaks) == 2 else None,
            weight_bytes=small.weight_bytes + large.weight_bytes,
        )
    ]

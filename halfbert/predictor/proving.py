"""Compares the answers of engines with those of Keras, on real texts, times those that agree, and writes the figures into a
predictor's manifest.

Figures alone, since even token ids would give private texts away. `halfbert.predictor.gate` decides by them.

A text's decision is its label; of a multi-label predictor, its whole set of labels. A decision that depends on less than
`ROUNDING` counts as equal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from halfbert.predictor import answers, engines, gate, manifest, speeds
from halfbert.predictor.classifier import Classifier, load
from halfbert.predictor.manifest import Agreement
from halfbert.system import machine
from halfbert.system.errors import InputError, ResourceError

REFERENCE = "keras"
ROUNDING = 1e-4  # of a probability
MOST_TEXTS = 1000
HELD_OUT = "validation and test texts"  # of a training run


def compare(reference: np.ndarray, answers: np.ndarray, thresholds: Sequence[float] | None = None) -> tuple[float, float]:
    """The share of equal decisions, and the largest difference of a probability, of two sets of (rows, labels) probabilities.

    With `thresholds`, (labels,), a row's decision is the set of labels that reach theirs, else the most probable label.
    """
    if thresholds is None:
        rows = np.arange(len(reference))
        # What the reference loses by the other's choice.
        margin = reference.max(axis=1) - reference[rows, answers.argmax(axis=1)]
    else:
        differ = (reference >= thresholds) != (answers >= thresholds)
        margin = np.where(differ, np.abs(reference - thresholds), 0).max(axis=1)
    return float(np.mean(margin <= ROUNDING)), float(np.abs(reference - answers).max())


@dataclass(frozen=True)
class Proof:
    """The agreement of the engines that were compared, and which engine `halfbert.load` now takes here and why, in a line."""

    agreement: dict[str, Agreement]
    choice: str


def prove(
    folder: Path,
    texts: Sequence[str],
    texts_name: str = HELD_OUT,
    engine_names: Sequence[str] | None = None,
    reference: np.ndarray | None = None,
    most_texts: int = MOST_TEXTS,
    threads: int | None = None,
) -> Proof:
    """Compare engines (None: all that are installed) with the reference on real texts, and add the figures to the manifest.

    Then all engines that may answer here are timed in turn, since figures of different hours do not compare.

    At most `most_texts`, evenly spaced, are answered; the manifest calls them `texts_name`. `reference` is the (texts, labels)
    probabilities of Keras, if they are available already; where Keras is not installed, those of an earlier run on these very
    texts that came with the folder. `threads` are those of each engine, None for every processor.

    Raises what `halfbert.load` raises; InputError if there is no text; ResourceError if there is no reference.
    """
    if not len(texts):
        raise InputError(f"{folder}: no text to compare engines on")
    names = engines.provable() if engine_names is None else list(engine_names)
    predictor = manifest.check(folder)
    if not names:
        return Proof({}, gate.choice(predictor, threads))
    chosen = np.unique(np.linspace(0, len(texts) - 1, most_texts).astype(int))
    texts = [texts[number] for number in chosen]
    expected = answers.read(predictor, texts) if reference is None and not engines.installed(REFERENCE) else None
    if reference is not None:
        expected = reference[chosen]
    reference_engine = REFERENCE if expected is not None else reference_for(predictor)
    loaded: dict[str, Classifier] = {}
    if expected is None:
        loaded[reference_engine] = load(folder, reference_engine, "cpu", threads)
        expected = loaded[reference_engine].predict_proba(texts)
        if reference_engine == REFERENCE:
            answers.write(predictor, texts, expected)
    figures = {}
    for engine in names:
        if engine == reference_engine:
            continue
        loaded[engine] = load(folder, engine, "cpu", threads, allow_disagreement=True)
        equal, largest = compare(expected, loaded[engine].predict_proba(texts), predictor.manifest.thresholds)
        declared = engines.find(engine)
        packages = sorted({*engines.find(reference_engine).packages, *declared.packages})
        figures[engine] = Agreement(
            rows=len(texts),
            equal_decisions=equal,
            largest_difference=largest,
            made_from=gate.made_from(predictor, engine),
            texts=texts_name,
            reference=reference_engine,
            versions={package: version for package in packages if (version := machine.version_of(package))},
        )
    manifest.add_agreement(folder, figures)
    known = replace(predictor.manifest, agreement={**predictor.manifest.agreement, **figures})
    predictor = replace(predictor, manifest=known)
    return Proof(figures, _time_engines(predictor, texts, threads, loaded))


def _time_engines(
    predictor: manifest.Predictor, texts: Sequence[str], threads: int | None, loaded: dict[str, Classifier]
) -> str:
    """Time the engines that may answer, add their speeds to the manifest, and return `gate.choice`."""
    names = gate.automatic(predictor, "cpu", threads)
    timed = {name: loaded[name] if name in loaded else load(predictor.folder, name, "cpu", threads) for name in names}
    here, measured = machine.processor(threads), speeds.measure(timed, texts)
    manifest.add_speeds(predictor.folder, here, measured)
    known = replace(predictor.manifest, speeds={**predictor.manifest.speeds, here: measured})
    return gate.choice(replace(predictor, manifest=known), threads)


def reference_for(predictor: manifest.Predictor) -> str:
    """The engine to compare with: keras, or without TensorFlow an engine in float32 that was compared with keras elsewhere."""
    if engines.installed(REFERENCE):
        return REFERENCE
    for engine in engines.fastest_first("cpu"):
        in_float32 = math.isfinite(engines.find(engine).largest_difference)
        if in_float32 and engines.installed(engine) and not gate.objection(predictor, engine):
            return engine
    raise ResourceError(
        f"{predictor.folder}: no engine to compare with: {REFERENCE} needs {' and '.join(engines.missing(REFERENCE))} "
        f"({engines.find(REFERENCE).install}), and no float32 engine was compared with it before"
    )

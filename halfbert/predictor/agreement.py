"""Whether an engine answers as Keras does, on real texts, before it is believed.

`prove` compares an engine's answers with those of the engine `keras` and writes the figures into the predictor's manifest:
figures alone, since even token ids would give private texts away. A figure holds for the weights, the configuration and the
engine's recipe that it was measured with.

A text's decision is its label; of a multi-label predictor, its whole set of labels. A decision that hangs on less than
`ROUNDING` is nobody's, and counts as equal.
"""

import importlib.metadata
from pathlib import Path

import numpy as np

from halfbert.data import messages
from halfbert.predictor import engines, manifest
from halfbert.system.errors import ArtefactError, InputError

ROUNDING = 1e-4  # of a probability
MOST_TEXTS = 1000
FASTEST_FIRST = ("onnx-int8", "onnx")
PROVEN = ("onnx", "onnx-int8")
HELD_OUT = "validation and test texts"  # of a training run


def compare(reference: np.ndarray, answers: np.ndarray, thresholds: list[float] | None = None) -> dict:
    """How alike two sets of probabilities, each (rows, labels), are.

    Returns {"rows", "equal_decisions": share of the rows, "largest_difference": of a probability}. With `thresholds`,
    (labels,), a row's decision is the set of labels that reach theirs, else the label of the largest probability.
    """
    if thresholds is None:
        rows = np.arange(len(reference))
        # What the reference loses by the other's choice.
        hangs_on = reference.max(axis=1) - reference[rows, answers.argmax(axis=1)]
    else:
        differ = (reference >= thresholds) != (answers >= thresholds)
        hangs_on = np.where(differ, np.abs(reference - thresholds), 0).max(axis=1)
    return {
        "rows": len(reference),
        "equal_decisions": float(np.mean(hangs_on <= ROUNDING)),
        "largest_difference": float(np.abs(reference - answers).max()),
    }


def prove(
    folder: Path,
    texts: list[str] | None = None,
    texts_name: str = HELD_OUT,
    engine_names: tuple[str, ...] = PROVEN,
    reference: np.ndarray | None = None,
    most_texts: int = MOST_TEXTS,
    threads: int | None = None,
) -> dict[str, manifest.Agreement]:
    """Compare engines with `keras` on real texts, and write the figures into the predictor's halfbert.json.

    Parameters
    ----------
    texts: at most `most_texts` of them are answered, taken evenly; None takes the embedded messages.
    texts_name: what the manifest calls them.
    reference: (texts, labels) probabilities by Keras, where they are at hand.
    threads: of each engine; None takes every processor.

    Returns {engine: figures}. Raises what `halfbert.load` raises; InputError where there is no text.
    """
    from halfbert.predictor.classifier import load

    if texts is None:
        texts, texts_name = _embedded_texts(), f"{messages.TEST.name} (embedded)"
    if not len(texts):
        raise InputError(f"{folder}: no text to compare engines on")
    drawn = np.unique(np.linspace(0, len(texts) - 1, most_texts).astype(int))
    texts = [texts[number] for number in drawn]
    reference = load(folder, "keras", "cpu", threads).predict_proba(texts) if reference is None else reference[drawn]
    figures = {}
    for engine in engine_names:
        classifier = load(folder, engine, "cpu", threads, allow_disagreement=True)
        predictor = classifier.predictor
        figures[engine] = manifest.Agreement(
            **compare(reference, classifier.predict_proba(texts), predictor.manifest.thresholds),
            texts=texts_name,
            made_from=_made_from(predictor, engine),
            versions=_versions(engine),
        )
    manifest.add_agreement(folder, figures)
    return figures


def require(predictor: manifest.Predictor, engine: str) -> None:
    """Raise ArtefactError, with the figure, where an engine's answers were not compared with keras or differ too much."""
    module = engines.find(engine)
    if module.LEAST_EQUAL is None:
        return
    found = _figures(predictor, engine)
    if found is None:
        raise ArtefactError(
            f"engine {engine}: never compared with keras for these weights, so not believed; "
            f"halfbert.predictor.agreement.prove({predictor.folder.name!r}, texts) does it (or allow_disagreement)"
        )
    if not _enough(module, found):
        raise ArtefactError(
            f"engine {engine}: {found.equal_decisions:.2%} of {found.rows:,} decisions are those of keras, "
            f"{module.LEAST_EQUAL:.0%} are asked for, and the probabilities differ by up to {found.largest_difference:.1e}; "
            f"take another engine (or allow_disagreement)"
        )


def fastest(predictor: manifest.Predictor, device: str) -> str:
    """The fastest engine that is installed and whose agreement is proven; keras where there is none, and on a GPU."""
    for engine in () if device == "gpu" else FASTEST_FIRST:
        found = _figures(predictor, engine)
        if engines.installed(engine) and found is not None and _enough(engines.find(engine), found):
            return engine
    return "keras"


def _figures(predictor: manifest.Predictor, engine: str) -> manifest.Agreement | None:
    """What the manifest says of an engine, if it was measured with the weights and the recipe of today."""
    found = predictor.manifest.agreement.get(engine)
    return found if found is not None and found.made_from == _made_from(predictor, engine) else None


def _enough(module, found: manifest.Agreement) -> bool:
    limit = module.LARGEST_DIFFERENCE
    return found.equal_decisions >= module.LEAST_EQUAL and (limit is None or found.largest_difference <= limit)


def _made_from(predictor: manifest.Predictor, engine: str) -> dict[str, str]:
    return predictor.made_from(engines.find(engine).recipe(predictor))


def _versions(engine: str) -> dict[str, str]:
    packages = ("tensorflow", "transformers", engines.find(engine).PACKAGE)
    return {package: importlib.metadata.version(package) for package in packages}


def _embedded_texts() -> list[str]:
    from halfbert.data import formats

    return formats.read_table(messages.TEST, [messages.TEXT], role="test").columns["text"]

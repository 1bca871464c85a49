"""One file for LiteRT (TensorFlow Lite): the model, and behind it, as a zip archive, what a program needs to answer with it.

As TensorFlow Lite's own metadata has associated files: LiteRT reads the model from the file's beginning, any reader of zip
archives the rest from its end. `answers.json`, `labels.txt`, `vocab.txt`: uncompressed, so that they can be mapped into memory.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from halfbert.data.phrases import counted
from halfbert.export import answers, texts
from halfbert.export.target import Target
from halfbert.options import ExportOptions
from halfbert.predictor import classifier, engines, proving
from halfbert.predictor.engines import litert, litert_int8
from halfbert.predictor.manifest import Predictor
from halfbert.system import storage
from halfbert.system.console import say

LABELS, VOCABULARY = "labels.txt", "vocab.txt"


def write(predictor: Predictor, options: ExportOptions, output: Path) -> None:
    """Write the file, and say how its answers compare with Keras' where there are texts.

    Raises InputError for an activation that is not supported, and for texts that cannot be read; ResourceError where LiteRT is
    not installed to answer them.
    """
    assert options.form is not None
    compared = texts.read(options)
    if compared:
        engines.require("litert")  # which answers them
    model = litert.convert(predictor, options.form)
    if compared:
        _compare(predictor, model, compared, options)
    else:
        say("not compared with Keras: --texts names texts to compare answers on")
    with storage.atomic_file(output) as stream:
        stream.write(with_files(model, predictor))


def with_files(model: bytes, predictor: Predictor) -> bytes:
    """The model with its associated files behind it."""
    pieces = classifier.read_tokenizer(predictor).get_vocab()
    files = {
        answers.FILE: json.dumps(answers.described(predictor), ensure_ascii=False, indent=2),
        LABELS: "\n".join(" ".join(label.split()) for label in predictor.manifest.labels),
        VOCABULARY: "\n".join(sorted(pieces, key=lambda piece: pieces[piece])),
    }
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # of no date: equal predictors make equal files
    return content.getvalue()


def _compare(predictor: Predictor, model: bytes, compared: list[str], options: ExportOptions) -> None:
    compared = [compared[number] for number in np.unique(np.linspace(0, len(compared) - 1, proving.MOST_TEXTS).astype(int))]
    reference = classifier.load(predictor.folder, proving.REFERENCE, "cpu", options.threads)
    expected = reference.predict_proba(compared)
    found = reference.with_forward(litert.forward_of(model, options.threads)).predict_proba(compared)
    equal, largest = proving.compare(expected, found, predictor.manifest.thresholds)
    say(
        f"{options.form}: {equal:.2%} of decisions on {counted(len(compared), 'text')} are Keras', probabilities differ by up "
        f"to {largest:.1e}"
    )
    required = litert_int8.ENGINE.least_equal or 0
    if equal < required:
        say(f"  fewer than the {required:.0%} that halfbert.load requires of its engines: choose another --form")


TARGET = Target(write, ("tensorflow", "tf_keras", "transformers"), engines.INSTALL_TRAIN, marker=None)

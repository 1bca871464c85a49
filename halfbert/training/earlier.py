"""`--from`: a fit that continues from a saved predictor, with new rows or new labels.

The encoder and what stands between it and the classifier are the predictor's; of the classifier, the columns of labels that
stay are.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.cells import quoted
from halfbert.data.equality import count_shared, shared
from halfbert.data.phrases import counted, listed, row_word
from halfbert.data.tables import Data
from halfbert.models import checkpoints, weights
from halfbert.options import TrainOptions
from halfbert.output.record import Continued
from halfbert.predictor import manifest
from halfbert.predictor.manifest import Predictor
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError, InputError

CLASSIFIER = "classifier."  # of the names of its weights


@dataclass(frozen=True)
class Earlier:
    """The predictor that a fit begins with, and its weights."""

    predictor: Predictor
    encoder: weights.Encoder

    @property
    def name(self) -> str:
        return self.predictor.folder.resolve().name

    @property
    def labels(self) -> list[str]:
        return self.predictor.manifest.labels

    @property
    def train_texts(self) -> str:
        """Digests of the texts that trained it, empty if it was saved without."""
        return self.predictor.manifest.data.train_texts or ""

    @property
    def val_texts(self) -> str:
        """Digests of the texts that chose its epoch."""
        return self.predictor.manifest.data.val_texts or ""


def read(folder: Path, data: Data, options: TrainOptions) -> Earlier:
    """Check the predictor, and that it has not seen the rows to test on.

    Raises InputError if it has, ArtefactError if the folder is no predictor or is damaged.
    """
    predictor = manifest.check(folder)
    earlier = Earlier(predictor, weights.read(folder))
    if predictor.manifest.data.train_texts is None:
        say(f"note: {folder} was saved without digests of its texts, so test rows may have trained it")
        return earlier
    try:
        seen = shared(earlier.train_texts + earlier.val_texts, data.test.texts)
        validated = count_shared(earlier.train_texts, data.val.texts)
    except ValueError as error:
        raise ArtefactError(f"{folder / manifest.MANIFEST}: its digests of texts are damaged ({error})") from error
    numbers = [str(number) for number, known in zip(data.test.numbers, seen, strict=True) if known]
    if numbers and not options.keep_leaks:
        raise InputError(
            f"{data.test.file}: {len(numbers):,} of the {counted(len(seen), 'test row')} trained {folder} or chose its epoch "
            f"({row_word(data.test.file)} {listed(numbers)}), so the scores would be too good; test on other rows with --test "
            "FILE, or accept it with --keep-leaks"
        )
    if numbers:
        say(f"note: {len(numbers):,} of the {counted(len(seen), 'test row')} trained {folder}, so test scores are too good")
    if validated:
        say(
            f"note: {validated:,} of the {counted(len(data.val), 'validation row')} trained {folder}: their scores are too good"
        )
    return earlier


def checkpoint(earlier: Earlier, scratch: Path) -> checkpoints.Checkpoint:
    """The predictor without its classifier, as pretrained weights in the folder `scratch`."""
    encoder = earlier.encoder
    kept = {name: value for name, value in encoder.weights.items() if not name.startswith(CLASSIFIER)}
    folder = scratch / earlier.name
    weights.export_safetensors(replace(encoder, weights=kept), folder)
    found = checkpoints.find(encoder.kind, str(folder))
    return replace(found, name=earlier.name, weights_sha256=earlier.predictor.weights_sha256)


def compared(earlier: Earlier, labels: list[str]) -> Continued:
    """Which labels stay; says so."""
    kept = [label for label in labels if label in earlier.labels]
    new = [label for label in labels if label not in earlier.labels]
    gone = [label for label in earlier.labels if label not in labels]
    changes = [
        f"{len(each)} {what} ({listed(list(map(quoted, each)))})" for what, each in (("new", new), ("gone", gone)) if each
    ]
    say(f"from {earlier.name}: the head is kept for {counted(len(kept), 'label')}" + "".join(f"; {each}" for each in changes))
    return Continued(earlier.name, earlier.predictor.weights_sha256, kept, new, gone)


def keep_head(model: Any, earlier: Earlier, labels: list[str]) -> None:
    """Give the classifier, (units, labels), the columns of the labels that stay; those of new ones remain random."""
    kernel, bias = model.classifier.kernel.numpy(), model.classifier.bias.numpy()
    old_kernel, old_bias = earlier.encoder.part("classifier")
    of_old = {label: number for number, label in enumerate(earlier.labels)}
    stay = [(number, of_old[label]) for number, label in enumerate(labels) if label in of_old]
    if stay:
        here, there = map(list, zip(*stay, strict=True))
        kernel[:, here], bias[here] = old_kernel[:, there], old_bias[there]
    model.classifier.kernel.assign(kernel.astype(np.float32))
    model.classifier.bias.assign(bias.astype(np.float32))

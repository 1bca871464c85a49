"""The course of a conversion: what ktrain saved becomes a predictor of this project, and nothing of it is unpickled.

The weights are read twice, by transformers, as ktrain read them, and by our own strict reader; the two must be equal. The
answers of the new predictor are held against those of the Keras model as transformers builds it, fed by transformers'
tokenizer with texts padded as ktrain padded them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.conversion import card, old_predictor
from halfbert.conversion.old_predictor import OldPredictor
from halfbert.data import multiclass
from halfbert.data.phrases import counted, listed
from halfbert.models import weights
from halfbert.options import ConvertOptions
from halfbert.output.words import model_name, one_line, printable
from halfbert.predictor import gate, manifest, proving, writing
from halfbert.predictor.classifier import load
from halfbert.predictor.manifest import MANIFEST, CheckpointUsed, Converted, Manifest
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system import machine, storage, temporary, tensorflow_setup
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import ArtefactError, InputError

THRESHOLD = 0.5  # ktrain has no others
BATCH = 32


@dataclass(frozen=True)
class Conversion:
    """A converted predictor: its folder, and its manifest as `record`."""

    folder: Path
    record: Manifest


def convert(options: ConvertOptions, _stop: StopRequest) -> Conversion:
    """Read the old predictor, write the new one, and prove that it answers alike; else nothing is written."""
    output = options.output
    storage.check_output(output, "--output", options.overwrite, marker=MANIFEST)
    storage.check_disjoint(output, options.predictor, "OLD_FOLDER")
    old = old_predictor.read(options)
    stored = weights.read_other_layout(old.folder, old.config)
    texts = _texts(options)
    shown = listed([one_line(label) for label in old.labels], 3)
    say(f"{old.folder}: {model_name(old.model)} for {counted(len(old.labels), 'label')} ({shown}), {old.task}")
    say(f"texts are truncated at {old.maxlen} tokens")
    with storage.output_lock(output.resolve()), temporary.folder() as scratch:
        storage.remove_leftovers(output)
        files = scratch / output.resolve().name  # its name becomes that of the checkpoint in the new pickle
        files.mkdir()
        storage.write_json(old.config, files / "config.json")
        say(f"tokenizer: {old_predictor.copy_tokenizer(old, options.tokenizer, files)}")
        with storage.atomic_folder(output) as folder:
            expected = _write(old, stored, files, texts.used, folder, options.threads)
            record = _prove(old, options, texts, expected, folder)
    say(f"predictor: {output}")
    return Conversion(output, record)


@dataclass(frozen=True)
class _Texts:
    name: str
    used: list[str]


def _texts(options: ConvertOptions) -> _Texts:
    """At most as many texts as engines are compared on, evenly spaced."""
    rows, table = multiclass.read_texts(options.texts, options.text_column, role="test", drop_missing=True)
    for note in table.notes:
        say(f"  {note}")
    if not rows.texts:
        raise InputError(f"--texts {options.texts}: has no text to compare answers on")
    chosen = np.unique(np.linspace(0, len(rows) - 1, proving.MOST_TEXTS).astype(int))
    return _Texts(printable(machine.shareable(str(options.texts))), [rows.texts[number] for number in chosen])


def _write(
    old: OldPredictor, stored: dict[str, np.ndarray], files: Path, texts: Sequence[str], folder: Path, threads: int | None
) -> np.ndarray:
    """Write the new predictor but for manifest and card; returns the old weights' (texts, labels) probabilities."""
    tensorflow_setup.prepare("cpu", threads)
    from halfbert.models.ktrain_data import Transformer, ktrain

    transformer = Transformer(str(files), old.maxlen, old.labels, multilabel=old.task == "multilabel")
    transformer.preprocess_train_called = True
    tokenizer = _tokenizer(transformer, old)
    model = _model(old, transformer.config)
    expected = _answers(model, tokenizer, texts, old)
    writing.reserve_space(model, folder)
    ktrain.get_predictor(model, transformer.for_predictor()).save(str(folder))
    written = weights.read(folder).weights
    if different := [name for name, values in stored.items() if not np.array_equal(values, written[name])]:
        raise ArtefactError(f"{old.folder / weights.WEIGHTS}: transformers reads {different[0]} otherwise than it is stored")
    return expected


def _tokenizer(transformer: Any, old: OldPredictor) -> Any:
    try:
        tokenizer = transformer.get_tokenizer()
    except ValueError as error:
        raise ArtefactError(
            f"{old.folder}: its tokenizer cannot be read ({error.__cause__ or error.__context__}); give --tokenizer"
        ) from error
    words = old.config["vocab_size"]
    if len(tokenizer) > words:
        raise InputError(f"{old.folder}: the tokenizer knows {len(tokenizer):,} tokens, the model {words:,}; give --tokenizer")
    if len(tokenizer) < words:
        say(f"the tokenizer knows {len(tokenizer):,} of the model's {words:,} tokens: make sure that it is the model's")
    return tokenizer


def _model(old: OldPredictor, config: Any) -> Any:
    """The old weights as transformers loads them, with random ones in place of what it does not find."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    file = old.folder / weights.WEIGHTS
    return transformers.TFAutoModelForSequenceClassification.from_pretrained(file, config=config, local_files_only=True)


def _answers(model: Any, tokenizer: Any, texts: Sequence[str], old: OldPredictor) -> np.ndarray:
    """(texts, labels) probabilities of the Keras model."""
    logits = []
    for start in range(0, len(texts), BATCH):
        batch = list(texts[start : start + BATCH])
        tokens = tokenizer(batch, max_length=old.maxlen, truncation="longest_first", padding="max_length", return_tensors="tf")
        logits.append(
            model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], training=False).logits.numpy()
        )
    return probabilities_of(np.concatenate(logits), old.task)


def _prove(old: OldPredictor, options: ConvertOptions, texts: _Texts, expected: np.ndarray, folder: Path) -> Manifest:
    """Hold the new predictor against the old answers, write manifest and card, and prove the other engines."""
    stated = Manifest(
        task=old.task,
        labels=old.labels,
        thresholds=[THRESHOLD] * len(old.labels) if old.task == "multilabel" else None,
        maxlen=old.maxlen,
        model=old.model,
        checkpoint=CheckpointUsed(machine.shareable(old.checkpoints[0])) if old.checkpoints else None,
        versions=machine.versions(),
    )
    writing.finish(folder, stated, "")
    answers = load(folder, "keras", "cpu", options.threads).predict_proba(texts.used)
    equal, largest = proving.compare(expected, answers, stated.thresholds)
    if equal < 1 or largest > proving.ROUNDING:
        raise ArtefactError(
            f"{old.folder}: not converted, as {equal:.2%} of {counted(len(texts.used), 'answer')} equal those of the old "
            f"weights (probabilities differ by up to {largest:.1e})"
        )
    given = [name for name in ("labels", "maxlen", "task", "tokenizer") if getattr(options, name) is not None]
    converted = Converted(old.kind, old.files, given, texts.name, len(texts.used), equal, largest)
    stated = replace(stated, converted=converted)
    writing.finish(folder, stated, card.model_card(stated, options.output.resolve().name))
    say(
        f"answers equal those of Keras on the old weights: {counted(len(texts.used), 'text')}, largest difference {largest:.1e}"
    )
    proof = proving.prove(folder, texts.used, texts.name, reference=expected, threads=options.threads)
    for engine, figures in proof.agreement.items():
        refused = gate.objection(manifest.check(folder), engine)
        say(f"  {engine}: {figures.equal_decisions:.2%} of decisions as Keras{' (refused)' if refused else ''}")
    say(proof.choice)
    return manifest.read(folder)

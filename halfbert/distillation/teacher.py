"""The teacher of a distillation: a saved predictor, what it may be asked, the student made of it, and its answers.

TensorFlow is imported only when the teacher answers.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.data import formats, tables
from halfbert.data.equality import normalise
from halfbert.models import batching, checkpoints
from halfbert.models import weights as encoder
from halfbert.predictor import agreement, engines, manifest
from halfbert.system import machine, storage
from halfbert.system.console import progress, say
from halfbert.system.errors import ArtefactError, InputError

TEXTS_AT_A_TIME = 4096  # answered and kept together: what a killed run loses at most


@dataclass(frozen=True)
class Teacher:
    """A predictor folder that was found whole, and what its manifest says of the data it was trained on."""

    predictor: manifest.Predictor
    checkpoint: str  # what it was fine-tuned from, by name
    threshold_rule: str | None  # None where the manifest names none
    split_seed: int
    table_sha256: str  # of the file of its training rows
    tested_elsewhere: bool  # on a file of its own, in place of rows held out of that one

    @property
    def name(self) -> str:
        return self.predictor.folder.resolve().name


@dataclass(frozen=True)
class Answers:
    """What a teacher answers to texts: (texts, labels) float32 logits, and (texts, hidden) float32 first-token states."""

    logits: np.ndarray
    states: np.ndarray
    engine: str

    def split(self, at: int) -> tuple["Answers", "Answers"]:
        """The answers to the first `at` texts, and to the others."""
        first, others = slice(None, at), slice(at, None)
        return tuple(Answers(self.logits[rows], self.states[rows], self.engine) for rows in (first, others))


def read(folder: Path) -> Teacher:
    """Check a predictor folder. Raises InputError where there is none, ArtefactError where it is no predictor, or damaged."""
    predictor = manifest.check(folder)
    described = predictor.manifest
    files = {file.role: file.sha256 for file in described.data.files}
    if "train" not in files or described.data.split_seed is None or described.checkpoint is None:
        raise ArtefactError(f"{folder / manifest.MANIFEST}: does not say what data it was trained on")
    return Teacher(
        predictor,
        described.checkpoint.name,
        described.threshold_rule,
        described.data.split_seed,
        files["train"],
        "test" in files,
    )


def check_data(teacher: Teacher, data: tables.Data, options) -> None:
    """Put the labels into the teacher's order.

    Raises InputError where they are others, or where the rows to test on are among those that the teacher learnt from.
    """
    known = teacher.predictor.manifest.labels
    differing = {"lacks": set(known) - set(data.labels), "has besides": set(data.labels) - set(known)}
    if any(differing.values()):
        told = [f"{what} {formats.listed(sorted(map(tables.quoted, names)))}" for what, names in differing.items() if names]
        raise InputError(f"{options.train}: its labels are not those of the teacher {teacher.name}: it {', '.join(told)}")
    data.labels = list(known)
    here = {file["role"]: file["sha256"] for file in data.files}
    if here.get("test") == teacher.table_sha256:
        raise InputError(f"--test {options.test}: the teacher {teacher.name} was trained on this file; test on other rows")
    if "test" in here or here["train"] != teacher.table_sha256:
        return
    if teacher.tested_elsewhere:
        raise InputError(
            f"{options.train}: the teacher {teacher.name} was trained on all its rows, so none can be held out to test its "
            f"student; give the file that the teacher was tested on with --test"
        )
    if options.split_seed != teacher.split_seed:
        raise InputError(
            f"--split-seed {options.split_seed}: would test on rows that the teacher {teacher.name} was trained on; "
            f"its own is {teacher.split_seed}"
        )


# ---------------------------------------------------------------------------------------------------------------------------
# Texts without labels


def read_unlabelled(options, data: tables.Data) -> tuple[list[str], dict | None]:
    """The different texts of --unlabelled that stand in no part of `data`, and what the record says of the file.

    With --keep-leaks those that stand in the test or validation rows are kept. Raises InputError as every reading does.
    """
    if options.unlabelled is None:
        return [], None
    texts, found = read_texts(options.unlabelled, options)
    parts = {part: {normalise(text) for text in rows.texts} for part, rows in data.parts()}
    held_out = set() if options.keep_leaks else parts["test"] | parts["val"]
    normalised = dict(zip(map(normalise, reversed(texts)), reversed(texts), strict=True))  # the first of equal ones
    unseen = [text for name, text in reversed(normalised.items()) if name not in held_out]
    used = [text for text in unseen if normalise(text) not in parts["train"]]
    found |= {"leaks_dropped": len(normalised) - len(unseen), "used": len(used)}
    say(
        f"{found['name']}: {tables.plural(found['rows'], 'text')} without labels; {len(used):,} are used, "
        f"{found['leaks_dropped']:,} dropped that stand in the validation or test rows, the others repeat texts"
    )
    return used, found


def read_texts(source: str, options) -> tuple[list[str], dict]:
    """The texts of a table, its labels left unread, and {"name", "sha256", "rows"}."""
    table = formats.read_table(source, [options.text_column], role="train", sheet=options.sheet, encoding=options.encoding)
    notes = list(table.notes)
    parts = tables.complete_rows(
        {"train": table}, options.text_column, None, lambda table: [()] * len(table.numbers), options.drop_missing, {}, notes
    )
    for note in notes:
        say(f"  {note}")
    texts = parts["train"].texts
    return texts, {"name": machine.shareable(source), "sha256": table.sha256, "rows": len(texts)}


# ---------------------------------------------------------------------------------------------------------------------------
# The student


def student(teacher: Teacher, options, scratch: Path) -> checkpoints.Checkpoint:
    """The checkpoint that the student begins with: what --model and --checkpoint name, or the teacher's DistilBERT form.

    The form has the fine-tuned layers of the teacher, and is written into the folder `scratch`. Raises InputError where the
    teacher is none to be halved or has not the layers asked for.
    """
    own = not (options.model or options.checkpoint)
    options.model = options.model or "distilbert"
    if not own:
        return checkpoints.find(options.model, options.checkpoint)
    predictor = teacher.predictor
    if predictor.config["model_type"] != "bert":
        raise InputError(f"--teacher {predictor.folder}: a DistilBERT already; name its student with --checkpoint")
    weights = encoder.read(predictor.folder)
    options.layers = layers_to_keep(weights.layers, options.layers, options.keep)
    name = f"{teacher.name}-layers-{'-'.join(map(str, options.layers))}"
    encoder.export_safetensors(weights, scratch / teacher.name)
    checkpoints.distilbert_form(scratch / teacher.name, scratch / name, options.layers)
    found = checkpoints.find("distilbert", str(scratch / name))
    about = f"{teacher.name} ({teacher.checkpoint}), DistilBERT form of layers {', '.join(map(str, options.layers))}"
    return checkpoints.Checkpoint(about, found.folder, found.model, found.weights_sha256)


def layers_to_keep(there: int, layers: Sequence[int] | None, keep: int | None) -> list[int]:
    """The numbers of the layers asked for; where they are not named, `keep` of them (None: half), evenly spread.

    Of 12 layers 6 are 0, 2, 4, 7, 9, 11, as DistilBERT was initialised (Sanh et al. 2019, and its published script).
    Raises InputError where there are not so many.
    """
    if layers is None:
        keep = keep or max(1, there // 2)
        layers = np.linspace(0, there - 1, keep).round().astype(int).tolist()
    if len(set(layers)) < len(layers) or not all(0 <= layer < there for layer in layers):
        asked = f"--keep {keep}" if keep else f"--layers {','.join(map(str, layers))}"
        raise InputError(f"{asked}: the teacher has layers 0 to {there - 1}, each of which can be kept once")
    return list(layers)


def check_tokenizers(student: checkpoints.Checkpoint, teacher: Path, name: str) -> None:
    """Raise InputError where the student's tokenizer is not that in the folder of the teacher, known as `name`."""
    mine, theirs = _vocabulary(_tokenizer(student.folder)), _vocabulary(_tokenizer(teacher))
    if mine != theirs:
        raise InputError(
            f"{student.name}: its tokenizer is not that of the teacher {name} ({mine} against {theirs}); "
            f"take a student of the teacher's vocabulary"
        )


def _vocabulary(tokenizer) -> str:
    words = json.dumps(sorted(tokenizer.get_vocab().items())).encode()
    case = "lower case" if getattr(tokenizer, "do_lower_case", False) else "both cases"
    return f"{len(tokenizer.get_vocab()):,} words, {case}, SHA-256 {hashlib.sha256(words).hexdigest()[:12]}…"


def _tokenizer(folder: Path):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


# ---------------------------------------------------------------------------------------------------------------------------
# Its answers


def answers(teacher: Teacher, texts: Sequence[str], device: str) -> Answers:
    """The teacher's answers to texts, by the fastest engine whose agreement with Keras is proven.

    They are kept in the user's cache, under hashes of teacher, engine and texts and without the texts, some thousand at a
    time: a killed run goes on where it was, and none asks twice. What is damaged there is made anew.
    """
    predictor = teacher.predictor
    engine = agreement.fastest(predictor, device)
    folder = checkpoints.cache_folder() / "teacher-answers"
    folder.mkdir(exist_ok=True)
    identity = [*predictor.manifest.files.items(), predictor.manifest.maxlen, engine, engines.find(engine).recipe(predictor)]
    different = list(dict.fromkeys(texts))
    parts, answer = [], None
    for start in range(0, len(different), TEXTS_AT_A_TIME):
        some = different[start : start + TEXTS_AT_A_TIME]
        file = folder / f"{hashlib.sha256(json.dumps([identity, some]).encode()).hexdigest()}.npz"
        part = _kept(file)
        if part is None:
            answer = answer or _answering(predictor, engine, device)
            part = answer(some)
            _keep(part, file)
        parts.append(part)
    number = {text: position for position, text in enumerate(different)}
    rows = np.array([number[text] for text in texts], int)
    logits, states = (np.concatenate([part[name] for part in parts]) for name in ("logits", "states"))
    return Answers(logits[rows], states[rows].astype(np.float32), engine)


def _kept(file: Path) -> dict[str, np.ndarray] | None:
    try:
        with np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in ("logits", "states")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _keep(part: dict[str, np.ndarray], file: Path) -> None:
    with storage.atomic_file(file) as stream:
        np.savez(stream, **part)


def _answering(predictor: manifest.Predictor, engine: str, device: str) -> Callable[[list[str]], dict[str, np.ndarray]]:
    """From texts to {"logits": float32, "states": float16}, half of whose bits are enough for a direction."""
    weights, tokenizer = encoder.read(predictor.folder), _tokenizer(predictor.folder)
    states_of = _keras_states(predictor, device) if engine == "keras" else _onnx_states(predictor, weights, engine)

    def answer(texts: list[str]) -> dict[str, np.ndarray]:
        encoded, _ = batching.encode(tokenizer, texts, predictor.manifest.maxlen)
        states = states_of(encoded)
        return {"logits": _head(weights, states), "states": states.astype(np.float16)}

    return answer


def _keras_states(predictor: manifest.Predictor, device: str) -> Callable[[batching.EncodedTexts], np.ndarray]:
    from halfbert.models.ktrain_data import TransformerDataset
    from halfbert.predictor.engines import keras
    from halfbert.training import fit as training

    with keras.in_float32():
        model = keras.read_model(predictor)

    def states(encoded: batching.EncodedTexts) -> np.ndarray:
        rows = np.arange(len(encoded.lengths))
        data = TransformerDataset(encoded, rows, use_token_type_ids=False)
        with keras.in_float32():
            return training.first_token_states(model, data, rows, device, "the teacher's answers")

    return states


def _onnx_states(
    predictor: manifest.Predictor, weights: encoder.Encoder, engine: str
) -> Callable[[batching.EncodedTexts], np.ndarray]:
    from halfbert.models import onnx_graph
    from halfbert.predictor.engines import onnx, onnx_int8

    bits = onnx_int8.kernel_bits() if engine == "onnx-int8" else None
    session = onnx.open_session(onnx_graph.write(weights, bits, head=False), threads=None)

    def states(encoded: batching.EncodedTexts) -> np.ndarray:
        found = np.empty((len(encoded.lengths), len(weights.part("pooler")[1])), np.float32)
        batches = batching.batches_in_order_of_length(encoded.lengths, engines.TOKENS_PER_BATCH)
        for rows in progress(batches, len(batches), "the teacher's answers"):
            ids, mask = encoded.padded(rows)
            found[rows] = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return found

    return states


def _head(weights: encoder.Encoder, states: np.ndarray) -> np.ndarray:
    """(texts, labels) float32 logits of (texts, hidden) first-token states."""
    kernel, bias = weights.part("pooler")
    pooled = states @ kernel + bias
    pooled = np.tanh(pooled) if weights.kind == "bert" else np.maximum(pooled, 0)
    kernel, bias = weights.part("classifier")
    return pooled @ kernel + bias

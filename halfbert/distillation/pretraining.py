"""`distill --objective mlm`: a general student of a general teacher, a checkpoint as DistilBERT was made from BERT.

TensorFlow is imported only when fitting begins.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert import distillation
from halfbert.data.equality import normalise
from halfbert.data.phrases import counted
from halfbert.data.splits import HELD_OUT
from halfbert.distillation import rows, teacher
from halfbert.models import checkpoints, distilbert_form
from halfbert.models.weights import TOKENIZER_FILES, checkpoint_tensors
from halfbert.options import DistillOptions
from halfbert.predictor.manifest import DataFile
from halfbert.system import cluster, machine, storage, temporary, tensorflow_setup
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import InputError, ResourceError
from halfbert.training import identity, resuming

RECORD = "distillation.json"
# DistilBERT's masked-language head, and the names of its parts in a BERT.
HEAD = {
    "vocab_transform.weight": "cls.predictions.transform.dense.weight",
    "vocab_transform.bias": "cls.predictions.transform.dense.bias",
    "vocab_layer_norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "vocab_layer_norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "vocab_projector.bias": "cls.predictions.bias",
}


@dataclass(frozen=True)
class Pretrained:
    """The folder of a new checkpoint, and its record: teacher, loss, data, and the perplexity of held-out texts."""

    folder: Path
    record: dict[str, Any]


def pretrain(options: DistillOptions, stop: StopRequest) -> Pretrained:
    """Make the student's checkpoint, the folder `options.output`.

    Raises InputError if the texts cannot be read or the teacher has no masked-language head.
    """
    storage.check_output(options.output, "--output", resuming.may_overwrite(options), marker=RECORD)
    target = options.output.resolve()
    with storage.output_lock(target), temporary.folder() as scratch:
        storage.remove_leftovers(target)
        train, val, files = read_texts(options)
        bert = find_teacher(options.teacher)
        storage.check_free_space(target, bert.bytes)
        options.layers = teacher.layers_to_keep(bert.config["num_hidden_layers"], options.layers, options.keep)
        device = prepare(options)
        start = write_student(bert, options.layers, scratch / "student")

        from halfbert.distillation import losses, masked_language

        depends_on = {"recipe of distillation": distillation.RECIPE_VERSION}
        texts = {"train": train, "val": val}
        depends_on = identity.of_run(options, texts, bert, {"layers": options.layers}, depends_on)
        states = resuming.States(resuming.folder_of(target), depends_on, options.save_every, bert.bytes, options.resume)
        states.begin()
        fitted = masked_language.fit(options, stop, device, bert, start, train, val, states.fit("fit"))
        record = {
            "teacher": {"name": machine.shareable(bert.name), "weights_sha256": bert.weights_sha256},
            "layers": options.layers,
            "weights": losses.weights_of(options),
            "temperature": options.temperature,
            "data": {"files": [asdict(file) for file in files], "rows": {"train": len(train), "val": len(val)}},
            **{name: getattr(fitted, name) for name in ("epochs", "best_epoch", "perplexity", "maxlen", "lr")},
            "environment": asdict(machine.describe(device, options.threads, options.precision, options.seed)),
        }
        write_trained(fitted.student, start, target, record)
        say("perplexity: " + ", ".join(f"{name} {value:.4g}" for name, value in fitted.perplexity.items()))
        say(f"checkpoint: {options.output}   use it with --model distilbert --checkpoint {options.output}")
        if fitted.failure:
            raise fitted.failure
        states.remove()
        return Pretrained(options.output, record)


def prepare(options: DistillOptions) -> str:
    """Load TensorFlow, and return cpu or gpu: one device.

    Parts of these losses are of a batch as a whole (means over its tokens, similarities of every two of its texts), so shares
    of it on several devices would not add up to them.
    """
    if cluster.here().count > 1:
        raise InputError(f"--objective {options.objective}: trains on one machine; unset {cluster.VARIABLE}")
    device = tensorflow_setup.prepare(options.device, options.threads, options.seed, options.deterministic, options.precision)
    if device == "tpu":
        raise InputError(
            f"--objective {options.objective}: not supported on a TPU, whose batches must be of one shape; use a CPU or GPU"
        )
    return device


def write_trained(student: Any, start: Path, target: Path, record: dict[str, Any]) -> None:
    """Write the checkpoint `start` with the weights of the student, which began with it, and the record as folder `target`."""
    from safetensors.numpy import load_file, save_file

    from halfbert.distillation import masked_language

    weights = masked_language.weights_by_name(student)
    short = {name.removeprefix(f"{student.config.model_type}."): value for name, value in weights.items()}
    with storage.atomic_folder(target) as folder:
        for file in start.iterdir():
            if file.name in (*TOKENIZER_FILES, "config.json"):
                shutil.copyfile(file, folder / file.name)
        before = load_file(start / "model.safetensors")
        after = {name: weights.get(name, short.get(name, value)) for name, value in before.items()}
        save_file(after, folder / "model.safetensors", metadata={"format": "pt"})
        storage.write_json(record, folder / RECORD)


def read_texts(options: DistillOptions) -> tuple[list[str], list[str], list[DataFile]]:
    """Texts to train on, those of --val or one in ten of them, held out, and their files. The former are distinct."""
    assert options.train is not None  # DistillOptions has checked it
    texts, file = rows.read_texts(options.train, "train", options)
    files = [file]
    distinct = {normalise(text): text for text in texts}
    if options.val:
        val, of_val = rows.read_texts(options.val, "val", options)
        files.append(of_val)
        held_out = {normalise(text) for text in val}
    else:
        # Positions are permuted: an array of texts would give each the room of the longest.
        names = list(distinct)
        order = np.random.default_rng(options.split_seed).permutation(len(names))
        held_out = {names[position] for position in order[: len(order) // HELD_OUT]}
        val = [text for name, text in distinct.items() if name in held_out]
    train = [text for name, text in distinct.items() if name not in held_out]
    if not train or not val:
        raise InputError(f"{file.name}: too few distinct texts to train on and to hold out; add texts, or give --val")
    say(f"{file.name}: {counted(len(train), 'distinct text')} to train on, {len(val):,} held out")
    return train, val, files


def find_bert(name: str) -> checkpoints.Checkpoint:
    """The BERT checkpoint by that folder or hub name, the teacher. Raises InputError or ResourceError if there is none."""
    try:
        return checkpoints.find("bert", name)
    except InputError as error:
        raise InputError(str(error).replace("--checkpoint", "--teacher")) from error
    except ResourceError as error:
        raise ResourceError(
            f"--teacher {name}: neither in the cache nor available from the hub; give the checkpoint's folder"
        ) from error


def find_teacher(name: str) -> checkpoints.Checkpoint:
    """As `find_bert`. Raises InputError if it has no masked-language head."""
    bert = find_bert(name)
    weights = checkpoint_tensors(bert.folder)
    missing = [part for part in HEAD.values() if part not in weights]
    if missing:
        raise InputError(
            f"--teacher {name}: has no masked-language head ({missing[0]} is missing), so no predictions to learn from; use a "
            f"pretrained checkpoint as published, such as {checkpoints.HUB_NAMES['bert']}"
        )
    return bert


def write_student(bert: checkpoints.Checkpoint, layers: list[int], folder: Path) -> Path:
    """Write the teacher's DistilBERT form of these layers, its masked-language head included, as checkpoint `folder`."""
    from safetensors.numpy import load_file, save_file

    distilbert_form.write(bert.folder, folder, layers)
    weights = checkpoint_tensors(bert.folder)
    head = {name: np.ascontiguousarray(weights[part]) for name, part in HEAD.items()}
    save_file({**load_file(folder / "model.safetensors"), **head}, folder / "model.safetensors", metadata={"format": "pt"})
    config = distilbert_form.read_config(folder)
    storage.write_json({**config, "architectures": ["DistilBertForMaskedLM"]}, folder / "config.json")
    return folder

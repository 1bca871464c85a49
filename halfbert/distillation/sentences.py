"""`distill --objective embedding`: a general student of a sentence encoder, taught on plain texts.

The student's first token learns the teacher's embedding of the whole text (`sentence_fit`). It is the teacher's DistilBERT
form, another checkpoint, or with `--model bert` the teacher itself, whose last layers learn it. TensorFlow is imported only
when fitting begins.
"""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data import messages, multiclass
from halfbert.distillation import corpus, pretraining, teacher
from halfbert.models import batching, checkpoints, distilbert_form
from halfbert.options import DistillOptions
from halfbert.predictor.manifest import DataFile
from halfbert.system import machine, storage, temporary
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import InputError
from halfbert.training import identity, resuming

MAXLEN = 128  # tokens: general texts are short, and long ones cost more than they teach
BERT_LAYERS = 2  # that --model bert trains: the last ones, which turn what the others say of each token into a first token


def teach(options: DistillOptions, stop: StopRequest) -> pretraining.Pretrained:
    """Make the student's checkpoint, the folder `options.output`.

    Raises InputError if the texts cannot be read, or the student does not fit its teacher.
    """
    storage.check_output(options.output, "--output", options.overwrite, marker=pretraining.RECORD)
    target = options.output.resolve()
    with storage.output_lock(target), temporary.folder() as scratch:
        storage.remove_leftovers(target)
        bert = pretraining.find_bert(options.teacher)
        begins = _student(bert, options, scratch / "student")
        storage.check_free_space(target, bert.bytes)
        device = pretraining.prepare(options)

        import transformers

        from halfbert.distillation import sentence_fit, sentence_teacher

        tokenizer = transformers.AutoTokenizer.from_pretrained(bert.folder, local_files_only=True)
        options.maxlen = options.maxlen or MAXLEN
        texts, files = corpus.read(
            options,
            bert,
            tokenizer,
            options.maxlen,
            lambda some: sentence_teacher.choose(bert, tokenizer, device, options.threads, some),
        )
        probe = _probe(options, tokenizer)
        states = _states(options, begins, files)
        fitted = sentence_fit.fit(options, stop, device, begins.folder, texts, probe, states.fit("fit"))
        record = _record(options, bert, begins, texts, files, fitted, sentence_fit.weights_of(options))
        record["environment"] = asdict(machine.describe(device, options.threads, options.precision, options.seed))
        pretraining.write_trained(fitted.student, begins.folder, target, record)
        say(f"checkpoint: {options.output}   use it with --model {options.model} --checkpoint {options.output}")
        if fitted.failure:
            raise fitted.failure
        states.remove()
        return pretraining.Pretrained(options.output, record)


def _record(
    options: DistillOptions,
    bert: checkpoints.Checkpoint,
    begins: checkpoints.Checkpoint,
    texts: corpus.Corpus,
    files: list[DataFile],
    fitted: Any,
    weights: dict[str, float],
) -> dict[str, Any]:
    """What is written beside the checkpoint: who was taught by whom, on what, how, and how well it went."""
    held_out = int(texts.held_out.sum())
    return {
        "teacher": {"name": machine.shareable(bert.name), "weights_sha256": bert.weights_sha256},
        "student": {"name": machine.shareable(begins.name), "weights_sha256": begins.weights_sha256},
        "weights": weights,
        "data": {"files": [asdict(file) for file in files], "texts": len(texts.held_out), "held_out": held_out},
        "embedded_by": texts.embedded_by,
        "before": fitted.start,
        **{name: getattr(fitted, name) for name in ("rounds", "best_round", "tokens", "steps")},
        **{name: getattr(options, name) for name in ("layers", "trained_layers", "batch_tokens", "lr", "maxlen", "seed")},
    }


def _student(bert: checkpoints.Checkpoint, options: DistillOptions, folder: Path) -> checkpoints.Checkpoint:
    """The checkpoint that the student begins with; the teacher's DistilBERT form is written into `folder`."""
    options.model = options.model or "distilbert"
    if options.checkpoint:
        begins = checkpoints.find(options.model, options.checkpoint)
        teacher.check_tokenizers(begins, bert.folder, bert.name)
        if (width := begins.config.get("hidden_size") or begins.config["dim"]) != bert.config["hidden_size"]:
            raise InputError(
                f"--checkpoint {begins.name}: its states have {width} units, the teacher's embeddings have "
                f"{bert.config['hidden_size']}"
            )
    elif options.model == "bert":
        begins = bert
        options.trained_layers = options.trained_layers or BERT_LAYERS
    else:
        options.layers = teacher.layers_to_keep(bert.config["num_hidden_layers"], options.layers, options.keep)
        distilbert_form.write(bert.folder, folder, options.layers)
        form = checkpoints.find("distilbert", str(folder))
        begins = replace(form, name=f"DistilBERT form of layers {', '.join(map(str, options.layers))} of {bert.name}")
    layers = begins.config.get("num_hidden_layers") or begins.config["n_layers"]
    if (options.trained_layers or 0) > layers:
        raise InputError(f"--trained-layers {options.trained_layers}: the student has {layers}")
    return begins


def _probe(options: DistillOptions, tokenizer: Any) -> Any:
    from halfbert.distillation.sentence_fit import Probe

    source = options.probe or str(messages.TRAIN)
    label = options.label_column or ("label" if options.probe else messages.LABEL)
    rows, _ = multiclass.read_texts(
        source, options.text_column if options.probe else "text", label, drop_missing=options.drop_missing
    )
    names, numbers = np.unique(np.array(rows.labels), return_inverse=True)
    if len(names) < 2:
        raise InputError(f"{rows.file}: a probe needs two labels at least; {label!r} has {len(names)}")
    encoded, _ = batching.encode(tokenizer, rows.texts, options.maxlen)
    return Probe(encoded, np.eye(len(names), dtype=np.float32)[numbers])


def _states(options: DistillOptions, begins: checkpoints.Checkpoint, files: list[DataFile]) -> resuming.States:
    """Where the fit is saved: equal options, texts and weights find each other's, with --resume or without."""
    how: list[Any] = [options.weight_first, options.weight_mean, options.weight_similarity, options.weight_decay, options.lr]
    how += [options.tokens, options.batch_tokens, options.maxlen, options.seed, options.precision, options.trained_layers]
    depends_on = [begins.weights_sha256, [file.sha256 for file in files], options.teacher, how]
    digest = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
    folder = checkpoints.cache_folder() / "fits" / digest[:32]
    return resuming.States(folder, {"fit": identity.HASH + digest}, options.save_every)

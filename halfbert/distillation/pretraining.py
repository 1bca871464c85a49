"""The pre-training of DistilBERT (Sanh et al. 2019, section 3): a general student of a general teacher, on plain texts.

15 % of a text's tokens are chosen anew each time it is read; of these 80 % become [MASK], 10 % another word, 10 % stay
(Devlin et al. 2019, section 3.1). The loss is that of `distillation` with the vocabulary in the place of the labels: `soft`
and `cosine` over all tokens, `supervised` over the chosen ones. The teacher answers in every step, as no disk holds what it
says to every token.

Shapes: B texts, L tokens of the longest of them, T tokens that are no padding, V words, h hidden units.
"""

import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfbert.data import tables
from halfbert.data.equality import normalise
from halfbert.distillation import teacher
from halfbert.models import batching, checkpoints
from halfbert.system import console, machine, storage, tensorflow_setup
from halfbert.system.console import Stopped, StopRequest, say
from halfbert.system.errors import ArtefactError, InputError, ResourceError

CHOSEN, MASKED, OTHER_WORD = 0.15, 0.8, 0.1  # share of the tokens, and shares of those
RECORD = "distillation.json"
TOKENS_AT_A_TIME = 1024  # when only looking: each has an answer of V numbers
# DistilBERT's masked-language head, and what its parts are called in a BERT.
HEAD = {
    "vocab_transform.weight": "cls.predictions.transform.dense.weight",
    "vocab_transform.bias": "cls.predictions.transform.dense.bias",
    "vocab_layer_norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "vocab_layer_norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "vocab_projector.bias": "cls.predictions.bias",
}


@dataclass
class Texts:
    """Plain texts to learn from, others to look at, and the files that they are from."""

    train: list[str]
    val: list[str]
    files: list[dict]


def distil(options, stop: StopRequest) -> None:
    """Make the student's checkpoint, the folder `options.output`, as `distill.py --objective mlm` asks for it.

    Raises InputError where the texts are not to be read or the teacher has no masked-language head.
    """
    storage.check_output(options.output, "--output", options.overwrite, marker=RECORD)
    target = options.output.resolve()
    with storage.output_lock(target), tempfile.TemporaryDirectory(prefix="halfbert-") as scratch:
        storage.remove_leftovers(target)
        texts = read_texts(options)
        taught_by = find_teacher(options.teacher)
        storage.check_free_space(target, taught_by.bytes)
        options.layers = teacher.layers_to_keep(taught_by.config["num_hidden_layers"], options.layers, options.keep)
        device = tensorflow_setup.prepare(
            options.device, options.threads, options.seed, options.deterministic, options.precision
        )
        if device == "tpu":
            raise InputError("--objective mlm: counts tokens as they come, which a TPU cannot; take a CPU or GPU")
        start = write_student(taught_by, options.layers, Path(scratch) / "student")
        student, found, failure = _fit(options, stop, device, taught_by, start, texts)
        record = {
            "teacher": {"name": machine.shareable(taught_by.name), "weights_sha256": taught_by.weights_sha256},
            "layers": options.layers,
            "weights": {part: getattr(options, f"weight_{part}") for part in ("soft", "supervised", "cosine")},
            "temperature": options.temperature,
            "data": {"files": texts.files, "rows": {"train": len(texts.train), "val": len(texts.val)}},
            **found,
            "environment": machine.describe(device, options.threads, options.precision, options.seed),
        }
        with storage.atomic_folder(target) as folder:
            _save(student, start, folder)
            storage.write_json(record, folder / RECORD)
        say("perplexity: " + ", ".join(f"{name} {value:.4g}" for name, value in found["perplexity"].items()))
        say(f"checkpoint: {options.output}   take it with --model distilbert --checkpoint {options.output}")
        if failure:
            raise failure


def read_texts(options) -> Texts:
    """The different texts of --train, without those of --val; where that is not given, one text in ten is for looking."""
    texts, described = teacher.read_texts(options.train, options)
    files = [{"role": "train", **described}]
    different = {normalise(text): text for text in texts}
    if options.val:
        val, described = teacher.read_texts(options.val, options)
        files.append({"role": "val", **described})
        seen = {normalise(text) for text in val}
    else:
        order = np.random.default_rng(options.split_seed).permutation(list(different))
        seen = set(order[: len(order) // tables.HELD_OUT].tolist())
        val = [text for name, text in different.items() if name in seen]
    train = [text for name, text in different.items() if name not in seen]
    if not train or not val:
        raise InputError(f"{options.train}: too few different texts to learn from and to look at; add texts, or give --val")
    say(f"{files[0]['name']}: {len(train):,} different texts to learn from, {len(val):,} to look at")
    return Texts(train, val, files)


def find_teacher(name: str) -> checkpoints.Checkpoint:
    """The BERT checkpoint by that folder or hub name. Raises InputError where it has no masked-language head."""
    try:
        found = checkpoints.find("bert", name)
    except InputError as error:
        raise InputError(str(error).replace("--checkpoint", "--teacher")) from error
    except ResourceError as error:
        raise ResourceError(
            f"--teacher {name}: not in the cache, and the hub does not give it; give the checkpoint's folder"
        ) from error
    weights = checkpoints.bert_weights(found.folder)
    missing = [part for part in HEAD.values() if part not in weights]
    if missing:
        raise InputError(
            f"--teacher {name}: has no masked-language head ({missing[0]} is missing), so it has no answer to teach; take a "
            f"checkpoint as it was pretrained, such as {checkpoints.HUB_NAMES['bert']}"
        )
    return found


def write_student(taught_by: checkpoints.Checkpoint, layers: list[int], folder: Path) -> Path:
    """Write the teacher's DistilBERT form of these layers, its masked-language head included, as checkpoint `folder`."""
    from safetensors.numpy import load_file, save_file

    checkpoints.distilbert_form(taught_by.folder, folder, layers)
    weights = checkpoints.bert_weights(taught_by.folder)
    head = {name: np.ascontiguousarray(weights[part]) for name, part in HEAD.items()}
    save_file({**load_file(folder / "model.safetensors"), **head}, folder / "model.safetensors", metadata={"format": "pt"})
    config = checkpoints.read_config(folder)
    storage.write_json({**config, "architectures": ["DistilBertForMaskedLM"]}, folder / "config.json")
    return folder


# ---------------------------------------------------------------------------------------------------------------------------
# Learning; TensorFlow is loaded by now


def _fit(options, stop: StopRequest, device: str, taught_by: checkpoints.Checkpoint, start: Path, texts: Texts):
    """The student after its best epoch, what the record says of the fit, and what ended it early, if anything did."""
    import transformers

    from halfbert.models.ktrain_data import TransformerDataset, ktrain  # noqa: F401  (ktrain as it must be imported here)
    from halfbert.training import fit as training
    from halfbert.training.optimizer import Adam

    tokenizer = transformers.AutoTokenizer.from_pretrained(taught_by.folder, local_files_only=True)
    encoded, maxlen = batching.encode(tokenizer, texts.train, options.maxlen)
    to_look_at, _ = batching.encode(tokenizer, texts.val, maxlen)
    train = TransformerDataset(encoded, np.zeros([len(texts.train), 1]), use_token_type_ids=False)
    train.seed, train.pad_to_multiple_of = options.seed, 8 if device == "gpu" else 1
    with tensorflow_setup.strategy(device).scope():
        bert = load(transformers.TFBertForMaskedLM, taught_by.folder)
        student = load(transformers.TFDistilBertForMaskedLM, start)
    hide = hiding(tokenizer)
    before = {"teacher": perplexity(bert, to_look_at, hide), "start": perplexity(student, to_look_at, hide)}
    recipe = taught_by.recipe
    train.epochs = epochs = options.epochs or recipe["epochs"]
    rate = options.lr or recipe["learning_rate"]
    say(
        f"teaching {student.count_params() / 1e6:.1f} M parameters on the {device}: {epochs} epochs, batches of "
        f"{options.batch_size}, one-cycle to {rate:.2g}; perplexity of the teacher {before['teacher']:.4g}, of the student "
        f"{before['start']:.4g}"
    )

    class BestEpoch(training.BestEpoch):
        def validate(self):
            return perplexity(self.model, to_look_at, hide)

    def score(found: float) -> dict:
        return {"val_loss": math.log(found), "val_perplexity": found}

    weights = {part: getattr(options, f"weight_{part}") for part in ("soft", "supervised", "cosine")}
    optimizer = Adam(weight_decay=options.weight_decay, few_words=False)
    training.compile_model(student, device, objective=objective(bert, hide, weights, options.temperature), optimizer=optimizer)
    learner = training.get_learner(student, train_data=train, batch_size=options.batch_size)
    best = BestEpoch(None, score, None, epochs, stop)
    failure = _learn(learner, rate, epochs, best, stop)
    student.set_weights(best.best_weights)
    after = {"student": best.rows[best.best_epoch - 1]["val_perplexity"]}
    fit = {"epochs": best.rows, "best_epoch": best.best_epoch, "perplexity": {**before, **after}, "maxlen": maxlen, "lr": rate}
    return student, fit, failure


def _learn(learner, rate: float, epochs: int, best, stop: StopRequest) -> ResourceError | Stopped | None:
    """Fit, and give what ended it early; it is raised where no epoch was complete."""
    from halfbert.training import fit as training

    failure, stop.gently = None, True
    try:
        learner.fit_onecycle(rate, epochs, callbacks=[best], verbose=0)
    except training.Diverged as diverged:
        failure = ResourceError(f"{diverged}; try a smaller --lr")
    if stop.signal_number is not None:
        failure = Stopped(stop.signal_number)
    if best.best_weights is None:
        raise failure
    return failure


def load(kind, folder: Path):
    """A transformers model of a checkpoint. Raises ArtefactError where some of its weights are not there."""
    model, told = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    if told["missing_keys"]:
        raise ArtefactError(f"{folder / 'model.safetensors'}: {told['missing_keys'][0]} is missing")
    return model


def hiding(tokenizer) -> Callable:
    """From (B, L) token ids and a seed, (2,) int32, to ids in which chosen tokens are hidden, and which those are, bool.

    Tokens of the tokenizer's own, such as [CLS] and [PAD], are never chosen.
    """
    import tensorflow as tf

    words, own = len(tokenizer), tf.constant(tokenizer.all_special_ids)

    def hide(ids, seed):
        of_words = tf.reduce_all(ids[..., None] != own, axis=-1)
        chance, kind = (tf.random.stateless_uniform(tf.shape(ids), seed + step) for step in (0, 1))
        others = tf.random.stateless_uniform(tf.shape(ids), seed + 2, maxval=words, dtype=tf.int32)
        chosen = of_words & (chance < CHOSEN)
        hidden = tf.where(chosen & (kind < MASKED), tokenizer.mask_token_id, ids)
        return tf.where(chosen & (kind >= 1 - OTHER_WORD), others, hidden), chosen

    return hide


def objective(bert, hide: Callable, weights: dict[str, float], temperature: float):
    """What the student minimises: a `training.Objective` whose parts are means over the tokens of the batch."""
    import tensorflow as tf

    from halfbert.distillation import losses as distillation

    def parts(model, features, targets, row_weights):
        ids, there = features["input_ids"], features["attention_mask"]
        seed = tf.random.uniform([2], maxval=2**31 - 3, dtype=tf.int32)
        hidden, chosen = hide(ids, seed)
        told = bert(hidden, attention_mask=there, training=False, output_hidden_states=True)
        told = [tf.stop_gradient(part) for part in _of_tokens(told, there)]
        logits, states = _of_tokens(model(hidden, attention_mask=there, training=True, output_hidden_states=True), there)
        words, chosen = (tf.boolean_mask(part, there > 0) for part in (ids, tf.cast(chosen, tf.float32)))
        of_words = tf.nn.sparse_softmax_cross_entropy_with_logits(words, logits) * chosen
        losses = {
            "soft": lambda: tf.reduce_mean(distillation.soft_loss(logits, told[0], temperature)),
            "supervised": lambda: tf.reduce_sum(of_words) / tf.maximum(tf.reduce_sum(chosen), 1.0),
            "cosine": lambda: tf.reduce_mean(distillation.cosine_loss(states, told[1])),
        }
        return distillation.weighted({name: losses[name]() for name, weight in weights.items() if weight}, weights)

    return parts


def _of_tokens(answers, there):
    """(T, V) logits and (T, h) last states, float32."""
    import tensorflow as tf

    return [tf.cast(tf.boolean_mask(part, there > 0), tf.float32) for part in (answers.logits, answers.hidden_states[-1])]


def perplexity(model, encoded: batching.EncodedTexts, hide: Callable) -> float:
    """e to the mean cross-entropy of the hidden tokens, the same ones each time. Raises InputError where none is hidden."""
    import tensorflow as tf

    shape = tf.TensorSpec([None, None], tf.int32)

    @tf.autograph.experimental.do_not_convert
    def look(ids, there, number):
        hidden, chosen = hide(ids, tf.stack([number, 0]))
        logits = tf.cast(model(hidden, attention_mask=there, training=False).logits, tf.float32)
        losses = tf.boolean_mask(tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits), chosen)
        return tf.reduce_sum(losses), tf.size(losses)

    if not hasattr(model, "halfbert_look"):  # traced once a model
        model.halfbert_look = tf.function(look, input_signature=[shape, shape, tf.TensorSpec([], tf.int32)])
    batches = batching.batches_in_order_of_length(encoded.lengths, TOKENS_AT_A_TIME)
    sums = [
        [part.numpy() for part in model.halfbert_look(*map(tf.constant, encoded.padded(rows)), tf.constant(number))]
        for number, rows in enumerate(console.progress(batches, len(batches), "looking"))
    ]
    loss, tokens = np.sum(sums, axis=0, dtype=np.float64)
    if not tokens:
        raise InputError("too few texts to look at: none of their tokens was chosen to be hidden; give more with --val")
    return float(np.exp(loss / tokens))


def _save(student, start: Path, folder: Path) -> None:
    """Write the student as the checkpoint in folder `start` is written, with its weights in the place of those there."""
    from safetensors.numpy import load_file, save_file
    from transformers.modeling_tf_pytorch_utils import convert_tf_weight_name_to_pt_weight_name

    found = {}
    for variable in student.variables:
        name, transpose = convert_tf_weight_name_to_pt_weight_name(variable.name, tf_weight_shape=variable.shape)
        values = variable.numpy().astype(np.float32)
        found[name] = np.ascontiguousarray(values.T if transpose.name == "SIMPLE" else values)
    names = load_file(start / "model.safetensors")
    save_file({name: found[name] for name in names}, folder / "model.safetensors", metadata={"format": "pt"})
    for file in start.iterdir():
        if file.name != "model.safetensors":
            shutil.copyfile(file, folder / file.name)

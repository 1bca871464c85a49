"""Fitting a general student by masked language modelling (Sanh et al. 2019, section 3).

15 % of a text's tokens are chosen anew each time it is read; of these 80 % become [MASK], 10 % another word, 10 % stay
(Devlin et al. 2019, section 3.1). The loss is that of `losses` with the vocabulary in the place of the labels: `soft` and
`cosine` over all tokens, `supervised` over the chosen ones. The teacher predicts in every step, as its predictions for every
token would fill any disk.

Shapes: B texts, L tokens of the longest of them, T tokens without padding, V words, h hidden units. Import after
`tensorflow_setup.prepare`.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import transformers

from halfbert.data.phrases import counted
from halfbert.distillation import losses
from halfbert.models import batching
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.ktrain_data import TransformerDataset
from halfbert.models.randomness import next_seed
from halfbert.options import DistillOptions
from halfbert.predictor.manifest import Numbers
from halfbert.system.console import Stopped, StopRequest, say
from halfbert.system.errors import ArtefactError, InputError, ResourceError
from halfbert.training import fit as training
from halfbert.training.optimizer import Adam
from halfbert.training.resuming import SavedFit

CHOSEN, MASKED, OTHER_WORD = 0.15, 0.8, 0.1  # share of the tokens, and shares of those
VALIDATED_TOKENS = 1024  # per batch: each has a prediction of V numbers

# From (B, L) token ids and a seed, (2,) int32, to ids of which some are hidden, and which were chosen, bool.
Hide = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Fit:
    """The student after its best epoch, and what the record holds; `failure` is what ended the fit early."""

    student: Any
    epochs: list[Numbers]
    best_epoch: int
    perplexity: Numbers
    maxlen: int
    lr: float
    failure: ResourceError | Stopped | None


def fit(
    options: DistillOptions,
    stop: StopRequest,
    device: str,
    teacher: Checkpoint,
    start: Path,
    texts: list[str],
    val: list[str],
    saved: SavedFit,
) -> Fit:
    """Fit the student in the checkpoint folder `start` on `texts`; the epoch of the lowest perplexity of `val` is kept.

    The fit goes on from the state that is `saved`. Raises what ended it early if no epoch was complete.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(teacher.folder, local_files_only=True)
    encoded, maxlen = batching.encode(tokenizer, texts, options.maxlen)
    of_val, _ = batching.encode(tokenizer, val, maxlen)
    held_out = TransformerDataset(of_val, np.zeros([len(val), 1]), use_token_type_ids=False)
    train = TransformerDataset(encoded, np.zeros([len(texts), 1]), use_token_type_ids=False)
    train.seed, train.pad_to_multiple_of = options.seed, 8 if device == "gpu" else 1
    bert = load(transformers.TFBertForMaskedLM, teacher.folder)
    student = load(transformers.TFDistilBertForMaskedLM, start)
    hide = hiding(tokenizer)
    before: Numbers = {"teacher": perplexity(bert, of_val, hide), "start": perplexity(student, of_val, hide)}
    train.epochs = epochs = options.epochs or teacher.recipe["epochs"]
    rate = options.lr or teacher.recipe["learning_rate"]
    say(
        f"training {student.count_params() / 1e6:.1f} M parameters on the {device}: {counted(epochs, 'epoch')}, batches of "
        f"{options.batch_size}, one-cycle to {rate:.2g}; perplexity of the teacher {before['teacher']:.4g}, of the student "
        f"{before['start']:.4g}"
    )
    weights = losses.weights_of(options)
    optimizer = Adam(weight_decay=options.weight_decay, few_words=False)
    taught = objective(bert, hide, weights, options.temperature)
    training.compile_model(student, device, objective=taught, optimizer=optimizer, seed=options.seed)
    learner = training.get_learner(student, train_data=train, batch_size=options.batch_size)
    best = _BestPerplexity(held_out, hide, epochs, stop, saved)
    failure = training.fit_best(learner, rate, epochs, best)
    history = best.history
    after = {**before, "student": history.epochs[history.best_epoch - 1]["val_perplexity"]}
    return Fit(student, history.epochs, history.best_epoch, after, maxlen, rate, failure)


class _BestPerplexity(training.BestEpoch):
    """Keeps the epoch of the lowest perplexity of held-out texts."""

    def __init__(self, held_out: TransformerDataset, hide: Hide, epochs: int, stop: StopRequest, saved: SavedFit):
        def score(found: float) -> Numbers:
            return {"val_loss": math.log(found), "val_perplexity": found}

        super().__init__(held_out, score, None, epochs, stop, saved=saved)
        self.hide = hide

    def validate(self) -> Any:
        return perplexity(self.model, self.validation.encoded, self.hide)


def load(kind: Any, folder: Path) -> Any:
    """A transformers model of a checkpoint. Raises ArtefactError if some of its weights are missing."""
    model, info = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    if info["missing_keys"]:
        raise ArtefactError(f"{folder / 'model.safetensors'}: {info['missing_keys'][0]} is missing")
    return model


def hiding(tokenizer: Any) -> Hide:
    """The function that hides chosen tokens; the tokenizer's own, such as [CLS] and [PAD], are never chosen."""
    words, special = len(tokenizer), tf.constant(tokenizer.all_special_ids)

    def hide(ids: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_words = tf.reduce_all(ids[..., None] != special, axis=-1)
        drawn, kind = (tf.random.stateless_uniform(tf.shape(ids), seed + step) for step in (0, 1))
        others = tf.random.stateless_uniform(tf.shape(ids), seed + 2, maxval=words, dtype=tf.int32)
        chosen = of_words & (drawn < CHOSEN)
        hidden = tf.where(chosen & (kind < MASKED), tokenizer.mask_token_id, ids)
        return tf.where(chosen & (kind >= 1 - OTHER_WORD), others, hidden), chosen

    return hide


def objective(bert: Any, hide: Hide, weights: dict[str, float], temperature: float) -> training.Objective:
    """What the student minimises; the parts are means over the tokens of the batch."""

    def parts(model: Any, features: dict, targets: tf.Tensor, row_weights: tf.Tensor | None) -> dict[str, tf.Tensor]:
        ids, mask = features["input_ids"], features["attention_mask"]
        hidden, chosen = hide(ids, next_seed())
        of_teacher = bert(hidden, attention_mask=mask, training=False, output_hidden_states=True)
        teacher_logits, teacher_states = map(tf.stop_gradient, _of_tokens(of_teacher, mask))
        logits, states = _of_tokens(model(hidden, attention_mask=mask, training=True, output_hidden_states=True), mask)
        words, chosen = (tf.boolean_mask(part, mask > 0) for part in (ids, tf.cast(chosen, tf.float32)))
        of_words = tf.nn.sparse_softmax_cross_entropy_with_logits(words, logits) * chosen
        parts = {
            "soft": lambda: tf.reduce_mean(losses.soft_loss(logits, teacher_logits, temperature)),
            "supervised": lambda: tf.reduce_sum(of_words) / tf.maximum(tf.reduce_sum(chosen), 1.0),
            "cosine": lambda: tf.reduce_mean(losses.cosine_loss(states, teacher_states)),
        }
        return losses.weighted(parts, weights)

    return parts


def _of_tokens(output: Any, mask: tf.Tensor) -> list[tf.Tensor]:
    """(T, V) logits and (T, h) final hidden states, float32."""
    return [tf.cast(tf.boolean_mask(part, mask > 0), tf.float32) for part in (output.logits, output.hidden_states[-1])]


def perplexity(model: Any, encoded: batching.EncodedTexts, hide: Hide) -> float:
    """e to the mean cross-entropy of the hidden tokens, the same ones each time. Raises InputError if none is hidden."""
    shape = tf.TensorSpec([None, None], tf.int32)

    def validate(ids: tf.Tensor, mask: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """(B, 2): of each text the sum over its hidden tokens, and their number."""
        hidden, chosen = hide(ids, tf.stack([number, 0]))
        chosen = tf.cast(chosen, tf.float32)
        logits = tf.cast(model(hidden, attention_mask=mask, training=False).logits, tf.float32)
        of_chosen = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits) * chosen
        return tf.stack([tf.reduce_sum(of_chosen, axis=1), tf.reduce_sum(chosen, axis=1)], axis=1)

    if not hasattr(model, "halfbert_validate"):  # traced once a model
        signature = [shape, shape, tf.TensorSpec([], tf.int32)]
        model.halfbert_validate = tf.function(validate, input_signature=signature, autograph=False)
    numbers = itertools.count()  # of the batches

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return model.halfbert_validate(tf.constant(ids), tf.constant(mask), tf.constant(next(numbers))).numpy()

    sums = batching.predict([encoded], len(encoded.lengths), 2, forward, VALIDATED_TOKENS, "validation")
    loss, tokens = sums.sum(axis=0, dtype=np.float64)
    if not tokens:
        raise InputError("too few held-out texts: none of their tokens was chosen to be hidden; give more with --val")
    return math.exp(loss / tokens)


def weights_by_name(student: Any) -> dict[str, np.ndarray]:
    """The student's weights as PyTorch's checkpoints name and shape them, float32."""
    from transformers.modeling_tf_pytorch_utils import convert_tf_weight_name_to_pt_weight_name

    weights = {}
    for variable in student.variables:
        name, transpose = convert_tf_weight_name_to_pt_weight_name(variable.name, tf_weight_shape=variable.shape)
        values = variable.numpy().astype(np.float32)
        weights[name] = np.ascontiguousarray(values.T if transpose.name == "SIMPLE" else values)
    return weights

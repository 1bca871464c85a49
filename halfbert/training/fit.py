"""Fine-tuning with ktrain's learner: compile, one-cycle, the best epoch, the guard against NaN.

Import after `tensorflow_setup.prepare`.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from halfbert.models import batching, keras_forward, memory, randomness
from halfbert.models.ktrain_data import TransformerDataset, ktrain
from halfbert.output.words import readable
from halfbert.predictor.manifest import Numbers
from halfbert.scoring.intervals import standard_error
from halfbert.system import console, temporary
from halfbert.system.errors import ResourceError
from halfbert.training import pace, resuming, workers
from halfbert.training.optimizer import Adam
from halfbert.training.values import History

TOKENS_PER_PREDICTED_BATCH = 4096


class Diverged(Exception):
    """The loss of a batch or of validation was NaN or infinite."""


PROGRESS = ("rows", "best_epoch", "losses", "learning_rates", "momenta", "step_ends", "ended")  # of BestEpoch, to be saved

# From a model, features, targets, (rows,) weights of the rows or None to the parts of a batch's loss; "loss" is minimised.
Objective = Callable[[Any, dict[str, tf.Tensor], tf.Tensor, tf.Tensor | None], dict[str, tf.Tensor]]


def compile_model(
    model: Any,
    device: str,
    weight_decay: float = 0.0,
    loss: tf.keras.losses.Loss | None = None,
    objective: Objective | None = None,
    optimizer: Adam | None = None,
    xla: bool = False,
    seed: int = 0,
) -> None:
    """Compile a transformers model for ktrain's learner; `loss` is the softmax cross-entropy unless given.

    The optimizer is a fresh one (ktrain's own is shared by all models of a process). A training step is the plain one of
    Keras; on a CPU the forward pass inside it is that of `keras_forward`. What it minimises is `loss`, or the `objective`. With
    `xla` a step is compiled, once for each shape of a batch. What is dropped out depends on `seed` and the step alone.
    """
    if device == "cpu" and keras_forward.supports(model):
        model.halfbert_forward = keras_forward.forward(model)
    else:
        model.halfbert_forward = lambda features, training: tf.cast(model(features, training=training).logits, tf.float32)
    model.halfbert_objective = objective or _compiled_loss
    randomness.make_dropout_stateless(model)

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def train_step(data: Any) -> dict[str, tf.Tensor]:
        features, targets, weights = tf.keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape, randomness.of_step(seed, model.optimizer.iterations):
            parts = model.halfbert_objective(model, features, targets, weights)
            loss = parts["loss"]
            scaled = model.optimizer.get_scaled_loss(loss) if hasattr(model.optimizer, "get_scaled_loss") else loss
        gradients = tape.gradient(scaled, model.trainable_variables)
        if scaled is not loss:  # mixed_float16: Keras wraps the optimizer, so that small gradients do not vanish
            gradients = model.optimizer.get_unscaled_gradients(gradients)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return parts

    model.train_step = train_step
    with model.distribute_strategy.scope():
        loss = loss or tf.keras.losses.CategoricalCrossentropy(from_logits=True)
        optimizer = optimizer or Adam(weight_decay=weight_decay, masked=xla or device == "tpu")
        model.compile(optimizer=optimizer, loss=loss, metrics=[], jit_compile=xla)
        model.distribute_reduction_method = "sum"  # each replica has its share of the loss, on a TPU as well
        _create_variables(model)
    memory.note(model)


def _compiled_loss(model: Any, features: dict, labels: tf.Tensor, weights: tf.Tensor | None) -> dict[str, tf.Tensor]:
    return {"loss": model.compiled_loss(labels, model.halfbert_forward(features, training=True), weights)}


def states_and_logits(model: Any, device: str) -> Callable:
    """From (features, training) to (rows, hidden) first-token states, which the head reads, and (rows, labels) logits."""
    if device == "cpu" and keras_forward.supports(model):
        return keras_forward.states_and_logits(model)

    def stock(features: dict, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        answers = model(features, training=training, output_hidden_states=True)
        return tf.cast(answers.hidden_states[-1][:, 0], tf.float32), tf.cast(answers.logits, tf.float32)

    return stock


class SigmoidCrossentropy(tf.keras.losses.Loss):
    """Mean over the labels of a text of the binary cross-entropy of each (nats), from logits.

    `positive_weights`, (labels,) or None, weighs the part of a label that the text has. Keras' own `class_weight` would take
    the first label of each text for its class.
    """

    def __init__(self, positive_weights: np.ndarray | None = None):
        super().__init__(name="sigmoid_crossentropy")
        self.positive_weights = 1.0 if positive_weights is None else positive_weights.astype(np.float32)

    def call(self, truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """(rows,) losses of (rows, labels) 0/1 truth and logits."""
        # Not tf.nn.weighted_cross_entropy_with_logits, whose gradient is wrong where a logit is exactly 0.
        losses = tf.nn.sigmoid_cross_entropy_with_logits(truth, logits)
        return tf.reduce_mean(losses * (1.0 + (self.positive_weights - 1.0) * truth), axis=-1)


def _create_variables(model: Any) -> None:
    """Create the variables of loss and optimizer now: a step that creates some is traced twice, which takes seconds."""
    assert model.optimizer.iterations is not None  # created by this look at it; a step on several devices cannot
    if tf.distribute.has_strategy():
        return  # the others cannot be touched outside a step there
    nothing = tf.zeros([1, model.config.num_labels])
    model.compiled_loss(nothing, nothing)
    model.compiled_loss.reset_state()
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # mixed_float16 wraps it
    optimizer._create_all_weights(model.trainable_variables)


def get_learner(model: Any, train_data: TransformerDataset, batch_size: int) -> Any:
    """ktrain's `get_learner`, without the copy of all weights that it leaves in the temporary folder."""
    with scratch():
        return ktrain.get_learner(model, train_data=train_data, batch_size=batch_size)


def one_cycle(learner: Any, rate: float, epochs: int, best: Any, class_weight: Any = None, more: Sequence[Any] = ()) -> None:
    """Run ktrain's one-cycle policy, from where the BestEpoch `best` was saved, with `more` callbacks."""
    done = best.saved.restore(learner.model, best) if best.saved else 0
    if best.ended or done == epochs * len(learner.train_data):
        return  # killed after the fit
    with resuming.continuing(learner, best.saved.progress if best.saved else None):
        learner.fit_onecycle(rate, epochs, class_weight=class_weight, callbacks=[best, *more], verbose=0)


def fit_best(learner: Any, rate: float, epochs: int, best: "BestEpoch") -> ResourceError | console.Stopped | None:
    """Run ktrain's one-cycle policy and put the weights of the best epoch back; returns what ended the fit early.

    Raises that if no epoch was complete. A signal waits for the end of a batch.
    """
    failure: ResourceError | console.Stopped | None = None
    best.stop.gently = True
    try:
        one_cycle(learner, rate, epochs, best)
    except Diverged as diverged:
        failure = ResourceError(f"{diverged}; try a smaller --lr")
    if best.stop.signal_number is not None:
        failure = console.Stopped(best.stop.signal_number)
    if failure is not None and best.best_weights is None:
        raise failure
    learner.model.set_weights(best.best_weights)
    return failure


@contextmanager
def scratch() -> Iterator[None]:
    """Have temporary files in a folder that is removed afterwards: ktrain never removes its own."""
    before = tempfile.tempdir
    with temporary.folder() as folder:
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before


def predict_logits(model: Any, data: TransformerDataset, label: str) -> np.ndarray:
    """(rows, labels) float32 answers in the order of `data`, those of windows not pooled.

    They come in batches by length, with a progress bar where it takes long.
    """
    if data.fixed_length is not None:
        return model.predict(data.to_tfdataset(train=False), verbose=0).logits[: data.nsamples()].astype(np.float32)
    step = _predict_step(model)

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        features = {"input_ids": tf.constant(ids), "attention_mask": tf.constant(mask)}
        if data.use_token_type_ids:
            features["token_type_ids"] = tf.zeros_like(features["input_ids"])
        return step(features).numpy()

    units = model.config.num_labels
    return batching.predict([data.encoded], data.nsamples(), units, forward, TOKENS_PER_PREDICTED_BATCH, label)


def first_token_states(
    model: Any, data: TransformerDataset, rows: np.ndarray, device: str, label: str = "probing the encoder"
) -> np.ndarray:
    """(rows, hidden) float32: the encoder's last state of the first token of the given rows' texts, which the head reads."""
    name = f"halfbert_states_step_{device}"
    if not hasattr(model, name):
        setattr(model, name, _states_step(model, device))  # traced once a model
    step = getattr(model, name)

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return step(tf.constant(ids), tf.constant(mask)).numpy()

    units, tokens = model.config.hidden_size, TOKENS_PER_PREDICTED_BATCH
    return batching.predict([data.encoded.take(rows)], len(rows), units, forward, tokens, label)


def first_states(model: Any, device: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """From (B, L) int32 ids and mask to (B, hidden) float32 first-token states, without dropout."""
    if device == "cpu" and keras_forward.supports(model):
        return lambda ids, mask: keras_forward.first_token_states(keras_forward.describe(model), ids, mask, False)
    encoder = model.bert if model.config.model_type == "bert" else model.distilbert
    return lambda ids, mask: tf.cast(encoder(ids, attention_mask=mask, training=False)[0][:, 0], tf.float32)


def _states_step(model: Any, device: str) -> Callable:
    """`first_states` as one graph for all shapes."""
    shape = tf.TensorSpec([None, None], tf.int32)
    return tf.function(first_states(model, device), input_signature=[shape, shape], autograph=False)


def _predict_step(model: Any) -> Callable:
    """The model's forward pass as one graph for all shapes; traced once a model."""
    if not hasattr(model, "halfbert_predict_step"):
        shapes = {name: tf.TensorSpec([None, None], tf.int32) for name in _feature_names(model)}
        step = tf.function(lambda features: model.halfbert_forward(features, training=False), input_signature=[shapes])
        model.halfbert_predict_step = step
    return model.halfbert_predict_step


def _feature_names(model: Any) -> list[str]:
    token_types = ["token_type_ids"] if model.config.model_type == "bert" else []
    return ["input_ids", "attention_mask", *token_types]


class BestEpoch(tf.keras.callbacks.Callback):
    """After each epoch: one pass over validation, the best weights kept, a line on the console. Between batches: guards.

    Parameters
    ----------
    validation: encoded validation texts.
    score: from the (rows, labels) logits of these texts, or of their windows, to a dict with "val_loss" and the scores to be
        recorded.
    chosen_by: key of the score that decides which epoch is best; the larger is better. Epochs at most a standard error below
        the highest score are as good on so many rows: of those the last is kept, whose rate had fallen furthest (a
        one-standard-error rule, as Breiman et al. 1984 have for trees). With None, and where the score is None since it cannot
        be measured, the lowest val_loss decides.
    stop: set by a signal; training then ends at the next batch.
    keep: called with the epoch's number after each epoch, for --keep-epochs.
    watch: called with the scores of each epoch, for who decides meanwhile whether the fit is worth its time.
    saved: where the fit is saved, after each epoch and at times in between.
    """

    unit = "epoch"

    def __init__(
        self,
        validation: TransformerDataset,
        score: Callable[[Any], Numbers],
        chosen_by: str | None,
        epochs: int,
        stop: console.StopRequest,
        early_stopping: bool = False,
        keep: Callable[[int], None] | None = None,
        watch: Callable[[Numbers], object] | None = None,
        saved: resuming.SavedFit | None = None,
    ):
        super().__init__()
        self.validation, self.score, self.chosen_by, self.epochs = validation, score, chosen_by, epochs
        self.stop, self.early_stopping, self.keep, self.watch, self.saved = stop, early_stopping, keep, watch, saved
        self.rows: list[Numbers] = []
        self.best_epoch: int | None = None
        self.best_weights: list[np.ndarray] | None = None
        self.best_logits: Any = None  # (validation rows, labels)
        self.step_ends: list[list[float]] = []  # perf_counter after each batch, by epoch
        self.learning_rates: list[float] = []  # of each step
        self.momenta: list[float] = []
        self.losses: list[dict[str, float]] = []  # of the steps of this epoch
        self.seconds = 0.0  # that this epoch took before the fit was resumed
        self.ended = False  # by early stopping

    def progress(self) -> dict[str, Any]:
        """What `restore` needs between two steps, as plain JSON."""
        kept = {name: getattr(self, name) for name in PROGRESS}
        within = len(self.losses) > 0
        return {**kept, "seconds": time.perf_counter() - self.started if within else 0.0}

    def restore(self, progress: dict[str, Any]) -> None:
        """Take over the `progress` and the (validation rows, labels) "best_logits" that were saved."""
        for name in (*PROGRESS, "seconds", "best_logits"):
            setattr(self, name, progress[name])
        if self.losses:
            del self.step_ends[-1]  # of another process' clock

    @property
    def is_best_now(self) -> bool:
        """Whether the model has the best epoch's weights: between that and the next step."""
        return self.best_epoch == len(self.rows) and not self.losses

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.started = time.perf_counter() - self.seconds
        self.step_ends.append([])
        steps = self.params["steps"]
        self.bar = console.progress(range(steps), steps, f"{self.unit} {epoch + 1}/{self.epochs}")
        for _ in self.losses:  # of the steps before the fit was resumed
            next(self.bar, None)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.saved and self.losses:
            self.saved.save_if_due(self.model, self)
        self.learning_rates.append(float(self.model.optimizer.lr.numpy()))
        self.momenta.append(float(self.model.optimizer.beta_1.numpy()))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step_ends[-1].append(time.perf_counter())
        loss = float(logs["loss"])  # of this batch alone
        if not math.isfinite(loss):
            raise Diverged(f"the training loss became {loss} at batch {batch + 1}")
        self.losses.append({name: float(value) for name, value in logs.items()})
        next(self.bar, None)
        pace.tell(self.step_ends, self.params["steps"], self.epochs)
        if self.stop.signal_number is not None:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        next(self.bar, None)
        if len(self.losses) < self.params["steps"]:  # an epoch that was cut short by a signal is none
            if self.saved and self.saved.save(self.model, self):
                console.say(
                    f"{self.saved.run.folder}: the state after step {len(self.learning_rates):,}; --resume continues from it"
                )
            return
        if not all(np.isfinite(weights).all() for weights in self.model.get_weights()):
            raise Diverged(f"weights became NaN or infinite in epoch {epoch + 1}")  # a loss need not show it
        logits = self.validate()
        scores = self.score(logits)
        means = {f"train_{name}": float(np.mean([losses[name] for losses in self.losses])) for name in self.losses[0]}
        row: Numbers = {"epoch": epoch + 1, **means, **scores}
        if not math.isfinite(loss := scores["val_loss"] or 0.0):
            raise Diverged(f"the validation loss became {loss} after epoch {epoch + 1}")
        if not self.rows and self.chosen_by and scores[self.chosen_by] is None:
            console.say(
                f"{readable(self.chosen_by[4:])} is not measurable on these validation rows: every label stands on all of them "
                f"or on none; the epoch of the lowest validation loss is kept"
            )
        self.rows.append(row)
        if self._is_best(row):
            self.best_epoch, self.best_weights, self.best_logits = epoch + 1, self.model.get_weights(), logits
        if self.keep:
            self.keep(epoch + 1)
        row["seconds"] = time.perf_counter() - self.started
        self._report(row)
        if self.watch:
            self.watch(row)
        self.losses, self.seconds = [], 0.0
        if self.early_stopping and len(self.rows) > 1 and self._rank(row) <= max(map(self._rank, self.rows[:-1])):
            self.model.stop_training = self.ended = True
        if self.saved:
            self.saved.save_after_epoch(self.model, self)

    @property
    def history(self) -> History:
        """What the complete epochs left; there must be one."""
        assert self.best_epoch is not None
        resumed_at = self.saved.resumed_at if self.saved else []
        return History(self.rows, self.best_epoch, self.learning_rates, self.momenta, self.step_ends, resumed_at)

    def validate(self) -> Any:
        """The answers to the validation texts, as `score` takes them."""
        return workers.of_chief(self.model, predict_logits(self.model, self.validation, "validation"))

    def _is_best(self, row: Numbers) -> bool:
        if self.best_epoch is None:
            return True
        scores = [earlier[self.chosen_by] for earlier in self.rows] if self.chosen_by else [None]
        if any(score is None for score in scores):
            return (row["val_loss"] or 0.0) < (self.rows[self.best_epoch - 1]["val_loss"] or 0.0)
        highest = max(score or 0.0 for score in scores)
        return (scores[-1] or 0.0) >= highest - standard_error(highest, len(self.validation.encoded.full_lengths))

    def _rank(self, row: Numbers) -> tuple[float, float]:
        """By the score alone, and by the loss where that is equal or not measured."""
        score = row[self.chosen_by] if self.chosen_by else None
        return (0.0 if score is None else score, -(row["val_loss"] or 0.0))

    def _report(self, row: Numbers) -> None:
        known = {readable(key[4:]): "–" if row[key] is None else f"{row[key]:.3f}" for key in row if key.startswith("val_")}
        scores = ", ".join(f"{name} {score}" for name, score in known.items())
        mark = "  (kept)" if row["epoch"] == self.best_epoch else ""
        console.say(
            f"epoch {row['epoch']}/{self.epochs}: train loss {row['train_loss']:.3f}; validation {scores}; "
            f"{row['seconds']:.0f} s{mark}"
        )

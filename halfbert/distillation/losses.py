"""What a student learns from its teacher (Hinton et al. 2015, arXiv:1503.02531; Sanh et al. 2019, arXiv:1910.01108).

The loss of a row is a weighted sum of three:

- `soft`: the Kullback-Leibler divergence of the student's prediction from the teacher's, both at a temperature T, times T²;
- `supervised`: the cross-entropy with the row's label; 0 for a row without one;
- `cosine`: the cosine loss between their final hidden states of the first token. The paper takes the states of all tokens;
  here the head reads no other, and a training step on a CPU computes no other.

Shapes: B rows of a batch, L labels, h hidden units. Import after `tensorflow_setup.prepare`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from halfbert.distillation.teacher import Predictions
from halfbert.models import batching
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.ktrain_data import TransformerDataset
from halfbert.models.long_texts import CUT, WINDOWS
from halfbert.options import DistillOptions
from halfbert.system.console import say
from halfbert.system.errors import InputError
from halfbert.training import fit as training


def soft_loss(student: tf.Tensor, teacher: tf.Tensor, temperature: float, multilabel: bool = False) -> tf.Tensor:
    """(B,) divergences in nats, times T², of (B, L) logits; with many labels the mean over them of each one's.

    T² keeps the gradients as large as those of the supervised loss whatever T is (Hinton et al. 2015, section 2.1).
    """
    student, teacher = student / temperature, teacher / temperature
    if multilabel:
        has = tf.sigmoid(teacher) * (tf.math.log_sigmoid(teacher) - tf.math.log_sigmoid(student))
        lacks = tf.sigmoid(-teacher) * (tf.math.log_sigmoid(-teacher) - tf.math.log_sigmoid(-student))
        return temperature**2 * tf.reduce_mean(has + lacks, axis=-1)
    differences = tf.nn.log_softmax(teacher) - tf.nn.log_softmax(student)
    return temperature**2 * tf.reduce_sum(tf.nn.softmax(teacher) * differences, axis=-1)


def supervised_loss(logits: tf.Tensor, labels: tf.Tensor, multilabel: bool = False) -> tf.Tensor:
    """(B,) cross-entropies in nats with (B, L) labels, one-hot; with many labels the mean over them of each one's."""
    if multilabel:
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=-1)
    return tf.nn.softmax_cross_entropy_with_logits(labels, logits)


def cosine_loss(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """(B,) from 0, of one direction, to 2, for (B, h) states."""
    return 1.0 - tf.reduce_sum(tf.math.l2_normalize(student, -1) * tf.math.l2_normalize(teacher, -1), axis=-1)


def training_set(
    labelled: TransformerDataset, unlabelled: batching.EncodedTexts, predictions: Predictions
) -> TransformerDataset:
    """The rows that the student learns from, labelled ones first; `predictions` are the teacher's, of the texts in that order.

    A row's target is its labels (L), 1 if they are known (1), the teacher's logits (L) and its state (h); a window has those
    of its text.
    """
    encoded = labelled.encoded.followed_by(unlabelled)
    of_row = encoded.text_of_row()
    labels = np.zeros((len(of_row), labelled.y.shape[1]), np.float32)
    known = np.zeros((len(labels), 1), np.float32)
    labels[: len(labelled.y)], known[: len(labelled.y)] = labelled.y, 1
    targets = np.hstack([labels, known, predictions.logits[of_row], predictions.states[of_row]])
    return TransformerDataset(encoded, targets, labelled.use_token_type_ids)


def objective(task: str, device: str, labels: int, weights: dict[str, float], temperature: float) -> training.Objective:
    """What the student minimises on rows of a `training_set`: the weighted sum of the losses whose weight is not 0.

    Each part is a mean over all rows of the batch, those without a label included.
    """
    multilabel = task == "multilabel"

    def parts(model: Any, features: dict, targets: tf.Tensor, row_weights: tf.Tensor | None) -> dict[str, tf.Tensor]:
        states, logits = training.states_and_logits(model, device)(features, training=True)
        truth, known, teacher, state = tf.split(targets, [labels, 1, labels, targets.shape[1] - 2 * labels - 1], axis=1)

        def mean(losses: tf.Tensor) -> tf.Tensor:
            if row_weights is not None:  # 0 for rows that only fill a batch
                losses *= row_weights
            # As Keras scales its losses: the gradients of the replicas are summed.
            return tf.reduce_mean(losses) / tf.distribute.get_strategy().num_replicas_in_sync

        losses = {
            "soft": lambda: mean(soft_loss(logits, teacher, temperature, multilabel)),
            "supervised": lambda: mean(supervised_loss(logits, truth, multilabel) * known[:, 0]),
            "cosine": lambda: mean(cosine_loss(states, state)),
        }
        return weighted(losses, weights)

    return parts


def weighted(losses: dict[str, Callable[[], tf.Tensor]], weights: dict[str, float]) -> dict[str, tf.Tensor]:
    """The parts of a batch's loss that have a weight, and "loss", their weighted sum."""
    parts = {name: losses[name]() for name, weight in weights.items() if weight}
    return {"loss": tf.add_n([weights[name] * part for name, part in parts.items()]), **parts}


def weights_of(options: DistillOptions) -> dict[str, float]:
    """The weight of each part of the loss, by the options."""
    return {part: getattr(options, f"weight_{part}") for part in ("soft", "supervised", "cosine")}


def applicable_weights(
    options: DistillOptions, checkpoint: Checkpoint, predictions: Predictions, teacher_long: str = CUT
) -> dict[str, float]:
    """`weights_of` without the cosine part if the states differ in width, as there is no angle between them, or are windows'.

    Raises InputError if nothing is left to learn from the teacher.
    """
    weights = weights_of(options)
    config, width = checkpoint.config, predictions.states.shape[1]
    own = config.get("hidden_size") or config["dim"]
    if weights["cosine"] and own != width:
        say(f"the student's hidden states have {own} units, the teacher's {width}: the cosine loss is left out")
        weights["cosine"] = 0.0
    if weights["cosine"] and WINDOWS in (options.long, teacher_long):
        say("a window's hidden state is not its text's: the cosine loss is left out")
        weights["cosine"] = 0.0
    if not weights["soft"] and not weights["cosine"]:
        raise InputError(
            "--weight-soft 0: leaves nothing to learn from the teacher, as hidden states of different widths, or of windows, "
            "cannot be compared"
        )
    return weights

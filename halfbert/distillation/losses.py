"""A smaller model taught by a larger one (Hinton et al. 2015, arXiv:1503.02531; Sanh et al. 2019, arXiv:1910.01108).

The loss of a row is a weighted sum of three:

- `soft`: the Kullback-Leibler divergence of the student's answer from the teacher's, both at a temperature T, times T²;
- `supervised`: the cross-entropy with the row's label; 0 for a row without one;
- `cosine`: one minus the cosine of the two last hidden states of the first token. The paper takes the states of all tokens;
  here the head reads no other, and a training step on a CPU computes no other.

Shapes: B rows of a batch, L labels, h hidden units. Import after `tensorflow_setup.prepare`.
"""

from dataclasses import asdict

import numpy as np
import tensorflow as tf

from halfbert.distillation.teacher import Answers, Teacher
from halfbert.models import batching
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.ktrain_data import TransformerDataset
from halfbert.output import text as report
from halfbert.scoring import intervals as statistics
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system.console import say
from halfbert.system.errors import InputError
from halfbert.training import fit as training
from halfbert.training import tasks


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


def taught(labelled: TransformerDataset, unlabelled: batching.EncodedTexts, answers: Answers) -> TransformerDataset:
    """The rows that the student learns from, labelled ones first, with the teacher's answers to them, in that order.

    A row's target is its labels (L), 1 if they are known (1), the teacher's logits (L) and its state (h).
    """
    labels = np.zeros((len(answers.logits), labelled.y.shape[1]), np.float32)
    known = np.zeros((len(labels), 1), np.float32)
    labels[: len(labelled.y)], known[: len(labelled.y)] = labelled.y, 1
    targets = np.hstack([labels, known, answers.logits, answers.states])
    return TransformerDataset(labelled.encoded.followed_by(unlabelled), targets, labelled.use_token_type_ids)


def objective(task: str, device: str, labels: int, weights: dict[str, float], temperature: float) -> training.Objective:
    """What the student minimises on rows as `taught` makes them: the weighted sum of the losses whose weight is not 0.

    Each part is a mean over all rows of the batch, those without a label included.
    """
    multilabel = task == "multilabel"

    def parts(model, features, targets, row_weights):
        states, logits = training.states_and_logits(model, device)(features, training=True)
        truth, known, teacher, state = tf.split(targets, [labels, 1, labels, targets.shape[1] - 2 * labels - 1], axis=1)
        losses = {
            "soft": lambda: soft_loss(logits, teacher, temperature, multilabel),
            "supervised": lambda: supervised_loss(logits, truth, multilabel) * known[:, 0],
            "cosine": lambda: cosine_loss(states, state),
        }
        return weighted({name: _mean(losses[name](), row_weights) for name, weight in weights.items() if weight}, weights)

    return parts


def weighted(parts: dict[str, tf.Tensor], weights: dict[str, float]) -> dict[str, tf.Tensor]:
    """The parts of a batch's loss, and "loss", their weighted sum."""
    return {"loss": tf.add_n([weights[name] * part for name, part in parts.items()]), **parts}


def _mean(losses: tf.Tensor, row_weights: tf.Tensor | None) -> tf.Tensor:
    if row_weights is not None:  # 0 for rows that only fill a batch
        losses *= row_weights
    # As Keras scales its losses: the gradients of the replicas are summed.
    return tf.reduce_mean(losses) / tf.distribute.get_strategy().num_replicas_in_sync


def weights_in_force(options, checkpoint: Checkpoint, answers: Answers) -> dict[str, float]:
    """The weight of each part of the loss. Between states of different widths there is no angle, so that part is left out.

    Raises InputError where nothing of the teacher is left.
    """
    weights = {"soft": options.weight_soft, "supervised": options.weight_supervised, "cosine": options.weight_cosine}
    config, width = checkpoint.config, answers.states.shape[1]
    own = config.get("hidden_size") or config["dim"]
    if weights["cosine"] and own != width:
        say(f"the student's states have {own} units, the teacher's {width}: the cosine part of the loss is left out")
        weights["cosine"] = 0.0
    if not weights["soft"] and not weights["cosine"]:
        raise InputError("--weight-soft 0: then the teacher teaches nothing, as states of different widths do not compare")
    return weights


def account(teacher: Teacher, options, weights: dict[str, float], engine: str, unlabelled: dict | None) -> dict:
    """What the record says of a distillation; tests of teacher and control are added when they are made."""
    predictor = teacher.predictor
    known = {"name": teacher.name, "checkpoint": teacher.checkpoint, "weights_sha256": predictor.weights_sha256}
    return {
        "teacher": {**known, "engine": engine, "test": None},
        "weights": weights,
        "temperature": options.temperature,
        "unlabelled": unlabelled,
        "layers": options.layers,
        "control": None,
        "worth": None,
    }


def test_teacher(run, teacher: Teacher, truth: dict[str, np.ndarray], logits: np.ndarray) -> None:
    """Score the teacher's answers to the test rows, for the record."""
    probabilities = probabilities_of(logits, run.task)
    scores = tasks.scores(run.task, truth, probabilities, teacher.predictor.manifest.thresholds, run.data.labels)
    run.distillation["teacher"]["test"] = report.card_scores(scores)


def test_control(run, model, best: training.BestEpoch, truth: dict[str, np.ndarray], test: TransformerDataset) -> None:
    """Test the control's best epoch, and compare the student with it, for the record."""
    model.set_weights(best.best_weights)
    probabilities = probabilities_of(training.predict_logits(model, test, "testing the control"), run.task)
    thresholds = tasks.thresholds(run.task, truth["val"], best.best_logits, run.options.threshold)
    scores = tasks.scores(run.task, truth, probabilities, thresholds, run.data.labels)
    student = tasks.answers(run.task, run.probabilities, run.thresholds)
    control = tasks.answers(run.task, probabilities, thresholds)
    run.distillation["worth"] = worth(run.task, truth["test"], student, control)
    run.distillation["control"] = {"epochs": best.rows, "best_epoch": best.best_epoch, "test": report.card_scores(scores)}


def worth(task: str, truth: np.ndarray, student: np.ndarray, control: np.ndarray) -> dict[str, dict]:
    """By how much the student's scores exceed its control's: `statistics.paired_bootstrap` by score.

    Truth and both answers: bool, (test rows, L).
    """
    truth = truth.astype(bool)
    return {
        name: asdict(statistics.paired_bootstrap(score, truth, [student], [control]))
        for name, score in statistics.COMPARED[task].items()
    }

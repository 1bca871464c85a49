"""Fitting a student to its teacher's sentence embeddings: its first token learns what the teacher says of the whole text.

BERT's and DistilBERT's classifiers read the first token, and a sentence encoder was trained for the mean of its tokens: its
first token says little. The loss of a batch is a weighted sum of

- `first`: 1 less the cosine of the student's first-token state and the teacher's embedding, on average;
- `mean`: the same for the mean of the student's own last states. It is left out unless a weight is given: without it, the last
  layer computes nothing but first tokens, and after as many minutes these are as close to the teacher;
- `similarity`: the mean squared difference of the cosines of every two texts of the batch, between first-token states and
  between the teacher's embeddings (Tung and Mori 2019, similarity-preserving distillation, arXiv:1907.09682).

Embeddings of words and positions are not trained, and nothing is dropped out. After every round, some hundred steps, the fit
is saved: a killed run resumes after the last one.

Shapes: B texts, L tokens of the longest of them, h hidden units. Import after `tensorflow_setup.prepare`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import transformers

from halfbert.data.phrases import counted
from halfbert.distillation import losses
from halfbert.distillation.corpus import Corpus
from halfbert.distillation.sentence_teacher import last_states, mean_embedding
from halfbert.models import batching
from halfbert.models.ktrain_data import TransformerDataset
from halfbert.options import DistillOptions
from halfbert.predictor.manifest import Numbers
from halfbert.system.console import Stopped, StopRequest, say
from halfbert.system.errors import ResourceError
from halfbert.training import fit as training
from halfbert.training import head
from halfbert.training.optimizer import Adam
from halfbert.training.resuming import SavedFit

ROUND_TOKENS = 1_000_000  # between two looks at the held-out texts
BATCHES_SORTED_TOGETHER = 50
MOST_HELD_OUT, SIMILAR_TEXTS = 4096, 128  # texts that are looked at, and those of which every two are compared
HELD_OUT_TOKENS = 4096  # of a batch
FOLDS = 5  # of the probe's cross-validation


@dataclass(frozen=True)
class Fit:
    """The student after its best round, and what the record holds; `failure` is what ended the fit early."""

    student: Any
    rounds: list[Numbers]
    best_round: int
    start: Numbers  # the scores before the first step
    tokens: int
    steps: int
    failure: ResourceError | Stopped | None


@dataclass(frozen=True)
class Probe:
    """Encoded texts and their (texts, labels) one-hot labels, on which a linear probe of the first token is cross-validated."""

    encoded: batching.EncodedTexts
    truth: np.ndarray

    def accuracy(self, model: Any, device: str) -> float:
        """Of logistic regressions on frozen first-token states, each tested on a fold that it was not fitted on."""
        data = TransformerDataset(self.encoded, self.truth, use_token_type_ids=False)
        states = training.first_token_states(model, data, np.arange(len(self.truth)), device, label="probing")
        fold = np.random.default_rng(0).permutation(len(states)) % FOLDS
        right = np.zeros(len(states), bool)
        for held_out in range(FOLDS):
            fitted, tested = fold != held_out, fold == held_out
            centre, spread = states[fitted].mean(axis=0), states[fitted].std()
            weights, bias = head.regression((states[fitted] - centre) / spread, self.truth[fitted], multilabel=False)
            answers = (states[tested] - centre) / spread @ weights + bias
            right[tested] = answers.argmax(axis=1) == self.truth[tested].argmax(axis=1)
        return float(right.mean())


def fit(
    options: DistillOptions, stop: StopRequest, device: str, start: Path, corpus: Corpus, probe: Probe, saved: SavedFit
) -> Fit:
    """Fit the student in the checkpoint folder `start`; the round of the lowest loss on held-out texts is kept.

    The fit goes on from the state that is `saved`. Raises what ended it early if no round was complete.
    """
    student = _load(options, start)
    data = Batches(
        corpus, options.batch_tokens, options.tokens or corpus.tokens, options.seed, pad_to=8 if device == "gpu" else 1
    )
    objective, optimizer = _objective(device, weights_of(options)), Adam(weight_decay=options.weight_decay)
    training.compile_model(student, device, objective=objective, optimizer=optimizer)
    rounds = _Rounds(options, stop, device, corpus, probe, data, saved)
    if saved.progress is None:
        rounds.set_model(student)
        rounds.start = rounds.validate()
        say(f"before the first step, {describe(rounds.start)}")
    total, rate = data.rounds * data.steps, options.lr
    assert rate is not None  # DistillOptions has filled it in
    say(
        f"training, {counted(total, 'step')}: "
        f"{sum(math.prod(each.shape) for each in student.trainable_variables) / 1e6:.1f} M parameters on the {device}, "
        f"batches of {options.batch_tokens:,} tokens, one-cycle to {rate:.2g}"
    )
    learner = training.get_learner(student, train_data=data, batch_size=1)
    failure = training.fit_best(learner, rate, data.rounds, rounds)
    best = rounds.best_epoch or 0
    return Fit(student, rounds.rows, best, rounds.start, best * data.round_tokens, best * data.steps, failure)


def weights_of(options: DistillOptions) -> dict[str, float]:
    """The weight of each part of the loss, by the options."""
    return {part: getattr(options, f"weight_{part}") for part in ("first", "mean", "similarity")}


def _load(options: DistillOptions, folder: Path) -> Any:
    """The student, of which only the layers to be taught are trainable."""
    bert = options.model == "bert"
    kind = transformers.TFBertForSequenceClassification if bert else transformers.TFDistilBertForSequenceClassification
    student = kind.from_pretrained(folder, num_labels=2, local_files_only=True)
    encoder = student.bert if bert else student.distilbert
    layers = encoder.encoder.layer if bert else encoder.transformer.layer
    for part in [encoder.embeddings, student.classifier, encoder.pooler if bert else student.pre_classifier]:
        part.trainable = False
    for layer in layers[: len(layers) - (options.trained_layers or len(layers))]:
        layer.trainable = False
    return student


class Batches(TransformerDataset):
    """Texts of like length with their teacher's embeddings, some thousand tokens a batch, read from disk batch by batch.

    All batches are laid out beforehand, in as many passes over the texts as `tokens` take, so that a fit can be continued at
    any of them. An epoch to ktrain is one of `rounds` rounds of `steps` batches.
    """

    def __init__(self, corpus: Corpus, batch_tokens: int, tokens: int, seed: int, pad_to: int):
        super().__init__(corpus.encoded, np.empty((0, 1)), use_token_type_ids=False)
        self.corpus, self.pad_to = corpus, pad_to
        rng = np.random.default_rng(seed)
        passes = tokens / corpus.tokens
        batches = [rows for _ in range(math.ceil(passes)) for rows in self._pass(batch_tokens, rng)]
        self.batches = batches[: max(1, round(len(batches) * passes / math.ceil(passes)))]
        self.rounds = max(1, min(len(self.batches), round(tokens / ROUND_TOKENS)))
        self.steps = len(self.batches) // self.rounds
        self.round_tokens = tokens // self.rounds

    def _pass(self, batch_tokens: int, rng: np.random.Generator) -> list[np.ndarray]:
        lengths = self.encoded.lengths
        order = rng.permutation(np.flatnonzero(~self.corpus.held_out))
        run = max(1, int(BATCHES_SORTED_TOGETHER * batch_tokens / lengths[order].mean()))
        batches = []
        for start in range(0, len(order), run):
            rows = order[start : start + run]
            rows = rows[np.argsort(-lengths[rows], kind="stable")]
            while len(rows):
                taken = max(2, batch_tokens // int(lengths[rows[0]]))  # two at least, whose similarity is compared
                batches.append(np.sort(rows[:taken]))
                rows = rows[taken:]
        return [batches[number] for number in rng.permutation(len(batches))]

    def nsamples(self) -> int:
        return self.steps

    def __len__(self) -> int:
        return self.steps

    def to_tfdataset(self, train: bool = True) -> tf.data.Dataset:
        """({input_ids, attention_mask}: (B, L) int32, embeddings (B, h) float32), from `first_step` on."""
        ids = tf.TensorSpec([None, None], tf.int32)
        embeddings = tf.TensorSpec([None, self.corpus.embeddings.shape[1]], tf.float32)
        signature = ({"input_ids": ids, "attention_mask": ids}, embeddings)
        options = tf.data.Options()
        options.autotune.enabled = False  # as TransformerDataset says
        return tf.data.Dataset.from_generator(self._read, output_signature=signature).prefetch(4).with_options(options)

    def _read(self) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        for rows in self.batches[self.first_step :]:
            ids, mask = self.encoded.padded(rows)
            more = -ids.shape[1] % self.pad_to
            features = {"input_ids": np.pad(ids, ((0, 0), (0, more))), "attention_mask": np.pad(mask, ((0, 0), (0, more)))}
            yield features, self.corpus.embeddings[rows].astype(np.float32)


def _objective(device: str, weights: dict[str, float]) -> training.Objective:
    def parts(model: Any, features: dict, embeddings: tf.Tensor, row_weights: tf.Tensor | None) -> dict[str, tf.Tensor]:
        ids, mask = features["input_ids"], features["attention_mask"]
        if weights["mean"]:
            states = last_states(model, device)(ids, mask)
            first = states[:, 0]
        else:  # a training step on a CPU then computes nothing else in the last layer
            first = training.first_states(model, device)(ids, mask)
        first = tf.math.l2_normalize(first, -1)
        alike = [tf.matmul(vectors, vectors, transpose_b=True) for vectors in (first, embeddings)]
        each = {
            "first": lambda: 1.0 - tf.reduce_mean(tf.reduce_sum(first * embeddings, -1)),
            "mean": lambda: 1.0 - tf.reduce_mean(tf.reduce_sum(mean_embedding(states, mask) * embeddings, -1)),
            "similarity": lambda: tf.reduce_mean(tf.square(alike[0] - alike[1])),
        }
        return losses.weighted(each, weights)

    return parts


class _Rounds(training.BestEpoch):
    """After each round: the loss on held-out texts and the probe."""

    unit = "round"

    def __init__(
        self,
        options: DistillOptions,
        stop: StopRequest,
        device: str,
        corpus: Corpus,
        probe: Probe,
        data: Batches,
        saved: SavedFit,
    ):
        rows = np.flatnonzero(corpus.held_out)[:MOST_HELD_OUT]
        self.held_out, self.embeddings = corpus.encoded.take(rows), corpus.embeddings[rows].astype(np.float32)
        validation = TransformerDataset(self.held_out, self.embeddings, use_token_type_ids=False)
        super().__init__(validation, lambda found: found, None, data.rounds, stop, saved=saved)
        self.weights = weights_of(options)
        self.device, self.probe, self.data = device, probe, data
        self.start: Numbers = {}

    def validate(self) -> Numbers:
        """The parts of the loss on the held-out texts, their weighted sum and the probe's accuracy."""
        if not hasattr(self.model, "halfbert_sentences"):
            self.model.halfbert_sentences = _vectors(self.model, self.device)
        vectors, units = self.model.halfbert_sentences, 2 * self.embeddings.shape[1]
        found = batching.predict([self.held_out], len(self.embeddings), units, vectors, HELD_OUT_TOKENS, None)
        first, mean = np.split(found, 2, axis=1)
        groups = [slice(start, start + SIMILAR_TEXTS) for start in range(0, len(first), SIMILAR_TEXTS)]
        differences = [first[each] @ first[each].T - self.embeddings[each] @ self.embeddings[each].T for each in groups]
        parts = {
            "first": 1.0 - float(np.sum(first * self.embeddings, axis=1).mean()),
            "mean": 1.0 - float(np.sum(mean * self.embeddings, axis=1).mean()),
            "similarity": float(np.mean([np.mean(np.square(each)) for each in differences])),
        }
        loss = sum(self.weights[part] * value for part, value in parts.items())
        accuracy = self.probe.accuracy(self.model, self.device)
        return {"val_loss": loss, **{f"val_{part}": value for part, value in parts.items()}, "val_probe_accuracy": accuracy}

    def _report(self, row: Numbers) -> None:
        tokens = int(row["epoch"] or 0) * self.data.round_tokens
        row["tokens"] = tokens
        say(f"{tokens / 1e6:.1f} M tokens, train loss {row['train_loss']:.4f}; {describe(row)}; {row['seconds']:.0f} s")

    def progress(self) -> dict[str, Any]:
        return {**super().progress(), "start": self.start}

    def restore(self, progress: dict[str, Any]) -> None:
        super().restore(progress)
        self.start = progress["start"]


def describe(row: Numbers) -> str:
    """The scores of a round in words."""
    return (
        f"held-out texts: loss {row['val_loss']:.4f}, distance of the first token {row['val_first']:.4f}, of the mean "
        f"{row['val_mean']:.4f}, similarity {row['val_similarity']:.5f}; probe accuracy {row['val_probe_accuracy']:.3f}"
    )


def _vectors(model: Any, device: str) -> batching.Forward:
    """From (B, L) ids and mask to (B, 2h): first-token states and means of all tokens' states, each of length 1."""
    states_of, shape = last_states(model, device), tf.TensorSpec([None, None], tf.int32)

    @partial(tf.function, input_signature=[shape, shape], autograph=False)
    def vectors(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        states = states_of(ids, mask)
        return tf.concat([tf.math.l2_normalize(states[:, 0], -1), mean_embedding(states, mask)], axis=1)

    return lambda ids, mask: vectors(tf.constant(ids), tf.constant(mask)).numpy()

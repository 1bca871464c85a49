"""The sentence embeddings of a BERT checkpoint, by the fastest engine that agrees with Keras here.

An embedding is the mean of the last states of a text's tokens, divided by its length: what sentence encoders such as
all-MiniLM-L6-v2 are trained for (Reimers and Gurevych 2019, Sentence-BERT, arXiv:1908.10084). Import after
`tensorflow_setup.prepare`.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
import transformers

from halfbert.distillation.corpus import Embed
from halfbert.models import batching, keras_forward, onnx_graph
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.weights import read_checkpoint
from halfbert.predictor import engines
from halfbert.predictor.engines import onnx, onnx_int8
from halfbert.system.console import say

LEAST_COSINE = 0.99  # to Keras' embedding, on average
COMPARED_TEXTS = 512  # with which engines are compared and timed
REFERENCE = "keras"
REPEATS = 3  # the fastest of which counts: others share the machine


def choose(teacher: Checkpoint, tokenizer: Any, device: str, threads: int | None, texts: list[str]) -> tuple[str, Embed]:
    """The name of the fastest engine whose embeddings of some of the texts agree with those of Keras, and its function."""
    sample = texts[:: max(1, len(texts) // COMPARED_TEXTS)][:COMPARED_TEXTS]
    encoded, _ = batching.encode(tokenizer, sample, batching.LONGEST)
    made: dict[str, Embed] = {REFERENCE: _keras(teacher, device)}
    if device == "cpu" and engines.installed("onnx"):
        encoder = read_checkpoint(teacher.folder)
        if encoder.activation in onnx_graph.ACTIVATIONS:
            for name, bits in (("onnx", None), ("onnx-int8", onnx_int8.kernel_bits())):
                session = onnx.open_session(onnx_graph.write(encoder, bits, "embedding"), threads)
                made[name] = _embed(onnx.forward_of(session), teacher, engines.TOKENS_PER_BATCH)
    expected = made[REFERENCE](encoded)
    cosines = {name: float(np.sum(embed(encoded) * expected, axis=1).mean()) for name, embed in made.items()}
    seconds = {name: [_seconds(made[name], encoded) for _ in range(REPEATS)] for name in made}  # after a call that warmed up
    for name, each in seconds.items():
        say(
            f"teacher's embeddings by {name}: {len(sample) / min(each):,.0f} texts/s, mean cosine to {REFERENCE}'s "
            f"{cosines[name]:.4f}"
        )
    fastest = min((name for name in made if cosines[name] >= LEAST_COSINE), key=lambda name: min(seconds[name]))
    return fastest, made[fastest]


def _seconds(embed: Embed, encoded: batching.EncodedTexts) -> float:
    started = time.perf_counter()
    embed(encoded)
    return time.perf_counter() - started


def _embed(forward: batching.Forward, teacher: Checkpoint, tokens: int) -> Embed:
    units = teacher.config["hidden_size"]
    return lambda encoded: batching.predict([encoded], len(encoded.lengths), units, forward, tokens, None)


def _keras(teacher: Checkpoint, device: str) -> Embed:
    model = transformers.TFBertForSequenceClassification.from_pretrained(teacher.folder, num_labels=2, local_files_only=True)
    states = last_states(model, device)
    shape = tf.TensorSpec([None, None], tf.int32)

    @partial(tf.function, input_signature=[shape, shape], autograph=False)
    def embedded(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return mean_embedding(states(ids, mask), mask)

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return embedded(tf.constant(ids), tf.constant(mask)).numpy()

    return _embed(forward, teacher, engines.TOKENS_PER_BATCH if device == "cpu" else engines.TOKENS_PER_GPU_BATCH)


def last_states(model: Any, device: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """From (B, L) ids and mask to (B, L, h) float32 last states of a sequence classifier's encoder, without dropout."""
    if device == "cpu" and keras_forward.supports(model):
        return lambda ids, mask: keras_forward.last_states(keras_forward.describe(model), ids, mask, False)
    encoder = model.bert if model.config.model_type == "bert" else model.distilbert
    return lambda ids, mask: tf.cast(encoder(ids, attention_mask=mask, training=False)[0], tf.float32)


def mean_embedding(states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """(B, h) means of (B, L, h) states over the tokens of a text, divided by their length."""
    return tf.math.l2_normalize(tf.linalg.matvec(states, tf.cast(mask, tf.float32), transpose_a=True), -1)

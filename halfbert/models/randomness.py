"""Random numbers that depend on a run's seed, the step and the place within it, and on nothing that a process keeps.

TensorFlow's plain random operations count their calls inside the process, out of reach: a fit that was killed could not draw
the same numbers again. Import after `tensorflow_setup.prepare`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

MOST_DRAWS = 4096  # of a step
MOST_SEEDS = 2**32


class _Current(threading.local):
    """The step that is being traced: its seed and number, and how often it has drawn; each replica is traced in a thread."""

    step: tf.Tensor | None = None
    seed = 0
    draws = 0


_current = _Current()


@contextmanager
def of_step(seed: int, step: tf.Tensor) -> Iterator[None]:
    """Have `next_seed` be that of a training step while the block traces it; `step` is a scalar int64."""
    replica = tf.distribute.get_replica_context()
    number = replica.replica_id_in_sync_group if replica else 0
    _current.step, _current.draws = tf.convert_to_tensor(step), 0
    _current.seed = tf.cast(number, tf.int64) * MOST_SEEDS + seed
    try:
        yield
    finally:
        _current.step = None


def next_seed() -> tf.Tensor:
    """(2,) integers for a stateless operation, others at each call; outside a step of TensorFlow's own generator."""
    if _current.step is None:
        return tf.random.uniform([2], maxval=2**31 - 3, dtype=tf.int32)
    _current.draws += 1
    assert _current.draws < MOST_DRAWS
    return tf.stack([_current.seed, _current.step * MOST_DRAWS + _current.draws])


def make_dropout_stateless(model: Any) -> None:
    """Have the model's own dropout layers draw by `next_seed`."""
    for layer in model.submodules:
        if isinstance(layer, tf.keras.layers.Dropout):
            layer._random_generator.dropout = _dropout


def _dropout(inputs: tf.Tensor, rate: float, noise_shape: Any = None) -> tf.Tensor:
    return tf.nn.experimental.stateless_dropout(inputs, rate, next_seed(), noise_shape=noise_shape)

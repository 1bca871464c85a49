"""What several processes that train together agree on, and how one ends that has lost another.

Import after `tensorflow_setup.prepare`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from halfbert.system import cluster, tensorflow_setup


class WorkerLost(Exception):
    """Another of the processes that train together is gone."""


def of_chief(model: Any, values: np.ndarray) -> np.ndarray:
    """The values as the chief has them, so that all workers take the same epoch for the best and stop after the same one."""
    if cluster.here().count == 1:
        return values
    strategy = model.distribute_strategy

    def share(own: tf.Tensor) -> tf.Tensor:
        of_chief = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        return tf.where(of_chief, own, tf.zeros_like(own))

    shares = tf.function(lambda own: strategy.run(share, args=(own,)))(tf.constant(values))
    return strategy.reduce("SUM", shares, axis=None).numpy()


def start_alike(model: Any) -> None:
    """Give all workers the chief's weights: a head fitted on other hardware may differ in its last digits."""
    if cluster.here().count > 1:
        weights = model.get_weights()
        flat = of_chief(model, np.concatenate([each.ravel() for each in weights]))  # all at once: each shape would be traced
        parts = np.split(flat, np.cumsum([each.size for each in weights])[:-1])
        model.set_weights([part.reshape(each.shape) for part, each in zip(parts, weights, strict=True)])


@contextmanager
def losing_no_worker() -> Iterator[None]:
    """Raise WorkerLost for whichever error TensorFlow makes of a worker that is gone: that depends on who notices it first."""
    try:
        yield
    except tf.errors.OpError as error:
        if cluster.here().count == 1 or isinstance(error, tf.errors.ResourceExhaustedError):
            raise
        message = f"{cluster.here()}: another worker is gone ({tensorflow_setup.first_line(error)}); start all workers again"
        raise WorkerLost(message) from error

"""Adam with decoupled weight decay, for embeddings of which a batch touches few rows."""

import tensorflow as tf


class Adam(tf.keras.optimizers.legacy.Adam):
    """Keras' legacy Adam (ktrain's one-cycle wants it), changed in two points.

    - For an embedding, only the rows that the batch holds are updated, moments included ("lazy" Adam). Keras' own decays
      the moments of all 30,522 words and moves them all, every step, which costs as much as a layer of a small encoder.
    - `weight_decay` is decoupled from the gradient (Loshchilov and Hutter 2019): each step also takes
      learning_rate * weight_decay * weight off the weights of matrices; biases and normalisations are left alone.
    """

    def __init__(self, learning_rate: float = 1e-4, weight_decay: float = 0.0, epsilon: float = 1e-7, name: str = "Adam"):
        super().__init__(learning_rate, epsilon=epsilon, name=name)
        self.weight_decay = weight_decay

    def _resource_apply_dense(self, grad, var, apply_state=None):
        decay = self._decay(var, apply_state)
        with tf.control_dependencies(decay):
            return super()._resource_apply_dense(grad, var, apply_state)

    def _resource_apply_sparse(self, grad, var, indices, apply_state=None):
        coefficients = self._coefficients(var, apply_state)
        m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
        # `indices` are unique here: Keras adds up the gradients of a row that stands in the batch more than once.
        new_m = coefficients["beta_1_t"] * tf.gather(m, indices) + coefficients["one_minus_beta_1_t"] * grad
        new_v = coefficients["beta_2_t"] * tf.gather(v, indices) + coefficients["one_minus_beta_2_t"] * tf.square(grad)
        step = coefficients["lr"] * new_m / (tf.sqrt(new_v) + coefficients["epsilon"])
        if self.weight_decay:
            step += coefficients["lr_t"] * self.weight_decay * tf.gather(var, indices)
        return tf.group(
            m.scatter_update(tf.IndexedSlices(new_m, indices)),
            v.scatter_update(tf.IndexedSlices(new_v, indices)),
            var.scatter_sub(tf.IndexedSlices(step, indices)),
        )

    def _decay(self, var, apply_state) -> list:
        if not self.weight_decay or len(var.shape) < 2:
            return []
        rate = self._coefficients(var, apply_state)["lr_t"] * self.weight_decay
        return [var.assign_sub(rate * var, use_locking=self._use_locking)]

    def _coefficients(self, var, apply_state) -> dict:
        key = (var.device, var.dtype.base_dtype)
        return (apply_state or {}).get(key) or self._fallback_apply_state(*key)

    def get_config(self) -> dict:
        return {**super().get_config(), "weight_decay": self.weight_decay}

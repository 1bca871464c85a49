"""Adam with decoupled weight decay, for word embeddings of which a batch touches few rows."""

from typing import Any

import tensorflow as tf

WORD_EMBEDDINGS = "word_embeddings"  # in the name of the variable, in transformers' BERT and DistilBERT


class Adam(tf.keras.optimizers.legacy.Adam):
    """Keras' legacy Adam (ktrain's one-cycle wants it), changed in two points.

    - Of the word embeddings only the rows of the batch's words are updated: to move all 30,522 words in every step takes as
      long as the rest of a step of a small encoder. A word's gradient is applied at once, where Adam's momentum would spread
      it over the steps that follow: the way is the same, gone sooner. Its second moment decays by the steps gone by since
      the word's last one, as Adam's does.
    - `weight_decay` is decoupled from the gradient (Loshchilov and Hutter 2019): each step also takes
      learning_rate * weight_decay * weight off the weights of matrices; biases and normalisations are left alone. Words
      that are not in the batch do not decay.

    `masked` computes the first change over the whole table, and masks the rows without a word of the batch: the same update,
    for compilers that need to know all shapes beforehand (XLA), and so not which words differ.

    `few_words` False is for models that answer with words, where every step touches all of them: the first change is left out.
    """

    def __init__(
        self,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
        few_words: bool = True,
        masked: bool = False,
        **options: Any,
    ):
        super().__init__(learning_rate, **options)
        self.weight_decay, self.few_words, self.masked = weight_decay, few_words, masked

    def _create_slots(self, var_list: list[tf.Variable]) -> None:
        super()._create_slots([var for var in var_list if not self._goes_by_word(var)])
        for var in var_list:
            if self._goes_by_word(var):
                self.add_slot(var, "v")
                self.add_slot(var, "last_step", shape=[var.shape[0], 1])

    def _goes_by_word(self, var: tf.Variable) -> bool:
        return self.few_words and WORD_EMBEDDINGS in var.name

    def _resource_apply_dense(self, grad: tf.Tensor, var: tf.Variable, apply_state: Any = None) -> tf.Operation:
        if not self.weight_decay or len(var.shape) < 2:
            return super()._resource_apply_dense(grad, var, apply_state)
        rate = self._coefficients(var, apply_state)["lr_t"] * self.weight_decay
        with tf.control_dependencies([var.assign_sub(rate * var, use_locking=self._use_locking)]):
            return super()._resource_apply_dense(grad, var, apply_state)

    def _resource_apply_sparse_duplicate_indices(
        self, grad: tf.Tensor, handle: tf.Variable, indices: tf.Tensor, **more: Any
    ) -> Any:
        if not self.masked:
            return super()._resource_apply_sparse_duplicate_indices(grad, handle, indices, **more)
        words = handle.shape[0]
        summed = tf.math.unsorted_segment_sum(grad, indices, words)
        if not self._goes_by_word(handle):
            return self._resource_apply_dense(summed, handle, **more)
        there = tf.math.unsorted_segment_sum(tf.ones_like(grad[:, :1]), indices, words) > 0
        return self._apply_to_words(summed, handle, tf.range(words), there, **more)

    def _resource_apply_sparse(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, apply_state: Any = None
    ) -> tf.Operation:
        """Update the rows `indices`, which are unique: Keras has added up the gradients of a word that stands there twice."""
        if not self._goes_by_word(var):  # positions and token types: few rows, all of them in use
            return self._resource_apply_dense(tf.math.unsorted_segment_sum(grad, indices, var.shape[0]), var, apply_state)
        return self._apply_to_words(grad, var, indices, None, apply_state)

    def _apply_to_words(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, there: tf.Tensor | None, apply_state: Any = None
    ) -> tf.Operation:
        """Update the rows `indices`, or of these the ones that are `there`, (rows, 1) bool."""
        coefficients = self._coefficients(var, apply_state)
        v, last_step = self.get_slot(var, "v"), self.get_slot(var, "last_step")
        step = tf.cast(self.iterations + 1, grad.dtype)
        decay = tf.pow(coefficients["beta_2_t"], step - tf.gather(last_step, indices))  # (rows, 1)
        new_v = decay * tf.gather(v, indices) + coefficients["one_minus_beta_2_t"] * tf.square(grad)
        rate = coefficients["lr_t"] * tf.sqrt(1 - coefficients["beta_2_power"])
        change = rate * grad / (tf.sqrt(new_v) + coefficients["epsilon"])
        if self.weight_decay:
            change += coefficients["lr_t"] * self.weight_decay * tf.gather(var, indices)
        steps = tf.fill([tf.size(indices), 1], step)
        if there is not None:
            new_v, steps = tf.where(there, new_v, v), tf.where(there, steps, last_step)
            change = tf.where(there, change, tf.zeros_like(change))
            return tf.group(v.assign(new_v), last_step.assign(steps), var.assign_sub(change, use_locking=self._use_locking))
        return tf.group(
            v.scatter_update(tf.IndexedSlices(new_v, indices)),
            last_step.scatter_update(tf.IndexedSlices(steps, indices)),
            var.scatter_sub(tf.IndexedSlices(change, indices)),
        )

    def _coefficients(self, var: tf.Variable, apply_state: Any) -> dict[str, tf.Tensor]:
        key = (var.device, var.dtype.base_dtype)
        return (apply_state or {}).get(key) or self._fallback_apply_state(*key)

    def get_config(self) -> dict:
        return {**super().get_config(), "weight_decay": self.weight_decay, "few_words": self.few_words, "masked": self.masked}

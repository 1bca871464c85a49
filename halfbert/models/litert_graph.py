"""An encoder as a LiteRT (TensorFlow Lite) model: a forward pass of TensorFlow's operators, converted by TensorFlow itself.

One text a call, of any length: input `ids` (1, L) int32, output `logits` (1, labels) float32. A text alone needs no padding and
no mask. Models of fixed lengths, whose shorter texts are padded, are slower but where a text fills one (docs/device.md);
nothing here asks for a tensor's shape, so that all shapes are known once the input is resized, as XNNPACK requires. As in
`keras_forward`, the last layer is computed for the first token alone.

Shapes: L tokens, h hidden units, H heads of d = h / H units, f feed-forward units.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from halfbert.models.onnx_graph import smoothing_scales, unit_sizes
from halfbert.models.weights import Encoder
from halfbert.system.errors import InputError

INPUT, OUTPUT = "ids", "logits"
UnitSizes = dict[str, np.ndarray]  # by product, how large each unit of its input becomes; empty where nothing is rounded
ACTIVATIONS = {"gelu": False, "gelu_new": True}  # whether GELU is approximated by tanh


def write(encoder: Encoder, form: str) -> bytes:
    """The model of `encoder` in a form.

    float32; float16, kernels and embeddings in half the bytes; int8, these in a quarter, and states are rounded to 8 bits as
    they come. Raises InputError if the activation is not supported.
    """
    if encoder.activation not in ACTIVATIONS:
        raise InputError(f"{encoder.folder}: activation {encoder.activation!r}; LiteRT models support {', '.join(ACTIVATIONS)}")
    network = _Network(encoder, unit_sizes(encoder) if form == "int8" else {})
    shape = tf.TensorSpec([1, None], tf.int32, name=INPUT)
    network.answer = tf.function(lambda ids: {OUTPUT: network.logits(ids)}, input_signature=[shape], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.answer.get_concrete_function()], network)
    if form != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


class _Network(tf.Module):
    """The forward pass. Where `sizes` of units are given, the converter will round the kernels and tables to 8 bits."""

    def __init__(self, encoder: Encoder, sizes: UnitSizes) -> None:
        super().__init__()
        self.encoder, self.sizes = encoder, sizes
        self.stored: dict[str, Any] = {}

    def logits(self, ids: Any) -> Any:
        """(1, labels) of (1, L) token ids."""
        encoder, ids = self.encoder, tf.reshape(ids, [-1])
        numbers = tf.cumsum(tf.ones_like(ids)) - 1  # 0 to L - 1; a range would ask for the length
        x = self.rows("words", encoder.weights["words"], ids) + self.rows(
            "positions", encoder.embedded_positions, numbers
        )  # (L, h)
        x = self.normalised("embedding_norm", x)
        for number in range(encoder.layers):
            x = self.layer(f"layers.{number}", x, first_token_only=number == encoder.layers - 1)
        pooled = self.dense("pooler", x)
        return self.dense("classifier", tf.tanh(pooled) if encoder.kind == "bert" else tf.nn.relu(pooled))

    def variable(self, name: str, values: np.ndarray) -> Any:
        """The values as a variable, which becomes a constant of the model.

        TensorFlow copies the constants of a graph over and over before it converts them, and takes four times the memory.
        """
        if name not in self.stored:  # else the function is traced again
            with tf.init_scope():
                self.stored[name] = tf.Variable(values, trainable=False)
        return self.stored[name]

    def rows(self, name: str, table: np.ndarray, numbers: Any) -> Any:
        """(L, h) rows of a table of embeddings. To be rounded, they are stored at equal size, and each one's size beside them.

        The converter rounds a table with one step. The sizes are multiples of that which it takes for theirs: it changes none.
        """
        if not self.sizes:
            return tf.gather(self.variable(name, table), numbers)
        sizes = np.abs(table).max(axis=1, keepdims=True)
        step = max(sizes.max() / 127, np.finfo(np.float32).tiny)
        sizes = (np.maximum(np.ceil(sizes / step), 1) * step).astype(np.float32)
        return tf.gather(self.variable(name, table / sizes), numbers) * tf.gather(sizes, numbers)

    def layer(self, name: str, x: Any, first_token_only: bool) -> Any:
        """One encoder layer: (L, h) to (L, h), or to (1, h), the state of the first token."""
        encoder, units = self.encoder, x.shape[-1]
        answered = x[:1] if first_token_only else x

        def by_head(states: Any) -> Any:  # (·, h) to (H, ·, d)
            return tf.transpose(tf.reshape(states, [-1, encoder.heads, units // encoder.heads]), [1, 0, 2])

        together = f"{name}.key_value" if first_token_only else f"{name}.query_key_value"
        query, key, value = (
            by_head(self.dense(f"{name}.{part}", states, self.sizes.get(together)))
            for part, states in (("query", answered), ("key", x), ("value", x))
        )
        query *= (units // encoder.heads) ** -0.5
        context = tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True)), value)
        context = tf.reshape(tf.transpose(context, [1, 0, 2]), [-1, units])
        attended = answered + self.dense(f"{name}.attention_output", context)
        x = self.normalised(f"{name}.attention_norm", attended)
        inner = self.dense(f"{name}.intermediate", x, self.sizes.get(f"{name}.intermediate"))
        inner = tf.nn.gelu(inner, approximate=ACTIVATIONS[encoder.activation])  # (·, f)
        return self.normalised(f"{name}.output_norm", x + self.dense(f"{name}.output", inner))

    def dense(self, name: str, x: Any, sizes: np.ndarray | None = None) -> Any:
        """x · kernel + bias; with the (in,) `sizes` of x's units, the outlying ones are smoothed as in `onnx_graph`."""
        kernel, bias = self.encoder.part(name)
        if sizes is not None:
            scales = smoothing_scales(sizes, kernel)
            x, kernel = x * (1 / scales), kernel * scales[:, None]
        return tf.matmul(x, self.variable(name, kernel)) + bias

    def normalised(self, name: str, x: Any) -> Any:
        """Layer normalisation."""
        scale, shift = self.encoder.part(name)
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
        return centred * tf.math.rsqrt(variance + self.encoder.epsilon) * scale + shift

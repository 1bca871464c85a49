"""An encoder as an ONNX graph, written straight from its weights with ONNX Runtime's own operators.

Nine nodes a float32 layer, in place of the hundreds that an export makes. As in `training_graph`, the last layer is computed
for the first token of each text alone, since no head reads another: only its keys and values are those of all tokens.

int8: kernels are rounded to 8 bits per output channel, and the input of every product to 8 bits per token (Yao et al. 2022,
ZeroQuant, arXiv:2206.01861). ONNX Runtime's `quantize_dynamic` takes one scale for a whole batch instead: a single outlying
unit of a few tokens, as every BERT has them (Kovaleva et al. 2021, arXiv:2105.06990), then takes the precision of all others,
and a text's answer hangs on its company. On banking77 and news a scale per token left about half the error of the logits or
less, for an eighth more time in batches and a quarter more for one text; and a text's answer is the same in any batch.

Shapes: B texts, L tokens of the longest of them, h hidden units, f feed-forward units.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from halfbert.encoder import Encoder
from halfbert.errors import InputError

OPSET, IR_VERSION = 18, 8
CONTRIB = "com.microsoft"
ACTIVATIONS = {"gelu": "BiasGelu", "gelu_new": "FastGelu"}  # of x + bias
SMALLEST_SCALE = 1e-6  # of a token whose states are all 0
# GELU never falls below -0.17, so where the largest value of a token is at least this, it is the largest in size as well.
SMALLEST_ACTIVATION = 0.5


class _Graph:
    """Nodes and constants of a graph in the making."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name: str, value: np.ndarray) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def node(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes) -> str | list[str]:
        names = [f"{kind}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names


def write(encoder: Encoder, kernel_bits: int | None = None, head: bool = True) -> bytes:
    """The graph of `encoder`: input_ids and attention_mask (B, L) int32 to logits (B, labels) float32, any B and L.

    `kernel_bits` is None for float32 throughout; 8 for int8; 7 for int8 on processors that add pairs of products in 16 bits
    (x86 without VNNI), where 8 would overflow. The head stays float32; without `head` the output is what it reads, states
    (B, h): the last of each text's first token.

    Raises InputError where the activation is not known here.
    """
    if encoder.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(f"{encoder.folder}: activation {encoder.activation!r}; ONNX graphs know {known}; take engine keras")
    graph = _Graph()
    x = _embedded(graph, encoder)  # (B, L, h)
    for number in range(encoder.layers):
        x = _layer(graph, encoder, f"layers.{number}", x, number == encoder.layers - 1, kernel_bits)
    x = graph.node("Squeeze", x, graph.constant("axis_1", np.array([1])))  # (B, h)
    output, units = "states", len(encoder.part("pooler")[1])
    if head:
        x = graph.node("Gemm", x, *_part(graph, encoder, "pooler"))
        x = graph.node("Tanh" if encoder.kind == "bert" else "Relu", x)
        graph.node("Gemm", x, *_part(graph, encoder, "classifier"))
        output, units = "logits", len(encoder.part("classifier")[1])
    graph.nodes[-1].output[0] = output
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", "tokens"]) for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["texts", units])]
    return _model(graph, inputs, outputs)


def single_product(kernel: np.ndarray) -> bytes:
    """A graph of one float32 product: x (rows, in) by `kernel` (in, out) to y (rows, out)."""
    graph = _Graph()
    graph.node("MatMul", "x", graph.constant("kernel", kernel))
    graph.nodes[-1].output[0] = "y"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", kernel.shape[0]])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", kernel.shape[1]])]
    return _model(graph, inputs, outputs)


def _model(graph: _Graph, inputs: list, outputs: list) -> bytes:
    made = helper.make_graph(graph.nodes, "halfbert", inputs, outputs, list(graph.constants.values()))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()


def _part(graph: _Graph, encoder: Encoder, name: str) -> list[str]:
    return [graph.constant(f"{name}.{number}", value) for number, value in enumerate(encoder.part(name))]


def _embedded(graph: _Graph, encoder: Encoder) -> str:
    words = graph.node("Gather", graph.constant("words", encoder.weights["words"]), "input_ids")
    tokens = graph.node("Shape", "input_ids", start=1, end=2)
    positions = graph.constant("positions", encoder.embedded_positions)
    positions = graph.node("Slice", positions, graph.constant("axis_0", np.array([0])), tokens)
    x = graph.node("Add", words, positions)
    return graph.node("LayerNormalization", x, *_part(graph, encoder, "embedding_norm"), epsilon=encoder.epsilon)


def _layer(graph: _Graph, encoder: Encoder, name: str, x: str, first_token_only: bool, bits: int | None) -> str:
    """One encoder layer: (B, L, h) to (B, L, h), or to (B, 1, h), the states of each text's first token."""
    (query, query_bias), (key, key_bias), (value, value_bias) = (encoder.part(f"{name}.{p}") for p in ("query", "key", "value"))
    bias = graph.constant(f"{name}.attention_bias", np.concatenate([query_bias, key_bias, value_bias]))
    asked = x
    if first_token_only:
        asked = graph.node("Gather", x, graph.constant("axis_0", np.array([0])), axis=1)  # (B, 1, h)
        together = _product(graph, f"{name}.key_value", x, np.concatenate([key, value], axis=1), bits)
        of_query = _product(graph, f"{name}.query", asked, query, bits)
        parts = [of_query, *graph.node("Split", together, outputs=2, axis=-1, num_outputs=2)]
    else:
        together = _product(graph, f"{name}.query_key_value", x, np.concatenate([query, key, value], axis=1), bits)
        parts = graph.node("Split", together, outputs=3, axis=-1, num_outputs=3)
    context = graph.node("MultiHeadAttention", *parts, bias, "attention_mask", domain=CONTRIB, num_heads=encoder.heads)
    x = _added(graph, encoder, f"{name}.attention_output", f"{name}.attention_norm", context, asked, bits)
    kernel, bias = encoder.part(f"{name}.intermediate")
    inner = _product(graph, f"{name}.intermediate", x, kernel, bits)  # (B, L, f)
    bias = graph.constant(f"{name}.intermediate.bias", bias)
    inner = graph.node(ACTIVATIONS[encoder.activation], inner, bias, domain=CONTRIB)
    return _added(graph, encoder, f"{name}.output", f"{name}.output_norm", inner, x, bits, after_activation=True)


def _added(graph, encoder, dense: str, norm: str, x: str, to: str, bits: int | None, after_activation: bool = False) -> str:
    """A dense part's answer to x, added to `to` and normalised."""
    kernel, bias = encoder.part(dense)
    answer = _product(graph, dense, x, kernel, bits, after_activation)
    bias = graph.constant(f"{dense}.bias", bias)
    norm = _part(graph, encoder, norm)
    return graph.node("SkipLayerNormalization", answer, to, *norm, bias, domain=CONTRIB, epsilon=encoder.epsilon)


def _product(graph: _Graph, name: str, x: str, kernel: np.ndarray, bits: int | None, after_activation: bool = False) -> str:
    """x (B, L, in) · kernel (in, out), in float32 or int8."""
    if bits is None:
        return graph.node("MatMul", x, graph.constant(f"{name}.kernel", kernel))
    sizes = x if after_activation else graph.node("Abs", x)
    largest = graph.node("ReduceMax", sizes, graph.constant("last_axis", np.array([-1])))  # (B, L, 1)
    smallest = SMALLEST_ACTIVATION if after_activation else SMALLEST_SCALE
    largest = graph.node("Max", largest, graph.constant(f"smallest_{smallest}", np.float32(smallest)))
    unit = graph.node("Div", x, largest)  # from -1 to 1
    step, middle = graph.constant("step", np.float32(1 / 127)), graph.constant("middle", np.uint8(128))
    rounded = graph.node("QuantizeLinear", unit, step, middle)
    rounded_kernel, steps = rounded_by_column(kernel, bits)
    rounded_kernel = graph.constant(f"{name}.kernel", rounded_kernel)
    zeros = graph.constant(f"zeros_{len(steps)}", np.zeros(len(steps), np.int8))
    steps = graph.constant(f"{name}.steps", steps)
    answer = graph.node("MatMulIntegerToFloat", rounded, rounded_kernel, step, steps, middle, zeros, domain=CONTRIB)
    return graph.node("Mul", answer, largest)


def rounded_by_column(kernel: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 kernel (in, out) and its steps (out,) float32, such that their product is the kernel, rounded."""
    largest = 2 ** (bits - 1) - 1
    steps = np.maximum(np.abs(kernel).max(axis=0) / largest, np.finfo(np.float32).tiny).astype(np.float32)
    return np.clip(np.rint(kernel / steps), -largest, largest).astype(np.int8), steps

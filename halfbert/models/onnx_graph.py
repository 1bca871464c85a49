"""An encoder as an ONNX graph, written straight from its weights with ONNX Runtime's own operators.

Nine nodes a float32 layer, instead of the hundreds of an export. As in `keras_forward`, the last layer is computed
for the first token of each text alone, since no head reads another: only its keys and values are those of all tokens.

int8: kernels are rounded to 8 bits per output channel, and the input of every product to 8 bits per token (Yao et al. 2022,
ZeroQuant, arXiv:2206.01861). ONNX Runtime's `quantize_dynamic` takes one scale for a whole batch instead: a single outlying
unit of a few tokens, as every BERT has them (Kovaleva et al. 2021, arXiv:2105.06990), then takes the precision of all others,
and texts change each other's answers. On banking77 and news a scale per token left about half the error of the logits or
less, for an eighth more time in batches and a quarter more for one text; and a text's answer is the same in any batch.
Three things more, which together halve what is left of that error, for 2 to 5 % more time:

- the outlying units are the same few for every token, so they are made smaller before rounding, and their rows of the kernel
  larger (Xiao et al. 2023, SmoothQuant, arXiv:2211.10438); how large each unit is shows on random tokens;
- GELU's answers reach from -0.17 upwards, so few of the 256 steps are spent on what is below 0;
- what the last layer computes for first tokens alone stays float32: few rows, and one unit of theirs towers over the others.

Shapes: B texts, L tokens of the longest of them, h hidden units, f feed-forward units.
"""

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from halfbert.models.weights import Encoder
from halfbert.system.errors import InputError

OPSET, IR_VERSION = 18, 8
CONTRIB = "com.microsoft"
ACTIVATIONS = {"gelu": "BiasGelu", "gelu_new": "FastGelu"}  # of x + bias
SMALLEST_SCALE = 1e-6  # of a token whose states are all 0
# Which of the 256 steps is 0. With GELU's answers ACTIVATION_ZERO steps are enough for its least, -0.17, while the others reach
# up to SMALLEST_ACTIVATION at least.
ZERO, ACTIVATION_ZERO = 128, 24
SMALLEST_ACTIVATION = 0.17 * (255 - ACTIVATION_ZERO) / ACTIVATION_ZERO
# How much of the difference between units is taken out of the states and put into the kernel. Of 0.5, 0.75 and 1, this left
# the least error on news and film reviews.
SMOOTHING = 0.75
SMOOTHED = ("query_key_value", "key_value", "intermediate")  # products of normalised states, which the outliers stand in
DRAWN_TEXTS, DRAWN_TOKENS = 64, 32  # what the sizes of units are seen on


class _Graph:
    """Nodes and constants of a graph in the making.

    `bits` are those of the kernels, None for float32; `unit_sizes`, by product, how large each unit of its input is; `fed`, by
    product, the name of its input.
    """

    def __init__(self, bits: int | None = None, unit_sizes: dict[str, np.ndarray] | None = None):
        self.bits, self.unit_sizes = bits, unit_sizes or {}
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.fed: dict[str, str] = {}

    def constant(self, name: str, value: np.ndarray | np.generic) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operation; returns the name of its output."""
        return self.nodes_of(kind, 1, *inputs, domain=domain, **attributes)[0]

    def nodes_of(self, kind: str, outputs: int, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        names = [f"{kind}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names


def write(encoder: Encoder, kernel_bits: int | None = None, head: bool = True) -> bytes:
    """The graph of `encoder`: input_ids and attention_mask (B, L) int32 to logits (B, labels) float32, any B and L.

    `kernel_bits` is None for float32 throughout; 8 for int8; 7 for int8 on processors that add pairs of products in 16 bits
    (x86 without VNNI), where 8 would overflow. The head stays float32; without `head` the output is what it reads, states
    (B, h): the last of each text's first token.

    Raises InputError if the activation is not supported.
    """
    if encoder.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(
            f"{encoder.folder}: activation {encoder.activation!r}; ONNX graphs support {known}; choose engine keras"
        )
    graph = _Graph(kernel_bits, _unit_sizes(encoder) if kernel_bits else None)
    x = _first_token_states(graph, encoder)
    output, units = "states", len(encoder.part("pooler")[1])
    if head:
        x = graph.node("Gemm", x, *_part(graph, encoder, "pooler"))
        x = graph.node("Tanh" if encoder.kind == "bert" else "Relu", x)
        graph.node("Gemm", x, *_part(graph, encoder, "classifier"))
        output, units = "logits", len(encoder.part("classifier")[1])
    graph.nodes[-1].output[0] = output
    return _model(graph, _token_inputs(), [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["texts", units])])


def _unit_sizes(encoder: Encoder) -> dict[str, np.ndarray]:
    """By product of SMOOTHED, (in,) float32: how large each unit of its input becomes on random tokens."""
    import onnxruntime

    graph = _Graph()
    _first_token_states(graph, encoder)
    inputs = {name: x for name, x in graph.fed.items() if name.endswith(SMOOTHED)}
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, None) for x in inputs.values()]
    session = onnxruntime.InferenceSession(_model(graph, _token_inputs(), outputs), providers=["CPUExecutionProvider"])
    words, tokens = len(encoder.weights["words"]), min(DRAWN_TOKENS, len(encoder.weights["positions"]))
    ids = np.random.default_rng(0).integers(words, size=(DRAWN_TEXTS, tokens), dtype=np.int32)
    states = session.run(list(inputs.values()), {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return {name: np.abs(values).max(axis=(0, 1)) for name, values in zip(inputs, states, strict=True)}


def single_product(kernel: np.ndarray) -> bytes:
    """A graph of one float32 product: x (rows, in) by `kernel` (in, out) to y (rows, out)."""
    graph = _Graph()
    graph.node("MatMul", "x", graph.constant("kernel", kernel))
    graph.nodes[-1].output[0] = "y"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", kernel.shape[0]])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", kernel.shape[1]])]
    return _model(graph, inputs, outputs)


def _token_inputs() -> list:
    names = ("input_ids", "attention_mask")
    return [helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", "tokens"]) for name in names]


def _model(graph: _Graph, inputs: list, outputs: list) -> bytes:
    made = helper.make_graph(graph.nodes, "halfbert", inputs, outputs, list(graph.constants.values()))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()


def _part(graph: _Graph, encoder: Encoder, name: str) -> list[str]:
    return [graph.constant(f"{name}.{number}", value) for number, value in enumerate(encoder.part(name))]


def _first_token_states(graph: _Graph, encoder: Encoder) -> str:
    """The last states (B, h) of each text's first token."""
    x = _embedded(graph, encoder)  # (B, L, h)
    for number in range(encoder.layers):
        x = _layer(graph, encoder, f"layers.{number}", x, first_token_only=number == encoder.layers - 1)
    return graph.node("Squeeze", x, graph.constant("axis_1", np.array([1])))


def _embedded(graph: _Graph, encoder: Encoder) -> str:
    words = graph.node("Gather", graph.constant("words", encoder.weights["words"]), "input_ids")
    tokens = graph.node("Shape", "input_ids", start=1, end=2)
    table = graph.constant("positions", encoder.embedded_positions)
    positions = graph.node("Slice", table, graph.constant("axis_0", np.array([0])), tokens)
    x = graph.node("Add", words, positions)
    return graph.node("LayerNormalization", x, *_part(graph, encoder, "embedding_norm"), epsilon=encoder.epsilon)


def _layer(graph: _Graph, encoder: Encoder, name: str, x: str, first_token_only: bool) -> str:
    """One encoder layer: (B, L, h) to (B, L, h), or to (B, 1, h), the states of each text's first token."""
    (query, query_bias), (key, key_bias), (value, value_bias) = (encoder.part(f"{name}.{p}") for p in ("query", "key", "value"))
    bias = graph.constant(f"{name}.attention_bias", np.concatenate([query_bias, key_bias, value_bias]))
    answered, rounded = x, not first_token_only
    if first_token_only:
        answered = graph.node("Gather", x, graph.constant("axis_0", np.array([0])), axis=1)  # (B, 1, h)
        together = _product(graph, f"{name}.key_value", x, np.concatenate([key, value], axis=1))
        of_query = _product(graph, f"{name}.query", answered, query, rounded)
        parts = [of_query, *graph.nodes_of("Split", 2, together, axis=-1, num_outputs=2)]
    else:
        together = _product(graph, f"{name}.query_key_value", x, np.concatenate([query, key, value], axis=1))
        parts = graph.nodes_of("Split", 3, together, axis=-1, num_outputs=3)
    context = graph.node("MultiHeadAttention", *parts, bias, "attention_mask", domain=CONTRIB, num_heads=encoder.heads)
    x = _added(graph, encoder, f"{name}.attention_output", f"{name}.attention_norm", context, answered, rounded)
    kernel, inner_bias = encoder.part(f"{name}.intermediate")
    inner = _product(graph, f"{name}.intermediate", x, kernel, rounded)  # (B, L, f)
    bias = graph.constant(f"{name}.intermediate.bias", inner_bias)
    inner = graph.node(ACTIVATIONS[encoder.activation], inner, bias, domain=CONTRIB)
    return _added(graph, encoder, f"{name}.output", f"{name}.output_norm", inner, x, rounded, activated=True)


def _added(
    graph: _Graph, encoder: Encoder, dense: str, norm: str, x: str, to: str, rounded: bool, activated: bool = False
) -> str:
    """A dense part's answer to x, added to `to` and normalised."""
    kernel, bias = encoder.part(dense)
    answer = _product(graph, dense, x, kernel, rounded, activated)
    inputs = answer, to, *_part(graph, encoder, norm), graph.constant(f"{dense}.bias", bias)
    return graph.node("SkipLayerNormalization", *inputs, domain=CONTRIB, epsilon=encoder.epsilon)


def _product(graph: _Graph, name: str, x: str, kernel: np.ndarray, rounded: bool = True, activated: bool = False) -> str:
    """x (B, L, in) · kernel (in, out), in float32 or, in a graph with `bits`, `rounded`; `activated` are GELU's answers."""
    graph.fed[name] = x
    if graph.bits is None or not rounded:
        return graph.node("MatMul", x, graph.constant(f"{name}.kernel", kernel))
    if name in graph.unit_sizes:
        scales = smoothing_scales(graph.unit_sizes[name], kernel)
        x, kernel = graph.node("Mul", x, graph.constant(f"{name}.scales", 1 / scales)), kernel * scales[:, None]
    zero, smallest = (ACTIVATION_ZERO, SMALLEST_ACTIVATION) if activated else (ZERO, SMALLEST_SCALE)
    sizes = x if activated else graph.node("Abs", x)
    largest = graph.node("ReduceMax", sizes, graph.constant("last_axis", np.array([-1])))  # (B, L, 1)
    largest = graph.node("Max", largest, graph.constant(f"smallest_{zero}", np.float32(smallest)))
    unit = graph.node("Div", x, largest)  # to 1
    step, middle = graph.constant(f"step_{zero}", np.float32(1 / (255 - zero))), graph.constant(f"zero_{zero}", np.uint8(zero))
    rounded_states = graph.node("QuantizeLinear", unit, step, middle)
    rounded_kernel, steps = rounded_by_column(kernel, graph.bits)
    product = (
        *(rounded_states, graph.constant(f"{name}.kernel", rounded_kernel)),
        *(step, graph.constant(f"{name}.steps", steps)),
        *(middle, graph.constant(f"zeros_{len(steps)}", np.zeros(len(steps), np.int8))),
    )
    return graph.node("Mul", graph.node("MatMulIntegerToFloat", *product, domain=CONTRIB), largest)


def smoothing_scales(unit_sizes: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(in,) float32: by what each unit of the states is divided, and its row of the kernel (in, out) multiplied."""

    def bounded(sizes: np.ndarray) -> np.ndarray:  # away from 0
        return np.maximum(sizes, max(1e-3 * sizes.max(), np.finfo(np.float32).tiny)).astype(np.float64)

    scales = bounded(unit_sizes) ** SMOOTHING / bounded(np.abs(kernel).max(axis=1)) ** (1 - SMOOTHING)
    return (scales / np.exp(np.mean(np.log(scales)))).astype(np.float32)


def rounded_by_column(kernel: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 kernel (in, out) and its steps (out,) float32, such that their product is the kernel, rounded."""
    largest = 2 ** (bits - 1) - 1
    steps = np.maximum(np.abs(kernel).max(axis=0) / largest, np.finfo(np.float32).tiny).astype(np.float32)
    return np.clip(np.rint(kernel / steps), -largest, largest).astype(np.int8), steps

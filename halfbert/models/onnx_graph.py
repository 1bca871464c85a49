"""An encoder as an ONNX graph, written straight from its weights with ONNX Runtime's own operators.

28 nodes a float32 layer, instead of the hundreds of an export. Not the fewest: ONNX Runtime's SkipLayerNormalization takes
several times as long as additions and its LayerNormalization, and MultiHeadAttention three times as long as its own parts, for
short texts on a CPU. As in `keras_forward`, the last layer is computed for the first token of each text alone, since no head
reads another: only its keys and values are those of all tokens.

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

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from halfbert.models.weights import Encoder
from halfbert.system.errors import InputError

OPSET, IR_VERSION = 18, 8
CONTRIB = "com.microsoft"
ACTIVATIONS = {"gelu": "BiasGelu", "gelu_new": "FastGelu"}  # of x + bias
PADDING_SCORE = -1e9
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


def write(encoder: Encoder, kernel_bits: int | None = None, output: str = "logits", wide_inputs: bool = False) -> bytes:
    """The graph of `encoder`: input_ids and attention_mask (B, L) int32 to its output, float32, for any B and L.

    `output` is "logits" (B, labels); "states" (B, h), which the head reads: the last of each text's first token; or
    "embedding" (B, h): the mean of the last states of a text's tokens, of length 1.

    `kernel_bits` is None for float32 throughout; 8 for int8; 7 for int8 on processors that add pairs of products in 16 bits
    (x86 without VNNI), where 8 would overflow. The head stays float32. With `wide_inputs` the inputs are int64, as Hugging
    Face's libraries give them.

    Raises InputError if the activation is not supported.
    """
    if encoder.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(
            f"{encoder.folder}: activation {encoder.activation!r}; ONNX graphs support {known}; choose engine keras"
        )
    graph = _Graph(kernel_bits, unit_sizes(encoder) if kernel_bits else None)
    units = encoder.weights["words"].shape[1]
    if output == "embedding":
        _mean_embedding(graph, encoder)
    else:
        x = _first_token_states(graph, encoder)
    if output == "logits":
        x = graph.node("Gemm", x, *_part(graph, encoder, "pooler"))
        x = graph.node("Tanh" if encoder.kind == "bert" else "Relu", x)
        graph.node("Gemm", x, *_part(graph, encoder, "classifier"))
        units = len(encoder.part("classifier")[1])
    graph.nodes[-1].output[0] = output
    inputs = _token_inputs(TensorProto.INT64 if wide_inputs else TensorProto.INT32)
    return _model(graph, inputs, [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["texts", units])])


def unit_sizes(encoder: Encoder) -> dict[str, np.ndarray]:
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


def _token_inputs(kind: int = TensorProto.INT32) -> list:
    names = ("input_ids", "attention_mask")
    return [helper.make_tensor_value_info(name, kind, ["texts", "tokens"]) for name in names]


def _model(graph: _Graph, inputs: list, outputs: list) -> bytes:
    made = helper.make_graph(graph.nodes, "halfbert", inputs, outputs, list(graph.constants.values()))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()


def _part(graph: _Graph, encoder: Encoder, name: str) -> list[str]:
    return [graph.constant(f"{name}.{number}", value) for number, value in enumerate(encoder.part(name))]


def _first_token_states(graph: _Graph, encoder: Encoder) -> str:
    """The last states (B, h) of each text's first token."""
    x = _embedded(graph, encoder)  # (B, L, h)
    unread = _unread(graph)
    for number in range(encoder.layers):
        x = _layer(graph, encoder, f"layers.{number}", x, unread, first_token_only=number == encoder.layers - 1)
    return graph.node("Squeeze", x, graph.constant("axis_1", np.array([1])))


def _mean_embedding(graph: _Graph, encoder: Encoder) -> None:
    """The mean (B, h) of the last states of each text's tokens, padding left out, divided by its length."""
    x, unread = _embedded(graph, encoder), _unread(graph)
    for number in range(encoder.layers):
        x = _layer(graph, encoder, f"layers.{number}", x, unread, first_token_only=False)
    mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = graph.node("Unsqueeze", mask, graph.constant("axis_1", np.array([1])))  # (B, 1, L)
    total = graph.node("Squeeze", graph.node("MatMul", mask, x), graph.constant("axis_1", np.array([1])))
    graph.node("LpNormalization", total, axis=-1, p=2)  # the direction of the sum is that of the mean


def _embedded(graph: _Graph, encoder: Encoder) -> str:
    words = graph.node("Gather", graph.constant("words", encoder.weights["words"]), "input_ids")
    tokens = graph.node("Shape", "input_ids", start=1, end=2)
    table = graph.constant("positions", encoder.embedded_positions)
    positions = graph.node("Slice", table, graph.constant("axis_0", np.array([0])), tokens)
    x = graph.node("Add", words, positions)
    return graph.node("LayerNormalization", x, *_part(graph, encoder, "embedding_norm"), epsilon=encoder.epsilon)


def _unread(graph: _Graph) -> str:
    """What is added to the scores of tokens (B, 1, 1, L): 0, or so little for padding that its share of the softmax is 0."""
    mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    padding = graph.node("Sub", graph.constant("one", np.float32(1)), mask)
    scores = graph.node("Mul", padding, graph.constant("padding", np.float32(PADDING_SCORE)))
    return graph.node("Unsqueeze", scores, graph.constant("axes_1_2", np.array([1, 2])))


def _layer(graph: _Graph, encoder: Encoder, name: str, x: str, unread: str, first_token_only: bool) -> str:
    """One encoder layer: (B, L, h) to (B, L, h), or to (B, 1, h), the states of each text's first token."""
    answered, rounded = x, not first_token_only
    if first_token_only:
        answered = graph.node("Gather", x, graph.constant("axis_0", np.array([0])), axis=1)  # (B, 1, h)
    context = _attention(graph, encoder, name, x, answered, unread, rounded)
    x = _added(graph, encoder, f"{name}.attention_output", f"{name}.attention_norm", context, answered, rounded)
    kernel, inner_bias = encoder.part(f"{name}.intermediate")
    (inner,) = _products(graph, f"{name}.intermediate", x, [kernel], rounded)  # (B, L, f)
    bias = graph.constant(f"{name}.intermediate.bias", inner_bias)
    inner = graph.node(ACTIVATIONS[encoder.activation], inner, bias, domain=CONTRIB)
    return _added(graph, encoder, f"{name}.output", f"{name}.output_norm", inner, x, rounded, activated=True)


def _attention(graph: _Graph, encoder: Encoder, name: str, x: str, answered: str, unread: str, rounded: bool) -> str:
    """What `answered` (B, A, h) draw from x (B, L, h): (B, A, h), with H heads of d units.

    Written as separate operators, as the module's first lines explain.
    """
    (query, _), (key, _), (value, _) = (encoder.part(f"{name}.{part}") for part in ("query", "key", "value"))
    if answered == x:
        products = _products(graph, f"{name}.query_key_value", x, [query, key, value])
    else:
        products = _products(graph, f"{name}.query", answered, [query], rounded)
        products += _products(graph, f"{name}.key_value", x, [key, value])
    units = query.shape[1] // encoder.heads
    shape = graph.constant("by_head", np.array([0, 0, encoder.heads, units]))
    parts = []
    for part, product in zip(("query", "key", "value"), products, strict=True):
        with_bias = graph.node("Add", product, graph.constant(f"{name}.{part}.bias", encoder.part(f"{name}.{part}")[1]))
        parts.append(graph.node("Transpose", graph.node("Reshape", with_bias, shape), perm=[0, 2, 1, 3]))  # (B, H, ·, d)
    scores = graph.node("FusedMatMul", *parts[:2], domain=CONTRIB, transB=1, alpha=units**-0.5)  # (B, H, A, L)
    shares = graph.node("Softmax", graph.node("Add", scores, unread), axis=-1)
    context = graph.node("Transpose", graph.node("MatMul", shares, parts[2]), perm=[0, 2, 1, 3])  # (B, A, H, d)
    return graph.node("Reshape", context, graph.constant("together", np.array([0, 0, query.shape[1]])))


def _added(
    graph: _Graph, encoder: Encoder, dense: str, norm: str, x: str, to: str, rounded: bool, activated: bool = False
) -> str:
    """A dense part's answer to x, added to `to` and normalised."""
    kernel, bias = encoder.part(dense)
    (answer,) = _products(graph, dense, x, [kernel], rounded, activated)
    answer = graph.node("Add", graph.node("Add", answer, graph.constant(f"{dense}.bias", bias)), to)
    return graph.node("LayerNormalization", answer, *_part(graph, encoder, norm), epsilon=encoder.epsilon)


def _products(
    graph: _Graph, name: str, x: str, kernels: Sequence[np.ndarray], rounded: bool = True, activated: bool = False
) -> list[str]:
    """x (B, L, in) · each kernel (in, out): float32, or `rounded` if the graph has `bits`; `activated`: x is GELU's answers."""
    graph.fed[name] = x
    if graph.bits is None or not rounded:
        return [graph.node("MatMul", x, graph.constant(f"{name}.kernel_{n}", kernel)) for n, kernel in enumerate(kernels)]
    if name in graph.unit_sizes:
        scales = smoothing_scales(graph.unit_sizes[name], np.concatenate(kernels, axis=1))
        x = graph.node("Mul", x, graph.constant(f"{name}.scales", 1 / scales))
        kernels = [kernel * scales[:, None] for kernel in kernels]
    zero, smallest = (ACTIVATION_ZERO, SMALLEST_ACTIVATION) if activated else (ZERO, SMALLEST_SCALE)
    sizes = x if activated else graph.node("Abs", x)
    largest = graph.node("ReduceMax", sizes, graph.constant("last_axis", np.array([-1])))  # (B, L, 1)
    largest = graph.node("Max", largest, graph.constant(f"smallest_{zero}", np.float32(smallest)))
    unit = graph.node("Div", x, largest)  # to 1
    step, middle = graph.constant(f"step_{zero}", np.float32(1 / (255 - zero))), graph.constant(f"zero_{zero}", np.uint8(zero))
    states = graph.node("QuantizeLinear", unit, step, middle)
    answers = []
    for number, kernel in enumerate(kernels):
        rounded_kernel, steps = rounded_by_column(kernel, graph.bits)
        product = (
            *(states, graph.constant(f"{name}.kernel_{number}", rounded_kernel)),
            *(step, graph.constant(f"{name}.steps_{number}", steps)),
            *(middle, graph.constant(f"zeros_{len(steps)}", np.zeros(len(steps), np.int8))),
        )
        answers.append(graph.node("Mul", graph.node("MatMulIntegerToFloat", *product, domain=CONTRIB), largest))
    return answers


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

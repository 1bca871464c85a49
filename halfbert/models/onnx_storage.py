"""A graph of `onnx_graph` in fewer bytes: what it holds as float32 is stored in few bits, and float32 again when it is used.

Two thirds of a small encoder are its word embeddings, of which a text needs a few rows: those are gathered as they are stored
and made float32 one by one. Kernels are made float32 once, when ONNX Runtime folds constants. What is computed stays as it
was, but for the rounding: a step per word, or per output unit of a kernel. All of it is in ONNX's own operators.

Words may have 8 bits or fewer by how much a predictor needs them (as do parts of an index in Zhao et al. 2019,
arXiv:1909.11687, and Chen et al. 2018, "GroupReduce", arXiv:1806.06950, by frequency).
"""

from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

FEWEST_VALUES = 2**14  # of a tensor that is worth it
EXACT = "classifier"  # the head's last kernel decides the answer alone, and is small
STEPS = 127
FRACTIONS = np.linspace(0.3, 1, 15)  # of the range that a row's codes may span; 2 bits lose least with about half of it


class _Parts:
    """Nodes and tensors that take the place of a tensor; names begin with its name."""

    def __init__(self, name: str):
        self.name = name
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), f"{self.name}.{name}"))
        return self.tensors[-1].name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"{self.name}.{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name


def in_8_bits(graph: bytes, word_bits: np.ndarray | None = None) -> bytes:
    """The graph with its large float32 matrices stored in 8 bits.

    `word_bits` (V,) has for each word 8, of one at least, or fewer: 4 or 2, the same for all others, and 0 for words that no
    text has, which share a row.
    """
    model = onnx.load_from_string(graph)
    lookups = {node.input[0]: node for node in model.graph.node if node.op_type == "Gather"}
    kernels: list[NodeProto] = []
    for tensor in [each for each in model.graph.initializer if _is_large(each)]:
        values, lookup = numpy_helper.to_array(tensor), lookups.get(tensor.name)
        parts = _kernel(tensor.name, values) if lookup is None else _words(tensor.name, values, lookup, word_bits)
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(parts.tensors)
        if lookup is None:
            kernels += parts.nodes
            continue
        place = list(model.graph.node).index(lookup)
        model.graph.node.remove(lookup)
        for number, node in enumerate(parts.nodes):
            model.graph.node.insert(place + number, node)
    for number, node in enumerate(kernels):
        model.graph.node.insert(number, node)
    return model.SerializeToString()


def _is_large(tensor: TensorProto) -> bool:
    is_matrix = tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
    return is_matrix and int(np.prod(tensor.dims)) >= FEWEST_VALUES and not tensor.name.startswith(EXACT)


def _kernel(name: str, values: np.ndarray) -> _Parts:
    """A kernel (in, out) in int8 and a step per output unit."""
    parts = _Parts(name)
    steps = np.maximum(np.abs(values).max(axis=0, keepdims=True), np.finfo(np.float32).tiny) / STEPS
    rounded = parts.constant("int8", np.rint(values / steps).astype(np.int8))
    whole = parts.node("Cast", rounded, to=TensorProto.FLOAT)
    parts.node("Mul", whole, parts.constant("steps", steps.astype(np.float32)), output=name)
    return parts


def _words(name: str, values: np.ndarray, lookup: NodeProto, word_bits: np.ndarray | None) -> _Parts:
    """What gathers rows of a table (V, h): of words with 8 bits from one stored table, and of the others from another."""
    parts, ids, output = _Parts(name), lookup.input[1], lookup.output[0]
    if word_bits is None or not ((word_bits > 0) & (word_bits < 8)).any():
        _rows(parts, values, 8, ids, output)
        return parts
    fine, other = word_bits == 8, (word_bits > 0) & (word_bits < 8)
    # Where a word stands in its table: from 0 upwards in that of the fine, from -1 downwards in that of the others.
    places = np.where(fine, fine.cumsum() - 1, np.where(other, -other.cumsum(), -1))
    kind = np.int16 if len(values) <= np.iinfo(np.int16).max else np.int32
    gathered = parts.node("Gather", parts.constant("places", places.astype(kind)), ids)
    place = parts.node("Cast", gathered, to=TensorProto.INT32)
    zero, minus_one = (parts.constant(f"number_{number}", np.array(number, np.int32)) for number in (0, -1))
    in_fine = _rows(parts, values[fine], 8, parts.node("Max", place, zero))
    below = parts.node("Max", parts.node("Sub", minus_one, place), zero)
    in_other = _rows(parts, values[other], int(word_bits[other].max()), below)
    is_fine = parts.node("Unsqueeze", parts.node("GreaterOrEqual", place, zero), parts.constant("last", np.array([-1])))
    parts.node("Where", is_fine, in_fine, in_other, output=output)
    return parts


def _rows(parts: _Parts, values: np.ndarray, bits: int, ids: str, output: str | None = None) -> str:
    """Store a table (R, h) and gather its rows `ids` (B, L): (B, L, h) float32."""
    codes, row_steps = coded(values, bits)
    shifts = range(0, 8, bits)
    stored = codes.reshape(len(codes), len(shifts), -1)  # a byte holds the codes of units h / len(shifts) apart
    packed = np.bitwise_or.reduce([stored[:, number] << shift for number, shift in enumerate(shifts)]).astype(np.uint8)
    rows = parts.node("Gather", parts.constant(f"in_{bits}_bits", packed), ids)
    if bits < 8:
        mask = parts.constant(f"mask_{bits}", np.array(2**bits - 1, np.uint8))
        shifted = [
            parts.node("BitShift", rows, parts.constant(f"shift_{bits}_{shift}", np.array(shift, np.uint8)), direction="RIGHT")
            for shift in shifts
        ]
        rows = parts.node("Concat", *(parts.node("BitwiseAnd", part, mask) for part in shifted), axis=-1)
    middle = parts.constant(f"middle_{bits}", np.array((2**bits - 1) / 2, np.float32))
    centred = parts.node("Sub", parts.node("Cast", rows, to=TensorProto.FLOAT), middle)
    steps = parts.node("Gather", parts.constant(f"steps_{bits}", row_steps.astype(np.float16)), ids)
    return parts.node("Mul", centred, parts.node("Cast", steps, to=TensorProto.FLOAT), output=output)


def coded(values: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 codes (R, h) and steps (R, 1) float32: (code - (2 ** bits - 1) / 2) * step is nearest to the values, row by row."""
    middle, most = (2**bits - 1) / 2, np.finfo(np.float32).tiny
    largest = np.maximum(np.abs(values).max(axis=1, keepdims=True), most) / middle
    best = np.zeros(values.shape, np.uint8)
    least, steps = np.full((len(values), 1), np.inf), largest.astype(np.float32)
    for fraction in FRACTIONS if bits < 8 else FRACTIONS[-1:]:
        codes = np.clip(np.rint(values / (largest * fraction) + middle), 0, 2 * middle)
        centred = codes - middle
        fitted = (centred * values).sum(axis=1, keepdims=True) / (centred**2).sum(axis=1, keepdims=True)
        error = ((centred * fitted - values) ** 2).sum(axis=1, keepdims=True)
        better = error < least
        best, steps = np.where(better, codes.astype(np.uint8), best), np.where(better, fitted, steps)
        least = np.minimum(least, error)
    return best, steps.astype(np.float32)

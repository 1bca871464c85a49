"""The same weights in PyTorch, without transformers; CPU and GPU. PyTorch is optional: this project never installs it.

Attention is PyTorch's own scaled dot product, which takes the kernel that is fastest for the device, the number format and the
mask. The engines `torch-float16`, `torch-bfloat16`, `torch-compiled` and `torch-compiled-float16` are variants of this one.

Shapes: B texts, L tokens of the longest of them, h hidden units, H heads of d = h / H units.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from halfbert.models import weights
from halfbert.predictor import engines
from halfbert.predictor.manifest import Predictor
from halfbert.system import forks
from halfbert.system.errors import InputError, ResourceError


def load(
    predictor: Predictor,
    device: str,
    threads: int | None,
    forward: str = "logits",
    number_format: str = "float32",
    compiled: bool = False,
) -> engines.Loaded:
    """Load the weights in a `number_format` of PyTorch's; answers are float32 in all of them.

    `forward` is "logits" or "states". With `compiled` the forward pass is torch.compile's, with lengths left open.

    Raises ResourceError if a GPU is requested and PyTorch sees none, or if it cannot compile here.
    """
    forks.require_own("PyTorch")
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "gpu" and not has_gpu:
        raise ResourceError("engine torch on a GPU: PyTorch sees none (else device='cpu')")
    place = "cuda" if has_gpu and device != "cpu" else "cpu"
    if threads is not None:
        torch.set_num_threads(threads)
    network = _Network(weights.read(predictor.folder), place, number_format)
    step = getattr(network, forward)
    if compiled:
        step = torch.compile(step, dynamic=True)

    def answer(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return step(torch.from_numpy(ids).to(place), torch.from_numpy(mask).to(place)).float().cpu().numpy()

    if compiled:
        ids = np.ones((2, 8), np.int32)
        try:
            answer(ids, ids)
        except Exception as error:  # of the compilers that it calls, whatever these raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise ResourceError(
                f"torch.compile fails here ({reason}); it needs a C++ compiler; or choose engine torch"
            ) from error
    return engines.Loaded("gpu" if place == "cuda" else "cpu", predictor.folder / weights.WEIGHTS, forward=answer)


class _Network:
    """The weights on a device, and the forward pass over them."""

    def __init__(self, read: weights.Encoder, place: str, number_format: str):
        import torch
        from torch.nn import functional

        activations = {"gelu": functional.gelu, "gelu_new": functools.partial(functional.gelu, approximate="tanh")}
        if read.activation not in activations:
            raise InputError(f"{read.folder}: activation {read.activation!r} is unknown to the engine torch; choose keras")
        self.functional, self.activation = functional, activations[read.activation]
        self.layers, self.heads, self.epsilon = read.layers, read.heads, read.epsilon
        self.pooler_activation = torch.tanh if read.kind == "bert" else functional.relu
        values = {**read.weights, "positions": read.embedded_positions}
        # PyTorch's kernels are (out, in).
        values = {name: value.T if name.endswith(".kernel") else value for name, value in values.items()}
        to = place, getattr(torch, number_format)
        self.weights = {name: torch.from_numpy(np.ascontiguousarray(value)).to(*to) for name, value in values.items()}

    def logits(self, ids: Any, mask: Any) -> Any:
        """(B, labels) for (B, L) int32 token ids and mask."""
        return self._dense(self.pooler_activation(self._dense(self.states(ids, mask), "pooler")), "classifier")

    def states(self, ids: Any, mask: Any) -> Any:
        """(B, h): the last states of the first tokens."""
        x = self.weights["words"][ids] + self.weights["positions"][: ids.shape[1]]  # (B, L, h)
        x = self._normalise(x, "embedding_norm")
        mask = mask.bool()[:, None, None, :]
        for number in range(self.layers):
            # The head reads the last state of the first token only.
            x = self._layer(x, f"layers.{number}", mask, first_token_only=number == self.layers - 1)
        return x[:, 0]

    def _layer(self, x: Any, name: str, mask: Any, first_token_only: bool) -> Any:
        answered = x[:, :1] if first_token_only else x

        def by_head(states: Any, part: str) -> Any:  # (B, L, h) to (B, H, L, d)
            return self._dense(states, f"{name}.{part}").unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query, key, value = by_head(answered, "query"), by_head(x, "key"), by_head(x, "value")
        context = self.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended = self._dense(context.transpose(1, 2).flatten(2), f"{name}.attention_output")
        x = self._normalise(answered + attended, f"{name}.attention_norm")
        inner = self.activation(self._dense(x, f"{name}.intermediate"))
        return self._normalise(x + self._dense(inner, f"{name}.output"), f"{name}.output_norm")

    def _dense(self, x: Any, name: str) -> Any:
        return self.functional.linear(x, self.weights[f"{name}.kernel"], self.weights[f"{name}.bias"])

    def _normalise(self, x: Any, name: str) -> Any:
        scale, shift = self.weights[f"{name}.scale"], self.weights[f"{name}.shift"]
        return self.functional.layer_norm(x, scale.shape, scale, shift, self.epsilon)


ENGINE = engines.Engine(
    packages=("torch",),
    install="pip install 'halfbert[torch]'",
    speed={"cpu": 1, "gpu": 2},
    load=load,
    load_states=functools.partial(load, forward="states"),
    recipe=lambda: "torch 1, float32",
    least_equal=1.0,
    largest_difference=1e-4,
    timed=False,
)


def variant(number_format: str = "float32", compiled: bool = False) -> engines.Engine:
    """The engine with other numbers or compiled: never chosen automatically, since where it pays was not measured."""
    exact = number_format == "float32"
    return dataclasses.replace(
        ENGINE,
        speed={"cpu": 0, "gpu": 0},
        load=functools.partial(load, number_format=number_format, compiled=compiled),
        load_states=None,
        recipe=lambda: f"torch 1, {number_format}" + (", compiled" if compiled else ""),
        least_equal=1.0 if exact else 0.99,
        largest_difference=ENGINE.largest_difference if exact else math.inf,
    )

"""The same weights in PyTorch, without transformers; CPU and GPU. PyTorch is optional: this project never installs it.

Shapes: B texts, L tokens of the longest of them, h hidden units, H heads of d = h / H units.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from halfbert.models import weights
from halfbert.predictor import engines
from halfbert.predictor.manifest import Predictor
from halfbert.system import forks
from halfbert.system.errors import InputError, ResourceError


def _load(forward: Callable, predictor: Predictor, device: str, threads: int | None) -> engines.Loaded:
    forks.require_own("PyTorch")
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "gpu" and not has_gpu:
        raise ResourceError("engine torch on a GPU: PyTorch sees none (else device='cpu')")
    place = "cuda" if has_gpu and device != "cpu" else "cpu"
    if threads is not None:
        torch.set_num_threads(threads)
    network = _Network(weights.read(predictor.folder), place)

    def answer(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return forward(network, torch.from_numpy(ids).to(place), torch.from_numpy(mask).to(place)).cpu().numpy()

    return engines.Loaded("gpu" if place == "cuda" else "cpu", predictor.folder / weights.WEIGHTS, forward=answer)


class _Network:
    """The weights on a device, and the forward pass over them."""

    def __init__(self, read: weights.Encoder, place: str):
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
        self.weights = {name: torch.from_numpy(np.ascontiguousarray(value)).to(place) for name, value in values.items()}

    def logits(self, ids: Any, mask: Any) -> Any:
        """(B, labels) float32 for (B, L) int32 token ids and mask."""
        return self._dense(self.pooler_activation(self._dense(self.states(ids, mask), "pooler")), "classifier")

    def states(self, ids: Any, mask: Any) -> Any:
        """(B, h) float32: the last states of the first tokens."""
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
    load=functools.partial(_load, _Network.logits),
    load_states=functools.partial(_load, _Network.states),
    recipe=lambda: "torch 1, float32",
    least_equal=1.0,
    largest_difference=1e-4,
    timed=False,
)

"""The same weights in PyTorch, without transformers; CPU and GPU. PyTorch is optional: this project never installs it.

Shapes: B texts, L tokens of the longest of them, h hidden units, H heads of d = h / H units.
"""

import functools

import numpy as np

from halfbert.models import weights as encoder
from halfbert.predictor import engines
from halfbert.predictor.manifest import Predictor
from halfbert.system.errors import InputError, ResourceError

PACKAGE = "torch"
INSTALL = "pip install torch"
LEAST_EQUAL, LARGEST_DIFFERENCE = 1.0, 1e-4


def recipe(predictor: Predictor) -> str:
    """What decides the answers beside weights and configuration."""
    return "torch 1, float32"


def load(predictor: Predictor, device: str, threads: int | None) -> engines.Loaded:
    """Load the weights. Raises ResourceError where a GPU is asked for and PyTorch has none."""
    engines.require("torch")
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "gpu" and not has_gpu:
        raise ResourceError("engine torch on a GPU: PyTorch sees none here (else device='cpu')")
    place = "cuda" if has_gpu and device != "cpu" else "cpu"
    if threads is not None:
        torch.set_num_threads(threads)
    network = _Network(encoder.read(predictor.folder), place)

    def logits(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            answers = network.logits(torch.from_numpy(ids).to(place), torch.from_numpy(mask).to(place))
            return answers.cpu().numpy()

    return engines.Loaded("gpu" if place == "cuda" else "cpu", predictor.folder / encoder.WEIGHTS, logits=logits)


class _Network:
    """The weights on a device, and the forward pass over them."""

    def __init__(self, read: encoder.Encoder, place: str):
        import torch
        from torch.nn import functional

        activations = {"gelu": functional.gelu, "gelu_new": functools.partial(functional.gelu, approximate="tanh")}
        if read.activation not in activations:
            raise InputError(f"{read.folder}: activation {read.activation!r} is not known to the engine torch; take keras")
        self.functional, self.activation = functional, activations[read.activation]
        self.layers, self.heads, self.epsilon = read.layers, read.heads, read.epsilon
        self.pooler_activation = torch.tanh if read.kind == "bert" else functional.relu
        weights = {**read.weights, "positions": read.embedded_positions}
        # PyTorch's kernels are (out, in).
        weights = {name: value.T if name.endswith(".kernel") else value for name, value in weights.items()}
        self.weights = {name: torch.from_numpy(np.ascontiguousarray(value)).to(place) for name, value in weights.items()}

    def logits(self, ids, mask):
        """(B, labels) float32 for (B, L) int32 token ids and mask."""
        x = self.weights["words"][ids] + self.weights["positions"][: ids.shape[1]]  # (B, L, h)
        x = self._normalise(x, "embedding_norm")
        mask = mask.bool()[:, None, None, :]
        for number in range(self.layers):
            # No head reads another token's last state than the first's.
            x = self._layer(x, f"layers.{number}", mask, first_token_only=number == self.layers - 1)
        return self._dense(self.pooler_activation(self._dense(x[:, 0], "pooler")), "classifier")

    def _layer(self, x, name, mask, first_token_only):
        asked = x[:, :1] if first_token_only else x

        def by_head(states, part):  # (B, L, h) to (B, H, L, d)
            return self._dense(states, f"{name}.{part}").unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query, key, value = by_head(asked, "query"), by_head(x, "key"), by_head(x, "value")
        context = self.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended = self._dense(context.transpose(1, 2).flatten(2), f"{name}.attention_output")
        x = self._normalise(asked + attended, f"{name}.attention_norm")
        inner = self.activation(self._dense(x, f"{name}.intermediate"))
        return self._normalise(x + self._dense(inner, f"{name}.output"), f"{name}.output_norm")

    def _dense(self, x, name):
        return self.functional.linear(x, self.weights[f"{name}.kernel"], self.weights[f"{name}.bias"])

    def _normalise(self, x, name):
        scale, shift = self.weights[f"{name}.scale"], self.weights[f"{name}.shift"]
        return self.functional.layer_norm(x, scale.shape, scale, shift, self.epsilon)

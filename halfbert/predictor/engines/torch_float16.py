"""PyTorch in float16: half the memory, and the format of a GPU's matrix units."""

from halfbert.predictor.engines import torch

ENGINE = torch.variant("float16")

"""PyTorch in float32, the forward pass compiled by torch.compile, which takes up to minutes when it is loaded."""

from halfbert.predictor.engines import torch

ENGINE = torch.variant(compiled=True)

"""PyTorch in float16, the forward pass compiled by torch.compile."""

from halfbert.predictor.engines import torch

ENGINE = torch.variant("float16", compiled=True)

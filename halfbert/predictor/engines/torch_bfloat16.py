"""PyTorch in bfloat16: float32's range with 8 bits of precision, which recent CPUs compute as well."""

from halfbert.predictor.engines import torch

ENGINE = torch.variant("bfloat16")

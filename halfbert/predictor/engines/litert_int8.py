"""LiteRT, int8: the model of the engine `litert` with rounded kernels, and states rounded as they come, on the CPU."""

import functools
import math
from dataclasses import replace

from halfbert.predictor.engines import litert

ENGINE = replace(
    litert.ENGINE,
    load=functools.partial(litert.load, name="litert-int8", form="int8"),
    recipe=lambda: f"litert {litert.VERSION}, int8",
    least_equal=0.99,
    largest_difference=math.inf,
)

"""ONNX Runtime, int8 products: the graph of the engine `onnx` with rounded kernels and states, on the CPU."""

import platform

from halfbert.predictor import engines
from halfbert.predictor.engines import onnx
from halfbert.predictor.manifest import Predictor
from halfbert.system import machine
from halfbert.system.errors import ResourceError

PACKAGE, INSTALL = onnx.PACKAGE, onnx.INSTALL
LEAST_EQUAL, LARGEST_DIFFERENCE = 0.99, None
VERSION = 2  # of how products are rounded


def recipe(predictor: Predictor) -> str:
    """What decides the answers beside weights and configuration: the processor has a part in it."""
    return f"graph {onnx.VERSION}, int8 {VERSION} with {kernel_bits()}-bit kernels"


def load(predictor: Predictor, device: str, threads: int | None) -> engines.Loaded:
    """Load the graph, making it first where it is not there. Raises ResourceError where a GPU is asked for."""
    engines.require("onnx-int8")
    if device == "gpu":
        raise ResourceError("engine onnx-int8 on a GPU: it runs on the CPU only; take engine onnx, or device='cpu'")
    return onnx.load_graph(predictor, "onnx-int8", recipe(predictor), kernel_bits(), device, threads)


def kernel_bits() -> int:
    """8, or 7 on x86 processors without VNNI, whose int8 products add pairs in 16 bits, where 8 bits overflow."""
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    has_vnni = {"avx512_vnni", "avx_vnni"} & set(machine.hardware()["vector_extensions"])
    return 7 if x86 and not has_vnni else 8

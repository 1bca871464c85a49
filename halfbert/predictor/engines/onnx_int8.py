"""ONNX Runtime, int8 products: the graph of the engine `onnx` with rounded kernels and states, on the CPU."""

import platform

from halfbert.predictor import engines
from halfbert.predictor.engines import onnx
from halfbert.predictor.manifest import Predictor
from halfbert.system import machine
from halfbert.system.errors import ResourceError

VERSION = 2  # of how products are rounded


def load(predictor: Predictor, device: str, threads: int | None) -> engines.Loaded:
    """Load the graph, making it first if there is none. Raises ResourceError if a GPU is requested."""
    if device == "gpu":
        raise ResourceError("engine onnx-int8 on a GPU: it runs on the CPU only; choose engine onnx, or device='cpu'")
    return onnx.load(predictor, device, threads, "onnx-int8", kernel_bits())


ENGINE = engines.Engine(
    packages=onnx.ENGINE.packages,
    install=onnx.INSTALL,
    speed={"cpu": 4},
    load=load,
    load_states=lambda predictor, device, threads: onnx.load_states(predictor, device, threads, kernel_bits()),
    recipe=lambda: f"graph {onnx.VERSION}, int8 {VERSION} with {kernel_bits()}-bit kernels",
    least_equal=0.99,
)


def kernel_bits() -> int:
    """8, or 7 on x86 processors without VNNI, whose int8 products add pairs in 16 bits, where 8 bits overflow."""
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    has_vnni = {"avx512_vnni", "avx_vnni"} & set(machine.hardware()["vector_extensions"])
    return 7 if x86 and not has_vnni else 8

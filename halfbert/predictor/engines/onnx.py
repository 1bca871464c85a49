"""ONNX Runtime, float32: a graph written from the weights (`halfbert.models.onnx_graph`), on the CPU, or a GPU if requested.

The graph is made on first use and kept in the predictor's folder, as `engines/onnx/graph.onnx`, with a note beside it of what
it was made from; if that or the graph has changed, it is made again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfbert.models import weights
from halfbert.models.batching import Forward
from halfbert.predictor import engines, kept
from halfbert.predictor.manifest import Predictor
from halfbert.system import forks, machine
from halfbert.system.errors import ArtefactError, ResourceError

INSTALL = "pip install onnx onnxruntime"
GRAPH = "graph.onnx"
VERSION = 2  # of what onnx_graph writes
SLOWER_FUSION = "SkipLayerNormFusion"  # on a CPU several times as slow as the operators that it replaces


def load(
    predictor: Predictor, device: str, threads: int | None, name: str = "onnx", kernel_bits: int | None = None
) -> engines.Loaded:
    """Load the graph of the engine `name`, made with `kernel_bits` if there is none yet; device auto is the CPU.

    Raises ResourceError if a GPU is requested and ONNX Runtime has none.
    """
    import onnxruntime

    providers = ["CPUExecutionProvider"]
    if device == "gpu":
        forks.require_own("CUDA")
        providers.insert(0, "CUDAExecutionProvider")
        if providers[0] not in onnxruntime.get_available_providers():
            raise ResourceError(_no_gpu(name))
    file = predictor.folder / "engines" / name / GRAPH
    made_from = predictor.made_from(engines.find(name).recipe())
    graph = str(file) if kept.is_current(file, made_from) else _make(predictor, file, made_from, kernel_bits)
    try:
        session = open_session(graph, threads, providers)
    except Exception as error:  # ONNX Runtime's own kinds, which are no subclasses of anything narrower
        raise ArtefactError(f"{file}: ONNX Runtime {onnxruntime.__version__} cannot load it ({error})") from error
    if session.get_providers()[0] != providers[0]:  # it goes on with the CPU where CUDA fails to start
        raise ResourceError(_no_gpu(name))
    return engines.Loaded("gpu" if device == "gpu" else "cpu", file, forward=forward_of(session))


def load_states(predictor: Predictor, device: str, threads: int | None, kernel_bits: int | None = None) -> engines.Loaded:
    """Make the graph of the first-token states, for the CPU; it is not kept."""
    from halfbert.models import onnx_graph

    session = open_session(onnx_graph.write(weights.read(predictor.folder), kernel_bits, "states"), threads)
    return engines.Loaded("cpu", predictor.folder / weights.WEIGHTS, forward=forward_of(session))


ENGINE = engines.Engine(
    packages=("onnxruntime",),
    install=INSTALL,
    speed={"cpu": 3, "gpu": 1},
    load=load,
    load_states=load_states,
    recipe=lambda: f"graph {VERSION}, float32",
    least_equal=1.0,
    largest_difference=1e-4,
)


def open_session(graph: str | bytes, threads: int | None, providers: Sequence[str] = ("CPUExecutionProvider",)) -> Any:
    """Open ONNX Runtime's session over a graph, which is the name of a file or its content."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or machine.available_cpus()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    kept_apart = [] if "CUDAExecutionProvider" in providers else [SLOWER_FUSION]
    session = onnxruntime.InferenceSession(graph, options, providers=list(providers), disabled_optimizers=kept_apart)
    forks.never_free_in_children(session)
    return session


def _no_gpu(name: str) -> str:
    return f"engine {name} on a GPU: ONNX Runtime has none here (with CUDA: pip install onnxruntime-gpu; else device='cpu')"


def forward_of(session: Any) -> Forward:
    """What a session over a graph of `models.onnx_graph` answers."""
    return lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def _make(predictor: Predictor, file: Path, made_from: dict[str, str], kernel_bits: int | None) -> str | bytes:
    """Make a graph and keep it with its note; returns the file, or the graph itself if the folder cannot be written."""
    try:
        from halfbert.models import onnx_graph
    except ImportError as error:
        raise ResourceError(f"{file}: not made yet, and making it needs another package ({error}; {INSTALL})") from error

    return kept.keep(onnx_graph.write(weights.read(predictor.folder), kernel_bits), file, made_from)

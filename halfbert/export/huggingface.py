"""A folder as Hugging Face's libraries read it: transformers and its pipelines in PyTorch, Optimum and transformers.js in ONNX.

Weights, configuration and tokenizer are those that `--push-to-hub` uploads. transformers knows neither thresholds nor
calibration nor windows of long texts: these are in `answers.json`, and the card says so.
"""

from pathlib import Path

from halfbert.export import answers, smaller
from halfbert.export.target import Target
from halfbert.models import onnx_graph, weights
from halfbert.options import ExportOptions
from halfbert.output import card
from halfbert.predictor import engines
from halfbert.predictor.manifest import Predictor
from halfbert.system import storage

ONNX = "onnx/model.onnx"  # where Optimum and transformers.js look for it
SMALLER = "onnx/model_quantized.onnx"  # where transformers.js looks in browsers
TOKENIZER_CONFIG = "tokenizer_config.json"
OTHER_BYTES = 4_000_000  # tokenizer, card, what ONNX adds


def write(predictor: Predictor, options: ExportOptions, output: Path) -> None:
    """Write the folder. Raises InputError for an activation that ONNX graphs do not support, and what `smaller.choose` does."""
    encoder = weights.read(predictor.folder)
    graphs = {ONNX: onnx_graph.write(encoder, wide_inputs=True)}
    if options.smaller:
        graphs[SMALLER] = smaller.made(predictor, options, wide_inputs=True)
    with storage.atomic_folder(output) as folder:
        storage.reserve_space(folder, 2 * len(graphs[ONNX]) + OTHER_BYTES)
        weights.write_classifier(encoder, folder)
        # Pipelines truncate texts where the predictor does.
        settings = weights.read_json(folder / TOKENIZER_CONFIG)
        storage.write_json({**settings, "model_max_length": predictor.manifest.maxlen}, folder / TOKENIZER_CONFIG)
        (folder / ONNX).parent.mkdir()
        for name, graph in graphs.items():
            storage.write_bytes(graph, folder / name)
        storage.write_json(answers.described(predictor), folder / answers.FILE)
        own = (predictor.folder / "README.md").read_text(encoding="utf-8")
        storage.write_text(card.for_transformers(own, predictor.manifest, output.resolve().name), folder / "README.md")


TARGET = Target(write, ("safetensors",), engines.INSTALL_TRAIN, answers.FILE)

"""A page that answers in a browser, from disk and without a server: the predictor, ONNX Runtime for browsers, the tokenizer.

`pages` puts it together, `stating` and `tokenizer` say what its scripts know of the predictor, `runtime` holds ONNX Runtime,
and `checking` opens it in Chromium.
"""

from pathlib import Path

from halfbert.export import smaller
from halfbert.export.target import Target
from halfbert.export.web import checking, pages, stating
from halfbert.models import onnx_graph, onnx_storage, weights
from halfbert.options import ExportOptions
from halfbert.predictor.engines import onnx, onnx_int8
from halfbert.predictor.manifest import Predictor
from halfbert.system import storage, temporary
from halfbert.system.console import say


def write(predictor: Predictor, options: ExportOptions, output: Path) -> None:
    """Write the folder, or with `single_file` the one file.

    Raises InputError for a model or tokenizer that the page does not support; with `check` as `checking.check`, with `smaller`
    as `smaller.choose`.
    """
    if options.check:
        checking.require(checking.OPTION)
    stated = stating.stated(predictor)
    graph = smaller.made(predictor, options) if options.smaller else graph_of(predictor)
    files = pages.files(stated, graph, options.single_file)
    if options.check:
        with temporary.folder("page-") as room:
            for name, content in files.items():
                (room / name).write_bytes(content)
            say(checking.check(room / pages.INDEX, predictor.folder, graph).line)
    if options.single_file:
        storage.write_bytes(files[pages.INDEX], output)
        return
    with storage.atomic_folder(output) as folder:
        storage.reserve_space(folder, sum(map(len, files.values())))
        for name, content in files.items():
            storage.write_bytes(content, folder / name)


def graph_of(predictor: Predictor) -> bytes:
    """The graph of the page: that of the engine onnx-int8, stored in fewer bytes."""
    return onnx_storage.in_8_bits(onnx_graph.write(weights.read(predictor.folder), onnx_int8.kernel_bits()))


TARGET = Target(write, ("onnx", "onnxruntime"), onnx.INSTALL, pages.MODEL)

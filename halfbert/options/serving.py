"""Options of answering over HTTP."""

from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path

from halfbert.options import values
from halfbert.options.declaring import Options, option
from halfbert.options.prediction import DEVICES
from halfbert.options.training import DEBUG, in_machine, in_output
from halfbert.predictor import engines
from halfbert.system.errors import InputError
from halfbert.system.machine import available_cpus

ENGINES = [name for name in engines.names() if "tensorflow" not in engines.find(name).packages]  # and no pickle

of_server, in_limits = partial(option, "server"), partial(option, "limits")


@dataclass(kw_only=True)
class ServeOptions(Options):
    """Options of answering over HTTP."""

    predictors: list[Path] = of_server(
        MISSING,
        "predictors that a training script saved; each is served under the name of its folder, the first by default",
        values.paths,
        positional=True,
        many=True,
    )
    host: str = of_server("127.0.0.1", "address to listen on; others than this machine reach 0.0.0.0", metavar="ADDRESS")
    port: int = of_server(8000, "port to listen on; 0 takes a free one", values.port, metavar="N")
    workers: int = of_server(1, "processes that answer, each with its own copy of the predictors", values.count)
    api_key_file: Path | None = of_server(
        None,
        "file of keys, one a line, of which clients send one, as Authorization: Bearer KEY or X-API-Key: KEY (default: none is "
        "needed)",
        values.path,
        metavar="FILE",
    )
    shadow: float = of_server(
        0.0,
        "share of the texts that the engine onnx, in float32, answers as well, when there is time: how often the two agree is "
        "a metric",
        values.share,
        metavar="FRACTION",
    )
    log_texts: bool = of_server(False, "write the texts into the log, which otherwise has none")
    max_body: int = in_limits(2**20, "bytes of a request", values.count)
    max_texts: int = in_limits(1000, "texts of a request", values.count)
    max_characters: int = in_limits(20_000, "characters of a text", values.count)
    max_queue: int = in_limits(4000, "texts that wait for each predictor; beyond them requests are put off", values.count)
    max_upload: int = in_limits(10 * 2**20, "bytes of a table", values.count)
    timeout: float = in_limits(
        30.0, "seconds for a request, from its first byte to its answer", values.positive, metavar="SECONDS"
    )
    engine: str = in_machine("auto", "what computes the answers", choices=("auto", *ENGINES))
    device: str = in_machine("auto", "where to compute", choices=DEVICES)
    threads: int | None = in_machine(
        None, "processor threads of each worker's engines (default: an equal share of all)", values.count
    )
    debug: bool = in_output(False, DEBUG)

    def complete(self) -> None:
        """Share the processors among the workers."""
        if self.threads is None:
            self.threads = max(1, available_cpus() // self.workers)
        if self.shadow and self.engine == "onnx":
            raise InputError("--shadow: compares other engines with onnx; leave out --engine onnx")

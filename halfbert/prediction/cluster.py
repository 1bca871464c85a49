"""Answering parquet files with the workers of a Ray cluster, or of one started on this machine.

Ray Data maps an actor class over the parts of the files: what travels is the name of a part, while a worker reads its rows from
the files and writes them with their answers beside the output. A part is answered as a table of its own would be, so the
answers depend neither on the number of workers nor on which of them die.
"""

import contextlib
import dataclasses
import importlib.util
import logging
import os
import pickle
import platform
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from halfbert.data.phrases import counted
from halfbert.data.texts import DEFAULT
from halfbert.data.workbooks import first_line
from halfbert.options.prediction import PredictOptions
from halfbert.prediction.answering import Answering, answer_rows
from halfbert.prediction.blocks import Source
from halfbert.prediction.inputs import files_of
from halfbert.prediction.outputs import is_folder
from halfbert.prediction.parquet import Parquet, ParquetWriter
from halfbert.prediction.parts import Part, Parts, merged
from halfbert.prediction.scorer import Column, Scorer
from halfbert.prediction.summary import Progress, Summary
from halfbert.system import storage
from halfbert.system.errors import ArtefactError, HalfbertError, InputError, ResourceError

SECONDS_TO_CONNECT = 5
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # telemetry
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a warning about GPUs in each worker that uses none
}


def check(options: PredictOptions) -> None:
    """Raise InputError unless parquet files are answered into a folder, ResourceError if Ray is missing."""
    assert options.output is not None
    other = next((file for file in files_of(options.table) if file.suffix.lower() != ".parquet"), None)
    if other is not None:
        raise InputError(f"--ray {options.ray}: reads parquet, which workers can read in parts, and {other} is not")
    if not is_folder(options.output):
        raise InputError(f"--ray {options.ray}: writes a folder of parquet files; --output {options.output} is one file")
    if importlib.util.find_spec("ray") is None:
        raise ResourceError(f"--ray {options.ray}: the package ray is not installed: pip install 'halfbert[ray]'")


def predict(
    options: PredictOptions, sources: Sequence[Source], scorer: Scorer, columns: list[Column], say: Callable[[str], object]
) -> Summary:
    """Answer the rows of parquet files with the workers of a cluster, and write a file for each into the output folder."""
    assert options.output is not None
    made_by = scorer.made_by()
    named = {"columns": [column.name for column in columns], "text column": options.text_column}
    parts = Parts(options.output, [source for source in sources if isinstance(source, Parquet)], {**made_by, **named})
    for note in parts.notes:
        say(note)
    began, before = time.monotonic(), 0
    if not parts.is_published:
        left = [part for part in parts.all() if part.summary() is None]
        before = sum(part.rows for part in parts.all()) - sum(part.rows for part in left)
        if before:
            say(f"resumed: {counted(before, 'row')} had been answered by an earlier run")
        _answer(parts, left, Worker(scorer, made_by, columns, options.text_column or DEFAULT), options, say)
    summary = merged([summary for part in parts.all() if (summary := part.summary())])
    if parts.is_published:
        parts.remove()
    else:
        parts.publish()
    summary.output, summary.resumed, summary.seconds = options.output, before, time.monotonic() - began
    return summary


def _answer(
    parts: Parts, left: Sequence[Part], worker: "Worker", options: PredictOptions, say: Callable[[str], object]
) -> None:
    """Have the parts that are left answered, and join those of each file as soon as they are all there."""
    name_of = {part: name for name, own in parts.files.items() for part in own}
    unfinished = Counter(name_of[part] for part in left)
    for name in parts.files:
        if not unfinished[name]:
            parts.join(name)
    if not left:
        return
    progress = Progress(sum(part.rows for part in left))
    try:
        with connected(options.ray or ""):
            for part in _finished(left, worker, options, say):
                progress.advance(part.rows)
                name = name_of[part]
                unfinished[name] -= 1
                if not unfinished[name]:
                    parts.join(name)
    finally:
        progress.close()


def _finished(left: Sequence[Part], worker: "Worker", options: PredictOptions, say: Callable[[str], object]) -> Iterator[Part]:
    """The parts as workers finish them. Raises the error of the first that cannot be answered."""
    import ray.data
    from ray.exceptions import RayError

    workers = _workers(options, len(left))
    say(f"{counted(len(left), 'part')} for {counted(workers, 'worker')} ({counted(options.threads or 1, 'thread')} each)")
    answered = ray.data.from_items([dataclasses.asdict(part) for part in left], override_num_blocks=len(left)).map_batches(
        Answerer,
        fn_constructor_args=(worker,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
        num_cpus=worker.scorer.threads,
        num_gpus=1 if options.device == "gpu" else None,
    )
    by_target = {part.target: part for part in left}
    try:
        for row in answered.iter_rows():
            if row["failure"]:
                raise pickle.loads(row["failure"])
            yield by_target[row["target"]]
    except RayError as error:
        cause = first_line(getattr(error, "cause", None) or error)
        raise ResourceError(f"--ray {options.ray}: the cluster failed ({cause}); start the command again to go on") from error


def _workers(options: PredictOptions, parts: int) -> int:
    """How many workers answer: as many as are requested, or as the cluster has room for; not more than there are parts."""
    import ray

    kind, each = ("GPU", 1) if options.device == "gpu" else ("CPU", options.threads or 1)
    room = int(ray.cluster_resources().get(kind, 0) // each)
    if not room:
        raise ResourceError(f"--ray {options.ray}: no machine of the cluster has {counted(each, kind)} for a worker")
    return min(options.workers or room, parts)


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the cluster at an address; `auto` starts one on this machine where none runs, `local` always.

    Raises ResourceError if there is none at the address.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data

    if ray.is_initialized():  # in a notebook or a job of the cluster
        yield
        return
    _check_reachable(address)
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=None if address == "auto" else address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ResourceError(f"--ray {address}: no Ray cluster can be reached there ({first_line(error)})") from error
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)  # Ray's own would end the run with another exit code
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise ResourceError if nothing listens at an address HOST:PORT: Ray itself tries for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "://" not in address:
        try:
            socket.create_connection((host, int(port)), timeout=SECONDS_TO_CONNECT).close()
        except (OSError, OverflowError) as error:
            raise ResourceError(f"--ray {address}: no Ray cluster can be reached there ({error})") from error


@dataclasses.dataclass
class Worker:
    """What a worker needs: the scorer, what decides its answers on the machine that started the run, the added columns."""

    scorer: Scorer
    made_by: dict[str, Any]
    columns: list[Column]
    text_column: str

    def answer(self, part: Part) -> None:
        """Write the rows of a part with their answers, unless a worker that died afterwards has."""
        if part.summary() is not None:
            return
        part.begin()
        source = Parquet(Path(part.source), self.text_column, part.range)
        summary = Summary(None, self.scorer.classifier.engine, maxlen=self.scorer.manifest.maxlen)
        with storage.atomic_file(Path(part.target)) as stream:
            writer = ParquetWriter(stream, source, self.columns)
            answer_rows([source], Answering(self.scorer, None, lambda _rows: None), writer.write, summary)
            writer.close()
        if summary.rows != part.rows:
            raise InputError(f"{part.source}: has changed while it was read; start the command again")
        part.finish(summary)

    def check(self) -> None:
        """Raise ArtefactError if the answers of this process are not those of the process that started the run."""
        own = self.scorer.made_by()
        name = next((name for name in self.made_by if own.get(name) != self.made_by[name]), None)
        if name is not None:
            raise ArtefactError(
                f"{self.scorer.folder}: a worker on {platform.node()} answers otherwise than the machine that started the "
                f"run: {name} {own.get(name)} against {self.made_by[name]}; install the same on both"
            )


class Answerer:
    """The actor: answers one part after another with an engine that it loads once."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._checked = worker, False

    def __call__(self, batch: Any) -> dict[str, list[Any]]:
        """Answer the part in a batch of one row; a failure is a result, else Ray hides it in its own."""
        part = Part(**batch.to_pylist()[0])
        failure = b""
        try:
            if not self._checked:
                self._worker.check()
                self._checked = True
            self._worker.answer(part)
        except (HalfbertError, OSError, MemoryError) as error:
            failure = pickle.dumps(error)
        return {"target": [part.target], "failure": [failure]}

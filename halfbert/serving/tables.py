"""Tables that clients send to have them labelled: jobs in folders that all workers see, one at a time in each worker.

A table is answered by the code of `predict`, in batches that the lane answers when no texts wait.
"""

import contextlib
import json
import re
import secrets
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halfbert.data import texts
from halfbert.data.formats import READ_SUFFIXES
from halfbert.options.prediction import PredictOptions
from halfbert.prediction.course import answer_tables
from halfbert.prediction.outputs import WRITTEN_AS
from halfbert.prediction.scorer import Scorer
from halfbert.prediction.summary import Progress, Summary
from halfbert.serving.errors import Refusal, closing
from halfbert.serving.served import Served
from halfbert.system import storage
from halfbert.system.errors import HalfbertError, ResourceError

MOST_JOBS = 16  # in all workers, finished ones included
KEPT_SECONDS = 15 * 60.0  # after it was last changed
MOST_ROWS = 1_000_000
GROWTH = 20  # a job may take so many times the bytes of the largest upload
SECONDS_BETWEEN_STATES = 0.5
STATE, UNSAFE = "state.json", re.compile(r"[^\w .()+-]")
OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")  # of the command line, in a message
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
SUMMARY = ("rows", "seconds", "engine", "labels", "reviewed", "without_label", "repeated", "truncated")


@dataclass
class State:
    """What a client is shown of a job. `total` is None while it is unknown how many rows there are."""

    id: str
    name: str
    predictor: str
    status: str = WAITING
    rows: int = 0
    total: int | None = None
    summary: dict[str, Any] | None = None
    error: str | None = None


class Removed(Exception):
    """The client has no more use for a job."""


class Tables:
    """The jobs in a folder; several processes may share it."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tables")
        self._closing = threading.Event()

    def begin(self, name: str, predictor: str) -> tuple[State, Path]:
        """A new job, and the file that its table is to be written to. Raises Refusal for a format that is none, and if full."""
        safe = UNSAFE.sub("_", Path(name.replace("\\", "/")).name).lstrip(". ")[-100:]
        suffix = Path(safe).suffix.lower()
        if suffix not in READ_SUFFIXES:
            raise Refusal(415, "format", f"name: expected the name of a table, with one of {', '.join(READ_SUFFIXES)}")
        if sum(1 for _ in self._folder.iterdir()) >= MOST_JOBS:
            raise Refusal(429, "busy", "too many tables; try again in 60 s, or remove one", {"Retry-After": "60"})
        state = State(secrets.token_urlsafe(16), safe, predictor)
        folder = self._folder / state.id
        folder.mkdir(mode=0o700)
        self.write(state)
        return state, folder / safe

    def start(self, state: State, served: Served, options: dict[str, Any]) -> None:
        """Answer a job's table when its turn has come; `options` are those of `predict`. Raises Refusal when it is closed."""
        try:
            self._pool.submit(self._run, state, served, options)
        except RuntimeError:
            raise closing() from None

    def state(self, number: str) -> State:
        """Raises Refusal if there is no such job."""
        try:
            return State(**json.loads((self._of(number) / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise Refusal(404, "no_table", "no such table; those that were finished are removed after a while") from None

    def table(self, number: str) -> tuple[Path, State]:
        """The labelled table of a job that is done. Raises Refusal if it is not."""
        state = self.state(number)
        if state.status != DONE:
            raise Refusal(409, state.status, state.error or "the table is not labelled yet")
        return self._of(number) / "labelled" / output_name(state.name), state

    def remove(self, number: str) -> None:
        """Stop a job, and remove its files. Raises Refusal if there is no such job."""
        self.state(number)
        shutil.rmtree(self._of(number), ignore_errors=True)

    def sweep(self) -> None:
        """Remove the jobs that nobody has changed for a while."""
        for folder in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - (folder / STATE).stat().st_mtime > KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Stop what runs, and begin nothing more."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _of(self, number: str) -> Path:
        if not re.fullmatch(r"[\w-]{20,30}", number, re.ASCII):
            raise Refusal(404, "no_table", "no such table")
        return self._folder / number

    def write(self, state: State) -> None:
        """Show clients how far a job is."""
        storage.write_json(asdict(state), self._of(state.id) / STATE)

    def _run(self, state: State, served: Served, given: dict[str, Any]) -> None:
        folder = self._of(state.id)
        try:
            state.status = RUNNING
            self.write(state)
            summary = self._answer(state, served, given)
            state.summary = {**{name: getattr(summary, name) for name in SUMMARY}, "unanswered": dict(summary.unanswered)}
            state.status = DONE
        except Removed:
            shutil.rmtree(folder, ignore_errors=True)
            return
        except (HalfbertError, OSError) as error:
            line = " ".join(str(error).replace(f"{folder}/", "").split())
            state.status, state.error = FAILED, OPTION.sub(lambda match: match[1].replace("-", "_"), line)
        except Exception as error:  # whatever a library makes of a table
            state.status, state.error = FAILED, f"the table cannot be answered ({type(error).__name__})"
        with contextlib.suppress(OSError):  # removed in the meantime
            self.write(state)

    def _answer(self, state: State, served: Served, given: dict[str, Any]) -> Summary:
        folder, generation = self._of(state.id), served.now
        classifier = generation.classifier.with_forward(generation.lane.forward)
        trained_on = generation.manifest.text_columns
        options = PredictOptions(
            predictor=classifier.predictor.folder,
            table=[str(folder / state.name)],
            output=folder / "labelled" / output_name(state.name),
            engine=classifier.engine,
            **{"text_column": texts.named(trained_on or [texts.DEFAULT]), **given},
        )

        def scorer_of(options: PredictOptions) -> Scorer:
            rule, named = options.rule(), options.top or 0
            scorer = Scorer(options.predictor, options.engine, top=named, every_probability=options.probabilities, rule=rule)
            vars(scorer)["classifier"] = classifier  # in place of a second one, loaded from the folder
            return scorer

        def progress_of(total: int | None) -> Progress:
            state.total = total
            return _Progress(self, state, folder)

        assert options.output is not None
        options.output.parent.mkdir()
        return answer_tables(options, trained_on, scorer_of, lambda line: None, progress_of)

    def check(self, folder: Path, rows: int) -> None:
        """Raise if a job is to end early."""
        if self._closing.is_set() or not folder.is_dir():
            raise Removed
        if rows > MOST_ROWS:
            raise ResourceError(f"more than {MOST_ROWS:,} rows; predict.py answers tables of any length")
        if storage.folder_bytes(folder) > GROWTH * self._most_bytes:
            raise ResourceError("the table unpacks to too much; predict.py answers tables of any size")


class _Progress(Progress):
    """Counts a job's rows, and writes how far it is now and then."""

    def __init__(self, tables: Tables, state: State, folder: Path) -> None:
        self._tables, self._state, self._folder, self._written = tables, state, folder, 0.0

    def advance(self, rows: int) -> None:
        self._state.rows += rows
        now = time.monotonic()
        if now - self._written > SECONDS_BETWEEN_STATES:
            self._written = now
            self._tables.check(self._folder, self._state.rows)
            self._tables.write(self._state)

    def close(self) -> None:
        """There is no bar."""


def output_name(name: str) -> str:
    """What the labelled table of an input is called."""
    file = Path(name)
    suffix = WRITTEN_AS.get(file.suffix.lower(), file.suffix.lower())
    return f"{file.stem}_labelled{suffix}"

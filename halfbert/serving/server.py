"""One process of a server: loads the predictors, answers until a signal ends it, and then what was taken in."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn

import halfbert
from halfbert.options.serving import ServeOptions
from halfbert.serving import metrics
from halfbert.serving.application import application
from halfbert.serving.bodies import Held
from halfbert.serving.connections import KEEP_ALIVE_SECONDS, MOST_CONNECTIONS, Connection
from halfbert.serving.guard import Guard
from halfbert.serving.keys import Keys
from halfbert.serving.lane import Seen
from halfbert.serving.predicting import HELD_BODIES, Serving
from halfbert.serving.served import Served, Source, names_of
from halfbert.serving.shadow import ENGINE, Shadow
from halfbert.serving.tables import Tables
from halfbert.system.errors import InputError

SECONDS_BETWEEN_LOOKS = 2.0  # at the folders
SWITCH_SECONDS = 0.001  # between threads of Python: the engine's thread waits so long for the interpreter at most
log = logging.getLogger("halfbert.serving")


class Server(uvicorn.Server):
    """uvicorn's server, whose signals are handled here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(
    options: ServeOptions,
    listening: socket.socket,
    folder: Path,
    ready: Callable[[], object],
    signals: Sequence[signal.Signals] = SIGNALS,
) -> None:
    """Serve until one of the signals; returns when what was taken in is answered.

    `ready` is called once the predictors are loaded. Raises what `halfbert.load` raises, and InputError for a file of keys that
    cannot be read.
    """
    prepare_log()
    sys.setswitchinterval(SWITCH_SECONDS)
    keys = Keys(options.api_key_file) if options.api_key_file else None
    serving = load(options, folder)
    config = uvicorn.Config(
        guarded(serving, keys),
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(options.timeout) + 1,
    )
    try:
        asyncio.run(_serve(Server(config), serving, keys, listening, ready, signals))
    finally:
        serving.tables.close()
        serving.explainer.close()
        for served in serving.predictors.values():
            served.now.lane.close()
        for shadow in serving.shadows.values():
            shadow.close()


def load(options: ServeOptions, shared: Path) -> Serving:
    """The predictors, loaded and checked; `shared` is the folder of clients' tables, which all workers share."""
    predictors = {}
    for name, folder in names_of(options.predictors).items():
        source = Source(folder, options.engine, options.device, options.threads)
        predictors[name] = Served(name, source, _seen(name), log.warning)
        if options.shadow and predictors[name].now.classifier.engine == ENGINE:
            raise InputError(f"--shadow: {name} is answered by {ENGINE} itself, the engine to compare with; leave it out")
    shadows = {name: Shadow(name, options.shadow) for name in predictors} if options.shadow else {}
    return Serving(options, predictors, shadows, {}, Held(HELD_BODIES * options.max_body), Tables(shared, options.max_upload))


def guarded(serving: Serving, keys: Keys | None) -> Guard:
    """The application as it is served."""
    return Guard(application(serving, halfbert.__version__), keys, serving.options.timeout, serving.options.host)


def _seen(name: str) -> Seen:
    texts, waited = metrics.BATCH.labels(name), metrics.QUEUE_SECONDS.labels(name)
    return Seen(
        batch=lambda count, _tokens: texts.observe(count),
        waited=waited.observe,
        failed=lambda error: log.error("%s: the engine failed (%s)", name, type(error).__name__),
    )


async def _serve(
    server: Server,
    serving: Serving,
    keys: Keys | None,
    listening: socket.socket,
    ready: Callable[[], object],
    signals: Sequence[signal.Signals],
) -> None:
    loop = asyncio.get_running_loop()
    look = asyncio.Event()

    def end() -> None:
        server.force_exit = serving.draining  # the second signal
        serving.draining = server.should_exit = True

    _handle(loop, signals, end)
    forced = []

    def reload() -> None:
        forced.append(True)
        look.set()

    if hasattr(signal, "SIGHUP"):
        _handle(loop, [signal.SIGHUP], reload)
    watching = asyncio.create_task(_watch(serving, keys, look, forced))
    ready()
    try:
        await server.serve([listening])
    finally:
        watching.cancel()


def _handle(loop: asyncio.AbstractEventLoop, numbers: Sequence[signal.Signals], handler: Callable[[], None]) -> None:
    for number in numbers:
        try:
            loop.add_signal_handler(number, handler)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(handler))


async def _watch(serving: Serving, keys: Keys | None, look: asyncio.Event, forced: list[bool]) -> None:
    """Look at the folders now and then, and at once when told to; load again what changed."""
    while True:
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(look.wait(), SECONDS_BETWEEN_LOOKS)
        look.clear()
        asked = bool(forced)
        forced.clear()
        if asked and keys is not None:
            try:
                keys.reload()
            except InputError as error:
                log.warning("%s; the earlier keys go on", error)
        await asyncio.to_thread(serving.tables.sweep)
        for served in serving.predictors.values():
            metrics.QUEUE_TEXTS.labels(served.name).set(served.now.lane.waiting)
            try:
                await asyncio.to_thread(served.reload_if_changed, asked)
            except Exception as error:  # whatever a damaged file makes a library raise: the loaded one goes on
                log.warning("%s: refused, what is loaded goes on (%s)", served.name, type(error).__name__)


def prepare_log() -> None:
    """Have the log's lines on standard error, with time and process."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
    for name, level in (("halfbert.serving", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)

"""Times of LiteRT models on an Android phone, by LiteRT's own benchmark program, through `adb`.

The program is not part of this project: https://ai.google.dev/edge/litert/models/measurement has builds of it. None of this
ever ran on a phone; tests stand in for it with a program of the same output.
"""

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from halfbert.system.errors import InputError, ResourceError

FOLDER = "/data/local/tmp/halfbert"  # which programs may be run from
MODELS = "engines/litert*/**/*.tflite"  # of a predictor
RUNS = 50
SECONDS_AT_MOST = 600  # of one command
TIMES = re.compile(r"Inference timings in us: Init: ([\d.e+]+).*Inference \(avg\): ([\d.e+]+)")
MEMORY = re.compile(r"Memory footprint delta.*overall=([\d.e+]+)")
INPUT = "ids"  # as `models.litert_graph` names it
WORDS = 30_000  # that tokens are drawn from; a little fewer than every BERT's vocabulary has


@dataclass(kw_only=True)
class Timed:
    """One text on the phone: seconds to load the model and, on average, to answer; bytes of the file and of memory, 0: unknown.

    The text has so many `tokens`, drawn at random by the program.
    """

    predictor: str
    engine: str
    threads: int
    tokens: int
    file_bytes: int
    peak_bytes: int
    load_seconds: float
    mean_seconds: float


def require(program: Path) -> None:
    """Raise InputError if there is no such program, ResourceError if adb or the phone is missing."""
    if not program.is_file():
        raise InputError(f"--adb {program}: no such file; give LiteRT's benchmark_model, built for the phone's processor")
    if shutil.which("adb") is None:
        raise ResourceError("--adb: adb is not on the path; it is part of Android's platform tools")
    attached = [line for line in _adb("devices").splitlines() if line.endswith("\tdevice")]
    if len(attached) != 1:
        found = "no phone is attached" if not attached else f"{len(attached)} phones are attached"
        raise ResourceError(f"--adb: {found}, or none that allows debugging; `adb devices` is to list one as device")


def measure(program: Path, predictors: list[Path], threads: list[int], lengths: Sequence[int]) -> Iterator[Timed]:
    """Time the LiteRT models of predictors; what is copied to the phone is removed again."""
    try:
        _adb("shell", "mkdir", "-p", FOLDER)
        _adb("push", str(program), f"{FOLDER}/benchmark_model")
        _adb("shell", "chmod", "755", f"{FOLDER}/benchmark_model")
        for predictor in predictors:
            for model in sorted(predictor.glob(MODELS)):
                _adb("push", str(model), f"{FOLDER}/model.tflite")
                for count, tokens in itertools.product(threads, lengths):
                    yield _timed(predictor, model, count, tokens)
    finally:
        _adb("shell", "rm", "-rf", FOLDER)


def _timed(predictor: Path, model: Path, threads: int, tokens: int) -> Timed:
    options = [f"--graph={FOLDER}/model.tflite", f"--num_threads={threads}", f"--num_runs={RUNS}"]
    options += [f"--input_layer={INPUT}", f"--input_layer_shape=1,{tokens}"]
    options.append(f"--input_layer_value_range={INPUT},0,{WORDS - 1}")
    printed = _adb("shell", f"{FOLDER}/benchmark_model", *options)
    times, memory = TIMES.search(printed), MEMORY.search(printed)
    if not times:
        last = (printed.strip().splitlines() or ["nothing"])[-1]
        raise ResourceError(f"--adb: benchmark_model printed no times of {model.name}; its last line: {last}")
    return Timed(
        predictor=predictor.resolve().name,
        engine=model.relative_to(predictor).parts[1],
        threads=threads,
        tokens=tokens,
        file_bytes=model.stat().st_size,
        peak_bytes=int(float(memory[1]) * 2**20) if memory else 0,
        load_seconds=float(times[1]) / 1e6,
        mean_seconds=float(times[2]) / 1e6,
    )


def _adb(*words: str) -> str:
    """What adb printed, both streams. Raises ResourceError where it fails."""
    try:
        done = subprocess.run(["adb", *words], capture_output=True, text=True, timeout=SECONDS_AT_MOST)
    except subprocess.TimeoutExpired:
        raise ResourceError(f"--adb: adb {words[0]} took more than {SECONDS_AT_MOST} s") from None
    if done.returncode:
        line = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ResourceError(f"--adb: adb {words[0]} failed ({line})")
    return done.stdout + done.stderr

"""The course of a benchmark, from folders and texts to a record; every engine runs in a process of its own.

A contestant (a predictor behind an engine on a device with so many threads) is tried once, which also makes the engine's
files and gives its answers. Then, repeat by repeat, each is started afresh and timed alone, in turn and in the opposite turn
every second time; and pairs are started together and timed in blocks of A B B A.
"""

import contextlib
import importlib.metadata
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from halfbert.benchmark import figures as benchmark_figures
from halfbert.benchmark import plan as benchmark_plan
from halfbert.benchmark import statistics as timing
from halfbert.benchmark.figures import WHO, contestant_key
from halfbert.benchmark.process import Worker
from halfbert.benchmark.report import PUBLISHED, agreement_line
from halfbert.predictor import engines
from halfbert.system import machine
from halfbert.system.console import Stopped, StopRequest, progress, say
from halfbert.system.errors import ArtefactError, ResourceError

SCHEMA_VERSION = 1
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnx", "tokenizers", "torch")
REFERENCE = "keras"  # the engine that the others' answers are compared with
START_SECONDS = 5  # of a process and its warm-up, on average; for the estimate only


@contextlib.contextmanager
def started(contestant: dict, run: "Benchmark") -> Iterator[Worker]:
    """A fresh process that has the contestant loaded, has answered the first text, and was given all of them."""
    predictor = run.predictor(contestant)
    job = {
        "folder": str(predictor["folder"]),
        "engine": contestant["engine"],
        "device": contestant["device"],
        "threads": contestant["threads"],
        "allow_disagreement": run.options.allow_disagreement or predictor["random_weights"],
        "first_text": run.texts["natural"][0],
    }
    worker = Worker(job, contestant["threads"])
    try:
        texts = {kind: run.texts[kind] for kind in ("natural", "fixed")}
        worker.lengths = worker.ask({"do": "texts", **texts, "fixed_tokens": benchmark_plan.FIXED_TOKENS})
        yield worker
    finally:
        worker.close()


def to_prove(engine_names: Sequence[str]) -> list[str]:
    """Those of the engines that are held against keras, and are installed."""
    return [name for name in engine_names if engines.find(name).LEAST_EQUAL is not None and engines.installed(name)]


def prove(predictor: dict, texts: dict, engine_names: Sequence[str]) -> None:
    """Have engines make their files and compare them with keras on all the texts; the figures go into the manifest."""
    say(f"comparing {', '.join(engine_names)} with keras: {predictor['name']}")
    job = {"folder": str(predictor["folder"]), "texts": texts["all"], "texts_name": texts["name"]}
    worker = Worker({"prove": {**job, "engine_names": list(engine_names)}}, machine.available_cpus())
    worker.close()
    for engine, found in worker.ready.items():
        say(f"  {agreement_line(engine, found)}")
    predictor["agreement"] = {**predictor["agreement"], **worker.ready}


# ---------------------------------------------------------------------------------------------------------------------------
# The course


class Benchmark:
    """Options, texts, predictors and contestants of one benchmark, and what was measured so far."""

    def __init__(self, options, texts: dict, predictors: list[dict], stop: StopRequest):
        self.options, self.texts, self.predictors, self.stop = options, texts, predictors, stop
        self.contestants = benchmark_plan.contestants(options, predictors)
        self.cases = benchmark_plan.cases(options, texts)
        self.ceilings: dict[str, float] = {}
        self.load_before = _load_average()

    def predictor(self, contestant: dict) -> dict:
        """The predictor of a contestant."""
        return next(p for p in self.predictors if p["name"] == contestant["predictor"])

    @property
    def running(self) -> list[dict]:
        """The contestants that can be measured."""
        return [contestant for contestant in self.contestants if not contestant["not_run"]]

    def try_all(self) -> None:
        """Start each contestant once: who cannot run is noted with the reason, the others' answers are compared.

        This makes the engines' files, so that no cold start has to. Where a device was asked for and none of its contestants
        runs, raises what the first of them failed with: ResourceError, or ArtefactError for engines that answer otherwise.
        """
        answers, failures = {}, {}
        for contestant in progress(self.contestants, len(self.contestants), "trying the engines"):
            try:
                with started(contestant, self) as worker:
                    answers[contestant_key(contestant)] = worker.ask({"do": "answers"})["answers"]
                    contestant |= {name: worker.ready[name] for name in ("weight_bytes", "model_alone")}
                    self.predictor(contestant)["token_lengths"] = worker.lengths
            except (ArtefactError, ResourceError) as error:
                failures.setdefault(contestant["device"], error)
                _leave_out(contestant, error)
        for device in self.options.devices:
            if all(contestant["not_run"] for contestant in self.contestants if contestant["device"] == device):
                raise type(failures[device])(f"no engine runs on the {device}: {failures[device]}")
        self._compare_answers(answers)

    def _compare_answers(self, answers: dict[tuple, list]) -> None:
        labels = self.texts["labels"]
        for contestant in self.running:
            mine = answers[contestant_key(contestant)]
            predictor = self.predictor(contestant)
            reference = next(
                (
                    answers[contestant_key(other)]
                    for other in self.running
                    if (other["predictor"], other["engine"]) == (predictor["name"], REFERENCE)
                ),
                None,
            )
            if reference is not None:
                contestant["equal_answers"] = _equal_share(mine, reference)
            known = labels is not None and predictor["task"] == "multiclass" and set(labels) <= set(predictor["labels"])
            if known and not predictor["random_weights"]:
                contestant["accuracy"] = _equal_share(mine, labels)

    def plan_line(self) -> str:
        """What will be timed, and about how long that takes."""
        options = self.options
        timed = sum(case["scenario"] != "paper" for case in self.cases) * options.seconds
        pairs = len(self.pairs())
        each = len(self.contestants) * (START_SECONDS + timed) + pairs * (START_SECONDS + options.seconds)
        return (
            f"{len(self.contestants)} contestants, {options.repeats} repeats of {options.seconds:g} s for each of "
            f"{len(self.cases)} cases, and {pairs} pairs: about {max(1, options.repeats * each / 60):,.0f} minutes, or more"
        )

    def prove_missing(self) -> None:
        """Compare with keras what was never compared, so that it can be believed or refused."""
        for predictor in self.predictors:
            missing = [engine for engine in to_prove(self.options.engines) if engine not in predictor["agreement"]]
            if missing and not predictor["random_weights"] and not self.options.allow_disagreement:
                prove(predictor, self.texts, missing)

    # -- one contestant alone

    def measure_alone(self) -> None:
        """Time every contestant, each repeat in a fresh process, in turn."""
        repeats = self.options.repeats
        turns = [
            (repeat, contestant)
            for repeat in range(repeats)
            for contestant in (self.running if repeat % 2 == 0 else self.running[::-1])
        ]
        for contestant in self.running:
            contestant["cases"] = [self._case(case, contestant) for case in self.cases_of(contestant)]
        for repeat, contestant in self._turns(turns, "timing each engine alone"):
            if not contestant["not_run"]:
                try:
                    self._one_repeat(contestant, repeat)
                except ResourceError as error:  # what it did before stays in the record
                    _leave_out(contestant, error)

    def _turns(self, turns: list, label: str) -> Iterator:
        """The turns one after the other, until a signal asks to stop: what was measured by then is reported."""
        for turn in progress(turns, len(turns), label):
            if self.stop.signal_number is not None:
                return
            yield turn

    def _one_repeat(self, contestant: dict, repeat: int) -> None:
        with started(contestant, self) as worker:
            for case in contestant["cases"]:
                case["blocks"].append(self._block(worker, case, repeat))
            if "cold" in self.options.scenarios:
                seconds = {"first_answer_seconds": worker.first_answer_seconds, **worker.ready["seconds"]}
                contestant["cold"].append({"repeat": repeat, **seconds, **worker.ask({"do": "memory"})})

    def cases_of(self, contestant: dict) -> list[dict]:
        """The cases that a contestant can run.

        The paper's is one for the processor. An engine that takes texts alone, as ktrain's does, shows no model alone and
        cuts texts where it was trained to.
        """
        predictor, fixed = self.predictor(contestant), benchmark_plan.FIXED_TOKENS
        longest = predictor["positions"] if contestant["model_alone"] else predictor["maxlen"]
        return [
            case
            for case in self.cases
            if (case["scenario"] != "paper" or contestant["device"] == "cpu")
            and (case["part"] != "model" or contestant["model_alone"])
            and (case["lengths"] != "fixed" or longest >= fixed)
        ]

    def _case(self, case: dict, contestant: dict) -> dict:
        predictor = self.predictor(contestant)
        lengths = itertools.islice(itertools.cycle(predictor["token_lengths"][case["lengths"]]), case["texts"])
        return {**case, "gflop": benchmark_plan.gflop(predictor["sizes"], list(lengths)), "blocks": []}

    def _block(self, worker: Worker, case: dict, repeat: int) -> dict:
        asked = {name: case[name] for name in ("lengths", "part", "batch", "texts")}
        warm_up = worker.ask({"do": "warm", "case": asked})["seconds"]
        seconds = 0.0 if case["scenario"] == "paper" else self.options.seconds
        block = timing.undisturbed(lambda: worker.ask({"do": "block", "case": asked, "seconds": seconds}), self.most_attempts)
        return {"repeat": repeat, "warm_up_seconds": warm_up, **block}

    @property
    def most_attempts(self) -> int:
        """How often a disturbed block is measured: once only in a quick look."""
        return 1 if self.options.quick else timing.MOST_ATTEMPTS

    # -- two against each other

    def pairs(self) -> list[tuple[dict, dict, dict]]:
        """(A, B, case): engines of one predictor against its first, predictors against the first by the same engine.

        In the setting with the most threads of each device; and each A against itself.
        """
        settings = {device: [c for c in self.running if c["device"] == device] for device in self.options.devices}
        found = []
        for all_here in settings.values():
            here = [c for c in all_here if c["threads"] == max(c["threads"] for c in all_here)]
            for b in here:
                same_predictor = next(a for a in here if a["predictor"] == b["predictor"])
                same_engine = next(a for a in here if a["engine"] == b["engine"])
                found += [(a, b) for a in (same_predictor, same_engine) if a is not b]
        firsts = list({id(a): a for a, _ in found}.values())
        batches = {"single": 1, "offline": benchmark_figures.chief_batch(self.options.batches)}
        wanted = [batch for scenario, batch in batches.items() if scenario in self.options.scenarios]
        return [
            (a, b, {"lengths": "natural", "part": "end to end", "batch": batch, "texts": self._texts_a_pass(batch)})
            for a, b in [*((a, a) for a in firsts), *found]
            for batch in wanted
        ]

    def _texts_a_pass(self, batch: int) -> int:
        return -(-len(self.texts["natural"]) // batch) * batch

    def measure_pairs(self) -> list[dict]:
        """Time every pair in blocks of A B B A, a fresh pair of processes for each repeat."""
        by_processes: dict[tuple, list[dict]] = {}
        for a, b, case in self.pairs():
            sides = {side: dict(zip(WHO, contestant_key(c), strict=True)) for side, c in zip("ab", (a, b), strict=True)}
            by_processes.setdefault((id(a), id(b)), [a, b]).append({**sides, "case": case, "blocks": []})
        turns = [(repeat, found) for repeat in range(self.options.repeats) for found in by_processes.values()]
        for repeat, (a, b, *entries) in self._turns(turns, "timing pairs"):
            try:
                with started(a, self) as first, started(b, self) as second:
                    for entry in entries:
                        entry["blocks"].append({"repeat": repeat, **self._four_blocks(first, second, entry["case"])})
            except ResourceError as error:  # two at once may be too much where one was not
                say(f"a pair was left out, repeat {repeat + 1}: {error}")
        entries = [entry for found in by_processes.values() for entry in found[2:]]
        return [{**entry, "comparison": _comparison(entry, entries)} for entry in entries]

    def _four_blocks(self, first: Worker, second: Worker, case: dict) -> dict:
        for worker in (first, second):
            worker.ask({"do": "warm", "case": case})

        def block() -> dict:
            command = {"do": "block", "case": case, "seconds": self.options.seconds / 4}
            done = [worker.ask(command) for worker in (first, second, second, first)]
            sides = {"a": [done[0]["seconds"], done[3]["seconds"]], "b": [done[1]["seconds"], done[2]["seconds"]]}
            return {**sides, **{name: sum(part[name] for part in done) for name in ("cpu_seconds", "wall_seconds")}}

        return timing.undisturbed(block, self.most_attempts)

    # -- the machine

    def measure_ceilings(self) -> None:
        """The rate of one large matrix product with each number of threads, in a fresh process."""
        for threads in {contestant["threads"] for contestant in self.running if contestant["device"] == "cpu"}:
            worker = Worker({"ceiling_products": 3 if self.options.quick else 20, "threads": threads}, threads)
            worker.close()
            self.ceilings[str(threads)] = max(self.ceilings.get(str(threads), 0.0), worker.ready["gflop_per_second"])

    # -- the record

    def record(self, pairs: list[dict]) -> dict:
        """Everything that was measured, and under what circumstances; every value is plain JSON."""
        options, texts = self.options, self.texts
        described = machine.describe(",".join(options.devices), max(options.threads), "as each engine's", 0)
        described["versions"] |= _versions(RUNTIMES)
        described["hardware"]["gpus"] = _gpus() if "gpu" in options.devices else []
        state = {"governor": _governor(), "load_average": {"before": self.load_before, "after": _load_average()}}
        record = {
            "schema_version": SCHEMA_VERSION,
            "quick": options.quick,
            "stopped": None if self.stop.signal_number is None else str(Stopped(self.stop.signal_number)),
            "protocol": {
                "repeats": options.repeats,
                "seconds": options.seconds,
                "fixed_tokens": benchmark_plan.FIXED_TOKENS,
                "foreign_limit": timing.FOREIGN_LIMIT,
                "most_attempts": self.most_attempts,
                "samples_beyond_percentile": timing.SAMPLES_BEYOND,
            },
            "environment": {**described, **state},
            "texts": {**{name: texts[name] for name in ("name", "sha256", "rows", "used")}, "tokens": self._histograms()},
            "predictors": [{k: v for k, v in p.items() if k not in ("folder", "token_lengths")} for p in self.predictors],
            "ceilings": self.ceilings,
            "contestants": self.contestants,
            "pairs": pairs,
            "published": PUBLISHED,
        }
        return {**record, "figures": benchmark_figures.figures(record)}

    def _histograms(self) -> dict[str, dict]:
        """By predictor, how many texts have each number of tokens as that predictor's tokenizer cuts them."""
        found = {}
        for predictor in self.predictors:
            lengths = predictor.get("token_lengths", {}).get("natural")
            if lengths:
                values, counts = np.unique(lengths, return_counts=True)
                histogram = {str(value): int(count) for value, count in zip(values, counts, strict=True)}
                found[predictor["name"]] = {**timing.describe(lengths), "histogram": histogram}
        return found


def _comparison(entry: dict, entries: list[dict]) -> dict | None:
    """What a pair's blocks say, given those of its A against itself; None for that one, and where blocks are lacking."""
    itself = next(e for e in entries if e["a"] == e["b"] == entry["a"] and e["case"] == entry["case"])
    if entry is itself or not entry["blocks"] or not itself["blocks"]:
        return None
    batch = entry["case"]["batch"]
    seconds = {side: [_seconds_per_text(block[side], batch) for block in entry["blocks"]] for side in "ab"}
    return {
        **{f"{side}_seconds_per_text": float(np.median(values)) for side, values in seconds.items()},
        **timing.compare(_ratios(entry), _ratios(itself)),
    }


def _ratios(entry: dict) -> list[float]:
    """The ratio A / B of each ABBA block; each of its four stretches counts by its mean call."""
    return [timing.block_ratio(*([float(np.mean(part)) for part in block[side]] for side in "ab")) for block in entry["blocks"]]


def _seconds_per_text(parts: list[list[float]], batch: int) -> float:
    return float(np.mean([np.mean(part) for part in parts])) / batch


def _leave_out(contestant: dict, error: Exception) -> None:
    contestant["not_run"] = str(error)
    say(f"not measured: {contestant['predictor']}, {contestant['engine']}, {contestant['setting']}: {error}")


def _equal_share(answers: Sequence, others: Sequence) -> float:
    return sum(one == other for one, other in zip(answers, others, strict=True)) / len(answers)


def _load_average() -> float | None:
    """Processes that ran or waited to, on average over the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _gpus() -> list[str]:
    """The GPUs by name, as their driver's own tool lists them."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    return []


def _governor() -> str | None:
    """How Linux chooses the processors' clock rate; None where it does not tell, as in most virtual machines."""
    file = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return file.read_text().strip() if file.is_file() else None

"""The course of a benchmark, from options to a record and its report; every engine runs in processes of its own.

Every contestant is tried once. Then, repeat by repeat, each is started afresh and timed alone; and pairs are started together
and timed in blocks of A B B A.
"""

import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from halfbert.benchmark import base, browser, device_study, phone, plots, report, statistics, timing, trial
from halfbert.benchmark import record as records
from halfbert.benchmark.figures import figures
from halfbert.benchmark.page import PAGE, page_of
from halfbert.benchmark.plan import FIXED_TOKENS, Plan, Subject, check_columns, count_known, describe, read_texts
from halfbert.benchmark.process import Worker
from halfbert.benchmark.record import Environment, Pair, Protocol, Record, Tokens
from halfbert.export.web import checking
from halfbert.options import BenchmarkOptions
from halfbert.output import page
from halfbert.predictor import engines
from halfbert.system import machine, storage
from halfbert.system.console import Stopped, StopRequest, say

REPORT_BYTES = 50_000_000  # of record, tables and plots: samples of many hours
ALSO_RUNNING = ("onnx", "tokenizers")  # packages beside those of the engines


@dataclass(frozen=True)
class Benchmarked:
    """A finished benchmark: its record, and the folder of tables and plots, beside which the record is `folder`.json.

    With `prepare` nothing is timed, and both are None; with `device_study` the record is another, and None here.
    """

    record: Record | None
    folder: Path | None


def benchmark(options: BenchmarkOptions, stop: StopRequest) -> Benchmarked:
    """Try, time, compare and report predictors behind engines; a signal ends the timing, and what was measured is reported."""
    with contextlib.ExitStack() as stack:
        output = options.output.resolve()
        if not options.prepare:
            report.check_output(options.output, options.overwrite)
            storage.check_free_space(output, REPORT_BYTES)
            stack.enter_context(storage.output_lock(output))
        texts = read_texts(options)
        subjects = [describe(folder, max(options.threads)) for folder in options.predictors]
        check_columns(subjects, texts)
        count_known(subjects, texts)
        if options.prepare:
            for subject in subjects:
                trial.prove(subject, texts, engines.provable(options.engines), max(options.threads))
            return Benchmarked(None, None)
        if options.adb is not None:
            phone.require(options.adb)
        if options.browser:
            checking.require(browser.OPTION)
        if options.base:
            say("making BERT-base and DistilBERT-base with random weights")
            folders = stack.enter_context(base.folders())
            subjects += [describe(folder, random_weights=True) for folder in folders]
        plan = Plan(options, texts, subjects)
        if not options.device_study:
            say(plan.line(len(timing.pairs(plan))))
        load_before = load_average()
        trial.prove_missing(plan)
        trial.try_all(plan)
        stop.gently = True
        if options.device_study:
            study = study_of(plan, load_before, stop)
            device_study.write(study, output)
            stop.raise_if_set()
            return Benchmarked(None, output)
        ceilings = measure_ceilings(plan)
        timing.measure_alone(plan, stop)
        record = record_of(plan, timing.measure_pairs(plan, stop), ceilings, load_before, stop)
        write_report(record, output)
        say(report.closing(record, options.output))
        stop.raise_if_set()
        return Benchmarked(record, output)


def time_engines(options: BenchmarkOptions, stop: StopRequest) -> Record:
    """The record of every engine timed alone: what a comparison of predictors needs, without pairs and report."""
    plan = Plan(options, read_texts(options), [describe(folder, max(options.threads)) for folder in options.predictors])
    load_before = load_average()
    trial.prove_missing(plan)
    trial.try_all(plan)
    timing.measure_alone(plan, stop)
    return record_of(plan, [], {}, load_before, stop)


def write_report(record: Record, output: Path) -> None:
    """Write the record as `output`.json, and then tables and plots into the folder `output`."""
    records.write(record, report.record_file(output))
    storage.remove_leftovers(output)
    with storage.atomic_folder(output) as folder:
        pictures = plots.draw(record, folder)
        storage.write_text(report.markdown(record, pictures), folder / report.MARKDOWN)
        report.write_workbook(record, folder / "report.xlsx")
        page.write(page_of(record, pictures, folder, output.name), folder / PAGE)


def measure_ceilings(plan: Plan) -> dict[str, float]:
    """The rate of one large matrix product, in GFLOP/s, by number of threads, each in a fresh process."""
    ceilings = {}
    for threads in {contestant.threads for contestant in plan.running if contestant.device == "cpu"}:
        worker = Worker({"ceiling_products": 3 if plan.options.quick else 20, "threads": threads}, threads)
        worker.close()
        ceilings[str(threads)] = worker.ready["gflop_per_second"]
    return ceilings


def study_of(plan: Plan, load_before: float | None, stop: StopRequest) -> device_study.Study:
    """The study, in a browser and on a phone as well if that is asked for."""
    options = plan.options
    studied = device_study.measure(plan, stop)
    folders = [subject.folder for subject in plan.subjects]
    not_run = {str(contestant): contestant.not_run for contestant in plan.contestants if contestant.not_run}
    if options.browser:
        studied += device_study.in_browser(plan, stop, not_run)
    on_phone = [] if options.adb is None else list(phone.measure(options.adb, folders, options.threads, device_study.LENGTHS))
    return device_study.Study(
        repeats=options.repeats,
        seconds=options.seconds,
        texts=plan.texts.used.name,
        environment=environment_of(options, load_before),
        predictors=[subject.described for subject in plan.subjects],
        studied=studied,
        not_run=not_run,
        on_phone=on_phone,
        published=device_study.PAPER,
    )


def environment_of(options: BenchmarkOptions, load_before: float | None) -> Environment:
    """The machine, and what else it did."""
    described = machine.describe(",".join(options.devices), max(options.threads), "as each engine's", 0)
    described.versions.update(_versions())
    described.hardware["gpus"] = gpus() if "gpu" in options.devices else []
    return Environment(**vars(described), governor=_governor(), load_average={"before": load_before, "after": load_average()})


def record_of(
    plan: Plan, pairs: list[Pair], ceilings: dict[str, float], load_before: float | None, stop: StopRequest
) -> Record:
    """Everything that was measured, and under what circumstances."""
    options = plan.options
    plan.texts.used.tokens = {s.described.name: _tokens(s) for s in plan.subjects if s.token_lengths}
    record = Record(
        quick=options.quick,
        stopped=None if stop.signal_number is None else str(Stopped(stop.signal_number)),
        protocol=Protocol(
            repeats=options.repeats,
            seconds=options.seconds,
            fixed_tokens=FIXED_TOKENS,
            foreign_limit=statistics.FOREIGN_LIMIT,
            most_attempts=timing.most_attempts(plan),
            samples_beyond_percentile=statistics.SAMPLES_BEYOND,
        ),
        environment=environment_of(options, load_before),
        texts=plan.texts.used,
        predictors=[subject.described for subject in plan.subjects],
        ceilings=ceilings,
        contestants=plan.contestants,
        pairs=pairs,
        published=report.PUBLISHED,
    )
    record.figures = figures(record)
    return record


def _tokens(subject: Subject) -> Tokens:
    lengths = [sum(windows) for windows in subject.token_lengths["natural"]]
    values, counts = np.unique(lengths, return_counts=True)
    histogram = {str(value): int(count) for value, count in zip(values, counts, strict=True)}
    return Tokens(**vars(statistics.describe(lengths)), histogram=histogram)


def load_average() -> float | None:
    """Processes that ran or waited to, on average over the last minute; None where the system does not report it."""
    with contextlib.suppress(OSError):
        return round(psutil.getloadavg()[0], 2)
    return None


def _versions() -> dict[str, str]:
    packages = [*(package for name in engines.names() for package in engines.find(name).packages), *ALSO_RUNNING]
    return {package: version for package in packages if (version := machine.version_of(package))}


def gpus() -> list[str]:
    """The GPUs by name, as their driver's own tool lists them."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    return []


def _governor() -> str | None:
    """How Linux chooses the processors' clock rate; None where it does not report that, as in most virtual machines."""
    file = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return file.read_text().strip() if file.is_file() else None

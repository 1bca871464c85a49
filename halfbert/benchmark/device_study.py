"""The on-device study of DistilBERT's authors for one's own predictors: file, memory, load time and one text, by runtime.

Every measurement is a fresh process, as in `course`; one text at a time, of LENGTHS tokens, end to end.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from halfbert.benchmark import browser, phone, statistics
from halfbert.benchmark import record as records
from halfbert.benchmark.plan import Plan
from halfbert.benchmark.plots import logarithmic
from halfbert.benchmark.process import Worker
from halfbert.benchmark.record import Contestant, Environment, Predictor, Published, Who, Work
from halfbert.benchmark.report import MARKDOWN, SANH, record_file
from halfbert.benchmark.timing import most_attempts
from halfbert.benchmark.trial import job_of, leave_out
from halfbert.data.phrases import counted
from halfbert.output import drawing, record, sheets
from halfbert.output.labelling import Named, name_points
from halfbert.output.words import model_name, significant
from halfbert.system import storage
from halfbert.system.console import StopRequest, progress, say
from halfbert.system.errors import ArtefactError, HalfbertError

LENGTHS = (32, 128)  # tokens
TEXTS = 16  # of each length, in turn
SECONDS_DIGITS = 6
PAPER = [
    Published(
        "time of one text on an iPhone 7 Plus, BERT's over DistilBERT's", 1.71, 1.0, "", f"{SANH}, on-device computation"
    ),
    Published("DistilBERT's file", 0.0, 207.0, "MB", f"{SANH}, on-device computation"),
]
PICTURE = "on_device.png"
COLOURS = {"bert": drawing.VERMILLION, "distilbert": drawing.BLUE}


@dataclass(kw_only=True)
class Studied(Who):
    """A predictor behind an engine: bytes of its file, greatest memory of the process in bytes, seconds; medians of repeats.

    `load_seconds` are those from the runtime's import to a predictor that is loaded; `p50_seconds` are of one text by its
    tokens, of `samples` calls. `score` is of the texts of the benchmark, where these have labels.
    """

    model: str
    random_weights: bool
    file_bytes: int
    peak_bytes: int
    load_seconds: float
    p50_seconds: dict[str, float]
    samples: dict[str, int]
    score: float | None
    equal_answers: float | None


@dataclass(kw_only=True)
class Study:
    """A study, with the circumstances; `on_phone` are the phone's own timings, if there was one."""

    repeats: int
    seconds: float
    texts: str
    environment: Environment
    predictors: list[Predictor]
    studied: list[Studied]
    not_run: dict[str, str]
    on_phone: list[phone.Timed]
    published: list[Published]


def measure(plan: Plan, stop: StopRequest) -> list[Studied]:
    """Measure every contestant in fresh processes, in turn; those that a signal left unmeasured are missing."""
    found: dict[Who, list[_Once]] = {contestant.who: [] for contestant in plan.running}
    turns = [(repeat, contestant) for repeat in range(plan.options.repeats) for contestant in plan.running]
    for _, contestant in progress(turns, len(turns), "timing each engine as on a device"):
        if stop.signal_number is not None:
            break
        if not contestant.not_run:
            try:
                found[contestant.who].append(_once(contestant, plan))
            except HalfbertError as error:
                leave_out(contestant, error)
    return [_studied(plan, each, found[each.who]) for each in plan.running if found[each.who]]


@dataclass(frozen=True)
class _Once:
    peak_bytes: int
    load_seconds: float
    seconds: dict[int, list[float]]


def _once(contestant: Contestant, plan: Plan) -> _Once:
    texts, seconds = plan.texts.by_lengths, {}
    worker = Worker(job_of(contestant, plan), contestant.threads)
    try:
        for tokens in LENGTHS:
            worker.ask({"do": "texts", "natural": texts["natural"][:1], "fixed": texts["fixed"], "fixed_tokens": tokens})
            work = records.part(Work, Work(lengths="fixed", part="end to end", batch=1, texts=TEXTS))
            worker.ask({"do": "warm", "work": work})
            command = {"do": "block", "work": work, "seconds": plan.options.seconds}
            best, _ = statistics.undisturbed(lambda: records.Timed(**worker.ask(command)), most_attempts(plan))  # noqa: B023
            seconds[tokens] = best.seconds
        memory = worker.ask({"do": "memory"})
        peak = memory["resident_after_import"] + memory["peak_above_import"]
        return _Once(peak, worker.ready["seconds"]["load_seconds"], seconds)
    finally:
        worker.close()


def _studied(plan: Plan, contestant: Contestant, repeats: list[_Once]) -> Studied:
    predictor = plan.subject(contestant).described
    samples = {tokens: [second for once in repeats for second in once.seconds[tokens]] for tokens in LENGTHS}
    return Studied(
        **vars(contestant.who),
        model=predictor.model,
        random_weights=predictor.random_weights,
        file_bytes=contestant.weight_bytes or 0,
        **_medians([once.peak_bytes for once in repeats], [once.load_seconds for once in repeats], samples),
        score=contestant.accuracy,
        equal_answers=contestant.equal_answers,
    )


def in_browser(plan: Plan, stop: StopRequest, not_run: dict[str, str]) -> list[Studied]:
    """The predictors as pages in Chromium; why one has none is put into `not_run`. Those of random weights are left out."""
    found, texts = [], plan.texts
    subjects = [subject for subject in plan.subjects if not subject.described.random_weights]
    for subject in progress(subjects, len(subjects), "timing pages"):
        predictor = subject.described
        if stop.signal_number is not None:
            break
        if predictor.maxlen < max(LENGTHS):
            not_run[f"{predictor.name}, browser"] = f"the page reads {counted(predictor.maxlen, 'token')} at most"
            continue
        given = (texts.by_lengths["fixed"][:TEXTS], LENGTHS, texts.by_lengths["natural"], texts.labels)
        try:
            timed = browser.measure(subject.folder, *given, plan.options.seconds, plan.options.repeats)
        except HalfbertError as error:
            not_run[f"{predictor.name}, browser"] = str(error)
            continue
        found.append(
            Studied(
                predictor=predictor.name,
                engine="browser, int8",
                device="cpu",
                threads=1,
                setting="Chromium, 1 thread",
                model=predictor.model,
                random_weights=False,
                file_bytes=timed.file_bytes,
                **_medians(timed.peak_bytes, timed.load_seconds, timed.seconds),
                score=timed.accuracy,
                equal_answers=None,
            )
        )
    return found


def _medians(peaks: list[int], load_seconds: list[float], seconds: dict[int, list[float]]) -> dict[str, Any]:
    """The medians of the repeats, and of all samples, as `Studied` has them."""
    return {
        "peak_bytes": int(np.median(peaks)),
        "load_seconds": round(float(np.median(load_seconds)), SECONDS_DIGITS),
        "p50_seconds": {str(tokens): round(float(np.median(samples)), SECONDS_DIGITS) for tokens, samples in seconds.items()},
        "samples": {str(tokens): len(samples) for tokens, samples in seconds.items()},
    }


def table(study: Study) -> str:
    """A line for each predictor, runtime and number of threads; then DistilBERT against BERT, and the paper's figures."""
    heads = ["predictor", "engine", "setting", "file, MB", "peak memory, MB", "load, s"]
    heads += [*(f"one text of {tokens} tokens, p50, ms" for tokens in LENGTHS), "accuracy"]
    lines = []
    for each in study.studied:
        milliseconds = [significant(1000 * each.p50_seconds[str(tokens)]) for tokens in LENGTHS]
        cells = [f"{each.file_bytes / 1e6:.1f}", f"{each.peak_bytes / 1e6:,.0f}", f"{each.load_seconds:.2f}", *milliseconds]
        cells.append("–" if each.score is None else f"{each.score:.4f}")
        lines.append([each.predictor, each.engine, each.setting, *cells])
    for timed in study.on_phone:
        cells = [f"{timed.file_bytes / 1e6:.1f}", f"{timed.peak_bytes / 1e6:,.0f}", f"{timed.load_seconds:.2f}"]
        cells += [f"{significant(1000 * timed.mean_seconds)} (mean, {timed.tokens} tokens)", "–", "–"]
        lines.append([timed.predictor, timed.engine, f"phone, {counted(timed.threads, 'thread')}", *cells])
    parts = [sheets.markdown_table(heads, lines), _ratios(study)]
    paper = ", ".join(f"{each.what}: {each.distilbert if each.unit else each.bert:g} {each.unit}".strip() for each in PAPER)
    parts.append(f"In the paper ({SANH}): {paper}.")
    parts += [f"Not measured: {who}: {why}." for who, why in study.not_run.items()]
    return "\n\n".join(part for part in parts if part)


def _ratios(study: Study) -> str:
    """BERT's time over DistilBERT's, and the share of time saved, where a pair ran behind the same engine in one setting."""
    lines = []
    for bert in (each for each in study.studied if each.model == "bert"):
        for other in study.studied:
            same = (other.engine, other.setting, other.random_weights) == (bert.engine, bert.setting, bert.random_weights)
            if other.model == "distilbert" and same:
                ratios = [bert.p50_seconds[str(tokens)] / other.p50_seconds[str(tokens)] for tokens in LENGTHS]
                shown = [f"{ratio:.2f} ({1 - 1 / ratio:.0%})" for ratio in ratios]
                lines.append([f"{bert.predictor} / {other.predictor}", bert.engine, bert.setting, *shown])
    heads = ["pair", "engine", "setting", *(f"BERT's time / DistilBERT's, {tokens} tokens (time saved)" for tokens in LENGTHS)]
    return sheets.markdown_table(heads, lines) if lines else ""


def draw(study: Study, path: Path) -> None:
    """Draws one text's time against the bytes of the file, a panel for each length, with the fewest threads."""
    threads = min(each.threads for each in study.studied)
    points = [each for each in study.studied if each.threads == threads]
    with drawing.picture(path, 13.4, 5.2) as canvas:
        panels = canvas.subplots(1, len(LENGTHS), sharey=True, squeeze=False)[0]
        named: list[list[Named]] = []
        for axes, tokens in zip(panels, LENGTHS, strict=True):
            named.append([])
            for each in points:
                x, y = each.file_bytes / 1e6, 1000 * each.p50_seconds[str(tokens)]
                hollow = "white" if each.random_weights else COLOURS[each.model]
                axes.scatter(x, y, 50, facecolor=hollow, edgecolor=COLOURS[each.model], linewidth=1.5)
                size = ", base size" if each.random_weights else ""
                named[-1].append(Named(x, y, f"{model_name(each.model)}{size}, {each.engine}", COLOURS[each.model]))
            for which in "xy":
                logarithmic(axes, which)
            axes.set(title=f"{tokens} tokens", xlabel="file, MB (log scale)")
            axes.margins(0.18)
        panels[0].set_ylabel("milliseconds for one text, p50 (log scale)")
        drawing.title(
            canvas,
            "One text at a time: down and left is better",
            f"{counted(threads, 'thread')}; hollow: full-size configurations with random weights",
        )
        for axes, of_panel in zip(panels, named, strict=True):
            name_points(axes, of_panel)


def read(file: Path) -> Study:
    """The record in a file. Raises ArtefactError where it is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Study)
    except msgspec.MsgspecError as error:
        raise ArtefactError(f"{file}: not the record of a study ({error})") from error


def write(study: Study, output: Path) -> None:
    """Write the record as `output`.json, then table and picture into the folder `output`."""
    storage.write_json(record.finite(msgspec.to_builtins(study)), record_file(output))
    storage.remove_leftovers(output)
    with storage.atomic_folder(output) as folder:
        if study.studied:
            draw(study, folder / PICTURE)
        storage.write_text(f"# On the device\n\n{table(study)}\n", folder / MARKDOWN)
    say(table(study))
    say(f"record: {record_file(output)}   table and picture: {output}")

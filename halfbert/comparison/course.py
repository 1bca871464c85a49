"""The course of a comparison: contestants fitted part by part, their answers to the same test rows set side by side."""

import contextlib
import dataclasses
import importlib.util
from pathlib import Path

import msgspec
import numpy as np

from halfbert.benchmark import record as benchmark_records
from halfbert.benchmark.course import time_engines
from halfbert.cli import options
from halfbert.comparison import baseline
from halfbert.comparison import judging as figures
from halfbert.comparison.jobs import Finished, Part, Work, code_sha256
from halfbert.distillation import teacher
from halfbert.models import checkpoints
from halfbert.output import text as report
from halfbert.output.record import Record
from halfbert.predictor import engines
from halfbert.system import machine, processes, storage
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import ArtefactError, HalfbertError, InputError
from halfbert.system.machine import PROJECT
from halfbert.training import tasks
from halfbert.training.run import reading

RECORD = "comparison.json"
SCHEMA_VERSION = 1
STUDENT, CONTROL = "student", "distilbert"
SMALLEST_FIRST = (baseline.NAME, STUDENT, "distilbert", "bert")
CURVE = (0.25, 0.5)  # of the training rows
PILOT_ROWS, PILOT_TEST_ROWS = 512, 256
USABLE = 0.9  # of a time limit: estimates err
SPEED_SECONDS = 120  # a predictor, for the benchmark's quick look; for the estimate only
SPEED_TEXTS = 128


class Comparison:
    """Options and data of one comparison, and what was found so far; as a context manager it holds the locks."""

    def __init__(self, chosen, stop: StopRequest):
        self.options, self.stop, self.task = chosen, stop, chosen.task
        self.work = Work(chosen.work, chosen.debug)
        self.rows: int | None = chosen.rows
        self.fitted: dict[str, list[Finished]] = {}
        self.curve: list[tuple[str, Finished]] = []
        self.notes: list[str] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Comparison":
        chosen = self.options
        storage.check_disjoint(chosen.output, chosen.work, "--work")
        storage.check_output(chosen.output, "--output", chosen.overwrite, marker=RECORD)
        with contextlib.ExitStack() as stack:
            for folder in (chosen.output, chosen.work):
                stack.enter_context(storage.output_lock(folder.resolve()))
            storage.remove_leftovers(chosen.output.resolve())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *failure) -> None:
        self._stack.__exit__(*failure)

    def say(self, note: str) -> None:
        """Say something that the report is to say as well."""
        self.notes.append(note)
        say(note)

    # -- what is compared

    def read(self) -> None:
        """Read the table once, for all to be told of its mistakes before anything is fitted, and find the checkpoints."""
        asked = self._asked("bert", self.options.seed)
        self.reading, self.columns = reading(asked), tasks.reader(self.task, asked)[1]
        if self.task == "multilabel":
            self.columns["drop_constant_labels"] = asked.drop_constant_labels
        self.data = baseline.read_data(self.task, self.reading, self.columns)
        say(report.data_line(self.data))
        for note in self.data.notes:
            say(f"  {note}")
        self.asked = asked
        self.truth = tasks.truth(self.task, self.data.test, self.data.labels).astype(bool)
        # The student begins as DistilBERT does, whether that is a contestant or not.
        models = [*self.options.contestants, *([CONTROL] if self.options.distill else [])]
        self.checkpoints = {
            name: checkpoints.find(name, self._weights(name)) for name in dict.fromkeys(models) if name in checkpoints.MODELS
        }
        for checkpoint in self.checkpoints.values():
            if checkpoint.note:
                self.say(checkpoint.note)
        if self.options.distill:
            teacher.check_tokenizers(self.checkpoints[CONTROL], self.checkpoints["bert"].folder, "bert")

    def _weights(self, model: str) -> str | None:
        return self.options.contestants.get(model) or self.options.checkpoint

    @property
    def contestants(self) -> list[str]:
        """From the smallest to the largest."""
        return [n for n in SMALLEST_FIRST if n in self.options.contestants or (n == STUDENT and self.options.distill)]

    def _asked(self, model: str, seed: int, *more: str):
        """The options of a training run, as its script understands them."""
        parser = {"multiclass": options.multiclass_parser, "multilabel": options.multilabel_parser}[self.task]()
        parser.prog = "compare.py"
        arguments = ["--model", model, *self.options.training, *more, "--seed", str(seed), *self._split_seed()]
        return options.parse_training(parser, arguments, self.task)

    def _split_seed(self) -> list[str]:
        chosen = self.options
        return ["--split-seed", str(chosen.seed if chosen.split_seed is None else chosen.split_seed)]

    def part(self, contestant: str, seed: int, rows: int | None, test_rows: int | None = None) -> Part:
        """The part of a contestant, on so many training rows (None: all) and test rows (None: as the options say)."""
        name = f"{contestant}-seed{seed}" + (f"-rows{rows}" if rows != self.options.rows else "")
        sizes = [word for n, option in ((rows, "--rows"), (test_rows, "--test-rows")) if n for word in (option, str(n))]
        if contestant == baseline.NAME:
            return self._baseline_part(name, rows, test_rows)
        if contestant == STUDENT:
            return self._student_part(name, seed, sizes, rows, test_rows)
        asked = self._asked(contestant, seed, *sizes)
        script = PROJECT / f"train_{self.task}.py"
        command = [
            *(str(script), *self._model(contestant), *self.options.training, *sizes),
            *("--seed", str(seed), *self._split_seed()),
        ]
        depends_on = self._depends_on(script, _without_places(vars(asked)), self.checkpoints[contestant].weights_sha256)
        return Part(name, command, depends_on)

    def _baseline_part(self, name: str, rows: int | None, test_rows: int | None) -> Part:
        told = {**self.reading, "rows": rows, "test_rows": test_rows or self.reading["test_rows"]}
        job = {
            "task": self.task,
            "reading": told,
            "columns": self.columns,
            "threshold": getattr(self.asked, "threshold", None),
            "balanced": bool(getattr(self.asked, "class_weights", None) or getattr(self.asked, "balance", False)),
        }
        depends_on = self._depends_on(Path(baseline.__file__), {**job, "reading": _without_places(told)}, None)
        return Part(name, ["-m", "halfbert.comparison.baseline"], depends_on, {"do": "fit", **job})

    def _student_part(self, name: str, seed: int, sizes: list[str], rows: int | None, test_rows: int | None) -> Part:
        taught_by = self.work.finish(self.part("bert", seed, rows, test_rows))
        script, asked = PROJECT / "distill.py", [*self.options.teaching, *sizes, "--seed", str(seed), *self._split_seed()]
        command = [str(script), "--teacher", str(taught_by.predictor), *self._model(CONTROL), *asked, "--no-control"]
        told = _without_places(vars(self._asked(CONTROL, seed, *sizes)))
        weights = [taught_by.part.identity, self.checkpoints[CONTROL].weights_sha256]
        return Part(name, command, self._depends_on(script, told, weights))

    def _model(self, model: str) -> list[str]:
        """What a script is told of the weights that a contestant begins with."""
        weights = self._weights(model)
        return ["--model", model, *(["--checkpoint", weights] if weights else [])]

    def _depends_on(self, script: Path, asked: dict, weights: str | list[str] | None) -> dict:
        return {
            "options": asked,
            "data": [{name: file[name] for name in ("role", "sha256")} for file in self.data.files],
            "weights": weights,
            "code": code_sha256(script),
            "versions": machine.versions(),
        }

    # -- running

    def keep_to_time_limit(self) -> None:
        """Where there is a time limit: fit short runs, and choose how many rows are likely to be done in it."""
        if self.options.time_limit is None:
            return
        rows = max(PILOT_ROWS, 2 * len(self.data.labels))
        if rows >= len(self.data.train):
            self.say(f"--time-limit: {len(self.data.train):,} training rows are too few to be worth a timed run; all are used")
            return
        seed = self.options.seed
        pilots = {name: self.work.finish(self.part(name, seed, rows, PILOT_TEST_ROWS)) for name in self.contestants}
        spent = sum(pilot.seconds for pilot in pilots.values())
        costs = {name: cost(pilot.record, pilot.seconds, len(self.data.test)) for name, pilot in pilots.items()}
        fixed = sum(costs[name][0] * self._fits(name)[0] for name in costs) + spent + SPEED_SECONDS * len(self.checkpoints)
        a_row = sum(costs[name][1] * self._fits(name)[1] for name in costs)
        possible = int((60 * USABLE * self.options.time_limit - fixed) / a_row)
        if possible < rows:
            minutes = (fixed + rows * a_row) / 60 / USABLE
            raise InputError(
                f"--time-limit {self.options.time_limit:g}: on {rows:,} rows alone the fits would take about {minutes:.0f} "
                f"minutes; give more, or fewer --seeds or --contestants"
            )
        wanted = len(self.data.train)  # --rows is in it already
        self.rows = self.options.rows if possible >= wanted else possible
        which = f"all {wanted:,}" if possible >= wanted else f"{possible:,} of {wanted:,}, drawn by label,"
        self.say(
            f"--time-limit {self.options.time_limit:g}: short runs of {rows:,} rows took {spent:.0f} s; {which} training rows "
            f"are likely to be done in the time; every test row is used"
        )

    def _fits(self, contestant: str) -> tuple[float, float]:
        """How often a contestant is fitted, and on how many times all rows altogether."""
        seeds = 1 if contestant == baseline.NAME else self.options.seeds
        return (seeds + len(CURVE), seeds + sum(CURVE)) if self.options.learning_curve else (seeds, seeds)

    def fit(self) -> None:
        """Fit every contestant with every seed; and, for the learning curve, with the first on fewer rows."""
        for name in self.contestants:
            # Logistic regression has one solution, whatever the seed.
            seeds = 1 if name == baseline.NAME else self.options.seeds
            self.fitted[name] = [
                self._checked(self.work.finish(self.part(name, self.options.seed + n, self.rows))) for n in range(seeds)
            ]
        if self.options.learning_curve:
            rows = self.fitted[self.contestants[0]][0].record.data.rows.train
            sizes = {max(round(share * rows), 2 * len(self.data.labels)) for share in CURVE}
            for size in sorted(size for size in sizes if size < rows):
                for name in self.contestants:
                    self.curve.append((name, self._checked(self.work.finish(self.part(name, self.options.seed, size)))))

    def _checked(self, finished: Finished) -> Finished:
        """Raise ArtefactError where the answers are not those of the test rows that everybody else was asked."""
        if finished.numbers.tolist() != self.data.test.numbers or finished.probabilities.shape != self.truth.shape:
            raise ArtefactError(f"{finished.results}: answers other test rows than those of this comparison; delete the folder")
        return finished

    def answers(self, finished: Finished) -> np.ndarray:
        """(test rows, labels) bool."""
        return tasks.answers(self.task, finished.probabilities, finished.record.test.get("thresholds"))

    def measure_speed(self) -> dict:
        """Time the contestants of the first seed, by the benchmark's own quick look; those of scikit-learn by its protocol."""
        first = {name: fits[0] for name, fits in self.fitted.items()}
        neural = {name: fit for name, fit in first.items() if fit.part.job is None}
        speeds: dict[str, list[dict]] = {name: [] for name in first}
        if baseline.NAME in first:
            speeds[baseline.NAME] = [{"engine": "scikit-learn", **self._time_baseline(first[baseline.NAME])}]
        if neural:
            try:
                record = self._benchmark(neural)
            except HalfbertError as error:
                self.say(f"speed was not measured: {error}")
                return speeds
            for name, fit in neural.items():
                speeds[name] = figures.engine_speeds(record, fit.part.label)
        return speeds

    def _benchmark(self, neural: dict[str, Finished]) -> benchmark_records.Record:
        """The record of the benchmark's quick look at these predictors, each engine alone."""
        chosen = self.asked
        arguments = [
            *("--quick", "--rows", str(SPEED_TEXTS), "--scenarios", "single,offline,cold"),
            *("--engines", ",".join(engines.timed()), "--devices", "gpu" if chosen.device == "gpu" else "cpu"),
            *("--threads", str(chosen.threads or machine.available_cpus())),
            *(f"--texts={chosen.test or chosen.train}", f"--text-column={chosen.text_column}"),
            *(f"--{name}={getattr(chosen, name)}" for name in ("sheet", "encoding") if getattr(chosen, name)),
            *(["--drop-missing"] if chosen.drop_missing else []),
        ]
        depends_on = {
            "arguments": [word for word in arguments if not word.startswith("--texts")],
            "parts": [fit.part.identity for fit in neural.values()],
            "code": code_sha256(PROJECT / "benchmark.py"),
            "hardware": machine.hardware(),
        }

        def make(file: Path) -> None:
            folders = [str(fit.predictor) for fit in neural.values()]
            asked = options.parse_benchmark(options.benchmark_parser(), [*folders, *arguments])
            benchmark_records.write(time_engines(asked, self.stop), file)

        return msgspec.convert(self.work.made("speed", depends_on, make), benchmark_records.Record)

    def _time_baseline(self, fit: Finished) -> dict:
        texts = self.data.test.texts[:SPEED_TEXTS]
        job = {"do": "time", "results": str(fit.results), "texts": texts, "seconds": 0.5}
        depends_on = {"part": fit.part.identity, "code": code_sha256(Path(baseline.__file__)), "on": machine.hardware()}

        def make(file: Path) -> None:
            processes.run(
                ["-m", "halfbert.comparison.baseline"], "speed of tfidf", {**job, "file": str(file)}, self.options.debug
            )

        return self.work.made("speed-tfidf", depends_on, make)

    def suspect_labels(self) -> dict | None:
        """Rows whose label is likely wrong, by cleanlab; None where it is not installed."""
        if importlib.util.find_spec("cleanlab") is None:
            self.say("likely label errors were not looked for: cleanlab is not installed (pip install cleanlab)")
            return None
        fits = self.fitted.get(baseline.NAME)
        c = fits[0].record.options["c"] if fits else 10.0
        told = {"task": self.task, "reading": {**self.reading, "rows": self.rows}, "columns": self.columns, "c": c}
        asked = {**told, "reading": _without_places(told["reading"])}
        depends_on = self._depends_on(Path(baseline.__file__), asked, None)

        def make(file: Path) -> None:
            job = {"do": "suspect", **told, "file": str(file)}
            processes.run(["-m", "halfbert.comparison.baseline"], "label errors", job, self.options.debug)

        return self.work.made("label-errors", depends_on, make)

    # -- the record

    def record(self, speeds: dict, suspected: dict | None) -> dict:
        """Everything that was found; every value is plain JSON. Texts stand in it only under `private`."""
        chosen, reference = self.options, self.contestants[-1]
        truth, labels, test = self.truth, self.data.labels, self.data.test
        answers = {name: [self.answers(fit) for fit in fits] for name, fits in self.fitted.items()}
        comparisons = [figures.compare(self.task, truth, answers, name, reference) for name in self.contestants[:-1]]
        found = figures.verdict(comparisons, reference, chosen.margin)
        first = next(iter(self.fitted.values()))[0].record
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "options": self._shareable_options(),
            "data": {**dataclasses.asdict(first.data), "split_seed": self.reading["seed"]},
            "notes": self.notes,
            "verdict": found,
            "contestants": [self._contestant(name, answers[name], speeds[name]) for name in self.contestants],
            "comparisons": comparisons,
            "teaching": self._teaching(answers),
            "per_label": figures.per_label(truth, answers, labels),
            "lengths": figures.by_length(truth, answers, test.texts),
            "learning_curve": self._learning_curve(),
            "label_errors": suspected and _counted(suspected, len(test)),
            "environment": machine.describe(self.asked.device, chosen.threads, self.asked.precision, chosen.seed),
            "private": {
                "disagreements": figures.disagreements(truth, answers, found["small"], reference, test, labels),
                "label_errors": suspected["found"] if suspected else [],
            },
        }

    def _teaching(self, answers: figures.Answers) -> dict | None:
        """The student against DistilBERT, which had the same beginning, rows, epochs and seeds, and no teacher."""
        if not {STUDENT, CONTROL} <= set(answers):
            return None
        return figures.compare(self.task, self.truth, answers, STUDENT, CONTROL)

    def _shareable_options(self) -> dict:
        chosen = {name: value for name, value in vars(self.options).items() if name not in ("training", "teaching")}
        chosen["contestants"] = {n: weights and machine.shareable(weights) for n, weights in chosen["contestants"].items()}
        return {n: machine.shareable(str(v)) if isinstance(v, (str, Path)) else v for n, v in chosen.items()}

    def _contestant(self, name: str, answers: list[np.ndarray], speeds: list[dict]) -> dict:
        fits = self.fitted[name]
        price, best = self.options.price_per_hour, max(speeds, key=lambda speed: speed["texts_per_second"], default=None)
        checkpoint = fits[0].record.checkpoint
        return {
            "name": name,
            "checkpoint": checkpoint and checkpoint.name,
            "rows": fits[0].record.data.rows.train,
            "scores": figures.scores(self.task, self.truth, answers),
            "parameters": fits[0].record.size.parameters,
            "folder_bytes": fits[0].record.size.folder_bytes,
            "fit_seconds": [fit.record.timing.fit_seconds for fit in fits],
            "speeds": speeds,
            "best_engine": best and best["engine"],
            "cost_per_million": price / 3600 * 1e6 / best["texts_per_second"] if price and best else None,
            "parts": [fit.part.label for fit in fits],
        }

    def _learning_curve(self) -> list[dict]:
        """Scores of the first seed on fewer rows, and on all."""
        if not self.curve:
            return []
        key = next(iter(figures.SCORES[self.task]))
        return [
            {
                "name": name,
                "rows": fit.record.data.rows.train,
                "score": figures.score(key, self.truth, self.answers(fit)),
            }
            for name, fit in [*self.curve, *((name, fits[0]) for name, fits in self.fitted.items())]
        ]


def _without_places(asked: dict) -> dict:
    """Options without where things lie: files count by their hash, outputs not at all."""
    places = ("train", "val", "test", "output", "results", "overwrite", "debug", "keep_epochs", "checkpoint")
    return {name: value for name, value in asked.items() if name not in places}


def cost(record: Record, seconds: float, test_rows: int) -> tuple[float, float]:
    """(seconds whatever the rows, seconds a training row) of a part, judged by a short run of it that took `seconds`.

    The rate is the steady one where the run was long enough to have it; else start-up counts as if it grew with the rows, so
    that the estimate errs to the long side.
    """
    timing, rows = record.timing, record.data.rows
    steady = timing.steady_rows_per_second
    a_row = len(record.epochs) / steady if steady else timing.fit_seconds / rows.train
    evaluation = timing.evaluate_seconds / rows.test
    return seconds - rows.train * a_row + (test_rows - rows.test) * evaluation, a_row


def _counted(suspected: dict, test_rows: int) -> dict:
    of_test = sum(row["part"] == "test" for row in suspected["found"])
    return {"rows": suspected["rows"], "suspected": len(suspected["found"]), "test_rows": test_rows, "suspected_test": of_test}

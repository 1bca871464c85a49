"""The contestants' fits: what they share, the command of each, and the folder of finished ones.

A *part* is one fit of one contestant, in a process of its own. Its identity is a hash of all that its result depends on, so a
comparison that was killed resumes where it was.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from halfbert import distillation, training
from halfbert.comparison import baseline, rule, static
from halfbert.data.tables import Data
from halfbert.distillation import teacher
from halfbert.models import checkpoints
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.weights import MODELS, TOKENIZER_FILES
from halfbert.options import CompareOptions, DistillOptions, TrainOptions, as_arguments, changed
from halfbert.options.comparison import PASSED_ON, TEACHER_SETTLES
from halfbert.output import record as records
from halfbert.predictor.manifest import MANIFEST
from halfbert.system import machine, processes, storage
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError, HalfbertError, InputError
from halfbert.training import resuming, steps, tasks, tfidf
from halfbert.training.identity import PACKAGES

STUDENT, CONTROL = "student", "distilbert"
SMALLEST_FIRST = tuple(rule.RANKS)
PLACES = ("output", "results", "overwrite", "debug", "keep_epochs", "resume", "save_every")
# Of no consequence for a result, or hashed by their content.
NOT_IN_IDENTITY = (
    *PLACES,
    *("train", "val", "test", "checkpoint", "teacher", "no_tfidf"),
    *("header_row", "delimiter", "true_values"),  # seen in the rows
)
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One fit of one contestant: what is run, and all that its result depends on.

    `command` follows the Python interpreter. A verb gets the folders of predictor and results as options; a command with a
    `job` on its standard input makes results only, and gets their folder in the job.
    """

    name: str
    command: list[str]
    depends_on: dict[str, Any]  # plain JSON
    job: dict[str, Any] | None = None

    @property
    def identity(self) -> str:
        """SHA-256 of all that the result depends on."""
        return sha256(self.depends_on)

    @property
    def label(self) -> str:
        """The name of its folders."""
        return f"{self.name}-{self.identity[:10]}"


@dataclass(frozen=True)
class Finished:
    """What a part left behind."""

    part: Part
    seconds: float
    results: Path
    predictor: Path
    record: records.Record
    probabilities: np.ndarray  # (test rows, labels)
    numbers: np.ndarray  # (test rows,), in their file


class Work:
    """The folder of finished parts."""

    def __init__(self, folder: Path, debug: bool = False):
        self.folder, self.debug = folder.resolve(), debug

    def finish(self, part: Part) -> Finished:
        """The result of a part: reused if it is finished, else computed now."""
        state, predictor, results = self._places(part)
        try:
            finished = self._finished(part)
            say(f"{part.name}: finished earlier, reused")
            return finished
        except ArtefactError:  # missing or incomplete
            say(f"{part.name}: running")
        started = time.perf_counter()
        if part.job is None:
            places = ["--output", str(predictor), "--results", str(results), "--overwrite"]
            places += ["--resume"] if resuming.has_state(predictor) else []
            processes.run([*part.command, *places], part.name, debug=self.debug)
        else:
            processes.run(part.command, part.name, {**part.job, "results": str(results)}, self.debug)
        seconds = time.perf_counter() - started
        storage.write_json({"identity": part.identity, "depends_on": part.depends_on, "seconds": seconds}, state)
        return self._finished(part)

    def _places(self, part: Part) -> tuple[Path, Path, Path]:
        """The files of its state, predictor and results."""
        name, folder = part.label, self.folder
        return folder / f"{name}.json", folder / "predictor" / name, folder / "results" / name

    def _finished(self, part: Part) -> Finished:
        file, predictor, results = self._places(part)
        state, record = read_json(file), records.read(results)
        complete = part.job is not None or (predictor / MANIFEST).is_file()
        if state.get("identity") != part.identity or record.stopped is not None or not complete:
            raise ArtefactError(f"{results}: not finished")
        return Finished(part, state["seconds"], results, predictor, record, *records.read_answers(results))

    def made(self, name: str, depends_on: dict[str, Any], make: Callable[[Path], None]) -> dict[str, Any]:
        """The JSON object that `make` writes into the file it is given; reused if it was written earlier."""
        file = self.folder / f"{name}-{sha256(depends_on)[:10]}.json"
        try:
            return read_json(file)
        except ArtefactError:
            say(f"{name}: running")
            make(file)
        return read_json(file)

    def made_by_baseline(self, name: str, depends_on: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that a job of the baseline writes; reused if it was written earlier."""
        command = baseline.COMMAND
        return self.made(name, depends_on, lambda file: processes.run(command, name, {**job, "file": str(file)}, self.debug))


@dataclass
class Experiment:
    """What the contestants share: options, rows, checkpoints. `options.rows` is what was requested, `rows` what is trained."""

    options: CompareOptions
    training: TrainOptions  # of BERT
    data: Data
    truth: np.ndarray  # (test rows, labels) bool
    checkpoints: dict[str, Checkpoint]
    work: Work
    rows: int | None
    notes: list[str] = field(default_factory=list)  # what the report repeats of what was printed
    embeddings: Checkpoint | None = None  # whose words the static embeddings are; without one they are no contestant

    @property
    def contestants(self) -> list[str]:
        """From the smallest to the largest."""
        given = {*self.options.contestants, *([STUDENT] if self.options.distill else [])}
        given -= set() if self.embeddings else {static.NAME}
        return [name for name in SMALLEST_FIRST if name in given]

    def note(self, line: str) -> None:
        """Print a line and keep it for the report."""
        self.notes.append(line)
        say(line)

    def attempt(self, what: str, measure: Callable[[], T]) -> T | None:
        """The result of a measurement; None, with a note, where it fails: the fits are reported all the same."""
        try:
            return measure()
        except (HalfbertError, OSError) as error:
            self.note(f"{what}: not measured ({error})")
            return None

    def fits(self, contestant: str) -> int:
        """How often a contestant is fitted on all rows: logistic regression has one solution, whatever the seed."""
        return 1 if contestant in baseline.NAMES else self.options.seeds

    def finish(self, contestant: str, seed: int, rows: int | None, test_rows: int | None = None) -> Finished:
        """The result of a contestant on so many training and test rows (None: as the options say)."""
        return self.work.finish(self.part(contestant, seed, rows, test_rows))

    def tested(self, contestant: str, seed: int, rows: int | None) -> Finished:
        """As `finish`. Raises ArtefactError where the answers are not those to the test rows of this comparison."""
        finished = self.finish(contestant, seed, rows)
        if finished.numbers.tolist() != self.data.test.numbers or finished.probabilities.shape != self.truth.shape:
            raise ArtefactError(f"{finished.results}: its test rows are not those of this comparison; delete the folder")
        return finished

    def answers(self, finished: Finished) -> np.ndarray:
        """(test rows, labels) bool."""
        thresholds = (finished.record.test or {}).get("thresholds")
        return tasks.answers(self.options.task, finished.probabilities, thresholds).astype(bool)

    def part(self, contestant: str, seed: int, rows: int | None, test_rows: int | None = None) -> Part:
        """The part of a contestant on so many training and test rows (None: as the options say)."""
        name = f"{contestant}-seed{seed}" + (f"-rows{rows}" if rows != self.options.rows else "")
        sizes: dict[str, Any] = {key: value for key, value in (("rows", rows), ("test_rows", test_rows)) if value}
        if contestant in baseline.NAMES:
            return self._baseline(name, contestant, dataclasses.replace(self.training, **sizes))
        if contestant == STUDENT:
            return self._student(name, seed, sizes, self.finish("bert", seed, rows, test_rows))
        requested = training_options(self.options, contestant, seed=seed, **sizes)
        depends_on = self.depends_on({"training": training.RECIPE_VERSION}, requested, PACKAGES)
        depends_on["checkpoint"] = identity(self.checkpoints[contestant])
        return Part(
            name, ["-m", "halfbert", f"train-{self.options.task}", *as_arguments(requested, leave_out=PLACES)], depends_on
        )

    def _baseline(self, name: str, contestant: str, requested: TrainOptions) -> Part:
        job, words = {"do": "fit", **baseline.job(requested)}, self.embeddings
        if contestant == baseline.NAME or words is None:
            return Part(name, baseline.COMMAND, self.baseline_depends_on(requested), job)
        depends_on = self.baseline_depends_on(requested, "tokenizers", "transformers") | {"checkpoint": identity(words)}
        depends_on["recipe"] |= {"static": static.RECIPE_VERSION}
        embeddings = {"folder": str(words.folder), "name": machine.shareable(words.name), "sha256": words.weights_sha256}
        return Part(name, baseline.COMMAND, depends_on, {**job, "embeddings": embeddings})

    def _student(self, name: str, seed: int, sizes: dict[str, Any], taught_by: Finished) -> Part:
        given = changed(self.options, PASSED_ON, leave_out=TEACHER_SETTLES)
        given |= {**sizes, "seed": seed, "split_seed": self.training.split_seed, "no_control": True, "no_tfidf": True}
        given |= {"teacher": str(taught_by.predictor), "model": CONTROL, "checkpoint": weights(self.options, CONTROL)}
        requested = DistillOptions(**given)
        recipe = {"training": training.RECIPE_VERSION, "distillation": distillation.RECIPE_VERSION}
        depends_on = self.depends_on(recipe, requested, PACKAGES)
        depends_on |= {"checkpoint": identity(self.checkpoints[CONTROL]), "teacher": taught_by.part.identity}
        return Part(name, ["-m", "halfbert", "distill", *as_arguments(requested, leave_out=PLACES)], depends_on)

    def baseline_depends_on(self, requested: TrainOptions, *packages: str) -> dict[str, Any]:
        """What a fit of the baseline depends on; `packages` are further ones."""
        recipe = {"tfidf": tfidf.RECIPE_VERSION}
        return self.depends_on(recipe, requested, (*baseline.PACKAGES, *packages), baseline.READ)

    def depends_on(
        self, recipe: dict[str, int], requested: TrainOptions, packages: tuple[str, ...], only: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """What every result depends on: recipe, options (`only` those that it reads), rows, and versions of packages."""
        options = dataclasses.asdict(requested).items()
        return {
            "recipe": recipe,
            "task": self.options.task,
            "options": {k: v for k, v in options if k not in NOT_IN_IDENTITY and (k in only or not only)},
            "files": {file["role"]: file["sha256"] for file in self.data.files},
            "rows": sha256([[part, rows.texts, rows.labels] for part, rows in self.data.parts()]),
            "versions": {package: machine.version_of(package) for package in packages},
        }


def read(options: CompareOptions) -> Experiment:
    """Read the table once, so that its mistakes are reported before anything is fitted, and find the checkpoints."""
    requested = training_options(options, "bert")
    data = steps.read(options.task, requested)
    # The student begins as DistilBERT does, whether that is a contestant or not.
    models = dict.fromkeys([*options.contestants, *([CONTROL] if options.distill else [])])
    if static.NAME in models and not {*MODELS} & {*models}:
        models[CONTROL] = None
    pretrained = {model: checkpoints.find(model, weights(options, model)) for model in models if model in MODELS}
    truth = tasks.truth(options.task, data.test, data.labels).astype(bool)
    if not truth.any():
        raise InputError(f"{data.test.file}: no test row has a label, so no score can be compared; give test rows with labels")
    experiment = Experiment(options, requested, data, truth, pretrained, Work(options.work, options.debug), options.rows)
    if static.NAME in options.contestants:
        experiment.embeddings = _embeddings(experiment)
    for checkpoint in pretrained.values():
        if checkpoint.note:
            experiment.note(checkpoint.note)
    if options.distill:
        teacher.check_tokenizers(pretrained[CONTROL], pretrained["bert"].folder, "bert")
    return experiment


def _embeddings(experiment: Experiment) -> Checkpoint | None:
    """The checkpoint of DistilBERT, else of BERT; None, with a note, where its word embeddings cannot be read."""
    checkpoint = next(experiment.checkpoints[model] for model in (CONTROL, "bert") if model in experiment.checkpoints)
    if (checkpoint.folder / static.WEIGHTS).is_file():
        return checkpoint
    experiment.note(f"static embeddings: left out, since {checkpoint.name} has no {static.WEIGHTS}")
    return None


def training_options(options: CompareOptions, model: str, **changes: Any) -> TrainOptions:
    """The options of a contestant's training run."""
    given = {**changed(options, PASSED_ON), "model": model, "checkpoint": weights(options, model)}
    given["no_tfidf"] = True  # a contestant of its own
    given["split_seed"] = options.seed if options.split_seed is None else options.split_seed
    return baseline.OPTIONS[options.task](**{**given, **changes})


def weights(options: CompareOptions, model: str) -> str | None:
    """What a contestant begins with, as the user gave it."""
    return options.contestants.get(model) or options.checkpoint


def identity(checkpoint: Checkpoint) -> dict[str, Any]:
    """What decides what a checkpoint is: weights, configuration, tokenizer, and the defaults of training it."""
    files = [checkpoint.folder / name for name in ("config.json", *TOKENIZER_FILES)]
    return {
        "weights": checkpoint.weights_sha256,
        "files": {file.name: storage.sha256(file) for file in files if file.is_file()},
        "recipe": str(checkpoint.recipe),
    }


def sha256(value: object) -> str:
    """SHA-256 of a value's JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ArtefactError where there is none, or it is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtefactError(f"{file}: cannot be read ({error})") from error

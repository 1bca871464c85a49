"""The contestants' fits: what they share, the command of each, and the folder of finished ones.

A *part* is one fit of one contestant, in a process of its own. Its identity is a hash of all that its result depends on, so a
comparison that was killed resumes where it was.
"""

import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from halfbert import distillation, training
from halfbert.comparison import baseline, dealing, pool, rule, static
from halfbert.comparison.wording import sentence
from halfbert.data.tables import Data
from halfbert.distillation import teacher
from halfbert.models import checkpoints
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.weights import MODELS, TOKENIZER_FILES
from halfbert.options import CompareOptions, DistillOptions, TrainOptions, as_arguments, changed
from halfbert.options.comparison import PASSED_ON, TEACHER_SETTLES
from halfbert.output import record as records
from halfbert.output.words import model_name
from halfbert.predictor.manifest import MANIFEST
from halfbert.system import machine, processes, storage
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError, HalfbertError, InputError
from halfbert.training import resuming, tasks, tfidf
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
    def title(self) -> str:
        """Its name for people: DistilBERT, seed 0, fold 2 of 5."""
        contestant, *rest = self.name.split("-")
        spelt = [re.sub(r"^([a-z]+)(\d+)(?:of(\d+))?$", _spelt, word) for word in rest]
        return ", ".join([sentence(model_name(contestant)), *spelt])

    @property
    def label(self) -> str:
        """The name of its folders."""
        return f"{self.name}-{self.identity[:10]}"

    @property
    def makes_predictor(self) -> bool:
        """Whether it leaves a predictor's folder beside its results."""
        return self.job is None or bool(self.job.get("predictor"))


@dataclass(frozen=True)
class Finished:
    """What a part left behind; of a fit in folds the first fold's, but the answers to the rows of all."""

    part: Part
    seconds: float
    results: Path
    predictor: Path
    record: records.Record
    answers: np.ndarray  # (test rows, labels) bool
    numbers: np.ndarray  # (test rows,), in their file
    parts: tuple[str, ...] = ()  # the labels of all of its folds


def _spelt(word: re.Match[str]) -> str:
    kind, number, of = word.groups()
    return f"{number} {kind}" if kind == "rows" else f"{kind} {number}" + (f" of {of}" if of else "")


class Work:
    """The folder of finished parts."""

    def __init__(self, folder: Path, debug: bool = False):
        self.folder, self.debug = folder.resolve(), debug

    def finish(self, part: Part, heard: Callable[[str], object] | None = None) -> Finished:
        """The result of a part: reused if it is finished, else computed now; `heard` gets the lines that it prints."""
        if (finished := self.finished(part)) is not None:
            return finished
        _, predictor, results = self.places(part)
        say(f"{part.title}: running")
        started = time.perf_counter()
        if part.job is None:
            folders = ["--output", str(predictor), "--results", str(results), "--overwrite"]
            folders += ["--resume"] if resuming.has_state(predictor) else []
            processes.run([*part.command, *folders], part.title, debug=self.debug, heard=heard)
        else:
            processes.run(part.command, part.title, {**part.job, "results": str(results)}, self.debug, heard)
        self.note_finished(part, time.perf_counter() - started)
        return self.read(part)

    def fold_job(self, part: Part, threads: int) -> dict[str, Any]:
        """What a process that fits folds is given to make a part."""
        assert part.job is not None
        _, predictor, results = self.places(part)
        made = str(predictor) if part.makes_predictor else None
        return {**part.job, "threads": threads, "results": str(results), "predictor": made}

    def finished(self, part: Part) -> Finished | None:
        """The result of a part that was finished earlier; None where it is missing or incomplete."""
        try:
            finished = self.read(part)
        except ArtefactError:
            return None
        say(f"{part.title}: finished earlier, reused")
        return finished

    def places(self, part: Part) -> tuple[Path, Path, Path]:
        """The files of its state, predictor and results."""
        name, folder = part.label, self.folder
        return folder / f"{name}.json", folder / "predictor" / name, folder / "results" / name

    def note_finished(self, part: Part, seconds: float) -> None:
        """Write down that a part is finished."""
        state = {"identity": part.identity, "depends_on": part.depends_on, "seconds": seconds}
        storage.write_json(state, self.places(part)[0])

    def read(self, part: Part) -> Finished:
        """The result of a finished part. Raises ArtefactError where it is missing or incomplete."""
        file, predictor, results = self.places(part)
        state, record = read_json(file), records.read(results)
        complete = not part.makes_predictor or (predictor / MANIFEST).is_file()
        if state.get("identity") != part.identity or record.stopped is not None or not complete:
            raise ArtefactError(f"{results}: not finished")
        probabilities, numbers = records.read_answers(results)
        answers = tasks.answers(record.task, probabilities, (record.test or {}).get("thresholds")).astype(bool)
        return Finished(part, state["seconds"], results, predictor, record, answers, numbers, (part.label,))

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
    dealt: dealing.Dealt | None = None  # the folds, whose test rows together are those of `data`
    workers: int = 1  # processes that fit folds side by side

    @property
    def contestants(self) -> list[str]:
        """From the smallest to the largest."""
        given = {*self.options.contestants, *([STUDENT] if self.options.distill else [])}
        given -= set() if self.embeddings else {static.NAME}
        return [name for name in SMALLEST_FIRST if name in given]

    @property
    def folds(self) -> int | None:
        """How many; None for one split."""
        return len(self.dealt.folds) if self.dealt else None

    def checkpoint(self, contestant: str) -> Checkpoint | None:
        """What a network begins with; None of a contestant that is none."""
        return self.checkpoints.get(CONTROL if contestant == STUDENT else contestant)

    def epochs(self, contestant: str) -> int:
        """The epochs of a network."""
        checkpoint = self.checkpoint(contestant)
        assert checkpoint is not None
        return self.options.epochs or checkpoint.epochs(self.rows or len(self.data.train))

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

    def seeds(self, contestant: str) -> range:
        """Those of its fits on all rows: logistic regression has one solution, whatever the seed."""
        seed, network = self.options.seed, self.checkpoint(contestant) is not None
        return range(seed, seed + (self.options.seeds if network else 1))

    def fits(self, contestant: str) -> int:
        """How often a contestant is fitted on all rows, each fold counted."""
        return len(self.seeds(contestant)) * (self.folds or 1)

    def finish(
        self,
        contestant: str,
        seed: int,
        rows: int | None,
        test_rows: int | None = None,
        heard: Callable[[str], object] | None = None,
    ) -> Finished:
        """The result of a contestant on so many training and test rows (None: as the options say), in one split.

        `heard` gets the lines that its fit prints.
        """
        return self.work.finish(self.part(contestant, seed, rows, test_rows), heard)

    def part(self, contestant: str, seed: int, rows: int | None, test_rows: int | None = None) -> Part:
        """The part of a contestant on so many training and test rows (None: as the options say)."""
        name = self._part_name(contestant, seed, rows)
        sizes: dict[str, Any] = {key: value for key, value in (("rows", rows), ("test_rows", test_rows)) if value}
        if contestant in baseline.NAMES:
            return self._baseline(name, contestant, dataclasses.replace(self.training, **sizes))
        if contestant == STUDENT:
            return self._student(name, seed, sizes, self.finish("bert", seed, rows, test_rows))
        requested = training_options(self.options, contestant, seed=seed, **sizes)
        command = ["-m", "halfbert", f"train-{self.options.task}", *as_arguments(requested, leave_out=PLACES)]
        return Part(name, command, self._network_depends_on(contestant, requested))

    def fold_part(self, contestant: str, seed: int, rows: int | None, fold: int) -> Part:
        """The part of a contestant that leaves out one fold, which is its test; the first of them makes a predictor."""
        name = f"{self._part_name(contestant, seed, rows)}-fold{fold + 1}of{self.folds}"
        model = contestant if contestant in MODELS else "bert"
        sizes = {} if rows is None else {"rows": rows}
        requested = training_options(self.options, model, seed=seed, cv=self.folds, **sizes)
        is_network = self.checkpoint(contestant) is not None
        plain = None if is_network else self._baseline(name, contestant, requested)
        depends_on = plain.depends_on if plain else self._network_depends_on(contestant, requested)
        depends_on |= {"fold": f"{fold + 1} of {self.folds}"}
        given = {key: value for key, value in dataclasses.asdict(requested).items() if key not in PLACES}
        timed = is_network and (seed, rows, fold) == (self.options.seed, self.rows, 0)
        job = {"contestant": contestant, "task": self.options.task, "options": given, "fold": fold, "predictor": timed}
        job["embeddings"] = plain.job.get("embeddings") if plain and plain.job else None
        return Part(name, [], depends_on, job)

    def _part_name(self, contestant: str, seed: int, rows: int | None) -> str:
        return f"{contestant}-seed{seed}" + (f"-rows{rows}" if rows != self.options.rows else "")

    def _network_depends_on(self, contestant: str, requested: TrainOptions) -> dict[str, Any]:
        depends_on = self.depends_on({"training": training.RECIPE_VERSION}, requested, PACKAGES)
        return {**depends_on, "checkpoint": identity(self.checkpoints[contestant])}

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
    data, dealt, note = dealing.read(options, requested)
    # The student begins as DistilBERT does, whether that is a contestant or not.
    models = dict.fromkeys([*options.contestants, *([CONTROL] if options.distill else [])])
    if static.NAME in models and not {*MODELS} & {*models}:
        models[CONTROL] = None
    pretrained = {model: checkpoints.find(model, weights(options, model)) for model in models if model in MODELS}
    truth = tasks.truth(options.task, data.test, data.labels).astype(bool)
    if not truth.any():
        raise InputError(f"{data.test.file}: no test row has a label, so no score can be compared; give test rows with labels")
    work = Work(options.work, options.debug)
    experiment = Experiment(options, requested, data, truth, pretrained, work, options.rows, dealt=dealt)
    if dealt:
        experiment.workers = pool.workers(requested, len(dealt.folds), list(pretrained.values()))
    if static.NAME in options.contestants:
        experiment.embeddings = _embeddings(experiment)
    for line in (note, *(checkpoint.note for checkpoint in pretrained.values())):
        if line:
            experiment.note(line)
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
    given |= {"no_tfidf": True, "group_column": options.group_column}  # TF-IDF is a contestant of its own
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

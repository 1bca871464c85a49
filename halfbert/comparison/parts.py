"""What the contestants share, and the parts of a comparison: the command of each, and what its result depends on."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from halfbert import distillation, training
from halfbert.comparison import baseline
from halfbert.comparison.jobs import Finished, Part, Work, sha256
from halfbert.data.tables import Data
from halfbert.distillation import teacher
from halfbert.models import checkpoints
from halfbert.models.checkpoints import Checkpoint
from halfbert.models.weights import MODELS, TOKENIZER_FILES
from halfbert.options import CompareOptions, DistillOptions, TrainOptions, as_arguments, changed
from halfbert.options.comparison import PASSED_ON, TEACHER_SETTLES
from halfbert.system import machine, storage
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError
from halfbert.training import steps, tasks

STUDENT, CONTROL = "student", "distilbert"
SMALLEST_FIRST = (baseline.NAME, STUDENT, "distilbert", "bert")
PLACES = ("output", "results", "overwrite", "debug", "keep_epochs")
# Of no consequence for a result, or hashed by their content.
NOT_IN_IDENTITY = (*PLACES, "train", "val", "test", "checkpoint", "teacher")
TRAINING_PACKAGES = ("tensorflow", "tf_keras", "ktrain", "transformers", "tokenizers", "numpy")


class Notes(list[str]):
    """What the report is to repeat of what was printed."""

    def add(self, note: str) -> None:
        """Print a line and keep it."""
        self.append(note)
        say(note)


@dataclass
class Experiment:
    """What the contestants share: options, rows, checkpoints. `options.rows` is what was requested, `rows` what is trained."""

    options: CompareOptions
    training: TrainOptions  # of BERT
    data: Data
    truth: np.ndarray  # (test rows, labels) bool
    checkpoints: dict[str, Checkpoint]
    work: Work
    notes: Notes
    rows: int | None

    @property
    def contestants(self) -> list[str]:
        """From the smallest to the largest."""
        given = {*self.options.contestants, *([STUDENT] if self.options.distill else [])}
        return [name for name in SMALLEST_FIRST if name in given]

    def fits(self, contestant: str) -> int:
        """How often a contestant is fitted on all rows: logistic regression has one solution, whatever the seed."""
        return 1 if contestant == baseline.NAME else self.options.seeds

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

    # -- parts

    def part(self, contestant: str, seed: int, rows: int | None, test_rows: int | None = None) -> Part:
        """The part of a contestant on so many training and test rows (None: as the options say)."""
        name = f"{contestant}-seed{seed}" + (f"-rows{rows}" if rows != self.options.rows else "")
        sizes: dict[str, Any] = {key: value for key, value in (("rows", rows), ("test_rows", test_rows)) if value}
        if contestant == baseline.NAME:
            return self._baseline(name, dataclasses.replace(self.training, **sizes))
        if contestant == STUDENT:
            return self._student(name, seed, sizes, self.finish("bert", seed, rows, test_rows))
        asked = training_options(self.options, contestant, seed=seed, **sizes)
        depends_on = {
            **self.depends_on({"training": training.RECIPE_VERSION}, asked, TRAINING_PACKAGES),
            "checkpoint": identity(self.checkpoints[contestant]),
        }
        return Part(name, ["-m", "halfbert", f"train-{self.options.task}", *as_arguments(asked, leave_out=PLACES)], depends_on)

    def _baseline(self, name: str, asked: TrainOptions) -> Part:
        depends_on = self.depends_on({"tfidf": baseline.RECIPE_VERSION}, asked, baseline.PACKAGES, baseline.READ)
        return Part(name, baseline.COMMAND, depends_on, {"do": "fit", **baseline.job(asked)})

    def _student(self, name: str, seed: int, sizes: dict[str, Any], taught_by: Finished) -> Part:
        given = changed(self.options, PASSED_ON, leave_out=TEACHER_SETTLES)
        given |= {**sizes, "seed": seed, "split_seed": self.training.split_seed, "no_control": True}
        asked = DistillOptions(
            **{**given, "teacher": str(taught_by.predictor), "model": CONTROL, "checkpoint": weights(self.options, CONTROL)}
        )
        recipe = {"training": training.RECIPE_VERSION, "distillation": distillation.RECIPE_VERSION}
        depends_on = {
            **self.depends_on(recipe, asked, TRAINING_PACKAGES),
            "checkpoint": identity(self.checkpoints[CONTROL]),
            "teacher": taught_by.part.identity,
        }
        return Part(name, ["-m", "halfbert", "distill", *as_arguments(asked, leave_out=PLACES)], depends_on)

    def depends_on(
        self, recipe: dict[str, int], asked: TrainOptions, packages: tuple[str, ...], only: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """What every result depends on: recipe, options (`only` those that it reads), rows, and versions of packages."""
        options = dataclasses.asdict(asked).items()
        return {
            "recipe": recipe,
            "task": self.options.task,
            "options": {k: v for k, v in options if k not in NOT_IN_IDENTITY and (k in only or not only)},
            "files": {file["role"]: file["sha256"] for file in self.data.files},
            "rows": sha256([[part, rows.texts, rows.labels] for part, rows in self.data.parts()]),
            "versions": {package: machine.version_of(package) for package in packages},
        }


def read(options: CompareOptions, notes: Notes) -> Experiment:
    """Read the table once, so that its mistakes are reported before anything is fitted, and find the checkpoints."""
    asked = training_options(options, "bert")
    data = steps.read(options.task, asked)
    # The student begins as DistilBERT does, whether that is a contestant or not.
    models = dict.fromkeys([*options.contestants, *([CONTROL] if options.distill else [])])
    found = {model: checkpoints.find(model, weights(options, model)) for model in models if model in MODELS}
    for checkpoint in found.values():
        if checkpoint.note:
            notes.add(checkpoint.note)
    if options.distill:
        teacher.check_tokenizers(found[CONTROL], found["bert"].folder, "bert")
    truth = tasks.truth(options.task, data.test, data.labels).astype(bool)
    return Experiment(options, asked, data, truth, found, Work(options.work, options.debug), notes, options.rows)


def training_options(options: CompareOptions, model: str, **changes: Any) -> TrainOptions:
    """The options of a contestant's training run."""
    given = {**changed(options, PASSED_ON), "model": model, "checkpoint": weights(options, model)}
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

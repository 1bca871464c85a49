"""Options of a search for the settings of a training run: what to search over and for how long, and all of training."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from halfbert.data import messages
from halfbert.models.long_texts import WAYS
from halfbert.models.weights import MODELS
from halfbert.options import values
from halfbert.options.comparison import ONLY_FOR
from halfbert.options.declaring import changed, option, table_name
from halfbert.options.training import (
    CLASS_WEIGHTS,
    DEBUG,
    HEADS,
    KEEP,
    TASKS,
    LearningOptions,
    MachineOptions,
    MultilabelTrainingOptions,
    TableOptions,
    in_output,
    in_table,
    in_training,
)
from halfbert.system.errors import InputError

# What can be searched over, by the names of the options that fix it.
SEARCHED = ("checkpoint", "lr", "epochs", "batch_size", "maxlen", "long", "keep", "head")

in_search = partial(option, "search")


def candidates(value: Any) -> list[str]:
    """Architectures, each alone or with "=" and a checkpoint; each at most once."""
    found = values.names(value)
    parts = [name.partition("=") for name in found]
    if len(set(found)) < len(found) or any(model not in MODELS or bool(equals) != bool(name) for model, equals, name in parts):
        known = " or ".join(MODELS)
        raise ValueError(f"{value!r} is not a list of {known}, alone or as NAME=CHECKPOINT, each at most once")
    return found


@dataclass(kw_only=True)
class TuneOptions(MultilabelTrainingOptions, TableOptions, LearningOptions, MachineOptions):
    """Options of searching for the settings of a training run on validation rows."""

    task: str = in_search("multiclass", "one label per text, or any number", choices=TASKS)
    checkpoints: list[str] = in_search(
        ["distilbert"],
        "weights to choose from, the first of them the default: distilbert, bert, or either with weights of its own, such as "
        "distilbert=mini,bert=mini",
        candidates,
    )
    minutes: float = in_search(
        60.0, "time for all of it, the last fits and their test included", values.positive, metavar="MINUTES"
    )
    search: list[str] | None = in_search(
        None,
        f"what to search over: {', '.join(SEARCHED)} (default: all that no option fixes; checkpoint where there are several)",
        partial(values.names_of, known=SEARCHED),
    )
    trials: int | None = in_search(None, "end after so many trials (default: when the time is up)", values.count)
    ray: str | None = in_search(
        None,
        "trials on the workers of a Ray cluster: HOST:PORT; auto, one that runs here or is started here; local, one of its own",
        metavar="ADDRESS",
    )
    workers: int | None = in_search(None, "with --ray: trials at a time (default: as many as fit)", values.count)
    label_column: str | None = in_table(
        None,
        "multiclass: column with the label of each text (default: label; queue in the embedded table); multilabel: one column "
        "that names them all",
    )
    group_column: str | None = in_table(
        None, "column whose equal values keep rows together, such as a customer, when test and validation rows are drawn"
    )
    class_weights: str | None = in_training(None, "multiclass: as train_multiclass.py has it", choices=CLASS_WEIGHTS)
    maxlen: int | None = in_training(None, "tokens after which a text is truncated (default: searched)", values.maxlen)
    long: str | None = in_training(None, "what becomes of longer texts (default: searched)", choices=WAYS)
    epochs: int | None = in_training(None, "passes over the training rows (default: searched)", values.count)
    batch_size: int = in_training(None, "texts per training step (default: searched)", values.count)
    lr: float | None = in_training(None, "highest learning rate (default: searched)", values.positive, metavar="RATE")
    head: str | None = in_training(None, "head to begin with (default: searched)", choices=HEADS)
    keep: int | None = in_training(None, KEEP.replace("all", "searched"), values.count)
    find_lr: bool = False  # no option: the search finds it
    output: Path = in_output(None, "folder of the winner's predictor (default: predictors/tuned-TABLE)", values.path)
    results: Path = in_output(
        None, "folder of the search's database, report, tables and plots (default: results/tune/TABLE)", values.path
    )
    overwrite: bool = in_output(False, "start over where there is an earlier search, and replace its predictor")
    debug: bool = in_output(False, DEBUG)

    def complete(self) -> None:
        for task, only in ONLY_FOR.items():
            unfit = [name for name in changed(self) if name in only]
            if task != self.task and unfit:
                raise InputError(f"--{unfit[0].replace('_', '-')} goes with --task {task}")
        if self.workers is not None and self.ray is None:
            raise InputError("--workers goes with --ray")
        fixed = next((name for name in self.search or () if getattr(self, name, None) is not None), None)
        if fixed:
            raise InputError(f"--search {fixed} and --{fixed.replace('_', '-')}: either it is searched or it is given")
        if self.search and "checkpoint" in self.search and len(self.checkpoints) < 2:
            raise InputError("--search checkpoint: give several --checkpoints")
        name = table_name(self.train or messages.TRAIN)
        self.output = self.output or Path("predictors") / f"tuned-{name}"
        self.results = self.results or Path("results") / "tune" / name

"""The state of a fit that is under way, saved so that a killed run can be resumed.

The states of a run lie in a hidden folder beside its output, the last two of each fit, and are removed when the run succeeds.
A state is an .npz file, written atomically, whose arrays have checksums: weights, optimizer, best epoch; and "progress", JSON:
what the run depends on, schedule, history. The order of the rows and the random numbers of a step follow from the run's seed
and the step's number, so that a state needs no more of them.

Import after `tensorflow_setup.prepare`, but for `check` and `folder_of`.
"""

import importlib
import json
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.options import TrainOptions
from halfbert.system import cluster, storage
from halfbert.system.console import say
from halfbert.system.errors import HalfbertError, InputError
from halfbert.training.identity import differences

KEPT = 2  # states of a fit
LEAST_WORK = 20  # times as long as saving takes: what is worth a state after a short epoch, so that states cost 5 % at most
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)  # what reading a damaged state raises


def folder_of(output: Path) -> Path:
    """The folder of the states of the run that makes `output`."""
    return output.with_name(f".{output.name}.state")


def has_state(output: Path) -> bool:
    """Whether a run that was to make `output` has left a state."""
    return any(folder_of(output.resolve()).glob("*.npz"))


def may_overwrite(options: TrainOptions) -> bool:
    """Whether the output may be replaced: a run that left a state was allowed to write there."""
    return options.overwrite or (options.resume and has_state(options.output))


@dataclass
class States:
    """Where and how often the fits of a run are saved.

    `identity` is what the run depends on, by name; `keep_free` are the bytes that the run itself still has to write.
    """

    folder: Path
    identity: dict[str, Any]
    minutes: float
    keep_free: int = 0
    resume: bool = True
    _own: bool = field(default=False, init=False)

    def fit(self, name: str) -> "SavedFit":
        """The states of one of the run's fits; with `resume` the last whole one is found. Raises InputError as `check`."""
        fit = SavedFit(self, name)
        if self.resume:
            fit.find()
        return fit

    def check(self, identity: dict[str, Any]) -> None:
        """Raise InputError, which names what differs, if a state is of a run that depended on other things."""
        if differing := differences(identity, self.identity):
            raise InputError(
                f"--resume: {self.folder} is of another run ({'; '.join(differing)}); give what that run was given, "
                "or leave --resume out to start anew"
            )

    def begin(self) -> None:
        """Say what is to be said of the states that are there, and remove what a killed process left half-written."""
        for leftover in self.folder.glob(".*.partial-*"):
            leftover.unlink(missing_ok=True)
        there = any(self.folder.glob("*.npz"))
        if self.resume and not there:
            say("--resume: no saved state, so the run starts from the beginning")
        elif there and not self.resume:
            say(
                f"note: {self.folder} holds the state of an unfinished run; --resume would continue it. This run starts "
                "anew, and its own first state takes that one's place"
            )

    def own_folder(self) -> Path:
        """The folder, to write into: what another run left there is gone."""
        if not self._own and not self.resume:
            self.remove()
        self._own = True
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder

    def remove(self) -> None:
        """Remove all states."""
        shutil.rmtree(self.folder, ignore_errors=True)


class SavedFit:
    """The saved states of one fit, files NAME-STEP.npz.

    `progress` is that of the state which was found, None if the fit starts from the beginning. `notes`, plain JSON, are saved
    along.
    """

    def __init__(self, run: States, name: str):
        self.run, self.name = run, name
        self.progress: dict[str, Any] | None = None
        self.notes: dict[str, Any] = {}
        self.resumed_at: list[int] = []  # the steps
        self.seconds = 0.0  # of the processes before this one
        self.started = self.last = time.perf_counter()
        self.cost = 0.0  # seconds that saving took
        self._file: Path | None = None
        self._said_why_not = False

    def find(self) -> None:
        """Find the last state that can be read. Raises InputError if it is of another run."""
        files = self._files()
        for file in reversed(files):
            try:
                with zipfile.ZipFile(file) as archive:
                    damaged = archive.testzip()
                with np.load(file, allow_pickle=False) as stored:
                    progress = json.loads(stored["progress"].tobytes())
                if damaged:
                    raise ValueError(damaged)
            except DAMAGED as error:
                say(f"{file}: damaged ({error}); it is removed, and the state before it is taken, if there is one")
                file.unlink()
                continue
            self.run.check(progress["identity"])
            self.progress, self._file = progress, file
            self.notes, self.seconds = progress["notes"], progress["seconds"]
            self.resumed_at = [*progress["resumed_at"], progress["step"]]
            return
        if files:
            say("no whole state is left, so the fit starts from the beginning")

    def restore(self, model: Any, best: Any) -> int:
        """Give a compiled model and its BestEpoch the state that was found; returns the steps that are done."""
        if self.progress is None:
            return 0
        assert self._file is not None
        with np.load(self._file, allow_pickle=False) as stored:
            for name, variables in _variables(model).items():
                for number, variable in enumerate(variables):
                    variable.assign(stored[f"{name} {number}"])
            model.optimizer.beta_1.assign(self.progress["momentum"])
            best.model = model
            best.best_weights = [stored[name] for name in stored.files if name.startswith("best ")] or model.get_weights()
            best.restore({**self.progress["best"], "best_logits": stored["logits"]})
        done: int = self.progress["step"]
        say(f"resuming after step {done:,}")
        return done

    def save_if_due(self, model: Any, best: Any) -> None:
        """Save the state if the last one is long enough ago."""
        if time.perf_counter() - self.last >= 60 * self.run.minutes:
            self.save(model, best)

    def save_after_epoch(self, model: Any, best: Any) -> None:
        """Save the state, unless the work since the last one is less than LEAST_WORK."""
        if time.perf_counter() - self.last >= min(60 * self.run.minutes, LEAST_WORK * self.cost):
            self.save(model, best)

    def save(self, model: Any, best: Any) -> bool:
        """Save the state as it is between two steps; returns whether it was. A failure is reported, and the fit continues.

        With several machines nothing is saved: one of them could not give the others its state.
        """
        if cluster.here().count > 1:
            return False
        began = time.perf_counter()
        arrays = {f"{name} {number}": v for name, variables in _variables(model).items() for number, v in enumerate(variables)}
        step = len(best.learning_rates)
        if best.best_weights is not None and not best.is_best_now:
            arrays |= {f"best {number}": each for number, each in enumerate(best.best_weights)}
        progress = {
            "identity": self.run.identity,
            "step": step,
            "resumed_at": self.resumed_at,
            "seconds": self.seconds + time.perf_counter() - self.started,
            "learning_rate": float(model.optimizer.lr.numpy()),
            "momentum": float(model.optimizer.beta_1.numpy()),
            "notes": self.notes,
            "best": best.progress(),
        }
        logits = best.best_logits if isinstance(best.best_logits, np.ndarray) else np.zeros(0)
        arrays |= {"logits": logits, "progress": np.frombuffer(json.dumps(progress, default=float).encode(), np.uint8)}
        try:
            self._write(step, arrays)
        except (OSError, HalfbertError) as error:
            with suppress(OSError):
                self.run.folder.rmdir()  # if nothing is in it
            if not self._said_why_not:
                say(f"the state after step {step:,} cannot be saved, and the fit continues ({error})")
            self._said_why_not = True
            return False
        finally:
            self.last = time.perf_counter()
            self.cost = self.last - began
        self._said_why_not = False
        return True

    def _write(self, step: int, arrays: dict[str, Any]) -> None:
        folder = self.run.own_folder()
        size = sum(int(np.prod(each.shape)) * np.dtype(_numpy_type(each)).itemsize for each in arrays.values())
        storage.check_free_space(folder, size + self.run.keep_free)
        with storage.atomic_file(folder / f"{self.name}-{step:09d}.npz") as stream:
            write_arrays(stream, arrays.items())
        for file in self._files()[:-KEPT]:
            file.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.run.folder.glob(f"{self.name}-*.npz"))


def write_arrays(stream: Any, arrays: Iterable[tuple[str, Any]]) -> None:
    """As np.savez, one array at a time: a copy of all at once would take as much memory as the fit."""
    with zipfile.ZipFile(stream, "w") as archive:
        for name, value in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                array = value.numpy() if hasattr(value, "numpy") else value
                np.lib.format.write_array(file, array, allow_pickle=False)


def _numpy_type(value: Any) -> Any:
    return getattr(value.dtype, "as_numpy_dtype", value.dtype)


def _variables(model: Any) -> dict[str, list[Any]]:
    """What a training step changes."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # mixed_float16 wraps it
    with model.distribute_strategy.scope():
        optimizer._create_all_weights(model.trainable_variables)
    found = {"weight": list(model.trainable_variables), "optimizer": list(optimizer.weights)}
    scale: Any = getattr(model.optimizer, "_loss_scale", None)
    if hasattr(scale, "counter"):
        found["scale"] = [scale.current_loss_scale, scale.counter]
    return found


@dataclass(frozen=True)
class _Counters:
    """What Keras asks a training state, in its own fault tolerance, before the first step: the epoch and the step in it."""

    epoch: int
    step: int

    def maybe_load_initial_counters_from_ckpt(self, *_: Any, **__: Any) -> tuple[int, int]:
        return self.epoch, self.step


@contextmanager
def continuing(learner: Any, progress: dict[str, Any] | None) -> Iterator[None]:
    """Have ktrain's one-cycle policy, and the Keras fit below it, begin after the step of this progress (None: the first)."""
    model, data = learner.model, learner.train_data
    steps, step = len(data), progress["step"] if progress else 0
    model._training_state, data.first_step = _Counters(step // steps, step % steps) if step else None, step
    module: Any = importlib.import_module("ktrain.lroptimize.triangular")
    plain = module.CyclicLR

    def continued(**settings: Any) -> Any:
        assert progress is not None
        policy = plain(**settings)
        policy.orig_base_lr, policy.clr_iterations = policy.base_lr, float(step)
        policy.on_train_begin = lambda logs=None: model.optimizer.lr.assign(progress["learning_rate"])
        # As it does in every step: past its peak the rate falls to a thousandth of it.
        policy.overhump = (step + 1) % (2 * policy.step_size) / policy.step_size > 1
        if policy.overhump:
            policy.base_lr = policy.max_lr / 1000
        return policy

    if progress:
        module.CyclicLR = continued
    try:
        yield
    finally:
        module.CyclicLR = plain
        model._training_state, data.first_step = None, 0

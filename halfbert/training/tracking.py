"""Experiment trackers beside a run: TensorBoard, MLflow, Weights & Biases, each through its own Keras callback.

A tracker that fails costs one line and its own log, never the fit.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from halfbert.output import text
from halfbert.output.record import Record
from halfbert.system.console import say
from halfbert.system.errors import ResourceError
from halfbert.training import saving
from halfbert.training.values import Prepared

PROJECT = "halfbert"  # of Weights & Biases, unless WANDB_PROJECT names another


@dataclass
class Tracker:
    """A tracker at work: its Keras callback, what logs scores by name, and what ends it, given whether the run failed."""

    name: str
    callback: Any
    log: Callable[[dict[str, float]], object]
    end: Callable[[bool], object]


@dataclass
class Trackers:
    """The trackers of a run; one that fails is dropped, with a line."""

    running: list[Tracker] = field(default_factory=list)
    failed: bool = True  # until the run has come to its end

    def attempt(self, what: Callable[[Tracker], object]) -> None:
        """Do something with each that is running."""
        for tracker in list(self.running):
            try:
                what(tracker)
            except Exception as error:  # whatever a tracker raises: servers, quotas, its own bugs
                _failed(tracker.name, error)
                self.running.remove(tracker)

    def callbacks(self, best: Any) -> list[Any]:
        """Keras callbacks that pass a fit's events on, with the scores of the BestEpoch `best`, which comes before them."""
        import tensorflow as tf

        trackers = self

        class PassOn(tf.keras.callbacks.Callback):
            def set_params(self, params: Any) -> None:
                trackers.attempt(lambda tracker: tracker.callback.set_params(params))

            def set_model(self, model: Any) -> None:
                trackers.attempt(lambda tracker: tracker.callback.set_model(model))

            def on_train_begin(self, logs: Any = None) -> None:
                trackers.attempt(lambda tracker: tracker.callback.on_train_begin(logs))

            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                trackers.attempt(lambda tracker: tracker.callback.on_epoch_begin(epoch, logs))

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                if len(best.rows) <= epoch:
                    return  # it was cut short by a signal
                row = _numbers({**best.rows[epoch], "learning_rate": best.learning_rates[-1]})
                row["loss"] = row.pop("train_loss")
                trackers.attempt(lambda tracker: tracker.callback.on_epoch_end(epoch, dict(row)))

            def on_train_end(self, logs: Any = None) -> None:
                trackers.attempt(lambda tracker: tracker.callback.on_train_end(logs))

        return [PassOn()] if self.running else []

    def log(self, record: Record) -> None:
        """Log the scores of the test rows and the means of a cross-validation, and whether the run came to its end."""
        self.failed = record.stopped is not None
        scores = {f"test_{name}": score for name, score in text.card_scores(record.test or {}).items()}
        if record.cross_validation:
            scores |= {f"cv_{name}": spread.mean for name, spread in record.cross_validation.scores.items()}
        self.attempt(lambda tracker: tracker.log(_numbers(scores)))


def check(names: list[str] | None) -> None:
    """Raise ResourceError where a tracker is not installed."""
    for name in names or []:
        if importlib.util.find_spec(name) is None:
            raise ResourceError(f"--track {name}: {name} is not installed: pip install {name}")


@contextmanager
def trackers(prepared: Prepared) -> Iterator[Trackers]:
    """Start the trackers that the options name, and end them with the block."""
    started = Trackers()
    for name in prepared.options.track or []:  # type: ignore[attr-defined]  # not distillation's
        try:
            started.running.append(START[name](prepared, _numbers_and_words(saving.options_of(prepared))))
        except Exception as error:
            _failed(name, error)
    try:
        yield started
    finally:
        started.attempt(lambda tracker: tracker.end(started.failed))


def _failed(name: str, error: Exception) -> None:
    words = " ".join(str(error).split())[:200] or type(error).__name__
    say(f"{name} failed and is left out from here on ({words})")


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """Without what a tracker cannot draw."""
    return {name: float(value) for name, value in row.items() if isinstance(value, (int, float)) and name != "epoch"}


def _numbers_and_words(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, (int, float, str)) else str(value) for name, value in options.items()}


def _tensorboard(prepared: Prepared, options: dict[str, Any]) -> Tracker:
    """Event files in a folder `tensorboard` beside the results, which exist only at the end."""
    import tensorflow as tf

    results = prepared.options.results
    folder = results.parent / "tensorboard" / f"{results.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    say(f"tensorboard --logdir {folder.parent}")
    callback = tf.keras.callbacks.TensorBoard(str(folder), write_graph=False)
    writer = tf.summary.create_file_writer(str(folder))
    table = "\n".join(["| option | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in options.items())])

    def log(scores: dict[str, float]) -> None:
        with writer.as_default():
            for name, score in scores.items():
                tf.summary.scalar(name, score, step=0)

    with writer.as_default():
        tf.summary.text("options", table, step=0)
    return Tracker("tensorboard", callback, log, lambda _: writer.close())


def _mlflow(prepared: Prepared, options: dict[str, Any]) -> Tracker:
    """A run where MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say, else where MLflow does by default."""
    import mlflow
    import mlflow.tensorflow

    run = mlflow.start_run(run_name=prepared.options.output.name)
    mlflow.log_params(options)
    say(f"mlflow: run {run.info.run_id} at {mlflow.get_tracking_uri()}")
    callback = mlflow.tensorflow.MlflowCallback()
    end = lambda failed: mlflow.end_run("FAILED" if failed else "FINISHED")  # noqa: E731
    return Tracker("mlflow", callback, mlflow.log_metrics, end)


def _wandb(prepared: Prepared, options: dict[str, Any]) -> Tracker:
    """A run of the project that WANDB_PROJECT names."""
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    project = os.environ.get("WANDB_PROJECT", PROJECT)
    run = wandb.init(project=project, name=prepared.options.output.name, config=options)
    return Tracker("wandb", WandbMetricsLogger(), run.summary.update, lambda failed: run.finish(exit_code=int(failed)))


START: dict[str, Callable[[Prepared, dict[str, Any]], Tracker]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}

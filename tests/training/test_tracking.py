"""Experiment trackers: what they are given, what becomes of one that fails, and one that is not installed."""

import importlib.util
import json
import sys

import pytest
from support import end_here

MLFLOW = """
import json
log = []
def get_tracking_uri(): return "here"
def start_run(run_name):
    import types
    if run_name == "unreachable": raise OSError("no server\\nthere")
    log.append(["start", run_name])
    return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))
def log_params(options): log.append(["options", options])
def log_metrics(scores): log.append(["scores", scores])
def end_run(status): log.append(["end", status])
"""
CALLBACK = """
import mlflow, tensorflow as tf
class MlflowCallback(tf.keras.callbacks.Callback):
    def on_train_begin(self, logs=None): mlflow.log.append(["begin", type(self.model).__name__])
    def on_epoch_end(self, epoch, logs=None):
        if mlflow.fails_at == epoch: raise RuntimeError("quota")
        mlflow.log.append([epoch, logs])
"""


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """A stand-in of the package, which notes what it is called with; `fails_at` is the epoch from which it fails."""
    package = tmp_path / "site" / "mlflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(MLFLOW)
    (package / "tensorflow.py").write_text(CALLBACK)
    for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(package.parent))
    import mlflow

    mlflow.fails_at = None
    yield mlflow
    for name in ("mlflow", "mlflow.tensorflow"):
        sys.modules.pop(name, None)


def test_a_tracker_gets_options_losses_scores_and_rates(quick, mlflow):
    run = quick("--track", "mlflow", "--epochs", "2", "--no-tfidf", output="predictors/tracked")
    (_, name), (_, options), (_, model), *epochs, (_, scores), end = mlflow.log
    assert (name, end) == ("tracked", ["end", "FINISHED"]) and model.startswith("TFDistilBert")
    assert options["epochs"] == 2 and options["track"] == "['mlflow']" and options["lr"] == run.record["options"]["lr"]
    for (epoch, logs), row in zip(epochs, run.record["epochs"], strict=True):
        assert (
            logs["loss"] == row["train_loss"] and logs["val_macro_f1"] == row["val_macro_f1"] and 0 < logs["learning_rate"] < 1
        )
        assert epoch == row["epoch"] - 1
    assert scores["test_macro_f1"] == run.record["test"]["macro_f1"]
    assert run.record["options"]["track"] == ["mlflow"]
    json.dumps(mlflow.log)  # numbers and words only


@pytest.mark.parametrize(("output", "fails_at", "said"), [("unreachable", None, "no server there"), ("x", 1, "quota")])
def test_a_tracker_that_fails_costs_a_line_and_not_the_fit(quick, mlflow, output, fails_at, said):
    mlflow.fails_at = fails_at
    run = quick("--track", "mlflow", "--epochs", "2", "--no-tfidf", output=f"predictors/{output}")
    assert f"mlflow failed and is left out from here on ({said})" in run.said
    assert len(run.record["epochs"]) == 2 and run.record["stopped"] is None
    assert not [entry for entry in mlflow.log if entry[0] in ("scores", 1)]


def test_tensorboard_gets_event_files_beside_the_results(quick):
    pytest.importorskip("tensorboard")
    run = quick("--track", "tensorboard", "--no-tfidf")
    (folder,) = (run.results.parent / "tensorboard").iterdir()
    assert folder.name.startswith("try-") and {"train", "validation"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_read(name, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted, *more: None if wanted == name else find(wanted, *more))
    assert end_here("--model", "bert", "--train", "nowhere.csv", "--track", name) == 4
    assert capsys.readouterr().err == f"error: --track {name}: {name} is not installed: pip install {name}\n"


def test_an_unknown_tracker_is_refused(capsys):
    assert end_here("--model", "bert", "--track", "tensorboard,comet") == 2
    assert "--track: 'tensorboard,comet' is not a list of tensorboard, mlflow, wandb" in capsys.readouterr().err

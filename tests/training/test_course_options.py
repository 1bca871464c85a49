"""Training through its real arguments: the options of learning, where a run writes, and what it leaves; both tasks."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from support import (
    LABELS,
    ROOT,
    TAGS,
    end_here,
    epochs_of,
    equal,
    example_rows,
    record_of,
    run_python,
    run_script,
    tagged_rows,
    train_here,
    weights_of,
    write_csv,
    write_tags,
)

import halfbert
from halfbert.models.checkpoints import SMALL_RECIPE
from halfbert.scoring.multilabel import choose_thresholds
from halfbert.scoring.probabilities import sigmoid
from halfbert.system.errors import ResourceError

TASKS = pytest.mark.parametrize("task", ["multiclass", "multilabel"])


# How it is learnt.


def test_rows_test_rows_maxlen_batch_size_and_class_weights(quick, monkeypatch, tables):
    """Options whose effect shows in different places, in one run."""
    from halfbert.training import fit as training

    seen = {}
    get_learner = training.get_learner

    def watched(model, train_data, batch_size):
        learner = get_learner(model, train_data=train_data, batch_size=batch_size)
        fit = learner.fit_onecycle
        learner.fit_onecycle = lambda *positional, **named: seen.update(named) or fit(*positional, **named)
        return learner

    monkeypatch.setattr(training, "get_learner", watched)
    rows = [(text, label) for number, (text, label) in enumerate(example_rows(120)) if label != "tool" or number % 2]
    write_csv(tables["multiclass"], rows)
    shrunk = ("--rows", "40", "--test-rows", "6")
    run = quick(*shrunk, "--maxlen", "7", "--batch-size", "5", "--class-weights", "balanced")
    record, said = run.record, run.said
    assert record["data"]["rows"]["train"] == 40 and record["data"]["rows"]["test"] == 6
    assert record["options"]["maxlen"] == 7 and "texts are truncated at 7 tokens" in said and " 0.0% of" not in said
    train = run.fitted.train
    assert run.manifest["maxlen"] == 7
    assert train.encoded.lengths.max() == 7 and train.layout(train=True).shape == (8, 5)
    counts = Counter(train.y.argmax(axis=1))
    assert seen["class_weight"] == {number: pytest.approx(40 / (3 * count)) for number, count in counts.items()}
    assert len(set(seen["class_weight"].values())) > 1
    assert record["options"]["class_weights"] == "balanced"


def test_epochs_rate_early_stopping_and_weight_decay(quick):
    run = quick("--epochs", "4", "--lr", "1e-12", "--early-stopping")
    epochs = run.record["epochs"]
    # Steps too small for float32 change nothing, so the second epoch is no better than the first.
    assert len(epochs) == 2 and run.record["best_epoch"] == 2 and epochs[0]["val_loss"] == epochs[1]["val_loss"]
    assert run.record["options"]["epochs"] == 4 and run.record["options"]["lr"] == 1e-12
    assert "epoch 2/4" in run.said and "one-cycle to 1e-12" in run.said and "epoch 2 of 2 kept" in run.said
    assert run.record["stopped"] is None and run.record["test"] is not None  # a completed run, tested
    sizes = []
    for decay in ("0", "20"):
        learnt = quick("--weight-decay", decay, "--lr", "0.001", output=f"predictors/decay{decay}")
        assert learnt.fitted.model.optimizer.weight_decay == learnt.record["options"]["weight_decay"] == float(decay)
        weights = weights_of(learnt.folder)
        sizes.append(np.mean([np.abs(value).mean() for name, value in weights.items() if "ffn/lin1/kernel" in name]))
        assert not equal(weights, weights_of(run.folder))
    assert sizes[1] < 0.95 * sizes[0]  # decay strong enough to see


@pytest.mark.slow
@TASKS
def test_find_lr(quick, recwarn, task):
    run = quick("--find-lr", *(["--balance"] if task == "multilabel" else []), task=task)
    finder, rate = run.record["learning_rate_finder"], run.record["options"]["lr"]
    assert len(finder["rates"]) == len(finder["losses"]) > 20
    assert rate == (finder["suggestion"] or SMALL_RECIPE["learning_rate"])
    assert not [warning for warning in recwarn if "lrfinder" in warning.filename] and f"one-cycle to {rate:.2g}" in run.said
    for picture in ("learning_rate", "learning_rate_finder"):
        assert (run.results / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    if task == "multiclass":
        assert min(finder["rates"]) < rate < max(finder["rates"]) and f"suggests {rate:.2g}" in run.said
    else:  # the loss is still weighed
        assert len(run.fitted.model.loss.positive_weights) == 3


@pytest.mark.parametrize("highest", [0.01, 0.0])
def test_a_finder_whose_loss_becomes_infinite_loses_nothing(quick, monkeypatch, highest):
    """Above some rate, as an overflow would have it, or from the first step on; the fit itself has finite losses."""
    import tensorflow as tf

    from halfbert.training import fit, rate_finder

    find, finite = rate_finder.find_learning_rate, fit._compiled_loss

    def infinite(model, *batch):
        return {"loss": tf.where(model.optimizer.lr > highest, np.float32(np.inf), finite(model, *batch)["loss"])}

    def watched(learner, model, *more):
        model.halfbert_objective = infinite
        finder = find(learner, model, *more)
        model.halfbert_objective = finite
        return finder

    monkeypatch.setattr(rate_finder, "find_learning_rate", watched)
    run = quick("--find-lr")
    finder = run.record["learning_rate_finder"]
    assert None in finder["losses"] and (finder["losses"][0] is None) == (highest == 0)
    assert finder["suggestion"] is None if highest == 0 else finder["suggestion"] <= highest
    assert run.record["test"] is not None and (run.results / "learning_rate_finder.png").exists() == (highest > 0)
    assert halfbert.load(run.folder).predict("the old cat") in LABELS


def test_the_best_epoch_is_the_one_saved_even_if_it_is_not_the_last(quick, monkeypatch):
    """An epoch that ruins the weights after a good one is not what is saved; --keep-epochs has both."""
    from halfbert.models.ktrain_data import ktrain
    from halfbert.training.fit import BestEpoch

    begin = BestEpoch.on_epoch_begin

    def ruin(self, epoch, logs=None):
        if epoch == 3:
            self.model.set_weights([np.zeros_like(value) for value in self.model.get_weights()])
        begin(self, epoch, logs)

    monkeypatch.setattr(BestEpoch, "on_epoch_begin", ruin)
    run = quick("--epochs", "4", "--lr", "0.003", "--keep-epochs")
    best = run.record["best_epoch"]
    assert best < 4 and f"epoch {best} of 4 kept" in run.said
    assert sorted(path.name for path in (run.folder / "epochs").iterdir()) == ["01", "02", "03", "04"]
    assert equal(weights_of(run.folder), weights_of(run.folder / "epochs" / f"0{best}"))
    assert not equal(weights_of(run.folder), weights_of(run.folder / "epochs" / "04"))
    predictor = ktrain.load_predictor(str(run.folder / "epochs" / "04"))
    assert predictor.get_classes() == list(LABELS) and predictor.predict("the old cat") in LABELS
    assert "epochs/01/tf_model.h5" in run.manifest["files"]


def test_balance_and_constant_labels(quick, tmp_path, finished_multilabel):
    rows = [(text, *(int(tag in tags) for tag in TAGS), 0) for text, tags in tagged_rows(120)]
    never = write_csv(tmp_path / "never.csv", rows, ("text", *TAGS, "never"))
    run = quick("--balance", "--drop-constant-labels", "--rows", "40", "--seed", "3", task="multilabel", train=never)
    having = run.prepared.truth["train"].sum(axis=0)
    np.testing.assert_allclose(run.fitted.model.loss.positive_weights, (40 - having) / having, rtol=1e-6)
    assert run.record["options"]["balance"] is True and run.record["split"]["seed"] == 3
    assert "left out 1 label" in run.said and '"never" in 0' in run.said
    assert run.record["data"]["constant_labels_dropped"] == 1 and run.record["data"]["labels"] == list(TAGS)
    assert json.loads((run.folder / "config.json").read_text())["id2label"] == dict(zip("012", TAGS, strict=True))
    assert finished_multilabel.seen.fitted.model.loss.positive_weights == 1.0  # without it
    assert finished_multilabel.record["options"]["balance"] is False


def test_keep_trains_some_of_the_layers(quick):
    run = quick("--keep", "1")
    assert run.fitted.model.config.n_layers == 1 and run.record["options"]["keep"] == 1
    assert run.record["checkpoint"]["name"].endswith(", layers 0")


@pytest.mark.parametrize(("head", "how"), [("random", "0.5"), ("probed", "gmean"), ("probed", "global-f1"), (None, None)])
def test_head_and_threshold(quick, head, how):
    given = [*(["--head", head] if head else []), *(["--threshold", how] if how else [])]
    run = quick(*given, "--lr", "1e-12", task="multilabel")
    head, how = head or SMALL_RECIPE["head"], how or "expected-f1"
    assert f", {head} head, " in run.said and run.record["options"]["head"] == head
    (bias,) = [value for name, value in weights_of(run.folder).items() if name.endswith("/classifier/bias:0")]
    assert (np.abs(bias).max() < 1e-6) == (head == "random")  # a random head begins without any
    found = run.manifest["thresholds"]
    expected = choose_thresholds(run.prepared.truth["val"], sigmoid(run.fitted.val_logits), how)
    assert found == run.record["test"]["thresholds"] == expected.tolist() and len(found) == 3
    assert run.record["options"]["threshold"] == run.manifest["threshold_rule"] == how
    assert (found == [0.5] * 3) == (how == "0.5") and (len(set(found)) == 1) == (how in ("0.5", "global-f1"))


def test_what_cannot_be_measured_is_never_shown_as_a_score_of_nothing(quick, tmp_path):
    """No validation and no test row has a label: the loss chooses the epoch, and all other figures of it are unknown."""
    rows = [(f"the old {text}", ()) for text, _ in tagged_rows(60, seed=2)]
    val, test = (write_tags(tmp_path / f"{name}.csv", part) for name, part in (("val", rows[:30]), ("test", rows[30:])))
    run = quick("--val", val, "--test", test, "--epochs", "3", "--lr", "0.003", "--threshold", "f1", task="multilabel")
    unknown = dict.fromkeys(("val_mean_average_precision", "val_mean_roc_auc", "val_micro_f1"))
    losses = [row["val_loss"] for row in run.record["epochs"]]
    assert [{name: row[name] for name in unknown} for row in run.record["epochs"]] == [unknown] * 3
    assert run.record["best_epoch"] == 1 + int(np.argmin(losses)) and "lowest validation loss is kept" in run.said
    assert run.record["test"]["mean_roc_auc"] is run.record["test"]["at_half"]["macro_f1"] is None
    assert run.record["test"]["per_label"][0]["recall"] is None and run.manifest["thresholds"] == [0.5] * 3
    assert "warning" not in run.said and run.record["test"]["at_half"]["exact_match"] is not None
    card = (run.folder / "README.md").read_text()
    report = (run.results / "report.txt").read_text()
    for shown in (run.said, report):
        for line in shown.splitlines():
            if "F1" in line or line.startswith(("epoch", "mean", "label-ranking")):
                assert "0.000" not in line
    assert "macro F1  " in report and "| exact match |" in card and "ro F1" not in card and "ROC" not in card


# Where it is written, and what it leaves.


def test_output_results_and_overwrite(quick, here, capsys, tables, tiny_distilbert):
    """The folders named are used; an earlier run is replaced with --overwrite alone, and leftovers of a killed one go."""
    places = ("--output", here / "a" / "mine", "--results", here / "b" / "notes")
    arguments = (
        "--model",
        "distilbert",
        "--checkpoint",
        tiny_distilbert,
        "--train",
        tables["multiclass"],
        *places,
        "--epochs",
        "1",
    )
    train_here(*arguments)
    assert [path.name for path in (here / "a").iterdir()] == ["mine"] and (here / "b/notes/record.json").is_file()
    before = (here / "a/mine/halfbert.json").read_bytes()
    assert end_here(*arguments) == 2
    assert "--overwrite" in capsys.readouterr().err and (here / "a/mine/halfbert.json").read_bytes() == before
    (here / "a" / "mine" / "old.txt").write_text("of the earlier run")
    (here / "a" / ".mine.partial-x").mkdir()
    train_here(*arguments, "--overwrite", "--seed", "7")
    assert sorted(path.name for path in here.rglob("*") if path.name.startswith(".")) == []
    assert not (here / "a/mine/old.txt").exists() and record_of(here / "b/notes")["options"]["seed"] == 7
    assert json.loads((here / "a/mine/halfbert.json").read_text())["data"]["split_seed"] == 7


def test_a_link_as_output_stays_a_link(quick, here):
    (here / "predictors").mkdir()
    (here / "elsewhere").mkdir()
    (here / "predictors" / "try").symlink_to(here / "elsewhere")
    quick()
    assert (here / "predictors" / "try").is_symlink() and (here / "elsewhere" / "halfbert.json").is_file()
    assert not list(here.rglob(".*"))


@pytest.mark.parametrize("ended", ["answers", "save"])
def test_what_fails_after_the_fit_keeps_what_it_can(ended, quick, capsys, monkeypatch, tables, tiny_distilbert):
    """Answers to the test rows that are no numbers cost the test alone; a full disk leaves the earlier predictor whole."""
    from halfbert.predictor import writing
    from halfbert.training import fit

    run = quick()
    before = weights_of(run.folder)
    predict = fit.predict_logits

    def answer(model, data, label):
        return predict(model, data, label) * (np.nan if label == "testing" else 1)

    def fail(*_):
        raise ResourceError("no room")

    monkeypatch.setattr(*((fit, "predict_logits", answer) if ended == "answers" else (writing, "finish", fail)))
    where = ("--train", tables["multiclass"], "--output", run.folder, "--results", run.results, "--overwrite")
    assert end_here("--model", "distilbert", "--checkpoint", tiny_distilbert, *where, "--epochs", "1", "--seed", "5") == 4
    shown, after = capsys.readouterr(), record_of(run.results)
    assert equal(before, weights_of(run.folder)) == (ended == "save")
    if ended == "answers":
        assert "12 test rows are NaN or infinite" in shown.err and "epoch 1 is kept" in shown.out
        assert after["test"] is None and after["stopped"] in shown.err and halfbert.load(run.folder).predict("a cat") in LABELS
    else:
        assert shown.err == "error: no room\n" and after == run.record


def test_a_run_leaves_its_process_as_it_was(quick):
    """Precision, determinism and random states; the next run is not changed by them either."""
    import tensorflow as tf
    from tensorflow.python.framework import config

    states = random.getstate(), np.random.get_state()[1].tolist()
    runs = {
        name: quick(*more, output=f"predictors/{name}")
        for name, more in (
            ("first", ()),
            ("other", ("--precision", "mixed_bfloat16", "--seed", "9", "--deterministic")),
            ("again", ()),
        )
    }
    assert runs["other"].fitted.model.compute_dtype == "bfloat16" and runs["again"].fitted.model.compute_dtype == "float32"
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert tf.keras.mixed_precision.global_policy().name == "float32" and not config.is_op_determinism_enabled()
    assert epochs_of(runs["first"].record)[0]["val_loss"] == pytest.approx(
        epochs_of(runs["again"].record)[0]["val_loss"], rel=1e-4
    )
    environment = runs["other"].record["environment"]
    assert (environment["device"], environment["precision"], environment["seed"]) == ("cpu", "mixed_bfloat16", 9)
    assert {value.dtype for value in weights_of(runs["other"].folder).values()} == {np.dtype("float32")}
    agreement = runs["other"].manifest["agreement"]
    assert agreement["onnx"]["largest_difference"] < 1e-5  # of float32 answers, not of the run's own


@pytest.mark.slow
@TASKS
def test_deterministic_repeats_to_the_bit_and_test_labels_choose_nothing(tmp_path, tiny_distilbert, task):
    """Two processes with one seed agree to the bit; another seed differs; other test labels change the scores alone."""
    rows, write = (example_rows(150), write_csv) if task == "multiclass" else (tagged_rows(150), write_tags)
    train, test = write(tmp_path / "train.csv", rows[:120]), write(tmp_path / "test.csv", rows[120:])
    moved = [(text, labels) for (text, _), (_, labels) in zip(rows[120:], rows[119:149], strict=True)]
    moved = write(tmp_path / "moved.csv", moved)
    common = ["--model", "distilbert", "--checkpoint", str(tiny_distilbert), "--train", str(train), "--epochs", "3"]
    common += ["--lr", "0.003", "--batch-size", "8", "--deterministic", "--threads", "1"]

    def arguments(name, test=test, seed=0):
        return [*common, "--test", str(test), "--seed", str(seed), "--output", f"p/{name}", "--results", f"r/{name}"]

    runs = [arguments("again"), arguments("other", seed=1), arguments("moved", test=moved)]
    code = (
        "from halfbert.system.console import StopRequest; from halfbert.cli import command\n"
        f"for arguments in {runs!r}: command.run(['train-{task}', *arguments], StopRequest())\n"
        "import tensorflow as tf; print(tf.config.threading.get_intra_op_parallelism_threads())"
    )
    done = run_script(*arguments("once"), cwd=tmp_path, script=f"train_{task}.py")
    assert (done.returncode, done.stderr) == (0, "")
    done = run_python("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.splitlines()[-1] == "1"
    names = ("once", "again", "other", "moved")
    weights = {name: weights_of(tmp_path / "p" / name) for name in names}
    found = {name: record_of(tmp_path / "r" / name) for name in names}
    epochs = {name: epochs_of(record) for name, record in found.items()}
    thresholds = {name: json.loads((tmp_path / "p" / name / "halfbert.json").read_text())["thresholds"] for name in names}
    assert found["once"]["test"] == found["again"]["test"] != found["moved"]["test"]
    assert not equal(weights["once"], weights["other"])
    for same in ("again", "moved"):
        assert equal(weights["once"], weights[same]) and epochs["once"] == epochs[same]
        assert thresholds["once"] == thresholds[same] and found["once"]["best_epoch"] == found[same]["best_epoch"]

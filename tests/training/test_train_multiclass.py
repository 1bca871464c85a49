"""train_multiclass.py through its real arguments: one whole path, plain ktrain, and the effect of every option."""

import csv
import errno
import json
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from support import (
    LABELS,
    ROOT,
    end_here,
    epochs_of,
    equal,
    example_rows,
    plain_ktrain,
    record_of,
    run_script,
    script_environment,
    train_here,
    weights_of,
    write_csv,
    write_workbook,
)

import halfbert
from halfbert.models.checkpoints import SMALL_RECIPE, sha256
from halfbert.predictor import proving
from halfbert.scoring.probabilities import softmax


@pytest.fixture
def quick(here, tiny_distilbert, table, tensorflow_ready):
    """Run one quick epoch of the tiny DistilBERT on a small table; returns record, output folder and what was said."""

    def run(*arguments, train=table, output="predictors/try"):
        model = ("--model", "distilbert", "--checkpoint", tiny_distilbert)
        said = train_here(*model, "--train", train, "--output", output, "--epochs", "1", *arguments)
        name = output.split("/")[-1]
        return record_of(here / "results" / "multiclass" / name), here / output, said

    return run


# One whole path.


@pytest.mark.slow
@pytest.mark.parametrize("model", ["distilbert", "bert"])
def test_the_packaged_checkpoint_on_the_embedded_table(tmp_path, model):
    """The command of the README, on fewer rows, in a process of its own: everything lands where it is promised."""
    few = ("--rows", "64", "--test-rows", "64", "--epochs", "1")
    done = run_script("--model", model, "--checkpoint", "mini", *few, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for chatter in ("tensorflow/", "oneDNN", "Warning", "WARNING", "Some layers"):
        assert chatter not in done.stdout
    assert f"training {model}" in done.stdout and "all-MiniLM-L6-v2 (mini)" in done.stdout
    output, results = tmp_path / "predictors" / f"{model}-messages", tmp_path / "results" / "multiclass" / f"{model}-messages"
    assert {path.name for path in tmp_path.iterdir()} == {"predictors", "results"}
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert [path.name for path in results.parent.iterdir()] == [results.name]
    record = record_of(results)
    assert record["data"]["rows"]["train"] == 64 and record["data"]["rows"]["test"] == 64 and len(record["data"]["labels"]) == 8
    assert record["options"]["train"] == "data/messages_train.xlsx" and record["options"]["label_column"] == "queue"
    assert record["size"]["parameters"] == pytest.approx({"bert": 22.7e6, "distilbert": 17.2e6}[model], rel=0.02)
    in_force = record["options"]["lr"], record["options"]["head"]
    assert in_force == (SMALL_RECIPE["learning_rate"], SMALL_RECIPE["head"])  # what suits the small pair
    assert json.loads((output / "halfbert.json").read_text())["labels"] == record["data"]["labels"]


# Plain ktrain.


@pytest.mark.slow
def test_plain_ktrain_loads_the_predictors_elsewhere(here, tmp_path, tiny_distilbert, tiny_bert):
    """Moved, their checkpoints gone, nothing of the project importable, no network: the answers are those of the run."""
    # Labels whose alphabetical order is not the one they appear in, and test rows that are answered wrong.
    names = {"animal": "zoo", "food": "meal", "tool": "axe"}
    rows = [(text, names[label]) for text, label in example_rows(150)]
    train = write_csv(tmp_path / "train.csv", rows[:120])
    texts = [text for text, _ in rows[120:]]
    test = write_csv(tmp_path / "test.csv", [(text, "zoo") for text in texts])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for model, tiny in (("distilbert", tiny_distilbert), ("bert", tiny_bert)):
        checkpoint = shutil.copytree(tiny, tmp_path / "checkpoint")
        where = ("--train", train, "--test", test, "--output", f"p/{model}", "--results", f"r/{model}")
        train_here("--model", model, "--checkpoint", checkpoint, *where, "--epochs", "2", "--lr", "0.003")
        shutil.move(here / "p" / model, elsewhere / f"moved-{model}")
        shutil.rmtree(checkpoint)

    found = plain_ktrain(elsewhere, texts, "moved-distilbert", "moved-bert")
    for model in ("distilbert", "bert"):
        _same_as_recorded(found[f"moved-{model}"], here / "r" / model)
        ours = _probabilities(elsewhere / f"moved-{model}", texts, ["axe", "meal", "zoo"])
        np.testing.assert_allclose(ours, found[f"moved-{model}"]["probabilities"], atol=1e-5)


def _same_as_recorded(found, results):
    """Labels, answers and probabilities (of texts whose label is "zoo") are those of the run's record and errors.csv."""
    record = record_of(results)
    assert found["labels"] == ["axe", "meal", "zoo"] == record["data"]["labels"]
    assert found["one"] == found["answers"][0]
    with open(results / "errors.csv", newline="", encoding="utf-8-sig") as stream:
        wrong = {int(row["row"]) - 2: row for row in csv.DictReader(stream)}
    assert wrong
    for number, (answer, probabilities) in enumerate(zip(found["answers"], found["probabilities"], strict=True)):
        if number in wrong:
            assert answer == wrong[number]["answer"]
            assert max(probabilities) == pytest.approx(float(wrong[number]["probability"]), abs=1e-4)
            assert -np.log(probabilities[2]) == pytest.approx(float(wrong[number]["loss"]), abs=2e-3)
        else:
            assert answer == "zoo"
    loss = -np.mean(np.log([probabilities[2] for probabilities in found["probabilities"]]))
    assert record["test"]["log_loss"] == pytest.approx(loss, abs=1e-4)


def _probabilities(folder, texts, labels):
    """What halfbert's own way of predicting answers, from the weights and tokenizer in a predictor folder."""
    from halfbert.models.ktrain_data import Transformer
    from halfbert.training import fit as training

    maxlen = json.loads((folder / "halfbert.json").read_text())["maxlen"]
    transformer = Transformer(str(folder), maxlen=maxlen, class_names=labels)
    transformer.preprocess_train_called = True  # else ktrain warns; what it would have learnt is in the folder
    data = transformer.preprocess_test(texts, np.zeros(len(texts), int), verbose=0)
    model = transformer.get_classifier()
    training.compile_model(model, "cpu")
    return softmax(training.predict_logits(model, data, "test"))


# Engines.


def test_engines_are_held_against_keras_on_the_held_out_texts(quick, monkeypatch):
    """The answers at hand are compared, so that Keras need not load the predictor again."""
    from halfbert.predictor.engines import keras

    monkeypatch.setattr(keras, "prepare", None)
    record, output, said = quick("--lr", "0.003")
    found = json.loads((output / "halfbert.json").read_text())["agreement"]
    assert set(found) == {"onnx", "onnx-int8"}
    rows = record["data"]["rows"]
    for figures in found.values():
        assert (figures["rows"], figures["texts"]) == (rows["val"] + rows["test"], "validation and test texts")
    assert found["onnx"]["equal_decisions"] == 1 and found["onnx"]["largest_difference"] < 1e-5
    assert f"of {found['onnx']['rows']} validation and test texts: onnx 100.00%, onnx-int8 " in said
    assert halfbert.load(output, "onnx").engine == "onnx"


def test_a_comparison_of_engines_that_fails_costs_only_itself(quick, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(proving, "prove", fail)
    _, output, said = quick()
    assert "engines were not compared with Keras ([Errno 28] No space left on device)" in said
    assert "agreement" not in json.loads((output / "halfbert.json").read_text())
    assert halfbert.load(output).engine == "keras"


# Options: each has its effect.


def test_model_and_checkpoint(here, tiny_bert, table):
    train_here("--model", "bert", "--checkpoint", tiny_bert, "--train", table, "--epochs", "1")
    output, results = here / "predictors" / "bert-things", here / "results" / "multiclass" / "bert-things"
    assert json.loads((output / "config.json").read_text())["model_type"] == "bert"
    record = record_of(results)
    assert record["model"] == "bert" and record["checkpoint"]["name"] == tiny_bert.name
    assert record["checkpoint"]["weights_sha256"] == sha256(tiny_bert / "model.safetensors")


def test_train_alone_is_split_and_given_files_are_taken(quick, tmp_path):
    rows = example_rows(240)
    files = [write_csv(tmp_path / f"{name}.csv", part) for name, part in (("val", rows[120:170]), ("test", rows[170:240]))]
    record, _, _ = quick()
    assert record["data"]["rows"] == {"train": 96, "val": 12, "test": 12}
    record, _, _ = quick("--val", files[0], "--test", files[1], output="predictors/files")
    assert record["data"]["rows"] == {"train": 120, "val": 50, "test": 70}
    assert [file["name"] for file in record["data"]["files"]] == ["things.csv", "val.csv", "test.csv"]
    assert record["split"] == {"seed": 0, "val": "file", "test": "file"}


def test_columns_and_sheet(quick, tmp_path):
    rows = example_rows(60)
    other = [(text, "no") for text, _ in rows]
    book = write_workbook(tmp_path / "mail.xlsx", {"first": [("text", "label"), *other], "second": [("Mail", "Kind"), *rows]})
    record, output, said = quick("--text-column", "Mail", "--label-column", "Kind", "--sheet", "second", train=book)
    assert record["data"]["labels"] == list(LABELS) and "mail.xlsx: " in said
    assert json.loads((output / "halfbert.json").read_text())["labels"] == list(LABELS)


def test_encoding(quick, tmp_path):
    rows = [(text, {"animal": "Tür", "food": "Öl", "tool": "Süß"}[label]) for text, label in example_rows(60)]
    (tmp_path / "west.csv").write_bytes(write_csv(tmp_path / "west.csv", rows).read_text(encoding="utf-8").encode("cp1252"))
    record, output, _ = quick("--encoding", "cp1252", train=tmp_path / "west.csv")
    assert record["data"]["labels"] == ["Süß", "Tür", "Öl"]
    assert json.loads((output / "config.json").read_text())["id2label"]["2"] == "Öl"
    assert "`Öl`" in (output / "README.md").read_text(encoding="utf-8")


def test_drop_missing(quick, tmp_path):
    table = write_csv(tmp_path / "holes.csv", [*example_rows(60), ("", "food"), ("cat", " ")])
    record, _, said = quick("--drop-missing", train=table)
    assert record["data"]["dropped"] == 2 and sum(record["data"]["rows"].values()) == 60
    assert "dropped 2 rows" in said


def test_leaks_are_dropped_or_kept(quick, tmp_path):
    rows = example_rows(120)
    test = write_csv(tmp_path / "test.csv", [(text.upper(), label) for text, label in rows[:12]])
    record, _, said = quick("--test", test)
    assert record["data"]["leaks"] == {"dropped": 12, "kept": 0} and "dropped 12 rows" in said
    assert record["data"]["rows"]["train"] + record["data"]["rows"]["val"] == 108
    record, _, said = quick("--test", test, "--keep-leaks", output="predictors/leaky")
    assert record["data"]["leaks"] == {"dropped": 0, "kept": 12} and "kept 12 rows" in said
    assert record["data"]["rows"]["train"] + record["data"]["rows"]["val"] == 120


def test_rows_test_rows_maxlen_batch_size_and_class_weights(quick, monkeypatch, table):
    """Options whose effect shows in different places, in one run."""
    from halfbert.training import fit as training

    seen = {}
    get_learner = training.get_learner

    def watched(model, train_data, batch_size):
        learner = get_learner(model, train_data=train_data, batch_size=batch_size)
        fit = learner.fit_onecycle
        learner.fit_onecycle = lambda *positional, **named: seen.update(named, learner=learner) or fit(*positional, **named)
        return learner

    monkeypatch.setattr(training, "get_learner", watched)
    rows = [(text, label) for number, (text, label) in enumerate(example_rows(120)) if label != "tool" or number % 2]
    write_csv(table, rows)
    shrunk = ("--rows", "40", "--test-rows", "6")
    record, output, said = quick(*shrunk, "--maxlen", "7", "--batch-size", "5", "--class-weights", "balanced")
    assert record["data"]["rows"]["train"] == 40 and record["data"]["rows"]["test"] == 6
    assert record["options"]["maxlen"] == 7 and "texts are truncated at 7 tokens" in said and " 0.0% of" not in said
    assert json.loads((output / "halfbert.json").read_text())["maxlen"] == 7
    train = seen["learner"].train_data
    assert train.encoded.lengths.max() == 7 and train.layout(train=True).shape == (8, 5)
    counts = Counter(train.y.argmax(axis=1))
    assert seen["class_weight"] == {number: pytest.approx(40 / (3 * count)) for number, count in counts.items()}
    assert len(set(seen["class_weight"].values())) > 1
    assert record["options"]["class_weights"] == "balanced"


def test_epochs_and_learning_rate(quick):
    record, output, said = quick("--epochs", "2", "--lr", "1e-12")
    assert len(record["epochs"]) == 2 and "epoch 2/2" in said
    assert record["options"]["lr"] == 1e-12 and "one-cycle to 1e-12" in said
    # Steps too small for float32 change nothing, so the first epoch is the best of two equal ones.
    assert record["epochs"][0]["val_loss"] == record["epochs"][1]["val_loss"] and record["best_epoch"] == 1
    assert "epoch 1 of 2 kept" in said
    before = weights_of(output)
    _, output, _ = quick("--lr", "0.01", output="predictors/other")
    assert not equal(before, weights_of(output))


def test_early_stopping(quick):
    record, _, _ = quick("--epochs", "4", "--lr", "1e-12", "--early-stopping")
    assert len(record["epochs"]) == 2 and record["best_epoch"] == 1 and record["options"]["epochs"] == 4
    assert record["stopped"] is None and record["test"] is not None  # a completed run, tested


def test_weight_decay(quick):
    """Decay strong enough to see: the weights of a dense layer become smaller than without."""
    sizes = {}
    for decay in ("0", "20"):
        record, output, _ = quick("--weight-decay", decay, "--lr", "0.001", output=f"predictors/decay{decay}")
        assert record["options"]["weight_decay"] == float(decay)
        kernels = [value for name, value in weights_of(output).items() if "ffn/lin1/kernel" in name]
        sizes[decay] = np.abs(kernels).mean()
    assert sizes["20"] < 0.95 * sizes["0"]


@pytest.mark.slow
def test_find_lr(quick, here):
    record, _, said = quick("--find-lr")
    finder = record["learning_rate_finder"]
    assert len(finder["rates"]) == len(finder["losses"]) > 20
    assert finder["suggestion"] is not None and min(finder["rates"]) < finder["suggestion"] < max(finder["rates"])
    assert record["options"]["lr"] == finder["suggestion"] and record["options"]["find_lr"] is True
    assert f"suggests {finder['suggestion']:.2g}" in said and f"one-cycle to {finder['suggestion']:.2g}" in said
    assert (here / "results/multiclass/try/learning_rate_finder.png").read_bytes().startswith(b"\x89PNG")


def test_keep_epochs(quick):
    from halfbert.models.ktrain_data import ktrain

    record, output, _ = quick("--epochs", "2", "--lr", "0.003", "--keep-epochs")
    assert sorted(path.name for path in (output / "epochs").iterdir()) == ["01", "02"]
    weights = [weights_of(output / "epochs" / name) for name in ("01", "02")]
    assert not equal(*weights)
    assert equal(weights_of(output), weights[record["best_epoch"] - 1])  # the best one is the one saved
    for name in ("01", "02"):
        predictor = ktrain.load_predictor(str(output / "epochs" / name))
        assert predictor.get_classes() == list(LABELS) and predictor.predict("the old cat") in LABELS
    assert "epochs/01/tf_model.h5" in json.loads((output / "halfbert.json").read_text())["files"]


def test_the_best_epoch_is_the_one_saved_even_if_it_is_not_the_last(quick, monkeypatch):
    """An epoch that ruins the weights after a good one is not what is saved."""
    from halfbert.training.fit import BestEpoch

    begin = BestEpoch.on_epoch_begin

    def ruin(self, epoch, logs=None):
        if epoch == 1:
            self.model.set_weights([np.zeros_like(value) for value in self.model.get_weights()])
        begin(self, epoch, logs)

    monkeypatch.setattr(BestEpoch, "on_epoch_begin", ruin)
    record, output, said = quick("--epochs", "2", "--lr", "0.003", "--keep-epochs")
    assert record["best_epoch"] == 1 and "epoch 1 of 2 kept" in said
    assert equal(weights_of(output), weights_of(output / "epochs" / "01"))
    assert not equal(weights_of(output), weights_of(output / "epochs" / "02"))


def test_output_results_and_overwrite(quick, here, capsys, table, tiny_distilbert):
    """The folders named are used; an earlier run is replaced with --overwrite alone, and leftovers of a killed one go."""
    places = ("--output", here / "a" / "mine", "--results", here / "b" / "notes")
    arguments = ("--model", "distilbert", "--checkpoint", tiny_distilbert, "--train", table, *places, "--epochs", "1")
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


def test_debug_shows_the_traceback_and_nothing_else_does(here, capsys):
    arguments = ("--model", "bert", "--train", "nowhere.csv")
    assert end_here(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert end_here(*arguments, "--debug") == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown and shown.splitlines()[-1].startswith("error: nowhere.csv")


@pytest.mark.slow
def test_device_precision_and_threads(tmp_path, tiny_distilbert, table):
    """They are settings of the whole process, so they are tried in one of its own."""
    arguments = ["--model", "distilbert", "--checkpoint", str(tiny_distilbert), "--train", str(table), "--epochs", "1"]
    arguments += ["--device", "cpu", "--precision", "mixed_bfloat16", "--threads", "1"]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from halfbert.cli import command\n"
        "from halfbert.system import console\n"
        f"command.run(['train-multiclass', *{arguments!r}], console.StopRequest())\n"
        "import tensorflow as tf; print(tf.config.threading.get_intra_op_parallelism_threads(),"
        "tf.keras.mixed_precision.global_policy().name, tf.config.list_physical_devices('GPU'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=script_environment(), capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "1 float32 []" and "on the cpu:" in done.stdout
    found = record_of(tmp_path / "results/multiclass/distilbert-things")["environment"]
    assert (found["device"], found["precision"], found["threads"]) == ("cpu", "mixed_bfloat16", 1)
    weights = weights_of(tmp_path / "predictors/distilbert-things")
    assert {value.dtype for value in weights.values()} == {np.dtype("float32")}
    manifest = json.loads((tmp_path / "predictors/distilbert-things/halfbert.json").read_text())
    assert manifest["agreement"]["onnx"]["largest_difference"] < 1e-5  # of float32 answers, not of the run's own


@pytest.mark.slow
def test_deterministic_repeats_to_the_bit_and_test_labels_choose_nothing(tmp_path, tiny_distilbert):
    """Two processes with one seed agree to the bit; another seed differs; shuffled test labels change scores and no weight."""
    rows = example_rows(150)
    train = write_csv(tmp_path / "train.csv", rows[:120])
    test = write_csv(tmp_path / "test.csv", rows[120:])
    other_labels = sorted(label for _, label in rows[120:])
    shuffled = write_csv(
        tmp_path / "shuffled.csv", [(text, label) for (text, _), label in zip(rows[120:], other_labels, strict=True)]
    )
    common = ["--model", "distilbert", "--checkpoint", str(tiny_distilbert), "--train", str(train), "--epochs", "3"]
    common += ["--lr", "0.003", "--batch-size", "8", "--deterministic"]

    def arguments(name, test=test, seed=0):
        return [*common, "--test", str(test), "--seed", str(seed), "--output", f"p/{name}", "--results", f"r/{name}"]

    runs = [arguments("again"), arguments("other", seed=1), arguments("shuffled", test=shuffled)]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from halfbert.cli import command\n"
        "from halfbert.system import console\n"
        f"for arguments in {runs!r}: command.run(['train-multiclass', *arguments], console.StopRequest())"
    )
    done = run_script(*arguments("once"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=script_environment(), capture_output=True, text=True, timeout=180
    )
    assert (done.returncode, done.stderr) == (0, "")
    weights = {name: weights_of(tmp_path / "p" / name) for name in ("once", "again", "other", "shuffled")}
    found = {name: record_of(tmp_path / "r" / name) for name in weights}
    epochs = {name: epochs_of(record) for name, record in found.items()}
    assert equal(weights["once"], weights["again"]) and epochs["once"] == epochs["again"]
    assert found["once"]["test"] == found["again"]["test"]
    assert not equal(weights["once"], weights["other"])
    assert equal(weights["once"], weights["shuffled"]) and epochs["once"] == epochs["shuffled"]
    assert found["once"]["best_epoch"] == found["shuffled"]["best_epoch"]
    assert found["once"]["test"] != found["shuffled"]["test"]

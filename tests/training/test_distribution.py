"""Training on several devices and machines, and the way that a TPU takes, on a CPU.

Without dropout a fit on two devices is that on one, up to the order in which a batch's gradients are added up. In float32 that
order changes the last of seven digits, and a few dozen steps later the fifth at most: losses are compared at 1e-4 of their
size.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from support import (
    LABELS,
    ROOT,
    change_config,
    end_here,
    example_rows,
    record_of,
    run_python,
    script_environment,
    tagged_rows,
    train_here,
    write_checkpoint,
    write_csv,
    write_tags,
)

TOLERANCE = 1e-4
PATIENCE = 900  # seconds, for processes that share two processors with other tests
HOW = ("--device", "cpu", "--epochs", "2", "--no-tfidf")


# ---------------------------------------------------------------------------------------------------------------------------
# Batches


@pytest.fixture
def prepared(tiny_bert, tensorflow_ready):
    """A transformer and 44 encoded training rows in batches of 16."""
    from halfbert.models.ktrain_data import Transformer

    rows = example_rows(44)
    transformer = Transformer(tiny_bert, maxlen=16, class_names=list(LABELS))
    data = transformer.preprocess_train([text for text, _ in rows], [LABELS.index(label) for _, label in rows], verbose=0)
    data.batch_size, data.epochs = 16, 2
    return transformer, data


def test_every_batch_has_one_shape_and_fillers_weigh_nothing(prepared):
    _, data = prepared
    data.fixed_length = 16
    batches = list(data.to_tfdataset(train=True).take(6))
    assert {tuple(features["input_ids"].shape) for features, _, _ in batches} == {(16, 16)}
    assert data.to_tfdataset(train=True).element_spec[0]["input_ids"].shape == (16, 16)
    assert sorted(int((weights > 0).numpy().sum()) for _, _, weights in batches) == [12, 12, 16, 16, 16, 16]
    for _, _, weights in batches:  # their sum / 16 is a mean over the rows that are there
        np.testing.assert_allclose(weights.numpy()[weights.numpy() > 0], 16 / (weights.numpy() > 0).sum())


def test_full_batches_keep_the_rows_and_the_length_of_those_on_one_device(prepared):
    _, data = prepared
    data.batch_size = 8  # 5 full batches and one of 4 rows
    alone = list(data.to_tfdataset(train=True).take(6))
    data.full_batches = True
    spec = data.to_tfdataset(train=True).element_spec
    assert spec[0]["input_ids"].shape.as_list() == [8, None], "only a known number of rows is shared out evenly"
    for (features, labels), (full, full_labels, weights) in zip(alone, data.to_tfdataset(train=True).take(6), strict=True):
        there = weights.numpy() > 0
        np.testing.assert_array_equal(full["input_ids"].numpy()[there], features["input_ids"])
        np.testing.assert_array_equal(full_labels.numpy()[there], labels)
    assert len({features["input_ids"].shape[1] for features, _ in alone}) > 1, "batches are of like length, not of one"


def test_fits_and_predicts_as_on_a_tpu(prepared):
    """TPUStrategy's way but for the TPU itself: one shape, a scope, the stock forward pass, prediction in the scope."""
    import tensorflow as tf

    from halfbert.training import fit as training

    transformer, data = prepared
    data.fixed_length = 16
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = transformer.get_classifier()
    training.compile_model(model, "tpu")
    before = model.get_weights()[0].copy()
    learner = training.get_learner(model, train_data=data, batch_size=16)
    learner.fit_onecycle(1e-3, 2, class_weight={0: 1.0, 1: 2.0, 2: 1.0}, verbose=0)
    assert not np.array_equal(before, model.get_weights()[0])
    fixed = training.predict_logits(model, data, "fixed")
    data.fixed_length = None
    np.testing.assert_allclose(fixed, training.predict_logits(model, data, "by length"), atol=1e-5)


def test_a_tpu_gets_its_strategy(monkeypatch, tensorflow_ready):
    import tensorflow as tf

    from halfbert.system import tensorflow_setup

    tensorflow_setup.strategy.cache_clear()
    monkeypatch.setattr(tensorflow_setup, "_tpu", lambda _: "resolver")
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda resolver: ("over", resolver))
    assert tensorflow_setup.strategy("tpu") == ("over", "resolver")
    tensorflow_setup.strategy.cache_clear()


# ---------------------------------------------------------------------------------------------------------------------------
# Several devices


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """Checkpoints without dropout, by name, and two tables of 90 rows: batches of 16 leave a remainder of 8 in each epoch."""
    folder = tmp_path_factory.mktemp("still")
    for model in ("bert", "distilbert"):
        write_checkpoint(folder / model, model)
    change_config(folder / "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    change_config(folder / "distilbert", dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    files = {
        "things": write_csv(folder / "things.csv", example_rows(112)),
        "tags": write_tags(folder / "tags.csv", tagged_rows(112)),
    }
    return SimpleNamespace(folder=folder, cache=folder / "cache", **files)


def commands(still, teacher="predictors/bert-things") -> dict[str, list]:
    """One run of each verb, all different: class weights and rate finder, decay and early stopping, a teacher."""
    bert = ["--model", "bert", "--checkpoint", still.folder / "bert"]
    small = ["--model", "distilbert", "--checkpoint", still.folder / "distilbert"]
    table = ["--train", still.things, "--overwrite", *HOW]
    return {
        "bert-things": ["train-multiclass", *bert, *table, "--class-weights", "balanced", "--find-lr"],
        "distilbert-tags": [
            *("train-multilabel", *small, "--train", still.tags, "--balance", "--weight-decay", "0.01", "--lr", "0.002"),
            *(*HOW, "--early-stopping", "--overwrite"),
        ],
        "student-things": ["distill", "--teacher", teacher, *small, *table, "--lr", "0.002"],
    }


def losses(epochs: list[dict]) -> list[float]:
    return [row[name] for row in epochs for name in ("train_loss", "val_loss")]


def assert_same_fit(one: dict, other: dict) -> None:
    assert other["best_epoch"] == one["best_epoch"] and len(other["epochs"]) == len(one["epochs"])
    np.testing.assert_allclose(losses(other["epochs"]), losses(one["epochs"]), rtol=TOLERANCE)


@pytest.fixture(scope="module")
def alone(still, tmp_path_factory, tensorflow_ready):
    """The folder with what one device made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HALFBERT_CACHE", str(still.cache))
        patch.chdir(folder := tmp_path_factory.mktemp("alone"))
        for verb, *words in commands(still).values():
            train_here(*words, script=verb)
    return folder


@pytest.mark.slow
def test_two_devices_fit_as_one_does(still, alone, tmp_path):
    """Each verb: losses of every epoch and of the rate finder's steps, the best epoch, the teacher's parts, the control."""
    words = json.dumps([list(map(str, each)) for each in commands(still, alone / "predictors/bert-things").values()])
    done = run_python(
        ROOT / "tests" / "several_devices.py", "2", words, cwd=tmp_path, timeout=PATIENCE, HALFBERT_CACHE=str(still.cache)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("on the 2 x cpu") == 3
    for name, (verb, *_) in commands(still).items():
        where = ("results", verb.removeprefix("train-").replace("distill", "multiclass"), name)
        one, two = (record_of(folder.joinpath(*where)) for folder in (alone, tmp_path))
        assert two["environment"]["device"] == "2 x cpu"
        assert_same_fit(one, two)
        if one["learning_rate_finder"]:
            steps = [record["learning_rate_finder"]["losses"][:50] for record in (one, two)]
            np.testing.assert_allclose(*steps, rtol=TOLERANCE)
            np.testing.assert_allclose(two["options"]["lr"], one["options"]["lr"], rtol=1e-3)
        if one["distillation"]:
            assert_same_fit(one["distillation"]["control"], two["distillation"]["control"])
            parts = [[row[f"train_{part}"] for part in ("soft", "supervised", "cosine")] for row in one["epochs"]]
            again = [[row[f"train_{part}"] for part in ("soft", "supervised", "cosine")] for row in two["epochs"]]
            np.testing.assert_allclose(again, parts, rtol=TOLERANCE)


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused(monkeypatch, capsys, table, tiny_bert, here, tensorflow_ready):
    from halfbert.system import tensorflow_setup

    monkeypatch.setattr(tensorflow_setup, "strategy", lambda _: SimpleNamespace(num_replicas_in_sync=3))
    words = ("--model", "bert", "--checkpoint", tiny_bert, "--train", table, "--device", "cpu")
    assert end_here(*words) == 2
    assert "--batch-size 16: cannot be shared out evenly to 3 devices; take a multiple of 3" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------------
# Several machines


@contextlib.contextmanager
def workers(folder, script, *words, count=2, **changes):
    """Processes that TF_CONFIG makes workers, each in a folder of its own; what is still running at the end is killed."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    cluster = {"worker": [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]}
    for each in sockets:
        each.close()
    running = []
    for index in range(count):
        own = folder / f"worker{index}"
        own.mkdir()
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        environment = script_environment(TF_CONFIG=config, **changes)
        streams = {"stdout": open(own / "out", "w"), "stderr": open(own / "err", "w")}  # noqa: SIM115
        command = [sys.executable, ROOT / script, *words]
        running.append(subprocess.Popen(list(map(str, command)), cwd=own, env=environment, **streams))
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_two_workers_fit_as_one_and_the_chief_alone_writes(still, alone, tmp_path):
    _, *words = commands(still)["bert-things"]
    with workers(tmp_path, "train_multiclass.py", *words, HALFBERT_CACHE=str(still.cache)) as running:
        codes = [process.wait(timeout=PATIENCE) for process in running]
    said = [(tmp_path / f"worker{index}" / "out").read_text() for index in (0, 1)]
    assert codes == [0, 0], (tmp_path / "worker0" / "err").read_text()
    assert "worker 1 of 2: fitted; the chief tests and saves" in said[1]
    assert sorted(path.name for path in (tmp_path / "worker1").iterdir()) == ["err", "out"]
    where = ("results", "multiclass", "bert-things")
    one, two = record_of(alone.joinpath(*where)), record_of((tmp_path / "worker0").joinpath(*where))
    assert two["environment"]["device"] == "2 x cpu" and (tmp_path / "worker0" / "predictors" / "bert-things").is_dir()
    assert_same_fit(one, two)
    assert [row["val_accuracy"] for row in two["epochs"]] == [row["val_accuracy"] for row in one["epochs"]]
    epochs = [[line.split("; ")[:2] for line in each.splitlines() if ": train loss" in line] for each in said]
    assert epochs[0] == epochs[1], "all workers know the chief's validation"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX does")
def test_a_worker_that_is_killed_ends_the_others_in_one_line(still, tmp_path):
    """TensorFlow notices a worker's silence by missing heartbeats; the chief keeps its best epoch."""
    _, *words = commands(still)["bert-things"]
    words[words.index("--epochs") + 1] = "5000"
    with workers(tmp_path, "train_multiclass.py", *words[:-1], "--lr", "1e-4", HALFBERT_CACHE=str(still.cache)) as running:
        deadline = time.monotonic() + PATIENCE
        while "epoch 2/" not in (tmp_path / "worker0" / "out").read_text():
            assert time.monotonic() < deadline and running[0].poll() is None, (tmp_path / "worker0" / "err").read_text()
            time.sleep(0.2)
        os.kill(running[1].pid, signal.SIGKILL)
        code = running[0].wait(timeout=PATIENCE)
    error = (tmp_path / "worker0" / "err").read_text()
    assert code == 4, error
    line = error.strip().splitlines()[-1]
    assert "worker 0 of 2: another worker is gone" in line and "start all workers again" in line and "is kept" in line
    assert record_of(tmp_path / "worker0" / "results" / "multiclass" / "bert-things")["stopped"]


TWO = '{"cluster": {"worker": ["a:1", "b:2"]}'


@pytest.mark.parametrize("config", ["{", TWO + "}", TWO + ', "task": {"type": "worker", "index": 2}}'])
def test_a_useless_tf_config_is_one_line(config, monkeypatch, capsys, table, tiny_bert, here):
    monkeypatch.setenv("TF_CONFIG", config)
    assert end_here("--model", "bert", "--checkpoint", tiny_bert, "--train", table) == 2
    line = capsys.readouterr().err
    assert "TF_CONFIG: names no worker that this process could be" in line and line.count("\n") == 1


def test_a_tf_config_with_one_worker_is_one_machine(monkeypatch):
    from halfbert.system import cluster

    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}')
    assert cluster.here() == cluster.Worker(0, 1)
    both = {"chief": ["a:1"], "worker": ["b:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": both, "task": {"type": "worker", "index": 0}}))
    assert cluster.here() == cluster.Worker(1, 2)


@pytest.mark.parametrize("verb", ["distill", "compare"])
def test_what_trains_on_one_machine_says_so(verb, monkeypatch, capsys, table, tiny_bert, here):
    both = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(both))
    teaching = ("--teacher", tiny_bert, "--objective", "embedding", "--texts", table, "--output", "student")
    words = {"distill": teaching, "compare": ("--train", table)}[verb]
    assert end_here(*words, script=verb) == 2
    assert "unset TF_CONFIG" in capsys.readouterr().err

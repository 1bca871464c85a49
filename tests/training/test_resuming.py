"""Runs that are killed and resumed: what they end with, what they refuse, what they do with a damaged or unwritable state.

In most tests an exception in place of a kill ends the run after a step; what its process would have lost is then lost too, but
for TensorFlow itself. One test kills processes.
"""

import errno
import os
import random
import shutil
from types import SimpleNamespace

import pytest
from dying import Killed, kill_after
from support import (
    ROOT,
    end_here,
    epochs_of,
    equal,
    example_rows,
    record_of,
    run_python,
    train_here,
    weights_of,
    write_checkpoint,
    write_csv,
)

STATE = "predictors/.killed.state"
DETERMINISTIC = ("--deterministic", "--no-tfidf", "--epochs", "3", "--batch-size", "8", "--lr", "0.003")  # 12 steps an epoch
EVERY_STEP = ("--save-every", "1e-9")
RUNS = {
    "multiclass": ("distilbert", ("--class-weights", "balanced", "--keep-epochs", "--head", "random")),
    "multilabel": ("bert", ("--balance", "--early-stopping")),
}


@pytest.fixture(autouse=True)
def no_engines(monkeypatch):
    """Engines are tried after the states are gone."""
    from halfbert.training import steps

    monkeypatch.setattr(steps, "prove_engines", lambda *_: None)


@pytest.fixture
def run(here, request, tables, tensorflow_ready):
    """Run a task on its small table; returns what was said."""

    def run(name, *more, task="multiclass", how=train_here):
        model, options = RUNS[task]
        checkpoint = request.getfixturevalue(f"tiny_{model}")
        where = ("--train", tables[task], "--output", f"predictors/{name}", "--results", f"results/{name}")
        arguments = ("--model", model, "--checkpoint", checkpoint, *where, *DETERMINISTIC, *options, *more)
        return how(*arguments, script=f"train_{task}")

    return run


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Filled with a folder for each task."""
    return {"folder": tmp_path_factory.mktemp("uninterrupted")}


@pytest.fixture
def whole(run, uninterrupted, here):
    """Put the uninterrupted run of a task in place as "whole"; it is made once."""

    def whole(task="multiclass"):
        if task not in uninterrupted:
            run("whole", task=task)
            assert not list((here / "predictors").glob(".*")), "a run that succeeded leaves no state"
            uninterrupted[task] = shutil.copytree(here, uninterrupted["folder"] / task)
        else:
            shutil.copytree(uninterrupted[task], here, dirs_exist_ok=True)

    return whole


@pytest.fixture
def killed(run, monkeypatch):
    """Run a task until it is killed after so many steps, having been saved before each."""

    def killed(steps, *more, task="multiclass", every=EVERY_STEP):
        kill_after(monkeypatch, steps)
        with pytest.raises(Killed):
            run("killed", *every, *more, task=task)

    return killed


def states(here):
    return sorted(file.name for file in (here / STATE).glob("*.npz"))


def same(here, one, other):
    """Whether two runs ended with the same weights to the bit, and the same epochs and scores."""
    assert equal(weights_of(here / "predictors" / one), weights_of(here / "predictors" / other))
    records = [record_of(here / "results" / name) for name in (one, other)]
    assert epochs_of(records[0]) == epochs_of(records[1])
    for field in ("test", "best_epoch", "learning_rate_finder", "calibration"):
        assert records[0][field] == records[1][field]
    return records[1]


@pytest.mark.parametrize("task", RUNS)
def test_a_killed_run_ends_as_the_uninterrupted_one(task, whole, run, killed, here):
    whole(task)
    first, second = 5, 12
    killed(first, task=task)
    killed(second, "--resume", task=task)
    resumed_at = [first - 1, first - 1 + second - 1]  # the state after the last step was not saved any more
    assert states(here) == [f"fit-{step:09d}.npz" for step in (resumed_at[1] - 1, resumed_at[1])]
    said = run("killed", "--resume", task=task)
    assert f"resuming after step {resumed_at[1]}\n" in said
    record = same(here, "whole", "killed")
    assert record["resumed_at"] == resumed_at and not list((here / "predictors").glob(".*"))
    if task == "multiclass":
        for epoch in ("01", "02", "03"):
            folders = [here / "predictors" / name / "epochs" / epoch for name in ("whole", "killed")]
            assert equal(*map(weights_of, folders))


def test_a_run_killed_in_its_test_repeats_no_step(whole, run, here, monkeypatch):
    from halfbert.training import steps

    whole()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(steps, "test", lambda *_: (_ for _ in ()).throw(Killed()))
        run("killed", *EVERY_STEP)
    kill_after(monkeypatch, 1)
    run("killed", "--resume")
    assert same(here, "whole", "killed")["resumed_at"] == [36]


def test_the_rate_that_was_found_is_kept(run, killed, here, monkeypatch):
    from halfbert.training import rate_finder

    without_rate = [word for word in DETERMINISTIC if word not in ("--lr", "0.003")]
    monkeypatch.setitem(globals(), "DETERMINISTIC", (*without_rate, "--find-lr"))
    run("whole")
    killed(7)
    with monkeypatch.context() as patch:
        patch.setattr(rate_finder, "find_learning_rate", lambda *_: pytest.fail("searched again"))
        run("killed", "--resume")
    assert same(here, "whole", "killed")["learning_rate_finder"]["losses"]


REFUSED = {
    "epochs": (("--epochs", "2"), "--epochs was 3, is 2"),
    "seed": (("--seed", "1"), "--seed was 0, is 1"),
    "batch": (("--batch-size", "4"), "--batch-size was 8, is 4"),
    "rate": (("--lr", "0.002"), "--lr was 0.003, is 0.002"),
    "weight decay": (("--weight-decay", "0.1"), "--weight-decay was 0.0, is 0.1"),
    "head": (("--head", "probed"), "--head was random, is probed"),
    "rows": (("--rows", "60"), "train rows: not the same"),
}


def test_another_run_is_refused_by_what_differs(run, killed, here, capsys, monkeypatch, tables, tiny_distilbert, tmp_path):
    from halfbert import training

    killed(3)
    before = states(here)

    def refused(*more, fragments):
        assert run("killed", "--resume", *more, how=end_here) == 2
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1 and "--resume" in shown and all(each in shown for each in fragments), shown

    for more, fragment in REFUSED.values():
        refused(*more, fragments=[fragment])
    refused("--epochs", "2", "--seed", "1", fragments=["--epochs was 3", "--seed was 0"])
    refused("--checkpoint", write_checkpoint(tmp_path / "other", "distilbert", seed=1), fragments=["pretrained weights"])
    with monkeypatch.context() as patch:
        patch.setattr(training, "RECIPE_VERSION", training.RECIPE_VERSION + 1)
        refused(fragments=["recipe of halfbert was"])
    write_csv(tables["multiclass"], example_rows(120, seed=1))
    refused(fragments=["train rows", "val rows", "test rows"])
    assert states(here) == before, "nothing was lost"


@pytest.mark.parametrize("damage", ["truncated", "altered", "both"])
def test_of_a_damaged_state_the_one_before_is_taken(damage, whole, run, killed, here):
    whole()
    killed(9)
    before, last = [here / STATE / name for name in states(here)]
    for file in (before, last) if damage == "both" else (last,):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 255
        file.write_bytes(content if damage == "altered" else content[: len(content) // 2])
    said = run("killed", "--resume")
    assert f"{last}: damaged" in said
    if damage == "both":
        assert "no whole state is left, so the fit starts from the beginning" in said
    else:
        assert "resuming after step 7\n" in said
    same(here, "whole", "killed")


def test_a_full_disk_costs_the_state_and_not_the_fit(run, here, monkeypatch):
    from halfbert.training import resuming

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(resuming, "write_arrays", full)
    said = run("killed", "--resume", *EVERY_STEP, "--epochs", "1")
    assert "--resume: no saved state, so the run starts from the beginning" in said
    assert said.count("No space left") == 1 and "the fit continues" in said
    assert record_of(here / "results/killed")["test"] and not list((here / "predictors").glob(".*"))


def test_a_state_leaves_room_for_what_the_run_has_to_write(run, here, monkeypatch):
    from halfbert.system import storage

    free = storage.check_free_space

    def nearly_full(path, needed):
        free(path, needed + (10**18 if path.name.endswith(".state") else 0))

    monkeypatch.setattr(storage, "check_free_space", nearly_full)
    said = run("killed", *EVERY_STEP, "--epochs", "1")
    assert said.count("cannot be saved") == 1 and (here / "predictors/killed/halfbert.json").exists()


def test_without_the_option_a_run_starts_anew_and_says_what_it_leaves(whole, run, killed, here):
    whole()
    killed(14)
    assert (here / STATE / "epochs" / "01").exists()
    kept = states(here)
    killed(1)  # before it saved anything
    assert states(here) == kept
    killed(4)
    assert states(here) == ["fit-000000002.npz", "fit-000000003.npz"] and not (here / STATE / "epochs").exists()
    said = run("killed")
    assert "--resume would continue it" in said and "resuming" not in said
    assert not same(here, "whole", "killed")["resumed_at"]


def test_a_run_that_was_stopped_goes_on_where_it_was(whole, run, here, monkeypatch, capsys):
    from halfbert.training.fit import BestEpoch

    whole()
    end = BestEpoch.on_train_batch_end

    def stopping(self, *batch):
        if len(self.learning_rates) == 17:
            self.stop.signal_number = 15
        end(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(BestEpoch, "on_train_batch_end", stopping)
        assert run("killed", how=end_here) == 143
    assert f"{STATE}: the state after step 17; --resume continues from it" in capsys.readouterr().out
    assert record_of(here / "results/killed")["stopped"]
    assert run("killed", how=end_here) == 2 and "--overwrite" in capsys.readouterr().err
    run("killed", "--resume")
    assert same(here, "whole", "killed")["resumed_at"] == [17]
    assert record_of(here / "results/killed")["stopped"] is None


def test_a_fit_that_diverged_leaves_no_state(run, here, monkeypatch):
    from halfbert.training import fit

    step = fit.BestEpoch.on_train_batch_end

    def diverging(self, batch, logs):
        step(self, batch, {"loss": float("nan")} if len(self.learning_rates) == 20 else logs)

    monkeypatch.setattr(fit.BestEpoch, "on_train_batch_end", diverging)
    assert run("killed", how=end_here) == 4
    assert (here / "predictors/killed").exists() and not list((here / "predictors").glob(".*"))


def test_the_loss_scale_of_mixed_precision_is_kept(tmp_path, tensorflow_ready):
    """Of one variable and of the optimizer as Keras wraps it for mixed_float16, which needs a GPU."""
    import tensorflow as tf

    from halfbert.training import resuming
    from halfbert.training.optimizer import Adam

    def wrapped():
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(Adam(), initial_scale=64, dynamic_growth_steps=3)
        strategy = tf.distribute.get_strategy()
        return SimpleNamespace(trainable_variables=[tf.Variable([1.0])], optimizer=optimizer, distribute_strategy=strategy)

    def best():
        found = SimpleNamespace(learning_rates=[0.1] * 4, best_weights=None, best_logits=None, is_best_now=False)
        found.progress, found.restore = dict, lambda progress: None
        return found

    model, run = wrapped(), resuming.States(tmp_path, {}, 10)
    for _ in range(4):
        model.optimizer.apply_gradients([(tf.constant([1.0]), model.trainable_variables[0])])
    run.fit("fit").save(model, best())
    other, saved = wrapped(), run.fit("fit")
    assert (
        float(other.optimizer.loss_scale) == 64 and saved.restore(SimpleNamespace(**vars(other), get_weights=list), best()) == 4
    )
    assert float(other.optimizer.loss_scale) == 128 and int(other.optimizer.dynamic_counter) == 1
    assert other.trainable_variables[0].numpy() == model.trainable_variables[0].numpy()
    assert int(other.optimizer.iterations) == 4


def test_short_epochs_are_not_saved_one_by_one(tmp_path, monkeypatch):
    """A fit of 2-second epochs whose state takes a second to save."""
    from halfbert.training import resuming

    now, saved_at = [0.0], []
    monkeypatch.setattr(resuming.time, "perf_counter", lambda: now[0])

    def write(self, step, arrays):
        saved_at.append(now[0])
        now[0] += 1.0

    monkeypatch.setattr(resuming.SavedFit, "_write", write)
    monkeypatch.setattr(resuming, "_variables", lambda model: {})
    found = SimpleNamespace(learning_rates=[], best_weights=None, best_logits=None, is_best_now=False, progress=dict)
    rate = SimpleNamespace(numpy=lambda: 0.1)
    model = SimpleNamespace(optimizer=SimpleNamespace(lr=rate, beta_1=rate))
    for minutes, expected in ((10.0, [2.0, 23.0, 44.0]), (1e-9, [2.0, 5.0, 8.0])):
        now[0] = 0.0
        saved_at.clear()
        fit = resuming.States(tmp_path, {}, minutes).fit("fit")
        while len(saved_at) < 3:
            now[0] += 2.0
            fit.save_after_epoch(model, found)
        assert saved_at == expected


KILLER = """
import os, signal, sys
steps, devices = map(int, sys.argv[1:3])
os.environ["TF_USE_LEGACY_KERAS"], os.environ["CUDA_VISIBLE_DEVICES"] = "1", "-1"
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
from halfbert.cli import command
from halfbert.training import steps as course_steps
course_steps.prove_engines = lambda *_: None  # after the states are gone
if sys.argv[3] == "first":
    assert command.main([*sys.argv[4:], "--output", "p/whole", "--results", "r/whole"]) == 0
from halfbert.training.fit import BestEpoch
end, ended = BestEpoch.on_train_batch_end, []
def dying(self, *batch):
    end(self, *batch)
    ended.append(batch)
    if len(ended) == steps:
        os.kill(os.getpid(), signal.SIGKILL)
BestEpoch.on_train_batch_end = dying
sys.exit(command.main([*sys.argv[4:], "--output", "p/killed", "--results", "r/killed", "--resume", "--save-every", "1e-3"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX does")
@pytest.mark.parametrize("devices", [1, 2])
def test_processes_killed_at_random_steps(devices, here, tables, tiny_distilbert):
    """Each is killed without notice; the last ends with the weights of one that was not, to the bit."""
    rng = random.Random()
    deaths = [rng.randint(1, 20), rng.randint(1, 12), 0]
    common = ("train-multiclass", "--model", "distilbert", "--checkpoint", tiny_distilbert, "--train", tables["multiclass"])
    for number, death in enumerate(deaths):
        words = [death, devices, "later" if number else "first", *common, *DETERMINISTIC, "--threads", "1", "--device", "cpu"]
        done = run_python("-c", KILLER, *map(str, words), cwd=here, PYTHONPATH=str(ROOT))
        assert done.returncode == (-9 if death else 0), done.stderr
    assert ("2 x cpu" in done.stdout) == (devices == 2)
    assert equal(weights_of(here / "p/whole"), weights_of(here / "p/killed")), f"killed after {deaths} steps"
    assert epochs_of(record_of(here / "r/whole")) == epochs_of(record_of(here / "r/killed"))
    assert sorted(path.name for path in (here / "p").iterdir()) == ["killed", "whole"]

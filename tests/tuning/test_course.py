"""tune.py through its real arguments: trials without test rows, a kill that leaves nothing running, what a search leaves."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from support import ROOT, end_here, example_rows, record_of, script_environment, tagged_rows, write_csv, write_tags

import halfbert
from halfbert.options import TuneOptions
from halfbert.tuning import course, worker
from halfbert.tuning import record as records


@pytest.fixture
def tables(here):
    # Made-up labels on every fourth test row, so that nobody is right everywhere.
    rows = [(text, "tool" if n >= 160 and n % 4 == 0 else label) for n, (text, label) in enumerate(example_rows(200))]
    write_csv(here / "things.csv", rows[:160])
    write_csv(here / "held_out.csv", rows[160:])
    write_tags(here / "tags.csv", tagged_rows(120))
    return here


def children():
    return [each.pid for each in psutil.process_iter(["cmdline"]) if "halfbert.tuning.worker" in (each.info["cmdline"] or [])]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--train", "things.csv", "--text-column", "Reviews"], "has no column 'Reviews'"),
        (["--train", "things.csv", "--output", "results/tune/things/in"], "one inside the other"),
        (["--train", "things.csv", "--keep", "3"], "--keep 3"),
        (["--train", "things.csv", "--ray", "local", "--workers", "0"], "--workers"),
    ],
)
def test_mistakes_are_reported_before_anything_is_fitted(tables, capfd, tiny_distilbert, arguments, says):
    assert end_here(*arguments, "--checkpoints", f"distilbert={tiny_distilbert}", script="tune") == 2
    out, err = capfd.readouterr()
    assert says in err and err.count("\n") == 1 and "trial 0" not in out


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_trial_gets_no_test_row(tables, task, tiny_distilbert):
    given = {"train": "things.csv", "test": "held_out.csv"} if task == "multiclass" else {"train": "tags.csv"}
    tuning = course.read(TuneOptions(task=task, checkpoints=[f"distilbert={tiny_distilbert}"], **given))
    job = json.loads(tuning.job(tuning.space.setting(tuning.space.default)))
    shared = set(tuning.data.test.texts) & {*job["train_texts"], *job["val_texts"]}
    assert len(tuning.data.test) and not shared and not {"test", "val"} & job["options"].keys()
    assert "held_out" not in json.dumps(job)
    data = worker.Job(**job).data
    assert not len(data.test) and data.train.texts == tuning.data.train.texts and data.val.labels == tuning.data.val.labels


@pytest.mark.slow
def test_a_killed_search_ends_its_trial_and_goes_on(tables, capfd, monkeypatch, tiny_distilbert):
    arguments = ["--train", "things.csv", "--test", "held_out.csv", "--checkpoints", f"distilbert={tiny_distilbert}"]
    arguments += ["--epochs", "2", "--search", "head", "--minutes", "60", "--threads", "1", "--trials", "2"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tune.py"), *arguments],
        cwd=tables,
        env=script_environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("trial 1:"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for _ in range(100):
        if not children():
            break
        time.sleep(0.1)
    assert not children()
    assert any("trial 0: macro F1" in line for line in said)

    changed = [*arguments[:-2], "--weight-decay", "0.1"]
    assert end_here(*changed, script="tune") == 2
    assert "begun otherwise (weight decay was not given, is 0.1)" in capfd.readouterr().err

    choose = course.choose
    monkeypatch.setattr(course, "choose", lambda *given: (choose(*given)[0], given[-1][-1]))  # as if it were beyond luck
    assert end_here(*arguments, script="tune") == 0
    out = capfd.readouterr().out
    assert "the search resumes after 1 trial and" in out and "trial 0: " not in out and "trial 2: macro F1" in out
    record = records.read(tables / "results/tune/things")
    assert [(trial.number, trial.outcome) for trial in record.trials] == [(0, "finished"), (2, "finished")]
    assert {trial.setting["head"] for trial in record.trials} == {"probed", "random"}
    assert record.lead.rows == record.data.rows.val and record.lead.models == 2
    assert record.winner.trial == 2 and record.default.trial == 0 and not record.default_is_kept
    own, default = (record_of(tables / "results/tune/things" / name) for name in ("winner", "default"))
    for key, difference in record.differences.items():
        assert difference.first - difference.second == pytest.approx(own["test"][key] - default["test"][key])
    for key in ("macro_f1", "accuracy"):
        assert record.test[key] == pytest.approx(own["test"][key])
    assert (
        own["data"]["rows"] == {"train": 144, "val": 16, "test": 40} and own["options"]["head"] == record.winner.setting["head"]
    )
    assert halfbert.load(tables / "predictors/tuned-things", "onnx", allow_disagreement=True).predict(["cat"])
    names = {file.name for file in (tables / "results/tune/things").iterdir()}
    assert {"tuning.json", "report.txt", "trials.csv", "trials.png", "study.db", "winner"} <= names
    assert not names & {"fits", "answers"}
    assert str(tables) not in (tables / "results/tune/things/tuning.json").read_text()

    assert end_here(*arguments, script="tune") == 2  # a finished search is not begun once more unasked: its test is done
    assert "already exists; --overwrite" in capfd.readouterr().err

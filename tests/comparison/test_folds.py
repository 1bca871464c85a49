"""Folds of a small table: which rows are in which, what fits them, and that the answers come together in order."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from support import example_rows, tagged_rows, write_csv, write_tags

from halfbert.comparison import dealing, fitting, fold_worker, jobs, pool
from halfbert.options import CompareOptions, MulticlassOptions
from halfbert.output import record as records
from halfbert.output.folds import RowCounts
from halfbert.system.console import Stopped
from halfbert.system.errors import InputError, ResourceError


@pytest.fixture
def experiment(tmp_path, tiny_bert, tiny_distilbert):
    """Makes a comparison of tiny checkpoints on one table, which is read."""

    def make(rows=60, table=None, **options):
        table = table or write_csv(tmp_path / "things.csv", example_rows(rows))
        contestants = {"tfidf": None, "distilbert": str(tiny_distilbert), "bert": str(tiny_bert)}
        given = {"train": table, "output": tmp_path / "out", "work": tmp_path / "work", "contestants": contestants}
        return jobs.read(CompareOptions(**given | options))

    return make


def test_every_row_of_a_small_table_is_a_test_row_once(experiment, capsys):
    found = experiment(rows=60)
    assert "things.csv: 60 rows, 3 labels; 5 folds, so that every row is a test row once" in capsys.readouterr().out
    assert found.folds == 5 and found.data.test.numbers == list(range(2, 62)) and found.truth.shape == (60, 3)
    parts = [{part: set(rows.texts) for part, rows in fold.parts()} for fold in found.dealt.folds]
    for each in parts:
        assert not each["train"] & each["val"] and not (each["train"] | each["val"]) & each["test"] and each["val"]
        assert len(each["train"] | each["val"] | each["test"]) == 60
    assert sorted(text for each in parts for text in each["test"]) == sorted(found.data.test.texts)
    assert [sorted(set(fold.test.labels)) for fold in found.dealt.folds] == [["animal", "food", "tool"]] * 5


def test_equal_texts_and_groups_stay_together(experiment, tmp_path):
    rows = [(text, label, f"customer {n // 2}") for n, (text, label) in enumerate(example_rows(60))]
    table = write_csv(tmp_path / "groups.csv", [*rows, *rows[:20]], ("text", "label", "customer"))
    for options, key in (({}, lambda row: row.texts), ({"group_column": "customer"}, lambda row: row.groups)):
        for fold in experiment(table=table, **options).dealt.folds:
            (train, val, test) = (set(key(part)) for _, part in fold.parts())
            assert not test & (train | val) and not train & val


def test_rows_are_drawn_of_what_each_fit_may_learn_from(experiment):
    found = experiment(rows=90, cv=3)
    drawn = dealing.deal(jobs.training_options(found.options, "bert", cv=3, rows=12))
    assert [len(fold.train) for fold in drawn.folds] == [12] * 3 and len(drawn.rows) == 90
    assert sum(len(fold.test) for fold in drawn.folds) == 90


@pytest.mark.parametrize(
    ("rows", "options", "folds"),
    [
        (60, {}, 5),
        (60, {"cv": "none"}, None),
        (60, {"cv": 3}, 3),
        (60, {"test_rows": 5}, None),  # who says how many rows test wants a split
        (2000, {}, None),
        (2000, {"cv": 2}, 2),
    ],
)
def test_auto_deals_out_what_is_small(tmp_path, rows, options, folds):
    numbered = [(f"{text} {n}", label) for n, (text, label) in enumerate(example_rows(60) * (rows // 60 + 1))][:rows]
    given = CompareOptions(train=write_csv(tmp_path / "a.csv", numbered), **options)
    data, dealt, note = dealing.read(given, jobs.training_options(given, "bert"))
    assert (dealt and len(dealt.folds)) == folds and note is None
    assert folds is None or len(data.test) == rows


FILES = (("a", slice(40)), ("b", slice(40, 60)))


def test_files_and_the_embedded_messages_are_split_as_given(tmp_path):
    train, test = (write_csv(tmp_path / f"{name}.csv", example_rows(60)[part]) for name, part in FILES)
    for given in (CompareOptions(train=train, test=test), CompareOptions(train=train, val=test), CompareOptions()):
        assert dealing.read(given, jobs.training_options(given, "bert"))[1] is None


def test_a_label_too_rare_for_folds_is_split_all_the_same(tmp_path):
    rare = [*example_rows(60), *((f"a rare one, {n}", "rare") for n in range(3))]
    table = write_csv(tmp_path / "rare.csv", rare)
    given = CompareOptions(train=table)
    _, dealt, note = dealing.read(given, jobs.training_options(given, "bert"))
    assert dealt is None and "one split" in note and '"rare" has 3' in note
    with pytest.raises(InputError, match="--cv 5: each label needs"):
        given = CompareOptions(train=table, cv=5)
        dealing.read(given, jobs.training_options(given, "bert"))


def test_a_worker_deals_as_its_parent_does(experiment, tmp_path):
    for found in (
        experiment(rows=60),
        experiment(table=write_tags(tmp_path / "tags.csv", tagged_rows(60)), task="multilabel"),
    ):
        part = found.fold_part("bert", 0, None, 2)
        given = json.loads(json.dumps(found.work.fold_job(part, 1)))
        options = fold_worker.baseline.OPTIONS[given["task"]](**given["options"])
        data = fold_worker.rows(given["task"], json.dumps(dealing.of_table(options), default=str))
        assert [fold.test.numbers for fold in data] == [fold.test.numbers for fold in found.dealt.folds]
        assert [fold.train.texts for fold in data] == [fold.train.texts for fold in found.dealt.folds]


def test_a_fold_is_a_part_of_its_own(experiment):
    found = experiment()
    parts = [found.fold_part(name, 0, None, fold) for name in found.contestants for fold in range(5)]
    assert len({part.identity for part in parts}) == 15
    assert parts[0].name == "tfidf-seed0-fold1of5" and parts[5].depends_on["checkpoint"]
    assert [part.makes_predictor for part in parts] == [False] * 5 + ([True] + [False] * 4) * 2  # one a network is timed
    assert not found.fold_part("bert", 1, None, 0).makes_predictor
    other = experiment(cv=4)
    assert other.fold_part("tfidf", 0, None, 0).identity != parts[0].identity


def write_part(experiment, name):
    """Leave what the fit of a part would: answers that are right, but for the first row of each fold."""
    part = next(p for p in all_parts(experiment) if p.name == name)
    fold = part.job["fold"]
    data = experiment.dealt.folds[fold]
    _, predictor, results = experiment.work.places(part)
    results.mkdir(parents=True, exist_ok=True)
    truth = np.array([[label == each for each in data.labels] for label in data.test.labels], float)
    answers = np.vstack([np.roll(truth[:1], 1, axis=1), truth[1:]])
    records.write_answers(answers, truth, data.test.numbers, results)
    counts = RowCounts(len(data.train), len(data.val), len(data.test))
    record = records.Record(
        task="multiclass",
        model="bert",
        checkpoint=None,
        options={},
        data=records.DataSummary([], counts, data.labels, 0, records.Leaks()),
        test={},
        timing=records.Timing(fit_seconds=float(fold + 1)),
        size=records.Size(10, 100),
        environment=jobs.machine.describe("cpu", 1, "float32", 0),
    )
    records.write(record, results)
    if part.makes_predictor:
        predictor.mkdir(parents=True)
        (predictor / jobs.MANIFEST).touch()


def all_parts(experiment):
    return [experiment.fold_part(name, 0, None, fold) for name in experiment.contestants for fold in range(experiment.folds)]


def test_folds_come_together_and_a_killed_comparison_goes_on(experiment, monkeypatch, capsys):
    found, ran = experiment(rows=60), []

    def run(given, count):
        for name, job in given:
            if name == "distilbert-seed0-fold3of5" and len(ran) < 10:
                raise Stopped(2)
            assert job["fold"] == int(name.split("fold")[1][0]) - 1
            write_part(found, name)
            ran.append(name)
            yield name, "at this pace the fit takes about 60 s", 1.0
            yield name, None, 2.0

    monkeypatch.setattr(pool, "run", run)
    fits = fitting.Fits()
    with pytest.raises(Stopped):
        fitting.fit(found, fits)
    assert list(fits.full) == ["tfidf"] and len(ran) == 7
    out = capsys.readouterr().out
    assert "TF-IDF: macro F1 0.9" in out and "15 epochs, 1 seed, 5 folds: about" in out.replace("15 and 5", "15")
    fits = fitting.Fits()
    ran += ["from here on"] * 3
    fitting.fit(found, fits)
    assert ran[10:] == [f"distilbert-seed0-fold{n}of5" for n in (3, 4, 5)] + [f"bert-seed0-fold{n}of5" for n in range(1, 6)]
    assert list(fits.full) == ["tfidf", "distilbert", "bert"]
    (bert,) = fits.full["bert"]
    assert bert.numbers.tolist() == list(range(2, 62)) and bert.answers.shape == (60, 3)
    wrong = (bert.answers != found.truth).any(axis=1)
    assert wrong.sum() == 5 and len(set(found.dealt.fold_of[wrong])) == 5  # the first of each fold
    assert bert.record.data.rows == RowCounts(43, 5, 60) and bert.record.timing.fit_seconds == 3.0
    assert len(bert.parts) == 5 and bert.predictor.name == bert.parts[0]
    out = capsys.readouterr().out
    assert "BERT: macro F1 0.9" in out and "+0.000 (+0.000 to +0.000) beside DistilBERT" in out


ECHO = """
import json, sys
for line in sys.stdin:
    job = json.loads(line)
    print("what a library prints")
    print("halfbert-fold " + json.dumps({"line": job["name"] * 2}), flush=True)
    if job["fails"]:
        sys.exit("error: no room")
    print("halfbert-fold " + json.dumps({"done": True}), flush=True)
"""


def test_a_pool_does_every_job_once_in_processes_that_live_on(monkeypatch):
    monkeypatch.setattr(pool, "COMMAND", ["-c", ECHO])
    given = [(name, {"fails": False}) for name in "abcde"]
    events = list(pool.run(given, 2))
    assert sorted(line for _, line, _ in events if line) == ["aa", "bb", "cc", "dd", "ee"]
    assert sorted(name for name, line, _ in events if line is None) == list("abcde")
    assert not list(pool.run([], 2))


def test_a_failing_job_ends_the_pool_with_its_message(monkeypatch):
    monkeypatch.setattr(pool, "COMMAND", ["-c", ECHO])
    with pytest.raises(ResourceError, match="b: no room"):
        list(pool.run([("a", {"fails": False}), ("b", {"fails": True})], 1))


def test_as_many_processes_as_there_are_threads_folds_and_memory(monkeypatch, tmp_path):
    def count(threads=8, folds=5, gigabytes=100, **options):
        monkeypatch.setattr(pool.psutil, "virtual_memory", lambda: SimpleNamespace(available=gigabytes * 1e9))
        given = MulticlassOptions(model="bert", train="a.csv", threads=threads, **options)
        return pool.workers(given, folds, [SimpleNamespace(bytes=440e6)])

    monkeypatch.setattr(pool, "gpus", lambda: [])
    assert [count(), count(threads=2), count(folds=3), count(gigabytes=12), count(gigabytes=1)] == [4, 2, 3, 2, 1]
    assert count(device="gpu") == 1
    monkeypatch.setattr(pool, "gpus", lambda: ["a GPU"])
    assert count() == 1 and count(device="cpu") == 4


def test_what_a_fit_prints_becomes_messages(capsys):
    lines = fold_worker.Lines(sys.stdout)
    print("epoch 1\n\nhalf", end="", file=lines)
    print(" a line", file=lines)
    sent = [json.loads(line.removeprefix(pool.MESSAGE)) for line in capsys.readouterr().out.splitlines()]
    assert sent == [{"line": "epoch 1"}, {"line": "half a line"}]

"""Cross-validation: which rows a fold has, what a run with it leaves, and what becomes of it when it ends early."""

import csv
import json
import signal

import numpy as np
import pytest
from support import TAGS, end_here, example_rows, tagged_rows, write_csv, write_tags

from halfbert.data.equality import normalise
from halfbert.options import MulticlassOptions, MultilabelOptions
from halfbert.output import record as records
from halfbert.scoring import label_errors
from halfbert.system.console import Stopped
from halfbert.system.errors import InputError, ResourceError
from halfbert.training import course, crossvalidation, steps

TASKS = pytest.mark.parametrize("task", ["multiclass", "multilabel"])


def planned(task, train, cv=4, **more):
    """The data of a table and the plan of its folds."""
    kind = {"multiclass": MulticlassOptions, "multilabel": MultilabelOptions}[task]
    options = kind(model="bert", train=train, cv=cv, **more)
    data = steps.read(task, options)
    return data, crossvalidation.plan(options, data)


def csv_rows(file):
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") and b"\r\n" in content
    return list(csv.DictReader(content.decode("utf-8-sig").splitlines()))


# Which rows.


@TASKS
def test_each_row_is_left_out_once_and_no_text_is_on_both_sides(task, tmp_path):
    if task == "multiclass":
        rows = example_rows(90)
        train = write_csv(tmp_path / "twice.csv", [*rows, *((text.upper(), label) for text, label in rows[:40])])
    else:
        rows = tagged_rows(90)
        train = write_tags(tmp_path / "twice.csv", [*rows, *((text.upper(), tags) for text, tags in rows[:40])])
    data, plan = planned(task, train)
    assert sorted(plan.rows.numbers) == sorted(data.train.numbers + data.val.numbers)
    assert sorted(number for fold in plan.folds for number in fold.test.numbers) == sorted(plan.rows.numbers)
    sizes = [len(fold.test) for fold in plan.folds]
    assert max(sizes) - min(sizes) <= 6
    tested = {normalise(text) for text in data.test.texts}
    for number, fold in enumerate(plan.folds):
        assert fold.test.numbers == plan.rows.take(np.flatnonzero(plan.fold_of == number)).numbers
        train, val, held_out = ({normalise(text) for text in part.texts} for _, part in fold.parts())
        assert not held_out & (train | val) and not train & val and not tested & (train | val | held_out)
        assert len(fold.train) + len(fold.val) + len(fold.test) == len(plan.rows) and len(fold.val) > 1
        for label in data.labels:
            shares = [np.mean([label in labels for labels in rows.labels]) for rows in (plan.rows, fold.test)]
            assert abs(shares[0] - shares[1]) < 0.1


def test_folds_depend_on_the_split_seed_alone(tmp_path):
    train = write_csv(tmp_path / "things.csv", example_rows(90))
    one, again, other = (
        planned("multiclass", train, seed=seed, split_seed=split_seed)[1].fold_of.tolist()
        for seed, split_seed in ((0, 1), (5, 1), (0, 2))
    )
    assert one == again != other


@TASKS
def test_rows_of_a_group_stay_together_in_folds_and_parts(task, tmp_path):
    """Also those whose groups share a text; a row without a value is on its own."""
    rows = [(*row, f"c{number // 3}" if number % 10 else "") for number, row in enumerate(example_rows(180))]
    if task == "multilabel":
        rows = [
            (text, *(int(tag in tags) for tag in TAGS), group)
            for (text, tags), (*_, group) in zip(tagged_rows(180), rows, strict=True)
        ]
    rows.append((rows[1][0].upper(), *rows[1][1:-1], "c50"))
    header = ("text", "label", "customer") if task == "multiclass" else ("text", *TAGS, "customer")
    train = write_csv(tmp_path / "customers.csv", rows, header)
    data, plan = planned(task, train, group_column="customer")
    assert data.labels == (["animal", "food", "tool"] if task == "multiclass" else list(TAGS))  # ALL: but for the customer
    of_part = [set(part.groups) - {None} for _, part in data.parts()]
    assert not of_part[0] & of_part[1] and not of_part[0] & of_part[2] and not of_part[1] & of_part[2]
    for fold in plan.folds:
        train, val, held_out = (
            {"c0" if group == "c50" else group for group in part.groups} - {None} for _, part in fold.parts()
        )
        assert not train & val and not train & held_out and not val & held_out
    assert data.counts["groups"] == 18 + 59  # c0 and c50 are one


def test_a_group_column_that_is_the_text_or_the_label_is_refused(tmp_path):
    train = write_csv(tmp_path / "things.csv", example_rows(30))
    with pytest.raises(InputError, match="--group-column label: holds the texts or the labels"):
        planned("multiclass", train, group_column="label")
    with pytest.raises(InputError, match="has no column 'customer'"):
        planned("multiclass", train, group_column="customer")


# What is refused, before anything is fitted.


def test_too_many_folds_are_refused(tmp_path):
    rows = [row for row in example_rows(90) if row[1] != "tool"]
    train = write_csv(tmp_path / "few.csv", [*rows, *(row for row in example_rows(15) if row[1] == "tool")])
    with pytest.raises(
        InputError, match='--cv 6: each label needs as many different texts as there are folds, and "tool" has 4'
    ):
        planned("multiclass", train, cv=6)
    with pytest.raises(InputError, match="--cv 100: there are only 59 different texts"):
        planned("multiclass", train, cv=100)
    for number in (1, 0, "two"):
        with pytest.raises(InputError, match="--cv: .* is not an integer of at least 2"):
            MulticlassOptions(model="bert", cv=number)


def test_a_label_that_no_row_is_left_to_learn_is_refused_and_a_rare_one_noted(tmp_path, capsys):
    rows = [(text, tuple(tag for tag in tags if tag != "animal")) for text, tags in tagged_rows(60)]
    rows[0] = (rows[0][0], (*rows[0][1], "animal"))
    held_out = write_tags(tmp_path / "test.csv", tagged_rows(20, seed=9))
    given = {"test": held_out, "val": held_out, "keep_leaks": True, "label_columns": list(TAGS)}
    with pytest.raises(InputError, match='--cv 3: without fold . no row is left to learn "animal" from'):
        planned("multilabel", write_tags(tmp_path / "one.csv", rows), cv=3, **{**given, "val": None})
    rows = [(text, (*tags, "animal") if number < 8 else tags) for number, (text, tags) in enumerate(rows[1:])]
    planned("multilabel", write_tags(tmp_path / "few.csv", rows), cv=9, **{**given, "val": None})
    assert 'labels with fewer texts than folds, absent from some, where their F1 is 0: "animal" (' in capsys.readouterr().out


def test_several_machines_are_refused(monkeypatch, capsys):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    assert end_here("--model", "bert", "--cv", "3") == 2
    assert "--cv 3: fits on one machine; unset TF_CONFIG" in capsys.readouterr().err


# What is left.


@pytest.fixture
def without_engines(monkeypatch):
    """No engine is compared: that takes longer than these fits."""
    monkeypatch.setattr(steps, "prove_engines", lambda *_: None)


@pytest.mark.slow
@TASKS
def test_a_run_leaves_scores_answers_and_likely_label_errors(task, quick, without_engines):
    run = quick("--cv", "2", "--deterministic", "--no-tfidf", task=task)
    found = records.read(run.results).cross_validation
    assert (found.folds, len(found.finished), found.stopped) == (2, 2, None) and found.rows == 108
    rows = csv_rows(run.results / "out_of_fold.csv")
    data = run.prepared.data
    assert sorted(int(row["row"]) for row in rows) == sorted(data.train.numbers + data.val.numbers)
    first = next(iter(found.scores))  # accuracy, or micro F1
    for number, fold in enumerate(found.finished, start=1):
        of_fold = [row for row in rows if row["fold"] == str(number)]
        assert len(of_fold) == fold.rows.test and sum(vars(fold.rows).values()) == 108
        values = np.array([[float(row[f"probability of {label}"]) for label in data.labels] for row in of_fold])
        if task == "multiclass":
            assert all(row["answer"] == data.labels[best] for row, best in zip(of_fold, values.argmax(axis=1), strict=True))
            assert fold.scores[first] == pytest.approx(np.mean([row["answer"] == row["label"] for row in of_fold]))
        else:
            answered = ["; ".join(np.array(data.labels)[row >= np.array(fold.thresholds) - 1e-6]) for row in values]
            assert [row["answer"].removeprefix("'") for row in of_fold] == answered
    spread = found.scores[first]
    assert spread.mean == pytest.approx(np.mean([fold.scores[first] for fold in found.finished]))
    for shown in (run.said, (run.results / "report.txt").read_text()):
        assert "2-fold cross-validation of 108 rows" in shown and f"{spread.low:.3f} to {spread.high:.3f}" in shown
    assert run.said.index("about") < run.said.index("fold 1 of 2: ") < run.said.index("fold 2 of 2: ")
    assert len(csv_rows(run.results / "label_errors.csv")) == found.label_errors
    again = quick("--cv", "2", "--deterministic", "--no-tfidf", task=task, output="predictors/again")
    assert (run.results / "out_of_fold.csv").read_bytes() == (again.results / "out_of_fold.csv").read_bytes()


def test_a_mislabelled_row_is_among_the_likely_errors(tmp_path):
    pytest.importorskip("cleanlab")
    truth = np.eye(3, dtype=int)[np.arange(60) % 3]
    probabilities = 0.05 + 0.85 * truth
    truth[7] = [1, 0, 0]
    assert label_errors.likely_errors("multiclass", truth, probabilities) == [7]
    assert label_errors.likely_errors("multilabel", truth, probabilities) == [7]


@pytest.mark.slow
@pytest.mark.parametrize("ended", [Stopped(signal.SIGINT), ResourceError("the training loss became nan at batch 1")])
def test_what_ends_a_fold_costs_only_the_folds_from_there_on(
    ended, here, tables, tiny_bert, monkeypatch, without_engines, capsys
):
    fits, fit = [], course.fit

    def failing(prepared, *more, fold=False, **named):
        fits.append(fold)
        if len(fits) == 3:
            if isinstance(ended, Stopped):
                prepared.stop.signal_number = signal.SIGINT
            raise ended
        return fit(prepared, *more, fold=fold, **named)

    monkeypatch.setattr(course, "fit", failing)
    few = ("--epochs", "1", "--no-tfidf", "--output", "p/x", "--results", "r/x", "--cv", "3")
    code = end_here("--model", "bert", "--checkpoint", tiny_bert, "--train", tables["multiclass"], *few)
    assert code == (130 if isinstance(ended, Stopped) else 0) and fits == [False, True, True]
    assert (here / "p" / "x" / "halfbert.json").is_file()
    found = records.read(here / "r" / "x").cross_validation
    assert len(found.finished) == 1 and found.scores == {} and found.stopped == f"fold 2: {ended}"
    assert {row["fold"] for row in csv_rows(here / "r" / "x" / "out_of_fold.csv")} == {"1"}
    assert not (here / "r" / "x" / "label_errors.csv").exists()
    said = capsys.readouterr().out
    assert f"cross-validation ended early, in fold 2: {ended}; p/x and the finished folds are saved" in said
    assert f"ended early, in fold 2: {ended}" in (here / "r" / "x" / "report.txt").read_text()

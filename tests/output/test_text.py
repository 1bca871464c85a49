"""What people read of a run: console lines and report.txt."""

import dataclasses
from pathlib import Path

import pytest
from support import LABELS, TAGS

from halfbert.models.checkpoints import SMALL_RECIPE
from halfbert.output import record as records
from halfbert.output import text as report
from halfbert.output import words

SCORES = ("accuracy", "balanced accuracy", "macro F1", "micro F1", "weighted F1", "log loss", "expected calibration error")


def record_with(run, **changes):
    return dataclasses.replace(records.read(run.results), **changes)


def lines_of(text):
    return [line.strip() for line in text.splitlines()]


CONSOLE = {  # what a run says, in this order
    "finished": [
        "things.csv, held_out.csv: 108 train, 12 validation, 42 test rows, 3 labels (animal, food, tool)",
        "under more than one label",
        "texts are truncated at",
        "of the training texts are longer",
        "training distilbert (",
        f"108 rows, 3 epochs, batches of 16, {SMALL_RECIPE['head']} head, one-cycle to 0.003",
        *("epoch 1/3: train loss", "validation loss", "accuracy", "macro F1", "(best so far)"),
        *("epoch 2/3: train loss", "epoch 3/3: train loss", "42 test rows", "accuracy"),
    ],
    "finished_multilabel": [
        "tags.csv, held_out.csv: 108 train, 12 validation, 42 test rows, 3 labels (food, +tool, animal)",
        "rows have no label",
        "texts are truncated at",
        "training distilbert (",
        *("epoch 1/3: train loss", "mean average precision", "epoch 3/3: train loss", "42 test rows"),
        *("at thresholds", "hamming score", "F1 at 0.5"),
    ],
}


@pytest.mark.parametrize("run", CONSOLE)
def test_the_console_tells_the_run_from_table_to_predictor(run, request):
    finished, place = request.getfixturevalue(run), 0
    for part in [*CONSOLE[run], "kept; fitted in", "predictor: ", str(finished.results), "load it:"]:
        assert part in finished.out[place:], f"{part!r} is missing, or in another place"
        place = finished.out.index(part, place)


def test_the_console_names_the_weights(finished, tiny_distilbert):
    training = next(line for line in lines_of(finished.out) if line.startswith("training "))
    assert f" from {tiny_distilbert} on the " in training
    assert f"({finished.record['size']['parameters'] / 1e6:.1f} M parameters)" in training


def test_the_last_lines_load_the_predictor(finished):
    *_, first, second = lines_of(finished.out)
    assert [first, second] == report.loading_lines(finished.output.as_posix())
    assert first.endswith("import ktrain") and f'load_predictor("{finished.output.as_posix()}")' in second


def test_the_report_has_every_score_beside_that_of_the_commonest_label(finished):
    lines = lines_of((finished.results / "report.txt").read_text(encoding="utf-8"))
    assert lines[0] == "42 test rows"
    test = finished.record["test"]
    for name in SCORES:
        assert any(line.startswith(name) for line in lines), name
    commonest = test["commonest_label"]
    assert repr(commonest["label"]) in lines[2]
    accuracy = next(line for line in lines if line.startswith("accuracy"))
    assert accuracy.split() == ["accuracy", f"{test['accuracy']:.4f}", f"{commonest['accuracy']:.4f}"]


def test_the_report_has_a_line_for_each_label(finished):
    lines = lines_of((finished.results / "report.txt").read_text(encoding="utf-8"))
    header = next(number for number, line in enumerate(lines) if line.startswith("label"))
    assert lines[header].split() == ["label", "precision", "recall", "F1", "rows"]
    for line, label, scores in zip(lines[header + 1 :], LABELS, finished.record["test"]["per_label"], strict=True):
        shown = [f"{scores[name]:.4f}" for name in ("precision", "recall", "f1")]
        assert line.split() == [label, *shown, str(scores["support"])]


def test_a_long_label_widens_the_table_and_keeps_it_straight(finished):
    long = {"label": "a label of forty characters, or so, long", "precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4}
    short = {"label": "b", "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 12345}
    always = {"label": "b", "accuracy": 0.5, "balanced_accuracy": 0.5, "macro_f1": 0.5}
    scores = dict.fromkeys(report.SCORE_NAMES, 0.5)
    test = {**scores, "commonest_label": always, "per_label": [long, short]}
    table = report.scores_table(record_with(finished, test=test)).splitlines()[-3:]
    assert len({len(line) for line in table}) == 1
    assert table[1].startswith(long["label"] + " ") and table[2].endswith("12,345")


def test_many_labels_are_left_to_the_report(finished, monkeypatch):
    """With more labels than fit the console, it shows the scores without the table by label."""
    closing = report.closing(record_with(finished), finished.output, finished.results)
    monkeypatch.setattr(report, "LONGEST_CONSOLE_TABLE", 2)
    shorter = report.closing(record_with(finished), finished.output, finished.results)
    assert "precision" in closing and "precision" not in shorter and "macro F1" in shorter


# Any number of labels.


def test_the_multilabel_report_has_the_scores_at_both_thresholds_beside_those_of_no_label(finished_multilabel):
    lines = lines_of((finished_multilabel.results / "report.txt").read_text(encoding="utf-8"))
    test = finished_multilabel.record["test"]
    assert lines[2].split("  ")[0] == "at 0.5" and lines[2].endswith("no label ever")
    for key, name in report.ANSWER_NAMES.items():
        shown = [f"{test[answers][key]:.4f}" for answers in ("at_half", "at_thresholds", "no_label")]
        assert [name + " " + " ".join(shown)] == [" ".join(line.split()) for line in lines if line.startswith(name)]
    for key, name in report.RANKING_NAMES.items():
        (line,) = [line for line in lines if line.startswith(name)]
        assert f"{test[key]:.4f}" in line and ("over 3 labels" in line) == name.startswith("mean")


def test_the_multilabel_report_has_a_line_for_each_label_with_its_threshold(finished_multilabel):
    lines = lines_of((finished_multilabel.results / "report.txt").read_text(encoding="utf-8"))
    header = next(number for number, line in enumerate(lines) if line.startswith("label "))
    columns = ("threshold", "precision", "recall", "f1", "f1_at_half", "roc_auc", "average_precision")
    for line, tag, scores in zip(lines[header + 1 :], TAGS, finished_multilabel.record["test"]["per_label"], strict=True):
        assert line.split() == [tag, *(f"{scores[name]:.4f}" for name in columns), str(scores["support"])]


def test_a_score_that_no_label_has_is_a_dash(finished_multilabel):
    test = finished_multilabel.record["test"]
    per_label = [{**test["per_label"][0], "roc_auc": None, "average_precision": None}]
    without = {**test, "mean_roc_auc": None, "mean_average_precision": None, "labels_scored": 0, "per_label": per_label}
    lines = lines_of(report.scores_table(record_with(finished_multilabel, test=without)))
    assert "–: not measurable, as every label stands on all test rows or on none" in lines
    assert "mean ROC AUC – over 0 labels" in [" ".join(line.split()) for line in lines]
    assert lines[-1].split()[-3:-1] == ["–", "–"]
    assert "mean_roc_auc" not in report.card_scores(without) and "micro_f1" in report.card_scores(without)


def test_a_multilabel_model_no_better_than_chance_is_said(finished_multilabel):
    def closing(**scores):
        test = {**finished_multilabel.record["test"], **scores}
        return report.closing(record_with(finished_multilabel, test=test), Path("p"), Path("r"))

    assert "warning" not in closing(mean_roc_auc=0.6)
    assert "warning" not in closing(mean_roc_auc=None)  # not measurable
    for useless in (0.5, 0.4):
        assert "warning: no better than chance" in closing(mean_roc_auc=useless)


STRANGE = ["a/b: $x^$\nnew", "配送延迟", "नमस्ते", "\x1b[31m\u2028\x85red", "x" * 600, "\ud800"]


def test_every_label_has_one_line_that_stands_straight(finished):
    rows = [{"label": label, "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4} for label in STRANGE]
    always = {**finished.record["test"]["commonest_label"], "label": STRANGE[0]}
    record = record_with(finished, test={**finished.record["test"], "per_label": rows, "commonest_label": always})
    record = dataclasses.replace(record, data=dataclasses.replace(record.data, labels=STRANGE))
    table = report.scores_table(record).splitlines()[-len(rows) - 1 :]
    assert table[0].startswith("label ") and [line.split("  ")[0] for line in table[1:4]] == ["a/b: $x^$ new", *STRANGE[1:3]]
    assert table[4].startswith("\\x1b[31m red ") and table[6].startswith("\\ud800 ")
    assert len({words.columns(line) for line in table}) == 1 and words.columns(table[0]) < 100
    assert table[1] in report.closing(record, Path("p"), Path("r")).splitlines()

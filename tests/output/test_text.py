"""What people read of a run: console lines and report.txt."""

import dataclasses
from pathlib import Path

from support import LABELS, TAGS

from halfbert.models.checkpoints import SMALL_RECIPE
from halfbert.output import record as records
from halfbert.output import text as report
from halfbert.output import words


def record_with(run, **changes):
    return dataclasses.replace(records.read(run.results), **changes)


def lines_of(text):
    """The lines, each with single spaces between its words."""
    return [" ".join(line.split()) for line in text.splitlines()]


def report_of(run):
    return lines_of((run.results / "report.txt").read_text(encoding="utf-8"))


def four_digits(scores, *names):
    return " ".join(f"{scores[name]:.4f}" for name in names)


CONSOLE = {  # what a run says, in this order
    "multiclass": [
        "things.csv, held_out.csv: 108 train, 12 validation, 42 test rows, 3 labels (animal, food, tool)",
        "under more than one label",
        "texts are truncated at",
        "of the training texts are longer",
        "training distilbert (",
        f"108 rows, 3 epochs, batches of 16, {SMALL_RECIPE['head']} head, one-cycle to 0.003",
        *("epoch 1/3: train loss", "validation loss", "accuracy", "macro F1", "(best so far)"),
        *("epoch 2/3: train loss", "epoch 3/3: train loss", "42 test rows", "accuracy"),
    ],
    "multilabel": [
        "tags.csv, held_out.csv: 108 train, 12 validation, 42 test rows, 3 labels (food, +tool, animal)",
        "rows have no label",
        "texts are truncated at",
        "training distilbert (",
        *("epoch 1/3: train loss", "mean average precision", "epoch 3/3: train loss", "42 test rows"),
        *("at thresholds", "hamming score", "F1 at 0.5"),
    ],
}


def test_the_console_tells_the_run_from_table_to_predictor(run):
    place = 0
    for part in [*CONSOLE[run.record["task"]], "kept; fitted in", "predictor: ", str(run.results), "load it:"]:
        assert part in run.out[place:], f"{part!r} is missing, or in another place"
        place = run.out.index(part, place)
    *_, first, second = lines_of(run.out)
    assert first == 'import os; os.environ["TF_USE_LEGACY_KERAS"] = "1"; import numpy; numpy.Inf = numpy.inf; import ktrain'
    assert second == f'predictor = ktrain.load_predictor("{run.output.as_posix()}"); predictor.predict("a text")'


def test_the_console_names_the_weights(finished, tiny_distilbert):
    training = next(line for line in lines_of(finished.out) if line.startswith("training "))
    assert f" from {tiny_distilbert} on the " in training
    assert f"({finished.record['size']['parameters'] / 1e6:.1f} M parameters)" in training


def test_the_report_has_every_score_beside_that_of_the_commonest_label_and_a_line_for_each_label(finished):
    lines, test = report_of(finished), finished.record["test"]
    commonest = test["commonest_label"]
    assert lines[0] == "42 test rows" and repr(commonest["label"]) in lines[2]
    for key, name in report.SCORE_NAMES.items():
        baseline = f" {commonest[key]:.4f}" if key in commonest else ""
        assert f"{name} {test[key]:.4f}{baseline}" in lines
    header, *rows = lines[-1 - len(LABELS) :]
    assert header == "label precision recall F1 rows"
    for line, label, scores in zip(rows, LABELS, test["per_label"], strict=True):
        assert line == f"{label} {four_digits(scores, 'precision', 'recall', 'f1')} {scores['support']}"


def test_many_labels_are_left_to_the_report(finished, monkeypatch):
    """With more labels than fit the console, it shows the scores without the table by label."""
    closing = report.closing(record_with(finished), finished.output, finished.results)
    monkeypatch.setattr(report, "LONGEST_CONSOLE_TABLE", 2)
    shorter = report.closing(record_with(finished), finished.output, finished.results)
    assert "precision" in closing and "precision" not in shorter and "macro F1" in shorter


def test_the_multilabel_report_has_the_scores_at_both_thresholds_and_a_line_for_each_label(finished_multilabel):
    lines, test = report_of(finished_multilabel), finished_multilabel.record["test"]
    assert lines[2] == "at 0.5 at thresholds no label ever"
    for key, name in report.ANSWER_NAMES.items():
        assert (
            " ".join([name, *(four_digits(test[answers], key) for answers in ("at_half", "at_thresholds", "no_label"))])
            in lines
        )
    for key, name in report.RANKING_NAMES.items():
        assert f"{name} {test[key]:.4f}{' over 3 labels' if name.startswith('mean') else ''}" in lines
    columns = ("threshold", "precision", "recall", "f1", "f1_at_half", "roc_auc", "average_precision")
    for line, tag, scores in zip(lines[-len(TAGS) :], TAGS, test["per_label"], strict=True):
        assert line == f"{tag} {four_digits(scores, *columns)} {scores['support']}"


def test_a_score_that_no_label_has_is_a_dash(finished_multilabel):
    test = finished_multilabel.record["test"]
    per_label = [{**test["per_label"][0], "roc_auc": None, "average_precision": None}]
    without = {**test, "mean_roc_auc": None, "mean_average_precision": None, "labels_scored": 0, "per_label": per_label}
    lines = lines_of(report.scores_table(record_with(finished_multilabel, test=without)))
    assert "–: not measurable, as every label stands on all test rows or on none" in lines
    assert "mean ROC AUC – over 0 labels" in lines
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


def test_every_label_has_one_line_that_stands_straight(finished):
    labels = ["a/b: $x^$\nnew", "配送延迟", "नमस्ते", "\x1b[31m\u2028\x85red", "x" * 600, "\ud800"]
    rows = [{"label": label, "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 12345} for label in labels]
    always = {**finished.record["test"]["commonest_label"], "label": labels[0]}
    record = record_with(finished, test={**finished.record["test"], "per_label": rows, "commonest_label": always})
    record = dataclasses.replace(record, data=dataclasses.replace(record.data, labels=labels))
    table = report.scores_table(record).splitlines()[-len(rows) - 1 :]
    assert table[0].startswith("label ") and [line.split("  ")[0] for line in table[1:4]] == ["a/b: $x^$ new", *labels[1:3]]
    assert table[4].startswith("\\x1b[31m red ") and table[6].startswith("\\ud800 ") and table[6].endswith(" 12,345")
    assert len({words.columns(line) for line in table}) == 1 and words.columns(table[0]) < 100
    assert table[1] in report.closing(record, Path("p"), Path("r")).splitlines()

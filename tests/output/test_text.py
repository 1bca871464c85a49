"""What people read of a run: console lines and report.txt."""

import dataclasses
from pathlib import Path

import pytest
from support import LABELS, TAGS

from halfbert.models.checkpoints import SMALL_RECIPE
from halfbert.output import record as records
from halfbert.output import text as report
from halfbert.output import words
from halfbert.output.record import Distillation
from halfbert.predictor.manifest import TeacherTested
from halfbert.scoring.intervals import Difference

TAUGHT = Distillation(TeacherTested("a teacher", "a checkpoint", "", "onnx"), {}, 2.0)


def record_with(run, **changes):
    return dataclasses.replace(records.read(run.results), **changes)


def lines_of(text):
    """The lines, each with single spaces between its words."""
    return [" ".join(line.split()) for line in text.splitlines()]


def report_of(run):
    return lines_of((run.results / "report.txt").read_text(encoding="utf-8"))


def four_digits(scores, *names):
    return " ".join(f"{scores[name]:.4f}" for name in names)


def intervals_of(run, key):
    """How the report shows the model's and TF-IDF's interval of a score, if it has them."""
    known = [found.get(key) for found in (run.record["intervals"], run.record["tfidf"]["intervals"])]
    return [f" {found['low']:.3f} to {found['high']:.3f}" if found else "" for found in known]


CONSOLE = {  # what a run says, in this order
    "multiclass": [
        "things.csv, held_out.csv: 108 train, 12 validation, 42 test rows, 3 labels (animal, food, tool)",
        "under more than one label",
        "texts are truncated at",
        "of the training texts are longer",
        "training DistilBERT (",
        f"108 rows, 3 epochs, batches of 16, {SMALL_RECIPE['head']} head, one-cycle to 0.003",
        *("epoch 1/3: train loss", "validation loss", "accuracy", "macro F1", "(kept)"),
        *("epoch 2/3: train loss", "epoch 3/3: train loss", "42 test rows", "accuracy"),
    ],
    "multilabel": [
        "tags.csv, held_out.csv: 108 train, 12 validation, 42 test rows, 3 labels (food, +tool, animal)",
        "rows have no label",
        "texts are truncated at",
        "training DistilBERT (",
        *("epoch 1/3: train loss", "mean average precision", "epoch 3/3: train loss", "42 test rows"),
        *("at thresholds", "hamming score", "F1 at 0.5"),
    ],
}


def test_the_console_tells_the_run_from_table_to_predictor(run):
    place = 0
    for part in [
        *CONSOLE[run.record["task"]],
        "at most 5%: cannot be guaranteed by",
        "kept; fitted in",
        "predictor: ",
        str(run.results),
        "use it:",
    ]:
        assert part in run.out[place:], f"{part!r} is missing, or in another place"
        place = run.out.index(part, place)
    said, following = run.out.split("\nwhat to do next:\n")
    *_, use, then = lines_of(said)
    assert use == f'use it: import halfbert; halfbert.load("{run.output.as_posix()}").predict("a text")'
    assert then.startswith("compare it with BERT and TF-IDF: ") and f" --train={run.train}" in then
    whats = [f"  {number}. {each['what']}: {each['why']}" for number, each in enumerate(run.record["suggestions"], 1)]
    assert whats and following.replace(f"{run.results.as_posix()}/", "").splitlines()[::2] == whats  # the record has no folders
    assert "TF_USE_LEGACY_KERAS" not in run.out  # which the card has, for plain ktrain


def test_the_console_names_the_weights(finished, tiny_distilbert):
    training = next(line for line in lines_of(finished.out) if line.startswith("training "))
    assert f" from {tiny_distilbert} on the " in training
    assert f"({finished.record['size']['parameters'] / 1e6:.1f} M parameters)" in training


def test_the_report_has_every_score_beside_that_of_the_commonest_label_and_a_line_for_each_label(finished):
    lines, test = report_of(finished), finished.record["test"]
    commonest, tfidf = test["commonest_label"], finished.record["tfidf"]["test"]
    assert lines[0] == "42 test rows, answered by keras"
    assert lines[2] == f"model 95 % interval TF-IDF its 95 % interval always {commonest['label']!r}"
    for key, name in report.SCORE_NAMES.items():
        own, its = intervals_of(finished, key)
        always = f" {commonest[key]:.4f}" if key in commonest else ""
        assert f"{name} {test[key]:.4f}{own} {tfidf[key]:.4f}{its}{always}" in lines
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
    tfidf = finished_multilabel.record["tfidf"]["test"]
    assert lines[2] == "at 0.5 at thresholds 95 % interval TF-IDF its 95 % interval no label ever"
    for key, name in report.ANSWER_NAMES.items():
        own, its = intervals_of(finished_multilabel, key)
        at_half, chosen, never = (four_digits(test[answers], key) for answers in ("at_half", "at_thresholds", "no_label"))
        assert f"{name} {at_half} {chosen}{own} {tfidf[key]:.4f}{its} {never}" in lines
    for key, name in report.RANKING_NAMES.items():
        of_labels = " over 3 labels" if name.startswith("mean") else ""
        assert f"{name} {test[key]:.4f} {tfidf[key]:.4f}{of_labels}" in lines
    columns = ("threshold", "precision", "recall", "f1", "f1_at_half", "roc_auc", "average_precision")
    for line, tag, scores in zip(lines[-len(TAGS) :], TAGS, test["per_label"], strict=True):
        assert line == f"{tag} {four_digits(scores, *columns)} {scores['support']}"


def test_a_score_that_no_label_has_is_a_dash(finished_multilabel):
    test = finished_multilabel.record["test"]
    per_label = [{**test["per_label"][0], "roc_auc": None, "average_precision": None}]
    without = {**test, "mean_roc_auc": None, "mean_average_precision": None, "labels_scored": 0, "per_label": per_label}
    lines = lines_of(report.scores_table(record_with(finished_multilabel, test=without, tfidf=None)))
    assert "–: not measurable, as every label stands on all test rows or on none" in lines
    assert "mean ROC AUC – over 0 labels" in lines
    assert lines[-1].split()[-3:-1] == ["–", "–"]
    assert "mean_roc_auc" not in report.card_scores(without) and "micro_f1" in report.card_scores(without)


def test_a_multilabel_model_no_better_than_chance_is_said(finished_multilabel):
    def closing(**scores):
        test = {**finished_multilabel.record["test"], **scores}
        return report.closing(record_with(finished_multilabel, test=test, tfidf=None), Path("p"), Path("r"))

    assert "warning" not in closing(mean_roc_auc=0.6)
    assert "warning" not in closing(mean_roc_auc=None)  # not measurable
    for useless in (0.5, 0.4):
        assert "warning: no better than chance" in closing(mean_roc_auc=useless)


@pytest.mark.parametrize(
    ("model", "high", "taught", "said"),
    [
        ("distilbert", -0.01, False, "TF-IDF is better (macro F1 0.7000 against 0.6000): try --model bert, more --epochs, "),
        (
            "bert",
            0.02,
            False,
            "TF-IDF scores higher (macro F1 0.7000 against 0.6000; open on 42 test rows): try more --e",
        ),
        ("distilbert", -0.01, True, "TF-IDF is better (macro F1 0.7000 against 0.6000): try texts for --unlabelled, "),
    ],
)
def test_a_model_below_tfidf_is_said_in_one_line_with_what_to_try(finished, model, high, taught, said):
    record = record_with(finished, model=model, distillation=TAUGHT if taught else None)
    behind = Difference(0.6, 0.7, -0.1, -0.2, high, 0.95, 42, 1, 2000)
    record = dataclasses.replace(record, tfidf=dataclasses.replace(record.tfidf, gain={"macro_f1": behind}))
    (line,) = [line for line in report.closing(record, Path("p"), Path("r"), "next").splitlines() if "warning: TF" in line]
    assert line.startswith(f"warning: {said}")
    for level in (0.7, 0.8):  # as good, and better
        ahead = dataclasses.replace(behind, first=level, difference=level - 0.7)
        better = dataclasses.replace(record, tfidf=dataclasses.replace(record.tfidf, gain={"macro_f1": ahead}))
        assert "warning: TF" not in report.closing(better, Path("p"), Path("r"), "next")


def test_what_was_not_measured_takes_no_column(finished):
    """Records of earlier versions have no intervals, and --no-tfidf leaves TF-IDF out."""
    lines = lines_of(report.scores_table(record_with(finished, tfidf=None, intervals=None)))
    commonest = finished.record["test"]["commonest_label"]
    assert lines[2] == f"model always {commonest['label']!r}" and "TF-IDF" not in " ".join(lines)
    assert f"accuracy {finished.record['test']['accuracy']:.4f} {commonest['accuracy']:.4f}" in lines
    sample = dataclasses.replace(records.read(finished.results).tfidf, rows=50)
    assert "words and pairs of 50 of the training rows" in report.scores_table(record_with(finished, tfidf=sample))


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

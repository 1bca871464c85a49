"""What a run leaves behind: record, tables, pictures, manifest; every figure is checked against another source of it."""

import csv
import dataclasses
import json
import math

import numpy as np
import openpyxl
import pytest
from support import LABELS, ROOT, TAGS, example_rows, record_of

from halfbert.data.equality import count_shared
from halfbert.models.checkpoints import SMALL_RECIPE, sha256
from halfbert.output import record as records
from halfbert.scoring import multiclass as multiclass_metrics
from halfbert.scoring import multilabel as multilabel_metrics
from halfbert.scoring.intervals import standard_error
from halfbert.system.errors import ArtefactError

PUBLISHED = sorted(file.parent for file in (ROOT / "results" / "published").glob("*/*/record.json"))
ANSWER_SCORES = ("micro_f1", "macro_f1", "weighted_f1", "samples_f1", "hamming_loss", "hamming_score", "exact_match")
RANKING_SCORES = ("mean_roc_auc", "mean_average_precision", "label_ranking_average_precision", "log_loss")
EPOCH_SCORES = {
    "multiclass": ["val_macro_f1"],
    "multilabel": ["val_mean_average_precision", "val_mean_roc_auc", "val_micro_f1"],
}


def csv_rows(run):
    """The lines of errors.csv, its header first."""
    with open(run.results / "errors.csv", newline="", encoding="utf-8-sig") as stream:
        return list(csv.reader(stream))


def errors_of(run):
    header, *rows = csv_rows(run)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_a_record_is_strict_json_and_reads_back(run, tmp_path):
    record = run.record
    assert next(iter(record)) == "schema_version"
    for row in record["epochs"]:
        assert all(isinstance(row[key], float) for key in ["train_loss", "val_loss", "seconds", *EPOCH_SCORES[record["task"]]])
    for file in (run.output / "halfbert.json", run.results / "record.json"):
        json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    records.write(records.read(run.results), tmp_path)  # which refuses values of another kind
    assert record_of(tmp_path) == record


def test_data_is_named_by_hash_and_counted_and_options_are_those_in_force(finished):
    data, options = finished.record["data"], finished.record["options"]
    files = {file["role"]: file for file in data["files"]}
    assert files["train"] == {"role": "train", "name": "things.csv", "sha256": sha256(finished.train), "rows": 120}
    assert files["test"]["sha256"] == sha256(finished.test)
    assert data["rows"] == {"train": 108, "val": 12, "test": len(finished.test_rows)}
    assert data["labels"] == list(LABELS)
    assert data["leaks"] == {"dropped": 0, "kept": 0} and data["dropped"] == 0
    # Each of the four texts that begin with = + - @ stands there three times, under another label each time.
    assert data["duplicates"] == 8 and data["conflicting_texts"] == 4
    assert finished.record["split"]["test"] == "file" and "10%" in finished.record["split"]["val"]
    assert (options["epochs"], options["lr"], options["batch_size"], options["weight_decay"]) == (3, 0.003, 16, 0.0)
    assert 3 <= options["maxlen"] <= 512  # auto, filled in
    assert options["label_column"] == "label" and options["train"] == "things.csv"


def test_multilabel_options_are_those_in_force(finished_multilabel):
    options, data = finished_multilabel.record["options"], finished_multilabel.record["data"]
    assert (options["label_columns"], options["label_column"], options["label_separator"]) == (["ALL"], None, None)
    assert (options["threshold"], options["balance"], options["drop_constant_labels"]) == ("gmean", False, False)
    assert options["head"] == SMALL_RECIPE["head"] and options["train"] == "tags.csv"
    assert data["labels"] == list(TAGS) and data["constant_labels_dropped"] == 0 and data["conflicting_texts"] == 4


def test_the_best_epoch_is_the_last_near_the_best_score(run):
    epochs = run.record["epochs"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    score = EPOCH_SCORES[run.record["task"]][0]
    highest = max(row[score] for row in epochs)
    least = highest - standard_error(highest, run.record["data"]["rows"]["val"])
    best = [row["epoch"] for row in epochs if row[score] >= least][-1]
    assert run.record["best_epoch"] == best == run.manifest["best_epoch"]


def test_scores_are_those_of_the_runs_own_rows(finished, finished_multilabel):
    """From the answers of the run to the labels of the file, not to what the run made of them."""
    test, truth = finished.record["test"], np.array([LABELS.index(label) for _, label in finished.test_rows])
    commonest = LABELS.index(test["commonest_label"]["label"])
    assert test == multiclass_metrics.multiclass(truth, finished.seen.probabilities, list(LABELS), commonest)
    test = finished_multilabel.record["test"]
    truth = np.array([[tag in tags for tag in TAGS] for _, tags in finished_multilabel.test_rows], int)
    thresholds = np.array(finished_multilabel.manifest["thresholds"])
    assert test == multilabel_metrics.multilabel(truth, finished_multilabel.seen.probabilities, thresholds, list(TAGS))
    assert test["thresholds"] == thresholds.tolist()


def test_errors_are_the_wrong_rows_worst_first(run):
    wrong, probabilities = errors_of(run), run.seen.probabilities
    if run.record["task"] == "multiclass":
        truths, answers = [(label,) for _, label in run.test_rows], [(LABELS[best],) for best in probabilities.argmax(axis=1)]
        losses = [-np.log(row[LABELS.index(label)]) for row, (label,) in zip(probabilities, truths, strict=True)]
        columns = ["probability"]
    else:
        truths = [tags for _, tags in run.test_rows]
        answers = [tuple(np.array(TAGS)[row >= run.manifest["thresholds"]]) for row in probabilities]
        applies = np.array([[tag in tags for tag in TAGS] for tags in truths])
        losses = -np.log(np.where(applies, probabilities, 1 - probabilities)).mean(axis=1)
        columns = ["missed", "invented"]
    assert list(wrong[0]) == ["file", "row", "text", "truth", "answer", *columns, "loss", "confidence"]
    assert [float(row["loss"]) for row in wrong] == sorted((float(row["loss"]) for row in wrong), reverse=True)
    numbers = [int(row["row"]) - 2 for row in wrong]  # the header is row 1
    differ = [set(answer) != set(truth) for answer, truth in zip(answers, truths, strict=True)]
    assert sorted(numbers) == np.flatnonzero(differ).tolist() and len(wrong) > 8
    for row, number in zip(wrong, numbers, strict=True):
        truth, answer = truths[number], answers[number]
        missed, invented = ([one for one in some if one not in others] for some, others in ((truth, answer), (answer, truth)))
        shown = {"file": "held_out.csv", "text": run.test_rows[number][0]}
        shown |= {"truth": "; ".join(truth), "answer": "; ".join(answer)}
        if "missed" in row:
            shown |= {"missed": "; ".join(missed), "invented": "; ".join(invented)}
        else:
            assert float(row["probability"]) == pytest.approx(probabilities[number].max(), abs=1e-4)
        assert {key: row[key].removeprefix("'") for key in shown} == shown
        assert float(row["loss"]) == pytest.approx(losses[number], abs=1e-4)


def test_every_file_of_the_results(run):
    """All pictures and tables and nothing else; no cell of the csv is run as a formula, and the workbook has the epochs."""
    more = {
        "multiclass": set(),
        "multilabel": {"roc_precision_recall", "f1_threshold", "cooccurrence"},
    }[run.record["task"]]
    of_both = {"learning_curves", "confusion", "text_lengths", "reliability", "risk_coverage"}
    pictures = of_both | more
    tables = {"record.json", "training.xlsx", "report.txt", "report.html", "answers.npz"}
    tables |= {"errors.csv", "label_errors.csv", "label_conflicts.csv", "validation.npz"}
    assert {file.name for file in run.results.iterdir()} == {f"{name}.png" for name in pictures} | tables
    for name in pictures:
        assert (run.results / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")
    cells = [cell for row in csv_rows(run) for cell in row]
    assert sum(cell.startswith(("'=", "'+", "'-", "'@")) for cell in cells) >= 8
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    header, *rows = openpyxl.load_workbook(run.results / "training.xlsx")["epochs"].iter_rows(values_only=True)
    assert header[:2] == ("epoch", "train_loss")
    for row, epoch in zip(rows, run.record["epochs"], strict=True):
        assert dict(zip(header, row, strict=True)) == pytest.approx(epoch)


def test_times_and_sizes_fit_together(finished):
    timing, size = finished.record["timing"], finished.record["size"]
    assert 0 < timing["preprocess_seconds"] < timing["fit_seconds"] and timing["setup_seconds"] > 0 < timing["evaluate_seconds"]
    assert sum(row["seconds"] for row in finished.record["epochs"]) <= timing["fit_seconds"]
    assert timing["fit_rows_per_second"] == pytest.approx(3 * 108 / timing["fit_seconds"], rel=1e-2)
    written = [finished.output / name for name in finished.manifest["files"]]  # the engines' files, made from them, not counted
    manifest = size["folder_bytes"] - sum(file.stat().st_size for file in written)
    assert 0 < manifest <= (finished.output / "halfbert.json").stat().st_size  # which had no figures of engines then
    assert size["parameters"] * 4 < size["folder_bytes"]


def test_the_manifest_says_what_the_predictor_is(run, tiny_distilbert):
    manifest, record = run.manifest, run.record
    labels = {"multiclass": list(LABELS), "multilabel": list(TAGS)}[record["task"]]
    assert (manifest["format_version"], manifest["task"], manifest["model"]) == (1, record["task"], "distilbert")
    assert manifest["labels"] == labels and manifest["stopped"] is None
    assert manifest["maxlen"] == record["options"]["maxlen"]
    assert manifest["versions"] == record["environment"]["versions"]
    assert {"ktrain", "tensorflow", "transformers"} <= set(manifest["versions"])
    assert record["checkpoint"] == manifest["checkpoint"]
    assert record["checkpoint"]["weights_sha256"] == sha256(tiny_distilbert / "model.safetensors")
    assert manifest["data"]["files"] == record["data"]["files"] and manifest["data"]["split_seed"] == 0
    files = {file.relative_to(run.output).as_posix(): file for file in run.output.rglob("*") if file.is_file()}
    files = {name: file for name, file in files.items() if name != "halfbert.json" and not name.startswith("engines/")}
    assert manifest["files"] == {name: sha256(file) for name, file in files.items()}
    assert {"config.json", "tf_model.h5", "tf_model.preproc", "README.md", "vocab.txt"} <= set(files)
    config = json.loads((run.output / "config.json").read_text())
    assert config["id2label"] == {str(number): label for number, label in enumerate(labels)}
    assert config["label2id"] == {label: number for number, label in enumerate(labels)}
    kinds = {"multiclass": "single_label_classification", "multilabel": "multi_label_classification"}
    assert config["problem_type"] == kinds[record["task"]]


def test_the_manifest_has_scores_thresholds_and_the_digests_of_texts(finished, finished_multilabel, tiny_distilbert):
    manifest = finished.manifest
    assert manifest["checkpoint"]["name"] == tiny_distilbert.name and manifest["checkpoint"]["note"] is None
    assert manifest["thresholds"] is None
    texts, data = [text for text, _ in example_rows(120)], manifest["data"]
    assert len(data["train_texts"]) == 8 * 108 and len(data["val_texts"]) == 8 * 12
    assert count_shared(data["train_texts"], texts) == 108 and count_shared(data["val_texts"], texts) == 12
    for name in ("accuracy", "macro_f1", "log_loss"):
        assert manifest["test"][name] == finished.record["test"][name]
    manifest, test = finished_multilabel.manifest, finished_multilabel.record["test"]
    assert manifest["thresholds"] == test["thresholds"] and all(0 < value < 1 for value in manifest["thresholds"])
    chosen = {name: test[name] for name in RANKING_SCORES} | {name: test["at_thresholds"][name] for name in ANSWER_SCORES}
    assert {name: manifest["test"][name] for name in chosen} == chosen


def without(record, *path):
    """A copy that lacks the field at the path."""
    return {key: value if key != path[0] else without(value, *path[1:]) for key, value in record.items() if (key,) != path}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda record: "{", ""),
        (lambda record: "[" * 100_000, ""),
        (lambda record: "[]", "Expected `object`, got `array`"),
        (lambda record: json.dumps({**record, "schema_version": 99, "task": 1}), r"99.*\$.schema_version"),
        (lambda record: json.dumps({**record, "epochs": {}}), r"Expected `array`, got `object` - at `\$.epochs`"),
        (lambda record: json.dumps(without(record, "task")), "missing required field `task`"),
        (lambda record: json.dumps(without(record, "data", "rows", "val")), r"`val` - at `\$.data.rows`"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line_that_names_the_field(change, complaint, finished, tmp_path):
    (tmp_path / "record.json").write_text(change(finished.record))
    with pytest.raises(ArtefactError, match=rf"^\S+record.json: no record of a run \(.*{complaint}.*\)$"):
        records.read(tmp_path)


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_published_records_are_read_and_written_with_the_same_keys(folder, tmp_path):
    records.write(records.read(folder), tmp_path)
    before, after = record_of(folder), record_of(tmp_path)

    def kept(old, new):
        return all(kept(value, new[key]) for key, value in old.items()) if isinstance(old, dict) else old == new

    assert kept(before, after)


def test_what_is_no_number_is_null_in_the_file_and_read_back(finished, tmp_path):
    record = records.read(finished.results)
    finder = records.RateFinder(rates=[1e-7, 1e-6], losses=[0.5, math.inf], suggestion=math.nan)
    test = {**record.test, "macro_f1": np.float64("nan"), "per_label": [{"f1": -math.inf}]}
    timing = dataclasses.replace(record.timing, fit_rows_per_second=math.inf)
    epochs = [{**row, "val_loss": math.nan} for row in record.epochs]
    spoilt = dataclasses.replace(record, learning_rate_finder=finder, test=test, timing=timing, epochs=epochs)
    records.write(spoilt, tmp_path)
    found = records.read(tmp_path)
    assert found.learning_rate_finder == records.RateFinder([1e-7, 1e-6], [0.5, None], None)
    assert found.test["macro_f1"] is None and found.test["per_label"] == [{"f1": None}]
    assert found.timing.fit_rows_per_second is None and found.epochs[0]["val_loss"] is None

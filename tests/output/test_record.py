"""What a run leaves behind: record, tables, pictures, manifest; every figure is checked against another source of it."""

import csv
import dataclasses
import json
import math
from collections import Counter

import numpy as np
import openpyxl
import pytest
from support import LABELS, ROOT, TAGS, example_rows, record_of

from halfbert.data.equality import count_shared
from halfbert.models.checkpoints import SMALL_RECIPE, sha256
from halfbert.output import record as records
from halfbert.scoring import multilabel as multilabel_metrics
from halfbert.system.errors import ArtefactError

PUBLISHED = sorted(file.parent for file in (ROOT / "results" / "published").glob("*/*/record.json"))
NUMBER = (int, float)
CONTRACT = {
    "schema_version": int,
    "task": str,
    "model": str,
    "checkpoint": {"name": str, "weights_sha256": str},
    "options": dict,
    "data": {"files": list, "rows": dict, "labels": list, "dropped": int, "duplicates": int, "leaks": dict},
    "split": {"seed": int},
    "epochs": list,
    "best_epoch": int,
    "test": {
        "accuracy": float,
        "balanced_accuracy": float,
        "macro_f1": float,
        "micro_f1": float,
        "weighted_f1": float,
        "log_loss": float,
        "expected_calibration_error": float,
        "commonest_label": dict,
        "per_label": list,
    },
    "timing": {
        "setup_seconds": NUMBER,
        "preprocess_seconds": NUMBER,
        "fit_seconds": NUMBER,
        "fit_rows_per_second": NUMBER,
        "evaluate_seconds": NUMBER,
    },
    "size": {"parameters": int, "folder_bytes": int},
    "environment": {
        "command": list,
        "commit": (str, type(None)),
        "versions": dict,
        "hardware": dict,
        "threads": int,
        "precision": str,
        "seed": int,
    },
}


ANSWER_SCORES = ("micro_f1", "macro_f1", "weighted_f1", "samples_f1", "hamming_loss", "hamming_score", "exact_match")
MULTILABEL_CONTRACT = {
    **CONTRACT,
    "test": {
        **dict.fromkeys(("mean_roc_auc", "mean_average_precision", "label_ranking_average_precision", "log_loss"), float),
        **{answers: dict.fromkeys(ANSWER_SCORES, float) for answers in ("at_half", "at_thresholds", "no_label")},
        "labels_scored": int,
        "thresholds": list,
        "per_label": list,
        "confusion": list,
    },
}


def check(value, contract, place="record"):
    """Each key of the contract is there, and of its kind."""
    if not isinstance(contract, dict):
        assert isinstance(value, contract) and not (isinstance(value, bool) and contract is not bool), place
        return
    assert isinstance(value, dict), place
    for key, inner in contract.items():
        assert key in value, f"{place}.{key}"
        check(value[key], inner, f"{place}.{key}")


def errors_of(run):
    with open(run.results / "errors.csv", newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def wrong(finished):
    return errors_of(finished)


def test_every_key_of_the_contract_is_there(finished):
    check(finished.record, CONTRACT)
    assert next(iter(finished.record)) == "schema_version"
    for row in finished.record["epochs"]:
        check(row, {"epoch": int, "train_loss": float, "val_loss": float, "val_macro_f1": float, "seconds": float})
    for row in finished.record["test"]["per_label"]:
        check(row, {"label": str, "precision": float, "recall": float, "f1": float, "support": int})
    for row in finished.record["data"]["files"]:
        check(row, {"role": str, "name": str, "sha256": str, "rows": int})


@pytest.mark.parametrize("file", ["output/halfbert.json", "results/record.json"])
def test_json_is_strict(finished, file):
    folder, name = file.split("/")
    content = (getattr(finished, folder) / name).read_text(encoding="utf-8")
    json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_data_is_named_by_hash_and_counted(finished):
    data = finished.record["data"]
    files = {file["role"]: file for file in data["files"]}
    assert files["train"] == {"role": "train", "name": "things.csv", "sha256": sha256(finished.train), "rows": 120}
    assert files["test"]["sha256"] == sha256(finished.test)
    assert data["rows"] == {"train": 108, "val": 12, "test": len(finished.test_rows)}
    assert data["labels"] == list(LABELS)
    assert data["leaks"] == {"dropped": 0, "kept": 0} and data["dropped"] == 0
    # Each of the four texts that begin with = + - @ stands there three times, under another label each time.
    assert data["duplicates"] == 8 and data["conflicting_texts"] == 4
    assert finished.record["split"]["test"] == "file" and "10%" in finished.record["split"]["val"]


def test_the_best_epoch_is_the_one_with_the_best_score(finished):
    epochs = finished.record["epochs"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    best = max(epochs, key=lambda row: (row["val_macro_f1"], -row["val_loss"]))
    assert finished.record["best_epoch"] == best["epoch"] == finished.manifest["best_epoch"]


def test_the_checkpoint_is_named_by_the_hash_of_its_weights(finished, tiny_distilbert):
    expected = {"name": tiny_distilbert.name, "weights_sha256": sha256(tiny_distilbert / "model.safetensors"), "note": None}
    assert finished.record["checkpoint"] == finished.manifest["checkpoint"] == expected


def test_scores_are_those_of_the_listed_errors(finished, wrong):
    test, rows = finished.record["test"], finished.test_rows
    assert len(wrong) > 8
    assert test["accuracy"] == pytest.approx(1 - len(wrong) / len(rows))
    confusion = np.zeros((3, 3), int)
    for row in wrong:
        confusion[LABELS.index(row["truth"]), LABELS.index(row["answer"])] += 1
    support = Counter(label for _, label in rows)
    np.fill_diagonal(confusion, [support[label] - confusion[number].sum() for number, label in enumerate(LABELS)])
    assert test["confusion"] == confusion.tolist()
    recall = np.diag(confusion) / confusion.sum(1)
    precision = np.diag(confusion) / np.maximum(confusion.sum(0), 1)
    f1 = 2 * np.diag(confusion) / (confusion.sum(0) + confusion.sum(1))
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert [row[name] for row in test["per_label"]] == pytest.approx(expected.tolist())
    assert [row["support"] for row in test["per_label"]] == [support[label] for label in LABELS]
    assert test["macro_f1"] == pytest.approx(f1.mean())
    assert test["balanced_accuracy"] == pytest.approx(recall.mean())
    commonest = test["commonest_label"]
    assert commonest["accuracy"] == pytest.approx(support[commonest["label"]] / len(rows))


def test_errors_are_the_wrong_rows_worst_first(finished, wrong):
    assert list(wrong[0]) == ["file", "row", "text", "truth", "answer", "probability", "loss"]
    losses = [float(row["loss"]) for row in wrong]
    assert losses == sorted(losses, reverse=True)
    for row in wrong:
        assert row["file"] == "held_out.csv" and row["truth"] != row["answer"]
        text, label = finished.test_rows[int(row["row"]) - 2]  # the header is row 1
        assert row["text"].removeprefix("'") == text and row["truth"] == label
        # The answer is the likeliest of three labels, so the truth is at most as likely as it, or as what it leaves.
        probability = float(row["probability"])
        assert 1 / 3 <= probability <= 1
        assert float(row["loss"]) >= -np.log(min(probability, 1 - probability) + 1e-4) - 1e-3


@pytest.mark.parametrize("run", ["finished", "finished_multilabel"])
def test_no_cell_of_the_errors_is_run_as_a_formula(run, request):
    with open(request.getfixturevalue(run).results / "errors.csv", newline="", encoding="utf-8-sig") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert sum(cell.startswith(("'=", "'+", "'-", "'@")) for cell in cells) >= 8
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("run", ["finished", "finished_multilabel"])
def test_the_workbook_has_a_row_for_each_epoch(run, request):
    run = request.getfixturevalue(run)
    sheet = openpyxl.load_workbook(run.results / "training.xlsx")["epochs"]
    header, *rows = sheet.iter_rows(values_only=True)
    assert header[:2] == ("epoch", "train_loss")
    for row, epoch in zip(rows, run.record["epochs"], strict=True):
        assert dict(zip(header, row, strict=True)) == pytest.approx(epoch)


PICTURES = {
    "finished": {"reliability"},
    "finished_multilabel": {"roc_precision_recall", "f1_threshold", "cooccurrence"},
}


@pytest.mark.parametrize("run", PICTURES)
def test_pictures_are_there_and_no_file_is_unaccounted_for(run, request):
    pictures = {"learning_curves", "learning_rate", "confusion", "text_lengths", *PICTURES[run]}
    tables = {"record.json", "training.xlsx", "report.txt", "errors.csv", "answers.npz"}
    results = request.getfixturevalue(run).results
    assert {file.name for file in results.iterdir()} == {f"{name}.png" for name in pictures} | tables
    for name in pictures:
        assert (results / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_times_and_sizes_fit_together(finished):
    timing, size = finished.record["timing"], finished.record["size"]
    assert 0 < timing["preprocess_seconds"] < timing["fit_seconds"]
    assert sum(row["seconds"] for row in finished.record["epochs"]) <= timing["fit_seconds"]
    assert timing["fit_rows_per_second"] == pytest.approx(3 * 108 / timing["fit_seconds"], rel=1e-2)
    written = [finished.output / name for name in finished.manifest["files"]]  # the engines' files, made from them, not counted
    manifest = size["folder_bytes"] - sum(file.stat().st_size for file in written)
    assert 0 < manifest <= (finished.output / "halfbert.json").stat().st_size  # which had no figures of engines then
    assert size["parameters"] * 4 < size["folder_bytes"]


def test_options_are_those_in_force(finished):
    options = finished.record["options"]
    assert (options["epochs"], options["lr"], options["batch_size"], options["weight_decay"]) == (3, 0.003, 16, 0.0)
    assert 3 <= options["maxlen"] <= 512  # auto, filled in
    assert options["label_column"] == "label" and options["train"] == "things.csv"


def test_the_manifest_names_the_hash_of_every_file(finished):
    files = {file.relative_to(finished.output).as_posix(): file for file in finished.output.rglob("*") if file.is_file()}
    files = {name: file for name, file in files.items() if name != "halfbert.json" and not name.startswith("engines/")}
    assert finished.manifest["files"] == {name: sha256(file) for name, file in files.items()}
    assert {"config.json", "tf_model.h5", "tf_model.preproc", "README.md", "vocab.txt"} <= set(files)


def test_the_manifest_says_what_the_predictor_is(finished):
    manifest, record = finished.manifest, finished.record
    assert manifest["format_version"] == 1 and manifest["task"] == "multiclass" and manifest["model"] == "distilbert"
    assert manifest["labels"] == list(LABELS) and manifest["thresholds"] is None and manifest["stopped"] is None
    assert manifest["maxlen"] == record["options"]["maxlen"]
    assert manifest["versions"] == record["environment"]["versions"]
    assert {"ktrain", "tensorflow", "transformers"} <= set(manifest["versions"])
    data = manifest["data"]
    assert data["files"] == record["data"]["files"] and data["split_seed"] == 0
    texts = [text for text, _ in example_rows(120)]
    assert len(data["train_texts"]) == 8 * 108 and len(data["val_texts"]) == 8 * 12
    assert count_shared(data["train_texts"], texts) == 108 and count_shared(data["val_texts"], texts) == 12
    for name in ("accuracy", "macro_f1", "log_loss"):
        assert manifest["test"][name] == record["test"][name]


def test_the_predictors_config_carries_labels_and_task(finished):
    config = json.loads((finished.output / "config.json").read_text())
    assert config["id2label"] == {str(number): label for number, label in enumerate(LABELS)}
    assert config["label2id"] == {label: number for number, label in enumerate(LABELS)}
    assert config["problem_type"] == "single_label_classification"


# Any number of labels.


def test_every_key_of_the_multilabel_contract_is_there(finished_multilabel):
    record = finished_multilabel.record
    check(record, MULTILABEL_CONTRACT)
    assert record["task"] == "multilabel"
    for row in record["epochs"]:
        check(row, {"epoch": int, "train_loss": float, "val_loss": float, "val_mean_average_precision": float})
        check(row, {"val_mean_roc_auc": float, "val_micro_f1": float, "seconds": float})
    for row in record["test"]["per_label"]:
        scores = ("threshold", "precision", "recall", "f1", "f1_at_half", "roc_auc", "average_precision")
        check(row, {"label": str, **dict.fromkeys(scores, float), "support": int})
    for name in ("output/halfbert.json", "results/record.json"):
        folder, file = name.split("/")
        content = (getattr(finished_multilabel, folder) / file).read_text(encoding="utf-8")
        json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_the_best_epoch_is_the_one_with_the_best_average_precision(finished_multilabel):
    epochs = finished_multilabel.record["epochs"]
    best = max(epochs, key=lambda row: (row["val_mean_average_precision"], -row["val_loss"]))
    assert finished_multilabel.record["best_epoch"] == best["epoch"] == finished_multilabel.manifest["best_epoch"]


def test_multilabel_scores_are_those_of_the_runs_own_rows(finished_multilabel):
    """From the answers of the run to the labels of the file, not to what the run made of them."""
    test, probabilities = finished_multilabel.record["test"], finished_multilabel.seen.probabilities
    truth = np.array([[tag in tags for tag in TAGS] for _, tags in finished_multilabel.test_rows], int)
    thresholds = np.array(finished_multilabel.manifest["thresholds"])
    assert test == multilabel_metrics.multilabel(truth, probabilities, thresholds, list(TAGS))
    assert [row["label"] for row in test["per_label"]] == list(TAGS)
    assert [row["threshold"] for row in test["per_label"]] == test["thresholds"] == thresholds.tolist()
    assert test["no_label"]["exact_match"] == pytest.approx(np.mean(truth.sum(axis=1) == 0))


def test_multilabel_errors_name_what_was_missed_and_what_invented(finished_multilabel):
    wrong = errors_of(finished_multilabel)
    assert list(wrong[0]) == ["file", "row", "text", "truth", "answer", "missed", "invented", "loss"]
    answers = finished_multilabel.seen.probabilities >= np.array(finished_multilabel.manifest["thresholds"])
    losses = [float(row["loss"]) for row in wrong]
    assert losses == sorted(losses, reverse=True)
    by_number = {int(row["row"]) - 2: row for row in wrong}  # the header is row 1
    assert len(by_number) == len(wrong) > 8
    for number, ((text, true), answered) in enumerate(zip(finished_multilabel.test_rows, answers, strict=True)):
        answer = tuple(tag for tag, applies in zip(TAGS, answered, strict=True) if applies)
        row = by_number.get(number)
        assert (row is None) == (set(answer) == set(true))
        if row is not None:
            assert row["file"] == "held_out.csv" and row["text"].removeprefix("'") == text
            expected = {"truth": true, "answer": answer}
            expected["missed"] = [tag for tag in true if tag not in answer]
            expected["invented"] = [tag for tag in answer if tag not in true]
            assert {key: row[key].removeprefix("'") for key in expected} == {k: "; ".join(v) for k, v in expected.items()}
            probabilities = dict(zip(TAGS, finished_multilabel.seen.probabilities[number], strict=True))
            of_truth = [value if tag in true else 1 - value for tag, value in probabilities.items()]
            assert float(row["loss"]) == pytest.approx(-np.log(of_truth).mean(), abs=1e-4)
    assert {"missed", "invented"} <= {key for row in wrong for key, value in row.items() if value}


def test_multilabel_options_are_those_in_force(finished_multilabel):
    found = finished_multilabel.record["options"]
    assert (found["label_columns"], found["label_column"], found["label_separator"]) == (["ALL"], None, None)
    assert (found["threshold"], found["balance"], found["drop_constant_labels"]) == ("gmean", False, False)
    assert found["head"] == SMALL_RECIPE["head"] and found["train"] == "tags.csv"
    data = finished_multilabel.record["data"]
    assert data["labels"] == list(TAGS) and data["constant_labels_dropped"] == 0 and data["conflicting_texts"] == 4


def test_the_multilabel_manifest_says_from_which_probability_a_label_is_answered(finished_multilabel):
    manifest, record = finished_multilabel.manifest, finished_multilabel.record
    assert (manifest["task"], manifest["labels"]) == ("multilabel", list(TAGS))
    assert manifest["thresholds"] == record["test"]["thresholds"] and all(0 < value < 1 for value in manifest["thresholds"])
    for name in ("mean_roc_auc", "mean_average_precision", "label_ranking_average_precision", "log_loss"):
        assert manifest["test"][name] == record["test"][name]
    for name in ANSWER_SCORES:
        assert manifest["test"][name] == record["test"]["at_thresholds"][name]
    config = json.loads((finished_multilabel.output / "config.json").read_text())
    assert config["id2label"] == {str(number): tag for number, tag in enumerate(TAGS)}
    assert config["label2id"] == {tag: number for number, tag in enumerate(TAGS)}
    assert config["problem_type"] == "multi_label_classification"


def test_a_record_is_read_back_and_another_schema_refused(finished, tmp_path):
    records.write(records.read(finished.results), tmp_path)
    assert record_of(tmp_path) == finished.record


def without(record, *path):
    """A copy that lacks the field at the path."""
    return {key: value if key != path[0] else without(value, *path[1:]) for key, value in record.items() if (key,) != path}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda record: "{", "no record"),
        (lambda record: "[" * 100_000, "no record"),
        (lambda record: "[]", "schema_version is None"),
        (lambda record: json.dumps({**record, "schema_version": 99}), "schema_version is 99"),
        (lambda record: json.dumps({**record, "epochs": {}}), "record.json, epochs: expected `array`, got `object`"),
        (lambda record: json.dumps(without(record, "task")), "record.json: object missing required field `task`"),
        (lambda record: json.dumps(without(record, "data", "rows", "val")), "record.json, data.rows: .*`val`"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line_that_names_the_field(change, complaint, finished, tmp_path):
    (tmp_path / "record.json").write_text(change(finished.record))
    with pytest.raises(ArtefactError, match=complaint) as refusal:
        records.read(tmp_path)
    assert "record.json" in str(refusal.value) and "\n" not in str(refusal.value)


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

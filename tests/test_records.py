"""What a run leaves behind: record, tables, pictures, manifest; every figure is checked against another source of it."""

import csv
import json
from collections import Counter

import numpy as np
import openpyxl
import pytest
from conftest import LABELS

from halfbert import records
from halfbert.checkpoints import sha256
from halfbert.errors import ArtefactError

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


def check(value, contract, place="record"):
    """Each key of the contract is there, and of its kind."""
    if not isinstance(contract, dict):
        assert isinstance(value, contract) and not (isinstance(value, bool) and contract is not bool), place
        return
    assert isinstance(value, dict), place
    for key, inner in contract.items():
        assert key in value, f"{place}.{key}"
        check(value[key], inner, f"{place}.{key}")


@pytest.fixture(scope="module")
def wrong(finished):
    with open(finished.results / "errors.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


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


def test_no_cell_of_the_errors_is_run_as_a_formula(finished):
    with open(finished.results / "errors.csv", newline="", encoding="utf-8") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert sum(cell.startswith(("'=", "'+", "'-", "'@")) for cell in cells) >= 8
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_the_workbook_has_a_row_for_each_epoch(finished):
    sheet = openpyxl.load_workbook(finished.results / "training.xlsx")["epochs"]
    header, *rows = sheet.iter_rows(values_only=True)
    assert header[:2] == ("epoch", "train_loss")
    for row, epoch in zip(rows, finished.record["epochs"], strict=True):
        assert dict(zip(header, row, strict=True)) == pytest.approx(epoch)


def test_pictures_are_there_and_no_file_is_unaccounted_for(finished):
    pictures = {"learning_curves", "learning_rate", "confusion", "reliability", "text_lengths"}
    tables = {"record.json", "training.xlsx", "report.txt", "errors.csv"}
    assert {file.name for file in finished.results.iterdir()} == {f"{name}.png" for name in pictures} | tables
    for name in pictures:
        assert (finished.results / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_times_and_sizes_fit_together(finished):
    timing, size = finished.record["timing"], finished.record["size"]
    assert 0 < timing["preprocess_seconds"] < timing["fit_seconds"]
    assert sum(row["seconds"] for row in finished.record["epochs"]) <= timing["fit_seconds"]
    assert timing["fit_rows_per_second"] == pytest.approx(3 * 108 / timing["fit_seconds"], rel=1e-2)
    files = [file for file in finished.output.rglob("*") if file.is_file()]
    assert size["folder_bytes"] == sum(file.stat().st_size for file in files)
    assert size["parameters"] * 4 < size["folder_bytes"]


def test_options_are_those_in_force(finished):
    options = finished.record["options"]
    assert (options["epochs"], options["lr"], options["batch_size"], options["weight_decay"]) == (3, 0.003, 16, 0.0)
    assert 3 <= options["maxlen"] <= 512  # auto, filled in
    assert options["label_column"] == "label" and options["train"] == "things.csv"


def test_the_manifest_names_the_hash_of_every_file(finished):
    files = {file.relative_to(finished.output).as_posix(): file for file in finished.output.rglob("*") if file.is_file()}
    del files["halfbert.json"]
    assert finished.manifest["files"] == {name: sha256(file) for name, file in files.items()}
    assert {"config.json", "tf_model.h5", "tf_model.preproc", "README.md", "vocab.txt"} <= set(files)


def test_the_manifest_says_what_the_predictor_is(finished):
    manifest, record = finished.manifest, finished.record
    assert manifest["format_version"] == 1 and manifest["task"] == "multiclass" and manifest["model"] == "distilbert"
    assert manifest["labels"] == list(LABELS) and manifest["thresholds"] is None and manifest["stopped"] is None
    assert manifest["maxlen"] == record["options"]["maxlen"]
    assert manifest["versions"] == record["environment"]["versions"]
    assert {"ktrain", "tensorflow", "transformers"} <= set(manifest["versions"])
    assert manifest["data"] == {"files": record["data"]["files"], "split_seed": 0}
    for name in ("accuracy", "macro_f1", "log_loss"):
        assert manifest["test"][name] == record["test"][name]


def test_the_predictors_config_carries_labels_and_task(finished):
    config = json.loads((finished.output / "config.json").read_text())
    assert config["id2label"] == {str(number): label for number, label in enumerate(LABELS)}
    assert config["label2id"] == {label: number for number, label in enumerate(LABELS)}
    assert config["problem_type"] == "single_label_classification"


def test_a_record_is_read_back_and_another_schema_refused(finished, tmp_path):
    assert records.read(finished.results) == finished.record
    with pytest.raises(ArtefactError, match="no record"):
        records.read(tmp_path)
    for content in ("{", "[]", json.dumps({**finished.record, "schema_version": 99})):
        (tmp_path / "record.json").write_text(content)
        with pytest.raises(ArtefactError, match="record.json"):
            records.read(tmp_path)

"""The TF-IDF baseline: fit, speed, likely label errors."""

import numpy as np
import pytest
from support import TAGS, example_rows, tagged_rows, write_csv, write_tags

from halfbert.comparison import baseline
from halfbert.comparison.jobs import read_json
from halfbert.options import MulticlassOptions, MultilabelOptions
from halfbert.output import record as records
from halfbert.system import processes
from halfbert.training import steps


@pytest.fixture
def fitted(tmp_path):
    """Fits a baseline; returns the data, the record and the answers."""

    def fit(options):
        baseline.fit_and_test(options, str(tmp_path / "results"))
        return steps.read(options.task, options), records.read(tmp_path / "results"), records.read_answers(tmp_path / "results")

    return fit


def multiclass(folder, rows):
    return MulticlassOptions(model="bert", train=write_csv(folder / "things.csv", rows))


def multilabel(folder, rows):
    return MultilabelOptions(model="bert", train=write_tags(folder / "tags.csv", rows), threshold="f1")


def test_one_label_per_text_is_learnt(tmp_path, fitted):
    data, record, (probabilities, numbers) = fitted(multiclass(tmp_path, example_rows(150)))
    assert record.test["accuracy"] == 1.0 > record.test["commonest_label"]["accuracy"]
    assert numbers.tolist() == data.test.numbers and probabilities.shape == (15, 3)
    assert [data.labels[n] for n in probabilities.argmax(axis=1)] == data.test.labels
    best = max(score["val_macro_f1"] for score in record.validation)
    assert record.validation[0]["val_macro_f1"] == best and record.options["c"] == record.validation[0]["c"]
    assert record.size.folder_bytes == (tmp_path / "results" / baseline.MODEL).stat().st_size


def test_any_number_of_labels_is_learnt(tmp_path, fitted):
    _, record, (probabilities, _) = fitted(multilabel(tmp_path, tagged_rows(200)))
    assert record.test["at_thresholds"]["macro_f1"] > 0.9 > record.test["no_label"]["macro_f1"]
    assert len(record.test["thresholds"]) == 3 and probabilities.shape == (record.data.rows.test, 3)


def test_pairs_of_words_are_features():
    words = baseline.vectorizer().fit(["a good film", "not good"])
    assert {"a", "not good", "good film"} <= set(words.vocabulary_)


def test_a_saved_model_is_timed_in_a_process_of_its_own(tmp_path, fitted):
    fitted(multiclass(tmp_path, example_rows(60)))
    job = {"do": "time", "results": str(tmp_path / "results"), "texts": ["the old cat"] * 40, "seconds": 0.05}
    processes.run(baseline.COMMAND, "speed", {**job, "file": str(tmp_path / "speed.json")})
    found = read_json(tmp_path / "speed.json")
    assert found["texts_per_second"] > 1 / found["single_seconds"] and found["first_answer_seconds"] > 0
    assert found["weight_bytes"] == (tmp_path / "results" / baseline.MODEL).stat().st_size


def test_out_of_fold_answers_come_from_models_fitted_without_the_text():
    """Every text occurs twice, under a label that no other text shows: a model fitted on it would answer rightly."""
    texts = [word for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten") for _ in range(2)]
    truth = np.eye(2, dtype=int)[np.repeat(np.arange(10) % 2, 2)]
    for task in ("multiclass", "multilabel"):
        probabilities = baseline.out_of_fold(texts, truth, task, c=100.0)
        assert probabilities.shape == (20, 2) and abs(probabilities[:, 0] - 0.5).max() < 0.2


def test_likely_label_errors(tmp_path):
    rows = example_rows(150)
    text, label = rows[40]
    rows[40] = (text, "tool" if label != "tool" else "food")
    job = {"do": "suspect", **baseline.job(multiclass(tmp_path, rows)), "c": 10.0, "file": str(tmp_path / "found.json")}
    processes.run(baseline.COMMAND, "label errors", job)
    found = read_json(tmp_path / "found.json")
    assert found["rows"] == 150
    assert [(row["row"], row["given"], row["suggested"]) for row in found["found"]] == [(42, rows[40][1], label)]


def test_likely_label_errors_of_many_labels(tmp_path):
    rows = tagged_rows(600)
    text, tags = rows[40]
    rows[40] = (text, tuple(tag for tag in TAGS if (tag in tags) != (tag == TAGS[0])))
    baseline.suspect(multilabel(tmp_path, rows), 10.0, str(tmp_path / "found.json"))
    assert 42 in [row["row"] for row in read_json(tmp_path / "found.json")["found"]]

"""Rows that are left to a person, by guarantees, shares and costs, and confidences that are calibrated."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_predictors
from support import LABELS, TAGS, example_rows, tagged_rows, write_csv

import halfbert
from halfbert.cli import command
from halfbert.prediction.scorer import Scorer
from halfbert.scoring.review import ReviewRule
from halfbert.system.errors import InputError
from halfbert.training import calibrating

ROWS = 300
TEXTS = [text for text, _ in example_rows(ROWS, seed=5)]
GUARANTEE = ("--max-error", "0.1")


def calibrate(folder, task, truth, probabilities):
    """Have a predictor's calibration be that of rows with this truth."""
    logits = np.log(probabilities) if task == "multiclass" else np.log(probabilities) - np.log1p(-probabilities)
    calibration = calibrating.fit(task, truth, logits.astype(np.float64), "f1")
    held_out = {risk: vars(rows) for risk, rows in calibration.held_out.items()}
    tiny_predictors.change_manifest(folder, calibration={**vars(calibration), "held_out": held_out})


@pytest.fixture(scope="module")
def sure(things, tmp_path_factory):
    """The predictor of one label a text, calibrated on 300 rows; their truth: half of the least confident answers are wrong."""
    folder = shutil.copytree(things.folder, tmp_path_factory.mktemp("sure") / "things")
    probabilities = things.classifier.predict_proba(TEXTS)
    truth = np.eye(len(LABELS), dtype=int)[probabilities.argmax(axis=1)]
    least = np.argsort(probabilities.max(axis=1))[: ROWS // 3 : 2]
    truth[least] = np.roll(truth[least], 1, axis=1)
    calibrate(folder, "multiclass", truth, probabilities)
    return folder, [LABELS[number] for number in truth.argmax(axis=1)]


@pytest.fixture
def source(tmp_path):
    return write_csv(tmp_path / "in.csv", [(text,) for text in ["", *TEXTS]], ("text",))


def test_guaranteed_rows_are_answered_and_the_others_left_to_a_person(sure, predict, source, tmp_path):
    folder, truth = sure
    said = predict(source, "--output", tmp_path / "out.csv", *GUARANTEE, "--top", "2", "--probabilities", predictor=folder)
    classifier = halfbert.load(folder, "onnx")
    expected, probabilities = classifier.review(TEXTS, max_error=0.1), classifier.predict_proba(TEXTS)
    frame = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    columns = ["text", "label", "best_guess", "confidence", "label_2", "confidence_2"]
    assert list(frame) == [*columns, *(f"probability_{label}" for label in LABELS), "note"]
    assert frame.loc[0, "label":].tolist() == [""] * (len(frame.columns) - 2) + ["no text"]
    frame = frame[1:].astype({"confidence": float, "confidence_2": float, "probability_animal": float})
    left = (frame["label"] == "review").to_numpy()
    np.testing.assert_array_equal(left, expected.review)
    assert 0 < left.sum() < ROWS and frame["best_guess"].tolist() == classifier.predict(TEXTS)
    assert frame["label"][~left].tolist() == frame["best_guess"][~left].tolist()
    assert np.mean(frame["label"][~left] != np.array(truth)[~left]) <= 0.1 < np.mean(frame["best_guess"] != truth)
    np.testing.assert_allclose(frame["confidence"], expected.confidence, atol=2e-6)
    assert np.abs(frame["confidence"] - probabilities.max(axis=1)).max() > 0.01  # calibrated
    second = np.sort(classifier.predictor.manifest.calibration.apply(probabilities), axis=1)[:, -2]
    np.testing.assert_allclose(frame["confidence_2"], second, atol=2e-6)
    np.testing.assert_allclose(frame["probability_animal"], probabilities[:, 0], atol=2e-6)  # predict_proba's
    assert f"{expected.line}\n" in said and "with 95% certainty at most 10% of the answers are wrong" in said
    assert f"left to a person: {left.sum()} rows ({left.mean():.1%} of those with a text)\n" in said
    labels = said.split("labels: ")[1].splitlines()[0]
    assert sum(int(part.split()[-1]) for part in labels.split(", ")) == ROWS - left.sum()


def test_many_labels_are_reviewed_by_the_chosen_risk(tags, predict, tmp_path):
    folder = shutil.copytree(tags.folder, tmp_path / "tags")
    rows = tagged_rows(ROWS, seed=5)
    texts, probabilities = [text for text, _ in rows], tags.classifier.predict_proba([text for text, _ in rows])
    truth = np.array([[tag in each for tag in TAGS] for _, each in rows], int)
    calibrate(folder, "multilabel", truth, probabilities)
    source, classifier = write_csv(tmp_path / "in.csv", [(text,) for text in texts], ("text",)), halfbert.load(folder, "onnx")
    reviewed = []
    for rule in ({"max_error": 0.2, "risk": "false-negative"}, {"max_review": 0.4}):
        output, words = tmp_path / f"{len(rule)}.jsonl", [f"--{name.replace('_', '-')}={value}" for name, value in rule.items()]
        said = predict(source, "--output", output, *words, predictor=folder)
        lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        expected = classifier.review(texts, **rule)
        assert [line["labels"] == ["review"] for line in lines] == expected.review.tolist()
        assert [line["best_guess"] for line in lines] == expected.answers and expected.line in said
        reviewed.append(expected.review)
        assert 0 < expected.review.sum() < ROWS
    assert (reviewed[0] != reviewed[1]).any()


@pytest.mark.parametrize("rule", [{"max_review": 0.3}, {"cost_error": 1.6, "cost_review": 1.0}, {}])
def test_python_has_the_same_rules(sure, rule):
    folder, _ = sure
    answered = halfbert.predict_table(folder, pd.DataFrame({"text": TEXTS}), engine="onnx", **rule)
    expected = halfbert.load(folder, "onnx").review(TEXTS, **rule)
    guess = answered["best_guess"] if rule else answered["label"]
    assert guess.tolist() == expected.answers and ("best_guess" in answered) == bool(rule)
    assert (answered["label"] == "review").tolist() == expected.review.tolist()
    assert (0 < expected.review.sum() < ROWS) == bool(rule)


def test_an_older_predictor_says_that_it_is_not_calibrated_and_knows_no_rule(things, predict, source, tmp_path, capsys):
    folder = shutil.copytree(things.folder, tmp_path / "older")
    tiny_predictors.change_manifest(folder, calibration=None)
    said = predict(source, "--output", tmp_path / "out.csv", predictor=folder)
    assert "the confidence is not calibrated: the predictor was saved without calibration\n" in said
    confidence = pd.read_csv(tmp_path / "out.csv")["confidence"][1:]
    np.testing.assert_allclose(confidence, things.classifier.predict_proba(TEXTS).max(axis=1), atol=2e-6)
    assert "left to a person" not in said
    words = ["predict", str(folder), str(source), "--output", str(tmp_path / "new.csv"), "--engine", "onnx", *GUARANTEE]
    assert command.main(words) == 2
    error = capsys.readouterr().err
    assert error == "error: the predictor was saved without calibration, which the rule needs: train it again\n"
    assert not (tmp_path / "new.csv").exists()


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (["--max-error", "5"], "max-error 5: expected a share between 0 and 1, such as 0.05"),
        (["--max-error", "5%"], "--max-error: '5%' is not a number of at least 0"),
        (["--max-review", "1.5"], "max-review 1.5: expected a share from 0 to 1"),
        (["--max-error", "0.1", "--max-review", "0.2"], "choose one of max-error, max-review and the two costs"),
        (["--cost-error", "2"], "cost-error and cost-review go together"),
        (["--risk", "false-negative"], "risk false-negative: goes with max-error or max-review"),
        (
            ["--max-error", "0.1", "--risk", "false-negative"],
            "risk 'false-negative': not one of this predictor; expected error",
        ),
        (["--max-error", "0.005"], "max-error 0.005: cannot be guaranteed by 300 validation rows; the fewest that can are 598"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_one_line_and_writes_nothing(sure, predict, source, tmp_path, rule, says):
    with pytest.raises(InputError) as caught:
        predict(source, "--output", tmp_path / "out.csv", *rule, predictor=sure[0])
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.csv"]


def test_the_word_for_review_is_no_label(sure):
    scorer = Scorer(sure[0], "onnx", rule=ReviewRule(max_review=1.0))
    assert scorer.score(["the cat"])["label"] == ["review"]
    scorer = Scorer(sure[0], "onnx", rule=ReviewRule(max_review=1.0))
    scorer.manifest.labels[0] = "review"
    assert scorer.score(["the cat"])["label"] == ["for review"]

"""The calibration of a run: fitted on its validation rows, tried on its test rows, and used by `halfbert.load`."""

import json

import numpy as np
import pytest
from support import LABELS, TAGS
from tiny_predictors import load

from halfbert.output import record as records
from halfbert.predictor import manifest, validated
from halfbert.scoring import review
from halfbert.scoring.calibration import Calibration
from halfbert.scoring.probabilities import probabilities_of, softmax
from halfbert.scoring.reliability import Quality
from halfbert.system.errors import InputError
from halfbert.training import calibrating, tasks


@pytest.fixture(params=["finished", "finished_multilabel"])
def run(request):
    """A finished run of each task in turn."""
    return request.getfixturevalue(request.param)


def truth_of(run):
    if run.record["task"] == "multiclass":
        return np.array([[name == label for name in LABELS] for _, label in run.test_rows], int)
    return np.array([[tag in tags for tag in TAGS] for _, tags in run.test_rows], int)


def test_the_manifest_has_the_calibration_of_the_best_epochs_validation_rows(run):
    fitted, truth = run.seen.fitted, run.seen.truth["val"]
    task, saved = run.record["task"], manifest.read(run.output).calibration
    rule = run.record["options"].get("threshold", "")
    assert saved == fitted.calibration == calibrating.fit(task, truth, fitted.val_logits, rule)
    assert saved.rows == len(truth) == 12 and list(saved.held_out) == list(review.RISKS[task])
    assert (saved.temperature is None, saved.platt is None) == (task == "multilabel", task == "multiclass")
    text = json.dumps(run.manifest["calibration"])
    assert not [word for word in ("cat", "hammer", "bread") if word in text]  # numbers only


def test_held_out_losses_are_those_of_the_runs_answers(finished):
    fitted, truth = finished.seen.fitted, finished.seen.truth["val"]
    scores, losses = fitted.calibration.held_out["error"].read()
    probabilities = probabilities_of(fitted.val_logits, "multiclass")
    others = 1 - probabilities.max(axis=1)
    odds = np.log((1 - others) / others)
    wrong = probabilities.argmax(axis=1) != truth.argmax(axis=1)
    order = np.argsort(-odds, kind="stable")
    assert scores == pytest.approx(odds[order], abs=2e-3) and losses.sum() == wrong.sum()


def test_thresholds_that_a_row_helped_to_choose_do_not_score_it():
    """Labels of pure noise: thresholds look good on the rows that chose them, and only there."""
    rng = np.random.default_rng(0)
    truth, logits = (rng.random((60, 8)) < 0.1).astype(int), rng.normal(0, 1, (60, 8))
    thresholds = tasks.thresholds("multilabel", truth, logits, "f1")
    answered = review.answered_labels(probabilities_of(logits, "multilabel"), thresholds)
    flattering = np.nanmean(review.row_losses(truth > 0, answered, "false-discovery"))
    calibration = calibrating.fit("multilabel", truth, logits, "f1")
    assert np.nanmean(calibration.held_out["false-discovery"].read()[1]) > flattering + 0.03


def test_logits_that_are_not_finite_are_not_calibrated():
    assert calibrating.fit("multiclass", np.eye(2, dtype=int), np.array([[1.0, np.nan], [0.0, 1.0]]), "") is None


def test_the_record_compares_probabilities_on_the_test_rows(run):
    report, seen = records.read(run.results).calibration, run.seen
    task, truth = run.record["task"], truth_of(run)
    assert report.raw == Quality.of(truth, seen.probabilities, task)
    assert report.calibrated == Quality.of(truth, seen.fitted.calibration.apply(seen.probabilities), task)
    assert report.rows == 12
    tried = [(guarantee.risk, guarantee.max_error) for guarantee in report.promises]
    assert tried == [(risk, error) for risk in review.RISKS[task] for error in calibrating.GUARANTEES]
    assert all(
        "validation rows; the fewest that can are 29" in guarantee.impossible
        for guarantee in report.promises
        if guarantee.max_error == 0.1
    )


def drawn_rows(rows, seed):
    """Truth and logits of rows that are as often right as the softmax of the logits says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (rows, 4))
    below = rng.random((rows, 1)) > softmax(logits).cumsum(axis=1)
    return np.eye(4, dtype=int)[np.minimum(below.sum(axis=1), 3)], logits


def test_guarantees_are_tried_on_rows_that_did_not_choose_the_cut():
    calibration = calibrating.fit("multiclass", *drawn_rows(1000, 0), "")
    truth, logits = drawn_rows(3000, 1)
    probabilities = probabilities_of(logits, "multiclass")
    report = calibrating.report("multiclass", truth, probabilities, None, calibration)
    for guarantee in report.promises[2:]:  # 5 and 10 percent
        rule = review.ReviewRule(max_error=guarantee.max_error)
        decided = review.reviewer("multiclass", None, calibration, rule).decide(probabilities.astype(np.float32))
        wrong = (probabilities.argmax(axis=1) != truth.argmax(axis=1))[~decided.review]
        assert guarantee.answered == pytest.approx((~decided.review).mean()) and guarantee.error == pytest.approx(wrong.mean())
        assert guarantee.error <= guarantee.max_error and guarantee.answered > 0.3
    shares, errors = calibrating.risk_coverage(*calibrating.scores_and_losses(truth, probabilities, None, "error"))
    assert shares[-1] == 1 and errors[-1] == pytest.approx((probabilities.argmax(axis=1) != truth.argmax(axis=1)).mean())
    assert errors[0] < errors[-1] and (np.diff(shares) > 0).all()


def test_a_loaded_predictor_reviews_as_its_run_would(run):
    classifier, texts = load(run.output), [text for text, _ in run.test_rows]
    calibration, probabilities = classifier.predictor.manifest.calibration, classifier.predict_proba(texts)
    assert isinstance(calibration, Calibration)
    reviewed = classifier.review(texts, max_review=0.5)
    assert reviewed.answers == classifier.predict(texts)
    np.testing.assert_array_equal(reviewed.confidence, classifier.confidence(texts))
    decided = classifier.predictor.manifest.reviewer(review.ReviewRule(max_review=0.5)).decide(probabilities)
    np.testing.assert_array_equal(reviewed.review, decided.review)
    assert reviewed.line == "the least confident rows are left to a person, 50.0% of the 12 validation rows"
    if run.record["task"] == "multiclass":
        expected = calibration.apply(probabilities).max(axis=1)
        np.testing.assert_allclose(reviewed.confidence, expected)
    with pytest.raises(InputError, match="validation rows; the fewest that can are 59"):
        classifier.review(texts, max_error=0.05)


def test_the_answers_to_validation_rows_are_kept_for_cascades(run):
    """Those of the best epoch, by thresholds that a row did not choose; in the predictor and in the results."""
    fitted, truth, task = run.seen.fitted, run.seen.truth["val"], run.record["task"]
    kept = validated.of(manifest.check(run.output))
    assert kept.texts.tobytes().decode() == manifest.read(run.output).data.val_texts
    np.testing.assert_array_equal(kept.truth, truth > 0)
    probabilities = probabilities_of(fitted.val_logits, task)
    if task == "multiclass":
        np.testing.assert_array_equal(kept.answers.argmax(axis=1), probabilities.argmax(axis=1))
        expected = fitted.calibration.apply(probabilities).max(axis=1)
        np.testing.assert_allclose(kept.confidence, expected, atol=1e-5)
    assert ((kept.confidence >= 0) & (kept.confidence <= 1)).all()
    beside = validated.read(run.results)
    assert all((getattr(beside, name) == values).all() for name, values in vars(kept).items())
    confidence = records.read_confidence(run.results)
    assert confidence.shape == (len(run.test_rows),)
    if task == "multiclass":
        of_test = fitted.calibration.apply(run.seen.tested.probabilities)
        np.testing.assert_allclose(confidence, of_test.max(axis=1), atol=1e-5)

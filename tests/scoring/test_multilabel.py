"""Scores and thresholds for any number of labels, against numbers worked out by hand and against scikit-learn."""

import json
import math
import warnings
from functools import partial

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import expit, logit

from halfbert.scoring import multilabel as metrics
from halfbert.scoring.multilabel import THRESHOLD_RULES, choose_thresholds
from halfbert.scoring.probabilities import sigmoid

LABELS = ["cat", "dog", "fox"]

# Four rows: {cat, dog}, {cat}, {} and {dog}. No row has a fox.
TRUTH = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]])
PROBABILITIES = np.array([[0.9, 0.6, 0.1], [0.3, 0.2, 0.1], [0.4, 0.1, 0.2], [0.1, 0.7, 0.8]])
# At 0.5: {cat, dog}, {}, {}, {dog, fox}. At these thresholds: {cat, dog}, {cat}, {cat}, {dog}.
THRESHOLDS = np.array([0.3, 0.6, 0.9])


def random_example(rows: int = 500, labels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labels of 5 to 50 % of the rows, and probabilities that depend on them; some rows have none."""
    rng = np.random.default_rng(7)
    truth = (rng.random((rows, labels)) < np.linspace(0.05, 0.5, labels)).astype(int)
    return truth, sigmoid(rng.normal(size=truth.shape) + 2 * truth - 1.5).round(2)  # with ties


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_per_label_stands_in_label_order():
    cat, _, fox = metrics.multilabel(TRUTH, PROBABILITIES, THRESHOLDS, LABELS)["per_label"]
    assert cat == {
        "label": "cat",
        "threshold": 0.3,
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(4 / 5),
        "f1_at_half": pytest.approx(2 / 3),
        "support": 2,
        "roc_auc": 0.75,
        "average_precision": pytest.approx(5 / 6),
    }
    unknown = ("precision", "recall", "f1", "f1_at_half", "roc_auc", "average_precision")
    assert fox == {"label": "fox", "threshold": 0.9, "support": 0, **dict.fromkeys(unknown)}


def test_what_cannot_be_measured_is_none():
    """Without a label in any row F1 could be nothing but 0, and no ranking is right or wrong; whole rows are still right."""
    scores = metrics.multilabel(np.zeros_like(TRUTH), PROBABILITIES, THRESHOLDS, LABELS)
    f1 = ("micro_f1", "macro_f1", "weighted_f1")
    for answers in ("at_half", "at_thresholds", "no_label"):
        assert [scores[answers][name] for name in f1] == [None] * 3 and scores[answers]["exact_match"] is not None
    ranking = ("mean_roc_auc", "mean_average_precision", "label_ranking_average_precision")
    assert [scores[name] for name in ranking] == [None] * 3 and scores["labels_scored"] == 0
    for label in scores["per_label"]:
        assert label["precision"] is label["recall"] is label["f1"] is label["f1_at_half"] is None
    scores = metrics.multilabel(np.ones_like(TRUTH), PROBABILITIES, THRESHOLDS, LABELS)
    assert [scores[name] for name in ranking] == [None] * 3 and scores["at_half"]["micro_f1"] > 0
    epoch = metrics.validation(np.zeros_like(TRUTH), PROBABILITIES)
    assert epoch.pop("val_loss") > 0 and epoch == dict.fromkeys(f"val_{name}" for name in (*ranking[:2], "micro_f1"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("example", [(TRUTH, PROBABILITIES, THRESHOLDS), (*random_example(), np.linspace(0.2, 0.7, 6))])
def test_equal_to_scikit_learn(example, dtype):
    truth, probabilities, thresholds = example[0], example[1].astype(dtype), example[2]
    scores = metrics.multilabel(truth, probabilities, thresholds, list("abcdef")[: len(thresholds)])
    answered = {"at_half": probabilities >= 0.5, "at_thresholds": probabilities >= thresholds, "no_label": truth < 0}
    for name, answers in answered.items():
        answers = answers.astype(int)
        assert not (truth | answers).any(axis=1).all() or name == "at_thresholds"  # rows with neither are among them
        f1 = partial(sklearn.metrics.f1_score, truth, answers)
        expected = {f"{average}_f1": f1(average=average, zero_division=0) for average in ("micro", "macro", "weighted")}
        expected["samples_f1"] = f1(average="samples", zero_division=1.0)
        expected["hamming_loss"] = sklearn.metrics.hamming_loss(truth, answers)
        expected["hamming_score"] = sklearn.metrics.jaccard_score(truth, answers, average="samples", zero_division=1.0)
        expected["exact_match"] = sklearn.metrics.accuracy_score(truth, answers)
        assert scores[name] == pytest.approx(expected)
    answers = answered["at_thresholds"].astype(int)
    assert scores["confusion"] == sklearn.metrics.multilabel_confusion_matrix(truth, answers).tolist()
    ranking = sklearn.metrics.label_ranking_average_precision_score(truth, probabilities)
    assert scores["label_ranking_average_precision"] == pytest.approx(ranking)
    having = truth.any(axis=0)  # undefined for the others
    for name, score in (
        ("roc_auc", sklearn.metrics.roc_auc_score),
        ("average_precision", sklearn.metrics.average_precision_score),
    ):
        assert scores[f"mean_{name}"] == pytest.approx(score(truth[:, having], probabilities[:, having]))
    losses = [sklearn.metrics.log_loss(*column, labels=[0, 1]) for column in zip(truth.T, probabilities.T, strict=True)]
    assert scores["log_loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    columns = sklearn.metrics.precision_recall_fscore_support(truth, answers, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), columns, strict=True):
        assert [entry[name] or 0 for entry in scores["per_label"]] == pytest.approx(values.tolist())
    assert metrics.validation(truth, probabilities) == {
        "val_loss": scores["log_loss"],
        "val_mean_average_precision": scores["mean_average_precision"],
        "val_mean_roc_auc": scores["mean_roc_auc"],
        "val_micro_f1": scores["at_half"]["micro_f1"],
    }


@pytest.mark.parametrize(
    ("truth", "probabilities"),
    [
        (TRUTH, PROBABILITIES),
        (np.zeros_like(TRUTH), PROBABILITIES),
        (np.ones_like(TRUTH), PROBABILITIES),
        (TRUTH, np.full(TRUTH.shape, 0.3)),
        (TRUTH, np.zeros(TRUTH.shape)),
        (TRUTH, np.ones(TRUTH.shape)),
        (TRUTH.astype(np.float32), PROBABILITIES.astype(np.float32)),
        (TRUTH[:, :1], PROBABILITIES[:, :1]),
        (np.ones((4, 1), int), PROBABILITIES[:, :1]),
        (TRUTH[:1], PROBABILITIES[:1]),
    ],
)
def test_odd_tables_raise_no_warning_and_go_into_json(truth, probabilities):
    labels = LABELS[: truth.shape[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for how in THRESHOLD_RULES:
            thresholds = choose_thresholds(truth, probabilities, how)
            assert thresholds.shape == (len(labels),) and ((thresholds > 0) & (thresholds < 1)).all()
            scores = metrics.multilabel(truth, probabilities, thresholds, labels)
            assert json.loads(json.dumps(scores, allow_nan=False)) == scores
        json.dumps(metrics.validation(truth, probabilities), allow_nan=False)


def test_one_label_is_scored_as_many_are():
    # scikit-learn takes a single column for classes 0 and 1, and would average over both.
    scores = metrics.multilabel(TRUTH[:, :1], PROBABILITIES[:, :1], THRESHOLDS[:1], ["cat"])
    assert scores["at_thresholds"]["macro_f1"] == scores["at_thresholds"]["micro_f1"] == pytest.approx(4 / 5)
    assert scores["confusion"] == [[[1, 1], [0, 2]]]


def test_the_loss_of_a_certain_and_wrong_answer_is_finite_and_nan_passes_on():
    scores = metrics.validation(column(0, 1), column(1.0, 0.0))
    assert scores["val_loss"] == pytest.approx(-math.log(np.finfo(np.float64).eps))
    probabilities = PROBABILITIES.copy()
    probabilities[2, 1] = np.nan
    assert all(math.isnan(score) for score in metrics.validation(TRUTH, probabilities).values())


# One answer: sensitivity 1/2 times specificity 1; five answers: 1 times 5/8, the best. F1: 2/3 by one, 4/7 by five.
TEN = (1, 0, 0, 0, 1, 0, 0, 0, 0, 0), (0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.2, 0.15, 0.1, 0.05)
FOUR = (0.9, 0.6, 0.3, 0.1)


@pytest.mark.parametrize(
    ("how", "truth", "probabilities", "threshold"),
    [
        # The middle: best F1 by answering three, 2 * 2 / (3 + 2) = 4/5; one answer gives 2/3, two 1/2, four 2/3.
        ("f1", (1, 0, 1, 0), (0.9, 0.8, 0.6, 0.2), (0.6 + 0.2) / 2),
        # Answering two of the three rows at 0.6 would be best, and no threshold does that.
        ("f1", (1, 1, 0, 0, 0), (0.6, 0.6, 0.6, 0.3, 0.1), 0.45),
        # F1 2/3 by answering one (above 0.85) or four (between 0.2 and 0.4); 0.3 is nearer to 0.5 than 0.85.
        ("f1", (1, 0, 0, 1, 0), (0.9, 0.8, 0.7, 0.4, 0.2), 0.3),
        ("f1", (1, 1), (0.8, 0.3), 0.15),  # a label of every row is answered for every row
        ("gmean", *TEN, 0.4),
        ("f1", *TEN, 0.85),
        ("gmean", (1, 1), (0.8, 0.3), 0.5),  # no threshold is better than another
        ("gmean", (1, 0), (0.3, 0.3), 0.5),
        # The expected F1 follows the probabilities where rows are few: of FOUR, which sum to 1.9, it is 1.8 / 2.9, 3 / 3.9,
        # 3.6 / 4.9, 3.8 / 5.9: best between 0.6 and 0.3.
        ("expected-f1", (1, 1, 0, 0), FOUR, 0.45),
        ("expected-f1", (1, 0, 1, 0), FOUR, 0.45),
        ("f1", (1, 0, 1, 0), FOUR, 0.2),
        *((how, (0, 0), (0.8, 0.3), 0.5) for how in THRESHOLD_RULES),  # a label without rows keeps a half
    ],
)
def test_thresholds_by_hand(how, truth, probabilities, threshold):
    assert choose_thresholds(column(*truth), column(*probabilities), how) == pytest.approx([threshold])


@pytest.mark.parametrize("low", [0.3, np.nextafter(0.3, 1)])  # halfway rounds up from one and down from the other
def test_neighbouring_floats_are_parted_nonetheless(low):
    probabilities = column(np.nextafter(low, 1), low)
    thresholds = choose_thresholds(column(1, 0), probabilities, "f1")
    assert (probabilities >= thresholds).tolist() == [[True], [False]]


def test_expected_f1_corrects_probabilities_that_are_off():
    """Logits that are all too low by 2 have their threshold lower by 2, and half as steep ones at half its logit."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 2, (20_000, 1))
    truth = (rng.random(logits.shape) < expit(logits)).astype(int)
    right, low, flat = (
        logit(choose_thresholds(truth, expit(given), "expected-f1"))[0] for given in (logits, logits - 2, logits / 2)
    )
    assert low == pytest.approx(right - 2, abs=0.05) and flat == pytest.approx(right / 2, abs=0.05) and abs(right) > 0.2
    best = logit(choose_thresholds(truth, expit(logits), "f1"))[0]
    assert right == pytest.approx(best, abs=0.3)  # where rows are many, both find the same


def test_global_f1_is_one_threshold_for_all_answers_together():
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.3], [0.2, 0.4], [0.7, 0.05]])
    # All eight, falling: 0.9 yes, 0.8 yes, 0.7 no, 0.4 yes, 0.3 no, ... F1: 1/2, 4/5, 2/3, 6/7, 3/4, ...
    assert choose_thresholds(truth, probabilities, "global-f1") == pytest.approx([0.35, 0.35])
    assert choose_thresholds(truth, probabilities, "f1") == pytest.approx([0.75, 0.35])


def test_f1_curves_and_the_best_thresholds_are_scikit_learns():
    truth, probabilities = random_example()
    chosen = {how: probabilities >= choose_thresholds(truth, probabilities, how) for how in THRESHOLD_RULES}
    for label, (true, ranked_by) in enumerate(zip(truth.T, probabilities.T, strict=True)):
        cuts, f1 = metrics.f1_curve(true, ranked_by)
        assert cuts.tolist() == np.unique(ranked_by).tolist()
        assert f1 == pytest.approx([sklearn.metrics.f1_score(true, ranked_by >= cut) for cut in cuts])
        assert sklearn.metrics.f1_score(true, chosen["f1"][:, label]) == pytest.approx(max(f1))
        false_rate, true_rate, _ = sklearn.metrics.roc_curve(true, ranked_by, drop_intermediate=False)
        (negatives, false), (missed, right) = sklearn.metrics.confusion_matrix(true, chosen["gmean"][:, label])
        gmean = math.sqrt(right / (right + missed) * negatives / (negatives + false))
        assert gmean == pytest.approx(np.sqrt(true_rate * (1 - false_rate)).max())
    cuts = np.unique(probabilities)
    best = max(sklearn.metrics.f1_score(truth, probabilities >= cut, average="micro") for cut in cuts)
    assert sklearn.metrics.f1_score(truth, chosen["global-f1"], average="micro") == pytest.approx(best)


@pytest.mark.parametrize(
    ("truth", "probabilities", "message"),
    [
        (np.array([0, 1]), np.array([0.1, 0.2]), r"found \(2,\) and \(2,\)"),
        (TRUTH, PROBABILITIES[:, :2], r"found \(4, 3\) and \(4, 2\)"),
        (TRUTH[:0], PROBABILITIES[:0], r"no rows or no labels to score: shape \(0, 3\)"),
        (2 * TRUTH, PROBABILITIES, "expected a truth of 0 and 1, found 0 to 2"),
        *((TRUTH, np.full(TRUTH.shape, value), "expected probabilities from 0 to 1, found") for value in (-0.1, 3.0, np.nan)),
    ],
)
def test_what_does_not_fit_is_refused(truth, probabilities, message):
    with pytest.raises(ValueError, match=message):
        metrics.multilabel(truth, probabilities, THRESHOLDS, LABELS)
    with pytest.raises(ValueError, match=message):
        choose_thresholds(truth, probabilities, "gmean")
    if "probabilities" not in message:  # after an epoch they may be NaN
        with pytest.raises(ValueError, match=message):
            metrics.validation(truth, probabilities)


@pytest.mark.parametrize(("thresholds", "labels"), [(THRESHOLDS[:2], LABELS), (THRESHOLDS, LABELS[:1])])
def test_labels_and_thresholds_that_do_not_fit_are_refused(thresholds, labels):
    with pytest.raises(ValueError, match="do not fit 3 columns"):
        metrics.multilabel(TRUTH, PROBABILITIES, thresholds, labels)
    with pytest.raises(ValueError, match=r"expected one of 0\.5, expected-f1, f1, gmean, global-f1, found 'F1'"):
        choose_thresholds(TRUTH, PROBABILITIES, "F1")

"""TF-IDF and logistic regression on a run's own rows: what any network has to beat.

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1, by part of the table.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from halfbert.data.splits import stratified_sample
from halfbert.data.tables import Data
from halfbert.options import TrainOptions
from halfbert.output.record import Baseline
from halfbert.output.text import card_scores
from halfbert.scoring import intervals
from halfbert.scoring import multilabel as multilabel_metrics
from halfbert.system.console import say
from halfbert.system.errors import ResourceError
from halfbert.training import tasks
from halfbert.training.values import Prepared

# Raise it when the features, the classifier, its choice or its test change: compare.py does not reuse finished fits then.
RECIPE_VERSION = 2
INVERSE_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)  # scikit-learn's C
# Beside a network it is to take a small part of the time, which grows with the rows times the labels.
MOST_ROWS, MOST_CELLS = 100_000, 2_000_000


@dataclass(frozen=True)
class Fit:
    """A fitted pipeline from texts to probabilities, and the validation scores with each C, the chosen one's first.

    `thresholds` were chosen on validation, as the options say; None where a text has one label.
    """

    model: Any
    tried: list[dict[str, Any]]
    thresholds: list[float] | None


def vectorizer() -> Any:
    """Words and pairs of neighbouring words, weighted by TF-IDF with a logarithmic term frequency."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b", dtype=np.float32)


def classifier(task: str, c: float, balanced: bool = False) -> Any:
    """Logistic regression; for multi-label tables one per label, against the rest."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    # On sparse texts Newton's method is at the optimum in a third of the time of the default, lbfgs, and less.
    one = LogisticRegression(C=c, solver="newton-cg", max_iter=1000, class_weight="balanced" if balanced else None)
    return OneVsRestClassifier(one) if task == "multilabel" else one


def targets(task: str, truth: np.ndarray) -> np.ndarray:
    """(R, L) truth as scikit-learn takes it: for one label per row (R,) its number."""
    return truth if task == "multilabel" else truth.argmax(axis=1)


def balanced(options: TrainOptions) -> bool:
    """Whether the options weigh classes, or rows with and without a label, against each other."""
    return bool(getattr(options, "class_weights", None) or getattr(options, "balance", False))


def fit(
    task: str,
    options: TrainOptions,
    data: Data,
    truth: dict[str, np.ndarray],
    words: Any = None,
    penalties: Sequence[float] = INVERSE_PENALTIES,
) -> Fit:
    """Fit on the training rows with each C, and choose the best on the validation rows, and thresholds for it.

    `words` makes features of texts, as scikit-learn's do; by default `vectorizer`.
    """
    from sklearn.pipeline import make_pipeline

    words = words or vectorizer()
    train, val = words.fit_transform(data.train.texts), words.transform(data.val.texts)
    tried = []
    for c in penalties:
        model = classifier(task, c, balanced(options)).fit(train, targets(task, truth["train"]))
        validated = model.predict_proba(val)
        tried.append(({"c": c, **tasks.validation(task, truth["val"], validated)}, model, validated))
    # As a training run chooses its epoch: the lower loss decides between equal scores, or where there is none.
    tried.sort(key=lambda each: (-(each[0][tasks.CHOSEN_BY[task]] or 0.0), each[0]["val_loss"]))
    _, model, validated = tried[0]
    rule, thresholds = getattr(options, "threshold", None), None
    if task == "multilabel" and rule is not None:
        thresholds = multilabel_metrics.choose_thresholds(truth["val"], validated, rule).tolist()
    return Fit(make_pipeline(words, model), [scores for scores, *_ in tried], thresholds)


def beside(prepared: Prepared, answers: np.ndarray) -> Baseline:
    """TF-IDF on the rows of a run, tested beside the (R, L) `answers` of its network. Raises ResourceError if it fails."""
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    task, options = prepared.task, prepared.options
    data, truth = _at_most(prepared.data, prepared.truth, options.seed)
    try:
        with threadpool_limits(options.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a label that no row of the sample has, or of slow convergence
            found = fit(task, options, data, truth)
            probabilities = found.model.predict_proba(data.test.texts)
    except (ValueError, MemoryError) as error:  # such as of texts without any word
        raise ResourceError(" ".join(str(error).split()) or "out of memory") from error
    of_test = truth["test"] > 0
    own = tasks.answers(task, probabilities, found.thresholds)
    certain, gain = intervals.bootstraps(task, of_test, own), intervals.paired_bootstraps(task, of_test, answers, own)
    scores = card_scores(tasks.scores(task, truth, probabilities, found.thresholds, data.labels))
    return Baseline(len(data.train), found.tried[0]["c"], time.perf_counter() - started, {**scores}, certain, gain)


def _at_most(data: Data, truth: dict[str, np.ndarray], seed: int) -> tuple[Data, dict[str, np.ndarray]]:
    """The same with a sample of the training rows, stratified by their first label, where they are very many."""
    rows, labels = truth["train"].shape
    size = max(min(MOST_ROWS, MOST_CELLS // labels), labels)
    if rows <= size:
        return data, truth
    say(f"TF-IDF is fitted on a stratified sample of {size:,} of the {rows:,} training rows")
    first = np.where(truth["train"].any(axis=1), truth["train"].argmax(axis=1), -1)
    chosen = stratified_sample(first.astype(str).tolist(), size, seed)
    return replace(data, train=data.train.take(chosen)), {**truth, "train": truth["train"][chosen]}

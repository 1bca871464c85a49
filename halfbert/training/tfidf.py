"""TF-IDF and logistic regression on a run's own rows: what any network has to beat.

Shapes: R rows, L labels. Truth is (R, L) of 0 and 1, by part of the table.
"""

import contextlib
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from halfbert.data.equality import normalise
from halfbert.data.splits import stratified_sample
from halfbert.data.tables import Data
from halfbert.options import TrainOptions
from halfbert.output.advice import CurvePoint, Growth
from halfbert.output.record import Baseline
from halfbert.output.text import card_scores
from halfbert.scoring import intervals
from halfbert.system.console import say
from halfbert.system.errors import ResourceError
from halfbert.training import tasks
from halfbert.training.values import Prepared

# Raise it when the features, the classifier, its choice or its test change: compare.py does not reuse finished fits then.
RECIPE_VERSION = 2
INVERSE_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)  # scikit-learn's C
# Beside a network it is to take a small part of the time, which grows with the rows times the labels.
MOST_ROWS, MOST_CELLS = 100_000, 2_000_000
CURVE = (0.25, 0.5)  # the shares of the training rows that its learning curve has beside all
FOLDS = 5


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
        from halfbert.scoring import multilabel as multilabel_metrics

        thresholds = multilabel_metrics.choose_thresholds(truth["val"], validated, rule).tolist()
    return Fit(make_pipeline(words, model), [scores for scores, *_ in tried], thresholds)


def beside(prepared: Prepared, answers: np.ndarray) -> Baseline:
    """TF-IDF on the rows of a run, tested beside the (R, L) `answers` of its network. Raises ResourceError if it fails."""
    started = time.perf_counter()
    task, options = prepared.task, prepared.options
    data, truth = _at_most(prepared.data, prepared.truth, options.seed)
    with fitting(options.threads):
        found = fit(task, options, data, truth)
        probabilities = found.model.predict_proba(data.test.texts)
    of_test = truth["test"] > 0
    own = tasks.answers(task, probabilities, found.thresholds)
    certain, gain = intervals.bootstraps(task, of_test, own), intervals.paired_bootstraps(task, of_test, answers, own)
    scores = card_scores(tasks.scores(task, truth, probabilities, found.thresholds, data.labels))
    return Baseline(len(data.train), found.tried[0]["c"], time.perf_counter() - started, {**scores}, certain, gain)


@contextlib.contextmanager
def fitting(threads: int | None) -> Iterator[None]:
    """Around fits on so many threads (None: all); what fails of them is a ResourceError."""
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a label that no row of a sample has, or of slow convergence
            yield
    except (ValueError, MemoryError) as error:  # such as of texts without any word
        raise ResourceError(" ".join(str(error).split()) or "out of memory") from error


def growth(prepared: Prepared, baseline: Baseline) -> Growth | None:
    """TF-IDF's learning curve over a quarter, half and all of the training rows; None where so few rows have no curve.

    Each fit has the penalty that was best with all rows, as if that did not depend on their number. With many labels answers
    are those at 0.5, so that what changes is not the thresholds.
    """
    task, options, true = prepared.task, prepared.options, prepared.truth["test"] > 0
    data, truth = _at_most(prepared.data, prepared.truth, options.seed, quiet=True)
    sizes = [round(share * len(data.train)) for share in (*CURVE, 1)]
    if sizes[0] < 2 * len(data.labels) or not true.any():
        return None
    answers = []
    for size in sizes:
        chosen = _sample(truth["train"], size, options.seed)
        with fitting(options.threads):
            of_test = answered(task, data.train.take(chosen).texts, truth["train"][chosen], data.test.texts, baseline.c)
        answers.append(tasks.answers(task, of_test, [0.5] * len(data.labels)))
    score = intervals.COMPARED[task]["macro_f1"]
    once = np.ones((1, len(true)))
    curve = [CurvePoint(size, float(score(true, each, once)[0])) for size, each in zip(sizes, answers, strict=True)]
    return Growth(curve, intervals.paired_bootstrap(score, true, answers[-1:], answers[-2:-1]))


def answered(task: str, texts: Sequence[str], truth: np.ndarray, unseen: Sequence[str], c: float) -> np.ndarray:
    """(unseen texts, L) probabilities by a model of these texts, which may lack some of the labels."""
    from sklearn.pipeline import make_pipeline

    given = targets(task, truth)
    probabilities = np.zeros((len(unseen), truth.shape[1]))
    model = make_pipeline(vectorizer(), classifier(task, c)).fit(texts, given)
    columns = np.arange(truth.shape[1]) if task == "multilabel" else model.classes_
    probabilities[:, columns] = model.predict_proba(unseen)
    return probabilities


def out_of_fold(texts: list[str], truth: np.ndarray, task: str, c: float) -> np.ndarray:
    """(R, L) probabilities of each row by a model that was fitted without it and without texts equal to it."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(normalise(text), len(numbers)) for text in texts]
    folds = GroupKFold(FOLDS) if task == "multilabel" else StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    probabilities = np.zeros(truth.shape)
    for seen, unseen in folds.split(texts, targets(task, truth), groups):
        of_fold = [texts[index] for index in seen], truth[seen], [texts[index] for index in unseen]
        probabilities[unseen] = answered(task, *of_fold, c)
    return probabilities


def most_rows(labels: int) -> int:
    """How many rows of so many labels are fitted on at most."""
    return max(min(MOST_ROWS, MOST_CELLS // labels), labels)


def _at_most(data: Data, truth: dict[str, np.ndarray], seed: int, quiet: bool = False) -> tuple[Data, dict[str, np.ndarray]]:
    """The same with a sample of the training rows, stratified by their first label, where they are very many."""
    rows, labels = truth["train"].shape
    size = most_rows(labels)
    if rows <= size:
        return data, truth
    if not quiet:
        say(f"TF-IDF is fitted on a stratified sample of {size:,} of the {rows:,} training rows")
    chosen = _sample(truth["train"], size, seed)
    return replace(data, train=data.train.take(chosen)), {**truth, "train": truth["train"][chosen]}


def _sample(truth: np.ndarray, size: int, seed: int) -> list[int]:
    """The indices of so many rows, stratified by their first label."""
    first = np.where(truth.any(axis=1), truth.argmax(axis=1), -1)
    return stratified_sample(first.astype(str).tolist(), size, seed)

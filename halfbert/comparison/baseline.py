"""TF-IDF and logistic regression, what any network has to beat.

`python -m halfbert.comparison.baseline` runs one job in a process of its own.

A job is one JSON object on standard input, {"do": name of a function of JOBS, its arguments}. `reading` and `columns` among
them are what the task's reader takes.

Shapes: R rows, L labels.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from halfbert.benchmark import statistics as timing
from halfbert.data.equality import normalise
from halfbert.data.multiclass import read_multiclass
from halfbert.data.multilabel import read_multilabel
from halfbert.data.tables import Data
from halfbert.output import record as records
from halfbert.output.record import Record, Size, Timing
from halfbert.scoring import multilabel as multilabel_metrics
from halfbert.system import console, storage
from halfbert.training import tasks

NAME = "tfidf"
INVERSE_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)  # scikit-learn's C
MODEL = "model.joblib"
BATCH = 32
FOLDS = 5


def main(_arguments: list[str], _stop: console.StopRequest) -> None:
    """Do the job that stands on standard input."""
    job = json.load(sys.stdin)
    JOBS[job.pop("do")](**job)


def read_data(task: str, reading: dict, columns: dict) -> Data:
    """The table, by the reader of the task."""
    read = read_multiclass if task == "multiclass" else read_multilabel
    return read(**reading, **columns)


# ---------------------------------------------------------------------------------------------------------------------------
# Fitting


def vectorizer():
    """Words and pairs of neighbouring words, weighed by TF-IDF with a logarithmic term frequency."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b", dtype=np.float32)


def classifier(task: str, c: float, balanced: bool = False):
    """Logistic regression; where a text may have any number of labels, one of each label against the rest."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    one = LogisticRegression(C=c, max_iter=1000, class_weight="balanced" if balanced else None)
    return OneVsRestClassifier(one) if task == "multilabel" else one


def targets(task: str, truth: np.ndarray) -> np.ndarray:
    """(R, L) truth as scikit-learn takes it: with one label a row (R,) its number."""
    return truth if task == "multilabel" else truth.argmax(axis=1)


def fit(data: Data, task: str, balanced: bool = False):
    """Fit on the training rows with each C and keep the best on the validation rows; the test rows choose nothing.

    Returns the fitted scikit-learn pipeline, and the validation scores with each C, the kept one's first.
    """
    from sklearn.pipeline import make_pipeline

    train_truth, val_truth = (tasks.truth(task, rows, data.labels) for rows in (data.train, data.val))
    words = vectorizer()
    train, val = words.fit_transform(data.train.texts), words.transform(data.val.texts)
    tried = []
    for c in INVERSE_PENALTIES:
        model = classifier(task, c, balanced).fit(train, targets(task, train_truth))
        tried.append(({"c": c, **tasks.validation(task, val_truth, model.predict_proba(val))}, model))
    tried.sort(key=lambda pair: _cost(pair[0][tasks.CHOSEN_BY[task]], pair[0]["val_loss"]))
    return make_pipeline(words, tried[0][1]), [scores for scores, _ in tried]


def _cost(score: float | None, loss: float) -> float:
    """What is smallest for the best; a score that cannot be measured leaves it to the loss."""
    return loss if score is None else -score


def fit_and_test(task: str, reading: dict, columns: dict, threshold: str | None, balanced: bool, results: str) -> None:
    """Fit and test, and write record.json (read as a training run's), answers.npz and model.joblib into `results`."""
    import joblib

    started = time.perf_counter()
    data = read_data(task, reading, columns)
    read = time.perf_counter()
    model, tried = fit(data, task, balanced)
    fitted = time.perf_counter()
    truth = {part: tasks.truth(task, rows, data.labels) for part, rows in data.parts()}
    thresholds = None
    if task == "multilabel":
        thresholds = multilabel_metrics.choose_thresholds(truth["val"], model.predict_proba(data.val.texts), threshold)
    tested_from = time.perf_counter()
    probabilities = model.predict_proba(data.test.texts)
    evaluate_seconds = time.perf_counter() - tested_from
    words, head = model.steps[0][1], model.steps[1][1]
    with storage.atomic_folder(Path(results)) as folder:
        joblib.dump(model, folder / MODEL)
        records.write_answers(probabilities, data.test.numbers, folder)
        record = Record(
            task=task,
            model=NAME,
            checkpoint=None,
            options={"c": tried[0]["c"], "threshold": threshold, "balanced": balanced},
            validation=tried,
            data=records.describe_data(data),
            test=tasks.scores(task, truth, probabilities, thresholds, data.labels),
            timing=Timing(setup_seconds=read - started, fit_seconds=fitted - read, evaluate_seconds=evaluate_seconds),
            size=Size(
                parameters=sum(one.coef_.size + one.intercept_.size for one in getattr(head, "estimators_", [head])),
                folder_bytes=(folder / MODEL).stat().st_size,
            ),
            environment=records.environment("cpu", None, "float64", reading["seed"]),
        )
        records.write(record, folder)
    console.say(f"C = {tried[0]['c']:g} kept of {len(tried)}; {len(words.vocabulary_):,} words and pairs of words")


# ---------------------------------------------------------------------------------------------------------------------------
# Timing


def time_model(results: str, texts: list[str], seconds: float, file: str) -> None:
    """Time a written model as the benchmark times an engine: one text at a time and batches, end to end; and its memory."""
    started = time.perf_counter()
    import joblib
    import sklearn.linear_model
    import sklearn.multiclass
    import sklearn.pipeline  # noqa: F401  (what the model needs is imported before the memory is read)

    from halfbert.benchmark.worker import peak_resident, resident

    imported = resident()
    model = joblib.load(Path(results) / MODEL)
    model.predict(texts[:1])
    first_answer_seconds = time.perf_counter() - started
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    model.predict(batches[0])
    single = timing.measure(model.predict, [[text] for text in texts], seconds)
    batched = timing.measure(model.predict, batches, seconds)
    peak = peak_resident()
    found = {
        "texts_per_second": len(texts) * (len(batched) / len(batches)) / sum(batched),
        "single_seconds": timing.describe(single).median,
        "first_answer_seconds": first_answer_seconds,
        "peak_above_import": peak - imported,
        "weight_bytes": (Path(results) / MODEL).stat().st_size,
    }
    storage.write_json(found, Path(file))


# ---------------------------------------------------------------------------------------------------------------------------
# Label errors


def suspect(task: str, reading: dict, columns: dict, c: float, file: str) -> None:
    """Write the rows whose label is likely wrong, worst first: confident learning by cleanlab.

    Northcutt et al. 2021, "Confident Learning" (arXiv:1911.00068). Each row of all parts is judged by a model that was fitted
    without it and without its equals.
    """
    data = read_data(task, reading, columns)
    texts = [text for _, rows in data.parts() for text in rows.texts]
    truth = np.concatenate([tasks.truth(task, rows, data.labels) for _, rows in data.parts()])
    probabilities = out_of_fold(texts, truth, task, c)
    places = [
        {"part": part, "file": Path(rows.file).name, "row": number} for part, rows in data.parts() for number in rows.numbers
    ]
    suggested = tasks.answers(task, probabilities, [0.5] * len(data.labels))

    def named(chosen: np.ndarray) -> str:
        return "; ".join(data.labels[number] for number in np.flatnonzero(chosen))

    found = [
        {**places[index], "text": texts[index], "given": named(truth[index]), "suggested": named(suggested[index])}
        for index in _issues(task, truth, probabilities)
    ]
    storage.write_json({"rows": len(texts), "found": found}, Path(file))


def out_of_fold(texts: list[str], truth: np.ndarray, task: str, c: float) -> np.ndarray:
    """(R, L) probabilities of each row by a model that has seen neither it nor an equal text."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline

    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(normalise(text), len(numbers)) for text in texts]
    folds = GroupKFold(FOLDS) if task == "multilabel" else StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    given = targets(task, truth)
    probabilities = np.zeros(truth.shape)
    for seen, unseen in folds.split(texts, given, groups):
        model = make_pipeline(vectorizer(), classifier(task, c)).fit([texts[index] for index in seen], given[seen])
        columns = np.arange(truth.shape[1]) if task == "multilabel" else model.classes_  # a fold may lack a rare label
        probabilities[np.ix_(unseen, columns)] = model.predict_proba([texts[index] for index in unseen])
    return probabilities


def _issues(task: str, truth: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """The suspected rows, worst first."""
    ranked = {"return_indices_ranked_by": "self_confidence", "n_jobs": 1}
    if task == "multilabel":
        from cleanlab.multilabel_classification.filter import find_label_issues

        given = [np.flatnonzero(row).tolist() for row in truth]
        return [int(index) for index in find_label_issues(given, probabilities, **ranked)]
    from cleanlab.filter import find_label_issues

    return [int(index) for index in find_label_issues(truth.argmax(axis=1), probabilities, **ranked)]


JOBS = {"fit": fit_and_test, "time": time_model, "suspect": suspect}

if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))

"""Logistic regression as a contestant, on TF-IDF or static embeddings: fitted and tested, timed, and used to find label errors.

`python -m halfbert.comparison.baseline` runs one job in a process of its own. A job is one JSON object on standard input:
{"do": name of a function of JOBS, "task": the task, "options": a training run's, and the function's other arguments}.

Shapes: R rows, L labels.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.benchmark import statistics
from halfbert.benchmark.figures import CHIEF_BATCH
from halfbert.comparison import static
from halfbert.comparison.record import Speed
from halfbert.data.tables import LAYOUT, Data
from halfbert.options import MulticlassOptions, MultilabelOptions, TrainOptions
from halfbert.output import record as records
from halfbert.output.record import Record, Size, Timing
from halfbert.predictor.manifest import CheckpointUsed
from halfbert.system import console, machine, storage
from halfbert.training import mislabelled, steps, tasks, tfidf

NAME = "tfidf"
NAMES = (NAME, static.NAME)  # the contestants that are fitted here
PACKAGES = ("scikit-learn", "scipy", "numpy")  # whose versions have a part in the result
COMMAND = ["-m", "halfbert.comparison.baseline"]
OPTIONS: dict[str, type[TrainOptions]] = {"multiclass": MulticlassOptions, "multilabel": MultilabelOptions}
READ = (  # of the options of a training run
    *("train", "val", "test", "text_column", *LAYOUT, "drop_missing", "keep_leaks", "rows", "test_rows"),
    *("label_column", "label_columns", "label_separator", "true_values", "drop_constant_labels"),
    *("split_seed", "threshold", "balance", "class_weights", "group_column"),
)
MODEL = "model.joblib"


def main(_arguments: list[str], _stop: console.StopRequest) -> None:
    """Do the job on standard input."""
    job = json.load(sys.stdin)
    if "options" in job:
        job["options"] = OPTIONS[job.pop("task")](**job["options"])
    JOBS[job.pop("do")](**job)


def job(options: TrainOptions) -> dict[str, Any]:
    """What a job says of the options."""
    return {"task": options.task, "options": {name: getattr(options, name) for name in READ if hasattr(options, name)}}


def fit_and_test(
    options: TrainOptions, results: str, embeddings: dict[str, str] | None = None, data: Data | None = None
) -> None:
    """Fit and test on these rows, by default those of the options.

    Writes record.json (as a training run's), answers.npz and model.joblib into the folder `results`. `embeddings` says whose
    word embeddings stand for the words of a text, in place of TF-IDF: "folder", "name" and "sha256".
    """
    import joblib

    started, task = time.perf_counter(), options.task
    data = data or steps.read(options.task, options)
    read = time.perf_counter()
    truth = {part: tasks.truth(task, rows, data.labels) for part, rows in data.parts()}
    words: Any = static.vectorizer(Path(embeddings["folder"])) if embeddings else tfidf.vectorizer()
    penalties = static.INVERSE_PENALTIES if embeddings else tfidf.INVERSE_PENALTIES
    fit = tfidf.fit(task, options, data, truth, words, penalties)
    fitted, model, tried = time.perf_counter(), fit.model, fit.tried
    tested_from = time.perf_counter()
    probabilities = model.predict_proba(data.test.texts)
    evaluate_seconds = time.perf_counter() - tested_from
    head = model.steps[1][1]
    learnt = sum(one.coef_.size + one.intercept_.size for one in getattr(head, "estimators_", [head]))
    with storage.atomic_folder(Path(results)) as folder:
        joblib.dump(model, folder / MODEL)
        records.write_answers(probabilities, truth["test"], data.test.numbers, folder)
        record = Record(
            task=task,
            model=static.NAME if embeddings else NAME,
            checkpoint=CheckpointUsed(embeddings["name"], embeddings["sha256"]) if embeddings else None,
            options={
                "c": tried[0]["c"],
                "threshold": getattr(options, "threshold", None),
                "balanced": tfidf.balanced(options),
            },
            validation=tried,
            data=records.describe_data(data),
            test=tasks.scores(task, truth, probabilities, fit.thresholds, data.labels),
            timing=Timing(setup_seconds=read - started, fit_seconds=fitted - read, evaluate_seconds=evaluate_seconds),
            size=Size(
                parameters=learnt + (words.words.size if embeddings else 0),
                folder_bytes=(folder / MODEL).stat().st_size,
            ),
            environment=machine.describe("cpu", None, "float64", options.split_seed or 0),
        )
        records.write(record, folder)
    size = f"{words.words.shape[1]:,} units" if embeddings else f"{len(words.vocabulary_):,} words and pairs"
    console.say(f"C = {tried[0]['c']:g}, the best of {len(tried)} on the validation rows; {size}")


def time_model(results: str, texts: list[str], seconds: float, file: str) -> None:
    """Time a saved model as the benchmark times an engine: single texts and batches, end to end; and its memory."""
    started = time.perf_counter()
    import joblib
    import sklearn.linear_model
    import sklearn.multiclass
    import sklearn.pipeline  # noqa: F401
    import tokenizers  # noqa: F401  (what the model needs is imported before the memory is read)

    from halfbert.benchmark.worker import peak_resident, resident

    imported = resident()
    model = joblib.load(Path(results) / MODEL)
    model.predict(texts[:1])
    first_answer_seconds = time.perf_counter() - started
    batches = [texts[start : start + CHIEF_BATCH] for start in range(0, len(texts), CHIEF_BATCH)]
    model.predict(batches[0])
    single = statistics.measure(model.predict, [[text] for text in texts], seconds)
    batched = statistics.measure(model.predict, batches, seconds)
    found = Speed(
        engine="scikit-learn",
        texts_per_second=len(texts) * (len(batched) / len(batches)) / sum(batched),
        single_seconds=statistics.describe(single).median,
        first_answer_seconds=first_answer_seconds,
        peak_above_import=peak_resident() - imported,
        weight_bytes=(Path(results) / MODEL).stat().st_size,
    )
    storage.write_json(asdict(found), Path(file))


def suspect(options: TrainOptions, c: float, file: str) -> None:
    """Write the rows of all parts whose label is likely wrong, and how many rows were searched."""
    data = steps.read(options.task, options)
    rows = [{"part": part, **place} for part, of_part in data.parts() for place in mislabelled.places(of_part)]
    truth = np.concatenate([tasks.truth(options.task, of_part, data.labels) for _, of_part in data.parts()])
    found = mislabelled.by_tfidf(options.task, rows, truth, data.labels, c)
    storage.write_json({"rows": len(rows), "found": found}, Path(file))


JOBS: dict[str, Callable[..., None]] = {"fit": fit_and_test, "time": time_model, "suspect": suspect}

if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))

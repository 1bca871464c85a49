"""--long through its real arguments: what a run says, fits, keeps and answers, on every engine, in tables, in plain ktrain."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from support import LABELS, end_here, example_rows, tagged_rows, write_csv, write_tags

import halfbert
from halfbert.models import long_texts
from halfbert.models.long_texts import Pooling
from halfbert.predictor import engines
from halfbert.scoring.probabilities import probabilities_of

MAXLEN = 10
HOW = ("--maxlen", str(MAXLEN), "--lr", "0.003", "--no-tfidf")
TASKS = pytest.mark.parametrize("task", ["multiclass", "multilabel"])
FLOAT32 = ("keras", "onnx", "torch")


@pytest.fixture
def long_tables(tmp_path):
    """For each task a csv file of 90 texts of very different lengths, most of them longer than MAXLEN tokens."""
    things = [(" and ".join([text] * (1 + number % 7)), label) for number, (text, label) in enumerate(example_rows(90))]
    tags = [(" and ".join([text] * (1 + number % 7)), names) for number, (text, names) in enumerate(tagged_rows(90))]
    return {
        "multiclass": write_csv(tmp_path / "long.csv", things),
        "multilabel": write_tags(tmp_path / "long_tags.csv", tags),
    }


@TASKS
def test_windows_from_the_fit_to_every_engine(quick, long_tables, task):
    weights = ("--class-weights", "balanced") if task == "multiclass" else ("--balance",)
    run = quick(*HOW, "--long", "windows", *weights, task=task, train=long_tables[task])
    train, texts = run.prepared.data.train.texts, run.prepared.data.test.texts
    multilabel = task == "multilabel"

    # Rows of the fit are windows, each with its text's labels.
    encoded = run.fitted.train.encoded
    of_train = encoded.text_of_row()
    assert np.array_equal(run.fitted.train.y, run.truth["train"][of_train]) and len(of_train) > 2 * len(train)
    of_windows = run.record["windows"]
    assert (of_windows["texts"], of_windows["windows"]) == (len(train), len(of_train))
    assert f"windows of {MAXLEN} tokens" in run.said and f"{len(of_train):,} windows of {len(train)} texts" in run.said
    assert run.record["options"]["long"] == run.manifest["long"] == "windows" and "note:" not in run.said
    assert len(run.probabilities) == len(texts) == len(run.truth["test"])

    # The pooling of the best score on validation is kept.
    key = "val_mean_average_precision" if multilabel else "val_macro_f1"
    scores = {name: found[key] for name, found in of_windows["validation"].items()}
    assert set(scores) == {"mean", "max", "attention"} and scores[of_windows["pooling"]["name"]] == max(scores.values())
    assert run.manifest["pooling"] == of_windows["pooling"]
    assert run.record["epochs"][-1][key] == pytest.approx(scores["mean"])  # epochs are compared by the mean

    # Every engine answers as the run did on its test rows, and as windows answered one by one and pooled.
    for engine in (name for name in (*FLOAT32, "onnx-int8") if engines.installed(name)):
        loaded = halfbert.load(run.folder, engine, "cpu", allow_disagreement=True)
        exact = engine in FLOAT32
        np.testing.assert_allclose(loaded.predict_proba(texts), run.probabilities, atol=1e-5 if exact else 0.2)
        assert loaded.texts_cut == 0
    onnx = halfbert.load(run.folder, "onnx", "cpu")  # proven on pooled answers
    long = max(texts, key=len)
    rows = onnx.encode([long])
    alone = np.concatenate([onnx.loaded.forward(*rows.padded(np.array([row]))) for row in range(len(rows.lengths))])
    assert len(alone) > 3
    pooled = Pooling(**run.manifest["pooling"]).pool(alone, np.array([0, len(alone)]), multilabel)
    np.testing.assert_allclose(onnx.predict_proba(long), probabilities_of(pooled, task)[0], atol=1e-5)
    assert run.manifest["agreement"]["onnx"]["largest_difference"] < 1e-4
    assert np.array_equal(onnx.review(texts, max_review=0.2).confidence, onnx.confidence(texts))

    # Tables are answered alike.
    answered = halfbert.predict_table(run.folder, pd.DataFrame({"text": texts}), engine="onnx", probabilities=True)
    found = answered[[f"probability_{label}" for label in run.manifest["labels"]]].to_numpy()
    np.testing.assert_allclose(found, run.probabilities, atol=1e-5)

    # Plain ktrain answers with the first window, and the card says so.
    first = probabilities_of(alone[:1], task)[0]
    np.testing.assert_allclose(halfbert.load(run.folder, "ktrain", "cpu").predict_proba([long])[0], first, atol=1e-5)
    card = (run.folder / "README.md").read_text(encoding="utf-8")
    assert f"windows of {MAXLEN} tokens" in card and "plain ktrain answers with the first window" in card


def test_head_and_tail(quick, long_tables):
    run = quick(*HOW, "--long", "head-tail", train=long_tables["multiclass"])
    assert "first 2 and the last 6 are read" in run.said and "note:" not in run.said
    assert (run.manifest["long"], run.record["windows"]) == ("head-tail", None) and "pooling" not in run.manifest
    text = "cat saw " + "the old big " * 20 + "bread axe my new small dog"
    loaded = halfbert.load(run.folder, "onnx", "cpu", allow_disagreement=True)
    assert np.array_equal(loaded.predict_proba(text), loaded.predict_proba("cat saw bread axe my new small dog"))
    assert loaded.texts_cut == 0 and not np.array_equal(loaded.predict_proba([text]), loaded.predict_proba([text + " cat"]))
    assert loaded.texts_cut == 1
    np.testing.assert_allclose(
        halfbert.load(run.folder, "keras", "cpu").predict_proba(run.prepared.data.test.texts), run.probabilities, atol=1e-5
    )
    card = (run.folder / "README.md").read_text(encoding="utf-8")
    assert "the first 2 and the last 6 are read" in card and "plain ktrain reads the first 8" in card


def test_a_run_that_cuts_many_texts_says_what_the_others_would_do(quick, long_tables):
    run = quick(*HOW, train=long_tables["multiclass"])
    full = run.fitted.train.encoded.full_lengths
    counts = long_texts.window_counts(full, MAXLEN)
    work = np.where(counts > 1, counts * MAXLEN, full).sum() / np.minimum(full, MAXLEN).sum()
    expected = f"in {counts.sum()} windows of {len(full)} texts, {work:.1f} times the work"
    assert "--long head-tail would keep their first 2 and last 6 tokens" in run.said and expected in run.said
    assert run.manifest["long"] == run.record["options"]["long"] == "cut"
    assert "truncated to" in (run.folder / "README.md").read_text(encoding="utf-8")
    assert "note:" not in quick("--maxlen", "200", *HOW[2:], train=long_tables["multiclass"], output="predictors/whole").said


def test_one_text_of_200_000_words_in_bounded_memory(quick, long_tables, monkeypatch):
    run = quick(*HOW, "--maxlen", "64", "--long", "windows", train=long_tables["multiclass"])
    loaded = halfbert.load(run.folder, "onnx", "cpu", allow_disagreement=True)
    sizes, forward = [], loaded.loaded.forward

    def watched(ids, mask):
        sizes.append(ids.size)
        return forward(ids, mask)

    text = "the old cat was " * 50_000
    object.__setattr__(loaded.loaded, "forward", watched)
    tracemalloc.start()
    try:
        probabilities = loaded.predict_proba(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    windows = int(long_texts.window_counts(np.array(200_002), 64))
    assert probabilities.shape == (len(LABELS),) and sum(sizes) == 64 * windows and windows > 4000
    assert max(sizes) <= loaded.loaded.tokens_per_batch and peak < 20 * len(text)


@pytest.mark.parametrize("objective", ["mlm", "embedding"])
def test_long_is_refused_where_it_does_nothing(objective, capsys):
    code = end_here("--teacher", "x", "--objective", objective, "--long", "windows", script="distill")
    assert code == 2 and f"--long has no effect with --objective {objective}" in capsys.readouterr().err

"""Static embeddings: what the mean is of, the contestant in both tasks, and where its words come from."""

import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file
from support import WIDTH, example_rows, tagged_rows, write_csv, write_tags

from halfbert.comparison import baseline, jobs, static
from halfbert.comparison.jobs import read_json
from halfbert.options import CompareOptions, MulticlassOptions, MultilabelOptions
from halfbert.output import record as records
from halfbert.system import processes

TEXTS = ["the old cat", "bread", "", "the [SEP] old zzzzz cat [PAD]", "the big horse is here and " * 300]


def test_the_mean_is_of_the_pieces_of_the_text_alone(tiny_distilbert):
    vectors = static.vectorizer(tiny_distilbert)
    words = load_file(tiny_distilbert / "model.safetensors")["distilbert.embeddings.word_embeddings.weight"]
    numbers = {word: row for row, word in enumerate((tiny_distilbert / "vocab.txt").read_text().split())}
    cat, bread, nothing, disguised, long = vectors.transform(TEXTS)
    by_hand = np.mean([words[numbers[word]] for word in ("the", "old", "cat")], axis=0)
    assert cat == pytest.approx(by_hand, abs=1e-3) == disguised  # special tokens and [UNK] count for nothing
    assert not nothing.any() and bread == pytest.approx(words[numbers["bread"]], abs=1e-3)
    assert long == pytest.approx(vectors.transform([TEXTS[-1][:26]])[0], abs=1e-3)  # nothing is truncated


def test_units_are_scaled_to_the_fitted_texts_and_neither_batch_nor_saving_changes_anything(tiny_distilbert, monkeypatch):
    vectors = static.vectorizer(tiny_distilbert)
    fitted = vectors.fit_transform(TEXTS[:3])
    assert fitted.mean(axis=0) == pytest.approx(np.zeros(WIDTH), abs=1e-5)
    assert fitted.std(axis=0) == pytest.approx(np.ones(WIDTH), abs=1e-5)
    together = vectors.transform(TEXTS)
    assert together[:3] == pytest.approx(fitted)
    monkeypatch.setattr(static, "TEXTS_AT_ONCE", 2)
    assert (vectors.transform(TEXTS) == together).all()
    assert (pickle.loads(pickle.dumps(vectors)).transform(TEXTS) == together).all()
    assert vectors.transform([]).shape == (0, WIDTH)
    assert static.vectorizer(tiny_distilbert).fit(["bread"]).transform(["bread"]).tolist() == [[0.0] * WIDTH]  # no deviation


@pytest.fixture
def contestant(tmp_path, tiny_distilbert, tiny_bert):
    """Makes the part of static embeddings in a comparison, and its experiment."""

    def make(table, distilbert=tiny_distilbert, **options):
        contestants = {"static": None, "distilbert": str(distilbert), "bert": str(tiny_bert)}
        options = {"contestants": contestants, "cv": "none", **options}
        given = CompareOptions(train=table, output=tmp_path / "out", work=tmp_path / "work", **options)
        experiment = jobs.read(given)
        return experiment, experiment.part("static", 0, None) if "static" in experiment.contestants else None

    return make


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_it_is_fitted_and_timed_as_tfidf_is(tmp_path, contestant, task):
    many = task == "multilabel"
    table = write_tags(tmp_path / "t.csv", tagged_rows(200)) if many else write_csv(tmp_path / "t.csv", example_rows(150))
    experiment, part = contestant(table, task=task, **({"threshold": "f1"} if many else {}))
    assert experiment.contestants[0] == "static" and experiment.fits("static") == 1
    options = (MultilabelOptions if many else MulticlassOptions)(**part.job["options"])
    baseline.fit_and_test(options, str(tmp_path / "results"), part.job["embeddings"])
    record, (probabilities, _) = records.read(tmp_path / "results"), records.read_answers(tmp_path / "results")
    assert (record.model, probabilities.shape) == ("static", experiment.truth.shape)
    assert record.checkpoint.weights_sha256 == experiment.embeddings.weights_sha256
    found = record.test["at_thresholds"] if many else record.test
    assert found["macro_f1"] > 0.8 and len(record.validation) == len(static.INVERSE_PENALTIES)
    job = {"do": "time", "results": str(tmp_path / "results"), "texts": ["the old cat"] * 40, "seconds": 0.05}
    if not many:
        processes.run(baseline.COMMAND, "speed", {**job, "file": str(tmp_path / "speed.json")})
        assert read_json(tmp_path / "speed.json")["texts_per_second"] > 0


def test_its_words_are_those_of_distilbert_else_of_bert_and_decide_its_identity(
    tmp_path, contestant, tiny_distilbert, tiny_bert
):
    table = write_csv(tmp_path / "t.csv", example_rows(60))
    experiment, part = contestant(table)
    assert part.job["embeddings"]["folder"] == str(tiny_distilbert)
    _, of_bert = contestant(table, contestants={"tfidf": None, "static": None, "bert": str(tiny_bert)})
    assert of_bert.job["embeddings"]["folder"] == str(tiny_bert) and of_bert.identity != part.identity
    assert part.identity == contestant(table, epochs=7)[1].identity != experiment.part("tfidf", 0, None).identity
    other = shutil.copytree(tiny_distilbert, tmp_path / "other")
    (other / static.WEIGHTS).rename(other / "tf_model.h5")  # nothing opens it here
    experiment, none = contestant(table, distilbert=other)
    assert none is None and experiment.contestants == ["distilbert", "bert"]
    assert "left out, since" in experiment.notes[0] and static.WEIGHTS in experiment.notes[0]

"""label_next: which of many texts are most worth labelling."""

import numpy as np
import pytest
import tiny_predictors
from support import example_rows

import halfbert
from halfbert.data.equality import digests
from halfbert.predictor.next_labels import Candidates, first_token_states
from halfbert.scoring import active_learning
from halfbert.system.errors import ArtefactError, InputError

TEXTS = [text for text, _ in example_rows(60)]


@pytest.fixture
def folder(tmp_path):
    return tiny_predictors.copy("distilbert", "multiclass", tmp_path / "tiny")


def test_uncertain_texts_are_chosen_that_are_neither_labelled_nor_repeated_nor_blank(folder):
    classifier = tiny_predictors.load(folder)
    uncertain = active_learning.uncertainty(classifier.predict_proba(TEXTS), one_label=True)[:, 0]
    most = np.argsort(-uncertain)
    trained, validated, tested = (TEXTS[index] for index in most[:3])
    data = {"train_texts": digests([trained]), "val_texts": digests([validated]), "test_texts": digests([tested])}
    tiny_predictors.change_manifest(folder, data=data)
    texts = [*TEXTS, "  ", *(text.upper() for text in TEXTS)]
    chosen = halfbert.label_next(tiny_predictors.load(folder), texts, 5)
    assert len(set(chosen)) == 5 and not set(chosen) & {*most[:3], *(most[:3] + 61), 60}
    assert len({texts[index].lower() for index in chosen}) == 5
    found = uncertain[[index % 61 for index in chosen]]
    assert (np.diff(found) <= 1e-6).all()
    assert len(halfbert.label_next(tiny_predictors.load(folder), texts, 100)) == 57


def test_only_so_many_candidates_are_kept_and_they_are_the_least_certain(folder, monkeypatch):
    monkeypatch.setattr(active_learning, "CANDIDATES_PER_ROW", 2)
    found = Candidates(tiny_predictors.load(folder), 4)
    values, kept = np.random.default_rng(0).random(60), 0
    for start in range(0, 60, 3):
        part = range(start, start + 3)
        found.add([TEXTS[number] for number in part], values[list(part), None], part.__getitem__)
        kept = max(kept, len(found._found))
    assert kept < 16 + 3 and all(each.uncertain.base is None for each in found._found.values())
    found._drop()
    assert sorted(each.row for each in found._found.values()) == sorted(np.argsort(-values)[:8])


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_every_engine_gives_the_same_states(kind, tmp_path):
    folder = tiny_predictors.copy(kind, "multilabel", tmp_path / "tiny")
    expected = first_token_states(tiny_predictors.load(folder, "keras"), TEXTS)
    assert expected.shape == (60, 32) and expected.std(axis=0).min() > 0
    for engine in ("onnx", "ktrain"):  # ktrain gives answers only
        np.testing.assert_allclose(first_token_states(tiny_predictors.load(folder, engine), TEXTS), expected, atol=1e-4)


def test_refusals(folder):
    classifier = tiny_predictors.load(folder)
    for rows, message in ((0, "whole number from 1"), (True, "whole number"), (61, "there are 60 only")):
        with pytest.raises(InputError, match=message):
            halfbert.label_next(classifier, TEXTS, rows)
    with pytest.raises(InputError, match="expected a string"):
        halfbert.label_next(classifier, [*TEXTS, None], 5)
    tiny_predictors.change_manifest(folder, data={"train_texts": "AAAA"})
    with pytest.raises(ArtefactError, match="digests of texts are damaged"):
        halfbert.label_next(tiny_predictors.load(folder), TEXTS, 5)

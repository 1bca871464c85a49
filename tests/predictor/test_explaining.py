"""Why a predictor answers as it does: words in any script, contributions that add up, and what cannot be explained."""

import numpy as np
import pytest
import tiny_predictors
from tiny_predictors import MAXLEN, TASKS

from halfbert.predictor import explaining
from halfbert.predictor.explaining import Variants, log_odds, split_words
from halfbert.system.errors import InputError

TEXT = "The old cat, the new saw and my 🙂 hammer isn't here!"


def words_of(text):
    return [text[start:end] for start, end in split_words(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop-me: 3.5 now...", ["Don't", "stop-me", ":", "3.5", "now", ".", ".", "."]),
        ("我们 naïve", ["我", "们", "naïve"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ok 👩‍👩‍👧 👍🏽!", ["ok", "👩‍👩‍👧", "👍🏽", "!"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("'tis dogs' -", ["'", "tis", "dogs", "'", "-"]),
        ("", []),
        (" \t\u200b\x00", []),
    ],
)
def test_words_of_any_script(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_integrated_gradients_add_up_to_what_the_text_is_worth_more_than_masks(kind, task, tmp_path):
    tiny_predictors.copy(kind, task, tmp_path / "predictor")
    classifier = tiny_predictors.load(tmp_path / "predictor", "keras")
    text, label = "the old cat", classifier.get_classes()[1]
    found = classifier.explain(text, label, method="gradients", samples=200)
    worth = odds(classifier.predict_proba([text, "[MASK] [MASK] [MASK]"])[:, 1].astype(float))
    assert sum(word.contribution for word in found.words) == pytest.approx(worth[0] - worth[1], abs=0.02)


def test_integrated_gradients_need_keras(classifier):
    with pytest.raises(InputError, match="method gradients: needs the engine keras"):
        classifier.explain(TEXT, method="gradients")


@pytest.fixture(scope="module", params=TASKS)
def classifier(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained") / "predictor"
    return tiny_predictors.load(tiny_predictors.copy("distilbert", request.param, folder))


def odds(probability):
    return np.log(probability / (1 - probability))


def test_shapley_values_add_up_to_the_change_of_the_log_odds(classifier):
    found = classifier.explain(TEXT, method="shapley")
    gained = sum(word.contribution for word in found.words)
    assert gained == pytest.approx(odds(found.probability) - odds(found.without_words), abs=1e-3)
    assert found.probability == pytest.approx(float(classifier.predict_proba(TEXT).max()), abs=1e-5)


def test_occlusion_is_the_change_when_a_word_is_deleted(classifier):
    label = classifier.get_classes()[1]
    found = classifier.explain("old cat new saw", label, method="occlusion")
    column = classifier.get_classes().index(label)
    whole, without = (classifier.predict_proba(text)[column] for text in ("old cat new saw", "old new saw"))
    assert found.label == label
    assert found.words[1].text == "cat"
    assert found.words[1].contribution == pytest.approx(odds(whole) - odds(without), abs=1e-3)


def test_the_words_are_those_of_the_text_as_given_and_cut_ones_have_no_contribution(classifier):
    text = "Wölf  old " + "cat " * MAXLEN
    found = classifier.explain(text)
    assert [text[word.start : word.end] for word in found.words] == [word.text for word in found.words]
    assert found.words[0].text == "Wölf"
    read = [word for word in found.words if word.contribution is not None]
    assert 0 < len(read) < len(found.words)
    assert found.words[-1].contribution is None


@pytest.mark.parametrize("text", ["", " ", "\ud800", "🙂", "!!!"])
def test_texts_with_few_words_or_none_are_explained(classifier, text):
    found = classifier.explain(text)
    assert len(found.words) == len(split_words(text))


def test_many_texts_have_a_list_and_one_has_one(classifier):
    assert [each.text for each in classifier.explain(["old cat", "new saw"])] == ["old cat", "new saw"]
    assert classifier.explain("old cat").text == "old cat"


def test_in_a_notebook_the_text_is_shown_escaped(classifier):
    shown = classifier.explain("old <script> & cat")._repr_html_()
    assert "<script>" not in shown
    assert "&amp;" in shown


def test_top_words_speak_for_the_label(classifier):
    found = classifier.explain(TEXT)
    top = found.top(3)
    assert all(word.contribution > 0 for word in top)
    assert top == sorted(top, key=lambda word: -word.contribution)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label": "dragon"}, "label 'dragon': not known; the labels are"),
        ({"method": "guess"}, "method 'guess': not known; the methods are occlusion, shapley, gradients"),
        ({"samples": 0}, "samples 0: expected a whole number from 1, or None"),
    ],
)
def test_what_there_is_not_is_one_line(classifier, given, message):
    with pytest.raises(InputError, match=message):
        classifier.explain(TEXT, **given)


def test_a_text_too_long_to_explain_is_one_line(classifier):
    with pytest.raises(InputError, match="at most 131,072 can be explained"):
        classifier.explain("a" * (explaining.LONGEST_TEXT + 1))


def test_variants_of_windows_are_those_of_the_words_in_them(classifier, tmp_path):
    """A text in windows is worth without a word what the pooled windows without it are worth."""
    text = "old cat new saw wolf bread " * 12
    variants = Variants(classifier, text)
    kept = np.ones((2, len(variants.words)), bool)
    kept[1, 0] = False
    whole, without = variants.logits(kept)
    assert not np.array_equal(whole, without)


def test_log_odds_of_a_certain_answer_keep_their_digits():
    logits = np.array([[60.0, 1.0, 0.0], [0.0, 900.0, 0.0]])
    found = log_odds(logits, "multiclass")
    assert found[0, 0] == pytest.approx(60 - np.log(np.e + 1))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(log_odds(logits, "multilabel"), logits)

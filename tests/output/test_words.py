"""Names and counts as people read them."""

import pytest

from halfbert.options.values import CONTESTANTS
from halfbert.output import words


def test_every_contestant_has_one_name():
    assert not [key for key in CONTESTANTS if words.model_name(key) == key]
    assert [words.model_name(key) for key in ("tfidf", "distilbert", "bert")] == ["TF-IDF", "DistilBERT", "BERT"]
    assert (words.model_name("student"), words.model_name("student", short=True)) == ("the distilled student", "student")
    assert words.model_name("static") == "static embeddings"
    assert words.model_name("roberta") == "roberta"


@pytest.mark.parametrize(("number", "words_of_it"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1234, "1,234 rows")])
def test_a_count_has_the_plural_it_needs(number, words_of_it):
    assert words.counted(number, "row") == words_of_it

"""The tool that measures smaller files: what a pruned vocabulary does to words, and what it counts."""

import json

import numpy as np
import pytest
from tiny_predictors import MAXLEN, TEXTS, copy
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from halfbert.data.tables import Data, Rows
from halfbert.models import onnx_storage
from halfbert.predictor import classifier, manifest
from tools import smaller

PIECES = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abc", "##a", "##b", "##c", "abc", "ab", "##cab", "##ca"]
NUMBER = {piece: number for number, piece in enumerate(PIECES)}


@pytest.fixture
def tokenizer():
    made = Tokenizer(models.WordPiece(NUMBER, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return made


def test_a_word_is_read_by_the_longest_pieces_that_are_left(tokenizer):
    assert tokenizer.encode("abcab abca").tokens == ["abc", "##a", "##b", "abc", "##a"]
    kept = smaller.kept_pieces(NUMBER, {NUMBER["ab"]: 3, NUMBER["##cab"]: 1, NUMBER["abc"]: 1}, least=1)
    assert smaller.pruned(tokenizer, kept).encode("abcab").ids == tokenizer.encode("abcab").ids
    pruned = smaller.pruned(tokenizer, smaller.kept_pieces(NUMBER, {NUMBER["ab"]: 3, NUMBER["##cab"]: 1}, least=1))
    assert pruned.encode("abcab abca").tokens == ["ab", "##cab", "ab", "##c", "##a"]
    assert pruned.encode("abcab").ids == [NUMBER["ab"], NUMBER["##cab"]]
    by_letter = smaller.pruned(tokenizer, smaller.kept_pieces(NUMBER, {NUMBER["ab"]: 1, NUMBER["##cab"]: 1}, least=2))
    assert by_letter.encode("abcab z").tokens == ["a", "##b", "##c", "##a", "##b", "[UNK]"]


def test_special_pieces_and_characters_stay():
    kept = {PIECES[number] for number in smaller.kept_pieces(NUMBER, {}, least=1)}
    assert kept == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abc", "##a", "##b", "##c"}


def test_every_way_is_measured_against_keras(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_storage, "FEWEST_VALUES", 64)
    predictor = manifest.check(copy("distilbert", "multiclass", tmp_path / "tiny"))
    labels = predictor.manifest.labels
    reference = classifier.load(predictor.folder, "onnx", "cpu", allow_disagreement=True).predict_proba(TEXTS)
    rows = Rows(TEXTS, [labels[number] for number in reference.argmax(axis=1)], list(range(len(TEXTS))), "t")
    data = Data(rows, rows.take([]), rows, labels, [], {}, [])
    found = {each.name: each for each in smaller.measure(predictor, data, reference, ["a wolf", "the cow"], 1)}
    whole, pruned = found["float32"], found["pruned to the texts' pieces"]
    assert (whole.score.score, whole.difference.difference, whole.equal, whole.equal_of_another_kind) == (1, 0, 1, 1)
    assert pruned.equal == found["words in 8 bits"].equal and pruned.bytes < found["words in 8 bits"].bytes < whole.bytes
    assert predictor.manifest.maxlen == MAXLEN and np.isfinite([each.score.low for each in found.values()]).all()


def test_the_picture_has_every_way(tmp_path):
    difference = {"difference": -0.01, "low": -0.02, "high": 0.0}
    ways = [{"name": name, "bytes": size, "difference": difference} for name, size in (("float32", 6e7), ("pruned", 7e6))]
    smaller.draw({"messages": {"ways": ways}, "news": {"ways": ways}}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_published_records_hold_no_folder_of_a_machine():
    for record in smaller.published().values():
        text = json.dumps(record)
        assert "/tmp/" not in text and "/work/" not in text and "/home/" not in text

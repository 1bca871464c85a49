"""The smaller graph: the most used words keep 8 bits, and it is written only if it answers as Keras does."""

import numpy as np
import onnxruntime
import pytest
from tiny_predictors import TEXTS, copy

import halfbert
from halfbert.cli import command
from halfbert.export import smaller
from halfbert.models import onnx_storage
from halfbert.predictor import classifier, manifest
from halfbert.predictor.engines.onnx import forward_of, open_session
from halfbert.system.errors import ArtefactError, InputError

MANY = TEXTS * 4


@pytest.fixture(params=["bert", "distilbert"])
def predictor(request, tmp_path):
    return manifest.check(copy(request.param, "multilabel", tmp_path / "tiny"))


@pytest.fixture(autouse=True)
def store_small_tensors(monkeypatch):
    monkeypatch.setattr(onnx_storage, "FEWEST_VALUES", 64)


def test_it_answers_as_keras_does(predictor):
    made = smaller.choose(predictor, MANY)
    whole = classifier.load(predictor.folder, "onnx", "cpu", 1, allow_disagreement=True)
    small = whole.with_forward(forward_of(open_session(smaller.write(predictor, made), 1))).predict_proba(TEXTS)
    assert np.abs(small - whole.predict_proba(TEXTS)).max() < 0.2
    assert (made.rows, made.equal_decisions >= 0.99) == (9, True) and made.largest_difference > 0


def test_fewer_bits_come_first_and_none_that_disagree(predictor, monkeypatch):
    tried = []

    def compare(*_):
        tried.append(None)
        return (0.995, 0.1) if len(tried) == passes else (0.98, 0.2)

    monkeypatch.setattr(smaller.proving, "compare", compare)
    passes = 2
    assert smaller.choose(predictor, MANY).other_bits == 4
    passes, tried = 0, []
    assert smaller.choose(predictor, MANY, allow_disagreement=True).other_bits == 2
    tried.clear()
    with pytest.raises(ArtefactError, match=r"98\.00% with 2 bits, 98\.00% with 4 bits, 98\.00% with 8 bits a word; 99% are"):
        smaller.choose(predictor, MANY)


def test_the_checked_texts_choose_no_words(predictor, monkeypatch):
    chosen = []
    monkeypatch.setattr(smaller, "most_used", lambda _, texts: chosen.extend(texts) or [2, 3])
    smaller.choose(predictor, [f"text {number}" for number in range(23)])
    assert sorted(int(text.split()[1]) for text in chosen) == [number for number in range(23) if number % 5]


def test_too_few_texts(predictor):
    with pytest.raises(InputError, match="9 texts: expected 10 at least"):
        smaller.choose(predictor, TEXTS[:9])


def test_the_most_used_words(predictor):
    texts = ["the cat", "the dog", "the dog dog dog cat", "the horse"]
    vocabulary = classifier.read_tokenizer(predictor).get_vocab()
    expected = {vocabulary[piece] for piece in ("[CLS]", "[SEP]", "the", "dog", "cat")}
    assert set(smaller.most_used(predictor, texts, 5)) == expected
    bits = smaller.word_bits(predictor, list(expected), 4)
    assert set(np.flatnonzero(bits == 8)) == expected and set(np.delete(bits, list(expected))) == {4}


def test_hugging_face_folders_have_it_beside_the_whole_one(predictor, tmp_path, capsys):
    table = tmp_path / "texts.csv"
    table.write_text(
        "text\n" + "\n".join(f'"{text} {number}"' for number, text in enumerate(["the cat", "bread", "a saw"] * 9))
    )
    folder = halfbert.export(predictor.folder, "huggingface", tmp_path / "hf", smaller=True, texts=table)
    assert "words in 8 bits, the others in 2: 100.00% of 6 decisions equal to keras" in capsys.readouterr().out
    graphs = {file.name: file.stat().st_size for file in (folder / "onnx").iterdir()}
    assert graphs.keys() == {"model.onnx", "model_quantized.onnx"} and graphs["model_quantized.onnx"] < graphs["model.onnx"]
    ids = np.array([[2, 5, 3]])
    sessions = (onnxruntime.InferenceSession(folder / "onnx" / name) for name in graphs)
    one, other = (session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0] for session in sessions)
    np.testing.assert_allclose(one, other, atol=0.5)


def test_mistakes_are_one_line(predictor, tmp_path, capsys):
    table = tmp_path / "texts.csv"
    table.write_text("text\nthe cat\n")

    def refused(line, *words):
        arguments = ["export", predictor.folder, "--to", "huggingface", "--output", tmp_path / "hf", *words]
        assert command.main([*map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {line}") and error.count("\n") == 1 and not (tmp_path / "hf").exists()

    refused("--smaller: needs --texts, a table of texts of the kind to answer; labels are not needed", "--smaller")
    refused("--texts: only with --to litert or --smaller", "--texts", table)
    refused("--allow-disagreement: only with --smaller", "--allow-disagreement")
    refused("1 text: expected 10 at least, of the kind that are to be answered", "--smaller", "--texts", table)

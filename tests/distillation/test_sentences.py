"""distill.py --objective embedding: what is learnt from plain texts, what is read, kept and continued."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from support import VOCABULARY, end_here, example_rows, record_of, train_here, write_csv

from halfbert.distillation import corpus
from halfbert.options import DistillOptions
from halfbert.system.console import Stopped
from halfbert.system.errors import InputError

OBJECTIVE = ("--objective", "embedding")


@pytest.fixture(autouse=True)
def _small(monkeypatch, here):
    monkeypatch.setenv("HALFBERT_CACHE", str(here.parent / "cache"))
    monkeypatch.setattr(corpus, "ONE_HELD_OUT_OF", 10)
    monkeypatch.setattr(corpus, "TEXTS_AT_A_TIME", 64)


def sentences(number: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = [word for word in VOCABULARY if word.isalpha()]
    return [" ".join(rng.choice(words, rng.integers(4, 12))) for _ in range(number)]


def write_lines(path, texts):
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def texts(here):
    """A folder of plain texts, a table among them, and a probe."""
    folder = here / "texts"
    folder.mkdir()
    write_lines(folder / "a.txt", [*sentences(300), "", "  "])
    write_csv(folder / "b.csv", [(text,) for text in sentences(200, seed=1)], ("text",))
    (folder / "README.md").write_text("not a text\n")
    write_csv(here / "probe.csv", example_rows(60))
    return folder


def teach(texts, bert, here, *more, output="general"):
    how = ("--texts", texts, "--teacher", bert, "--probe", here / "probe.csv", "--batch-tokens", "256", "--lr", "0.01")
    said = train_here(*OBJECTIVE, *how, *more, "--output", output, script="distill")
    return json.loads((here / output / "distillation.json").read_text()), here / output, said


def test_the_first_token_learns_what_the_teacher_says_of_the_text(texts, tiny_bert, here, monkeypatch, tensorflow_ready):
    from halfbert.distillation import sentence_fit

    monkeypatch.setattr(sentence_fit, "ROUND_TOKENS", 6000)
    record, folder, said = teach(texts, tiny_bert, here, "--keep", "1", "--tokens", "24000", "--weight-mean", "0.5")
    before, after = record["before"], record["rounds"][record["best_round"] - 1]
    assert after["val_first"] < 0.6 * before["val_first"] and after["val_mean"] < before["val_mean"]
    assert len(record["rounds"]) == 4 and record["rounds"][-1]["tokens"] == 24000
    assert {"train_first", "train_mean", "train_similarity", "val_probe_accuracy"} <= set(after)
    assert [file["name"] for file in record["data"]["files"]] == ["a.txt", "b.csv"]
    assert record["data"]["texts"] == 500 and 20 < record["data"]["held_out"] < 90 and "held-out texts" in said

    source, made = load_file(tiny_bert / "model.safetensors"), load_file(folder / "model.safetensors")
    assert np.array_equal(made["distilbert.embeddings.word_embeddings.weight"], source["embeddings.word_embeddings.weight"])
    assert not np.array_equal(
        made["distilbert.transformer.layer.0.ffn.lin1.weight"], source["encoder.layer.0.intermediate.dense.weight"]
    )
    table = write_csv(here / "things.csv", example_rows(60))
    how = ("--train", table, "--epochs", "1", "--lr", "1e-9", "--head", "random")
    train_here("--model", "distilbert", "--checkpoint", folder, *how, "--output", "fine", "--results", "results/fine")
    assert record_of(here / "results" / "fine")["test"]


def test_a_bert_is_taught_in_its_last_layers(texts, tiny_bert, here, tensorflow_ready):
    record, folder, _ = teach(texts, tiny_bert, here, "--model", "bert", "--trained-layers", "1")
    source, made = load_file(tiny_bert / "model.safetensors"), load_file(folder / "model.safetensors")
    differing = {name for name in source if not np.array_equal(source[name], made[name])}
    assert differing and all(name.startswith("encoder.layer.1.") for name in differing), differing
    assert record["trained_layers"] == 1 and record["layers"] is None


def test_an_interrupted_fit_is_continued_to_the_same_student(texts, tiny_bert, here, monkeypatch, tensorflow_ready):
    from halfbert.distillation import sentence_fit
    from halfbert.training.resuming import SavedFit

    monkeypatch.setattr(sentence_fit, "ROUND_TOKENS", 6000)
    how = ("--tokens", "24000", "--keep", "1")
    whole, folder, _ = teach(texts, tiny_bert, here, *how, output="whole")
    expected, after_epoch = load_file(folder / "model.safetensors"), SavedFit.save_after_epoch

    def killed_after_two(self, model, best):
        self.save(model, best)
        if len(best.rows) == 2:
            raise KeyboardInterrupt  # nothing after it runs, as after a kill

    monkeypatch.setattr(SavedFit, "save_after_epoch", killed_after_two)
    with pytest.raises((KeyboardInterrupt, Stopped)):
        teach(texts, tiny_bert, here, *how, output="continued")
    assert not (here / "continued").exists()
    monkeypatch.setattr(SavedFit, "save_after_epoch", after_epoch)
    record, folder, said = teach(texts, tiny_bert, here, *how, output="continued")
    assert "resuming after" in said and len(record["rounds"]) == 4 and record["steps"] == whole["steps"]
    assert record["before"] == whole["before"]
    for name, value in load_file(folder / "model.safetensors").items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)
    assert record["rounds"][-1]["val_loss"] == pytest.approx(whole["rounds"][-1]["val_loss"], rel=1e-4)
    assert not list((here.parent / "cache" / "fits").rglob("*.npz"))  # of no more use


def read(here, texts, embed, maxlen=32):
    options = DistillOptions(teacher="x", objective="embedding", texts=[str(texts)], output=here / "x")

    class Teacher:
        weights_sha256, config = "0", {"hidden_size": 4}

    def tokenizer(text, verbose):
        return {"input_ids": [1, *(len(word) for word in text.split()), 2]}

    return corpus.read(options, Teacher, tokenizer, maxlen, lambda some: ("counted", embed))[0]


def test_a_corpus_is_embedded_once_and_goes_on_after_a_kill(here, texts):
    calls = []

    def embed(encoded):
        calls.append(len(encoded.lengths))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.tile(encoded.lengths[:, None], 4).astype(np.float32)

    with pytest.raises(KeyboardInterrupt):
        read(here, texts, embed)
    (folder,) = (path for path in (here.parent / "cache" / "embeddings").iterdir() if path.is_dir())
    with (folder / "ids").open("ab") as stream:
        stream.write(b"half")  # written, and not yet in the state
    first = read(here, texts, embed)
    assert sum(calls) == 500 + calls[2] and len(first.held_out) == 500
    assert np.array_equal(first.embeddings[:, 0], first.encoded.lengths)
    number = len(calls)
    again = read(here, texts, embed)
    assert len(calls) == number and np.array_equal(again.encoded.ids, first.encoded.ids)
    with (folder / "embeddings").open("r+b") as stream:
        stream.truncate(100)  # damaged: all is made again
    assert np.array_equal(read(here, texts, embed).embeddings, first.embeddings) and len(calls) > number


def test_equal_texts_count_once_and_are_held_out_in_every_file(here):
    some = sentences(200)
    one = read(here, write_lines(here / "one.txt", some), lambda encoded: np.ones((len(encoded.lengths), 4)))
    two = read(
        here, write_lines(here / "two.txt", [text.upper() for text in some] + some), lambda e: np.ones((len(e.lengths), 4))
    )
    assert len(one.held_out) == 200 and np.array_equal(one.held_out, two.held_out) and 5 < one.held_out.sum() < 50


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"one\n\xfftwo\n", "line 2 is not utf-8 text"), (b"one\ntwo\n", "too few"), (None, "cannot be read")],
)
def test_files_that_cannot_be_used(here, content, message):
    file = here / "texts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(here, file, lambda encoded: np.ones((len(encoded.lengths), 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give the texts with --texts"),
        (("--texts", "a.txt", "--output", "x", "--train", "a.csv"), "--train has no effect with --objective embedding"),
        (("--texts", "a.txt", "--output", "x", "--epochs", "2"), "--epochs has no effect with --objective embedding"),
        (("--texts", "a.txt", "--output", "x", "--temperature", "3"), "--temperature has no effect"),
        (
            ("--texts", "a.txt", "--output", "x", "--weight-first=0", "--weight-similarity=0"),
            "nothing is learnt",
        ),
        (("--texts", "a.txt", "--output", "x", "--trained-layers", "3"), "--trained-layers 3: the student has 1"),
        (("--texts", "a.txt", "--output", "x", "--keep", "9"), "--keep 9: the teacher has layers 0 to 1"),
        (("--texts", "empty", "--output", "x"), "no file in that folder"),
    ],
)
def test_options_that_do_not_fit(here, tiny_bert, capsys, arguments, message):
    (here / "empty").mkdir()
    write_lines(here / "a.txt", sentences(50))
    code = end_here(*OBJECTIVE, "--teacher", tiny_bert, *arguments, script="distill")
    assert code == 2 and message in capsys.readouterr().err and not (here / "x").exists()


def test_options_of_embedding_say_so_elsewhere(here, tiny_bert, capsys):
    code = end_here("--teacher", tiny_bert, "--texts", "a.txt", script="distill")
    assert code == 2 and "--texts has no effect with --objective task" in capsys.readouterr().err


@pytest.mark.parametrize("bits", [None, 8])
def test_engines_embed_as_keras_does(tiny_bert, tensorflow_ready, bits):
    import transformers

    from halfbert.distillation import sentence_teacher
    from halfbert.models import batching, onnx_graph
    from halfbert.models.checkpoints import find
    from halfbert.models.weights import read_checkpoint
    from halfbert.predictor.engines import onnx

    teacher = find("bert", str(tiny_bert))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    encoded, _ = batching.encode(tokenizer, sentences(40), None)
    expected = sentence_teacher._keras(teacher, "cpu")(encoded)
    stock = transformers.TFBertModel.from_pretrained(tiny_bert)
    ids, mask = encoded.padded(np.arange(40))
    states = np.asarray(stock(ids, attention_mask=mask)[0]) * mask[..., None]
    means = states.sum(axis=1) / np.linalg.norm(states.sum(axis=1), axis=1, keepdims=True)
    np.testing.assert_allclose(expected, means, atol=1e-5)
    session = onnx.open_session(onnx_graph.write(read_checkpoint(tiny_bert), bits, "embedding"), 1)
    found = onnx.forward_of(session)(ids, mask)
    np.testing.assert_allclose(found, expected, atol=1e-5 if bits is None else 0.05)
    name, embed = sentence_teacher.choose(teacher, tokenizer, "cpu", 1, sentences(40))
    assert name in ("keras", "onnx", "onnx-int8") and np.sum(embed(encoded) * expected, axis=1).mean() > 0.99

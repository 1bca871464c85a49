"""The file for LiteRT: the runtime answers from it as the predictor does, and any reader of zip archives finds the rest."""

import json
import os
import zipfile

import numpy as np
import pytest
import tiny_predictors
from support import LABELS, VOCABULARY, write_csv
from tiny_predictors import MAXLEN, TEXTS, THRESHOLDS

import halfbert
from halfbert.cli import command
from halfbert.options.exporting import FORMS
from halfbert.predictor.engines import litert as runtime

TOLERANCES = {"float32": 1e-5, "float16": 5e-3, "int8": 0.15}


@pytest.fixture
def texts(tmp_path):
    return write_csv(tmp_path / "texts.csv", [(text,) for text in TEXTS if text.strip() and "\0" not in text], ("text",))


@pytest.mark.parametrize("form", FORMS)
def test_the_runtime_answers_from_the_file(tensorflow_ready, tmp_path, texts, form, capsys):
    folder = tiny_predictors.copy("distilbert", "multilabel", tmp_path / "predictor")
    output = halfbert.export(folder, "litert", tmp_path / "queues.tflite", form=form, texts=texts)
    assert f"\n{form}: " in "\n" + capsys.readouterr().out
    classifier = tiny_predictors.load(folder)
    found = classifier.with_forward(runtime.forward_of(str(output), 1)).predict_proba(TEXTS)
    np.testing.assert_allclose(found, classifier.predict_proba(TEXTS), atol=TOLERANCES[form])
    with zipfile.ZipFile(output) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
    assert files.keys() == {"answers.json", "labels.txt", "vocab.txt"}
    assert files["labels.txt"].split("\n") == list(LABELS) and files["vocab.txt"].split("\n") == VOCABULARY
    answers = json.loads(files["answers.json"])
    assert (answers["thresholds"], answers["maxlen"]) == (THRESHOLDS, MAXLEN)


def test_mistakes_are_one_line_and_leave_nothing(tensorflow_ready, tmp_path, capsys, monkeypatch):
    folder = tiny_predictors.copy("bert", "multiclass", tmp_path / "predictor")
    there, empty = tmp_path / "there.tflite", write_csv(tmp_path / "empty.csv", [], ("text",))
    there.write_text("mine")

    def refused(code, line, *words, output=tmp_path / "new.tflite"):
        assert command.main(["export", *map(str, (folder, "--output", output, *words))]) == code
        assert line in (err := capsys.readouterr().err) and err.count("\n") == 1

    refused(2, "--form: only with --to litert", "--to", "huggingface", "--form", "int8")
    refused(2, "already exists; --overwrite replaces it", "--to", "litert", output=there)
    refused(2, "is a folder; a file is written", "--to", "litert", "--overwrite", output=tmp_path)
    refused(2, "empty.csv", "--to", "litert", "--texts", empty)
    monkeypatch.setattr(runtime, "convert", lambda *_: b"x" * 100)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device", "disk")))
    refused(4, "the disk is full", "--to", "litert")
    assert sorted(os.listdir(tmp_path)) == ["empty.csv", "predictor", "there.tflite"] and there.read_text() == "mine"

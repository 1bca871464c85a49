"""A page is whole, and as it was checked, or not there."""

import errno
import os

import pytest
import tiny_predictors
from support import write_csv

import halfbert
from halfbert.cli import command
from halfbert.export.web import checking, pages, runtime
from halfbert.models import onnx_storage


@pytest.fixture
def folder(tmp_path):
    return tiny_predictors.copy("distilbert", "multiclass", tmp_path / "predictor")


def refused(capsys, code, line, *words):
    assert command.main(["export", *map(str, words)]) == code
    err = capsys.readouterr().err
    assert err.startswith(f"error: {line}") and err.count("\n") == 1


def test_the_runtime_is_the_published_one():
    readme = (runtime.FOLDER / "README.md").read_text()
    assert runtime.VERSION in readme
    for name in runtime.SHA256:
        assert runtime.read(name)
        assert name in (runtime.LICENCE, runtime.NOTICES) or f"| `{name}` | `{runtime.SHA256[name]}` |" in readme


def test_an_altered_runtime_is_refused(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(runtime.SHA256, runtime.WASM, "0" * 64)
    monkeypatch.setattr(pages, "_runtime", pages._runtime.__wrapped__)
    line = f"{runtime.file_of(runtime.WASM)}: altered or damaged; install halfbert again"
    refused(capsys, 3, line, folder, "--to", "web", "--output", tmp_path / "page")
    assert os.listdir(tmp_path) == ["predictor"]


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 15, bytes(range(256)) * 5000], ids=len)
def test_bytes_come_back_from_letters(content):
    bits = "".join(f"{ord(letter) - 0x800:015b}" for letter in pages.letters(content))
    assert int("1" + bits[: 8 * len(content)], 2).to_bytes(len(content) + 1, "big")[1:] == content
    assert len(bits) - 8 * len(content) < 120


def test_a_checked_export_says_what_it_came_to(chromium, folder, tmp_path, capsys):
    output = tmp_path / "one.html"
    assert halfbert.export(folder, "web", output, single_file=True, check=True) == output
    checked, written = capsys.readouterr().out.splitlines()
    assert checked.startswith("checked in Chromium ") and " on 1,000 texts in many scripts: token ids are equal; " in checked
    assert written.startswith(f"written: {output}, 4.")
    assert sorted(os.listdir(tmp_path)) == ["one.html", "predictor"]


def test_a_smaller_page_answers_as_its_graph(chromium, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(onnx_storage, "FEWEST_VALUES", 64)
    texts = write_csv(
        tmp_path / "texts.csv", [(f"{text} {number}",) for text in ("the cat", "bread") for number in range(9)], ("text",)
    )
    whole, small = (
        halfbert.export(folder, "web", tmp_path / name, check=True, smaller=smaller, texts=texts if smaller else None)
        for name, smaller in (("whole", False), ("small", True))
    )
    lines = capsys.readouterr().out.splitlines()
    assert "words in 8 bits, the others in 2: 100.00% of 4 decisions equal to keras" in lines[2]
    assert lines[3].startswith("checked in Chromium ") and " on 1,000 texts in many scripts: token ids are equal; " in lines[3]
    assert (small / pages.MODEL).stat().st_size < (whole / pages.MODEL).stat().st_size


def test_a_page_that_answers_otherwise_is_not_kept(chromium, folder, tmp_path, capsys, monkeypatch):
    files = pages.files
    told = ("probabilities(logits) {", "probabilities(logits) { logits = logits.map((each) => -each);")
    monkeypatch.setattr(pages, "_asset", lambda name, asset=pages._asset: asset(name).replace(*told))
    refused(capsys, 3, "--check: ", folder, "--to", "web", "--output", tmp_path / "page", "--check")
    assert os.listdir(tmp_path) == ["predictor"]
    monkeypatch.undo()
    monkeypatch.setattr(pages, "files", lambda *given: {**files(*given), pages.MODEL: b"broken"})
    refused(capsys, 3, "--check: the page fails in Chromium (", folder, "--to", "web", "--output", tmp_path / "page", "--check")
    assert os.listdir(tmp_path) == ["predictor"]


def test_a_check_without_a_browser_says_what_installs_it(folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("playwright")
    words = (folder, "--to", "web", "--output", tmp_path / "page", "--check")
    monkeypatch.setattr(checking.shutil, "which", lambda name: "/no/chromium")
    refused(capsys, 4, "--check: no Chromium starts here (", *words)
    monkeypatch.setattr(checking.importlib.util, "find_spec", lambda name: None if name == "playwright" else True)
    install = "pip install playwright && playwright install chromium"
    refused(capsys, 4, f"--check: needs playwright and Chromium, not installed here ({install})", *words)
    assert os.listdir(tmp_path) == ["predictor"]


def test_what_is_there_stays(folder, tmp_path, capsys, monkeypatch):
    there = tmp_path / "there.html"
    there.write_text("mine")
    refused(capsys, 2, f"--output {there}: already exists", folder, "--to", "web", "--output", there, "--single-file")
    refused(capsys, 2, f"--output {there}:", folder, "--to", "web", "--output", there)
    refused(capsys, 2, "--check: only with --to web", folder, "--to", "huggingface", "--output", tmp_path / "hf", "--check")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "model.js")

    monkeypatch.setattr(pages, "files", full)
    refused(capsys, 4, "the disk is full", folder, "--to", "web", "--output", there, "--single-file", "--overwrite")
    assert there.read_text() == "mine" and sorted(os.listdir(tmp_path)) == ["predictor", "there.html"]


def test_another_tokenizer_is_refused(folder, tmp_path, capsys):
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"BertPreTokenizer"', '"Whitespace"'))
    tiny_predictors.sign(folder)
    refused(capsys, 2, f"{tokenizer}: the page reads BERT's WordPiece", folder, "--to", "web", "--output", tmp_path / "page")
    assert os.listdir(tmp_path) == ["predictor"]

"""The folder for Hugging Face's libraries: transformers and ONNX Runtime answer from it as the predictor does."""

import json

import numpy as np
import onnxruntime
import pytest
import tiny_predictors
from support import LABELS
from tiny_predictors import MAXLEN, TEXTS, THRESHOLDS
from tokenizers import Tokenizer

import halfbert
from halfbert.models.batching import encode
from halfbert.scoring.probabilities import probabilities_of
from halfbert.scoring.review import RISKS

KINDS = [("distilbert", "multiclass"), ("bert", "multilabel")]


@pytest.fixture(params=KINDS, ids="-".join)
def exported(request, tmp_path):
    """The expected probabilities of TEXTS, the task, and the exported folder."""
    kind, task = request.param
    folder = tiny_predictors.copy(kind, task, tmp_path / "predictor")
    return tiny_predictors.load(folder).predict_proba(TEXTS), task, halfbert.export(folder, "huggingface", tmp_path / "hf")


def test_transformers_answers_from_it_as_the_predictor(exported):
    torch = pytest.importorskip("torch", reason="transformers reads safetensors with PyTorch, which is not installed")
    import transformers

    expected, task, folder = exported
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        tokens = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")  # no length is given: it is the folder's
        logits = model(**tokens).logits.numpy()
    assert np.abs(probabilities_of(logits, task) - expected).max() < 1e-4
    assert model.config.id2label == dict(enumerate(LABELS))
    answer = transformers.pipeline("text-classification", str(folder), top_k=None)(TEXTS[0], truncation=True)
    assert {each["label"]: each["score"] for each in answer} == pytest.approx(
        dict(zip(LABELS, expected[0], strict=True)), abs=1e-4
    )


def test_onnx_runtime_answers_from_it_with_the_inputs_that_these_libraries_give(exported):
    expected, task, folder = exported
    encoded, _ = encode(Tokenizer.from_file(str(folder / "tokenizer.json")), TEXTS, MAXLEN)
    ids, mask = encoded.padded(np.arange(len(TEXTS)))
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    (logits,) = session.run(None, {"input_ids": ids.astype(np.int64), "attention_mask": mask.astype(np.int64)})
    np.testing.assert_allclose(probabilities_of(logits, task), expected, atol=1e-5)


def test_it_holds_what_the_libraries_look_for(exported):
    _, task, folder = exported
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert names == {
        *("README.md", "config.json", "model.safetensors", "onnx/model.onnx", "answers.json"),
        *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"),
    }
    config, settings = (json.loads((folder / name).read_text()) for name in ("config.json", "tokenizer_config.json"))
    assert config["architectures"][0].endswith("ForSequenceClassification") and settings["model_max_length"] == MAXLEN
    assert config["problem_type"] == {"multiclass": "single", "multilabel": "multi"}[task] + "_label_classification"
    answers = json.loads((folder / "answers.json").read_text())
    assert (answers["labels"], answers["maxlen"], answers["tokenizer"]["lowercase"]) == (list(LABELS), MAXLEN, True)
    assert answers["thresholds"] == (THRESHOLDS if task == "multilabel" else None)
    modes = {(folder / name).stat().st_mode & 0o777 for name in names}
    assert len(modes) == 1  # safetensors' own writer lets nobody else read its file


def test_the_card_says_how_to_load_it_and_what_transformers_does_not_know(tmp_path):
    folder = tiny_predictors.copy("bert", "multilabel", tmp_path / "predictor")
    held_out = {risk: {"scores": "1.000", "losses": "0"} for risk in RISKS["multilabel"]}
    stated = {"rows": 9, "platt": [[1, 0]] * 3, "held_out": held_out}
    (folder / "README.md").write_text(
        "---\nlibrary_name: ktrain\n---\n\n# queues\n\nA ktrain predictor that gives a text any number of 3 labels.\n\n"
        "## How to load it\n\nktrain executes the pickle.\n\n## Limits\n\nThe scores hold.\n"
    )
    tiny_predictors.sign(folder)
    tiny_predictors.change_manifest(
        folder, calibration=stated, long="windows", pooling={"name": "max"}, text_columns=["title", "body"]
    )
    card = (halfbert.export(folder, "huggingface", tmp_path / "hf") / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n---\n\n# queues\n\nA classifier that gives a text any number")
    assert 'pipeline("text-classification", "hf")("a text", truncation=True, top_k=None)' in card
    assert card.endswith("\n## Limits\n\nThe scores hold.\n") and "ktrain" not in card
    for said in (
        "from its threshold in `answers.json`",
        "by `platt`",
        f"reads the first {MAXLEN} tokens",
        "columns by `[SEP]`",
    ):
        assert said in card

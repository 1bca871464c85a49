"""halfbert.load: usage, folders and files that it refuses."""

import json
import os
import pickle

import numpy as np
import pytest
import tiny_predictors
from support import LABELS
from tiny_predictors import TEXTS, change_manifest, load, sign

import halfbert
from halfbert.models import weights
from halfbert.predictor import manifest
from halfbert.system.errors import ArtefactError, InputError, ResourceError

RISING = {risk: {"scores": "1 2", "losses": "0 0"} for risk in ("false-discovery", "false-negative")}


def refused(folder, *said, error=ArtefactError, **keywords):
    with pytest.raises(error) as caught:
        load(folder, **keywords)
    assert all(part in str(caught.value) for part in said), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"engine": "../onnx"}, r"'../onnx': not known; the engines are auto, ktrain, .*torch$"),
        ({"engine": "ONNX"}, "did you mean 'onnx'"),
        ({"engine": " onnx_int8 "}, "did you mean 'onnx-int8'"),
        ({"engine": "Auto"}, "did you mean 'auto'"),
        ({"engine": None}, "engine None: not known"),
        ({"engine": ["onnx"]}, r"engine \['onnx'\]: not known"),
        ({"device": "cuda"}, "'cuda'"),
        ({"threads": 0}, "threads 0"),
        ({"threads": "2"}, "threads '2'"),
    ],
)
def test_usage(tmp_path, keywords, said):
    with pytest.raises(InputError, match=said):
        halfbert.load(tmp_path, **keywords)


def test_no_folder(tmp_path):
    refused(tmp_path / "nowhere", "no such folder", error=InputError)
    refused(tmp_path, "halfbert.json is missing")


@pytest.mark.parametrize("name", [*manifest.REQUIRED, "vocab.txt", "tf_model.preproc", "README.md"])
def test_a_file_that_is_altered_truncated_or_missing(folder, name):
    file = folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(folder, name, "altered or damaged")
    os.truncate(file, len(content) // 2)
    refused(folder, name, "altered or damaged")
    file.unlink()
    refused(folder, name, "is missing")


def test_names_and_links_that_lead_outside(folder):
    files, config = json.loads((folder / manifest.MANIFEST).read_text())["files"], folder / "config.json"
    outside = config.rename(folder.parent / "outside")
    config.symlink_to(outside)
    refused(folder, "config.json", "a link that leads outside")
    config.unlink()
    config.symlink_to("config.json")
    refused(folder, "config.json")
    for name in ("../outside", "/etc/hostname", "a/../../outside", "C:\\x", "..\\outside", ""):
        change_manifest(folder, files={name: "0" * 64, **files})
        refused(folder, "leads outside the folder", repr(name))


def test_a_manifest_or_a_tokenizer_that_is_none(folder):
    from tokenizers import Tokenizer

    file = folder / manifest.TOKENIZER
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.add_tokens(["unheard"])
    tokenizer.save(str(file))
    sign(folder)
    refused(folder, manifest.TOKENIZER, "tokens, the model")
    for content in (b"", b"{}", b'{"version": "1.0"}'):
        file.write_bytes(content)
        sign(folder)
        refused(folder, manifest.TOKENIZER, "cannot be read")
    for content in (b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000):
        (folder / manifest.MANIFEST).write_bytes(content)
        refused(folder, manifest.MANIFEST)


INCOMPLETE_POOLINGS = (
    *(None, {"name": "attention"}),
    *({"name": "attention", "sharpness": sharpness} for sharpness in (-1.0, float("nan"), float("inf"))),
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(({"format_version": version}, f"format version {version!r}") for version in (0, 2, "1", None)),
        *(({"files": files}, "") for files in (None, [], {}, {"config.json": 3}, {"config.json": "0" * 64})),
        ({"task": "regression"}, "the task is 'regression'"),
        ({"task": ["multilabel"]}, "$.task"),
        ({"task": "multiclass"}, "config.json says 'multi_label_classification'"),
        ({"labels": ["food", "animal", "tool"]}, "not those of config.json"),
        ({"labels": ["animal", "food"]}, "not those of config.json"),
        ({"labels": []}, "names no labels"),
        ({"labels": "aft"}, "$.labels"),
        ({"labels": [0, 1, 2]}, "$.labels[0]"),
        ({"maxlen": 2}, "maxlen is 2"),
        ({"maxlen": 513}, "maxlen is 513"),
        *(({"maxlen": value}, "$.maxlen") for value in (True, None)),
        ({"long": "window"}, "$.long"),
        ({"long": "windows", "pooling": {"name": "sum"}}, "$.pooling.name"),
        *(({"long": "windows", "pooling": found}, "expected how windows are pooled") for found in INCOMPLETE_POOLINGS),
        ({"data": {"files": 3}}, "$.data.files"),
        ({"agreement": {"onnx": {"rows": 100, "equal_decisions": "1.0"}}}, "$.agreement"),
        *(({"thresholds": value}, "from 0 to 1 for each of the 3 labels") for value in (None, [], [0.5])),
        *(({"thresholds": [0.5, 0.5, value]}, "a threshold from 0 to 1") for value in (1.1, -0.1, float("nan"))),
        *(({"thresholds": [0.5, 0.5, value]}, "$.thresholds[2]") for value in ("0.5", None)),
        ({"calibration": {"rows": 9, "platt": [[1, 0]]}}, "calibration is damaged (expected slope and offset of each label)"),
        ({"calibration": {"rows": 9, "platt": [[1, 0]] * 3}}, "expected scores by false-discovery and false-negative"),
        ({"calibration": {"rows": 9, "platt": [[1, "0"]] * 3}}, "$.calibration.platt[0]"),
        ({"calibration": {"rows": 9, "platt": [[1, 0]] * 3, "held_out": RISING}}, "falling scores"),
    ],
)
def test_claims_that_do_not_fit(tmp_path, changes, said):
    folder = tiny_predictors.copy("distilbert", "multilabel", tmp_path / "predictor")
    change_manifest(folder, **changes)
    refused(folder, manifest.MANIFEST, said)


@pytest.mark.parametrize("engine", ["onnx", "keras", "ktrain"])
def test_signed_weights_with_nan_or_without_a_head(folder, engine):
    """transformers would go on with a random one."""
    import h5py

    with h5py.File(folder / weights.WEIGHTS, "a") as file:
        file[f"classifier/{next(iter(file['classifier']))}/classifier/bias:0"][0] = np.nan
    sign(folder)
    refused(folder, "classifier.bias", engine=engine)
    with h5py.File(folder / weights.WEIGHTS, "a") as file:
        del file["classifier"]
    sign(folder)
    refused(folder, "/classifier is missing", engine=engine)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8", "keras"])
def test_no_pickle_is_read(folder, engine, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder / "tf_model.preproc").write_bytes(pickle.dumps(Malicious()))
    sign(folder)
    assert load(folder, engine).predict("the old cat") in LABELS
    assert os.listdir() == [folder.name]


def test_what_the_manifest_does_not_name_is_not_taken(folder, tmp_path):
    """Neither a pickle nor other weights beside the predictor's, which transformers would prefer."""
    before = load(folder, "keras").predict_proba(TEXTS)
    other = weights.read(folder)
    other.weights["classifier.bias"][:] = [-50, 50, -50]
    weights.export_safetensors(other, tmp_path / "other")
    os.replace(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    for engine in ("keras", "onnx"):
        np.testing.assert_allclose(load(folder, engine).predict_proba(TEXTS), before, atol=1e-5)
    refused(folder, "model.safetensors", "not named in the manifest", engine="ktrain")
    files = json.loads((folder / manifest.MANIFEST).read_text())["files"]
    change_manifest(folder, files={name: digest for name, digest in files.items() if name != "tf_model.preproc"})
    refused(folder, "tf_model.preproc", "not unpickled", engine="ktrain")


@pytest.mark.parametrize(("engine", "package"), [("onnx", "onnxruntime"), ("onnx-int8", "onnxruntime"), ("torch", "torch")])
def test_what_an_engine_needs_is_missing(folder, engine, package, monkeypatch):
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find_spec(name, *rest))
    refused(folder, f"engine {engine}", f"needs {package}, not installed", "pip install", engine=engine, error=ResourceError)


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8", "keras"])
def test_a_gpu_that_is_not_there(folder, engine):
    refused(folder, "GPU", engine=engine, device="gpu", error=ResourceError)


def test_threads_are_the_engines_and_the_tokenizers(folder, monkeypatch):
    import onnxruntime

    seen, session = [], onnxruntime.InferenceSession

    def watched(graph, options, **keywords):
        seen.append(options.intra_op_num_threads)
        return session(graph, options, **keywords)

    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    load(folder, threads=1)
    assert os.environ["RAYON_NUM_THREADS"] == "1"
    load(folder)
    assert seen == [1, len(os.sched_getaffinity(0))]

"""halfbert.load: what it answers, and folders that it refuses."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tiny_predictors
from support import LABELS, ROOT, script_environment
from tiny_predictors import MAXLEN, TASKS, TEXTS

import halfbert
from halfbert.models import batching, weights
from halfbert.predictor import classifier, manifest, proving
from halfbert.system.errors import ArtefactError, InputError, ResourceError


@pytest.fixture
def folder(tmp_path):
    return tiny_predictors.copy("distilbert", "multiclass", tmp_path / "predictor")


@pytest.fixture
def tagged(tmp_path):
    return tiny_predictors.copy("bert", "multilabel", tmp_path / "predictor")


def load(folder, engine="onnx", **keywords):
    return halfbert.load(folder, engine, device="cpu", allow_disagreement=True, **keywords)


class Text(str):
    """A string of another type."""


# What it answers.


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_answers_are_ktrains(tensorflow_ready, kind, task, tmp_path):
    from halfbert.system.tensorflow_setup import import_ktrain

    folder = tiny_predictors.copy(kind, task, tmp_path / "predictor")
    theirs, ours = import_ktrain().load_predictor(str(folder)), load(folder)
    assert ours.get_classes() == theirs.get_classes()
    for texts in (TEXTS, TEXTS[0], TEXTS[:1]):
        for proba in ("predict_proba", "predict"):
            mine, other = getattr(ours, proba)(texts), getattr(theirs, proba)(texts)
            assert type(mine) is type(other)
            if proba == "predict_proba":
                assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
                np.testing.assert_allclose(mine, other, atol=1e-5)
                np.testing.assert_array_equal(ours.predict(texts, return_proba=True), mine)
            elif task == "multiclass":
                assert mine == other
                assert type(mine if isinstance(texts, str) else mine[0]) is str


def test_labels_that_reach_their_threshold(tagged):
    probabilities = load(tagged).predict_proba(TEXTS)
    thresholds = [float(threshold) for threshold in np.quantile(probabilities, [0.3, 0.5, 0.7], axis=0).diagonal()]
    tiny_predictors.change_manifest(tagged, thresholds=thresholds)
    loaded = load(tagged)
    expected = [[label for label, p, t in zip(LABELS, row, thresholds, strict=True) if p >= t] for row in probabilities]
    assert loaded.predict(TEXTS) == expected and len({len(labels) for labels in expected}) > 1
    assert loaded.predict(TEXTS[0]) == expected[0]
    tiny_predictors.change_manifest(tagged, thresholds=[0.0, 1.0, 0.0])
    assert load(tagged).predict(TEXTS[:2]) == [["animal", "tool"]] * 2


def test_a_probability_at_its_threshold_reaches_it(tagged):
    answered = load(tagged).predict_proba("the old cat")
    tiny_predictors.change_manifest(tagged, thresholds=[float(p) for p in answered])
    assert load(tagged).predict("the old cat") == list(LABELS)


def test_token_ids_are_those_of_training(folder):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs, _ = batching.encode(tokenizer, TEXTS, MAXLEN)
    ours = load(folder).encode(TEXTS)
    for name in ("ids", "starts", "full_lengths"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.ids.dtype == np.int32 and ours.lengths.max() == MAXLEN


def test_stored_truncation_and_padding_of_the_tokenizer_are_not_taken(folder):
    """The packaged checkpoint's tokenizer.json asks for padding to 128."""
    from tokenizers import Tokenizer

    before = load(folder).encode(TEXTS)
    file = folder / manifest.TOKENIZER
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_padding(length=30)
    tokenizer.enable_truncation(5)
    tokenizer.save(str(file))
    tiny_predictors.sign(folder)
    np.testing.assert_array_equal(load(folder).encode(TEXTS).ids, before.ids)


def test_cut_texts_are_counted(folder):
    loaded = load(folder)
    assert loaded.texts_cut is None
    loaded.predict(TEXTS)
    assert loaded.texts_cut == 2
    loaded.predict("short")
    assert loaded.texts_cut == 0


def test_nothing_to_answer(folder, tagged=None):
    loaded = load(folder)
    for nothing in ([], (), np.array([], dtype=str), iter(())):
        assert loaded.predict(nothing) == []
    assert loaded.predict_proba([]).shape == (0, len(LABELS)) and loaded.predict_proba([]).dtype == np.float32


def test_any_kind_of_list(folder):
    import pandas as pd
    import pyarrow as pa

    loaded, few = load(folder), TEXTS[:4]
    expected = loaded.predict(few)
    series = [pd.Series(few, index=[9, 8, 7, 6], dtype=dtype) for dtype in (object, "string", pd.ArrowDtype(pa.string()))]
    arrays = [np.array(few, dtype) for dtype in (str, object, np.dtypes.StringDType())]
    arrays += [pa.array(few), pa.chunked_array([few])]
    table = pd.DataFrame({"text": [*few, "other"], "kept": [True] * 4 + [False]})
    others = [tuple(few), iter(few), (text for text in few), dict.fromkeys(few).keys(), list(map(Text, few)), pd.Index(few)]
    for texts in (*series, *(one.array for one in series), *arrays, *others, table[table["kept"]]["text"]):
        assert loaded.predict(texts) == expected
    assert loaded.predict(Text("bread")) == loaded.predict(np.str_("bread")) == loaded.predict("bread")
    assert len(loaded.predict(("the cat", "the dog"))) == 2  # no pair of sentences


@pytest.mark.parametrize(
    ("value", "hint"), [(None, "drop missing"), (float("nan"), "drop missing"), (3, ""), (b"cat", ""), (("the", "cat"), "")]
)
def test_what_is_no_text_among_others(folder, value, hint):
    with pytest.raises(InputError, match=f"text 2 of 3 is of type {type(value).__name__}, expected a string.*{hint}"):
        load(folder).predict(["cat", value, "dog"])


def test_what_is_neither_a_text_nor_many():
    import pandas as pd
    import pyarrow as pa

    table = pd.DataFrame({"id": [1, 2], "text": ["cat", "dog"]})
    refused = [
        (table, r"DataFrame of the columns \['id', 'text'\].*name a column"),
        (table[["text"]], "name a column"),
        (pa.table({"text": ["cat"]}), r"Table of the columns \['text'\].*name a column"),
        ({"text": "cat"}, r"dict of the keys \['text'\].*pass one of its values"),
        (b"cat", "bytes.*decode it"),
        ({"cat", "dog"}, "set: has no order"),
        (np.array([["cat", "dog"]]), "ndarray of 2 dimensions"),
        (np.array("cat"), "ndarray of 0 dimensions"),
        ([["cat"], ["dog"]], "text 1 of 2 is of type list"),
        (pd.Series(["cat", pd.NA], dtype="string"), "text 2 of 2 is of type NAType.*drop missing"),
        *((value, "expected a text, or a list, Series or array") for value in (None, float("nan"), 5, pd.NA, object(), str)),
    ]
    for given, said in refused:
        with pytest.raises(InputError, match=said) as caught:
            classifier.read_texts(given)
        assert "\n" not in str(caught.value)


def test_errors_of_what_gives_the_texts_are_not_hidden():
    def texts():
        yield "cat"
        raise TypeError("of the caller")

    with pytest.raises(TypeError, match="of the caller"):
        classifier.read_texts(texts())


def test_half_of_a_surrogate_pair(folder):
    loaded = load(folder)
    assert loaded.predict(["cat", "cat \ud83d", "dog"]) == loaded.predict(["cat", "cat ?", "dog"])


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8", "keras"])
def test_the_answer_hangs_neither_on_order_nor_on_company(folder, engine, monkeypatch):
    loaded = load(folder, engine)
    together = loaded.predict_proba(TEXTS)
    np.testing.assert_allclose(np.array([loaded.predict_proba(text) for text in TEXTS]), together, atol=2e-6)
    np.testing.assert_allclose(loaded.predict_proba(TEXTS[::-1]), together[::-1], atol=2e-6)


def test_long_lists_go_through_in_parts(folder, monkeypatch):
    loaded = load(folder)
    texts = [f"{text} {word}" for text in TEXTS for word in ("cat", "saw", "soup")]
    whole, cut = loaded.predict_proba(texts), loaded.texts_cut
    tokens, encode = [], loaded.encode
    monkeypatch.setattr(loaded, "encode", lambda texts: tokens.append(len(texts)) or encode(texts))
    monkeypatch.setattr(classifier, "TEXTS_AT_A_TIME", 10)
    np.testing.assert_allclose(loaded.predict_proba(texts), whole, atol=2e-6)
    assert tokens == [10, 10, 10, 3] and loaded.texts_cut == cut


def test_progress_counts_texts_where_there_are_many(folder, monkeypatch):
    shown = []

    def progress(items, total, label):
        shown.append((total, label))
        yield from items

    monkeypatch.setattr(batching.console, "progress", progress)
    loaded = load(folder)
    loaded.predict(TEXTS)
    assert shown == []
    loaded.predict(TEXTS * 10)
    assert shown == [(len(TEXTS) * 10, "predicting")]


# What it costs.

# What the base install lacks, and a process in which it is missing.
NOT_IN_BASE = "tensorflow tf_keras ktrain transformers torch pandas pyarrow scipy sklearn matplotlib huggingface_hub"
BASE_INSTALL = """
import importlib.machinery, sys
_, folder, engine, allow, *missing = sys.argv
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = lambda name, *more: None if name.split(".")[0] in missing else find(name, *more)
import halfbert
assert "numpy" not in sys.modules
from halfbert.system.errors import HalfbertError
try:
    loaded = halfbert.load(folder, engine, allow_disagreement=allow == "allow")
    print(loaded.engine, loaded.predict("the old cat"))
except HalfbertError as error:
    print(error)
"""


def in_base_install(folder, engine, allow=False, also_missing=()) -> str:
    arguments = [str(folder), engine, "allow" if allow else "", *NOT_IN_BASE.split(), "safetensors", *also_missing]
    command = [sys.executable, "-c", BASE_INSTALL, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=script_environment())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8"])
def test_the_onnx_engines_need_the_base_install_alone(folder, engine):
    """Also to make the graph; `onnx`, which writes it, is needed only then."""
    for also_missing in ([], ["onnx", "h5py"]):
        name, label = in_base_install(folder, engine, allow=True, also_missing=also_missing).split()
        assert name == engine and label in LABELS


def test_the_engine_chosen_automatically_in_the_base_install(folder):
    said = in_base_install(folder, "auto")
    assert "no engine can answer: keras needs tensorflow" in said and "pip install 'halfbert[train]'" in said
    assert "engine='onnx-int8' and allow_disagreement" in said and "\n" not in said
    proving.prove(folder, TEXTS, engine_names=["onnx"])
    assert in_base_install(folder, "auto").split()[0] == "onnx"
    tiny_predictors.change_manifest(folder, agreement={})
    assert "needs tensorflow" in in_base_install(folder, "keras")


def test_only_what_is_there():
    with pytest.raises(AttributeError, match="lod"):
        halfbert.lod  # noqa: B018


# What it refuses.


def refused(folder, *said, error=ArtefactError, **keywords):
    with pytest.raises(error) as caught:
        load(folder, **keywords)
    assert all(part in str(caught.value) for part in said), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"engine": "tflite"}, "'tflite'"),
        ({"engine": "../onnx"}, r"not known; the engines are auto, ktrain, .*torch$"),
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
def test_usage(folder, keywords, said):
    with pytest.raises(InputError, match=said):
        halfbert.load(folder, **keywords)


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


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_none(folder, content):
    (folder / manifest.MANIFEST).write_bytes(content)
    refused(folder, manifest.MANIFEST)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../outside", "C:\\x", "..\\outside", ""])
def test_names_that_lead_outside(folder, name):
    (folder.parent / "outside").write_text("x")
    files = json.loads((folder / manifest.MANIFEST).read_text())["files"]
    tiny_predictors.change_manifest(folder, files={name: "0" * 64, **files})
    refused(folder, "leads outside the folder", repr(name))


def test_links_that_lead_outside(folder):
    outside = folder.parent / "outside"
    os.replace(folder / "config.json", outside)
    (folder / "config.json").symlink_to(outside)
    refused(folder, "config.json", "a link that leads outside")


def test_a_link_to_itself(folder):
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("config.json")
    refused(folder, "config.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(({"format_version": version}, f"format version {version!r}") for version in (0, 2, "1", None)),
        *(({"files": files}, "") for files in (None, [], {}, {"config.json": 3}, {"config.json": "0" * 64})),
        ({"task": "regression"}, "the task is 'regression'"),
        ({"task": ["multiclass"]}, "$.task"),
        ({"task": "multilabel"}, "config.json says 'single_label_classification'"),
        ({"labels": ["food", "animal", "tool"]}, "not those of config.json"),
        ({"labels": ["animal", "food"]}, "not those of config.json"),
        ({"labels": []}, "names no labels"),
        ({"labels": "aft"}, "$.labels"),
        ({"labels": [0, 1, 2]}, "$.labels[0]"),
        ({"maxlen": 2}, "maxlen is 2"),
        ({"maxlen": 513}, "maxlen is 513"),
        ({"maxlen": True}, "$.maxlen"),
        ({"maxlen": None}, "$.maxlen"),
        ({"data": {"files": 3}}, "$.data.files"),
    ],
)
def test_claims_that_do_not_fit(folder, changes, said):
    tiny_predictors.change_manifest(folder, **changes)
    refused(folder, manifest.MANIFEST, said)


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        *((value, "from 0 to 1 for each of the 3 labels") for value in (None, [], [0.5], [0.5, 0.5, 1.1], [0.5, 0.5, -0.1])),
        *(([0.5, 0.5, value], "$.thresholds[2]") for value in ("0.5", None)),
        ([0.5, 0.5, float("nan")], "a threshold from 0 to 1"),
    ],
)
def test_thresholds_that_do_not_fit(tagged, thresholds, said):
    tiny_predictors.change_manifest(tagged, thresholds=thresholds)
    refused(tagged, manifest.MANIFEST, said)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": "1.0"}'])
def test_a_tokenizer_that_is_none(folder, content):
    (folder / manifest.TOKENIZER).write_bytes(content)
    tiny_predictors.sign(folder)
    refused(folder, manifest.TOKENIZER, "cannot be read")


def test_a_tokenizer_of_more_words_than_the_model(folder):
    from tokenizers import Tokenizer

    file = folder / manifest.TOKENIZER
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.add_tokens(["unheard"])
    tokenizer.save(str(file))
    tiny_predictors.sign(folder)
    refused(folder, manifest.TOKENIZER, "tokens, the model")


@pytest.mark.parametrize("engine", ["onnx", "keras", "ktrain"])
def test_signed_weights_with_nan_or_without_a_head(folder, engine):
    """transformers would go on with a random one."""
    import h5py

    with h5py.File(folder / weights.WEIGHTS, "a") as file:
        file[f"classifier/{next(iter(file['classifier']))}/classifier/bias:0"][0] = np.nan
    tiny_predictors.sign(folder)
    refused(folder, "classifier.bias", engine=engine)
    with h5py.File(folder / weights.WEIGHTS, "a") as file:
        del file["classifier"]
    tiny_predictors.sign(folder)
    refused(folder, "/classifier is missing", engine=engine)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8", "keras"])
def test_no_pickle_is_read(folder, engine):
    (folder / "tf_model.preproc").write_bytes(pickle.dumps(Malicious(folder.parent / "ran")))
    tiny_predictors.sign(folder)
    assert load(folder, engine).predict("the old cat") in LABELS
    assert not (folder.parent / "ran").exists()


def test_ktrain_unpickles_only_what_the_manifest_names(folder):
    files = json.loads((folder / manifest.MANIFEST).read_text())["files"]
    tiny_predictors.change_manifest(folder, files={k: v for k, v in files.items() if k != "tf_model.preproc"})
    refused(folder, "tf_model.preproc", "not unpickled", engine="ktrain")


def planted(folder, tmp_path):
    """Other weights beside the predictor's, which transformers would prefer."""
    other = weights.read(folder)
    other.weights["classifier.bias"][:] = [-50, 50, -50]
    weights.export_safetensors(other, tmp_path / "other")
    os.replace(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")


def test_other_weights_beside_are_not_taken(folder, tmp_path):
    before = load(folder, "keras").predict_proba(TEXTS)
    planted(folder, tmp_path)
    for engine in ("keras", "onnx"):
        np.testing.assert_allclose(load(folder, engine).predict_proba(TEXTS), before, atol=1e-5)
    refused(folder, "model.safetensors", "not named in the manifest", engine="ktrain")


@pytest.mark.parametrize(("engine", "package"), [("onnx", "onnxruntime"), ("onnx-int8", "onnxruntime"), ("torch", "torch")])
def test_what_an_engine_needs_is_missing(folder, engine, package, monkeypatch):
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find_spec(name, *rest))
    refused(folder, f"engine {engine}", f"needs {package}, not installed", "pip install", engine=engine, error=ResourceError)


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8", "keras"])
def test_a_gpu_that_is_not_there(folder, engine):
    with pytest.raises(ResourceError, match="GPU"):
        halfbert.load(folder, engine, device="gpu", allow_disagreement=True)


def test_threads_are_the_engines_and_the_tokenizers(folder, monkeypatch):
    import onnxruntime

    seen, session = [], onnxruntime.InferenceSession

    def watched(graph, options, **keywords):
        seen.append(options.intra_op_num_threads)
        return session(graph, options, **keywords)

    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    load(folder, threads=1)
    assert seen == [1] and os.environ["RAYON_NUM_THREADS"] == "1"
    load(folder)
    assert seen == [1, len(os.sched_getaffinity(0))]

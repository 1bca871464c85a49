"""halfbert.load: what it answers, and what that takes."""

import math

import numpy as np
import pytest
import tiny_predictors
from support import LABELS, run_python
from tiny_predictors import MAXLEN, TASKS, TEXTS, change_manifest, load, sign

from halfbert.models import batching
from halfbert.predictor import classifier, manifest, proving
from halfbert.system.errors import InputError


class Text(str):
    """A string of another type."""


# What it answers.


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_answers_are_ktrains(tensorflow_ready, kind, task, tmp_path):
    from halfbert.system.tensorflow_setup import import_ktrain

    folder = tiny_predictors.copy(kind, task, tmp_path / "predictor")
    ours = load(folder)
    theirs = import_ktrain().load_predictor(str(folder))  # with a graph in the folder
    assert ours.get_classes() == theirs.get_classes()
    for texts in (TEXTS, TEXTS[0], TEXTS[:1]):
        mine, other = ours.predict_proba(texts), theirs.predict_proba(texts)
        assert (type(mine), mine.dtype, mine.shape) == (type(other), other.dtype, other.shape)
        np.testing.assert_allclose(mine, other, atol=1e-5)
        np.testing.assert_array_equal(ours.predict(texts, return_proba=True), mine)
        mine, other = ours.predict(texts), theirs.predict(texts)
        if not isinstance(texts, str):
            other = [answer if text else None for text, answer in zip(texts, other, strict=True)]
        assert type(mine) is type(other)
        if task == "multiclass":
            assert mine == other
            assert type(mine if isinstance(texts, str) else mine[0]) is str


def test_a_predictor_saved_without_calibration_is_as_confident_as_its_network_and_says_so(tmp_path):
    ours = load(tiny_predictors.copy("bert", "multiclass", tmp_path / "predictor"))
    expected = ours.predict_proba(TEXTS).max(axis=1)
    shown = [number for number, text in enumerate(TEXTS) if text]
    np.testing.assert_allclose(ours.confidence(TEXTS)[shown], expected[shown])
    assert type(ours.confidence(TEXTS[0])) is float and ours.confidence(TEXTS[0]) == pytest.approx(expected[0], abs=1e-6)
    reviewed = ours.review(TEXTS)
    assert "not calibrated" in reviewed.line and not reviewed.review.any() and reviewed.answers == ours.predict(TEXTS)
    assert len(ours.confidence([])) == 0
    with pytest.raises(InputError, match="without calibration"):
        ours.review(TEXTS, max_error=0.1)


@pytest.mark.parametrize("task", TASKS)
def test_a_text_that_shows_nothing_has_no_answer(task, tmp_path):
    folder = tiny_predictors.copy("bert", task, tmp_path / "predictor")
    ours, nothing = load(folder), ["", "  \n", "\u200b"]
    for text in nothing:
        assert ours.predict(text) is None and math.isnan(ours.confidence(text))
    answers = ours.predict(["bread", *nothing, "the old cat"])
    assert answers == [ours.predict("bread"), None, None, None, ours.predict("the old cat")]
    reviewed = ours.review(["bread", *nothing])
    assert reviewed.answers == answers[:4] and not reviewed.review.any()
    assert np.isnan(reviewed.confidence).tolist() == [False, True, True, True]
    assert np.isfinite(ours.predict_proba(nothing)).all()  # the network's own
    change_manifest(folder, text_columns=["title", "body"])
    assert load(folder).predict([("", None), ("", "bread")])[0] is None and load(folder).predict(("", "bread")) is not None


def test_labels_that_reach_their_threshold(tmp_path):
    folder = tiny_predictors.copy("bert", "multilabel", tmp_path / "predictor")
    probabilities = load(folder).predict_proba(TEXTS)
    thresholds = [float(threshold) for threshold in np.quantile(probabilities, [0.3, 0.5, 0.7], axis=0).diagonal()]
    change_manifest(folder, thresholds=thresholds)
    loaded = load(folder)
    expected = [[label for label, p, t in zip(LABELS, row, thresholds, strict=True) if p >= t] for row in probabilities]
    expected[TEXTS.index("")] = None
    assert loaded.predict(TEXTS) == expected and len({len(labels) for labels in expected if labels is not None}) > 1
    assert loaded.predict(TEXTS[0]) == expected[0]
    answered = loaded.predict_proba("the old cat")
    for thresholds, labels in (([0.0, 1.0, 0.0], ["animal", "tool"]), ([float(p) for p in answered], list(LABELS))):
        change_manifest(folder, thresholds=thresholds)
        assert load(folder).predict("the old cat") == labels


def test_token_ids_are_those_of_training(folder):
    """Whatever truncation and padding tokenizer.json asks for; the packaged checkpoint's has padding to 128."""
    import transformers
    from tokenizers import Tokenizer

    theirs, _ = batching.encode(transformers.AutoTokenizer.from_pretrained(folder), TEXTS, MAXLEN)
    file = str(folder / manifest.TOKENIZER)
    tokenizer = Tokenizer.from_file(file)
    tokenizer.enable_padding(length=30)
    tokenizer.enable_truncation(5)
    tokenizer.save(file)
    sign(folder)
    ours = load(folder).encode(TEXTS)
    for name in ("ids", "starts", "full_lengths"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.ids.dtype == np.int32 and ours.lengths.max() == MAXLEN


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
    for nothing in ([], (), np.array([], dtype=str), iter(())):
        assert loaded.predict(nothing) == []
    assert loaded.predict_proba([]).shape == (0, len(LABELS)) and loaded.predict_proba([]).dtype == np.float32
    half_of_a_surrogate_pair = "cat \ud83d"
    assert loaded.predict(["cat", half_of_a_surrogate_pair]) == loaded.predict(["cat", "cat ?"])


def test_what_is_neither_a_text_nor_many():
    import pandas as pd
    import pyarrow as pa

    table = pd.DataFrame({"id": [1, 2], "text": ["cat", "dog"]})
    refused = [
        (table, r"DataFrame.*name one of its columns.* \['id', 'text'\]"),
        (table[["text"]], "name one of its columns"),
        (pa.table({"text": ["cat"]}), r"Table.*name one of its columns.* \['text'\]"),
        ({"text": "cat"}, "dict.*pass one of its values"),
        (b"cat", "bytes.*decode it"),
        ({"cat", "dog"}, "set.* has no order"),
        (np.array([["cat", "dog"]]), "ndarray.* 2 dimensions"),
        (np.array("cat"), "ndarray.* 0 dimensions"),
        ([["cat"], ["dog"]], "text 1 of 2 is of type list"),
        (["cat", None, "dog"], "text 2 of 3 is of type NoneType, expected a string; drop missing"),
        (["cat", float("nan"), "dog"], "text 2 of 3 is of type float, expected a string; drop missing"),
        (pd.Series(["cat", pd.NA], dtype="string"), "text 2 of 2 is of type NAType.*drop missing"),
        *((["cat", value], "text 2 of 2 is of type .*expected a string$") for value in (3, b"cat", ("the", "cat"))),
        *((value, "expected a text, or a list, Series or array") for value in (None, float("nan"), 5, pd.NA, object(), str)),
    ]
    for given, said in refused:
        with pytest.raises(InputError, match=said) as caught:
            classifier.read_texts(given)
        assert "\n" not in str(caught.value)

    def texts():
        yield "cat"
        raise TypeError("of the caller")

    with pytest.raises(TypeError, match="of the caller"):
        classifier.read_texts(texts())


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8", "keras"])
def test_the_answer_depends_neither_on_order_nor_on_company(folder, engine):
    loaded = load(folder, engine)
    together = loaded.predict_proba(TEXTS)
    np.testing.assert_allclose(np.array([loaded.predict_proba(text) for text in TEXTS]), together, atol=2e-6)
    np.testing.assert_allclose(loaded.predict_proba(TEXTS[::-1]), together[::-1], atol=2e-6)


def test_long_lists_go_through_in_parts_with_progress_and_cut_texts_are_counted(folder, monkeypatch):
    shown = []
    monkeypatch.setattr(batching.console, "progress", lambda items, total, label: shown.append((total, label)) or items)
    loaded = load(folder)
    texts = [f"{text} {word}" for text in TEXTS for word in ("cat", "saw", "soup")]
    assert loaded.texts_cut is None
    whole = loaded.predict_proba(texts)
    assert loaded.texts_cut == 9
    loaded.predict("short")
    assert loaded.texts_cut == 0
    tokens, encode = [], loaded.encode
    monkeypatch.setattr(loaded, "encode", lambda texts: tokens.append(len(texts)) or encode(texts))
    monkeypatch.setattr(classifier, "TEXTS_AT_A_TIME", 10)
    np.testing.assert_allclose(loaded.predict_proba(texts), whole, atol=2e-6)
    assert tokens == [10, 10, 10, 3] and loaded.texts_cut == 9 and shown == []
    loaded.predict(texts * 2)
    assert shown == [(66, "predicting")]


# What it costs.

# What the base install lacks, and a process in which it is missing.
NOT_IN_BASE = (
    "tensorflow tf_keras ktrain transformers torch pandas pyarrow scipy sklearn matplotlib huggingface_hub safetensors"
)
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


def in_base_install(folder, engine, allow="", also_missing=()) -> str:
    done = run_python("-c", BASE_INSTALL, folder, engine, allow, *NOT_IN_BASE.split(), *also_missing)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("engine", ["onnx", "onnx-int8"])
def test_the_onnx_engines_need_the_base_install_alone(folder, engine):
    """Also to make the graph; `onnx`, which writes it, is needed only then."""
    for also_missing in ([], ["onnx", "h5py"]):
        name, label = in_base_install(folder, engine, "allow", also_missing).split()
        assert name == engine and label in LABELS


def test_the_engine_chosen_automatically_in_the_base_install(folder):
    said = in_base_install(folder, "auto")
    assert "no engine can answer: keras needs tensorflow" in said and "pip install 'halfbert[train]'" in said
    assert "engine='onnx-int8' with allow_disagreement=True" in said and "\n" not in said
    proving.prove(folder, TEXTS, engine_names=["onnx"])
    assert in_base_install(folder, "auto").split()[0] == "onnx"
    assert "needs tensorflow" in in_base_install(folder, "keras")

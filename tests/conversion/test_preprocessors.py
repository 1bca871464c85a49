"""ktrain's pickles of many layouts are read, and hostile or damaged ones refused, without unpickling anything."""

import os
import pickle
import random
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from old_predictors import PICKLE, pickled
from sklearn.preprocessing import LabelEncoder

from halfbert.conversion import pickles, preprocessors
from halfbert.system.errors import ArtefactError, HalfbertError, InputError

NAMES = ["good", "bad", "naïve 中"]
STATED = {"c": NAMES, "maxlen": 200, "multilabel": False, "model_name": "bert-base-uncased", "tok_dct": None}
ENCODER = LabelEncoder().fit(NAMES)


@pytest.fixture
def read(tmp_path):
    """Read the content of a pickle."""

    def of(content):
        (tmp_path / PICKLE).write_bytes(content)
        return preprocessors.read(tmp_path / PICKLE)

    return of


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("stated", "labels"),
    [
        ({"c": NAMES}, NAMES),
        ({"c": np.array(NAMES)}, NAMES),
        ({"c": np.array(NAMES, dtype=object)}, NAMES),
        ({"c": [np.str_("a"), np.int64(3)]}, ["a", "3"]),
        ({"c": np.array([4, 5])}, ["4", "5"]),
        ({"c": [0, 1]}, ["0", "1"]),
        ({"c": None, "label_encoder": ENCODER}, sorted(NAMES)),  # the older layout
        ({"c": [], "label_encoder": None}, None),  # regression
    ],
)
def test_class_names_of_every_layout_and_protocol(read, monkeypatch, protocol, stated, labels):
    found = read(pickled(monkeypatch, {**STATED, **stated}, protocol))
    assert (found.labels, found.maxlen, found.multilabel, found.model_name) == (labels, 200, False, "bert-base-uncased")


@pytest.mark.parametrize(
    ("stated", "expected"),
    [({"multilabel": True}, True), ({"multilabel": np.bool_(True)}, True), ({"multilabel": None}, False), ({}, None)],
)
def test_the_task(read, monkeypatch, stated, expected):
    state = {name: value for name, value in STATED.items() if name != "multilabel"}
    assert read(pickled(monkeypatch, {**state, **stated})).multilabel is expected


def test_the_class_of_text_classifier(read, monkeypatch):
    assert read(pickled(monkeypatch, STATED, name="DistilBertPreprocessor")).kind == "DistilBertPreprocessor"


def test_another_kind_of_predictor_is_the_users_mistake(read, monkeypatch):
    with pytest.raises(InputError, match=r"holds a ktrain\.text\.preprocessor\.BERTPreprocessor; only predictors of"):
        read(pickled(monkeypatch, STATED, name="BERTPreprocessor"))


class Calls:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def hostile(victim):
    return {
        "os.system": Calls(os.system, f"touch {victim}"),
        "eval": Calls(eval, f"open({str(victim)!r}, 'w')"),
        "getattr": Calls(getattr, SimpleNamespace, "__init__"),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["os.system", "eval", "getattr"])
@pytest.mark.parametrize("within", [False, True], ids=["alone", "in an attribute"])
def test_a_pickle_that_would_call_something_is_refused_by_name(read, monkeypatch, tmp_path, protocol, name, within):
    call = hostile(tmp_path / "victim")[name]
    content = pickled(monkeypatch, {**STATED, "tok": [call]}, protocol) if within else pickle.dumps(call, protocol)
    refused = "(posix|nt).system" if name == "os.system" else f"builtin(s|__).{name}"
    with pytest.raises(ArtefactError, match=f"as it names _*{refused}; nothing was unpickled"):
        read(content)
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"(S'echo'\nios\nsystem\n.", "names the opcode INST of os system"),
        (b"(cos\nsystem\nS'echo'\no.", "names os.system"),
        (b"\x80\x04\x82\x01.", "names the opcode EXT1"),
        (b"Pwords\n.", "names the opcode PERSID of words"),
        (b"\x80\x02}N(K\x01K\x02eb.", "cannot be read"),
        (b"\x80\x04h\x05.", "KeyError"),
        (b"\x80\x04" + b"N0" * 2**20 + b"N.", "of more than 1,048,576 opcodes"),
        (b"\x80\x04" + b"]" * 2**15 + b".", "of more than 16,384 entries at a time"),
        (b"\x80\x04N" + b"\x85" * 2**19 + b".", "not a ktrain preprocessor's pickle"),
        (b"\x80\x04}N" + b"\x85" * 2**19 + b"Ns.", "a key that is neither text nor number"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.", "cannot be read"),
        (b"\x80\x04]\x94h\x00a.", "not a ktrain preprocessor's pickle"),  # a list that holds itself
        (b"\x80\x04K\x01K\x02.", "does not end in one object"),
        (b"", "cannot be read"),
        (b"PK\x03\x04 a zip file", "cannot be read"),
    ],
)
def test_what_is_no_preprocessor_is_refused(read, content, line):
    with pytest.raises(ArtefactError, match=line):
        read(content)


def test_an_array_that_holds_itself_and_a_number_without_end_are_refused(read, monkeypatch):
    labels = np.empty(1, dtype=object)
    labels[0] = labels
    for state in ({"c": labels}, {"c": [10**5000]}):
        with pytest.raises(ArtefactError, match="a pickle that cannot be read"):
            read(pickled(monkeypatch, {**STATED, **state}))


def test_a_long_name_is_shown_in_one_short_line(read):
    with pytest.raises(ArtefactError) as caught:
        read(b"\x80\x04\x8c\x04a\nbcX" + struct.pack("<I", 2**20) + b"x" * 2**20 + b"\x93.")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_file_that_is_too_large_is_not_read(read, monkeypatch):
    monkeypatch.setattr(pickles, "MOST_BYTES", 100)
    with pytest.raises(ArtefactError, match="of 101 bytes; at most 100 are read"):
        read(b"N" * 101)


def test_a_truncated_pickle_is_refused_wherever_it_ends(read, monkeypatch):
    content = pickled(monkeypatch, {**STATED, "c": np.array(NAMES)})
    for length in range(len(content)):
        with pytest.raises(ArtefactError, match="--labels, --maxlen and --task"):
            read(content[:length])


def test_an_altered_pickle_is_read_or_refused_in_one_line(read, monkeypatch):
    content, rng = pickled(monkeypatch, {**STATED, "c": np.array(NAMES), "label_encoder": ENCODER}), random.Random(0)
    for _ in range(1500):
        altered = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            altered[rng.randrange(len(altered))] = rng.randrange(256)
        try:
            read(bytes(altered))
        except HalfbertError as error:
            assert PICKLE in str(error)

"""What ktrain pickled beside a model, `tf_model.preproc`, read without unpickling it.

The layouts of ktrain 0.20 to 0.41, and the older one that these still accept: class names as list or numpy array, in the
preprocessor or in its LabelEncoder. Source: ktrain/text/preprocessor.py and ktrain/utils.py of these versions.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.conversion import pickles
from halfbert.conversion.pickles import Made, Name
from halfbert.data.phrases import truncated
from halfbert.output.words import one_line
from halfbert.system.errors import ArtefactError, InputError

WITHOUT = "with --labels, --maxlen and --task it is not read"
OF_TRANSFORMERS = ("Transformer", "TransformersPreprocessor", "DistilBertPreprocessor")
# Modules and names, as regular expressions, of what such a pickle holds; Python 2's and numpy's older names as well.
ALLOWED = [
    (r"ktrain\.text\.preprocessor", "|".join(OF_TRANSFORMERS)),
    (r"ktrain\.utils", "YTransform"),
    (r"transformers(\.\w+)*", r"\w+Config|TFAutoModelForSequenceClassification|AutoTokenizer|BertJapaneseTokenizer"),
    (r"transformers(\.\w+)*", r"(Distil)?BertTokenizer(Fast)?"),
    (r"sklearn\.preprocessing\.(_label|label)", "LabelEncoder"),
    (r"numpy\.(core|_core)\.multiarray", "_reconstruct|scalar"),
    (r"numpy\.(core|_core)\.numeric", "_frombuffer"),
    ("numpy", r"ndarray|dtype|str_|bool_|bool|int(32|64)"),
    ("torch", "float32|float16|bfloat16"),
    ("copyreg|copy_reg", "_reconstructor"),
    ("builtins|__builtin__", "object|bytes|bytearray|set|frozenset"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
]
NOT_STATED = object()
DTYPE = re.compile(r"([OUSbiuf])(\d{1,4})")  # b1 is numpy's name of bool here


@dataclass(frozen=True)
class Preprocessor:
    """What a predictor's preprocessor states; None is what it does not."""

    kind: str  # ktrain's class
    labels: list[str] | None
    maxlen: int | None
    multilabel: bool | None
    model_name: str | None


def read(file: Path) -> Preprocessor:
    """Read a `tf_model.preproc`.

    Raises ArtefactError if it is missing or damaged, or would construct what a text classifier has no use for (nothing is
    constructed); InputError if it is another kind of ktrain's predictors.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ArtefactError(f"{file}: cannot be read ({error.strerror}); {WITHOUT}") from error
    try:
        root = pickles.read(content, _allowed)
    except pickles.Refused as refused:
        name = truncated(one_line(str(refused)))
        if name.startswith("ktrain."):
            raise InputError(
                f"{file}: holds a {name}; only predictors of ktrain's Transformer, and of "
                "text_classifier('distilbert'), are converted"
            ) from None
        raise ArtefactError(
            f"{file}: not a ktrain preprocessor's pickle, as it names {name}; nothing was unpickled, and {WITHOUT}"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ArtefactError(f"{file}: a pickle that cannot be read ({error}); {WITHOUT}") from error
    if not isinstance(root, Made) or _class_of(root).module != "ktrain.text.preprocessor" or not isinstance(root.state, dict):
        raise ArtefactError(f"{file}: not a ktrain preprocessor's pickle; {WITHOUT}")
    try:
        return _stated(root, file)
    except (RecursionError, ValueError) as error:  # an array that holds itself, a number without end
        raise ArtefactError(f"{file}: a pickle that cannot be read ({error}); {WITHOUT}") from error


def _stated(root: Made, file: Path) -> Preprocessor:
    state = root.state
    maxlen, model_name = _plain(state.get("maxlen")), _plain(state.get("model_name"))
    multilabel = state.get("multilabel", NOT_STATED)
    multilabel = False if multilabel is None else _plain(multilabel)  # as ktrain takes it when it builds the model
    return Preprocessor(
        kind=_class_of(root).name,
        labels=_labels(state, file),
        maxlen=maxlen if type(maxlen) is int else None,
        multilabel=multilabel if type(multilabel) is bool else None,
        model_name=model_name if isinstance(model_name, str) else None,
    )


def _allowed(name: Name) -> bool:
    return any(re.fullmatch(module, name.module) and re.fullmatch(names, name.name) for module, names in ALLOWED)


def _class_of(made: Made) -> Name:
    """The class of an object, also where copyreg would reconstruct it (protocols 0 and 1)."""
    if made.of == Name("copyreg", "_reconstructor") or made.of == Name("copy_reg", "_reconstructor"):
        made = Made(made.arguments[0] if made.arguments else None, [])
    return made.of if isinstance(made.of, Name) else Name("", "")


def _labels(state: dict[Any, Any], file: Path) -> list[str] | None:
    """The class names: those of the preprocessor, else those of what transformed its labels; None if there are none."""
    transform = _state(state.get("ytransform"))
    encoders = (_state(state.get("label_encoder")), _state(transform.get("le")))
    for found in (state.get("c"), transform.get("c"), *(encoder.get("classes_") for encoder in encoders)):
        values = _plain(found)
        if isinstance(values, list) and values:
            if all(isinstance(value, str | int | float) for value in values):
                return [str(value) for value in values]
            raise ArtefactError(f"{file}: class names that are neither text nor numbers; give --labels")
    return None


def _state(value: Any) -> dict[Any, Any]:
    return value.state if isinstance(value, Made) and isinstance(value.state, dict) else {}


def _plain(value: Any) -> Any:
    """The value of a numpy array of one dimension, as a list of plain values, or of a numpy scalar; others as they are.

    None for an array or scalar of another kind, or whose bytes do not fit it.
    """
    if isinstance(value, list):
        return [_plain(item) if isinstance(item, Made) else item for item in value]
    if not isinstance(value, Made) or not isinstance(value.of, Name):
        return value
    try:
        if value.of.name == "scalar":
            kind, content = value.arguments
            found = _values(kind, content, 1)
            return found[0] if found else None
        if value.of.name == "_reconstruct":
            _, shape, kind, _, content = value.state
        else:  # _frombuffer, of protocol 5
            content, kind, shape, _ = value.arguments
        return _values(kind, content, shape[0]) if len(shape) == 1 and type(shape[0]) is int else None
    except (TypeError, ValueError, IndexError):
        return None


def _values(kind: Any, content: Any, count: int) -> list[Any] | None:
    """So many values of a numpy type in (little- or big-endian) bytes, or the objects themselves."""
    if not isinstance(kind, Made) or kind.of != Name("numpy", "dtype") or not isinstance(kind.arguments[0], str):
        return None
    code = DTYPE.fullmatch(kind.arguments[0])
    if code is None:
        return None
    if code[1] == "O":
        return _plain(content) if isinstance(content, list) and len(content) == count else None
    order = kind.state[1] if isinstance(kind.state, list) and kind.state[1] in ("<", ">", "|", "=") else "|"
    content = _bytes(content)
    dtype = np.dtype("?" if code[1] == "b" else f"{order}{code[1]}{code[2]}")
    if dtype.itemsize == 0 or len(content) != count * dtype.itemsize:
        return None
    values = np.frombuffer(content, dtype).tolist()
    return [item.decode() if isinstance(item, bytes) else item for item in values]


def _bytes(content: Any) -> bytes:
    """Bytes, which pickles of protocol 2 write as a text to be encoded."""
    if isinstance(content, Made) and content.of == Name("_codecs", "encode"):
        text, encoding = content.arguments
        content = text.encode(encoding) if encoding == "latin1" else b""
    return bytes(content) if isinstance(content, bytes | bytearray) else b""

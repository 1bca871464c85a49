"""What is set before TensorFlow is imported, what is said of the machine, and what a library may say on standard error."""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import run_python

from halfbert.system import machine, tensorflow_setup


def python(code: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess:
    """Python code in a process of its own, which can import the project."""
    return run_python("-c", f"import sys\n{code}", *arguments, **changes)


HELD_BACK = """
import os
from halfbert.system import tensorflow_setup
from halfbert.system.console import Stopped
print("before", file=sys.stderr)
try:
    with tensorflow_setup._standard_error_held_back():
        os.write(2, b"from C++\\n")
        print("from Python", file=sys.stderr)
        if sys.argv[1] == "fails":
            raise ImportError("not to be loaded")
        if sys.argv[1] == "is stopped":
            raise Stopped(2)
except (ImportError, Stopped):
    pass
os.write(2, b"after\\n")
"""


def test_chatter_is_held_back_unless_loading_fails(monkeypatch):
    for end in ("succeeds", "is stopped"):
        assert python(HELD_BACK, end).stderr == "before\nafter\n"
    first, *lines, last = python(HELD_BACK, "fails").stderr.splitlines()
    assert (first, last) == ("before", "after") and sorted(lines) == ["from C++", "from Python"]
    monkeypatch.setattr(sys, "__stderr__", None)
    with tensorflow_setup._standard_error_held_back():  # there is none
        pass


def test_versions(tmp_path, monkeypatch):
    packages = ("tensorflow", "tf_keras", "ktrain", "transformers", "numpy", "pandas", "scikit-learn")
    found = machine.versions()
    assert {name: found[name] for name in packages} == {name: importlib.metadata.version(name) for name in packages}
    assert found["python"] == platform.python_version()
    # onnxruntime-gpu brings the package onnxruntime; import names stand in for any such pair.
    folder = tmp_path / "thing_gpu-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: thing-gpu\nVersion: 1.2\n")
    (folder / "top_level.txt").write_text("thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(machine, "PACKAGES", ("thing", "a-package-that-is-not-installed"))
    machine._distributions.cache_clear()
    assert machine.versions() == {"python": platform.python_version(), "thing": "1.2"}
    machine._distributions.cache_clear()


def test_hardware():
    found = machine.hardware()
    json.dumps(found)
    assert found["cpu"] and 1 <= found["cpus"] <= os.cpu_count()
    assert platform.system() in found["system"]
    if sys.platform == "linux":
        total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
        assert found["memory_bytes"] == pytest.approx(total, rel=0.01)
        flags = Path("/proc/cpuinfo").read_text().split("\n\n")[0].split()
        assert found["vector_extensions"] == [name for name in machine.VECTOR_EXTENSIONS if name in flags]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_only_the_processors_that_may_be_used_are_counted():
    code = (
        "import os\nos.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\nfrom halfbert.system import machine\n"
        "print(machine.available_cpus(), machine.hardware()['cpus'])"
    )
    assert python(code).stdout == "1 1\n"


@pytest.mark.parametrize(
    ("processor", "extensions"),
    [({}, []), ({"brand_raw": "A Chip", "flags": ["avx2", "avx512vnni"]}, ["avx2", "avx512_vnni"])],  # unknown; Windows' names
)
def test_a_machine_that_is_not_linux(processor, extensions, monkeypatch):
    monkeypatch.setattr(machine, "_processor", lambda: processor)
    found = machine.hardware()
    assert found["vector_extensions"] == extensions and found["cpu"] == processor.get("brand_raw", found["cpu"]) != ""


def test_an_unknown_machine_is_asked_once_and_help_never_asks():
    code = (
        "from halfbert.system import machine\nassert not {'cpuinfo', 'psutil'} & set(sys.modules)\n"
        "from cpuinfo import cpuinfo\ncalls = []\ncpuinfo._get_cpu_info_from_proc_cpuinfo = dict\n"
        "cpuinfo.get_cpu_info = lambda: calls.append(1) or {'brand_raw': 'A Chip'}\n"
        "print(machine.hardware()['cpu'], machine.hardware()['cpu'], len(calls))"
    )
    assert python(code).stdout == "A Chip A Chip 1\n"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("bert", "bert"),
        ("here/a.csv", "here/a.csv"),
        ("/home/me/a.csv", "a.csv"),
        ("--train=/home/me/a.csv", "--train=a.csv"),
        ("--label-separator=/", "--label-separator=/"),
        (f"{machine.PROJECT}/data/a.csv", "data/a.csv"),
        (f"--train={machine.PROJECT}/data/a.csv", "--train=data/a.csv"),
    ],
)
def test_paths_are_shared_without_their_folders(given, shown):
    assert machine.shareable(given) == shown


def test_another_verb_is_run_as_this_process_was(tmp_path, monkeypatch):
    script = tmp_path / "train_multiclass.py"
    for name in ("train_multiclass.py", "compare.py"):
        (tmp_path / name).touch()
    monkeypatch.setattr("sys.argv", [str(script)])
    monkeypatch.setattr(machine, "PROJECT", tmp_path.resolve())
    assert machine.command_line("compare", ["--train=a.csv"]) == f"python {tmp_path / 'compare.py'} --train=a.csv"
    for called in ("halfbert", "halfbert.train_multiclass", "another_script.py"):
        monkeypatch.setattr("sys.argv", [called])
        for installed, first in ((None, "python -m halfbert"), ("/bin/halfbert", "halfbert")):
            monkeypatch.setattr("shutil.which", lambda _, installed=installed: installed)
            assert machine.command_line("compare", []) == f"{first} compare"
    quoted = machine.command_line("compare", ["--train=my table.csv"])
    assert "my table.csv" in quoted and quoted[-1] in "'\""


def test_describe(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train_multiclass.py", "--model", "bert"])
    found = machine.describe("cpu", 2, "float32", 7)
    json.dumps(vars(found))
    assert found.command == ["train_multiclass.py", "--model", "bert"]
    assert (found.device, found.threads, found.precision, found.seed) == ("cpu", 2, "float32", 7)
    assert found.commit == machine.commit() and found.versions == machine.versions() and found.hardware == machine.hardware()
    assert machine.describe("cpu", None, "float32", 7).threads == machine.available_cpus()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "PROJECT", tmp_path)
    assert machine.commit() is None  # no checkout

    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        return subprocess.check_output(["git", *identity, *arguments], cwd=tmp_path, text=True).strip()

    git("init")
    assert machine.commit() is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "first")
    (tmp_path / "untracked").touch()
    head = git("rev-parse", "HEAD")
    assert machine.commit() == head
    (tmp_path / "a").write_text("2")
    assert machine.commit() == head + "+changes"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.commit() is None  # no git


# In a process of its own, since settings of TensorFlow can be made once only.
PREPARE = """
import importlib.metadata, os, random
import numpy as np
import pytest
from halfbert.system import machine
from halfbert.system.errors import InputError, ResourceError
from halfbert.system.tensorflow_setup import global_settings_kept, import_ktrain, prepare, strategy
assert not {"tensorflow", "transformers", "ktrain"} & set(sys.modules)

def refused(error, *stated, **settings):
    with pytest.raises(error) as caught:
        prepare(**settings)
    assert len(str(caught.value).splitlines()) == 1
    assert all(words in str(caught.value) for words in stated), caught.value

assert prepare(device="cpu", threads=1, seed=5) == "cpu"
import tensorflow as tf
from tensorflow.python.framework import config
numbers = [float(tf.random.uniform([])), np.random.random(), random.random()]
assert (tf.config.threading.get_intra_op_parallelism_threads(), os.environ["RAYON_NUM_THREADS"]) == (1, "1")
assert tf.keras.layers.Dense.__module__.startswith("tf_keras.")  # Keras 3 would say keras.
refused(ResourceError, "--device gpu", "--device cpu", device="gpu")  # never a silent CPU
refused(ResourceError, "--device tpu", "--device cpu", device="tpu")
assert prepare(device="auto", seed=5) == "cpu"
assert [float(tf.random.uniform([])), np.random.random(), random.random()] == numbers
refused(InputError, "--threads 2", "1 threads in this process; restart", device="cpu", threads=2)
assert prepare(device="cpu", threads=1) == "cpu"

def state():
    return tf.keras.mixed_precision.global_policy().name, config.is_op_determinism_enabled()

with global_settings_kept():
    assert prepare(device="cpu", precision="mixed_bfloat16", deterministic=True) == "cpu"
    assert state() == ("mixed_bfloat16", True)
assert state() == ("float32", False)
refused(InputError, "--precision mixed_float16", "mixed_bfloat16", device="cpu", precision="mixed_float16")
assert state() == ("float32", False)
assert import_ktrain().__version__ == importlib.metadata.version("ktrain") and np.Inf == np.inf
assert type(strategy("cpu")).__name__ == "_DefaultDistributionStrategy" and machine.hardware()["gpus"] == []
"""


@pytest.mark.slow
def test_prepare():
    done = python(PREPARE, CUDA_VISIBLE_DEVICES="-1")
    assert (done.returncode, done.stderr) == (0, "")  # no chatter
    assert set(done.stdout.splitlines()) == {"TensorFlow keeps the number of threads that it started with in this process: 1"}


BEFORE = """
import tensorflow as tf
exec(sys.argv[1])
from halfbert.system import tensorflow_setup
from halfbert.system.errors import InputError
try:
    print(tensorflow_setup.prepare(device="cpu"), tf.keras.__name__)
except InputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("used", "outcome"),
    [
        ("tf.constant(1) + 1", r"cpu tf_keras\S+"),
        ("tf.keras.layers.Dense", r"Keras 3 is loaded .* restart Python .* halfbert before .*"),
    ],
)
def test_a_tensorflow_that_was_imported_before(used, outcome):
    assert re.fullmatch(outcome, python(BEFORE, used, CUDA_VISIBLE_DEVICES="-1").stdout.splitlines()[-1])

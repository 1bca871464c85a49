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
from support import ROOT, example_rows, run_script, script_environment, write_csv

from halfbert.system import machine, tensorflow_setup


def python(code: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess:
    """Python code in a process of its own, which can import the project."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}", *arguments],
        env=script_environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
    )


# Standard error.


HELD_BACK = """
import os
from halfbert.system import machine
from halfbert.system import tensorflow_setup
print("before", file=sys.stderr)
try:
    with tensorflow_setup._standard_error_held_back():
        os.write(2, b"from C++\\n")
        print("from Python", file=sys.stderr)
        if sys.argv[1] == "fails":
            raise ImportError("not to be loaded")
except ImportError:
    pass
os.write(2, b"after\\n")
"""


def test_chatter_is_held_back():
    assert python(HELD_BACK, "succeeds").stderr == "before\nafter\n"


def test_chatter_is_shown_when_loading_fails():
    lines = python(HELD_BACK, "fails").stderr.splitlines()
    assert sorted(lines) == sorted(["before", "from C++", "from Python", "after"])
    assert lines[0] == "before" and lines[-1] == "after"


def test_without_a_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "__stderr__", None)
    with tensorflow_setup._standard_error_held_back():
        pass


# The machine and the software.


def test_versions():
    found = machine.versions()
    assert found["python"] == platform.python_version()
    for package in ("tensorflow", "tf_keras", "ktrain", "transformers", "numpy", "pandas", "scikit-learn"):
        assert found[package] == importlib.metadata.version(package)


def test_versions_leave_out_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "a-package-that-is-not-installed"))
    assert set(machine.versions()) == {"python", "numpy"}


def test_a_package_by_another_name(tmp_path, monkeypatch):
    """onnxruntime-gpu brings the package onnxruntime; import names stand in for any such pair."""
    for file, content in {"METADATA": "Name: thing-gpu\nVersion: 1.2\n", "top_level.txt": "thing\n"}.items():
        (tmp_path / "thing_gpu-1.2.dist-info").mkdir(exist_ok=True)
        (tmp_path / "thing_gpu-1.2.dist-info" / file).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    machine._distributions.cache_clear()
    assert machine.version_of("thing") == "1.2" and machine.version_of("nothing") is None
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


def test_an_unknown_machine_is_asked_once_and_help_never_asks(monkeypatch):
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


def test_describe(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train_multiclass.py", "--model", "bert"])
    found = machine.describe("cpu", 2, "float32", 7)
    json.dumps(found)
    assert found["command"] == ["train_multiclass.py", "--model", "bert"]
    assert (found["device"], found["threads"], found["precision"], found["seed"]) == ("cpu", 2, "float32", 7)
    assert set(found) >= {"commit", "versions", "hardware"}
    assert machine.describe("cpu", None, "float32", 7)["threads"] == machine.available_cpus()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "PROJECT", tmp_path)
    assert machine.commit() is None  # no checkout

    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    assert machine.commit() is None  # no commit yet
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert machine.commit() == head
    (tmp_path / "untracked").touch()
    assert machine.commit() == head
    (tmp_path / "a").write_text("2")
    assert machine.commit() == head + "+changes"


def test_a_checkout_without_git(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(machine, "PROJECT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.commit() is None


# TensorFlow, in a process of its own: its settings can be made once only.


PREPARE = """
import json, os, time
from halfbert.system import machine
from halfbert.system import tensorflow_setup
from halfbert.system.errors import HalfbertError
found = {"loaded before": [name for name in ("tensorflow", "transformers", "ktrain") if name in sys.modules]}

def outcome(**settings):
    began = time.monotonic()
    try:
        return [tensorflow_setup.prepare(**settings), None, time.monotonic() - began]
    except HalfbertError as error:
        return [error.exit_code, str(error), time.monotonic() - began]

found["cpu"] = outcome(device="cpu", threads=1, seed=5)
import numpy as np
import tensorflow as tf
found["random"] = [float(tf.random.uniform([])), float(np.random.random())]
found["threads"] = [tf.config.threading.get_intra_op_parallelism_threads(), os.environ["RAYON_NUM_THREADS"]]
found["keras"] = tf.keras.layers.Dense.__module__
found["gpu"] = outcome(device="gpu")
found["tpu"] = outcome(device="tpu")
found["auto"] = outcome(device="auto", seed=5)
found["random again"] = [float(tf.random.uniform([])), float(np.random.random())]
found["other threads"] = outcome(device="cpu", threads=2)
found["same threads"] = outcome(device="cpu", threads=1)
from tensorflow.python.framework import config

def state():
    return [tf.keras.mixed_precision.global_policy().name, config.is_op_determinism_enabled()]

with tensorflow_setup.global_settings_kept():
    outcome(device="cpu", precision="mixed_bfloat16", deterministic=True)
    found["kept"] = [state()]
found["kept"].append(state())
found["float16"] = outcome(device="cpu", precision="mixed_float16")
found["policy"] = tf.keras.mixed_precision.global_policy().name
found["bfloat16"] = outcome(device="cpu", precision="mixed_bfloat16")
found["policy of bfloat16"] = tf.keras.mixed_precision.global_policy().name
found["ktrain"] = tensorflow_setup.import_ktrain().__version__
found["np.Inf"] = float(np.Inf) == float("inf")
found["strategy"] = type(tensorflow_setup.strategy("cpu")).__name__
found["gpus"] = machine.hardware()["gpus"]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def prepared() -> dict:
    done = python(PREPARE, CUDA_VISIBLE_DEVICES="-1")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no chatter
    *notes, found = done.stdout.splitlines()
    assert set(notes) == {"TensorFlow keeps the number of threads that it started with in this process: 1"}
    return json.loads(found)


@pytest.mark.slow
class TestPrepare:
    def test_nothing_is_loaded_before(self, prepared):
        assert prepared["loaded before"] == []

    def test_a_cpu_where_there_is_no_other(self, prepared):
        assert prepared["cpu"][:2] == prepared["auto"][:2] == ["cpu", None]
        assert prepared["gpus"] == []

    def test_threads(self, prepared):
        assert prepared["threads"] == [1, "1"]

    def test_threads_that_can_no_longer_change_are_an_error(self, prepared):
        code, message, _ = prepared["other threads"]
        assert code == 2 and "--threads 2" in message and "1 threads in this process; restart" in message
        assert prepared["same threads"][:2] == ["cpu", None]

    def test_global_settings_are_put_back(self, prepared):
        assert prepared["kept"] == [["mixed_bfloat16", True], ["float32", False]]

    def test_a_seed_repeats(self, prepared):
        assert prepared["random"] == prepared["random again"]

    def test_keras_2(self, prepared):
        assert prepared["keras"].startswith("tf_keras.")  # Keras 3 would say keras.

    @pytest.mark.parametrize("device", ["gpu", "tpu"])
    def test_a_device_that_is_absent_is_never_a_silent_cpu(self, prepared, device):
        code, message, seconds = prepared[device]
        assert code == 4
        assert f"--device {device}" in message and "--device cpu" in message and "\n" not in message
        assert seconds < 20

    def test_half_precision_wants_a_gpu(self, prepared):
        code, message, _ = prepared["float16"]
        assert code == 2 and "--precision mixed_float16" in message and "mixed_bfloat16" in message
        assert prepared["policy"] == "float32"

    def test_brain_floats_do_on_a_cpu(self, prepared):
        assert prepared["bfloat16"][:2] == ["cpu", None] and prepared["policy of bfloat16"] == "mixed_bfloat16"

    def test_ktrain(self, prepared):
        assert prepared["ktrain"] == importlib.metadata.version("ktrain") and prepared["np.Inf"]
        assert prepared["strategy"] == "_DefaultDistributionStrategy"


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


@pytest.mark.slow
@pytest.mark.parametrize(("option", "value", "code"), [("--device", "gpu", 4), ("--precision", "mixed_float16", 2)])
def test_in_the_script(tmp_path, tiny_distilbert, option, value, code):
    (tmp_path / "work").mkdir()
    table = write_csv(tmp_path / "things.csv", example_rows(120))
    done = run_script(
        *("--model", "distilbert", "--checkpoint", tiny_distilbert, "--train", table, option, value),
        cwd=tmp_path / "work",
        CUDA_VISIBLE_DEVICES="-1",
    )
    assert done.returncode == code
    assert done.stderr.count("\n") == 1 and f"{option} {value}" in done.stderr
    assert list((tmp_path / "work").iterdir()) == []  # nothing was written

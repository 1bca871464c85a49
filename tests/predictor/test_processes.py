"""A loaded predictor in other processes: pickled, forked, spawned."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tiny_predictors
from support import ROOT, script_environment
from tiny_predictors import TEXTS

import halfbert
from halfbert.system import forks
from halfbert.system.errors import ArtefactError, InputError, ResourceError

# In a process of its own, as forking this one, which may have TensorFlow in it, could hang.
ELSEWHERE = """
import concurrent.futures, multiprocessing, os, sys
import halfbert

def answer(classifier):
    return classifier.predict("the old cat")

if __name__ == "__main__":
    _, folder, engine, method = sys.argv
    classifier = halfbert.load(folder, engine, "cpu", allow_disagreement=True)
    expected = answer(classifier)
    if method == "os.fork":
        child = os.fork()
        if child == 0:
            classifier.predict(["the cat", "bread"] * 40)
            assert answer(halfbert.load(folder, engine, "cpu", allow_disagreement=True)) == answer(classifier) == expected
            del classifier
            sys.exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    else:
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                assert list(pool.map(answer, [classifier] * 2)) == list(pool.map(classifier.predict, ["the old cat"] * 2))
                assert pool.submit(answer, classifier).result() == expected
            except halfbert.system.errors.HalfbertError as error:
                sys.exit(str(error))
"""


def run(folder, tmp_path, engine, method) -> subprocess.CompletedProcess:
    script = tmp_path / "elsewhere.py"
    script.write_text(ELSEWHERE)
    environment = script_environment(PYTHONPATH=str(ROOT))
    command = [sys.executable, script, folder, engine, method]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)


@pytest.fixture
def folder(tmp_path):
    return tiny_predictors.copy("distilbert", "multiclass", tmp_path / "predictor")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("engine", ["onnx", "onnx-int8"])
@pytest.mark.parametrize("method", ["fork", "os.fork"])
def test_onnx_engines_answer_in_a_forked_process_and_it_ends(folder, tmp_path, engine, method):
    done = run(folder, tmp_path, engine, method)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("engine", ["keras", pytest.param("ktrain", marks=pytest.mark.slow)])
def test_tensorflow_engines_refuse_a_forked_process(folder, tmp_path, engine):
    done = run(folder, tmp_path, engine, "fork")
    assert done.returncode == 1 and "TensorFlow was started before this process was forked" in done.stderr
    assert "'spawn'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("engine", ["onnx", pytest.param("keras", marks=pytest.mark.slow)])
def test_every_engine_answers_in_a_spawned_process(folder, tmp_path, engine):
    done = run(folder, tmp_path, engine, "spawn")
    assert done.returncode == 0, done.stderr


def test_a_pickle_is_a_folder_and_how_to_load_it(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    loaded = halfbert.load(folder.name, "onnx", "cpu", 1, allow_disagreement=True)
    pickled = pickle.dumps(loaded)
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    again = pickle.loads(pickled)
    assert again is pickle.loads(pickled), "a pool sends it with every task; it is loaded once"
    assert (again.engine, again.device, again.get_classes()) == ("onnx", "cpu", loaded.get_classes())
    np.testing.assert_allclose(again.predict_proba(TEXTS), loaded.predict_proba(TEXTS), atol=1e-6)


def test_a_pickle_of_other_weights_or_of_none(folder):
    import h5py

    pickled = pickle.dumps(halfbert.load(folder, "onnx", "cpu", allow_disagreement=True))
    with h5py.File(folder / "tf_model.h5", "a") as file:
        file[f"classifier/{next(iter(file['classifier']))}/classifier/bias:0"][0] += 1
    tiny_predictors.sign(folder)
    with pytest.raises(ArtefactError, match="weights have changed"):
        pickle.loads(pickled).predict("cat")
    folder.rename(folder.with_name("moved"))
    with pytest.raises(InputError, match="no such folder"):
        pickle.loads(pickled).predict("cat")


def test_a_library_belongs_to_the_process_that_used_it_first(monkeypatch):
    monkeypatch.setattr(forks, "_first_used_in", {})
    forks.require_own("a library")
    forks.require_own("a library")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(ResourceError, match="a library was started before"):
        forks.require_own("a library")

"""A loaded predictor in other processes: pickled, forked, spawned."""

import os
import pickle
import re

import numpy as np
import pytest
import tiny_predictors
from support import ROOT, run_python
from tiny_predictors import TEXTS, load

from halfbert.system.errors import ArtefactError, InputError

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


@pytest.mark.parametrize(
    ("engine", "method", "said"),
    [
        *((engine, method, "") for engine in ("onnx", "onnx-int8") for method in ("fork", "os.fork")),
        ("keras", "fork", "TensorFlow was started before this process was forked.*'spawn'"),
        pytest.param("ktrain", "fork", "TensorFlow was started before this process was forked", marks=pytest.mark.slow),
        ("onnx", "spawn", ""),
        pytest.param("keras", "spawn", "", marks=pytest.mark.slow),
    ],
)
def test_a_new_process_answers_or_refuses_and_ends(folder, tmp_path, engine, method, said):
    if method != "spawn" and not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    script = tmp_path / "elsewhere.py"
    script.write_text(ELSEWHERE)
    done = run_python(script, folder, engine, method, PYTHONPATH=str(ROOT))
    assert done.returncode == (1 if said else 0) and "Traceback" not in done.stderr, done.stderr
    assert re.search(said or "^$", done.stderr)


def test_a_pickle_is_a_folder_and_how_to_load_it(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    loaded = load(folder.name, threads=1).with_maxlen(9)
    pickled = pickle.dumps(loaded)
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    again = pickle.loads(pickled)
    assert again is pickle.loads(pickled), "a pool sends it with every task; it is loaded once"
    assert (again.engine, again.device, again.get_classes()) == ("onnx", "cpu", loaded.get_classes())
    np.testing.assert_allclose(again.predict_proba(TEXTS), loaded.predict_proba(TEXTS), atol=1e-6)
    assert again.encode(TEXTS).lengths.max() == 9


def test_a_pickle_of_other_weights_or_of_none(folder):
    import h5py

    pickled = pickle.dumps(load(folder))
    with h5py.File(folder / "tf_model.h5", "a") as file:
        file[f"classifier/{next(iter(file['classifier']))}/classifier/bias:0"][0] += 1
    tiny_predictors.sign(folder)
    with pytest.raises(ArtefactError, match="weights have changed"):
        pickle.loads(pickled).predict("cat")
    folder.rename(folder.with_name("moved"))
    with pytest.raises(InputError, match="no such folder"):
        pickle.loads(pickled).predict("cat")

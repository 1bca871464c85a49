"""A device that is requested and absent ends every script with exit code 4, and with one line that says what to choose."""

import pytest
import tiny_predictors
from support import end_here, example_rows, tagged_rows, write_csv, write_tags

import halfbert

JOBS = ["train_multiclass", "train_multilabel", "distill", "distill embedding", "compare", "benchmark", "predict"]


@pytest.fixture(scope="module", autouse=True)
def _no_accelerator(tensorflow_ready):
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU here")


@pytest.fixture
def words(here, tiny_bert, tiny_distilbert, monkeypatch):
    """The arguments of each script, all of which work on a CPU."""
    monkeypatch.setenv("HALFBERT_CACHE", str(here / "cache"))
    monkeypatch.delenv("TPU_NAME", raising=False)
    things, tags = write_csv(here / "things.csv", example_rows(60)), write_tags(here / "tags.csv", tagged_rows(60))
    predictor = tiny_predictors.copy("bert", "multiclass", here / "predictor")
    trained_on = {"files": [{"role": "train", "name": "x.csv", "sha256": "0" * 64, "rows": 9}], "split_seed": 3}
    tiny_predictors.change_manifest(predictor, data=trained_on, checkpoint={"name": "tiny"})
    start = ("--model", "distilbert", "--checkpoint", tiny_distilbert)
    return {
        "train_multiclass": (*start, "--train", things),
        "train_multilabel": (*start, "--train", tags),
        "distill": ("--teacher", predictor, "--train", things),
        "distill embedding": ("--objective", "embedding", "--teacher", tiny_bert, "--texts", things, "--output", "student"),
        "compare": ("--train", things, "--contestants", f"distilbert={tiny_distilbert},bert={tiny_bert}", "--seeds", "1"),
        "benchmark": (predictor, "--texts", things, "--engines", "keras,onnx", "--quick", "--allow-disagreement"),
        "predict": (predictor, things, "--output", "answers.csv"),
    }


@pytest.mark.parametrize("device", ["gpu", "tpu"])
@pytest.mark.parametrize("job", JOBS)
def test_an_absent_device_is_one_line(job, device, words, here, capfd):
    script = job.split()[0]
    asked = ("--devices", device) if script == "benchmark" else ("--device", device)
    if device == "tpu" and script in ("benchmark", "predict"):
        assert end_here(*words[job], *asked, script=script) == 2, "they know of no TPU"
        return
    before = sorted(here.rglob("*.csv"))
    assert end_here(*words[job], *asked, script=script) == 4
    said = capfd.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert device.upper() in said and ("--devices cpu" if script == "benchmark" else "cpu") in said
    assert sorted(here.rglob("*.csv")) == before, "nothing half-written"
    assert not (here / "student").exists() and not list(here.glob("predictors/*")) and not list(here.glob("results/*/*.json"))


@pytest.mark.parametrize("engine", ["auto", "keras", "onnx"])
def test_loading_for_an_absent_gpu(words, here, engine):
    with pytest.raises(halfbert.ResourceError, match=r"GPU.*device='cpu'"):
        halfbert.load(here / "predictor", engine, "gpu", allow_disagreement=True)

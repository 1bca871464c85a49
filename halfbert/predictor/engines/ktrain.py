"""ktrain's own predictor, unchanged: the baseline of speed.

It UNPICKLES a file of the predictor's folder, which can run anything: only for folders that you made or trust.
"""

from halfbert.models import weights
from halfbert.predictor import engines
from halfbert.predictor.engines import keras
from halfbert.predictor.manifest import Predictor
from halfbert.system import tensorflow_setup
from halfbert.system.errors import ArtefactError

PICKLE = "tf_model.preproc"
OTHER_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*")


def load(predictor: Predictor, device: str, threads: int | None) -> engines.Loaded:
    """Load the predictor with `ktrain.load_predictor`.

    Raises ArtefactError if the folder holds a file that ktrain would read and the manifest does not name.
    """
    files = predictor.manifest.files
    if PICKLE not in files:
        raise ArtefactError(f"{predictor.folder / PICKLE}: not named in the manifest, so not unpickled")
    for pattern in OTHER_WEIGHTS:
        for file in predictor.folder.glob(pattern):
            if file.name not in files:
                raise ArtefactError(f"{file}: not named in the manifest, and ktrain would take its weights; remove it")
    weights.read(predictor.folder)  # transformers would go on with random weights if some are missing
    device = keras.prepare(device, threads)
    import tensorflow as tf

    with tf.device(f"/{device.upper()}:0"):
        loaded = tensorflow_setup.import_ktrain().load_predictor(str(predictor.folder))
    return engines.Loaded(device, predictor.folder / weights.WEIGHTS, probabilities=loaded.predict_proba)


ENGINE = engines.Engine(
    packages=("tensorflow", "ktrain"),
    install=engines.INSTALL_TRAIN,
    speed={"cpu": 0, "gpu": 0},
    load=load,
    recipe=lambda: "ktrain, float32",
)

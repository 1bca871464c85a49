"""ktrain's own predictor, untouched: what the others are to be faster than.

It UNPICKLES a file of the predictor's folder, which can run anything: only for folders that you made or trust.
"""

from halfbert.models import weights as encoder
from halfbert.predictor import engines
from halfbert.predictor.engines import keras
from halfbert.predictor.manifest import Predictor
from halfbert.system import tensorflow_setup
from halfbert.system.errors import ArtefactError

PACKAGE = "ktrain"
INSTALL = "pip install -r requirements.txt"
LEAST_EQUAL = LARGEST_DIFFERENCE = None
PICKLE = "tf_model.preproc"
OTHER_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*")


def recipe(predictor: Predictor) -> str:
    """What decides the answers beside weights and configuration."""
    return "ktrain, float32"


def load(predictor: Predictor, device: str, threads: int | None) -> engines.Loaded:
    """Load the predictor with `ktrain.load_predictor`.

    Raises ArtefactError where a file stands in the folder that ktrain would read and the manifest does not name.
    """
    engines.require("ktrain")
    if PICKLE not in predictor.manifest.files:
        raise ArtefactError(f"{predictor.folder / PICKLE}: not named in the manifest, so not unpickled")
    for pattern in OTHER_WEIGHTS:
        for file in predictor.folder.glob(pattern):
            if file.name not in predictor.manifest.files:
                raise ArtefactError(f"{file}: not named in the manifest, and ktrain would take its weights; remove it")
    encoder.read(predictor.folder)  # transformers would go on with random weights where some are missing
    device = keras.prepare(device, threads)
    import tensorflow as tf

    with tf.device(f"/{device.upper()}:0"):
        loaded = tensorflow_setup.import_ktrain().load_predictor(str(predictor.folder))
    return engines.Loaded(device, predictor.folder / encoder.WEIGHTS, probabilities=loaded.predict_proba)

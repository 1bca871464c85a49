"""ktrain's learning-rate finder. Import after `tensorflow_setup.prepare`."""

import math
import warnings
from typing import Any

import numpy as np

from halfbert.models.ktrain_data import TransformerDataset
from halfbert.output.record import RateFinder
from halfbert.training import fit

FINDER_STEPS = 100
LEAST_FALL = 0.999  # of the first loss: a curve whose lowest loss lies above it shows no rate to train with


def find_learning_rate(learner: Any, model: Any, device: str, weight_decay: float, seed: int = 0) -> RateFinder:
    """Run ktrain's learning-rate finder; the model's weights are put back.

    The suggestion is ktrain's, the middle of the longest stretch in which the loss falls; None where it hardly falls at all.
    """
    before = model.get_weights()
    data, batch_size = learner.train_data, learner.batch_size
    replicas = model.distribute_strategy.num_replicas_in_sync
    # ktrain takes rows // batch_size steps an epoch.
    data.batch_size = min(batch_size, max(replicas, data.nsamples() // replicas * replicas))
    with fit.scratch(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ktrain's, of a curve too short for another estimate, which nothing here reads
        learner.lr_find(show_plot=False, restore_weights_only=True, max_epochs=_finder_epochs(data), verbose=0)
    data.batch_size = batch_size
    model.set_weights(before)
    # Compiled anew: the finder's moments would be a false start.
    fit.compile_model(model, device, weight_decay, model.loss, model.halfbert_objective, xla=bool(model.jit_compile), seed=seed)
    rates, losses = [float(rate) for rate in learner.lr_finder.lrs], np.array(learner.lr_finder.losses, float)
    finite = np.isfinite(losses)
    fell = finite[0] and losses[finite].min() < LEAST_FALL * losses[0]
    suggestion = float(learner.lr_estimate()[2]) if fell else None
    return RateFinder(rates, [float(loss) if known else None for loss, known in zip(losses, finite, strict=True)], suggestion)


def _finder_epochs(data: TransformerDataset) -> int:
    """Epochs that give the finder some hundred batches: ktrain's own default runs a small table to a thousand and more."""
    return math.ceil(FINDER_STEPS / max(1, data.nsamples() // data.batch_size))

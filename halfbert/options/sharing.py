"""Options of who else sees a run: experiment trackers, and the Hugging Face hub."""

from dataclasses import dataclass
from functools import partial

from halfbert.options import values
from halfbert.options.declaring import Options, option

TRACKERS = ("tensorboard", "mlflow", "wandb")


@dataclass(kw_only=True)
class SharingOptions(Options):
    """Who else sees a run."""

    track: list[str] | None = option(
        "output",
        None,
        f"log losses, scores, learning rate and options to these as well: {', '.join(TRACKERS)}",
        partial(values.names_of, known=TRACKERS),
    )
    push_to_hub: str | None = option(
        "output",
        None,
        "upload the predictor, its card and its weights as safetensors to this private repository of the Hugging Face hub; an "
        "existing one is updated with --overwrite only",
        values.hub_name,
        metavar="USER/NAME",
    )

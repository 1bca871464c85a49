"""Options of going on: with a run that was killed, and from a predictor that was saved."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from halfbert.models.long_texts import CUT
from halfbert.options import values
from halfbert.options.declaring import Options, option
from halfbert.system.errors import InputError

in_output = partial(option, "output")


@dataclass(kw_only=True)
class ResumeOptions(Options):
    """How often the state of a fit is saved, and whether to resume from one."""

    resume: bool = in_output(
        False, "resume the killed run that was making this output, from its last saved state, if there is one"
    )
    save_every: float = in_output(
        10.0,
        "save the state of the fit this often, and after each epoch unless epochs are very short; it is kept beside the output "
        "until the run succeeds",
        values.positive,
        metavar="MINUTES",
    )


@dataclass(kw_only=True)
class FromOptions(Options):
    """Which predictor to continue from."""

    from_: Path | None = option(
        "model",
        None,
        "continue from a saved predictor with new rows or labels: its weights, --maxlen, --long, and its head for labels "
        "that stay",
        values.path,
        metavar="FOLDER",
    )
    if TYPE_CHECKING:  # declared by the job
        task: ClassVar[str]
        model: str | None
        checkpoint: str | None
        head: str | None
        keep: int | None
        maxlen: int | None
        long: str | None

    def complete_from(self) -> None:
        """Fill in what the predictor settles. Raises InputError where options do not fit it, ArtefactError if it is none."""
        from halfbert.predictor import manifest  # here: it takes a third of the second in which --help answers

        assert self.from_ is not None
        for name in ("checkpoint", "head", "keep"):
            if getattr(self, name) is not None:
                raise InputError(f"--{name} and --from: give one of them")
        known = manifest.read(self.from_)
        if known.task != self.task:
            verb = "train_multilabel" if known.task == "multilabel" else "train_multiclass"
            raise InputError(f"--from {self.from_}: a {known.task} predictor; continue it with {verb}")
        if self.model not in (None, known.model):
            raise InputError(f"--model {self.model}: the predictor of --from is a {known.model}; leave --model out")
        self.model, self.maxlen = known.model, self.maxlen or known.maxlen
        if self.long == CUT:  # the default
            self.long = known.long

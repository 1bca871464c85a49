"""The errors that a run can end with, and the exit code of each."""


class HalfbertError(Exception):
    """A failure that is reported to the user in one line; `exit_code` is the exit code of the command."""

    exit_code = 1


class InputError(HalfbertError):
    """The user's input or usage is wrong; the message names file, column and row, and what to do."""

    exit_code = 2


class ArtefactError(HalfbertError):
    """A file made by a run, or given to one, is corrupt, altered or unsafe to open."""

    exit_code = 3


class ResourceError(HalfbertError):
    """Disk space, memory, a requested device or a checkpoint is unavailable; or training diverged."""

    exit_code = 4


class Drifted(HalfbertError):
    """Rows differ from those they are compared with, and the user has requested an exit code of its own for that."""

    exit_code = 5

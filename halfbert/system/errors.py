"""The four ways in which a run can fail, and the exit code of each."""


class HalfbertError(Exception):
    """A failure that is told to the user in one line. `exit_code` is what the script ends with."""

    exit_code = 1


class InputError(HalfbertError):
    """The user's input or usage is wrong: the line names file, column and row, and what to do."""

    exit_code = 2


class ArtefactError(HalfbertError):
    """A file that a run made or was given is corrupt, altered or unsafe to open."""

    exit_code = 3


class ResourceError(HalfbertError):
    """Disk, memory, a device that was asked for or a checkpoint is not to be had; or training diverged."""

    exit_code = 4

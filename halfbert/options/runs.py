"""Options of looking at finished runs: all of them in a list, or two side by side."""

from dataclasses import MISSING, dataclass
from functools import partial
from pathlib import Path

from halfbert.options import values
from halfbert.options.declaring import Options, option
from halfbert.options.training import DEBUG

in_runs = partial(option, "runs")


@dataclass(kw_only=True)
class RunsOptions(Options):
    """Where to look for runs."""

    folder: Path = in_runs(
        Path("results"), "folder with the runs, at any depth (default: results)", values.path, positional=True, metavar="FOLDER"
    )
    debug: bool = in_runs(False, DEBUG)


@dataclass(kw_only=True)
class DiffOptions(Options):
    """Which two runs to hold side by side."""

    first: Path = in_runs(MISSING, "results folder of a run", values.path, positional=True, metavar="A")
    second: Path = in_runs(MISSING, "results folder of another", values.path, positional=True, metavar="B")
    output: Path | None = in_runs(
        None, "csv file to write with every test row whose answer changed (the console shows ten)", values.path, metavar="FILE"
    )
    overwrite: bool = in_runs(False, "replace that file")
    debug: bool = in_runs(False, DEBUG)

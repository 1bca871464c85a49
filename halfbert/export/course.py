"""The course of an export: a predictor's folder is checked and written as a target's runtime reads it."""

import importlib
import importlib.util
import os
from pathlib import Path

from halfbert.data.phrases import listed
from halfbert.export.target import Target
from halfbert.options import ExportOptions
from halfbert.predictor import manifest
from halfbert.system import storage
from halfbert.system.console import StopRequest, say
from halfbert.system.errors import InputError, ResourceError


def export(options: ExportOptions, _stop: StopRequest) -> Path:
    """Write the predictor for the target; returns the output, which is whole, or as it was before if this raises."""
    target = find(options.to)
    output = options.output
    if target.marker is None or options.single_file:
        _check_file(output, options.overwrite)
    else:
        storage.check_output(output, "--output", options.overwrite, target.marker)
    storage.check_disjoint(output, options.predictor, "FOLDER")
    predictor = manifest.check(options.predictor)
    if missing := [package for package in target.packages if importlib.util.find_spec(package) is None]:
        raise ResourceError(f"--to {options.to}: needs {listed(missing)}, not installed here ({target.install})")
    with storage.output_lock(output.resolve()):
        storage.remove_leftovers(output)
        target.write(predictor, options, output)
    size = storage.folder_bytes(output) if output.is_dir() else output.stat().st_size
    say(f"written: {output}, {size / 1e6:.1f} MB")
    return output


def find(name: str) -> Target:
    """The target of that name."""
    return importlib.import_module(f"halfbert.export.{name}").TARGET


def _check_file(output: Path, overwrite: bool) -> None:
    """Raise InputError if the output cannot be one file, or must not be replaced."""
    if output.is_dir():
        raise InputError(f"--output {output}: is a folder; a file is written, give its name")
    if output.is_symlink() and not output.exists():
        raise InputError(f"--output {output}: a broken link; choose another name")
    if output.exists() and not overwrite:
        raise InputError(f"--output {output}: already exists; --overwrite replaces it, or choose another name")
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"--output {output}: cannot be written ({parent} is not writable)")

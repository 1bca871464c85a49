"""The texts on which an export's answers are compared with Keras'."""

from halfbert.data import multiclass
from halfbert.options import ExportOptions
from halfbert.system.console import say
from halfbert.system.errors import InputError


def read(options: ExportOptions) -> list[str]:
    """The texts of --texts, none without. Raises InputError as every reading of a table does, and where there is none."""
    if options.texts is None:
        return []
    rows, table = multiclass.read_texts(options.texts, options.text_column, drop_missing=True)
    for note in table.notes:
        say(f"  {note}")
    if not rows.texts:
        raise InputError(f"--texts {options.texts}: has no text")
    return rows.texts

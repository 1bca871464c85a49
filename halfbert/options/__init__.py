"""Options of every job, each declared once: for the command line, the Python functions and the documentation."""

from halfbert.options.benchmark import BenchmarkOptions
from halfbert.options.comparison import CompareOptions
from halfbert.options.conversion import ConvertOptions
from halfbert.options.declaring import Option, Options, as_arguments, changed, declared
from halfbert.options.distillation import DistillOptions
from halfbert.options.exporting import ExportOptions
from halfbert.options.following import following
from halfbert.options.prediction import PredictOptions
from halfbert.options.runs import DiffOptions, RunsOptions
from halfbert.options.serving import ServeOptions
from halfbert.options.training import MulticlassOptions, MultilabelOptions, TrainOptions
from halfbert.options.tuning import TuneOptions

__all__ = [
    "BenchmarkOptions",
    "CompareOptions",
    "ConvertOptions",
    "DiffOptions",
    "DistillOptions",
    "ExportOptions",
    "MulticlassOptions",
    "MultilabelOptions",
    "Option",
    "Options",
    "PredictOptions",
    "RunsOptions",
    "ServeOptions",
    "TrainOptions",
    "TuneOptions",
    "as_arguments",
    "changed",
    "declared",
    "following",
]

"""Options of a benchmark: what to time, on which texts, and how."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from halfbert.data import messages
from halfbert.options import values
from halfbert.options.declaring import Options, option, table_name
from halfbert.options.training import DEBUG, DELIMITER, DROP_MISSING, ENCODING, HEADER_ROW, TEXT_COLUMN, in_output
from halfbert.predictor import engines
from halfbert.system.errors import InputError
from halfbert.system.machine import available_cpus

SCENARIOS = ("single", "offline", "cold", "paper")
NOT_TIMED = ", ".join(name for name in engines.names() if name not in engines.timed())
LENGTHS = ("natural", "fixed")
DEVICES = ("cpu", "gpu")
ON_PHONES = ("onnx", "litert")  # runtimes; their engines' names begin so

timed, of_texts, how = (partial(option, group) for group in ("what to time", "texts", "how to time"))


def known_engines(value: object) -> list[str]:
    """Names of engines, each at most once."""
    return values.names_of(value, engines.names())


@dataclass(kw_only=True)
class BenchmarkOptions(Options):
    """Options of timing predictors, engine by engine."""

    predictors: list[Path] = timed([], "predictors that a training script saved", values.paths, positional=True, many=True)
    base: bool = timed(
        False, "also BERT-base and DistilBERT-base, from their configurations with random weights: speed only, no scores"
    )
    engines: list[str] = timed(
        engines.timed(),
        f"{', '.join(engines.names())} (default: all but {NOT_TIMED})",
        known_engines,
    )
    devices: list[str] = timed(["cpu"], "cpu, gpu or both", partial(values.names_of, known=DEVICES))
    threads: list[int] = timed(
        None,
        "processor threads of every engine; all means those of the machine (default: 1,all; all with --quick)",
        values.thread_counts,
    )
    scenarios: list[str] = timed(
        list(SCENARIOS),
        "single: one text at a time; offline: batches; cold: from the start of a process; paper: one pass over the texts, "
        "one at a time, on the CPU (default: all four)",
        partial(values.names_of, known=SCENARIOS),
    )
    lengths: list[str] = timed(
        list(LENGTHS),
        "natural: texts as they are; fixed: 128 tokens each (default: both)",
        partial(values.names_of, known=LENGTHS),
    )
    batches: list[int] = timed(None, "texts per call for batches (default: 8,32,128; 8,32 with --quick)", values.batches)
    texts: str = of_texts(None, "texts to answer (default: the embedded messages)", values.source)
    text_column: str = of_texts("text", TEXT_COLUMN, values.columns)
    label_column: str | None = of_texts(
        None,
        "column with one true label each, for each engine's accuracy (default: none; queue in the embedded table)",
    )
    sheet: str | None = of_texts(None, "sheet of the workbook (default: the first)")
    header_row: int | None = of_texts(None, HEADER_ROW, values.count)
    delimiter: str | None = of_texts(None, DELIMITER, values.delimiter)
    encoding: str | None = of_texts(None, ENCODING)
    drop_missing: bool = of_texts(False, DROP_MISSING)
    rows: int = of_texts(None, "texts sampled from the table (default: 256; 32 with --quick)", values.count)
    repeats: int = how(None, "fresh processes (default: 10; 2 with --quick)", values.count)
    seconds: float = how(
        None, "least seconds per repeat of each case (default: 5; 0.5 with --quick)", values.positive, metavar="S"
    )
    quick: bool = how(False, "a fast look, marked as one: too short to quote figures from")
    prepare: bool = how(
        False, "make the engines' files, check on the texts that they answer alike, time them for engine auto, and stop"
    )
    device_study: bool = how(
        False,
        "as on a device instead: file, memory, load time and one text of 32 and of 128 tokens, for the engines whose runtimes "
        "run on phones (docs/device.md)",
    )
    browser: bool = how(False, "of --device-study: also as pages for the web, in Chromium (needs playwright)")
    adb: Path | None = how(
        None,
        "of --device-study: LiteRT's benchmark_model, which then times LiteRT models on the attached phone",
        values.path,
        metavar="FILE",
    )
    allow_disagreement: bool = how(False, "also time engines whose answers differ from those of keras")
    output: Path = in_output(
        None,
        "NAME.json for the record, the folder NAME for tables and plots (default: results/benchmark/TABLE)",
        values.path,
        metavar="NAME",
    )
    overwrite: bool = in_output(False, "replace an earlier benchmark")
    debug: bool = in_output(False, DEBUG)

    def complete(self) -> None:
        embedded, quick = self.texts is None, self.quick
        if not self.predictors and not self.base:
            raise InputError("give at least one predictor's folder, or --base")
        if self.base and self.prepare:
            raise InputError("--prepare and --base: what --base makes is gone after the run; give one of them")
        if self.label_column is not None and embedded:
            raise InputError("--label-column goes with --texts")
        for flag, given in (("--adb", self.adb is not None), ("--browser", self.browser)):
            if given and not self.device_study:
                raise InputError(f"{flag}: goes with --device-study")
        if self.device_study and self.prepare:
            raise InputError("--prepare and --device-study: give one of them")
        if self.device_study and self.engines == engines.timed():
            self.engines = [name for name in engines.names() if name.startswith(ON_PHONES) and engines.installed(name)]
        self.repeats = self.repeats or (2 if quick else 10)
        self.seconds = self.seconds or (0.5 if quick else 5.0)
        self.rows = self.rows or (32 if quick else 256)
        self.batches = self.batches or ([8, 32] if quick else [8, 32, 128])
        self.threads = self.threads or list(dict.fromkeys([available_cpus()] if quick else [1, available_cpus()]))
        if embedded:
            self.texts, self.label_column = str(messages.TEST), messages.LABEL
        if self.output is None:
            name = table_name(self.texts).removesuffix("_test").removesuffix("-test") + ("-quick" if quick else "")
            self.output = Path("results") / "benchmark" / (f"{name}-device" if self.device_study else name)

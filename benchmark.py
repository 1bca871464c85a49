"""Time predictors engine by engine, on your own texts: one text, many, cold start, memory, size; pairs against each other.

python benchmark.py predictors/bert-messages predictors/distilbert-messages
python benchmark.py predictors/* --engines ktrain,keras,onnx,onnx-int8 --texts reviews.xlsx --text-column Reviews
"""

import contextlib
import sys
from pathlib import Path

from halfbert.benchmark import base as benchmark_base
from halfbert.benchmark import course as benchmark_run
from halfbert.benchmark import plan as benchmark_plan
from halfbert.benchmark import report as benchmark_report
from halfbert.cli import options
from halfbert.system import console, storage
from halfbert.system.console import say


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Try, time, compare, report; `--help` lists the options, README.md what the tables say."""
    chosen = options.parse_benchmark(options.benchmark_parser(), argv)
    with contextlib.ExitStack() as stack:
        if not chosen.prepare:
            benchmark_report.check_output(chosen.output, chosen.overwrite)
            stack.enter_context(storage.output_lock(chosen.output.resolve()))
        texts = benchmark_plan.read_texts(chosen)
        predictors = [benchmark_plan.describe(folder) for folder in chosen.predictors]
        if chosen.prepare:
            for predictor in predictors:
                benchmark_run.prove(predictor, texts, benchmark_run.to_prove(chosen.engines))
            return
        if chosen.base:
            say("making BERT-base and DistilBERT-base with random weights")
            folders = stack.enter_context(benchmark_base.folders())
            predictors += [benchmark_plan.describe(folder, random_weights=True) for folder in folders]
        benchmark_plan.check_names(predictors)

        benchmark = benchmark_run.Benchmark(chosen, texts, predictors, stop)
        say(benchmark.plan_line())
        benchmark.prove_missing()
        benchmark.try_all()
        stop.gently = True  # from here on a signal ends the timing, and what was measured is reported
        benchmark.measure_ceilings()
        benchmark.measure_alone()
        record = benchmark.record(benchmark.measure_pairs())
        report(record, chosen.output.resolve())
        say(benchmark_report.closing(record, chosen.output))
        stop.raise_if_set()


def report(record: dict, output: Path) -> None:
    """Write tables and pictures into the folder `output`, and the record beside it, as `output`.json."""
    from halfbert.benchmark import plots as benchmark_plots

    storage.remove_leftovers(output)
    with storage.atomic_folder(output) as folder:
        pictures = benchmark_plots.draw(record, folder)
        storage.write_text(benchmark_report.markdown(record, pictures), folder / benchmark_report.MARKDOWN)
        benchmark_report.write_workbook(record, folder / "report.xlsx")
    benchmark_report.write_record(record, benchmark_report.record_file(output))


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))

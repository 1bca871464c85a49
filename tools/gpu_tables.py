"""The table of docs/devices.md, from the committed benchmarks on a GPU."""

from halfbert.benchmark import record as benchmark_record
from halfbert.benchmark.figures import cell_figures
from halfbert.output.sheets import markdown_table
from halfbert.system.machine import PROJECT
from tools.tables import known, or_dash

FOLDER = PROJECT / "results" / "published" / "gpu"
BATCHES = (32, 128)


def gpu_table() -> str:
    """A line for each predictor and engine: one text, batches, and how far the answers are Keras'."""
    lines, records = [], [benchmark_record.read(file) for file in sorted(FOLDER.glob("*.json"), reverse=True)]
    for record in records:
        for contestant in record.contestants:
            cells = [contestant.predictor, contestant.engine]
            single, *batched = (
                next(one for one in cell_figures(record, scenario) if (one.batch, one.who) == (batch, contestant.who))
                for scenario, batch in (("single", 1), *(("offline", batch) for batch in BATCHES))
            )
            cells.append(f"{1000 * known(single.seconds_per_call.p50):.2f}")
            cells += [f"{figure.texts_per_second.median:,.0f}" for figure in batched]
            cells.append(or_dash(contestant.equal_answers, lambda share: f"{share:.1%}"))
            cells.append(or_dash(contestant.largest_difference, lambda difference: f"{difference:.0e}"))
            lines.append(cells)
    heads = ["predictor", "engine", "one text, p50 ms", *(f"texts/s, batches of {batch}" for batch in BATCHES)]
    heads += ["answers equal to Keras'", "largest difference"]
    environment, protocol = records[0].environment, records[0].protocol
    hardware, torch = environment.hardware, environment.versions["torch"]
    return (
        f"{markdown_table(heads, lines)}\n\nOne {hardware['gpus'][0]}, PyTorch {torch}, {hardware['cpus']} processors for all "
        f"else; end to end, texts as they are. Up to {protocol.repeats} repeats of {protocol.seconds:g} s in fresh processes."
    )

"""The table of docs/serving.md, from the committed race of services."""

import json

from halfbert.output.sheets import markdown_table
from halfbert.output.words import model_name
from halfbert.system.machine import PROJECT

RACE = PROJECT / "results" / "published" / "serving" / "race.json"


def serving_table() -> str:
    """A line for each number of connections and length of texts: requests a second and latency of each service."""
    record = json.loads(RACE.read_text(encoding="utf-8"))
    figures, lines = record["figures"], []
    for length in ("short", "long"):
        for number, ours in enumerate(figures["halfbert"][length]):
            for name, of_lengths in figures.items():
                found = of_lengths[length][number]
                times = ours["requests_per_second"] / found["requests_per_second"]
                cells = [length, ours["concurrency"], name, f"{found['requests_per_second']:,.0f}"]
                cells += [f"{found['p50_ms']:,.1f}", f"{found['p99_ms']:,.1f}", "" if name == "halfbert" else f"{times:.1f}×"]
                lines.append(cells)
    heads = ["texts", "connections", "service", "requests a second", "p50, ms", "p99, ms", "halfbert's requests a second"]
    environment, model = record["environment"], model_name(record["predictor"])
    return (
        f"{markdown_table(heads, lines)}\n\nThe mini {model} on {environment['threads']} threads of "
        f"{environment['hardware']['cpu']}, cut at {record['maxlen']} tokens; medians of {record['rounds']} rounds of "
        f"{record['seconds']:g} s."
    )

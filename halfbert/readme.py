"""The parts of README.md that are made from parsers and records: `python -m halfbert.readme --write`.

A part stands between `<!-- made: NAME -->` and `<!-- end -->`. `tests/test_readme.py` fails when one is stale.
"""

import argparse
import json
import re
import sys

from halfbert import options, records, storage
from halfbert.environment import PROJECT

README = PROJECT / "README.md"
PUBLISHED = PROJECT / "results" / "published"
PART = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
NAMES = {
    "messages": "messages (embedded)",
    "news": "news headlines",
    "banking77": "banking77",
    "imdb": "IMDB",
    "toxic": "toxic comments",
    "goemotions": "GoEmotions",
}


def main(argv: list[str]) -> int:
    """Rewrite the made parts (--write), or say whether they are fresh: 0 if so, else 1."""
    parser = argparse.ArgumentParser(prog="python -m halfbert.readme")
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args(argv).write
    before = README.read_text(encoding="utf-8")
    after = fresh(before)
    if write and after != before:
        storage.write_text(after, README)
    return 0 if write or after == before else 1


def fresh(readme: str) -> str:
    """The README with each made part as it should be now."""
    makers = {
        "options": option_table,
        "quality": quality_table,
        "multilabel": multilabel_table,
        "speed": speed_table,
        "ceiling": ceiling_table,
        "predicting": predicting_table,
    }
    return PART.sub(lambda match: f"{match[1]}{makers[match[2]]()}\n{match[3]}", readme)


def option_table() -> str:
    """Every option of the training scripts with its help, by group; those of one script only say so."""
    parsers = {"multiclass": options.multiclass_parser(), "multilabel": options.multilabel_parser()}
    scripts = {}  # (group, usage, help) to the scripts that have it
    for script, parser in parsers.items():
        for group in parser._action_groups:
            for action in group._group_actions:
                if action.option_strings and action.dest != "help":
                    scripts.setdefault((group.title, _usage(action), _help(action)), []).append(script)
    lines = []
    for title in dict.fromkeys(title for title, _, _ in scripts):
        lines += [f"| {title} | |", "|---|---|"] if not lines else [f"| **{title}** | |"]
        for (group, usage, text), having in scripts.items():
            if group == title:
                only = "" if len(having) == len(parsers) else f"{having[0]}: "
                lines.append(f"| `{usage}` | {only}{text} |")
    return "\n".join(lines)


def _usage(action: argparse.Action) -> str:
    if action.nargs == 0:
        return action.option_strings[0]
    value = action.metavar or "\\|".join(map(str, action.choices))
    return f"{action.option_strings[0]} {value}"


def _help(action: argparse.Action) -> str:
    return (action.help % {"default": action.default}).replace("|", "\\|")


def published(task: str) -> list[dict]:
    """The committed records of a task's runs, by table and model, each with its folder's name as "name"."""
    folders = sorted((PUBLISHED / task).glob("*/record.json"))
    found = [{**records.read(path.parent), "name": path.parent.name} for path in folders]
    order = list(NAMES)
    return sorted(found, key=lambda record: (order.index(_table(record)), record["data"]["rows"]["train"], record["name"]))


def _table(record: dict) -> str:
    return record["name"].split("-")[0]


def quality_table() -> str:
    """A line for each committed multiclass record: its scores on the test rows, and what they took."""
    return _scores("multiclass", {"accuracy": "accuracy", "macro F1": "macro_f1"})


def multilabel_table() -> str:
    """A line for each committed multi-label record: its scores on the test rows, and what they took."""
    scores = {
        "mean ROC AUC": "mean_roc_auc",
        "macro F1 at 0.5": "at_half/macro_f1",
        "at thresholds": "at_thresholds/macro_f1",
        "hamming score at 0.5": "at_half/hamming_score",
        "at the thresholds": "at_thresholds/hamming_score",
        "no label ever": "no_label/hamming_score",
    }
    return _scores("multilabel", scores)


def _scores(task: str, scores: dict[str, str]) -> str:
    lines = [
        f"| table | rows: train / val / test | model | {' | '.join(scores)} | epoch kept | epochs | fit, minutes | seed |",
        f"|{'---|' * (len(scores) + 7)}",
    ]
    found = published(task)
    for record in found:
        rows, precision = record["data"]["rows"], record["options"]["precision"]
        values = " | ".join(f"{_at(record['test'], path):.4f}" for path in scores.values())
        lines.append(
            f"| [{NAMES[_table(record)]}](results/published/{task}/{record['name']}/report.txt) "
            f"| {rows['train']:,} / {rows['val']:,} / {rows['test']:,} "
            f"| {record['model']}{'' if precision == 'float32' else f', {precision}'} | {values} | {record['best_epoch']} "
            f"| {len(record['epochs'])} | {record['timing']['fit_seconds'] / 60:.1f} | {record['split']['seed']} |"
        )
    return "\n".join([*lines, "", _hardware([record["environment"] for record in found])])


def _at(scores: dict, path: str) -> float:
    for key in path.split("/"):
        scores = scores[key]
    return scores


def speed_table() -> str:
    """The races: steady rate and job of each contestant, and their ratios to the Hugging Face Trainer in the same run."""
    lines = [
        "| race | contestant | steady, rows/s | × Trainer | × ktrain | job | seconds | Trainer's / its |",
        "|---|---|---|---|---|---|---|---|",
    ]
    races = _races()
    for name, race in races.items():
        same = {result["contestant"]: result for result in race["results"]}
        for result in race["results"]:
            steady = result["steady_rows_per_second"]
            ratios = [f"{steady / same[n]['steady_rows_per_second']:.2f}" if n in same else "–" for n in ("trainer", "ktrain")]
            job = result["job_seconds"]
            seconds, ahead = ("–", "–") if job is None else (f"{job:.1f}", f"{same['trainer']['job_seconds'] / job:.2f}")
            lines.append(
                f"| {name}, maxlen {race['maxlen']} | {result['name']} | {steady:.1f} | {ratios[0]} "
                f"| {ratios[1]} | {race['rows']:,} rows | {seconds} | {ahead} |"
            )
    return "\n".join([*lines, "", _hardware([race["environment"] for race in races.values()])])


def ceiling_table() -> str:
    """How near our contestants' steady rate comes to one large matrix product, and where the time of a step goes."""
    measured = [
        (name, result) for name, race in _races().items() for result in race["results"] if "share_by_operation" in result
    ]
    kinds = list(measured[0][1]["share_by_operation"])
    lines = [
        f"| race | contestant | its products, GFLOP/s | one large product, GFLOP/s | share | {' | '.join(kinds)} |",
        f"|{'---|' * (5 + len(kinds))}",
    ]
    for name, result in measured:
        rate, most = result["products_gflop_per_second"], result["ceiling_gflop_per_second"]
        shares = " | ".join(f"{result['share_by_operation'][kind]:.0%}" for kind in kinds)
        lines.append(f"| {name} | {result['name']} | {rate:.0f} | {most:.0f} | {rate / most:.0%} | {shares} |")
    return "\n".join(lines)


def predicting_table() -> str:
    """The races' predicting part: texts a second and one text's median of each contestant, against those of the peers."""
    lines = [
        "| texts | contestant | texts/s | × ktrain | × pipeline | one text, p50 ms | ktrain's / its | pipeline's / its "
        "| share of ceiling | decides as Keras |",
        f"|{'---|' * 10}",
    ]
    parts = {name: (race["maxlen"], race["predicting"]) for name, race in _races().items() if race.get("predicting")}
    for name, (maxlen, part) in parts.items():
        peers = [next(r for r in part["results"] if r["contestant"] == peer) for peer in ("ktrain", "trainer")]
        for result in part["results"]:
            rate, p50 = result["predict_rows_per_second"], result["single_p50_ms"]
            rates = " | ".join(f"{rate / peer['predict_rows_per_second']:.2f}" for peer in peers)
            singles = " | ".join(f"{peer['single_p50_ms'] / p50:.2f}" for peer in peers)
            share, equal = (
                "–" if result[key] is None else f"{result[key]:.{digits}%}"
                for key, digits in (("share_of_ceiling", 0), ("equal_decisions", 1))
            )
            lines.append(
                f"| {part['texts']:,} {name}, maxlen {maxlen} | {result['name']} | {rate:.0f} "
                f"| {rates} | {p50:.2f} | {singles} | {share} | {equal} |"
            )
    return "\n".join([*lines, "", _hardware([part["environment"] for _, part in parts.values()])])


def _races() -> dict[str, dict]:
    return json.loads((PUBLISHED / "race.json").read_text())["races"]


def _hardware(environments: list[dict]) -> str:
    """One sentence on the machine, the threads and the versions that all the figures share."""
    described = {
        f"{e['threads']} threads of {e['hardware']['cpu']} ({', '.join(e['hardware']['vector_extensions'])}), "
        f"TensorFlow {e['versions']['tensorflow']}, Python {e['versions']['python']}"
        for e in environments
    }
    return "Measured on " + "; and on ".join(sorted(described)) + "."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

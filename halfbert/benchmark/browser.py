"""A predictor as a page in Chromium, for the study of devices: what `export.py --to web` writes, opened from disk.

From disk a page has one thread. Every repeat is a browser of its own.
"""

import concurrent.futures
import json
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from halfbert.benchmark.worker import of_length
from halfbert.export import web
from halfbert.export.web import checking
from halfbert.options import ExportOptions
from halfbert.predictor import manifest
from halfbert.predictor.classifier import load
from halfbert.system import temporary

OPTION = "--browser"
TIMES = """async (given) => {
  const { texts, natural, seconds } = JSON.parse(given);
  const classifier = await loading;
  const loaded = performance.now();
  const times = {};
  for (const [tokens, some] of Object.entries(texts)) {
    for (const text of some) await predict({ texts: [text] });
    const samples = [];
    for (const end = performance.now() + 1000 * seconds; samples.length < some.length || performance.now() < end; ) {
      const begun = performance.now();
      await predict({ texts: [some[samples.length % some.length]] });
      samples.push(performance.now() - begun);
    }
    times[tokens] = samples;
  }
  const answers = await classifier.answers(natural);
  return { loaded, times, probabilities: answers.map((answer) => answer.probabilities) };
}"""


@dataclass(frozen=True)
class InBrowser:
    """A page: bytes of its files; of each repeat its process' greatest memory in bytes, and seconds until it was loaded.

    `seconds` are all samples of one text by its tokens; `accuracy` is on the natural texts, None without labels.
    """

    file_bytes: int
    peak_bytes: list[int]
    load_seconds: list[float]
    seconds: dict[int, list[float]]
    accuracy: float | None


def measure(
    folder: Path,
    fixed: Sequence[str],
    lengths: Sequence[int],
    natural: list[str],
    labels: Sequence[Any] | None,
    seconds: float,
    repeats: int,
) -> InBrowser:
    """Time one text of each length in tokens, from texts that are longer, for so many seconds at least in each repeat.

    Raises what exporting the page raises, ResourceError where there is no Chromium, ArtefactError where the page fails.
    """
    classifier = load(folder, checking.ENGINE, "cpu", allow_disagreement=True)
    texts = {tokens: [of_length(classifier.with_maxlen(tokens), text, tokens) for text in fixed] for tokens in lengths}
    given = json.dumps({"texts": texts, "natural": natural, "seconds": seconds})
    with temporary.folder("page-") as room:
        page = room / "page"
        web.write(manifest.check(folder), ExportOptions(predictor=folder, to="web", output=page), page)
        file_bytes = sum(file.stat().st_size for file in page.rglob("*") if file.is_file())
        with concurrent.futures.ThreadPoolExecutor(1) as aside:  # as in `checking.check`
            found = [aside.submit(_once, page / web.pages.INDEX, given).result() for _ in range(repeats)]
    answers = classifier.answers(np.array(found[0][1]["probabilities"], np.float32))
    return InBrowser(
        file_bytes,
        [peak for peak, _ in found],
        [timed["loaded"] / 1000 for _, timed in found],
        {tokens: [each / 1000 for _, timed in found for each in timed["times"][str(tokens)]] for tokens in lengths},
        None if labels is None else float(np.mean(list(map(operator.eq, answers, labels)))),
    )


def _once(index: Path, given: str) -> tuple[int, dict[str, Any]]:
    """The greatest memory of the page's process, and what TIMES returns."""
    with checking.opened(index, OPTION) as (_, page):
        timed = page.evaluate(TIMES, given)
        return max(map(_peak, psutil.Process().children(recursive=True))), timed


def _peak(process: psutil.Process) -> int:
    """Bytes that a process which draws a page held at most, or holds where the system does not tell; 0 of other processes."""
    try:
        if "--type=renderer" not in process.cmdline():
            return 0
        file = Path(f"/proc/{process.pid}/status")
        peak = re.search(r"VmHWM:\s+(\d+) kB", file.read_text()) if file.exists() else None
        return 1024 * int(peak[1]) if peak else int(process.memory_info().rss)
    except (psutil.Error, OSError):  # it ended meanwhile
        return 0

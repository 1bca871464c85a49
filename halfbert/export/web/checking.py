"""An exported page, opened from disk in Chromium without a network: how it answers beside the predictor, and how fast."""

import concurrent.futures
import contextlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halfbert.data.phrases import counted
from halfbert.export.web.texts import texts_in_any_script
from halfbert.models import batching
from halfbert.output.words import percent
from halfbert.predictor.classifier import Classifier, load
from halfbert.predictor.engines import onnx
from halfbert.scoring.review import answered_labels
from halfbert.system.errors import ArtefactError, ResourceError

OPTION = "--check"
TEXTS = 1_000
LEAST_EQUAL = 0.99  # of the decisions, as for engines
ENGINE = "onnx-int8"
EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "chrome")
INSTALL = "pip install playwright && playwright install chromium"
MOST_SECONDS = 600
HEADLINE = "the cat sat on the mat and looked at the dog for a while"  # of about 14 tokens
ANSWERS = """async (texts) => {
  const classifier = await loading;
  const read = JSON.parse(texts);
  await predict({ texts: [HEADLINE] });
  const first = performance.now();
  const times = [];
  for (let repeat = 0; repeat < 50; repeat++) {
    const begun = performance.now();
    await predict({ texts: [HEADLINE] });
    times.push(performance.now() - begun);
  }
  const ids = read.map((text) => classifier.tokenizer.encode(text).ids);
  const answers = await classifier.answers(read);
  const probabilities = answers.map((answer) => [...answer.probabilities]);
  return JSON.stringify({ first, single: times.sort((one, other) => one - other)[25], ids, probabilities });
}""".replace("HEADLINE", json.dumps(HEADLINE))


@dataclass(frozen=True)
class Checked:
    """What a page came to in a browser, on so many texts.

    `equal_decisions` is the share of texts that its graph answers equally outside the browser, `largest_difference` that of a
    probability; `equal_to_engine` the share that the predictor's engine onnx-int8 answers equally, which has more bits for
    embeddings. Seconds from opening the page to its `first` answer, and the median of a `single` text of 14 tokens.
    """

    browser: str
    texts: int
    equal_decisions: float
    largest_difference: float
    equal_to_engine: float
    first: float
    single: float

    @property
    def line(self) -> str:
        """The findings in a line."""
        return (
            f"checked in Chromium {self.browser} on {counted(self.texts, 'text')} in many scripts: token ids are equal; "
            f"{percent(self.equal_decisions)} of the decisions are those of its graph outside the browser, probabilities "
            f"within {self.largest_difference:.4f}; {percent(self.equal_to_engine)} are those of the engine {ENGINE}; the "
            f"first answer after {self.first:.1f} s, a text of 14 tokens in {1000 * self.single:.1f} ms"
        )


def require(option: str) -> None:
    """Raise ResourceError, with the command that installs it, if what drives the browser is missing; `option` needs it."""
    if importlib.util.find_spec("playwright") is None:
        raise ResourceError(f"{option}: needs playwright and Chromium, not installed here ({INSTALL})")


def check(index: Path, folder: Path, graph: bytes) -> Checked:
    """Have a page answer TEXTS texts in Chromium; compare it with the predictor of a folder, and its graph outside Chromium.

    Raises ResourceError where there is no Chromium, ArtefactError where the page fails or answers otherwise than its graph.
    """
    engine = load(folder, ENGINE, "cpu", allow_disagreement=True)
    here = engine.with_forward(onnx.forward_of(onnx.open_session(graph, None)))
    texts = texts_in_any_script(sorted(engine.tokenizer.get_vocab()), TEXTS)
    with concurrent.futures.ThreadPoolExecutor(1) as aside:  # Playwright refuses a thread with an event loop, as notebooks have
        browser, found = aside.submit(_answers, index, texts).result()
    encoded, _ = batching.encode(engine.tokenizer, texts, sys.maxsize)
    expected = np.split(encoded.ids, encoded.starts[1:-1])
    different = [text for text, ids, own in zip(texts, found["ids"], expected, strict=True) if ids != own.tolist()]
    if different:
        raise ArtefactError(
            f"{OPTION}: {len(different)} of {len(texts):,} texts have other token ids, such as {different[0][:80]!r}"
        )
    answers = np.array(found["probabilities"])
    checked = Checked(
        browser,
        len(texts),
        *_compared(answers, here, texts),
        *_compared(answers, engine, texts)[:1],
        *(found[name] / 1000 for name in ("first", "single")),
    )
    if checked.equal_decisions < LEAST_EQUAL:
        raise ArtefactError(
            f"{OPTION}: {percent(checked.equal_decisions)} of the decisions are those of the graph outside the browser"
        )
    return checked


def _compared(answers: np.ndarray, classifier: Classifier, texts: list[str]) -> tuple[float, float]:
    """The share of decisions that equal a classifier's, and the largest difference of a probability."""
    expected, thresholds = classifier.probabilities(texts), classifier.predictor.manifest.thresholds
    equal = (answered_labels(answers, thresholds) == answered_labels(expected, thresholds)).all(axis=1).mean()
    return float(equal), float(np.abs(answers - expected).max())


@contextlib.contextmanager
def opened(index: Path, option: str) -> Iterator[tuple[str, Any]]:
    """The version of Chromium, and a page that it opened from disk, which `option` asks for.

    Raises ResourceError where there is no Chromium, ArtefactError where the page fails in it.
    """
    from playwright import sync_api

    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        except sync_api.Error as error:
            raise ResourceError(f"{option}: no Chromium starts here ({str(error).splitlines()[0]}; {INSTALL})") from None
        try:
            page = running.new_context(offline=True).new_page()
            page.set_default_timeout(1000 * MOST_SECONDS)
            page.goto(index.resolve().as_uri())
            yield running.version, page
        except sync_api.Error as error:
            raise ArtefactError(f"{option}: the page fails in Chromium ({str(error).splitlines()[0]})") from error
        finally:
            running.close()


def _answers(index: Path, texts: list[str]) -> tuple[str, dict[str, Any]]:
    """The version of Chromium, and what ANSWERS returns in a page opened from disk."""
    with opened(index, OPTION) as (version, page):
        return version, json.loads(page.evaluate(ANSWERS, json.dumps(texts)))  # Playwright reads objects slowly

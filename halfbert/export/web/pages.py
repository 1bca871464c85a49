"""The files of the page: the page of serve.py, whose requests are answered in the browser.

A browser that opens a file from disk loads no other file but scripts and styles, and no module: so model and runtime are
scripts, too, which hold gzip as text. The folder has them beside the page, the single file within it. They are UTF-16, a
letter of which has 15 bits in 2 bytes: base64 would be a quarter more.
"""

import base64
import functools
import gzip
import hashlib
import importlib.resources
import json
from typing import Any

import numpy as np

from halfbert.export.web import runtime

INDEX, RUNTIME, MODEL = "index.html", "runtime.js", "model.js"
OWN, SERVED, KIT = "export/web/page", "serving/page", "output/page"
STYLES = (f"{KIT}/page.css", f"{SERVED}/page.css")
SCRIPTS = (
    *(f"{KIT}/tables.js", f"{OWN}/tokenizer.js", f"{OWN}/classifier.js", f"{OWN}/explaining.js", f"{OWN}/csv.js"),
    *(f"{OWN}/here.js", f"{SERVED}/words.js", f"{SERVED}/answers.js", f"{SERVED}/labelling.js", f"{SERVED}/about.js"),
    f"{SERVED}/page.js",
)
BITS, FIRST_LETTER = 15, 0x800  # of a letter: below those of surrogates, above those that scripts give a meaning
GROUP, GROUPS_AT_A_TIME = 15, 2**16  # bytes that fill whole letters
POLICY = (
    "default-src 'none'; script-src {scripts} blob: 'wasm-unsafe-eval'; worker-src blob:; style-src {style}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def files(stated: dict[str, Any], graph: bytes, single: bool) -> dict[str, bytes]:
    """The page of a predictor that is `stated` and whose logits a graph computes: each file by name, `single` or several."""
    content = {"predictor": json.dumps(stated, ensure_ascii=False).encode(), "graph": graph}
    own = "\n".join(map(_asset, SCRIPTS))
    model = {name: gzip.compress(each, mtime=0) for name, each in content.items()}
    scripts = {RUNTIME: _runtime(), MODEL: _constant("halfbertModel", model)}
    if single:
        return {INDEX: _in_utf_16(_page([*scripts.values(), own], []))}
    return {INDEX: _page([own], list(scripts)).encode(), **{name: _in_utf_16(text) for name, text in scripts.items()}}


@functools.cache
def _runtime() -> str:
    """ONNX Runtime, whose first lines name its licence, and what it loads."""
    script = runtime.read(runtime.SCRIPT)[0].decode().split("//# sourceMappingURL")[0].rstrip()
    loaded = {"module": runtime.MODULE, "wasm": runtime.WASM, "notices": runtime.NOTICES}
    licence = runtime.read(runtime.LICENCE)[0].decode().strip()
    constant = _constant("halfbertRuntime", {name: runtime.read(file)[1] for name, file in loaded.items()})
    return f"/*! onnxruntime-web {runtime.VERSION}\n{licence}\n*/\n{script}\n{constant}"


def _constant(name: str, parts: dict[str, bytes]) -> str:
    """A script that states bytes by name, each as their number and text."""
    stated = ", ".join(f'{part}: [{len(content)}, "{letters(content)}"]' for part, content in parts.items())
    return f"const {name} = {{ {stated} }};\n"


def letters(content: bytes) -> str:
    """Bytes as text of a letter for each 15 bits, all of them letters that stand in scripts as they are."""
    groups = np.frombuffer(content + bytes(-len(content) % GROUP), np.uint8).reshape(-1, GROUP)
    units = np.empty((len(groups), 8 * GROUP // BITS), "<u2")
    powers = 1 << np.arange(BITS - 1, -1, -1)
    for start in range(0, len(groups), GROUPS_AT_A_TIME):
        some = slice(start, start + GROUPS_AT_A_TIME)
        units[some] = np.unpackbits(groups[some], axis=1).reshape(-1, units.shape[1], BITS) @ powers + FIRST_LETTER
    return units.tobytes().decode("utf-16-le")


def _in_utf_16(text: str) -> bytes:
    """The text with the mark by which a browser knows its encoding."""
    return f"\ufeff{text}".encode("utf-16-le")


def _page(inside: list[str], beside: list[str]) -> str:
    """The HTML, with scripts inside it and beside it; the policy allows those alone, and no network."""
    assert not any("</script" in script for script in inside)
    style = "".join(map(_asset, STYLES))
    hashes = " ".join(_hash(script) for script in inside)
    # Browsers differ in whether a file is "self".
    policy = POLICY.format(scripts=f"'self' file: {hashes}" if beside else hashes, style=_hash(style))
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
        f'<title>halfbert: label texts</title><link rel="icon" href="data:,"><style>{style}</style></head>\n<body>\n',
        _asset(f"{OWN}/{INDEX}"),
        *(f'<script src="{name}"></script>\n' for name in beside),
        *(f"<script>{script}</script>\n" for script in inside),
        "</body></html>\n",
    ]
    return "".join(parts)


def _asset(name: str) -> str:
    return (importlib.resources.files("halfbert") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

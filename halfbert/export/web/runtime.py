"""onnxruntime-web, ONNX Runtime for browsers (WebAssembly with SIMD), as this package holds it: each file as gzip.

Its smallest build that reads ONNX graphs: `ort.wasm.min.js`, the module that it loads, and 14 MB of WebAssembly.
The files are those of the npm package, unaltered; `python -m tools.vendor_web` fetches them again.
"""

import gzip
import hashlib
from pathlib import Path

from halfbert.system.errors import ArtefactError

VERSION = "1.30.0"
FOLDER = Path(__file__).parent / "vendor"
SCRIPT, MODULE, WASM = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
LICENCE, NOTICES = "LICENSE", "ThirdPartyNotices.txt"  # the licence alone is no gzip
SHA256 = {  # of the files as they were published
    SCRIPT: "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    MODULE: "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    LICENCE: "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
    NOTICES: "143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3",
}


def file_of(name: str) -> Path:
    """Where a file is."""
    return FOLDER / (name if name == LICENCE else f"{name}.gz")


def read(name: str) -> tuple[bytes, bytes]:
    """A file, and its gzip. Raises ArtefactError if it is not the one that was published."""
    stored = file_of(name).read_bytes()
    content = stored if name == LICENCE else gzip.decompress(stored)
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ArtefactError(f"{file_of(name)}: altered or damaged; install halfbert again")
    return content, stored

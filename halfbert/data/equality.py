"""When two texts are equal, and digests that find equal texts without keeping them."""

import base64
import hashlib
import unicodedata
from collections.abc import Iterable

from halfbert.data.characters import collapse, visible

DIGEST_BYTES = 6  # of SHA-256: among a million texts, one other text in some 280 million shares its digest with one of them


def normalise(text: str) -> str:
    """What equal texts share: letter case, white space, Unicode compatibility form and invisible characters are ignored."""
    return collapse(unicodedata.normalize("NFKC", visible(text)).casefold())


def digests(texts: Iterable[str]) -> str:
    """The digests of the normalised texts in their order, packed and in base64: eight characters a text."""
    return base64.b64encode(b"".join(map(_digest, texts))).decode("ascii")


def unpacked(packed: str) -> set[bytes]:
    """The `digests` of some texts, of DIGEST_BYTES each. Raises ValueError if they are none."""
    data = base64.b64decode(packed, validate=True)
    if len(data) % DIGEST_BYTES:
        raise ValueError(f"{len(data)} bytes are no whole number of digests of {DIGEST_BYTES} bytes")
    return {data[start : start + DIGEST_BYTES] for start in range(0, len(data), DIGEST_BYTES)}


def shared(packed: str, texts: Iterable[str]) -> list[bool]:
    """Whether each text is equal to one of those behind the `digests`. Raises ValueError if they are none."""
    known = unpacked(packed)
    return [_digest(text) in known for text in texts]


def count_shared(packed: str, texts: Iterable[str]) -> int:
    """How many of the texts are equal to one of those behind the `digests`."""
    return sum(shared(packed, texts))


def merged(*packed: str) -> str:
    """The `digests` of all, each once."""
    together = "".join(packed)
    return "".join(dict.fromkeys(together[start : start + 8] for start in range(0, len(together), 8)))


def _digest(text: str) -> bytes:
    return digest(text)[:DIGEST_BYTES]


def digest(text: str) -> bytes:
    """The SHA-256 of a normalised text: that of every text which is equal to it."""
    return hashlib.sha256(normalise(text).encode("utf-8", errors="surrogatepass")).digest()

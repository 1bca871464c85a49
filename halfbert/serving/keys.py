"""API keys: a file with one a line, compared in constant time."""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from halfbert.system.errors import InputError

SHORTEST = 16  # characters: shorter ones can be guessed


class Keys:
    """The keys that a file holds, as digests."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._digests = self._read()

    def reload(self) -> None:
        """Read the file again. Raises InputError, and keeps the earlier keys, if it cannot be used."""
        self._digests = self._read()

    def _read(self) -> list[bytes]:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--api-key-file {self._file}: cannot be read ({error})") from None
        numbered = ((number, line.strip()) for number, line in enumerate(lines, 1))
        keys = [(number, key) for number, key in numbered if key and not key.startswith("#")]
        for number, key in keys:
            if len(key) < SHORTEST or not key.isascii() or " " in key:
                raise InputError(
                    f"--api-key-file {self._file}, line {number}: expected {SHORTEST} or more ASCII characters without blanks; "
                    "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
                )
        if not keys:
            raise InputError(f"--api-key-file {self._file}: holds no key")
        return [_digest(key.encode()) for _, key in keys]

    def allow(self, headers: Mapping[str, str]) -> bool:
        """Whether a request's headers (by lower-case name) hold one of the keys; takes as long whichever it is."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = headers.get("x-api-key", "")
        digest = _digest(given.strip().encode("latin-1", "replace"))
        return sum(hmac.compare_digest(digest, key) for key in self._digests) > 0


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

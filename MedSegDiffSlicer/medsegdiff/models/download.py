"""Files from elsewhere: what came so far is kept, and nothing else than what was promised is taken."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from ..errors import JobError, RequestError
from .package import sha256_of

ATTEMPTS = 3  # that bring nothing, in a row
PATIENCE = 30.0  # seconds without an answer
_PART = 1 << 20  # bytes
_PLAIN = "/%:@!$&'()*+,;=?~"  # stays as it is in addresses


def download(source: str, target: Path, size: int, sha256: str) -> Path:
    """A file of `size` bytes and that hash, at `target`; there all along, or whole.

    source: an http(s) address, or a file. Beside the target, `<name>.part` holds what came so far; the next call goes
    on from there where the server can (HTTP ranges). Raises RequestError where it is another file, which is thrown
    away, and JobError where it cannot be had.
    """
    if target.is_file() and target.stat().st_size == size and sha256_of(target) == sha256:
        return target
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.startswith(("https://", "http://")):
            _fetch(source, part, size)
        else:
            _copy(Path(source), part, size)
        if part.stat().st_size != size or sha256_of(part) != sha256:
            part.unlink()
            raise RequestError(
                f"{source} is another file than the catalogue says (SHA-256 {sha256[:12]}...); it was thrown away"
            )
        os.replace(part, target)
    except OSError as error:
        raise JobError(f"{target} cannot be written ({error.strerror or error}); make room, and try again") from None
    return target


def _copy(source: Path, part: Path, size: int) -> None:
    if source.exists() and not source.is_file():  # a pipe would be waited for
        raise JobError(f"{source} is no file; is the folder of models the right one?")
    try:
        stream = open(source, "rb")
    except OSError as error:
        raise JobError(f"{source} cannot be read: {error.strerror}; is the folder of models there?") from None
    with stream, open(part, "wb") as out:
        while chunk := stream.read(_PART):
            out.write(chunk)
            _limit(out.tell(), size, str(source), part)


def _fetch(address: str, part: Path, size: int) -> None:
    attempts = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        if before > size:
            part.unlink()
            before = 0
        if before == size:
            return
        try:
            _go_on(address, part, before, size)
            problem = "the connection ended"
        except urllib.error.HTTPError as error:
            if error.code in (404, 403, 401, 410):
                raise JobError(f"{address}: {error.code} {error.reason}; ask whoever made the catalogue") from None
            if error.code == 416:  # what is here is no part of what is there
                part.unlink(missing_ok=True)
            problem = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            problem = str(getattr(error, "reason", "") or error or type(error).__name__)
        except ValueError as error:
            raise RequestError(f"{address} is no address ({error}); ask whoever made the catalogue") from None
        after = part.stat().st_size if part.exists() else 0
        attempts = 0 if after > before else attempts + 1
        if after < size and attempts >= ATTEMPTS:
            raise JobError(f"{address}: {problem} at {after} of {size} bytes; try again, it goes on from there")


def _go_on(address: str, part: Path, before: int, size: int) -> None:
    parts = urlsplit(address)
    plain = urlunsplit(parts._replace(path=quote(parts.path, safe=_PLAIN), query=quote(parts.query, safe=_PLAIN)))
    request = urllib.request.Request(plain, headers={"Range": f"bytes={before}-"} if before else {})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        fits = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {before}-")
        with open(part, "ab" if fits else "wb") as out:
            while chunk := _received(answer):
                out.write(chunk)
                _limit(out.tell(), size, address, part)


def _received(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_PART)
    except OSError as error:  # of the network, not of the disk
        raise ConnectionError(error.strerror or str(error) or type(error).__name__) from None


def _limit(got: int, size: int, source: str, part: Path) -> None:
    if got > size:
        part.unlink()
        raise RequestError(f"{source} is larger than the {size} bytes that the catalogue says; it was thrown away")

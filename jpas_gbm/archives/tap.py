"""Asking an archive's query service (IVOA TAP): a whole answer, or one sentence on what went wrong.

Every exchange passes through :meth:`Archive._patiently`, which tries again where that may help: no answer, a server
that is busy, a web page instead of a table, an answer that was cut off. A login that ran out is renewed. What a service
says of a query that it cannot run is handed on at once.

Nothing but this room touches a network. Credentials come from the environment or the keyring, go to the host of the
release over https alone, and are wiped from whatever a server says.

References
----------
Dowler et al. (2019), Table Access Protocol 1.1; Harrison and Rixon (2016), Universal Worker Service 1.1 (IVOA).
"""

from __future__ import annotations

import base64
import gzip
import html
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from .. import __version__
from ..errors import ArchiveError, CatalogueError, OutputError
from ..surveys.formats.votable import VoTable

if TYPE_CHECKING:
    from .releases import Release

T = TypeVar("T")
Mode = Literal["sync", "async"]
log = logging.getLogger("jpas_gbm")

USER, PASSWORD = "JPAS_GBM_ARCHIVE_USER", "JPAS_GBM_ARCHIVE_PASSWORD"
LARGE = 50_000_000  # bytes from which on a download is announced to everybody

_BROKEN = "Connection refused|Connection reset|closed connection without response|Name or service not known|unreachable"
_BUSY = (408, 429, 500, 502, 503, 504)
_LONGEST_PAUSE = 60.0
_PIECE = 1 << 16


def credentials(url: str) -> tuple[str, str] | None:
    """Return user and password for an address, from the environment or the keyring.

    Parameters
    ----------
    url : str
        The entry of the keyring is that of its host.

    Returns
    -------
    (str, str) or None
    """
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if user and password:
        return user, password
    try:
        import keyring

        entry = keyring.get_credential(urlsplit(url).hostname or url, user)
    except Exception as error:  # not installed, locked, or no backend: each library raises errors of its own
        log.info("the keyring cannot be asked (%s)", type(error).__name__)
        return None
    return None if entry is None else (entry.username, entry.password)


class _Failure(Exception):
    """What went wrong with one exchange, and whether to try again."""

    def __init__(self, text: str, *, again: bool = True, wait: float = 0.0, login: bool = False) -> None:
        super().__init__(text)
        self.again, self.wait, self.login = again, wait, login


class QueryRefused(ArchiveError):
    """The service refuses what it is asked: to ask the same again is of no use."""


class _Basic:
    """Adds HTTP basic authentication to what goes to one host, and to nothing else."""

    def __init__(self, url: str) -> None:
        self.place, self.header = urlsplit(url)[:2], ""

    def set(self, user: str, password: str) -> None:
        self.header = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def __call__(self, request: Any) -> Any:
        if self.header and urlsplit(request.url)[:2] == self.place:
            request.headers["Authorization"] = self.header
        return request


def _is_private(url: str) -> bool:
    """Return whether nobody can listen on the way to an address."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


class Archive:
    """A release that can be asked: one query at a time, under a stated user agent.

    Parameters
    ----------
    name : str
        Of the release, for messages.
    release : Release

    Raises
    ------
    ArchiveError
        If pyvo is not installed, or credentials would be sent in clear text.
    """

    def __init__(self, name: str, release: Release) -> None:
        try:
            import pyvo
            import requests
        except ImportError as error:
            raise ArchiveError(
                "asking an archive needs pyvo, which is not installed: pip install 'jpas-gbm[archives]'."
            ) from error
        if release.login and not (_is_private(release.login) and _is_private(release.url)):
            raise ArchiveError(f"{name}: a password goes over https only. Mend 'login' and 'url' of this release.")
        self.name, self.release = name, release
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"jpas-gbm/{__version__} pyVO/{pyvo.__version__} (IVOA-science)"
        self._basic = _Basic(release.url)
        self._session.auth = self._basic
        limits = (min(30.0, release.timeout), release.timeout)
        self._session.request = partial(self._session.request, timeout=limits)
        self._secrets: list[str] = []
        self._signed_in = False

    def ask(
        self, adql: str, place: Path, what: str, *, mode: Mode = "sync", rows: int | None = None,
        check: Callable[[VoTable], None] | None = None,
    ) -> tuple[VoTable, bool]:  # fmt: skip
        """Run a query and return its answer, whole.

        Parameters
        ----------
        adql : str
        place : Path
            Where the answer, a VOTable, is put.
        what : str
            What is asked for, for messages.
        mode : {"sync", "async"}
            In one exchange, or as a job that is waited for.
        rows : int, optional
            MAXREC: the most rows wanted.
        check : callable, optional
            Raises CatalogueError if the table is not what it should be; it is then asked for again.

        Returns
        -------
        table : VoTable
        overflow : bool
            Whether there are more rows than were given.

        Raises
        ------
        ArchiveError
            If there is no whole answer: the server was silent, refused, or sent something else.
        """
        from pyvo.dal.tap import TAPQuery

        if self.release.login and not self._signed_in:
            self._sign_in()
        query = TAPQuery(self.release.url, adql, mode=mode, maxrec=rows, session=self._session)
        if mode == "async":
            return self._job(query, place, what, rows, check)

        def once() -> tuple[VoTable, bool]:
            self._receive(query.submit, place)
            return self._understand(place, rows, check)

        return self._patiently(what, once)

    def _job(
        self, query: Any, place: Path, what: str, rows: int | None, check: Callable[[VoTable], None] | None
    ) -> tuple[VoTable, bool]:
        """Run a query as a job: make it, start it, wait for it, take its result, remove it."""
        from requests import RequestException

        def made() -> str:
            url = self._receive(query.submit, place).rstrip("/")
            if url == query.queryurl:
                raise _Failure("made no job of the query (it answered without the address of one)")
            return url

        def once() -> tuple[VoTable, bool]:
            self._receive(partial(self._session.get, f"{job}/results/result", stream=True), place)
            return self._understand(place, rows, check)

        job = self._patiently(what, made)
        try:
            self._wait(job, place, what)
            return self._patiently(what, once)
        finally:
            try:
                self._session.delete(job, allow_redirects=False)
            except RequestException:
                log.info("%s: the job %s could not be removed", self.name, job)

    def _wait(self, job: str, place: Path, what: str) -> None:
        """Start a job where it needs that, and wait until it is completed."""

        def phase() -> str:
            self._receive(partial(self._session.get, f"{job}/phase", stream=True), place)
            said = place.read_text(encoding="utf-8", errors="replace").strip().upper()
            if not re.fullmatch("[A-Z_]{3,20}", said):
                raise _Failure(self._page(place.read_bytes()[:_PIECE]))
            return said

        def start() -> None:
            self._receive(partial(self._session.post, f"{job}/phase", data={"PHASE": "RUN"}, stream=True), place)

        begin, pause = time.monotonic(), max(self.release.pause / 4, 0.01)
        while (said := self._patiently(what, phase)) not in ("COMPLETED", "ARCHIVED"):
            if said in ("ERROR", "ABORTED"):
                self._patiently(
                    what, partial(self._receive, partial(self._session.get, f"{job}/error", stream=True), place)
                )
                text = self._words(place.read_bytes()[:_PIECE])
                raise QueryRefused(f"{self.name}: {what}: the job ended in {said}. The archive says: {text}")
            if said == "PENDING":
                self._patiently(what, start)
            if time.monotonic() - begin > self.release.patience:
                raise ArchiveError(
                    f"{self.name}: {what}: the job is still {said} after {self.release.patience:g} s. The archive may "
                    "be busy: try later, or with --mode sync. What was fetched before is kept."
                )
            time.sleep(pause)
            pause = min(1.5 * pause, 30.0)

    def download(self, url: str, place: Path, what: str) -> None:
        """Take a file as it is from an address.

        Parameters
        ----------
        url : str
        place : Path
            Where it is put.
        what : str
            What is asked for, for messages.

        Raises
        ------
        ArchiveError
            If it cannot be had whole, or is a web page.
        """

        def once() -> None:
            self._receive(partial(self._session.get, url, stream=True), place, what)
            head = place.read_bytes()[:_PIECE] if place.stat().st_size < _PIECE else b""
            if head.lstrip()[:1] == b"<" or not place.stat().st_size:
                raise _Failure(self._page(head), again=False)

        self._patiently(what, once)

    def _tell_size(self, answer: Any, place: Path, what: str) -> None:
        """Say how large a file is before it is taken, and refuse one that the disk has no room for."""
        size = int(answer.headers.get("Content-Length", 0) or 0)
        if size > LARGE:
            log.warning("%s: is a file of %.1f GB.", what, size / 1e9)
        free = shutil.disk_usage(place.parent).free
        if size > free:
            raise OutputError(
                f"{what}: has {size:,} bytes, and the disk of {place.parent} has room for {free:,}. Free some space or "
                "choose another --cache."
            )

    def _patiently(self, what: str, once: Callable[[], T]) -> T:
        """Return what a function returns; call it again, after ever longer pauses, while that may help."""
        renewed = False
        for attempt in range(1, self.release.tries + 1):
            try:
                return once()
            except _Failure as failure:
                text = f"{self.name}: {what}: {failure}"
                if failure.login and self._signed_in and not renewed:
                    log.warning("%s; logging in again.", text)
                    renewed = True
                    self._sign_in()
                    continue
                if not failure.again or attempt == self.release.tries:
                    raise self._given_up(text, failure, attempt) from failure
                wait = min(max(failure.wait, self.release.pause * 2 ** (attempt - 1)), _LONGEST_PAUSE)
            log.warning("%s; trying again in %g s (%d of %d).", text, wait, attempt, self.release.tries)
            time.sleep(wait)
        raise ArchiveError(f"{self.name}: {what}: the login was renewed and is not accepted.")

    def _given_up(self, text: str, failure: _Failure, attempts: int) -> ArchiveError:
        if not failure.again:
            return QueryRefused(f"{text}.")
        return ArchiveError(
            f"{text} ({attempts} tries). That does not mean that there are no rows: nothing is known of them. Try the "
            "same command later; what was fetched is kept and is not asked for again."
        )

    def _receive(self, send: Callable[[], Any], place: Path, file: str = "") -> str:
        """Put the body of an answer, or of a named file, into a file here, and return its final address."""
        from requests import exceptions as http

        size, begin, limit = 0, time.monotonic(), self.release.patience
        try:
            with send() as answer:
                self._check_status(answer)
                if file:
                    self._tell_size(answer, place, file)
                with open(place, "wb") as stream:
                    for piece in answer.iter_content(_PIECE):
                        size += len(piece)
                        stream.write(piece)
                        if time.monotonic() - begin > limit:
                            raise _Failure(f"was still sending after {limit:g} s ({size:,} bytes)")
                return str(answer.url if answer.next is None else answer.next.url)
        except http.SSLError as error:
            text = f"has no certificate that can be trusted ({self._clean(str(error))}). Is the clock right?"
            raise _Failure(text, again=False) from error
        except (http.ChunkedEncodingError, http.ContentDecodingError) as error:
            raise _Failure("the answer was cut off") from error
        except http.Timeout as error:
            raise _Failure(f"did not answer within {self.release.timeout:g} s") from error
        except http.ConnectionError as error:
            if size:
                raise _Failure(f"the answer stopped after {size:,} bytes") from error
            if "timed out" in str(error):
                raise _Failure(f"did not answer within {self.release.timeout:g} s") from error
            raise _Failure(f"cannot be reached ({self._reason(error)})") from error
        except http.RequestException as error:
            raise _Failure(f"cannot be asked ({self._reason(error)})", again=False) from error

    def _check_status(self, answer: Any) -> None:
        """Raise what a status of HTTP means, with the words of the server."""
        status = answer.status_code
        if status < 400:
            return
        try:
            said = self._words(next(answer.iter_content(_PIECE), b""))
        except Exception:  # the body of an error is a courtesy
            said = ""
        text = f"HTTP {status}" + (f" ({said})" if said else "")
        if status in (401, 403):
            known = "the login is not accepted or has expired" if self._signed_in else "it asks for a login"
            raise _Failure(f"{known}: {text}", again=False, login=True)
        pause = str(answer.headers.get("Retry-After", ""))
        raise _Failure(f"says {text}", again=status in _BUSY, wait=float(pause) if pause.isdecimal() else 0.0)

    def _understand(
        self, place: Path, rows: int | None, check: Callable[[VoTable], None] | None
    ) -> tuple[VoTable, bool]:
        """Return the answer as a table, if it is one and whole; and whether rows are lacking."""
        overflow = self._check_whole(place)
        _mend_none(place)
        try:
            table = VoTable(place)
            # A service that honours MAXREC need not say so: as many rows as were allowed may be too few.
            overflow = overflow or (rows is not None and (table.rows or 0) >= rows)
            if check is not None and not overflow:
                check(table)
        except CatalogueError as error:
            raise _Failure(f"sent a table that is not right: {str(error).replace(f'{place}: ', '')}") from error
        return table, overflow

    def _check_whole(self, place: Path) -> bool:
        """Refuse what is no whole VOTable, or one that reports an error; return whether it reports an overflow."""
        with open(place, "rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        if packed:
            _unpack(place)
        size = place.stat().st_size
        with open(place, "rb") as stream:
            head = stream.read(_PIECE)
            stream.seek(max(size - _PIECE, 0))
            tail = stream.read()
        if not head.strip():
            raise _Failure("sent an empty answer")
        if not VoTable.begins(head[:4096]):
            login = bool(self.release.login) and re.search(rb"type\s*=\s*[\"']?password", head, re.I) is not None
            raise _Failure(self._page(head), login=login, again=not login)
        if not re.search(rb"</(\w+:)?VOTABLE>\s*$", tail):
            raise _Failure(f"the answer was cut off after {size:,} bytes")
        states = {**_query_states(head), **_query_states(tail)}
        if "ERROR" in states:
            said = self._clean(states["ERROR"]) or "no reason"
            if re.search(rb"<(\w+:)?TABLE\b", head):
                raise _Failure(f"failed while it was sending rows ({said})")
            raise _Failure(f"cannot run the query. It says: {said}", again=False)
        return "OVERFLOW" in states

    def _sign_in(self) -> None:
        """Log in, so that the session holds the cookie of it."""
        login = self.release.login or ""
        pair = credentials(login)
        if pair is None:
            raise ArchiveError(
                f"{self.name}: needs a login, and none is known here. Set {USER} and {PASSWORD}, or store it once: "
                f"keyring set {urlsplit(login).hostname} YOUR_NAME."
            )
        self._secrets = [word for word in (*pair, base64.b64encode(":".join(pair).encode()).decode()) if word]
        self._session.cookies.clear()
        data = {"login": pair[0], "password": pair[1], "submit": "Sign+In"}
        refused = (
            f"{self.name}: the archive does not accept the login. Check {USER} and {PASSWORD}, or the entry "
            f"{urlsplit(login).hostname} of the keyring, and that the account may read this release."
        )

        def once() -> bool:
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder) / "answer"
                # A redirect is followed without the password, wherever it leads.
                url = self._receive(partial(self._session.post, login, data=data, allow_redirects=False), place)
                if url != login:
                    self._receive(partial(self._session.get, url, stream=True), place)
                return re.search(rb"type\s*=\s*[\"']?password", place.read_bytes()[: 4 * _PIECE], re.I) is None

        self._signed_in = False
        try:
            accepted = self._patiently("login", once)
        except QueryRefused as error:
            raise ArchiveError(f"{refused} ({self._clean(str(error))})") from error
        if not accepted:
            raise ArchiveError(refused)
        self._basic.set(*pair)
        self._signed_in = True

    def _page(self, head: bytes) -> str:
        title = re.search(rb"<title[^>]*>(.*?)</title>", head, re.I | re.S)
        said = self._words(title.group(1) if title else head)
        web = title is not None or b"<html" in head.lower()
        return f"answered with {'a web page' if web else 'something else'} instead of a table ({said})"

    def _words(self, body: bytes) -> str:
        """Return what a page or an error document says, short and in one line."""
        states = _query_states(body)
        if states:
            return self._clean(next(iter(states.values())))
        text = re.sub(rb"<(script|style)\b.*?</\1>|<[^>]*>", b" ", body, flags=re.I | re.S)
        return self._clean(html.unescape(text.decode("utf-8", "replace")))

    def _reason(self, error: Exception) -> str:
        known = re.search(_BROKEN, str(error))
        return known.group(0) if known else self._clean(re.sub("<[^>]*>", "", str(error)))

    def _clean(self, text: str) -> str:
        """Return text without secrets, in one line of 200 letters at most."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:200]


def _query_states(part: bytes) -> dict[str, str]:
    """Return what the INFO elements QUERY_STATUS of part of a VOTable state, with their text."""
    found = {}
    for match in re.finditer(rb"<(?:\w+:)?INFO\b([^>]*?)(/>|>(.*?)</(?:\w+:)?INFO>)", part, re.S):
        attributes = dict(re.findall(rb"(\w+)\s*=\s*[\"']([^\"']*)[\"']", match.group(1)))
        if attributes.get(b"name", b"").upper() == b"QUERY_STATUS":
            text = html.unescape((match.group(3) or b"").decode("utf-8", "replace"))
            text = re.sub(r"<!\[CDATA\[|\]\]>", "", text)
            found[attributes.get(b"value", b"").decode("ascii", "replace").upper()] = text
    return found


def _unpack(place: Path) -> None:
    plain = place.with_name(place.name + ".plain")
    try:
        with gzip.open(place, "rb") as packed, open(plain, "wb") as stream:
            shutil.copyfileobj(packed, stream)
    except (EOFError, gzip.BadGzipFile) as error:
        raise _Failure(f"the answer was cut off after {place.stat().st_size:,} bytes (gzip)") from error
    os.replace(plain, place)


def _mend_none(place: Path) -> None:
    """Make arrays of integers with ``None`` in them readable: CEFCA writes so, and parsers of VOTable fail on it."""
    content = place.read_bytes()
    if re.search(rb"[> ]None[ <]", content) is None:
        return
    content = re.sub(rb"(?<=[> ])None(?=[ <])", b"NaN", content)

    def wider(match: re.Match[bytes]) -> bytes:
        field = match.group(0)
        size = re.search(rb"arraysize\s*=\s*[\"']([^\"']*)[\"']", field)
        if size is None or size.group(1) == b"1":
            return field
        return re.sub(rb"datatype\s*=\s*[\"'](short|int|long|unsignedByte)[\"']", b'datatype="double"', field)

    place.write_bytes(re.sub(rb"<(?:\w+:)?FIELD\b[^>]*>", wider, content))

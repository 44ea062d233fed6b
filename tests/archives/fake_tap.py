"""A TAP service on the loopback that answers as CEFCA's is known to: prefixed or upper-case names, arrays with None in
them, bands picked by macro, at most so many rows at once, a login by form and cookie, and faults that a test plants."""

from __future__ import annotations

import base64
import contextlib
import gzip
import re
import socket
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import numpy as np

LOGIN_PAGE = (
    "<html><title>Sign in</title><form><input name='login'><input type='password' name='password'></form></html>"
)
USER, PASSWORD = "ada@example.org", "s3cret&pass"


def votable(fields, rows, status="OK", trailing="", text=""):
    """Return a VOTable of TABLEDATA; `fields` are (name, datatype, arraysize, unit)."""
    head = "".join(
        f'<FIELD name="{name}" datatype="{kind}"'
        + (f' arraysize="{size}"' if size else "")
        + (f' unit="{unit}"' if unit else "")
        + "/>"
        for name, kind, size, unit in fields
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="{status}">{escape(text)}</INFO>'
        + (f"<TABLE>{head}<DATA><TABLEDATA>{''.join(rows)}</TABLEDATA></DATA></TABLE>" if fields else "")
        + f"{trailing}</RESOURCE></VOTABLE>\n"
    )


OVERFLOW = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>'


KINDS = {"f4": "float", "f8": "double", "i2": "short", "i4": "int", "i8": "long"}


class Table:
    """A table: plain columns in SQLite for the conditions, every cell as text for the answers."""

    def __init__(self, name, columns, order=(), macro=""):
        self.name, self.order, self.macro = name, list(order), macro
        self.columns = {}  # name -> (datatype, arraysize, unit, cells)
        self.plain = {}
        for column, values, *unit in columns:
            values = np.asarray(values)
            kind = {"f4": "float", "f8": "double", "i2": "short", "i4": "int", "i8": "long"}.get(
                values.dtype.str[1:], "char"
            )
            size = "*" if values.ndim > 1 or kind == "char" else ""
            self.columns[column.upper()] = (kind, size, unit[0] if unit else "", self._cells(values))
            if values.ndim == 1:
                self.plain[column.upper()] = values

    @staticmethod
    def _cells(values):
        def one(value):
            return "None" if isinstance(value, float) and value != value else str(value)

        if values.ndim == 1:
            return [escape("" if one(value) == "None" else one(value)) for value in values.tolist()]
        if values.dtype.kind == "f":
            return [" ".join(map(one, (float(str(v)) for v in row))) for row in values]
        return [" ".join(map(str, row)) for row in values.tolist()]

    def load(self, base):
        names = ", ".join(self.plain)
        base.execute(f"CREATE TABLE {self.name.replace('.', '_')} ({names})")
        rows = zip(*(column.tolist() for column in self.plain.values()), strict=True)
        base.executemany(f"INSERT INTO {self.name.replace('.', '_')} VALUES ({','.join('?' * len(self.plain))})", rows)

    def pick(self, expression):
        """Return field and cells of an expression of a select list."""
        body, _, label = re.sub(r"\s+AS\s+", "\0", expression.strip(), flags=re.I).partition("\0")
        macro = re.fullmatch(r"(\w+)\[(\w+)::(\w+)\]", body)
        if macro:
            column, prefix, band = macro.groups()
            if prefix != self.macro or band not in self.order:
                raise KeyError(body)
            kind, _, unit, cells = self.columns[column.upper()]
            place = self.order.index(band)
            picked = ["" if (value := cell.split()[place]) == "None" else value for cell in cells]
            return (label or column, kind, "", unit), picked
        kind, size, unit, cells = self.columns[body.upper()]
        return (label or body, kind, size, unit), cells


class FakeTap:
    """The service; `faults` maps the number of a query for rows (from 1) to what happens to it, once."""

    def __init__(self, tables, *, limit=10_000, login=False, names=lambda table, name: name.upper(), pages=None):
        self.tables = {table.name.lower(): table for table in tables}
        self.limit, self.login, self.names, self.pages = limit, login, names, dict(pages or {})
        self.base = sqlite3.connect(":memory:", check_same_thread=False)
        self.base.create_function("POINT", 3, lambda _, a, b: f"{a!r} {b!r}")
        self.base.create_function("CIRCLE", 4, lambda _, a, b, r: f"{a!r} {b!r} {r!r}")
        self.base.create_function("CONTAINS", 2, _contains)
        for table in tables:
            table.load(self.base)
        self.lock = threading.Lock()
        self.faults, self.queries, self.agents, self.auths, self.sessions = {}, [], set(), [], set()
        self.bodies = []
        self.jobs, self.data, self.logins, self.busy, self.most_busy = {}, 0, 0, 0, 0
        self.password, self.hidden = PASSWORD, set()
        self.ignores_maxrec_status, self.login_leads_to = False, None
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                fake.handle(self, {})

            def do_DELETE(self):
                fake.handle(self, {})

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                fake.handle(self, {key: value[0] for key, value in parse_qs(body, keep_blank_values=True).items()})

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # a client that went away is part of the tests

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    def handle(self, request, form):
        with self.lock:
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            self.answer(request, urlsplit(request.path).path, form)
        finally:
            with self.lock:
                self.busy -= 1

    def answer(self, request, path, form):
        self.agents.add(request.headers.get("User-Agent"))
        self.auths.append((path, request.headers.get("Authorization")))
        self.bodies.append((path, str(form)))
        if path == "/login":
            return self.sign_in(request, form)
        if path in self.pages:
            return self.send(request, self.pages[path], kind="application/octet-stream")
        cookie = request.headers.get("Cookie", "")
        if self.login and cookie.removeprefix("JSESSIONID=") not in self.sessions:
            return self.send(request, LOGIN_PAGE)
        if path == "/tap/sync":
            return self.rows(request, form["QUERY"], int(form.get("MAXREC", self.limit)))
        if path == "/tap/async":
            name = str(len(self.jobs) + 1)
            self.jobs[name] = ["PENDING", form]
            return self.send(request, "", status=303, location=f"{self.url}/tap/async/{name}")
        return self.job(request, path.removeprefix("/tap/async/").split("/"), form)

    def job(self, request, parts, form):
        name = parts[0]
        if request.command == "DELETE":
            self.jobs[name][0] = "DELETED"
            return self.send(request, "", status=303, location=f"{self.url}/tap/async")
        job = self.jobs[name]
        if parts[1:] == ["phase"] and form.get("PHASE") == "RUN":
            job[0] = "EXECUTING"
            return self.send(request, "", status=303, location=f"{self.url}/tap/async/{name}")
        if parts[1:] == ["phase"]:
            said = job[0]
            if said == "EXECUTING":
                job[0] = self.faults.pop("job", "COMPLETED")
            return self.send(request, said, kind="text/plain")
        if parts[1:] == ["error"]:
            return self.send(request, votable([], [], "ERROR", text="the disk of the archive is full"))
        if parts[1:] == ["results", "result"]:
            wanted = "Basic " + base64.b64encode(f"{USER}:{self.password}".encode()).decode()
            if self.login and request.headers.get("Authorization") != wanted:
                return self.send(request, "who are you?", status=401)
            return self.rows(request, job[1]["QUERY"], int(job[1].get("MAXREC", 10**9)), limit=10**9)
        return self.send(request, f"<job>{job[0]}</job>", kind="text/xml")

    def sign_in(self, request, form):
        self.logins += 1
        if self.login_leads_to:
            return self.send(request, "", status=self.login_leads_to[0], location=self.login_leads_to[1])
        if (form.get("login"), form.get("password")) != (USER, self.password):
            return self.send(request, LOGIN_PAGE)
        self.sessions.add(f"s{self.logins}")
        return self.send(request, "<html>welcome</html>", cookie=f"JSESSIONID=s{self.logins}; Path=/")

    def rows(self, request, query, maxrec, limit=None):
        self.queries.append(query)
        try:
            fields, rows, is_data = self.run(query)
        except (KeyError, sqlite3.Error) as error:
            text = f"unknown column or table: {error}"
            return self.send(request, votable([], [], "ERROR", text=text), status=400, kind="text/xml")
        most = min(maxrec, limit or self.limit)
        trailing = OVERFLOW if len(rows) > most and not self.ignores_maxrec_status else ""
        fault = None
        if is_data:
            self.data += 1
            fault = self.faults.pop(self.data, self.faults.get("always"))
        if fault is not None:
            return fault(self, request, fields, rows[:most])
        return self.send(request, votable(fields, rows[:most], trailing=trailing), kind="application/x-votable+xml")

    def run(self, query):
        match = re.fullmatch(
            r"SELECT (?:TOP (\d+) )?(.*?) FROM ([\w.]+)(?: WHERE (.*?))?( GROUP BY \w+)?", query.strip(), re.S
        )
        top, select, name, where, group = match.groups()
        table = self.tables[name.lower()]
        if name in self.hidden:
            raise KeyError(name)
        place = name.replace(".", "_")
        tail = f" WHERE {where}" if where else ""
        if group:
            found = self.base.execute(f"SELECT {select} FROM {place}{tail}{group}").fetchall()
            labels = [part.rpartition(" ")[2] for part in re.sub(r"\([^)]*\)", "()", select).split(",")]
            fields = [(self.names(table, label.strip()), "long", "", "") for label in labels]
            return fields, ["<TR>" + "".join(f"<TD>{value}</TD>" for value in row) + "</TR>" for row in found], False
        numbers = [row[0] - 1 for row in self.base.execute(f"SELECT rowid FROM {place}{tail}")]
        numbers = numbers[: int(top)] if top else numbers
        wanted = list(table.columns) if select.strip() == "*" else [part.strip() for part in select.split(",")]
        picked = [table.pick(part) for part in wanted]
        fields = [(self.names(table, field[0]), *field[1:]) for field, _ in picked]
        cells = [column for _, column in picked]
        rows = ["<TR><TD>" + "</TD><TD>".join([column[row] for column in cells]) + "</TD></TR>" for row in numbers]
        return fields, rows, top is None and len(table.columns) > 3 and "::" not in select

    def send(
        self, request, body, *, status=200, kind="text/html", location=None, cookie=None, after=None, packed=False
    ):
        body = body.encode() if isinstance(body, str) else body
        body = gzip.compress(body, 1) if packed else body
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            request.send_response(status)
            request.send_header("Content-Type", kind)
            request.send_header("Content-Length", str(len(body)))
            if packed:
                request.send_header("Content-Encoding", "gzip")
            if location:
                request.send_header("Location", location)
            if cookie:
                request.send_header("Set-Cookie", cookie)
            if after is not None:
                request.send_header("Retry-After", str(after))
            request.end_headers()
            request.wfile.write(body)


def _contains(point, circle):
    ra, dec = (np.deg2rad(float(word)) for word in point.split())
    ra0, dec0, radius = (np.deg2rad(float(word)) for word in circle.split())
    cos = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
    return int(np.arccos(np.clip(cos, -1, 1)) <= radius)


# Faults: each takes the service, the request, the fields and the rows of the answer that it spoils.


def silence(fake, request, fields, rows):
    time.sleep(1.0)
    _close(request)


def error_page(fake, request, fields, rows):
    fake.send(request, "<html><head><title>Servicio no disponible</title></head><body>try later</body></html>")


def busy(fake, request, fields, rows):
    fake.send(request, "<html><title>Service Unavailable</title></html>", status=503, after=0)


def cut_stream(fake, request, fields, rows):
    """Close in mid-row, before as many bytes were sent as were promised."""
    body = votable(fields, rows).encode()
    request.send_response(200)
    request.send_header("Content-Type", "application/x-votable+xml")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body[: len(body) // 2])
    request.wfile.flush()
    _close(request)


def cut_unnoticed(fake, request, fields, rows):
    """End in mid-row, as if that were all."""
    fake.send(request, votable(fields, rows).encode()[: -len(rows) * 20], kind="application/x-votable+xml")


def overflow(fake, request, fields, rows):
    """Give half of the rows and say so."""
    fake.send(request, votable(fields, rows[: len(rows) // 2], trailing=OVERFLOW), kind="application/x-votable+xml")


def fewer_rows(fake, request, fields, rows):
    """Give fewer rows and say nothing."""
    fake.send(request, votable(fields, rows[:-3]), kind="application/x-votable+xml")


def one_twice(fake, request, fields, rows):
    fake.send(request, votable(fields, [*rows[:-1], rows[0]]), kind="application/x-votable+xml")


def error_at_end(fake, request, fields, rows):
    trailing = '<INFO name="QUERY_STATUS" value="ERROR">database gone away</INFO>'
    fake.send(request, votable(fields, rows[:5], trailing=trailing), kind="application/x-votable+xml")


def login_expires(fake, request, fields, rows):
    fake.sessions.clear()
    fake.send(request, LOGIN_PAGE)


def login_refused(fake, request, fields, rows):
    fake.sessions.clear()
    fake.send(request, "session expired", status=401)


def other_columns(fake, request, fields, rows):
    fields = [(name.replace("FLAGS", "FLAGGED"), *rest) for name, *rest in fields]
    fake.send(request, votable(fields, rows), kind="application/x-votable+xml")


def shorter_arrays(fake, request, fields, rows):
    """Give the last array of each row one value less."""
    rows = [row.rpartition(" ")[0] + "</TD></TR>" for row in rows]
    fake.send(request, votable(fields, rows), kind="application/x-votable+xml")


def garbage(fake, request, fields, rows):
    fake.send(request, bytes(range(32)) * 100, kind="application/x-votable+xml")


def packed(fake, request, fields, rows):
    fake.send(request, votable(fields, rows), kind="application/x-votable+xml", packed=True)


def packed_file(fake, request, fields, rows):
    fake.send(request, gzip.compress(votable(fields, rows).encode(), 1), kind="application/gzip")


def redirected(fake, request, fields, rows):
    fake.pages["/tmp/result.xml"] = votable(fields, rows).encode()
    fake.send(request, "", status=303, location=f"{fake.url}/tmp/result.xml")


def _close(request):
    request.close_connection = True
    with contextlib.suppress(OSError):
        request.connection.shutdown(socket.SHUT_RDWR)


# A small release.

ORDER = ["r", "g", "i", "z", "u"]  # of the arrays: neither by wavelength nor by FILTER_ID
TILES = {2241: 60, 2242: 35, 2243: 250, 22411: 70, 2244: 3}


def make_sky(seed=3, tiles=None, column_names=str):
    """Return the tables of a small release, and its rows by (tile, number)."""
    rng = np.random.default_rng(seed)
    tiles = tiles or TILES
    n = sum(tiles.values())
    tile = np.repeat(np.array(list(tiles), dtype="i4"), list(tiles.values()))
    number = np.concatenate([rng.permutation(2 * k)[:k] + 1 for k in tiles.values()]).astype("i4")
    flux = rng.normal(5, 3, (n, 5)).astype("f4")
    flux[rng.random((n, 5)) < 0.15] = np.nan
    columns = [
        ("TILE_ID", tile),
        ("NUMBER", number),
        ("ALPHA_J2000", rng.uniform(214, 216, n), "deg"),
        ("DELTA_J2000", rng.uniform(52, 53, n), "deg"),
        ("FLUX_APER_COR_3_0", flux),
        ("FLUX_RELERR_APER_COR_3_0", np.where(np.isnan(flux), np.nan, rng.normal(0.1, 0.02, (n, 5))).astype("f4")),
        ("FLAGS", (3 * (rng.random((n, 5)) < 0.1)).astype("i2")),
        ("MASK_FLAGS", np.isnan(flux).astype("i2")),
        ("CLASS_STAR", rng.random(n).astype("f4")),
        ("MU_MAX", rng.random(n).astype("f4")),
    ]
    order = np.lexsort((number, tile))
    truth = {column_names(name): np.asarray(values)[order] for name, values, *_ in columns}
    filters = Table("jpas.Filter", [("FILTER_ID", np.arange(1, 6, dtype="i4")), ("name", np.array(list("ugriz")))])
    return [Table("jpas.FLambdaDualObj", columns, ORDER, "jpas"), filters], truth

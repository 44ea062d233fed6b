"""Text tables with a header line, CSV, ECSV and IPAC, read in blocks."""

from __future__ import annotations

import atexit
import csv
import io
import itertools
import json
import re
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from ...errors import CatalogueError
from ..bands import vacuum_wavelengths
from ..batches import Block, stack_rows
from ..packing import open_content
from ..spelling import NULLS, SEXAGESIMAL, SEXAGESIMAL_HINT, angstroms, repeated_names
from ..tables import FORMATS, Column, Extension, Kind, RawTable, Want, cards_of, peek
from .parquet import block_of, column_of, ecsv_header, first_line, header_units

T = TypeVar("T")
_CSV_BYTES = 4 << 20
_HEAD_BYTES = 1 << 20
_CSV_TYPES: dict[Want, pa.DataType] = {"float": pa.float64(), "int": pa.int64(), "text": pa.string()}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?")
_SEPARATOR = re.compile(r"\ufeff?\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
"""The line by which Excel is told what stands between the columns."""
_OTHER_LENGTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)")
_PROSE = (".md", ".rst")
_OTHERS = {
    r"\s*(\{\s*\"|\[\s*[\[{])": "JSON, which is not read here. Write it as CSV or Parquet (pandas.read_json reads it)",
    r"(.*\n){0,200}Byte-by-byte Description of file": "a table of CDS or AAS (MRT), which is not read here. Write it "
    "as ECSV: astropy's Table.read(FILE, format='ascii.mrt') reads it",
}
"""What texts are that are no table with a header line, by how they begin."""
_BLANK = sorted({pad(word, n) for word in NULLS for n in range(41) for pad in (str.rjust, str.ljust)})
"""Words for no value, with the blanks by which columns are lined up."""
_WIDER = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_WIDE = (b"\xff\xfe", b"\xfe\xff")


@FORMATS.register("csv")
class CsvTable(RawTable):
    """A text table with a header line; lines that begin with # are skipped.

    Columns are separated by comma, semicolon, tab or bar, whichever the header has most of, else by single blanks; in
    ECSV as its own header says, which also gives units, keywords and the lengths of arrays; in an IPAC table by the
    places of the bars of its header, which also gives units and what stands for a missing value. Numbers are read as
    64-bit floats unless an integer is asked for, which then must be one in every row. Text is UTF-8, or UTF-16 with
    its mark; what is neither is read as Latin-1, which is noted.

    Parameters
    ----------
    path : Path
        May be packed.
    hdu : Extension
        Without meaning here.

    Raises
    ------
    CatalogueError
        If there is no header line, or the header of an ECSV file cannot be understood.
    """

    format = "CSV"

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path, self.place = path, path.name
        if path.suffix.lower() in _PROSE:
            raise CatalogueError(f"{path}: is a text for people ({path.suffix}), no table.")
        lines = self._lines(peek(path, _HEAD_BYTES))
        if is_ := next((of for begins, of in _OTHERS.items() if re.match(begins, "\n".join(lines[:400]))), None):
            raise CatalogueError(f"{path}: is {is_}.")
        self._bars = _ipac_header(lines)
        stated = next((found[1] for line in lines[:1] if (found := _SEPARATOR.fullmatch(line))), None)
        begin = 0 if stated is None else 1
        own = (i for i, line in enumerate(lines) if i >= begin and line.strip() and not line.startswith("#"))
        self._skip = next(own, len(lines))
        if self._skip == len(lines):
            raise CatalogueError(f"{path}: has comment lines only, no header line with column names.")
        self._arrays: dict[str, int] = {}
        self._units: dict[str, str] = {}
        if self._bars:
            self._skip = lines.index(self._bars[0]) + len(self._bars) - 1
            names, *_ = rows = [_between(line) for line in self._bars]
            lines[self._skip] = "|".join(names)
            self._units = {name: unit for name, unit in zip(names, rows[2] if rows[2:] else [], strict=False) if unit}
        _refuse_curve(path, lines[self._skip : self._skip + 20])
        header = lines[self._skip]
        self._delimiter = "|" if self._bars else (stated or self._separator(lines[self._skip : self._skip + 20]))
        if re.match(r"#\s*%ECSV", lines[0]):
            self._understand([line[2:] for line in lines[: self._skip]])
        elif path.with_name(f"{path.name}.json").is_file():
            self.cards = _companion_cards(path.with_name(f"{path.name}.json"))
        self._names = self._unique(header, lines[: self._skip])
        self.columns = {name: self._described(column) for name, column in self._sniffed().items()}

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes may be a text table."""
        return head.startswith((*_WIDER, *_WIDE)) or (b"\0" not in head and not head.lstrip().startswith(b"<"))

    def _lines(self, head: bytes) -> list[str]:
        """Return the first lines, and note how their letters are encoded."""
        if head.startswith(_WIDER):
            raise CatalogueError(f"{self.path}: its text is UTF-32, which is not read here. Write it as UTF-8.")
        self._encoding = "utf-16" if head.startswith(_WIDE) else "utf8"
        try:
            # The last letter may be cut.
            return (
                head[: -4 if len(head) == _HEAD_BYTES else None]
                .decode("utf-8-sig" if self._encoding == "utf8" else "utf-16")
                .splitlines()
            )
        except UnicodeDecodeError:
            self._encoding = "latin-1"
            self._notes += ("its text is no UTF-8 and is read as Latin-1: accented letters may be wrong",)
            return head.decode("latin-1").splitlines()

    def _separator(self, lines: Sequence[str]) -> str:
        """Return the letter that stands between the columns."""
        found = max(",;\t|", key=lines[0].count)
        if lines[0].count(found) or " " not in lines[0].strip():
            return found
        if any("  " in line.strip() or line != line.strip() for line in lines):
            raise CatalogueError(
                f"{self.path}: its columns are parted by runs of blanks, which is not read here. Write them with "
                "commas, as CSV."
            )
        return " "

    def _understand(self, header: Sequence[str]) -> None:
        """Take delimiter, units, arrays and keywords from the header of an ECSV file."""
        try:
            about = ecsv_header(header[1:])
            delimiter, meta = str(about.get("delimiter", " ")), about.get("meta") or {}
            meta = dict(meta if isinstance(meta, dict) else list(meta))
            for one in about["datatype"]:
                if one.get("unit"):
                    self._units[str(one["name"])] = str(one["unit"])
                length = re.fullmatch(r"\w+\[(\d{1,6}|null)\]", str(one.get("subtype", "")))
                if length:
                    self._arrays[str(one["name"])] = 0 if length.group(1) == "null" else int(length.group(1))
            self.cards = cards_of(meta)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CatalogueError(
                f"{self.path}: has a damaged ECSV header ({first_line(error)}). Fetch or write it again."
            ) from error
        if delimiter not in (" ", ","):
            raise CatalogueError(f"{self.path}: has the delimiter {delimiter!r}; an ECSV file has a blank or a comma.")
        self._delimiter = delimiter

    def _unique(self, header: str, before: Sequence[str]) -> list[str] | None:
        """Return names that differ where the header repeats one, else None: the header is read as it stands then."""
        names = [name.strip() for name in next(csv.reader([header], delimiter=self._delimiter), [])]
        numbers = [bool(_NUMBER.fullmatch(name)) for name in names]
        said = next((line for line in reversed(before) if line.strip("# ")), "")
        commented = any(numbers) and len(said.strip("# ").split(self._delimiter)) == len(names)
        if names and (all(numbers) or commented):
            hint = f" The names seem to stand in the comment {said.strip()[:40]!r}: remove its #." if commented else ""
            raise CatalogueError(f"{self.path}: has no header line with column names before its values.{hint}")
        self.repeated = repeated_names(names)
        if not self.repeated:
            return None
        return [name if name not in names[:i] else f"{name}\0{i}" for i, name in enumerate(names)]

    def _described(self, column: Column) -> Column:
        unit = self._units.get(column.name)
        if column.name in self._arrays:
            return Column(column.name, "float", self._arrays[column.name], unit)
        return Column(column.name, column.kind, None, unit)

    def _reader(self, want: Mapping[str, Want] | None) -> pacsv.CSVStreamingReader:
        convert: dict[str, Any] = {"null_values": _BLANK, "strings_can_be_null": False}
        if want is not None:
            convert["include_columns"] = list(want)
            convert["column_types"] = {name: self._type(name, kind) for name, kind in want.items()}
        return pacsv.open_csv(
            self._source(),
            read_options=pacsv.ReadOptions(
                use_threads=False,
                skip_rows=self._skip + (self._names is not None),
                block_size=_CSV_BYTES,
                column_names=self._names,
                encoding="latin-1" if self._encoding == "latin-1" else "utf8",
            ),
            parse_options=pacsv.ParseOptions(delimiter=self._delimiter),
            convert_options=pacsv.ConvertOptions(**convert),
        )

    def _source(self) -> pa.NativeFile:
        content = open_content(self.path)
        rows = _ipac_rows(content, self._bars) if self._bars else _uncommented(content, self._encoding)
        return pa.PythonFile(_lend(_Rewritten(rows)), mode="r")

    def _type(self, name: str, want: Want) -> pa.DataType:
        if name in self._arrays:
            return pa.string()
        if (want, self.columns[name].kind) == ("int", "float"):
            return pa.string()  # what is spelt 2245.0 is an integer, and 2.2E+03 may have lost digits
        if want != "any":
            return _CSV_TYPES[want]
        # Types are told from the first block only: an integer may be followed by 1.5 further down.
        kind: Kind = self.columns[name].kind
        return pa.float64() if kind in ("int", "float") else pa.string()

    def _sniffed(self) -> dict[str, Column]:
        try:
            with self._reader(None) as reader:
                # A column without any value may be of any kind.
                columns = [
                    Column(field.name, "int") if pa.types.is_null(field.type) else column_of(field)
                    for field in reader.schema
                ]
        except (pa.ArrowException, UnicodeError, OSError) as error:
            raise self._explained(error, 0) from error
        names = [column.name for column in columns]
        if self._names is None and repeated_names(names):
            raise CatalogueError(
                f"{self.path}: the header names {', '.join(sorted(repeated_names(names)))} more than once. Rename or "
                "drop one."
            )
        self._order = names
        return {column.name: column for column in columns if "\0" not in column.name}

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        start = 0
        try:
            with self._reader(want) as reader:
                for batch in reader:
                    if len(batch):
                        block = block_of(batch, want, self.place, start)
                        yield {name: self._values(name, value, start) for name, value in block.items()}
                    start += len(batch)
        except (pa.ArrowException, UnicodeError, OSError) as error:
            raise self._explained(error, start) from error

    def _values(self, name: str, values: np.ndarray, start: int) -> np.ndarray:
        """Return a column as it is, or the arrays that its text spells."""
        if name not in self._arrays:
            return values
        try:
            rows = [json.loads(value) if value else None for value in values]
        except (ValueError, RecursionError) as error:
            raise CatalogueError(
                f"{self.place}[{name}]: holds what is no array of numbers after row {start} ({first_line(error)})."
            ) from error
        return stack_rows(rows, name, self.place, start)

    def _explained(self, error: Exception, row: int) -> CatalogueError:
        text = first_line(error)
        found = re.search(
            r"CSV column #(\d+):(?: Row #(\d+):)? CSV conversion error to (\w+): invalid value '(.*)'", text
        )
        if odd := _OTHER_LENGTH.search(text):
            at, wanted, cells, line = odd.groups()
            return CatalogueError(
                f"{self.path}: the line {line.strip()!r} (row {int(at) - 1 - self._skip} under the header) parts into "
                f"{cells}, and the header into {wanted}. Each line needs as many values as the header: mend it; of "
                "what is none of the table, such as a title above it or a count of its rows below, remove the line or "
                "begin it with #."
            )
        if not found:
            return CatalogueError(
                f"{self.path}: is damaged after row {row} ({text}). Each line needs as many values as the header."
            )
        name = self._order[int(found.group(1))]
        line = f" (line {found.group(2)})" if found.group(2) else ""
        value, wanted = found.group(4), "an integer" if found.group(3) == "int64" else "a number"
        hint = ""
        if wanted == "an integer" and _NUMBER.fullmatch(value):
            hint = " It is stored as floating point, which corrupts ids above 2^53: export it as a 64-bit integer."
        elif _NUMBER.fullmatch(value):
            hint = " Numbers are written with e for the exponent, not with Fortran's d."
        elif _NUMBER.fullmatch(value.replace(",", ".", 1)):
            hint = " Numbers are written with a point, not with a decimal comma."
        elif SEXAGESIMAL.fullmatch(value):
            hint = SEXAGESIMAL_HINT
        elif line.endswith(f"(line {self._skip + 2})"):
            hint = " If that line states units, remove it."
        return CatalogueError(f"{self.path}[{name}]: holds {value!r}{line} where {wanted} is needed.{hint}")


_lent: weakref.WeakSet[Any] = weakref.WeakSet()
"""What of Python's is in the hands of Arrow's threads, which drop it a moment after a reader is closed."""


def _lend(thing: T) -> T:
    _lent.add(thing)
    return thing


@atexit.register
def _wait_for_arrow() -> None:
    """Wait till Arrow's threads hold nothing of Python's: one that drops it while the interpreter ends aborts it."""
    for _ in range(10_000):  # naps and no clock: a machine that stood still finds its time over when it wakes
        if not _lent:
            break
        time.sleep(0.001)


def _ipac_header(lines: Sequence[str]) -> list[str]:
    """Return the lines of names, types, units and missing values of an IPAC table; none of any other text.

    The format is IRSA's: https://irsa.ipac.caltech.edu/applications/DDGEN/Doc/ipac_tbl.html
    """
    rest = list(itertools.dropwhile(lambda line: line.startswith("\\") or not line.strip(), lines))
    bars = list(itertools.takewhile(lambda line: line.startswith("|") and line.rstrip().endswith("|"), rest))
    return bars if len(bars) <= 4 and rest[len(bars) :][:1] and rest[len(bars)].startswith(" ") else []


def _between(line: str) -> list[str]:
    """Return what stands between the bars of a header line of an IPAC table, without blanks and dashes around it."""
    return [value.strip().strip("-").strip() for value in line.strip()[1:-1].split("|")]


class _Rewritten(io.RawIOBase):
    """A text table in other words than its file has: blocks of bytes, none of them empty, as a stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._left = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while len(self._left) < len(buffer) and (more := next(self._blocks, b"")):
            self._left += more
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _ipac_rows(content: Any, bars: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines of an IPAC table as values parted by bars; what stands for a missing value becomes blank.

    They are as many as the table has; those before the names are blank.
    """
    spans = list(itertools.pairwise(i for i, letter in enumerate(bars[0]) if letter == "|"))
    missing = [word or "null" for word in _between(bars[3])] if bars[3:] else ["null"] * len(spans)
    lines = iter(io.TextIOWrapper(content, encoding="utf-8", errors="replace"))
    text, passed = io.StringIO(), 0
    writer = csv.writer(text, delimiter="|", lineterminator="\n")
    while passed < len(bars):
        passed += next(lines).startswith("|")
        yield b"\n" if passed < len(bars) else ("|".join(_between(bars[0])) + "\n").encode()
    while some := list(itertools.islice(lines, 4096)):
        for line in some:
            values = (line[start:end].strip() for start, end in spans)
            writer.writerow("" if value == word else value for value, word in zip(values, missing, strict=True))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _uncommented(content: Any, encoding: str) -> Iterator[bytes]:
    """Yield text in UTF-8 whose lines that begin with # are empty: a row that is commented out is none."""
    stream = io.TextIOWrapper(content, "utf-16", newline="") if encoding == "utf-16" else content
    while read := stream.read(_CSV_BYTES):
        read += stream.readline(_CSV_BYTES)
        lines = read.encode() if isinstance(read, str) else read
        commented = lines.startswith(b"#") or b"\n#" in lines
        yield re.sub(rb"(?m)^#(?!N/A\b)[^\r\n]*", b"", lines) if commented else lines


def _refuse_curve(path: Path, lines: Sequence[str]) -> None:
    """Refuse lines of two numbers of which the first ones rise: a transmission curve or a spectrum."""
    values = [re.split(r"[\s,;]+", line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    if len(values) < 3 or not all(len(pair) == 2 and all(map(_NUMBER.fullmatch, pair)) for pair in values):
        return
    first = [float(x.lower().replace("d", "e")) for x, _ in values]
    if first[0] > 0 and all(a < b for a, b in itertools.pairwise(first)):
        raise CatalogueError(
            f"{path}: is a curve (two columns of numbers, the first rising from {first[0]:g}: a filter's transmission "
            "or a spectrum), no catalogue. If it is one, it has no header line with column names before its values."
        )


def _companion_cards(path: Path) -> dict[str, str]:
    """Return the cards of a CSV file of this package, which stand in the JSON beside it."""
    try:
        cards = json.loads(path.read_text(encoding="utf-8"))["cards"] if path.stat().st_size < _HEAD_BYTES else {}
        return cards_of(cards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # a JSON of someone else's says nothing of the table


_WAVES = re.compile(r"(wave(s|len|length|lengths)?|lambda|lam|wl|log_?(lam|lambda|wave|wavelength))(?![a-z])")
_AIR = re.compile(
    r"(?im)^(?!.*vac).*(\bair[_ -]?(wave|lam)|(wave|lam)\w{,30}[^\w\n]+((is|are|given|in)\W+)*air\b(?!.?mass))"
)
_NAMED = re.compile(r"([^\s,;\[\](){}#\"']+)\s*(?:\[([^\]]*)\]|\(((?:[^()]|\([^()]*\))*)\))?")


class TwoColumns(NamedTuple):
    """Wavelengths in Å and values, float64 (m, 2), what a text file calls the values, and their unit.

    Parameters
    ----------
    table : array of float64, shape (m, 2)
    value, unit : str
        Empty where there is no header.
    text : str
        The whole file.
    names : tuple of str
        What the header calls all columns, in lower case; none where it does not name them.
    """

    table: np.ndarray
    value: str
    unit: str
    text: str
    names: tuple[str, ...] = ()


def number_columns(path: str | Path, values: Sequence[str]) -> TwoColumns:
    """Return the columns of wavelengths and of values of a text file; lines that begin with no number are passed over.

    Where the line before the numbers names as many columns, those are taken that it calls wavelengths and values, in
    the units and medium that it states; else the first two. What is named loglam or logwave is a decimal logarithm.

    Parameters
    ----------
    path : path
        Columns are parted by blanks, commas or semicolons.
    values : sequence of str
        What the column of values may be called, in lower case.

    Returns
    -------
    TwoColumns

    Raises
    ------
    CatalogueError
        If a line among the numbers lacks one, or the header names columns none of which is known.
    """
    content = Path(path).read_bytes()
    text = content.decode("utf-16" if content[:2] in _WIDE else "utf-8-sig", errors="replace")
    lines = ((number, _cells(line)) for number, line in enumerate(text.splitlines(), 1))
    if not (rows := [(n, cells) for n, cells in lines if len(cells) > 1 and _NUMBER.fullmatch(cells[0])]):
        return TwoColumns(np.empty((0, 2)), "", "", text)
    head, wide = text.splitlines()[: rows[0][0] - 1], len(rows[0][1])
    named = [(name.lower(), one or two) for name, one, two in _NAMED.findall(next(filter(str.strip, head[::-1]), ""))]
    named = [("", "")] * bool(head and re.match(r"[\s#]*[,;]", head[-1])) + named  # pandas names no index
    wave = next((i for i, (name, _) in enumerate(named) if _WAVES.match(name)), 0) if len(named) == wide else -1
    first, second = max(wave, 0), 1
    if wave >= 0 and _WAVES.match(named[wave][0]):
        names = [name for name, _ in named]
        like = [n for n in names if n.split("_")[0] in values and not re.search("err|ivar|sig|unc|std", n)]
        fit = [n for n in names if n in values] or like or names[1 - wave : 2 - wave] * (wide == 2)
        if not fit:
            told = f"{path}: has the columns {', '.join(names)}, and none is called {' or '.join(values[:2])}"
            raise CatalogueError(f"{told}. Name the column that is meant so, or write two columns.")
        second = names.index(fit[0])
    else:
        named = [("", "")] * wide
    table, (name, unit) = _numbers(rows, first, second, path), named[first]
    units = {name.lower(): unit for name, unit in header_units("\n".join(head)).items()}
    if name.startswith("log") or re.search(r"^[#\s\"']*log_?(lam|lambda|wave)\b", text, re.IGNORECASE | re.MULTILINE):
        table[:, 0] = 10.0 ** np.minimum(table[:, 0], 300.0)
    else:
        short = "".join(re.findall(r"(?<=_)(nm|um|microns?|a|aa|ang|angstroms?)$", name))
        table[:, 0] *= angstroms(unit or units.get(name) or short, path)
    if re.search(r"(^|_)air(_|$)", name) or _AIR.search("\n".join(head)):
        table[:, 0] = vacuum_wavelengths(table[:, 0], {"AIRORVAC": "air"})
    value, stated = named[second]
    return TwoColumns(table, value, stated or units.get(value, ""), text, tuple(name for name, _ in named if name))


def _cells(line: str) -> list[str]:
    """Return the words of a line that commas, semicolons or blanks part; commas between digits may be decimal."""
    if re.search(r"\d,\d", line) and (";" in line or re.search(r"\d,\d+\s+[-+]?\d+,\d", line)):
        line = re.sub(r"(?<=\d),(?=\d)", ".", line)
    return re.split(r"\s*[,;]\s*|\s+", line.strip().rstrip(",;"))


def _numbers(rows: Sequence[tuple[int, list[str]]], first: int, second: int, path: str | Path) -> np.ndarray:
    """Return two cells of each row as numbers, (m, 2)."""
    bad, made = "", list[tuple[float, ...]]()
    for number, cells in rows:
        try:
            words = (cells[i] if cells[i].isalpha() else re.sub("[dD]", "e", cells[i]) for i in (first, second))
            pair = tuple(float(word or "nan") for word in words)
        except (ValueError, IndexError):
            bad = bad or f"line {number} holds '{' '.join(cells[:4])}'" * bool(made)
            continue
        if bad:
            raise CatalogueError(f"{path}: {bad} where numbers are needed. Mend or drop it.")
        made.append(pair)
    return np.array(made, dtype=np.float64).reshape(-1, 2)

"""Tables in HDF5 files, as h5py, PyTables, pandas and astropy write them, read in blocks."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CatalogueError, did_you_mean
from ...store import native
from ..batches import Block, NumberPacking, is_packing, stack_rows
from ..packing import FREE_BYTES, MOST_TIMES, inert, is_packed
from ..spelling import WAVELENGTHS, repeated_names
from ..tables import BLOCK_BYTES, FORMATS, MOST_COLUMNS, Column, Extension, Kind, RawTable, Want, cards_of

if TYPE_CHECKING:
    import h5py

MOST_CHUNK = 1 << 29
"""Bytes of a chunk, which is unpacked whole."""

MOST_NODES = 20_000
ALWAYS_CHECKED = 1 << 28
MOST_PICKLED = 1 << 28
_FILTERS = {305: "LZO", 307: "bzip2", 32001: "Blosc", 32004: "LZ4", 32008: "bitshuffle", 32015: "Zstandard",
            32026: "Blosc2"}  # fmt: skip
_UNIT = ("unit", "units", "tunit")
_KINDS: dict[str, Kind] = {"f": "float", "i": "int", "u": "int", "b": "bool", "S": "text", "U": "text"}


@dataclass(frozen=True)
class _Values:
    """Where the values of a column stand: all of a dataset, or a field of it, or one place of its rows.

    Integers may stand for `names` of categories; all text may be one pickled array, or have ``nan`` where it is
    missing (`blank`). What forbids to read the column is its `fault`.
    """

    column: Column
    dataset: str
    field: str = ""
    place: int | None = None
    names: tuple[str, ...] = ()
    pickled: bool = False
    blank: bool = False
    packing: NumberPacking | None = None
    fault: str = ""


@dataclass(frozen=True)
class _Layout:
    """A table in an HDF5 file: its key, its columns, its rows and its keywords."""

    key: str
    values: tuple[_Values, ...]
    rows: int
    cards: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """Names of its columns."""
        return [value.column.name for value in self.values]


@FORMATS.register("hdf5")
class Hdf5Table(RawTable):
    """A table in an HDF5 file: a compound dataset, a group of datasets of one length, or a pandas DataFrame.

    pandas pickles text. Pickles are not executed here: of the array of strings that it writes, the strings are taken,
    and anything else is refused.

    Parameters
    ----------
    path : Path
        The file.
    hdu : int, str or sequence of str, optional
        Key of a table, its number, or keys to prefer; default: the first.

    Raises
    ------
    CatalogueError
        If the file is damaged, holds no table, or asks for other files or for more than it can hold.
    """

    format = "HDF5"
    suffixes = (".h5", ".hdf5", ".hdf")

    def __init__(self, path: Path, hdu: Extension = None) -> None:
        self.path, self.place = path, path.name
        if is_packed(path):
            raise CatalogueError(f"{path}: is a packed HDF5 file, which is not read here. Unpack it first.")
        if path.stat().st_size <= ALWAYS_CHECKED:
            _check_heaps(path)
        with self._opened() as file:
            layout = self._choose(_tables(file), hdu)
            self.place = f"{path.name}[{layout.key}]"
            self.rows = self._rows = layout.rows
            self._check_sizes(file, layout)
        self.cards, names = layout.cards, layout.names
        self.repeated = repeated_names(names)
        self._values = {value.column.name: value for value in reversed(layout.values)}
        self.columns = {name: self._values[name].column for name in names}

    @staticmethod
    def begins(head: bytes) -> bool:
        """Return whether a file that begins with these bytes is an HDF5 file."""
        return head.startswith(b"\x89HDF\r\n\x1a\n")

    @contextmanager
    def _opened(self) -> Iterator[h5py.File]:
        import h5py

        try:
            with h5py.File(self.path, "r", locking=False) as file:
                try:
                    yield file
                except OSError:
                    _refuse_filters(file)
                    raise
        except CatalogueError:
            raise
        except Exception as error:
            # The library raises OSError, RuntimeError, KeyError, TypeError and others on damaged files.
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise CatalogueError(
                f"{self.path}: is not a readable HDF5 file ({first}). It is truncated or damaged: fetch it again."
            ) from error

    def _choose(self, tables: Sequence[_Layout], wanted: Extension) -> _Layout:
        keys = [layout.key for layout in tables]
        if not tables:
            raise CatalogueError(
                f"{self.path}: holds no table: no compound dataset, no DataFrame, no group of datasets of one length."
            )
        listed = ", ".join(keys[:30])
        if isinstance(wanted, str) and wanted not in keys and wanted.isdigit():
            wanted = int(wanted[:9])
        if isinstance(wanted, int):
            if not 0 <= wanted < len(keys):
                raise CatalogueError(f"{self.path}: has no table {wanted}. It has: {listed}.")
            found = wanted
        elif isinstance(wanted, str):
            bare = wanted.strip("/")
            if bare not in keys:
                hint = did_you_mean(bare, keys)
                raise CatalogueError(f"{self.path}: has no table '{wanted}'.{hint} It has: {listed}.")
            found = keys.index(bare)
        else:
            found = next((keys.index(name) for name in wanted or () if name in keys), 0)
            self.note_equals([one.key for one in tables if one is not tables[found] and one.rows and
                              one.names == tables[found].names])  # fmt: skip
        self.others = tuple(key for i, key in enumerate(keys) if i != found)
        return tables[found]

    def _check_sizes(self, file: h5py.File, layout: _Layout) -> None:
        """Check what the datasets ask for before memory is given: no other file, no huge chunk, no empty promise."""
        total = 0
        for name in dict.fromkeys(value.dataset for value in layout.values):
            dataset = file[name]
            if dataset.external or dataset.is_virtual:
                raise CatalogueError(
                    f"{self.place}: the values of '{name}' stand in another file, which is not read here. Save the "
                    "table whole."
                )
            chunk = int(np.prod(dataset.chunks or (), dtype=object)) * dataset.dtype.itemsize if dataset.chunks else 0
            if chunk > MOST_CHUNK:
                raise CatalogueError(
                    f"{self.place}: '{name}' is stored in chunks of {chunk:,} bytes, too large to read."
                )
            _check_lengths(self.path, dataset)
            total += int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
        most = max(FREE_BYTES, MOST_TIMES * self.path.stat().st_size)
        if total > most:
            raise CatalogueError(
                f"{self.place}: promises {total:,} bytes of values, which a file of {self.path.stat().st_size:,} bytes "
                "cannot hold. It is damaged: fetch it again."
            )

    def blocks(self, want: Mapping[str, Want]) -> Iterator[Block]:
        """Yield the wanted columns in consecutive blocks of rows."""
        values = {name: self._values[name] for name in want}
        for name, fault in ((name, value.fault) for name, value in values.items() if value.fault):
            raise CatalogueError(
                f"{self.place}[{name}]: {fault}. Mend or remove it: scale_factor, add_offset and _FillValue are read."
            )
        if any(value.pickled or value.column.kind in ("text", "object") for value in values.values()):
            _check_heaps(self.path)
        with self._opened() as file:
            texts = {name: self._pickled(file, value) for name, value in values.items() if value.pickled}
            stored = {v.dataset: file[v.dataset] for v in values.values() if not v.pickled}.values()
            wide = sum(int(np.prod(one.shape[1:], dtype=object)) * one.dtype.itemsize for one in stored)
            step = max(1, BLOCK_BYTES // max(1, wide))
            for start in range(0, self._rows, step):
                stop, held, block = min(self._rows, start + step), dict[str, Any](), Block()
                for name, value in values.items():
                    if name in texts:
                        block[name] = texts[name][start:stop]
                        continue
                    if value.dataset not in held:
                        held[value.dataset] = file[value.dataset][start:stop]
                    block[name] = self._decoded(value, held[value.dataset], start)
                yield block

    def _decoded(self, value: _Values, stored: np.ndarray, start: int) -> np.ndarray:
        raw = stored[value.field] if value.field else stored
        if value.place is not None and raw.ndim > 1:
            raw = raw[:, value.place]
        if value.names:
            words = np.array([*value.names, ""], dtype=str)
            return words[np.where((raw >= 0) & (raw < len(value.names)), raw, -1)]
        if value.column.kind == "object":
            return stack_rows([np.asarray(row) for row in raw], value.column.name, self.place, start)
        if value.column.kind == "text":
            flat = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in raw.reshape(-1)]
            text = np.strings.strip(np.array(flat, dtype=str)).reshape(raw.shape) if flat else np.full(raw.shape, "")
            return np.where(text == "nan", "", text) if value.blank else text
        plain = np.array(native(np.asarray(raw)))
        plain = plain.reshape(len(plain), -1) if plain.ndim > 2 else plain
        return value.packing.unpacked(plain, f"{self.place}[{value.column.name}]") if value.packing else plain

    def _pickled(self, file: h5py.File, value: _Values) -> np.ndarray:
        """Return the text of a column that pandas has pickled, without executing the pickle."""
        content = b"".join(bytes(part) for part in file[value.dataset][:1])
        if len(content) > MOST_PICKLED:
            raise CatalogueError(
                f"{self.place}[{value.column.name}]: {len(content):,} bytes of text are not read here."
            )
        try:
            found = inert(content)
            _, shape, _, _, items = found.state
            grid = np.array(["" if isinstance(one, float) or one is None else one for one in items], dtype=object)
            column = grid.reshape(shape if len(shape) > 1 else (-1, 1))[:, value.place or 0]
            if len(column) != self._rows or not all(isinstance(one, str) for one in column):
                raise ValueError("its items are no strings, one a row")
        except (ValueError, TypeError, AttributeError, IndexError, KeyError, RecursionError, OverflowError) as error:
            raise CatalogueError(
                f"{self.place}[{value.column.name}]: holds pickled objects, which are not read ({error}). Write the "
                "table with pandas' to_hdf(..., format='table'), or as Parquet."
            ) from error
        return np.strings.strip(column.astype(str))


def _check_heaps(path: Path) -> None:
    """Check the heaps of text and of arrays of varying length, on which, damaged, the library loops without end.

    A heap is ``GCOL``, a version, its size, and objects of an index, a count of references and a size of their own.
    """
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(b"GCOL\x01\0\0\0")
        while at >= 0:
            end, here = at + int.from_bytes(content[at + 8 : at + 16], "little"), at + 16
            sound = end <= len(content)
            while sound and here + 16 <= end:
                index = int.from_bytes(content[here : here + 2], "little")
                size = int.from_bytes(content[here + 8 : here + 16], "little")
                step = size if index == 0 else 16 + size + -size % 8
                sound = 16 <= step <= end - here
                here += step
            if not sound:
                raise CatalogueError(f"{path}: has a damaged heap of text or arrays at byte {at:,}. Fetch it again.")
            at = content.find(b"GCOL\x01\0\0\0", at + 16)


def _lengths(dataset: h5py.Dataset) -> tuple[dict[int, int], int]:
    """Return where in a stored record lengths of text and of arrays stand and the bytes of what they count; its size.

    On the disk such an entry is a length of 4 bytes, the address of a heap and 4 bytes; in memory it is shorter.
    """
    from h5py import h5t

    kind, several = dataset.id.get_type(), dataset.id.get_type().get_class() == h5t.COMPOUND
    members = range(kind.get_nmembers() if several else 0)
    fields = [(kind.get_member_offset(i), kind.get_member_type(i)) for i in members]
    wide, shift, units = 8 + dataset.file.id.get_create_plist().get_sizes()[0], 0, dict[int, int]()
    for at, one in sorted(fields, key=lambda field: field[0]) if several else [(0, kind)]:
        text = one.get_class() == h5t.STRING and one.is_variable_str()
        if text or one.get_class() == h5t.VLEN:
            units[at + shift] = 1 if text else one.get_super().get_size()
            shift += wide - one.get_size()
    return units, kind.get_size() + shift


def _check_lengths(path: Path, dataset: h5py.Dataset) -> None:
    """Check lengths of text and of arrays, for which the library asks memory before it looks at what is there.

    What is stored through filters, packed or with checksums, is not looked at.
    """
    units, wide = _lengths(dataset)
    if not units or dataset.id.get_create_plist().get_nfilters() or dataset.file.userblock_size:
        return
    length, size = int(np.prod(dataset.chunks or dataset.shape, dtype=object)) * wide, path.stat().st_size
    places = [(dataset.id.get_offset(), dataset.id.get_storage_size())]
    if dataset.chunks:
        chunks = (dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks()))
        places = [(chunk.byte_offset, chunk.size) for chunk in chunks]
    step = max(1, BLOCK_BYTES // wide) * wide
    for begin in (at for at, stored in places if at and stored == length):  # records within records have another
        for at in range(begin, begin + length, step):
            count = min(step, begin + length - at)
            records = np.fromfile(path, np.uint8, count, offset=at)
            records = records[: len(records) // wide * wide].reshape(-1, wide)
            for place, unit in units.items():
                asked = records[:, place : place + 4].copy().view("<u4").astype(np.int64) * unit
                if asked.max(initial=0) > size:
                    raise CatalogueError(
                        f"{path}: '{dataset.name}' promises {asked.max(initial=0):,} bytes of text or an array in a "
                        f"file of {size:,}. It is damaged: fetch it again."
                    )


def _refuse_filters(file: h5py.File) -> None:
    """Refuse a file that something of is compressed in a way which the library was not built with."""
    import h5py

    def lacks(name: str, node: Any) -> str | None:
        steps = node.id.get_create_plist() if isinstance(node, h5py.Dataset) else None
        used = [steps.get_filter(i) for i in range(steps.get_nfilters())] if steps else []
        lacking = [code for code, *_ in used if not h5py.h5z.filter_avail(code)]
        return f"'{name}' is compressed with {_FILTERS.get(lacking[0], f'filter {lacking[0]}')}" if lacking else None

    if found := file.visititems(lacks):
        raise CatalogueError(
            f"{file.filename}: {found}, which is not installed here. Write it again with gzip (ptrepack "
            "--complib=zlib, to_hdf(..., complib='zlib'), h5repack -f GZIP=4), or as Parquet."
        )


def _tables(file: h5py.File) -> list[_Layout]:
    """Return the tables of a file in the order of its groups; links to other files are not followed."""
    import h5py

    found: list[_Layout] = []
    left: list[tuple[str, Any]] = [("", file)]
    seen, met = set[Any](), 0
    while left:
        key, group = left.pop(0)
        identity = h5py.h5o.get_info(group.id).addr
        if identity in seen:
            continue
        seen.add(identity)
        names = [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
        met += len(names)
        if met > MOST_NODES:
            raise CatalogueError(f"{file.filename}: has more than {MOST_NODES:,} groups and datasets.")
        kind = _word(group.attrs.get("pandas_type")) if "pandas_type" in group.attrs else ""
        if kind in ("frame", "frame_table"):
            found.append((_fixed_frame if kind == "frame" else _table_frame)(key, group))
            continue
        members = {name: group[name] for name in names}
        datasets = {name: one for name, one in members.items() if isinstance(one, h5py.Dataset) and one.ndim}
        axes, begun = _axes(datasets), len(found)
        for name, one in datasets.items():
            if one.dtype.names and one.ndim == 1:
                found.append(_compound(f"{key}/{name}".strip("/"), one, datasets.get(f"{name}.__table_column_meta__")))
        plain = {name: one for name, one in datasets.items() if not one.dtype.names and "__table_col" not in name
                 and name not in axes}  # fmt: skip
        lengths = {one.shape[0] for one in plain.values()}
        if len(lengths) == 1 and len(plain) > 1:
            found.append(_columns(key, group, plain))
        found[begun:] = [replace(one, cards={**axes, **one.cards}) for one in found[begun:]]
        left += [(f"{key}/{name}".strip("/"), one) for name, one in members.items() if isinstance(one, h5py.Group)]
    return [layout for layout in found if layout.values]


def _word(value: object) -> str:
    """Return an attribute as text; empty where it is no single text or number."""
    value = value.flat[0] if isinstance(value, np.ndarray) and value.size == 1 else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip() if isinstance(value, str | int | float | np.generic) else ""


def _cards(*nodes: Any) -> dict[str, str]:
    cards: dict[str, str] = {}
    for node in nodes:
        for name in node.attrs:
            with suppress(Exception):  # one of a kind that the library cannot read is none that is needed
                cards |= cards_of({name: node.attrs[name]})
    return {name: value for name, value in cards.items() if value}


def _column(name: str, dtype: np.dtype, shape: Sequence[int], unit: str | None = None) -> Column | None:
    """Say what a dataset or a field is as a column; None for what no column is made of."""
    import h5py

    base, more = (dtype.base, dtype.shape) if dtype.subdtype else (dtype, ())
    width = int(np.prod([*shape, *more], dtype=object)) if (*shape, *more) else None
    if h5py.check_string_dtype(base) is not None or base.kind in "SU":
        return Column(name, "text", width, unit)
    inner = h5py.check_vlen_dtype(base)
    if inner is not None:
        return Column(name, "object", 0, unit) if np.dtype(inner).kind in "fiub" and width is None else None
    return Column(name, _KINDS[base.kind], width, unit) if base.kind in _KINDS else None


def _unit(node: Any) -> str | None:
    return next((word for at in node.attrs if at.lower() in _UNIT and (word := _word(node.attrs[at]))), None)


def _packed(column: Column, dataset: Any) -> _Values:
    """Return a column with the packing of its numbers that the attributes of its dataset state."""
    if column.kind not in ("int", "float"):
        return _Values(column, dataset.name)
    try:
        stated = {name: dataset.attrs[name] for name in dataset.attrs if is_packing(name)}
        packing = NumberPacking.of(stated, column.width)
    except CatalogueError as error:
        return _Values(column, dataset.name, fault=str(error))
    column = column if packing.whole else replace(column, kind="float")
    return _Values(column, dataset.name, packing=packing)


def _axes(datasets: Mapping[str, Any]) -> dict[str, str]:
    """Return the words and wavelengths in datasets that go along the rows of others, such as the names of bands."""
    import h5py

    shapes = [(one.shape[0], one.shape[1:]) for one in datasets.values()]
    shapes += [(one.shape[0], one.dtype[name].shape) for one in datasets.values() for name in one.dtype.names or ()]
    widths = {shape[0] for _, shape in shapes if shape} - {rows for rows, shape in shapes if shape}
    words = {name: one for name, one in datasets.items() if one.shape[0] in widths and one.ndim == 1
             and not one.external and not one.is_virtual
             and (h5py.check_string_dtype(one.dtype) or (one.dtype.kind in "fiu" and WAVELENGTHS.search(name)))
             and int(np.prod(one.chunks or one.shape, dtype=object)) * one.dtype.itemsize < 1 << 20}  # fmt: skip
    for one in words.values():  # before the library reads them
        _check_lengths(Path(one.file.filename), one)
    return cards_of({name: one[()] for name, one in words.items()})


def _columns(key: str, group: Any, datasets: Mapping[str, Any]) -> _Layout:
    """A group of datasets of one length."""
    columns = [(_column(name, one.dtype, one.shape[1:], _unit(one)), one) for name, one in datasets.items()]
    values = [_packed(column, one) for column, one in columns if column is not None]
    return _Layout(key or "/", tuple(values), next(iter(datasets.values())).shape[0], _cards(*datasets.values(), group))


def _compound(key: str, dataset: Any, about: Any) -> _Layout:
    """A dataset of records, with units where astropy wrote them beside it."""
    units: dict[str, str] = {}
    cards = _cards(dataset)
    if about is not None and about.dtype.kind in "SO" and about.size < 10_000:
        from .parquet import ecsv_header

        # Blanks before a line say what it belongs to.
        header = ecsv_header([line.decode("utf-8", "replace") for line in about[()] if isinstance(line, bytes)])
        units = {str(one["name"]): str(one["unit"]) for one in header["datatype"] if one.get("unit")}
        meta = header.get("meta") or {}
        cards |= cards_of(dict(meta))
    names = dataset.dtype.names[: MOST_COLUMNS + 1]
    columns = [(_column(name, dataset.dtype[name], (), units.get(name)), name) for name in names]
    values = [_Values(column, dataset.name, name) for column, name in columns if column is not None]
    return _Layout(key, tuple(values), dataset.shape[0], cards)


def _fixed_frame(key: str, group: Any) -> _Layout:
    """A DataFrame in pandas' fixed format: a block of values for each type, and the names of its columns."""
    values = list[_Values]()
    if {"axis0_level0", "axis1_level0"} & set(group):
        how = "is not read here. Write it by frame.reset_index().to_hdf(...), or with format='table'."
        raise CatalogueError(f"{group.file.filename}: '{key}' has several indices, which in pandas' fixed format {how}")
    index, called = group["axis1"], _word(group["axis1"].attrs.get("name"))
    if called not in ("", "N.") and (column := _column(called, index.dtype, ())):
        values.append(_Values(column, index.name))
    for i in range(min(int(group.attrs["nblocks"]), MOST_COLUMNS)):
        stored = group[f"block{i}_values"]
        pickled = _word(stored.attrs.get("PSEUDOATOM")) == "object"
        for j, name in enumerate(map(_word, group[f"block{i}_items"][: MOST_COLUMNS + 1])):
            found = Column(name, "text") if pickled else _column(name, stored.dtype, ())
            if found is not None:
                values.append(_Values(found, stored.name, place=j, pickled=pickled))
    order = {_word(name): i for i, name in enumerate(group["axis0"][: MOST_COLUMNS + 1])}
    values.sort(key=lambda value: order.get(value.column.name, -1))
    return _Layout(key, tuple(values), index.shape[0], _cards(group))


def _table_frame(key: str, group: Any) -> _Layout:
    """A DataFrame in pandas' table format: records, some of whose fields hold several columns of one type."""
    from .parquet import index_name

    table, values = group["table"], list[_Values]()
    index = index_name(bytes(group.attrs.get("info", b"")))
    for name in table.dtype.names:
        names, blocked = [index if name == "index" else name], name.startswith("values_block_")
        kind = table.attrs.get(f"{name}_kind")
        if blocked and kind is not None:
            names = [str(one) for one in inert(kind if isinstance(kind, bytes) else str(kind).encode())]
        categories: tuple[str, ...] = ()
        if _word(table.attrs.get(f"{name}_meta")) == "category":
            stored = group[f"meta/{name}/meta/table"]["values"]
            categories = tuple(_word(one) for one in stored[:100_000])
        for j, one in enumerate(names):
            if (column := _column(one, table.dtype[name].base, ())) is not None:
                column = Column(one, "text") if categories else column
                values.append(_Values(column, table.name, name, j if blocked else None, categories, blank=True))
    return _Layout(key, tuple(values), table.shape[0], _cards(group))

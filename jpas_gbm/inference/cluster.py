"""Past one machine: the partitions of a HATS catalogue, or of a Dask table, pass the model on the workers of a cluster.

LSDB reads the partitions and hands each to a worker of Dask, which loads the model once, sees that it is the model of
the run, and writes what it predicted beside the output: a file first, then the record that makes it count. What stands
there twice is the same bytes under one name, so a worker may die, and a partition may be done twice.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CatalogueError, ConfigError, JpasGbmError, OutputError
from ..inputs import CHUNK_ROWS, known_by, open_for, open_model
from ..output.hats import HATS, HEALPIX, partition_file, write_partition
from ..output.writers import record_type, to_pandas
from ..predictions import KeptColumns, mixed_ids
from ..run import Progress
from ..store import dump_json, to_plain
from ..surveys.formats.parquet import attributes
from ..surveys.reader import CatalogueReader
from ..surveys.recognition import own_survey, read_table
from ..surveys.schema import OwnColumns
from ..surveys.tables import open_file
from ..text import count
from .passing import MAIN, MARGIN, Gathered, Job, Partition, Pixel, Worker, head_of
from .spool import Plan, Room, replace_file
from .tiles import with_tiles

if TYPE_CHECKING:
    import dask.dataframe as dd
    import lsdb
    import pandas as pd
    from dask.distributed import Client

_LOADING, _LOADED = Lock(), dict[str, Worker]()


def _worker(job: Job) -> Worker:
    """Return the worker of this process, which loads a model once however many threads and partitions ask."""
    with _LOADING:
        if job.token not in _LOADED:
            _LOADED.clear()
            _LOADED[job.token] = Worker(job)
        return _LOADED[job.token]


def _write(worker: Worker, frame: pd.DataFrame, pixel: Pixel, side: str) -> int:
    """Predict a partition, write its file and the record that makes it count; return its rows."""
    job = worker.job
    place = Room(job.folder).record(side, pixel)
    if not len(frame):
        replace_file(place, dump_json({"rows": 0}).encode())
        return 0
    if frame.index.name != HEALPIX.name:
        raise CatalogueError(f"{job.catalogue}: its rows have no {HEALPIX.name}. Make it anew with hats-import.")
    columns, key, rows, tally = worker.predict(frame)
    made = np.empty(len(rows), dtype=record_type((HEALPIX, *columns)))
    made[HEALPIX.name] = frame.index.to_numpy()
    for column in columns:
        made[column.name] = rows[column.name]
    head = head_of((HEALPIX, *columns), job.header)
    file = partition_file(Path(job.folder) / side, pixel)
    # Two workers may be at the same partition, where one was given up too soon.
    mine = file.with_name(f".{uuid.uuid4().hex}.partial")
    with open(mine, "w+b") as stream:
        closing = {"NROWS": job.rows, "NCOLS": len(head.columns)}
        write_partition(stream, made, head, closing, job.chunk_rows)
        stream.flush()
        os.fsync(stream.fileno())
    size = mine.stat().st_size
    os.replace(mine, file)
    if side == MAIN:
        replace_file(place.with_suffix(".keys"), mixed_ids(rows, key).tobytes())
    told = {"rows": len(rows), "size": size, "key": key, "tally": to_plain(tally)}
    replace_file(place, dump_json({**told, "columns": [column.to_dict() for column in columns]}).encode())
    return len(rows)


def _partition(frame: pd.DataFrame, pixel: Any, job: Job, side: str) -> pd.DataFrame:
    """Do one partition on a worker; the rows that were written, as a table, which is what LSDB maps to."""
    import pandas as pd

    at = (int(pixel.order), int(pixel.pixel))
    try:
        rows = _write(_worker(job), frame, at, side)
    except JpasGbmError as error:
        raise type(error)(f"partition Norder={at[0]}, Npix={at[1]}: {error}") from None
    return pd.DataFrame({"rows": [rows]})


@contextmanager
def _client(cluster: str | int | Client) -> Iterator[Client]:
    """Give a client: of so many processes of this machine, of a scheduler at an address, or the one given."""
    from dask.distributed import Client, LocalCluster

    if isinstance(cluster, Client):
        yield cluster
    elif str(cluster).strip().isdigit():
        if not 1 <= (number := int(cluster)) <= 4096:
            raise ConfigError(
                f"--cluster {cluster}: give the number of processes, 1 or more, or a scheduler's address."
            )
        with (
            LocalCluster(n_workers=number, threads_per_worker=1, dashboard_address=None) as local,
            Client(local) as client,
        ):
            yield client
    else:
        try:
            client = Client(str(cluster), timeout="20s")
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"--cluster {cluster}: no Dask scheduler answers there ({str(error).splitlines()[0]}). Give its "
                "address, such as tcp://10.0.0.1:8786, or the number of processes of this machine."
            ) from error
        with client:
            yield client


def need_cluster() -> None:
    """Refuse to go on where Dask and LSDB are not installed.

    Raises
    ------
    ConfigError
    """
    try:
        import dask.distributed  # noqa: F401
        import lsdb  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"a cluster needs Dask and LSDB, which are not installed ({error}). Install them with "
            "pip install 'jpas-gbm[cluster]', or use --shard and --merge, which need neither."
        ) from error


def claim_cluster(cluster: object, catalogue: object, out: str | Path, model: object, parted: bool = False) -> None:
    """Refuse what cannot be done on a cluster.

    Parameters
    ----------
    cluster, catalogue, out : object, object, path
        None is no cluster: then nothing is refused.
    model, parted : object, bool
        Must be the path of a folder; whether a shard or a merge is asked for, which a cluster does not need.

    Raises
    ------
    ConfigError
    """
    if cluster is None:
        return
    if parted:
        raise ConfigError("--cluster hands out the work itself: leave --shard and --merge out.")
    if not isinstance(model, str | Path):
        raise ConfigError("--cluster loads the model on each worker: give the folder that it is saved in.")
    if Path(out).suffix.lower() != HATS:
        raise ConfigError(f"--cluster writes a HATS catalogue: give an --out that ends in {HATS}, not {out}.")
    heads = ("hats.properties", "properties", "collection.properties")
    named = catalogue if isinstance(catalogue, str | Path) else "a table in memory"
    if not any((Path(named) / head).is_file() for head in heads):
        raise ConfigError(
            f"{named}: is no HATS catalogue, whose partitions --cluster hands to its workers. Make one with "
            "hats-import, or use --shard and --merge, which take any file."
        )
    need_cluster()


def footers(files: Sequence[Path]) -> str:
    """Return a checksum over the footers of Parquet files, which hold sizes and statistics of all their columns.

    Parameters
    ----------
    files : sequence of Path

    Returns
    -------
    str
    """
    told = hashlib.sha256()
    for file in files:
        with open(file, "rb") as stream:
            size = file.stat().st_size
            stream.seek(max(0, size - 8))
            length = int.from_bytes(stream.read(4), "little")
            stream.seek(max(0, size - 8 - length))
            told.update(f"{file.name} {size} ".encode() + stream.read())
    return f"footers:{told.hexdigest()}"


@contextmanager
def gathered(
    catalogue: str | Path,
    out: str | Path,
    plan: Plan,
    job: Job,
    cluster: str | int | Client,
    overwrite: bool,
    progress: Progress | None,
) -> Iterator[Gathered]:
    """Predict all partitions of a HATS catalogue and of its margin on a cluster, and give what was written.

    Parameters
    ----------
    catalogue, out : path
        A HATS catalogue or collection; the folder of another.
    plan : Plan
        What the run is known again by.
    job : Job
        Its `header` lacks the time when the run began, its `folder` is not known.
    cluster : int, str or Client
        Processes of this machine, address of a scheduler, or a client.
    overwrite, progress : bool, callable
        As :func:`~jpas_gbm.inference.stream.predict` has them.

    Yields
    ------
    Gathered
        To be placed; what was gathered is removed behind that.

    Raises
    ------
    OutputError
        If workers die again and again; what was done is kept.
    """
    import lsdb

    room = Room(f"{out}.unfinished")
    room.claim(plan, overwrite)
    job = replace(job, folder=str(room.folder.resolve()), header={**job.header, "made": room.made})
    try:
        table = lsdb.open_catalog(str(catalogue), columns=list(job.want))
        sides = {MAIN: table} if table.margin is None else {MAIN: table, MARGIN: table.margin}
        with _client(cluster) as client:
            _run(client, sides, room, job, progress)
        parts, margin = _whole(room, sides, job.rows), table.margin
        threshold = 0.0 if margin is None else float(margin.hc_structure.catalog_info.margin_threshold)
        yield Gathered(room.made, parts[MAIN], parts.get(MARGIN), threshold, room.folder)
        shutil.rmtree(room.folder, ignore_errors=True)
    except (KeyboardInterrupt, JpasGbmError) as error:
        kept = len(list(room.folder.glob(f"{MAIN}-*.json")))
        if not kept:
            shutil.rmtree(room.folder, ignore_errors=True)
            raise
        told = str(error) or "interrupted"
        raise type(error)(
            f"{told} {count(kept, 'partition is', 'partitions are')} kept in {room.folder}: the same command goes on."
        ) from error
    finally:
        room.release()


def _whole(room: Room, sides: Mapping[str, Any], rows: int) -> dict[str, tuple[Partition, ...]]:
    """Return all partitions, or refuse where one is lost."""
    found = {side: [room.done(side, at) for at in _pixels(of)] for side, of in sides.items()}
    whole = {side: tuple(part for part in parts if part is not None) for side, parts in found.items()}
    lost = sum(len(found[side]) - len(whole[side]) for side in found)
    there = sum(part.tally.rows for part in whole[MAIN])
    if lost or there != rows:
        raise OutputError(
            f"{room.folder}: {there:,} of {rows:,} rows are there and {count(lost, 'partition is', 'partitions are')} "
            "missing. Run the command again: it goes on from there."
        )
    return whole


def _pixels(table: Any) -> list[Pixel]:
    return [(int(at.order), int(at.pixel)) for at in table.get_healpix_pixels()]


def _run(client: Client, sides: Mapping[str, Any], room: Room, job: Job, progress: Progress | None) -> None:
    """Do the partitions that a room lacks."""
    import pandas as pd
    from dask.distributed import as_completed
    from distributed.scheduler import KilledWorker

    meta = pd.DataFrame({"rows": pd.Series(dtype="int64")})
    tasks: list[Any] = []
    main, rows = 0, 0
    for side, table in sides.items():
        left = []
        for pixel, at in zip(table.get_healpix_pixels(), _pixels(table), strict=True):
            done = room.done(side, at)
            rows += 0 if done is None or side != MAIN else done.tally.rows
            left += [pixel] if done is None else []
        if left:
            mapped = table.partitions[left].map_partitions(_partition, job, side, meta=meta, include_pixel=True)
            tasks += mapped.to_delayed()
            main += len(left) if side == MAIN else 0
    if progress is not None:
        progress("predict", rows, job.rows)
    futures = client.compute(tasks)
    sums = {future.key for future in futures[:main]}
    try:
        for future in as_completed(futures):
            rows += int(future.result()["rows"].sum()) if future.key in sums else 0
            if progress is not None:
                progress("predict", min(rows, job.rows), job.rows)
    except KilledWorker as error:
        raise OutputError(
            f"{job.catalogue}: a partition ended its worker again and again ({error.task}), as one that does not fit "
            "into memory does. Give workers more memory, or make the catalogue anew with smaller partitions "
            "(hats-import, pixel_threshold)."
        ) from error
    except Exception as error:
        raise _cause(error, job.catalogue) from error
    finally:
        with suppress(Exception):
            client.cancel(futures)


def _cause(error: BaseException | None, catalogue: str) -> BaseException:
    """Return what is to be said of an error, which LSDB wraps in others."""
    first, here = error, error
    while here is not None:
        if isinstance(here, JpasGbmError):
            return here
        if isinstance(here, CancelledError):
            return OutputError(f"{catalogue}: the cluster ended, or the work was cancelled there ({here}).")
        if isinstance(here, OSError):
            return OutputError(f"{here.filename or catalogue}: cannot be read or written ({here.strerror or here}).")
        here = here.__cause__ or here.__context__
    assert first is not None
    return first


def classify(
    rows: lsdb.Catalog | dd.DataFrame,
    model: str | Path,
    *,
    survey: str | Path | None = None,
    columns: OwnColumns | None = None,
    tiles: str | Path | None = None,
    explain: str | None = None,
    pair: str | Sequence[str] | None = None,
    keep: str | Sequence[str] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> lsdb.Catalog | dd.DataFrame:
    """Return what a model says of rows of an LSDB catalogue or a Dask table, lazily; one row is read for its columns.

    Dask and LSDB forget what files state of units and bands: that of an LSDB catalogue is read again from its
    folder, a Dask table is taken to be as the survey file says.

    Parameters
    ----------
    rows : lsdb.Catalog or dask.dataframe.DataFrame
        Of the model's survey; the margin of a catalogue is classified as well.
    model : path
        A model folder that every worker sees under this path.
    survey, columns, tiles, explain, pair, keep, chunk_rows
        As for :func:`~jpas_gbm.inference.stream.predict`.

    Returns
    -------
    lsdb.Catalog or dask.dataframe.DataFrame
        Of the same partitions and index, with the columns that ``predict`` writes but ROW, which would begin anew in
        each partition.

    Raises
    ------
    CatalogueError
        If there are no rows, or they cannot be understood.
    """
    need_cluster()
    import pandas as pd

    sky = getattr(rows, "hc_structure", None)
    first = rows.head(1) if sky is not None else rows.head(1, npartitions=-1)
    if not len(first):
        raise CatalogueError("the table has no rows. A catalogue needs some.")
    first = pd.DataFrame(first)
    first.attrs.update(_told(sky))
    reader = open_for(with_tiles(open_model(model), tiles), first, own_survey(first, survey, columns))
    packed = _job_of(reader, sky, model, tiles, keep, explain=explain, pair=pair, chunk_rows=chunk_rows)
    if sky is None:
        meta = _classified(first, packed, {}, first).iloc[:0]
        return rows.map_partitions(_classified, packed, {}, meta, meta=meta)
    places = {"RA": sky.catalog_info.ra_column, "DEC": sky.catalog_info.dec_column}
    meta = _classified(first, packed, places, first).iloc[:0]
    found = rows.map_partitions(_classified, packed, places, meta, meta=meta)
    return found.rename({theirs: ours for ours, theirs in places.items() if theirs != ours})


def _job_of(
    reader: CatalogueReader,
    sky: Any,
    model: str | Path,
    tiles: str | Path | None,
    keep: str | Sequence[str] | None,
    **how: Any,
) -> Job:
    """Return what workers need to classify partitions of which one row is known."""
    KeptColumns(reader, keep, "rows.parquet")  # tells the reader which
    return Job(
        str(Path(model).resolve()),
        None if tiles is None else str(Path(tiles).resolve()),
        tuple(known_by(model, tiles)),
        reader.schema,
        attributes(reader.table),
        "table" if sky is None else str(sky.catalog_name),
        None,
        {},
        tuple(reader.keep),
        **how,
    )


def _told(sky: Any) -> dict[str, dict[str, str]]:
    """Return the units and cards that the files of an LSDB catalogue state."""
    try:
        return {} if sky is None else attributes(open_file(Path(str(sky.catalog_path)) / "dataset/_common_metadata"))
    except CatalogueError:
        return {}


def _classified(frame: pd.DataFrame, job: Job, places: Mapping[str, str], meta: pd.DataFrame) -> pd.DataFrame:
    """Classify a partition on a worker; the columns of position keep the catalogue's names."""
    worker = _worker(job)
    if not len(frame):
        return meta
    columns, key, rows, _ = worker.predict(frame)
    found = to_pandas(columns, rows).drop(columns=[name for name in key if name == "ROW"])
    # One row does not tell how long a text can be: columns are carried along as they are.
    taken = {name.upper() for name in found.columns}
    for name in worker.job.want:
        found[f"{name}_IN" if name.upper() in taken else name] = frame[name].array
    found.index = frame.index
    return found.rename(columns=dict(places))


def neighbours(
    rows: str | Path | pd.DataFrame,
    catalogue: str | Path | lsdb.Catalog,
    *,
    radius: float = 1.0,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the rows of a list beside the nearest source of each in a HATS catalogue, such as Gaia, DESI or CatWISE.

    Parameters
    ----------
    rows : path or DataFrame
        A list or predictions, with RA and DEC in degrees.
    catalogue : path or lsdb.Catalog
        With a margin of `radius` or more: without one, neighbours across borders of partitions would be lost.
    radius : float
        Arcsec.
    columns : sequence of str, optional
        Of the catalogue; default: those that it names as such.

    Returns
    -------
    DataFrame
        All rows in their order; columns of the catalogue end in its name, and ``_dist_arcsec`` is the distance. Rows
        without a neighbour have empty values.

    Raises
    ------
    CatalogueError
        If a row has no position, or the catalogue no such margin.
    """
    need_cluster()
    import lsdb
    import pandas as pd

    if not 0 < radius <= 3600:
        raise ConfigError(f"radius: {radius} is no radius of a neighbour. Allowed: above 0, up to 3600 arcsec.")
    frame, order = read_table(rows).reset_index(drop=True), "_row_of_the_list"
    if missing := [name for name in ("RA", "DEC") if name not in frame]:
        raise CatalogueError(f"the list has no column {' and '.join(missing)}: positions in degrees are needed.")
    lost = int((~np.isfinite(frame[["RA", "DEC"]].to_numpy(dtype=np.float64))).any(axis=1).sum())
    if lost or not len(frame):
        raise CatalogueError(f"{lost} of {len(frame)} rows of the list have no position. Leave them out.")
    sky = catalogue if isinstance(catalogue, lsdb.Catalog) else lsdb.open_catalog(str(catalogue), columns=columns)
    margin = 0.0 if sky.margin is None else float(sky.margin.hc_structure.catalog_info.margin_threshold)
    if margin < radius:
        raise CatalogueError(
            f"{sky.name}: its margin is {margin:g} arcsec, the radius {radius:g}: neighbours across the borders of its "
            "partitions would be lost. Add a margin (hats-import) or open the catalogue with one (margin_cache)."
        )
    ours = lsdb.from_dataframe(frame.assign(**{order: np.arange(len(frame))}), ra_column="RA", dec_column="DEC")
    told = {"suffixes": ("", f"_{sky.name}"), "suffix_method": "all_columns", "n_neighbors": 1}
    found = ours.crossmatch(sky, radius_arcsec=radius, how="left", **told).compute(progress_bar=False)
    found = pd.DataFrame(found).sort_values(order, kind="stable").reset_index(drop=True)
    if not np.array_equal(found[order], np.arange(len(frame))):
        raise CatalogueError(f"{sky.name}: the join gave {len(found)} rows for {len(frame)} of the list.")
    return found.drop(columns=order)

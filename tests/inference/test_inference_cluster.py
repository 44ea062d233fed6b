"""Predicting on a cluster of two processes: the same rows as one process writes, whatever dies under way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jpas_gbm import fit, predict
from jpas_gbm.errors import BundleError, CatalogueError, ConfigError, OutputError
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.surveys.tables import open_table

lsdb = pytest.importorskip("lsdb", reason="the extra 'cluster' is not installed: make test-cluster")
dd = pytest.importorskip("dask.dataframe", reason="the extra 'cluster' is not installed: make test-cluster")

from jpas_gbm.inference.cluster import classify, neighbours  # noqa: E402

KEY = ["TILE_ID", "NUMBER"]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny, quick_options) -> Path:
    """A model folder, and a survey as Parquet with units and the names of its bands."""
    from astropy.io import fits

    from jpas_gbm.options import SimulateOptions

    folder = tmp_path_factory.mktemp("cluster")
    fit(tiny, regime="target-only", config=quick_options, seed=1, threads=1).save(folder / "model")
    fit(tiny, regime="mocks-only", config=quick_options, seed=1, threads=1).save(folder / "other")
    options = SimulateOptions(n_source=300, n_labelled=1000, n_unlabelled=1000)
    simulate(11, config=options, out=folder / "survey")
    with fits.open(next((folder / "survey").glob("*jpas*.fits"))) as hdus:
        data, header, units = hdus[1].data, hdus[1].header, {c.name: c.unit for c in hdus[1].columns}
    arrays = {}
    for name in data.names:
        values = np.ascontiguousarray(data[name].astype(data[name].dtype.newbyteorder("=")))
        flat = pa.array(values.ravel())
        arrays[name] = flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    cards = {name: str(header[name]) for name in header if name.startswith("BAND")}
    fields = [pa.field(n, a.type, metadata={"unit": units[n]} if units[n] else None) for n, a in arrays.items()]
    table = pa.table(arrays, schema=pa.schema(fields, metadata=cards))
    (folder / "flat").mkdir()
    half = len(table) // 2
    pq.write_table(table.slice(0, half), folder / "flat" / "a.parquet")
    pq.write_table(table.slice(half), folder / "flat" / "b.parquet")
    return folder


@pytest.fixture(scope="module")
def client():
    """Two processes of one thread."""
    from dask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local, Client(local) as one:
        yield one


@pytest.fixture(scope="module")
def hats(files, client) -> Path:
    """The survey as a HATS collection with a margin of 10 arcsec."""
    from hats_import.collection.arguments import CollectionArguments
    from hats_import.collection.run_import import run

    first = files / "flat" / "a.parquet"
    arguments = CollectionArguments(output_artifact_name="sky", output_path=str(files), progress_bar=False)
    arguments = arguments.catalog(
        input_file_list=[str(first), str(first.with_name("b.parquet"))],
        file_reader="parquet",
        ra_column="ALPHA_J2000",
        dec_column="DELTA_J2000",
        pixel_threshold=700,
        highest_healpix_order=7,
        use_schema_file=str(first),
    ).add_margin(margin_threshold=10.0, is_default=True)
    run(arguments, client)
    return files / "sky"


@pytest.fixture(scope="module")
def alone(files, hats):
    """What one process says of the same rows."""
    predict(files / "model", hats, files / "alone.parquet", threads=1)
    return rows_of(files / "alone.parquet")


def rows_of(path: Path):
    """Rows of a prediction file or HATS catalogue by key."""
    import pandas as pd

    files = open_table(path).files
    frame = pd.concat([pq.read_table(file, partitioning=None).to_pandas() for file in files])
    return frame.drop(columns="_healpix_29", errors="ignore").sort_values(KEY).reset_index(drop=True)


def rows_of_sky(path: Path):
    """The rows of a HATS catalogue as they are."""
    import pandas as pd

    return pd.concat([pq.read_table(file, partitioning=None).to_pandas() for file in open_table(path).files])


def same(one, other) -> None:
    import pandas as pd

    pd.testing.assert_frame_equal(one, other, check_exact=True)


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_two_processes_write_what_one_does(files, hats, client, alone):
    seen = []
    told = predict(files / "model", hats, files / "p.hats", cluster=client, progress=lambda *at: seen.append(at))
    same(rows_of(files / "p.hats"), alone)
    assert told.rows == len(alone) == seen[-1][1] == seen[-1][2]
    assert sum(told.classes.values()) == len(alone)
    drift = json.loads(pq.read_schema(files / "alone.parquet").metadata[b"jpas_gbm"])["drift"]
    assert drift["rows"] == told.rows and json.loads(json.dumps(told.drift.to_dict())) == drift
    assert not (files / "p.hats.unfinished").exists()
    # LSDB opens it with its margin, whose rows are told the same.
    found = lsdb.open_catalog(files / "p.hats")
    assert found.hc_structure.catalog_info.total_rows == len(alone)
    assert found.margin.hc_structure.catalog_info.margin_threshold == 10
    margin = found.margin.compute(progress_bar=False).drop_duplicates(KEY).set_index(KEY).sort_index()
    assert 0 < len(margin) < len(alone)
    ours = alone.set_index(KEY).loc[margin.index]
    assert np.array_equal(margin["P_QSO_HIGH"].to_numpy("f4"), ours["P_QSO_HIGH"].to_numpy("f4"))
    assert len(found.margin.get_healpix_pixels()) == len(lsdb.open_catalog(hats).margin.get_healpix_pixels())
    # Each partition says what made it, and of how many rows it is a part.
    for file in open_table(files / "p.hats").files:
        cards = {**pq.read_schema(file).metadata, **pq.read_metadata(file).metadata}
        assert b"target-only" in cards[b"jpas_gbm"] and b"footers:" in cards[b"jpas_gbm"]
        assert cards[b"NROWS"] == str(len(alone)).encode()
    with pytest.raises(OutputError, match="already exists"):
        predict(files / "model", hats, files / "p.hats", cluster=client)
    before = content(files / "p.hats").keys()
    predict(files / "model", hats, files / "p.hats", cluster=client, overwrite=True)
    assert content(files / "p.hats").keys() == before


def test_units_and_bands_of_the_files_are_heeded(files, hats, client, tmp_path):
    """Another unit of the fluxes is not taken for the survey's: LSDB would not say so."""
    shutil.copytree(hats, tmp_path / "sky")
    for file in (tmp_path / "sky").rglob("*"):
        if file.is_file() and (file.suffix == ".parquet" or file.name == "_common_metadata"):
            table = pq.read_table(file, partitioning=None)
            at = table.schema.get_field_index("FLUX_APER_COR_3_0")
            field = table.schema.field(at).with_metadata({"unit": "10**-18 erg Angstrom-1 s-1 cm-2"})
            schema = table.schema.set(at, field)
            if file.name[0] == "_":
                pq.write_metadata(schema, file)
            else:
                pq.write_table(table.cast(schema), file)
    predict(files / "model", tmp_path / "sky", tmp_path / "one.parquet", threads=1)
    predict(files / "model", tmp_path / "sky", tmp_path / "two.hats", cluster=client)
    same(rows_of(tmp_path / "two.hats"), rows_of(tmp_path / "one.parquet"))


def test_the_same_options_say_the_same(files, hats, client):
    """Imaging, kept columns and the bands that decide travel to the workers."""
    more = {
        "legacy": next((files / "survey").glob("*ractor*.fits")),
        "keep": "MAG_AUTO,CLASS_STAR",
        "explain": "QSO_high,QSO_low",
        "chunk_rows": 150,
    }
    one = predict(files / "model", hats, files / "full.parquet", threads=1, **more)
    two = predict(files / "model", hats, files / "full.hats", cluster=client, **more)
    same(rows_of(files / "full.hats"), rows_of(files / "full.parquet"))
    assert one.imaging == two.imaging and one.quality == two.quality and one.reading == two.reading


def test_a_worker_that_dies_loses_and_doubles_nothing(files, hats, alone, tmp_path, client):
    """Killed with SIGKILL while it works; the other and its successor go on."""
    killed = []

    def kill(stage, done, total):
        if done and not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], 9)

    predict(files / "model", hats, tmp_path / "k.hats", cluster=client, progress=kill)
    assert killed
    same(rows_of(tmp_path / "k.hats"), alone)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_run_that_is_killed_goes_on(files, hats, alone, tmp_path, client):
    """The whole run is killed; what was done is not done again, and the end is the same bytes."""
    script = (
        "import os, sys\nfrom jpas_gbm import predict\n"
        "def stop(stage, done, total):\n    if done > 600: os.killpg(0, 9)\n"
        "if __name__ == '__main__':\n    predict(*sys.argv[1:4], cluster=1, progress=stop)\n"
    )
    (tmp_path / "run.py").write_text(script)
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    place = [str(files / "model"), str(hats), str(tmp_path / "r.hats")]
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", *place], env=env, start_new_session=True, capture_output=True, timeout=300
    )
    assert done.returncode == -9
    room = tmp_path / "r.hats.unfinished"
    records = {file: file.stat().st_mtime_ns for file in room.glob("catalogue-*.json")}
    assert records and not (tmp_path / "r.hats").exists()
    made = []
    again = {"cluster": client, "progress": lambda stage, rows, total: made.append(rows)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        with pytest.raises(OutputError, match="rows of a run with other"):
            predict(files / "other", hats, tmp_path / "r.hats", **again)
        # A torn file does not count.
        torn = next((room / "catalogue").rglob("Npix=*.parquet"))
        torn.write_bytes(torn.read_bytes()[:100])
        predict(*map(Path, place), **again)
        assert made[0] > 0
        predict(*place[:2], tmp_path / "whole" / "r.hats", cluster=client)
    same(rows_of(tmp_path / "r.hats"), alone)
    assert content(tmp_path / "r.hats") == content(tmp_path / "whole" / "r.hats")


def test_an_empty_partition_is_one_without_rows(files, hats, alone, tmp_path, client):
    shutil.copytree(hats, tmp_path / "sky")
    catalogue = tmp_path / "sky" / "sky"
    file = open_table(tmp_path / "sky").files[0]
    lost = pq.read_metadata(file).num_rows
    pq.write_table(pq.read_table(file, partitioning=None).slice(0, 0), file)
    predict(files / "model", tmp_path / "sky", tmp_path / "e.hats", cluster=client)
    found = rows_of(tmp_path / "e.hats")
    assert len(found) == len(alone) - lost
    assert len(open_table(tmp_path / "e.hats").files) == len(open_table(catalogue).files) - 1
    assert len(lsdb.open_catalog(tmp_path / "e.hats").compute(progress_bar=False)) == len(found)


def test_a_model_that_changes_under_way_is_refused(files, hats, tmp_path, client, alone):
    """Rows of two models are never mixed; with the model restored, the run goes on."""
    shutil.copytree(files / "model", tmp_path / "model")
    changed = threading.Event()

    def change(stage, done, total):
        if done and not changed.is_set():
            changed.set()
            shutil.rmtree(tmp_path / "model")
            shutil.copytree(files / "other", tmp_path / "model")
            for pid in client.run(os.getpid).values():
                os.kill(pid, 9)

    with pytest.raises(BundleError, match="is not the model that this run began with.*kept in"):
        predict(tmp_path / "model", hats, tmp_path / "m.hats", cluster=client, progress=change)
    assert changed.is_set() and not (tmp_path / "m.hats").exists()
    with pytest.raises(OutputError, match="rows of a run with other model"):
        predict(tmp_path / "model", hats, tmp_path / "m.hats", cluster=client)
    shutil.rmtree(tmp_path / "model")
    shutil.copytree(files / "model", tmp_path / "model")
    predict(tmp_path / "model", hats, tmp_path / "m.hats", cluster=client)
    same(rows_of(tmp_path / "m.hats"), alone)


def test_a_repeated_key_is_found_across_partitions(files, hats, tmp_path, client):
    shutil.copytree(hats, tmp_path / "sky")
    one, other = open_table(tmp_path / "sky").files[:2]
    first, second = (pq.read_table(file, partitioning=None) for file in (one, other))
    for name in KEY:
        values = second[name].to_numpy().copy()
        values[-1] = first[name][0].as_py()
        at = second.schema.get_field_index(name)
        second = second.set_column(at, second.schema.field(at), pa.array(values, second.schema.field(at).type))
    pq.write_table(second, other)
    with pytest.raises(CatalogueError, match="repeat the key of another"):
        predict(files / "model", tmp_path / "sky", tmp_path / "d.hats", cluster=client)
    assert not (tmp_path / "d.hats").exists()


def test_a_partition_that_is_not_there_is_named(files, hats, tmp_path, client):
    shutil.copytree(hats, tmp_path / "sky")
    open_table(tmp_path / "sky").files[1].unlink()
    with pytest.raises((CatalogueError, OutputError), match="Npix="):
        predict(files / "model", tmp_path / "sky", tmp_path / "l.hats", cluster=client)


def test_an_lsdb_catalogue_is_classified_lazily(files, hats, alone, client):
    catalogue = lsdb.open_catalog(hats, columns="all")
    found = classify(catalogue, files / "model")
    assert found.hc_structure.catalog_info.ra_column == "RA" and found.margin is not None
    frame = found.query("P_QSO_HIGH > 0.2").compute(progress_bar=False)
    wanted = alone[alone["P_QSO_HIGH"] > 0.2]
    assert len(frame) == len(wanted) > 0
    ours = frame.sort_values(KEY).reset_index(drop=True)
    assert np.array_equal(ours["P_QSO_HIGH"].to_numpy("f4"), wanted["P_QSO_HIGH"].to_numpy("f4"))
    found.write_catalog(files / "lazy", catalog_name="lazy", progress_bar=False, overwrite=True)
    assert len(lsdb.open_catalog(files / "lazy").compute(progress_bar=False)) == len(alone)


def test_a_dask_table_is_classified(files, alone, client):
    table = dd.read_parquet(files / "flat" / "*.parquet")
    table["TEXT"] = table["NUMBER"].astype("int64").astype(str).astype(object)
    found = classify(table, files / "model", keep="MAG_AUTO,TEXT").compute()
    assert (found["TEXT"].astype(int) == found["NUMBER"]).all() and found["NUMBER"].max() > 99
    ours = found.sort_values(KEY).reset_index(drop=True)
    assert np.array_equal(ours["P_STAR"].to_numpy("f4"), alone["P_STAR"].to_numpy("f4"))
    assert list(found["CLASS"].sort_index()) and "MAG_AUTO" in found
    with pytest.raises(CatalogueError, match="has no rows"):
        classify(dd.from_pandas(table.head(3).iloc[:0], npartitions=1), files / "model")


def test_neighbours_of_a_list(files, hats, client):
    """Each row stands once, in its order, beside its nearest source, across the borders of partitions too."""
    import pandas as pd
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    sky = rows_of_sky(hats).drop_duplicates(["ALPHA_J2000", "DELTA_J2000"]).reset_index(drop=True)
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(sky))[:400]
    listed = pd.DataFrame(
        {
            "NAME": np.arange(450),
            "RA": np.append(sky["ALPHA_J2000"][chosen] + rng.normal(0, 2e-4, 400), np.linspace(10, 20, 50)),
            "DEC": np.append(sky["DELTA_J2000"][chosen] + rng.normal(0, 2e-4, 400), np.full(50, -70.0)),
        }
    )
    found = neighbours(listed, hats, radius=1.0, columns=["ALPHA_J2000", "DELTA_J2000", "TILE_ID", "NUMBER"])
    assert found["NAME"].tolist() == listed["NAME"].tolist()
    ours = SkyCoord(listed["RA"], listed["DEC"], unit="deg")
    near, apart, _ = ours.match_to_catalog_sky(SkyCoord(sky["ALPHA_J2000"], sky["DELTA_J2000"], unit="deg"))
    has = apart < 1 * u.arcsec
    assert 100 < has.sum() < 400
    assert np.array_equal(found["_dist_arcsec"].notna().to_numpy(), has)
    assert np.allclose(found.loc[has, "_dist_arcsec"].to_numpy(float), apart.arcsec[has], atol=1e-4)
    assert np.array_equal(found.loc[has, "NUMBER_sky"].to_numpy(int), sky["NUMBER"].to_numpy()[near[has]])
    with pytest.raises(CatalogueError, match="its margin is 10 arcsec, the radius 30"):
        neighbours(listed, hats, radius=30)
    with pytest.raises(CatalogueError, match="1 of 450 rows of the list have no position"):
        neighbours(listed.assign(RA=listed["RA"].where(listed["NAME"] != 3)), hats)
    with pytest.raises(CatalogueError, match="has no column DEC"):
        neighbours(listed[["RA"]], hats)
    with pytest.raises(ConfigError, match="is no radius of a neighbour"):
        neighbours(listed, hats, radius=-1)


def test_what_a_cluster_cannot_do_is_said(files, hats, tmp_path):
    model = files / "model"
    with pytest.raises(ConfigError, match="--cluster writes a HATS catalogue"):
        predict(model, hats, tmp_path / "a.parquet", cluster=2)
    with pytest.raises(ConfigError, match="is no HATS catalogue"):
        predict(model, files / "flat", tmp_path / "a.hats", cluster=2)
    with pytest.raises(ConfigError, match="leave --shard and --merge out"):
        predict(model, hats, tmp_path / "a.hats", cluster=2, shard="1/2")
    with pytest.raises(ConfigError, match="no Dask scheduler answers there"):
        predict(model, hats, tmp_path / "a.hats", cluster="nonsense")
    with pytest.raises(ConfigError, match="number of processes, 1 or more"):
        predict(model, hats, tmp_path / "a.hats", cluster=0)
    from jpas_gbm import load

    with pytest.raises(ConfigError, match="give the folder that it is saved in"):
        predict(load(model), hats, tmp_path / "a.hats", cluster=2)
    assert not list(tmp_path.iterdir())

"""Several files as one table: folders, wildcards and HATS catalogues."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from sample_files import write_idr

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError
from jpas_gbm.surveys.batches import block_rows, join_blocks
from jpas_gbm.surveys.reader import CatalogueReader, read_catalogue
from jpas_gbm.surveys.survey_file import draft_survey
from jpas_gbm.surveys.tables import open_table


def parquet(path, numbers, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"ID": pa.array(numbers, pa.int64()), "X": pa.array(np.asarray(numbers, float)), **more}
    pq.write_table(pa.table(values), path, row_group_size=3)


def ids(table, start=0):
    return [int(i) for block in table.read({"ID": "int"}, start) for i in block["ID"]]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cat"
    for name, numbers in (("a", range(5)), ("b", []), ("c", range(5, 12))):
        parquet(folder / f"{name}.parquet", list(numbers))
    (folder / "_metadata").write_text("no table")
    (folder / "readme.txt").write_text("no table")
    return folder


def test_a_folder_is_one_table_in_the_order_of_names_and_empty_files_are_no_harm(folder):
    table = open_table(folder)
    assert table.rows == 12 and ids(table) == list(range(12)) and len(table.files) == 3
    assert table.format == "Parquet, 3 files"
    assert ids(open_table(folder / "*.parquet")) == list(range(12))
    assert ids(open_table(f"{folder}/[ac].parquet", None)) == list(range(12))


@pytest.mark.parametrize("start", [0, 1, 3, 5, 6, 11, 12, 30])
def test_rows_behind_a_start_are_those_of_the_whole(folder, tmp_path, start):
    assert ids(open_table(folder), start) == list(range(12))[start:]
    Table({"ID": np.arange(12)}).write(tmp_path / "a.fits")
    (tmp_path / "a.csv").write_text("ID\n" + "\n".join(map(str, range(12))))
    for name in ("a.fits", "a.csv"):
        assert ids(open_table(tmp_path / name), start) == list(range(12))[start:]


def test_a_hats_catalogue_is_read_by_order_and_pixel(tmp_path):
    root = tmp_path / "hats"
    root.mkdir()
    (root / "hats.properties").write_text("obs_collection=x\n")
    (root / "partition_info.csv").write_text("Norder,Npix\n")
    for order, pixel, numbers in ((1, 44, [3, 4]), (1, 7, [1, 2]), (0, 9, [0])):
        parquet(root / "dataset" / f"Norder={order}" / "Dir=0" / f"Npix={pixel}.parquet", numbers)
    pq.write_table(pa.table({"ID": [99]}), root / "dataset" / "data_thumbnail.parquet")
    assert ids(open_table(root)) == [0, 1, 2, 3, 4]


def test_a_collection_is_its_catalogue_and_a_partition_may_be_several_files(tmp_path):
    root = tmp_path / "sky"
    for name, numbers in (("main", [0, 1, 2]), ("main_5arcs", [2])):
        for part in numbers:
            parquet(root / name / "dataset" / "Norder=1" / "Dir=0" / "Npix=7" / f"part{part}.parquet", [part])
        (root / name / "hats.properties").write_text("obs_collection=x\n")
    (root / "collection.properties").write_text("#HATS\nhats_primary_table_url=main\ndefault_margin=main_5arcs\n")
    assert ids(open_table(root)) == [0, 1, 2]
    (root / "main").rename(root / "lost")
    with pytest.raises(CatalogueError, match="is a HATS collection whose catalogue is not there .*_url=main"):
        open_table(root)


def test_columns_that_change_between_files_are_told(folder):
    parquet(folder / "d.parquet", [20], EXTRA=pa.array([1]))
    with pytest.raises(CatalogueError, match=r"change between files: d\.parquet has besides EXTRA, compared with a\.p"):
        open_table(folder)
    pq.write_table(pa.table({"ID": [[1, 2]]}), folder / "d.parquet")
    with pytest.raises(CatalogueError, match=r"d\.parquet lacks X; has of another kind ID, compared with a\.parquet"):
        open_table(folder)
    (folder / "d.parquet").write_bytes(b"")
    with pytest.raises(CatalogueError, match=r"d\.parquet: is empty \(no content\)"):
        open_table(folder)
    with pytest.raises(CatalogueError, match=r"no_such_\*: there is no file of such a name"):
        open_table(folder / "no_such_*")


@pytest.mark.parametrize("how", ["fits", "parquet", "csv"])
def test_tiles_of_which_one_file_has_digits_alone_are_those_of_the_whole(tmp_path, how):
    """A file of the tiles 12 and 7 was refused beside one that has A3."""
    tiles, folder = np.array(["12", "7", "12", "A3", "7", "12"]), tmp_path / "s"
    table = Table({"ra": np.arange(6) + 10.0, "dec": np.arange(6) + 1.0})
    for band in "ugriz":
        table[f"{band}_mag"], table[f"{band}_emag"] = np.linspace(18, 19, 6), np.full(6, 0.1)
    table["pointing"] = tiles
    draft_survey(table.to_pandas()).save(tmp_path / "mine.yaml")
    folder.mkdir()
    for name, rows in (("a", slice(0, 3)), ("b", slice(3, None)), ("c", slice(0, 3))):
        part = table[rows].copy()
        part["pointing"] = tiles[rows].astype(int) if rows.stop else tiles[rows]
        part["ra"] += 5.0 * (name == "c")
        part.write(folder / f"{name}.{how}")
    own = {"survey": str(tmp_path / "mine.yaml")}
    expected = jg.read(table, **own).key["TILE_ID"]
    found = jg.read(folder, **own).key["TILE_ID"]
    np.testing.assert_array_equal(found, [*expected, *expected[:3]])


def test_an_empty_name_is_not_the_folder_that_one_works_in(tmp_path, monkeypatch):
    write_idr(tmp_path / "a.fits")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CatalogueError, match="the name of a table is empty. Name a file, a folder"):
        read_catalogue("")
    assert len(read_catalogue(".")[0]) and jg.inspect(".").lines()


def test_bands_in_another_order_are_another_survey(tmp_path):
    (tmp_path / "s").mkdir()
    for name in ("a.fits", "b.fits"):
        write_idr(tmp_path / "s" / name, rows=10)
    assert open_table(tmp_path / "s").rows == 20
    with fits.open(tmp_path / "s" / "b.fits", mode="update") as hdus:
        header = hdus[1].header
        header["BAND0"], header["BAND1"] = header.get("BAND1", "x"), header.get("BAND0", "y")
    with pytest.raises(CatalogueError, match=r"b\.fits has of another kind BAND0, BAND1"):
        open_table(tmp_path / "s")


def test_a_catalogue_in_several_files_is_the_rows_of_each_and_notes_name_the_file(tmp_path):
    (tmp_path / "s").mkdir()
    one = write_idr(tmp_path / "s" / "a.fits", rows=30, checksum=True)
    with fits.open(write_idr(tmp_path / "s" / "b.fits", rows=20), mode="update") as hdus:
        hdus[1].data["TILE_ID"] += 1000
        hdus[1].add_checksum()
    whole, quality = read_catalogue(tmp_path / "s")
    np.testing.assert_array_equal(whole.flux[:30], read_catalogue(one)[0].flux)
    assert len(whole) == 50 and not quality.notes()
    content = bytearray(one.read_bytes())
    content[-5000] ^= 0x01
    one.write_bytes(bytes(content))
    reader = CatalogueReader(tmp_path / "s")
    assert sum(map(len, reader.chunks(7))) == 50
    assert reader.quality.notes()[0].startswith("s: a.fits: the data do not match the CHECKSUM")


def test_checksums_are_summed_while_reading_and_only_then(tmp_path, monkeypatch):
    path = write_idr(tmp_path / "a.fits", rows=101, checksum=True)
    for blocks in (1 << 10, 1 << 25):
        monkeypatch.setattr("jpas_gbm.surveys.formats.fits.BLOCK_BYTES", blocks)
        table = open_table(path)
        assert block_rows(join_blocks(list(table.read({"TILE_ID": "int"})))) == 101
        monkeypatch.setattr(table, "_compare", lambda total: pytest.fail("summed in a pass of its own"))
        assert table.verified and table.notes == ()
    assert open_table(path).verified


def test_a_folder_with_brackets_in_its_name_is_no_wildcard(folder):
    other = folder.rename(folder.with_name("cat[1]"))
    assert ids(open_table(other / "*.parquet")) == list(range(12))
    assert ids(open_table(f"{other}/a.parquet")) == list(range(5))


def test_a_wildcard_that_only_a_folder_has_is_that_folder(folder):
    assert ids(open_table(folder.with_name("c*"))) == list(range(12))
    # Where files have it, folders are left out, as in a folder, and so is what stands beside tables.
    (folder / "below.parquet").mkdir()
    assert ids(open_table(folder / "*")) == list(range(12))
    assert ids(open_table(folder / "*.parquet")) == list(range(12))


def test_a_wildcard_is_inspected_with_the_size_of_all_its_files(tmp_path):
    for i in range(2):
        write_idr(tmp_path / f"{i}.fits", rows=10, changes={"NUMBER": np.arange(10 * i, 10 * i + 10)})
    found = jg.inspect(tmp_path / "*.fits").files[0]
    assert found.rows == 20 and found.bytes == sum(one.stat().st_size for one in tmp_path.glob("*.fits"))

"""Tables written in every format, read back by other programs."""

from __future__ import annotations

import errno
import io
import json
import warnings

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

from jpas_gbm.errors import OutputError
from jpas_gbm.output.write_tables import CsvWriter, FitsWriter, VOTableWriter
from jpas_gbm.output.writers import (
    Head,
    prediction_cards,
    prediction_columns,
    record_type,
    suffixes,
    table_writer,
    to_pandas,
    to_table,
    writer_class,
)
from jpas_gbm.sealed import read_companion

CLASSES = ("QSO_high", "QSO_low", "GALAXY", "STAR")
COLUMNS = prediction_columns(("TILE_ID", "NUMBER"), CLASSES, object_id="TARGETID", spread=True, photoz=True)
HEADER = {"software": "jpas-gbm", "version": "9", "made": "2026-01-02T03:04:05+00:00", "note": 'it\'s <é> & "so"'}
HEAD = Head(COLUMNS, HEADER, cards=prediction_cards(HEADER) | {"PROMISE": "by Candès, 95 %"})


def rows(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = np.zeros(n, dtype=record_type(COLUMNS))
    for column in COLUMNS:
        if column.dtype.startswith("f"):
            table[column.name] = rng.normal(size=n)
        elif column.dtype.startswith("i"):
            table[column.name] = rng.integers(0, 1000, n)
        else:
            table[column.name] = rng.choice([c.encode() for c in CLASSES], n)
    if n:
        table["TARGETID"][0] = 2**62 + 1  # no double holds this
        table["MAG"][-1] = np.nan
    return table


def write(path, n=1237, pieces=5):
    table = rows(n)
    with table_writer(path, HEAD) as writer:
        for part in np.array_split(table, pieces):
            writer.write(part)
    return table


def test_every_ucd_is_valid():
    for column in COLUMNS:
        assert check_ucd(column.ucd, check_controlled_vocabulary=True), column
        assert column.description.endswith(".")
    magnitude = next(column for column in COLUMNS if column.name == "MAG")
    assert (
        "(r)" not in magnitude.description and magnitude.ucd == "phot.mag"
    )  # it is of whatever band the survey file says
    one = prediction_columns(("ROW",), CLASSES)
    assert check_ucd(one[0].ucd, check_controlled_vocabulary=True)


def test_fits_is_whole_with_checksums_units_and_ucds(tmp_path):
    table = write(tmp_path / "a.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(tmp_path / "a.fits", checksum=True) as file:
            file.verify("exception")
            assert [hdu.name for hdu in file] == ["PRIMARY", "PREDICTIONS"]
            header, data = file[1].header, file[1].data
            for hdu in file:
                assert hdu.verify_checksum() == hdu.verify_datasum() == 1
            for number, column in enumerate(COLUMNS, start=1):
                assert header[f"TTYPE{number}"] == column.name
                assert header[f"TUCD{number}"] == column.ucd
                assert header.get(f"TUNIT{number}", "") == column.unit
                expected = table[column.name]
                if column.dtype.startswith("S"):
                    assert data[column.name].tolist() == [value.decode() for value in expected]
                else:
                    np.testing.assert_array_equal(data[column.name], expected)
            assert json.loads(header["PROVENAN"]) == HEADER
            assert header["DATE"] == "2026-01-02T03:04:05" and header["RADESYS"] == "ICRS"
            assert header["PROMISE"] == "by Candes, 95 %"
    assert (tmp_path / "a.fits").stat().st_size % 2880 == 0


def test_trap_fits_corruption_is_noticed(tmp_path):
    write(tmp_path / "a.fits")
    content = bytearray((tmp_path / "a.fits").read_bytes())
    content[-4000] ^= 1
    (tmp_path / "a.fits").write_bytes(content)
    with pytest.warns(Warning, match="[Cc]hecksum|[Dd]atasum"), fits.open(tmp_path / "a.fits", checksum=True) as file:
        file[1].data  # noqa: B018


def test_parquet_has_units_ucds_and_row_groups(tmp_path):
    table = write(tmp_path / "a.parquet")
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert file.num_row_groups == 5
    found = file.read()
    assert json.loads(file.schema_arrow.metadata[b"jpas_gbm"]) == HEADER
    assert file.schema_arrow.metadata[b"PROMISE"].decode() == "by Candès, 95 %"
    for column in COLUMNS:
        field = file.schema_arrow.field(column.name)
        assert field.metadata[b"ucd"].decode() == column.ucd and field.metadata[b"unit"].decode() == column.unit
        mine = found[column.name].to_numpy()
        expected = table[column.name]
        np.testing.assert_array_equal(mine, [v.decode() for v in expected] if expected.dtype.kind == "S" else expected)
    assert found["TARGETID"][0].as_py() == 2**62 + 1


def test_parquet_is_voparquet(tmp_path):
    table = write(tmp_path / "a.parquet")
    metadata = pq.read_metadata(tmp_path / "a.parquet").metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    content = metadata[b"IVOA.VOTable-Parquet.content"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = votable.parse(io.BytesIO(content), verify="exception")
        found = Table.read(tmp_path / "a.parquet", format="parquet.votable")
    assert b"<DATA" not in content and [field.datatype for field in file.get_first_table().fields][-1] == "int"
    for column in COLUMNS:
        assert str(found[column.name].unit or "") == column.unit
        assert found[column.name].meta["ucd"] == column.ucd and found[column.name].description == column.description
    np.testing.assert_array_equal(found["RA"], table["RA"])
    plain = Table.read(tmp_path / "a.parquet")
    assert [str(plain[c.name].unit or "") for c in COLUMNS] == [c.unit for c in COLUMNS]


def test_votable_is_valid_and_whole(tmp_path):
    table = write(tmp_path / "a.vot")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = votable.parse(tmp_path / "a.vot", verify="exception")
    found = file.get_first_table()
    infos = {info.name: info.value for info in file.resources[0].infos}
    assert json.loads(infos["provenance"]) == HEADER and infos["PROMISE"] == "by Candès, 95 %"
    text = (tmp_path / "a.vot").read_text()
    assert text.rindex("<INFO") < text.index("<COOSYS") < text.index("<TABLE")  # the order that the schema wants
    for column, field in zip(COLUMNS, found.fields, strict=True):
        assert (field.name, field.ucd) == (column.name, column.ucd)
        assert str(field.unit or "") == column.unit
        mine, expected = found.array[column.name], table[column.name]
        if expected.dtype.kind == "S":
            assert [str(value) for value in mine] == [value.decode() for value in expected]
        else:
            np.testing.assert_array_equal(np.ma.getdata(mine), expected)
    assert found.get_field_by_id_or_name("RA").ref == "icrs"


def test_csv_is_plain_and_has_a_companion(tmp_path):
    table = write(tmp_path / "a.csv")
    found = pd.read_csv(tmp_path / "a.csv", dtype={c.name: np.float32 for c in COLUMNS if c.dtype == "f4"})
    assert list(found) == [column.name for column in COLUMNS] and len(found) == 1237
    assert found["TARGETID"].dtype == np.int64 and found["TARGETID"][0] == 2**62 + 1
    np.testing.assert_array_equal(found["P_STAR"], table["P_STAR"])
    np.testing.assert_array_equal(found["RA"], table["RA"])
    assert np.isnan(found["MAG"].iloc[-1])
    about = json.loads((tmp_path / "a.csv.json").read_text())
    assert about["provenance"] == HEADER and about["columns"][0]["ucd"] == "meta.id.part"
    assert about["cards"]["PROMISE"] == "by Candès, 95 %"
    assert read_companion(tmp_path / "a.csv.json", tmp_path / "a.csv") == about


def test_ecsv_is_read_by_astropy_with_units(tmp_path):
    table = write(tmp_path / "a.ecsv")
    found = Table.read(tmp_path / "a.ecsv", format="ascii.ecsv")
    assert found.meta["provenance"] == HEADER and found.meta["PROMISE"] == "by Candès, 95 %"
    assert str(found["RA"].unit) == "deg" and found["RA"].info.meta["ucd"] == "pos.eq.ra;meta.main"
    np.testing.assert_array_equal(found["P_STAR"], table["P_STAR"])
    assert found["P_STAR"].dtype == np.float32 and found["TARGETID"].dtype == np.int64
    assert found["CLASS"][5] == table["CLASS"][5].decode()


@pytest.mark.parametrize("suffix", ["fits", "parquet", "vot", "csv", "ecsv"])
def test_no_rows_make_an_empty_table(tmp_path, suffix):
    with table_writer(tmp_path / f"a.{suffix}", HEAD) as writer:
        writer.write(rows(0))
    if suffix == "parquet":
        assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 0
    else:
        name = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable"}.get(suffix, suffix)
        assert len(Table.read(tmp_path / f"a.{suffix}", format=name)) == 0


def test_an_aborted_table_leaves_nothing(tmp_path):
    for suffix in ("fits", "parquet", "vot", "csv", "ecsv"):
        with pytest.raises(RuntimeError), table_writer(tmp_path / f"a.{suffix}", HEAD) as writer:
            writer.write(rows(10))
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, part):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(CsvWriter, "write", full)
    with pytest.raises(OutputError) as caught, table_writer(tmp_path / "a.csv", HEAD) as writer:
        writer.write(rows(3))
    assert "cannot be written (No space left on device)" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_companion_is_not_overwritten_unasked(tmp_path):
    (tmp_path / "a.csv.json").write_text("mine")
    with (
        pytest.raises(OutputError, match=r"a\.csv\.json: already exists"),
        table_writer(tmp_path / "a.csv", HEAD),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv.json"]


def test_formats_by_suffix():
    assert writer_class("a.FITS") is FitsWriter and writer_class("x/y.votable") is VOTableWriter
    assert set(suffixes()) >= {".fits", ".fit", ".parquet", ".pq", ".vot", ".votable", ".xml", ".csv", ".ecsv"}
    with pytest.raises(OutputError, match=r"cannot tell the format by the suffix ''.*Known: .*\.fits"):
        writer_class("predictions")


def test_rows_as_tables_of_other_libraries():
    table = rows(7)
    ours = to_table(COLUMNS, table, {"of": "a test"})
    assert str(ours["RA"].unit) == "deg" and ours["RA"].meta["ucd"] == "pos.eq.ra;meta.main" and ours.meta["of"]
    frame = to_pandas(COLUMNS, table)
    assert list(frame) == ours.colnames and frame["CLASS"][3] == table["CLASS"][3].decode() == ours["CLASS"][3]
    np.testing.assert_array_equal(frame["TARGETID"], table["TARGETID"])

"""Raw tables of each format: the same columns come out, and damage is told."""

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Table
from sample_files import write_fits, write_idr, write_mocks, write_zcat

from jpas_gbm.errors import CatalogueError
from jpas_gbm.surveys.batches import join_blocks, rebatch, stack_rows
from jpas_gbm.surveys.formats import fits as fits_table
from jpas_gbm.surveys.formats import votable
from jpas_gbm.surveys.formats.npy import find_array
from jpas_gbm.surveys.spelling import ColumnNames
from jpas_gbm.surveys.tables import ARRAY, find_format, open_table


def whole(table, **want):
    return join_blocks(list(table.blocks(want or dict.fromkeys(table.columns, "any"))))


# ---- names ----------------------------------------------------------------------------------------


def test_names_are_found_in_any_case_and_with_prefix():
    names = ColumnNames(["minijpas.tile_id", "Ra", "z"], "t")
    assert names.find(("TILE_ID",)) == "minijpas.tile_id"
    assert names.find(("ALPHA", "RA")) == "Ra"
    assert names.find(("DEC",)) is None
    assert names.nearest("TILE") == "" or "Did you mean" in names.nearest("TILE")


def test_an_exact_spelling_is_preferred_and_a_doubtful_one_refused():
    names = ColumnNames(["z", "Z", "a.ID", "b.id"], "t.fits[1]")
    assert names.find(("z",)) == "z" and names.find(("Z",)) == "Z"
    with pytest.raises(CatalogueError, match=r"t\.fits\[1\]: columns a\.ID and b\.id could both be 'ID'\. Rename"):
        names.find(("ID",))


# ---- FITS -----------------------------------------------------------------------------------------


def test_trap_fits_big_endian_columns_come_out_native(tmp_path):
    table = open_table(write_idr(tmp_path / "a.fits"))
    block = whole(table)
    assert table.format == "FITS" and table.rows == 12
    assert all(values.dtype.isnative for values in block.values())
    assert block["FLUX_APER_COR_3_0"].shape == (12, 57)
    assert block["FLUX_APER_COR_3_0"][3, 5] == pytest.approx(103.05)


def test_fits_text_logical_scaled_unsigned_and_null_columns(tmp_path):
    columns = [
        fits.Column("T", "4A", array=["ab  ", "c"]),
        fits.Column("L", "L", array=[True, False]),
        fits.Column("U2", "I", bzero=32768, array=np.array([1, 65535], dtype=np.uint16)),
        fits.Column("U8", "K", bzero=2**63, array=np.array([1, 2**63 + 5], dtype=np.uint64)),
        fits.Column("S1", "B", bzero=-128, array=np.array([-100, 100], dtype=np.int8)),
        fits.Column("SC", "I", array=np.array([1, 4])),
        fits.Column("N", "J", null=-1, array=np.array([5, -1])),
        fits.Column("M", "4E", dim="(2,2)", array=np.arange(8, dtype=np.float32).reshape(2, 2, 2)),
        fits.Column("V", "PE()", array=np.array([np.array([1, 2.0]), np.array([3, 4.0])], dtype=object)),
    ]
    unit = fits.BinTableHDU.from_columns(columns)
    unit.header["TSCAL6"], unit.header["TZERO6"] = 0.5, 10
    unit.writeto(tmp_path / "a.fits")
    table = open_table(tmp_path / "a.fits")
    block = whole(table)
    assert block["T"].tolist() == ["ab", "c"]
    assert block["L"].tolist() == [True, False]
    assert block["U2"].tolist() == [1, 65535] and block["U8"].tolist() == [1, 2**63 + 5]
    assert block["S1"].tolist() == [-100, 100]
    assert block["SC"].tolist() == [10.5, 12.0] and table.columns["SC"].kind == "float"
    assert table.columns["U8"].kind == "int"
    assert block["N"].tolist() == [5, None]
    assert block["M"].shape == (2, 4)
    assert block["V"].tolist() == [[1, 2], [3, 4]] and table.columns["V"].kind == "object"


def test_fits_is_read_in_blocks(tmp_path, monkeypatch):
    path = write_idr(tmp_path / "a.fits", rows=50)
    everything = whole(open_table(path))
    monkeypatch.setattr(fits_table, "BLOCK_BYTES", 5000)
    table = open_table(path)
    blocks = list(table.blocks({"NUMBER": "int", "MAG_AUTO": "float"}))
    assert len(blocks) > 5
    np.testing.assert_array_equal(join_blocks(blocks)["MAG_AUTO"], everything["MAG_AUTO"])


def test_gzipped_fits(tmp_path):
    path = write_idr(tmp_path / "a.fits", checksum=True)
    packed = tmp_path / "b.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(whole(open_table(packed))["NUMBER"], whole(open_table(path))["NUMBER"])
    cut = tmp_path / "c.fits.gz"
    cut.write_bytes(packed.read_bytes()[:3000])
    with pytest.raises(CatalogueError, match=r"c\.fits\.gz: .*(truncated|unpacked|ends before its table)"):
        whole(open_table(cut))


def test_gzipped_fits_without_checksums_that_ends_early(tmp_path):
    path = write_idr(tmp_path / "a.fits", rows=400)
    cut = tmp_path / "c.fits.gz"
    cut.write_bytes(gzip.compress(path.read_bytes()[:100_000]))
    with pytest.raises(CatalogueError, match=r"c\.fits\.gz: is truncated: it ends within row \d+"):
        whole(open_table(cut))
    broken = tmp_path / "d.fits.gz"
    broken.write_bytes(gzip.compress(path.read_bytes(), 0)[:250_000])
    with pytest.raises(CatalogueError, match=r"d\.fits\.gz: .*(truncated|unpacked|ends before its table)"):
        whole(open_table(broken))


@pytest.mark.parametrize("keep", [300, 2880 * 2, 2880 * 4])
def test_truncated_fits(tmp_path, keep):
    path = write_idr(tmp_path / "a.fits", rows=100)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CatalogueError, match=r"a\.fits: .*(truncated|holds no table)"):
        whole(open_table(path))


def test_truncated_fits_says_how_many_bytes_are_missing(tmp_path):
    path = write_idr(tmp_path / "a.fits", rows=100)
    path.write_bytes(path.read_bytes()[:-40_000])
    with pytest.raises(
        CatalogueError, match=r"is truncated: [\d,]+ bytes, the table a\.fits\[FLAMBDADUALOBJ\] needs [\d,]+"
    ):
        open_table(path)


@pytest.mark.parametrize(("where", "part"), [(b"", "data do"), (b"J0390", "header does")])
def test_trap_fits_corruption_is_silent_without_checksums(tmp_path, where, part):
    path = write_idr(tmp_path / "a.fits", rows=100, checksum=True)
    sound = open_table(path)
    assert sound.rows == 100 and sound.verified and not sound.notes
    content = bytearray(path.read_bytes())
    content[content.find(where) + 2 if where else -5000] ^= 0x01
    path.write_bytes(bytes(content))
    table = open_table(path)
    assert not table.verified
    assert f"the {part} not match the CHECKSUM and DATASUM cards: the table was changed" in table.notes[0]
    with pytest.raises(CatalogueError, match=rf"FLAMBDADUALOBJ\]: the {part} not match .* With --strict"):
        table.refuse_notes()


def test_a_damaged_table_of_this_package_is_refused_and_a_cut_one_is_known(tmp_path):
    path = write_idr(tmp_path / "a.fits", rows=100)
    with fits.open(path, mode="update") as hdus:
        header = hdus[1].header
        header["ORIGIN"], header["NROWS"], header["NCOLS"] = "jpas-gbm 0.1.0", 100, header["TFIELDS"]
        hdus[1].add_checksum()
    assert open_table(path).verified
    Table.read(path)[:30].write(tmp_path / "cut.fits")
    cut = open_table(tmp_path / "cut.fits")
    assert cut.rows == 30 and not cut.verified and len(cut.notes) == 1
    content = bytearray(path.read_bytes())
    content[-5000] ^= 0x01
    path.write_bytes(bytes(content))
    with pytest.raises(CatalogueError, match=r"the data do not match .* it has all its 100 rows: it is damaged"):
        list(open_table(path).read({"TILE_ID": "int"}))
    with pytest.raises(CatalogueError, match="it is damaged"):
        open_table(path).notes  # noqa: B018


def test_zero_checksum_cards_mean_that_none_was_computed(tmp_path):
    path = write_idr(tmp_path / "a.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["CHECKSUM"] = "0" * 16
        hdus[1].header["DATASUM"] = ""
    assert open_table(path).rows == 12


def test_extensions(tmp_path):
    other = fits.BinTableHDU(Table({"x": [1]}), name="OTHER")
    path = write_idr(tmp_path / "a.fits", first=other)
    assert open_table(path).place == "a.fits[OTHER]"
    assert open_table(path, ["NOPE", "FLAMBDADUALOBJ"]).rows == 12
    assert open_table(path, "flambdadualobj").rows == open_table(path, 2).rows == open_table(path, "2").rows
    with pytest.raises(CatalogueError, match=r"has no extension 7\. It has: 0 PRIMARY, 1 OTHER, 2 FLAMBDADUALOBJ"):
        open_table(path, 7)
    with pytest.raises(CatalogueError, match=r"no extension 'FLAMBDA'\. Did you mean 'FLAMBDADUALOBJ'\? It has: 0"):
        open_table(path, "FLAMBDA")
    with pytest.raises(CatalogueError, match=r"a\.fits\[PRIMARY\]: is no table but an image"):
        open_table(path, 0)


def test_an_image_is_no_table(tmp_path):
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "a.fits")
    with pytest.raises(CatalogueError, match=r"holds no table, only 0 PRIMARY\. A catalogue is needed, no image"):
        open_table(tmp_path / "a.fits")


# ---- not what it seems ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fits", b"<html>404 not found</html>", r"is named \.fits but is not FITS; it begins with '<html>404"),
        ("a.parquet", b"hello", r"is named \.parquet but is not Parquet"),
        ("a.dat", b"\x00\x01\x02", r"is in no format that is read here"),
        ("a.txt", b"<html></html>", r"is in no format that is read here \(it begins with '<html>"),
        ("a.csv", b"", r"is empty \(no content\)"),
        ("a.csv", b"# only\n# comments\n", r"has comment lines only, no header line"),
        ("a.parquet", b"PAR1 and then nothing", r"is not a readable Parquet file"),
        ("a.xml", b"<?xml version='1.0'?><VOTABLE><RESOURCE><TABLE>", r"is not a readable VOTable .*truncated"),
        ("a.npy", b"\x93NUMPY\x01\x00broken", r"is not a readable \.npy array"),
        ("a.csv.gz", b"\x1f\x8bgarbage", r"cannot be unpacked .* truncated or damaged"),
    ],
)
def test_files_that_are_not_what_they_seem(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogueError, match=message):
        open_table(tmp_path / name)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(CatalogueError, match=r"no\.fits: there is no such file"):
        open_table(tmp_path / "no.fits")
    with pytest.raises(CatalogueError, match=r"is a folder without table files"):
        open_table(tmp_path)


def test_the_format_is_told_by_content(tmp_path):
    assert find_format(write_idr(tmp_path / "a.data")).format == "FITS"
    (tmp_path / "b.fits.txt").write_text("SIMPLE  =")
    assert find_format(tmp_path / "b.fits.txt").format == "FITS"


# ---- CSV ------------------------------------------------------------------------------------------


def test_csv_kinds_comments_delimiters_and_missing(tmp_path):
    (tmp_path / "a.csv").write_text("#SELECT * FROM x\nid;f;t\n39633000004190713;1.5; ab \n2;NaN;\n3;null;c\n")
    table = open_table(tmp_path / "a.csv")
    assert list(table.columns) == ["id", "f", "t"] and table.rows is None
    block = whole(table, id="int", f="float", t="text")
    assert block["id"].tolist() == [39633000004190713, 2, 3]
    np.testing.assert_array_equal(block["f"], [1.5, np.nan, np.nan])
    assert block["t"].tolist() == ["ab", "", "c"]
    assert whole(table)["id"].dtype == np.float64


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_csv_whose_columns_are_lined_up_with_blanks(tmp_path, separator):
    words = ("f", "1.5", "", "NaN", "null", "-2")
    rows = (separator.join((f"{i:>6}", f"{word:>24}", f"{word:<24}")) for i, word in enumerate(words))
    (tmp_path / "a.csv").write_text("\n".join([separator.join(("n", "f", "g")), *list(rows)[1:]]) + "\n")
    block = whole(open_table(tmp_path / "a.csv"), n="int", f="float", g="float")
    assert block["n"].tolist() == [1, 2, 3, 4, 5]
    for name in "fg":
        np.testing.assert_array_equal(block[name], [1.5, np.nan, np.nan, np.nan, -2])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: Table({"ra": [1.0]}).write(path, format="ascii.mrt"), r"MRT.*format='ascii\.mrt'"),
        (lambda path: path.write_text('[{"ra": 1.0},\n {"ra": 2.0}]\n'), "is JSON.*CSV or Parquet"),
        (lambda path: path.write_text('{"ra": {"0": 1.0}}'), "is JSON.*CSV or Parquet"),
    ],
)
def test_text_of_another_format_is_named(tmp_path, write, said):
    write(tmp_path / "a.txt")
    with pytest.raises(CatalogueError, match=said):
        open_table(tmp_path / "a.txt")


def test_csv_an_integer_may_turn_out_a_fraction_far_down(tmp_path):
    lines = [f"{i},{i:020d}" for i in range(200_000)] + ["1.5,8"]
    (tmp_path / "a.csv").write_text("a,b\n" + "\n".join(lines))
    table = open_table(tmp_path / "a.csv")
    assert table.columns["a"].kind == "int"
    blocks = list(table.blocks({"a": "any"}))
    assert len(blocks) > 1 and blocks[-1]["a"][-1] == 1.5


@pytest.mark.parametrize(
    ("text", "want", "message"),
    [
        (
            "a,b\n1,x\n2,y\n",
            {"b": "float"},
            r"a\.csv\[b\]: holds 'x' \(line 2\) where a number is needed\. If that line states",
        ),
        (
            "a,b\n3.9633e16,x\n",
            {"a": "int"},
            r"a\.csv\[a\]: row 0 holds '3\.9633e16' where an integer .*corrupts ids above 2\^53",
        ),
        ("a,b\n1,2\n3\n", {"a": "float"}, r"a\.csv: the line '3' \(row 2 under the header\) parts into 1, .* into 2"),
    ],
)
def test_csv_with_wrong_values(tmp_path, text, want, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(CatalogueError, match=message):
        list(open_table(tmp_path / "a.csv").read(want))


def test_csv_with_a_short_line_far_down(tmp_path, monkeypatch):
    from jpas_gbm.surveys.formats import csv

    monkeypatch.setattr(csv, "_CSV_BYTES", 64)
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 50 + "3\n")
    with pytest.raises(CatalogueError, match=r"a\.csv: the line '3' \(row 51 under the header\) .*as many values as"):
        whole(open_table(tmp_path / "a.csv"), a="float")


def test_csv_with_a_header_only_has_no_blocks(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n")
    assert list(open_table(tmp_path / "a.csv").blocks({"a": "float"})) == []


# ---- Parquet --------------------------------------------------------------------------------------


def test_parquet_lists_nulls_text_and_ids(tmp_path):
    table = pa.table(
        {
            "jpas.tile_id": pa.array([39633000004190713, 2, 3]),
            "n": pa.array([1, None, 3]),
            "flux": pa.array([[1.0, 2.0], [3.0, None], [5.0, 6.0]], type=pa.list_(pa.float32())),
            "fixed": pa.array([[1.0, 2.0], None, [5.0, 6.0]], type=pa.list_(pa.float32(), 2)),
            "plain": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], type=pa.list_(pa.float32(), 2)),
            "text": pa.array(["a ", None, "c"]).dictionary_encode(),
            "flag": pa.array([True, None, False]),
            "none": pa.nulls(3),
            "price": pa.array([1, 2, 3]).cast(pa.decimal128(21, 2)),
        }
    )
    schema = table.schema.with_metadata({"BAND0": "J0378", "pandas": "x" * 100})
    schema = schema.set(2, schema.field(2).with_metadata({"unit": "nJy"}))
    pq.write_table(table.cast(schema), tmp_path / "a.parquet")
    opened = open_table(tmp_path / "a.parquet")
    assert opened.rows == 3 and opened.cards == {"BAND0": "J0378"}
    assert opened.columns["flux"].unit == "nJy" and opened.columns["flux"].width == 0
    assert opened.columns["fixed"].width == 2
    block = whole(opened)
    assert block["jpas.tile_id"].tolist() == [39633000004190713, 2, 3]
    assert block["n"].tolist() == [1, None, 3]
    np.testing.assert_array_equal(block["flux"], [[1, 2], [3, np.nan], [5, 6]])
    np.testing.assert_array_equal(block["fixed"], [[1, 2], [np.nan, np.nan], [5, 6]])
    assert block["plain"].dtype == np.float32 and block["plain"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert block["text"].tolist() == ["a", "", "c"]
    assert block["flag"].tolist() == [True, None, False]
    assert np.isnan(block["none"]).all() and block["price"].tolist() == [1, 2, 3]


def test_parquet_row_of_another_length(tmp_path):
    pq.write_table(pa.table({"f": pa.array([[1.0, 2.0], [3.0], [5.0, 6.0]])}), tmp_path / "a.parquet")
    with pytest.raises(CatalogueError, match=r"a\.parquet\[f\]: row 1 has 1 values, the others 2 \(1 such rows\)"):
        whole(open_table(tmp_path / "a.parquet"))


def test_parquet_damaged_inside(tmp_path):
    rng = np.random.default_rng(1)
    pq.write_table(pa.table({"f": rng.random(5000)}), tmp_path / "a.parquet", compression="zstd")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[4:2000] = bytes(1996)
    (tmp_path / "a.parquet").write_bytes(bytes(content))
    with pytest.raises(CatalogueError, match=r"a\.parquet: is damaged near row 0"):
        whole(open_table(tmp_path / "a.parquet"))


# ---- VOTable --------------------------------------------------------------------------------------


def vot(path, table):
    from_table(table).to_xml(str(path))
    return path


VOT = """<?xml version="1.0"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
<PARAM name="BAND0" datatype="char" arraysize="*" value="J0378"/>
<FIELD name="minijpas.tile_id" datatype="long"/><FIELD name="n" datatype="int" unit="mag"/>
<FIELD name="fixed" datatype="float" arraysize="2"/><FIELD name="flux" datatype="float" arraysize="*"/>
<FIELD name="t" datatype="char" arraysize="*"/>
<DATA><TABLEDATA>
<TR><TD>39633000004190713</TD><TD>1</TD><TD>1 2</TD><TD>1.0 NaN</TD><TD>a </TD></TR>
<TR><TD>2</TD><TD></TD><TD>3 NaN</TD><TD></TD><TD></TD></TR>
<TR><TD>3</TD><TD>3</TD><TD></TD><TD>5 6</TD><TD>bc</TD></TR>
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""


def test_votable_with_prefixes_masks_text_and_arrays(tmp_path):
    (tmp_path / "a.vot").write_text(VOT)
    opened = open_table(tmp_path / "a.vot")
    assert opened.format == "VOTable" and opened.rows == 3 and opened.cards == {"BAND0": "J0378"}
    assert opened.columns["minijpas.tile_id"].kind == "int" and opened.columns["n"].unit == "mag"
    assert opened.columns["fixed"].width == 2 and opened.columns["flux"].kind == "object"
    block = whole(opened)
    assert block["minijpas.tile_id"][0] == 39633000004190713
    assert block["n"].tolist() == [1, None, 3]
    assert np.ma.getmaskarray(block["fixed"]).tolist() == [[False, False], [False, True], [True, True]]
    np.testing.assert_array_equal(block["flux"], [[1, np.nan], [np.nan, np.nan], [5, 6]])
    assert block["t"].tolist() == ["a", "", "bc"]


def test_trap_votable_object_array_with_a_short_row(tmp_path):
    ragged = np.empty(3, dtype=object)
    ragged[:] = [np.array([1.0, 2.0]), np.array([3.0]), np.array([5.0, 6.0])]
    opened = open_table(vot(tmp_path / "a.vot", Table({"f": ragged})))
    with pytest.raises(CatalogueError, match=r"a\.vot\[f\]: row 1 has 1 values, the others 2 .*one value a band"):
        whole(opened)


def test_votable_without_rows_and_beyond_the_limit(tmp_path, monkeypatch):
    path = vot(tmp_path / "a.vot", Table({"x": np.array([], dtype=float), "t": np.array([], dtype="U3")}))
    assert list(open_table(path).blocks({"x": "float"})) == []
    monkeypatch.setattr(votable, "LIMIT_BYTES", 10)
    with pytest.raises(CatalogueError, match=r"is a VOTable of .* GiB; .*Ask the archive for FITS, or convert it"):
        open_table(path)


# ---- the paper's pair -----------------------------------------------------------------------------


def test_the_pair_is_one_table(tmp_path):
    path = write_mocks(tmp_path)
    table = open_table(path)
    assert table.format == "NPY+CSV" and table.rows == 10 and table.planes == 3
    block = whole(table, **{ARRAY: "float", "TARGETID": "int"})
    assert block[ARRAY].shape == (10, 57, 3) and block["TARGETID"][0] == 39633000000000001
    assert list(whole(table, **{ARRAY: "float"})) == [ARRAY]
    assert list(whole(table, RA="float")) == ["RA"]
    assert find_array(tmp_path / "Mock_train_PROPS.csv") == path
    assert find_array(tmp_path / "other.csv") is None


def test_properties_that_are_missing_or_doubtful(tmp_path):
    path = write_mocks(tmp_path)
    (tmp_path / "Mock_train_Properties.csv").write_text("a\n1\n")
    with pytest.raises(CatalogueError, match=r"Mock_train_PROPS\.csv and Mock_train_Properties\.csv could both be"):
        open_table(path)
    (tmp_path / "Mock_train_Properties.csv").unlink()
    (tmp_path / "mock_train.fits").write_bytes(b"another table")
    assert open_table(path).rows == 10
    (tmp_path / "Mock_train_PROPS.csv").rename(tmp_path / "Mock_train.csv")
    assert open_table(path).rows == 10
    (tmp_path / "Mock_train.csv").rename(tmp_path / "Mock_train_PROPS.csv")
    (tmp_path / "Mock_train_PROPS.csv").unlink()
    with pytest.raises(CatalogueError, match=r"table of its properties is missing: Mock_train_PROPS\.csv"):
        open_table(path)


@pytest.mark.parametrize(("rows", "found"), [(7, "7"), (13, "more than 10")])
def test_properties_of_another_length(tmp_path, rows, found):
    table = open_table(write_mocks(tmp_path, property_rows=rows))
    with pytest.raises(CatalogueError, match=rf"has 10 rows, its properties Mock_train_PROPS\.csv {found}"):
        whole(table, **{ARRAY: "float"})


@pytest.mark.parametrize("cube", [np.zeros((10, 57)), np.zeros((10, 57, 3), dtype=int)])
def test_arrays_of_another_shape(tmp_path, cube):
    with pytest.raises(CatalogueError, match=r"floating point of shape \(rows, bands, planes\) is needed"):
        open_table(write_mocks(tmp_path, cube=cube))


def test_trap_pickled_arrays_are_never_read(tmp_path):
    path = write_mocks(tmp_path)
    np.save(path, np.array([{"a": 1}], dtype=object))
    with pytest.raises(CatalogueError, match=r"pickled objects, which are never read"):
        open_table(path)


# ---- blocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 4, 100])
def test_rebatch_keeps_rows_order_and_masks(rows):
    source = [{"a": np.arange(s, s + 5), "b": np.ma.masked_equal(np.arange(s, s + 5), 7)} for s in (0, 5, 10)]
    out = list(rebatch(iter(source), rows))
    assert [len(block["a"]) for block in out[:-1]] == [rows] * (len(out) - 1)
    joined = join_blocks(out)
    assert joined["a"].tolist() == list(range(15)) and joined["b"].tolist()[7] is None


def test_stack_rows_takes_none_rows_and_masked_entries():
    rows = [None, np.ma.array([1.0, 2.0], mask=[True, False]), [3, 4], np.ma.masked]
    np.testing.assert_array_equal(stack_rows(rows, "f", "t"), [[np.nan, np.nan], [np.nan, 2], [3, 4], [np.nan, np.nan]])
    assert stack_rows([None, None], "f", "t").shape == (2, 0)


def test_write_helpers_agree_with_pandas(tmp_path):
    path = write_zcat(tmp_path / "z.fits")
    ids = whole(open_table(path))["TARGETID"]
    assert pd.Series(ids).dtype == np.int64 and ids[0] == 39633000000000001
    assert write_fits(tmp_path / "x.fits", {"a": np.arange(3)}).is_file()


@pytest.mark.parametrize(("form", "zero"), [("K", 2**60), ("J", 2**60), ("K", "1.0E18"), ("K", -(2**60)), ("B", -5)])
def test_integers_with_a_whole_tzero_stay_integers(tmp_path, form, zero):
    """Beyond 2^53 those of floating point were equal to their neighbours."""
    unit = fits.BinTableHDU.from_columns([fits.Column("ID", form, null=9, array=np.array([7, 8, 9]))])
    unit.header["TZERO1"] = zero
    unit.writeto(tmp_path / "a.fits")
    path = tmp_path / "a.fits"
    path.write_bytes(path.read_bytes().replace(b"'1.0E18  '", b" 1.0E18   "))
    table, by = open_table(path), int(float(zero)) if isinstance(zero, str) else zero
    assert table.columns["ID"].kind == "int" and whole(table)["ID"].tolist() == [7 + by, 8 + by, None]


def test_integers_that_leave_64_bits_with_their_tzero_are_refused(tmp_path):
    unit = fits.BinTableHDU.from_columns([fits.Column("ID", "K", array=np.array([2**62, 8]))])
    unit.header["TZERO1"] = 2**62
    unit.writeto(tmp_path / "a.fits")
    with pytest.raises(
        CatalogueError, match=r"a\.fits\[1\]\[ID\]: its integers with the offset 4611\d+ lie beyond int64"
    ):
        whole(open_table(tmp_path / "a.fits"))


def test_integers_of_an_ascii_table_with_a_tzero_stay_integers(tmp_path):
    unit = fits.TableHDU.from_columns([fits.Column("ID", "I20", array=np.array([7, 8]))])
    unit.header["TZERO1"] = 2**60
    unit.writeto(tmp_path / "a.fits")
    assert whole(open_table(tmp_path / "a.fits"))["ID"].tolist() == [7 + 2**60, 8 + 2**60]

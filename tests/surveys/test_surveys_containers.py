"""What people's files are packed, written and cut with: the same table comes out, or one sentence says why not."""

import bz2
import gzip
import lzma
import os
import re
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from sample_files import FLUX, UNIT, idr_columns, write_fits, write_idr, write_zcat

from jpas_gbm.errors import CatalogueError, OutputError
from jpas_gbm.inputs import marks_of
from jpas_gbm.run import claim_file
from jpas_gbm.store import provenance
from jpas_gbm.surveys import packing
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.batches import join_blocks
from jpas_gbm.surveys.inspect import inspect
from jpas_gbm.surveys.reader import read_catalogue, read_labels
from jpas_gbm.surveys.tables import open_table

BANDS = band_system("jpas57").names


def whole(table, **want):
    return join_blocks(list(table.read(want or dict.fromkeys(table.columns, "any"))))


def plain_table(path):
    """The redshift catalogue as a table without units, text stripped."""
    table = Table.read(write_zcat(path))
    table["SPECTYPE"] = np.char.strip(np.asarray(table["SPECTYPE"]).astype(str))
    table["MORPHTYPE"] = np.char.strip(np.asarray(table["MORPHTYPE"]).astype(str))
    table["OBJTYPE"] = np.asarray(table["OBJTYPE"]).astype(str)
    return table


def trusted(path):
    labels, _ = read_labels(path)
    return sorted(zip(labels.object_id.tolist(), labels.label.tolist(), strict=True))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    found = trusted(write_zcat(tmp_path_factory.mktemp("z") / "zcat.fits"))
    assert len(found) == 5
    return found


# ---- columns of one name --------------------------------------------------------------------------------------------


def duplicated(path):
    """The redshift catalogue with a second column Z, all 9, in some format."""
    table = plain_table(path.with_name("plain.fits"))
    table["ZZ"] = 9.0
    if path.suffix == ".fits":
        write_fits(path, {name: np.asarray(table[name]) for name in table.colnames}, name="ZCATALOG")
        path.write_bytes(path.read_bytes().replace(b"'ZZ      '", b"'Z       '"))
    elif path.suffix == ".vot":
        table.write(path, format="votable")
        path.write_text(path.read_text().replace('name="ZZ"', 'name="Z"'))
    elif path.suffix == ".parquet":
        names = ["Z" if name == "ZZ" else name for name in table.colnames]
        pq.write_table(
            pa.Table.from_arrays([pa.array(np.array(table[n]).tolist()) for n in table.colnames], names), path
        )
    else:
        table.write(path, format="ascii.csv")
        path.write_text(path.read_text().replace("ZZ", "Z", 1))
    return path


@pytest.mark.parametrize("suffix", ["fits", "vot", "parquet", "csv"])
def test_a_name_that_stands_twice_is_refused_where_it_is_used_and_tolerated_where_not(tmp_path, suffix):
    path = duplicated(tmp_path / f"twice.{suffix}")
    with pytest.raises(CatalogueError, match=r"has the column Z more than once, so what is meant is not known"):
        read_labels(path)
    table = open_table(path)
    assert table.repeated == {"Z"}
    assert whole(table, TARGETID="int")["TARGETID"][0] == 39633000000000001
    np.testing.assert_allclose(whole(table, TARGET_RA="float")["TARGET_RA"], 150 + np.arange(8) / 10)


# ---- FITS -----------------------------------------------------------------------------------------------------------


def flags_of(path, kind):
    """A catalogue whose FLAGS are all 0 but 4 in row 5, stored as unsigned 16-bit integers in one way or another."""
    flags = np.zeros((12, 57), dtype=np.int32)
    flags[5] = 4
    stored = (flags - 32768).astype(np.int16)
    columns = idr_columns()
    made = [
        fits.Column(name, f"57{'E' if v.dtype.kind == 'f' else 'I'}" if v.ndim == 2 else "D", array=v)
        for name, v in columns.items()
        if name not in ("FLAGS", "TILE_ID", "NUMBER")
    ]
    made += [fits.Column(name, "J", array=columns[name]) for name in ("TILE_ID", "NUMBER")]
    ragged = np.array(list(stored), dtype=object)
    made.append(
        fits.Column("FLAGS", "PI(57)", array=ragged) if kind == "varying" else fits.Column("FLAGS", "57I", array=stored)
    )
    unit = fits.BinTableHDU.from_columns(made, name="FLAMBDADUALOBJ")
    for i, band in enumerate(BANDS):
        unit.header[f"BAND{i}"] = band
    unit.writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True, uint=False) as hdus:
        hdus[1].header[f"TUNIT{[c.name for c in made].index(FLUX) + 1}"] = UNIT
        hdus[1].header[f"TSCAL{len(made)}"], hdus[1].header[f"TZERO{len(made)}"] = 1, 32768
    return path


@pytest.mark.parametrize("kind", ["varying", "fixed"])
def test_scaled_columns_of_varying_length_are_scaled_in_every_row(tmp_path, kind):
    catalogue, quality = read_catalogue(flags_of(tmp_path / "a.fits", kind))
    assert quality.count("flag_FLAGS") == 55
    assert np.flatnonzero(np.isnan(catalogue.flux).all(axis=1)).tolist() == [5]


@pytest.mark.parametrize(
    "card", ["DUSTA   =                  NAN / no value", "airmass =                  1.1", "OBSERVER= J. Doe / x"]
)
def test_a_card_that_is_no_fits_condemns_nothing(tmp_path, expected, card):
    path = write_zcat(tmp_path / "a.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["PLACE"] = "HOLDER"
    content = path.read_bytes()
    at = content.index(b"PLACE   = ")
    path.write_bytes(content[:at] + card.ljust(80).encode() + content[at + 80 :])
    assert trusted(path) == expected


def test_logical_null_bits_and_booleans(tmp_path):
    columns = [
        fits.Column("L", "L", array=np.array([b"T", b"F", b"\0"], dtype="S1")),
        fits.Column("X", "11X", array=np.eye(3, 11, dtype=bool)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "a.fits")
    table = open_table(tmp_path / "a.fits")
    block = whole(table)
    assert block["L"].tolist() == [True, False, None]
    assert table.columns["X"].kind == "bool" and table.columns["X"].width == 11
    np.testing.assert_array_equal(block["X"], np.eye(3, 11, dtype=bool))


def test_a_table_that_astropy_cut_keeps_stale_checksums_and_is_read(tmp_path):
    path = write_idr(tmp_path / "a.fits", checksum=True)
    Table.read(path)[:4].write(tmp_path / "cut.fits")
    table = open_table(tmp_path / "cut.fits")
    assert table.rows == 4 and not table.verified and "CHECKSUM" in table.notes[0]
    assert len(read_catalogue(tmp_path / "cut.fits")[0]) == 4


def test_columns_in_one_row_are_read_as_columns(tmp_path):
    columns, made = idr_columns(), []
    for name, value in columns.items():
        letter = {"f4": "E", "f8": "D", "i2": "I", "i4": "J"}[value.dtype.str[1:]]
        dim = f"({','.join(map(str, reversed(value.shape)))})"
        made.append(fits.Column(name, f"{value.size}{letter}", dim=dim, array=value.reshape(1, *value.shape)))
    unit = fits.BinTableHDU.from_columns(made, name="FLAMBDADUALOBJ")
    for i, band in enumerate(BANDS):
        unit.header[f"BAND{i}"] = band
    unit.writeto(tmp_path / "col.fits")
    straight = read_catalogue(write_idr(tmp_path / "a.fits"))[0]
    np.testing.assert_array_equal(read_catalogue(tmp_path / "col.fits")[0].flux, straight.flux)


def test_ascii_tables_are_read(tmp_path, expected):
    table = plain_table(tmp_path / "z.fits")
    kinds = {"i": "I20", "f": "D25.17", "U": "A10", "b": "A1"}
    made = []
    for name in table.colnames:
        value = np.asarray(table[name])
        array = np.where(value, "T", "F") if value.dtype.kind == "b" else value
        made.append(fits.Column(name, kinds[value.dtype.kind], ascii=True, array=array))
    fits.TableHDU.from_columns(made, name="ZCATALOG").writeto(tmp_path / "ascii.fits")
    assert trusted(tmp_path / "ascii.fits") == expected
    content = (tmp_path / "ascii.fits").read_bytes()
    (tmp_path / "bad.fits").write_bytes(content.replace(b"39633000000000001", b"39633000000oo0001", 1))
    with pytest.raises(CatalogueError, match=r"bad\.fits\[ZCATALOG\]\[TARGETID\]: holds what is no number"):
        whole(open_table(tmp_path / "bad.fits"))


def test_packed_images_are_no_tables_and_packed_tables_are_told(tmp_path, expected):
    with fits.open(write_zcat(tmp_path / "z.fits")) as hdus:
        image = fits.CompImageHDU(np.arange(10_000, dtype=np.int16).reshape(100, 100), name="COADD")
        fits.HDUList([fits.PrimaryHDU(), image, hdus[1]]).writeto(tmp_path / "image.fits")
        hdus[1].header["ZTABLE"] = True
        hdus.writeto(tmp_path / "ztable.fits")
    assert trusted(tmp_path / "image.fits") == expected
    with pytest.raises(CatalogueError, match=r"is a compressed table \(ZTABLE, made by fpack\).*funpack"):
        open_table(tmp_path / "ztable.fits")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"NAXIS2  =                    8", b"NAXIS2  =   999999999999999999", r"TRUNC|truncated|would have"),
        (b"NAXIS   =                    2", b"NAXIS   =           2147483648", r"NAXIS is 2147483648, from 0 to 999"),
        (b"TFIELDS =                   11", b"TFIELDS =            999999999", r"TFIELDS is 999999999, from 0 to 999"),
        (b"TFORM1  = 'K       '", b"TFORM1  = '99999K  '", r"rows of \d+ bytes, columns of \d+"),
        (b"TFORM1  = 'K       '", b"TFORM1  = '?       '", r"TFORM1 is '\?', which is no type"),
        (b"PCOUNT  =                    0", b"PCOUNT  =                   -5", r"PCOUNT is -5"),
        (b"BITPIX  =                    8 / array", b"BITPIX  =                    9 / array", r"BITPIX is 9"),
    ],
)
def test_integers_of_a_header_are_checked_before_memory_is_asked_for(tmp_path, old, new, message):
    path = write_zcat(tmp_path / "a.fits")
    content = path.read_bytes()
    at = content.index(old, 2880)
    path.write_bytes(content[:at] + new + content[at + len(new) :])
    with pytest.raises(CatalogueError, match=message):
        whole(open_table(path))


def test_values_of_varying_length_beyond_the_file(tmp_path):
    path = flags_of(tmp_path / "a.fits", "varying")
    content = path.read_bytes()
    path.write_bytes(content[:-2880])
    with pytest.raises(CatalogueError, match=r"\[FLAGS\]: the values of row \d+ lie beyond the end"):
        read_catalogue(path)


# ---- VOTable --------------------------------------------------------------------------------------------------------


def test_a_servers_status_is_read(tmp_path):
    plain_table(tmp_path / "z.fits").write(tmp_path / "a.vot", format="votable")
    assert not open_table(tmp_path / "a.vot").notes
    cut = (
        (tmp_path / "a.vot")
        .read_text()
        .replace("</RESOURCE>", '<INFO name="QUERY_STATUS" value="OVERFLOW"/></RESOURCE>')
    )
    (tmp_path / "cut.vot").write_text(cut)
    table = open_table(tmp_path / "cut.vot")
    assert table.notes == ("the server cut the answer short (QUERY_STATUS OVERFLOW): it has 8 rows, the query more",)
    (tmp_path / "error.vot").write_text(
        '<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        '<RESOURCE type="results">'
        '<INFO name="QUERY_STATUS" value="ERROR">Column TARGETDI does not exist</INFO></RESOURCE></VOTABLE>'
    )
    with pytest.raises(CatalogueError, match=r"query that failed: 'Column TARGETDI does not exist'"):
        open_table(tmp_path / "error.vot")


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
def test_nulls_and_an_empty_first_table(tmp_path, form):
    from astropy.io.votable import writeto
    from astropy.io.votable.tree import TableElement

    table = plain_table(tmp_path / "z.fits")
    table["ZWARN"] = MaskedColumn(np.asarray(table["ZWARN"]).astype(np.int64), mask=np.arange(8) == 2)
    document = from_table(table)
    next(f for f in document.get_first_table().fields if f.name == "ZWARN").values.null = -9
    document.resources[0].tables.insert(0, TableElement(document, name="notes"))
    writeto(document, str(tmp_path / "a.vot"), tabledata_format=form)
    labels, quality = read_labels(tmp_path / "a.vot")
    assert len(labels) == 4 and quality.count("label_ZWARN") == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<TABLE", '<TABLE nrows="99999999999"', r"promises 99,999,999,999 rows"),
        ('arraysize="6"', 'arraysize="999999999"', r"promises .* which [\d,]+ bytes cannot hold"),
        ("<DATA>", '<DATA><BINARY><STREAM href="file:///etc/hosts"/></BINARY>', r"stand in another file"),
        ("<VOTABLE", '<!DOCTYPE x [<!ENTITY a "aaa">]><VOTABLE', r"stand in another file or entity"),
    ],
)
def test_votables_that_ask_for_too_much(tmp_path, old, new, message):
    plain_table(tmp_path / "z.fits").write(tmp_path / "a.vot", format="votable")
    text = (tmp_path / "a.vot").read_text()
    assert old in text
    (tmp_path / "a.vot").write_text(text.replace(old, new, 1))
    with pytest.raises(CatalogueError, match=message):
        open_table(tmp_path / "a.vot")


# ---- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [" ", ","])
def test_ecsv_gives_units_cards_arrays_and_its_delimiter(tmp_path, expected, delimiter):
    plain_table(tmp_path / "z.fits").write(tmp_path / "z.ecsv", format="ascii.ecsv", delimiter=delimiter)
    assert trusted(tmp_path / "z.ecsv") == expected
    columns = idr_columns()
    table = Table(columns, meta={"EXTNAME": "X"} | {f"BAND{i}": band for i, band in enumerate(BANDS)})
    table[FLUX].unit = "1e-19 erg / (s cm2 Angstrom)"
    table.write(tmp_path / "a.ecsv", format="ascii.ecsv", delimiter=delimiter)
    opened = open_table(tmp_path / "a.ecsv")
    assert opened.columns[FLUX].width == 57 and "erg" in opened.columns[FLUX].unit and opened.cards["BAND3"] == BANDS[3]
    np.testing.assert_allclose(whole(opened)[FLUX], columns[FLUX])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("# %ECSV 1.0\n# ---\n# " + "[" * 3000 + "\na b\n1 2\n", r"has a damaged ECSV header"),
        ("# %ECSV 1.0\n# ---\n# datatype: 5\na b\n1 2\n", r"has a damaged ECSV header"),
        (
            "# %ECSV 1.0\n# ---\n# delimiter: '|'\n# datatype: []\na|b\n1|2\n",
            r"has the delimiter '\|'; an ECSV file has",
        ),
        (
            "# %ECSV 1.0\n# ---\n# " + "x" * 300_000 + "\na b\n1 2\n",
            r"damaged ECSV header \(it has more than 262,144 letters\)",
        ),
    ],
)
def test_ecsv_headers_that_are_damaged(tmp_path, header, message):
    (tmp_path / "a.ecsv").write_text(header)
    with pytest.raises(CatalogueError, match=message):
        open_table(tmp_path / "a.ecsv")


def text_of(tmp_path):
    return plain_table(tmp_path / "z.fits").to_pandas().to_csv(index=False)


@pytest.mark.parametrize("kind", ["plus", "no zero", "comment", "foot", "blank", "spaces", "newline", "latin-1", "tab",
                                  "windows", "old mac", "utf-16", "semicolon"])  # fmt: skip
def test_csv_as_tools_write_it(tmp_path, expected, kind):
    text, path = text_of(tmp_path), tmp_path / "a.csv"
    lines = text.splitlines()
    frame = plain_table(tmp_path / "z.fits").to_pandas()
    made = {
        "plus": lambda: frame.assign(TARGET_DEC=[f"{v:+.6f}" for v in frame.TARGET_DEC]).to_csv(index=False),
        "no zero": lambda: frame.assign(Z=[f"{v:.4f}".lstrip("0") for v in frame.Z]).to_csv(index=False),
        "comment": lambda: "\n".join([*lines[:3], "# second night", *lines[3:]]),
        "foot": lambda: "\n".join([*lines, "# 8 rows"]),
        "blank": lambda: "\n".join([*lines[:3], "", *lines[3:], "", ""]),
        "spaces": lambda: "\n".join(", ".join(line.split(",")) for line in lines),
        "newline": lambda: frame.assign(NOTE=["two\nlines", *"abcdefg"]).to_csv(index=False),
        "latin-1": lambda: frame.assign(NOTE=["Å", *"abcdefg"]).to_csv(index=False),
        "tab": lambda: frame.to_csv(index=False, sep="\t"),
        "windows": lambda: "\ufeff" + text.replace("\n", "\r\n"),
        "old mac": lambda: text.replace("\n", "\r"),
        "utf-16": lambda: text,
        "semicolon": lambda: frame.to_csv(index=False, sep=";"),
    }[kind]()
    path.write_bytes(made.encode({"latin-1": "latin-1", "utf-16": "utf-16"}.get(kind, "utf-8")))
    assert trusted(path) == expected
    assert ("read as Latin-1" in "".join(open_table(path).notes)) == (kind == "latin-1")


def test_names_that_end_in_brackets_stand_as_they_are(tmp_path):
    """What stands in brackets is no unit for sure, and survey files name columns by all of it."""
    (tmp_path / "b.csv").write_text("ra [deg],dec (deg),class [phot],class\n1,2,3,4\n")
    assert list(open_table(tmp_path / "b.csv").columns) == ["ra [deg]", "dec (deg)", "class [phot]", "class"]


def test_names_of_ecsv_stand_as_its_header_has_them(tmp_path):
    """Units and the lengths of arrays are stated there by these names."""
    Table({"x [deg]": [1.0, 2.0], "arr [nJy]": np.arange(6.0).reshape(2, 3)}).write(tmp_path / "a.ecsv")
    opened = open_table(tmp_path / "a.ecsv")
    assert {name: column.width for name, column in opened.columns.items()} == {"x [deg]": None, "arr [nJy]": 3}
    assert np.array_equal(whole(opened)["arr [nJy]"], np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "spelt",
    [
        "data_mask",
        "True and False",
        "0 and 1",
        "n and Y",
        "no and yes",
        ".FALSE. and .TRUE.",
        "f and t",
        "0.0 and 1.0",
        "off and on",
    ],
)
def test_masks_that_a_text_table_spells(tmp_path, spelt):
    """Text such as False hides nothing."""
    hidden = np.arange(9) % 3 == 0
    table = Table({"FLUX": MaskedColumn(np.arange(9.0), mask=hidden), "N": np.arange(9)})
    path = tmp_path / "a.ecsv"
    if spelt == "data_mask":
        table.write(path, format="ascii.ecsv", serialize_method="data_mask")
    else:
        words = np.where(hidden, *spelt.split(" and ")[:: 1 if spelt[0] == "T" else -1])
        path = tmp_path / "a.csv"
        pd.DataFrame({"FLUX": np.arange(9.0), "FLUX.mask": words, "N": np.arange(9)}).to_csv(path, index=False)
    found = whole(open_table(path), FLUX="float")["FLUX"]
    assert np.array_equal(np.isnan(np.ma.filled(found, np.nan)), hidden)


def test_a_mask_that_spells_something_else_is_refused(tmp_path):
    pd.DataFrame({"FLUX": [1.0, 2.0], "FLUX.mask": ["no", "maybe"]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(CatalogueError, match=r"a\.csv\[FLUX\.mask\]: holds 'maybe', and true or false is expected"):
        whole(open_table(tmp_path / "a.csv"), FLUX="float")


def test_utf_32_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("a,b\n1,2\n".encode("utf-32"))
    with pytest.raises(CatalogueError, match="UTF-32, which is not read here. Write it as UTF-8"):
        open_table(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: "# " + t,
            r"no header line with column names before its values\. The names seem to stand in the comment",
        ),
        (lambda t: "1,2\n3,4\n", r"no header line with column names before its values\."),
        (
            lambda t: t.replace("30.1", "3.01D+01"),
            r"\[TARGET_DEC\]: holds '3\.01D\+01' \(line 3\).*not with Fortran's d",
        ),
        (lambda t: t.replace(",", ";").replace("30.1", "30,1"), r"holds '30,1' .*not with a decimal comma"),
        (
            lambda t: t.replace("\n", "\n" + ",deg,deg" + "," * 8 + "\n", 1),
            r"holds 'deg' \(line 2\).*states units, remove it",
        ),
        (lambda t: t.replace(",", "   "), r"parted by runs of blanks, which is not read here"),
    ],
)
def test_csv_that_cannot_be_read_says_why(tmp_path, change, message):
    (tmp_path / "a.csv").write_text(change(text_of(tmp_path)))
    with pytest.raises(CatalogueError, match=message):
        read_labels(tmp_path / "a.csv")


def test_an_empty_csv_has_no_rows(tmp_path):
    (tmp_path / "a.csv").write_text(text_of(tmp_path).splitlines()[0] + "\n")
    with pytest.raises(CatalogueError, match=r"a\.csv: the table a\.csv has no rows"):
        read_labels(tmp_path / "a.csv")


# ---- Parquet --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["string_view", "large_string", "dictionary", "binary_view", "fixed", "decimal", "text id", "float16"]
)
def test_parquet_of_odder_types(tmp_path, expected, kind):
    frame = plain_table(tmp_path / "z.fits").to_pandas()
    table = pa.Table.from_pandas(frame, preserve_index=False)

    def put(name, values):
        return table.set_column(table.schema.get_field_index(name), name, values)

    words = frame.SPECTYPE.tolist()
    made = {
        "string_view": lambda: put("SPECTYPE", pa.array(words, pa.string_view())),
        "large_string": lambda: put("SPECTYPE", pa.array(words, pa.large_string())),
        "dictionary": lambda: put("SPECTYPE", pa.array(words).dictionary_encode()),
        "binary_view": lambda: put("SPECTYPE", pa.array([w.encode() for w in words], pa.binary_view())),
        "fixed": lambda: put("SPECTYPE", pa.array([w.encode().ljust(6, b"\0") for w in words], pa.binary(6))),
        "decimal": lambda: put("TARGETID", pa.array(frame.TARGETID.tolist()).cast(pa.decimal128(20, 0))),
        "text id": lambda: put("TARGETID", pa.array(frame.TARGETID.astype(str).tolist())),
        "float16": lambda: put("FLUX_R", pa.array(frame.FLUX_R.to_numpy().astype(np.float16))),
    }[kind]()
    pq.write_table(made, tmp_path / "a.parquet")
    assert trusted(tmp_path / "a.parquet") == expected


def test_parquet_text_that_is_no_number(tmp_path):
    columns = {n: pa.array(v.tolist()) for n, v in idr_columns().items()}
    flux = idr_columns()[FLUX].astype(str)
    columns[FLUX] = pa.array(flux.tolist())
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read_catalogue(tmp_path / "a.parquet")[0].flux.shape == (12, 55)
    flux[7, 3] = "bright"
    columns[FLUX] = pa.array(flux.tolist())
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(CatalogueError, match=r"\[FLUX_APER_COR_3_0\]: row 7 holds .* where a number is needed"):
        read_catalogue(tmp_path / "a.parquet")


# ---- packings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.csv", gzip.compress), ("a.csv.gz", bytes), ("b.csv.gz", gzip.compress), ("b.csv.bz2", bz2.compress),
        ("b.csv.xz", lzma.compress), ("a.fits", gzip.compress), ("a.fits.gz", gzip.compress),
        ("a.fits.bz2", bz2.compress), ("a.vot.gz", gzip.compress), ("a.ecsv.gz", gzip.compress),
    ],
)  # fmt: skip
def test_packings_are_told_by_content(tmp_path, expected, name, pack):
    table = plain_table(tmp_path / "z.fits")
    kind = name.split(".")[1]
    if kind == "fits":
        content = (tmp_path / "z.fits").read_bytes()
    else:
        table.write(
            tmp_path / f"plain.{kind}", format={"csv": "ascii.csv", "vot": "votable", "ecsv": "ascii.ecsv"}[kind]
        )
        content = (tmp_path / f"plain.{kind}").read_bytes()
    (tmp_path / name).write_bytes(pack(content))
    assert trusted(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x28\xb5\x2f\xfd.....", r"is packed with Zstandard, .*\(zstd -d\)"),
        (b"7z\xbc\xaf\x27\x1c....", r"is a 7z archive"),
        (b"x" * 257 + b"ustar" + b"x" * 300, r"is a tar archive"),
        (gzip.compress(np.random.default_rng(1).bytes(3000))[:-900], r"cannot be unpacked .*truncated or damaged"),
    ],
)
def test_packings_that_are_not_read_or_damaged(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(CatalogueError, match=message):
        open_table(tmp_path / "a.csv")


def test_a_zip_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as archive:
        archive.writestr("z.csv", "a,b\n1,2\n")
    with pytest.raises(CatalogueError, match=r"is a zip archive, which is not read here\. Unpack it first \(unzip\)"):
        open_table(tmp_path / "a.csv")


def test_a_bomb_is_let_off_early(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "FREE_BYTES", 1 << 20)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 4_000_000))
    with pytest.raises(CatalogueError, match=r"unpacks to more than 250 times its size"):
        whole(open_table(tmp_path / "a.csv.gz"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.fits")
    with pytest.raises(CatalogueError, match=r"pipe\.fits: is no regular file but a pipe"):
        open_table(tmp_path / "pipe.fits")


# ---- .npy -----------------------------------------------------------------------------------------------------------


def write_structured(path, properties=True):
    """The paper's labelled target: a structured array of fluxes and relative errors beside its properties."""
    columns = idr_columns()
    record = np.zeros(12, dtype=[(FLUX, "f4", (57,)), ("FLUX_RELERR_APER_COR_3_0", "f4", (57,))])
    record[FLUX], record["FLUX_RELERR_APER_COR_3_0"] = columns[FLUX], columns["FLUX_RELERR_APER_COR_3_0"]
    np.save(path, record)
    if properties:
        frame = pd.DataFrame({n: columns[n] for n in ("TILE_ID", "NUMBER", "ALPHA_J2000", "DELTA_J2000")})
        frame.to_csv(path.with_name(path.name.replace("FLUX+NOISE.npy", "PROPS.csv")), index=False)
    return path


def test_a_structured_array_gives_its_fields_as_columns(tmp_path):
    path = write_structured(tmp_path / "JPAS_DATA_Aper_Cor_3_FLUX+NOISE.npy")
    table = open_table(path)
    assert table.rows == 12 and table.columns[FLUX].width == 57 and table.planes == 0
    assert len(table.files) == 2
    block = whole(table)
    np.testing.assert_array_equal(block[FLUX], idr_columns()[FLUX])
    assert block["TILE_ID"].tolist() == idr_columns()["TILE_ID"].tolist()
    straight = read_catalogue(write_idr(tmp_path / "a.fits"))[0]
    np.testing.assert_allclose(read_catalogue(path)[0].flux, straight.flux, rtol=1e-6)


def test_a_structured_array_may_stand_alone(tmp_path):
    record = np.zeros(3, dtype=[("RA", ">f8"), ("name", "S4"), ("flux", "f4", (2, 2)), ("obj", "c8")])
    record["RA"], record["name"] = [1.0, 2.0, 3.0], [b"a ", b"b", b"c"]
    np.save(tmp_path / "a.npy", record)
    block = whole(open_table(tmp_path / "a.npy"))
    assert block["RA"].tolist() == [1, 2, 3] and block["RA"].dtype.isnative
    assert block["name"].tolist() == ["a", "b", "c"] and block["flux"].shape == (3, 4) and "obj" not in block


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.replace(b"(12,)", b"(1" + b"9" * 20 + b",)"), r"not a readable \.npy array"),
        (lambda c: c.replace(b"(12,), }", b"(-2,), }"), r"its shape is \(-2,\)"),
        (lambda c: c.replace(b"'<f4'", b"'<\xff4'"), r"not a readable \.npy array"),
        (lambda c: c.replace(b"{'descr'", b"{{'desc'"), r"not a readable \.npy array"),
        (lambda c: c[:-100], r"is truncated, [\d,]+ bytes where an array of shape \(12,\) needs"),
        (lambda c: gzip.compress(c), r"is a packed \.npy array"),
    ],
)
def test_damaged_arrays(tmp_path, change, message):
    path = write_structured(tmp_path / "a_FLUX+NOISE.npy")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CatalogueError, match=message):
        open_table(path)


# ---- anything -------------------------------------------------------------------------------------------------------


def test_a_table_of_too_many_columns_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"c{i}" for i in range(6000)) + "\n" + ",".join("1" * 6000) + "\n")
    with pytest.raises(CatalogueError, match=r"has 6,000 columns; tables of up to 5,000 are read"):
        open_table(tmp_path / "a.csv")


def test_the_damaged_files_of_the_ground_are_told(shared):
    """Each gives a value or one message, whatever is wrong with it."""
    import jpas_gbm as jg
    from jpas_gbm.errors import JpasGbmError

    told = 0
    for path in sorted((shared.parent / "cases" / "damaged").iterdir()):
        try:
            jg.inspect(path)
        except JpasGbmError as error:
            told += 1
            assert len(str(error)) < 1500
    assert told >= 9


# ---- the end of the interpreter -------------------------------------------------------------------------------------

ENDS = """
import atexit, os, sys
atexit.register(lambda: sum(range(300_000)))  # the last: who waits for the interpreter, goes on waiting
import pyarrow, pyarrow.csv
from jpas_gbm.surveys.formats.csv import CsvTable
from pathlib import Path
sys.setswitchinterval(5)
for _ in range(14):
    if not (child := os.fork()):
        CsvTable(Path(sys.argv[1]))
        sys.exit()
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        os._exit(1)
"""


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_the_interpreter_ends_well_after_a_text_table(tmp_path, name):
    """Threads of Arrow drop what they were given a moment later; some runs were aborted when it met their end."""
    plain_table(tmp_path / "z.fits").write(tmp_path / "t.csv", format="ascii.csv")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    done = subprocess.run(
        [sys.executable, "-c", ENDS, str(tmp_path / name)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---- several tables in a file ---------------------------------------------------------------------------------------


def several_tables(path, *tables):
    """A FITS file of tables of the survey, each by name and rows, behind one that is of none."""
    source = Table(idr_columns())
    source.meta["BANDS"] = ",".join(BANDS)
    units = [fits.BinTableHDU(Table({"TILE_ID": [1], "ZPT": [2.0]}), name="TILES")]
    for name, rows in tables:
        units.append(fits.BinTableHDU(source[:rows]))
        if name:
            units[-1].header["EXTNAME"] = name
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    return path


@pytest.mark.parametrize(
    ("tables", "read"),
    [([(None, 5)], "2"), ([("EMPTY", 0), ("CAT", 5)], "CAT"), ([("3", 0), ("2", 5)], "3"), ([("CAT", 5)], "CAT")],
)
def test_the_one_table_with_rows_is_read_whatever_it_is_called(tmp_path, tables, read):
    path = several_tables(tmp_path / "a.fits", *tables)
    assert read_catalogue(path)[0].ra.shape == (5,)
    assert inspect(path).files[0].table == f"a.fits[{read}]"
    assert len(read_catalogue(f"{path}[{read}]")[0]) == 5


def test_a_table_is_named_behind_its_file(tmp_path):
    path = several_tables(tmp_path / "a.fits", ("CAT", 12), ("CAT", 5), ("2", 7))
    with pytest.raises(CatalogueError, match=r"Name one: '.*a\.fits\[CAT\]', '.*a\.fits\[3\]', '.*a\.fits\[4\]'\.$"):
        read_catalogue(path)
    for name, rows in (("CAT", 12), ("cat,1", 12), ("2", 12), ("3", 5), ("4", 7), ("2,1", 7)):
        found, quality = read_catalogue(f"{path}[{name}]")
        assert len(found) == rows
        assert any("of the same columns, which are not read: 3" in note for note in quality.notes()) == (name == "CAT")
        assert len(read_catalogue(path, hdu=name)[0]) == rows
    assert len(read_catalogue(f"{tmp_path}/*.fits[3]")[0]) == 5
    assert open_table(f"{path}[3]").files == (path,) and marks_of(f"{path}[3]") != marks_of(f"{path}[4]")
    for name, said in (("TILES", "of no survey"), ("0", "an image"), ("5", "no extension '5'")):
        with pytest.raises(CatalogueError, match=said):
            read_catalogue(f"{path}[{name}]")
    with pytest.raises(CatalogueError, match="Give one of both"):
        read_catalogue(f"{path}[3]", hdu=3)
    with pytest.raises(OutputError, match="which is read"):
        claim_file(path, overwrite=True, inputs=[f"{path}[3]"])


def test_names_with_brackets_open_as_they_are_told_and_versions_are_listed(tmp_path):
    path = several_tables(tmp_path / "a.fits", ("CAT[2]", 12), ("X[", 5), ("CAT", 7), ("CAT", 3))
    fits.setval(path, "EXTVER", value=2, ext=5)
    with pytest.raises(CatalogueError, match=r"Name one: '") as said:
        read_catalogue(path)
    offered = re.findall(r"'([^']+)'", str(said.value))
    assert [len(read_catalogue(one)[0]) for one in offered] == [12, 5, 7, 3]
    assert path.name + "[CAT[2]]" in str(said.value) and provenance(inputs=offered)["inputs"].keys() >= {"a.fits[X[]"}
    with pytest.raises(CatalogueError, match=r"no extension 'CAT,3'.* 1 TILES, 2 CAT\[2\], 3 X\[, 4 CAT,1, 5 CAT,2\."):
        read_catalogue(f"{path}[CAT,3]")
    for name in ("[]", "[ ]"):
        with pytest.raises(CatalogueError, match="has no extension ''. It has: 0 PRIMARY"):
            read_catalogue(f"{path}{name}")
    Table(idr_columns()).write(tmp_path / "a.h5", path="one[1]")
    assert open_table(f"{tmp_path}/a.h5[one[1]]").rows == 12
    with pytest.raises(CatalogueError, match="has no table ''. It has: one"):
        open_table(f"{tmp_path}/a.h5[]")


def test_a_table_is_named_in_hdf5_and_nowhere_else(tmp_path):
    for name, rows in (("one", 12), ("2", 5)):
        Table(idr_columns())[:rows].write(tmp_path / "a.h5", path=name, append=True)
    assert open_table(f"{tmp_path}/a.h5[2]").rows == 5
    plain_table(tmp_path / "plain.fits").write(tmp_path / "a.csv")
    with pytest.raises(CatalogueError, match=r"is CSV, of which no table is chosen by name. Leave out \[2\]"):
        read_labels(f"{tmp_path}/a.csv[2]")
    (tmp_path / "a.csv").rename(tmp_path / "a.csv[2]")
    assert len(read_labels(tmp_path / "a.csv[2]")[0]) == 5


def test_brackets_behind_what_is_no_file_are_answered_in_a_sentence():
    """A device is found as it is spelt, and was looked for again and again."""
    with pytest.raises(CatalogueError, match=r"/dev/null: is no regular file but a pipe or a device"):
        open_table("/dev/null[1]")

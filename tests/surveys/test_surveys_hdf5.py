"""HDF5 as h5py, astropy and pandas write it: the same table comes out, and nothing in it is executed."""

import gzip
import os
import pickle
from contextlib import nullcontext

import h5py
import numpy as np
import pytest
from astropy.table import Table
from sample_files import FLUX, UNIT, idr_columns, write_idr

from jpas_gbm.errors import CatalogueError
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.batches import NumberPacking, as_float, join_blocks
from jpas_gbm.surveys.formats import hdf5
from jpas_gbm.surveys.reader import CatalogueReader, read_catalogue
from jpas_gbm.surveys.tables import open_table

BANDS = band_system("jpas57").names


def whole(table, **want):
    return join_blocks(list(table.read(want or dict.fromkeys(table.columns, "any"))))


def listed(names):
    """Names as PyTables keeps a Python list in an attribute."""
    return np.bytes_(pickle.dumps(list(names), protocol=0))


def write_astropy(path):
    table = Table(idr_columns(), meta={f"BAND{i}": band for i, band in enumerate(BANDS)})
    table[FLUX].unit = UNIT
    table.write(path, path="catalogue", serialize_meta=True)


def write_h5py(path):
    with h5py.File(path, "w") as file:
        group = file.create_group("survey/catalogue")
        for name, values in idr_columns().items():
            group[name] = values
        group[FLUX].attrs["unit"] = UNIT
        for i, band in enumerate(BANDS):
            group.attrs[f"BAND{i}"] = band


@pytest.mark.parametrize("write", [write_astropy, write_h5py])
def test_a_catalogue_is_the_same_in_hdf5(tmp_path, write):
    write(tmp_path / "a.h5")
    catalogue, _ = read_catalogue(tmp_path / "a.h5")
    straight, _ = read_catalogue(write_idr(tmp_path / "a.fits"))
    np.testing.assert_allclose(catalogue.flux, straight.flux, rtol=1e-6)
    np.testing.assert_array_equal(catalogue.key["NUMBER"], straight.key["NUMBER"])
    table = open_table(tmp_path / "a.h5")
    assert "erg" in table.columns[FLUX].unit and table.cards["BAND3"] == BANDS[3]


def test_it_is_read_in_blocks(tmp_path, monkeypatch):
    write_h5py(tmp_path / "a.h5")
    straight = read_catalogue(tmp_path / "a.h5")[0]
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 1000)
    assert len(list(open_table(tmp_path / "a.h5").read({FLUX: "float"}))) > 1
    chunks = [chunk.flux for chunk in CatalogueReader(tmp_path / "a.h5").chunks(5)]
    np.testing.assert_array_equal(np.concatenate(chunks), straight.flux)


FRAME = {
    "TARGETID": np.array([39633000000000001, 39633000000000002, 39633000000000003]),
    "J0378": np.array([1.5, np.nan, 3.5]),
    "SPECTYPE": np.array(["QSO", "GALAXY", ""], dtype=object),
    "SURVEY": np.array(["main", "sv", None], dtype=object),
}


def write_fixed(path, text=None):
    """A DataFrame in pandas' fixed format; text is pickled by PyTables."""
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        group.attrs["pandas_type"], group.attrs["nblocks"] = np.bytes_(b"frame"), 3
        group["axis0"] = np.array(list(FRAME), dtype="S8")
        group["axis1"] = np.arange(3)
        group["axis1"].attrs["name"] = np.bytes_(b"N.")
        for i, name in enumerate(("TARGETID", "J0378")):
            group[f"block{i}_items"], group[f"block{i}_values"] = np.array([name], dtype="S8"), FRAME[name][:, None]
        group["block2_items"] = np.array(["SPECTYPE", "SURVEY"], dtype="S8")
        array = np.stack([FRAME["SPECTYPE"], FRAME["SURVEY"]], axis=1)
        content = pickle.dumps(array) if text is None else text
        stored = group.create_dataset("block2_values", (1,), dtype=h5py.vlen_dtype(np.uint8))
        stored[0] = np.frombuffer(content, dtype=np.uint8)
        stored.attrs["PSEUDOATOM"] = np.bytes_(b"object")
    return path


def write_frame_table(path):
    """A DataFrame in pandas' table format: fields of several columns, categories beside them."""
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        fields = [
            ("index", "i8"),
            ("values_block_0", "i8", (2,)),
            ("J0378", "f8"),
            ("SPECTYPE", "S6"),
            ("SURVEY", "i1"),
        ]
        record = np.zeros(3, dtype=fields)
        record["values_block_0"][:, 0], record["values_block_0"][:, 1] = FRAME["TARGETID"], [7, 8, 9]
        record["J0378"], record["SPECTYPE"] = FRAME["J0378"], [b"QSO", b"GALAXY", b"nan"]
        record["SURVEY"] = [0, 1, -1]
        table = group.create_dataset("table", data=record)
        table.attrs["values_block_0_kind"] = listed(["TARGETID", "TILE_ID"])
        table.attrs["SURVEY_meta"] = np.bytes_(b"category")
        names = np.array([(0, b"main"), (1, b"sv")], dtype=[("index", "i8"), ("values", "S4")])
        group["meta/SURVEY/meta/table"] = names
    return path


@pytest.mark.parametrize("write", [write_fixed, write_frame_table])
def test_a_dataframe_of_pandas(tmp_path, write):
    table = open_table(write(tmp_path / "a.h5"))
    assert table.place == "a.h5[data]" and table.rows == 3
    block = whole(table)
    assert block["TARGETID"].tolist() == FRAME["TARGETID"].tolist()
    np.testing.assert_array_equal(block["J0378"], FRAME["J0378"])
    assert block["SPECTYPE"].tolist() == ["QSO", "GALAXY", ""] and block["SURVEY"].tolist() == ["main", "sv", ""]
    assert table.columns["SPECTYPE"].kind == table.columns["SURVEY"].kind == "text"


def test_the_index_of_a_dataframe_has_its_name(tmp_path):
    for name, info in (("NUMBER", {1: {"names": [None]}, "index": {"index_name": "NUMBER"}}), ("index", {"index": {}})):
        with h5py.File(write_frame_table(tmp_path / "a.h5"), "a") as file:
            file["data"].attrs["info"] = np.bytes_(pickle.dumps(info, protocol=0))
        assert next(iter(open_table(tmp_path / "a.h5").columns)) == name
    with h5py.File(write_fixed(tmp_path / "a.h5"), "a") as file:
        file["data"].move("axis1", "axis1_level0")
    with pytest.raises(CatalogueError, match=r"'data' has several indices, .*reset_index\(\)"):
        open_table(tmp_path / "a.h5")


class _Harm:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("content", ["harm", "numbers", "cut", "short"])
def test_trap_pickles_are_never_executed(tmp_path, content):
    text = {
        "harm": pickle.dumps(_Harm(tmp_path / "harmed")),
        "numbers": pickle.dumps(np.array([[1, {}], [2, {}], [3, {}]], dtype=object)),
        "cut": pickle.dumps(np.array([["a", "b"]] * 3, dtype=object))[:-30],
        "short": pickle.dumps(np.array([["a", "b"]] * 2, dtype=object)),
    }[content]
    table = open_table(write_fixed(tmp_path / "a.h5", text))
    assert whole(table, TARGETID="int")["TARGETID"][0] == FRAME["TARGETID"][0]
    with pytest.raises(
        CatalogueError, match=r"a\.h5\[data\]\[SPECTYPE\]: holds pickled objects, which are not read .*Par"
    ):
        whole(table)
    assert not (tmp_path / "harmed").exists()


def test_several_tables_are_told_apart_by_their_keys(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = np.zeros(2, dtype=[("a", "i4"), ("t", "S3")])
        file.create_dataset("deep/two", (3,), dtype=[("b", "f4"), ("c", h5py.string_dtype())])
        file["self"] = h5py.SoftLink("/")
        file["image"] = np.zeros((3, 3))
    table = open_table(tmp_path / "a.h5")
    assert table.place == "a.h5[one]" and table.others == ("deep/two",)
    assert open_table(tmp_path / "a.h5", "/deep/two").rows == open_table(tmp_path / "a.h5", 1).rows == 3
    assert whole(open_table(tmp_path / "a.h5", ["nothing", "deep/two"]))["c"].tolist() == ["", "", ""]
    with pytest.raises(
        CatalogueError, match=r"has no table 'deep/tow'\. Did you mean 'deep/two'\? It has: one, deep/two"
    ):
        open_table(tmp_path / "a.h5", "deep/tow")
    with pytest.raises(CatalogueError, match=r"has no table 7\."):
        open_table(tmp_path / "a.h5", 7)


def varying(file):
    data = file.create_dataset("t", (2,), dtype=[("v", h5py.vlen_dtype(np.float32))])
    data[0], data[1] = (np.array([1.0, 2.0], dtype="f4"),), (np.array([3.0], dtype="f4"),)


def elsewhere(file):
    file["s/a"] = np.zeros(3)
    file["s"].create_dataset("b", (3,), "f8", external=[("other.bin", 0, 24)])


def promise(file):
    file["s/a"] = h5py.Empty("f4")
    for name in "ab":
        file.create_dataset(f"t/{name}", (1 << 40,), "f8", chunks=(1024,))


def chunky(file):
    for name in "ab":
        file.create_dataset(f"t/{name}", (1 << 28,), "f8", chunks=(1 << 28,))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (varying, r"\[v\]: row \d has \d values, the others \d"),
        (elsewhere, r"the values of '/s/b' stand in another file"),
        (promise, r"promises [\d,]+ bytes of values, which a file of [\d,]+ bytes cannot hold"),
        (chunky, r"is stored in chunks of [\d,]+ bytes, too large to read"),
        (lambda file: file.create_group("nothing"), r"holds no table: no compound dataset, no DataFrame"),
        (lambda file: file.create_group("x").attrs.update({"pandas_type": "frame"}), r"is not a readable HDF5 file"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, write, message):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)
    with pytest.raises(CatalogueError, match=message):
        whole(open_table(tmp_path / "a.h5"))


def test_damaged_and_packed_files(tmp_path):
    write_h5py(tmp_path / "a.h5")
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[:3000])
    with pytest.raises(CatalogueError, match=r"cut\.h5: is not a readable HDF5 file .*truncated"):
        open_table(tmp_path / "cut.h5")
    (tmp_path / "b.h5.gz").write_bytes(gzip.compress(content))
    with pytest.raises(CatalogueError, match=r"is a packed HDF5 file, which is not read here\. Unpack it first"):
        open_table(tmp_path / "b.h5.gz")


@pytest.mark.parametrize("how", ["text", "arrays", "records", "chunks", "packed"])
def test_a_length_that_no_file_holds_is_told_before_memory_is_asked_for(tmp_path, how):
    path, words = tmp_path / "a.h5", ["GALAXY", "QSO", "STAR"]
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file["t/TARGETID"] = np.arange(3)
        if how == "records":
            kind = np.dtype([("N", "i4"), ("WORD", text), ("Z", "f8"), ("SPECTYPE", text)])
            file["r"] = np.array([(i, word, 0.5, word) for i, word in enumerate(words)], dtype=kind)
        elif how == "arrays":
            stored = file.create_dataset("t/SPECTYPE", (3,), dtype=h5py.vlen_dtype("f4"))
            for i in range(3):
                stored[i] = np.arange(3, dtype="f4")
        else:
            more = {"chunks": {"chunks": (2,)}, "packed": {"chunks": (2,), "compression": "gzip"}}.get(how, {})
            file.create_dataset("t/SPECTYPE", data=words, dtype=text, **more)
    table = open_table(path, "r" if how == "records" else "t")
    found = next(iter(table.read({"SPECTYPE": "any"})))["SPECTYPE"]
    assert how == "arrays" or [str(one) for one in found] == words
    if how == "packed":
        return
    with h5py.File(path) as file:
        stored = file["r" if how == "records" else "t/SPECTYPE"]
        at = stored.id.get_chunk_info(0).byte_offset if how == "chunks" else stored.id.get_offset()
    content = bytearray(path.read_bytes())
    at += 4 + 16 + 8 if how == "records" else 0
    assert content[at] == (3 if how == "arrays" else len(words[0]))
    content[at + 3] = 0x7F
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match=r"a\.h5: '/.*' promises [\d,]+ bytes of text or an array in a file"):
        open_table(path, "r" if how == "records" else "t")


def test_a_damaged_heap_is_told_and_not_looped_on(tmp_path):
    path = write_fixed(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    size = int.from_bytes(content[heap + 24 : heap + 32], "little")
    after = heap + 32 + size + -size % 8
    content[after + 8 : after + 16] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match=r"a\.h5: has a damaged heap of text or arrays at byte [\d,]+"):
        whole(open_table(path))


def test_numbers_that_are_packed_as_in_netcdf_are_unpacked(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        for name, values in {"a": np.array([1, 2, -99], dtype="i2"), "b": np.array([1.0, -1.0, 3.0])}.items():
            file[f"cat/{name}"] = values
        file["cat/a"].attrs.update({"scale_factor": np.array([0.5]), "add_offset": 20.0, "_FillValue": np.int16(-99)})
        file["cat/b"].attrs.update({"missing_value": [-1.0, np.nan], "scale_factor": "none"})
    table = open_table(tmp_path / "t.h5")
    assert (table.columns["a"].kind, table.columns["b"].kind) == ("float", "float")
    block = next(table.read({"a": "float", "b": "float"}))
    assert as_float(block["a"]).tolist()[:2] == [20.5, 21.0] and np.isnan(as_float(block["a"])[2])
    assert np.isnan(as_float(block["b"])).tolist() == [False, True, False]


def test_packing_that_is_stated_in_text_is_heeded_too(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["cat/a"], file["cat/b"] = np.array([1, 2, -99], dtype="i2"), np.arange(3)
        file["cat/a"].attrs.update({"scale_factor": "0.5", "add_offset": np.bytes_("20"), "_FillValue": "-99"})
    block = next(open_table(tmp_path / "t.h5").read({"a": "float"}))
    assert as_float(block["a"]).tolist()[:2] == [20.5, 21.0] and np.isnan(as_float(block["a"])[2])


def packed(path, values, **attributes):
    with h5py.File(path, "w") as file:
        file["cat/a"], file["cat/b"] = values, np.arange(len(values))
        file["cat/a"].attrs.update(attributes)
    return open_table(path)


@pytest.mark.parametrize("words", [("scale_factor", "add_offset"), ("TSCAL", "TZERO")])
def test_each_value_of_a_row_may_have_a_packing_of_its_own(tmp_path, words):
    scale, zero = [1.0, 10.0, 100.0], [0.0, 0.0, 5.0]
    table = packed(
        tmp_path / "t.h5", np.arange(6, dtype="i2").reshape(2, 3), **dict(zip(words, (scale, zero), strict=True))
    )
    assert whole(table)["a"].tolist() == [[0, 10, 205], [3, 40, 505]]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"scale_factor": [1.0, 2.0]}, "its attribute scale_factor has 2 values, and a row of it 1"),
        ({"scale_factor": 0.0}, "its attribute scale_factor is 0, by which nothing can be unpacked"),
        ({"add_offset": np.nan}, "its attribute add_offset is nan, by which nothing can be unpacked"),
        ({"scale_factor": 2, "TSCAL": 3}, "its attributes TSCAL and scale_factor differ"),
        ({"scale": 2.0}, "its attribute scale is 2, and how it is meant is not known"),
        ({"offset": 2.0}, "its attribute offset is 2, and how it is meant is not known"),
        ({"scale": "log10"}, "its attribute scale is 'log10', where a number is expected"),
        ({"_FillValue": "many"}, "its attribute _FillValue is 'many', where a number is expected"),
    ],
)
def test_packing_that_cannot_be_meant_is_refused_with_the_column(tmp_path, attributes, said):
    """The other columns are read."""
    table = packed(tmp_path / "t.h5", np.arange(3), **attributes)
    assert whole(table, b="int")["b"].tolist() == [0, 1, 2]
    with pytest.raises(CatalogueError, match=rf"t\.h5\[cat\]\[a\]: {said}\. Mend or remove it"):
        whole(table)


def test_packing_that_changes_nothing_is_none(tmp_path):
    table = packed(tmp_path / "t.h5", np.arange(3), scale="linear", offset=0, TSCAL=1.0, scale_factor="none")
    assert table.columns["a"].kind == "int" and whole(table)["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("word", ["_FillValue", "missing_value", "fill_value", "TNULL"])
@pytest.mark.parametrize("spelt", [str, int, lambda number: np.bytes_(str(number))])
def test_a_filler_of_integers_is_exact(tmp_path, word, spelt):
    """Beyond 2^53 too, where a float is also its neighbour."""
    table = packed(tmp_path / "t.h5", np.array([2**53, 2**53 + 1, 2**53 + 2]), **{word: spelt(2**53 + 1)})
    assert np.ma.getmaskarray(whole(table)["a"]).tolist() == [False, True, False]
    small = packed(tmp_path / "s.h5", np.array([1, 2], dtype="u1"), **{word: spelt(258)})
    assert not np.ma.getmaskarray(whole(small)["a"]).any()


def test_a_filter_that_is_not_installed_is_named(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        steps = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        steps.set_chunk((3,))
        steps.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (0,))
        group, space = file.create_group("cat"), h5py.h5s.create_simple((3,))
        h5py.h5d.create(group.id, b"a", h5py.h5t.NATIVE_DOUBLE, space, steps).write_direct_chunk((0,), b"packed", 0)
        file["cat/b"] = np.arange(3)
    if h5py.h5z.filter_avail(32001):
        pytest.skip("Blosc is installed here")
    assert whole(open_table(tmp_path / "t.h5"), b="int")["b"].tolist() == [0, 1, 2]
    with pytest.raises(CatalogueError, match=r"'cat/a' is compressed with Blosc, which is not installed.*gzip"):
        whole(open_table(tmp_path / "t.h5"))


@pytest.mark.parametrize("fill", [-999.9, 1e20, "-999.9", np.float32(-999.9)], ids=str)
def test_a_filler_that_is_stated_in_double_precision_hides_in_single_too(tmp_path, fill):
    """What h5py writes of a Python number beside an array of single precision."""
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["cat/a"] = np.array([1.5, float(fill), 3.5], dtype=np.float32)
        file["cat/n"] = np.array([2**53 + 1, 2**53, 7])
        file["cat/a"].attrs["_FillValue"] = fill
        file["cat/n"].attrs["_FillValue"] = 2**53
    block = next(open_table(tmp_path / "t.h5").read({"a": "float", "n": "int"}))
    assert np.isnan(as_float(block["a"])).tolist() == [False, True, False]
    assert np.ma.getmaskarray(block["n"]).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["units", "UNITS", "Units", "Unit", "TUNIT"])
@pytest.mark.parametrize(
    "value", ["rad", np.array([b"rad"]), np.array(["rad"], dtype=object)], ids=["text", "bytes", "array"]
)
def test_a_unit_is_known_by_any_of_its_names(tmp_path, name, value):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["cat/ra"], file["cat/dec"] = np.arange(3.0), np.arange(3.0)
        file["cat/ra"].attrs[name] = value
    assert open_table(tmp_path / "t.h5").columns["ra"].unit == "rad"


@pytest.mark.parametrize(("attribute", "scale"), [(h5py.Empty("f4"), None), ("9" * 400, "is inf, by which")])
def test_an_empty_scale_says_nothing_and_one_beyond_all_numbers_is_refused(attribute, scale):
    with nullcontext() if scale is None else pytest.raises(CatalogueError, match=scale):
        assert NumberPacking.of({"scale_factor": attribute}, None).scale is None


BIG = 2**60


@pytest.mark.parametrize(
    ("kind", "offset", "dtype"),
    [("i8", BIG, "i8"), ("i8", float(BIG), "i8"), ("i2", str(BIG), "i8"), ("u8", 5, "u8"), ("i8", 2**63, "u8"),
     ("u8", -5, "i8"), ("i8", [BIG], "i8")],
)  # fmt: skip
def test_integers_with_a_whole_offset_stay_integers(tmp_path, kind, offset, dtype):
    """Ids beyond 2^53 with an offset were equal to their neighbours. A filler needs no room."""
    values = np.array([7, 8, np.iinfo(kind).max], dtype=kind)
    table = packed(tmp_path / "t.h5", values, add_offset=offset, _FillValue=values[2])
    found = whole(table)["a"]
    by = int(np.ravel(offset)[0])
    assert table.columns["a"].kind == "int" and found.dtype == dtype and found.mask.tolist() == [False, False, True]
    assert found[:2].tolist() == [7 + by, 8 + by]


@pytest.mark.parametrize(("value", "offset", "dtype"), [(2**63 - 1, 1, "i8"), (2**64 - 1, 1, "u8"), (-1, 2**64, "i8")])
def test_integers_that_leave_64_bits_with_their_offset_are_refused(tmp_path, value, offset, dtype):
    table = packed(tmp_path / "t.h5", np.array([value, 2], dtype=dtype), TZERO=str(offset))
    with pytest.raises(
        CatalogueError, match=rf"t\.h5\[cat\]\[a\]: its integers with the offset {offset} lie beyond u?int64"
    ):
        whole(table)
    huge = packed(tmp_path / "huge.h5", np.array([1, 2]), add_offset=1e300)
    with pytest.raises(CatalogueError, match=r"with the offset 10\d{40,58}\.\.\. lie beyond uint64\. Mend it"):
        whole(huge)

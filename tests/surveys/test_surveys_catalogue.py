"""What is always true of a Catalogue."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jpas_gbm.errors import BundleError, CatalogueError
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue

BANDS = BandSystem("two", (Band("A", 4000, 100), Band("B", 5000, 100)))


def make(n=4, **changes):
    fields = {
        "bands": BANDS,
        "flux": np.arange(2.0 * n).reshape(n, 2),
        "flux_err": np.ones((n, 2)),
        "key": {"TILE_ID": np.full(n, 2241), "NUMBER": np.arange(n)},
    }
    return Catalogue(**(fields | changes))


def test_defaults_say_unknown():
    c = make()
    assert (c.label == -1).all() and (c.morphology == 0).all() and np.isnan(c.mag).all() and np.isnan(c.z).all()
    np.testing.assert_array_equal(c.object_id, np.arange(4))
    assert c.flux.dtype == np.float32 and c.label.dtype == np.int8 and len(c) == 4
    assert "4 rows, 2 bands of two" in repr(c)


def test_arrays_are_read_only_and_the_givers_stay_writable():
    flux = np.ones((4, 2), dtype=np.float32)
    c = make(flux=flux)
    with pytest.raises(ValueError, match="read-only"):
        c.flux[0, 0] = 2
    flux[0, 0] = 1


def test_trap_big_endian_arrays_become_native():
    c = make(flux=np.ones((4, 2), dtype=">f4"), object_id=np.arange(4, dtype=">i8"))
    assert c.flux.dtype.isnative and c.object_id.dtype.isnative
    np.testing.assert_array_equal(c.object_id, np.arange(4))


def test_trap_masked_arrays_keep_their_mask_as_nan():
    flux = np.ma.MaskedArray(np.ones((4, 2)), mask=np.eye(4, 2, dtype=bool))
    np.testing.assert_array_equal(np.isnan(make(flux=flux).flux), np.eye(4, 2, dtype=bool))


def test_trap_glued_tile_and_number_would_collide():
    c = make(2, key={"TILE_ID": np.array([2241, 224]), "NUMBER": np.array([1, 11])})
    assert len(c) == 2


def test_trap_float_ids_are_refused():
    with pytest.raises(CatalogueError, match="floating point: ids above 2\\^53"):
        make(object_id=np.arange(4.0))


def test_trap_targetids_above_2_53_survive_a_file(tmp_path):
    ids = np.array([39633000004190713, 39633000004190714, 2**62 + 1, 5])
    make(object_id=ids).write(tmp_path / "c.parquet")
    np.testing.assert_array_equal(Catalogue.read(tmp_path / "c.parquet").object_id, ids)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flux": np.full((4, 2), np.inf)}, "infinite"),
        ({"flux": np.ones((4, 3))}, r"shape \(4, 3\), the catalogue needs \(4, 2\)"),
        ({"flux_err": np.zeros((4, 2))}, "no positive error; the first is row 0, band A"),
        ({"mag": np.ones(3)}, r"'mag' has shape \(3,\)"),
        ({"key": {}}, "no row key"),
        ({"key": {"N": np.arange(4.0)}}, "must be 4 integers"),
        ({"key": {"N": np.array([1, 2, 1, 3])}}, r"1 row repeats the key of another \(N=1, say\)"),
        ({"extra": {"x": np.ones(5)}}, "extra column 'x'"),
    ],
)
def test_broken_invariants_are_named(changes, message):
    with pytest.raises(CatalogueError, match=message):
        make(**changes)


def test_a_survey_without_errors():
    c = make(flux_err=np.full((4, 2), np.nan))
    assert not c.has_errors and make().has_errors and make(0).has_errors


def test_take_and_concat():
    c = make(extra={"s": np.array(list("abcd"))}, flux_mean=np.ones((4, 2)))
    both = Catalogue.concat([c.take(np.array([3, 0])), c.take(slice(1, 2))])
    assert both.key["NUMBER"].tolist() == [3, 0, 1] and both.extra["s"].tolist() == ["d", "a", "b"]
    again = Catalogue.concat([c, c])
    assert list(again.key) == ["ROW"] and len(again) == 8 and again.flux_mean is not None
    assert Catalogue.concat([c, c.replace(flux_mean=None)]).flux_mean is None
    assert Catalogue.concat([c]) is c


def test_concat_refuses_other_bands():
    other = make(bands=BandSystem("other", (Band("A", 4000, 100), Band("Z", 5000, 100))))
    with pytest.raises(CatalogueError, match="different bands"):
        Catalogue.concat([make(), other])


def test_bands_are_selected_by_name():
    turned = make().select_bands(BANDS.subset(["B", "A"], "turned"))
    np.testing.assert_array_equal(turned.flux, make().flux[:, ::-1])
    assert turned.bands.name == "turned"
    assert make().select_bands(BandSystem("same", BANDS.bands)).bands.name == "same"
    with pytest.raises(CatalogueError, match="1 of 1 bands of 'z' are missing from 'two': Z"):
        make().select_bands(BandSystem("z", (Band("Z", 1, 1),)))


def test_imaging_can_be_forgotten():
    c = make(imaging_mag=np.full(4, 20.0), morphology=np.ones(4, int), mag=np.full(4, 20.0))
    some = c.without_imaging(np.array([True, False, False, False]))
    assert np.isnan(some.imaging_mag).tolist() == [True, False, False, False]
    assert some.morphology.tolist() == [0, 1, 1, 1] and some.mag[0] == 20
    assert (c.without_imaging().morphology == 0).all()


def test_a_file_keeps_everything(tmp_path):
    c = make(
        flux=np.array([[1, np.nan], [2, 3], [4, 5], [np.nan, np.nan]]),
        flux_mean=np.ones((4, 2)),
        z=np.array([2.1, np.nan, 0, 1]),
        extra={"seed": np.array(["s1", "s2", "s3", "s4"], dtype=object)},
        survey="s",
        photometry="F",
    )
    c.write(tmp_path / "c.parquet")
    back = Catalogue.read(tmp_path / "c.parquet")
    for name in ("flux", "flux_err", "flux_mean", "z", "label", "object_id", "mag"):
        np.testing.assert_array_equal(getattr(back, name), getattr(c, name))
    assert back.bands == c.bands and (back.survey, back.photometry) == ("s", "F")
    assert back.extra["seed"].tolist() == ["s1", "s2", "s3", "s4"]
    assert list(back.key) == ["TILE_ID", "NUMBER"]


def test_files_that_are_no_catalogue(tmp_path):
    with pytest.raises(BundleError, match="is missing"):
        Catalogue.read(tmp_path / "none.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(BundleError, match="not a catalogue that jpas-gbm wrote"):
        Catalogue.read(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("no")
    with pytest.raises(BundleError, match="not a catalogue"):
        Catalogue.read(tmp_path / "b.parquet")


def test_a_flux_without_error_is_found_in_any_block():
    err = np.ones((40_000, 2))
    err[[17_000, 39_000], [1, 0]] = 0
    with pytest.raises(CatalogueError, match="^2 finite fluxes have no positive error; the first is row 17000, band B"):
        make(40_000, flux_err=err)


def test_a_file_of_several_blocks_is_read_whole(tmp_path):
    c = make(40_000, flux_mean=np.random.default_rng(0).random((40_000, 2)), extra={"s": np.arange(40_000)})
    c.write(tmp_path / "c.parquet")
    assert Catalogue.read(tmp_path / "c.parquet").fingerprint() == c.fingerprint()

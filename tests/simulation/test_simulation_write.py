"""Files of a simulated survey, and our own readers reading them again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from jpas_gbm.errors import OutputError
from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.simulation.write import IMAGING, LABELS, TARGET, mock_planes, write_survey
from jpas_gbm.surveys.catalogue import UNLABELLED
from jpas_gbm.surveys.reader import read_catalogue, read_imaging, read_labels

PARTS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def folder(small_survey, tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated") / "survey"
    write_survey(small_survey, path)
    return path


def test_the_target_comes_back(small_survey, folder):
    found, report = read_catalogue(folder / TARGET, bands="jpas57")
    target = small_survey.target
    for name, column in target.key.items():
        np.testing.assert_array_equal(found.key[name], column)
    np.testing.assert_allclose(found.flux, target.flux, rtol=3e-7)
    seen = np.isfinite(target.flux)
    np.testing.assert_allclose(found.flux_err[seen], target.flux_err[seen], rtol=1e-6)
    np.testing.assert_allclose(found.ra, target.ra)
    np.testing.assert_allclose(found.extra["MAG_AUTO"], target.extra["MAG_AUTO"])
    assert found.photometry == target.photometry and found.survey == target.survey
    assert any("corrupted" in line for line in report.lines())


def test_the_mocks_come_back(small_survey, folder):
    source = small_survey.source
    rows = 0
    for part in PARTS:
        found, _ = read_catalogue(folder / f"Mock_{part}_FLUX+NOISE.npy", bands="jpas57")
        place = np.array([int(name[1:]) for name in found.extra["NOISE_SEED"]])
        rows += len(found)
        for name in ("object_id", "label", "morphology"):
            np.testing.assert_array_equal(getattr(found, name), getattr(source, name)[place])
        np.testing.assert_allclose(found.z, source.z[place])
        np.testing.assert_allclose(found.mag, source.mag[place], atol=2e-6)
        np.testing.assert_allclose(found.flux_mean, source.flux_mean[place], rtol=1e-6)
        np.testing.assert_allclose(found.flux, source.flux[place], rtol=1e-6)
        seen = np.isfinite(found.flux)
        np.testing.assert_allclose(found.flux_err[seen], source.flux_err[place][seen], rtol=1e-5)
        np.testing.assert_array_equal(found.extra["ISINJPAS"], source.extra["ISINJPAS"][place])
    assert rows == len(source)


def test_the_labels_come_back(small_survey, folder):
    table, report = read_labels(folder / LABELS)
    target = small_survey.target
    where = {one: row for row, one in enumerate(target.object_id)}
    rows = np.array([where[one] for one in table.object_id])
    assert len(table.object_id) == small_survey.options.n_labelled
    np.testing.assert_array_equal(table.label, target.label[rows])
    np.testing.assert_allclose(table.z, target.z[rows])
    text = "\n".join(report.lines())
    for reason in ("sky or stuck fibre", "not the primary spectrum", "fibre with a problem", "with a warning"):
        assert reason in text


def test_the_imaging_comes_back(small_survey, folder):
    table, _ = read_imaging(folder / IMAGING)
    ids = small_survey.target.object_id
    known = np.unique(ids[np.isfinite(small_survey.target.imaging_mag)])
    assert len(table.ra) == len(known)
    np.testing.assert_allclose(
        np.sort(table.mag),
        np.sort(small_survey.target.imaging_mag[np.unique(ids, return_index=True)[1]])[: len(table.mag)],
        atol=1e-5,
    )


def test_files_and_memory_make_the_same_data_set(small_survey, folder):
    from jpas_gbm.surveys.assembly import assemble
    from jpas_gbm.surveys.prepare import prepare

    read = prepare(
        [folder / f"Mock_{part}_FLUX+NOISE.npy" for part in PARTS],
        [folder / TARGET],
        [folder / LABELS],
        [folder / IMAGING],
    )
    made = assemble(small_survey.source, small_survey.target)
    assert len(read.target) == len(made.target) and len(read.source) == len(made.source)
    assert len(read.twins) == len(made.twins)
    order = [np.lexsort(list(one.target.key.values())) for one in (read, made)]
    for name in ("label", "morphology"):
        np.testing.assert_array_equal(getattr(read.target, name)[order[0]], getattr(made.target, name)[order[1]])
    labelled = made.target.label[order[1]] != UNLABELLED
    np.testing.assert_array_equal(read.target.object_id[order[0]][labelled], made.target.object_id[order[1]][labelled])
    np.testing.assert_array_equal(read.target_split[order[0]], made.target_split[order[1]])


def test_trap_negative_fluxes_have_negative_relative_errors(folder):
    from astropy.io import fits

    with fits.open(folder / TARGET, checksum=True) as table:
        data = table[1].data
        flux, error = data["FLUX_APER_COR_3_0"], data["FLUX_RELERR_APER_COR_3_0"]
        negative = flux < 0
        assert negative.any() and (error[negative] < 0).all() and (error[flux > 0] > 0).all()
        np.testing.assert_array_equal(np.isnan(flux), data["MASK_FLAGS"] == 1)
        assert table[1].header["BAND0"] == "uJAVA" and table[1].header["SIMULATD"] is True
        assert (data["FLAGS"] == 3).any() and np.isfinite(flux[data["FLAGS"] == 4]).all()
        assert "CHECKSUM" in table[1].header


def test_trap_mock_sentinels_and_dark_bands(small_survey, folder):
    planes = np.concatenate([np.load(folder / f"Mock_{part}_FLUX+NOISE.npy") for part in PARTS])
    assert planes.shape[1:] == (57, 3) and planes.dtype == np.float32
    assert (np.abs(planes[..., 1]) == 99).sum() == np.isnan(small_survey.source.flux).sum() > 0
    assert {-99.0, 99.0} <= set(planes[..., 1].ravel()[np.abs(planes[..., 1].ravel()) == 99].tolist())
    assert (planes[..., 2] > 0).all() and np.isfinite(planes).all()
    dark = planes[..., 0] == 0
    assert dark.sum() == (small_survey.source.flux_mean == 0).sum()


def test_the_truth_stands_apart(small_survey, folder):
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False)
    assert len(truth) == 1200  # second sightings have no line
    assert truth.IN_DESI.sum() == 900
    assert (truth.TARGETID[~truth.IN_DESI] == -1).all()
    wrong = truth[truth.IN_DESI & (truth.LABEL != truth.TRUE_CLASS)]
    assert set(wrong.TARGETID) == set(small_survey.shift.wrong_labels.tolist())


def test_the_shift_and_how_it_was_made_are_written(small_survey, folder):
    shift = json.loads((folder / "shift.json").read_text())
    assert shift["provenance"]["seed"] == small_survey.seed
    assert shift["provenance"]["options"]["n_source"] == 1500
    assert len(shift["zero_point_mag"]) == len(shift["tiles"]) == 8
    assert "seed 5" in (folder / "README.md").read_text()


def test_the_same_survey_writes_the_same_tables(small_survey, folder, tmp_path):
    write_survey(small_survey, tmp_path / "again")
    for name in ("Mock_train_FLUX+NOISE.npy", "Mock_test_PROPS.csv", "truth.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_nothing_is_overwritten_unasked(small_survey, folder):
    before = (folder / "truth.csv").stat().st_mtime_ns
    with pytest.raises(OutputError, match="already exists"):
        write_survey(small_survey, folder)
    assert (folder / "truth.csv").stat().st_mtime_ns == before


def test_other_bands_have_no_mock_format(tmp_path):
    survey = simulate_survey(SimulateOptions(n_source=50, n_labelled=50, n_unlabelled=10, bands="jpas55"), 0)
    with pytest.raises(OutputError) as caught:
        write_survey(survey, tmp_path / "survey")
    assert "jpas55" in str(caught.value) and "jpas57" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        ({"n_source": 0, "n_labelled": 0, "n_unlabelled": 60}, (LABELS, "Mock_train_FLUX+NOISE.npy")),
        ({"n_source": 60, "n_labelled": 0, "n_unlabelled": 0}, (TARGET, LABELS, IMAGING, "truth.csv")),
        ({"n_source": 0, "n_labelled": 60, "n_unlabelled": 0, "twins": False}, ("Mock_train_FLUX+NOISE.npy",)),
    ],
)
def test_tables_without_rows_are_left_out(tmp_path, options, lacking):
    write_survey(simulate_survey(SimulateOptions(**options), 0), tmp_path / "survey")
    written = {path.name for path in (tmp_path / "survey").iterdir()}
    assert not written & set(lacking)
    assert {"shift.json", "README.md"} <= written
    assert "jpas-gbm prepare" not in (tmp_path / "survey" / "README.md").read_text()


def test_mocks_without_means_have_no_format(small_survey):
    with pytest.raises(OutputError, match="mean fluxes"):
        mock_planes(small_survey.source.replace(flux_mean=None), np.arange(3))


def test_a_part_may_be_empty(tmp_path):
    survey = simulate_survey(SimulateOptions(n_source=1, n_labelled=0, n_unlabelled=20), 0)
    write_survey(survey, tmp_path / "survey")
    arrays = [np.load(tmp_path / "survey" / f"Mock_{part}_FLUX+NOISE.npy") for part in PARTS]
    assert sorted(len(array) for array in arrays) == [0, 0, 1]
    assert {array.shape[1:] for array in arrays} == {(57, 3)}

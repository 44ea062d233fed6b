"""The audit of a data set that exists finds what its making may have missed."""

from dataclasses import replace

import numpy as np
import pytest
from survey_samples import catalogue, labels_of, mocks
from typer.testing import CliRunner

import jpas_gbm as jg
from jpas_gbm.cli.verbs import app
from jpas_gbm.surveys.assembly import assemble
from jpas_gbm.surveys.dataset import Dataset

ROWS = np.arange(0, 400, 2)


@pytest.fixture(scope="module")
def data() -> Dataset:
    target = catalogue(400)
    labels = labels_of(target, ROWS, label=ROWS // 2 % 4)
    return assemble(mocks(400), target, labels=labels, target_identity="row")


def first_of(data, code):
    return int(np.flatnonzero(data.target_split == code)[0])


def changed(data, **fields):
    return replace(data, target=data.target.replace(**fields))


def found(data):
    return {check.name: check.count for check in jg.audit(data).checks}


def test_a_sound_data_set_is_clean_and_its_tiles_are_counted(data, tmp_path):
    told = jg.audit(data)
    assert told.clean and found(data)["shared_tiles"] == 1
    data.save(tmp_path / "d")
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "d")])
    assert done.exit_code == 0 and "Leak audit: clean" in done.output


def test_a_position_in_two_splits_is_a_leak(data, tmp_path):
    train, test = first_of(data, 0), first_of(data, 2)
    ra, dec = data.target.ra.copy(), data.target.dec.copy()
    ra[test], dec[test] = ra[train], dec[train] + 0.5 / 3600
    leaking = changed(data, ra=ra, dec=dec)
    told = jg.audit(leaking)
    assert [check.name for check in told.leaks] == ["target_at_target"] and told.leaks[0].count == 2
    leaking.save(tmp_path / "d")
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "d")])
    assert done.exit_code == 1 and "LEAKING" in done.output and "within 1 arcsec of one in another split" in done.output
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "d"), "--radius", "0.1"])
    assert done.exit_code == 0 and "Leak audit: clean" in done.output


def test_neighbours_that_prepare_took_for_two_sources_are_told_and_no_leak(data):
    """Two objects of the spectra, 0.9 arcsec apart, were clean to `prepare` and leaking to `audit`."""
    train, test = first_of(data, 0), first_of(data, 2)
    for apart, names in ((0.8, []), (0.4, ["target_at_target"])):
        ra, dec = data.target.ra.copy(), data.target.dec.copy()
        ra[test], dec[test] = ra[train], dec[train] + apart / 3600
        prepared = replace(changed(data, ra=ra, dec=dec), provenance={"options": {"overlap_radius": 0.5}})
        assert [check.name for check in jg.audit(prepared).leaks] == names
        assert found(prepared)["target_neighbours"] == (0 if names else 2)


def test_equal_rows_in_two_splits_are_a_leak(data):
    train, test, other = first_of(data, 0), first_of(data, 2), first_of(data, 0) + 2
    flux = data.target.flux.copy()
    flux[test] = flux[train]
    assert found(changed(data, flux=flux))["equal_rows"] == 2
    flux = data.target.flux.copy()
    same = np.flatnonzero(data.target_split == 0)[:2]
    flux[same[1]] = flux[same[0]]
    assert found(changed(data, flux=flux))["equal_rows"] == 0 and other


def test_objects_of_the_target_in_the_source_are_leaks(data, tmp_path):
    ids = data.source.object_id.copy()
    ids[0] = data.target.object_id[first_of(data, 2)]
    ra, dec = data.source.ra.copy(), data.source.dec.copy()
    ra[1], dec[1] = data.target.ra[3], data.target.dec[3]
    leaking = replace(data, source=data.source.replace(object_id=ids, ra=ra, dec=dec))
    names = {check.name for check in jg.audit(leaking).leaks}
    assert names == {"source_in_target", "source_at_target"}
    leaking.save(tmp_path / "d")
    assert {check.name for check in jg.audit(tmp_path / "d").leaks} == names


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (lambda d: d.target.ra, "B1 follows RA"),
        (lambda d: -d.target.dec, "B1 follows Dec"),
        (lambda d: 3.0 * d.target.key["NUMBER"] + 1, "B1 follows NUMBER"),
    ],
)
def test_a_flux_that_is_an_id_or_a_position_is_a_leak(data, tmp_path, values, what):
    """A survey file that points a band at the wrong column, say: the trees would learn where the labels are."""
    rng = np.random.default_rng(0)
    ra, dec = rng.permutation(data.target.ra), rng.uniform(-5, 5, len(data.target))
    placed = changed(data, ra=ra, dec=dec)
    flux = placed.target.flux.copy()
    flux[:, 1] = values(placed)
    name = placed.target.bands.names[1]
    leaking = changed(placed, flux=flux)
    told = {check.name: check for check in jg.audit(leaking).leaks}["id_features"]
    assert what.replace("B1", name) in told.sentence
    leaking.save(tmp_path / "d")
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "d")])
    assert done.exit_code == 1 and "inputs of features that are an id or a position" in done.output


def test_seeds_and_tiles_of_mocks_are_ids_too(data):
    flux = data.source.flux.copy()
    seeds = np.random.default_rng(1).permutation(len(data.source))
    flux[:, 0] = seeds
    leaking = replace(data, source=data.source.replace(flux=flux, extra={"NOISE_TILE": seeds}))
    assert "follows NOISE_TILE" in {check.name: check.sentence for check in jg.audit(leaking).leaks}["id_features"]


def test_nights_that_splits_share_are_counted_and_allowed(data):
    nights = changed(data, extra={"mjd": np.arange(len(data.target)) // 100})
    told = {check.name: check for check in jg.audit(nights).checks}["shared_mjd"]
    assert told.count == 4 and told.allowed and "nights (MJD) with objects of several splits" in told.sentence

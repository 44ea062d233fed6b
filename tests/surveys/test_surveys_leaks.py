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

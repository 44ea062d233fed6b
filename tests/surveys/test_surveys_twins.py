"""Twins of target objects among source rows."""

from __future__ import annotations

import re

import numpy as np
import pytest
from survey_samples import ARCSEC, catalogue, labels_of, mocks

from jpas_gbm.surveys.assembly import assemble
from jpas_gbm.surveys.audit import unlike_fluxes
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.positions import TwinFinder


def test_twins_by_id_and_by_their_own_word() -> None:
    source = mocks(8).replace(extra={"ISINJPAS": np.array([0, 0, 1, 1, 1, 0, 0, 0])})
    finder = TwinFinder(np.array([5, 10_001]))
    found = finder.find(source)
    assert found["by_id"].nonzero()[0].tolist() == [2, 3]
    assert found["says_so"].nonzero()[0].tolist() == [4]
    assert finder.identify(source, True) is source


def _sides():
    target = catalogue(5, object_id=np.array([-1, -2, -3, -4, -5]))
    source = catalogue(6, object_id=np.array([1, 2, 3, 4, 5, 6]), ra=target.ra[[0, 0, 2, 3, 3, 3]], seed=2)
    north = np.array([0.0, 0.9, 5.0, 0.9, 1.8, 9.0])
    return target, source.replace(dec=target.dec[[0, 0, 2, 3, 3, 3]] + north * ARCSEC)


def test_twins_by_position_take_the_targets_id() -> None:
    target, source = _sides()
    finder = TwinFinder(np.sort(target.object_id), target, 1.0)
    named = finder.identify(source, ids_name_objects=False)
    # Row 4 is beyond the radius itself, but one object with row 3.
    assert named.object_id.tolist() == [-1, -1, 3, -4, -4, 6]
    assert finder.find(named)["by_position"].tolist() == [True, True, False, True, True, False]


def test_twins_by_position_follow_the_sources_own_ids() -> None:
    target, source = _sides()
    source = source.replace(object_id=np.array([1, 2, 1, 4, 5, 4]))
    named = TwinFinder(np.sort(target.object_id), target, 1.0).identify(source, ids_name_objects=True)
    assert named.object_id.tolist() == [-1, -1, -1, -4, 5, -4]


def test_source_rows_of_one_position_become_one_object() -> None:
    target = catalogue(2)
    source = catalogue(3, ra=np.array([30.0, 30.0, 31.0]), object_id=np.array([7, 8, 9]))
    named = TwinFinder(target.object_id, target, 1.0).identify(source, ids_name_objects=False)
    assert named.object_id.tolist() == [7, 7, 9]


WAVES = np.arange(3700.0, 9200.0, 500.0)
SYSTEM = BandSystem("eleven", tuple(Band(f"B{wave:.0f}", float(wave), 150.0, "narrow") for wave in WAVES))


def _survey(seed: int, factor: np.ndarray | float = 1.0, error: float = 1.0, **fields: object) -> Catalogue:
    """60 red objects as one side observes them, fluxes and errors times a factor."""
    rng = np.random.default_rng(seed)
    flux = np.exp(np.linspace(4, 6, 60))[:, None] * (WAVES / 6450) ** 2 * np.exp(rng.normal(0, 0.01, (60, len(WAVES))))
    given = {"key": {"ROW": np.arange(60)}, "object_id": np.arange(60), **fields}
    given = {"mag": 31.4 - 2.5 * np.log10(np.exp(np.linspace(4, 6, 60))), **given}
    return Catalogue(SYSTEM, flux * factor, flux * 0 + factor * error, **given)  # type: ignore[arg-type]


def _told(mocks: Catalogue, sky: Catalogue) -> list[str]:
    return unlike_fluxes(mocks.replace(object_id=np.arange(60) + 1000), mocks, sky)


def test_mocks_that_measure_as_the_sky_does_are_silent() -> None:
    assert _told(_survey(1, 0.75), _survey(2)) == []
    assert unlike_fluxes(_survey(1), _survey(1).take(slice(0)), _survey(2, object_id=np.arange(60) + 99)) == []
    # Gaps and rows without any sure flux are no sign, nor are few objects.
    gaps = _survey(1).replace(flux=np.where(np.eye(60, len(WAVES)) > 0, np.nan, _survey(1).flux))
    assert _told(gaps, _survey(2)) == []
    assert unlike_fluxes(_survey(1), _survey(1, 0.2).take(slice(20)), _survey(2)) == []


@pytest.mark.parametrize("errors", [True, False])
@pytest.mark.parametrize(
    ("factor", "told"), [(1e3, r"(99\d|1,00\d) times .* another unit"), (0.1, r"0\.1 times .* zero point")]
)
def test_mocks_in_another_unit_are_told_by_their_twins(factor: float, told: str, errors: bool) -> None:
    mocks = _survey(1, factor)
    mocks = mocks if errors else mocks.replace(flux_err=np.full_like(mocks.flux, np.nan))
    (note,) = _told(mocks, _survey(2))
    assert re.search(f"by 60 rows of objects that both sides observed, the fluxes of the source are {told}", note)


def test_mocks_in_f_lambda_or_with_bands_in_another_order_are_told_by_their_twins() -> None:
    (note,) = _told(_survey(1, (5000 / WAVES) ** 2), _survey(2))
    assert re.search(r"from 0\.3\d \(B8700\) to 1\.8\d? \(B3700\) times .*: those of the source seem to be f_λ", note)
    (note,) = _told(_survey(1), _survey(2, (5000 / WAVES) ** 2))
    assert "those of the target seem to be f_λ" in note
    mocks = _survey(1)
    (note,) = _told(mocks.replace(flux=mocks.flux[:, ::-1]), _survey(2))
    assert "the bands of one side seem to stand in another order" in note


def test_errors_of_another_unit_are_told_by_their_twins() -> None:
    (note,) = _told(_survey(1, error=200.0), _survey(2))
    assert "the flux errors of the source are 200 times those of the same objects in the target" in note


def test_without_twins_stated_magnitudes_tell_another_unit() -> None:
    none, sky = _survey(1).take(slice(0)), _survey(2, object_id=np.arange(60) + 99)
    (note,) = unlike_fluxes(_survey(1, 1e3), none, sky)
    assert "about r are -7.5 mag off the magnitudes that stand beside them in the source and " in note
    assert unlike_fluxes(_survey(1, 1e3, mag=None), none, sky) == []


def test_a_data_set_says_where_its_mocks_are_in_another_unit() -> None:
    target = catalogue(400)
    labels = labels_of(target, np.arange(0, 400, 2), label=np.arange(200) % 4)
    twins = target.take(np.arange(0, 200, 2))
    twins = twins.replace(
        flux=twins.flux * 20, flux_err=twins.flux_err * 20, label=labels.label[:100], object_id=labels.object_id[:100],
        key={"ROW": 5000 + np.arange(100)},
    )  # fmt: skip
    data = assemble([Catalogue.concat([mocks(400), twins])], target, labels=labels, target_identity="row")
    assert len(data.twins) == 100
    assert any("the fluxes of the source are 20 times those of the target" in note for note in data.warnings)

"""What labels and imaging add to a target, and what is said when they do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from survey_samples import ARCSEC, catalogue, imaging_of, labels_of

from jpas_gbm.errors import DatasetError
from jpas_gbm.options import PrepareOptions
from jpas_gbm.surveys.assembly import twin_finder
from jpas_gbm.surveys.curation import (
    Curated,
    add_imaging,
    add_labels,
    compare_imaging,
    leave_placeholders,
    merge_overlaps,
    name_objects,
)
from jpas_gbm.surveys.labels import LabelTable, join_labels
from jpas_gbm.surveys.positions import ids_from_key
from jpas_gbm.surveys.preparation import Preparation

TARGET = catalogue(200)
START = Curated(TARGET)


def test_labels_by_position_bring_class_redshift_id_and_magnitude_for_cuts() -> None:
    rows = np.arange(0, 200, 2)
    state = add_labels(name_objects(START, "row", 1.0), labels_of(TARGET, rows), "row", 1.0)
    done = state.catalogue
    assert np.array_equal(done.label[rows], rows % 4)
    assert (np.delete(done.label, rows) == -1).all()
    assert np.array_equal(done.object_id[rows], 1 + rows)
    assert (np.delete(done.object_id, rows) < 0).all()
    assert (done.mag[rows] == 20).all()
    assert np.isnan(done.imaging_mag).all()
    assert (done.morphology == 0).all()
    counts = state.counts.labels
    assert (counts.matched_by, counts.matched_rows, counts.unmatched) == ("position", 100, 0)
    assert counts.separation_median == pytest.approx(0.1, abs=1e-3)
    assert state.warnings == ()


def test_trap_without_imaging_for_all_the_labels_magnitude_and_morphology_stay_out_of_features() -> None:
    """The zcatalogue knows them for labelled rows only: a bare catalogue could not have them."""
    labels = labels_of(TARGET, np.arange(50), morphology=np.ones(50))
    done = add_labels(START, labels, "row", 1.0).catalogue
    assert np.isnan(done.imaging_mag).all()
    assert (done.morphology == 0).all()


def test_a_label_without_magnitude_leaves_the_catalogues_own() -> None:
    labels = labels_of(TARGET, np.arange(50), mag=np.full(50, np.nan))
    assert np.array_equal(add_labels(START, labels, "row", 1.0).catalogue.mag, TARGET.mag)


def test_labels_by_id_where_the_catalogue_has_ids() -> None:
    target = TARGET.replace(object_id=np.repeat(np.arange(100), 2), ra=np.full(200, np.nan))
    labels = labels_of(TARGET, np.arange(10, 20), first_id=0)
    state = add_labels(Curated(target), labels, "id", 1.0)
    assert (state.catalogue.label >= 0).nonzero()[0].tolist() == list(range(20, 40))
    assert state.counts.labels.matched_by == "id"
    assert state.counts.labels.matched_objects == 10
    assert state.counts.labels.separation_median is None


def test_ids_of_another_space_fall_back_to_position() -> None:
    state = add_labels(START, labels_of(TARGET, np.arange(10), first_id=10**12), "id", 1.0)
    assert state.counts.labels.matched_by == "position"
    assert (state.catalogue.object_id[:10] >= 10**12).all()


def test_rows_of_one_position_share_a_label_where_position_is_their_name() -> None:
    twice = TARGET.replace(ra=np.repeat(TARGET.ra[::2], 2), dec=np.repeat(TARGET.dec[::2], 2))
    named = name_objects(Curated(twice), "position", 1.0)
    assert named.counts.repeated_positions == 100
    state = add_labels(named, labels_of(twice, np.array([6])), "position", 1.0)
    assert (state.catalogue.label >= 0).nonzero()[0].tolist() == [6, 7]
    assert state.catalogue.object_id[6] == state.catalogue.object_id[7] == 7


def test_own_labels_stay_where_the_table_has_none_and_give_way_where_it_has() -> None:
    own = TARGET.replace(label=np.full(200, 3))
    state = add_labels(Curated(own), labels_of(TARGET, np.array([0, 1, 3])), "row", 1.0)
    assert state.catalogue.label[:5].tolist() == [0, 1, 3, 3, 3]
    assert state.counts.labels.own_labels_contradicted == 2


def test_names_of_rows() -> None:
    target = TARGET.replace(object_id=np.where(np.arange(200) < 5, -1, np.arange(200)))
    named = name_objects(Curated(target), "id", 1.0)
    assert named.counts.rows_without_id == 5
    assert len(np.unique(named.catalogue.object_id)) == 200
    assert named.catalogue.object_id[7] == 7
    assert name_objects(START, "id", 1.0).counts.rows_without_id == 0


def test_two_observations_of_one_source_are_one_object_though_nothing_names_it() -> None:
    north = np.array([0.0, 0.3, 0.9]) * ARCSEC
    target = catalogue(3, key={"TILE_ID": [1, 2, 2], "NUMBER": [1, 1, 2]}, ra=np.full(3, 10.0), dec=north)
    ids = name_objects(Curated(target), "row", 1.0).catalogue.object_id
    assert ids[0] == ids[1] != ids[2]


def test_overlaps_are_merged_and_counted() -> None:
    both = catalogue(4, key={"TILE_ID": [1, 2, 1, 2], "NUMBER": [1, 1, 2, 2]}, ra=[10, 10, 11, 12], dec=np.zeros(4))
    state = merge_overlaps(Curated(both), 0.5)
    assert len(state.catalogue) == 3
    assert state.counts == Preparation(duplicates_merged=1, overlap_radius=0.5)
    assert merge_overlaps(Curated(both), 0.0).catalogue is both


def _no_match(labels: LabelTable, radius: float = 1.0) -> str:
    with pytest.raises(DatasetError) as error:
        add_labels(START, labels, "row", radius)
    return str(error.value)


def test_nothing_matches_because_the_radius_is_small() -> None:
    message = _no_match(labels_of(TARGET, np.arange(100), shift=2.5))
    assert "none of the 100 labelled objects lies within 1 arcsec" in message
    assert "Within 3 arcsec there are 100" in message
    assert "Allow more with --radius" in message
    assert "Within 10 arcsec" in _no_match(labels_of(TARGET, np.arange(100), shift=7.0), radius=3.0)


def test_nothing_matches_because_columns_are_swapped() -> None:
    labels = labels_of(TARGET, np.arange(100))
    swapped = labels_of(TARGET, np.arange(100), ra=labels.dec, dec=labels.ra)
    assert "With RA and Dec exchanged there are 100: the two columns look swapped" in _no_match(swapped)


def test_nothing_matches_because_ra_is_in_hours() -> None:
    labels = labels_of(TARGET, np.arange(100))
    hours = labels_of(TARGET, np.arange(100), ra=labels.ra / 15)
    assert "With RA taken as hours there are 100: it must be in degrees" in _no_match(hours)


def test_nothing_matches_because_it_is_another_field() -> None:
    message = _no_match(labels_of(TARGET, np.arange(100), ra=np.full(100, 20.0)))
    assert "They cover RA 20.000 to 20.000" in message
    assert "the target covers RA 150.000 to 150.550, Dec 2.000 to 2.006 (200 rows)" in message
    nowhere = labels_of(TARGET, np.arange(100), ra=np.full(100, np.nan))
    assert "They cover no position at all" in _no_match(nowhere)


def test_shifted_positions_are_told() -> None:
    state = add_labels(START, labels_of(TARGET, np.arange(100), shift=0.8), "row", 1.0)
    assert state.warnings == (
        "the median separation of matches is 0.80 arcsec of the 1 allowed: positions look shifted.",
    )


def test_imaging_brings_magnitude_and_morphology_to_any_source() -> None:
    rows = np.arange(150)
    state = add_imaging(START, imaging_of(TARGET, rows), 1.0)
    done = state.catalogue
    assert (done.imaging_mag[rows] == 21).all()
    assert (done.mag[rows] == 21).all()
    assert (done.morphology[rows] == 2).all()
    assert np.isnan(done.imaging_mag[150:]).all()
    assert np.array_equal(done.mag[150:], TARGET.mag[150:])
    assert state.counts.imaging.share == 0.75
    with pytest.raises(DatasetError, match="none of the 150 sources of the imaging table lies within 1 arcsec"):
        add_imaging(START, imaging_of(TARGET, rows, shift=9 * 3600.0), 1.0)


def test_the_labels_magnitude_cuts_where_imaging_has_one_too() -> None:
    state = add_labels(add_imaging(START, imaging_of(TARGET, np.arange(200)), 1.0), labels_of(TARGET, [3]), "row", 1.0)
    assert state.catalogue.mag[3] == 20
    assert state.catalogue.imaging_mag[3] == 21


@pytest.mark.parametrize(("known", "warned"), [(200, False), (110, True)])
def test_imaging_that_tells_labelled_from_unlabelled_is_told(known: int, warned: bool) -> None:
    labelled = add_labels(START, labels_of(TARGET, np.arange(100)), "row", 1.0)
    state = compare_imaging(add_imaging(labelled, imaging_of(TARGET, np.arange(known)), 1.0))
    assert any("100.0 % of labelled and 10.0 % of unlabelled" in warning for warning in state.warnings) == warned
    assert compare_imaging(START) is START


def test_a_wide_search() -> None:
    """A single label is enough of a hint."""
    assert "Within 60 arcsec there are 1" in _no_match(labels_of(TARGET, [0], shift=-30.0))


def test_labels_known_by_their_place_leave_the_rows_their_ids_and_share_none_with_mocks() -> None:
    rows = np.arange(0, 200, 2)
    ids = ids_from_key({"PLACE": rows})
    labels = labels_of(TARGET, rows, object_id=ids)
    start = name_objects(START, "row", 1.0)
    done = add_labels(start, labels, "row", 1.0).catalogue
    assert np.array_equal(done.object_id, start.catalogue.object_id) and (done.label[rows] == rows % 4).all()
    options = PrepareOptions()
    assert twin_finder(done, labels, options, "id", "row").target is done
    assert twin_finder(done, labels_of(TARGET, rows), options, "id", "row").target is None


def test_labels_with_and_without_ids_are_of_one_object_at_one_place() -> None:
    rows = np.arange(10)
    named = labels_of(TARGET, rows[:6])
    placed = labels_of(TARGET, rows[4:], shift=0.4, object_id=ids_from_key({"PLACE": rows[4:]}))
    table, counts = join_labels([named, placed])
    assert counts == {"repeated": 2, "contradictory": 0} and len(table) == 10
    assert (table.object_id > 0).sum() == 6
    other, counts = join_labels([placed, named])
    assert counts["repeated"] == 2 and (other.object_id > 0).sum() == 6


def test_target_rows_of_unlike_brightness_at_one_place_are_not_merged() -> None:
    place = {
        "ra": np.where(np.arange(200) < 40, 12.5, TARGET.ra),
        "dec": np.where(np.arange(200) < 40, 3.0, TARGET.dec),
    }
    key = {"TILE_ID": np.arange(200) % 2, "NUMBER": np.arange(200)}
    crowd = Curated(TARGET.replace(**place, key=key))
    assert len(merge_overlaps(crowd, 0.5).catalogue) < 200
    state = leave_placeholders(crowd)
    assert len(merge_overlaps(state, 0.5).catalogue) == 200
    assert np.isnan(state.catalogue.ra[:40]).all() and np.isfinite(state.catalogue.ra[40:]).all()
    assert "40 target rows (RA 12.5, Dec 3) are of unlike brightness at one exact place" in state.warnings[0]
    alike = crowd.catalogue.replace(flux=np.ones_like(TARGET.flux))
    assert leave_placeholders(Curated(alike)).warnings == ()

"""From catalogues in memory to a data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from survey_samples import THREE, catalogue, imaging_of, labels_of, mocks

from jpas_gbm.errors import ConfigError, DatasetError, LeakError
from jpas_gbm.options import PrepareOptions, SplitOptions
from jpas_gbm.surveys import assembly
from jpas_gbm.surveys.assembly import assemble, join_parts
from jpas_gbm.surveys.bands import Band, BandSystem
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.surveys.preparation import TwinCounts

TARGET = catalogue(400)
ROWS = np.arange(0, 400, 2)
LABELS = labels_of(TARGET, ROWS, label=ROWS // 2 % 4)
MOCKS = mocks(400)


def _assemble(source: object = MOCKS, target: Catalogue = TARGET, **more: object) -> Dataset:
    given = {"labels": LABELS, "target_identity": "row"}
    return assemble(source, target, **(given | more))  # type: ignore[arg-type]


def test_labelled_unlabelled_and_source_rows_get_their_splits() -> None:
    data = _assemble(imaging=imaging_of(TARGET, np.arange(400)))
    assert len(data.target_rows("train")) == len(data.target_rows("val")) == 60
    assert len(data.target_rows("test")) == 80
    assert len(data.target_rows("unlabelled")) == 200
    assert [len(data.source_rows(name)) for name in ("train", "val", "test")] == [280, 60, 60]
    assert len(data.twins) == 0
    assert data.audit.clean
    assert data.warnings == ()
    assert np.isfinite(data.target.imaging_mag).all()


def test_twins_of_any_object_of_the_label_catalogue_are_kept_apart() -> None:
    """Trusted and matched, trusted and unmatched, rejected: none of their mocks trains."""
    labels = labels_of(TARGET, ROWS, label=ROWS // 2 % 4, all_ids=np.array([10_150]))
    target = TARGET.take(np.arange(390))
    ids = np.repeat(np.concatenate([[1, 399, 10_150], 20_000 + np.arange(197)]), 2)
    data = _assemble(MOCKS.replace(object_id=ids), target, labels=labels)
    assert sorted(set(data.twins.object_id.tolist())) == [1, 399, 10_150]
    assert data.counts.twins == TwinCounts(6, 3, by_id=6)
    assert len(data.source) == 394
    assert not np.isin(data.source.object_id, labels.all_ids).any()


def test_mocks_that_say_isinjpas_do_not_train_either() -> None:
    data = _assemble(MOCKS.replace(extra={"ISINJPAS": np.arange(400) % 10 == 0}))
    assert data.counts.twins.says_so == 40
    assert len(data.source) == 360


def test_twins_train_only_if_the_options_say_so_and_the_audit_tells() -> None:
    twin = MOCKS.replace(object_id=np.repeat(np.arange(1, 401, 2), 2))
    with pytest.raises(
        DatasetError, match="no labelled row of the source may train: 0 have no class and 400 are twins"
    ):
        _assemble(twin)
    data = _assemble(twin, options=PrepareOptions(keep_twins=True))
    assert len(data.source) == len(data.twins) == 400
    assert data.counts.twins.kept
    assert {check.name: check.count for check in data.audit.checks if check.allowed} == {
        "source_in_target": 200,
        "source_in_labels": 200,
    }


def test_a_leak_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits by row instead of by object: the audit does not trust who made them."""
    monkeypatch.setattr(assembly, "split_objects", lambda ids, shares, seed: np.arange(len(ids)) % 3)
    with pytest.raises(LeakError, match="200 source objects in more than one split"):
        _assemble()


def test_a_target_with_labels_of_its_own_needs_no_table() -> None:
    own = TARGET.replace(object_id=np.arange(400), label=np.arange(400) % 5 - 1)
    data = assemble(MOCKS, own)
    assert len(data.target_rows("unlabelled")) == 80
    assert data.counts.labels is None


def test_several_sources_are_pooled_and_split_again() -> None:
    parts = (part for part in (mocks(200), mocks(200, seed=3), mocks(100, first_id=50_000)))
    data = _assemble(parts)
    assert len(data.source) == 500
    assert tuple(data.source.key) == ("FILE", "ROW")
    assert np.bincount(data.source.key["FILE"]).tolist() == [200, 200, 100]
    same = data.source.object_id == 10_007
    assert same.sum() == 4
    assert len(set(data.source_split[same])) == 1


def test_objects_on_both_sides_are_found_by_position_where_ids_are_not_shared() -> None:
    target = catalogue(200, label=np.arange(200) % 4)
    far = catalogue(300, label=np.arange(300) % 4, key={"TILE_ID": np.full(300, 9), "NUMBER": np.arange(300)}, seed=4)
    source = far.replace(dec=far.dec + np.where(np.arange(300) < 20, 0.0001, 1.0))
    data = assemble(source, target, source_identity="position", target_identity="position")
    assert data.counts.twins.by_position == len(data.twins) == 20
    assert len(data.source) == 280
    assert np.isin(data.twins.object_id, target.object_id).sum() == 0
    assert np.isin(data.twins.object_id, data.target.object_id).all()
    assert "source_at_target" in [check.name for check in data.audit.checks]


def test_row_numbers_of_two_surveys_are_not_one_object() -> None:
    target = catalogue(200, label=np.arange(200) % 4, key={"ROW": np.arange(200)})
    source = mocks(200, ra=np.full(200, np.nan))
    data = assemble(source, target, source_identity="row", target_identity="row")
    assert len(data.twins) == 0
    assert len(np.unique(data.source.object_id)) == 200


def test_source_ids_that_the_target_does_not_share_still_group_its_splits() -> None:
    target = catalogue(200, label=np.arange(200) % 4)
    data = assemble(mocks(200), target, source_identity="id", target_identity="row")
    assert len(np.unique(data.source.object_id)) == 100
    assert data.counts.twins.by_position is not None


def test_unlabelled_source_rows_are_left_out_and_counted() -> None:
    data = _assemble(MOCKS.replace(label=np.where(np.arange(400) < 10, -1, MOCKS.label)))
    assert len(data.source) == 390
    assert data.counts.source_unlabelled == 10


def test_no_target_label_is_a_warning() -> None:
    data = assemble(MOCKS, TARGET, target_identity="row")
    assert (data.target_split == -1).all()
    assert data.warnings == (
        "no target row has a label: only mocks-only and uda can be fitted, and no score on the sky made.",
    )


def test_an_absent_class_is_named() -> None:
    data = _assemble(labels=labels_of(TARGET, ROWS, label=2 + ROWS // 2 % 2))
    assert (
        "no labelled target row is QSO_high or QSO_low: nothing can be learnt or measured of it there." in data.warnings
    )


def test_a_band_without_a_flux_on_one_side_is_named() -> None:
    """Mocks without a band, or a sky that never shows one, were taken without a word."""
    flux = np.array(MOCKS.flux)
    flux[:, 1] = np.nan
    name = MOCKS.bands.names[1]
    told = f"no source row has a flux in {name}: what the other side shows there cannot be carried over."
    assert [one for one in _assemble(MOCKS.replace(flux=flux)).warnings if one.startswith(told)]
    sky = np.array(TARGET.flux)
    sky[:, [0, 1]] = np.nan
    both = ", ".join(MOCKS.bands.names[:2])
    warnings = _assemble(target=TARGET.replace(flux=sky)).warnings
    assert any(one.startswith(f"no target row has a flux in {both}:") for one in warnings)


def test_a_band_that_only_labelled_rows_have_is_named() -> None:
    """What the fit adapts to never shows it."""
    sky, name = np.array(TARGET.flux), TARGET.bands.names[1]
    sky[1::2, 1] = np.nan
    told = [one for one in _assemble(target=TARGET.replace(flux=sky)).warnings if "has a flux in" in one]
    assert len(told) == 1 and told[0].startswith(f"no unlabelled target row has a flux in {name}: labelled ones have")
    assert not [one for one in _assemble().warnings if "has a flux in" in one]


def test_imaging_without_any_magnitude_is_named() -> None:
    imaging = imaging_of(TARGET, np.arange(400))
    blind = replace(imaging, mag=np.full(400, np.nan))
    told = "none of 400 matched sources has a magnitude in the imaging table: only what else it says is known."
    assert any(one.startswith(told) for one in _assemble(imaging=blind).warnings)


def test_rows_that_copy_another_are_named() -> None:
    """An unlabelled row that is a labelled one under another key stood among the unlabelled as a source of its own."""
    flux = np.array(TARGET.flux)
    flux[1] = flux[0]
    data = _assemble(target=TARGET.replace(flux=flux))
    assert [one for one in data.warnings if one.startswith("2 target rows (") and "those of another row bit for" in one]
    assert len(data.target) == len(TARGET)


def test_a_split_with_few_of_a_class_is_named() -> None:
    label = np.where(np.arange(200) < 6, 0, 1 + np.arange(200) % 3)
    warnings = _assemble(labels=labels_of(TARGET, ROWS, label=label)).warnings
    assert any("split of the target has " in warning and "QSO_high" in warning for warning in warnings)


def test_labels_of_one_class_alone_are_of_no_use() -> None:
    with pytest.raises(DatasetError, match="the labelled target rows are all STAR: two classes or more are needed"):
        _assemble(labels=labels_of(TARGET, ROWS, label=np.full(200, 3)))
    with pytest.raises(DatasetError, match="the labelled source rows are all of no known class"):
        _assemble(MOCKS.replace(label=np.full(400, 9)))


def test_too_few_labels_for_the_shares() -> None:
    with pytest.raises(DatasetError, match="the train split of the target is empty: 2 labelled rows are too few"):
        _assemble(
            labels=labels_of(TARGET, np.array([0, 1])),
            options=PrepareOptions(splits=SplitOptions(target=(0.1, 0.1, 0.8))),
        )
    data = _assemble(options=PrepareOptions(splits=SplitOptions(target=(0.5, 0.5, 0.0))))
    assert len(data.target_rows("test")) == 0


def test_wrong_shares_are_told_before_anything_is_done() -> None:
    with pytest.raises(ConfigError, match="three numbers from 0 to 1 that sum to 1"):
        _assemble(options=PrepareOptions(splits=SplitOptions(source=(0.9, 0.9, 0.9))))


def test_source_and_target_of_different_bands() -> None:
    other = BandSystem("other", (Band("a", 4000.0, 100.0), Band("z", 9000.0, 100.0)))
    with pytest.raises(
        DatasetError,
        match=r"the source 'mocks' \(other\) lacks 2 of the 3 bands of the target 'tests' \(three\): b, c\. Give",
    ):
        _assemble(mocks(100, bands=other))
    many = BandSystem("many", tuple(Band(f"b{i}", 4000.0 + i, 1.0) for i in range(12)))
    with pytest.raises(DatasetError, match=r"lacks 12 of the 12 bands .* b7, \.\.\."):
        assemble(MOCKS, catalogue(10, bands=many))


def test_bands_are_matched_by_name_and_not_by_place() -> None:
    turned = BandSystem("turned", tuple(reversed(THREE.bands)))
    data = _assemble(MOCKS.select_bands(turned))
    assert data.source.bands.names == ("a", "b", "c")
    assert np.array_equal(np.sort(data.source.flux, axis=0), np.sort(MOCKS.flux, axis=0))


def test_empty_tables() -> None:
    nothing = slice(0, 0)
    with pytest.raises(DatasetError, match="the target 'tests' has no rows"):
        _assemble(target=TARGET.take(nothing))
    with pytest.raises(DatasetError, match="no labelled row of the source may train"):
        _assemble(MOCKS.take(nothing))
    with pytest.raises(DatasetError, match="the label table has no row whose label is trusted"):
        _assemble(labels=LABELS.take(np.array([], dtype=int)))
    with pytest.raises(DatasetError, match="no source catalogue was given"):
        _assemble(iter(()))


def test_rows_that_two_files_share_are_taken_once() -> None:
    first, second = TARGET.take(slice(0, 60)), TARGET.take(slice(40, 100))
    joined, repeated = join_parts([first, second, TARGET.take(slice(100, 110))])
    assert (len(joined), repeated) == (110, 20)
    assert joined.key["NUMBER"].tolist() == list(range(110))


def test_files_with_keys_of_different_names_are_numbered() -> None:
    other = TARGET.take(slice(0, 5)).replace(key={"plate": np.arange(5), "fiber": np.arange(5)})
    joined, repeated = join_parts([TARGET, other])
    assert (len(joined), repeated) == (405, 0)
    assert tuple(joined.key) == ("ROW",)

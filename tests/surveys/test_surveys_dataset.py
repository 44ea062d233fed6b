"""A data set in memory, as a folder, and as training sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from survey_samples import catalogue, imaging_of, labels_of, mocks

from jpas_gbm.errors import BundleError, ConfigError, DatasetError, LeakError, OutputError
from jpas_gbm.surveys.assembly import assemble
from jpas_gbm.surveys.audit import LeakAudit, LeakCheck
from jpas_gbm.surveys.bands import BandSystem
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import FORM, Dataset
from jpas_gbm.surveys.preparation import LabelMatch, Preparation, TwinCounts
from jpas_gbm.surveys.quality import QualityReport
from jpas_gbm.surveys.scheme import LabelScheme

TARGET = catalogue(400).replace(extra={"SUBCLASS": np.arange(400)})
ROWS = np.arange(0, 400, 2)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """A data set with twins of every labelled object."""
    ids = np.concatenate([np.repeat(10_000 + np.arange(100), 2), 1 + ROWS])
    return assemble(
        mocks(400).replace(object_id=ids),
        TARGET,
        labels=labels_of(TARGET, ROWS, label=ROWS // 2 % 4),
        imaging=imaging_of(TARGET, np.arange(400)),
        target_identity="row",
        quality=QualityReport.of("a.fits", 400),
        provenance={"seed": 137},
        warnings=("mind the gap",),
    )


@pytest.fixture
def folder(data: Dataset, tmp_path: Path) -> Path:
    data.save(tmp_path / "data")
    return tmp_path / "data"


def _changed(value: object) -> object:
    """Return another value that a field of a catalogue may have instead."""
    if isinstance(value, str):
        return value + "2"
    if isinstance(value, BandSystem):
        return BandSystem(value.name, tuple(replace(band, width=band.width + 1) for band in value))
    if isinstance(value, Mapping):
        return {name: column + (row == 0) for row, (name, column) in enumerate(value.items())}
    assert isinstance(value, np.ndarray)
    changed = np.array(value)
    if changed.ndim == 2:
        changed[3, 1] = 7.5 if np.isnan(changed[3, 1]) else changed[3, 1] * 1.001
    else:
        changed[3] = 1 if changed[3] != changed[3] or changed[3] == 0 else 0
    return changed


@pytest.mark.parametrize("part", ["source", "target", "twins"])
@pytest.mark.parametrize("name", [one.name for one in fields(Catalogue)])
def test_the_fingerprint_changes_with_each_field_of_each_catalogue(data: Dataset, part: str, name: str) -> None:
    full = getattr(data, part)
    full = full.replace(
        extra={"TILE_ID": np.arange(len(full)), "NAME": np.full(len(full), "a")},
        flux_mean=full.flux if full.flux_mean is None else full.flux_mean,
    )
    # The data set itself would refuse some of these changes (a label without a split, say).
    before, after = copy(data), copy(data)
    object.__setattr__(before, part, full)
    value = getattr(full, name)
    if name == "extra":
        changes = [{**value, "TILE_ID": value["TILE_ID"][::-1]}, {**value, "NAME": np.full(len(full), "b")}, {}]
    else:
        changes = [_changed(value)]
    for change in changes:
        object.__setattr__(after, part, full.replace(**{name: change}))
        assert after.fingerprint() != before.fingerprint()
    object.__setattr__(after, part, full.replace(**{name: value}))
    assert after.fingerprint() == before.fingerprint()


def test_the_fingerprint_changes_with_splits_and_classes_and_not_with_the_way_of_storing(
    data: Dataset, folder: Path
) -> None:
    assert Dataset.load(folder).fingerprint() == data.fingerprint()
    turned = replace(data, source_split=data.source_split[::-1])
    cut = replace(data, scheme=LabelScheme(z_cut=2.2))
    assert len({data.fingerprint(), turned.fingerprint(), cut.fingerprint(), data.for_training().fingerprint()}) == 4
    split = data.target_split.copy()
    train = np.flatnonzero(split == 0)[0]
    split[train] = 1
    assert replace(data, target_split=split).fingerprint() != data.fingerprint()


def test_rows_of_splits(data: Dataset) -> None:
    assert data.target_rows() is data.target
    assert data.source_rows("train", "val", "test") is data.source
    assert len(data.target_rows("train", "unlabelled")) == 260
    assert (data.target_rows("unlabelled").label == -1).all()
    with pytest.raises(ConfigError, match=r"no split 'validation'.*Allowed: train, val, test, unlabelled"):
        data.target_rows("validation")
    with pytest.raises(ConfigError, match="no split 'unlabelled'"):
        data.source_rows("unlabelled")
    assert (data.split_names, repr(data)) == (
        ("train", "val", "test"),
        "Dataset(200 source rows, 400 target rows of which 200 labelled, 200 twins)",
    )


def test_no_test_label_can_be_read_from_what_training_gets(data: Dataset) -> None:
    view = data.for_training()
    test = view.target_rows("test")
    assert len(test) == 80
    assert (test.label == -1).all()
    assert np.isnan(test.z).all()
    assert np.array_equal(test.flux, data.target_rows("test").flux)
    assert view.target.extra == {}
    assert not np.isin(view.twins.object_id, test.object_id).any()
    assert len(view.twins) == 120
    for split in ("train", "val", "unlabelled"):
        assert np.array_equal(view.target_rows(split).label, data.target_rows(split).label)
    assert np.shares_memory(view.target.flux, data.target.flux)
    assert view.for_training() is view
    assert "test labels masked" in repr(view)
    assert view.summary().target.splits["test"] == dict.fromkeys(data.scheme.classes, 0)


def test_training_gets_the_same_whatever_the_test_labels_are(data: Dataset) -> None:
    from dataclasses import replace

    test = data.target_split == 2
    label = np.where(test, (data.target.label + 1) % 4, data.target.label)
    other = replace(data, target=data.target.replace(label=label, z=np.where(test, 9.0, data.target.z)))
    one, two = data.for_training(), other.for_training()
    for name in ("label", "z", "object_id", "mag"):
        assert np.array_equal(getattr(one.target, name), getattr(two.target, name), equal_nan=True)


def test_a_masked_view_is_not_saved(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="test labels masked; save the one it was made from"):
        data.for_training().save(tmp_path / "view")
    assert not (tmp_path / "view").exists()


def test_a_folder_gives_back_the_same(data: Dataset, folder: Path) -> None:
    again = Dataset.load(folder)
    for part in ("source", "target", "twins"):
        one, two = getattr(data, part), getattr(again, part)
        for name in ("flux", "flux_err", "object_id", "label", "z", "mag", "imaging_mag", "morphology"):
            assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True), (part, name)
        assert set(one.extra) == set(two.extra)
    assert np.array_equal(again.target_split, data.target_split)
    assert np.array_equal(again.source_split, data.source_split)
    assert again.scheme == data.scheme
    assert again.audit == data.audit
    assert again.warnings == data.warnings
    assert again.warnings[0] == "mind the gap"
    assert again.quality == data.quality
    assert again.summary() == data.summary()
    assert again.lines() == data.lines()
    assert again.provenance == {"seed": 137}


def test_a_folder_is_readable_by_others(folder: Path) -> None:
    """Splits stand beside the rows, and the manifest says what is there."""
    assert pq.read_table(folder / "target.parquet")["extra:split"].to_numpy().max() == 2
    manifest = json.loads((folder / "dataset.json").read_text())
    assert manifest["format"] == FORM.format
    assert manifest["summary"]["target"]["labelled"] == 200
    assert set(manifest["files"]) == {"source.parquet", "target.parquet", "twins.parquet"}


def test_an_existing_folder_stays_unless_it_may_go(data: Dataset, folder: Path) -> None:
    with pytest.raises(OutputError, match="already exists.*--overwrite"):
        data.save(folder)
    data.save(folder, overwrite=True)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["data"]


def test_a_changed_file_is_refused(folder: Path) -> None:
    with open(folder / "target.parquet", "r+b") as stream:
        stream.seek(100)
        stream.write(b"\0\0\0\0")
    with pytest.raises(BundleError, match=r"target\.parquet does not match its checksum"):
        Dataset.load(folder)


def test_missing_parts_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no such data set folder. 'jpas-gbm prepare --out' makes one"):
        Dataset.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"is no data set folder \(it has no dataset\.json\)"):
        Dataset.load(tmp_path)
    (folder / "twins.parquet").unlink()
    with pytest.raises(BundleError, match=r"twins\.parquet: is missing"):
        Dataset.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "is a data set of format 99, this version reads 1 and 2"),
        ({"scheme": None}, "is damaged (scheme: "),
        ({"files": {}}, "its head does not list source.parquet"),
    ],
)
def test_another_version_is_refused(folder: Path, reseal: Callable[..., None], change: dict, message: str) -> None:
    reseal(folder / "dataset.json", **change)
    with pytest.raises(BundleError, match=re.escape(message)):
        Dataset.load(folder)


def test_a_data_set_of_format_1_is_read(tmp_path: Path) -> None:
    old = Dataset.load(Path(__file__).parent / "format1_dataset")
    assert repr(old) == "Dataset(100 source rows, 80 target rows of which 60 labelled, 60 twins)"
    assert float(np.nansum(old.target.flux, dtype=np.float64)) == pytest.approx(397685137.7286892, rel=1e-12)
    old.save(tmp_path / "new")
    new = Dataset.load(tmp_path / "new")
    assert new.summary() == old.summary() and new.audit == old.audit and new.scheme == old.scheme
    np.testing.assert_array_equal(new.target.flux, old.target.flux)


def test_a_file_without_splits_is_named(data: Dataset, folder: Path, reseal: Callable[..., None]) -> None:
    data.source.write(folder / "source.parquet", overwrite=True)
    reseal(folder / "dataset.json", again=[folder / "source.parquet"])
    with pytest.raises(BundleError, match=r"source\.parquet: has no column of splits"):
        Dataset.load(folder)


def test_a_leak_made_by_hand_is_found_on_loading(data: Dataset, folder: Path, reseal: Callable[..., None]) -> None:
    """Twins put back into the source, checksums and all."""
    leaking = data.twins.replace(extra={"split": np.zeros(len(data.twins), dtype=np.int8)})
    leaking.write(folder / "source.parquet", overwrite=True)
    reseal(folder / "dataset.json", again=[folder / "source.parquet"])
    with pytest.raises(LeakError, match="200 source objects that are target objects"):
        Dataset.load(folder)


def _dataset(data: Dataset, **changes: object) -> Dataset:
    names = ("source", "source_split", "target", "target_split", "twins")
    return Dataset(**({name: getattr(data, name) for name in names} | changes))  # type: ignore[arg-type]


def test_invariants(data: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"the source has 200 rows, its splits \(3,\)"):
        _dataset(data, source_split=np.zeros(3))
    with pytest.raises(DatasetError, match="splits of the target must be -1"):
        _dataset(data, target_split=np.full(400, 3))
    with pytest.raises(DatasetError, match="the source has label 9, there are 4 classes"):
        _dataset(data, source=data.source.replace(label=np.full(200, 9)))
    with pytest.raises(DatasetError, match="labelled target rows, and no others, must have a split"):
        _dataset(data, target_split=np.full(400, -1))
    two = data.source.bands.subset(["a", "b"], "two")
    with pytest.raises(DatasetError, match="source 'two' and target 'three' have different bands"):
        _dataset(data, source=data.source.select_bands(two))
    with pytest.raises(LeakError, match="1 source objects"):
        _dataset(data, audit=LeakAudit((LeakCheck("x", "source objects", 1, False, (5,)),)))
    with pytest.raises(ValueError, match="read-only"):
        data.target_split[0] = 1


def test_a_data_set_may_have_no_source(data: Dataset) -> None:
    none = _dataset(data, source=data.source.take(slice(0, 0)), source_split=np.zeros(0))
    assert none.summary().source.bands_missing is None
    assert none.lines()


def test_the_summary_says_what_a_person_asks(data: Dataset) -> None:
    summary = data.summary()
    assert summary.target.splits["train"] == data.scheme.counts(data.target_rows("train").label)
    assert sum(summary.target.classes.values()) == 200
    assert summary.twins == TwinCounts(200, 200)
    text = "\n".join(data.lines())
    assert "Target: tests, 400 sources, 200 labelled, 3 bands of three (0.0 % missing)" in text
    assert "labels: 200 trusted objects, 200 found by position, 0 not in the catalogue, median separation 0.1" in text
    assert "imaging: known for 100.0 % of the sources, median separation 0.050 arcsec" in text
    assert "200 rows of 200 objects are twins of target objects: left out of training" in text
    assert "Leak audit: clean" in text
    assert "\nWarning: mind the gap" in text
    json.dumps(summary.to_dict())
    assert data._repr_html_().count("<tr>") == 9


def test_the_summary_tells_objects_seen_twice_and_labels_found_by_id(data: Dataset) -> None:
    counts = Preparation(
        duplicates_merged=12,
        overlap_radius=0.5,
        repeated_positions=7,
        labels=LabelMatch(9, "id", 8, 8, 1, 0),
        twins=TwinCounts(4, 2, kept=True),
    )
    text = replace(data, counts=counts).lines()
    assert "  12 sources seen by two tiles within 0.5 arcsec merged" in text
    assert "  7 rows repeat the position of another: one object" in text
    assert "  labels: 9 trusted objects, 8 found by id, 1 not in the catalogue" in text
    assert "  4 rows of 2 objects are twins of target objects: train all the same, as the options ask" in text

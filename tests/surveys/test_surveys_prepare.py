"""From files to a data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from survey_samples import ARCSEC, write_sdss

from jpas_gbm.errors import CatalogueError, ConfigError, DatasetError, OutputError
from jpas_gbm.options import PrepareOptions
from jpas_gbm.store import sha256
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.catalogue import Catalogue
from jpas_gbm.surveys.dataset import Dataset
from jpas_gbm.surveys.prepare import prepare

BANDS = band_system("jpas57")
N = 240


def write_jpas(path: Path, n: int = N, tile: int = 2241, first: int = 0, overlap: int = 0) -> Path:
    """An extract of the archive, with `overlap` rows of it seen again by the next tile."""
    rng = np.random.default_rng(5)
    flux = rng.uniform(1, 9, (n, len(BANDS))).astype(np.float32)
    table = Table(
        {
            "TILE_ID": np.full(n, tile, dtype=np.int32),
            "NUMBER": np.arange(first, first + n, dtype=np.int32),
            "ALPHA_J2000": 150.0 + 20 * ARCSEC * np.arange(first, first + n),
            "DELTA_J2000": np.full(n, 2.0),
            "FLUX_APER_COR_3_0": flux,
            "FLUX_RELERR_APER_COR_3_0": np.full_like(flux, 0.1),
        },
        meta={f"BAND{i}": name for i, name in enumerate(BANDS.names)},
    )
    if overlap:
        again = table[:overlap].copy()
        again["TILE_ID"] = tile + 1
        again["DELTA_J2000"] += 0.2 * ARCSEC
        again["FLUX_APER_COR_3_0"][:, :10] = np.nan
        from astropy.table import vstack

        table = vstack([table, again], metadata_conflicts="silent")
    table.write(path, overwrite=True)
    return path


def write_zcat(path: Path, rows: np.ndarray, **changes: object) -> Path:
    """A redshift catalogue of some sources of :func:`write_jpas`."""
    n = len(rows)
    columns = {
        "TARGETID": 39633000000000000 + rows.astype(np.int64),
        "TARGET_RA": 150.0 + 20 * ARCSEC * rows,
        "TARGET_DEC": np.full(n, 2.0 + 0.1 * ARCSEC),
        "Z": np.where(rows % 4 == 0, 2.5, 1.0),
        "ZWARN": np.zeros(n, dtype=np.int64),
        "SPECTYPE": np.array(["QSO", "QSO", "GALAXY", "STAR"])[rows % 4],
        "OBJTYPE": np.full(n, "TGT"),
        "ZCAT_PRIMARY": np.ones(n, dtype=bool),
        "COADD_FIBERSTATUS": np.zeros(n, dtype=np.int32),
        "MORPHTYPE": np.full(n, "PSF"),
        "FLUX_R": np.full(n, 10.0, dtype=np.float32),
    }
    Table(columns | changes).write(path, overwrite=True)
    return path


def write_mocks(folder: Path, name: str = "train", n: int = 240, first_id: int = 39700000000000000) -> Path:
    """The paper's pair of files, two realisations of each object."""
    rng = np.random.default_rng(6)
    mean = rng.uniform(1, 9, (n, len(BANDS)))
    np.save(folder / f"Mock_{name}_FLUX+NOISE.npy", np.stack([mean, mean, np.full_like(mean, 0.1)], 2).astype("f4"))
    kind = np.arange(n) // 2 % 4
    columns = {
        "TARGETID": first_id + np.arange(n) // 2,
        "RA": np.zeros(n),
        "DEC": np.zeros(n),
        "DESI_FLUX_R": np.full(n, 5.0),
        "MORPHTYPE": np.full(n, "REX"),
        "SPECTYPE": np.array(["QSO", "QSO", "GALAXY", "STAR"])[kind],
        "REDSHIFT": np.where(kind == 0, 2.5, 1.0),
        "ISINJPAS": np.zeros(n, dtype=int),
    }
    pd.DataFrame(columns).to_csv(folder / f"Mock_{name}_PROPS.csv", index=False)
    return folder / f"Mock_{name}_FLUX+NOISE.npy"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    n = np.arange(N)
    legacy = {"BRICKID": n, "OBJID": n, "RA": 150.0 + 20 * ARCSEC * n, "DEC": np.full(N, 2.0)}
    Table(legacy | {"TYPE": np.full(N, "DEV"), "FLUX_R": np.full(N, 4.0)}).write(folder / "tractor.fits")
    return {
        "target": write_jpas(folder / "jpas.fits", overlap=12),
        "labels": write_zcat(folder / "zcat.fits", np.arange(0, N, 2) + np.arange(0, N, 2) // 2 % 2),
        "legacy": folder / "tractor.fits",
        "source": write_mocks(folder),
        "more": write_mocks(folder, "valid", 80, 39800000000000000),
    }


def test_files_of_the_archives_become_a_data_set(files: dict[str, Path]) -> None:
    seen: list[tuple[str, int, int]] = []
    data = prepare(
        [files["source"], files["more"]],
        files["target"],
        files["labels"],
        files["legacy"],
        progress=lambda *step: seen.append(step),
    )
    assert len(data.target) == N
    assert data.counts.duplicates_merged == 12
    assert (data.target.label >= 0).sum() == N / 2
    assert len(data.source) == 320
    assert data.target.bands.name == "jpas55"
    assert data.target.imaging_mag == pytest.approx(22.5 - 2.5 * np.log10(4.0))
    assert data.target_rows("test").mag == pytest.approx(20.0)
    assert seen[:2] == [("read target: jpas.fits", 0, 1), ("read target: jpas.fits", 1, 1)]
    assert seen[-1] == ("split and audited", 1, 1)
    assert {stage for stage, done, _ in seen if done == 0} <= {stage for stage, done, _ in seen if done == 1}
    assert data.provenance["seed"] == 137
    assert set(data.provenance["inputs"]) >= {"jpas.fits", "zcat.fits", "Mock_train_PROPS.csv"}
    assert data.provenance["surveys"]["target"] == ["jpas_idr202406"]
    assert "jpas.fits" in data.quality.files
    json.dumps(data.summary().to_dict())


def test_tables_of_one_file_are_named_by_role(files: dict[str, Path], tmp_path: Path) -> None:
    roles = ("target", "labels", "legacy")
    tables = [fits.BinTableHDU(Table.read(files[role], character_as_bytes=False), name=role) for role in roles]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(tmp_path / "all.fits")
    data = prepare(files["source"], **{role: f"{tmp_path}/all.fits[{role}]" for role in roles})
    assert (data.target.label >= 0).sum() == N / 2 and np.isfinite(data.target.imaging_mag).all()
    assert set(data.provenance["inputs"]) >= {f"all.fits[{role}]" for role in roles}
    assert data.provenance["files"]["labels"] == ["all.fits[labels]"]


def test_files_of_one_name_and_tables_of_one_file_are_all_told(files: dict[str, Path], tmp_path: Path) -> None:
    for folder, rows in (("a/z", np.arange(40)), ("b/z", np.arange(40, 80))):
        (tmp_path / folder).mkdir(parents=True)
        write_zcat(tmp_path / folder / "zcat.fits", rows)
    halves = [fits.BinTableHDU(Table.read(files["legacy"]), name="N"), fits.BinTableHDU(Table.read(files["legacy"]))]
    fits.HDUList([fits.PrimaryHDU(), *halves]).writeto(tmp_path / "all.fits")
    labels = [tmp_path / "a/z/zcat.fits", tmp_path / "b/z/zcat.fits"]
    data = prepare(files["source"], files["target"], labels, [f"{tmp_path}/all.fits[{one}]" for one in ("N", 2)])
    told = data.provenance["inputs"]
    assert set(told) >= {"jpas.fits", "a/z/zcat.fits", "b/z/zcat.fits", "all.fits[N]", "all.fits[2]"}
    assert told["a/z/zcat.fits"] == sha256(labels[0]) != told["b/z/zcat.fits"] == sha256(labels[1])
    assert told["all.fits[N]"] == told["all.fits[2]"] == sha256(tmp_path / "all.fits")
    data.save(tmp_path / "data")
    assert Dataset.load(tmp_path / "data").provenance["inputs"] == told


def test_options_may_be_given_by_name(files: dict[str, Path]) -> None:
    given = {"source": files["source"], "target": files["target"], "labels": files["labels"]}
    data = prepare(**given, config={"splits": {"seed": 7}})
    assert data.provenance["seed"] == 7
    with pytest.raises(ConfigError, match=r"config: .*splitz"):
        prepare(**given, config={"splitz": {"seed": 7}})


def test_trap_ids_survive_to_the_last_digit(files: dict[str, Path], tmp_path: Path) -> None:
    data = prepare(files["source"], files["target"], files["labels"])
    data.save(tmp_path / "data")
    ids = Dataset.load(tmp_path / "data").target_rows("train", "val", "test").object_id
    rows = np.arange(0, N, 2) + np.arange(0, N, 2) // 2 % 2
    assert sorted(ids.tolist()) == (39633000000000000 + rows).tolist()


def test_without_imaging_no_feature_may_see_the_zcatalogues(files: dict[str, Path]) -> None:
    data = prepare(files["source"], files["target"], files["labels"])
    assert np.isnan(data.target.imaging_mag).all()
    assert (data.target.morphology == 0).all()
    assert data.target_rows("train").mag == pytest.approx(20.0)
    assert np.isnan(data.target_rows("unlabelled").mag).all()


def test_imaging_that_only_the_source_has_is_told(files: dict[str, Path]) -> None:
    forgotten = prepare(files["source"], files["target"], files["labels"])
    (warning,) = [warning for warning in forgotten.warnings if "--legacy" in warning]
    assert f"none of the {N:,} target rows has magnitude or morphology" in warning
    given = prepare(files["source"], files["target"], files["labels"], files["legacy"])
    assert not any("--legacy" in warning for warning in given.warnings)


def test_rows_at_a_placeholder_are_told_and_neither_merged_nor_labelled(files: dict[str, Path], tmp_path: Path) -> None:
    """Rows 100 to 139 at RA = Dec = 0 in two tiles, and five labels there."""
    target, labels = Table.read(files["target"]), Table.read(files["labels"])
    target["ALPHA_J2000"][100:140] = target["DELTA_J2000"][100:140] = 0
    target["TILE_ID"][120:140] = 2250
    labels["TARGET_RA"][:5] = labels["TARGET_DEC"][:5] = 0
    target.write(tmp_path / "zero.fits")
    labels.write(tmp_path / "zcat.fits")
    data = prepare(files["source"], tmp_path / "zero.fits", tmp_path / "zcat.fits")
    nowhere = np.isnan(data.target.ra)
    assert nowhere.sum() == 40 and (data.target.label[nowhere] == -1).all() and len(data.target) == N
    said = " ".join(data.warnings)
    assert "zero.fits: 40 rows are at a placeholder" in said and "zcat.fits: 5 rows are at a placeholder" in said
    assert "Mock_train" not in said  # mocks are known by their ids
    tabled = prepare(files["source"], tmp_path / "zero.fits", f"{tmp_path}/zcat.fits[1]")
    assert "zcat.fits: 5 rows are at a placeholder" in " ".join(tabled.warnings)
    assert any("FLAGS is not there, so not checked" in warning for warning in data.warnings)


def test_labels_without_ids_find_twins_by_position_alone(files: dict[str, Path], tmp_path: Path) -> None:
    labels = Table.read(files["labels"])
    del labels["TARGETID"]
    labels.write(tmp_path / "placed.fits")
    data = prepare(files["source"], files["target"], tmp_path / "placed.fits")
    assert (data.target.label >= 0).sum() == N / 2 and (data.target.object_id < 0).all()
    assert any("the labels have no ids" in warning for warning in data.warnings)


def test_several_files_of_each_kind_are_joined(files: dict[str, Path], tmp_path: Path) -> None:
    targets = [write_jpas(tmp_path / "a.fits", 160), write_jpas(tmp_path / "b.fits", 120, first=120)]
    rows = np.arange(100)
    labels = [write_zcat(tmp_path / "za.fits", rows), write_zcat(tmp_path / "zb.fits", rows + 60)]
    data = prepare(files["source"], targets, labels, [files["legacy"]])
    assert len(data.target) == 240
    assert data.counts.target_repeated_rows == 40
    assert (data.target.label >= 0).sum() == 160
    assert (data.counts.label_files.repeated, data.counts.label_files.contradictory) == (40, 0)
    assert data.counts.label_files.rows == 200
    Table.read(labels[1]).to_pandas().rename(columns={"Z": "redshift"}).to_csv(tmp_path / "zb.csv", index=False)
    with pytest.raises(CatalogueError, match=r"zb.csv: has no column 'Z' for z"):
        prepare(files["source"], targets, [labels[0], tmp_path / "zb.csv"], columns={"labels": {"z": "Z"}})


def test_label_tables_that_disagree_on_each_object_are_told_so(files: dict[str, Path], tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("za.fits", "zb.fits")]
    for name, (of, z) in zip(names, (("STAR", 0.0), ("GALAXY", 0.5)), strict=True):
        write_zcat(Path(name), np.arange(100), SPECTYPE=np.full(100, of), Z=np.full(100, z))
    with pytest.raises(DatasetError, match="100 objects are left out since tables disagree on their class"):
        prepare(files["source"], files["target"], names)


def test_wildcards_that_no_shell_spelt_out_stand_for_their_files(files: dict[str, Path]) -> None:
    sources = sorted(files["source"].parent.glob("Mock_*.npy"))
    plain = prepare(source=sources, target=files["target"], labels=files["labels"])
    spelt = {"source": sources[0].with_name("Mock_*.npy"), "labels": files["labels"].with_suffix(".f?ts")}
    made = prepare(target=files["target"], **spelt)
    assert made.fingerprint() == plain.fingerprint()
    assert made.provenance["inputs"] == plain.provenance["inputs"]
    # Each array finds its table of properties, also where a wildcard or a folder names both.
    mocks = files["source"].parent / "mocks"
    mocks.mkdir()
    for one in files["source"].parent.glob("Mock_*"):
        (mocks / one.name).write_bytes(one.read_bytes())
    for name in (mocks, mocks / "*"):
        made = prepare(source=name, target=files["target"], labels=files["labels"])
        assert made.fingerprint() == plain.fingerprint()


def test_rejected_labels_are_told_by_rule_and_their_mocks_do_not_train(files: dict[str, Path], tmp_path: Path) -> None:
    rows = np.arange(120)
    zwarn = np.where(rows < 7, 4, 0)
    ids = np.where(rows < 3, 39700000000000000 + rows, 39633000000000000 + rows)
    labels = write_zcat(tmp_path / "z.fits", rows, ZWARN=zwarn, TARGETID=ids)
    data = prepare(files["source"], files["target"], labels)
    assert data.counts.label_files.rejected == {"redshift with a warning (ZWARN is not 0)": 7}
    assert "    7 rows rejected: redshift with a warning (ZWARN is not 0)" in data.lines()
    assert set(data.twins.object_id) == {39700000000000000, 39700000000000001, 39700000000000002}
    assert (data.target.label >= 0).sum() == 113


def test_trap_targetid_as_float_stops_the_run(files: dict[str, Path], tmp_path: Path) -> None:
    rows = np.arange(120)
    labels = write_zcat(tmp_path / "z.fits", rows, TARGETID=39633000000000000.0 + rows)
    with pytest.raises(CatalogueError, match=r"TARGETID.*float"):
        prepare(files["source"], files["target"], labels)


def test_labels_with_swapped_columns(files: dict[str, Path], tmp_path: Path) -> None:
    rows = np.arange(60)
    swapped = {"TARGET_RA": np.full(60, 2.0), "TARGET_DEC": 150.0 + 20 * ARCSEC * rows}
    labels = write_zcat(tmp_path / "z.fits", rows, **swapped)
    with pytest.raises((DatasetError, CatalogueError), match=r"(?i)swapped|exchanged|Dec"):
        prepare(files["source"], files["target"], labels)


def test_source_and_target_of_different_surveys(files: dict[str, Path], tmp_path: Path) -> None:
    sdss = write_sdss(tmp_path / "sdss.csv", 40)
    with pytest.raises(DatasetError, match=r"source 'sdss_ugriz' .* lacks 55 of the 55 bands of the target"):
        prepare(sdss, files["target"], files["labels"])


def test_tables_in_memory_make_the_same_data_set(files: dict[str, Path]) -> None:
    tables = {name: Table.read(files[name], character_as_bytes=False) for name in ("target", "labels", "legacy")}
    made = prepare(files["source"], tables["target"], [tables["labels"]], tables["legacy"].to_pandas())
    known = prepare(files["source"], files["target"], files["labels"], files["legacy"])
    assert made.fingerprint() == known.fingerprint()
    assert set(made.provenance["inputs"]) == {"Mock_train_FLUX+NOISE.npy", "Mock_train_PROPS.csv"}
    assert made.counts == known.counts


def test_options_and_the_folder_of_the_data_set(files: dict[str, Path], tmp_path: Path) -> None:
    words = ["target=jpas_idr202406", "source=jpas_mocks"]
    (tmp_path / "p.yaml").write_text("overlap_radius: 0.25\n")
    roles = (files["source"], files["target"], files["labels"])
    options = {"config": tmp_path / "p.yaml", "bands": "jpas57", "radius": 0.75, "split_seed": 3}
    data = prepare(*roles, survey=words, **options, out=tmp_path / "data")
    assert Dataset.load(tmp_path / "data").fingerprint() == data.fingerprint()
    told = data.provenance["options"]
    assert (told["overlap_radius"], told["match_radius"], told["bands"]) == (0.25, 0.75, "jpas57")
    assert told["splits"]["seed"] == data.provenance["seed"] == 3
    with pytest.raises(OutputError, match="exists"):
        prepare(*roles, out=tmp_path / "data")
    prepare(*roles, out=tmp_path / "data", overwrite=True)
    with pytest.raises(ConfigError, match="--survey sdss_ugriz: write ROLE=NAME with ROLE one of source, target"):
        prepare(*roles, survey=["sdss_ugriz"])
    with pytest.raises(ConfigError, match="the shares of train, val, test are"):
        prepare(*roles, config=PrepareOptions(splits={"target": (0.5, 0.5, 0.5)}))


def test_mistakes_of_the_caller(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"there is no role 'sauce'. Did you mean 'source'\?"):
        prepare(files["source"], files["target"], survey={"sauce": "sdss_ugriz"})
    with pytest.raises(DatasetError, match="no source file was given. Name one with --source"):
        prepare([], files["target"])
    with pytest.raises(DatasetError, match=r"--source names .*Mock_train_FLUX\+NOISE.npy more than once"):
        prepare([files["source"], files["source"]], files["target"])


def test_bands_of_ones_own_choice(files: dict[str, Path]) -> None:
    options = PrepareOptions(bands="jpas57")
    data = prepare(files["source"], str(files["target"]), files["labels"], config=options)
    assert len(data.source.bands) == len(data.target.bands) == 57


def test_catalogues_with_labels_of_their_own(tmp_path: Path) -> None:
    """SDSS: no shared ids, and 6 objects on both sides."""
    sources = [write_sdss(tmp_path / f"s{i}.csv", 80, seed=i, dec=np.full(80, 10.0 + i)) for i in (1, 2)]
    target = write_sdss(tmp_path / "t.csv", 100, seed=9, prefix="", dec=np.where(np.arange(100) < 6, 11.0, 30.0))
    data = prepare(sources, target, survey={"target": "sdss_ugriz"})
    assert len(data.twins) == data.counts.twins.by_position == 6
    assert len(data.source) == 154
    assert (data.target.label >= 0).all()
    assert not data.target.has_errors
    assert data.provenance["surveys"]["target"] == "sdss_ugriz"


def test_measurements_are_not_mixed_in_one_target(tmp_path: Path) -> None:
    source = write_sdss(tmp_path / "s.csv", 80, dec=np.full(80, 10.0))
    targets = [write_sdss(tmp_path / "a.csv", 80, seed=1), write_sdss(tmp_path / "b.csv", 80, seed=2, prefix="")]
    with pytest.raises(DatasetError, match=r"the target files hold different measurements \(dered_ugriz, ugriz\)"):
        prepare(source, targets)


def test_sources_that_name_objects_differently_are_not_mixed(files: dict[str, Path], tmp_path: Path) -> None:
    sdss = write_sdss(tmp_path / "s.csv", 80)
    with pytest.raises(DatasetError, match=r"source files name their objects in different ways: .*id\).*position\)"):
        prepare([files["source"], sdss], files["target"])


def _survey_a(shared: Path, **more: object) -> Dataset:
    folder = shared / "survey_a"
    return prepare(
        [folder / f"Mock_{name}_FLUX+NOISE.npy" for name in ("train", "valid", "test")],
        folder / "jpas_like_idr.fits",
        folder / "desi_like_zcat.fits",
        folder / "legacy_like_tractor.fits",
        **more,  # type: ignore[arg-type]
    )


def _bright(rows: Catalogue) -> list[int]:
    return np.bincount(rows.label[rows.mag <= 22.5], minlength=4).tolist()


def test_reference_survey_a(shared: Path) -> None:
    """36,899 labelled rows, 1,285 duplicates, 53,560 mocks, and the test rows of the reference scores."""
    data = _survey_a(shared)
    summary = data.summary()
    assert summary.target.labelled == 36_899
    assert list(summary.target.classes.values()) == [525, 1_339, 26_124, 8_911]
    assert summary.target.rows == 44_139 - 1_285
    assert data.counts.duplicates_merged == 1_285
    assert summary.source.rows == 53_560
    assert data.counts.twins.by_id == 39_140
    assert data.counts.twins.says_so == 0
    assert sum(data.counts.label_files.rejected.values()) == 39_330 - 36_899
    assert _bright(data.target_rows("test")) == [151, 460, 6_490, 3_504]
    assert data.counts.imaging.share == pytest.approx(0.985, abs=0.001)
    assert data.warnings == ()


def test_reference_sdss(shared: Path) -> None:
    """362 objects stand in both the sources and the target."""
    folder = shared / "sdss"
    sources = [folder / f"sdss_{name}.csv" for name in ("galaxy", "quasar", "star")]
    data = prepare(sources, folder / "skyserver_dr14.csv")
    assert data.counts.twins.by_position == 362
    assert len(data.source) == 29_936 - 362
    assert data.summary().target.classes["QSO_high"] == 72
    assert (data.target.label >= 0).all()

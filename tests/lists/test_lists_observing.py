"""A list as it is observed: collisions, subsets, reserve, priorities, regions, maps, and columns for a survey."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.coordinates import Angle, Latitude, Longitude
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from mocpy import MOC

from jpas_gbm.config import configs_folder
from jpas_gbm.errors import ConfigError, ListError
from jpas_gbm.lists.candidate_list import _claim, make_list
from jpas_gbm.lists.footprint import excluded
from jpas_gbm.lists.observing import (
    ObservingOptions,
    column_map,
    density_map,
    formatted,
    guesses,
    observed,
    observing_options,
)
from jpas_gbm.lists.rule import ListOptions
from jpas_gbm.surveys.positions import SkyIndex


@pytest.fixture(scope="module")
def make(world, samples):
    labelled, rows, _ = world

    def made(rows=rows, **rule):
        return make_list(rows, samples.FakeFitted(labelled), ListOptions(**({"draws": 20, "number": 60} | rule)))

    return made


@pytest.fixture(scope="module")
def found(make):
    return make()


def test_no_two_candidates_share_a_fibre(found):
    seen = observed(found, ObservingOptions(separation=300.0))
    kept, reserve = seen.found.candidates.records, seen.reserve.records
    assert len(reserve) > 0 and len(kept) + len(reserve) == 60 == len(found)
    assert not len(SkyIndex(kept["RA"], kept["DEC"]).pairs(300.0)) and len(seen.found) == len(kept)
    # Each that waits is too near to a likelier one that stays, the greedy choice by probability.
    p = dict(zip(kept["RANK"].tolist(), kept["PROBABILITY"].tolist(), strict=True))
    assert all(row["COLLIDES"] in p for row in reserve)
    here, there, _ = SkyIndex(kept["RA"], kept["DEC"]).nearest(reserve["RA"], reserve["DEC"], 300.0)
    assert len(here) == len(reserve) and (kept["RANK"][there] == reserve["COLLIDES"]).all()
    part = seen.found.parts[0]
    assert part.size == len(kept) and part.purity == pytest.approx(part.expected_true / part.size)
    share = kept["PROBABILITY"].sum() / found.candidates.records["PROBABILITY"].sum()
    assert part.expected_true == pytest.approx(found.expected * share)
    assert (
        part.completeness < found.parts[0].completeness and part.interval[0] <= part.expected_true <= part.interval[1]
    )
    assert "wait in the reserve" in " ".join(seen.found.notes)


def test_nothing_is_changed_where_nothing_is_asked(found):
    seen = observed(found, ObservingOptions())
    assert seen.reserve is None and seen.found.parts == found.parts and seen.found.notes == found.notes
    assert seen.found.candidates.columns[-1].name == "RANDOM"


def test_the_interval_of_a_random_subset_covers_what_it_holds(make, world):
    """Of a list with known truth, subsets hold as many true ones as the interval says, at its rate."""
    _, rows, label = world
    found = make(number=300)
    truth = dict(zip(rows.ids["NUMBER"].tolist(), (label == 0).tolist(), strict=True))
    held, inside = [], []
    for seed in range(200):
        seen = observed(found, ObservingOptions(subset=60), seed=seed).found
        (part,) = seen.parts
        held.append(sum(truth[i] for i in seen.candidates.records["NUMBER"].tolist()))
        inside.append(part.interval[0] <= held[-1] <= part.interval[1])
    whole = sum(truth[i] for i in found.candidates.records["NUMBER"].tolist())
    assert abs(np.mean(held) - whole / 5) < 4 * np.std(held) / np.sqrt(200)
    assert np.mean(inside) > 0.9 and part.interval[1] - part.interval[0] < 30
    with pytest.raises(ListError, match="--subset 301: the list has 300 candidates"):
        observed(found, ObservingOptions(subset=301))


def test_the_reserve_goes_on_where_the_list_ends(found, make):
    how = ObservingOptions(reserve=25, separation=300.0)
    longer = make(**how.longer(ListOptions(number=60), 60).model_dump(exclude_none=True))
    seen = observed(found, how, longer)
    waits = seen.reserve.records
    collided = int((waits["PROBABILITY"] >= found.candidates.records["PROBABILITY"][-1]).sum())
    assert len(waits) == collided + 25 and waits["RANK"][0] == len(seen.found) + 1
    numbers = [*seen.found.candidates.records["NUMBER"], *waits["NUMBER"]]
    assert len(set(numbers)) == len(numbers) == 85
    assert how.longer(ListOptions(purity=0.8, bin_edges=(20.0,)), 40).number == 65


def test_priorities_are_equal_parts(found):
    rows = observed(found, ObservingOptions(priorities=4)).found.candidates.records
    assert np.bincount(rows["PRIORITY"]).tolist() == [0, 15, 15, 15, 15] and (np.diff(rows["PRIORITY"]) >= 0).all()


def test_parts_by_magnitude_bin(make):
    found = make(number=20, bin_edges=(20.0, 21.5))
    seen = observed(found, ObservingOptions(subset=30), seed=3).found
    rows = seen.candidates.records
    assert [part.size for part in seen.parts] == np.bincount(rows["MAG_BIN"], minlength=3).tolist()
    for b, (part, whole) in enumerate(zip(seen.parts, found.parts, strict=True)):
        of, before = (one["PROBABILITY"][one["MAG_BIN"] == b] for one in (rows, found.candidates.records))
        assert part.expected_true == pytest.approx(whole.expected_true * of.sum() / before.sum())


def test_excluded_regions(make, world, tmp_path):
    _, rows, _ = world
    moc = MOC.from_cone(lon=Longitude("150.5d"), lat=Latitude("2.5d"), radius=Angle("0.2d"), max_depth=14)
    moc.save(str(tmp_path / "stars.fits"), format="fits")
    out = excluded(rows.ra, rows.dec, [str(tmp_path / "stars.fits")])
    far = np.hypot((rows.ra - 150.5) * np.cos(np.deg2rad(2.5)), rows.dec - 2.5)
    assert out[far < 0.19].all() and not out[far > 0.21].any()
    found, whole = make(exclude=(str(tmp_path / "stars.fits"),)), make()
    assert f"{int(out.sum())} rows lie in regions that are excluded" in " ".join(found.notes)
    seen = found.to_pandas()
    assert not excluded(seen["RA"].to_numpy(), seen["DEC"].to_numpy(), [str(tmp_path / "stars.fits")]).any()
    assert found.area == pytest.approx(whole.area * (1 - out.mean()))
    (tmp_path / "no.fits").write_text("no map")
    with pytest.raises(ListError, match=r"--exclude .*no\.fits: is no coverage map"):
        make(exclude=(str(tmp_path / "no.fits"),))
    with pytest.raises(ListError, match=r"--exclude .*none\.fits: there is no such file. Give a coverage map"):
        make(exclude=(str(tmp_path / "none.fits"),))


def test_what_cannot_be_is_refused_before_any_work(tmp_path):
    """Neither predictions nor a model are there: the options alone are looked at."""
    from jpas_gbm.lists.candidate_list import targets

    gone = tmp_path / "predictions.fits"
    with pytest.raises(ListError, match="--subset 31: --number 30 makes a list of so many rows. Ask for fewer"):
        targets(gone, number=30, subset=31)
    with pytest.raises(ListError, match=r"--exclude .*none\.fits: there is no such file"):
        targets(gone, number=30, exclude=tmp_path / "none.fits")


def test_the_density_map_adds_up(found):
    cells, cards = density_map(found)
    rows = cells.records
    assert rows["CANDIDATES"].sum() == 60 and rows["AREA"].sum() == pytest.approx(found.area)
    assert rows["EXPECTED"].sum() == pytest.approx(found.to_pandas()["PROBABILITY"].sum(), rel=1e-4)
    np.testing.assert_allclose(rows["DENSITY"], rows["CANDIDATES"] / rows["AREA"], rtol=1e-6)
    assert cards["ORDERING"] == "NESTED" and cards["NSIDE"] & (cards["NSIDE"] - 1) == 0
    assert all(check_ucd(column.ucd, check_controlled_vocabulary=True) for column in cells.columns if column.ucd)
    nowhere = replace(found, candidates=replace(found.candidates, footprint=None))
    with pytest.raises(ListError, match="--density-map: too few rows"):
        density_map(nowhere)


@pytest.mark.parametrize("name", ["weave", "desi"])
@pytest.mark.parametrize("suffix", ["fits", "vot", "ecsv", "parquet", "csv"])
def test_further_tables_stand_beside_the_list(found, tmp_path, name, suffix):
    out = tmp_path / f"list.{suffix}"
    how = ObservingOptions(separation=300.0, table_format=name, density_map=str(tmp_path / f"map.{suffix}"))
    seen = observed(found, how)
    seen.found.save(out, beside=seen.beside(how, out))
    of = column_map(name)
    assert [entry.name for entry in of.columns] == list(formatted(seen.found, of).records.dtype.names)
    for file, n in ((out, len(seen.found)), (tmp_path / f"list_{name}.{suffix}", len(seen.found))):
        assert len(Table.read(file, format="ascii.csv" if suffix == "csv" else None)) == n
    assert len(list(tmp_path.glob("*.json"))) == (2 if suffix == "csv" else 1)
    assert (tmp_path / f"list_reserve.{suffix}").is_file() and (tmp_path / f"map.{suffix}").is_file()
    assert "are guesses. Ask the survey" in " ".join(seen.found.notes)


@pytest.fixture(scope="module")
def full(world, samples):
    """A list with all that a list can have: redshift densities, known sources, bands, noise, priorities."""
    labelled, rows, _ = world
    names = ("PHOTOZ_QSO", "PHOTOZ_QSO_ERR", "Z_QSO_02", "Z_QSO_16", "Z_QSO_50", "Z_QSO_84", "Z_QSO_98", "P_Z_HIGH")
    z = np.linspace(1, 4, len(rows), dtype="f4")
    more = {**rows.more, **{name: z + np.float32(0.1 * i) for i, name in enumerate(names)}}
    known = {"TILE_ID": rows.ids["TILE_ID"][:900], "NUMBER": rows.ids["NUMBER"][:900], "CLASS": ["QSO_low"] * 900}
    options = ListOptions(draws=20, number=60, flag_known=True)
    made = make_list(replace(rows, more=more), samples.FakeFitted(labelled), options, known=pd.DataFrame(known))
    how = ObservingOptions(separation=300.0, reserve=20, priorities=3)
    longer = make_list(replace(rows, more=more), samples.FakeFitted(labelled), how.longer(options, len(made)))
    return observed(made, how, longer)


def test_the_reserve_of_a_list_with_known_sources(full):
    """The rows that follow have no columns of known sources of their own: they are new."""
    rows, waits = full.found.candidates.records, full.reserve.records
    assert (rows["KNOWN"] != b"").any() and set(rows.dtype.names) - {"RANDOM", "PRIORITY"} <= set(waits.dtype.names)
    later = waits[-20:]
    assert (later["KNOWN"] == b"").all() and np.isnan(later["KNOWN_Z"]).all() and (later["COLLIDES"] == 0).any()


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not installed")
def test_stilts_takes_every_list_and_what_stands_beside_it(full, tmp_path):
    """STILTS is what many will open a list with; Debian's reads no Parquet: the VOTable in its metadata is checked."""
    calls = [f"votlint {tmp_path / 'vot' / table}.vot" for table in ("list", "list_reserve", "list_weave", "map")]
    for suffix in ("vot", "fits", "ecsv", "csv", "parquet"):
        folder = tmp_path / suffix
        folder.mkdir()
        of, out = {"table_format": "weave", "density_map": str(folder / f"map.{suffix}")}, folder / f"list.{suffix}"
        how = ObservingOptions(separation=300.0, reserve=20, **of)
        full.found.save(out, beside=full.beside(how, out))
        if suffix != "parquet":
            calls += [f"tpipe in={folder / table}.{suffix} omode=count" for table in ("list", "list_weave")]
    metadata = pq.read_metadata(out).metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    (tmp_path / "head.vot").write_bytes(metadata[b"IVOA.VOTable-Parquet.content"])
    for call in [*calls, f"votlint {tmp_path / 'head.vot'}"]:
        done = subprocess.run(["stilts", *call.split()], capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, (call, done.stderr)
        told = ["rows:", str(len(full.found))] if call.startswith("tpipe") else []
        assert done.stdout.split()[-2:] == told, (call, done.stdout)


def test_parquet_has_units(full, tmp_path):
    full.found.save(tmp_path / "list.parquet")
    table = Table.read(tmp_path / "list.parquet", format="parquet.votable")
    assert str(table["RA"].unit) == "deg" and str(table["MAG"].unit) == "mag"
    assert {"Z_QSO_16", "P_Z_HIGH", "KNOWN_SEP", "PRIORITY"} <= set(table.colnames)
    assert str(table["KNOWN_SEP"].unit) == "arcsec" and table["P_Z_HIGH"].description


def test_a_map_of_ones_own(found, tmp_path):
    own = {"title": "ours", "columns": [{"name": "ID", "type": "text", "text": "{TILE_ID}/{NUMBER:>5}"}]}
    own["columns"].append({"name": "PRIO", "type": "int16", "source": "PROBABILITY", "scale": -100, "offset": 100})
    own["columns"].append({"name": "Z", "type": "float32", "value": 2.5, "unit": "", "guess": True})
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(own))
    of = column_map(str(tmp_path / "ours.yaml"))
    made = formatted(observed(found, ObservingOptions()).found, of).records
    first = found.candidates.records[0]
    assert made["ID"][0].decode() == f"2241/{first['NUMBER']:>5}" and made["PRIO"].dtype == np.int16
    assert made["PRIO"][0] == round(100 - 100 * float(first["PROBABILITY"])) and (made["Z"] == 2.5).all()
    assert guesses(of).startswith("ours: Z are guesses")
    with pytest.raises(ListError, match="column ID is made of NUMBR, which the list has not. Did you mean 'NUMBER'"):
        formatted(found, of.model_copy(update={"columns": (of.columns[0].model_copy(update={"text": "{NUMBR}"}),)}))
    with pytest.raises(ListError, match="column PRIO is of numbers, and SET is not"):
        formatted(found, of.model_copy(update={"columns": (of.columns[1].model_copy(update={"source": "SET"}),)}))
    own["columns"].append({"name": "TWO", "source": "RA", "value": 1})
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(own))
    with pytest.raises(ConfigError, match="column TWO: give one of source, text and value"):
        column_map(str(tmp_path / "ours.yaml"))


def test_guesses_of_shipped_maps_are_marked():
    """What the survey alone can know is marked; positions and ids are not."""
    for name in ("weave", "desi"):
        assert (configs_folder() / f"list_{name}.yaml").is_file()
        constant = [entry for entry in column_map(name).columns if entry.value is not None]
        assert constant and all(entry.guess for entry in constant)


def test_options_are_told_apart_and_checked(tmp_path):
    how, rest = observing_options({"separation": 60.0, "draws": 30, "table_format": Path("desi")})
    assert how.separation == 60 and rest == {"draws": 30}
    with pytest.raises(ConfigError, match="no_such"):
        observing_options({"table_format": "no_such"})
    with pytest.raises(ConfigError, match="separation"):
        observing_options({"separation": -1.0})
    with pytest.raises(ConfigError, match="--density-map .*: is written beside the list. Say with --out"):
        _claim(None, {"--density-map": "m.fits"}, False, [])
    with pytest.raises(ConfigError, match="--density-map .*is where the list"):
        _claim(tmp_path / "a.fits", {"--density-map": tmp_path / "a.json"}, False, [])

"""Drift: sums that add up exactly, each plausible drift named, and nothing named of the same sky."""

import base64
import json
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from jpas_gbm.errors import BundleError, FitError
from jpas_gbm.features.drift import NO_REFERENCE, Drift, Finding, judge
from jpas_gbm.features.sky_sums import SAMPLE, SkySums, joined, key_hash, learn_reference
from jpas_gbm.inference.passing import Tally
from jpas_gbm.options import SimulateOptions
from jpas_gbm.simulation.simulate import simulate
from jpas_gbm.store import from_plain, to_plain


@pytest.fixture(scope="module")
def sky():
    return simulate(12, config=SimulateOptions(n_source=300, n_labelled=5000, n_unlabelled=2000, n_tiles=40)).target


@pytest.fixture(scope="module")
def held(sky):
    """Rows of a third of the tiles, and the reference of the others."""
    tiles = np.unique(sky.key["TILE_ID"])
    out = np.isin(sky.key["TILE_ID"], np.random.default_rng(1).permutation(tiles)[: len(tiles) // 3])
    ours = sky.take(np.flatnonzero(~out))
    misfit = np.random.default_rng(2).lognormal(0, 0.3, len(ours)).astype(np.float32)
    return sky.take(np.flatnonzero(out)), learn_reference(ours, ours, misfit, "sky")


def kinds(drift):
    return {one.kind for one in drift.findings}


def fitted(n):
    return np.random.default_rng(3).lognormal(0, 0.3, n).astype(np.float32)


@pytest.mark.parametrize("size", [60, 700, 1999])
def test_sums_are_the_same_for_any_cut_and_order(held, size):
    rows, reference = held
    misfit, order = fitted(len(rows)), np.random.default_rng(size).permutation(len(rows))
    whole = reference.count(rows, misfit)
    parts = [order[i : i + size] for i in range(0, len(rows), size)]
    total, kept = None, None
    for part in parts:
        one = reference.count(rows.take(part), misfit[part])
        total = joined(total, one)
        # What is kept of a part beside those before loses nothing, also once it was JSON.
        told = json.loads(json.dumps(to_plain(Tally(sky=one.beside(kept)))))
        kept = joined(kept, from_plain(Tally, told).sky)
    assert total == whole == kept and whole.rows == len(rows) and len(whole.hashes) == SAMPLE
    assert judge(reference, total) == judge(reference, whole)


def test_the_sample_hangs_on_keys_alone(held):
    rows, reference = held
    found = reference.count(rows)
    assert np.array_equal(found.hashes, np.sort(key_hash(rows))[:SAMPLE])
    later = reference.count(rows.take(np.flatnonzero(key_hash(rows) > found.hashes[-1])))
    assert len(later.hashes) and not len(later.beside(found).hashes)


@pytest.mark.parametrize("n", [200, 600, None])
def test_the_same_sky_raises_nothing(held, n):
    rows, reference = held
    some = np.sort(np.random.default_rng(5).permutation(len(rows))[:n])
    found = judge(reference, reference.count(rows.take(some), fitted(len(some))))
    assert not found and found.lines() == [] and found.against == "sky" and found.rows == len(some)
    assert found.auc is not None and "none from the training sky" in repr(found)


def test_rows_that_trained_raise_nothing(sky, held):
    _, reference = held
    ours = sky.take(np.flatnonzero(np.isin(sky.key["TILE_ID"], reference.tiles)))
    assert not judge(reference, reference.count(ours))


def test_larger_errors_are_named(held):
    rows, reference = held
    found = judge(reference, reference.count(rows.replace(flux_err=rows.flux_err * np.float32(1.5))))
    assert any(one.kind == "noise" and one.where == "catalogue" for one in found.findings)
    assert f"errors {found.findings[0].value:.2g} times those of the training sky in" in found.lines()[0]
    assert 1.3 < found.findings[0].value < 1.8
    one = rows.bands.index("J0460")
    error = rows.flux_err.copy()
    error[:, one] *= np.float32(1.9)
    found = judge(reference, reference.count(rows.replace(flux_err=error)))
    assert [(of.kind, of.where) for of in found.findings] == [("noise", "band J0460")]
    assert found.findings[0].value == pytest.approx(1.9, abs=0.25)


def test_a_band_that_is_off_is_named_and_its_neighbours_are_not(held):
    rows, reference = held
    flux, error = rows.flux.copy(), rows.flux_err.copy()
    for plane in (flux, error):
        plane[:, rows.bands.index("J0560")] *= np.float32(10**-0.06)
    found = judge(reference, reference.count(rows.replace(flux=flux, flux_err=error)))
    assert [(of.kind, of.where) for of in found.findings] == [("offset", "band J0560")]
    assert found.findings[0].value == pytest.approx(0.15, abs=0.05)
    assert "band J0560" in found.lines()[0] and "mag fainter, beside the bands next to it" in found.lines()[0]


def test_missing_bands_are_named_of_the_catalogue_and_of_a_tile(held):
    rows, reference = held
    flux, error = rows.flux.copy(), rows.flux_err.copy()
    flux[:, 20:25] = error[:, 20:25] = np.nan
    found = judge(reference, reference.count(rows.replace(flux=flux, flux_err=error)))
    named = {f"band {rows.bands.names[b]}" for b in range(20, 25)}
    assert {of.where for of in found.findings if of.kind == "gaps"} == named
    assert "missing in 100 % of the rows, in the training sky in" in found.lines()[0]
    tile = int(rows.key["TILE_ID"][0])
    flux, error = rows.flux.copy(), rows.flux_err.copy()
    there = np.flatnonzero(rows.key["TILE_ID"] == tile)[:, None]
    flux[there, np.arange(10, 40)] = error[there, np.arange(10, 40)] = np.nan
    found = judge(reference, reference.count(rows.replace(flux=flux, flux_err=error)))
    assert [(of.kind, of.where) for of in found.findings] == [("gaps", f"tile {tile}")]
    assert f"tile {tile}: " in found.lines()[0] and "bands missing that the training sky had" in found.lines()[0]


def test_one_tile_is_named_for_its_errors_or_a_band(held):
    rows, reference = held
    tile = int(rows.key["TILE_ID"][0])
    there = rows.key["TILE_ID"] == tile
    error = rows.flux_err.copy()
    error[there] *= np.float32(3)
    found = judge(reference, reference.count(rows.replace(flux_err=error)))
    assert any(one.kind == "noise" and one.where == f"tile {tile}" for one in found.findings)
    flux, error = rows.flux.copy(), rows.flux_err.copy()
    for plane in (flux, error):
        plane[there, rows.bands.index("J0460")] *= np.float32(1.8)
    found = judge(reference, reference.count(rows.replace(flux=flux, flux_err=error)))
    named = [one for one in found.findings if one.where == f"tile {tile}"]
    assert [one.kind for one in named] == ["offset"] and "band J0460 is" in named[0].sentence
    assert named[0].value == pytest.approx(-0.64, abs=0.2)


def test_rows_without_flux_are_told_however_they_are_spread(held):
    rows, reference = held
    rng = np.random.default_rng(4)
    for share, told in ((0.3, True), (0.05, True), (0.004, False)):
        flux, error = rows.flux.copy(), rows.flux_err.copy()
        blank = rng.random(len(rows)) < share
        flux[blank] = error[blank] = np.nan
        found = judge(reference, reference.count(rows.replace(flux=flux, flux_err=error)))
        assert found.blank == blank.sum() and f"{blank.sum()} rows without usable flux" in found.further()
        assert kinds(found) == ({"blank"} if told else set()) and f"{blank.sum()} rows" in repr(found)
        if told:
            assert found.findings[0].value == pytest.approx(share, rel=0.3)
            assert "of the rows are without a usable flux, in the training sky 0 %" in found.lines()[0]
    flux, error = rows.flux.copy(), rows.flux_err.copy()
    there = rows.key["TILE_ID"] == rows.key["TILE_ID"][0]
    flux[there] = error[there] = np.nan
    found = judge(reference, reference.count(rows.replace(flux=flux, flux_err=error)))
    assert [(of.kind, of.where) for of in found.findings] == [("blank", f"tile {rows.key['TILE_ID'][0]}")]
    none = rows.replace(flux=np.full_like(flux, np.nan), flux_err=np.full_like(flux, np.nan))
    assert "100 % of the rows are without a usable flux" in judge(reference, reference.count(none)).lines()[0]
    assert judge(None, reference.count(none)).further() == [f"{len(rows):,} rows without usable flux"]


def test_where_six_tiles_trained_twice_the_errors_are_told_and_the_limit_is_said(sky):
    tiles = np.random.default_rng(1).permutation(np.unique(sky.key["TILE_ID"]))
    ours, rows = (sky.take(np.flatnonzero(np.isin(sky.key["TILE_ID"], some))) for some in (tiles[:6], tiles[6:14]))
    reference = learn_reference(ours, ours, None, "sky")
    same = judge(reference, reference.count(rows))
    assert not same and 1.35 < same.limits["noise"] < 1.6 and 0.05 < same.limits["offset"] < 0.3
    assert f"drift is told from errors of {same.limits['noise']:.2g} times" in same.further()[0]
    assert same.further()[0].endswith("6 tiles trained, 8 tiles here")
    found = judge(reference, reference.count(rows.replace(flux_err=rows.flux_err * np.float32(2))))
    assert found.findings[0].kind == "noise" and found.findings[0].value == pytest.approx(2, abs=0.3)


def test_what_was_cut_off_is_told_as_a_limit(held):
    rows, reference = held
    for factor, words in ((1e20, "errors more than 4.4 times"), (1e-20, "errors less than 0.23 times")):
        found = judge(reference, reference.count(rows.replace(flux_err=rows.flux_err * np.float32(factor))))
        assert words in found.lines()[0] and not any("tile" in one.where for one in found.findings)
    flux, error = rows.flux.copy(), rows.flux_err.copy()
    for plane in (flux, error):
        plane[:, rows.bands.index("J0560")] *= np.float32(0.05)
    found = judge(reference, reference.count(rows.replace(flux=flux, flux_err=error)))
    told = next(one for one in found.findings if one.kind == "offset")
    assert told.where == "band J0560" and "more than 0." in told.sentence and 0.4 < told.value < 3.25
    # A band that is off in the whole catalogue is not told again of its tiles.
    assert not [one for one in found.findings if one.where.startswith("tile")]


def test_mocks_without_trays_say_nothing_of_the_trays_of_a_sky(held):
    rows, _ = held
    mocks = simulate(12, config=SimulateOptions(n_source=2000, n_labelled=300, n_unlabelled=50, n_tiles=12)).source
    reference = learn_reference(mocks, mocks, None, "mocks")
    found = judge(reference, reference.count(rows))
    assert not [one for one in found.findings if one.kind == "gaps"]
    assert "bands: mocks have no trays, so that gaps of tiles were not judged" in found.further()[0]


def test_deeper_rows_and_misfits_are_named(held):
    rows, reference = held
    found = judge(reference, reference.count(rows.replace(imaging_mag=rows.imaging_mag + np.float32(1))))
    assert kinds(found) == {"magnitudes"} and "mag in the magnitude of imaging" in found.lines()[0]
    found = judge(reference, reference.count(rows, fitted(len(rows)) * np.float32(2)))
    assert {"misfit"} <= kinds(found) <= {"misfit", "domain"}
    assert "fit no template better than the worst 1 %" in found.lines()[0]
    # Without imaging the mean of the bands tells.
    blank = rows.replace(imaging_mag=np.full(len(rows), np.nan, "f4"))
    dim = np.float32(10**-0.8)
    found = judge(reference, reference.count(blank.replace(flux=rows.flux * dim, flux_err=rows.flux_err * dim)))
    assert "magnitudes" in kinds(found) and any("the mean of the observed bands" in line for line in found.lines())


def test_a_classifier_sees_what_single_bands_do_not(held):
    rows, reference = held
    rng = np.random.default_rng(8)
    flux = rows.flux * rng.lognormal(0, 0.3, rows.flux.shape).astype("f4")
    found = judge(reference, reference.count(rows.replace(flux=flux)))
    assert found.auc > 0.82 and "domain" in kinds(found)
    assert any("a classifier tells the rows from those of the training sky: AUC" in line for line in found.lines())


def test_a_survey_without_tiles_or_errors_is_judged(held, sky):
    plain = sky.replace(key={"ROW": np.arange(len(sky))}, flux_err=np.full_like(sky.flux, np.nan))
    reference = learn_reference(plain, plain, None, "mocks")
    assert not judge(reference, reference.count(plain.take(np.arange(1500))))
    flux = plain.flux.copy()
    flux[:, 20:25] = np.nan
    found = judge(reference, reference.count(plain.replace(flux=flux)))
    assert kinds(found) == {"gaps"} and "in the training mocks in" in found.lines()[0] and found.tiles == 0


def test_what_cannot_be_judged_is_said(held):
    rows, reference = held
    found = judge(None, None)
    assert found.note == NO_REFERENCE and found.lines() == [NO_REFERENCE] and not found
    none = judge(reference, reference.count(rows.take(np.zeros(0, int))))
    assert none.lines() == ["drift was not judged: fewer than 10 rows"] and "none from" not in repr(none)
    few = judge(reference, reference.count(rows.take(np.arange(3))))
    assert not few and few.rows == 3 and few.lines() == ["drift was not judged: fewer than 10 rows"]
    with pytest.raises(FitError, match="no rows that a catalogue could be compared with"):
        learn_reference(rows.take(np.zeros(0, int)), rows, None, "sky")


def test_a_band_that_no_row_has_is_told_where_tiles_are_too_few_to_call_it_drift(held):
    """A tile may lack a tray, so one band less in three tiles is no drift; that no row has it was not told."""
    rows, reference = held
    few = rows.take(np.isin(rows.key["TILE_ID"], np.unique(rows.key["TILE_ID"])[:2]))
    flux = np.array(few.flux)
    flux[:, 20] = np.nan
    found, told = judge(reference, reference.count(few.replace(flux=flux))), f"a flux in {rows.bands.names[20]}; the"
    assert "gaps" not in kinds(found)
    assert any(one.startswith("none of the ") and told in one for one in found.further())
    assert not any("none of the" in one for one in judge(reference, reference.count(few)).further())


def test_a_reference_of_other_bands_does_not_fit(held):
    rows, reference = held
    assert not list(reference.misfits(rows.bands))
    other = type(reference).from_arrays({**reference.to_arrays(), "kind": np.array("moon")})
    assert "'moon'" in next(iter(other.misfits(rows.bands)))
    short = type(reference).from_arrays({**reference.to_arrays(), "noise": reference.noise[:, 1:]})
    assert "not of 55 bands (noise)" in next(iter(short.misfits(rows.bands)))
    falling = type(reference).from_arrays({**reference.to_arrays(), "edges": reference.edges[::-1]})
    assert "do not rise" in next(iter(falling.misfits(rows.bands)))
    forged = (
        ({"tails": reference.tails * 1.0}, "other than whole numbers"),
        ({"tiles": reference.tiles * np.nan}, "other than whole numbers"),
        ({"tails": -reference.tails}, "counts below 0"),
        ({"bands": -reference.bands}, "counts below 0"),
        ({"tiles": reference.tiles * 0}, "tiles out of order"),
        ({"scatter": reference.scatter * np.nan}, "scatter or limits that are no numbers"),
        ({"limits": reference.limits * np.nan}, "scatter or limits that are no numbers"),
        ({"noise": reference.noise + np.float32(np.inf)}, "infinite deviations"),
    )
    for change, said in forged:
        made = type(reference).from_arrays(reference.to_arrays() | change)
        assert said in next(iter(made.misfits(rows.bands)))
    with pytest.raises(BundleError, match="the reference of the model: damaged .*an array of <U.* where numbers are"):
        type(reference).from_arrays(reference.to_arrays() | {"tails": reference.tails.astype(str)})


def test_sums_that_were_damaged_on_disk_are_told(held):
    plain = to_plain(held[1].sums)
    whole = from_plain(SkySums, plain)
    np.testing.assert_array_equal(whole.bands, held[1].sums.bands)
    kind, shape, content = plain["bands"].split(" ")
    turned = content[:40] + ("A" if content[40] != "A" else "B") + content[41:]
    bomb = base64.b64encode(zlib.compress(bytes(1 << 26))).decode()
    for text in (
        f"{kind} {shape} {turned}",
        f"banana {shape} {content}",
        f"{kind} -1,2 {content}",
        f"{kind} 1 {bomb}",
        "",
    ):
        with pytest.raises(ValueError, match=r"damaged|bytes instead of|unpack|expected"):
            from_plain(SkySums, plain | {"bands": text})


def test_many_findings_are_told_shortly():
    some = tuple(Finding("offset", f"band {i}", 0.1 * i, 0.0, f"band {i}: off") for i in range(9))
    told = Drift("sky", 10, 2, 0.6, some, 3)
    assert told.lines()[:5] == [f"band {i}: off" for i in range(5)]
    assert told.lines()[5:] == ["and 4 more bands alike (0.50 to 0.80)", "and 3 findings more"]
    assert len(told.to_pandas()) == 9 and list(told.to_pandas().columns)[:2] == ["kind", "where"]
    assert json.loads(json.dumps(told.to_dict()))["findings"][0]["where"] == "band 0"
    assert repr(told).startswith("<Drift of 10 rows: band 0: off")


def test_sums_compare_by_value(held):
    rows, reference = held
    one, two = reference.count(rows), reference.count(rows)
    assert one == two and one != reference.count(rows.take(np.arange(50))) and one != SimpleNamespace()
    assert isinstance(one + two, SkySums) and (one + two).rows == 2 * len(rows)

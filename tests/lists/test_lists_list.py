"""The list as a whole, and as files that astropy, validators and people can read."""

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits, votable
from astropy.table import Table

from jpas_gbm.errors import BundleError, ListError, OutputError
from jpas_gbm.lists.candidate_list import make_list
from jpas_gbm.lists.predicted import refuse_other_model
from jpas_gbm.lists.rule import ListOptions
from jpas_gbm.lists.target_list import TargetList, list_rows
from jpas_gbm.store import dump_json
from jpas_gbm.text import cell


@pytest.fixture(scope="module")
def make(world, samples):
    labelled, rows, _ = world

    def made(rows=rows, labelled=labelled, known=None, **rule):
        rule = {"draws": 30} | (rule or {"number": 20})
        return make_list(rows, samples.FakeFitted(labelled), ListOptions(**rule), known=known)

    return made


@pytest.fixture(scope="module")
def found(make):
    return make(purity=0.6, magnitudes=(None, 22.5))


def test_a_list_is_sorted_and_says_everything(found, world):
    p = found.to_pandas()["PROBABILITY"]
    assert (np.diff(p) <= 0).all() and (found.to_pandas()["MAG"] <= 22.5).all()
    assert abs(found.area - 1) < 0.1
    told = found.to_dict()
    assert told["rows"] == len(found) and told["parts"][0]["expected_true"] == pytest.approx(p.sum(), rel=0.1)
    assert told["mix"]["trust"]["trusted"] and told["provenance"]["model"]["seed"] == 3
    assert set(told["curves"]["labelled"]["all"]) == {"before", "after"}
    after = told["curves"]["labelled"]["all"]["after"]
    assert after["purity"][0] >= after["purity"][-1] and after["completeness"][-1] == pytest.approx(1)
    assert len(told["curves"]["field"]["true_per_deg2"]) == len(told["curves"]["field"]["size"])
    dump_json(told)
    assert any("class mix of the field (estimated by EM" in line for line in found.lines())


@pytest.mark.parametrize("suffix", ["fits", "vot", "ecsv", "parquet", "csv"])
def test_files_hold_the_same_rows(found, tmp_path, suffix):
    path = tmp_path / f"list.{suffix}"
    found.save(path)
    table = Table.read(path, format="ascii.csv" if suffix == "csv" else None)
    assert len(table) == len(found)
    np.testing.assert_array_equal(table["NUMBER"], found.to_pandas()["NUMBER"])
    np.testing.assert_allclose(table["PROBABILITY"], found.to_pandas()["PROBABILITY"], rtol=1e-6)
    units = (
        {one["name"]: one["unit"] for one in json.loads(Path(f"{path}.json").read_text())["columns"]}
        if (suffix == "csv")
        else {name: str(table[name].unit) for name in table.colnames}
    )
    assert units["RA"] == "deg" and units["MAG"] == "mag"
    assert set(np.asarray(table["WHY_BAND_1"]).astype(str)) <= {"J0378", "J0390"}
    assert {"SET", "SET_SIZE", "QUALITY", "P_QSO_HIGH_MODEL", "RANK"} <= set(table.colnames)
    with pytest.raises(OutputError, match="already exists"):
        found.save(path)


def test_the_magnitude_of_a_list_is_told_by_its_name(found):
    """A list of any survey said that its magnitude was r of imaging."""
    values = {name: np.asarray(found.to_table()[name]) for name in found.to_table().colnames}
    other = replace(found, provenance={"model": {"magnitude": "i (S-PLUS)"}})
    column = next(one for one in list_rows(values, other).columns if one.name == "MAG")
    assert column.description == "i (S-PLUS), AB." and column.ucd == "phot.mag"


def test_the_fits_header(found, tmp_path):
    found.save(tmp_path / "list.fits")
    with fits.open(tmp_path / "list.fits", checksum=True) as file:
        file.verify("exception")
        header = file[1].header
        assert header["RULE"].startswith("QSO_high: the longest list of purity 0.6 or more with 90 % confidence")
        assert header["NEXP_LO"] <= header["NEXPECT"] <= header["NEXP_HI"]
        assert header["PUR_LO"] <= header["PURITY"] <= header["PUR_HI"]
        assert "label shift" in header["PROMISE"] and header["MIXTRUST"] == "yes"
        assert '"seed":3' in header["PROVENAN"] and header["TUCD1"] == "meta.number"


@pytest.mark.parametrize("suffix", ["fits", "vot", "ecsv"])
@pytest.mark.parametrize(
    "rule",
    [{"purity": 0.6}, {"completeness": 0.3}, {"number": 20}, {"density": 15.0}]
    + [{"fdr": 0.3, "shift": shift} for shift in ("label", "covariate", "none")],
    ids=lambda rule: " ".join(map(str, rule.values())),
)
def test_the_promise_of_every_rule_can_be_written(make, tmp_path, rule, suffix):
    """A promise names its source, and FITS cards hold plain letters alone."""
    listed = make(**rule)
    listed.save(tmp_path / f"list.{suffix}")
    assert len(Table.read(tmp_path / f"list.{suffix}")) == len(listed) > 0


def test_trap_accents_in_fits_cards(make, tmp_path):
    make(fdr=0.3).save(tmp_path / "list.fits")
    assert "(Jin and Candes 2023)" in fits.getheader(tmp_path / "list.fits", 1)["PROMISE"]


def test_the_votable_is_valid(found, tmp_path):
    found.save(tmp_path / "list.vot")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        table = votable.parse(tmp_path / "list.vot", verify="exception").get_first_table()
    assert len(table.array) == len(found)
    report = tmp_path / "report.txt"
    with open(report, "w") as stream:
        assert votable.validate(tmp_path / "list.vot", output=stream, filename=None), report.read_text()


def test_an_unknown_suffix(found, tmp_path):
    with pytest.raises(OutputError, match=r"suffix '\.txt'.*Known: .*\.fits"):
        found.save(tmp_path / "list.txt")


def test_the_rule_in_each_magnitude_bin(make):
    found = make(number=10, bin_edges=(20.0, 21.5))
    rows = found.to_pandas()
    assert np.bincount(rows["MAG_BIN"]).tolist() == [10, 10, 10]
    assert [part.magnitudes for part in found.parts] == ["< 20", "20 to 21.5", ">= 21.5"]
    assert (rows["MAG"][rows["MAG_BIN"] == 0] < 20).all()


def test_a_bin_that_cannot_promise_is_left_out(make):
    found = make(purity=0.6, bin_edges=(18.02,))
    assert len(found.parts) == 1 and any(note.startswith("left out: ") for note in found.notes)


def test_a_prior_given_or_none_at_all(make, samples):
    given = make(number=20, prior=(tuple(samples.OLD),))
    plain = make(number=20, correct=False)
    assert given.mix.source == "given" and given.mix.trust is None
    assert any("not corrected" in note for note in plain.notes)
    fewer = make(number=200, prior=((0.01, 0.06, 0.63, 0.3),))
    assert fewer.expected < 0.85 * make(number=200, correct=False).expected


def test_a_mix_that_is_given_and_that_the_field_contradicts_is_told(make, samples):
    """With what is given and what EM finds; a prior that agrees with the field, or a labelled mix, is not blamed."""
    told = make(number=20, prior=((0.97, 0.01, 0.01, 0.01),)).notes
    note = next(note for note in told if "contradicts the class mix that is taken as given" in note)
    words = re.search(r"Given QSO_high (\S+), found (\S+) \[(\S+), (\S+)\]", note)
    given, found, low, high = map(float, words.groups())
    assert given == 0.97 and low < found < high and low < samples.NEW[0] < high
    assert not any("contradicts" in note for note in make(number=20, prior=(tuple(samples.NEW),)).notes)


def test_density_by_footprint_and_by_area(make):
    assert abs(len(make(density=30.0)) - 30) <= 3
    assert len(make(density=30.0, area=0.5)) == 15


def test_no_positions(make, world, samples):
    rows = samples.replace(world[1], ra=np.full(3000, np.nan))
    with pytest.raises(ListError, match="the footprint is empty"):
        make(rows, density=10.0)
    found = make(rows, number=5)
    assert found.footprint is None and any("no footprint" in note for note in found.notes)


def test_too_few_positions_to_measure_a_footprint(make, world):
    rows = world[1].take(np.arange(3))
    with pytest.raises(ListError, match=r"3 rows with a position are too few to measure a footprint.*--area"):
        make(rows, density=10.0)
    found = make(rows, number=2)
    assert found.footprint is None and found.per_deg2 is None
    assert any("too few to measure a footprint" in note for note in found.notes)
    assert len(make(rows, density=10.0, area=0.2)) == 2


def test_trap_the_mix_of_one_row_has_an_interval(make, world):
    """A bootstrap draw of one row may hold none."""
    mix = make(world[1].take(np.arange(1)), number=1).mix
    assert np.isfinite(mix.low).all() and np.isfinite(mix.high).all()


@pytest.mark.parametrize("rule", [{"number": 100_000}, {"density": 1e300}])
def test_more_rows_than_the_field_has(make, rule):
    found = make(**rule)
    assert len(found) == 3000
    assert any("asked for, and the field (all magnitudes) has 3,000" in note for note in found.notes)


def test_a_density_of_less_than_a_row(make):
    with pytest.raises(ListError, match="less than one row of the field .*Ask for a larger --density"):
        make(density=1e-6)


def test_same_seed_same_list(make):
    one, two = make(fdr=0.3), make(fdr=0.3)
    np.testing.assert_array_equal(one.to_pandas()["NUMBER"], two.to_pandas()["NUMBER"])
    assert one.parts == two.parts


def test_what_is_refused(make, world, samples):
    labelled, rows, _ = world
    with pytest.raises(ListError, match="there is no class 'QSO_hig'. Did you mean 'QSO_high'"):
        make(cls="QSO_hig", number=3)
    with pytest.raises(ListError, match="carries no held-out labels"):
        make(labelled=None, number=3)
    with pytest.raises(ListError, match="no calibration labels of QSO_high"):
        make(labelled=labelled.take(labelled.label != 0), number=3)
    with pytest.raises(ListError, match=r"predicted with another model \(seed: 3 and 4\)"):
        refuse_other_model(rows, samples.about(seed=4))
    with pytest.raises(ListError, match="they are not of this model"):
        make(samples.replace(rows, classes=("A", "B", "C", "D")), number=3)
    with pytest.raises(ListError, match="no row of the predictions has a magnitude within magnitude 30 to any"):
        make(number=3, magnitudes=(30.0, None))
    with pytest.raises(ListError, match="no calibration labels of .* at magnitudes < 17"):
        make(number=3, prior_edges=(17.0,))
    with pytest.raises(ListError, match="sum to 0.4, not to 1"):
        make(number=3, prior=((0.1, 0.1, 0.1, 0.1),))
    with pytest.raises(ListError, match="holds no rows"):
        make(rows.take(np.zeros(0, dtype=int)), number=3)


def test_a_model_calibrated_on_mocks_promises_nothing(make, samples):
    mocks = samples.held_out(np.random.default_rng(1), domain="source")
    with pytest.raises(ListError, match="--purity promises something of the sky"):
        make(labelled=mocks, purity=0.5)
    assert any("calibrated on mocks" in note for note in make(labelled=mocks, number=5).notes)


def test_known_sources_are_left_out_by_id_and_position(make, world):
    import pandas as pd

    rows = world[1]
    ids = pd.DataFrame({name.lower(): values[:700] for name, values in rows.ids.items()})
    places = Table({"RA": rows.ra[600:1500] + 1e-4 / 3600, "DEC": rows.dec[600:1500]})
    found = make(number=3000, known=[ids, places])
    assert len(found) == 1500 and found.to_pandas()["NUMBER"].min() == 1501
    assert "700 rows are sources of known table 1 and were left out." in found.notes
    assert "800 rows are sources of known table 2 and were left out." in found.notes
    with pytest.raises(
        ListError, match=r"known table 1: has neither positions .* nor ids of the predictions \(TILE_ID"
    ):
        make(number=3, known=pd.DataFrame({"NUMBER": [1]}))
    with pytest.raises(ListError, match="known table 1: has neither positions .* It has: no columns"):
        make(number=3, known=pd.DataFrame())
    with pytest.raises(ListError, match="every row of the predictions is a known source"):
        make(number=3, known=Table({"ra": rows.ra, "dec": rows.dec}))
    with pytest.raises(ListError, match="cannot read a table from an object of type int"):
        make(number=3, known=[7])


@pytest.mark.parametrize("suffix", ["fits", "vot", "ecsv", "parquet", "csv"])
def test_a_saved_list_loads_again(make, tmp_path, suffix):
    made = make(purity=0.6, bin_edges=(20.0,))
    made.save(tmp_path / f"L.{suffix}", moc=tmp_path / "moc.fits")
    for name in (f"L.{suffix}", "L.json"):
        back = TargetList.load(tmp_path / name)
        assert (back.name, back.file, len(back)) == ("L", tmp_path / f"L.{suffix}", len(made))
        assert dump_json(back.to_dict()) == dump_json(made.to_dict()) and back.lines() == made.lines()
        ours, theirs = made.to_table(), back.to_table()
        assert ours.colnames == theirs.colnames and ours.meta == theirs.meta
        for column in ours.colnames:
            assert (ours[column].description, ours[column].unit) == (theirs[column].description, theirs[column].unit)
        np.testing.assert_array_equal(back.to_pandas()["NUMBER"], made.to_pandas()["NUMBER"])
        np.testing.assert_allclose(back.to_pandas()["PROBABILITY"], made.to_pandas()["PROBABILITY"])


def test_a_list_and_its_json_belong_together(make, tmp_path):
    make(number=5).save(tmp_path / "L.fits")
    make(number=6).save(tmp_path / "M.fits")
    (tmp_path / "M.fits").replace(tmp_path / "L.fits")
    with pytest.raises(BundleError, match=r"L\.json: does not belong to .*L\.fits"):
        TargetList.load(tmp_path / "L.fits")
    with pytest.raises(ListError, match="the table of candidate list 'M' is not beside its JSON"):
        TargetList.load(tmp_path / "M.json").to_pandas()
    (tmp_path / "N.json").write_text("{}")
    with pytest.raises(BundleError, match=r"N\.json: is not the JSON of a candidate list"):
        TargetList.load(tmp_path / "N.json")


def test_a_map_needs_a_footprint(make, world, tmp_path):
    nowhere = make(world[1].take(np.arange(3)), number=2)
    with pytest.raises(ListError, match="too few rows of the predictions have a position"):
        nowhere.save(tmp_path / "L.fits", moc=tmp_path / "moc.fits")
    assert not list(tmp_path.iterdir())


def test_a_list_shows_itself_in_a_few_lines(make):
    for found in (make(number=5), make(number=3, bin_edges=tuple(np.linspace(18.5, 22.5, 12)))):
        assert 1 <= len(repr(found).splitlines()) <= 10 and found.rule in repr(found)
        assert found._repr_html_().startswith("<table>") and found._repr_html_().count("<tr>") <= 11
        part = found.parts[0]
        assert cell(part.purity, part.purity_interval) in found._repr_html_() and part.purity_interval
    assert " 1 note>" in repr(replace(found, notes=("one",)))


def test_no_yield_rests_on_a_mix_that_the_field_contradicts(make, world, samples):
    _, rows, label = world
    off = rows.p**0.4 * np.array([0.3, 1, 1, 1])  # as where mocks calibrated, and the sky is not like them
    found = make(replace(rows, p=off / off.sum(axis=1, keepdims=True)), number=30)
    part, doubt = found.parts[0], found.mix.trust.doubt
    assert "not to be trusted" in doubt and doubt in found.notes and "weighed by selection" in found.mix.source
    assert part.by_mix.purity < 0.05 < 0.4 < part.by_selection.purity  # EM found no member at all
    true = (label[found.to_pandas()["NUMBER"] - 1] == 0).sum()
    assert true / 2 < found.expected < 2 * true


def test_a_promise_that_is_not_reached_says_when_the_mix_is_in_doubt(make, world):
    labelled, rows, _ = world
    few = labelled.take((labelled.label != 0) | (np.cumsum(labelled.label == 0) <= 4))
    with pytest.raises(ListError, match=r"cannot be reached .* EM is not to be trusted: QSO_high has 4 calibration"):
        make(rows, few, purity=0.999)

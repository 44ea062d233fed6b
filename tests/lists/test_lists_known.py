"""Known sources: rows that made the model, label catalogues, earlier lists, tables of literature."""

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from jpas_gbm.errors import BundleError, CatalogueError, ListError
from jpas_gbm.lists.candidate_list import make_list
from jpas_gbm.lists.mix import mag_bins, mix_edges
from jpas_gbm.lists.rule import ListOptions
from jpas_gbm.surveys.labels import LabelledRows


@pytest.fixture
def make(world, samples):
    labelled, rows, _ = world

    def made(known=None, own=None, rows=rows, **rule):
        model = samples.FakeFitted(labelled, own)
        return make_list(rows, model, ListOptions(**({"draws": 20, "number": 3000} | rule)), known=known)

    return made


def labelled_rows(rows, chosen, ids=None):
    n = len(rows.ra[chosen])
    ids = -(2**62) - 1 - np.arange(n) if ids is None else ids
    return LabelledRows(ids, rows.ra[chosen], rows.dec[chosen], np.zeros(n, dtype=np.int8), np.full(n, 2.5))


def test_a_wildcard_that_no_shell_spelt_out_stands_for_its_catalogues(make, world, tmp_path):
    rows = world[1]
    for name, part in (("a.csv", slice(0, 5)), ("b.csv", slice(5, 12))):
        pd.DataFrame({"RA": rows.ra[part], "DEC": rows.dec[part]}).to_csv(tmp_path / name, index=False)
    assert [(one.name, one.rows) for one in make(f"{tmp_path}/?.csv").known] == [("a.csv", 5), ("b.csv", 7)]


def test_rows_that_made_the_model_are_known_by_themselves(make, world):
    """Fails where a list offers sources that trained its model: they have a spectrum."""
    found = make(own=labelled_rows(world[1], slice(0, 700)))
    assert len(found) == 2300 and found.to_pandas()["NUMBER"].min() == 701
    assert "700 rows are sources that made the model and were left out." in found.notes
    assert [(one.rows, one.listed) for one in found.known] == [(700, 0)]
    assert found.parts[0].field_rows == 2300


def test_ids_of_the_survey_find_the_models_rows_where_positions_do_not(make, world, samples):
    rows = world[1]
    named = samples.replace(rows, ids={"TARGETID": 5 + np.arange(3000)}, ra=np.full(3000, np.nan))
    own = labelled_rows(rows, slice(0, 10), 5 + np.arange(10))
    assert len(make(own=own, rows=named)) == 2990
    assert len(make(own=labelled_rows(rows, slice(0, 10)), rows=named)) == 3000


def test_ids_that_name_no_target_match_none(make, world, samples):
    """DESI writes -1, or 0, where a fibre has no target: such rows were all one known source."""
    ids = np.where(np.arange(3000) < 1000, np.arange(3000) % 2 - 1, np.arange(3000))
    named = samples.replace(world[1], ids={"TARGETID": ids, "NUMBER": np.arange(3000)})
    table = pd.DataFrame({"TARGETID": [-1, 0, 2000], "RA": 10.0, "DEC": -80.0, "X": 1})
    twice = pd.concat([table, table[["X"]]], axis=1)  # a column that nothing reads may stand twice
    assert [(one.rows, one.name) for one in make(known=twice, rows=named, number=40).known] == [(1, "known table 1")]


def test_two_catalogues_of_one_name_are_told_apart(make, world, tmp_path):
    rows, paths = world[1], []
    for place, part in (("a", slice(0, 900)), ("b", slice(900, 1500))):
        (tmp_path / place).mkdir()
        paths.append(tmp_path / place / "known.fits")
        Table({"RA": rows.ra[part], "DEC": rows.dec[part]}).write(paths[-1])
    found = make(known=paths, number=40, flag_known=True)
    assert [(one.name, one.rows) for one in found.known] == [("a/known.fits", 900), ("b/known.fits", 600)]
    assert set(found.to_pandas()["KNOWN"].astype(str)) == {"", "a/known.fits", "b/known.fits"}
    assert any("900 rows are sources of a/known.fits" in note for note in found.notes)
    assert [one.name for one in make(known=paths[:1], number=40).known] == ["known.fits"]


def test_known_sources_may_be_flagged_and_the_promise_is_of_the_new(make, world):
    rows = world[1]
    table = Table(
        {"RA": rows.ra[:1500], "DEC": rows.dec[:1500] + 0.36 / 3600, "Type": ["Q"] * 1500, "CLASS": ["QSO"] * 1500,
         "Z": np.full(1500, 2.75)}
    )  # fmt: skip
    new, both = make(known=table, number=40), make(known=table, number=40, flag_known=True)
    assert new.parts == both.parts and new.mix.new == pytest.approx(both.mix.new)
    listed = both.to_pandas()
    flagged = listed["KNOWN"].astype(str).to_numpy() != ""
    assert (~flagged).sum() == 40 and 20 < flagged.sum() < 80 and len(both) == len(listed)
    assert (np.diff(listed["PROBABILITY"]) <= 0).all()
    assert (
        set(listed["KNOWN_CLASS"][flagged]) == {"QSO"} and listed["KNOWN_Z"][flagged].tolist() == [2.75] * flagged.sum()
    )
    np.testing.assert_allclose(listed["KNOWN_SEP"][flagged], 0.36, atol=1e-3)
    assert listed["KNOWN_SEP"][~flagged].isna().all()
    assert both.known[0].listed == flagged.sum() and both.known[0].rows == 1500
    assert both.to_table()["KNOWN_SEP"].unit == "arcsec" and "KNOWN" not in new.to_pandas()


def test_the_mix_is_that_of_the_new_sources(make, world, samples):
    """Spectroscopy took all quasars but a few: the mix of what it left has few."""
    rows, label = world[1:]
    taken = (label < 2) & (np.arange(3000) % 5 > 0)
    found = make(known=Table({"RA": rows.ra[taken], "DEC": rows.dec[taken]}), draws=60)
    place = mag_bins(rows.mag[~taken], mix_edges(world[0]))
    left = np.stack([np.bincount(label[~taken][place == b], minlength=4) / (place == b).sum() for b in range(3)])
    assert len(found.mix.bins) == 3 and np.mean((found.mix.low <= left) & (left <= found.mix.high)) > 0.8
    assert found.mix.new[:, 0].mean() < 0.5 * samples.NEW[0]


def test_an_earlier_list_takes_rows_away_and_no_member_from_the_mix(make):
    """It was chosen by probabilities: what the next likeliest rows are does not change, nor what they yield."""
    first, whole = make(number=60), make(number=120)
    second = make(known=first.to_pandas(), number=60)
    assert not set(first.to_pandas()["NUMBER"]) & set(second.to_pandas()["NUMBER"])
    rest = whole.parts[0].expected_true - first.parts[0].expected_true
    assert second.parts[0].expected_true == pytest.approx(rest, rel=0.02) and rest > 5
    assert second.mix.new == pytest.approx(whole.mix.new, abs=1e-9)
    assert any("60 of these are of an earlier list, which tells no class of them" in note for note in second.notes)
    places = first.to_pandas()[["RA", "DEC"]]
    less = make(known=places, number=60)
    assert less.parts[0].expected_true < rest - 1 and not any("earlier list" in note for note in less.notes)


def test_tables_as_simbad_writes_them(make, world):
    rows = world[1]
    place = SkyCoord(rows.ra[:50], rows.dec[:50], unit="deg")
    words = place.to_string("hmsdms", sep=" ", precision=4)
    halves = [(" ".join(one.split()[:3]), " ".join(one.split()[3:])) for one in words]
    table = pd.DataFrame(halves, columns=["RA", "DEC"])
    table["main_type"], table["rvz_redshift"] = "BLLac", ["0.3"] * 49 + ["--"]
    found = make(known=table, flag_known=True).to_pandas()
    flagged = found[found["KNOWN"].astype(str) != ""]
    assert len(flagged) == 50 and set(flagged["KNOWN_CLASS"]) == {"BLLac"}
    assert flagged["KNOWN_Z"].isna().sum() == 1
    table.loc[[0, 1], "RA"], table.loc[[1, 2], "DEC"] = ["", None], ["  ", ""]  # blank places match nothing
    assert make(known=table, flag_known=True).known[0].rows == 47
    degrees = pd.DataFrame({"RA": place.ra.deg.astype(str), "DEC": place.dec.deg.astype(str)})
    degrees.loc[3, "RA"] = ""
    assert make(known=degrees, flag_known=True).known[0].rows == 49
    table["RA"] = "near Vega"
    with pytest.raises(ListError, match="positions in RA and DEC are neither degrees nor hours .*angle 'near Vega'"):
        make(known=table)


def test_positions_of_known_tables_are_in_the_unit_that_they_state(make, world, tmp_path):
    rows = world[1]
    ra, dec = rows.ra[:50], rows.dec[:50]
    for unit, factor in (("rad", np.pi / 180), ("arcmin", 60.0), ("deg", 1.0)):
        table = Table({"RA": ra * factor, "DEC": dec * factor}, units={"RA": unit, "DEC": unit})
        table.write(tmp_path / f"{unit}.fits")
        for one in (table, tmp_path / f"{unit}.fits"):
            assert make(known=one, flag_known=True).known[0].rows == 50
    hours = Table({"RA": ra / 15, "DEC": dec}, units={"RA": "hourangle", "DEC": "deg"})
    assert make(known=hours, flag_known=True).known[0].rows == 50
    wrong = Table({"RA": ra, "DEC": dec}, units={"RA": "Jy", "DEC": "deg"})
    with pytest.raises(ListError, match="the unit of RA is 'Jy', which is no angle"):
        make(known=wrong)


def test_positions_that_cannot_be_are_named(make, world):
    rows = world[1]
    table = pd.DataFrame({"RA": rows.ra[:9], "DEC": rows.dec[:9]})
    table.loc[4, "DEC"] = 120.0
    with pytest.raises(ListError, match=r"1 of 9 rows have a position in RA and DEC that is none \(.*, 120 deg, say\)"):
        make(known=table)


def test_a_table_that_has_no_source_of_the_field_is_told(make, world):
    rows = world[1]
    hours = pd.DataFrame({"RA": rows.ra[:9] / 15, "DEC": rows.dec[:9]})
    notes = make(known=hours, flag_known=True).notes
    assert any("No row is a source of known table 1" in note and "in degrees" in note for note in notes)
    nowhere = pd.DataFrame({"RA": np.full(9, np.nan), "DEC": rows.dec[:9]})
    with pytest.raises(ListError, match="none of its 9 rows has a position"):
        make(known=nowhere)


def test_trap_a_failed_redshift_leaves_its_source_unknown(make, world):
    rows = world[1]
    zcat = pd.DataFrame(
        {"TARGETID": 10 + np.arange(90), "TARGET_RA": rows.ra[:90], "TARGET_DEC": rows.dec[:90], "SPECTYPE": "QSO",
         "Z": 2.5, "ZWARN": [0, 4] * 45, "OBJTYPE": "TGT", "COADD_FIBERSTATUS": 0}
    )  # fmt: skip
    found = make(known=zcat, flag_known=True)
    assert found.known[0].rows == 45
    assert set(found.to_pandas()["KNOWN_CLASS"].astype(str)) == {"", "QSO_high"}


def test_known_columns_of_lists_are_refused_and_blank_rules_leave_classes(make, world):
    rows = world[1]
    table = pd.DataFrame({"RA": rows.ra[:9], "DEC": rows.dec[:9], "CLASS": "QSO", "Z": 2.5, "ZWARN": "  "})
    assert set(make(known=table, flag_known=True).to_pandas()["KNOWN_CLASS"].astype(str)) == {"", "QSO"}
    for name in ("RA", "CLASS", "ZWARN"):
        twice = table.assign(**{name: [[value, value] for value in table[name]]})
        with pytest.raises(
            CatalogueError, match=rf"known table 1\[{name}\]: has the shape \(9, 2\), where one value a"
        ):
            make(known=twice)


@pytest.mark.parametrize("kind", ["memory", "pandas", "fits", "parquet"])
def test_known_columns_of_one_value_in_an_array_are_plain_and_of_several_refused(make, world, tmp_path, kind):
    """Positions in arrays were none, classes and redshifts were lost; Arrow's lists ended in NumPy's error."""
    rows = world[1]
    plain = {
        "RA": rows.ra[:9],
        "DEC": rows.dec[:9],
        "CLASS": np.full(9, "QSO"),
        "Z": np.full(9, 2.5),
        "ZWARN": np.zeros(9),
    }
    for name, values in plain.items():
        for width in (1, 2):
            known = Table(plain | {name: np.stack([values] * width, axis=1)})
            if kind in ("pandas", "parquet"):
                known = pd.DataFrame({one: known[one].tolist() for one in known.colnames})
            if kind == "parquet":
                known.to_parquet(tmp_path / "k.parquet")
            elif kind == "fits":
                known.write(tmp_path / "k.fits", overwrite=True)
            known = known if kind in ("memory", "pandas") else tmp_path / f"k.{kind}"
            if width == 2:
                with pytest.raises(CatalogueError, match=rf"\[{name}\]: has the shape \(9, 2\)"):
                    make(known=known)
                continue
            found = make(known=known, flag_known=True).to_pandas()
            found = found[found["KNOWN"].astype(str) != ""]
            assert found["KNOWN_Z"].tolist() == [2.5] * 9 and set(found["KNOWN_CLASS"]) == {"QSO"}
    odd = pd.DataFrame(plain).assign(Z=[{"a": 2.5}] * 9)
    with pytest.raises(CatalogueError, match=r"known table 1\[Z\]: holds 'struct<a: double>' in a row"):
        make(known=odd)


def test_a_rule_of_a_known_table_that_is_not_checked_is_told(make, world, tmp_path):
    rows = world[1]
    table = pd.DataFrame({"RA": rows.ra[:9], "DEC": rows.dec[:9], "CLASS": "QSO", "Z": 2.5, "ZWARN": np.nan})
    told = "ZWARN: blank in all rows, so not checked: redshift with a warning (ZWARNING is not 0)"
    assert f"known table 1: {told}" in make(known=table, flag_known=True).notes
    assert not any("ZWARN" in note for note in make(known=table.assign(ZWARN=0), flag_known=True).notes)
    zcat = {"TARGETID": 10 + np.arange(9), "TARGET_RA": rows.ra[:9], "TARGET_DEC": rows.dec[:9], "SPECTYPE": "QSO",
            "Z": 2.5, "ZWARN": 0, "OBJTYPE": "", "COADD_FIBERSTATUS": 0}  # fmt: skip
    pd.DataFrame(zcat).to_csv(tmp_path / "z.csv", index=False)
    notes = make(known=tmp_path / "z.csv", flag_known=True).notes
    assert any(note.startswith("z.csv: OBJTYPE: blank in all rows, so not checked") for note in notes)


@pytest.mark.parametrize("kind", ["int", "str", "float", "fits"])
def test_ids_of_known_tables_count_in_whatever_type_they_are_kept(make, kind, tmp_path):
    """Text, floating point and masked integers of files were no ids: it was said that there are none."""
    table = Table({"TILE_ID": np.full(9, 2241), "NUMBER": np.arange(1, 10)}, masked=True)
    table["NUMBER"].mask[2] = True
    known = tmp_path / "k.fits"
    table.write(known)
    if kind != "fits":
        known = pd.DataFrame({"TILE_ID": np.full(8, 2241), "NUMBER": np.r_[1:3, 4:10]}).astype(kind)
    assert [one.rows for one in make(known=known).known] == [8]
    words = pd.DataFrame({"TILE_ID": [2241] * 2, "NUMBER": ["a", "b"]})
    with pytest.raises(CatalogueError, match=r"known table 1\[NUMBER\]: row 0 holds 'a' where an integer is needed"):
        make(known=words)


def test_redshifts_of_known_tables_that_are_none(make, world):
    """Fillers stood in the list as redshifts; of a column of words all were lost without a word."""
    rows = world[1]
    table = pd.DataFrame({"RA": rows.ra[:9], "DEC": rows.dec[:9], "Z": [2.5, -9999, 99] * 3})
    assert make(known=table, flag_known=True).to_pandas()["KNOWN_Z"].dropna().tolist() == [2.5] * 3
    with pytest.raises(ListError, match=r"known table 1\[Z\]: holds no number \('high', say\)"):
        make(known=table.assign(Z="high"))
    assert make(known=table.assign(Z="--"), flag_known=True).to_pandas()["KNOWN_Z"].isna().all()


def test_masks_and_positions_that_astropy_writes_as_several_columns_are_understood(make, world, tmp_path):
    rows = world[1]
    table = Table({"RA": rows.ra[:9], "DEC": rows.dec[:9], "Z": np.full(9, 2.5)}, masked=True)
    table["Z"].mask[:2] = True
    table.write(tmp_path / "m.parquet")
    place = SkyCoord(rows.ra[:9], rows.dec[:9], unit="deg")
    assert make(known=Table({"coord": place}), flag_known=True).known[0].rows == 9
    found = make(known=tmp_path / "m.parquet", flag_known=True)
    assert found.known[0].rows == 9 and found.to_pandas()["KNOWN_Z"].notna().sum() == 7


def test_known_tables_of_another_frame_are_refused_as_catalogues_are(make, world, tmp_path):
    """They matched nothing, or sources beside them, in silence."""
    rows = world[1]
    table = Table({"RA": rows.ra[:9], "DEC": rows.dec[:9]}, meta={"RADESYS": "FK4", "EQUINOX": 1950.0})
    table.write(tmp_path / "b1950.fits")
    for known in (table, tmp_path / "b1950.fits"):
        with pytest.raises(CatalogueError, match=r"positions are of FK4, equinox 1950; ICRS"):
            make(known=known)
    table.meta = {"RADESYS": "FK5", "EQUINOX": 2000.0}
    assert make(known=table).known[0].rows == 9


def test_rows_that_made_the_model_are_kept_with_it():
    rows = LabelledRows(*(np.arange(3, dtype=kind) for kind in ("i8", "f8", "f8", "i1", "f8")))
    back = LabelledRows.of(rows.to_arrays())
    assert len(back) == 3 and (back.object_id == rows.object_id).all()
    with pytest.raises(BundleError, match="lack 'z'. Restore it or fit again"):
        LabelledRows.of({name: value for name, value in rows.to_arrays().items() if name != "z"})
    with pytest.raises(BundleError, match="not of one length"):
        LabelledRows.of(rows.to_arrays() | {"ra": np.zeros(2)})

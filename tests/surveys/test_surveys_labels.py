"""Classes, label rules, and the tables of labels and imaging."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, Table
from survey_samples import write_sdss

import jpas_gbm as jg
from jpas_gbm.errors import BundleError, CatalogueError
from jpas_gbm.surveys.conversion import _kinds, sky_cell
from jpas_gbm.surveys.curation import apply_label_rules
from jpas_gbm.surveys.imaging import ImagingTable
from jpas_gbm.surveys.labels import (
    LabelledRows,
    LabelTable,
    as_ids,
    join_labels,
    label_doubts,
    unique_labels,
    without_placeholders,
)
from jpas_gbm.surveys.positions import ids_from_key
from jpas_gbm.surveys.reader import CatalogueReader, read_catalogue, read_labels
from jpas_gbm.surveys.schema import RowRule, load_schema
from jpas_gbm.surveys.scheme import LabelScheme, default_scheme


def _zcat(**changes: object) -> dict[str, np.ndarray]:
    table = {
        "TARGETID": np.array([5, -3, 6, 7, 8, 9]),
        "OBJTYPE": np.array([b"TGT", b"SKY", b"TGT", b"TGT", b"TGT ", b"TGT"]),
        "ZCAT_PRIMARY": np.array([True, True, False, True, True, True]),
        "COADD_FIBERSTATUS": np.array([0, 0, 0, 8, 0, 0]),
        "ZWARN": np.array([0, 2053, 4, 4, 4, 0]),
    }
    return table | changes  # type: ignore[operator]


def test_label_rules_count_each_row_once_in_their_order() -> None:
    keep, counts = apply_label_rules(_zcat(), load_schema("desi_dr1"))
    assert keep.tolist() == [True, False, False, False, False, True]
    assert {count.rule: count.count for count in counts} == {
        "label_TARGETID": 1,
        "label_OBJTYPE": 0,
        "label_ZCAT_PRIMARY": 1,
        "label_COADD_FIBERSTATUS": 1,
        "label_ZWARN": 1,
    }
    assert {count.unit for count in counts} == {"rows"}


def test_label_rules_read_what_other_formats_make_of_the_columns() -> None:
    masked = np.ma.masked_array(np.zeros(6, dtype=int), mask=[1, 0, 0, 0, 0, 0])
    table = _zcat(
        ZWARN=masked,
        TARGETID=np.arange(1.0, 7.0),
        OBJTYPE=np.array([b"TGT", "TGT", "TGT ", None, "tgt", "TGT"], dtype=object),
        ZCAT_PRIMARY=np.array(["True", "T", "1", "true", "F", "False"]),
        COADD_FIBERSTATUS=np.array([0.0, 0.0, 0.0, np.nan, 0.0, 0.0]).astype(">f8"),
    )
    keep, _ = apply_label_rules(table, load_schema("desi_dr1"))
    assert keep.tolist() == [False, True, True, False, False, False]


def test_optional_rules_step_aside_and_needed_ones_do_not() -> None:
    table = _zcat()
    del table["OBJTYPE"]
    keep, counts = apply_label_rules(table, load_schema("desi_dr1"))
    assert keep.sum() == 2
    assert "label_OBJTYPE" not in [count.rule for count in counts]
    del table["ZWARN"]
    with pytest.raises(
        CatalogueError, match=r"zall.fits: column ZWARN or .* or zw is missing.*redshift with a warning.*optional"
    ):
        apply_label_rules(table, load_schema("desi_dr1"), "zall.fits")


def test_a_survey_without_rules_keeps_all() -> None:
    keep, counts = apply_label_rules({"a": np.zeros(3)}, load_schema("jpas_mocks"))
    assert keep.all()
    assert counts == []


def test_rules_on_equal_numbers_and_false() -> None:
    schema = load_schema("desi_dr1")
    assert schema.labels is not None
    rules = (
        RowRule(column="A", equals=2, reason="not 2"),
        RowRule(column="B", equals=False, reason="true"),
        RowRule(column="C", above=0.5, reason="low"),
    )
    other = schema.model_copy(update={"labels": schema.labels.model_copy(update={"rules": rules})})
    table = {"A": np.array([2, 2, 3]), "B": np.array([0, 1, 0]), "C": np.array([0.6, np.nan, 0.7])}
    assert apply_label_rules(table, other)[0].tolist() == [True, False, False]
    odd = {"PLATEQUALITY": np.array(["good"]), "ZCAT_PRIMARY": np.array(["maybe"])}
    with pytest.raises(CatalogueError, match="column ZCAT_PRIMARY: holds 'maybe'"):
        apply_label_rules(odd, load_schema("labels_by_position"))


def test_trap_targetid_as_float_is_refused() -> None:
    with pytest.raises(CatalogueError, match=r"'TARGETID' is stored as floating point: ids above 2\^53 are corrupted"):
        as_ids(np.array([39633000004190713.0]))
    with pytest.raises(CatalogueError, match="'TARGETID' holds <U4, not integers"):
        as_ids(np.array(["nine"]))
    with pytest.raises(CatalogueError, match=r"exceeds 2\^63 - 1"):
        as_ids(np.array([2**64 - 1], dtype=np.uint64))
    assert as_ids(np.array([5], dtype=">u8")).dtype == np.dtype(np.int64)
    assert as_ids(np.array([], dtype=np.uint64)).dtype == np.dtype(np.int64)


def _table(ids: list[int], label: list[int], **fields: object) -> LabelTable:
    n = len(ids)
    given = {"object_id": ids, "ra": np.zeros(n), "dec": np.zeros(n), "label": label, "z": np.zeros(n)}
    return LabelTable(**(given | fields))  # type: ignore[arg-type]


def test_label_table_holds_native_read_only_columns_and_all_ids() -> None:
    table = _table([7, 3], [0, 1], ra=np.array([1.0, 2.0], dtype=">f8"), all_ids=np.array([9, 3, -1]))
    assert table.ra.dtype.isnative
    assert table.all_ids.tolist() == [-1, 3, 7, 9]
    assert np.isnan(table.mag).all()
    assert table.take(np.array([1])).object_id.tolist() == [3]
    assert table.take(np.array([1])).all_ids.tolist() == [-1, 3, 7, 9]
    with pytest.raises(ValueError, match="read-only"):
        table.z[0] = 1.0
    masked = _table([7, 3], [0, 1], mag=np.ma.masked_array([20.0, 99.0], mask=[0, 1]))
    assert np.isnan(masked.mag).tolist() == [False, True]


def test_label_table_refuses_what_does_not_fit() -> None:
    with pytest.raises(CatalogueError, match="1 objects stand in more than one labelled row"):
        _table([7, 7], [0, 0])
    with pytest.raises(CatalogueError, match="rows without a class must be left out"):
        _table([7], [-1])
    with pytest.raises(CatalogueError, match=r"label table: column 'z' has shape \(3,\), expected \(1,\)"):
        _table([7], [0], z=np.zeros(3))
    with pytest.raises(CatalogueError, match="morphology codes must be 0 to 5"):
        _table([7], [0], morphology=[6])


def test_trap_the_same_targetid_twice() -> None:
    """Rows that agree are one object; rows whose classes differ leave no label to trust."""
    columns = {
        "object_id": np.array([5, 6, 5, 6, 8]),
        "ra": np.arange(5.0),
        "dec": np.zeros(5),
        "label": np.array([2, 1, 2, 3, 0]),
        "z": np.zeros(5),
    }
    table, counts = unique_labels(columns, np.array([99]))
    assert table.object_id.tolist() == [5, 8]
    assert table.ra.tolist() == [0.0, 4.0]
    assert counts == {"repeated": 2, "contradictory": 1}
    assert table.all_ids.tolist() == [5, 8, 99]


def test_join_labels_prefers_the_first_file_and_keeps_every_id() -> None:
    joined, counts = join_labels([_table([5, 6], [2, 1], z=np.full(2, 0.5)), _table([6, 7, 5], [3, 0, 2])])
    assert joined.object_id.tolist() == [5, 7]
    assert joined.z.tolist() == [0.5, 0.0]
    assert joined.all_ids.tolist() == [5, 6, 7]
    assert counts == {"repeated": 2, "contradictory": 1}
    one = _table([5], [2])
    assert join_labels([one]) == (one, {"repeated": 0, "contradictory": 0})


def test_imaging_tables_join() -> None:
    def imaging(n: int, *names: str) -> ImagingTable:
        return ImagingTable(
            np.zeros(n), np.zeros(n), np.full(n, 20), np.ones(n), {name: np.arange(n) for name in names}
        )

    first = imaging(2, "BRICKID", "OBJID")
    assert ImagingTable.concat([first]) is first
    joined = ImagingTable.concat([first, imaging(3, "OBJID")])
    assert len(joined) == 5
    assert joined.mag.dtype == np.float32
    assert joined.key["OBJID"].tolist() == [0, 1, 0, 1, 2]
    assert set(joined.key) == {"OBJID"}
    with pytest.raises(CatalogueError, match="imaging table: morphology codes"):
        ImagingTable(np.zeros(1), np.zeros(1), np.zeros(1), np.array([-1]))


@pytest.mark.parametrize("z", [-99.0, -1.0, 99.0, 1e9, np.nan, np.inf])
def test_a_redshift_that_cannot_be_makes_no_quasar(z):
    label = default_scheme().label(np.array(["QSO", "GALAXY", "QSO", "QSO"]), np.array([z, z, 2.5, -0.001]))
    assert label.tolist() == [-1, 2, 0, 1]


@pytest.mark.parametrize(
    ("z", "lost", "cause"),
    [
        ([-9999, 99, np.inf, 2.5, 0.3, -0.002], 2, "'-9999' 1, '99' 1): are they fillers?"),
        ([194000, 1e5, 9e4, 630000, 3e4, -20], 3, r"are they velocities in km/s (z is v/c)?"),
        ([646.0, 2500.0, 300.0, 21.0, 150.0, -0.1], 3, "are they thousandths?"),
    ],
)
def test_what_is_no_redshift_is_unknown_whatever_the_class(tmp_path, z, lost, cause) -> None:
    """Fillers stood as redshifts of galaxies and stars, and quasars went without a reason."""
    path = tmp_path / "labels.csv"
    words = ["QSO", "QSO", "GALAXY", "QSO", "GALAXY", "STAR"]
    frame = pd.DataFrame({"ra": np.arange(6.0), "dec": 1.0, "class": words, "z": z})
    frame.to_csv(path, index=False)
    with_z = [one for one in z if -0.01 < one < 20]
    table, quality = read_labels(path, "labels_by_position")
    assert len(table) == 6 - lost and table.z[np.isfinite(table.z)].tolist() == with_z
    assert quality.count("label_z_lost") == lost and quality.count("label_class") == 0
    assert quality.count("label_z_odd") == 6 - lost - len(with_z)
    assert cause in "\n".join(quality.lines())
    spread = jg.inspect(path).files[0].classes.redshift
    assert all(one.min > -0.01 and one.max < 20 for one in spread.values())


def test_a_table_may_name_classes_instead_of_types(tmp_path) -> None:
    words = ["QSO_high", "qso_low ", "QSO_high", "QSO", "GALAXY", "ghost", "ghost", "nova", ""]
    z = [np.nan, 1.0, 1.5, 2.5, 0.3, 1.0, 1.0, 0.0, 0.2]
    path = tmp_path / "labels.csv"
    pd.DataFrame({"ra": np.arange(9.0), "dec": 1.0, "class": words, "z": z}).to_csv(path, index=False)
    table, quality = read_labels(path, "labels_by_position")
    assert dict(zip(table.ra.tolist(), table.label.tolist(), strict=True)) == {0.0: 0, 1.0: 1, 3.0: 0, 4.0: 2}
    assert np.isnan(table.z[0])
    text = "\n".join(quality.lines())
    assert "3 of 9 rows (33.33 %): of a class that is not known here, so without label ('GHOST' 2, 'NOVA' 1)" in text
    assert "1 of 9 rows (11.11 %): of a class that their redshift contradicts" in text
    assert quality.count("label_class") == 1


def test_a_rule_on_quasars_is_one_on_their_classes() -> None:
    scheme = LabelScheme()
    assert scheme.label(np.array(["QSO_HIGH", "qso_low", "QSO"]), np.full(3, np.nan)).tolist() == [0, 1, -1]
    z = np.array([2.1, 2.0999, 99.0])
    assert scheme.label(np.full(3, "QSO_high"), z).tolist() == [0, -1, 0]
    assert scheme.contradicted(np.array(["QSO_low", "QSO_low", "QSO"]), z).tolist() == [True, False, False]
    two = LabelScheme(("QSO", "STAR"))
    assert two.label(np.array(["QSO", "STAR"]), np.full(2, np.nan)).tolist() == [0, 1]
    assert _kinds(np.array(["QSO_high", "GALAXY", ""]), scheme).tolist() == ["QSO", "GALAXY", ""]


def test_targeting_bits_of_a_label_table_are_named_as_left() -> None:
    table = pd.DataFrame(
        {
            "TARGETID": np.arange(5, 9),
            "TARGET_RA": np.linspace(10, 11, 4),
            "TARGET_DEC": np.zeros(4),
            "SPECTYPE": ["QSO", "GALAXY", "STAR", "GALAXY"],
            "Z": [2.5, 0.3, 0.0, 0.4],
            "ZWARN": np.zeros(4, dtype=int),
        }
    )
    bits = table.assign(SV1_DESI_TARGET=np.array([1 << 62, 4, 0, 0]), BGS_TARGET=0, PHOTSYS="S")
    plain, told = (read_labels(one, "desi_dr1")[1].lines() for one in (table, bits))
    line = [one for one in told if "targeting bits" in one]
    assert len(line) == 1 and "(SV1_DESI_TARGET, BGS_TARGET)" in line[0] and "left" in line[0]
    assert not any("targeting bits" in one for one in plain)
    np.testing.assert_array_equal(read_labels(bits, "desi_dr1")[0].label, read_labels(table, "desi_dr1")[0].label)


def test_an_id_of_the_largest_integer_is_one() -> None:
    most = np.array([2**63 - 1], dtype=np.uint64)
    assert as_ids(most, "ID").tolist() == [2**63 - 1]
    with pytest.raises(CatalogueError, match="exceeds 2"):
        as_ids(most + np.uint64(1), "ID")


def test_doubts_begin_at_the_ends_of_the_pile() -> None:
    scheme = default_scheme()
    z = np.array([1.549, 1.55, 1.65, 1.651])
    label = np.full(4, scheme.classes.index("QSO_low"), dtype=np.int8)
    assert label_doubts(label, z, scheme)["pile_up"].tolist() == [False, True, True, False]


def test_near_the_cut_is_within_a_hundredth_of_one_and_the_cut() -> None:
    scheme = default_scheme()
    reach = 0.01 * (1 + scheme.z_cut)
    z = scheme.z_cut + reach * np.array([-1.001, -0.999, 0.999, 1.001])
    label = np.full(4, scheme.classes.index("QSO_low"), dtype=np.int8)
    assert label_doubts(label, z, scheme)["near_cut"].tolist() == [False, True, True, False]


@pytest.mark.parametrize("name", ["ra", "dec", "label", "z", "mag", "morphology"])
def test_a_column_of_another_length_is_named(name: str) -> None:
    fields = {"object_id": np.arange(3), "ra": np.zeros(3), "dec": np.zeros(3), "label": np.zeros(3), "z": np.ones(3)}
    with pytest.raises(CatalogueError, match=f"^label table: column '{name}' has shape"):
        LabelTable(**(fields | {name: np.zeros(2)}))


def test_a_redshift_beyond_twenty_is_none() -> None:
    label = default_scheme().label(np.array(["QSO", "QSO"]), np.array([19.9, 20.1]))
    assert label.tolist() == [default_scheme().classes.index("QSO_high"), -1]


def test_one_named_place_is_enough_to_join_by() -> None:
    """A row that has no id takes that of the only named one at its place, wherever the others lie."""
    named = LabelTable(np.array([77]), np.array([10.0]), np.array([1.0]), np.array([0], dtype=np.int8), np.array([2.5]))
    places = np.array([10.0, 20.0])
    ids = ids_from_key({"PLACE": sky_cell(places, np.array([1.0, 1.0]))})
    nameless = LabelTable(ids, places, np.array([1.0, 1.0]), np.array([0, 2], dtype=np.int8), np.array([2.5, 0.1]))
    joined, _ = join_labels([named, nameless])
    assert 77 in joined.object_id and len(joined.object_id) == 2


def test_unlike_redshifts_at_one_place_are_a_placeholder() -> None:
    """Without magnitudes, redshifts .15 apart are those of several sources; .06 apart they may be one."""
    for z, kept in (([0.10, 0.15, 0.25], False), ([0.10, 0.13, 0.16], True)):
        n = len(z)
        table = LabelTable(np.arange(n), np.full(n, 10.0), np.zeros(n), np.full(n, 2, dtype=np.int8), np.array(z))
        assert np.isfinite(without_placeholders(table)[0].ra).all() == kept


def test_labelled_rows_of_arrays_and_of_catalogues() -> None:
    values = {"object_id": [1, 2], "ra": [3.0, 4.0], "dec": [5.0, 6.0], "label": [0, 1], "z": [2.5, 0.3]}
    arrays = {name: np.array(value) for name, value in values.items()}
    assert LabelledRows.of(arrays).object_id.tolist() == [1, 2]
    with pytest.raises(BundleError, match="lack 'z'"):
        LabelledRows.of({name: value for name, value in arrays.items() if name != "z"})
    rows = SimpleNamespace(**{name: np.asarray(value) for name, value in arrays.items()})
    rows.label = np.array([-1, 0])
    assert LabelledRows.of(rows).object_id.tolist() == [2]


def _sdss(**more: object) -> Table:
    place = np.arange(4) + 1.0
    return Table({"RA": place, "DEC": place, "CLASS": ["QSO"] * 4, "Z": place / 10, "ZWARNING": [0] * 4, **more})


def test_what_rules_compare_heeds_masks_and_no_case(tmp_path) -> None:
    table = _sdss(PLATEQUALITY=["good", "BAD", "Bad ", "good"])
    table["SPECPRIMARY"] = MaskedColumn(np.array([1, 1, 1, -1], dtype="i2"), mask=[0, 0, 0, 1], fill_value=-1)
    table.write(tmp_path / "a.fits")
    for source in (table, tmp_path / "a.fits"):
        assert read_labels(source)[0].ra.tolist() == [1.0]


@pytest.mark.parametrize("name", ["a.fits", "a.csv", None])
def test_a_column_that_says_nothing_leaves_a_rule_to_the_next_of_its_names(tmp_path, name) -> None:
    table = _sdss(SPECPRIMARY=MaskedColumn([0, 0, 0, 1], mask=[1, 1, 1, 0]), sciencePrimary=["true", "F", "1", "false"])
    if name:
        table.write(tmp_path / name)
    source = tmp_path / name if name else table
    assert read_labels(source)[0].ra.tolist() == [1.0, 3.0, 4.0]
    keep, _ = apply_label_rules(table.to_pandas(), load_schema("labels_by_position"))
    assert keep.tolist() == [True, False, True, True]


def _redshifts(**changes: object) -> Table:
    n = 4
    table = {"TARGETID": np.arange(1, n + 1), "TARGET_RA": np.arange(1.0, n + 1), "TARGET_DEC": np.zeros(n)}
    table |= {"SPECTYPE": np.full(n, "QSO"), "Z": np.full(n, 2.5), "OBJTYPE": np.full(n, "TGT")}
    table |= {"ZCAT_PRIMARY": np.ones(n, dtype=bool), "COADD_FIBERSTATUS": np.zeros(n, dtype=int)}
    return Table(table | {"ZWARN": np.zeros(n, dtype=int)} | changes)


@pytest.mark.parametrize("values", [np.full(4, "   "), MaskedColumn(np.full(4, "TGT"), mask=True), np.full(4, np.nan)])
@pytest.mark.parametrize("column", ["OBJTYPE", "COADD_FIBERSTATUS", "ZWARN"])
def test_a_rule_whose_column_is_blank_in_all_rows_is_told_and_not_applied(tmp_path, column, values) -> None:
    _redshifts(**{column: values}).write(tmp_path / "z.fits")
    if column == "ZWARN":  # without which nothing is to be trusted
        with pytest.raises(CatalogueError, match="column ZWARN or .* is missing or blank, by which 'desi_dr1' knows"):
            read_labels(tmp_path / "z.fits")
        return
    labels, quality = read_labels(tmp_path / "z.fits")
    assert len(labels) == 4
    assert f"z.fits: {column}: blank in all rows, so not checked: " in quality.notes()[0]
    some = _redshifts(OBJTYPE=["TGT", "", "", "SKY"])
    assert len(read_labels(some)[0]) == 1


@pytest.mark.parametrize("kind", ["memory", "pandas", "fits", "hdf5", "parquet"])
@pytest.mark.parametrize("column", ["TARGETID", "TARGET_RA", "SPECTYPE", "Z", "OBJTYPE", "ZWARN"])
def test_two_values_a_row_are_refused_with_their_shape(tmp_path, column, kind) -> None:
    table = _redshifts()
    table[column] = np.stack([table[column]] * 2, axis=1)
    source: object = table
    if kind in ("pandas", "parquet"):
        source = pd.DataFrame({name: table[name].tolist() for name in table.colnames})
    if kind == "parquet":
        source.to_parquet(tmp_path / "z.parquet")  # type: ignore[attr-defined]
    elif kind in ("fits", "hdf5"):
        table.write(tmp_path / f"z.{kind}", **({"path": "Z"} if kind == "hdf5" else {}))
    source = source if kind in ("memory", "pandas") else tmp_path / f"z.{kind}"
    with pytest.raises(CatalogueError, match=rf"\[{column}\]: has the shape \(4, 2\), where one value a row is needed"):
        read_labels(source)


def test_a_column_of_one_value_in_an_array_is_plain() -> None:
    table = _redshifts()
    for column in ("SPECTYPE", "Z", "ZWARN"):
        table[column] = np.array(table[column])[:, None]
    assert read_labels(table)[0].z.tolist() == [2.5] * 4


@pytest.mark.parametrize("value", [{"a": 1}, [[1.0]], [{"a": 1}]])
@pytest.mark.parametrize("column", ["TARGETID", "SPECTYPE", "Z", "ZWARN"])
def test_mappings_and_lists_of_lists_in_a_row_are_refused_by_name(tmp_path, column, value) -> None:
    """Arrow's own error came out of memory; of a file it was said that it is damaged."""
    frame = _redshifts().to_pandas().assign(**{column: [value] * 4})
    frame.to_parquet(tmp_path / "z.parquet")
    for source in (frame, tmp_path / "z.parquet"):
        with pytest.raises(
            CatalogueError, match=rf"\[{column}\]: holds '(struct|list)<.*' in a row, where one value or a"
        ):
            read_labels(source)


@pytest.mark.parametrize("value", [object(), 1j, 2**70])
def test_a_column_that_no_table_can_hold_is_refused_where_it_is_read(value) -> None:
    frame = _redshifts().to_pandas()
    odd = pd.Series([value, *frame["Z"][1:]], dtype=None if isinstance(value, complex) else object)
    assert len(read_labels(frame.assign(other=odd))[0]) == 4
    with pytest.raises(CatalogueError, match="DataFrame: holds what no table can in the column Z "):
        read_labels(frame.assign(Z=odd))


def test_bytes_in_another_encoding_are_words_that_are_not_known(tmp_path) -> None:
    frame = _redshifts().to_pandas().assign(SPECTYPE=[b"QSO", b"QSO", b"GAL\xe4", None])
    frame.to_parquet(tmp_path / "z.parquet")
    for source in (frame, tmp_path / "z.parquet"):
        assert read_labels(source)[0].object_id.tolist() == [1, 2]


def test_a_rule_of_a_catalogues_own_labels_whose_column_is_blank_in_all_rows_is_told_and_not_applied(tmp_path) -> None:
    """Block by block or whole: blank in all rows of the table counts, not in all rows of a block."""
    path = write_sdss(tmp_path / "s.csv", 40, zWarning=np.full(40, np.nan), clean=np.arange(40) >= 20)
    reader = CatalogueReader(path, "sdss_ugriz")
    for parts in ([reader.read()], list(reader.chunks(10))):
        labelled = np.concatenate([part.label for part in parts]) >= 0
        assert labelled.tolist() == [False] * 20 + [True] * 20
        assert [note for note in reader.quality.notes() if "zWarning" in note] == [
            "s.csv: zWarning: blank in all rows, so not checked: redshift with a warning (zWarning is not 0)"
        ]
    some = write_sdss(tmp_path / "t.csv", 40, zWarning=np.where(np.arange(40) < 20, np.nan, 0))
    reader = CatalogueReader(some, "sdss_ugriz")
    assert [int((part.label >= 0).sum()) for part in reader.chunks(10)] == [0, 0, 10, 10]
    assert not any("blank" in note for note in reader.quality.notes())
    nobody = write_sdss(tmp_path / "n.csv", 40, **{"class": np.full(40, ""), "zWarning": np.full(40, np.nan)})
    assert not any("blank" in note for note in read_catalogue(nobody, "sdss_ugriz")[1].notes())

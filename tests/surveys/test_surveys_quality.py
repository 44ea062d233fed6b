"""Each rule on fluxes applies once, is counted, and the counts add up."""

import numpy as np
import pytest

from jpas_gbm.errors import BundleError, CatalogueError
from jpas_gbm.surveys.band_finder import BandColumns, BandLayout
from jpas_gbm.surveys.bands import Band, BandSystem, njy_per_unit
from jpas_gbm.surveys.batches import as_float
from jpas_gbm.surveys.fluxes import flux_unit, fluxes_in_njy, njy_from_magnitudes, row_quality
from jpas_gbm.surveys.quality import QualityBit, QualityCount, QualityReport
from jpas_gbm.surveys.schema import FlagRule, Photometry, QualitySection
from jpas_gbm.surveys.spelling import stated_unit

BANDS = BandSystem("six", tuple(Band(f"B{i}", 4000.0 + 500 * i, 100.0) for i in range(6)))
NJY = 1e-32  # the unit of f_nu that is 1 nJy


def convert(flux, error=None, *, kind="absolute", unit="f_nu", scale=NJY, flags=(), stated=None, block=(), **rules):
    """Run the rules over one block of six bands; return the fluxes and the counts."""
    rule = Photometry(name="F", flux="F", error=None if error is None else "E", unit=unit, scale=scale, error_kind=kind)
    places = tuple(range(6))
    layout = BandLayout(
        BANDS,
        rule,
        BandColumns(("F",), places),
        None if error is None else BandColumns(("E",), places),
        tuple((flag, BandColumns(flag.column, places)) for flag in flags),
        units={"F": stated} if stated else {},
    )
    arrays = {"F": np.atleast_2d(flux)} | ({} if error is None else {"E": np.atleast_2d(error)}) | dict(block)
    out = fluxes_in_njy(arrays, layout, QualitySection(**rules), "t")
    return out, {count.rule: count.count for count in out.counts if count.count}


def test_each_missing_value_is_counted_by_the_first_rule_that_finds_it():
    flux = np.array([np.nan, np.inf, -99.0, 0.0, 5.0, -3.0])
    error = np.array([1.0, np.nan, 1.0, 1.0, np.nan, 2.0])
    out, counts = convert(flux, error, sentinels=(99, -99), zero_flux="missing")
    assert counts == {"missing": 1, "inf": 1, "sentinel": 1, "zero_flux": 1, "error_missing": 1}
    np.testing.assert_array_equal(np.isfinite(out.flux[0]), [False] * 5 + [True])
    np.testing.assert_array_equal(np.isfinite(out.error), np.isfinite(out.flux))


def test_a_zero_or_99_that_is_not_declared_is_a_flux():
    out, counts = convert([0.0, 99.0, -99.0, 1.0, 2.0, 3.0], [1.0] * 6)
    assert counts == {} and out.flux[0].tolist() == [0, 99, -99, 1, 2, 3]


def test_masked_entries_are_missing():
    flux = np.ma.MaskedArray(np.arange(1.0, 7.0), mask=[1, 0, 0, 0, 0, 0])
    error = np.ma.MaskedArray(np.ones(6), mask=[0, 1, 0, 0, 0, 0])
    out, counts = convert(flux[None], error[None])
    assert counts == {"missing": 1, "error_missing": 1}
    assert np.isnan(out.flux[0, :2]).all()


def test_trap_a_negative_flux_has_a_negative_relative_error():
    flux, relative = np.array([-10.0, 10.0, -10, 10, 1, 1]), np.array([-0.5, 0.5, 0.5, -0.5, 0.1, 0.1])
    out, counts = convert(flux, relative, kind="relative", negative_error="absolute")
    # A positive flux has no negative error: a mark, as -1 is of any flux.
    np.testing.assert_allclose(out.error[0], [5, 5, 5, np.nan, 0.1, 0.1], rtol=1e-6)
    assert counts == {"negative_error": 1, "error_mark": 1}
    out, counts = convert(flux, relative, kind="relative")
    assert counts == {"negative_error": 2} and np.isnan(out.flux[0, [0, 3]]).all()


@pytest.mark.parametrize("rule", ["absolute", "missing"])
@pytest.mark.parametrize(("kind", "unit"), [("relative", "f_nu"), ("absolute", "f_nu"), ("absolute", "ab_magnitude")])
def test_an_error_of_minus_one_is_a_mark_and_no_error_of_all_of_the_flux(kind, unit, rule):
    flux = np.array([20.0, 21, 22, 23, -20, 24])
    error = np.array([-1.0, 0.1, 0.1, -1, -1, 0.1])
    out, counts = convert(flux, error, kind=kind, unit=unit, scale=NJY if unit == "f_nu" else 1.0, negative_error=rule)
    assert np.isnan(out.flux[0, [0, 3, 4]]).all() and np.isfinite(out.flux[0, [1, 2, 5]]).all()
    marks = {"error_mark"} if rule == "absolute" and unit == "f_nu" else {"negative_error"}
    # A magnitude of -20 is none before its error is looked at.
    assert counts == (dict.fromkeys(marks, 3) if unit == "f_nu" else {"no_magnitude": 1, "negative_error": 2})


def test_zero_errors_and_error_sentinels():
    out, counts = convert([1.0, 2.0, 0.0, 4, 5, 6], [0.0, 99.0, 0.5, 1, 1, 1], kind="relative", error_sentinels=(99,))
    # A relative error of a flux of 0 is an error of 0, which no flux has.
    assert counts == {"error_sentinel": 1, "zero_error": 2}
    assert np.isnan(out.flux[0, :3]).all() and (out.error[0, 3:] > 0).all()


def test_overflow_is_no_flux():
    out, counts = convert([1e38, 1, 1, 1, 1, 1], [1, 1e38, 1, 1, 1, 1], scale=1e-28)
    assert counts == {"overflow": 1, "error_overflow": 1} and np.isnan(out.flux[0, :2]).all()


def test_flags_reject_by_bits_and_others_are_harmless():
    rule = FlagRule(column="FLAGS", reject=4, meaning="corrupted")
    flags = np.array([[3, 4, 7, 1, 2, 4]], dtype=np.int16)
    flux = np.array([1.0, 2, 3, 4, 5, np.nan])
    out, counts = convert(flux, np.ones(6), flags=(rule,), block={"FLAGS": flags})
    assert counts == {"missing": 1, "flag_FLAGS": 2} and out.flagged.tolist() == [True]
    assert "corrupted" in next(c.sentence for c in out.counts if c.rule == "flag_FLAGS")


def test_a_mask_where_nothing_was_measured_flags_no_row():
    rule = FlagRule(column="MASK_FLAGS", reject=1)
    out, counts = convert(
        [np.nan, 1, 1, 1, 1, 1], np.ones(6), flags=(rule,), block={"MASK_FLAGS": np.array([[1, 0, 0, 0, 0, 0]])}
    )
    assert counts == {"missing": 1} and not out.flagged.any()


def test_flags_as_floats_masked_or_one_for_all_bands():
    rule = FlagRule(column="FLAGS", reject=4)
    flags = np.array([[4.0, np.nan, 0, 0, 0, 0]])
    assert convert(np.ones(6), np.ones(6), flags=(rule,), block={"FLAGS": flags})[1] == {"flag_FLAGS": 1}
    masked = np.ma.MaskedArray([[4, 4, 0, 0, 0, 0]], mask=[[0, 1, 0, 0, 0, 0]])
    assert convert(np.ones(6), np.ones(6), flags=(rule,), block={"FLAGS": masked})[1] == {"flag_FLAGS": 1}
    with pytest.raises(CatalogueError, match=r"t\[FLAGS\]: holds fractions; flags are integers made of bits"):
        convert(np.ones(6), np.ones(6), flags=(rule,), block={"FLAGS": flags + 0.5})
    layout = BandLayout(
        BANDS,
        Photometry(name="F", flux="F", unit="f_nu", scale=NJY, error_kind="none"),
        BandColumns(("F",), tuple(range(6))),
        flags=((rule, BandColumns(("FLAGS",))),),
    )
    out = fluxes_in_njy({"F": np.ones((2, 6)), "FLAGS": np.array([4, 0])}, layout, QualitySection(), "t")
    assert np.isnan(out.flux[0]).all() and np.isfinite(out.flux[1]).all() and np.isnan(out.error).all()


def test_one_column_per_band_may_be_masked():
    columns = BandColumns(("a", "b"))
    block = {"a": np.ma.MaskedArray([1.0, 2.0], mask=[True, False]), "b": np.array([3.0, 4.0])}
    np.testing.assert_array_equal(as_float(columns.take(block, "t")), [[np.nan, 3], [2, 4]])


def test_float32_stays_float32_and_integers_become_float64():
    assert as_float(np.ones(2, dtype=np.float32)).dtype == np.float32
    assert as_float(np.ones(2, dtype=np.int16)).dtype == np.float64
    out, _ = convert(np.ones(6, dtype=np.float32), np.ones(6, dtype=np.float32))
    assert out.flux.dtype == out.error.dtype == np.float32


def test_row_quality_bits():
    out, _ = convert(np.array([[1.0] * 6, [np.nan] * 6, [1, 1, np.nan, np.nan, np.nan, np.nan]]), np.ones((3, 6)))
    out.flagged = np.array([True, False, False])
    bits = row_quality(out, QualitySection(min_bands=3))
    assert bits.dtype == np.uint16
    assert bits.tolist() == [QualityBit.FLAGGED, QualityBit.FEW_BANDS, QualityBit.FEW_BANDS]
    assert {c.rule: c.count for c in out.counts}["no_band"] == 1


# ---- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10**-19 erg Angstrom-1 s-1 cm-2", ("f_lambda", 1e-19)),
        ("1e-19 erg / (Angstrom s cm2)", ("f_lambda", 1e-19)),
        ("1e-17 erg/s/cm2/Angstroms", ("f_lambda", 1e-17)),
        ("nJy", ("f_nu", 1e-32)),
        ("10**-30 erg s-1 cm-2 Hz-1", ("f_nu", 1e-30)),
        ("mag", ("ab_magnitude", 1.0)),
        ("nanobananas", None),
        ("deg", None),
        (None, None),
        ("", None),
    ],
)
def test_stated_units(text, found):
    assert stated_unit(text) == found


def test_what_a_file_states_wins_but_plain_mag_does_not_undo_asinh():
    rule = Photometry(name="F", flux="F", unit="f_lambda", scale=1e-19, error_kind="relative")
    assert flux_unit(rule, None) == ("f_lambda", 1e-19)
    assert flux_unit(rule, "uJy") == ("f_nu", 1e-29)
    asinh = Photometry(name="F", flux="F", unit="asinh_magnitude", error_kind="none")
    assert flux_unit(asinh, "mag")[0] == "asinh_magnitude"


def test_f_lambda_by_the_pivot_wavelength():
    factor = njy_per_unit("f_lambda", 1e-19, BANDS)
    np.testing.assert_allclose(factor, 1e-19 * BANDS.pivots**2 / 2.99792458e18 * 1e32)
    np.testing.assert_allclose(njy_per_unit("f_nu", 1e-30, BANDS), 100)


def test_ab_and_asinh_magnitudes():
    rule = Photometry(
        name="F", unit="asinh_magnitude", error_kind="magnitude", softening=dict.fromkeys(BANDS.names, 1e-10)
    )
    mag = np.full((1, 6), 20.0)
    error = np.full((1, 6), 0.1)
    ab, sigma = njy_from_magnitudes(mag, error, "ab_magnitude", rule, BANDS)
    assert ab[0, 0] == pytest.approx(36307.805) and sigma[0, 0] == pytest.approx(0.1 * ab[0, 0] / 1.0857362)
    asinh, _ = njy_from_magnitudes(mag, error, "asinh_magnitude", rule, BANDS)
    assert asinh[0, 0] == pytest.approx(ab[0, 0], rel=1e-3)
    # The asinh magnitude of no flux is -2.5 log10 b; fainter ones are negative fluxes.
    none, sigma = njy_from_magnitudes(np.full((1, 6), 25.0), error, "asinh_magnitude", rule, BANDS)
    assert none[0, 0] == pytest.approx(0, abs=1e-6) and sigma[0, 0] > 0
    assert njy_from_magnitudes(np.full((1, 6), 26.0), None, "asinh_magnitude", rule, BANDS)[0][0, 0] < 0
    assert njy_from_magnitudes(mag, None, "ab_magnitude", rule, BANDS)[1] is None


def test_asinh_magnitudes_need_a_softening():
    rule = Photometry(name="F", unit="asinh_magnitude", error_kind="none", softening={"B0": 1e-10})
    with pytest.raises(
        CatalogueError, match=r"'F' is in asinh magnitudes, .* no softening b for B1, B2, B3, B4, B5\. Add it"
    ):
        njy_from_magnitudes(np.ones((1, 6)), None, "asinh_magnitude", rule, BANDS)


# ---- reports --------------------------------------------------------------------------------------


def report(file="a.fits", rows=10, **counts):
    found = [QualityCount(rule, f"rule {rule}", number) for rule, number in counts.items()]
    return QualityReport.of(file, rows, bands=5, counts=found)


def test_reports_add_up_by_file_and_rule():
    total = QualityReport.total([report(inf=2), report(inf=1, zero=4), report("b.fits", inf=10)])
    assert total.count("inf") == 13 and total.count("inf", "a.fits") == 3 and total.count("nothing") == 0
    assert total.files["a.fits"].rows == 20
    assert report(inf=1).merge(report(inf=1)).count("inf") == 2


def test_reports_are_read_by_people():
    lines = (report(inf=5, zero=0) + report("b.fits")).lines()
    assert lines == [
        "a.fits: 10 rows, 5 bands",
        "  5 of 50 fluxes (10.00 %): rule inf",
        "b.fits: 10 rows, 5 bands",
        "  nothing was rejected or mended",
    ]
    rows = QualityReport.of("z", 4, counts=[QualityCount("x", "of a kind", 1, "rows")])
    assert rows.lines() == ["z: 4 rows", "  1 of 4 rows (25.00 %): of a kind"]
    assert (
        QualityReport.of("z", 0, counts=[QualityCount("x", "y", 1)]).lines()[1].startswith("  1 of 0 fluxes (0.00 %)")
    )


def test_reports_go_through_json():
    one = report(inf=5, zero=0)
    assert QualityReport.from_dict(one.to_dict()) == one
    with pytest.raises(BundleError, match=r"the quality report is damaged .*prepare the data set again"):
        QualityReport.from_dict({"a": {"rows": 1}})


def test_magnitudes_of_several_files_are_alternatives():
    from jpas_gbm.surveys.quality import FileQuality, QualityReport

    files = {name: FileQuality(rows=1, magnitude=name) for name in ("r", "i")}
    assert QualityReport(files=files).magnitude == "r or i"
    assert not QualityReport(files=files).simulated  # a file that says nothing of it is of the sky
    assert (files["r"] + FileQuality(rows=1, simulated=True)).simulated


def test_the_value_of_each_bit_stays_what_files_hold():
    named = "FLAGGED FEW_BANDS NO_IMAGING OUTSIDE_MAGNITUDES LOW_OVERLAP UNKNOWN_MORPHOLOGY UNKNOWN_TILE NO_PHOTOMETRY"
    assert {bit.name: int(bit) for bit in QualityBit} == {name: 1 << i for i, name in enumerate(named.split())}


@pytest.mark.parametrize(
    ("scale", "stated", "side", "taken"),
    [
        (NJY * 1e-10, None, "fainter than 32", "f_nu x 1e-42 erg/s/cm2/Hz, as the survey file has it for 'F'"),
        (NJY, "1e-45 erg/s/cm2/Hz", "fainter than 32", "'1e-45 erg/s/cm2/Hz', as the file states"),
        (NJY * 1e12, None, "brighter than 5", "f_nu x 1e-20 erg/s/cm2/Hz"),
        (NJY, None, "", ""),
        (NJY, "uJy", "", ""),
    ],
)
@pytest.mark.parametrize("errors", [True, False])
def test_a_depth_that_no_survey_has_is_told_with_the_unit_that_was_taken(scale, stated, side, taken, errors):
    flux = np.full((20, 6), 100.0)
    flux[3], flux[4, 2] = np.nan, -50
    told = {"stated": stated, "scale": scale, "unit": "f_nu"}
    kind = "absolute" if errors else "none"
    notes = convert(flux, np.full((20, 6), 5.0) if errors else None, kind=kind, **told)[0].notes
    assert len(notes) == bool(side)
    for note in notes:
        assert f"its {'5σ depth' if errors else 'brightness'} is {side} AB magnitudes" in note
        assert taken in note and "--survey" in note

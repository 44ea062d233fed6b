"""The shipped band systems, and the table that they are built from."""

import numpy as np
import pytest

from jpas_gbm.config import parse_options
from jpas_gbm.errors import ConfigError
from jpas_gbm.surveys.bands import BandsFile, band_system, band_system_names, build_system

TABLES = {"t": {"A": [4000, 100, "narrow"], "B": [5000, 100, "broad"]}}


def built(name, **systems):
    return build_system(parse_options(BandsFile, {"tables": TABLES, "systems": systems}, "bands.yaml"), name)


def test_shipped_systems_have_the_bands_of_the_releases():
    assert band_system_names()[:6] == ("jpas57", "jpas55", "minijpas60", "sdss_ugriz", "splus12", "jplus12")
    jpas = band_system("jpas57")
    assert jpas.names[:3] == ("uJAVA", "J0378", "J0390") and jpas.names[-3:] == ("J0910", "J1007", "iSDSS")
    assert len(jpas) == 57 and len(jpas.narrow) == 54
    assert len(band_system("jpas55")) == 55
    assert set(jpas.names) - set(band_system("jpas55").names) == {"uJAVA", "J1007"}
    assert band_system("minijpas60").names[56:] == ("uJPAS", "gSDSS", "rSDSS", "iSDSS")
    assert band_system("sdss_ugriz").names == ("u", "g", "r", "i", "z")


def test_narrow_bands_are_about_100_angstroms_apart():
    pivots = np.array([band_system("jpas57")[name].pivot for name in band_system("jpas57").narrow])
    assert np.all(np.abs(np.diff(pivots) - 100) < 25)


def test_the_class_boundary_is_where_lyman_alpha_enters_the_first_kept_band():
    first = band_system("jpas55")["J0378"]
    assert abs(1215.67 * 3.1 - first.pivot) < first.width / 2


def test_pivots_are_those_of_the_measured_curves(shared):
    for band in band_system("jpas57"):
        wavelength, throughput = np.loadtxt(shared / "jpas" / "curves" / f"JPAS_{band.name}.tab", unpack=True)[:2]
        pivot = np.sqrt(
            np.trapezoid(throughput * wavelength, wavelength) / np.trapezoid(throughput / wavelength, wavelength)
        )
        assert band.pivot == pytest.approx(pivot, abs=0.1), band.name


def test_unknown_system_names_the_nearest():
    with pytest.raises(
        ConfigError, match=r"no band system 'jpas56'\. Did you mean 'jpas5[57]'\? Known: jpas57, jpas55"
    ):
        band_system("jpas56")


def test_systems_from_tables_and_from_others():
    both = {"table": "t", "bands": ["B", "A"]}
    assert built("x", x=both).names == ("B", "A")
    assert built("y", x=both, y={"from": "x", "without": ["A"]}).names == ("B",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "nope", "bands": ["A"]}, r"'x' names the table 'nope', which is not there\. Tables: t\."),
        ({"table": "t", "bands": ["A", "Q"]}, r"'x' lists Q, which table 't' lacks\. Add the band there"),
        ({"from": "y", "without": ["Q"]}, r"'x' leaves out an unknown band: band system 'y' has no band 'Q'"),
    ],
)
def test_a_wrong_bands_file_says_what_is_wrong(options, message):
    with pytest.raises(ConfigError, match=message):
        built("x", x=options, y={"table": "t", "bands": ["A"]})

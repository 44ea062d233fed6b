"""Survey files: what they may say, and what is said when they are wrong."""

from pathlib import Path

import pytest

from jpas_gbm.errors import ConfigError
from jpas_gbm.surveys.bands import band_system
from jpas_gbm.surveys.schema import all_schemas, load_schema, survey_names


def test_all_shipped_surveys_load():
    shipped = set(survey_names())
    wanted = {"jpas_idr202406", "minijpas_pdr201912", "desi_dr1", "legacy_surveys", "jpas_mocks", "sdss_ugriz"}
    assert wanted <= shipped
    assert {schema.kind for schema in all_schemas()} == {"catalogue", "labels", "imaging"}
    for schema in all_schemas():
        assert schema.title and schema.key and schema.ra and schema.dec
        if schema.bands is not None:
            assert len(band_system(schema.default_bands)) <= len(band_system(schema.bands.system))


def test_defaults_and_identities():
    assert load_schema("jpas_idr202406").default_bands == "jpas55"
    assert load_schema("sdss_ugriz").default_bands == "sdss_ugriz"
    assert load_schema("desi_dr1").default_bands is None
    assert load_schema("jpas_mocks").identity == "id"
    assert load_schema("sdss_ugriz").identity == "position"
    assert load_schema("legacy_surveys").identity == "row"


def test_minijpas_extends_jpas():
    mini, jpas = load_schema("minijpas_pdr201912"), load_schema("jpas_idr202406")
    assert mini.bands.system == "minijpas60" and mini.bands.aliases == jpas.bands.aliases
    assert mini.photometry == jpas.photometry and mini.name == "minijpas_pdr201912"


def test_trap_zero_is_missing_only_where_the_survey_file_says_so():
    assert load_schema("jpas_mocks").quality.zero_flux == "observed"
    assert load_schema("jpas_idr202406").quality.zero_flux == "missing"


def test_trap_the_identity_of_sdss_is_no_photometric_id():
    schema = load_schema("sdss_ugriz")
    assert schema.key[0] == ("plate", "mjd", "fiberid")
    assert {"objid", "specobjid"} <= set(schema.ignore)
    assert schema.labels.z == ("redshift",)


def write(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_survey_file_of_ones_own_by_path(tmp_path):
    path = write(tmp_path, "extends: jpas_idr202406\ntitle: mine\nbands: {pivots: {iSDSS: 7497}}\n")
    schema = load_schema(path)
    assert schema.name == "mine" and schema.bands.pivots == {"iSDSS": 7497} and schema.bands.system == "jpas57"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: jpas_idr202406\ntitel: x\n", r"mine\.yaml: unknown option 'titel'\. Did you mean 'title'\?"),
        ("- a\n- b\n", r"mine\.yaml: expected 'name: value' lines, found list"),
        ("extends: mine\n", r"mine\.yaml: extends 'mine', which extends it\. Break the circle"),
        ("a: [", r"mine\.yaml: is not valid YAML"),
        (
            "title: x\nkind: catalogue\nkey: [[ROW]]\nra: RA\ndec: DEC\n",
            r"kind 'catalogue' needs 'bands' and 'photometry'",
        ),
        ("title: x\nkind: labels\nkey: [[ROW]]\nra: RA\n", r"option 'dec' is missing"),
    ],
)
def test_a_wrong_survey_file_says_what_is_wrong(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_schema(write(tmp_path, text))


@pytest.mark.parametrize("name", ["jpas_idr202506", "nowhere/jpas_idr202406"])
def test_unknown_survey_names_the_nearest(name):
    with pytest.raises(ConfigError, match=r"no survey file '.*'.* Shipped: .*desi_dr1, .*path to a YAML file"):
        load_schema(name)


def test_a_survey_file_is_read_as_it_stands(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    for unit, missing in (("f_nu", -9.0), ("f_lambda", -1.0)):
        way = f"  - {{name: F, flux: F, error_kind: none, unit: {unit}}}\n"
        rules = f"quality: {{sentinels: [{missing}]}}\nphotometry:\n"
        mine.write_text(f"extends: jpas_idr202406\ntitle: mine\n{rules}{way}")
        found = load_schema(mine)
        assert load_schema(str(mine)) == found and load_schema(found) is found
        assert found.photometry[0].unit == unit and found.quality.sentinels == (missing,)
    assert load_schema("splus") is load_schema("splus")

"""Survey files for people: listed, shown, drafted from a table; columns named by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from astropy.table import Table
from sample_files import write_idr

import jpas_gbm as jg
from jpas_gbm.errors import CatalogueError, ConfigError
from jpas_gbm.surveys.reader import CatalogueReader
from jpas_gbm.surveys.recognition import own_survey
from jpas_gbm.surveys.schema import survey_names
from jpas_gbm.surveys.survey_file import draft_survey, list_surveys, own_columns, show_survey, survey_json_schema_text


def table(**columns: object) -> pd.DataFrame:
    bands = {f"m_{band}": [18.0, 19.0] for band in "ugriz"} | {f"e_m_{band}": [0.1, 0.2] for band in "ugriz"}
    return pd.DataFrame({"raMean": [10.0, 11.0], "decMean": [1.0, 2.0], **bands, **columns})


def test_a_draft_is_a_survey_file_that_reads_its_table(tmp_path):
    frame = table(class_spec=["QSO", "STAR"], redshift=[2.5, 0.0])
    frame.to_csv(tmp_path / "t.csv", index=False)
    draft = draft_survey(tmp_path / "t.csv")
    content = yaml.safe_load(draft.text)
    assert content["photometry"][0]["flux"] == "m_{band}" and content["photometry"][0]["error"] == "e_m_{band}"
    assert content["bands"] == {"system": "sdss_ugriz"} and content["ra"] == "raMean"
    assert "GUESS: the median is 18.5" in draft.text and any("errors: e_m_{band}" in line for line in draft.notes)
    draft.save(tmp_path / "mine.yaml")
    catalogue = jg.read(tmp_path / "t.csv", survey=str(tmp_path / "mine.yaml"))
    np.testing.assert_allclose(catalogue.flux[0], 10 ** (0.4 * 13.4), rtol=1e-5)
    assert catalogue.z.tolist() == [2.5, 0.0]


def test_names_with_units_behind_them_are_drafted_whole(tmp_path):
    frame = table(class_spec=["QSO", "STAR"], redshift=[2.5, 0.0], ZWARN=[0, 0])
    frame["raMean"] /= 15
    behind = {"raMean": " [h]", "redshift": " [-]", "ZWARN": " [-]", "class_spec": ""}
    frame.columns = [name + behind.get(name, " [mag]" if "m_" in name else " (deg)") for name in frame]
    frame.to_csv(tmp_path / "t.csv", index=False)
    draft_survey(tmp_path / "t.csv").save(tmp_path / "mine.yaml")
    catalogue = jg.read(tmp_path / "t.csv", survey=str(tmp_path / "mine.yaml"))
    np.testing.assert_allclose(catalogue.ra, [10.0, 11.0])
    np.testing.assert_allclose(catalogue.flux[0], 10 ** (0.4 * 13.4), rtol=1e-5)
    assert catalogue.z.tolist() == [2.5, 0.0]


def test_arrays_of_a_shipped_survey_without_its_key_are_drafted_as_a_catalogue(tmp_path):
    whole = jg.read(write_idr(tmp_path / "a.fits", rows=5))
    path = write_idr(tmp_path / "t.fits", rows=5, changes={"TILE_ID": None})
    draft = draft_survey(path)
    assert yaml.safe_load(draft.text)["kind"] == "catalogue" and "key: [[ROW]]" in draft.text
    assert "bands: arrays FLUX_APER_COR_3_0, as those of jpas_idr202406" in draft.notes
    draft.save(tmp_path / "mine.yaml")
    found = jg.read(path, survey=str(tmp_path / "mine.yaml"))
    np.testing.assert_array_equal(found.flux, whole.flux)
    np.testing.assert_array_equal(found.flux_err, whole.flux_err)


@pytest.mark.parametrize("bands", ["ugriz", ["a1", "b2", "c3", "d4"]])
@pytest.mark.parametrize(
    ("word", "how"), [("IVAR", "1/sqrt of it"), ("variance", "sqrt of it"), ("SNR", "the flux over it")]
)
def test_what_is_no_error_is_drafted_as_what_it_is(tmp_path, bands, word, how):
    columns = {"RA": [10.0, 11.0], "DEC": [1.0, 2.0]}
    columns |= {f"FLUX_{word}_{band}": [0.1, 0.2] for band in bands} | {f"FLUX_{band}": [18.0, 19.0] for band in bands}
    draft = draft_survey(pd.DataFrame(columns))
    said = f"FLUX_{word}_{{band}} holds no errors ({word}): write columns of {how} and name these"
    assert 'flux: "FLUX_{band}"' in draft.text and f"error: TO_FILL   # {said}" in draft.text
    assert any(said.replace(" holds", ": holds") in note for note in draft.notes)
    # Errors that are there too are taken.
    columns |= {f"FLUX_ERR_{band}": [0.1, 0.2] for band in bands}
    draft = draft_survey(pd.DataFrame(columns))
    assert yaml.safe_load(draft.text)["photometry"][0]["error"] == "FLUX_ERR_{band}"


@pytest.mark.parametrize("bands", ["ugriz", ["a1", "b2", "c3", "d4"]])
@pytest.mark.parametrize(
    ("flux", "error"), [("m_{}", "em_{}"), ("f_{}", "ef_{}"), ("m_{}", "dm_{}"), ("F_{}", "e_f_{}")]
)
def test_errors_named_by_a_letter_before_their_fluxes_are_drafted(bands, flux, error):
    columns = {"RA": [10.0, 11.0], "DEC": [1.0, 2.0]}
    for pattern, value in ((error, 0.1), (flux, 18.0)):
        columns |= {pattern.format(band): [value, value] for band in bands}
    rule = yaml.safe_load(draft_survey(pd.DataFrame(columns)).text)["photometry"][0]
    assert (rule["flux"], rule["error"]) == (flux.format("{band}"), error.format("{band}"))


F_BANDS = ["u", "F378", "F395", "F410", "F430", "g", "F515", "r", "F660", "i", "F861", "z"]


@pytest.mark.parametrize(
    ("system", "bands", "flux", "error"),
    [
        ("jpas55", (), "{}", "d{}"),
        ("jpas55", (), "{}SB", "{}SB_err"),
        ("jpas55", (), "{}_jpas", "e{}_jpas"),
        ("jpas55", (), "mag_jpas_{}", "mag_err_jpas_{}"),
        ("jpas55", (), "jpas{}", "ejpas{}"),
        ("splus12", F_BANDS, "{}", "d{}"),
        ("splus12", F_BANDS, "m_{}", "m_{}_err"),
        ("sdss_ugriz", "ugriz", "{}", "d{}"),
    ],
)
def test_bands_in_other_words_and_by_other_names_are_drafted_and_read(tmp_path, system, bands, flux, error):
    from jpas_gbm.surveys.bands import band_system

    columns = {"_RA": [10.0, 11.0], "_DE": [1.0, 2.0], "Type": ["QSO", "STAR"], "z_spec": [2.5, 0.0]}
    for i, band in enumerate(bands or band_system(system).names):
        columns |= {flux.format(band): [18.0 + i / 10, 19.0], error.format(band): [0.1, 0.2]}
    draft = draft_survey(pd.DataFrame(columns))
    rule = yaml.safe_load(draft.text)["photometry"][0]
    assert (rule["flux"], rule["error"]) == (flux.format("{band}"), error.format("{band}"))
    draft.save(tmp_path / "mine.yaml")
    found = jg.read(pd.DataFrame(columns), survey=str(tmp_path / "mine.yaml"))
    np.testing.assert_allclose(found.ra, [10.0, 11.0])
    np.testing.assert_allclose(31.4 - 2.5 * np.log10(found.flux[0]), 18 + np.arange(len(found.bands)) / 10, rtol=1e-6)
    assert found.bands.name == system and found.label.tolist() == [0, 3] and found.z.tolist() == [2.5, 0.0]


def test_shapes_called_type_are_no_classes():
    frame = table(Type=["PSF", "REX"], redshift=[0.1, 0.2])
    assert yaml.safe_load(draft_survey(frame).text)["morphology"] == "Type"


def test_a_draft_says_what_it_did_not_find(tmp_path):
    pd.DataFrame({"x": [1.0], "y": [2.0], "main_type": ["QSO"]}).to_csv(tmp_path / "t.csv", index=False)
    draft = draft_survey(tmp_path / "t.csv")
    assert "ra: TO_FILL" in draft.text and "ra: not found, to be filled in" in draft.notes
    assert yaml.safe_load(draft.text)["kind"] == "labels"


def test_of_systems_that_share_bands_the_one_that_is_whole_is_drafted(tmp_path):
    from jpas_gbm.surveys.bands import band_system

    bands = band_system("jpas55").names
    frame = pd.DataFrame({"RA": [10.0], "DEC": [1.0]} | {f"flux_{band}": [3.0] for band in bands})
    draft_survey(frame).save(tmp_path / "mine.yaml")
    assert jg.read(frame, survey=str(tmp_path / "mine.yaml")).bands.names == bands


def test_a_table_of_ones_own_may_hold_measurements_of_a_known_survey(tmp_path):
    from jpas_gbm.errors import FeatureMismatch
    from jpas_gbm.predictions import open_rows
    from jpas_gbm.surveys.bands import band_system

    system = band_system("jpas55")
    columns = {f"F_{band}": [3.0] for band in system.names} | {f"E_{band}": [0.1] for band in system.names}
    frame = pd.DataFrame({"RA": [10.0], "DEC": [1.0]} | columns)
    text = draft_survey(frame).text
    line = next(line for line in text.split("\n") if line.startswith("# survey: "))
    assert "jpas_idr202406" in line and "sdss" not in line
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(FeatureMismatch, match="by the line 'survey: jpas_idr202406'"):
        open_rows(frame, system, "jpas_idr202406", str(tmp_path / "mine.yaml"))
    (tmp_path / "same.yaml").write_text(text.replace(line, "survey: jpas_idr202406"), encoding="utf-8")
    found = open_rows(frame, system, "jpas_idr202406", str(tmp_path / "same.yaml")).read()
    assert found.survey == "jpas_idr202406" and found.photometry == "F"
    problems = jg.inspect(frame, survey=str(tmp_path / "same.yaml")).files[0].problems
    assert any("jpas_idr202406" in problem for problem in problems)


def test_tiles_may_have_any_name_and_be_text(tmp_path):
    from jpas_gbm.surveys.conversion import numbered

    bands = {f"{b}_mag": [18.0, 19.0, 19.5] for b in "ugriz"} | {f"{b}_emag": [0.1, 0.2, 0.1] for b in "ugriz"}
    frame = pd.DataFrame({"ra": [10.0, 11.0, 12.0], "dec": [1.0, 2.0, 3.0], **bands})
    for tiles in ([7, 8, 7], ["HYDRA-12", " HYDRA-13 ", "HYDRA-12"]):
        draft = draft_survey(frame.assign(pointing=tiles))
        content = yaml.safe_load(draft.text)
        assert content["tile"] == "pointing" and content["photometry"][0]["error"] == "{band}_emag"
        draft.save(tmp_path / "mine.yaml", overwrite=True)
        key = jg.read(frame.assign(pointing=tiles), survey=str(tmp_path / "mine.yaml")).key
        assert list(key) == ["TILE_ID", "ROW"] and key["ROW"].tolist() == [0, 1, 2]
        assert key["TILE_ID"].tolist() == ([7, 8, 7] if tiles[0] == 7 else numbered(np.array(tiles)).tolist())
    numbers = numbered(np.array(["HYDRA-13", "", "HYDRA-12"]))
    assert numbers[0] == key["TILE_ID"][1] and numbers[1] == -1 and numbers[2] == key["TILE_ID"][0] != numbers[0]
    assert "tile" not in yaml.safe_load(draft_survey(frame.assign(pointing=[0.1, 0.2, 0.3])).text)


@pytest.mark.parametrize(
    "spelt", ["text", "padded", "string", "category", "object", "mixed", "float", "csv", "fits", "vot"]
)
def test_tiles_that_are_integers_are_these_in_whatever_holds_them(tmp_path, spelt):
    """Zero points are known by the number of a tile, and predictions are joined by it."""
    bands = {f"{b}_mag": [18.0, 19.0, 19.5] for b in "ugriz"} | {f"{b}_emag": [0.1, 0.2, 0.1] for b in "ugriz"}
    plain = pd.DataFrame({"ra": [10.0, 11.0, 12.0], "dec": [1.0, 2.0, 3.0], **bands, "pointing": [2245, 7, -3]})
    draft_survey(plain).save(tmp_path / "mine.yaml")
    of = plain.pointing
    text = {"padded": [" 02245", "+007 ", "-3"], "mixed": [2245, "7", -3.0], "float": of.astype(float)}
    kind = spelt if spelt in ("string", "category", "object") else "str"
    source = plain.assign(pointing=text.get(spelt, of.astype(str).astype(kind)))
    if spelt == "csv":
        source.assign(pointing=["2245.0", "7.0", "-3."]).to_csv(source := tmp_path / "a.csv", index=False)
    elif spelt in ("fits", "vot"):
        table = Table({name: list(values) for name, values in source.items()})
        table.write(source := tmp_path / f"a.{spelt}", format={"vot": "votable"}.get(spelt, spelt))
    reader = CatalogueReader(source, str(tmp_path / "mine.yaml"))
    assert reader.read().key["TILE_ID"].tolist() == [2245, 7, -3]
    assert [chunk.key["TILE_ID"].tolist() for chunk in reader.chunks(1)] == [[2245], [7], [-3]]


def test_a_name_has_one_number_beside_whatever_names():
    from jpas_gbm.surveys import conversion

    assert conversion.numbered(np.array(["-0", "0", "-0.0", "+0"])).tolist() == [0, 0, 0, 0]
    words = np.array(["12", "A12", "", "1e3x", "99999999999999999999", "-9223372036854775808"])
    whole = conversion.numbered(words)
    assert conversion.numbered(np.array(["7" * 5000]))[0] < 2**53  # too long for an integer of Python's
    assert whole.tolist() == [conversion.numbered(words[i : i + 1])[0] for i in range(len(words))]
    assert whole[0] == 12 and whole[2] == -1 and whole[5] == -(2**63) and (whole[[1, 3, 4]] > 1_000_000).all()
    with pytest.raises(CatalogueError, match=rf"tiles: '{whole[1]}' and 'A12' have one number here"):
        conversion.numbered(np.array(["A12", str(whole[1])]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["7", "2.245e3"], r"'2\.245e3'"),
        (["7", "-Inf"], "'-Inf'"),
        (["2245.5", "2244.5"], r"'224[45]\.5'"),
        (["2,245", "2,244"], "'2,24[45]'"),
        (["9007199254740993.0", "1.0"], r"'9007199254740993\.0'"),
        (["0170", "170", "A"], "'0170' and '170' have one number here"),
        (["-1", "", "A"], "(an empty name and '-1'|'-1' and an empty name) have one number here"),
    ],
)
@pytest.mark.parametrize("how", ["csv", "fits", "parquet", "memory"])
def test_tiles_in_text_that_may_be_meant_otherwise_are_refused(tmp_path, words, told, how):
    bands = {f"{b}_mag": [18.0, 19.0, 19.5] for b in "ugriz"} | {f"{b}_emag": [0.1, 0.2, 0.1] for b in "ugriz"}
    plain = pd.DataFrame({"ra": [10.0, 11.0, 12.0], "dec": [1.0, 2.0, 3.0], **bands, "pointing": [2245, 7, -3]})
    draft_survey(plain).save(tmp_path / "mine.yaml")

    def tiles(pointing):
        source, path = plain.assign(pointing=pointing), tmp_path / f"a.{how}"
        if how == "csv":
            source.to_csv(path, index=False)
        elif how == "parquet":
            source.to_parquet(path)
        elif how == "fits":
            Table.from_pandas(source).write(path, overwrite=True)
        return jg.read(source if how == "memory" else path, survey=str(tmp_path / "mine.yaml")).key["TILE_ID"].tolist()

    with pytest.raises(CatalogueError, match=rf"\[pointing\].*{told}"):
        tiles([*words, words[0]][:3])
    for nothing in ("NULL", "nan", "--", ""):
        assert tiles(["A", nothing, "170"])[1:] == [-1, 170]


def test_names_of_one_number_are_refused_in_chunks_of_any_size(tmp_path):
    """Of one chunk each, 7 and 007 were one tile; together they were refused."""
    bands = {f"{b}_mag": [18.0, 19.0, 19.5] for b in "ugriz"} | {f"{b}_emag": [0.1, 0.2, 0.1] for b in "ugriz"}
    plain = pd.DataFrame({"ra": [10.0, 11.0, 12.0], "dec": [1.0, 2.0, 3.0], **bands, "pointing": ["7", "7.0", "+7"]})
    draft_survey(plain).save(tmp_path / "mine.yaml")
    for size in (1, 2, 3, 10**9):
        alike = CatalogueReader(plain, str(tmp_path / "mine.yaml"))
        assert [n for chunk in alike.chunks(size) for n in chunk.key["TILE_ID"]] == [7, 7, 7]
        mixed = CatalogueReader(plain.assign(pointing=["7", "0x10", "007"]), str(tmp_path / "mine.yaml"))
        with pytest.raises(CatalogueError, match="'(007' and '7|7' and '007)' have one number here. Write both alike"):
            list(mixed.chunks(size))


def test_a_tile_named_by_hand_beside_that_of_the_key_is_told(tmp_path):
    """It went unread in silence; as a fallback of a survey file it is nothing to tell."""
    table = Table.read(write_idr(tmp_path / "a.fits"), hdu=1)
    table["FIELD"] = np.arange(len(table)) % 3 + 7
    told = "FIELD is not read as the tile: the row key names that already, TILE_ID"
    reader = CatalogueReader(table, own_survey(table, None, {"tile": "FIELD"}))
    reader.read()
    assert [note for note in reader.quality.notes() if told in note]
    for columns in ({"tile": "TILE_ID"}, {"tile": "FIELD", "key": ["NUMBER"]}):
        reader = CatalogueReader(table, own_survey(table, None, columns))
        tiles = reader.read().key["TILE_ID"]
        assert not [note for note in reader.quality.notes() if "as the tile" in note]
        assert set(tiles.tolist()) == set(np.asarray(table[columns["tile"]]).tolist())
    fallback = reader.schema.model_copy(update={"tile": ("FIELD",), "key": (("TILE_ID", "NUMBER"),)})
    fallback._roles = frozenset()
    assert not [note for note in CatalogueReader(table, fallback).quality.notes() if "as the tile" in note]


@pytest.mark.parametrize(
    ("columns", "told"),
    [({"key": []}, "column key=: name its columns"), ({"tile": ["TILE_ID"]}, "column tile=.*: name one column")],
)
def test_a_role_of_no_column_or_of_too_many_is_refused(tmp_path, columns, told):
    """Without a key the tiles were lost too, in silence; a list was Python's own error."""
    with pytest.raises(ConfigError, match=told):
        jg.read(write_idr(tmp_path / "a.fits"), columns=columns)


def test_a_table_that_nothing_knows_is_sent_to_a_draft():
    with pytest.raises(CatalogueError, match="'jpas-gbm survey init FILE' drafts a survey file"):
        jg.read(pd.DataFrame({"RA": [10.0], "DEC": [1.0], "colour": [2.0]}))


def test_a_stated_unit_is_no_guess(tmp_path):
    from astropy.table import Table

    frame = Table({"RA": [1.0], "DEC": [2.0]} | {f"flux_{band}": [3.0] for band in "ugriz"})
    for band in "ugriz":
        frame[f"flux_{band}"].unit = "nJy"
    text = draft_survey(frame).text
    assert yaml.safe_load(text)["photometry"][0]["unit"] == "f_nu" and "the file states nJy" in text


@pytest.mark.parametrize(
    ("flux", "error"),
    [("mag_{}", "magerr_{}"), ("{}_flux", "{}_flux_err"), ("flux.{}.auto", "e_flux.{}.auto"), ("{}", "e_{}")],
)
def test_bands_of_no_known_system_are_drafted_from_their_columns(flux, error, tmp_path):
    """Names, patterns and unit are found; what no table tells is to be filled in, and until then is named."""
    frame = pd.DataFrame({"ra": [1.0, 2.0], "ra_err": [0.1, 0.1], "dec": [2.0, 3.0], "dec_err": [0.1, 0.1]})
    for band in ("NB455", "NB515", "NB635", "Ks"):
        frame[flux.format(band)], frame[error.format(band)] = [20.0, 21.0], [0.1, 0.2]
    frame.to_csv(tmp_path / "t.csv", index=False)
    draft = draft_survey(tmp_path / "t.csv")
    said = yaml.safe_load(draft.text)
    assert list(said["bands"]["table"]) == ["NB455", "NB515", "NB635", "Ks"] and said["kind"] == "catalogue"
    assert said["photometry"][0]["flux"] == flux.format("{band}")
    assert said["photometry"][0]["error"] == error.format("{band}")
    assert said["photometry"][0]["unit"] == "ab_magnitude"
    (tmp_path / "mine.yaml").write_text(draft.text)
    with pytest.raises(ConfigError, match=r"bands\.table\.NB455.*number"):
        jg.inspect(tmp_path / "t.csv", survey=str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text(draft.text.replace("TO_FILL, TO_FILL", "5000, 130"))
    assert jg.inspect(tmp_path / "t.csv", survey=str(tmp_path / "mine.yaml")).files[0].rows == 2


def test_shipped_files_are_listed_and_shown():
    assert [line.split()[0] for line in list_surveys().lines()] == list(survey_names())
    assert "title: S-PLUS" in show_survey("splus").text
    with pytest.raises(ConfigError, match="no survey file 'spluss'. Did you mean 'splus'"):
        show_survey("spluss")


def test_the_json_schema_names_the_fields_of_a_survey_file():
    schema = json.loads(survey_json_schema_text().text)
    assert {"extends", "bands", "photometry", "key"} <= schema["properties"].keys() and schema["required"] == ["title"]


def test_columns_named_by_hand(tmp_path):
    frame = table(class_spec=["QSO", "STAR"], redshift=[2.5, 0.0]).rename(
        columns={"raMean": "east", "decMean": "north"}
    )
    frame.columns = [name.replace("m_", "dered_") if not name.startswith("e_") else name for name in frame]
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(CatalogueError, match="lacks RA"):
        jg.inspect(tmp_path / "t.csv", survey="sdss_ugriz")
    named = {"ra": "east", "dec": "north", "class": "class_spec"}
    found = jg.inspect(tmp_path / "t.csv", columns=named).files[0]
    assert found.survey == "sdss_ugriz" and found.sky is not None and found.sky.ra[0] == pytest.approx(10.0)
    with pytest.raises(CatalogueError, match="has no column 'eats' for ra. Did you mean 'east'"):
        jg.inspect(tmp_path / "t.csv", columns={**named, "ra": "eats"})
    with pytest.raises(ConfigError, match="there is no role 'rb'"):
        jg.inspect(tmp_path / "t.csv", columns={"rb": "east"})
    with pytest.raises(ConfigError, match="there is no role ''"):
        jg.inspect(tmp_path / "t.csv", columns={"": "nowhere"})


def test_words_of_the_command_line_name_columns():
    assert own_columns(["ra=east", "key=A,B"]) == {"ra": "east", "key": ["A", "B"]}
    with pytest.raises(ConfigError, match="--column east: write ROLE=NAME"):
        own_columns(["east"])


def test_the_verbs_on_the_command_line(tmp_path, run_here):
    table().to_csv(tmp_path / "t.csv", index=False)
    out = str(tmp_path / "mine.yaml")
    done = run_here("survey", "init", str(tmp_path / "t.csv"), "--out", out)
    assert done.returncode == 0 and f"--survey {out}" in done.stdout, done.stderr
    assert run_here("inspect", str(tmp_path / "t.csv"), "--survey", out, "--column", "ra=raMean").returncode == 0
    again = run_here("survey", "init", str(tmp_path / "t.csv"), "--out", out)
    assert again.returncode == 1 and "already exists" in again.stderr
    assert "regime: ssda" in run_here("config", "show", "ssda").stdout
    assert "labels_by_position" in run_here("survey", "list").stdout

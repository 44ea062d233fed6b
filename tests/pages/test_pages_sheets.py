"""Inspection sheets: what they show of each candidate, and votes that come back as labels."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.cli.verbs import app
from jpas_gbm.config import override
from jpas_gbm.errors import ConfigError
from jpas_gbm.inference.stream import predict
from jpas_gbm.lists.candidate_list import targets
from jpas_gbm.model import Model
from jpas_gbm.options import SimulateOptions
from jpas_gbm.pages.sheets import NEAR, sheets
from jpas_gbm.simulation.survey import simulate_survey
from jpas_gbm.simulation.write import write_survey
from jpas_gbm.surveys.prepare import prepare
from jpas_gbm.surveys.reader import read_catalogue

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def place(tiny, quick_options, tmp_path_factory):
    """A folder with a model that has templates, a catalogue, its imaging and predictions."""
    folder = tmp_path_factory.mktemp("sheets")
    features = override(quick_options.features, templates=True)
    model = fit(tiny, config=override(quick_options, features=features, regime="target-only"), seed=1)
    model.save(folder / "model")
    write_survey(simulate_survey(SimulateOptions(n_source=60, n_labelled=250, n_unlabelled=250), 9), folder / "sky")
    catalogue = next((folder / "sky").glob("*idr*.fits"))
    legacy = next((folder / "sky").glob("*tractor*"))
    predict(model, catalogue, folder / "P.fits", legacy=[legacy])
    return folder, catalogue, legacy


@pytest.fixture(scope="module")
def page(place):
    folder, catalogue, legacy = place
    words = ["targets", folder / "P.fits", "--number", 25, "--draws", 20, "--quiet", "--out", folder / "list.fits"]
    more = ["--catalogue", catalogue, "--legacy", legacy, "--sheets", folder / "sheets.html"]
    done = CliRunner().invoke(app, [*map(str, words), *map(str, more)])
    assert done.exit_code == 0, done.output
    assert f"sheets: {folder / 'sheets.html'}" in done.output
    return folder / "sheets.html"


def told(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_a_sheet_shows_the_fluxes_of_its_candidate(place, page):
    folder, catalogue, _ = place
    data, listed = told(page), targets(folder / "P.fits", number=25, draws=20).to_pandas()
    rows = read_catalogue(catalogue)[0]
    assert len(data["rows"]) == 25 and data["classes"] == ["QSO_high", "QSO_low", "GALAXY", "STAR"]
    for shown, row in zip(data["rows"][:5], listed.to_dict("records"), strict=False):
        assert shown["key"] == {name: str(row[name]) for name in ("TILE_ID", "NUMBER")}
        at = np.flatnonzero((rows.key["TILE_ID"] == row["TILE_ID"]) & (rows.key["NUMBER"] == row["NUMBER"]))[0]
        flux = rows.select_bands(Model.load(folder / "model").bands).flux[at]
        seen = np.array([value is not None for value in shown["flux"]])
        assert seen.sum() >= 0.9 * np.isfinite(flux).sum()
        light = np.array([v for v in shown["flux"] if v is not None]) * np.array(data["pivots"])[seen] ** 2
        assert np.corrcoef(light, flux[seen])[0, 1] > 0.98
        assert {fit["type"] for fit in shown["fits"]} == {"QSO", "GALAXY", "STAR"}
        assert shown["why"]["for"] == data["classes"][int(np.argmax(shown["p"]))]
        best = min(shown["fits"], key=lambda fit: fit["chi2"])
        assert best["chi2"] < 4 * best["bands"]


def test_neighbours_are_rows_of_the_field(place, page):
    folder, *_ = place
    field = pd.DataFrame(
        Model and __import__("astropy.table", fromlist=["Table"]).Table.read(folder / "P.fits").to_pandas()
    )
    for shown in told(page)["rows"]:
        east = (field["RA"] - shown["ra"]) * np.cos(np.deg2rad(shown["dec"])) * 3600
        apart = np.hypot(east, (field["DEC"] - shown["dec"]) * 3600)
        assert len(shown["near"]) == min(int(((apart > 0.05) & (apart < NEAR)).sum()), 6)


def test_the_page_is_one_file(page):
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text and "https://" not in text and 'src="' not in text and page.stat().st_size < 1_000_000


def test_sheets_need_the_catalogue_that_was_predicted(place, tmp_path):
    folder, *_ = place
    done = CliRunner().invoke(
        app,
        ["targets", str(folder / "P.fits"), "--number", "5", "--out", str(tmp_path / "l.fits"), "--sheets", "s.html"],
    )
    assert done.exit_code == 1 and "Name the catalogue that was predicted with --catalogue" in done.output
    found = targets(folder / "P.fits", number=5, draws=20)
    write_survey(simulate_survey(SimulateOptions(n_source=20, n_labelled=20, n_unlabelled=20), 3), tmp_path / "other")
    with pytest.raises(ConfigError, match=r"has \d+ of the 5 candidates. Name the catalogue"):
        sheets(found, next((tmp_path / "other").glob("*idr*.fits")), tmp_path / "s.html", model=folder / "model")
    assert not (tmp_path / "s.html").exists()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_votes_come_back_as_labels(place, page, tmp_path):
    """Keys are pressed in a browser; the table that it saves labels the catalogue."""
    folder, catalogue, _ = place
    keys = ["q", "g", "s", "u", "Q", "q", "x", "k", "x"]  # the last two votes are taken back: x here, and one before
    script = "".join(
        f"document.dispatchEvent(new KeyboardEvent('keydown',{{key:'{key}',shiftKey:{str(key.isupper()).lower()}}}));"
        for key in keys
    )
    script += "const pre=document.createElement('pre');pre.id='saved';pre.textContent=csv();document.body.append(pre);"
    text = page.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'u'}"]
    dom = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", f"file://{tmp_path / 'page.html'}"],
        capture_output=True,
        text=True,
        timeout=100,
    ).stdout
    votes = tmp_path / "votes.csv"
    votes.write_text(re.search(r'<pre id="saved">(.*?)</pre>', dom, re.S)[1], encoding="utf-8")
    table, data = pd.read_csv(votes), told(page)["rows"]
    assert table["CLASS"].fillna("").tolist() == ["QSO", "GALAXY", "STAR", "", "QSO"]
    assert table["VI_QUALITY"].tolist() == [4, 4, 4, 1, 3] and list(table)[:4] == ["TILE_ID", "NUMBER", "RA", "DEC"]
    z = next(fit["z"] for fit in data[0]["fits"] if fit["type"] == "QSO")
    assert table["Z"][0] == z and table["Z"][2] == 0
    source = sorted((folder / "sky").glob("*[Mm]ock*.npy")) or sorted((folder / "sky").glob("*mock*"))
    made = prepare(source=source, target=catalogue, labels=votes)
    labelled = np.flatnonzero(made.target.label >= 0)
    classes = ("QSO_high" if z >= 2.1 else "QSO_low", "GALAXY", "STAR")
    found = {}
    for i in labelled:
        key = tuple(str(made.target.key[name][i]) for name in ("TILE_ID", "NUMBER"))
        found[key] = made.target.label[i]
    for shown, name in zip(data, classes, strict=False):
        assert found[tuple(shown["key"].values())] == ("QSO_high", "QSO_low", "GALAXY", "STAR").index(name)
    assert tuple(data[3]["key"].values()) not in found and len(found) >= 4


def test_a_sheet_shows_the_density_of_redshift(place, page):
    """Cells of one grid that sum to 1, with the list's share above the cut; none without densities."""
    data = told(page)
    edges = np.array(data["zs"])
    frame = Table.read(place[0] / "list.fits").to_pandas()
    for i, row in enumerate(data["rows"]):
        if row["pz"][0] is None:
            assert np.isnan(frame["P_Z_HIGH"][i])
            continue
        mass = np.array(row["pz"]) * np.diff(edges)
        assert mass.sum() == pytest.approx(1, abs=0.02)
        below, cut = np.append(0, np.cumsum(mass)) / mass.sum(), np.searchsorted(edges, 2.1)
        assert below[cut - 1] - 0.02 <= 1 - frame["P_Z_HIGH"][i] <= below[cut + 1] + 0.02
        # The list knows but quantiles of the density before its sides were scaled, and is even between them.
        assert np.interp(frame["Z_QSO_50"][i], edges, below) == pytest.approx(0.5, abs=0.3)

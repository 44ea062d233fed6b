"""A process that is killed, and a real TAP service: GAVO DaCHS, where one runs."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import fake_tap as faults
import numpy as np
import pytest
import yaml
from astropy.io import fits
from fake_tap import FakeTap, Table

import jpas_gbm as jg

N = 100_000
RELEASE = {"survey": "desi_dr1", "tables": ["desi.zpix"], "tile": "HEALPIX", "number": "TARGETID", "rows_async": 40_000}


def redshifts(n, cells):
    """Columns of a redshift catalogue whose ids are in no order."""
    rng = np.random.default_rng(0)
    return [
        ("TARGETID", rng.permutation(10 * n)[:n].astype("i8") + 39_627_000_000_000_000),
        ("HEALPIX", np.sort(rng.integers(0, cells, n)).astype("i4")),
        ("TARGET_RA", np.round(rng.uniform(0, 10, n), 6)),
        ("TARGET_DEC", np.round(rng.uniform(0, 10, n), 6)),
        ("Z", np.round(rng.uniform(0, 4, n), 5)),
        ("ZWARN", np.zeros(n, dtype="i2")),
        ("SPECTYPE", rng.choice(np.array(["QSO", "GALAXY", "STAR"]), n)),
    ]


def killed(fake, command, when):
    """Run the command until so many queries for rows were asked, then end it by SIGKILL."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    late = time.monotonic() + 60
    while fake.data < when and process.poll() is None and time.monotonic() < late:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL, "it was ended in the middle of its work"


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_where_it_was(user, tmp_path):
    """kill -9 while an answer is awaited, and again while answers are written: 10^5 rows come whole and once."""
    columns = redshifts(N, 60)

    def endless(fake, request, fields, rows):
        time.sleep(3.0)
        faults._close(request)

    with FakeTap([Table("desi.zpix", columns)]) as fake:
        options = user.config(fake, timeout=20.0, **RELEASE)
        words = ["--release", "small", "--tiles", "all", "--quiet", "--out", str(tmp_path / "sky")]
        words += ["--config", str(options["config"]), "--cache", str(options["cache"])]
        command = [sys.executable, "-m", "jpas_gbm", "fetch", *words]
        fake.faults = {4: endless}
        killed(fake, command, 4)
        assert not (tmp_path / "sky").exists()
        killed(fake, command, 8)
        assert not (tmp_path / "sky").exists()
        assert subprocess.run(command, check=False).returncode == 0
        asked = Counter(query for query in fake.queries if "WHERE" in query)
        assert sum(count > 1 for count in asked.values()) <= 2, "only what was on its way is asked for again"
    rows = np.array(fits.getdata(tmp_path / "sky" / "catalogue.fits", 1))
    found, wanted = np.argsort(rows["TARGETID"]), np.argsort(columns[0][1])
    assert len(rows) == N
    for name, values in columns:
        assert (rows[name][found].astype(values.dtype) == values[wanted]).all(), name


DACHS = os.environ.get("JPAS_GBM_DACHS", "http://localhost:8080/tap")


def dachs():
    """Return why there is no service of DaCHS with the test's table here, or an empty string."""
    if shutil.which("dachs") is None and "JPAS_GBM_DACHS" not in os.environ:
        return "GAVO DaCHS is not installed (Debian: gavodachs2-server)"
    try:
        query = "?LANG=ADQL&REQUEST=doQuery&QUERY=SELECT+TOP+1+targetid+FROM+jpastest.zpix"
        with urllib.request.urlopen(DACHS + "/sync" + query, timeout=5) as answer:
            return "" if b"TABLEDATA" in (text := answer.read()) or b"<TABLE" in text else "it answers no table"
    except OSError as error:
        return f"no table jpastest.zpix at {DACHS} ({error}): see tests/archives/dachs/README.md"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_service_of_gavo_dachs_gives_all_rows_in_both_modes(mode, tmp_path):
    """A real TAP service, its own limits and its own VOTables; skipped by name where it is not."""
    if reason := dachs():
        pytest.skip(reason)
    release = {**RELEASE, "title": "DaCHS", "url": DACHS, "tables": ["jpastest.zpix"], "rows_sync": 350}
    release |= {"rows_async": 600, "timeout": 30.0, "tries": 2, "pause": 0.1}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"releases": {"small": release}}))
    options = {"config": tmp_path / "r.yaml", "cache": tmp_path / "cache", "mode": mode}
    got = jg.fetch("small", tmp_path / "sky", tiles="all", **options)
    rows = fits.getdata(tmp_path / "sky" / "catalogue.fits", 1)
    wanted = dict(dachs_rows())
    assert got.parts[0].rows == len(rows) == len(wanted["TARGETID"])
    order = np.argsort(rows["TARGETID"])
    for name, values in wanted.items():
        found = rows[name][order]
        assert (
            (np.char.strip(found.astype(str)) == values).all() if values.dtype.kind == "U" else (found == values).all()
        )


def dachs_rows():
    """The rows of tests/archives/dachs/rows.csv."""
    import csv
    from pathlib import Path

    with open(Path(__file__).parent / "dachs" / "rows.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    kinds = {"targetid": "i8", "healpix": "i4", "zwarn": "i4", "spectype": "U8"}
    lines.sort(key=lambda line: int(line["targetid"]))
    for name in lines[0]:
        yield name.upper(), np.array([line[name] for line in lines]).astype(kinds.get(name, "f8"))

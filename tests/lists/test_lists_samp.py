"""A list is sent to the programs of the desktop: tested with a hub and a client of astropy on this machine."""

from __future__ import annotations

import time

import pytest

from jpas_gbm.errors import ConfigError
from jpas_gbm.inputs import check_samp, send_samp

samp = pytest.importorskip("astropy.samp", reason="astropy has moved SAMP to pyvo")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:file://{tmp_path / 'samp'}")
    monkeypatch.setattr("astropy.samp.conf.use_internet", False)
    server = samp.SAMPHubServer(lockfile=str(tmp_path / "samp"), web_profile=False)
    server.start()
    yield server
    server.stop()


def test_a_table_reaches_the_programs_that_load_tables(hub, tmp_path):
    table, heard = tmp_path / "candidates.fits", []
    table.write_bytes(b"SIMPLE")
    topcat = samp.SAMPIntegratedClient(name="TOPCAT")
    topcat.connect()
    topcat.bind_receive_notification("table.load.fits", lambda *said: heard.append(said))
    try:
        assert send_samp(table) == ["TOPCAT"]
        until = time.monotonic() + 10
        while not heard and time.monotonic() < until:
            time.sleep(0.05)
        params = next(word for word in heard[0] if isinstance(word, dict))
        assert params["url"] == table.as_uri() and params["name"] == "candidates"
    finally:
        topcat.disconnect()


def test_a_hub_without_a_program_that_loads_tables_is_told(hub, tmp_path):
    with pytest.raises(ConfigError, match="is written, but no program that is connected to the SAMP hub loads"):
        send_samp(tmp_path / "candidates.vot")


def test_no_hub_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:file://{tmp_path / 'none'}")
    with pytest.raises(ConfigError, match="is written, but no SAMP hub runs to send it to. Start TOPCAT"):
        send_samp(tmp_path / "candidates.fits")


@pytest.mark.parametrize("out", [None, "candidates.csv"])
def test_what_cannot_be_sent_is_refused_first(out):
    with pytest.raises(ConfigError, match="--samp sends FITS and VOTable; --out is"):
        check_samp(out)

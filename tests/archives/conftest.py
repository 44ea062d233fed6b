"""A small archive on the loopback, and what a user needs to fetch from it."""

from __future__ import annotations

import pytest
import yaml
from fake_tap import FakeTap, make_sky


@pytest.fixture(scope="session")
def small_sky():
    return make_sky()


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user's machine: a file of releases, a cache, and no credentials unless a test gives some."""
    for name in ("JPAS_GBM_ARCHIVE_USER", "JPAS_GBM_ARCHIVE_PASSWORD", "JPAS_GBM_CACHE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("jpas_gbm.archives.tap._LONGEST_PAUSE", 0.05)
    return User(tmp_path)


class User:
    def __init__(self, folder):
        self.folder, self.cache = folder, folder / "cache"
        (folder / "five.yaml").write_text(
            "extends: jpas_idr202406\ntitle: five bands\nbands: {system: sdss_ugriz, default: sdss_ugriz}\n"
        )

    def config(self, fake: FakeTap, **changes):
        release = {
            "title": "a small release",
            "url": f"{fake.url}/tap",
            "survey": str(self.folder / "five.yaml"),
            "tables": ["jpas.FLambdaDualObj"],
            "filters": "jpas.Filter",
            "macro": "jpas",
            "rows_sync": fake.limit,
            "rows_async": 200,
            "timeout": 5.0,
            "tries": 3,
            "pause": 0.01,
        }
        if fake.login:
            release["login"] = f"{fake.url}/login"
        path = self.folder / "releases.yaml"
        path.write_text(yaml.safe_dump({"releases": {"small": release | changes}}))
        return {"config": path, "cache": self.cache}

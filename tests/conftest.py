"""Fixtures that every room's tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that need it are skipped without it."""
    if not _SHARED.is_dir():
        pytest.skip(f"reference data are not beside this checkout ({_SHARED} is missing)")
    return _SHARED

"""jpas-gbm: gradient-boosted classification of J-PAS sources, carried from mocks to the sky."""

from __future__ import annotations

from importlib import metadata

try:
    __version__ = metadata.version("jpas-gbm")
except metadata.PackageNotFoundError:
    __version__ = "0+unknown"

"""jpas-gbm: gradient-boosted classification of J-PAS sources, carried from mocks to the sky."""

from .provenance import package_version

__version__ = package_version()

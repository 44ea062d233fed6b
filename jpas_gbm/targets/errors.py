"""What can be wrong with a candidate list."""

from __future__ import annotations

from ..errors import JpasGbmError


class TargetError(JpasGbmError):
    """A candidate list cannot be made as it was asked for."""

"""What can go wrong in an explanation and is nobody's data."""

from __future__ import annotations

from ..errors import JpasGbmError


class ExplanationError(JpasGbmError):
    """Contributions cannot be made, do not add up, or cannot say what was asked."""

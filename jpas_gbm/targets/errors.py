"""TargetError, where benchmarks look for it."""

from __future__ import annotations

from ..errors import TargetError

__all__ = ["TargetError"]

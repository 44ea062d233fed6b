"""``python -m jpas_gbm`` is ``jpas-gbm``."""

from __future__ import annotations

from .cli import main

main()

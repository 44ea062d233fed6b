"""``python -m jpas_gbm`` is ``jpas-gbm``."""

from .cli import main

main()

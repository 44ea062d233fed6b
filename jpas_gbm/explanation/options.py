"""The options of an explanation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import Options


class ExplainOptions(Options):
    """Which rows, which question, and how features become bands."""

    pair: tuple[str, ...] | None = Field(
        None, description="Two classes: what speaks for the first against the second. Default: QSO_high, QSO_low."
    )
    rule: Literal["shares", "dominant"] = Field("shares", description="How contributions are shared among bands.")
    per_class: int = Field(300, ge=0, description="Most rows of a class that are explained; 0 takes all.")
    quasars: int = Field(3000, ge=0, description="The same for the classes of quasars, which are few; 0 takes all.")
    cut: float | None = Field(22.5, description="Faintest magnitude of the rows; none takes all.")
    blocks: int | None = Field(None, ge=1, description="Blocks along the spectrum; default: one for six bands.")
    z_range: tuple[float, float] = Field((2.2, 4.0), description="Redshifts of the physics score.")
    resamples: int = Field(500, ge=0, description="Bootstrap resamples of objects for the intervals.")
    chunk_rows: int = Field(500, ge=1, description="Rows in memory at a time.")
    detail_rows: int = Field(5000, ge=1, description="Most rows whose single features are kept.")
    top_features: int = Field(30, ge=1, description="Features kept row by row, by mean |contribution|.")

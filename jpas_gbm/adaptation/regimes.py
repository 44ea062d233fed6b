"""Regimes: what training may touch, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError, did_you_mean
from ..options import RegimeName


@dataclass(frozen=True)
class Regime:
    """What one regime may touch. No regime ever touches a test label.

    Parameters
    ----------
    name : str
        As on the command line.
    source : bool
        Whether trees may be grown on mocks.
    target_rows : bool
        Whether photometry of the target, labelled or not, may be used: to weigh the mocks and to make
        them look observed.
    target_labels : bool
        Whether trees may be grown on labels of the target's train split.
    twins : bool
        Whether mocks of the very objects that train may be compared with what the sky shows of them.
    calibration : {"source", "target"}
        Whose validation split sets probabilities and thresholds.
    """

    name: RegimeName
    source: bool
    target_rows: bool
    target_labels: bool
    twins: bool
    calibration: Literal["source", "target"]


_REGIMES = (
    Regime("mocks-only", source=True, target_rows=False, target_labels=False, twins=False, calibration="source"),
    Regime("mocks-calibrated", source=True, target_rows=True, target_labels=False, twins=False, calibration="target"),
    Regime("target-only", source=False, target_rows=True, target_labels=True, twins=False, calibration="target"),
    Regime("uda", source=True, target_rows=True, target_labels=False, twins=False, calibration="source"),
    Regime("ssda", source=True, target_rows=True, target_labels=True, twins=True, calibration="target"),
)


def get_regime(name: str) -> Regime:
    """Return a regime by name.

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    known = {regime.name: regime for regime in _REGIMES}
    if name not in known:
        raise ConfigError(f"unknown regime '{name}'.{did_you_mean(name, known)} Allowed: {', '.join(known)}.")
    return known[name]

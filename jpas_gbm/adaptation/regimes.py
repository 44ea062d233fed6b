"""Regimes: what training may touch, as data. A new regime is one row that is registered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError, did_you_mean


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
    weighs : bool
        Whether mocks are weighted toward the sky without a choice, by the one temper ``domain.uda_gamma``.
    """

    name: str
    source: bool
    target_rows: bool
    target_labels: bool
    twins: bool
    calibration: Literal["source", "target"]
    weighs: bool = False

    @property
    def adapts(self) -> bool:
        """Whether trees may see mocks and target labels both, so that there are ways to choose among."""
        return self.source and self.target_labels


_REGIMES: dict[str, Regime] = {}


def register_regime(regime: Regime) -> Regime:
    """Add a regime to those that ``fit`` knows, in place of another of its name.

    Parameters
    ----------
    regime : Regime
        What training may touch.

    Returns
    -------
    Regime
        The same.
    """
    _REGIMES[regime.name] = regime
    return regime


def regimes() -> tuple[Regime, ...]:
    """Return every registered regime, in the order of registration.

    Returns
    -------
    tuple of Regime
    """
    return tuple(_REGIMES.values())


def get_regime(name: str) -> Regime:
    """Return a regime by name.

    Parameters
    ----------
    name : str
        As on the command line.

    Returns
    -------
    Regime

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    if name not in _REGIMES:
        raise ConfigError(f"unknown regime '{name}'.{did_you_mean(name, _REGIMES)} Allowed: {', '.join(_REGIMES)}.")
    return _REGIMES[name]


for _regime in (
    Regime("mocks-only", source=True, target_rows=False, target_labels=False, twins=False, calibration="source"),
    Regime("mocks-calibrated", source=True, target_rows=True, target_labels=False, twins=False, calibration="target"),
    Regime("target-only", source=False, target_rows=True, target_labels=True, twins=False, calibration="target"),
    Regime("uda", source=True, target_rows=True, target_labels=False, twins=False, calibration="source", weighs=True),
    Regime("ssda", source=True, target_rows=True, target_labels=True, twins=True, calibration="target"),
):
    register_regime(_regime)

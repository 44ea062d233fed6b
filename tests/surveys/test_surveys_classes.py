"""Which spectral type and redshift make each class."""

from __future__ import annotations

import numpy as np
import pytest

from jpas_gbm.errors import ConfigError
from jpas_gbm.surveys.scheme import CLASSES, LabelScheme, default_scheme


def test_the_papers_classes_and_cut() -> None:
    scheme = default_scheme()
    label = scheme.label(
        np.array(["QSO   ", "QSO", "qso", "GALAXY", "STAR", "", "QSO"]),
        np.array([2.1, 2.0999, 5.0, np.nan, 3.0, 1.0, np.nan]),
    )
    assert label.tolist() == [0, 1, 0, 2, 3, -1, -1]
    assert label.dtype == np.int8
    assert scheme.classes == CLASSES == ("QSO_high", "QSO_low", "GALAXY", "STAR")
    assert scheme.counts(label) == {"QSO_high": 2, "QSO_low": 1, "GALAXY": 1, "STAR": 1}


def test_classes_are_data() -> None:
    scheme = LabelScheme(("STAR", "AGN", "REST"), 0.5, {"qso": "AGN", "GALAXY": ("REST", "AGN"), "STAR": ("STAR",)})
    assert scheme.label(np.array(["QSO", "GALAXY", "GALAXY", "STAR"]), np.array([0.1, 0.1, 0.5, 0.0])).tolist() == [
        1, 1, 2, 0,
    ]  # fmt: skip
    assert LabelScheme.from_dict(scheme.to_dict()) == scheme
    assert len(scheme) == 3


@pytest.mark.parametrize("classes", [("GALAXY", "STAR", "QSO"), ("STAR", "QSO", "GALAXY")])
def test_three_classes_in_any_order(classes: tuple[str, ...]) -> None:
    scheme = LabelScheme(classes)
    assert (scheme.quasars, scheme.galaxies, scheme.stars, scheme.parted) == (("QSO",), ("GALAXY",), ("STAR",), ())
    label = scheme.label(np.array(["QSO", "QSO", "GALAXY", "STAR"]), np.array([3.0, np.nan, 0.1, 0.0]))
    assert [classes[code] for code in label] == ["QSO", "QSO", "GALAXY", "STAR"]
    assert scheme.families.tolist() == [0, 1, 2]
    assert LabelScheme.from_dict(scheme.to_dict()) == scheme


def test_what_the_classes_are_does_not_hang_on_their_names() -> None:
    scheme = default_scheme()
    assert scheme.quasars == scheme.parted == ("QSO_high", "QSO_low")
    assert [scheme.kind_of(name) for name in scheme.classes] == ["QSO", "QSO", "GALAXY", "STAR"]
    assert scheme.z_range("QSO_high") == (2.1, np.inf)
    assert scheme.z_range("QSO_low") == (-np.inf, 2.1)
    assert scheme.z_range("STAR") == (-np.inf, np.inf)
    assert scheme.families.tolist() == [0, 0, 1, 2]
    other = LabelScheme(("etoile", "pres", "loin"), 1.5, {"QSO": ("loin", "pres"), "STAR": "etoile"})
    assert other.quasars == ("pres", "loin")
    assert other.families.tolist() == [0, 1, 1]
    assert other.z_range("loin") == (1.5, np.inf)
    mixed = LabelScheme(("QSO", "REST"), 2.1, {"QSO": "QSO", "GALAXY": "REST", "STAR": "REST"})
    assert (mixed.kind_of("REST"), mixed.galaxies) == ("", ())


def test_scheme_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"type of the class far, near does not follow from its name. Say which"):
        LabelScheme(("far", "near", "STAR"))
    with pytest.raises(ConfigError, match="there is no class 'QSO'"):
        default_scheme().kind_of("QSO")
    with pytest.raises(ConfigError, match="there is no class 'QSO'"):
        default_scheme().z_range("QSO")
    with pytest.raises(ConfigError, match=r"there is no class 'GALAXI'. Did you mean 'GALAXY'\?"):
        LabelScheme(spectypes={"GALAXY": ("GALAXI",)})
    with pytest.raises(ConfigError, match="two or more different names"):
        LabelScheme(("STAR", "STAR"), 2.1, {})
    with pytest.raises(ConfigError, match="spectral type 'QSO' has 3 classes: one, or two parted by z_cut"):
        LabelScheme(spectypes={"QSO": ("STAR", "GALAXY", "QSO_low")})

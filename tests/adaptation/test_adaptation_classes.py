"""Classes are data: other names, another order and another number of them, from fit to explanation."""

from dataclasses import replace

import numpy as np
import pytest

from jpas_gbm.adaptation.fit import fit
from jpas_gbm.comparison.evaluation import evaluate_model
from jpas_gbm.config import override
from jpas_gbm.explanation.explain import explain
from jpas_gbm.model import Model
from jpas_gbm.options import ExplainOptions
from jpas_gbm.surveys.scheme import LabelScheme

RENAMED = LabelScheme(
    ("distant", "near", "extended", "point"),
    spectypes={"QSO": ("distant", "near"), "GALAXY": "extended", "STAR": "point"},
)
TURNED = LabelScheme(("STAR", "GALAXY", "QSO_low", "QSO_high"))
THREE = LabelScheme(("GALAXY", "STAR", "QSO"))


def relabelled(dataset, scheme, codes):
    """The data set with the code of each of the four classes changed."""
    table = np.append(codes, -1).astype(np.int8)

    def change(rows):
        return rows.replace(label=table[rows.label])

    return replace(
        dataset,
        scheme=scheme,
        source=change(dataset.source),
        target=change(dataset.target),
        twins=change(dataset.twins),
    )


@pytest.fixture(scope="module")
def options(quick_options):
    return override(quick_options, features={"lines": False, "colours": (), "template_hosts": 0.3})


@pytest.fixture(scope="module")
def usual(tiny, options):
    return fit(tiny, config=options, seed=3)


def accuracy(fitted, dataset):
    test = dataset.target_rows("test")
    return (fitted.decide(fitted.probabilities(test)) == test.label).mean()


def redshifts_of_templates(fitted):
    """Redshifts of the templates by the spectral type of their class."""
    bank = fitted.recipe.templates.bank
    kinds = np.array([bank.scheme.kind_of(name) for name in bank.scheme.classes])[bank.group]
    return {kind: bank.z[kinds == kind, 1] for kind in ("QSO", "GALAXY", "STAR")}


def check_templates(fitted, scheme):
    assert fitted.recipe.templates.bank.scheme == scheme
    z = redshifts_of_templates(fitted)
    assert np.isnan(z["STAR"]).all() and z["GALAXY"].max() < 1.8 and z["QSO"].max() > 1.9
    for name in scheme.classes:
        of = fitted.recipe.templates.bank
        own = of.z[of.of_classes([name]), 1]
        low, high = scheme.z_range(name)
        assert scheme.kind_of(name) == "STAR" or ((own >= low - 0.05) & (own < high + 0.05)).all()


def test_other_names_change_nothing_but_names(tiny, options, usual):
    dataset = replace(tiny, scheme=RENAMED)
    fitted = fit(dataset, config=options, seed=3)
    rows = tiny.target_rows("test")
    check_templates(fitted, RENAMED)
    np.testing.assert_array_equal(fitted.probabilities(rows), usual.probabilities(rows))
    told = dict(zip(usual.classes, fitted.classes, strict=True))
    for name, other in zip(usual.recipe.names, fitted.recipe.names, strict=True):
        for old, new in told.items():
            name = name.replace(old, new)
        assert name == other


@pytest.mark.parametrize(("scheme", "codes"), [(TURNED, [3, 2, 1, 0]), (THREE, [2, 2, 0, 1])], ids=["turned", "three"])
def test_other_classes_from_fit_to_explanation(tiny, options, usual, scheme, codes, tmp_path):
    dataset = relabelled(tiny, scheme, codes)
    fitted = fit(dataset, config=options, seed=3)
    check_templates(fitted, scheme)
    assert accuracy(fitted, dataset) > accuracy(usual, tiny) - 0.02
    fitted.save(tmp_path / "model")
    back = Model.load(tmp_path / "model")
    rows = dataset.target_rows("test")
    np.testing.assert_array_equal(back.probabilities(rows), fitted.probabilities(rows))
    assert back.recipe.templates.bank.scheme == scheme and back.recipe.hash == fitted.recipe.hash
    evaluation = evaluate_model(back, dataset, split="test")
    assert set(evaluation.figures.counts) == set(scheme.classes)
    options = ExplainOptions(per_class=40, quasars=40, resamples=20)
    assert set(explain(back, dataset, config=options, threads=1).pair) <= set(scheme.classes)

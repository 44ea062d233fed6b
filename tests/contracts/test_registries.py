"""Adding one of a kind is one file: a dummy of each kind is registered and used."""

import sys

# Output formats -------------------------------------------------------------------------------------------------------

_FORMAT = """
import json

from jpas_gbm.output.writers import Writer, register_writer


@register_writer(".dummy")
class DummyWriter(Writer):
    def __init__(self, stream, head):
        self.stream = stream
        self.stream.write((json.dumps([head.name, [c.name for c in head.columns], head.facts()]) + "\\n").encode())

    def write(self, rows):
        self.stream.write("".join(f"{row}\\n" for row in rows.tolist()).encode())

    def close(self):
        self.stream.write(b"end\\n")
"""


def test_an_output_format_is_one_file(tmp_path, monkeypatch):
    """A file beside the other writers, and predictions and lists can be written with its suffix."""
    import numpy as np

    from jpas_gbm import output
    from jpas_gbm.output import writers
    from jpas_gbm.output.writers import Column, record_type

    (tmp_path / "write_dummy.py").write_text(_FORMAT, encoding="utf-8")
    monkeypatch.setattr(output, "__path__", [*output.__path__, str(tmp_path)])
    writers.suffixes()  # the formats register themselves now, not in the copy that goes with this test
    monkeypatch.setattr(writers, "_WRITERS", dict(writers._WRITERS))
    columns = (Column("N", "i8", "A number."), Column("NAME", "S3", "A name."))
    rows = np.array([(1, b"one"), (2, b"two")], dtype=record_type(columns))
    try:
        assert ".dummy" in writers.suffixes()
        with writers.table_writer(tmp_path / "a.dummy", writers.Head(columns, {}, cards={"OF": "a test"})) as writer:
            writer.write(rows[:1])
            writer.write(rows[1:])
    finally:
        sys.modules.pop("jpas_gbm.output.write_dummy", None)
    lines = (tmp_path / "a.dummy").read_text().splitlines()
    assert lines == ['["PREDICTIONS", ["N", "NAME"], {"OF": "a test"}]', "(1, b'one')", "(2, b'two')", "end"]


# Boosting backends ----------------------------------------------------------------------------------------------------

_BACKEND = """
import json

import numpy as np

from jpas_gbm.boosting.backend import Backend, Grower, register


class Growing(Grower):
    def __init__(self, rows, task):
        self.rows, self.task, self.rounds = rows, task, 0

    def step(self):
        self.rounds += 1
        return True

    def loss(self):
        return 1 / self.rounds

    def finish(self, rounds):
        return {"shift": [0.0] * (self.task.n_classes - 1) + [1.0 * rounds]}


@register("dummy")
class Dummy(Backend):
    suffix = ".json"

    def dataset(self, X, max_bin, reference, threads):
        return len(X)

    def grower(self, train, valid, task):
        return Growing(train, task)

    def raw_margins(self, trees, X, n_classes, threads):
        return np.tile(trees["shift"], (len(X), 1))

    def raw_contributions(self, trees, X, n_classes, threads):
        found = np.zeros((len(X), n_classes, X.shape[1] + 1))
        found[:, :, -1] = trees["shift"]
        return found

    def gain(self, trees, n_features):
        return np.zeros(n_features)

    def write_trees(self, trees, path):
        path.write_text(json.dumps(trees))

    def read_trees(self, path, shape):
        return json.loads(path.read_text())
"""


def test_a_boosting_backend_is_one_file(tiny, tmp_path, monkeypatch):
    """A file beside the other backends, and options, a fit, predictions and a saved model know its name."""
    import numpy as np
    import pytest

    from jpas_gbm.adaptation.fit import fit
    from jpas_gbm.boosting import backends
    from jpas_gbm.config import parse_options
    from jpas_gbm.errors import ConfigError
    from jpas_gbm.model import Model
    from jpas_gbm.options import BACKENDS, FitOptions

    given = {
        "regime": "mocks-only",
        "boosting": {"backend": "dummy", "rounds": 3},
        "features": {"templates": False, "lines": False, "colours": [1]},
    }
    with pytest.raises(ConfigError, match="no boosting backend 'dummy'.*Allowed: catboost, lightgbm, xgboost"):
        parse_options(FitOptions, given, "fit.yaml")
    (tmp_path / "dummy.py").write_text(_BACKEND, encoding="utf-8")
    monkeypatch.setattr(backends, "__path__", [*backends.__path__, str(tmp_path)])
    monkeypatch.setattr(BACKENDS, "_things", dict(BACKENDS._things))
    try:
        options = parse_options(FitOptions, given, "fit.yaml")
        model = fit(tiny, config=options, seed=1)
        model.save(tmp_path / "model")
        again = Model.load(tmp_path / "model")
        assert [member.booster.backend for member in again.members] == ["dummy"]
        rows = tiny.target_rows("test")
        assert np.array_equal(again.margins(rows), model.margins(rows))
    finally:
        sys.modules.pop("jpas_gbm.boosting.backends.dummy", None)


# Regimes --------------------------------------------------------------------------------------------------------------


def test_a_regime_is_one_row(tiny, quick_options, monkeypatch):
    """A row that is registered, and a fit takes its name and touches what it says."""
    from jpas_gbm.adaptation import rows as regimes
    from jpas_gbm.adaptation.fit import fit

    monkeypatch.setattr(regimes, "_REGIMES", dict(regimes._REGIMES))
    regimes.register_regime(
        regimes.Regime("dummy", source=True, target_rows=False, target_labels=False, twins=False, calibration="target")
    )
    model = fit(tiny, regime="dummy", config=quick_options, seed=1)
    assert model.card["regime"] == "dummy" and model.card["chosen"] == "mocks"
    assert {"source_train", "source_val", "target_val"} == set(model.card["rows"])


# Ways to adapt --------------------------------------------------------------------------------------------------------

_WAY = """
from dataclasses import dataclass

from jpas_gbm.adaptation.stages import Training
from jpas_gbm.adaptation.ways import Way, register_way
from jpas_gbm.config import Options


class HalfOptions(Options):
    share: float = 0.5


@register_way
@dataclass(frozen=True)
class Half(Way):
    way = "half"
    recipes = ("auto", "half")
    Own = HalfOptions
    share: float = 0.5

    @classmethod
    def candidates(cls, options, gammas):
        return [cls(cls.own(options).share)]

    def members(self, stages):
        rows, options = stages.part("target_train"), stages.options.continuation
        rows = rows.take(slice(0, int(self.share * len(rows))))

        def training():
            return Training(f"half, {stages.library}", rows.X, rows.y, stages.class_weights(rows.y, options), options)

        return self.plain(stages.train((self.way, self.share, options), training))
"""


def test_a_way_to_adapt_is_one_file(tiny, quick_options, tmp_path, monkeypatch):
    """Its name, options, training and candidates: a fit trains, scores and can keep it."""
    import pytest

    from jpas_gbm.adaptation import ways
    from jpas_gbm.adaptation.fit import fit
    from jpas_gbm.config import override
    from jpas_gbm.errors import ConfigError

    with pytest.raises(ConfigError, match="option 'recipe' has the unknown value 'half'.*Allowed: auto, continue"):
        fit(tiny, config=override(quick_options, recipe="half"))
    monkeypatch.setattr(ways, "_WAYS", dict(ways._WAYS))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "half_way.py").write_text(_WAY, encoding="utf-8")
    try:
        __import__("half_way")
        options = override(quick_options, recipe="half", ways={"half": {"share": 0.8}})
        model = fit(tiny, config=options, seed=1)
        assert "half(share=0.8)" in {one["candidate"] for one in model.card["candidates"]}
        assert any(entry["stage"] == "half, lightgbm" for entry in model.card["trainings"])
        with pytest.raises(ConfigError, match=r"ways\.half: unknown option 'shared'\. Did you mean 'share'"):
            fit(tiny, config=override(options, ways={"half": {"shared": 1}}))
        with pytest.raises(ConfigError, match="option 'ways' has the unknown value 'halve'. Did you mean 'half'"):
            fit(tiny, config=override(options, ways={"halve": {}}))
    finally:
        sys.modules.pop("half_way", None)


# Groups of features ---------------------------------------------------------------------------------------------------

_FEATURES = """
import numpy as np

from jpas_gbm.features.photospectra import FeaturePart, feature_group


class Reddest(FeaturePart):
    def __init__(self, bands):
        red = bands.by_wavelength[-1]
        self.column = bands.index(red)
        self.declare(bands, [("dummy_reddest", [([red], 1.0)])])

    def compute(self, spectra, out):
        out[0] = spectra.flux[self.column]


@feature_group("dummy")
def dummy_features(setting):
    if "dummy" in setting.options.more:
        yield Reddest(setting.bands)
"""


def test_a_group_of_features_is_one_file(tmp_path, monkeypatch, tiny, quick_options):
    """A file beside the other groups, and a fit trains on its features, the model folder and predictions have them."""
    import numpy as np

    from jpas_gbm.adaptation.fit import fit
    from jpas_gbm.config import override
    from jpas_gbm.features import groups, photospectra
    from jpas_gbm.model import Model

    (tmp_path / "dummy_features.py").write_text(_FEATURES, encoding="utf-8")
    photospectra.feature_groups()  # the groups register themselves now, not in the copy that goes with this test
    monkeypatch.setattr(groups, "__path__", [*groups.__path__, str(tmp_path)])
    monkeypatch.setattr(photospectra, "_REGISTRY", dict(photospectra._REGISTRY))
    try:
        features = quick_options.features.model_dump() | {"more": ("dummy",)}
        model = fit(tiny, config=override(quick_options, features=features, regime="mocks-only"), seed=1)
        assert model.recipe.groups["dummy_reddest"] == "dummy"
        model.save(tmp_path / "model")
        rows = tiny.target_rows("test")
        np.testing.assert_array_equal(Model.load(tmp_path / "model").probabilities(rows), model.probabilities(rows))
    finally:
        sys.modules.pop("jpas_gbm.features.groups.dummy_features", None)


# Figures and sections of the page -------------------------------------------------------------------------------------

_FIGURE = """
from jpas_gbm.pages.figures.plates import Panel, Plate, register_plate


def dots_figure(exhibits, ax):
    ax.plot([0, 1], [0, 1], "o")
    return ax


@register_plate("data", 15)
def dots_plate(exhibits):
    return Plate("dots", "Dots", "Two dots of no meaning.", "Two dots.", (Panel(dots_figure, exhibits),))
"""

_SECTION = """
from dataclasses import dataclass

from jpas_gbm.pages.sections import Block, ResultKind, register_kind
from jpas_gbm.store import read_record


@dataclass(frozen=True)
class Weather:
    seeing: float


register_kind(
    ResultKind(
        order=25,
        type=Weather,
        words="the weather",
        missing="No weather was given.",
        section=("weather", "The weather"),
        blocks=lambda found: [Block("text", f"Seeing of {one.seeing} arcsec.") for one in found],
        record=lambda one, number: ("weather", {"seed": 4}),
        file="weather.json",
        load=lambda folder: read_record(folder / "weather.json", Weather),
        sentences=lambda one: ["The seeing was measured."],
        doubts=lambda one: ["Seeing is of one night."],
    )
)
"""


def test_a_figure_is_one_file(tmp_path, monkeypatch):
    """A file beside the other figures, and the page has its plate in the section and place that it names."""
    from jpas_gbm.comparison.exhibits import Exhibits
    from jpas_gbm.comparison.separation import Balance, BalanceSide
    from jpas_gbm.pages import figures
    from jpas_gbm.pages.figures import plates
    from jpas_gbm.pages.html import panel_svg

    (tmp_path / "dots.py").write_text(_FIGURE, encoding="utf-8")
    plates.load_figures()  # so that those of the package are registered for good, and not for this test alone
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    monkeypatch.setattr(plates, "_MAKERS", {name: list(makers) for name, makers in plates._MAKERS.items()})
    plates.load_figures.cache_clear()
    side = BalanceSide("idr", 3, 0, {"A": 3}, ((3,),))
    try:
        found = plates.plates_of("data", Exhibits(balance=Balance(("A",), (18.0, 19.0), side, side, 0)), prefix="x-")
        assert [plate.key for plate in found] == ["x-dots", "x-balance"]
        assert panel_svg(found[0].panels[0], "p").startswith("<svg")
    finally:
        sys.modules.pop("jpas_gbm.pages.figures.dots", None)


def test_a_kind_of_result_is_one_file(tmp_path, monkeypatch):
    """A file beside the other sections, and the page reads, shows, doubts and misses results of the kind."""
    from jpas_gbm import pages
    from jpas_gbm.pages import sections
    from jpas_gbm.pages.page import doubts, found_sentences, make_page, missing_parts
    from jpas_gbm.pages.results import Results, read_results

    (tmp_path / "weather_section.py").write_text(_SECTION, encoding="utf-8")
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "weather.json").write_text('{"seeing": 0.7}', encoding="utf-8")
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(tmp_path)])
    monkeypatch.setattr(sections, "_KINDS", list(sections.result_kinds()))
    sections._load_sections.cache_clear()
    try:
        assert "No weather was given." in missing_parts(Results())
        results = read_results([tmp_path / "night"])
        page = make_page(results)
        assert [section.key for section in page.sections] == ["summary", "weather", "provenance", "missing"]
        assert page.sections[1].blocks[0].content == "Seeing of 0.7 arcsec."
        assert found_sentences(results) == ["The seeing was measured."]
        assert doubts(results) == ["Seeing is of one night."]
        assert "No weather was given." not in missing_parts(results)
    finally:
        sys.modules.pop("jpas_gbm.pages.weather_section", None)


def test_every_plot_is_found_by_its_name():
    """The names of plot are those of its table, no module hides one, and another is told with the known ones."""
    import pytest

    from jpas_gbm.pages import figures as plot
    from jpas_gbm.pages.figures.plates import load_figures

    load_figures()
    assert set(dir(plot)) == set(plot.PLOTS)
    assert all(callable(getattr(plot, name)) and getattr(plot, name).__doc__ for name in plot.PLOTS)
    with pytest.raises(AttributeError, match="there is no plot 'pie'. Known are regimes, radar, "):
        _ = plot.pie

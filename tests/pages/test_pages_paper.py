"""Figures for a paper: width, fonts, the numbers drawn, captions; and what a referee looks at first."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from jpas_gbm.comparison.evaluation import COMMON
from jpas_gbm.comparison.shown import pair_map
from jpas_gbm.errors import ConfigError, OutputError
from jpas_gbm.explanation.blocks import LINES
from jpas_gbm.explanation.explanation import Explanation
from jpas_gbm.model_folder import card_lines
from jpas_gbm.pages.figures.attribution import mark_lines
from jpas_gbm.pages.figures.data import _frame, _out_of_frame, map_figure, spectrum_figure
from jpas_gbm.pages.figures.lists import waterfall_figure
from jpas_gbm.pages.figures.plates import key_figure, plates_of
from jpas_gbm.pages.figures.probabilities import _both_sides, redshift_figure, roc_figure, strata_plate
from jpas_gbm.pages.figures.scores import RADARS, magnitude_figure, radar_centre, radar_figure
from jpas_gbm.pages.page_tables import candidates_table
from jpas_gbm.pages.paper import captions_tex, paper_width, plate_figure, save_figures, save_plate, tex, width_inches
from jpas_gbm.pages.why_section import shap_figure


@pytest.fixture
def ax():
    return Figure(figsize=(4.6, 3.3), layout="constrained").subplots()


@pytest.fixture(scope="session")
def subject(results):
    return results.subjects[0]


@pytest.fixture(scope="session")
def plates(subject):
    made = plates_of("scores", subject) + plates_of("data", subject.exhibits)
    return {plate.key: plate for plate in made}


def test_widths_are_read_in_the_units_of_papers():
    assert width_inches("3.4in") == width_inches(3.4) == 3.4 and width_inches(None) is None
    assert width_inches("86mm") == pytest.approx(3.386, abs=1e-3)
    assert width_inches("246pt") == pytest.approx(3.404, abs=1e-3)


@pytest.mark.parametrize("words", ["wide", "0.2in", "3in4", "400cm", "3.4", 86.0, float("nan")])
def test_a_width_that_is_none_is_refused(words):
    with pytest.raises(
        ConfigError, match="is no width of a figure. Write one of 1 to 20 inches with its unit, such as"
    ):
        width_inches(words)


def test_a_width_of_no_figures_is_refused(tmp_path):
    from jpas_gbm.pages.html import report

    with pytest.raises(ConfigError, match="--width 9in: is of figures as files of their own. Say with --figures where"):
        report(tmp_path, tmp_path / "page.html", width="9in")
    with pytest.raises(ConfigError, match="--formats pdf: is of figures as files of their own. Say with --figures"):
        report(tmp_path, tmp_path / "page.html", formats=["pdf"])


@pytest.mark.parametrize("width", [3.4, 7.1])
def test_a_figure_has_the_width_asked_for_and_holds_every_panel(plates, width):
    for key in ("balance", "reliability", "regimes"):
        figure = plate_figure(plates[key], width)
        assert figure.get_figwidth() == pytest.approx(width)
        assert len(figure.axes) == len(plates[key].panels)
        assert figure.get_figheight() < 9 * width


def test_the_shap_library_draws_on_a_part_of_a_figure(results):
    (plate,) = [one for one in plates_of("why", results.all(Explanation)[0]) if one.key == "shap"]
    axes = plate_figure(plate, 7.1).axes
    assert len(axes) == 2 and all("ln P(QSO_high)/P(QSO_low)" in ax.get_xlabel() + ax.get_ylabel() for ax in axes)


def test_writing_figures_tells_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("jpas_gbm.pages.paper.save_plate", lambda *given, **more: None)
    plates = [SimpleNamespace(key=key, title=key, caption="drawn", panels=(1,)) for key in "ab"]
    told: list[tuple[str, int, int]] = []
    save_figures(plates, tmp_path, progress=lambda *at: told.append(at))
    assert told == [("files of figures", done, 2) for done in range(3)]


def test_axes_of_like_panels_are_in_line(plates):
    figure = plate_figure(plates["roc"])
    left = {round(float(ax.get_position().x0), 6) for ax in figure.axes}
    assert len(left) == 1 and len(figure.axes) > 2


def test_both_formats_are_of_one_drawing_and_the_numbers_stand_beside_it(plates, subject, tmp_path):
    plate = plates["regimes"]
    save_plate(plate, [tmp_path / "regimes.pdf", tmp_path / "regimes.png"], 3.4)
    assert (tmp_path / "regimes.pdf").read_bytes()[:4] == b"%PDF"
    with (tmp_path / "regimes.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    drawn = [float(row["y"]) for row in rows if row["kind"] == "line" and row["y"]]
    for regime in subject.comparison.regimes:
        mean = subject.comparison.figure(regime, "macro.f1").mean
        assert any(abs(value - mean) < 1e-6 for value in drawn)
    with pytest.raises(OutputError, match="already exists"):
        save_plate(plate, tmp_path / "regimes.pdf", 3.4)


def test_numbers_of_every_figure_can_be_read_back(plates, tmp_path):
    kinds = set()
    for key in ("balance", "confusion", "map", "magnitude", "separation"):
        save_plate(plates[key], tmp_path / f"{key}.png")
        with (tmp_path / f"{key}.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        drawn = [panel for panel in plates[key].panels if panel.draw is not key_figure]
        assert {row["panel"] for row in rows} == {str(i + 1) for i in range(len(drawn))}
        kinds |= {row["kind"].split()[0] for row in rows}
    assert {"line", "cell", "point", "segment", "outline", "text"} <= kinds
    counts = sum(map(sum, plates["confusion"].panels[0].result.figures.confusion))
    assert counts > 0


def test_captions_are_latex(plates):
    told = captions_tex(list(plates.values()), 3.4)
    broad = [key for key, plate in plates.items() if len(plate.panels) > 4]
    assert {"magnitude", "portraits"} <= set(broad) < set(plates)
    assert told.count(r"\begin{figure}") == told.count(r"\end{figure}") == len(plates) - len(broad)
    assert told.count(r"\begin{figure*}") == told.count("width=7.1in") == len(broad)
    assert [paper_width(plates[key], 3.4) for key in ("portraits", "roc")] == [7.1, 3.4]
    assert r"QSO\_high" in told and "width=3.4in" in told and r"$\le$ 22.5" in told
    assert told.isascii()
    assert captions_tex(list(plates.values()), 7.1).count(r"\begin{figure*}") == len(plates)
    assert tex("5 % & P_a < 1") == r"5 \% \& P\_a $<$ 1"


def test_the_magnitude_is_named_with_its_band_and_survey(plates, subject):
    axes = {ax.get_xlabel() for key in ("magnitude", "balance") for ax in plate_figure(plates[key]).axes}
    assert axes - {""} == {"r (Legacy Surveys)"}
    for key in ("magnitude", "balance", "portraits", "roc"):
        assert "r (Legacy Surveys)" in plates[key].caption, key
    assert "r (Legacy Surveys) 22.5" in subject.comparison.lines()[0]


def test_macro_f1_by_magnitude_is_over_the_classes_that_a_bin_holds(subject, ax):
    bins = subject.main.by_magnitude
    for one in bins:
        held = [part["f1"] for part in one["per_class"].values() if part["n"] >= COMMON]
        assert one["common"]["f1"] == pytest.approx(np.mean(held))
        low, high = one["intervals"]["common.f1"]
        assert low <= one["common"]["f1"] <= high or high == pytest.approx(low)
    bare = [{k: v for k, v in one.items() if k != "common"} for one in bins]
    magnitude_figure({"ssda": replace(subject.main, by_magnitude=bare)}, ax)  # an older result
    marks = ax.lines[0].get_ydata()
    assert marks == pytest.approx([one["common"]["f1"] for one in bins])


def test_roc_ends_where_one_row_is(subject, ax):
    roc_figure(subject.evaluations, ax, cls="QSO_high")
    others = subject.main.n_test - subject.main.figures.counts["QSO_high"]
    assert ax.get_xlim()[0] == pytest.approx(1 / others)


def test_redshift_bins_say_how_many_and_leave_out_the_few(subject, ax):
    one = subject.exhibits.redshift["ssda-seed0"]
    few = replace(one, whole=replace(one.whole, n=(COMMON - 1, *one.whole.n[1:])))
    redshift_figure(few, ax)
    counts = [text.get_text() for text in ax.texts if text.get_text().isdigit()]
    assert counts == [str(n) for n in one.whole.n[1:]]


def test_radars_state_their_centre(subject, plates):
    centre = radar_centre(subject.comparison)
    assert f"the centre is {centre:.1f}" in plates["radar"].caption
    assert [panel.options.get("legend") for panel in plates["radar"].panels] == [False] * 3 + [None]  # one for all
    for figure in RADARS:
        ax = Figure(figsize=(4, 4)).add_subplot(projection="polar")
        radar_figure(subject.comparison, ax, figure=figure)
        assert ax.get_ylim() == (centre, 1) and f"{centre:.1f}" in [text.get_text() for text in ax.texts]


def test_portraits_stay_in_their_frames(subject):
    found = subject.exhibits.portraits
    for row in range(len(found.objects)):
        ax = Figure(figsize=(4.6, 2.9)).subplots()
        spectrum_figure(found, ax, row=row)
        bottom, top = ax.get_ylim()
        for line in ax.lines:
            y = np.asarray(line.get_ydata(), dtype=float)
            if line.get_label() in ("mock twin, mean", "_child3") or line.get_marker() in ("o", "D"):
                assert np.nanmin(y) >= bottom and np.nanmax(y) <= top


def test_the_second_map_parts_the_first_two_classes_and_its_contours_are_whole(subject, ax):
    found = subject.exhibits.pair_map
    assert found.axes[0] == "ln P(QSO_high)/P(QSO_low)"
    map_figure(found, ax, group="labelled")
    paths = [path for shown in ax.collections if hasattr(shown, "levels") for path in shown.get_paths()]
    for path in paths:
        for polygon in path.to_polygons(closed_only=False):
            assert polygon[0] == pytest.approx(polygon[-1])
    assert paths
    rng = np.random.default_rng(1)
    margins = rng.normal(size=(300, 3)) * 0.3 + np.repeat(np.array([[4, 0, 0], [0, 4, 0], [0, 0, 4.0]]), 100, axis=0)
    made = pair_map({"source": (margins, np.repeat([0, 1, 2], 100))}, ("A", "B", "C"))
    points = made.points["source"]
    assert points[points[:, 2] == 0, 0].min() > points[points[:, 2] == 1, 0].max()
    assert pair_map({"source": (margins[:, :2], np.zeros(300, int))}, ("A", "B")) is None
    # Every class stands in the frame, also the one that neither of the two is, far below.
    (x0, x1), (y0, y1) = _frame(made)
    assert (points[:, 0] > x0).all() and (points[:, 0] < x1).all()
    assert (points[:, 1] > y0).all() and (points[:, 1] < y1).all()
    assert _out_of_frame([made]) == ""
    astray = replace(made, points={"source": np.vstack([points, [[0, y1 + 1, -1], [x0 - 1, 0, 2]]])})
    assert _out_of_frame([made, astray]) == " Beyond the frames lie 2 of 602 points."


def test_waterfall_writes_minus_signs_and_keeps_its_bars_inside(results, ax):
    why = results.all(Explanation)[0]
    waterfall_figure(why, ax, row=1)
    words = [text.get_text() for text in ax.texts]
    assert not any("-" in word for word in words) and any("−" in word for word in words)
    low, high = ax.get_xlim()
    for bar in ax.patches:
        assert low <= bar.get_x() <= high and low <= bar.get_x() + bar.get_width() <= high


def test_bins_around_the_cut_are_drawn_where_both_sides_of_it_have_some(subject):
    one = subject.exhibits.redshift["ssda-seed0"]
    zoom = replace(one.whole, z=(2.0, 2.2), lower=(1.9, 2.1), upper=(2.1, 2.3))
    for n, drawn in (((20, 20), True), ((20, 3), False), ((0, 20), False)):
        assert (_both_sides(replace(one, zoom=replace(zoom, n=n))) is not None) == drawn


def test_the_table_of_ways_names_the_magnitude():
    card = {"candidates": [{"candidate": "target", "log_loss": 0.1, "macro_f1": 0.9}]}
    made = {"options": {"cut": 22.5}, "data": {"magnitude": "r (Legacy Surveys)"}}
    assert "rows with r (Legacy Surveys) ≤ 22.5" in candidates_table(card | {"provenance": made}).caption
    assert candidates_table(card).caption == "Ways to use mocks and labels, scored on target validation."
    sure = {"candidates": [card["candidates"][0] | {"intervals": {"log_loss": [0.08, 0.12], "macro_f1": [0.87, 0.92]}}]}
    assert "95 % bootstrap" in candidates_table(sure).caption
    assert [cell.note for cell in candidates_table(sure).rows[0]] == ["", "[0.0800, 0.1200]", "[0.8700, 0.9200]"]
    assert card_lines(sure, "")[1].endswith("log loss 0.1000 [0.0800, 0.1200]  macro-F1 0.9000 [0.8700, 0.9200]")
    assert card_lines(card, "")[1].endswith("log loss 0.1000  macro-F1 0.9000")


@pytest.mark.parametrize("width", [3.4, 7.1])
def test_numbers_of_the_bars_of_strata_keep_apart(width):
    strata = [{"n": 12_345, "mocks": 140_000, "p_sky": [i / 5, (i + 1) / 5]} for i in range(5)]
    plate = strata_plate({"domain": {"coverage": {"n": 61_725, "mocks": 700_000, "strata": strata}}}, "ssda-seed0")
    (ax,) = plate_figure(plate, width).axes
    boxes = [text.get_window_extent() for text in [*ax.texts, ax.get_legend()]]
    assert len(boxes) == 11 and not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]


@pytest.mark.parametrize(("width", "z"), [(3.4, 0.0), (9.4, 0.0), (3.4, 2.2), (4.6, 0.3)])
def test_labels_of_lines_do_not_overlap(width, z):
    figure = Figure(figsize=(width, 3.0), layout="constrained")
    ax = figure.add_subplot(xscale="linear" if z else "log", xlim=(3800, 9200) if z else (900, 7300))
    ax.set_ylabel("attribution per band")
    low, high = ax.get_xlim()
    mark_lines([(line, at) for line in LINES if low < (at := line.wavelength * (1 + z)) < high], ax)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) > 3 and not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]


def test_the_shap_library_leaves_no_figure_open(results):
    pyplot.close("all")
    mine = pyplot.figure()
    for kind in ("beeswarm", "dependence"):
        shap_figure(results.all(Explanation)[0], Figure().add_subplot(), kind=kind)
    assert pyplot.get_fignums() == [mine.number] and pyplot.gcf() is mine
    pyplot.close(mine)

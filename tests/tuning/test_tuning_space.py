"""The space of a study says what is wrong with it, and its values become options."""

import pytest

from jpas_gbm.config import load_options, options_of, override, parse_options
from jpas_gbm.errors import ConfigError
from jpas_gbm.options import Entry, FitOptions, TuneOptions
from jpas_gbm.tuning.space import Space, encode, option_names, with_values

BASE = FitOptions()


def space(**entries):
    return Space.build(BASE, {name.replace("__", "."): Entry(**entry) for name, entry in entries.items()})


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("boosting.leafs", {"low": 3, "high": 9}, "unknown option 'boosting.leafs'. Did you mean 'boosting.leaves'?"),
        ("boosting.leaves", {"low": 9, "high": 3}, "empty range: low 9 is not below high 3"),
        ("boosting.leaves", {"low": 9, "high": 9}, "empty range"),
        ("boosting.leaves", {"low": 3}, "needs 'low' and 'high', or 'choices'"),
        ("boosting.leaves", {"low": 3.5, "high": 9}, "is a whole number"),
        ("boosting.leaves", {"low": 0, "high": 9, "log": True}, "logarithmic range from 0: low must be above 0"),
        ("boosting.leaves", {"low": 1, "high": 9}, "of at least 2"),
        ("boosting.l2", {"low": 1, "high": 9, "log": True, "step": 1}, "does not go with 'log'"),
        ("boosting.l2", {"low": 1, "high": 9, "choices": [1]}, "has choices and a range"),
        ("boosting.l2", {"choices": [1.0, 1.0]}, "the same choice twice"),
        ("recipe", {"low": 1, "high": 9}, "is 'auto', not a number: give 'choices'"),
        ("recipe", {"choices": ["pool", "pile"]}, "'recipe'"),
        ("features.snr", {"low": 0, "high": 1}, "give 'choices' instead of a range"),
        ("regime", {"choices": ["ssda", "uda"]}, "says what is tuned"),
        (
            "boosting",
            {"low": 1, "high": 9},
            "is a section of options. Name options in it, such as boosting.learning_rate",
        ),
        ("boosting.leaves", {"choices": [{"a": 1}, 4]}, "a choice is a number, a word, true, false or a list"),
        ("boosting.leaves", {"low": 3, "high": 9, "step": 100}, "its step 100 is longer than its range, 3 to 9"),
    ],
)
def test_each_mistake_is_named(name, entry, said):
    with pytest.raises(ConfigError) as caught:
        Space.build(BASE, {name: Entry(**entry)})
    assert said in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "choices"), [("features.optional", [None, [], ["W1"]]), ("continuation.class_weight_power", [None, 0.5])]
)
def test_none_is_a_choice_of_an_option_that_may_be_none(name, choices):
    space = Space.build(BASE, {name: Entry(choices=choices)})
    section, option = name.split(".")
    found = [getattr(getattr(space.options({name: encode(one)}), section), option) for one in choices]
    assert found == [tuple(one) if isinstance(one, list) else one for one in choices]
    with pytest.raises(ConfigError, match=r"boosting.leaves cannot be None"):
        Space.build(BASE, {"boosting.leaves": Entry(choices=[None, 4])})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "three", True, [3]])
@pytest.mark.parametrize("name", ["low", "high", "step"])
def test_a_range_of_other_things_than_numbers_is_one_message(name, value):
    entry = {"low": 3, "high": 9, "step": 1, name: value}
    with pytest.raises(ConfigError) as caught:
        parse_options(TuneOptions, {"space": {"boosting.leaves": entry}}, "tune.yaml")
    (line,) = str(caught.value).splitlines()
    assert "under 'space.boosting.leaves'" in line and f"option '{name}'" in line
    assert ("no numbers" if value is True else "a finite number is needed") in line


@pytest.mark.parametrize("ladder", [[{"mocks": 0.5}], [{}, {"coarseness": 2}], [{"recipe": "pool"}]])
def test_a_ladder_that_does_not_end_whole_is_refused(ladder):
    with pytest.raises(ConfigError, match="the last rung is .*Add a whole rung"):
        parse_options(TuneOptions, {"ladder": ladder}, "tune.yaml")
    with pytest.raises(ConfigError, match="option 'ladder'.*at least 1 item"):
        parse_options(TuneOptions, {"ladder": []}, "tune.yaml")


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        space(boosting__leafs={"low": 3, "high": 9}, boosting__l2={"low": 9, "high": 1})
    assert len(str(caught.value).splitlines()) == 2


def test_an_empty_space_is_refused():
    with pytest.raises(ConfigError, match="holds no option that changes a fit of regime 'ssda'"):
        Space.build(BASE, {})


def test_options_that_a_regime_does_not_use_are_left_out_and_noted():
    target_only = override(BASE, regime="target-only")
    entries = {"boosting.leaves": Entry(low=3, high=9), "continuation.leaves": Entry(low=3, high=9)}
    found = Space.build(target_only, entries)
    assert list(found.entries) == ["continuation.leaves"]
    assert found.notes == ("regime 'target-only' does not use boosting.leaves: not varied.",)


@pytest.mark.parametrize("regime", ["ssda", "target-only", "mocks-calibrated"])
def test_the_shipped_study_starts_in_every_regime_that_is_tuned(regime):
    """What its first trials say of options that a regime does not use is passed over there."""
    shipped = options_of(TuneOptions, None, "tune")
    found = Space.build(override(BASE, regime=regime), shipped.space)
    starts = [found.start(given) for given in shipped.start]
    assert all(values["calibration.method"] == "vector" for values in starts)
    assert all(set(values) <= set(found.entries) for values in starts)
    first = found.options(starts[0])  # the default path
    assert (first.domain, first.sky) == (found.base.domain, found.base.sky)
    assert override(first.boosting, class_weight_power=0.5) == found.base.boosting
    grown = override(found.base.continuation, class_weight_power=0.0)
    assert first.continuation == (grown if "continuation.leaves" in found.entries else found.base.continuation)
    with pytest.raises(ConfigError, match=r"start: 'boosting.leafs' is not in the space"):
        found.start({"boosting.leafs": 3})


def test_an_unknown_key_of_an_entry_is_named():
    with pytest.raises(ConfigError, match=r"unknown option 'hi' under 'space.boosting.leaves'"):
        parse_options(TuneOptions, {"space": {"boosting.leaves": {"low": 3, "hi": 9}}}, "tune.yaml")


def test_values_become_options():
    found = space(
        boosting__leaves={"low": 3, "high": 9},
        domain__gammas={"choices": [[0.0], [0.25]]},
        target_weight={"low": 1.0, "high": 9.0},
    )
    options = found.options({"boosting.leaves": 5, "domain.gammas": "[0.25]", "target_weight": 2.0})
    assert (options.boosting.leaves, options.domain.gammas, options.target_weight) == (5, (0.25,), (2.0,))
    assert options.continuation == BASE.continuation


def test_unknown_values_are_refused():
    with pytest.raises(ConfigError, match="fit: unknown option 'boosting.leafs'. Did you mean 'boosting.leaves'"):
        with_values(BASE, {"boosting.leafs": 3}, "fit")
    with pytest.raises(ConfigError, match="fit: 'boosting' is a section of options"):
        with_values(BASE, {"boosting": "much"}, "fit")


def test_the_start_is_the_untuned_fit_moved_into_the_space():
    found = space(
        boosting__leaves={"low": 40, "high": 90},
        boosting__class_weight_power={"low": 0.0, "high": 0.6, "step": 0.2},
        target_weight={"low": 1.0, "high": 9.0},
        recipe={"choices": ["pool", "mean"]},
        sky__realisations={"choices": [1, 3]},
    )
    start = found.start({"recipe": "mean"})
    assert start["boosting.leaves"] == 40
    assert start["boosting.class_weight_power"] == pytest.approx(0.4)
    assert (start["target_weight"], start["recipe"], start["sky.realisations"]) == (3.0, "mean", 3)
    assert "recipe" not in found.start({})  # 'auto' is not among the choices: drawn


def test_a_start_outside_the_space_is_refused():
    found = space(boosting__leaves={"low": 3, "high": 9})
    with pytest.raises(ConfigError, match="boosting.leaves = 10 is not in the space"):
        found.start({"boosting.leaves": 10})
    with pytest.raises(ConfigError, match="'boosting.leafs' is not in the space. Did you mean 'boosting.leaves'"):
        found.start({"boosting.leafs": 5})


@pytest.mark.parametrize(
    ("name", "value"),
    [("boosting.leaves", 5.5), ("boosting.leaves", True), ("boosting.class_weight_power", 0.25), ("recipe", "stack")],
)
def test_a_start_between_the_values_of_the_space_is_refused(name, value):
    found = space(
        boosting__leaves={"low": 3, "high": 9},
        boosting__class_weight_power={"low": 0.0, "high": 0.6, "step": 0.1},
        recipe={"choices": ["pool", "mean"]},
    )
    with pytest.raises(ConfigError, match=rf"{name} = {value!r} is not in the space \("):
        found.start({name: value})
    assert found.start({"boosting.class_weight_power": 0.3, "boosting.leaves": 9.0})["boosting.leaves"] == 9


@pytest.mark.parametrize("regime", ["ssda", "target-only", "mocks-calibrated"])
def test_the_shipped_space_fits_every_regime_that_can_be_tuned(regime):
    options = load_options(TuneOptions, "tune")
    found = Space.build(override(BASE, regime=regime), options.space)
    if regime == "ssda":
        assert len(found.entries) == len(options.space)
        for start in options.start:
            found.options(found.start(start))


def test_every_option_has_a_dotted_name():
    names = option_names()
    assert {"recipe", "boosting.leaves", "sky.renoise", "calibration.shrinkage"} <= set(names)
    assert not {"boosting", "sky"} & set(names)

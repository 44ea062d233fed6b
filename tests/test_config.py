"""Options are declared once, and a wrong one is told by name."""

import re

import pytest
import yaml

from jpas_gbm.config import configs_folder, find_config, load_options, options_of, override, parse_options, read_yaml
from jpas_gbm.errors import ConfigError
from jpas_gbm.options import BoostingOptions, ExplainOptions, FitOptions, PrepareOptions


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(
        ConfigError, match="unknown option 'learning_rte' under 'boosting'. Did you mean 'learning_rate'"
    ):
        parse_options(FitOptions, {"boosting": {"learning_rte": 0.1}}, "ssda.yaml")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"rounds": 30},
            "Write 'boosting: {rounds: ...}' or 'continuation: {rounds: ...}' or 'domain: {rounds: ...}'.",
        ),
        ({"boosting.rounds": 30}, "unknown option 'boosting.rounds'. Write 'boosting: {rounds: ...}'."),
        ({"sky.twinless.rank": 3}, "Write 'sky: {twinless: {rank: ...}}'."),
        ({"sky": {"rank": 3}}, "unknown option 'rank' under 'sky'. Write 'twinless: {rank: ...}'."),
        ({"nothing.rounds": 30}, "unknown option 'nothing.rounds'. Allowed: "),
    ],
)
def test_an_option_of_a_group_that_stands_elsewhere_is_told_where_it_goes(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_options(FitOptions, given, "config")


def test_what_is_allowed_is_said_once_for_many_unknown_options():
    with pytest.raises(ConfigError) as caught:
        load_options(FitOptions, "tune")
    lines = str(caught.value).splitlines()
    assert len(lines) > 5 and sum("Allowed: " in line for line in lines) == 1 and "Allowed: regime" in lines[-1]


def test_a_wrong_value_is_shown():
    with pytest.raises(ConfigError, match=r"x\.yaml: option 'leaves' under 'boosting'.*\(got 'many'\)"):
        parse_options(FitOptions, {"boosting": {"leaves": "many"}}, "x.yaml")
    with pytest.raises(ConfigError, match="give a number above 0 and of at most 1, not 2"):
        parse_options(BoostingOptions, {"feature_fraction": 2}, "x.yaml")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"features": {"optional": "G"}}, "option 'optional' under 'features' takes a list, such as [a, b] (got 'G')"),
        ({"domain": {"gammas": 0.5}}, "option 'gammas' under 'domain' takes a list"),
        ({"boosting": [1]}, "option 'boosting' takes options of its own, as 'name: value' lines (got [1])"),
    ],
)
def test_a_value_of_another_kind_is_told_in_plain_words(value, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_options(FitOptions, value, "x.yaml")


def test_something_else_than_options_is_refused():
    with pytest.raises(ConfigError, match="found list"):
        parse_options(FitOptions, [1], "x.yaml")
    assert parse_options(FitOptions, None, "x.yaml") == FitOptions()


def test_override_leaves_none_alone_and_checks():
    options = override(FitOptions(), regime="uda", seeds=None)
    assert (options.regime, options.seeds) == ("uda", FitOptions().seeds)
    with pytest.raises(ConfigError, match="seeds"):
        override(FitOptions(), seeds=0)


def test_options_are_immutable_and_hashable():
    options = FitOptions()
    assert hash(options.boosting) == hash(BoostingOptions())
    with pytest.raises(Exception, match="frozen"):
        options.seeds = 3


@pytest.mark.parametrize("name", ["ssda", "mocks_only"])
def test_every_shipped_regime_loads(name):
    assert load_options(FitOptions, name).regime == name.replace("_", "-")


def test_the_shipped_ssda_spells_out_the_defaults():
    assert load_options(FitOptions, "ssda") == FitOptions()
    written, known = read_yaml(find_config("ssda")), FitOptions().model_dump()
    assert set(written) == set(known) - {"ways"}
    assert all(set(written[name]) == set(value) for name, value in known.items() if isinstance(value, dict) and value)


@pytest.mark.parametrize("name", ["compare", "budgets", "thorough"])
def test_every_shipped_comparison_and_preset_loads(name):
    assert load_options(FitOptions, name).regime == "ssda"


def test_the_papers_splits_are_the_default():
    splits = PrepareOptions().splits
    assert (splits.target, splits.source, splits.seed) == ((0.3, 0.3, 0.4), (0.7, 0.15, 0.15), 137)


def test_a_missing_config_lists_the_shipped(tmp_path):
    with pytest.raises(ConfigError, match=r"sdsa: there is no such file\. Did you mean 'ssda'\? Shipped:.*ssda"):
        find_config("sdsa")
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")


def test_broken_yaml_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match=r"a\.yaml: is not valid YAML"):
        load_options(FitOptions, tmp_path / "a.yaml")


def test_yaml_cannot_build_objects(tmp_path):
    (tmp_path / "a.yaml").write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_yaml(tmp_path / "a.yaml")


def test_options_survive_yaml(tmp_path):
    options = override(FitOptions(), seeds=3)
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(options.model_dump(mode="json")))
    assert load_options(FitOptions, path) == options


def test_configs_are_found():
    assert (configs_folder() / "ssda.yaml").is_file()


def test_options_may_be_given_as_themselves_by_name_or_not_at_all():
    own = FitOptions(regime="uda")
    assert options_of(FitOptions, own, "ssda") is own
    assert options_of(FitOptions, "mocks_only", "ssda").regime == "mocks-only"
    assert options_of(FitOptions, None, "ssda").regime == "ssda"


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "a: {b: 1, b: 2}\n"])
def test_a_key_that_stands_twice_is_refused(tmp_path, text):
    path = tmp_path / "twice.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="stands twice"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"boosting": {"rounds": True}}, "under 'boosting': option 'rounds': yes, no, on, off, true and false"),
        ({"seeds": True}, "option 'seeds': yes, no"),
        ({"features": {"colours": [2, True]}}, "got [2, True]"),
        ({"target_weight": [False]}, "option 'target_weight'"),
        ({"sky": {"forget_imaging": False}}, "option 'forget_imaging'"),
        ({"regime": True}, "Write a number, or the word in quotes"),
    ],
)
def test_yes_and_no_are_no_numbers(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_options(FitOptions, given, "my.yaml")
    assert parse_options(FitOptions, {"plain_member": False, "ways": {"pool": {"x": True}}}, "").plain_member is False


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_option_is_infinite_but_a_cut_that_cuts_nothing(value):
    with pytest.raises(ConfigError, match="finite"):
        parse_options(FitOptions, {"pseudo_weight": value}, "my.yaml")
    if value != float("inf"):
        with pytest.raises(ConfigError, match="option 'cut'"):
            parse_options(FitOptions, {"cut": value}, "my.yaml")
    else:
        assert parse_options(FitOptions, {"cut": value}, "").cut is None
        assert parse_options(ExplainOptions, {"cut": value}, "").cut is None


def test_trees_go_on_in_the_library_that_began():
    made = parse_options(FitOptions, {"boosting": {"backend": "xgboost"}, "continuation": {"backend": "xgboost"}}, "")
    assert "backend" not in made.continuation.model_dump()
    with pytest.raises(ConfigError, match=r"go on in the library of boosting\.backend \(lightgbm\)"):
        parse_options(FitOptions, {"continuation": {"backend": "xgboost"}}, "my.yaml")
    for odd in (3, "backend", ["backend"]):
        with pytest.raises(ConfigError, match="continuation"):
            parse_options(FitOptions, {"continuation": odd}, "my.yaml")

"""Options of several values: alike in every verb, and no argument is swallowed."""

import pytest
import typer

from jpas_gbm.cli.verbs import app

VERBS = typer.main.get_command(app).commands


def parsed(verb, *words):
    return VERBS[verb].make_context(verb, list(words), resilient_parsing=True).params


def arguments_of(verb):
    return [param for param in VERBS[verb].params if param.param_type_name == "argument"]


MANY = [
    (verb, param.opts[0], param.name)
    for verb, command in VERBS.items()
    for param in command.params
    if param.param_type_name == "option" and param.multiple
]


def test_verbs_with_options_of_several_values():
    found = {(verb, option) for verb, option, _ in MANY}
    assert {
        ("prepare", "--source"),
        ("explain", "--object"),
        ("predict", "--legacy"),
        ("compare", "--regimes"),
    } <= found


@pytest.mark.parametrize(("verb", "option", "name"), MANY)
def test_words_behind_an_option_are_its_values_but_for_what_the_verb_needs(verb, option, name):
    needed = [f"{param.name}-word" for param in arguments_of(verb)]
    for words in ([option, "a", "b", *needed], [*needed, option, "a", "b"], [option, "a", option, "b", *needed]):
        found = parsed(verb, *words, "--quiet")
        assert list(found[name]) == ["a", "b"], words
        for param, word in zip(arguments_of(verb), needed, strict=True):
            assert found[param.name] in (word, [word], (word,)), words


def test_one_value_and_the_arguments():
    found = parsed("explain", "--object", "1/2", "MODEL", "--out", "x")
    assert found["model"] == "MODEL" and list(found["objects"]) == ["1/2"]
    found = parsed("predict", "--legacy", "A", "B", "MODEL", "--survey", "s", "CATALOGUE")
    assert list(found["legacy"]) == ["A", "B"] and (found["model"], found["catalogue"]) == ("MODEL", "CATALOGUE")


def test_values_with_a_sign_flags_and_the_end_of_options():
    found = parsed("explain", "--quiet", "--object", "1", "2", "-v", "--", "MODEL")
    assert list(found["objects"]) == ["1", "2"] and found["model"] == "MODEL"
    found = parsed("explain", "--object=1", "2", "--rows", "5", "MODEL")
    assert list(found["objects"]) == ["1", "2"] and found["rows"] == 5 and found["model"] == "MODEL"

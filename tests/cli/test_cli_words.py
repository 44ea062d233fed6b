"""Options of several values: alike in every verb, and no argument is swallowed."""

import pytest
import typer
from typer.testing import CliRunner

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


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("fit data", "--data data"),
        ("tune data", "--data data"),
        ("compare data", "--data data"),
        ("evaluate model data", "--data data"),
        ("explain model sky.fits", "--data sky.fits or --catalogue sky.fits"),
        ("prepare a.fits b.fits", "--source a.fits or --target a.fits"),
        ("mocks spectra", "--spectra spectra"),
        ("fetch jpas-edr", "--release jpas-edr"),
        ("predict model sky.fits out.fits", "--out out.fits"),
    ],
)
def test_a_word_that_an_option_should_name_is_told_the_option(words, named):
    """Before anything that is missing too."""
    done = CliRunner().invoke(app, words.split())
    said = " ".join(done.output.replace("│", " ").split())
    assert (
        done.exit_code == 2 and "unexpected extra argument" in said and f"An option says what it is: {named}." in said
    )

"""The options of a run, each declared once: type, default, unit and one sentence."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ConfigError, did_you_mean

Fraction = float
Spacing = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
T = TypeVar("T", bound=BaseModel)
RegimeName = Literal["mocks-only", "mocks-calibrated", "target-only", "uda", "ssda"]
REGIMES: tuple[RegimeName, ...] = ("mocks-only", "target-only", "uda", "ssda")


class Options(BaseModel):
    """Base of all options: immutable, and an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class SplitOptions(Options):
    """How objects are dealt to training, validation and test."""

    target: tuple[Fraction, Fraction, Fraction] = Field(
        (0.3, 0.3, 0.4), description="Shares of labelled target objects for train, validation, test."
    )
    source: tuple[Fraction, Fraction, Fraction] = Field(
        (0.7, 0.15, 0.15), description="Shares of mock objects for train, validation, test."
    )
    seed: int = Field(137, ge=0, description="Seed of the permutation of object ids.")


class PrepareOptions(Options):
    """How survey files become a data set."""

    bands: str = Field("auto", description="Band system to keep; auto takes the survey file's default.")
    match_radius: float = Field(1.0, gt=0, description="Largest separation of a sky match, arcsec.")
    overlap_radius: float = Field(
        0.5, ge=0, description="Sources of different tiles nearer than this are one, arcsec; 0 keeps all."
    )
    keep_twins: bool = Field(False, description="Let mocks of objects in the label catalogue train (a leak).")
    splits: SplitOptions = SplitOptions()


class FeatureOptions(Options):
    """What the trees see."""

    fluxes: bool = Field(True, description="Fluxes normalised by their robust mean.")
    snr: bool = Field(True, description="Signal-to-noise ratio of each band.")
    colours: tuple[Spacing, ...] = Field((2, 4, 8, 16), description="Spacings, in bands, of asinh colours.")
    ratios: bool = Field(True, description="Band ratios at the classical breaks.")
    lines: bool = Field(True, description="Line indices against a sliding local continuum, in σ.")
    lean: bool = Field(
        True, description="Where template features stand, leave out S/N, colours, ratios, lines: they add nothing then."
    )
    templates: bool = Field(True, description="χ² and posterior features of template fits.")
    template_ranks: tuple[Spacing, ...] = Field((4,), description="Rank of the bases, one set of templates each.")
    template_hosts: float = Field(
        0.0,
        ge=0,
        le=1,
        description="1 σ of the light share of a host galaxy in quasar templates of z < 0.8; 0 leaves it to the bases.",
    )
    imaging: bool = Field(True, description="Magnitude and morphology of the imaging survey, where given.")


class BoostingOptions(Options):
    """How the trees grow on the mocks, or on whatever the first stage trains on."""

    backend: Literal["lightgbm", "xgboost"] = Field("lightgbm", description="The library that grows the trees.")
    learning_rate: float = Field(0.05, gt=0, le=1, description="Shrinkage of each round.")
    leaves: int = Field(8, ge=2, le=131_072, description="Leaves of a tree.")
    min_child: int = Field(60, ge=1, description="Fewest rows in a leaf.")
    rounds: int = Field(1200, ge=1, description="Most boosting rounds.")
    patience: int = Field(50, ge=0, description="Rounds without gain on validation before stopping; 0 never stops.")
    feature_fraction: float = Field(0.5, gt=0, le=1, description="Share of the features that a tree may use.")
    row_fraction: float = Field(0.8, gt=0, le=1, description="Share of the rows that a tree sees.")
    l2: float = Field(5.0, ge=0, allow_inf_nan=False, description="L2 penalty on leaf values.")
    max_bin: int = Field(127, ge=3, le=255, description="Histogram bins of a feature.")
    class_weight_power: float = Field(
        0.5, ge=0, le=1, description="Class weights are class frequency to minus this power; 0 is natural."
    )


class ContinueOptions(BoostingOptions):
    """How boosting continues on labelled target rows."""

    learning_rate: float = Field(0.03, gt=0, le=1, description="Shrinkage of each round.")
    min_child: int = Field(20, ge=1, description="Fewest rows in a leaf.")
    l2: float = Field(10.0, ge=0, allow_inf_nan=False, description="L2 penalty on leaf values.")


class DomainOptions(Options):
    """The domain classifier and the importance weights made from it."""

    folds: int = Field(3, ge=2, le=50, description="Folds of the cross-fitting.")
    gammas: tuple[Share, ...] = Field(
        (0.0, 0.25), min_length=1, description="Tempers tried: weight is odds to this power."
    )
    clip: float = Field(20.0, gt=1, description="Weights beyond this factor from their mean are clipped.")
    uda_gamma: float = Field(0.25, ge=0, le=1, description="Temper of the weights of regime uda, which has no labels.")
    min_effective_share: float = Field(
        0.01, ge=0, le=1, description="Least effective share of the sample size; below it weights are given up."
    )
    rounds: int = Field(100, ge=1, description="Boosting rounds of the domain classifier.")
    leaves: int = Field(15, ge=2, le=131_072, description="Leaves of its trees.")
    max_rows: int = Field(200_000, ge=100, description="Most rows of each domain that train it.")


class SkyOptions(Options):
    """Training that sees the sky: what is done to mocks before features are made."""

    copy_missing: bool = Field(True, description="Take away from mocks the bands that target rows lack.")
    renoise: bool = Field(True, description="See the mocks' noise-free fluxes through errors of target rows.")
    realisations: int = Field(3, ge=1, description="Noise realisations of each mock row that trains, at most.")
    most_rows: int = Field(
        300_000,
        ge=1,
        description="Fewer realisations are made where the mocks that train would be more rows than this.",
    )
    paired_repair: bool = Field(
        True, description="Measure zero points, class offsets and variations on mock twins of train objects."
    )
    forget_imaging: Fraction = Field(0.5, ge=0, le=1, description="Share of training rows that lose imaging features.")


class CalibrationOptions(Options):
    """How margins become probabilities."""

    method: Literal["auto", "none", "temperature", "vector", "dirichlet"] = Field(
        "auto", description="auto chooses by cross-fitted log loss on target validation."
    )
    folds: int = Field(5, ge=2, description="Folds of that choice.")
    shrinkage: tuple[Strength, ...] = Field(
        (0.001, 0.01, 0.1, 1.0), min_length=1, description="Strengths of the pull towards no correction that are tried."
    )


class FitOptions(Options):
    """One fit: the regime and everything it needs."""

    regime: RegimeName = Field("ssda", description="What training may touch.")
    recipe: Literal["auto", "continue", "pool", "stack", "mean"] = Field(
        "auto", description="How ssda uses target labels; auto chooses on target validation."
    )
    seeds: int = Field(1, ge=1, description="Members of the ensemble, each with a seed of its own.")
    backends: tuple[Literal["lightgbm", "xgboost"], ...] = Field(
        (), description="Libraries of the ensemble; empty means the one named under boosting."
    )
    target_weight: tuple[Weight, ...] = Field(
        (3.0,), min_length=1, description="Weights of target rows tried when pooling."
    )
    pseudo_weight: float = Field(
        0.0, ge=0, description="Weight of confidently classified unlabelled rows when pooling; 0 leaves them out."
    )
    pseudo_confidence: float = Field(0.98, gt=0, lt=1, description="Least probability of a pseudo-label.")
    crossfit: int = Field(
        0,
        ge=0,
        le=50,
        description="Folds of train and validation labels: trees train on all of them, folds choose and calibrate. "
        "0 or 1 keeps the split: train labels fit, validation labels choose.",
    )
    cut: float = Field(22.5, gt=0, description="Validation rows fainter than this magnitude do not count in choices.")
    features: FeatureOptions = FeatureOptions()
    sky: SkyOptions = SkyOptions()
    boosting: BoostingOptions = BoostingOptions()
    continuation: ContinueOptions = ContinueOptions()
    domain: DomainOptions = DomainOptions()
    calibration: CalibrationOptions = CalibrationOptions()


def _allowed_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    for step in location:
        if not isinstance(step, str) or step not in model.model_fields:
            continue
        inner = model.model_fields[step].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return list(model.model_fields)


def explain_validation(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    """Turn pydantic's report into one sentence per problem, naming the nearest known key."""
    lines = []
    for problem in error.errors():
        *section, last = problem["loc"] or ("",)
        place = f" under '{'.'.join(map(str, section))}'" if section else ""
        if problem["type"] == "extra_forbidden":
            allowed = _allowed_keys(model, tuple(section))
            lines.append(
                f"{where}: unknown option '{last}'{place}.{did_you_mean(str(last), allowed)}"
                f" Allowed: {', '.join(allowed)}."
            )
        elif problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"]:
            continue  # it is short only of the values that are refused
        elif problem["type"] == "missing":
            lines.append(f"{where}: option '{last}'{place} is missing.")
        elif problem["type"] == "value_error" and isinstance(problem["input"], dict | BaseModel):
            of = f" under '{'.'.join(map(str, problem['loc']))}'" if problem["loc"] else ""
            lines.append(f"{where}{of}: {problem['ctx']['error']}.")
        else:
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: option '{last}'{place}: {said} (got {problem['input']!r}).")
    return ConfigError("\n".join(lines))


def parse_options(model: type[T], value: Any, where: str) -> T:
    """Check a mapping against a model of options.

    Raises
    ------
    ConfigError
        With one sentence per unknown, missing or wrong option.
    """
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected options as 'name: value' lines, found {type(value).__name__}.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise explain_validation(error, model, where) from error


def configs_folder() -> Path:
    """Return the folder of shipped configurations, in a checkout or in an installed wheel."""
    packaged = Path(str(resources.files("jpas_gbm"))) / "configs"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / "configs"


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file with the safe loader.

    Raises
    ------
    ConfigError
        If it is missing or is not YAML.
    """
    path = Path(path)
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file.") from error
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(f"{path}: is not valid YAML ({error}).") from error


def find_config(name: str | Path) -> Path:
    """Return the path of a configuration given by path or by the name of a shipped one.

    Raises
    ------
    ConfigError
        If neither exists; the shipped names are listed.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = configs_folder() / f"{path.name.removesuffix('.yaml')}.yaml"
    if shipped.is_file() and path.parent == Path("."):
        return shipped
    known = sorted(p.stem for p in configs_folder().glob("*.yaml"))
    raise ConfigError(f"{name}: there is no such file.{did_you_mean(str(name), known)} Shipped: {', '.join(known)}.")


def load_options(model: type[T], name: str | Path) -> T:
    """Read options from a file, or from a shipped configuration named without its suffix."""
    path = find_config(name)
    return parse_options(model, read_yaml(path), path.name)


def override(options: T, **changes: Any) -> T:
    """Return options with some changed and checked again; None leaves an option as it is."""
    given = {name: value for name, value in changes.items() if value is not None}
    return parse_options(type(options), options.model_dump() | given, type(options).__name__)

"""How a survey's columns map to a Catalogue: the survey files of configs/surveys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr

from ..config import Options, configs_folder, parse_options, read_yaml
from ..errors import ConfigError, did_you_mean
from .bands import Band, BandSystem, add_system, band_system, band_system_names


class OtherTable(Options):
    """A kind of table that is neither catalogue nor labels nor imaging."""

    columns: tuple[str, ...] = Field(description="A table with all of these is one.")
    is_: str = Field(alias="is", description="What it is, for people.")


class AliasFile(Options):
    """Spellings of columns and classes that all survey files may use, and tables that are of no use here."""

    spellings: dict[str, tuple[str, ...]] = Field(description="Spellings of a column by what it holds.")
    spectypes: dict[Literal["GALAXY", "QSO", "STAR"], tuple[str, ...]] = Field(description="Words for each type.")
    others: tuple[OtherTable, ...] = Field((), description="Tables that are no catalogue.")


@cache
def aliases() -> AliasFile:
    """Return the spellings of configs/aliases.yaml.

    Returns
    -------
    AliasFile
    """
    return parse_options(AliasFile, read_yaml(configs_folder() / "aliases.yaml"), "aliases.yaml")


def spectype_words() -> dict[str, SpectralType]:
    """Return the spectral type of each word of ``configs/aliases.yaml``.

    Returns
    -------
    dict of str to {"GALAXY", "QSO", "STAR"}
    """
    return {word: of for of, words in aliases().spectypes.items() for word in words}


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _spelt_out(value: Any) -> Any:
    """Return names with each ``@list`` replaced by the spellings of that list."""
    names = _as_tuple(value)
    if not isinstance(names, list | tuple):
        return names
    known = aliases().spellings
    spelt: list[Any] = []
    for name in names:
        if not isinstance(name, str) or not name.startswith("@"):
            spelt.append(name)
        elif name[1:] in known:
            spelt += known[name[1:]]
        else:
            raise ValueError(f"there is no list of spellings '{name}'. Lists: {', '.join(f'@{key}' for key in known)}")
    return tuple(dict.fromkeys(spelt))


Names = Annotated[tuple[str, ...], BeforeValidator(_spelt_out)]
"""Spellings of one column, the preferred first; a single name may stand alone, ``@ra`` for a list of aliases.yaml."""

Stored = str | dict[str, str] | None
"""Columns of a quantity over the bands: an array column, a pattern with {band}, or the column of each band."""

Kind = Literal["catalogue", "labels", "imaging"]

Wavelength = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""In Å."""

SpectralType = Literal["GALAXY", "QSO", "STAR"]

OptionalName = Literal["G", "Z", "W1", "W2", "W3", "W4", "PARALLAX", "PMRA", "PMDEC"]
"""Optional bands and measures of imaging tables."""

Identity = Literal["id", "position", "row"]
"""What tells two rows to be one object: an id column, the place on the sky, or nothing."""


class BandsSection(Options):
    """Which bands the arrays hold and which of them are kept."""

    system: str = Field(description="Band system of the arrays where the file names no order itself.")
    table: dict[str, tuple[Wavelength, Wavelength, Literal["narrow", "broad"]]] = Field(
        {}, description="Bands of a system of one's own, in order: name: [pivot Å, width Å, narrow or broad]."
    )
    default: str | None = Field(None, description="Band system that is kept unless another is asked for.")
    aliases: dict[str, str] = Field({}, description="Other spellings of band names, as alias: name.")
    pivots: dict[str, Wavelength] = Field({}, description="Pivot wavelengths (Å) of this survey where they differ.")


class RelativeTo(Options):
    """Fluxes that may be ratios to one band, where another column gives that band's flux."""

    band: str = Field(description="Fluxes are ratios to this band where those of the band itself are 1.")
    column: Names = Field(description="Flux of that band, in the unit of the survey file.")


class Photometry(Options):
    """One way in which the survey stores fluxes and errors; the first that a file has is read."""

    name: str = Field(description="Name of the measurement; a model refuses another.")
    flux: Stored = Field(
        None, description="Array column, a pattern with {band} for one column per band, or the column of each band."
    )
    error: Stored = Field(None, description="The errors, in the same way.")
    planes: tuple[Literal["mean", "flux", "relative_error"], ...] = Field(
        (), description="Meaning of the last axis of the paper's .npy arrays."
    )
    unit: Literal["f_lambda", "f_nu", "ab_magnitude", "asinh_magnitude"] = Field(description="What the numbers are.")
    scale: float = Field(1.0, gt=0, description="Size of the unit: erg/s/cm2/Å for f_lambda, erg/s/cm2/Hz for f_nu.")
    error_kind: Literal["relative", "absolute", "magnitude", "none"] = Field(description="What the errors are.")
    relative_to: RelativeTo | None = Field(None, description="Where fluxes may be ratios to one band.")
    mean_floor: float = Field(1e-6, gt=0, description="σ = relative error x max(|mean|, this), in units of the file.")
    softening: dict[str, float] = Field({}, description="Asinh softening b of each band.")
    ab_offset: dict[str, float] = Field({}, description="Added to a magnitude to bring its band to AB.")


class FlagRule(Options):
    """Bits of an integer column that reject a flux; the other bits are harmless."""

    column: Names = Field(description="Array column of flags, one value a band.")
    reject: int = Field(gt=0, lt=1 << 62, description="Bit mask: a flux is rejected where flags & reject is not 0.")
    meaning: str = Field("", description="What the rejected bits stand for.")
    optional: bool = Field(True, description="Whether a table may lack the column.")


class QualitySection(Options):
    """When a flux counts as not observed, and what happens to odd errors."""

    sentinels: tuple[float, ...] = Field((), description="Fluxes of exactly this value are missing.")
    error_sentinels: tuple[float, ...] = Field((), description="A flux whose error is exactly this is missing.")
    zero_flux: Literal["observed", "missing"] = Field("observed", description="What a flux of exactly 0 is.")
    negative_error: Literal["absolute", "missing"] = Field(
        "missing", description="A negative error of a negative flux loses its sign; else its flux counts as missing."
    )
    flags: tuple[FlagRule, ...] = Field((), description="Bits that reject a flux.")
    min_bands: int = Field(1, ge=0, description="Rows with fewer observed bands get the bit FEW_BANDS.")


class MagnitudeSection(Options):
    """The magnitude for cuts and bins, from an imaging survey."""

    column: Names = Field(description="Its column.")
    unit: Literal["nanomaggies", "ab_magnitude"] = Field(description="nanomaggies: 22.5 - 2.5 log10(flux).")
    imaging: bool = Field(False, description="Whether features may use it: labelled and unlabelled rows have it alike.")
    name: str = Field("", description="Band and survey, as figures say it: r (Legacy Surveys); default: the column.")


class OptionalColumn(Options):
    """A band or measure of an imaging survey that a row may lack."""

    column: Names = Field(description="Its column.")
    unit: Literal["nanomaggies", "ab_magnitude", "significance"] = Field(description="significance: over its error.")
    offset: float = Field(0.0, description="Added to a magnitude to bring it to AB, where its unit does not say AB.")
    error: Names = Field((), description="Column of the error of a significance.")
    ivar: Names = Field((), description="Column of the inverse variance of a significance, in place of the error.")

    @property
    def columns(self) -> tuple[Names, ...]:
        """The columns that it is made of."""
        return tuple(names for names in (self.column, self.error, self.ivar) if names)


class RowRule(Options):
    """A condition that a row must meet to be used; everything that fails it is counted."""

    column: Names = Field(description="The column that is looked at.")
    equals: bool | int | float | str | None = Field(None, description="The value must be this.")
    above: float | None = Field(None, description="The value must be larger than this.")
    differs: bool | int | float | str | None = Field(None, description="The value must not be this.")
    also: dict[SpectralType, tuple[int | float | str, ...]] = Field(
        {}, description="Further values that will do for rows of a spectral type."
    )
    types: tuple[SpectralType, ...] = Field((), description="Spectral types that the rule is for; default: all.")
    reason: str = Field(description="What failing rows are, for the report.")
    optional: bool = Field(False, description="Whether a table may lack the column.")
    usual: bool = Field(True, description="Whether most tables have the column: then it is told where one lacks it.")


class LabelsSection(Options):
    """Where spectroscopic classes and redshifts stand, and which rows are trusted."""

    spectype: Names = Field(description="Column of the spectroscopic class.")
    z: Names = Field(description="Column of the redshift.")
    spectypes: dict[str, SpectralType] = Field(
        default_factory=spectype_words,
        description="Spelling in the table: GALAXY, QSO or STAR; default: the words of aliases.yaml.",
    )
    rules: tuple[RowRule, ...] = Field((), description="Conditions of a trusted label, applied in order.")


class SurveySchema(Options):
    """One survey: how its tables become a Catalogue, labels or imaging."""

    name: str = Field(description="Name of the survey file.")
    title: str = Field(description="One line for people.")
    survey: str = Field(
        "", description="Survey whose measurements the table holds, in another arrangement; default: one of its own."
    )
    kind: Kind = Field(description="What its tables are.")
    recognised: bool = Field(True, description="Whether a table is taken for one that is not named: --survey.")
    formats: tuple[str, ...] = Field((), description="How the names of the formats begin that it is recognised in.")
    generic: bool = Field(False, description="Whether it is for tables that no other survey file describes.")
    hdu: Names = Field((), description="FITS extensions to look for, preferred first; default: the first table.")
    beside: Names = Field((), description="FITS extension whose columns stand beside the table's, row by row.")
    beside_files: tuple[str, ...] = Field(
        (),
        description="Endings of names of files whose columns stand beside the table's, row by row.",
    )
    key: tuple[Annotated[tuple[str, ...], BeforeValidator(_as_tuple)], ...] = Field(
        min_length=1, description="Row keys: the first whose columns are all there; ROW is the row number."
    )
    tile: Names = Field(
        (), description="Column that names the tile or field of a row, in whole numbers or text, where no key does."
    )
    object_id: Names = Field(
        (), description="int64 column that names the object; 'position' is the sky cell of 1 arcsec."
    )
    ra: Names = Field(description="Right ascension, ICRS degrees.")
    dec: Names = Field(description="Declination, ICRS degrees.")
    bands: BandsSection | None = Field(None, description="The bands, where there is photometry.")
    photometry: tuple[Photometry, ...] = Field((), description="Ways in which fluxes may stand in a file.")
    quality: QualitySection = Field(QualitySection(), description="Rules for each flux.")
    magnitude: MagnitudeSection | None = Field(None, description="Magnitude of the imaging survey.")
    morphology: Names = Field((), description="Column of the Legacy Surveys type.")
    optional: dict[OptionalName, OptionalColumn] = Field({}, description="Bands and measures that rows may lack.")
    labels: LabelsSection | None = Field(None, description="Spectroscopic labels that the table carries itself.")
    sources: tuple[RowRule, ...] = Field(
        (), description="Conditions of a row to be a source of its own; other rows of imaging tables are left out."
    )
    extra: tuple[str, ...] = Field((), description="Columns carried along where a table has them.")
    unused: dict[str, str] = Field({}, description="Columns that are known and not used, each with the reason.")
    extra_sentinels: tuple[float, ...] = Field((), description="Values that are missing in floating extra columns.")
    ignore: tuple[str, ...] = Field((), description="Columns that must not be taken for what they seem; for people.")

    _roles: frozenset[str] = PrivateAttr(frozenset())

    @property
    def by_hand(self) -> frozenset[str]:
        """Roles whose columns were named by hand (:func:`with_columns`), not in the survey file."""
        return self._roles

    @property
    def of(self) -> str:
        """Name of the survey that the rows are of, by which models know theirs."""
        return self.survey or self.name

    @property
    def default_bands(self) -> str | None:
        """Name of the band system that is kept unless another is asked for."""
        return None if self.bands is None else (self.bands.default or self.bands.system)

    @property
    def identity(self) -> Identity:
        """What tells two rows to be one object."""
        if self.object_id == ("position",):
            return "position"
        return "id" if self.object_id else "row"


Survey = str | Path | SurveySchema | None
"""How a survey is named: the name or path of a survey file, what it holds, or None for the one that fits."""


def _surveys_folder() -> Path:
    return configs_folder() / "surveys"


def survey_names() -> tuple[str, ...]:
    """Return the names of the shipped survey files.

    Returns
    -------
    tuple of str
        Sorted.
    """
    return tuple(sorted(path.stem for path in _surveys_folder().glob("*.yaml")))


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in change.items():
        inner = result.get(name)
        result[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def _raw_schema(name: str, seen: Iterable[str] = ()) -> dict[str, Any]:
    path = Path(name)
    if not path.is_file():
        path = _surveys_folder() / f"{name.removesuffix('.yaml')}.yaml"
    if not path.is_file() or (path.parent == _surveys_folder() and "/" in name):
        known = survey_names()
        raise ConfigError(
            f"there is no survey file '{name}'.{did_you_mean(name, known)} Shipped: {', '.join(known)}; "
            "a path to a YAML file of your own will do as well."
        )
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path.name}: expected 'name: value' lines, found {type(content).__name__}.")
    seen = (*seen, path.stem)
    base = content.pop("extends", None)
    if base is not None:
        if base in seen:
            raise ConfigError(f"{path.name}: extends '{base}', which extends it. Break the circle.")
        content = _merged(_raw_schema(str(base), seen), content)
    content["name"] = path.stem
    return content


def load_schema(name: str | Path | SurveySchema) -> SurveySchema:
    """Read a survey file.

    Parameters
    ----------
    name : str, Path or SurveySchema
        What a file holds, which is given back; the name of a shipped survey such as ``jpas_idr202406``; or the path
        of a YAML file, which may say ``extends: jpas_idr202406`` and state only what differs.

    Returns
    -------
    SurveySchema

    Raises
    ------
    ConfigError
        If there is no such file, or something in it is unknown or wrong.
    """
    if isinstance(name, SurveySchema):
        return name
    return _parsed_schema(str(name)) if Path(name).is_file() else _shipped_schema(str(name))


def _parsed_schema(name: str) -> SurveySchema:
    schema = parse_options(SurveySchema, _raw_schema(name), f"{Path(name).stem}.yaml")
    if schema.bands is not None and schema.bands.table:
        add_system(BandSystem(schema.bands.system, tuple(Band(n, *row) for n, row in schema.bands.table.items())))
    for problem in _problems(schema):
        raise ConfigError(f"{schema.name}.yaml: {problem}")
    return schema


_shipped_schema = cache(_parsed_schema)
"""Of shipped files, which do not change; one's own are read anew each time."""


def _problems(schema: SurveySchema) -> Iterator[str]:
    """Yield what keeps a survey file from being used, though each of its fields is right by itself."""
    needs = {"catalogue": ("bands", "photometry"), "labels": ("labels",), "imaging": ()}[schema.kind]
    lacking = [name for name in needs if not getattr(schema, name)]
    if lacking:
        yield f"a survey of kind '{schema.kind}' needs {' and '.join(map(repr, needs))}; it lacks {', '.join(lacking)}."
    if schema.kind == "imaging" and schema.magnitude is None and not schema.morphology and not schema.optional:
        yield "a survey of kind 'imaging' needs 'magnitude' or 'morphology': without both it tells nothing."
    for optional, one in schema.optional.items():
        if (one.unit == "significance") != bool(one.error or one.ivar):
            yield f"optional '{optional}': a significance, and no other, needs 'error' or 'ivar'."
    if schema.kind == "labels" and schema.identity == "row":
        yield "labels need 'object_id': a column of whole numbers, or 'position' where there is none."
    if any(not key for key in schema.key):
        yield "a row key names no column: write [[TILE_ID, NUMBER]], for instance, or [[ROW]] for the row number."
    if schema.sources and schema.kind != "imaging":
        yield f"'sources' leaves out rows of imaging tables, and this is of kind '{schema.kind}'."
    for rule in (*schema.sources, *(schema.labels.rules if schema.labels else ())):
        if sum(value is not None for value in (rule.equals, rule.above, rule.differs)) != 1:
            yield f"the rule on {rule.column[0]} needs one of 'equals', 'above' and 'differs'."
    if schema.bands is not None:
        for name in (schema.bands.system, schema.bands.default or schema.bands.system):
            if name not in band_system_names():
                known = band_system_names()
                yield f"there is no band system '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}."
                return
        system = band_system(schema.bands.system)
        strange = [name for name in schema.bands.pivots if name not in system]
        if strange:
            near = did_you_mean(strange[0], system.names)
            yield f"bands.pivots names {strange[0]}, which is no band of '{system.name}'.{near}"
    for way in schema.photometry:
        if way.flux is None and not way.planes:
            yield f"photometry '{way.name}' needs 'flux' (or 'planes', for arrays)."
        if way.error is None and way.error_kind != "none" and not way.planes:
            yield f"photometry '{way.name}' says error_kind: {way.error_kind}, and no 'error': name it, or say none."


def all_schemas() -> tuple[SurveySchema, ...]:
    """Return the schemas of all shipped surveys.

    Returns
    -------
    tuple of SurveySchema
        In the order of their names.
    """
    return tuple(load_schema(name) for name in survey_names())


ROLES = ("ra", "dec", "key", "tile", "id", "flux", "error", "relative_error", "magnitude", "morphology", "class", "z")
"""What a column of one's own may be (:func:`with_columns`)."""

OwnColumns = Mapping[str, str | Sequence[str] | Mapping[str, str]]
"""For each role its column; several for the key; for fluxes and errors also a pattern with {band} or one a band."""


def check_roles(columns: OwnColumns) -> None:
    """Refuse a role that no column has, and one of no column, or of several where one is meant.

    Parameters
    ----------
    columns : mapping

    Raises
    ------
    ConfigError
        If one is none of :data:`ROLES`; the nearest is named.
    """
    for role, named in columns.items():
        lone = role not in ("key", "flux", "error", "relative_error", "magnitude")
        if role in ROLES and (not named or (lone and not isinstance(named, str))):
            raise ConfigError(f"column {role}={named or ''}: name {'one column' if lone else 'its columns'}.")
        if role not in ROLES:
            raise ConfigError(
                f"column {role}=...: there is no role '{role}'.{did_you_mean(role, ROLES)} Roles: {', '.join(ROLES)}."
            )


def with_columns(schema: SurveySchema, columns: OwnColumns, photometry: str | None = None) -> SurveySchema:
    """Return a survey whose things stand in columns of other names.

    Parameters
    ----------
    schema : SurveySchema
        Says all that the columns themselves do not: bands, units, sentinels, classes.
    columns : mapping of str to str, sequence of str or mapping of str to str
        For each of :data:`ROLES` the column. ``flux``, ``error`` (in the unit of the fluxes) and
        ``relative_error`` may be an array column, a pattern such as ``f_{band}``, or one column for each band.
        A table without a key of the survey is named by its row numbers.
    photometry : str, optional
        Which measurement of the survey the fluxes are; default: the first.

    Returns
    -------
    SurveySchema

    Raises
    ------
    ConfigError
        If a role or the measurement is unknown.
    """
    check_roles(columns)
    rules = {rule.name: rule for rule in reversed(schema.photometry)}
    if photometry is not None and photometry not in rules:
        raise ConfigError(
            f"{schema.name}: has no photometry '{photometry}'.{did_you_mean(photometry, rules)} "
            f"It has: {', '.join(reversed(rules))}."
        )
    changes: dict[str, Any] = {"key": (*schema.key, ("ROW",))}
    plain = {"ra": "ra", "dec": "dec", "tile": "tile", "id": "object_id", "morphology": "morphology"}
    changes |= {field: (columns[role],) for role, field in plain.items() if role in columns}
    if "key" in columns:
        changes["key"] = (_as_tuple(columns["key"]),)
    if "magnitude" in columns:
        unit = schema.magnitude.unit if schema.magnitude else "ab_magnitude"
        changes["magnitude"] = MagnitudeSection(column=columns["magnitude"], unit=unit, imaging=True)
    if "class" in columns or "z" in columns:
        labels = schema.labels or LabelsSection(
            spectype=("SPECTYPE",), z=("Z",), spectypes={"GALAXY": "GALAXY", "QSO": "QSO", "STAR": "STAR"}
        )
        own = {field: (columns[role],) for role, field in (("class", "spectype"), ("z", "z")) if role in columns}
        changes["labels"] = labels.model_copy(update=own)
    if schema.photometry:
        rule = rules[photometry] if photometry else schema.photometry[0]
        kept = [other for other in schema.photometry if photometry in (None, other.name)]
        changes["photometry"] = (_own_photometry(rule, columns),) if "flux" in columns else tuple(kept)
    made = schema.model_copy(update=changes)
    made._roles = frozenset(columns)
    return made


def _own_photometry(rule: Photometry, columns: OwnColumns) -> Photometry:
    """Return a way of storing fluxes with its columns under other names."""
    change: dict[str, Any] = {"flux": columns["flux"], "error": None, "error_kind": "none", "planes": ()}
    magnitude = rule.unit in ("ab_magnitude", "asinh_magnitude")
    for role, kind in (("error", "magnitude" if magnitude else "absolute"), ("relative_error", "relative")):
        if role in columns:
            change |= {"error": columns[role], "error_kind": kind}
    return rule.model_copy(update=change)

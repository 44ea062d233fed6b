"""Names of columns and units, however tables spell them; of units, what they measure and how large they are."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..errors import CatalogueError, did_you_mean

if TYPE_CHECKING:
    from astropy.units import UnitBase


def repeated_names(names: Sequence[str]) -> frozenset[str]:
    """Return the names that stand more than once.

    Parameters
    ----------
    names : sequence of str
        Column names of a file.

    Returns
    -------
    frozenset of str
        Empty where each stands once.
    """
    return frozenset(name for name, count in Counter(names).items() if count > 1)


_BEFORE_UNIT = re.compile(r"(.*[^\s\[(])\s*(?:\[([^\[\]]*)\]|\(((?:[^()]|\([^()]*\))*)\))")
"""A name with brackets at its end."""
_FRAME = re.compile(r"(?:icrs|fk5|(?:eq(?:uinox)?\.?\s*)?j?2000(?:\.0)?)(?:[\s,]+j?2000(?:\.0)?)?", re.IGNORECASE)
_PLACE = re.compile(r"(?:.*[\W_])?(?:ra|dec?|alpha|delta)(?:_?j?2000)?(?:_\w+|\s*[\[(].*)?", re.IGNORECASE)


def _bare(name: str) -> str:
    """Return a name without blanks around it and a pair of quotes, which a table before it may not be in."""
    return re.sub(r"""^(.*\.)?(["'])(.*)\2$""", r"\1\3", name.strip()).strip()


@lru_cache(maxsize=1 << 14)
def name_and_unit(name: str) -> tuple[str, str | None]:
    """Return a column name without the unit that stands in brackets behind it, and that unit; None where none does.

    What is read as a unit is one, and dashes or nothing; a number is none, nor is a letter but d, h, m and s:
    ``flux[3]`` and ``mag (g)`` are names as a whole, as is ``class [phot]``.

    Examples
    --------
    >>> name_and_unit("ra [deg]"), name_and_unit("mag_g (mag(AB))"), name_and_unit("z (spec)")
    (('ra', 'deg'), ('mag_g', 'mag(AB)'), ('z (spec)', None))
    """
    found = _BEFORE_UNIT.fullmatch(_bare(name)) if len(name) < 200 and name.rstrip()[-1:] in tuple("])\"'") else None
    if found is None:
        return name, None
    unit = (found[3] if found[2] is None else found[2]).strip()
    if re.fullmatch(r"-*", unit):
        return found[1], unit
    if _FRAME.fullmatch(unit) and _PLACE.fullmatch(found[1]):
        before, inner = name_and_unit(found[1])
        return before, inner or ""
    if re.fullmatch(r"[^\W\d]|[A-Z]?[\d.]+|[-+\d.,eE*^ ]+|[Gg]al|min", unit) and unit not in ("d", "h", "m", "s"):
        return name, None
    stated, degrees = stated_unit(unit), degrees_per_unit(unit)
    if re.match(r"[-+\d.]", unit) and (degrees or (stated and stated[0] == "ratio")):  # an aperture, such as 3 arcsec
        return name, None
    return (found[1], unit) if stated or degrees or _parsed(unit) else (name, None)


def unit_of(name: str, stated: str | None, place: str) -> str | None:
    """Return the unit of a column: that which its file states, or else that which stands in brackets in its name.

    Parameters
    ----------
    name : str
        As the file spells it.
    stated : str, optional
        As the file states it elsewhere.
    place : str
        The table, for messages.

    Returns
    -------
    str or None

    Raises
    ------
    CatalogueError
        If the two are not the same unit.
    """
    behind = name_and_unit(name)[1]
    if says_nothing(stated) or behind is None or says_nothing(behind):
        return behind if says_nothing(stated) and not says_nothing(behind) else stated
    meant, named = ((stated_unit(one), degrees_per_unit(one), _parsed(str(one))) for one in (stated, behind))
    if meant[:2] != named[:2] or (meant[:2] == (None, None) and meant[2] != named[2]):
        raise CatalogueError(
            f"{place}[{name}]: is in '{stated}' as the file states, and in '{behind}' by its name. Mend the one that "
            "is wrong."
        )
    return stated


def _whole(name: str) -> str:
    return _bare(name).rsplit(".", 1)[-1].strip().strip('"').upper()


@lru_cache(maxsize=1 << 14)
def canonical(name: str) -> str:
    """Return a column name without prefix, case and a unit behind it: ``minijpas.tile_id`` becomes ``TILE_ID``.

    Parameters
    ----------
    name : str
        As a file spells it.

    Returns
    -------
    str
        In capitals.
    """
    return _whole(name_and_unit(name)[0])


class ColumnNames:
    """Finds columns by any of their spellings.

    Parameters
    ----------
    names : sequence of str
        As the file spells them.
    place : str
        The table, for messages.
    """

    def __init__(self, names: Sequence[str], place: str) -> None:
        self.names = tuple(names)
        self.place = place
        self._exact = frozenset(self.names)
        self._spelt: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
        for name in self.names:
            self._spelt[0].setdefault(_whole(name), []).append(name)
            if name_and_unit(name)[1] is not None:
                self._spelt[1].setdefault(canonical(name), []).append(name)

    def find(self, spellings: Sequence[str]) -> str | None:
        """Return the file's name of the first spelling that it has, or None.

        A name spelt exactly is preferred to one that differs in case or prefix, and any such to one with a unit behind.

        Parameters
        ----------
        spellings : sequence of str
            The preferred first.

        Returns
        -------
        str or None
            As the file spells it.

        Raises
        ------
        CatalogueError
            If two columns differ in nothing but case, prefix or unit.
        """
        for spelt, spelling in ((spelt, spelling) for spelt in self._spelt for spelling in spellings):
            if spelling in self._exact:
                return spelling
            found = spelt.get(_whole(spelling), [])
            if len(found) > 1:
                raise CatalogueError(
                    f"{self.place}: columns {' and '.join(found)} could both be '{spelling}'. Rename or drop one."
                )
            if found:
                return found[0]
        return None

    def nearest(self, name: str) -> str:
        """Return a hint at a column of nearly that name, or an empty string.

        Parameters
        ----------
        name : str
            What was looked for.

        Returns
        -------
        str
            One sentence, with a blank in front.
        """
        return did_you_mean(name, self.names)


UnitKind = Literal["f_lambda", "f_nu", "ab_magnitude", "ratio"]
"""What a unit measures; a ratio has no dimension, as a relative error or a redshift."""

_CM2 = "s-1 cm-2"


class Stated(NamedTuple):
    """What a unit that a file states is.

    Parameters
    ----------
    kind : UnitKind
        What the unit is one of.
    scale : float
        Its size in cgs; 0.01 for a per cent, 1 for magnitudes.
    """

    kind: UnitKind
    scale: float


_NOTHING = frozenset({"", "-", "--", "---", "none", "null", "nan", "n/a", "unknown", "undefined"})

WAVELENGTHS = re.compile(r"wave|lambda|pivot|\bwl\b", re.IGNORECASE)
"""Found in what columns and cards of wavelengths are called."""

NULLS = ["", " ", "NaN", "nan", "NAN", "NULL", "Null", "null", "None", "none", "N/A", "n/a", "NA", "<NA>", "#N/A", "-",
         "--", "...", ".", "\\N", "INDEF", "masked", "missing"]  # fmt: skip
"""Words of text tables for no value."""

_RATIO = frozenset({"dimensionless", "unitless", "redshift", "z", "fraction"})

_MAGNITUDES = {
    "mag": frozenset({"mag", "mags", "magnitude", "magnitudes"}),
    "mag(AB)": frozenset(
        {"ab", "abmag", "abmags", "magab", "mag(ab)", "mags(ab)", "abmagnitude", "abmagnitudes", "mab"}
    ),
}

_SPELT = {
    "A": "Angstrom", "a": "Angstrom", "aa": "Angstrom", "ang": "Angstrom", "angs": "Angstrom", "angstrom": "Angstrom",
    "angstroms": "Angstrom", "ergs": "erg", "erg": "erg", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "s": "s", "cm": "cm", "hz": "Hz", "hertz": "Hz", "w": "W", "watt": "W", "watts": "W", "m": "m", "um": "um",
    "micron": "um", "microns": "um", "nm": "nm", "jy": "Jy", "jansky": "Jy", "janskys": "Jy", "janskies": "Jy",
    "ujy": "uJy", "njy": "nJy", "microjy": "uJy", "nanojy": "nJy", "millijy": "mJy", "microjansky": "uJy",
    "nanojansky": "nJy", "millijansky": "mJy", "maggy": "mgy", "maggie": "mgy", "maggies": "mgy", "mgy": "mgy",
    "nanomaggy": "nmgy", "nanomaggie": "nmgy", "nanomaggies": "nmgy", "nmgy": "nmgy",
    "flam": f"(erg {_CM2} Angstrom-1)", "flambda": f"(erg {_CM2} Angstrom-1)", "fnu": f"(erg {_CM2} Hz-1)",
}  # fmt: skip
"""Words of unit strings in lower case, and astropy's spelling of them."""

_POWER = re.compile(r"^\s*(?:(\d+\.?\d*)\s*[x×*·]\s*)?10\s*(?:\^|\*\*)\s*[({]?\s*([+-]?\d+)\s*[)}]?\s*[*·.]?")


def _parsed(text: str) -> UnitBase | None:
    """Return a unit as astropy reads it, or None."""
    from astropy import units as u

    for format in (None, "cds"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return u.Unit(text, format=format, parse_strict="raise")
        except (ValueError, TypeError, ZeroDivisionError, OverflowError):
            continue
    return None


def _plain(text: str) -> str:
    """Return a unit string without signs of its own: powers of ten, Å, µ, braces."""
    text = _POWER.sub(lambda m: f"{m[1] or '1'}e{m[2]} ", text.strip().strip("\"'"))
    for sign, word in (("\\AA", "Angstrom"), ("Å", "Angstrom"), ("Å", "Angstrom"), ("µ", "u"), ("μ", "u")):
        text = text.replace(sign, word)
    return re.sub(r"\{([^{}]*)\}", r"\1", text).strip()


def _known(unit: UnitBase | None, power: float = 1.0) -> Stated | None:
    """Return what a unit, raised to a power, is if fluxes, magnitudes or ratios can be in it."""
    from astropy import units as u

    if unit is None:
        return None
    if not isinstance(unit, u.UnitBase):
        return Stated("ab_magnitude", 1.0) if unit == u.ABmag else None
    if power != 1.0:
        unit = unit**power
    if unit == u.mag:
        return Stated("ab_magnitude", 1.0)
    if unit.is_equivalent(u.maggy):
        return Stated("f_nu", float(f"{unit.to(u.maggy) * 10**-19.44:.12g}"))
    sizes: dict[UnitKind, UnitBase] = {
        "f_lambda": u.erg / u.s / u.cm**2 / u.AA,
        "f_nu": u.erg / u.s / u.cm**2 / u.Hz,
        "ratio": u.dimensionless_unscaled,
    }
    for kind, cgs in sizes.items():
        if unit.is_equivalent(cgs):
            # Through decades: 1e-19 stays 1e-19 and does not become 1.0000000000000001e-19.
            return Stated(kind, float(f"{unit.to(cgs):.12g}"))
    return None


def says_nothing(text: str | None) -> bool:
    """Return whether a unit string states no unit.

    Parameters
    ----------
    text : str, optional
        As the file states it.

    Returns
    -------
    bool
        True for blanks and words such as "none".
    """
    return text is None or text.strip().lower() in _NOTHING


@cache
def stated_unit(text: str | None, power: float = 1.0) -> Stated | None:
    """Return what a unit that a file states is, and its size in cgs, or None if it says nothing usable.

    Astropy's reading of the string as it stands comes first (FITS, VOUnit and its own spellings, then CDS); where
    that is no flux, magnitude or ratio, words are read without regard to case, and A is the Ångström.

    Parameters
    ----------
    text : str, optional
    power : float
        To which the unit is raised first: -0.5 makes that of an inverse variance one of fluxes.

    Returns
    -------
    Stated or None

    Examples
    --------
    >>> tuple(stated_unit("10**-19 erg Angstrom-1 s-1 cm-2"))
    ('f_lambda', 1e-19)
    >>> tuple(stated_unit("10-17 erg/(s cm2 A)")), tuple(stated_unit("nanomaggies"))
    (('f_lambda', 1e-17), ('f_nu', 3.6307805477e-29))
    >>> stated_unit("mag(AB)").kind, stated_unit("counts"), stated_unit("mag(Vega)")
    ('ab_magnitude', None, None)
    """
    if text is None or says_nothing(text):
        return None
    plain = _plain(text)
    if power < 0 and (inverse := re.fullmatch(r"1\s*/\s*\((.*)\)\s*(\^|\*\*)\s*2", plain)):
        return stated_unit(inverse[1])
    squeezed = re.sub(r"[\s_-]", "", plain).lower()
    if squeezed in _RATIO:
        return Stated("ratio", 1.0)
    if any(squeezed in words for words in _MAGNITUDES.values()):
        return Stated("ab_magnitude", 1.0)
    found = _known(_parsed(plain), power)
    if found is not None:
        return found
    worded = re.sub(r"[A-Za-z]+", lambda m: _SPELT.get(m[0], _SPELT.get(m[0].lower(), m[0])), plain)
    return None if worded == plain else _known(_parsed(worded), power)


_HOURS = frozenset({"h", "hr", "hrs", "hour", "hours", "hourangle", "hour angle", "hour angles"})

_DEGREES = re.compile(r"(?:decimal\s+)?(?:deg|degs|degree|degrees|°)(?:[\s,]*\(?(?:icrs|j2000|fk5)\.?0?\)?)?")

SEXAGESIMAL = re.compile(r"[+-]?\d{1,3}[:h ]\s?\d{1,2}([:m ]\s?\d{1,2}(\.\d*)?s?)?", re.IGNORECASE)
"""Angles such as 14:20:11.2 or 14h20m11s."""

SEXAGESIMAL_HINT = " It is spelt in sixties (h:m:s or d:m:s), which is not read here: write angles in degrees."


@cache
def degrees_per_unit(text: str | None) -> float | None:
    """Return the degrees in one of a unit of angle, or None if it is none; a unit that is not stated is degrees.

    Examples
    --------
    >>> degrees_per_unit("Degrees"), degrees_per_unit("hours"), round(degrees_per_unit("RAD"), 4)
    (1.0, 15.0, 57.2958)
    >>> degrees_per_unit("h:m:s") is None
    True
    """
    from astropy import units as u

    word = "" if text is None or says_nothing(text) else text.strip().strip("\"'").lower()
    if not word or _DEGREES.fullmatch(word):
        return 1.0
    if word in _HOURS or re.fullmatch(r"gons?|grads?|gradians?", word):
        return 15.0 if word in _HOURS else 0.9
    unit = _parsed({"radian": "rad", "radians": "rad", "arcseconds": "arcsec", "arcminutes": "arcmin"}.get(word, word))
    if unit is None or not isinstance(unit, u.UnitBase) or not unit.is_equivalent(u.deg):
        return None
    return float(unit.to(u.deg))


def refuse_unit(place: str, column: str, text: str | None, what: str) -> CatalogueError:
    """Return the error for a stated unit that is not understood, or is not one of what the column holds.

    Parameters
    ----------
    place, column : str
        The table and the column.
    text : str
        The unit as stated.
    what : str
        What is read there and in which units, for the message.

    Returns
    -------
    CatalogueError
        To be raised.
    """
    return CatalogueError(
        f"{place}[{column}]: is in '{text}', {what}. Mend the unit in the file, or take it out to have that of the "
        "survey file."
    )


def check_f_lambda(text: str | None, place: object, what: str = "fluxes") -> float:
    """Refuse fluxes of spectra that are stated to be no f_λ; return how large their unit is, NaN where none is stated.

    Parameters
    ----------
    text : str, optional
        As the file states it.
    place : path or str
        For the message.
    what : {"fluxes", "errors", "inverse variances"}
        That is in the unit; of inverse variances its inverse root is looked at.

    Returns
    -------
    float
        In erg/s/cm2/Angstrom.

    Raises
    ------
    CatalogueError
        If something else is stated, or what is not understood.
    """
    stated = stated_unit(text, -0.5 if what == "inverse variances" else 1.0)
    if not says_nothing(text) and (stated is None or stated.kind != "f_lambda"):
        raise CatalogueError(
            f"{place}: its {what} are in {text!r}; f_λ is expected, such as 1e-17 erg/s/cm2/Angstrom. Convert them, or "
            "mend the unit where it is wrong."
        )
    return stated.scale if stated else float("nan")


def angstroms(text: str | None, place: object) -> float:
    """Return the Å in one of a unit of wavelength; a unit that is not stated is Å.

    Parameters
    ----------
    text : str, optional
        As the file states it.
    place : path or str
        For the message.

    Returns
    -------
    float

    Raises
    ------
    CatalogueError
        If it is no unit of length.
    """
    from astropy import units as u

    if text is None or says_nothing(text):
        return 1.0
    word = _plain(text)
    unit = _parsed(_SPELT.get(word.lower(), word))
    if unit is None or not isinstance(unit, u.UnitBase) or not unit.is_equivalent(u.AA):
        raise CatalogueError(f"{place}: its wavelengths are in {text!r}; Å or another length is expected.")
    return float(unit.to(u.AA))

"""What the folder of a model holds beside its recipe and boosters, what of it has to fit together, and its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
from pydantic import BeforeValidator, FiniteFloat, NonNegativeInt

from .boosting.calibration import HeldOut
from .boosting.few_bands import ByBrightness, FewBands
from .features.overlap import Overlap
from .features.redshifts import RedshiftDensity
from .features.shift import DomainShift
from .features.sky_sums import Reference
from .sealed import Form
from .store import Provenance, damage, from_plain, magnitude_name
from .surveys.labels import LabelledRows
from .surveys.scheme import LabelScheme
from .text import DASH, cell, count, listed

Rule = Literal["argmax", "thresholds"]
OPTIONAL: dict[str, tuple[str, Callable[[dict[str, np.ndarray]], Any]]] = {
    "shift": ("shift.npz", DomainShift.from_arrays),
    "held_out": ("validation.npz", HeldOut.from_arrays),
    "overlap": ("overlap.npz", Overlap.from_arrays),
    "known": ("known.npz", LabelledRows.of),
    "few_bands": ("few_bands.npz", FewBands.from_arrays),
    "brightness": ("brightness.npz", ByBrightness.from_arrays),
    "redshift": ("redshift.npz", RedshiftDensity.from_arrays),
    "reference": ("reference.npz", Reference.from_arrays),
}


@dataclass(frozen=True)
class MemberHead:
    """What ``model.json`` says of a :class:`Member`; boosters by number.

    Parameters
    ----------
    kind : {"plain", "stack"}
    booster, base : int
        Numbers of its booster, and of the one that it stands on.
    name : str
    """

    kind: Literal["plain", "stack"]
    booster: NonNegativeInt
    base: NonNegativeInt | None = None
    name: str = ""


_SpeltCard = TypedDict(
    "_SpeltCard", {"named path": Mapping[str, Any], "measured without labels": Mapping[str, Any]}, total=False
)


class ModelCard(_SpeltCard, total=False):
    """What ``card.json`` of a model holds: how it was made, and what was measured on validation.

    Parameters
    ----------
    regime, chosen, rule : str
        How it was trained, which candidate was kept, and by which rule.
    candidates, baselines : sequence of mapping
        ``candidate``, ``log_loss`` and ``macro_f1`` of each, with ``intervals`` (older cards have none).
    verdict : mapping
        Whether adaptation gains over the better baseline; ``sentence`` says it.
    rows : mapping of str to mapping
        Rows of each part, and of each class in it.
    shift : mapping or None
        What the sky does to mocks; ``measured without labels`` says how that was found on unlabelled rows.
    features : mapping
        ``count`` and ``hash`` of the recipe; ``named path`` holds weights, rounds and shares of what the mission names.
    label_budget : mapping of str to int
        Labels by what they were used for.
    magnitude_range : sequence of two floats or None
        Between which rows trained.
    photometries, survey : sequence of str, str
        What the model takes.
    provenance : Provenance
        Versions, seed, options and data.
    domain : mapping
        The domain report.
    calibration, decision, ensemble : mapping, mapping, sequence of str
        Of the model.
    redshift : sequence of mapping
        Scores of the redshift densities.
    notes : sequence of str
    trainings : sequence of mapping
        Each stage that was trained.
    """

    regime: str
    chosen: str
    rule: str
    candidates: Sequence[Mapping[str, Any]]
    baselines: Sequence[Mapping[str, Any]]
    verdict: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, int]]
    shift: Mapping[str, Any] | None
    features: Mapping[str, Any]
    label_budget: Mapping[str, int]
    magnitude_range: Sequence[float] | None
    photometries: Sequence[str]
    survey: str
    provenance: Provenance
    domain: Mapping[str, Any]
    calibration: Mapping[str, Any]
    decision: Mapping[str, Any]
    ensemble: Sequence[str]
    redshift: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    trainings: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _CardFacts:
    """What of ``card.json`` predictions depend on."""

    photometries: tuple[str, ...] = ()
    survey: str | None = None
    magnitude_range: tuple[FiniteFloat, FiniteFloat] | None = None


def _named(scheme: object) -> object:
    """Refuse a scheme that leaves its classes to a default."""
    if isinstance(scheme, dict) and "classes" not in scheme:
        raise ValueError("it names no classes")
    return scheme


@dataclass(frozen=True)
class ModelHead:
    """What ``model.json`` says: the parts of a :class:`Model` that are no files of their own.

    Parameters
    ----------
    scheme, bands, photometry, survey : LabelScheme, dict, str, str
        As the model has them.
    recipe_hash : str
        Of the features.
    members : tuple of MemberHead
    boosters : tuple of str
        Backend of each.
    calibrator, bare_calibrator : dict
        As they write themselves.
    thresholds, rule : tuple of float, str
        As the model has them.
    """

    scheme: Annotated[LabelScheme, BeforeValidator(_named)]
    bands: dict[str, Any]
    photometry: str
    survey: str
    recipe_hash: str
    members: tuple[MemberHead, ...]
    boosters: tuple[str, ...]
    calibrator: dict[str, Any]
    bare_calibrator: dict[str, Any] | None
    thresholds: tuple[FiniteFloat, ...]
    rule: Rule


def _from_format_1(head: dict[str, Any]) -> dict[str, Any]:
    """Turn the head of format 1, which had a checksum for each file and none for itself, into one of format 2."""
    files = {name: {"sha256": checksum} for name, checksum in head["checksums"].items()}
    return {**head, "files": files, "optional": {part: name for part, (name, _) in OPTIONAL.items() if name in files}}


CARD = "card.json"
FORM = Form("model", "model.json", 2, ModelHead, "'jpas-gbm fit --out' makes one.", {1: _from_format_1})


def misfits(model: Any) -> Iterator[str]:
    """Yield what of a model does not fit together.

    Parameters
    ----------
    model : Model

    Yields
    ------
    str
    """
    k, f = len(model.scheme), len(model.recipe.names)
    if len(model.thresholds) != k or (model.thresholds <= 0).any():
        yield f"its thresholds are {model.thresholds.tolist()}, not a positive number for each of {k} classes"
    for calibrator in filter(None, (model.calibrator, model.bare_calibrator)):
        if calibrator.n_classes != k or not np.isfinite([*calibrator.W.flat, *calibrator.b]).all():
            yield f"its calibrator is for {calibrator.n_classes} classes, not {k}, or is not finite"
    if not model.members:
        yield "it has no booster"
    for member in model.members:
        yield from member.misfits(k, f)
    yield from () if model.held_out is None else model.held_out.misfits(k)
    for part in filter(None, (model.few_bands, model.brightness)):
        yield from part.misfits(k)
    yield from () if model.overlap is None else model.overlap.misfits(f, k)
    yield from () if model.shift is None else model.shift.misfits(model.bands.names, k)
    yield from () if model.redshift is None else model.redshift.misfits(model.recipe.templates)
    yield from () if model.reference is None else model.reference.misfits(model.bands)
    if model.bands.to_dict() != model.recipe.bands.to_dict():
        yield "its bands are not those of its features"
    if not isinstance(model.card, dict):
        yield "its card is no mapping"
    try:
        from_plain(_CardFacts, model.card)
        model.lines()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        yield f"its card says something else than a fit does ({damage(error)})"


def card_lines(card: ModelCard, head: str) -> list[str]:
    """Return a model card in a few lines for a terminal.

    Parameters
    ----------
    card : ModelCard
        Of the model.
    head : str
        Boosters, features and decision, in words.

    Returns
    -------
    list of str
    """
    lines = [f"regime {card.get('regime')}: {card.get('chosen')}, {head}"]
    lines += card.get("named path", {}).get("sentences", [])
    for scored_ones, remark in ((card.get("candidates", ()), ""), (card.get("baselines", ()), " (baseline)")):
        for scored in scored_ones:
            spans = scored.get("intervals", {})
            loss, f1 = (cell(scored[name], spans.get(name), 4) for name in ("log_loss", "macro_f1"))
            scores = f"log loss {loss}  macro-F1 {f1}"
            lines.append(f"  {scored['candidate']:<48} {scores}{remark}")
    if "verdict" in card:
        lines.append(card["verdict"]["sentence"])
    lines += card.get("domain", {}).get("lines", [])
    return lines + [f"note: {note}" for note in card.get("notes", []) if note not in lines]


def card_page(card: ModelCard, classes: Sequence[str]) -> str:
    """Return a model card in the form of the Hugging Face hub: a YAML header, then what the model is for.

    Parameters
    ----------
    card : ModelCard
        As a model keeps it.
    classes : sequence of str
        That it tells apart.

    Returns
    -------
    str
        Markdown. The licence is left to who publishes: a model holds what its training data taught.
    """
    import yaml

    made, data = card.get("provenance") or {}, (card.get("provenance") or {}).get("data") or {}
    survey, head = card.get("survey") or "a survey", yaml.safe_dump(_hub_header(card), sort_keys=False)
    rows = [f"- {name}: {count(one['rows'], 'row')}" for name, one in (card.get("rows") or {}).items() if "rows" in one]
    guard = (card.get("verdict") or {}).get("sentence")
    photometry = listed(list(card.get("photometries") or ["of the survey"]))
    parts = [
        f"---\n{head}---",
        f"# {card.get('regime', 'model')}: {listed(list(classes))}",
        "Simulated data: a test of the program, not a model of the real sky." if data.get("simulated") else "",
        "## Use",
        f"Calibrated probabilities of the classes for sources of {survey}, photometry {photometry}; magnitudes are "
        f"{magnitude_name(made)}. `jpas_gbm.load(folder)` loads it, `jpas-gbm predict FOLDER CATALOGUE --out FILE` "
        "classifies a catalogue.",
        "## Limits",
        "Not for other photometry or bands, nor fainter than it was trained and scored on. "
        f"{_mix_words(card)} Before it is published, name its licence above: the terms of the data that taught it "
        "hold.",
        "## Training",
        "\n".join([f"- kept: {card.get('chosen', DASH)}", *([f"- guard: {guard}"] if guard else []), *rows]),
        f"Made by jpas-gbm {made.get('version', '')}, seed {made.get('seed', DASH)}; card.json tells everything.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _on_mocks(card: ModelCard) -> bool:
    """Return whether mocks calibrated the model, so that no figure of it is of the sky."""
    return (card.get("label_budget") or {}).get("target labels for choosing and calibrating") == 0


def _mix_words(card: ModelCard) -> str:
    """Return for which class mix probabilities are."""
    if not _on_mocks(card):
        return "Probabilities hold for the class mix of the labels."
    mix = card.get("class mix")
    taken = isinstance(mix, Mapping) and mix.get("taken")
    of = "found among unlabelled rows by EM" if taken else "of the mocks"
    return f"Probabilities hold for the class mix {of}: mocks calibrated them, and no label of the sky has judged them."


def _hub_header(card: ModelCard) -> Mapping[str, Any]:
    """Return the header of a model card in the schema of the Hugging Face hub."""
    survey, loss = card.get("survey") or "a survey", (card.get("calibration") or {}).get("log_loss")
    simulated = ((card.get("provenance") or {}).get("data") or {}).get("simulated")
    head: dict[str, Any] = {
        "library_name": "jpas-gbm",
        "license": "other",
        "license_name": "to-be-named-by-who-publishes",
        "pipeline_tag": "tabular-classification",
        "tags": ["astronomy", "photometry", "gradient-boosting", "domain-adaptation", survey],
    }
    if loss is None:
        return head
    metric = {"type": "log_loss", "name": "log loss on validation, calibrated by cross-fitting", "value": loss}
    name = f"mocks of {survey}" if _on_mocks(card) else f"{survey}{' (simulated)' if simulated else ''}"
    source = {"type": survey, "name": name, "split": "validation"}
    task = {"type": "tabular-classification", "name": "classes of sources"}
    results = [{"task": task, "dataset": source, "metrics": [metric]}]
    index = {"name": f"{card.get('regime', 'model')} of jpas-gbm", "results": results}
    return head | {"metrics": ["log_loss"], "model-index": [index]}

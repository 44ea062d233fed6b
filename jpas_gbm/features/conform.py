"""Whether a catalogue has what the features are made of."""

from __future__ import annotations

from ..errors import FeatureMismatch
from ..survey.bands import BandSystem
from ..survey.catalogue import Catalogue

_SAME_PIVOT = 0.03
_MOST_NAMED = 8


def conform(catalogue: Catalogue, bands: BandSystem, has_errors: bool) -> Catalogue:
    """Return the catalogue in the bands needed, found by name.

    Parameters
    ----------
    catalogue : Catalogue
    bands : BandSystem
        The bands needed; a pivot may lie up to 3 % away, as another measurement of the same curve does.
    has_errors : bool
        Whether photometric errors are needed.

    Raises
    ------
    FeatureMismatch
        If bands are missing or lie elsewhere, or errors are missing.
    """
    missing = [name for name in bands.names if name not in catalogue.bands]
    if missing:
        raise FeatureMismatch(
            f"the features need {len(bands)} bands of '{bands.name}', the catalogue "
            f"({catalogue.survey}, '{catalogue.bands.name}') lacks {len(missing)}: {', '.join(missing[:_MOST_NAMED])}"
            f"{' ...' if len(missing) > _MOST_NAMED else ''}. Use a model that was fitted on that survey's bands."
        )
    for band in bands:
        pivot = catalogue.bands[band.name].pivot
        if abs(pivot / band.pivot - 1) > _SAME_PIVOT:
            raise FeatureMismatch(
                f"band {band.name} lies at {band.pivot:.0f} Å in the model and at {pivot:.0f} Å in the catalogue "
                f"({catalogue.survey}, '{catalogue.bands.name}'): another filter of that name. "
                "Use a model that was fitted on that survey."
            )
    if has_errors and not catalogue.has_errors and bool(catalogue.observed.any()):
        raise FeatureMismatch(
            f"the features need photometric errors, which the catalogue ({catalogue.survey}) does not have. "
            "Read a photometry with errors, or build the recipe with has_errors=False."
        )
    return catalogue.select_bands(bands)

"""What a report would show and does not have, and how to make it."""

from __future__ import annotations

from .results import Results


def missing_parts(results: Results) -> list[str]:
    """Return what is damaged or was not given, each with the way to get it."""
    told = [f"Left out: {problem}" for problem in results.problems]
    if not results.subjects:
        told.append(
            "No scores were given: 'jpas-gbm compare --out DIR' or 'jpas-gbm evaluate MODEL --out DIR' makes them."
        )
    elif all(subject.comparison is None for subject in results.subjects):
        told.append("Regimes were not compared: 'jpas-gbm compare --out DIR' does it, with paired intervals.")
    if not results.explanations:
        told.append("No explanation was given: 'jpas-gbm explain MODEL --out DIR' says which bands decide.")
    for explanation in results.explanations:
        told += _explanation_gaps(explanation.head)
    if not results.budgets:
        told.append(
            "Label budgets were not tried: 'jpas-gbm compare --budgets 100,1000,all --out DIR' draws the curve."
        )
    if not results.studies:
        told.append("No tuning study was given: 'jpas-gbm tune --trials N --out DIR' looks for better options.")
    if not results.lists:
        told.append(
            "No candidate list was given: 'jpas-gbm targets PREDICTIONS --purity 0.8 --out FILE' makes one, and beside "
            "it the JSON to show."
        )
    if not results.data:
        told.append("Nothing is known of the data's quality: give the data set's folder as well.")
    told += _exhibit_gaps(results)
    return told


def _exhibit_gaps(results: Results) -> list[str]:
    if not results.subjects:
        return []
    one = results.subjects[0]
    found = one.exhibits
    parts = [
        (found.portraits.get("objects"), "photo-spectra with twins"),
        (found.balance, "class balance"),
        (found.separation, "domain separation by band"),
        (found.sky_map is not None, "the map of mocks and sky"),
        (found.redshift, "probability against redshift"),
        (found.calibration, "reliability before calibration"),
        (found.mocks, "mocks tested on mocks"),
    ]
    lost = [words for there, words in parts if not there]
    if not lost:
        return []
    return [
        f"Not kept with {one.name}: {', '.join(lost)}. 'jpas-gbm evaluate MODEL' keeps them; so does 'compare' for "
        "the models that it keeps. Photo-spectra need labelled rows, redshift curves quasars of known redshift."
    ]


def _explanation_gaps(head: object) -> list[str]:
    if not isinstance(head, dict) or head.get("objects"):
        return []
    told = []
    if head.get("physics") is None:
        told.append("The explanation has no physics score; its notes say why.")
    for way, one in head.get("stages", {}).items():
        if not one["defined"]:
            told.append(f"What mocks and sky taught ({way}) is not defined: {one['why']}")
    steady = head.get("stability", {})
    if steady and not steady["defined"]:
        told.append(f"Stability of the bands: {steady['why']}")
    return told

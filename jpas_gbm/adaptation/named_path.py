"""The named path: mocks weighed by a domain classifier, continued on labelled sky rows, and what joins it as a mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..boosting.booster import Member, StagedBooster
from ..scores.bootstrap import mean_interval
from .band_shifts import BandShifts
from .shipped_ways import Joined, Mocks, SelfTrained
from .stages import Stages
from .ways import Mean, Way, doubts_templates, has_plain_trees

if TYPE_CHECKING:
    from .choosing import Choice, Scored

WAY = "continue"
"""The way whose candidates are the path, one for each temper of the weights."""

_ROWS = 300
"""Validation rows of each class whose contributions are looked at."""


@dataclass(frozen=True)
class Difference:
    """Log loss of one candidate less that of another, on the same validation rows.

    Parameters
    ----------
    of, against : str
        Names of the candidates.
    mean : float
        Negative is better.
    interval : tuple of float
        Paired 95 % bootstrap interval over objects.
    """

    of: str
    against: str
    mean: float
    interval: tuple[float, float]

    @property
    def words(self) -> str:
        """The figures in a few words."""
        return f"log loss {self.mean:+.4f} [{self.interval[0]:+.4f}, {self.interval[1]:+.4f}] against {self.against}"


def difference(one: Scored, other: Scored, groups: np.ndarray, counted: np.ndarray, seed: int) -> Difference:
    """Compare two candidates.

    Parameters
    ----------
    one, other : Scored
        On the same validation rows.
    groups : array of int64, shape (n,)
        Object of each row.
    counted : array of bool, shape (n,)
        Rows that count.
    seed : int
        Seed of the resamples.

    Returns
    -------
    Difference
    """
    gains = (one.losses - other.losses)[counted]
    interval = mean_interval(gains, groups[counted], seed)
    return Difference(one.entrant.name, other.entrant.name, float(gains.mean()), interval)


@dataclass(frozen=True, eq=False)
class NamedPath:
    """The incumbent of a fit.

    Parameters
    ----------
    scored : Scored
        The candidate: continued boosting from mocks of one temper.
    gamma : float
        The temper; 0 where every temper that was tried costs.
    weights : Difference, optional
        Of the path with its weights against itself without; of the last temper tried, where all cost.
    """

    scored: Scored
    gamma: float
    weights: Difference | None

    @property
    def sentence(self) -> str:
        """What the weights did."""
        if self.weights is None:
            return "the weights of the mocks were not compared with none: one temper alone was tried or usable."
        words = f"weights of {self.weights.of}: {self.weights.words}"
        if self.gamma == 0:
            return f"{words}: they cost beyond doubt, so mocks weigh alike."
        if self.weights.interval[1] < 0:
            return f"{words}: they help beyond doubt."
        return f"{words}: they changed nothing beyond doubt."


def find_path(scored: Sequence[Scored], groups: np.ndarray, counted: np.ndarray, seed: int) -> NamedPath | None:
    """Return the named path among single candidates.

    Of the tempers above 0 it has the best of those that help beyond doubt; else the smallest that does not cost beyond
    doubt; else none.

    Parameters
    ----------
    scored : sequence of Scored
        The single candidates.
    groups : array of int64, shape (n,)
        Object of each validation row.
    counted : array of bool, shape (n,)
        Rows that count.
    seed : int
        Seed of the resamples.

    Returns
    -------
    NamedPath or None
        None where no candidate is of the path.
    """
    path = sorted((one for one in scored if one.entrant.candidate.way == WAY), key=_temper)
    if not path:
        return None
    if _temper(path[0]) > 0 or len(path) == 1:
        return NamedPath(path[0], _temper(path[0]), None)
    found = [(one, difference(one, path[0], groups, counted, seed)) for one in path[1:]]
    helping = [(one, by) for one, by in found if by.interval[1] < 0]
    harmless = [(one, by) for one, by in found if by.interval[0] <= 0]
    if helping:
        one, by = min(helping, key=lambda pair: pair[0].log_loss)
    elif harmless:
        one, by = harmless[0]
    else:
        return NamedPath(path[0], 0.0, found[0][1])
    return NamedPath(one, _temper(one), by)


def joiner(
    path: NamedPath, scored: Sequence[Scored], groups: np.ndarray, counted: np.ndarray, seed: int
) -> Scored | None:
    """Return the best mean that is better than the path alone beyond doubt.

    Parameters
    ----------
    path : NamedPath
        The incumbent.
    scored : sequence of Scored
        Candidates; those that are no means with the path are passed over.
    groups : array of int64, shape (n,)
        Object of each validation row.
    counted : array of bool, shape (n,)
        Rows that count.
    seed : int
        Seed of the resamples.

    Returns
    -------
    Scored or None
        None where there is none.
    """
    means = [one for one in scored if isinstance(one.entrant.candidate, Mean) and holds(one.entrant.candidate, path)]
    better = [one for one in means if difference(one, path.scored, groups, counted, seed).interval[1] < 0]
    return min(better, key=lambda one: one.log_loss, default=None)


def _temper(one: Scored) -> float:
    return float(getattr(one.entrant.candidate, "gamma", 0.0))


def joined_means(path: NamedPath, scored: Sequence[Scored]) -> list[Mean]:
    """Return the means of the path with the best candidates of other ways: of each, of the best two and so on to all.

    Parameters
    ----------
    path : NamedPath
        The incumbent.
    scored : sequence of Scored
        The single candidates.

    Returns
    -------
    list of Mean
        The path comes first in each.
    """
    others = _best_of_ways([one for one in scored if one.entrant.candidate.way != WAY])
    first = path.scored.entrant.candidate
    groups = [[other] for other in others] + [others[:n] for n in range(2, len(others) + 1)]
    return [Mean((first, *group)) for group in groups]


def means(scored: Sequence[Scored]) -> list[Mean]:
    """Return means of the best candidate of each way: the best two ways, and all of them.

    Parameters
    ----------
    scored : sequence of Scored
        The single candidates.

    Returns
    -------
    list of Mean
        None where there are fewer than two ways.
    """
    ranked = _best_of_ways(scored)
    return [Mean(tuple(ranked[:n])) for n in sorted({2, len(ranked)}) if 2 <= n <= len(ranked)]


def _best_of_ways(scored: Sequence[Scored]) -> list[Way]:
    """Return the best candidate of each way, the best way first."""
    best: dict[str, Way] = {}
    for one in sorted(scored, key=lambda one: one.log_loss):
        best.setdefault(one.entrant.candidate.way, one.entrant.candidate)
    return list(best.values())


def holds(candidate: Way, path: NamedPath) -> bool:
    """Say whether a candidate is the path, or a mean that the path is a member of.

    Parameters
    ----------
    candidate : Way
        What was chosen.
    path : NamedPath
        The incumbent.

    Returns
    -------
    bool
    """
    first = path.scored.entrant.candidate
    return candidate == first or (isinstance(candidate, Mean) and first in candidate.parts)


def path_facts(
    path: NamedPath | None, choice: Choice, first: Stages, stages: Stages, members: Sequence[Member]
) -> dict[str, object]:
    """Return what the card says of the named path: features, weights, the continued stage, and what joined.

    Parameters
    ----------
    path : NamedPath, optional
        The incumbent; None where the recipe leaves it out.
    choice : Choice
        What the fit keeps.
    first : Stages
        That chose: its validation rows are looked at.
    stages : Stages
        That trained what is kept.
    members : sequence of Member
        What is saved.

    Returns
    -------
    dict
        In a form that JSON can hold.
    """
    if path is None:
        asked = f"recipe '{stages.options.recipe}' was asked for: the named path is not in this model."
        return {"inside": False, "sentences": [asked]}
    kept, joined = choice.kept.entrant.candidate, choice.joined
    inside, groups = holds(kept, path), stages.rows.recipe.groups
    continued = [member for member in members if member.name == path.scored.entrant.name]
    return {
        "inside": inside,
        "candidate": path.scored.entrant.name,
        "colours": [name for name, group in groups.items() if group == "colour"],
        "ratios": [name for name, group in groups.items() if group == "ratio"],
        "weights": _weights_facts(path, stages),
        "continued": [_stage_facts(member) for member in continued],
        "joined": None if joined is None else asdict(joined),
        "share of |SHAP|": shap_shares(first, [member.booster for member in continued]),
        "sentences": _sentences(path, kept, joined, inside),
    }


def _weights_facts(path: NamedPath, stages: Stages) -> dict[str, object]:
    share = stages.weigher.effective_share(path.gamma) if path.gamma else 1.0
    return {
        "kind": stages.options.domain.kind,
        "gamma": path.gamma,
        "effective_share": share,
        "effective_rows": share * len(stages.part("source_train")),
        "difference": None if path.weights is None else asdict(path.weights),
        "sentence": path.sentence,
    }


def _stage_facts(member: Member) -> dict[str, object]:
    mocks, *sky = member.booster.stage_rounds
    return {"member": member.name, "rounds on mocks": mocks, "rounds on sky": sum(sky)}


def _sentences(path: NamedPath, kept: Way, joined: Difference | None, inside: bool) -> list[str]:
    sentences = [path.sentence]
    if not inside:
        first = f"the named path ({path.scored.entrant.name}) is not in this model: {kept.name} is kept in its place."
        return [first, *sentences]
    if joined is not None:
        sentences.append(f"{joined.of} joins the named path: {joined.words}.")
        if joined.interval[1] >= 0:
            sentences.append("it stands where few labels train and no other is better beyond doubt.")
    elif kept == path.scored.entrant.candidate:
        sentences.append("nothing joins the named path beyond doubt: it stands alone.")
    return sentences


def shap_shares(stages: Stages, boosters: Sequence[StagedBooster]) -> dict[str, float]:
    """Return the share of each group of features in what parts the two classes of quasars.

    Parameters
    ----------
    stages : Stages
        Its validation rows of these classes are looked at, at most 300 of each.
    boosters : sequence of StagedBooster
        Over the features.

    Returns
    -------
    dict of str to float
        By group; empty where no two classes are parted by redshift, no row has them, or there is no booster.
    """
    val, scheme_pair = stages.rows.target_val, stages.rows.parted
    if val is None or len(scheme_pair) < 2 or not boosters:
        return {}
    high, low = scheme_pair[:2]
    chosen = np.concatenate([np.flatnonzero(val.y == code)[:_ROWS] for code in (high, low)])
    if not len(chosen):
        return {}
    total = np.zeros(len(stages.rows.recipe.names))
    for booster in boosters:
        parts = booster.contributions(val.X[chosen], threads=stages.run.threads)
        total += np.abs(parts[:, high, :-1] - parts[:, low, :-1]).mean(axis=0)
    groups = np.array(list(stages.rows.recipe.groups.values()))
    return {str(group): float(total[groups == group].sum() / total.sum()) for group in dict.fromkeys(groups.tolist())}


PREPARED = "mocks, prepared"
"""Mocks prepared by what the sky shows, without any tree grown on its labels: what regime uda trains."""

_LABEL_WEIGHT = 20.0


def mocks_alone(stages: Stages, gamma: float, trusted: bool = False) -> Way:
    """Return how mocks alone teach: two models that err apart, unless templates fit the sky.

    Parameters
    ----------
    stages : Stages
        Rows, and what was measured of the sky.
    gamma : float
        Temper of the weights of the mocks.
    trusted : bool
        Whether labels of the sky calibrate what templates do there.

    Returns
    -------
    Way
        Self-trained where there are no photometric errors to fit templates by.
    """
    mocks, found = Mocks(gamma), stages.rows.measured
    if isinstance(found, BandShifts) and stages.rows.unlabelled:
        return SelfTrained(gamma)
    # Where templates fit the sky they are no worse there than other features.
    if doubts_templates(stages) or (found is None and not trusted and has_plain_trees(stages)):
        return Mean((mocks, Mocks(gamma, plain_trees=True)))
    return mocks


def prepared_mocks(stages: Stages) -> dict[str, Way]:
    """Return how mocks teach, as in regime uda, by name; where few labels prepared nothing, these join them.

    Parameters
    ----------
    stages : Stages
        Rows, and what was measured of the sky.

    Returns
    -------
    dict of str to Way
        What is kept where labels are too few to choose comes first.
    """
    own = mocks_alone(stages, gamma := stages.uda_gamma, trusted=True)
    if isinstance(own, SelfTrained):
        return {f"{PREPARED}, with labels": SelfTrained(gamma, _LABEL_WEIGHT), PREPARED: own}
    if not stages.scarce:
        return {PREPARED: own}
    joined: dict[str, Way] = {"mocks, with labels": Joined(_LABEL_WEIGHT, gamma)}
    return joined if stages.rows.measured is None else {PREPARED: own, **joined}


def joined_by_labels(path: NamedPath, others: Sequence[Scored]) -> Mean | None:
    """Return the mean of the path and of mocks that few labels join, where there are prepared mocks beside them.

    Parameters
    ----------
    path : NamedPath
        The incumbent.
    others : sequence of Scored
        How mocks teach (:func:`prepared_mocks`).

    Returns
    -------
    Mean or None
        Each errs where the other does not: labels grow no tree of prepared mocks, and few of a path.
    """
    ways = [one.entrant.candidate for one in others]
    joined = [way for way in ways if isinstance(way, Joined)]
    return Mean((path.scored.entrant.candidate, joined[0])) if joined and len(ways) > 1 else None

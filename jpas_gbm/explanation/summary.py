"""The sections of an explanation that are means over rows: bands, blocks, features, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.recipe import group_of
from .attributions import Attributions
from .blocks import Blocks
from .class_means import class_means
from .physics import strongest

_BANDS_TOLD = 4


class Summary:
    """Means over the rows of the classes of a pair.

    Parameters
    ----------
    told : Attributions
    y : array of int, shape (n,)
        Class that each row counts as.
    blocks : Blocks
    resamples, seed : int
        Of the intervals over objects.
    """

    def __init__(self, told: Attributions, y: np.ndarray, blocks: Blocks, resamples: int, seed: int) -> None:
        self.told, self.y, self.blocks = told, y, blocks
        self.resamples, self.seed = resamples, seed
        self.codes = (told.pair.a, told.pair.b)
        self.pair_bands = told.pair_bands

    def _pair_means(self, values: np.ndarray) -> dict[str, Any]:
        """Return mean |.| with interval, and signed means by class, of columns (n, c)."""
        groups = self.told.rows.object_id
        means = class_means(np.abs(values), self.y, self.codes, groups, self.resamples, self.seed)
        signed = {
            name: class_means(values, self.y, [code], groups, 0, self.seed).mean
            for name, code in zip(self.told.pair.names, self.codes, strict=True)
        }
        return {"mean_abs": means.mean, "interval": means.interval(), "mean": signed}

    def _by_class(self, values: np.ndarray) -> dict[str, Any]:
        """Return mean contributions (n, k, c) to a class's own margin over its own rows."""
        groups = self.told.rows.object_id
        return {
            name: class_means(values[:, code], self.y, [code], groups, 0, self.seed).mean
            for code, name in enumerate(self.told.fitted.classes)
            if (self.y == code).any()
        }

    def bands(self) -> dict[str, Any]:
        """Return the section ``bands``."""
        bands = self.told.fitted.recipe.bands
        return {
            "names": list(bands.names),
            "pivots": bands.pivots,
            "widths": bands.widths,
            "kinds": [band.kind for band in bands],
            **self._pair_means(self.pair_bands),
            "by_class": self._by_class(self.told.bands),
        }

    def own(self) -> dict[str, Any]:
        """Return the section ``own``."""
        names = list(self.told.rule.own_names)
        if not names:
            return {"names": [], "mean_abs": [], "interval": [], "mean": {}, "by_class": {}}
        return {"names": names, **self._pair_means(self.told.pair_own), "by_class": self._by_class(self.told.own)}

    def block_table(self) -> list[dict[str, Any]]:
        """Return the section ``blocks``."""
        sums = self.blocks.sums(self.pair_bands)
        means = self._pair_means(sums)
        top = strongest(sums[:, : len(self.blocks.spectral)])
        shares = {
            name: [float((top[self.y == code] == i).mean()) for i in range(len(self.blocks))]
            for name, code in zip(self.told.pair.names, self.codes, strict=True)
            if (self.y == code).any()
        }
        return [
            {
                **block.to_dict(),
                "mean_abs": float(means["mean_abs"][i]),
                "interval": means["interval"][i],
                "mean": {name: float(one[i]) for name, one in means["mean"].items()},
                "strongest": {name: share[i] for name, share in shares.items()} if block.spectral else {},
            }
            for i, block in enumerate(self.blocks.blocks)
        ]

    def features(self, top: int) -> tuple[dict[str, Any], np.ndarray]:
        """Return the section ``features`` and the places of the top features."""
        told = self.told
        y, groups = self.y[told.detail], told.rows.object_id[told.detail]
        size = np.abs(told.features)
        means = class_means(size, y, self.codes, groups, 0, self.seed).mean
        names = told.fitted.recipe.names
        order = np.argsort(-np.nan_to_num(means), kind="stable")[:top]
        intervals = class_means(size[:, order], y, self.codes, groups, self.resamples, self.seed).interval()
        section = {
            "top": [
                {
                    "name": names[i],
                    "group": group_of(names[i]),
                    "mean_abs": float(means[i]),
                    "interval": interval,
                    "bands": self._main_bands(int(i)),
                }
                for i, interval in zip(order, intervals, strict=True)
            ],
            "groups": self._groups(means),
        }
        return section, order

    def _main_bands(self, feature: int) -> list[str]:
        recipe = self.told.fitted.recipe
        weights = recipe.band_weights[feature]
        order = np.argsort(-weights, kind="stable")[:_BANDS_TOLD]
        return [recipe.bands.names[i] for i in order if weights[i] > 0]

    def _groups(self, means: np.ndarray) -> list[dict[str, Any]]:
        totals: dict[str, float] = {}
        for name, value in zip(self.told.fitted.recipe.names, means, strict=True):
            group = group_of(name)
            totals[group] = totals.get(group, 0.0) + float(value)
        whole = max(sum(totals.values()), 1e-300)
        return [
            {"group": group, "mean_abs": value, "share": value / whole}
            for group, value in sorted(totals.items(), key=lambda item: -item[1])
        ]

    def calibration(self) -> dict[str, Any]:
        """Return the section ``calibration``, over the rows of the pair's classes."""
        told = self.told
        rows = np.isin(self.y, self.codes)
        before = told.pair.difference(told.margins)[rows]
        added = told.calibration[rows]
        after = before + added
        varied = len(before) > 1 and np.ptp(before) > 0
        return {
            "method": told.fitted.calibrator.method,
            "n": int(rows.sum()),
            **{
                name: {"mean": float(one.mean()), "std": float(one.std())}
                for name, one in (("before", before), ("after", after), ("added", added))
                if len(one)
            },
            "slope": float(np.polyfit(before, after, 1)[0]) if varied else None,
        }

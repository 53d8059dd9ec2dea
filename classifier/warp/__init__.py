"""From boxes to the square input of a network; `crop` says which of the files beside it runs when."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from classifier.warp.crop import warp_regions

__all__ = ["warp_regions"]


def __getattr__(name: str) -> object:
    # Imported at first use: the second process imports `numba_loops` from this package and must not load PyTorch.
    if name == "warp_regions":
        from classifier.warp.crop import warp_regions  # noqa: PLC0415

        return warp_regions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

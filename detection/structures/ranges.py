"""A check of numbers that come from a user."""


def require_range(low: float, high: float, **values: float) -> None:
    """Check that each of the numbers lies in low-high, both included; nan does not.

    Raises:
        ValueError: naming the first number that does not.
    """
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in {low:g}-{high:g}, got {value}")

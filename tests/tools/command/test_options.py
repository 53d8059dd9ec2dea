from __future__ import annotations

import pytest

from tools.command.options import evenly_spaced


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, list(range(12))), (4, [0, 3, 6, 9]), (5, [0, 2, 4, 6, 8]), (1, [0]), (100, list(range(12)))],
)
def test_items_are_evenly_spaced(limit: int | None, expected: list[int]) -> None:
    assert evenly_spaced(list(range(12)), limit) == expected

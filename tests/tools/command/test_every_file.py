"""No file that an option of any command names leads to a traceback: it is used, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.command.all_commands import all_commands, options, required

pytestmark = [
    pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning"),
    pytest.mark.usefixtures("parsers_built_once"),
]

PATHS = {"config", "data", "detections", "ground-truth", "ground_truth", "blacklist", "weights", "source", "classes"}
PATHS |= {"images", "proposals", "initial_weights", "ckpt_path", "results", "save", "json", "html", "csv", "plot"}
PATHS |= {"sheet", "output", "decoded_images", "gallery"}
"""Options that name files or folders."""


@pytest.mark.parametrize("name", [*all_commands()])
def test_files_that_are_no_files_of_the_kind(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each option gets a file that is missing, a folder, an empty file, and bytes, one after the other."""
    command = all_commands()[name]
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(bytes(range(256)) * 8)
    for option in (action.option_strings[0] for action in options(command)):
        if option.strip("-") not in PATHS or (name, option) == ("detect-benchmark evaluation", "--images"):
            continue
        for value in ("missing/file", "", "empty", "bytes", "x" * 5000):
            status = command.run(*required(name, data), option, f"{tmp_path}/{value}" if value != "empty_name" else "")
            err = capsys.readouterr().err
            assert status in (0, 1, 2), (option, value)
            assert "Traceback" not in err, (option, value)
            assert status == 0 or err.count("\n") == 1, (option, value, err)

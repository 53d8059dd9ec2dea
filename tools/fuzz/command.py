"""The program `python -m tools.fuzz`, whose first argument names an action.

python -m tools.fuzz inputs       reads damaged inputs of all kinds
python -m tools.fuzz faults       kills commands at random points, and runs them again
python -m tools.fuzz endurance    detects in many pictures in one process
python -m tools.fuzz environments tries the package with its oldest and newest dependencies
"""

from collections.abc import Sequence

from tools.command.entry_point import command, run_action

NAME = "python -m tools.fuzz"

ACTIONS = {
    "inputs": "tools.fuzz.inputs.command",
    "faults": "tools.fuzz.faults.command",
    "endurance": "tools.fuzz.endurance",
    "environments": "tools.fuzz.environments",
}


@command(NAME)
def main(arguments: Sequence[str]) -> int | None:
    """Run the action that the first argument names; return its exit status."""
    return run_action(NAME, ACTIONS, arguments)

"""The number of steps for a time, and the settings that are written."""

from __future__ import annotations

import pytest
import yaml

from tools.train.own_classes.command import START
from tools.train.own_classes.plan import (
    FEWEST_STEPS,
    FIXED_SECONDS,
    MOST_PASSES,
    Plan,
    Speed,
    plan_steps,
    settings_text,
)

SPEED = Speed(step=2.0, propose=0.5, score=1.0, precision="32-true")


def test_steps_fill_the_time() -> None:
    # 100 pictures take 50 s to propose and 20 of them 20 s to score with each of two members: 90 s in all. Of the 900 s
    # left after the fixed part, 810 s remain, in which each of the two members makes 202 steps of 2 s.
    plan = plan_steps(SPEED, seconds=900 + FIXED_SECONDS, learned=80, measured=20, members=2)
    assert plan == Plan(steps=202, batch=32, step_seconds=2.0, seconds=FIXED_SECONDS + 90 + 2 * 202 * 2.0)


def test_a_shorter_time_has_more_steps_of_fewer_pictures() -> None:
    # The 60 s of proposals and scores leave 400 s, then 398 s, then 198 s for steps of 2 s, 1 s and 0.5 s.
    for seconds, steps, batch in ((400, 200, 32), (398, 398, 16), (198, 396, 8), (60, 120, 8)):
        plan = plan_steps(SPEED, seconds=60 + seconds + FIXED_SECONDS, learned=60, measured=20, members=1)
        assert plan == Plan(steps, batch, step_seconds=2.0 * batch / 32, seconds=60 + seconds + FIXED_SECONDS)


def test_few_pictures_need_fewer_steps_than_fit_into_the_time() -> None:
    # 16 pictures make a batch of 16, so a pass over them is a step; 48 pictures make a batch of 32, so it is 1.5 steps.
    few, more = (plan_steps(SPEED, seconds=1e4, learned=n, measured=4, members=1) for n in (16, 48))
    assert few.steps == MOST_PASSES
    assert more.steps == 1.5 * MOST_PASSES


def test_a_short_time_still_gives_a_few_steps() -> None:
    plan = plan_steps(SPEED, seconds=1, learned=80, measured=20, members=1)
    longer = FIXED_SECONDS + 70 + FEWEST_STEPS * 0.5  # 100 pictures take 50 s to propose, and 20 of them 20 s to score
    assert plan == Plan(FEWEST_STEPS, 8, step_seconds=0.5, seconds=longer)


def test_settings_keep_their_comments() -> None:
    text = settings_text({"max_steps": 77, "input_size": 96, "class_names": '["cat", "hot dog"]'})
    content = yaml.safe_load(text)
    assert content["trainer"]["max_steps"] == 77
    assert content["input_size"] == 96
    assert content["detector"]["propose"]["init_args"]["proposers"][0]["init_args"]["input_size"] == 320
    assert content["dataset"]["init_args"]["class_names"] == ["cat", "hot dog"]
    assert "# chosen for the time that --time gives" in text


def test_the_template_alone_names_the_weights_of_its_frozen_layers() -> None:
    content = yaml.safe_load(settings_text({}))
    assert content["frozen"]
    assert content["initial_weights"] == START


def test_unknown_setting() -> None:
    with pytest.raises(ValueError, match="expected the key colour"):
        settings_text({"colour": 1})

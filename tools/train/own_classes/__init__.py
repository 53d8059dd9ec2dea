"""`detect-train DATA`: a detector of your own classes, from a folder of pictures with boxes.

`command.py` has the options and the steps in their order. `folder.py` says what lies in the folder of a detector,
`plan.py` chooses the settings for the data and the time, `begun_settings.py` refuses settings that change too late,
`steps.py` makes the proposals and trains the networks, each in a process that `step.py` runs, `scored_split.py` scores
the pictures that `choice.py` takes to choose the calibration, and `summary.py` writes what a user reads: model card,
report, curves and pictures.
"""

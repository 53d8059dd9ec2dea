"""Commands that are killed at random points, and run again: the result is that of a run that nothing disturbed.

`jobs` has the commands, each with what its result is; `kills` ends them by SIGKILL, as a lack of memory or power does.
"""

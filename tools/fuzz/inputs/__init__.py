"""Damaged inputs: files of all kinds that the package reads, changed at random and read in processes of their own.

`kinds` lists the kinds of files and `target` says what each of them does; `mutations/` changes bytes, texts and trees
of values. `worker` reads the files, and `supervisor` watches it from outside, so that a crash or a hang is seen.
"""

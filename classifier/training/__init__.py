"""The training of classifiers: read `module.py` and `tasks.py` first.

Nothing outside of training imports this package.
"""

"""The samples of a classifier's training.

Read `region_samples.py` first, then `sampled_boxes.py` and `region_batch.py`.
"""

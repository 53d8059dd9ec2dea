"""The parts that all training runs share, whatever they train.

Read `options.py` and `module.py` first, then `data_module.py` and `sample_order.py`.
"""

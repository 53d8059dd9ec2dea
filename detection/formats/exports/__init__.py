"""Writers of detections as annotated data sets, for annotation programs and for training, and of cut-out objects.

`export.py` says what all of them have in common. Each format has a module: a file in the format of COCO, a table, a
folder in the layout of YOLO or PASCAL VOC, and a folder of cut-out objects. `detection.datasets` reads them.
"""

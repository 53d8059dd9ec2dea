"""Readers of file formats that several data sets use: lists in text files, PASCAL VOC's XML and COCO's JSON.

`faults` collects or raises the errors that they find.
"""

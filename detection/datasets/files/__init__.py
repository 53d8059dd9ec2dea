"""The file formats that data sets share: lists in text files, PASCAL VOC's XML, COCO's json."""

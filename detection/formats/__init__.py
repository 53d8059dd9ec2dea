"""Files of ground truth and of detections, read for scoring and written for others.

`detections.read_detections` takes any of the formats, each of which has a module: ILSVRC's submission, COCO's results,
VOC's comp4 files, the JSON of the command `detect`, and the results that `detect-evaluate run` goes on with.
"""

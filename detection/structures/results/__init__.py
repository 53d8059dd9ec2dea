"""What can be done with detections: pictures with boxes, cut-out objects, and the data types of other libraries.

`detection.structures.detections.Detections` imports these modules when one of its methods is called.
"""

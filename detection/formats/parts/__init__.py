"""Checks and parsing that several file formats share.

`checked_rows` checks rows of any format, `text_rows` reads and writes lines of VOC's and ILSVRC's text files, and
`json_list` reads long JSON files piece by piece. `plain_results` reads files of COCO's results that hold nothing
unusual, many times as fast. `image_names` finds the image that a name stands for.
"""

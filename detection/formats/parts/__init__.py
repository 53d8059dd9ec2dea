"""Checks and parsing that several file formats share.

`checked_rows` checks rows of any format, `text_rows` reads and writes lines of VOC's and ILSVRC's text files, and
`json_list` reads long JSON files piece by piece.
"""

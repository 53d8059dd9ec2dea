"""Reports of results: JSON, text, plots and a web page.

`score_report.build_report` turns a score into a dictionary for JSON, `report_text` prints it, and `page` writes it as a
web page. Other commands use `json_values`, `text_table` and `classification_plots`.
"""

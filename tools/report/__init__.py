"""How results are reported: tables, plots and a page of HTML."""

"""Candidate boxes: selective search, MultiBox, and what is done with their boxes."""

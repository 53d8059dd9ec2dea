"""Candidate boxes: selective search and what is done to its boxes."""

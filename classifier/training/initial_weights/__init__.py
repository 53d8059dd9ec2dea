"""Readers of published weights, which convert them to our networks."""

"""Selective search (Uijlings et al., IJCV 2013)."""

from proposals.selective_search.proposer import SelectiveSearch

__all__ = ["SelectiveSearch"]

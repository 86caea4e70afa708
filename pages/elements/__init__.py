"""Pieces that the pages are put together from: the frame around each, an answer, a cited place, a list of uploads."""

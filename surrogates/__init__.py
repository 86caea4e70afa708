"""Learned fast answers, and the route from a question to an answer."""

"""Learned fast answers, and the route from a question to an answer."""

from surrogates.answer import Answer, Citation, Timings
from surrogates.question import QuestionRefused
from surrogates.service import JobFailed, ask

__all__ = ["Answer", "Citation", "JobFailed", "QuestionRefused", "Timings", "ask"]

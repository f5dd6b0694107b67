"""Assumptions that fill gaps in a report: a borrowed SD, an assumed correlation, drawn values.

Nothing here is ever part of a headline. Every assumption is a keyword without a default, every row
it touches has the basis ``imputed``, and ``how`` says what was assumed and from whom.
"""

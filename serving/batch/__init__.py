"""Scoring of whole tables: Parquet in, Parquet out, by the engines that serve.

    __main__.py    the process that does it, told what to do by lines on its standard input
    versions.py    which versions it has, loaded when they are asked
    partition.py   reading rows of a Parquet file, writing those that come of them
    columns.py     a column of Arrow as the array that a signature wants
    forecasts.py   rows that ask a forecast

It knows local files only. Where they come from and go to, and which version is to score, is the
business of who started it (`python -m training score`).
"""

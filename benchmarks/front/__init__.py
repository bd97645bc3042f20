"""This server beside what people would deploy, or write, to serve the same three models.

    models.py    iris, forecast and LSTM, made for one run: files, samples, right answers
    contender.py one server: how it is started and asked, and what a right answer looks like
    lineup.py    who is compared on what, with which goals
    wrk.py       a closed loop of requests, by wrk
    measured.py  what was seen, round by round, and the rows that say it

`python -m benchmarks.front --help`; how and why: docs/measuring.md.
"""

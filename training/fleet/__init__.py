"""A fleet: one model a series, for thousands of series, on one machine or many.

    series.py    which series there are, and where each is read from
    plan.py      what was asked for, as the parent run keeps it
    task.py      one series: trained in a process of a crew
    parent.py    the parent run in MLflow, and its children
    summary.py   the table of best, worst and failed
    fleet.py     all of it together; called by `python -m training fleet`

How one series is trained is the pipeline's business, and which processes do it the crew's.
"""

"""Jobs that were asked for over HTTP: a worker that claims them, and a process for each.

worker.py    claims, beats, cancels, gives back; knows neither MLflow nor a workload
silence.py   which jobs' workers are gone
child.py     the process of a job, as its worker sees it
channel.py   what both say to each other
task.py      what that process does: train.py or custom.py
earlier.py   what an attempt before this one has left in MLflow
"""

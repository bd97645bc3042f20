"""The way of a request into this worker when gunicorn runs `serving.lane.worker.LaneWorker`.

    worker.py        the event loop of one worker: accept, look after connections, stop
    connection.py    one client: when it is read, answered, let go; knows no path
    incoming.py      its bytes, as requests
    request.py, reply.py    what came, and what goes back
    turns.py         what the loop's thread answers by itself
    crew.py          the threads for what takes longer
    lane.py          where a request goes: prediction routes to `answer()`, all others to Flask
    hot.py           which paths are prediction routes
    wsgi.py          a request as Flask takes it

What an answer says is decided in `serving/answer.py` and the Flask application, which is complete
without any of this (`BATON_LANE=off`). Why there is a lane: docs/adr/0011-the-lane.md.
"""

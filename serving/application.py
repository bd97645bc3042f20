"""A worker's application with all that it may reach: named in `infra/gunicorn.conf.py`.

`serving.app` builds it and can reach no database, nor can anything below; what may is handed in
here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from registry.jobs import JobQueue
from registry.outcomes import Outcomes
from registry.settings import Settings
from serving.app import create_app


def application() -> Any:
    """The Flask application of the settings in the environment."""
    settings = Settings.read()
    return create_app(
        settings,
        open_jobs=partial(_queue, settings.jobs_url),
        open_outcomes=partial(_outcomes, settings),
    )


def _queue(url: str) -> JobQueue:
    """Raises Unreachable."""
    # Until somebody asks for a job nobody pays for this: 0.2 s and 17 MiB.
    from registry.sql_jobs import SqlJobs  # noqa: PLC0415

    return SqlJobs(url)


def _outcomes(settings: Settings) -> Outcomes:
    """Raises Unreachable, or SettingsError where nothing is kept."""
    from registry.sql_outcomes import open_outcomes  # noqa: PLC0415 - as above, for feedback

    return open_outcomes(settings)

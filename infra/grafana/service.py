"""All nodes together: rate, errors, latency, saturation."""

from __future__ import annotations

from panels import Dashboard, Query, Row, Variable, failed, lines, quantiles, rate

_NODE = 'instance=~"$instance"'

SERVICE = Dashboard(
    uid="baton-service",
    title="Service",
    variables=[Variable("instance", "baton_workers")],
    rows=[
        Row(
            "Rate",
            [
                lines(
                    "Requests",
                    rate("baton_requests_total", _NODE, "model"),
                    unit="reqps",
                    hint="By model; those without a name found none.",
                ),
                lines("Statuses", rate("baton_requests_total", _NODE, "status"), unit="reqps"),
                lines(
                    "Predictions",
                    rate("baton_predictions_total", _NODE, "model"),
                    unit="cps",
                    hint="Rows, or steps of a forecast.",
                ),
            ],
        ),
        Row(
            "Errors",
            [
                lines(
                    "Failed requests",
                    failed(_NODE, "model"),
                    unit="percentunit",
                    hint="Answered with a 5xx, as a share of all.",
                ),
                lines(
                    "What was wrong",
                    rate("baton_errors_total", _NODE, "error"),
                    unit="reqps",
                    hint="Clients' mistakes too; the names are those of registry/errors.py.",
                ),
                lines(
                    "Pace of the error budget",
                    Query("model:baton_failed:ratio_rate1h / 0.001", "{{model}}, 1 h"),
                    Query("model:baton_failed:ratio_rate6h / 0.001", "{{model}}, 6 h"),
                    hint="At 1, what 99.9 % allow in 30 days lasts 30 days. Alerts: 14.4 and 6.",
                ),
            ],
        ),
        Row(
            "Latency",
            [
                lines(
                    "Answers",
                    *quantiles("baton_request_seconds", _NODE),
                    unit="s",
                    width=12,
                    hint="In the workers; waiting for a thread is not in it.",
                ),
                lines(
                    "The models themselves",
                    *quantiles("baton_engine_seconds", _NODE),
                    unit="s",
                    width=12,
                ),
            ],
        ),
        Row(
            "Saturation",
            [
                lines(
                    "At work",
                    Query(f"sum by (crew) (baton_in_flight{{{_NODE}}})", "{{crew}}"),
                    hint="Requests that threads are answering.",
                ),
                lines("Waiting", Query(f"sum by (crew) (baton_queued{{{_NODE}}})", "{{crew}}")),
                lines("Turned away", rate("baton_shed_total", _NODE, "instance"), unit="reqps"),
                lines("Workers", Query(f"baton_workers{{{_NODE}}}", "{{instance}}")),
                lines(
                    "Loaded versions",
                    Query(f"baton_resident_bytes{{{_NODE}}}", "{{instance}}"),
                    unit="bytes",
                    hint="What they are reckoned to take in all workers, by their trials.",
                ),
                lines(
                    "Room in BATON_HOME",
                    Query(f"baton_disk_free_bytes{{{_NODE}}}", "{{instance}}"),
                    unit="bytes",
                ),
            ],
        ),
    ],
)

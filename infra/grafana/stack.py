"""What the nodes stand on, and what watches them."""

from __future__ import annotations

from panels import RATE, Dashboard, Query, Row, lines, number, rate, table

PLATFORM = Dashboard(
    uid="baton-platform",
    title="Platform",
    variables=[],
    rows=[
        Row(
            "nginx, MLflow, PostgreSQL, object store",
            [
                number(
                    "Answers",
                    Query("max by (service) (probe_success)", "{{service}}"),
                    hint="1: it answered the prober.",
                ),
                lines(
                    "Time to answer the prober",
                    Query("max by (service) (probe_duration_seconds)", "{{service}}"),
                    unit="s",
                ),
                number(
                    "Certificates end in",
                    Query("probe_ssl_earliest_cert_expiry - time()", "{{service}}"),
                    unit="s",
                ),
            ],
        ),
        Row(
            "Jobs",
            [
                lines(
                    "In the queue",
                    Query("max by (state) (baton_jobs)", "{{state}}"),
                    width=12,
                ),
                lines(
                    "Requests about jobs at work",
                    Query('sum by (instance) (baton_in_flight{crew="job"})', "{{instance}}"),
                    width=12,
                ),
            ],
        ),
        Row(
            "What watches",
            [
                table("Scraped", "sum by (job, instance) (up)"),
                lines(
                    "Time a scrape takes",
                    Query("scrape_duration_seconds", "{{instance}}"),
                    unit="s",
                ),
                lines("Series", Query("prometheus_tsdb_head_series", "{{instance}}")),
                lines("Alerts", Query("sum by (state) (alertmanager_alerts)", "{{state}}")),
                lines(
                    "Messages, and those that failed",
                    rate("alertmanager_notifications_total", "", "integration"),
                    rate(
                        "alertmanager_notifications_failed_total",
                        "",
                        "integration",
                        "{{integration}}, failed",
                    ),
                    unit="cps",
                ),
                lines(
                    "Rules that could not be evaluated",
                    Query(f"sum(rate(prometheus_rule_evaluation_failures_total{RATE}))", "rules"),
                    unit="cps",
                ),
            ],
        ),
    ],
)

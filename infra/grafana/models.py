"""What serves where and since when; and one model by itself."""

from __future__ import annotations

from panels import (
    RATE,
    Dashboard,
    Query,
    Row,
    Variable,
    failed,
    lines,
    number,
    quantiles,
    rate,
    table,
)

_NODE = 'instance=~"$instance"'
_ONE = 'instance=~"$instance",model="$model"'
_INSTANCE = Variable("instance", "baton_workers")

MODELS = Dashboard(
    uid="baton-models",
    title="Models",
    variables=[_INSTANCE],
    rows=[
        Row(
            "What serves",
            [
                table("Version", f"sum by (model, instance) (baton_served_version{{{_NODE}}})"),
                table(
                    "Since",
                    "max by (model, instance) "
                    f"(baton_served_since_timestamp_seconds{{{_NODE}}} > 0) * 1000",
                    unit="dateTimeAsIso",
                    hint="When the entry that answers was appended to the ledger.",
                ),
                table(
                    "Degraded",
                    f"sum by (model, instance) (baton_degraded{{{_NODE}}})",
                    hint="1: this node does not serve what the ledger names. GET /models says why.",
                ),
                lines(
                    "Version over time",
                    Query(f"baton_served_version{{{_NODE}}}", "{{model}} {{instance}}"),
                    width=12,
                ),
                lines(
                    "Entries behind the ledger",
                    Query(
                        f"baton_ledger_seq{{{_NODE}}} - baton_served_seq{{{_NODE}}}",
                        "{{model}} {{instance}}",
                    ),
                    width=12,
                ),
            ],
        ),
        Row(
            "Swaps",
            [
                number(
                    "Swaps and refusals",
                    Query(
                        "sum by (model, result) "
                        f"(increase(baton_swaps_total{{{_NODE}}}[$__range]))",
                        "{{model}} {{result}}",
                    ),
                    hint="Of all nodes, in the time shown. What gates said is in the ledger.",
                ),
                lines(
                    "Since the ledger was read",
                    Query(
                        f"time() - (baton_last_poll_timestamp_seconds{{{_NODE}}} > 0)",
                        "{{instance}}",
                    ),
                    unit="s",
                ),
                lines(
                    "Polls that failed",
                    rate("baton_poll_errors_total", _NODE, "instance"),
                    unit="cps",
                ),
                lines(
                    "Loaded at first use, and dropped",
                    rate("baton_first_use_loads_total", _NODE, "instance", "loads {{instance}}"),
                    rate("baton_evictions_total", _NODE, "instance", "drops {{instance}}"),
                    unit="cps",
                    width=24,
                    hint="With BATON_MEMORY_BUDGET_MB only.",
                ),
            ],
        ),
    ],
)

MODEL = Dashboard(
    uid="baton-model",
    title="One model",
    variables=[Variable("model", "baton_served_version", many=False), _INSTANCE],
    rows=[
        Row(
            "Volume",
            [
                lines("Requests", rate("baton_requests_total", _ONE, "instance"), unit="reqps"),
                lines("Predictions", rate("baton_predictions_total", _ONE, "instance"), unit="cps"),
                lines(
                    "Predictions of a request",
                    Query(
                        f"sum(rate(baton_predictions_total{{{_ONE}}}{RATE})) / "
                        f'sum(rate(baton_requests_total{{{_ONE},status="200"}}{RATE}))',
                        "mean",
                    ),
                ),
            ],
        ),
        Row(
            "Errors",
            [
                lines("Statuses", rate("baton_requests_total", _ONE, "status"), unit="reqps"),
                lines("Failed requests", failed(_ONE, "instance"), unit="percentunit"),
                lines("What was wrong", rate("baton_errors_total", _ONE, "error"), unit="reqps"),
            ],
        ),
        Row(
            "Latency",
            [
                lines("Answers", *quantiles("baton_request_seconds", _ONE), unit="s"),
                lines("The model itself", *quantiles("baton_engine_seconds", _ONE), unit="s"),
                lines(
                    "Rows of a joint call",
                    Query(
                        f"sum(rate(baton_joint_rows_sum{{{_ONE}}}{RATE})) / "
                        f"sum(rate(baton_joint_rows_count{{{_ONE}}}{RATE}))",
                        "mean",
                    ),
                    hint="Of a version that declares joint calls.",
                ),
            ],
        ),
        Row(
            "Versions",
            [
                lines(
                    "In each worker",
                    Query(f"baton_worker_version{{{_ONE}}}", "{{instance}} {{worker}}"),
                    width=12,
                ),
                lines(
                    "Seq: of the ledger, and served",
                    Query(f"max(baton_ledger_seq{{{_ONE}}})", "ledger"),
                    Query(f"baton_served_seq{{{_ONE}}}", "{{instance}}"),
                    width=12,
                ),
            ],
        ),
    ],
)

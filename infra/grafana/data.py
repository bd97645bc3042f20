"""What is asked and answered: drift, confidence, and how right it was. From the monitor's page."""

from __future__ import annotations

from panels import Dashboard, Query, Row, Variable, lines, number, table

_ONE = 'model="$model"'
_STATES = "1: raised, 0: fine, -1: unknown, as too few predictions are."

DATA = Dashboard(
    uid="baton-data",
    title="Data",
    variables=[Variable("model", "baton_verdict", many=False)],
    rows=[
        Row(
            "Verdicts",
            [
                table(
                    "Rules",
                    f"max by (rule) (baton_verdict{{{_ONE}}})",
                    hint=_STATES,
                ),
                lines(
                    "Rules over time",
                    Query(f"max by (rule) (baton_verdict{{{_ONE}}})", "{{rule}}"),
                    width=16,
                    hint=_STATES,
                ),
            ],
        ),
        Row(
            "Drift",
            [
                lines(
                    "Stability index",
                    Query(f"max by (column) (baton_drift_score{{{_ONE}}})", "{{column}}"),
                    width=16,
                    hint="0: as learnt. A verdict says whether it is more than chance.",
                ),
                number(
                    "Of all models, raised",
                    Query('sum(baton_verdict{rule=~"drift|prediction_drift"} == bool 1)', "models"),
                ),
            ],
        ),
        Row(
            "Answers",
            [
                lines(
                    "Mean confidence",
                    Query(f"max(baton_confidence{{{_ONE}}})", "confidence"),
                    unit="percentunit",
                ),
                lines(
                    "Live accuracy",
                    Query(f"max(baton_live_accuracy{{{_ONE}}})", "accuracy"),
                    unit="percentunit",
                    hint="Of predictions whose truth is known. Of forecasts there is an error.",
                ),
                lines(
                    "Error by day ahead",
                    Query(f"max by (horizon) (baton_live_error{{{_ONE}}})", "day {{horizon}}"),
                    hint="Mean absolute error, in the unit of what is predicted; 0: no forecast.",
                ),
            ],
        ),
        Row(
            "The monitor",
            [
                lines(
                    "Since the last window",
                    Query("time() - (baton_window_end_timestamp_seconds > 0)", "{{instance}}"),
                    unit="s",
                    width=12,
                ),
                lines(
                    "Windows that could not be written",
                    Query("sum(increase(baton_monitor_errors_total[$__rate_interval]))", "windows"),
                    width=12,
                ),
            ],
        ),
    ],
)

"""Train in several processes, or go on where one stopped: `begin`, `step` and `resume`."""

from __future__ import annotations

from typing import Any

import click

from registry.console import err, exits, print_json
from registry.settings import Settings
from training.commands import asked
from training.commands.working import hand_over, interruptible, show, steps_shown

# As in training/steps, which takes a second to import; a test holds the two together.
STEPS = ("load", "validate", "split", "fit", "evaluate", "package", "register")


@click.command("begin")
@asked.asks
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def begin_command(*, as_json: bool, **options: Any) -> None:
    """Make the run for WORKLOAD and print its id; the steps follow, each with `step`.

    \b
      run=$(python -m training begin iris)
      for step in load validate split fit evaluate package register; do
        python -m training step $step --run-id $run || break
      done
    """
    from training.pipeline import begin  # noqa: PLC0415 - pandas would slow down --help

    settings = Settings.read()
    plan = asked.plan(settings, **options)
    hand_over(plan)
    with interruptible():
        run_id = begin(plan, settings)
    if as_json:
        print_json({"run_id": run_id, "experiment": plan.experiment, "steps": STEPS})
    else:
        click.echo(run_id)


@click.command("step")
@click.argument("name", type=click.Choice(STEPS))
@click.option("--run-id", required=True, help="What `begin` printed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def step_command(name: str, run_id: str, *, as_json: bool) -> None:
    """Do one step of a run that was begun; the last one registers the version.

    Every step needs the same BATON_HOME: the run's workspace is there. A step that failed, or was
    done already, may be done again.

    Exit codes: 2 its turn has not come, 4 MLflow is out of reach, 5 it failed.
    """
    from training.pipeline import finished, planned, take  # noqa: PLC0415 - as above

    settings = Settings.read()
    if name == STEPS[-1] and finished(run_id, settings):
        # An orchestrator may ask again, when it lost the answer.
        err.print(f"run {run_id}: FINISHED before")
        trained = None
    else:
        plan = planned(run_id, settings)
        hand_over(plan)
        with interruptible():
            trained = take(name, run_id, settings)
    if as_json:
        print_json(trained.to_json() if trained else {"run_id": run_id, "done": name})
    elif trained:
        show(trained)


@click.command("resume")
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@exits
def resume_command(run_id: str, *, as_json: bool) -> None:
    """Go on with a run that failed, was killed or lost MLflow, from the step where it stopped.

    Needs the BATON_HOME it was begun with. Nothing is registered twice.

    Exit codes: 2 nothing is left to be done, 4 MLflow is out of reach, 5 a step failed.
    """
    from training.pipeline import planned, resume  # noqa: PLC0415 - as above

    settings = Settings.read()
    plan = planned(run_id, settings)
    hand_over(plan)
    with interruptible(), steps_shown(plan.workload) as on_step:
        trained = resume(run_id, settings, on_step=on_step)
    if as_json:
        print_json(trained.to_json())
    else:
        show(trained)

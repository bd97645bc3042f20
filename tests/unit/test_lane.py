"""Where the lane takes a request: what the loop's thread answers, and what is turned away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from registry.errors import FeedbackAway, JobsAway
from registry.settings import Settings
from serving.answer import Answer
from serving.desk import Desk
from serving.lane.hot import Hot, hot
from serving.lane.lane import Lane
from serving.lane.request import Request
from serving.protocols.baton import Baton
from serving.protocols.mlflow import Mlflow
from serving.protocols.v2 import V2
from serving.routes.parts import Parts

SECONDS = 30.0


class Answerer:
    """Answers as slowly as it is told, and remembers on which thread."""

    presumed = "iris"

    def __init__(self) -> None:
        self.seconds = 0.0
        self.threads: list[str] = []
        self.refused: list[int] = []
        self.attempts: list[str | None] = []
        self.go = threading.Event()
        self.go.set()

    def turned_away(self, _protocol: Any, _error: Any, _header: Any, answer: Answer) -> None:
        self.refused.append(answer.status)

    def answer(self, *asked: Any, **_: Any) -> Answer:
        self.attempts.append(asked[3]("X-Attempt-Of"))
        self.threads.append(threading.current_thread().name)
        assert self.go.wait(SECONDS)
        time.sleep(self.seconds)
        return Answer(200, {}, b"{}")


class Manager:
    def __init__(self) -> None:
        self.is_lazy = False
        self.is_loaded = self.is_light = True
        self.is_split = False
        self.is_batched = False

    def loaded(self, _model: str, *, alone: bool = False) -> Any:
        return self if self.is_loaded and not (alone and self.is_split) else None


class Bench:
    """A lane with a loop of its own, and one connection's answers."""

    def __init__(self, *trusted: str) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.answerer, self.manager = Answerer(), Manager()
        parts = Parts(
            Settings(threads=2, queue=3, trusted_proxies=trusted),
            self.manager,  # type: ignore[arg-type]
            self.answerer,  # type: ignore[arg-type]
            SimpleNamespace(),  # type: ignore[arg-type]
            Desk(None, noun="queue of jobs", away=JobsAway, at_once=1),
            Desk(None, noun="store of outcomes", away=FeedbackAway, at_once=1),
        )
        self.lane = Lane(self.flask, parts, most_open=10)
        self.later: list[Answer] = []

    def close(self) -> None:
        self.answerer.go.set()
        self.lane.close()
        self.loop.close()

    def flask(self, environ: Any, start: Any) -> list[bytes]:
        self.answerer.threads.append(threading.current_thread().name)
        start("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    def answer(self, answer: Answer) -> None:
        self.later.append(answer)

    def abort(self) -> None:
        """As one of the lane's own connections."""

    def ask(
        self, target: bytes = b"/models/iris/predict", body: bytes = b"{}", **headers: str
    ) -> Answer | None:
        named = {k.replace("_", "-").lower().encode(): v.encode() for k, v in headers.items()}
        method = b"POST" if body else b"GET"
        request = Request(
            method,
            target,
            (1, 1),
            [],
            lambda name: named.get(name.lower()),
            ("192.0.2.7", 1234),
            None,
            body,
        )
        answer = self.lane.take(self, request)  # type: ignore[arg-type]
        self.loop.run_until_complete(asyncio.sleep(0))  # the turn ends
        return answer

    def until(self, answers: int) -> list[Answer]:
        async def wait() -> None:
            deadline = time.monotonic() + SECONDS
            while len(self.later) < answers:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.002)

        self.loop.run_until_complete(wait())
        return self.later

    def quick(self) -> None:
        """Whatever its answers took here and now, they were quick."""
        route = self.lane._known[b"/models/iris/predict"]
        assert route
        route.seconds = 0.0

    def asked_on(self) -> str:
        """The thread that answers one more request."""
        before = len(self.later)
        assert self.ask() is None
        self.until(before + 1)
        return self.answerer.threads[-1]

    def known(self, times: int = 1) -> None:
        """Have its route be known by so many answers."""
        for number in range(times):
            self.ask()
            self.until(number + 1)
        self.later.clear()
        self.answerer.threads.clear()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("target", "protocol", "model", "version"),
    [
        (b"/predict", Baton, None, None),
        (b"/models/a.b-c_1~/predict", Baton, "a.b-c_1~", None),
        (b"/invocations", Mlflow, None, None),
        (b"/v2/models/a/infer", V2, "a", None),
        (b"/v2/models/a/versions/7/infer", V2, "a", "7"),
    ],
)
def test_prediction_routes_are_known(
    target: bytes, protocol: type, model: str | None, version: str | None
) -> None:
    found = hot(target)
    assert found
    assert (type(found.protocol), found.model, found.version) == (protocol, model, version)


@pytest.mark.parametrize(
    "target",
    [b"/predict?a=1", b"/predict/iris", b"/models/a%20b/predict", b"/models//predict", b"/", b""],
)
def test_all_others_are_flasks(target: bytes) -> None:
    assert hot(target) is None


def test_a_route_that_is_quick_is_answered_on_the_loops_thread(bench: Bench) -> None:
    bench.known()
    bench.quick()
    assert bench.ask() is None
    assert bench.until(1)[0].status == 200
    assert bench.answerer.threads == [threading.current_thread().name]


def test_a_route_that_nobody_asked_yet_is_not(bench: Bench) -> None:
    assert bench.ask() is None
    assert bench.until(1)[0].status == 200
    assert bench.answerer.threads[0].startswith("predict")


def test_a_route_that_became_slow_leaves_the_loops_thread_and_comes_back(bench: Bench) -> None:
    bench.known()
    bench.quick()
    bench.answerer.seconds = 0.05
    while bench.asked_on().startswith("Main"):
        assert len(bench.answerer.threads) < 10
    bench.answerer.seconds = 0.0
    while bench.asked_on().startswith("predict"):
        assert len(bench.answerer.threads) < 100


@pytest.mark.parametrize("why", ["not loaded", "not light", "large", "lazy", "in a split"])
def test_what_may_wait_for_something_is_not(bench: Bench, why: str) -> None:
    bench.known()
    bench.manager.is_loaded = why != "not loaded"
    bench.manager.is_split = why == "in a split"
    bench.manager.is_light = why != "not light"
    bench.manager.is_lazy = why == "lazy"
    target = b"/models/iris/predict"
    if why == "lazy":
        target = b"/predict"
        bench.lane._known[target] = Hot(Baton(), None, None, seconds=0.0)
    assert bench.ask(target, b"x" * (20_000 if why == "large" else 2)) is None
    bench.until(1)
    assert bench.answerer.threads[0].startswith("predict")


def test_a_version_that_answers_several_by_one_call_has_threads_of_its_own(bench: Bench) -> None:
    """More than there are for others, however quick it is; until another version comes."""
    bench.manager.is_batched = True
    bench.known()
    bench.answerer.go.clear()
    for _ in range(8):
        assert bench.ask() is None
    deadline = time.monotonic() + SECONDS
    while len(bench.answerer.threads) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert all(name.startswith("joint") for name in bench.answerer.threads)
    bench.answerer.go.set()
    bench.until(8)
    bench.manager.is_batched = False
    while bench.asked_on().startswith("joint"):
        assert len(bench.answerer.threads) < 100


def test_that_a_quick_route_now_has_such_a_version_is_seen(bench: Bench) -> None:
    """Though the version before it was answered on the loop's thread."""
    bench.known()
    bench.quick()
    bench.manager.is_batched = True
    assert bench.asked_on().startswith("Main"), "too quick to matter"
    bench.answerer.seconds = 0.001
    while bench.asked_on().startswith("Main"):
        assert len(bench.answerer.threads) < 20
    assert bench.answerer.threads[-1].startswith("joint")


@pytest.mark.parametrize(
    ("target", "crew"),
    [
        (b"/train", "job"),
        (b"/jobs", "job"),
        (b"/jobs/x?y", "job"),
        (b"/%6Aobs", "job"),
        (b"http://here/predict-custom", "job"),
        (b"/feedback", "feedback"),
        (b"/%66eedback?x", "feedback"),
    ],
)
def test_what_waits_for_a_database_has_threads_that_nothing_else_needs(
    bench: Bench, target: bytes, crew: str
) -> None:
    assert bench.ask(target, b"") is None
    bench.until(1)
    assert bench.answerer.threads[0].startswith(crew)


def test_an_address_that_is_none_is_still_answered(bench: Bench) -> None:
    assert bench.ask(b"http://[/jobs", b"") is None
    assert bench.until(1)[0].status == 500


def test_other_routes_have_threads_of_their_own(bench: Bench) -> None:
    bench.answerer.go.clear()
    for _ in range(5):
        assert bench.ask() is None
    assert bench.ask(b"/livez", b"") is None
    [answer] = bench.until(1)
    assert answer.body == b"/livez"


def test_a_forecast_by_get_waits_with_the_predictions(bench: Bench) -> None:
    assert bench.ask(b"/predict/petr4?days=3", b"") is None
    assert bench.until(1)[0].body == b"/predict/petr4"
    assert bench.answerer.threads[0].startswith("predict")


def test_when_too_many_wait_the_next_is_turned_away(bench: Bench) -> None:
    """Two are being answered and three wait."""
    bench.answerer.go.clear()
    for _ in range(5):
        assert bench.ask() is None
    refused = bench.ask()
    assert refused
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert b"3 requests wait already" in refused.body
    bench.answerer.go.set()
    assert [answer.status for answer in bench.until(5)] == [200] * 5
    answer = bench.ask()
    assert answer is None or answer.status == 200, "there is room again"


def test_a_prediction_that_is_turned_away_is_written_down_and_nothing_else(bench: Bench) -> None:
    bench.ask(X_Request_Timeout_Ms="soon")
    bench.ask(b"/models", X_Request_Timeout_Ms="soon")
    assert bench.answerer.refused == [400]


@pytest.mark.parametrize(
    ("trusted", "told"), [((), None), (("10.0.0.0/8",), None), (("192.0.2.0/24",), "a1")]
)
def test_only_a_trusted_proxy_says_what_is_an_attempt(
    trusted: tuple[str, ...], told: str | None
) -> None:
    bench = Bench(*trusted)
    for _ in range(2):
        bench.ask(X_Attempt_Of="a1")
    bench.until(2)
    assert bench.answerer.attempts == [told, told]
    bench.close()


def test_a_request_that_would_be_too_late_is_not_computed(bench: Bench) -> None:
    bench.answerer.go.clear()
    for _ in range(2):
        bench.ask()
    assert bench.ask(X_Request_Timeout_Ms="1") is None
    assert bench.ask(X_Request_Timeout_Ms="60000") is None
    time.sleep(0.05)
    bench.answerer.go.set()
    answers = bench.until(4)
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 503]
    assert len(bench.answerer.threads) == 3


@pytest.mark.parametrize("said", ["soon", "-1", "1.5", "1" * 10, ""])
def test_a_timeout_that_is_none_is_refused(bench: Bench, said: str) -> None:
    refused = bench.ask(X_Request_Timeout_Ms=said)
    assert refused
    assert (refused.status, b"X-Request-Timeout-Ms" in refused.body) == (400, True)


def test_of_many_at_one_moment_only_so_much_is_answered(bench: Bench) -> None:
    """Each of them usually takes a millisecond: after some fifty the rest would wait too long."""
    route = Hot(Baton(), "iris", None, seconds=0.001)
    bench.lane._known[b"/models/iris/predict"] = route
    request = Request(
        b"POST", b"/models/iris/predict", (1, 1), [], lambda _: None, None, None, b"{}"
    )
    refused = [
        bench.lane.take(bench, request)  # type: ignore[arg-type]
        for _ in range(100)
    ]
    waiting = refused.index(next(filter(None, refused)))
    assert 49 <= waiting <= 52
    assert {answer.status for answer in refused[waiting:] if answer} == {503}
    assert [answer.status for answer in bench.until(waiting)] == [200] * waiting
    assert bench.ask() is None, "there is room again"


def test_what_fails_outside_of_any_answer_is_a_500_that_says_nothing(bench: Bench) -> None:
    def broken(*_: Any) -> list[bytes]:
        raise RuntimeError("secret")

    bench.lane._application = broken
    assert bench.ask(b"/livez", b"") is None
    [answer] = bench.until(1)
    assert (answer.status, b"secret" in answer.body) == (500, False)


class Idle:
    """A client that has not asked anything."""

    def abort(self) -> None:
        pass


def fill(bench: Bench) -> None:
    """As many clients as the lane takes."""
    assert all(bench.lane.opened(Idle()) for _ in range(10))  # type: ignore[arg-type]


def test_beyond_its_clients_it_tells_whoever_asks_for_health(bench: Bench) -> None:
    """A probe is not to take a server for dead that has too much to do."""
    fill(bench)
    assert bench.lane.opened(bench)  # type: ignore[arg-type]
    assert bench.ask(b"/readyz", b"") is None
    assert bench.until(1)[0].body == b"/readyz"
    assert not bench.lane.lasts(bench)  # type: ignore[arg-type]


def test_beyond_its_clients_it_refuses_predictions(bench: Bench) -> None:
    fill(bench)
    bench.lane.opened(bench)  # type: ignore[arg-type]
    refused = bench.ask()
    assert refused is not None
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert b"all connections of this worker are taken" in refused.body
    assert bench.answerer.threads == []


def test_even_those_are_bounded(bench: Bench) -> None:
    fill(bench)
    taken = [bench.lane.opened(Idle()) for _ in range(100)]  # type: ignore[arg-type]
    assert taken == [True] * 64 + [False] * 36


def test_who_comes_when_others_have_left_is_a_client_like_any(bench: Bench) -> None:
    one = Idle()
    fill(bench)
    bench.lane.opened(one)  # type: ignore[arg-type]
    for connection in [*bench.lane.connections]:
        bench.lane.closed(connection)
    bench.lane.opened(bench)  # type: ignore[arg-type]
    assert bench.lane.lasts(bench)  # type: ignore[arg-type]
    assert bench.ask() is None
    assert bench.until(1)[0].status == 200

"""Stand-ins for everything outside of the code under test: they behave, they are not scripted."""

from tests.fakes.bundles import evaluation, write_bundle
from tests.fakes.clock import FakeClock
from tests.fakes.entries import draft, manifest, route
from tests.fakes.meanwhile import Meanwhile
from tests.fakes.registry import FakeRegistry
from tests.fakes.trial import FakeTrial
from tests.fakes.world import World

__all__ = [
    "FakeClock",
    "FakeRegistry",
    "FakeTrial",
    "Meanwhile",
    "World",
    "draft",
    "evaluation",
    "manifest",
    "route",
    "write_bundle",
]

"""The endpoint's process is killed in the middle of a deployment: after its start a version serves, and the next event
completes what was under way.
"""

import time

import pytest

from benchmarks.support.crash import Victim
from benchmarks.support.definitions import until
from tests.support.deployments import Deployment

SECONDS = (0.05, 0.2, 0.4, 0.7, 1.0, 1.5)


@pytest.mark.release
def test_after_a_kill_in_the_middle_of_a_deployment_either_version_serves_and_the_next_event_completes_it(
    victim: Victim,
) -> None:
    served = Deployment(victim.up().clients)
    first, second = served.register(), served.register()
    served.approve(first)
    for seconds in SECONDS:
        served.decide(second, "Approved")
        time.sleep(seconds)
        victim.kill()
        served.use(victim.up().clients)
        assert served.answer()["model_version"] in (1, 2)
        served.run(served.event(second))
        assert served.answer()["model_version"] == 2
        assert served.metadata(second)["DeploymentStatus"] == "Serving"
        served.decide(second, "Rejected")
        until(lambda: served.answer()["model_version"] == 1)
        served.quiet()

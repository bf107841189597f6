"""Two hundred resources; the benchmark's part ``operator`` does the same with a thousand."""

import pytest

from support.findings import say
from support.operator_scale import measure_scale
from support.operator_site import OperatorCluster

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver


def test_many_resources_rest_and_change(operator_cluster: OperatorCluster) -> None:
    found = measure_scale(operator_cluster, namespaces=4, scanners=40, changes=30, rest_s=20)
    ordered = sorted(found.applied_s)
    say(
        f"\n{found.resources} resources settled in {found.settled_s:.1f} s; {found.writes_at_rest} writes in {found.rest_s:.0f} s"
    )
    say(
        f"a change applied in {ordered[len(ordered) // 2] * 1000:.0f} ms at the median, {ordered[-1] * 1000:.0f} ms at most"
    )
    say(f"{found.resident_at_start_mebibytes:.0f} MiB at the start, {found.resident_mebibytes:.0f} MiB after it all")
    assert found.resources == 4 * 50
    assert found.writes_at_rest == 0
    assert ordered[len(ordered) // 2] < 1.0
    assert found.resident_mebibytes < 130

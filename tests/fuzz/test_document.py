"""The API keeps to its document, whatever it is asked: a minute of it, the same one every time."""

from pathlib import Path

import pytest

from tests.fuzz.jobs import laid_out
from tests.fuzz.logs import faults_in
from tests.fuzz.run import an_api_process, fuzzed

EXAMPLES = 25


@pytest.mark.timeout(420)
async def test_no_server_error_and_no_answer_that_is_not_in_the_document(
    service_environment: dict[str, str], tmp_path: Path
) -> None:
    found = await laid_out(service_environment)
    with an_api_process(tmp_path, service_environment) as system:
        verdict = fuzzed(
            system.layout.api_url, found, tmp_path, seed=1, examples=EXAMPLES, within_s=300
        )
        wrong = [*verdict.failures, *faults_in(system.child("api").log, found)]

    assert wrong == [], verdict.told
    assert verdict.cases > 500

"""The routes keep to their OpenAPI document, whatever is sent to them: no answer is a 500."""

import shutil
import subprocess

import pytest

SCHEMATHESIS = shutil.which("schemathesis")
# Not: that a request of the right form is never refused, since a guarantee may be impossible; nor headers of a 405.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


@pytest.mark.slow
@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not on the path (CONTRIBUTING.md)")
def test_no_request_breaks_the_contract(server, tmp_path):
    address = f"http://127.0.0.1:{server.port}/openapi.json"
    command = [SCHEMATHESIS, "run", address, f"--checks={','.join(CHECKS)}", "--max-examples=20", "--seed=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    assert not [line for line in server.lines if " 500 " in line or "Traceback" in line]
    assert server.metric("halfbert_requests_total", status="500") == 0

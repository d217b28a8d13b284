"""The review page as a part of the local stack."""

import http.client
from urllib.parse import urlsplit

from pipelines.stack import local
from tests.fixtures_stack import silent


def test_the_page_comes_up_by_itself_and_status_knows_where(settings):
    try:
        local.up(settings, "shop", ["reviews"], silent)
        [seen] = [part for part in local.status(settings) if part.part == "reviews"]
        assert seen.state == "running"
        connection = http.client.HTTPConnection(urlsplit(seen.address).netloc, timeout=10)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, b"LakePulse: review" in answer.read()) == (200, True)
        connection.close()
    finally:
        assert local.down(settings, silent) == ["reviews"]

"""Events about certificates that expire soon; in virtual time."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apimachinery.core.certificates import Validity
from kube_client import EventRecorder
from kube_client.certificate_expiry import ExpiryReporter, lease

NOW = datetime.now(UTC)


class Server:
    certificates = {
        Path("/pki/soon.crt"): Validity(NOW - timedelta(days=340), NOW + timedelta(days=25)),
        Path("/pki/later.crt"): Validity(NOW, NOW + timedelta(days=365)),
    }


def test_an_event_names_the_file_and_the_day_and_is_counted(virtual, scripted, connected) -> None:
    async def main() -> None:
        api = scripted()
        async with connected(api) as client:
            recorder = EventRecorder(client, component="kube-scheduler")
            reporter = ExpiryReporter(recorder, lambda: lease("kube-system", "kube-scheduler"), Server(), None)
            tasks = [asyncio.create_task(recorder.run()), asyncio.create_task(reporter.run())]
            await asyncio.sleep(30)
            reporter.report(NOW + timedelta(hours=1))
            await asyncio.sleep(30)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        (event,) = api.objects.values()
        about = event["involvedObject"]
        assert (about["kind"], about["namespace"], about["name"]) == ("Lease", "kube-system", "kube-scheduler")
        assert (event["type"], event["reason"], event["count"]) == ("Warning", "CertificateExpiring", 2)
        assert "/pki/soon.crt" in event["message"]
        assert f"{NOW + timedelta(days=25):%Y-%m-%d}" in event["message"]

    virtual(main())

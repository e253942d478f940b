"""The rows by name."""

from tests.matrix import again, broker, clocks, disorder, files, flood, full, poison
from tests.matrix.ill_bucket import Ill
from tests.matrix.promises import Fault, Row

ROWS = (
    Row(
        name="F11",
        title="every webhook ten times at once, and again after a day and a week",
        faults=(Fault("again", 100_000, again.each_webhook_again, "webhooks"),),
    ),
    Row(
        name="F12",
        title="news in any order",
        faults=(Fault("disorder", 100_000, disorder.disorder, "pieces of news"),),
    ),
    Row(
        name="F14",
        title="what the broker does besides taking a message",
        faults=(
            Fault("unroutable", 1_000, broker.unroutable),
            Fault("nack", 1_000, broker.nacked),
            Fault("lost-confirm", 1_000, broker.lost_confirm),
            Fault("duplicate-in-flight", 1_000, broker.duplicate_in_flight),
            Fault("queue-deleted", 1_000, broker.queue_deleted),
            Fault("queue-replaced", 1_000, broker.queue_replaced),
            Fault("argument-drift", 1_000, broker.argument_drift),
        ),
    ),
    Row(
        name="F15",
        title="a bucket and a file host on a bad day",
        faults=(
            *(Fault(f"bucket-{ill}", 1_000, files.of_the_bucket(ill), "outputs") for ill in Ill),
            *(
                Fault(f"host-{name}", 1_000, files.of_the_host(name), "outputs")
                for name in files.PASSING
            ),
            Fault("host-redirect", 1_000, files.redirected, "outputs"),
            Fault("host-404", 1_000, files.expired, "outputs"),
            Fault("earliest-first", 1_000, files.earliest_first, "outputs"),
        ),
    ),
    Row(
        name="F16",
        title="one message in a hundred is poison",
        faults=(
            Fault("crashing", 10_000, poison.crashing, "messages"),
            Fault("hanging", 10_000, poison.hanging, "messages"),
            Fault("malformed", 10_000, poison.malformed, "messages"),
        ),
    ),
    Row(
        name="F18",
        title="a clock that is wrong",
        faults=(Fault("set", 20, clocks.set_wrong), Fault("drift", 20, clocks.run_away)),
    ),
    Row(
        name="F19",
        title="no room left",
        faults=(
            Fault("disk-broker", 10, full.disk_of_the_broker),
            Fault("disk-database", 10, full.disk_of_the_database),
            Fault("disk-bucket", 10, full.disk_of_the_bucket),
            Fault("descriptors", 10, full.nothing_left_to_open),
            Fault("pool", 10, full.every_connection_taken),
            Fault("lock", 10, full.row_locked),
        ),
    ),
    Row(
        name="F21",
        title="more webhooks than can be taken",
        faults=(
            Fault("burst", 10, flood.burst),
            Fault("flood", 10, flood.flood),
            Fault("rated", 10, flood.rated),
        ),
    ),
)

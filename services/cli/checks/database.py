"""Postgres: there, current, durable, roomy, on time; and what waits in it."""

from datetime import timedelta

from services.cli.checks.finding import Finding, bad, clock, well
from services.cli.checks.settings import DoctorSettings
from shared.clock import utc_now
from shared.db import journal, parked, rate_limit, standing, tokens
from shared.db.connection import Connection, open_database
from shared.db.migrate import missing_migrations
from shared.errors import DatabaseUnavailable
from shared.settings import is_loopback

CHECK = "postgres"
OWED_TOO_LONG = timedelta(minutes=1)


async def look(chosen: DoctorSettings) -> list[Finding]:
    url = chosen.database_url.get_secret_value()
    async with open_database(url, name="doctor") as database:
        try:
            await database.ping()
        except DatabaseUnavailable as error:
            mend = "see DATABASE_URL, that Postgres runs, and that it lets this machine and user in"
            return [bad(CHECK, str(error), mend)]
        missing = await missing_migrations(database)
        if missing:
            lacks = f"the tables are older than this program: {len(missing)} migrations are missing"
            return [bad("migrations", lacks, "darkroom migrate")]
        async with database.connection() as db:
            return [
                well(CHECK, "answers"),
                well("migrations", "the tables are current"),
                await _its_clock(db),
                *await _as_set(db, chosen, near=is_loopback(url)),
                await _owed(db),
                await _account(db),
                await _parked(db),
                await _tokens(db, chosen, near=is_loopback(url)),
            ]


async def _its_clock(db: Connection) -> Finding:
    asked = utc_now()
    theirs = await standing.clock(db)
    ours = asked + (utc_now() - asked) / 2
    return clock("clocks", "Postgres", theirs - ours)


async def _as_set(db: Connection, chosen: DoctorSettings, *, near: bool) -> list[Finding]:
    server = await standing.server(db)
    # On a laptop a throwaway server may forget its disk: nothing of worth is in it.
    forgets = [name for name in server.forgets if not near or name not in standing.OF_THE_DISK]
    found: list[Finding] = []
    if forgets:
        found.append(
            bad(
                "durability",
                f"Postgres runs without {', '.join(forgets)}: a crash can lose what it confirmed",
                "turn it on in postgresql.conf, or by ALTER ROLE or ALTER DATABASE",
            )
        )
    else:
        found.append(well("durability", "what is committed stays"))
    if server.free < chosen.database_pool_size:
        found.append(
            bad(
                "connections",
                f"Postgres has {server.free} connections left of {server.most}, "
                f"and each process may want {chosen.database_pool_size}",
                "raise max_connections, lower DATABASE_POOL_SIZE, or put a pooler in between",
            )
        )
    else:
        found.append(well("connections", f"{server.free} of {server.most} are left"))
    return found


async def _owed(db: Connection) -> Finding:
    owed = await journal.owed(db)
    if owed.oldest is None or utc_now() - owed.oldest < OWED_TOO_LONG:
        return well("relay", "the journal owes nothing for long")
    since = f"{owed.oldest:%Y-%m-%d %H:%M:%S}Z"
    return bad(
        "relay",
        f"{owed.count} facts wait since {since} to be published",
        "a service that relays must run and reach the broker: see the logs for relay.*",
    )


async def _account(db: Connection) -> Finding:
    pause = await rate_limit.paused(db, rate_limit.CREATES)
    if pause is None:
        return well("account", "Replicate takes our purchases")
    return bad(
        "account",
        f"nothing is bought until {pause.until:%H:%M:%S}Z: {pause.reason}",
        "see the token and the credit of the Replicate account; buying goes on by itself",
    )


async def _parked(db: Connection) -> Finding:
    dead = sum(count.dead for count in await parked.counts(db))
    if not dead:
        return well("parked", "nothing waits for a person")
    return well("parked", f"{dead} messages wait for a person: darkroom parked list --dead")


async def _tokens(db: Connection, chosen: DoctorSettings, *, near: bool) -> Finding:
    check = "api tokens"
    if chosen.api_open:
        return bad(
            check,
            "API_OPEN is set: everybody who reaches the API may order and cancel",
            "leave API_OPEN out, and give each caller a token: darkroom tokens create NAME",
        )
    open_ = [token.name for token in await tokens.listing(db) if token.revoked_at is None]
    if open_:
        return well(check, f"{len(open_)} open the API: {', '.join(open_[:5])}")
    closed = "no token opens the API: nobody is served but programs on its own machine"
    if near:
        return well(check, closed)
    return bad(check, closed, "darkroom tokens create NAME --scope write, if it is to be used")

"""The guards that keep the promise that nothing is lost and nothing paid twice, and the tests that
hold each of them up. Whoever changes a guard's text changes it here as well."""

from dataclasses import dataclass

SLOTS = "shared/db/slots.py"
PREDICTIONS = "shared/db/predictions.py"
RECORD = "shared/db/record.py"
PARKED = "shared/db/parked.py"
JOURNAL = "shared/db/journal.py"
JOBS = "shared/db/jobs.py"
RATE_LIMIT = "shared/db/rate_limit.py"
BUY = "services/generator/buy.py"
HANDLING = "shared/messaging/handling.py"
PUBLISHER = "shared/messaging/publisher.py"
RELAY = "shared/messaging/relay.py"
LAWS = "shared/db/migrations/20261121000001_begin.sql"


@dataclass(frozen=True, slots=True)
class Guard:
    """``text`` stands exactly once in ``file``; with ``without`` in its place the guard is gone.
    ``tests`` are what pytest is given: some of them must fail then."""

    name: str
    file: str
    text: str
    without: str
    tests: tuple[str, ...]


def _of(folder: str, file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{folder}/{file}.py::{name}" for name in names)


def _law(name: str, check: str, test: str = "test_an_illegal_row_is_refused_by_its_law") -> Guard:
    text = f"CONSTRAINT {name} CHECK ({check})"
    return Guard(
        f"CHECK {name}",
        LAWS,
        text,
        f"CONSTRAINT {name} CHECK (true)",
        _of("integration", "test_db_jobs", test),
    )


_BOUGHT_LAW = "test_an_illegal_purchase_is_refused_by_its_law"

MONEY = (
    Guard(
        "an attempt that may have been bought is never sent again",
        PREDICTIONS,
        "         WHERE prediction.outcome = 'not_bought'\n",
        "         WHERE prediction.outcome <> 'stolen'\n",
        _of(
            "integration",
            "test_db_slots",
            "test_an_attempt_that_may_have_been_bought_is_never_intended_again",
        ),
    ),
    Guard(
        "the intent stands before the create",
        BUY,
        "                holds = await slots.lease_holds(db, claim.slot)\n",
        "                holds = await slots.lease_holds(db, claim.slot)\n"
        '                await db.execute("DELETE FROM prediction")\n',
        _of(
            "integration",
            "test_generator_buy",
            "test_a_lost_answer_is_in_doubt_and_adopted_by_its_webhook",
        ),
    ),
    Guard(
        "the lease is looked at once more before the create",
        BUY,
        "if not holds or left <= timedelta(0):",
        "if False:",
        _of(
            "integration",
            "test_generator_buy",
            "test_nothing_is_bought_once_the_lease_is_over",
            "test_nothing_is_bought_for_a_job_that_ended_after_the_claim",
        ),
    ),
    Guard(
        "a lease ends by the database's clock",
        SLOTS,
        "lease_until > clock_timestamp()",
        "lease_until IS NOT NULL",
        _of("integration", "test_db_slots", "test_a_lease_holds_until_it_is_over"),
    ),
    Guard(
        "two buyers never claim one slot",
        SLOTS,
        "               FOR NO KEY UPDATE OF s SKIP LOCKED\n",
        "",
        _of(
            "integration",
            "test_db_slots",
            "test_two_buyers_share_the_due_slots_without_overlap_and_without_waiting",
        ),
    ),
    Guard(
        "nothing is claimed for a job that ended",
        SLOTS,
        "JOIN job j ON j.id = s.job_id AND j.ended_at IS NULL",
        "JOIN job j ON j.id = s.job_id",
        _of("integration", "test_db_slots", "test_nothing_is_bought_for_a_job_that_ended"),
    ),
    Guard(
        "fence: a buyer that slept writes nothing",
        SLOTS,
        "           AND fence = $5\n",
        "           AND fence >= $5 - fence\n",
        _of(
            "integration",
            "test_db_slots",
            "test_a_buyer_that_slept_past_its_lease_writes_nothing",
            "test_a_stale_fence_writes_nothing_although_state_and_attempt_look_the_same",
        ),
    ),
    Guard(
        "a move is for the attempt that it was decided for",
        SLOTS,
        "           AND attempt = $4\n           AND fence = $5\n",
        "           AND $4 > 0\n           AND fence = $5\n",
        _of(
            "integration",
            "test_db_slots",
            "test_a_move_decided_for_an_attempt_that_is_over_writes_nothing",
        ),
    ),
    Guard(
        "of two that move a slot one does",
        SLOTS,
        "           AND state = $3\n           AND attempt = $4\n",
        "           AND state >= left($3, 0)\n           AND attempt = $4\n",
        _of("integration", "test_db_slots", "test_of_two_that_move_a_slot_at_once_one_does"),
    ),
    Guard(
        "an answer moves its slot only while it is at this purchase",
        BUY,
        "(slot.attempt, slot.fence) != (was.attempt, was.fence)",
        "False",
        _of(
            "integration",
            "test_generator_buy",
            "test_an_answer_to_an_earlier_attempt_does_not_move_the_slot",
        ),
    ),
    Guard(
        "a create without an answer is in doubt",
        BUY,
        "    InDoubt: News.UNKNOWN_OUTCOME,\n",
        "    InDoubt: News.NOT_BOUGHT,\n",
        _of(
            "integration",
            "test_generator_buy",
            "test_a_lost_answer_is_in_doubt_and_adopted_by_its_webhook",
            "test_what_is_in_doubt_is_not_bought_again",
        ),
    ),
    Guard(
        "a webhook's token tells ours from invented ones",
        PREDICTIONS,
        "           AND token = $4\n",
        "           AND token >= left($4, 0)\n",
        _of("integration", "test_db_record", "test_a_wrong_token_names_no_purchase"),
    ),
    Guard(
        "what cannot be told apart is never guessed",
        RECORD,
        "    if len(unexplained) == 1:\n",
        "    if unexplained:\n",
        _of(
            "integration",
            "test_db_record",
            "test_two_purchases_that_look_alike_are_never_guessed",
        ),
    ),
    Guard(
        "one purchase has one prediction",
        RECORD,
        "if row.prediction_id not in (None, news.id):",
        "if False:",
        _of(
            "integration",
            "test_db_record",
            "test_another_prediction_under_the_same_purchase_is_ambiguous",
        ),
    ),
    Guard(
        "losers are stopped",
        RECORD,
        "    if decided and slot.attempt > 1:\n",
        "    if False:\n",
        _of(
            "integration",
            "test_db_record",
            "test_a_slot_that_fails_stops_what_an_earlier_attempt_left_running",
        ),
    ),
    Guard(
        "a bucket grants what it has and no more",
        RATE_LIMIT,
        "                   AND r.level >= $6::float8 + $4\n",
        "                   AND r.level >= least($6::float8, $4, 0)\n",
        _of(
            "integration",
            "test_db_rate_limit",
            "test_a_burst_is_bounded_and_then_the_wait_is_told",
            "test_no_minute_sees_more_than_the_limit",
        ),
    ),
    Guard(
        "a paused account buys nothing",
        RATE_LIMIT,
        "                   AND coalesce(r.paused_until <= r.at, true)\n",
        "",
        _of(
            "integration",
            "test_db_rate_limit",
            "test_a_paused_account_grants_nothing_until_the_pause_is_over",
        ),
    ),
    Guard(
        "takers at once wait for each other",
        RATE_LIMIT,
        "                         WHERE bucket = $1\n                           FOR UPDATE) AS locked\n",
        "                         WHERE bucket = $1) AS locked\n",
        _of(
            "integration",
            "test_db_rate_limit",
            "test_a_taker_waits_for_the_one_before_it_and_sees_what_that_left",
        ),
    ),
    Guard(
        "attempts end where the recipe says so",
        "shared/recipes/again.py",
        "if slot.attempt - slot.not_listed >= recipe.attempts:",
        "if False:",
        _of("integration", "test_generator_follow", "test_attempts_end_where_the_recipe_says_so"),
    ),
    Guard(
        "a purchase fits under a cap only if all of it does",
        "shared/domain/cap.py",
        "return max(0, min(wanted, left // each))",
        "return max(0, min(wanted, left // each + 1))",
        ("tests/unit/test_domain_cap.py",),
    ),
    Guard(
        "what was granted counts for who asks next",
        "shared/domain/cap.py",
        "            open_micros=self.open_micros + count * self.one_more(estimate),\n",
        "            open_micros=self.open_micros,\n",
        ("tests/unit/test_domain_cap.py",),
    ),
    Guard(
        "a purchase in doubt counts towards its cap",
        "shared/domain/cost.py",
        '{"intended", "accepted", "in_doubt"}',
        '{"intended", "accepted"}',
        _of(
            "integration",
            "test_cost_caps",
            "test_a_purchase_counts_until_it_is_known_not_to_be_one",
        ),
    ),
    Guard(
        "what does not fit under a cap is not bought",
        "services/generator/hold.py",
        "                allowed[place] = False\n",
        "                allowed[place] = True\n",
        _of(
            "integration",
            "test_cost_caps",
            "test_many_buyers_at_once_buy_what_the_cap_pays_for_and_not_one_more",
        ),
    ),
)

NEWS = (
    Guard(
        "a verdict is final",
        RECORD,
        "    if row.is_final:\n",
        "    if False:\n",
        _of("integration", "test_db_record", "test_a_verdict_is_never_overwritten"),
    ),
    Guard(
        "a status never goes back",
        "shared/domain/hearing.py",
        "return heard if _ORDER[heard] > _ORDER[known] else known",
        "return heard",
        _of("unit", "test_domain_hearing", "test_a_status_goes_forward_and_never_back"),
    ),
    Guard(
        "news of another attempt moves nothing",
        "shared/domain/hearing.py",
        "if status is None or not current:",
        "if status is None:",
        (
            *_of(
                "integration",
                "test_db_record",
                "test_news_of_an_older_attempt_never_moves_the_slot",
            ),
            "tests/simulation",
        ),
    ),
    Guard(
        "the first success wins, whichever attempt it comes from",
        "shared/domain/hearing.py",
        "if status is Status.SUCCEEDED:",
        "if status is Status.SUCCEEDED and current:",
        _of(
            "integration",
            "test_db_record",
            "test_the_first_success_wins_whichever_attempt_it_comes_from",
        ),
    ),
    Guard(
        "a cancel that we asked for fails nothing",
        "shared/domain/hearing.py",
        "if status is Status.CANCELED and cancel_wanted:",
        "if False:",
        _of(
            "integration",
            "test_db_record",
            "test_a_cancel_that_we_asked_for_is_no_failure_of_a_slot_that_is_about_to_be_closed",
        ),
    ),
    Guard(
        "a closed slot stays closed",
        "shared/domain/slot.py",
        "for state in UNBOUGHT | {S.RUNNING}}",
        "for state in (*UNBOUGHT, S.RUNNING, S.FAILED)}",
        ("tests/unit/test_domain_slot.py", "tests/simulation"),
    ),
    Guard(
        "webhook and reconciler state one fact",
        "services/ingress/app.py",
        "            identity.verdict_id(prediction.id, prediction.raw_status)\n",
        "            webhook.id\n",
        _of(
            "integration", "test_ingress", "test_a_genuine_webhook_reaches_the_queue_byte_for_byte"
        ),
    ),
    Guard(
        "a body whose data was removed erases nothing",
        PREDICTIONS,
        "{} if prediction.data_removed and row.metrics else prediction.numbers",
        "prediction.numbers",
        _of(
            "integration",
            "test_db_record",
            "test_what_was_measured_stays_when_the_data_is_removed",
        ),
    ),
)

ENDS = (
    Guard(
        "a closed slot is counted once",
        SLOTS,
        "           AND counted_at IS NULL\n           AND state IN ('stored', 'failed', 'canceled')\n",
        "           AND state IN ('stored', 'failed', 'canceled')\n",
        _of("integration", "test_aggregator", "test_a_closing_heard_many_times_counts_once"),
    ),
    Guard(
        "only closed slots are counted",
        SLOTS,
        "           AND counted_at IS NULL\n           AND state IN ('stored', 'failed', 'canceled')\n",
        "           AND counted_at IS NULL\n",
        _of("integration", "test_db_slots", "test_an_open_slot_is_not_counted"),
    ),
    Guard(
        "a job ends once",
        JOBS,
        "           AND ended_at IS NULL\n     RETURNING *\n",
        "     RETURNING *\n",
        _of("integration", "test_db_jobs", "test_a_job_ends_once_and_its_end_is_final"),
    ),
    Guard(
        "one id for all three ends",
        "shared/domain/identity.py",
        'return fact_id(job_id, "ended")',
        'return fact_id(job_id, "ended", __import__("uuid").uuid4())',
        _of("unit", "test_events", "test_the_three_ends_of_a_job_share_one_id"),
    ),
    Guard(
        "what closes after the end changes no count",
        "services/aggregator/handlers.py",
        "        if job.state in ENDED:\n",
        "        if False:\n",
        _of(
            "integration",
            "test_aggregator",
            "test_a_wish_to_cancel_ends_the_job_once",
            "test_aggregators_side_by_side_end_a_job_exactly_once",
        ),
    ),
    Guard(
        "a job waits for its last slot",
        "shared/domain/job.py",
        "if call is Call.SLOTS_CLOSED and tally.closed < tally.n:",
        "if False:",
        _of(
            "unit",
            "test_domain_job",
            "test_a_job_waits_for_its_last_slot_even_when_its_end_is_certain",
        ),
    ),
    Guard(
        "dedupe key: one order, one job",
        JOBS,
        "            ON CONFLICT (id) DO NOTHING\n     RETURNING true\n",
        "            ON CONFLICT (id) DO UPDATE SET recipe = job.recipe\n     RETURNING true\n",
        _of("integration", "test_db_jobs", "test_the_same_order_twice_enters_one_job"),
    ),
    Guard(
        "dedupe key: one file, one artifact",
        "shared/db/migrations/20261121000002_five_recipes.sql",
        "UNIQUE (job_id, key)",
        "UNIQUE (job_id, key, id)",
        _of("integration", "test_db_jobs", "test_a_file_is_entered_once_under_its_key"),
    ),
    Guard(
        "dedupe key: one prediction, one purchase",
        LAWS,
        "prediction_id     text UNIQUE,",
        "prediction_id     text,",
        _of("integration", "test_db_jobs", "test_one_prediction_pays_for_one_purchase"),
    ),
    Guard(
        "a slot waits for these very files",
        "services/storage/handlers.py",
        "if slot is None or slot.state is not SlotState.SUCCEEDED or slot.winner != won.attempt:",
        "if slot is None:",
        _of(
            "integration",
            "test_storage",
            "test_a_job_that_ends_meanwhile_takes_no_files",
            "test_five_processes_at_once_store_once",
        ),
    ),
)

MESSAGES = (
    Guard(
        "mandatory: what must be heard comes back if nobody does",
        PUBLISHER,
        "mandatory=to_queue is not None or must_be_heard(envelope.type),",
        "mandatory=False,",
        _of(
            "integration",
            "test_messaging",
            "test_a_fact_that_must_be_heard_and_is_not_never_counts_as_published",
        ),
    ),
    Guard(
        "a returned message is an error",
        PUBLISHER,
        "on_return_raises=True",
        "on_return_raises=False",
        _of(
            "integration",
            "test_messaging",
            "test_a_fact_that_must_be_heard_and_is_not_never_counts_as_published",
        ),
    ),
    Guard(
        "only an ack counts as published",
        PUBLISHER,
        "if not isinstance(word, Basic.Ack):",
        "if False:",
        _of(
            "unit",
            "test_messaging_publisher",
            "test_whatever_is_no_ack_never_counts_as_published",
        ),
    ),
    Guard(
        "a label of its own for every publish",
        "shared/messaging/codec.py",
        "message_id=uuid4().hex",
        "message_id=envelope.id",
        _of(
            "integration",
            "test_messaging",
            "test_of_two_in_flight_with_one_event_id_the_returned_one_is_told",
        ),
    ),
    Guard(
        "the relay marks only what was confirmed",
        RELAY,
        "done = [entry.id for entry in entries if troubles[entry.id] is None]",
        "done = [entry.id for entry in entries]",
        _of(
            "integration",
            "test_messaging_relay",
            "test_facts_that_no_queue_takes_hold_nobody_not_even_whole_batches_of_them",
            "test_a_relay_outlives_a_broker_that_is_away",
        ),
    ),
    Guard(
        "relays share what is owed",
        JOURNAL,
        "         LIMIT $1\n           FOR UPDATE SKIP LOCKED\n",
        "         LIMIT $1\n",
        _of(
            "integration",
            "test_db_journal",
            "test_two_relays_share_what_is_owed_without_overlap_and_without_waiting",
        ),
    ),
    Guard(
        "a fact is stated once",
        JOURNAL,
        "            ON CONFLICT (event_id) DO NOTHING\n",
        "            ON CONFLICT (event_id) DO UPDATE SET published_at = NULL\n",
        _of("integration", "test_db_journal", "test_a_fact_is_stated_once_whoever_states_it"),
    ),
    Guard(
        "ack after the handler, and not before",
        HANDLING,
        "            done = await self._patiently([delivery], attempt)\n",
        "            await delivery.message.ack()\n"
        "            done = await self._patiently([delivery], attempt)\n",
        _of(
            "integration",
            "test_messaging",
            "test_a_message_is_acknowledged_after_its_handler_and_not_before",
        ),
    ),
    Guard(
        "what failed is parked before it is acknowledged",
        HANDLING,
        "            await self._park_for_later(queue, envelope, error, attempts=attempt)\n",
        "",
        _of(
            "integration",
            "test_messaging",
            "test_what_cannot_be_handled_is_parked_with_its_reason_and_acknowledged",
        ),
    ),
    Guard(
        "attempts are used up at some time",
        HANDLING,
        "            if attempt >= most:\n",
        "            if False:\n",
        _of(
            "integration",
            "test_messaging",
            "test_attempts_that_are_used_up_end_among_the_dead",
        ),
    ),
    Guard(
        "a handling that never ends is ended",
        HANDLING,
        "clock = asyncio.timeout(self._within_s)",
        "clock = asyncio.timeout(None)",
        _of(
            "integration",
            "test_messaging_hung",
            "test_a_handling_that_never_ends_makes_room_for_the_others",
        ),
    ),
    Guard(
        "what hangs is started five times at the most",
        HANDLING,
        "                most = min(most, MOST_STARTS)\n",
        "                pass\n",
        _of("integration", "test_messaging_hung", "test_what_hung_five_times_is_parked_dead"),
    ),
    Guard(
        "a subscription that the broker forgot is made again",
        "shared/messaging/consumer.py",
        "{ending, stopping, breaking, forgotten}, return_when",
        "{ending, stopping, breaking}, return_when",
        _of("matrix", "test_broker", "test_a_consumer_that_the_broker_forgot_comes_back"),
    ),
    Guard(
        "while Postgres is away nothing is parked or lost",
        HANDLING,
        "        except DatabaseUnavailable:\n            raise\n        except Permanent as error:\n",
        "        except Permanent as error:\n",
        _of(
            "integration",
            "test_messaging",
            "test_while_postgres_is_away_messages_are_held_and_nothing_is_parked",
        ),
    ),
    Guard(
        "what cannot be parked is held",
        HANDLING,
        '        raise DatabaseUnavailable(f"the parking fails: {type(error).__name__}") from error\n',
        "        return\n",
        _of(
            "integration",
            "test_messaging_holding",
            "test_what_cannot_be_parked_is_held_until_it_can_and_the_others_are_handled",
        ),
    ),
    Guard(
        "a message that keeps killing is parked",
        HANDLING,
        "await self._starts_noted(queue, envelope) > MOST_NOTED_STARTS:",
        "await self._starts_noted(queue, envelope) > 1_000_000:",
        _of(
            "integration",
            "test_messaging",
            "test_a_message_that_keeps_killing_its_process_is_parked_and_innocents_pass",
        ),
    ),
    Guard(
        "a cancel that nobody asked for is a bad day",
        HANDLING,
        '        raise Transient("the handler was cancelled, though nobody asked for it") from error\n',
        "        raise\n",
        _of(
            "integration",
            "test_messaging_holding",
            "test_a_cancellation_that_nobody_asked_for_is_a_bad_day_and_not_the_end",
        ),
    ),
    Guard(
        "a relay publishes its own service's facts alone",
        "shared/db/journal.py",
        "           AND ($3::text[] IS NULL OR type = ANY($3))\n",
        "           AND ($3::text[] IS NULL OR true)\n",
        _of(
            "integration",
            "test_rights_relay",
            "test_a_relay_publishes_what_its_own_account_may_and_leaves_the_rest",
        ),
    ),
    Guard(
        "routing keys are named in full",
        "shared/rights/broker.py",
        """    return f"^({'|'.join(told)})$" if told else NOTHING\n""",
        """    return f"({'|'.join(told)})" if told else NOTHING\n""",
        _of("unit", "test_rights", "test_what_is_nearly_a_name_is_not_that_name"),
    ),
    Guard(
        "a database is believed by its name",
        "shared/tls.py",
        '    if query.setdefault("sslmode", CHECKED) != CHECKED:\n',
        '    if query.setdefault("sslmode", CHECKED) == "disable":\n',
        _of(
            "unit",
            "test_tls",
            "test_a_way_to_the_database_that_checks_less_than_the_name_is_refused",
        ),
    ),
    Guard(
        "a drain finishes what is prefetched",
        "shared/messaging/consumer.py",
        "        await self._waiting.empty()\n",
        "",
        _of(
            "unit",
            "test_messaging_drain",
            "test_a_drain_ends_when_what_is_prefetched_is_done_and_not_before",
        ),
    ),
    Guard(
        "nothing is acknowledged while consumers are cancelled",
        "shared/messaging/consumer.py",
        "        self._handling.may_acknowledge.clear()\n",
        "",
        _of(
            "unit",
            "test_messaging_drain",
            "test_nothing_is_acknowledged_while_the_consumers_are_being_cancelled",
        ),
    ),
    Guard(
        "what was parked anew is not forgotten",
        PARKED,
        "WHERE id = $1 AND generation = $2",
        "WHERE id = $1 AND $2 > 0",
        _of(
            "integration",
            "test_db_parked",
            "test_a_message_parked_anew_while_it_was_brought_back_stays",
        ),
    ),
    Guard(
        "reconcilers share what is due",
        PARKED,
        "             LIMIT $1\n               FOR UPDATE SKIP LOCKED\n",
        "             LIMIT $1\n",
        _of(
            "integration",
            "test_db_parked",
            "test_two_reconcilers_share_the_due_messages_without_overlap",
        ),
    ),
    Guard(
        "a consumer in which everything dies stops",
        HANDLING,
        "        if self.stopped.is_set() and not as_a_try:\n            return\n",
        "",
        _of(
            "integration",
            "test_messaging_breaker",
            "test_a_consumer_that_only_kills_stops_and_leaves_the_river_where_it_is",
        ),
    ),
    Guard(
        "a message is forgotten after the confirm, and not before",
        "services/reconciler/bring_back.py",
        "                silent.add(queue)\n"
        "                _still_parked(message, str(error))\n"
        "                continue\n",
        "                silent.add(queue)\n",
        _of(
            "integration",
            "test_reconciler_messages",
            "test_a_message_that_the_broker_did_not_confirm_stays_parked",
        ),
    ),
    Guard(
        "the webhook is answered after the confirm",
        "services/ingress/app.py",
        "        await self._publish(event)\n",
        "        self._soon = asyncio.ensure_future(self._publish(event))\n",
        _of(
            "integration",
            "test_ingress",
            "test_what_nobody_hears_is_503_and_taken_once_the_topology_stands",
        ),
    ),
)

FILES = (
    Guard(
        "ordering by expiry: what is parked",
        PARKED,
        "key=lambda message: (message.expires_at is None, message.expires_at, message.parked_at),",
        "key=lambda message: message.parked_at,",
        _of("integration", "test_db_parked", "test_what_expires_soonest_comes_back_first"),
    ),
    Guard(
        "ordering by expiry: which are claimed",
        PARKED,
        "          ORDER BY expires_at NULLS LAST, due_at\n",
        "          ORDER BY due_at\n",
        _of("integration", "test_db_parked", "test_what_expires_soonest_comes_back_first"),
    ),
    Guard(
        "ordering by expiry: what nobody stored",
        SLOTS,
        "      ORDER BY expires_at, job_id, ordinal\n",
        "      ORDER BY expires_at DESC, job_id, ordinal\n",
        _of(
            "integration",
            "test_reconciler_outputs",
            "test_what_is_deleted_first_is_said_again_first",
        ),
    ),
    Guard(
        "what may lie in a queue is not all said twice",
        "services/reconciler/unheard.py",
        "patient, TRIED)",
        "patient, BATCH)",
        _of(
            "integration",
            "test_reconciler_unheard",
            "test_closings_that_nobody_counts_at_the_moment_are_not_all_said_twice",
        ),
    ),
    Guard(
        "what is parked is not said again",
        "shared/db/unheard.py",
        "AND parked_message.event_id = journal.event_id)",
        "AND false)",
        _of(
            "integration",
            "test_reconciler_unheard",
            "test_a_closing_that_lies_parked_is_left_to_its_time_and_its_operator",
        ),
    ),
    Guard(
        "an input decides only where all that it could fit are known",
        "services/reconciler/matching.py",
        "if len(rivals) == 1 and all_known:",
        "if len(rivals) == 1:",
        _of(
            "unit",
            "test_reconciler_matching",
            "test_an_input_decides_nothing_where_not_all_that_it_could_fit_are_known",
        ),
    ),
    Guard(
        "a retry waits no longer than half of what is left",
        "shared/domain/backoff.py",
        "return wait if left is None or left <= FIRST else min(wait, left / 2)",
        "return wait",
        (
            *_of(
                "unit",
                "test_domain_backoff",
                "test_there_is_always_another_try_before_it_is_too_late",
            ),
            "tests/simulation",
        ),
    ),
    Guard(
        "If-None-Match: an output is never overwritten",
        "shared/objects.py",
        '            more["IfNoneMatch"] = "*"\n',
        "            pass\n",
        _of(
            "integration",
            "test_objects",
            "test_other_bytes_under_the_key_are_never_overwritten",
        ),
    ),
    Guard(
        "storage asks for If-None-Match",
        "services/storage/files.py",
        "                if_absent=True,\n",
        "",
        _of(
            "integration",
            "test_storage",
            "test_what_lies_under_its_key_already_is_never_overwritten",
        ),
    ),
    Guard(
        "sha256: damaged bytes are noticed",
        "shared/objects.py",
        "                if seen != info.sha256:\n",
        "                if False:\n",
        _of("integration", "test_objects", "test_bytes_that_are_not_what_was_put_are_noticed"),
    ),
    Guard(
        "a redirect is refused",
        "shared/guard.py",
        "allow_redirects=False",
        "allow_redirects=True",
        _of("integration", "test_downloads", "test_a_redirect_is_not_followed"),
    ),
    Guard(
        "the address is checked where the socket is made",
        "shared/guard.py",
        "    if not is_public(address):\n",
        "    if False:\n",
        _of(
            "integration",
            "test_downloads",
            "test_a_trusted_name_with_an_address_inside_is_not_connected_to",
        ),
    ),
    Guard(
        "a file without end is left at the limit",
        "shared/downloads.py",
        "            if seen > self._max_bytes:\n",
        "            if False:\n",
        _of("integration", "test_downloads", "test_a_file_without_end_is_left_at_the_limit"),
    ),
    Guard(
        "a webhook's signature is checked",
        "shared/signatures.py",
        "        if not genuine:\n",
        "        if False:\n",
        _of("unit", "test_signatures", "test_one_changed_byte_of_the_body_is_not_believed"),
    ),
    Guard(
        "a webhook's time is checked",
        "shared/signatures.py",
        "    if abs(skew) > TOLERANCE:\n",
        "    if False:\n",
        _of(
            "unit", "test_signatures", "test_a_time_beyond_five_minutes_is_stale_and_tells_how_far"
        ),
    ),
    Guard(
        "a genuine webhook is not blamed for our clock",
        "services/ingress/app.py",
        "if ours or not secrets.made(stale.claim, body):",
        "if True:",
        _of(
            "integration",
            "test_ingress",
            "test_a_genuine_webhook_is_503_and_never_401_while_our_clock_is_wrong",
        ),
    ),
    Guard(
        "what no key of ours made is no doubt of our clock",
        "shared/signatures.py",
        "genuine |= hmac.compare_digest(mine, signature)",
        "genuine = True",
        _of(
            "unit", "test_signatures", "test_what_a_key_of_ours_made_is_known_whatever_the_time_is"
        ),
    ),
    Guard(
        "no text of a user is markup",
        "services/report/render.py",
        "autoescape=True",
        "autoescape=False",
        ("tests/unit/test_report_render.py",),
    ),
)

CHECKS = (
    _law("job_counts_each_slot_once", "stored + failed + canceled <= n"),
    _law(
        "job_ends_with_a_time",
        "(state IN ('completed', 'failed', 'canceled')) = (ended_at IS NOT NULL)",
    ),
    _law(
        "job_completed_has_all_slots_counted",
        "state <> 'completed' OR stored + failed + canceled = n",
    ),
    _law("slot_pending_is_due", "(state = 'pending') = (due_at IS NOT NULL)"),
    _law("slot_creating_has_a_lease", "(state = 'creating') = (lease_until IS NOT NULL)"),
    _law(
        "slot_success_has_a_winner",
        "state NOT IN ('succeeded', 'stored') OR winner IS NOT NULL",
    ),
    _law("slot_success_expires", "state <> 'succeeded' OR expires_at IS NOT NULL"),
    _law("slot_failure_has_a_code", "(state = 'failed') = (failure_code IS NOT NULL)"),
    _law(
        "slot_is_counted_when_closed",
        "counted_at IS NULL OR state IN ('stored', 'failed', 'canceled')",
    ),
    _law("slot_wins_by_a_real_attempt", "winner BETWEEN 1 AND attempt"),
    _law(
        "slot_wins_by_success",
        "winner IS NULL OR state IN ('succeeded', 'stored', 'failed', 'canceled')",
    ),
    _law(
        "prediction_has_an_id_once_it_has_a_status",
        "status IS NULL OR prediction_id IS NOT NULL",
        _BOUGHT_LAW,
    ),
    _law(
        "prediction_is_accepted_once_it_has_an_id",
        "(prediction_id IS NULL) = (outcome <> 'accepted')",
        _BOUGHT_LAW,
    ),
    _law(
        "prediction_is_asked_about_by_its_id",
        "ask_at IS NULL OR prediction_id IS NOT NULL",
        _BOUGHT_LAW,
    ),
)

WISHES = (
    Guard(
        "an order is planned under the lock that its wish takes",
        "services/generator/plan.py",
        "            await jobs.hold_order(tx, job.id)\n",
        "",
        _of(
            "integration",
            "test_cancel",
            "test_a_wish_and_its_order_that_commit_at_one_moment_do_not_miss_each_other",
        ),
    ),
    Guard(
        "a wish that finds no job looks again under the lock of its order",
        "services/aggregator/handlers.py",
        "        await jobs.hold_order(tx, job_id)\n",
        "",
        _of(
            "integration",
            "test_cancel",
            "test_an_order_that_is_just_committed_is_seen_by_the_wish_that_looks_for_it",
        ),
    ),
    Guard(
        "no job ends while one of its slots is being stored",
        JOBS,
        "WHERE id = $1 FOR SHARE",
        "WHERE id = $1",
        _of(
            "integration",
            "test_cancel",
            "test_a_wish_waits_for_what_is_being_stored_and_counts_it",
        ),
    ),
    Guard(
        "nothing is bought past a job's deadline",
        SLOTS,
        "               AND (j.deadline IS NULL OR j.deadline > now())\n",
        "",
        _of(
            "integration",
            "test_cancel",
            "test_nothing_is_bought_past_a_deadline_that_nobody_has_said_yet",
        ),
    ),
    Guard(
        "the provider is told when a run must end",
        "shared/replicate_api.py",
        "        request.headers.update(self._headers)\n",
        "",
        _of(
            "integration",
            "test_cancel",
            "test_a_run_past_its_deadline_ends_though_nobody_of_us_is_there_to_cancel_it",
        ),
    ),
)

WASTE = (
    Guard(
        "what is on record is never deleted",
        "services/reconciler/waste.py",
        "            if info.key not in left.kept\n",
        "",
        _of("integration", "test_waste", "test_what_is_on_record_stays_beside_what_was_skipped"),
    ),
    Guard(
        "of an open slot nothing is deleted",
        "shared/db/waste.py",
        "           AND slot.state IN ('stored', 'failed', 'canceled')\n",
        "",
        _of(
            "integration",
            "test_waste",
            "test_files_of_an_attempt_that_expired_are_deleted_when_the_next_one_is_stored",
        ),
    ),
    Guard(
        "a put that is under way gets its time",
        "shared/db/waste.py",
        "slot.waste_since < now() - $1::interval",
        "slot.waste_since < now() + $1::interval",
        _of("integration", "test_waste", "test_a_download_gets_its_time_to_come_to_its_end"),
    ),
    Guard(
        "a success that ends without its files is looked after",
        SLOTS,
        "CASE state WHEN 'succeeded' THEN now() ELSE waste_since END",
        "waste_since",
        _of(
            "integration",
            "test_waste",
            "test_what_a_dead_process_had_put_is_deleted_once_the_job_has_ended",
        ),
    ),
    Guard(
        "a download that comes too late is looked after",
        "services/storage/handlers.py",
        "        await waste.note(tx, won.job_id, won.ordinal)\n",
        "",
        _of("integration", "test_waste", "test_what_was_fetched_when_the_job_ended_is_deleted"),
    ),
)

LOOKING = (
    Guard(
        "a rebuilding is never committed",
        "shared/db/rebuild.py",
        "            raise _RolledBack  # noqa",
        "            pass  # noqa",
        _of("integration", "test_db_rebuild", "test_comparing_changes_nothing_at_all"),
    ),
    Guard(
        "what an audit could not ask is not said to hold",
        "services/reconciler/audit.py",
        "        RESIDUAL.labels(law.name).set(math.nan)\n",
        "        RESIDUAL.labels(law.name).set(0)\n",
        _of(
            "integration",
            "test_reconciler_audit",
            "test_a_bucket_that_cannot_be_asked_is_not_said_to_hold_anything",
            "test_a_list_that_cannot_be_read_leaves_nothing_said",
        ),
    ),
    Guard(
        "files that are on their way are no finding",
        "shared/sweep.py",
        "        if has_ended:\n",
        "        if True:\n",
        _of(
            "integration",
            "test_audit_files",
            "test_of_an_open_job_what_is_on_record_is_looked_at_and_what_is_on_its_way_is_not",
        ),
    ),
    Guard(
        "of a refused body a little is kept",
        "services/ingress/refusals.py",
        "body=None if body is None else body[:BODY_KEPT],",
        "body=body,",
        _of(
            "integration",
            "test_refused_webhooks",
            "test_not_even_the_broker_gets_more_of_a_large_body",
        ),
    ),
    Guard(
        "of a flood of refused webhooks a few are kept",
        "services/ingress/refusals.py",
        'len(self._waiting) >= WAITING_AT_MOST or not self._throttle.takes("", now=elapsed)',
        "False",
        _of(
            "integration",
            "test_refused_webhooks",
            "test_of_a_flood_a_few_are_kept_and_every_one_is_answered_and_counted",
        ),
    ),
)

CALLBACKS = "services/api/callbacks.py"

CALLING = (
    Guard(
        "what was taken is not told again",
        CALLBACKS,
        "            if await journal.by_event_id(db, delivered) is not None:\n",
        "            if False:\n",
        _of(
            "integration",
            "test_callbacks",
            "test_w2_a_job_that_ends_is_told_once_under_the_id_of_the_fact",
        ),
    ),
    Guard(
        "who hangs keeps one place",
        CALLBACKS,
        "        if not (self.silence.may_call(call.host) or self._is_last(envelope)):\n",
        "        if False:\n",
        _of(
            "integration",
            "test_callbacks",
            "test_who_hangs_keeps_one_place_and_not_all_of_them",
        ),
    ),
    Guard(
        "receivers that are gone do not stop the consumer",
        HANDLING,
        " and not isinstance(error, NotOurs)",
        "",
        _of(
            "integration",
            "test_callbacks",
            "test_receivers_that_are_gone_keep_nobody_else_from_being_told",
        ),
    ),
    Guard(
        "a name that is a number is not called",
        "shared/guard.py",
        ' or _NUMBER.fullmatch(host.rpartition(".")[2])',
        "",
        _of("unit", "test_callbacks", "test_what_is_no_full_name_is_not_called"),
    ),
    Guard(
        "what waits for one queue says nothing of another",
        "services/reconciler/unreported.py",
        ", queue=REPORT_JOBS.name)",
        ")",
        _of(
            "integration",
            "test_aggregator",
            "test_the_end_of_a_job_that_waits_parked_for_its_report_is_left_to_its_time",
        ),
    ),
    Guard(
        "a callback's signature is checked by who receives it",
        "darkroom_client/callbacks.py",
        "    if not genuine:\n",
        "    if False:\n",
        _of("unit", "test_client", "test_one_changed_byte_is_not_believed"),
    ),
)

GUARDS = (
    *(*MONEY, *NEWS, *ENDS, *MESSAGES, *FILES, *CHECKS, *WISHES, *WASTE, *LOOKING),
    *CALLING,
)

"""Three dashboards: do webhooks arrive and jobs end, where in the pipeline does it wait, what does it
cost. What each number means is in ``docs/metrics.md``."""

from deploy.grafana.panels import Dashboard, Panel, Query, Row

# Long enough for four scrapes, whatever their interval.
OVER = "$__rate_interval"


def one(expr: str, legend: str = "") -> tuple[Query, ...]:
    return (Query(expr=expr, legend=legend),)


def quantiles(histogram: str, by: str = "", *, where: str = "") -> tuple[Query, ...]:
    labels = f"le, {by}" if by else "le"
    name = f" {{{{{by}}}}}" if by else ""
    rate = f"rate({histogram}_bucket{where}[{OVER}])"
    return tuple(
        Query(
            expr=f"histogram_quantile({share}, sum by ({labels}) ({rate}))",
            legend=f"p{round(share * 100)}{name}",
        )
        for share in (0.5, 0.99)
    )


HEALTH = Dashboard(
    uid="darkroom-webhooks-and-jobs",
    title="Darkroom: webhooks and jobs",
    says="Whether webhooks arrive and are believed, and whether jobs end well.",
    rows=(
        Row(
            title="Now",
            height=4,
            panels=(
                Panel(
                    title="Webhooks accepted",
                    says="Of those that were genuine, over an hour. The objective is 99.9 %.",
                    kind="stat",
                    unit="percentunit",
                    falling=True,
                    warn=0.999,
                    bad=0.99,
                    queries=one("1 - darkroom:webhooks_turned_away:ratio_rate1h"),
                ),
                Panel(
                    title="Jobs completed",
                    says="Of those that ended within a day.",
                    kind="stat",
                    unit="percentunit",
                    falling=True,
                    warn=0.95,
                    bad=0.8,
                    queries=one(
                        'sum(increase(darkroom_jobs_total{outcome="completed"}[1d]))'
                        " / sum(increase(darkroom_jobs_total[1d]))"
                    ),
                ),
                Panel(
                    title="Jobs open",
                    says="Ordered, and not ended; a thousand at the most are counted.",
                    kind="stat",
                    queries=one("max(darkroom_jobs_open)"),
                ),
                Panel(
                    title="Oldest open job",
                    says="How long ago it was planned.",
                    kind="stat",
                    unit="s",
                    warn=900,
                    bad=3600,
                    queries=one("max(darkroom_jobs_open_oldest_age_seconds)"),
                ),
                Panel(
                    title="Messages for a person",
                    says="Parked dead. `darkroom parked list --dead` shows them.",
                    kind="stat",
                    warn=1,
                    bad=50,
                    queries=one('sum(max by (queue) (darkroom_parked_messages{state="dead"}))'),
                ),
            ),
        ),
        Row(
            title="Webhooks",
            panels=(
                Panel(
                    title="Webhooks by what became of them",
                    says="A second. `unavailable` and `too_many` are ours, the rest are the sender's.",
                    unit="reqps",
                    stacked=True,
                    queries=one(
                        f"sum by (outcome) (rate(darkroom_webhooks_total[{OVER}]))", "{{outcome}}"
                    ),
                ),
                Panel(
                    title="From its headers to our answer",
                    says="Of accepted webhooks: the broker's confirm is in it.",
                    unit="s",
                    queries=quantiles("darkroom_webhook_seconds"),
                ),
                Panel(
                    title="Who brought the news",
                    says="Webhooks, or the reconciler's questions; these rise where webhooks are lost.",
                    unit="reqps",
                    queries=(
                        Query(
                            expr=f'sum(rate(darkroom_webhooks_total{{outcome="accepted"}}[{OVER}]))',
                            legend="webhook",
                        ),
                        Query(
                            expr=f'sum(rate(darkroom_reconciler_healed_total{{what="told"}}[{OVER}]))',
                            legend="asked",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            title="Jobs",
            panels=(
                Panel(
                    title="Jobs by how they ended",
                    says="A second, by recipe.",
                    unit="reqps",
                    queries=one(
                        f"sum by (recipe, outcome) (rate(darkroom_jobs_total[{OVER}]))",
                        "{{recipe}} {{outcome}}",
                    ),
                ),
                Panel(
                    title="From the plan to the end",
                    says="Of completed jobs, by recipe. The provider's time is most of it.",
                    unit="s",
                    queries=quantiles(
                        "darkroom_job_seconds", "recipe", where='{outcome="completed"}'
                    ),
                ),
                Panel(
                    title="Reports",
                    says="By what became of them.",
                    unit="reqps",
                    queries=one(
                        f"sum by (outcome) (rate(darkroom_reports_total[{OVER}]))", "{{outcome}}"
                    ),
                ),
            ),
        ),
        Row(
            title="Budgets",
            panels=(
                Panel(
                    title="Webhooks turned away",
                    says="By the window looked at. The budget is 0.1 %; 1.44 % over an hour pages.",
                    unit="percentunit",
                    queries=tuple(
                        Query(expr=f"darkroom:webhooks_turned_away:ratio_rate{over}", legend=over)
                        for over in ("1h", "6h", "1d", "3d")
                    ),
                ),
                Panel(
                    title="Messages that die",
                    says="Over six hours, by queue. The budget is 0.1 %.",
                    unit="percentunit",
                    queries=one("darkroom:messages_dead:ratio_rate6h", "{{queue}}"),
                ),
                Panel(
                    title="Messages handled later than 30 s",
                    says="Over six hours, by queue. The budget is 1 %.",
                    unit="percentunit",
                    queries=one("darkroom:messages_late:ratio_rate6h", "{{queue}}"),
                ),
            ),
        ),
    ),
)

PIPELINE = Dashboard(
    uid="darkroom-pipeline",
    title="Darkroom: pipeline",
    says="One strip from order to report: where it waits, who works, what is at risk.",
    rows=(
        Row(
            title="Who waits where",
            panels=(
                Panel(
                    title="Messages ready",
                    says="In each queue, asked of the broker by the reconciler.",
                    queries=one("max by (queue) (darkroom_queue_messages_ready)", "{{queue}}"),
                ),
                Panel(
                    title="Age of messages when handled",
                    says="p99 by queue, from the fact to the end of its handling.",
                    unit="s",
                    queries=(quantiles("darkroom_message_age_seconds", "queue")[1],),
                ),
                Panel(
                    title="Consumers",
                    says="Who listens, in all processes.",
                    queries=one("max by (queue) (darkroom_queue_consumers)", "{{queue}}"),
                ),
            ),
        ),
        Row(
            title="Work",
            panels=(
                Panel(
                    title="Messages by how they ended",
                    says="A second: done, tried again, dead.",
                    unit="reqps",
                    queries=one(
                        f"sum by (queue, outcome) (rate(darkroom_messages_processed_total[{OVER}]))",
                        "{{queue}} {{outcome}}",
                    ),
                ),
                Panel(
                    title="Handling",
                    says="p99 by queue, without the waiting.",
                    unit="s",
                    queries=(quantiles("darkroom_message_processing_seconds", "queue")[1],),
                ),
                Panel(
                    title="In hand, and held",
                    says="Held: Postgres does not take what is done.",
                    queries=(
                        Query(
                            expr="sum by (queue) (darkroom_messages_in_progress)",
                            legend="{{queue}}",
                        ),
                        Query(
                            expr="sum by (queue) (darkroom_consumer_holding)",
                            legend="held {{queue}}",
                        ),
                        Query(
                            expr="max by (queue) (darkroom_consumer_stopped)",
                            legend="stopped {{queue}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            title="What is owed",
            panels=(
                Panel(
                    title="Oldest fact that is not published",
                    says="More than half a minute: the broker, or every relay, is away.",
                    unit="s",
                    queries=(
                        Query(expr="max(darkroom_outbox_oldest_age_seconds)", legend="oldest"),
                        Query(expr="max(darkroom_outbox_pending)", legend="how many"),
                    ),
                ),
                Panel(
                    title="Parked",
                    says="For their time (waiting) or for a person (dead).",
                    queries=one(
                        "max by (queue, state) (darkroom_parked_messages) > 0",
                        "{{queue}} {{state}}",
                    ),
                ),
                Panel(
                    title="Time until files are lost",
                    says="That are not ours yet; below 20 minutes pages.",
                    unit="s",
                    queries=one("min by (of) (darkroom_seconds_to_loss < +Inf)", "{{of}}"),
                ),
                Panel(
                    title="Laws of the audit that are broken",
                    says="`darkroom audit` says by what.",
                    queries=one("max by (law) (darkroom_audit_residual) != 0", "{{law}}"),
                ),
            ),
        ),
        Row(
            title="Storing",
            panels=(
                Panel(
                    title="Slots by what became of their files",
                    says="A second.",
                    unit="reqps",
                    queries=one(
                        f"sum by (outcome) (rate(darkroom_slots_stored_total[{OVER}]))",
                        "{{outcome}}",
                    ),
                ),
                Panel(
                    title="Downloads",
                    says="Files a second by outcome, and bytes.",
                    unit="short",
                    queries=(
                        Query(
                            expr=f"sum by (outcome) (rate(darkroom_downloads_total[{OVER}]))",
                            legend="{{outcome}}",
                        ),
                        Query(
                            expr=f"sum(rate(darkroom_downloaded_bytes_total[{OVER}])) / 1e6",
                            legend="MB/s",
                        ),
                    ),
                ),
                Panel(
                    title="Bucket",
                    says="p99 of its calls.",
                    unit="s",
                    queries=(quantiles("darkroom_bucket_call_seconds", "call")[1],),
                ),
                Panel(
                    title="What the reconciler put right",
                    says="A second. `brought_back` and `told` rise on a bad day, and fall again.",
                    unit="reqps",
                    queries=one(
                        f"sum by (what) (rate(darkroom_reconciler_healed_total[{OVER}]))",
                        "{{what}}",
                    ),
                ),
            ),
        ),
        Row(
            title="Processes",
            panels=(
                Panel(
                    title="Resident memory",
                    says="By service.",
                    unit="bytes",
                    queries=one(
                        'max by (service) (process_resident_memory_bytes{job="darkroom"})',
                        "{{service}}",
                    ),
                ),
                Panel(
                    title="Processor",
                    says="Seconds a second, by service.",
                    queries=one(
                        f'sum by (service) (rate(process_cpu_seconds_total{{job="darkroom"}}[{OVER}]))',
                        "{{service}}",
                    ),
                ),
                Panel(
                    title="How late the event loop comes back",
                    says="p99 by service: what blocks it holds up everything in the process.",
                    unit="s",
                    queries=(quantiles("darkroom_event_loop_lag_seconds", "service")[1],),
                ),
                Panel(
                    title="Database connections in use",
                    says="Of those that are allowed, by service.",
                    unit="percentunit",
                    queries=one(
                        "max by (service) (darkroom_database_connections_in_use)"
                        " / max by (service) (darkroom_database_connections_allowed)",
                        "{{service}}",
                    ),
                ),
            ),
        ),
    ),
)

MONEY = Dashboard(
    uid="darkroom-money",
    title="Darkroom: money",
    says="What is bought, what it costs, what was paid for nothing, and what the account still allows.",
    rows=(
        Row(
            title="Today",
            height=4,
            panels=(
                Panel(
                    title="Cost of ended jobs, a day",
                    says="As far as a price is known of the model.",
                    kind="stat",
                    unit="currencyUSD",
                    queries=one("sum(increase(darkroom_cost_dollars_total[1d]))"),
                ),
                Panel(
                    title="Saved by early ends, a day",
                    says="By the price of a typical run.",
                    kind="stat",
                    unit="currencyUSD",
                    queries=one("sum(increase(darkroom_saved_dollars_total[1d]))"),
                ),
                Panel(
                    title="Purchases in doubt",
                    says="Made, or not: the evidence is being looked for.",
                    kind="stat",
                    warn=1,
                    bad=20,
                    queries=one("max(darkroom_slots_in_doubt)"),
                ),
                Panel(
                    title="Paid twice, or unexplained",
                    says="By the audit, within its span.",
                    kind="stat",
                    warn=1,
                    bad=5,
                    queries=one(
                        "sum(max by (law) (darkroom_audit_residual"
                        '{law=~"prediction.bought_twice|prediction.unexplained"}))'
                    ),
                ),
                Panel(
                    title="Account",
                    says="1: the provider turns it away, and nothing is bought.",
                    kind="stat",
                    bad=1,
                    queries=one("max(darkroom_account_paused)"),
                ),
            ),
        ),
        Row(
            title="Buying",
            panels=(
                Panel(
                    title="Creates by how they were answered",
                    says="A second.",
                    unit="reqps",
                    queries=one(
                        f"sum by (outcome) (rate(darkroom_purchases_total[{OVER}]))", "{{outcome}}"
                    ),
                ),
                Panel(
                    title="Slots that wait to be bought",
                    says="Past their time, and how long the first one is.",
                    queries=(
                        Query(expr="max(darkroom_slots_due)", legend="slots"),
                        Query(
                            expr="max(darkroom_slots_due_oldest_age_seconds)",
                            legend="seconds of the first",
                        ),
                    ),
                ),
                Panel(
                    title="What is left of the limits",
                    says="Of calls that may be made at once. Near 0 for long: the limit is the pace.",
                    unit="percentunit",
                    queries=one("min by (calls) (darkroom_budget_left_ratio)", "{{calls}}"),
                ),
                Panel(
                    title="Calls of the provider's API",
                    says="A second, by what came of them.",
                    unit="reqps",
                    queries=one(
                        f"sum by (call, outcome) (rate(darkroom_replicate_calls_total[{OVER}]))",
                        "{{call}} {{outcome}}",
                    ),
                ),
            ),
        ),
        Row(
            title="Cost",
            panels=(
                Panel(
                    title="Dollars an hour",
                    says="Of ended jobs, by recipe.",
                    unit="currencyUSD",
                    stacked=True,
                    queries=one(
                        "sum by (recipe) (increase(darkroom_cost_dollars_total[1h]))", "{{recipe}}"
                    ),
                ),
                Panel(
                    title="Provider's time",
                    says="Seconds of prediction a second, by recipe.",
                    queries=one(
                        f"sum by (recipe) (rate(darkroom_predict_seconds_total[{OVER}]))",
                        "{{recipe}}",
                    ),
                ),
                Panel(
                    title="Of the day's cap",
                    says="What today's purchases count as, of what the recipe may cost a day.",
                    unit="percentunit",
                    queries=one(
                        "max by (recipe) (darkroom_cost_cap_counted_dollars)"
                        " / max by (recipe) (darkroom_cost_cap_dollars)",
                        "{{recipe}}",
                    ),
                ),
                Panel(
                    title="Spared",
                    says="Purchases that the early end of a job made unnecessary.",
                    unit="reqps",
                    queries=one(
                        f"sum by (how) (rate(darkroom_purchases_spared_total[{OVER}]))", "{{how}}"
                    ),
                ),
                Panel(
                    title="Paid for, and of no use",
                    says="Files that were gone, and predictions that nobody needed any more.",
                    unit="reqps",
                    queries=(
                        Query(
                            expr=f"sum(rate(darkroom_outputs_expired_total[{OVER}]))",
                            legend="expired",
                        ),
                        Query(
                            expr=f"sum(rate(darkroom_outputs_lost_total[{OVER}]))", legend="lost"
                        ),
                        Query(
                            expr=f"sum by (came_to) (rate(darkroom_unwanted_predictions_total[{OVER}]))",
                            legend="unwanted, {{came_to}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)

DASHBOARDS = (HEALTH, PIPELINE, MONEY)

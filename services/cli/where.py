"""Where a job's seconds went, drawn on a terminal."""

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from services.cli.job_words import LABELS
from services.cli.live import Tongue
from shared.domain.slowest import STAGES, about_clocks, sentence, told_span, where_from
from shared.domain.waterfall import Lane, Segment, Stage, Waterfall

BAR = 40  # characters for all of the job's time
SLOTS_DRAWN = 50  # the rest is told by --json
PROVIDERS = frozenset({Stage.PROVIDER_QUEUE, Stage.RUN, Stage.PROVIDER})
TROUBLE = frozenset(
    {
        *(Stage.TURNED_AWAY, Stage.DOUBT, Stage.LOST_ATTEMPT, Stage.AGAIN, Stage.WEBHOOK_AGAIN),
        *(Stage.SILENCE, Stage.HELD, Stage.REPEATED, Stage.TRIED, Stage.PARKED),
    }
)


def draw(fall: Waterfall, locale: Tongue) -> None:
    """Each slot's segments, one line each, on the scale of the whole job; the slowest slots where
    there are very many."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    say = LABELS[locale]
    whole = max((lane.ends for lane in fall.lanes), default=0.0)
    if fall.report is not None:
        whole = max(whole, fall.report.ends)
    console.print(Text(sentence(fall)[locale], style="bold"))
    console.print(Text(say.named_of.format(share=f"{fall.named:.2%}"), style="dim"))
    drawn = sorted(fall.lanes, key=lambda lane: -lane.ends)[:SLOTS_DRAWN]
    for lane in sorted(drawn, key=lambda lane: lane.ordinal):
        _draw_lane(console, lane, whole, locale)
    if len(drawn) < len(fall.lanes):
        console.print(say.more_slots.format(count=len(fall.lanes) - len(drawn)))
    if fall.report is not None:
        console.print()
        console.print(_line(fall.report, whole, locale))


def _draw_lane(console: Console, lane: Lane, whole: float, locale: Tongue) -> None:
    say = LABELS[locale]
    head = say.slot_took.format(
        ordinal=lane.ordinal,
        state=say.states.get(lane.state, lane.state),
        took=told_span(lane.seconds)[locale],
        share=f"{lane.named:.2%}",
    )
    console.print()
    console.print(Text(head, style="bold"))
    if (origin := where_from(lane)) is not None:
        console.print(Text(f"  {origin[locale]}", style="cyan"))
    for words in about_clocks(lane):
        console.print(Text(f"  {words[locale]}", style="yellow"))
    for segment in lane.segments:
        console.print(_line(segment, whole, locale))


def _line(segment: Segment, whole: float, locale: Tongue) -> Text:
    begins, ends = (_place(at, whole) for at in (segment.begins, segment.ends))
    bar = " " * begins + "█" * max(ends - begins, 1)
    took = told_span(segment.seconds)[locale]
    name = STAGES[segment.stage][locale]
    return Text.assemble(
        f"  {segment.begins:>9.3f}  {took}" + " " * max(10 - cell_len(took), 1),
        (bar[:BAR].ljust(BAR), _colour(segment.stage)),
        f"  {name}",
    )


def _place(at: float, whole: float) -> int:
    """On the bar; the shortest is drawn too, so nothing begins past its last character."""
    return 0 if whole <= 0 else min(round(at / whole * BAR), BAR - 1)


def _colour(stage: Stage) -> str:
    if stage is Stage.OTHER:
        return "red"
    if stage in TROUBLE:
        return "yellow"
    return "blue" if stage in PROVIDERS else "cyan"

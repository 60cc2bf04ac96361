"""``cio-sidecar delivery`` and ``cio-sidecar dead-letters``: an operator's commands."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click
import grpc
import orjson
from cio.sidecar.v1 import delivery_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from cio_sidecar.cli import delivery_format as show
from cio_sidecar.cli.client import CALL_SECONDS, calling
from cio_sidecar.cli.options import EXIT_REJECTED, EXIT_USAGE, Target, fail, target_option
from cio_sidecar.mapping.event import EVENT_TYPES
from cio_sidecar.mapping.running.transforms import unix_seconds

_PAGE_LETTERS: Final = 1000
_PLAIN_COLUMNS: Final = 160
"""How wide a table is where no terminal says."""

_Command = TypeVar("_Command", bound=Callable[..., Any])

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
_reveal_option = click.option("--reveal", is_flag=True, help="Show personal data as it is.")


def _filter_options(command: _Command) -> _Command:
    """Give a command the options that say which dead letters."""
    for option in (
        click.option("--name", "event_names", multiple=True, help="Name of the event."),
        click.option(
            "--type",
            "event_types",
            multiple=True,
            type=click.Choice(EVENT_TYPES),
            help="Type of the event.",
        ),
        click.option("--died-before", help="Died before that: ISO 8601 or Unix seconds."),
        click.option("--died-after", help="Died then or later: ISO 8601 or Unix seconds."),
        click.option(
            "--status", "statuses", multiple=True, type=click.IntRange(0, 999), help="HTTP status."
        ),
        click.option("--reason", default="", help="Words within the reason."),
        click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]..."),
    ):
        command = option(command)
    decorated: _Command = target_option(command)
    return decorated


def _filter(
    died_after: str | None, died_before: str | None, **given: Any
) -> delivery_pb2.DeadLetterFilter:
    return delivery_pb2.DeadLetterFilter(
        died_after=_moment("--died-after", died_after),
        died_before=_moment("--died-before", died_before),
        **given,
    )


def _moment(option: str, text: str | None) -> Timestamp | None:
    if text is None:
        return None
    seconds = unix_seconds(text)
    if not isinstance(seconds, int):
        what = f"{option}: expected an ISO 8601 date-time or Unix seconds, got {text!r}"
        fail(what, EXIT_USAGE)
    return Timestamp(seconds=seconds)


def _print_json(shown: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(shown) + b"\n")
    sys.stdout.buffer.flush()


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


@click.group()
def delivery() -> None:
    """Look after the delivery of a running sidecar.

    Exit 2 where an option can't be used, 3 where the sidecar can't be reached.
    """


@delivery.command()
@_json_option
@target_option
def stats(target: Target, as_json: bool) -> None:
    """Show what waits, what is in flight, and what happened since the start."""
    with calling(target) as stub:
        found = stub.GetStats(delivery_pb2.GetStatsRequest(), timeout=CALL_SECONDS)
    if as_json:
        _print_json(show.stats_json(found))
    else:
        _print(show.stats_lines(found))


@delivery.command()
@target_option
def pause(target: Target) -> None:
    """Pause delivery until `resume` or a restart; events are accepted and kept."""
    with calling(target) as stub:
        stub.Pause(delivery_pb2.PauseRequest(), timeout=CALL_SECONDS)
    click.echo("delivery is paused until cio-sidecar delivery resume, or a restart")


@delivery.command()
@click.option(
    "--accept-rejections",
    is_flag=True,
    help="Until the next delivery, make a dead letter of each event that Customer.io rejects: the "
    "circuit breaker does not open.",
)
@target_option
def resume(target: Target, accept_rejections: bool) -> None:
    """End a pause and any hold at once, and try everything that waits."""
    request = delivery_pb2.ResumeRequest(accept_rejections=accept_rejections)
    with calling(target) as stub:
        resumed = stub.Resume(request, timeout=CALL_SECONDS)
    _print(show.resumed_lines(resumed))


@delivery.command()
@_json_option
@_reveal_option
@target_option
def watch(target: Target, reveal: bool, as_json: bool) -> None:
    """Show what comes of each event as it happens, until Ctrl-C."""
    try:
        with calling(target) as stub:
            call = stub.WatchOutcomes(delivery_pb2.WatchOutcomesRequest(reveal=reveal))
            call.initial_metadata()
            click.echo("watching", err=True)
            for response in call:
                if response.dropped:
                    click.echo(f"{response.dropped:,} outcomes were missed", err=True)
                for outcome in response.outcomes:
                    if as_json:
                        _print_json(show.outcome_json(outcome))
                    else:
                        click.echo(show.outcome_line(outcome))
    except KeyboardInterrupt:
        return


@click.group("dead-letters")
def dead_letters() -> None:
    """Look at what Customer.io rejected permanently, send it again, or remove it.

    Personal data is masked unless --reveal is given. Exit 2 where an option can't be used or there
    is no such dead letter, 3 where the sidecar can't be reached or could not finish.
    """


@dead_letters.command("list")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many at most; 0 for all.",
)
@_json_option
@_reveal_option
@_filter_options
def list_dead_letters(
    target: Target, reveal: bool, as_json: bool, limit: int, **given: Any
) -> None:
    """List dead letters, in the order in which they were accepted."""
    request = delivery_pb2.ListDeadLettersRequest(filter=_filter(**given), reveal=reveal)
    left = limit or sys.maxsize
    more = False
    letters: list[delivery_pb2.DeadLetter] = []
    with calling(target) as stub:
        while left:
            request.page_size = min(left, _PAGE_LETTERS)
            page = stub.ListDeadLetters(request)
            left -= len(page.dead_letters)
            if as_json:
                for letter in page.dead_letters:
                    _print_json(show.letter_json(letter))
            else:
                letters.extend(page.dead_letters)
            request.page_token = page.next_page_token
            more = bool(page.next_page_token)
            if not more:
                break
    if not as_json:
        _print_table(letters)
    if more:
        click.echo(f"there may be more than these {limit:,}: see --limit", err=True)


def _print_table(letters: list[delivery_pb2.DeadLetter]) -> None:
    if not letters:
        click.echo("no dead letters")
        return
    width = None if sys.stdout.isatty() else _PLAIN_COLUMNS
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    console.print(show.letters_table(letters))


@dead_letters.command("show")
@click.argument("message_id")
@_json_option
@_reveal_option
@target_option
def show_dead_letter(target: Target, reveal: bool, as_json: bool, message_id: str) -> None:
    """Show a dead letter whole: the event, the request and the answer."""
    request = delivery_pb2.GetDeadLetterRequest(message_id=message_id, reveal=reveal)
    with calling(target) as stub:
        record = stub.GetDeadLetter(request).record
    if as_json:
        _print_json(show.record_json(record))
    else:
        _print(show.record_lines(record))


@dead_letters.command()
@click.option("--all", "every", is_flag=True, help="Every dead letter.")
@_json_option
@_reveal_option
@_filter_options
def replay(target: Target, reveal: bool, as_json: bool, every: bool, **given: Any) -> None:
    """Map dead letters again with the current tables, and put them back into the queue.

    Those that the tables reject stay. Exit 1 if there are any, or no dead letter has a MESSAGE_ID.
    """
    request = delivery_pb2.ReplayDeadLettersRequest(
        filter=_chosen(every, given), all=every, reveal=reveal
    )
    done = delivery_pb2.ReplayDeadLettersResponse()
    with calling(target) as stub:
        try:
            for done in stub.ReplayDeadLetters(request):
                for rejection in done.rejections:
                    if as_json:
                        _print_json(show.rejection_json(rejection))
                    else:
                        click.echo(show.rejection_line(rejection))
                for message_id in done.not_found:
                    if as_json:
                        _print_json(show.not_found_json(message_id))
                    else:
                        click.echo(show.not_found_line(message_id))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                _print_replayed(done, as_json)
            raise
    _print_replayed(done, as_json)
    if done.rejected or done.not_found:
        sys.exit(EXIT_REJECTED)


def _print_replayed(done: delivery_pb2.ReplayDeadLettersResponse, as_json: bool) -> None:
    counts = {"replayed": done.replayed, "dropped": done.dropped, "rejected": done.rejected}
    if as_json:
        _print_json(counts)
    else:
        click.echo(", ".join(f"{count:,} {what}" for what, count in counts.items()))


@dead_letters.command()
@click.option("--all", "every", is_flag=True, help="Every dead letter.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@_json_option
@_filter_options
def purge(target: Target, as_json: bool, yes: bool, every: bool, **given: Any) -> None:
    """Remove dead letters permanently."""
    request = delivery_pb2.PurgeDeadLettersRequest(filter=_chosen(every, given), all=every)
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            fail("purge removes events permanently: without a terminal, pass --yes", EXIT_USAGE)
        which = "every dead letter" if every else "the dead letters that these options find"
        click.confirm(f"Permanently remove {which}?", abort=True, err=True)
    with calling(target) as stub:
        purged = stub.PurgeDeadLetters(request).purged
    if as_json:
        _print_json({"purged": purged})
    else:
        click.echo(f"{purged:,} purged")


def _chosen(every: bool, given: dict[str, Any]) -> delivery_pb2.DeadLetterFilter:
    which = _filter(**given)
    empty = which == delivery_pb2.DeadLetterFilter()
    if empty and not every:
        fail("say which dead letters: message ids, options such as --status, or --all", EXIT_USAGE)
    if every and not empty:
        fail("--all and options that choose exclude each other: give one of them", EXIT_USAGE)
    return which


@dead_letters.command()
@click.option(
    "--events",
    is_flag=True,
    help="The events alone, as they were accepted, personal data included: for `send`.",
)
@_reveal_option
@_filter_options
def export(target: Target, reveal: bool, events: bool, **given: Any) -> None:
    """Write dead letters whole to standard output, one JSON object per line; all by default."""
    request = delivery_pb2.ExportDeadLettersRequest(
        filter=_filter(**given), reveal=reveal or events
    )
    output = sys.stdout.buffer
    with calling(target) as stub:
        for response in stub.ExportDeadLetters(request):
            if events:
                output.write(response.record.event + b"\n")
            else:
                output.write(orjson.dumps(show.record_json(response.record)) + b"\n")
    output.flush()

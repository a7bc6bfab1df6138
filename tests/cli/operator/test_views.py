"""What people are shown: refusals with all they say, status, listings, changes."""

import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import cast, get_args

import pytest
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from licensemaster.v1 import lease_pb2, project_pb2, seat_pb2, status_pb2
from master.cli.operator.monitoring.explain import Kind, holder_kind, print_explanation
from master.cli.operator.monitoring.listings import (
    LEASE_STYLES,
    State,
    details_text,
    events_view,
    lease_state,
    leases_view,
    seats_view,
)
from master.cli.operator.monitoring.past_moment import past_moment
from master.cli.operator.monitoring.seat_result_view import result_view
from master.cli.operator.monitoring.status import ROWS_SHOWN_MAX, status_view
from master.cli.operator.projects.changes_view import CHANGES_SHOWN_MAX, print_changes
from master.cli.output.enum_names import in_words, short_names
from master.cli.output.paging import PAGE_SIZE_MAX, join_pages
from master.cli.output.rendering import add_row, day_there, json_object, moment, print_json, table
from tests.cli.screen import plain_console, rendered, shown

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SEAT = seat_pb2.Seat(license_type="port", holder_kind=seat_pb2.HOLDER_KIND_USER, holder="user-99")


def at(seconds: float) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(NOW + timedelta(seconds=seconds))
    return timestamp


def refusal() -> seat_pb2.Refusal:
    return seat_pb2.Refusal(
        reason=seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED,
        rules=["A1", "E1"],
        message="all 1,200 PBX-Port licenses are in use",
        license_type="port",
        device="box-hq",
        capacity=1200,
        in_use=1199,
        wanted=2,
        top_holders=[seat_pb2.TopHolder(pbx="projects/acme/pbxs/berlin", site="berlin-site", seats=700)],
        licenses=[seat_pb2.LicenseRef(license="ports-old", type="PBX-Port10", quantity=100, device="box-hq")],
        seats=[seat_pb2.Seat(license_type="video", holder_kind=seat_pb2.HOLDER_KIND_USER, holder="bert")],
        remedy=seat_pb2.Remedy(
            action=seat_pb2.REMEDY_ACTION_ADD_LICENSES, license_type="port", quantity=1, text="install one more"
        ),
    )


def test_a_refusal_is_shown_whole() -> None:
    screen = rendered(result_view("port for user-99", seat_pb2.SeatResult(refused=refusal())))
    for said in [
        "● refused  port for user-99",
        "all 1,200 PBX-Port licenses are in use",
        "pool exhausted",
        "A1, E1",
        "1,200 installed · 1,199 in use · 2 wanted",
        "berlin-site",
        "700",
        "ports-old",
        "PBX-Port10",
        "user bert",
        "→ install one more",
    ]:
        assert said in screen
    assert screen.index("pool exhausted") < screen.index("berlin-site") < screen.index("→ install one more")


def test_what_is_in_use_is_shown_where_it_is_told() -> None:
    limited = seat_pb2.Refusal(reason=seat_pb2.REFUSAL_REASON_VERSION_LIMIT, device="box-hq", capacity=1200)
    screen = rendered(result_view("port for user-99", seat_pb2.SeatResult(refused=limited)))
    assert "1,200 installed" in screen
    assert "in use" not in screen


@pytest.mark.parametrize("reason", seat_pb2.RefusalReason.values())
def test_every_reason_has_words(reason: seat_pb2.RefusalReason.ValueType) -> None:
    bare = seat_pb2.SeatResult(refused=seat_pb2.Refusal(reason=reason))
    assert in_words(seat_pb2.RefusalReason.DESCRIPTOR, reason) in rendered(result_view("x", bare))


def test_a_reason_of_a_newer_master_is_shown_by_number() -> None:
    newer = seat_pb2.SeatResult()
    newer.MergeFromString(b"\x12\x02\x08\x63")  # refused { reason: 99 }
    assert "reason  99" in rendered(result_view("x", newer))


def test_each_way_stands_by_itself_and_long_lists_say_what_is_left_out() -> None:
    bad = refusal()
    bad.remedy.ways.add(text="bind one more")
    bad.remedy.ways.add(text="wait for one")
    bad.licenses_total = 1 + len(bad.licenses)
    screen = rendered(result_view("x", seat_pb2.SeatResult(refused=bad)))
    assert "→ bind one more" in screen
    assert "  or wait for one" in screen
    assert "and 1 more; --json lists them" in screen


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        (seat_pb2.Grant(basis=seat_pb2.BASIS_DEBITED, device="box"), "one license debited on box"),
        (seat_pb2.Grant(basis=seat_pb2.BASIS_INCLUDED, included_in="uc"), "included in uc"),
        (seat_pb2.Grant(basis=seat_pb2.BASIS_NOT_NEEDED), "no license needed"),
        (seat_pb2.Grant(already_held=True), "holds this seat already"),
        (seat_pb2.Grant(reassignable=True), "floating"),
    ],
)
def test_a_grant_says_what_it_costs(grant: seat_pb2.Grant, said: str) -> None:
    screen = rendered(result_view("x", seat_pb2.SeatResult(granted=grant)))
    assert "● granted" in screen
    assert said in screen


def test_names_are_neither_markup_nor_control_sequences() -> None:
    hostile = "[red]\x1b[31m\x07\u202e:smile:"
    bad = refusal()
    bad.message = bad.remedy.text = bad.top_holders[0].site = bad.licenses[0].license = hostile
    for screen in (
        rendered(result_view(hostile, seat_pb2.SeatResult(refused=bad))),
        rendered(events_view([status_pb2.Event(kind=hostile, details=hostile)])),
        rendered(status_view(status_pb2.GetStatusResponse(project=hostile, pools=[status_pb2.Pool(device=hostile)]))),
    ):
        assert "\x1b" not in screen
        assert "\x07" not in screen
        assert "\u202e" not in screen
        assert r"[red]\x1b[31m\x07\u202e:smile:" in screen


def test_an_explanation_tells_the_lease_and_the_way() -> None:
    console = plain_console()
    response = status_pb2.ExplainSeatsResponse(
        results=[seat_pb2.SeatResult(granted=seat_pb2.Grant(basis=seat_pb2.BASIS_NOT_NEEDED))],
        lease=status_pb2.LeaseStatus(state=status_pb2.LEASE_STATE_CLOSED, software_version="12r1", end_time=at(-90)),
        reasoning=["oslo draws on the pool of hq", "and so on"],
    )
    print_explanation(SEAT, "projects/acme/pbxs/oslo", response, console, NOW)
    screen = shown(console)
    assert "port for user user-99 at oslo" in screen
    assert "Lease  closed · running 12r1 · ends 90 s ago" in screen
    assert "only under an active or overdue lease" in screen
    assert "Why    oslo draws on the pool of hq\n       and so on" in screen


def test_holder_kinds_and_lease_states_are_complete() -> None:
    kinds = {kind.replace("-", "_"): holder_kind(kind) for kind in get_args(Kind)}
    assert kinds == short_names(seat_pb2.HolderKind.DESCRIPTOR)
    states = {state: lease_state(state) for state in get_args(State)}
    assert states == short_names(status_pb2.LeaseState.DESCRIPTOR)
    assert set(LEASE_STYLES) == set(states.values())


def test_status_at_a_glance() -> None:
    pools = [
        status_pb2.Pool(
            device="box",
            license_type="port",
            display_name="PBX-Port",
            capacity=60,
            used=60,
            central=True,
            feature_on=True,
        ),
        status_pb2.Pool(device="box", license_type="voicemail", display_name="PBX-Voicemail", capacity=5, central=True),
        status_pb2.Pool(
            device="vm", license_type="ipva", display_name="PBX-IPVA", capacity=20, free=20, feature_on=True
        ),
    ]
    response = status_pb2.GetStatusResponse(
        project="projects/acme",
        revision=7,
        pools=pools,
        version_limits=[
            status_pb2.VersionLimit(
                device="box",
                version=10,
                licenses=[seat_pb2.LicenseRef(type=f"PBX-T{n}", quantity=n) for n in range(5)],
                pbxs_above=["projects/acme/pbxs/oslo"],
            )
        ],
        usage=[
            *(status_pb2.SiteUsage(site="oslo", license_type=f"type-{n}", seats=n) for n in range(1, 9)),
            status_pb2.SiteUsage(site="rome", license_type="port", seats=60),
        ],
        lease_counts=[
            status_pb2.LeaseCount(state=status_pb2.LEASE_STATE_NONE, pbxs=2),
            status_pb2.LeaseCount(state=status_pb2.LEASE_STATE_OVERDUE, pbxs=1),
        ],
    )
    screen = rendered(status_view(response))
    for said in ["acme", "revision 7", "● 2 without a lease", "● 1 overdue", "feature off", "own box", "V10"]:
        assert said in screen
    assert "0 PBX-T0, 1 PBX-T1, 2 PBX-T2 and 2 more" in screen
    assert screen.index("rome") < screen.index("oslo", screen.index("Seats by site"))
    assert "Others" in screen


def test_status_stays_on_one_screen_unless_asked() -> None:
    usage = [status_pb2.SiteUsage(site=f"site-{n}", license_type="port", seats=n) for n in range(1, 41)]
    response = status_pb2.GetStatusResponse(usage=usage)
    assert f"... and {40 - ROWS_SHOWN_MAX} more sites (--all)" in rendered(status_view(response))
    assert "site-1 " in rendered(status_view(response, show_all=True))


def test_status_of_nothing() -> None:
    screen = rendered(status_view(status_pb2.GetStatusResponse()))
    assert "no PBXs" in screen
    assert "no licenses are bound" in screen


def test_listings() -> None:
    lease = status_pb2.LeaseStatus(
        pbx="projects/acme/pbxs/oslo",
        state=status_pb2.LEASE_STATE_OVERDUE,
        epoch=3,
        renew_time=at(-13),
        end_time=at(300),
        seats=1400,
        notices=[lease_pb2.Notice(kind=lease_pb2.NOTICE_KIND_VERSION_LIMIT)],
    )
    gone = status_pb2.LeaseStatus(pbx="rome", state=status_pb2.LEASE_STATE_EXPIRED, end_time=at(-7300))
    screen = rendered(leases_view([lease, gone, status_pb2.LeaseStatus(pbx="new")], NOW))
    for said in ["overdue", "13 s ago", "for 5 min", "1,400", "version limit", "ended 2 h ago"]:
        assert said in screen
    seat = status_pb2.HeldSeat(
        pbx="projects/acme/pbxs/oslo",
        seat=seat_pb2.Seat(license_type="webrtc", holder_kind=seat_pb2.HOLDER_KIND_CHANNEL, holder="7", user="anna"),
        basis=seat_pb2.BASIS_INCLUDED,
        included_in="uc",
        acquire_time=at(-60 * 60 * 72),
    )
    screen = rendered(seats_view([seat], NOW))
    for said in ["channel 7 for anna", "included in uc", "3 d"]:
        assert said in screen


def test_details_of_events_fit_a_line() -> None:
    assert details_text('{"seats": 3, "by": "", "who": ["a"], "changes": ["%s"]}' % ('x", "' * 100)) == (
        f"seats 3 · who a · changes {', '.join(['x'] * 20)} and 81 more"
    )
    for other in ("", "no JSON", "[1, 2]"):
        assert details_text(other) == other


def test_changes_are_marked_and_cut_short() -> None:
    many = CHANGES_SHOWN_MAX + 5
    add, change, remove = (
        project_pb2.CHANGE_ACTION_ADD,
        project_pb2.CHANGE_ACTION_CHANGE,
        project_pb2.CHANGE_ACTION_REMOVE,
    )
    response = project_pb2.ApplyProjectResponse(
        changes=[
            *(project_pb2.Change(action=add, kind="device", name=f"device-{n}") for n in range(many)),
            project_pb2.Change(
                action=change, kind="license", name="ports", before="60 PBX-Port12", after="80 PBX-Port12"
            ),
            project_pb2.Change(action=remove, kind="pbx", name="oslo", before="slave"),
        ],
        warnings=["oslo runs 13r1"],
    )
    console = plain_console()
    print_changes(response, console)
    screen = shown(console)
    assert "... 5 more (--all)" in screen
    assert f"device-{many - 1}" not in screen
    marks = [line[0] for line in screen.splitlines() if line[:1] in "+~-"]
    assert marks == ["-", *["+"] * (CHANGES_SHOWN_MAX + 1), "~"], "what goes first"
    assert "warning: oslo runs 13r1" in screen
    console = plain_console()
    print_changes(response, console, show_all=True)
    assert f"device-{many - 1}" in shown(console)
    console = plain_console()
    print_changes(project_pb2.ApplyProjectResponse(), console)
    assert shown(console) == "nothing to change\n"


def test_json_is_stable_and_its_numbers_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    response = status_pb2.ExplainSeatsResponse(results=[seat_pb2.SeatResult(refused=refusal())])
    print_json(response)
    parsed = json.load(io.StringIO(capsys.readouterr().out))
    refused = parsed["results"][0]["refused"]
    assert refused["reason"] == "REFUSAL_REASON_POOL_EXHAUSTED"
    assert refused["capacity"] == 1200
    assert refused["top_holders"] == [{"pbx": "projects/acme/pbxs/berlin", "site": "berlin-site", "seats": 700}]
    assert refused["remedy"]["version"] == ""
    assert json_object(status_pb2.Pool())["capacity"] == 0
    assert json_object(status_pb2.Event(time=at(0)))["time"] == "2026-11-21T12:00:00Z"


@pytest.mark.parametrize(
    ("limit", "expected", "asked", "token"),
    [
        (0, 2500, [1000, 1000, 1000], ""),
        (100, 100, [100], "100"),
        (1500, 1500, [1000, 500], "1500"),
        (2500, 2500, [1000, 1000, 500], ""),
        (9999, 2500, [1000, 1000, 1000], ""),
    ],
)
def test_pages_are_followed_up_to_the_limit(limit: int, expected: int, asked: list[int], token: str) -> None:
    everything = [str(number) for number in range(2500)]
    sizes: list[int] = []

    def ask(request: project_pb2.ListProjectsRequest) -> project_pb2.ListProjectsResponse:
        sizes.append(request.page_size)
        start = int(request.page_token or 0)
        end = start + request.page_size
        following = str(end) if end < len(everything) else ""
        return project_pb2.ListProjectsResponse(names=everything[start:end], next_page_token=following)

    answer = join_pages(ask, project_pb2.ListProjectsRequest(), limit)
    assert list(answer.names) == everything[:expected]
    assert sizes == asked
    assert max(sizes) <= PAGE_SIZE_MAX
    assert answer.next_page_token == token


def _narrow(width: int) -> str:
    shown = table("PBX", "Epoch", "Software", "Nothing", "Notices", numbers=["Epoch"])
    add_row(shown, "headquarters-01", 1_764_105_154_001, "12r1 sr4", "", "drains until the evening")
    add_row(shown, "berlin", 7, "12r1", "", "")
    console = Console(width=width, file=io.StringIO())
    console.print(shown)
    return cast(io.StringIO, console.file).getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_terminal_is_so_narrow_that_a_table_breaks_a_word(width: int) -> None:
    printed = _narrow(width)
    for word in ("headquarters-01", "1,764,105,154,001", "12r1", "evening", "Epoch", "Software", "berlin"):
        assert word in printed, printed
    assert max(len(line) for line in printed.splitlines()) <= width


def test_a_table_without_room_loses_empty_columns_first_and_then_stands_row_by_row() -> None:
    assert "Nothing" in _narrow(120)
    assert "Nothing" not in _narrow(62)
    assert len([line for line in _narrow(62).splitlines() if "Epoch" in line]) == 1
    assert len([line for line in _narrow(40).splitlines() if line.startswith("Epoch")]) == 2


def test_ends_are_days_of_the_projects_time_zone() -> None:
    midnight = Timestamp()
    midnight.FromJsonString("2027-11-21T23:00:00Z")
    assert day_there(midnight, "Europe/Berlin") == "2027-11-22 (Europe/Berlin)"
    assert day_there(midnight, "") == "2027-11-21 23:00:00 (UTC)"


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "<+99>-99"])
def test_the_last_second_of_the_calendar_is_shown_in_any_time_zone(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    never = Timestamp()
    never.FromJsonString("9999-12-31T23:59:59Z")
    assert day_there(never, "Asia/Kathmandu").startswith("9999-12-31")
    with monkeypatch.context() as context:
        context.setenv("TZ", zone)
        time.tzset()
        assert moment(never) == "9999-12-31 23:59:59"
    time.tzset()


def test_details_of_events_say_which() -> None:
    moved = '{"results": [{"license": "ports-v10", "before": {}}, {"license": "uc"}], "warnings": []}'
    assert details_text(moved) == "results ports-v10, uc"
    many = json.dumps({"types": {"port": [f"user-{number:03}" for number in range(100)]}})
    assert details_text(many).startswith("types port user-000, user-001, ")
    assert details_text(many).endswith(" more")
    assert len(details_text(many)) < 100


@pytest.mark.parametrize("text", ["yesterday", "", "2h ago", "1969-12-31", "2026-13-01", "\uff19d", "999999w"])
def test_no_moment(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no moment; write it like"):
        past_moment(text)


def test_moments_in_the_past() -> None:
    assert past_moment("2026-11-25T14:30+01:00") == datetime(2026, 11, 25, 13, 30, tzinfo=UTC)
    assert past_moment(" 2026-11-25 ").astimezone().isoformat().startswith("2026-11-25T00:00:00")
    now = datetime.now(UTC)
    assert timedelta(hours=2) <= now - past_moment("2h") + timedelta(minutes=1)
    assert timedelta(days=7) <= now - past_moment("7 d") + timedelta(minutes=1)

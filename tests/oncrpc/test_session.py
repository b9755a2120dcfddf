"""The core of at-most-once sessions against a plain model, which must find planted mistakes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncrpc.call import Once, Peer
from oncrpc.errors import AuthError, AuthStat
from oncrpc.message import SessionAuth
from oncrpc.session import Session, Sessions, State, Window
from oncrpc.session_client import Numbers
from oncrpc.testing import Capture

#: What happens, and to which of those that it may happen to.
Ops: TypeAlias = Sequence[tuple[str, int]]

WINDOW, LAG, OWED = 6, 3, 2


def pick(choices: Collection[Any], number: int) -> Any:
    return sorted(choices)[number % len(choices)]


# One session

ONE = ("begin", "begin", "deliver", "deliver", "finish", "reply", "give up")


def one_session(
    ops: Ops,
    window: Callable[[], Window] = Window,
    numbers: Callable[[int, int, int], Numbers] = Numbers,
) -> None:
    """A client's calls, sent and sent again in any order, against sets without bounds."""
    server, client = window(), numbers(WINDOW, LAG, OWED)
    sent: list[tuple[int, int, list[int]]] = []
    waiting: set[int] = set()
    # The model: what was executed, what is being executed, what the server was told of.
    running: set[int] = set()
    done: set[int] = set()
    over: set[int] = set()
    for op, number in ops:
        if op == "begin" and not client.full:
            sent.append(client.begin())
            waiting.add(sent[-1][0])
            assert sent[-1][0] - sent[-1][1] <= WINDOW
        elif op == "deliver" and sent:
            seq, seq_rep, owed = sent[number % len(sent)]
            over |= {n for n in range(1, seq_rep + 1) if n not in owed}
            running -= over
            expected = (
                State.FORGOTTEN if seq in over
                else State.INPROGRESS if seq in running
                else State.DONE if seq in done
                else State.NEW
            )  # fmt: skip
            state = server.checkduplicate_and_update(seq, seq_rep, owed)
            assert state is expected
            assert not (state is State.FORGOTTEN and seq in waiting)
            if state is State.NEW:
                server.running[seq] = object()  # type: ignore[assignment]
                running.add(seq)
        elif op == "finish" and running:
            seq = pick(running, number)
            server.finish(seq, b"%d" % seq, seq)
            running.remove(seq)
            done.add(seq)
        elif op in {"reply", "give up"} and waiting:
            seq = pick(waiting, number)
            if op == "give up" or seq in done:
                waiting.remove(seq)
                client.end(seq)
        assert set(server.replies) == done - over
        assert set(server.running) == running
        assert not server.gone
        assert len(server.replies) <= WINDOW + OWED
        assert len(server.owed) <= OWED
        assert server.bytes == sum(len(reply) for reply, _ in server.replies.values())
    for seq in list(waiting):
        client.end(seq)
    server.checkduplicate_and_update(*client.begin())
    assert not server.replies and not server.running and not server.owed


def any_ops(kinds: Sequence[str]) -> st.SearchStrategy[list[tuple[str, int]]]:
    op = st.tuples(st.sampled_from(kinds), st.integers(0, 1000))
    return st.lists(op, min_size=20, max_size=150)


@given(any_ops(ONE))
@settings(max_examples=300, deadline=None)
def test_one_session_is_what_its_model_is(ops: list[tuple[str, int]]) -> None:
    one_session(ops)


def random_ops(seed: int, kinds: Sequence[str]) -> Ops:
    rng = random.Random(seed)
    return [(rng.choice(kinds), rng.randrange(1000)) for _ in range(150)]


def found(run: Callable[[Ops], object], kinds: Sequence[str], seeds: int = 100) -> bool:
    for seed in range(seeds):
        try:
            run(random_ops(seed, kinds))
        except AssertionError:
            return True
    return False


class FinishedTooFew(Window):
    def finished(self, seq: int) -> bool:
        return seq < self.floor and seq not in self.owed


class FinishedTooMany(Window):
    def finished(self, seq: int) -> bool:
        return seq <= self.floor + 1 and seq not in self.owed


class ForgottenIsNew(Window):
    def checkduplicate_and_update(self, *args: Any) -> State:
        state = super().checkduplicate_and_update(*args)
        return State.NEW if state is State.FORGOTTEN else state


class OwedIgnored(Window):
    def acknowledge(self, seq_rep: int, owed: Collection[int] = ()) -> None:
        super().acknowledge(seq_rep)


class OwedTwice(Window):
    """A late message makes calls wait again that are over."""

    def acknowledge(self, seq_rep: int, owed: Collection[int] = ()) -> None:
        super().acknowledge(seq_rep, owed)
        self.owed = self.owed | {seq for seq in owed if seq <= self.floor}


class GoesBack(Window):
    """A late message takes back what was acknowledged."""

    def acknowledge(self, seq_rep: int, owed: Collection[int] = ()) -> None:
        super().acknowledge(seq_rep, owed)
        self.floor = seq_rep


class NothingFreed(Window):
    def acknowledge(self, seq_rep: int, owed: Collection[int] = ()) -> None:
        replies = dict(self.replies)
        super().acknowledge(seq_rep, owed)
        self.replies = replies


class NothingAcknowledged(Window):
    def acknowledge(self, seq_rep: int, owed: Collection[int] = ()) -> None:
        pass


class DoneIsForgotten(Window):
    def finish(self, seq: int, reply: bytes, check: int) -> None:
        super().finish(seq, reply, check)
        self.forget_reply()


class RunningIsNotKnown(Window):
    def checkduplicate_and_update(self, *args: Any) -> State:
        state = super().checkduplicate_and_update(*args)
        return State.NEW if state is State.INPROGRESS else state


@pytest.mark.parametrize(
    "mistaken",
    [
        FinishedTooFew, FinishedTooMany, ForgottenIsNew, OwedIgnored, OwedTwice, GoesBack,
        NothingFreed, NothingAcknowledged, DoneIsForgotten, RunningIsNotKnown,
    ],
)  # fmt: skip
def test_a_mistaken_server_is_found(mistaken: type[Window]) -> None:
    assert found(lambda ops: one_session(ops, mistaken), ONE)


class AcknowledgesItself(Numbers):
    def acknowledgement(self) -> tuple[int, list[int]]:
        seq_rep, owed = super().acknowledgement()
        return seq_rep + 1, owed


class AcknowledgesLess(Numbers):
    """It would never come to an end of what it has to acknowledge."""

    def acknowledgement(self) -> tuple[int, list[int]]:
        seq_rep, owed = super().acknowledgement()
        return max(seq_rep - 1, 0), owed


class OwesNothing(Numbers):
    def acknowledgement(self) -> tuple[int, list[int]]:
        return super().acknowledgement()[0], []


class OwesTooMuch(Numbers):
    def acknowledgement(self) -> tuple[int, list[int]]:
        return self.next - 1, list(self._waiting)


class NeverFull(Numbers):
    full = False


@pytest.mark.parametrize(
    "mistaken", [AcknowledgesItself, AcknowledgesLess, OwesNothing, OwesTooMuch, NeverFull]
)
def test_a_mistaken_client_is_found(mistaken: type[Numbers]) -> None:
    assert found(lambda ops: one_session(ops, numbers=mistaken), ONE)


def test_the_right_ones_pass() -> None:
    assert not found(one_session, ONE)


def test_calls_that_wait_long_do_not_hold_up_the_others() -> None:
    client = Numbers(64, 8, 2)
    first, second = client.begin(), client.begin()
    assert (first, second) == ((1, 0, []), (2, 0, []))
    for _ in range(1000):
        assert not client.full
        client.end(client.begin()[0])
    assert client.begin() == (1003, 1002, [1, 2])
    client.end(1)
    for _ in range(1000):
        assert not client.full
        client.end(client.begin()[0])
    assert client.begin() == (2004, 2003, [2, 1003])
    # One more that waits is one too many: the client stops at its window.
    while not client.full:
        client.end(client.begin()[0])
    assert client.next == 2004 + 64


def test_without_room_the_first_calls_are_forgotten_but_not_those_in_progress() -> None:
    window = Window()
    for seq in (5, 2, 9, 3):
        assert window.checkduplicate_and_update(seq, 0) is State.NEW
        window.running[seq] = object()  # type: ignore[assignment]
    for seq in (5, 9, 3):
        window.finish(seq, b"reply", 0)
    window.shrink(1)
    states = [window.checkduplicate_and_update(seq, 0) for seq in (1, 2, 3, 4, 5, 6, 9)]
    forgotten, new = State.FORGOTTEN, State.NEW
    done, running = State.DONE, State.INPROGRESS
    assert states == [forgotten, running, forgotten, forgotten, forgotten, new, done]
    window.finish(2, b"reply", 0)
    assert window.checkduplicate_and_update(2, 0) is done


# All sessions

MANY = (
    "bind", "bind", "call", "call", "call", "call", "deliver", "deliver", "deliver", "bind again",
    "finish", "finish", "take", "take", "forget", "restart",
)  # fmt: skip
LIMITS: dict[str, Any] = {
    "window": 4,
    "session_bytes": 40,
    "reply_bytes": 100,
    "most": 6,
    "most_per_host": 4,
}


def many_sessions(ops: Ops, make: type[Sessions] = Sessions) -> Sessions:
    """Clients of two hosts, every message as late as may be, a server that restarts: no call is
    executed twice, and what is kept stays within its bounds."""
    starts = 0
    sessions = make(start=starts.to_bytes(8), **LIMITS)
    binds: list[tuple[bytes, str]] = []
    live: dict[bytes, tuple[bytes, Numbers]] = {}
    calls: list[SessionAuth] = []
    running: list[Once] = []
    executed: Counter[tuple[bytes, int]] = Counter()
    for op, number in ops:
        if op == "bind":
            nonce, host = len(binds).to_bytes(16), f"host {number % 2}"
            binds.append((nonce, host))
            live[nonce] = sessions.bind(nonce, host).server, Numbers(4, 2, 1)
        elif op == "bind again" and binds:
            sessions.bind(*binds[number % len(binds)])
        elif op == "call" and live:
            nonce = pick(live, number)
            server, numbers = live[nonce]
            if not numbers.full:
                calls.append(SessionAuth(nonce, server, *numbers.begin()))
        elif op == "take" and live:
            numbers = live[pick(live, number)][1]
            if numbers._waiting:
                numbers.end(pick(numbers._waiting, number))
        elif op == "finish" and running:
            running.pop(number % len(running)).send([bytes(4 + number % 50)])
        elif op == "forget" and running and number % 4 == 0:
            once = running.pop(number % len(running))
            kept = once.session.running.get(once.seq) is once  # type: ignore[attr-defined]
            once.forget()
            if kept:
                executed[once.session.client, once.seq] -= 1  # type: ignore[attr-defined]
        elif op == "restart" and number % 8 == 0:
            starts += 1
            sessions, running = make(start=starts.to_bytes(8), **LIMITS), []
        elif op == "deliver" and calls:
            auth = calls[number % len(calls)]
            try:
                begun = sessions.begin(auth, number, auth.seq, Capture())
            except AuthError as exc:
                assert exc.stat in {AuthStat.REJECTEDCRED, AuthStat.REJECTEDVERF}
                begun = None
            if isinstance(begun, Once):
                executed[auth.client, auth.seq] += 1
                assert executed[auth.client, auth.seq] == 1
                running.append(begun)
        check_bounds(sessions)
    return sessions


def check_bounds(sessions: Sessions) -> None:
    table: list[Session] = list(sessions._sessions.values())
    assert len(sessions) <= LIMITS["most"]
    assert sessions.bytes == sum(session.bytes for session in table) <= LIMITS["reply_bytes"]
    assert max(Counter(session.host for session in table).values(), default=0) <= 4
    assert set(sessions._holding) == {session for session in table if session.replies}
    assert sum(map(len, sessions._hosts.values())) == len(table)
    for session in table:
        assert session.bytes == sum(len(reply) for reply, _ in session.replies.values()) <= 40
        assert len(session.replies) + len(session.gone) <= 4 + 32
        assert not any(session.finished(seq) for seq in session.gone)


@given(any_ops(MANY))
@settings(max_examples=300, deadline=None)
def test_no_call_of_any_session_is_executed_twice(ops: list[tuple[str, int]]) -> None:
    many_sessions(ops)


def test_the_random_histories_come_to_every_case() -> None:
    total: Counter[str] = Counter()
    for seed in range(100):
        count = many_sessions(random_ops(seed, MANY)).statistics
        total.update({name: getattr(count, name) for name in count.__slots__})
    assert not total.pop("mistaken")
    assert all(total.values()), total


class StartNotCompared(Sessions):
    def checkduplicate_and_update(self, auth: SessionAuth) -> tuple[State, Session]:
        return super().checkduplicate_and_update(
            auth._replace(server=self._start + auth.server[8:])
        )


class NonceNotCompared(Sessions):
    def checkduplicate_and_update(self, auth: SessionAuth) -> tuple[State, Session]:
        session = self._sessions.get(auth.client)
        return super().checkduplicate_and_update(
            auth._replace(server=session.server) if session else auth
        )


class OneNonceForAll(Sessions):
    def bind(self, client: bytes, host: str) -> Any:
        self._binds = 0
        return super().bind(client, host)


class BindsByCalling(Sessions):
    """As if the first call made the session: a late one of a forgotten session would."""

    def checkduplicate_and_update(self, auth: SessionAuth) -> tuple[State, Session]:
        server = self.bind(auth.client, "host 0").server
        return super().checkduplicate_and_update(auth._replace(server=server))


class LetGoIsNew(Sessions):
    """The server lets a reply go, and with it that its call was executed."""

    def _let_go(self, session: Session) -> None:
        super()._let_go(session)
        session.gone.clear()


@pytest.mark.parametrize(
    "mistaken",
    [StartNotCompared, NonceNotCompared, OneNonceForAll, BindsByCalling, LetGoIsNew],
)
def test_mistaken_sessions_are_found(mistaken: type[Sessions]) -> None:
    assert found(lambda ops: many_sessions(ops, mistaken), MANY, 500)
    assert not found(many_sessions, MANY)


@pytest.mark.parametrize("limit", ["most", "most_per_host"])
def test_the_session_that_has_called_least_recently_is_forgotten(limit: str) -> None:
    limits: dict[str, Any] = {limit: 2}
    sessions = Sessions(start=bytes(8), **limits)
    first, second, third = (bytes([n]) * 16 for n in range(3))
    server = sessions.bind(first, "a").server
    sessions.bind(second, "a")
    once = sessions.begin(SessionAuth(first, server, 1, 0), 1, 0, Capture())
    assert isinstance(once, Once)
    once.send([b"....reply"])
    sessions.bind(third, "a")
    assert set(sessions._sessions) == {first, third}


def test_a_client_that_acknowledges_nothing_has_its_first_calls_forgotten() -> None:
    sessions = Sessions(start=bytes(8), window=4)
    server = sessions.bind(b"n" * 16, "a").server
    for seq in range(1, 1000):
        once = sessions.begin(SessionAuth(b"n" * 16, server, seq, 0), 1, 0, Capture())
        assert isinstance(once, Once)
        once.send([b"....reply"])
    assert sessions.bytes == (4 + 32) * 9
    for seq in (1, 999 - 4 - 32):
        with pytest.raises(AuthError):
            sessions.begin(SessionAuth(b"n" * 16, server, seq, 0), 1, 0, Capture())
    assert sessions.begin(SessionAuth(b"n" * 16, server, 999 - 4 - 31, 0), 1, 0, Capture())


def test_a_session_with_calls_in_progress_keeps_its_place() -> None:
    sessions = Sessions(start=bytes(8), most=2)
    nonces = [bytes([n]) * 16 for n in range(3)]
    first = sessions.bind(nonces[0], "a").server
    once = sessions.begin(SessionAuth(nonces[0], first, 1, 0), 1, 0, Capture())
    assert isinstance(once, Once)
    sessions.bind(nonces[1], "b")
    sessions.bind(nonces[2], "c")
    assert set(sessions._sessions) == {nonces[0], nonces[2]}
    once.send([b"....reply"])
    assert sessions.begin(SessionAuth(nonces[0], first, 1, 0), 1, 0, Capture()) == b"\0\0\0\1reply"


def test_if_all_have_calls_in_progress_one_is_forgotten_with_its_calls() -> None:
    sessions = Sessions(start=bytes(8), most=2)
    begun = []
    for nonce in (b"0" * 16, b"1" * 16):
        auth = SessionAuth(nonce, sessions.bind(nonce, "a").server, 1, 0)
        to = Capture()
        begun.append((sessions.begin(auth, 1, 0, to), to, auth))
    sessions.bind(b"2" * 16, "a")
    once, to, auth = begun[0]
    assert isinstance(once, Once)
    once.send([b"....reply"])
    assert to.sent == [b"....reply"]
    assert not sessions.bytes
    with pytest.raises(AuthError) as error:
        sessions.begin(auth, 1, 0, Capture())
    assert error.value.stat is AuthStat.REJECTEDVERF


def test_bound_again_it_is_the_same_session() -> None:
    sessions = Sessions()
    assert sessions.bind(b"n" * 16, "a") == sessions.bind(b"n" * 16, "a")
    assert sessions.bind(b"m" * 16, "a") != sessions.bind(b"n" * 16, "a")
    assert len(sessions) == 2
    assert Sessions().bind(b"n" * 16, "a").server[:8] != sessions.bind(b"n" * 16, "a").server[:8]


def test_an_answer_goes_to_where_the_call_came_from_last() -> None:
    sessions = Sessions()
    auth = SessionAuth(b"n" * 16, sessions.bind(b"n" * 16, "a").server, 1, 0)
    first, second, third = (Capture(Peer("a", port)) for port in (1, 2, 3))
    once = sessions.begin(auth, 7, 0, first)
    assert isinstance(once, Once)
    assert sessions.begin(auth, 7, 0, second) is None
    assert sessions.begin(auth, 0xFFFFFFFF, 0, third) is None
    once.send([b"\0\0\0\7", b"reply"])
    assert (first.sent, second.sent, third.sent) == ([], [], [b"\xff\xff\xff\xffreply"])
    assert sessions.begin(auth, 8, 0, first) == b"\0\0\0\x08reply"


def test_another_call_under_the_same_number_is_refused() -> None:
    sessions = Sessions()
    auth = SessionAuth(b"n" * 16, sessions.bind(b"n" * 16, "a").server, 1, 0)
    once = sessions.begin(auth, 7, 1111, Capture())
    assert isinstance(once, Once)
    for _ in range(2):
        with pytest.raises(AuthError) as error:
            sessions.begin(auth, 7, 2222, Capture())
        assert error.value.stat is AuthStat.BADVERF
        once.send([b"....reply"])
        once.kept = False
    assert sessions.statistics.mistaken == 2

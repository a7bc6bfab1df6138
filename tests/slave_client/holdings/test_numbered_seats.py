"""However answers are lost and whoever is killed: no more seats are in use than the master counts for the PBX.

The local seats are the real ones; the master is the two numbers that it counts: seats by name, and the block.
"""

from __future__ import annotations

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from licensemaster.api_enums import HolderKind
from slave_client import Basis, Granted, Want
from slave_client.holdings.local_seats import LocalSeats
from slave_client.holdings.numbered_seats import Numbers

PHONES = tuple(Want("port", HolderKind.USER, f"phone-{number}") for number in range(5))
PHONE = st.sampled_from(PHONES)
LOST, ANSWERED = False, True
ANSWER = st.sampled_from((LOST, ANSWERED))
CAPACITY = 3


def _numbers(seats: int) -> Numbers:
    return Numbers({"port": seats}, {"port": {HolderKind.USER}}, frozenset({"port"}))


class OneBlock(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.local = LocalSeats()
        self.counted: set[Want] = set()
        self.floor = 0
        self.serial = 0
        self.known_serial, self.known_seats = 0, 0
        self.kept = (self.local.held, 0, 0)

    # The master.

    def _acquire(self, wants: list[Want]) -> list[bool]:
        granted = []
        for want in wants:
            fits = want in self.counted or max(len(self.counted) + 1, self.floor) <= CAPACITY
            granted.append(fits)
            if fits:
                self.counted.add(want)
        return granted

    def _note(self, wants: list[Want], granted: list[bool]) -> None:
        for want, fits in zip(wants, granted, strict=True):
            if fits:
                self.local.granted(Granted(want=want, basis=Basis.DEBITED, device="box", reassignable=True))
            else:
                self.local.not_granted(want)

    # The client, as the seat manager has it.

    def _tell(self, answer: bool) -> bool:
        wants = list(self.local.numbers.unasked)
        granted = self._acquire(wants)
        if answer is ANSWERED:
            self._note(wants, granted)
        return answer is ANSWERED

    @rule(want=PHONE)
    def used_by_number(self, want: Want) -> None:
        if self.local.may_use_unasked(want):
            self.local.use_unasked(want)

    def _connect(self) -> None:
        """What was done offline is reconciled before the master is asked for anything else."""
        if self.local.idle or any(held.passed_on for held in self.local.held):
            self.reconciled(ANSWERED, PHONES[0])

    @rule(answer=ANSWER)
    def told(self, answer: bool) -> None:
        self._connect()
        self._tell(answer)

    @rule(want=PHONE, answers=st.tuples(ANSWER, ANSWER), meanwhile=PHONE)
    def asked(self, want: Want, answers: tuple[bool, bool], meanwhile: Want) -> None:
        self._connect()
        if self.local.holds(want.key):
            return
        self.local.numbers.asking([want])
        if self._tell(answers[0]):
            granted = self._acquire([want])
            self.used_by_number(meanwhile)
            if answers[1] is ANSWERED:
                self._note([want], granted)
            else:
                self.local.asked_in_vain([want])
        self.local.numbers.answered([want])

    @rule(want=PHONE, answer=ANSWER)
    def returned(self, want: Want, answer: bool) -> None:
        self._connect()
        self.local.give_up(want)
        self.counted.discard(want)
        if answer is ANSWERED:
            self.local.taken_back(want)

    @rule(want=PHONE)
    def returned_offline(self, want: Want) -> None:
        self.local.return_offline(want)

    @rule(want=PHONE)
    def passed_on_offline(self, want: Want) -> None:
        self.local.acquire_offline(want)

    @rule(answer=ANSWER, meanwhile=PHONE)
    def reconciled(self, answer: bool, meanwhile: Want) -> None:
        wants = self.local.wanted()
        reconciliation = self.local.begin_reconciling(wants)
        self.counted &= set(wants)
        granted = self._acquire(list(wants))
        self.used_by_number(meanwhile)
        if answer is ANSWERED:
            grants = [
                Granted(want=want, basis=Basis.DEBITED, device="box", reassignable=True)
                for want, fits in zip(wants, granted, strict=True)
                if fits
            ]
            self.local.reconciled(reconciliation, grants)

    @rule(seats=st.integers(0, CAPACITY), answer=ANSWER)
    def renewed(self, seats: int, answer: bool) -> None:
        goes_by = next((use.seats for use in self.local.numbers.uses()), 0)
        if self.known_serial == self.serial:
            self.floor = min(self.floor, goes_by)
        seats = min(seats, CAPACITY)
        self.serial, self.floor = self.serial + 1, max(self.floor, seats)
        if answer is ANSWERED:
            self.local.numbers.go_by(_numbers(seats))
            self.known_serial, self.known_seats = self.serial, seats

    @rule()
    def killed(self) -> None:
        """It is started again, with its journal: everything that it held, and the newest block."""
        held, idle = copy.copy(self.local.held), self.local.idle
        self.local = LocalSeats()
        self.local.restore(held=held, idle=idle)
        self.local.numbers.go_by(_numbers(self.known_seats))
        self.known_serial = -1  # it confirms none before it has a newer one

    @invariant()
    def never_more_in_use_than_counted(self) -> None:
        assert len(self.local.held) <= max(len(self.counted), self.floor) <= CAPACITY


OneBlock.TestCase.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
TestOneBlock = OneBlock.TestCase

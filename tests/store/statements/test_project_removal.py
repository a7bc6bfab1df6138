"""What is removed with a project: every table that names one, or says nothing of it any more."""

from __future__ import annotations

from master.store.statements.projects.project_removal import KEPT, REMOVED
from tests.support.databases.tables import tables


def test_each_table_of_a_project_is_removed_with_it_or_kept() -> None:
    of_projects = {table.name for table in tables().sorted_tables if "project_id" in table.c}
    assert sorted((*REMOVED, "pbx", *KEPT)) == sorted(of_projects)


def test_what_names_another_is_removed_before_it() -> None:
    order = [table.name for table in tables().sorted_tables]
    assert sorted(REMOVED, key=order.index, reverse=True) == list(REMOVED)

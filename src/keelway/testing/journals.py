"""What every place for prediction journals must do; inherit it and give the fixtures `journals` and `again`."""

from __future__ import annotations

from keelway.serve import Journals


class JournalsConformance:
    """Promises of `Journals`. Subclasses give `journals`, and `again`: the same place as another process sees it."""

    def test_lines_are_read_as_they_were_appended(self, journals: Journals) -> None:
        journal = journals.create("churn", "prod")
        journal.append(b"one\n")
        journal.append(b"two\nthree\n")
        assert journal.read() == b"one\ntwo\nthree\n"
        assert journal.lines == 3
        journal.close()

    def test_journals_have_names_of_their_own(self, journals: Journals) -> None:
        made = [journals.create("churn", "prod") for _ in range(3)]
        assert len({journal.journal_id for journal in made}) == 3
        for journal in made:
            journal.close()

    def test_the_journal_of_a_living_owner_is_no_leftover(self, journals: Journals, again: Journals) -> None:
        journal = journals.create("churn", "prod")
        journal.append(b"mine\n")
        with again.leftovers() as held:
            assert held == []
        journal.close()

    def test_what_an_owner_left_is_found_with_its_lines(self, journals: Journals, again: Journals) -> None:
        journal = journals.create("churn", "prod")
        journal.append(b"left\n")
        journal.close()
        with again.leftovers() as held:
            ((model, environment, found),) = held
            assert (model, environment, found.journal_id) == ("churn", "prod", journal.journal_id)
            assert found.read() == b"left\n"

    def test_a_leftover_is_held_by_one_at_a_time(self, journals: Journals, again: Journals) -> None:
        journal = journals.create("churn", "prod")
        journal.append(b"left\n")
        journal.close()
        with journals.leftovers() as first, again.leftovers() as second:
            assert (len(first), second) == (1, [])

    def test_a_removed_journal_is_gone(self, journals: Journals, again: Journals) -> None:
        journal = journals.create("churn", "prod")
        journal.append(b"sealed\n")
        journal.remove()
        with again.leftovers() as held:
            assert held == []

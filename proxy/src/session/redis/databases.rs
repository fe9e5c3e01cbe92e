//! Which database commands run in, as far as that is certain.

/// How many databases can be possible at once.
const MOST: usize = 32;
/// How many SELECTs one transaction may queue.
const MOST_QUEUED: usize = 1024;
/// How many further databases one command can name, as far as they are told apart.
const NAMED: usize = 4;

/// The selected database, and those that may be selected because a SELECT has not been
/// answered, waits in a transaction, or is never answered at all.
#[derive(Debug)]
pub(super) struct Databases {
    /// What the last answered SELECT selected.
    current: u32,
    /// `current` and all others that are possible; behind them, those that a command names.
    possible: [u32; MOST + NAMED],
    count: usize,
    /// SELECTs (and RESETs) that wait for their answers.
    waiting: u32,
    /// SELECTs that are never answered, since the last that was.
    unanswered: u32,
    /// SELECTs of the open transaction: the number of the command in it, and the database.
    queued: Vec<(u32, u32)>,
}

impl Default for Databases {
    fn default() -> Self {
        let possible = [0; MOST + NAMED];
        Self { current: 0, possible, count: 1, waiting: 0, unanswered: 0, queued: Vec::new() }
    }
}

impl Databases {
    /// Those that the next command may run in.
    pub(super) fn possible(&self) -> &[u32] {
        &self.possible[..self.count]
    }

    /// Adds a database that a command names, for [`with_named`](Self::with_named); `named` counts
    /// them. Answers false where there are too many to keep apart.
    pub(super) fn name(&mut self, database: u32, named: &mut usize) -> bool {
        if self.possible().contains(&database) || self.named(*named).contains(&database) {
            return true;
        }
        if *named == NAMED {
            return false;
        }
        self.possible[self.count + *named] = database;
        *named += 1;
        true
    }

    fn named(&self, named: usize) -> &[u32] {
        self.possible.get(self.count..self.count + named).unwrap_or_default()
    }

    /// Those that the next command may run in, and those that it names.
    pub(super) fn with_named(&self, named: usize) -> &[u32] {
        self.possible.get(..self.count + named).unwrap_or(&self.possible)
    }

    /// Whether a SELECT can be followed.
    pub(super) fn has_room(&self, database: u32) -> bool {
        self.queued.len() < MOST_QUEUED
            && (self.count < MOST || self.possible().contains(&database))
    }

    /// A SELECT is on its way: its database becomes possible. Answers how many SELECTs that are
    /// never answered came before it.
    pub(super) fn selecting(&mut self, database: u32) -> u32 {
        self.add(database);
        self.waiting += 1;
        self.unanswered
    }

    /// A SELECT is on its way that will not be answered.
    pub(super) fn selecting_unanswered(&mut self, database: u32) {
        self.add(database);
        self.unanswered += 1;
    }

    fn add(&mut self, database: u32) {
        if self.count < MOST && !self.possible().contains(&database) {
            self.possible[self.count] = database;
            self.count += 1;
        }
    }

    /// A SELECT was answered. `before` is what [`selecting`](Self::selecting) said.
    pub(super) fn selected(&mut self, database: u32, before: u32) {
        self.current = database;
        if before == self.unanswered {
            self.unanswered = 0;
        }
        self.answered();
    }

    /// A SELECT failed.
    pub(super) fn failed(&mut self) {
        self.answered();
    }

    /// A SELECT was queued, as this command of the transaction.
    pub(super) fn queued(&mut self, number: u32, database: u32) {
        self.waiting = self.waiting.saturating_sub(1);
        self.queued.push((number, database));
    }

    /// A command of the transaction was run without an error.
    pub(super) fn ran(&mut self, number: u32) {
        if let Some((_, database)) = self.queued.iter().find(|(n, _)| *n == number) {
            self.current = *database;
        }
    }

    /// The transaction is over, run or not.
    pub(super) fn transaction_over(&mut self) {
        self.queued = Vec::new();
        self.settle();
    }

    fn answered(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        self.settle();
    }

    /// Forgets possibilities once none is open.
    fn settle(&mut self) {
        if self.waiting == 0 && self.unanswered == 0 && self.queued.is_empty() {
            self.possible[0] = self.current;
            self.count = 1;
        } else {
            self.add(self.current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unanswered_select_leaves_both_possible() {
        let mut databases = Databases::default();
        let before = databases.selecting(3);
        assert_eq!(databases.possible(), [0, 3]);
        databases.selected(3, before);
        assert_eq!(databases.possible(), [3]);
        databases.selecting(4);
        databases.failed();
        assert_eq!(databases.possible(), [3]);
    }

    #[test]
    fn a_pipeline_of_selects_settles_with_its_last_answer() {
        let mut databases = Databases::default();
        let first = databases.selecting(1);
        let second = databases.selecting(2);
        databases.selected(1, first);
        assert_eq!(databases.possible(), [0, 1, 2]);
        databases.selected(2, second);
        assert_eq!(databases.possible(), [2]);
    }

    #[test]
    fn a_queued_select_counts_when_it_has_run() {
        let mut databases = Databases::default();
        for (number, database) in [(0, 5), (2, 6), (3, 99)] {
            databases.selecting(database);
            databases.queued(number, database);
        }
        assert_eq!(databases.possible(), [0, 5, 6, 99]);
        for number in 0..3 {
            databases.ran(number);
        }
        databases.transaction_over();
        assert_eq!(databases.possible(), [6]);
    }

    #[test]
    fn a_select_that_is_never_answered_stays_possible() {
        let mut databases = Databases::default();
        let before = databases.selecting(1);
        databases.selecting_unanswered(7);
        databases.selected(1, before);
        assert_eq!(databases.possible(), [0, 1, 7]);
        let before = databases.selecting(2);
        databases.selected(2, before);
        assert_eq!(databases.possible(), [2]);
    }

    #[test]
    fn possibilities_are_bounded() {
        let mut databases = Databases::default();
        for database in 1..32 {
            assert!(databases.has_room(database));
            databases.selecting(database);
        }
        assert!(!databases.has_room(32));
        assert!(databases.has_room(31));
        let mut named = 0;
        assert!(databases.name(100, &mut named) && databases.name(100, &mut named));
        assert_eq!((named, databases.with_named(named).len()), (1, 33));
    }
}

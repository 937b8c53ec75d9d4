//! The tables of the store. Documents are JSON: what the platform decides on is in memory, and
//! the tables hold what it needs to decide the same after a crash.

/// Bumped when a table changes; an older platform refuses a newer store.
pub(super) const VERSION: i64 = 1;

pub(super) const STATEMENTS: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS apps (name TEXT PRIMARY KEY, document TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS machines (
        id TEXT PRIMARY KEY, app TEXT NOT NULL, document TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS events (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL, document TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS events_of_machine ON events (machine, sequence)",
    "CREATE TABLE IF NOT EXISTS versions (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL, version TEXT NOT NULL,
        document TEXT NOT NULL, UNIQUE (machine, version))",
    "CREATE TABLE IF NOT EXISTS secrets (
        app TEXT NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (app, version))",
    "CREATE TABLE IF NOT EXISTS tags (
        repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL,
        PRIMARY KEY (repository, tag))",
    "CREATE TABLE IF NOT EXISTS releases (
        app TEXT NOT NULL, version INTEGER NOT NULL, id TEXT NOT NULL UNIQUE,
        document TEXT NOT NULL, PRIMARY KEY (app, version))",
    "CREATE TABLE IF NOT EXISTS volumes (id TEXT PRIMARY KEY, document TEXT NOT NULL)",
];

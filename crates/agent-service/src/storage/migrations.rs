//! The database's shape, as the steps that made it; a step that has shipped is never edited.
//!
//! sqlx keeps the record of the applied steps, and refuses a database whose steps differ from
//! these (a newer version's database, for example).

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Every step, oldest first.
pub(super) fn migrator() -> Migrator {
    let migrations = vec![Migration::new(
        1,
        Cow::Borrowed("messages, approvals, outbox, audit"),
        MigrationType::Simple,
        FIRST.into_sql_str(),
        false,
    )];
    Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT }
}

const FIRST: &str = "
CREATE TABLE messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    conversation_id INTEGER NOT NULL,
    customer_name TEXT,
    customer_email TEXT,
    content TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'drafted', 'merged')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at_ms INTEGER NOT NULL,
    last_error TEXT,
    received_at_ms INTEGER NOT NULL,
    UNIQUE (account_id, message_id)
) STRICT;
CREATE INDEX messages_by_state ON messages (state, next_attempt_at_ms);
CREATE INDEX messages_by_conversation ON messages (account_id, conversation_id, number);

CREATE TABLE approvals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    message_number INTEGER NOT NULL UNIQUE REFERENCES messages (number),
    account_id INTEGER NOT NULL,
    conversation_id INTEGER NOT NULL,
    customer_name TEXT,
    customer_email TEXT,
    customer_text TEXT NOT NULL,
    draft_kind TEXT NOT NULL,
    draft_text TEXT NOT NULL,
    draft_note TEXT,
    citations TEXT NOT NULL,
    text TEXT NOT NULL,
    channel TEXT NOT NULL,
    state TEXT NOT NULL CHECK
        (state IN ('pending', 'approved', 'rejected', 'executed', 'failed', 'superseded')),
    version INTEGER NOT NULL,
    decided_by TEXT,
    decided_at_ms INTEGER,
    reason TEXT,
    approved_digest TEXT,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX approvals_by_state ON approvals (state, number);
CREATE INDEX approvals_by_conversation ON approvals (account_id, conversation_id, state);

CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    approval_id TEXT NOT NULL UNIQUE REFERENCES approvals (id),
    channel TEXT NOT NULL,
    arguments TEXT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at_ms INTEGER NOT NULL,
    last_error TEXT,
    receipt TEXT,
    created_at_ms INTEGER NOT NULL,
    sent_at_ms INTEGER
) STRICT;
CREATE INDEX outbox_by_state ON outbox (state, next_attempt_at_ms);

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    approval_id TEXT NOT NULL REFERENCES approvals (id),
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    version INTEGER NOT NULL,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_approval ON audit (approval_id, number);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
";

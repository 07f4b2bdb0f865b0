CREATE TABLE call_logs (
    session_id           TEXT   PRIMARY KEY,
    agent_id             TEXT   NOT NULL,
    call_sid             TEXT   UNIQUE,
    direction            TEXT   NOT NULL,
    from_address         TEXT   NOT NULL,
    to_address           TEXT   NOT NULL,
    status               TEXT   NOT NULL,
    responder            TEXT   NOT NULL,
    greeting             TEXT,
    system_prompt        TEXT,
    voice                TEXT,
    language             TEXT,
    max_duration_seconds BIGINT NOT NULL,
    idempotency_key      TEXT,
    request_hash         TEXT,
    error_code           TEXT,
    -- The carrier's last SequenceNumber; -1 before the first.
    sequence             BIGINT NOT NULL,
    created_at           BIGINT NOT NULL,
    answered_at          BIGINT,
    ended_at             BIGINT,
    duration_seconds     BIGINT
);

CREATE INDEX call_logs_by_agent ON call_logs (agent_id, created_at);
CREATE INDEX call_logs_unfinished ON call_logs (created_at) WHERE status IN ('queued', 'ringing', 'in-progress');
CREATE UNIQUE INDEX call_logs_idempotency ON call_logs (agent_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE call_turns (
    id          TEXT   PRIMARY KEY,
    session_id  TEXT   NOT NULL,
    position    BIGINT NOT NULL,
    turn_id     TEXT   NOT NULL,
    direction   TEXT   NOT NULL,
    speaker     TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    heard_until TEXT,
    digits      TEXT,
    created_at  BIGINT NOT NULL
);

CREATE INDEX call_turns_by_session ON call_turns (session_id, position);

CREATE TABLE voicemail_messages (
    -- The id of the entry in the inbox.
    id         TEXT   PRIMARY KEY,
    session_id TEXT   NOT NULL UNIQUE,
    agent_id   TEXT   NOT NULL,
    caller     TEXT   NOT NULL,
    callback   TEXT,
    transcript TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX voicemail_messages_by_agent ON voicemail_messages (agent_id, created_at);

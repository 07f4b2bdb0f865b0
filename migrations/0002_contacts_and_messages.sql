CREATE TABLE contacts (
    agent_id         TEXT    NOT NULL,
    channel          TEXT    NOT NULL,
    address          TEXT    NOT NULL,
    name             TEXT,
    inbound_count    BIGINT  NOT NULL,
    outbound_count   BIGINT  NOT NULL,
    blocked          BOOLEAN NOT NULL,
    first_seen_at    BIGINT  NOT NULL,
    last_inbound_at  BIGINT,
    last_outbound_at BIGINT,
    PRIMARY KEY (agent_id, channel, address)
);

CREATE TABLE messages (
    id                 TEXT   PRIMARY KEY,
    -- The number of the audit entry that was written with the row: one order for all messages.
    seq                BIGINT NOT NULL,
    agent_id           TEXT   NOT NULL,
    kind               TEXT   NOT NULL,
    channel            TEXT   NOT NULL,
    direction          TEXT   NOT NULL,
    from_address       TEXT   NOT NULL,
    to_address         TEXT   NOT NULL,
    contact_address    TEXT   NOT NULL,
    contact_name       TEXT,
    standing           TEXT   NOT NULL,
    subject            TEXT,
    body               TEXT   NOT NULL,
    media              TEXT   NOT NULL DEFAULT '[]',
    call_sid           TEXT,
    status             TEXT   NOT NULL,
    external_id        TEXT,
    error_code         TEXT,
    attempt            BIGINT NOT NULL,
    lease_id           TEXT,
    -- 0: nobody has it.
    lease_until        BIGINT NOT NULL,
    read_at            BIGINT,
    removed_characters BIGINT NOT NULL,
    segments           BIGINT,
    cost_micros        BIGINT,
    currency           TEXT,
    idempotency_key    TEXT,
    request_hash       TEXT,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL
);

-- An inbound text is entered into the first two of these only: the others are partial, to keep its insert cheap.
CREATE INDEX messages_by_agent ON messages (agent_id, seq);
CREATE INDEX messages_unread ON messages (agent_id, seq) WHERE direction = 'inbound' AND read_at IS NULL;
CREATE INDEX messages_leased ON messages (lease_id) WHERE lease_id IS NOT NULL;
CREATE INDEX messages_by_external_id ON messages (external_id) WHERE direction = 'outbound';
CREATE INDEX messages_outbound ON messages (status, seq) WHERE direction = 'outbound';
CREATE UNIQUE INDEX messages_idempotency ON messages (agent_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
